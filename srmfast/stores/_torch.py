"""Tensors in the files of torch.save: found by an allow-list reader, read by offset; nothing is unpickled."""

import contextlib
import dataclasses
import math
import re
import zipfile

import numpy as np

from srmfast.errors import InputError
from srmfast.stores import _dtypes, _members, _pickled, _places, _zipped
from srmfast.stores._region import RegionSource

DESCRIPTION_BYTES = 64 << 20  # of data.pkl: hundreds of thousands of tensors
ENTRIES = 1 << 20  # values visited when names are given: shared lists could be walked for ever
DEPTH = 64
RANK = 64  # axes that NumPy can hold
STORAGES = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64", "Int": "int32",
    "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool", "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
}  # fmt: skip
_TYPE = re.compile(r"(bfloat|float|complex|u?int|bits)\d\w*|bool")


@dataclasses.dataclass(frozen=True)
class _Storage:
    dtype: str
    key: str
    elements: int


@dataclasses.dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int  # elements
    shape: tuple
    strides: tuple  # elements
    dtype: str


def open_source(path, key=None):
    """Open a tensor of a file written by torch.save.

    Parameters
    ----------
    path : str
    key : str, optional
        Dict keys and list positions joined by "/"; the only matrix of numbers when omitted.

    Returns
    -------
    TorchSource

    Raises
    ------
    InputError
        For a damaged file, the old format, anything but tensors and plain values (naming the global), a missing
        tensor or several candidates.
    """
    with _description(path) as (archive, root, tree):
        found = _arrays(tree, path)
        arrays = {name: _summary(value) for name, value in found.items()}
        name = _members.choose(arrays, key, str(path))
        if not isinstance(found[name], _Tensor):
            raise InputError(f"{path}::{_members.shown(name)} is a list of values, not a tensor; name a tensor")
        return _open(archive, root, found[name], path, name, arrays)


def load_array(path, key=None):
    """Load a whole tensor, or a list of numbers or text."""
    with _description(path) as (archive, root, tree):
        found = _arrays(tree, path)
        name = _members.choose({name: _summary(value) for name, value in found.items()}, key, str(path), least_rank=1)
        if not isinstance(found[name], _Tensor):
            return np.array(found[name])
        with contextlib.closing(_open(archive, root, found[name], path, name, {})) as source:
            return source.load()


def list_arrays(path):
    """List the tensors and lists of plain values: name -> (shape, dtype as text)."""
    with _description(path) as (_, _, tree):
        return {name: _summary(value) for name, value in _arrays(tree, path).items()}


class TorchSource(RegionSource):
    """One tensor of a torch file; what lies beside it are its siblings."""

    format = "torch"

    def __init__(self, *where, path, name, arrays, **layout):
        super().__init__(*where, **layout)
        self._path, self._name, self._arrays = path, name, arrays

    def siblings(self):
        return {name: what for name, what in self._arrays.items() if name != self._name}

    def sibling(self, key):
        return load_array(self._path, key)


@contextlib.contextmanager
def _description(path):
    """Open the archive and read its description: (archive, folder inside, tree of inert values)."""
    head = _places.head(path, 4)
    if head[:1] == b"\x80":
        raise InputError(
            f"{path} is a bare pickle or in the format of torch before 1.6, which is not read; load it with "
            "torch.load(path, weights_only=True) and write it with torch.save"
        )
    with _zipped.open_archive(path, ".pt") as archive:
        roots = [
            name.removesuffix("data.pkl") for name in archive.namelist() if re.fullmatch(r"([^/]+/)?data\.pkl", name)
        ]
        if len(roots) != 1:
            raise InputError(f"{path} is a zip file without one data.pkl, so not of torch.save; save the tensor again")
        yield archive, roots[0], _read_tree(archive, roots[0], path)


def _read_tree(archive, root, path):
    info = archive.getinfo(f"{root}data.pkl")
    if info.file_size > DESCRIPTION_BYTES:
        raise InputError(
            f"{path} describes its content in {info.file_size} bytes, at most {DESCRIPTION_BYTES} are read; "
            "save the tensors alone: torch.save({'acts': tensor}, 'acts.pt')"
        )
    with archive.open(info) as member:
        image = member.read(DESCRIPTION_BYTES)
    return _pickled.read(image, _lookup, _storage, str(path))


def _lookup(name):
    """Give the meaning of a global, None when it is not allowed."""
    module, _, last = name.rpartition(".")
    if name in _CALLS:
        return _pickled.Call(_CALLS[name])
    if name == "torch.storage.UntypedStorage":
        return "uint8"
    if module == "torch" and last.endswith("Storage") and last.removesuffix("Storage") in STORAGES:
        return STORAGES[last.removesuffix("Storage")]
    return last if module == "torch" and _TYPE.fullmatch(last) else None


def _storage(identity):
    kind, dtype, key, _, elements = identity[:5]
    if kind != "storage" or not isinstance(dtype.meaning, str) or not isinstance(key, str):
        raise ValueError("a storage without type or name")
    return _Storage(dtype.meaning, key, _natural(elements))


def _tensor(storage, offset, shape, strides, dtype=None, metadata=None):
    if not isinstance(storage, _Storage) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise TypeError("a tensor without storage, shape or strides")
    if len(shape) > RANK or len(shape) != len(strides):
        raise ValueError(f"a tensor of {len(shape)} axes and {len(strides)} strides")
    if isinstance(metadata, dict) and any(metadata.values()):
        views = " and ".join(map(str, metadata))
        raise InputError(
            f"a tensor is stored as a view ({views:.40}) of other values; save its .resolve_conj().resolve_neg()"
        )
    dtype = storage.dtype if dtype is None else dtype.meaning
    if not isinstance(dtype, str):
        raise TypeError("a tensor without dtype")
    shape, strides = tuple(map(_natural, shape)), tuple(map(_natural, strides))
    return _Tensor(storage, _natural(offset), shape, strides, dtype)


def _parameter(data, *_):
    if not isinstance(data, _Tensor):
        raise TypeError("a parameter without a tensor")
    return data


def _empty(*arguments):
    if arguments:
        raise ValueError("an OrderedDict made of something")
    return {}


def _tensor_v2(storage, offset, shape, strides, gradient=None, hooks=None, metadata=None):
    return _tensor(storage, offset, shape, strides, None, metadata)


def _tensor_v3(storage, offset, shape, strides, gradient, hooks, dtype, metadata=None):
    return _tensor(storage, offset, shape, strides, dtype, metadata)


_CALLS = {
    "collections.OrderedDict": _empty,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor_v2,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.Size": lambda sizes=(): sizes,
    **dict.fromkeys(("torch.device", "_codecs.encode", "__builtin__.set", "builtins.set"), lambda *_: _pickled.OPAQUE),
}


def _natural(value):
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ValueError(f"a size that is {str(value)!r:.30}")
    return value


def _arrays(tree, path):
    """Name the tensors and the lists of plain values of a tree."""
    found = {}
    budget = ENTRIES

    def visit(value, name, depth):
        nonlocal budget
        entries = value if isinstance(value, (dict, list, tuple)) else ()
        budget -= 1 + len(entries) // 16 + len(name) // 64
        if budget < 0 or depth > DEPTH:
            raise InputError(
                f"{path} holds more than {ENTRIES} values or {DEPTH} levels, or itself; save the tensors alone: "
                "torch.save({'acts': tensor}, 'acts.pt')"
            )
        if isinstance(value, _Tensor) or _is_column(value):
            if name in found:
                raise InputError(f"{path} holds {_members.shown(name)!r} twice; save it under another name")
            found[name] = value
            return
        for key, inner in entries.items() if isinstance(entries, dict) else enumerate(entries):
            key = "/".join(map(str, key)) if isinstance(key, tuple) else str(key)
            visit(inner, f"{name}/{key}" if name else key, depth + 1)

    visit(tree, "", 0)
    return found


def _is_column(value):
    """Tell whether a list holds one plain value a row."""
    if not isinstance(value, (list, tuple)) or not value or type(value[0]) not in (str, int, float, bool):
        return False
    kinds = set(map(type, value))
    if len(kinds) > 1 and not kinds <= {int, float}:
        return False
    return int not in kinds or all(abs(number) < 2**63 for number in value)


def _summary(value):
    if isinstance(value, _Tensor):
        return value.shape, value.dtype
    return (len(value),), "list of " + type(value[0]).__name__


def _open(archive, root, tensor, path, name, arrays):
    """Check one tensor against its storage and make it a source."""
    location = f"{path}::{_members.shown(name)}" if name else str(path)
    if tensor.dtype not in _dtypes.NAMES:
        raise InputError(f"activations must be real numbers (float, int or bool), {location} holds {tensor.dtype:.40}")
    raw = _dtypes.raw(tensor.dtype)
    member = f"{root}data/{tensor.storage.key}"
    if member not in archive.namelist():
        raise InputError(
            f"{location} is stored as {_members.shown(member)}, which {path} lacks; copy or write it again"
        )
    info = archive.getinfo(member)
    if info.compress_type != zipfile.ZIP_STORED:
        raise InputError(f"{location} is compressed, torch.save stores as it is; load it with torch and save it again")
    archive.open(info).close()  # checks the local header
    start = _zipped.stored_offset(archive, info)
    nbytes = math.prod(tensor.shape) * raw.itemsize
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True)) + 1
    claimed = (
        tensor.storage.elements * _dtypes.raw(tensor.storage.dtype).itemsize
        if tensor.storage.dtype in _dtypes.NAMES
        else info.file_size
    )
    held = min(info.file_size, claimed, archive.start_dir - start)
    if nbytes and (tensor.offset + reach) * raw.itemsize > held:
        raise InputError(
            f"{location} of shape {tensor.shape} and strides {tensor.strides} from element {tensor.offset} needs "
            f"{(tensor.offset + reach) * raw.itemsize} bytes, its storage holds {held}; copy or write the file again"
        )
    if nbytes > held:
        raise InputError(f"{location} repeats values of its storage (an expanded view); save tensor.contiguous()")
    file = _places.open_bytes(path)
    try:
        return TorchSource(
            file, start + tensor.offset * raw.itemsize, nbytes, tensor.shape, tensor.dtype, location,
            stored=raw.newbyteorder(_byte_order(archive, root)), path=path, name=name, arrays=arrays,
            strides=[stride * raw.itemsize for stride in tensor.strides],
        )  # fmt: skip
    except BaseException:
        file.close()
        raise


def _byte_order(archive, root):
    """Give "<" or ">" from the member that torch writes since 2.1; little-endian without it."""
    if f"{root}byteorder" not in archive.namelist():
        return "<"
    with archive.open(f"{root}byteorder") as member:
        return ">" if member.read(3) == b"big" else "<"
