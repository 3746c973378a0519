"""The one-screen summary of a result, in words that need no statistics; a verdict comes from `alignment` alone."""

import math

import numpy as np

from srmfast import coverage, opinions, overview, sidebyside, strata, verdicts
from srmfast.excerpts import (
    COLUMNS,
    OFFSET_NOTED,
    finite,
    first_hit,
    headed,
    label_peaks,
    nothing_hit,
    number,
    part,
    plural,
    shared_angle,
    shorten,
)
from srmfast.oscillation import oscillation, peak_turn, peaks, telling, telling_epsilon, turn
from srmfast.results import Result, Results

LINES = 24
_CENTRED = 0.1  # |mean|/rms below this is nothing to speak of
_PADDING = 10  # times that one row occurs from which it may be padding
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


def facts(result):
    """Return what the summary says of one result apart from its tables, in lines with a head of eight columns."""
    lines = [_store(result), _basis(result), _planes(result), _grid(result), *_rows(result)]
    lines += [*_repeats(result), *_norms(result), *_notes(result), *_offset(result)]
    if not result.total.any():
        return [*lines, f"curve   {nothing_hit(result)}"]
    pooled = part(result)
    mean, shared = pooled.mean()[0], shared_angle(pooled)
    at = telling(pooled, mean, shared)
    return [*lines, "curve", *oscillation(pooled, at, shared, mean[at])]


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
    return lines + verdict + _others(result) + kinds + speed


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


def _others(result):
    """Return where other readings agree with the verdict."""
    said = opinions.brief(result)
    return [line for at, text in enumerate(said) for line in headed("" if at else "others", text)]


def _percent(share):
    return f"{share:.2%}" if not 0 < share < 1e-4 else "<0.01%"


def _notes(result):
    """Return what a run found out about its rows without being asked."""
    return [line for note in result.attrs.get("notes", ()) for line in headed("note", note)]


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
    mean, shared = pooled.mean()[0], shared_angle(pooled)
    columns, found = peaks(pooled)
    lines = [f"f       share of rows in the cone, mean of {plural(result.planes_total, 'plane')}:"]
    for epsilon, peak, at, on, midway, isotropic, ratio in [columns, *found][: _EPSILONS + 1]:
        rest = f"{on:>11} {midway:>10} {isotropic:>15} {ratio:>15}"
        at = f"at {at:<13} {rest}" if peak != "0" else "no row inside any cone"
        lines.append(f"        {epsilon:>7} {peak:>10} {at}")
    if pooled.epsilon.size > _EPSILONS:
        lines.append(f"        … and {pooled.epsilon.size - _EPSILONS} more ε")
    at = telling(pooled, mean, shared)
    return lines + oscillation(pooled, at, shared, mean[at])


def _coverage(result):
    """Return over how many vectors rows spread, which a verdict says itself: no mean over planes can tell."""
    if result.null_phase is not None or not result.plane_i.size or not result.total.any():
        return []
    pooled = part(result)
    at = telling(pooled, pooled.mean()[0], shared_angle(pooled))
    return coverage.lines(result, float(pooled.epsilon[at]))


def _top_planes(result):
    """Return a line for each of the planes with the highest peak at the epsilon that tells most."""
    pooled = part(result, epsilon=[result.epsilon.tolist().index(telling_epsilon(result))])
    found = {}
    for plane in pooled.top_planes(2 * _PLANES):
        found.setdefault(frozenset((plane["plane_i"], plane["plane_j"])), plane)  # j → i mirrors i → j
    lines = []
    for plane in list(found.values())[:_PLANES]:
        head = "        " if lines else "top     "
        heldout = f" ({number(plane['fraction_heldout'])} of those held out)" if "fraction_heldout" in plane else ""
        lines.append(
            f"{head}plane {plane['plane_i']} → {plane['plane_j']} peaks at f = {number(plane['fraction'])}{heldout}, "
            f"ε = {number(plane['epsilon'])}, {turn(plane['angle'])} from b_i "
            f"(b_j: {math.degrees(plane['plane_angle']):.0f}°)"
        )
    return lines


def _labels(result, room):
    """Return a table of the labels with the highest peak, `room` of them at most."""
    at = first_hit(result)
    highest, means, rows = label_peaks(result, at), result.mean()[:, at], result.rows
    order = np.argsort(-highest, kind="stable")
    empty = int((rows == 0).sum())
    shown = order[: max(1, min(_LABELS, room))]
    left = f", {order.size - shown.size} more" if order.size > shown.size else ""
    none = f", {empty} without rows" if empty else ""
    title = f"{order.size} labels by peak{left}{none}"
    lines = [f"labels  {title:<38} {'rows':>12} {'peak':>9} {'mean peaks':>11} at"]
    for c in shown:
        name = shorten(str(result.label[c]), 38)
        where = peak_turn(result, means[c]) if means[c].any() else ""
        lines.append(
            f"        {name:<38} {rows[c]:>12,} {number(highest[c]):>9} {number(means[c].max()):>11} {where}".rstrip()
        )
    return lines


def _speed(result):
    made = result.attrs.get("provenance", {})
    seconds = made.get("seconds", {}).get("total")
    if not seconds:
        return []
    words = [f"{seconds:.3g} s", f"{result.attrs['rows']['seen'] / seconds:,.0f} rows/s"]
    if made.get("bytes_read", 0) / seconds >= 1e6:
        words.append(f"{made['bytes_read'] / seconds / 1e6:,.0f} MB/s read")
    if made.get("threads"):
        words.append(plural(made["threads"], "thread"))
    if made.get("peak_rss"):
        words.append(f"peak memory {made['peak_rss'] / (1 << 20):,.0f} MiB")
    return ["speed   " + ", ".join(words)]


# ---- several -----------------------------------------------------------------------------------------


def _are_layers(results):
    """Say whether several stores are better told as layers: with verdicts, many, or of names too long to tell apart."""
    stores = {store for store, _ in results} - {centred for _, (centred, _) in sidebyside.treatments(results)}
    tested = any(result.null_phase is not None for result in results.values())
    alike = len({shorten(store, overview.NAME) for store in stores}) < len(stores)
    return len(stores) > 1 and (tested or alike or len(results) > LINES - 5)


def _several(results):
    if not len(results):
        return ["no results"]
    beside = sidebyside.lines(results)
    if _are_layers(results):
        return [*str(results.atlas()).split("\n"), *beside, *strata.headlines(results)]
    members, shared, room = list(results.items()), overview.held_epsilons(results), LINES - 6 - len(beside)
    left = shared[room // len(members) or 1 :]  # all of them or the first, but no list that is cut within a result
    shown = Results(dict(members[: room if len(members) > room else None]))
    lines = overview.table(overview.lines_of(shown, shared[: len(shared) - len(left)]))
    lines += [f"… and {len(members) - room} more"] if len(members) > room else []
    lines += [f"… and ε = {', '.join(number(one) for one in left)}, in each of them"] if left else []
    lines += [*beside, *verdicts.headlines(results), *strata.headlines(results), *overview.LEGEND]
    return [*lines, f"one of them alone: srmfast show RESULT::{'/'.join(members[0][0])}, and plot likewise"]
