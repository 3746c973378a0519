"""Any graph of differentiable operators has the gradient of its differences, whatever is known of its shapes."""

import numpy as np
import onnx
import pytest
from gradient_truth import evaluator
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from srmfast.graph import gradient

CONSTANTS = {
    "zero": np.array([0]),
    "one": np.array([1]),
    "end": np.array([2**62]),
    "rows": np.array([0, 0, 1]),
    "half": np.array(0.5),
    "two": np.array(2.0),
}
# Operator, number of tensors it takes, constants behind them, attributes.
OPERATORS = [
    ("Abs", 1, (), {}),
    ("Add", 2, (), {}),
    ("Concat", 2, (), {"axis": 0}),
    ("Concat", 2, (), {"axis": 1}),
    ("Div", 2, (), {}),
    ("Exp", 1, (), {}),
    ("Gather", 1, ("rows",), {"axis": 0}),
    ("Gather", 1, ("zero",), {"axis": 1}),
    ("MatMul", 2, (), {}),
    ("Max", 2, (), {}),
    ("Mul", 1, ("half",), {}),
    ("Mul", 2, (), {}),
    ("Neg", 1, (), {}),
    ("Pow", 1, ("two",), {}),
    ("ReduceL2", 1, (), {"axes": [0, 1]}),
    ("ReduceMax", 1, (), {"axes": [0]}),
    ("ReduceMean", 1, (), {"axes": [1]}),
    ("ReduceSum", 1, ("zero",), {}),
    ("Slice", 1, ("one", "end", "one"), {}),
    ("Slice", 1, ("zero", "one", "one"), {}),
    ("Slice", 1, ("zero", "one", "zero"), {}),
    ("Softmax", 1, (), {}),
    ("Sub", 2, (), {}),
    ("Sum", 2, (), {}),
    ("Tanh", 1, (), {}),
    ("Transpose", 1, (), {}),
]


def model_of(nodes, shape):
    graph = helper.make_graph(
        nodes,
        "drawn",
        [helper.make_tensor_value_info("x0", TensorProto.DOUBLE, shape)],
        [onnx.ValueInfoProto(name=nodes[-1].output[0])],
        [numpy_helper.from_array(array, name) for name, array in CONSTANTS.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def drawn(seed, x):
    """Return nodes that turn matrices into matrices of moderate numbers, each taking what any before it made."""
    rng, nodes, names = np.random.default_rng(seed), [], ["x0"]
    for _ in range(rng.integers(2, 10)):
        op, count, constants, attributes = OPERATORS[rng.integers(len(OPERATORS))]
        name = f"x{len(names)}"
        node = helper.make_node(op, [*rng.choice(names, count), *constants], [name], **attributes)
        try:
            with np.errstate(all="ignore"):
                value = evaluator(model_of([*nodes, node], x.shape))({"x0": x})[0]
        except (IndexError, RuntimeError, TypeError, ValueError):  # the shapes do not fit
            continue
        if value.ndim == 2 and 0 < value.size < 200 and np.all(np.abs(value) < 50):
            nodes.append(node)
            names.append(name)
    return nodes


def differences(run, x, step):
    result = np.zeros_like(x)
    for at in np.ndindex(*x.shape):
        moved = np.zeros_like(x)
        moved[at] = step
        result[at] = (run({"x0": x + moved})[0].sum() - run({"x0": x - moved})[0].sum()) / (2 * step)
    return result


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_graph_of_any_operators_has_the_gradient_of_its_differences(seed):
    x = np.random.default_rng(0).normal(size=(3, 2))
    nodes = drawn(seed, x)
    assume(nodes)
    of = nodes[-1].output[0]
    run = evaluator(model_of(nodes, x.shape))
    truth, coarse = (differences(run, x, step) for step in (1e-6, 3e-6))
    assume(np.abs(truth - coarse).max() <= 1e-6 * max(1, np.abs(truth).max()))  # no kink near
    for shape in ([3, 2], ["N", 2], [None, None]):
        result = gradient(model_of(nodes, shape), of, "x0")
        onnx.checker.check_model(result)
        got = evaluator(result)({"x0": x})[1]
        assert got.shape == x.shape
        assert np.linalg.norm(got - truth) <= 1e-6 * max(1, np.linalg.norm(truth))
