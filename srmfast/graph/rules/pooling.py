"""Pools: the largest element, the mean or a norm of what a sliding window, or all spatial axes, hold."""

import math

import numpy as np

from srmfast.graph.rules.elementwise import equal
from srmfast.graph.rules.reductions import extreme, mean
from srmfast.graph.rules.windows import convolved, padded_at_run_time, transposed, unpadded, windows


def _max_pool(node, tape):
    """Send each gradient to the first of the largest elements of its window."""
    gradient, x = tape.of(node), node.input[0]
    places = _row_major(node, tape) if tape.attribute(node, "storage_order", 0) else tape.output(node, 1)
    kernel = tape.attribute(node, "kernel_shape")
    strides = tape.attribute(node, "strides") or [1] * len(kernel)
    dilations = tape.attribute(node, "dilations") or [1] * len(kernel)
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    apart = [-(-length // step) for step, length in zip(strides, reach, strict=True)]

    def unpooled(gradient, places):
        # a kernel of 1: onnxruntime compares the size it would reach with the shape
        return tape.op("MaxUnpool", gradient, places, tape.shape(x), kernel_shape=[1] * len(kernel), like=x)

    if max(apart) == 1:  # no element is in two windows
        return [unpooled(gradient, places)]
    if tape.opset >= 16:
        flat = tape.integers(-1)
        pieces = [tape.op("Reshape", name, flat) for name in (tape.zeros(x), places, gradient)]
        return [tape.reshape(tape.op("ScatterElements", *pieces, axis=0, reduction="add"), x)]
    axes, rest = range(2, 2 + len(kernel)), [2**31 - 1] * len(kernel)
    parts = [
        unpooled(*(tape.slice(name, list(first), rest, axes, apart) for name in (gradient, places)))
        for first in np.ndindex(*apart)
    ]
    return [tape.op("Sum", *parts, like=x)]


def _row_major(node, tape):
    """Return the places of the largest elements of a pool that counts them by columns, by rows."""
    names = ("auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "strides")
    return tape.op("MaxPool", node.input[0], outputs=2, **{name: tape.attribute(node, name) for name in names})[1]


def _average_pool(node, tape):
    gradient, x = tape.of(node), node.input[0]
    whole = tape.attribute(node, "count_include_pad", 0) or not _may_reach_out(node, tape)
    if whole and not tape.attribute(node, "ceil_mode", 0):
        share = tape.number(1 / math.prod(tape.attribute(node, "kernel_shape")), x)
    else:
        share = _shares(node, tape, gradient)
    return [_back(node, tape, tape.op("Mul", gradient, share, like=gradient))]


def _may_reach_out(node, tape):
    """Return whether a window may hold positions outside its input."""
    made = windows(node, tape)
    return made.begin is None or any(made.pads) or bool(tape.attribute(node, "ceil_mode", 0))


def _shares(node, tape, gradient):
    """Return one over what each window divides by, (1, 1, *windows).

    It is the mean that the pool itself gives of ones, over how many elements of the input the window holds: right
    for whatever the runtime counts in a window that reaches beyond the padding.
    """
    x = node.input[0]
    ones = tape.full(1, tape.slice(x, [0, 0], [1, 1], [0, 1]))
    names = ("auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides")
    mean = tape.op("AveragePool", ones, **{name: tape.attribute(node, name) for name in names})
    held = convolved(node, tape, ones, _ones(tape, 1, windows(node, tape), x), gradient)
    return tape.op("Div", mean, held)


def _ones(tape, channels, made, like):
    return tape.constant(np.ones((channels, 1, *made.kernel), tape.dtype(like)))


def _back(node, tape, gradient):
    """Return, at each element of the input, the sum of the gradients of the windows that hold it."""
    x = node.input[0]
    made, over, before = windows(node, tape), x, None
    if made.begin is None:
        over, made, before = padded_at_run_time(node, tape, x)
    channels = tape.dims(x)[1]
    if channels is not None:
        spread = transposed(tape, gradient, _ones(tape, channels, made, x), made, channels, over)
    else:
        single = [
            tape.op("Reshape", name, tape.vector([tape.integers(-1, 1), *tape.lengths(name)[2:]]))
            for name in (gradient, over)
        ]
        spread = tape.op(
            "Reshape", transposed(tape, single[0], _ones(tape, 1, made, x), made, 1, single[1]), tape.shape(over)
        )
    return unpadded(tape, spread, before, x)


def _lp_pool(node, tape):
    """Send back g sign(x) (|x| / y)^(p - 1), y the norm; 0 where that is 0."""
    gradient, x, y = tape.of(node), node.input[0], node.output[0]
    p = tape.attribute(node, "p", 2)
    if p == 1:
        return [tape.op("Mul", _back(node, tape, gradient), tape.op("Sign", x), like=x)]
    one, zero = tape.number(1, x), tape.number(0, x)
    safe = tape.op("Where", equal(tape, y, zero), one, y)
    if p == 2:
        return [tape.op("Mul", _back(node, tape, tape.op("Div", gradient, safe, like=y)), x, like=x)]
    power = tape.op("Pow", safe, tape.number(1 - p, x))
    slope = tape.op("Mul", tape.op("Sign", x), tape.op("Pow", tape.op("Abs", x), tape.number(p - 1, x)))
    return [tape.op("Mul", _back(node, tape, tape.op("Mul", gradient, power, like=y)), slope, like=x)]


def _global_average_pool(node, tape):
    x, y = node.input[0], node.output[0]
    return [mean(tape, tape.of(node), x, y, range(2, tape.rank(x)))]


def _global_max_pool(node, tape):
    """Give equal shares to the largest elements."""
    x, y = node.input[0], node.output[0]
    return [extreme(tape, tape.of(node), x, y, range(2, tape.rank(x)))]


def _global_lp_pool(node, tape):
    """Send back g sign(x) (|x| / y)^(p - 1), y the norm; 0 where that is 0."""
    gradient, x, y = tape.of(node), node.input[0], node.output[0]
    p = tape.attribute(node, "p", 2)
    if p == 1:
        return [tape.op("Mul", tape.op("Sign", x), gradient, like=x)]
    safe = tape.op("Where", equal(tape, y, tape.number(0, x)), tape.number(1, x), y)
    ratio = tape.op("Div", x, safe)
    if p != 2:
        ratio = tape.op("Mul", tape.op("Sign", x), tape.op("Pow", tape.op("Abs", ratio), tape.number(p - 1, x)))
    return [tape.op("Mul", ratio, gradient, like=x)]


RULES = {
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global_average_pool,
    "GlobalLpPool": _global_lp_pool,
    "GlobalMaxPool": _global_max_pool,
    "LpPool": _lp_pool,
    "MaxPool": _max_pool,
}
