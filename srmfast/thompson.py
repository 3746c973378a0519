"""Bases spread over the sphere by repulsion, after Thomson's problem of charges on a sphere."""

from dataclasses import dataclass

import numpy as np

from srmfast.errors import InputError

_SMALL = 4096  # numbers in a basis up to which eight restarts take seconds
_EQUAL = 1e-9  # relative difference of energies below which two starts ended equally low
_POLISH = 3000
_STILL = 1e-13  # gradient per vector at which polishing stops


@dataclass(frozen=True)
class ThompsonReport:
    """What a basis found by `thompson` looks like.

    Attributes
    ----------
    energy : float
        Σ_{i≠j} (b_i·b_j) / ‖b_i − b_j‖.
    cos_min, cos_max : float
        Extremes of b_i·b_j over i ≠ j.
    spread : float
        Degrees between the largest and the smallest angle from a vector to its nearest one; 0 when all are alike.
    standard_angle : float
        Degrees between the standard basis and the vector nearest to one of ±e_j.
    energies : tuple of float
        The energy that each restart reached.
    """

    energy: float
    cos_min: float
    cos_max: float
    spread: float
    standard_angle: float
    energies: tuple


def thompson(d, k, *, seed=0, restarts=None):
    """Spread k unit vectors of R^d as evenly as their repulsion allows, in a random orientation.

    Parameters
    ----------
    d, k : int
        Width and number of vectors, both at least 2.
    seed : int
        Seed of the starting points.
    restarts : int, optional
        Starts, of which the lowest energy wins; 8 for small bases and 1 for large ones when omitted.

    Returns
    -------
    vectors : ndarray, (k, d) float64
        Unit vectors.
    report : ThompsonReport

    Notes
    -----
    Paper 2505.13471, Eqns 16 and 17. The starts are normal, so the orientation is uniform. The last digits depend on the
    BLAS in use: save the basis to a file to use it on several machines.

    Examples
    --------
    >>> vectors, report = thompson(3, 4)
    >>> round(report.energy, 6)
    -2.44949
    """
    from scipy.optimize import minimize

    if d < 2 or k < 2:
        raise InputError(f"thompson:K needs at least 2 vectors of width at least 2, got {k} of width {d}")
    if restarts is None:
        restarts = 8 if d * k <= _SMALL else 1
    if restarts < 1:
        raise InputError(f"restarts must be at least 1, got {restarts}")
    rng = np.random.Generator(np.random.PCG64(seed))
    best, energies = None, []
    for _ in range(restarts):
        found = minimize(
            _free_energy,
            rng.standard_normal((k, d)).ravel(),
            args=(k, d),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 5000, "maxfun": 10000, "maxcor": 20, "ftol": 1e-15, "gtol": 1e-9},
        )
        energies.append(float(found.fun))
        if best is None or found.fun < best.fun - _EQUAL * max(1.0, abs(best.fun)):
            best = found  # of starts that end equally low, the first: rounding, which differs between CPUs, has no say
    vectors = _polish(_unit(best.x.reshape(k, d)))
    return vectors, _report(vectors, energies)


def energy(vectors):
    """Compute the energy of unit vectors and its gradient.

    Parameters
    ----------
    vectors : ndarray, (k, d) float64
        Unit vectors.

    Returns
    -------
    value : float
        Σ_{i≠j} (b_i·b_j) / ‖b_i − b_j‖.
    gradient : ndarray, (k, d) float64
        Along the sphere.

    Notes
    -----
    Paper 2505.13471, Eqns 16 and 17. With unit vectors ‖b_i − b_j‖² = 2 − 2g, so each term is a function of g.
    """
    g = vectors @ vectors.T
    square = np.maximum(2.0 - 2.0 * g, 1e-30)
    inverse = 1.0 / np.sqrt(square)
    np.fill_diagonal(inverse, 0.0)
    value = np.sum(g * inverse)
    slope = 2.0 * (inverse + g * inverse**3) @ vectors  # each pair occurs twice in the sum
    return float(value), slope - np.sum(slope * vectors, axis=1, keepdims=True) * vectors


def _free_energy(x, k, d):
    """Return the energy and its gradient in vectors of any length, as an optimiser without constraints needs."""
    rows = x.reshape(k, d)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    value, gradient = energy(rows / norms)
    return value, (gradient / norms).ravel()


def _polish(vectors):
    """Follow the gradient by Barzilai–Borwein steps until it is rounding error.

    The energy is flat to second order, so an optimiser that compares energies stops 1e-7 from the minimum: too far
    for orthogonal pairs to count as orthogonal.
    """
    _, gradient = energy(vectors)
    best, smallest, step = vectors, np.abs(gradient).max(), 1e-2
    for _ in range(_POLISH):
        if smallest <= _STILL:
            break
        moved = _unit(vectors - step * gradient)
        _, next_gradient = energy(moved)
        difference, change = moved - vectors, next_gradient - gradient
        curvature = np.sum(difference * change)
        step = np.sum(difference * difference) / curvature if curvature > 0.0 else 1e-2
        vectors, gradient = moved, next_gradient
        if np.abs(gradient).max() < smallest:
            best, smallest = vectors, np.abs(gradient).max()
    return best


def _unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _report(vectors, energies):
    g = vectors @ vectors.T
    off = g[~np.eye(len(g), dtype=bool)].reshape(len(g), -1)
    nearest = np.degrees(np.arccos(np.clip(off.max(axis=1), -1.0, 1.0)))
    return ThompsonReport(
        energy=energy(vectors)[0],
        cos_min=float(off.min()),
        cos_max=float(off.max()),
        spread=float(nearest.max() - nearest.min()),
        standard_angle=float(np.degrees(np.arccos(min(np.abs(vectors).max(), 1.0)))),
        energies=tuple(energies),
    )
