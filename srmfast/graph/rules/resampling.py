"""Resizing and padding: each axis is resampled by a matrix, and the gradient by its transpose.

The matrix of an axis is what the operator itself makes of the identity, so that it is right for every mode, and for
lengths that differ between runs. onnxruntime computes it once where they do not.
"""

import numpy as np

from srmfast.errors import InputError


def _identity(tape, length, like):
    """Return the identity of a length, an int64 vector of one element."""
    square = tape.filled(tape.vector([length, length]), like)
    return tape.op("EyeLike", square)


def _resampled_back(tape, gradient, matrix, axis, rank):
    """Return the products of a matrix (source, result) with a gradient along one of its axes."""
    if axis == rank - 1:
        return tape.op("MatMul", gradient, tape.transpose(matrix, (1, 0)))
    order = list(range(rank))
    order[axis], order[rank - 2] = rank - 2, axis
    return tape.transpose(tape.op("MatMul", matrix, tape.transpose(gradient, order)), order)


def _element(tape, vector, i):
    """Return one element of a vector as a vector."""
    value = tape.value(vector)
    if value is not None:
        return tape.constant(np.ravel(value)[i : i + 1])
    return tape.op("Gather", vector, tape.integers(i), axis=0)


def _resize(node, tape):
    if tape.attribute(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
        raise InputError(f"the gradient of Resize {node.output[0]!r} needs keep_aspect_ratio_policy stretch")
    x, gradient = node.input[0], tape.of(node)
    rank = tape.rank(x)
    axes = [int(axis) % rank for axis in tape.attribute(node, "axes") or range(rank)]
    roi, scales, sizes = (tape.given(node, i) for i in (1, 2, 3)) if tape.opset > 10 else (None, node.input[1], None)
    if sizes is not None:
        scales = None
    crops = tape.attribute(node, "coordinate_transformation_mode") == "tf_crop_and_resize"
    for place, axis in enumerate(axes):
        if not crops and _keeps(node, tape, axis, place, scales):
            continue
        length = tape.length(x, axis)
        frame = None
        if crops:
            ends = [_element(tape, roi, place), _element(tape, roi, place + len(axes))]
            frame = [np.zeros(3), ends[0], np.ones(3), ends[1]]
        matrix = _resized_identity(node, tape, length, scales, sizes, place, frame)
        gradient = _resampled_back(tape, gradient, matrix, axis, rank)
    return [gradient]


def _keeps(node, tape, axis, place, scales):
    """Return whether an axis is known to stay as it is."""
    if scales is None:
        source, result = tape.extents(node.input[0]), tape.known.extents(node.output[0])
        return result is not None and source[axis] is not None and source[axis] == result[axis]
    value = tape.value(scales)
    return value is not None and np.ravel(value)[place] == 1


def _joined(tape, pieces, like):
    """Return a vector of the dtype of `like` from arrays and names of vectors."""
    return tape.op(
        "Concat", *(p if isinstance(p, str) else tape.constant(p.astype(tape.dtype(like))) for p in pieces), axis=0
    )


def _resized_identity(node, tape, length, scales, sizes, place, frame):
    """Return the identity with its columns resized as the node resizes an axis: (source, result)."""
    x = node.input[0]
    names = ["antialias", "coordinate_transformation_mode", "cubic_coeff_a", "exclude_outside", "mode", "nearest_mode"]
    attributes = {name: tape.attribute(node, name) for name in names}
    one = tape.integers(1)
    image = tape.op("Reshape", _identity(tape, length, x), tape.vector([one, one, length, length]))
    if scales is not None:
        shape = [_joined(tape, [np.ones(3), _element(tape, scales, place)], scales)]
    else:
        shape = [None, tape.vector([one, one, length, _element(tape, sizes, place)])]
    if tape.opset > 10:
        if frame is not None:
            roi = _joined(tape, frame, node.input[1])
        else:
            roi = tape.constant(np.zeros(0, np.float32)) if tape.opset < 13 else None
        if tape.opset < 13 and shape[0] is None:
            shape[0] = tape.constant(np.zeros(0, np.float32))
        shape = [roi, *shape]
    wide = tape.op(node.op_type, image, *shape, **attributes)
    return tape.op("Reshape", wide, tape.vector([length, tape.integers(-1)]))


def _upsample(node, tape):
    x, gradient, scales = node.input[0], tape.of(node), node.input[1]
    rank = tape.rank(x)
    for axis in range(rank):
        if not _keeps(node, tape, axis, axis, scales):
            matrix = _resized_identity(node, tape, tape.length(x, axis), scales, None, axis, None)
            gradient = _resampled_back(tape, gradient, matrix, axis, rank)
    return [gradient]


def _pad(node, tape):
    """Crop the gradient where zeros were added, fold it back where elements were repeated."""
    x, gradient = node.input[0], tape.of(node)
    rank, mode = tape.rank(x), tape.attribute(node, "mode", "constant")
    pads = tape.integers(*tape.attribute(node, "pads")) if tape.opset < 11 else node.input[1]
    axes = range(rank)
    if tape.given(node, 3):
        axes = tape.axes(node, 3, rank=rank)
    if mode != "constant":
        return [_folded(node, tape, gradient, pads, axes, mode)]
    by_value = None
    if tape.opset < 11:
        by_x = tape.op("Pad", gradient, pads=[-width for width in tape.attribute(node, "pads")], like=x)
    else:
        by_x = tape.op("Pad", gradient, _negated(tape, pads), None, tape.given(node, 3), like=x)
    value = tape.given(node, 2)
    if value is not None and tape.wanted(value):
        sums = [tape.reduce("ReduceSum", name, range(rank), keepdims=False) for name in (gradient, by_x)]
        by_value = tape.reshape(tape.op("Sub", *sums), value)
    return [by_x if tape.wanted(x) else None, None, by_value]


def _negated(tape, pads):
    value = tape.value(pads)
    return tape.op("Neg", pads) if value is None else tape.constant(-np.asarray(value))


def _folded(node, tape, gradient, pads, axes, mode):
    """Return the gradient of a _pad that repeats elements."""
    x, nothing = node.input[0], tape.integers(0)
    rank = tape.rank(x)
    for place, axis in enumerate(axes):
        ends = [_element(tape, pads, place), _element(tape, pads, place + len(axes))]
        values = [tape.value(end) for end in ends]
        if all(value is not None and not value.any() for value in values):
            continue
        identity = _identity(tape, tape.length(x, axis), x)
        if tape.opset < 11:
            ahead, behind = (int(value[0]) for value in values)
            matrix = tape.op("Pad", identity, pads=[0, ahead, 0, behind], mode=mode)
        else:
            matrix = tape.op("Pad", identity, tape.vector([nothing, ends[0], nothing, ends[1]]), mode=mode)
        gradient = _resampled_back(tape, gradient, matrix, axis, rank)
    return gradient


RULES = {"Pad": _pad, "Resize": _resize, "Upsample": _upsample}
