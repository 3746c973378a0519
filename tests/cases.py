"""Rows, bases and grids on which every fast path is compared with the definition."""

import itertools

import numpy as np

from srmfast import naive

EPSILONS = (-1.0, -0.5, 0.0, 0.5, float(np.sqrt(0.5)), 0.9, 1.0)
DIMS = (2, 3, 8, 16, 33, 64)
GRIDS = (8, 9, 12, 90, 360, 720)


def rows(kind, n, d, rng):
    """Rows that hit ties, zeros and the usual shapes of activations."""
    if kind == "gaussian":
        return rng.normal(size=(n, d))
    if kind == "tanh":
        return np.tanh(3 * rng.normal(size=(n, d)))
    if kind == "relu":
        return np.maximum(rng.normal(size=(n, d)), 0).astype(np.float32)
    if kind == "one-hot":
        return np.eye(d)[rng.integers(0, d, n)] * rng.choice([-2.0, 1.0, 3.0], (n, 1))
    if kind == "small-integer":
        return rng.integers(-2, 3, (n, d)).astype(np.float64)
    if kind == "on-grid":
        # Points at exact grid angles of the first coordinate plane: every end of an arc is a tie.
        from srmfast.angles import angle_table

        cos, sin = angle_table(72)
        m = rng.integers(0, 72, n)
        x = np.zeros((n, d))
        x[:, 0], x[:, 1] = cos[m], sin[m]
        return x
    if kind == "half":
        return rng.normal(size=(n, d)).astype(np.float16)
    raise ValueError(kind)


ROWS = ("gaussian", "tanh", "relu", "one-hot", "small-integer", "on-grid", "half")


def basis(kind, d, rng):
    """Bases with orthogonal, oblique, parallel, nearly parallel and opposite pairs."""
    if kind == "standard":
        return np.eye(d)
    if kind == "plusminus":
        return np.concatenate([np.eye(d), -np.eye(d)])[: max(4, min(2 * d, 24))]
    if kind == "rotated":
        return np.linalg.qr(rng.normal(size=(d, d)))[0]
    if kind == "oblique":
        return rng.normal(size=(d + 3, d))
    if kind == "parallel":
        b = rng.normal(size=(min(d, 6), d))
        near = b[0] + 3e-6 * np.linalg.norm(b[0]) * rng.normal(size=d) / np.sqrt(d)
        return np.concatenate([b, 2 * b[:1], -b[1:2], near[None]])
    raise ValueError(kind)


BASES = ("standard", "plusminus", "rotated", "oblique", "parallel")


def reference(x, result):
    """The definition's counts for the planes of a result, (e, p, a)."""
    pairs = list(zip(result.plane_i.tolist(), result.plane_j.tolist(), strict=True))
    return naive.counts(x, result.basis, pairs, result.epsilon, result.angle.size)


def pairwise(*axes):
    """Choose cases in which every value of an axis meets every value of every other axis: far fewer than the product.

    Parameters
    ----------
    *axes : sequences
        The first varies slowest.

    Returns
    -------
    list of tuple
        In the order of the product, the same whenever it is asked for.
    """
    product = list(itertools.product(*(range(len(axis)) for axis in axes)))
    meetings = [set(itertools.combinations(enumerate(case), 2)) for case in product]
    open_, chosen = set().union(*meetings), []
    while open_:
        best = max(range(len(product)), key=lambda number: len(meetings[number] & open_))
        open_ -= meetings[best]
        chosen.append(best)
    return [tuple(axis[at] for axis, at in zip(axes, product[number], strict=True)) for number in sorted(chosen)]
