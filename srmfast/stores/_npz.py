"""Members of .npz files: stored ones are read in place, deflated ones from a temporary copy."""

import os
import shutil
import tempfile
import zipfile

from srmfast.errors import InputError
from srmfast.stores import _members, _npy, _places, _zipped

COPY_BYTES = 1 << 20


def open_source(path, key=None):
    """Open a member of a .npz file.

    Parameters
    ----------
    path : str
    key : str, optional
        Name of the member, without ".npy"; the only matrix of numbers when omitted.

    Returns
    -------
    NpySource
        With the other members as siblings.

    Raises
    ------
    InputError
        For a damaged file, a missing member, or one that holds objects.
    """
    with _zipped.open_archive(path, ".npz") as archive:
        arrays = _arrays(archive, path)
        name = _members.choose(arrays, key, str(path))
        info = _info(archive, name)
        location = f"{path}::{name}"
        with archive.open(info) as member:
            _refuse_objects(member, location)
        if info.compress_type == zipfile.ZIP_STORED:
            file, offset = _places.open_bytes(path), _zipped.stored_offset(archive, info)
        else:
            file, offset = _unpack(archive, info, location), 0
    try:
        return NpzSource(file, offset, info.file_size, location, path, arrays, name, info.compress_type)
    except BaseException:
        file.close()
        raise


def load_array(path, key=None):
    """Load a whole member of any type but objects."""
    with _zipped.open_archive(path, ".npz") as archive:
        name = _members.choose(_arrays(archive, path), key, str(path), least_rank=1)
        with archive.open(_info(archive, name)) as member:
            return _npy.load_open(member, f"{path}::{name}")


def list_arrays(path):
    """List the members: name -> (shape, dtype as text)."""
    with _zipped.open_archive(path, ".npz") as archive:
        return _arrays(archive, path)


class NpzSource(_npy.NpySource):
    """One member of a .npz file."""

    format = "npz"

    def __init__(self, file, offset, size, location, path, arrays, name, compress_type):
        super().__init__(file, offset, size, location)
        self._path, self._arrays, self._name = path, arrays, name
        self._compressor = None if compress_type == zipfile.ZIP_STORED else "deflate"

    def describe(self):
        return super().describe() | {"compressor": self._compressor}

    def siblings(self):
        return {name: what for name, what in self._arrays.items() if name != self._name}

    def sibling(self, key):
        return load_array(self._path, key)


def _arrays(archive, path):
    arrays = {}
    for info in archive.infolist():
        if not info.filename.endswith(".npy"):
            continue
        with archive.open(info) as member:
            shape, _, dtype = _npy.read_header(member, f"{path}::{info.filename}")
        arrays[info.filename.removesuffix(".npy")] = (shape, str(dtype))
    return arrays


def _info(archive, name):
    return archive.getinfo(f"{name}.npy")


def _refuse_objects(member, location):
    if _npy.read_header(member, location)[2].hasobject:
        raise InputError(
            f"{location} holds Python objects, which are never unpickled; save the numbers as a float array"
        )


def _unpack(archive, info, location):
    """Inflate a member into an unlinked temporary file; the checksum is verified."""
    with tempfile.TemporaryFile() as spool, archive.open(info) as member:
        try:
            shutil.copyfileobj(member, spool, COPY_BYTES)
        except OSError as error:
            raise InputError(
                f"unpacking {info.filename} needs {info.file_size} bytes in {tempfile.gettempdir()} "
                f"({error.strerror}); "
                "set TMPDIR to a larger disk or save with numpy.savez"
            ) from error
        spool.flush()
        return _places.LocalBytes(os.dup(spool.fileno()), location)
