"""The plan of a run: block sizes, threads and how planes are kept, from the sizes and the memory budget alone."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from srmfast.errors import InputError
from srmfast.spec import format_bytes
from srmfast.tally import FOLDS

_SLAB = 16 << 20  # bytes of one read, when chunks and memory allow it
_SLAB_SHARE = 1 / 32  # of the memory, for one read
_READ_SHARE = 0.5  # of the memory, for all reads
_MOST_READ_SHARE = 0.75  # of the memory, for two reads of whole chunks
_CLIENT = 48 << 20  # bytes of the libraries that talk to a service, and of what they have received
# Bytes of one block of decoded rows and coordinates: of a scan it should stay in the cache that cores share, and still
# outweigh the calls for a block (0.1 ms); of a search it may be larger, as longer products are faster.
_BLOCK = 3 << 20
_SEARCH_BLOCK = 1 << 24
_BLOCK_SHARE = 1 / 48  # of the memory, for the block of one thread
_DECODE_COPIES = {"zarr": 2}  # a codec holds the chunk a second time while it decodes
_DENSE_SHARE = 0.2  # of the memory, for the counts of planes kept in full, all results of a run together
GEOMETRY_SHARE = 0.25  # of the memory, for the cosines and sines of all bases together
_PAIR_SHARE = 0.25  # of the memory, for the hits of pairs among which planes are chosen, of all bases together
HIT_SHARE = 0.125  # of the memory, for the difference arrays of planes kept by hit, all results together
_STRIPES = 4  # parts for each thread, in which threads share the planes
_CANDIDATES = 20 << 14  # bytes of the candidates of one thread
_MODEL_SHARE = 0.4  # of the memory that batches in the making may take
_LISTED_BYTES = 100  # a listed plane: its pair, its partner lists and what sorting them takes
_READING = 1.0e9  # bytes a second of a compressed local store on one core: for the time class only
_TIME_CLASSES = (
    (2, "seconds"),
    (60, "under a minute"),
    (600, "minutes"),
    (3600, "under an hour"),
    (86400, "hours"),
)


class BasisSize(NamedTuple):
    """What the plan has to know of a basis."""

    k: int  # vectors
    slots: int  # plane numbers
    listed: int  # planes that are listed
    geometry: int  # bytes that the angles between vectors take
    method: str = "scan"
    pairs: int = 0  # pairs whose hits choose the planes


@dataclass(frozen=True)
class Plan:
    """How a run is carried out and what it needs.

    Attributes
    ----------
    slab_rows : int
        Rows in one read.
    slabs : int
        Reads held in memory at once.
    readers, threads : int
    block_rows : int
        Rows in one kernel call.
    modes : tuple of str
        For each basis: "dense", "hits" or "none".
    stripes : int
        In how many parts threads share the planes; 1 when each thread counts planes kept in full by itself.
    parts : tuple of (str, int)
        What memory is for, and how many bytes.
    pair_room : int
        Pairs of each basis whose hits can be counted in one reading.
    """

    slab_rows: int
    slabs: int
    readers: int
    threads: int
    block_rows: int
    modes: tuple
    stripes: int
    parts: tuple
    pair_room: int = 0

    @property
    def stripes_of_pairs(self):
        """In how many parts threads share the pairs whose hits are counted."""
        return 1 if self.threads == 1 else _STRIPES * self.threads

    @property
    def nbytes(self):
        """Bytes that the run adds to the process at its peak."""
        return sum(size for _, size in self.parts)


def make_plan(
    *, n, d, itemsize, format, unit_rows, readers, bases, c, e, a, keep, resources, columns=0, stores=1, working=0,
    remote=False, advice="", computes=False, held=0, compared=0, strata=0,
):  # fmt: skip
    """Project the memory of a run and choose its sizes.

    Parameters
    ----------
    n, d, itemsize : int
        Shape of the store and bytes of one value.
    format : str
        Format of the store.
    unit_rows : int
        Rows that whole chunks cover.
    readers : int
        Threads that may read at once.
    bases : sequence of BasisSize
    c, e, a : int
        Labels, epsilons and angles.
    keep : str
        The planes that stay in the result.
    resources : Resources
    columns : int
        Bytes of masks, labels, groups and samples.
    stores : int
        Stores of the run: the results of all are held to its end.
    working : int
        Bytes that a reader holds beside what it reads.
    remote : bool
        Whether reading waits for a network.
    advice : str
        How to store the array in smaller units.
    computes : bool
        Whether reading is the work.
    held : int
        Bytes that the open store holds.
    compared : int
        Bytes that comparing a basis with its rotations takes.
    strata : int
        Bytes of the counts by stratum, of all threads.

    Returns
    -------
    Plan

    Raises
    ------
    InputError
        When the memory cannot hold even one thread's share, with the arithmetic.
    """
    threads = resources.threads
    block_rows = min(resources.block_rows or _block_rows(d, bases, resources.memory), n)
    row = d * itemsize
    slab_rows = max(unit_rows, int(min(_SLAB, resources.memory * _SLAB_SHARE) // row) // unit_rows * unit_rows)
    if unit_rows == 1:
        slab_rows = max(1, slab_rows // block_rows) * block_rows  # whole blocks
    slab_rows = min(slab_rows, n)
    copies = _DECODE_COPIES.get(format, 1) + remote  # what has arrived is held until it is decoded
    if not remote:  # reading and decoding share the cores with counting; waiting for a network takes none
        readers = min(readers, threads if computes else threads // 2)
    if computes:
        readers = min(readers, int(resources.memory * _MODEL_SHARE // max(1, working)))
    slab = slab_rows * row * copies
    least = 2 if 2 * slab <= resources.memory * _MOST_READ_SHARE else 1  # a second one is read while one is counted
    slabs = min(max(1, readers) + 2, -(-n // slab_rows), max(least, int(resources.memory * _READ_SHARE // slab)))
    readers = max(1, min(readers, slabs - 1))
    planes = [_plane_bytes(c, e, basis.slots, a) for basis in bases]
    modes = modes_of(keep, [basis.slots for basis in bases], c, e, a, resources.memory / stores)
    dense = sum(size for size, mode in zip(planes, modes, strict=True) if mode == "dense")
    hits = modes.count("hits")
    # The counts are int32 in the accumulators. Afterwards the result is held up to three times over: int64 counts,
    # a part of them or their shares, and these sorted. More accumulators than that are only made when there is room.
    own = not hits and threads * dense // 2 <= max(3 * dense, resources.memory * _DENSE_SHARE)
    stripes = 1 if own or threads == 1 else _STRIPES * threads
    size = np.dtype(counter(n)).itemsize
    pair_room = int(resources.memory * _PAIR_SHARE / (size * max(1, len(bases))))
    choosing = sum(min(basis.pairs, pair_room) for basis in bases)
    slots = sum(4 * basis.slots for basis, mode in zip(bases, modes, strict=True) if mode == "hits")
    parts = (
        (f"{slabs} reads of {slab_rows:,} rows", slabs * slab),
        ("items being averaged, or computed by the model", readers * working),
        ("the model, or the inner product", held),
        ("the client of the remote service", remote * _CLIENT),
        (f"{threads} blocks of {block_rows:,} rows", threads * _block_bytes(block_rows, d, bases)),
        (f"totals of {threads} threads", threads * len(bases) * 2 * FOLDS * c * e * (a + 1) * 8),
        (
            f"planes of {threads} threads, or the result" if own else "planes shared by threads, or the result",
            max(3 * dense, (threads if own else 1) * dense // 2),
        ),
        ("results of other stores", dense * (stores - 1)),
        ("planes that are hit", int(bool(hits) * resources.memory * HIT_SHARE)),
        ("places of planes", slots),
        ("hits of pairs of vectors", size * choosing),
        ("lists of planes", sum(_LISTED_BYTES * basis.listed for basis in bases)),
        ("geometry of the bases", sum(basis.k * d * 12 + basis.geometry for basis in bases)),
        ("labels, groups and masks", columns),
        ("random rotations of the basis", compared),
        ("counts by stratum", strata),
    )
    if not choosing:
        parts, pair_room = _with_highest(parts, keep, modes, bases, d, pair_room, size, resources.memory)
    plan = Plan(slab_rows, slabs, readers, threads, block_rows, modes, stripes, parts, pair_room)
    if plan.nbytes > resources.memory:
        arithmetic = " + ".join(f"{format_bytes(size)} ({what})" for what, size in parts if size)
        raise InputError(
            f"the run must fit into memory, but needs {format_bytes(plan.nbytes)} = {arithmetic} "
            f"of {format_bytes(resources.memory)} left beside the process; raise --memory by "
            f"{format_bytes(plan.nbytes - resources.memory)}, or use --keep hit, fewer planes, labels or epsilons"
            + _smaller_units(slab_rows, unit_rows, advice, computes)
        )
    return plan


def _smaller_units(slab_rows, unit_rows, advice, computes):
    """Say that chunks, or batches, make a read as long as it is, where they do."""
    if computes and not advice:
        return f"; a batch of the model makes {unit_rows:,} rows one read, use a smaller --batch"
    if unit_rows == 1 or slab_rows > unit_rows:
        return ""
    return f"; chunks make {unit_rows:,} rows one read" + (f", rechunk: {advice}" if advice else "")


def _with_highest(parts, keep, modes, bases, d, pair_room, size, memory):
    """Add what counting the highest planes by their hits takes, where `top:K` may come to that and it fits."""
    pairs = [
        basis.k * (basis.k - 1) // 2
        for basis, mode in zip(bases, modes, strict=True)
        if mode == "hits" and not basis.listed
    ]
    if not keep.startswith("top:") or not pairs or max(pairs) > pair_room:
        return parts, 0
    # The planes that are listed then hold their vectors once more, in double and in single precision.
    again = size * sum(pairs) + sum(12 * basis.k * d for basis in bases) + _LISTED_BYTES * (1 << 14)
    if sum(taken for _, taken in parts) + again > memory:
        return parts, 0
    return (*parts, ("hits of pairs, if planes outgrow their share", again)), pair_room


def counter(n):
    """Return the integer type that can count what n rows add to a plane, or to both orders of a pair."""
    return np.int32 if 2 * n < 2**31 else np.int64


def _plane_bytes(c, e, slots, a):
    """Bytes of the int64 counts of every plane; int32 accumulators are half of it."""
    return c * e * slots * (a + 1) * 8


def modes_of(keep, slots, c, e, a, memory):
    """Return how the planes of each basis are kept; `auto` and `hit` keep all in memory while their share lasts.

    Parameters
    ----------
    keep : str
    slots : list of int
        Plane numbers of each basis.
    c, e, a : int
        Labels, epsilons and angles.
    memory : int
        Bytes for this store.

    Returns
    -------
    tuple of str
        "dense", "hits" or "none".
    """
    modes, share = [], memory * _DENSE_SHARE
    for size in (_plane_bytes(c, e, count, a) for count in slots):
        if keep == "summary":
            modes.append("none")
        elif keep == "all" or size <= share:
            modes.append("dense")
            share -= size
        else:
            modes.append("hits")
    return tuple(modes)


def _block_rows(d, bases, memory):
    widest = max((basis.k for basis in bases), default=1)
    search = all(basis.method == "search" for basis in bases) and bool(bases)
    size = min(_SEARCH_BLOCK, int(memory * _BLOCK_SHARE)) if search else _BLOCK
    rows = size // (4 * (d + widest))
    return 1 << max(4, min(13, rows.bit_length() - 1))


def _block_bytes(block_rows, d, bases):
    widest = max((basis.k for basis in bases), default=1)
    return block_rows * (16 * d + 4 * widest + 64) + 64 * (d + 1) * 8 + _CANDIDATES + 24 * widest + (12 << 16)


def reading_seconds(nbytes):
    """Estimate the seconds that reading so many decoded bytes takes."""
    return nbytes / _READING


def time_class(seconds):
    """Say roughly how long so many seconds are."""
    return next((name for limit, name in _TIME_CLASSES if seconds < limit), "days")
