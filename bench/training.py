"""Training: our one graph a step, and the same loop in torch where it is installed."""

import importlib.util

import numpy as np

from bench.timing import alternate, ratio, table, times
from srmfast.training import load_recipe
from srmfast.training.data import load_data
from srmfast.training.network import build
from srmfast.training.runner import Runner
from srmfast.training.step import training_step

_SHAPES = {  # width of the rows, recipe
    "small, 784-16-784": (784, "small-mnist"),
    "large, 784-128-16-128-784": (784, "large-mnist"),
    "large, 3072-256-24-256-3072": (3072, "large-cifar"),
}


def training(quick):
    """Microseconds of one step of 24 rows, from the same weights over the same batches."""
    steps, rounds = (6, 2) if quick else (100, 5)
    rng, lines = np.random.default_rng(8), []
    for name, (width, recipe) in _SHAPES.items():
        rows = rng.integers(0, 256, (24 * (64 if quick else 500), width), dtype=np.uint8)
        recipe = load_recipe(recipe, ["basis.kind=rotated-plusminus", "data.rows="])
        data, _ = load_data(recipe, rows)
        network = build(recipe, data)
        step = training_step(network, recipe, data)
        order = rng.permutation(len(rows))[: 24 * steps]
        ways = {"srmfast, 1 thread": _ours(Runner(step, data), order, steps, width)}
        if importlib.util.find_spec("torch"):
            ways["torch, 1 thread"] = _torch(recipe, network, step.state, rows, order)
        series = alternate(ways, rounds)
        first = next(iter(series.values()))
        for way, one in series.items():
            _check(one.answers, first.answers, name, way)
            each = f"{one.median / steps * 1e6:,.0f} µs"
            lines.append([f"{name}: {way}", each, times(ratio(one, first)), f"{one.answers[-1]:.5f}"])
    print(table(["batches of 24, momentum", "one step", "of ours", "last mean loss"], lines))
    if len(lines) == len(_SHAPES):
        print("\ntorch is not installed: pip install torch")


def _check(answers, reference, name, way):
    """Refuse another trajectory: every round goes on from the one before, with the same batches."""
    apart = np.abs(np.array(answers) / np.array(reference) - 1).max()
    assert apart < 1e-3, f"{name}: the losses of {way} differ by {apart:.2g}"


def _ours(runner, order, steps, width):
    def call():
        runner.begin(order)
        runner.run(steps)
        return runner.loss / (order.size * width)

    return call


def _torch(recipe, network, state, rows, order):
    """Return the same loop as it is usually written, rows in memory as float32."""
    import torch

    torch.set_num_threads(1)
    (low, high), (first, last) = recipe["data.range"], recipe["data.scale"]
    images = (torch.from_numpy(rows).float() - low) * ((last - first) / (high - low)) + first
    parameters = {key: torch.tensor(state[key], requires_grad=True) for key in network.parameters}
    bases = {key: torch.tensor(basis.vectors, dtype=torch.float32) for key, basis in network.bases.items()}
    optimiser = torch.optim.SGD(
        parameters.values(), lr=recipe["optimiser.learning_rate"], momentum=recipe["optimiser.momentum"]
    )
    numbers = [number for number, kind in enumerate(recipe["layers"]) if kind != "latent"]

    def forward(x):
        for number in numbers:
            key = f"layer{number}"
            if key in bases:
                x = torch.relu(torch.tanh(x @ bases[key].T)) @ bases[key]
            else:
                x = torch.addmm(parameters[f"{key}/bias"], x, parameters[f"{key}/weight"])
        return x

    def call():
        total = 0.0
        for index in torch.from_numpy(order).split(recipe["training.batch"]):
            x = images[index]
            optimiser.zero_grad()
            loss = torch.nn.functional.mse_loss(forward(x), x)
            loss.backward()
            optimiser.step()
            total += loss.detach()
        return float(total) / (order.size / recipe["training.batch"])

    return call
