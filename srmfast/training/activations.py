"""Activation functions that privilege a chosen basis, or none, in plain NumPy: the definitions.

Paper 2505.13471, appendix C. `srmfast.training.layers` writes the same functions as ONNX nodes.

Two properties of the generalised tanh are worth knowing before training with it:

- It is **discontinuous** wherever x·b_i = 0 and c(‖x‖) ≠ 0: the step function lets b_i in with a jump of |c(‖x‖)|,
  0.493 a vector for the icosahedron at ‖x‖ = 2 (0.986 where b_i and −b_i change places). Its gradient is that of
  the pieces; finite differences across a jump say something else.
- The correction does what it is for, σ(a·b_j) = tanh(a)·b_j, only for bases in which every vector sees the others
  alike (the simplex, the cross-polytope, the icosahedron). `defect` measures how far a basis is from that: at
  ‖x‖ = 2, where the target is 0.96 long, the error is 0.16 for 8 vectors in 3 dimensions and 0.9 to 1.0 for 64 in
  16 (1.5 to 1.7 at ‖x‖ = 4): with four times as many vectors as dimensions it does not do what it is for.
"""

from dataclasses import dataclass

import numpy as np

from srmfast.errors import InputError

# Cosines up to this are zero: vectors found by minimisation are orthogonal to about 1e-13, and the step function
# would otherwise take half of these pairs for neighbours.
TOLERANCE = 1e-9
TINY = 1e-30  # added to ‖x‖², so that x/‖x‖ and its gradient are defined at 0
_ALIKE = 1e-11  # cosines of neighbours in order that differ by no more are one
_NODES = 96  # most terms of a correction; below, it is exact
_CLOSE = 1e-9  # largest error of a shortened correction, over all norms


@dataclass(frozen=True)
class Correction:
    """The function of the norm c(r) = Σ_m weights[m]·tanh(scales[m]·r) of Eqns 8 and 13.

    Attributes
    ----------
    scales, weights : ndarray, (m,) float64
        Empty when c is 0 everywhere.
    """

    scales: np.ndarray
    weights: np.ndarray

    def __call__(self, r):
        """Evaluate c at norms of any shape."""
        return np.tanh(np.multiply.outer(r, self.scales)) @ self.weights


def correction(basis, *, tolerance=TOLERANCE):
    """Find the correction that keeps a basis vector's own ray free of the others' influence.

    Parameters
    ----------
    basis : array_like, (k, d)
        Unit vectors.
    tolerance : float
        Cosines up to this count as zero.

    Returns
    -------
    Correction
        One term for each distinct cosine d_ij > 0, i ≠ j.

    Notes
    -----
    Eqns 11 to 13: c(r) = −(1/k) Σ_j Σ_{i≠j, d_ij>0} tanh(r·d_ij)·d_ij / Σ_{i, d_ij>0} d_ij. It is 0 when no two
    vectors lie within a right angle: for the simplex and the cross-polytope.
    """
    vectors = np.asarray(basis, np.float64)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, 0.0)
    cosines[cosines <= tolerance] = 0.0
    near = cosines > 0.0
    share = (cosines / (1.0 + cosines.sum(axis=0)) / -len(vectors))[near]
    order = np.argsort(cosines[near], kind="stable")
    scales, share = cosines[near][order], share[order]
    group = np.cumsum(np.diff(scales, prepend=-1.0) > _ALIKE) - 1  # what differs by rounding only is one term
    weights = np.bincount(group, share)
    return Correction(np.bincount(group, scales * share) / weights, weights)


def shortened(exact):
    """Return a correction with few terms that differs from the given one by at most 1e-9, whatever the norm.

    Parameters
    ----------
    exact : Correction

    Returns
    -------
    Correction

    Notes
    -----
    With s = log(scale) and t = log(r), a term is F(s + t), F(z) = tanh(e^z): the norm only shifts it, and F is
    analytic in the strip |Im z| < π/2. Interpolating it between Chebyshev points of s therefore converges
    geometrically and at a rate that does not depend on r, and the interpolation is a fixed matrix: terms at the
    points with other weights. As many points are taken as the difference needs, seen over all r that matter.
    """
    if exact.scales.size < 2:
        return exact
    s = np.log(exact.scales)
    centre, half = (s[0] + s[-1]) / 2, (s[-1] - s[0]) / 2 * (1 + 1e-12)
    norms = np.exp(np.linspace(-12.0, 5.0 - s[0], 2000))
    wanted = exact(norms)
    for count in range(4, min(_NODES, exact.scales.size), 4):
        angles = (np.arange(count) + 0.5) * np.pi / count
        nodes, barycentric = np.cos(angles), (-1.0) ** np.arange(count) * np.sin(angles)
        distance = (s - centre)[:, None] / half - nodes
        distance[distance == 0.0] = 1e-300
        cardinal = barycentric / distance
        cardinal /= cardinal.sum(axis=1, keepdims=True)
        short = Correction(np.exp(centre + half * nodes), exact.weights @ cardinal)
        if np.abs(short(norms) - wanted).max() <= _CLOSE:
            return short
    return exact


def generalised_tanh(x, basis, *, corrected=True, tolerance=TOLERANCE):
    """Apply tanh along the vectors of a basis that point the way of x: Σ_i H(x·b_i) [tanh(x·b_i) + c(‖x‖)] b_i.

    Parameters
    ----------
    x : array_like, (..., d)
    basis : array_like, (k, d)
        Unit vectors, spread evenly: `thompson:K`.
    corrected : bool
        Whether to add c, Eqn 14; Eqn 7 without it.
    tolerance : float
        Cosines up to this count as zero, between basis vectors and between x and a basis vector.

    Returns
    -------
    ndarray, (..., d) float64

    Notes
    -----
    Eqn 14, H(0) = 0. For 2d vectors ±q_i it is Q'tanh(Qx), the elementwise tanh in rotated axes.
    """
    x, basis = np.asarray(x, np.float64), np.asarray(basis, np.float64)
    along = x @ basis.T
    height = np.tanh(along)
    if corrected:
        height = height + correction(basis, tolerance=tolerance)(np.linalg.norm(x, axis=-1))[..., None]
    steps = along > tolerance * np.linalg.norm(x, axis=-1, keepdims=True)
    return np.where(steps, height, 0.0) @ basis


def rotated_tanh(x, basis):
    """Apply tanh along orthonormal vectors, Q'tanh(Qx): Eqn 6.

    Parameters
    ----------
    x : array_like, (..., d)
    basis : array_like, (k, d)
        Orthonormal.

    Returns
    -------
    ndarray, (..., d) float64
    """
    basis = np.asarray(basis, np.float64)
    return np.tanh(np.asarray(x, np.float64) @ basis.T) @ basis


def averaged_tanh(x, basis):
    """Apply (2d/k) Σ_i H(x·b_i) tanh(x·b_i) b_i, which for k → ∞ depends on the norm alone.

    Parameters
    ----------
    x : array_like, (..., d)
    basis : array_like, (k, d)
        Unit vectors.

    Returns
    -------
    ndarray, (..., d) float64

    Notes
    -----
    A candidate for the paper's Eqn 15, whose exact form is not known to us. Its limit is g(‖x‖)·x/‖x‖ with
    g(2) = 1.2256 in three dimensions, where tanh(2) = 0.9640. It is continuous.
    """
    x, basis = np.asarray(x, np.float64), np.asarray(basis, np.float64)
    return np.maximum(np.tanh(x @ basis.T), 0.0) @ basis * (2.0 * x.shape[-1] / len(basis))


def isotropic_tanh(x):
    """Apply tanh to the norm and keep the direction, tanh(‖x‖)·x/‖x‖: smooth, and no basis is privileged.

    Parameters
    ----------
    x : array_like, (..., d)

    Returns
    -------
    ndarray, (..., d) float64
    """
    x = np.asarray(x, np.float64)
    r = _norm(x)
    return x * (np.tanh(r) / r)


def isotropic_relu(x, threshold=1.0):
    """Shorten the norm and keep the direction, max(‖x‖ − R, 0)·x/‖x‖.

    Parameters
    ----------
    x : array_like, (..., d)
    threshold : float
        R, not negative.

    Returns
    -------
    ndarray, (..., d) float64
    """
    x = np.asarray(x, np.float64)
    r = _norm(x)
    return x * (np.maximum(r - threshold, 0.0) / r)


def defect(basis, a=2.0):
    """Measure how far σ(a·b_j) is from tanh(a)·b_j, the equality that the correction is for (Eqn 9).

    Parameters
    ----------
    basis : array_like, (k, d)
        Unit vectors.
    a : float
        Norm at which it is looked at.

    Returns
    -------
    float
        The largest ‖σ(a·b_j) − tanh(a)·b_j‖ over j.
    """
    basis = np.asarray(basis, np.float64)
    return float(np.linalg.norm(generalised_tanh(a * basis, basis) - np.tanh(a) * basis, axis=1).max())


def check_orthonormal(basis):
    """Refuse a basis for which `rotated_tanh` is not what its name says."""
    k, d = basis.shape
    off = float(np.abs(basis @ basis.T - np.eye(k)).max())
    if off > 1e-6:
        raise InputError(
            f"rotated-tanh needs orthonormal vectors, got {k} of width {d} whose products are off by {off:.2g}; "
            f"take basis.kind = 'random' with count ≤ {d}, or generalised-tanh"
        )


def _norm(x):
    return np.sqrt(np.sum(x * x, axis=-1, keepdims=True) + TINY)
