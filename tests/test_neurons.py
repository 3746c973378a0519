"""Which classes neurons answer to: counts against the definition, planted neurons, scores that can be trusted, a calibrated test."""

import numpy as np
import pytest
from cases import basis, rows

import srmfast
from srmfast import naive
from srmfast.engine.members import neurons
from srmfast.enrichment import association, permutation_test


def planted(rng, n=600, d=12, classes=6, noise=0.3):
    """Rows near one unit per class, class c on unit c, with their classes."""
    label = rng.integers(0, classes, n)
    return np.eye(d)[label] + noise * rng.normal(size=(n, d)) / np.sqrt(d), label


@pytest.mark.parametrize("kind", ["gaussian", "relu", "one-hot", "small-integer", "half"])
@pytest.mark.parametrize("vectors", ["standard", "plusminus", "rotated", "oblique", "parallel"])
def test_counts_are_those_of_the_definition(kind, vectors, rng):
    x, b, label = rows(kind, 400, 9, rng), basis(vectors, 9, rng), rng.integers(0, 3, 400)
    x[5] = 0
    found = neurons(x, b, epsilon=0.5, labels=label, permutations=0, threads=2, block_rows=64)
    used = naive.pinned_dot(x.astype(float), x.astype(float)) > 0
    inside = naive.members(x[used], found.basis, 0.5)
    assert (found.inside.sum(axis=0) == inside.sum(axis=0)).all()
    for c in range(3):
        assert (found.counts.sum(axis=0)[c] == inside[label[used] == c].sum(axis=0)).all()
    folds = np.flatnonzero(used) * 64 // 400
    assert (found.inside[7] == inside[folds == 7].sum(axis=0)).all()
    assert found.class_rows.sum() == found.rows_used.sum() == used.sum()
