"""Sets of basis vectors: norms, Gram–Schmidt, and the cosines and sines between pairs.

Every sum is the pinned dot and every other product is rounded before it is subtracted, so the bytes depend
neither on the CPU nor on how the rows are divided among threads. Loops run over tiles of the second vector
only for the sake of the cache: no result depends on the tile.
"""

import numpy as np

from srmfast.kernels._jit import jit
from srmfast.kernels.rows import pinned_dot

_TILE = 16
_ORTHOGONAL = 1e-12  # |g| below this is the rounding error of an orthogonal pair
_PARALLEL = 1e-6  # s below this: the pair spans no plane


@jit
def row_norms(
    rows,  # (k, d) float64
    norms,  # (k,) float64, written
):
    """Write the norm of every row."""
    for i in range(rows.shape[0]):
        norms[i] = np.sqrt(pinned_dot(rows[i], rows[i]))


@jit
def project_out(
    rows,  # (m, d) float64, updated
    frame,  # (f, d) float64, orthonormal
    start,
    stop,
):
    """Subtract from the rows start … stop−1 their parts along every vector of the frame, in its order."""
    d = rows.shape[1]
    for j in range(frame.shape[0]):
        q = frame[j]
        for i in range(start, stop):
            row = rows[i]
            c = pinned_dot(row, q)
            for column in range(d):
                row[column] -= c * q[column]


@jit
def orthonormalise(
    rows,  # (m, d) float64, m ≤ d, updated
):
    """Make the rows orthonormal, each against those before it, in one pass of Gram–Schmidt."""
    m, d = rows.shape
    for i in range(m):
        project_out(rows, rows[:i], i, i + 1)
        norm = np.sqrt(pinned_dot(rows[i], rows[i]))
        for column in range(d):
            rows[i, column] /= norm


@jit
def cosines(
    basis,  # (k, d) float64, unit rows
    start,
    stop,
    g,  # (k, k) float64, written at (i, j) and (j, i) for i in start … stop−1, j ≥ i
):
    """Write g = b_i·b_j, exactly 0 where it is only the rounding error of an orthogonal pair."""
    k = basis.shape[0]
    for first in range(start - start % _TILE, k, _TILE):
        for i in range(start, stop):
            for j in range(max(first, i), min(first + _TILE, k)):
                cosine = pinned_dot(basis[i], basis[j])
                if abs(cosine) < _ORTHOGONAL:
                    cosine = 0.0
                g[i, j] = cosine
                g[j, i] = cosine


@jit
def sines(
    basis,  # (k, d) float64, unit rows
    g,  # (k, k) float64
    start,
    stop,
    s,  # (k, k) float64, rows start … stop−1 written
):
    """Write s = ‖b_j − g·b_i‖: exactly 1 where g is 0, exactly 0 for a parallel pair and on the diagonal."""
    k, d = basis.shape
    residual = np.empty(d)
    for first in range(0, k, _TILE):
        for i in range(start, stop):
            for j in range(first, min(first + _TILE, k)):
                cosine = g[i, j]
                if i == j:
                    s[i, j] = 0.0
                elif cosine == 0.0:
                    s[i, j] = 1.0
                else:
                    for column in range(d):
                        residual[column] = basis[j, column] - cosine * basis[i, column]
                    sine = np.sqrt(pinned_dot(residual, residual))
                    s[i, j] = sine if sine >= _PARALLEL else 0.0
