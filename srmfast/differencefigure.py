"""The picture of a comparison: the mean curves of both results, and below them their difference with its band."""

import math

import matplotlib
import numpy as np

from srmfast._notes import Notes
from srmfast.atlaslines import short_names
from srmfast.excerpts import number, shorten
from srmfast.plots import STYLE, basis_words, check_picture, finish, new_figure, save_figure

_A, _B, _DIFFERENCE = "#0072B2", "#D55E00", "0.15"  # Okabe and Ito
_EPSILONS, _PANELS, _ACROSS = 4, 12, 4  # of one pair, pairs with panels of their own, and panels side by side, at most


def draw(differences, path=None, *, dpi=200):
    """Draw how two results differ.

    Parameters
    ----------
    differences : Differences
    path : str or Path, optional
        Where to save it.
    dpi : int

    Returns
    -------
    matplotlib.figure.Figure
    """
    path, pairs = check_picture(path), differences.pairs
    with matplotlib.rc_context(STYLE):
        if len(pairs) == 1:
            figure = _curves(pairs * min(_EPSILONS, pairs[0].epsilon.size), range(_EPSILONS), None)
        elif len(pairs) <= _PANELS:
            figure = _curves(pairs, [0] * len(pairs), _names(pairs))
        else:
            figure = _layers(pairs)
        if path is not None:
            save_figure(figure, path, dpi)
    return figure


def _names(pairs):
    several = len({pair.first[1] for pair in pairs}) > 1
    return [
        shorten(name, 30)
        for name in short_names(["/".join(pair.first) if several else pair.first[0] for pair in pairs])
    ]


def _curves(pairs, at, names):
    """Draw two panels for each pair and ε: the curves, and their difference."""
    columns = min(len(pairs), _ACROSS)
    rows = math.ceil(len(pairs) / columns)
    figure, notes = new_figure(max(5.4, 2.6 * columns + 0.7), rows * 3.1 + 1.1), Notes()
    grid = figure.add_gridspec(2 * rows, columns, height_ratios=[0.62, 0.38] * rows)
    for n, (pair, e) in enumerate(zip(pairs, at, strict=False)):
        row, column = divmod(n, columns)
        above = figure.add_subplot(grid[2 * row, column])
        below = figure.add_subplot(grid[2 * row + 1, column], sharex=above)
        turn = np.append(pair.angle, 2 * math.pi)

        def closed(values):
            return np.append(values, values[0])

        for values, colour, name in zip(pair.curves[:, e], (_A, _B), ("A", "B"), strict=True):
            above.plot(turn, closed(values), color=colour, linewidth=1.3, label=_label(pair, name, names is None))
        band = closed(pair.low[e]), closed(pair.high[e])
        if np.isfinite(band).all():
            below.fill_between(turn, *band, color="0.8", linewidth=0, label="95 % at each angle by itself")
        below.plot(turn, closed(pair.size[e]), color=_DIFFERENCE, linewidth=1.1, label="B − A")
        below.axhline(0, color="0.5", linewidth=0.6)
        for axes in (above, below):
            for place in {0.0, pair.shared} - {None}:
                axes.axvline(place, color="0.6", linewidth=0.6, linestyle=":", zorder=0)
            axes.set_xlim(0, 2 * math.pi)
            axes.set_xticks(np.arange(5) * math.pi / 2, ["0", "π/2", "π", "3π/2", "2π"])
        above.tick_params(labelbottom=False)
        above.set_ylim(bottom=0)
        title = f"ε = {number(pair.epsilon[e])}" if names is None else names[n]
        above.set_title(title, loc="left", parse_math=False)
        if n + columns >= len(pairs):
            below.set_xlabel("angle from $b_i$")
        if not column:
            above.set_ylabel("share of rows,\nmean of planes")
            below.set_ylabel("B − A")
    return finish(figure, _title(pairs, names is None), _noted(notes, pairs))


def _layers(pairs):
    """Draw the differences of many pairs as points with their intervals."""
    tested = all(pair.effects for pair in pairs)
    names, notes = _names(pairs), Notes()
    figure = new_figure(max(6.4, min(14.0, 1.8 + 0.24 * len(pairs))), 4.2)
    axes = figure.add_subplot()
    for n, pair in enumerate(pairs):
        changes = pair.effects if tested else pair.contrasts
        if changes:
            change = changes[0]
            axes.plot([n], [change.size], "o", color=_B if change.beyond else "0.6", markersize=4)
            axes.vlines(n, change.low, change.high, color=_B if change.beyond else "0.6", linewidth=1.1)
    axes.axhline(0, color="0.5", linewidth=0.6)
    axes.set_xticks(range(len(names)), names, rotation=90, parse_math=False)
    axes.set_ylabel("difference of the effect\nB − A" if tested else "difference of on − midway\nB − A, share of rows")
    notes.add("grey: the 95 % interval, of each by itself, holds 0")
    return finish(figure, _title(pairs, False), _noted(notes, pairs))


def _label(pair, which, named):
    store, basis = pair.first if which == "A" else pair.second
    same = pair.first[1] == pair.second[1]
    return f"{which}: {shorten(store if same else f'{store}, {basis}', 36)}" if named else which


def _title(pairs, named):
    bases = list(dict.fromkeys(key[1] for pair in pairs for key in (pair.first, pair.second)))
    words = [basis_words(bases[0])] if len(bases) == 1 else []
    words += [] if named else [f"{len(pairs)} pairs", f"ε = {number(pairs[0].epsilon[0])}"]
    return " · ".join(["what differs between A and B", *words])


def _noted(notes, pairs):
    folds = "groups" if pairs[0].grouped else "rows"
    if all(pair.paired for pair in pairs):
        notes.add(f"intervals are paired over {pairs[0].folds} folds of {folds}")
    else:
        notes.add("intervals of results with other rows are unpaired: variances are added")
    return notes
