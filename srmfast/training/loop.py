"""Train a network: epochs, checkpoints, and a state that can be gone on with."""

import contextlib
import json
import math
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import srmfast
from srmfast.displayed import Displayed
from srmfast.errors import InputError
from srmfast.spec import differing
from srmfast.training.data import load_data
from srmfast.training.events import EpochDone, StepsDone, TrainingStarted, VersionsDiffer, ignore
from srmfast.training.folder import Folder, State
from srmfast.training.network import build
from srmfast.training.recipe import load_recipe
from srmfast.training.runner import Runner
from srmfast.training.step import test_step, training_step

_STEPS = 250  # between two events
_TEST_BATCH = 500  # rows
_EVERY = 10.0  # seconds between states on the disk


@dataclass(frozen=True, repr=False)
class Trained(Displayed):
    """A network that was trained.

    Attributes
    ----------
    recipe : Recipe
    basis : ndarray, (k, n) float64, or None
        Of the first activation function behind the latent layer.
    checkpoints : dict of int to onnx.ModelProto
        By the number of epochs; of a training that was gone on with, those since.
    log : tuple of (int, float, float)
        Epoch, mean loss while it lasted, and loss on the rows to test on behind it.
    folder : Path or None
    """

    recipe: object
    basis: np.ndarray | None
    checkpoints: dict
    log: tuple
    folder: Path | None

    def _line(self):
        epoch, loss, test = self.log[-1]
        tested = "" if math.isnan(test) else f", test loss {test:.4g}"
        return f"{self.recipe['name'] or 'network'}: {epoch} epochs, loss {loss:.4g}{tested}, {len(self.checkpoints)} checkpoints"

    def summary(self):
        """Say in a few lines what was trained and how well."""
        epoch, loss, test = self.log[-1]
        losses = [
            f"{what} {value:.6g}" for what, value in (("loss", loss), ("test loss", test)) if not math.isnan(value)
        ]
        lines = [f"{self.recipe['name'] or 'network'}: {epoch} epochs, {', '.join(losses)}"]
        if self.folder is not None:
            lines.append(f"written to {self.folder}: {', '.join(sorted(path.name for path in self.folder.iterdir()))}")
        return "\n".join(lines)


def train(
    recipe, out=None, *, changes=(), data=None, seed=None, epochs=None, resume=False, force=False, on_event=ignore
):
    """Train the network of a recipe.

    Parameters
    ----------
    recipe : str, path, dict or Recipe
        A shipped recipe's name, a TOML file, or its content.
    out : path, optional
        Folder for checkpoints (epoch-0060.onnx, with the tensor "latent"), the bases (.npy), log.csv and the state;
        without it everything stays in memory.
    changes : mapping or sequence of str
        ``{"n": 16, "basis.count": 32}`` or ``["n=16", "basis.count=32"]``.
    data : path, array or mapping, optional
        In place of the recipe's; see `srmfast.training.data.load_data`.
    seed, epochs : int, optional
        In place of the recipe's training.seed and training.epochs.
    resume : bool
        Go on with what the folder holds. The result has the same bits as that of a training that was never stopped.
    force : bool
        Replace the training that the folder holds.
    on_event : callable
        Called with events of `srmfast.training.events`.

    Returns
    -------
    Trained

    Raises
    ------
    InputError
        For recipes and data that cannot be used, a folder of another training, and a loss that is no number any more.

    Notes
    -----
    The seed decides the weights at the beginning and the order of the rows in each epoch, nothing else does. The
    same seed gives the same bits with the same versions on the same kind of CPU.

    Examples
    --------
    >>> import numpy as np
    >>> recipe = {"layers": ["linear 2", "latent", "tanh", "linear d"], "optimiser": {"learning_rate": 0.5}}
    >>> trained = train(recipe, data=np.random.default_rng(0).normal(size=(96, 5)), epochs=20)
    >>> trained.log[-1][1] < trained.log[1][1]
    True
    """
    changes = dict(changes) if hasattr(changes, "items") else list(changes)
    recipe = load_recipe(load_recipe(recipe, changes), _given(seed, epochs))
    if resume and out is None:
        raise InputError("resume needs the folder that holds the training: give out")
    rows, test_rows = load_data(recipe, data)
    network = None if resume else build(recipe, rows)
    identity = _identity(recipe, rows, test_rows)
    with contextlib.ExitStack() as stack:
        folder = None if out is None else stack.enter_context(Folder(out, resume=resume, force=force))
        before = folder.state() if folder is not None else None
        if before is not None and (other := differing(before.identity, identity)):
            raise InputError(f"{out} is of another training: {other}; use --force to replace it, or another folder")
        if before is not None and before.versions and (other := differing(before.versions, versions())):
            on_event(VersionsDiffer(other))
        network = network or build(recipe, rows, before.bases if before is not None else None)
        if folder is not None:
            folder.begin(recipe, _vectors(network), network.basis)
        return _Training(recipe, network, rows, test_rows, folder, identity, on_event).run(before)


def versions():
    """Return what the bits of a training may depend on beside the recipe and the CPU, by name."""
    import onnx
    import onnxruntime

    return {
        "srmfast": srmfast.__version__, "onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__, "python": platform.python_version(),
    }  # fmt: skip


def _kinds(values):
    # A number may come back as a vector of one.
    return {name: (np.atleast_1d(value).shape, value.dtype) for name, value in values.items()}


def _vectors(network):
    return {layer: basis.vectors for layer, basis in network.bases.items()}


def _given(seed, epochs):
    given = {"training.seed": seed, "training.epochs": epochs}
    return {key: value for key, value in given.items() if value is not None}


def _identity(recipe, rows, test_rows):
    """Return what a training must have in common with one that it goes on with."""
    values = {
        f"{section}.{key}": value
        for section, held in recipe.values.items()
        for key, value in (held.items() if isinstance(held, dict) else [("", held)])
    }
    free = ("training.epochs", "training.checkpoints", "data.train", "data.test", "data.labels", "data.test_labels")
    kept = {name.rstrip("."): value for name, value in values.items() if name not in free}
    hashes = {"data": rows.sha256(), "test data": test_rows.sha256() if test_rows is not None else ""}
    return json.loads(json.dumps(kept | hashes))


class _Training:
    """One training under way."""

    def __init__(self, recipe, network, rows, test_rows, folder, identity, on_event):
        self._recipe, self._network, self._rows, self._folder = recipe, network, rows, folder
        self._test_rows, self._identity, self._tell = test_rows, identity, on_event
        self._seed, self._epochs = recipe["training.seed"], recipe["training.epochs"]
        wanted = {epoch for epoch in recipe["training.checkpoints"] if epoch <= self._epochs}
        self._wanted = wanted | {self._epochs}
        self._runner = Runner(training_step(network, recipe, rows), rows)
        self._test = test_rows and Runner(test_step(network, recipe, test_rows, _TEST_BATCH), test_rows)
        self._test_order = test_rows and np.arange(len(test_rows.rows))
        self._checkpoints, self._log = {}, []

    def run(self, before):
        """Run from the beginning, or go on from a state."""
        done, values = 0, {}
        if before is not None:
            done, values, self._log = before.epoch, before.values, list(before.log)
            if _kinds(values) != _kinds(self._runner.state()):
                raise InputError(f"the state in {self._folder.path} is not whole; start again with --force")
        order = np.arange(len(self._rows.rows))
        self._runner.begin(order, values)
        state = self._runner.state()
        count = sum(state[name].size for name in self._network.parameters)
        self._tell(TrainingStarted(self._recipe["name"] or "network", done, self._epochs, len(order), count))
        if before is None:
            self._finish(0, math.nan, time.perf_counter())
        elif done >= self._epochs:
            self._checkpoint(done)
        saved = time.monotonic()
        for epoch in range(done + 1, self._epochs + 1):
            began = time.perf_counter()
            rng = np.random.Generator(np.random.PCG64([self._seed, epoch, 1]))
            loss = self._epoch(epoch, rng.permutation(len(order)))
            self._finish(epoch, loss, began)
            if epoch in self._wanted or time.monotonic() - saved > _EVERY:
                self._save(epoch)
                saved = time.monotonic()
        basis = self._network.basis
        return Trained(
            self._recipe,
            None if basis is None else basis.vectors,
            self._checkpoints,
            tuple(self._log),
            self._folder and self._folder.path,
        )

    def _epoch(self, epoch, order):
        runner, batch = self._runner, self._recipe["training.batch"]
        runner.begin(order)
        steps, size = math.ceil(len(order) / batch), self._values_a_row()
        for done in range(0, steps, _STEPS):
            some = min(_STEPS, steps - done)
            runner.run(some)
            rows = min((done + some) * batch, len(order))
            loss = runner.loss / (rows * size)
            if not math.isfinite(loss):
                raise InputError(
                    f"the loss must be a number, it is {loss} in epoch {epoch}; lower optimiser.learning_rate "
                    f"({self._recipe['optimiser.learning_rate']}) or check data.range and data.scale"
                )
            self._tell(StepsDone(epoch, rows, loss))
        return loss

    def _values_a_row(self):
        return self._rows.width if self._recipe["training.loss"] == "mse" else 1

    def _finish(self, epoch, loss, began):
        test = math.nan
        if self._test is not None:
            state = self._runner.state()
            self._test.begin(self._test_order, {name: state[name] for name in self._network.parameters})
            self._test.run(math.ceil(len(self._test_order) / _TEST_BATCH))
            test = self._test.loss / (len(self._test_order) * self._values_a_row())
        self._log.append((epoch, loss, test))
        if epoch in self._wanted:
            self._checkpoint(epoch)
            if epoch == 0:
                self._save(0)
        self._tell(EpochDone(epoch, loss, test, time.perf_counter() - began))

    def _checkpoint(self, epoch):
        import onnx

        state, model = self._runner.state(), onnx.ModelProto()
        model.CopyFrom(self._network.model)
        for tensor in model.graph.initializer:
            if tensor.name in self._network.parameters:
                tensor.CopyFrom(onnx.numpy_helper.from_array(state[tensor.name], tensor.name))
        _, loss, test = self._log[epoch]
        basis = self._network.basis
        known = {
            "recipe": self._recipe.json(),
            "seed": self._seed,
            "epoch": epoch,
            "loss": loss,
            "test_loss": test,
            "data": self._identity["data"],
            "basis": "" if basis is None else json.dumps(basis.vectors.tolist()),
            "versions": json.dumps(versions()),
        }
        onnx.helper.set_model_props(model, {f"srmfast.{name}": str(value) for name, value in known.items()})
        self._checkpoints[epoch] = model
        if self._folder is not None:
            self._folder.write_model(epoch, model)

    def _save(self, epoch):
        if self._folder is not None:
            bases = _vectors(self._network)
            self._folder.save(State(epoch, self._runner.state(), self._log, self._identity, bases, versions()))
