"""Figures of neurons and classes: who answers to what, the planes through one neuron, and the rows from above."""

import math
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.colors import TwoSlopeNorm

from srmfast._notes import Notes
from srmfast._panels import ONE_SCALE, say_own_scale
from srmfast.errors import InputError
from srmfast.excerpts import number, plural, shorten
from srmfast.plots import STYLE, basis_words, check_picture, finish, new_figure, positions, refuse_options, save_figure
from srmfast.results import Result
from srmfast.selectivity import UNLABELLED, neurons_of

MOST = 24  # neurons in a map, at most
CLASSES = 30  # classes in a map, at most
VECTORS = 6  # neurons with curves in one figure, at most
_NAMED = 10  # classes with a colour of their own
_THIN = 40  # planes of a class that are drawn one by one
_COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A4988", "#8C6D31", "#4D4D4D", "#A6CE39",
)  # fmt: skip
_OTHER = "0.75"


def plot(what, path=None, *, vectors=None, epsilon=None, cloud=None, most=MOST, dpi=200, **other):
    """Draw which classes the neurons answer to.

    Parameters
    ----------
    what : Neurons or Result
        Neurons become a map of signed shares, neuron by class, those with the highest F1 on top. A result, which has
        angles, becomes the curves of the classes in the planes through some neurons (Figs. 3 and 4 of the paper).
    path : str or Path, optional
        Where to save the figure: .png, .pdf or .svg.
    vectors : sequence of int, optional
        Which neurons; those with the highest F1 when omitted.
    epsilon : float, optional
        Of those in a result.
    cloud : (ndarray (n, 2), ndarray (n,) of str, str), optional
        Points, their classes and how they were made, for a panel beside.
    most : int
        Neurons in a map, at most.
    dpi : int
    **other
        Options of other kinds of results, refused when they are set.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        An option that does not apply, or a file that cannot be written.
    """
    refuse_options("neurons", other)
    path = check_picture(path)
    with matplotlib.rc_context(STYLE):
        if isinstance(what, Result):
            figure = _curves(what, vectors, epsilon, cloud)
        elif epsilon is not None and epsilon != what.epsilon:
            raise InputError(f"neurons are those of ε = {what.epsilon:g}, got {epsilon:g}; count them again")
        else:
            figure = _map(what, vectors, cloud, most)
        if path is not None:
            save_figure(figure, path, dpi)
    return figure


def ranked_vectors(neurons, most):
    """Return the vectors with the highest F1 at either pole, each once."""
    return list(dict.fromkeys(row["vector"] for row in neurons.table()))[:most]


# ---- a map of neurons and classes ----------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """The part of `Neurons` that a map shows.

    Attributes
    ----------
    chosen : list of int
        Vectors, one a row.
    classes : ndarray of int
        One a column.
    values : ndarray, (vectors, classes)
        Signed shares.
    notes : list of str
    """

    chosen: list
    classes: np.ndarray
    values: np.ndarray
    notes: list


def choose(neurons, vectors, most):
    """Return what a map shows: these vectors, or so many of those with the highest F1, and the classes that have rows."""
    chosen = ranked_vectors(neurons, most) if vectors is None else _checked(vectors, len(neurons.basis))
    signed, notes = neurons.signed(), []
    if not chosen:
        chosen, notes = [0], [f"no row lies inside any cone at ε = {number(neurons.epsilon)}"]
    else:
        held = len(set(neurons.first.tolist()))
        if len(chosen) < held:
            notes.append(f"the {len(chosen)} of {plural(held, 'neuron')} that answer most, the highest F1 on top")
        if held < len(neurons.basis):
            notes.append("a vector b and its opposite −b in the basis are one neuron, named by the first")
    if neurons.attrs["centred"]:
        notes.append("the mean of the rows is subtracted")
    classes = np.flatnonzero(neurons.class_rows.sum(axis=0) > 0)
    if classes.size > CLASSES:
        reach = np.abs(signed[classes][:, chosen]).max(axis=1)
        notes.append(f"{classes.size - CLASSES:,} of {classes.size:,} classes with lower shares left out")
        classes = np.sort(classes[np.argsort(-reach, kind="stable")[:CLASSES]])
    return Shown(chosen, classes, signed[np.ix_(classes, chosen)].T, notes)


def map_into(axes, neurons, shown):
    """Draw a map into axes; return what a colour bar is made of."""
    top = max(float(np.abs(shown.values).max(initial=0.0)), 1e-12)
    mesh = axes.pcolormesh(
        shown.values, cmap="PuOr_r", norm=TwoSlopeNorm(0.0, -top, top), rasterized=True, edgecolors="white", lw=0.4
    )
    axes.invert_yaxis()
    names = [str(neurons.label[c]) for c in shown.classes]
    axes.set_xticks(
        np.arange(len(names)) + 0.5, [shorten(name, 18) for name in names], rotation=0 if _short(names) else 90, parse_math=False,
    )  # fmt: skip
    axes.set_yticks(np.arange(len(shown.chosen)) + 0.5, [str(i) for i in shown.chosen])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(
        ylabel="neuron (number i of the basis vector)",
        xlabel="concept" if neurons.attrs["several_classes"] else "class",
    )
    _mark(axes, neurons, shown)
    return mesh


def map_bar(axes, mesh):
    """Give a map its colour bar."""
    bar = axes.figure.colorbar(
        mesh, ax=axes, pad=0.02, aspect=25, label="share of the class at $b_i$ less that at $-b_i$"
    )
    bar.outline.set_visible(False)


def _short(names):
    return all(len(name) <= 3 for name in names)


def _map(neurons, vectors, cloud, most):
    shown = choose(neurons, vectors, most)
    chosen, classes, notes = shown.chosen, shown.classes, shown.notes
    short = _short([str(neurons.label[c]) for c in classes])
    width = max(4.2, 0.26 * classes.size + 2.0)
    height = max(3.2, 0.22 * len(chosen) + 1.7) + (0.0 if short else 0.9)
    figure = new_figure(width + (4.4 if cloud else 0.0), height)
    grid = figure.add_gridspec(1, 2 if cloud else 1, width_ratios=[width, 4.4] if cloud else None)
    axes = figure.add_subplot(grid[0, 0])
    map_bar(axes, map_into(axes, neurons, shown))
    if cloud:
        order = np.argsort(-np.abs(shown.values).max(axis=0), kind="stable")[:_NAMED]
        names = [str(neurons.label[c]) for c in classes[np.sort(order)]]
        _cloud(figure.add_subplot(grid[0, 1]), cloud, _colours(names))
    words = [shorten(str(neurons.attrs["store_name"]), 36), basis_words(str(neurons.attrs["basis_name"]))]
    words += [plural(int(neurons.rows_used.sum()), "row"), f"ε = {number(neurons.epsilon)}"]
    return finish(figure, " · ".join(words), Notes(*notes))


def _mark(axes, neurons, shown):
    """Mark the cells of classes that a pole answers to beyond chance."""
    if neurons.p is None:
        shown.notes.append(f"no test: {neurons.attrs['untested']}")
        return
    small = np.argwhere(neurons.p[np.ix_(shown.classes, shown.chosen)].min(axis=-1) <= 0.05)
    axes.plot(*(small.T + 0.5), ls="", marker="o", ms=2.6, color="black", mfc="white", mew=0.8)
    said = "dots: class and cone meet" if small.size else "no class and cone meet"
    shown.notes.append(f"{said} more often than by chance, p ≤ .05 corrected for all classes and cones")


# ---- curves of classes in planes through a neuron ------------------------------------------------------


def _curves(result, vectors, epsilon, cloud):
    found = neurons_of(result, epsilon) if epsilon is not None else neurons_of(result)
    e = positions(result, found.epsilon)[0]
    chosen = ranked_vectors(found, 4) if vectors is None else _checked(vectors, len(result.basis))
    missing = [i for i in chosen if not (result.plane_i == i).any()]
    if missing or not chosen:
        raise InputError(
            f"a curve needs a kept plane that starts on the vector, got none for {missing or 'any'}; use --planes permutations and "
            "--keep all"
        )
    left = len(chosen) - VECTORS
    chosen = chosen[:VECTORS]
    names = [str(name) for name in result.label]
    signed = found.signed()
    reach = np.abs(signed[:, chosen]).max(axis=1)
    named = [names[c] for c in np.argsort(-reach, kind="stable") if names[c] != UNLABELLED and result.rows[c]][:_NAMED]
    colours = _colours(sorted(named, key=names.index))
    panels = len(chosen) + bool(cloud)
    columns = min(panels, 2)
    figure = new_figure(4.3 * columns + 0.4, 2.9 * math.ceil(panels / columns) + 0.9)
    grid = figure.add_gridspec(math.ceil(panels / columns), columns)
    drawn = []
    half, rows = result.angle.size // 2, np.maximum(result.rows, 1)
    turn = np.append(result.angle, 2 * np.pi)
    for n, i in enumerate(chosen):
        axes = figure.add_subplot(grid[divmod(n, columns)])
        planes = np.flatnonzero(result.plane_i == i)
        thin = planes[np.unique(np.linspace(0, planes.size - 1, _THIN).astype(int))]
        for c in sorted(range(len(names)), key=lambda c: names[c] in colours):
            if not result.rows[c]:
                continue
            colour = colours.get(names[c], _OTHER)
            curves = result.counts[c, e, thin] / rows[c]
            curves = _closed(curves - np.roll(curves, -half, axis=-1))
            axes.plot(turn, curves.T, color=colour, lw=0.4, alpha=0.25)
            mean = result.counts[c, e, planes].mean(axis=0) / rows[c]
            axes.plot(
                turn,
                _closed(mean - np.roll(mean, -half)),
                color=colour,
                lw=1.5,
                label=names[c] if names[c] in colours else "others",
            )
        _angles(axes)
        axes.set_title(f"neuron {i}, {plural(planes.size, 'plane')}", loc="left")
        drawn.append(axes)
        if n % columns == 0:
            axes.set_ylabel("f(θ) − f(θ + π)")
        _ranking(axes, signed[:, i], names, colours)
    tops = [max(map(abs, axes.get_ylim())) for axes in drawn]
    for axes in drawn:
        if max(tops) <= ONE_SCALE * min(tops):
            axes.set_ylim(-max(tops), max(tops))
        elif len(drawn) > 1:
            say_own_scale(axes, under=False)
    if cloud:
        _cloud(figure.add_subplot(grid[divmod(len(chosen), columns)]), cloud, colours)
    words = [shorten(str(result.attrs["store_name"]), 36), basis_words(str(result.attrs["basis_name"]))]
    words += [plural(int(result.attrs["rows"]["used"]), "row"), f"ε = {number(found.epsilon)}"]
    notes = [
        "thick: mean over the planes through the neuron; thin: one plane each; beside: the share of each class at b_i minus that at −b_i"
    ]
    notes += [f"{plural(left, 'neuron')} left out"] if left > 0 else []
    return finish(figure, " · ".join(words), Notes(*notes))


def _ranking(axes, signed, names, colours):
    """List the classes beside the axes by their signed share at the neuron, in their colours."""
    order = [c for c in np.argsort(-signed, kind="stable") if names[c] in colours]
    step = min(0.085, 0.96 / max(len(order), 1))
    for n, c in enumerate(order):
        sign = "" if abs(signed[c]) < 0.005 else "+" if signed[c] > 0 else "−"
        axes.text(
            1.03, 0.98 - step * n, f"{shorten(names[c], 14)}  {sign}{abs(signed[c]):.2f}", transform=axes.transAxes, ha="left", va="top",
            fontsize=7, color=colours[names[c]], parse_math=False,
        )  # fmt: skip


def _angles(axes):
    axes.set_xlim(0.0, 2 * np.pi)
    axes.set_xticks(np.arange(5) * np.pi / 2, ["$b_i$", "π/2", "$-b_i$", "3π/2", "$b_i$"])
    axes.axhline(0.0, color="0.8", lw=0.7, zorder=0)
    axes.axvline(np.pi, color="0.88", lw=0.8, zorder=0)


# ---- rows from above ------------------------------------------------------------------------------------


def _cloud(axes, cloud, colours):
    points, classes, made = cloud
    for name in [*(set(classes.tolist()) - set(colours)), *colours]:
        some = points[classes == name]
        axes.plot(
            *some.T,
            ls="",
            marker=".",
            ms=2.2 if len(points) > 1500 else 4,
            mew=0,
            color=colours.get(name, _OTHER),
            rasterized=True,
        )
    for n, (name, colour) in enumerate(colours.items()):
        axes.text(
            1.02, 0.98 - 0.075 * n, shorten(str(name), 18), transform=axes.transAxes, ha="left", va="top", fontsize=7.5,
            color=colour, parse_math=False,
        )  # fmt: skip
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_title(f"{plural(len(points), 'row')}\n{made}", loc="left")


def _colours(names):
    return dict(zip(names, _COLOURS, strict=False))


def _checked(vectors, k):
    chosen = [int(i) for i in np.atleast_1d(vectors)]
    wrong = [i for i in chosen if not 0 <= i < k]
    if wrong:
        raise InputError(f"vectors must be numbers in [0, {k - 1}], got {wrong[0]}")
    return chosen


def _closed(curves):
    return np.concatenate([curves, curves[..., :1]], axis=-1)
