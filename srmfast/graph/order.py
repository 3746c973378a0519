"""The order of nodes: every tensor is made once, before it is used, and no node needs its own result."""

import collections

from srmfast.errors import InputError


def sort_model(proto, location):
    """Put the nodes of a model and of its branches in topological order, in place.

    Raises
    ------
    InputError
        For a tensor that is made twice or by nothing, and for a cycle, of nodes or of functions.
    """
    _sort_graph(proto.graph, frozenset(), location)
    _refuse_recursion(proto.functions, location)


def subgraphs(node):
    """Yield the graphs inside a node: branches and loop bodies."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def needs(node):
    """Return the names of the tensors that a node uses, those that its branches take from outside included."""
    wanted = [name for name in node.input if name]
    for graph in subgraphs(node):
        wanted += outside(graph)
    return dict.fromkeys(wanted)


def outside(graph):
    """Return the names of the tensors that a branch takes from outside."""
    own = {value.name for value in (*graph.input, *graph.initializer)}
    own |= {sparse.values.name for sparse in graph.sparse_initializer}
    own |= {name for node in graph.node for name in node.output}
    wanted = [name for node in graph.node for name in needs(node)] + [value.name for value in graph.output]
    return [name for name in dict.fromkeys(wanted) if name not in own]


def _sort_graph(graph, given, location):
    made = [
        *(tensor.name for tensor in graph.initializer),
        *(sparse.values.name for sparse in graph.sparse_initializer),
    ]
    made += [name for node in graph.node for name in node.output if name]
    inputs = [value.name for value in graph.input]
    _refuse_twice(made, location)
    _refuse_twice(inputs, location)
    _refuse_twice(
        [name for name in inputs if name] + [name for node in graph.node for name in node.output if name], location
    )
    known = given | set(inputs) | set(made)
    for value in graph.output:
        if value.name not in known:
            raise InputError(f"nothing in {location} makes its output {value.name!r}; it is damaged: export it again")
    for node in graph.node:
        for name in needs(node):
            if name not in known:
                raise InputError(
                    f"nothing in {location} makes the tensor {name!r} that node {node.name or node.op_type!r} needs; it is "
                    "damaged: export it again"
                )
    _sort_nodes(graph, location)
    for node in graph.node:
        for inner in subgraphs(node):
            _sort_graph(inner, known, location)


def _refuse_twice(names, location):
    name, times = max(collections.Counter(names).items(), key=lambda item: item[1], default=("", 1))
    if times > 1:
        raise InputError(f"a tensor must be made once, {location} makes {name!r} {times} times; export it again")


def _sort_nodes(graph, location):
    maker = {name: number for number, node in enumerate(graph.node) for name in node.output if name}
    waits, users = [], collections.defaultdict(list)
    for number, node in enumerate(graph.node):
        before = {maker[name] for name in needs(node) if name in maker}
        waits.append(len(before))
        for other in before:
            users[other].append(number)
    if all(other < number for other, found in users.items() for number in found):
        return  # as ONNX asks
    ready = collections.deque(number for number, count in enumerate(waits) if not count)
    sorted_numbers = []
    while ready:
        sorted_numbers.append(number := ready.popleft())
        for user in users[number]:
            waits[user] -= 1
            if not waits[user]:
                ready.append(user)
    if len(sorted_numbers) < len(graph.node):
        node = graph.node[next(number for number, count in enumerate(waits) if count)]
        raise InputError(
            f"a graph must not be cyclic, in {location} node {node.name or node.op_type!r} needs what is made from its own "
            "result; it is damaged: export it again"
        )
    nodes = [graph.node[number] for number in sorted_numbers]
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _refuse_recursion(functions, location):
    calls = {}
    for function in functions:
        calls[function.domain, function.name] = {(node.domain, node.op_type) for node in all_nodes(function.node)}
    left = {name: called & calls.keys() for name, called in calls.items()}
    while free := [name for name, called in left.items() if not called & left.keys()]:
        for name in free:
            del left[name]
    if left:
        raise InputError(f"a function must not call itself, {location} has {next(iter(left))[1]!r}; it is damaged")


def all_nodes(nodes):
    """Yield nodes and those inside their branches and loop bodies."""
    for node in nodes:
        yield node
        for graph in subgraphs(node):
            yield from all_nodes(graph.node)
