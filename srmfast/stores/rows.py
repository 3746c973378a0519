"""Rows and features made from an n-dimensional array of any format."""

import math

import numpy as np

from srmfast.displayed import Displayed
from srmfast.errors import InputError
from srmfast.sound import sound
from srmfast.stores import _axes, _layout, _ranges
from srmfast.stores._pool import PooledSource

_LAYER_NAMES = ("layer", "layers", "layer_ids", "layer_names")


class Store(Displayed):
    """A matrix of n rows and d features that is read in blocks of rows.

    Rows are the C-ordered positions of the row axes in their original order. A store does not change after
    construction, reads the same values any number of times and may be read by up to `readers` threads at
    once.

    Parameters
    ----------
    source : Source
        The array.
    feature_axis : int or str, optional
        Axis of the features; the last one when omitted (four and more free axes are refused as ambiguous).
    index : mapping of int or str to int, optional
        Axis -> the one position to use; axis numbers are those of the array.
    flatten : bool
        First axis rows, everything else features.
    pool : {"mean"}, optional
        Average over all row axes but the first.
    name : str, optional
        Short name for titles and result groups.
    recognised : Recognised, optional
        The layout that the path was found to have.

    Attributes
    ----------
    n, d : int
        Rows and features.
    shape : tuple of int
        (n, d).
    dtype : str
        "float16", "bfloat16", "float32", … as stored.
    row_shape : tuple of int
        Sizes of the row axes; their product is n.
    rows_per_block : int
        Rows that whole chunks cover; blocks should begin and end at its multiples. 1 without preference.
    unit_bytes : int
        Bytes decoded when one such unit is read.
    working_bytes : int
        What a reader holds beside that.
    readers : int
        Threads that may read at once.
    row_bytes : int
        What is read for one row: all that a mean is taken over.
    row_axes : tuple of int
        Axes of the array that rows, or the means that rows are, are taken over.
    dims : tuple of str or None
        Names of the axes of the array.
    axes_chosen : bool
        Whether the user said which axes are what.
    remote : bool
        Whether reading waits for a network rather than for a core.
    computes : bool
        Whether reading is the work: values are computed.
    held_bytes : int
        What is held while the store is open.
    name, location : str
        Short name, and where the data lie.
    recognised : Recognised or None
        The layout, the columns that it brings, and what was assumed.

    Raises
    ------
    InputError
        When the axes cannot be resolved, there is no row, or d < 2.
    """

    def __init__(self, source, feature_axis=None, index=None, flatten=False, pool=None, name="array", recognised=None):
        self._stored = source
        self._stored_axes = _axes.resolve(
            source.shape,
            source.location,
            feature_axis=feature_axis,
            index=index,
            flatten=flatten,
            dims=source.dims,
        )
        self._source, self._axes, positions = source, self._stored_axes, 1
        if pool is not None:
            if pool != "mean" or flatten:
                raise InputError(f"--pool must be mean, and without --flatten, got {pool!r}; drop one of them")
            self._source = source = PooledSource(source, self._stored_axes)
            self._axes, positions = _axes.Axes((0,), (1,), {}), source.positions
        self._refuse_layers_beside(index)
        self._closed = False
        self.row_shape = tuple(source.shape[axis] for axis in self._axes.rows)
        self.n = math.prod(self.row_shape)
        self.d = math.prod(source.shape[axis] for axis in self._axes.features)
        self.shape = (self.n, self.d)
        self.dtype = source.dtype_name
        self.location = source.location
        self.readers, self.remote = source.readers, source.remote
        self.computes, self.held_bytes = self._stored.computes, self._stored.held_bytes
        self.name, self.recognised = name, recognised
        self._segments = self._row_segments()
        units = {_layout.rows_per_block((length, *self.row_shape[1:]), chunks) for length, chunks in self._segments}
        self.rows_per_block = max(units)
        self._unit_positions = self.rows_per_block * positions
        self.unit_bytes = _layout.unit_bytes(self._stored, self._stored_axes, self._unit_positions)
        self.working_bytes = source.working_bytes
        self.row_bytes = positions * self.d * self._stored.dtype.itemsize
        self.row_axes, self.dims = self._stored_axes.rows, self._stored.dims
        self.axes_chosen = feature_axis is not None or bool(index) or flatten or pool is not None

    def _refuse_layers_beside(self, index):
        """Refuse an array among whose rows are layers, as an array that names them beside it shows."""
        shape, rows = self._stored.shape, self._stored_axes.rows
        if len(rows) < 2 or index:
            return
        for name, (size, _) in self._stored.siblings().items():
            if name.rpartition("/")[2].lower() in _LAYER_NAMES and len(size) == 1 and size[0] > 1:
                found = [axis for axis in rows if shape[axis] == size[0]]
                if len(found) == 1:
                    raise InputError(
                        _axes.layers_need_a_choice(found[0], f"see {name}", size[0], self._stored.location)
                    )

    def read(self, start, stop):
        """Read a block of rows.

        Parameters
        ----------
        start, stop : int
            0 <= start <= stop <= n.

        Returns
        -------
        (stop - start, d) ndarray
            C-contiguous, native-endian raw values; bfloat16 as its uint16 bits. It may be a view of an
            array in memory: do not write into it.

        Raises
        ------
        InputError
            When the range is not inside the store, the store is closed, or the data cannot be read.
        """
        if self._closed:
            raise InputError(f"{self.location} is closed; open it again to read")
        if not 0 <= start <= stop <= self.n:
            raise InputError(f"rows must satisfy 0 <= start <= stop <= {self.n}, got {start}:{stop} of {self.location}")
        with sound(self.location):
            parts = [self._read_box(box) for box in _ranges.boxes(start, stop, self.row_shape)]
        if len(parts) == 1:
            return np.ascontiguousarray(parts[0], dtype=self._source.dtype)
        block = np.empty((stop - start, self.d), self._source.dtype)
        filled = 0
        for part in parts:
            block[filled : filled + len(part)] = part
            filled += len(part)
        return block

    def _read_box(self, box):
        """Read one rectangle of rows as (rows, d)."""
        shape = self._source.shape
        selection = self._axes.selection(box)
        whole = tuple(slice(0, size) if want is None else want for want, size in zip(selection, shape, strict=True))
        values = self._source.read(whole)
        kept = [axis for axis in range(len(shape)) if axis not in self._axes.fixed]
        order = [kept.index(axis) for axis in self._axes.rows + self._axes.features]
        return values.transpose(order).reshape(-1, self.d)

    def reads(self, most, low=0, high=None):
        """Divide rows into reads of at most `most` rows, in storage order, so that no chunk is decoded twice.

        Parameters
        ----------
        most : int
            At least `rows_per_block`.
        low, high : int, optional
            Rows low … high − 1 only, at the same borders; all when omitted.

        Yields
        ------
        start, stop : int
        """
        high = self.n if high is None else high
        for start, stop in _layout.reads(self._segments, self.row_shape, max(most, self.rows_per_block)):
            if start < high and stop > low:
                yield max(start, low), min(stop, high)

    def advice(self):
        """Give the command that stores the array with whole rows in a chunk; "" when the format has none."""
        return self._source.advice()

    def missing_rows(self):
        """Give the rows that lie, in part at least, in chunks that do not exist.

        Returns
        -------
        list of [start, stop]
            Disjoint row intervals in increasing order; empty for every format but Zarr.
        """
        with sound(self.location):
            gaps = self._source.missing()
        if gaps is None or not len(gaps):
            return []
        for axis, position in self._axes.fixed.items():
            gaps = gaps[(gaps[:, axis, 0] <= position) & (position < gaps[:, axis, 1])]
        return _ranges.rows_of(np.unique(gaps[:, list(self._axes.rows)], axis=0), self.row_shape)

    def missing_keys(self, limit=5):
        """Name up to `limit` chunk objects that do not exist."""
        return self._source.missing_keys(limit)

    def fill_missing(self):
        """Let chunks that do not exist read as the fill value; without it, those that only reading finds are an error."""
        self._source.fill_missing()

    def fingerprint(self):
        """Identify the data quickly, independent of where they lie.

        Returns
        -------
        dict
            JSON-able: ``shape``, ``dtype``, ``view`` (the axes used), ``size`` (bytes), ``header`` and
            ``slices`` (digests).
        """
        with sound(self.location):
            return self._head() | self._source.fingerprint_parts()

    def content(self):
        """Hash the whole content of an array in memory; "" for files, which `fingerprint` samples."""
        return self._source.content()

    def check_unchanged(self, before):
        """Look whether the data are still those of an earlier fingerprint.

        Parameters
        ----------
        before : dict
            From `fingerprint`.

        Raises
        ------
        InputError
            When they are not, naming what differs.
        """
        with sound(self.location):
            now = self._head() | self._source.fingerprint_again()
        differ = [part for part in now if now[part] != before.get(part)]
        if differ:
            sizes = f" from {before['size']} to {now['size']} bytes" if "size" in differ else ""
            raise InputError(
                f"{self.location} must stay the same while it is read, but its {', '.join(differ)} changed{sizes}; wait until "
                "its writer is done, then run again"
            )

    def _head(self):
        axes = self._stored_axes
        fixed = {str(axis): position for axis, position in sorted(axes.fixed.items())}
        view = {"rows": list(axes.rows), "features": list(axes.features), "fixed": fixed}
        if self._source is not self._stored:
            view["pool"] = "mean"
        return {"shape": list(self.shape), "dtype": self.dtype, "view": view}

    def layout(self):
        """Give one-line warnings about values that are converted and a layout that makes reading slow or large."""
        return self._stored.notes() + _layout.warnings(
            self._stored, self._stored_axes, self._unit_positions, self.unit_bytes
        )

    def perhaps_layers(self):
        """Say which axis of the rows has a size that could be a number of layers; "" without any."""
        return _axes.perhaps_layers(self._stored.shape, self._stored_axes.rows)

    def describe(self):
        """Give what there is to know about the format, as a JSON-able dict."""
        source = self._source
        return {
            "format": source.format,
            "location": source.location,
            "array_shape": list(self._stored.shape),
            "dims": list(self._stored.dims) or None,
            "shape": list(self.shape),
            "row_shape": list(self.row_shape),
            "dtype": self.dtype,
            "chunks": list(self._stored.chunks) if self._stored.chunks else None,
            "rows_per_block": self.rows_per_block,
            "unit_bytes": self.unit_bytes,
            "readers": self.readers,
            **source.describe(),
        }

    def siblings(self):
        """List the arrays of the same container: name -> (shape, dtype as text)."""
        with sound(self.location):
            return self._source.siblings()

    def sibling(self, key):
        """Load another array of the same container whole (token ids, labels, a mask).

        Raises
        ------
        InputError
            When there is none of that name, listing what there is.
        """
        with sound(self.location):
            return self._source.sibling(key)

    def close(self):
        """Release files; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._source.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _line(self):
        return f"{self.location!r}, n={self.n}, d={self.d}, dtype={self.dtype!r}"

    def _row_segments(self):
        """Give length on the first row axis and chunks on all row axes of the parts that a store is joined from."""
        return [
            (length, None if chunks is None else tuple(chunks[axis] for axis in self._axes.rows))
            for length, chunks in self._source.segments(self._axes.rows[0])
        ]
