"""The two ends of many arcs at once, in float32, each with a certificate or a flag.

`polar` and `ends` are branch-free loops over a few hundred (row, plane) pairs that the compiler turns into vector
code: 2.5 ns a pair with AVX2. An end that lies too near a grid point for float32 to tell is flagged, and the line
of the definition decides that pair (`arcs.py`). README.md has the proof of the tolerance.
"""

import math

import numpy as np

from srmfast.kernels._jit import jit_screen

UNSURE = -1  # the length of an arc that the line has to decide
GRID = (8, 1 << 20)  # numbers of angles for which the tolerance is proven
_ONE, _HALF, _QUARTER = np.float32(1.0), np.float32(0.5), np.float32(0.25)
_ZERO = np.float32(0.0)
_TURN = np.float32(0.5 / math.pi)  # radians to turns
_NEAR_ONE = np.float32(1.0 - 2.0**-15)
_OUTWARD = np.float32(1.0 + 2.0**-20)
_MOVED = np.float32(0.505)  # ½, for π·η/(2π), and what rounding adds
_ROUNDED = np.float32(2.0**-23)
_POSITION = np.float32(2.0**-20)
# Abramowitz and Stegun 4.4.49 and 4.4.46
_T1, _T2, _T3, _T4 = (np.float32(x) for x in (-0.3333314528, 0.1999355085, -0.1420889944, 0.1065626393))
_T5, _T6, _T7, _T8 = (np.float32(x) for x in (-0.0752896400, 0.0429096138, -0.0161657367, 0.0028662257))
_C0, _C1, _C2, _C3 = (np.float32(x) for x in (1.5707963050, -0.2145988016, 0.0889789874, -0.0501743046))
_C4, _C5, _C6, _C7 = (np.float32(x) for x in (0.0308918810, -0.0170881256, 0.0066700901, -0.0012624911))


@jit_screen
def polar(u, v, turn, radius):
    """Write atan2(v, u)/2π, in [−½, ½], and hypot(u, v).

    Parameters
    ----------
    u, v : (m,) float32
        In-plane coordinates of rows of norm 1. Both zero gives NaN, which `ends` flags.
    turn, radius : (m,) float32, filled
    """
    for c in range(u.shape[0]):
        x, y = abs(u[c]), abs(v[c])
        q = min(x, y) / max(x, y)
        z = q * q
        p = _T7 + z * _T8
        p = _T5 + z * (_T6 + z * p)
        p = _T3 + z * (_T4 + z * p)
        p = _T1 + z * (_T2 + z * p)
        t = q * (_ONE + z * p) * _TURN
        t = _QUARTER - t if y > x else t
        t = _HALF - t if u[c] < _ZERO else t
        turn[c] = -t if v[c] < _ZERO else t
        radius[c] = math.sqrt(x * x + y * y)


@jit_screen
def ends(turn, radius, eta, epsilon, a, start, length):
    """Write the arcs of many pairs for one epsilon.

    Parameters
    ----------
    turn, radius : (m,) float32
        From `polar`.
    eta : (m,) float32
        Bound on the error of the point (u, v); infinite where nothing is known.
    epsilon : float32
    a : int
        Number of angles, within GRID.
    start, length : (m,) int32, filled
        The angles start … start + length − 1 (mod a), start in [0, a), hold the row; length is UNSURE where the
        line has to decide.
    """
    steps, angles, zero = np.float32(a), np.int32(a), np.int32(0)
    reach = abs(epsilon)
    everything = angles if epsilon < _ZERO else zero
    # No more than five arrays: the compiler gives up on telling more of them apart, and on vector code.
    for c in range(turn.shape[0]):
        inverse = _ONE / radius[c]
        q = epsilon * inverse
        x = min(abs(q), _ONE)
        p = _C6 + x * _C7
        p = _C4 + x * (_C5 + x * p)
        p = _C2 + x * (_C3 + x * p)
        p = _C0 + x * (_C1 + x * p)
        root = math.sqrt(_ONE - x)
        half = root * p * _TURN
        half = _HALF - half if q < _ZERO else half
        sine = root * math.sqrt(_ONE + x)
        tolerance = steps * ((_MOVED * eta[c] * inverse + _ROUNDED) / sine + _POSITION)
        low, high = (turn[c] - half) * steps, (turn[c] + half) * steps
        first, last = np.ceil(low), np.floor(high)
        below, above = first - low, high - last
        nearest = min(min(below, _ONE - below), min(above, _ONE - above))
        sure = (nearest > tolerance) & (x < _NEAR_ONE)
        settled = radius[c] * _OUTWARD + eta[c] < reach
        at = np.int32(first) if sure else zero
        start[c] = at + angles if at < zero else at
        found = np.int32(last - first) + np.int32(1) if sure else np.int32(UNSURE)
        length[c] = everything if settled else found


@jit_screen
def finishes(start, length, a, finish):
    """Write where each arc ends in a difference array of a + 1 entries: it grows at `start` and shrinks at `finish`.

    Parameters
    ----------
    start, length : (m,) int32
        Decided arcs.
    a : int
    finish : (m,) int32, filled
        `start` itself where there is no arc.

    Returns
    -------
    found, wraps : int
        Arcs, and arcs that pass the end of the turn: the entry at 0 grows with each.
    """
    found, wraps, angles = 0, 0, np.int32(a)
    for c in range(start.shape[0]):
        end = start[c] + length[c]
        over = end > angles
        finish[c] = end - angles if over else end
        found += length[c] != 0
        wraps += over
    return found, wraps
