"""The one layer of several whose rows are meant: chosen by its name, by its position, or refused with the choices."""

from srmfast.errors import InputError
from srmfast.stores._axes import CONVENTION

SHOWN = 12
COUNTED = "names are the writer's, I counts from 0"


class Choice(InputError):
    """One of several layers has to be chosen.

    Attributes
    ----------
    names : list of str
        Of the layers.
    axis : str or None
        Of the array whose positions they are; None where each is an array.
    by_key : bool
        Whether a layer may be named behind "::".
    what : str
        What they are, in the plural.
    """

    def __init__(self, message, names, axis=None, by_key=True, what="layers"):
        super().__init__(message)
        self.names, self.axis, self.by_key, self.what = list(names), axis, by_key, what


def on_axis(shape, axis, dims, names, key, index, location, *, convention=CONVENTION, by_key=True):
    """Choose a position on a layer axis.

    Parameters
    ----------
    shape : tuple of int
    axis : int
    dims : tuple of str
        Names of the axes.
    names : list of str
        Of the layers.
    key : str or None
        What followed "::".
    index : mapping or None
        What the user fixed, by number or name of an axis.
    location : str
    convention : str
        What the numbers mean.
    by_key : bool
        Whether a layer may be named behind "::".

    Returns
    -------
    dict
        The index to open with: what the user fixed and the layer.

    Raises
    ------
    InputError
        For several layers of which none is chosen.
    """
    index = dict(index or {})
    if by_key and key in names:
        return index | {axis: names.index(key)}
    if any(which in index for which in (axis, axis - len(shape), dims[axis])):
        return index
    if shape[axis] < 2:
        return index | ({axis: 0} if shape[axis] else {})
    refusal = _refusal(names, location, f"--index {dims[axis]}=0", convention, by_key)
    raise Choice(refusal, names, dims[axis], by_key)


def among(names, key, index, location, what="layers", convention=""):
    """Choose one of several arrays that are layers.

    Returns
    -------
    name : str
        One of `names`.
    index : dict or None
        What of the user's index is left.

    Raises
    ------
    InputError
        For several of which none is chosen.
    """
    if not names:
        raise InputError(f"{location} holds none of the {what} that it should; wait for its writer, or copy it again")
    index = dict(index or {})
    if key in names:
        return key, index
    if "layer" in index and what == "layers":
        position = index.pop("layer")
        if not -len(names) <= position < len(names):
            raise InputError(
                f"--index layer must lie in {-len(names)} … {len(names) - 1} for {location}, got {position}: the layers "
                f"are {listed(names)}"
            )
        return names[position], index
    if len(names) == 1:
        return names[0], index
    refusal = _refusal(names, location, "--index layer=0" if what == "layers" else "", convention, True, what)
    raise Choice(refusal, names, what=what)


def told(names, index, axis, dims):
    """Say which layer of several is used."""
    position = next((index[which] for which in (axis, axis - len(dims), dims[axis]) if which in index), None)
    if len(names) < 2 or position is None or not -len(names) <= position < len(names):
        return ""
    return f"layer {names[position]} of {listed(names)} (another: --index {dims[axis]}=I)"


def listed(names):
    """Show the first names of a list."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _refusal(names, location, by_index, convention, by_key, what="layers"):
    ways = [f"{location}::{names[0]}"] * by_key + [by_index] * bool(by_index)
    every = f", or run over all by {f'{location}::*' if by_key else by_index.replace('=0', '=*')!r}"
    meaning = f" ({convention})" if convention else ""
    return (
        f"{location} holds {len(names)} {what}, {listed(names)}, whose rows do not belong together: choose one, the first by "
        f"{' or '.join(ways)}{meaning}{every}"
    )
