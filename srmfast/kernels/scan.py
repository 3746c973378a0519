"""Screen every pair of vectors on many rows at a time, in float32; README.md has the bound that loses nothing."""

import numpy as np

from srmfast.kernels._jit import jit, jit_screen
from srmfast.kernels.count import SMALL_NORM
from srmfast.kernels.decode import USED
from srmfast.kernels.pairs import LISTED, SINGLE, geometry, wander

STRIP = 256  # values screened at once: those of a strip without passers are not looked at again
SHRINK = 1.0 - 16.0 * SINGLE  # rounding of squares and their sum
_TILE = 32  # rows


@jit
def select_coordinates(rows, norms, fate, columns, signs, out):
    """Fill `out` (k, n) float32 with x·b_i/‖x‖ for a basis of ±unit vectors.

    Parameters
    ----------
    rows : (n, d) float32 or float64
    norms, fate : (n,) float64, (n,) uint8
        Rows whose fate is not USED give zeros.
    columns, signs : (k,) int64, (k,) float64
        b_i is signs[i] times the unit vector of columns[i].
    out : (k, n) float32, filled
    """
    inverse = np.empty(rows.shape[0])
    for r in range(rows.shape[0]):
        inverse[r] = 1.0 / norms[r] if fate[r] == USED else 0.0
    # Tiles of rows, so that the strided reads of a column find the lines of the tile in the cache.
    for start in range(0, rows.shape[0], _TILE):
        stop = min(start + _TILE, rows.shape[0])
        for i in range(columns.shape[0]):
            column, sign = columns[i], signs[i]
            for r in range(start, stop):
                out[i, r] = (
                    np.float32(sign * np.float64(rows[r, column]) * inverse[r]) if fate[r] == USED else np.float32(0.0)
                )


@jit
def scale_columns(norms, coordinates):
    """Divide products x·b_i, `coordinates` (k, n) float32, by norms (n,) float64 that have a float32 reciprocal."""
    inverse = np.empty(norms.shape[0], np.float32)
    for r in range(norms.shape[0]):
        inverse[r] = 1.0 / norms[r]
    for i in range(coordinates.shape[0]):
        for r in range(norms.shape[0]):
            coordinates[i, r] *= inverse[r]


@jit
def scale_rows(norms, coordinates):
    """Divide products x·b_i, `coordinates` (n, k) float32, likewise."""
    for r in range(norms.shape[0]):
        inverse = np.float32(1.0 / norms[r])
        for i in range(coordinates.shape[1]):
            coordinates[r, i] *= inverse


@jit_screen
def _pass_orthogonal(u, w, floor):
    passers = 0
    for r in range(u.shape[0]):
        passers += u[r] * u[r] + w[r] * w[r] >= floor
    return passers


@jit_screen
def _pass_oblique(u, w, g, inverse, floor):
    passers = 0
    for r in range(u.shape[0]):
        v = (w[r] - g * u[r]) * inverse
        passers += u[r] * u[r] + v * v >= floor
    return passers


@jit_screen
def _gather(u, w, g, inverse, floor, start, row, m):
    """Append the rows that pass the screen, without a branch; `row` has one entry to spare."""
    for r in range(u.shape[0]):
        v = (w[r] - g * u[r]) * inverse
        row[m] = start + r
        m += u[r] * u[r] + v * v >= floor
    return m


@jit
def screen_floor(epsilon, error):
    """Smallest float32 r² that a row inside some cone can show, −1 when the screen could lose one.

    Parameters
    ----------
    epsilon : float64
        The smallest epsilon asked for.
    error : float64
        From `wander`.
    """
    reach = epsilon - error - 8.0 * SINGLE
    return np.float32(reach * reach * SHRINK) if reach > 0.0 else np.float32(-1.0)


@jit
def is_parallel(frame, i, j):
    """Say whether vectors i and j are parallel, from the list of such pairs."""
    for at in range(frame.parallel_first[i], frame.parallel_first[i + 1]):
        if frame.parallel[at] == j:
            return True
    return False


@jit
def scan(coordinates, block, frame, pairs, smallest, low, high, candidates, state):
    """Append the candidates of every pair.

    Parameters
    ----------
    coordinates : (k, n) float32
        x·b_i/‖x‖, off by at most frame.delta for used rows, 0 for others.
    block, frame, pairs : Block, Frame, Pairs
    smallest : float64
        Smallest epsilon.
    low, high : int
        Only pairs whose larger vector lies in this range.
    candidates : Candidates, filled
    state : (4,) int64, updated
        Next vector or listed pair, next partner, next row, candidates filled. Zeros to begin with.

    Returns
    -------
    bool
        False when `candidates` is too full to go on: call again once it is emptied.
    """
    k, n = coordinates.shape
    for r in range(n):
        if block.fate[r] == USED and block.norms[r] < SMALL_NORM:
            smallest = -1.0  # its float32 coordinates are not bounded: let the whole block pass
    listed = pairs.numbering == LISTED
    room, filled = candidates.row.shape[0], state[3]
    item, partner, begin = state[0], state[1], state[2]
    items = pairs.first.shape[0] if listed else k
    while item < items:
        last = 1 if listed else high
        if not listed and partner == 0:
            partner = max(item + 1, low)
        while partner < last:
            i, j, pair = item, partner, -1
            if listed:
                i, j, pair = np.int64(pairs.first[item]), np.int64(pairs.second[item]), item
                if j < low or j >= high:
                    break
            partner += 1
            g, s = 0.0, 1.0
            if frame.orthogonal:
                if is_parallel(frame, i, j):
                    continue
            else:
                g, s, _ = geometry(frame, pairs, i, j, pair)
                if s == 0.0:
                    continue
            floor = screen_floor(smallest, wander(frame.delta, g, s))
            g_single, inverse = np.float32(g), np.float32(1.0 / s)
            for start in range(begin, n, STRIP):
                if filled + STRIP >= room:
                    state[0], state[1], state[2], state[3] = item, partner - 1, start, filled
                    return False
                u, w = coordinates[i, start : start + STRIP], coordinates[j, start : start + STRIP]
                m = filled
                if floor > 0.0:
                    # Rows that are not used have zero coordinates and do not pass.
                    if g == 0.0:
                        passing = _pass_orthogonal(u, w, floor)
                    else:
                        passing = _pass_oblique(u, w, g_single, inverse, floor)
                    if passing:
                        m = _gather(u, w, g_single, inverse, floor, start, candidates.row, m)
                else:
                    for r in range(start, min(start + STRIP, n)):
                        candidates.row[m] = r
                        m += block.fate[r] == USED
                for c in range(filled, m):
                    candidates.first[c], candidates.second[c], candidates.pair[c] = i, j, pair
                    candidates.cosine[c] = g_single
                filled = m
            begin = 0
        item, partner = item + 1, 0
    state[0], state[1], state[2], state[3] = item, 0, 0, filled
    return True
