"""demo, inspect and basis: what a newcomer meets first."""

import numpy as np
import pytest

import srmfast
from srmfast.analyses.basis_file import write_basis
from srmfast.analyses.demo import demo
from srmfast.analyses.inspection import inspect


def test_the_demo_makes_what_it_says_and_says_what_it_saw(tmp_path):
    text = demo(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "qwen2.5-0.5b.zarr", "all-rows.zarr", "ordinary-rows-centred.zarr",
        "all-rows.png", "categories.png", "neurons-and-rotation.png",
    }  # fmt: skip
    assert "neuron 62" in text and "220 of 500 rows" in text and "|mean|/rms = 0.73" in text
    result = srmfast.load(tmp_path / "out" / "all-rows.zarr")
    assert result.counts[0, 0, result.plane_i == 62, 0].tolist() == [220] * 895
    neurons, rotated = srmfast.load(tmp_path / "out" / "ordinary-rows-centred.zarr").values()
    assert neurons.rows[0] == rotated.rows[0] == 280 and neurons.attrs["centred"]
    assert neurons.mean().mean() > 100 * rotated.mean().mean()
    with pytest.raises(srmfast.InputError, match="--force"):
        demo(tmp_path / "out")
    (tmp_path / "precious").mkdir()
    with pytest.raises(srmfast.InputError, match="earlier demo only"):
        demo(tmp_path / "precious", force=True)


def test_the_embedded_data_are_small_and_plain():
    from importlib.resources import files

    path = files("srmfast") / "data" / "qwen2.5-0.5b-layer12.npz"
    assert path.stat().st_size < 2 << 20
    with np.load(path, allow_pickle=False) as archive:
        assert {name: archive[name].shape for name in archive} == {
            "activations": (500, 896),
            "words": (500,),
            "categories": (500,),
        }


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
