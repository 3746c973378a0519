"""The test of a verdict: one statistic over all labels, epsilons and planes, for a basis and for its random rotations."""

import math
from dataclasses import dataclass

import numpy as np

LEVEL = 0.05  # two-sided, of the whole family of labels, epsilons and planes
DETECTABLE = 0.1  # an effect this small must be detectable where "none" is said
POWER = 0.8416  # standard deviations above the threshold at which four of five such effects are found
ALL = "all labels"
UNITS = 20  # independent rows or groups below which nothing is decided
ANTI = math.sqrt(
    0.5
)  # ε above which rows may avoid a basis: below, one large coordinate stands on b_i in all its planes
# Scores of N independent pairs have a standard deviation of 1, and the most extreme of many of about ½. Where hardly a frame has
# a pair there is less, and a single pair in one rotation would look extreme.
_LEAST_SD, _LEAST_SD_OF_EXTREMES = 1.0, 0.5


@dataclass(frozen=True)
class Verdict:
    """What is said of some rows: of a label, of a plane, or of all.

    Attributes
    ----------
    verdict : str
        "aligned", "anti-aligned", "mixed", "none" or "undecided".
    p, p_aligned, p_anti : float
        Two-sided, and of either direction, corrected for all labels, epsilons and planes looked at.
    """

    verdict: str
    p: float
    p_aligned: float
    p_anti: float


class Family:
    """The scores of a basis and of its rotations at every label, epsilon and plane, and what is extreme among them.

    A score is (near − far)/√(near + far). Those of each cell are standardised by mean and standard deviation over all 1 + M
    frames, the basis itself among them, so that frames stay exchangeable; the highest of a frame is its statistic.

    Parameters
    ----------
    phase, extreme : ndarray, (1 + M, c, e, 2)
    epsilon : ndarray, (e,)

    Attributes
    ----------
    pooled, high, low : ndarray, (1 + M, c, e)
        Standardised scores over all planes (c + 1 labels, all together last, when there are several), and of the highest and
        lowest plane.
    claims : ndarray, (e,) bool
        Epsilons at which anti-alignment may be claimed.
    between : bool
        Whether rows point between the vectors at some ε, but not at one where that may be claimed.
    """

    def __init__(self, phase, extreme, epsilon):
        if phase.shape[1] > 1:
            phase = np.concatenate([phase, phase.sum(axis=1, keepdims=True)], axis=1)  # all labels together
        self.pairs = phase.sum(axis=-1)
        self.pooled, self.pooled_mean, self.pooled_sd = _standardised(score(phase), _LEAST_SD)
        (self.low, self.low_mean, self.low_sd), (self.high, self.high_mean, self.high_sd) = (
            _standardised(extreme[..., side], _LEAST_SD_OF_EXTREMES) for side in (0, 1)
        )
        self.claims = np.asarray(epsilon) > ANTI
        self.highest = _most(self.pooled, self.high)
        self.lowest = _most(-self.pooled[..., self.claims], -self.low[..., self.claims])
        between = _most(-self.pooled, -self.low)  # whatever ε is
        seen = 2 * self.chance(between, between[0]) <= LEVEL
        self.between = seen and not (self.claims.any() and 2 * self.chance(self.lowest, self.lowest[0]) <= LEVEL)

    def verdict(self, pooled, high, low, claims, detectable, units):
        """Judge some of the cells of the basis, given as scores (…, e), against the extremes of all."""
        aligned, anti = self.chance(self.highest, max(np.max(pooled), np.max(high))), 1.0
        if claims.any():
            anti = self.chance(self.lowest, max(np.max(-pooled[..., claims]), np.max(-low[..., claims])))
        return judged(aligned, anti, detectable, units)

    def overall(self, detectable, units):
        """Judge all of them."""
        return self.verdict(self.pooled[0], self.high[0], self.low[0], self.claims, detectable, units)

    def label(self, c, detectable, units):
        """Judge one label."""
        return self.verdict(self.pooled[0, c], self.high[0, c], self.low[0, c], self.claims, detectable, units)

    def epsilon(self, e, detectable, units):
        """Judge one epsilon."""
        cells = (array[0][:, e : e + 1] for array in (self.pooled, self.high, self.low))
        return self.verdict(*cells, self.claims[e : e + 1], detectable, units)

    def frames(self, e):
        """Look at one epsilon with the eyes of every frame, as if it were the basis and all others its rotations.

        Returns
        -------
        score : ndarray, (1 + M,) float64
            Standardised, of all labels and planes.
        called : ndarray, (1 + M, 2) bool
            Whether it would be called aligned, and anti-aligned, by the same rule as the basis.
        """
        aligned = self._reached(self.highest, self.pooled[..., e], self.high[..., e])
        anti = np.zeros(len(aligned), bool)
        if self.claims[e]:
            anti = self._reached(self.lowest, -self.pooled[..., e], -self.low[..., e])
        return self.pooled[:, -1, e], np.stack([aligned, anti], axis=1)

    @staticmethod
    def _reached(extremes, *scores):
        own = _most(*scores)
        p = (extremes >= own[:, None]).sum(axis=1) / len(extremes)  # a frame's own extreme reaches its score, too
        return 2 * p <= LEVEL

    def plane(self, score):
        """Judge one plane by its scores, (c, e); return its verdict and the cell where it is clearest."""
        up = (score - self.high_mean) / self.high_sd
        down = np.where(self.claims, (self.low_mean - score) / self.low_sd, -np.inf)
        aligned, anti = self.chance(self.highest, up.max()), 1.0
        if self.claims.any():
            anti = self.chance(self.lowest, down.max())
        side = up if aligned <= anti else down
        return judged(aligned, anti, math.inf, UNITS), np.unravel_index(np.argmax(side), side.shape)

    def detectable(self):
        """Return the smallest effect that is found four times out of five, (c or c + 1, e); infinite without a pair."""
        m = len(self.highest) - 1
        allowed = max(0, math.floor(LEVEL / 2 * (m + 1) + 1e-9) - 1)
        threshold = np.sort(self.highest[1:])[::-1][min(allowed, m - 1)]
        score = self.pooled_mean + (threshold + POWER) * self.pooled_sd
        pairs = self.pairs[0]
        return np.where(pairs > 0, score / np.sqrt(np.maximum(pairs, 1)), np.inf)

    @staticmethod
    def chance(extremes, score):
        """Return the exact p of a score of the basis: (1 + rotations that reach it)/(1 + rotations)."""
        return (1 + int((extremes[1:] >= score).sum())) / len(extremes)


def judged(p_aligned, p_anti, detectable, units):
    """Return the verdict of two one-sided p, the smallest detectable effect and the number of independent units."""
    aligned, anti = 2 * p_aligned <= LEVEL, 2 * p_anti <= LEVEL
    if units < UNITS:
        verdict = "undecided"
    elif aligned or anti:
        verdict = "mixed" if aligned and anti else "aligned" if aligned else "anti-aligned"
    else:
        verdict = "none" if detectable <= DETECTABLE else "undecided"
    return Verdict(verdict, min(1.0, 2 * min(p_aligned, p_anti)), p_aligned, p_anti)


def jackknife(folds, held):
    """Return an effect and its 95 % interval.

    Parameters
    ----------
    folds : ndarray, (64, 2) int64
        Near and far.
    held : ndarray, (64,) bool
        Folds that hold rows.

    Returns
    -------
    size, low, high : float
        NaN where there is no pair, and no interval with fewer than two folds or when all pairs lie in one.
    """
    near, far = folds.sum(axis=0).tolist()
    if not near + far:
        return math.nan, math.nan, math.nan
    size = (near - far) / (near + far)
    left = np.array([near, far]) - folds[held]
    count = len(left)
    if count < 2 or (left.sum(axis=1) == 0).any():
        return size, math.nan, math.nan
    from scipy.special import stdtrit

    without = (left[:, 0] - left[:, 1]) / left.sum(axis=1)
    error = math.sqrt((count - 1) / count * float(((without - without.mean()) ** 2).sum()))
    reach = float(stdtrit(count - 1, 0.975)) * error
    return size, max(-1.0, size - reach), min(1.0, size + reach)


def score(phase):
    """Return (near − far)/√(near + far) of integers (…, 2); 0 where there is none."""
    near, far = phase[..., 0].astype(np.float64), phase[..., 1].astype(np.float64)
    return (near - far) / np.sqrt(np.maximum(near + far, 1.0))


def _standardised(scores, least):
    """Return scores (1 + M, …) standardised over their first axis, with the means and standard deviations."""
    mean, sd = scores.mean(axis=0), np.maximum(scores.std(axis=0), least)
    return (scores - mean) / sd, mean, sd


def _most(*scores):
    """Return the highest score of each frame, (1 + M,)."""
    flat = [each.reshape(len(each), -1) for each in scores]
    together = np.concatenate(flat, axis=1)
    return together.max(axis=1) if together.shape[1] else np.zeros(len(together))
