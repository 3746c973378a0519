"""safetensors files: a JSON header, then the raw values; read by offset, without torch."""

import contextlib
import json
import math
import os

from srmfast.errors import InputError, meant
from srmfast.sound import line
from srmfast.stores import _dtypes, _members, _places
from srmfast.stores._region import RegionSource, truncated

_INDEX = "model.safetensors.index.json"  # names the file of every tensor of a folder
HEADER_BYTES = 100_000_000  # the format's own limit
RANK = 64  # axes that NumPy can hold
DTYPES = {
    "BOOL": "bool", "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    **{f"{letter}{bits}": f"{word}{bits}" for letter, word in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)},
}  # fmt: skip


def open_source(path, key=None):
    """Open a tensor of a safetensors file, or of a folder of them with an index.

    Parameters
    ----------
    path : str
        File, or folder that holds ``model.safetensors.index.json``.
    key : str, optional
        Name of the tensor; the only matrix of numbers when omitted.

    Returns
    -------
    SafetensorsSource

    Raises
    ------
    InputError
        For a damaged file, a missing tensor or several candidates.
    """
    if not _places.is_file(path) and _places.is_folder(path):
        path, key = _indexed(path, key)
    return _open(path, key, least_rank=2)


def load_array(path, key=None):
    """Load a whole tensor."""
    if not _places.is_file(path) and _places.is_folder(path):
        path, key = _indexed(path, key)
    with contextlib.closing(_open(path, key, least_rank=1)) as source:
        return source.load()


def list_arrays(path):
    """List the tensors of a file, or of a folder of them with an index: name -> (shape, dtype as text)."""
    if not _places.is_file(path) and _places.is_folder(path):
        files = _weight_map(path)
        one_of = {file: name for name, file in files.items()}
        held = {file: list_arrays(_places.within(path, _file(path, files, name))) for file, name in one_of.items()}
        return {name: held[file][name] for name, file in files.items() if name in held[file]}
    with _places.open_bytes(path) as file:
        header, _ = _header(file, path)
    header.pop("__metadata__", None)
    return {name: _described(name, entry, path) for name, entry in header.items()}


class SafetensorsSource(RegionSource):
    """One tensor of a safetensors file; the others are its siblings."""

    format = "safetensors"

    def __init__(self, file, offset, held, shape, dtype_name, location, path, name, arrays):
        super().__init__(file, offset, held, shape, dtype_name, location)
        self._path, self._name, self._arrays = path, name, arrays

    def siblings(self):
        return {name: what for name, what in self._arrays.items() if name != self._name}

    def sibling(self, key):
        return load_array(self._path, key)


def _open(path, key, least_rank):
    file = _places.open_bytes(path)
    try:
        size = file.size
        header, begin = _header(file, path)
        marks = header.pop("__metadata__", None)
        arrays = {name: _described(name, entry, path) for name, entry in header.items()}
        name = _members.choose(arrays, key, str(path), least_rank=least_rank)
        location = f"{path}::{_members.shown(name)}"
        shape, dtype = arrays[name]
        if dtype not in DTYPES.values():
            known = ", ".join(DTYPES)
            raise InputError(
                f"{location} holds {dtype!r:.40}, of the safetensors types {known} are read; convert it first"
            )
        _refuse_short(header, arrays, name, size - begin, location)
        if least_rank > 1 and dtype in ("int16", "uint16") and _dtypes.marked_bfloat16(_mapping(marks)):
            dtype = "bfloat16"
        start = header[name]["data_offsets"][0]
        return SafetensorsSource(file, begin + start, size - begin - start, shape, dtype, location, path, name, arrays)
    except BaseException:
        file.close()
        raise


def _header(file, path):
    """Read the description of all tensors: (dict, byte of the first value)."""
    size, length = file.size, int.from_bytes(file.read_at(0, 8), "little")
    if size < 8 or length > HEADER_BYTES or length < 2:
        raise InputError(f"{path} is not a safetensors file ({size} bytes, a header of {length}); write it again")
    if 8 + length > size:
        raise InputError(
            f"{path} is truncated: its header takes {length} bytes, it holds {size - 8}; wait for its writer, or copy it again"
        )
    try:
        header = json.loads(file.read_at(8, length), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        reason = line(error)
        raise InputError(
            f"{path} is not a safetensors file, its header is no JSON ({reason}); write it again"
        ) from error
    if not isinstance(header, dict):
        raise InputError(f"{path} is not a safetensors file, its header is no JSON object; write it again")
    return header, 8 + length


def _described(name, entry, path):
    """Check the description of one tensor and give (shape, dtype)."""
    entry = _mapping(entry)
    shape, dtype, offsets = entry.get("shape"), entry.get("dtype"), entry.get("data_offsets")
    if not (isinstance(dtype, str) and _naturals(shape, RANK) and _naturals(offsets, 2) and len(offsets) == 2):
        raise InputError(
            f"{path} describes its tensor {_members.shown(name)} by {str(entry)!r:.90}; write the file again"
        )
    if dtype not in DTYPES:
        return tuple(shape), dtype
    nbytes = math.prod(shape) * _dtypes.raw(DTYPES[dtype]).itemsize
    if offsets[1] - offsets[0] != nbytes:
        raise InputError(
            f"{path} gives its tensor {_members.shown(name)} of shape {str(tuple(shape)):.90} and type {dtype} the bytes {offsets[0]} to {offsets[1]}, "
            f"it needs {nbytes}; write the file again"
        )
    return tuple(shape), DTYPES[dtype]


def _refuse_short(header, arrays, name, held, location):
    """Refuse a file that ends before its last value, and tensors that share bytes."""
    places = sorted((*entry["data_offsets"], other) for other, entry in header.items())
    for (_, stop, one), (start, _, other) in zip(places, places[1:], strict=False):
        if start < stop:
            raise InputError(
                f"{location}: the tensors {_members.shown(one)} and {_members.shown(other)} overlap; write the file again"
            )
    end = max(stop for _, stop, _ in places)
    if end <= held:
        return
    start, stop = header[name]["data_offsets"]
    if stop > held:
        raise InputError(truncated(location, arrays[name][0], stop - start, held - start))
    raise InputError(
        f"{location} is whole, but the file is truncated: its header promises {end} bytes of values, it holds {held}; "
        "wait for its writer, or copy it again"
    )


def _indexed(folder, key):
    """Find the file that holds a tensor of a folder: (path, name)."""
    files = _weight_map(folder)
    some = ", ".join(map(_members.shown, list(files)[: _members.SHOWN]))
    if key is None:
        raise InputError(f"{folder} holds {len(files)} tensors, {some}; name one as {folder}::KEY")
    name = key if key in files else key.strip("/")
    if name not in files:
        raise InputError(f"{folder} has no tensor {key!r}; it holds {some}{meant(key, files)}")
    return _places.within(folder, _file(folder, files, name)), name


def _weight_map(folder):
    """Read which file of a folder holds which tensor."""
    index = _places.within(folder, _INDEX)
    try:
        with _places.open_bytes(index) as file:
            files = _mapping(json.loads(file.read_at(0, file.size))).get("weight_map")
    except (OSError, ValueError, RecursionError) as error:
        reason = line(error)
        raise InputError(f"{index} cannot be read ({reason}); write it again, or name a file of the folder") from error
    files = {name: file for name, file in _mapping(files).items() if isinstance(file, str)}
    if not files:
        raise InputError(f"{index} holds no weight_map; name a file of the folder")
    return files


def _file(folder, files, name):
    """Return the file of a tensor, which must be one of the folder."""
    if os.path.basename(files[name]) != files[name] or not _places.is_file(_places.within(folder, files[name])):
        raise InputError(
            f"{_places.within(folder, _INDEX)} names the file {files[name]!r:.90} for {_members.shown(name)}, which is not in "
            f"{folder}; copy it there"
        )
    return files[name]


def _unique(pairs):
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _mapping(value):
    return value if isinstance(value, dict) else {}


def _naturals(values, most):
    return (
        isinstance(values, list)
        and len(values) <= most
        and all(isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 for value in values)
    )
