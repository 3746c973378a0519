"""Which unit vectors lie near to each other: products in float32 propose pairs, the pinned dot decides.

A basis of 24,576 vectors has 302 million pairs: too many for matrices, and for the pinned dot as well. A BLAS
product of tiles in float32 is many times as fast, but its last bits differ by CPU and by the number of threads: it
only says which few pairs need the exact value.

**The bound.** Let x, y be unit vectors, up to 1e-9, and u = 2⁻²⁴. Rounding their entries to float32 moves x·y by at
most (2u + u²)·Σ|x_c y_c|, and Σ|x_c y_c| ≤ ‖x‖‖y‖. Summing d products in any order, fused or not, adds at most
du/(1 − du)·(1 + u)²·‖x‖‖y‖. The pinned dot is off by d·2⁻⁵³, and products below 2⁻¹²⁶ by as much. Together that is
less than (d + 3)u/(1 − du); `screen_error` has (d + 8), so that thresholds may be rounded to float32, too.
"""

import queue
import threading
from contextlib import suppress

import numpy as np

from srmfast.errors import InputError
from srmfast.threads import cores, each

WORKING = 64 << 20  # bytes of the tiles of all threads
MOST_PARALLEL = 1 << 24  # pairs that are listed without asking whether something is wrong with the basis
_SINGLE = 2.0**-24  # unit round-off of float32
_NEARLY = 1e-9  # a parallel pair, s < 1e-6, has |g| > 1 − 1e-9: 1 − g² ≤ s² up to what the norms are off
_FACTOR = 2e-6  # g ≥ g_max − 1.82e-6 where the angle is at most (1 + 1e-6) of the smallest: max θ·sin θ = 1.82
_CHUNK = 1 << 16  # elements of a tile looked at together: they stay in cache
_BITE = 1 << 12  # pairs handed on together: where whole clusters of vectors are close, a tile is full of them
_SIZES = (2048, 1024, 512, 256, 128, 64)


def screen_error(d):
    """Return the bound on |float32 product − pinned dot| of two unit vectors of width d, whatever the BLAS."""
    return (d + 8) * _SINGLE / (1.0 - d * _SINGLE)


def tile_plan(d, threads=None):
    """Return the vectors of one side of a tile, the threads at work and the bytes that all of them hold."""
    threads = threads or cores()
    fitting = (size for size in _SIZES if threads * _tile_bytes(size, d) <= WORKING)
    size = next(fitting, _SIZES[-1])
    threads = max(1, min(threads, WORKING // _tile_bytes(size, d)))
    return size, threads, threads * _tile_bytes(size, d)


def _tile_bytes(size, d):
    return 4 * size * (2 * d + size) + 13 * _CHUNK + 100 * _BITE


def each_tile(vectors, work):
    """Call `work(i, j, tile)` for every tile of float32 products on or above the diagonal, on all cores.

    Parameters
    ----------
    vectors : ndarray, (k, d) float64
    work : callable
        Given the numbers i ≤ j of the first vectors of both sides and their products, (≤size, ≤size) float32. Tiles
        come in any order and several at once.

    Notes
    -----
    Threads that BLAS has of its own are left alone: with them, the calls take turns; pinned to one, they run side by
    side.
    """
    k, d = vectors.shape
    size, threads, _ = tile_plan(d)
    starts = range(0, k, size)
    rooms = queue.SimpleQueue()
    for room in np.empty((threads, size * (2 * d + size)), np.float32):  # kept: what threads free, malloc keeps anyway
        rooms.put(room)

    def multiply(i, j):
        room = rooms.get()
        try:
            one = _copy(vectors[i : i + size], room)
            other = one if i == j else _copy(vectors[j : j + size], room[size * d :])
            tile = room[2 * size * d :][: len(one) * len(other)].reshape(len(one), len(other))
            work(i, j, np.matmul(one, other.T, out=tile))
        finally:
            rooms.put(room)

    each(multiply, [(i, j) for i in starts for j in starts if i <= j], threads=threads)


def _copy(rows, room):
    single = room[: rows.size].reshape(rows.shape)
    single[...] = rows
    return single


def parallel_pairs(vectors):
    """Find the pairs that span no plane.

    Parameters
    ----------
    vectors : ndarray, (k, d) float64

    Returns
    -------
    ndarray, (m, 2) int64
        i < j, in ascending order.

    Raises
    ------
    InputError
        More than 16 million of them.
    """
    found, level = _Found(MOST_PARALLEL), 1.0 - _NEARLY - screen_error(vectors.shape[1])

    def look(first, second, tile):
        for i, j, _ in _above(first, second, tile, level):
            gone = geometry_of(vectors, i, j)[1] == 0.0
            found.add(i[gone], j[gone])

    try:
        each_tile(vectors, look)
    except _TooMany:
        raise InputError(
            f"basis vectors must not repeat each other so often, but more than {MOST_PARALLEL:,} of their pairs are "
            "parallel; remove duplicates"
        ) from None
    return found.sorted(len(vectors))


def pairs_above(vectors, cut, most=None):
    """Find the pairs with |g| > cut, parallel ones among them.

    Parameters
    ----------
    vectors : ndarray, (k, d) float64
    cut : float
    most : int, optional

    Returns
    -------
    ndarray, (m, 2) int64, or None
        i < j, in ascending order; None when there are more than `most`.
    """
    found, error = _Found(most), screen_error(vectors.shape[1])

    def look(first, second, tile):
        for i, j, size in _above(first, second, tile, cut - error):
            sure = size > cut + error
            sure[~sure] = np.abs(geometry_of(vectors, i[~sure], j[~sure])[0]) > cut
            found.add(i[sure], j[sure])

    try:
        each_tile(vectors, look)
    except _TooMany:
        return None
    return found.sorted(len(vectors))


def count_above(vectors, ladder, most):
    """Count the pairs above each rung of a ladder of cosines, parallel ones among them.

    Parameters
    ----------
    vectors : ndarray, (k, d) float64
    ladder : ndarray, float64
        Ascending, farther apart than the screen errs.
    most : int
        Rungs that more pairs lie above are not counted to the end.

    Returns
    -------
    ndarray, int64
        Exact where it is at most `most`, otherwise some larger number.
    """
    error, lock = screen_error(vectors.shape[1]), threading.Lock()
    counts = np.zeros(ladder.size, np.int64)

    def look(first, second, tile):
        lowest = np.searchsorted(-counts, -most)  # counts fall along the ladder
        if lowest == ladder.size:
            raise _TooMany
        above = np.zeros(ladder.size + 1, np.int64)  # pairs above so many rungs
        for i, j, size in _above(first, second, tile, ladder[lowest] - error):
            rungs = np.searchsorted(ladder, size - error)
            near = np.flatnonzero(rungs != np.searchsorted(ladder, size + error))
            rungs[near] = np.searchsorted(ladder, np.abs(geometry_of(vectors, i[near], j[near])[0]))
            above += np.bincount(rungs, minlength=above.size)
        with lock:
            counts[lowest:] += np.cumsum(above[::-1])[::-1][1 + lowest :]

    with suppress(_TooMany):
        each_tile(vectors, look)
    return counts


def nearest_candidates(vectors, parallel):
    """Propose, for every vector, those at the smallest angle from it.

    Parameters
    ----------
    vectors : ndarray, (k, d) float64
    parallel : ndarray, (m, 2) int64
        All pairs that span no plane; they are passed over.

    Returns
    -------
    i, j : ndarray, (p,) int32
        Ordered pairs, among them every one whose exact angle is at most 1 + 1e-6 times the smallest from i.
    """
    k = len(vectors)
    margin = np.float32(2.0 * screen_error(vectors.shape[1]) + _FACTOR)
    best, lock, found = np.full(k, -2.0, np.float32), threading.Lock(), []
    size = tile_plan(vectors.shape[1])[0]
    tiles = -(-k // size)
    tile_of = parallel[:, 0] // size * tiles + parallel[:, 1] // size
    masked = parallel[np.argsort(tile_of, kind="stable")]
    ends = np.searchsorted(np.sort(tile_of), np.arange(tiles * tiles + 1))

    def look(first, second, tile):
        at = first // size * tiles + second // size
        i, j = (masked[ends[at] : ends[at + 1]] - (first, second)).T
        tile[i, j] = -2.0
        if first == second:
            tile[j, i] = -2.0
            np.fill_diagonal(tile, -2.0)
        sides = ((1, first),) if first == second else ((1, first), (0, second))
        floors = []
        for axis, start in sides:
            top = tile.max(axis=axis)
            with lock:
                mine = best[start : start + top.size]
                np.maximum(mine, top, out=mine)
                floors.append(np.maximum(mine - margin, np.float32(-1.5)))
        for row, chunk in _chunks(tile):
            for (axis, _), floor in zip(sides, floors, strict=True):
                at = np.flatnonzero(chunk >= (floor[row : row + len(chunk), None] if axis else floor))
                if at.size:
                    i, j = np.divmod(at, chunk.shape[1])
                    value = chunk[i, j]
                    i, j = (i + first + row).astype(np.int32), (j + second).astype(np.int32)
                    found.append((i, j, value) if axis else (j, i, value))

    each_tile(vectors, look)
    i, j, value = (np.concatenate(parts) for parts in zip(*found, strict=True))
    near = value >= best[i] - margin
    return i[near], j[near]


def geometry_of(vectors, i, j):
    """Return g, s, s_back of pairs of vectors, (p,) float64 each, on this thread."""
    from srmfast.kernels.frames import pairs

    g, s, s_back = np.empty((3, len(i)))
    pairs(vectors, i, j, g, s, s_back)
    return g, s, s_back


def _chunks(tile):
    """Yield the first row and the rows of pieces of a tile that stay in cache."""
    rows = max(1, _CHUNK // tile.shape[1])
    for start in range(0, len(tile), rows):
        yield start, tile[start : start + rows]


def _above(first, second, tile, level):
    """Yield i, j and |value| of the pairs of a tile, i < j, whose |value| exceeds a level."""
    level = np.float32(level)
    for row, chunk in _chunks(tile):
        size = np.abs(chunk).ravel()
        at = np.flatnonzero(size > level)
        for bite in range(0, at.size, _BITE):
            some = at[bite : bite + _BITE]
            i, j = np.divmod(some, tile.shape[1])
            i += first + row
            j += second
            if first == second:
                ordered = i < j
                i, j, some = i[ordered], j[ordered], some[ordered]
            yield i, j, size[some]


class _TooMany(Exception):
    """More pairs were found than are wanted."""


class _Found:
    """Pairs that several threads find."""

    def __init__(self, most):
        self._most, self._count, self._parts, self._lock = most, 0, [], threading.Lock()

    def add(self, i, j):
        with self._lock:
            self._count += i.size
            if self._most is not None and self._count > self._most:
                raise _TooMany
            if i.size:
                self._parts.append(np.stack([i, j], axis=1).astype(np.int32))

    def sorted(self, k):
        pairs = np.concatenate([np.empty((0, 2), np.int32), *self._parts])
        self._parts.clear()
        return np.stack(np.divmod(np.sort(pairs[:, 0].astype(np.int64) * k + pairs[:, 1]), k), axis=1)
