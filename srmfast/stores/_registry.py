"""The formats a path may have: which names and first bytes belong to which module."""

import dataclasses
import importlib
import os
import re

from srmfast.errors import InputError
from srmfast.sound import sound
from srmfast.stores import _hdf5, _places, _remote, _zarr_tree


@dataclasses.dataclass(frozen=True)
class Format:
    """One format; its module offers ``open_source(path, key)``, ``load_array(path, key)`` and perhaps ``list_arrays(path)``."""

    name: str
    suffixes: tuple  # lower case
    module: str  # in srmfast.stores
    magic: bytes = b""  # first bytes of a file of any name
    markers: tuple = ()  # a folder that holds one of these files is of this format
    remote: bool = True  # whether it is read behind a URL
    lists: bool = False  # whether its module lists the arrays of a file from the header

    def open_source(self, path, key=None):
        """Open one array for reading by rectangles."""
        with sound(path):
            return self._module(path).open_source(path, key)

    def load_array(self, path, key=None):
        """Load one whole array of any type but objects."""
        with sound(path):
            return self._module(path).load_array(path, key)

    def list_arrays(self, path):
        """List the arrays of a file: name -> (shape, dtype as text)."""
        with sound(path):
            return self._module(path).list_arrays(path)

    def _module(self, path):
        if _places.is_url(path) and not self.remote:
            raise InputError(f"{path} is of a format ({self.name}) that is read from a disk only; download it first")
        return importlib.import_module(f"srmfast.stores.{self.module}")


NPY = Format("npy", (".npy",), "_npy", b"\x93NUMPY")
NPZ = Format("npz", (".npz",), "_npz", lists=True)
ZARR = Format("zarr", (".zarr", ".zip"), "_zarr", markers=_zarr_tree.MARKERS, lists=True)
HDF5 = Format("hdf5", (".h5", ".hdf5", ".hdf", ".he5", ".nc", ".nc4"), "_hdf5", _hdf5.SIGNATURE, lists=True)
SAFETENSORS = Format(
    "safetensors", (".safetensors",), "_safetensors", markers=("model.safetensors.index.json",), lists=True
)
TORCH = Format("torch", (".pt", ".pth", ".ckpt"), "_torch", lists=True)
RAW = Format("raw", (".bin", ".raw"), "_raw")
ARROW = Format("arrow", (".arrow", ".arrows", ".feather", ".ipc"), "_arrow", b"ARROW1", remote=False, lists=True)
PARQUET = Format("parquet", (".parquet", ".pq"), "_arrow", b"PAR1", remote=False, lists=True)
DATASETS = Format("datasets", (), "_datasets", markers=("dataset_info.json", "dataset_dict.json"), remote=False)
ANNDATA = Format("h5ad", (".h5ad",), "_anndata", lists=True)
ONNX = Format("onnx", (".onnx",), "_onnx", remote=False)
FORMATS = (NPY, NPZ, ZARR, HDF5, ANNDATA, SAFETENSORS, TORCH, RAW, ARROW, PARQUET, DATASETS, ONNX)
_SAVED_BY_TORCH = (b"PK\x03\x04", b"\x80\x02")  # pytorch_model.bin: a zip file or a pickle, no raw values


def recognise(path, key=None):
    """Find the format of an existing file or folder.

    Parameters
    ----------
    path : str
    key : str, optional
        The description of raw values makes a file of an unknown kind one of those.

    Returns
    -------
    Format or None
        None for a folder that is no store and a file of an unknown kind.
    """
    named = by_suffix(path)
    if not _places.is_url(path):
        if os.path.isdir(path):
            return ZARR if named is ZARR and not path.rstrip("/").lower().endswith(".zip") else _by_markers(path)
    elif named is None:  # a name costs no request
        found = _by_markers(path)
        if found is not None or not _places.is_file(path):
            return found
    if named not in (None, RAW):
        return named
    head = _places.head(path, 8)
    if named is RAW:
        return TORCH if head.startswith(_SAVED_BY_TORCH) else RAW
    found = next((kind for kind in FORMATS if kind.magic and head.startswith(kind.magic)), None)
    return RAW if found is None and describes_raw(key) else found


def _by_markers(folder):
    """Find the format of a folder by the files that it must hold, or None."""
    for kind in FORMATS:
        if any(_places.is_file(_places.within(folder, marker)) for marker in kind.markers):
            return kind
    return None


def describes_raw(key):
    """Tell whether a key is meant as type and shape of raw values: ``float16,1000x768``."""
    return key is not None and re.match(r"[<>=]?[A-Za-z]\w*\s*,\s*-?[0-9]", key) is not None


def by_suffix(path):
    """Find the format that a name announces, or None."""
    suffix = os.path.splitext(_remote.path_of(path).rstrip("/"))[1].lower()
    return next((kind for kind in FORMATS if suffix in kind.suffixes), None)


def split(spec):
    """Split ``path::key`` at the first "::".

    Returns
    -------
    path : str
    key : str or None

    Raises
    ------
    InputError
        For an empty path or key, and for a chained URL (a "://" after the "::").
    """
    path, mark, key = spec.partition("::")
    if "://" in key:
        raise InputError(
            f"a chained URL cannot be read ('://' after '::' in {spec}); copy the inner file and give its own path"
        )
    if not path or (mark and not key.strip("/")):
        raise InputError(f"a store is PATH or PATH::KEY, got {spec!r}; drop the empty part")
    return path, key if mark else None


def known():
    """List the suffixes for an error message."""
    return ", ".join(suffix for kind in FORMATS for suffix in kind.suffixes)
