"""How much faster several threads are than one, for problems that lean on different parts of the machine."""

import time
from functools import partial

import numpy as np

import srmfast
from bench.answers import arcs_of, check_same, check_sample, ours
from bench.machine import CORES
from bench.timing import alternate, ratio, seconds, table

TARGETS = {2: 1.85, 16: 13.0}  # speed-up


def threads(quick):
    """Speed-up against one thread; the counts are the same for every number of threads."""
    n, width, rounds = (600, 66, 2) if quick else (60_000, 512, 5)
    numbers = [number for number in (1, 2, 4, 8, 16) if number <= max(CORES, 2)]
    rng = np.random.default_rng(6)
    rows = rng.standard_normal((10 * n, 16))
    wide = rng.standard_normal((n // 3, width), dtype=np.float32)
    problems = [
        ("headline", rows[:n], "thompson:32", 0.85, "all"),
        ("headline, ten times the rows", rows, "thompson:32", 0.85, "all"),
        ("nearly every row hits", rows[: n * 3], "random:16", 0.05, "all"),
        ("wide", wide, f"random:{width}", 0.2, "summary"),
    ]
    lines = []
    for name, X, basis, eps, keep in problems:
        basis = srmfast.load_basis(basis, X.shape[1])
        calls = {number: partial(ours, X, basis, eps, 360, number, keep) for number in numbers}
        series = alternate(calls, rounds, by=time.perf_counter)
        results = [one.answers[0] for one in series.values()]
        check_same(results)
        check_sample(results[0], X, size=1)
        line = [name, f"{len(X):,} × {X.shape[1]} {X.dtype}", basis.name, f"{eps:g}", f"{arcs_of(results[0]):,}"]
        line += [seconds(series[1].median), *(f"{ratio(series[1], series[number]):.2f}×" for number in numbers[1:])]
        lines.append(line)
    header = ["problem", "rows", "basis", "ε", "arcs", "1 thread", *(f"{number} threads" for number in numbers[1:])]
    print(table(header, lines))
    wanted = ", ".join(f"{TARGETS[number]:g}× with {number}" for number in numbers if number in TARGETS)
    print(f"\nSpeed-up against one thread in the same round; target {wanted}. {CORES} cores.")
