"""Which rows lie inside the cones of the basis vectors themselves and of their opposites."""

import numpy as np

from srmfast.kernels._jit import jit, jit_screen
from srmfast.kernels.count import SMALL_NORM
from srmfast.kernels.decode import USED
from srmfast.kernels.pairs import SINGLE
from srmfast.kernels.rows import pinned_dot

_STRIP = 256  # rows screened at once


@jit_screen
def _reaching(along, floor):
    reaching = 0
    for r in range(along.shape[0]):
        reaching += abs(along[r]) >= floor
    return reaching


@jit
def members(coordinates, block, frame, epsilon, first, codes, inside, counts, noted, hits, state):
    """Count the rows inside the cone of each vector b_i and of −b_i, and those of each class among them.

    Parameters
    ----------
    coordinates : (k, n) float32
        x·b_i/‖x‖, off by at most frame.delta for used rows.
    block, frame : Block, Frame
    epsilon : float64
        Above 0; a row is inside when x·b_i ≥ ε‖x‖, the line of the definition at θ = 0 in any plane through b_i.
    first, codes : (n + 1,) int64, (·,) int32
        Row r is of the classes codes[first[r] : first[r + 1]].
    inside : (64, 2k) int64, updated
        Rows of each fold inside the cone of vector i at 2i, and of its opposite at 2i + 1.
    counts : (64, c, 2k) int64, updated
        The same for each class.
    noted : (n,) int64
        Number of a row whose memberships are to be listed, −1 for others.
    hits : (room, 2) int64, filled
        Numbers of rows and the cones they are in.
    state : (2,) int64, updated
        Next vector and hits filled. Zeros to begin with.

    Returns
    -------
    bool
        False when `hits` is too full to go on: call again once it is emptied.
    """
    k, n = coordinates.shape
    floor = epsilon - frame.delta - 8.0 * SINGLE
    sure = epsilon + frame.delta + 8.0 * SINGLE
    for r in range(n):
        if block.fate[r] == USED and block.norms[r] < SMALL_NORM:
            floor, sure = 0.0, np.inf  # its float32 coordinates are not bounded
    filled = state[1]
    for i in range(state[0], k):
        if filled + n > hits.shape[0]:
            state[0], state[1] = i, filled
            return False
        for start in range(0, n, _STRIP):
            stop = min(start + _STRIP, n)
            if not _reaching(coordinates[i, start:stop], np.float32(floor)):
                continue
            for r in range(start, stop):
                along = np.float64(coordinates[i, r])
                if block.fate[r] != USED or abs(along) < floor:
                    continue
                if abs(along) < sure:
                    if frame.columns.shape[0]:
                        along = frame.signs[i] * np.float64(block.rows[r, frame.columns[i]])
                    else:
                        along = pinned_dot(block.rows[r], frame.vectors[i])
                    if abs(along) < epsilon * block.norms[r]:
                        continue
                cone, fold = 2 * i + (1 if along < 0.0 else 0), block.folds[r]
                inside[fold, cone] += 1
                for at in range(first[r], first[r + 1]):
                    counts[fold, codes[at], cone] += 1
                if noted[r] >= 0:
                    hits[filled, 0], hits[filled, 1] = noted[r], cone
                    filled += 1
    state[0], state[1] = k, filled
    return True
