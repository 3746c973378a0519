"""Whether the vectors of a basis pick out classes better than the vectors of its random rotations do."""

from dataclasses import dataclass

import numpy as np

from srmfast.errors import InputError
from srmfast.excerpts import number, shorten
from srmfast.selectivity import POLES, UNLABELLED

LEVEL = 0.05  # two-sided, of all classes together
_LISTED = 4  # classes in a summary


@dataclass(frozen=True)
class Best:
    """The best cone for one class.

    Attributes
    ----------
    label : str
    vector, pole : int, str
        About b_i (+) or −b_i (−); −1 and "" when no cone holds a row of the class.
    epsilon : float
        Cosine of its half-angle.
    f1 : float
        Of the rows drawn.
    rotated : tuple of float
        Lowest, mean and highest F1 of the best cones of the rotations.
    p_more, p_less : float
        That it is higher, or lower, than rotations would have it: corrected for all classes.
    """

    label: str
    vector: int
    pole: str
    epsilon: float
    f1: float
    rotated: tuple
    p_more: float
    p_less: float


@dataclass(frozen=True)
class Contested:
    """All classes, in cones of one kind.

    Attributes
    ----------
    epsilon : float or None
        Of all cones; None when each has the width at which its F1 is highest.
    p, p_more, p_less : float
        Two-sided, and of either direction.
    f1 : float
        Of the best cone for a class, mean over classes.
    rotated : tuple of float
        Lowest, mean and highest of that among rotations.
    classes : tuple of Best
        By p_more, then by how far beyond the rotations they are.
    """

    epsilon: float | None
    p: float
    p_more: float
    p_less: float
    f1: float
    rotated: tuple
    classes: tuple

    @property
    def verdict(self):
        """Return "more", "less", "mixed" or "no different"."""
        more, less = (2 * p <= LEVEL for p in (self.p_more, self.p_less))
        return "mixed" if more and less else "more" if more else "less" if less else "no different"


@dataclass(frozen=True)
class RotationTest:
    """A basis against its random rotations.

    Attributes
    ----------
    own : Contested
        Each cone with the width of its own at which F1 is highest.
    fixed : Contested
        All cones at the epsilon that was asked for. Here a basis is also ahead where it has more rows in its cones, whatever
        their classes.
    rotations, rows, vectors : int
        Rotations, and how many rows and vectors were drawn.

    Notes
    -----
    The hypothesis is that the basis is exchangeable with a random rotation of it, whatever the rows are. For every class the
    statistic is the highest F1 of any cone, so that the choice of vector, pole (and width) is made anew in every rotation;
    these, and their mean over classes, are standardised over the basis and all rotations, and the most extreme of a rotation is what
    each is compared with: p = (1 + b)/(1 + M), exact, and corrected for all classes (Westfall and Young).
    """

    own: Contested
    fixed: Contested
    rotations: int
    rows: int
    vectors: int

    def __str__(self):
        lines = [
            f"  rotated  {self.rotations} random rotations of the basis ({self.vectors:,} vectors, {self.rows:,} rows), the best cone "
            "for each class again in each:"
        ]
        for kind in (self.own, self.fixed):
            width = (
                "each cone with its best width" if kind.epsilon is None else f"all cones at ε = {number(kind.epsilon)}"
            )
            lines.append(
                f"           {width}: F1 {kind.f1:.3f} on average, rotations {_range(kind.rotated)}: {_WORDS[kind.verdict]} "
                f"(p = {kind.p:.3g})"
            )
            ahead = [best for best in kind.classes if 2 * best.p_more <= LEVEL]
            lines += [
                f"             {best.pole}{best.vector} {shorten(best.label, 20)} {best.f1:.3f} at ε = {number(best.epsilon)}, "
                f"rotations {_range(best.rotated)} (p = {min(1.0, 2 * best.p_more):.3g})"
                for best in ahead[:_LISTED]
            ]
            lines += [f"             {len(ahead) - _LISTED} more classes"] if len(ahead) > _LISTED else []
        return "\n".join(lines)


_WORDS = {
    "more": "more selective than random directions",
    "less": "less selective than random directions",
    "mixed": "more selective than random directions for some classes, less for others",
    "no different": "no different from random directions",
}


def judge(neurons):
    """Judge a `srmfast.selectivity.Neurons` that was made with `null`."""
    if neurons.null_f1 is None:
        raise InputError(
            "rotations are to compare with, and this result has none; run again with --null 99 (null=99) on the store"
        )
    known = np.flatnonzero((neurons.label != UNLABELLED) & (neurons.class_rows.sum(axis=0) > 0))
    about = neurons.attrs["null"]
    own, fixed = (_contested(neurons, known, kind) for kind in (1, 0))
    return RotationTest(own, fixed, about["rotations"], about["rows"], about["vectors"])


def _contested(neurons, known, kind):
    scores = neurons.null_f1[:, known, kind]  # (1 + M, c)
    mean = scores.mean(axis=1)
    z = _standardised(np.column_stack([scores, mean]))
    highest, lowest = z.max(axis=1), z.min(axis=1)

    def chance(value):
        m = len(z)
        return (1 + int((highest[1:] >= value).sum())) / m, (1 + int((lowest[1:] <= value).sum())) / m

    classes = []
    for at, c in enumerate(known):
        cone = int(neurons.best_cone[c, kind])
        classes.append(
            Best(
                str(neurons.label[c]), -1 if cone < 0 else cone // 2, "" if cone < 0 else POLES[cone % 2],
                float(neurons.best_epsilon[c, kind]), float(scores[0, at]), _spread(scores[1:, at]), *chance(z[0, at]),
            )
        )  # fmt: skip
    order = sorted(range(len(classes)), key=lambda at: (classes[at].p_more, -z[0, at]))
    more, less = chance(highest[0])[0], chance(lowest[0])[1]
    return Contested(
        None if kind else neurons.epsilon, min(1.0, 2 * min(more, less)), more, less, float(mean[0]), _spread(mean[1:]),
        tuple(classes[at] for at in order),
    )  # fmt: skip


def _standardised(scores):
    """Return scores standardised over all frames, the basis among them, so that these stay exchangeable."""
    sd = scores.std(axis=0)
    return np.divide(scores - scores.mean(axis=0), sd, out=np.zeros(scores.shape), where=sd > 0)


def _spread(values):
    return float(values.min()), float(values.mean()), float(values.max())


def _range(rotated):
    return f"{rotated[0]:.3f} … {rotated[2]:.3f}"
