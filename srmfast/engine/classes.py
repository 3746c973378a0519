"""The classes of rows: one label each, or any number of concepts."""

import os
from pathlib import Path

import numpy as np

from srmfast.errors import InputError
from srmfast.spec import hash_array
from srmfast.stores import expand, load_column, open_store

_PIECE = 1 << 24  # values of concepts read at once


class Classes:
    """The classes of the rows of a store.

    Parameters
    ----------
    names : ndarray, (c,) str
    selection : RowSelection, optional
        Gives the label of each row.
    bits : ndarray, (m, ⌈c/8⌉) uint8, optional
        Or the concepts of row r in ``bits[r // inner]``, as np.packbits leaves them.
    inner : int
    """

    def __init__(self, names, selection=None, bits=None, inner=1):
        self.names, self.several = names, bits is not None
        self._selection, self._bits, self._inner = selection, bits, inner

    @classmethod
    def of(cls, member, concepts, names):
        """Return the classes of a member's rows: its labels, or the concepts given."""
        if concepts is None:
            if names is not None:
                raise InputError("names of concepts are given, but no concepts; give --concepts F|key")
            return cls(member.selection.names, member.selection)
        bits, count, inner = _read(concepts, member.store)
        return cls(_names(names, count), None, bits, inner)

    @property
    def nbytes(self):
        """Bytes held beside the selection."""
        return 0 if self._bits is None else self._bits.nbytes

    def digest(self):
        """Return a hash of the classes of all rows."""
        columns = self._selection and self._selection.columns["labels"]
        held = self._bits if self.several else columns and columns[0]
        return hash_array(held) + hash_array(self.names)

    def of_rows(self, rows):
        """Return the concepts of absolute rows, (n, c) bool."""
        return np.unpackbits(self._bits[rows // self._inner], axis=1, count=self.names.size).view(bool)

    def lists(self, rows, labels):
        """Return `first`, (n + 1,) int64, and `codes`, int32: row r has the classes codes[first[r] : first[r + 1]]."""
        if not self.several:
            return np.arange(rows.size + 1), labels
        held = self.of_rows(rows)
        first = np.concatenate([[0], np.cumsum(held.sum(axis=1, dtype=np.int64))])
        return first, np.nonzero(held)[1].astype(np.int32)

    def table(self, rows):
        """Return the classes of absolute rows for a test: (n,) int64 codes, or (n, c) bool."""
        return self.of_rows(rows) if self.several else self._selection.labels(rows).astype(np.int64)


def unit_codes(groups, store, rows):
    """Return the number of the group of each of some absolute rows, int64."""
    values, inner = expand(load_column(groups, store), store.row_shape, "groups")
    return np.unique(values, return_inverse=True)[1].reshape(-1)[rows // inner].astype(np.int64)


def _read(spec, store):
    """Return concepts packed to bits, (m, bytes), how many there are, and for how many rows one entry stands."""
    path = isinstance(spec, (str, Path))
    beside = path and "::" not in str(spec) and "://" not in str(spec) and not os.path.exists(spec)
    values = load_column(spec, store) if beside or not path else None
    if values is not None and (values.ndim == 1 or values.shape[-1] == 1):  # a single concept is no store
        values = np.stack([values.reshape(-1), np.zeros(values.size, values.dtype)], axis=1)
        bits, _, inner = _read(values, store)
        return bits, 1, inner
    source = open_store(spec if values is None else values)
    n, count = source.n, source.d
    fits = [np.prod(store.row_shape[:rank], dtype=int) for rank in range(1, len(store.row_shape) + 1)]
    if n not in fits:
        raise InputError(
            f"concepts must be (rows, concepts) for {store.n:,} rows, got {n:,} x {count:,}: check order and length"
        )
    pieces, step = [], max(1, _PIECE // count)
    try:
        for start in range(0, n, step):
            values = np.asarray(source.read(start, min(start + step, n)))
            if values.dtype.kind not in "biuf" or not ((values == 0) | (values == 1)).all():
                raise InputError(
                    f"concepts must be true or false, or 1 or 0, got others in {source.location}; write VALUES > 0"
                )
            pieces.append(np.packbits(values != 0, axis=1))
    finally:
        source.close()
    return np.concatenate(pieces), count, store.n // n


def _names(names, count):
    if names is None:
        return np.arange(count).astype(str)
    names = load_column(names).astype(str).reshape(-1)
    if names.size != count or np.unique(names).size != count:
        raise InputError(f"{count:,} concepts need as many different names, got {np.unique(names).size:,}")
    return names
