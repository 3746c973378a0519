"""Where the arcs of planes are added up: one array for all threads, owned stripe by stripe, or one for each."""

import contextlib
import threading

import numpy as np

from srmfast.errors import InputError
from srmfast.kernels.arguments import Counts
from srmfast.kernels.expand import add_counts
from srmfast.spec import format_bytes
from srmfast.tally import joined
from srmfast.threads import each_range

_TOGETHER = 1 << 11  # planes whose differences one thread turns into counts at a time
_NONE = np.empty(0, np.int64)
_PIECE = 32 << 20  # bytes of difference arrays handed out at once
_CELLS = 1 << 18  # counts held at once while peaks are found


class PlanesOverflow(InputError):
    """The planes that are hit take more than their share of the memory."""


class Stripe:
    """The planes that one thread at a time may write.

    Attributes
    ----------
    low, high : int
        Planes are owned by one of their two vectors; these are the vectors of this stripe.
    differences : ndarray, (places, c, e, a + 1)
    numbers : ndarray, (places,) int64
    state : ndarray, (3,) int64
        As in `kernels.arguments.Counts`.
    lock : threading.Lock
    hits, first_pair : ndarray, int
        Likewise, for all stripes together.
    """

    def __init__(self, low, high, differences, numbers=None, hits=None, first_pair=0):
        self.low, self.high, self.differences = low, high, differences
        self.numbers = _NONE if numbers is None else numbers
        self.state = np.zeros(3, np.int64)
        self.lock = threading.Lock()
        self.hits, self.first_pair = np.empty(0, differences.dtype) if hits is None else hits, first_pair

    @property
    def taken(self):
        """Places that planes kept by hit have taken."""
        return int(self.state[1])

    def counts(self, slots, totals, places=None):
        """Return what the kernel adds to: the first places of this stripe, or all, and the caller's totals."""
        differences = self.differences if places is None else self.differences[:places]
        return Counts(slots, differences, self.numbers, totals, self.state, self.hits, self.first_pair)


class Ledger:
    """Difference arrays of the planes of one basis.

    Parameters
    ----------
    prepared : PreparedBasis
        Its mode says whether there is a place for every plane number ("dense"), one for each plane from its first
        arc on ("hits"), or none.
    c, e, a : int
    dtype : numpy integer type
    stripes : int
        In how many parts threads share it; 1 when one thread has it for itself.
    limit : int
        Bytes that planes kept by hit may take. Each stripe reserves them, and they become memory as they are written.
    """

    def __init__(self, prepared, c, e, a, *, dtype=np.int32, stripes=1, limit=0):
        planes = prepared.planes
        self.prepared, self._limit = prepared, limit
        self._made = dict(dtype=dtype, stripes=stripes, limit=limit)
        row = self.place_bytes(c, e, a, dtype)
        self._by_hit = prepared.mode == "hits"
        self._places = {"dense": planes.slots, "hits": min(planes.slots, max(1, limit // row)), "none": 0}[
            prepared.mode
        ]
        self.slots = np.zeros(planes.slots if self._by_hit else 0, np.int32)
        edges = np.linspace(0, len(prepared.frame.vectors), stripes + 1).astype(int)
        shape = self._places, c, e, a + 1
        shared = np.zeros((0, *shape[1:]) if self._by_hit else shape, dtype)
        self.stripes = [
            Stripe(low, high, *((np.zeros(shape, dtype), np.zeros(shape[0], np.int64)) if self._by_hit else (shared,)))
            for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        ]
        self._claims, self._promised, self._under_way = threading.Condition(), 0, 0

    def blank(self):
        """Return the options that make an empty ledger like this one."""
        return self._made

    @contextlib.contextmanager
    def claim(self, stripe, totals, most):
        """Give a stripe's planes to a kernel that may need up to `most` new places for them.

        Threads go on side by side while there are places enough for whatever each may take; near the end of them one
        at a time, so that no more are taken than fit.

        Yields
        ------
        Counts

        Raises
        ------
        PlanesOverflow
            There were too few places.
        """
        if not self._by_hit:
            yield stripe.counts(self.slots, totals)
            return
        with self._claims:
            self._claims.wait_for(lambda: not self._under_way or self._left() - self._promised >= most)
            granted = max(0, min(most, self._left()))
            self._promised, self._under_way = self._promised + granted, self._under_way + 1
        try:
            yield stripe.counts(self.slots, totals, max(1, stripe.taken + granted))
        finally:
            with self._claims:
                self._promised, self._under_way = self._promised - granted, self._under_way - 1
                self._claims.notify_all()
        if stripe.state[2] or self._left() < 0:
            raise PlanesOverflow(self._too_few())

    def _too_few(self):
        return (
            f"the planes that are hit must fit into an eighth of the memory, {format_bytes(self._limit)}, which holds "
            f"{self._places:,} of the {self.prepared.planes.total:,} planes; use a larger epsilon, fewer planes, --keep summary "
            "or more --memory"
        )

    def _left(self):
        return self._places - sum(stripe.taken for stripe in self.stripes)

    @staticmethod
    def place_bytes(c, e, a, dtype):
        """Return the bytes that one plane takes."""
        return c * e * (a + 1) * np.dtype(dtype).itemsize

    @property
    def arcs(self):
        """(row, plane, epsilon) triples with at least one angle inside, mirror images not counted."""
        return sum(int(stripe.state[0]) for stripe in self.stripes)

    def absorb(self, other):
        """Add what another thread counted, and leave it nothing."""
        for mine, theirs in zip(self.stripes, other.stripes, strict=True):
            mine.differences += theirs.differences
            mine.state[0] += theirs.state[0]
            theirs.differences[...] = 0
            theirs.state[0] = 0

    def pieces(self):
        """Yield what was counted, in pieces of bounded size: numbers of planes and their difference arrays.

        They are views where planes are kept by hit, and come without the planes that had nothing where all are kept.
        """
        rows = max(1, _PIECE // max(1, self.stripes[0].differences[:1].nbytes))
        if self._by_hit:
            for stripe in self.stripes:
                for start in range(0, stripe.taken, rows):
                    stop = min(start + rows, stripe.taken)
                    yield stripe.numbers[start:stop], stripe.differences[start:stop]
            return
        differences = self.stripes[0].differences
        for start in range(0, len(differences), rows):
            some = differences[start : start + rows]
            hit = np.flatnonzero(some.any(axis=(1, 2, 3)))
            if hit.size:
                yield start + hit, some if hit.size == len(some) else some[hit]

    def add(self, tally):
        """Add what was counted elsewhere or earlier.

        Parameters
        ----------
        tally : PlaneTally

        Raises
        ------
        PlanesOverflow
            There are too few places.
        """
        self.stripes[0].state[0] += tally.arcs
        for numbers, differences in tally.pieces:
            if not self._by_hit:
                if self._places:
                    self.stripes[0].differences[numbers] += differences
                continue
            owner = self.prepared.owner(numbers)
            for stripe in self.stripes:
                mine = np.flatnonzero((owner >= stripe.low) & (owner < stripe.high))
                self._add_hit(stripe, numbers[mine], differences[mine] if mine.size < numbers.size else differences)

    def _add_hit(self, stripe, numbers, differences):
        new = numbers[self.slots[numbers] == 0]
        if new.size > self._left():
            raise PlanesOverflow(self._too_few())
        taken = stripe.taken
        self.slots[new] = np.arange(taken + 1, taken + 1 + new.size, dtype=np.int32)
        stripe.numbers[taken : taken + new.size] = new
        stripe.state[1] += new.size
        stripe.differences[self.slots[numbers] - 1] += differences

    def numbers(self):
        """Return the sorted numbers of the planes that are kept: all, or those that were hit."""
        planes = self.prepared.planes
        if not self._by_hit:
            return planes.numbers() if self.prepared.mode == "dense" else np.empty(0, np.int64)
        numbers = np.sort(np.concatenate([stripe.numbers[: stripe.taken] for stripe in self.stripes]))
        return np.union1d(numbers, self.prepared.reversed(numbers)) if self.prepared.mirrored else numbers

    def peaks(self, c):
        """Return the highest count of each plane of `numbers()` at any of c labels, (p,) int64."""
        numbers = self.numbers()
        step = max(1, _CELLS // self.stripes[0].differences[0].size)
        found = [
            joined(self.counts(numbers[start : start + step]), c, 0).max(axis=(0, 1, 3))
            for start in range(0, numbers.size, step)
        ]
        return np.concatenate([np.empty(0, np.int64), *found])

    def counts(self, numbers):
        """Return the counts of planes given by number, (c, e, m, a) int64."""
        _, c, e, width = self.stripes[0].differences.shape
        counts = np.zeros((c, e, numbers.size, width - 1), np.int64)
        forward = self._places_of(numbers)
        backward = (
            self._places_of(self.prepared.reversed(numbers)) if self.prepared.mirrored else [_NONE] * len(forward)
        )

        def add(first, last):
            for stripe, places, mirrored in zip(self.stripes, forward, backward, strict=False):
                add_counts(stripe.differences, places, mirrored, first, last, counts)

        each_range(add, numbers.size, _TOGETHER, size=numbers.size)
        return counts

    def _places_of(self, numbers):
        """Return where planes lie in the differences of each stripe, −1 where they do not; all lie in the first when dense."""
        if not self._by_hit:
            return [numbers]
        places, owner = self.slots[numbers].astype(np.int64) - 1, self.prepared.owner(numbers)
        return [np.where((owner >= stripe.low) & (owner < stripe.high), places, -1) for stripe in self.stripes]
