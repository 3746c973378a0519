"""Whole processes: starting up, and a run beside a process that merely reads the same store."""

import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

import srmfast
from bench import timing
from bench.answers import check_sample
from bench.timing import alternate, ratio, seconds, table, times
from tools.measure_run import ROOT, environment

_IMPORTS = "import numpy, numba, zarr"


def processes(quick):
    """Print the times of processes that do little, then what `tools/measure_run.py` says of one that does much."""
    with tempfile.TemporaryDirectory() as folder:
        _start(Path(folder), 1 if quick else 7)
        _measured(Path(folder), *((0.002, "--pairs", 1, "--way", "1x1") if quick else (1.0,)))


def _start(folder, rounds):
    """Time commands as their user does: from the shell's point of view, warm."""
    rows, out = folder / "rows.npy", folder / "out.zarr"
    np.save(rows, np.random.default_rng(0).standard_normal((100, 8), dtype=np.float32))
    run = ["-m", "srmfast", "run", str(rows), "--basis", "standard", "--epsilon", "0.5", "-o", str(out), "--force"]
    commands = {
        "python -c pass": (["-c", "pass"], "–"),
        f'python -c "{_IMPORTS}"': (["-c", _IMPORTS], "–"),
        "srmfast --help": (["-m", "srmfast", "--help"], "0.15 s"),
        "srmfast run, 100 × 8 rows in .npy": (run, "1.5 s"),
    }
    _python(run)  # compiles
    calls = {name: partial(_python, words) for name, (words, _) in commands.items()}
    series = alternate(calls, rounds, by=_cpu_of_children if timing.clock is time.process_time else None)
    if any("usage: srmfast" not in said for said in series["srmfast --help"].answers):
        raise AssertionError("srmfast --help does not help")
    check_sample(srmfast.load(out), np.load(rows), size=4)
    first, *_ = series.values()
    lines = [[name, seconds(one.median), times(ratio(one, first)), commands[name][1]] for name, one in series.items()]
    print(table(["process", "time", "of python's own", "target"], lines))


def _measured(folder, size, *words):
    """Let `tools/measure_run.py`, a small process, watch others that read and analyse the store that it makes."""
    print(
        f"\nA Zarr store of {size:g} GB: blosc-lz4, float16, d = 768; standard basis, all planes, 360 angles; "
        "targets: ratio 1.3, peak within the budget.\n"
    )
    watch = [ROOT / "tools" / "measure_run.py", folder / "rows.zarr", "--make", size, "--memory", "256MiB"]
    print(_python([*watch, *words], allowed=(0, 1)))  # 1: a limit is exceeded, and it says so


def _cpu_of_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _python(words, allowed=(0,)):
    """Run Python to its end and return what it wrote; an error ends the benchmark."""
    ended = subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, env=environment(), timeout=600
    )
    if ended.returncode not in allowed or ended.stderr:
        raise AssertionError(f"{words} ended with {ended.returncode}: {ended.stderr}{ended.stdout}")
    return ended.stdout.strip()
