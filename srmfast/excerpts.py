"""Parts and words of a result that summaries and figures share."""

import dataclasses
import math
import textwrap

import numpy as np

COLUMNS, INDENT = 100, 8  # of a summary: its width, and that of the heads of its lines
OFFSET_NOTED = 0.5  # |mean|/rms from which the mean of the rows is worth a note
SAME_ANGLE = 1e-3  # radians; planes whose angles differ by less share one
_COMPARED = (
    "phase", "null_phase", "null_extreme", "pair_phase", "pair_extreme", "surrogate_phase", "surrogate_extreme", "tested_i",
    "tested_j", "tested_phase", "stratum", "stratum_rows", "stratum_total", "stratum_phase",
)  # fmt: skip
UNDERFLOW = 5e-324  # stands for an isotropic expectation too small for a float


def part(result, *, label=None, epsilon=None):
    """Return the result of one label and some epsilons; labels that split the rows are pooled.

    Parameters
    ----------
    result : Result
    label : str, optional
        When omitted, all rows: the label "all" if there is one, otherwise the sum over labels.
    epsilon : list of int, optional
        Positions in `result.epsilon`; every one when omitted.

    Returns
    -------
    Result
        With one label.
    """
    names = [str(name) for name in result.label]
    if label is None:
        chosen = [names.index("all")] if "all" in names else list(range(len(names)))
    else:
        chosen = [names.index(str(label))]
    at = list(range(result.epsilon.size)) if epsilon is None else epsilon

    def of(array, label_axis, epsilon_axis=None):
        if epsilon_axis is not None:
            array = _take(array, at, epsilon_axis)
        array = _take(array, chosen, label_axis)
        return array.sum(axis=label_axis, keepdims=True) if len(chosen) > 1 else array

    return dataclasses.replace(
        result,
        counts=of(result.counts, 0, 1),
        counts_heldout=None if result.counts_heldout is None else of(result.counts_heldout, 0, 1),
        total=of(result.total, 0, 1),
        fold_total=of(result.fold_total, 1, 2),
        rows_used=of(result.rows_used, 1),
        **dict.fromkeys(_COMPARED),
        epsilon=result.epsilon[at],
        label=np.array(["all" if label is None else str(label)]),
    )


def _take(array, positions, axis):
    """Return entries along an axis without copying when they are all of them or one."""
    if len(positions) == array.shape[axis]:
        return array
    if len(positions) == 1:
        return np.moveaxis(np.moveaxis(array, axis, 0)[positions[0] : positions[0] + 1], 0, axis)
    return array.take(positions, axis)


def first_hit(result):
    """Return the position of the first epsilon at which any plane was hit; 0 when none was."""
    return int(np.argmax(result.total.any(axis=(0, 2))))


def common_epsilons(results):
    """Return each ε at which every one of several results was hit, in the order of the first result."""
    hit = [set(member.epsilon[member.total.any(axis=(0, 2))].tolist()) for member in results.values()]
    shared = set.intersection(*hit)
    return [epsilon for epsilon in next(iter(results.values())).epsilon.tolist() if epsilon in shared]


def shared_angle(result):
    """Return the angle from b_i to b_j in radians when all kept planes share it, otherwise None.

    Without kept planes the kind of the basis tells, where it makes every plane a right angle.
    """
    angles = result.plane_angle
    if not angles.size:
        k, d = result.basis.shape
        kind = result.attrs["basis_kind"]
        return math.pi / 2 if kind in ("standard", "plusminus") or (kind == "random" and k <= d) else None
    return float(np.median(angles)) if angles.size and np.ptp(angles) < SAME_ANGLE else None


def label_peaks(result, at):
    """Return the highest f of each label at one ε over kept planes and angles (without any, of the mean), (c,)."""
    if not result.plane_i.size:
        return result.mean()[:, at].max(axis=-1)
    return result.counts[:, at].max(axis=(1, 2)) / np.maximum(result.rows, 1)


def offset_note(result, *, compare=True):
    """Return the words for a cloud whose mean is large, or "" when there is nothing to note."""
    offset = result.offset
    if result.attrs.get("centred") or not finite(offset) or offset < OFFSET_NOTED:
        return ""
    note = f"|mean|/rms = {offset:.2f}: the cloud's mean shapes this picture"
    return f"{note}; compare --centre" if compare else note


def nothing_hit(result):
    """Return the words for a result in which no row came near any plane."""
    epsilon = number(result.epsilon.min()) if result.epsilon.size == 1 else f"any of the {result.epsilon.size} ε"
    where = f"ε = {epsilon}" if result.epsilon.size == 1 else epsilon
    suggested = result.attrs.get("suggested_epsilon")
    if finite(suggested):
        return f"no row within {where} of any plane; try ε = {number(suggested)}"
    return f"no row within {where} of any plane; try a smaller ε"


def plural(count, noun):
    """Return a count with its noun: '1 row', '60,000 rows'."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def number(value):
    """Return a float in few characters that a person reads: 0.85, 0.00213, 3.1e-07, <1e-300."""
    if 0 < abs(value) < 1e-300:
        return "<1e-300"
    return f"{value:.3g}" if value == 0 or abs(value) >= 1e-4 else f"{value:.1e}"


def probability(p):
    """Return a p in at most three places, or as many as it takes not to be nought: '0.025', '0.0004', '1'; '-' for NaN."""
    if not finite(p):
        return "-"
    if 0 < p < 0.0005:
        return f"{p:.1g}"
    return f"{p:.3f}".rstrip("0").rstrip(".")


def headed(head, text):
    """Return a text in lines of a summary, below one another beside its head."""
    first, *others = textwrap.wrap(text, COLUMNS - INDENT, break_on_hyphens=False)
    return [f"{head:<{INDENT - 1}} {first}", *(" " * INDENT + other for other in others)]


def times(ratio):
    """Return a ratio in words: '5.2x', '1,200x', 'more than a million x'."""
    if ratio >= 1e6:
        return "over 1e6x"
    return f"{ratio:,.0f}x" if ratio >= 10 else f"{ratio:.1f}x" if ratio >= 1 else f"{ratio:.2g}x"


def shorten(text, width, *, at_end=False):
    """Return text on one line of at most `width` characters, cut in the middle or at the end."""
    text = text if at_end else " ".join(text.split())
    if len(text) <= width:
        return text
    tail = 0 if at_end else (width - 1) // 2
    return text[: width - 1 - tail] + "…" + (text[-tail:] if tail else "")


def finite(value):
    """Say whether a value is there and finite."""
    return value is not None and math.isfinite(value)
