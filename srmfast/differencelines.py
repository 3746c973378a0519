"""How two results differ, in words."""

import math

from srmfast.atlaslines import short_names
from srmfast.excerpts import COLUMNS, headed, number, plural, shorten

_LABELS, _LEFT_OUT, _PAIRS = 8, 8, 40  # lines of each, at most
_ALL = "all"


def lines(differences):
    """Return the differences in lines of at most 100 columns.

    Parameters
    ----------
    differences : Differences

    Returns
    -------
    list of str
    """
    pairs = differences.pairs
    parts = _one(pairs[0]) if len(pairs) == 1 else []
    found = _several(pairs, differences.matched) if len(pairs) > 1 else []
    if len(pairs) == 1 and differences.matched and differences.matched != "by name":
        parts.append(("matched", differences.matched))
    parts += [("not", text) for text in differences.left_out[:_LEFT_OUT]]
    more = len(differences.left_out) - _LEFT_OUT
    parts += [("", f"… and {more} more")] if more > 0 else []
    parts.append(
        ("note", "every interval is of 95 % by itself, and over rows: how far other seeds would differ it does not say. A difference is not a verdict: whether either result is beyond chance, "
         "rotations of its basis tell (srmfast run --null, srmfast show)")
    )  # fmt: skip
    for head, text in parts:
        found += headed(head, text)
    return [line[:COLUMNS] for line in found]


def _one(pair):
    parts = []
    for which, key, rows, verdict in zip("AB", (pair.first, pair.second), pair.rows, pair.verdicts, strict=True):
        said = f"; by itself {verdict}" if verdict else ""
        parts.append((which, f"{shorten(key[0], 40)}, basis {shorten(key[1], 24)}, {plural(rows, 'row')}{said}"))
    parts.append(("folds", paired(pair)))
    for change in (change for change in pair.effects if change.label == _ALL):
        parts.append(("effect", f"at ε = {number(change.epsilon)}: {effect(change, paired_words(pair))}"))
    for change in (change for change in pair.contrasts if change.label == _ALL):
        parts.append(("curve", f"at ε = {number(change.epsilon)}: {contrast(change)}"))
    if pair.shared is not None and pair.epsilon.min() <= math.cos(pair.shared / 2):
        reach = math.cos(pair.shared / 2)
        parts.append(("", f"(at ε ≤ {reach:.2f} a row on b_i or b_j counts midway too: compare at a higher ε)"))
    if not pair.contrasts:
        parts.append(("curve", _curve(pair)))
    if not pair.effects:
        parts.append(("effect", "not there: both results need --null for the share of rows near the basis"))
    return parts + _labels(pair) + [("beside", note) for note in pair.notes]


def paired(pair):
    """Say how the intervals were found."""
    of = "groups" if pair.grouped else "rows"
    if pair.paired:
        return f"paired: the same of {pair.folds} folds of {of} left out of both, row r of A taken to be row r of B"
    return f"unpaired, because {pair.why}: the variances of both are added, each over its folds of {of}"


def paired_words(pair):
    """Say the same in few words."""
    return f"paired over {pair.folds} folds of {'groups' if pair.grouped else 'rows'}" if pair.paired else "unpaired"


def effect(change, how):
    """Say by how much the effects of two results differ."""
    if math.isnan(change.size):
        return "not to be told, no row of one of them comes near a plane"
    both = f" (A {change.first:+.2f}, B {change.second:+.2f})"
    if not change.beyond:
        return _nothing(change, "+.2f") + both
    more = "more than A's by" if change.size > 0 else "less than A's:"
    return f"B's rows point along the basis {more} {_interval(change, '+.2f')}, {how}{both}"


def contrast(change):
    """Say by how much the curves of two results stand out differently."""
    if math.isnan(change.size):
        return "not to be told, there are no rows"
    both = f" (A {change.first:+.2g}, B {change.second:+.2g})"
    head = "share of rows on the basis directions minus midway"
    if not change.beyond:
        return f"{head}: {_nothing(change, '+.2g')}{both}"
    return f"{head}: B's is {'higher by' if change.size > 0 else 'lower:'} {_interval(change, '+.2g')}{both}"


def _nothing(change, form):
    if math.isnan(change.low):
        return f"a difference of {change.size:{form}}, without an interval: it takes rows in two folds"
    within = max(abs(change.low), abs(change.high))
    return f"no difference: within ±{within:{form[1:]}}" if within else "no difference at all"


def _interval(change, form):
    return f"{change.size:{form}} [{change.low:{form}}, {change.high:{form}}]"


def _curve(pair):
    """Say where curves differ of whose planes no angle is shared."""
    beyond = (pair.low > 0) | (pair.high < 0)
    return (
        f"planes differ in their angle, so that nothing is on or midway; the mean curves differ at {beyond.sum():,} of "
        f"{beyond.size:,} angles and ε"
    )


def _labels(pair):
    """List the labels whose effects, or contrasts, differ; clearest first."""
    changes, form = (pair.effects, "+.2f") if pair.effects else (pair.contrasts, "+.2g")
    some = [change for change in changes if change.label != _ALL and not math.isnan(change.low)]
    if not some:
        return []
    beyond = sorted(
        (change for change in some if change.beyond),
        key=lambda change: -abs(change.size) / max(change.high - change.low, 1e-300),
    )
    what = "effect" if pair.effects else "on − midway"
    told = "; ".join(
        f"{shorten(change.label, 24)} at ε = {number(change.epsilon)} {_interval(change, form)}"
        for change in beyond[:_LABELS]
    )
    more = f"; {len(beyond) - _LABELS} more" if len(beyond) > _LABELS else ""
    head = f"{what} differs in {len(beyond)} of {len(some)} labels and ε (without a difference, {len(some) / 20:.1f} would)"
    return [("labels", f"{head}{': ' if told else ''}{told}{more}")]


def _several(pairs, matched):
    """Return a table of pairs at the first ε of each."""
    tested = all(pair.effects for pair in pairs)
    names = ["/".join(pair.first) if len({pair.first[1] for pair in pairs}) > 1 else pair.first[0] for pair in pairs]
    short = short_names(names)
    width = min(22, max(10, *map(len, short)))
    what = "effect: (row, plane) pairs nearer to a basis vector minus nearer to midway" if tested else "on − midway: share of rows in a cone on b_i and b_j minus midway"  # fmt: skip
    how = paired_words(pairs[0]) if len({pair.paired for pair in pairs}) == 1 else "some of them paired"
    judged = any(verdict for pair in pairs for verdict in pair.verdicts)
    room, form, beyond = (24, "+.2f", 0) if tested else (34, "+.2g", 0)
    own = f"{'A by itself':>14}{'B by itself':>14}" * judged
    found = [
        f"{len(pairs)} pairs, matched {matched}; {how}",
        f"{'':<{width}}{'ε':>6}{'A':>9}{'B':>9}{'B − A [95 %]':>{room}}{own}",
    ]
    for pair, name in zip(pairs, short, strict=True):
        changes = pair.effects if tested else pair.contrasts
        if not changes:
            found.append(f"{shorten(name, width):<{width}}   planes differ in their angle")
            continue
        change = changes[0]
        own = "".join(f"{verdict.partition(' (')[0] or '-':>14}" for verdict in pair.verdicts) * judged
        beyond += change.beyond
        found.append(
            f"{shorten(name, width):<{width}}{number(change.epsilon):>6}{format(change.first, form):>9}"
            f"{format(change.second, form):>9}{_interval(change, form):>{room}}{own}{' *' * change.beyond}"
        )
    left = len(found) - 2 - _PAIRS
    found[_PAIRS + 2 :] = [f"… and {left} more; all of them by --csv"] * (left > 0)
    seen = (
        f"*: the interval leaves out 0, in {beyond} of {len(pairs)} (without a difference, {len(pairs) / 20:.1f} would)"
    )
    return [*found, seen, what]
