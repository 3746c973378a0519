"""The tensors of a model that may be looked at: what makes them, their shapes, and which are out of reach."""

import dataclasses
import fnmatch

from srmfast.errors import InputError, meant
from srmfast.graph import order, shapes
from srmfast.graph.model import damaged, open_model

_NAMED = 8  # names in an error
# Channels are axis 1 of what these make; the others leave the axes where they are.
_CHANNELS = (
    "Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "FusedConv", "BatchNormalization", "InstanceNormalization",
    "GroupNormalization", "MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "LRN",
    "DepthToSpace", "SpaceToDepth", "DeformConv",
)  # fmt: skip
_ELEMENTWISE = (
    "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Gelu", "Sigmoid", "HardSigmoid", "HardSwish", "Mish", "Tanh",
    "Softplus", "Softsign", "Clip", "Exp", "Log", "Sqrt", "Abs", "Neg", "Erf", "Identity", "Dropout", "Cast", "Add", "Sub",
    "Mul", "Div", "Pow", "Max", "Min", "Where", "Pad", "Resize", "Upsample", "Concat", "QuantizeLinear", "DequantizeLinear",
    "DynamicQuantizeLinear", "Softmax", "LayerNormalization", "ThresholdedRelu", "Round", "Sum", "Mean", "Swish",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Layer:
    """One tensor of a model.

    Attributes
    ----------
    name : str
    op : str
        What makes it.
    shape : tuple or None
        A number, a name or None for each axis; None when the rank is unknown.
    dtype : str
        "" when unknown.
    why_not : str
        Why it cannot be looked at; "" when it can.
    channel_axis : int or None
        Axis of the channels where the graph tells it: of what a convolution makes.
    """

    name: str
    op: str
    shape: tuple | None
    dtype: str
    why_not: str = ""
    channel_axis: int | None = None

    @property
    def reachable(self):
        """Whether it can be looked at."""
        return not self.why_not


def layers(source, pattern=None):
    """List the tensors of a model that depend on its inputs, in the order in which they are made.

    Parameters
    ----------
    source : path, onnx.ModelProto or Model
    pattern : str, optional
        Shell-style: ``hidden_*``.

    Returns
    -------
    list of Layer
        Those inside branches and loop bodies too, with the reason why they are out of reach.

    Raises
    ------
    InputError
        When the model cannot be read.
    """
    model = open_model(source)
    with damaged(model.location):
        found = list(_of_graph(model.proto))
    return [layer for layer in found if pattern is None or matches(layer.name, pattern)]


def matches(name, pattern):
    """Tell whether a tensor is meant: by its very name, or by a shell-style pattern."""
    return name == pattern or fnmatch.fnmatchcase(name, pattern)


def choose_layers(source, patterns):
    """Find the tensors that names and patterns stand for.

    Parameters
    ----------
    source : path, onnx.ModelProto or Model
    patterns : sequence of str
        A name stands for itself; a pattern for tensors of floats with two or more axes, as far as that is known.

    Returns
    -------
    list of Layer
        Each once, in the order of the model.

    Raises
    ------
    InputError
        For a name that is none, stands for a constant or for a tensor that is out of reach, and for a pattern that matches
        nothing in reach.
    """
    model = open_model(source)
    found = layers(model)
    names = {layer.name for layer in found}
    chosen = set()
    for pattern in patterns:
        exact = pattern in names
        hits = [layer for layer in found if (layer.name == pattern if exact else matches(layer.name, pattern))]
        reached = [layer for layer in hits if layer.reachable and (exact or _is_activation(layer))]
        if not reached:
            raise InputError(_nothing(pattern, hits, found, model))
        chosen |= {layer.name for layer in reached}
    return [layer for layer in found if layer.reachable and layer.name in chosen]


def table(source, pattern=None, op=None):
    """Lay out the tensors of a model for people.

    Parameters
    ----------
    source : path, onnx.ModelProto or Model
    pattern : str, optional
        Of their names.
    op : str, optional
        Of what makes them; a pattern, too.

    Returns
    -------
    str
    """
    model = open_model(source)
    found = [layer for layer in layers(model, pattern) if op is None or matches(layer.op, op)]
    if not found:
        asked = "" if pattern is None else f" {pattern!r}"
        asked += "" if op is None else f" made by an operator {op!r}"
        raise InputError(
            f"{model.location} has no tensor{asked} that depends on its inputs; srmfast layers {model.location} lists all"
        )
    rows = [("name", "op", "shape", "type", "")]
    for layer in found:
        shape = (
            "?"
            if layer.shape is None
            else " x ".join("?" if size is None else str(size) for size in layer.shape) or "one number"
        )
        rows.append(
            (
                _printable(layer.name),
                _printable(layer.op),
                _printable(shape),
                layer.dtype or "?",
                f"out of reach: {_printable(layer.why_not)}" if layer.why_not else "",
            )  # fmt: skip
        )
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, (*widths, 0), strict=True)).rstrip() for row in rows
    ]
    given = {tensor.name for tensor in model.proto.graph.initializer}
    inputs = [
        _printable(f"{value.name} ({', '.join(_said(value))})")
        for value in model.proto.graph.input
        if value.name not in given
    ]
    out = sum(not layer.reachable for layer in found)
    tail = f"{len(found):,} tensor{'s' * (len(found) > 1)}" + (f", {out:,} out of reach" if out else "")
    return "\n".join([f"inputs: {', '.join(inputs) or 'none'}", *lines, tail])


def _printable(text):
    """Escape what would move the cursor or break a line: names are whatever a file says."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _said(value):
    kind, shape = shapes.described(value)
    sizes = (
        "any shape"
        if shape is None
        else " x ".join("?" if size is None else str(size) for size in shape) or "one number"
    )
    return kind or "?", sizes


def _is_activation(layer):
    return layer.dtype in ("", "float16", "bfloat16", "float32", "float64") and (
        layer.shape is None or len(layer.shape) > 1
    )


def _nothing(pattern, hits, found, model):
    """Say why a name or a pattern stands for no tensor in reach."""
    if hits and hits[0].reachable:
        return f"{pattern!r} of {model.location} matches no tensor of floats with two or more axes; name {hits[0].name!r} ({hits[0].dtype}) itself"
    if hits:
        return f"{hits[0].name!r} of {model.location} is out of reach: {hits[0].why_not}"
    constant = {tensor.name for tensor in model.proto.graph.initializer}
    constant |= {name for node in model.proto.graph.node for name in node.output}
    if pattern in constant:
        return f"{pattern!r} of {model.location} does not depend on any input, so that it has no rows; choose another tensor"
    reached = [layer.name for layer in found if layer.reachable]
    outputs = {value.name for value in model.proto.graph.output}
    near = [name for name in reached if pattern.strip("*").lower() in name.lower()] if pattern.strip("*") else []
    near = near or [name for name in reached if name in outputs] or reached
    named = ", ".join(near[:_NAMED]) + (", …" if len(near) > _NAMED else "")
    return (
        f"{model.location} has no tensor {pattern!r}; it has {named or 'none'} (srmfast layers lists all {len(reached):,})"
        f"{meant(pattern, reached)}"
    )


def _of_graph(proto):
    known, given = shapes.infer(proto), {tensor.name for tensor in proto.graph.initializer}
    varies = {value.name for value in proto.graph.input} - given
    channels = {}
    for node in proto.graph.node:
        if not varies & order.needs(node).keys():
            continue
        for name in filter(None, node.output):
            varies.add(name)
            kind, shape = known.get(name, ("", None))
            channels[name] = _channel_axis(node, channels, shape)
            yield Layer(name, node.op_type, shape, kind, _why_not(kind), channels[name])
        yield from _inside(node, node)


def _why_not(kind):
    if kind in shapes.NO_ARRAYS:
        return f"it is a {kind.removesuffix('_type').replace('_', ' ')}, not an array"
    return "it is text" if kind == "string" else ""


def _inside(node, top):
    for attribute in node.attribute:
        for graph in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
            given = {name for other in graph.node for name in other.output}
            for other in graph.node:
                if other.op_type == "Constant":
                    continue
                for name in filter(None, other.output):
                    if name in given:
                        why = f"it is inside {attribute.name} of {top.op_type} {top.name or top.output[0]!r}, which gives its own results only"
                        yield Layer(name, other.op_type, None, "", why)
                yield from _inside(other, top)


def _channel_axis(node, channels, shape):
    """Return the axis of the channels of what a node makes, where it can be told."""
    known = next((channels[name] for name in node.input if channels.get(name) is not None), None)
    if node.op_type in _CHANNELS:
        return None if shape is not None and len(shape) < 3 else 1
    if known is None:
        return None
    if node.op_type == "Transpose":
        order_of = next((list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"), None)
        return order_of.index(known) if order_of and known in order_of else None
    if node.op_type in _ELEMENTWISE and (shape is None or known < len(shape)):
        return known
    return None
