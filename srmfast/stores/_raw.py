"""Raw binary files: values and nothing else; type and shape are given with the path."""

import contextlib
import math
import re

import numpy as np

from srmfast.errors import InputError
from srmfast.stores import _dtypes, _places
from srmfast.stores._region import RegionSource, c_strides

SYNTAX = "TYPE,SHAPE[,offset=BYTES][,order=F]"
WIDTHS = (768, 1024, 4096, 512, 2048, 3072, 1280, 2304, 1536, 256, 128, 5120, 8192, 2560, 1600, 64)  # of common layers
_TYPES = {"bf16": "bfloat16", "fp16": "float16", "half": "float16", "fp32": "float32", "fp64": "float64"}


def open_source(path, key=None):
    """Open a file of raw values.

    Parameters
    ----------
    path : str
    key : str
        Type, shape and, where they matter, the bytes before the first value and the memory order:
        ``float16,1000000x768``, ``>f4,-1x768,offset=4096``, ``bf16,12x512x64,order=F``. The type is little-endian
        unless ">" leads; -1 for the first or last axis stands for what the size of the file gives.

    Returns
    -------
    RawSource

    Raises
    ------
    InputError
        Without a description, saying how to write one; when it does not fit the size of the file.
    """
    with contextlib.ExitStack() as undo:
        file = undo.enter_context(_places.open_bytes(path))
        source = _open(file, path, key)
        undo.pop_all()
    return source


def _open(file, path, key):
    size = file.size
    if key is None:
        fitting = ", ".join(_plausible(size))
        example = f"; shapes that fit: {fitting}" if fitting else ""
        raise InputError(
            f"{path} holds {size} bytes and no description; give type and shape as {path}::{SYNTAX}, "
            f"such as {path}::float16,1000x768 or {path}::>f4,-1x768{example}"
        )
    name, stored, shape, offset, order = _parse(key, path)
    shape = _fill_in(shape, stored.itemsize, size - offset, path, key)
    strides = c_strides(shape[::-1], stored.itemsize)[::-1] if order == "F" else None
    return RawSource(file, offset, size - offset, shape, name, str(path), stored=stored, strides=strides)


def load_array(path, key=None):
    """Load a whole file of raw values."""
    with contextlib.closing(open_source(path, key)) as source:
        return source.load()


class RawSource(RegionSource):
    """A file of raw values."""

    format = "raw"


def _parse(key, path):
    """Read a description: (name of the type, dtype as stored, shape, offset, order)."""
    kind, *rest = (part.strip() for part in key.split(","))
    big = kind.startswith(">")
    name = kind.lstrip("<>=").lower()
    name = _TYPES.get(name, name)
    if re.fullmatch(r"f[248]|[iu][1248]|b1|\?", name):
        name = np.dtype(name).name
    if name not in _dtypes.NAMES:
        raise InputError(
            f"the type of raw values must be one of {', '.join(_dtypes.NAMES)}, or f4, i2, >f4 …; got {kind!r} for "
            f"{path}: write {SYNTAX}, such as float16,1000x768"
        )
    stored = _dtypes.raw(name).newbyteorder(">" if big else "<")
    shape, offset, order = None, 0, "C"
    for part in rest:
        word, mark, value = part.lower().partition("=")
        if not mark and shape is None and re.fullmatch(r"-?[0-9]{1,18}(x-?[0-9]{1,18}){0,31}", word):
            shape = [int(size) for size in word.split("x")]
        elif word == "offset" and re.fullmatch(r"[0-9]{1,18}", value):
            offset = int(value)
        elif word == "order" and value in ("c", "f"):
            order = value.upper()
        else:
            raise InputError(f"{part!r} of {path}::{key} is not understood; write {SYNTAX}, such as float16,1000x768")
    if shape is None:
        raise InputError(f"{path}::{key} gives no shape; write {SYNTAX}, such as {kind},1000x768")
    return name, stored, shape, offset, order


def _fill_in(shape, itemsize, held, path, key):
    """Hold a shape against the bytes that are there; -1 becomes what they give."""
    free = [axis for axis, size in enumerate(shape) if size < 0]
    known = math.prod(size for size in shape if size >= 0)
    if len(free) > 1 or any(shape[axis] != -1 for axis in free) or not known:
        raise InputError(f"the sizes of {path}::{key} must be 1 or more, at most one of them -1")
    if free and held > 0 and held % (known * itemsize) == 0:
        return tuple(held // (known * itemsize) if size < 0 else size for size in shape)
    if free or held != known * itemsize:
        rest = f"{known * itemsize} bytes for each position of the -1" if free else f"{known * itemsize} bytes"
        rows = (
            max(held, 0) // (known // max(shape[0], 1) * itemsize)
            if shape[0] > 0
            else max(held, 0) // (known * itemsize)
        )
        raise InputError(
            f"{path} holds {max(held, 0)} bytes behind the offset and {key} needs {rest}; {rows} whole rows fit: check type, "
            "shape and offset"
        )
    return tuple(shape)


def _plausible(size, most=4):
    """Give descriptions with a common width that use every byte."""
    found = []
    for width in WIDTHS:
        for name, itemsize in (("float32", 4), ("float16", 2)):
            if size and size % (width * itemsize) == 0 and len(found) < most:
                found.append(f"{name},{size // (width * itemsize)}x{width}")
    return found
