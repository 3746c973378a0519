"""Reductions over axes, running sums and the largest values.

ReduceMax and ReduceMin give equal shares to the elements that tie, as `torch.amax` does; the gradient of ReduceL2 at
zero is zero.
"""

import numpy as np

from srmfast.graph.rules.elementwise import equal
from srmfast.graph.tape import Loose


def _rule(derivative):
    """Return the rule of a reduction, from what computes its gradient in the shape of the input.

    The derivative is given (tape, gradient, x, output, axes), the gradient and the output with axes of length 1 in place of
    the reduced ones.
    """

    def rule(node, tape):
        x = node.input[0]
        axes = _axes(node, tape)
        gradient, output = (_with_axes(node, tape, name, axes) for name in (tape.of(node), node.output[0]))
        return [derivative(tape, gradient, x, output, axes)]

    return rule


def _axes(node, tape):
    rank = tape.rank(node.input[0])
    axes = tape.axes(node, rank=rank)
    if not axes:
        axes = [] if tape.attribute(node, "noop_with_empty_axes", 0) else range(rank)
    return sorted(axes)


def _with_axes(node, tape, name, axes):
    return name if tape.attribute(node, "keepdims", 1) else tape.unsqueeze(name, axes)


def _sum(tape, gradient, x, output, axes):
    return Loose(gradient)


def mean(tape, gradient, x, output, axes):
    """Return the gradient of a mean over axes, which may be loose; that of the output has them at length 1."""
    lengths = [tape.extents(x)[axis] for axis in axes]
    if all(isinstance(length, int) for length in lengths):
        share = tape.op("Mul", gradient, tape.number(1 / max(np.prod(lengths, dtype=float), 1), x))
    else:
        count = tape.reduce("ReduceProd", tape.vector([tape.length(x, axis) for axis in axes]), [0])
        share = tape.op("Div", gradient, tape.cast(count, x))
    return Loose(share)


def extreme(tape, gradient, x, output, axes):
    """Return the gradient of a largest or smallest element: equal shares where there are several."""
    chosen = tape.cast(equal(tape, x, output), x)
    count = tape.reduce("ReduceSum", chosen, axes)
    return tape.op("Mul", chosen, tape.op("Div", gradient, count))


def _product(tape, gradient, x, output, axes):
    """Of the other elements' product, which needs no division by a zero: with one zero, that of the rest is left."""
    zero = tape.cast(equal(tape, x, tape.number(0, x)), x)
    safe = tape.op("Add", x, zero)
    others = tape.op("Div", tape.reduce("ReduceProd", safe, axes), safe)
    other_zeros = tape.op("Sub", tape.reduce("ReduceSum", zero, axes), zero)
    return tape.mask(tape.op("Mul", gradient, others), equal(tape, other_zeros, tape.number(0, x)))


def _l1(tape, gradient, x, output, axes):
    return tape.op("Mul", gradient, tape.op("Sign", x))


def _l2(tape, gradient, x, output, axes):
    safe = tape.op("Add", output, tape.cast(equal(tape, output, tape.number(0, x)), x))
    return tape.op("Mul", x, tape.op("Div", gradient, safe))


def _log_sum_exp(tape, gradient, x, output, axes):
    return tape.op("Mul", gradient, tape.op("Exp", tape.op("Sub", x, output)))


def _log_sum(tape, gradient, x, output, axes):
    return Loose(tape.op("Div", gradient, tape.op("Exp", output)))


def _sum_square(tape, gradient, x, output, axes):
    return tape.op("Mul", x, tape.op("Mul", gradient, tape.number(2, x)))


def _cumulative_sum(node, tape):
    return [
        tape.op(
            "CumSum",
            tape.of(node),
            node.input[1],
            exclusive=tape.attribute(node, "exclusive"),
            reverse=1 - tape.attribute(node, "reverse", 0),
        )
    ]


def _top_k(node, tape):
    gradient = tape.of(node, 0)
    if gradient is None:
        return [None]
    x = node.input[0]
    axis = tape.attribute(node, "axis", -1)
    op = "ScatterElements" if tape.opset >= 11 else "Scatter"
    return [tape.op(op, tape.zeros(x), node.output[1], gradient, axis=axis, like=x)]


RULES = {
    "CumSum": _cumulative_sum,
    "ReduceL1": _rule(_l1),
    "ReduceL2": _rule(_l2),
    "ReduceLogSum": _rule(_log_sum),
    "ReduceLogSumExp": _rule(_log_sum_exp),
    "ReduceMax": _rule(extreme),
    "ReduceMean": _rule(mean),
    "ReduceMin": _rule(extreme),
    "ReduceProd": _rule(_product),
    "ReduceSum": _rule(_sum),
    "ReduceSumSquare": _rule(_sum_square),
    "TopK": _top_k,
}
