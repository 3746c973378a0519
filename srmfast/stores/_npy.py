"""NumPy .npy files, read by offset: no mapped pages, no limit on the size."""

import numpy as np

from srmfast.errors import InputError
from srmfast.stores import _dtypes, _fingerprint, _places, _remote
from srmfast.stores.base import Source

GAP_BYTES = 8 << 10  # runs closer than this are read together with the gap: a seek costs more
SCRATCH_BYTES = 4 << 20  # at most so much is held to pick values out of such a span


def open_source(path, key=None):
    """Open a .npy file.

    Parameters
    ----------
    path : str
    key : None
        A .npy file holds one array: a key is refused.

    Returns
    -------
    NpySource
    """
    if key is not None:
        raise InputError(f"a .npy file holds one array, {path} has no member {key!r}; drop '::{key}'")
    file = _places.open_bytes(path)
    try:
        return NpySource(file, 0, file.size, str(path))
    except BaseException:
        file.close()
        raise


def load_array(path, key=None):
    """Load a whole .npy array of any type but objects."""
    if key is not None:
        raise InputError(f"a .npy file holds one array, {path} has no member {key!r}; drop '::{key}'")
    with _places.open_bytes(path) as held, held.file() as file:
        return load_open(file, str(path))


def load_open(file, location):
    """Load a whole .npy array from an open binary file; objects are refused unread."""
    try:
        return np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, EOFError) as error:
        reason = "it holds Python objects, which are never unpickled" if "pickle" in str(error) else _line(error)
        raise InputError(f"{location} cannot be read: {reason}; save it as a plain array or a text file") from error


def read_header(file, location):
    """Read the header of a .npy stream and leave it at the first value.

    Parameters
    ----------
    file : binary file
    location : str

    Returns
    -------
    shape : tuple of int
    fortran : bool
    dtype : numpy.dtype

    Raises
    ------
    InputError
        When it is not a .npy header.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            return np.lib.format.read_array_header_1_0(file)
        if version == (2, 0):
            return np.lib.format.read_array_header_2_0(file)
    except (ValueError, EOFError) as error:
        raise InputError(f"{location} is not a .npy file ({_line(error)}); save the array with numpy.save") from error
    raise InputError(f"{location} has .npy version {version}, used for records only; save a plain array of numbers")


class NpySource(Source):
    """A .npy image inside an open file, from byte `offset`, `size` bytes long; owns the file."""

    format = "npy"

    def __init__(self, file, offset, size, location):
        self.location, self.remote = location, file.remote
        self.readers = _remote.READERS if self.remote else 4
        with file.file() as stream:
            stream.seek(offset)
            self.shape, self._fortran, stored = read_header(stream, location)
            self._data = stream.tell()  # bytes from the start of the file
        self.dtype_name, self.dtype = _dtypes.resolve(stored, location)
        self._stored = stored if stored.kind in "iuf" else self.dtype
        self._offset, self._size = offset, size
        self._check_length()
        self._file = file

    def read(self, selection):
        if self._fortran:
            return self._read_c(self.shape[::-1], selection[::-1]).T
        return self._read_c(self.shape, selection)

    def fingerprint_parts(self):
        header = _fingerprint.digest([self._file.read_at(self._offset, self._data - self._offset)])
        size, etag = self._file.stat()
        slices = etag or _fingerprint.file_slices(self._file.read_at, self._offset, self._size)
        return {"size": self._size + size - self._file.size, "header": header, "slices": slices}

    def describe(self):
        return {
            "order": "F" if self._fortran else "C",
            "byte_order": "big" if self._stored.str[0] == ">" else "little",
        }

    def close(self):
        self._file.close()

    def _check_length(self):
        held = self._size - (self._data - self._offset)
        if held >= self.nbytes:
            return
        row = self.nbytes // max(1, self.shape[0])
        whole = 0 if self._fortran else held // max(1, row)
        readable = f"only rows 0:{whole} are readable" if whole else "no row is whole"
        raise InputError(
            f"{self.location} is truncated: its header promises {self.shape[0]} rows ({self.nbytes} "
            f"bytes), it holds {held} "
            f"bytes, {readable}; copy or write the file again"
        )

    def _read_c(self, shape, selection):
        """Read a rectangle of a C-ordered array, few and long reads first."""
        bounds = [(s, s + 1) if isinstance(s, int) else (s.start, s.stop) for s in selection]
        strides = [self.dtype.itemsize] * len(shape)
        for axis in range(len(shape) - 2, -1, -1):
            strides[axis] = strides[axis + 1] * shape[axis + 1]
        # The piece is what one read fetches: from axis `cut` inwards the values are contiguous, or nearly.
        cut, whole = len(shape) - 1, True
        while cut > 0:
            whole = whole and bounds[cut] == (0, shape[cut])
            if not whole and strides[cut - 1] > GAP_BYTES:
                break
            cut -= 1
        contiguous = all(bounds[axis] == (0, shape[axis]) for axis in range(cut + 1, len(shape)))
        out = np.empty([high - low for low, high in bounds], self._stored)
        outer = np.ndindex(*out.shape[:cut])
        for position in outer:
            at = self._data + sum((bounds[axis][0] + i) * strides[axis] for axis, i in enumerate(position))
            self._read_piece(out[position], at, bounds[cut:], strides[cut], shape[cut + 1 :], contiguous)
        kept = tuple(0 if isinstance(s, int) else slice(None) for s in selection)
        return out[kept].astype(self.dtype, copy=False)

    def _read_piece(self, out, at, bounds, stride, inner, contiguous):
        """Fill `out`, whose first axis steps by `stride` bytes from byte `at`; gaps are read and dropped."""
        low, high = bounds[0]
        if contiguous:
            self._fill(out, at + low * stride)
            return
        picked = tuple(slice(a, b) for a, b in bounds[1:])
        step = max(1, SCRATCH_BYTES // stride)
        for first in range(low, high, step):
            count = min(step, high - first)
            span = np.empty((count, *inner), self._stored)
            self._fill(span, at + first * stride)
            out[first - low : first - low + count] = span[(slice(None), *picked)]

    def _fill(self, array, offset):
        """Read straight into the memory of a C-contiguous array."""
        self._file.fill(memoryview(array.reshape(-1).view(np.uint8)), offset)


def _line(error):
    return (str(error) or type(error).__name__).splitlines()[0]
