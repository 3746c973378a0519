"""Many files of one format read as one array, joined along the first row axis."""

import bisect
import collections
import contextlib
import itertools
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from srmfast.errors import InputError
from srmfast.stores import _dtypes, _fingerprint, _places
from srmfast.stores.base import Source

BESIDE = (".lock", ".tmp", ".part", ".json")  # what writers leave beside their parts, whatever its first bytes are
OPEN_PARTS = 64  # idle parts kept open; a folder may hold more files than a process may open


def natural_key(path):
    """Sort shard-2 before shard-10, at every number of the path."""
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in re.split(r"(\d+)", path)]


def expand(pattern, recognise, names=None):
    """List the parts that a folder or a glob stands for, in natural order.

    Parameters
    ----------
    pattern : str
        Folder or glob.
    recognise : callable
        ``recognise(path) -> Format or None``.
    names : list of str, optional
        Of the files in the folder, when they were listed before.

    Returns
    -------
    parts : list of str
    found : Format
        The one format of all parts.

    Raises
    ------
    InputError
        When nothing is found, or two formats are mixed.
    """
    folder = not _places.has_magic(pattern) or os.path.isdir(pattern)
    names = _places.matches(pattern) if not folder else _places.names(pattern) if names is None else names
    names = [_places.within(pattern, name) for name in names] if folder else names
    visible = sorted((name for name in names if not os.path.basename(name).startswith(".")), key=natural_key)
    kinds = {}
    for name in visible:
        kind = None if name.lower().endswith(BESIDE) and not os.path.isdir(name) else recognise(name)
        if kind is not None:
            kinds.setdefault(kind, []).append(name)
    if not kinds:
        held = ", ".join(os.path.basename(name) for name in visible[:5]) or "nothing"
        what = f"the folder {pattern} holds no store" if folder else f"no store matches {pattern}"
        raise InputError(
            f"{what} (found {held}); give a file, a Zarr folder, a folder of such parts, or parts of raw values as "
            f"{pattern}::float32,-1x768"
        )
    if len(kinds) > 1:
        mixed = " and ".join(f"{os.path.basename(names[0])} ({kind.name})" for kind, names in list(kinds.items())[:2])
        raise InputError(
            f"the parts of a store must have one format, {pattern} mixes {mixed}; use a glob such as '*.npy'"
        )
    ((kind, parts),) = kinds.items()
    return parts, kind


def joined(parts, open_part, location, axis=0):
    """Open a single part as it is, several joined along an axis."""
    if len(parts) == 1:
        return open_part(parts[0])
    return ShardedSource(parts, open_part, location, lambda shape, dims: axis)


class _Lent:
    """An open part and how many callers read it."""

    def __init__(self, source):
        self.source, self.callers, self.lock = source, 0, threading.Lock()


class ShardedSource(Source):
    """Arrays of equal trailing shape, joined along one axis.

    Parts of different float types are read as float32, or float64 when one of them is: both hold the others exactly.

    Parameters
    ----------
    parts : list of str
        Names, in order.
    open_part : callable
        ``open_part(name) -> Source``; parts are opened when needed and closed when many are open.
    location : str
    axis_of : callable
        ``axis_of(shape, dims) -> int``: the axis to join, given the shape of a part and the names of its axes.
    """

    def __init__(self, parts, open_part, location, axis_of):
        self.location = location
        self._parts, self._open_part = parts, open_part
        self._lock, self._fills = threading.Lock(), False
        self._idle = collections.OrderedDict()  # number of a part -> its open source, least recently used first
        self._busy = {}  # number of a part -> _Lent
        try:
            self._join(axis_of)
        except BaseException:
            self.close()
            raise

    def _join(self, axis_of):
        """Compare every part with the first and add up the joined axis."""
        with self._part(0) as first:
            shape, self.format = first.shape, first.format
            self.chunks, self.readers, self.remote = first.chunks, first.readers, first.remote
            self.dims, self._detail = first.dims, first.describe()
        self._axis = axis = axis_of(shape, self.dims)
        lengths, shapes, segments = [], [], []
        self._types = {}  # name of a type -> name of the first part that has it
        for name, (dtype_name, part_shape, chunks) in zip(self._parts, self._look(shape), strict=True):
            self._types.setdefault(dtype_name, os.path.basename(name))
            lengths.append(part_shape[axis])
            shapes.append(part_shape)
            segments.append((part_shape[axis], chunks))
            if chunks != self.chunks:
                self.chunks = None if None in (chunks, self.chunks) else tuple(map(max, chunks, self.chunks))
        self._shapes, self._segments = shapes, segments
        self.dtype_name = self._common_type()
        self.dtype = _dtypes.raw(self.dtype_name)
        self._starts = [
            0,
            *itertools.accumulate(lengths),
        ]  # position on the joined axis where each part begins
        self.shape = (*shape[:axis], self._starts[-1], *shape[axis + 1 :])

    def _look(self, shape):
        """Give type, shape and chunks of every part; those behind a network are opened side by side."""

        def look(number):
            with self._part(number) as part:
                self._compare(part, self._parts[number], shape)
                return part.dtype_name, part.shape, part.chunks

        numbers = range(len(self._parts))
        if not self.remote:
            return list(map(look, numbers))
        with ThreadPoolExecutor(self.readers) as pool:
            return list(pool.map(look, numbers))

    def _compare(self, part, name, shape):
        first = os.path.basename(self._parts[0])
        name = os.path.basename(name)
        axis = self._axis
        if (
            len(part.shape) != len(shape)
            or part.shape[:axis] + part.shape[axis + 1 :] != shape[:axis] + shape[axis + 1 :]
        ):
            raise InputError(
                f"the parts of a store must agree in every axis but axis {axis}: {first} is {shape}, "
                f"{name} is {part.shape}; "
                "use a glob that leaves the odd one out"
            )

    def _common_type(self):
        """Find the type that holds the values of every part."""
        found = _dtypes.common(self._types)
        if found is None:
            (one, first), *others = self._types.items()
            other, second = next(((name, part) for name, part in others if "float" not in name), others[0])
            raise InputError(
                f"the parts of a store must have one dtype, or all be floats: {first} is {one}, {second} is {other}; "
                "use a glob that leaves the odd one out, or convert it"
            )
        return found

    def read(self, selection):
        want = selection[self._axis]
        if isinstance(want, int):
            number, local = self._locate(want)
            return self._read_part(number, selection, local)
        pieces = []
        for number in range(self._locate(want.start)[0], len(self._parts)):
            begin = self._starts[number]
            if begin >= want.stop:
                break
            low, high = max(want.start, begin) - begin, min(want.stop, self._starts[number + 1]) - begin
            if low < high:
                pieces.append(self._read_part(number, selection, slice(low, high)))
        # An axis before the joined one that an integer drops shifts it.
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=self._kept_axis(selection))

    def segments(self, axis):
        return self._segments if axis == self._axis else super().segments(axis)

    def fill_missing(self):
        self._fills = True

    def missing(self):
        found = []
        for number in range(len(self._parts)):
            with self._part(number) as part:
                gaps = part.missing()
            if gaps is None:
                return None
            found.append(
                gaps + np.where(np.arange(len(self.shape)) == self._axis, self._starts[number], 0)[None, :, None]
            )
        return np.concatenate(found)

    def missing_keys(self, limit=5):
        keys = []
        for number, name in enumerate(self._parts):
            if len(keys) >= limit:
                break
            with self._part(number) as part:
                keys += [f"{os.path.basename(name)}/{key}" for key in part.missing_keys(limit - len(keys))]
        return keys

    def fingerprint_parts(self):
        return self._identify(lambda part: part.fingerprint_parts())

    def fingerprint_again(self):
        return self._identify(lambda part: part.fingerprint_again())

    def _identify(self, look):
        prints = []
        for number in _fingerprint.spread(len(self._parts)):
            with self._part(number) as part:
                prints.append(look(part))
        size = sum(found["size"] for found in prints)
        described = [self._shapes, [found["header"] for found in prints]]
        if len(self._types) > 1:
            described.append(sorted(self._types))
        header = _fingerprint.digest_json(described)
        return {
            "size": size,
            "header": header,
            "slices": _fingerprint.digest_json([found["slices"] for found in prints]),
        }

    def describe(self):
        return self._detail | {"parts": [os.path.basename(name) for name in self._parts]}

    def notes(self):
        with self._part(0) as part:
            notes = part.notes()
        if len(self._types) > 1:
            kinds = ", ".join(f"{name} ({part})" for name, part in self._types.items())
            notes.append(f"parts of several types, {kinds}, are read as {self.dtype_name}, which holds them exactly")
        return notes

    def siblings(self):
        with self._part(0) as part:
            return part.siblings()

    def sibling(self, key):
        loaded = []
        for number in range(len(self._parts)):
            with self._part(number) as part:
                loaded.append(part.sibling(key))
        return np.concatenate(loaded)

    def close(self):
        with self._lock:
            while self._idle:
                self._idle.popitem()[1].close()

    @contextlib.contextmanager
    def _part(self, number):
        """Lend the open source of a part; idle ones beyond `OPEN_PARTS` are closed."""
        with self._lock:
            if number not in self._busy:
                self._busy[number] = _Lent(self._idle.pop(number, None))
            lent = self._busy[number]
            lent.callers += 1
        try:
            with lent.lock:  # its own: opening another part need not wait
                if lent.source is None:
                    lent.source = self._open_part(self._parts[number])
                if self._fills:
                    lent.source.fill_missing()
            yield lent.source
        finally:
            with self._lock:
                lent.callers -= 1
                if not lent.callers:
                    del self._busy[number]
                    if lent.source is not None:
                        self._idle[number] = lent.source
                while len(self._idle) > OPEN_PARTS:
                    self._idle.popitem(last=False)[1].close()

    def _locate(self, position):
        """Find the part that holds a position of the joined axis, and the position in it."""
        number = bisect.bisect_right(self._starts, position) - 1
        return number, position - self._starts[number]

    def _read_part(self, number, selection, local):
        with self._part(number) as part:
            values = part.read((*selection[: self._axis], local, *selection[self._axis + 1 :]))
            return _dtypes.widen(values, part.dtype_name, self.dtype_name)

    def _kept_axis(self, selection):
        return self._axis - sum(isinstance(s, int) for s in selection[: self._axis])
