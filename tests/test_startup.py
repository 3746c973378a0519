"""From the first word to the last: what a process loads, who compiles what is missing, and what is told."""

import io
import os
import shutil
import textwrap
import time

import numpy as np
import pytest
from test_kernel_cache import python

import srmfast
from srmfast.engine.compiling import SECONDS
from srmfast.engine.events import BlockDone, KernelsMissing, KernelsReady, PassStarted
from srmfast.kernels._cache import FOLDERS
from srmfast.progress import Progress

# ---- what is loaded --------------------------------------------------------------------------------------

LOADED = """
import resource
from srmfast import __main__, cli
try:
    code = cli.main(sys.argv[1:])
except SystemExit as stop:
    code = stop.code
used = resource.getrusage(resource.RUSAGE_SELF)
print("|", code, used.ru_utime + used.ru_stime, *sys.modules)
"""


def loaded(done):
    code, seconds, *modules = done.stdout.rpartition("|")[2].split()
    assert code == "0", done.stderr
    return float(seconds), set(modules)


def test_help_is_quick_and_loads_nothing(srmfast_env):
    seconds, modules = zip(*(loaded(python(LOADED, "--help", env=srmfast_env)) for _ in range(3)), strict=True)
    assert min(seconds) < 0.15
    assert not {"numpy", "numba", "zarr", "matplotlib", "scipy"} & modules[0]


def test_a_second_run_loads_only_what_it_needs(tmp_path, srmfast_env):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(50, 4)))
    words = "run", tmp_path / "x.npy", "-o", tmp_path / "o.zarr", "--force"
    for _ in range(2):
        done = python(LOADED, *words, env=srmfast_env)
    modules = loaded(done)[1]
    assert "numba" in modules and done.stderr == ""
    assert not {"matplotlib", "h5py", "xarray", "pandas", "sklearn", "onnx", "onnxruntime"} & modules
    assert "numba.np.arraymath" not in modules  # what compiles has not been needed


# ---- who compiles, and what is told ----------------------------------------------------------------------

TINY = """
import numpy as np
from srmfast.engine import compiling
from srmfast.kernels.rows import pinned_dot
compiling.warm = lambda *_, **__: pinned_dot(np.arange(3.0), np.arange(3.0))
"""
RUN = """
import json
from srmfast.engine import compiling
from srmfast.kernels.rows import pinned_dot
seen, kernels = [], compiling.Kernels("float32", False, "int32")
{before}
for _ in range(2):
    kernels.announce(seen.append, apart={apart})
    seen.append(kernels.load())
x = compiling.np.arange(3.0)
print(json.dumps(dict(
    value=pinned_dot(x, x), told=[type(event).__name__ for event in seen],
    compiled=[event.compiled for event in seen[1:] if hasattr(event, "compiled")],
    problem=seen[1].problem if len(seen) > 2 else "",
    here=sum(pinned_dot.stats.cache_misses.values()),
)))
"""
TOLD = ["KernelsMissing", "KernelsReady", "KernelsReady"]
QUIET = {"value": 5.0, "told": TOLD[1:], "compiled": [False], "problem": "", "here": 0}


@pytest.fixture
def tiny(tmp_path, srmfast_env):
    """Run `RUN` in a process for which, and for whose children, one small kernel is all that is needed."""
    import json

    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(TINY)
    path = os.pathsep.join([str(tmp_path / "site"), srmfast_env["PYTHONPATH"]])
    environment = srmfast_env | {"PYTHONPATH": path, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def call(apart, before="", **more):
        done = python(RUN.format(apart=apart, before=textwrap.dedent(before)), env=environment | more)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        return json.loads(done.stdout)

    return call


def test_missing_kernels_are_compiled_apart_and_only_once(tiny):
    cold = tiny(True)
    assert cold == {"value": 5.0, "told": TOLD, "compiled": [False, False], "problem": "", "here": 0}
    assert tiny(True) == tiny(False) == QUIET


def test_a_library_compiles_in_its_own_process(tiny):
    cold = tiny(False)
    assert cold == {"value": 5.0, "told": TOLD, "compiled": [True, False], "problem": "", "here": 1}
    assert tiny(False) == QUIET


@pytest.mark.parametrize("executable", ["/bin/false", "/none", None])
def test_a_child_that_cannot_work_is_survived(executable, tiny):
    cold = tiny(True, f"sys.executable = {executable!r}")
    assert cold == {"value": 5.0, "told": TOLD, "compiled": [True, False], "problem": "", "here": 1}


def test_without_a_folder_to_write_no_child_is_started_and_the_reason_is_told(tiny):
    cold = tiny(True, "compiling.subprocess.run = None", NUMBA_CACHE_DIR="/proc/none")
    problem = cold.pop("problem")
    assert cold == {"value": 5.0, "told": TOLD, "compiled": [True, False], "here": 1}
    assert problem.startswith("/proc/none/srmfast-kernels-") and problem.endswith(": No such file or directory")


def test_a_real_run_with_a_damaged_cache_counts_the_same_and_mends_it(tmp_path, srmfast_cli, srmfast_env):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(50, 4)))
    whole = srmfast.run(tmp_path / "x.npy", angles=8)
    (source,) = [path for path in FOLDERS.paths if os.path.isdir(path)][:1]
    folder = tmp_path / "cache" / os.path.basename(source)
    shutil.copytree(source, folder)
    srmfast_env["NUMBA_CACHE_DIR"] = str(tmp_path / "cache")
    (damaged,) = folder.glob("decode.tally_fates-*")
    for spoil in (lambda: os.truncate(damaged, 99), damaged.unlink):
        spoil()
        ended = srmfast_cli(f"run {tmp_path}/x.npy --angles 8 -o {tmp_path}/o.zarr --force")
        assert ended.rc == 0 and ended.stderr == ""
        assert (srmfast.load(tmp_path / "o.zarr").counts == whole.counts).all()
        assert damaged.stat().st_size > 999


@pytest.mark.parametrize("mode, lines", [("plain", 1), ("bar", 1), ("none", 0)])
def test_progress_tells_that_kernels_are_compiled_before_and_of_a_problem_once(mode, lines):
    stream = io.StringIO()
    told = Progress(mode, stream)
    told(KernelsMissing(SECONDS))
    told(KernelsReady(14.2, True))
    assert stream.getvalue().count("\n") == lines and (f"about {SECONDS:.0f} s" in stream.getvalue()) == bool(lines)
    for _ in range(2):
        told(KernelsReady(14.2, True, "/x: no"))
    assert stream.getvalue().count("but /x: no; set NUMBA_CACHE_DIR") == lines


@pytest.mark.parametrize("mode", ["plain", "bar"])
def test_progress_tells_rows_and_bytes_a_second_without_the_time_of_compiling(mode, monkeypatch):
    stream, now = io.StringIO(), iter([0.0, 100.0, 200.0, 200.0, 200.0, 200.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    told = Progress(mode, stream)
    told(PassStarted("count", "x", 4000, 8_000_000_000))
    told(KernelsReady(100.0, True))
    told(BlockDone(1000, 2_000_000_000))
    assert "1,000 of 4,000 rows, 10 rows/s, 20 MB/s, 5:00 left" in stream.getvalue()
