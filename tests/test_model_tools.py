"""The tools behind docs/language-models.md, on toy data: their numbers are those of plain NumPy."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import zarr
from conftest import ROOT

from tools.smollm2_activations import describe_layer
from tools.smollm2_model import build

WIDTH, MASSIVE = 16, 3


@pytest.fixture
def script(srmfast_env):
    """`script("tools/draw_models.py", …)` in a process of its own."""

    def call(name, *words):
        command = [sys.executable, str(ROOT / name), *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, env=srmfast_env, timeout=120)

    return call


@pytest.fixture
def acts(tmp_path, rng):
    """A folder as tools/smollm2_activations.py writes it, 70 sequences of 6 tokens; the first is an outlying row."""
    rows = rng.standard_normal((70, 6, WIDTH)) ** 3
    rows[:, 0, MASSIVE] = 500
    for name, columns in (("acts", range(WIDTH)), ("acts_ordinary", [c for c in range(WIDTH) if c != MASSIVE])):
        columns = list(columns)
        group = zarr.open_group(str(tmp_path / f"{name}.zarr"), mode="w", zarr_format=2)
        array = group.create_array("layer04", shape=(70, 6, len(columns)), chunks=(8, 6, len(columns)), dtype="float16")
        array[...] = rows[..., columns]
        if len(columns) < WIDTH:
            array.attrs["ordinary_columns"] = columns
    for name in ("not_first", "ordinary_rows"):
        np.save(tmp_path / f"{name}.npy", np.broadcast_to(np.arange(6) > 0, (70, 6)))
    about = {"model": "toy", "text": "none", "shape": [70, 6, WIDTH], "layers": {"layer04": {"massive": {"3": {}}}}}
    (tmp_path / "about.json").write_text(json.dumps(about))
    np.savez(tmp_path / "v.npz", vectors=rng.standard_normal((40, 20)).astype(np.float32))
    return tmp_path


def near(rows, epsilon):
    """Count the directions ±e_i within the cone of a row, on average."""
    cosines = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return (np.abs(cosines) >= epsilon).sum(axis=1).mean()


def test_models_are_measured_and_drawn(script, acts):
    numbers = acts / "n.json"
    words = ("--sample", 200, "--vectors", f"toy={acts / 'v.npz'}::vectors", "-o", numbers)
    ended = script("tools/measure_models.py", acts, *words)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(numbers.read_text())
    conditions = found["layers"]["layer04"]["conditions"]
    rows = zarr.open_group(str(acts / "acts.zarr"), mode="r")["layer04"][...].astype(np.float64)
    rest = rows[:, 1:].reshape(-1, WIDTH)
    for name, kept in {
        "all rows": rows.reshape(-1, WIDTH),
        "no first tokens": rest,
        "ordinary rows, centred": rest - rest.mean(axis=0),
        "ordinary rows and coordinates": np.delete(rest, MASSIVE, axis=1),
    }.items():
        told = conditions[name]["standard"]
        assert told["rows"] == len(kept)
        for epsilon, value in zip(told["epsilon"], told["near"], strict=True):
            assert value == pytest.approx(near(kept, epsilon), rel=1e-4), (name, epsilon)
    first = conditions["all rows"]["top_neurons"][0]
    assert first["neuron"] == MASSIVE and first["plus"] > 0.2 > first["minus"]
    assert all(one["neuron"] != MASSIVE for one in conditions["ordinary rows and coordinates"]["top_neurons"])
    twin, told = (conditions["ordinary rows, centred"][way] for way in ("surrogate", "standard"))
    assert twin["rows"] == 200 and twin["near"][0] < told["near"][0] / 2  # cubes have heavier tails than normals
    assert len(conditions["all rows"]["random"]) == 3
    assert set(found["vectors"]["toy"]) == {"all rows", "all rows, centred"}

    ended = script("tools/draw_models.py", numbers, "--figure", acts / "f.png")
    assert ended.returncode == 0, ended.stderr
    assert (acts / "f.png").stat().st_size > 20_000
    tables = [table.splitlines() for table in ended.stdout.split("\n\n") if table.startswith("|")]
    assert len(tables) == 3
    for table in tables:
        assert len(table) > 4 and len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1
    assert "**+3** " in ended.stdout


def test_a_folder_that_is_none_and_a_model_that_is_not_there_are_usage_errors(script, tmp_path):
    for words, message in (
        (("tools/measure_models.py", tmp_path, "-o", tmp_path / "n.json"), "must hold about.json"),
        (("tools/draw_models.py", tmp_path / "n.json"), "make them with tools/measure_models.py"),
        (("tools/smollm2_activations.py", tmp_path / "m.gguf", "-o", tmp_path / "acts"), "the file must exist"),
    ):
        ended = script(*words)
        assert ended.returncode == 2 and message in ended.stderr and "Traceback" not in ended.stderr


def test_massive_coordinates_and_rows_are_found(tmp_path, rng):
    rows = rng.standard_normal((4, 8, 576)).astype(np.float32)
    rows[..., 7] += 20  # by its median
    rows[2, 5, 9] = 5000  # by its peak, and the row by its norm
    group = zarr.open_group(str(tmp_path / "acts.zarr"), mode="w", zarr_format=2)
    group.create_array("layer04", shape=rows.shape, chunks=rows.shape, dtype="float32")[...] = rows
    found = describe_layer(tmp_path, "layer04")
    assert sorted(found["massive"]) == [7, 9]
    assert np.argwhere(~found["ordinary_rows"]).tolist() == [[2, 5]]
    stay = zarr.open_group(str(tmp_path / "acts_ordinary.zarr"), mode="r")["layer04"]
    assert stay.attrs["ordinary_columns"] == [c for c in range(576) if c not in (7, 9)]
    assert (stay[...] == np.delete(rows, [7, 9], axis=-1)).all()


def test_the_model_is_the_one_of_plain_numpy(rng):
    import onnxruntime

    heads, shared, head, d, hidden = 4, 2, 6, 24, 40
    fields = {
        "embedding_length": d, "attention.head_count": heads, "attention.head_count_kv": shared,
        "attention.layer_norm_rms_epsilon": 1e-5, "rope.freq_base": 1e4,
    }  # fmt: skip
    shapes = {
        "attn_norm": (d,), "attn_q": (d, d), "attn_k": (shared * head, d), "attn_v": (shared * head, d),
        "attn_output": (d, d), "ffn_norm": (d,), "ffn_gate": (hidden, d), "ffn_up": (hidden, d), "ffn_down": (d, hidden),
    }  # fmt: skip
    weights = {
        f"blk.{k}.{name}.weight": rng.standard_normal(shape).astype(np.float32)
        for k in range(3)
        for name, shape in shapes.items()
    }
    weights["token_embd.weight"] = rng.standard_normal((50, d)).astype(np.float32)
    ids = rng.integers(0, 50, (2, 7))
    session = onnxruntime.InferenceSession(build(weights, fields, (0, 2)), providers=["CPUExecutionProvider"])
    made = dict(zip(("hidden_0", "hidden_2"), session.run(["hidden_0", "hidden_2"], {"input_ids": ids}), strict=True))
    assert len(session.get_outputs()) == 2

    def rms(x, weight):
        return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-5) * weight

    def turned(x):  # (T, head): neighbours (2m, 2m + 1) as complex numbers
        pairs = x[:, 0::2] + 1j * x[:, 1::2]
        pairs = pairs * np.exp(1j * np.outer(np.arange(len(x)), 1e4 ** (-np.arange(0, head, 2) / head)))
        return np.stack([pairs.real, pairs.imag], axis=-1).reshape(x.shape)

    for b, sequence in enumerate(ids):
        x = weights["token_embd.weight"][sequence].astype(np.float64)
        for k in range(3):
            w = {name: weights[f"blk.{k}.{name}.weight"].astype(np.float64) for name in shapes}
            y = rms(x, w["attn_norm"])
            mixed = []
            for h in range(heads):
                own, lent = slice(h * head, (h + 1) * head), slice(h // 2 * head, (h // 2 + 1) * head)
                q, key = turned(y @ w["attn_q"].T[:, own]), turned(y @ w["attn_k"].T[:, lent])
                scores = np.exp(q @ key.T / np.sqrt(head)) * np.tri(len(x))
                mixed.append(scores / scores.sum(axis=1, keepdims=True) @ (y @ w["attn_v"].T[:, lent]))
            x = x + np.concatenate(mixed, axis=1) @ w["attn_output"].T
            y = rms(x, w["ffn_norm"])
            gate = y @ w["ffn_gate"].T
            x = x + (gate / (1 + np.exp(-gate)) * (y @ w["ffn_up"].T)) @ w["ffn_down"].T
            if k != 1:
                np.testing.assert_allclose(made[f"hidden_{k}"][b], x, rtol=2e-4, atol=2e-4 * np.abs(x).max())
