"""What a result derives from its counts, and that it survives the disk."""

import json
import warnings

import cases
import numpy as np
import pytest

import srmfast
from srmfast import nulls
from srmfast.results import Results, centre_of_peak


@pytest.fixture
def labelled(rng):
    x = cases.rows("relu", 400, 6, rng)
    labels = rng.choice(["b", "a", ""], 400)
    return x, labels, srmfast.run(x, "plusminus", epsilon=(0.3, 0.8), angles=24, labels=labels, keep="all")


def test_labels_are_sorted_and_partition_the_rows(labelled):
    x, labels, result = labelled
    assert result.label.tolist() == ["a", "b", "unlabelled"]
    assert result.rows.tolist() == [(x[labels == name].any(axis=1)).sum() for name in ("a", "b", "")]
    for c, name in enumerate(("a", "b", "")):
        alone = srmfast.run(x[labels == name], "plusminus", epsilon=(0.3, 0.8), angles=24, keep="all")
        assert (alone.counts[0] == result.counts[c]).all()


def test_fraction_mean_median_and_quantiles_agree_with_numpy(labelled):
    _, _, result = labelled
    f = result.counts / result.rows[:, None, None, None]
    assert (result.fraction() == f).all()
    assert np.allclose(result.mean(), f.mean(axis=2))
    assert np.allclose(result.median(), np.median(f, axis=2))
    assert np.allclose(result.quantiles([0.05, 0.5, 1.0]), np.quantile(f, [0.05, 0.5, 1.0], axis=2))


def test_quantiles_count_the_planes_that_were_not_kept_as_zeros(rng):
    x = cases.rows("one-hot", 60, 9, rng)
    every, hit = (srmfast.run(x[:9], "standard", epsilon=0.95, angles=36, keep=keep) for keep in ("all", "hit"))
    assert hit.plane_i.size < every.plane_i.size
    q = [0.0, 0.1, 0.5, 0.77, 1.0]
    assert np.allclose(hit.quantiles(q), every.quantiles(q))
    top = srmfast.run(x, "standard", epsilon=0.95, angles=36, keep="top:3")
    with pytest.raises(srmfast.InputError, match="quantiles need all planes"):
        top.median()


def test_signed_is_odd_and_refused_where_it_means_nothing(rng):
    x = cases.rows("gaussian", 200, 5, rng)
    result = srmfast.run(x, "standard", epsilon=0.4, angles=36)
    signed = result.signed()
    assert (signed == -np.roll(signed, 18, axis=-1)).all()
    assert np.allclose(signed, result.fraction() - np.roll(result.fraction(), -18, axis=-1))
    with pytest.raises(srmfast.InputError, match="epsilon above 0"):
        srmfast.run(x, "standard", epsilon=(0.0, 0.4), angles=36).signed()
    with pytest.raises(srmfast.InputError, match="even number of angles"):
        srmfast.run(x, "standard", epsilon=0.4, angles=9).signed()


def test_self_srm_of_the_simplex_and_the_cross_polytope_peaks_as_published(rng):
    """SPEC 000-5: n = 16, b = 17 and 32, ε = .85."""
    x = rng.normal(size=(10, 16))
    simplex = srmfast.run(x, "simplex", epsilon=0.85, angles=720).self_srm()[0]
    assert simplex.max() == pytest.approx(1 / 17)
    at = np.degrees(2 * np.pi * np.flatnonzero(simplex) / 720)
    assert at[at < 180].min() == 0 and 31 <= at[at < 60].max() <= 31.79  # half-width arccos .85
    assert at[(at > 60) & (at < 180)].mean() == pytest.approx(93.58, abs=0.3)  # b_j
    cross = srmfast.run(x, "plusminus", epsilon=0.85, angles=360).self_srm()[0]
    assert cross[[0, 90, 180, 270]] == pytest.approx(1 / 32)


def test_null_is_the_isotropic_reference(labelled):
    _, _, result = labelled
    assert (result.null() == nulls.isotropic(np.array([0.3, 0.8]), 6)).all()


def test_top_planes_name_the_middle_of_the_peak(rng):
    x = np.zeros((50, 4))
    x[:, 2] = 1.0
    result = srmfast.run(x, "standard", epsilon=0.9, angles=360)
    best = result.top_planes(20)
    assert len(best) == 12 and best[0]["fraction"] == 1.0 and best[-1]["fraction"] == 0.0
    for plane in best[:6]:
        assert 2 in (plane["plane_i"], plane["plane_j"])
        assert plane["angle"] == pytest.approx(0.0 if plane["plane_i"] == 2 else np.pi / 2)


@pytest.mark.parametrize("curve, middle", [([0, 1, 1, 1, 0], 2), ([1, 1, 0, 0, 1], 0), ([3, 3, 3], 0), ([0, 0, 5], 2)])
def test_the_centre_of_a_peak_is_cyclic(curve, middle):
    assert centre_of_peak(curve) == middle


def test_a_label_without_rows_is_zero_and_not_nan(rng):
    x = cases.rows("gaussian", 30, 4, rng)
    x[:10] = 0
    labels = np.repeat([1, 2, 3], 10)
    result = srmfast.run(x, "standard", epsilon=0.3, angles=8, labels=labels)
    assert result.rows.tolist() == [0, 10, 10] and result.label.tolist() == ["1", "2", "3"]
    assert np.isfinite(result.fraction()).all() and np.isfinite(result.mean()).all()


def test_frame_and_csv_hold_every_count(labelled, tmp_path):
    pandas = pytest.importorskip("pandas")
    _, _, result = labelled
    frame = result.to_dataframe()
    assert len(frame) == result.counts.size and frame["count"].sum() == result.counts.sum()
    result.to_csv(tmp_path / "counts.csv")
    read = pandas.read_csv(tmp_path / "counts.csv", converters={"angle": float})
    assert (read["count"].to_numpy() == frame["count"].to_numpy()).all()
    assert (
        np.allclose(read["fraction"], frame["fraction"])
        and (read["angle"].to_numpy() == frame["angle"].to_numpy()).all()
    )


def test_the_size_of_a_table_is_told_before_it_is_written(labelled, tmp_path):
    _, _, result = labelled
    result.to_csv(tmp_path / "counts.csv")
    assert result.csv_bytes() == pytest.approx((tmp_path / "counts.csv").stat().st_size, rel=0.1)


def test_one_of_several_results_is_loaded_by_its_name(rng, tmp_path):
    x = cases.rows("gaussian", 30, 4, rng)
    stores, bases = {"a": x, "b": x[:20]}, {"own": "standard", "other": "random:4"}
    several = Results(
        {
            (store, name): srmfast.run(rows, basis, epsilon=0.4, angles=8)
            for store, rows in stores.items()
            for name, basis in bases.items()
        }
    )
    several.save(tmp_path / "s.zarr")
    one = srmfast.load(f"{tmp_path}/s.zarr::b/other")
    assert (one.counts == several["b", "other"].counts).all() and one.rows.tolist() == [20]
    assert list(srmfast.load(f"{tmp_path}/s.zarr::own")) == [("a", "own"), ("b", "own")]
    with pytest.raises(
        srmfast.InputError, match=r"a/own, a/other, b/own, b/other, got 'b/othr'; did you mean b/other\?"
    ):
        srmfast.load(f"{tmp_path}/s.zarr::b/othr")
    one.save(tmp_path / "one.zarr")
    with pytest.raises(srmfast.InputError, match="holds one result; drop '::own'"):
        srmfast.load(f"{tmp_path}/one.zarr::own")


def test_xarray_opens_a_saved_result_unaided(labelled, tmp_path):
    xarray = pytest.importorskip("xarray")
    _, _, result = labelled
    result.save(tmp_path / "out.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = xarray.open_zarr(tmp_path / "out.zarr")
        assert data.counts.dtype == np.int64 and (data.counts.values == result.counts).all()
        assert data.counts.dims == ("label", "epsilon", "plane", "angle")
        assert data.angle.attrs["units"] == "rad" and data.label.values.tolist() == ["a", "b", "unlabelled"]
        assert {"plane_i", "plane_j", "plane_angle"} <= set(data.counts.coords)
        assert (data.total.values == result.total).all() and data.attrs["format_version"] == 1


def test_a_result_survives_the_disk(labelled, tmp_path):
    _, _, result = labelled
    result.save(tmp_path / "out.zarr")
    back = srmfast.load(tmp_path / "out.zarr")
    for name in srmfast.archive.VARIABLES:
        assert np.array_equal(getattr(back, name), getattr(result, name)), name
    assert back.attrs == json.loads(json.dumps(result.attrs))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.zarr"]


def test_an_empty_result_survives_the_disk(tmp_path, rng):
    result = srmfast.run(rng.normal(size=(20, 300)), "standard", epsilon=0.95, angles=12, keep="hit")
    assert result.counts.shape == (1, 1, 0, 12) and result.attrs["planes_hit"] == 0
    assert 0 < result.attrs["suggested_epsilon"] < 0.95
    result.save(tmp_path / "out.zarr")
    assert srmfast.load(tmp_path / "out.zarr").counts.shape == (1, 1, 0, 12)
    assert (result.median() == 0).all()


def test_several_stores_and_bases_share_one_file(tmp_path, rng):
    x, y = cases.rows("gaussian", 90, 4, rng), cases.rows("relu", 80, 4, rng)
    request = srmfast.Request(epsilon=0.5, angles=12)
    results = srmfast.run_many({"x": x, "y": y}, {"own": "standard", "turned": "random:4"}, request)
    assert list(results) == [("x", "own"), ("x", "turned"), ("y", "own"), ("y", "turned")]
    results.save(tmp_path / "both.zarr")
    back = srmfast.load(tmp_path / "both.zarr")
    for key, result in results.items():
        assert (back[key].counts == result.counts).all()
        alone = srmfast.run(
            x if key[0] == "x" else y, {"own": "standard", "turned": "random:4"}[key[1]], epsilon=0.5, angles=12
        )
        assert (alone.counts == result.counts).all()


def test_an_existing_output_is_kept_unless_forced(labelled, tmp_path):
    _, _, result = labelled
    result.save(tmp_path / "out.zarr")
    with pytest.raises(srmfast.InputError, match="--force"):
        result.save(tmp_path / "out.zarr")
    result.save(tmp_path / "out.zarr", force=True)
    (tmp_path / "precious").mkdir()
    with pytest.raises(srmfast.InputError, match="replaces results only"):
        result.save(tmp_path / "precious", force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.zarr", "precious"]


def test_a_write_that_fails_leaves_the_old_result_whole(labelled, tmp_path, monkeypatch):
    from srmfast import archive

    _, _, result = labelled
    result.save(tmp_path / "out.zarr")

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive, "_write", full)
    with pytest.raises(srmfast.InputError, match="No space left"):
        result.save(tmp_path / "out.zarr", force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.zarr"]
    assert (srmfast.load(tmp_path / "out.zarr").counts == result.counts).all()


@pytest.mark.parametrize("damage", ["missing", "version", "array"])
def test_what_is_no_result_is_named(labelled, tmp_path, damage):
    import shutil

    _, _, result = labelled
    path = tmp_path / "out.zarr"
    if damage != "missing":
        result.save(path)
    if damage == "version":
        text = json.loads((path / ".zattrs").read_text()) | {"format_version": 99}
        (path / ".zattrs").write_text(json.dumps(text))
        (path / ".zmetadata").unlink()
    if damage == "array":
        shutil.rmtree(path / "total")
        (path / ".zmetadata").unlink()
    with pytest.raises(srmfast.InputError) as caught:
        srmfast.load(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
