"""The formats a path may have: which names and first bytes belong to which module."""

import dataclasses
import importlib
import os

from srmfast.errors import InputError
from srmfast.stores import _hdf5, _places, _remote, _zarr_tree


@dataclasses.dataclass(frozen=True)
class Format:
    """One format; its module offers ``open_source(path, key)`` and ``load_array(path, key)``."""

    name: str
    suffixes: tuple  # lower case
    module: str  # in srmfast.stores
    magic: bytes = b""  # first bytes of a file of any name

    def open_source(self, path, key=None):
        """Open one array for reading by rectangles."""
        return self._module().open_source(path, key)

    def load_array(self, path, key=None):
        """Load one whole array of any type but objects."""
        return self._module().load_array(path, key)

    def _module(self):
        return importlib.import_module(f"srmfast.stores.{self.module}")


NPY = Format("npy", (".npy",), "_npy", b"\x93NUMPY")
NPZ = Format("npz", (".npz",), "_npz")
ZARR = Format("zarr", (".zarr", ".zip"), "_zarr")
HDF5 = Format("hdf5", (".h5", ".hdf5", ".hdf", ".he5", ".h5ad", ".nc", ".nc4"), "_hdf5", _hdf5.SIGNATURE)
FORMATS = (NPY, NPZ, ZARR, HDF5)


def recognise(path):
    """Find the format of an existing file or folder.

    Parameters
    ----------
    path : str

    Returns
    -------
    Format or None
        None for a folder that is no store and a file of an unknown kind.
    """
    if _places.is_url(path):
        return by_suffix(path) or _recognise_url(path)
    if os.path.isdir(path):
        marked = any(os.path.exists(os.path.join(path, marker)) for marker in _zarr_tree.MARKERS)
        return ZARR if marked or path.rstrip("/").lower().endswith(".zarr") else None
    named = by_suffix(path)
    if named is not None:
        return named
    return _by_magic(path)


def _recognise_url(url):
    """Ask for a hierarchy's description, then for a file: what a folder would show at a glance takes requests here."""
    if any(_places.is_file(_places.within(url, marker)) for marker in _zarr_tree.MARKERS):
        return ZARR
    return _by_magic(url) if _places.is_file(url) else None


def _by_magic(path):
    head = _places.head(path, 8)
    return next((kind for kind in FORMATS if kind.magic and head.startswith(kind.magic)), None)


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
