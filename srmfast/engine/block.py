"""The compute stage: one worker turns raw rows into integers, block by block, and owns all it writes."""

import math
import threading
import time

import numpy as np

from srmfast.engine.ledger import Ledger
from srmfast.engine.limit import RULE
from srmfast.engine.scratch import Scratch
from srmfast.engine.stored import to_stored
from srmfast.errors import InputError
from srmfast.kernels import count, decode, moments, phase, project, scan, search
from srmfast.kernels.arguments import Block, Candidates, Cones, Points
from srmfast.tally import FOLDS, PlaneTally, RowTally, Tally, aligned_intervals

LARGE = 1 << 16  # large coordinates listed at once
ROOM = 1 << 14  # candidates collected before they are decided: their arrays fit the second cache
PRODUCTS = 1 << 24  # bytes of float64 products computed at once
_NO_COSINES = np.empty((0, 0), np.float32)
_LOW, _HIGH = 2.0**-40, 2.0**40  # norms whose rows need no scaling before float32 products
STAGES = ("decode", "screen", "arcs")


class Worker:
    """Counts rows of one pass; used by one thread at a time."""

    def __init__(self, task):
        self.task = task
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._scratch = Scratch()
        c, e, a = task.shape
        self.rows = RowTally.zero(c)
        self.totals = [np.zeros((FOLDS, c, e, a + 1), np.int64) for _ in task.bases]
        self.phases = [np.zeros((FOLDS, c, e, 2), np.int64) if task.phase else None for _ in task.bases]
        self.ledgers = [
            shared or Ledger(basis, c, e, a, dtype=task.counter)
            for basis, shared in zip(task.bases, task.ledgers, strict=True)
        ]
        room = ROOM if task.bases else 0
        self._candidates = Candidates(*(np.empty(room, np.int32) for _ in range(4)), np.empty(room, np.float32))
        self._cones = Cones(task.epsilons, task.table)
        self._smallest = float(task.epsilons.min())
        self._strata = task.strata and task.strata.adder(task.counter)
        self._turn = 0  # where to begin among the stripes, so that threads rarely wait for one another
        room = 2 * ROOM if task.points is not None else 0
        self._points = Points(*(np.empty(room, np.int64) for _ in range(2)), *(np.empty(room) for _ in range(2)))
        self._absolute = None

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

    def absorb(self, other):
        """Add what another worker of the same pass counted, and leave it nothing."""
        self.rows, other.rows = self.rows + other.rows, RowTally.zero(self.task.shape[0])
        for mine, theirs in zip(self.totals, other.totals, strict=True):
            mine += theirs
            theirs[...] = 0
        for mine, theirs in zip(self.phases, other.phases, strict=True):
            if mine is not None:
                mine += theirs
                theirs[...] = 0
        for mine, theirs in zip(self.ledgers, other.ledgers, strict=True):
            if mine is not theirs:
                mine.absorb(theirs)

    def tally(self, intervals):
        """Return what this worker holds as a Tally of the rows given: a view, until it goes on counting."""
        planes = [
            PlaneTally(totals, ledger.arcs, ledger.pieces(), phase)
            for totals, ledger, phase in zip(self.totals, self.ledgers, self.phases, strict=True)
        ]
        collected = {name: shared.value for name, shared in self.task.collected.items()}
        return Tally(intervals, self.rows, collected, planes)

    def add(self, tally):
        """Add a Tally of other rows."""
        self.rows = self.rows + tally.rows
        for name, shared in self.task.collected.items():
            shared.merge(tally.collected[name])
        for totals, phases, ledger, planes in zip(self.totals, self.phases, self.ledgers, tally.planes, strict=True):
            totals += planes.totals
            if phases is not None:
                phases += planes.phase
            ledger.add(planes)

    def _count_block(self, raw, start, stop):
        task, began = self.task, time.perf_counter()
        keep, seen, masked = task.selection.keep(start, stop)
        self.rows.seen += seen
        for rule, gone in masked.items():
            self.rows.leave_out(rule, gone)
        if keep is None:
            absolute = np.arange(start, stop)
        else:
            kept = np.flatnonzero(keep)
            absolute, raw = start + kept, raw[kept]
        if task.limit < math.inf:
            raw, absolute = self._drop_long(raw, absolute)
        if not absolute.size:
            return
        stored, block = self._measure(raw, absolute, start, stop)
        if decode.tally_fates(block.folds, block.labels, block.fate, self.rows.fate) and task.nonfinite == "error":
            row = absolute[np.argmax(block.fate == decode.NONFINITE)]
            raise InputError(
                f"rows must be finite, got NaN, infinity or an overflowing norm in row {row:,}; "
                "use --nonfinite skip to leave such rows out"
            )
        if task.norms is not None:
            task.norms.add(block.norms, block.fate, block.labels)
        if task.repeats is not None:
            task.repeats.add(raw, absolute, block.fate, start, stop)
        if task.drawn is not None:
            task.drawn.add(raw, task.dtype, absolute, block)
        if self._strata is not None:
            self._strata.begin(block, absolute, raw, task, self._scratch)
        began = self._spend("decode", began)
        if task.members is not None:
            task.members.add(self._coordinates, block, absolute)
            self._spend("screen", began)
        self._absolute = absolute
        for number, basis in enumerate(task.bases):
            if basis.way.method == "search":
                self._search(number, basis, stored, block)
            else:
                self._scan(number, basis, block)

    def _drop_long(self, raw, absolute):
        """Leave out rows whose norm as stored is above the limit; what is not finite stays so."""
        norms, fate = self._scratch.array("norms", (len(raw),)), self._scratch.array("fate", (len(raw),), np.uint8)
        decode.measure(to_stored(raw, self.task.dtype, self._scratch), None, norms, fate)
        long = (fate == decode.USED) & (norms > self.task.limit)
        if not long.any():
            return raw, absolute
        self.rows.leave_out(RULE, int(long.sum()))
        return raw[~long], absolute[~long]

    def _measure(self, raw, absolute, start, stop):
        """Decode the rows, measure and sum them.

        Returns
        -------
        stored : ndarray
            The rows as kernels read stored values.
        block : Block
            Its rows are filled unless no basis needs all of them.
        """
        task, scratch, n = self.task, self._scratch, absolute.size
        stored = to_stored(raw, task.dtype, scratch)
        if task.mean is not None:
            centred = scratch.array("centred", stored.shape)
            decode.subtract(self._plain(stored), task.mean, centred)
            stored = centred
        plain = stored.dtype.kind == "f"
        rows = stored if plain else scratch.array("rows", stored.shape, np.float32)
        reads_stored = task.members is None and all(basis.reads_stored for basis in task.bases)
        fill = None if plain or reads_stored else rows
        norms, fate = scratch.array("norms", (n,)), scratch.array("fate", (n,), np.uint8)
        if task.sums is None:
            decode.measure(stored, fill, norms, fate)
        else:
            self._measure_and_sum(stored, fill, norms, fate, absolute, start, stop)
        return stored, Block(rows, norms, fate, task.selection.labels(absolute), task.selection.folds(absolute))

    def _plain(self, stored):
        if stored.dtype.kind == "f":
            return stored
        rows, n = self._scratch.array("rows", stored.shape, np.float32), len(stored)
        decode.measure(stored, rows, self._scratch.array("norms", (n,)), self._scratch.array("fate", (n,), np.uint8))
        return rows

    def _measure_and_sum(self, stored, rows, norms, fate, absolute, start, stop):
        if absolute.size == stop - start:
            place = absolute - start
        else:
            place = np.full(stop - start, -1)
            place[absolute - start] = np.arange(absolute.size)
        stack = self._scratch.array("stack", (64, self.task.d + 1))
        for level, index in aligned_intervals(start, stop):
            first = (index << level) - start
            values = np.empty(self.task.d + 1)
            moments.measure_and_sum(stored, rows, place[first : first + (1 << level)], norms, fate, stack, values)
            self.task.sums.add(level, index, values)

    def _scan(self, number, basis, block):
        began, n = time.perf_counter(), len(block.rows)
        coordinates = self._coordinates(block, basis.frame, basis.single)
        self._spend("screen", began)

        def find(stripe, state):
            return scan.scan(
                coordinates, block, basis.frame, basis.pairs, self._smallest, stripe.low, stripe.high,
                self._candidates, state,
            )  # fmt: skip

        self._decide(number, find, True, coordinates, n, 1, block, basis.frame, basis.pairs, math.inf)

    def _coordinates(self, block, frame, single):
        """Return x·b_i/‖x‖ of the rows of a block, (k, n) float32; `single` are the vectors, unless they are ±unit vectors."""
        coordinates = self._scratch.array("coordinates", (len(frame.vectors), len(block.rows)), np.float32)
        if frame.columns.size:
            scan.select_coordinates(block.rows, block.norms, block.fate, frame.columns, frame.signs, coordinates)
        else:
            rows, scaled = self._singles(block)
            np.matmul(single, rows.T, out=coordinates)
            if not scaled:
                scan.scale_columns(block.norms, coordinates)
        return coordinates

    def _search(self, number, basis, stored, block):
        began = time.perf_counter()
        k, n, cut = len(basis.vectors), len(block.rows), basis.way.cut
        coordinates = self._scratch.array("coordinates", (n, k), np.float32)
        floor = search.search_floor(self._smallest, basis.frame.delta, cut)
        fine = None
        if not basis.frame.columns.size:
            rows, scaled = self._singles(block)
            np.matmul(rows, basis.single.T, out=coordinates)
            if not scaled:
                scan.scale_rows(block.norms, coordinates)
            fine = self._refine(basis, block, floor, coordinates)
        large = self._scratch.array("large", (2, max(2 * k, LARGE) + 1), np.int32)
        order = self._scratch.array("order", (large.shape[1],), np.int32)
        row = 0
        while row < n:
            if basis.frame.columns.size:
                into = None if stored is block.rows else block.rows
                row, m = search.find_large_stored(stored, block, basis.frame, floor, large, into, coordinates, row)
            else:
                row, m = search.find_large(coordinates, block, floor, cut, large, row)
            search.sort_by_vector(large, m, k, order)
            for frame, entries, cosines, place in self._parts(basis, large, order[:m], fine):
                self._spend("screen", began)

                def find(stripe, state, frame=frame, entries=entries, cosines=cosines, place=place):
                    return search.find_partners(
                        coordinates, block, frame, floor, cut, large, entries, cosines, place, stripe.low, stripe.high,
                        basis.by_partner, self._candidates, state,
                    )  # fmt: skip

                self._decide(number, find, False, coordinates, 1, k, block, frame, basis.pairs, cut)
                began = time.perf_counter()
        if basis.way.near is not None:

            def find_near(stripe, state):
                return search.find_near(
                    coordinates, block, basis.frame, basis.way.near, self._smallest, stripe.low, stripe.high,
                    self._candidates, state,
                )  # fmt: skip

            self._decide(number, find_near, False, coordinates, 1, k, block, basis.frame, basis.way.near, math.inf)

    def _refine(self, basis, block, floor, coordinates):
        """Compute the coordinates of rows that will have many candidates in float64, so that few need the line.

        Returns
        -------
        ndarray, (n,) bool, or None
            These rows; None when there are none.
        """
        if basis.fine is basis.frame:
            return None
        (n, k), d = coordinates.shape, block.rows.shape[1]
        found = self._scratch.array("loud", (n,), np.int64)
        found = found[: search.find_loud(coordinates, block, floor, found)]
        if not found.size:
            return None
        together = max(1, PRODUCTS // (8 * (k + 2 * d)))
        for start in range(0, found.size, together):
            some = found[start : start + together]
            products = self._scratch.array("products", (some.size, k))
            unit = block.rows[some] / block.norms[some, None]
            coordinates[some] = np.matmul(unit, basis.frame.vectors.T, out=products)
        fine = np.zeros(n, bool)
        fine[found] = True
        return fine

    def _parts(self, basis, large, order, fine):
        """Divide a list of large coordinates into parts that `find_partners` takes.

        Yields
        ------
        frame : Frame
            With the error of the coordinates of these rows.
        entries : ndarray of int32
        cosines, place : ndarray
            The cosines that the vectors of the part have with all others, where there is no matrix of them.
        """
        whole = [(basis.frame, order)]
        if fine is not None:
            are_fine = fine[large[1, order]]
            whole = [(basis.fine, order[are_fine]), (basis.frame, order[~are_fine])]
        k = len(basis.vectors)
        place = self._scratch.array("place", (k,), np.int32)
        for frame, entries in whole:
            if frame.orthogonal or frame.g.size:
                if entries.size:
                    yield frame, entries, _NO_COSINES, place
                continue
            first = np.flatnonzero(np.diff(large[0, entries], prepend=-1))  # of each vector
            together = max(1, PRODUCTS // (8 * k))
            for start in range(0, first.size, together):
                stop = first[start + together] if start + together < first.size else entries.size
                vectors = large[0, entries[first[start : start + together]]]
                place[vectors] = np.arange(vectors.size)
                products = self._scratch.array("products", (vectors.size, k))
                cosines = self._scratch.array("cosines", (vectors.size, k), np.float32)
                cosines[...] = np.matmul(frame.vectors[vectors], frame.vectors.T, out=products)
                yield frame, entries[first[start] : stop], cosines, place

    def _decide(self, number, find, by_pair, coordinates, stride, step, block, frame, pairs, cut):
        """Find the candidates of each stripe of planes and add their arcs while no other thread does."""
        ledger, totals = self.ledgers[number], self.totals[number]
        flat, state = coordinates.reshape(-1), np.empty(4, np.int64)
        stripes = ledger.stripes
        for at in range(len(stripes)):
            stripe = stripes[(at + self._turn) % len(stripes)]
            state[:] = 0
            done = False
            while not done:
                began = time.perf_counter()
                done = find(stripe, state)
                began = self._spend("screen", began)
                if state[3]:
                    if self.task.phase:
                        phase.add_phase(
                            self._candidates, state[3], flat, stride, step, block, frame, pairs, cut, self.task.epsilons,
                            self.phases[number],
                        )  # fmt: skip
                    if self._strata is not None:
                        self._strata.add(
                            number,
                            state[3],
                            self._candidates,
                            by_pair,
                            flat,
                            stride,
                            step,
                            frame,
                            pairs,
                            cut,
                            self._cones,
                        )
                    with stripe.lock, ledger.claim(stripe, totals, 2 * int(state[3])) as counts:
                        if self.task.grid is not None:
                            self._project(number, state[3], flat, stride, step, block, frame, pairs, cut, counts)
                        else:
                            count.count(
                                self._candidates, state[3], by_pair, flat, stride, step, block, frame, pairs, cut,
                                self._cones, counts,
                            )  # fmt: skip
                    self._spend("arcs", began)
                    state[3] = 0
        self._turn += 1

    def _project(self, number, m, flat, stride, step, block, frame, pairs, cut, counts):
        """Add candidates to the cells of their planes, and write where they are when that is wanted."""
        found = project.project(
            self._candidates, m, flat, stride, step, block, frame, pairs, cut, self._cones.epsilons, self.task.grid,
            counts, self._points,
        )  # fmt: skip
        if found:
            self.task.points.add(number, self._absolute, *(array[:found] for array in self._points))

    def _singles(self, block):
        """Return the rows as float32 and whether they have been divided by their norms."""
        norms = block.norms
        if block.rows.dtype == np.float32 and _LOW < norms.min() and norms.max() < _HIGH:  # all used, too
            return block.rows, False
        unit = self._scratch.array("unit", block.rows.shape, np.float32)
        decode.narrow(block.rows, norms, block.fate, unit)
        return unit, True

    def _spend(self, stage, began):
        now = time.perf_counter()
        self.seconds[stage] += now - began
        return now
