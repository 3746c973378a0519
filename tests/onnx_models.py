"""Small ONNX models for tests, each with one oddness of a real one."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

F32, F16, BF16, I64, I32, U8, I8, BOOL = (
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.BFLOAT16,
    TensorProto.INT64,
    TensorProto.INT32,
    TensorProto.UINT8,
    TensorProto.INT8,
    TensorProto.BOOL,
)


def info(name, kind, shape):
    """Describe an input or output."""
    return helper.make_tensor_value_info(name, kind, shape)


def weights(name, *shape, seed=0):
    """Make an initialiser of normal values."""
    rng = np.random.default_rng([seed, *name.encode()])
    return numpy_helper.from_array(rng.normal(size=shape).astype(np.float32) / np.sqrt(shape[0]), name)


def model(nodes, inputs, outputs, initialisers=(), opset=17, ir_version=8, **more):
    """Make a model."""
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(initialisers), **more)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def mlp(batch="batch", width=6, hidden=8):
    """x (batch, width) -> hidden_0 -> hidden_1 -> y (batch, 4)."""
    node = helper.make_node
    return model(
        [
            node("MatMul", ["x", "w0"], ["before"], name="first"),
            node("Relu", ["before"], ["hidden_0"]),
            node("MatMul", ["hidden_0", "w1"], ["after"]),
            node("Tanh", ["after"], ["hidden_1"]),
            node("MatMul", ["hidden_1", "w2"], ["y"]),
        ],
        [info("x", F32, [batch, width])],
        [info("y", F32, [batch, 4])],
        [weights("w0", width, hidden), weights("w1", hidden, hidden), weights("w2", hidden, 4)],
    )


def with_external_data(proto, folder, name="weights.bin", size=0):
    """Save a model whose initialisers lie in another file; return its path."""
    path = folder / "external.onnx"
    onnx.save_model(
        proto, str(path), save_as_external_data=True, all_tensors_to_one_file=True, location=name, size_threshold=size
    )
    return path
