"""Single pictures in the axes of a figure that the user makes: planes, means, maps and discs, in the user's own style."""

import numpy as np

from srmfast import _panels, classmaps, discs
from srmfast._notes import Notes
from srmfast._panels import angle_axis, closed, closed_angles, mean_curve, prepare, value_name
from srmfast.errors import InputError
from srmfast.excerpts import common_epsilons, first_hit, label_peaks, nothing_hit, number, part, shorten
from srmfast.plots import DRAWN, check_label, positions
from srmfast.projection import Projection
from srmfast.results import Result, Results
from srmfast.selectivity import Neurons

KINDS = ("auto", "lines", "means", "heatmap")
_CURVES = 8  # of means in one picture, at most
_ONE_SCALE = 4.0  # means that peak within this factor share an axis as they are
_COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#7A4988",
    "#8C6D31",
)  # Okabe and Ito, and two
_NULL = "0.45"


def draw(what, ax, *, path=None, kind="auto", **options):
    """Draw a result into axes; `.plot(ax=ax)` of every result comes here.

    Parameters
    ----------
    what : Result, Results, Neurons or Projection
    ax : matplotlib.axes.Axes
    path : None
        Refused: a figure of one's own is saved by its own `savefig`.
    kind : str
        Of a Result: `lines`, `means`, `heatmap`, or `auto`: lines where there is one ε, else means.
    **options
        Those of `lines`, `means`, `heatmap`, `neuron_map` or `disc`.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        An option that does not apply to one picture.
    """
    if path is not None:
        raise InputError(
            f"a picture in given axes is saved with their figure, got path {path}; use ax.figure.savefig(path)"
        )
    if kind not in KINDS:
        remedy = "; draw each label by label=…" if kind == "labels" else ""
        raise InputError(f"kind of a picture in given axes must be one of {', '.join(KINDS)}, got {kind!r}{remedy}")
    if isinstance(what, Result):
        if kind == "auto":
            kind = "lines" if len(positions(what, options.get("epsilon"))) == 1 else "means"
        made = {"lines": lines, "means": means, "heatmap": heatmap}[kind]
    elif isinstance(what, Results) and type(what) is Results and kind in ("auto", "means"):
        made, kind = means, "means"
    elif isinstance(what, (Neurons, Projection)) and kind == "auto":
        made, kind = (neuron_map, "neurons") if isinstance(what, Neurons) else (disc, "a disc")
    else:
        remedy = "draw its members one by one" if isinstance(what, Results) else f"leave out kind={kind}"
        raise InputError(f"one pair of axes does not hold {kind} of {type(what).__name__}; {remedy}")
    known = made.__kwdefaults__
    for name, value in options.items():
        if name not in known and value is not None:
            raise InputError(f"a picture of {kind} in given axes takes no {name}, got {value}; leave it out")
    return made(what, ax, **{name: value for name, value in options.items() if name in known})


def lines(result, ax=None, *, epsilon=None, label=None, signed=False, planes=None, legend=True, title=None):
    """Draw the planes of a result at one ε, a line each, with their mean and references.

    Parameters
    ----------
    result : Result
    ax : matplotlib.axes.Axes, optional
        The current ones of pyplot when omitted.
    epsilon : float, optional
        Of those in the result; the first at which a plane was hit when omitted.
    label : str, optional
        Rows of one label; all rows when omitted.
    signed : bool
        Draw f(θ) − f(θ + π).
    planes : int or sequence of (i, j), optional
        Only so many of the highest planes, or these.
    legend : bool
    title : str, optional
        Names of store, basis and ε when omitted; "" for none.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        An ε, label or plane that is not in the result.
    """
    ax = _current(ax)
    e = first_hit(result) if epsilon is None else _single(positions(result, epsilon), "lines")
    check_label(result, label)
    one = part(result, label=label, epsilon=[e])
    _panels.lines(ax, prepare(one, signed, planes, limit=DRAWN), Notes())
    return _finish(ax, one, label, signed, legend, title)


def means(what, ax=None, *, epsilon=None, label=None, signed=False, legend=True, title=None):
    """Draw means over all planes as curves: one for each result, ε or label, whichever there are several of.

    Parameters
    ----------
    what : Result or Results
        Of several results a curve each, at an ε that all have.
    ax : matplotlib.axes.Axes, optional
        The current ones of pyplot when omitted.
    epsilon : float or sequence of float, optional
        Of those in the result.
    label : str, optional
        Rows of one label.
    signed : bool
        Draw f(θ) − f(θ + π).
    legend : bool
    title : str, optional
        Made of what the curves have in common when omitted; "" for none.

    Returns
    -------
    matplotlib.axes.Axes
        Where the curves' peaks differ by more than a factor of 4, each is divided by its own, which the legend tells.

    Raises
    ------
    InputError
        An ε or a label that is not in the result.
    """
    ax = _current(ax)
    parts = _of_results(what, epsilon, label) if isinstance(what, Results) else _of_one(what, epsilon, label)
    first = next(iter(parts.values()))
    angle_axis(ax, first, marks=len({one.basis.shape for one in parts.values()}) == 1)
    shown = dict(list(parts.items())[:_CURVES])
    curves = {name: closed(mean_curve(one, signed)) for name, one in shown.items()}
    peaks = {name: float(np.abs(curve).max()) for name, curve in curves.items()}
    hit = [peak for peak in peaks.values() if peak > 0]
    scaled = bool(hit) and max(hit) > _ONE_SCALE * min(hit)
    for (name, curve), colour in zip(curves.items(), _COLOURS, strict=False):
        words = f"{name}, peak {number(peaks[name])}" if scaled else name
        values = curve / (peaks[name] or 1.0) if scaled else curve
        angles = closed_angles(shown[name])
        (line,) = ax.plot(angles, values, color=colour, lw=1.6, label=words, zorder=3)
        line.sticky_edges.y.append(0.0)
    if len(parts) > len(shown):
        ax.plot([], [], " ", label=f"{len(parts) - len(shown)} more not drawn")
    nulls = {float(one.null()[0]) for one in shown.values()}
    if len(nulls) == 1 and not scaled and not signed and 0 < min(nulls) <= 2 * max(hit, default=0.0):
        ax.axhline(nulls.pop(), color=_NULL, lw=1.0, ls=":", label="isotropic rows")
    if not hit:
        ax.text(
            0.5,
            0.5,
            nothing_hit(first).replace("; ", "\n"),
            transform=ax.transAxes,
            ha="center",
            va="center",
            color=_NULL,
        )
    ax.update_datalim([(0.0, 0.0)])
    ax.autoscale_view(scalex=False)
    made = _finish(
        ax, first, label, signed, legend and len(curves) > 1, _joint(what, shown) if title is None else title
    )
    ax.set_ylabel(f"mean of f{'(θ) − f(θ + π)' if signed else ''}{' / its peak' if scaled else ''}")
    return made


def heatmap(result, ax=None, *, epsilon=None, label=None, signed=False, colorbar=True, title=None):
    """Draw the mean over all planes as a map over ε and angle.

    Parameters
    ----------
    result : Result
        With two epsilons or more.
    ax : matplotlib.axes.Axes, optional
        The current ones of pyplot when omitted.
    epsilon : sequence of float, optional
        Some of those in the result.
    label : str, optional
        Rows of one label.
    signed : bool
        Draw f(θ) − f(θ + π).
    colorbar : bool
        Whether to take some of the room of the axes for a colour bar.
    title : str, optional
        Made of store and basis when omitted; "" for none.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        Fewer than two ε; an ε or a label that is not in the result.
    """
    ax = _current(ax)
    at = positions(result, epsilon)
    if len(at) < 2:
        raise InputError(f"kind heatmap needs at least 2 epsilons, got {len(at)}; use kind lines")
    check_label(result, label)
    pooled = part(result, label=label, epsilon=at)
    _panels.heatmap(ax, pooled, signed, Notes(), bar="inside" if colorbar else None)
    return _titled(ax, _names(pooled, label) if title is None else title)


def neuron_map(neurons, ax=None, *, vectors=None, most=classmaps.MOST, colorbar=True, title=None):
    """Draw which classes the neurons answer to: signed shares, neuron by class.

    Parameters
    ----------
    neurons : Neurons
    ax : matplotlib.axes.Axes, optional
        The current ones of pyplot when omitted.
    vectors : sequence of int, optional
        Which neurons; those with the highest F1 when omitted.
    most : int
        So many of these at most.
    colorbar : bool
        Whether to take some of the room of the axes for a colour bar.
    title : str, optional
        Made of store, basis and ε when omitted; "" for none.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _current(ax)
    shown = classmaps.choose(neurons, vectors, most)
    mesh = classmaps.map_into(ax, neurons, shown)
    if colorbar:
        classmaps.map_bar(ax, mesh)
    head = [shorten(str(neurons.attrs[name]), 28) for name in ("store_name", "basis_name")]
    return _titled(ax, " · ".join([*head, f"ε = {number(neurons.epsilon)}"]) if title is None else title)


def disc(projection, ax=None, *, epsilon=None, label=None, plane=None, against="auto", colorbar=True, title=None):
    """Draw one disc of a projection: a plane, or all of them, seen from above.

    Parameters
    ----------
    projection : Projection
    ax : matplotlib.axes.Axes, optional
        The current ones of pyplot when omitted.
    epsilon : float, optional
        Of those in the projection; the first when omitted.
    label : str, optional
        Rows of one label; all rows when omitted.
    plane : (int, int), optional
        One kept plane; the sum of all planes when omitted.
    against : {"auto", "isotropic", "none"}
        What the counts are divided by; see `srmfast.discs.plot`.
    colorbar : bool
        Whether to take some of the room of the axes for a colour bar.
    title : str, optional
        Made of store, plane and ε when omitted; "" for none.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        An ε, label, plane or comparison that there is not.
    """
    ax = _current(ax)
    name, mesh, words = discs.disc_into(ax, projection, epsilon, label, plane, against)
    if colorbar:
        discs.disc_bar(ax, mesh, words)
    e = 0 if epsilon is None else positions(projection, epsilon)[0]
    head = [shorten(str(projection.attrs["store_name"]), 28), *([] if label is None else [shorten(str(label), 20)])]
    ax.set_title("")
    return _titled(ax, " · ".join([*head, name, f"ε = {number(projection.epsilon[e])}"]) if title is None else title)


# ---- what they share -----------------------------------------------------------------------------------


def _current(ax):
    if ax is None:
        import matplotlib.pyplot

        return matplotlib.pyplot.gca()
    if not hasattr(ax, "get_figure") or not hasattr(ax, "plot"):
        raise InputError(
            f"ax must be the axes of a matplotlib figure, got {type(ax).__name__}; see matplotlib.pyplot.subplots"
        )
    return ax


def _single(at, what):
    if len(at) != 1:
        raise InputError(f"{what} in one pair of axes are of one epsilon, got {len(at)}; use kind means or heatmap")
    return at[0]


def _of_results(results, epsilon, label):
    """Return the result of one label and one ε of each member, by what tells members apart."""
    if not len(results):
        raise InputError("a picture holds at least one result, got none")
    epsilon = next(iter(common_epsilons(results)), None) if epsilon is None else epsilon
    stores, bases = (len({key[n] for key in results}) for n in (0, 1))
    found = {}
    for (store, basis), member in results.items():
        at = first_hit(member) if epsilon is None else _single(positions(member, epsilon), "means of several results")
        check_label(member, label)
        words = [store] * (stores > 1 or bases == 1) + [basis] * (bases > 1)
        found[_unique(found, ", ".join(shorten(word, 24) for word in words))] = part(member, label=label, epsilon=[at])
    return found


def _of_one(result, epsilon, label):
    """Return the result of each ε, of each label where there is one ε, or of all rows."""
    at = positions(result, epsilon)
    check_label(result, label)
    if len(at) > 1:
        some = [at[n] for n in np.unique(np.linspace(0, len(at) - 1, min(len(at), _CURVES)).round().astype(int))]
        return {f"ε = {number(result.epsilon[e])}": part(result, label=label, epsilon=[e]) for e in some}
    everything = {"all rows": part(result, label=label, epsilon=at)}
    if label is not None or result.label.size < 2:
        return everything
    ranked = np.argsort(-label_peaks(result, at[0]), kind="stable")
    names = [str(result.label[c]) for c in ranked if str(result.label[c]) != "all"][: _CURVES - 1]
    found = dict(everything)
    for name in names:
        found[_unique(found, shorten(name, 24))] = part(result, label=name, epsilon=at)
    return found


def _unique(found, name):
    return (
        name
        if name not in found
        else next(f"{name} {n}" for n in range(2, len(found) + 3) if f"{name} {n}" not in found)
    )


def _names(one, label):
    words = [shorten(str(one.attrs[name]), 28) for name in ("store_name", "basis_name")]
    return " · ".join(words + ([] if label is None else [shorten(str(label), 20)]))


def _joint(what, parts):
    """Return a title of what all curves have in common."""
    first = next(iter(parts.values()))
    epsilons = {float(one.epsilon[0]) for one in parts.values()}
    words = [
        shorten(str(first.attrs[name]), 28)
        for name in ("store_name", "basis_name")
        if len({one.attrs[name] for one in parts.values()}) == 1
    ]
    labels = {str(one.label[0]) for one in parts.values()}
    words += [shorten(label, 20) for label in labels if len(labels) == 1 and label != "all"]
    return " · ".join(words + [f"ε = {number(epsilon)}" for epsilon in epsilons if len(epsilons) == 1])


def _finish(ax, one, label, signed, legend, title):
    ax.set_xlabel("angle from $b_i$ toward $b_j$")
    ax.set_ylabel(value_name(signed))
    if legend and ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize="small", framealpha=0.8, edgecolor="none")
    return _titled(ax, f"{_names(one, label)} · ε = {number(one.epsilon[0])}" if title is None else title)


def _titled(ax, title):
    if title:
        ax.set_title(title, fontsize="medium", parse_math=False)
    return ax
