"""What is known of a graph's tensors without running it: types, shapes and the values of constants."""

import numpy as np

from srmfast.errors import InputError
from srmfast.graph.tensors import is_external

SMALL = 1024  # elements: larger constants are no part of a shape, and are kept out of the inference

INVENTED = "unk__"  # how symbols begin that ONNX gives to lengths it does not know
UNKNOWN = -(2**40)  # in place of a length that is not known

# Operators of which shapes are computed; one whose inputs are all known constants is evaluated.
_FOLDED = (
    "Add Cast Concat ConstantOfShape Div Expand Equal Floor Gather Identity Mul Neg Range ReduceProd Reshape Shape "
    "Size Slice Squeeze Sub Transpose Unsqueeze Where"
)
FOLDED = frozenset(_FOLDED.split())


class Known:
    """Types, shapes and constant values of the tensors of a graph, extended as nodes are appended.

    Parameters
    ----------
    model : onnx.ModelProto
        Its opset imports and graph are read, never changed.
    variable : set of str
        Initialisers whose values are not to be relied on.
    """

    def __init__(self, model, variable=frozenset()):
        import onnx

        self.opsets = {entry.domain: entry.version for entry in model.opset_import}
        self._imports = list(model.opset_import)
        self._ir_version = model.ir_version
        self._types = {}  # name -> TypeProto
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer if tensor.name not in variable}
        self._producers = {name: node for node in model.graph.node for name in node.output if name}
        self._values = {}  # name -> array or None
        self._same = {}  # symbol -> the symbol or number that it is
        for node in model.graph.node:
            if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
                tensor = _tensor_of(node)
                if tensor is not None:
                    self._constants[node.output[0]] = tensor
        for tensor in model.graph.initializer:
            self._types[tensor.name] = onnx.helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
        graph = _inferred(model, variable).graph
        for info in (*graph.input, *graph.output, *graph.value_info):
            if info.type.WhichOneof("value"):
                self._types.setdefault(info.name, info.type)
        for node in model.graph.node:
            self._infer_again(node)

    def add(self, node):
        """Take in a node appended to the graph, inferring its outputs where ONNX can."""
        self._producers |= {name: node for name in node.output if name}
        self._types |= self._of_outputs(node)
        self._count_reshaped(node)

    def _count_reshaped(self, node):
        """Say how many dimensions a Reshape makes: as many as its shape has elements, whatever these are."""
        shape = self.extents(node.input[1]) if node.op_type == "Reshape" and len(node.input) > 1 else None
        if shape is not None and len(shape) == 1 and isinstance(shape[0], int):
            self.declare_rank(node.output[0], shape[0])

    def _infer_again(self, node):
        """Follow lengths that ONNX gave up: through constants that were evaluated and a Reshape of one free axis.

        A symbol found to be another, or a number, is replaced by it in what follows.
        """
        for name in filter(None, node.output):
            self._rename(name)
        vague = [name for name in node.output if name and self._is_vague(name)]
        if not vague:
            return
        found = self._of_outputs(node)
        for name in vague:
            before = self.extents(name)
            if name in found and found[name].tensor_type.HasField("shape"):
                after = _extents(found[name])
                if before is None:
                    self._types[name] = found[name]
                elif len(after) == len(before):
                    self._identify(before, after)
                    self._rename(name, after)
            if node.op_type in ("Reshape", "Flatten", "Squeeze", "Unsqueeze"):
                self._follow_free_axis(node.input[0], name)
        self._count_reshaped(node)
        if node.op_type == "Split" and self.extents(node.input[0]) is not None:
            for name in node.output:
                self.declare_rank(name, len(self.extents(node.input[0])))

    def _is_vague(self, name):
        extents = self.extents(name)
        return extents is None or any(extent is None or str(extent).startswith(INVENTED) for extent in extents)

    def _identify(self, before, after):
        """Note which symbols that ONNX invented are other symbols or numbers."""
        for old, new in zip(before, after, strict=True):
            if isinstance(old, str) and old.startswith(INVENTED) and new is not None and new != old:
                self._same.setdefault(old, new)

    def _follow_free_axis(self, source, name):
        """Identify the one free axis of a tensor with that of its source, where the others hold as many elements."""
        one, other = self.extents(source), self.extents(name)
        if one is None or other is None:
            return
        free = [extent for extent in one if not isinstance(extent, int)]
        left = [i for i, extent in enumerate(other) if not isinstance(extent, int)]
        sizes = [np.prod([e for e in extents if isinstance(e, int)], dtype=float) for extents in (one, other)]
        if len(free) == len(left) == 1 and sizes[0] == sizes[1] > 0 and free[0] is not None:
            after = [free[0] if i == left[0] else None for i in range(len(other))]
            self._identify(other, after)
            self._rename(name, after)

    def _rename(self, name, lengths=None):
        """Put what is known of the lengths of a tensor into its type."""
        if self.extents(name) is None:
            return
        shape = self._types[name].tensor_type.shape
        for dim, length in zip(shape.dim, lengths or [None] * len(shape.dim), strict=True):
            if not dim.HasField("dim_value"):
                length = self._same.get(dim.dim_param, length)
                if isinstance(length, int):
                    dim.dim_value = length
                elif length is not None and (not dim.dim_param or dim.dim_param.startswith(INVENTED)):
                    dim.dim_param = length

    def _of_outputs(self, node):
        """Return the inferred types of a node's outputs, none where ONNX infers none."""
        import onnx

        schema = _schema(node, self.opsets)
        inputs = {name: self._types.get(name) for name in node.input if name}
        if schema is None or None in inputs.values():
            return {}
        data = {name: self._constants[name] for name in inputs if self._is_small(name)}
        for name in inputs:
            if name not in data and (value := self.value(name)) is not None:
                data[name] = onnx.numpy_helper.from_array(value, name)
        try:
            return onnx.shape_inference.infer_node_outputs(
                schema, node, inputs, data, None, self._imports, self._ir_version
            )
        except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, KeyError):
            # An omitted optional input ("") has no type to give; the shape stays unknown.
            return {}

    def add_constant(self, tensor):
        """Take in an initialiser appended to the graph."""
        import onnx

        self._constants[tensor.name] = tensor
        self._types[tensor.name] = onnx.helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))

    def declare(self, name, like, element=None):
        """Say that a tensor has the shape of another, and its element type unless another one is given."""
        import onnx

        if like in self._types:
            known = onnx.TypeProto()
            known.CopyFrom(self._types[like])
            known.tensor_type.elem_type = element or known.tensor_type.elem_type
            self._types[name] = known

    def declare_rank(self, name, rank):
        """Say how many dimensions a tensor has, where nothing is known of its shape."""
        if name in self._types and self.extents(name) is None:
            shape = self._types[name].tensor_type.shape
            for _ in range(rank):
                shape.dim.add()

    def imported(self, domain):
        """Take in the import of one more domain, in its first version."""
        import onnx

        if domain not in self.opsets:
            self.opsets[domain] = 1
            self._imports.append(onnx.helper.make_opsetid(domain, 1))

    def type(self, name):
        """Return the TypeProto of a tensor, or None."""
        return self._types.get(name)

    def element(self, name):
        """Return the ONNX element type of a tensor, 0 when it is unknown."""
        kind = self._types.get(name)
        return kind.tensor_type.elem_type if kind is not None and kind.WhichOneof("value") == "tensor_type" else 0

    def dtype(self, name):
        """Return the NumPy (or ml_dtypes) dtype of a tensor."""
        import onnx

        if not self.element(name):
            raise InputError(f"the element type of tensor {name!r} is unknown: shape inference fails on this graph")
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(self.element(name)))

    def extents(self, name):
        """Return the dimensions as a tuple of int, str (a symbol; equal symbols are equal) or None; None if unranked."""
        kind = self._types.get(name)
        return None if kind is None or not kind.tensor_type.HasField("shape") else _extents(kind)

    def is_floating(self, name):
        """Return whether a tensor can carry a gradient; an unknown type counts as one that can."""
        import onnx

        kinds = onnx.TensorProto
        return self.element(name) in (kinds.UNDEFINED, kinds.FLOAT, kinds.DOUBLE, kinds.FLOAT16, kinds.BFLOAT16)

    def value(self, name):
        """Return the value of a tensor that is the same in every run and no larger than `SMALL`, or None."""
        pending = [name]
        while pending:
            top = pending[-1]
            if top in self._values:
                pending.pop()
                continue
            node = self._producers.get(top)
            sources = [source for source in node.input if source] if self._is_folded(top) else []
            missing = [source for source in sources if source not in self._values]
            if missing:
                pending += missing
                continue
            self._values[top] = self._evaluated(top, node, sources)
            pending.pop()
        return self._values[name]

    def _is_small(self, name):
        tensor = self._constants.get(name)
        return tensor is not None and not is_external(tensor) and np.prod(tensor.dims, dtype=float) <= SMALL

    def _is_folded(self, name):
        node = self._producers.get(name)
        if name in self._constants or node is None or node.op_type not in FOLDED or node.domain not in ("", "ai.onnx"):
            return False
        if node.op_type in ("Shape", "Size"):
            return False  # known by the shape of their input, not by its value
        extents = self.extents(name)
        return extents is not None and all(isinstance(extent, int) for extent in extents) and np.prod(extents) <= SMALL

    def _evaluated(self, name, node, sources):
        import onnx

        if name in self._constants:
            return onnx.numpy_helper.to_array(self._constants[name]) if self._is_small(name) else None
        if node is not None and node.op_type in ("Shape", "Size"):
            extents = self.extents(node.input[0])
            if extents is not None and node.op_type == "Shape":
                extents = _shape_part(node, extents)
            if extents is None or not all(isinstance(extent, int) for extent in extents):
                return None
            if node.op_type == "Size":
                return np.array(np.prod(extents, dtype=np.int64))
            return np.array(extents, np.int64)
        if node is not None and node.op_type in ("Gather", "Slice"):
            shape = self._producers.get(node.input[0])
            extents = self.extents(shape.input[0]) if shape is not None and shape.op_type == "Shape" else None
            if extents is not None:
                lengths = [extent if isinstance(extent, int) else UNKNOWN for extent in _shape_part(shape, extents)]
                given = {node.input[0]: np.array(lengths, np.int64)}
                value = self._run(node, given | {source: self._values[source] for source in sources[1:]})
                return None if value is None or np.any(value == UNKNOWN) else value
        if not self._is_folded(name):
            return None
        return self._run(node, {source: self._values[source] for source in sources})

    def _run(self, node, values):
        from onnx.reference import ReferenceEvaluator

        if any(value is None for value in values.values()):
            return None
        try:
            return ReferenceEvaluator(node, opsets={node.domain: self.opsets.get(node.domain, 1)}).run(None, values)[0]
        except Exception:  # whatever a wrong node raises: it is met again, and told, when the graph runs
            return None


def _shape_part(node, extents):
    """Return the dimensions that a Shape node tells."""
    start, stop = (next((a.i for a in node.attribute if a.name == key), None) for key in ("start", "end"))
    return extents[start:stop]


def _extents(kind):
    """Return the dimensions of a TypeProto with a shape."""
    return tuple(
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in kind.tensor_type.shape.dim
    )


def _tensor_of(node):
    """Return the tensor of a Constant node, or None where it is not one."""
    import onnx

    for attribute in node.attribute:
        if attribute.name == "value":
            return attribute.t
        if attribute.name in ("value_float", "value_floats"):
            return onnx.numpy_helper.from_array(np.array(onnx.helper.get_attribute_value(attribute), np.float32))
        if attribute.name in ("value_int", "value_ints"):
            return onnx.numpy_helper.from_array(np.array(onnx.helper.get_attribute_value(attribute), np.int64))
    return None


def _schema(node, opsets):
    import onnx

    domain = "" if node.domain == "ai.onnx" else node.domain
    try:
        return onnx.defs.get_schema(node.op_type, opsets.get(node.domain, 1), domain)
    except onnx.defs.SchemaError:
        return None


def _inferable(node):
    """Return an Identity in the place of a node of which ONNX infers no shape, and that has the shape of its input."""
    import onnx

    if node.op_type != "GroupNormalization" or node.domain not in ("", "ai.onnx"):
        return node
    return onnx.helper.make_node("Identity", node.input[:1], node.output[:1])


def without_large(model, variable=frozenset()):
    """Return a model whose large or variable initialisers are inputs, so that no call copies their bytes."""
    import onnx

    light = onnx.ModelProto(
        ir_version=max(model.ir_version, 4), opset_import=model.opset_import, functions=model.functions
    )
    graph = light.graph
    graph.name = model.graph.name or "graph"
    graph.node.extend(map(_inferable, model.graph.node))
    graph.output.extend(model.graph.output)
    graph.value_info.extend(model.graph.value_info)
    given = {tensor.name for tensor in model.graph.initializer}
    graph.input.extend(info for info in model.graph.input if info.name not in given)
    for tensor in model.graph.initializer:
        small = np.prod(tensor.dims, dtype=float) <= SMALL and not is_external(tensor)
        if tensor.name not in variable and small:
            graph.initializer.append(tensor)
        else:
            kind = onnx.helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
            graph.input.append(onnx.helper.make_value_info(tensor.name, kind))
    return light


def _inferred(model, variable):
    """Return the model after shape inference."""
    import onnx

    try:
        return onnx.shape_inference.infer_shapes(without_large(model, variable), data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise InputError(f"the model is not a valid ONNX graph: {str(error).splitlines()[0]}") from error
