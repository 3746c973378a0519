"""Arrays in memory: NumPy, ml_dtypes, torch tensors and whatever converts to NumPy."""

import importlib

import numpy as np

from srmfast.errors import InputError, require
from srmfast.sound import line
from srmfast.stores import _dtypes, _fingerprint
from srmfast.stores.base import Source


class MemorySource(Source):
    """An array in memory; blocks are views where the memory order allows."""

    format = "memory"
    readers = 8

    def __init__(self, array, location="array in memory"):
        self.location = location
        self.dtype_name, self.dtype = _dtypes.resolve(array.dtype, location)
        self._array = array.view(self.dtype) if self.dtype_name in _dtypes.BITS else array
        self.shape = array.shape

    def read(self, selection):
        return self._array[selection].astype(self.dtype, copy=False)

    def content(self):
        return _fingerprint.digest(np.ascontiguousarray(part).tobytes() for part in np.array_split(self._array, 64))

    def fingerprint_parts(self):
        header = _fingerprint.digest_json([self.shape, self.dtype_name])
        return {"size": self.nbytes, "header": header, "slices": _fingerprint.array_slices(self._array)}


def to_numpy(value):
    """Convert an array of any library to NumPy without copying where that is possible.

    Parameters
    ----------
    value : array-like
        NumPy array, torch tensor on any device (bfloat16 too), JAX array, DataFrame, nested list, …

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    InputError
        For masked arrays (a hidden value would be counted) and anything that is not an array.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise InputError("a masked array hides values that would be counted; use .filled() and pass the mask by --mask")
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        return _from_torch(value)
    if not (hasattr(value, "__array__") or isinstance(value, (list, tuple))):
        raise InputError(
            f"activations must be an array or a path, got {type(value).__name__}; convert it with numpy.asarray"
        )
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as error:
        reason = line(error)
        raise InputError(
            f"{type(value).__name__} does not convert to an array ({reason}); give rows of equal width"
        ) from error


def _from_torch(tensor):
    tensor = tensor.detach().cpu()
    name = str(tensor.dtype).removeprefix("torch.")
    if name != "bfloat16" and not name.startswith("float8"):
        return tensor.numpy()
    # NumPy has no such types: the bits travel as integers. Torch is loaded already; this import only finds it.
    torch = importlib.import_module("torch")
    if name == "bfloat16":
        return tensor.view(torch.int16).numpy().view("V2")
    types = require("ml_dtypes", purpose=f"activations of type {name}")
    return tensor.view(torch.uint8).numpy().view(getattr(types, name))
