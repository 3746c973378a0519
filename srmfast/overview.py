"""The table of several results: for each of them, and each ε shown, its highest share and what basis directions hold."""

import math
from dataclasses import dataclass

from srmfast.excerpts import UNDERFLOW, finite, first_hit, number, part, shared_angle, shorten, times
from srmfast.oscillation import ENOUGH, on_and_midway, rows_near

NAME = 24  # characters of the name of a store
HEADS = ("store", "basis", "rows", "ε", "peak", "isotropic", "on/midway", "mean/rms")
LEGEND = (
    "peak: highest share of rows in a cone, mean of all planes; isotropic: what isotropic rows would give",
    "on/midway: mean on b_i, b_j over midway (at ε < 0.71 rows on b_i count midway too); -: too few rows",
    "mean/rms: length of the rows' mean over the rows' root-mean-square length",
)


@dataclass(frozen=True)
class Line:
    """One result at one ε.

    Attributes
    ----------
    store, basis : str
    rows : int
        Used.
    epsilon, peak, isotropic : float
    ratio : float or None
        The mean on basis directions over that midway between them, infinite where midway is none; None where too few rows
        are near either, or planes differ in their angle.
    offset : float or None
        |mean|/rms as stored.
    centred : bool
    """

    store: str
    basis: str
    rows: int
    epsilon: float
    peak: float
    isotropic: float
    ratio: float | None
    offset: float | None
    centred: bool

    @property
    def ratio_words(self):
        """The ratio as text."""
        if self.ratio is None:
            return "-" if self.peak else "no hit"
        return times(self.ratio) if math.isfinite(self.ratio) else "only on"

    def cells(self):
        """Return it as text, in the columns of HEADS."""
        offset = "subtracted" if self.centred else f"{self.offset:.2f}" if finite(self.offset) else "-"
        return (
            shorten(self.store, NAME), shorten(self.basis, 16), f"{self.rows:,}", number(self.epsilon), number(self.peak),
            number(self.isotropic or UNDERFLOW), self.ratio_words, offset,
        )  # fmt: skip


def lines_of(results, epsilons=()):
    """Return a `Line` for each result and each ε of those given; at the first ε that was hit without any.

    Parameters
    ----------
    results : Results
    epsilons : sequence of float
        ε that every result has.

    Returns
    -------
    list of Line
    """
    found = []
    for (store, basis), result in results.items():
        for at in [result.epsilon.tolist().index(one) for one in epsilons] or [first_hit(result)]:
            pooled = part(result, epsilon=[at])
            curve = pooled.mean()[0, 0]
            on, midway = on_and_midway(curve, shared_angle(pooled))
            told = midway is not None and sum(rows_near(pooled, (on, midway))) >= ENOUGH
            ratio = (on / midway if midway else math.inf) if told else None
            found.append(
                Line(
                    store, basis, int(result.attrs["rows"]["used"]), float(pooled.epsilon[0]), float(curve.max()),
                    float(pooled.null()[0]), ratio, result.offset, bool(result.attrs.get("centred")),
                )
            )  # fmt: skip
    return found


def held_epsilons(results):
    """Return each ε that all of several results have and at which some row of any was in a cone, in the order of the first."""
    members = list(results.values())
    hit = set().union(*(one.epsilon[one.total.any(axis=(0, 2))].tolist() for one in members))
    both = hit.intersection(*(one.epsilon.tolist() for one in members))
    return [epsilon for epsilon in members[0].epsilon.tolist() if epsilon in both]


def table(lines):
    """Return the lines of the table as text; of one result, only the first bears the names."""
    told, before = [], None
    for line in lines:
        store, basis, rows, *others, offset = line.cells()
        if before == (line.store, line.basis):
            store = basis = rows = offset = ""
        before = line.store, line.basis
        told.append(_line(store, basis, rows, *others, offset))
    return [_line(*HEADS), *told]


def _line(store, basis, rows, epsilon, peak, isotropic, ratio, offset):
    return f"{store:<24} {basis:<16} {rows:>11} {epsilon:>5} {peak:>9} {isotropic:>9} {ratio:>9} {offset:>10}".rstrip()
