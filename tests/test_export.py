"""Layers of a model in a store: what `run` finds in them is what it finds in the model."""

import signal
import subprocess
import sys

import numpy as np
import onnx
import pytest
import zarr

import srmfast
from srmfast.analyses import export as exporting
from srmfast.analyses.export import export
from srmfast.engine.events import BlockDone
from srmfast.errors import InputError
from srmfast.graph import Capture
from srmfast.stores import open_store
from tests import onnx_models as made
from tests.onnx_models import saved

OPTIONS = dict(epsilon=0.4, angles=36)


@pytest.fixture
def text(tmp_path):
    np.savez(tmp_path / "text.npz", **made.text_inputs())
    return saved(made.text(), tmp_path / "text.onnx"), str(tmp_path / "text.npz")


def test_counts_of_exported_layers_are_those_of_the_model(text, tmp_path):
    path, inputs = text
    out = tmp_path / "acts.zarr"
    found = export(path, inputs, ["hidden_*", "scores"], out, batch=4)
    assert list(found.layers) == ["hidden_0", "scores", "hidden_1"] and not list(tmp_path.glob("*.wip"))
    for name in ("hidden_0", "hidden_1"):
        ours = srmfast.run(f"{out}::{name}", **OPTIONS)
        direct = srmfast.run(f"{path}::{name}", inputs=inputs, batch=4, **OPTIONS)
        assert np.array_equal(ours.counts, direct.counts)
        assert ours.attrs["rows"] == direct.attrs["rows"] and ours.attrs["rows"]["masked"]["mask"] > 0


def test_an_export_is_the_same_for_any_resources_and_any_layers(text, tmp_path, monkeypatch):
    path, inputs = text
    monkeypatch.setattr(exporting, "_CHUNK", 3000)  # several units
    export(path, inputs, "hidden_1", tmp_path / "a.zarr", batch=4)
    export(path, inputs, ["*"], tmp_path / "b.zarr", batch=4, resources=srmfast.Resources(3, 1 << 30))
    one, other = (zarr.open_array(str(tmp_path / f"{name}.zarr" / "hidden_1"), mode="r") for name in "ab")
    assert np.array_equal(one[...], other[...])
    wanted = Capture(path, ["hidden_1"]).run({k: v[4:8] for k, v in made.text_inputs().items()})["hidden_1"]
    assert np.array_equal(one[4:8], wanted)


def test_what_a_layer_was_made_from_is_in_the_attributes(text, tmp_path):
    path, inputs = text
    export(path, inputs, "hidden_1", tmp_path / "a.zarr")
    attrs = zarr.open_group(str(tmp_path / "a.zarr"), mode="r").attrs
    told = attrs["layers"]["hidden_1"]
    assert told["tensor"] == "hidden_1" and told["op"] == "MatMul" and told["runtime"].startswith("onnxruntime ")
    assert len(attrs["model"]["fingerprint"]) == 64 and attrs["inputs"]["input_ids"]["shape"] == [21, 9]
    with open_store(tmp_path / "a.zarr") as store:  # one layer needs no name
        assert store.recognised.mask == "attention_mask" and "as srmfast exports it" in store.recognised.line
        assert {"input_ids", "attention_mask"} <= store.siblings().keys()
    with open_store(tmp_path / "a.zarr::input_ids") as ids:
        assert ids.dtype == "int64"


def test_several_layers_need_a_name(text, tmp_path):
    path, inputs = text
    export(path, inputs, "hidden_*", tmp_path / "a.zarr")
    with pytest.raises(InputError, match="holds 2 layers, hidden_0, hidden_1; name one"):
        open_store(tmp_path / "a.zarr")


def test_channels_come_with_the_export(tmp_path):
    images = np.random.default_rng(2).normal(size=(5, 3, 8, 8)).astype(np.float32)
    path = saved(made.convolution(), tmp_path / "m.onnx")
    export(path, images, ["maps", "last"], tmp_path / "a.zarr")
    np.save(tmp_path / "x.npy", images)
    for name in ("maps", "last"):
        with (
            open_store(tmp_path / f"a.zarr::{name}") as ours,
            open_store(f"{path}::{name}", inputs=tmp_path / "x.npy") as direct,
        ):
            assert ours.shape == direct.shape == (5 * 64, 4)
            assert np.array_equal(ours.read(0, ours.n), direct.read(0, direct.n))
    with open_store(tmp_path / "a.zarr::maps", feature_axis=-1) as store:
        assert store.d == 8


def test_types_are_kept(tmp_path):
    rows = np.random.default_rng(3).normal(size=(9, 6)).astype(np.float32)
    for proto, name, dtype in (
        (made.halves(made.F16), "half", "float16"),
        (made.halves(made.BF16), "half", "float32"),
        (made.quantised(), "q", "uint8"),
        (made.quantised(), "sums", "int32"),
    ):
        found = export(proto, rows, name, tmp_path / "a.zarr", force=True)
        assert found.layers[name][2] == dtype
        array = zarr.open_array(str(tmp_path / "a.zarr" / name), mode="r")
        assert array.dtype == dtype and np.array_equal(array[...], Capture(proto, [name]).run({"x": rows})[name])
        assert bool(found.notes) == (proto == made.halves(made.BF16))


def test_chunks_of_zeros_are_written(tmp_path):
    export(made.mlp(), np.zeros((70, 6), np.float32), "hidden_0", tmp_path / "a.zarr")
    with open_store(tmp_path / "a.zarr") as store:
        assert store.missing_rows() == [] and not store.read(0, 70).any()


def test_tensors_named_like_paths_become_arrays(tmp_path):
    proto = made.mlp()
    for node in proto.graph.node:
        for names in (node.input, node.output):
            for number, name in enumerate(names):
                names[number] = {
                    "hidden_0": "/layers.0/Relu_output_0",
                    "after": "layers.0.Relu_output_0",
                    "hidden_1": "/",
                }.get(name, name)
    found = export(proto, np.ones((3, 6), np.float32), ["*"], tmp_path / "a.zarr")
    assert set(found.layers) == {"before", "layers.0.Relu_output_0", "layers.0.Relu_output_0_", "tensor", "y"}
    assert found.layers["layers.0.Relu_output_0"][0] == "/layers.0/Relu_output_0"
    with open_store(tmp_path / "a.zarr::layers.0.Relu_output_0_") as store:
        assert store.n == 3


def test_tensors_without_rows_are_left_out_of_patterns_and_told(tmp_path):
    import onnx

    proto = made.mlp()
    proto.graph.node.append(onnx.helper.make_node("Transpose", ["hidden_0"], ["hidden_turned"], perm=[1, 0]))
    found = export(proto, np.ones((3, 6), np.float32), "hidden_*", tmp_path / "a.zarr")
    assert list(found.layers) == ["hidden_0", "hidden_1"]
    assert any("left out: the first axis of 'hidden_turned'" in note for note in found.notes)
    with pytest.raises(InputError, match="first axis of 'hidden_turned'"):
        export(proto, np.ones((3, 6), np.float32), ["hidden_turned", "hidden_1"], tmp_path / "b.zarr")
    assert not (tmp_path / "b.zarr").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupt_leaves_nothing(text, tmp_path, monkeypatch, error):
    path, inputs = text
    monkeypatch.setattr(exporting, "_CHUNK", 1000)

    def stop(event):
        if isinstance(event, BlockDone):
            raise error

    before = sorted(tmp_path.iterdir())
    with pytest.raises(error):
        export(path, inputs, "hidden_1", tmp_path / "a.zarr", batch=2, on_event=stop)
    assert sorted(tmp_path.iterdir()) == before


def test_what_is_there_is_replaced_by_force_alone(text, tmp_path, srmfast_main):
    path, inputs = text
    command = f"export {path} --inputs {inputs} --layer hidden_1 -o {tmp_path}/a.zarr --progress none"
    ended = srmfast_main(command)
    assert ended.rc == 0 and "hidden_1  21 x 9 x 6 float32" in ended.stdout, ended.stderr
    again = srmfast_main(command)
    assert again.rc == 1 and "must not exist yet" in again.stderr
    assert srmfast_main(f"{command} --force --layer hidden_0").rc == 0
    with open_store(tmp_path / "a.zarr::hidden_0") as store:
        assert store.n == 21 * 9
    (tmp_path / "other.zarr").mkdir()
    other = srmfast_main(command.replace("a.zarr", "other.zarr") + " --force")
    assert other.rc == 1 and "--force replaces exports only" in other.stderr
    name = srmfast_main(command.replace("a.zarr", "a.npy"))
    assert name.rc == 1 and "must end in .zarr" in name.stderr


def test_too_little_memory_is_refused_with_the_arithmetic(text, tmp_path):
    path, inputs = text
    with pytest.raises(InputError, match="must fit into memory, but needs .* = .* \\(the model\\)"):
        export(path, inputs, "hidden_1", tmp_path / "a.zarr", resources=srmfast.Resources(1, 1000))
    assert not list(tmp_path.glob("a.zarr*"))


def test_layers_are_listed_on_the_command_line(text, srmfast_main):
    path, _ = text
    ended = srmfast_main(f"layers {path} hidden_*")
    assert ended.rc == 0 and "hidden_1  MatMul  batch x time x 6  float32" in ended.stdout
    assert srmfast_main(f"layers {path} nothing_*").rc == 1
    assert srmfast_main(f"layers {path}x").stderr.strip().endswith("give the path of a .onnx file")


def test_inputs_of_like_names_and_names_of_odd_letters_become_arrays(tmp_path):
    proto = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]> f (int64[N] a, int64[N] b, float[N, 6] x) => (float[N, 6] y) {
        p = Add (a, b) c = Cast <to = 1> (p) i = Constant <value_ints = [1]> () d = Unsqueeze (c, i) y = Add (x, d) }"""
    )
    proto.graph.node[0].input[:] = ["i/a", "i.a"]
    proto.graph.input[0].name, proto.graph.input[1].name = "i/a", "i.a"
    proto.graph.node[-1].output[0] = proto.graph.output[0].name = "y\0\n"
    inputs = {"i/a": np.arange(4), "i.a": np.arange(4) + 5, "x": np.ones((4, 6), np.float32)}
    found = export(proto, inputs, ["y\0\n"], tmp_path / "a.zarr")
    assert set(found.layers) == {"y__"}
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="r")
    np.testing.assert_array_equal(group["i.a"][...], inputs["i/a"])
    np.testing.assert_array_equal(group["i.a_"][...], inputs["i.a"])


def test_two_exports_do_not_write_one_store(text, tmp_path):
    path, inputs = text
    seen = []

    def again(event):
        if isinstance(event, BlockDone) and not seen:
            with pytest.raises(InputError, match="one export at a time may write .*a.zarr, and another process does"):
                export(path, inputs, "hidden_1", tmp_path / "a.zarr")
            seen.append(event)

    export(path, inputs, "hidden_1", tmp_path / "a.zarr", on_event=again)
    assert seen and (tmp_path / "a.zarr").is_dir() and not list(tmp_path.glob("*.wip"))


def test_what_a_killed_export_left_is_removed_by_the_next(text, tmp_path, srmfast_env):
    path, inputs = text
    script = f"""
import os, signal
from srmfast.analyses.export import export
from srmfast.engine.events import BlockDone
def kill(event):
    if isinstance(event, BlockDone):
        os.kill(os.getpid(), signal.SIGKILL)
export({str(path)!r}, {inputs!r}, "hidden_1", {str(tmp_path / "a.zarr")!r}, on_event=kill)
"""
    ended = subprocess.run([sys.executable, "-c", script], env=srmfast_env, capture_output=True)
    assert ended.returncode == -signal.SIGKILL and len(list(tmp_path.glob("a.zarr.*.wip"))) == 1
    (tmp_path / "a.zarr.mine.wip").mkdir()  # of something else
    export(path, inputs, "hidden_1", tmp_path / "a.zarr")
    assert [found.name for found in tmp_path.glob("*.wip")] == ["a.zarr.mine.wip"]
