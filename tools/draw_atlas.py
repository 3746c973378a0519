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
    "ordinary": ("… without massive coordinates", "#009E73", (0, (4, 1.5))),
    "directions": ("Gaussian rows, moments of these", "#0072B2", (0, (2, 1.2))),
    "scaled": ("… every neuron over its standard deviation", "#CC79A7", "-"),
    "random": ("random basis", "0.55", (0, (1, 1.2))),
}
NONE = {"size": None, "low": None, "high": None, "near": None, "far": None}


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
    figure = Figure(figsize=(7.6, 9.0), layout="constrained")
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
    bar = figure.colorbar(image, ax=strips, fraction=0.025, pad=0.01, aspect=30)
    bar.set_label("share of rows within 73° of $b_i$ (red) or of $-b_i$ (blue)", fontsize=7.5)
    ticks = (1, 0.5, 0.25, 0.1, 0.02)
    bar.set_ticks(
        [*(-np.sqrt(ticks)), 0, *np.sqrt(ticks)],
        labels=[*(f"{tick:.0%}" for tick in ticks), "0", *(f"{tick:.0%}" for tick in ticks)],
    )
    _mean(mean, numbers, blocks)
    mean.set_xlabel("after block")
    mean.set_xticks(blocks[:: max(1, len(blocks) // 15)])
    mean.set_xlim(min(blocks) - 0.6, max(blocks) + 0.6)
    return figure


def _effects(axes, numbers, blocks):
    layers, e = list(numbers["layers"].values()), numbers["epsilons"].index(SHOWN)
    axes.axhline(0, color="0.8", lw=0.7)
    for way, (name, colour, line) in WAYS.items():
        told = [effect_of(one, way, e) for one in layers]
        size, low, high = (np.array([of[key] for of in told], float) for key in ("size", "low", "high"))
        at = np.array(blocks)
        known = np.isfinite(size)
        axes.plot(at[known], size[known], color=colour, ls=line, lw=1.3, label=name)
        if known.sum() < len(at):  # told of some blocks only
            axes.plot(at[known], size[known], ".", color=colour, ms=4)
        if way != "random":  # of hardly any pairs
            axes.fill_between(at[known], low[known], high[known], color=colour, alpha=0.2, lw=0)
        if way in ("stored", "centred"):
            beyond = np.array([found_in(one["joint"][way]) in ("aligned", "mixed") for one in layers])
            for kind, face in ((beyond, colour), (~beyond, "w")):
                axes.plot(at[kind], size[kind], "o", ms=3.2, mfc=face, mec=colour, mew=0.9)
    axes.set_ylabel(f"to a neuron − midway,\nshare of near pairs\n(ε = {SHOWN:g})")
    axes.set_ylim(-0.5, 1.05)
    axes.legend(
        frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.0), handlelength=2.6, columnspacing=1.4
    )


def _amount(axes, numbers, blocks):
    layers, e = list(numbers["layers"].values()), numbers["epsilons"].index(SHOWN)
    for way in ("stored", "centred", "directions", "scaled", "random"):
        _, colour, line = WAYS[way]
        share = np.array([_near(one, way, e, numbers) for one in layers], float)
        known = share > 0
        axes.plot(np.array(blocks)[known], share[known], color=colour, ls=line, lw=1.3)
    axes.set_yscale("log")
    axes.set_ylabel("share of (row, plane)\npairs that come near")


def _near(one, way, e, numbers):
    """Return the share of pairs that come near; of rows as stored, among those drawn for the test."""
    if way == "stored":
        return sum(one["stored"][e]) / (numbers["rows_tested"] * numbers["planes_tested"])
    told = effect_of(one, way, e)
    return np.nan if told["near"] is None else told["near"] + told["far"]


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
    """Return size, low and high of an effect; as stored of the rows drawn for the test, without an interval."""
    if way == "centred":
        return layer["effects"][e]
    if way == "stored":
        near, far = layer["stored"][e]
        size = (near - far) / (near + far) if near + far else None
        return NONE | {"size": size, "low": size, "high": size}
    return layer["beside"]["effects"][way][e] if layer["beside"] else NONE


def layers_table(numbers):
    """Return the table of layers."""
    head = [
        "block",
        "\\|mean\\|/rms",
        "first ÷ others",
        "massive",
        "stored",
        "p",
        "centred",
        "p",
        "near, ‰",
        "× Gaussian",
    ]
    head += [
        "no massive",
        "scaled",
        "near, ‰",
        "random",
        "kurtosis",
        "scaled",
        "neurons hit",
        "carry half",
        "first of them",
    ]
    e, lines = numbers["epsilons"].index(SHOWN), []
    for name, one in numbers["layers"].items():
        cones = one["cones"]["centred"]
        told = {way: effect_of(one, way, e) for way in WAYS}
        row = [int(name.removeprefix("layer")), f"{one['offset']:.2f}", f"{one['norm_first'] / one['norm_rest']:.1f}"]
        row += [", ".join(one["massive"]) or "–", _signed(told["stored"]["size"]), _p(one, "stored")]
        row += [_interval(told["centred"]), _p(one, "centred"), _thousandths(told["centred"]), _times(one, e)]
        row += [_signed(told["ordinary"]["size"]), _signed(told["scaled"]["size"]), _thousandths(told["scaled"])]
        row += [_signed(told["random"]["size"])]
        row += [f"{one['beside']['kurtosis'][way]:.1f}" if one["beside"] else "" for way in ("centred", "scaled")]
        row += [cones["holding"], cones["half"]]
        lines.append([*row, ", ".join(_neuron(top, one["massive"]) for top in cones["top"][:2])])
    return _table(head, lines)


def _neuron(top, massive):
    """Return a neuron with its sign and the share of rows around it, in bold when it is massive."""
    number, plus, minus = top
    name = f"{'+' if plus >= minus else '−'}{number}"
    return f"{f'**{name}**' if str(number) in massive else name} {max(plus, minus):.0%}"


def _thousandths(told):
    return "" if told["near"] is None else f"{1000 * (told['near'] + told['far']):.2g}"


def _times(one, e):
    """Return how many times as much lies near the neurons, far subtracted, as of Gaussian rows with the moments of the directions."""
    if not one["beside"]:
        return ""
    rows, twin = (one["beside"]["effects"][way][e] for way in ("centred", "directions"))
    return f"{(rows['near'] - rows['far']) / (twin['near'] - twin['far']):.2f}"


def subsets_table(categories):
    """Return the table of subsets of words and bases."""
    head = ["words", "n × d", "basis", "cones p ≤ .05", "categories", "best width: F1", "rotations", "p"]
    head += [f"ε = {categories['epsilon']:g}: F1", "rotations", "p"]
    lines = []
    for name, one in categories["subsets"].items():
        first = [name + ("" if one["centred"] else ", as stored"), f"{one['rows']} × {one['width']}"]
        for basis, told in one["bases"].items():
            row = [*first, basis, f"{told['significant']} of {told['held']}"]
            row += [f"{len(told['by_category'])} of {len(one['categories'])}"]
            for way in ("own", "fixed"):
                row += _against(told["rotated"][way]) if "rotated" in told else ["–"] * 3
            lines.append(row)
            first = ["", ""]
    return _table(head, lines)


def _against(kind):
    return [f"{kind['f1']:.2f}", _span(kind["rotated"]), f"{kind['p']:.2g} {_SIDES.get(kind['verdict'], '')}".strip()]


_SIDES = {"more": "more", "less": "less", "mixed": "both"}


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
    return "" if value is None else f"{value:+.2f}".replace("-", "−")


def _interval(told):
    if told["low"] is None:
        return _signed(told["size"])
    return f"{_signed(told['size'])} [{_signed(told['low'])}, {_signed(told['high'])}]"


if __name__ == "__main__":
    sys.exit(main())
