"""The same counts on any CPU: one table of exactness problems, one hash, whatever LLVM and BLAS are told to use."""

import json
import math
import os
import platform
import subprocess
import sys
from pathlib import Path

import cases
import counts_hash
import ml_dtypes
import numpy as np
import pytest
from llvmlite import binding
from test_agreement import tree_mean, tree_sum
from threadpoolctl import threadpool_info

import srmfast
from srmfast import naive
from srmfast.spec import hash_array

DTYPES = ("float16", "bfloat16", "float32", "float64")
KINDS = ("gaussian", "relu", "one-hot", "small-integer", "on-grid")
SIGNS = (-0.5, 0.0, 0.5, float(np.sqrt(0.5)), 1.0)


def stored(rows, dtype):
    """Return rows as they are stored, and as they are written to the table."""
    rows = rows.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    return rows, rows.view(np.uint16) if dtype == "bfloat16" else rows


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A folder with rows, bases and problems: every process is given the same bytes."""
    folder, rng = tmp_path_factory.mktemp("table"), np.random.default_rng(20250513)
    problems = {}

    def save(name, array):
        np.save(folder / f"{name}.npy", array)
        return name

    rows = {d: np.concatenate([cases.rows(kind, 12, d, rng) for kind in KINDS] + [np.zeros((3, d))]) for d in (6, 64)}
    for d, array in rows.items():
        rng.shuffle(array)
        for dtype in DTYPES:
            save(f"{dtype}-{d}", stored(array, dtype)[1])
    labels = save("labels", rng.integers(0, 3, len(rows[6])))
    bases = {kind: save(kind, cases.basis(kind, 6, rng)) for kind in cases.BASES}
    bases["thompson"] = save("thompson", srmfast.load_basis("thompson:9", 6).vectors)
    for number, dtype in enumerate(DTYPES):  # scans
        for turn, basis in enumerate(bases):
            problem = {"rows": f"{dtype}-6", "basis": basis, "epsilon": SIGNS, "angles": (360, 9)[(number + turn) % 2]}
            problems[f"{basis} {dtype}"] = problem | ({"labels": labels} if turn % 2 else {})
    centred = {"rows": "float32-6", "basis": bases["oblique"], "epsilon": SIGNS, "angles": 360, "centre": True}
    problems["centred"] = centred | {"labels": labels}
    wide = {kind: save(f"{kind}-64", cases.basis(kind, 64, rng)) for kind in ("standard", "rotated", "oblique")}
    for dtype in DTYPES:  # searches
        problems[f"standard 64 {dtype}"] = {"rows": f"{dtype}-64", "basis": wide["standard"], "angles": 12}
    problems["rotated 64"] = {"rows": "float32-64", "basis": wide["rotated"], "angles": 9}
    for dtype in ("float16", "float64"):
        problems[f"oblique 64 {dtype}"] = {"rows": f"{dtype}-64", "basis": wide["oblique"], "angles": 9}
    for problem in problems.values():
        problem.setdefault("epsilon", (0.5,))
    (folder / "table.json").write_text(json.dumps(problems))
    return folder


def by_definition(folder):
    """Yield what `counts_hash.digest` takes, from naive.py alone."""
    for name, rows, arguments in counts_hash.problems(folder):
        rows = rows.astype(np.float64)
        basis = srmfast.load_basis(arguments["basis"], rows.shape[1]).vectors
        k = range(len(basis))
        planes = [(i, j) for i in k for j in k if i != j and naive.plane(basis[i], basis[j])[1] >= 1e-6]
        norms, mean = np.sqrt(naive.pinned_dot(rows, rows)), ""
        n = np.count_nonzero(norms)
        offset = math.sqrt(math.fsum((tree_sum(rows) / n) ** 2) / (tree_sum(norms**2) / n))
        if arguments.get("centre"):
            mean = tree_mean(rows) + 0.0
            rows, mean = rows - mean, hash_array(mean)
        labels = arguments.get("labels", np.zeros(len(rows), int))
        parts = [rows[labels == label] for label in np.unique(labels)]
        counts = [naive.counts(part, basis, planes, arguments["epsilon"], arguments["angles"]) for part in parts]
        yield name, np.stack(counts), np.array([(naive.pinned_dot(x, x) > 0).sum() for x in parts]), mean, offset


@pytest.fixture(scope="module")
def expected(table):
    """The hash of what naive.py counts."""
    return counts_hash.digest(by_definition(table))


def counted(table, **environment):
    """Return the hash of a process of its own, and what it has counted with."""
    script = Path(counts_hash.__file__)
    done = subprocess.run(
        [sys.executable, str(script), str(table)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    found, *means = done.stdout.split()
    return found, set(means)


FEATURES = binding.get_host_cpu_features()
X86 = platform.machine().lower() in ("x86_64", "amd64")


def test_here_and_the_table_reaches_what_it_should(table, expected):
    ways, found = {}, []
    for name, rows, arguments in counts_hash.problems(table):
        result = srmfast.run(rows, keep="all", **arguments)
        ways[name] = result.attrs["provenance"]["method"]
        assert result.counts.any() and (name == "centred" or result.attrs["rows"]["zero_norm"] >= 3)
        found.append((name, *counts_hash.numbers(result)))
    assert sum(way == "search" for way in ways.values()) == 7 and ways["standard 64 float16"] == "search"
    assert counts_hash.digest(found) == expected


def test_on_a_cpu_without_any_extension(table, expected):
    """No vectors beyond the oldest, no instruction for float16: calling it would end the process."""
    found, means = counted(table, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")
    assert found == expected and "False" in means


@pytest.mark.skipif(not X86, reason="only x86 has AVX-512")
@pytest.mark.skipif(
    not any(on and name.startswith("avx512") for name, on in FEATURES.items()), reason="this CPU is one"
)
def test_without_avx512(table, expected):
    features = {name: on and not name.startswith(("avx512", "avx10", "evex")) for name, on in FEATURES.items()}
    flat = ",".join(f"{'+' if on else '-'}{name}" for name, on in sorted(features.items()))
    found, means = counted(table, NUMBA_CPU_FEATURES=flat)
    assert found == expected and str(FEATURES.get("f16c", False)) in means


BLAS = {
    "Haswell": ("avx2", "fma"),
    "Nehalem": ("sse4.2",),
    "SkylakeX": ("avx512f", "avx512bw", "avx512dq", "avx512vl"),
}


@pytest.mark.parametrize("kind", BLAS)
@pytest.mark.skipif(not X86, reason="these are kinds of x86")
def test_with_the_blas_of(kind, table, expected):
    if not all(FEATURES.get(feature) for feature in BLAS[kind]):
        pytest.skip("this CPU cannot run it")
    if "openblas" not in np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]:
        pytest.skip("NumPy has another BLAS")
    if kind in {pool.get("architecture") for pool in threadpool_info()}:
        pytest.skip("that is the kind of this process")
    found, means = counted(table, OPENBLAS_CORETYPE=kind)
    assert found == expected
    assert kind in means
