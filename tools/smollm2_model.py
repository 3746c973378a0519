"""SmolLM2-135M as an ONNX graph whose outputs are the residual stream after chosen blocks.

    model = build(tensors, fields, layers=(4, 12))      # used by tools/smollm2_activations.py

The weights come from a GGUF file, dequantised to float32. Such a file holds the query and key weights in the order of
neighbouring pairs, so the rotary embedding turns (even, odd) neighbours. Input `input_ids` [B, T] int64, T ≤ 1,024.
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

LONGEST = 1024  # positions of the rotary table
MASKED = -1e9  # added to the scores of later tokens


class Graph:
    """The nodes and constants of an ONNX graph under construction."""

    def __init__(self):
        self.nodes, self.constants, self._known = [], [], set()

    def constant(self, name, values, dtype=np.float32):
        """Name an array; the same name twice is the same array."""
        if name not in self._known:
            self._known.add(name)
            self.constants.append(numpy_helper.from_array(np.array(values, dtype, order="C"), name))
        return name

    def add(self, kind, *inputs, out=None, **attributes):
        """Append a node and return the name of its output."""
        out = out or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [out], **attributes))
        return out

    def shape(self, *sizes):
        """Name a shape, for Reshape and Tile."""
        return self.constant("x".join(map(str, sizes)), sizes, np.int64)


def build(weights, fields, layers):
    """Return the ONNX model as bytes.

    Parameters
    ----------
    weights : dict of str to ndarray
        By their GGUF names, float32, (out, in).
    fields : dict of str to float or int
        The GGUF fields `llama.*`, without that prefix.
    layers : sequence of int
        The blocks, from 0, whose outputs are wanted; what comes after the last is left out.
    """
    graph, sizes = Graph(), _Sizes(fields)
    tables, mask = _positions(graph, sizes), _causal_mask(graph)
    x = graph.add("Gather", graph.constant("embedding", weights["token_embd.weight"]), "input_ids")
    for k in range(max(layers) + 1):
        x = _block(graph, sizes, weights, k, x, tables, mask)
    outputs = [helper.make_tensor_value_info(f"hidden_{k}", TensorProto.FLOAT, None) for k in layers]
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["B", "T"])
    made = helper.make_graph(graph.nodes, "smollm2", [ids], outputs, graph.constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


class _Sizes:
    def __init__(self, fields):
        self.width = int(fields["embedding_length"])
        self.heads = int(fields["attention.head_count"])
        self.shared = int(fields["attention.head_count_kv"])  # key and value heads
        self.head = self.width // self.heads
        self.epsilon = float(fields["attention.layer_norm_rms_epsilon"])
        self.base = float(fields["rope.freq_base"])


def _length(graph):
    """Return T as a tensor of one element."""
    shape = graph.add("Shape", "input_ids")
    return graph.add("Slice", shape, graph.shape(1), graph.shape(2))


def _positions(graph, sizes):
    """Return the cosines and sines of the rotary embedding, (1, T, 1, head / 2)."""
    speed = sizes.base ** (-np.arange(0, sizes.head, 2) / sizes.head)
    angle = np.arange(LONGEST)[:, None] * speed
    length = _length(graph)
    found = []
    for name, table in (("cosines", np.cos(angle)), ("sines", np.sin(angle))):
        part = graph.add("Slice", graph.constant(name, table), graph.shape(0), length)
        found.append(graph.add("Unsqueeze", part, graph.shape(0, 2)))
    return found


def _causal_mask(graph):
    """Return (T, T): 0 for the token itself and earlier ones, a large negative number for later ones."""
    length = _length(graph)
    one = numpy_helper.from_array(np.ones(1, np.float32))
    ones = graph.add("ConstantOfShape", graph.add("Concat", length, length, axis=0), value=one)
    later = graph.add("Trilu", ones, graph.constant("above", 1, np.int64), upper=1)
    return graph.add("Mul", later, graph.constant("masked", MASKED))


def _block(graph, sizes, weights, k, x, tables, mask):
    """Return the residual stream after block k."""

    def linear(value, name):
        return graph.add("MatMul", value, graph.constant(f"{k}.{name}", weights[f"blk.{k}.{name}.weight"].T))

    def normalised(value, name):
        return _rms(graph, sizes, value, graph.constant(f"{k}.{name}", weights[f"blk.{k}.{name}.weight"]))

    y = normalised(x, "attn_norm")
    query = _rotated(graph, sizes.heads, sizes.head, linear(y, "attn_q"), tables)
    key = _repeated(graph, sizes, _rotated(graph, sizes.shared, sizes.head, linear(y, "attn_k"), tables))
    value = graph.add("Reshape", linear(y, "attn_v"), graph.shape(0, 0, sizes.shared, sizes.head))
    value = _repeated(graph, sizes, value)
    query = graph.add("Transpose", query, perm=[0, 2, 1, 3])
    key = graph.add("Transpose", key, perm=[0, 2, 3, 1])
    value = graph.add("Transpose", value, perm=[0, 2, 1, 3])
    scale = graph.constant("scale", 1 / np.sqrt(sizes.head))
    scores = graph.add("Add", graph.add("Mul", graph.add("MatMul", query, key), scale), mask)
    mixed = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), value)
    mixed = graph.add("Reshape", graph.add("Transpose", mixed, perm=[0, 2, 1, 3]), graph.shape(0, 0, sizes.width))
    x = graph.add("Add", x, linear(mixed, "attn_output"))

    y = normalised(x, "ffn_norm")
    gate = linear(y, "ffn_gate")
    gate = graph.add("Mul", gate, graph.add("Sigmoid", gate))
    return graph.add("Add", x, linear(graph.add("Mul", gate, linear(y, "ffn_up")), "ffn_down"), out=f"hidden_{k}")


def _rms(graph, sizes, x, weight):
    square = graph.add("ReduceMean", graph.add("Mul", x, x), graph.shape(-1), keepdims=1)
    root = graph.add("Sqrt", graph.add("Add", square, graph.constant("epsilon", sizes.epsilon)))
    return graph.add("Mul", graph.add("Div", x, root), weight)


def _rotated(graph, heads, head, x, tables):
    """Turn neighbouring pairs of each head by the angle of the token's position."""
    cosines, sines = tables
    pairs = graph.add("Reshape", x, graph.shape(0, 0, heads, head // 2, 2))
    even, odd = (graph.add("Gather", pairs, graph.constant(f"at{n}", n, np.int64), axis=4) for n in (0, 1))
    turned = (
        graph.add("Sub", graph.add("Mul", even, cosines), graph.add("Mul", odd, sines)),
        graph.add("Add", graph.add("Mul", even, sines), graph.add("Mul", odd, cosines)),
    )
    turned = [graph.add("Unsqueeze", one, graph.shape(-1)) for one in turned]
    return graph.add("Reshape", graph.add("Concat", *turned, axis=4), graph.shape(0, 0, heads, head))


def _repeated(graph, sizes, x):
    """Give each key or value head to the query heads that share it."""
    x = graph.add("Unsqueeze", x, graph.shape(3))
    x = graph.add("Tile", x, graph.shape(1, 1, 1, sizes.heads // sizes.shared, 1))
    return graph.add("Reshape", x, graph.shape(0, 0, sizes.heads, sizes.head))
