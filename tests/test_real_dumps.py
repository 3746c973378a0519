"""Activation dumps that others have published, end to end: the numbers are those of the definition."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

import srmfast
from srmfast import naive


@pytest.fixture(scope="module")
def dumps():
    data = os.environ.get("SRMFAST_DATA")
    if not data:
        pytest.skip("SRMFAST_DATA is not set: it names the folder with the real activation dumps")
    return Path(data) / "activation_dumps"


@pytest.fixture
def counted(srmfast_main, tmp_path):
    """`counted("STORE …")` runs the command and loads its result."""

    def call(words):
        out = tmp_path / "o.zarr"
        ended = srmfast_main(f"run {words} --progress none -o {out} --force")
        assert ended.rc == 0 and ended.stderr == "", ended
        return srmfast.load(out)

    return call


def agrees(result, rows, rng, planes=4, label=0):
    """Compare some of the kept planes, all zeros or not, with the definition."""
    found = result.counts[label].any(axis=(0, 2))
    for hit in (True, False):
        kept = np.flatnonzero(found == hit)
        chosen = rng.choice(kept, min(planes, kept.size), replace=False)
        pairs = [(int(result.plane_i[p]), int(result.plane_j[p])) for p in chosen]
        want = naive.counts(rows, result.basis, pairs, result.epsilon.tolist(), result.angle.size)
        assert (result.counts[label][:, chosen] == want).all()


def reached(rows, epsilon, slack):
    """Count the pairs i < j of coordinates in whose plane some row has at least ε + slack of its norm."""
    squares = np.square(rows.astype(float))
    squares /= squares.sum(axis=1, keepdims=True)
    pairs = set()
    for row in squares:
        near = np.argsort(-row)
        for n, i in enumerate(near):
            others = near[n + 1 :][row[i] + row[near[n + 1 :]] >= (epsilon + slack) ** 2]
            if not others.size:
                break
            pairs.update((min(i, j), max(i, j)) for j in others.tolist())
    return len(pairs)


def test_words_of_a_small_language_model_by_category(dumps, counted, rng):
    store = f"{dumps}/zappi3_activations_500.npz::vectors --labels {dumps}/zappi3_categories.txt"
    result = counted(f"{store} --epsilon 0.3 --angles 90 --keep hit")
    rows = np.load(dumps / "zappi3_activations_500.npz")["vectors"]
    categories = np.array((dumps / "zappi3_categories.txt").read_text().split("\n")[:500])
    assert result.counts.shape[0] == 25 and result.rows.sum() == 500 and result.planes_total == 896 * 895
    assert result.label.tolist() == np.unique(categories).tolist()
    assert dict(zip(result.label.tolist(), result.rows.tolist(), strict=True))["months"] == 12
    agrees(result, rows[categories == "months"], rng, label=result.label.tolist().index("months"))
    assert (result.counts.sum(axis=2) == result.total).all()
    # One massive dimension (up to 1,775, where a typical row has norm 20) makes the highest peak.
    heaviest = int(np.abs(rows).max(axis=0).argmax())
    top = result.top_planes(1)[0]
    assert heaviest in (top["plane_i"], top["plane_j"])


def test_objects_beside_the_vectors_are_never_unpickled(dumps, srmfast_main, tmp_path):
    store = dumps / "zappi3_activations_500.npz"
    for words in (f"{store}::tokens", f"{store}::vectors --labels categories"):
        ended = srmfast_main(f"run {words} -o {tmp_path}/o.zarr")
        assert ended.rc == 1 and "never unpickled" in ended.stderr and len(ended.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_every_plane_of_a_residual_stream_4096_wide(dumps, counted, rng):
    store = f"{dumps}/zappi3_activations_mistral.npz::vectors"
    rows = np.load(dumps / "zappi3_activations_mistral.npz")["vectors"]
    empty = counted(f"{store} --epsilon 0.5 --keep hit")
    assert empty.planes_total == 4096 * 4095 and empty.attrs["planes_hit"] == reached(rows, 0.5, 0) == 0
    assert not empty.total.any() and empty.counts.shape == (1, 1, 0, 360)
    result = counted(f"{store} --epsilon 0.2 --keep hit")
    epsilon = result.epsilon[0]
    # Between two angles of the grid a row within a hair of ε can be missed, never invented.
    assert 2 * reached(rows, epsilon, 1e-4) <= result.attrs["planes_hit"] <= 2 * reached(rows, epsilon, 0)
    assert result.attrs["planes_hit"] == result.plane_i.size > 10_000
    assert (result.counts.sum(axis=2) == result.total).all()
    agrees(result, rows, rng)


def test_a_last_layer_saved_neurons_first(dumps, counted, rng):
    result = counted(f"{dumps}/svcca_MNIST_model_0_lay04.npy --feature-axis 0 --epsilon 0.5,0.9")
    rows = np.load(dumps / "svcca_MNIST_model_0_lay04.npy").T
    assert result.rows.tolist() == [10_000] and result.basis.shape == (10, 10) and result.planes_total == 90
    agrees(result, rows, rng)
    both = counted(
        f"{dumps}/svcca_MNIST_model_0_lay04.npy --feature-axis 0 --epsilon 0.5,0.9 --threads 1 --block-rows 64"
    )
    assert (both.counts == result.counts).all()


def test_a_rectified_layer_saved_points_first(dumps, counted, rng):
    result = counted(f"{dumps}/svcca_SVHN_model_0_lay06.npy --epsilon 0.5 --basis random:20 --seed 4")
    rows = np.load(dumps / "svcca_SVHN_model_0_lay06.npy")
    assert rows.min() == 0 and result.rows.tolist() == [1000] and result.planes_total == 380
    agrees(result, rows, rng)
    axes = counted(f"{dumps}/svcca_SVHN_model_0_lay06.npy --epsilon 0.5 --keep hit")
    agrees(axes, rows, rng)
    # No activation is negative: the half turn away from both basis vectors sees none.
    assert not axes.counts[0, 0][:, 181:270][:, 30:60].any()


def test_a_netcdf_file_is_hdf5(dumps, counted, rng):
    result = counted(f"{dumps}/brainscore_alexnet-rgb-1000.nc::__xarray_dataarray_variable__ --epsilon 0.15 --keep hit")
    with h5py.File(dumps / "brainscore_alexnet-rgb-1000.nc") as file:
        rows = file["__xarray_dataarray_variable__"][:]
    assert rows.shape == (1, 2000) and result.rows.tolist() == [1] and result.counts.max() == 1
    assert 2 * reached(rows, 0.15, 1e-4) <= result.attrs["planes_hit"] <= 2 * reached(rows, 0.15, 0)
    agrees(result, rows, rng)
