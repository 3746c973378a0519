"""Layers as ONNX nodes: what `srmfast.training.activations` defines, in float32."""

import numpy as np

from srmfast.training import activations

OPSET = 17
IR_VERSION = 8


class Nodes:
    """Nodes and constants of a graph that is being written, in an order in which they can be run.

    Parameters
    ----------
    prefix : str
        Begins the name of every tensor that is not named otherwise.
    """

    def __init__(self, prefix=""):
        self.prefix = prefix
        self.nodes, self.initialisers = [], []
        self._used = 0

    def op(self, op_type, *inputs, name=None, **attributes):
        """Append a node of one output; return the output's name."""
        import onnx

        if name is None:
            self._used += 1
            name = f"{self.prefix}{op_type.lower()}_{self._used}"
        self.nodes.append(onnx.helper.make_node(op_type, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, array, name=None, dtype=np.float32):
        """Append an initialiser; return its name."""
        import onnx

        if name is None:
            self._used += 1
            name = f"{self.prefix}constant_{self._used}"
        self.initialisers.append(onnx.numpy_helper.from_array(np.ascontiguousarray(array, dtype), name))
        return name

    def norm(self, x):
        """Append the norm of every row, (n, 1), with a gradient at 0 too."""
        square = self.op("ReduceSum", self.op("Mul", x, x), self.constant([1], dtype=np.int64), keepdims=1)
        return self.op("Sqrt", self.op("Add", square, self.constant(activations.TINY)))


def tanh(nodes, x, name):
    """Append tanh of every entry."""
    return nodes.op("Tanh", x, name=name)


def relu(nodes, x, name):
    """Append max(x, 0) of every entry."""
    return nodes.op("Relu", x, name=name)


def rotated_tanh(nodes, x, name, basis):
    """Append `activations.rotated_tanh`."""
    activations.check_orthonormal(basis)
    return nodes.op("MatMul", nodes.op("Tanh", _along(nodes, x, basis)), nodes.constant(basis), name=name)


def generalised_tanh(nodes, x, name, basis, corrected=True):
    """Append `activations.generalised_tanh`, its correction shortened to a few terms."""
    height = nodes.op("Tanh", along := _along(nodes, x, basis))
    terms = activations.shortened(activations.correction(basis)) if corrected else None
    if terms is None or not terms.scales.size:
        return nodes.op("MatMul", nodes.op("Relu", height), nodes.constant(basis), name=name)
    bent = nodes.op("Tanh", nodes.op("Mul", nodes.norm(x), nodes.constant(terms.scales[None])))
    raised = nodes.op("Add", height, nodes.op("MatMul", bent, nodes.constant(terms.weights[:, None])))
    steps = nodes.op("Cast", nodes.op("Greater", along, nodes.constant(0.0)), to=1)
    return nodes.op("MatMul", nodes.op("Mul", raised, steps), nodes.constant(basis), name=name)


def averaged_tanh(nodes, x, name, basis):
    """Append `activations.averaged_tanh`."""
    k, d = basis.shape
    height = nodes.op("Relu", nodes.op("Tanh", _along(nodes, x, basis)))
    return nodes.op("MatMul", height, nodes.constant(basis * (2.0 * d / k)), name=name)


def isotropic_tanh(nodes, x, name):
    """Append `activations.isotropic_tanh`."""
    r = nodes.norm(x)
    return nodes.op("Mul", x, nodes.op("Div", nodes.op("Tanh", r), r), name=name)


def isotropic_relu(nodes, x, name, threshold=1.0):
    """Append `activations.isotropic_relu`."""
    r = nodes.norm(x)
    longer = nodes.op("Relu", nodes.op("Sub", r, nodes.constant(threshold)))
    return nodes.op("Mul", x, nodes.op("Div", longer, r), name=name)


def _along(nodes, x, basis):
    return nodes.op("MatMul", x, nodes.constant(np.asarray(basis).T))
