"""The experiments behind docs/paper.md: their metrics against planted rows, and the whole course on toy images."""

import importlib
import io
import json
import re

import numpy as np
import pytest
from conftest import ROOT

DOCS = ROOT / "docs"


@pytest.fixture
def tool(monkeypatch):
    """`tool("paper_measure")`: one of the modules in tools."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module


@pytest.fixture
def cross(rng):
    """±q_i in five dimensions, shuffled."""
    q = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    return rng.permutation(np.concatenate([q, -q]))


def test_rows_on_the_basis_are_in_phase_and_rows_midway_in_antiphase(tool, cross, rng):
    measure = tool("paper_measure")
    paired = [(i, j) for i in range(10) for j in range(i) if abs(cross[i] @ cross[j]) < 0.5]
    midway = np.array([cross[i] + cross[j] for i, j in paired])
    for rows, sign in ((np.tile(cross, (3, 1)), 1), (midway, -1)):
        found = measure.of_cloud(rows, cross)
        assert np.allclose([value for value in found["phase"] if value is not None][-1], sign)
        at = measure.EPSILONS.index(0.85)
        half = np.arccos(0.85)
        # One row in the cone of a plane counts (1/π) ½ sin(4 half) there; a row on ±b lies in 16 of the 40 planes i < j.
        share = sign * np.sin(4 * half) / (2 * np.pi) * (16 / 40 if sign > 0 else 4 / 40)
        assert found["A"][at] == pytest.approx(share, abs=2e-3)
        assert found["cover"][at] == (10 if sign > 0 else 0)
    assert measure.of_cloud(cross, cross)["on"][0] == pytest.approx(0.1)


def test_the_weight_is_cos_4_theta_for_a_cross_polytope_and_1_on_every_vector_of_any(tool, cross, rng):
    import srmfast

    templates = tool("paper_measure").templates
    weight, on, midway = templates(srmfast.run(cross, cross, epsilon=0.5))
    assert np.allclose(weight, np.cos(4 * np.arange(360) * np.pi / 180))
    assert (on == [0, 90, 180, 270]).all() and (midway == [45, 135, 225, 315]).all()
    simplex = srmfast.load_basis("simplex", 5).vectors
    spread = srmfast.load_basis(rng.standard_normal((9, 5)), 5).vectors
    for basis in (simplex, spread):
        result = srmfast.run(basis, basis, epsilon=0.5)
        weight, on, _ = templates(result)
        at = np.rint(np.degrees(result.plane_angle)).astype(int)
        assert (on[:, :2] == np.stack([np.zeros_like(at), at], axis=1)).all() and (on[:, 2:] == -1).all()
        assert (weight[:, 0] > 0.95).all() and (weight[np.arange(len(at)), at] > 0.95).all()
        assert np.abs(weight.sum(axis=1)).max() < 1e-9


def test_phase_is_the_mean_weight_at_the_nearest_angle_of_the_spotlight(tool, rng):
    import srmfast

    measure = tool("paper_measure")
    basis = srmfast.load_basis("simplex", 4).vectors
    rows = rng.standard_normal((40, 4))
    result = srmfast.run(rows, basis, epsilon=measure.EPSILONS, angles=measure.ANGLES)
    weight, u = measure.templates(result)[0], rows / np.linalg.norm(rows, axis=1, keepdims=True)
    for e, value in enumerate(measure.of_cloud(rows, basis)["phase"]):
        found = []
        for p, (i, j) in enumerate(zip(result.plane_i, result.plane_j, strict=True)):
            b, c = basis[i], basis[j] - (basis[i] @ basis[j]) * basis[i]
            angle = np.arange(360) * np.pi / 180
            light = np.outer(np.cos(angle), b) + np.outer(np.sin(angle), c / np.linalg.norm(c))
            cosines = u @ light.T
            best = cosines.argmax(axis=1)
            found += weight[p, best[np.linalg.norm(np.stack([u @ b, u @ c / np.linalg.norm(c)]), axis=0) >= measure.EPSILONS[e]]].tolist()  # fmt: skip
        assert value == pytest.approx(np.mean(found), abs=0.02)


def test_classes_at_a_neuron_are_signed_srm_at_its_own_angle(tool, cross, rng):
    import srmfast

    classes = tool("paper_classes")
    labels = np.repeat([0, 1, 2], 50)
    neurons = classes.one_of_each_pair(cross)
    rows = rng.standard_normal((150, 5)) + 4 * cross[neurons[1]] * (labels == 0)[:, None]
    told = classes.classes(rows, labels, cross, rotations=3)["raw"]
    plane = np.array([[neurons[1], neurons[2]]])
    result = srmfast.run(rows, cross, epsilon=classes.EPSILON, labels=labels, planes=plane)
    order = [list(map(str, result.label)).index(str(c)) for c in range(3)]
    assert np.allclose(np.array(told["signed"])[:, 1], result.signed()[order, 0, 0, 0])
    assert classes.order_of(told, "abc", 1)[0][0] == "a" and np.argmax(told["range"]) == 1
    vector, pole, f1, highest, p = told["picked"]["classes"]["0"]
    assert (vector, pole) == (1, "+") and f1 > 0.9 and f1 > highest and p < 0.5


@pytest.fixture
def toy(tmp_path, rng):
    """A folder of images as the tools expect it, few of them and small digits."""
    from PIL import Image

    digits = {f"x_{part}": rng.integers(0, 256, (n, 28, 28), np.uint8) for part, n in (("train", 60), ("test", 80))}
    np.savez(tmp_path / "mnist_full.npz", **digits, y_train=np.zeros(60, np.uint8), y_test=np.arange(80) % 10)
    names = np.array([f"class {c}" for c in range(10)])
    photos = rng.integers(0, 256, (3650, 32, 32, 3), np.uint8)
    np.savez(tmp_path / "cifar10_train4000_exact.npz", x=photos, y=np.zeros(3650, np.uint8), classes=names)
    files = []
    for photo in photos[:40]:
        stream = io.BytesIO()
        Image.fromarray(photo).save(stream, format="JPEG")
        files.append(stream.getvalue())
    held = {"offsets": np.cumsum([0, *map(len, files)]), "jpeg": np.frombuffer(b"".join(files), np.uint8)}
    np.savez(tmp_path / "cifar10_test10000_jpeg.npz", **held, y=np.arange(40) % 10, classes=names)
    return tmp_path


def test_the_whole_course_on_toy_images_and_again_without_training(tool, toy, capsys):
    out = toy / "runs"
    words = ["--data", str(toy), "-o", str(out), "--seeds", "1", "--epochs", "1", "--rotations", "2"]
    main = tool("paper").main
    assert main(["fig1", "stages", "fig3", *words]) == 0
    assert capsys.readouterr().err.count("\ntraining ") == 3
    assert all((out / f"{name}.png").stat().st_size > 10_000 for name in ("fig1", "stages", "fig3"))
    numbers = json.loads((out / "paper.json").read_text())
    told = numbers["nets"]["small-mnist-b32"]["seeds"]["0"]
    assert told["trained"]["rows"] == 80 and told["test_mse"] > 0 and len(numbers["stages"][0]["epoch"]) == 2
    nets = tool("paper_nets")
    again = nets.Bench(toy, out, say=pytest.fail)  # what is there is not trained again
    assert again.latents(nets.Net("small-mnist", 32, 0, 1)).shape == (80, 16)

    page = toy / "page.md"
    page.write_text("a\n<!-- table headline -->\nold\n<!-- end -->\nb\n<!-- table classes -->\n<!-- end -->\n")
    assert tool("paper_tables").main([str(out / "paper.json"), "--page", str(page)]) == 0
    text = page.read_text()
    assert text.startswith("a\n") and "old" not in text and "| large mnist | as stored |" in text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.M):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_data_that_are_not_there_are_usage_errors(tool, tmp_path, capsys):
    for name, words, message in (
        ("paper", ["fig1", "--data", str(tmp_path), "-o", str(tmp_path / "o")], "--data must hold mnist_full.npz"),
        ("paper_tables", [str(tmp_path / "n.json")], "make them with tools/paper.py"),
    ):
        with pytest.raises(SystemExit) as stop:
            tool(name).main(words)
        assert stop.value.code == 2 and message in capsys.readouterr().err


def test_the_tables_of_the_page_are_those_of_its_numbers(tool):
    tables = tool("paper_tables")
    page = (DOCS / "paper.md").read_text()
    assert tables.filled(page, tables.all_tables(json.loads((DOCS / "paper.json").read_text()))) == page
    assert page.count("<!-- table ") == page.count("<!-- end -->") >= 4
