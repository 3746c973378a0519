"""Columns of Parquet and Arrow files: a column of vectors, or many columns of numbers.

Values that an Arrow file holds as they are get read by offset, like those of .npy; compressed ones and Parquet are
decoded one batch (row group) after the other.
"""

import bisect
import contextlib
import itertools
import math
import threading

import numpy as np

from srmfast.errors import InputError
from srmfast.stores import _dtypes, _fingerprint, _members, _places
from srmfast.stores._arrow_tables import one_line, open_table
from srmfast.stores._arrow_values import leaf, spelled, to_column, to_numpy
from srmfast.stores._region import Region
from srmfast.stores.base import Source

SHOWN_COLUMNS = 6
PIECE_BYTES = 2 << 20  # of a row group, decoded at once


def open_source(path, key=None):
    """Open the activations of a Parquet or Arrow file.

    Parameters
    ----------
    path : str
    key : str, optional
        Name of a column of vectors (equally long lists, nested ones too). When omitted: the only such column, or
        else all columns of floats side by side.

    Returns
    -------
    ArrowSource

    Raises
    ------
    InputError
        For a damaged file, a missing column, several candidates, lists of unequal length, or nulls.
    """
    path = str(path)
    table = open_table(path)
    try:
        with one_line(path):
            columns = _columns(table, path)
            names = [_members.choose(columns, key, path)] if key is not None else _only(columns, path)
            return ArrowSource(table, path, names, columns)
    except BaseException:
        table.close()
        raise


def load_array(path, key=None):
    """Load a whole column."""
    path = str(path)
    table = open_table(path)
    try:
        with one_line(path):
            columns = {name: ((1,), what) for name, (_, what) in _columns(table, path).items()}
            if key is None and len(columns) == 1:
                key = next(iter(columns))
            return _load(table, path, _members.choose(columns, key, path, least_rank=1))
    finally:
        table.close()


def list_arrays(path):
    """List the columns: name -> (shape, dtype as text)."""
    with contextlib.closing(open_table(path)) as table, one_line(path):
        return _columns(table, path)


class ArrowSource(Source):
    """One column of vectors, or several columns of numbers, of one file."""

    readers = 1

    def __init__(self, table, path, names, columns):
        self._table, self._path, self._names, self._columns = table, path, names, columns
        self._lock = threading.Lock()
        self._kept = (None, None)  # number of a decoded batch, its values
        self.format = table.format
        self._wide = len(names) > 1
        self.location = path if self._wide else f"{path}::{_members.shown(names[0])}"
        self._resolve_types()
        if hasattr(table, "divide"):
            table.divide(max(1, PIECE_BYTES // max(1, math.prod(self._inner) * self.dtype.itemsize)))
        self._places = []  # of every batch: bytes where its values lie in the file, None when it must be decoded
        rows = self._place() if hasattr(table, "scan") else table.rows
        self._places = self._places or [None] * len(rows)
        self._starts = [0, *itertools.accumulate(rows)]
        if not self._starts[-1]:
            raise InputError(f"{self.location} holds no rows; check that its writer has finished")
        self.shape = (self._starts[-1], *self._inner)
        if None in self._places:
            self.chunks = (max(rows), *(max(1, size) for size in self._inner))
        else:
            self.readers = 4
        self._file = _places.open_bytes(path)

    def segments(self, axis):
        if self.chunks is None or axis:
            return super().segments(axis)
        return [(rows, (rows, *self.chunks[1:])) for rows in np.diff(self._starts).tolist()]

    def _resolve_types(self):
        """Find the element type and the shape of one row."""
        first = [to_numpy(array, self.location) for array in self._table.first(self._names)]
        if not first:
            raise InputError(f"{self.location} holds no rows; check that its writer has finished")
        self._stored = [array.dtype for array in first]
        field = self._table.schema.field(self._names[0])
        marks = {name.decode(errors="replace"): value for name, value in (field.metadata or {}).items()}
        found = [_dtypes.resolve(dtype, self.location, marks)[0] for dtype in self._stored]
        self.dtype_name = _dtypes.common(found) or np.result_type(*self._stored).name
        self.dtype = _dtypes.raw(self.dtype_name)
        self._inner = (len(first),) if self._wide else first[0].shape[1:]

    def _place(self):
        """Find where every batch lies in the file, None for those that must be decoded; give the rows of each."""
        rows, at = [], 0
        for arrays, (base, size) in self._table.scan(self._names):
            places = []
            for array, dtype in zip(arrays, self._stored, strict=True):
                values = self._checked(to_numpy(array, self.location, at), at, len(array))
                address = values.__array_interface__["data"][0] - base
                inside = 0 <= address and address + values.nbytes <= size and values.flags.c_contiguous
                places.append(address if inside and dtype.kind != "b" or not values.size else None)
            self._places.append(None if None in places else places)
            rows.append(len(arrays[0]))
            at += len(arrays[0])
        return rows

    def _checked(self, values, at, rows):
        """Refuse a batch whose lists are longer or shorter than those of the first row."""
        inner = () if self._wide else self._inner
        if values.shape[1:] != inner and rows:
            raise InputError(
                f"row {at} of {self.location} has shape {values.shape[1:]}, row 0 has {inner}; lists must be equally "
                "long: pad them and give a mask, or store one token a row"
            )
        return values.reshape(rows, *inner)

    def read(self, selection):
        rows, *rest = selection
        low, high = (rows, rows + 1) if isinstance(rows, int) else (rows.start, rows.stop)
        pieces = []
        number = bisect.bisect_right(self._starts, low) - 1
        while number < len(self._starts) - 1 and self._starts[number] < high:
            start, stop = self._starts[number : number + 2]
            if start < stop:
                pieces.append(self._piece(number, slice(max(low, start) - start, min(high, stop) - start), tuple(rest)))
            number += 1
        if not pieces:
            pieces.append(self._piece(0, slice(0, 0), tuple(rest)))
        values = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        return values[0] if isinstance(rows, int) else values

    def _piece(self, number, rows, rest):
        places = self._places[number]
        count = self._starts[number + 1] - self._starts[number]
        if places is None:
            return self._decoded(number, rows.stop == count)[(rows, *rest)]
        if not self._wide:
            region = Region(self._file, places[0], (count, *self._inner), self._stored[0])
            return region.read((rows, *rest)).astype(self.dtype, copy=False)
        wanted = range(len(self._names))[rest[0]]
        chosen = [wanted] if isinstance(wanted, int) else wanted
        block = np.empty((rows.stop - rows.start, len(chosen)), self.dtype)
        for column, j in enumerate(chosen):
            block[:, column] = Region(self._file, places[j], (count,), self._stored[j]).read((rows,))
        return block[:, 0] if isinstance(wanted, int) else block

    def _decoded(self, number, last):
        """Give the values of one batch; it is kept until its last row was read, so a pass decodes it once."""
        with self._lock:
            kept, values = self._kept
            if kept != number:
                self._kept = (None, None)
                values = self._decode(number)
            self._kept = (None, None) if last else (number, values)
            return values

    def _decode(self, number):
        at = self._starts[number]
        count = self._starts[number + 1] - at
        with one_line(f"{self.location}, rows {at}:{at + count},"):
            columns = []
            for chunks in self._table.read(number, self._names):
                parts, row = [], at
                for chunk in chunks:
                    chunk.validate()
                    parts.append(self._checked(to_numpy(chunk, self.location, row), row, len(chunk)))
                    row += len(chunk)
                columns.append(parts[0] if len(parts) == 1 else np.concatenate(parts))
            if any(len(column) != count for column in columns):
                raise InputError(f"{self.location} promises {count} rows from {at} on and holds other; write it again")
            if not self._wide:
                return columns[0].astype(self.dtype, copy=False)
            values = np.empty((count, len(columns)), self.dtype)
            for j, column in enumerate(columns):
                values[:, j] = column
            return values

    def fingerprint_parts(self):
        size = self._file.stat().size
        described = [self._names, self.shape, self.dtype_name, [str(field.type) for field in self._table.schema]]
        slices = _fingerprint.file_slices(self._file.read_at, 0, size)
        return {"size": size, "header": _fingerprint.digest_json(described), "slices": slices}

    def describe(self):
        names = [_members.shown(name) for name in self._names[:SHOWN_COLUMNS]]
        return {"columns": names, "columns_used": len(self._names), "batches": len(self._starts) - 1, "order": None}

    def notes(self):
        kinds = sorted({dtype.name for dtype in self._stored})
        lines = [] if len(kinds) == 1 else [f"columns of types {', '.join(kinds)} are read as {self.dtype_name}"]
        if not self._table.ended:
            lines.append(
                f"{self._path} has no end mark: its writer may not have finished, {self.shape[0]} rows are there"
            )
        return lines

    def advice(self):
        rows = max(1, (8 << 20) // max(1, self.nbytes // self.shape[0]))
        return "" if self.format == "parquet" else f"write batches of {rows} rows without compression"

    def siblings(self):
        return {name: what for name, what in self._columns.items() if name not in self._names}

    def sibling(self, key):
        return load_array(self._path, key)

    def close(self):
        with self._lock:
            self._kept = (None, None)
            self._table.close()
            self._file.close()


def _columns(table, path):
    """Describe every column: name -> (shape, type as text); the length of lists is that of the first row."""
    columns, lists = {}, []
    for field in table.schema:
        if field.name in columns:
            raise InputError(f"{path} has two columns {_members.shown(field.name)!r}; rename one")
        levels, kind = leaf(field.type)
        columns[field.name] = ((None,) * (levels + 1), spelled(kind))
        if levels and _members.is_number(columns[field.name][1]):
            lists.append(field.name)
    rows = sum(table.rows)
    first = table.first(lists) if lists else []
    shapes = {name: _shape(array, path) for name, array in zip(lists, first, strict=False)}
    return {name: ((rows, *shapes.get(name, what[0][1:])), what[1]) for name, what in columns.items()}


def _shape(array, path):
    """Give the shape of one row; a null or ragged one is left to the reading of that column."""
    try:
        return to_numpy(array, path).shape[1:]
    except InputError:
        return (None,) * leaf(array.type)[0]


def _only(columns, path):
    """Choose what is meant without a name: the one column of vectors, or all columns of floats."""
    vectors = [name for name, (shape, kind) in columns.items() if len(shape) > 1 and _members.is_number(kind)]
    floats = [name for name, (shape, kind) in columns.items() if len(shape) == 1 and kind.startswith("float")]
    if not vectors and len(floats) > 1:
        return floats
    return [_members.choose(columns, None, path)]


def _load(table, path, name):
    location = f"{path}::{_members.shown(name)}"
    if hasattr(table, "scan"):
        chunks = [arrays[0] for arrays, _ in table.scan([name])]
    else:
        chunks = [chunk for i in range(len(table.rows)) for chunk in table.read(i, [name])[0]]
    for chunk in chunks:
        chunk.validate(full=True)  # text of a damaged file could lie anywhere
    return to_column(chunks, location)
