"""Where the arcs of planes are added up: one array for all threads, owned stripe by stripe, or one for each."""

import threading

import numpy as np

from srmfast.errors import InputError
from srmfast.kernels.arguments import Counts
from srmfast.kernels.expand import add_counts
from srmfast.spec import format_bytes
from srmfast.threads import each_range

_PART = 1 << 22  # slots looked through at once
_TOGETHER = 1 << 11  # planes whose differences one thread turns into counts at a time
_NONE = np.empty(0, np.int64)
_CELLS = 1 << 18  # counts held at once while they are copied or their peaks are found


class PlanesOverflow(InputError):
    """The planes that are hit take more than their share of the memory."""


class Stripe:
    """The planes that one thread at a time may write.

    Attributes
    ----------
    low, high : int
        Planes are owned by one of their two vectors; these are the vectors of this stripe.
    differences : ndarray, (places, c, e, a + 1)
    state : ndarray, (3,) int64
        As in `kernels.arguments.Counts`.
    lock : threading.Lock
    hits, first_pair : ndarray, int
        Likewise, for all stripes together.
    """

    def __init__(self, low, high, differences, hits=None, first_pair=0):
        self.low, self.high, self.differences = low, high, differences
        self.state = np.zeros(3, np.int64)
        self.lock = threading.Lock()
        self.hits, self.first_pair = np.empty(0, differences.dtype) if hits is None else hits, first_pair

    def counts(self, slots, totals):
        """Return what the kernel adds to: this stripe's planes and the caller's totals."""
        return Counts(slots, self.differences, totals, self.state, self.hits, self.first_pair)


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
        Bytes that planes kept by hit may take. Their places are reserved, and become memory as they are written.
    """

    def __init__(self, prepared, c, e, a, *, dtype=np.int32, stripes=1, limit=0):
        planes = prepared.planes
        self.prepared, self._limit = prepared, limit
        row = self.place_bytes(c, e, a, dtype)
        hits = prepared.mode == "hits"
        places = {"dense": planes.slots, "hits": min(planes.slots, max(1, limit // row)), "none": 0}[prepared.mode]
        self.slots = np.zeros(planes.slots if hits else 0, np.int32)
        edges = np.linspace(0, len(prepared.frame.vectors), stripes + 1).astype(int)
        shared = np.zeros((places, c, e, a + 1), dtype)
        self.stripes = [
            Stripe(low, high, np.zeros(shared.shape, dtype) if hits else shared)
            for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        ]

    @staticmethod
    def place_bytes(c, e, a, dtype):
        """Return the bytes that one plane takes."""
        return c * e * (a + 1) * np.dtype(dtype).itemsize

    @property
    def arcs(self):
        """(row, plane, epsilon) triples with at least one angle inside, mirror images not counted."""
        return sum(int(stripe.state[0]) for stripe in self.stripes)

    def check(self):
        """Refuse to go on once the planes that were hit take more than their share of the memory."""
        taken = sum(int(stripe.state[1]) for stripe in self.stripes)
        places = len(self.stripes[0].differences)
        if taken > places or any(stripe.state[2] for stripe in self.stripes):
            raise PlanesOverflow(
                f"the planes that are hit must fit into an eighth of the memory, {format_bytes(self._limit)}, which holds "
                f"{places:,} of the {self.prepared.planes.total:,} planes; use a larger epsilon, fewer planes, --keep top:1000, "
                "--keep summary or more --memory"
            )

    def absorb(self, other):
        """Add what another thread counted."""
        for mine, theirs in zip(self.stripes, other.stripes, strict=True):
            mine.differences += theirs.differences
            mine.state[0] += theirs.state[0]

    def numbers(self):
        """Return the sorted numbers of the planes that are kept: all, or those that were hit."""
        planes = self.prepared.planes
        if self.prepared.mode != "hits":
            return planes.numbers() if self.prepared.mode == "dense" else np.empty(0, np.int64)
        found = [
            start + np.flatnonzero(self.slots[start : start + _PART]) for start in range(0, self.slots.size, _PART)
        ]
        numbers = np.concatenate([np.empty(0, np.int64), *found])
        return np.union1d(numbers, self.prepared.reversed(numbers)) if self.prepared.mirrored else numbers

    def peaks(self):
        """Return the highest count of each plane of `numbers()`, (p,) int64."""
        found = [
            self.counts(part).max(axis=(0, 1, 3)) for part in parts(self.numbers(), self.stripes[0].differences[0].size)
        ]
        return np.concatenate([np.empty(0, np.int64), *found])

    def counts(self, numbers):
        """Return the counts of planes given by number, (c, e, m, a) int64."""
        _, c, e, width = self.stripes[0].differences.shape
        counts = np.zeros((c, e, numbers.size, width - 1), np.int64)
        forward = self._places(numbers)
        backward = self._places(self.prepared.reversed(numbers)) if self.prepared.mirrored else [_NONE] * len(forward)

        def add(first, last):
            for stripe, places, mirrored in zip(self.stripes, forward, backward, strict=False):
                add_counts(stripe.differences, places, mirrored, first, last, counts)

        each_range(add, numbers.size, _TOGETHER, size=numbers.size)
        return counts

    def _places(self, numbers):
        """Return where planes lie in the differences of each stripe, −1 where they do not; all lie in the first when dense."""
        if self.prepared.mode != "hits":
            return [numbers]
        places, owner = self.slots[numbers].astype(np.int64) - 1, self.prepared.owner(numbers)
        return [np.where((owner >= stripe.low) & (owner < stripe.high), places, -1) for stripe in self.stripes]


def parts(numbers, cells):
    """Divide planes into parts whose counts, `cells` a plane, are held at once while they are looked through."""
    step = max(1, _CELLS // cells)
    return (numbers[start : start + step] for start in range(0, numbers.size, step))
