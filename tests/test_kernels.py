"""The kernels one by one: the pinned dot, decoding, arcs, sums."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srmfast import naive
from srmfast.angles import angle_table
from srmfast.kernels import arcs, decode, moments
from srmfast.kernels.rows import pinned_dot

ASSEMBLY = """
import numpy as np, re
from srmfast.angles import angle_table
from srmfast.kernels import arcs, decode, rows, scan
table = arcs.wrap_table(*angle_table(8))
x = np.ones((3, 9)); z = np.zeros(3)
rows.pinned_dot(x[0], x[0])
decode.measure(x, np.empty(3), np.empty(3, np.uint8))
decode.subtract(x, x[0], np.empty((3, 9)))
arcs.is_inside(1.0, 1.0, 0.5, 1, table)
arcs.arc(1.0, 1.0, 1.4, 0.5, 0.1, table)
scan.decide(0, np.zeros(1, np.int64), z[:1], z[:1], z, np.zeros(3, np.int32), np.zeros(3, np.uint8), 0.5, 0.8, 0.8, 0, 1,
            np.array([0.5]), table, np.zeros((1, 1, 2, 9), np.int32), np.zeros((64, 1, 1, 9), np.int64),
            np.empty((0, 3), np.int64), np.zeros(5, np.int64))
for f in (rows.pinned_dot, decode.measure, decode.subtract, arcs.is_inside, arcs.arc, scan.decide):
    text = "\\n".join(f.inspect_asm().values())
    assert text.count("ret") and re.search(r"mul|sub", text), f
    print(f.__name__, len(re.findall(r"\\b(?:v?fn?m(?:add|sub|la|ls)\\w*|call\\w* +\\S*\\bfma\\b)", text)))
"""


@pytest.mark.parametrize("cpu", ["host", "generic"])
def test_no_decider_fuses_a_product_with_a_sum(cpu, tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    if cpu == "generic":
        environment |= {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    done = subprocess.run(
        [sys.executable, "-c", ASSEMBLY], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    fused = dict(line.split() for line in done.stdout.splitlines())
    assert len(fused) == 6 and set(fused.values()) == {"0"}, fused


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


def test_bfloat16_is_decoded_exactly_for_all_patterns():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    bits = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    out = np.empty(bits.shape, np.float32)
    decode.bfloat16_to_single(bits, out)
    with np.errstate(invalid="ignore"):
        expected = bits.view(ml_dtypes.bfloat16).astype(np.float32)
    assert np.array_equal(out, expected, equal_nan=True)


def test_every_row_meets_its_fate():
    rows = np.array(
        [[1.0, 2.0], [0.0, -0.0], [np.nan, 1.0], [np.inf, 1.0], [1e-200, 0.0], [1e200, 0.0], [-np.inf, np.nan]]
    )
    norms, fate = np.empty(7), np.empty(7, np.uint8)
    decode.measure(rows, norms, fate)
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
    differences = np.zeros((1, 1, 1, a + 1), np.int64)
    if length:
        arcs.add_arc(differences, 0, 0, 0, start, length)
    assert (np.cumsum(differences[0, 0, 0])[:a] == expected).all()


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
@given(st.integers(0, 6), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_a_tree_node_is_the_sum_of_its_halves_whatever_is_left_out(level, seed, share):
    rng = np.random.default_rng(seed)
    size, d = 1 << level, 3
    kept = rng.random(size) < share
    rows = rng.normal(size=(int(kept.sum()), d)) * 1e8
    place = np.full(size, -1)
    place[kept] = np.arange(len(rows))
    fate = (rng.random(len(rows)) < 0.2).astype(np.uint8)
    norms = rng.random(len(rows))
    out = np.empty(d + 1)
    moments.tree_sum(rows, place, norms, fate, np.empty((10, d + 1)), out)
    leaves = np.zeros((size, d + 1))
    used = place[(place >= 0)][fate == decode.USED]
    at = np.flatnonzero(place >= 0)[fate == decode.USED]
    leaves[at, :d], leaves[at, d] = rows[used], norms[used] ** 2
    while len(leaves) > 1:
        leaves = leaves[::2] + leaves[1::2]
    assert (out == leaves[0]).all()
