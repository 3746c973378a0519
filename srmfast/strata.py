"""What kind of row makes the peak: the share of each stratum in the rows, in the pairs and in the peak, and the effect without it."""

import math
from dataclasses import dataclass

import numpy as np

from srmfast.errors import InputError
from srmfast.excerpts import first_hit, headed, number, shorten
from srmfast.family import jackknife

NOTED = 5  # times its share of the rows that a stratum has of the pairs or of the peak, from which it is worth a line
LEAST = 0.01  # share of either below which it is not
_AXIS = 1 - 1e-9  # largest entry of a vector that is a neuron
_MASSIVE = "massive", "one column"  # as `srmfast.engine.strata` calls it
_SHOWN = 4  # of those, in a summary


@dataclass(frozen=True)
class Stratum:
    """The rows of one kind.

    Attributes
    ----------
    family, name : str
        "norm" and "over 10x", for example.
    rows : int
    share : float
        Of all rows used.
    near, far : int
        (row, plane) pairs that point to a basis vector, and midway between two; see docs/verdict.md.
    near_share : float
        Share of all pairs near that are of these rows; NaN where there are none.
    peak_share : float
        Share of these rows in the count at the angle where the mean over planes peaks; NaN without a row in any cone.
    effect : float
        (near − far)/(near + far) of these rows; NaN without a pair.
    without, low, high : float
        The same of all other rows, with its 95 % interval by leaving out one of 64 folds at a time.
    implied : bool
        Whether every row near a basis vector is of this kind as a matter of course, and so nothing is to be noted.
    """

    family: str
    name: str
    rows: int
    share: float
    near: int
    far: int
    near_share: float
    peak_share: float
    effect: float
    without: float
    low: float
    high: float
    implied: bool = False

    @property
    def noted(self):
        """Whether these rows make `NOTED` times their share of the pairs near or of the peak, or more, and not next to nothing."""
        most = max((share for share in (self.near_share, self.peak_share) if not math.isnan(share)), default=0.0)
        return self.rows > 0 and not self.implied and most >= max(NOTED * self.share, LEAST)


@dataclass(frozen=True)
class Strata:
    """All strata of a result at one epsilon.

    Attributes
    ----------
    epsilon : float
    effect, low, high : float
        Of all rows, with its interval.
    angle : float
        Where the mean over planes peaks, in radians.
    strata : tuple of Stratum
        Those of one family after another; each family holds every row once.
    """

    epsilon: float
    effect: float
    low: float
    high: float
    angle: float
    strata: tuple

    @property
    def noted(self):
        """Those that make far more of the pairs or of the peak than of the rows, the largest share first."""
        return sorted((one for one in self.strata if one.noted), key=lambda one: (-one.near_share, one.share))

    def __str__(self):
        head = f"{'strata':<30} {'rows':>13} {'of rows':>8} {'of near':>8} {'of peak':>8} {'effect':>7} {'without':>8}"
        table = [
            f"{shorten(f'{one.family}: {one.name}', 30):<30} {one.rows:>13,} {_percent(one.share):>8} "
            f"{_percent(one.near_share):>8} {_percent(one.peak_share):>8} {_signed(one.effect):>7} {_signed(one.without):>8}"
            for one in self.strata
        ]
        return "\n".join([head, *table, *lines(self)])


def strata_of(result, epsilon=None):
    """Say what kind of row makes the peak of a result.

    Parameters
    ----------
    result : Result
        Of a run with `strata`.
    epsilon : float, optional
        One of the result's; when omitted, that at which some kind of row makes most of the pairs or of the peak beyond its
        share, or the first at which any row was in a cone.

    Returns
    -------
    Strata

    Raises
    ------
    InputError
        The run did not tell strata apart, or not at this epsilon.
    """
    if result.stratum is None:
        raise InputError(
            "the rows of this result were not told apart by strata; run again with --strata position,norm,token,massive, or "
            "some of these"
        )
    held = result.epsilon.tolist()
    if epsilon is not None and epsilon not in held:
        raise InputError(f"epsilon must be one of {', '.join(f'{one:g}' for one in held)}, got {epsilon}")
    if epsilon is None:
        hit = [one for one, some in zip(held, result.total.any(axis=(0, 2)), strict=True) if some]
        told = [found for found in (strata_of(result, one) for one in hit) if found.noted]
        if told:
            return max(told, key=lambda found: np.nanmax([found.noted[0].near_share, found.noted[0].peak_share]))
    e = first_hit(result) if epsilon is None else held.index(epsilon)
    names = [str(name).split(": ", 1) for name in result.stratum]
    first = [n for n, (family, _) in enumerate(names) if family == names[0][0]]
    phase, rows = result.stratum_phase[:, :, e], result.stratum_rows
    every, all_rows = phase[:, first].sum(axis=1), rows[:, first].sum(axis=1)
    curve = result.stratum_total[first, e].sum(axis=0)
    at = int(np.argmax(curve))
    near, used = int(every[:, 0].sum()), int(all_rows.sum())
    # A row within 45° of a neuron holds half of its squared norm there: near enough to neurons all rows are massive.
    massive = held[e] > math.sqrt(0.5) and bool((np.abs(result.basis).max(axis=1) > _AXIS).all())
    found = []
    for n, (family, name) in enumerate(names):
        mine, far = (int(value) for value in phase[:, n].sum(axis=0))
        found.append(
            Stratum(
                family, name, int(rows[:, n].sum()), int(rows[:, n].sum()) / max(used, 1), mine, far, _ratio(mine, near),
                _ratio(int(result.stratum_total[n, e, at]), int(curve[at])), _ratio(mine - far, mine + far),
                *jackknife(every - phase[:, n], all_rows - rows[:, n] > 0), massive and (family, name) == _MASSIVE,
            )
        )  # fmt: skip
    return Strata(held[e], *jackknife(every, all_rows > 0), float(result.angle[at]), tuple(found))


def lines(strata):
    """Return what matters of strata for a summary, in lines of at most 100 columns.

    Parameters
    ----------
    strata : Strata

    Returns
    -------
    list of str
    """
    return _wrapped(_sentences(strata))


def headlines(results):
    """Return for each of several results what matters most of its strata, in lines of a summary."""
    found = {key: result.strata() for key, result in results.items() if result.stratum is not None}
    told = [
        f"{shorten(store, 24)}, {shorten(basis, 16)}: {_sentences(strata)[0]}"
        for (store, basis), strata in found.items()
        if strata.noted
    ]
    if found and not told:
        told = [
            f"no kind of row makes {NOTED} times its share of the pairs along a basis or of the peak, in any of these"
        ]
    return _wrapped(told)


def _sentences(strata):
    where, noted = f"at ε = {number(strata.epsilon)}", strata.noted
    families = ", ".join(dict.fromkeys(one.family for one in strata.strata))
    told, alike = [], {}
    for one in noted:  # kinds with the same counts are the same rows, and told together
        alike.setdefault((one.rows, one.near, one.far, one.peak_share), []).append(one)
    for some in list(alike.values())[:_SHOWN]:
        one, names = some[0], ", ".join(f"{same.family}: {same.name}" for same in some)
        what = f"{_percent(one.near_share)} of the pairs along the basis"
        if math.isnan(one.near_share) or one.near_share < NOTED * one.share:
            what = f"{_percent(one.peak_share)} of the peak"
        left = (
            "without them no pair is left" if math.isnan(one.without) else f"without them it is {_signed(one.without)}"
        )
        if not math.isnan(one.low):
            left += f" [{_signed(one.low)}, {_signed(one.high)}]"
        told.append(
            f"{_percent(one.share)} of the rows ({names}) make {what} {where}: the effect is {_signed(strata.effect)}, {left}"
        )
    if len(alike) > _SHOWN:
        told.append(f"and {len(alike) - _SHOWN} more kinds of rows make {NOTED} times their share or more")
    if not noted:
        told.append(
            f"no kind of row (by {families}) makes {NOTED} times its share of the pairs along the basis or of the peak {where} "
            f"(effect {_signed(strata.effect)})"
        )
    return told


def _wrapped(told):
    return [line for at, text in enumerate(told) for line in headed("" if at else "strata", text)]


def _ratio(part, whole):
    return part / whole if whole else math.nan


def _percent(share):
    if math.isnan(share):
        return "-"
    if share in (0.0, 1.0) or share >= 0.1:
        return f"{share:.0%}"
    return "<0.01%" if share < 1e-4 else f"{share:.2%}" if share < 0.01 else f"{share:.1%}"


def _signed(value):
    return "-" if math.isnan(value) else f"{value:+.2f}"
