"""The picture of an atlas: layers from left to right; verdict, effect, mean curve and mean of the rows from top to bottom."""

import math

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from srmfast._notes import Notes
from srmfast.atlaslines import joint_name, short_names
from srmfast.excerpts import finite, number, plural, shorten
from srmfast.family import LEVEL
from srmfast.plots import basis_words, finish, new_figure

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito
_MARKS = ("o", "s", "^", "D", "v", "P")
_VERDICTS = {
    "aligned": ("#0072B2", "#0072B2"), "anti-aligned": ("#D55E00", "#D55E00"), "mixed": ("#CC79A7", "#CC79A7"),
    "none": ("0.82", "0.82"), "undecided": ("white", "0.6"),
}  # fmt: skip
_SERIES, _EPSILONS, _TICKS = 6, 3, 60  # drawn, at most
_NAME = 26  # characters of a layer's name
_STRIP, _TALL, _MAP, _LOW = 0.22, 1.9, 1.35, 0.85  # inches
_RATIO = 1.25  # the colours of a map reach at least so far from level
_LETTER = 0.068  # inches
_WIDE = 10.0  # kurtosis from which the scale is logarithmic above 1


def draw(atlas):
    """Draw an atlas.

    Parameters
    ----------
    atlas : Atlas

    Returns
    -------
    matplotlib.figure.Figure
    """
    series, names, notes = atlas.series[:_SERIES], atlas.names, Notes()
    if len(atlas.series) > _SERIES:
        notes.add(f"{_SERIES} of {len(atlas.series)} series are drawn")
    place = {name: x for x, name in enumerate(names)}
    panels = [("strip", _STRIP * len(series) + 0.06, None)] if atlas.tested else []
    panels += [("effect" if atlas.tested else "contrast", _TALL, None)]
    panels += [("tails", _LOW, None)] * any(finite(layer.kurtosis) for layer in atlas.layers)
    panels += [("map", _MAP, one) for one in series if atlas.angle is not None] + [("mean", _LOW, None)]
    shown = [shorten(name, _NAME) for name in short_names(names)]
    width = max(6.4, min(14.0, 2.2 + 0.24 * len(names)))
    flat = max(map(len, shown)) * _LETTER * len(names) < width - 1.6
    below = 0.2 if flat else max(map(len, shown)) * _LETTER
    figure = new_figure(width, sum(height for _, height, _ in panels) + below + 1.1 + 0.08 * len(panels))
    grid = figure.add_gridspec(len(panels), 2, width_ratios=[1, 0.016], height_ratios=[h for _, h, _ in panels])
    made, reach = [], _reach(atlas)
    for row, (kind, _, one) in enumerate(panels):
        axes = figure.add_subplot(grid[row, 0], sharex=made[0] if made else None)
        made.append(axes)
        if kind == "strip":
            _strip(axes, atlas, series, place)
        elif kind == "effect":
            _effects(axes, atlas, series, place, notes)
        elif kind == "contrast":
            _contrasts(axes, atlas, series, place)
        elif kind == "tails":
            _tails(axes, atlas, series, place)
        elif kind == "map":
            _map(figure, axes, figure.add_subplot(grid[row, 1]), atlas, one, place, reach, len(series) > 1)
        else:
            _means(axes, atlas, place)
        axes.tick_params(labelbottom=row == len(panels) - 1, bottom=row == len(panels) - 1)
    made[0].set_xlim(-0.5, len(names) - 0.5)
    step = math.ceil(len(names) / _TICKS)
    made[-1].set_xticks(range(0, len(names), step), shown[::step], rotation=0 if flat else 90, parse_math=False)
    figure.align_ylabels(made)
    if atlas.tested and atlas.corrected_for * atlas.least_p > LEVEL:
        notes.add(
            f"with {atlas.rotations} rotations no layer of {atlas.corrected_for} can be beyond chance over all of them: "
            f"--null {atlas.needed_rotations} could"
        )
    if any(kind == "tails" for kind, _, _ in panels):
        notes.add("excess kurtosis: mean over the coordinates along the basis; dotted: along random rotations of it")
    epsilons = sorted({layer.epsilon for layer in atlas.layers})
    notes.add(
        f"maps: the mean over planes of the share of rows in the cone, over its own mean over angles, at ε = "
        f"{', '.join(map(number, epsilons[:3]))}; dotted: b_i and b_j"
    )
    return finish(figure, _title(atlas), notes)


def _of(atlas, one):
    """Yield (position, layer) of a series."""
    return ((n, layer) for n, layer in enumerate(atlas.layers) if layer.series == one)


def _strip(axes, atlas, series, place):
    at = {n: (place[layer.name], y) for y, one in enumerate(series) for n, layer in _of(atlas, one)}
    for verdict, (face, edge) in _VERDICTS.items():
        for explained, words in ((False, verdict), (True, f"{verdict}, as mean and covariance alone make it")):
            found = [at[n] for n in at if atlas.layers[n].verdict == verdict and atlas.layers[n].explained is explained]
            if found:
                axes.scatter(
                    *zip(*found, strict=True), s=72, marker="s", c="white" if explained else face, edgecolors=edge,
                    linewidths=1.6 if explained else 0.8, label=words,
                )  # fmt: skip
    beyond = [at[n] for n in at if atlas.layers[n].p_over_layers <= LEVEL]
    if beyond:
        axes.scatter(*zip(*beyond, strict=True), s=9, c="white", label=f"white dot: p ≤ {LEVEL} over all layers (Holm)", edgecolors="0.2", linewidths=0.4)  # fmt: skip
    axes.set_ylim(len(series) - 0.5, -0.5)
    axes.set_yticks(range(len(series)), [_series_name(one) for one in series] if len(series) > 1 else ["verdict"], parse_math=False)  # fmt: skip
    axes.tick_params(left=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _effects(axes, atlas, series, place, notes):
    """Draw the effect of each series and epsilon with its interval: one colour a series, or an epsilon if there is one series."""
    epsilons = sorted({effect.epsilon for effects in atlas.effects for effect in effects})
    drawn = epsilons if len(epsilons) <= _EPSILONS else [epsilons[0], epsilons[len(epsilons) // 2], epsilons[-1]]
    if len(drawn) < len(epsilons):
        notes.add(f"{len(drawn)} of {len(epsilons)} ε are drawn")
    lots = [(one, epsilon) for one in series for epsilon in drawn]
    for number_, (one, epsilon) in enumerate(lots):
        values = [
            (place[layer.name], effect.size, effect.low, effect.high)
            for n, layer in _of(atlas, one)
            for effect in atlas.effects[n]
            if effect.epsilon == epsilon
        ]
        name = (f"{_series_name(one)}, " if len(series) > 1 else "") + f"ε = {number(epsilon)}"
        colour = _COLOURS[series.index(one) if len(series) > 1 else drawn.index(epsilon)]
        _points(axes, values, number_, len(lots), colour, _MARKS[drawn.index(epsilon)], name)
    axes.axhline(0, color="0.6", linewidth=0.7, zorder=0)
    axes.set_ylabel("effect\n(near − far)")


def _contrasts(axes, atlas, series, place):
    for number_, one in enumerate(series):
        values = [
            (place[layer.name], layer.contrast, layer.contrast_low, layer.contrast_high) for _, layer in _of(atlas, one)
        ]
        name = _series_name(one) if len(series) > 1 else "contrast with its 95 % interval"
        _points(axes, values, number_, len(series), _COLOURS[number_], _MARKS[number_], name)
    axes.axhline(0, color="0.6", linewidth=0.7, zorder=0)
    axes.set_ylabel("contrast of the mean\n(on − midway)/(on + midway)")


def _points(axes, values, number_, lots, colour, mark, name):
    """Draw values with their intervals, beside those of other lots."""
    values = np.array(values, float).reshape(-1, 4)
    x = values[:, 0] + (number_ - (lots - 1) / 2) * min(0.16, 0.6 / lots)
    there = np.isfinite(values[:, 1])
    reach = np.isfinite(values[:, 2])
    axes.plot(x[there], values[there, 1], color=colour, linewidth=0.9, marker=mark, markersize=3.4, label=name)
    axes.vlines(x[reach], values[reach, 2], values[reach, 3], color=colour, linewidth=1.0)


def _reach(atlas):
    """Return how many times above or below level the colours of all maps go."""
    found = [np.abs(np.log(np.maximum(curve / curve.mean(), 0.1))).max() for curve in atlas.curves if curve.any()]
    return max(_RATIO, math.exp(max(found, default=0.0)))


def _map(figure, axes, beside, atlas, one, place, reach, named):
    """Draw the mean curves of a series over layers and angles, each over its own mean."""
    a = atlas.angle.size
    values = np.full((a, len(place)), np.nan)
    for n, layer in _of(atlas, one):
        if atlas.curves[n].any():
            values[:, place[layer.name]] = atlas.curves[n] / atlas.curves[n].mean()
    axes.set_facecolor("0.9")
    step = 2 * math.pi / a
    edges = np.append(atlas.angle, 2 * math.pi) - step / 2
    mesh = axes.pcolormesh(
        np.arange(len(place) + 1) - 0.5, edges, np.clip(values, 1 / reach, reach), cmap="PuOr_r", rasterized=True,
        norm=LogNorm(1 / reach, reach),
    )  # fmt: skip
    for at in {0.0, atlas.shared} - {None}:
        axes.axhline(at, color="0.2", linewidth=0.6, linestyle=":")
    axes.set_ylim(edges[0], edges[-1])
    axes.set_yticks(np.arange(5) * math.pi / 2, ["0", "π/2", "π", "3π/2", "2π"])
    axes.set_ylabel(f"{_series_name(one)}\nangle" if named else "angle from $b_i$", parse_math=not named)
    bar = figure.colorbar(mesh, cax=beside)
    bar.set_label("over its mean", fontsize=7)
    ticks = [1 / reach, 1.0, reach]
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    bar.set_ticks(ticks)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2g}×"))
    bar.ax.tick_params(labelsize=7)


def _tails(axes, atlas, series, place):
    """Draw the kurtosis of the coordinates of each series, and of rotations of its basis."""
    highest = 1.0
    for number_, one in enumerate(series):
        some = [layer for _, layer in _of(atlas, one) if finite(layer.kurtosis)]
        at = [place[layer.name] for layer in some]
        own, rotated = [layer.kurtosis for layer in some], [layer.kurtosis_rotated for layer in some]
        axes.plot(at, own, color=_COLOURS[number_], marker=_MARKS[number_], markersize=3, linewidth=0.9)
        axes.plot(at, rotated, color=_COLOURS[number_], linewidth=0.9, linestyle=":")
        highest = max([highest, *map(abs, own)])
    axes.axhline(0, color="0.6", linewidth=0.7, zorder=0)
    if highest > _WIDE:
        axes.set_yscale("symlog", linthresh=1)
        axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("excess\nkurtosis")


def _means(axes, atlas, place):
    offsets = {layer.name: layer.offset for layer in atlas.layers if finite(layer.offset)}
    axes.bar([place[name] for name in offsets], list(offsets.values()), width=0.6, color="0.65")
    axes.axhline(0.5, color="0.4", linewidth=0.6, linestyle=":")
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1])
    axes.set_ylabel("|mean|\n/rms")


def _series_name(one):
    basis, centred = one
    return shorten(basis, 20) + (", centred" if centred else "")


def _title(atlas):
    stem = joint_name(atlas.names)
    words = [shorten(stem, 34)] if stem else []
    words.append(plural(len(atlas.names), "layer"))
    if len(atlas.bases) == 1:
        words.append(basis_words(atlas.bases[0]))
    rows = {layer.rows for layer in atlas.layers}
    words += [f"{plural(rows.pop(), 'row')} each"] if len(rows) == 1 else []
    return " · ".join(words)
