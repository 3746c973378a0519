"""Which element types a store may hold, and under which name they travel."""

import functools

import numpy as np

from srmfast.errors import InputError, require

NAMES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float16", "bfloat16", "float32", "float64",
)  # fmt: skip
# Types that NumPy lacks, and what their values travel as.
BITS = {"bfloat16": np.uint16} | {name: np.uint8 for name in NAMES if name.startswith("float8")}


def resolve(dtype, location, marks=None):
    """Name an element type and give the native-endian dtype its raw values are read as.

    Parameters
    ----------
    dtype : numpy.dtype
        What the format declares, in either byte order.
    location : str
        Shown in the error.
    marks : mapping, optional
        Attributes of the array: a writer without a bfloat16 type stores the bits as uint16 and says so here.

    Returns
    -------
    name : str
        One of `NAMES`.
    raw : numpy.dtype
        The same type in native byte order; for bfloat16 and float8 the unsigned integer of its bits.

    Raises
    ------
    InputError
        For objects, records, text, dates, complex numbers and widths that no kernel decodes.
    """
    if dtype.hasobject:
        raise InputError(
            f"{location} holds Python objects, which are never unpickled; save the numbers as a float "
            "array of shape (n, d)"
        )
    if dtype.names is not None:
        fields = ", ".join(dtype.names)
        raise InputError(
            f"{location} holds records ({fields}), not numbers; save one field as an array of shape (n, d)"
        )
    # ml_dtypes is not imported: its types are known by name; plain NumPy sees their files as two-byte void.
    if dtype.name in BITS:
        return dtype.name, np.dtype(BITS[dtype.name])
    if dtype.str == "|V2":
        return "bfloat16", np.dtype(np.uint16)
    if dtype.kind in "iu" and dtype.itemsize == 2 and marked_bfloat16(marks):
        return "bfloat16", np.dtype(np.uint16)
    if dtype.name.startswith("float8"):
        known = ", ".join(name for name in NAMES if name.startswith("float8"))
        raise InputError(f"of float8 types {known} are read, {location} holds {dtype.name}; convert it to float16")
    native = dtype.newbyteorder("=")
    if native.name not in NAMES:
        raise InputError(
            f"activations must be real numbers (float, int or bool), {location} holds {dtype}; convert it first"
        )
    return native.name, native


def marked_bfloat16(marks):
    """Tell whether an attribute such as ``torch_dtype = "torch.bfloat16"`` declares bfloat16 bits."""
    for key, value in dict(marks or {}).items():
        if "dtype" not in key.lower():
            continue
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        if text.lower().rpartition(".")[2] in ("bfloat16", "bf16"):
            return True
    return False


def raw(name):
    """Give the native dtype in which the values of a named type travel."""
    return np.dtype(BITS.get(name, name))


def common(names):
    """Find the type that holds the values of several float types exactly, None when one is no float."""
    names = set(names)
    if len(names) == 1:
        return names.pop()
    if not all("float" in name for name in names):
        return None
    return "float64" if "float64" in names else "float32"


def widen(values, name, target):
    """Convert raw values of the float type `name` to a wider one, exactly."""
    if name == target:
        return values
    if name == "bfloat16":
        values = (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    elif name in BITS:
        types = require("ml_dtypes", purpose=f"values of type {name}")
        values = values.view(getattr(types, name))
    return values.astype(target)


def fixed_text(array):
    """Convert variable-width text (StringDType or Python strings) to fixed width; others stay as they are."""
    text = array.dtype.kind == "T" or (array.dtype.hasobject and all(isinstance(value, str) for value in array.flat))
    return np.array(array.tolist(), dtype=str).reshape(array.shape) if text else array


@functools.cache
def float8_values(name):
    """Return the value of every code of an eight-bit float, (256,) float32."""
    import ml_dtypes

    return np.arange(256, dtype=np.uint8).view(getattr(ml_dtypes, name)).astype(np.float32)


def to_floats(raw, name):
    """Return stored values as a new array of float64, exactly but for integers of 64 bits."""
    if name == "bfloat16":
        return (raw.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    if name in BITS:
        return float8_values(name)[raw].astype(np.float64)
    return raw.astype(np.float64)
