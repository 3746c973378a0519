"""What is known of a graph's tensors without running it: types, shapes and the values of constants."""

import numpy as np

from srmfast.errors import InputError

SMALL = 1024  # elements: larger constants are no part of a shape, and are kept out of the inference

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

    def add(self, node):
        """Take in a node appended to the graph, inferring its outputs where ONNX can."""
        import onnx

        self._producers |= {name: node for name in node.output if name}
        schema = _schema(node, self.opsets)
        inputs = {name: self._types.get(name) for name in node.input if name}
        if schema is None or None in inputs.values():
            return
        data = {name: self._constants[name] for name in inputs if self._is_small(name)}
        for name in inputs:
            if name not in data and (value := self.value(name)) is not None:
                data[name] = onnx.numpy_helper.from_array(value, name)
        try:
            found = onnx.shape_inference.infer_node_outputs(
                schema, node, inputs, data, None, self._imports, self._ir_version
            )
        except (onnx.shape_inference.InferenceError, KeyError):
            # An omitted optional input ("") has no type to give; the shape stays unknown.
            return
        self._types |= found

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
        if kind is None or not kind.tensor_type.HasField("shape"):
            return None
        return tuple(
            dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in kind.tensor_type.shape.dim
        )

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
        return name in self._constants and np.prod(self._constants[name].dims, dtype=float) <= SMALL

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
        from onnx.reference import ReferenceEvaluator

        if name in self._constants:
            return onnx.numpy_helper.to_array(self._constants[name]) if self._is_small(name) else None
        if node is not None and node.op_type in ("Shape", "Size"):
            extents = self.extents(node.input[0])
            if extents is None or not all(isinstance(extent, int) for extent in extents):
                return None
            if node.op_type == "Size":
                return np.array(np.prod(extents, dtype=np.int64))
            start, stop = (next((a.i for a in node.attribute if a.name == key), None) for key in ("start", "end"))
            return np.array(extents[start:stop], np.int64)
        if not self._is_folded(name) or any(self._values[source] is None for source in sources):
            return None
        version = self.opsets.get(node.domain, 1)
        try:
            return ReferenceEvaluator(node, opsets={node.domain: version}).run(
                None, {source: self._values[source] for source in sources}
            )[0]
        except Exception:  # whatever a wrong node raises: it is met again, and told, when the graph runs
            return None


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
    """Return a node in whose place the inference meets an Identity where ONNX infers nothing, and both agree."""
    import onnx

    if node.op_type not in ("GroupNormalization", "MeanVarianceNormalization") or node.domain not in ("", "ai.onnx"):
        return node
    return onnx.helper.make_node("Identity", node.input[:1], node.output[:1])


def _inferred(model, variable):
    """Return the model after shape inference, without the bytes of its large or variable initialisers."""
    import onnx

    light = onnx.ModelProto(ir_version=max(model.ir_version, 4), opset_import=model.opset_import)
    graph = light.graph
    graph.name = model.graph.name or "graph"
    graph.node.extend(map(_inferable, model.graph.node))
    graph.output.extend(model.graph.output)
    graph.value_info.extend(model.graph.value_info)
    given = {tensor.name for tensor in model.graph.initializer}
    graph.input.extend(info for info in model.graph.input if info.name not in given)
    for tensor in model.graph.initializer:
        if tensor.name not in variable and np.prod(tensor.dims, dtype=float) <= SMALL:
            graph.initializer.append(tensor)
        else:
            kind = onnx.helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
            graph.input.append(onnx.helper.make_value_info(tensor.name, kind))
    try:
        return onnx.shape_inference.infer_shapes(light, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise InputError(f"the model is not a valid ONNX graph: {str(error).splitlines()[0]}") from error
