"""AnnData files (.h5ad): X without naming it, the columns of obs as labels, layers and obsm by their keys."""

import contextlib

import numpy as np

from srmfast.errors import InputError
from srmfast.sound import line
from srmfast.stores import _hdf5, _members

SPARSE = ("csr_matrix", "csc_matrix", "csr", "csc")
BESIDE_X = ("layers", "obsm", "raw")  # where a key is looked for that is no path of the file


def open_source(path, key=None):
    """Open X, a layer or an embedding of an AnnData file.

    Parameters
    ----------
    path : str
    key : str, optional
        "X" when omitted; a path such as "layers/counts", or the last part of one.

    Returns
    -------
    AnnDataSource

    Raises
    ------
    InputError
        For a sparse matrix and for what HDF5 refuses.
    """
    file = _hdf5.open_file(path)
    try:
        with _one_line(path):
            node = _node(file, "X" if key is None else key.strip("/"))
            if node is None:
                return AnnDataSource(_hdf5.find(file, path, key, least_rank=2), owned=True)
            _refuse_sparse(node, path)
            return AnnDataSource(_hdf5.find(file, path, node.name, least_rank=2), owned=True)
    except BaseException:
        file.close()
        raise


def load_array(path, key=None):
    """Load a column of obs, named by "obs/louvain" or "louvain", or any array of the file."""
    with contextlib.closing(_hdf5.open_file(path)) as file, _one_line(path):
        column = None if key is None else _column(file, key.strip("/"), path)
        if column is not None:
            return column
        node = None if key is None else _node(file, key.strip("/"))
        return _hdf5.load_dataset(_hdf5.find(file, path, key if node is None else node.name, least_rank=1))


def list_arrays(path):
    """List the dense matrices and whatever else is a dataset: name -> (shape, dtype as text)."""
    with _one_line(path):
        return _hdf5.list_arrays(path)


class AnnDataSource(_hdf5.Hdf5Source):
    """One matrix of an AnnData file; the columns of obs are its siblings."""

    format = "h5ad"

    def siblings(self):
        with _one_line(self._path):
            columns = {f"obs/{name}": (self.shape[:1], "column of obs") for name in _column_names(self._dataset.file)}
            return columns | {name: what for name, what in super().siblings().items() if not name.startswith("obs/")}

    def sibling(self, key):
        with _one_line(self._path):
            column = _column(self._dataset.file, key.strip("/"), self._path)
            return super().sibling(key) if column is None else column


def _node(file, key):
    """Find the array or group that a key means, None when there is none."""
    for name in (key, *(f"{group}/{key}" for group in BESIDE_X)):
        if name in file:
            return file[name]
    return None


def _refuse_sparse(node, path):
    kind = node.attrs.get("encoding-type", node.attrs.get("h5sparse_format"))
    if kind in SPARSE:
        name = node.name.strip("/")
        shape = tuple(int(size) for size in node.attrs.get("shape", node.attrs.get("h5sparse_shape", ())))
        raise InputError(
            f"{path}::{name} is a sparse matrix ({kind}, shape {shape}), rows are read from dense ones; write a dense "
            "copy: adata.X = adata.X.toarray(); adata.write_h5ad('dense.h5ad')"
        )


def _column_names(file):
    """List the columns of obs: of a data frame, or of the records that older versions wrote."""
    obs = file.get("obs")
    if obs is None:
        return []
    if hasattr(obs, "dtype"):
        return list(obs.dtype.names or ())
    return [name for name in obs if not name.startswith("__")]


def _column(file, key, path):
    """Load one column of obs, None when the key is none."""
    name = key.removeprefix("obs/")
    if name not in _column_names(file) or (name == key and key in file):
        return None
    obs = file["obs"]
    location = f"{path}::obs/{_members.shown(name)}"
    if hasattr(obs, "dtype"):
        values, categories = obs.fields(name)[()], file.get(f"uns/{name}_categories")
        return values if categories is None else _decoded(values, categories[()], location)
    column = obs[name]
    if hasattr(column, "dtype"):
        values = _hdf5.load_dataset(column)
        if "categories" not in column.attrs:
            return values
        return _decoded(values, _hdf5.load_dataset(file[column.attrs["categories"]]), location)
    kind = column.attrs.get("encoding-type")
    if kind == "categorical":
        codes, categories = (_hdf5.load_dataset(column[part]) for part in ("codes", "categories"))
        return _decoded(codes, categories, location)
    if "values" in column and "mask" in column:
        values, gone = (_hdf5.load_dataset(column[part]) for part in ("values", "mask"))
        return _masked(values, np.asarray(gone, bool), location)
    raise InputError(f"{location} is of the kind {kind!r:.60}, which is not read; store it as text or numbers")


def _decoded(codes, categories, location):
    """Give the category of every row; a missing one (code -1) is "" or NaN."""
    if codes.dtype.kind not in "iu" or not len(categories) > codes.max(initial=-1) or codes.min(initial=0) < -1:
        raise InputError(f"{location} has codes outside its {len(categories)} categories; write the file again")
    if categories.dtype.kind == "S":
        categories = np.char.decode(categories, "utf-8")
    gone = codes < 0
    if not gone.any():
        return categories[codes]
    if categories.dtype.kind == "U":
        return np.append(categories, "")[codes]
    if categories.dtype.kind in "iuf":
        return np.append(categories.astype(np.float64), np.nan)[codes]
    raise InputError(f"row {int(np.argmax(gone))} of {location} is missing; fill it, or store it as text")


def _masked(values, gone, location):
    """Give the values of a column with a mask of those that are missing."""
    if values.shape != gone.shape:
        raise InputError(f"{location} has {values.shape} values and a mask of {gone.shape}; write the file again")
    if not gone.any():
        return values
    if values.dtype.kind == "U":
        return np.where(gone, "", values)
    raise InputError(f"row {int(np.argmax(gone))} of {location} is missing; fill it, or leave the row out by --mask")


@contextlib.contextmanager
def _one_line(path):
    """Turn what h5py raises over a damaged group into one line."""
    try:
        yield
    except InputError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        reason = line(error)
        raise InputError(f"{path} is no whole AnnData file ({reason:.200}); copy or write it again") from error
