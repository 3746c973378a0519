"""Second opinions: norms, kurtosis, the scale of an alignment, sums of basis vectors, and the table in which they meet."""

import math

import numpy as np
import pytest
from scipy import stats

import srmfast
from srmfast import kurtosis
from srmfast.drawn import keys_of
from srmfast.naive import pinned_dot
from srmfast.norms import NormHistogram

N, D = 1500, 12


def isotropic(rng, n=N, d=D):
    return rng.normal(size=(n, d))


def on_vectors(rng, n=N, d=D, noise=0.15):
    return np.eye(d)[rng.integers(0, d, n)] + noise * isotropic(rng, n, d)


def on_corners(rng, n=N, d=D):
    return rng.choice([-1.0, 1.0], (n, d)) + 0.2 * isotropic(rng, n, d)


def kurtosis_of(result, units=N):
    return kurtosis.judge(
        result.null_kurtosis, result.null_kurtosis_without, result.tested_vector, result.tested_kurtosis, units
    )


# ---- norms -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("centre", [False, True])
def test_norms_are_those_of_the_rows_used(centre, rng, tmp_path):
    x = isotropic(rng) * np.exp(2 * rng.normal(size=(N, 1))) + 0.5
    x[3], x[4], x[5] = 0.0, np.nan, 1e-200
    mask = np.arange(N) % 7 > 0
    result = srmfast.run(x, "standard", mask=mask, nonfinite="skip", centre=centre, block_rows=64)
    rows = x[mask & np.isfinite(x).all(axis=1)] - (result.centre if centre else 0.0)
    lengths = np.sort(np.sqrt(pinned_dot(rows, rows)))
    lengths = lengths[lengths > 0]
    norms = result.norms
    assert norms.total == len(lengths) == int(result.rows_used.sum())
    for q in (0.0, 0.5, 0.9, 1.0):
        true = lengths[int(q * (len(lengths) - 1))]
        assert norms.quantile(q) <= true < norms.quantile(q) * (1 + 2**-11)
    over = (lengths > 10 * np.median(lengths)).mean()
    assert norms.describe()["over_10"] == pytest.approx(over, abs=3 / N)
    result.save(tmp_path / "out.zarr")
    assert np.array_equal(srmfast.load(tmp_path / "out.zarr").norms.edges(), norms.edges())


def test_norms_of_parts_add_up_to_those_of_all(rng):
    lengths = np.exp(20 * rng.normal(size=1000))
    whole, parts = NormHistogram(), [NormHistogram() for _ in range(3)]
    whole.add(lengths)
    for part, some in zip(parts, np.array_split(lengths, [100, 640]), strict=True):
        part.add(some)
    added = parts[2] + parts[0] + parts[1]
    assert np.array_equal(added.edges(), whole.edges())
    assert np.array_equal(NormHistogram.from_edges(*whole.edges()).to_arrays()[1], whole.to_arrays()[1])
    values, counts = np.unique(lengths.view(np.int64) >> 40, return_counts=True)
    assert np.array_equal(whole.edges()[0].view(np.int64) >> 40, values) and np.array_equal(whole.edges()[1], counts)


# ---- kurtosis ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("basis, centre", [("standard", False), ("random:7", True), ("random:20", False)])
def test_kurtosis_is_that_of_unit_rows_along_the_basis(basis, centre, rng):
    x = rng.laplace(size=(300, D)) ** 3 + 0.5
    x[:, 5] = 0.0  # along the standard basis, a coordinate that does not vary
    x[11] = 0.0
    result = srmfast.run(x, basis, epsilon=0.5, null=39, centre=centre, seed=5)
    rows = x[np.abs(x).sum(axis=1) > 0] if not centre else x - result.centre
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    along = rows @ result.basis.T
    varies = along.std(axis=0) > 1e-9
    each = np.where(varies, stats.kurtosis(along, axis=0), np.nan)
    assert result.tested_vector.tolist() == list(range(len(result.basis)))
    assert result.tested_kurtosis == pytest.approx(each, rel=1e-9, nan_ok=True)
    some = each[varies]
    assert result.null_kurtosis[0] == pytest.approx([some.mean(), some.min(), some.max()], rel=1e-9)
    number = np.flatnonzero(np.abs(x).sum(axis=1) > 0) if not centre else np.arange(300)
    for fold in (0, 31, 63):
        left = along[number * 64 // 300 != fold]
        expected = stats.kurtosis(left[:, varies], axis=0).mean()
        assert result.null_kurtosis_without[0, fold] == pytest.approx(expected, rel=1e-9)
    norms = np.linalg.norm(x[number] - (result.centre if centre else 0.0), axis=1)
    assert result.null_norm[0] == pytest.approx(stats.spearmanr(norms, (along**4).sum(axis=1))[0], abs=1e-9)


def test_rotations_are_of_the_rows_drawn(rng):
    x = isotropic(rng, 3000)
    result = srmfast.run(x, "standard", epsilon=0.5, null=39, seed=2)
    drawn = np.sort(np.argsort(keys_of(np.arange(3000), 2))[:1024])
    rows = x[drawn] / np.linalg.norm(x[drawn], axis=1, keepdims=True)
    assert result.null_kurtosis[0, 0] == pytest.approx(stats.kurtosis(rows, axis=0).mean(), rel=1e-9)
    assert result.null_kurtosis[1:, 0].std() > 0


def test_heavy_tails_along_the_basis_are_found_and_light_ones(rng):
    found = kurtosis_of(srmfast.run(on_vectors(rng), "standard", epsilon=0.8, null=99))
    assert (found.verdict, found.mean.verdict, found.single.verdict) == ("aligned",) * 3 and found.p == 0.02
    assert found.low < found.size < found.high and found.size > 3 and len(found.coordinates) == D
    found = kurtosis_of(srmfast.run(on_corners(rng), "standard", epsilon=0.8, null=99))
    assert found.verdict == "anti-aligned" and found.size < -1
    x = isotropic(rng)
    x[:, 4] = 0.1 * rng.laplace(size=N) ** 3
    found = kurtosis_of(srmfast.run(x, "standard", epsilon=0.8, null=99))
    assert found.single.verdict == "aligned" and [one.vector for one in found.coordinates] == [4]


def test_rows_without_a_basis_have_no_kurtosis_beyond_rotations():
    found = [
        kurtosis_of(srmfast.run(isotropic(np.random.default_rng(seed)) @ np.diag(range(1, 13)), "random:12", epsilon=0.5, null=39, seed=seed, angles=8))
        for seed in range(12)
    ]  # fmt: skip
    assert sum(one.p <= 0.05 for one in found) <= 3
    assert kurtosis_of(srmfast.run(isotropic(np.random.default_rng(3)), "standard", null=99)).verdict == "none"


def test_p_of_kurtosis_is_exact_under_exchange(rng):
    frames = rng.normal(size=(40, 3)) * [1, 3, 3] + [0, -2, 2]
    orders = [np.r_[m, np.delete(np.arange(40), m)] for m in range(40)]
    without = np.full((40, 64), np.nan)
    found = [kurtosis.judge(frames[order], without, np.arange(3), np.zeros(3), 50) for order in orders]
    for side in ("p_aligned", "p_anti"):
        assert sorted(getattr(one, side) for one in found) == pytest.approx([(1 + m) / 40 for m in range(40)])
    assert all(math.isnan(one.low) for one in found)


def test_few_groups_decide_nothing_and_nothing_is_said_of_rows_that_do_not_vary(rng):
    result = srmfast.run(on_vectors(rng), "standard", epsilon=0.8, null=39)
    assert kurtosis_of(result, units=19).verdict == "undecided"
    same = srmfast.run(np.ones((100, 4)), np.eye(4), epsilon=0.4, null=39)
    assert kurtosis_of(same) is None


def test_longer_rows_on_the_basis_are_told(rng):
    x = isotropic(rng)
    x[: N // 2] = 50 * on_vectors(rng, N // 2)
    value, beyond, p = kurtosis.related(srmfast.run(x, "standard", epsilon=0.8, null=99).null_norm)
    assert value > 0.5 and beyond > 0.5 and p == 0.02
    x[: N // 2] /= 50 * 50
    assert kurtosis.related(srmfast.run(x, "standard", epsilon=0.8, null=99).null_norm)[0] < -0.5
    assert all(math.isnan(value) for value in kurtosis.related(np.full(40, np.nan)))
