"""demo, inspect and basis: what a newcomer meets first."""

import json
import re
from importlib.resources import files

import numpy as np
import pytest

import srmfast
from srmfast.analyses.basis_file import write_basis
from srmfast.analyses.demo import demo
from srmfast.analyses.inspection import inspect
from srmfast.engine import Request, compiling
from srmfast.engine.events import KernelsMissing, KernelsReady

DATA = files("srmfast") / "data"


def test_the_demo_makes_what_it_says_and_says_what_it_saw(tmp_path):
    text = demo(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "untrained.onnx", "trained.onnx", "basis.npy", "digits.npz",
        "untrained.zarr", "trained.zarr", "digits.zarr", "untrained.png", "trained.png", "digits.png",
    }  # fmt: skip
    assert "|mean|/rms = 0.95" in text and "vector 21 lie 96% of all digits" in text
    trained = srmfast.load(tmp_path / "out" / "trained.zarr")
    raw, centred = trained["as it is", "own basis"], trained["mean subtracted", "own basis"]
    # The same from the package's files, without a store, an engine or a kernel.
    rows = latents("trained.onnx")
    basis = srmfast.load_basis(raw.basis, 16).vectors
    for result, x in (
        (raw, rows),
        (centred, rows - raw.centre if raw.centre is not None else rows - rows.mean(axis=0)),
    ):
        inside = (x @ basis.T >= 0.75 * np.linalg.norm(x, axis=1, keepdims=True)).sum(axis=0)
        assert np.abs(result.counts[0, 0, :, 0] - inside[result.plane_i]).max() <= 2  # another summation
    assert raw.mean()[0, 0, 0] > 10 * centred.mean()[0, 0, 0]
    with pytest.raises(srmfast.InputError, match="--force"):
        demo(tmp_path / "out")
    (tmp_path / "precious").mkdir()
    with pytest.raises(srmfast.InputError, match="earlier demo only"):
        demo(tmp_path / "precious", force=True)


def test_the_demo_tells_once_that_it_compiles_and_how_long_that_took(tmp_path, monkeypatch):
    """With a cache that knows no kernels: what is compiled is in memory all the same."""
    monkeypatch.setattr(compiling, "_loaded", set())
    monkeypatch.setattr(compiling.FOLDERS, "read", lambda name: None)
    monkeypatch.setattr(compiling, "warm", lambda *_, **__: None)
    monkeypatch.setattr(compiling.FOLDERS, "write", lambda *_: True)
    told = []
    text = demo(tmp_path / "out", on_event=told.append)
    assert [event.seconds for event in told if isinstance(event, KernelsMissing)] == [42.0]
    assert sum(isinstance(event, KernelsReady) and event.compiled for event in told) >= 3
    assert re.search(r"^\d+ s, 0 of them to compile, which the next run needs not; everything", text, re.M)


def latents(name):
    """Return what a model of the package makes of its digits, computed by NumPy from the weights alone."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(DATA / name)
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    with np.load(DATA / "digits.npz") as digits:
        x = digits["images"].reshape(-1, 784) / 127.5 - 1.0
    matrix = next(value for value in weights.values() if value.shape == (784, 16))
    bias = next(value for value in weights.values() if value.shape == (16,))
    return x @ matrix.astype(float) + bias


def test_the_embedded_data_are_small_and_plain():
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 2 << 20
    with np.load(DATA / "digits.npz", allow_pickle=False) as archive:
        assert {name: archive[name].shape for name in archive} == {"images": (3000, 28, 28), "digits": (3000,)}
    trained = np.load(DATA / "basis.npy")
    for name in ("untrained.onnx", "trained.onnx"):
        known = {entry.key: entry.value for entry in srmfast.graph.load_model(DATA / name).metadata_props}
        assert np.array_equal(json.loads(known["srmfast.basis"]), trained)


def test_inspect_finds_what_was_planted(rng):
    x = rng.normal(size=(1000, 32)).astype(np.float32)
    x[:100] = 0
    x[100:150, 3] = np.nan
    x[200:400] = x[600:800]
    found = inspect(srmfast.open_store(x))
    assert found.sampled == 1000
    assert (found.zero, found.nonfinite) == (0.1, 0.05)
    assert found.duplicate == pytest.approx((99 + 200) / 1000, abs=0.06)  # NaN rows equal each other or not
    assert found.mean_over_rms < 0.2 and 0 < found.epsilon < 0.9
    text = str(found)
    assert "10.00% of zero norm" in text and "992 planes of standard" in text


def test_inspect_proposes_an_epsilon_at_which_something_is_seen(rng):
    x = rng.normal(size=(3000, 128))
    found = inspect(srmfast.open_store(x))
    result = srmfast.run(x, "standard", epsilon=found.epsilon, planes="random:200", angles=24)
    assert result.total.sum() > 0
    wide = inspect(srmfast.open_store(x + 5))
    assert wide.mean_over_rms > 0.9 and "--centre" in str(wide)


def test_inspect_proposes_an_epsilon_for_ordinary_rows_and_without_the_mean(rng):
    x = rng.normal(size=(1000, 32))
    x[: 1000 // 2 + 50] = 0
    x[: 1000 // 2 + 50, 3] = 1.0  # most rows lie on one axis
    x[: 1000 // 2 + 50] *= rng.choice([1.0, 1e4], size=(550, 1), p=[0.2, 0.8])
    found = inspect(srmfast.open_store(x))
    assert found.norms["over_10"] > 0.3 and [words for words, _ in found.proposals] == [
        "--max-norm 10",
        "--centre",
        "both",
    ]
    asked = inspect(srmfast.open_store(x), request=Request(max_norm=10))
    assert dict(found.proposals)["--max-norm 10"] == asked.epsilon < found.epsilon - 0.2
    assert "with --max-norm 10: begin with" in str(found) and "--max-norm" not in [
        words for words, _ in asked.proposals
    ]
    away = srmfast.open_store(x[550:] + 3)
    centred = inspect(away, request=Request(centre=True))
    assert inspect(away).proposals == (("--centre", centred.epsilon),) and not centred.proposals
    assert centred.epsilon == inspect(srmfast.open_store(x[550:] - x[550:].mean(axis=0))).epsilon


def test_inspect_looks_at_the_rows_asked_for(rng):
    x, mask = rng.normal(size=(1000, 32)), np.arange(1000) % 2 == 0
    x[~mask] = np.eye(32)[0]
    assert inspect(srmfast.open_store(x)).duplicate > 0.4
    found = inspect(srmfast.open_store(x), request=Request(mask=mask))
    assert found.sampled == 500 and found.duplicate == 0
    with pytest.raises(srmfast.InputError, match="must be among those asked for"):
        inspect(srmfast.open_store(x), request=Request(mask=np.zeros(1000, bool)))


def test_inspect_lists_what_may_be_labels_groups_masks_and_tokens(tmp_path, rng):
    np.savez(
        tmp_path / "a.npz", acts=rng.normal(size=(20, 5, 6)), label=np.arange(20), keep=np.ones((20, 5), bool), lengths=np.ones(20, int),
        token_ids=np.zeros((20, 5), int), scores=np.zeros(20), other=np.arange(7),
    )  # fmt: skip
    found = inspect(srmfast.open_store(tmp_path / "a.npz::acts"))
    assert dict(found.columns) == {
        "label": "--labels label or --groups label", "keep": "--mask keep", "lengths": "--lengths lengths",
        "token_ids": "--exclude-tokens ID --tokens token_ids",
    }  # fmt: skip
    assert "column   keep (20, 5) bool: --mask keep" in str(found)
    assert "beside   scores (20,) float64; other (7,) int64" in str(found)


def test_inspect_notices_a_transposed_array(rng):
    text = str(inspect(srmfast.open_store(rng.normal(size=(10, 2000)))))
    assert "10 rows of width 2,000 look transposed: if they are 2,000 rows of width 10, use --feature-axis 0" in text
    assert "transposed" not in str(inspect(srmfast.open_store(rng.normal(size=(10, 2000)), feature_axis=0)))
    for shape in ((100, 200), (77, 4096), (1, 2000)):  # not so wide, as wide as layers are, one row
        assert "transposed" not in str(inspect(srmfast.open_store(rng.normal(size=shape))))
    assert "transposed" in " ".join(srmfast.run(rng.normal(size=(10, 200)), epsilon=0.9, angles=8).attrs["notes"])


def test_inspect_says_why_a_run_is_not_possible(rng):
    found = inspect(srmfast.open_store(rng.normal(size=(10, 4))), basis="random:1")
    assert "not as it is" in found.plan and found.epsilon is None
    assert inspect(srmfast.open_store(np.zeros((10, 4)))).epsilon is None


@pytest.mark.parametrize(
    "kind, d, energy",
    [
        ("thompson:4", 3, -2.449490),
        ("thompson:12", 3, 3.747591),
    ],
)
def test_a_written_basis_has_the_published_energy_and_loads_as_it_was(kind, d, energy, tmp_path):
    written = write_basis(kind, d, tmp_path / "b.npy")
    assert written.energy == pytest.approx(energy, abs=2e-6)
    basis = srmfast.load_basis(str(tmp_path / "b.npy"), d)
    assert basis.sha256 == srmfast.load_basis(kind, d).sha256 and not basis.normalised
    assert f"energy                     {energy:.4f}"[:-2] in str(written)
    with pytest.raises(srmfast.InputError, match="--force"):
        write_basis(kind, d, tmp_path / "b.npy")
