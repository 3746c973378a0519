"""Patterns over layers, and layers side by side: the table, its data and its picture."""

import csv
import dataclasses
import itertools
import math

import h5py
import layout_files
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import srmfast
from srmfast import plots
from srmfast.atlas import atlas, holm
from srmfast.atlaslines import clearest, joint_name, lines, short_names
from srmfast.errors import InputError
from srmfast.results import Results
from srmfast.stores import open_store, several_of

N, D, L = 200, 4, 11
OPTIONS = {"epsilon": 0.5, "angles": 36}


def layers(seed=1):
    """Rows of eleven layers: the deeper, the nearer to the axes."""
    rng = np.random.default_rng(seed)
    near = np.zeros((N, D))
    near[np.arange(N), rng.integers(D, size=N)] = 4 * rng.choice([-1.0, 1.0], N)
    return {f"layer{n}": (rng.normal(size=(N, D)) + n / L * near).astype(np.float32) for n in range(L)}


BESIDE = {
    "labels": np.arange(N) % 3,
    "tokens": np.arange(2 * N).reshape(N, 2),
    "mask": (np.arange(2 * N) % 5 > 0).reshape(N, 2),
}


def write_zarr(tmp, arrays):
    root = zarr.open_group(str(tmp / "acts.zarr"), mode="w")
    for name, values in arrays.items():
        root.create_array(name, data=values)
    return tmp / "acts.zarr"


def write_hdf5(tmp, arrays):
    with h5py.File(tmp / "acts.h5", "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return tmp / "acts.h5"


def write_npz(tmp, arrays):
    np.savez(tmp / "acts.npz", **arrays)
    return tmp / "acts.npz"


def write_safetensors(tmp, arrays):
    save_file = pytest.importorskip("safetensors.numpy").save_file
    save_file({name: np.ascontiguousarray(values) for name, values in arrays.items()}, tmp / "acts.safetensors")
    return tmp / "acts.safetensors"


WRITERS = [write_zarr, write_hdf5, write_npz, write_safetensors]


@pytest.fixture(scope="module")
def tested():
    """Three layers and two bases, compared with 39 rotations."""
    held, turned = layers(), np.linalg.qr(np.random.default_rng(3).normal(size=(D, D)))[0]
    stores = {f"acts.{name}": held[name] for name in ("layer0", "layer5", "layer10")}
    request = srmfast.Request(epsilon=(0.5, 0.8), angles=36, null=39)
    return srmfast.run_many(stores, {"standard": "standard", "turned": turned}, request)


def many(tested, count, suffix=""):
    """As many layers as wanted, of the three in turn."""
    members = list(tested.values())[::2]
    return Results({(f"net.block{n}.out{suffix}", "standard"): members[n % 3] for n in range(count)})


# ---- patterns --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_a_pattern_is_a_store_for_each_array_in_natural_order(tmp_path, write):
    arrays = layers()
    path = write(tmp_path, arrays | BESIDE)
    several = several_of(f"{path}::*", {})
    assert several.names == tuple(f"layer{n}" for n in range(L))
    assert all(f"{name} (" in several.left_out for name in BESIDE) and "layer" not in several.left_out
    request = srmfast.Request(**OPTIONS, labels="labels", keep="summary")
    found = srmfast.run_many({"": f"{path}::layer1*"}, {"": "standard"}, request)
    assert list(found) == [("acts.layer1", "standard"), ("acts.layer10", "standard")]
    for name in ("layer1", "layer10"):
        alone = srmfast.run(arrays[name], labels=BESIDE["labels"], keep="summary", **OPTIONS)
        assert np.array_equal(found[f"acts.{name}", "standard"].fold_total, alone.fold_total)


def test_a_run_tells_what_a_pattern_stands_for(tmp_path, srmfast_main):
    path, out = write_npz(tmp_path, {"layer2": np.eye(9), "layer10": np.eye(9)} | BESIDE), tmp_path / "out.zarr"
    ended = srmfast_main(f"run '{path}::*' --epsilon 0.5 --angles 36 --progress none -o {out}")
    assert ended.rc == 0, ended.stderr
    assert list(srmfast.load(out)) == [("acts.layer2", "standard"), ("acts.layer10", "standard")]
    (told,) = ended.stderr.splitlines()
    assert "2 stores, layer2, layer10; left out, as they are no activations: labels (200,) int64" in told


def test_a_pattern_means_groups_too_and_part_of_the_names(tmp_path):
    arrays = {f"enc/layer{n}/out": values for n, values in enumerate(layers().values())}
    path = write_hdf5(tmp_path, arrays | {"dec/out": arrays["enc/layer0/out"]})
    one_digit = several_of(f"{path}::enc/layer?", {})
    assert one_digit.names == tuple(f"enc/layer{n}/out" for n in range(10)) and not one_digit.left_out
    results = srmfast.run_many({"": f"{path}::enc/layer[01]", "mine": f"{path}::dec/*"}, {"": "standard"})
    assert [store for store, _ in results] == ["acts.enc.layer0.out", "acts.enc.layer1.out", "mine.dec.out"]


def test_what_is_no_pattern_is_one_store(tmp_path):
    path = write_npz(tmp_path, layers())
    for source in (path, f"{path}::layer1", np.ones((3, 4)), f"{tmp_path}/none.npz::layer*", "a.bin::float32,[3]x4"):
        assert several_of(source, {}) is None
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        file["layer[1]"] = np.ones((3, 4))
        file["layer1"] = np.zeros((3, 4))
    assert several_of(f"{tmp_path}/odd.h5::layer[1]", {}) is None  # the name of an array


def test_a_pattern_that_matches_nothing_says_what_there_is(tmp_path):
    path = write_npz(tmp_path, layers() | BESIDE)
    with pytest.raises(
        InputError, match=r"no array that matches 'lyer\*'; it holds .*layer0.*; did you mean layer\d+\?"
    ):
        several_of(f"{path}::lyer*", {})
    with pytest.raises(
        InputError, match=r"matches no array of numbers with two or more axes, only labels \(200,\) int64"
    ):
        several_of(f"{path}::lab*", {})
    assert several_of(f"{path}::tok*", {}).names == ("tokens",)  # integers, where there is nothing else


def test_one_store_is_asked_for_where_one_is_needed(tmp_path, srmfast_main):
    path = write_npz(tmp_path, layers())
    with pytest.raises(InputError, match="one store is needed here, and .*layer. stands for 11 of them"):
        srmfast.run(f"{path}::layer*", **OPTIONS)
    for command in ("mean", "neurons"):
        ended = srmfast_main(f"{command} '{path}::layer*' -o {tmp_path}/x.{'npy' if command == 'mean' else 'zarr'}")
        assert ended.rc == 1 and "stands for 11 of them" in ended.stderr
    ended = srmfast_main(f"inspect '{path}::layer*'")
    assert ended.stdout.startswith(f"{path}::layer*: 11 stores, layer0 … layer10; srmfast run takes all of them")
    assert "acts.npz::layer0" in ended.stdout


def test_stores_as_wide_as_no_basis_are_left_out_and_named(tmp_path, srmfast_main):
    path, out = write_npz(tmp_path, {"a": np.ones((9, D)), "probs": np.ones((9, 7))}), tmp_path / "o.zarr"
    np.save(tmp_path / "b.npy", np.eye(D))
    ended = srmfast_main(f"run '{path}::*' --basis {tmp_path}/b.npy --angles 36 --progress none -o {out}")
    assert ended.rc == 0 and "left out, as wide as no basis" in ended.stderr and "::probs" in ended.stderr
    assert srmfast.load(out).attrs["store_name"] == "acts.a"
    assert len(srmfast.run_many({"": f"{path}::*"}, {"": "standard"})) == 2  # of any width
    with pytest.raises(InputError, match="basis vectors must be 7 wide"):
        srmfast.run_many({"": f"{path}::pro*"}, {"": np.eye(D)})


def test_layers_of_a_dump_are_taken_by_name_or_by_position(tmp_path):
    dump = layout_files.vllm(tmp_path)
    path = dump.spec.partition("::")[0]
    by_name = srmfast.run_many({"": f"{path}::*"}, {"": "standard"}, srmfast.Request(**OPTIONS))
    assert [store for store, _ in by_name] == ["out.0", "out.1", "out.2"]
    by_place = srmfast.run_many({"": path}, {"": "standard"}, srmfast.Request(**OPTIONS, index={"layer": "*"}))
    assert [store for store, _ in by_place] == ["out.layer0", "out.layer1", "out.layer2"]
    alone = srmfast.run(dump.spec, **OPTIONS)
    assert np.array_equal(by_name["out.1", "standard"].counts, alone.counts)
    assert np.array_equal(by_place["out.layer1", "standard"].counts, alone.counts)
    with pytest.raises(InputError, match=r"no array that matches '\[789\]'; it holds 0, 1, 2"):
        several_of(f"{path}::[789]", {})
    with pytest.raises(InputError, match=r"or run over all by '.*out::\*'"):
        open_store(path)


def test_arrays_that_are_layers_of_a_dump_are_taken_by_position_too(tmp_path):
    path = layout_files.crosslayer(tmp_path).spec.partition("::")[0]
    assert several_of(f"{path}::*", {}).names == ("layer_0", "layer_3", "layer_11")
    assert several_of(path, {"index": {"layer": "*"}}).names == ("layer_0", "layer_3", "layer_11")
    path = layout_files.neurox(tmp_path).spec
    with pytest.raises(InputError, match=r"the layers of .* are positions: take all by --index layer=\*"):
        several_of(f"{path}::*", {})
    assert several_of(path, {"index": {"layer": "*"}}).names[:2] == ("layer0", "layer1")


def test_every_position_of_an_axis_is_a_store_that_can_be_counted_again(tmp_path, srmfast_main):
    rows, out = np.stack(list(layers().values())[:3], axis=1), tmp_path / "out.zarr"
    np.save(tmp_path / "stack.npy", rows)
    ended = srmfast_main(f"run {tmp_path}/stack.npy --index 1=* --epsilon 0.5 --angles 36 --progress none -o {out}")
    assert ended.rc == 0, ended.stderr
    found = srmfast.load(out)
    assert [store for store, _ in found] == ["stack.axis1-0", "stack.axis1-1", "stack.axis1-2"]
    for n in range(3):
        assert np.array_equal(found[f"stack.axis1-{n}", "standard"].total, srmfast.run(rows[:, n], **OPTIONS).total)
    ended = srmfast_main(f"verify {out} --progress none")
    assert ended.rc == 0 and "differ" not in ended.stdout
    with pytest.raises(InputError, match=r"every position of one axis can be meant, got 0=\* and 1=\*"):
        several_of(rows, {"index": {0: "*", 1: "*"}})


def test_a_key_with_a_pattern_holds_for_every_part_of_a_glob(tmp_path):
    arrays = layers()
    for part in range(2):
        np.savez(tmp_path / f"part-{part}.npz", **{name: values[part::2] for name, values in arrays.items()})
    several = several_of(f"{tmp_path}/part-*.npz::layer1*", {})
    assert several.names == ("layer1", "layer10")
    found = srmfast.run_many({"": f"{tmp_path}/part-*.npz::layer1*"}, {"": "standard"}, srmfast.Request(**OPTIONS))
    alone = srmfast.run(arrays["layer10"], **OPTIONS)
    assert np.array_equal(found["part.layer10", "standard"].total, alone.total)


# ---- the table -------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=5))
def test_holm_is_the_closed_test_of_bonferroni(p):
    found, every = holm(p), range(len(p))
    for n in every:
        subsets = (s for size in range(1, len(p) + 1) for s in itertools.combinations(every, size) if n in s)
        closed = max(min(1.0, len(s) * min(p[m] for m in s)) for s in subsets)
        assert math.isclose(found[n], closed, rel_tol=1e-12)


def test_an_atlas_holds_what_each_layer_says_by_itself(tested):
    found = tested.atlas()
    assert found.names == ["acts.layer0", "acts.layer5", "acts.layer10"] and found.bases == ["standard", "turned"]
    for n, ((store, basis), result) in enumerate(tested.items()):
        layer, own = found.layers[n], result.alignment()
        assert (layer.store, layer.basis, layer.verdict, layer.p) == (store, basis, own.verdict, own.p)
        assert (layer.effect, layer.low, layer.high) == (own.effect.size, own.effect.low, own.effect.high)
        assert (layer.pair, layer.holding, layer.offset) == (own.pair.verdict, own.coverage.holding, result.offset)
        curve = result.mean()[0, 0]
        assert np.array_equal(found.curves[n], curve) and layer.peak == curve.max()
        assert math.isclose(layer.on, (curve[0] + curve[9]) / 2) and math.isclose(
            layer.midway, (curve[4] + curve[5]) / 2
        )
        assert math.isclose(layer.contrast, (layer.on - layer.midway) / (layer.on + layer.midway))
        assert layer.contrast_low < layer.contrast < layer.contrast_high
        assert [effect.epsilon for effect in found.effects[n]] == [0.5, 0.8]
    for basis in found.bases:
        some = [layer for layer in found.layers if layer.basis == basis]
        assert [layer.p_over_layers for layer in some] == holm([layer.p for layer in some])
    assert found.layers[4].verdict == "aligned"  # the deepest layer, in its own basis


def test_an_atlas_says_how_many_rotations_its_layers_need(tested):
    found = tested.atlas()
    assert found.rotations == 39 and found.least_p == 0.05 and found.corrected_for == 3
    needed = found.needed_rotations
    assert 3 * 2 / (1 + needed) <= 0.05 < 3 * 2 / needed
    text = " ".join(" ".join(lines(found)).split())
    assert f"none can reach 0.05; --null {needed} could" in text
    enough = dataclasses.replace(found, rotations=needed)
    assert "none can reach" not in " ".join(lines(enough))


def test_the_summary_of_tested_layers_is_a_line_each(tested):
    text = tested.summary().splitlines()
    assert max(map(len, text)) <= 100
    assert text[0].startswith("layers  3 of acts, 2 bases, 200 rows each")
    assert [line.split()[0] for line in text[1:9]] == ["standard", "layer0", "layer5", "layer10", "turned", "layer0", "layer5", "layer10"]  # fmt: skip
    assert text[4].split()[1].startswith("aligned")
    found = many(tested, 60).atlas()
    assert [
        line for line in lines(found) if line.startswith("block")
    ] and "… and 20 less clear layers left out" in lines(found)[42]
    assert len(clearest(found.layers, 40)) == 40 and {layer.p for layer in clearest(found.layers, 20)} == {
        found.layers[2].p
    }


def test_layers_without_a_verdict_are_listed_by_their_curves(tested):
    bare = Results(
        {(f"l{n}", "standard"): dataclasses.replace(list(tested.values())[0], null_phase=None) for n in range(25)}
    )
    text = bare.summary().splitlines()
    assert len([line for line in text if line.startswith("l") and "200" in line and "0.5" in line]) == 25
    assert not bare.atlas().tested and math.isnan(bare.atlas().layers[0].p) and bare.atlas().effects[0] == ()
    with pytest.raises(InputError, match="at least one result"):
        atlas(Results({}))


def test_centred_rows_are_a_series_of_the_same_layers(tested):
    raw = list(tested.values())[0]
    centred = dataclasses.replace(raw, attrs=raw.attrs | {"centred": True})
    both = Results(
        {("a.l0", "own"): raw, ("a.l0-centred", "own"): centred, ("a.l1", "own"): raw, ("b-centred", "own"): centred}
    )
    found = both.atlas()
    assert found.names == ["a.l0", "a.l1", "b-centred"] and found.series == [("own", False), ("own", True)]
    assert found.corrected_for == 2


def test_names_are_shown_without_what_they_share():
    names = ["net.block_2.out.x", "net.block_10.out.x"]
    assert short_names(names) == ["2", "10"] and joint_name(names) == "net.block.*.out.x"
    assert short_names(["acts.layer1", "acts.layer12"]) == ["layer1", "layer12"] and joint_name(["a", "b"]) == ""
    assert short_names(["alone"]) == ["alone"] and short_names(["a.b", "a.b.c"]) == ["b", "b.c"]


def test_an_atlas_is_a_table(tested, tmp_path, srmfast_main):
    tested.save(tmp_path / "r.zarr")
    ended = srmfast_main(f"show {tmp_path}/r.zarr --csv {tmp_path}/t.csv")
    assert ended.rc == 0, ended.stderr
    with open(tmp_path / "t.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    layers_ = tested.atlas().layers
    assert [float(row["p"]) for row in rows] == [layer.p for layer in layers_]
    assert [row["verdict"] for row in rows] == [layer.verdict for layer in layers_]
    pandas = pytest.importorskip("pandas")
    assert isinstance(tested.atlas().to_dataframe(), pandas.DataFrame)
    with pytest.raises(InputError, match="cannot be written"):
        tested.atlas().to_csv(tmp_path / "no" / "t.csv")


# ---- the picture -----------------------------------------------------------------------------------------


def test_the_picture_has_a_panel_for_each_thing_said(tested, tmp_path):
    figure = plots.plot(tested, tmp_path / "a.png", kind="atlas")
    panels = [axes for axes in figure.axes if axes.get_ylabel() != "over its mean"]
    assert [axes.get_ylabel().split("\n")[0] for axes in panels] == [
        "",
        "effect",
        "excess",
        "standard",
        "turned",
        "|mean|",
    ]
    assert [tick.get_text() for tick in panels[-1].get_xticklabels()] == ["layer0", "layer5", "layer10"]
    found = tested.atlas()
    assert panels[2].lines[0].get_ydata().tolist() == [found.layers[n].kurtosis for n in (0, 2, 4)]
    drawn = [line for line in panels[1].lines if line.get_label() == "standard, ε = 0.8"][0]
    assert drawn.get_ydata().tolist() == [found.effects[n][1].size for n in (0, 2, 4)]
    mesh = panels[3].collections[0].get_array().reshape(36, 3)
    curve = found.curves[4]
    assert np.allclose(mesh[:, 2], curve / curve.mean())
    assert [bar.get_height() for bar in panels[-1].patches] == [found.layers[n].offset for n in (0, 2, 4)]
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_the_picture_of_untested_layers_shows_their_contrast(tested):
    members = {
        key: dataclasses.replace(result, null_phase=None) for key, result in tested.items() if key[1] == "standard"
    }
    figure = plots.plot(Results(members), kind="atlas")
    assert figure.axes[0].get_ylabel().startswith("contrast of the mean")
    found = Results(members).atlas()
    assert figure.axes[0].lines[0].get_ydata().tolist() == [layer.contrast for layer in found.layers]


def test_many_layers_are_drawn_as_an_atlas_unasked(tested):
    assert plots.plot(many(tested, 13)).axes[0].get_yticklabels()[0].get_text() == "verdict"
    axes = plots.plot(many(tested, 40)).axes
    assert len(axes) == 6 and "kurtosis" in axes[2].get_ylabel()
    assert plots.plot(many(tested, 12)).axes[0].get_title("left")  # panels of curves
    with pytest.raises(InputError, match="an atlas takes no label"):
        plots.plot(many(tested, 13), label="all")
    with pytest.raises(InputError, match="kind atlas puts several results side by side"):
        plots.plot(next(iter(tested.values())), kind="atlas")


def test_the_kurtosis_is_that_of_the_second_opinions(tested):
    for layer, result in zip(tested.atlas().layers, tested.values(), strict=True):
        tails = result.opinions().kurtosis
        assert (layer.kurtosis, layer.kurtosis_rotated, layer.kurtosis_p) == (tails.own, tails.rotated, tails.mean.p)
        assert f"{tails.own:.3g} | {tails.rotated:.2g}" in str(tested.atlas())
