"""Draw and tabulate what `tools/measure_models.py` measured.

    python tools/draw_models.py docs/language-models.json --figure docs/language-models.png > tables.md

Everything on the page docs/language-models.md that is a number comes from these tables.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from srmfast.nulls import isotropic

ROWS = {  # conditions drawn, and the words beside them
    "all rows": "all rows,\nas stored",
    "ordinary rows, centred": "no outlying rows,\nmean subtracted",
    "ordinary rows and coordinates, centred": "also without massive\ncoordinates",
}
DRAWN = 0.3  # the epsilon of the curves, as in tools/measure_models.py
LAST = "ordinary rows and coordinates, centred"
WAYS = {  # key of the numbers: name, colour (Okabe and Ito), line
    "standard": ("the model's rows in the basis of neurons", "#D55E00", "-"),
    "directions": (
        "Gaussian rows with the moments of the unit-length rows, same basis",
        "#0072B2",
        (0, (4, 1.5)),
    ),
    "random": ("the model's rows in three random bases", "0.3", (0, (1, 1.2))),
}
STYLE = {  # that of srmfast's own figures
    "font.size": 8, "axes.titlesize": 9, "axes.labelsize": 8, "legend.fontsize": 8, "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5, "axes.linewidth": 0.7, "axes.spines.top": False, "axes.spines.right": False,
    "xtick.major.width": 0.7, "ytick.major.width": 0.7, "font.family": "DejaVu Sans",
}  # fmt: skip


def main(argv=None):
    """Print the tables and draw the figure; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0], allow_abbrev=False)
    parser.add_argument("numbers", type=Path, metavar="F.json", help="made by tools/measure_models.py")
    parser.add_argument("--figure", type=Path, metavar="F.png")
    options = parser.parse_args(argv)
    if not options.numbers.is_file():
        parser.error(f"the numbers must exist, got {options.numbers}; make them with tools/measure_models.py")
    numbers = json.loads(options.numbers.read_text())
    for table in (layers_table, neurons_table, vectors_table):
        print(table(numbers), end="\n\n")
    if options.figure:
        with rc_context(STYLE):
            draw(numbers).savefig(options.figure, dpi=180, metadata={"Software": None})
    return 0


# ---- figure ------------------------------------------------------------------------------------------


def draw(numbers):
    """Return the figure: layers across, conditions down, and how near rows come to a direction at the foot."""
    layers = numbers["layers"]
    figure = Figure(figsize=(7.6, 7.4), layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.04)
    grid = figure.subplots(len(ROWS) + 1, len(layers), sharey="row", squeeze=False)
    for column, (layer, found) in enumerate(layers.items()):
        grid[0, column].set_title(f"after block {int(layer.removeprefix('layer'))}", loc="left")
        for row, condition in enumerate(ROWS):
            _curves(grid[row, column], found["conditions"][condition], row == len(ROWS) - 1)
        _nearness(grid[-1, column], found["conditions"][LAST])
    for shared in grid[:-1]:
        top = max(max(line.get_ydata()) for axes in shared for line in axes.lines if line.get_label()[0] != "_")
        shared[0].set_ylim(-0.03 * top, 1.05 * top)  # a curve at 0 is seen
    figure.suptitle(
        "SmolLM2-135M, residual stream · mean over all ordered planes of a basis, ε = 0.3 (73°) · below: every ε",
        x=0.01, ha="left", fontsize=9,
    )  # fmt: skip
    for row, words in enumerate(ROWS.values()):
        grid[row, 0].set_ylabel(f"{words}\n\nshare of rows, ‰")
    grid[-1, 0].set_ylabel("(rows as above)\n\ndirections within\narccos ε of a row")
    handles, names = grid[1, 0].get_legend_handles_labels()
    extra = grid[-1, 0].get_legend_handles_labels()
    known = dict(zip(names + extra[1], handles + extra[0], strict=True))
    figure.legend(known.values(), known.keys(), loc="outside lower left", ncols=2, frameon=False, handlelength=2.6)
    return figure


def _curves(axes, found, labelled):
    """Draw the mean curves over all planes against the angle."""
    for way, (name, colour, line) in WAYS.items():
        for n, told in enumerate(_several(found.get(way))):
            curve = 1000 * np.append(told["curve"], told["curve"][0])
            angle = np.linspace(0, 360, curve.size)
            axes.plot(angle, curve, color=colour, ls=line, lw=1.4, label=name if not n else None)
    axes.set_xlim(0, 360)
    axes.xaxis.set_major_locator(FixedLocator([0, 90, 180, 270, 360]))
    for quarter in (90, 180, 270):
        axes.axvline(quarter, color="0.88", lw=0.7, zorder=0)
    if labelled:
        axes.set_xticklabels(["$b_i$", "$b_j$", "$-b_i$", "$-b_j$", ""])
        axes.set_xlabel("the cone turns toward $b_j$")
    else:
        axes.tick_params(labelbottom=False)


def _nearness(axes, found):
    """Draw how many of the directions ±b_i lie within the cone of a row against ε, on a logarithmic scale."""
    for way, (name, colour, line) in WAYS.items():
        for n, told in enumerate(_several(found.get(way))):
            near = np.array(told["near"], float)
            near[near <= 0] = np.nan
            axes.plot(told["epsilon"], near, color=colour, ls=line, lw=1.2, marker="o", ms=2.6, label=name if not n else None)  # fmt: skip
    epsilon = np.linspace(0.15, 0.4, 200)
    expected = 2 * found["width"] * isotropic(epsilon, found["width"])
    axes.plot(epsilon, expected, color="#009E73", lw=0.9, label="isotropic rows, expectation")
    axes.set_yscale("log")
    axes.set_ylim(1e-5, 30)
    axes.set_xlim(0.15, 0.55)
    axes.xaxis.set_major_locator(FixedLocator([0.2, 0.3, 0.4, 0.5]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("ε")


def _several(told):
    return [] if told is None else told if isinstance(told, list) else [told]


# ---- tables ------------------------------------------------------------------------------------------


def layers_table(numbers):
    """Return the table of layers and conditions."""
    head = ["block", "rows", "n", "\\|mean\\|/rms", "ε .9", ".5", ".3", "G", "U", ".2", "G", "U", "R"]
    head += ["contrast", "U", "planes"]
    lines = []
    for layer, condition, found in _conditions(numbers):
        if condition == "ordinary rows":
            continue  # the numbers of "no first tokens" again
        told, bases = found["standard"], found.get("random", [])
        twins = found.get("surrogate"), found.get("directions")
        lines.append(
            [layer, condition, f"{found['rows']:,}", f"{found['offset']:.2f}"]
            + [_number(_at(told, "near", e)) for e in (0.9, 0.5)]
            + [_number(_at(one, "near", e)) for e in (0.3, 0.2) for one in (told, *twins)]
            + [_range([_at(one, "near", 0.2) for one in bases], _number)]
            + [_with_error(one) for one in (told, twins[1])]
            + [f"{found['planes_hit'] / found['planes']:.1%}"]
        )
    return _table(head, lines)


def neurons_table(numbers):
    """Return the table of the neurons and planes that carry the peaks, massive neurons in bold."""
    head = ["block", "rows", "neurons hit", "carry half", "most rows around", "highest plane"]
    lines = []
    for layer, condition, found in _conditions(numbers):
        if condition not in ROWS:
            continue
        massive = numbers["layers"][f"layer{layer:02d}"]["massive"]
        top = [
            f"{_neuron(one, massive)} {max(one['plus'], one['minus']):.0%}"
            for one in sorted(found["top_neurons"], key=lambda one: -max(one["plus"], one["minus"]))[:4]
        ]
        plane = found["top_planes"][0]
        lines.append(
            [layer, condition, f"{found['neurons_hit']} of {found['width']}", found["neurons_half"], ", ".join(top)]
            + [f"{plane['i']} → {plane['j']}, {plane['degrees']}°: {plane['fraction']:.0%}"]
        )
    return _table(head, lines)


def vectors_table(numbers):
    """Return the table of the small arrays."""
    head = ["vectors", "rows", "n × d", "\\|mean\\|/rms", "ε", "near", "G", "U", "isotropic", "contrast", "U"]
    lines = []
    for name, kinds in numbers["vectors"].items():
        for kind, found in kinds.items():
            for epsilon in (0.2, 0.1):
                told, twins = found["standard"], (found["surrogate"], found["directions"])
                lines.append(
                    [name, kind, f"{found['rows']:,} × {found['width']:,}", f"{found['offset']:.2f}", f"{epsilon:g}"]
                    + [_number(_at(one, "near", epsilon)) for one in (told, *twins)]
                    + [_number(2 * found["width"] * float(isotropic(epsilon, found["width"])))]
                    + [_with_error(one, epsilon) for one in (told, twins[1])]
                )
    return _table(head, lines)


def _conditions(numbers):
    for layer, found in numbers["layers"].items():
        for condition, one in found["conditions"].items():
            yield int(layer.removeprefix("layer")), condition, one


def _at(told, key, epsilon):
    """Return one of the numbers told at an epsilon, None without any."""
    if told is None:
        return None
    return told[key][told["epsilon"].index(epsilon)]


def _with_error(told, epsilon=DRAWN):
    """Return the contrast with its jackknife error."""
    value, error = _at(told, "contrast", epsilon), _at(told, "error", epsilon)
    if value is None:
        return "–"
    return f"{value:+.2f}".replace("-", "−") + ("" if error is None else f" ± {error:.2f}")


def _number(value):
    if value is None or value == 0:
        return "–" if value is None else "0"
    if value >= 0.01:
        return f"{value:.2f}"
    return f"{value:.4f}" if value >= 0.001 else f"{value:.0e}".replace("e-0", "e-")


def _range(values, form):
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    low, high = form(min(known)), form(max(known))
    return low if low == high else f"{low} … {high}"


def _neuron(one, massive):
    name = f"{'+' if one['plus'] >= one['minus'] else '−'}{one['neuron']}"
    return f"**{name}**" if one["neuron"] in massive else name


def _table(head, lines):
    cells = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in cells)


if __name__ == "__main__":
    sys.exit(main())
