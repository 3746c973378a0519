"""Convolutions and their transposes, in any number of spatial axes."""

import math
from dataclasses import replace

import numpy as np

from srmfast.graph.rules.windows import (
    Windows,
    crop,
    pad,
    padded_at_run_time,
    same_pads,
    transposed,
    unpadded,
    windows,
)


def _convolution(node, tape):
    gradient = tape.of(node)
    x, weight = node.input[:2]
    group = tape.attribute(node, "group", 1)
    made = windows(node, tape, kernel=weight)
    over, before = x, None
    if made.begin is None:
        over, made, before = padded_at_run_time(node, tape, x)
    return [
        unpadded(tape, transposed(tape, gradient, weight, made, group, over), before, x) if tape.wanted(x) else None,
        _by_weight(tape, over, gradient, made, group, weight) if tape.wanted(weight) else None,
        *_by_bias(node, tape, gradient),
    ]


def _by_bias(node, tape, gradient):
    if not (tape.given(node, 2) and tape.wanted(node.input[2])):
        return []
    axes = [axis for axis in range(tape.rank(node.input[0])) if axis != 1]
    return [tape.op_reduced(gradient, axes, node.input[2], keepdims=False)]


def _by_weight(tape, wide, narrow, made, group, weight):
    """Return the gradient of a _convolution with respect to its weight.

    It is a _convolution itself: batch and channels change places, the gradient of the output is the kernel, and
    strides and dilations change places.

    Parameters
    ----------
    tape : Tape
    wide : str
        The input of the _convolution, (n, c, *spatial).
    narrow : str
        The gradient of its output, (n, m, *windows).
    made : Windows
    group : int
    weight : str
        (m, c / group, *kernel).
    """
    rank = tape.rank(wide)
    spatial = list(range(2, rank))
    swap = (1, 0, *spatial)
    if _multiplies(tape, wide, narrow, made, group):
        return _by_products(tape, wide, narrow, made, weight, swap)
    # (n, g c', *s) -> (c', g n, *s): each group's batch entries are the channels of its group
    if group == 1:
        images = tape.transpose(wide, swap)
    else:
        n, c, *lengths = tape.lengths(wide)
        groups = tape.integers(group)
        each = tape.op("Div", c, groups)
        split = tape.op("Reshape", wide, tape.vector([n, groups, each, *lengths]))
        turned = tape.transpose(split, (2, 1, 0, *(axis + 1 for axis in spatial)))
        images = tape.op("Reshape", turned, tape.vector([each, tape.op("Mul", groups, n), *lengths]))
    product = tape.op(
        "Conv",
        images,
        tape.transpose(narrow, swap),
        strides=made.dilations,
        dilations=made.strides,
        pads=made.pads,
        group=group,
    )
    unsure = [
        axis
        for axis, stride, reach, begin, end, dilation in zip(
            spatial, made.strides, made.reach, made.begin, made.end, made.dilations, strict=True
        )
        if not _ends_with_the_last_window(tape.dims(wide)[axis], stride, reach, begin + end, dilation)
    ]
    if unsure:
        stops = [made.kernel[axis - 2] for axis in unsure]
        product = tape.slice(product, [0] * len(unsure), stops, unsure)
    turned = tape.transpose(product, swap)
    tape.known.declare(turned, weight)
    return turned


def _multiplies(tape, wide, narrow, made, group):
    """Return whether onnxruntime computes a product for each element of the kernel faster than the _convolution.

    Measured: 2 times as fast for 3 × 3 kernels and 64 or 128 channels, 4 times for 1 × 1; slower for few channels.
    """
    channels = tape.dims(wide)[1]
    lengths = tape.dims(narrow)[2:]
    return (
        group == 1
        and (channels or 0) >= 16
        and math.prod(made.kernel) <= 25
        and None not in lengths
        and tape.opset > 10
    )


def _by_products(tape, wide, narrow, made, weight, swap):
    """Return the gradient with respect to the weight by one matrix product for each element of the kernel."""
    spatial, flat = list(swap[2:]), tape.integers(0, -1)
    rows = tape.op("Reshape", tape.transpose(narrow, swap), flat)
    images = tape.transpose(wide, swap)
    if any(made.pads):
        images = pad(tape, images, tape.integers(0, 0, *made.begin, 0, 0, *made.end))
    counts = tape.dims(narrow)[2:]
    parts = []
    for place in np.ndindex(*made.kernel):
        starts = [at * dilation for at, dilation in zip(place, made.dilations, strict=True)]
        stops = [
            start + stride * (count - 1) + 1 for start, stride, count in zip(starts, made.strides, counts, strict=True)
        ]
        steps = None if set(made.strides) == {1} else made.strides
        columns = tape.op("Reshape", tape.slice(images, starts, stops, spatial, steps), flat)
        parts.append(tape.unsqueeze(tape.op("Gemm", rows, columns, transB=1), [2]))
    whole = tape.op("Concat", *parts, axis=2) if len(parts) > 1 else parts[0]
    return tape.reshape(whole, weight)


def _ends_with_the_last_window(length, stride, reach, pads, dilation):
    """Return whether the padded input is known to leave no room for a further element of the kernel."""
    if stride <= dilation:  # what remains is shorter than a stride
        return True
    return length is not None and (length + pads - reach) % stride < dilation


def _convolution_transpose(node, tape):
    gradient = tape.of(node)
    x, weight = node.input[:2]
    group = tape.attribute(node, "group", 1)
    made, over = _transposed_windows(node, tape, gradient)
    by_input = by_weight = None
    if tape.wanted(x):
        by_input = tape.op(
            "Conv",
            over,
            weight,
            kernel_shape=made.kernel,
            strides=made.strides,
            dilations=made.dilations,
            pads=made.pads,
            group=group,
        )
        by_input = _cut(tape, by_input, x)
    if tape.wanted(weight):
        by_weight = _by_weight(tape, over, x, made, group, weight)
    return [by_input, by_weight, *_by_bias(node, tape, gradient)]


def _cut(tape, gradient, x):
    """Cut what an output padding, or an output longer than the windows, leaves behind the last window."""
    tape_dims, wanted = tape.dims(gradient)[2:], tape.dims(x)[2:]
    axes = [
        axis
        for axis, (length, kept) in enumerate(zip(tape_dims, wanted, strict=True), 2)
        if length is None or length != kept
    ]
    return crop(tape, gradient, x, axes)


def _transposed_windows(node, tape, gradient):
    """Return the windows of a ConvTranspose over its output, and its gradient, padded where lengths differ."""
    x, weight = node.input[:2]
    made = windows(node, tape, kernel=weight)
    rank = len(made.kernel)
    auto, shape = tape.attribute(node, "auto_pad", "NOTSET"), tape.attribute(node, "output_shape")
    extra = tape.attribute(node, "output_padding") or [0] * rank
    if auto == "VALID" or (auto == "NOTSET" and not shape):
        return made, gradient
    lengths = tape.dims(x)[2:]
    if not shape:  # the output is `stride` times as long as the input
        totals = [reach + more - stride for reach, more, stride in zip(made.reach, extra, made.strides, strict=True)]
    elif None not in lengths:
        totals = [
            stride * (length - 1) + more + reach - wanted
            for stride, length, more, reach, wanted in zip(
                made.strides, lengths, extra, made.reach, shape[-rank:], strict=True
            )
        ]
    else:
        return _padded_gradient(node, tape, gradient, made, extra, shape[-rank:])
    begin, end = same_pads([max(0, total) for total in totals], auto)
    return replace(made, begin=begin, end=end), gradient


def _padded_gradient(node, tape, gradient, made, extra, shape):
    """Pad the gradient of an output of given shape whose input's lengths differ between runs."""
    auto, zero, two = tape.attribute(node, "auto_pad", "NOTSET"), tape.integers(0), tape.integers(2)
    before, behind = [], []
    for axis, (stride, more, reach, wanted) in enumerate(zip(made.strides, extra, made.reach, shape, strict=True), 2):
        reached = tape.op("Mul", tape.length(node.input[0], axis), tape.integers(stride))
        total = tape.op("Max", tape.op("Add", reached, tape.integers(more + reach - wanted - stride)), zero)
        small = tape.op("Div", total, two)
        large = tape.op("Sub", total, small)
        before.append(small if auto == "SAME_UPPER" else large)
        behind.append(large if auto == "SAME_UPPER" else small)
    nothing = tape.integers(0, 0)
    padded = pad(tape, gradient, tape.vector([nothing, *before, nothing, *behind]))
    free = (0,) * len(made.kernel)
    return Windows(made.kernel, made.strides, made.dilations, free, free), padded


RULES = {"Conv": _convolution, "ConvTranspose": _convolution_transpose}
