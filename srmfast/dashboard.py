"""The figure of a specification curve: effects above, sorted, and the choices that made them below."""

import matplotlib
import numpy as np

from srmfast._notes import Notes
from srmfast.errors import InputError
from srmfast.excerpts import shorten
from srmfast.plots import STYLE, basis_words, check_picture, finish, new_figure, refuse_options, save_figure
from srmfast.readings import captions
from srmfast.robustness import VERDICTS

MOST = 128  # readings in one figure, at most
# Okabe and Ito's colours, and a shape each, so that neither has to be told from the other.
_MARKS = {
    "aligned": ("#0072B2", "o"),
    "anti-aligned": ("#D55E00", "v"),
    "mixed": ("#CC79A7", "D"),
    "none": ("0.25", "s"),
    "undecided": ("0.62", "X"),
}
_ROW = 0.19  # inches of an option
_SHADE = "0.955"


def plot(curve, path=None, *, dpi=200, **other):
    """Draw a specification curve.

    Parameters
    ----------
    curve : SpecificationCurve
    path : str or Path, optional
        Where to save the figure: .png, .pdf or .svg.
    dpi : int
    **other
        Options of other kinds of results, refused when they are set.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        An option that does not apply, too many readings, or a file that cannot be written.

    Notes
    -----
    Above, the effect of every reading with its interval, lowest first, coloured by its verdict; below, a row for each option
    with a mark where it was taken, and in how many of its readings the verdict holds.
    """
    refuse_options("a specification curve", other)
    path = check_picture(path)
    if len(curve) > MOST:
        raise InputError(f"at most {MOST} readings fit into one figure, got {len(curve)}; vary fewer choices")
    with matplotlib.rc_context(STYLE):
        figure = _draw(curve)
        if path is not None:
            save_figure(figure, path, dpi)
    return figure


def _draw(curve):
    choices = [(c, name, options) for c, (name, options) in enumerate(curve.choices) if len(options) > 1]
    rows = sum(len(options) for _, _, options in choices) + 0.5 * max(0, len(choices) - 1)
    below = max(_ROW, _ROW * rows)
    figure = new_figure(max(7.2, 2.6 + 0.085 * len(curve)), 2.6 + below + 1.1)
    grid = figure.add_gridspec(2, 1, height_ratios=[2.6, below])
    above = figure.add_subplot(grid[0])
    order = curve.order()
    _curve(above, curve, order)
    if choices:
        _dashboard(figure.add_subplot(grid[1], sharex=above), curve, order, choices)
    notes = Notes()
    for words in captions(curve):
        notes.add(words)
    joint = curve.joint()
    over = "" if joint.readings.all() else f" (of {joint.readings.sum()} readings)"
    words = [shorten(str(curve.attrs["store_name"]), 36), basis_words(str(curve.attrs["basis_name"])), curve.headline()]
    return finish(figure, " · ".join([*words, f"joint p = {joint.p:.2g}{over}"]), notes)


def _curve(axes, curve, order):
    axes.axhline(0.0, color="0.75", lw=0.7, zorder=0)
    place = np.arange(len(order))
    effect = np.nan_to_num(curve.effect[order])
    for word in VERDICTS:
        colour, shape = _MARKS[word]
        here = curve.verdict[order] == word
        ends = np.stack([effect - curve.low[order], curve.high[order] - effect])
        known = here & np.isfinite(ends).all(axis=0)
        axes.errorbar(
            place[known],
            effect[known],
            yerr=np.maximum(ends[:, known], 0.0),
            fmt="none",
            ecolor=colour,
            elinewidth=0.9,
            alpha=0.6,
        )
        for explained in (False, True):
            some = here & ((curve.explained[order] > 0) == explained) & ~np.isnan(curve.effect[order])
            if some.any():
                label = f"{word}, explained by mean and covariance" if explained else word
                _marks(axes, place[some], effect[some], colour, shape, explained, 26, label=label)
    empty = np.isnan(curve.effect[order])
    if empty.any():
        axes.plot(place[empty], effect[empty], "|", color="0.62", ms=6, label="no row near a plane: undecided")
    axes.set_ylabel("effect: share of pairs nearer\nto a basis vector − to a midpoint")
    axes.tick_params(axis="x", length=0, labelbottom=False)
    axes.spines["bottom"].set_visible(False)
    axes.set_xlim(-0.8, len(order) - 0.2)
    axes.margins(y=0.08)


def _marks(axes, x, y, colour, shape, hollow, size, label=None):
    face = "white" if hollow else colour
    axes.scatter(x, y, s=size, marker=shape, facecolors=face, edgecolors=colour, linewidths=0.9, zorder=3, label=label)


def _dashboard(axes, curve, order, choices):
    y, ticks, names = 0.0, [], []
    width, place = len(order), np.arange(len(order))
    colours = np.array([_MARKS[str(word)][0] for word in curve.verdict[order]])
    for at, (c, _, options) in enumerate(choices):
        if at % 2 == 0:
            axes.axhspan(y - 0.6, y + len(options) - 0.4, color=_SHADE, lw=0, zorder=0)
        for (words, held, n), option in zip(curve.by_option(c), range(len(options)), strict=True):
            taken = curve.chosen[order, c] == option
            axes.plot(place, np.full(width, y), ".", color="0.87", ms=1.6, zorder=1)
            axes.scatter(
                place[taken], np.full(taken.sum(), y), s=15, marker="s", c=colours[taken], linewidths=0, zorder=2
            )
            axes.text(width - 0.1, y, f"{held}/{n}", ha="left", va="center", fontsize=7, color="0.35")
            ticks.append(y)
            names.append(shorten(words, 30))
            y += 1.0
        y += 0.5
    axes.set_yticks(ticks, names, parse_math=False)
    axes.set_ylim(y - 0.9, -0.6)
    axes.tick_params(length=0, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(
        f"readings by effect; at the right: how many of an option's readings are {curve.leading}",
        fontsize=7.5,
        color="0.35",
    )
