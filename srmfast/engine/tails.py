"""Excess kurtosis of the rows drawn, along a basis and along its rotations, and whether longer rows have more of it."""

import math

import numpy as np

from srmfast.kernels.kurtosis import kurtoses, power_sums
from srmfast.tally import FOLDS


class Tails:
    """Looks at how heavy the tails of some rows, each divided by its norm, are along any vectors.

    Parameters
    ----------
    norms : ndarray, (n,) float64
        Of the rows; those of norm 0 are left out.
    folds : ndarray, (n,) int64
    """

    def __init__(self, norms, folds):
        self._norms, self._folds = norms, np.ascontiguousarray(folds)
        self._held = norms > 0
        self._counts = np.bincount(folds[self._held], minlength=FOLDS)
        self._ranks = _ranks(norms[self._held])

    def along(self, coordinates):
        """Look along some vectors.

        Parameters
        ----------
        coordinates : ndarray, (v, n) float64
            x·b of rows and vectors.

        Returns
        -------
        about : ndarray, (3,) float64
            Mean, lowest and highest excess kurtosis of the coordinates; NaN without one that varies.
        without : ndarray, (64,) float64
            The mean, of the rows that are not of one fold; NaN of a fold without rows, which cannot be left out.
        related : float
            Rank correlation of the rows' norms with Σz⁴ of their coordinates; NaN where one of both is constant.
        each : ndarray, (v,) float64
            Excess kurtosis of each coordinate; NaN of a constant one.
        """
        v, n = coordinates.shape
        sums, peaks = np.empty((v, FOLDS, 4)), np.empty(n)
        each, without = np.full(v, np.nan), np.full(FOLDS, np.nan)
        if self._counts.sum() < 2 or not v:
            return np.full(3, np.nan), without, math.nan, each
        power_sums(coordinates, self._norms, self._folds, self._counts, sums, peaks)
        kurtoses(sums, self._counts, each, without)
        without[self._counts == 0] = np.nan
        some = each[~np.isnan(each)]
        about = [math.fsum(some) / some.size, some.min(), some.max()] if some.size else [math.nan] * 3
        return np.array(about), without, _correlation(self._ranks, _ranks(peaks[self._held])), each


def _ranks(values):
    """Return twice the rank of each value, less their mean, as integers; equal values share one."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (2 * last - counts - values.size)[inverse.reshape(-1)]


def _correlation(x, y):
    """Return the correlation of two sets of integers whose mean is 0."""
    squares = int((x * x).sum()) * int((y * y).sum())
    return int((x * y).sum()) / math.sqrt(squares) if squares else math.nan
