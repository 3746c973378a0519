"""The inputs of a model: arrays by the names of its inputs, given to it in batches of items."""

import contextlib
import os
from pathlib import Path

import numpy as np

from srmfast.errors import InputError
from srmfast.stores import _dtypes, _places, _registry
from srmfast.stores._memory import MemorySource, to_numpy

HOW = "--inputs X for one input; a .npz, a folder or a container with arrays of these names, or --inputs NAME=FILE each"


class Inputs:
    """The arrays that a model is given; the first axis of each is that of the items.

    Parameters
    ----------
    spec : path, array, or mapping of str to path or array
        For one input; or a folder or a container that holds an array for each name.
    wanted : sequence of srmfast.graph.capture.Input
    location : str
        Of the model, shown in errors.
    others : sequence of str
        Inputs that are not needed, but opened where they lie beside the others: a mask tells of padding before it is used.

    Attributes
    ----------
    sources : dict of str to Source
    beside : dict of str to Source
        Those of `others` that are there.
    n : int
        Items.
    fixed : int or None
        Items that the model takes at once, where it says so.
    notes : list of str
        Conversions.

    Raises
    ------
    InputError
        When an input is not there, or has another rank, size or kind of numbers than the model says.
    """

    def __init__(self, spec, wanted, location, others=()):
        self._wanted, self._location = {one.name: one for one in wanted}, location
        self.sources, self.beside, self.notes = {}, {}, []
        try:
            for name in self._wanted:
                self.sources[name] = self._open(spec, name)
            self._same = {name for name in self.sources if self._is_same(name)}
            for name in self.sources:
                self._check_shape(name)
                self._check_type(name)
            self.fixed = self._fixed()
            self.n = self._items()
            for name in others:
                self._open_beside(spec, name)
        except BaseException:
            self.close()
            raise

    def feeds(self, start, stop, pad=0):
        """Read the items start … stop − 1, and the last of them `pad` times more.

        Returns
        -------
        dict of str to ndarray
        """
        found = {}
        for name, source in self.sources.items():
            whole = tuple(slice(0, size) for size in source.shape)
            values = source.read(whole if name in self._same else (slice(start, stop), *whole[1:]))
            values = np.ascontiguousarray(self._convert(values, name))
            if pad and name not in self._same:
                values = np.concatenate([values, np.repeat(values[-1:], pad, axis=0)])
            found[name] = values
        return found

    def close(self):
        """Release files."""
        for source in (*self.sources.values(), *self.beside.values()):
            source.close()

    def _open(self, spec, name, alone=True):
        """Open the array of an input; one that is alone needs no name."""
        several = len(self._wanted) > 1 or not alone
        named = ", ".join(map(str, self._wanted.values()))
        if spec is None:
            raise InputError(f"{self._location} is a model and needs its inputs, {named}; give {HOW}")
        if isinstance(spec, dict):
            if name not in spec:
                raise InputError(f"{self._location} needs {named}, but no {name!r} is given; give {HOW}")
            spec = spec[name]
        elif isinstance(spec, (str, Path)):
            return self._open_named(str(spec), name, several)
        elif several:
            raise InputError(f"{self._location} needs {named}, but one array is given; give {HOW}")
        return _open_path(spec) if isinstance(spec, (str, Path)) else MemorySource(to_numpy(spec), name)

    def _open_named(self, path, name, several):
        """Open the array of an input in what holds several, or the only one."""
        plain, key = _registry.split(path)
        if key is None and os.path.isdir(plain) and _registry.recognise(plain) is None:
            stems = {os.path.splitext(file)[0]: file for file in sorted(_places.names(plain))}
            if name in stems:
                return _open_path(os.path.join(plain, stems[name]))
        elif key is None and _registry.by_suffix(plain) is not _registry.NPY:
            try:
                return _open_path(f"{plain}::{name}")
            except InputError:
                if several and os.path.exists(plain):
                    raise
        if several:
            named = ", ".join(map(str, self._wanted.values()))
            raise InputError(f"{self._location} needs {named}, and {path} holds no {name!r}; give {HOW}")
        return _open_path(path)

    def _open_beside(self, spec, name):
        """Open an input that is not needed, if it is there under its name and has as many items."""
        if isinstance(spec, (str, Path)):
            plain, key = _registry.split(str(spec))
            if key is not None or _registry.by_suffix(plain) is _registry.NPY:
                return
        elif not isinstance(spec, dict) or name not in spec:
            return
        with contextlib.suppress(InputError):
            source = self._open(spec, name, alone=False)
            if source.shape[:1] == (self.n,):
                self.beside[name] = source
            else:
                source.close()

    def _is_same(self, name):
        """Tell whether an input is given to the model as it is with every batch: one number, or a table of its own."""
        wanted = self._wanted[name].shape
        if wanted == () or self.sources[name].shape == ():
            return True
        free = any(other.shape and not isinstance(other.shape[0], int) for other in self._wanted.values())
        whole = bool(wanted) and all(isinstance(size, int) for size in wanted)
        return free and whole and self.sources[name].shape == wanted

    def _check_shape(self, name):
        wanted, shape = self._wanted[name], self.sources[name].shape
        if wanted.shape is None:
            return
        if len(shape) != len(wanted.shape):
            raise InputError(
                f"input {wanted} of {self._location} has {len(wanted.shape)} axes, {self._said(name)} {len(shape)}: shape {shape}; "
                "reshape it"
            )
        for axis, (size, asked) in enumerate(zip(shape, wanted.shape, strict=True)):
            if isinstance(asked, int) and size != asked and (axis or name in self._same):
                raise InputError(
                    f"axis {axis} of input {wanted} of {self._location} is {asked}, that of {self._said(name)} is {size}; give "
                    "the input as the model expects it"
                )
        for other, more in self._wanted.items():
            for axis, asked in enumerate((more.shape or ())[1:], 1):
                mine = [at for at, one in enumerate(wanted.shape) if at and one == asked and isinstance(one, str)]
                theirs = self.sources[other].shape
                if mine and axis < len(theirs) and theirs[axis] != shape[mine[0]]:
                    raise InputError(
                        f"inputs of {self._location} must agree in {asked!r}: {name} has {shape[mine[0]]}, {other} {theirs[axis]}; "
                        "pad them alike"
                    )

    def _check_type(self, name):
        have, want = self.sources[name].dtype_name, self._wanted[name].dtype
        if have == want:
            return
        real = have.startswith(("float", "bfloat"))
        if real and want.startswith("float"):
            narrower = np.dtype(want).itemsize < (4 if have in _dtypes.BITS else np.dtype(have).itemsize)
            self.notes.append(
                f"input {name} is {have} and {'rounded to' if narrower else 'given as'} {want}, as the model wants it"
            )
        elif not real and (np.can_cast(have, want) or not want.startswith("float")):
            checked = "" if np.can_cast(have, want) else ", which is checked to hold every value"
            self.notes.append(f"input {name} is {have} and given as {want}, as the model wants it{checked}")
        else:
            raise InputError(
                f"input {self._wanted[name]} of {self._location} must be {want}, {self._said(name)} is {have}, which does not "
                f"become {want} without loss; convert it"
            )

    def _convert(self, values, name):
        have, want = self.sources[name].dtype_name, np.dtype(self._wanted[name].dtype)
        if have in _dtypes.BITS:
            values = _dtypes.to_floats(values, have)
        if values.dtype == want:
            return values
        with np.errstate(over="ignore"):  # what overflows float16 is infinite, and then a row that is not finite
            given = values.astype(want)
        if values.dtype.kind in "biu" and want.kind in "biu" and not np.array_equal(given, values):
            raise InputError(
                f"input {self._wanted[name]} of {self._location} must be {want}, but {self._said(name)} holds "
                f"{values.min()} to {values.max()}; convert it"
            )
        return given

    def _items(self):
        counts = {name: source.shape[0] for name, source in self.sources.items() if name not in self._same}
        if not counts:
            raise InputError(
                f"a model needs an input with items on its first axis, {self._location} has none; nothing to stream"
            )
        if len(set(counts.values())) > 1:
            said = ", ".join(f"{name} {count:,}" for name, count in counts.items())
            raise InputError(f"all inputs of {self._location} must have as many items on their first axis, got {said}")
        (n,) = set(counts.values())
        if not n:
            raise InputError(f"at least one item must be given to {self._location}, got none; check --inputs")
        return n

    def _fixed(self):
        """Return how many items a model takes at once, where it says so."""
        found = {
            name: one.shape[0]
            for name, one in self._wanted.items()
            if name not in self._same and one.shape and isinstance(one.shape[0], int)
        }
        sizes = set(found.values())
        free = [name for name in self.sources if name not in found and name not in self._same]
        if len(sizes) > 1 or (sizes and free):
            said = ", ".join(str(one) for one in self._wanted.values())
            raise InputError(
                f"the first axis of every input must be that of the items, but {self._location} takes {said}: they do not agree "
                "there; such a model is not streamed"
            )
        return sizes.pop() if sizes else None

    def _said(self, name):
        return self.sources[name].location


def _open_path(spec):
    """Open an array of any rank as it lies there."""
    from srmfast.stores import open as opening  # which opens models, too

    source, _, _ = opening.open_path(str(spec), {"feature_axis": None, "index": None, "flatten": True})
    return source
