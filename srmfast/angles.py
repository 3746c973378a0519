"""The angle grid: cosines and sines of 2πm/a, correctly rounded and exactly symmetric.

Every count depends on these numbers, so they may not depend on a libm. They are computed in integer
arithmetic on the first octant and mirrored, which makes cos(−θ) = cos θ, cos(θ + π) = −cos θ and
cos(π/2 − θ) = sin θ hold to the last bit wherever the grid has both points.
"""

import functools
import hashlib
import math

import numpy as np

from srmfast.errors import InputError

MIN_ANGLES = 2
MAX_ANGLES = 1_000_000  # above, the arcs are no longer provably contiguous (kernels/README.md)
_BITS = 192  # fraction of the fixed-point numbers: 139 bits more than a float64 has, so rounding is never in doubt


def check_angles(a):
    """Return `a` as an int, or raise InputError when it is no usable number of angles."""
    if not isinstance(a, (int, np.integer)) or not MIN_ANGLES <= a <= MAX_ANGLES:
        raise InputError(
            f"angles must be a whole number in [{MIN_ANGLES}, {MAX_ANGLES:,}], got {a}; 360 gives one per degree"
        )
    return int(a)


@functools.lru_cache(maxsize=8)
def angle_table(a):
    """Return the cosines and sines of the grid θ_m = 2πm/a, m = 0 … a−1.

    Parameters
    ----------
    a : int
        Number of angles in one full turn, 2 … 1,000,000. The end point is not repeated.

    Returns
    -------
    cos, sin : ndarray, (a,) float64, read-only
        Correctly rounded, with exact 0 and ±1 at the quadrants.

    Raises
    ------
    InputError
        When `a` is out of range.
    """
    a = check_angles(a)
    cos = np.empty(a)
    sin = np.empty(a)
    for m in range(a):
        quadrant, r = divmod(4 * m, a)  # θ_m = (quadrant + r/a)·π/2
        if 2 * r <= a:
            c, s = _octant(r // math.gcd(r, a), a // math.gcd(r, a))
        else:
            s, c = _octant((a - r) // math.gcd(r, a), a // math.gcd(r, a))
        for _ in range(quadrant):
            c, s = -s, c
        cos[m], sin[m] = c + 0.0, s + 0.0  # + 0.0: a mirrored zero is +0.0
    cos.setflags(write=False)
    sin.setflags(write=False)
    return cos, sin


def angle_hash(a):
    """Return the SHA-256 of the table's bytes: the identity of the grid in a Spec."""
    cos, sin = angle_table(a)
    return hashlib.sha256(cos.astype("<f8").tobytes() + sin.astype("<f8").tobytes()).hexdigest()


def angles(a):
    """Return the grid θ_m = 2πm/a in radians, (a,) float64, for axes and labels: no count depends on it."""
    return 2 * np.pi * np.arange(a) / a


@functools.lru_cache(maxsize=1 << 18)
def _octant(r, q):
    """Return cos and sin of (π/2)·(r/q), 0 ≤ r/q ≤ ½, each correctly rounded to float64."""
    if r == 0:
        return 1.0, 0.0
    x = _half_pi() * r // q
    square = x * x >> _BITS
    cos, sin, term, n = 0, 0, 1 << _BITS, 0
    while term:
        cos += term
        odd = (term * x >> _BITS) // (n + 1)
        sin += odd
        term = -((term * square >> _BITS) // ((n + 1) * (n + 2)))
        n += 2
    return _round(cos), _round(sin)


def _round(x):
    """Round the fixed-point number x to float64; refuse when its own error could change the rounding."""
    slack = 1 << 16  # far above the truncation error of the series, far below half an ulp of the result
    low, high = (x - slack) / (1 << _BITS), (x + slack) / (1 << _BITS)  # int/int is correctly rounded in Python
    if low != high:
        raise ArithmeticError(f"the angle table needs more than {_BITS} bits")
    return low


@functools.lru_cache(maxsize=1)
def _half_pi():
    """Return π/2 in fixed point by Machin's formula, π/4 = 4·atan(1/5) − atan(1/239)."""
    guard = 32
    one = 1 << (_BITS + guard)

    def atan_inverse(n):
        total, power, k = 0, one // n, 1
        while power:
            total += power // k if k % 4 == 1 else -(power // k)
            power //= n * n
            k += 2
        return total

    return 2 * (4 * atan_inverse(5) - atan_inverse(239)) >> guard
