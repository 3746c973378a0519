"""Arithmetic, element by element, with broadcasting."""


def add(node, tape):
    gradient = tape.of(node)
    return [tape.unbroadcast(gradient, name) if tape.wanted(name) else None for name in node.input]


def multiply(node, tape):
    gradient = tape.of(node)
    one, other = node.input
    return [
        tape.unbroadcast(tape.op("Mul", gradient, by), name) if tape.wanted(name) else None
        for name, by in ((one, other), (other, one))
    ]


def relu(node, tape):
    gradient, output = tape.of(node), node.output[0]
    return [tape.mask(gradient, tape.op("Greater", output, tape.number(0, output)))]


RULES = {"Add": add, "Mul": multiply, "Relu": relu}
