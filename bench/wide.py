"""Wide layers with all their planes: the neurons of a layer 4,096 wide, and a rotated basis of 768 vectors."""

from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

import srmfast
from bench.answers import arcs_of, check_sample, check_total, ours
from bench.timing import affordable, alternate, difference, nanoseconds, ratio, seconds, table
from srmfast.angles import angle_table
from srmfast.naive import pinned_dot

_LADDER = (0.9, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05)
_TAILS = {
    "Gaussian": lambda rng, shape: rng.standard_normal(shape, dtype=np.float32),
    "heavy-tailed (Student t, 3 degrees of freedom)": lambda rng, shape: rng.standard_t(3, shape),
}
SGEMM_TARGET = 1.5  # of the time of the product alone
_BLOCK = 1024  # rows multiplied at a time by the product alone


def wide(quick):
    """Rows a second without a product, then the cost over the product alone."""
    _check_totals()
    _neurons(*((66, 800, 0.04) if quick else (4096, 40_000, 1.0)))
    _rotated(*((66, 400, 2, 0.1) if quick else (768, 20_000, 5, 2.0)))


def _check_totals():
    """Compare all planes of a layer wide enough to be searched with the definition."""
    rng = np.random.default_rng(7)
    for dtype, spec, eps in ((np.float16, "standard", 0.3), (np.float32, "random:66", 0.4)):
        X = rng.standard_t(3, (16, 66)).astype(dtype)
        check_total(srmfast.run(X, spec, epsilon=eps, angles=12, keep="summary"), X)


def _neurons(d, most, limit):
    """Print the curve of rows a second over epsilon for the standard basis, float16 rows in memory, one thread."""
    basis = srmfast.load_basis("standard", d)
    for name, draw in _TAILS.items():
        rows = np.tile(draw(np.random.default_rng(8), (most // 8, d)).astype(np.float16), (8, 1))
        _check_neurons(rows[:2], basis)

        def call(n, eps, rows=rows):
            return ours(rows[:n], basis, eps, 360, 1, "summary")

        lines, floor = [], None
        for eps in _LADDER:
            n = affordable(partial(call, eps=eps), most, limit)
            series = alternate({"all": partial(call, n, eps), "some": partial(call, n // 8, eps)}, 5)
            whole, hits = series["all"].median, arcs_of(series["all"].answers[0]) / n
            each = difference(series["all"], series["some"]) / (n - n // 8)  # without what a call costs whatever n
            floor = floor or (each, hits)
            more = nanoseconds(each - floor[0], hits - floor[1]) if hits - floor[1] > 1 else "–"
            rates = [f"{n / whole:,.0f}", f"{1 / each:,.0f}" if each > 0 else "–"]
            lines.append([f"{eps:g}", f"{n:,}", seconds(whole), *rates, f"{hits:,.2f}", more])
        print(f"d = k = {d:,}, standard basis, {name} float16 rows, {d * (d - 1):,} planes, 360 angles, one thread:\n")
        header = ["ε", "rows", "whole call", "rows/s", "rows/s, seven eighths", "hits a row", "time a hit"]
        print(table(header, lines) + "\n")
    print(
        f"As many rows as take about {limit:g} s, at most {most:,}. Seven eighths: what those take longer than the first "
        f"eighth alone,\nwithout the call's fixed cost. A hit costs what such a row takes longer than at ε = {_LADDER[0]}, "
        "shared among its hits.\nTarget: 1,000,000 rows/s at ε ≥ 0.5, 500,000 at 0.1; then 25 ns a hit.\n"
    )


def _check_neurons(rows, basis):
    """Compare with the definition some of the planes that are hit, and at some angles the sums over all planes."""
    check_sample(srmfast.run(rows, basis, epsilon=0.1, angles=36, keep="hit"), rows)
    result = srmfast.run(rows, basis, epsilon=_LADDER, angles=360, keep="summary")
    cos, sin = angle_table(360)
    rows = rows.astype(np.float64)
    norms = np.sqrt(pinned_dot(rows, rows))
    for m in (0, 37, 135):
        for e, eps in enumerate(_LADDER):
            wanted = 0
            for row, norm in zip(rows, norms, strict=True):
                inside = np.add.outer(row * cos[m], row * sin[m]) >= eps * norm
                wanted += np.count_nonzero(inside) - np.count_nonzero(np.diagonal(inside))
            if result.total[0, e, m] != wanted:
                raise AssertionError(
                    f"all planes, ε = {eps}: {result.total[0, e, m]:,} counted, {wanted:,} by definition"
                )


def _rotated(d, most, rounds, limit):
    """Compare a rotated basis with the float32 product of all rows and all vectors, one thread each."""
    basis = srmfast.load_basis(f"random:{d}", d)
    single, out = basis.vectors.astype(np.float32), np.empty((_BLOCK, d), np.float32)
    X = np.random.default_rng(9).standard_normal((most, d), dtype=np.float32)

    def multiply(n):
        for start in range(0, n, _BLOCK):  # into memory that stays in cache: faster than X @ single.T
            rows = X[start : min(start + _BLOCK, n)]
            np.matmul(rows, single.T, out=out[: len(rows)])

    lines = []
    for eps in (0.5, 0.3, 0.15):
        n = affordable(lambda n, eps=eps: ours(X[:n], basis, eps, 360, 1, "summary"), most, limit)
        with threadpool_limits(1, user_api="blas"):
            series = alternate(
                {
                    "sgemm": partial(multiply, n),
                    "ours": lambda n=n, eps=eps: ours(X[:n], basis, eps, 360, 1, "summary"),
                },
                rounds,
            )
        result = series["ours"].answers[0]
        product, mine = series["sgemm"].median, series["ours"].median
        lines.append(
            [
                f"{eps:g}",
                f"{n:,}",
                f"{seconds(product)}, {n / product:,.0f} rows/s",
                f"{seconds(mine)}, {n / mine:,.0f} rows/s",
                f"{ratio(series['ours'], series['sgemm']):.2f}",
                f"{arcs_of(result) / n:,.2f}",
            ]
        )
    pairs = np.array([(0, 1), (1, 0), (d - 2, d - 1), (3, d // 2)])
    few = X[:200]
    check_sample(srmfast.run(few, basis, epsilon=0.1, angles=36, planes=pairs, keep="all"), few, size=4)
    print(f"d = k = {d:,}, rotated basis, Gaussian float32 rows, {d * (d - 1):,} planes, 360 angles, one thread:\n")
    print(table(["ε", "rows", "sgemm alone", "srmfast", "ratio", "hits a row"], lines))
    print(
        f"\nsgemm alone multiplies rows and vectors, {_BLOCK:,} rows at a time, and does nothing else; "
        f"target at ε ≥ 0.3: {SGEMM_TARGET}."
    )
