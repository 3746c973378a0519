"""The benchmark table: `python bench/run.py [--quick] [--only SECTION]`.

Every way of computing the same counts is timed in alternating rounds of one process, and what each returns is
compared with the definition before its time is printed. A way too slow for all planes is timed on some of them,
other ones in every round, and its cost a plane multiplied by their number: marked with a *.
"""

import argparse
import os
import platform
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numba
import numpy as np
import scipy
from threadpoolctl import threadpool_info, threadpool_limits

import srmfast
from bench import ways
from bench.timing import alternate, ratio, seconds, table, times
from srmfast import naive

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
_CELLS = 1 << 20  # rows × angles that the definition holds at a time
PUBLISHED = 0.24  # s: the paper's own function, one plane, 10,000 × 16 rows, 100 angles, on another machine


@dataclass(frozen=True)
class Sizes:
    """How large the problems are."""

    rows: int  # of the headline and of the scaling table
    rounds: int
    angles: int
    break_even: tuple  # numbers of rows, widths
    limit: float  # seconds for the rounds of one line of a table
    gemm: int  # side of the matrices
    memory: int  # bytes read


FULL = Sizes(60_000, 5, 360, ((100, 1_000, 10_000, 100_000), (4, 16, 64)), 30.0, 2048, 1 << 29)
QUICK = Sizes(2_000, 2, 36, ((50, 400), (4, 8)), 1.0, 256, 1 << 24)


def main(argv=None):
    """Print the sections asked for; fail when any way gives a wrong answer."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="toy sizes: shows that it works, not how fast")
    parser.add_argument("--only", choices=SECTIONS, help="one section")
    arguments = parser.parse_args(argv)
    sizes = QUICK if arguments.quick else FULL
    machine(sizes)
    for name, section in SECTIONS.items():
        if arguments.only in (None, name):
            section(sizes)


def machine(sizes):
    """Print where the numbers come from, and two speeds by which to place them."""
    blas = ", ".join(
        f"{pool['internal_api']} {pool['version']}" for pool in threadpool_info() if pool["user_api"] == "blas"
    )
    versions = [f"{module.__name__} {module.__version__}" for module in (srmfast, np, scipy, numba)]
    print(f"# srmfast benchmark{' (quick: toy sizes)' if sizes is QUICK else ''}\n")
    print(f"{_cpu()}, {CORES} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}")
    print(f"{', '.join(versions)}, BLAS {blas}")
    side = np.ones((sizes.gemm, sizes.gemm), np.float32)
    memory = np.ones(sizes.memory // 8)
    with threadpool_limits(1, user_api="blas"):
        one = alternate({"sgemm": lambda: side @ side, "read": lambda: memory @ memory}, 4)
    all_cores = alternate({"sgemm": lambda: side @ side}, 4)
    flops = 2 * sizes.gemm**3 / 1e9
    print(
        f"sgemm {flops / min(one['sgemm'].seconds):,.0f} GFLOP/s on one core, {flops / min(all_cores['sgemm'].seconds):,.0f} "
        f"on {CORES}; memory read at {sizes.memory / 1e9 / min(one['read'].seconds):.1f} GB/s by one core"
    )
    print("Times are medians of alternating rounds, ratios medians of the rounds' ratios; the collector is off.")


def headline(sizes):
    """Every way on the paper's kind of problem."""
    n, d, k, a, eps = sizes.rows, 16, 32, sizes.angles, 0.85
    X = np.random.default_rng(0).standard_normal((n, d))
    basis = srmfast.load_basis(f"thompson:{k}", d)
    result = ours(X, basis, eps, a)
    planes, B = pairs_of(result), basis.vectors
    print(f"\n## {n:,} × {d} float64 normals, {k} Thompson vectors, {len(planes)} planes, {a} angles, ε = {eps}\n")
    reference = result.counts[0, 0]
    shuffled = np.random.default_rng(1).permutation(len(planes))

    def sample(size, number):
        return shuffled[number * size : number * size + size] if size < len(planes) else slice(None)

    others = {
        "two-line NumPy screen": (ways.numpy_screen, len(planes)),
        "float32 BLAS and threshold": (ways.sgemm_threshold, 10),
        "rotation matrices by BLAS": (ways.rotation_matrices, 1),
        "rotation matrices by einsum": (ways.rotation_einsum, 1),
        "naive (the definition)": (naive_way, 1),
    }
    candidates = {
        f"srmfast, {CORES} threads": partial(ours, X, basis, eps, a),
        "srmfast, 1 thread": partial(ours, X, basis, eps, a, 1),
    }
    rounds = max(sizes.rounds, 3)
    for name, (way, size) in others.items():
        candidates[name] = [partial(way, X, B, planes[sample(size, number)], a, eps) for number in range(rounds)]
    series = alternate(candidates, rounds)
    first, *_ = series.values()
    lines = []
    for name, one in series.items():
        size = others[name][1] if name in others else len(planes)
        answers = one.answers if name in others else [answer.counts[0, 0] for answer in one.answers]
        differing = sum(compare(answer, reference[sample(size, at)], name) for at, answer in enumerate(answers))
        factor = len(planes) / size
        lines.append(
            [
                name,
                seconds(one.median * factor) + ("*" if factor > 1 else ""),
                times(ratio(one, first) * factor),
                f"{differing:,} of {len(answers) * size * a:,}",
            ]
        )
    print(table(["way", "time", "of ours", "counts that differ"], lines))
    print(
        f"\n* one plane (ten for float32 BLAS) in each of {len(first.seconds)} rounds, never the same, × {len(planes)}. "
        f"BLAS has {CORES} threads.\nA count differs where a row lies within rounding of the cone's edge; naive and ours may not differ."
    )
    published(sizes)


def published(sizes):
    """Say which way of applying rotation matrices costs what the paper's function was seen to cost."""
    n, a = (10_000, 100) if sizes is FULL else (500, 20)
    X = np.random.default_rng(1).standard_normal((n, 16))
    B = srmfast.load_basis("thompson:32", 16).vectors
    series = alternate(
        {
            "BLAS": partial(ways.rotation_matrices, X, B, [(0, 1)], a, 0.85),
            "einsum": partial(ways.rotation_einsum, X, B, [(0, 1)], a, 0.85),
        },
        max(sizes.rounds, 3),
    )
    text = ", ".join(f"by {name} {seconds(one.median)}" for name, one in series.items())
    nearest = min(series.values(), key=lambda one: abs(np.log(one.median / PUBLISHED))).name
    print(f"One plane of {n:,} × 16 rows and {a} angles with rotation matrices: {text}.")
    if sizes is FULL:
        print(f"The paper's own function took {PUBLISHED} s for that elsewhere, most like the matrices by {nearest}.")


def break_even(sizes):
    """From tiny to large inputs: where NumPy is the better choice."""
    eps, a = 0.5, sizes.angles
    print(f"\n## Break-even: orthonormal basis of d vectors, all d(d − 1) planes, {a} angles, ε = {eps}\n")
    lines = []
    for d in sizes.break_even[1]:
        basis = srmfast.load_basis(f"random:{d}", d)
        for n in sizes.break_even[0]:
            X = np.random.default_rng(d + n).standard_normal((n, d))
            result = ours(X, basis, eps, a)
            planes, B = pairs_of(result), basis.vectors
            few = 3 if n * len(planes) > 100_000 else len(planes)
            some = np.random.default_rng(n).permutation(len(planes))[:few]
            factor = len(planes) / len(some)
            series = alternate(
                {
                    "ours": partial(ours, X, basis, eps, a),
                    "screen": partial(ways.numpy_screen, X, B, planes, a, eps),
                    "naive": partial(naive_way, X, B, planes[some], a, eps),
                },
                max(sizes.rounds, 9) if n <= 1_000 else sizes.rounds,
                limit=sizes.limit,
            )
            compare(series["screen"].answers[0], result.counts[0, 0], "two-line NumPy screen")
            compare(series["naive"].answers[0], result.counts[0, 0][some], "naive (the definition)")
            screen = ratio(series["screen"], series["ours"])
            lines.append(
                [
                    f"{n:,} × {d}",
                    f"{len(planes):,}",
                    seconds(series["ours"].median),
                    seconds(series["screen"].median),
                    seconds(series["naive"].median * factor) + ("*" if factor > 1 else ""),
                    times(screen),
                    "srmfast" if screen > 1 else "NumPy",
                ]
            )
    print(table(["rows", "planes", "srmfast", "NumPy screen", "naive", "screen/ours", "faster"], lines))
    print("\n* on some planes, scaled. srmfast is the whole `srmfast.run` call in a warm process.")


def scaling(sizes):
    """What each size of the problem costs, one changed at a time."""
    n, eps = sizes.rows, 0.7
    print(f"\n## Cost of each size: {n:,} rows, orthonormal basis of 16 vectors, 240 planes, ε = {eps}\n")
    rng = np.random.default_rng(3)
    labels = rng.integers(10, size=n)
    bases = {d: srmfast.load_basis("random:16", d) for d in (16, 64, 256)}
    coordinates = rng.standard_normal((n, 16))
    rows = {d: coordinates @ basis.vectors for d, basis in bases.items()}  # the same arcs at every width
    a = sizes.angles
    variants = {
        f"nothing: d 16, {a} angles, 1 ε": {},
        f"{a // 10} angles": {"angles": a // 10},
        f"{a * 10:,} angles": {"angles": a * 10},
        "4 ε (0.7, 0.75, 0.8, 0.85)": {"epsilon": (0.7, 0.75, 0.8, 0.85)},
        "10 labels": {"labels": labels},
        "d 64": {"d": 64},
        "d 256": {"d": 256},
    }

    def call(d=16, epsilon=eps, angles=a, labels=None):
        return srmfast.run(rows[d], bases[d], epsilon=epsilon, angles=angles, labels=labels, keep="all")

    series = alternate({name: partial(call, **options) for name, options in variants.items()}, sizes.rounds)
    base, *_ = series.values()
    for one, options in zip(series.values(), variants.values(), strict=True):
        check_sample(one.answers[0], rows[options.get("d", 16)], bases[options.get("d", 16)].vectors)
    lines = [
        [
            name,
            seconds(one.median),
            times(ratio(one, base)),
            f"{one.answers[0].attrs['provenance']['arcs']:,}",
        ]
        for name, one in series.items()
    ]
    print(table(["changed", "time", "of base", "arcs"], lines))


def arcs(sizes):
    """Rows that hit every plane: the cost of an arc."""
    n = sizes.rows // 3
    print(f"\n## Low ε, nearly every row hits: {n:,} normal rows, 240 planes, {sizes.angles} angles, one thread\n")
    lines = []
    for d, kind in ((16, "standard"), (16, "random:16"), (16, "thompson:16"), (64, "random:16")):
        X = np.random.default_rng(4).standard_normal((n, d))
        basis = srmfast.load_basis(kind, d)
        for eps in (0.05, 0.3):
            one = alternate({"ours": partial(ours, X, basis, eps, sizes.angles, 1)}, sizes.rounds)["ours"]
            result = one.answers[0]
            check_sample(result, X, basis.vectors)
            found = result.attrs["provenance"]["arcs"]
            each = one.median / max(found, 1) * 1e9
            lines.append([f"{kind}, d {d}", eps, seconds(one.median), f"{found:,}", f"{each:.1f} ns"])
    print(table(["basis", "ε", "time", "arcs", "an arc, all in"], lines))


SECTIONS = {"headline": headline, "break-even": break_even, "scaling": scaling, "arcs": arcs}


def ours(X, basis, eps, a, threads=None):
    """The whole public call."""
    return srmfast.run(X, basis, epsilon=eps, angles=a, keep="all", threads=threads)


def naive_way(X, B, planes, a, eps):
    """The definition, with the arguments of `bench.ways`."""
    return naive.counts(X, B, planes, [eps], a)[0]


def pairs_of(result):
    """The planes of a result, (p, 2)."""
    return np.stack([result.plane_i, result.plane_j], axis=1)


def check_sample(result, X, B, size=2):
    """Compare a result with the definition on some planes, all rows."""
    planes = pairs_of(result)
    some = np.random.default_rng(0).permutation(len(planes))[:size]
    a = result.angle.size
    step = max(1, _CELLS // a)
    wanted = sum(
        naive.counts(X[start : start + step], B, planes[some], result.epsilon, a) for start in range(0, len(X), step)
    )
    if not (result.counts.sum(axis=0)[:, some] == wanted).all():
        raise AssertionError("the counts of srmfast differ from the definition")


def compare(counts, reference, name):
    """Return how many counts differ from ours; ours, other threads and the definition may not differ at all.

    Float arithmetic without a tie rule may put a row on the other side of an edge that it lies on: a count off by
    a few here and there is accepted of the other ways, more is an error.
    """
    off = np.abs(counts - reference)
    exact = name.startswith(("srmfast", "naive"))
    allowed = 0 if exact else 2 + off.size // 100
    if np.count_nonzero(off) > allowed or off.max(initial=0) > (0 if exact else 3):
        raise AssertionError(
            f"{name}: {np.count_nonzero(off):,} of {off.size:,} counts differ from ours, by up to {off.max():,}"
        )
    return int(np.count_nonzero(off))


def _cpu():
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
