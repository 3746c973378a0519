"""Cards that notebooks show: what was measured, in a table, with a small picture; every text escaped, no scripts."""

import base64
import dataclasses
import html
import io
import math

import numpy as np

from srmfast import overview, verdicts
from srmfast.excerpts import common_epsilons, number, part, plural, shorten
from srmfast.oscillation import peaks
from srmfast.report import facts

_MEMBERS, _LINES = 40, 16  # rows of a table, at most: of results, and of anything else
_LONGEST = 600  # characters of one cell
_INCHES, _DPI, _COLOURS = (3.4, 2.2), 110, 64  # of a picture: some 10 KB
_STYLE = {
    "font.size": 7.5, "axes.titlesize": 8, "axes.labelsize": 7.5, "xtick.labelsize": 7, "ytick.labelsize": 7, "legend.fontsize": 6.5,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6, "font.family": "DejaVu Sans",
}  # fmt: skip
# Lines and text take the colours of the notebook, whether it is light or dark; a picture brings its white ground.
_CARD = (
    "border:1px solid rgba(128,128,128,.4);border-radius:6px;padding:.5em .8em;display:inline-block;max-width:70em;"
    "font-size:90%;line-height:1.35"
)
_CELL = "text-align:{};padding:.1em .7em .1em 0;vertical-align:top;border:0;background:none;white-space:{}"
_ROW = "background:none;border:0"
_PICTURE = "background:#fff;border-radius:4px;max-width:100%;margin:0"


@dataclasses.dataclass
class _Card:
    """What is shown, before it is HTML."""

    title: str
    facts: list = dataclasses.field(default_factory=list)  # of (head, text)
    tables: list = dataclasses.field(default_factory=list)  # of (columns, rows)
    notes: tuple = ()
    text: str = ""  # lines set as they are
    picture: object = None  # called with axes, draws into them


def card(thing):
    """Return the HTML of an object that a user may meet.

    Parameters
    ----------
    thing : object
        Of one of the classes that derive from `srmfast.displayed.Displayed`.

    Returns
    -------
    str
        One `div`, readable without its styles. Names, labels and whatever else came from a file are escaped.
    """
    makers = {
        "Result": _result, "Results": _results, "Projection": _projection, "Projections": _projections, "Neurons": _neurons,
        "Alignment": _alignment, "Basis": _basis, "Store": _store, "Trained": _trained, "Recipe": _recipe,
    }  # fmt: skip
    make = next((makers[kind.__name__] for kind in type(thing).__mro__ if kind.__name__ in makers), _plain)
    return _html(make(thing))


# ---- what each shows ---------------------------------------------------------------------------------


def _result(result):
    light = _light(result)
    told = facts(light) + ([] if result.null_phase is None else verdicts.lines(result.alignment()))
    found, labels = [peaks(part(light))] if light.total.any() else [], []
    if result.label.size > 1:
        e, mean = 0, light.mean().max(axis=-1)
        e = int((mean.max(axis=0) > 0).argmax())
        order = (-mean[:, e]).argsort(kind="stable")
        name = f"mean peak at ε = {number(result.epsilon[e])}"
        rows = [(shorten(str(result.label[c]), 40), f"{result.rows[c]:,}", number(mean[c, e])) for c in order]
        labels = [(("label", "rows", name), rows)]
    notes = ("peak: highest share of rows in a cone, mean of all planes",) if found else ()
    return _Card("Result", _told(told), found + labels, notes, picture=_means(light, title="") if found else None)


def _light(result):
    """Leave out the counts of single planes: of a large result they are gigabytes, and the sums are kept beside them."""
    return dataclasses.replace(result, counts=result.counts[:, :, :0], counts_heldout=None)


def _means(what, **options):
    def draw(ax):
        from srmfast import axes

        axes.means(what, ax, legend=False, **options)

    return draw


def _results(results):
    if not len(results):
        return _Card("Results", notes=("no results",))
    shown = type(results)({key: _light(member) for key, member in list(results.items())[:_MEMBERS]})
    judged = [
        (f"{store}, {basis}", verdicts.headline(member.alignment()))
        for (store, basis), member in list(results.items())[:_MEMBERS]
        if member.null_phase is not None
    ]
    rows = [line.cells() for line in overview.lines_of(shown, common_epsilons(results)[:1])]
    left = (f"… and {len(results) - _MEMBERS} more",) if len(results) > _MEMBERS else ()
    return _Card(
        f"{plural(len(results), 'result')}", [("verdict", f"{name}: {said}") for name, said in judged], [(overview.HEADS, rows)],
        left + overview.LEGEND, picture=_means(shown),
    )  # fmt: skip


def _projection(projection):
    return _Card("Projection", text=projection.summary(), picture=lambda ax: projection.plot(ax=ax))


def _projections(projections):
    rows = [
        (store, basis, f"{int(one.rows.max()):,}", f"{one.planes_total:,}", ", ".join(map(number, one.epsilon)), number(one.acceptance().max()))
        for (store, basis), one in list(projections.items())[:_MEMBERS]
    ]  # fmt: skip
    columns = ("store", "basis", "rows", "planes", "ε", "(row, plane) pairs within it")
    return _Card(plural(len(projections), "projection"), tables=[(columns, rows)])


def _neurons(neurons):
    attrs, rows = neurons.attrs, neurons.attrs["rows"]
    told = [
        ("store", str(attrs["store_name"])),
        ("basis", f"{attrs['basis_name']} ({plural(len(neurons.basis), 'vector')} of width {neurons.basis.shape[1]:,})"),
        ("cone", f"ε = {number(neurons.epsilon)} ({math.degrees(math.acos(neurons.epsilon)):.0f}°) around each vector and its opposite"),
        ("rows", f"{rows['used']:,} of {rows['seen']:,} used"),
        ("test", neurons.tested()),
        *(("note", note) for note in attrs["notes"]),
    ]  # fmt: skip
    columns = ("neuron", "class", "F1 ± sd", "precision", "recall", "rows", "p")
    found = []
    for row in neurons.table(_LINES):
        sd = "" if math.isnan(row["sd"]) else f" ± {row['sd']:.3f}"
        p = "" if row["p"] is None else f"{row['p']:.3g}"
        name = row["pole"] + str(row["vector"])
        cells = f"{row['f1']:.3f}{sd}", f"{row['precision']:.3f}", f"{row['recall']:.3f}", f"{row['inside']:,}", p
        found.append((name, shorten(row["label"], 30), *cells))
    return _Card("Neurons", told, [(columns, found)], picture=lambda ax: neurons.plot(ax=ax, most=12, title=""))


def _alignment(alignment):
    return _Card("Alignment", _told(verdicts.lines(alignment)))


def _basis(basis):
    k, d = basis.vectors.shape
    told = [("name", basis.name), ("kind", basis.kind), ("vectors", f"{k:,} of width {d:,}, one a row, of unit length")]
    told += [("note", "what was given was not of unit length, and is divided by its norms")] if basis.normalised else []
    return _Card("Basis", told)


def _store(store):
    known = store.describe()
    array = f"{' × '.join(f'{size:,}' for size in known['array_shape'])} {store.dtype}"
    array += f", in chunks of {' × '.join(map(str, known['chunks']))}" if known.get("chunks") else ""
    told = [("location", store.location), ("format", known["format"]), ("array", array)]
    told.append(("rows", f"{store.n:,} of width {store.d:,}"))
    if store.recognised is not None:
        told.append(("layout", f"{store.recognised.verb} {store.recognised.name}, {store.recognised.words}"))
        told += [("assumed", line) for line in store.recognised.told]
    told += [("note", line) for line in store.layout()]
    return _Card("Store", told)


def _trained(trained):
    epochs = [row for row in trained.log if not math.isnan(row[1])]
    told = [("network", trained.recipe["name"] or "without a name"), ("layers", " → ".join(trained.recipe["layers"]))]
    told += [("basis", "none" if trained.basis is None else "{:,} vectors of width {:,}".format(*trained.basis.shape))]
    told += [("checkpoints", ", ".join(f"epoch {epoch}" for epoch in trained.checkpoints))]
    told += [("folder", str(trained.folder))] if trained.folder is not None else []

    def losses(ax):
        ax.plot([row[0] for row in epochs], [row[1] for row in epochs], color="#0072B2", lw=1.5, label="loss")
        tested = [row for row in trained.log if not math.isnan(row[2])]
        if tested:
            ax.plot([row[0] for row in tested], [row[2] for row in tested], color="#D55E00", lw=1.2, label="test loss")
        ax.set(xlabel="epoch", yscale="log")

    shown = [trained.log[n] for n in sorted({0, len(trained.log) // 2, len(trained.log) - 1})]
    rows = [
        (str(epoch), *("–" if math.isnan(value) else f"{value:.6g}" for value in losses_)) for epoch, *losses_ in shown
    ]
    return _Card("Trained", told, [(("epoch", "loss", "test loss"), rows)], picture=losses if len(epochs) > 1 else None)


def _recipe(recipe):
    told = []
    for section, held in recipe.values.items():
        said = (
            held
            if not isinstance(held, dict)
            else ", ".join(f"{key} = {value}" for key, value in held.items() if value != "")
        )
        said = " → ".join(held) if section == "layers" else str(said)
        told += [(section, said)] if said else []
    return _Card("Recipe", told)


def _plain(thing):
    return _Card(type(thing).__name__, text=thing.summary() if hasattr(thing, "summary") else str(thing))


# ---- HTML ----------------------------------------------------------------------------------------------


def _told(lines):
    """Return lines with a head of eight columns as (head, text), those without one joined to the one before."""
    found = []
    for line in lines:
        head, text = line[:8].strip(), line[8:].strip()
        if head:
            found.append([head, text])
        else:
            found[-1][1] = f"{found[-1][1]} {text}".strip()
    return [(head, text) for head, text in found]


def _html(shown):
    """Return a card as HTML: its facts, then its tables, with the picture to their right where there is room."""
    parts = [f"<strong>{_text(shown.title)}</strong>"]
    body, below = [], []
    if shown.facts:
        rows = "".join(
            f'<tr style="{_ROW}"><th style="{_CELL.format("left", "nowrap")};opacity:.65;font-weight:normal">{_text(head)}</th>'
            f'<td style="{_CELL.format("left", "normal")}">{_text(said)}</td></tr>'
            for head, said in shown.facts
        )
        body.append(f'<table style="margin:.3em 0;border-collapse:collapse">{rows}</table>')
    tables = [_table(columns, rows) for columns, rows in shown.tables if rows]
    (below if body else body).extend(tables)
    if shown.text:
        body.append(
            f'<pre style="margin:.3em 0;background:none;color:inherit;white-space:pre-wrap">{_text(shown.text, whole=True)}</pre>'
        )
    below += [f'<div style="opacity:.65">{_text(note)}</div>' for note in shown.notes]
    picture = "" if shown.picture is None else _picture(shown)
    if picture:
        parts.append(
            f'<div style="display:flex;flex-wrap:wrap;gap:1em;align-items:flex-start"><div style="flex:1 1 22em">{"".join(body)}</div>'
            f'<div style="flex:0 1 auto">{picture}</div></div>'
        )
    else:
        parts += body
    parts += below
    return f'<div style="{_CARD}">{"".join(parts)}</div>'


def _table(columns, rows):
    def cells(tag, values, more=""):
        return "".join(
            f'<{tag} style="{_CELL.format("left" if n == 0 else "right", "nowrap")}{more}">{_text(value)}</{tag}>'
            for n, value in enumerate(values)
        )

    most = _MEMBERS if columns == overview.HEADS else _LINES
    shown = [f'<tr style="{_ROW}">{cells("td", row)}</tr>' for row in rows[:most]]
    left = len(rows) - len(shown)
    more = f'<div style="opacity:.65">… and {left:,} more</div>' if left else ""
    head = f'<tr style="{_ROW}">{cells("th", columns, ";opacity:.65;font-weight:normal")}</tr>'
    return f'<table style="margin:.3em 0;border-collapse:collapse">{head}{"".join(shown)}</table>{more}'


def _text(value, *, whole=False):
    text = str(value)
    return html.escape(text if whole or len(text) <= _LONGEST else text[: _LONGEST - 1] + "…")


def _picture(shown):
    """Return an image of what the card draws; nothing without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return ""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    stream = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        ax = figure.add_subplot()
        shown.picture(ax)
        if len(ax.get_legend_handles_labels()[0]) > 1:
            figure.legend(loc="outside lower left", ncols=2, frameon=False, borderaxespad=0.0)
        canvas.draw()
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    drawn.quantize(_COLOURS).save(stream, "png", optimize=True)
    coded = base64.b64encode(stream.getvalue()).decode()
    return f'<img style="{_PICTURE}" alt="{html.escape(shown.title, quote=True)}, a picture" src="data:image/png;base64,{coded}">'
