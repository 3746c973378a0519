"""Sums over the aligned binary tree of absolute row numbers: the same bits for any blocks, threads or shards.

A node (level, index) holds the sum over rows index·2^level … (index + 1)·2^level − 1; it is the sum of its two
halves, and rows that are left out add zero. Any interval of rows is a handful of whole nodes.
"""

import numpy as np

from srmfast.kernels._jit import jit
from srmfast.kernels.decode import USED


@jit
def tree_sum(rows, place, norms, fate, scratch, out):
    """Sum the rows of one aligned interval of 2^level rows.

    Parameters
    ----------
    rows : (n, d) float32 or float64
    place : (2^level,) int64
        Which row of `rows` stands at each position of the interval, −1 for none.
    norms, fate : (n,) float64, (n,) uint8
        Rows whose fate is not USED add zero.
    scratch : (level + 1, d + 1) float64, overwritten
    out : (d + 1,) float64, filled
        Sum of the rows, then the sum of their squared norms.
    """
    d = rows.shape[1]
    depth = 0  # nodes waiting on the stack for their right-hand sibling
    position = 0
    while position < place.shape[0]:
        node = scratch[depth]
        r = place[position]
        if _whole(place, fate, position):
            for c in range(d):
                node[c] = (
                    (np.float64(rows[r, c]) + np.float64(rows[r + 1, c]))
                    + (np.float64(rows[r + 2, c]) + np.float64(rows[r + 3, c]))
                ) + (
                    (np.float64(rows[r + 4, c]) + np.float64(rows[r + 5, c]))
                    + (np.float64(rows[r + 6, c]) + np.float64(rows[r + 7, c]))
                )
            node[d] = ((norms[r] ** 2 + norms[r + 1] ** 2) + (norms[r + 2] ** 2 + norms[r + 3] ** 2)) + (
                (norms[r + 4] ** 2 + norms[r + 5] ** 2) + (norms[r + 6] ** 2 + norms[r + 7] ** 2)
            )
            position += 8
            done = position // 8
        else:
            if r >= 0 and fate[r] == USED:
                for c in range(d):
                    node[c] = np.float64(rows[r, c])
                node[d] = norms[r] ** 2
            else:
                node[:] = 0.0
            position += 1
            done = position
        while done % 2 == 0:
            left, right = scratch[depth - 1], scratch[depth]
            for c in range(d + 1):
                left[c] += right[c]
            depth -= 1
            done //= 2
        depth += 1
    out[:] = scratch[0]


@jit
def _whole(place, fate, position):
    """Whether a node of eight rows starts here, all of them used and side by side."""
    if position % 8 or position + 8 > place.shape[0]:
        return False
    r = place[position]
    if r < 0:
        return False
    for step in range(8):
        if place[position + step] != r + step or fate[r + step] != USED:
            return False
    return True
