"""How well the best cone about any of some vectors picks out each class, at one width of the cone and at the best width."""

import numpy as np

from srmfast.kernels._jit import jit


@jit
def best_scores(along, norms, epsilon, first, codes, size, score, cone, cosine):
    """Find for each class the cone about ±b_i with the highest F1 as a classifier of the class.

    Parameters
    ----------
    along : (k, n) float64
        x·b_i.
    norms : (n,) float64
        ‖x‖, all above 0.
    epsilon : float64
        Above 0: the cosine of the cones of the first kind. Those of the second end wherever F1 is highest, above 0.
    first, codes : (n + 1,) int64, (·,) int32
        Row r is of the classes codes[first[r] : first[r + 1]].
    size : (c,) int64
        Rows of each class.
    score, cone, cosine : (c, 2) float64, int64, float64, filled
        The highest F1 of a class at `epsilon` and at the best width; the cone, 2i for vector i and 2i + 1 for its
        opposite, −1 where none holds a row of the class; the cosine that it ends at. The first of equals.
    """
    k, n = along.shape
    score[:], cone[:], cosine[:] = 0.0, -1, 0.0
    both, at = np.zeros(size.shape[0], np.int64), np.empty(n)
    for number in range(2 * k):
        i, sign = number // 2, 1.0 - 2.0 * (number % 2)
        both[:] = 0
        inside = 0
        for r in range(n):
            dot = sign * along[i, r]
            at[r] = -dot / norms[r]
            if dot >= epsilon * norms[r]:
                inside += 1
                for of in range(first[r], first[r + 1]):
                    both[codes[of]] += 1
        for c in range(size.shape[0]):
            if both[c]:
                keep(2 * both[c] / (inside + size[c]), c, 0, number, epsilon, score, cone, cosine)
        both[:] = 0
        order = np.argsort(at)
        start = 0
        while start < n and at[order[start]] < 0.0:
            stop = start
            while stop < n and at[order[stop]] == at[order[start]]:  # rows at one angle enter a cone together
                r = order[stop]
                for of in range(first[r], first[r + 1]):
                    both[codes[of]] += 1
                stop += 1
            for place in range(start, stop):  # F1 of all other classes has only fallen
                r = order[place]
                for of in range(first[r], first[r + 1]):
                    c = codes[of]
                    keep(2 * both[c] / (stop + size[c]), c, 1, number, -at[r], score, cone, cosine)
            start = stop


@jit
def keep(value, c, kind, number, width, score, cone, cosine):
    """Keep the F1 of a cone when it is the highest so far."""
    if value > score[c, kind]:
        score[c, kind], cone[c, kind], cosine[c, kind] = value, number, width
