"""What rows that are sums of a few basis vectors look like, and which such sums a result is most like.

The SRM of the basis itself (paper 2505.13471, section 2.1.3) is the curve of rows that hold one vector each. A sparse code holds
two or three at once: then rows are sums, and the curve oscillates at other angles.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from srmfast import nulls
from srmfast.errors import InputError
from srmfast.jackknife import interval

PLANES = 2000  # that a reference curve is averaged over, at most
SUMS = 20_000  # of them in a reference curve, at most
_BYTES = 1 << 27  # that they may take
MOST = 3  # vectors in a sum, when curves are compared
NOISE = (
    0.0,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
)  # length of what is added to a sum, in directions drawn at random, per length of the sum
EXPLAINED = 0.7  # share of the pattern that a reference must explain before anything is said
_FITTED_PLANES, _DRAWS, _POOL = (
    128,
    16,
    512,
)  # planes and sums in each of their strata that a model is made of, and vectors
_TINY = 1e-9  # length of a sum that is none: b and −b


# ---- one reference curve -----------------------------------------------------------------------------


def reference(result, m, *, signs=False, seed=0):
    """Return the mean over planes of the SRM of all normalised sums of m distinct basis vectors, (e, a) float64.

    Parameters
    ----------
    result : Result
    m : int
        1 gives the self-SRM.
    signs : bool
        Whether every vector of a sum may be negative, too. Where the basis holds b and −b, it can anyway.
    seed : int
        Of more than 20,000 sums (fewer where they do not fit into 128 MiB) so many are drawn.

    Notes
    -----
    In the planes that were kept, or 2,000 of them spread evenly. Sums that are 0, of b and −b, are left out.
    """
    from srmfast.engine import count_rows

    k = len(result.basis)
    if isinstance(m, bool) or not isinstance(m, (int, np.integer)) or not 1 <= m <= k:
        raise InputError(f"a sum is of 1 to {k} distinct basis vectors, got {m!r}")
    if not result.plane_i.size:
        raise InputError(
            "a reference curve (self-SRM) needs at least one kept plane, got none; run again with --keep all"
        )
    rows = sums(result.basis, int(m), signs, seed)
    chosen = np.unique(np.linspace(0, result.plane_i.size - 1, PLANES).astype(int))
    pairs = np.stack([result.plane_i[chosen], result.plane_j[chosen]], axis=1)
    counts = count_rows(rows, result.basis, pairs, result.epsilon, result.angle.size)
    return counts.mean(axis=1) / len(rows)


def sums(basis, m, signs=False, seed=0):
    """Return the normalised sums of m distinct vectors of a basis (k, d), (n, d) float64; some drawn where there are too many."""
    (k, d), most = basis.shape, min(SUMS, max(1, _BYTES // (8 * basis.shape[1])))
    turns = 2**m if signs else 1
    if m == 1 and not signs and k <= most:
        return basis
    if math.comb(k, m) * turns <= most:
        chosen = np.array(list(itertools.combinations(range(k), m)))
        factors = np.array(list(itertools.product((1.0, -1.0), repeat=m)))[:turns]
        chosen, factors = np.repeat(chosen, turns, axis=0), np.tile(factors, (len(chosen), 1))
    else:
        rng = np.random.Generator(np.random.PCG64([seed, 64, 4, m]))
        chosen = _distinct(rng, k, (most, m))
        factors = rng.choice([1.0, -1.0], chosen.shape) if signs else np.ones(chosen.shape)
    rows = np.zeros((len(chosen), d))
    for column in range(m):
        rows += factors[:, column, None] * basis[chosen[:, column]]
    norms = np.sqrt((rows**2).sum(axis=1))
    return rows[norms > _TINY] / norms[norms > _TINY, None]


def _distinct(rng, k, shape):
    """Draw (…, m) whole numbers below k, distinct along the last axis."""
    found = np.empty(shape, np.int64)
    for column in range(shape[-1]):
        drawn, before = rng.integers(0, k - column, shape[:-1]), np.sort(found[..., :column], axis=-1)
        for other in range(column):
            drawn += drawn >= before[..., other]
        found[..., column] = drawn
    return found


# ---- which one a result is like ----------------------------------------------------------------------


@dataclass(frozen=True)
class Fit:
    """The best mixture of sums of m vectors and isotropic rows.

    Attributes
    ----------
    sums : int
        m.
    noise : float
        Length of the isotropic noise added to a sum of length 1, the best of `NOISE`.
    positive, signed, isotropic : float
        Shares: of sums with no negative vector, of sums with any signs, and of isotropic rows. Nothing makes them add up to 1.
    unexplained : float
        Share of the pattern that is left: squared differences from the observed mean curve over its squared differences from its
        own mean, averaged over ε.
    curves : ndarray, (e, a)
        What it gives at the ε used.
    """

    sums: int
    noise: float
    positive: float
    signed: float
    isotropic: float
    unexplained: float
    curves: np.ndarray

    @property
    def explained(self):
        """Share of the pattern that is not left, not below 0."""
        return max(0.0, 1.0 - self.unexplained)


@dataclass(frozen=True)
class Likeness:
    """Which sums the mean curve is most like.

    Attributes
    ----------
    like : int or None
        m, when that is clear; None when it cannot be told.
    fits : tuple of Fit
        m = 1, 2, 3.
    lead, low, high : float
        By how much less the best leaves unexplained than the next, and the 95 % interval by leaving out one of 64 folds at a time.
    epsilon : tuple of float
        Those used: above 0, with rows.
    observed : ndarray, (e, a)
        The mean curves there.
    """

    like: int | None
    fits: tuple
    lead: float
    low: float
    high: float
    epsilon: tuple
    observed: np.ndarray

    def __str__(self):
        best = min(self.fits, key=lambda fit: fit.unexplained)
        said = f"{best.explained:.0%} of its pattern explained"
        if self.like is None:
            return f"cannot tell whether the curve is more like that of one vector or of sums (at best {said})"
        what = "that of single vectors" if self.like == 1 else f"that of sums of {self.like} vectors"
        return f"the curve is most like {what} ({said})"


def likeness(result):
    """Fit the mean curves of a result with those of sums of 1, 2 and 3 basis vectors.

    Returns
    -------
    Likeness or None
        None where no ε above 0 has rows, or the planes that were counted are not known.

    Notes
    -----
    The model of each m is a free share of normalised sums (all positive, and with any signs), each with isotropic noise of one
    length, and a free share of isotropic rows; shares are not negative; least squares over all angles and ε > 0, every ε weighted
    by its own variance. It is said that the curve is most like that of m only when m explains 70 % of the pattern and explains
    more than the next best in the jackknife over 64 folds.
    """
    planes = _planes_of(result)
    at = np.flatnonzero((result.epsilon > 0) & result.total.any(axis=(0, 2)))
    if planes is None or not at.size or len(result.basis) < 2:
        return None
    folds, rows = _together(result)
    counts, used = folds[:, at], rows
    held = used > 0
    whole = counts.sum(axis=0) / (used.sum() * result.planes_total)
    left = (counts.sum(axis=0) - counts[held]) / (np.maximum(used.sum() - used[held], 1) * result.planes_total)[
        :, None, None
    ]
    curves = np.concatenate([whole[None], left])
    deviations = whole - whole.mean(axis=-1, keepdims=True)
    squares = (deviations**2).sum(axis=-1)
    at_work = squares > 0
    if not at_work.any() or held.sum() < 2:
        return None
    at, curves, whole = at[at_work], curves[:, at_work], whole[at_work]
    weights = 1.0 / np.sqrt(squares[at_work])
    epsilons = result.epsilon[at]
    models = _models(result.basis, planes, epsilons, result.angle.size)
    isotropic = np.repeat(nulls.isotropic(epsilons, result.basis.shape[1])[:, None], result.angle.size, axis=1)
    targets = (curves * weights[:, None]).reshape(len(curves), -1)
    level = ((curves - curves.mean(axis=-1, keepdims=True)) ** 2 * weights[:, None] ** 2).sum(axis=(1, 2))
    fits, traces = [], []
    for m in range(1, min(MOST, len(result.basis)) + 1):
        best, trace = None, None
        for noise in NOISE:
            columns = np.stack([*models[m, noise], isotropic])
            design = (columns * weights[:, None]).reshape(len(columns), -1)
            shares, squared = _not_negative(design, targets)
            unexplained = squared / np.maximum(level, 1e-300)
            trace = unexplained if trace is None else np.minimum(trace, unexplained)
            if best is None or unexplained[0] < best.unexplained:
                positive, *signed, rest = shares[0].tolist()
                best = Fit(
                    m, noise, positive, sum(signed), rest, float(unexplained[0]), np.tensordot(shares[0], columns, 1)
                )
        fits.append(best)
        traces.append(trace)
    return _clearest(fits, np.stack(traces), tuple(epsilons.tolist()), whole)


def _clearest(fits, traces, epsilons, observed):
    order = np.argsort(traces[:, 0], kind="stable")
    if len(order) < 2:
        return Likeness(None, tuple(fits), math.nan, math.nan, math.nan, epsilons, observed)
    others = np.delete(traces, order[0], axis=0).min(axis=0)
    leads = others - traces[order[0]]
    lead, low, high = (float(value) for value in interval(leads[0], leads[1:]))
    clear = low > 0 and traces[order[0], 0] <= 1 - EXPLAINED
    like = fits[order[0]].sums if clear else None
    return Likeness(like, tuple(fits), lead, low, high, epsilons, observed)


def _together(result):
    """Return counts summed over planes, (64, e, a), and rows, (64,), of all labels together."""
    names = result.label.tolist()
    if "all" in names:
        c = names.index("all")
        return result.fold_total[:, c], result.rows_used[:, c]
    return result.fold_total.sum(axis=1), result.rows_used.sum(axis=1)


def _planes_of(result):
    """Return some of the ordered planes that were counted, (p, 2), as spread as all of them; None when they are not known."""
    k, kind = len(result.basis), str(result.attrs["spec"]["planes"])
    if result.attrs["kept"] == "all" and result.plane_i.size:
        chosen = np.unique(np.linspace(0, result.plane_i.size - 1, _FITTED_PLANES).astype(int))
        return np.stack([result.plane_i[chosen], result.plane_j[chosen]], axis=1).astype(np.int64)
    if kind not in ("permutations", "combinations"):
        return None
    pairs = _distinct(np.random.Generator(np.random.PCG64([0, 64, 5])), k, (_FITTED_PLANES, 2))
    return np.sort(pairs, axis=1) if kind == "combinations" else pairs


def _models(basis, planes, epsilons, a):
    """Return for each (m, noise) the mean curves of sums with no negative vector and of sums with any signs, (e, a) each.

    Sums are drawn apart for each plane and for each number of its two vectors that they hold, and weighted by how many sums do: few
    sums hold both vectors of a plane, and these make the difference. The noise needs no dimension but those of the plane, of the
    rest of the sum, and the length of all others.
    """
    k, d = basis.shape
    rng = np.random.Generator(np.random.PCG64([0, 64, 6]))
    pool = np.unique(np.concatenate([planes.ravel(), rng.permutation(k)[:_POOL]]))
    vectors = basis[pool]
    gram = vectors @ vectors.T
    first, second = (np.searchsorted(pool, planes[:, side]) for side in (0, 1))
    g = gram[first, second]
    s = np.sqrt(np.maximum(1.0 - g * g, 0.0))
    first, second, g, s = (array[s > 1e-6] for array in (first, second, g, s))
    shape, most, models = (first.size, _DRAWS), len(pool), {}
    for m in range(1, min(MOST, k) + 1):
        for noise in NOISE:
            models[m, noise] = [np.zeros((len(epsilons), a)) for _ in range(2)]
        weight = np.zeros(2)
        for held in range(min(2, m) + 1):
            if m - held > most - 2:
                continue
            ways = math.comb(2, held) * math.comb(k - 2, m - held) / math.comb(k, m)
            drawn = _members(rng, first, second, held, m, most, shape)
            turned = np.array(list(itertools.product((1.0, -1.0), repeat=m)))
            for which, turns in enumerate((turned[:1], turned)):
                factors = np.tile(turns, (shape[0], _DRAWS, 1))
                members = np.repeat(drawn, len(turns), axis=1)
                draws = factors.shape[:2]
                noises = rng.standard_normal((3, *draws)), rng.chisquare(max(d - 3, 1), draws) * (d > 3)
                u, w = ((factors * gram[members, vector[:, None, None]]).sum(axis=-1) for vector in (first, second))
                square = np.einsum(
                    "prm,prn,prmn->pr", factors, factors, gram[members[..., :, None], members[..., None, :]]
                )
                some = square > _TINY**2
                length = np.sqrt(np.where(some, square, 1.0))
                u, v = u / length, (w - g[:, None] * u) / s[:, None] / length
                weight[which] += ways * some.mean()
                for noise in NOISE:
                    models[m, noise][which] += ways * some.mean() * _curves(u, v, some, noise, noises, d, epsilons, a)
        for noise in NOISE:
            models[m, noise] = [
                curve / max(total, 1e-300) for curve, total in zip(models[m, noise], weight, strict=True)
            ]
    return models


def _members(rng, first, second, held, m, k, shape):
    """Draw the vectors of sums that hold `held` of the two of each plane, (p, r, m)."""
    others = _distinct(rng, k - 2, (*shape, m - held))
    low, high = np.minimum(first, second)[:, None, None], np.maximum(first, second)[:, None, None]
    others = others + (others >= low)
    others = others + (others >= high)
    if held == 1:
        one = np.where(np.arange(shape[1])[None] % 2 == 0, first[:, None], second[:, None])
        return np.concatenate([one[..., None], others], axis=-1)
    both = np.stack([np.broadcast_to(first[:, None], shape), np.broadcast_to(second[:, None], shape)], axis=-1)
    return np.concatenate([both, others], axis=-1) if held == 2 else others


def _curves(u, v, some, noise, noises, d, epsilons, a):
    """Return the mean curves of unit rows at (u, v) in their planes with noise, (e, a)."""
    normal, rest = noises
    step = noise / math.sqrt(d)
    height = np.sqrt(np.maximum(1.0 - u * u - v * v, 0.0))
    u, v, height = u + step * normal[0], v + step * normal[1], height + step * normal[2] * (d > 2)
    norm = np.sqrt(u * u + v * v + height * height + step * step * rest)[some]
    radius, centre = np.hypot(u, v)[some], np.arctan2(v, u)[some]
    found, unit = np.zeros((len(epsilons), a)), 2 * np.pi / a
    for e, epsilon in enumerate(epsilons):
        q = epsilon * norm / np.maximum(radius, 1e-300)
        reaches = q <= 1.0
        half, middle = np.arccos(q[reaches]), centre[reaches]
        # The slack is for peaks of no noise, whose borders lie on the grid: a sum at b_i is in the cone as the rows of a run are.
        start = np.ceil((middle - half) / unit - 1e-9).astype(np.int64)
        stop = np.floor((middle + half) / unit + 1e-9).astype(np.int64) + 1
        full = stop - start >= a
        start, stop = start[~full], stop[~full]
        ends = np.bincount(start % a, minlength=a) - np.bincount(stop % a, minlength=a)
        wrapped = np.count_nonzero((stop % a < start % a) | ((stop % a == start % a) & (stop > start)))
        found[e] = (np.cumsum(ends) + wrapped + np.count_nonzero(full)) / max(1, norm.size)
    return found


def _not_negative(design, targets):
    """Return least-squares coefficients (t, c) ≥ 0 of columns (c, n) for targets (t, n), and the squares left, (t,)."""
    gram, products = design @ design.T, targets @ design.T
    total = (targets**2).sum(axis=1)
    best, shares = total.copy(), np.zeros(products.shape)
    for size in range(1, len(design) + 1):
        for some in itertools.combinations(range(len(design)), size):
            at = list(some)
            block = gram[np.ix_(at, at)]
            block = block + 1e-12 * np.trace(block) * np.eye(size) + 1e-300 * np.eye(size)
            found = np.linalg.solve(block, products[:, at].T).T
            left = (
                total
                - (2 * products[:, at] * found).sum(axis=1)
                + np.einsum("ti,ij,tj->t", found, gram[np.ix_(at, at)], found)
            )
            better = (found >= 0).all(axis=1) & (left < best)
            best[better] = left[better]
            shares[better] = 0.0
            shares[np.ix_(better, at)] = found[better]
    return shares, np.maximum(best, 0.0)
