"""One step of training as one graph: a batch is gathered, differentiated and taken into the parameters."""

from dataclasses import dataclass, field

import numpy as np

from srmfast.graph import gradient, gradient_name
from srmfast.training.layers import IR_VERSION, OPSET, Nodes
from srmfast.training.network import INPUT, PREDICTION, SCALED

ROWS, LABELS, ORDER, POSITION, LOSS = "rows", "labels", "order", "position", "loss"
_COTANGENT = "d_prediction"
# Added to what an optimiser keeps. Where a gradient has become exactly 0, as for pixels that are always black, it
# would otherwise decay into subnormal numbers, which make a step four times as slow, and stay there.
_FLOOR = 1e-30


@dataclass(frozen=True)
class Step:
    """A graph that changes a state.

    Attributes
    ----------
    model : onnx.ModelProto
        Inputs: "rows", "labels" where there are classes, "order" (n,) int64, and the state. Outputs: `after(name)`
        for every name of the state.
    state : dict of str to ndarray
        At the beginning: the parameters, what the optimiser keeps, "position" in "order" and the sum of losses.
    """

    model: object = field(repr=False)
    state: dict = field(repr=False)


def after(name):
    """Return the output that holds a tensor of the state after the step."""
    return f"after/{name}"


def training_step(network, recipe, data):
    """Build the graph that takes one batch of `order` into the parameters.

    Parameters
    ----------
    network : Network
    recipe : Recipe
    data : Data

    Returns
    -------
    Step

    Notes
    -----
    The derivative of the loss with respect to the prediction is a formula; all before it is `srmfast.graph.gradient`.
    """
    graph = gradient(
        network.model, PREDICTION, network.parameters, cotangent=_COTANGENT, parameters=network.parameters
    ).graph
    head, tail = Nodes("step/"), Nodes("update/")
    _gather(head, recipe["training.batch"], data)
    loss = Nodes("loss/")
    derivative = _loss(loss, recipe, data, derive=True)
    loss.op("Identity", derivative, name=_COTANGENT)
    values = _initialisers(network.model)
    state = {name: values[name] for name in network.parameters}
    state |= _update(tail, recipe, network.parameters, values)
    middle, last = list(graph.node), [at for at, node in enumerate(graph.node) if PREDICTION in node.output][0]
    nodes = [*head.nodes, *middle[: last + 1], *loss.nodes, *middle[last + 1 :], *tail.nodes]
    constants = [*graph.initializer, *head.initialisers, *loss.initialisers, *tail.initialisers]
    return _assembled(nodes, constants, state, data)


def test_step(network, recipe, data, batch):
    """Build the graph that adds the losses of one batch of `order` and changes no parameter."""
    head, loss = Nodes("step/"), Nodes("loss/")
    _gather(head, batch, data)
    _loss(loss, recipe, data, derive=False)
    values = _initialisers(network.model)
    state = {name: values[name] for name in network.parameters}
    kept = [tensor for tensor in network.model.graph.initializer if tensor.name not in state]
    same = Nodes()
    for name in state:
        same.op("Identity", name, name=after(name))
    nodes = [*head.nodes, *network.model.graph.node, *loss.nodes, *same.nodes]
    return _assembled(nodes, [*kept, *head.initialisers, *loss.initialisers], state, data)


def _initialisers(model):
    import onnx

    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def _gather(nodes, batch, data):
    """Append the batch that `order` names at `position`, and the position behind it; the last one may be smaller."""
    size = nodes.constant([min(batch, len(data.rows))], dtype=np.int64)
    stop = nodes.op("Add", POSITION, size, name=after(POSITION))
    index = nodes.op("Slice", ORDER, POSITION, stop)
    nodes.op("Gather", ROWS, index, name=INPUT, axis=0)
    if data.labels is not None:
        nodes.op("Gather", LABELS, index, name="step/labels", axis=0)


def _loss(nodes, recipe, data, *, derive):
    """Append the sum of the batch's losses to that of the epoch; return the derivative of the batch's mean."""
    if recipe["training.loss"] == "mse":
        off = nodes.op("Sub", PREDICTION, SCALED)
        _add_up(nodes, nodes.op("ReduceSumSquare", off, keepdims=0))
        size = nodes.op("Cast", nodes.op("Size", off), to=1)
        return derive and nodes.op("Mul", off, nodes.op("Div", nodes.constant(2.0), size))
    logs = nodes.op("LogSoftmax", PREDICTION, axis=-1)
    depth, levels = nodes.constant(len(data.names), dtype=np.int64), nodes.constant([0.0, 1.0])
    wanted = nodes.op("OneHot", "step/labels", depth, levels)
    _add_up(nodes, nodes.op("Neg", nodes.op("ReduceSum", nodes.op("Mul", wanted, logs), keepdims=0)))
    rows = nodes.op("Cast", nodes.op("Size", "step/labels"), to=1)
    return derive and nodes.op("Div", nodes.op("Sub", nodes.op("Exp", logs), wanted), rows)


def _add_up(nodes, value):
    nodes.op("Add", LOSS, nodes.op("Cast", value, to=11), name=after(LOSS))  # in float64: thousands of batches


def _update(nodes, recipe, parameters, values):
    """Append the optimiser's step; return its state at the beginning."""
    rate = nodes.constant(recipe["optimiser.learning_rate"])
    adam, state = recipe["optimiser.kind"] == "adam", {}
    if adam:
        state["optimiser/steps"] = np.zeros((), np.float32)
        count = nodes.op("Add", "optimiser/steps", nodes.constant(1.0), name=after("optimiser/steps"))
        corrections = [_correction(nodes, recipe[f"optimiser.{beta}"], count) for beta in ("beta1", "beta2")]
    for name in parameters:
        slope = _regularised(nodes, recipe, name)
        if adam:
            state |= {f"{name}/mean": np.zeros_like(values[name]), f"{name}/square": np.zeros_like(values[name])}
            slope = _adam(nodes, recipe, name, slope, corrections)
        elif recipe["optimiser.momentum"]:
            state[kept := f"{name}/momentum"] = np.zeros_like(values[name])
            slope = nodes.op("Add", _decayed(nodes, kept, recipe["optimiser.momentum"]), slope, name=after(kept))
        nodes.op("Sub", name, nodes.op("Mul", slope, rate), name=after(name))
    return state


def _regularised(nodes, recipe, name):
    """Return the slope of a parameter with that of l1·Σ|w| + l2·Σw²/2, which count for weights only."""
    slope = gradient_name(name)
    if name.endswith("/weight"):
        if factor := recipe["regularisation.l2"]:
            slope = nodes.op("Add", slope, nodes.op("Mul", name, nodes.constant(factor)))
        if factor := recipe["regularisation.l1"]:
            slope = nodes.op("Add", slope, nodes.op("Mul", nodes.op("Sign", name), nodes.constant(factor)))
    return slope


def _adam(nodes, recipe, name, slope, corrections):
    """Return the direction of Adam (arXiv 1412.6980, algorithm 1)."""

    def average(kept, value, beta):
        old = _decayed(nodes, kept, beta)
        return nodes.op("Add", old, nodes.op("Mul", value, nodes.constant(1.0 - beta)), name=after(kept))

    mean = average(f"{name}/mean", slope, recipe["optimiser.beta1"])
    square = average(f"{name}/square", nodes.op("Mul", slope, slope), recipe["optimiser.beta2"])
    mean, square = (nodes.op("Div", value, by) for value, by in zip((mean, square), corrections, strict=True))
    return nodes.op("Div", mean, nodes.op("Add", nodes.op("Sqrt", square), nodes.constant(recipe["optimiser.epsilon"])))


def _correction(nodes, beta, count):
    """Return 1 - beta^count, in float64: in float32 that of the first steps is off in the fifth digit for 0.999."""
    power = nodes.op("Pow", nodes.constant(beta, dtype=np.float64), nodes.op("Cast", count, to=11))
    return nodes.op("Cast", nodes.op("Sub", nodes.constant(1.0, dtype=np.float64), power), to=1)


def _decayed(nodes, kept, factor):
    return nodes.op("Add", nodes.op("Mul", kept, nodes.constant(factor)), nodes.constant(_FLOOR))


def _assembled(nodes, constants, state, data):
    import onnx

    state = state | {POSITION: np.zeros(1, np.int64), LOSS: np.zeros((), np.float64)}

    def info(name, dtype, shape):
        return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)

    inputs = [info(ROWS, data.rows.dtype, ["n", *data.rows.shape[1:]]), info(ORDER, np.int64, ["m"])]
    if data.labels is not None:
        inputs.append(info(LABELS, np.int64, ["n"]))
    graph = onnx.helper.make_graph(
        nodes,
        "step",
        inputs + [info(name, value.dtype, value.shape) for name, value in state.items()],
        [info(after(name), value.dtype, value.shape) for name, value in state.items()],
        constants,
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], producer_name="srmfast", ir_version=IR_VERSION
    )
    onnx.checker.check_model(model)
    return Step(model, state)
