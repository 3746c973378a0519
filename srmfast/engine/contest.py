"""How well vectors pick out classes, beside the vectors of random rotations of their basis."""

import math
from dataclasses import dataclass

import numpy as np

from srmfast.bases import random_frame
from srmfast.engine.planes_drawn import ROTATED, VECTORS, along_turned, along_vectors, frame_of, generator
from srmfast.kernels.frames import row_norms
from srmfast.kernels.scores import best_scores
from srmfast.threads import each

_ROWS = 4096  # drawn, at most
_VALUES = 1 << 22  # of these rows, at most
_SIDE = 1 << 30  # vectors² · d, at most


def sizes_of(rotations, n, d, k):
    """Return how much is drawn to compare k vectors of width d, on n rows, with rotations; None without any."""
    if not rotations:
        return None
    rows = min(n, _ROWS, max(64, _VALUES // d))
    return {"rotations": rotations, "rows": rows, "vectors": min(k, max(16, math.isqrt(_SIDE // d)))}


def nbytes_of(sizes, d, threads):
    """Return the bytes that this takes, roughly."""
    n, k = sizes["rows"], sizes["vectors"]
    return 8 * (3 * n * d + 2 * k * d + threads * (2 * k * n + 2 * k * d + n * d))


@dataclass(frozen=True)
class Contest:
    """The best cones of a basis and of its rotations; the arrays are variables of a `srmfast.selectivity.Neurons`.

    Attributes
    ----------
    null_f1 : ndarray, (1 + M, c, 2) float64
        Highest F1 of any cone for each class: at ε, and with a width of its own; first of the basis as it is.
    best_cone : ndarray, (c, 2) int64
        Which cone of the basis that is, 2i for vector i and 2i + 1 for its opposite, −1 for none.
    best_epsilon : ndarray, (c, 2) float64
        Cosine of its half-angle.
    about : dict
        How many rotations, and how many rows and vectors were drawn.
    """

    null_f1: np.ndarray
    best_cone: np.ndarray
    best_epsilon: np.ndarray
    about: dict


def contest(drawn, basis, classes, sizes, *, epsilon, seed, mean=None, threads=1):
    """Compare the best cones of a basis with those of its random rotations.

    Parameters
    ----------
    drawn : DrawnRows
        Rows as stored.
    basis : Basis
    classes : srmfast.engine.classes.Classes
    sizes : dict
        From `sizes_of`.
    epsilon : float
    seed : int
    mean : ndarray, (d,), optional
        What is subtracted from every row.
    threads : int

    Returns
    -------
    Contest
    """
    values = drawn.values if mean is None else drawn.values - mean
    norms = np.empty(len(values))
    row_norms(np.ascontiguousarray(values), norms)
    held = norms > 0
    values, norms, about = np.ascontiguousarray(values[held]), norms[held], drawn.about[held]
    first, codes = classes.lists(about[:, 0], np.ascontiguousarray(about[:, 1]))
    codes = codes.astype(np.int32)
    c = classes.names.size
    size = np.bincount(codes, minlength=c)
    k, rotations = len(basis.vectors), sizes["rotations"]
    chosen = np.sort(generator(seed, VECTORS).permutation(k)[: sizes["vectors"]])
    vectors = np.ascontiguousarray(basis.vectors[chosen])
    units = None if basis.selection is None else tuple(part[chosen] for part in basis.selection)
    frame, *made = frame_of(vectors, units, orthonormal=False)
    found = np.zeros((1 + rotations, c, 2))
    cones, cosines = np.zeros(found.shape, np.int64), np.zeros(found.shape)

    def one(m):
        if m:
            along = along_turned(values, random_frame(*frame.shape, generator(seed, ROTATED, m)), *made)
        else:
            along = along_vectors(values, vectors)
        best_scores(along, norms, epsilon, first, codes, size, found[m], cones[m], cosines[m])

    each(one, [(m,) for m in range(1 + rotations)], threads=threads)
    cone = np.where(cones[0] < 0, -1, 2 * chosen[np.maximum(cones[0], 0) // 2] + cones[0] % 2)
    return Contest(found, cone, cosines[0], {"rotations": rotations, "rows": len(values), "vectors": len(vectors)})
