"""Which vectors of a basis are one another's opposites: b and −b are the two poles of one direction."""

import numpy as np

_SAME = 1e-9  # entries of two unit vectors that differ by less are equal


def opposites(vectors):
    """Return where the opposite of each vector is, (k,) int64; −1 where there is none.

    Parameters
    ----------
    vectors : ndarray, (k, d) float64
        Unit vectors, all different.
    """
    k, d = vectors.shape
    # Opposites have opposite coordinates along anything: along one direction they are next to each other by magnitude.
    along = vectors @ np.cos(np.arange(d) * np.sqrt(2.0))
    order = np.argsort(np.abs(along), kind="stable")
    one, other = order[:-1], order[1:]
    pairs = np.abs(vectors[one] + vectors[other]).max(axis=1, initial=0.0) < _SAME
    found = np.full(k, -1, np.int64)
    found[one[pairs]], found[other[pairs]] = other[pairs], one[pairs]
    return found
