"""Write the tables of docs/paper.md from the numbers of `tools/paper.py`.

    python tools/paper_tables.py docs/paper.json --page docs/paper.md     # without --page they are printed

Every table of the page stands between `<!-- table NAME -->` and `<!-- end -->`; what is there is replaced.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import numpy as np
from paper_classes import order_of

from srmfast.whole import whole_file

RECIPES = ("small-mnist", "large-mnist", "small-cifar", "large-cifar")
ACTIVATIONS = {"generalised-tanh": "generalised tanh", "tanh": "elementwise tanh", "isotropic-tanh": "isotropic tanh"}
WORDS = {"raw": "as stored", "centred": "mean subtracted"}
LEVEL = 0.05  # of p


def main(argv=None):
    """Fill the page or print the tables; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0], allow_abbrev=False)
    parser.add_argument("numbers", type=Path, metavar="F.json", help="made by tools/paper.py")
    parser.add_argument("--page", type=Path, metavar="F.md")
    options = parser.parse_args(argv)
    if not options.numbers.is_file():
        parser.error(f"the numbers must exist, got {options.numbers}; make them with tools/paper.py")
    tables = all_tables(json.loads(options.numbers.read_text()))
    if options.page is None:
        for name, table in tables.items():
            print(f"{name}\n\n{table}\n")
        return 0
    page = filled(options.page.read_text(), tables)
    with whole_file(options.page) as file:
        file.write(page.encode())
    return 0


def filled(page, tables):
    """Return a page with its tables replaced."""
    for name, table in tables.items():
        page = re.sub(rf"(<!-- table {name} -->\n).*?(<!-- end -->)", lambda m, t=table: f"{m[1]}\n{t}\n\n{m[2]}", page, flags=re.S)  # fmt: skip
    return page


def all_tables(numbers):
    """Return every table that the numbers at hand suffice for, by name."""
    made = {"headline": headline(numbers), "networks": networks(numbers), "bases": bases(numbers)}
    if "stages" in numbers:
        made["stages"] = stages(numbers)
    if "classes" in numbers:
        made |= {"classes": class_ranges(numbers), "picked": picked(numbers), "orders": orders(numbers)}
    return made


def headline(numbers):
    """Return the table of the networks of figure 1, a seed a line, untrained and trained."""
    head = ["seed", "test MSE", "\\|mean\\|/rms", "saturated", "cosine", "spread", "on, ε .7", "A .75 (p)", "A .85 (p)"]
    head += ["cover", "centred: A .75 (p)", "cover", "untrained: on, ε .7", "A .75 (p)"]
    lines, at = [], _reader(numbers)
    for seed, told in _first(numbers).items():
        new, mine = told["trained"], told["trained"]["privileged"]
        first = told["untrained"]["privileged"]["raw"]
        lines.append(
            [seed, f"{told['test_mse']:.4f}", f"{new['offset']:.2f}", new["saturated"], f"{mine['cosine']:.2f}"]
            + [f"{mine['spread']:.1f}", _share(at(mine["raw"]["on"], 0.7))]
            + [_with_p(mine["raw"], numbers, epsilon) for epsilon in (0.75, 0.85)]
            + [at(mine["raw"]["cover"], 0.75), _with_p(mine["centred"], numbers, 0.75)]
            + [at(mine["centred"]["cover"], 0.75), _share(at(first["on"], 0.7)), _with_p(first, numbers, 0.75)]
        )
    return _table(head, lines)


def bases(numbers):
    """Return the table of the trained networks of figure 1 in three bases, mean ± sd over seeds."""
    head = [
        "basis",
        "rows",
        "cosine",
        "on, ε .7",
        "on .75",
        "on .85",
        "A .75",
        "in phase / antiphase / neither",
        "A .85",
    ]
    head += ["in phase / antiphase / neither"]
    lines, at, tested = [], _reader(numbers), numbers["settings"]["tested"]
    seeds = [one["trained"] for one in _first(numbers).values()]
    for way in WORDS:
        for name in ("privileged", "standard"):
            parts = [one[name][way] for one in seeds]
            row = [name, WORDS[way], _spread([one[name]["cosine"] for one in seeds], "{:.2f}")]
            row += [_spread([at(one["on"], epsilon) for one in parts], _share) for epsilon in (0.7, 0.75, 0.85)]
            for epsilon in (0.75, 0.85):
                row += [_spread([at(one["A"], epsilon) for one in parts], _milli), _verdicts(parts, numbers, epsilon)]
            lines.append(row)
        turned = [one["rotated"] for one in seeds]

        def extremes(*keys, k=None, turned=turned):
            for one in turned:
                for key in keys:
                    one = one[key]
                yield from (one[end] if k is None else one[end][k] for end in ("min", "max"))

        row = ["rotations, range", WORDS[way], _range(extremes("cosine"), "{:.2f}")]
        row += [_range(extremes(way, "on", k=tested.index(epsilon)), _share) for epsilon in (0.7, 0.75, 0.85)]
        for epsilon in (0.75, 0.85):
            row += [_range(extremes(way, "A", k=tested.index(epsilon)), _milli), ""]
        lines.append(row)
    return _table(head, lines)


def networks(numbers):
    """Return the table of all kinds of networks, mean ± sd over seeds."""
    head = [
        "network",
        "b",
        "activation",
        "seeds × epochs",
        "test MSE",
        "\\|mean\\|/rms",
        "saturated",
        "cosine (rotated)",
    ]
    head += ["rows", "near, ε .75", "cover"]
    head += [words for epsilon in (".7", ".75") for words in (f"A {epsilon}", "in phase / antiphase / neither")]
    head += ["phase .5"]
    lines, at = [], _reader(numbers)
    for group in sorted(numbers["nets"].values(), key=_order):
        seeds = list(group["seeds"].values())
        new = [one["trained"] for one in seeds]
        first = [
            group["recipe"].replace("-", " "),
            group["count"],
            ACTIVATIONS[group["activation"]] + ", mean pixel 0" * group["shifted"],
            f"{len(seeds)} × {group['epochs']}",
            _spread([one["test_mse"] for one in seeds], "{:.4f}"),
            _spread([one["offset"] for one in new], "{:.2f}"),
            _several(one["saturated"] for one in new),
            _spread([one["privileged"]["cosine"] for one in new], "{:.2f}")
            + f" ({np.mean([one['rotated']['cosine']['mean'] for one in new]):.2f})",
        ]
        for way in WORDS:
            parts = [one["privileged"][way] for one in new]
            lines.append(
                (first if way == "raw" else [""] * len(first))
                + [WORDS[way], _spread([at(one["near"], 0.75) for one in parts], _share)]
                + [_several(at(one["cover"], 0.75) for one in parts)]
                + [
                    cell
                    for epsilon in (0.7, 0.75)
                    for cell in (
                        _spread([at(one["A"], epsilon) for one in parts], _milli),
                        _verdicts(parts, numbers, epsilon),
                    )
                ]
                + [_spread([at(one["phase"], 0.5) for one in parts], "{:+.2f}")]
            )
    return _table(head, lines)


def stages(numbers):
    """Return the table of the stages of a training: the seeds side by side in each cell."""
    courses = numbers["stages"]
    head = [
        "epochs",
        "test MSE",
        "saturated",
        "\\|mean\\|/rms",
        "cosine",
        "spread",
        "A .75, as stored",
        "A .75, mean subtracted",
    ]
    lines = []
    for k, epoch in enumerate(courses[0]["epoch"]):
        cells = [[f"{one['test_mse'][k]:.4f}" for one in courses], [str(one["saturated"][k]) for one in courses]]
        cells += [[f"{one[key][k]:.2f}" for one in courses] for key in ("offset", "cosine")]
        cells += [[f"{one['spread'][k]:.1f}" for one in courses]]
        cells += [[_milli(one[way][k]) for one in courses] for way in WORDS]
        lines.append([epoch, *(", ".join(cell) for cell in cells)])
    return _table(head, lines)


def class_ranges(numbers):
    """Return the table of how widely neurons spread the classes, and how widely random directions do."""
    head = [
        "network",
        "rows",
        "widest of 16 neurons",
        "of 16 random directions",
        "p",
        "mean of 16 neurons",
        "of random",
        "p",
    ]
    lines = []
    for name, told in numbers["classes"].items():
        for way in WORDS:
            parts = [one[way] for one in told["seeds"].values()]
            row = [_words(name), WORDS[way]]
            for k in (0, 1):
                row += [_spread([one["most_and_mean"][k] for one in parts], "{:.2f}")]
                row += [_spread([one["rotated"]["mean"][k] for one in parts], "{:.2f}")]
                row += [", ".join(f"{one['p'][k]:.2f}" for one in parts)]
            lines.append(row)
    return _table(head, lines)


def picked(numbers):
    """Return the table of how well the best cone of a neuron picks out a class, and the best cone of random directions."""
    head = [
        "network",
        "rows",
        "best cone for a class: F1",
        "of 16 random directions",
        "p",
        "best of all",
        "classes at p ≤ .05",
    ]
    lines = []
    for name, told in numbers["classes"].items():
        for way in WORDS:
            parts = [one[way]["picked"] for one in told["seeds"].values()]
            best = [max(one["classes"].items(), key=lambda of: of[1][2]) for one in parts]
            found = [
                f"{told['names'][int(label)]} {pole}{vector + 1}"
                for one in parts
                for label, (vector, pole, f1, highest, p) in one["classes"].items()
                if p <= 0.05 and f1 > highest
            ]
            lines.append(
                [_words(name), WORDS[way], _spread([one["f1"] for one in parts], "{:.2f}")]
                + [_spread([one["rotated"][1] for one in parts], "{:.2f}")]
                + [", ".join(f"{one['p']:.2f}" for one in parts)]
                + [
                    ", ".join(f"{told['names'][int(label)]} {of[2]:.2f}" for label, of in best),
                    ", ".join(found) or "none",
                ]
            )
    return _table(head, lines)


def orders(numbers):
    """Return the table of the classes at the neuron with the widest range, mean subtracted at two of them, seed 0."""
    head = ["network", "rows", "neuron", "classes from the most positive, signed share in %"]
    lines = []
    for name, told in numbers["classes"].items():
        for way in WORDS:
            one = told["seeds"]["0"][way]
            for neuron in np.argsort(-np.asarray(one["range"]), kind="stable")[: 1 + (way == "centred")]:
                words = ", ".join(
                    f"{label} {100 * value:+.0f}" for label, value in order_of(one, told["names"], neuron)
                )
                lines.append([_words(name), WORDS[way], neuron + 1, words.replace("-", "−")])
    return _table(head, lines)


# ---- words and cells ---------------------------------------------------------------------------------


def _is(group, recipe, count, activation):
    about = group["recipe"], group["count"], group["activation"], group["shifted"]
    return about == (recipe, count, activation, False)


def _first(numbers):
    """Return the seeds of the networks of figure 1."""
    found = (one["seeds"] for one in numbers["nets"].values() if _is(one, "small-mnist", 32, "generalised-tanh"))
    return next(found, {})


def _order(group):
    return (
        group["count"] == 64,
        group["count"] == 17,
        RECIPES.index(group["recipe"]),
        list(ACTIVATIONS).index(group["activation"]),
        group["shifted"],
    )


def _words(group):
    return group.rpartition("-b")[0].replace("-", " ")


def _reader(numbers):
    epsilons = numbers["settings"]["epsilons"]
    return lambda values, epsilon: values[epsilons.index(epsilon)]


def _with_p(part, numbers, epsilon):
    k = numbers["settings"]["tested"].index(epsilon)
    return f"{_milli(_reader(numbers)(part['A'], epsilon))} ({part['p'][k]:.2f})"


def _verdicts(parts, numbers, epsilon=0.75):
    """Count the seeds whose A is beyond the rotations of their basis, upward, downward, and neither."""
    k, at = numbers["settings"]["tested"].index(epsilon), _reader(numbers)
    signs = [np.sign(at(one["A"], epsilon)) if one["p"][k] <= LEVEL else 0 for one in parts if "p" in one]
    return f"{signs.count(1)} / {signs.count(-1)} / {signs.count(0)}"


def _share(value):
    if value == 0:
        return "0"
    return (
        f"{value:.3f}"
        if abs(value) >= 0.0995
        else f"{value:.4f}"
        if abs(value) >= 0.001
        else f"{value:.0e}".replace("e-0", "e-")
    )


def _milli(value):
    """Return A in thousandths."""
    return f"{1000 * value:+.2f}".replace("-", "−")


def _format(form, value):
    return form(value) if callable(form) else form.format(value).replace("-", "−")


def _spread(values, form):
    """Return mean ± sd of values, those that are none left out."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    sd = np.std(known, ddof=1) if len(known) > 1 else None
    return _format(form, np.mean(known)) + ("" if sd is None else f" ± {_format(form, sd).lstrip('+')}")


def _several(values):
    """Return whole numbers, a seed each, as their range or their only value."""
    values = list(values)
    return str(values[0]) if len(set(values)) == 1 else f"{min(values)} … {max(values)}"


def _range(values, form):
    values = list(values)
    return f"{_format(form, min(values))} … {_format(form, max(values))}"


def _table(head, lines):
    cells = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in cells)


if __name__ == "__main__":
    sys.exit(main())
