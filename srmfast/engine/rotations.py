"""Whether this basis is like its own random rotations, and the rows like others of their mean and covariance.

Both are asked of the same few rows and planes, drawn with the seed. Every number is the pinned dot's or an integer, so that
neither the CPU nor the threads can change one; docs/verdict.md says what is compared and why.
"""

import math
from dataclasses import dataclass

import numpy as np

from srmfast.bases import random_frame
from srmfast.engine.planes_drawn import ROTATED, SURROGATE, along_vectors, generator
from srmfast.engine.tails import Tails
from srmfast.kernels.frames import root_of, row_norms
from srmfast.kernels.phase import phase_floor, phase_of_pairs, summarise_phase
from srmfast.tally import FOLDS
from srmfast.threads import each


class Rows:
    """Rows with what deciding on them takes.

    Parameters
    ----------
    values : ndarray, (n, d) float64
        Those of zero norm are left out.
    labels : ndarray, (n,) int64
    epsilons : sequence of float
    chosen : ndarray, (n,) bool, optional
        Rows on which planes are chosen by their hits.
    """

    def __init__(self, values, labels, epsilons, chosen=None):
        self.values, self.labels, self.chosen = np.ascontiguousarray(values), labels, chosen
        self.norms = norms = np.empty(len(values))
        row_norms(self.values, norms)
        self.floor = np.empty(len(values))
        phase_floor(norms, float(min(epsilons)), self.floor)
        t = np.asarray(epsilons)[:, None] * norms
        self.squares = np.where(np.asarray(epsilons)[:, None] > 0, t * t, -1.0)
        self.squares[:, norms == 0] = np.inf

    def of(self, which):
        """Return the same for some of the rows."""
        some = object.__new__(Rows)
        some.labels, some.floor, some.squares = self.labels[which], self.floor[which], self.squares[:, which].copy()
        return some


def count_near(tested, rows, coordinates, c):
    """Count near and far in the planes to test.

    Parameters
    ----------
    tested : PlanesDrawn
    rows : Rows
    coordinates : ndarray, (v, n) float64
        Of the rows, along the vectors as they are or rotated.
    c : int
        Labels.

    Returns
    -------
    phase : ndarray, (p, c, e, 2) int32
        Of all planes; of those with most hits on the chosen rows, counted on the others, when planes are chosen.
    planes : ndarray, (p,) int64
        Which these are.
    """
    i, j, g, s = tested.i, tested.j, tested.g, tested.s
    if tested.most:
        first, second = (rows.of(which) for which in (rows.chosen, ~rows.chosen))
        widest = first.squares.min(axis=0, keepdims=True)
        hits = np.zeros((i.size, 1, 1, 2), np.int32)
        phase_of_pairs(
            np.ascontiguousarray(coordinates[:, rows.chosen]), i, j, g, s, widest, first.floor,
            np.zeros_like(first.labels), hits,
        )  # fmt: skip
        best = np.sort(np.argsort(-hits.sum(axis=(1, 2, 3)), kind="stable")[: tested.most])
        i, j, g, s = i[best], j[best], g[best], s[best]
        coordinates, rows = np.ascontiguousarray(coordinates[:, ~rows.chosen]), second
    phase = np.zeros((i.size, c, len(rows.squares), 2), np.int32)
    phase_of_pairs(coordinates, i, j, g, s, rows.squares, rows.floor, rows.labels, phase)
    return phase, (best if tested.most else np.arange(i.size))


def summarise(phase):
    """Return near and far over all planes, (c, e, 2) int64, and the lowest and highest score of any, (c, e, 2) float64."""
    total = np.empty(phase.shape[1:], np.int64)
    lowest, highest = np.empty((2, *phase.shape[1:3]))
    summarise_phase(phase, total, lowest, highest)
    return total, np.stack([lowest, highest], axis=-1)


@dataclass(frozen=True)
class Chance:
    """What comparing a basis with its rotations gives; each array is a variable of the result.

    Attributes
    ----------
    null_phase, pair_phase, surrogate_phase : ndarray, (1 + M, c, e, 2) int64
        Near and far, summed over planes: first of the basis and rows as they are, then of M rotations of the basis; the
        same with the mean subtracted, or not where the run subtracted it; and of M sets of Gaussian rows with
        the mean and the covariance of these.
    null_extreme, pair_extreme, surrogate_extreme : ndarray, (1 + M, c, e, 2) float64
        Lowest and highest (near − far)/√(near + far) of any plane.
    tested_i, tested_j : ndarray, (t,) int32
        The planes that differ most.
    tested_phase : ndarray, (t, c, e, 2) int64
        Near and far in these, of the basis as it is.
    null_kurtosis : ndarray, (1 + M, 3) float64
        Mean, lowest and highest excess kurtosis of the coordinates of these rows, each divided by its norm, along the vectors
        of the planes: first as they are, then rotated.
    null_kurtosis_without : ndarray, (1 + M, 64) float64
        The mean, leaving out one fold of rows at a time.
    null_norm : ndarray, (1 + M,) float64
        Rank correlation of the rows' norms with the sum of the fourth powers of their coordinates.
    tested_vector, tested_kurtosis : ndarray, (v,) int32 and float64
        The vectors, and the excess kurtosis of each as it is.
    about : dict
        What was drawn, and |mean|/rms of these rows.
    """

    null_phase: np.ndarray
    null_extreme: np.ndarray
    pair_phase: np.ndarray
    pair_extreme: np.ndarray
    surrogate_phase: np.ndarray
    surrogate_extreme: np.ndarray
    tested_i: np.ndarray
    tested_j: np.ndarray
    tested_phase: np.ndarray
    null_kurtosis: np.ndarray
    null_kurtosis_without: np.ndarray
    null_norm: np.ndarray
    tested_vector: np.ndarray
    tested_kurtosis: np.ndarray
    about: dict


def compare(drawn, tested, *, rotations, epsilons, c, seed, mean=None, chosen=None, threads=1):
    """Compare a basis with its random rotations, and rows with Gaussian ones.

    Parameters
    ----------
    drawn : DrawnRows
        As stored.
    tested : PlanesDrawn
    rotations : int
        M.
    epsilons : sequence of float
    c : int
        Labels.
    seed : int
    mean : ndarray, (d,) float64, optional
        What the run subtracts from every row; without it the counterpart has the mean of the drawn rows subtracted.
    chosen : ndarray, (64,) bool, optional
        Folds on which planes are chosen by their hits.
    threads : int

    Returns
    -------
    Chance
    """
    values, labels = drawn.values, np.ascontiguousarray(drawn.about[:, 1])
    half = None if chosen is None else chosen[drawn.about[:, 2]]
    own = values.mean(axis=0) if len(values) else np.zeros(drawn.d)
    as_run = values if mean is None else values - mean
    rows, other = (Rows(these, labels, epsilons, half) for these in (as_run, values - own if mean is None else values))
    phases = np.zeros((3, 1 + rotations, c, len(epsilons), 2), np.int64)
    extremes = np.zeros(phases.shape)
    tails = Tails(rows.norms, drawn.about[:, 2])
    moments = np.empty((1 + rotations, 3)), np.empty((1 + rotations, FOLDS)), np.empty(1 + rotations)
    coordinates = tested.along(rows.values)
    moments[0][0], moments[1][0], moments[2][0], kurtosis = tails.along(coordinates)
    found, planes = count_near(tested, rows, coordinates, c)
    phases[0, 0], extremes[0, 0] = phases[2, 0], extremes[2, 0] = summarise(found)
    phases[1, 0], extremes[1, 0] = summarise(count_near(tested, other, tested.along(other.values), c)[0])
    q, d = tested.frame.shape
    spread = _Spread(rows.values)

    def rotate(m):
        frame = random_frame(q, d, generator(seed, ROTATED, m))
        for kind, these in enumerate((rows, other)):
            coordinates = tested.turned(these.values, frame)
            if these is rows:
                moments[0][m], moments[1][m], moments[2][m], _ = tails.along(coordinates)
            counted, _ = count_near(tested, these, coordinates, c)
            phases[kind, m], extremes[kind, m] = summarise(counted)

    def imitate(m):
        gaussian = Rows(spread.draw(generator(seed, SURROGATE, m)), labels, epsilons, half)
        phases[2, m], extremes[2, m] = summarise(count_near(tested, gaussian, tested.along(gaussian.values), c)[0])

    if not len(values):
        for array in moments:
            array[1:] = np.nan
    else:
        turns = range(1, 1 + rotations)
        each(lambda work, m: work(m), [(w, m) for m in turns for w in (rotate, imitate)], threads=threads)
    top = _top(found)
    square = float((values**2).sum(axis=1).mean()) if len(values) else 0.0
    about = {
        "rotations": rotations,
        "rows": len(values),
        "vectors": len(tested.vectors),
        "planes": int(tested.most or tested.i.size),
        "mean_over_rms": math.sqrt(math.fsum(own**2) / square) if square else None,
    }
    return Chance(
        phases[0], extremes[0], phases[1], extremes[1], phases[2], extremes[2],
        tested.plane_i[planes[top]].astype(np.int32), tested.plane_j[planes[top]].astype(np.int32),
        found[top].astype(np.int64), *moments, tested.basis_numbers().astype(np.int32), kurtosis, about,
    )  # fmt: skip


_TOP = 32  # planes of each direction and cell that are told


def _top(found):
    """Return the sorted positions of the planes with the most extreme scores at any label and epsilon."""
    near, far = (found[..., side].astype(np.float64) for side in (0, 1))
    score = ((near - far) / np.sqrt(np.maximum(near + far, 1.0))).reshape(len(found), -1)
    highest, lowest = score.max(axis=1), score.min(axis=1)
    first = np.argsort(-highest, kind="stable")[:_TOP]
    last = np.argsort(lowest, kind="stable")[:_TOP]
    return np.unique(np.concatenate([first[highest[first] > 0], last[lowest[last] < 0]]))


class _Spread:
    """Draws Gaussian rows with the mean and the covariance of some rows."""

    def __init__(self, values):
        self._n, d = values.shape
        self.mean = values.sum(axis=0) / max(self._n, 1)
        columns = np.ascontiguousarray((values - self.mean).T) / math.sqrt(max(self._n - 1, 1))
        if d < self._n:  # a root of the covariance takes fewer numbers than combinations of the rows themselves
            self._mixing = np.empty((d, d))
            root_of(along_vectors(columns, columns), self._mixing)
        else:
            self._mixing = columns

    def draw(self, rng):
        """Return as many rows as there were."""
        weights = rng.standard_normal((self._n, self._mixing.shape[1]))
        return np.ascontiguousarray(along_vectors(weights, self._mixing).T) + self.mean
