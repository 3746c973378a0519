"""The plan of a run: block sizes, threads and how planes are kept, from the sizes and the memory budget alone."""

from dataclasses import dataclass

from srmfast.errors import InputError
from srmfast.spec import format_bytes
from srmfast.tally import FOLDS

_SLAB = 16 << 20  # bytes of one read, when chunks and memory allow it
_SLAB_SHARE = 1 / 32  # of the memory, for one read
_READ_SHARE = 0.5  # of the memory, for all reads
_BLOCK = 1 << 20  # bytes of one block of decoded rows and coordinates: they should stay in cache
_DECODE_COPIES = {"zarr": 2}  # a codec holds the chunk a second time while it decodes
_DENSE_SHARE = 0.2  # of the memory, for the counts of planes kept in full, all results of a run together
HIT_SHARE = 0.125  # of the memory, for the difference arrays of planes kept by hit, all results together
_EVENT_BYTES = 24 << 18
_LISTED_BYTES = 100  # a listed plane: its pair, its partner lists and what sorting them takes
_READING = 1.0e9  # bytes a second of a compressed local store on one core: for the time class only
_TIME_CLASSES = (
    (2, "seconds"),
    (60, "under a minute"),
    (600, "minutes"),
    (3600, "under an hour"),
    (86400, "hours"),
)


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
    parts : tuple of (str, int)
        What memory is for, and how many bytes.
    """

    slab_rows: int
    slabs: int
    readers: int
    threads: int
    block_rows: int
    modes: tuple
    parts: tuple

    @property
    def nbytes(self):
        """Bytes that the run adds to the process at its peak."""
        return sum(size for _, size in self.parts)


def make_plan(*, n, d, itemsize, format, unit_rows, readers, bases, c, e, a, keep, resources, columns=0, stores=1):
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
    bases : sequence of (k, slots, selection, listed)
        Vectors and plane numbers of each basis, whether it is made of ±unit vectors, and how many planes are listed.
    c, e, a : int
        Labels, epsilons and angles.
    keep : str
        The planes that stay in the result.
    resources : Resources
    columns : int
        Bytes of masks, labels, groups and samples.
    stores : int
        Stores of the run: the results of all are held to its end.

    Returns
    -------
    Plan

    Raises
    ------
    InputError
        When the memory cannot hold even one thread's share, with the arithmetic.
    """
    threads = resources.threads
    block_rows = min(resources.block_rows or _block_rows(d, bases), n)
    row = d * itemsize
    slab_rows = max(unit_rows, int(min(_SLAB, resources.memory * _SLAB_SHARE) // row) // unit_rows * unit_rows)
    if unit_rows == 1:
        slab_rows = max(1, slab_rows // block_rows) * block_rows  # whole blocks
    slab_rows = min(slab_rows, n)
    copies = _DECODE_COPIES.get(format, 1)
    readers = max(1, min(readers, threads // 2))  # reading and decoding share the cores with counting
    slabs = min(
        readers + 2, -(-n // slab_rows), max(2, int(resources.memory * _READ_SHARE // (slab_rows * row * copies)))
    )
    planes = [_plane_bytes(c, e, slots, a) for _, slots, _, _ in bases]
    modes = _modes(keep, planes, resources.memory * _DENSE_SHARE / stores)
    dense = sum(size for size, mode in zip(planes, modes, strict=True) if mode == "dense")
    threads = max(1, min(threads, int(resources.memory * _READ_SHARE) // max(dense // 2, 1)))
    hits = modes.count("hits")
    parts = (
        (f"{slabs} reads of {slab_rows:,} rows", slabs * slab_rows * row * copies),
        (f"{threads} blocks of {block_rows:,} rows", threads * _block_bytes(block_rows, d, bases)),
        (f"totals of {threads} threads", threads * len(bases) * 2 * FOLDS * c * e * (a + 1) * 8),
        # While counting, each thread holds int32 accumulators; afterwards the result is held up to three times over:
        # counts, a part of them or their shares, and these sorted.
        (f"planes of {threads} threads or the result", dense * max(threads, 6) // 2),
        ("results of other stores", dense * (stores - 1)),
        (
            "planes that are hit, and their events",
            int(bool(hits) * resources.memory * HIT_SHARE) + threads * hits * _EVENT_BYTES,
        ),
        ("lists of planes", sum(_LISTED_BYTES * listed for *_, listed in bases)),
        ("geometry of the bases", sum(k * d * 12 + (0 if selection else 16 * k * k) for k, _, selection, _ in bases)),
        ("labels, groups and masks", columns),
    )
    plan = Plan(slab_rows, slabs, readers, threads, block_rows, modes, parts)
    if plan.nbytes > resources.memory:
        arithmetic = " + ".join(f"{format_bytes(size)} ({what})" for what, size in parts if size)
        raise InputError(
            f"the run must fit into memory, but needs {format_bytes(plan.nbytes)} = {arithmetic} "
            f"of {format_bytes(resources.memory)} left beside the process; raise --memory by "
            f"{format_bytes(plan.nbytes - resources.memory)}, or use --keep hit, fewer planes, labels or epsilons"
        )
    return plan


def _plane_bytes(c, e, slots, a):
    """Bytes of the int64 counts of every plane; one thread's int32 accumulators are half of it."""
    return c * e * slots * (a + 1) * 8


def _modes(keep, planes, share):
    """Return how the planes of each basis are kept; `auto` and `hit` keep all in memory while their share lasts."""
    modes = []
    for size in planes:
        if keep == "summary":
            modes.append("none")
        elif keep == "all" or size <= share:
            modes.append("dense")
            share -= size
        else:
            modes.append("hits")
    return tuple(modes)


def _block_rows(d, bases):
    widest = max((k for k, *_ in bases), default=1)
    rows = _BLOCK // max(4 * d, 12 * widest)
    return 1 << max(4, min(12, rows.bit_length() - 1))


def _block_bytes(block_rows, d, bases):
    vectors = sum(12 * k for k, *_ in bases)
    return block_rows * (16 * d + vectors + 64) + 64 * (d + 1) * 8


def time_class(nbytes):
    """Say roughly how long reading so many decoded bytes takes."""
    seconds = nbytes / _READING
    return next((name for limit, name in _TIME_CLASSES if seconds < limit), "days")
