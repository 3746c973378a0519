"""What is known of a pair of vectors: its number, its angles, where a row lies in its plane and how surely."""

import math

import numpy as np

from srmfast.kernels._jit import jit, jit_inline
from srmfast.kernels.frames import cosine_and_sines
from srmfast.kernels.rows import pinned_dot

LISTED, PERMUTATIONS = 0, 1  # how planes are numbered, as in planes.py; otherwise combinations
SINGLE = 2.0**-24  # unit round-off of float32


@jit
def plane_number(i, j, k, numbering):
    """Number of the ordered plane (i, j) when planes are not listed; −1 when it is not among them."""
    if numbering == PERMUTATIONS:
        return i * (k - 1) + j - (1 if j > i else 0)
    return i * (2 * k - i - 1) // 2 + j - i - 1 if i < j else -1


@jit
def wander(delta, g, s):
    """Bound on the error of the point (u, v) of a plane when coordinates are off by `delta` (README.md)."""
    return math.sqrt(2.0) * max(delta, (delta + abs(g) * delta + 6.0 * SINGLE) / s)


@jit_inline
def oblique(delta, doubt, g):
    """Return 1/s and the bound of `wander` for both orders of a pair that is far from parallel, from g alone.

    `doubt` is the bound on the error of g.
    """
    inverse = 1.0 / math.sqrt(1.0 - g * g)
    return inverse, math.sqrt(2.0) * (
        delta + abs(g) * delta + 7.0 * SINGLE + 1.1 * doubt * (1.0 + abs(g) * inverse)
    ) * inverse


@jit
def geometry(frame, pairs, i, j, pair):
    """Return g, s of (i, j) and s of (j, i), from wherever they are held; they are computed where they are not."""
    if frame.orthogonal:
        return 0.0, 1.0, 1.0
    if pair >= 0:
        return pairs.g[pair], pairs.s[pair], pairs.s_back[pair]
    if frame.g.shape[0]:
        return frame.g[i, j], frame.s[i, j], frame.s[j, i]
    return cosine_and_sines(frame.vectors[i], frame.vectors[j])


@jit
def exact_point(rows, r, vectors, columns, signs, i, j, g, s):
    """Return (u, v) of row r in the plane (i, j), in float64 by the pinned dot, which for ±unit vectors has one term."""
    if columns.shape[0]:
        u = signs[i] * np.float64(rows[r, columns[i]])
        w = signs[j] * np.float64(rows[r, columns[j]])
    else:
        u, w = pinned_dot(rows[r], vectors[i]), pinned_dot(rows[r], vectors[j])
    return u, (w - g * u) / s
