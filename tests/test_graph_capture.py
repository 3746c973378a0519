"""Tensors inside models: which there are, and that what is captured is what the model computes."""

import gc
import os

import numpy as np
import onnx
import pytest

from srmfast.errors import InputError
from srmfast.graph import Capture, choose_layers, layers, open_model, table
from tests import onnx_models as made
from tests.onnx_models import saved

ROWS = np.random.default_rng(1).normal(size=(7, 6)).astype(np.float32)


def test_tensors_are_listed_in_order_with_their_types_and_symbolic_shapes():
    found = layers(made.mlp())
    assert [layer.name for layer in found] == ["before", "hidden_0", "after", "hidden_1", "y"]
    assert [layer.op for layer in found] == ["MatMul", "Relu", "MatMul", "Tanh", "MatMul"]
    assert all(layer.shape == ("batch", 8) and layer.dtype == "float32" for layer in found[:-1])
    assert [layer.name for layer in layers(made.mlp(), "hidden_*")] == ["hidden_0", "hidden_1"]
    text = table(made.mlp(), "hidden_*", "Relu")
    assert "x (float32, batch x 6)" in text and "hidden_0  Relu  batch x 8  float32" in text and "hidden_1" not in text
    with pytest.raises(InputError, match="has no tensor 'nothing'"):
        table(made.mlp(), "nothing")


def test_constants_are_no_layers():
    assert [layer.name for layer in layers(made.bytes_in())] == ["embedded", "y"]
    with pytest.raises(InputError, match="'table' of .* does not depend on any input"):
        choose_layers(made.bytes_in(), ["table"])


def test_what_is_inside_branches_is_named_with_the_reason():
    found = {layer.name: layer for layer in layers(made.branches())}
    assert found["y"].reachable and not found["inside_Relu"].reachable
    assert "inside then_branch of If 'choice'" in found["inside_Relu"].why_not
    assert "out of reach: it is inside else_branch" in table(made.branches())
    with pytest.raises(InputError, match="'inside_Relu' of .* is out of reach: it is inside then_branch"):
        Capture(made.branches(), ["inside_Relu"])
    with pytest.raises(InputError, match="out of reach"):
        choose_layers(made.branches(), ["inside_*"])


def test_loop_bodies_are_out_of_reach():
    node, info = onnx.helper.make_node, made.info
    body = onnx.helper.make_graph(
        [node("Identity", ["go"], ["on"]), node("Add", ["state", "x"], ["next"])], "body",
        [info("turn", made.I64, []), info("go", made.BOOL, []), info("state", made.F32, None)],
        [info("on", made.BOOL, []), info("next", made.F32, None)],
    )  # fmt: skip
    proto = made.model(
        [node("Loop", ["three", "", "x"], ["y"], body=body)],
        [info("x", made.F32, ["batch", 6])], [info("y", made.F32, ["batch", 6])],
        [onnx.numpy_helper.from_array(np.array(3), "three")],
    )  # fmt: skip
    assert "inside body of Loop 'y'" in next(layer for layer in layers(proto) if layer.name == "next").why_not
    assert np.allclose(Capture(proto, ["y"]).run({"x": ROWS})["y"], 4 * ROWS)


def test_names_and_patterns_choose_tensors_once_in_order():
    names = [layer.name for layer in choose_layers(made.text(), ["hidden_1", "hidden_*", "pooled"])]
    assert names == ["hidden_0", "hidden_1", "pooled"]
    assert "sizes" not in [
        layer.name for layer in choose_layers(made.text(), ["*"])
    ]  # numbers of axes are no activations
    assert [layer.name for layer in choose_layers(made.text(), ["sizes"])] == ["sizes"]
    with pytest.raises(
        InputError, match=r"has no tensor 'hiden'; it has pooled, sizes \(srmfast layers lists all 11\)"
    ):
        choose_layers(made.text(), ["hiden"])
    with pytest.raises(InputError, match="has no tensor '\\*idden_7\\*'; it has"):
        choose_layers(made.text(), ["*idden_7*"])
    with pytest.raises(InputError, match="matches no tensor of floats"):
        choose_layers(made.text(), ["siz*"])


@pytest.mark.parametrize(
    "proto, feeds",
    [
        (made.mlp(), {"x": ROWS}),
        (made.text(), made.text_inputs()),
        (made.convolution(), {"x": np.random.default_rng(2).normal(size=(3, 3, 8, 8)).astype(np.float32)}),
        (made.convolution(nhwc=True), {"x": np.random.default_rng(2).normal(size=(3, 8, 8, 3)).astype(np.float32)}),
        (made.bytes_in(), {"bytes": np.random.default_rng(3).integers(0, 256, (4, 5)).astype(np.int32)}),
        (made.halves(made.F16), {"x": ROWS}),
        (made.quantised(), {"x": ROWS}),
    ],
    ids=["mlp", "text", "convolution", "nhwc", "bytes", "float16", "quantised"],
)  # fmt: skip
def test_every_tensor_is_what_the_reference_computes(proto, feeds):
    wanted = made.every_tensor(proto, feeds)
    names = [layer.name for layer in layers(proto) if layer.reachable]
    together = Capture(proto, names).run(feeds)
    for name in names:
        assert together[name].dtype == wanted[name].dtype, name
        assert np.allclose(together[name], wanted[name], rtol=1e-5, atol=1e-6), name
        alone = Capture(proto, [name])
        assert np.array_equal(alone.run({one.name: feeds[one.name] for one in alone.inputs})[name], together[name]), (
            name
        )


def test_bfloat16_is_read_as_float32():
    capture = Capture(made.halves(made.BF16), ["half", "y"])
    found = capture.run({"x": ROWS})
    assert capture.converted == {"half": "bfloat16"}
    bits = ROWS.view(np.uint32)
    rounded = ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)  # to nearest, ties to even
    assert found["half"].dtype == np.float32 and np.array_equal(found["half"], rounded)
    assert np.array_equal(found["y"], rounded)


def test_only_what_a_tensor_needs_is_run_and_asked_for():
    capture = Capture(made.text(), ["hidden_0"])
    assert [one.name for one in capture.inputs] == ["input_ids"]
    assert [node.op_type for node in capture.proto.graph.node] == ["Gather"]


def test_a_run_that_fails_is_one_line():
    with pytest.raises(InputError, match=r"cannot be run on x float32 \(7, 5\)") as found:
        Capture(made.mlp(), ["y"]).run({"x": ROWS[:, :5]})
    assert "\n" not in str(found.value)


def test_operators_that_do_not_exist_are_one_line():
    proto = made.mlp()
    proto.graph.node[1].op_type = "Reluctant"
    with pytest.raises(InputError, match="an operator that onnxruntime .* does not have .*Reluctant") as found:
        Capture(proto, ["y"])
    assert "\n" not in str(found.value)


def test_external_data_are_run_where_they_are(tmp_path):
    path = made.with_external_data(made.mlp(), tmp_path)
    opened = open_model(path)
    assert opened.proto.ByteSize() < 900
    wanted = Capture(made.mlp(), ["hidden_1"]).run({"x": ROWS})["hidden_1"]
    assert np.array_equal(Capture(opened, ["hidden_1"]).run({"x": ROWS})["hidden_1"], wanted)


def test_constants_left_in_the_file_are_those_of_the_model(tmp_path):
    proto = made.mlp(width=64, hidden=64)
    path = saved(proto, tmp_path / "m.onnx")
    assert open_model(path).folder
    x = np.random.default_rng(4).normal(size=(5, 64)).astype(np.float32)
    wanted = Capture(proto, ["hidden_1"]).run({"x": x})["hidden_1"]
    assert np.array_equal(Capture(path, ["hidden_1"]).run({"x": x})["hidden_1"], wanted)


def test_channels_are_told_by_the_graph():
    plain = {layer.name: layer.channel_axis for layer in layers(made.convolution())}
    assert plain == {"maps": 1, "active": 1, "last": 3, "means": None, "y": None}
    turned = {layer.name: layer.channel_axis for layer in layers(made.convolution(nhwc=True))}
    assert turned["turned"] is None and turned["maps"] == 1 and turned["last"] == 3


def test_memory_of_a_batch_is_projected_from_shapes():
    capture = Capture(made.mlp(width=100, hidden=1000), ["y"])
    assert capture.measure({"x": np.zeros((10, 100), np.float32)})[0] == 2 * 10 * 1000 * 4  # a layer and the next one
    nbytes, shapes = capture.measure({"x": np.zeros((20, 100), np.float32)})
    assert nbytes == 2 * 20 * 1000 * 4 and shapes["hidden_1"] == (20, 1000)


def test_memory_stays_flat_over_batches_of_varying_length():
    capture, rng = Capture(made.text(width=64), ["hidden_1"]), np.random.default_rng(0)

    def some(batches):
        for _ in range(batches):
            capture.run(made.text_inputs(n=8, time=int(rng.integers(4, 250)), seed=0))
        gc.collect()
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    if not os.path.exists("/proc/self/statm"):
        pytest.skip("resident memory is read from /proc")
    before = some(50)
    assert some(200) - before < 16 << 20


def test_sequences_on_the_way_are_run_through():
    proto = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]> f (float[N, 6] x) => (float[N, 3] y) <int64[2] s = {3, 3}> {
        parts = SplitToSequence <axis = 1> (x, s) i = Constant <value_int = 1> () second = SequenceAt (parts, i)
        y = Relu (second) }"""
    )
    capture = Capture(proto, ["y"])
    np.testing.assert_array_equal(capture.run({"x": ROWS})["y"], np.maximum(ROWS[:, 3:], 0))
    nbytes, known = capture.measure({"x": ROWS})
    assert known["second"] == known["y"] == (7, 3) and nbytes >= ROWS.nbytes
    with pytest.raises(InputError, match="'parts' .* is a sequence, not an array"):
        Capture(proto, ["parts"])


def test_names_do_not_move_the_cursor():
    proto = made.mlp()
    for node in proto.graph.node:
        for names in (node.input, node.output):
            names[:] = ["a\x1b[2J\nb" if name == "hidden_0" else name for name in names]
    text = table(proto)
    assert "\x1b" not in text and "a\\x1b[2J\\nb  Relu" in text and len(text.splitlines()) == 8
