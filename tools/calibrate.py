"""How often the verdict of `--null` is wrong on rows without a privileged basis, and how often it is right on planted ones.

    python tools/calibrate.py run state.json --replications 4000     # resumable; writes the state every 100 replications
    python tools/calibrate.py table state.json                       # the tables of docs/verdict.md
    python tools/calibrate.py plot state.json -o docs/verdict-power.png

One thread; each replication has a seed of its own, so a run that is stopped goes on where it was.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

from srmfast.bases import load_basis, random_frame
from srmfast.engine.planes_drawn import PlanesDrawn, sizes_of
from srmfast.engine.rotations import Rows, count_near, summarise
from srmfast.family import LEVEL, Family
from srmfast.planes import Geometry, choose_planes

ROTATIONS = 39  # with which a two-sided test at 5 % is exact: both directions at 1/40
ROWS = 200
WIDTHS = (6, 16, 48)
EPSILONS = (0.3, 0.5, 0.75)
BATCH = 100
DOCUMENT = 20  # rows of one document
ANYWHERE = 1.0  # given for ε, so that both directions are looked at whatever it is
STRENGTHS = (0.0, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3)
CURVES = {  # direction, ε, rows, background
    "aligned, ε = 0.5, 200 rows": ("aligned", 0.5, 200, "isotropic"),
    "aligned, ε = 0.8, 200 rows": ("aligned", 0.8, 200, "isotropic"),
    "aligned, ε = 0.5, 1,000 rows": ("aligned", 0.5, 1000, "isotropic"),
    "aligned, ε = 0.5, 200 rows, power law": ("aligned", 0.5, 200, "power law"),
    "anti-aligned, ε = 0.8, 200 rows": ("anti-aligned", 0.8, 200, "isotropic"),
}
POWER_WIDTH = 16


def isotropic(n, d, rng):
    """Rows without any direction."""
    return rng.standard_normal((n, d))


def power_law(n, d, rng):
    """Variances 1, 1/2, 1/3 … along random axes."""
    return rng.standard_normal((n, d)) / np.sqrt(np.arange(1, d + 1)) @ random_frame(d, d, rng)


def large_mean(n, d, rng):
    """A mean as long as twice the rows' spread, in a random direction: |mean|/rms = 0.89."""
    return rng.standard_normal((n, d)) + 2.0 * np.sqrt(d) * random_frame(1, d, rng)


def heavy_tails(n, d, rng):
    """Norms that have no variance, about a mean of one spread in a random direction."""
    return (isotropic(n, d, rng) + np.sqrt(d) * random_frame(1, d, rng)) * np.abs(rng.standard_t(2, (n, 1)))


def documents(n, d, rng):
    """Twenty rows a document, which share a direction as strong as what they do not share."""
    shared = rng.standard_normal((-(-n // DOCUMENT), d))
    return rng.standard_normal((n, d)) + np.repeat(shared, DOCUMENT, axis=0)[:n]


def duplicates(n, d, rng):
    """One row in a hundred is the same row."""
    rows = isotropic(n, d, rng)
    rows[: max(2, n // 100)] = rows[0]
    return rows


DATA = {
    "isotropic": isotropic,
    "power law": power_law,
    "large mean": large_mean,
    "heavy tails": heavy_tails,
    "documents": documents,
    "duplicates": duplicates,
}


def planted(n, d, rng, share, direction, background):
    """Rows of which a share lies near ±one vector of the standard basis, or midway between two."""
    rows = DATA[background](n, d, rng)
    at = np.flatnonzero(rng.random(n) < share)
    signs = rng.choice([-1.0, 1.0], (2, at.size))
    first = rng.integers(0, d, at.size)
    second = (first + rng.integers(1, d, at.size)) % d
    rows[at] = 0.1 * rng.standard_normal((at.size, d))
    rows[at, first] += signs[0]
    if direction == "anti-aligned":
        rows[at, second] += signs[1]
    return rows


class Bench:
    """The standard basis of a width and all its planes, and the frames of its rotations."""

    def __init__(self, d):
        basis = load_basis("standard", d)
        geometry = Geometry.of(basis)
        planes = choose_planes("combinations", basis, geometry)
        self.d, self.tested = d, PlanesDrawn.of(basis, geometry, planes, sizes_of(ROTATIONS, ROWS, d, d, 1), 0)

    def compare(self, values, epsilons, rng):
        """Return the phases and extremes of the basis and of its rotations, (1 + M, 1, e, 2) each."""
        rows = Rows(values, np.zeros(len(values), np.int64), epsilons)
        shape = 1 + ROTATIONS, 1, len(epsilons), 2
        phase, extreme = np.empty(shape, np.int64), np.empty(shape)
        for m in range(1 + ROTATIONS):
            along = (
                self.tested.turned(rows.values, random_frame(self.d, self.d, rng)) if m else self.tested.along(values)
            )
            phase[m], extreme[m] = summarise(count_near(self.tested, rows, along, 1)[0])
        return phase, extreme


def rejected(phase, extreme):
    """Say whether both directions together, either alone, or none are found at the nominal level, as two bools."""
    family = Family(phase, extreme, np.full(phase.shape[2], ANYWHERE))
    found = family.overall(0.0, ROWS)
    return 2 * found.p_aligned <= LEVEL, 2 * found.p_anti <= LEVEL


def replicate(bench, name, number):
    """Return for one data set the rejections, (e + 1, 2) bool: each epsilon by itself, and all as one family."""
    rng = np.random.default_rng([sorted(DATA).index(name), bench.d, number])
    phase, extreme = bench.compare(DATA[name](ROWS, bench.d, rng), EPSILONS, rng)
    alone = [rejected(phase[:, :, e : e + 1], extreme[:, :, e : e + 1]) for e in range(len(EPSILONS))]
    return np.array([*alone, rejected(phase, extreme)])


def find_planted(bench, curve, share, number):
    """Return whether what was planted was found, (2,) bool: aligned and anti-aligned."""
    direction, epsilon, n, background = CURVES[curve]
    rng = np.random.default_rng([list(CURVES).index(curve), int(1000 * share), number])
    rows = planted(n, bench.d, rng, share, direction, background)
    return np.array(rejected(*bench.compare(rows, (epsilon,), rng)))


def jobs():
    """Yield (key, width, function of a bench and a number) of every cell."""
    for d in WIDTHS:
        for name in DATA:
            yield f"null/{name}/{d}", d, lambda bench, number, name=name: replicate(bench, name, number)
    for curve in CURVES:
        for share in STRENGTHS:
            yield (
                f"power/{curve}/{share}", POWER_WIDTH,
                lambda bench, number, curve=curve, share=share: find_planted(bench, curve, share, number),
            )  # fmt: skip


def run(path, replications, power):
    """Do the replications that the state lacks, in turns of a batch, so that all cells are equally far."""
    state = json.loads(path.read_text()) if path.exists() else {}
    benches = {d: Bench(d) for d in {*WIDTHS, POWER_WIDTH}}
    began = time.monotonic()
    for turn in range(BATCH, max(replications, power) + BATCH, BATCH):
        for key, d, call in jobs():
            wanted = min(turn, replications if key.startswith("null") else power)
            done, found = state.get(key, (0, 0))
            found = np.asarray(found)
            for number in range(done, wanted):
                found = found + call(benches[d], number)
            if wanted > done:
                state[key] = [wanted, found.tolist()]
                aside = path.with_suffix(".wip")
                aside.write_text(json.dumps(state))
                os.replace(aside, path)
        print(f"{min(turn, replications):,} replications after {time.monotonic() - began:,.0f} s", flush=True)


def band(replications, cells, level=LEVEL, confidence=0.99):
    """Return the shares between which all of so many cells of a nominal test lie with this confidence."""
    from scipy.stats import binom

    tail = (1 - confidence ** (1 / cells)) / 2
    return binom.ppf(tail, replications, level) / replications, binom.isf(tail, replications, level) / replications


def table(state):
    """Return the table of the null cells as lines of markdown, and whether no cell is above the band."""
    cells = {
        key.split("/")[1:] and tuple(key.split("/")[1:]): value for key, value in state.items() if key[:4] == "null"
    }
    least = min(done for done, _ in cells.values())
    low, high = band(least, len(cells) * (len(EPSILONS) + 1))
    heads = " | ".join(f"d = {d}, ε = {epsilon:g}" for d in WIDTHS for epsilon in (*EPSILONS,))
    lines = [
        f"{least:,} replications of {ROWS} rows, {ROTATIONS} rotations; nominal {LEVEL:.0%}, simultaneous 99 % band "
        f"[{low:.1%}, {high:.1%}].",
        "",
        f"| rows | {heads} | " + " | ".join(f"d = {d}, all ε" for d in WIDTHS) + " |",
        "| --- |" + " ---: |" * (len(WIDTHS) * (len(EPSILONS) + 1)),
    ]
    sound = True
    for name in DATA:
        shares = {d: np.array(cells[name, str(d)][1]).sum(axis=1) / cells[name, str(d)][0] for d in WIDTHS}
        row = [*(share for d in WIDTHS for share in shares[d][:-1]), *(shares[d][-1] for d in WIDTHS)]
        sound &= all(share <= high for share in row)
        lines.append(f"| {name} | " + " | ".join(f"{share:.1%}" + ("*" if share < low else "") for share in row) + " |")
    return lines, sound


def plot(state, path):
    """Draw how often what was planted is found."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.8), layout="constrained")
    marks = ("o", "s", "^", "D", "v")
    colours = ("#0b5394", "#6fa8dc", "#073763", "#38761d", "#b45f06")
    for mark, colour, (curve, (direction, *_)) in zip(marks, colours, CURVES.items(), strict=True):
        side = ("aligned", "anti-aligned").index(direction)
        found = [state[f"power/{curve}/{share}"] for share in STRENGTHS]
        axes.plot(
            STRENGTHS,
            [counts[side] / done for done, counts in found],
            color=colour,
            marker=mark,
            markersize=4,
            label=curve,
        )
    axes.axhline(LEVEL / 2, color="0.5", linewidth=0.8, linestyle=":")
    axes.annotate("nominal, one direction", (STRENGTHS[-1], LEVEL / 2), (0, 3), textcoords="offset points", ha="right", fontsize=7, color="0.4")  # fmt: skip
    axes.set(
        xlabel="share of rows planted", ylabel="share of runs in which it is found", ylim=(0, 1.02), xlim=(0, None)
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=200)


def main(arguments=None):
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "table", "plot"))
    parser.add_argument("state", type=Path)
    parser.add_argument("--replications", type=int, default=4000)
    parser.add_argument("--power", type=int, default=400, help="replications of each point of the power curves")
    parser.add_argument("-o", "--out", type=Path)
    given = parser.parse_args(arguments)
    if given.what == "run":
        run(given.state, given.replications, given.power)
        return
    state = json.loads(given.state.read_text())
    if given.what == "table":
        print("\n".join(table(state)[0]))
    else:
        plot(state, given.out)


if __name__ == "__main__":
    main()
