"""What the parts of an analysis cost: the screen's test, an arc whose counters are in cache, decoding float16."""

from functools import partial

import numpy as np

import srmfast
from bench.answers import arcs_of, check_sample, ours
from bench.timing import alternate, difference, table
from srmfast.kernels import decode
from srmfast.naive import pinned_dot

_PIECE = 1024  # rows decoded at a time, into memory that stays in cache


def parts(quick):
    """Nanoseconds of one thread, without what a call costs whatever it counts."""
    n, rounds = (400, 2) if quick else (100_000, 5)
    rows = np.random.default_rng(4).standard_normal((n, 16))
    lines = [_test(rows, 12 if quick else 63, rounds), *_arcs(rows, rounds), *_decode(n, 768, rounds)]
    print(table(["one thread", "problem", "each", "target", "beside it"], lines))
    print(
        "\nA test: what all rows take longer than an eighth of them, over (rows × pairs); one test serves (i, j) and "
        "(j, i).\nAn arc: what ε = 0.05 takes longer than ε = 0.99, over the arcs that it adds. In wide layers: see wide."
    )


def _test(rows, k, rounds):
    """Time the screen where next to no row passes it."""
    n, pairs = len(rows), k * (k - 1) // 2
    vectors = np.random.default_rng(5).standard_normal((k, 16))
    basis = srmfast.load_basis(vectors, 16)
    calls = {size: partial(ours, rows[:size], basis, 0.97, 360, 1) for size in (n, n // 8)}
    series = alternate(calls, rounds)
    result = series[n].answers[0]
    check_sample(result, rows)
    each = difference(series[n], series[n // 8]) / ((n - n // 8) * pairs)
    hits = arcs_of(result) / (n * 2 * pairs)
    problem = f"{n:,} × 16 float64, {k} unit vectors, {hits:.4%} pass"
    return ["screen, a test", problem, f"{each * 1e9:.2f} ns", "0.5 ns", f"{1 / each / 1e9:.1f} G tests/s"]


def _arcs(rows, rounds):
    """Time arcs of rows that hit nearly every plane."""
    for spec in ("random:16", "thompson:24"):
        basis = srmfast.load_basis(spec, 16)
        few = rows[: len(rows) // 4]
        series = alternate({eps: partial(ours, few, basis, eps, 360, 1) for eps in (0.05, 0.99)}, rounds)
        many, rare = (series[eps].answers[0] for eps in (0.05, 0.99))
        check_sample(many, few, size=1)
        each = difference(series[0.05], series[0.99]) / (arcs_of(many) - arcs_of(rare))
        problem = f"{len(few):,} × 16 float64, {spec}, {arcs_of(many):,} arcs"
        yield ["arc, in cache", problem, f"{each * 1e9:.1f} ns", "10 ns", f"{1 / each / 1e6:,.0f} M arcs/s"]


def _decode(n, d, rounds):
    """Time float16 to deciding norms and float32 rows, and NumPy doing the same."""
    rows = np.tile(np.random.default_rng(6).standard_normal((n // 8, d), dtype=np.float32), (8, 1)).astype(np.float16)
    norms, fate, piece = np.empty(len(rows)), np.empty(len(rows), np.uint8), np.empty((_PIECE, d), np.float32)
    starts = range(0, len(rows), _PIECE)
    bits = rows.view(np.int16)
    if not decode.half_instructions():
        return  # the integer path has no target

    def measure(into):
        for start in starts:
            some = slice(start, start + _PIECE)
            out = piece[: len(bits[some])] if into else None
            decode.measure(bits[some], out, norms[some], fate[some])
        return norms.copy()

    def by_numpy():
        answer = np.empty(len(rows))
        for start in starts:
            singles = rows[start : start + _PIECE].astype(np.float32)
            answer[start : start + _PIECE] = np.sqrt(np.einsum("nd,nd->n", singles, singles))
        return answer

    measure(True), measure(False)  # compiles
    series = alternate({"norm": partial(measure, False), "rows": partial(measure, True), "NumPy": by_numpy}, rounds)
    wanted = rows[: n // 8].astype(np.float64)
    wanted = np.tile(np.sqrt(pinned_dot(wanted, wanted)), 8)
    for name in ("norm", "rows"):
        if not (series[name].answers[0] == wanted).all():
            raise AssertionError("the norms of float16 rows differ from the definition")
    if not np.allclose(series["NumPy"].answers[0], wanted, rtol=1e-4):
        raise AssertionError("NumPy computes other norms")
    speed = {name: rows.size / one.median / 1e9 for name, one in series.items()}
    problem = f"{len(rows):,} × {d} float16 in memory"
    beside = f"NumPy {speed['NumPy']:.1f} G/s"
    yield ["decode + norm", problem, f"{speed['norm']:.1f} G elements/s", "6 G/s", beside]
    yield ["decode + norm + float32 rows", problem, f"{speed['rows']:.1f} G elements/s", "–", beside]
