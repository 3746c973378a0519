"""Matrix products and Einstein sums."""

from srmfast.graph.rules.elementwise import refuse


def _matmul(node, tape):
    a, b = node.input
    gradient, ranks = tape.of(node), (tape.rank(a), tape.rank(b))
    if ranks == (2, 2):
        return [
            _matrices(tape, gradient, b, transB=1) if tape.wanted(a) else None,
            _matrices(tape, a, gradient, transA=1) if tape.wanted(b) else None,
        ]
    left = tape.unsqueeze(a, [0]) if ranks[0] == 1 else a
    right = tape.unsqueeze(b, [1]) if ranks[1] == 1 else b
    if ranks[0] == 1 or ranks[1] == 1:
        rank = max(*ranks, 2)
        gradient = tape.unsqueeze(gradient, [rank - 2] * (ranks[0] == 1) + [rank - 1] * (ranks[1] == 1))
    gradients = [None, None]
    if tape.wanted(a):
        gradients[0] = tape.reshape(_summed(tape, "MatMul", gradient, _transposed(tape, right), left), a)
    if tape.wanted(b) and tape.rank(right) == 2 and tape.rank(left) > 2:
        gradients[1] = tape.reshape(_matrices(tape, _rows(tape, left), _rows(tape, gradient), transA=1), b)
    elif tape.wanted(b):
        gradients[1] = tape.reshape(_summed(tape, "MatMul", _transposed(tape, left), gradient, right), b)
    return gradients


def _summed(tape, op_type, one, other, like):
    """Return a product summed over the leading axes along which `like` was broadcast."""
    return tape.unbroadcast(tape.op(op_type, one, other), like, matching=2)


def _transposed(tape, matrices):
    rank = tape.rank(matrices)
    return tape.transpose(matrices, [*range(rank - 2), rank - 1, rank - 2])


def _rows(tape, name):
    """Return a tensor as a matrix of its last axis."""
    return tape.op("Reshape", name, tape.vector([tape.integers(-1), tape.length(name, tape.rank(name) - 1)]))


def _matrices(tape, one, other, alpha=1.0, **transposed):
    bias = None if tape.opset >= 11 else tape.number(0, one)  # optional from then on
    return tape.op("Gemm", one, other, bias, alpha=None if alpha == 1 else alpha, **transposed)


def _gemm(node, tape):
    a, b, bias = node.input[0], node.input[1], tape.given(node, 2)
    gradient = tape.of(node)
    alpha, beta = tape.attribute(node, "alpha", 1.0), tape.attribute(node, "beta", 1.0)
    turn_a, turn_b = tape.attribute(node, "transA", 0), tape.attribute(node, "transB", 0)
    gradients = [None, None, None]
    if tape.wanted(a) and turn_a:
        gradients[0] = _matrices(tape, b, gradient, alpha, transA=turn_b or None, transB=1)
    elif tape.wanted(a):
        gradients[0] = _matrices(tape, gradient, b, alpha, transB=None if turn_b else 1)
    if tape.wanted(b) and turn_b:
        gradients[1] = _matrices(tape, gradient, a, alpha, transA=1, transB=turn_a or None)
    elif tape.wanted(b):
        gradients[1] = _matrices(tape, a, gradient, alpha, transA=None if turn_a else 1)
    if bias is not None and tape.wanted(bias):
        total = tape.unbroadcast(gradient, bias)
        gradients[2] = total if beta == 1 else tape.op("Mul", total, tape.number(beta, bias))
    return gradients


def _einsum(node, tape):
    """Of operand k: the Einstein sum of the gradient and the other operands, to the indices of k.

    An index of k alone was summed over; a vector of ones brings it back.
    """
    terms, result = _terms(node, tape.attribute(node, "equation"))
    if any(len(set(labels)) < len(labels) for labels in (term.replace("...", "") for term in (*terms, result))):
        refuse(node, "an index that one operand has twice (a diagonal) has no rule")
    gradients = []
    for k, (name, term) in enumerate(zip(node.input, terms, strict=True)):
        if not tape.wanted(name):
            gradients.append(None)
            continue
        operands = [tape.of(node), *(other for i, other in enumerate(node.input) if i != k)]
        sources = [result, *(other for i, other in enumerate(terms) if i != k)]
        for label in term.replace("...", ""):
            if not any(label in source for source in sources):
                operands.append(_ones(tape, name, _axis(tape, name, term, label)))
                sources.append(label)
        spread = any("..." in source for source in sources)
        target = "..." + term if spread and "..." not in term else term
        if "..." in term and not spread:
            refuse(node, "axes under an ellipsis that are summed have no rule")
        made = tape.op("Einsum", *operands, equation=f"{','.join(sources)}->{target}")
        if spread:
            ranks = [len(source.replace("...", "")) for source in sources]
            hidden = max(
                tape.rank(operand) - rank
                for operand, rank, source in zip(operands, ranks, sources, strict=True)
                if "..." in source
            )
            tape.known.declare_rank(made, hidden + len(target.replace("...", "")))
        gradients.append(tape.unbroadcast(made, name) if spread else made)
    return gradients


def _terms(node, equation):
    """Return the subscripts of each operand and of the result."""
    left, arrow, result = equation.replace(" ", "").partition("->")
    if not arrow:
        labels = left.replace(",", "").replace(".", "")
        once = "".join(sorted(label for label in set(labels) if labels.count(label) == 1))
        result = ("..." if "..." in left else "") + once
    return left.split(","), result


def _axis(tape, name, term, label):
    before, dots, after = term.partition("...")
    return before.index(label) if label in before else after.index(label) + tape.rank(name) - len(after)


def _ones(tape, name, axis):
    return tape.filled(tape.length(name, axis), name, 1)


RULES = {"Einsum": _einsum, "Gemm": _gemm, "MatMul": _matmul}
