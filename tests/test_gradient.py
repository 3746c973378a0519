"""The gradient of whole graphs: names, parameters, what is refused, ties, types and the laws of broadcasting."""

import numpy as np
import onnx
import pytest
from gradient_truth import evaluator, runtime
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from srmfast import InputError
from srmfast.graph import gradient, gradient_name


def parsed(body, opset=17):
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> {body}')


MLP = """
f (double[N, 3] x, int64[N] labels) => (double loss)
<double[4, 3] w = {1, -2, 3, 0.5, 0.25, -1, 2, 1, -1, 0.5, -0.5, 1}, double[4] b = {0.1, -0.2, 0.3, 0}>
{
    h = Gemm <transB = 1> (x, w, b)
    a = Tanh (h)
    loss = SoftmaxCrossEntropyLoss (a, labels)
}
"""


def outputs(model):
    return [output.name for output in model.graph.output]


def kinds(model):
    return [node.op_type for node in model.graph.node]


def test_outputs_are_the_tensor_and_one_gradient_each(rng):
    model = gradient(parsed(MLP), "loss", ["x", "w", "b", "h"])
    onnx.checker.check_model(model, full_check=True)
    assert outputs(model) == ["loss", "grad/x", "grad/w", "grad/b", "grad/h"]
    assert [info.name for info in model.graph.input] == ["x", "labels"]
    assert {tensor.name for tensor in model.graph.initializer} >= {"w", "b"}
    x, labels = rng.normal(size=(5, 3)), np.array([0, 1, 3, 2, 0])
    _, of_x, of_w, of_b, of_h = evaluator(model)({"x": x, "labels": labels})
    w = numpy_helper.to_array(parsed(MLP).graph.initializer[0])
    np.testing.assert_allclose(of_x, of_h @ w, rtol=1e-12)
    np.testing.assert_allclose(of_w, of_h.T @ x, rtol=1e-12)
    np.testing.assert_allclose(of_b, of_h.sum(0), rtol=1e-12)


def test_parameters_become_inputs(rng):
    model = gradient(parsed(MLP), "loss", ["w"], parameters=["w", "b"])
    assert [info.name for info in model.graph.input] == ["x", "labels", "w", "b"]
    assert "w" not in {tensor.name for tensor in model.graph.initializer}
    feeds = {"x": rng.normal(size=(5, 3)), "labels": np.array([0, 1, 3, 2, 0]), "b": np.zeros(4)}
    run, w, way = evaluator(model), rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    ahead, behind = (run(feeds | {"w": w + step * way})[0] for step in (1e-6, -1e-6))
    np.testing.assert_allclose((ahead - behind) / 2e-6, np.sum(run(feeds | {"w": w})[1] * way), rtol=1e-6)


def test_without_a_cotangent_the_sum_is_differentiated():
    model = parsed("f (double[N, 3] x) => (double[N, 3] y) { y = Mul (x, x) }")
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(evaluator(gradient(model, "y", "x"))({"x": x})[1], 2 * x)
    weighted = gradient(model, "y", "x", cotangent="weights")
    assert [info.name for info in weighted.graph.input] == ["x", "weights"]
    np.testing.assert_array_equal(evaluator(weighted)({"x": x, "weights": x})[1], 2 * x * x)


def test_a_tensor_is_the_gradient_of_itself_and_one_apart_has_zeros():
    model = parsed("f (double[N, 3] x, double[2] z) => (double[N, 3] y) { y = Exp (x) }")
    result = gradient(model, "y", ["y", "z"])
    y, of_y, of_z = evaluator(result)({"x": np.ones((2, 3)), "z": np.ones(2)})
    np.testing.assert_array_equal(of_y, np.ones((2, 3)))
    np.testing.assert_array_equal(of_z, np.zeros(2))
    np.testing.assert_array_equal(runtime(gradient(model, "x", ["x"]), {"x": y, "z": of_z})[1], np.ones((2, 3)))


def test_what_nothing_needs_is_left_out():
    body = "f (float[N, 3] x) => (float[N, 3] z) { y = Exp (x) s = Sin (x) z = Mul (y, s) }"
    assert kinds(gradient(parsed(body), "y", "x")) == ["Exp", "Mul"]
    assert kinds(gradient(parsed(body), "z", "y", cotangent="w")) == ["Exp", "Sin", "Mul", "Mul"]


def test_gradients_that_meet_are_added(rng):
    body = "f (double[N, 3] x) => (double[N, 3] y) { a = Exp (x) b = Sin (x) c = Mul (x, x) y = Sum (a, b, c, x) }"
    x = rng.normal(size=(2, 3))
    got = evaluator(gradient(parsed(body), "y", "x"))({"x": x})[1]
    np.testing.assert_allclose(got, np.exp(x) + np.cos(x) + 2 * x + 1, rtol=1e-14)


def test_the_parts_of_a_split_are_joined_once():
    body = """f (float[N, 6] x) => (float[N, 2] y) {
        a = Slice (x, zero, two, one) b = Slice (x, two, four, one) c = Slice (x, four, six, one)
        ab = Mul (a, b) y = Mul (ab, c) }"""
    model = parsed(body)
    for name, value in {"zero": 0, "one": 1, "two": 2, "four": 4, "six": 6}.items():
        model.graph.initializer.append(numpy_helper.from_array(np.array([value]), name))
    result = kinds(gradient(model, "y", "x", cotangent="w"))
    assert result.count("Concat") == 1 and "Pad" not in result and "Add" not in result
    x = np.arange(12.0, dtype=np.float32).reshape(2, 6)
    w = np.ones((2, 2), np.float32)
    got = runtime(gradient(model, "y", "x", cotangent="w"), {"x": x, "w": w})[1]
    a, b, c = np.split(x, 3, axis=1)
    np.testing.assert_array_equal(got, np.concatenate([b * c, a * c, a * b], axis=1))


def test_a_deep_graph_needs_no_recursion():
    nodes = [helper.make_node("Sin" if i % 2 else "Neg", [f"t{i}"], [f"t{i + 1}"]) for i in range(3000)]
    graph = helper.make_graph(
        nodes,
        "deep",
        [helper.make_tensor_value_info("t0", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("t3000", TensorProto.FLOAT, [2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert len(gradient(model, "t3000", "t0").graph.node) >= 6000


def test_the_given_model_is_not_changed():
    model = parsed(MLP)
    before = model.SerializeToString(deterministic=True)
    gradient(model, "loss", ["x", "w"], parameters=["w"])
    assert model.SerializeToString(deterministic=True) == before


def test_a_model_is_read_from_its_path(tmp_path):
    onnx.save(parsed(MLP), tmp_path / "mlp.onnx")
    assert outputs(gradient(tmp_path / "mlp.onnx", "loss", "x")) == ["loss", gradient_name("x")]


def test_a_gradient_has_a_gradient(rng):
    body = "f (double[N, 3] x) => (double y) { a = Tanh (x) b = Mul (a, x) y = ReduceSum <keepdims = 0> (b) }"
    first = gradient(parsed(body), "y", "x")
    second = gradient(first, "grad/x", ["a"])  # of the sum of the gradient, by way of tanh(x)
    x = rng.normal(size=(2, 3))
    got = evaluator(second)({"x": x})[1]
    np.testing.assert_allclose(got, 1 - 2 * np.tanh(x) * x, rtol=1e-12)


def test_functions_of_a_model_are_followed(rng):
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17, "own": 1]>
        f (double[N, 3] x) => (double[N, 3] y) { y = own.cube (x) }
        <domain: "own", opset_import: ["": 17]> cube (a) => (b) { s = Mul (a, a) b = Mul (s, a) }"""
    )
    x = rng.normal(size=(2, 3))
    np.testing.assert_allclose(evaluator(gradient(model, "y", "x"))({"x": x})[1], 3 * x * x, rtol=1e-12)


@pytest.mark.parametrize(
    ("op", "shapes", "attributes"),
    [
        ("RotaryEmbedding", [(2, 2, 3, 4), (2, 3, 2), (2, 3, 2)], {}),
        ("Attention", [(2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 4)], {"softmax_precision": TensorProto.DOUBLE}),
        ("Attention", [(2, 3, 8), (2, 3, 8), (2, 3, 8)], {"q_num_heads": 2, "kv_num_heads": 2, "is_causal": 1}),
    ],
)
def test_an_operator_defined_by_others_is_taken_apart(rng, op, shapes, attributes):
    names = [f"x{i}" for i in range(len(shapes))]
    graph = helper.make_graph(
        [helper.make_node(op, names, ["y"], **attributes)],
        "g",
        [
            helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["N", *shape[1:]])
            for name, shape in zip(names, shapes, strict=True)
        ],
        [onnx.ValueInfoProto(name="y")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    run = evaluator(gradient(model, "y", names))
    values, ways = ({name: rng.normal(size=shape) for name, shape in zip(names, shapes, strict=True)} for _ in "vw")
    ahead, behind = (run({k: values[k] + step * ways[k] for k in names})[0].sum() for step in (1e-5, -1e-5))
    slope = sum(np.sum(part * ways[name]) for name, part in zip(names, run(values)[1:], strict=True))
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-5, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(of="lost", wrt="x"), r"no tensor 'lost'; did you mean loss?"),
        (dict(of="loss", wrt=["x", "zzzz"]), "no tensor 'zzzz'$"),
        (dict(of="loss", wrt="labels"), "floating-point tensors, and 'labels' is int64"),
        (dict(of="labels", wrt="x"), "floating-point tensors, and 'labels' is int64"),
        (dict(of="loss", wrt=["x", "x"]), "wrt names 'x' more than once"),
        (dict(of="loss", wrt="w", parameters=["x"]), "initialisers of the graph, and 'x' is none"),
        (dict(of="loss", wrt="x", cotangent="h"), "name 'h' of the result is taken"),
    ],
)
def test_a_wrong_name_is_refused_with_the_remedy(arguments, message):
    with pytest.raises(InputError, match=message):
        gradient(parsed(MLP), **arguments)


def test_all_operators_without_a_rule_are_named_at_once():
    body = """f (float[2, 3, 3] x) => (float[2] y) {
        a = Det (x) b = com.microsoft.Odd (a) [second] c = com.microsoft.Odd (b) y = Neg (c) floor = Det (x) }"""
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1]> {body}')
    with pytest.raises(InputError, match=r"2 × com.microsoft.Odd \('b'\), 1 × Det \('a'\), between 'x' and 'y'"):
        gradient(model, "y", "x")
    assert outputs(gradient(model, "y", "c")) == ["y", "grad/c"]


def test_control_flow_that_reads_the_tensor_from_outside_is_refused():
    body = """f (float[2] x, bool c) => (float[2] y) {
        y = If (c) <then_branch = t () => (float[2] p) { p = Exp (x) }, else_branch = e () => (float[2] q) { q = Neg (x) }> }"""
    with pytest.raises(InputError, match="1 × If"):
        gradient(parsed(body), "y", "x")


def test_an_old_operator_set_is_refused():
    with pytest.raises(InputError, match="opset 9 or later, got 8"):
        gradient(parsed("f (float[2] x) => (float[2] y) { y = Exp (x) }", opset=8), "y", "x")


def test_a_diagonal_in_an_einstein_sum_is_refused():
    model = parsed('f (float[3, 3] x) => (float[3] y) { y = Einsum <equation = "ii->i"> (x) }')
    with pytest.raises(InputError, match="twice"):
        gradient(model, "y", "x")


def test_an_empty_batch_has_empty_gradients_and_sums_of_zero():
    model = parsed("f (float[A, B] x, float[C, D] z) => (y) { y = Mul (x, z) }")
    empty, row = np.ones((0, 4), np.float32), np.ones((1, 4), np.float32)
    _, of_x, of_z = runtime(gradient(model, "y", ["x", "z"]), {"x": empty, "z": row})
    assert of_x.shape == (0, 4)
    np.testing.assert_array_equal(of_z, np.zeros((1, 4)))


TIES = {
    "y = Relu (x)": ([-1, 0, 2], [0, 0, 1]),
    "y = Abs (x)": ([-1, 0, 2], [-1, 0, 1]),
    "y = Max (x, zero)": ([-1, 0, 2], [0, 0.5, 1]),
    "y = Min (x, zero)": ([-1, 0, 2], [1, 0.5, 0]),
    "y = Clip (x, zero, one)": ([0, 1, 2], [1, 1, 0]),
    "y = LeakyRelu <alpha = 0.25> (x)": ([-1, 0, 2], [0.25, 0.25, 1]),
    "y = ReduceMax <keepdims = 0> (x)": ([2, 0, 2], [0.5, 0, 0.5]),
    "y = ReduceMin <keepdims = 0> (x)": ([2, 0, 0], [0, 0.5, 0.5]),
    "y = ReduceL2 <keepdims = 0> (x)": ([0, 0, 0], [0, 0, 0]),
}


@pytest.mark.parametrize("body", TIES)
def test_ties_are_shared_as_documented(body):
    model = parsed(f"f (float[3] x) => (y) <float zero = {{0}}, float one = {{1}}> {{ {body} }}")
    x, truth = (np.array(values, np.float32) for values in TIES[body])
    np.testing.assert_array_equal(runtime(gradient(model, "y", "x"), {"x": x})[1], truth)


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_constants_have_the_type_of_the_graph(kind, rng):
    import ml_dtypes

    dtype = np.dtype(getattr(ml_dtypes, kind, kind))
    model = parsed(
        f"f ({kind}[N, 4] x, {kind}[4] w) => ({kind}[N, 4] y) "
        "{ a = Mul (x, w) b = Relu (a) c = Sigmoid (b) s = ReduceMean <axes = [1]> (c) y = Div (c, s) }",
    )
    result = gradient(model, "y", ["x", "w"])
    onnx.checker.check_model(result, full_check=True)
    exact = evaluator(
        gradient(parsed(onnx.printer.to_text(model).split(">", 1)[1].replace(kind, "double")), "y", ["x", "w"])
    )
    feeds = {"x": rng.normal(size=(3, 4)).astype(dtype), "w": rng.normal(size=4).astype(dtype)}
    got = evaluator(result)(feeds)
    for one, other in zip(got, exact({name: array.astype(np.float64) for name, array in feeds.items()}), strict=True):
        assert one.dtype == dtype
        np.testing.assert_allclose(one.astype(np.float64), other, atol=0.03)


def test_dropout_in_training_passes_what_its_mask_does(rng):
    model = parsed(
        "f (float[N, 50] x) => (y, m) <float ratio = {0.25}, bool on = {1}> { y, m = Dropout <seed = 1> (x, ratio, on) }"
    )
    x = rng.normal(size=(4, 50)).astype(np.float32)
    y, got = runtime(gradient(model, "y", "x"), {"x": x})
    np.testing.assert_allclose(got, y / x, rtol=1e-6)
    assert 0 < np.mean(got == 0) < 1


@pytest.mark.parametrize("gather", ["Gather (x, i)", "GatherElements <axis = 0> (x, all)", "GatherND (x, column)"])
def test_rows_gathered_many_times_are_added_in_turn(gather, rng):
    model = parsed(
        f"f (float[V, 64] x, int64[N] i, int64[N, 64] all, int64[N, 1] column) => (float[N, 64] y) {{ y = {gather} }}"
    )
    result = gradient(model, "y", "x", cotangent="w")
    assert "ScatterND" not in kinds(result), "onnxruntime adds from several threads at once there and loses terms"
    i, w = rng.integers(0, 3, 5000), rng.integers(-8, 9, (5000, 64)).astype(np.float32)
    truth = np.zeros((5, 64), np.float32)
    np.add.at(truth, i, w)
    feeds = {"x": 0 * truth, "i": i, "w": w, "column": i[:, None], "all": np.tile(i[:, None], 64)}
    np.testing.assert_array_equal(runtime(result, feeds)[1], truth)


def test_softmax_before_opset_13_normalises_from_axis_1_on(rng):
    x = rng.normal(size=(2, 3, 4)).astype(np.float32)
    w = rng.normal(size=(2, 3, 4)).astype(np.float32)
    for op in ("Softmax", "LogSoftmax"):
        old, new = (
            parsed(f"f (float[N, 3, 4] x) => (float[N, 3, 4] y) {{ {body} }}", opset)
            for body, opset in [
                (f"y = {op} (x)", 11),
                (f"f = Flatten (x) s = {op} (f) n = Shape (x) y = Reshape (s, n)", 17),
            ]
        )
        one, other = (runtime(gradient(m, "y", "x", cotangent="w"), {"x": x, "w": w})[1] for m in (old, new))
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


@st.composite
def broadcast(draw):
    """Draw two shapes that broadcast."""
    whole = draw(st.lists(st.integers(1, 3), max_size=3))
    shapes = []
    for _ in range(2):
        kept = draw(st.integers(0, len(whole)))
        shapes.append(tuple(draw(st.sampled_from([1, length])) for length in whole[len(whole) - kept :]))
    return shapes


@settings(max_examples=60, deadline=None)
@given(shapes=broadcast(), op=st.sampled_from(["Add", "Sub", "Mul", "Div", "Max", "Where"]), known=st.data())
def test_gradients_of_broadcast_operands_have_their_shapes_and_sums(shapes, op, known):
    rng = np.random.default_rng(0)
    a, b = (rng.uniform(0.5, 2, shape) for shape in shapes)
    infos = [
        helper.make_tensor_value_info(
            name, TensorProto.DOUBLE, [known.draw(st.sampled_from([length, None])) for length in array.shape]
        )
        for name, array in (("a", a), ("b", b))
    ]
    first = [helper.make_node("Less", ["a", "b"], ["c"])] if op == "Where" else []
    names = ["c", "a", "b"] if op == "Where" else ["a", "b"]
    graph = helper.make_graph([*first, helper.make_node(op, names, ["y"])], "g", infos, [onnx.ValueInfoProto(name="y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    result = gradient(model, "y", ["a", "b"], cotangent="w")
    forward = {
        "Add": lambda a, b: (a + b, 1 + 0 * a, 1 + 0 * b),
        "Sub": lambda a, b: (a - b, 1 + 0 * a, 0 * b - 1),
        "Mul": lambda a, b: (a * b, b, a),
        "Div": lambda a, b: (a / b, 1 / b, -a / b**2),
        "Max": lambda a, b: (np.maximum(a, b), (a > b) + (a == b) / 2, (a < b) + (a == b) / 2),
        "Where": lambda a, b: (np.where(a < b, a, b), a < b, ~(a < b)),
    }
    y, slope_a, slope_b = forward[op](a, b)
    w = rng.normal(size=y.shape)
    got = evaluator(result)({"a": a, "b": b, "w": w})[1:]
    for array, slope, one in zip((a, b), (slope_a, slope_b), got, strict=True):
        whole = w * slope
        extra = whole.ndim - array.ndim
        axes = (*range(extra), *(extra + i for i, length in enumerate(array.shape) if length == 1))
        np.testing.assert_allclose(one, whole.sum(axis=axes).reshape(array.shape), rtol=1e-12, atol=1e-12)
        assert one.shape == array.shape


def test_operators_of_onnx_go_by_both_their_names(rng):
    body = "f (float[N, 3] x) => (float[N, 3] y) { t = Tanh (x) s = ReduceMean <axes = [1]> (t) y = Mul (t, s) }"
    other = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["ai.onnx": 17]> {body}')
    other.graph.node[0].domain = "ai.onnx"
    before = other.SerializeToString()
    x = rng.normal(size=(4, 3)).astype(np.float32)
    one, two = (runtime(gradient(model, "y", "x"), {"x": x})[1] for model in (parsed(body), other))
    np.testing.assert_array_equal(one, two)
    assert other.SerializeToString() == before


def test_a_cotangent_must_not_be_called_like_a_result():
    model = parsed("f (float[N, 3] x) => (float[N, 3] y) { y = Tanh (x) }")
    with pytest.raises(InputError, match="'grad/x' of the result is taken"):
        gradient(model, "y", "x", cotangent="grad/x")
