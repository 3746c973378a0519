"""Other ways to compute the same counts: the rows of the benchmark table.

Each is written plainly and as well as its idea allows. All take the same arguments and turn b_i toward b_j
over θ_m = 2πm/a; none promises the right count where a row lies exactly on the edge of the cone.

X : ndarray, (n, d)         rows, finite and non-zero
B : ndarray, (k, d)         unit vectors
planes : sequence of (i, j), p ordered pairs that are not parallel
a : int                     number of angles
eps : float                 cosine of the half-angle of the cone
returns : ndarray, (p, a) int64
"""

import numpy as np

BLOCK = 1 << 20  # float32 products at a time in sgemm_threshold: 4 MiB


def rotation_matrices(X, B, planes, a, eps):
    """Count with one d × d rotation matrix for every plane and angle, applied to every row: O(n·p·a·d²).

    Paper 2505.13471, Eqns 1–3: R(θ) = V·exp(θΛ)·V† from the eigendecomposition of the plane's generator.
    """
    rows = X / np.linalg.norm(X, axis=1, keepdims=True)
    counts = np.empty((len(planes), a), np.int64)
    for plane, (i, j) in enumerate(planes):
        for m, R in enumerate(_rotations(B[i], B[j], a)):
            counts[plane, m] = np.count_nonzero((rows @ R) @ B[i] >= eps)  # x·R b_i
    return counts


def rotation_einsum(X, B, planes, a, eps):
    """Count with the same matrices as one np.einsum a plane: the formula as it stands, without BLAS."""
    rows = X / np.linalg.norm(X, axis=1, keepdims=True)
    counts = np.empty((len(planes), a), np.int64)
    for plane, (i, j) in enumerate(planes):
        resonance = np.einsum("nd,ade,e->an", rows, _rotations(B[i], B[j], a), B[i])
        counts[plane] = np.count_nonzero(resonance >= eps, axis=1)
    return counts


def sgemm_threshold(X, B, planes, a, eps):
    """Count by float32 matrix products of all rows with all probe vectors, compared with ε."""
    rows = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32).T.copy()
    theta = 2 * np.pi * np.arange(a) / a
    counts = np.zeros((len(planes), a), np.int64)
    for plane, (i, j) in enumerate(planes):
        probes = np.outer(np.cos(theta), B[i]) + np.outer(np.sin(theta), _second_axis(B[i], B[j]))
        probes = probes.astype(np.float32)
        for start in range(0, rows.shape[1], max(1, BLOCK // a)):
            inside = probes @ rows[:, start : start + max(1, BLOCK // a)] >= np.float32(eps)
            counts[plane] += [np.count_nonzero(line) for line in inside]
    return counts


def numpy_screen(X, B, planes, a, eps):
    """Count by the two-line screen: keep the rows near enough to the plane, try only those at every angle."""
    theta = 2 * np.pi * np.arange(a) / a
    cos, sin = np.cos(theta), np.sin(theta)
    coordinates = B @ (X / np.linalg.norm(X, axis=1, keepdims=True)).T  # (k, n)
    nearest = max(eps, 0.0) ** 2  # with ε ≤ 0 every row is inside somewhere
    counts = np.empty((len(planes), a), np.int64)
    for plane, (i, j) in enumerate(planes):
        g = B[i] @ B[j]
        u, v = coordinates[i], (coordinates[j] - g * coordinates[i]) / np.sqrt(1 - g * g)
        keep = np.flatnonzero(u * u + v * v >= nearest)
        counts[plane] = np.count_nonzero(np.outer(cos, u[keep]) + np.outer(sin, v[keep]) >= eps, axis=1)
    return counts


def _rotations(b_i, b_j, a):
    """The (a, d, d) matrices that turn b_i toward b_j by θ_m and leave everything outside their plane alone."""
    imaginary, V = np.linalg.eigh(-1j * (np.outer(b_j, b_i) - np.outer(b_i, b_j)))  # a unitary V; eig's is not
    imaginary /= imaginary[-1]  # the two eigenvalues that are not zero become ±i: one turn is 2π
    phases = np.exp(2j * np.pi / a * np.outer(np.arange(a), imaginary))
    return (V * phases[:, None, :] @ V.conj().T).real


def _second_axis(b_i, b_j):
    residual = b_j - (b_i @ b_j) * b_i
    return residual / np.linalg.norm(residual)
