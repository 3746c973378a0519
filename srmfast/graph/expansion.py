"""Functions replaced by the nodes they stand for."""

from srmfast.graph.known import without_large


def expand_local(model):
    """Return a model with calls to its own functions replaced by their nodes."""
    import onnx.inliner

    return _with_nodes(model, onnx.inliner.inline_local_functions(without_large(model)))


def expand(model, op_types):
    """Return a model with some of ONNX's operators replaced by the nodes that define them; None if none has any.

    Parameters
    ----------
    model : onnx.ModelProto
    op_types : set of str
        Of the default domain.
    """
    import onnx
    import onnx.inliner

    # As inputs the initialisers have types, which some definitions depend on.
    light = without_large(model, variable={tensor.name for tensor in model.graph.initializer})
    light = onnx.shape_inference.infer_shapes(light, data_prop=True)
    wanted = [("", op_type) for op_type in sorted(op_types)]
    try:
        made = onnx.inliner.inline_selected_functions(light, wanted, exclude=False, inline_schema_functions=True)
    except RuntimeError:  # a definition that depends on a type nobody knows
        return None
    left = [node.op_type for node in made.graph.node]
    if left == [node.op_type for node in model.graph.node]:
        return None
    return _with_nodes(model, made)


def _with_nodes(model, made):
    """Return a model with the nodes and operator sets of another, made from it without its large initialisers."""
    import onnx

    result = onnx.ModelProto(ir_version=made.ir_version, opset_import=made.opset_import)
    result.graph.name = model.graph.name
    result.graph.node.extend(made.graph.node)
    for field in ("input", "output", "value_info", "initializer", "sparse_initializer"):
        getattr(result.graph, field).extend(getattr(model.graph, field))
    return result
