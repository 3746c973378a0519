"""The benchmark and the tools around it, at toy sizes, so that they cannot rot."""

import argparse
import re
import subprocess
import sys

import h5py
import numpy as np
import pytest
import zarr
from conftest import ROOT

import srmfast
from bench import anchor, timing
from bench.answers import check_same, check_sample, check_total, compare
from bench.run import SECTIONS
from srmfast import naive
from tools import make_store, measure_run


@pytest.fixture
def script(srmfast_env):
    """`script("tools/make_store.py", …)` in a process of its own."""

    def call(name, *words):
        command = [sys.executable, str(ROOT / name), *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, env=srmfast_env, timeout=200)

    return call


@pytest.fixture
def made(capsys, tmp_path):
    """`made("x.zarr", …)`: a store of 1 MiB and what was said about it."""

    def call(name, *words):
        words = tmp_path / name, "--gib", 2**-10, "--chunk-mib", 0.25, *words
        capsys.readouterr()
        assert not make_store.main([*map(str, words)])
        return tmp_path / name, capsys.readouterr().out

    return call


@pytest.mark.parametrize(
    ("clock", "names"),
    [
        ((), ("headline", "break-even", "parts", "wide")),
        (("--cpu",), ("cost", "threads", "dictionary", "stores", "gradient", "processes", "training", "anchor")),
    ],
)
def test_the_benchmark_runs_and_checks_its_answers(script, clock, names):
    ended = script("bench/run.py", "--quick", *clock, *(word for name in names for word in ("--only", name)))
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert "sgemm" in ended.stdout and "memory read" in ended.stdout
    sections = ended.stdout.split("\n## ")[1:]
    assert [section.partition("\n")[0] for section in sections] == [
        title for name, (title, _) in SECTIONS.items() if name in names
    ]
    for section in sections:
        tables = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
        assert tables
        for lines in map(str.splitlines, tables):
            assert len(lines) > 2 and len({len(line) for line in lines}) == 1
    assert ("CPU seconds of all threads" in ended.stdout) == bool(clock)
    if "headline" in names:
        for way in ("1 thread", "NumPy screen", "float32 BLAS", "by BLAS", "by einsum", "naive"):
            assert re.search(rf"\| [^|]*{way}[^|]*\|", sections[0]), way


def test_the_benchmark_refuses_wrong_counts():
    reference = np.zeros((1, 400), np.int64)
    one_off = reference.copy()
    one_off[0, 3] = 1
    assert compare(reference, reference, "naive") == 0
    assert compare(one_off, reference, "two-line NumPy screen") == 1
    with pytest.raises(AssertionError, match="1 of 400 counts differ"):
        compare(one_off, reference, "naive")
    with pytest.raises(AssertionError, match="400 of 400"):
        compare(reference + 1, reference, "two-line NumPy screen")
    with pytest.raises(AssertionError, match="by up to 9"):
        compare(one_off * 9, reference, "two-line NumPy screen")


def test_wrong_sums_and_planes_are_refused(rng):
    X = rng.standard_normal((30, 4))
    result = srmfast.run(X, "standard", epsilon=0.5, angles=8, keep="all")
    check_same([result, result])
    check_sample(result, X)
    check_total(result, X)
    for check in (check_sample, check_total):
        with pytest.raises(AssertionError, match="differ from the definition"):
            check(result, X[1:] * 0.5 + X[:-1])
    with pytest.raises(AssertionError, match="different counts"):
        check_same([result, srmfast.run(X[1:], "standard", epsilon=0.5, angles=8, keep="all")])


COUNTERS = {"scipy": anchor.kd_tree, "Corrfunc": lambda *problem: anchor.corrfunc(*problem)()}


@pytest.mark.parametrize("counter", COUNTERS)
def test_pair_counters_count_what_the_planes_sum_up_to(counter, rng):
    pytest.importorskip(counter)
    rows, B, planes, epsilons = (
        rng.standard_normal((50, 3)),
        np.eye(3)[:, [1, 2, 0]],
        [(0, 1), (2, 1)],
        (0.9, 0.5, -0.2),
    )
    probes = anchor.probe_directions(B, planes, 12)
    assert probes.shape == (2, 12, 3) and np.allclose(np.linalg.norm(probes, axis=-1), 1.0)
    wanted = naive.counts(rows, B, planes, epsilons, 12).sum(axis=(1, 2))
    assert COUNTERS[counter](probes.reshape(-1, 3), rows, epsilons).tolist() == wanted.tolist()


def test_without_corrfunc_the_table_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "Corrfunc.mocks", None)
    anchor.anchor(quick=True)
    shown = capsys.readouterr().out
    assert "pip install Corrfunc" in shown and anchor.CORRFUNC not in shown and "SciPy" in shown


def test_ways_are_timed_in_turn():
    order = []
    series = timing.alternate({"a": lambda: order.append("a"), "b": [lambda n=n: order.append(n) for n in range(3)]}, 3)
    assert order == ["a", 0, "a", 1, "a", 2]
    assert [len(one.seconds) for one in series.values()] == [3, 3]


def test_rounds_end_at_the_limit():
    assert len(timing.alternate({"a": lambda: None}, 50, limit=0.0, least=2)["a"].seconds) == 2


def test_a_slow_call_is_given_little_to_do(monkeypatch):
    clock = iter(np.cumsum([0, 1, 0, 8, 0, 8]).tolist())
    monkeypatch.setattr(timing, "clock", lambda: next(clock))
    sizes = []
    assert timing.affordable(sizes.append, 10_000, 20.0, least=10) == 200  # 80 in 8 s
    assert sizes == [10, 80]


def test_rounds_are_compared_with_each_other():
    one, other = timing.Series("a", [1.0, 2.0, 4.0]), timing.Series("b", [8.0, 18.0, 32.0])
    assert timing.ratio(other, one) == 8 and timing.difference(other, one) == 16
    assert timing.exponent(other, one, 2) == pytest.approx(3)
    assert [timing.nanoseconds(1e-6, 4), timing.nanoseconds(1.0, 0)] == ["250.0 ns", "–"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(83.4, "83.4 s"), (1.5, "1.50 s"), (0.0401, "40.1 ms"), (2.5e-5, "25.0 µs"), (4321, "4,321 s")],
)
def test_durations_are_short(value, text):
    assert timing.seconds(value) == text


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("codec", ["blosc-lz4", "none"])
def test_a_zarr_store_is_made(made, dtype, codec):
    path, said = made("x.zarr", "--dim", 32, "--dtype", dtype, "--codec", codec)
    array = zarr.open_array(path, mode="r")
    rows = array[...]
    assert rows.nbytes == 2**20 and rows.dtype == dtype and array.chunks == (2**18 // 32 // rows.itemsize, 32)
    assert np.isfinite(rows).all() and (np.abs(rows).max(axis=1) > 0).all()
    assert len(np.unique(rows, axis=0)) > len(rows) // 2  # more than the distinct blocks' permutations would give
    assert f"{len(rows):,} rows" in said and codec in said


def test_every_format_holds_the_same_rows(made):
    rows = [
        zarr.open_array(made("x.zarr")[0], mode="r")[...],
        np.load(made("x.npy", "--format", "npy")[0]),
        h5py.File(made("x.h5", "--format", "h5")[0])["activations"][...],
    ]
    assert (rows[0] == rows[1]).all() and (rows[0] == rows[2]).all()


def test_an_hdf5_store_is_chunked_only_when_compressed(made):
    for words, chunks in (((), None), (("--codec", "gzip"), (2**18 // 128, 64))):
        path, _ = made(f"{len(words)}.h5", "--format", "h5", *words)
        assert h5py.File(path)["activations"].chunks == chunks


def test_a_codec_that_the_format_lacks_is_refused(script, tmp_path):
    ended = script("tools/make_store.py", tmp_path / "x.npy", "--gib", 1, "--format", "npy", "--codec", "gzip")
    assert ended.returncode == 2 and "gzip is not for --format npy, which takes none" in ended.stderr


def test_the_seed_decides_the_rows_and_chunks_differ(made):
    first, again, other = (
        np.load(made(f"{n}.npy", "--format", "npy", "--seed", seed)[0]) for n, seed in enumerate((0, 0, 1))
    )
    assert (first == again).all() and (first != other).any()
    long = np.load(made("long.npy", "--format", "npy", "--chunk-mib", 2**-5)[0])
    chunks = long.reshape(32, -1)
    assert len(np.unique(chunks, axis=0)) == 32


def test_an_existing_store_is_left_alone(script, made):
    path, _ = made("x.npy", "--format", "npy")
    before = path.read_bytes()
    ended = script("tools/make_store.py", path, "--gib", 0.001)
    assert ended.returncode == 2 and "must not exist" in ended.stderr
    assert path.read_bytes() == before


def test_a_run_is_measured_against_the_fastest_reader(script, made):
    path, _ = made("x.npy", "--format", "npy")
    ended = script("tools/measure_run.py", path, "--memory", "1GiB", "--max-ratio", 0.01, "--pairs", 1)
    assert ended.returncode == 1 and "TOO SLOW" in ended.stdout
    tried = re.findall(r"(\d+x\d+) ([\d.]+) (m?)s", ended.stdout)
    spent = {way: float(text) * (1e-3 if milli else 1.0) for way, text, milli in tried}
    best = re.search(r"(\d+x\d+) is the reader", ended.stdout)[1]
    assert len(spent) == 2 and spent[best] == min(spent.values())
    for process in ("merely reads", "srmfast run, ε 0.5"):
        assert re.search(rf"\| {process} +\| +[\d.]+ m?s \|", ended.stdout)
    assert re.search(r"stages of the last run, threads added up: read [\d.]+ [mµ]?s, decode", ended.stdout)
    assert 50 < int(re.search(r"peak ([\d,]+) of 1,024 MiB", ended.stdout)[1]) < 1024


@pytest.mark.parametrize(
    ("max_ratio", "budget", "code", "words"),
    [(2.0, 300, 0, ()), (1.4, 300, 1, ("TOO SLOW",)), (2.0, 99, 1, ("OVER THE BUDGET",))],
)
def test_a_limit_exceeded_is_an_exit_code(max_ratio, budget, code, words, capsys):
    options = argparse.Namespace(store="x.zarr", cold=False, epsilon="0.5", max_ratio=max_ratio)
    reads, runs = [(1.0, 1.0, 1 << 20)] * 3, [(each, 1.0, 100 << 20) for each in (1.5, 9.0, 1.1)]
    assert measure_run.report(options, 5, {"1x1": 1.0}, "1x1", reads, runs, {"read": 1.0}, budget << 20) == code
    shown = capsys.readouterr().out
    assert "ratio 1.50 (median of 3 pairs" in shown and "100 MiB |" in shown
    assert [word for word in ("TOO SLOW", "OVER THE BUDGET") if word in shown] == list(words)


def test_a_store_is_not_made_over_another(script, made):
    path, _ = made("x.zarr")
    ended = script("tools/measure_run.py", path, "--make", 0.002)
    assert ended.returncode == 2 and "must not exist yet" in ended.stderr
    assert zarr.open_array(path, mode="r").shape[0]


def test_a_run_that_fails_is_no_measurement(script, made):
    path, _ = made("x.zarr")
    ended = script("tools/measure_run.py", path, "--basis", "nonsense", "--pairs", 1)
    assert ended.returncode == 1 and "basis must be" in ended.stderr
