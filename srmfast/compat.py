"""The paper author's two functions with their signatures: change one import line and a notebook runs.

Differences, each on purpose: planes come in a fixed order (theirs is shuffled by the global random state),
a basis of non-unit vectors is refused (theirs changes ε silently), nothing is printed, and rotated ± pairs
that are parallel up to rounding count as parallel.
"""

import warnings

import numpy as np

from srmfast.bases import load_basis
from srmfast.engine import count_rows
from srmfast.errors import InputError
from srmfast.planes import Geometry

__all__ = ["PrivilegedPlaneProjectiveMethod", "spotlight_resonance_method"]


def spotlight_resonance_method(
    *,
    latent_layer_activations,
    privileged_basis,
    epsilon=0.9,
    max_planes=None,
    perm_or_comb="PERM",
    angular_resolution=100,
    verbose=False,
):
    """Compute SRM curves in the conventions of the author's code.

    Parameters
    ----------
    latent_layer_activations : array (n, d)
        Rows of zero norm stay in the denominator.
    privileged_basis : array (k, d)
        Unit vectors, one a row.
    epsilon : float
        Cosine of the cone's half-angle.
    max_planes : int, optional
        Number of planes drawn (with seed 0) when there are more.
    perm_or_comb : {"PERM", "COMB"}
        Ordered or unordered pairs.
    angular_resolution : int
        Points on [0, 2π], both ends included.
    verbose : bool
        Accepted; nothing is printed.

    Returns
    -------
    angles : ndarray, (angular_resolution,)
    srm_values : ndarray, (planes, angular_resolution)
        Share of rows inside the cone; the spotlight turns from b_i away from b_j. A parallel pair gives a zero row
        and a warning.

    Raises
    ------
    InputError
        Vectors that are not of unit length, an unknown `perm_or_comb`, or anything `srmfast.run` refuses.
    """
    rows, basis = _inputs(latent_layer_activations, privileged_basis)
    if angular_resolution < 3:
        raise InputError(f"angular_resolution must be at least 3, got {angular_resolution}")
    pairs, parallel = _pairs(basis, perm_or_comb, max_planes)
    values = np.zeros((len(pairs), angular_resolution))
    a = angular_resolution - 1
    if not parallel.all():
        counts = count_rows(rows, basis.vectors, pairs[~parallel], epsilon, a, zero_rows="keep")[0]
        backwards = counts[:, -np.arange(angular_resolution) % a]  # their θ is our −θ, the first point repeated
        values[~parallel] = backwards / len(rows)
    if parallel.any():
        warnings.warn(
            f"{parallel.sum()} of {len(pairs)} pairs are parallel and span no plane: their rows are zero and lower the mean",
            RuntimeWarning,
            stacklevel=2,
        )
    return np.linspace(0, 2 * np.pi, angular_resolution), values


def PrivilegedPlaneProjectiveMethod(  # noqa: N802 (the author's name)
    *,
    latent_layer_activations,
    privileged_basis,
    epsilon=0.9,
    max_planes=None,
    perm_or_comb="PERM",
    verbose=False,
):
    """Project the rows that lie close to each plane onto it, in the conventions of the author's code.

    Parameters
    ----------
    latent_layer_activations, privileged_basis, max_planes, perm_or_comb, verbose
        As in `spotlight_resonance_method`; rows of zero norm are dropped, parallel pairs skipped.
    epsilon : float
        Smallest cosine between a row and its projection on the plane.

    Returns
    -------
    ndarray, (points, 2)
        In-plane coordinates of the rows as given, along b_i and the part of b_j orthogonal to it, plane after
        plane.
    """
    rows, basis = _inputs(latent_layer_activations, privileged_basis)
    rows = rows[np.linalg.norm(rows, axis=1) > 0]
    norms = np.linalg.norm(rows, axis=1)
    pairs, parallel = _pairs(basis, perm_or_comb, max_planes)
    along = rows @ basis.vectors.T
    points = []
    for i, j in pairs[~parallel]:
        across = basis.vectors[j] - (basis.vectors[i] @ basis.vectors[j]) * basis.vectors[i]
        v = rows @ (across / np.linalg.norm(across))
        near = np.hypot(along[:, i], v) >= epsilon * norms
        points.append(np.stack([along[near, i], v[near]], axis=1))
    return np.concatenate(points) if points else np.empty((0, 2))


def _inputs(activations, vectors):
    rows = np.ascontiguousarray(activations, np.float64)
    if rows.ndim != 2:
        raise InputError(f"latent_layer_activations must be (n, d), got shape {rows.shape}")
    basis = load_basis(np.asarray(vectors, np.float64), rows.shape[1])
    if basis.normalised:
        norms = np.linalg.norm(vectors, axis=1)
        worst = norms[np.argmax(np.abs(norms - 1))]
        raise InputError(
            f"privileged_basis must hold unit vectors, got norm {worst:.6g}: the probe would turn epsilon into "
            "epsilon/norm; divide each row by its norm"
        )
    return rows, basis


def _pairs(basis, perm_or_comb, max_planes):
    """Return the (p, 2) pairs in order, and which of them are parallel."""
    if perm_or_comb not in ("PERM", "COMB"):
        raise InputError(f"perm_or_comb must be PERM or COMB, got {perm_or_comb!r}")
    k = len(basis.vectors)
    i, j = np.indices((k, k)).reshape(2, -1)
    wanted = i != j if perm_or_comb == "PERM" else i < j
    pairs = np.stack([i[wanted], j[wanted]], axis=1)
    if max_planes is not None and max_planes < len(pairs):
        rng = np.random.Generator(np.random.PCG64(0))
        pairs = pairs[np.sort(rng.choice(len(pairs), max_planes, replace=False))]
    parallel = Geometry.of(basis).parallel
    number = pairs.min(axis=1) * k + pairs.max(axis=1)
    return pairs, np.isin(number, parallel[:, 0] * k + parallel[:, 1])
