"""The compute stage: one worker turns raw rows into integers, block by block, and owns all it writes."""

import functools
import math
import threading
from dataclasses import dataclass, field

import numpy as np

from srmfast.angles import angle_table
from srmfast.bases import load_basis
from srmfast.errors import InputError
from srmfast.kernels import decode, moments, scan
from srmfast.kernels.arcs import wrap_table
from srmfast.planes import Geometry, Planes, choose_planes
from srmfast.tally import PlaneDifferences, RowTally, Tally, TreeSums, aligned_intervals

_DOUBLE_TYPES = ("float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")
DTYPES = ("float16", "bfloat16", "float32", *_DOUBLE_TYPES)
_EVENTS = 1 << 18  # arcs collected before they are added to the planes kept by hit
_LOW, _HIGH = 2.0**-40, 2.0**40  # norms whose rows need no scaling before float32 products
_NO_COORDINATES = np.empty((0, 0))


@dataclass(frozen=True)
class PreparedBasis:
    """A basis with its planes in the form the kernels read.

    Attributes
    ----------
    basis : Basis
    geometry : Geometry
    planes : Planes
    mode : str
        How planes are kept while counting: "dense" (every number), "hits" (those hit) or "none".
    """

    basis: object
    geometry: Geometry
    planes: Planes
    mode: str = "dense"
    single: np.ndarray = field(init=False, repr=False)
    columns: np.ndarray = field(init=False, repr=False)
    signs: np.ndarray = field(init=False, repr=False)
    partners: tuple = field(init=False, repr=False)

    def __post_init__(self):
        selection = self.basis.selection
        columns, signs = selection if selection is not None else (np.empty(0, np.int64), np.empty(0))
        single = np.empty((0, 0), np.float32) if columns.size else self.basis.vectors.astype(np.float32)
        for name, value in (
            ("single", single),
            ("columns", columns),
            ("signs", signs),
            ("partners", self.planes.partners()),
        ):
            object.__setattr__(self, name, value)

    @property
    def delta(self):
        """Bound on the error of a float32 coordinate of a row of norm 1 (kernels/README.md)."""
        return (2 if self.columns.size else self.basis.vectors.shape[1] + 8) * 2.0**-24


@dataclass(frozen=True)
class Pass:
    """What one reading of a store computes; shared by all workers, read only.

    Attributes
    ----------
    dtype : str
        Stored type of the rows.
    d : int
    selection : RowSelection
    bases : tuple of PreparedBasis
        Empty when only the mean is wanted.
    epsilons : ndarray, (e,) float64
    table : ndarray, (2a + 5, 2) float64
    mean : ndarray, (d,) float64, or None
        Subtracted from every row.
    sums : SharedSums or None
        Collects the sums of the rows.
    hits : tuple of SharedHits or None
        For each basis, where its planes are kept when its mode is "hits".
    nonfinite : str
        "error" or "skip".
    block_rows : int
        Rows in one kernel call.
    counter : type
        Integer type of the plane accumulators.
    """

    dtype: str
    d: int
    selection: object
    bases: tuple
    epsilons: np.ndarray
    table: np.ndarray
    mean: np.ndarray | None
    sums: object
    hits: tuple
    nonfinite: str
    block_rows: int
    counter: type = np.int32


class SharedSums:
    """The tree of row sums of a pass, filled by all workers."""

    def __init__(self, d):
        self.tree = TreeSums(d + 1)
        self._lock = threading.Lock()

    def add(self, level, index, values):
        with self._lock:
            self.tree.add(level, index, values)


class SharedHits:
    """The planes hit so far by any worker, within a share of the memory.

    Parameters
    ----------
    a : int
        Number of angles.
    dtype : numpy integer type
    nbytes : int
        What they may hold.
    """

    def __init__(self, a, dtype, nbytes):
        self.planes = PlaneDifferences(a, dtype, limit=nbytes)
        self._lock = threading.Lock()

    def add(self, events):
        with self._lock:
            self.planes.add_events(events)


class Scratch:
    """Arrays that are used again for every block: fresh ones would cost a page fault for every 4 KiB."""

    def __init__(self):
        self._buffers = {}
        self._views = {}

    def array(self, name, shape, dtype=np.float64):
        """Return an uninitialised C-contiguous array, valid until `name` is asked for again."""
        view = self._views.get((name, shape))
        if view is None:
            size = math.prod(shape)
            buffer = self._buffers.get(name)
            if buffer is None or buffer.size < size:
                buffer = self._buffers[name] = np.empty(size, dtype)
                self._views = {key: view for key, view in self._views.items() if key[0] != name}
            view = self._views[name, shape] = buffer[:size].reshape(shape)
        return view


class Worker:
    """Counts rows of one pass into its own tallies; used by one thread at a time."""

    def __init__(self, task):
        self.task = task
        self._scratch = Scratch()
        c, e, a = task.selection.label_names.size, task.epsilons.size, (len(task.table) - 5) // 2
        self.rows = RowTally.zero(c)
        self.tallies = [
            Tally.zero(c, e, b.planes.slots if b.mode == "dense" else 0, a, dtype=task.counter) for b in task.bases
        ]
        self._events = [
            np.empty((max(_EVENTS, 2 * e * (a + 2)) if b.mode == "hits" else 0, 3), np.int64) for b in task.bases
        ]
        self._filled = [0] * len(task.bases)

    def count(self, raw, start, cancelled=threading.Event()):
        """Count the rows of `raw`, (n, d) stored values whose first row is the absolute row `start`.

        Gives up between blocks once `cancelled` is set.
        """
        stop, step = start + len(raw), self.task.block_rows
        at = start
        while at < stop and not cancelled.is_set():
            end = min(at - at % step + step, stop)
            self._count_block(raw[at - start : end - start], at, end)
            at = end

    def finish(self):
        """Add what is still in the event buffers; call once, after the last `count`."""
        for number in range(len(self.task.bases)):
            self._flush(number)

    def _count_block(self, raw, start, stop):
        task = self.task
        keep, seen, masked = task.selection.keep(start, stop)
        self.rows.seen += seen
        for rule, count in masked.items():
            self.rows.masked[rule] = self.rows.masked.get(rule, 0) + count
        if keep is None:
            absolute = np.arange(start, stop)
        else:
            kept = np.flatnonzero(keep)
            absolute, raw = start + kept, raw[kept]
        if not absolute.size:
            return
        n, scratch = absolute.size, self._scratch
        norms, fate = scratch.array("norms", (n,)), scratch.array("fate", (n,), np.uint8)
        if task.dtype == "float16" and task.mean is None and decode.half_instructions():
            rows = scratch.array("rows", raw.shape, np.float32)
            decode.measure_halves(writeable(raw).view(np.uint16), rows, norms, fate)
        else:
            rows = to_rows(raw, task.dtype, scratch)
            if task.mean is not None:
                centred = scratch.array("centred", rows.shape)
                decode.subtract(rows, task.mean, centred)
                rows = centred
            decode.measure(rows, norms, fate)
        labels, folds = task.selection.labels(absolute), task.selection.folds(absolute)
        if decode.tally_fates(folds, labels, fate, self.rows.fate) and task.nonfinite == "error":
            row = absolute[np.argmax(fate == decode.NONFINITE)]
            raise InputError(
                f"rows must be finite, got NaN, infinity or an overflowing norm in row {row:,}; "
                "use --nonfinite skip to leave such rows out"
            )
        if task.sums is not None:
            self._add_sums(rows, norms, fate, absolute, start, stop)
        for number, basis in enumerate(task.bases):
            k = len(basis.basis.vectors)
            coordinates = scratch.array(f"coordinates {number}", (k, n), np.float32)
            if basis.columns.size:
                scan.select_coordinates(rows, norms, fate, basis.columns, basis.signs, coordinates)
                known = _NO_COORDINATES
            else:
                self._project(basis.single, rows, norms, fate, coordinates)
                known = scratch.array(f"known {number}", (k, n))
                known.fill(np.nan)
            self._scan(number, rows, norms, fate, labels, folds, coordinates, known)

    def _project(self, vectors, rows, norms, fate, out):
        """Fill `out` (k, n) with float32 coordinates of the rows divided by their norms."""
        if rows.dtype == np.float32 and _LOW < norms.min() and norms.max() < _HIGH:  # no zero or non-finite row either
            np.matmul(vectors, rows.T, out=out)
            scan.scale_coordinates(norms, out)
        else:
            unit = self._scratch.array("unit", rows.shape, np.float32)
            decode.narrow(rows, norms, fate, unit)
            np.matmul(vectors, unit.T, out=out)

    def _scan(self, number, rows, norms, fate, labels, folds, coordinates, known):
        task, basis, tally = self.task, self.task.bases[number], self.tallies[number]
        state = np.zeros(5, np.int64)
        finished = False
        while not finished:
            state[4] = self._filled[number]
            finished = scan.scan(
                rows, norms, fate, labels, folds, coordinates, known, basis.delta,
                basis.basis.vectors, basis.columns, basis.signs, basis.geometry.g, basis.geometry.s,
                basis.planes.numbering, *basis.partners,
                task.epsilons, task.table, tally.dense, tally.totals, self._events[number], state,
            )  # fmt: skip
            self._filled[number] = int(state[4])
            if not finished:
                self._flush(number)
        tally.arcs += int(state[3])

    def _flush(self, number):
        filled = self._filled[number]
        if filled:
            self.task.hits[number].add(self._events[number][:filled])
            self._filled[number] = 0

    def _add_sums(self, rows, norms, fate, absolute, start, stop):
        if absolute.size == stop - start:
            place = absolute - start
        else:
            place = np.full(stop - start, -1)
            place[absolute - start] = np.arange(absolute.size)
        stack = self._scratch.array("stack", (64, self.task.d + 1))
        for level, index in aligned_intervals(start, stop):
            first = (index << level) - start
            values = np.empty(self.task.d + 1)
            moments.tree_sum(rows, place[first : first + (1 << level)], norms, fate, stack, values)
            self.task.sums.add(level, index, values)


@functools.cache
def warm(dtype, *, centred=False, counter=np.int32):
    """Run every kernel once on two tiny rows, so that compiling happens in one thread and at a known time.

    Returns
    -------
    bool
        Whether the cache lacked the largest kernel.
    """
    missed = sum(scan.scan.stats.cache_misses.values())
    mean = np.zeros(2) if centred else None
    raw = np.ones((2, 2), np.uint16 if dtype == "bfloat16" else dtype)
    for vectors in ([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.6, 0.8]]):
        basis = load_basis(np.array(vectors), 2)
        geometry = Geometry.of(basis)
        prepared = PreparedBasis(basis, geometry, choose_planes("permutations", basis, geometry))
        task = Pass(
            dtype,
            2,
            _AllRows(),
            (prepared,),
            np.array([0.5]),
            wrap_table(*angle_table(4)),
            mean,
            SharedSums(2),
            (None,),
            "skip",
            2,
            counter,
        )
        Worker(task).count(raw, 0)
    return sum(scan.scan.stats.cache_misses.values()) > missed


class _AllRows:
    """The selection of `warm`."""

    label_names = np.array(["all"])

    def keep(self, start, stop):
        return None, stop - start, {}

    def labels(self, rows):
        return np.zeros(rows.size, np.int32)

    def folds(self, rows):
        return np.zeros(rows.size, np.uint8)


def writeable(raw):
    """Return an array that may be written, because a read-only one is another type to the compiler."""
    return raw if raw.flags.writeable else raw.copy()


def to_rows(raw, dtype, scratch=None):
    """Return stored values (n, d) as float32 (exact) or float64 rows.

    Integers of 64 bits are rounded to float64; every other type is converted exactly. With `scratch` the result is
    valid until the next call.
    """
    raw = writeable(raw)
    if dtype in ("float32", "float64"):
        return raw
    if dtype in _DOUBLE_TYPES:
        return raw.astype(np.float64)
    rows = scratch.array("rows", raw.shape, np.float32) if scratch else np.empty(raw.shape, np.float32)
    if dtype == "float16":
        decode.half_to_single(raw.view(np.uint16), rows)
    elif dtype == "bfloat16":
        decode.bfloat16_to_single(raw, rows)
    else:
        raise InputError(f"activations must be of one of {', '.join(DTYPES)}, got {dtype}; convert the store")
    return rows
