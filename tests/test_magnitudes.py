"""Norms, offsets and totals beyond what a narrow type holds."""

import ml_dtypes
import numpy as np
import pytest

import srmfast
from srmfast import naive
from srmfast.engine import plan
from srmfast.tally import RowTally


def reference(x, result):
    pairs = list(zip(result.plane_i.tolist(), result.plane_j.tolist(), strict=True))
    return naive.counts(x, result.basis, pairs, result.epsilon, result.angle.size)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("scale", [700.0, 60_000.0, 3e-7])
@pytest.mark.parametrize("basis", ["standard", "random:6"])
def test_half_precision_rows_are_never_squared_in_half_precision(rng, dtype, scale, basis):
    x = (rng.uniform(0.4, 1.0, (300, 6)) * rng.choice([-1, 1], (300, 6)) * scale).astype(dtype)
    single = x.astype(np.float32)
    with np.errstate(over="ignore"):
        squared = (np.abs(x).astype(np.float16) ** 2).sum(axis=1)
        assert np.isinf(squared).all() or (squared == 0).all()  # the trap is set
    result = srmfast.run(x, basis, epsilon=(0.5, 0.9), angles=36)
    assert result.attrs["rows"]["used"] == 300
    assert np.array_equal(result.counts, srmfast.run(single, basis, epsilon=(0.5, 0.9), angles=36).counts)
    assert np.array_equal(result.counts[0], reference(single.astype(np.float64), result))


def test_a_norm_that_overflows_is_nonfinite_and_one_that_underflows_is_zero(rng):
    x = rng.standard_normal((40, 4))
    x[3] *= 1e200
    x[5] *= 1e-200
    result = srmfast.run(x, "standard", epsilon=0.7, angles=8, nonfinite="skip")
    rows = result.attrs["rows"]
    assert (rows["used"], rows["nonfinite"], rows["zero_norm"]) == (38, 1, 1)
    assert np.array_equal(result.counts[0], reference(np.delete(x, [3, 5], axis=0), result))


@pytest.mark.parametrize("centre", [False, True])
def test_a_huge_mean_changes_no_count(rng, centre):
    x = 1e8 + 1e-3 * rng.standard_normal((2000, 3))
    result = srmfast.run(x, "standard", epsilon=(0.3, 0.7), angles=36, centre=centre)
    again = srmfast.run(x, "standard", epsilon=(0.3, 0.7), angles=36, centre=centre, threads=3, block_rows=64)
    assert np.array_equal(result.counts, again.counts)
    if centre:
        spread = x - x.mean(axis=0)  # the means differ in the last bits: rows near an end of a cone may change sides
        assert np.abs(result.counts[0] - reference(spread, result)).max() <= 2
    else:
        assert np.array_equal(result.counts[0], reference(x, result))


def test_counters_are_as_wide_as_the_rows_need():
    assert plan.counter(2**30 - 1) == np.int32
    assert plan.counter(2**30) == np.int64


def test_tallies_add_beyond_32_bits():
    fate = np.full((64, 1, 3), 2**30, np.int64)
    both = RowTally(2**33, fate.copy()) + RowTally(2**33, fate.copy())
    assert both.seen == 2**34 and (both.fate == 2**31).all() and both.fate.sum() == 64 * 3 * 2**31
