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
    return numpy_helper.from_array((rng.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32), name)


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


def text(tokens=50, width=6, time="time"):
    """ids and attention_mask (batch, time) -> hidden_0, hidden_1 (batch, time, width), pooled (batch, width), scores (batch, time, time)."""
    node = helper.make_node
    return model(
        [
            node("Gather", ["table", "input_ids"], ["hidden_0"]),
            node("Cast", ["attention_mask"], ["mask"], to=F32),
            node("Unsqueeze", ["mask", "last"], ["column"]),
            node("Mul", ["hidden_0", "column"], ["kept"]),
            node("Transpose", ["kept"], ["turned"], perm=[0, 2, 1]),
            node("MatMul", ["kept", "turned"], ["products"]),
            node("Softmax", ["products"], ["scores"], axis=-1),
            node("MatMul", ["scores", "kept"], ["mixed"]),
            node("MatMul", ["mixed", "w"], ["hidden_1"]),
            node("ReduceMean", ["hidden_1"], ["pooled"], axes=[1], keepdims=0),
            node("Shape", ["hidden_1"], ["sizes"]),
        ],
        [info("input_ids", I64, ["batch", time]), info("attention_mask", I64, ["batch", time])],
        [info("pooled", F32, ["batch", width]), info("sizes", I64, [3])],
        [weights("table", tokens, width), weights("w", width, width), numpy_helper.from_array(np.array([-1]), "last")],
    )  # fmt: skip


def text_inputs(n=21, time=9, seed=0):
    """Sequences padded on the right, with the mask that says so."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, time + 1, n)
    mask = (np.arange(time) < lengths[:, None]).astype(np.int64)
    return {"input_ids": rng.integers(0, 50, (n, time)) * mask, "attention_mask": mask}


def convolution(nhwc=False):
    """Images (batch, 3, 8, 8), or channels last with transposes inside -> maps (batch, 4, 8, 8) -> y (batch, 2)."""
    node = helper.make_node
    nodes = [
        node("Conv", ["turned" if nhwc else "x", "kernel"], ["maps"], pads=[1, 1, 1, 1]),
        node("Relu", ["maps"], ["active"]),
        node("Transpose", ["active"], ["last"], perm=[0, 2, 3, 1]),
        node("ReduceMean", ["active"], ["means"], axes=[2, 3], keepdims=0),
        node("MatMul", ["means", "w"], ["y"]),
    ]
    if nhwc:
        nodes.insert(0, node("Transpose", ["x"], ["turned"], perm=[0, 3, 1, 2]))
    return model(
        nodes,
        [info("x", F32, ["batch", 8, 8, 3] if nhwc else ["batch", 3, 8, 8])],
        [info("y", F32, ["batch", 2])],
        [weights("kernel", 4, 3, 3, 3), weights("w", 4, 2)],
    )


def branches():
    """x (batch, 4) -> everything inside an If -> y; what is inside is out of reach."""
    node = helper.make_node
    bodies = [
        helper.make_graph(
            [node(op, ["x"], [f"inside_{op}"]), node("Identity", [f"inside_{op}"], [f"out_{op}"])],
            op, [], [info(f"out_{op}", F32, ["batch", 4])],
        )
        for op in ("Relu", "Tanh")
    ]  # fmt: skip
    return model(
        [
            node("ReduceSum", ["x"], ["sum"], keepdims=0),
            node("Greater", ["sum", "zero"], ["positive"]),
            node("If", ["positive"], ["y"], name="choice", then_branch=bodies[0], else_branch=bodies[1]),
        ],
        [info("x", F32, ["batch", 4])],
        [info("y", F32, ["batch", 4])],
        [numpy_helper.from_array(np.float32(-1e9), "zero")],
    )


def bytes_in(width=6):
    """Bytes as int32 (batch, 5), embedded by a Gather; weights are Constant nodes."""
    table = numpy_helper.to_array(weights("t", 256, width))
    return model(
        [
            helper.make_node("Constant", [], ["table"], value=numpy_helper.from_array(table)),
            helper.make_node("Gather", ["table", "bytes"], ["embedded"]),
            helper.make_node("ReduceMax", ["embedded"], ["y"], axes=[1], keepdims=0),
        ],
        [info("bytes", I32, ["batch", 5])],
        [info("y", F32, ["batch", width])],
    )


def halves(kind):
    """x (batch, 6) float32 -> half (float16 or bfloat16) -> y."""
    return model(
        [
            helper.make_node("Cast", ["x"], ["half"], to=kind),
            helper.make_node("Cast", ["half"], ["y"], to=F32),
        ],
        [info("x", F32, ["batch", 6])],
        [info("y", F32, ["batch", 6])],
    )


def quantised():
    """x (batch, 6) -> quantised, multiplied as integers (sums) and as QDQ (y)."""
    node = helper.make_node
    rng = np.random.default_rng(5)
    of = numpy_helper.from_array
    return model(
        [
            node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
            node("MatMulInteger", ["q", "w8", "zero"], ["sums"]),
            node("DequantizeLinear", ["w8", "step"], ["w"]),
            node("DequantizeLinear", ["q", "scale", "zero"], ["plain"]),
            node("MatMul", ["plain", "w"], ["y"]),
        ],
        [info("x", F32, ["batch", 6])],
        [info("y", F32, ["batch", 4])],
        [of(rng.integers(-99, 99, (6, 4)).astype(np.int8), "w8"), of(np.float32(0.01), "step")],
        opset=21,
        ir_version=10,
    )


def saved(proto, path):
    """Write a model and return its path."""
    path.write_bytes(proto.SerializeToString())
    return path


def every_tensor(proto, feeds):
    """Compute every tensor by the reference implementation of ONNX: name -> values."""
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(proto).run(None, feeds, intermediate=True)
