"""What a result says can be checked against its store, and two results against each other."""

import json

import numpy as np
import pytest

import srmfast
from srmfast.analyses.comparison import diff
from srmfast.analyses.verification import reproduce, verify
from srmfast.spec import Resources

HOW = Resources(2, 1 << 30, 33)
WAYS = {
    "plain": "",
    "labelled": "--labels labels.npy --groups groups.npy --mask mask.npy",
    "centred": "--centre --basis random:20 --planes combinations",
    "given": "--centre mean.npy --planes pairs.npy",
    "active": "--planes active:12",
    "long": "--max-norm 1.1 --centre",
    "summary": "--keep summary --epsilon -0.2,0.4 --zero-rows keep",
    "top": "--keep top:3 --planes random:60 --seed 5",
    "rows": "--rows 5:450:3",
    "sampled": "--sample 90 --seed 3",
    "transposed": "--feature-axis 0",
    "several": "--basis standard --basis random:9",
}


@pytest.fixture
def folder(tmp_path, rng, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = (rng.normal(size=(480, 20)) + 0.3).astype(np.float32)
    x[[17, 350]] = 0.0
    np.save("x.npy", x)
    np.save("xt.npy", np.ascontiguousarray(x.T))
    np.save("labels.npy", np.arange(480) % 3)
    np.save("groups.npy", np.arange(480) // 7)
    np.save("mask.npy", np.arange(480) % 5 > 0)
    np.save("mean.npy", np.linspace(0, 0.5, 20))
    np.save("pairs.npy", np.array([[0, 1], [3, 2], [7, 19]]))
    return tmp_path


def command(way):
    store = "xt.npy" if way == "transposed" else "x.npy"
    epsilon = "" if "--epsilon" in WAYS[way] else "--epsilon 0.3"
    return f"run {store} {epsilon} --angles 24 --progress none {WAYS[way]} -o o.zarr"


@pytest.mark.parametrize("way", WAYS)
def test_results_are_verified_and_reproduced_from_what_they_say(folder, way, srmfast_main, monkeypatch):
    assert srmfast_main(command(way)).rc == 0
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)  # paths are found from any folder
    ended = srmfast_main("verify ../o.zarr --progress none")
    results = 2 if way == "several" else 1
    assert ended.rc == 0 and ended.stdout.count("ok ") == 3 * results, ended.stdout + ended.stderr
    ended = srmfast_main("verify ../o.zarr --folds 64 --threads 1 --block-rows 7 --progress none")
    assert ended.rc == 0 and "numbers are the same" in ended.stdout
    ended = srmfast_main("reproduce ../o.zarr --progress none")
    assert ended.rc == 0 and ended.stdout.count("the same: ") == results, ended.stdout + ended.stderr


def test_one_changed_count_is_found(folder, srmfast_main):
    assert srmfast_main(command("plain")).rc == 0
    result = srmfast.load("o.zarr")
    for array in (result.counts[0, 0, 7], result.total[0, 0], result.fold_total[3, 0, 0]):
        array[5] += 1  # so that everything still adds up
    result.save("wrong.zarr")
    ended = srmfast_main("verify wrong.zarr --folds 64 --progress none")
    assert ended.rc == 1
    assert "NOT  counts       64 folds: 478 rows counted again, 1 of 1,600 numbers differ" in ended.stdout
    again = srmfast_main("reproduce wrong.zarr --progress none")
    assert again.rc == 1
    assert "counts: 1 of 9,120 values differ, by up to 1" in again.stdout


def test_another_store_other_labels_and_a_wrong_accounting_are_found(folder, srmfast_main):
    assert srmfast_main(command("labelled")).rc == 0
    x = np.load("x.npy")
    x[0, 0] += 1
    np.save("y.npy", x)
    ended = srmfast_main("verify o.zarr y.npy --progress none")
    assert ended.rc == 1 and "NOT  fingerprint  store.slices is " in ended.stdout
    np.save("other.npy", (np.arange(480) % 3)[::-1].copy())
    ended = srmfast_main("verify o.zarr --labels other.npy --folds 64 --progress none")
    assert ended.rc == 1 and "NOT  fingerprint  labels is" in ended.stdout and "NOT  counts" in ended.stdout
    result = srmfast.load("o.zarr")
    result.attrs["rows"]["seen"] += 1
    result.save("o.zarr", force=True)
    ended = srmfast_main("verify o.zarr --progress none")
    assert ended.rc == 1 and "NOT  accounting   481 rows seen = 383 used + 97 left out" in ended.stdout
    ended = srmfast_main("verify o.zarr nowhere.npy")
    assert ended.rc == 1 and "nowhere.npy does not exist" in ended.stderr
    ended = srmfast_main("verify o.zarr mean.npy")
    assert ended.rc == 1 and ended.stderr.count("\n") == 1


def test_what_was_in_memory_is_asked_for(folder, rng):
    x = np.load("x.npy")
    labels = np.arange(480) % 4
    options = dict(epsilon=0.3, angles=24, labels=labels, planes=np.array([[1, 2], [5, 4]]), centre=np.ones(20))
    result = srmfast.run(x, rng.normal(size=(9, 20)), **options)
    with pytest.raises(srmfast.InputError, match="the activations of the result were in memory; give the store"):
        verify(result, resources=HOW)
    with pytest.raises(srmfast.InputError, match="the labels of the result were in memory; give them by --labels"):
        verify(result, x, resources=HOW)
    found = verify(result, x, labels=labels, folds=64, resources=HOW)
    assert found.holds, str(found)
    assert diff(result, reproduce(result, x, labels=labels, resources=HOW)).same
    result.attrs.pop("inputs")
    with pytest.raises(srmfast.InputError, match="does not say from what it was made"):
        verify(result, x, resources=HOW)


def test_planes_that_are_gone_cannot_be_counted_again(folder):
    x = np.load("x.npy")
    result = srmfast.run(x, epsilon=0.3, angles=24, planes=np.array([[1, 2], [5, 4], [6, 7]]), keep="top:1")
    with pytest.raises(srmfast.InputError, match=r"the planes of the result are not in it \(kept: top:1\)"):
        verify(result, x, resources=HOW)


def test_differences_are_named(folder, srmfast_main):
    x = np.load("x.npy")
    a = srmfast.run(x, epsilon=(0.3, 0.5), angles=24)
    b = srmfast.run(x, epsilon=(0.3, 0.6), angles=24)
    told = str(diff(a, b))
    assert "spec.epsilon: [0.3, 0.5] and [0.3, 0.6]" in told and "counts: " in told and "values differ" in told
    assert diff(a, a).same and diff(a, a).numbers > 9000 and "the same: " in str(diff(a, a))
    c = srmfast.run(x, epsilon=(0.3, 0.5), angles=12)
    assert "counts: shapes (1, 2, 380, 24) and (1, 2, 380, 12)" in str(diff(a, c))
    centred = srmfast.run(x, epsilon=(0.3, 0.5), angles=24, centre=True)
    assert "centre: only in the second" in str(diff(a, centred))
    several = srmfast.run_many({"x": x}, {"a": "standard", "b": "random:9"})
    one = srmfast.run_many({"x": x}, {"a": "standard", "c": "random:8"})
    assert "x/b: only in the first\nx/c: only in the second" in str(diff(several, one))
    a.save("a.zarr")
    b.save("b.zarr")
    assert srmfast_main("diff a.zarr b.zarr").rc == 1 and srmfast_main("diff a.zarr a.zarr").rc == 0
    ended = srmfast_main("diff a.zarr nowhere.zarr")
    assert ended.rc == 1 and ended.stderr.count("\n") == 1


def test_inputs_are_found_from_any_folder_and_names_stay_names(folder, srmfast_main, monkeypatch):
    for name in ("all", "drop", "error", "auto", "permutations", "right"):
        (folder / name).write_text("x")
    (folder / "labels").mkdir()
    (folder / "parts").mkdir()
    x = np.load("x.npy")
    np.savez("both.npz", acts=x, labels=np.arange(480) % 3)
    for part in range(3):
        np.save(f"parts/{part}.npy", x[part * 160 : (part + 1) * 160])
    words = "--epsilon 0.3 --angles 24 --keep all --progress none"
    assert srmfast_main(f"run both.npz::acts --labels labels {words} -o o.zarr").rc == 0
    assert srmfast_main(f"run parts/*.npy {words} -o p.zarr").rc == 0
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    for name in ("o", "p"):
        ended = srmfast_main(f"verify ../{name}.zarr --progress none")
        assert ended.rc == 0 and ended.stdout.count("ok ") == 3, ended.stdout + ended.stderr


def test_options_survive_being_written_down():
    from srmfast.engine import Request

    request = Request(index={np.int64(1): 2, "layer": np.int32(3)}, rows=slice(3, None, 2), exclude_tokens=(1, 2))
    again = Request.from_dict(json.loads(json.dumps(request.to_dict())))
    assert again.index == {1: 2, "layer": 3} and again.rows == "3::2" and again.exclude_tokens == (1, 2)
    assert again.to_dict() == request.to_dict()


def test_lengths_and_tokens_are_given_again(folder, srmfast_main):
    x = np.load("x.npy").reshape(48, 10, 20)
    np.save("y.npy", x)
    lengths, tokens = np.arange(48) % 10 + 1, np.arange(480).reshape(48, 10) % 7
    result = srmfast.run("y.npy", epsilon=0.3, angles=24, lengths=lengths, tokens=tokens, exclude_tokens=(3,))
    result.save("o.zarr")
    np.save("lengths.npy", lengths)
    np.save("tokens.npy", tokens)
    assert "give them by --lengths" in srmfast_main("verify o.zarr").stderr
    assert "give them by --tokens" in srmfast_main("verify o.zarr y.npy --lengths lengths.npy").stderr
    ended = srmfast_main("verify o.zarr y.npy --lengths lengths.npy --tokens tokens.npy --progress none")
    assert ended.rc == 0, ended.stdout + ended.stderr


def test_a_field_that_older_versions_lack_is_no_difference(folder):
    a = srmfast.run(np.load("x.npy"), epsilon=0.3, angles=24)
    b = srmfast.run(np.load("x.npy"), epsilon=0.3, angles=24)
    for name in ("lengths", "tokens", "exclude_tokens", "max_norm"):
        b.attrs["spec"].pop(name)
    assert diff(a, b).same and diff(b, a).same
