"""Sliding windows: the geometry that convolutions and pools share, and the gradient of a convolution by its input."""

from dataclasses import dataclass

from srmfast.errors import InputError


@dataclass(frozen=True)
class Windows:
    """Where the windows of a node lie, one entry per spatial axis.

    Window o covers the input positions ``stride * o - begin + dilation * j`` for j in 0 … kernel - 1.
    """

    kernel: tuple  # of int
    strides: tuple  # of int
    dilations: tuple  # of int
    begin: tuple | None  # of int: padding before the first position; None where it differs between runs
    end: tuple | None  # of int

    @property
    def reach(self):
        """Positions from the first to the last of a window, both included."""
        return tuple(d * (k - 1) + 1 for d, k in zip(self.dilations, self.kernel, strict=True))

    @property
    def pads(self):
        """The attribute `pads` of a node."""
        return [*self.begin, *self.end]


def windows(node, tape, kernel=None):
    """Return the windows of a convolution or pool over its first input.

    Parameters
    ----------
    node : onnx.NodeProto
    tape : Tape
    kernel : str, optional
        The tensor whose last axes have the size of a window, where the node does not say it.
    """
    rank = tape.rank(node.input[0]) - 2
    sizes = tape.attribute(node, "kernel_shape") or (kernel and tape.dims(kernel)[2:])
    if not sizes or None in sizes:
        raise InputError(
            f"the gradient of {node.op_type} {node.output[0]!r} needs the size of its windows: give it kernel_shape"
        )
    strides = tuple(tape.attribute(node, "strides") or [1] * rank)
    dilations = tuple(tape.attribute(node, "dilations") or [1] * rank)
    made = Windows(tuple(sizes), strides, dilations, None, None)
    begin, end = _pads(node, tape, made)
    return Windows(made.kernel, strides, dilations, begin, end)


def _pads(node, tape, made):
    """Return the paddings before and behind, or (None, None) where they follow from lengths that differ between runs."""
    rank, auto = len(made.kernel), tape.attribute(node, "auto_pad", "NOTSET")
    if auto == "VALID":
        return (0,) * rank, (0,) * rank
    if auto == "NOTSET":
        pads = tape.attribute(node, "pads") or [0] * (2 * rank)
        return tuple(pads[:rank]), tuple(pads[rank:])
    totals = []
    for length, stride, reach in zip(tape.dims(node.input[0])[2:], made.strides, made.reach, strict=True):
        if length is not None:
            totals.append(max(0, (-(-length // stride) - 1) * stride + reach - length))
        elif stride == 1:
            totals.append(reach - 1)
        else:
            return None, None
    return same_pads(totals, auto)


def same_pads(totals, auto):
    """Split paddings in two; the odd one goes behind for SAME_UPPER, before for SAME_LOWER."""
    small, large = tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
    return (small, large) if auto == "SAME_UPPER" else (large, small)


def padded_at_run_time(node, tape, name):
    """Return an input padded as SAME_UPPER or SAME_LOWER pads it when its lengths differ between runs.

    Returns
    -------
    padded : str
    made : Windows
        Over the padded tensor, without padding.
    before : list of str
        The paddings before each spatial axis, as int64 vectors of one element.
    """
    rank = tape.rank(name)
    sizes = windows(node, tape, kernel=node.input[1] if len(node.input) > 1 else None)
    one, two, zero = tape.integers(1), tape.integers(2), tape.integers(0)
    before, behind = [], []
    for axis, (stride, reach) in enumerate(zip(sizes.strides, sizes.reach, strict=True), 2):
        length, step = tape.length(name, axis), tape.integers(stride)
        last = tape.op("Div", tape.op("Sub", length, one), step)  # the index of the last window
        total = tape.op(
            "Max",
            tape.op("Sub", tape.op("Add", tape.op("Mul", last, step), tape.integers(reach)), length),
            zero,
        )
        small = tape.op("Div", total, two)
        large = tape.op("Sub", total, small)
        upper = tape.attribute(node, "auto_pad") == "SAME_UPPER"
        before.append(small if upper else large)
        behind.append(large if upper else small)
    pads = tape.vector([tape.integers(0, 0), *before, tape.integers(0, 0), *behind])
    padded = pad(tape, name, pads)
    free = (0,) * (rank - 2)
    return padded, Windows(sizes.kernel, sizes.strides, sizes.dilations, free, free), before


def pad(tape, name, pads):
    """Return a tensor with zeros around it; `pads` names an int64 vector."""
    if tape.opset < 11:
        raise InputError(f"the gradient of this graph needs opset 11 or later, got {tape.opset}")
    return tape.op("Pad", name, pads)


def unpadded(tape, gradient, before, like):
    """Return the part of a gradient that belongs to the tensor before `padded_at_run_time`."""
    if before is None:
        return gradient
    axes = range(2, tape.rank(like))
    stops = [tape.op("Add", start, tape.length(like, axis)) for start, axis in zip(before, axes, strict=True)]
    return tape.slice(gradient, tape.vector(before), tape.vector(stops), axes)


def transposed(tape, gradient, weight, made, group, like):
    """Return the gradient of a convolution with respect to its input, of which `like` has the shape.

    With strides of 1 it is the convolution with the flipped weight, which onnxruntime computes faster than a
    ConvTranspose; else it is that.

    Parameters
    ----------
    tape : Tape
    gradient : str
        (n, m, *windows).
    weight : str
        (m, c / group, *kernel).
    made : Windows
    group : int
    like : str
        (n, c, *spatial).
    """
    if _flips(tape, weight, made, group):
        before, behind = (
            [reach - 1 - pad for reach, pad in zip(made.reach, pads, strict=True)] for pads in (made.begin, made.end)
        )
        return tape.op(
            "Conv",
            gradient,
            _flipped(tape, weight, made, group),
            kernel_shape=made.kernel,
            dilations=made.dilations,
            pads=[*before, *behind],
            group=group,
            like=like,
        )
    extra, cut = [], []
    for axis, (stride, reach, begin, end) in enumerate(
        zip(made.strides, made.reach, made.begin, made.end, strict=True), 2
    ):
        length, count = tape.dims(like)[axis], tape.dims(gradient)[axis]
        if stride == 1:  # a window begins at every position
            missing = 0
        elif length is None or count is None:
            missing = stride - 1
            cut.append(axis)
        else:
            missing = length - (stride * (count - 1) + reach - begin - end)
            cut += [axis] if missing < 0 else []  # the last window reaches beyond the padding
        extra.append(max(0, missing))
    wide = tape.op(
        "ConvTranspose",
        gradient,
        weight,
        kernel_shape=made.kernel,
        strides=made.strides,
        dilations=made.dilations,
        pads=made.pads,
        output_padding=extra if any(extra) else None,
        group=group,
        like=None if cut else like,
    )
    return crop(tape, wide, like, cut)


def _flips(tape, weight, made, group):
    """Return whether the flipped convolution applies."""
    fits = all(
        pad < reach for pads in (made.begin, made.end) for reach, pad in zip(made.reach, pads, strict=True)
    )  # a convolution takes no negative padding
    known = group == 1 or None not in tape.dims(weight)[:2]
    return set(made.strides) == {1} and fits and known and (tape.opset >= 10 or set(made.kernel) == {1})


def _flipped(tape, weight, made, group):
    """Return a weight (m, c / group, *kernel) as (c, m / group, *kernel), reversed along the spatial axes."""
    axes = [axis for axis, size in enumerate(made.kernel, 2) if size > 1]
    if axes:
        weight = tape.slice(weight, [-1] * len(axes), [-(2**31)] * len(axes), axes, [-1] * len(axes))
    rest = range(3, 3 + len(made.kernel))
    if group == 1:
        return tape.transpose(weight, (1, 0, *(axis - 1 for axis in rest)))
    m, c = tape.dims(weight)[:2]
    if (m, c) == (group, 1):
        return weight
    split = tape.op("Reshape", weight, tape.integers(group, m // group, c, *made.kernel))
    return tape.op(
        "Reshape", tape.transpose(split, (0, 2, 1, *rest)), tape.integers(group * c, m // group, *made.kernel)
    )


def crop(tape, name, like, axes):
    """Return a tensor cut to the lengths that another has along some axes."""
    if not axes:
        return name
    stops = tape.vector([tape.length(like, axis) for axis in axes])
    return tape.slice(name, [0] * len(axes), stops, axes)


def convolved(node, tape, image, weight, gradient):
    """Return a convolution of an image with the windows of a node, one value for each of the node's."""
    made = windows(node, tape)
    shared = {"kernel_shape": made.kernel, "strides": made.strides, "dilations": made.dilations}
    if made.begin is None:
        return tape.op("Conv", image, weight, auto_pad=tape.attribute(node, "auto_pad"), **shared)
    end, cut = list(made.end), []
    if tape.attribute(node, "ceil_mode", 0):  # the last window may reach beyond the padding
        end = [pad + stride - 1 for pad, stride in zip(made.end, made.strides, strict=True)]
        cut = range(2, 2 + len(end))
    wide = tape.op("Conv", image, weight, pads=[*made.begin, *end], **shared)
    return crop(tape, wide, gradient, cut)
