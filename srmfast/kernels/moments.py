"""Sums over the aligned binary tree of absolute row numbers: the same bits for any blocks, threads or shards.

A node (level, index) holds the sum over rows index·2^level … (index + 1)·2^level − 1; it is the sum of its two
halves, and rows that are left out add zero. Any interval of rows is a handful of whole nodes.
"""

import numpy as np

from srmfast.kernels._jit import jit
from srmfast.kernels.decode import QUAD, USED, judge, square_of_one, squares_of_four


@jit
def measure_and_sum(raw, rows, place, norms, fate, scratch, out):
    """Measure the rows of one aligned interval of 2^level rows and sum them, reading each value once.

    Parameters
    ----------
    raw : (n, d) stored values, as `rows.py` names them
    rows : (n, d) float32, filled as by `measure`; or None
    place : (2^level,) int64
        Which row stands at each position of the interval, −1 for none.
    norms, fate : (n,) float64, (n,) uint8, filled as by `measure`
        Rows whose fate is not USED add zero.
    scratch : (level + 2, d + 1) float64, overwritten
    out : (d + 1,) float64, filled
        Sum of the rows, then the sum of their squared norms.
    """
    d = raw.shape[1]
    squares = np.empty(QUAD)
    depth = 0  # nodes waiting on the stack for their right-hand sibling
    position = 0
    while position < place.shape[0]:
        node = scratch[depth]
        r = place[position]
        whole = _side_by_side(place, position)
        if whole:
            half = scratch[depth + 1]
            squares_of_four(raw, r, rows, None, half, squares)
            for step in range(QUAD):
                judge(r + step, squares[step], norms, fate)
            squares_of_four(raw, r + QUAD, rows, half, node, squares)
            for step in range(QUAD):
                judge(r + QUAD + step, squares[step], norms, fate)
            for step in range(2 * QUAD):
                whole = whole and fate[r + step] == USED
        if whole:
            node[d] = ((norms[r] ** 2 + norms[r + 1] ** 2) + (norms[r + 2] ** 2 + norms[r + 3] ** 2)) + (
                (norms[r + 4] ** 2 + norms[r + 5] ** 2) + (norms[r + 6] ** 2 + norms[r + 7] ** 2)
            )
            position += 2 * QUAD
            depth = _merge(scratch, depth, position // (2 * QUAD))
            continue
        # An octet in which something is left out; what is not there adds zero, one row at a time.
        stop = min(position - position % (2 * QUAD) + 2 * QUAD, place.shape[0])
        for at in range(position, stop):
            node, r = scratch[depth], place[at]
            if r >= 0:
                judge(r, square_of_one(raw, r, rows, node), norms, fate)
            if r >= 0 and fate[r] == USED:
                node[d] = norms[r] ** 2
            else:
                node[:] = 0.0
            depth = _merge(scratch, depth, at + 1)
        position = stop
    out[:] = scratch[0]


@jit
def _merge(scratch, depth, done):
    """Add finished nodes in pairs, `done` of the smallest ones being there; return the depth of the stack."""
    while done % 2 == 0:
        left, right = scratch[depth - 1], scratch[depth]
        for c in range(left.shape[0]):
            left[c] += right[c]
        depth -= 1
        done //= 2
    return depth + 1


@jit
def _side_by_side(place, position):
    """Whether the eight rows of one node stand here, side by side."""
    if position % (2 * QUAD) or position + 2 * QUAD > place.shape[0] or place[position] < 0:
        return False
    for step in range(2 * QUAD):
        if place[position + step] != place[position] + step:
            return False
    return True
