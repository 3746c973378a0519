"""Matrix products."""


def matmul(node, tape):
    gradient = tape.of(node)
    a, b = node.input
    return [
        tape.op("MatMul", gradient, tape.transpose(b, (1, 0))) if tape.wanted(a) else None,
        tape.op("MatMul", tape.transpose(a, (1, 0)), gradient) if tape.wanted(b) else None,
    ]


RULES = {"MatMul": matmul}
