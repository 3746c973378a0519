"""What a problem costs as one of its sizes changes: n, d, k, a, epsilon, and the number of epsilons and labels."""

from functools import partial

import numpy as np

import srmfast
from bench.answers import arcs_of, check_sample, ours
from bench.timing import alternate, difference, exponent, nanoseconds, ratio, seconds, table, times

EPSILON = 0.85
MORE_ANGLES = 0.025  # s that ten times the angles of the headline problem may take more, at most
_LADDER = (0.95, 0.9, 0.85, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, -0.5)


def cost(quick):
    """The headline problem with one size changed at a time."""
    n, k, a, rounds = (200, 12, 40, 2) if quick else (60_000, 32, 360, 5)
    rng = np.random.default_rng(3)
    rows, vectors = rng.standard_normal((10 * n, 16)), rng.standard_normal((4 * k, 16))
    bases = {
        count: srmfast.load_basis(vectors[:count], 16, name=f"{count} unit vectors") for count in (k // 4, k, 4 * k)
    }
    _sizes(rows, n, bases, k, a, rounds)
    _several(rows[:n], bases[k], a, rounds)
    for basis in (srmfast.load_basis("random:16", 16, name="16 orthonormal vectors"), bases[k]):
        _epsilons(rows[: n // 3], basis, a, rounds)
    print("\nFor two orthogonal vectors, (i, j) and (j, i) share one arc and its mirror image.")


def _sizes(rows, n, bases, k, a, rounds):
    """Time more or fewer rows, columns, vectors and angles."""
    problems = {("n", size): (rows[:size], bases[k], a) for size in (n // 10, n, 10 * n)}
    for d in (16, 64, 256):  # the same rows and vectors in a wider space: the same arcs
        frame = srmfast.load_basis("random:16", d).vectors
        problems["d", d] = rows[:n] @ frame, srmfast.load_basis(bases[k].vectors @ frame, d), a
    problems |= {("k", count): (rows[:n], basis, a) for count, basis in bases.items()}
    problems |= {("a", angles): (rows[:n], bases[k], angles) for angles in (a // 10, a, 10 * a)}
    calls = {name: partial(ours, X, basis, EPSILON, angles) for name, (X, basis, angles) in problems.items()}
    series = alternate(calls, rounds, limit=20.0)
    lines, above = [], None
    for (what, size), one in series.items():
        result = one.answers[0]
        check_sample(result, problems[what, size][0], size=1)
        planes = len(result.plane_i)
        line = [f"{what} = {size:,}", f"{planes:,}", seconds(one.median), f"{arcs_of(result):,}"]
        larger = planes if what == "k" else size
        if above and above[0] == what:
            factor = larger / above[1]
            line += [times(ratio(one, above[2])), f"{factor:.3g}", f"{exponent(one, above[2], factor):.2f}"]
        else:
            line += ["", "", ""]
        above = what, larger, one
        lines.append(line)
    print(f"{n:,} × 16 float64 normals, {k} random unit vectors, {a} angles, ε = {EPSILON}; one size changed:\n")
    print(table(["changed", "planes", "time", "arcs", "of the line above", "when × larger", "exponent"], lines))
    more = difference(series["a", 10 * a], series["a", a])
    print(
        f"\n{10 * a:,} angles instead of {a} take {more * 1e3:.1f} ms more; target: at most {MORE_ANGLES * 1e3:.0f} ms. "
        "For k, × larger is in planes."
    )


def _several(rows, basis, a, rounds):
    """Time several epsilons or labels in one run."""
    near = EPSILON + 0.01 * np.array([0, 1, -1, 2, -2, 3, -3, 4])
    rng = np.random.default_rng(5)
    variants = {("epsilons", e): {"epsilon": near[:e]} for e in (1, 2, 4, 8)}
    variants |= {("labels", c): {"epsilon": EPSILON, "labels": rng.integers(c, size=len(rows))} for c in (1, 10, 100)}
    series = alternate(
        {
            name: partial(srmfast.run, rows, basis, angles=a, keep="all", **options)
            for name, options in variants.items()
        },
        rounds,
    )
    first, *_ = series.values()
    lines = []
    for (what, number), one in series.items():
        result = one.answers[0]
        check_sample(result, rows, size=1)
        lines.append([f"{what}: {number}", seconds(one.median), times(ratio(one, first)), f"{arcs_of(result):,}"])
    print("\nThe same with several epsilons (0.85 ± at most 0.04) or labels in one run:\n")
    print(table(["in one run", "time", "of one", "arcs"], lines))


def _epsilons(rows, basis, a, rounds):
    """Time a ladder of epsilons, from rare hits to every row in every plane."""
    series = alternate({eps: partial(ours, rows, basis, eps, a, 1) for eps in _LADDER}, rounds, limit=10.0)
    lines = []
    for eps, one in series.items():
        result = one.answers[0]
        check_sample(result, rows, size=1)
        arcs, pairs = arcs_of(result), len(rows) * len(result.plane_i)
        share, each = f"{arcs / pairs:.2%}", nanoseconds(one.median, arcs)
        lines.append([f"{eps:g}", seconds(one.median), nanoseconds(one.median, pairs), f"{arcs:,}", share, each])
    print(f"\n{len(rows):,} rows, {basis.name}, {len(result.plane_i)} planes, {a} angles, one thread:\n")
    print(table(["ε", "time", "for each row and plane", "arcs", "of rows × planes", "for each arc"], lines))
