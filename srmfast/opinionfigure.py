"""The picture of second opinions: effect by ε, kurtosis against rotations, how long rows are, and the curves of sums of vectors."""

import math
import textwrap

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from srmfast._notes import Notes
from srmfast.errors import InputError
from srmfast.excerpts import number
from srmfast.plots import finish, new_figure

_COLOURS = {"aligned": "#0072B2", "anti-aligned": "#D55E00", "mixed": "#CC79A7", "none": "0.55", "undecided": "0.75"}
_SUMS = ("#0072B2", "#D55E00", "#009E73")  # of 1, 2 and 3 vectors
_PER_OCTAVE = 8  # bars of norms
_SIZE = (7.2, 5.4)  # inches
_TICKS = 8  # ε with a tick each, at most
_WIDE = 20.0  # longest over shortest norm from which decades are enough for ticks


def draw(result, title):
    """Draw the readings of a result, a panel for each of which there is something to see.

    Parameters
    ----------
    result : Result
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    found, notes = result.opinions(), Notes()
    panels = []
    if found.spectrum is not None:
        panels.append(lambda axes: _spectrum(axes, found))
    if found.kurtosis is not None:
        panels.append(lambda axes: _kurtosis(axes, result, found))
    if found.likeness is not None:
        panels.append(lambda axes: _references(axes, result, found, notes))
    if found.norms is not None:
        panels.append(lambda axes: _norms(axes, result, found))
    if not panels:
        raise InputError("this result has nothing that other readings could be made of; run again with --null 99")
    columns = 1 if len(panels) == 1 else 2
    height = math.ceil(len(panels) / columns)
    figure = new_figure(_SIZE[0], _SIZE[1] / 2 * height + 0.5)
    grid = figure.add_gridspec(height, columns)
    for n, panel in enumerate(panels):
        alone = n == len(panels) - 1 and n % columns == 0
        panel(figure.add_subplot(grid[n // columns, :] if alone else grid[n // columns, n % columns]))
    notes.add(found.overall)
    return finish(figure, title, notes)


def _spectrum(axes, found):
    scales = [scale for scale in found.spectrum.scales if not math.isnan(scale.size)]
    axes.axhline(0, color="0.6", lw=0.8, zorder=0)
    axes.plot([scale.epsilon for scale in scales], [scale.size for scale in scales], color="0.7", lw=1.0, zorder=1)
    for scale in scales:
        colour = _COLOURS[scale.verdict]
        if not math.isnan(scale.low):
            axes.plot(
                [scale.epsilon] * 2, [scale.low, scale.high], color=colour, lw=2.2, alpha=0.5, solid_capstyle="round"
            )
        filled = scale.verdict in ("aligned", "anti-aligned", "mixed")
        axes.plot(
            scale.epsilon, scale.size, "o", ms=5.5, color=colour, mfc=colour if filled else "white",
            label=scale.verdict, zorder=3,
        )  # fmt: skip
    axes.set(ylim=(-1.08, 1.08), xlabel="ε (cosine of the half-angle)", ylabel="effect: near − far")
    margin = 0.08 if len(scales) < 2 else 0.04
    low, high = (min(s.epsilon for s in scales), max(s.epsilon for s in scales)) if scales else (0.0, 1.0)
    axes.set_xlim(low - margin, high + margin)
    if len(scales) <= _TICKS:
        axes.set_xticks([scale.epsilon for scale in scales], [f"{scale.epsilon:g}" for scale in scales])
    axes.set_title("at which angular scale", loc="left")
    names = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    axes.legend(names.values(), names.keys(), frameon=False, loc="best")
    _quiet(axes)


def _quiet(axes):
    """Keep a panel's own legend out of the one at the foot, which gathers what has a name."""
    for line in (*axes.lines, *axes.patches, *axes.collections):
        line.set_label("_")
    for container in axes.containers:
        container.set_label("_")


def _kurtosis(axes, result, found):
    tails = found.kurtosis
    rotated, colour = result.null_kurtosis[1:, 0], _COLOURS[tails.mean.verdict]
    edges = np.histogram_bin_edges(rotated, bins=min(24, max(8, rotated.size // 5)))
    axes.hist(rotated, bins=edges, color="0.78", label=f"{rotated.size} rotations")
    top = axes.get_ylim()[1]
    axes.plot([tails.own] * 2, [0, top], color=colour, lw=2.0, label="this basis")
    axes.set_ylim(0, top * 1.02)
    axes.set(xlabel="mean excess kurtosis of coordinates", ylabel="rotations")
    out = len(tails.coordinates)
    stand = f"; {out} of {tails.vectors:,} stand out" if out else ""
    axes.set_title(f"kurtosis: {tails.verdict}{stand}", loc="left")
    axes.legend(frameon=False, loc="best")
    _quiet(axes)


def _references(axes, result, found, notes):
    like = found.likeness
    at = max(
        range(len(like.epsilon)),
        key=lambda e: np.ptp(like.observed[e]) / math.sqrt(max(like.observed[e].max(), 1e-300)),
    )
    angle = np.append(result.angle, 2 * np.pi) / np.pi

    def closed(curve):
        return np.append(curve, curve[0])

    axes.plot(angle, closed(like.observed[at]), color="black", lw=2.4, alpha=0.85, label="mean of the rows")
    for fit in like.fits:
        name = "single vectors" if fit.sums == 1 else f"sums of {fit.sums}"
        bold = like.like == fit.sums
        axes.plot(
            angle, closed(fit.curves[at]), color=_SUMS[fit.sums - 1], lw=1.6 if bold else 1.0, ls="-" if bold else (0, (4, 2)),
            label=f"{name} ({fit.explained:.0%})",
        )  # fmt: skip
    axes.set(xlim=(0, 2), xlabel="angle from $b_i$ toward $b_j$", ylabel="share of rows in the cone")
    axes.set_xticks([0, 0.5, 1, 1.5, 2], ["0", "π/2", "π", "3π/2", "2π"])
    axes.set_ylim(0, None)
    said = (
        "cannot tell" if like.like is None else "single vectors" if like.like == 1 else f"sums of {like.like} vectors"
    )
    axes.set_title(f"most like (ε = {number(like.epsilon[at])}): {said}", loc="left")
    axes.legend(frameon=False, loc="best")
    notes.add(
        "in brackets: share of the mean curve's pattern that the best such rows, with noise and isotropic ones, explain"
    )
    _quiet(axes)


def _norms(axes, result, found):
    values, counts = result.norms.bins()
    octave = np.floor(np.log2(values) * _PER_OCTAVE).astype(int)
    low = int(octave.min())
    rows = np.bincount(octave - low, weights=counts)
    edges = 2.0 ** ((low + np.arange(rows.size + 1)) / _PER_OCTAVE)
    median = found.norms["median"]
    axes.stairs(np.maximum(rows, 0.6), edges, baseline=0.6, fill=True, color="0.78")
    axes.set(xscale="log", yscale="log", xlabel="norm of the rows used", ylabel="rows")
    axes.set_ylim(0.6, rows.max() * 2)
    if edges[-1] < _WIDE * edges[0]:
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.axvline(median, color="black", lw=1.0, label=f"median {median:.3g}")
    for factor, name in ((10, "over_10"), (100, "over_100")):
        if edges[-1] > factor * median:
            axes.axvline(
                factor * median, color="#D55E00", lw=1.0, ls=":", label=f"over {factor}×: {found.norms[name]:.2%}"
            )
    said = found["norms"]
    related = (
        "" if math.isnan(said.p) else "; related to alignment" if said.says != "none" else "; not related to alignment"
    )
    axes.set_title(textwrap.shorten(f"how long rows are{related}", 60), loc="left")
    axes.legend(frameon=False, loc="best")
    _quiet(axes)
