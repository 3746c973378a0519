"""A view of an array: some of its features, names for its axes, arrays beside it that lie elsewhere."""

import numpy as np

from srmfast.stores import _dtypes, _fingerprint
from srmfast.stores.base import Source


class View(Source):
    """An array of a layout that is known, with what the layout says of it and its file does not.

    Parameters
    ----------
    source : Source
        Owned from now on.
    dims : tuple of str or None, optional
        Names of the axes of the view.
    columns : (d,) int64 ndarray, optional
        Positions on the last axis, rising; all when omitted.
    drop : int
        Leading axes of size 1 that the view has not, nor the arrays beside it.
    dtype_name : str, optional
        What the bits mean, where the file cannot say.
    beside : mapping of str to ((tuple of int, str), callable), optional
        More arrays beside it: name -> ((shape, dtype as text), ``load()``).
    """

    def __init__(self, source, *, dims=(), columns=None, drop=0, dtype_name=None, beside=None):
        self._source, self._columns, self._drop, self._beside = source, columns, drop, dict(beside or {})
        self.format, self.location = source.format, source.location
        self.shape, self.chunks = source.shape[drop:], source.chunks and source.chunks[drop:]
        if columns is not None:
            self.shape = (*self.shape[:-1], len(columns))
            self.chunks = self.chunks and (*self.chunks[:-1], min(self.chunks[-1], len(columns)))
        self.dtype_name = dtype_name or source.dtype_name
        self.dtype = _dtypes.raw(self.dtype_name)
        self.dims = tuple(dims) or source.dims[drop:]
        self.working_bytes, self.readers, self.remote = source.working_bytes, source.readers, source.remote

    def read(self, selection):
        leading = (0,) * self._drop
        if self._columns is None:
            return self._source.read((*leading, *selection))
        wanted = self._columns[selection[-1]]
        if isinstance(selection[-1], int):
            return self._source.read((*leading, *selection[:-1], int(wanted)))
        if not wanted.size:
            return self._source.read((*leading, *selection[:-1], slice(0, 0)))
        low, high = int(wanted[0]), int(wanted[-1]) + 1
        values = self._source.read((*leading, *selection[:-1], slice(low, high)))
        return values if high - low == wanted.size else values[..., wanted - low]

    def fingerprint_parts(self):
        return self._marked(self._source.fingerprint_parts())

    def fingerprint_again(self):
        return self._marked(self._source.fingerprint_again())

    def _marked(self, parts):
        if self._columns is None:
            return parts
        return parts | {"header": _fingerprint.digest_json([parts["header"], self._columns.tolist()])}

    def segments(self, axis):
        if axis == len(self.shape) - 1:
            return super().segments(axis)
        return [
            (length, chunks and (*chunks[self._drop : -1], min(chunks[-1], self.shape[-1])))
            for length, chunks in self._source.segments(axis + self._drop)
        ]

    def missing(self):
        gaps = self._source.missing()
        if gaps is None or not len(gaps):
            return gaps
        gaps = gaps[:, self._drop :].copy()
        if self._columns is not None:
            touched = np.searchsorted(self._columns, gaps[:, -1])
            gaps = gaps[touched[:, 0] < touched[:, 1]]
            gaps[:, -1] = 0, self.shape[-1]
        return gaps

    def missing_keys(self, limit=5):
        return self._source.missing_keys(limit)

    def fill_missing(self):
        self._source.fill_missing()

    def describe(self):
        return self._source.describe()

    def notes(self):
        return self._source.notes()

    def advice(self):
        return self._source.advice()

    def siblings(self):
        found = {name: (self._dropped(shape), dtype) for name, (shape, dtype) in self._source.siblings().items()}
        return found | {name: what for name, (what, _) in self._beside.items()}

    def sibling(self, key):
        if key in self._beside:
            return self._beside[key][1]()
        values = self._source.sibling(key)
        return values.reshape(self._dropped(values.shape))

    def _dropped(self, shape):
        """Leave out the leading axes of size 1 of an array beside this one."""
        ones = shape[: self._drop] == (1,) * self._drop
        return tuple(shape[self._drop :]) if ones and len(shape) > self._drop else tuple(shape)

    def close(self):
        self._source.close()
