"""Whether this basis is like its own random rotations, and the rows like others of their mean and covariance.

Both are asked of the same few rows and planes, drawn with the seed. Every number is the pinned dot's or an integer, so that
neither the CPU nor the threads can change one; docs/verdict.md says what is compared and why.
"""

import math
from dataclasses import dataclass

import numpy as np

from srmfast.bases import random_frame
from srmfast.kernels.frames import root_of, row_norms
from srmfast.kernels.phase import phase_floor, phase_of_pairs, products, summarise_phase
from srmfast.planes import COMBINATIONS, LISTED
from srmfast.threads import each

ROWS = 1024  # drawn, at most
_SIDE = 1 << 29  # side² · d is this at most: rows of wide stores, and vectors of large bases, are fewer
PLANES = 1 << 18  # drawn, at most
_CELLS = 1 << 22  # planes · labels · epsilons, at most
_FULL = 1e-8  # length of what is new in a vector, below which it lies in the span of those before it
_SPEED = 4.0  # products of numbers in a ns
_TEST = 1.0  # ns: one row in one plane
_VECTORS, _PLANES, _ROTATED, _SURROGATE = range(4)  # streams of random numbers


def sizes_of(rotations, n, d, k, cells):
    """Return how much is drawn for the comparison with random rotations, as the Spec holds it; None without one.

    Parameters
    ----------
    rotations : int
    n, d : int
        Shape of the store.
    k : int
        Vectors of the basis.
    cells : int
        Labels times epsilons.

    Returns
    -------
    dict or None
        `rotations`, and the most `rows`, `vectors` and `planes` that are drawn.
    """
    if not rotations:
        return None
    side = max(16, math.isqrt(_SIDE // d))
    vectors = min(k, ROWS, side)
    pairs = min(vectors * (vectors - 1) // 2, PLANES, max(1, _CELLS // cells))
    return {"rotations": rotations, "rows": min(n, ROWS, side), "vectors": vectors, "planes": pairs}


def cost_of(sizes, d, cells, threads):
    """Return the seconds and the bytes that the comparison takes, roughly.

    Parameters
    ----------
    sizes : dict
        From `sizes_of`.
    d, cells, threads : int
    """
    n, k, p = sizes["rows"], sizes["vectors"], sizes["planes"]
    q = min(k, d)
    multiplied = 2 * q * q * d + 2 * n * q * d + n * min(n, d) * d + n * k * d
    ns = multiplied / _SPEED + 3 * _TEST * n * p
    each_thread = 8 * (2 * q * d + 2 * n * max(k, q) + 2 * n * d + n * n + p * cells) + 32 * p
    return sizes["rotations"] * ns * 1e-9 / threads, 24 * n * d + 48 * p + 16 * k * d + threads * each_thread


@dataclass(frozen=True)
class PlanesDrawn:
    """The planes on which a basis is compared with its rotations; those of opposite order are one.

    Attributes
    ----------
    vectors : ndarray, (v, d) float64
        The basis vectors that span them.
    i, j : ndarray, (p,) int64
        Among these vectors.
    plane_i, plane_j : ndarray, (p,) int64
        In the basis.
    g, s : ndarray, (p,) float64
        Geometry of the pairs.
    most : int
        Of planes chosen by their hits, how many of these are chosen, again in every rotation; 0 for all.
    frame : ndarray, (q, d) float64
        Orthonormal vectors whose span holds all.
    places, signs : ndarray or None
        Which of the frame each vector is, when it is ± one of them.
    mixed : ndarray, (v, q) float64, or None
        Otherwise the coordinates of the vectors in the frame.
    """

    vectors: np.ndarray
    i: np.ndarray
    j: np.ndarray
    plane_i: np.ndarray
    plane_j: np.ndarray
    g: np.ndarray
    s: np.ndarray
    most: int
    frame: np.ndarray
    places: np.ndarray | None
    signs: np.ndarray | None
    mixed: np.ndarray | None

    @classmethod
    def of(cls, basis, geometry, planes, sizes, seed):
        """Draw vectors, and of the planes among them at most as many as `sizes` says.

        Parameters
        ----------
        basis, geometry, planes : Basis, Geometry, Planes
            As asked for: of "active:P", all among which P are chosen.
        sizes : dict
            From `sizes_of`.
        seed : int
        """
        k, most = len(basis.vectors), sizes["vectors"]
        order = _generator(seed, _VECTORS).permutation(k)
        if planes.numbering == LISTED:
            pairs = np.unique(np.sort(planes.pairs.astype(np.int64), axis=1), axis=0)
            pairs = _within(pairs, order, most)
        else:
            chosen = np.sort(order[:most])
            i, j = np.triu_indices(chosen.size, 1)
            pairs = np.stack([chosen[i], chosen[j]], axis=1)
            pairs = pairs[~geometry.is_parallel(pairs[:, 0], pairs[:, 1])]
        of_all = planes.total if planes.numbering in (LISTED, COMBINATIONS) else planes.total // 2
        if len(pairs) > sizes["planes"]:
            drawn = _generator(seed, _PLANES).choice(len(pairs), sizes["planes"], replace=False)
            pairs = pairs[np.sort(drawn)]
        g, s, _ = geometry.of_pairs(pairs[:, 0], pairs[:, 1])
        used, place = np.unique(pairs, return_inverse=True)
        place = place.reshape(pairs.shape)
        select = max(1, round(planes.most * len(pairs) / max(of_all, 1))) if planes.most else 0
        vectors = np.ascontiguousarray(basis.vectors[used])
        units = None if basis.selection is None else tuple(part[used] for part in basis.selection)
        frame = _frame_of(vectors, units, geometry.orthogonal and not len(geometry.parallel))
        i, j = (np.ascontiguousarray(place[:, side]) for side in (0, 1))
        return cls(vectors, i, j, pairs[:, 0], pairs[:, 1], g, s, select, *frame)

    def along(self, rows):
        """Return the coordinates of rows (n, d) along the vectors as they are, (v, n) float64."""
        return _products(rows, self.vectors)

    def turned(self, rows, frame):
        """Return the same along the vectors rotated so that their frame becomes another, (q, d)."""
        coordinates = _products(rows, frame)
        if self.places is not None:
            return np.ascontiguousarray(self.signs[:, None] * coordinates[self.places])
        if self.mixed is None:
            return coordinates
        return _products(np.ascontiguousarray(coordinates.T), self.mixed)


def _within(pairs, order, most):
    """Keep the pairs of as many vectors as fit, in a drawn order of the vectors."""
    if np.unique(pairs).size <= most:
        return pairs
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    # By the later of its two vectors: the first pairs of this order belong to few vectors.
    turn = np.lexsort((rank[pairs].min(axis=1), rank[pairs].max(axis=1)))
    seen, kept = set(), []
    for at in turn.tolist():
        new = seen | set(pairs[at].tolist())
        if len(new) > most:
            break
        seen = new
        kept.append(at)
    return pairs[np.sort(kept)]


def _frame_of(vectors, units, orthonormal):
    """Return a frame of the span of the vectors, and how they are made of it."""
    if units is not None:
        columns, places = np.unique(units[0], return_inverse=True)
        frame = np.zeros((columns.size, vectors.shape[1]))
        frame[np.arange(columns.size), columns] = 1.0
        return frame, places.reshape(-1), units[1], None
    if orthonormal:
        return vectors, None, None, None
    if len(vectors) >= vectors.shape[1]:
        return np.eye(vectors.shape[1]), None, None, vectors
    frame = np.empty_like(vectors)
    q = 0
    for vector in vectors:
        rest = vector.copy()
        for _ in range(2):
            for row in range(q):
                rest -= _dot(rest, frame[row]) * frame[row]
        length = math.sqrt(_dot(rest, rest))
        if length > _FULL:
            frame[q] = rest / length
            q += 1
    frame = frame[:q]
    return frame, None, None, np.ascontiguousarray(_products(frame, vectors))


def _dot(x, y):
    out = np.empty((1, 1))
    products(x[None], y[None], out)
    return float(out[0, 0])


def _products(rows, vectors):
    out = np.empty((len(vectors), len(rows)))
    products(np.ascontiguousarray(rows), np.ascontiguousarray(vectors), out)
    return out


def _generator(seed, *stream):
    return np.random.Generator(np.random.PCG64([seed, 64, *stream]))


class Rows:
    """Rows with what deciding on them takes.

    Parameters
    ----------
    values : ndarray, (n, d) float64
        Those of zero norm are left out.
    labels : ndarray, (n,) int64
    epsilons : sequence of float
    chosen : ndarray, (n,) bool, optional
        Rows on which planes are chosen by their hits.
    """

    def __init__(self, values, labels, epsilons, chosen=None):
        self.values, self.labels, self.chosen = np.ascontiguousarray(values), labels, chosen
        norms = np.empty(len(values))
        row_norms(self.values, norms)
        self.floor = np.empty(len(values))
        phase_floor(norms, float(min(epsilons)), self.floor)
        t = np.asarray(epsilons)[:, None] * norms
        self.squares = np.where(np.asarray(epsilons)[:, None] > 0, t * t, -1.0)
        self.squares[:, norms == 0] = np.inf

    def of(self, which):
        """Return the same for some of the rows."""
        some = object.__new__(Rows)
        some.labels, some.floor, some.squares = self.labels[which], self.floor[which], self.squares[:, which].copy()
        return some


def count_near(tested, rows, coordinates, c):
    """Count near and far in the planes to test.

    Parameters
    ----------
    tested : PlanesDrawn
    rows : Rows
    coordinates : ndarray, (v, n) float64
        Of the rows, along the vectors as they are or rotated.
    c : int
        Labels.

    Returns
    -------
    phase : ndarray, (p, c, e, 2) int32
        Of all planes; of those with most hits on the chosen rows, counted on the others, when planes are chosen.
    planes : ndarray, (p,) int64
        Which these are.
    """
    i, j, g, s = tested.i, tested.j, tested.g, tested.s
    if tested.most:
        first, second = (rows.of(which) for which in (rows.chosen, ~rows.chosen))
        widest = first.squares.min(axis=0, keepdims=True)
        hits = np.zeros((i.size, 1, 1, 2), np.int32)
        phase_of_pairs(
            np.ascontiguousarray(coordinates[:, rows.chosen]), i, j, g, s, widest, first.floor,
            np.zeros_like(first.labels), hits,
        )  # fmt: skip
        best = np.sort(np.argsort(-hits.sum(axis=(1, 2, 3)), kind="stable")[: tested.most])
        i, j, g, s = i[best], j[best], g[best], s[best]
        coordinates, rows = np.ascontiguousarray(coordinates[:, ~rows.chosen]), second
    phase = np.zeros((i.size, c, len(rows.squares), 2), np.int32)
    phase_of_pairs(coordinates, i, j, g, s, rows.squares, rows.floor, rows.labels, phase)
    return phase, (best if tested.most else np.arange(i.size))


def summarise(phase):
    """Return near and far over all planes, (c, e, 2) int64, and the lowest and highest score of any, (c, e, 2) float64."""
    total = np.empty(phase.shape[1:], np.int64)
    lowest, highest = np.empty((2, *phase.shape[1:3]))
    summarise_phase(phase, total, lowest, highest)
    return total, np.stack([lowest, highest], axis=-1)


@dataclass(frozen=True)
class Chance:
    """What comparing a basis with its rotations gives; each array is a variable of the result.

    Attributes
    ----------
    null_phase, pair_phase, surrogate_phase : ndarray, (1 + M, c, e, 2) int64
        Near and far, summed over planes: first of the basis and rows as they are, then of M rotations of the basis; the
        same with the mean subtracted, or not where the run subtracted it; and of M sets of Gaussian rows with
        the mean and the covariance of these.
    null_extreme, pair_extreme, surrogate_extreme : ndarray, (1 + M, c, e, 2) float64
        Lowest and highest (near − far)/√(near + far) of any plane.
    tested_i, tested_j : ndarray, (t,) int32
        The planes that differ most.
    tested_phase : ndarray, (t, c, e, 2) int64
        Near and far in these, of the basis as it is.
    about : dict
        What was drawn, and |mean|/rms of these rows.
    """

    null_phase: np.ndarray
    null_extreme: np.ndarray
    pair_phase: np.ndarray
    pair_extreme: np.ndarray
    surrogate_phase: np.ndarray
    surrogate_extreme: np.ndarray
    tested_i: np.ndarray
    tested_j: np.ndarray
    tested_phase: np.ndarray
    about: dict


def compare(drawn, tested, *, rotations, epsilons, c, seed, mean=None, chosen=None, threads=1):
    """Compare a basis with its random rotations, and rows with Gaussian ones.

    Parameters
    ----------
    drawn : DrawnRows
        As stored.
    tested : PlanesDrawn
    rotations : int
        M.
    epsilons : sequence of float
    c : int
        Labels.
    seed : int
    mean : ndarray, (d,) float64, optional
        What the run subtracts from every row; without it the counterpart has the mean of the drawn rows subtracted.
    chosen : ndarray, (64,) bool, optional
        Folds on which planes are chosen by their hits.
    threads : int

    Returns
    -------
    Chance
    """
    values, labels = drawn.values, np.ascontiguousarray(drawn.about[:, 1])
    half = None if chosen is None else chosen[drawn.about[:, 2]]
    own = values.mean(axis=0) if len(values) else np.zeros(drawn.d)
    as_run = values if mean is None else values - mean
    rows, other = (Rows(these, labels, epsilons, half) for these in (as_run, values - own if mean is None else values))
    phases = np.zeros((3, 1 + rotations, c, len(epsilons), 2), np.int64)
    extremes = np.zeros(phases.shape)
    found, planes = count_near(tested, rows, tested.along(rows.values), c)
    phases[0, 0], extremes[0, 0] = phases[2, 0], extremes[2, 0] = summarise(found)
    phases[1, 0], extremes[1, 0] = summarise(count_near(tested, other, tested.along(other.values), c)[0])
    q, d = tested.frame.shape
    spread = _Spread(rows.values)

    def rotate(m):
        frame = random_frame(q, d, _generator(seed, _ROTATED, m))
        for kind, these in enumerate((rows, other)):
            counted, _ = count_near(tested, these, tested.turned(these.values, frame), c)
            phases[kind, m], extremes[kind, m] = summarise(counted)

    def imitate(m):
        gaussian = Rows(spread.draw(_generator(seed, _SURROGATE, m)), labels, epsilons, half)
        phases[2, m], extremes[2, m] = summarise(count_near(tested, gaussian, tested.along(gaussian.values), c)[0])

    if len(values):
        turns = range(1, 1 + rotations)
        each(lambda work, m: work(m), [(w, m) for m in turns for w in (rotate, imitate)], threads=threads)
    top = _top(found)
    square = float((values**2).sum(axis=1).mean()) if len(values) else 0.0
    about = {
        "rotations": rotations,
        "rows": len(values),
        "vectors": len(tested.vectors),
        "planes": int(tested.most or tested.i.size),
        "mean_over_rms": math.sqrt(math.fsum(own**2) / square) if square else None,
    }
    return Chance(
        phases[0], extremes[0], phases[1], extremes[1], phases[2], extremes[2],
        tested.plane_i[planes[top]].astype(np.int32), tested.plane_j[planes[top]].astype(np.int32),
        found[top].astype(np.int64), about,
    )  # fmt: skip


_TOP = 32  # planes of each direction and cell that are told


def _top(found):
    """Return the sorted positions of the planes with the most extreme scores at any label and epsilon."""
    near, far = (found[..., side].astype(np.float64) for side in (0, 1))
    score = ((near - far) / np.sqrt(np.maximum(near + far, 1.0))).reshape(len(found), -1)
    highest, lowest = score.max(axis=1), score.min(axis=1)
    first = np.argsort(-highest, kind="stable")[:_TOP]
    last = np.argsort(lowest, kind="stable")[:_TOP]
    return np.unique(np.concatenate([first[highest[first] > 0], last[lowest[last] < 0]]))


class _Spread:
    """Draws Gaussian rows with the mean and the covariance of some rows."""

    def __init__(self, values):
        self._n, d = values.shape
        self.mean = values.sum(axis=0) / max(self._n, 1)
        columns = np.ascontiguousarray((values - self.mean).T) / math.sqrt(max(self._n - 1, 1))
        if d < self._n:  # a root of the covariance takes fewer numbers than combinations of the rows themselves
            self._mixing = np.empty((d, d))
            root_of(_products(columns, columns), self._mixing)
        else:
            self._mixing = columns

    def draw(self, rng):
        """Return as many rows as there were."""
        weights = rng.standard_normal((self._n, self._mixing.shape[1]))
        return np.ascontiguousarray(_products(weights, self._mixing).T) + self.mean
