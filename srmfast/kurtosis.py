"""Whether single coordinates of rows have heavier tails along a basis than along its random rotations.

Rows that lie along few basis vectors have coordinates that are mostly near 0 and sometimes large: a high kurtosis. Rows on the
corners of a cube, as far from all vectors as can be, have a low one. The rotation of the basis decides what is high.
"""

import math
from dataclasses import dataclass

import numpy as np

from srmfast.family import LEVEL, POWER, UNITS, Verdict
from srmfast.jackknife import interval

DETECTABLE = (
    0.3  # a mean excess kurtosis this small must be detectable where "none" is said: a tenth of that of Gaussian rows
)
_TOLD = 32  # coordinates, at most


@dataclass(frozen=True)
class Coordinate:
    """A coordinate whose kurtosis is beyond that of every coordinate of nearly all rotations.

    Attributes
    ----------
    vector : int
        Of the basis.
    kurtosis : float
        Excess.
    p : float
        Two-sided, corrected for all coordinates.
    """

    vector: int
    kurtosis: float
    p: float


@dataclass(frozen=True)
class Kurtosis(Verdict):
    """How the excess kurtosis of coordinates compares with that along rotations of the basis.

    Attributes
    ----------
    mean : Verdict
        Of the mean over coordinates alone, against the same extremes.
    single : Verdict
        Of the highest and the lowest coordinate alone.
    size, low, high : float
        Mean over the coordinates of the basis, less that over its rotations, and the 95 % interval by leaving out one of 64
        folds at a time.
    own, rotated : float
        These means.
    highest, lowest : float
        Of the coordinates of the basis.
    detectable : float
        The smallest `size` that is found four times out of five.
    coordinates : tuple of Coordinate
        Those that stand out, clearest first.
    vectors : int
        Coordinates looked at.
    """

    mean: Verdict
    single: Verdict
    size: float
    low: float
    high: float
    own: float
    rotated: float
    highest: float
    lowest: float
    detectable: float
    coordinates: tuple
    vectors: int


def kurtosis_of(result, units):
    """Judge the kurtoses of a result, see `judge`; None where they were not looked at.

    Parameters
    ----------
    result : Result
    units : int
        Independent rows or groups.

    Returns
    -------
    Kurtosis or None
    """
    if result.null_kurtosis is None:
        return None
    return judge(
        result.null_kurtosis, result.null_kurtosis_without, result.tested_vector, result.tested_kurtosis, units
    )


def judge(frames, without, vectors, each, units):
    """Judge the kurtoses of a basis.

    Parameters
    ----------
    frames : ndarray, (1 + M, 3) float64
        Mean, lowest and highest excess kurtosis of the coordinates: of the basis, then of its rotations.
    without : ndarray, (1 + M, 64) float64
        The mean without the rows of one fold, NaN where it has none.
    vectors, each : ndarray, (v,)
        Basis vectors and the excess kurtosis along each.
    units : int
        Independent rows or groups.

    Returns
    -------
    Kurtosis or None
        None where no coordinate varies in some rotation.

    Notes
    -----
    Mean and highest (and the same, negative: mean and lowest) are standardised by mean and standard deviation over the basis
    and all rotations; the larger of both is the statistic, and p = (1 + rotations that reach it)/(1 + M), doubled. What exchanges
    the basis with its rotations exchanges all of that, so p is exact whatever the rows.
    """
    if not np.isfinite(frames).all() or len(frames) < 2:
        return None
    centre, spread = frames.mean(axis=0), frames.std(axis=0)
    z = (frames - centre) / np.where(spread > 0, spread, np.inf)
    up, down = np.maximum(z[:, 0], z[:, 2]), np.maximum(-z[:, 0], -z[:, 1])
    rotated = float(frames[1:, 0].mean())
    threshold = np.sort(up[1:])[::-1][min(max(0, math.floor(LEVEL / 2 * len(up) + 1e-9) - 1), len(up) - 2)]
    detectable = float(centre[0] - rotated + (threshold + POWER) * spread[0])
    size, low, high = _interval(without, float(frames[0, 0]) - rotated)

    def judged(highest, lowest):
        return _judged(_chance(up, highest), _chance(down, lowest), detectable, units)

    found = []
    for vector, value in zip(vectors.tolist(), each.tolist(), strict=True):
        if math.isfinite(value) and spread[1] > 0 and spread[2] > 0:
            above = _chance(up, (value - centre[2]) / spread[2])
            below = _chance(down, (centre[1] - value) / spread[1])
            found.append(Coordinate(vector, value, min(1.0, 2 * min(above, below))))
    found = sorted((one for one in found if one.p <= LEVEL), key=lambda one: (one.p, -abs(one.kurtosis - rotated)))
    return Kurtosis(
        **vars(judged(up[0], down[0])), mean=judged(z[0, 0], -z[0, 0]), single=judged(z[0, 2], -z[0, 1]), size=size, low=low,
        high=high, own=float(frames[0, 0]), rotated=rotated, highest=float(frames[0, 2]), lowest=float(frames[0, 1]),
        detectable=detectable, coordinates=tuple(found[:_TOLD]), vectors=len(vectors),
    )  # fmt: skip


def related(frames):
    """Return a correlation, its excess over the mean of the rotations, and its exact two-sided p; NaN where there is none.

    Parameters
    ----------
    frames : ndarray, (1 + M,) float64
        Of the basis, then of its rotations.
    """
    if not np.isfinite(frames).all() or len(frames) < 2:
        return math.nan, math.nan, math.nan
    p = min(_chance(frames, frames[0]), _chance(-frames, -frames[0]))
    return float(frames[0]), float(frames[0] - frames[1:].mean()), min(1.0, 2 * p)


def _judged(p_aligned, p_anti, detectable, units):
    aligned, anti = 2 * p_aligned <= LEVEL, 2 * p_anti <= LEVEL
    verdict = "none" if detectable <= DETECTABLE else "undecided"
    if aligned or anti:
        verdict = "mixed" if aligned and anti else "aligned" if aligned else "anti-aligned"
    return Verdict("undecided" if units < UNITS else verdict, min(1.0, 2 * min(p_aligned, p_anti)), p_aligned, p_anti)


def _chance(extremes, score):
    return (1 + int((extremes[1:] >= score).sum())) / len(extremes)


def _interval(without, size):
    """Return a difference of means and its jackknife interval, from the means without one fold of rows."""
    differences = without[0] - without[1:].mean(axis=0)
    moved = differences[np.isfinite(differences)]
    return tuple(float(value) for value in interval(size, moved)) if moved.size > 1 else (size, math.nan, math.nan)
