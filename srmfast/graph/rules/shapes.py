"""Operators that move elements: shape, order, parts and copies."""

from srmfast.graph.rules.elementwise import refuse
from srmfast.graph.tape import Piece

END = 2**63 - 1


def _same(node, tape):
    return [tape.of(node)]


def _cast(node, tape):
    return [tape.cast(tape.of(node), node.input[0])]


def _reshape(node, tape):
    return [tape.reshape(tape.of(node), node.input[0])]


def _squeeze(node, tape):
    x, gradient = node.input[0], tape.of(node)
    axes = tape.axes(node, rank=tape.rank(x))
    if axes is None or None not in tape.dims(x):
        return [tape.reshape(gradient, x)]
    return [tape.unsqueeze(gradient, sorted(axes))]


def _unsqueeze(node, tape):
    x, gradient = node.input[0], tape.of(node)
    if None not in tape.dims(x):
        return [tape.reshape(gradient, x)]
    return [tape.squeeze(gradient, sorted(tape.axes(node, rank=tape.rank(node.output[0]))))]


def _transpose(node, tape):
    order = tape.attribute(node, "perm") or list(range(tape.rank(node.input[0])))[::-1]
    return [tape.transpose(tape.of(node), sorted(range(len(order)), key=list(order).__getitem__))]


def _expand(node, tape):
    return [tape.unbroadcast(tape.of(node), node.input[0])]


def _tile(node, tape):
    """Of copies along each axis: cut an axis in (copies, length), and sum the copies."""
    x, repeats = node.input[0], node.input[1]
    counts, pieces, axes = tape.value(repeats), [], []
    for axis, length in enumerate(tape.lengths(x)):
        if counts is None or counts[axis] != 1:
            axes.append(len(pieces))
            one = tape.integers(axis)
            pieces.append(tape.op("Gather", repeats, one) if counts is None else tape.integers(counts[axis]))
        pieces.append(length)
    cut = tape.op("Reshape", tape.of(node), tape.vector(pieces)) if axes else tape.of(node)
    return [tape.reshape(tape.reduce("ReduceSum", cut, axes, keepdims=False), x)]


def _concat(node, tape):
    gradient = tape.of(node)
    axis = tape.attribute(node, "axis") % tape.rank(node.output[0])
    wanted = [tape.wanted(name) for name in node.input]
    if len(node.input) == 1:
        return [gradient]
    lengths = [tape.length(name, axis) for name in node.input]
    static = all(tape.value(length) is not None for length in lengths)
    if sum(wanted) > 1 and (static or tape.opset >= 13):
        sizes = tape.vector(lengths)
        if tape.opset >= 13:
            parts = tape.op("Split", gradient, sizes, outputs=len(wanted), axis=axis)
        else:
            parts = tape.op("Split", gradient, outputs=len(wanted), axis=axis, split=tape.value(sizes).tolist())
        return [part if want else None for part, want in zip(parts, wanted, strict=True)]
    gradients, start = [], tape.integers(0)
    for length, want in zip(lengths, wanted, strict=True):
        stop = _total(tape, start, length)
        gradients.append(tape.slice(gradient, start, stop, [axis]) if want else None)
        start = stop
    return gradients


def _total(tape, one, other):
    values = tape.value(one), tape.value(other)
    if None in [value if value is None else 0 for value in values]:
        return tape.op("Add", one, other)
    return tape.integers(int(values[0][0] + values[1][0]))


def _split(node, tape):
    axis = tape.attribute(node, "axis", 0) % tape.rank(node.input[0])
    parts = [tape.of(node, i) or tape.zeros(name) for i, name in enumerate(node.output)]
    return [tape.op("Concat", *parts, axis=axis) if len(parts) > 1 else parts[0]]


def _slice(node, tape):
    """Of a part: the gradient turned round where the step is negative, with zeros between and around."""
    x, gradient, rank = node.input[0], tape.of(node), tape.rank(node.input[0])
    starts, stops, axes, steps = _bounds(node, tape, rank)
    pieces = []
    for k, axis in enumerate(axes):
        step = 1 if steps is None else int(steps[k])
        length, count = tape.extents(x)[axis], tape.length(node.output[0], axis)
        if isinstance(length, int) and isinstance(starts, list) and isinstance(stops, list):
            chosen = range(length)[slice(int(starts[k]), int(stops[k]), step)]
            if len(chosen) == length and step == 1:
                continue
            start = min(chosen[0], chosen[-1]) if chosen else 0
            count = tape.integers(len(chosen))
        else:
            start = _first(tape, starts, k, tape.length(x, axis), count, step)
        gradient = _stretched(tape, gradient, axis, abs(step), count) if abs(step) > 1 else gradient
        if step < 0:
            gradient = tape.slice(gradient, [-1], [-END], [axis], [-1])
        pieces.append((axis, start))
    return [_placed(tape, gradient, x, pieces)]


def _placed(tape, gradient, x, pieces):
    if len(pieces) == 1:
        return Piece(gradient, *pieces[0])
    return tape.pad(gradient, x, pieces) if pieces else gradient


def _bounds(node, tape, rank):
    """Return starts and stops (lists of int, or names), axes and steps (lists of int)."""
    if tape.opset < 10:
        starts, stops = tape.attribute(node, "starts"), tape.attribute(node, "ends")
        axes = tape.attribute(node, "axes") or range(len(starts))
        return list(starts), list(stops), [axis % rank for axis in axes], None
    given = [tape.given(node, i) for i in range(1, 5)]
    values = [None if tape.value(name) is None else tape.value(name).tolist() for name in given]
    for name, value, what in zip(given[2:], values[2:], ("axes", "steps"), strict=True):
        if name and value is None:
            refuse(node, f"{what} that differ between runs have no rule")
    axes = range(tape.dims(given[0])[0]) if values[2] is None else [axis % rank for axis in values[2]]
    return values[0] or given[0], values[1] or given[1], list(axes), values[3]


def _first(tape, starts, k, length, count, step):
    """Return the lowest index that a slice takes, from its start and the number it takes, as the graph computes it."""
    known = isinstance(starts, list)
    if known and step > 0 and starts[k] >= 0:
        return int(starts[k])
    last = tape.op("Sub", length, tape.integers(0 if step > 0 else 1))
    if known:
        start = tape.integers(int(starts[k]))
        start = tape.op("Add", length, start) if starts[k] < 0 else tape.op("Min", start, last)
    else:
        start = tape.op("Cast", tape.op("Gather", starts, tape.integers(k)), to=7)  # int64
        from_end = tape.op("Less", start, tape.integers(0))
        start = tape.op("Min", tape.op("Where", from_end, tape.op("Add", length, start), start), last)
    if step > 0:
        return tape.op("Max", start, tape.integers(0))
    taken = tape.op("Mul", tape.op("Sub", count, tape.integers(1)), tape.integers(-step))
    return tape.op("Sub", start, taken)


def _stretched(tape, gradient, axis, step, count):
    """Return the elements along an axis with step - 1 zeros between them."""
    spaced = tape.unsqueeze(gradient, [axis + 1])
    rank = tape.rank(spaced)
    ahead = [0] * rank + [step - 1 if i == axis + 1 else 0 for i in range(rank)]
    if tape.opset >= 11:
        spaced = tape.op("Pad", spaced, tape.integers(*ahead))
    else:
        spaced = tape.op("Pad", spaced, pads=ahead)
    lengths = tape.lengths(gradient)
    lengths[axis] = tape.op("Mul", count, tape.integers(step))
    flat = tape.op("Reshape", spaced, tape.vector(lengths))
    return tape.slice(flat, [0], tape.op("Sub", lengths[axis], tape.integers(step - 1)), [axis])


def _dropout(node, tape):
    """Of inference, the identity; of training, what the mask output lets through."""
    gradient, mode = tape.of(node), tape.given(node, 2)
    if mode is None:
        return [gradient]
    training = tape.value(mode)
    if training is None or training.any():
        ratio = 0.5 if tape.given(node, 1) is None else tape.value(node.input[1])
        if training is None or ratio is None or len(node.output) < 2 or not node.output[1]:
            refuse(node, "in training it needs a constant mode, a constant ratio and its mask output")
        left = 1 - float(ratio)
        kept = tape.number(1 / left if left > 0 else 0, gradient)
        return [tape.op("Mul", tape.mask(gradient, node.output[1]), kept)]
    return [gradient]


def _depth_to_space(node, tape):
    size, gradient, x = tape.attribute(node, "blocksize"), tape.of(node), node.input[0]
    if tape.attribute(node, "mode", "DCR") == "DCR":
        return [tape.op("SpaceToDepth", gradient, blocksize=size)]
    n, _, height, width = tape.lengths(x)
    channels, block = tape.length(node.output[0], 1), tape.integers(size)
    cut = tape.op("Reshape", gradient, tape.vector([n, channels, height, block, width, block]))
    return [tape.reshape(tape.transpose(cut, (0, 1, 3, 5, 2, 4)), x)]


def _space_to_depth(node, tape):
    return [tape.op("DepthToSpace", tape.of(node), blocksize=tape.attribute(node, "blocksize"))]


def _reverse_sequence(node, tape):
    axes = {key: tape.attribute(node, key) for key in ("batch_axis", "time_axis")}
    return [tape.op("ReverseSequence", tape.of(node), node.input[1], **axes)]


RULES = {
    "Cast": _cast,
    "CastLike": _cast,
    "Concat": _concat,
    "DepthToSpace": _depth_to_space,
    "Dropout": _dropout,
    "Expand": _expand,
    "Flatten": _reshape,
    "Identity": _same,
    "Reshape": _reshape,
    "ReverseSequence": _reverse_sequence,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
