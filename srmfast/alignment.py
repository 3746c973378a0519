"""Whether rows align with a basis beyond chance: tests, effects with intervals, and the verdict; docs/verdict.md explains.

All of it is made of integers that a run with `--null` leaves: `phase` of all rows, and `null_phase` and its like of a few rows and
planes, drawn once, for the basis as it is and for random rotations of it.
"""

import math
from dataclasses import dataclass

import numpy as np

from srmfast.coverage import Coverage, coverage_of
from srmfast.displayed import Displayed
from srmfast.errors import InputError
from srmfast.family import ALL, LEVEL, UNITS, Family, Verdict, jackknife, score


@dataclass(frozen=True)
class Effect:
    """How much more (row, plane) pairs point along the basis than between it.

    Attributes
    ----------
    label : str
    epsilon : float
    size, low, high : float
        Share nearer to a basis vector minus share nearer to a midpoint, of all rows, and its 95 % interval by leaving out one
        of 64 folds at a time; NaN without a pair, or with fewer than two folds.
    near, far : int
        The pairs themselves.
    detectable : float
        The smallest effect that the test finds four times out of five; infinite where no drawn row comes near a plane.
    """

    label: str
    epsilon: float
    size: float
    low: float
    high: float
    near: int
    far: int
    detectable: float


@dataclass(frozen=True)
class PlaneVerdict(Verdict):
    """The verdict of one plane, at the label and epsilon where it is clearest, on the rows drawn."""

    i: int
    j: int
    label: str
    epsilon: float
    near: int
    far: int


@dataclass(frozen=True)
class LabelVerdict(Verdict):
    """The verdict of one label, with its effect at the epsilon where it is clearest, or of one epsilon."""

    effect: Effect


@dataclass(frozen=True, repr=False)
class Alignment(Displayed, Verdict):
    """The verdict of a result, with everything that must be said beside it.

    Attributes
    ----------
    effect : Effect
        Where the verdict is clearest; where there is none, of all rows at the epsilon with the most power.
    effects : tuple of Effect
        Of every label and epsilon.
    between : bool
        Whether rows point between the vectors at an ε too small to say that they avoid them.
    p_surrogate : float
        Two-sided p, in the direction of the verdict, of nothing but a mean and a covariance.
    explained : bool
        Whether the rows align, or avoid, no more than Gaussian rows with their mean and covariance do.
    labels, epsilons : tuple of LabelVerdict
        Of each label, and of each epsilon with all labels together; () when there is one.
    planes : tuple of PlaneVerdict
        Those that differ most from chance, clearest first.
    centred : bool
        Whether the run had the mean subtracted.
    pair : Verdict
        Of the same rows as stored when it had, with their mean subtracted when not.
    mean_share : float or None
        |mean|/rms of the rows as stored.
    coverage : Coverage or None
        None when the planes were not kept.
    units : int
        Independent groups, or rows where none were given.
    grouped : bool
    row_axes : int
        Axes that rows come from: 2 for (document, token).
    rotations, rows, vectors, planes_tested : int
        Rotations, and how many rows, vectors and planes were drawn for the test.
    """

    effect: Effect
    effects: tuple
    between: bool
    p_surrogate: float
    explained: bool
    labels: tuple
    epsilons: tuple
    planes: tuple
    centred: bool
    pair: Verdict
    mean_share: float | None
    coverage: Coverage | None
    units: int
    grouped: bool
    row_axes: int
    rotations: int
    rows: int
    vectors: int
    planes_tested: int

    def _line(self):
        share = "unknown" if self.mean_share is None else f"{self.mean_share:.2f}"
        return f"{self.verdict}, p = {self.p:.3g}, effect {self.effect.size:+.2f} at ε = {self.effect.epsilon:g}, |mean|/rms {share}"

    def __str__(self):
        from srmfast.verdicts import lines

        return "\n".join(lines(self))


def align(result):
    """Judge a result.

    Parameters
    ----------
    result : Result
        Of a run with rotations.

    Returns
    -------
    Alignment

    Raises
    ------
    InputError
        The run did not compare the basis with rotations of it.
    """
    if result.null_phase is None:
        raise InputError(
            "a verdict needs the basis compared with random rotations of it, and this result has none; run again with "
            "--null 99 (null=99)"
        )
    about = result.attrs["null"]
    family = Family(result.null_phase, result.null_extreme, result.epsilon)
    detectable = family.detectable()
    units = _units(result, about)
    overall = family.overall(float(detectable[-1].min()), units)
    judged_on = result if result.counts_heldout is None else result.heldout()
    names = [str(name) for name in result.label]
    effects = _effects(judged_on, [*names, ALL] if len(names) > 1 else names, detectable)
    best = _clearest(family, overall.verdict, detectable)
    surrogate = Family(result.surrogate_phase, result.surrogate_extreme, result.epsilon)
    against = surrogate.overall(math.inf, UNITS)
    sides = {"aligned": [against.p_aligned], "anti-aligned": [against.p_anti]}
    p_surrogate = min(1.0, 2 * max(sides.get(overall.verdict, [against.p_aligned, against.p_anti])))
    p_surrogate = p_surrogate if overall.verdict in ("aligned", "anti-aligned", "mixed") else against.p
    pair = Family(result.pair_phase, result.pair_extreme, result.epsilon)
    own = pair.overall(float(pair.detectable()[-1].min()), units)
    return Alignment(
        **vars(overall),
        effect=effects[best],
        effects=tuple(effects.values()),
        between=family.between,
        p_surrogate=p_surrogate,
        explained=overall.verdict in ("aligned", "anti-aligned", "mixed") and p_surrogate > LEVEL,
        labels=_labels(family, names, effects, detectable, units, result.rows),
        epsilons=_epsilons(family, effects, detectable, units),
        planes=_planes(family, result, names),
        centred=bool(result.attrs.get("centred")),
        pair=own,
        mean_share=about["mean_over_rms"] if result.offset is None else result.offset,
        coverage=coverage_of(judged_on, effects[best].epsilon),
        units=units,
        grouped=about["groups"] is not None,
        row_axes=about["row_axes"],
        rotations=about["rotations"],
        rows=about["rows"],
        vectors=about["vectors"],
        planes_tested=about["planes"],
    )


def _units(result, about):
    used = int(result.rows.sum()) if "all" not in result.label.tolist() else int(result.rows.max())
    return used if about["groups"] is None else min(about["groups"], used)


def _effects(result, names, detectable):
    """Return the Effect of every (label, epsilon), by position."""
    held, phase = result.rows_used > 0, result.phase
    if len(names) > result.label.size:
        held = np.concatenate([held, held.any(axis=1, keepdims=True)], axis=1)
        phase = np.concatenate([phase, phase.sum(axis=1, keepdims=True)], axis=1)
    return {
        (c, e): Effect(
            name, float(epsilon), *jackknife(phase[:, c, e], held[:, c]), *phase[:, c, e].sum(axis=0).tolist(),
            float(detectable[c, e]),
        )
        for c, name in enumerate(names)
        for e, epsilon in enumerate(result.epsilon)
    }  # fmt: skip


def _clearest(family, verdict, detectable):
    """Return the (label, epsilon) that a verdict rests on most: all labels together, unless one is clearer."""
    scores = family.pooled[0]
    if verdict not in ("aligned", "anti-aligned"):
        return len(scores) - 1, int(np.argmin(detectable[-1]))
    extremes = family.highest if verdict == "aligned" else family.lowest
    scores = scores if verdict == "aligned" else np.where(family.claims, -scores, -np.inf)
    e = int(np.argmax(scores[-1]))
    if 2 * family.chance(extremes, scores[-1, e]) <= LEVEL:
        return len(scores) - 1, e
    c, e = np.unravel_index(np.argmax(scores), scores.shape)
    return int(c), int(e)


def _labels(family, names, effects, detectable, units, rows):
    if len(names) < 2:
        return ()
    found = []
    for c in range(len(names)):
        own = family.label(c, float(detectable[c].min()), min(units, int(rows[c])))
        scores = family.pooled[0, c]
        e = {"aligned": np.argmax(scores), "anti-aligned": np.argmax(np.where(family.claims, -scores, -np.inf))}
        at = int(e.get(own.verdict, np.argmin(detectable[c])))
        found.append(LabelVerdict(**vars(own), effect=effects[c, at]))
    return tuple(found)


def _epsilons(family, effects, detectable, units):
    if family.claims.size < 2:
        return ()
    last = len(family.pooled[0]) - 1
    return tuple(
        LabelVerdict(**vars(family.epsilon(e, float(detectable[-1, e]), units)), effect=effects[last, e])
        for e in range(family.claims.size)
    )


def _planes(family, result, names):
    found = []
    for i, j, phase in zip(result.tested_i, result.tested_j, result.tested_phase, strict=True):
        own, (c, e) = family.plane(score(phase))
        near, far = phase[c, e].tolist()
        found.append(PlaneVerdict(**vars(own), i=int(i), j=int(j), label=names[c], epsilon=float(result.epsilon[e]), near=near, far=far))  # fmt: skip
    return tuple(sorted(found, key=lambda plane: (plane.p, -abs(plane.near - plane.far))))
