"""The tools behind the atlas of docs/language-models.md, on toy data: numbers of plain NumPy, and one test for all layers."""

import importlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
import zarr
from conftest import ROOT

import srmfast
from srmfast import naive

WIDTH, MASSIVE = 12, 3


@pytest.fixture
def tool(monkeypatch):
    """`tool("measure_atlas")`: one of the modules in tools."""
    monkeypatch.syspath_prepend(ROOT / "tools")
    return importlib.import_module


@pytest.fixture
def script(tool, capsys):
    """`script("draw_atlas", …)`: the exit code, and what it wrote."""

    def call(name, *words):
        try:
            code = tool(name).main([str(word) for word in words])
        except SystemExit as ended:
            code = ended.code
        out, err = capsys.readouterr()
        return SimpleNamespace(returncode=code, stdout=out, stderr=err)

    return call


@pytest.fixture
def acts(tmp_path, rng):
    """Two layers: isotropic rows, and rows with heavy tails along the neurons; a massive coordinate and outlying first rows in both."""
    layers = {"layer00": rng.standard_normal((40, 6, WIDTH)), "layer01": rng.standard_t(1.5, (40, 6, WIDTH))}
    about = {"model": "toy, of two layers", "text": "none", "shape": [40, 6, WIDTH], "layers": {}}
    for name, rows in layers.items():
        rows[:, 0] *= 1000
        rows[..., MASSIVE] += 30
        for file, columns in (("acts", range(WIDTH)), ("acts_ordinary", [c for c in range(WIDTH) if c != MASSIVE])):
            group = zarr.open_group(str(tmp_path / f"{file}.zarr"), mode="a", zarr_format=2)
            held = rows[..., list(columns)].astype(np.float32)
            group.create_array(name, shape=held.shape, chunks=(8, *held.shape[1:]), dtype="float32")[...] = held
        about["layers"][name] = {"massive": {"3": {"median": 30.0, "max": 40.0}}, "norm_first": 40.0, "norm_rest": 31.0}
    (tmp_path / "about.json").write_text(json.dumps(about))
    return tmp_path


def test_layers_are_tested_together_and_drawn(script, tool, acts):
    words = (acts, "--results", acts / "results", "--null", 39, "--planes", 80, "--threads", 1)
    ended = script("measure_atlas", *words, "--layers", "1")
    assert ended.returncode == 0, ended.stderr
    ended = script("measure_atlas", *words, "-o", acts / "n.json")
    assert ended.returncode == 0 and "layer01" not in ended.stderr, ended.stderr  # what is there is not made again
    numbers = json.loads((acts / "n.json").read_text())
    rows = zarr.open_group(str(acts / "acts.zarr"), mode="r")["layer01"][...].astype(float).reshape(-1, WIDTH)
    norms = np.linalg.norm(rows, axis=1)
    rows = rows[norms <= 10 * np.median(norms)]
    told = numbers["layers"]["layer01"]
    assert told["rows"] == len(rows) < 240 and numbers["rotations"] == 39

    centred = rows - rows.mean(axis=0)
    drawn = srmfast.run(centred, "standard", epsilon=0.2, planes="random:80", keep="all")  # the same 80 planes
    planes = list(zip(drawn.plane_i.tolist(), drawn.plane_j.tolist(), strict=True))
    assert len(planes) == numbers["planes"] == 80
    near, far = naive.phase(centred, np.eye(WIDTH), planes, numbers["epsilons"]).sum(axis=1).T
    for at, effect in enumerate(told["effects"]):
        assert effect["near"] == pytest.approx(near[at] / len(rows) / 80, abs=2e-4)
        assert effect["far"] == pytest.approx(far[at] / len(rows) / 80, abs=2e-4)
        assert effect["size"] == pytest.approx((near[at] - far[at]) / (near[at] + far[at]), abs=2e-3)
        assert abs(told["beside_effects"]["centred"][at]["size"] - effect["size"]) < 0.1  # other planes
    counted = tool("measure_atlas").near_and_far(
        centred.astype(np.float32), np.array(planes), numbers["epsilons"], np.arange(len(rows)) % 64
    )
    assert np.abs(counted.sum(axis=0) - np.stack([near, far], axis=1)).max() <= 2
    square = centred**2
    kurtosis = (WIDTH * (square**2).sum(axis=1) / square.sum(axis=1) ** 2).mean()
    assert (
        told["beside_kurtosis"]["centred"] == pytest.approx(kurtosis, rel=1e-3)
        and kurtosis > told["beside_kurtosis"]["random"]
    )
    cones = told["cones"]["centred"]
    cosines = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    assert cones["near"] == pytest.approx((np.abs(cosines) >= 0.3).sum(axis=1).mean(), rel=1e-4)
    first = cones["top"][0]
    assert sum(first[1:]) == pytest.approx((np.abs(cosines[:, first[0]]) >= 0.3).mean(), rel=1e-4)
    followed = numbers["neurons"]["stored"]
    assert MASSIVE in followed["neuron"] and followed["share"][0][followed["neuron"].index(MASSIVE)][0] > 0.9

    atlas = tool("measure_atlas")
    joint = {layer: of["joint"]["centred"] for layer, of in numbers["layers"].items()}
    assert atlas.found_in(joint["layer01"]) == "aligned" and joint["layer01"]["p"] == 0.05
    assert (
        atlas.found_in(joint["layer00"]) == "none"
        and joint["layer00"]["p"] >= numbers["layers"]["layer00"]["verdicts"]["centred"]["p"]
    )

    ended = script("draw_atlas", acts / "n.json", "--figure", acts / "f.png")
    assert ended.returncode == 0, ended.stderr
    assert (acts / "f.png").stat().st_size > 20_000
    table = ended.stdout.strip().splitlines()
    assert len(table) == 4 and len({line.replace("\\|", "").count("|") for line in table}) == 1


def test_joint_p_is_exact_however_layers_depend(tool, rng):
    atlas, found = tool("measure_atlas"), []
    for _ in range(400):
        shared = rng.normal(size=40)
        layers = [SimpleNamespace(highest=shared + 0.3 * rng.normal(size=40), lowest=-shared) for _ in range(5)]
        joint = atlas.jointly(layers)
        own = [(1 + (of.highest[1:] >= of.highest[0]).sum()) / 40 for of in layers]
        assert (joint["p_aligned"] >= own).all()
        found.append(joint["p_aligned"].min())
    assert 0.01 < np.mean(np.array(found) <= 0.05) < 0.09 and 0.42 < np.mean(np.array(found) <= 0.5) < 0.58


def test_categories_of_words_are_found_at_neurons_and_drawn(script, acts, tmp_path, rng):
    names = np.array(["colours", "days", "tools", "rivers"])
    category = np.repeat(names, 30)
    rows = 0.4 * rng.standard_normal((120, 20))
    rows[:30, 4] += 2
    rows[30:60, 7] -= 2
    np.savez(tmp_path / "v.npz", vectors=rows.astype(np.float32), token_counts=np.tile([1, 2, 2, 3], 30))
    (tmp_path / "c.txt").write_text("\n".join(category) + "\n")
    words = (
        tmp_path / "v.npz",
        "--categories",
        tmp_path / "c.txt",
        "--without",
        "2",
        "--null",
        39,
        "--permutations",
        99,
    )
    ended = script("measure_categories", *words, "--subsets", "all,two tokens", "-o", tmp_path / "c.json")
    assert ended.returncode == 0, ended.stderr
    subsets = json.loads((tmp_path / "c.json").read_text())["subsets"]
    assert subsets["all"]["width"] == 19 and subsets["two tokens"]["rows"] == 60
    neurons = subsets["all"]["bases"]["neurons"]
    best = {of["label"]: f"{of['pole']}{of['vector']}" for of in neurons["rotated"]["own"]["classes"]}
    assert best["colours"] == "+4" and best["days"] == "−7"  # by their numbers in the model, column 2 being left out
    assert {"colours", "days"} <= set(neurons["by_category"]) and neurons["rotated"]["own"]["verdict"] == "more"
    assert {f"{of['pole']}{of['vector']}" for of in neurons["table"][:2]} == {"+4", "−7"}

    words = (acts, "--results", acts / "r", "--null", 39, "--planes", 40, "-o", acts / "n.json", "--threads", 1)
    assert script("measure_atlas", *words).returncode == 0
    ended = script("draw_atlas", acts / "n.json", "--categories", tmp_path / "c.json")
    assert ended.returncode == 0, ended.stderr
    tables = [table.splitlines() for table in ended.stdout.strip().split("\n\n")]
    assert [len(table) for table in tables] == [4, 8, 6]
    assert all(len({line.replace("\\|", "").count("|") for line in table}) == 1 for table in tables)


def test_what_is_not_there_is_a_usage_error(script, tmp_path):
    for words, message in (
        (("measure_atlas", tmp_path, "--results", tmp_path / "r"), "must hold acts.zarr"),
        (("draw_atlas", tmp_path / "n.json"), "the numbers must exist"),
        (
            ("measure_categories", tmp_path / "v.npz", "--categories", tmp_path / "c", "-o", tmp_path / "n"),
            "the file must exist",
        ),
    ):
        ended = script(*words)
        assert ended.returncode == 2 and message in ended.stderr and "Traceback" not in ended.stderr
