"""Fixtures shared by all tests."""

import os
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# Several tests run at once: threads of BLAS that wait for one another would hold the cores that the others need.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import pytest  # noqa: E402

import srmfast  # noqa: E402
from srmfast import cli  # noqa: E402

ROOT = Path(srmfast.__file__).parents[1]


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    rc: int
    stdout: str
    stderr: str


@pytest.fixture
def rng():
    """A generator with a fixed seed."""
    return np.random.default_rng(20250513)


@pytest.fixture
def srmfast_env():
    """The environment in which a child process finds the package under test."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path, "MPLBACKEND": "agg"}


@pytest.fixture
def srmfast_cli(srmfast_env):
    """`srmfast_cli("run x.npy …")` in a process of its own, with warnings as errors; options go to subprocess.run."""

    def call(command, **options):
        words = [sys.executable, "-W", "error", "-m", "srmfast", *shlex.split(command)]
        ended = subprocess.run(words, capture_output=True, text=True, env=srmfast_env, timeout=200, **options)
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return call


@pytest.fixture
def start():
    """`start([word, …], **options)` is subprocess.Popen; what is still there when the test ends is killed."""
    started = []

    def call(words, **options):
        started.append(subprocess.Popen(words, **options))
        return started[-1]

    yield call
    for process in started:
        process.kill()
        process.wait()
        for stream in filter(None, (process.stdin, process.stdout, process.stderr)):
            stream.close()  # not read to its end: a grandchild may hold the other one


@pytest.fixture
def srmfast_main(capsys):
    """`srmfast_main("run x.npy …")` in this process: no imports to wait for."""
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)}

    def call(command):
        capsys.readouterr()
        try:
            rc = cli.main(shlex.split(command))
        except SystemExit as stop:
            rc = stop.code
        return Ended(rc, *capsys.readouterr())

    yield call
    for signum, handler in handlers.items():
        signal.signal(signum, handler)
