"""Figures of a result: ensembles of planes, epsilon maps, small multiples of labels, bases side by side."""

import io
import math
import textwrap
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from srmfast._notes import Notes
from srmfast._panels import heatmap, lines, prepare, say_own_scale, scales, self_curve, value_name
from srmfast.errors import InputError, meant
from srmfast.excerpts import common_epsilons, first_hit, label_peaks, number, offset_note, part, plural, shorten
from srmfast.results import Results

KINDS = ("auto", "lines", "heatmap", "labels", "atlas", "opinions")
SUFFIXES = (".png", ".pdf", ".svg")
DRAWN, DRAWN_SMALL = 400, 120  # planes drawn in one panel, at most: alone, and among many panels
ATLAS = 12  # stores from which on several results are drawn as an atlas
PANELS, LABELS, MEMBERS = 4, 24, 36  # epsilons, labels and results in one figure, at most
_STRIP = 1.0  # inches that a strip for the mean adds to a panel
_ACROSS = 4  # panels side by side, at most, where only stores or only bases differ
STYLE = {
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
        Several results become panels: stores down and bases across, or side by side when only one of them differs.
    path : str or Path, optional
        Where to save the figure: .png, .pdf or .svg.
    kind : str
        `lines`: the curves of the planes with their mean; `heatmap`: the mean over ε and angle; `labels`: a panel
        for each label; `atlas`: several layers from left to right, with verdict, effect, mean curve and mean of the rows;
        `opinions`: what other readings say, see `srmfast.opinions`; `auto`: whichever fits.
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
        raise InputError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}{meant(kind, KINDS)}")
    path = check_picture(path)
    with matplotlib.rc_context(STYLE):
        if isinstance(result, Results):
            figure = _draw_results(result, kind, epsilon, label, signed, planes)
        else:
            figure = _draw_result(result, kind, epsilon, label, signed, planes)
        if path is not None:
            save_figure(figure, path, dpi)
    return figure


# ---- figures -----------------------------------------------------------------------------------------


def _draw_result(result, kind, epsilon, label, signed, planes):
    at = positions(result, epsilon)
    check_label(result, label)
    several = result.label.size > 1 and label is None
    if kind == "labels" and not several:
        raise InputError(f"kind labels needs several labels, got {_listed([label or result.label[0]])}; use kind lines")
    if kind == "atlas":
        raise InputError("kind atlas puts several results side by side, and this is one; use kind lines")
    if kind == "opinions":
        from srmfast.opinionfigure import draw

        return draw(result, _title(result, result.attrs["rows"]["used"], ["other readings"]))
    if kind == "heatmap" and len(at) < 2:
        raise InputError(f"kind heatmap needs at least 2 epsilons, got {len(at)}; use kind lines")
    if kind == "labels" or (kind == "auto" and several):
        return _draw_labels(result, at, epsilon is None, signed, planes)
    pooled = part(result, label=label, epsilon=at)
    notes = Notes()
    if kind == "heatmap":
        figure = new_figure(7.2, 3.6)
        heatmap(figure.add_subplot(), pooled, signed, notes)
    else:
        figure = _draw_lines(pooled, kind == "auto" and len(at) > 1, signed, planes, notes)
    notes.add(offset_note(result))
    words = [] if label is None else [f"label {shorten(str(label), 24)}"]
    words.append(f"ε = {_listed(pooled.epsilon, most=5)}")
    return finish(figure, _title(result, int(pooled.rows[0]), words), notes)


def _draw_lines(pooled, with_map, signed, planes, notes):
    """Return a figure with a panel for each epsilon, and the map below them when wanted."""
    e = pooled.epsilon.size
    shown = np.unique(np.linspace(0, e - 1, min(e, PANELS)).round().astype(int)).tolist()
    panels = [prepare(part(pooled, epsilon=[at]), signed, planes, limit=DRAWN) for at in shown]
    titles = [f"ε = {number(value)}" if e > 1 else "" for value in pooled.epsilon[shown]]
    columns = len(shown) if len(shown) < 4 else 2
    height = math.ceil(len(shown) / columns)
    each = (3.7 if e == 1 else 2.7) + _STRIP * any(panel.split for panel in panels)
    figure = new_figure(max(7.2, 3.4 * columns), each * height + 2.6 * with_map)
    rest = 2.6 / each if with_map else None
    below = _draw_panels(figure, columns, panels, titles, notes, rest=rest)
    notes.add(f"{len(shown)} of {e} ε have a panel" if len(shown) < e else "")
    if with_map:
        heatmap(figure.add_subplot(below), pooled, signed, notes)
    return figure


def _draw_labels(result, at, free, signed, planes):
    """Return the figure of small multiples: a panel for each label, those with the highest peak first."""
    only = first_hit(result) if free else at[0]
    peaks = label_peaks(result, only)
    hit = max(1, int((peaks > 0).sum()))  # empty panels say nothing
    order = np.argsort(-peaks, kind="stable")[: min(LABELS, hit)]
    reference = self_curve(part(result, epsilon=[only]), signed)
    parts = [part(result, label=result.label[c], epsilon=[only]) for c in order]
    panels = [prepare(one, signed, planes, limit=DRAWN_SMALL, reference=reference) for one in parts]
    titles = [f"{shorten(str(one.label[0]), 24)}\n{plural(int(one.rows[0]), 'row')}" for one in parts]
    columns = min(len(order), 3 if len(order) <= 6 else 4 if len(order) <= 12 else 6)
    height = math.ceil(len(order) / columns)
    each = 1.85 + _STRIP * any(panel.split for panel in panels)
    figure = new_figure(max(7.2, 1.9 * columns), each * height + 1.2)
    notes = Notes()
    _draw_panels(figure, columns, panels, titles, notes, one_scale=True, small=True)
    left, empty = hit - len(order), result.label.size - hit
    notes.add(f"{plural(left, 'label')} with lower peaks left out" if left else "")
    notes.add(f"{plural(empty, 'label')} without a row in any cone left out" if empty else "")
    notes.add(offset_note(result))
    words = [f"ε = {number(result.epsilon[only])}", "labels by peak"]
    return finish(figure, _title(result, result.attrs["rows"]["used"], words), notes)


def _draw_results(results, kind, epsilon, label, signed, planes):
    """Return the panels of several results: stores down and bases across, in one row what alone differs."""
    if kind in ("labels", "heatmap", "opinions"):
        raise InputError(f"kind of several results must be auto, lines or atlas, got {kind}; plot one of them")
    if kind == "atlas" or (kind == "auto" and len({store for store, _ in results}) > ATLAS):
        from srmfast import atlasfigure

        refuse_options("an atlas", {"epsilon": epsilon, "label": label, "signed": signed, "planes": planes})
        return atlasfigure.draw(results.atlas())
    if not 1 <= len(results) <= MEMBERS:
        raise InputError(f"a figure holds 1 to {MEMBERS} results, got {len(results)}; plot fewer of them")
    epsilon = next(iter(common_epsilons(results)), None) if epsilon is None else epsilon
    found = {}
    for key, member in results.items():
        at = first_hit(member) if epsilon is None else positions(member, epsilon)[0]
        check_label(member, label)
        found[key] = prepare(part(member, label=label, epsilon=[at]), signed, planes, limit=DRAWN)
    stores, bases = (list(dict.fromkeys(key[n] for key in results)) for n in (0, 1))
    heads = None
    if len(stores) > 1 and len(bases) > 1:
        panels = [found.get((store, basis)) for store in stores for basis in bases]
        columns, titles, heads = len(bases), bases, [shorten(store, 24) for store in stores]
    else:
        panels = list(found.values())
        columns, titles = min(len(panels), _ACROSS), stores if len(stores) > 1 else bases
    titles = [shorten(title, 32) for title in titles] + [""] * (len(panels) - len(titles))
    height = math.ceil(len(panels) / columns)
    each = (2.6 if height == 1 else 2.1) + _STRIP * any(panel.split for panel in found.values())
    figure = new_figure(max(7.2, 2.5 * columns + 0.6), each * height + 1.2)
    notes = Notes()
    _draw_panels(figure, columns, panels, titles, notes, heads=heads)
    for line in _offset_notes(results):
        notes.add(line)
    epsilons = sorted({float(panel.one.epsilon[0]) for panel in found.values()})
    others = sorted({float(value) for member in results.values() for value in member.epsilon} - set(epsilons))
    notes.add(f"not drawn: ε = {_listed(others, most=5)}" if others else "")
    words = [] if label is None else [f"label {shorten(str(label), 24)}"]
    words.append(f"ε = {', '.join(number(value) for value in epsilons)}")
    return finish(figure, _joint_title(results, stores, bases, words), notes)


def _draw_panels(figure, columns, panels, titles, notes, *, one_scale=False, heads=None, small=False, rest=None):
    """Draw panels in reading order, None leaving its place empty; return the place below, `rest` panels high.

    Those that peak alike share y; all do on `one_scale`. When the mean of any needs a strip of its own, each has one.
    """
    split, labelled = any(panel.split for panel in panels if panel), set()
    ratios = ([2 / 3, 1 / 3] if split else [1.0]) * math.ceil(len(panels) / columns)
    grid = figure.add_gridspec(len(ratios) + bool(rest), columns, height_ratios=ratios + [rest] * bool(rest))
    upper, lower = (
        [0] * len(panels) if one_scale else scales(panels, columns, height)
        for height in (lambda panel: panel.peak, lambda panel: panel.mean_peak)
    )
    firsts = {}
    for n, panel in enumerate(panels):
        if panel is None:
            continue
        row, column = divmod(n, columns)
        axes = figure.add_subplot(grid[row * (1 + split), column], sharey=firsts.get(("upper", upper[n])))
        strip = None
        if split:
            like = firsts.get(("lower", lower[n]))
            strip = figure.add_subplot(grid[row * 2 + 1, column], sharex=axes, sharey=like)
        if len(panels) > 1:
            name = f"label {titles[n]}" if small else f"{heads[row]} × {titles[column]}" if heads else titles[n]
            notes.begin(name.partition("\n")[0])
        lines(axes, panel, notes, strip)
        notes.end()
        axes.set_title(titles[n], loc="left", parse_math=False)
        bottom = axes if strip is None else strip
        if n + columns >= len(panels) or panels[n + columns] is None:
            bottom.set_xlabel("angle from $b_i$" if small else "angle from $b_i$ toward $b_j$")
        if row not in labelled and panel.one.total.any():
            labelled.add(row)
            short = small or (split and len(panels) > 2)
            name = "share of rows" if short and not panel.signed else value_name(panel.signed)
            axes.set_ylabel(f"{heads[row]}\n{name}" if heads else name, parse_math=False)
            if split:
                strip.set_ylabel("mean")
        for kind, groups, one in (("upper", upper, axes), ("lower", lower, strip)):
            if one is None:
                continue
            if groups[n] in groups[row * columns : n]:
                one.tick_params(labelleft=False)
            elif groups.count(groups[n]) == 1 < len(panels) and panel.peak > 0:
                say_own_scale(one, under=one is strip)
            firsts.setdefault((kind, groups[n]), one)
    rows = [n // columns for n in range(len(panels))]
    for what, groups in (("", upper), (" of means", lower if split else [])):
        if groups == rows and 1 < columns < len(panels):
            notes.add(f"each row of panels has a scale{what} of its own")
    return grid[-1, :]


def _offset_notes(results):
    """Return a note for each store whose cloud has a large mean; three at most."""
    pair = any(member.attrs.get("centred") for member in results.values())  # then the comparison is here already
    noted = {store: offset_note(member, compare=not pair) for (store, _), member in results.items()}
    return [f"{shorten(store, 24)}: {note}" for store, note in noted.items() if note][:3]


def _title(result, rows, words):
    attrs = result.attrs
    head = [shorten(str(attrs["store_name"]), 40), basis_words(str(attrs["basis_name"])), plural(rows, "row")]
    if result.planes_total == 1 and result.plane_i.size:
        noun = "neurons" if attrs["basis_kind"] == "standard" else "plane"
        plane = f"{noun} {result.plane_i[0]} → {result.plane_j[0]}"
    else:
        plane = plural(result.planes_total, "plane")
    return " · ".join([*head, plane, *words])


def _joint_title(results, stores, bases, words):
    """Return what several results have in common."""
    members = list(results.values())
    same = {str(member.attrs["store_name"]) for member in members}
    name = stores[0] if len(stores) == 1 else same.pop() if len(same) == 1 else plural(len(stores), "store")
    head = [shorten(name, 48)] + [basis_words(bases[0])] * (len(bases) == 1 and len(stores) > 1)
    for noun, counts in (
        ("row", {member.attrs["rows"]["used"] for member in members}),
        ("plane", {member.planes_total for member in members}),
    ):
        head += [plural(counts.pop(), noun)] if len(counts) == 1 else []
    return " · ".join([*head, *words])


def basis_words(name):
    """Name a basis in a title."""
    if name in ("standard", "basis"):  # the latter from a file basis.npy
        return "standard basis" if name == "standard" else "basis of the file"
    return f"basis {shorten(name, 28)}"


class SpotlightFigure(Figure):
    """A figure that a notebook shows at the end of a cell, whether or not pyplot was ever imported there."""

    def _repr_png_(self):
        stream = io.BytesIO()
        self.savefig(stream, format="png")
        return stream.getvalue()


def new_figure(width, height):
    """Return an empty figure of so many inches."""
    figure = SpotlightFigure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.05)
    return figure


def finish(figure, title, notes):
    """Write the title, the legend that all panels share and, at the foot, the notes."""
    figure.suptitle(title, x=0.01, ha="left", parse_math=False)
    columns = int(figure.get_figwidth() / 0.053)  # inches of a character
    words = "\n".join(textwrap.fill(line, columns, break_on_hyphens=False) for line in notes.lines())
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


def refuse_options(what, options):
    """Refuse options that are set but belong to other kinds of results."""
    for name, value in options.items():
        if value not in (None, False, "auto"):
            raise InputError(f"a picture of {what} takes no {name}, got {value}; leave it out")


def positions(result, epsilon):
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


def check_label(result, label):
    """Refuse a label that the result does not have."""
    if label is not None and str(label) not in [str(name) for name in result.label]:
        raise InputError(f"label must be one of {_listed(result.label)}, got {label!r}{meant(label, result.label)}")


def _listed(values, most=12):
    words = [number(value) if isinstance(value, float) else str(value) for value in list(values)[:most]]
    return ", ".join(words) + (", …" if len(values) > most else "")


def check_picture(path):
    """Return the path of a figure to save, or None for none, after checking its suffix and folder.

    Raises
    ------
    InputError
        A suffix other than .png, .pdf or .svg; a folder that does not exist.
    """
    if path is None:
        return None
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"a figure must end in {', '.join(SUFFIXES)}, got {path}")
    if not path.absolute().parent.is_dir():
        raise InputError(f"the folder of a figure must exist, got {path.parent}; create it first")
    return path


def save_figure(figure, path, dpi):
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
