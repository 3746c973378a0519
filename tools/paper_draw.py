"""Panels of the figures of docs/paper.md: ensembles of planes, mean curves over seeds, signed curves of classes."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from paper_measure import templates

import srmfast
from srmfast.whole import whole_file

PLANES, MEAN, SELF, NULL, AGAINST = "#0072B2", "#D55E00", "#009E73", "0.25", "#CC79A7"  # Okabe and Ito
WORDS = {"raw": "as stored", "centred": "mean subtracted"}
DRAWN = 64  # planes of an ensemble
MOST = 200_000  # bytes of a figure
STYLE = {  # that of srmfast's own figures
    "font.size": 8, "axes.titlesize": 9, "axes.labelsize": 8, "legend.fontsize": 7.5, "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5, "axes.linewidth": 0.7, "axes.spines.top": False, "axes.spines.right": False,
    "xtick.major.width": 0.7, "ytick.major.width": 0.7, "font.family": "DejaVu Sans",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column of a grid of panels: the clouds of several seeds, each with the basis it is looked at in."""

    title: str
    clouds: list  # of (latents (n, d), basis (k, d))


def figure_of(width, height):
    """Return an empty figure whose panels arrange themselves."""
    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    made.get_layout_engine().set(w_pad=0.03, h_pad=0.03)
    return made


def save(figure, path):
    """Write a PNG of as many colours as keep it below `MOST` bytes."""
    from PIL import Image

    drawn = BytesIO()
    figure.savefig(drawn, dpi=125, metadata={"Software": None})
    for colours in (256, 128, 64, 32):
        few = BytesIO()
        image = Image.open(drawn).convert("RGB").quantize(colours, dither=Image.Dither.NONE)
        image.save(few, format="PNG", optimize=True)
        if len(few.getvalue()) <= MOST:
            break
    with whole_file(path) as file:
        file.write(few.getvalue())


def styled(draw):
    """Run a function that draws in the common style."""

    def within(*words, **named):
        with rc_context(STYLE):
            return draw(*words, **named)

    return within


def spun(latents, basis, epsilon, way, **options):
    """Return the result of one cloud in all ordered planes, as stored or with its mean subtracted."""
    return srmfast.run(
        np.asarray(latents, float), basis, epsilon=epsilon, centre=way == "centred", keep="all", **options
    )


def seen(values, result):
    """Return curves (…, p, a) closed at the end, over [0, 2π] or, where the angles between b_i and b_j differ, over a
    stretched axis: 0 at b_i, 1 at b_j, 2 at b_i again.
    """  # fmt: skip
    closed = np.concatenate([values, values[..., :1]], axis=-1)
    x = np.append(result.angle, 2 * np.pi)
    if np.ptp(result.plane_angle) < 1e-6:
        return x, closed
    at = np.linspace(0, 2, 181)
    phi = result.plane_angle[:, None]
    theta = np.where(at <= 1, at * phi, phi + (at - 1) * (2 * np.pi - phi))
    flat = closed.reshape(-1, *closed.shape[-2:])
    made = [[np.interp(t, x, f) for t, f in zip(theta, part, strict=True)] for part in flat]
    return at, np.array(made).reshape(*closed.shape[:-1], at.size)


def angle_axis(axes, result, *, labelled=True):
    """Name the directions of a plane on the x axis."""
    opposite = (result.basis @ result.basis[0]).min() < -1 + 1e-9
    if np.ptp(result.plane_angle) < 1e-6:
        phi = float(result.plane_angle[0])
        ticks = [0, phi, np.pi, np.pi + phi, 2 * np.pi]
        names = ["$b_i$", "$b_j$", "$-b_i$", "$-b_j$", "$b_i$"]
    else:
        ticks, names, opposite = [0, 1, 2], ["$b_i$", "$b_j$", "$b_i$"], False
    axes.set_xlim(ticks[0], ticks[-1])
    axes.set_xticks(ticks, names if labelled else [""] * len(ticks))
    for tick, name in zip(ticks[1:-1], names[1:-1], strict=True):
        axes.axvline(tick, color="0.86", lw=0.7, ls="-" if opposite or "-" not in name else (0, (1, 2)), zorder=0)


def ensemble(axes, result, *, split=False):
    """Draw planes of one net; with `split` those in antiphase with self-SRM in a colour of their own.

    Returns
    -------
    tuple of int
        Planes hit, in phase and in antiphase: where the sum of f·w, see `tools/paper_measure.py`, is beyond a tenth of
        the sum of f.
    """
    f = result.fraction()[0, 0]
    weighed = (f * templates(result)[0]).sum(axis=1)
    total = f.sum(axis=1)
    along, against = weighed > 0.1 * total, weighed < -0.1 * total
    order = np.argsort(-f.max(axis=1), kind="stable")
    order = order[f.max(axis=1)[order] > 0]
    if order.size > DRAWN:
        first = DRAWN // 4
        rest = np.linspace(first, order.size - 1, DRAWN - first).round().astype(int)
        order = np.concatenate([order[:first], order[rest]])
    x, curves = seen(f, result)
    kinds = [(PLANES, ~against, "one plane"), (AGAINST, against, "one plane in antiphase")] if split else []
    for colour, which, name in kinds or [(PLANES, np.ones(len(f), bool), "one plane")]:
        shown = order[which[order]]
        lines = np.stack([np.broadcast_to(x, (shown.size, x.size)), curves[shown]], axis=-1)
        axes.add_collection(LineCollection(list(lines), colors=colour, linewidths=0.5, alpha=0.45))
        if shown.size:
            axes.plot([], [], color=colour, lw=1, label=name)
    axes.set_ylim(0, 1.06 * (f.max() or 1))
    if not f.any():
        axes.text(
            0.5, 0.5, "no row in\nany cone", transform=axes.transAxes, ha="center", va="center", color="0.4", wrap=True
        )
    angle_axis(axes, result, labelled=False)
    return int((total > 0).sum()), int(along.sum()), int(against.sum())


def means(axes, results, *, reference=True):
    """Draw the mean curve of each seed, their mean, self-SRM and isotropic rows."""
    first = results[0]
    drawn = []
    for n, result in enumerate(results):
        x, curves = seen(result.fraction()[0, 0], result)
        drawn.append(curves.mean(axis=0))
        axes.plot(x, drawn[-1], color=MEAN, lw=0.6, alpha=0.55, label=None if n else "mean over planes, one seed")
    average = np.mean(drawn, axis=0)
    top = float(np.max(drawn)) or 1.0
    axes.plot(x, average, color=MEAN, lw=1.8, label="mean over planes and seeds")
    if reference:
        own = spun(first.basis, first.basis, first.epsilon, "raw")
        mean = seen(own.fraction()[0, 0], own)[1].mean(axis=0)
        ratio = mean.max() / top
        scaled = not 0.5 <= ratio <= 2
        axes.plot(
            x, mean / ratio if scaled else mean, color=SELF, lw=1, ls=(0, (6, 2)) if scaled else (0, (4, 1, 1, 1)),
            label="self-SRM, scaled to the highest seed" if scaled else "self-SRM",
        )  # fmt: skip
        top = top if scaled else max(top, mean.max())
    null = float(first.null()[0])
    if null < 2 * top:
        axes.axhline(null, color=NULL, lw=0.9, ls=":", label="isotropic rows")
    axes.set_ylim(0, 1.08 * max(top, null if null < 2 * top else 0))
    axes.ticklabel_format(axis="y", scilimits=(-3, 3), useMathText=True)
    axes.yaxis.get_offset_text().set_fontsize(7)
    angle_axis(axes, first)


@styled
def grid(columns, *, epsilon, title, split=False, caption=None):
    """Return the figure of columns: ensemble and means as stored, below both again with the mean subtracted.

    Parameters
    ----------
    columns : list of Column
    epsilon : float
    title : str
    split : bool
        Colour planes in antiphase.
    caption : callable, optional
        `caption(column number, way, planes hit, in phase, in antiphase)`: words in a corner of the ensemble.
    """
    made = figure_of(max(5.6, 2.0 * len(columns) + 1.0), 7.0)
    rows = made.subplots(4, len(columns), squeeze=False, gridspec_kw={"height_ratios": [1.25, 1, 1.25, 1]})
    for way, (above, below) in zip(("raw", "centred"), (rows[:2], rows[2:]), strict=True):
        for n, column in enumerate(columns):
            results = [spun(latents, basis, epsilon, way) for latents, basis in column.clouds]
            counted = ensemble(above[n], results[0], split=split)
            means(below[n], results)
            if way == "raw":
                above[n].set_title(column.title, loc="left")
            if caption:
                above[n].text(
                    0.98, 0.97, caption(n, way, *counted), transform=above[n].transAxes, ha="right", va="top",
                    fontsize=7, color="0.3", bbox={"facecolor": "white", "alpha": 0.75, "lw": 0, "pad": 1},
                )  # fmt: skip
        above[0].set_ylabel(f"{WORDS[way]}\nshare of rows")
        below[0].set_ylabel("mean over planes")
    made.suptitle(title, x=0.01, ha="left", fontsize=9)
    legend(made, 3 if len(columns) > 2 else 2)
    return made


def legend(figure, columns):
    """Put one legend of all panels at the foot."""
    known = {}
    for axes in figure.axes:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            known.setdefault(name, handle)
    figure.legend(
        known.values(), known.keys(), loc="outside lower left", ncols=columns, frameon=False, handlelength=2.4
    )
