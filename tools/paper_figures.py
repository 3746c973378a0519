"""The two figures of docs/paper.md that are no grids of columns: the stages of a training, and classes at neurons."""

import numpy as np
from paper_classes import one_of_each_pair, telling_plane
from paper_draw import MEAN, PLANES, SELF, WORDS, angle_axis, ensemble, figure_of, legend, means, seen, spun, styled

import srmfast

CLASSES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7A4988", "#8C6D31", "#000000", "#999999")


@styled
def strip(panels, courses, *, epsilon, title):
    """Return the figure of one training: a panel for each stage, and below what changes for several seeds.

    Parameters
    ----------
    panels : list of (epoch, latents, basis)
        Stages of one net.
    courses : list of dict
        One for each seed: epoch, raw and centred (A at this ε), cosine and spread of the mean.
    """
    made = figure_of(9.4, 6.2)
    rows = made.add_gridspec(3, 1, height_ratios=[1, 1, 1.25])
    for line, way in enumerate(("raw", "centred")):
        grid = rows[line].subgridspec(2, len(panels), height_ratios=[1, 0.8])
        for n, (epoch, latents, basis) in enumerate(panels):
            above, below = (made.add_subplot(grid[m, n]) for m in (0, 1))
            result = spun(latents, basis, epsilon, way)
            ensemble(above, result)
            means(below, [result], reference=False)
            for axes in (above, below):
                axes.tick_params(labelsize=6.5)
            if way == "raw":
                above.set_title("untrained" if not epoch else f"{epoch} epochs", loc="left", fontsize=8)
            if not n:
                above.set_ylabel(f"{WORDS[way]}\nshare of rows", fontsize=7.5)
                below.set_ylabel("mean", fontsize=7.5)
    bottom = rows[2].subgridspec(1, 3)
    axes = [made.add_subplot(bottom[n]) for n in range(3)]
    for n, course in enumerate(courses):
        one = {"lw": 1.1, "marker": "o", "ms": 2.2, "alpha": 0.8}
        axes[0].plot(course["epoch"], course["raw"], color=MEAN, label=None if n else "A, as stored", **one)
        axes[0].plot(course["epoch"], course["centred"], color=PLANES, label=None if n else "A, mean subtracted", **one)
        axes[1].plot(course["epoch"], course["cosine"], color=SELF, **one)
        axes[2].plot(course["epoch"], course["spread"], color="0.3", **one)
    axes[0].axhline(0, color="0.8", lw=0.7, zorder=0)
    axes[0].set_title(f"A at ε = {epsilon:g}: in phase above 0", loc="left", fontsize=8)
    axes[1].set_title("cosine of the mean and its nearest $b_i$", loc="left", fontsize=8)
    axes[1].axhline(np.sqrt(0.5), color="0.8", lw=0.7, zorder=0)
    axes[1].text(0, np.sqrt(0.5) + 0.01, "midway between two", va="bottom", fontsize=6.5, color="0.45")
    axes[1].set_ylim(0.25, 1.02)
    axes[2].set_title("basis vectors that the mean is spread over", loc="left", fontsize=8)
    axes[2].set_ylim(0, None)
    for one in axes:
        one.set_xlabel("epochs")
    made.suptitle(title, x=0.01, ha="left", fontsize=9)
    legend(made, 4)
    return made


@styled
def classes_figure(cases, *, epsilon, title):
    """Return the figure of classes: signed curves in one plane, and signed SRM of every class at every neuron.

    Parameters
    ----------
    cases : list of dict
        name, latents, labels, names, basis, told (of `tools/paper_classes.py`).
    """
    made = figure_of(4.9 * len(cases), 6.4)
    grid = made.subplots(2, 2 * len(cases), squeeze=False, gridspec_kw={"width_ratios": [1.25, 1] * len(cases)})
    for k, case in enumerate(cases):
        order = one_of_each_pair(case["basis"])
        for row, way in enumerate(("raw", "centred")):
            left, right = grid[row, 2 * k : 2 * k + 2]
            told = case["told"][way]
            i, j = telling_plane(told, case["basis"])
            _signed(left, case, way, (i, j), epsilon)
            numbers = {int(vector): n + 1 for n, vector in enumerate(order)}
            left.set_title(f"{case['name']}: neurons {numbers[i]} → {numbers[j]}", loc="left")
            left.set_ylabel(f"{WORDS[way]}\nsigned share of the class" if not k else "")
            shown = np.array(told["signed"])
            top = max(np.abs(shown).max(), 1e-9)
            mesh = right.imshow(shown, cmap="PuOr_r", vmin=-top, vmax=top, aspect="auto", interpolation="nearest")
            right.set_yticks(range(len(case["names"])), case["names"])
            right.set_xticks(range(0, shown.shape[1], 5), range(1, shown.shape[1] + 1, 5))
            right.tick_params(length=0)
            right.spines[["left", "bottom"]].set_visible(False)
            right.set_xlabel("neuron")
            bar = made.colorbar(mesh, ax=right, pad=0.02, fraction=0.06)
            bar.outline.set_visible(False)
            bar.ax.tick_params(labelsize=6.5)
        side = "left" if not k else "right"
        made.legend(*left.get_legend_handles_labels(), loc=f"outside lower {side}", ncols=5, frameon=False, fontsize=7)
    made.suptitle(title, x=0.01, ha="left", fontsize=9)
    return made


def _signed(axes, case, way, plane, epsilon):
    """Draw the signed curve of each class in one plane."""
    labels = np.array(case["names"])[case["labels"]]
    result = srmfast.run(
        np.asarray(case["latents"], float), case["basis"], epsilon=epsilon, centre=way == "centred", labels=labels,
        planes=np.array([plane]), keep="all",
    )  # fmt: skip
    signed = result.signed()[:, 0]
    for c, name in enumerate(case["names"]):
        x, curve = seen(signed[list(result.label).index(name)], result)
        axes.plot(x, curve[0], color=CLASSES[c % len(CLASSES)], lw=1, label=name)
    axes.axhline(0, color="0.8", lw=0.7, zorder=0)
    angle_axis(axes, result)
