"""Reverse mode at graph level: an ONNX graph in, an ONNX graph with its gradients out."""

from collections import Counter

from srmfast.errors import InputError, meant
from srmfast.graph.expansion import expand, expand_local
from srmfast.graph.known import Known
from srmfast.graph.model import load_model
from srmfast.graph.order import all_nodes, needs
from srmfast.graph.rules import RULES, stops
from srmfast.graph.tape import Loose, Tape

OLDEST = 9  # opset: Where and the broadcasting of today


def gradient_name(tensor):
    """Return the name under which `gradient` gives the gradient with respect to a tensor.

    Examples
    --------
    >>> gradient_name("image")
    'grad/image'
    """
    return f"grad/{tensor}"


def gradient(model, of, wrt, *, cotangent=None, parameters=()):
    """Return a graph that computes a tensor and the gradients of its sum, ready for any ONNX runtime.

    The gradient of ``sum(of * cotangent)`` is derived node by node in reverse (the rules are in
    `srmfast.graph.rules`), as ONNX nodes behind those of the model, so it runs at the speed of the runtime. Shapes
    that differ between runs are followed at run time.

    Parameters
    ----------
    model : onnx.ModelProto or path
        Not changed, but for the order of nodes that are not sorted. Functions of the model are inlined, as are operators without a rule that ONNX defines by others.
    of : str
        A floating-point tensor of the graph: an output or any tensor inside.
    wrt : str or sequence of str
        Floating-point tensors: graph inputs, initialisers or tensors inside. One that `of` does not depend on has a
        gradient of zeros.
    cotangent : str, optional
        Name of a new graph input of the shape and type of `of`, the weights of the sum; all ones when omitted.
    parameters : sequence of str
        Initialisers that become graph inputs, behind the inputs of the model and in this order, so that each run gives
        their values: what training needs. All other initialisers stay as they are; those that are also listed as
        inputs (a default that a run may override) are constants in the result.

    Returns
    -------
    onnx.ModelProto
        Inputs: those of the model, `parameters`, `cotangent`. Outputs: `of`, then ``gradient_name(w)`` for each w.
        Nodes and initialisers that none of these needs are left out.

    Raises
    ------
    InputError
        When a name is unknown, taken or not of a floating-point type, or operators between `wrt` and `of` have no
        rule: all of them are named. Control flow (If, Loop, Scan) has none.

    Notes
    -----
    At ties: relu'(0) = 0 and |x|' = 0 at 0; Clip passes the gradient inside its closed range; Max and Min give equal
    shares to the largest (smallest) operands, ReduceMax, ReduceMin and GlobalMaxPool to the largest (smallest)
    elements; MaxPool gives all to the first of the largest elements of a window.

    What a mask stops is multiplied by 0, so an infinite gradient that arrives at one is NaN behind it, where torch has 0:
    of sqrt(relu(x)) at x < 0. Add a small number under the root.

    Examples
    --------
    >>> import onnx
    >>> model = onnx.parser.parse_model(
    ...     '<ir_version: 8, opset_import: ["": 17]> f (float[N, 3] x) => (float[N, 3] y) { y = Tanh(x) }'
    ... )
    >>> [output.name for output in gradient(model, "y", "x").graph.output]
    ['y', 'grad/x']
    """
    import onnx

    model = _loaded(model)
    wrt = [wrt] if isinstance(wrt, str) else list(wrt)
    parameters = [parameters] if isinstance(parameters, str) else list(parameters)
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)
    if opset < OLDEST:
        raise InputError(
            f"gradients need opset {OLDEST} or later, got {opset}; onnx.version_converter.convert_version raises it"
        )
    _check(model.graph, of, wrt, cotangent, parameters)
    model, known, route, wanted = _routed(model, of, wrt, parameters)
    taken = _names(model.graph)
    tape = Tape(known, taken | {cotangent} | {gradient_name(w) for w in wrt}, wanted)
    if cotangent is not None:
        known.declare(cotangent, of)
    tape.arrive(of, Loose(tape.number(1, of)) if cotangent is None else cotangent)
    for node in reversed(route):
        if any(tape.of(node, i, loose=True) is not None for i in range(len(node.output))):
            for name, part in zip(node.input, RULES[_kind(node)](node, tape), strict=False):
                if part is not None and name in wanted:
                    tape.arrive(name, part)
    ends = [tape.arrived(w) or tape.zeros(w) for w in wrt]
    _name_ends(tape, ends, wrt)
    return _assembled(onnx, model, tape, of, wrt, cotangent, parameters)


def _loaded(model):
    model = load_model(model)
    model = expand_local(model) if model.functions else model
    return _of_one_domain(model) if any(entry.domain == "ai.onnx" for entry in model.opset_import) else model


def _of_one_domain(model):
    """Return a copy that calls ONNX's own operator set by one name: "ai.onnx" is another for ""."""
    copy = type(model)()
    copy.CopyFrom(model)
    version = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    del copy.opset_import[:]
    copy.opset_import.add(domain="", version=version)
    copy.opset_import.extend(entry for entry in model.opset_import if entry.domain not in ("", "ai.onnx"))
    for node in all_nodes(copy.graph.node):
        node.domain = "" if node.domain == "ai.onnx" else node.domain
    return copy


def _kind(node):
    """Return the key of a node's rule: the op type, behind the domain where that is not ONNX's own."""
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"


def _names(graph):
    """Return every name of a tensor in the graph."""
    names = {info.name for info in graph.input} | {tensor.name for tensor in graph.initializer}
    names |= {tensor.values.name for tensor in graph.sparse_initializer}
    return names | {name for node in graph.node for name in (*node.output, *needs(node)) if name}


def _check(graph, of, wrt, cotangent, parameters):
    taken, initialisers = _names(graph), {tensor.name for tensor in graph.initializer}
    for name in (of, *wrt):
        if name not in taken:
            raise InputError(f"the graph has no tensor {name!r}{meant(name, taken)}")
    for name in parameters:
        if name not in initialisers:
            raise InputError(f"parameters names initialisers of the graph, and {name!r} is none")
    for what, names in (("wrt", wrt), ("parameters", parameters)):
        if repeated := [name for name, count in Counter(names).items() if count > 1]:
            raise InputError(f"{what} names {repeated[0]!r} more than once")
    results = [gradient_name(name) for name in wrt]
    for name in (*([] if cotangent is None else [cotangent]), *results):
        if not name or name in taken or (name == cotangent and name in results):
            raise InputError(f"the name {name!r} of the result is taken by a tensor of the graph: rename that")


def _routed(model, of, wrt, parameters):
    """Return the model, what is known of it, and the route from `of` to `wrt`.

    Operators on the route without a rule that ONNX defines by others are replaced by those.
    """
    while True:
        known = Known(model, variable=set(parameters))
        for name in (of, *wrt):
            if not known.is_floating(name):
                raise InputError(f"a gradient needs floating-point tensors, and {name!r} is {known.dtype(name)}")
        route, wanted = _route(model.graph.node, known, of, wrt)
        missing = {node.op_type for node in route if _kind(node) not in RULES and not node.domain}
        expanded = expand(model, missing) if missing else None
        if expanded is None:
            _refuse_without_rules(route, of, wrt)
            return model, known, route, wanted
        model = expanded


def _route(nodes, known, of, wrt):
    """Return the nodes through which gradients flow from `of` to `wrt`, and the tensors that need one."""
    depends = set(wrt)
    for node in nodes:
        if RULES.get(_kind(node)) is not stops and not depends.isdisjoint(needs(node)):
            depends.update(name for name in node.output if name and known.is_floating(name))
    reaching, route = {of} & depends, []
    for node in reversed(nodes):
        if not reaching.isdisjoint(node.output) and RULES.get(_kind(node)) is not stops:
            sources = depends.intersection(needs(node))
            if sources:
                reaching |= sources
                route.append(node)
    return route[::-1], reaching


def _refuse_without_rules(route, of, wrt):
    missing = Counter(_kind(node) for node in route if _kind(node) not in RULES)
    if missing:
        first = {_kind(node): node.name or node.output[0] for node in reversed(route)}
        listed = ", ".join(f"{count} × {kind} ({first[kind]!r})" for kind, count in missing.most_common())
        raise InputError(
            f"no gradient rule for {listed}, between {', '.join(map(repr, wrt))} and {of!r}; "
            "choose tensors with none of these between them"
        )


def _name_ends(tape, ends, wrt):
    """Give the gradients their final names, by renaming where the tensor is the tape's own."""
    own = {name for node in tape.nodes for name in node.output}
    renamed, copies = {}, []
    for end, name in zip(ends, map(gradient_name, wrt), strict=True):
        if end in own and end not in renamed:
            renamed[end] = name
        else:
            copies.append((end, name))
    for node in tape.nodes:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = renamed.get(name, name)
    for end, name in zip(ends, map(gradient_name, wrt), strict=True):
        tape.known.declare(name, end)
    tape.copy([(renamed.get(end, end), name) for end, name in copies])


def _assembled(onnx, model, tape, of, wrt, cotangent, parameters):
    """Return the model of the needed nodes, with the gradient's behind those of the forward graph."""
    known, graph = tape.known, model.graph
    outputs = [of, *map(gradient_name, wrt)]
    used, nodes = set(outputs), []
    for node in reversed([*map(tape.forward, graph.node), *tape.nodes]):
        if not used.isdisjoint(node.output):
            nodes.append(node)
            used.update(needs(node))
    result = onnx.ModelProto(
        ir_version=max(model.ir_version, 4), producer_name="srmfast", opset_import=model.opset_import
    )
    result.opset_import.extend(
        onnx.helper.make_opsetid(domain, version)
        for domain, version in known.opsets.items()
        if domain not in {entry.domain for entry in model.opset_import}
    )
    new = result.graph
    new.name = graph.name or "gradient"
    new.node.extend(reversed(nodes))
    initialisers = {tensor.name for tensor in graph.initializer}
    new.input.extend(info for info in graph.input if info.name not in initialisers)
    new.input.extend(_info(onnx, known, name) for name in (*parameters, *([] if cotangent is None else [cotangent])))
    new.initializer.extend(
        tensor
        for tensor in (*graph.initializer, *tape.constants)
        if tensor.name in used and tensor.name not in parameters
    )
    new.sparse_initializer.extend(tensor for tensor in graph.sparse_initializer if tensor.values.name in used)
    new.output.extend(_info(onnx, known, name) for name in outputs)
    return result


def _info(onnx, known, name):
    """Return the ValueInfo of a tensor; the name alone where its type is unknown."""
    kind = known.type(name)
    return onnx.ValueInfoProto(name=name) if kind is None else onnx.helper.make_value_info(name, kind)
