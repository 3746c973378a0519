"""What was probably meant is named wherever a word is not known."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import srmfast
from srmfast.errors import meant

WORDS = {
    "rum x.npy": (2, "did you mean run?"),
    "run x.npy --epsilom 0.5": (2, r"no option --epsilom; did you mean --epsilon\?"),
    "run x.npy --epsilom 0.5 --surprise 3": (2, r"did you mean --epsilon\?; there is no option --surprise \("),
    "run x.npy --center -o o.zarr": (2, r"no option --center; did you mean --centre\?"),
    "basis standard --dimm 5": (2, r"no option --dimm; did you mean --dim\?"),
    "basis standart --dim 5 -o o.npy": (2, r"got 'standart'; did you mean standard\?"),
    "run x.npy --epsilon 0,5 -o o.zarr": (2, r"0,5 is 0 and 5; did you mean 0.5\?"),
    "neurons x.npy --epsilon 0,5": (2, r"must be a number, got '0,5'; did you mean 0.5\?"),
    "run x.npy --nonfinite skipp -o o.zarr": (2, r"did you mean skip\?"),
    "run x.npy --epsilon 0.5 two.npz -o o.zarr": (2, "takes no two.npz; every STORE stands before the options"),
    "show done.zarr other.zarr": (2, "takes no other.zarr"),
    "run x.npy --basis thomson:32 -o o.zarr": (1, r"got 'thomson:32'; did you mean thompson:32\?"),
    "run x.npy --planes permutation -o o.zarr": (1, r"did you mean permutations\?"),
    "run x.npy --keep al -o o.zarr": (1, r"did you mean all\?"),
    "run two.npz::act -o o.zarr": (1, r"no array 'act'.*; did you mean acts\?"),
    "run two.npz::acts --labels label -o o.zarr": (1, r"no array 'label'.*; did you mean labels\?"),
    "plot done.zarr -o o.png --label birb": (1, r"got 'birb'; did you mean bird\?"),
    "plot done.zarr -o o.png --kind line": (2, r"did you mean lines\?"),
    "train small-mnst -o t": (1, r"did you mean small-mnist\?"),
    "train small-mnist --check --set basis.cont=3": (1, r"got 'cont'; did you mean count\?"),
    "train small-mnist --check --set optimiser.kind=adm": (1, r"did you mean adam\?"),
    "run model.onnx::laten --inputs x.npy -o o.zarr": (1, r"no tensor 'laten'.*; did you mean latent\?"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a store, arrays beside one another, a labelled result and a model."""
    folder = tmp_path_factory.mktemp("meant")
    x, labels = np.random.default_rng(1).normal(size=(60, 4)), np.arange(60) % 2
    np.save(folder / "x.npy", x)
    np.savez(folder / "two.npz", acts=x, labels=labels)
    srmfast.run(x, epsilon=0.5, angles=8, labels=np.array(["cat", "bird"])[labels]).save(folder / "done.zarr")
    shutil.copy(Path(srmfast.__file__).parent / "data" / "trained.onnx", folder / "model.onnx")
    return folder


@pytest.mark.parametrize("words", WORDS, ids=str)
def test_a_word_that_is_not_known_is_met_with_the_closest(words, files, srmfast_main, monkeypatch):
    monkeypatch.chdir(files)
    rc, match = WORDS[words]
    ended = srmfast_main(words)
    assert ended.rc == rc and ended.stdout == "" and len(ended.stderr.splitlines()) == 1, ended
    assert re.search(match, ended.stderr), ended.stderr


def test_nothing_is_proposed_for_what_is_far_from_everything():
    assert meant("zebra", ["standard", "plusminus"]) == "" and meant("x", []) == ""
    assert meant("STANDARD", ["standard"]) == "; did you mean standard?"
    assert meant("conv1:1", ["conv1:0", "fc:0"]) == "; did you mean conv1:0?"


def test_pairs_of_cosines_that_look_like_a_decimal_comma_stay_pairs(files, srmfast_main, monkeypatch):
    monkeypatch.chdir(files)
    ended = srmfast_main("run x.npy --epsilon 0,1 --angles 8 --dry-run")
    assert ended.rc == 0, ended
