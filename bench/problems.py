"""The paper's kind of problem, solved every way, and the sizes from which on srmfast is the better choice."""

from functools import partial

import numpy as np
from threadpoolctl import threadpool_info

import srmfast
from bench import ways
from bench.answers import compare, naive_way, ours, pairs_of
from bench.machine import CORES
from bench.timing import alternate, ratio, seconds, table, times

PUBLISHED = 0.24  # s: the paper's own function, one plane, 10,000 × 16 rows, 100 angles, on another machine


def headline(quick):
    """Every way on the paper's kind of problem."""
    n, rounds, a = (2_000, 3, 36) if quick else (60_000, 5, 360)
    d, k, eps = 16, 32, 0.85
    X = np.random.default_rng(0).standard_normal((n, d))
    basis = srmfast.load_basis(f"thompson:{k}", d)
    result = ours(X, basis, eps, a)
    planes, B = pairs_of(result), basis.vectors
    print(f"{n:,} × {d} float64 normals, {k} Thompson vectors, {len(planes)} planes, {a} angles, ε = {eps}\n")
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
    for name, (way, size) in others.items():
        candidates[name] = [partial(way, X, B, planes[sample(size, number)], a, eps) for number in range(rounds)]
    series = alternate(candidates, rounds, limit=45.0)
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
        f"Threads of BLAS: {max(pool['num_threads'] for pool in threadpool_info())}.\nA count differs where a row lies within rounding of the cone's edge; naive and ours may not differ."
    )
    _published(quick)


def _published(quick):
    """Say which way of applying rotation matrices costs what the paper's function was seen to cost."""
    n, rounds, a = (500, 3, 20) if quick else (10_000, 5, 100)
    X = np.random.default_rng(1).standard_normal((n, 16))
    B = srmfast.load_basis("thompson:32", 16).vectors
    series = alternate(
        {
            "BLAS": partial(ways.rotation_matrices, X, B, [(0, 1)], a, 0.85),
            "einsum": partial(ways.rotation_einsum, X, B, [(0, 1)], a, 0.85),
        },
        rounds,
    )
    text = ", ".join(f"by {name} {seconds(one.median)}" for name, one in series.items())
    nearest = min(series.values(), key=lambda one: abs(np.log(one.median / PUBLISHED))).name
    print(f"One plane of {n:,} × 16 rows and {a} angles with rotation matrices: {text}.")
    if not quick:
        print(f"The paper's own function took {PUBLISHED} s for that elsewhere, most like the matrices by {nearest}.")


def break_even(quick):
    """From tiny to large inputs: where NumPy is the better choice."""
    heights, widths = ((50, 400), (4, 8)) if quick else ((100, 1_000, 10_000, 100_000), (4, 16, 64))
    rounds, a, limit = (2, 36, 1.0) if quick else (5, 360, 10.0)
    eps = 0.5
    print(f"Orthonormal basis of d vectors, all d(d − 1) planes, {a} angles, ε = {eps}\n")
    lines = []
    for d in widths:
        basis = srmfast.load_basis(f"random:{d}", d)
        for n in heights:
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
                max(rounds, 9) if n <= 1_000 else rounds,
                limit=limit,
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
