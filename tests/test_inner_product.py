"""Inner products other than the Euclidean: the counts are those of rows and vectors whose variables were changed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import srmfast
from srmfast import naive
from srmfast.analyses.verification import reproduce, verify
from srmfast.bases import random_frame
from srmfast.engine import Request, count_part, merge, prepare
from srmfast.errors import InputError
from srmfast.spec import Resources

N, D = 400, 6
ARRAYS = (
    "counts",
    "total",
    "fold_total",
    "rows_used",
    "plane_i",
    "plane_j",
    "plane_angle",
    "basis",
    "norm",
    "norm_rows",
)
COMPARED = ("phase", "null_phase", "null_extreme", "pair_phase", "surrogate_phase", "null_kurtosis")


def same(a, b, names=ARRAYS):
    for name in names:
        assert np.array_equal(getattr(a, name), getattr(b, name)), name


def product(rng, d=D):
    root = rng.normal(size=(d, d))
    return root @ root.T + np.eye(d)


def cholesky(matrix):
    """The root in plain NumPy: every sum is the pinned dot."""
    d = len(matrix)
    root = np.zeros((d, d))
    for j in range(d):
        root[j, j] = np.sqrt(matrix[j, j] - naive.pinned_dot(root[j], root[j]))
        for i in range(j + 1, d):
            root[i, j] = (matrix[i, j] - naive.pinned_dot(root[i], root[j])) / root[j, j]
    return root


def changed(rows, matrix):
    """Lᵀx of every row, in plain NumPy."""
    return naive.pinned_dot(np.asarray(rows, np.float64)[:, None, :], cholesky(matrix).T[None])


# ---- what it is --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int8])
@pytest.mark.parametrize("d", [2, 6, 17])
def test_counts_are_those_of_changed_rows_and_vectors(dtype, d, rng):
    x, matrix = (4 * rng.normal(size=(131, d))).astype(dtype), product(rng, d)
    vectors = rng.normal(size=(5, d))
    result = srmfast.run(x, vectors, inner_product=matrix, epsilon=(0.3, 0.7), angles=24, keep="all")
    unit = srmfast.load_basis(vectors, d).vectors
    basis = changed(unit, matrix)
    basis = basis / np.sqrt(naive.pinned_dot(basis, basis))[:, None]
    assert np.array_equal(result.basis, basis)
    planes = list(zip(result.plane_i, result.plane_j, strict=True))
    assert np.array_equal(result.counts[0], naive.counts(changed(x, matrix), basis, planes, (0.3, 0.7), 24))


def test_cosines_are_those_of_the_inner_product(rng):
    x, matrix, vectors = rng.normal(size=(300, D)), product(rng), rng.normal(size=(2, D))
    result = srmfast.run(x, vectors, inner_product=matrix, epsilon=0.5, angles=8, keep="all")
    lengths = np.sqrt(np.einsum("ni,ij,nj->n", x, matrix, x))
    first = x @ matrix @ vectors[0] / np.sqrt(vectors[0] @ matrix @ vectors[0])
    assert result.counts[0, 0, 0, 0] == (first >= 0.5 * lengths).sum()
    cosine = (
        vectors[0]
        @ matrix
        @ vectors[1]
        / np.sqrt(vectors[0] @ matrix @ vectors[0] * (vectors[1] @ matrix @ vectors[1]))
    )
    assert np.cos(result.plane_angle[0]) == pytest.approx(cosine)
    assert result.norms.median == pytest.approx(np.sort(lengths)[149], rel=1e-3)


@pytest.mark.parametrize("options", [{}, dict(centre=True), dict(max_norm=1.3), dict(null=39, labels=np.arange(N) % 2)])
def test_it_is_the_run_over_stored_rows_that_were_changed(options, rng):
    x, matrix = rng.normal(size=(N, D)).astype(np.float32) + 0.2, product(rng)
    x[7], x[8] = 0.0, np.nan
    common = dict(epsilon=(0.4, 0.8), angles=16, nonfinite="skip") | options
    result = srmfast.run(x, "random:7", inner_product=matrix, **common)
    plain = srmfast.run(changed(x, matrix), result.basis, **common)
    same(result, plain)
    assert result.offset == plain.offset and result.attrs["rows"] == plain.attrs["rows"]
    if "null" in options:
        same(result, plain, COMPARED)
        assert result.alignment() == plain.alignment()
    if "centre" in options:
        assert np.array_equal(result.centre, plain.centre)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int16])
def test_the_identity_is_the_euclidean_one(dtype, rng):
    x = (9 * rng.normal(size=(N, D))).astype(dtype)
    x[3] = 0
    options = dict(epsilon=(-0.2, 0.5), angles=24, null=39)
    plain = srmfast.run(x, "standard", **options)
    same(srmfast.run(x, "standard", inner_product=np.eye(D), **options), plain, (*ARRAYS, *COMPARED))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), powers=st.lists(st.integers(-6, 6), min_size=D, max_size=D))
def test_a_diagonal_scales_coordinates(seed, powers):
    """Roots of powers of four are exact: the counts are those of scaled rows, and e_i stays e_i."""
    x, scales = np.random.default_rng(seed).normal(size=(60, D)), 2.0 ** np.array(powers)
    options = dict(epsilon=(0.3, 0.8), angles=12)
    same(
        srmfast.run(x, "standard", inner_product=np.diag(scales**2), **options),
        srmfast.run(x * scales, "standard", **options),
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_turning_rows_vectors_and_matrix_together_changes_nothing(seed):
    """x·My of turned x and y with QMQᵀ is what it was: no row is near a border here, so no count may differ."""
    rng = np.random.default_rng(seed)
    x, matrix, turn, vectors = rng.normal(size=(60, D)), product(rng), random_frame(D, D, rng), rng.normal(size=(3, D))
    turned = turn @ matrix @ turn.T
    options = dict(epsilon=0.5, angles=12, keep="all")
    first = srmfast.run(x, vectors, inner_product=matrix, **options)
    second = srmfast.run(x @ turn.T, vectors @ turn.T, inner_product=(turned + turned.T) / 2, **options)
    assert np.array_equal(first.counts, second.counts) and second.plane_angle == pytest.approx(first.plane_angle)


def test_a_multiple_is_the_same(rng):
    x, matrix = rng.normal(size=(N, D)), product(rng)
    options = dict(epsilon=0.5, angles=12)
    names = [name for name in ARRAYS if not name.startswith("norm")]
    same(
        srmfast.run(x, "standard", inner_product=4 * matrix, **options), srmfast.run(x, "standard", inner_product=matrix, **options), names
    )  # fmt: skip


def test_whitened_rows_are_as_isotropic_as_they_were(rng):
    """With the inverse covariance, the cosine is that of Mahalanobis: a covariance along the basis is no alignment."""
    x = rng.normal(size=(1500, D)) / np.arange(1, D + 1)
    assert srmfast.run(x, "standard", epsilon=0.6, null=99).alignment().verdict == "aligned"
    whitened = srmfast.run(x, "standard", epsilon=0.6, null=99, inner_product=np.linalg.inv(np.cov(x.T)))
    assert whitened.alignment().verdict in ("none", "undecided")


# ---- however it is carried out -----------------------------------------------------------------------

OPTIONS = dict(epsilon=(0.4, 0.8), angles=16, null=39, seed=3)


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(5)
    return rng.normal(size=(1000, 9)).astype(np.float16), product(rng, 9)


def test_threads_blocks_and_formats_change_nothing(table, tmp_path):
    import h5py
    import zarr

    x, matrix = table
    alone = srmfast.run(x, "random:12", inner_product=matrix, threads=1, **OPTIONS)
    zarr.create_array(str(tmp_path / "x.zarr"), data=x, chunks=(100, 9))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=x, chunks=(30, 9))
    np.save(tmp_path / "m.npy", matrix)
    for store in (tmp_path / "x.zarr", f"{tmp_path}/x.h5::x"):
        more = dict(threads=3, block_rows=37, inner_product=str(tmp_path / "m.npy"))
        same(alone, srmfast.run(str(store), "random:12", **more, **OPTIONS), (*ARRAYS, *COMPARED))


def test_merged_parts_and_interrupted_runs_have_the_counts_of_one(table, tmp_path):
    x, matrix = table
    np.save(tmp_path / "x.npy", x)
    whole = srmfast.run(str(tmp_path / "x.npy"), "random:12", inner_product=matrix, **OPTIONS)
    resources, paths = Resources.resolve(threads=2), []
    for number in (2, 1, 3):
        request = Request(inner_product=matrix, **OPTIONS)
        members = prepare([("", x)], [("", "random:12")], request, resources)
        paths.append(tmp_path / f"{number}.part")
        count_part(members, request, resources, (number, 3), paths[-1])
    merged = merge(paths)
    same(whole, merged, (*ARRAYS, *COMPARED))
    assert np.array_equal(merged.inner_product, matrix)

    def stop(event):
        if type(event).__name__ == "Rotating":
            raise KeyboardInterrupt

    again = dict(checkpoint=tmp_path / "state", **OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        srmfast.run(str(tmp_path / "x.npy"), "random:12", inner_product=matrix, on_event=stop, **again)
    with pytest.raises(InputError, match="inner_product"):
        srmfast.run(str(tmp_path / "x.npy"), "random:12", **again)
    same(
        whole,
        srmfast.run(str(tmp_path / "x.npy"), "random:12", inner_product=matrix, threads=1, **again),
        (*ARRAYS, *COMPARED),
    )


@pytest.mark.parametrize("centre", [False, True])
def test_it_is_verified_and_done_again_from_its_file(centre, table, tmp_path):
    x, matrix = table
    np.save(tmp_path / "x.npy", x)
    result = srmfast.run(str(tmp_path / "x.npy"), "random:12", inner_product=matrix, centre=centre, **OPTIONS)
    result.save(tmp_path / "out.zarr")
    loaded = srmfast.load(tmp_path / "out.zarr")
    assert np.array_equal(loaded.inner_product, matrix) and loaded.attrs["spec"]["inner_product"]
    assert "inner product x·My, M = array" in " ".join(loaded.summary().split())
    resources = Resources.resolve(threads=2)
    found = verify(loaded, resources=resources)
    assert found.holds, str(found)
    same(loaded, reproduce(loaded, resources=resources))
    x[500:] *= -1
    np.save(tmp_path / "y.npy", x)
    assert not verify(loaded, str(tmp_path / "y.npy"), folds=64, resources=resources).holds


def test_commands(table, tmp_path, srmfast_main, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, matrix = table
    np.save("x.npy", x)
    np.save("m.npy", matrix)
    ended = srmfast_main("mean x.npy --inner-product m.npy -o mean.npy --progress none")
    assert ended.rc == 0 and "run STORE --inner-product m.npy --centre mean.npy" in ended.stdout
    ended = srmfast_main("run x.npy --inner-product m.npy --centre mean.npy --epsilon 0.5 -o out.zarr --progress none")
    assert ended.rc == 0, ended.stderr
    whole = srmfast.run(x, "standard", inner_product=matrix, centre=True, epsilon=0.5)
    assert np.array_equal(np.load("mean.npy"), whole.centre)
    same(srmfast.load("out.zarr"), whole)
    np.save("bad.npy", -matrix)
    ended = srmfast_main("run x.npy --inner-product bad.npy -o bad.zarr --progress none")
    assert ended.rc == 1 and "must be positive definite" in ended.stderr and len(ended.stderr.splitlines()) == 1


# ---- what cannot be used -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "matrix, said",
    [
        (np.eye(D - 1), r"must be \(6, 6\) finite numbers"),
        (np.full((D, D), np.nan), "finite numbers"),
        (np.eye(D) * 1j, "finite numbers"),
        (np.triu(np.ones((D, D))), r"must be symmetric, got 1 at \(0, 1\) and 0 at \(1, 0\); use \(M \+ M.T\)/2"),
        (np.ones((D, D)), "must be positive definite, but eigenvalues run from .* to 6 .*; add 6e-06 to its diagonal"),
        (np.diag([1.0, 2, 3, 4, 5, -2]), "eigenvalues run from -2 to 5 .*; add 2 to its diagonal"),
        (np.zeros((D, D)), "must be positive definite"),
    ],
)  # fmt: skip
def test_other_matrices_are_refused_in_one_line(matrix, said, rng):
    with pytest.raises(InputError, match=said):
        srmfast.run(rng.normal(size=(9, D)), "standard", inner_product=matrix)


def test_results_of_before_have_the_euclidean_one(table):
    from srmfast.spec import Spec, differing

    spec = srmfast.run(table[0], "standard", epsilon=0.5).attrs["spec"]
    old = {name: value for name, value in spec.items() if name != "inner_product"}
    assert Spec.from_dict(old).inner_product == "" and not differing(old, spec)
