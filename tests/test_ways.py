"""The other ways of the benchmark table agree with the definition away from ties."""

import numpy as np
import pytest
from scipy.linalg import expm

from bench.ways import numpy_screen, rotation_einsum, rotation_matrices, sgemm_threshold
from srmfast import naive
from srmfast.bases import load_basis

WAYS = [rotation_matrices, rotation_einsum, sgemm_threshold, numpy_screen]
PLANES = [(0, 1), (1, 0), (3, 7), (8, 2), (5, 6)]


@pytest.fixture
def rows():
    return np.random.default_rng(11).standard_normal((700, 5))


@pytest.fixture
def basis():
    return load_basis("random:9", 5, seed=2).vectors


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("eps", [0.85, 0.3, 0.0, -0.4])
def test_every_way_gives_the_defined_counts(way, rows, basis, eps):
    counts = way(rows, basis, PLANES, 24, eps)
    assert counts.dtype == np.int64
    assert (counts == naive.counts(rows, basis, PLANES, [eps], 24)[0]).all()


@pytest.mark.parametrize("way", WAYS)
def test_every_way_turns_toward_the_second_vector(way, rows, basis):
    i, j = 3, 7
    generator = np.outer(basis[j], basis[i]) - np.outer(basis[i], basis[j])
    generator /= np.sqrt(1 - (basis[i] @ basis[j]) ** 2)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    probes = [expm(2 * np.pi * m / 12 * generator) @ basis[i] for m in range(12)]
    wanted = [(unit @ probe >= 0.5).sum() for probe in probes]
    assert way(rows, basis, [(i, j)], 12, 0.5)[0].tolist() == wanted


def test_small_blocks_change_nothing(rows, basis, monkeypatch):
    whole = sgemm_threshold(rows, basis, PLANES, 24, 0.5)
    monkeypatch.setattr("bench.ways.BLOCK", 24 * 100)
    assert (sgemm_threshold(rows, basis, PLANES, 24, 0.5) == whole).all()
