"""The curves of all planes as the page draws them: exact counts of the highest planes, and mean, median and bands over all."""

import math

import numpy as np

from srmfast.errors import InputError
from srmfast.excerpts import label_peaks, number, part, plural, shared_angle, shorten
from srmfast.page.blocks import encode, encode_rounded
from srmfast.page.sections import Chart, Still

DRAWN = 2000  # planes in one picture, at most
SUBSETS = 24  # labels that can be chosen, at most
_LEAST = 60  # planes that a label keeps, however many there are
_SORTABLE = 50_000_000  # counts up to which quantiles over planes are worth their memory
_QUANTILES = (0.5, 0.05, 0.95)
_HOW = (
    "Every thin line is one plane of two basis vectors: the share of rows inside the cone while it turns from b_i (0°) toward b_j. High at "
    "the upright lines, it holds rows along the basis; high between them, rows that keep off it."
)
_WIDTH, _HEIGHT = 720, 200  # of a still picture


def ensemble(result, name, room):
    """Return the numbers of one panel.

    Parameters
    ----------
    result : Result
    name : str
    room : int
        Characters that the counts may take, about.

    Returns
    -------
    dict
        For `planes.js`; the counts are exact, and those of a plane that mirrors another are left to it.
    """
    names = [str(label) for label in result.label]
    peaks = np.max([label_peaks(result, e) for e in range(result.epsilon.size)], axis=0)
    order = [c for c in np.argsort(-peaks, kind="stable") if result.rows[c] and names[c] != "all"]
    chosen = [None, *(names[c] for c in order[:SUBSETS])] if len(names) > 1 else [names[0]]
    shares = [1.0] if len(chosen) == 1 else [0.4] + [0.6 / (len(chosen) - 1)] * (len(chosen) - 1)
    subsets = []
    for label, share in zip(chosen, shares, strict=True):
        one = part(result, label=label)
        title = "all rows" if label in (None, "all") else label
        subsets.append(_subset(one, title, int(room * share)))
    try:
        selves = [encode_rounded(curve) for curve in result.self_srm()]
    except InputError:  # no plane was kept
        selves = None
    opposite = bool((result.basis @ result.basis[0]).min() < -1 + 1e-9)
    shared = shared_angle(result)
    directions = [{"at": 0, "name": "b_i", "basis": True}, {"at": 180, "name": "−b_i", "basis": opposite}]
    if shared is not None:
        turn = math.degrees(shared)
        directions += [
            {"at": turn, "name": "b_j", "basis": True},
            {"at": turn + 180, "name": "−b_j", "basis": opposite},
        ]
    left = len(order) - len(chosen) + 1 if len(names) > 1 else 0
    return {
        "name": name,
        "angles": int(result.angle.size),
        "epsilon": [float(value) for value in result.epsilon],
        "cone": [f"ε = {number(value)} ({math.degrees(math.acos(value)):.0f}°)" for value in result.epsilon],
        "planesTotal": int(result.planes_total),
        "signed": bool((result.epsilon > 0).all() and result.angle.size % 2 == 0),
        "isotropic": [float(value) for value in result.null()],
        "self": selves,
        "directions": directions,
        "subsets": subsets,
        "first": int(np.argmax(result.total.any(axis=(0, 2)))),
        "left": f"{plural(left, 'label')} with lower peaks left out" if left > 0 else "",
    }


def chart(result, name, room, key, epsilon=None):
    """Return the chart of one result; its numbers go to the page under a key, so that others can draw them too."""
    data = ensemble(result, name, room)
    at = result.epsilon.tolist().index(epsilon) if epsilon is not None else data["first"]
    e = data["first"] = at if result.total[:, at].any() else data["first"]  # the one that is shown first
    return Chart(
        "planes",
        {"panels": [key]},
        f"Share of rows inside the cone against the angle of the spotlight, 0 to 360 degrees, for {name}: every thin line is one "
        f"plane of two basis vectors; the mean of all {result.planes_total:,} planes peaks at {number(float(result.mean()[:, e].max()))}. "
        "Arrow keys left and right move along the angle, up and down from plane to plane; Enter pins one, Escape lets it go.",
        _HOW,
        still(part(result, epsilon=[e])),
    ), data


def still(one):
    """Return the mean, and isotropic rows where they fit, as lines for pages without scripts."""
    curve = one.mean()[0, 0]
    top = float(curve.max()) or 1.0
    x = np.linspace(0, _WIDTH, curve.size + 1)
    y = _HEIGHT * (1 - np.append(curve, curve[0]) / top)
    paths = [("mean", "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True)))]
    null = float(one.null()[0])
    if null <= top:
        paths.append(("isotropic", f"M0 {_HEIGHT * (1 - null / top):.1f}H{_WIDTH}"))
    return Still(tuple(paths), number(top))


def _subset(one, title, room):
    """Return the counts and the curves of one label, or of all rows, at every ε."""
    peaks = one.counts[0].max(axis=-1)  # (e, p)
    height = (peaks / np.maximum(peaks.max(axis=1, keepdims=True), 1)).max(axis=0) if peaks.size else np.empty(0)
    order = np.argsort(-height, kind="stable")[:DRAWN]
    while True:
        views, planes, length = _counts(one, order)
        if length <= room or order.size <= _LEAST:
            break
        order = order[: max(_LEAST, int(order.size * min(0.97, 0.98 * room / length)))]
    curves, unknown = zip(*(_curves(one, e) for e in range(one.epsilon.size)), strict=True)
    notes = []
    if not one.plane_i.size:
        notes.append("only the sum over planes was kept: no line of a single plane")
    elif order.size < one.planes_total:
        notes.append(
            f"drawn: the {plural(order.size, 'plane')} with the highest peaks, of {one.planes_total:,}; the mean is of all"
        )
    notes += sorted(set(filter(None, unknown)))
    return {
        "name": shorten(title, 40),
        "rows": int(one.rows[0]),
        "planes": planes,
        "counts": views,
        "curves": curves,
        "note": "; ".join(notes),
    }


def _counts(one, order):
    """Encode the counts of some planes at every ε; return the blocks, the planes, and how long both are."""
    i, j = one.plane_i[order], one.plane_j[order]
    source = _mirrors(one, order)
    kept = source < 0
    place = np.cumsum(kept) - 1
    blocks = [encode(counts[order[kept]]) for counts in one.counts[0]]
    planes = {
        "i": encode(i),
        "j": encode(j),
        "between": encode_rounded(np.degrees(one.plane_angle[order])),
        "curve": encode(np.where(kept, place, place[source])),
        "mirrored": encode(~kept),
    }
    return blocks, planes, sum(len(block["data"]) for block in (*blocks, *planes.values()))


def _mirrors(one, order):
    """Return for each plane the position of an earlier one that it mirrors exactly, or −1.

    Of orthogonal vectors the spotlight of (j, i) at π/2 − θ is that of (i, j) at θ, and π/2 is on the grid when a % 4 == 0.
    """
    found = np.full(order.size, -1)
    a = one.angle.size
    if a % 4:
        return found
    turned = (a // 4 - np.arange(a)) % a
    where = {}
    for n, plane in enumerate(order):
        i, j = int(one.plane_i[plane]), int(one.plane_j[plane])
        other = where.get((j, i))
        if other is None:
            where[i, j] = n
        elif (one.counts[0][:, plane] == one.counts[0][:, order[other]][:, turned]).all():
            found[n] = other
    return found


def _curves(one, e):
    """Return the curves over all planes at one ε, in counts, and why some are not known."""
    here = part(one, epsilon=[e])
    rows, found, why = max(int(here.rows[0]), 1), {"total": encode(here.total[0, 0])}, ""
    if here.planes_total > 1:
        if here.attrs["kept"] not in ("all", "hit"):
            why = "the median and the spread of all planes are not known, as not all were kept"
        elif here.counts.size > _SORTABLE:
            why = "too many planes to find their median"
        else:
            median, low, high = here.quantiles(_QUANTILES)[:, 0, 0] * rows
            found |= {"median": encode_rounded(median), "low": encode_rounded(low), "high": encode_rounded(high)}
        if here.attrs["kept"] in ("all", "hit"):
            mean = here.total[0, 0] / here.planes_total
            squares = np.einsum("pa,pa->a", *[here.counts[0, 0].astype(float)] * 2) / here.planes_total
            found["sd"] = encode_rounded(np.sqrt(np.maximum(squares - mean**2, 0.0)))
    folds = _fold_error(here)
    if folds is not None:
        found["folds"] = encode_rounded(folds * rows)
    return found, why


def _fold_error(one):
    """Return the standard error of the mean of all planes by leaving out one fold of the rows at a time, (a,) shares."""
    rows = one.rows_used[:, 0]
    held = np.flatnonzero(rows)
    if held.size < 2:
        return None
    left = one.total[0, 0] - one.fold_total[held, 0, 0]
    means = left / ((rows.sum() - rows[held]) * one.planes_total)[:, None]
    return np.sqrt((held.size - 1) * means.var(axis=0))
