"""What a reading collects of its rows beside the counts; all workers of a pass fill it.

Each has a `value` that adds to values of other rows, `merge` to add one, and goes empty to another process.
"""

import threading

import numpy as np

from srmfast.drawn import DrawnRows, keys_of
from srmfast.engine.stored import to_floats
from srmfast.kernels.decode import USED
from srmfast.kernels.hashing import hash_rows
from srmfast.kernels.lengths import count_norms
from srmfast.norms import SHIFT, NormHistogram, NormsByLabel
from srmfast.repeats import Repeats, looked_at, stride
from srmfast.tally import TreeSums, aligned_intervals


class Shared:
    """What a reading collects: a value and the lock of those who add to it."""

    def __init__(self, *made):
        self._made = made
        self._lock = threading.Lock()

    def __reduce__(self):
        return type(self), self._made

    def blank(self):
        """Return an empty one like this."""
        return type(self)(*self._made)

    @property
    def value(self):
        """What has been collected."""
        return self._value

    def merge(self, value):
        """Add what was collected of other rows."""
        with self._lock:
            self._value = self._value + value


class SharedSums(Shared):
    """The tree of sums of a pass's rows and of their squared norms, TreeSums.

    Parameters
    ----------
    d : int
    """

    def __init__(self, d):
        super().__init__(d)
        self._value = TreeSums(d + 1)

    def add(self, level, index, values):
        with self._lock:
            self._value.add(level, index, values)

    def fill(self, start, stop):
        """Say that rows start … stop − 1 are left out, so that the nodes around them can merge."""
        for level, index in aligned_intervals(start, stop):
            self.add(level, index, np.zeros(self._value.width))


class SharedNorms(Shared):
    """The histogram of the norms of a pass's rows that are finite and not zero, NormHistogram."""

    def __init__(self):
        super().__init__()
        self._value, self._pages = NormHistogram(), []
        self._place, self._bins = np.full(2048, -1), np.zeros((0, 1 << (52 - SHIFT)), np.int64)

    def add(self, norms, fate, labels):
        with self._lock:
            at = 0
            while (at := count_norms(norms, fate, at, SHIFT, self._place, self._bins)) < len(norms):
                exponent = int(norms[at].view(np.int64) >> 52)
                self._place[exponent] = len(self._pages)
                self._pages.append(exponent)
                self._bins = np.concatenate([self._bins, np.zeros((1, self._bins.shape[1]), np.int64)])

    @property
    def value(self):
        """The NormHistogram so far."""
        with self._lock:
            return self._value + NormHistogram.from_arrays(np.array(self._pages, np.int64), self._bins.copy())


class SharedNormsByLabel(Shared):
    """The same for each label, NormsByLabel.

    Parameters
    ----------
    c : int
    """

    def __init__(self, c):
        super().__init__(c)
        self._value = NormsByLabel(c)

    def add(self, norms, fate, labels):
        used = fate == USED
        with self._lock:
            self._value.add(norms[used], labels[used])


class SharedRepeats(Shared):
    """The hashes of some of the rows used in a pass, Repeats.

    Parameters
    ----------
    rows : int
        Rows that --rows and --sample select in the whole store: they decide which are looked at.
    """

    def __init__(self, rows):
        super().__init__(rows)
        self._step, self._value, self._hashes = stride(rows), Repeats(), []

    def add(self, raw, absolute, fate, start, stop):
        """Hash the used ones among the rows to look at.

        Parameters
        ----------
        raw : ndarray, (n, d)
            Stored values of the rows of a block that take part.
        absolute : ndarray, (n,) int64
        fate : ndarray, (n,) uint8
        start, stop : int
            The block.
        """
        rows = looked_at(start, stop, self._step)
        if absolute.size == stop - start:
            place = rows - start
        else:
            place = np.searchsorted(absolute, rows)
            place = place[absolute[np.minimum(place, absolute.size - 1)] == rows]
        place = place[fate[place] == USED]
        if not place.size:
            return
        hashes = np.empty(place.size, np.uint64)
        hash_rows(*_words(raw, place), hashes)
        with self._lock:
            self._hashes.append(hashes)

    @property
    def value(self):
        """The Repeats so far."""
        with self._lock:
            new = Repeats.of(np.concatenate([np.empty(0, np.uint64), *self._hashes]))
            self._value, self._hashes = self._value + new, []
            return self._value


class SharedDrawn(Shared):
    """The rows of a pass on which the basis is compared with its rotations, DrawnRows.

    Parameters
    ----------
    size, d, seed : int
    labels : int
        Names of labels: codes beyond are those of another half of the rows.
    """

    def __init__(self, size, d, seed, labels):
        super().__init__(size, d, seed, labels)
        self._seed, self._labels, self._value = seed, labels, DrawnRows(size, d)

    def add(self, raw, dtype, absolute, block):
        """Draw among the used rows of a block, whose stored values are `raw`."""
        keys = keys_of(absolute, self._seed)
        at = np.flatnonzero((keys <= self._value.last) & (block.fate == USED))  # the last key only ever falls
        if not at.size:
            return
        at = at[np.argsort(keys[at], kind="stable")[: self._value.size]]
        values = to_floats(raw[at], dtype).astype(np.float64)
        about = np.stack([absolute[at], block.labels[at] % self._labels, block.folds[at].astype(np.int64)], axis=1)
        some = DrawnRows(self._value.size, values.shape[1], keys[at], about, values)
        self.merge(some)


def _words(raw, place):
    """Return the bytes of rows as words, the last filled up with zeros, and where those of `place` are among them."""
    nbytes = raw.shape[1] * raw.itemsize
    if nbytes % 8 == 0 and raw.flags.writeable:
        words = raw.view(np.uint64)
        if words.flags.aligned:  # other arrays are another type to the compiler
            return words, place
    words = np.zeros((place.size, -(-nbytes // 8)), np.uint64)
    words.view(np.uint8)[:, :nbytes] = raw[place].view(np.uint8)
    return words, np.arange(place.size)
