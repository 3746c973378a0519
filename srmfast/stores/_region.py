"""Raw values at known places of a file, read by rectangles: no mapped pages, no limit on the size.

What .npy, stored .npz members, safetensors, torch tensors, raw binary files and uncompressed Arrow columns have in
common: once a header is understood, an array is an offset, a shape and strides.
"""

import numpy as np

from srmfast.errors import InputError
from srmfast.stores import _dtypes, _fingerprint, _remote
from srmfast.stores.base import Source

GAP_BYTES = 8 << 10  # runs closer than this are read together with the gap: a seek costs more
SCRATCH_BYTES = 4 << 20  # at most so much is held to pick values out of such a span


class Region:
    """An array of fixed strides inside an open file.

    Parameters
    ----------
    file : LocalBytes or RemoteBytes
        Open for reading; stays the caller's.
    offset : int
        Byte of the first value, from the start of the file.
    shape : tuple of int
    stored : numpy.dtype
        As in the file, in either byte order.
    strides : tuple of int, optional
        Bytes between neighbours on every axis, none negative; C order when omitted.
    """

    def __init__(self, file, offset, shape, stored, strides=None):
        self._file, self._offset, self._stored = file, offset, stored
        self._gap = _remote.GAP_BYTES if file.remote else GAP_BYTES
        self.shape = tuple(shape)
        self.strides = c_strides(shape, stored.itemsize) if strides is None else tuple(strides)

    def read(self, selection):
        """Read one rectangle, few and long reads first; see `Source.read`."""
        bounds = [(s, s + 1) if isinstance(s, int) else (s.start, s.stop) for s in selection]
        # Outermost in the file first, whatever the order of the axes is.
        order = sorted(range(len(bounds)), key=lambda axis: -self.strides[axis])
        counts = [bounds[axis][1] - bounds[axis][0] for axis in order]
        strides = [self.strides[axis] for axis in order]
        out = np.empty(counts, self._stored)
        if out.size:
            first = sum(low * stride for (low, _), stride in zip(bounds, self.strides, strict=True))
            self._read_ordered(out, self._offset + first, counts, strides)
        kept = tuple(0 if isinstance(s, int) else slice(None) for s in selection)
        return out.transpose(np.argsort(order))[kept]

    def _read_ordered(self, out, at, counts, strides):
        """Fill `out` with the values from byte `at`, the axes in the order of falling strides."""
        spans = _spans(counts, strides, self._stored.itemsize)
        # The piece is what one read fetches: from axis `cut` inwards the values are contiguous, or nearly.
        cut, contiguous = len(counts), True
        while cut > 0:
            joined = contiguous and (counts[cut - 1] == 1 or strides[cut - 1] == spans[cut])
            if not joined and strides[cut - 1] > self._gap:
                break
            contiguous, cut = joined, cut - 1
        for position in np.ndindex(*counts[:cut]):
            place = at + sum(i * stride for i, stride in zip(position, strides[:cut], strict=True))
            piece = out[position] if cut < len(counts) else out[(*position, None)]
            if contiguous:
                self._fill(piece, place)
            else:
                self._pick(piece, place, strides[cut:], spans[cut + 1])

    def _pick(self, out, at, strides, inner):
        """Fill `out` from spans that hold its values with small gaps; nothing behind the last one is read."""
        step = max(1, SCRATCH_BYTES // max(strides[0], 1))
        for first in range(0, len(out), step):
            part = out[first : first + step]
            span = np.empty((len(part) - 1) * strides[0] + inner, np.uint8)
            self._fill(span, at + first * strides[0])
            part[...] = np.ndarray(part.shape, self._stored, span, 0, strides)

    def _fill(self, array, offset):
        """Read straight into the memory of a C-contiguous array."""
        self._file.fill(memoryview(array.reshape(-1).view(np.uint8)), offset)


class RegionSource(Source):
    """One array inside an open file; owns the file.

    Parameters
    ----------
    file : LocalBytes or RemoteBytes
    offset : int
        Byte of the first value.
    held : int
        Bytes there from `offset` on.
    shape : tuple of int
    dtype_name : str
        One of `srmfast.stores._dtypes.NAMES`.
    location : str
    stored : numpy.dtype, optional
        As in the file; native and little-endian when omitted.
    strides : tuple of int, optional
        See `Region`; the caller has checked that they stay inside the file.

    Raises
    ------
    InputError
        When the file holds fewer bytes than C order needs, naming the rows that are there.
    """

    def __init__(self, file, offset, held, shape, dtype_name, location, *, stored=None, strides=None):
        self.shape, self.dtype_name, self.location = tuple(shape), dtype_name, location
        self.dtype = _dtypes.raw(dtype_name)
        stored = self.dtype.newbyteorder("<") if stored is None else stored
        self.remote = file.remote
        self.readers = _remote.READERS if self.remote else 4
        self._file, self._region = file, Region(file, offset, self.shape, stored, strides)
        self._offset, self._stored = offset, stored
        if held < self.nbytes:
            raise InputError(truncated(location, self.shape, self.nbytes, held, self.order))

    @property
    def order(self):
        """Memory order: "C", "F" or "strided"."""
        # The stride of an axis with one position means nothing.
        pairs = zip(self.shape, self._region.strides, strict=True)
        strides = [stride for size, stride in pairs if size > 1]
        if strides == sorted(strides, reverse=True):
            return "C"
        return "F" if strides == sorted(strides) else "strided"

    def read(self, selection):
        return self._region.read(selection).astype(self.dtype, copy=False)

    def fingerprint_parts(self):
        described = [self.shape, self.dtype_name, self._stored.str, self._region.strides]
        return self._identify(_fingerprint.digest_json(described), self._offset, self.nbytes)

    def _identify(self, header, offset, nbytes):
        """Give the fingerprint of a part of the file: its size, and the service's own identity of the file if any."""
        size, etag = self._file.stat()
        slices = etag or _fingerprint.file_slices(self._file.read_at, offset, nbytes)
        return {"size": nbytes + size - self._file.size, "header": header, "slices": slices}

    def describe(self):
        return {"order": self.order, "byte_order": "big" if self._stored.str[0] == ">" else "little"}

    def close(self):
        self._file.close()

    def load(self):
        """Read the whole array as values: bfloat16 becomes float32."""
        values = self.read(tuple(slice(0, size) for size in self.shape))
        return _dtypes.widen(values, self.dtype_name, "float32") if self.dtype_name in _dtypes.BITS else values


def c_strides(shape, itemsize):
    """Give the strides of C order, bytes."""
    strides = [itemsize] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return tuple(strides)


def truncated(location, shape, nbytes, held, order="C"):
    """Say which rows of an array are there when its file ends early."""
    rows = shape[0] if shape else 1
    whole = max(held, 0) // max(1, nbytes // max(1, rows)) if order == "C" else 0
    readable = f"only rows 0:{whole} are readable" if whole else "no row is whole"
    return (
        f"{location} is truncated: its header promises {rows} rows ({nbytes} bytes), it holds {max(held, 0)} bytes, "
        f"{readable}; copy or write the file again"
    )


def _spans(counts, strides, itemsize):
    """Give, for every axis, the bytes from the first to the last value of the axes from it on; one more at the end."""
    spans = [itemsize]
    for count, stride in zip(reversed(counts), reversed(strides), strict=True):
        spans.append(spans[-1] + (count - 1) * stride)
    return spans[::-1]
