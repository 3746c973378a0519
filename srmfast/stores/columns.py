"""One value a row: labels, groups and masks, aligned with the rows of a store."""

import math
import os
from pathlib import Path

import numpy as np

from srmfast.errors import InputError
from srmfast.stores import _dtypes, _places, _registry, _remote
from srmfast.stores._memory import to_numpy

TEXT_SUFFIXES = (".txt", ".csv")


def load_column(spec, store=None):
    """Load labels, groups or a mask.

    Parameters
    ----------
    spec : array-like, str or Path
        The values; a path to .npy, ``.npz::member``, ``.h5::path``, ``.zarr::key``, ``.parquet::column``,
        ``.pt::labels`` and so on for every format, or to .txt/.csv with one value a line; or the bare key of
        an array in the same container as the store.
    store : Store, optional
        Where a bare key is looked up.

    Returns
    -------
    numpy.ndarray
        Numbers, bools or fixed-width text, in the stored shape.

    Raises
    ------
    InputError
        When it is not there, or holds Python objects (never unpickled).
    """
    if not isinstance(spec, (str, Path)):
        return _plain(_as_array(spec), "the column")
    spec = str(spec)
    path, key = _registry.split(spec)
    path = _places.plain(path)
    if key is None and os.path.splitext(_remote.path_of(path))[1].lower() in TEXT_SUFFIXES:
        return _plain(_read_lines(path), path)
    if key is None and not (_registry.by_suffix(path) or _places.is_url(path) or os.path.exists(path)):
        if store is None:
            raise InputError(f"{spec} does not exist; give a file of {', '.join(TEXT_SUFFIXES)}, {_registry.known()}")
        return _plain(store.sibling(spec), spec)
    if not (_places.is_url(path) or os.path.exists(path)):
        raise InputError(f"{path} does not exist; check the path")
    kind = _registry.recognise(path, key)
    if kind is None:
        if store is not None and key is None and spec in store.siblings():
            return _plain(store.sibling(spec), spec)
        raise InputError(f"{path} is of an unknown kind; known are {', '.join(TEXT_SUFFIXES)}, {_registry.known()}")
    return _plain(kind.load_array(path, key), spec)


def expand(column, row_shape, what="column"):
    """Align a column with the rows of a store.

    Parameters
    ----------
    column : ndarray
        Shaped as a leading prefix of the row axes ((N,) or (N, T) for rows (N, T)), or with one value for
        each row.
    row_shape : tuple of int
        Sizes of the row axes.
    what : str
        "labels", "mask", …: named in the error.

    Returns
    -------
    values : (m,) ndarray
    inner : int
        Row r has ``values[r // inner]``.

    Raises
    ------
    InputError
        When the shape fits neither, naming both lengths.
    """
    shape = column.shape
    row_shape = tuple(row_shape)
    if shape != row_shape[: len(shape)] and len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]  # a single column of a table
    n = math.prod(row_shape)
    if shape and shape == row_shape[: len(shape)]:
        return column.reshape(-1), math.prod(row_shape[len(shape) :])
    if shape == (n,):
        return column.reshape(-1), 1
    prefixes = [str(row_shape[:rank]) for rank in range(1, len(row_shape) + 1)]
    allowed = " or ".join(prefixes + ([f"({n},)"] if len(row_shape) > 1 else []))
    raise InputError(
        f"{what} must have one value a row, shape {allowed}; got shape {column.shape}: check order and length"
    )


def _as_array(value):
    """Convert values given directly; a pandas column counts as an array."""
    return np.asarray(value) if hasattr(value, "tolist") and not hasattr(value, "detach") else to_numpy(value)


def _plain(array, location):
    """Decode bytes, accept text held as objects in memory, refuse other objects."""
    array = _dtypes.fixed_text(array)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    if array.dtype.hasobject or array.dtype.names or array.dtype.kind not in "biufUM":
        raise InputError(
            f"{location} must hold numbers, bools or text, got {array.dtype}; save it as such, objects are "
            "never unpickled"
        )
    return array


def _read_lines(path):
    """Read one value a line; all integers become integers, a text line above numbers is a header."""
    try:
        with _places.open_bytes(path) as file:
            text = file.read_at(0, file.size).decode("utf-8-sig")
        lines = [line.strip().strip('"') for line in text.splitlines()]
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path") from error
    while lines and not lines[-1]:
        lines.pop()
    if path.lower().endswith(".csv") and len(lines) > 1 and not _integers(lines[:1]) and _integers(lines[1:]):
        lines = lines[1:]
    if not lines:
        raise InputError(f"{path} is empty; write one value a line")
    return np.array(lines, dtype=np.int64 if _integers(lines) else str)


def _integers(lines):
    """Tell whether every line is an integer that survives the round trip (007 is a name)."""
    return all(line.lstrip("-").isdecimal() and line == str(int(line)) and abs(int(line)) < 2**63 for line in lines)
