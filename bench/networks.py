"""Networks written once and built twice: as an ONNX graph and as a PyTorch function, with the same weights."""

import math

import numpy as np

OPSET = 17


def mlp(ops, x):
    """Four layers, ReLU: (n, 784) to (n, 10)."""
    for before, after in ((784, 512), (512, 512), (512, 256)):
        x = ops.relu(ops.linear(x, before, after))
    return ops.linear(x, 256, 10)


def cnn(ops, x):
    """Three convolutions with pools between them: (n, 3, s, s) to (n, 10)."""
    x = ops.max_pool(ops.relu(ops.conv(x, 3, 32, 3)), 2, 2, 0)
    x = ops.max_pool(ops.relu(ops.conv(x, 32, 64, 3)), 2, 2, 0)
    x = ops.relu(ops.conv(x, 64, 64, 3))
    return ops.linear(ops.mean(x), 64, 10)


def resnet(ops, x, widths=(32, 64, 128, 256)):
    """Residual blocks with batch normalisation, as ResNet-18 has them at half the width: (n, 3, s, s) to (n, 10)."""
    x = ops.relu(ops.norm(ops.conv(x, 3, widths[0], 7, stride=2), widths[0]))
    x = ops.max_pool(x, 3, 2, 1)
    before = widths[0]
    for width in widths:
        for stride in (1 if width == before else 2, 1):
            skip = x
            if stride > 1:
                skip = ops.norm(ops.conv(x, before, width, 1, stride=stride), width)
            y = ops.relu(ops.norm(ops.conv(x, before, width, 3, stride=stride), width))
            x = ops.relu(ops.add(ops.norm(ops.conv(y, width, width, 3), width), skip))
            before = width
    return ops.linear(ops.mean(x), before, 10)


def vit(ops, x, width=192, heads=3, depth=4, patch=16):
    """A vision transformer of the width of ViT-Ti: (n, 3, s, s) to (n, 10)."""
    x = ops.tokens(ops.conv(x, 3, width, patch, stride=patch, pad=0))
    for _ in range(depth):
        y = ops.layer_norm(x, width)
        q, k, v = (ops.heads(ops.linear(y, width, width), heads, width) for _ in range(3))
        x = ops.add(x, ops.linear(ops.merged(ops.attention(q, k, v), width), width, width))
        y = ops.gelu(ops.linear(ops.layer_norm(x, width), width, 4 * width))
        x = ops.add(x, ops.linear(y, 4 * width, width))
    return ops.linear(ops.first(ops.layer_norm(x, width)), width, 10)


class Weights:
    """Weights drawn in the order in which a network asks for them, the same in every walk through it."""

    def __init__(self, seed=0):
        self._rng = np.random.default_rng(seed)

    def normal(self, *shape, fan):
        return (self._rng.standard_normal(shape) * math.sqrt(2 / fan)).astype(np.float32)

    def near(self, value, size):
        return (value + 0.1 * self._rng.standard_normal(size)).astype(np.float32)


def onnx_model(network, shape):
    """Return a network as an ONNX model from "x", whose first dimension is free, to "y"."""
    import onnx
    from onnx import helper

    ops = OnnxOps()
    last = ops.nodes[ops.nodes.index(ops.made[network(ops, "x")])]
    last.output[0] = "y"
    graph = helper.make_graph(
        ops.nodes,
        network.__name__,
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", *shape[1:]])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 10])],
        ops.initialisers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


class OnnxOps:
    """Each method appends nodes and returns the name of a tensor."""

    def __init__(self):
        self.nodes, self.initialisers, self.made = [], [], {}
        self._weights = Weights()

    def _constant(self, array):
        from onnx import numpy_helper

        name = f"w{len(self.initialisers)}"
        self.initialisers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def _op(self, op_type, *inputs, **attributes):
        from onnx import helper

        name = f"t{len(self.nodes)}"
        node = helper.make_node(op_type, inputs, [name], **attributes)
        self.nodes.append(node)
        self.made[name] = node
        return name

    def _shape(self, *lengths):
        return self._constant(np.array(lengths, np.int64))

    def conv(self, x, before, after, size, stride=1, pad=None):
        weight = self._constant(self._weights.normal(after, before, size, size, fan=before * size * size))
        bias = self._constant(self._weights.near(0, after))
        pads = [size // 2 if pad is None else pad] * 4
        return self._op("Conv", x, weight, bias, kernel_shape=[size] * 2, strides=[stride] * 2, pads=pads)

    def linear(self, x, before, after):
        weight = self._constant(self._weights.normal(before, after, fan=before))
        return self._op("Add", self._op("MatMul", x, weight), self._constant(self._weights.near(0, after)))

    def norm(self, x, width):
        given = [self._constant(self._weights.near(value, width)) for value in (1, 0, 0, 1)]
        return self._op("BatchNormalization", x, *given)

    def layer_norm(self, x, width):
        given = [self._constant(self._weights.near(value, width)) for value in (1, 0)]
        return self._op("LayerNormalization", x, *given)

    def relu(self, x):
        return self._op("Relu", x)

    def gelu(self, x):
        """As PyTorch exports it."""
        root, one, half = (self._constant(np.float32(value)) for value in (math.sqrt(2), 1, 0.5))
        scaled = self._op("Mul", x, self._op("Add", self._op("Erf", self._op("Div", x, root)), one))
        return self._op("Mul", scaled, half)

    def add(self, x, y):
        return self._op("Add", x, y)

    def max_pool(self, x, size, stride, pad):
        return self._op("MaxPool", x, kernel_shape=[size] * 2, strides=[stride] * 2, pads=[pad] * 4)

    def mean(self, x):
        return self._op("Flatten", self._op("GlobalAveragePool", x))

    def tokens(self, x):
        return self._op("Transpose", self._op("Reshape", x, self._shape(0, 0, -1)), perm=[0, 2, 1])

    def heads(self, x, heads, width):
        split = self._op("Reshape", x, self._shape(0, 0, heads, width // heads))
        return self._op("Transpose", split, perm=[0, 2, 1, 3])

    def merged(self, x, width):
        return self._op("Reshape", self._op("Transpose", x, perm=[0, 2, 1, 3]), self._shape(0, 0, width))

    def attention(self, q, k, v, size=64):
        scores = self._op("MatMul", q, self._op("Transpose", k, perm=[0, 1, 3, 2]))
        scaled = self._op("Div", scores, self._constant(np.float32(math.sqrt(size))))
        return self._op("MatMul", self._op("Softmax", scaled, axis=-1), v)

    def first(self, x):
        return self._op("Gather", x, self._constant(np.array(0)), axis=1)


def torch_function(network):
    """Return the function from x to y that a network is in PyTorch."""
    ops = TorchOps()

    def call(x):
        ops.restart()
        return network(ops, x)

    return call


class TorchOps:
    """Each method computes a tensor; the weights are drawn in the first walk."""

    def __init__(self):
        import torch

        self._torch, self._functional = torch, torch.nn.functional
        self._weights, self._drawn, self._next = Weights(), [], 0

    def restart(self):
        self._next = 0

    def _given(self, draw):
        if self._next == len(self._drawn):
            self._drawn.append([self._torch.from_numpy(np.ascontiguousarray(array)) for array in draw()])
        self._next += 1
        return self._drawn[self._next - 1]

    def conv(self, x, before, after, size, stride=1, pad=None):
        weight, bias = self._given(
            lambda: (
                self._weights.normal(after, before, size, size, fan=before * size * size),
                self._weights.near(0, after),
            )
        )
        return self._functional.conv2d(x, weight, bias, stride, size // 2 if pad is None else pad)

    def linear(self, x, before, after):
        weight, bias = self._given(
            lambda: (self._weights.normal(before, after, fan=before).T, self._weights.near(0, after))
        )
        return self._functional.linear(x, weight, bias)

    def norm(self, x, width):
        scale, bias, mean, variance = self._given(lambda: [self._weights.near(v, width) for v in (1, 0, 0, 1)])
        return self._functional.batch_norm(x, mean, variance, scale, bias)

    def layer_norm(self, x, width):
        scale, bias = self._given(lambda: [self._weights.near(v, width) for v in (1, 0)])
        return self._functional.layer_norm(x, (width,), scale, bias)

    def relu(self, x):
        return self._functional.relu(x)

    def gelu(self, x):
        return self._functional.gelu(x)

    def add(self, x, y):
        return x + y

    def max_pool(self, x, size, stride, pad):
        return self._functional.max_pool2d(x, size, stride, pad)

    def mean(self, x):
        return x.mean(dim=(2, 3))

    def tokens(self, x):
        return x.flatten(2).transpose(1, 2)

    def heads(self, x, heads, width):
        return x.unflatten(2, (heads, width // heads)).transpose(1, 2)

    def merged(self, x, width):
        return x.transpose(1, 2).flatten(2)

    def attention(self, q, k, v):
        return self._functional.scaled_dot_product_attention(q, k, v)

    def first(self, x):
        return x[:, 0]
