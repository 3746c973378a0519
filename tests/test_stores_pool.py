"""Rows that are means over positions, and axes that are chosen by name."""

import h5py
import numpy as np
import pytest
import xarray
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import srmfast
from srmfast.errors import InputError
from srmfast.stores import _pool, open_store


def halves(values):
    """Sum (m, d) float64 in the order that is laid down: the second half onto the first, until one is left."""
    values = list(values)
    while len(values) > 1:
        half = (len(values) + 1) // 2
        values = [values[i] + values[i + half] if i + half < len(values) else values[i] for i in range(half)]
    return values[0]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, 5), min_size=3, max_size=4),
    st.sampled_from(["float16", "float32", "float64", "int8", "bfloat16", "float8_e4m3fn"]),
    st.data(),
)
def test_means_are_exact_and_do_not_depend_on_what_is_read_together(seed, shape, dtype, data):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    axis = data.draw(st.integers(1, len(shape) - 1))
    shape[axis] = data.draw(st.integers(2, 4))
    kind = getattr(ml_dtypes, dtype) if "bfloat" in dtype or "float8" in dtype else dtype
    x = (3 * np.random.default_rng(seed).normal(size=shape)).astype(kind)
    store = open_store(x, feature_axis=axis, pool="mean")
    items = np.moveaxis(x, axis, -1).astype(np.float64).reshape(shape[0], -1, shape[axis])
    expected = np.array([halves(item) / len(item) for item in items])
    assert store.shape == expected.shape and store.dtype == "float64" and store.row_shape == (shape[0],)
    block_bytes = _pool.BLOCK_BYTES
    try:
        _pool.BLOCK_BYTES = data.draw(st.sampled_from([1, 200, block_bytes]))
        store = open_store(x, feature_axis=axis, pool="mean")
        start = data.draw(st.integers(0, shape[0] - 1))
        assert (store.read(start, shape[0]) == expected[start:]).all()
    finally:
        _pool.BLOCK_BYTES = block_bytes


@pytest.mark.parametrize("chunks", [(2, 8, 2, 3), (5, 4, 3, 3)])
def test_every_format_gives_the_same_means(chunks, tmp_path, rng):
    x = rng.normal(size=(11, 8, 3, 3)).astype(np.float16)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "f.npy", np.asfortranarray(x))
    zarr.create_array(str(tmp_path / "x.zarr"), data=x, chunks=chunks)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=x, chunks=chunks)
    (tmp_path / "parts").mkdir()
    np.save(tmp_path / "parts" / "0.npy", x[:4])
    np.save(tmp_path / "parts" / "1.npy", x[4:])
    results = [
        srmfast.run(source, epsilon=0.4, angles=12, keep="all", feature_axis=1, pool="mean", labels=np.arange(11) % 2)
        for source in (x, *(f"{tmp_path}/{name}" for name in ("x.npy", "f.npy", "x.zarr", "x.h5", "parts")))
    ]
    rows = np.array([halves(item.reshape(8, 9).T.astype(float)) / 9 for item in x])
    plain = srmfast.run(rows, epsilon=0.4, angles=12, keep="all", labels=np.arange(11) % 2)
    assert plain.counts.any()
    for result in results:
        assert (result.counts == plain.counts).all()
        assert result.attrs["spec"]["store"]["view"]["pool"] == "mean"
    assert results[0].attrs["spec_digest"] != plain.attrs["spec_digest"]


def test_an_item_that_lacks_a_chunk_is_missing(tmp_path, rng):
    x = rng.normal(size=(6, 4, 4, 4))
    array = zarr.create_array(str(tmp_path / "x.zarr"), shape=x.shape, dtype=x.dtype, chunks=(1, 4, 2, 4))
    array[...] = x
    (tmp_path / "x.zarr" / "c" / "2" / "0" / "1" / "0").unlink()
    store = open_store(tmp_path / "x.zarr", feature_axis=1, pool="mean")
    assert store.missing_rows() == [[2, 3]]
    result = srmfast.run(tmp_path / "x.zarr", epsilon=0.4, feature_axis=1, pool="mean", missing_chunks="skip")
    assert result.attrs["rows"]["used"] == 5


def test_what_is_read_for_a_mean_is_told(tmp_path, rng, srmfast_main):
    np.save(tmp_path / "x.npy", rng.normal(size=(64, 8, 16, 16)).astype(np.float16))
    words = f"{tmp_path}/x.npy --feature-axis 1 --pool mean"
    assert "64 of 64, 8 wide, float64, 256 KiB to read" in srmfast_main(f"run {words} --dry-run").stdout
    inspected = srmfast_main(f"inspect {words}").stdout
    assert "(64, 8, 16, 16) float16" in inspected and "64 of width 8, each a mean" in inspected


def test_nonfinite_positions_make_the_row_nonfinite(rng):
    x = rng.normal(size=(4, 3, 5))
    x[1, 2, 0], x[2, 0, 1], x[2, 1, 1] = np.nan, np.inf, -np.inf
    assert srmfast.run(x, epsilon=0.4, pool="mean", nonfinite="skip").attrs["rows"]["nonfinite"] == 2


@pytest.mark.parametrize(
    "shape, options, message",
    [
        ((4, 5), {}, "has one alone"),
        ((4, 5, 6), {"index": {0: 1}}, "has one alone"),
        ((4, 5, 6), {"flatten": True}, "without --flatten"),
        ((4, 5, 6, 7), {}, "ambiguous: choose --feature-axis 1 .*--pool mean.*--flatten"),
    ],
)
def test_pools_that_cannot_be_are_refused(shape, options, message):
    with pytest.raises(InputError, match=message):
        open_store(np.zeros(shape), pool="mean", **options)
    with pytest.raises(InputError, match="must be mean"):
        open_store(np.zeros((4, 5, 6)), pool="max")


def test_memory_of_pooling_is_bounded_and_told(tmp_path):
    import tracemalloc

    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float16, (600, 64, 28, 28))  # 60 MB
    x[:] = np.float16(1)
    del x
    with open_store(tmp_path / "x.npy", feature_axis=1, pool="mean") as store:
        tracemalloc.start()
        try:
            assert (store.read(0, 600) == 1).all()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak - 600 * 64 * 8 <= 1.1 * store.working_bytes < 20e6


# ---- names --------------------------------------------------------------------------------------------------


def named(tmp_path, x, dims):
    """The same array with the names of its axes in every format that holds them."""
    xarray.DataArray(x, dims=dims, name="acts").to_dataset().to_zarr(tmp_path / "v2.zarr", zarr_format=2)
    xarray.DataArray(x, dims=dims, name="acts").to_dataset().to_zarr(
        tmp_path / "v3.zarr", zarr_format=3, consolidated=False
    )
    with h5py.File(tmp_path / "scales.nc", "w") as file:
        acts = file.create_dataset("acts", data=x)
        for axis, name in enumerate(dims):
            file.create_dataset(name, data=np.arange(x.shape[axis])).make_scale(name)
            acts.dims[axis].attach_scale(file[name])
    with h5py.File(tmp_path / "labels.h5", "w") as file:
        acts = file.create_dataset("acts", data=x)
        for axis, name in enumerate(dims):
            acts.dims[axis].label = name
    paths = [f"{tmp_path}/{name}::acts" for name in ("v2.zarr", "v3.zarr", "scales.nc", "labels.h5")]
    return [*paths, xarray.DataArray(x, dims=dims)]


def test_axes_are_chosen_by_name_and_layers_must_be(tmp_path, rng):
    x = rng.normal(size=(5, 3, 7))
    for source in named(tmp_path, x, ("sample", "layer", "neuron")):
        with pytest.raises(
            InputError,
            match=r"axis 1 of .* holds layers \(layer, 3 of them\).*--index layer=I \(with n_layers \+ 1 entries",
        ):
            open_store(source)
        assert (open_store(source, index={"layer": 2}).read(0, 5) == x[:, 2]).all()
        assert (open_store(source, index={"layer": -1}, feature_axis="sample").read(0, 7) == x[:, 2].T).all()
        with pytest.raises(InputError, match=r"must be one of its axes \(sample, layer, neuron\), got 'depth'"):
            open_store(source, index={"depth": 0})
    with pytest.raises(InputError, match="it names none; give a number"):
        open_store(x, index={"layer": 0})
    with pytest.raises(InputError, match="may be fixed once"):
        open_store(xarray.DataArray(x[None], dims=("a", "sample", "layer", "neuron")), index={"layer": 0, 2: 1})


def test_axes_are_named_on_the_command_line(tmp_path, rng, srmfast_main):
    x = rng.normal(size=(5, 3, 7))
    source = named(tmp_path, x, ("sample", "layer", "neuron"))[0]
    ended = srmfast_main(f"run {source} --index layer=1 --feature-axis neuron --dry-run")
    assert ended.rc == 0 and "5 of 5, 7 wide" in ended.stdout, ended
    assert "holds layers" in srmfast_main(f"inspect {source}").stderr
    assert "--index must be AXIS=I" in srmfast_main(f"run {source} --index layer --dry-run").stderr


def test_parts_of_a_store_have_named_axes_too(tmp_path, rng):
    x = rng.normal(size=(4, 3, 7))
    for part in range(2):
        with h5py.File(tmp_path / f"{part}.h5", "w") as file:
            acts = file.create_dataset("acts", data=x[2 * part : 2 * part + 2])
            acts.dims[1].label = "layer"
    assert (open_store(f"{tmp_path}::acts", index={"layer": 1}).read(0, 4) == x[:, 1]).all()
    with pytest.raises(InputError, match="holds layers"):
        open_store(f"{tmp_path}::acts")


def test_an_array_of_layers_beside_shows_which_axis_they_are(tmp_path, rng):
    np.savez(tmp_path / "a.npz", acts=rng.normal(size=(5, 3, 7)), layers=np.array([4, 8, 12]))
    with pytest.raises(InputError, match=r"axis 1 of .* holds layers \(see layers, 3 of them\).*--index 1=I"):
        open_store(f"{tmp_path}/a.npz::acts")
    assert open_store(f"{tmp_path}/a.npz::acts", index={1: 0}).n == 5
    np.savez(tmp_path / "b.npz", acts=rng.normal(size=(5, 4, 3)), layers=np.array([4, 8, 12]))  # of the features
    assert open_store(f"{tmp_path}/b.npz::acts").n == 20


def test_four_axes_without_a_choice_name_the_one_that_may_be_layers():
    with pytest.raises(
        InputError, match=r"if axis 1 of size 13 holds layers, choose one: --index 1=I \(with n_layers \+ 1"
    ):
        open_store(np.zeros((2, 13, 300, 8)))
    with pytest.raises(InputError, match="axis 1 of .* holds layers"):
        open_store(xarray.DataArray(np.zeros((2, 13, 300, 8)), dims=("sample", "layer", "token", "neuron")))


# ---- (d, n) stores ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["npy", "fortran", "npz", "deflated", "zarr", "sharded", "h5", "h5-whole"])
def test_features_first_are_read_in_bounded_memory(kind, tmp_path):
    import tracemalloc

    x = np.arange(64 * 120_000, dtype=np.float32).reshape(64, -1)  # 31 MB
    if kind in ("npy", "fortran"):
        np.save(tmp_path / "x.npy", x if kind == "npy" else np.asfortranarray(x))
        path = tmp_path / "x.npy"
    elif kind in ("npz", "deflated"):
        (np.savez if kind == "npz" else np.savez_compressed)(tmp_path / "x.npz", x=x)
        path = tmp_path / "x.npz"
    elif kind in ("zarr", "sharded"):
        chunks = {"chunks": (64, 1000)} | ({"shards": (64, 5000)} if kind == "sharded" else {})
        zarr.create_array(str(tmp_path / "x.zarr"), data=x, **chunks)
        path = tmp_path / "x.zarr"
    else:
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file.create_dataset("x", data=x, chunks=(64, 1000) if kind == "h5" else None)
        path = tmp_path / "x.h5"
    with open_store(path, feature_axis=0) as store:
        store.read(0, 10)
        tracemalloc.start()
        try:
            block = store.read(50_000, 52_000)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert (block == x[:, 50_000:52_000].T).all()
    assert peak < 8e6, f"{peak / 1e6:.1f} MB"
