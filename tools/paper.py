"""Do the experiments of the paper behind the Spotlight Resonance Method (arXiv 2505.13471) again, from images to figures.

    python tools/paper.py fig1 --data FOLDER -o runs      # one experiment: trains what is missing, measures, draws
    python tools/paper.py all --data FOLDER -o runs
    python tools/paper_tables.py runs/paper.json --page docs/paper.md

FOLDER holds mnist_full.npz, cifar10_train4000_exact.npz and cifar10_test10000_jpeg.npz. Every network has a folder
of its own under runs/nets, and what is there is not trained again: a run that was stopped goes on, and the same command with more
`--seeds` or `--epochs` adds to it. In runs afterwards: EXPERIMENT.png, and paper.json with every number by seed.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from paper_classes import EPSILON as CLASS_EPSILON
from paper_classes import classes
from paper_draw import Column, grid, save
from paper_figures import classes_figure, strip
from paper_measure import EPSILONS, ROTATIONS, TESTED, haar
from paper_nets import EPOCHS, STRIP, WIDTH, Bench, Net, images

from srmfast.errors import InputError
from srmfast.whole import whole_file

SEEDS, HEADLINE = 3, 10  # of an experiment, and of the first
SMALL, LARGE = ("small-mnist", "small-cifar"), ("large-mnist", "large-cifar")
NAMES = {
    "small-mnist": "small MNIST",
    "small-cifar": "small CIFAR",
    "large-mnist": "large MNIST",
    "large-cifar": "large CIFAR",
}
SIGNED = np.concatenate([np.eye(WIDTH), -np.eye(WIDTH)])
STAGES = (0, 2, 10, 20, 30, 60, 100)  # of the strip, those that have a panel


class Plan:
    """Which networks there are, for the number of seeds and epochs asked for."""

    def __init__(self, seeds=None, epochs=None):
        self._seeds, self._epochs = seeds, epochs

    def nets(self, recipe, count, *, activation="generalised-tanh", shifted=False, seeds=SEEDS, epochs=None):
        """Return the nets of one kind, a seed each."""
        epochs = self._epochs or epochs or EPOCHS[recipe]
        return [Net(recipe, count, seed, epochs, activation, shifted) for seed in range(self._seeds or seeds)]


def fig1(bench, plan):
    """Trained and untrained: small MNIST, 32 vectors (Fig. 1)."""
    nets = plan.nets("small-mnist", 32, seeds=HEADLINE)
    columns = [
        Column(words, [(bench.latents(net, epoch), bench.basis(net)) for net in nets])
        for words, epoch in (("untrained", 0), (f"{nets[0].epochs} epochs", None))
    ]
    title = f"Small MNIST autoencoders, privileged basis, ε = 0.75 · planes: seed 0 of {len(nets)}"
    return nets, grid(columns, epsilon=0.75, title=title), {}


def fig2(bench, plan):
    """The privileged basis, the standard one and a random one (Fig. 2)."""
    nets = plan.nets("small-mnist", 32, seeds=HEADLINE)
    looked = {
        "privileged": bench.basis,
        "standard, $\\pm e_i$": lambda net: SIGNED,
        "random rotation": lambda net: bench.basis(net) @ next(haar(WIDTH, 1, net.seed)),
    }
    columns = [Column(words, [(bench.latents(net), basis(net)) for net in nets]) for words, basis in looked.items()]
    title = f"The same trained small MNIST autoencoders in three bases, ε = 0.75 · planes: seed 0 of {len(nets)}"
    return nets, grid(columns, epsilon=0.75, title=title), {}


def fig3(bench, plan):
    """Classes at neurons: digits and CIFAR classes (Figs. 3 and 4)."""
    nets, cases, told = [], [], {}
    for recipe in ("small-mnist", "large-mnist", "large-cifar"):
        labels, names = images(bench.data, recipe)[1:]
        for net in plan.nets(recipe, 32):
            nets.append(net)
            found = classes(bench.latents(net), labels, bench.basis(net), seed=net.seed, rotations=bench.rotations)
            told.setdefault(net.group, {"names": names, "seeds": {}})["seeds"][net.seed] = found
            if not net.seed and recipe != "large-mnist":
                cases.append(
                    {"name": NAMES[recipe], "latents": bench.latents(net), "labels": labels, "names": names}
                    | {"basis": bench.basis(net), "told": found}
                )
    title = f"Signed SRM of classes, seed 0, ε = {CLASS_EPSILON:g} · left: the neuron with the widest range · right: every neuron"
    return nets, classes_figure(cases, epsilon=CLASS_EPSILON, title=title), {"classes": told}


def fig5(bench, plan):
    """Large networks at a lower epsilon, with planes in phase and in antiphase (Figs. 5 and 6)."""
    nets, columns = [], []
    for recipe in LARGE:
        group = plan.nets(recipe, 32)
        nets += [*group, *(plan.nets("small-cifar", 32) if recipe == "large-cifar" else [])]  # to compare with
        for words, epoch in (("untrained", 0), ("trained", None)):
            clouds = [(bench.latents(net, epoch), bench.basis(net)) for net in group]
            columns.append(Column(f"{NAMES[recipe]}, {words}", clouds))
    title = (
        "Large autoencoders at a lower ε · 32 vectors, ε = 0.6 · planes: seed 0; numbers: hit, in phase, in antiphase"
    )
    return nets, grid(columns, epsilon=0.6, title=title, split=True, caption=_counted), {}


def fig7(bench, plan):
    """The simplex, 17 vectors, in four architectures (Fig. 7)."""
    return _architectures(bench, plan, 17, "Simplex, 17 vectors, ε = 0.7")


def fig8(bench, plan):
    """Sixty-four vectors, in four architectures (Figs. 8 and 9)."""
    return _architectures(
        bench, plan, 64, "Overcomplete, 64 vectors, ε = 0.7, angles stretched so that $b_j$ lies in the middle"
    )


def stages(bench, plan):
    """One training, stage by stage (the paper's strips of images)."""
    nets = plan.nets("small-mnist", 32, epochs=STRIP[-1])  # those of figure 1, gone on with
    epochs = sorted({epoch for epoch in STRIP if epoch <= nets[0].epochs} | {nets[0].epochs})
    epsilon = 0.75
    courses = []
    for net in nets:
        found = [bench.measured(net, epoch, rotations=0) for epoch in epochs]
        at = EPSILONS.index(epsilon)
        course = {way: [one["privileged"][way]["A"][at] for one in found] for way in ("raw", "centred")}
        course |= {key: [one["privileged"][key] for one in found] for key in ("cosine", "spread")}
        course |= {key: [one[key] for one in found] for key in ("offset", "mean_norm", "saturated")}
        losses = bench.losses(net)
        courses.append({"epoch": epochs, "test_mse": [losses[epoch] for epoch in epochs]} | course)
    drawn = [epoch for epoch in STAGES if epoch in epochs]
    panels = [(epoch, bench.latents(nets[0], epoch), bench.basis(nets[0])) for epoch in drawn]
    title = f"Stages of a training: small MNIST autoencoder, 32 vectors, ε = {epsilon:g} · panels: seed 0 · below: {len(nets)} seeds"
    return [], strip(panels, courses, epsilon=epsilon, title=title), {"stages": courses}


def control(bench, plan):
    """The activation function alone changes: generalised, elementwise and isotropic tanh; and the offset of the pixels."""
    nets, columns = [], []
    for words, activation, shifted in (
        ("generalised tanh,\nits basis", "generalised-tanh", False),
        ("elementwise tanh,\n$\\pm e_i$", "tanh", False),
        ("isotropic tanh,\nbasis of the first", "isotropic-tanh", False),
        ("generalised tanh,\nmean pixel 0", "generalised-tanh", True),
    ):
        group = plan.nets("small-mnist", 32, activation=activation, shifted=shifted)
        nets += group
        columns.append(Column(words, [(bench.latents(net), bench.basis(net)) for net in group]))
    nets += plan.nets("large-mnist", 32, activation="isotropic-tanh") + plan.nets("large-mnist", 32, shifted=True)
    title = "Small MNIST autoencoders with the same weights at the start, ε = 0.75 · planes: seed 0"
    return nets, grid(columns, epsilon=0.75, title=title), {}


def _architectures(bench, plan, count, title):
    nets, columns = [], []
    for recipe in (*SMALL, *LARGE):
        group = plan.nets(recipe, count)
        nets += group
        columns.append(Column(NAMES[recipe], [(bench.latents(net), bench.basis(net)) for net in group]))
    epsilon = 0.7
    title = f"{title} · planes: seed 0; numbers: hit, in phase, in antiphase"
    return nets, grid(columns, epsilon=epsilon, title=title, split=True, caption=_counted), {}


def _counted(n, way, hit, along, against):
    return f"{hit:,}, {along:,}, {against:,}"


EXPERIMENTS = {one.__name__: one for one in (fig1, fig2, control, stages, fig3, fig5, fig7, fig8)}


def main(argv=None):
    """Do the experiments asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0], allow_abbrev=False)
    parser.add_argument("experiment", nargs="+", choices=[*EXPERIMENTS, "all"])
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument(
        "--seeds", type=int, help=f"of every kind of network ({HEADLINE} for fig1 and fig2, else {SEEDS})"
    )
    parser.add_argument(
        "--epochs", type=int, help="of every kind of network; more go on from where a training was left"
    )
    parser.add_argument("--rotations", type=int, default=ROTATIONS, help="that a basis is compared with (%(default)s)")
    options = parser.parse_args(argv)
    for name in ("seeds", "epochs", "rotations"):
        if (value := getattr(options, name)) is not None and value < 1:
            parser.error(f"{name} must be at least 1, got {value}")
    if missing := [name for name in FILES if not (options.data / name).is_file()]:
        parser.error(f"--data must hold {', '.join(FILES)}; not in {options.data}: {', '.join(missing)}")
    options.out.mkdir(parents=True, exist_ok=True)
    bench, plan = Bench(options.data, options.out, options.rotations), Plan(options.seeds, options.epochs)
    wanted = list(EXPERIMENTS) if "all" in options.experiment else options.experiment
    for name in wanted:
        bench.say(f"{name}: {EXPERIMENTS[name].__doc__}")
        try:
            nets, figure, more = EXPERIMENTS[name](bench, plan)
            save(figure, options.out / f"{name}.png")
            remember(options.out / "paper.json", bench, nets, more)
        except InputError as error:
            parser.exit(1, f"{error}\n")
    return 0


FILES = ("mnist_full.npz", "cifar10_train4000_exact.npz", "cifar10_test10000_jpeg.npz")


def remember(path, bench, nets, more):
    """Add the numbers of nets, and what else an experiment told, to the file of all numbers."""
    held = json.loads(path.read_text()) if path.is_file() else {"nets": {}}
    held["settings"] = {"epsilons": EPSILONS, "tested": TESTED, "rotations": bench.rotations, "width": WIDTH}
    for net in nets:
        about = {"recipe": net.recipe, "count": net.count, "activation": net.activation}
        about |= {"shifted": net.shifted, "epochs": net.epochs}
        group = held["nets"].setdefault(net.group, about | {"seeds": {}})
        if group["epochs"] != net.epochs:  # seeds of another length are not compared
            group["seeds"].clear()
        group.update(about)
        losses = bench.losses(net)
        group["seeds"][str(net.seed)] = {
            "test_mse": losses[net.epochs],
            "untrained": bench.measured(net, 0, rotations=None if net.strip else 0),
            "trained": bench.measured(net),
        }
    for key, value in more.items():
        held[key] = json.loads(json.dumps(value))
    with whole_file(path) as file:
        file.write((json.dumps(rounded(held), separators=(",", ":")).replace('},"', '},\n"') + "\n").encode())


def rounded(value):
    """Return nested values with floats of five digits."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(one) for one in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(main())
