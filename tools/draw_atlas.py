"""Draw and tabulate what `tools/measure_atlas.py` and `tools/measure_categories.py` measured.

python tools/draw_atlas.py docs/language-models-atlas.json --figure docs/language-models-atlas.png > tables.md
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from draw_models import STYLE, _table
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from measure_atlas import found_in

SHOWN = 0.2  # the epsilon of the effects
CLOSER = 0.3  # and the one beside it in the table
WAYS = {  # of effects: name, colour (Okabe and Ito), line
    "stored": ("as stored", "0.15", "-"),
    "centred": ("mean subtracted", "#D55E00", "-"),
    "ordinary": ("and without massive coordinates", "#009E73", (0, (4, 1.5))),
    "gaussian": ("Gaussian rows with mean and covariance of these", "#0072B2", (0, (2, 1.2))),
    "scaled": ("every neuron over its standard deviation", "#CC79A7", "-"),
    "random": ("random basis", "0.55", (0, (1, 1.2))),
}


def main(argv=None):
    """Print the tables and draw the figure; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0], allow_abbrev=False)
    parser.add_argument("numbers", type=Path, metavar="F.json", help="made by tools/measure_atlas.py")
    parser.add_argument(
        "--categories",
        type=Path,
        action="append",
        default=[],
        metavar="F.json",
        help="made by tools/measure_categories.py",
    )
    parser.add_argument("--figure", type=Path, metavar="F.png")
    options = parser.parse_args(argv)
    for path in (options.numbers, *options.categories):
        if not path.is_file():
            parser.error(
                f"the numbers must exist, got {path}; make them with tools/measure_atlas.py or tools/measure_categories.py"
            )
    numbers = json.loads(options.numbers.read_text())
    print(layers_table(numbers), end="\n\n")
    for path in options.categories:
        categories = json.loads(path.read_text())
        print(subsets_table(categories), end="\n\n")
        print(classes_table(categories), end="\n\n")
    if options.figure:
        with rc_context(STYLE):
            draw(numbers).savefig(options.figure, dpi=170, metadata={"Software": None})
    return 0


# ---- figure ------------------------------------------------------------------------------------------


def draw(numbers):
    """Return the figure: effects, how much lies near, which neurons hold it, and the mean, by block."""
    figure = Figure(figsize=(7.6, 9.2), layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(h_pad=0.03, hspace=0.03)
    blocks = [int(name.removeprefix("layer")) for name in numbers["layers"]]
    count = [len(numbers["neurons"][way]["neuron"]) for way in ("stored", "centred")]
    effects, amount, *strips, mean = figure.subplots(5, 1, sharex=True, height_ratios=[16, 10, *count, 9])
    figure.suptitle(
        f"{numbers['model'].partition(',')[0]}, residual stream after each block · basis of the neurons",
        x=0.01,
        ha="left",
        fontsize=9,
    )
    _effects(effects, numbers, blocks)
    _amount(amount, numbers, blocks)
    for axes, way in zip(strips, ("stored", "centred"), strict=True):
        image = _strip(axes, numbers, blocks, way)
    figure.colorbar(
        image, ax=strips, label="share of rows within 73°\nof $b_i$ (red), of $-b_i$ (blue)", fraction=0.03, pad=0.01
    )
    _mean(mean, numbers, blocks)
    mean.set_xlabel("after block")
    mean.set_xticks(blocks[:: max(1, len(blocks) // 15)])
    mean.set_xlim(min(blocks) - 0.6, max(blocks) + 0.6)
    return figure


def _effects(axes, numbers, blocks):
    layers, e = numbers["layers"].values(), numbers["epsilons"].index(SHOWN)
    axes.axhline(0, color="0.8", lw=0.7)
    for way, (name, colour, line) in WAYS.items():
        told = [effect_of(one, way, e) for one in layers]
        size, low, high = (
            np.array([np.nan if of[key] is None else of[key] for of in told]) for key in ("size", "low", "high")
        )
        axes.plot(blocks, size, color=colour, ls=line, lw=1.3, label=name)
        axes.fill_between(blocks, low, high, color=colour, alpha=0.2, lw=0)
        if way in ("stored", "centred"):
            beyond = np.array([found_in(one["joint"][way]) in ("aligned", "mixed") for one in layers])
            for kind, face in ((beyond, colour), (~beyond, "w")):
                axes.plot(np.array(blocks)[kind], size[kind], "o", ms=3.6, mfc=face, mec=colour, mew=0.9)
    axes.set_ylabel(f"to a neuron − midway,\nshare of near pairs\n(ε = {SHOWN:g})".replace("\\\n", "\n"))
    axes.set_ylim(-1.05, 1.05)
    axes.legend(frameon=False, ncols=2, loc="lower right", handlelength=2.6)


def _amount(axes, numbers, blocks):
    layers, e = list(numbers["layers"].values()), numbers["epsilons"].index(SHOWN)
    pairs = numbers["rows_tested"] * numbers["planes_tested"]
    for key, way in (("drawn", "centred"), ("gaussian", "gaussian"), ("rotated", "random")):
        name, colour, line = WAYS[way]
        share = np.array([sum(one[key][e]) / pairs for one in layers])
        axes.plot(blocks, np.where(share > 0, share, np.nan), color=colour, ls=line, lw=1.3, label=_AMOUNTS[key])
    axes.set_yscale("log")
    axes.set_ylabel("(row, plane) pairs\nnearer than 78°")
    axes.legend(frameon=False, loc="center right", handlelength=2.6)


_AMOUNTS = {
    "drawn": "the model's rows, mean subtracted",
    "gaussian": "Gaussian rows, same moments",
    "rotated": "the model's rows, rotated bases",
}


def _strip(axes, numbers, blocks, way):
    told = numbers["neurons"][way]
    share = np.array(told["share"])  # (layers, neurons, 2)
    signed = (share[..., 0] - share[..., 1]).T
    extent = (min(blocks) - 0.5, max(blocks) + 0.5, len(signed) - 0.5, -0.5)
    image = axes.imshow(
        np.sign(signed) * np.sqrt(np.abs(signed)),
        aspect="auto",
        cmap="RdBu_r",
        vmin=-1,
        vmax=1,
        extent=extent,
        interpolation="nearest",
    )
    massive = {int(c) for one in numbers["layers"].values() for c in one["massive"]}
    axes.set_yticks(range(len(signed)), [f"{n}" for n in told["neuron"]], fontsize=6.5)
    for label, n in zip(axes.get_yticklabels(), told["neuron"], strict=True):
        label.set_fontweight("bold" if n in massive else "normal")
    axes.set_ylabel(f"neuron,\n{WAYS[way][0]}")
    return image


def _mean(axes, numbers, blocks):
    layers = list(numbers["layers"].values())
    axes.plot(blocks, [one["offset"] for one in layers], color="0.15", lw=1.3)
    axes.set_ylim(0, 1)
    axes.set_ylabel("|mean|/rms")
    other = axes.twinx()
    other.spines["right"].set_visible(True)
    other.plot(blocks, [one["norm_first"] / one["norm_rest"] for one in layers], color="#56B4E9", lw=1.3)
    other.set_yscale("log")
    other.set_ylabel("norm of first tokens\n/ of the others", color="#56B4E9")


# ---- tables ------------------------------------------------------------------------------------------


def effect_of(layer, way, e):
    """Return size, low and high of an effect; of Gaussian rows without an interval."""
    if way == "centred":
        return layer["effects"][e]
    if way != "gaussian":
        return layer["beside_effects"][way][e]
    near, far = layer["gaussian"][e]
    size = (near - far) / (near + far) if near + far else None
    return {"size": size, "low": size, "high": size}


def layers_table(numbers):
    """Return the table of layers."""
    head = ["block", "\\|mean\\|/rms", "first ÷ others", "massive", "stored", "p", "centred", "p", "Gaussian"]
    head += [
        "× Gaussian, .2",
        ".3",
        "no massive",
        "scaled",
        "random",
        "kurtosis",
        "scaled",
        "random",
        "neurons hit",
        "carry half",
    ]
    at = [numbers["epsilons"].index(e) for e in (SHOWN, CLOSER)]
    lines = []
    for name, one in numbers["layers"].items():
        cones = one["cones"]["centred"]
        row = [int(name.removeprefix("layer")), f"{one['offset']:.2f}", f"{one['norm_first'] / one['norm_rest']:.1f}"]
        row += [", ".join(one["massive"]) or "–", _signed(effect_of(one, "stored", at[0])["size"]), _p(one, "stored")]
        row += [
            _interval(one["effects"][at[0]]),
            _p(one, "centred"),
            _signed(effect_of(one, "gaussian", at[0])["size"]),
        ]
        row += [_times(one, e) for e in at]
        row += [_signed(effect_of(one, way, at[0])["size"]) for way in ("ordinary", "scaled", "random")]
        row += [f"{one['beside_kurtosis'][way]:.1f}" for way in ("centred", "scaled", "random")]
        lines.append([*row, cones["holding"], cones["half"]])
    return _table(head, lines)


def _times(one, e):
    """Return how many times as much lies near the neurons, far subtracted, as of Gaussian rows."""
    rows, gaussian = (one[key][e][0] - one[key][e][1] for key in ("drawn", "gaussian"))
    return f"{rows / gaussian:.1f}" if gaussian > 0 else "–"


def subsets_table(categories):
    """Return the table of subsets of words and bases."""
    head = [
        "words",
        "n × d",
        "basis",
        "cones with a category",
        "highest F1",
        "best width: F1",
        "rotations",
        "p",
        f"ε = {categories['epsilon']:g}: F1",
        "rotations",
        "p",
    ]
    lines = []
    for name, one in categories["subsets"].items():
        for basis, told in one["bases"].items():
            row = [
                name if basis == "neurons" else "",
                f"{one['rows']} × {one['width']}" if basis == "neurons" else "",
                basis,
            ]
            row += [f"{told['significant']} of {told['held']}", f"{told['best_f1']:.2f}"]
            for way in ("own", "fixed"):
                kind = told.get("rotated", {}).get(way)
                row += (
                    ["–"] * 3
                    if kind is None
                    else [
                        f"{kind['f1']:.3f}",
                        f"{kind['rotated'][0]:.3f} … {kind['rotated'][2]:.3f}",
                        f"{kind['p']:.2g}",
                    ]
                )
            lines.append(row)
    return _table(head, lines)


def classes_table(categories, subset=None):
    """Return the table of the best neuron for each category of one subset."""
    name = subset or next(name for name in ("two tokens", *categories["subsets"]) if name in categories["subsets"])
    one = categories["subsets"][name]
    told = one["bases"]["neurons"]
    fixed = {best["label"]: best for best in told["rotated"]["fixed"]["classes"]}
    head = [
        "category",
        "words",
        f"neurons at p ≤ .05, ε = {categories['epsilon']:g}",
        "best",
        "F1",
        "rotations",
        "p",
        "best at its own width",
        "F1",
        "rotations",
        "p",
    ]
    lines = []
    for best in sorted(told["rotated"]["own"]["classes"], key=lambda best: best["label"]):
        label, at = best["label"], fixed[best["label"]]
        row = [label.replace("_", " "), one["categories"][label], told["by_category"].get(label, 0)]
        row += [f"{at['pole']}{at['vector']}", f"{at['f1']:.2f}", _span(at["rotated"]), _two_sided(at)]
        row += [
            f"{best['pole']}{best['vector']}, ε {best['epsilon']:.2f}",
            f"{best['f1']:.2f}",
            _span(best["rotated"]),
            _two_sided(best),
        ]
        lines.append(row)
    return _table(head, lines)


def _two_sided(best):
    return f"{min(1.0, 2 * min(best['p_more'], best['p_less'])):.2g}"


def _span(rotated):
    return f"{rotated[0]:.2f} … {rotated[2]:.2f}"


def _p(one, way):
    joint = one["joint"][way]
    return f"{joint['p']:.2g} {_WORDS[found_in(joint)]}".strip()


_WORDS = {"aligned": "", "mixed": "both", "anti-aligned": "anti", "none": "none"}


def _signed(value):
    return "–" if value is None else f"{value:+.2f}".replace("-", "−")


def _interval(told):
    if told["low"] is None:
        return _signed(told["size"])
    return f"{_signed(told['size'])} [{_signed(told['low'])}, {_signed(told['high'])}]"


if __name__ == "__main__":
    sys.exit(main())
