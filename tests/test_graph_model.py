"""Models are read whole or refused with one line, and nothing is allocated because a file claims it."""

import contextlib

import google.protobuf.message
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from srmfast.errors import InputError
from srmfast.graph import load_model, model, open_model
from srmfast.graph.outline import outline
from tests import onnx_models as made
from tests.onnx_models import saved


def refused(source, match):
    with pytest.raises(InputError, match=match) as found:
        load_model(source)
    assert "\n" not in str(found.value)


def test_a_model_is_loaded_from_a_path_and_from_memory(tmp_path):
    proto = made.mlp()
    path = saved(proto, tmp_path / "m.onnx")
    assert load_model(path) == load_model(str(path)) == load_model(proto) == proto
    assert open_model(path).fingerprint == open_model(path).fingerprint


def values(proto):
    return [numpy_helper.to_array(tensor) for tensor in proto.graph.initializer]


def test_external_data_are_loaded_when_few_and_kept_when_many(tmp_path, monkeypatch):
    proto = made.mlp()
    path = made.with_external_data(made.mlp(), tmp_path)
    assert path.stat().st_size < 800
    assert all(map(np.array_equal, values(load_model(path)), values(proto)))
    before = open_model(path)
    monkeypatch.setattr(model, "KEPT_BYTES", 100)
    kept = load_model(path)
    assert kept.ByteSize() < 800 and kept.graph.initializer[0].data_location
    assert open_model(path).folder == str(tmp_path)
    assert open_model(path).fingerprint == before.fingerprint == before.fingerprint_again()
    data = tmp_path / "weights.bin"
    data.write_bytes(bytes([data.read_bytes()[0] ^ 1]) + data.read_bytes()[1:])
    assert before.fingerprint != before.fingerprint_again()


def test_large_constants_are_left_in_the_file_of_the_model(tmp_path):
    proto = made.mlp(width=64, hidden=64)
    path = saved(proto, tmp_path / "m.onnx")
    opened = open_model(path)
    assert opened.proto.ByteSize() < 4000 < 2 * 64 * 64 * 4 < path.stat().st_size
    assert opened.folder == str(tmp_path)
    assert load_model(path) == proto
    link = tmp_path / "links" / "other.onnx"
    link.parent.mkdir()
    link.symlink_to(path)
    assert load_model(link) == proto and open_model(link).fingerprint == opened.fingerprint


@given(st.data())
def test_an_outline_is_the_message_without_large_constants(data):
    proto = made.mlp(width=40, hidden=40)
    content = proto.SerializeToString()
    assert onnx.ModelProto.FromString(outline(content, "m")).graph.node == proto.graph.node
    at = data.draw(st.integers(0, len(content) - 1))
    damaged = content[:at] + bytes([content[at] ^ data.draw(st.integers(1, 255))]) + content[at + 1 :]
    try:  # whatever it makes of a damaged one, a parser finds there or refuses
        onnx.ModelProto.FromString(damaged)
    except google.protobuf.message.DecodeError:
        found = outline(damaged, "m")
        if found is not None:
            with contextlib.suppress(google.protobuf.message.DecodeError):
                onnx.ModelProto.FromString(found)


def external(proto, name=None, **said):
    """Rewrite what a model says of its external data."""
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            entry.value = said.get(entry.key, entry.value) if name is None or entry.key != "location" else name
    return proto


@pytest.mark.parametrize("name", ["../weights.bin", "/etc/hostname", "a/../../weights.bin", "", "..\\w.bin"])
def test_external_data_outside_the_folder_are_refused(tmp_path, name):
    (tmp_path / "in").mkdir()
    path = made.with_external_data(made.mlp(), tmp_path / "in")
    (tmp_path / "weights.bin").write_bytes((tmp_path / "in" / "weights.bin").read_bytes())
    refused(saved(external(onnx.load(path, load_external_data=False), name), path), "must lie in the folder")


def test_external_data_behind_a_link_that_leaves_the_folder_are_refused(tmp_path):
    (tmp_path / "in").mkdir()
    path = made.with_external_data(made.mlp(), tmp_path / "in")
    (tmp_path / "in" / "weights.bin").rename(tmp_path / "weights.bin")
    (tmp_path / "in" / "weights.bin").symlink_to(tmp_path / "weights.bin")
    refused(path, "link that leaves it")


def test_external_data_that_are_gone_or_short_are_refused(tmp_path):
    path = made.with_external_data(made.mlp(), tmp_path)
    data = tmp_path / "weights.bin"
    content = data.read_bytes()
    data.write_bytes(content[:-5])
    refused(path, "too short")
    data.unlink()
    refused(path, "does not exist")
    data.write_bytes(content)
    for said, match in (
        ({"offset": "-4"}, "damaged"),
        ({"offset": "x"}, "no numbers"),
        ({"length": "7"}, "claims the shape"),
    ):
        wrong = external(onnx.load(path, load_external_data=False), **said)
        refused(saved(wrong, tmp_path / "wrong.onnx"), match)


def test_files_that_are_no_models_are_refused(tmp_path):
    path = tmp_path / "m.onnx"
    refused(path, "does not exist")
    refused(tmp_path, "is a folder")
    path.write_bytes(b"")
    refused(path, "is empty")
    path.write_bytes(b"\x93NUMPY not a model at all")
    refused(path, "cannot be read|no ONNX model")
    whole = made.mlp().SerializeToString()
    for size in (1, 10, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:size])
        refused(path, "cannot be read|no ONNX model|damaged|claims")
    refused(3, "must be a path")


def test_huge_claims_take_no_memory(tmp_path):
    proto = made.mlp()
    proto.graph.initializer[0].dims[:] = [1 << 40, 1 << 30]
    refused(proto, "claims the shape")
    proto.graph.initializer[0].dims[:] = [-1, 8]
    refused(proto, "impossible shape")
    proto.graph.initializer[0].data_type = 99
    refused(proto, "unknown type 99")


def test_packed_and_text_tensors_hold_what_they_claim():
    for tensor in (
        helper.make_tensor("t", onnx.TensorProto.INT4, [3], [1, 2, 3]),
        helper.make_tensor("t", onnx.TensorProto.STRING, [2], [b"a", b"b"]),
        helper.make_tensor("t", onnx.TensorProto.COMPLEX64, [2], [1 + 2j, 3j]),
        helper.make_tensor("t", onnx.TensorProto.FLOAT16, [2], [1.0, 2.0]),
        helper.make_tensor("t", onnx.TensorProto.FLOAT, [0], []),
    ):
        proto = made.mlp()
        proto.graph.initializer.append(tensor)
        load_model(proto)
        proto.graph.initializer[-1].dims[:] = [1000]
        refused(proto, "claims the shape")


def test_unknown_versions_are_refused():
    proto = made.mlp()
    proto.ir_version = 99
    refused(proto, "IR version of a model must lie in")
    refused(made.model(made.mlp().graph.node, [], [], opset=999), "opset of a model must lie in")
    refused(onnx.ModelProto(), "no ONNX model")


def test_impossible_graphs_are_refused():
    proto = made.mlp()
    proto.graph.node[0].input[0] = "hidden_0"
    refused(proto, "must not be cyclic")
    proto = made.mlp()
    proto.graph.node[1].output[0] = "before"
    refused(proto, "makes 'before' 2 times")
    proto = made.mlp()
    proto.graph.initializer[1].name = "w0"
    refused(proto, "makes 'w0' 2 times")
    proto = made.mlp()
    proto.graph.node[0].input[1] = "nowhere"
    refused(proto, "nothing in .* makes the tensor 'nowhere'")
    proto = made.mlp()
    proto.graph.output[0].name = "nowhere"
    refused(proto, "makes its output 'nowhere'")
    proto = made.mlp()
    del proto.graph.node[:]
    refused(proto, "is empty")


def test_nodes_in_another_order_are_sorted():
    wanted, proto = made.mlp(), made.mlp()
    nodes = [*proto.graph.node][::-1]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del proto.graph.node[:]
    proto.graph.node.extend(copies)
    assert [node.output[0] for node in load_model(proto).graph.node] == [node.output[0] for node in wanted.graph.node]


def test_a_function_that_calls_itself_is_refused():
    proto = made.mlp()
    body = helper.make_node("again", ["x"], ["y"], domain="own")
    proto.functions.append(helper.make_function("own", "again", ["x"], ["y"], [body], [helper.make_opsetid("own", 1)]))
    refused(proto, "must not call itself")
