"""Arrow columns as NumPy arrays, made from the value buffers: never through Python lists."""

import numpy as np

from srmfast.errors import InputError, require

# Arrow's names of numbers and NumPy's.
NUMBERS = {"bool": "bool", "halffloat": "float16", "float": "float32", "double": "float64"}
NUMBERS |= {f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}


def leaf(kind):
    """Give the number of list levels of an Arrow type and the type of what they hold."""
    pa = require("pyarrow", purpose="reading Arrow columns", extra="arrow")
    levels = 0
    while True:
        if isinstance(kind, pa.FixedShapeTensorType):
            return levels + len(kind.shape), kind.value_type
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        elif _is_list(pa, kind):
            levels, kind = levels + 1, kind.value_type
        else:
            return levels, kind


def spelled(kind):
    """Spell the type of a plain column as NumPy does ("float16"), Arrow's own word for others."""
    pa = require("pyarrow", purpose="reading Arrow columns", extra="arrow")
    if str(kind) in NUMBERS:
        return NUMBERS[str(kind)]
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return "text" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else str(kind)


def to_numpy(array, location, at=0, inside=1):
    """Give the values of an array of numbers, or of equally long lists of such, without a copy where possible.

    Parameters
    ----------
    array : pyarrow.Array
    location : str
    at : int
        Number of the first row, for errors.
    inside : int
        Elements of the array that make one row.

    Returns
    -------
    (n, …) ndarray

    Raises
    ------
    InputError
        For a null, and for lists of unequal length, naming the row.
    """
    pa = require("pyarrow", purpose=f"reading {location}", extra="arrow")
    kind = array.type
    if array.null_count:
        row = at + int(np.argmax(_buffer(array.is_null(), "bool"))) // inside
        raise InputError(f"row {row} of {location} is null or holds one; fill it or leave the row out")
    if isinstance(kind, pa.FixedShapeTensorType):
        to_numpy(array.storage, location, at, inside)  # refuses nulls
        return array.to_numpy_ndarray()
    if isinstance(array, pa.ExtensionArray):
        return to_numpy(array.storage, location, at, inside)
    if not _is_list(pa, kind):
        if str(kind) not in NUMBERS:
            raise InputError(f"activations must be real numbers (float, int or bool), {location} holds {str(kind):.60}")
        return _buffer(array, NUMBERS[str(kind)])
    if pa.types.is_fixed_size_list(kind):
        inner = to_numpy(array.flatten(), location, at, inside * max(kind.list_size, 1))
        return _shaped(inner, len(array), kind.list_size, location)
    offsets = _buffer(array.offsets, "int64" if pa.types.is_large_list(kind) else "int32")
    lengths = np.diff(offsets)
    width = int(lengths[0]) if len(lengths) else 0
    if (lengths != width).any() or width < 0:
        odd = int(np.argmax(lengths != width))
        raise InputError(
            f"row {at + odd // inside} of {location} holds a list of {lengths[odd]} values, row {at} one of {width}; "
            "lists must be equally long: pad them and give a mask, or store one token a row"
        )
    inner = array.values[int(offsets[0]) : int(offsets[-1])] if len(lengths) else array.values[:0]
    return _shaped(to_numpy(inner, location, at, inside * max(width, 1)), len(array), width, location)


def _buffer(array, dtype):
    """Give the values of a plain array as they lie in memory (to_numpy would import pandas)."""
    if not len(array):
        return np.empty(0, dtype)
    memory = np.frombuffer(array.buffers()[1], np.uint8)
    if dtype == "bool":
        first = array.offset // 8
        bits = np.unpackbits(memory[first : (array.offset + len(array) + 7) // 8], bitorder="little")
        return bits[array.offset - 8 * first :][: len(array)].astype(bool)
    return memory[: memory.size // np.dtype(dtype).itemsize * np.dtype(dtype).itemsize].view(dtype)[
        array.offset : array.offset + len(array)
    ]


def _shaped(values, rows, width, location):
    if len(values) != rows * width:
        raise InputError(f"{location} holds {len(values)} values for {rows} lists of {width}; the file is damaged")
    return values.reshape(rows, width, *values.shape[1:])


def to_column(chunks, location):
    """Give one value a row: numbers, bools, dates, or text; a missing text is "", a missing float NaN.

    Parameters
    ----------
    chunks : list of pyarrow.Array
        In order.
    location : str

    Returns
    -------
    ndarray
    """
    pa = require("pyarrow", purpose=f"reading {location}", extra="arrow")
    made, at = [], 0
    for chunk in chunks:
        kind = chunk.type
        if pa.types.is_dictionary(kind):
            chunk = chunk.dictionary_decode()
            kind = chunk.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            made.append(np.array(["" if value is None else value for value in chunk.to_pylist()], dtype=str))
        elif pa.types.is_floating(kind):
            made.append(_buffer(chunk, spelled(kind)).copy())
            if chunk.null_count:
                made[-1][_buffer(chunk.is_null(), "bool")] = np.nan
        elif pa.types.is_temporal(kind) and not chunk.null_count:
            made.append(chunk.to_numpy(zero_copy_only=False))
        else:
            made.append(to_numpy(chunk, location, at))
        at += len(chunk)
    if len({part.shape[1:] for part in made}) > 1:
        raise InputError(f"{location} holds lists of several lengths; give one value a row, or equally long lists")
    return np.concatenate(made) if made else np.empty(0)


def _is_list(pa, kind):
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
