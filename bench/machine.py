"""Where the numbers come from: the machine, the versions, and two speeds by which to place them."""

import itertools
import os
import platform
import time

import numba
import numpy as np
import scipy
from threadpoolctl import threadpool_info, threadpool_limits

import srmfast
from bench.timing import alternate

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def machine(quick):
    """Print one paragraph about the machine."""
    side, nbytes = (256, 1 << 24) if quick else (2048, 1 << 29)
    blas = ", ".join(
        f"{pool['internal_api']} {pool['version']}" for pool in threadpool_info() if pool["user_api"] == "blas"
    )
    versions = [f"{module.__name__} {module.__version__}" for module in (srmfast, np, scipy, numba)]
    print(f"{_cpu()}, {CORES} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}")
    print(f"{', '.join(versions)}, BLAS {blas}")
    matrix, memory = np.ones((side, side), np.float32), np.ones(nbytes // 8)
    with threadpool_limits(1, user_api="blas"):
        one = alternate({"sgemm": lambda: matrix @ matrix, "read": lambda: memory @ memory}, 4)
    every = alternate({"sgemm": lambda: matrix @ matrix}, 4, by=time.perf_counter)
    flops = 2 * side**3 / 1e9
    print(
        f"sgemm {flops / min(one['sgemm'].seconds):,.0f} GFLOP/s on one core, {flops / min(every['sgemm'].seconds):,.0f} "
        f"on {CORES}; memory read at {nbytes / 1e9 / min(one['read'].seconds):.1f} GB/s by one core; "
        f"load {os.getloadavg()[0]:.1f} at the start"
    )


def warm():
    """Run every kind of kernel once, so that no section pays for compiling; return the seconds."""
    began = time.perf_counter()
    rng = np.random.default_rng(0)
    for dtype in (np.float16, np.float32, np.float64):
        for basis, keep in itertools.product(("standard", "random:64", "random:70"), ("all", "summary", "top:3")):
            srmfast.run(rng.standard_normal((8, 64)).astype(dtype), basis, epsilon=0.5, angles=12, keep=keep)
    return time.perf_counter() - began


def _cpu():
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
