"""Arithmetic of several tensors, element by element, with broadcasting.

Max and Min give equal shares to the operands that tie, as `torch.maximum` does.
"""

import numpy as np

from srmfast.errors import InputError
from srmfast.graph.tape import Loose


def _shared(node, tape, gradient):
    """Return one gradient for every input, summed to the shape of each."""
    return [tape.settle(gradient, node, name) if tape.wanted(name) else None for name in node.input]


def _add(node, tape):
    return _shared(node, tape, tape.of(node, loose=True))


def _mean(node, tape):
    gradient = tape.of(node, loose=True)
    return _shared(node, tape, tape.op("Mul", gradient, tape.number(1 / len(node.input), gradient)))


def _subtract(node, tape):
    gradient = tape.of(node, loose=True)
    a, b = node.input
    return [
        tape.settle(gradient, node, a) if tape.wanted(a) else None,
        _negative(tape, tape.settle(gradient, node, b)) if tape.wanted(b) else None,
    ]


def _negative(tape, gradient):
    return Loose(tape.op("Neg", gradient.gradient)) if isinstance(gradient, Loose) else tape.op("Neg", gradient)


def _multiply(node, tape):
    gradient = tape.of(node, loose=True)
    a, b = node.input
    return [
        tape.settle(tape.op("Mul", gradient, by), node, name) if tape.wanted(name) else None
        for name, by in ((a, b), (b, a))
    ]


def _divide(node, tape):
    a, b = node.input
    over = tape.op("Div", tape.of(node, loose=True), b)
    return [
        tape.settle(over, node, a) if tape.wanted(a) else None,
        tape.op("Neg", tape.unbroadcast(tape.op("Mul", over, node.output[0]), b)) if tape.wanted(b) else None,
    ]


def _power(node, tape):
    base, exponent = node.input
    return [
        _of_base(node, tape, base, exponent) if tape.wanted(base) else None,
        _of_exponent(node, tape, base, exponent) if tape.wanted(exponent) else None,
    ]


def _of_base(node, tape, base, exponent):
    value = tape.value(exponent)
    if value is not None and value.size == 1 and value.ndim <= tape.rank(base):
        gradient = tape.of(node, loose=True)
        p = float(value.ravel()[0])
        if p == 0:
            return None
        if p == 1:
            return tape.of(node)
        if p == 0.5:
            return tape.op("Div", tape.op("Mul", gradient, tape.number(0.5, base)), node.output[0])
        lower = base if p == 2 else tape.op("Pow", base, tape.number(p - 1, base))
        return tape.op("Mul", tape.op("Mul", gradient, tape.number(p, base)), lower)
    if value is not None:
        value = value.astype(tape.dtype(base))
        exponent, lower = tape.constant(value), tape.constant(np.where(value == 0, 1, value - 1).astype(value.dtype))
    else:
        exponent = tape.cast(exponent, base)
        # 0 x^1 in place of 0 x^-1, which is NaN at x = 0.
        one = tape.number(1, base)
        none = tape.cast(equal(tape, exponent, tape.number(0, base)), base)
        lower = tape.op("Add", tape.op("Sub", exponent, one), tape.op("Add", none, none))
    slope = tape.op("Mul", exponent, tape.op("Pow", base, lower))
    return tape.unbroadcast(tape.op("Mul", tape.of(node), slope), base)


def _of_exponent(node, tape, base, exponent):
    output = node.output[0]
    # log 1 in place of log 0: the power 0^p does not change with p > 0.
    safe = tape.op("Add", base, tape.cast(equal(tape, base, tape.number(0, base)), base))
    slope = tape.op("Mul", output, tape.op("Log", safe))
    return tape.cast(tape.unbroadcast(tape.op("Mul", tape.of(node), slope), exponent), exponent)


def _modulo(node, tape):
    """Of x - trunc(x / b) b, the one remainder ONNX defines for floating-point tensors."""
    gradient = tape.of(node)
    a, b = node.input
    gradients = [tape.unbroadcast(gradient, a) if tape.wanted(a) else None, None]
    if tape.wanted(b):
        whole = tape.op("Div", tape.op("Sub", a, node.output[0]), b)
        gradients[1] = tape.op("Neg", tape.unbroadcast(tape.op("Mul", gradient, whole), b))
    return gradients


def _maximum(node, tape):
    return _extreme(node, tape, "Less")


def _minimum(node, tape):
    return _extreme(node, tape, "Greater")


def _extreme(node, tape, beaten):
    gradient, output = tape.of(node), node.output[0]
    if len(node.input) == 1:
        return [gradient]
    winning = {
        name: tape.cast(tape.op("Not", tape.op(beaten, name, output)), gradient) for name in dict.fromkeys(node.input)
    }
    winners = [winning[name] for name in node.input]
    count = tape.op("Add", *winners) if len(winners) == 2 else tape.op("Sum", *winners)
    share = tape.op("Div", gradient, count)
    return [
        tape.unbroadcast(tape.op("Mul", share, winning[name]), name) if tape.wanted(name) else None
        for name in node.input
    ]


def _clip(node, tape):
    """Of a tensor and its bounds; an element on a bound passes its gradient."""
    gradient, output = tape.of(node), node.output[0]
    x, low, high = node.input[0], tape.given(node, 1), tape.given(node, 2)
    gradients = [tape.mask(gradient, equal(tape, x, output)) if tape.wanted(x) else None, None, None]
    for i, bound, outside in ((1, low, "Less"), (2, high, "Greater")):
        if bound is not None and tape.wanted(bound):
            at_bound = tape.op("And", tape.op(outside, x, bound), equal(tape, output, bound))
            gradients[i] = tape.unbroadcast(tape.mask(gradient, at_bound), bound)
    return gradients


def _parametric_relu(node, tape):
    gradient = tape.of(node)
    x, slope = node.input
    gradients = [None, None]
    if tape.wanted(x):
        positive = tape.cast(tape.op("Greater", x, tape.number(0, x)), x)
        factor = tape.op("Add", slope, tape.op("Mul", positive, tape.op("Sub", tape.number(1, x), slope)))
        gradients[0] = tape.op("Mul", gradient, factor)
    if tape.wanted(slope):
        negative = tape.op("Min", x, tape.number(0, x))
        gradients[1] = tape.unbroadcast(tape.op("Mul", gradient, negative), slope)
    return gradients


def equal(tape, a, b):
    """Return where two floating-point tensors are equal; Equal takes them from opset 11 on."""
    if tape.opset >= 11:
        return tape.op("Equal", a, b)
    return tape.op("Not", tape.op("Or", tape.op("Less", a, b), tape.op("Greater", a, b)))


def refuse(node, why):
    """Raise the error of a node whose gradient is not defined here."""
    raise InputError(f"no gradient of {node.op_type} {node.name or node.output[0]!r}: {why}")


RULES = {
    "Add": _add,
    "Clip": _clip,
    "Div": _divide,
    "Max": _maximum,
    "Mean": _mean,
    "Min": _minimum,
    "Mod": _modulo,
    "Mul": _multiply,
    "PRelu": _parametric_relu,
    "Pow": _power,
    "Sub": _subtract,
    "Sum": _add,
}
