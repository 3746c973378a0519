"""By how much two results differ: trained and untrained, two checkpoints, as stored and centred; with intervals."""

import math
from dataclasses import dataclass

import numpy as np

from srmfast.atlas import write_table
from srmfast.displayed import Displayed
from srmfast.errors import InputError, require
from srmfast.excerpts import SAME_ANGLE, plural, shared_angle
from srmfast.jackknife import balance, difference, directions, leave_one_out
from srmfast.matching import incomparable, match, unpaired
from srmfast.results import Result, Results

ALL = "all"


@dataclass(frozen=True)
class Change:
    """A number of two results, and by how much they differ.

    Attributes
    ----------
    label : str
        "all" for all rows.
    epsilon : float
    first, second : float
        Of A and of B.
    size, low, high : float
        B − A and its 95 % interval; NaN where there is nothing to tell it from.
    """

    label: str
    epsilon: float
    first: float
    second: float
    size: float
    low: float
    high: float

    @property
    def beyond(self):
        """Whether the interval leaves out 0."""
        return bool(self.low > 0 or self.high < 0)


@dataclass(frozen=True, repr=False)
class Difference(Displayed):
    """How one result differs from another.

    Attributes
    ----------
    first, second : (str, str)
        Names of store and basis, of A and of B.
    rows : (int, int)
        Rows used.
    effects : tuple of Change
        Share of (row, plane) pairs nearer to a basis vector minus share nearer to a midpoint, for each label and epsilon; ()
        unless both were compared with rotations of their basis.
    contrasts : tuple of Change
        Share of rows in a cone on b_i and b_j minus that midway between, mean of all planes; () where planes differ in angle.
    epsilon : ndarray, (e,)
        Those that both have.
    angle : ndarray, (a,) float64
        Radians.
    curves : ndarray, (2, e, a) float64
        The mean of f over all planes, of A and of B, all rows.
    size, low, high : ndarray, (e, a) float64
        B − A of these and their 95 % intervals, each angle by itself.
    shared : float or None
        Angle from b_i to b_j in radians where all planes share it.
    paired : bool
        Whether the same rows lie in the same folds of both, so that one fold is left out of both at once.
    why : str
        Why not; "" when they do.
    folds : int
        Folds that hold rows, the fewer of both.
    grouped : bool
        Whether folds hold whole groups.
    notes : tuple of str
        What else differs.
    verdicts : (str, str)
        In words, "" without.
    """

    first: tuple
    second: tuple
    rows: tuple
    effects: tuple
    contrasts: tuple
    epsilon: np.ndarray
    angle: np.ndarray
    curves: np.ndarray
    size: np.ndarray
    low: np.ndarray
    high: np.ndarray
    shared: float | None
    paired: bool
    why: str
    folds: int
    grouped: bool
    notes: tuple
    verdicts: tuple

    def _line(self):
        return f"{'/'.join(self.second)} − {'/'.join(self.first)}, {'paired' if self.paired else 'not paired'}"


@dataclass(frozen=True, repr=False)
class Differences(Displayed):
    """How the results in B differ from those in A.

    Attributes
    ----------
    pairs : tuple of Difference
    matched : str
        By what results of A and B were found to belong together; "" for one of each.
    left_out : tuple of str
        Results without a like, and those that cannot be compared, with the reason.
    """

    pairs: tuple
    matched: str
    left_out: tuple

    def _line(self):
        return ", ".join(f"{'/'.join(pair.second)} − {'/'.join(pair.first)}" for pair in self.pairs)

    def __str__(self):
        from srmfast.differencelines import lines

        return "\n".join(lines(self))

    def plot(self, path=None, *, dpi=200):
        """Draw the mean curves with their difference below; return a matplotlib Figure.

        Parameters
        ----------
        path : str or Path, optional
            Where to save it: .png, .pdf or .svg.
        dpi : int
        """
        from srmfast.differencefigure import draw

        return draw(self, path, dpi=dpi)

    def table(self):
        """Return a dict for each effect and contrast of each pair."""
        return [
            {
                "a": "/".join(pair.first), "b": "/".join(pair.second), "quantity": quantity, **vars(change),
                "paired": pair.paired,
            }
            for pair in self.pairs
            for quantity, changes in (("effect", pair.effects), ("contrast", pair.contrasts))
            for change in changes
        ]  # fmt: skip

    def to_dataframe(self):
        """Return the rows of `table` as a pandas DataFrame."""
        return require("pandas", purpose="to_dataframe").DataFrame(self.table())

    def to_csv(self, path):
        """Write the rows of `table` to a CSV file, whole or not at all."""
        write_table(path, self.table())


def compare(a, b):
    """Say by how much the results in b differ from those in a, with intervals.

    Effects and curves are estimates from all rows; folds of rows are left out one at a time, the same one of both results
    where they have the same rows. It is no test against rotations of a basis: see `Result.alignment`.

    Parameters
    ----------
    a, b : Result or Results
        Results of several are matched by the names of store and basis, by what tells the stores of one file apart, by the
        number in the name, or by order.

    Returns
    -------
    Differences

    Raises
    ------
    InputError
        No two results belong together, or those that do have other planes, angles or epsilons.
    """
    for one in (a, b):
        if type(one) not in (Result, Results):
            raise InputError(f"results of srmfast run are compared, got {type(one).__name__}")
    mine, theirs = _members(a), _members(b)
    if isinstance(a, Result) and isinstance(b, Result):
        found, matched = [(next(iter(mine)), next(iter(theirs)))], ""
    else:
        found, matched = match(list(mine), list(theirs))
    if not found:
        raise InputError(
            f"no result of A has its like in B: {_listed(mine)} and {_listed(theirs)}; name stores and bases alike"
        )
    pairs, left_out = [], []
    for first, second in found:
        if other := incomparable(mine[first], theirs[second]):
            left_out.append(f"{'/'.join(first)} and {'/'.join(second)}: {other}")
        else:
            pairs.append(_difference(first, mine[first], second, theirs[second]))
    if not pairs:
        raise InputError(
            f"results are compared over the same planes, angles and epsilons, and these differ: {left_out[0].partition(': ')[2]}; "
            "run one of them again"
        )
    for which, members, n in (("A", mine, 0), ("B", theirs, 1)):
        alone = [key for key in members if key not in {pair[n] for pair in found}]
        left_out += [f"only in {which}: {_listed(alone)}"] if alone else []
    return Differences(tuple(pairs), matched, tuple(left_out))


def _members(result):
    if isinstance(result, Results):
        return dict(result)
    return {(str(result.attrs["store_name"]), str(result.attrs["basis_name"])): result}


def _listed(members):
    names = ["/".join(key) for key in members]
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _difference(first, a, second, b):
    a, b = (one if one.counts_heldout is None else one.heldout() for one in (a, b))  # on no row that chose its planes
    why = unpaired(a, b)
    epsilons = [epsilon for epsilon in a.epsilon.tolist() if epsilon in b.epsilon.tolist()]
    at = [[one.epsilon.tolist().index(epsilon) for epsilon in epsilons] for one in (a, b)]
    held = [one.rows_used.any(axis=1) for one in (a, b)]
    if not why:
        held = [held[0] | held[1]] * 2
    names, groups = _labels(a, b)
    rows = [_pooled(one.rows_used, groups[n], 1) for n, one in enumerate((a, b))]

    def changes(parts, statistic):
        estimates = [leave_one_out(statistic, part, which) for part, which in zip(parts, held, strict=True)]
        size, low, high = difference(*estimates, not why)
        values = [estimate[0] for estimate in estimates]
        return values, size, low, high

    def listed(values, size, low, high):
        return tuple(
            Change(name, epsilon, *(float(array[c, e]) for array in (*values, size, low, high)))
            for c, name in enumerate(names)
            for e, epsilon in enumerate(epsilons)
        )

    effects, contrasts = (), ()
    if a.phase is not None and b.phase is not None:
        parts = [_pooled(one.phase[:, :, at[n]], groups[n], 1) for n, one in enumerate((a, b))]
        effects = listed(*changes(parts, balance))
    shared = _shared(a, b)
    if shared is not None:
        weights = directions(a.angle.size, shared)
        parts = [
            np.concatenate(
                [
                    _pooled(one.fold_total[:, :, at[n]] @ weights.T, groups[n], 1),
                    np.repeat(rows[n][:, :, None, None], len(epsilons), axis=2),
                ],
                axis=-1,
            )
            for n, one in enumerate((a, b))
        ]
        contrasts = listed(*changes(parts, lambda sums: _share(sums[..., 0] - sums[..., 1], sums[..., 2], a)))
    parts = [
        np.concatenate(
            [
                _pooled(one.fold_total[:, :, at[n]], groups[n][:1], 1)[:, 0],
                np.repeat(rows[n][:, :1, None], len(epsilons), axis=1),
            ],
            axis=-1,
        )
        for n, one in enumerate((a, b))
    ]
    curves, size, low, high = changes(parts, lambda sums: _share(sums[..., :-1], sums[..., -1:], a))
    return Difference(
        first, second, (int(rows[0][:, 0].sum()), int(rows[1][:, 0].sum())), effects, contrasts, np.array(epsilons),
        a.angle, np.stack(curves), size, low, high, shared, not why, why, int(min(map(np.sum, held))), _grouped(a, b),
        _notes(a, b), tuple(_verdict(one) for one in (a, b)),
    )  # fmt: skip


def _labels(a, b):
    """Return the names of what is compared, all rows first, and for each result the positions that are added for each."""
    names = [[str(name) for name in one.label] for one in (a, b)]
    pooled = [[own.index(ALL)] if ALL in own else list(range(len(own))) for own in names]
    both = [name for name in names[0] if name in names[1] and name != ALL]
    both = both if min(map(len, names)) > 1 else []
    groups = [[pooled[n], *([names[n].index(name)] for name in both)] for n in (0, 1)]
    return [ALL, *both], groups


def _pooled(array, groups, axis):
    """Add positions along an axis: one entry for each group of them."""
    return np.stack([array.take(group, axis).sum(axis=axis) for group in groups], axis=axis)


def _share(counts, rows, result):
    """Return counts over planes as a share of the rows, mean of the planes; NaN without rows."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(rows > 0, counts / (rows * float(result.planes_total)), math.nan)


def _shared(a, b):
    first, second = shared_angle(a), shared_angle(b)
    return None if first is None or second is None or abs(first - second) > SAME_ANGLE else first


def _grouped(a, b):
    return all((one.attrs.get("null") or {}).get("groups") is not None or bool(one.attrs["spec"].get("groups")) for one in (a, b))  # fmt: skip


def _notes(a, b):
    notes = []
    centred = [bool(one.attrs.get("centred")) for one in (a, b)]
    if centred[0] != centred[1]:
        words = ["with the mean subtracted" if one else "as stored" for one in centred]
        notes.append(f"A {words[0]}, B {words[1]}")
    if a.attrs["spec"].get("inner_product", "") != b.attrs["spec"].get("inner_product", ""):
        notes.append("the inner products differ")
    if not np.array_equal(a.basis, b.basis):
        notes.append("the bases differ, the angles between their vectors do not")
    used = [one.attrs["rows"]["used"] for one in (a, b)]
    if used[0] != used[1]:
        notes.append(f"A counts {plural(used[0], 'row')}, B {used[1]:,}")
    axes = [(one.attrs.get("null") or {}).get("row_axes", 1) for one in (a, b)]
    if max(axes) > 1 and not _grouped(a, b):
        notes.append(
            "rows of one sequence or image depend on each other and were taken as independent: intervals are too narrow; "
            "use --groups"
        )
    return tuple(notes)


def _verdict(result):
    if result.null_phase is None:
        return ""
    found = result.alignment()
    return f"{found.verdict} (p = {found.p:.3g})"
