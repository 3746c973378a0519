"""Operators that choose elements by a condition or by indices."""

import numpy as np

from srmfast.graph.rules.elementwise import refuse
from srmfast.graph.tape import Piece


def _where(node, tape):
    gradient = tape.of(node)
    condition, a, b = node.input
    first = tape.mask(gradient, condition)
    other = None
    if tape.wanted(b):
        other = tape.op("Sub", gradient, first) if tape.wanted(a) else tape.mask(gradient, tape.op("Not", condition))
    return [
        None,
        tape.unbroadcast(first, a) if tape.wanted(a) else None,
        tape.unbroadcast(other, b) if tape.wanted(b) else None,
    ]


def _gather(node, tape):
    """Of rows along an axis: a piece where they are consecutive and known, else a sum of rows into zeros."""
    (data, indices), gradient = node.input, tape.of(node)
    rank = tape.rank(data)
    axis = tape.attribute(node, "axis", 0) % rank
    length, value = tape.extents(data)[axis], tape.value(indices)
    if value is not None and _is_run(value):
        start = int(value.ravel()[0])
        if start < 0 and isinstance(length, int):
            start += length
        elif start < 0:
            start = tape.op("Add", tape.length(data, axis), tape.integers(start))
        return [Piece(gradient if value.ndim else tape.unsqueeze(gradient, [axis]), axis, start)]
    many, lengths = tape.rank(indices), tape.lengths(data)
    if tape.opset >= 16:
        rows = tape.vector([*lengths[:axis], tape.integers(-1), *lengths[axis + 1 :]])
        parts = tape.op("Reshape", gradient, rows)
        flat = tape.op("Reshape", indices, tape.integers(*(-1 if i == axis else 1 for i in range(rank))))
        return [_added(tape, data, tape.op("Expand", flat, tape.op("Shape", parts)), parts, axis)]
    # The gathered axis first: (rows, the rest of data's axes).
    front = tape.transpose(gradient, [*range(axis, axis + many), *range(axis), *range(axis + many, rank + many - 1)])
    target = tape.vector([lengths[axis], *lengths[:axis], *lengths[axis + 1 :]])
    total = tape.op("Reshape", _product(tape, indices, front, lengths[axis]), target)
    return [tape.transpose(total, [*range(1, axis + 1), 0, *range(axis + 1, rank)])]


def _is_run(indices):
    """Return whether indices are those of consecutive elements."""
    flat = indices.ravel()
    wraps = indices.size and flat[0] < 0 <= flat[-1]
    return indices.ndim < 2 and indices.size and not wraps and np.all(np.diff(flat) == 1)


def _added(tape, data, indices, parts, axis):
    """Return zeros of the shape of `data` to which parts are added by index along an axis.

    Not by ScatterND, which adds from several threads at once in onnxruntime: where indices repeat it loses terms.
    """
    return tape.op("ScatterElements", tape.zeros(data), indices, parts, axis=axis, reduction="add", like=data)


def _product(tape, indices, front, length):
    """Return the sum of rows by index as a matrix product, for operator sets whose scatter cannot add."""
    chosen = tape.cast(_at_index(tape, tape.op("Reshape", indices, tape.integers(-1)), length, [1], front), front)
    count = tape.op("Size", indices)
    rows = tape.op("Reshape", front, tape.vector([tape.unsqueeze(count, [0]), tape.integers(-1)]))
    return tape.op("Gemm", chosen, rows, tape.number(0, front), transA=1)


def _at_index(tape, indices, length, axes, front):
    """Return where a new axis equals the index (or, below 0, the index from the end)."""
    if tape.opset >= 11:
        steps = tape.op("Range", *(tape.squeeze(end, [0]) for end in (tape.integers(0), length, tape.integers(1))))
    else:  # the places of the ones in a vector of ones
        steps = tape.op("Reshape", tape.op("NonZero", tape.filled(length, front, 1)), tape.integers(-1))
    indices = tape.op("Cast", tape.unsqueeze(indices, axes), to=7)  # int64
    from_end = tape.op("Less", indices, tape.integers(0))
    return tape.op("Equal", tape.op("Where", from_end, tape.op("Add", indices, length), indices), steps)


def _needs_sums(node, tape):
    if tape.opset < 16:
        refuse(node, f"it needs opset 16 or later, got {tape.opset}; onnx.version_converter raises it")


def _gather_elements(node, tape):
    _needs_sums(node, tape)
    data, indices = node.input
    axis = tape.attribute(node, "axis", 0)
    return [_added(tape, data, indices, tape.of(node), axis)]


def _gather_nd(node, tape):
    """Of slices by their coordinates: numbered in the order of memory, they are rows to add to."""
    _needs_sums(node, tape)
    data, indices = node.input
    batch, rank = tape.attribute(node, "batch_dims", 0), tape.rank(indices)
    if batch:
        indices = _with_batch(tape, indices, batch)
    taken = tape.extents(indices)[-1]
    if not isinstance(taken, int):
        refuse(node, "the number of coordinates differs between runs")
    lengths = tape.lengths(data)
    sizes = tape.vector(lengths[:taken])
    indices = tape.op("Where", tape.op("Less", indices, tape.integers(0)), tape.op("Add", indices, sizes), indices)
    strides = [tape.integers(1)]
    for length in lengths[taken - 1 : 0 : -1]:
        strides.insert(0, _times(tape, strides[0], length))
    numbers = tape.op("Mul", indices, tape.vector(strides))
    numbers = tape.reduce("ReduceSum", numbers, [rank - 1], keepdims=False)
    wide = tape.op("ReduceProd", tape.vector([tape.integers(1), *lengths[taken:]]), keepdims=1)
    parts = tape.op("Reshape", tape.of(node), tape.vector([tape.integers(-1), wide]))
    numbers = tape.op("Expand", tape.op("Reshape", numbers, tape.integers(-1, 1)), tape.op("Shape", parts))
    rows = tape.op("Reshape", data, tape.vector([tape.integers(-1), wide]))
    return [tape.reshape(_added(tape, rows, numbers, parts, 0), data)]


def _with_batch(tape, indices, batch):
    """Return indices with the position along each batch axis in front."""
    rank = tape.rank(indices)
    shape = tape.vector([*(tape.length(indices, axis) for axis in range(rank - 1)), tape.integers(1)])
    columns = []
    for axis in range(batch):
        ends = (tape.integers(0), tape.length(indices, axis), tape.integers(1))
        steps = tape.op("Range", *(tape.squeeze(end, [0]) for end in ends))
        steps = tape.unsqueeze(steps, [i for i in range(rank) if i != axis])
        columns.append(tape.op("Expand", steps, shape))
    return tape.op("Concat", *columns, indices, axis=rank - 1)


def _times(tape, one, other):
    values = tape.value(one), tape.value(other)
    if values[0] is None or values[1] is None:
        return tape.op("Mul", one, other)
    return tape.integers(int(values[0][0] * values[1][0]))


def _scatter_elements(node, tape):
    axis = tape.attribute(node, "axis", 0)
    return _scattered(node, tape, "ScatterElements", "GatherElements", {"axis": axis})


def _scatter_nd(node, tape):
    return _scattered(node, tape, "ScatterND", "GatherND", {})


def _scattered(node, tape, scatter, gather, where):
    (data, indices, updates), gradient = node.input, tape.of(node)
    reduction = tape.attribute(node, "reduction", "none")
    if reduction not in ("none", "add"):
        refuse(node, f"reduction {reduction!r} has no rule")
    kept = gradient
    if reduction == "none" and tape.wanted(data):
        kept = tape.op(scatter, gradient, indices, tape.zeros(updates), like=data, **where)
    return [kept, None, tape.op(gather, gradient, indices, **where) if tape.wanted(updates) else None]


def _one_hot(node, tape):
    """Of the two values, off and on."""
    indices, depth, values = node.input
    gradient = tape.of(node)
    axis = tape.attribute(node, "axis", -1)
    unit = tape.op("OneHot", indices, depth, tape.constant(np.array([0, 1], tape.dtype(values))), axis=axis)
    everything = range(tape.rank(gradient))
    on = tape.reduce("ReduceSum", tape.op("Mul", gradient, unit), everything, keepdims=False)
    total = tape.reduce("ReduceSum", gradient, everything, keepdims=False)
    parts = [tape.unsqueeze(part, [0]) for part in (tape.op("Sub", total, on), on)]
    return [None, None, tape.op("Concat", *parts, axis=0)]


def _triangle(node, tape):
    return [tape.op("Trilu", tape.of(node), tape.given(node, 1), upper=tape.attribute(node, "upper"))]


RULES = {
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "OneHot": _one_hot,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "Trilu": _triangle,
    "Where": _where,
}
