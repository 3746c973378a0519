"""At which angular scale an alignment lives: the effect and the verdict of every ε of one run."""

import math
from dataclasses import dataclass

from srmfast.family import ALL

_DECIDED = ("aligned", "anti-aligned", "mixed")


@dataclass(frozen=True)
class Scale:
    """One ε.

    Attributes
    ----------
    epsilon : float
    degrees : float
        Half-angle of the cone.
    size, low, high : float
        The effect of all labels together and its 95 % interval; see `srmfast.alignment.Effect`.
    pairs : int
        (row, plane) pairs that it rests on.
    detectable : float
        The smallest effect that is found four times out of five.
    verdict, p : str, float
        Corrected for everything that the run looked at.
    """

    epsilon: float
    degrees: float
    size: float
    low: float
    high: float
    pairs: int
    detectable: float
    verdict: str
    p: float


@dataclass(frozen=True)
class Spectrum:
    """Effects by angular scale.

    Attributes
    ----------
    scales : tuple of Scale
        By rising ε: from wide cones to narrow ones.
    peak : Scale or None
        Where the effect is largest among the scales with a verdict of a direction; None without one.
    turns : tuple of (float, float)
        Neighbouring such ε between which the effect changes its sign.
    """

    scales: tuple
    peak: Scale | None
    turns: tuple

    def __str__(self):
        if self.peak is None:
            return "at no ε is there an alignment to place"
        decided = [scale for scale in self.scales if scale.verdict in _DECIDED]
        where = f"{self.peak.verdict} most at ε = {self.peak.epsilon:g} ({self.peak.size:+.2f}, cones of {self.peak.degrees:.0f}°)"
        among = f", of {len(decided)} of {len(self.scales)} ε with a verdict" if len(self.scales) > 1 else ""
        turned = "".join(f"; the sign changes between ε = {low:g} and {high:g}" for low, high in self.turns)
        return where + among + turned


def spectrum(alignment):
    """Return the `Spectrum` of an `Alignment`: nothing is counted again."""
    together = [effect for effect in alignment.effects if effect.label == ALL] or alignment.effects
    said = {one.effect.epsilon: one for one in alignment.epsilons} or {alignment.effect.epsilon: alignment}
    scales = tuple(
        Scale(
            one.epsilon, math.degrees(math.acos(one.epsilon)), one.size, one.low, one.high, one.near + one.far,
            one.detectable, said[one.epsilon].verdict, said[one.epsilon].p,
        )
        for one in sorted(together, key=lambda one: one.epsilon)
    )  # fmt: skip
    decided = [scale for scale in scales if scale.verdict in _DECIDED and not math.isnan(scale.size)]
    turns = tuple(
        (one.epsilon, other.epsilon)
        for one, other in zip(decided, decided[1:], strict=False)
        if (one.size > 0) != (other.size > 0)
    )
    return Spectrum(scales, max(decided, key=lambda scale: abs(scale.size), default=None), turns)
