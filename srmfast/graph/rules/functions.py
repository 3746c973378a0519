"""Functions of one tensor: roots, exponentials, trigonometry. |x|' is 0 at 0."""

import math


def _of(derivative):
    """Return the rule of a function y = f(x), from what computes g f'(x), given (op, number, g, x, y).

    The gradient g may be loose: the product with a function of x or y has the whole shape.
    """

    def rule(node, tape):
        gradient, x = tape.of(node, loose=True), node.input[0]
        return [derivative(tape.op, lambda value: tape.number(value, x), gradient, x, node.output[0])]

    return rule


def _square(op, x):
    return op("Mul", x, x)


def _square_plus(op, x, number):
    return op("Add", _square(op, x), number)


def _one_minus_square(op, one, x):
    return op("Sub", one, _square(op, x))


def _tanh(op, number, g, x, y):
    return op("Sub", g, op("Mul", op("Mul", g, y), y))


def _sigmoid(op, number, g, x, y):
    product = op("Mul", g, y)
    return op("Sub", product, op("Mul", product, y))


def _sqrt(op, number, g, x, y):
    return op("Div", op("Mul", g, number(0.5)), y)


def _reciprocal(op, number, g, x, y):
    return op("Neg", op("Mul", g, _square(op, y)))


def _tan(op, number, g, x, y):
    return op("Mul", g, _square_plus(op, y, number(1)))


def _asin(op, number, g, x, y):
    return op("Div", g, op("Sqrt", _one_minus_square(op, number(1), x)))


def _acos(op, number, g, x, y):
    return op("Neg", _asin(op, number, g, x, y))


def _atan(op, number, g, x, y):
    return op("Div", g, _square_plus(op, x, number(1)))


def _asinh(op, number, g, x, y):
    return op("Div", g, op("Sqrt", _square_plus(op, x, number(1))))


def _acosh(op, number, g, x, y):
    return op("Div", g, op("Sqrt", _square_plus(op, x, number(-1))))


def _atanh(op, number, g, x, y):
    return op("Div", g, _one_minus_square(op, number(1), x))


def _erf(op, number, g, x, y):
    # The factor 2 / sqrt(pi) as a term of the exponent saves a pass over the tensor.
    return op("Mul", g, op("Exp", op("Sub", number(math.log(2 / math.sqrt(math.pi))), _square(op, x))))


def _softsign(op, number, g, x, y):
    return op("Div", g, _square(op, op("Add", op("Abs", x), number(1))))


def _mish(op, number, g, x, y):
    t = op("Tanh", op("Softplus", x))
    slope = op("Mul", _one_minus_square(op, number(1), t), op("Sigmoid", x))
    return op("Mul", g, op("Add", t, op("Mul", x, slope)))


def _negate(node, tape):
    return [tape.op("Neg", tape.of(node))]


RULES = {
    "Abs": _of(lambda op, number, g, x, y: op("Mul", g, op("Sign", x))),
    "Acos": _of(_acos),
    "Acosh": _of(_acosh),
    "Asin": _of(_asin),
    "Asinh": _of(_asinh),
    "Atan": _of(_atan),
    "Atanh": _of(_atanh),
    "Cos": _of(lambda op, number, g, x, y: op("Neg", op("Mul", g, op("Sin", x)))),
    "Cosh": _of(lambda op, number, g, x, y: op("Mul", g, op("Sinh", x))),
    "Erf": _of(_erf),
    "Exp": _of(lambda op, number, g, x, y: op("Mul", g, y)),
    "Log": _of(lambda op, number, g, x, y: op("Div", g, x)),
    "Mish": _of(_mish),
    "Neg": _negate,
    "Reciprocal": _of(_reciprocal),
    "Sigmoid": _of(_sigmoid),
    "Sin": _of(lambda op, number, g, x, y: op("Mul", g, op("Cos", x))),
    "Sinh": _of(lambda op, number, g, x, y: op("Mul", g, op("Cosh", x))),
    "Softplus": _of(lambda op, number, g, x, y: op("Mul", g, op("Sigmoid", x))),
    "Softsign": _of(_softsign),
    "Sqrt": _of(_sqrt),
    "Tan": _of(_tan),
    "Tanh": _of(_tanh),
}
