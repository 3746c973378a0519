"""An alignment in words: what was found, how large it is, what it means, and what must not be read into it."""

import math

from srmfast.coverage import words
from srmfast.excerpts import headed, probability, shorten
from srmfast.family import ALL, ANTI, DETECTABLE, LEVEL, UNITS

_SHARE_NOTED = 0.5  # |mean|/rms from which most rows lie to one side
_SHOWN = 8  # labels, at most
_PLANES = 3
_FOUND = ("aligned", "anti-aligned", "mixed")


def lines(alignment):
    """Return the verdict for `srmfast show`, in lines of at most 100 columns.

    Parameters
    ----------
    alignment : Alignment

    Returns
    -------
    list of str
    """
    return [line for head, text in said(alignment) for line in headed(head, text)]


def said(alignment):
    """Return everything that is said of an alignment, as (head, text) pairs; a text without a head belongs to the one before."""
    parts = [("verdict", headline(alignment)), ("effect", effect(alignment)), ("", _why(alignment))]
    parts += [("by ε", _by(alignment.epsilons, lambda found: f"{found.effect.epsilon:g}"))]
    parts += [("labels", _by(alignment.labels, lambda found: found.effect.label)), ("planes", _planes(alignment))]
    parts += [("beside", "; ".join(beside(alignment)))]
    parts += [("note", text) for text in cautions(alignment)]
    return [(head, text) for head, text in parts if text]


def headlines(results):
    """Return the verdicts of several results that were compared with rotations of their bases, in lines of a summary.

    Those of which the same is said are told together.
    """
    alike = {}
    for (store, basis), result in results.items():
        if result.null_phase is not None:
            alignment = result.alignment()
            told = _said(alignment) + (
                "; nearly all on one vector: one direction, not the basis" if _one_direction(alignment) else ""
            )
            alike.setdefault(told, []).append((f"{shorten(store, 24)}, {shorten(basis, 16)}", alignment.p))
    found = []
    for told, some in alike.items():
        low, high = min(p for _, p in some), max(p for _, p in some)
        p = probability(low) if low == high else f"{probability(low)} to {probability(high)}"
        found += headed("verdict", f"{'; '.join(name for name, _ in some)}: {told.format(p=f'p = {p}')}")
    return found


def headline(alignment):
    """Return the verdict and its p in one sentence."""
    return _said(alignment).format(p=f"p = {probability(alignment.p)}")


def _said(alignment):
    """Return the verdict in one sentence with {p} for its p."""
    rotated = "than along random rotations of this basis"
    said = {
        "aligned": f"ALIGNED ({{p}}): rows point along the basis vectors more {rotated}",
        "anti-aligned": f"ANTI-ALIGNED ({{p}}): rows point between the basis vectors, and along them less {rotated}",
        "mixed": f"MIXED ({{p}}): more rows {rotated} point along the basis in some planes, labels or epsilons, and fewer "
        "in others",
        "none": f"NONE ({{p}}): rows point along this basis neither more nor less {rotated}",
        "undecided": f"UNDECIDED ({{p}}): {_undecided(alignment)}",
    }[alignment.verdict]
    return said + (", as their mean and covariance alone make them do" if alignment.explained else "")


def _one_direction(alignment):
    """Say whether nearly all rows that align hold to the same vector."""
    cover = alignment.coverage
    return alignment.verdict == "aligned" and cover is not None and 0 < cover.holding and cover.effective < 2


def _undecided(alignment):
    if alignment.units < UNITS:
        what = "groups" if alignment.grouped else "rows"
        return f"{alignment.units} independent {what} are too few to judge others by; {UNITS} are needed"
    if math.isinf(alignment.effect.detectable):
        return "hardly a row comes near a plane; use a smaller epsilon"
    return "no difference from random rotations of this basis was found, but only a large one would have been"


def effect(alignment):
    """Return the size of the effect, with its interval, and what it means."""
    found = alignment.effect
    of = "" if not alignment.labels else f", {ALL}" if found.label == ALL else f", label {found.label}"
    where = f"at ε = {found.epsilon:g}{of}"
    pairs = found.near + found.far
    if not pairs:
        return f"none to be seen {where}: no row comes near a plane"
    interval = "" if math.isnan(found.low) else f" [{found.low:+.2f}, {found.high:+.2f}]"
    return (
        f"{found.size:+.2f}{interval} {where}: where a row comes near a plane, it points to a basis vector in "
        f"{found.near / pairs:.0%} of cases and midway between two in {found.far / pairs:.0%} (chance: 50% each)"
    )


def _why(alignment):
    if alignment.verdict in _FOUND or alignment.units < UNITS or math.isinf(alignment.effect.detectable):
        return ""
    least = min(alignment.effect.detectable, 9.99)
    if alignment.verdict == "none":
        return f"an effect of {least:.2f} or more would have been found four times out of five"
    remedies = ["more rows", "a smaller epsilon", *(["--centre"] * (not alignment.centred))]
    seen = f"only an effect of {least:.2f} or more" if least <= 1 else "not even the largest possible effect"
    return f"{seen} would have been found four times out of five, which {DETECTABLE} should be; try {', '.join(remedies[:-1])} or {remedies[-1]}"


def _by(verdicts, name):
    """Return what was judged, by verdict, "undecided" last."""
    by = {}
    for found in verdicts:
        by.setdefault(found.verdict, []).append(name(found))
    said = []
    for verdict in (*_FOUND, "none", "undecided"):
        if some := by.get(verdict):
            more = f" and {len(some) - _SHOWN} more" if len(some) > _SHOWN else ""
            said.append(f"{verdict}: {', '.join(some[:_SHOWN])}{more}")
    return "; ".join(said)


def _planes(alignment):
    """Return the planes that differ most from chance, those that do at all."""
    some = [plane for plane in alignment.planes if plane.p <= LEVEL]
    told = "; ".join(
        f"{plane.i}, {plane.j} {plane.verdict} ({plane.near:,} of {plane.near + plane.far:,} to a vector, p = {probability(plane.p)})"
        for plane in some[:_PLANES]
    )
    more = f"; {len(some) - _PLANES} more" if len(some) > _PLANES else ""
    return f"beyond chance, among all of them: {told}{more}" if told else ""


def beside(alignment):
    """Return what no verdict goes without: mean and covariance, the other treatment of the mean, its share, and the coverage."""
    found = alignment.verdict in _FOUND
    said = []
    if found:
        like = "do the same" if alignment.explained else "do not do this"
        said.append(f"Gaussian rows with their mean and covariance {like} (p = {probability(alignment.p_surrogate)})")
    other = "as stored" if alignment.centred else "with the mean subtracted"
    said.append(f"{other}: {alignment.pair.verdict} (p = {probability(alignment.pair.p)})")
    said.append("|mean|/rms unknown" if alignment.mean_share is None else f"|mean|/rms = {alignment.mean_share:.2f}")
    cover = alignment.coverage
    if cover is None:
        said.append("vectors that hold rows: unknown, no plane was kept")
    else:
        said.append(words(cover))
    return said


def cautions(alignment):
    """Return what must not be read into the verdict."""
    said = []
    if alignment.between and alignment.verdict in ("none", "undecided"):
        said.append(
            "rows point between the vectors, but at ε ≤ 0.71 that does not show that they avoid them; look at ε = 0.8"
        )
    if alignment.verdict == "aligned" and not _confirmed(alignment):
        said.append(
            "at ε ≤ 0.71 a row midway between two vectors counts as aligned in the planes of either with any third; confirm "
            "it at ε = 0.8"
        )
    share = alignment.mean_share
    if share is not None and share >= _SHARE_NOTED and not alignment.centred:
        said.append(
            "most rows lie to one side of the origin; what is said of them is said of that side: compare --centre"
        )
    if _one_direction(alignment):
        said.append("nearly all rows that hold to a vector hold to the same one: one direction, not the basis")
    if not alignment.grouped and alignment.row_axes > 1:
        said.append(
            "rows of one sequence or image depend on each other and were taken as independent: the interval is too narrow; "
            "use --groups"
        )
    if alignment.rows and alignment.planes_tested:
        drawn = f"p rests on {alignment.rotations} rotations, {alignment.rows:,} rows"
        said.append(
            f"{drawn} and {alignment.planes_tested:,} planes of {alignment.vectors:,} vectors drawn; the effect on all"
        )
    return said


def _confirmed(alignment):
    """Say whether rows align at an ε that tells a row on a vector from one midway between two."""
    found = alignment.epsilons or (alignment,)
    return any(one.verdict == "aligned" and one.effect.epsilon > ANTI for one in found)
