"""How heavy the tails of rows are along each of some vectors; every sum is in the order of the rows, whatever the CPU."""

import numpy as np

from srmfast.kernels._jit import jit

_CONSTANT = 1e-24  # variance of a coordinate of unit rows, below which it is rounding


@jit
def power_sums(coordinates, norms, folds, counts, sums, peaks):
    """Sum the powers of what unit rows have along each vector, by fold, about the mean of all.

    Parameters
    ----------
    coordinates : (v, n) float64
        Of the rows along the vectors, not yet divided by the norms.
    norms : (n,) float64
        Rows of norm 0 are left out.
    folds : (n,) int64
    counts : (f,) int64
        Rows of each fold that are not left out.
    sums : (v, f, 4) float64, filled
        First to fourth powers.
    peaks : (n,) float64, filled
        Sum over vectors of the fourth powers, about 0, of each row.
    """
    sums[:], peaks[:] = 0.0, 0.0
    n = counts.sum()
    for i in range(coordinates.shape[0]):
        mean = 0.0
        for r in range(norms.shape[0]):
            if norms[r] > 0.0:
                mean += coordinates[i, r] / norms[r]
        mean /= n
        for r in range(norms.shape[0]):
            if not norms[r] > 0.0:
                continue
            z = coordinates[i, r] / norms[r]
            y, fold = z - mean, folds[r]
            square = y * y
            sums[i, fold, 0] += y
            sums[i, fold, 1] += square
            sums[i, fold, 2] += square * y
            sums[i, fold, 3] += square * square
            peaks[r] += (z * z) * (z * z)


@jit
def excess(n, first, second, third, fourth):
    """Return the excess kurtosis of n values by the sums of their powers about any point near their mean; NaN of a constant."""
    shift, square = first / n, second / n
    variance = square - shift * shift
    if not variance > _CONSTANT:
        return np.nan
    central = (
        fourth / n - 4.0 * shift * (third / n) + 6.0 * shift * shift * square - 3.0 * shift * shift * shift * shift
    )
    return central / (variance * variance) - 3.0


@jit
def kurtoses(sums, counts, each, without):
    """Turn sums of powers into excess kurtoses.

    Parameters
    ----------
    sums, counts
        From `power_sums`.
    each : (v,) float64, filled
        Of each coordinate; NaN where it is constant.
    without : (f,) float64, filled
        Mean over the coordinates, of all rows but those of one fold.
    """
    n = counts.sum()
    without[:] = 0.0
    varying = np.zeros(counts.shape[0])
    for i in range(sums.shape[0]):
        total = np.zeros(4)
        for fold in range(counts.shape[0]):
            for power in range(4):
                total[power] += sums[i, fold, power]
        each[i] = excess(n, total[0], total[1], total[2], total[3])
        for fold in range(counts.shape[0]):
            left = n - counts[fold]
            if left < 2:
                continue
            part = sums[i, fold]
            value = excess(left, total[0] - part[0], total[1] - part[1], total[2] - part[2], total[3] - part[3])
            if not np.isnan(value):
                without[fold] += value
                varying[fold] += 1.0
    for fold in range(counts.shape[0]):
        without[fold] = without[fold] / varying[fold] if varying[fold] > 0.0 else np.nan
