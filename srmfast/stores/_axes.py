"""Which axes of an array are rows, which are features, and which are fixed to one position."""

import dataclasses
import math

from srmfast.errors import InputError


@dataclasses.dataclass(frozen=True)
class Axes:
    """The role of every axis of an array; `rows` and `features` keep the array's own order."""

    rows: tuple  # axis numbers
    features: tuple  # axis numbers: one, or several that are flattened together
    fixed: dict  # axis number -> position

    def selection(self, box):
        """Give the index of one row box: a slice for every row axis, `box` being in their order."""
        chosen = dict(zip(self.rows, box, strict=True))
        rank = len(self.rows) + len(self.features) + len(self.fixed)
        return [self.fixed[axis] if axis in self.fixed else chosen.get(axis) for axis in range(rank)]


def resolve(shape, location, *, feature_axis=None, index=None, flatten=False):
    """Give every axis its role, or refuse with the choices.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    location : str
        Shown in errors.
    feature_axis : int, optional
        Axis of the d features, negative from the end. The last axis when omitted, except that four and more
        free axes are ambiguous (an image batch has its channels second).
    index : mapping of int to int, optional
        Axis number in `shape` -> the one position to use (a layer axis).
    flatten : bool
        The first free axis is the rows, all the others together the features.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        For an axis or position out of range, contradicting choices, an ambiguous rank, no rows, or d < 2.
    """
    rank = len(shape)
    fixed = {}
    for axis, position in dict(index or {}).items():
        number = _normalise(axis, rank, "index axis", location)
        if number in fixed:
            raise InputError(f"axis {number} of {location} may be fixed once, got it twice; drop one --index")
        fixed[number] = _normalise(position, shape[number], f"position on axis {axis}", location)
    free = [axis for axis in range(rank) if axis not in fixed]
    if len(free) < 2:
        raise InputError(
            f"a store needs at least two free axes (rows and features), {location} has shape {tuple(shape)}"
            + (f" with axes {sorted(fixed)} fixed" if fixed else "")
            + "; reshape it to (n, d)"
        )
    if flatten:
        if feature_axis is not None:
            raise InputError(f"--flatten and --feature-axis {feature_axis} exclude each other; give one of them")
        rows, features = free[:1], free[1:]
    else:
        if feature_axis is None:
            if len(free) > 3:
                raise InputError(
                    f"which axis of {location}, shape {tuple(shape)}, holds the features is ambiguous: "
                    "choose "
                    "--feature-axis 1 (channels first: every position is a row), --feature-axis -1 "
                    "(features last) or "
                    "--flatten (one row per item)"
                )
            feature_axis = free[-1]
        number = _normalise(feature_axis, rank, "feature axis", location)
        if number in fixed:
            raise InputError(
                f"axis {number} of {location} cannot be both the feature axis and fixed by --index; drop one"
            )
        rows, features = [axis for axis in free if axis != number], [number]
    axes = Axes(tuple(rows), tuple(features), fixed)
    d = math.prod(shape[axis] for axis in features)
    if d < 2:
        raise InputError(
            f"a row needs d >= 2 features to span a plane, {location} gives d = {d}; choose another --feature-axis"
        )
    if 0 in (shape[axis] for axis in rows):
        raise InputError(f"a store needs at least one row, {location} is empty: shape {tuple(shape)}")
    return axes


def _normalise(value, size, what, location):
    """Turn a possibly negative number into 0 … size - 1."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise InputError(f"the {what} of {location} must be an integer, got {value!r}")
    number = value.__index__()
    if not -size <= number < size:
        raise InputError(f"the {what} of {location} must lie in {-size} … {size - 1}, got {number}")
    return number % size
