"""Rows in other coordinates: the pinned dot of each with each of d vectors, a few rows at a time for the cache."""

from srmfast.kernels._jit import jit
from srmfast.kernels.dots import four_dots
from srmfast.kernels.rows import pinned_dot

ROWS = 64  # changed together


@jit
def change_rows(rows, vectors, room, out):
    """Write the pinned dots of rows with vectors.

    Parameters
    ----------
    rows : (n, d) float64
    vectors : (m, d) float64
    room : (m + 64, d) float64, overwritten
    out : (n, m) float64, filled
    """
    m = vectors.shape[0]
    room[:m] = vectors
    for start in range(0, rows.shape[0], ROWS):
        n = min(ROWS, rows.shape[0] - start)
        room[m : m + n] = rows[start : start + n]
        for i in range(0, m - 1, 2):
            for r in range(0, n - 1, 2):
                at = start + r
                out[at, i], out[at + 1, i], out[at, i + 1], out[at + 1, i + 1] = four_dots(room, i, m + r)
            if n % 2:
                out[start + n - 1, i] = pinned_dot(vectors[i], rows[start + n - 1])
                out[start + n - 1, i + 1] = pinned_dot(vectors[i + 1], rows[start + n - 1])
        if m % 2:
            for r in range(n):
                out[start + r, m - 1] = pinned_dot(vectors[m - 1], rows[start + r])
