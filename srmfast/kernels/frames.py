"""Sets of basis vectors: norms, Gram–Schmidt, and the cosines and sines between pairs.

Every sum is the pinned dot and every other product is rounded before it is subtracted, so the bytes depend
neither on the CPU nor on how the rows are divided among threads. A pair has the same bits alone, in a list and
in the matrices. Loops run over tiles of the second vector only for the sake of the cache.
"""

import numpy as np

from srmfast.kernels._jit import jit
from srmfast.kernels.dots import four_dots, squared_residuals
from srmfast.kernels.rows import pinned_dot

_TILE = 16
_ORTHOGONAL = 1e-12  # |g| below this is the rounding error of an orthogonal pair
_DEPENDENT = 1e-12  # share of a variance that is left, below which it is rounding
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
def root_of(
    matrix,  # (d, d) float64, symmetric and not negative
    root,  # (d, d) float64, written: lower triangular
):
    """Write a lower triangle whose product with its transpose is the matrix (Cholesky); what depends on others adds nothing."""
    d = matrix.shape[0]
    root[:] = 0.0
    for j in range(d):
        left = matrix[j, j] - pinned_dot(root[j], root[j])
        if not left > _DEPENDENT * matrix[j, j]:
            continue
        root[j, j] = np.sqrt(left)
        for i in range(j + 1, d):
            root[i, j] = (matrix[i, j] - pinned_dot(root[i], root[j])) / root[j, j]


@jit
def cosine_and_sines(b_i, b_j):
    """Geometry of two unit vectors.

    Parameters
    ----------
    b_i, b_j : (d,) float64, contiguous

    Returns
    -------
    g : float64
        b_i·b_j, exactly 0 where it is only the rounding error of an orthogonal pair.
    s, s_back : float64
        ‖b_j − g·b_i‖ and ‖b_i − g·b_j‖; exactly 1 where g is 0, both exactly 0 for a parallel pair.
    """
    return _finish(b_i, b_j, pinned_dot(b_i, b_j))


@jit
def _finish(b_i, b_j, cosine):
    """Return g, s, s_back from the pinned dot of two vectors."""
    if abs(cosine) < _ORTHOGONAL:
        return 0.0, 1.0, 1.0
    square, square_back = squared_residuals(b_i, b_j, cosine)
    s, s_back = np.sqrt(square), np.sqrt(square_back)
    if s < _PARALLEL or s_back < _PARALLEL:  # they differ in the last bit; a pair is parallel both ways or neither
        return cosine, 0.0, 0.0
    return cosine, s, s_back


@jit
def pairs(
    basis,  # (k, d) float64, unit rows
    i,  # (p,) integers
    j,  # (p,) integers
    g,  # (p,) float64, written
    s,  # (p,) float64, written
    s_back,  # (p,) float64, written
):
    """Write `cosine_and_sines` of every pair of a list; a vector with itself counts as parallel."""
    for pair in range(i.shape[0]):
        g[pair], s[pair], s_back[pair] = cosine_and_sines(basis[i[pair]], basis[j[pair]])


@jit
def _square(basis, i, j, stop, last):
    """Return the dots of the vectors i, i + 1 and j, j + 1, NaN where i + 1 = stop or j + 1 = last."""
    if i + 1 < stop and j + 1 < last:
        return four_dots(basis, i, j)
    right = pinned_dot(basis[i], basis[j + 1]) if j + 1 < last else np.nan
    below = pinned_dot(basis[i + 1], basis[j]) if i + 1 < stop else np.nan
    return pinned_dot(basis[i], basis[j]), right, below, np.nan


@jit
def gram(
    basis,  # (k, d) float64, unit rows
    start,
    stop,
    g,  # (k, k) float64, written at (i, j) and (j, i) for i in start … stop−1, j ≥ i
    s,  # (k, k) float64, likewise
):
    """Write the geometry of the pairs whose first vector lies in a range; s is 0 on the diagonal."""
    k = basis.shape[0]
    for first in range(start, k, _TILE):
        last = min(first + _TILE, k)
        for i in range(start, stop, 2):
            for j in range(first, last, 2):
                if j + 1 < i:
                    continue
                dots = _square(basis, i, j, stop, last)
                for corner in range(4):
                    row, column = i + corner // 2, j + corner % 2
                    if row == column and row < stop:
                        g[row, row], s[row, row] = dots[corner], 0.0
                    elif row < column and row < stop and column < last:
                        g[row, column], s[row, column], s[column, row] = _finish(
                            basis[row], basis[column], dots[corner]
                        )
                        g[column, row] = g[row, column]


@jit
def parallels(
    basis,  # (k, d) float64, unit rows
    start,
    stop,
    found,  # (room, 2) int64, written
):
    """List the parallel pairs whose first vector lies in a range, as long as all others are orthogonal.

    Returns
    -------
    int
        How many there are, even when they are more than there is room for; −1 at the first pair that is oblique.
    """
    k, m = basis.shape[0], 0
    for first in range(start, k, _TILE):
        last = min(first + _TILE, k)
        for i in range(start, stop, 2):
            for j in range(first, last, 2):
                if j + 1 <= i:
                    continue
                dots = _square(basis, i, j, stop, last)
                for corner in range(4):
                    row, column = i + corner // 2, j + corner % 2
                    if row < column and abs(dots[corner]) >= _ORTHOGONAL:  # false where it is NaN
                        if _finish(basis[row], basis[column], dots[corner])[1] > 0.0:
                            return -1
                        if m < found.shape[0]:
                            found[m, 0], found[m, 1] = row, column
                        m += 1
    return m
