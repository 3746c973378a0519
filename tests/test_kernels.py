"""The kernels one by one: the pinned dot, decoding, arcs, sums."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srmfast import naive
from srmfast.angles import angle_table
from srmfast.kernels import arcs, decode, ends, moments, search
from srmfast.kernels.rows import pinned_dot

ASSEMBLY = """
import numpy as np, re
from srmfast.angles import angle_table
from srmfast.kernels import arcs, decode, frames, moments, pairs, phase, project, rows
table = arcs.wrap_table(*angle_table(8))
x = np.ones((9, 9)); z = np.zeros(9)
rows.pinned_dot(x[0], x[0])
decode.measure(x, None, z, np.empty(9, np.uint8))
decode.subtract(x, x[0], np.empty((9, 9)))
moments.measure_and_sum(x, None, np.arange(8), z, np.empty(9, np.uint8), np.empty((9, 10)), np.empty(10))
arcs.is_inside(1.0, 1.0, 0.5, 1, table)
arcs.arc(1.0, 1.0, 1.4, 0.5, 0.1, table)
pairs.exact_point(x, 0, x, np.empty(0, np.int64), z, 0, 1, 0.5, 0.8)
project.sector(1.0, 0.5, z, z)

y = np.ones((3, 9)); g = np.zeros((3, 3)); i = np.zeros(3, np.int64)
frames.gram(y, 0, 3, g, g)
frames.pairs(y, i, i, g[0], g[1], g[2])
frames.parallels(y, 0, 3, np.zeros((3, 2), np.int64))
frames.root_of(np.eye(3), g)
phase.nearer(1.0, 0.5, 0.8, 0.6, 0.9, 0.3)
phase.products(y, x, np.empty((9, 3)))
phase._sides(z, z, 0.5, 0.8, np.empty(9), np.empty(9, np.int64))

for f in (rows.pinned_dot, decode.measure, decode.subtract, moments.measure_and_sum, arcs.is_inside, arcs.arc, pairs.exact_point,
          frames.gram, frames.pairs, frames.parallels, project.sector, frames.root_of, phase.nearer, phase.products, phase._sides):
    text = "\\n".join(f.inspect_asm().values())
    assert text.count("ret") and re.search(r"mul|sub", text), f
    print(f.__name__, len(re.findall(r"\\b(?:v?fn?m(?:add|sub|la|ls)\\w*|call\\w* +\\S*\\bfma\\b)", text)))
"""


# A generic x86 has no instruction that fuses, and what calls fma there fuses on the host.
X86 = platform.machine().lower() in ("x86_64", "amd64")


@pytest.mark.parametrize("cpu", ["host"] if X86 else ["host", "generic"])
def test_no_decider_fuses_a_product_with_a_sum(cpu, tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    if cpu == "generic":
        environment |= {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    done = subprocess.run(
        [sys.executable, "-c", ASSEMBLY], env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    fused = dict(line.split() for line in done.stdout.splitlines())
    assert len(fused) == 15 and set(fused.values()) == {"0"}, fused


@pytest.mark.parametrize("d", [*range(1, 18), 64, 100, 768])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_pinned_dot_has_the_bits_of_its_definition(d, dtype, rng):
    x = (rng.normal(size=d) * 10.0 ** rng.integers(-12, 12, d)).astype(dtype)
    y = rng.normal(size=d)
    assert pinned_dot(x, y) == naive.pinned_dot(x, y)


def test_float16_is_decoded_exactly_for_all_patterns():
    bits = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    out = np.empty(bits.shape, np.float32)
    decode.half_to_single(bits, out)
    expected = bits.view(np.float16).astype(np.float32)
    assert np.array_equal(out, expected, equal_nan=True)
    assert (np.signbit(out) == np.signbit(expected)).all()


def stored_forms(rng, n, d):
    """The same kind of rows in every form that kernels read, with their values."""
    values = (rng.normal(size=(n, d)) * 10.0 ** rng.integers(-3, 3, (n, d))).astype(np.float32)
    bfloat = (values.view(np.uint32) >> 16).astype(np.uint16)
    yield values, values
    yield values.astype(np.float64) * (1 + 1e-12), values.astype(np.float64) * (1 + 1e-12)
    yield bfloat, (bfloat.astype(np.uint32) << 16).view(np.float32)
    if decode.half_instructions():
        half = values.astype(np.float16)
        yield half.view(np.int16), half.astype(np.float32)


@pytest.mark.parametrize("d", [1, 5, 7, 8, 9, 16, 31, 100])
@pytest.mark.parametrize("n", [1, 3, 4, 9, 18])
def test_rows_are_measured_converted_and_searched_alike_in_every_form(n, d, rng):
    for raw, values in stored_forms(rng, n, d):
        norms, fate = np.empty(n), np.empty(n, np.uint8)
        decode.measure(raw, None, norms, fate)
        assert (norms == np.sqrt(naive.pinned_dot(values, values))).all() and not fate.any()
        if values.dtype == np.float32:
            rows = np.empty((n, d), np.float32)
            decode.measure(raw, rows, norms, fate)
            assert (rows == values).all()
        assert [search.peak(raw, r) for r in range(n)] == np.abs(values).max(axis=1).tolist()


@pytest.mark.skipif(not decode.half_instructions(), reason="this CPU does not convert float16")
def test_the_processor_converts_float16_as_the_integer_code_does():
    bits = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    one, two = np.empty((2, 256, 256), np.float32)
    decode.half_to_single(bits, one)
    decode.measure(bits.view(np.int16), two, np.empty(256), np.empty(256, np.uint8))
    finite = np.isfinite(one)
    assert (one[finite] == two[finite]).all() and (np.signbit(one) == np.signbit(two))[finite].all()
    assert (np.isnan(one) == np.isnan(two)).all() and (np.isposinf(one) == np.isposinf(two)).all()


def test_every_row_meets_its_fate():
    rows = np.array(
        [[1.0, 2.0], [0.0, -0.0], [np.nan, 1.0], [np.inf, 1.0], [1e-200, 0.0], [1e200, 0.0], [-np.inf, np.nan]]
    )
    norms, fate = np.empty(7), np.empty(7, np.uint8)
    decode.measure(rows, None, norms, fate)
    assert fate.tolist() == [decode.USED, decode.ZERO] + [decode.NONFINITE] * 2 + [decode.ZERO] + [decode.NONFINITE] * 2


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([2, 3, 4, 5, 8, 12, 90, 360, 997]),
    st.one_of(st.floats(-1, 1), st.sampled_from([-1.0, 0.0, 1.0, 0.5, 2**-0.5, 1e-9, -1e-9])),
    st.one_of(st.floats(-1, 1), st.sampled_from([-1.0, 0.0, 1.0, 0.5, 2**-0.5])),
    st.one_of(st.floats(-1.1, 1.1), st.sampled_from([-1.0, 0.0, 1.0, 0.5, 2**-0.5])),
    st.integers(-2, 2),
)
def test_an_arc_holds_the_angles_that_the_line_says(a, u, v, t, ulps):
    for _ in range(abs(ulps)):
        t = float(np.nextafter(t, np.sign(ulps) * 9))
    square = u * u + v * v
    if square < arcs.TINY:
        return
    cos, sin = angle_table(a)
    table = arcs.wrap_table(cos, sin)
    expected = u * cos + v * sin >= t
    start, length = arcs.arc(u, v, np.sqrt(square), t, arcs.turn_of(u, v), table)
    got = np.zeros(a, bool)
    got[np.arange(start, start + length) % a] = True
    assert (got == expected).all()


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([8, 9, 90, 360, 997, 3600, 10**6]),
    st.one_of(st.floats(-1, 1), st.sampled_from([-1.0, 0.0, 1.0, 0.5, 2**-0.5, 1e-9, -1e-9])),
    st.sampled_from([0.0, 1e-7, 1e-5, 1e-3]),
    st.integers(0, 2**32 - 1),
)
def test_a_certified_arc_is_that_of_every_point_within_the_error(a, epsilon, eta, seed):
    rng = np.random.default_rng(seed)
    m = 300
    point = rng.normal(size=(2, m)) / rng.choice([1.0, 3.0, 30.0], m)
    grid = rng.integers(0, a, m)
    tie = rng.random(m) < 0.3  # rows whose arc ends on a grid point
    cos, sin = angle_table(a)
    end = grid / a * 2 * np.pi + np.arccos(np.clip(epsilon, -1, 1)) * rng.choice([-1, 1], m)
    point[:, tie] = np.stack([np.cos(end), np.sin(end)])[:, tie]
    u, v = point.astype(np.float32)
    turn, radius = np.empty((2, m), np.float32)
    start, length, finish = np.empty((3, m), np.int32)
    ends.polar(u, v, turn, radius)
    ends.ends(turn, radius, np.full(m, eta, np.float32), np.float32(epsilon), a, start, length)
    sure = length != ends.UNSURE
    assert ((start >= 0) & (start < a))[sure].all() and ((length >= 0) & (length <= a))[sure].all()
    if a <= 3600:
        for angle in rng.uniform(0, 2 * np.pi, 3):
            off = 0.99 * eta * np.array([[np.cos(angle)], [np.sin(angle)]])
            x, y = u.astype(np.float64) + off[0], v.astype(np.float64) + off[1]
            inside = x[:, None] * cos + y[:, None] * sin >= epsilon
            got = (np.arange(a) - start[:, None]) % a < length[:, None]
            assert (inside == got)[sure].all()
    length[~sure] = 0
    found, wraps = ends.finishes(start, length, a, finish)
    assert found == np.count_nonzero(length) and wraps == np.count_nonzero(start + length > a)
    if eta <= 1e-7 and a <= 360 and abs(epsilon) < 0.9:
        assert sure[~tie & (np.hypot(u, v) > 1e-2)].mean() > 0.8  # the certificate is of use


@pytest.mark.parametrize("a", [8, 72, 360])
def test_rows_on_the_grid_with_the_cone_ending_on_the_grid_are_ties_decided_by_the_line(a):
    cos, sin = angle_table(a)
    table = arcs.wrap_table(cos, sin)
    for m in range(a):
        for t in cos[: a // 2 + 1]:
            expected = cos[m] * cos + sin[m] * sin >= t
            start, length = arcs.arc(cos[m], sin[m], 1.0, t, arcs.turn_of(cos[m], sin[m]), table)
            got = np.zeros(a, bool)
            got[np.arange(start, start + length) % a] = True
            assert (got == expected).all(), (m, t)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 6), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.2]))
def test_a_tree_node_is_the_sum_of_its_halves_whatever_is_left_out(level, seed, share, bad):
    rng = np.random.default_rng(seed)
    size, d = 1 << level, 11
    kept = rng.random(size) < share
    rows = rng.normal(size=(int(kept.sum()), d)) * 1e8
    lost = rng.random(len(rows)) < bad
    rows[lost] = np.where(rng.random(d) < 0.5, np.nan, 0.0) if seed % 2 else 0.0
    place = np.full(size, -1)
    place[kept] = np.arange(len(rows))
    norms, fate = np.empty(len(rows)), np.empty(len(rows), np.uint8)
    out = np.empty(d + 1)
    moments.measure_and_sum(rows, None, place, norms, fate, np.empty((10, d + 1)), out)
    again, judged = np.empty(len(rows)), np.empty(len(rows), np.uint8)
    decode.measure(rows, None, again, judged)
    assert np.array_equal(norms, again, equal_nan=True) and (fate == judged).all()
    leaves = np.zeros((size, d + 1))
    used = place[(place >= 0)][fate == decode.USED]
    at = np.flatnonzero(place >= 0)[fate == decode.USED]
    leaves[at, :d], leaves[at, d] = rows[used], norms[used] ** 2
    while len(leaves) > 1:
        leaves = leaves[::2] + leaves[1::2]
    assert (out == leaves[0]).all()
