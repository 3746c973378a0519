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
    for position in range(place.shape[0]):
        r = place[position]
        node = scratch[depth]
        if r >= 0 and fate[r] == USED:
            for c in range(d):
                node[c] = np.float64(rows[r, c])
            node[d] = norms[r] * norms[r]
        else:
            node[:] = 0.0
        done = position + 1
        while done % 2 == 0:
            left = scratch[depth - 1]
            right = scratch[depth]
            for c in range(d + 1):
                left[c] += right[c]
            depth -= 1
            done //= 2
        depth += 1
    out[:] = scratch[0]
