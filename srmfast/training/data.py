"""The rows that a network is trained and tested on, as they are stored."""

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from srmfast.errors import InputError, meant
from srmfast.stores import load_column, open_store, to_floats

_KEPT = ("uint8", "int8", "uint16", "int16", "int32", "float16", "float32", "float64")  # types that graphs cast from


@dataclass(frozen=True)
class Data:
    """Rows in memory.

    Attributes
    ----------
    rows : ndarray, (n, …)
        As stored, one item a row; bfloat16 and types that no graph reads are float32.
    labels : ndarray, (n,) int64, or None
        Classes, counted from 0.
    names : tuple of str
        What the classes are called.
    location : str
    """

    rows: np.ndarray = field(repr=False)
    labels: np.ndarray | None = field(repr=False)
    names: tuple
    location: str

    @property
    def width(self):
        """Number of values in a row."""
        return int(np.prod(self.rows.shape[1:]))

    def sha256(self):
        """Hash the rows and labels, with their types and shapes."""
        digest = hashlib.sha256(f"{self.rows.dtype} {self.rows.shape} ".encode())
        digest.update(np.ascontiguousarray(self.rows))
        if self.labels is not None:
            digest.update(self.labels)
        return digest.hexdigest()


def load_data(recipe, given=None):
    """Load what a recipe trains and tests on.

    Parameters
    ----------
    recipe : Recipe
    given : path, array or mapping, optional
        In place of the recipe's data: another file of the same keys, or a folder of its files; rows to train on; or
        several of train, test, labels, test_labels, each an array or a path. Without it, files that are not there
        are looked for in the folder that the environment variable SRMFAST_DATA names.

    Returns
    -------
    train : Data
    test : Data or None

    Raises
    ------
    InputError
        For data that are not there or out of the range they are scaled from, labels that do not fit, and fewer than
        two rows.
    """
    sources = {key: recipe[f"data.{key}"] for key in ("train", "test", "labels", "test_labels")}
    slices = {"train": recipe["data.rows"], "test": recipe["data.test_rows"]}
    if hasattr(given, "items"):
        if unknown := sorted(set(given) - set(sources)):
            raise InputError(f"data has {', '.join(sources)}, got {unknown[0]!r}{meant(unknown[0], sources)}")
        sources = dict.fromkeys(sources, "") | dict(given)
    elif isinstance(given, (str, os.PathLike)):
        sources = {key: _placed(source, os.fspath(given), key) for key, source in sources.items()}
    elif given is not None:
        sources = dict.fromkeys(sources, "") | {"train": given}
    if isinstance(sources["train"], str) and not sources["train"]:
        raise InputError("a recipe needs data.train, the rows to train on; give --data F or --set data.train=F")
    train = _load(sources["train"], sources["labels"], slices["train"])
    _check_range(train, recipe["data.range"])
    if isinstance(sources["test"], str) and not sources["test"]:
        return train, None
    test = _load(sources["test"], sources["test_labels"], slices["test"], train.names)
    if test.rows.shape[1:] != train.rows.shape[1:] or test.rows.dtype != train.rows.dtype:
        raise InputError(
            f"rows to test on must be like those to train on, {_kind(train)}; {test.location} has {_kind(test)}"
        )
    _check_range(test, recipe["data.range"])
    if (test.labels is None) != (train.labels is None):
        raise InputError("labels are needed for training and testing or for neither: data.labels and data.test_labels")
    return train, test


def _check_range(data, span):
    low, high = data.rows.min(), data.rows.max()
    if span and not span[0] <= low <= high <= span[1]:
        raise InputError(
            f"rows must lie within data.range, {span[0]:g} to {span[1]:g}, {data.location} holds {low:g} to {high:g}; "
            f"give their range, --set data.range=[{low:g},{high:g}], or none to take them as they are, --set data.range=[]"
        )


def _kind(data):
    return f"{data.rows.dtype} of shape {data.rows.shape[1:]}"


def _placed(source, given, key):
    """Put another file or folder in place of a source's own."""
    path, double, member = source.partition("::")
    if os.path.isdir(given) and path and (Path(given) / Path(path).name).exists():
        return f"{Path(given) / Path(path).name}{double}{member}"
    if "::" in given or not member:
        return given if key == "train" else ""
    return f"{given}::{member}" if source else ""


def _found(source):
    """Return a source whose file, where it is not here, lies in the folder of data."""
    path, double, member = str(source).partition("::")
    if not os.path.exists(path) and "://" not in source and (folder := os.environ.get("SRMFAST_DATA")):
        placed = Path(folder) / path
        if placed.exists():
            return f"{placed}{double}{member}"
    return source


def _load(source, labels, rows, names=None):
    store = open_store(_found(source) if isinstance(source, str) else source, flatten=True)
    with store:
        shape, location = store.describe()["array_shape"], store.location
        values, kind = store.read(0, store.n), store.dtype
    if not np.prod(shape):
        raise InputError(f"rows to train on must be there, {location} has shape {tuple(shape)}")
    values = values if kind in _KEPT else to_floats(values, kind).astype(np.float32)
    values = values.reshape(shape)
    wanted = _slice(rows)
    values = np.ascontiguousarray(values[wanted])
    if len(values) < 2:
        raise InputError(f"at least 2 rows are needed, {location} gives {len(values)}; check data.rows")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError(f"rows to train on must be finite, {location} holds NaN or infinity; leave such rows out")
    codes = None
    if not (isinstance(labels, str) and not labels):
        given = load_column(_found(labels) if isinstance(labels, str) else labels)
        if given.shape != (shape[0],):
            raise InputError(f"labels must be one a row, shape ({shape[0]},), got {given.shape}; check data.labels")
        given = given[wanted]
        if names is None:
            names = tuple(str(name) for name in np.unique(given))
        known = {name: code for code, name in enumerate(names)}
        try:
            codes = np.array([known[str(value)] for value in given], np.int64)
        except KeyError as error:
            raise InputError(f"every class that is tested must be trained on, {error.args[0]!r} is not") from None
    return Data(values, codes, names or (), location)


def _slice(text):
    if not text:
        return slice(None)
    if not re.fullmatch(r"-?\d*:-?\d*(:[1-9]\d*)?", text):
        raise InputError(f"data.rows must be START:STOP[:STEP], got {text!r}; for example :3600")
    return slice(*(int(part) if part else None for part in text.split(":")))
