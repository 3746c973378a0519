"""The command line against hostile and clumsy users: one line says what is wrong, and nothing is left behind."""

import json
import os
import pickle
import re
import select
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import zarr

import srmfast
from srmfast import naive

COMMANDS = (
    "demo", "inspect", "run", "show", "plot", "report", "compare", "neurons", "specification", "project", "basis", "mean", "layers", "export", "train", "merge",
    "diff", "verify", "reproduce",
)  # fmt: skip
N, D = 300, 6


class Trap:
    """An object that leaves a trace when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("unpickled",)


def listing(folder):
    """Every name below a folder, with sizes of files."""
    return sorted((str(path.relative_to(folder)), path.is_file() and path.stat().st_size) for path in folder.rglob("*"))


def refused(ended, match, rc=1):
    """Expect one line on standard error that matches, nothing on standard output, and an exit code."""
    assert ended.rc == rc, ended
    assert ended.stdout == "", ended
    lines = ended.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("srmfast"), ended.stderr
    assert re.search(match, lines[0]), lines[0]


def gappy(path, chunks, lost, shards=None):
    """Write the rows of `sample` to a Zarr array and lose some of its chunk objects."""
    array = zarr.create_array(path, shape=(N, D), chunks=chunks, shards=shards, dtype="f4", zarr_format=3)
    array[...] = sample()
    for key in lost:
        (path / "c" / key).unlink()


def sample():
    """Rows that hit every plane of the standard basis at ε = 0.5."""
    return np.random.default_rng(1).normal(size=(N, D)).astype(np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of good and bad inputs."""
    folder = tmp_path_factory.mktemp("files")
    x = sample()

    def save(name, array):
        np.save(folder / name, np.asarray(array))

    save("x.npy", x)
    save("vectors.npy", np.random.default_rng(2).normal(size=(4, D)))
    save("columns.npy", np.random.default_rng(2).normal(size=(D, 4)))
    save("wide.npy", np.ones((4, 9)))
    save("cube.npy", np.ones((2, 3, 4, 5)))
    save("empty.npy", np.empty((0, D), np.float32))
    save("narrow.npy", np.ones((9, 1), np.float32))
    save("flat.npy", np.ones(9, np.float32))
    save("scalar.npy", np.float32(1))
    save("zeros.npy", np.zeros((20, D), np.float32))
    save("complex.npy", np.ones((9, D), complex))
    save("text.npy", np.full((9, D), "a"))
    spoiled = x.copy()
    spoiled[7, 2], spoiled[100, 0], spoiled[299, 5] = np.nan, np.inf, -np.inf
    save("spoiled.npy", spoiled)
    save("lonely.npy", np.eye(D)[:1])
    save("hole.npy", np.vstack([np.eye(D), np.zeros(D)]))
    save("infinite.npy", np.full((3, D), np.inf))
    save("parallel.npy", np.vstack([np.ones(D), -2 * np.ones(D)]))
    save("short.npy", np.arange(299))
    save("masked.npy", np.zeros(N, bool))
    save("words.npy", np.full(N, "a"))
    save("mean.npy", np.ones(D + 1))
    save("beyond.npy", [[0, 1], [0, D]])
    save("twice.npy", [[0, 1], [2, 3], [0, 1]])
    save("same.npy", [[0, 1], [2, 2]])
    save("triples.npy", [[0, 1, 2]])
    save("halves.npy", [[0.5, 1.0]])
    save("nowhere.npy", [[np.nan, 1.0]])
    save("nopairs.npy", np.empty((0, 2), int))
    (folder / "pairs.txt").write_text("a b\n")
    (folder / "labels.txt").write_text("a\nb\n")
    (folder / "nothing.txt").write_text("")
    (folder / "latin.txt").write_bytes(b"caf\xe9\n")
    (folder / "x.dat").write_bytes(b"12345678")
    (folder / "cut.npy").write_bytes((folder / "x.npy").read_bytes()[:-999])
    (folder / "bytes.npy").write_bytes(b"not a header")
    (folder / "bytes.npz").write_bytes(b"PK not a zip")
    (folder / "bytes.h5").write_bytes(b"not HDF5")
    (folder / "bytes.zip").write_bytes(b"PK not a zip")
    np.savez(folder / "two.npz", a=x, b=x[:5])
    np.savez(folder / "whole.npz", x=x)
    np.savez_compressed(folder / "packed.npz", x=x)
    damaged = bytearray((folder / "packed.npz").read_bytes())
    damaged[1000:1400] = bytes(400)
    (folder / "packed.npz").write_bytes(damaged)
    np.savez(folder / "trap.npz", vectors=x, words=np.array([Trap()], object))
    (folder / "trap.npy").write_bytes(pickle.dumps(Trap()))
    np.save(folder / "object.npy", np.array([[Trap(), Trap()]], object))
    with h5py.File(folder / "x.h5", "w") as file:
        file["group/x"] = x
        file["group/basis"] = np.load(folder / "vectors.npy")
        file["labels"] = np.arange(N) % 3
    with h5py.File(folder / "garbled.h5", "w") as file:
        garbled = file.create_dataset("x", data=x, chunks=(N, D), compression="gzip").id.get_chunk_info(0)
    with open(folder / "garbled.h5", "r+b") as file:
        file.seek(garbled.byte_offset)
        file.write(bytes(500))
    (folder / "cut.npz").write_bytes((folder / "whole.npz").read_bytes()[:-200])
    (folder / "cut.h5").write_bytes((folder / "x.h5").read_bytes()[:3000])
    group = zarr.open_group(folder / "x.zarr", mode="w")
    group["x"], group["basis"] = x, np.load(folder / "vectors.npy")
    gappy(folder / "lost.zarr", (50, D), ["1/0", "5/0"])
    gappy(folder / "torn.zarr", (50, D), [])
    (folder / "torn.zarr" / "c" / "2" / "0").write_bytes(b"torn")
    shutil.copytree(folder / "torn.zarr", folder / "garbled.zarr")
    (folder / "garbled.zarr" / "zarr.json").write_text("{")
    shutil.copytree(folder / "torn.zarr", folder / "odd.zarr")
    (folder / "odd.zarr" / "zarr.json").write_text("[1, 2]")
    shutil.copytree(folder / "torn.zarr", folder / "vague.zarr")
    (folder / "vague.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "array"}')
    zarr.open_group(folder / "groups.zarr", mode="w").create_group("inner")
    (folder / "none.zarr").mkdir()
    (folder / "hollow").mkdir()
    for part, width in (("p0.npy", D), ("p1.npy", D + 1)):
        (folder / "parts").mkdir(exist_ok=True)
        np.save(folder / "parts" / part, np.ones((4, width)))
    (folder / "folder.zarr").mkdir()
    (folder / "folder.zarr" / "thesis.txt").write_text("mine")
    (folder / "folder").mkdir()
    (folder / "folder" / "thesis.txt").write_text("mine")
    srmfast.run(x, epsilon=0.5, angles=8).save(folder / "done.zarr")
    shutil.copytree(folder / "done.zarr", folder / "later.zarr")
    rewrite(folder / "later.zarr", format_version=99)
    shutil.copytree(folder / "done.zarr", folder / "broken.zarr")
    shutil.rmtree(folder / "broken.zarr" / "counts")
    shutil.copytree(folder / "done.zarr", folder / "holed.zarr")
    (folder / "holed.zarr" / "total" / "0.0.0").write_bytes(b"holed")
    return folder


def rewrite(result, **attributes):
    """Change attributes of a saved result."""
    path = result / ".zattrs"
    path.write_text(json.dumps(json.loads(path.read_text()) | attributes))
    consolidated = result / ".zmetadata"
    document = json.loads(consolidated.read_text())
    document["metadata"][".zattrs"] |= attributes
    consolidated.write_text(json.dumps(document))


RUNS = {
    # stores
    "absent.npy": "absent.npy does not exist",
    "no/x.npy": "nor its folder no",
    "x.npy::key": "holds one array.*drop '::key'",
    "x.npz": "x.npz does not exist",
    "two.npz": r"several arrays, a \(300, 6\).*name one as two.npz::KEY",
    "two.npz::c": "no array 'c'; it holds a",
    "x.h5::nope": "no array 'nope'",
    "x.h5::": "drop the empty part",
    "x.zarr::nope": "no array 'nope'",
    "x.zarr::a::s3://b/c.zarr": "chained URL",
    "''": "PATH or PATH::KEY",
    "x.dat": "unknown kind; known are .npy",
    "absent*.npy": "no store matches",
    "hollow": "holds no store",
    "none.zarr": "holds no Zarr array or group",
    "groups.zarr": "holds no candidate",
    "parts": r"agree in every axis but axis 0: p0.npy is \(4, 6\)",
    "empty.npy": "at least one row, .*empty",
    "narrow.npy": "d >= 2 features",
    "flat.npy": "two free axes",
    "scalar.npy": "two free axes",
    "complex.npy": "must be real numbers",
    "text.npy": "must be real numbers",
    "zeros.npy": "at least one row must be usable.* 20 are of zero norm",
    "cut.npy": "is truncated.*only rows 0:258 are readable",
    "bytes.npy": "is not a .npy file",
    "bytes.npz": "is not a whole .npz file",
    "packed.npz": "is not a whole .npz file",
    "bytes.h5": "no HDF5 signature",
    "garbled.h5": "cannot be read at .*damaged",
    "cut.npz": "is not a whole .npz file",
    "cut.h5::group/x": "truncated or not closed",
    "bytes.zip": "not a whole Zarr zip file",
    "garbled.zarr": "zarr.json .*is not JSON",
    "odd.zarr": "zarr.json .*must be a JSON object",
    "vague.zarr": "must hold its shape",
    "torn.zarr": "cannot be decoded",
    "lost.zarr": r"100 rows .* \(c/1/0, c/5/0\): lost, or never written .*fill value; use --missing-chunks skip or zeros",
    "object.npy": "never unpickled",
    "trap.npy": "is not a .npy file",
    "trap.npz::words": "never unpickled",
    "spoiled.npy": "(?i)finite.*--nonfinite skip",
    "x.npy x.npy": "stores need different names, got 'x' 2 times",
    "x.npy absent.npy": "absent.npy does not exist",
    "cube.npy": "ambiguous.*--feature-axis 1.*--flatten",
    "cube.npy --feature-axis 9": "must lie in -4 … 3, got 9",
    "cube.npy --index 0": "--index must be AXIS=I.*got '0'",
    "cube.npy --index a=b": "--index must be AXIS=I",
    "cube.npy --index 9=0": "index axis .* must lie in",
    "cube.npy --index 0=2": "position on axis 0 .* must lie in -2 … 1, got 2",
    "cube.npy --index 0=0 --index 0=1": "axis 0.*twice|once",
    "x.npy --index 0=0": "two free axes",
    "cube.npy --flatten --feature-axis 1": "exclude each other",
    # bases
    "x.npy --basis absent.npy": "must exist, got absent.npy",
    "x.npy --basis nonsense": "a basis must be standard, .*got 'nonsense'",
    "x.npy --basis columns.npy": r"shape \(6, 4\).*add --basis-transpose",
    "x.npy --basis vectors.npy --basis-transpose": "drop --basis-transpose",
    "x.npy --basis wide.npy": r"6 wide.*shape \(4, 9\)",
    "x.npy --basis lonely.npy": "at least 2 vectors",
    "x.npy --basis hole.npy": "zero vector at index 6",
    "x.npy --basis infinite.npy": "must be finite, got inf",
    "x.npy --basis parallel.npy": "at least one plane.*parallel",
    "x.npy --basis flat.npy": "two axes",
    "x.npy --basis text.npy": "real numbers",
    "x.npy --basis object.npy": "cannot be read",
    "x.npy --basis random:1": "whole number K of at least 2",
    "x.npy --basis random:1000000000": "1,000,000,000 float64 vectors of width 6 take 44.7 GiB of .*; use fewer",
    "x.npy --basis thompson:1000000000": "1,000,000,000 float64 vectors of width 6 take 44.7 GiB of .*; use fewer",
    "x.npy --basis random:x": "whole number K of at least 2",
    "x.npy --basis random:": "whole number K of at least 2",
    "x.npy --basis x.h5::nope": "no array 'nope'",
    "x.npy --basis x.h5": "several arrays",
    "x.npy --basis absent.h5::b": "absent.h5 does not exist",
    "x.npy --basis vectors.npy --basis vectors.npy": "different names, got 'vectors' twice; .*--basis NAME=vectors",
    "x.npy --basis a=standard --basis a=simplex": "different names, got 'a' twice",
    "x.npy --basis a=": "a basis must be",
    # what is counted
    "x.npy --epsilon 25.8": r"\[-1, 1\].*got 25.8.*0.900319",
    "x.npy --epsilon=-1.5": r"\[-1, 1\]",
    "x.npy --epsilon nan": r"\[-1, 1\].*got nan",
    "x.npy --epsilon inf": r"\[-1, 1\].*got inf",
    "x.npy --epsilon 0.5,0.7,0.5": "given once, got 0.5, 0.7, 0.5",
    "x.npy --angles 0": "angles must",
    "x.npy --angles=-4": "angles must",
    "x.npy --angles 10000000000": "(?i)angles|memory",
    "x.npy --angles 100000000": "(?i)angles|memory",
    "x.npy --planes nonsense": "planes must be permutations, .*got 'nonsense'",
    "x.npy --planes random:x": "whole number P",
    "x.npy --planes random:0": "whole number P",
    "x.npy --planes random:31": "must not exceed the 30 planes",
    "x.npy --planes absent.npy": "absent.npy",
    "x.npy --planes beyond.npy": r"in \[0, 5\], got \(0, 6\) in row 1",
    "x.npy --planes same.npy": r"two different numbers.*\(2, 2\) in row 1",
    "x.npy --planes twice.npy": r"once, got \(0, 1\) twice",
    "x.npy --planes triples.npy": r"shape \(p, 2\)",
    "x.npy --planes halves.npy": "whole-number pairs",
    "x.npy --planes nowhere.npy": "whole-number pairs",
    "x.npy --planes nopairs.npy": "whole-number pairs",
    "x.npy --planes text.npy": "whole-number pairs",
    "x.npy --planes object.npy": "must hold index pairs",
    "x.npy --planes pairs.txt": "must hold index pairs",
    "x.npy --keep nonsense": "keep must be auto, all, hit, top:K or summary, got 'nonsense'",
    "x.npy --keep top:0": "keep must be",
    "x.npy --keep top:": "keep must be",
    "x.npy --centre absent.npy": "absent.npy does not exist",
    "x.npy --centre mean.npy": "6 finite numbers",
    "x.npy --centre text.npy": "6 finite numbers",
    # which rows
    "x.npy --rows abc": "--rows must be START:STOP",
    "x.npy --rows 5": "--rows must be START:STOP",
    "x.npy --rows 1:2:3:4": "--rows must be START:STOP",
    "x.npy --rows 5:5": "at least one of the 300 rows, got 5:5",
    "x.npy --rows 900:": "at least one of the 300 rows",
    "x.npy --rows 0:9:0": "STEP of at least 1",
    "x.npy --rows=9:0:-1": "STEP of at least 1",
    "x.npy --sample=-5": "--sample must be a whole number of rows",
    "x.npy --labels absent.txt": "absent.txt",
    "x.npy --labels absent": "absent",
    "x.npy --labels labels.txt": r"\(300,\).*\(2,\)",
    "x.npy --labels short.npy": r"labels must.*\(300,\).*\(299,\)",
    "x.npy --groups short.npy": r"groups must.*\(300,\).*\(299,\)",
    "x.npy --mask short.npy": r"mask must.*\(300,\).*\(299,\)",
    "x.npy --mask words.npy": "numbers or bools",
    "x.npy --mask masked.npy": "at least one row must be usable.* 300 masked",
    "x.npy --labels latin.txt": "not UTF-8",
    "x.npy --labels nothing.txt": "is empty",
    "x.npy --labels object.npy": "never unpickled",
    "trap.npz::vectors --labels words": "never unpickled",
    "trap.npz::vectors --labels trap.npz::words": "never unpickled",
    "x.h5::group/x --labels nope": "no array 'nope'",
    # how
    "x.npy --threads 0": "threads must be a whole number of at least 1",
    "x.npy --block-rows 0": "block_rows must be|--block-rows must be",
    "x.npy --memory 1MiB": "at least 256 MiB",
    "x.npy --memory much": "a size must be a number",
    "x.npy --memory=-5": "a size must be a number",
    "x.npy --memory 256MiB --basis random:600 --angles 3600 --keep all": "must fit into memory|memory",
}  # fmt: skip


@pytest.mark.parametrize("words", RUNS, ids=str)
def test_a_run_that_cannot_be_is_one_line_and_leaves_nothing(words, files, tmp_path, srmfast_main, monkeypatch):
    monkeypatch.chdir(files)
    before = listing(files)
    refused(srmfast_main(f"run {words} --progress none -o {tmp_path}/o.zarr"), RUNS[words])
    assert listing(files) == before
    assert listing(tmp_path) == []


OUTPUTS = {
    "run x.npy -o done.zarr": "must not exist yet, got done.zarr; use --force",
    "run x.npy -o folder.zarr --force": "--force replaces results only, and folder.zarr is not one",
    "run x.npy -o x.zarr --force": "--force replaces results only, and x.zarr is not one",
    "run x.npy -o no/o.zarr": "output folder must exist, got .*no; create it",
    "run x.npy -o x.npy/o.zarr": "output folder must exist",
    "run x.npy -o /proc/o.zarr": "must be writable, got /proc",
    f"run x.npy -o {'long' * 80}.zarr": "File name too long",
    "run x.npy -o o.png": "must end in .zarr, got o.png",
    "run x.npy -o . --force": "must end in .zarr, got .",
    "run absent.npy -o done.zarr": "must not exist yet",
    "run x.npy -o o.zarr --plot o.bmp": "a figure must end in .png, .pdf, .svg, got o.bmp",
    "run x.npy -o o.zarr --plot no/o.png": "folder of a figure must exist, got no",
    "show x.npy": "a result must be a folder written by srmfast, got x.npy",
    "show absent.zarr": "a result must be .*absent.zarr does not exist",
    "show folder": "a result must be",
    "show x.zarr": "a result must be",
    "show lost.zarr": "a result must be",
    "show later.zarr": "format_version must be 1, got 99 in later.zarr",
    "plot absent.zarr -o o.png": "a result must be",
    "plot later.zarr -o o.png": "format_version must be 1",
    "plot done.zarr -o o.bmp": "a figure must end in",
    "plot done.zarr -o no/o.png": "folder of a figure must exist",
    "plot done.zarr -o /proc/o.png": "cannot be written",
    "plot done.zarr -o o.png --epsilon 0.3": "one of the result's, 0.5, got 0.3",
    "plot done.zarr -o o.png --label cat": "one of all, got 'cat'",
    "plot done.zarr -o o.png --kind heatmap": "at least 2 epsilons",
    "basis random --dim 6 --count 1 -o o.npy": "K of at least 2",
    "basis standard --dim 1 -o o.npy": "at least 2 wide.*got width 1",
    "basis standard --dim=-3 -o o.npy": "got width -3",
    "basis standard --dim 6 -o o.txt": "written as .npy, got o.txt; use o.npy",
    "basis standard --dim 6 -o x.npy": "must not exist yet, got x.npy",
    "basis standard --dim 6 -o no/o.npy": "output folder must exist",
    "basis standard --dim 6 -o /proc/o.npy": "must be writable",
    "basis standard --dim 9999999 -o o.npy": "9,999,999 x 9,999,999 of them take 2.13 PiB of .*; srmfast run makes standard itself",
    "basis random --dim 4 --count 100000000000 -o o.npy": "100,000,000,000 x 100,000,000,000 of them",
    "basis random --dim 4 --count 1000000 -o o.npy": "1,000,000 x 1,000,000 of them take 21.8 TiB",
    "inspect absent.npy": "absent.npy does not exist",
    "inspect flat.npy": "two free axes",
    "inspect torn.zarr": "cannot be decoded",
    "inspect garbled.zarr": "is not JSON",
    "inspect cube.npy": "ambiguous",
    "inspect cube.npy --index 1": "--index must be AXIS=I",
    "demo --out folder": "must not exist yet, got folder",
    "demo --out folder --force": "an earlier demo only, and folder is none",
    "demo --out x.npy --force": "x.npy",
    "demo --out /proc/demo": "must be writable",
}


@pytest.mark.parametrize("command", OUTPUTS, ids=lambda command: command[:60])
def test_outputs_and_results_that_cannot_be_are_refused(command, files, srmfast_main, monkeypatch):
    monkeypatch.chdir(files)
    before = listing(files)
    refused(srmfast_main(command), OUTPUTS[command])
    assert listing(files) == before


@pytest.mark.parametrize(
    "command, match",
    [
        ("show broken.zarr", "broken.zarr is damaged"),
        ("show holed.zarr", "holed.zarr is damaged"),
        ("plot holed.zarr -o {out}/o.png", "holed.zarr is damaged"),
        ("run x.npy -o {out}/foreign.zarr --force", "replaces results only, and .*foreign.zarr is not one"),
    ],
)
def test_damaged_results_and_foreign_groups_are_noticed(command, match, files, tmp_path, srmfast_main, monkeypatch):
    monkeypatch.chdir(files)
    zarr.open_group(tmp_path / "foreign.zarr", mode="w", zarr_format=2)["activations"] = sample()
    before = listing(tmp_path)
    refused(srmfast_main(command.format(out=tmp_path)), match)
    assert listing(tmp_path) == before


def test_a_table_that_cannot_be_written_is_one_line(files, srmfast_main, monkeypatch):
    monkeypatch.chdir(files)
    refused(srmfast_main("show done.zarr --csv no/o.csv"), "output folder must exist, got .*/no; create it")


def test_a_huge_table_is_written_when_forced_only(files, tmp_path, srmfast_main, monkeypatch):
    from srmfast.commands import show

    monkeypatch.chdir(files)
    monkeypatch.setattr(show, "_LARGE", 1000)
    refused(srmfast_main(f"show done.zarr --csv {tmp_path}/o.csv"), r"240 lines, about 0\.0 GB; --force writes it")
    assert listing(tmp_path) == []
    assert srmfast_main(f"show done.zarr --csv {tmp_path}/o.csv --force").rc == 0
    refused(srmfast_main(f"show done.zarr --csv {tmp_path}/o.csv"), "must not exist yet")
    assert [path.name for path in tmp_path.iterdir()] == ["o.csv"]


@pytest.mark.parametrize(
    "command",
    ["", "nonsense", "run", "run x.npy", "run x.npy -o ''", "run x.npy --epsilon a -o o.zarr", "run x.npy --epsilon 0.5, -o o.zarr",
     "run x.npy --seed=-1 -o o.zarr", "run x.npy --seed 0.5 -o o.zarr", "run x.npy --angles 4.5 -o o.zarr",
     "run x.npy --nonfinite ignore -o o.zarr", "run x.npy --missing-chunks ignore -o o.zarr", "run x.npy --surprise -o o.zarr",
     "basis random --dim 6 -o o.npy", "basis standard --dim 6 --count 3 -o o.npy", "basis random --dim 6 --count 3 --seed=-1 -o o.npy",
     "basis odd --dim 6 -o o.npy", "plot done.zarr", "plot done.zarr -o o.png --kind pie", "show"],
)  # fmt: skip
def test_wrong_usage_ends_with_2(command, files, srmfast_main, monkeypatch):
    monkeypatch.chdir(files)
    before = listing(files)
    ended = srmfast_main(command)
    assert ended.rc == 2 and ended.stdout == "" and ended.stderr.splitlines()[-1].startswith("srmfast")
    assert listing(files) == before


# ---- what looks odd and works --------------------------------------------------------------------------


def counted(rows, basis=None, epsilon=0.5, a=8):
    """Counts of all ordered planes by the definition, (p, a)."""
    basis = np.eye(rows.shape[1]) if basis is None else basis / np.sqrt(naive.pinned_dot(basis, basis))[:, None]
    k = len(basis)
    return naive.counts(rows, basis, [(i, j) for i in range(k) for j in range(k) if i != j], [epsilon], a)[0]


@pytest.fixture
def counts_of(files, srmfast_main, monkeypatch, tmp_path):
    """`counts_of("x.npy …")` runs at ε = 0.5 on eight angles and loads the result."""
    monkeypatch.chdir(files)

    def call(words):
        before = listing(files)
        out = tmp_path / "o.zarr"
        ended = srmfast_main(f"run {words} --epsilon 0.5 --angles 8 --keep all -o {out} --force")
        assert ended.rc == 0 and ended.stderr == "", ended
        assert listing(files) == before and [path.name for path in tmp_path.iterdir()] == ["o.zarr"]
        return srmfast.load(out)

    return call


def rows_of(seen, used, zero_norm=0, nonfinite=0, **masked):
    """Row accounting as a result holds it."""
    masked = {rule.replace("_", " "): rows for rule, rows in masked.items()}
    return {
        "seen": seen,
        "used": used,
        "zero_norm": zero_norm,
        "zero_kept": 0,
        "nonfinite": nonfinite,
        "masked": masked,
        "duplicates": {"looked_at": used, "repeats": 0, "commonest": 1},
    }


def test_nonfinite_rows_are_skipped_and_accounted_for(counts_of):
    result = counts_of("spoiled.npy --nonfinite skip")
    assert result.attrs["rows"] == rows_of(300, 297, nonfinite=3)
    assert (result.counts[0, 0] == counted(np.delete(sample(), [7, 100, 299], axis=0))).all()


def test_missing_chunks_are_skipped_or_zeros_and_accounted_for(counts_of):
    there = np.r_[0:50, 100:250]
    skipped, zeros = counts_of("lost.zarr --missing-chunks skip"), counts_of("lost.zarr --missing-chunks zeros")
    assert skipped.attrs["rows"] == rows_of(300, 200, missing_chunk=100)
    assert zeros.attrs["rows"] == rows_of(300, 200, zero_norm=100)
    assert (skipped.counts[0, 0] == counted(sample()[there])).all() and (zeros.counts == skipped.counts).all()


def test_missing_chunks_outside_the_rows_asked_for_do_not_matter(counts_of):
    assert counts_of("lost.zarr --rows 100:250").attrs["rows"] == rows_of(150, 150)
    assert counts_of("lost.zarr --rows 0:50 --sample 20").attrs["rows"] == rows_of(20, 20)


def test_chunks_missing_inside_shards_are_found(files, tmp_path, srmfast_main, counts_of):
    holed = zarr.create_array(files / "shards.zarr", shape=(N, D), chunks=(25, D), shards=(100, D), dtype="f4")
    holed[:125], holed[150:] = sample()[:125], sample()[150:]
    refused(
        srmfast_main(f"run shards.zarr -o {tmp_path}/o.zarr"),
        r"25 rows .*\(c/1/0 inner chunk 1/0\): lost, or never written",
    )
    assert counts_of("shards.zarr --missing-chunks skip").attrs["rows"] == rows_of(300, 275, missing_chunk=25)
    assert counts_of("shards.zarr --missing-chunks zeros").attrs["rows"] == rows_of(300, 275, zero_norm=25)


@pytest.mark.parametrize(
    "basis", ["x.h5::group/basis", "x.zarr::basis", "vectors.npy", "named=vectors.npy", "columns.npy --basis-transpose"]
)
def test_a_basis_may_be_in_any_file(basis, files, counts_of):
    vectors = np.load(files / "columns.npy").T if "columns" in basis else np.load(files / "vectors.npy")
    assert (counts_of(f"x.npy --basis {basis}").counts[0, 0] == counted(sample(), vectors)).all()


@pytest.mark.parametrize(
    "store", ["x.h5::group/x", "x.zarr::x", "x.zarr::/x/", "whole.npz", "trap.npz::vectors", "two.npz::a"]
)
def test_a_store_may_be_in_any_file(store, counts_of):
    assert (counts_of(store).counts[0, 0] == counted(sample())).all()


def test_paths_with_equals_signs_colons_and_blanks(tmp_path, srmfast_main):
    folder = tmp_path / "lr=0.1, two words"
    folder.mkdir()
    np.save(folder / "x.npy", sample())
    np.save(folder / "b=1.npy", np.eye(D)[:3])
    ended = srmfast_main(f"run '{folder}/x.npy' --basis '{folder}/b=1.npy' -o '{folder}/o.zarr'")
    assert ended.rc == 0 and srmfast.load(folder / "o.zarr").attrs["basis_name"] == "b=1"


def test_several_bases_become_groups_and_odd_names_are_refused(tmp_path, files, srmfast_main, monkeypatch):
    monkeypatch.chdir(files)
    assert srmfast_main(f"run x.npy --basis standard --basis three=vectors.npy -o {tmp_path}/o.zarr").rc == 0
    assert list(srmfast.load(tmp_path / "o.zarr")) == [("x", "standard"), ("x", "three")]
    for name in ("../up", "a/b", ".zattrs", "__x"):
        refused(
            srmfast_main(f"run x.npy --basis standard --basis {name}=simplex -o {tmp_path}/p.zarr"),
            "becomes a group of the result",
        )
    assert [path.name for path in tmp_path.iterdir()] == ["o.zarr"]


@pytest.mark.parametrize(
    "how",
    [
        "--threads 7",
        "--block-rows 3",
        "--rows 0:99999999999999999999",
        "--sample 300",
        "--keep top:99999999999999999999",
    ],
)
def test_large_and_crooked_numbers_that_mean_something(how, counts_of):
    words = f"x.npy {how}" if "keep" not in how else "x.npy"
    assert (counts_of(words).counts[0, 0] == counted(sample())).all()


def test_values_may_begin_with_a_minus(tmp_path, files, srmfast_main):
    ended = srmfast_main(f"run {files}/x.npy --epsilon -0.5,0.5 --angles 8 --rows -9: -o {tmp_path}/o.zarr")
    assert ended.rc == 0, ended
    result = srmfast.load(tmp_path / "o.zarr")
    assert result.epsilon.tolist() == [-0.5, 0.5] and result.attrs["rows"] == rows_of(9, 9)
    assert (result.counts[0, 0] == counted(sample()[-9:], epsilon=-0.5)).all()


def test_force_replaces_a_result_and_leaves_nothing_beside_it(tmp_path, files, srmfast_main):
    command = f"run {files}/x.npy --angles 8 -o {tmp_path}/o.zarr"
    assert srmfast_main(f"{command} --epsilon 0.5").rc == 0
    refused(srmfast_main(f"{command} --epsilon 0.6"), "use --force")
    assert srmfast.load(tmp_path / "o.zarr").epsilon.tolist() == [0.5]
    assert srmfast_main(f"{command} --epsilon 0.6 --force").rc == 0
    assert srmfast.load(tmp_path / "o.zarr").epsilon.tolist() == [0.6]
    assert [path.name for path in tmp_path.iterdir()] == ["o.zarr"]


def test_dry_run_writes_nothing(files, srmfast_main, monkeypatch):
    monkeypatch.chdir(files)
    before = listing(files)
    for command in (
        "run x.npy --dry-run",
        "run x.npy --dry-run -o o.zarr --plot o.png",
        "run x.npy --dry-run -o done.zarr",
    ):
        ended = srmfast_main(command)
        assert ended.rc == 0 and ended.stderr == "" and "30 planes (permutations)" in ended.stdout
    refused(srmfast_main("run x.npy --dry-run --epsilon 2"), "epsilon")
    assert listing(files) == before


def test_a_run_draws_too(tmp_path, files, srmfast_main):
    ended = srmfast_main(f"run {files}/x.npy --epsilon 0.5 --angles 8 -o {tmp_path}/o.zarr --plot {tmp_path}/o.png")
    assert ended.rc == 0 and ended.stdout.endswith(f"written to {tmp_path}/o.zarr\ndrawn to {tmp_path}/o.png\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.png", "o.zarr"]


# ---- ended from outside ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_a_run_leaves_nothing(sent, tmp_path, srmfast_env, start):
    np.save(tmp_path / "x.npy", np.random.default_rng(3).normal(size=(100_000, 128)).astype(np.float32))
    words = "run x.npy --basis random:128 --planes random:500 --epsilon 0 --keep summary --progress bar -o o.zarr"
    command = [sys.executable, "-m", "srmfast", *words.split()]
    child = start(command, cwd=tmp_path, env=srmfast_env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    told = b""
    while b"counting x" not in told:
        assert select.select([child.stderr], [], [], 60)[0]
        told += os.read(child.stderr.fileno(), 4096)
        assert child.poll() is None
    child.send_signal(sent)
    began = time.monotonic()
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130 and out == b""
    assert err.endswith(b"srmfast: interrupted; nothing half-written is left\n") and b"Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]
    assert time.monotonic() - began < 20


def test_a_signal_that_comes_while_a_lock_is_taken_ends_the_run(files, srmfast_env):
    """Raised between the lock of a future and its `with`, an interrupt would leave the future locked for ever."""
    script = """
import os, signal, sys, threading, time
from srmfast.cli import main
from srmfast.engine.block import Worker

enter, count, armed = threading.Condition.__enter__, Worker.count, []

def slow(*arguments):
    armed.append(True)
    time.sleep(0.3)
    return count(*arguments)

def signalled(condition):
    entered = enter(condition)
    if armed and threading.current_thread() is threading.main_thread():
        os.kill(os.getpid(), signal.SIGINT)
    return entered

Worker.count, threading.Condition.__enter__ = slow, signalled
sys.exit(main("run x.npy --angles 8 --progress none -o never.zarr".split()))
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=files, env=srmfast_env, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 130 and ended.stdout == ""
    assert ended.stderr == "srmfast: interrupted; nothing half-written is left\n"


def test_an_interrupt_while_the_result_is_written_leaves_nothing(tmp_path, files, srmfast_main, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(zarr, "consolidate_metadata", interrupt)
    refused(
        srmfast_main(f"run {files}/x.npy --angles 8 -o {tmp_path}/o.zarr"),
        "interrupted; nothing half-written is left",
        rc=130,
    )
    assert listing(tmp_path) == []


def test_a_disk_that_cannot_take_the_result_leaves_nothing(tmp_path, files, srmfast_cli):
    import resource

    def small_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))

    warm = srmfast_cli(f"run {files}/x.npy --angles 8 -o {tmp_path}/warm.zarr")
    assert warm.rc == 0 and warm.stderr.count("\n") <= 1
    ended = srmfast_cli(f"run {files}/x.npy --angles 720 -o {tmp_path}/o.zarr", preexec_fn=small_disk)
    refused(ended, "must fit on the disk of .*o.zarr: File too large")
    assert [path.name for path in tmp_path.iterdir()] == ["warm.zarr"]


def test_a_reader_that_leaves_is_no_failure(files, srmfast_env):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "srmfast", "show", str(files / "done.zarr")]
    ended = subprocess.run(command, env=srmfast_env, stdout=write, stderr=subprocess.PIPE, timeout=60)
    os.close(write)
    assert ended.returncode == 0 and ended.stderr == b""


# ---- help and imports ------------------------------------------------------------------------------------


def test_every_command_has_help(srmfast_main):
    listed = srmfast_main("--help")
    assert listed.rc == 0 and listed.stderr == ""
    for command in COMMANDS:
        ended = srmfast_main(f"{command} --help")
        assert ended.rc == 0 and ended.stdout.startswith(f"usage: srmfast {command}") and "Python: " in ended.stdout
        assert re.search(rf"^    {command}\s+\S", listed.stdout, re.M)
    assert re.findall(r"^    ([a-z]+)(?: |$)", listed.stdout, re.M) == list(COMMANDS)


def test_the_first_screens_of_help_hold_what_most_runs_need(srmfast_main, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    first = srmfast_main("run --help").stdout.splitlines()[:34]
    for option in ("STORE", "--basis", "--epsilon", "--centre", "--null", "-o, --out OUT.zarr", "--plot"):
        assert any(line.startswith(f"  {option}") for line in first), option
    assert len(srmfast_main("--help").stdout.splitlines()) <= 40


def test_version(srmfast_main):
    assert srmfast_main("--version").stdout == f"srmfast {srmfast.__version__}\n"


@pytest.mark.parametrize("code", ["import srmfast", "import srmfast.cli; srmfast.cli.build_parser().format_help()"])
def test_help_and_import_load_nothing_heavy(code, srmfast_env):
    code += "; import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    told = subprocess.run([sys.executable, "-c", code], env=srmfast_env, capture_output=True, text=True, timeout=60)
    heavy = {"numpy", "numba", "zarr", "h5py", "matplotlib", "scipy", "onnxruntime", "pandas"}
    assert told.returncode == 0 and heavy.isdisjoint(told.stdout.split())


def test_no_command_in_a_process_of_its_own(srmfast_cli):
    ended = srmfast_cli("")
    assert ended.rc == 2 and ended.stdout == "" and "COMMAND" in ended.stderr
