"""A specification curve in words: the number, what decides it, the joint test, and a table of the readings."""

import textwrap

import numpy as np

from srmfast.deciding import in_common
from srmfast.excerpts import COLUMNS, plural, probability, shorten
from srmfast.family import ANTI, LEVEL

_HEAD = 12  # of these, for the name of a line
_CELLS = 6  # combinations of options that are named, at most


def summary(curve):
    """Return what `srmfast specification` prints: the number, what decides it, the joint test and every reading."""
    counts = ", ".join(f"{word} in {count}" for word, count in curve.counts.items() if word != curve.leading)
    lines = [
        f"{shorten(str(curve.attrs['store_name']), 40)}: {plural(len(curve), 'reading')} in basis "
        f"{shorten(str(curve.attrs['basis_name']), 28)}, {curve.attrs['rotations']} rotations of it each",
        *_told("verdict", f"{curve.headline()}{'; ' if counts else ''}{counts}{_empty_words(curve)}"),
        *_told("decided by", _decided_words(curve)),
        *_told("together", _joint_words(curve)),
    ]
    if curve.explained.any():
        where = plural(int(curve.explained.sum()), "reading")
        lines += _told("", f"in {where} Gaussian rows with the same mean and covariance do the same: marked *")
    lines += _told("note", caution(curve))
    lines += _told("throughout", throughout(curve))
    for one in curve.attrs["unvaried"]:
        lines += _told("not varied", f"{one['name']}: {one['why']}")
    for note in curve.attrs["notes"]:
        lines += _told("note", note)
    return "\n".join([*lines, "", *_table_lines(curve)])


def captions(curve):
    """Return what stands below the figure: what decides the verdict, and the joint test."""
    same = throughout(curve)
    return [
        f"decided by: {_decided_words(curve)}",
        _joint_words(curve),
        same and f"in all readings: {same}",
        caution(curve),
    ]


def throughout(curve):
    """Return the options that all readings have in common, of choices that were not varied, or ""."""
    return ", ".join(options[0] for _, options in curve.choices if len(options) == 1)


def caution(curve):
    """Return what must not be read into the number, or ""."""
    if curve.leading != "aligned" or not curve.holds.any() or (curve.epsilon[curve.holds] > ANTI).any():
        return ""
    return "at ε ≤ 0.71 a row midway between two vectors counts as aligned in the planes of either with any third; confirm it at ε = 0.8"


def _decided_words(curve):
    held, names = int(curve.holds.sum()), curve.deciding()
    if not names:
        return f"no choice: {'every reading' if held else 'no reading'} is {curve.leading}"
    choices = [name for name, _ in curve.choices]
    if len(names) == 1:
        return f"{names[0]}: {_rates(curve, choices.index(names[0]))}"
    shares = curve.shares()
    first = int(np.argmax(shares))
    others = [f"{choices[c]} {shares[c]:.2f}" for c in np.argsort(-shares, kind="stable")[1:] if shares[c] >= 0.005]
    also = f"; {', '.join(others)}" if others else ""
    said = f"mostly {choices[first]} (η² = {shares[first]:.2f}{also}): {_rates(curve, first)}{_shared(curve, first)}"
    if len(names) < len([1 for _, options in curve.choices if len(options) > 1]):
        at = [choices.index(name) for name in names]
        cells = list(dict.fromkeys(tuple(curve.chosen[r, at].tolist()) for r in np.flatnonzero(curve.holds)))
        told = "; ".join(
            " and ".join(curve.choices[c][1][option] for c, option in zip(at, cell, strict=True))
            for cell in cells[:_CELLS]
        )
        more = f"; {len(cells) - _CELLS} more" if len(cells) > _CELLS else ""
        said += f". {' and '.join(names)} tell all of it: {curve.leading} where {told}{more}"
    return said


def _empty_words(curve):
    empty = int(np.isnan(curve.effect).sum())
    some = f"{empty} of these " if empty < curve.counts.get("undecided", 0) else ""
    return f" ({some}as no row comes near a plane)" if empty else ""


def _rates(curve, choice):
    told = [f"{held} of {n} {_taken(words)}" for words, held, n in curve.by_option(choice)]
    return f"{curve.leading} in {_listed(told)}"


def _shared(curve, told):
    """Say what the smaller side of the readings has in common beside one choice, which is told."""
    holding = 2 * curve.holds.sum() < len(curve)
    fewer = curve.holds if holding else ~curve.holds
    common = [(c, option) for c, option in in_common(fewer, curve.chosen) if c != told]
    if not common:
        return ""
    words = _listed([curve.choices[c][1][option] for c, option in common])
    count, side = int(fewer.sum()), "" if holding else "not "
    who = f"all {count} that are" if count > 1 else "the one that is"
    return f"; {who} {side}{curve.leading}: {words}"


def _joint_words(curve):
    joint, rotations = curve.joint(), curve.attrs["rotations"]
    n, where = int(joint.readings.sum()), "all readings"
    if n < len(curve):
        where = f"the {plural(n, 'reading')} with {_part_words(curve, joint.readings)}, which share their rotations"
    said = (
        f"p = {probability(joint.p)}, {'beyond' if joint.p <= LEVEL else 'not beyond'} chance: the median score over {where}, compared "
        f"with that of {rotations} random rotations of the basis"
    )
    if not joint.called:
        return f"{said}; none of these readings is {curve.leading}"
    reach, most = int((joint.called_by_chance >= joint.called).sum()), int(joint.called_by_chance.max())
    would = f"{reach if reach else 'none'} of the rotations would be in as many ({most} at most)"
    return f"{said}; the basis is {curve.leading} in {joint.called} of {n}, and {would}"


def _part_words(curve, readings):
    """Name the options that set these readings apart from the others."""
    words = []
    for c, (_, options) in enumerate(curve.choices):
        here = np.unique(curve.chosen[readings, c])
        if here.size < np.unique(curve.chosen[:, c]).size:
            words.append(" or ".join(options[option] for option in here))
    return " and ".join(words)


def _table_lines(curve):
    varied = [(c, name) for c, (name, options) in enumerate(curve.choices) if len(options) > 1]
    rows = [["", "verdict", "effect [95 %]", "least", "p", *(name for _, name in varied)]]
    for at, r in enumerate(curve.order()[::-1], 1):
        interval = "" if np.isnan(curve.low[r]) else f" [{curve.low[r]:+.2f}, {curve.high[r]:+.2f}]"
        effect = "no pair" if np.isnan(curve.effect[r]) else f"{curve.effect[r]:+.2f}{interval}"
        least = "-" if np.isinf(curve.detectable[r]) else f"{min(curve.detectable[r], 9.99):.2f}"
        options = [_short(curve.choices[c][1][curve.chosen[r, c]], name) for c, name in varied]
        rows.append(
            [
                str(at),
                curve.verdict[r] + "*" * bool(curve.explained[r]),
                effect,
                least,
                probability(curve.p[r]),
                *options,
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _told(head, text):
    if not text:
        return []
    kept = text.replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")
    wrapped = textwrap.wrap(kept, COLUMNS - _HEAD - 2, break_on_hyphens=False)
    first, *others = (line.replace("\N{NO-BREAK SPACE}", " ") for line in wrapped)
    return [f"  {head:<{_HEAD}}{first}", *(" " * (_HEAD + 2) + other for other in others)]


def _taken(words):
    """Return an option as what readings are: raw, with long rows, at ε = 0.5."""
    if words.startswith("ε"):
        return f"at {words}"
    return words if words.split()[0] in ("raw", "centred", "with", "without") else f"with {words}"


def _short(words, choice):
    """Return an option below the name of its choice."""
    return words.removeprefix("ε = ").removesuffix(f" {choice}").removesuffix(" of the vectors")


def _listed(words):
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
