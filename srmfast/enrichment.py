"""Whether classes gather in some sets of rows more than chance would have it: a permutation test over all of them at once."""

import numpy as np

from srmfast.errors import InputError


def association(inside, class_rows, both, n):
    """Compute how strongly a class and a set of rows go together.

    Parameters
    ----------
    inside, class_rows, both : ndarrays of integers that broadcast
        Rows of the set, of the class and of both, of n.
    n : int

    Returns
    -------
    ndarray of float64
        The likelihood-ratio statistic G² of the 2 × 2 table; 0 where the two meet no more often than they would by chance.
    """
    table = _x_log_x(n)
    inside, class_rows, both = np.broadcast_arrays(inside, class_rows, both)
    g = table[both] + table[inside - both] + table[class_rows - both] + table[n - inside - class_rows + both]
    g += table[n] - table[inside] - table[n - inside] - table[class_rows] - table[n - class_rows]
    return np.where(both * float(n) > inside * class_rows.astype(float), np.maximum(2 * g, 0.0), 0.0)


def permutation_test(hits, sets, classes, *, permutations, seed, units=None):
    """Test for every set and class whether they meet more often than exchangeable classes would.

    Parameters
    ----------
    hits : ndarray, (m, 2) int64
        Rows 0 … n − 1 and the sets that they are in, each pair once.
    sets : int
    classes : ndarray, (n,) int64 or (n, c) bool
        The class of each row, −1 for none, or a row's classes.
    permutations : int
    seed : int
    units : ndarray, (n,) int64, optional
        The unit (document, image) that each row belongs to, 0 … u − 1. Then whole units exchange their classes, which
        all rows of a unit must share.

    Returns
    -------
    p : ndarray, (c, sets) float64
        Corrected for all sets and classes: the share of permutations, the data among them, in which any set and class
        are associated as strongly. 1 where a set is empty.

    Raises
    ------
    InputError
        Rows of one unit differ in their classes.

    Notes
    -----
    The statistic is G² and not an overlap such as F1: common classes reach a high overlap by chance, so that under a
    maximum over all classes the rare ones could never be found. The maximum makes it one test (Westfall and Young).
    """
    n = len(classes)
    several = classes.ndim == 2
    c = classes.shape[1] if several else int(classes.max(initial=-1)) + 1
    if units is not None:
        _, first, units = np.unique(units, return_index=True, return_inverse=True)
        if (classes != classes[first][units]).any():
            raise InputError(
                "rows of one group must share their classes to exchange them, but some groups have several"
            )
        of_units = classes[first]
    held, place = np.unique(hits[:, 1], return_inverse=True)
    size = np.bincount(place, minlength=held.size)
    rng = np.random.Generator(np.random.PCG64([seed, n]))
    count = _counter(hits[:, 0], place, held.size, c, several)

    def statistic(drawn):
        rows = drawn.sum(axis=0) if several else np.bincount(drawn[drawn >= 0], minlength=c)
        return association(size[:, None], rows, count(drawn), n)

    observed = statistic(classes)
    highest = np.empty(permutations)
    for turn in range(permutations):
        drawn = rng.permutation(classes) if units is None else rng.permutation(of_units)[units]
        highest[turn] = statistic(drawn).max(initial=0.0)
    highest.sort()
    as_high = permutations - np.searchsorted(highest, observed * (1 - 1e-12), side="left")
    p = np.ones((c, sets))
    p[:, held] = ((1 + as_high) / (permutations + 1)).T
    return p


def _counter(row, place, sets, c, several):
    """Return a function that counts, (sets, c), how often each set and class meet."""
    if not several:

        def count(classes):
            drawn = classes[row]
            known = drawn >= 0
            return np.bincount(place[known] * c + drawn[known], minlength=sets * c).reshape(sets, c)

        return count
    from scipy.sparse import csr_array

    matrix = {}

    def count_several(classes):
        if not matrix:
            ones = np.ones(row.size, np.int32)
            matrix[0] = csr_array((ones, (place, row)), shape=(sets, len(classes)))
        return matrix[0] @ classes.astype(np.int32)

    return count_several


_tables = {}


def _x_log_x(n):
    """Return x·log x for 0 … n."""
    if n not in _tables:
        _tables.clear()
        x = np.arange(n + 1, dtype=np.float64)
        x[1:] *= np.log(x[1:])
        _tables[n] = x
    return _tables[n]
