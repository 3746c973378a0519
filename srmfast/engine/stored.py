"""Stored values in the form that kernels read; `to_floats` makes plain floats of them."""

import numpy as np

from srmfast.errors import InputError
from srmfast.kernels import decode
from srmfast.stores import BITS, float8_values
from srmfast.stores import to_floats as to_floats

DOUBLE_TYPES = ("float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")
FLOAT8 = tuple(name for name, code in BITS.items() if code == np.uint8)
DTYPES = ("float16", "bfloat16", "float32", *FLOAT8, *DOUBLE_TYPES)


def bits(dtype):
    """Return the NumPy type in which values of a stored type are handed out."""
    return np.dtype(BITS.get(dtype, dtype))


def to_stored(raw, dtype, scratch):
    """Return stored values in the form that kernels read: bits by the integer type of `kernels.rows`, or floats.

    float32 and every narrower float type stay as exact as they are; integers of 64 bits are rounded to float64.
    """
    raw = writeable(raw)
    if dtype == "float16" and decode.half_instructions():
        return raw.view(np.int16)
    if dtype == "float16":
        rows = scratch.array("decoded", raw.shape, np.float32)
        decode.half_to_single(raw.view(np.uint16), rows)
        return rows
    if dtype in FLOAT8:
        rows = scratch.array("decoded", raw.shape, np.float32)
        decode.bytes_to_single(raw, float8_values(dtype), rows)
        return rows
    if dtype in ("bfloat16", "float32", "float64"):
        return raw
    if dtype in DOUBLE_TYPES:
        return raw.astype(np.float64)
    raise InputError(f"activations must be of one of {', '.join(DTYPES)}, got {dtype}; convert the store")


def writeable(raw):
    """Return an array that may be written, because a read-only one is another type to the compiler."""
    return raw if raw.flags.writeable else raw.copy()
