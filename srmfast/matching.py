"""Which results of two files belong together, what of them can be compared, and whether their folds are of the same rows."""

import os

import numpy as np

_PROBES, _SAME = 3, 1e-5  # random sums of vectors whose products with every vector must agree, to this share
_MATRIX = 2048  # vectors all of whose products are compared, at most
_EVERY = ("permutations", "combinations")  # planes that are all there are
_ROWS = (
    "groups",
    "rows",
    "sample_hash",
    "mask",
    "lengths",
    "tokens",
    "missing_chunks",
)  # of a Spec: which rows, and their folds
_NAMED = {"sample_hash": "sample", "rows": "--rows", "missing_chunks": "missing chunks"}


# ---- which belong together ------------------------------------------------------------------------------


def match(mine, theirs):
    """Match the results of two files.

    Parameters
    ----------
    mine, theirs : list of (str, str)
        Names of store and basis.

    Returns
    -------
    pairs : list of ((str, str), (str, str))
        In the order of the first.
    how : str
    """
    ways = (
        ("by name", lambda keys: {key: key for key in keys}),
        ("by what tells stores apart", _by_rest),
        ("by the number in the name", _by_number),
        ("by order", _by_order),
    )
    for how, named in ways:
        ours, others = named(mine), named(theirs)
        pairs = [(key, others[name]) for name, key in ours.items() if name in others]
        if pairs and (how != "by order" or len(mine) == len(theirs) == len(pairs)):
            return pairs, how
    return [], ""


def _by_rest(keys):
    stores = sorted({store for store, _ in keys})
    begin = os.path.commonprefix(stores) if len(stores) > 1 else ""
    begin = begin[: max((begin.rfind(mark) for mark in "./-_"), default=-1) + 1]
    return _unique({key: (key[0][len(begin) :], key[1]) for key in keys}) if begin else {}


def _by_number(keys):
    numbers = {key: "".join(c if c.isdigit() else " " for c in key[0]).split() for key in keys}
    return _unique({key: (int(found[-1]), key[1]) for key, found in numbers.items() if found})


def _by_order(keys):
    seen, places = {}, {}
    for key in keys:
        places[key] = (seen.setdefault(key[1], 0), key[1])
        seen[key[1]] += 1
    return _unique(places)


def _unique(names):
    """Turn key -> name round; {} when two keys have one name."""
    found = {name: key for key, name in names.items()}
    return found if len(found) == len(names) else {}


# ---- what may be compared -------------------------------------------------------------------------------


def incomparable(a, b):
    """Say in what the planes, angles and epsilons of two results differ; "" when they can be compared.

    Parameters
    ----------
    a, b : Result
    """
    found = []
    for name, first, second in (
        ("vectors", len(a.basis), len(b.basis)),
        ("width", a.basis.shape[1], b.basis.shape[1]),
        ("angles", a.angle.size, b.angle.size),
        ("planes", a.planes_total, b.planes_total),
    ):
        if first != second:
            found.append(f"{name} {first:,} and {second:,}")
    planes = [str(one.attrs["spec"].get("planes", "")) for one in (a, b)]
    whole = planes[0] == planes[1] and planes[0] in _EVERY
    if not found and not whole and a.attrs["spec"].get("planes_hash") != b.attrs["spec"].get("planes_hash"):
        active = planes[0].startswith("active:")
        remedy = ", which each chose by its own rows: --planes A.zarr takes those of one" if active else ""
        found.append(f"which planes ({planes[0]} and {planes[1]}{remedy})")
    if not found and not _same_geometry(a.basis, b.basis, any_order=whole):
        found.append("the angles between the vectors")
    if not np.intersect1d(a.epsilon, b.epsilon).size:
        found.append(f"epsilons {', '.join(f'{e:g}' for e in a.epsilon)} and {', '.join(f'{e:g}' for e in b.epsilon)}")
    return ", ".join(found)


def _same_geometry(a, b, any_order):
    """Say whether the products between vectors are the same, in any order where all planes are counted alike.

    Of many vectors by random sums of them, in their order: no matrix of products is made.
    """
    if np.array_equal(a, b):
        return True
    if any_order and len(a) <= _MATRIX:
        first, second = (np.sort(vectors @ vectors.T, axis=None) for vectors in (a, b))
    else:
        sums = np.random.Generator(np.random.PCG64(0)).standard_normal((len(a), _PROBES))
        first, second = (vectors @ (vectors.T @ sums) for vectors in (a, b))
    return bool(np.abs(first - second).max() <= _SAME * np.abs(first).max())


def unpaired(a, b):
    """Say why folds of two results are not of the same rows; "" when they are.

    Parameters
    ----------
    a, b : Result
    """
    first, second = a.attrs["spec"], b.attrs["spec"]
    shapes = [spec.get("store", {}).get("shape") or [None] for spec in (first, second)]
    if shapes[0][0] != shapes[1][0] or shapes[0][0] is None:
        return f"they have {' and '.join(f'{shape[0]:,}' if shape[0] else 'unknown' for shape in shapes)} rows"
    other = [_NAMED.get(name, name) for name in _ROWS if first.get(name) != second.get(name)]
    if a.attrs.get("active_folds") != b.attrs.get("active_folds"):
        other.append("the half that chose the planes")
    return f"they differ in {', '.join(other)}" if other else ""
