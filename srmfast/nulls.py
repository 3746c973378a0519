"""What rows without any preferred direction give: reference curves, not tests."""

import numpy as np

from srmfast.errors import InputError


def isotropic(epsilon, d):
    """Compute the share of isotropic rows inside one cone.

    Parameters
    ----------
    epsilon : float or array
        Cosine of the half-angle of the cone, in [−1, 1].
    d : int
        Width of the rows, at least 2.

    Returns
    -------
    float or ndarray, like epsilon
        ½·I_{1−ε²}((d−1)/2, ½) for ε ≥ 0, one minus that for ε < 0.

    Notes
    -----
    Paper 2505.13471, Eqn 18, with the regularised incomplete beta function.

    Examples
    --------
    >>> round(float(isotropic(0.5, 2)), 6)
    0.333333
    """
    from scipy.special import betainc

    epsilon, d = _checked(epsilon, d)
    share = 0.5 * betainc((d - 1) / 2, 0.5, (1 - epsilon) * (1 + epsilon))
    return np.where(epsilon >= 0, share, 1 - share)[()]


def plane_share(epsilon, d):
    """Compute the share of isotropic rows whose angle to one plane has a cosine of at least ε.

    Parameters
    ----------
    epsilon : float or array
        Cosine of the angle between the row and the plane, in [−1, 1].
    d : int
        Width of the rows, at least 2.

    Returns
    -------
    float or ndarray, like epsilon
        (1 − ε²)^((d−2)/2) for ε > 0; 1 otherwise, because no row is at more than a right angle to a plane.
    """
    epsilon, d = _checked(epsilon, d)
    return np.where(epsilon > 0, ((1 - epsilon) * (1 + epsilon)) ** ((d - 2) / 2), 1.0)[()]


def in_rings(epsilon, d, norms, counts, edges):
    """Compute how many isotropic rows of given norms one plane accepts in each ring around its origin.

    Parameters
    ----------
    epsilon : float
        Smallest cosine of the angle between a row and the plane.
    d : int
        Width of the rows, at least 2.
    norms, counts : ndarray, (m,)
        How many rows have which norm.
    edges : ndarray, (rings + 1,)
        Distances between which the rings lie, ascending from 0.

    Returns
    -------
    ndarray, (rings + 1,) float64
        For each ring, and for what lies beyond the last. The direction within the plane is uniform.
    """
    epsilon, d = _checked(epsilon, d)
    shares = np.maximum(edges[:, None] / norms, epsilon)
    within = np.clip(shares, 0.0, 1.0)
    reached = np.where(shares > 1, 0.0, ((1 - within) * (1 + within)) ** ((d - 2) / 2)) @ counts
    return np.append(reached[:-1] - reached[1:], reached[-1])


def _checked(epsilon, d):
    epsilon = np.asarray(epsilon, np.float64)
    if not ((epsilon >= -1) & (epsilon <= 1)).all():
        raise InputError(f"epsilon must lie in [-1, 1] (a cosine), got {epsilon}")
    if d < 2:
        raise InputError(f"width must be at least 2, because a plane needs two dimensions, got {d}")
    return epsilon, d
