"""Normalisations: over a layer, a batch, an instance, groups of channels, neighbouring channels, or to a norm.

With x̂ = (x - mean(x)) / σ over some axes, a gradient g of x̂ is one of x by ``(g - mean(g) - x̂ mean(g x̂)) / σ``.
"""

import math

import numpy as np

from srmfast.errors import InputError
from srmfast.graph.rules.elementwise import equal


def _centred(tape, gradient, normal, inverse, axes):
    """Return the gradient of x from that of x̂, which is `normal`; `inverse` is 1 / σ."""
    mean = tape.reduce("ReduceMean", gradient, axes)
    inner = tape.op("Sub", tape.op("Sub", gradient, mean), _along(tape, gradient, normal, axes))
    return tape.op("Mul", inner, inverse)


def _along(tape, gradient, normal, axes):
    """Return x̂ mean(g x̂)."""
    share = tape.reduce("ReduceMean", tape.op("Mul", gradient, normal), axes)
    return tape.op("Mul", normal, share)


def _inverse(tape, square, epsilon):
    """Return 1 / sqrt(square + ε)."""
    return tape.op("Reciprocal", tape.op("Sqrt", tape.op("Add", square, tape.number(epsilon, square))))


def _standardised(tape, x, axes, epsilon):
    """Return x̂ and 1 / σ."""
    centre = tape.op("Sub", x, tape.reduce("ReduceMean", x, axes))
    inverse = _inverse(tape, tape.reduce("ReduceMean", tape.op("Mul", centre, centre), axes), epsilon)
    return tape.op("Mul", centre, inverse), inverse


def _by_scale(tape, node, gradient, normal, shape=None):
    """Return the gradients of a scale and, where the node has one, a bias: inputs 1 and 2.

    `shape` names the shape in which the scale is broadcast to the input, where it is not its own.
    """
    made = []
    for i, whole in ((1, lambda: tape.op("Mul", gradient, normal)), (2, lambda: gradient)):
        name = tape.given(node, i)
        if name is None or not tape.wanted(name):
            made.append(None)
        elif shape is None:
            made.append(tape.unbroadcast(whole(), name))
        else:
            made.append(tape.reshape(tape.unbroadcast(whole(), tape.op("Reshape", name, shape)), name))
    return made


def _layer_normalization(node, tape):
    """The mean and 1 / σ are outputs of the node."""
    x, scale = node.input[:2]
    rank = tape.rank(x)
    axes = range(tape.attribute(node, "axis", -1) % rank, rank)
    mean, inverse = (tape.cast(tape.output(node, i), x) for i in (1, 2))
    normal = tape.op("Mul", tape.op("Sub", x, mean), inverse)
    gradient, by_mean, by_inverse = (tape.of(node, i) for i in range(3))
    by_x = None
    if gradient is not None and tape.wanted(x):
        by_x = _centred(tape, tape.op("Mul", gradient, scale, like=x), normal, inverse, axes)
    if tape.wanted(x) and not (by_mean is None and by_inverse is None):
        by_x = _with_statistics(tape, by_x, by_mean, by_inverse, normal, inverse, axes)
    if gradient is None:
        return [by_x]
    return [by_x, *_by_scale(tape, node, gradient, normal)]


def _with_statistics(tape, by_x, by_mean, by_inverse, normal, inverse, axes):
    """Add what flows through a mean m and r = 1 / σ that are read: m' = 1 / n and r' = - r² x̂ / n for n elements."""
    parts = [] if by_x is None else [by_x]
    ones = tape.full(1, normal)
    count = tape.reduce("ReduceSum", ones, axes)
    if by_mean is not None:
        parts.append(tape.op("Mul", tape.op("Div", tape.cast(by_mean, normal), count), ones))
    if by_inverse is not None:
        share = tape.op("Mul", tape.cast(by_inverse, normal), tape.op("Mul", inverse, inverse))
        parts.append(tape.op("Neg", tape.op("Mul", tape.op("Div", share, count), normal)))
    return parts[0] if len(parts) == 1 else tape.op("Sum", *parts)


def _rms_normalization(node, tape):
    x, scale = node.input[:2]
    rank, gradient = tape.rank(x), tape.of(node)
    axes = range(tape.attribute(node, "axis", -1) % rank, rank)
    square = tape.reduce("ReduceMean", tape.op("Mul", x, x), axes)
    inverse = _inverse(tape, square, tape.attribute(node, "epsilon", 1e-5))
    normal = tape.op("Mul", x, inverse)
    by_x = None
    if tape.wanted(x):
        scaled = tape.op("Mul", gradient, scale, like=x)
        by_x = tape.op("Mul", tape.op("Sub", scaled, _along(tape, scaled, normal, axes)), inverse)
    return [by_x, *_by_scale(tape, node, gradient, normal)[:1]]


def _batch_normalization(node, tape):
    x, scale, bias, mean, variance = node.input
    gradient, rank = tape.of(node), tape.rank(x)
    training = tape.attribute(node, "training_mode", 0) or (tape.opset < 14 and len(node.output) > 1)
    if any(tape.of(node, i) is not None for i in range(1, len(node.output))):
        raise InputError(f"no gradient flows through the running statistics of BatchNormalization {node.output[0]!r}")
    epsilon = tape.attribute(node, "epsilon", 1e-5)
    shape = tape.integers(-1, *(1,) * (rank - 2)) if rank > 2 else tape.integers(1, -1)

    def broad(name):
        return tape.op("Reshape", name, shape)

    if training:
        axes = [axis for axis in range(rank) if axis != 1]
        normal, inverse = _standardised(tape, x, axes, epsilon)
        by_x = None
        if tape.wanted(x):
            by_x = _centred(tape, tape.op("Mul", gradient, broad(scale)), normal, inverse, axes)
        return [by_x, *_by_scale(tape, node, gradient, normal, shape)]
    inverse = _inverse(tape, variance, epsilon)
    slope = tape.op("Mul", scale, inverse)
    by_x = tape.op("Mul", gradient, broad(slope), like=x) if tape.wanted(x) else None
    if not any(map(tape.wanted, node.input[1:])):
        return [by_x]
    normal = tape.op("Mul", tape.op("Sub", x, broad(mean)), broad(inverse))
    by_scale, by_bias = (
        tape.op_reduced(whole, [axis for axis in range(rank) if axis != 1], name, keepdims=False)
        for whole, name in ((tape.op("Mul", gradient, normal), scale), (gradient, bias))
    )
    half = tape.op("Mul", tape.op("Mul", inverse, inverse), tape.number(-0.5, inverse))
    by_mean = tape.op("Neg", tape.op("Mul", by_bias, slope))
    by_variance = tape.op("Mul", tape.op("Mul", by_scale, scale), half)
    return [by_x, by_scale, by_bias, by_mean, by_variance]


def _instance_normalization(node, tape):
    x, scale = node.input[:2]
    rank, gradient = tape.rank(x), tape.of(node)
    axes = range(2, rank)
    shape = tape.integers(-1, *(1,) * (rank - 2))
    normal, inverse = _standardised(tape, x, axes, tape.attribute(node, "epsilon", 1e-5))
    by_x = None
    if tape.wanted(x):
        scaled = tape.op("Mul", gradient, tape.op("Reshape", scale, shape), like=x)
        by_x = _centred(tape, scaled, normal, inverse, axes)
    return [by_x, *_by_scale(tape, node, gradient, normal, shape)]


def _group_normalization(node, tape):
    """Cut the channels into groups: (n, groups, channels of a group, positions)."""
    x, scale = node.input[:2]
    gradient, groups = tape.of(node), tape.attribute(node, "num_groups")
    n, channels, *lengths = tape.lengths(x)
    each = tape.integers(-1) if tape.value(channels) is None else tape.integers(tape.dims(x)[1] // groups)
    positions = math.prod(tape.dims(x)[2:]) if None not in tape.dims(x)[2:] else None
    if positions is not None:
        cut = tape.vector([n, tape.integers(groups), each, tape.integers(positions)])
    else:
        size = tape.op("ReduceProd", tape.vector(lengths), keepdims=1)
        cut = tape.vector([n, tape.integers(groups), each, size])
    split = tape.op("Reshape", x, cut)
    flowing = tape.op("Reshape", gradient, cut)
    shape = tape.integers(groups, -1, 1)
    normal, inverse = _standardised(tape, split, [2, 3], tape.attribute(node, "epsilon", 1e-5))
    by_x = None
    if tape.wanted(x):
        scaled = tape.op("Mul", flowing, tape.op("Reshape", scale, shape))
        by_x = tape.reshape(_centred(tape, scaled, normal, inverse, [2, 3]), x)
    return [by_x, *_by_scale(tape, node, flowing, normal, shape)]


def _lp_normalization(node, tape):
    """A vector of zeros, which stays one, has no gradient."""
    gradient, x, y = tape.of(node), node.input[0], node.output[0]
    axes = [tape.attribute(node, "axis", -1) % tape.rank(x)]
    p = tape.attribute(node, "p", 2)
    norm = tape.reduce("ReduceL1" if p == 1 else "ReduceL2", x, axes)
    share = tape.reduce("ReduceSum", tape.op("Mul", gradient, y), axes)
    along = tape.op("Mul", share, tape.op("Sign", x) if p == 1 else y)
    nothing = equal(tape, norm, tape.number(0, x))
    safe = tape.op("Where", nothing, tape.number(1, x), norm)
    return [tape.mask(tape.op("Div", tape.op("Sub", gradient, along), safe), tape.op("Not", nothing))]


def _local_response_normalization(node, tape):
    """y = x s^-β with s = bias + α/size Σ x² over neighbouring channels c - a … c + b: a and b change places for x."""
    gradient, x = tape.of(node), node.input[0]
    size, beta = tape.attribute(node, "size"), tape.attribute(node, "beta", 0.75)
    factor, bias = tape.attribute(node, "alpha", 1e-4) / size, tape.attribute(node, "bias", 1.0)
    a, b = (size - 1) // 2, size - 1 - (size - 1) // 2
    flat = tape.vector([tape.length(x, 0), tape.integers(1), tape.length(x, 1), tape.integers(-1)])
    ones = tape.constant(np.ones((1, 1, size, 1), tape.dtype(x)))

    def summed(name, before, behind):
        made = tape.op("Conv", tape.op("Reshape", name, flat), ones, pads=[before, 0, behind, 0])
        return tape.reshape(made, x)

    base = tape.op("Mul", summed(tape.op("Mul", x, x), a, b), tape.number(factor, x))
    base = tape.op("Add", base, tape.number(bias, x))
    scaled = tape.op("Mul", gradient, tape.op("Pow", base, tape.number(-beta, x)))
    spread = summed(tape.op("Div", tape.op("Mul", scaled, x), base), b, a)
    return [
        tape.op("Sub", scaled, tape.op("Mul", tape.op("Mul", spread, x), tape.number(2 * factor * beta, x)), like=x)
    ]


RULES = {
    "BatchNormalization": _batch_normalization,
    "GroupNormalization": _group_normalization,
    "InstanceNormalization": _instance_normalization,
    "LRN": _local_response_normalization,
    "LayerNormalization": _layer_normalization,
    "LpNormalization": _lp_normalization,
    "RMSNormalization": _rms_normalization,
}
