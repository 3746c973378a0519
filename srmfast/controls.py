"""Control bases: for a basis, random vectors of the same number and kind, and the neurons where it is a rotation of them.

What rows show along a basis they may show along any: a random basis counted in the same reading says how much that is.
"""

import numpy as np

from srmfast.bases import Basis, load_basis, random_vectors
from srmfast.opposites import opposites

RANDOM = "-random"  # end of the name of a random control
_DRAW = 0xC0  # keeps these draws apart from others of the same seed


def controls_of(basis, *, orthogonal, seed=0):
    """Return the controls of a basis.

    Parameters
    ----------
    basis : Basis
    orthogonal : bool
        Whether each two of its vectors are orthogonal or parallel.
    seed : int
        The draw depends on it and on the vectors of the basis, on nothing else of a run.

    Returns
    -------
    list of Basis
        `NAME-random`, of as many vectors: orthonormal when they are no more than the width, and b, −b where the basis has
        both. Then, of a rotation of the standard basis (or of ± that), that one, under its own name.
    """
    vectors = basis.vectors
    k, d = vectors.shape
    partner = opposites(vectors)
    mirrored = (partner >= 0).all()
    rng = np.random.Generator(np.random.PCG64([seed, _DRAW, int(basis.sha256[:16], 16)]))
    if not mirrored:
        drawn = random_vectors(k, d, rng)
    else:
        drawn, first = np.empty((k, d)), np.flatnonzero(partner > np.arange(k))
        drawn[first] = random_vectors(first.size, d, rng)
        drawn[partner[first]] = 0.0 - drawn[first]
    found = [Basis(drawn, "random", basis.name + RANDOM)]
    if orthogonal and basis.selection is None and k == (2 * d if mirrored else d):
        found.append(load_basis("plusminus" if mirrored else "standard", d))
    return found
