"""What the attributes of NetCDF say about values (the CF conventions, which xarray follows): packed, missing, coordinate."""

import numpy as np

from srmfast.errors import InputError
from srmfast.stores import _dtypes

_MISSING = ("_FillValue", "missing_value")
_BESIDE = ("coordinates", "bounds", "ancillary_variables")  # attributes that name what describes a variable


def refuse_packed(attributes, location):
    """Refuse values that stand for others by a factor and an offset."""
    packed = {name: attributes[name] for name in ("scale_factor", "add_offset") if name in attributes}
    neutral = {"scale_factor": 1, "add_offset": 0}
    if any(not np.array_equal(np.ravel(value), [neutral[name]]) for name, value in packed.items()):
        how = ", ".join(f"{name} {np.ravel(value)[:1]}" for name, value in packed.items())
        raise InputError(
            f"{location} is packed ({how}); unpack it: ncpdq -U IN.nc OUT.nc, or "
            "xarray.open_dataset('IN.nc').drop_encoding().to_netcdf('OUT.nc')"
        )


class Missing:
    """The values that stand for missing ones.

    Parameters
    ----------
    attributes : mapping
    dtype_name : str
        Name of the type of the values.
    location : str
    """

    def __init__(self, attributes, dtype_name, location):
        self._name, self._location = dtype_name, location
        given = [value for name in _MISSING if name in attributes for value in np.ravel(attributes[name])]
        self.values = []
        if dtype_name in _dtypes.BITS or not given:  # bits have no numbers to compare with
            return
        for value in given:
            if np.asarray(value).dtype.kind in "iufb" and value == value:  # NaN is what a missing value becomes
                with np.errstate(all="ignore"):
                    self.values.append(np.asarray(value).astype(_dtypes.raw(dtype_name)))

    def mark(self, block):
        """Turn missing values of a block of floats into NaN, in place; refuse them among integers."""
        for value in self.values:
            found = block == value
            if not found.any():
                continue
            if block.dtype.kind != "f":
                raise InputError(
                    f"{self._location} holds {value}, which its attributes declare missing; store it as floats with NaN"
                )
            block[found] = np.nan

    def notes(self):
        """Say what is turned into NaN."""
        if not self.values or "float" not in self._name:
            return []
        return [f"values equal to {', '.join(map(str, self.values))} are missing by the attributes and read as NaN"]


def beside(variables):
    """Tell which variables only describe others: dimension scales, coordinates and bounds.

    Parameters
    ----------
    variables : mapping of str to attributes
        Paths -> attributes.

    Returns
    -------
    set of str
    """
    found = set()
    for path, attributes in variables.items():
        if _text(attributes.get("CLASS")) == "DIMENSION_SCALE":
            found.add(path)
        group = path.rpartition("/")[0]
        for name in _BESIDE:
            named = _text(attributes.get(name)).split()
            found |= {f"{group}/{other}" if group else other for other in named}
    return found


def _text(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value if isinstance(value, str) else ""
