"""The fast path equals the definition by `==`: on ties, zeros, parallel pairs, odd sizes, however it is computed."""

import cases
import numpy as np
import pytest

import srmfast
from srmfast import naive

N = 157  # divisible by no block size and no thread count


@pytest.mark.parametrize("rows, basis, d", cases.pairwise(cases.ROWS, cases.BASES, cases.DIMS))
def test_counts_equal_the_definition(rows, basis, d, rng):
    x = cases.rows(rows, N, d, rng)
    b = cases.basis(basis, d, rng)
    a = cases.GRIDS[(d + len(rows) + len(basis)) % len(cases.GRIDS)]
    planes = "permutations" if len(b) <= 10 else "random:60"
    result = srmfast.run(x, b, epsilon=cases.EPSILONS, angles=a, planes=planes, keep="all")
    expected = cases.reference(x, result)
    assert (result.counts[0] == expected).all()
    assert (result.total[0] == expected.sum(axis=1)).all()
    assert (result.fold_total.sum(axis=0) == result.total).all()
    assert result.rows[0] == (naive.pinned_dot(x, x) > 0).sum()


@pytest.mark.parametrize("a", [8, 9, 10, 12, 45, 90, 360, 720, 3601])
@pytest.mark.parametrize("rows", ["gaussian", "on-grid", "small-integer"])
def test_every_grid_agrees(rows, a, rng):
    x = cases.rows(rows, N, 4, rng)
    result = srmfast.run(x, cases.basis("oblique", 4, rng), epsilon=cases.EPSILONS, angles=a, keep="all")
    assert (result.counts[0] == cases.reference(x, result)).all()


@pytest.mark.parametrize(
    "threads, block_rows, centre, keep",
    cases.pairwise([1, 2, 4, 7], [1, 7, 64, 2003], [False, True], ["all", "hit"]),
)
def test_resources_change_nothing(threads, block_rows, centre, keep, rng):
    x = cases.rows("relu", 2003, 12, rng) + 0.25
    labels = rng.integers(0, 3, 2003)
    options = dict(epsilon=(0.4, 0.8), angles=24, labels=labels, centre=centre, keep=keep)
    b = cases.basis("oblique", 12, rng)
    alone = srmfast.run(x, b, threads=1, **options)
    other = srmfast.run(x, b, threads=threads, block_rows=block_rows, **options)
    assert_same(alone, other)


@pytest.mark.parametrize("planes", ["permutations", "combinations", "neighbours", "random:20"])
@pytest.mark.parametrize("basis", cases.BASES)
def test_plane_kinds_count_the_same_planes_alike(planes, basis, rng):
    x = cases.rows("gaussian", N, 6, rng)
    result = srmfast.run(x, cases.basis(basis, 6, rng), epsilon=0.6, angles=16, planes=planes, keep="all")
    assert (result.counts[0] == cases.reference(x, result)).all()
    assert result.planes_total == result.plane_i.size
    if planes == "combinations":
        assert (result.plane_i < result.plane_j).all()


def test_planes_from_a_file_keep_both_directions_apart(tmp_path, rng):
    x = cases.rows("gaussian", N, 5, rng)
    pairs = np.array([[3, 1], [0, 4], [1, 3], [2, 0]])
    np.save(tmp_path / "planes.npy", pairs)
    result = srmfast.run(x, "standard", epsilon=0.5, angles=16, planes=str(tmp_path / "planes.npy"), keep="all")
    assert set(zip(result.plane_i.tolist(), result.plane_j.tolist(), strict=True)) == {(3, 1), (0, 4), (1, 3), (2, 0)}
    assert (result.counts[0] == cases.reference(x, result)).all()


def test_hits_and_sums_alone_agree_with_all_planes(rng):
    x = cases.rows("one-hot", 300, 9, rng) + 0.05 * rng.normal(size=(300, 9))
    everything, hit, summary, top = (
        srmfast.run(x, "standard", epsilon=(0.95, 0.99), angles=360, keep=keep)
        for keep in ("all", "hit", "summary", "top:7")
    )
    number = {pair: n for n, pair in enumerate(zip(everything.plane_i, everything.plane_j, strict=True))}
    at = [number[pair] for pair in zip(hit.plane_i, hit.plane_j, strict=True)]
    assert (everything.counts[:, :, at] == hit.counts).all()
    assert everything.counts.sum() == hit.counts.sum() and hit.attrs["planes_hit"] == len(at)
    for other in (hit, summary, top):
        assert (other.total == everything.total).all() and (other.fold_total == everything.fold_total).all()
    peaks = everything.counts.max(axis=(0, 1, 3))
    assert sorted(top.counts.max(axis=(0, 1, 3))) == sorted(np.sort(peaks)[-7:])


@pytest.mark.parametrize("scale", [1e-24, 1e20])
def test_extreme_float32_rows_count_as_they_should(scale, rng):
    x = (cases.rows("gaussian", N, 8, rng) * scale).astype(np.float32)
    result = srmfast.run(x, "standard", epsilon=cases.EPSILONS, angles=24, keep="all")
    assert (result.counts[0] == cases.reference(x, result)).all() and result.rows[0] == N


@pytest.mark.parametrize("scale", [1e-150, 1e150, 1e-155, 2.0**-500, 5e-160])
@pytest.mark.parametrize("basis", ["standard", "oblique"])
def test_extreme_float64_rows_count_as_they_should(scale, basis, rng):
    x = cases.rows("gaussian", N, 8, rng) * scale
    result = srmfast.run(x, cases.basis(basis, 8, rng), epsilon=cases.EPSILONS, angles=24, keep="all")
    assert (result.counts[0] == cases.reference(x, result)).all()


def test_one_entry_far_below_the_others_is_decided_by_the_line(rng):
    x = cases.rows("gaussian", N, 4, rng)
    x[:, :2] *= 10.0 ** rng.integers(-323, -280, (N, 1))
    for basis in ("standard", "oblique"):
        result = srmfast.run(x, cases.basis(basis, 4, rng), epsilon=(-0.1, 0.0, 1e-310, 0.3), angles=360, keep="all")
        assert (result.counts[0] == cases.reference(x, result)).all()


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "int64", "bool"]
)
def test_every_stored_type_is_decoded_exactly(dtype, rng):
    x = (
        (rng.normal(size=(N, 6)) * (3 if dtype != "bool" else 1)).astype(dtype)
        if dtype != "bool"
        else rng.integers(0, 2, (N, 6)).astype(bool)
    )
    if dtype.startswith("u"):
        x = rng.integers(0, 9, (N, 6)).astype(dtype)
    result = srmfast.run(x, "standard", epsilon=(0.5, 0.8), angles=36, keep="all")
    assert (result.counts[0] == cases.reference(x, result)).all()


def test_bfloat16_is_decoded_exactly(rng):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = rng.normal(size=(N, 6)).astype(ml_dtypes.bfloat16)
    result = srmfast.run(x, "standard", epsilon=(0.5, 0.8), angles=36, keep="all")
    assert (result.counts[0] == cases.reference(x.astype(np.float64), result)).all()


def test_centred_counts_are_those_of_rows_minus_the_mean(rng):
    x = cases.rows("relu", N, 5, rng)
    result = srmfast.run(x, "standard", epsilon=(0.2, 0.6), angles=36, centre=True, keep="all")
    mean = tree_mean(x.astype(np.float64))
    assert (result.counts[0] == cases.reference(x - mean, result)).all()
    given = srmfast.run(x, "standard", epsilon=(0.2, 0.6), angles=36, centre=mean, keep="all")
    assert (given.counts == result.counts).all()


def test_zero_rows_are_inside_every_cone_when_kept_and_epsilon_is_not_positive(rng):
    x = cases.rows("gaussian", 50, 4, rng)
    x[::5] = 0
    dropped = srmfast.run(x, "standard", epsilon=(-0.5, 0.0, 0.5), angles=8, keep="all")
    kept = srmfast.run(x, "standard", epsilon=(-0.5, 0.0, 0.5), angles=8, keep="all", zero_rows="keep")
    assert dropped.rows[0] == 40 and kept.rows[0] == 50
    assert (kept.counts - dropped.counts == np.array([10, 10, 0])[:, None, None]).all()
    assert (kept.total - dropped.total == np.array([10, 10, 0])[:, None] * 12).all()


def tree_mean(x):
    return tree_sum(x) / len(x)


def tree_sum(x):
    """Sum by the aligned binary tree over row numbers, in plain recursion."""

    def node(level, index):
        start = index << level
        if start >= len(x):
            return None
        if level == 0:
            return x[start]
        left, right = node(level - 1, 2 * index), node(level - 1, 2 * index + 1)
        return left if right is None else left + right

    return node(len(x).bit_length(), 0)


def assert_same(one, other):
    for name in ("counts", "total", "fold_total", "rows_used", "plane_i", "plane_j", "label"):
        assert (getattr(one, name) == getattr(other, name)).all(), name
    assert one.attrs["spec_digest"] == other.attrs["spec_digest"]
    assert one.attrs["rows"] == other.attrs["rows"]
    assert one.offset == other.offset
