"""Which array of a container is meant."""

from srmfast.errors import InputError, meant

SHOWN = 12

_RESULT = {"fold_total", "rows_used", "total"}  # what only a result holds


def choose(arrays, key, location, *, least_rank=2):
    """Find the array a key names, or the only candidate.

    Parameters
    ----------
    arrays : mapping of str to (tuple of int, str)
        Name -> (shape, dtype as text), paths with "/" between groups.
    key : str or None
        A name, the name of a group with a single candidate below, or None.
    location : str
    least_rank : int
        Arrays with fewer axes, and those that are not numbers, are no candidates unless named.

    Returns
    -------
    str
        A name in `arrays`.

    Raises
    ------
    InputError
        When there is no such array, or several candidates; the message lists them.
    """
    if key is not None:
        name = key.strip("/")
        if name in arrays:
            return name
        below = {other: what for other, what in arrays.items() if other.startswith(name + "/")} if name else arrays
        if not below:
            raise InputError(f"{location} has no array {key!r}; it holds {listing(arrays)}{meant(name, arrays)}")
    else:
        below = arrays
    if _RESULT <= arrays.keys():
        raise InputError(f"{location} is a result, where activations are wanted; look at it by srmfast show {location}")
    candidates = {name: what for name, what in below.items() if len(what[0]) >= least_rank and is_number(what[1])}
    if len(candidates) == 1:
        return next(iter(candidates))
    if not candidates:
        wanted = "an array of numbers with two or more axes" if least_rank == 2 else "an array of numbers"
        raise InputError(
            f"{location} holds no candidate ({wanted}), only {listing(below)}; name one as {location}::KEY"
        )
    raise InputError(
        f"{location} holds several arrays, {listing(candidates)}; name one as {location}::KEY, or each of "
        f"several by a pattern, '{location}::*'"
    )


def is_number(dtype):
    """Tell by the text of a dtype whether its values can be activations."""
    text = dtype.lower().lstrip("<>|=")
    return text.startswith(("bool", "int", "uint", "float", "bfloat", "v2"))


def listing(arrays):
    """Show arrays with shapes and types, the first few of a long list."""
    if not arrays:
        return "no array"
    some = [f"{shown(name)} {tuple(shape)} {dtype}" for name, (shape, dtype) in list(arrays.items())[:SHOWN]]
    more = len(arrays) - len(some)
    return ", ".join(some) + (f" and {more} more" if more else "")


def shown(name, most=100):
    """Give a name that a file chose as it fits into one line."""
    name = name if name.isprintable() else repr(name)
    return name if len(name) <= most else f"{name[: most - 1]}…"
