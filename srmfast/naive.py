"""The definition of every count in the plainest code: slow, meant to be read.

The fast path is compared with these functions by `==`. They know nothing of it.
"""

import numpy as np

from srmfast.angles import angle_table


def pinned_dot(x, y):
    """Dot product over the last axis in the one order of operations that decides.

    Eight lanes (column mod 8) are summed in column order, the tail padded with +0.0, then joined as
    ((0+1)+(2+3))+((4+5)+(6+7)), all in float64 and without fused operations.
    """
    products = np.asarray(x, np.float64) * np.asarray(y, np.float64)
    pad = -products.shape[-1] % 8
    products = np.concatenate([products, np.zeros(products.shape[:-1] + (pad,))], axis=-1)
    lane = np.zeros(products.shape[:-1] + (8,))
    for start in range(0, products.shape[-1], 8):
        lane = lane + products[..., start : start + 8]
    return ((lane[..., 0] + lane[..., 1]) + (lane[..., 2] + lane[..., 3])) + (
        (lane[..., 4] + lane[..., 5]) + (lane[..., 6] + lane[..., 7])
    )


def plane(b_i, b_j):
    """Return g = b_i·b_j (0 when |g| < 1e-12) and s = ‖b_j − g·b_i‖ (1 then) of two unit vectors."""
    g = pinned_dot(b_i, b_j)
    if abs(g) < 1e-12:
        return 0.0, 1.0
    residual = b_j - g * b_i
    return g, np.sqrt(pinned_dot(residual, residual))


def inside(rows, b_i, b_j, epsilon, a):
    """Say which rows lie in the cone of the ordered plane (b_i, b_j) at each angle.

    Parameters
    ----------
    rows : ndarray, (n, d)
        Activations, finite and of non-zero norm.
    b_i, b_j : ndarray, (d,) float64
        Unit vectors that span the plane; the spotlight starts on b_i and turns toward b_j.
    epsilon : float
        Cosine of the half-angle of the cone.
    a : int
        Number of angles.

    Returns
    -------
    ndarray, (n, a) bool

    Notes
    -----
    Paper 2505.13471, Eqn 2, in closed form (R(θ)b_i = cos θ·b_i + sin θ·(b_j − g·b_i)/s).
    """
    rows = np.asarray(rows, np.float64)
    cos, sin = angle_table(a)
    g, s = plane(b_i, b_j)
    norm = np.sqrt(pinned_dot(rows, rows))
    u = pinned_dot(rows, b_i)
    w = pinned_dot(rows, b_j)
    v = (w - g * u) / s
    return u[:, None] * cos + v[:, None] * sin >= (epsilon * norm)[:, None]


def counts(rows, basis, planes, epsilons, a):
    """Count the rows inside the cone for every epsilon, plane and angle.

    Parameters
    ----------
    rows : ndarray, (n, d)
        Activations; rows of zero norm are dropped.
    basis : ndarray, (k, d) float64
        Unit vectors.
    planes : sequence of (i, j), p of them
        Ordered pairs of basis vectors that are not parallel.
    epsilons : sequence of float, e of them
    a : int
        Number of angles.

    Returns
    -------
    ndarray, (e, p, a) int64
    """
    rows = np.asarray(rows, np.float64)
    rows = rows[pinned_dot(rows, rows) > 0]
    return np.array(
        [[inside(rows, basis[i], basis[j], epsilon, a).sum(axis=0) for i, j in planes] for epsilon in epsilons],
        dtype=np.int64,
    ).reshape(len(epsilons), len(planes), a)


def projected(rows, basis, planes, epsilons, sectors, rings, extent):
    """Count the rows close to each plane by the cell of the plane in which they lie.

    Parameters
    ----------
    rows, basis, planes
        As in `counts`.
    epsilons : sequence of float, e of them
        A row is close to a plane when its projection (u, v) has √(u² + v²) ≥ ε‖x‖.
    sectors, rings : int
        A point belongs to the sector m with the largest u·cos θ_m + v·sin θ_m, the first of equal ones, and to the ring
        ⌊√(u² + v²)·(rings/extent)⌋.
    extent : float

    Returns
    -------
    ndarray, (e, p, sectors·rings + 1) int64
        The last entry counts what lies beyond the last ring.
    """
    rows = np.asarray(rows, np.float64)
    rows = rows[pinned_dot(rows, rows) > 0]
    norm = np.sqrt(pinned_dot(rows, rows))
    cos, sin = angle_table(sectors)
    found = np.zeros((len(epsilons), len(planes), sectors * rings + 1), np.int64)
    for p, (i, j) in enumerate(planes):
        g, s = plane(basis[i], basis[j])
        u = pinned_dot(rows, basis[i])
        v = (pinned_dot(rows, basis[j]) - g * u) / s
        radius = np.sqrt(u * u + v * v)
        sector = np.argmax(u[:, None] * cos + v[:, None] * sin, axis=1)
        place = radius * (rings / extent)
        cell = np.where(place < rings, sector * rings + np.minimum(place, rings).astype(np.int64), sectors * rings)
        for e, epsilon in enumerate(epsilons):
            found[e, p] = np.bincount(cell[radius >= epsilon * norm], minlength=sectors * rings + 1)
    return found


def members(rows, basis, epsilon):
    """Say which rows lie inside the cone of each basis vector and of its opposite: at θ = 0 and θ = π of any plane.

    Parameters
    ----------
    rows : ndarray, (n, d)
        Activations, finite and of non-zero norm.
    basis : ndarray, (k, d) float64
        Unit vectors.
    epsilon : float
        Cosine of the half-angle of the cone, above 0.

    Returns
    -------
    ndarray, (n, k, 2) bool
    """
    rows = np.asarray(rows, np.float64)
    norm = np.sqrt(pinned_dot(rows, rows))
    along = pinned_dot(rows[:, None, :], np.asarray(basis)[None])
    return np.stack([along, -along], axis=-1) >= epsilon * norm[:, None, None]


def nearness(rows, b_i, b_j):
    """Say whether rows point along the basis or between it, in one plane.

    The four directions ±b_i and ±b_j divide the plane into four sectors; a row's direction is nearer to one of the four
    in the outer halves of a sector, and nearer to the midpoint of its sector in the middle half.

    Parameters
    ----------
    rows : ndarray, (n, d)
        Activations, finite and of non-zero norm.
    b_i, b_j : ndarray, (d,) float64
        Unit vectors that are not parallel.

    Returns
    -------
    nearer : ndarray, (n,) int64
        1 nearer to ±b_i or ±b_j, −1 nearer to a midpoint, 0 exactly on a border and for rows orthogonal to the plane.
    square : ndarray, (n,) float64
        Squared length of the row in the plane.

    Notes
    -----
    The midpoints are at φ/2 and φ/2 + π/2 from b_i, φ being the angle between the vectors: at right angles. With ψ the
    angle of the row from the first of them, folded into [0, π/2], the borders are ψ = φ/4 and ψ = φ/4 + π/4.
    """
    rows = np.asarray(rows, np.float64)
    g, s = plane(b_i, b_j)
    u = pinned_dot(rows, b_i)
    v = (pinned_dot(rows, b_j) - g * u) / s
    cos_half, sin_half = np.sqrt((1.0 + g) / 2.0), np.sqrt((1.0 - g) / 2.0)
    cos_quarter, sin_quarter = np.sqrt((1.0 + cos_half) / 2.0), np.sqrt((1.0 - cos_half) / 2.0)
    along, across = np.abs(u * cos_half + v * sin_half), np.abs(v * cos_half - u * sin_half)
    first, second = across * cos_quarter, along * sin_quarter  # equal at ψ = φ/4
    third, fourth = along * (cos_quarter + sin_quarter), across * (cos_quarter - sin_quarter)  # and at φ/4 + π/4
    near, far = (first > second) & (third > fourth), (first < second) | (third < fourth)
    return near.astype(np.int64) - far, u * u + v * v


def phase(rows, basis, planes, epsilons):
    """Count the rows that come near each plane and point along the basis there, and those that point between it.

    Parameters
    ----------
    rows, basis, planes, epsilons
        As for `counts`.

    Returns
    -------
    ndarray, (e, p, 2) int64
        Nearer to ±b_i or ±b_j, and nearer to a midpoint between neighbouring ones, of the rows whose length in the
        plane is at least ε‖x‖: u*u + v*v >= (ε‖x‖)², which every row fulfils when ε ≤ 0.
    """
    rows = np.asarray(rows, np.float64)
    rows = rows[pinned_dot(rows, rows) > 0]
    norm = np.sqrt(pinned_dot(rows, rows))
    found = np.zeros((len(epsilons), len(planes), 2), np.int64)
    for p, (i, j) in enumerate(planes):
        nearer, square = nearness(rows, basis[i], basis[j])
        for e, epsilon in enumerate(epsilons):
            reaches = square >= (epsilon * norm) * (epsilon * norm) if epsilon > 0 else np.ones(len(rows), bool)
            found[e, p] = (reaches & (nearer > 0)).sum(), (reaches & (nearer < 0)).sum()
    return found
