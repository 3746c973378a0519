"""What is counted, as integers that add: the tally of any set of rows, and tallies meet only through `+`."""

from dataclasses import dataclass, field

import numpy as np

from srmfast.errors import InputError
from srmfast.spec import format_bytes

FOLDS = 64


class PlaneDifferences:
    """Difference arrays of the planes that were hit, one row for each (plane, label, epsilon) key.

    Rows are appended in the order of first hits, in a buffer that grows in place; an index finds them by key.

    Parameters
    ----------
    a : int
        Number of angles.
    dtype : numpy integer type
    limit : int, optional
        Bytes that they may hold.

    Attributes
    ----------
    keys : ndarray, (h,) int64, sorted
        (plane·c + label)·e + epsilon.
    """

    def __init__(self, a, dtype=np.int32, limit=None):
        self._limit = limit
        self.keys = np.empty(0, np.int64)
        self._rows = np.empty(0, np.int64)  # where the difference array of each key lies
        self._buffer = np.zeros((0, a + 1), dtype)

    def planes(self, keys_per_plane):
        """Return how many planes were hit at all."""
        return np.unique(self.keys // keys_per_plane).size

    def counts(self, part):
        """Return the counts of `keys[part]`, (m, a) int64; `part` is a slice or index array."""
        return np.cumsum(self._buffer[self._rows[part]], axis=-1, dtype=np.int64)[:, :-1]

    def add_events(self, events):
        """Add arcs given as (m, 3) int64 rows of key, start (in [0, a)) and length ≥ 1, in place."""
        a = self._buffer.shape[1] - 1
        keys, which = np.unique(events[:, 0], return_inverse=True)
        row = self._find(keys)[which]
        start, length = events[:, 1], events[:, 2]
        end = start + length
        full, wraps = length >= a, end > a
        np.add.at(self._buffer, (row, np.where(full, 0, start)), 1)
        np.add.at(self._buffer, (row[wraps & ~full], 0), 1)
        np.subtract.at(self._buffer, (row[~full], np.where(wraps, end - a, end)[~full]), 1)

    def add(self, other):
        """Add the planes of another, in place."""
        self._buffer[self._find(other.keys)] += other._buffer[other._rows]

    def _find(self, keys):
        """Return the rows of sorted keys, making room for those that are new."""
        new = np.setdiff1d(keys, self.keys, assume_unique=True)
        if new.size:
            held = self.keys.size
            if held + new.size > len(self._buffer):
                room = self._room(held + new.size, held + held // 2)
                self._buffer.resize((room, self._buffer.shape[1]), refcheck=False)  # grows in place, with zeros
            order = np.argsort(np.concatenate([self.keys, new]), kind="stable")
            self.keys = np.concatenate([self.keys, new])[order]
            self._rows = np.concatenate([self._rows, np.arange(held, held + new.size)])[order]
        return self._rows[np.searchsorted(self.keys, keys)]

    def _room(self, needed, wanted):
        """Return how many rows to make room for: more than needed while the limit allows."""
        row = self._buffer.itemsize * self._buffer.shape[1] + 16  # with key and index
        if self._limit is None:
            return max(needed, wanted)
        if needed * row > self._limit:
            raise InputError(
                f"the planes that are hit must fit into an eighth of the memory, {format_bytes(self._limit)}, but the first "
                f"{needed:,} of them already need {format_bytes(needed * row)}; use a larger epsilon, --keep summary or "
                "more --memory"
            )
        return max(needed, min(wanted, self._limit // row))


@dataclass
class Tally:
    """Integer counts of one basis over some rows; `+` is exact, so order and partition change nothing.

    Attributes
    ----------
    dense : ndarray, (c, e, slots, a + 1) int32 or int64
        Difference arrays of every plane number; slots = 0 when planes are kept by hit or not at all.
    totals : ndarray, (64, c, e, a + 1) int64
        Difference arrays summed over all planes, by fold.
    arcs : int
        (row, plane, epsilon) triples with at least one angle inside.
    """

    dense: np.ndarray
    totals: np.ndarray
    arcs: int = 0

    @classmethod
    def zero(cls, c, e, slots, a, *, dtype=np.int32):
        """Return the tally of no rows; `slots` = 0 keeps no dense planes."""
        shape = (c, e, slots, a + 1) if slots else (c, e, 0, 0)
        return cls(np.zeros(shape, dtype), np.zeros((FOLDS, c, e, a + 1), np.int64))

    def __add__(self, other):
        return Tally(self.dense + other.dense, self.totals + other.totals, self.arcs + other.arcs)

    def __iadd__(self, other):
        self.dense += other.dense
        self.totals += other.totals
        self.arcs += other.arcs
        return self


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

    def __add__(self, other):
        masked = {rule: self.masked.get(rule, 0) + other.masked.get(rule, 0) for rule in self.masked | other.masked}
        return RowTally(self.seen + other.seen, self.fate + other.fate, masked)


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
