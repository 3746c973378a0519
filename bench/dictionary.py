"""A dictionary of many more vectors than dimensions, as a sparse autoencoder has, and some of its planes."""

from functools import partial

import numpy as np

import srmfast
from bench.answers import arcs_of, check_sample
from bench.timing import alternate, seconds, table

_ACTIVE = 8  # vectors that a row is made of


def dictionary(quick):
    """Time the ways to choose among hundreds of millions of planes."""
    n, d, k, planes, active = (200, 32, 300, 1_000, 40) if quick else (4_000, 768, 24_576, 100_000, 1_000)
    rng = np.random.default_rng(10)
    vectors = rng.standard_normal((k, d), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    codes = rng.exponential(size=(n, _ACTIVE, 1)).astype(np.float32)
    X = (codes * vectors[rng.integers(k, size=(n, _ACTIVE))]).sum(axis=1)
    began = alternate({"load": partial(srmfast.load_basis, vectors, d)}, 1)["load"]
    basis = began.answers[0]
    print(
        f"{k:,} random unit vectors in {d} dimensions, {k * (k - 1):,} planes in all, loaded in {seconds(began.median)}; "
        f"{n:,} float32 rows, each a sum of {_ACTIVE}, 360 angles:\n"
    )
    lines = []
    for kind in (f"random:{planes}", "neighbours", f"active:{active}"):
        for eps in (0.5, 0.2):
            one = alternate({kind: partial(srmfast.run, X, basis, epsilon=eps, planes=kind, keep="hit")}, 2)[kind]
            first = one.answers[0]
            check_sample(first, X)
            lines.append([kind, f"{eps:g}", f"{first.planes_total:,}", seconds(one.median), f"{arcs_of(first):,}"])
    print(table(["planes", "ε", "how many", "time", "arcs"], lines))
