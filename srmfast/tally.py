"""What is counted, as integers that add: the tally of any set of rows, and tallies meet only through `+`."""

from dataclasses import dataclass, field

import numpy as np

from srmfast.errors import InputError

FOLDS = 64


def to_counts(differences, mirrored=None):
    """Return counts (…, a) int64 of difference arrays (…, a + 1).

    Parameters
    ----------
    differences : ndarray of integers
    mirrored : ndarray of integers, optional
        Difference arrays, of the same shape, of the same planes turned round: (j, i) for (i, j).

    Notes
    -----
    Turned round, an orthogonal plane shows θ at π/2 − θ, where cos and sin of the grid exchange to the bit.
    """
    counts = np.cumsum(differences, axis=-1, dtype=np.int64)[..., :-1]
    if mirrored is not None:
        a = counts.shape[-1]
        counts = counts + np.cumsum(mirrored, axis=-1, dtype=np.int64)[..., (a // 4 - np.arange(a)) % a]
    return counts


def joined(array, c, axis):
    """Add what was counted apart for two halves of the rows: an axis of 2c labels becomes one of c.

    Parameters
    ----------
    array : ndarray
        Returned as it is when the axis has c labels.
    c, axis : int
    """
    if array.shape[axis] == c:
        return array
    first, second = np.split(array, 2, axis=axis)
    return first + second


@dataclass
class RowTally:
    """What became of the rows; shared by every basis of a run.

    Attributes
    ----------
    seen : int
        Rows selected by --rows and --sample.
    fate : ndarray, (64, c, 3) int64
        Rows used, of zero norm and non-finite, by fold and label.
    masked : dict of str to int
        Rows left out by each rule, counted at the first rule that applies.
    """

    seen: int
    fate: np.ndarray
    masked: dict = field(default_factory=dict)

    @classmethod
    def zero(cls, c):
        return cls(0, np.zeros((FOLDS, c, 3), np.int64))

    def leave_out(self, rule, rows):
        """Account for rows that a rule leaves out."""
        self.masked[rule] = self.masked.get(rule, 0) + rows

    def __add__(self, other):
        masked = {rule: self.masked.get(rule, 0) + other.masked.get(rule, 0) for rule in self.masked | other.masked}
        return RowTally(self.seen + other.seen, self.fate + other.fate, masked)


@dataclass
class PlaneTally:
    """What the planes of one basis had of some rows.

    Attributes
    ----------
    totals : ndarray, (64, c, e, a + 1) int64
        Difference arrays summed over planes, by fold.
    arcs : int
        (row, plane, epsilon) triples with at least one angle inside, mirror images not counted.
    pieces : iterable of (ndarray, ndarray)
        Numbers of planes, (m,) int64, and their difference arrays, (m, c, e, a + 1); or numbers of pairs and their hits,
        (m,). Every number occurs once; what had nothing may be left out.
    phase : ndarray, (64, c, e, 2) int64, or None
        Rows near and far (`naive.phase`) summed over planes, by fold; of mirrored planes one of each two.
    """

    totals: np.ndarray
    arcs: int
    pieces: object
    phase: np.ndarray | None = None

    def __add__(self, other):
        totals, arcs = self.totals + other.totals, self.arcs + other.arcs
        phase = None if self.phase is None else self.phase + other.phase
        mine, theirs = list(self.pieces), list(other.pieces)
        numbers = [number for number, _ in mine + theirs]
        union = np.unique(np.concatenate(numbers)) if numbers else np.empty(0, np.int64)
        if not union.size:
            return PlaneTally(totals, arcs, [], phase)
        first = next(values for number, values in mine + theirs if number.size)
        added = np.zeros((union.size, *first.shape[1:]), first.dtype)
        for number, values in mine + theirs:
            added[np.searchsorted(union, number)] += values  # every number once in a piece: no addition is lost
        return PlaneTally(totals, arcs, [(union, added)], phase)


@dataclass
class Tally:
    """What some rows of a store add up to in one reading: all that is ever saved, sent or merged.

    Attributes
    ----------
    intervals : list of (int, int)
        The rows, as disjoint [start, stop) in ascending order.
    rows : RowTally
    collected : dict of str to object
        What was collected of the rows beside the counts, "sums" for example; each adds by `+`.
    planes : list of PlaneTally
        One for each basis.
    """

    intervals: list
    rows: RowTally
    collected: dict
    planes: list

    def __add__(self, other):
        return Tally(
            merged(self.intervals + other.intervals),
            self.rows + other.rows,
            {name: value + other.collected[name] for name, value in self.collected.items()},
            [mine + theirs for mine, theirs in zip(self.planes, other.planes, strict=True)],
        )


def merged(intervals):
    """Sort intervals and join those that touch; what they cover twice is refused.

    Parameters
    ----------
    intervals : iterable of (int, int)

    Returns
    -------
    list of (int, int)

    Raises
    ------
    InputError
        Two of them overlap.
    """
    joined_up = []
    for start, stop in sorted((int(start), int(stop)) for start, stop in intervals if start < stop):
        if joined_up and start < joined_up[-1][1]:
            raise InputError(f"rows may be counted once, but {start:,}:{min(stop, joined_up[-1][1]):,} are there twice")
        if joined_up and start == joined_up[-1][1]:
            joined_up[-1] = (joined_up[-1][0], stop)
        else:
            joined_up.append((start, stop))
    return joined_up


def gaps(intervals, start, stop):
    """Return the parts of start … stop − 1 that disjoint ascending intervals leave out, as a list of (int, int)."""
    found = []
    for low, high in [*intervals, (stop, stop)]:
        if start < min(low, stop):
            found.append((start, min(low, stop)))
        start = max(start, high)
    return found


class TreeSums:
    """Sums of rows and of their squared norms over the aligned binary tree of absolute row numbers.

    Nodes are merged as soon as both halves are there, so that any order of arrival gives the same bits.

    Parameters
    ----------
    width : int
        Entries of a node: d + 1.
    """

    def __init__(self, width):
        self.width = width
        self.nodes = {}

    def add(self, level, index, values):
        """Add the node over rows index·2^level … (index + 1)·2^level − 1; `values` is kept, not copied."""
        while (sibling := self.nodes.pop((level, index ^ 1), None)) is not None:
            values = sibling + values if index & 1 else values + sibling
            level, index = level + 1, index >> 1
        self.nodes[level, index] = values

    def __add__(self, other):
        result = TreeSums(self.width)
        for nodes in (self.nodes, other.nodes):
            for (level, index), values in nodes.items():
                result.add(level, index, values)
        return result

    def to_arrays(self):
        """Return the places, (m, 2) int64 of level and index, and the values, (m, width) float64, of all nodes."""
        places = np.array(list(self.nodes), np.int64).reshape(-1, 2)
        return places, np.array(list(self.nodes.values())).reshape(-1, self.width)

    @classmethod
    def from_arrays(cls, places, values):
        """Return the sums that `to_arrays` gave."""
        sums = cls(values.shape[1])
        sums.nodes = {(level, index): row for (level, index), row in zip(places.tolist(), values, strict=True)}
        return sums

    def total(self):
        """Return the sum at the root, (width,) float64; rows that were never added count as zero."""
        waiting = dict(self.nodes)
        level = 0
        while len(waiting) > 1:
            for index in sorted(index for at, index in waiting if at == level):
                values = waiting.pop((level, index))
                parent = (level + 1, index >> 1)  # there already only if the left half was just promoted
                waiting[parent] = waiting[parent] + values if parent in waiting else values
            level += 1
        # + 0.0: whether a −0.0 survives would depend on which rows that were left out were added as zeros.
        return next(iter(waiting.values())) + 0.0 if waiting else np.zeros(self.width)


def aligned_intervals(start, stop):
    """Split rows start … stop − 1 into the fewest whole tree nodes, in order, as (level, index) pairs."""
    while start < stop:
        level = min((start & -start).bit_length() - 1 if start else 63, (stop - start).bit_length() - 1)
        yield level, start >> level
        start += 1 << level
