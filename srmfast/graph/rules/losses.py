"""Losses of class labels."""

import numpy as np


def _cross_entropy(node, tape):
    scores = node.input[0]
    log = tape.given_output(node, 1) or _log_probabilities(tape, scores)
    upstream, through_log = tape.of(node), tape.of(node, 1)
    gradients = [None, None, None]
    if upstream is not None:
        chosen, share, weights = _label_loss(node, tape, log, upstream)
        if tape.wanted(scores):
            probabilities = tape.op("Exp", log)
            gradients[0] = tape.op("Mul", share, tape.op("Sub", probabilities, chosen))
        gradients[2] = weights
    if through_log is not None:
        total = tape.reduce("ReduceSum", through_log, [1])
        part = tape.op("Sub", through_log, tape.op("Mul", tape.op("Exp", log), total))
        gradients[0] = part if gradients[0] is None else tape.op("Add", gradients[0], part)
    return gradients


def _log_probabilities(tape, scores):
    """Return the logarithm of the softmax over axis 1; LogSoftmax takes one axis from opset 13 on, or the last."""
    if tape.opset >= 13:
        return tape.op("LogSoftmax", scores, axis=1, like=scores)
    last = tape.rank(scores) - 1
    order = [axis for axis in range(last + 1) if axis != 1] + [1]
    log = tape.op("LogSoftmax", tape.transpose(scores, order), axis=last)
    return tape.transpose(log, [0, last, *range(1, last)])


def _negative_log_likelihood(node, tape):
    log = node.input[0]
    chosen, share, weights = _label_loss(node, tape, log, tape.of(node))
    gradient = tape.op("Neg", tape.op("Mul", share, chosen)) if tape.wanted(log) else None
    return [gradient, None, weights]


def _label_loss(node, tape, log, upstream):
    """Return which class is each label's, each label's share of the gradient, and the gradient of the weights.

    The first two have an axis of classes (the share's of length 1) behind the batch.
    """
    labels, weights = node.input[1], tape.given(node, 2)
    reduction, ignored = tape.attribute(node, "reduction", "mean"), tape.attribute(node, "ignore_index")
    rank = tape.rank(log)
    kind = tape.dtype(labels)
    counted = None
    if ignored is not None:
        skip = tape.op("Equal", labels, tape.constant(np.array(ignored, kind)))
        counted = tape.cast(tape.op("Not", skip), log)
        labels = tape.op("Where", skip, tape.constant(np.array(0, kind)), labels)
    ends = (tape.integers(0), tape.length(log, 1), tape.integers(1))
    classes = tape.op("Range", *(tape.squeeze(end, [0]) for end in ends))
    classes = tape.unsqueeze(classes, [0, *range(2, rank)])
    chosen = tape.cast(
        tape.op("Equal", tape.op("Cast", tape.unsqueeze(labels, [1]), to=7), classes), log
    )  # int64 on both sides

    weight = counted
    if weights is not None:
        weight = tape.op("Gather", weights, labels)
        weight = weight if counted is None else tape.op("Mul", weight, counted)
    axes = range(rank - 1)
    each = upstream
    if reduction == "mean":
        count = (
            tape.cast(tape.op("Size", labels), log)
            if weight is None
            else tape.reduce("ReduceSum", weight, axes, keepdims=False)
        )
        each = tape.op("Div", upstream, count)
    share = each if weight is None else tape.op("Mul", each, weight)
    if reduction == "none" or weight is not None:
        share = tape.unsqueeze(share, [1])

    of_weights = None
    if weights is not None and tape.wanted(weights):
        loss = tape.op("Neg", tape.reduce("ReduceSum", tape.op("Mul", log, chosen), [1]))
        if reduction == "mean":
            loss = tape.op("Sub", loss, node.output[0])
        if counted is not None:
            loss = tape.op("Mul", loss, tape.unsqueeze(counted, [1]))
        each = tape.unsqueeze(each, [1]) if reduction == "none" else each
        of_label = tape.op("Mul", chosen, tape.op("Mul", loss, each))
        of_weights = tape.reduce("ReduceSum", of_label, [0, *range(2, rank)], keepdims=False)
    return chosen, share, of_weights


RULES = {
    "NegativeLogLikelihoodLoss": _negative_log_likelihood,
    "SoftmaxCrossEntropyLoss": _cross_entropy,
}
