"""Figures of a result: ensembles of planes, epsilon maps, small multiples of labels, bases side by side."""

import math
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from srmfast._panels import FAINT, heatmap, lines, self_curve, value_name
from srmfast.errors import InputError
from srmfast.report import (
    first_hit,
    label_peaks,
    number,
    offset_note,
    part,
    plural,
    shorten,
)
from srmfast.results import Results

KINDS = ("auto", "lines", "heatmap", "labels")
SUFFIXES = (".png", ".pdf", ".svg")
DRAWN, DRAWN_SMALL = 400, 120  # planes drawn in one panel, at most: alone, and among many panels
PANELS, LABELS, MEMBERS = 4, 24, 36  # epsilons, labels and results in one figure, at most
_ONE_SCALE = 4.0  # stores whose means peak within this factor share one y axis, others one a row
_STYLE = {
    "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 7.5, "figure.titlesize": 9.5,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "axes.linewidth": 0.7, "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.7, "ytick.major.width": 0.7, "font.family": "DejaVu Sans", "svg.hashsalt": "srmfast",
    "pdf.fonttype": 42, "svg.fonttype": "path",
}  # fmt: skip
_DATELESS = {".png": None, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}  # same result, same bytes


def plot(result, path=None, *, kind="auto", epsilon=None, label=None, signed=False, planes=None, dpi=200):
    """Draw a result.

    Parameters
    ----------
    result : Result or Results
        Several results become a grid: a row for each store, a column for each basis, one y axis.
    path : str or Path, optional
        Where to save the figure: .png, .pdf or .svg.
    kind : str
        `lines`: the curves of the planes with their mean; `heatmap`: the mean over ε and angle; `labels`: a panel
        for each label; `auto`: whichever fits.
    epsilon : float or sequence of float, optional
        Of those in the result. Every one when omitted; where one is needed, the first at which a plane was hit.
    label : str, optional
        Rows of one label; all rows when omitted.
    signed : bool
        Draw f(θ) − f(θ + π).
    planes : int or sequence of (i, j), optional
        Draw only this many of the highest planes, or only these. The mean is always over all.
    dpi : int
        Dots per inch of a .png and of what is drawn as pixels in the others.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        An unknown kind, ε, label, plane or suffix; or a file that cannot be written.
    """
    if kind not in KINDS:
        raise InputError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    path = _check_path(path)
    with matplotlib.rc_context(_STYLE):
        if isinstance(result, Results):
            figure = _draw_results(result, kind, epsilon, label, signed, planes)
        else:
            figure = _draw_result(result, kind, epsilon, label, signed, planes)
        if path is not None:
            _save(figure, path, dpi)
    return figure


# ---- figures -----------------------------------------------------------------------------------------


def _draw_result(result, kind, epsilon, label, signed, planes):
    at = _positions(result, epsilon)
    if label is not None and str(label) not in [str(name) for name in result.label]:
        raise InputError(f"label must be one of {_listed(result.label)}, got {label!r}")
    several = result.label.size > 1 and label is None
    if kind == "labels" and not several:
        raise InputError(f"kind labels needs several labels, got {_listed([label or result.label[0]])}; use kind lines")
    if kind == "heatmap" and len(at) < 2:
        raise InputError(f"kind heatmap needs at least 2 epsilons, got {len(at)}; use kind lines")
    if kind == "labels" or (kind == "auto" and several):
        return _draw_labels(result, at, epsilon is None, signed, planes)
    pooled = part(result, label=label, epsilon=at)
    if kind == "heatmap":
        figure = _figure(7.0, 3.6)
        notes = heatmap(figure, figure.add_subplot(), pooled, signed)
    else:
        figure, notes = _draw_lines(pooled, kind == "auto" and len(at) > 1, signed, planes)
    where = [] if label is None else [f"label {shorten(str(label), 24)}"]
    words = [*where, f"ε = {_listed(pooled.epsilon, most=5)}"]
    return _finish(figure, _title(result, int(pooled.rows[0]), words), [*notes, offset_note(result)])


def _draw_lines(pooled, with_map, signed, planes):
    """Return a figure with a panel for each epsilon, and the map below them when wanted, and its notes."""
    e = pooled.epsilon.size
    shown = np.unique(np.linspace(0, e - 1, min(e, PANELS)).round().astype(int)).tolist()
    columns = len(shown) if len(shown) < 4 else 2
    height = math.ceil(len(shown) / columns)
    figure = _figure(max(7.0, 3.4 * columns), 3.7 if e == 1 else 2.7 * height + 2.6 * with_map)
    grid = figure.add_gridspec(height + with_map, columns)
    notes = [f"{len(shown)} of {e} ε have a panel"] if len(shown) < e else []
    for n, position in enumerate(shown):
        axes = figure.add_subplot(grid[n // columns, n % columns])
        one = part(pooled, epsilon=[position])
        drawn = lines(axes, one, signed, planes, limit=DRAWN)
        if e > 1:
            axes.set_title(f"ε = {number(one.epsilon[0])}", loc="left")
        if n % columns == 0 and one.total.any():
            axes.set_ylabel(value_name(signed))
        if n // columns == height - 1:
            axes.set_xlabel("angle from $b_i$ toward $b_j$")
        notes += [note for note in drawn if note not in notes]
    if with_map:
        notes += heatmap(figure, figure.add_subplot(grid[height, :]), pooled, signed)
    return figure, notes


def _draw_labels(result, at, free, signed, planes):
    """Return the figure of small multiples: a panel for each label, those with the highest peak first."""
    only = first_hit(result) if free else at[0]
    peaks = label_peaks(result, only)
    order = np.argsort(-peaks, kind="stable")[:LABELS]
    columns = min(len(order), 3 if len(order) <= 6 else 4 if len(order) <= 12 else 6)
    height = math.ceil(len(order) / columns)
    figure = _figure(max(7.0, 1.9 * columns), 1.6 * height + 1.2)
    panels = figure.subplots(height, columns, sharex=True, sharey=True, squeeze=False)
    reference = self_curve(part(result, epsilon=[only]), signed)
    notes = []
    for n, axes in enumerate(panels.flat):
        if n >= len(order):
            axes.set_axis_off()
            continue
        one = part(result, label=result.label[order[n]], epsilon=[only])
        drawn = lines(axes, one, signed, planes, limit=DRAWN_SMALL, reference=reference)
        axes.set_title(shorten(str(one.label[0]), 20), loc="left", parse_math=False)
        axes.set_title(plural(int(one.rows[0]), "row"), loc="right", fontsize=7, color=FAINT)
        below = n + columns >= len(order)
        axes.tick_params(labelbottom=below)
        if below:
            axes.set_xlabel("angle from $b_i$")
        if n % columns == 0:
            axes.set_ylabel(value_name(signed) if signed else "share of rows")
        notes += [note for note in drawn if note not in notes]
    left = result.label.size - len(order)
    notes += [f"{plural(left, 'label')} with lower peaks left out"] if left else []
    words = [f"ε = {number(result.epsilon[only])}", "labels by peak"]
    return _finish(figure, _title(result, result.attrs["rows"]["used"], words), [*notes, offset_note(result)])


def _draw_results(results, kind, epsilon, label, signed, planes):
    """Return the grid of several results: stores down, bases across."""
    if kind in ("labels", "heatmap"):
        raise InputError(f"kind of several results must be auto or lines, got {kind}; plot one of them")
    if not 1 <= len(results) <= MEMBERS:
        raise InputError(f"a figure holds 1 to {MEMBERS} results, got {len(results)}; plot fewer of them")
    stores, bases = (list(dict.fromkeys(key[n] for key in results)) for n in (0, 1))
    parts = {}
    for key, member in results.items():
        at = _positions(member, epsilon)
        if label is not None and str(label) not in [str(name) for name in member.label]:
            raise InputError(f"label must be one of {_listed(member.label)}, got {label!r}")
        parts[key] = part(member, label=label, epsilon=[at[0] if epsilon is not None else first_hit(member)])
    figure = _figure(max(7.0, 2.5 * len(bases) + 0.6), 2.1 * len(stores) + 1.3)
    peaks = [max(one.mean().max() for key, one in parts.items() if key[0] == store) for store in stores]
    share = True if max(peaks) <= _ONE_SCALE * min(peaks) else "row"
    panels = figure.subplots(len(stores), len(bases), sharex=True, sharey=share, squeeze=False)
    notes = []
    for (r, c), axes in np.ndenumerate(panels):
        one = parts.get((stores[r], bases[c]))
        if one is None:
            axes.set_axis_off()
            continue
        drawn = lines(axes, one, signed, planes, limit=DRAWN)
        if r == 0:
            axes.set_title(f"{shorten(bases[c], 24)} basis", loc="left", parse_math=False)
        if r == len(stores) - 1:
            axes.set_xlabel("angle from $b_i$ toward $b_j$")
        if c == 0:
            head = f"{shorten(stores[r], 24)}\n" if len(stores) > 1 else ""
            axes.set_ylabel(head + value_name(signed), parse_math=False)
        notes += [note for note in drawn if note not in notes]
    notes += _offset_notes(results)
    name = stores[0] if len(stores) == 1 else f"{len(stores)} stores"
    used = {member.attrs["rows"]["used"] for member in results.values()}
    epsilons = sorted({float(one.epsilon[0]) for one in parts.values()})
    words = [plural(used.pop(), "row")] if len(used) == 1 else []
    words += [] if label is None else [f"label {shorten(str(label), 24)}"]
    words.append(f"ε = {', '.join(number(value) for value in epsilons)}")
    return _finish(figure, " · ".join([shorten(name, 48), *words]), notes)


def _offset_notes(results):
    noted = {store: offset_note(member) for (store, _), member in results.items()}
    return [f"{shorten(store, 24)}: {note}" for store, note in noted.items() if note][:3]


def _title(result, rows, words):
    attrs = result.attrs
    head = [shorten(str(attrs["store_name"]), 40), f"{shorten(str(attrs['basis_name']), 28)} basis"]
    return " · ".join([*head, plural(rows, "row"), plural(result.planes_total, "plane"), *words])


def _figure(width, height):
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.05)
    return figure


def _finish(figure, title, notes):
    """Write the title, the legend that all panels share and, at the foot, the notes that are not empty."""
    figure.suptitle(title, x=0.01, ha="left", parse_math=False)
    words = "\n".join(note for note in notes if note)
    small = {"fontsize": 7, "color": "0.35", "parse_math": False}
    entries = {}
    for axes in figure.axes:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(name, handle)
    if entries:  # the notes are its title: constrained layout would put two things at the foot on top of each other
        widths = [0.46 + 0.055 * len(name) for name in entries]  # inches of a handle and a name
        room = figure.get_figwidth()
        columns = len(entries) if sum(widths) < room else max(1, min(len(entries) - 1, int(room / max(widths))))
        made = figure.legend(
            entries.values(), entries.keys(), loc="outside lower left", ncols=columns, frameon=False, title=words,
            alignment="left", columnspacing=1.2, handlelength=2.2, borderaxespad=0.2,
        )  # fmt: skip
        made.get_title().set(**small)
    elif words:
        figure.supxlabel(words, x=0.01, ha="left", **small)
    return figure


# ---- choices and files -------------------------------------------------------------------------------


def _positions(result, epsilon):
    """Return the positions of the epsilons asked for."""
    if epsilon is None:
        return list(range(result.epsilon.size))
    found = []
    for value in np.atleast_1d(np.asarray(epsilon, float)):
        near = np.flatnonzero(np.abs(result.epsilon - value) < 1e-9)
        if not near.size:
            raise InputError(f"epsilon must be one of the result's, {_listed(result.epsilon)}, got {value:g}")
        found.append(int(near[0]))
    return found


def _listed(values, most=12):
    words = [number(value) if isinstance(value, float) else str(value) for value in list(values)[:most]]
    return ", ".join(words) + (", …" if len(values) > most else "")


def _check_path(path):
    if path is None:
        return None
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"a figure must end in {', '.join(SUFFIXES)}, got {path}")
    if not path.absolute().parent.is_dir():
        raise InputError(f"the folder of a figure must exist, got {path.parent}; create it first")
    return path


def _save(figure, path, dpi):
    """Write beside, then rename: a reader meets a whole figure or none."""
    wip = path.with_name(path.name + ".wip")
    suffix = path.suffix.lower()
    try:
        figure.savefig(wip, format=suffix[1:], dpi=dpi, metadata=_DATELESS[suffix])
        wip.replace(path)
    except OSError as error:
        raise InputError(f"the figure {path} cannot be written: {error.strerror or error}") from None
    finally:
        wip.unlink(missing_ok=True)
