"""Operators that ONNX's reference implementation computes in float32 alone, or by the rules of another version."""

import math

import numpy as np
from onnx.reference.op_run import OpRun

_erf = np.vectorize(math.erf, otypes=[np.float64])


class Erf(OpRun):
    """The error function in float64; the reference rounds it to float32."""

    op_domain = ""

    def _run(self, x):
        return (_erf(x).astype(x.dtype),)


class Gelu(OpRun):
    """Both forms in float64."""

    op_domain = ""

    def _run(self, x, approximate="none"):
        if approximate == "tanh":
            return (x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),)
        return ((x / 2 * (1 + _erf(x / math.sqrt(2)))).astype(x.dtype),)


class FlatSoftmax(OpRun):
    """Softmax before opset 13: over all axes from one on."""

    op_domain = ""

    def _run(self, x, axis=1):
        flat = x.reshape(math.prod(x.shape[: axis % x.ndim]), -1)
        powers = np.exp(flat - flat.max(axis=1, keepdims=True))
        return ((powers / powers.sum(axis=1, keepdims=True)).reshape(x.shape),)


class FlatLogSoftmax(FlatSoftmax):
    """Its logarithm."""

    def _run(self, x, axis=1):
        return (np.log(super()._run(x, axis)[0]),)


FlatSoftmax.__name__ = "Softmax"
FlatLogSoftmax.__name__ = "LogSoftmax"


def operators(opset):
    """Return the operators to hand to the reference implementation for a version."""
    return [Erf, Gelu] + ([FlatSoftmax, FlatLogSoftmax] if opset < 13 else [])
