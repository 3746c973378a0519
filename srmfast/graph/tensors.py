"""The constant tensors of a model: where they are, and whether their values are there."""

import math
import os

from srmfast.errors import InputError

# Bits of one element by its number in TensorProto.DataType; strings have none.
BITS = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 8: None, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16,
    17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2,
}  # fmt: skip
_FIELDS = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")
_COMPLEX = (14, 15)


def of_model(proto):
    """Yield (place, tensor) of every constant of a model, those inside nodes, branches and functions too."""
    yield from of_graph(proto.graph)
    for function in proto.functions:
        yield from _of_nodes(function.node)


def of_graph(graph):
    """Yield (place, tensor) of every constant of a graph."""
    for tensor in graph.initializer:
        yield f"initialiser {tensor.name!r}", tensor
    for sparse in graph.sparse_initializer:
        yield f"sparse initialiser {sparse.values.name!r}", sparse.values
        yield f"sparse initialiser {sparse.values.name!r}", sparse.indices
    yield from _of_nodes(graph.node)


def _of_nodes(nodes):
    for node in nodes:
        for attribute in node.attribute:
            place = f"{attribute.name!r} of node {node.name or node.op_type!r}"
            if attribute.HasField("t"):
                yield place, attribute.t
            for tensor in attribute.tensors:
                yield place, tensor
            for sparse in (
                *((attribute.sparse_tensor,) if attribute.HasField("sparse_tensor") else ()),
                *attribute.sparse_tensors,
            ):
                yield place, sparse.values
                yield place, sparse.indices
            for graph in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                yield from of_graph(graph)


def is_external(tensor):
    """Tell whether the values of a tensor are in another file."""
    return tensor.data_location == 1


def nbytes(tensor):
    """Return the bytes that a tensor's shape claims."""
    return -(-math.prod(tensor.dims) * BITS[tensor.data_type] // 8)


def check(tensor, place, location):
    """Refuse a tensor whose type or shape is impossible, or whose values are not all there.

    Raises
    ------
    InputError
        Nothing is allocated to find out.
    """
    if tensor.data_type not in BITS:
        raise InputError(
            f"{place} of {location} has the unknown type {tensor.data_type}; it is damaged, or newer than this"
        )
    if any(size < 0 for size in tensor.dims):
        raise InputError(f"{place} of {location} has the impossible shape {tuple(tensor.dims)}; it is damaged")
    if is_external(tensor):
        if BITS[tensor.data_type] is None:
            raise InputError(
                f"{place} of {location} holds text in another file, which ONNX does not allow; export it again"
            )
        return
    count = math.prod(tensor.dims)
    if tensor.HasField("raw_data") and BITS[tensor.data_type] is not None:
        held, wanted, unit = len(tensor.raw_data), nbytes(tensor), "bytes"
    else:
        held, unit = sum(len(getattr(tensor, field)) for field in _FIELDS), "values"
        wanted = count * (2 if tensor.data_type in _COMPLEX else 1)
        if BITS[tensor.data_type] in (2, 4):  # several in one number
            wanted = -(-count * BITS[tensor.data_type] // 8)
    if held != wanted:
        raise InputError(
            f"{place} of {location} claims the shape {tuple(tensor.dims)}, {wanted:,} {unit}, and holds {held:,}; it is damaged: copy "
            "or export it again"
        )


def region(tensor, place, folder, location):
    """Find the values of an external tensor.

    Returns
    -------
    file : str
    offset, length : int
        Bytes.

    Raises
    ------
    InputError
        For a path that leaves the folder of the model, a file that is not there, and one that is too short.
    """
    said = {entry.key: entry.value for entry in tensor.external_data}
    name, wanted = said.get("location", ""), nbytes(tensor)
    if not name or os.path.isabs(name) or "\\" in name or "\0" in name or ".." in name.split("/"):
        raise InputError(
            f"external data must lie in the folder of the model, {place} of {location} names {name!r}; export it again"
        )
    file = os.path.join(folder, name)
    if not os.path.isfile(file):
        raise InputError(f"{location} has values of {place} in {file}, which does not exist; copy it beside the model")
    home = os.path.realpath(folder)
    if os.path.commonpath([home, os.path.realpath(file)]) != home:
        raise InputError(
            f"external data must lie in the folder of the model, {name} of {location} is a link that leaves it; copy the file"
        )
    try:
        offset = int(said.get("offset") or 0)
        length = int(said["length"]) if said.get("length") else wanted
    except ValueError:
        raise InputError(f"{place} of {location} has no numbers for offset and length; it is damaged") from None
    if length != wanted or offset < 0:
        raise InputError(
            f"{place} of {location} claims the shape {tuple(tensor.dims)}, {wanted:,} bytes, and {length:,} bytes from {offset} on "
            f"of {name}; it is damaged: export it again"
        )
    size = os.path.getsize(file)
    if offset + length > size:
        raise InputError(
            f"{file} is too short: {place} of {location} needs {offset + length:,} bytes and it has {size:,}; copy it again"
        )
    return file, offset, length
