"""The mean of each item over its positions, as an array that is read in their place."""

import math

import numpy as np

from srmfast.errors import InputError
from srmfast.stores import _dtypes
from srmfast.stores.base import Source

BLOCK_BYTES = 8 << 20  # of float64 values averaged at once, as far as one item is not larger


class PooledSource(Source):
    """An array (n, …, d) averaged over all row axes but the first, in float64: (n, d).

    Parameters
    ----------
    source : Source
    axes : Axes
        The roles of its axes.

    Notes
    -----
    The order of the sum is fixed: of m positions, each in the second half is added to the one half of m (rounded up)
    before it, until one is left. So the mean of an item does not depend on what is read with it.
    """

    dtype, dtype_name = np.dtype(np.float64), "float64"

    def __init__(self, source, axes):
        first, *others = axes.rows
        if not others:
            raise InputError(
                f"--pool mean averages rows over the row axes behind the first, and {source.location} of shape "
                f"{tuple(source.shape)} has one alone; drop it"
            )
        self.format, self.location = source.format, source.location
        self.readers, self.remote = source.readers, source.remote
        self._source, self._axes = source, axes
        (feature,) = axes.features
        self.shape = (source.shape[first], source.shape[feature])
        self.positions = math.prod(source.shape[axis] for axis in others)
        together = 1 if source.chunks is None else source.chunks[first]
        self.chunks = None if source.chunks is None else (together, self.shape[1])
        item = self.positions * self.shape[1]
        self._averaged = max(1, BLOCK_BYTES // (8 * item))  # items
        self._read = max(together, self._averaged // together * together)
        self.working_bytes = (
            2 * min(self._read, self.shape[0]) * item * source.dtype.itemsize + 8 * self._averaged * item
        ) + source.working_bytes

    def read(self, selection):
        items, features = (slice(s, s + 1) if isinstance(s, int) else s for s in selection)
        out = np.empty((items.stop - items.start, features.stop - features.start))
        at = items.start
        while at < items.stop:
            stop = min(at - at % self._read + self._read, items.stop)
            self._average(self._items(at, stop, features), out[at - items.start : stop - items.start])
            at = stop
        return out[tuple(0 if isinstance(s, int) else slice(None) for s in selection)]

    def _average(self, values, out):
        for low in range(0, len(values), self._averaged):
            part = slice(low, low + self._averaged)
            out[part] = self._mean(_dtypes.to_floats(values[part], self._source.dtype_name))

    def _items(self, start, stop, features):
        """Read whole items as (items, positions, features)."""
        shape, axes = self._source.shape, self._axes
        box = [slice(start, stop), *(slice(0, shape[axis]) for axis in axes.rows[1:])]
        chosen = [features if want is None else want for want in axes.selection(box)]
        values = self._source.read(tuple(chosen))
        kept = [axis for axis in range(len(shape)) if axis not in axes.fixed]
        order = [kept.index(axis) for axis in axes.rows + axes.features]
        return values.transpose(order).reshape(stop - start, self.positions, -1)

    def _mean(self, values):
        m = self.positions
        with np.errstate(invalid="ignore", over="ignore"):  # such rows are judged by their norm
            while m > 1:
                half = (m + 1) // 2
                values[:, : m - half] += values[:, half:m]
                m = half
            return values[:, 0] / self.positions

    def missing(self):
        gaps = self._source.missing()
        if gaps is None:
            return None
        for axis, position in self._axes.fixed.items():
            gaps = gaps[(gaps[:, axis, 0] <= position) & (position < gaps[:, axis, 1])]
        items = np.unique(gaps[:, self._axes.rows[0]], axis=0)  # an item that lacks a part lacks its mean
        return np.stack([items, np.broadcast_to([0, self.shape[1]], items.shape)], axis=1)

    def missing_keys(self, limit=5):
        return self._source.missing_keys(limit)

    def fill_missing(self):
        self._source.fill_missing()

    def advice(self):
        return self._source.advice()

    def content(self):
        return self._source.content()

    def fingerprint_parts(self):
        return self._source.fingerprint_parts()

    def fingerprint_again(self):
        return self._source.fingerprint_again()

    def describe(self):
        return self._source.describe() | {"pool": "mean", "pooled_dtype": self._source.dtype_name}

    def siblings(self):
        return self._source.siblings()

    def sibling(self, key):
        return self._source.sibling(key)

    def close(self):
        self._source.close()
