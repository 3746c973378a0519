"""What a pattern behind "::", or an axis of which every position is meant, stands for: a store each, in the order of layers."""

import contextlib
import dataclasses
import fnmatch
import glob
import os
from pathlib import Path

from srmfast.errors import InputError, meant
from srmfast.graph import listing
from srmfast.stores import _axes, _layers, _members, _places, _registry, _shards, recognise
from srmfast.stores._site import Site

EVERY = "*"  # a position on an axis: each of them
_NEAR = 3  # names that a wrong pattern may have meant


@dataclasses.dataclass(frozen=True)
class Part:
    """One store of several.

    Attributes
    ----------
    source : str, Path or array
        What `srmfast.stores.open_store` takes.
    index : dict or None
        Likewise.
    name : str
        What tells it from the others.
    """

    source: object
    index: dict | None
    name: str


@dataclasses.dataclass(frozen=True)
class Several:
    """The stores that were meant together.

    Attributes
    ----------
    pattern : str
        As it was given.
    parts : tuple of Part
    left_out : str
        Arrays that match and cannot be activations, "" without any.
    computed : bool
        Whether each is an inference of its own.
    """

    pattern: str
    parts: tuple
    left_out: str = ""
    computed: bool = False

    @property
    def names(self):
        """What tells them apart."""
        return tuple(part.name for part in self.parts)


def several_of(source, options):
    """Find the stores that a pattern stands for: ``acts.zarr::layer*``, or the position "*" of an axis.

    Parameters
    ----------
    source : str, Path, Store or array
    options : dict
        Those of `srmfast.stores.open_store`.

    Returns
    -------
    Several or None
        None when one store is meant.

    Raises
    ------
    InputError
        Nothing matches, or nothing that could be activations.
    """
    options = {"feature_axis": None, "index": None, "flatten": False} | options
    index = dict(options["index"] or {})
    free = [axis for axis, position in index.items() if isinstance(position, str) and position == EVERY]
    if len(free) > 1:
        raise InputError(f"every position of one axis can be meant, got {free[0]}=* and {free[1]}=*; fix one of them")
    if free:
        return _positions(
            source, free[0], options | {"index": {a: i for a, i in index.items() if a != free[0]} or None}
        )
    if not isinstance(source, (str, Path)) or "::" not in str(source):
        return None
    path, key = _registry.split(str(source))
    path = _places.plain(path)
    if not glob.has_magic(key) or _registry.describes_raw(key):
        return None
    pattern = _places.has_magic(path) and not os.path.exists(path)
    if not (pattern or _places.is_url(path) or os.path.exists(path)):
        return None  # whoever opens it says so
    kind = None if pattern else _registry.recognise(path, key)
    if kind is _registry.ONNX:
        names = [layer.name for layer in listing.choose_layers(path, [key])]
        return _named(source, path, names, options, computed=True)
    return _matching(source, path, key, kind, pattern, options)


def _matching(source, path, key, kind, pattern, options):
    """Find what a pattern means in a layout that is known, in a container, or in each part of a folder or a glob."""
    named = options | {"feature_axis": None, "flatten": False}
    site = Site(path, kind)
    if not pattern:
        try:
            with _closed(recognise.look(site, None, named)) as found:
                if found is not None and not (kind and kind.lists):
                    return _named(source, path, [None], options) if not key.strip("*") else None
        except _layers.Choice as choice:
            if not choice.by_key:
                raise InputError(f"the layers of {path} are positions: take all by --index {choice.axis}=*") from None
            if key in choice.names:
                return None
            names = [name for name in choice.names if _matches(name, key)]
            if not names:
                raise InputError(_nothing(path, key, choice.names, _layers.listed(choice.names))) from None
            return _named(source, path, names, options)
    first = path
    if kind is None:
        parts, kind = _shards.expand(path, lambda part: _registry.recognise(part, key if pattern else None), None)
        first = parts[0]
    arrays = kind.list_arrays(first) if kind.lists else {}
    if not arrays or key.strip("/") in arrays:
        return None
    matched = {name: arrays[name] for name in sorted(arrays, key=_shards.natural_key) if _matches(name, key)}
    if not matched:
        raise InputError(_nothing(path, key, list(arrays), _members.listing(arrays)))
    chosen = _activations(matched)
    rest = {name: what for name, what in matched.items() if name not in chosen}
    if not chosen:
        raise InputError(
            f"{path}::{key} matches no array of numbers with two or more axes, only {_members.listing(rest)}; choose others"
        )
    return _named(source, path, chosen, options, left_out=_members.listing(rest) if rest else "")


def _activations(arrays):
    """Return the names of what can be activations: numbers on two or more axes, and no integers where there are floats."""
    found = {
        name: dtype.lower().lstrip("<>|=")
        for name, (shape, dtype) in arrays.items()
        if len(shape) > 1 and _members.is_number(dtype) and "bool" not in dtype
    }
    floats = [name for name, dtype in found.items() if not dtype.startswith(("int", "uint"))]
    return floats or list(found)


def _named(source, path, names, options, **more):
    parts = tuple(Part(path if name is None else f"{path}::{name}", options.get("index"), name or "") for name in names)
    return Several(str(source), parts, **more)


def _positions(source, axis, options):
    """Take every position of an axis, or every layer where a layout has an array for each."""
    told = f"{source if isinstance(source, (str, Path)) else 'the array'} with --index {axis}={EVERY}"
    if isinstance(source, (str, Path)):
        path, key = _registry.split(str(source))
        path = _places.plain(path)
        if axis == "layer" and os.path.exists(path):
            try:
                with _closed(recognise.look(Site(path, _registry.recognise(path, key)), key, options)):
                    pass
            except _layers.Choice as choice:
                if choice.axis is None and choice.what == "layers":
                    return dataclasses.replace(_named(source, path, choice.names, options), pattern=told)
    from srmfast.stores.open import open_store

    index = dict(options.get("index") or {})
    with contextlib.closing(open_store(source, **options | {"index": index | {axis: 0}})) as store:
        shape = store.describe()["array_shape"]
        size = shape[_axes.resolve_axis(axis, len(shape), store.location, store.dims)]
    prefix = axis if isinstance(axis, str) else f"axis{axis}-"
    parts = tuple(Part(source, index | {axis: position}, f"{prefix}{position}") for position in range(size))
    return Several(told, parts, computed=store.computes)


@contextlib.contextmanager
def _closed(found):
    try:
        yield found
    finally:
        if found is not None:
            found.source.close()


def _matches(name, pattern):
    """Tell whether a pattern means an array or a group that it lies in."""
    pieces = name.split("/")
    pattern = pattern.strip("/")
    return any(fnmatch.fnmatchcase("/".join(pieces[:depth]), pattern) for depth in range(1, len(pieces) + 1))


def _nothing(path, pattern, names, held):
    """Say what there is where nothing matches, with the names that may have been meant first."""
    wanted = "".join(letter for letter in pattern if letter not in "*?[]/").lower()
    near = [name for name in names if wanted and wanted in name.lower()]
    found = f"; did you mean {', '.join(map(_members.shown, near[:_NEAR]))}?" if near else meant(wanted, names)
    return f"{path} has no array that matches {pattern!r}; it holds {held}{found}"
