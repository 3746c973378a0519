"""The one-screen summary of a result, in words that need no statistics; it describes and never judges."""

import dataclasses
import math

import numpy as np

from srmfast.results import Result, centre_of_peak

LINES, COLUMNS = 24, 100
OFFSET_NOTED = 0.5  # |mean|/rms from which the mean of the rows is worth a note
SAME_ANGLE = 1e-3  # radians; planes whose angles differ by less share one
EVEN = 1.1  # ratios below this are not worth a word
UNDERFLOW = 5e-324  # stands for an isotropic expectation too small for a float
_CENTRED = 0.1  # |mean|/rms below this is nothing to speak of
_ENOUGH = 30  # rows near a direction that a ratio in words rests on, at least
_EPSILONS, _LABELS, _PLANES = 5, 8, 3  # lines of each, at most


def summarise(result):
    """Return the summary that `srmfast show` prints, at most 24 lines of 100 columns.

    Parameters
    ----------
    result : Result or Results

    Returns
    -------
    str
        Without a final line break.
    """
    lines = _one(result) if isinstance(result, Result) else _several(result)
    return "\n".join(shorten(line, COLUMNS, at_end=True) for line in lines)


# ---- pieces that the figures use too -----------------------------------------------------------------


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
        total=of(result.total, 0, 1),
        fold_total=of(result.fold_total, 1, 2),
        rows_used=of(result.rows_used, 1),
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


def common_epsilon(results):
    """Return the first ε at which every one of several results was hit, or None when there is none."""
    hit = [set(member.epsilon[member.total.any(axis=(0, 2))].tolist()) for member in results.values()]
    shared = set.intersection(*hit)
    first = next(iter(results.values())).epsilon.tolist()
    return next((epsilon for epsilon in first if epsilon in shared), None)


def shared_angle(result):
    """Return the angle from b_i to b_j in radians when all kept planes share it, otherwise None."""
    angles = result.plane_angle
    return float(np.median(angles)) if angles.size and np.ptp(angles) < SAME_ANGLE else None


def label_peaks(result, at):
    """Return the highest f of each label at one ε over kept planes and angles (without any, of the mean), (c,)."""
    if not result.plane_i.size:
        return result.mean()[:, at].max(axis=-1)
    return result.counts[:, at].max(axis=(1, 2)) / np.maximum(result.rows, 1)


def offset_note(result, *, compare=True):
    """Return the words for a cloud whose mean is large, or "" when there is nothing to note."""
    offset = result.offset
    if result.attrs.get("centred") or not _finite(offset) or offset < OFFSET_NOTED:
        return ""
    note = f"|mean|/rms = {offset:.2f}: the cloud's mean shapes this picture"
    return f"{note}; compare --centre" if compare else note


def nothing_hit(result):
    """Return the words for a result in which no row came near any plane."""
    epsilon = number(result.epsilon.min()) if result.epsilon.size == 1 else f"any of the {result.epsilon.size} ε"
    where = f"ε = {epsilon}" if result.epsilon.size == 1 else epsilon
    suggested = result.attrs.get("suggested_epsilon")
    if _finite(suggested):
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


def _finite(value):
    return value is not None and math.isfinite(value)


# ---- one result --------------------------------------------------------------------------------------


def _one(result):
    lines = [_store(result), _basis(result), _planes(result), _grid(result), *_rows(result), *_offset(result)]
    if result.total.any():
        lines += _epsilons(result) + _top_planes(result)
    else:
        lines.append(nothing_hit(result))
    speed = _speed(result)
    if result.label.size > 1:
        lines += _labels(result, LINES - len(lines) - len(speed) - 2)
    return lines + speed


def _store(result):
    shape = result.attrs.get("spec", {}).get("store", {}).get("shape")
    size = f"  ({shape[0]:,} rows of width {shape[1]:,})" if shape and len(shape) == 2 else ""
    return f"store   {shorten(str(result.attrs['store_name']), 60)}{size}"


def _basis(result):
    k, d = result.basis.shape
    name, kind = str(result.attrs["basis_name"]), str(result.attrs["basis_kind"])
    kind = "" if kind == name else f"{kind}, "
    return f"basis   {shorten(name, 50)}  ({kind}{plural(k, 'vector')} of width {d:,})"


def _planes(result):
    attrs = result.attrs
    kept = {"all": "all", "hit": "those that were hit", "summary": "only their sum"}
    skipped = f" + {attrs['skipped_planes']:,} skipped (parallel vectors)" if attrs["skipped_planes"] else ""
    hit = "not counted" if attrs["planes_hit"] is None else f"{attrs['planes_hit']:,}"
    return (
        f"planes  {result.planes_total:,} counted{skipped}; hit by any row: {hit}; "
        f"kept: {kept.get(attrs['kept'], attrs['kept'])}"
    )


def _grid(result):
    shown = ", ".join(f"{number(value)} ({math.degrees(math.acos(value)):.0f}°)" for value in result.epsilon[:5])
    more = ", …" if result.epsilon.size > 5 else ""
    return f"cone    ε = {shown}{more}: cosine and half-angle; {result.angle.size:,} angles a turn"


def _rows(result):
    """Return the row accounting, its masking rules on a second line when they do not fit the first."""
    rows = result.attrs["rows"]
    masked = rows.get("masked", {})
    kept = f" ({rows['zero_kept']:,} of them zero-norm)" if rows.get("zero_kept") else ""
    line = (
        f"rows    {rows['seen']:,} seen = {rows['used']:,} used{kept} + {rows['zero_norm']:,} zero-norm + "
        f"{rows['nonfinite']:,} non-finite + {sum(masked.values()):,} masked"
    )
    if not masked:
        return [line]
    rules = f"({', '.join(f'{rule}: {count:,}' for rule, count in masked.items())})"
    return [f"{line} {rules}"] if len(line) + len(rules) < COLUMNS else [line, f"        masked {rules}"]


def _offset(result):
    offset = result.offset
    if not _finite(offset):
        return []
    head = f"mean    |mean|/rms = {offset:.2f}"
    if result.attrs.get("centred"):
        return [f"{head} as stored; the mean was subtracted (--centre)"]
    if offset < OFFSET_NOTED:
        return [f"{head}{': the rows are centred' if offset < _CENTRED else '; compare --centre'}"]
    return [
        f"{head}: most rows lie to one side of the origin, and that alone can bend the",
        "        curves; run again with --centre and compare",
    ]


def _epsilons(result):
    """Return a table with a line for each epsilon and a sentence on the one that tells most."""
    pooled = part(result)
    mean, null, shared = pooled.mean()[0], pooled.null(), shared_angle(pooled)
    on, midway = ("on b_i, b_j", "midway") if shared is not None else ("on b_i", "")
    lines = [
        f"f       share of rows in the cone, mean of {plural(result.planes_total, 'plane')}:",
        f"        {'ε':>7} {'peak':>10} at {'':<13} {on:>11} {midway:>10} {'isotropic rows':>15} {'peak/isotropic':>15}",
    ]
    for epsilon, curve, expected in list(zip(pooled.epsilon, mean, null, strict=True))[:_EPSILONS]:
        if not curve.any():
            lines.append(f"        {number(epsilon):>7} {'0':>10} no row inside any cone")
            continue
        on, midway = _on_and_midway(curve, shared)
        between = number(midway) if midway is not None else ""
        against = times(curve.max() / expected) if expected > 0 else times(math.inf)
        lines.append(
            f"        {number(epsilon):>7} {number(curve.max()):>10} at {_peak_turn(pooled, curve):<13} "
            f"{number(on):>11} {between:>10} {number(expected or UNDERFLOW):>15} {against:>15}"
        )
    if pooled.epsilon.size > _EPSILONS:
        lines.append(f"        … and {pooled.epsilon.size - _EPSILONS} more ε")
    at = _telling(pooled, mean, shared)
    return lines + _oscillation(pooled, at, shared, mean[at])


def _rows_near(pooled, values):
    """Return roughly how many distinct rows stand behind means over planes: a row near b_i counts in all its planes."""
    return [value * int(pooled.rows[0]) * len(pooled.basis) for value in values if value is not None]


def _telling(pooled, mean, shared):
    """Return the position of the highest ε at which the mean on and midway rests on enough rows, else the first hit.

    At low ε a row is in the cones of neighbouring basis directions at once, and midway collects them all.
    """
    for at in np.argsort(-pooled.epsilon):
        if sum(_rows_near(pooled, _on_and_midway(mean[at], shared))) >= _ENOUGH:
            return at
    return first_hit(pooled)


def _on_and_midway(curve, shared):
    """Return a curve's mean at b_i and b_j and its value midway between; (at b_i, None) when planes differ in angle."""
    if shared is None:
        return float(curve[0]), None
    grid = np.arange(curve.size + 1) * (2 * np.pi / curve.size)
    at = np.interp([0.0, shared, shared / 2], grid, np.append(curve, curve[0]))
    return float(at[:2].mean()), float(at[2])


def _oscillation(pooled, position, shared, curve):
    epsilon = pooled.epsilon[position]
    on, midway = _on_and_midway(curve, shared)
    at = f"        at ε = {number(epsilon)} the mean"
    if midway is None:
        return [f"{at} runs from {number(curve.min())} to {number(curve.max())} (planes differ in their angle)"]
    if midway == 0 and on == 0:
        return [f"{at} holds nothing on the basis directions nor midway between them"]
    near = _rows_near(pooled, (on, midway))
    if sum(near) < _ENOUGH:
        return [f"{at} rests on about {sum(near):.0f} rows near these directions: too few to compare them"]
    # Two standard errors of the ratio of two counts; a factor below it, or below EVEN, is not worth a word.
    even = max(EVEN, math.exp(2 * math.sqrt(sum(1 / max(rows, 1) for rows in near))))
    if midway == 0:
        return [f"{at} oscillates: basis directions hold rows, the directions midway hold none"]
    if on > midway * even:
        return [f"{at} oscillates: basis directions hold {times(on / midway)} what the directions midway hold"]
    if midway <= on * even:
        return [f"{at} is level: basis directions hold {on / midway:.2f}x what the directions midway hold"]
    ratio = f"{times(midway / on)} what basis directions hold" if on else "rows, basis directions hold none"
    lines = [f"{at} oscillates: the directions midway hold {ratio}"]
    reach = math.cos(shared / 2)
    if epsilon <= reach:
        lines.append(f"        (at ε ≤ {reach:.2f} a row on b_i or b_j counts midway too: compare with a higher ε)")
    return lines


def _top_planes(result):
    """Return a line for each of the planes with the highest peak at the first epsilon that was hit."""
    pooled = part(result, epsilon=[first_hit(result)])
    found = {}
    for plane in pooled.top_planes(2 * _PLANES):
        found.setdefault(frozenset((plane["plane_i"], plane["plane_j"])), plane)  # j → i mirrors i → j
    lines = []
    for plane in list(found.values())[:_PLANES]:
        head = "        " if lines else "top     "
        lines.append(
            f"{head}plane {plane['plane_i']} → {plane['plane_j']} peaks at {number(plane['fraction'])} of the rows "
            f"at ε = {number(plane['epsilon'])}, {_turn(plane['angle'])} from b_i "
            f"(b_j: {math.degrees(plane['plane_angle']):.0f}°)"
        )
    return lines


def _labels(result, room):
    """Return a table of the labels with the highest peak, `room` of them at most."""
    at = first_hit(result)
    peaks, means, rows = label_peaks(result, at), result.mean()[:, at], result.rows
    order = np.argsort(-peaks, kind="stable")
    empty = int((rows == 0).sum())
    shown = order[: max(1, min(_LABELS, room))]
    left = f", {order.size - shown.size} more" if order.size > shown.size else ""
    none = f", {empty} without rows" if empty else ""
    title = f"{order.size} labels by peak{left}{none}"
    lines = [f"labels  {title:<38} {'rows':>12} {'peak':>9} {'mean peaks':>11} at"]
    for c in shown:
        name = shorten(str(result.label[c]), 38)
        turn = _peak_turn(result, means[c]) if means[c].any() else ""
        lines.append(
            f"        {name:<38} {rows[c]:>12,} {number(peaks[c]):>9} {number(means[c].max()):>11} {turn}".rstrip()
        )
    return lines


def _speed(result):
    made = result.attrs.get("provenance", {})
    seconds = made.get("seconds", {}).get("total")
    if not seconds:
        return []
    words = [f"{seconds:.3g} s", f"{result.attrs['rows']['seen'] / seconds:,.0f} rows/s"]
    if made.get("bytes_read"):
        words.append(f"{made['bytes_read'] / seconds / 1e6:,.0f} MB/s read")
    if made.get("threads"):
        words.append(plural(made["threads"], "thread"))
    if made.get("peak_rss"):
        words.append(f"peak memory {made['peak_rss'] / (1 << 20):,.0f} MiB")
    return ["speed   " + ", ".join(words)]


def _turn(angle):
    """Return an angle in both ways that people read: '0.50π (90°)'."""
    return f"{angle / math.pi:.2f}π ({math.degrees(angle):.0f}°)"


def _peak_turn(result, curve):
    """Return where a curve peaks: at b_i when it is as high there as anywhere, else in the middle of its top."""
    return _turn(result.angle[0 if curve[0] == curve.max() else centre_of_peak(curve)])


# ---- several -----------------------------------------------------------------------------------------


def _several(results):
    if not len(results):
        return ["no results"]
    head = f"{'store':<24} {'basis':<16} {'rows':>11} {'ε':>5} {'peak':>9} {'isotropic':>9}"
    lines = [f"{head} {'on/midway':>9} {'mean/rms':>10}"]
    members, shared = list(results.items()), common_epsilon(results)
    room = LINES - 5
    for (store, basis), result in members[: room if len(members) > room else None]:
        at = first_hit(result) if shared is None else result.epsilon.tolist().index(shared)
        pooled = part(result, epsilon=[at])
        curve = pooled.mean()[0, 0]
        on, midway = _on_and_midway(curve, shared_angle(pooled))
        if sum(_rows_near(pooled, (on, midway))) < _ENOUGH:
            midway = None  # too few rows to compare
        ratio = times(on / midway) if midway else "no hit" if not curve.any() else "-"
        offset = f"{result.offset:.2f}" if _finite(result.offset) else "-"
        offset = "subtracted" if result.attrs.get("centred") else offset
        lines.append(
            f"{shorten(store, 24):<24} {shorten(basis, 16):<16} {result.attrs['rows']['used']:>11,} "
            f"{number(pooled.epsilon[0]):>5} {number(curve.max()):>9} {number(pooled.null()[0] or UNDERFLOW):>9} "
            f"{ratio:>9} {offset:>10}"
        )
    lines += [f"… and {len(members) - room} more"] if len(members) > room else []
    return [
        *lines,
        "peak: highest share of rows in a cone, mean of all planes; isotropic: what isotropic rows would give",
        "on/midway: that mean on the basis directions b_i and b_j over the same midway between them; - too few rows",
        "mean/rms: length of the rows' mean over the rows' root-mean-square length",
    ]
