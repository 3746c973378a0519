"""Which axes of an array are rows, which are features, and which are fixed to one position."""

import dataclasses
import math

from srmfast.errors import InputError

CONVENTION = "with n_layers + 1 entries, 0 is the embedding"
_MOST_LAYERS = 200


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


def resolve(shape, location, *, feature_axis=None, index=None, flatten=False, dims=()):
    """Give every axis its role, or refuse with the choices.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    location : str
        Shown in errors.
    feature_axis : int or str, optional
        Axis of the d features, negative from the end, or its name. The last axis when omitted, except that four and more
        free axes are ambiguous (an image batch has its channels second).
    index : mapping of int or str to int, optional
        Axis in `shape`, by number or name -> the one position to use (a layer axis).
    flatten : bool
        The first free axis is the rows, all the others together the features.
    dims : tuple of str or None
        Names of the axes, where they have any.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        For an axis or position out of range, contradicting choices, an ambiguous rank, an axis called "layer" of which
        none is chosen, no rows, or d < 2.
    """
    rank = len(shape)
    fixed = {}
    for axis, position in dict(index or {}).items():
        number = _number(axis, rank, "index axis", location, dims)
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
                _refuse_layers(free[:-1], shape, dims, location)
                layers = perhaps_layers(shape, free[1:-1])
                raise InputError(
                    f"which axis of {location}, shape {tuple(shape)}, holds the features is ambiguous: choose "
                    "--feature-axis 1 (channels first: every position is a row), the same with --pool mean (the mean of the "
                    "positions is a row), either with --feature-axis -1 (features last), or --flatten (one row per "
                    f"item){layers and '; '}{layers}"
                )
            feature_axis = free[-1]
        number = _number(feature_axis, rank, "feature axis", location, dims)
        if number in fixed:
            raise InputError(
                f"axis {number} of {location} cannot be both the feature axis and fixed by --index; drop one"
            )
        rows, features = [axis for axis in free if axis != number], [number]
    _refuse_layers(rows if len(rows) > 1 else (), shape, dims, location)
    axes = Axes(tuple(rows), tuple(features), fixed)
    d = math.prod(shape[axis] for axis in features)
    if d < 2:
        raise InputError(
            f"a row needs d >= 2 features to span a plane, {location} gives d = {d}; choose another --feature-axis"
        )
    if 0 in (shape[axis] for axis in rows):
        raise InputError(f"a store needs at least one row, {location} is empty: shape {tuple(shape)}")
    return axes


def _refuse_layers(axes, shape, dims, location):
    for axis in axes:
        if "layer" in str(dims[axis] if dims else "").lower() and shape[axis] > 1:
            raise InputError(layers_need_a_choice(axis, dims[axis], shape[axis], location))


def layers_need_a_choice(axis, name, size, location):
    """Say that one layer has to be chosen of an axis."""
    return (
        f"axis {axis} of {location} holds layers ({name}, {size} of them), whose rows do not belong together: choose one by "
        f"--index {name if name.isidentifier() else axis}=I ({CONVENTION})"
    )


def perhaps_layers(shape, axes):
    """Say which of the axes has a size that could be a number of layers, the smallest; "" without any."""
    found = [(shape[axis], axis) for axis in axes if 2 <= shape[axis] <= _MOST_LAYERS]
    if not found:
        return ""
    size, axis = min(found)
    return f"if axis {axis} of size {size} holds layers, choose one: --index {axis}=I ({CONVENTION})"


def resolve_axis(axis, rank, location, dims):
    """Turn the number or the name of an axis into its number."""
    return _number(axis, rank, "index axis", location, dims)


def _number(axis, rank, what, location, dims):
    """Turn the number or the name of an axis into its number."""
    if not isinstance(axis, str):
        return _normalise(axis, rank, what, location)
    if axis not in dims:
        known = ", ".join(map(str, dims)) if dims else "it names none; give a number"
        raise InputError(f"the {what} of {location} must be one of its axes ({known}), got {axis!r}")
    return dims.index(axis)


def _normalise(value, size, what, location):
    """Turn a possibly negative number into 0 … size - 1."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise InputError(f"the {what} of {location} must be an integer, got {value!r}")
    number = value.__index__()
    if not -size <= number < size:
        raise InputError(f"the {what} of {location} must lie in {-size} … {size - 1}, got {number}")
    return number % size
