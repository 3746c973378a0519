"""What an analyst of a store and a basis has to choose, and which options of a run each way to choose stands for."""

from dataclasses import dataclass, replace

import numpy as np

from srmfast.engine.passes import Passes, some_rows
from srmfast.engine.suggest import suggest_epsilon
from srmfast.errors import InputError

CENTRING, WITH = ("raw", "centred"), ("with", "without")
PLANES = ("permutations", "halves")
LONG = "long rows"
MULTIPLE = 10.0  # times the median norm, above which a row is long
SPREAD = (0.85, 1.0, 1.15)  # times the ε that a look at the rows suggests
_HIGHEST = 0.95  # ε, of these
_HALF = 724  # vectors of a half, at most: no more planes among them than the comparison with rotations takes
_HALVES = 65  # stream of random numbers
_LOOKED_AT = 1 << 20  # rows whose mask is made at once


@dataclass(frozen=True)
class Choice:
    """One thing that has to be chosen.

    Attributes
    ----------
    name : str
    options : tuple of (str, dict)
        Each way to choose: in words, and as options of a `Request`.
    """

    name: str
    options: tuple


def chosen(name, asked, there):
    """Make a Choice of the options asked for, a key or several of `there`.

    Parameters
    ----------
    name : str
    asked : str or sequence of str
    there : dict of str to (str, dict)

    Returns
    -------
    Choice
    """
    keys = _listed(asked)
    if not keys or set(keys) - set(there) or len(set(keys)) < len(keys):
        raise InputError(
            f"{name} must be {' or '.join(there)}, or both ({','.join(there)}), got {','.join(map(str, keys)) or 'nothing'}"
        )
    return Choice(name, tuple(there[key] for key in keys))


def _listed(asked):
    return (asked,) if isinstance(asked, str) else tuple(asked)


def centrings(asked):
    """Return the Choice between rows as stored ("raw") and with their mean subtracted ("centred")."""
    return chosen("centring", asked, {"raw": ("raw", {"centre": False}), "centred": ("centred", {"centre": True})})


def token_rows(member, asked):
    """Return the Choice whether the first position of each sequence takes part, or (name, why not) without such an axis.

    The first position is that which mask and lengths keep; rows of all sequences come from two axes, or lengths say which they
    are.
    """
    name, selection, shape = "first tokens", member.selection, member.store.row_shape
    keys, lengths = _listed(asked), selection.rules.get("lengths")
    if lengths is None and len(shape) != 2 or (lengths.size if lengths else shape[-1]) < 2:
        if keys == ("without",):
            raise InputError(
                f"first tokens are known where rows are those of (sequence, position), got rows {tuple(shape)} of "
                f"{member.store.location}; leave them in"
            )
        chosen(name, asked, dict.fromkeys(WITH))
        return name, "the rows have no axis of positions"
    without = {"mask": _without_first(selection, member.store)} if "without" in keys else {}
    return chosen(name, asked, {"with": ("with first tokens", {}), "without": ("without first tokens", without)})


def _without_first(selection, store):
    """Return a mask without the first position of each sequence that mask and lengths keep, (n,) bool."""
    rules = [selection.rules[name] for name in ("mask", "lengths") if name in selection.rules]
    lengths = selection.rules.get("lengths")
    size, inner = (lengths.size, lengths.inner) if lengths else (store.row_shape[-1], 1)
    kept = np.ones(store.n, bool)
    for start in range(0, store.n, _LOOKED_AT):
        stop = min(start + _LOOKED_AT, store.n)
        for rule in rules:
            kept[start:stop] &= rule.keeps(start, stop)
    by_position = kept.reshape(-1, size, inner)
    first = by_position.any(axis=2).argmax(axis=1)
    by_position[np.arange(len(by_position)), first] = False
    return kept


def lengths_of_rows(max_norm, asked, there):
    """Return the Choice whether long rows take part, or (name, why not) when none are there.

    Parameters
    ----------
    max_norm : float or str
        Above which rows are long, as `Request` has it.
    asked : str or sequence of str
    there : callable, optional
        Looks whether there may be any; without it they are taken to be there.
    """
    options = {"with": ("with long rows", {}), "without": ("without long rows", {"max_norm": max_norm})}
    found = chosen(LONG, asked, options)
    if len(found.options) < 2 or there is None or there():
        return found
    limit = f"{max_norm:g} times the median norm" if isinstance(max_norm, float) else max_norm.removeprefix("abs:")
    return LONG, f"no row is longer than {limit}"


def measure_long(member, request, on_event):
    """Read the norms of the rows and say whether any may be longer than `request.max_norm`."""
    given = isinstance(request.max_norm, str)
    passes = Passes(member, replace(request, max_norm=1.0) if given else request, 0, on_event)
    passes.find_limit()
    limit = float(request.max_norm.removeprefix("abs:")) if given else passes.limit.limit
    # The bin that holds the limit may hold longer rows: it has to be empty, too.
    return passes.norms is not None and passes.norms.above(limit * (1 - 2**-11)) > 0


def plane_sets(member, asked, seed):
    """Return the Choice between sets of planes, and (name, why not) when a basis has no halves.

    Parameters
    ----------
    member : Member
        With one basis.
    asked : str or sequence of str
        Of a `Request`, and "halves": two options, the planes among either half of the vectors.
    seed : int
        Of the halves.

    Returns
    -------
    list
    """
    options, unvaried = [], []
    for kind in _listed(asked):
        if kind != "halves":
            options.append(("all planes" if kind in ("permutations", "combinations") else kind, {"planes": kind}))
        elif pairs := halves(member.bases[0].geometry, seed):
            options += [
                (f"half {name} of the vectors", {"planes": some}) for name, some in zip("AB", pairs, strict=True)
            ]
        else:
            unvaried.append(("halves of the basis", "fewer than 4 of its vectors span planes with each other"))
    if not options:
        raise InputError(
            "planes must be of one kind at least, and a half needs vectors that span one; use permutations"
        )
    if len({words for words, _ in options}) < len(options):
        raise InputError(
            f"planes must be different kinds, and to a verdict permutations and combinations are not; got {','.join(_listed(asked))}"
        )
    return [Choice("planes", tuple(options)), *unvaried]


def halves(geometry, seed):
    """Draw a half of the vectors of a basis and return the planes among them, and those among the others.

    Parallel vectors stay together: to a spotlight one of them is the other. Of more than 724 vectors in a half, so many are
    drawn.

    Parameters
    ----------
    geometry : Geometry
    seed : int

    Returns
    -------
    list of two (p, 2) int64, or None
        None with fewer than four vectors that are not parallel.
    """
    first = np.arange(len(geometry.basis.vectors))
    np.minimum.at(first, geometry.parallel[:, 1], geometry.parallel[:, 0])
    apart = np.unique(first)
    if apart.size < 4:
        return None
    rng = np.random.Generator(np.random.PCG64([seed, _HALVES]))
    order, middle, found = rng.permutation(apart), -(-apart.size // 2), []
    for half in (order[:middle], order[middle:]):
        vectors = np.flatnonzero(np.isin(first, half))
        if vectors.size > _HALF:
            vectors = np.sort(rng.choice(vectors, _HALF, replace=False))
        i, j = np.triu_indices(vectors.size, 1)
        pairs = np.stack([vectors[i], vectors[j]], axis=1)
        found.append(pairs[~geometry.is_parallel(pairs[:, 0], pairs[:, 1])])
    return found


def spread_epsilons(member, centring):
    """Return some ε about those that a few rows suggest, raw and centred; a sorted tuple.

    0.85, 1 and 1.15 times the smaller one, and the larger one if it is larger than these; 0.95 at most.
    """
    rows = some_rows(member, None)
    if not len(rows):
        raise InputError(f"at least one row must be usable to suggest an epsilon, got none in {member.store.location}")
    basis, treated = member.bases[0].basis, {"raw": rows, "centred": rows - rows.mean(axis=0)}
    suggested = [
        suggest_epsilon(some[(some**2).sum(axis=1) > 0], basis) for name, some in treated.items() if name in centring
    ]
    suggested = [value for value in suggested if value] or [0.5]
    wanted = [times * min(suggested) for times in SPREAD]
    wanted += [max(suggested)] if max(suggested) > wanted[-1] else []
    digits = 2 if wanted[0] >= 0.2 else 3
    return tuple(sorted({round(min(_HIGHEST, value), digits) for value in wanted}))
