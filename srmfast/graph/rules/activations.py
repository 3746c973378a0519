"""Activation functions with settings, and softmax.

At a kink the derivative is that of torch: of Relu and ThresholdedRelu 0, of LeakyRelu and the Elu family that of the left
side, of HardSigmoid 0.
"""

import math


def _relu(node, tape):
    gradient, output = tape.of(node, loose=True), node.output[0]
    return [tape.mask(gradient, tape.op("Greater", output, tape.number(0, output)))]


def _thresholded_relu(node, tape):
    x = node.input[0]
    bound = tape.number(tape.attribute(node, "alpha", 1.0), x)
    return [tape.mask(tape.of(node, loose=True), tape.op("Greater", x, bound))]


def _shrink(node, tape):
    x = node.input[0]
    bound = tape.number(tape.attribute(node, "lambd", 0.5), x)
    return [tape.mask(tape.of(node, loose=True), tape.op("Greater", tape.op("Abs", x), bound))]


def _leaky_relu(node, tape):
    alpha = tape.attribute(node, "alpha", 0.01)
    return [
        tape.op("Mul", tape.of(node, loose=True), _blend(tape, node.input[0], alpha, tape.number(alpha, node.input[0])))
    ]


def _elu(node, tape):
    return [
        tape.op("Mul", tape.of(node, loose=True), _elu_slope(tape, node.input[0], tape.attribute(node, "alpha", 1.0)))
    ]


def _selu(node, tape):
    x = node.input[0]
    alpha = tape.attribute(node, "alpha", 1.67326319217681884765625)
    gamma = tape.attribute(node, "gamma", 1.05070102214813232421875)
    gradient = tape.op("Mul", tape.of(node, loose=True), tape.number(gamma, x))
    return [tape.op("Mul", gradient, _elu_slope(tape, x, alpha))]


def _celu(node, tape):
    x = node.input[0]
    negative = tape.op("Min", x, tape.number(0, x))
    alpha = tape.attribute(node, "alpha", 1.0)
    return [tape.op("Mul", tape.of(node, loose=True), tape.op("Exp", tape.op("Div", negative, tape.number(alpha, x))))]


def _elu_slope(tape, x, alpha):
    slope = tape.op("Exp", tape.op("Min", x, tape.number(0, x)))
    return slope if alpha == 1 else _blend(tape, x, alpha, tape.op("Mul", slope, tape.number(alpha, x)))


def _blend(tape, x, alpha, slope):
    """Return a slope that is alpha on the right, where it is to be 1."""
    positive = tape.cast(tape.op("Greater", x, tape.number(0, x)), x)
    return tape.op("Add", slope, tape.op("Mul", positive, tape.number(1 - alpha, x)))


def _hard_sigmoid(node, tape):
    output = node.output[0]
    alpha = tape.number(tape.attribute(node, "alpha", 0.2), output)
    return [tape.op("Mul", tape.mask(tape.of(node, loose=True), _inside(tape, output)), alpha)]


def _hard_swish(node, tape):
    x = node.input[0]
    hard = tape.op("HardSigmoid", x, alpha=1 / 6, beta=0.5)
    slope = tape.mask(tape.op("Mul", x, tape.number(1 / 6, x)), _inside(tape, hard))
    return [tape.op("Mul", tape.of(node, loose=True), tape.op("Add", hard, slope))]


def _inside(tape, hard):
    return tape.op("And", tape.op("Greater", hard, tape.number(0, hard)), tape.op("Less", hard, tape.number(1, hard)))


def _gelu(node, tape):
    x = node.input[0]

    def number(value):
        return tape.number(value, x)

    square = tape.op("Mul", x, x)
    if tape.attribute(node, "approximate", "none") == "none":
        half = tape.op("Mul", tape.op("Erf", tape.op("Mul", x, number(math.sqrt(0.5)))), number(0.5))
        normal = tape.op("Add", half, number(0.5))
        bell = tape.op("Mul", tape.op("Exp", tape.op("Mul", square, number(-0.5))), number(1 / math.sqrt(2 * math.pi)))
        return [tape.op("Mul", tape.of(node, loose=True), tape.op("Add", normal, tape.op("Mul", x, bell)))]
    root = math.sqrt(2 / math.pi)
    inner = tape.op("Add", tape.op("Mul", square, number(0.044715 * root)), number(root))
    t = tape.op("Tanh", tape.op("Mul", x, inner))
    outer = tape.op("Add", tape.op("Mul", square, number(3 * 0.044715 * root)), number(root))
    steep = tape.op("Sub", number(1), tape.op("Mul", t, t))
    slope = tape.op("Mul", tape.op("Mul", tape.op("Mul", x, outer), steep), number(0.5))
    flat = tape.op("Mul", tape.op("Add", t, number(1)), number(0.5))
    return [tape.op("Mul", tape.of(node, loose=True), tape.op("Add", flat, slope))]


def _swish(node, tape):
    x, alpha = node.input[0], tape.attribute(node, "alpha", 1.0)
    s = tape.op("Sigmoid", x if alpha == 1 else tape.op("Mul", x, tape.number(alpha, x)))
    rest = tape.op("Mul", node.output[0], tape.op("Sub", tape.number(1, x), s))
    rest = rest if alpha == 1 else tape.op("Mul", rest, tape.number(alpha, x))
    return [tape.op("Mul", tape.of(node, loose=True), tape.op("Add", s, rest))]


def _softmax(node, tape):
    output = node.output[0]
    product = tape.op("Mul", tape.of(node, loose=True), output)
    total = tape.reduce("ReduceSum", product, softmax_axes(node, tape))
    return [tape.op("Sub", product, tape.op("Mul", output, total))]


def _log_softmax(node, tape):
    gradient = tape.of(node)
    total = tape.reduce("ReduceSum", gradient, softmax_axes(node, tape))
    return [tape.op("Sub", gradient, tape.op("Mul", tape.op("Exp", node.output[0]), total))]


def softmax_axes(node, tape):
    """Return the axes that are normalised together: one, or before opset 13 all from one on."""
    rank = tape.rank(node.input[0])
    if tape.opset >= 13:
        return [tape.attribute(node, "axis", -1) % rank]
    return range(tape.attribute(node, "axis", 1) % rank if rank > 1 else 0, rank)


RULES = {
    "Celu": _celu,
    "Elu": _elu,
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "LeakyRelu": _leaky_relu,
    "LogSoftmax": _log_softmax,
    "Relu": _relu,
    "Selu": _selu,
    "Shrink": _shrink,
    "Softmax": _softmax,
    "Swish": _swish,
    "ThresholdedRelu": _thresholded_relu,
}
