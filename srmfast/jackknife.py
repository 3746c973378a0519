"""Intervals by leaving out one fold at a time, of anything made of sums over folds, and of how two results differ in it."""

import math

import numpy as np

LEVEL = 0.95  # of every interval


def leave_one_out(statistic, parts, held):
    """Return a statistic of all folds, and of all but one.

    Parameters
    ----------
    statistic : callable
        Of sums (…), the same as of one fold.
    parts : ndarray, (64, …)
        What each fold adds.
    held : ndarray, (64,) bool
        Folds that hold rows.

    Returns
    -------
    whole : ndarray
    without : ndarray, (folds, …)
    """
    total = parts.sum(axis=0)
    left = [statistic(total - part) for part in parts[held]]
    whole = statistic(total)
    return whole, np.array(left).reshape(len(left), *np.shape(whole))


def error_of(without):
    """Return the standard error that leave-one-out values (m, …) tell; NaN for fewer than two folds."""
    m = len(without)
    if m < 2:
        return np.full(np.shape(without)[1:], np.nan)
    return np.sqrt((m - 1) / m * ((without - without.mean(axis=0)) ** 2).sum(axis=0))


def interval(whole, without):
    """Return a value and its 95 % interval, low and high; NaN where it cannot be told."""
    reach = _quantile(len(without) - 1) * error_of(without)
    return whole, whole - reach, whole + reach


def difference(first, second, paired):
    """Return by how much a second value exceeds a first, with its 95 % interval.

    Parameters
    ----------
    first, second : (whole, without)
        From `leave_one_out`.
    paired : bool
        Whether the folds of both are of the same rows, so that one is left out of both at once. Otherwise the variances
        are added, with the degrees of freedom of Welch and Satterthwaite.

    Returns
    -------
    size, low, high : ndarray
    """
    (a, a_without), (b, b_without) = first, second
    if paired:
        return interval(b - a, b_without - a_without)
    errors = np.stack([error_of(a_without), error_of(b_without)])
    variances, folds = errors**2, (len(a_without), len(b_without))
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = variances.sum(axis=0) ** 2 / sum(v**2 / max(m - 1, 1) for v, m in zip(variances, folds, strict=True))
    reach = _quantile(np.where(variances.sum(axis=0) > 0, freedom, 1.0)) * np.sqrt(variances.sum(axis=0))
    return b - a, b - a - reach, b - a + reach


def _quantile(freedom):
    """Return the two-sided 95 % quantile of Student's t."""
    from scipy.special import stdtrit

    return stdtrit(np.maximum(freedom, 1.0), (1 + LEVEL) / 2)


def balance(sums):
    """Return (first − second)/(first + second) of sums (…, 2): the effect of near and far; NaN where both are 0."""
    first, second = np.asarray(sums[..., 0], float), np.asarray(sums[..., 1], float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(first + second > 0, (first - second) / (first + second), math.nan)


def directions(a, shared):
    """Return the weights of a curve on a grid that give its mean on b_i and b_j and its value midway between, (2, a).

    Parameters
    ----------
    a : int
        Angles of the grid.
    shared : float
        Angle from b_i to b_j in radians.
    """
    weights = np.zeros((2, a))
    for row, at, share in ((0, 0.0, 0.5), (0, shared, 0.5), (1, shared / 2, 1.0)):
        place = at / (2 * math.pi) * a
        low = math.floor(place)
        weights[row, low % a] += share * (1 - (place - low))
        weights[row, (low + 1) % a] += share * (place - low)
    return weights
