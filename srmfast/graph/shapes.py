"""Shapes and types of the tensors of a graph, as far as they can be told without running it."""

import contextlib
import math
import re

from srmfast.graph import order, tensors

SMALL = 1 << 10  # bytes of a constant whose values may decide shapes; those of larger ones are not looked at
NAMES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16",
    17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz", 21: "uint4", 22: "int4",
    23: "float4_e2m1", 24: "float8_e8m0", 25: "uint2", 26: "int2",
}  # fmt: skip
NO_ARRAYS = ("sequence_type", "optional_type", "map_type", "sparse_tensor_type")  # kinds of values without a shape
_MADE_UP = re.compile(
    r"^unk__|_dim_[0-9]+$|^\W*$|^-?[0-9]+$"
)  # names of sizes that inference and exporters give without meaning
RUN = (
    "float32",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "int32",
    "int64",
    "bool",
    "float16",
    "float64",
    "uint32",
    "uint64",
)


def infer(proto):
    """Infer the type and shape of every tensor at the top of a graph.

    Parameters
    ----------
    proto : onnx.ModelProto

    Returns
    -------
    dict of str to (str, tuple or None)
        Name -> type ("" when unknown) and shape: a number, a name or None for each axis; None when the rank is unknown.

    Notes
    -----
    Large constants are left out: nothing is copied of them.
    """
    import onnx

    light = onnx.ModelProto(ir_version=proto.ir_version)
    light.opset_import.extend(proto.opset_import)
    light.functions.extend(proto.functions)
    light.graph.name = "graph"
    light.graph.node.extend(proto.graph.node)
    light.graph.input.extend(proto.graph.input)
    known = {value.name for value in proto.graph.input}
    for tensor in proto.graph.initializer:
        if tensors.is_external(tensor) or tensor.ByteSize() > SMALL:
            if tensor.name not in known:
                light.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        else:
            light.graph.initializer.append(tensor)
    light.graph.output.extend(proto.graph.output)
    light.graph.value_info.extend(proto.graph.value_info)
    with contextlib.suppress(Exception):  # what cannot be inferred stays unknown
        light = onnx.shape_inference.infer_shapes(light, data_prop=True)
    found = {tensor.name: (NAMES.get(tensor.data_type, ""), tuple(tensor.dims)) for tensor in proto.graph.initializer}
    for value in (*light.graph.value_info, *light.graph.output, *light.graph.input):
        found[value.name] = described(value)
    return found


def described(value):
    """Return the type and shape of a ValueInfoProto, as `infer` gives them."""
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type"):
        return value.type.WhichOneof("value") or "", None
    shape = None
    if kind.HasField("shape"):
        shape = tuple(_size(dim) for dim in kind.shape.dim)
    return NAMES.get(kind.elem_type, ""), shape


def _size(dim):
    if dim.HasField("dim_value"):
        return dim.dim_value if dim.dim_value >= 0 else None
    return None if _MADE_UP.search(dim.dim_param) else dim.dim_param


def constant_bytes(proto):
    """Return the bytes of the constants at the top of a graph."""
    return sum(tensors.nbytes(tensor) for tensor in proto.graph.initializer if tensors.BITS.get(tensor.data_type))


def live_bytes(proto, known):
    """Return the most bytes of tensors that are held at once while a graph runs.

    Parameters
    ----------
    proto : onnx.ModelProto
        Nodes in topological order.
    known : mapping of str to tuple of int
        Shapes of the inputs, and of the tensors that are made of them.

    Returns
    -------
    int
        Without constants. Tensors of unknown type count four bytes an element, of unknown shape nothing.
    """
    kinds = {name: kind for name, (kind, _) in infer(proto).items()}
    bits = {called: tensors.BITS[code] for code, called in NAMES.items()}
    sizes = {name: math.prod(shape) * (bits.get(kinds.get(name)) or 32) // 8 for name, shape in known.items()}
    last = {name: number for number, node in enumerate(proto.graph.node) for name in order.needs(node)}
    last |= {value.name: len(proto.graph.node) for value in proto.graph.output}
    held = sum(sizes.get(value.name, 0) for value in proto.graph.input)
    most = held
    for number, node in enumerate(proto.graph.node):
        made = [name for name in node.output if name]
        held += sum(sizes.get(name, 0) for name in made)
        most = max(most, held)
        done = {name for name in (*made, *order.needs(node)) if last.get(name, -1) <= number}
        held -= sum(sizes.get(name, 0) for name in done)
    return most
