"""One row in one plane: the arc of angles at which the row lies inside the cone.

A guess from polynomials, good to 1e-7 rad, says where the arc ends; the line of the definition,
`u*cos[m] + v*sin[m] >= t`, decides at the grid points around each end. README.md has the proof that a
decided set of angles is always one contiguous arc, so that deciding its ends decides it all.
"""

import math

import numpy as np

from srmfast.kernels._jit import jit, jit_inline

TINY = 2.0**-960  # below, products may be subnormal and the set of angles need not be one arc
CERTAIN = 1.0 + 1e-12  # far above the rounding of the line, 2**-50


def wrap_table(cos, sin):
    """Return the table read by `arc`: (2a + 5, 2) float64, row m + a + 2 holds cos and sin of θ_m.

    An arc's ends lie in [−a − 2, a + 2]; the copies of the turn spare a modulo per look-up.
    """
    a = cos.shape[0]
    turn = np.arange(-a - 2, a + 3) % a
    return np.ascontiguousarray(np.stack([cos[turn], sin[turn]], axis=1))


@jit
def is_inside(u, v, t, m, table):
    """The line of the definition at grid point m ∈ [−a − 2, a + 2]."""
    row = m + (table.shape[0] - 5) // 2 + 2
    return u * table[row, 0] + v * table[row, 1] >= t


@jit
def turn_of(u, v):
    """atan2(v, u)/2π, in (−½, ½], with an error below 1e-8 (Abramowitz and Stegun 4.4.49)."""
    x, y = abs(u), abs(v)
    q = min(x, y) / max(x, y)
    z = q * q
    p = -0.0161657367 + z * 0.0028662257
    p = -0.0752896400 + z * (0.0429096138 + z * p)
    p = -0.1420889944 + z * (0.1065626393 + z * p)
    p = -0.3333314528 + z * (0.1999355085 + z * p)
    turn = q * (1.0 + z * p) * (0.5 / math.pi)
    if y > x:
        turn = 0.25 - turn
    if u < 0.0:
        turn = 0.5 - turn
    return -turn if v < 0.0 else turn


@jit
def half_width(q):
    """acos(q)/2π, in [0, ½], with a relative error below 1e-7 (Abramowitz and Stegun 4.4.46)."""
    x = abs(q)
    p = 0.0066700901 - x * 0.0012624911
    p = 0.0308918810 + x * (-0.0170881256 + x * p)
    p = 0.0889789874 + x * (-0.0501743046 + x * p)
    p = 1.5707963050 + x * (-0.2145988016 + x * p)
    turn = math.sqrt(1.0 - x) * p * (0.5 / math.pi)
    return 0.5 - turn if q < 0.0 else turn


@jit
def arc(u, v, r, t, turn, table):
    """Decide the arc of a row whose in-plane length is an ordinary number.

    Parameters
    ----------
    u, v : float64
        In-plane coordinates of the row.
    r : float64
        hypot(u, v), r² ≥ `TINY`; it guides the guess and decides nothing near a tie.
    t : float64
        ε‖x‖.
    turn : float64
        `turn_of(u, v)`.
    table : (2a + 5, 2) float64
        From `wrap_table`.

    Returns
    -------
    start, length : int
        The angles start … start + length − 1 (mod a) hold the row; start ∈ [−a − 2, a + 2].
    """
    a = (table.shape[0] - 5) // 2
    if r * CERTAIN < t:
        return 0, 0
    if r * CERTAIN < -t:
        return 0, a
    half = half_width(min(1.0, max(-1.0, t / r))) * a
    centre = turn * a
    start = math.ceil(centre - half)
    stop = math.floor(centre + half)
    if stop - start >= a - 1:
        # Nearly a full turn: only the grid points beside the trough can lie outside.
        trough = round(centre + 0.5 * a) if centre < 0.0 else round(centre - 0.5 * a)
        outside = trough
        if is_inside(u, v, t, outside, table):
            outside = trough - 1
        if is_inside(u, v, t, outside, table):
            outside = trough + 1
        if is_inside(u, v, t, outside, table):
            return 0, a
        start = outside + 1
        stop = start + a - 2
        while stop >= start and not is_inside(u, v, t, stop if stop <= a else stop - a, table):
            stop -= 1
        while stop >= start and not is_inside(u, v, t, start if start <= a else start - a, table):
            start += 1
        return start, stop - start + 1
    while start <= stop and not is_inside(u, v, t, start, table):
        start += 1
    while start <= stop and not is_inside(u, v, t, stop, table):
        stop -= 1
    if start > stop:
        # No grid point, by the guess: the ones beside the peak have the last word.
        start = round(centre)
        if not is_inside(u, v, t, start, table):
            start += 1
        if not is_inside(u, v, t, start, table):
            start -= 2
        if not is_inside(u, v, t, start, table):
            return 0, 0
        stop = start
    while stop - start < a - 1 and is_inside(u, v, t, start - 1 if start > -a else start - 1 + a, table):
        start -= 1
    while stop - start < a - 1 and is_inside(u, v, t, stop + 1 if stop < a else stop + 1 - a, table):
        stop += 1
    return start, stop - start + 1


@jit_inline
def add_arc(differences, x, y, z, start, length):
    """Add an arc to the difference array differences[x, y, z]; its running sum gives the counts.

    Parameters
    ----------
    differences : (·, ·, ·, a + 1) integers, updated
        Indexed in place: a view of one row would cost more than the arc.
    x, y, z : int
    start, length : int
        As returned by `arc`, length ≥ 1.
    """
    a = differences.shape[3] - 1
    if length >= a:
        differences[x, y, z, 0] += 1
        return
    while start < 0:
        start += a
    while start >= a:
        start -= a
    end = start + length
    differences[x, y, z, start] += 1
    if end <= a:
        differences[x, y, z, end] -= 1
    else:
        differences[x, y, z, 0] += 1
        differences[x, y, z, end - a] -= 1
