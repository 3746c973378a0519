"""The one-screen summary of a result, in words that need no statistics; a verdict comes from `alignment` alone."""

import math
import textwrap

import numpy as np

from srmfast import coverage, sidebyside, strata, verdicts
from srmfast.excerpts import (
    OFFSET_NOTED,
    UNDERFLOW,
    common_epsilons,
    finite,
    first_hit,
    label_peaks,
    nothing_hit,
    number,
    part,
    plural,
    shared_angle,
    shorten,
    times,
)
from srmfast.results import Result, centre_of_peak

LINES, COLUMNS = 24, 100
EVEN = 1.1  # ratios below this are not worth a word
_CENTRED = 0.1  # |mean|/rms below this is nothing to speak of
_PADDING = 10  # times that one row occurs from which it may be padding
_ENOUGH = 30  # rows near a direction that a ratio in words rests on, at least
_EPSILONS, _LABELS, _PLANES = 5, 8, 3  # lines of each, at most


def summarise(result):
    """Return the summary that `srmfast show` prints, at most 24 lines of 100 columns, and more for a verdict.

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


# ---- one result --------------------------------------------------------------------------------------


def _one(result):
    lines = [_store(result), _basis(result), _planes(result), _grid(result), *_rows(result)]
    said = len(lines)
    lines += _offset(result)
    if result.total.any():
        judged = result if result.counts_heldout is None else result.heldout()
        if judged is not result:
            lines.append(f"judged  on the {int(judged.rows.sum()):,} rows that did not choose the planes:")
        lines += _epsilons(judged) if judged.total.any() else [nothing_hit(judged)]
        lines += _coverage(judged)
        lines += _top_planes(result)
    else:
        lines.append(nothing_hit(result))
    speed = _speed(result)
    room = LINES - len(lines) - len(speed) - (2 if result.label.size > 1 else 0)
    lines[said:said] = [*_repeats(result), *_norms(result), *_notes(result)][: max(room, 0)]
    if result.label.size > 1:
        lines += _labels(result, LINES - len(lines) - len(speed) - 2)
    verdict = [] if result.null_phase is None else verdicts.lines(result.alignment())
    kinds = [] if result.stratum is None else strata.lines(result.strata())
    return lines + verdict + kinds + speed


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
    chosen = ""
    if result.counts_heldout is not None:
        asked = int(attrs["spec"]["planes"].partition(":")[2])
        short = f" of {asked:,} asked for, no other was hit" if result.planes_total < asked else ""
        chosen = f"{short} (those with most hits on half of the rows)"
    return (
        f"planes  {result.planes_total:,} counted{chosen}{skipped}; hit by any row: {hit}; "
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


def _repeats(result):
    """Return what there is to say on rows that repeat another one exactly."""
    found = result.attrs["rows"].get("duplicates") or {}
    if not found.get("repeats"):
        return []
    times = f", one row {found['commonest']:,} times" if found["commonest"] > 2 else ""
    line = f"repeats {found['repeats']:,} of {found['looked_at']:,} rows looked at are exact repeats of another{times}"
    return [line, "        padding? use --mask or --lengths"] if found["commonest"] >= _PADDING else [line]


def _norms(result):
    """Return the norms that a limit was found on."""
    norms, limit = result.attrs.get("norms"), result.attrs.get("spec", {}).get("max_norm")
    if not limit:
        return []
    if not norms:
        return [f"norms   limit {number(limit['limit'])} (--max-norm)"]
    return [
        f"norms   median {number(norms['median'])}; {_percent(norms['over_10'])} of the rows over 10x, "
        f"{_percent(norms['over_100'])} over 100x; limit {number(limit['limit'])} = {limit['multiple']:g}x",
        "        (SRM does not depend on norms; the mean and the covariance of the rows do)",
    ]


def _percent(share):
    return f"{share:.2%}" if not 0 < share < 1e-4 else "<0.01%"


def _notes(result):
    """Return what a run found out about its rows without being asked."""
    lines = []
    for note in result.attrs.get("notes", ()):
        first, *others = textwrap.wrap(note, COLUMNS - 8, break_on_hyphens=False)
        lines += [f"note    {first}", *(f"        {other}" for other in others)]
    return lines


def _offset(result):
    offset = result.offset
    if not finite(offset):
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


def _coverage(result):
    """Return over how many vectors rows spread, which a verdict says itself: no mean over planes can tell."""
    if result.null_phase is not None or not result.plane_i.size or not result.total.any():
        return []
    pooled = part(result)
    at = _telling(pooled, pooled.mean()[0], shared_angle(pooled))
    return coverage.lines(result, float(pooled.epsilon[at]))


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
        why = "planes differ in their angle" if pooled.plane_angle.size else "the planes' angles were not kept"
        return [f"{at} runs from {number(curve.min())} to {number(curve.max())} ({why})"]
    if midway == 0 and on == 0:
        return [f"{at} holds nothing on the basis directions nor midway between them"]
    near = _rows_near(pooled, (on, midway))
    if sum(near) < _ENOUGH:
        rows = f"about {sum(near):.0f} rows" if sum(near) >= 0.5 else "hardly a row"
        return [f"{at} rests on {rows} near these directions: too few to compare them"]
    # Two standard errors of the ratio of two counts; a factor below it, or below EVEN, is not worth a word.
    even = max(EVEN, math.exp(2 * math.sqrt(sum(1 / max(rows, 1) for rows in near))))
    if midway == 0:
        return [f"{at} oscillates: basis directions hold rows, the directions midway hold none"]
    if on > midway * even:
        return [f"{at} oscillates: basis directions hold {times(on / midway)} what the directions midway hold"]
    if midway <= on * even:
        return [
            f"{at} is level: basis directions hold {on / midway:.2f}x what the directions midway hold",
            f"        (with so few rows, less than {even:.2f}x either way may be chance)"
            if even > EVEN
            else f"        (less than {even:.2f}x either way is not worth a word)",
        ]
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
        heldout = f" ({number(plane['fraction_heldout'])} of those held out)" if "fraction_heldout" in plane else ""
        lines.append(
            f"{head}plane {plane['plane_i']} → {plane['plane_j']} peaks at {number(plane['fraction'])} of the rows{heldout} "
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
    members, shared = list(results.items()), common_epsilons(results)
    beside = sidebyside.lines(results, {key: _seen(result, shared) for key, result in members})
    room = LINES - 6 - len(beside)
    left = shared[room // len(members) or 1 :]  # all of them or the first, but no list that is cut within a result
    shared = shared[: len(shared) - len(left)]
    for key, result in members[: room if len(members) > room else None]:
        lines += _member(key, result, [result.epsilon.tolist().index(one) for one in shared] or [first_hit(result)])
    lines += [f"… and {len(members) - room} more"] if len(members) > room else []
    lines += [f"… and ε = {', '.join(number(one) for one in left)}, in each of them"] if left else []
    return [
        *lines,
        *beside,
        *verdicts.headlines(results),
        *strata.headlines(results),
        "peak: highest share of rows in a cone, mean of all planes; isotropic: what isotropic rows would give",
        "on/midway: that mean on b_i and b_j over the same midway between them; -: too few rows to compare",
        "mean/rms: length of the rows' mean over the rows' root-mean-square length",
        f"one of them alone: srmfast show RESULT::{'/'.join(members[0][0])}, and plot likewise",
    ]


def _seen(result, shared):
    """Return what one result shows at the first ε of all: on the basis over midway, in words, and the peak."""
    pooled = part(result, epsilon=[result.epsilon.tolist().index(shared[0]) if shared else first_hit(result)])
    curve = pooled.mean()[0, 0]
    return _ratio(pooled, curve), curve.max()


def _ratio(pooled, curve):
    """Return the mean on b_i and b_j over that midway, in words, where enough rows are near them."""
    on, midway = _on_and_midway(curve, shared_angle(pooled))
    if sum(_rows_near(pooled, (on, midway))) < _ENOUGH:
        midway = None  # too few rows to compare
    return times(on / midway) if midway else "no hit" if not curve.any() else "-"


def _member(key, result, positions):
    """Return a line of the table for each of some ε; the first bears the names."""
    store, basis = shorten(key[0], 24), shorten(key[1], 16)
    offset = f"{result.offset:.2f}" if finite(result.offset) else "-"
    offset = "subtracted" if result.attrs.get("centred") else offset
    lines = []
    for at in positions:
        pooled = part(result, epsilon=[at])
        curve = pooled.mean()[0, 0]
        head = f"{'':<53}" if lines else f"{store:<24} {basis:<16} {result.attrs['rows']['used']:>11,}"
        lines.append(
            f"{head} {number(pooled.epsilon[0]):>5} {number(curve.max()):>9} "
            f"{number(pooled.null()[0] or UNDERFLOW):>9} {_ratio(pooled, curve):>9} {'' if lines else offset:>10}".rstrip()
        )
    return lines
