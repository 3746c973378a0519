"""Reductions over axes."""


def reduce_sum(node, tape):
    return [tape.expand(spread(node, tape, tape.of(node)), node.input[0])]


def spread(node, tape, reduced):
    """Return what has the shape of a reduction's output with axes of length 1 in place of the reduced ones."""
    if tape.attribute(node, "keepdims", 1):
        return reduced
    rank = tape.rank(node.input[0])
    axes = tape.axes(node, rank=rank)
    if axes is None:
        if tape.attribute(node, "noop_with_empty_axes", 0):
            return reduced
        axes = range(rank)
    return tape.unsqueeze(reduced, sorted(axes))


RULES = {"ReduceSum": reduce_sum}
