"""One pair of axes each: an ensemble of planes with its reference curves, or a map over epsilon and angle."""

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm
from matplotlib.patches import StepPatch
from matplotlib.ticker import ScalarFormatter

from srmfast.errors import InputError
from srmfast.excerpts import UNDERFLOW, nothing_hit, number, shared_angle
from srmfast.results import Result

NAMED = 6  # up to this many planes have a colour and a name of their own
SAME_SCALE = 2.0  # a self-SRM peak within this factor of the data's shares its axis
SPLIT = 0.1  # a mean that peaks below this share of the planes' highest peak gets a strip of its own
SEEN = 0.01  # a curve below this share of an axis lies on its bottom line
ONE_SCALE = 4.0  # panels that peak within this factor share one y axis
_RATIO = 1_000.0  # farther than this from isotropic rows, the map shows f itself
_EPSILON_TICKS = 10
_SORTABLE = 50_000_000  # counts up to which quantiles over planes are worth their memory
_HIT, _MEAN, _SELF, FAINT, _NULL = "#0072B2", "#D55E00", "#009E73", "0.55", "0.25"  # Okabe and Ito
_NAMED_COLOURS = ("#0072B2", "#E69F00", "#CC79A7", "#56B4E9", "#7A4988", "#8C6D31")


@dataclass(frozen=True)
class Panel:
    """The curves of one label and one epsilon, ready to draw; angles closed, so that curves meet 2π."""

    one: Result
    signed: bool
    curves: np.ndarray  # (m, a + 1), the planes drawn
    pairs: list  # of (i, j), for each of curves
    named: bool  # each with a colour and a name of its own
    mean: np.ndarray  # (a + 1,), over all planes
    spread: np.ndarray | None  # (1 or 3, a + 1): the median, with the 5 % and 95 % quantiles
    reference: np.ndarray | None  # (a + 1,), self-SRM
    thinned: tuple | None  # planes drawn, planes to draw
    note: str

    @property
    def peak(self):
        return float(np.abs(self.curves).max()) if self.curves.size else self.mean_peak

    @property
    def mean_peak(self):
        return float(np.abs(self.mean).max())

    @property
    def alone(self):
        """Whether one plane is all there is, so that a mean over planes means nothing."""
        return self.one.planes_total == 1

    @property
    def split(self):
        """Whether the mean needs an axis of its own to be seen."""
        return not self.alone and 0 < self.mean_peak < SPLIT * self.peak


def prepare(one, signed, planes, *, limit, reference=None):
    """Return the Panel of a result of one label and one epsilon, at most `limit` planes of it."""
    curves, pairs, thinned, note = _ensemble(one, signed, planes, limit)
    reference = self_curve(one, signed) if reference is None else reference
    return Panel(
        one, signed, curves, pairs, planes is not None and 0 < len(pairs) <= NAMED, closed(mean_curve(one, signed)),
        _spread(one, signed, band=one.planes_total > limit), None if reference is None else closed(reference),
        thinned, note,
    )  # fmt: skip


def lines(axes, panel, notes, strip=None):
    """Draw a panel into axes, its mean into the strip below them when there is one."""
    angle_axis(axes, panel.one)
    if strip is not None:
        _angle_ticks(strip, panel.one)
        strip.yaxis.set_major_formatter(_tens())
        axes.tick_params(labelbottom=False)
    why = "no rows" if not panel.one.rows[0] else "" if panel.one.total.any() else nothing_hit(panel.one)
    if why:
        _message(axes, why)
        _message(strip, "")
        return
    notes.add(panel.note)
    reach = np.cos(panel.one.plane_angle.min() / 2) if panel.one.plane_angle.size else -1.0
    if panel.reference is not None and panel.one.epsilon[0] <= reach:
        notes.add(f"at ε ≤ {reach:.2f} one cone holds b_i and b_j at once, and self-SRM peaks between them")
    if panel.thinned:
        notes.thinned(*panel.thinned)
    if not panel.alone:
        _draw_planes(axes, panel)
    _draw_mean(axes if strip is None else strip, panel, always_scaled=strip is not None)
    _draw_references(axes, axes if strip is None else strip, panel, notes)
    for one in [axes] if strip is None else [axes, strip]:
        one.update_datalim([(0.0, -_top(one)), (0.0, 0.0)] if panel.signed else [(0.0, 0.0)])
        one.autoscale_view(scalex=False)


def _draw_planes(axes, panel):
    x, curves = closed_angles(panel.one), panel.curves
    if panel.named:
        for n, (i, j) in enumerate(panel.pairs):
            (line,) = axes.plot(x, curves[n], color=_NAMED_COLOURS[n], lw=1.0, label=f"{i} → {j}", zorder=2.4)
            line.sticky_edges.y.append(0.0)
    elif len(curves):
        ensemble = LineCollection(
            np.stack([np.broadcast_to(x, curves.shape), curves], axis=-1),
            colors=_HIT, linewidths=0.6, alpha=float(np.clip(3 / np.sqrt(len(curves)), 0.15, 0.6)),
            rasterized=True,
        )  # fmt: skip
        ensemble.sticky_edges.y.append(0.0)
        axes.add_collection(ensemble)
        axes.plot([], [], color=_HIT, lw=0.8, alpha=0.7, label="one plane each")


def _draw_mean(axes, panel, *, always_scaled):
    x, color, name = closed_angles(panel.one), _MEAN, "mean of all planes"
    if panel.alone:
        color, name = _HIT, "f in this plane"
    (line,) = axes.plot(x, panel.mean, color=color, lw=1.8, label=name, zorder=3)
    line.sticky_edges.y.append(0.0)
    reference, top = panel.reference, panel.mean.max()
    if reference is None or top <= 0 or reference.max() <= 0:
        return
    ratio = reference.max() / top
    scaled = always_scaled or not 1 / SAME_SCALE <= ratio <= SAME_SCALE
    name, dashes = ("self-SRM, scaled to the same peak", (0, (6, 2))) if scaled else ("self-SRM", (0, (4, 1, 1, 1)))
    axes.plot(x, reference / (ratio if scaled else 1.0), color=_SELF, lw=1.1, ls=dashes, label=name, zorder=2.7)


def _draw_references(axes, under, panel, notes):
    """Draw median, quantiles and isotropic rows, each where it can be seen; tell of those that cannot."""
    x = closed_angles(panel.one)
    tops = {axes: panel.peak, under: panel.mean_peak}
    if under is axes:
        tops = {axes: max(panel.peak, panel.mean_peak)}

    def host(peak, *places):
        return next((one for one in places if SEEN * tops[one] < peak <= SAME_SCALE * tops[one]), None)

    if panel.spread is not None:
        median, *band = panel.spread
        if band:
            place = host(band[1].max(), axes, under)
            if place is None:
                notes.low("95 % of planes", band[1].max())
            else:
                place.fill_between(x, *band, color=_HIT, alpha=0.18, lw=0, label="5–95 % of planes")
        place = host(median.max(), under, axes)
        if place is None:
            notes.low("median", median.max())
        else:
            place.plot(x, median, color="black", lw=1.0, ls=(0, (5, 2)), label="median", zorder=2.6)
    null = 0.0 if panel.signed else float(panel.one.null()[0])
    place = under if panel.signed else host(null, under, axes)
    if place is not None:
        place.axhline(null, color=_NULL, lw=1.0, ls=":", label="isotropic rows", zorder=2.8)
    elif null > tops[axes]:
        notes.add(f"isotropic rows would lie at {number(null)}, above the axis")
    else:
        notes.low("isotropic rows", null or UNDERFLOW)


def _ensemble(one, signed, planes, limit):
    """Return the curves to draw, (m, a + 1), their pairs, (drawn, of) when thinned, and a note on what is left out."""
    counts = one.counts[0, 0]
    peaks = counts.max(axis=-1)
    if planes is None or isinstance(planes, (int, np.integer)):
        if planes is not None and planes < 1:
            raise InputError(f"planes must be at least 1 or pairs (i, j), got {planes}")
        order = np.argsort(-peaks, kind="stable")[:planes]
    else:
        where = {pair: n for n, pair in enumerate(zip(one.plane_i.tolist(), one.plane_j.tolist(), strict=True))}
        order = np.array([_plane(where, pair) for pair in planes], np.intp)
    note, thinned = "", None
    if not peaks.size:
        note = "only the sum over planes was kept"
    elif order.size < one.planes_total:
        kept = f" (kept: {one.attrs['kept']})" if planes is None and one.attrs["kept"] != "all" else ""
        note = f"{order.size:,} of {one.planes_total:,} planes drawn{kept}"
    if order.size > limit:
        order = order[peaks[order] > 0]
        note, thinned = "", (min(limit, order.size), order.size)
        order = _thin(order, limit)
    chosen = counts[order].astype(float)
    if signed:
        chosen = chosen - _opposite(one, chosen)
    curves = closed(chosen / max(int(one.rows[0]), 1))
    return curves, list(zip(one.plane_i[order].tolist(), one.plane_j[order].tolist(), strict=True)), thinned, note


def _thin(order, limit):
    """Return `limit` of the entries at most: the first quarter of them as they come, then evenly to the last."""
    if order.size <= limit:
        return order
    first = limit // 4
    rest = np.linspace(first, order.size - 1, limit - first).round().astype(int)
    return np.concatenate([order[:first], order[rest]])


def _plane(where, pair):
    i, j = (int(n) for n in pair)
    if (i, j) not in where:
        raise InputError(f"planes must be among those kept, got {i} → {j}; run again with --keep all")
    return where[i, j]


def _opposite(one, values):
    """Return values at θ + π, after checking that f(θ) − f(θ + π) has a meaning."""
    if one.epsilon.min() <= 0 or one.angle.size % 2:
        one.signed()  # says why not
    return np.roll(values, -(one.angle.size // 2), axis=-1)


def mean_curve(one, signed):
    """Return the mean over all planes, (a,)."""
    mean = one.mean()[0, 0]
    return mean - _opposite(one, mean) if signed else mean


def _spread(one, signed, *, band):
    """Return the median over planes, (1, a + 1), with the 5 % and 95 % quantiles when wanted; None if unknown."""
    if signed or one.planes_total < 3 or one.counts.size > _SORTABLE:
        return None
    try:
        return closed(one.quantiles([0.5, 0.05, 0.95] if band else [0.5])[:, 0, 0])
    except InputError:  # the planes that were not kept are not known
        return None


def self_curve(one, signed):
    """Return the mean self-SRM, (a,), or None where there is none."""
    try:
        curve = one.self_srm()[0]
    except InputError:
        return None
    return curve - _opposite(one, curve) if signed else curve


def heatmap(axes, pooled, signed, notes, *, bar="beside"):
    """Draw the mean over ε and angle, with a colour bar "beside" the axes, or "inside" their room, or None."""
    order = np.argsort(pooled.epsilon)
    mean, null = pooled.mean()[0][order], pooled.null()[order]
    if signed:
        values = mean - _opposite(pooled, mean)
        top = np.abs(values).max() or 1.0
        style, words, extend = {"cmap": "PuOr_r", "vmin": -top, "vmax": top}, "mean of f(θ) − f(θ + π)", "neither"
    else:
        seen = mean > 0
        ratio = np.divide(mean, null[:, None], out=np.zeros_like(mean), where=null[:, None] > 0)
        span = max(ratio[seen].max(), 1 / ratio[seen].min()) if seen.any() and (null > 0).all() else math.inf
        if span <= _RATIO:
            values, words = ratio, "mean f / isotropic rows"
            span = max(span, 1.5)
            style = {"cmap": "PuOr_r", "norm": LogNorm(1 / span, span)}
        else:
            values, words = mean, "mean f (share of rows)"
            low, high = (mean[seen].min(), mean[seen].max()) if seen.any() else (0.1, 1.0)
            style = {"cmap": "viridis", "norm": LogNorm(low, max(high, 1.5 * low))}
        extend = "neither" if seen.all() else "min"
        values = np.where(seen, values, style["norm"].vmin / 2)  # below the scale: drawn in its end colour
        notes.add("" if seen.all() else "cells in the colour of the lower tip of the colour bar hold no row")
    x = closed_angles(pooled)
    edges = np.append(x, x[-1] + x[1]) - x[1] / 2
    mesh = axes.pcolormesh(edges, np.arange(order.size + 1) - 0.5, closed(values), rasterized=True, **style)
    angle_axis(axes, pooled, marks=False)
    ticks = np.unique(np.linspace(0, order.size - 1, min(order.size, _EPSILON_TICKS)).round().astype(int))
    axes.set_yticks(ticks, [number(value) for value in pooled.epsilon[order][ticks]])
    axes.set(ylabel="ε", xlabel="angle from $b_i$ toward $b_j$")
    axes.spines[["left", "bottom"]].set_visible(False)
    if bar is None:
        return
    place = {"cax": axes.inset_axes((1.015, 0.0, 0.018, 1.0))} if bar == "beside" else {"ax": axes}
    bar = axes.figure.colorbar(mesh, extend=extend, label=words, **place)
    bar.outline.set_visible(False)
    if isinstance(mesh.norm, LogNorm):
        _log_ticks(bar, mesh.norm.vmin, mesh.norm.vmax)


def _log_ticks(bar, low, high):
    """Put ticks at 1, 2, 5 times powers of ten, or at powers alone when the scale is long."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(exponents) <= 4 else (1,)
    ticks = [step * 10.0**n for n in exponents for step in steps if low <= step * 10.0**n <= high]
    bar.set_ticks(ticks or [low, high], labels=[number(tick) for tick in ticks or [low, high]])
    bar.minorticks_off()


def angle_axis(axes, one, *, marks=True):
    """Set the angle axis of [0, 2π] with the directions of the plane along the top."""
    directions = _angle_ticks(axes, one, marks=marks)
    axes.yaxis.set_major_formatter(lambda value, _: number(value).replace("-", "−"))
    if one.plane_angle.size and shared_angle(one) is None:
        _rug(axes, one.plane_angle)
    top = axes.secondary_xaxis("top")
    top.set_xticks([angle for angle, _, _ in directions], [words for _, words, _ in directions])
    top.tick_params(length=0, pad=1, labelsize=8)
    top.spines["top"].set_visible(False)
    for tick, (_, _, in_basis) in zip(top.get_xticklabels(), directions, strict=True):
        tick.set_color("black" if in_basis else FAINT)


def _angle_ticks(axes, one, *, marks=True):
    """Set limits and ticks, mark the directions of the basis and return (angle, words, whether in the basis) of each."""
    axes.set_xlim(0.0, 2 * np.pi)
    axes.set_xticks(np.arange(5) * np.pi / 2, ["0", "π/2", "π", "3π/2", "2π"])
    opposite = (one.basis @ one.basis[0]).min() < -1 + 1e-9
    directions = [(0.0, "$b_i$", True), (np.pi, "$-b_i$", opposite), (2 * np.pi, "$b_i$", True)]
    shared = shared_angle(one)
    if shared is not None:
        directions += [(shared, "$b_j$", True), (shared + np.pi, "$-b_j$", opposite)]
    for angle, _, in_basis in directions:
        if marks and in_basis and 0 < angle < 2 * np.pi:
            axes.axvline(angle, color="0.88", lw=0.8, zorder=0)
    return directions


def _tens():
    """Return the ticks' format of a strip: plain numbers with a common ×10ⁿ above them."""
    made = ScalarFormatter(useMathText=True)
    made.set_powerlimits((-2, 3))
    return made


def _rug(axes, angles):
    """Draw the distribution of the angles of b_j as a strip above the axes."""
    share, edges = np.histogram(angles, bins=90, range=(0.0, np.pi))
    above = axes.get_xaxis_transform()
    strip = StepPatch(
        1.01 + 0.06 * share / share.max(), edges, baseline=1.01, fill=True, color=FAINT, lw=0, clip_on=False,
        transform=above, label="_angles of b_j",
    )  # fmt: skip
    axes.add_artist(strip)
    first, last = edges[np.flatnonzero(share)[[0, -1]] + [0, 1]]
    at, side = (first - 0.08, "right") if first > 0.6 else (last + 0.08, "left")  # "b_j −b_i" reads like a difference
    if 0.4 < at < np.pi - 0.7:
        axes.text(at, 1.015, "$b_j$", transform=above, ha=side, va="bottom", color=FAINT, fontsize=8)


def _message(axes, words):
    """Say in the middle of empty axes, if there are any, why they are empty."""
    if axes is None:
        return
    axes.text(
        0.5, 0.5, words.replace("; ", "\n"), transform=axes.transAxes, ha="center", va="center", color="0.3", wrap=True
    )
    if not axes.get_shared_y_axes().get_siblings(axes)[1:]:
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)


def closed(curves):
    """Repeat the first angle at the end, so that curves meet 2π."""
    return np.concatenate([curves, curves[..., :1]], axis=-1)


def closed_angles(one):
    """Return the angles of closed curves, (a + 1,), from 0 to 2π."""
    return np.append(one.angle, 2 * np.pi)


def _top(axes):
    return max(axes.dataLim.y1, 0.0)


def value_name(signed):
    """Name the y axis."""
    return "f(θ) − f(θ + π)" if signed else "share of rows in the cone"


def scales(panels, columns, height):
    """Return for each panel the number of its y axis: one for all that are about as high, one a row, or one each."""

    def alike(group):
        heights = [height(panel) for panel in group if panel and panel.peak > 0]
        return max(heights, default=0) <= ONE_SCALE * min(heights, default=0)

    if alike(panels):
        return [0] * len(panels)
    rows = [n // columns for n in range(len(panels))]
    return (
        rows
        if all(alike(panels[n : n + columns]) for n in range(0, len(panels), columns))
        else list(range(len(panels)))
    )


def say_own_scale(axes, under):
    """Mark axes that share their scale with no others of the figure; `under`: a strip, with nothing along its top."""
    style = {"fontsize": 6.5, "color": "0.35", "style": "italic"}
    if under:
        axes.text(1.0, 1.03, "own scale", transform=axes.transAxes, ha="right", va="bottom", **style)
    else:
        axes.set_title("own scale", loc="right", **style)
