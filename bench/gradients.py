"""Gradients: our graph under onnxruntime beside PyTorch's autograd, with the same weights and threads."""

import time
from functools import partial

import numpy as np

from bench import timing
from bench.machine import CORES
from bench.networks import cnn, mlp, onnx_model, resnet, torch_function, vit
from bench.timing import alternate, ratio, seconds, table, times
from srmfast.graph import gradient, gradient_name

_CLOSE = 1e-5  # relative L2 distance of two gradients in float32
_SIZES = {  # network: the shape of its input, and at toy size
    mlp: ((256, 784), (2, 784)),
    cnn: ((32, 3, 32, 32), (1, 3, 8, 8)),
    resnet: ((4, 3, 128, 128), (1, 3, 32, 32)),
    vit: ((4, 3, 224, 224), (1, 3, 32, 32)),
}


def gradients(quick):
    """Time the forward pass alone, and with the gradient with respect to the input, of four networks."""
    threads = 1 if timing.clock is time.process_time else CORES
    try:
        import torch

        torch.set_num_threads(threads)
    except ImportError:
        torch = None
    lines = []
    for network, sizes in _SIZES.items():
        x = np.random.default_rng(1).standard_normal(sizes[quick], dtype=np.float32)
        weights = np.random.default_rng(2).standard_normal((len(x), 10), dtype=np.float32)
        model = onnx_model(network, x.shape)
        derived = gradient(model, "y", "x", cotangent="c")
        ways = {
            "forward": partial(_session(model, threads), ["y"], {"x": x}),
            "ours": partial(_session(derived, threads), ["y", gradient_name("x")], {"x": x, "c": weights}),
        }
        if torch is not None:
            ways["torch"] = _autograd(torch, torch_function(network), x, weights)
        for way in ways.values():
            way()
        series = alternate(ways, 2 if quick else 30, limit=20.0)
        ours = series["ours"]
        _compare(network.__name__, ours.answers[0][0], series["forward"].answers[0][0])
        line = [network.__name__, "×".join(map(str, x.shape)), seconds(series["forward"].median), seconds(ours.median)]
        if torch is not None:
            for mine, theirs in zip(ours.answers[0], series["torch"].answers[0], strict=True):
                _compare(network.__name__, mine, theirs)
            line += [seconds(series["torch"].median), times(ratio(ours, series["torch"]))]
        lines.append(line)
    print(
        f"Value and gradient with respect to the input, float32, {threads} thread{'s' * (threads > 1)}; forward: the value alone.\n"
    )
    header = ["network", "input", "forward", "with gradient"] + ["PyTorch", "of PyTorch"] * (torch is not None)
    print(table(header, lines))
    if torch is None:
        print("\nPyTorch is not installed: pip install torch, and it is timed beside")


def _session(model, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run


def _autograd(torch, function, x, weights):
    """Return a call that gives the value and the gradient by PyTorch."""
    weights = torch.from_numpy(weights)

    def call():
        at = torch.from_numpy(x).requires_grad_()
        y = function(at)
        return y.detach().numpy(), torch.autograd.grad(y, at, weights)[0].numpy()

    return call


def _compare(name, ours, theirs):
    far = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
    if not far <= _CLOSE:
        raise AssertionError(f"{name}: the answers differ by {far:.1e}")
