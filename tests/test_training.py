"""Training through ONNX graphs: the arithmetic, the seed, going on after being killed, and what a user gets wrong."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import onnx
import onnxruntime
import pytest

import srmfast
from srmfast import load_basis
from srmfast.errors import InputError
from srmfast.progress import TrainingProgress
from srmfast.training import choices, load_recipe, train
from srmfast.training.activations import isotropic_tanh
from srmfast.training.data import load_data
from srmfast.training.events import VersionsDiffer
from srmfast.training.network import build, draw, layer_basis
from srmfast.training.recipe import shipped
from srmfast.training.runner import Runner
from srmfast.training.step import training_step

SMALL = {
    "n": 4,
    "layers": ["linear n", "latent", "activation", "linear d"],
    "activation": {"kind": "generalised-tanh"},
    "basis": {"kind": "rotated-plusminus"},
    "optimiser": {"learning_rate": 0.5},
    "training": {"batch": 24, "epochs": 3},
}


@pytest.fixture
def rows(rng):
    """250 rows on a bent surface of four dimensions."""
    return np.tanh(rng.normal(size=(250, 4)) @ rng.normal(size=(4, 12))).astype(np.float32)


def recipe_of(*changes):
    return load_recipe(SMALL, changes)


def steps(recipe, data, network=None, state=None):
    network = network or build(recipe, data)
    return Runner(training_step(network, recipe, data), data, state), network


# ---- the arithmetic ----------------------------------------------------------------------------------------


class ByHand:
    """The same network and optimisers in float64 NumPy, for ±axes: σ is the elementwise tanh."""

    def __init__(self, state, recipe, labels=None):
        self.p = [state[f"layer{layer}/{kind}"].astype(float) for layer in (0, 3) for kind in ("weight", "bias")]
        self.recipe, self.labels, self.t = recipe, labels, 0
        self.m, self.v = [0.0] * 4, [0.0] * 4

    def step(self, x, index):
        w0, b0, w1, b1 = self.p
        s = np.tanh(x @ w0 + b0)
        y = s @ w1 + b1
        if self.labels is None:
            loss, dy = ((y - x) ** 2).mean(), 2 * (y - x) / x.size
        else:
            p = np.exp(y) / np.exp(y).sum(axis=1, keepdims=True)
            wanted = np.eye(y.shape[1])[self.labels[index]]
            loss, dy = -(wanted * np.log(p)).sum(axis=1).mean(), (p - wanted) / len(x)
        dz = dy @ w1.T * (1 - s**2)
        slopes = [x.T @ dz, dz.sum(axis=0), s.T @ dy, dy.sum(axis=0)]
        self.t += 1
        for at, slope in enumerate(slopes):
            if at % 2 == 0:
                slope = slope + self.recipe["regularisation.l2"] * self.p[at]
                slope = slope + self.recipe["regularisation.l1"] * np.sign(self.p[at])
            if self.recipe["optimiser.kind"] == "adam":
                self.m[at] = 0.9 * self.m[at] + 0.1 * slope
                self.v[at] = 0.999 * self.v[at] + 0.001 * slope**2
                slope = self.m[at] / (1 - 0.9**self.t) / (np.sqrt(self.v[at] / (1 - 0.999**self.t)) + 1e-8)
            else:
                slope = self.m[at] = self.recipe["optimiser.momentum"] * self.m[at] + slope
            self.p[at] = self.p[at] - self.recipe["optimiser.learning_rate"] * slope
        return loss


@pytest.mark.parametrize(
    "changes",
    [
        ["optimiser.momentum=0.9"],
        ["optimiser.momentum=0"],
        ["optimiser.kind=adam", "optimiser.learning_rate=0.01"],
        ["regularisation.l1=0.003", "regularisation.l2=0.1"],
        ["training.loss=cross-entropy", 'layers=["linear n","latent","activation","linear classes"]', "data.labels=x"],
    ],
    ids=["momentum", "plain", "adam", "regularised", "classes"],
)
def test_steps_are_those_of_the_formulas(changes, rows):
    recipe = recipe_of("basis.kind=plusminus", "training.batch=60", *changes)
    given = {"train": rows}
    labels = None
    if recipe["training.loss"] == "cross-entropy":
        labels = (rows[:, 0] > 0).astype(np.int64) + (rows[:, 1] > 0)
        given["labels"] = labels
    data, _ = load_data(recipe, given)
    runner, _ = steps(recipe, data)
    hand, order = ByHand(runner.state(), recipe, labels), np.random.default_rng(1).permutation(250)
    for _ in range(2):
        runner.begin(order)
        runner.run(5)
        losses = []
        for start in range(0, 250, 60):  # four of 60 and one of 10
            index = order[start : start + 60]
            losses += [hand.step(rows[index].astype(float), index)] * len(index)
    per_row = 12 if labels is None else 1
    assert runner.loss / (250 * per_row) == pytest.approx(np.mean(losses), rel=1e-5)
    state = runner.state()
    for name, wanted in zip(("layer0/weight", "layer0/bias", "layer3/weight", "layer3/bias"), hand.p, strict=True):
        assert np.abs(state[name] - wanted).max() < 2e-5


def rotated(network, state, R):
    """Return the state of the network whose latent layer is turned by R."""
    turned = dict(state)
    turned["layer0/weight"], turned["layer0/bias"] = state["layer0/weight"] @ R, state["layer0/bias"] @ R
    turned["layer3/weight"] = R.T @ state["layer3/weight"]
    return {name: np.asarray(value, np.float32) for name, value in turned.items()}


@pytest.mark.parametrize(
    ("changes", "privileged"),
    [
        (["optimiser.kind=sgd"], False),
        (["optimiser.kind=sgd", "regularisation.l2=0.01"], False),
        (["optimiser.kind=adam", "optimiser.learning_rate=0.01"], True),
        (["optimiser.kind=sgd", "regularisation.l1=0.002"], True),
        (["layers=['linear n', 'latent', 'isotropic-tanh', 'linear d']"], False),
        (["layers=['linear n', 'latent', 'tanh', 'linear d']"], True),
    ],
    ids=["sgd", "l2", "adam", "l1", "isotropic", "elementwise"],
)
def test_the_check_is_right_about_what_turns_with_the_basis(changes, privileged, rows, tmp_path):
    """Turn the latent layer and the basis, and train on the same batches: the same trajectory, turned, or not."""
    R = load_basis("random:4", 4, seed=9).vectors
    frame = load_basis("random:4", 4, seed=2).vectors
    for name, vectors in (("b", np.concatenate([frame, -frame])), ("turned", np.concatenate([frame, -frame]) @ R)):
        np.save(tmp_path / f"{name}.npy", vectors)
    ends = []
    for name in ("b", "turned"):
        recipe = recipe_of(f"basis.kind={tmp_path}/{name}.npy", *changes)
        data, _ = load_data(recipe, rows)
        network = build(recipe, data)
        first = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in network.model.graph.initializer}
        first = {key: first[key] for key in network.parameters}
        runner, _ = steps(recipe, data, network, None if name == "b" else rotated(network, first, R))
        for epoch in range(4):
            runner.begin(np.random.default_rng(epoch).permutation(250))
            runner.run(11)
        ends.append({key: runner.state()[key] for key in network.parameters})
    wanted = rotated(None, ends[0], R)
    apart = max(np.linalg.norm(ends[1][key] - wanted[key]) / np.linalg.norm(wanted[key]) for key in wanted)
    assert (apart > 0.02) if privileged else (apart < 1e-4)
    standard = [one for one in choices(recipe) if one.privileges == "the standard basis"]
    assert bool(standard) == privileged


def test_what_has_become_zero_stays_a_normal_number(rows):
    recipe = recipe_of()
    flat = np.zeros_like(rows)
    data, _ = load_data(recipe, flat)
    runner, _ = steps(recipe, data)
    for _ in range(400):
        runner.begin(np.arange(250))
        runner.run(11)
    kept = np.concatenate([value.ravel() for name, value in runner.state().items() if name.endswith("momentum")])
    assert (np.abs(kept) >= np.finfo(np.float32).tiny).all() and np.abs(kept).max() < 1e-20


@pytest.mark.parametrize("kind", ["xavier-normal", "xavier-uniform", "kaiming-normal", "kaiming-uniform"])
def test_weights_are_drawn_with_the_variance_of_their_kind(kind):
    weights = draw(kind, 300, 100, 0, 1)
    assert weights.dtype == np.float32 and weights.shape == (300, 100)
    assert weights.var() == pytest.approx(2 / (400 if kind.startswith("xavier") else 300), rel=0.03)
    fourth = (weights.astype(float) ** 4).mean() / weights.astype(float).var() ** 2
    assert fourth == pytest.approx(1.8 if kind.endswith("uniform") else 3.0, rel=0.05)
    assert (draw(kind, 300, 100, 0, 2) != weights).any() and (draw(kind, 300, 100, 1, 1) != weights).any()


def test_orthogonal_weights_are_orthogonal():
    for inputs, outputs in ((7, 4), (4, 7)):
        weights = draw("orthogonal", inputs, outputs, 0, 0).astype(float)
        small = weights.T @ weights if inputs > outputs else weights @ weights.T
        assert np.abs(small - np.eye(4)).max() < 1e-6


# ---- checkpoints and going on ------------------------------------------------------------------------------


def contents(folder):
    """Return what a training has left, without the order in which a zip file holds it."""
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "state.npz"}
    with np.load(folder / "state.npz") as state:
        return files | {name: state[name].tobytes() for name in state.files}


def test_a_checkpoint_is_an_onnx_model_that_tells_what_it_is(rows, tmp_path):
    images = np.round((rows + 1) * 127.5).astype(np.uint8).reshape(250, 3, 4)
    changes = ["data.range=[0, 255]", "training.checkpoints=[0, 2]"]
    trained = train(SMALL, tmp_path / "t", changes=changes, data={"train": images, "test": images[:50]}, seed=3)
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == [
        "basis.npy", "epoch-0000.onnx", "epoch-0002.onnx", "epoch-0003.onnx", "log.csv", "recipe.json", "state.npz"
    ]  # fmt: skip
    model = onnx.load(tmp_path / "t" / "epoch-0003.onnx")
    known = {entry.key.removeprefix("srmfast."): entry.value for entry in model.metadata_props}
    assert json.loads(known["recipe"])["training"]["seed"] == 3 and known["epoch"] == "3" and known["seed"] == "3"
    assert float(known["loss"]) == trained.log[3][1] and "onnxruntime" in json.loads(known["versions"])
    basis = np.load(tmp_path / "t" / "basis.npy")
    assert (np.array(json.loads(known["basis"])) == basis).all() and (trained.basis == basis).all()
    session = onnxruntime.InferenceSession(tmp_path / "t" / "epoch-0003.onnx", providers=["CPUExecutionProvider"])
    prediction, latent = session.run(["prediction", "latent"], {"input": images[:50]})
    scaled = images[:50].reshape(50, 12) / 127.5 - 1
    assert latent.shape == (50, 4)
    assert ((prediction - scaled) ** 2).mean() == pytest.approx(trained.log[3][2], rel=1e-5)
    log = (tmp_path / "t" / "log.csv").read_text().splitlines()
    assert log[0] == "epoch,loss,test_loss" and len(log) == 5 and log[1].startswith("0,nan,")
    assert trained.log[3][2] < trained.log[1][2] < trained.log[0][2]


def test_the_seed_decides_every_bit(rows, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(SMALL, tmp_path / name, data=rows, seed=seed)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a")["epoch-0003.onnx"] != contents(tmp_path / "c")["epoch-0003.onnx"]


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_going_on_gives_the_bits_of_never_stopping(kind, rows, tmp_path):
    changes = {"optimiser.kind": kind, "training.checkpoints": [0, 2, 4]}
    train(SMALL, tmp_path / "whole", changes=changes, data=rows, epochs=6)
    train(SMALL, tmp_path / "parts", changes=changes, data=rows, epochs=2)
    trained = train(SMALL, tmp_path / "parts", changes=changes, data=rows, epochs=6, resume=True)
    (tmp_path / "parts" / "epoch-0002.onnx").unlink()
    (tmp_path / "whole" / "epoch-0002.onnx").unlink()  # its recipe says that there were two epochs
    whole, parts = contents(tmp_path / "whole"), contents(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    for name in whole.keys() - {"epoch-0000.onnx"}:
        assert whole[name] == parts[name], name
    assert len(trained.log) == 7 and set(trained.checkpoints) == {4, 6}


def test_going_on_keeps_the_basis_that_was_found(rows, tmp_path, monkeypatch):
    layers = '["linear 6", "activation", "linear n", "latent", "activation", "linear n", "activation", "linear d"]'
    changes = [f"layers={layers}", "basis.kind=thompson", "basis.count=9"]
    train(SMALL, tmp_path / "t", changes=changes, data=rows, epochs=1)
    kept = contents(tmp_path / "t")
    assert kept["basis/layer4"] == kept["basis/layer6"] != kept["basis/layer1"]
    monkeypatch.setattr("srmfast.training.network.layer_basis", None)  # as on a CPU that would find other bits
    train(SMALL, tmp_path / "t", changes=changes, data=rows, epochs=2, resume=True)
    assert {name: data for name, data in contents(tmp_path / "t").items() if "basis" in name} == {
        name: data for name, data in kept.items() if "basis" in name
    }


def test_a_training_survives_being_killed(rows, tmp_path, srmfast_env):
    np.save(tmp_path / "rows.npy", rows)
    (tmp_path / "r.toml").write_text(
        'layers = ["linear 4", "latent", "isotropic-tanh", "linear d"]\n'
        f"[training]\nepochs = 40\ncheckpoints = {list(range(0, 40, 2))}\n[optimiser]\nlearning_rate = 0.5\n"
    )
    words = [sys.executable, "-W", "error", "-m", "srmfast", "train", str(tmp_path / "r.toml")]
    words += ["--data", str(tmp_path / "rows.npy"), "--progress", "none", "--resume", "-o"]
    kills = 0
    for wait in (0.0, 0.02):
        process = subprocess.Popen([*words, str(tmp_path / "killed")], env=srmfast_env, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        known = len(list((tmp_path / "killed").glob("epoch-*.onnx"))) if kills else 0
        while len(list((tmp_path / "killed").glob("epoch-*.onnx"))) <= known and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills >= 1
    ended = subprocess.run([*words, str(tmp_path / "killed")], env=srmfast_env, capture_output=True, text=True)
    assert ended.returncode == 0 and ended.stderr == ""
    train(tmp_path / "r.toml", tmp_path / "whole", data=tmp_path / "rows.npy")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    for path in (tmp_path / "killed").glob("*.onnx"):
        onnx.checker.check_model(onnx.load(path))


def test_going_on_under_another_version_is_told(rows, tmp_path, monkeypatch, capsys):
    train(SMALL, tmp_path / "t", data=rows, epochs=1)
    told = []
    train(SMALL, tmp_path / "t", data=rows, epochs=2, resume=True, on_event=told.append)
    assert not any(isinstance(event, VersionsDiffer) for event in told)
    monkeypatch.setattr("onnxruntime.__version__", "9.9")
    train(SMALL, tmp_path / "t", data=rows, epochs=3, resume=True, on_event=TrainingProgress("none"))
    assert re.search(r"other versions.*: onnxruntime is [\d.]+ there and 9\.9 here", capsys.readouterr().err)


def test_another_training_is_not_gone_on_with(rows, tmp_path):
    train(SMALL, tmp_path / "t", data=rows, epochs=1)
    with pytest.raises(InputError, match="holds a training; go on with it by --resume, or replace it by --force"):
        train(SMALL, tmp_path / "t", data=rows)
    with pytest.raises(InputError, match="training.seed is 0 there and 7 here"):
        train(SMALL, tmp_path / "t", data=rows, seed=7, resume=True)
    with pytest.raises(InputError, match="of another training: data is"):
        train(SMALL, tmp_path / "t", data=rows * 2, resume=True)
    (tmp_path / "t" / "mine.txt").write_text("kept")
    assert len(train(SMALL, tmp_path / "t", data=rows, seed=7, force=True, epochs=1).log) == 2
    assert (tmp_path / "t" / "mine.txt").read_text() == "kept"
    (tmp_path / "t" / "state.npz").write_bytes(b"PK\x03\x04 half")
    with pytest.raises(InputError, match="cannot be gone on with .* --force"):
        train(SMALL, tmp_path / "t", data=rows, seed=7, resume=True)


def test_two_processes_do_not_train_in_one_folder(rows, tmp_path):
    import fcntl

    (tmp_path / "t").mkdir()
    with open(tmp_path / "t" / ".lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another process is training"):
            train(SMALL, tmp_path / "t", data=rows)


def test_a_loss_that_is_no_number_is_one_line(rows, tmp_path, srmfast_main):
    np.save(tmp_path / "rows.npy", rows)
    (tmp_path / "r.toml").write_text(
        'layers = ["linear 4", "latent", "relu", "linear d"]\n[optimiser]\nlearning_rate = 1e9\n'
    )
    ended = srmfast_main(f"train {tmp_path}/r.toml --data {tmp_path}/rows.npy -o {tmp_path}/t --progress none")
    assert ended.rc == 1 and ended.stderr.count("\n") == 1
    assert "the loss must be a number, it is " in ended.stderr and "lower optimiser.learning_rate" in ended.stderr


# ---- recipes and data --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped())
def test_shipped_recipes_privilege_nothing_but_the_basis_of_their_activation(name):
    recipe = load_recipe(name, ["basis.kind=rotated-plusminus"])
    privileging = [one for one in choices(recipe) if one.privileges]
    assert [one.part.split()[0] for one in privileging] == ["data"] + ["activation"] * (3 if "large" in name else 1)
    assert all(one.privileges.startswith("its own") for one in privileging[1:])
    assert load_recipe(recipe) == recipe


def test_widths_come_from_the_recipe_and_the_data(rows):
    layers = '["linear wide", "activation", "linear n", "latent", "tanh", "linear 3", "linear d"]'
    recipe = recipe_of(f"layers={layers}", "wide=6", "basis.kind=thompson", "basis.count=9")
    network = build(recipe, load_data(recipe, rows)[0])
    shapes = [tuple(tensor.dims) for tensor in network.model.graph.initializer if tensor.name in network.parameters]
    assert shapes == [(12, 6), (6,), (6, 4), (4,), (4, 3), (3,), (3, 12), (12,)]
    assert network.latent_width == 4 and network.basis is None  # the elementwise tanh follows the latent layer
    assert {name: basis.vectors.shape for name, basis in network.bases.items()} == {"layer1": (12, 6)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["basis.cuont=3"], "[basis] of a recipe has kind, count, seed, got 'cuont'"),
        (["optimiser.kind=sdg"], "optimiser.kind must be one of sgd, adam, got 'sdg'"),
        (["optimiser.learning_rate=fast"], "optimiser.learning_rate must be a number, got 'fast'"),
        (["optimiser.learning_rate=-1"], "optimiser.learning_rate must be greater than 0, got -1.0"),
        (["optimiser.momentum=1"], "optimiser.momentum must be from 0 to below 1"),
        (["training.batch=0"], "training.batch must be greater than 0"),
        (["training.epochs=2.5"], "training.epochs must be a whole number, got 2.5"),
        (["training.checkpoints=[-1]"], "training.checkpoints must be epochs"),
        (["basis.kind=thompson"], "needs basis.count"),
        (["n=0"], "a width must be at least 1, got n = 0"),
        (["m=x"], "whole numbers that layers use as widths, got 'm' = 'x'"),
        (["n.x=3"], "'n' is a value"),
        (["nonsense"], "a change must be KEY=VALUE"),
        (["layers=['linear n', 'activation', 'linear d']"], "layers must hold 'latent' once"),
        (["layers=['linear n', 'latent', 'sigmoid', 'linear d']"], "a layer must be one of linear WIDTH"),
        (["layers=['linear', 'latent', 'linear d']"], "a layer must be one of linear WIDTH"),
        (["layers=['linear n', 'latent', 'tanh']"], "the last layer must be linear"),
        (["training.loss=cross-entropy"], "needs data.labels"),
        (["data.scale=[1, -1]"], "data.scale must be two numbers, the smaller first"),
        (["data.scale=[0, inf]"], "data.scale must be two numbers, the smaller first"),
    ],
)
def test_a_recipe_that_is_none_is_refused(changes, words):
    with pytest.raises(InputError) as refused:
        recipe_of(*changes)
    assert words in str(refused.value)


def test_what_needs_the_data_is_refused_with_them(rows, tmp_path):
    with pytest.raises(InputError, match=r"one of d, n, got 'linear w'"):
        train(recipe_of("layers=['linear w', 'latent', 'linear d']"), data=rows)
    with pytest.raises(InputError, match="the last layer must be 12 wide, got 'linear 5'"):
        train(recipe_of("layers=['linear n', 'latent', 'linear 5']"), data=rows)
    with pytest.raises(InputError, match="rotated-tanh needs orthonormal vectors, got 8 of width 4"):
        train(recipe_of("activation.kind=rotated-tanh"), data=rows)
    with pytest.raises(InputError, match="a recipe needs data.train"):
        train(SMALL)
    with pytest.raises(InputError, match="does not exist"):
        train(SMALL, data="nowhere.npy")
    with pytest.raises(InputError, match="NaN or infinity"):
        train(SMALL, data=np.where(rows > 0.5, np.nan, rows))
    with pytest.raises(InputError, match="must be like those to train on"):
        train(SMALL, data={"train": rows, "test": rows[:, :5]})
    with pytest.raises(InputError, match="labels must be one a row"):
        train(SMALL, data={"train": rows, "labels": np.arange(3)})
    with pytest.raises(InputError, match="is a file; choose another name"):
        (tmp_path / "f").write_text("")
        train(SMALL, tmp_path / "f", data=rows)
    with pytest.raises(InputError, match="a recipe must be a TOML file or one of large-cifar"):
        train("tiny", data=rows)
    with pytest.raises(InputError, match="resume needs the folder"):
        train(SMALL, data=rows, resume=True)


def test_data_are_found_where_they_are_said_to_be(rows, tmp_path, monkeypatch):
    monkeypatch.delenv("SRMFAST_DATA", raising=False)
    (tmp_path / "d").mkdir()
    np.savez(tmp_path / "d" / "a.npz", x=rows, y=rows[:40])
    np.savez(tmp_path / "d" / "b.npz", x=-rows, y=rows[:40])
    recipe = recipe_of("data.train=a.npz::x", "data.test=a.npz::y", "data.rows=:100")
    for given in (tmp_path / "d", tmp_path / "d" / "a.npz"):
        data, test = load_data(recipe, given)
        assert (data.rows == rows[:100]).all() and len(test.rows) == 40
    assert (load_data(recipe, tmp_path / "d" / "b.npz")[0].rows == -rows[:100]).all()
    alone, test = load_data(recipe, f"{tmp_path}/d/b.npz::x")
    assert (alone.rows == -rows[:100]).all() and test is None
    monkeypatch.setenv("SRMFAST_DATA", str(tmp_path / "d"))
    assert (load_data(recipe)[0].rows == rows[:100]).all()


def test_types_that_graphs_do_not_read_become_float32(rows):
    import ml_dtypes

    half = rows.astype(ml_dtypes.bfloat16)
    data, _ = load_data(recipe_of(), half)
    assert data.rows.dtype == np.float32 and (data.rows == half.astype(np.float32)).all()
    for dtype in (np.float16, np.float64, np.int16):
        data, _ = load_data(recipe_of(), (rows * 9).astype(dtype))
        assert data.rows.dtype == dtype
        runner, _ = steps(recipe_of(), data)
        runner.begin(np.arange(250))
        runner.run(3)
        assert np.isfinite(runner.loss)


# ---- the command, and real digits --------------------------------------------------------------------------


def test_the_command_trains_tells_and_goes_on(rows, tmp_path, srmfast_main):
    np.save(tmp_path / "rows.npy", rows)
    (tmp_path / "r.toml").write_text('name = "tiny"\nlayers = ["linear 3", "latent", "isotropic-tanh", "linear d"]\n')
    words = f"train {tmp_path}/r.toml --data {tmp_path}/rows.npy -o {tmp_path}/t --seed 4"
    ended = srmfast_main(f"{words} --epochs 2 --set optimiser.learning_rate=0.3")
    assert ended.rc == 0 and ended.stdout.startswith("tiny: 2 epochs, loss ")
    assert "epoch-0002.onnx" in ended.stdout
    told = ended.stderr.splitlines()
    assert told[0] == "training tiny: 87 parameters, 250 rows, 2 epochs" and told[-1].startswith("epoch 2 of 2: loss ")
    ended = srmfast_main(f"{words} --epochs 3 --set optimiser.learning_rate=0.3 --resume --progress bar")
    assert ended.rc == 0 and "going on after epoch 2" in ended.stderr and "tiny ████" in ended.stderr
    assert srmfast_main(f"train {tmp_path}/r.toml").rc == 2
    ended = srmfast_main(f"train {tmp_path}/t/epoch-0003.onnx --check")
    assert ended.rc == 0 and "isotropic-tanh" in ended.stdout


def test_an_interrupted_training_says_how_to_go_on(tmp_path, srmfast_main, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("srmfast.training.loop.train", interrupted)
    ended = srmfast_main(f"train small-mnist -o {tmp_path}/t")
    assert ended.rc == 130
    assert ended.stderr == (
        "srmfast: interrupted; epochs finished ten seconds ago are kept: the same line with --resume goes on\n"
    )


def test_the_latent_layer_of_a_checkpoint_is_measured_by_the_next_command(rows, tmp_path, srmfast_main):
    np.save(tmp_path / "rows.npy", rows)
    recipe = tmp_path / "r.toml"
    recipe.write_text('layers = ["linear 3", "latent", "activation", "linear d"]\n[basis]\nkind = "simplex"\n')
    ended = srmfast_main(f"train {recipe} --data {tmp_path}/rows.npy -o {tmp_path}/t --epochs 2 --progress none")
    following = ended.stdout.splitlines()[-1].removeprefix("      srmfast ")
    following = following.replace("ROWS", f"{tmp_path}/rows.npy").replace("latents.zarr", f"{tmp_path}/o.zarr")
    assert srmfast_main(f"{following} --progress none").rc == 0
    session = onnxruntime.InferenceSession(tmp_path / "t" / "epoch-0002.onnx", providers=["CPUExecutionProvider"])
    (latent,) = session.run(["latent"], {"input": rows})
    wanted = srmfast.run(latent, np.load(tmp_path / "t" / "basis.npy"), epsilon=0.7)
    assert (srmfast.load(tmp_path / "o.zarr").total == wanted.total).all()


def test_the_public_name_trains_in_memory(rows):
    trained = srmfast.train(SMALL, data=rows, changes={"layers": ["linear 3", "latent", "isotropic-tanh", "linear d"]})
    session = onnxruntime.InferenceSession(
        trained.checkpoints[3].SerializeToString(), providers=["CPUExecutionProvider"]
    )
    prediction, latent = session.run(["prediction", "latent"], {"input": rows})
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in trained.checkpoints[3].graph.initializer}
    wanted = isotropic_tanh(latent) @ weights["layer3/weight"] + weights["layer3/bias"]
    assert np.abs(prediction - wanted).max() < 1e-5 and trained.basis is None and trained.folder is None


@pytest.mark.skipif("SRMFAST_DATA" not in os.environ, reason="SRMFAST_DATA names no folder of data sets")
def test_digits_are_learnt():
    told = []
    changes = {"basis.kind": "rotated-plusminus", "training.checkpoints": [0]}
    trained = srmfast.train("small-mnist", changes=changes, epochs=1, on_event=told.append)
    assert trained.log[1][2] < 0.21 < 0.9 < trained.log[0][2]
    assert {type(event).__name__ for event in told} == {"TrainingStarted", "StepsDone", "EpochDone"}


def test_adam_begins_with_steps_of_the_learning_rate(rows):
    recipe = recipe_of("basis.kind=plusminus", "optimiser.kind=adam", "optimiser.learning_rate=1.0")
    data, _ = load_data(recipe, {"train": rows})
    runner, _ = steps(recipe, data)
    before = runner.state()
    runner.begin(np.arange(len(rows)))
    runner.run(1)
    after = runner.state()
    for name in ("layer0/weight", "layer3/weight"):
        off = np.abs(after[name].astype(np.float64) - before[name])
        assert np.median(np.abs(off - 1)) < 2e-6  # of a slope of 0.01, the 1e-8 beside its root is 1e-6


@pytest.mark.parametrize("kind", ["random", "rotated-plusminus", "thompson"])
def test_weights_do_not_point_along_the_basis_where_both_have_one_seed(kind):
    recipe = recipe_of(f"basis.kind={kind}", "basis.count=32", "basis.seed=3", "training.seed=3")
    vectors = layer_basis(recipe, 16, 16, 1).vectors
    for wanted in ("xavier-normal", "orthogonal"):
        weights = draw(wanted, 784, 16, 3, 0)[: len(vectors)].astype(np.float64)
        along = np.sum(weights * vectors, axis=1) / np.linalg.norm(weights, axis=1)
        assert abs(along[:16].mean()) < 0.25  # of independent directions: 0 ± 1/16


def test_files_of_somebody_else_are_not_replaced(rows, tmp_path):
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "log.csv").write_text("mine")
    (tmp_path / "t" / "recipe.json").write_text('["flour", "water"]')
    for how in ({"force": True}, {"resume": True}, {}):
        with pytest.raises(InputError, match=r"holds log.csv, which is of no training; choose another folder"):
            train(SMALL, tmp_path / "t", data=rows, epochs=1, **how)
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == ["log.csv", "recipe.json"]


def test_a_lock_that_was_taken_away_is_no_lock(tmp_path, monkeypatch):
    from srmfast.training import folder

    real, seen = folder.fcntl.flock, []

    def slow(file, how):
        if not seen:
            (tmp_path / "t" / ".lock").unlink()  # the process before this one ends
        seen.append(how)
        real(file, how)

    monkeypatch.setattr(folder.fcntl, "flock", slow)
    with (
        folder.Folder(tmp_path / "t"),
        pytest.raises(InputError, match="another process is training"),
        folder.Folder(tmp_path / "t"),
    ):
        raise AssertionError("two of them")
    assert len(seen) == 3


def test_a_batch_may_be_larger_than_there_are_rows(rows):
    one, other = (train(SMALL, data=rows, epochs=1, changes={"training.batch": size}) for size in (250, 10**30))
    assert one.log[-1] == other.log[-1]


@pytest.mark.parametrize("change", [{}, {"value/layer0/bias/momentum": np.zeros(3, np.float32)}], ids=["gone", "short"])
def test_a_state_that_is_not_whole_is_not_gone_on_with(change, rows, tmp_path):
    train(SMALL, tmp_path / "t", data=rows, epochs=1)
    with np.load(tmp_path / "t" / "state.npz") as held:
        kept = {name: held[name] for name in held.files if name != "value/layer0/bias/momentum"}
    np.savez(tmp_path / "t" / "state.npz", **kept | change)
    with pytest.raises(InputError, match="is not whole; start again with --force"):
        train(SMALL, tmp_path / "t", data=rows, epochs=2, resume=True)


def test_rows_outside_the_range_they_are_scaled_from_are_refused(tmp_path, rng):
    """Scaled as if they were pixels, they would all look like the darkest one."""
    rows = rng.normal(size=(40, 6)).astype(np.float32)
    with pytest.raises(srmfast.InputError, match=r"within data.range, 0 to 255, .* --set data.range=\[-"):
        srmfast.train("small-mnist", tmp_path / "out", data=rows, epochs=1, changes={"n": 3, "basis.count": 6})
    srmfast.train(
        "small-mnist", tmp_path / "out", data=rows, epochs=1, changes={"n": 3, "basis.count": 6, "data.range": []}
    )
