"""NumPy .npy files."""

import numpy as np

from srmfast.errors import InputError
from srmfast.sound import line
from srmfast.stores import _dtypes, _fingerprint, _places
from srmfast.stores._region import RegionSource, c_strides


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
        reason = "it holds Python objects, which are never unpickled" if "pickle" in str(error) else line(error)
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
        raise InputError(f"{location} is not a .npy file ({line(error)}); save the array with numpy.save") from error
    raise InputError(f"{location} has .npy version {version}, used for records only; save a plain array of numbers")


class NpySource(RegionSource):
    """A .npy image inside an open file, from byte `offset`, `size` bytes long; owns the file."""

    format = "npy"

    def __init__(self, file, offset, size, location):
        with file.file() as stream:
            stream.seek(offset)
            shape, fortran, stored = read_header(stream, location)
            data = stream.tell()  # bytes from the start of the file
        name, raw = _dtypes.resolve(stored, location)
        stored = stored if stored.kind in "iuf" else raw
        strides = c_strides(shape[::-1], raw.itemsize)[::-1] if fortran else None
        held = size - (data - offset)
        self._fortran, self._image = fortran, (offset, size)
        super().__init__(file, data, held, shape, name, location, stored=stored, strides=strides)

    @property
    def order(self):
        return "F" if self._fortran else "C"

    def fingerprint_parts(self):
        offset, size = self._image
        return self._identify(_fingerprint.digest([self._file.read_at(offset, self._offset - offset)]), offset, size)
