"""Bases with all there is between two vectors, and what tests of geometry and planes share."""

import tracemalloc

import numpy as np

from srmfast.bases import load_basis, random_frame

KINDS = (
    "standard",
    "rotated",
    "cross",
    "repeated frame",
    "oblique",
    "threshold",
    "duplicates",
    "simplex",
    "two frames",
    "rungs",
)


def dictionary(kind, rng):
    """Vectors that are orthogonal, oblique, nearly, exactly and anti-parallel, repeated, and at tied angles."""
    if kind == "standard":
        return load_basis(np.vstack([np.eye(40), -np.eye(40)[5:], np.eye(40)[:3]]), 40)
    if kind in ("rotated", "cross", "repeated frame"):
        q = random_frame(50, 64, rng)
        return load_basis({"rotated": q, "cross": np.vstack([q, -q]), "repeated frame": np.vstack([q] * 4)}[kind], 64)
    if kind == "oblique":
        return load_basis(rng.normal(size=(150, 5)), 5)
    if kind == "threshold":
        a = random_frame(40, 80, rng)
        tilts = np.repeat([0.999999e-6, 0.99e-6, 1e-6, 1.000001e-6, 1.01e-6, 3e-6, 3e-8, 1e-4], 5)
        b = np.sign(rng.normal(size=(40, 1))) * (a[:40] + tilts[:, None] * np.roll(a, 1, axis=0))
        return load_basis(np.vstack([a, b, rng.normal(size=(40, 80))]), 80)
    if kind == "duplicates":
        v = rng.normal(size=(30, 12))
        return load_basis(np.vstack([v, v, 3 * v[:20], -v[:25], rng.normal(size=(30, 12))])[rng.permutation(135)], 12)
    if kind == "simplex":
        return load_basis("simplex", 70)
    if kind == "two frames":  # Hadamard: every angle between them is the same up to rounding
        h = np.ones((1, 1))
        while len(h) < 32:
            h = np.block([[h, h], [h, -h]])
        turn = random_frame(32, 32, rng)
        return load_basis(np.vstack([turn, h / np.sqrt(32) @ turn]), 32)
    if kind == "rungs":  # cosines on and beside those that coherence cuts are chosen from
        c = np.concatenate([np.arange(1, 20) / 20 + off for off in (0, -1e-8, 1e-8, -2e-6, 2e-6)])
        e = random_frame(96, 96, rng)
        return load_basis(np.vstack([e[:1], c[:, None] * e[0] + np.sqrt(1 - c[:, None] ** 2) * e[1:]]), 96)
    raise ValueError(kind)


def same(one, other):
    """Whether two sets of planes are the same numbers of the same pairs."""
    return one.digest() == other.digest() and (one.total, one.skipped, one.kind) == (
        other.total,
        other.skipped,
        other.kind,
    )


def peak_of(call):
    tracemalloc.start()
    try:
        result = call()
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
