"""What a reading collects of its rows beside the counts; all workers of a pass fill it."""

import threading

import numpy as np

from srmfast.kernels.decode import USED
from srmfast.kernels.hashing import hash_rows
from srmfast.norms import NormHistogram
from srmfast.repeats import Repeats, looked_at, stride


class SharedNorms:
    """The histogram of the norms of a pass's rows that are finite and not zero.

    Parameters
    ----------
    histogram : NormHistogram, optional
        Of rows that were read before; it is added to.
    """

    def __init__(self, histogram=None):
        self.histogram = histogram or NormHistogram()
        self._lock = threading.Lock()

    def add(self, norms, fate):
        with self._lock:
            self.histogram.add(norms[fate == USED])


class SharedRepeats:
    """The hashes of some of the rows used in a pass.

    Parameters
    ----------
    rows : int
        Rows that --rows and --sample select in the whole store: they decide which are looked at.
    found : Repeats, optional
        Of rows that were read before.
    """

    def __init__(self, rows, found=None):
        self._step, self._found = stride(rows), found
        self._hashes = []
        self._lock = threading.Lock()

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

    def clear(self):
        """Forget all rows."""
        with self._lock:
            self._hashes.clear()

    def total(self):
        """Return the `Repeats` so far."""
        with self._lock:
            new = Repeats.of(np.concatenate([np.empty(0, np.uint64), *self._hashes]))
        return new if self._found is None else self._found + new


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
