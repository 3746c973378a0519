"""Which classes the neurons, or any basis vectors, answer to: grandmother neurons and how sure one may be of them."""

import csv
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from srmfast.errors import InputError, require
from srmfast.excerpts import number, plural, shorten
from srmfast.opposites import opposites
from srmfast.results import Presented

POLES = ("+", "−")
UNLABELLED = "unlabelled"
_LISTED = 15  # neurons in a summary
_ORDER = 9  # labels of an order that are shown on either side
COLUMNS = ("vector", "pole", "label", "f1", "sd", "iou", "precision", "recall", "share", "inside", "p", "order")


@dataclass(frozen=True, repr=False)
class Neurons(Presented):
    """Rows inside the cone of each basis vector b_i and of its opposite −b_i, by class.

    A row x is inside the cone of b_i when x·b_i ≥ ε‖x‖: what the spotlight counts at θ = 0 in every plane through b_i,
    whatever its other vector is; the cone of −b_i is that at θ = π. The two poles of a vector belong to one neuron.

    Attributes
    ----------
    inside : ndarray, (f, k, 2) int64
        Rows of each of f folds inside the cone of each vector, and of its opposite.
    counts : ndarray, (f, c, k, 2) int64
        Those of each class.
    class_rows : ndarray, (f, c) int64
        Rows of each class.
    rows_used : ndarray, (f,) int64
    label : ndarray, (c,) str
    basis : ndarray, (k, d) float64
    attrs : dict
        epsilon, spec, row accounting, tested_rows, provenance.
    p : ndarray, (c, k, 2) float64, or None
        For each class and pole, corrected for all of them: see `srmfast.enrichment.permutation_test`.
    null_f1, best_cone, best_epsilon : ndarray or None
        The best cone for each class, beside those of random rotations of the basis: see `rotation_test`, and
        `srmfast.engine.contest.Contest`.

    Notes
    -----
    Paper 2505.13471, Figs. 3 and 4. The score is F1 of "inside the cone" as a classifier of "of the class" (or its monotone
    companion IoU). It falls when half of a class loses its labels and when others gain them by mistake; recall stays in
    the first case, precision in the second, and the area under the ROC curve hardly moves for rare classes.
    """

    KIND: ClassVar = "neurons"
    VARIABLES: ClassVar = {
        "inside": (("fold", "vector", "pole"), "rows inside the cone of the vector, and of its opposite"),
        "counts": (("fold", "label", "vector", "pole"), "those of each class"),
        "class_rows": (("fold", "label"), "rows of each class"),
        "rows_used": (("fold",), "rows looked at"),
        "label": (("label",), "class of the rows"),
        "basis": (("vector", "width"), "unit basis vectors, one a row"),
        "p": (("label", "vector", "pole"), "family-corrected permutation p of class and cone meeting so often"),
        "null_f1": (
            ("rotation", "label", "opening"),
            "highest F1 of a cone, of the basis first, then of random rotations",
        ),
        "best_cone": (("label", "opening"), "cone of the basis with the highest F1"),
        "best_epsilon": (("label", "opening"), "cosine of its half-angle"),
    }

    inside: np.ndarray
    counts: np.ndarray
    class_rows: np.ndarray
    rows_used: np.ndarray
    label: np.ndarray
    basis: np.ndarray
    attrs: dict
    p: np.ndarray | None = None
    null_f1: np.ndarray | None = None
    best_cone: np.ndarray | None = None
    best_epsilon: np.ndarray | None = None

    def _line(self):
        names = f"{self.attrs['store_name']} × {self.attrs['basis_name']}"
        return (
            f"{names}: {plural(len(self.basis), 'vector')}, {self.label.size} "
            f"{'concepts' if self.attrs['several_classes'] else 'classes'}, {int(self.rows_used.sum()):,} rows, ε = {self.epsilon:g}"
        )

    @property
    def epsilon(self):
        """Cosine of the half-angle of the cones."""
        return self.attrs["epsilon"]

    @cached_property
    def first(self):
        """The vector that each vector's neuron is named by, (k,) int64: the first of a pair b, −b, whose poles are the same."""
        itself, other = np.arange(len(self.basis)), opposites(self.basis)
        return np.where(other < 0, itself, np.minimum(itself, other))

    # ---- of every class, vector and pole ---------------------------------------------------------------

    def share(self):
        """Return the share of the rows of each class inside each cone, (c, k, 2) float64: f(0) and f(π). It is the recall."""
        return self.counts.sum(axis=0) / np.maximum(self.class_rows.sum(axis=0), 1)[:, None, None]

    def signed(self):
        """Return the share at b_i minus that at −b_i, (c, k) float64: the signed SRM at θ = 0 (Eqn 4)."""
        share = self.share()
        return share[..., 0] - share[..., 1]

    def precision(self):
        """Return the share of each class among the rows inside each cone, (c, k, 2) float64; 0 for an empty cone."""
        return self.counts.sum(axis=0) / np.maximum(self.inside.sum(axis=0), 1)

    def f1(self):
        """Return the F1 score of each cone as a classifier of each class, (c, k, 2) float64."""
        return _f1(self.counts.sum(axis=0), self.inside.sum(axis=0), self.class_rows.sum(axis=0))

    def iou(self):
        """Return the rows of both cone and class over those of either, (c, k, 2) float64."""
        f1 = self.f1()
        return f1 / (2 - f1)

    def sd(self, statistic="f1"):
        """Return the standard deviation of a statistic by leaving out one fold of the rows at a time.

        Parameters
        ----------
        statistic : {"f1", "share", "signed"}

        Returns
        -------
        ndarray of float64, in the shape of the statistic
            NaN with fewer than two folds that hold rows. With `groups`, folds keep these whole.
        """
        held = np.flatnonzero(self.rows_used)
        if held.size < 2:
            return np.full(getattr(self, statistic)().shape, np.nan)
        both, inside, rows = self.counts.sum(axis=0), self.inside.sum(axis=0), self.class_rows.sum(axis=0)
        total = square = 0.0
        for fold in held:  # one at a time: they may be large
            left = both - self.counts[fold], inside - self.inside[fold], rows - self.class_rows[fold]
            if statistic == "f1":
                value = _f1(*left)
            else:
                value = left[0] / np.maximum(left[2], 1)[:, None, None]
                value = value[..., 0] - value[..., 1] if statistic == "signed" else value
            total, square = total + value, square + value**2
        variance = np.maximum(square - total**2 / held.size, 0.0) * (held.size - 1) / held.size
        return np.sqrt(variance)

    def rotation_test(self):
        """Say whether the vectors pick out classes better than the vectors of random rotations of the basis.

        Returns
        -------
        srmfast.rotation_test.RotationTest

        Raises
        ------
        InputError
            It was made without `null`.
        """
        from srmfast.rotation_test import judge

        return judge(self)

    # ---- ranked ----------------------------------------------------------------------------------------

    def order(self, vector):
        """Rank the classes by their signed share at one vector.

        Returns
        -------
        positive, negative : list of (str, float)
            Classes at b_i, highest first, and at −b_i, from the least to the most negative; those on neither side are left
            out.
        """
        signed = self.signed()[:, vector]
        ranked = [(str(self.label[c]), float(signed[c])) for c in np.argsort(-signed, kind="stable")]
        return [pair for pair in ranked if pair[1] > 0], [pair for pair in ranked if pair[1] < 0]

    def table(self, most=None):
        """Rank the neurons by how well one of their poles picks out one class.

        Parameters
        ----------
        most : int, optional
            How many; all that hold a row when omitted.

        Returns
        -------
        list of dict
            One for each pole of a neuron, that with the highest F1 first: vector, pole (+ or −), label, f1, sd (of f1), iou,
            precision, recall, share (signed), inside (rows), p (None without a test) and order (of the classes at the
            two poles of the vector, as text). A basis that holds b and −b has one neuron for both, named by the first.
        """
        known = np.flatnonzero((self.label != UNLABELLED) & (self.class_rows.sum(axis=0) > 0))
        inside = self.inside.sum(axis=0)
        f1 = np.where(inside > 0, self.f1()[known], -1.0) if known.size else np.empty((0, *inside.shape))
        if not f1.size:
            return []
        best, f1 = known[f1.argmax(axis=0)], f1.max(axis=0)
        f1 = np.where(self._named[:, None], f1, 0.0)
        ranked = [at for at in np.argsort(-f1.ravel(), kind="stable")[:most] if f1.ravel()[at] > 0]
        sd, precision, recall, signed = self.sd(), self.precision(), self.share(), self.signed()
        found = []
        for at in ranked:
            i, pole = divmod(int(at), 2)
            c = int(best[i, pole])
            score = float(f1[i, pole])
            found.append(
                {
                    "vector": i, "pole": POLES[pole], "label": str(self.label[c]), "f1": score, "sd": float(sd[c, i, pole]),
                    "iou": score / (2 - score), "precision": float(precision[c, i, pole]),
                    "recall": float(recall[c, i, pole]), "share": float(signed[c, i]), "inside": int(inside[i, pole]),
                    "p": None if self.p is None else float(self.p[c, i, pole]), "order": self._order_text(i),
                }
            )  # fmt: skip
        return found

    @property
    def _named(self):
        """Whether each vector names a neuron, (k,) bool."""
        return self.first == np.arange(len(self.basis))

    def _order_text(self, vector):
        positive, negative = self.order(vector)
        first, last = positive[:_ORDER], negative[-_ORDER:]
        words = [shorten(name, 16) for name, _ in first] + ["…"] * (len(first) < len(positive))
        words += ["|"] + ["…"] * (len(last) < len(negative)) + [shorten(name, 16) for name, _ in last]
        return " ".join(words)

    # ---- elsewhere -------------------------------------------------------------------------------------

    def to_dataframe(self):
        """Return `table` as a pandas DataFrame."""
        pandas = require("pandas", purpose="to_dataframe")
        return pandas.DataFrame(self.table(), columns=COLUMNS)

    def to_csv(self, path):
        """Write `table` to a CSV file."""
        try:
            with open(path, "w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, COLUMNS)
                writer.writeheader()
                writer.writerows(self.table())
        except OSError as error:
            raise InputError(f"output must be writable, got {path}: {error.strerror}") from None

    def plot(self, path=None, *, ax=None, **options):
        """Draw a figure, see `srmfast.classmaps.plot` for the options; or a map into axes, see `srmfast.axes.neuron_map`."""
        if ax is not None:
            from srmfast import axes

            return axes.draw(self, ax, path=path, **options)
        from srmfast import classmaps

        return classmaps.plot(self, path, **options)

    def summary(self):
        """Return the one-screen summary that `srmfast neurons` prints."""
        attrs, rows = self.attrs, self.attrs["rows"]
        c, k = self.label.size, len(self.basis)
        inside, pairs = self.inside.sum(axis=0)[self._named], k - int(self._named.sum())
        opposites = "and their opposites" if pairs < k / 2 else f"= {plural(k - pairs, 'neuron')} with two poles each"
        lines = [
            f"{attrs['store_name']}: {k:,} vectors of {attrs['basis_name']} {opposites}, ε = {number(self.epsilon)}",
            f"  rows     {rows['used']:,} of {rows['seen']:,} used, {plural(c, 'concept' if attrs['several_classes'] else 'class')}"
            .replace("classs", "classes") + f"; {np.count_nonzero(inside):,} of {inside.size:,} cones hold a row",
        ]  # fmt: skip
        lines += [f"  note     {note}" for note in attrs["notes"]]
        lines.append(f"  test     {self.tested()}")
        lines += [] if self.null_f1 is None else str(self.rotation_test()).splitlines()
        table = self.table(_LISTED)
        if table:
            width = max(5, *(len(shorten(row["label"], 20)) for row in table))
            lines.append(
                f"\n  {'neuron':>8} {'class':<{width}} {'F1 ± sd':>13} {'prec.':>6} {'recall':>6} {'rows':>8} {'p':>7}  classes at b_i | at −b_i"
            )
        for row in table:
            sd = "" if np.isnan(row["sd"]) else f" ± {row['sd']:.3f}"
            p = "" if row["p"] is None else f"{row['p']:.3g}"
            lines.append(
                f"  {row['pole'] + str(row['vector']):>8} {shorten(row['label'], 20):<{width}} {row['f1']:>5.3f}{sd:>8} "
                f"{row['precision']:>6.3f} {row['recall']:>6.3f} {row['inside']:>8,} {p:>7}  {row['order']}"
            )
        return "\n".join(lines + _LEGEND if table else lines)

    def tested(self):
        """Say how many cones a test found, or why there was none."""
        if self.p is None:
            return f"none: {self.attrs['untested']}"
        found = int((self.p <= 0.05).any(axis=0)[self._named].sum())
        unit = "groups" if self.attrs["grouped"] else "rows"
        return (
            f"{plural(found, 'cone')} with a class at p ≤ .05, corrected for all: {self.attrs['spec']['permutations']:,} exchanges "
            f"of the classes among {unit}, on {self.attrs['tested_rows']:,} rows"
        )

    def check(self):
        """Raise ValueError when the sums do not hold."""
        if (self.counts > self.inside[:, None]).any() or (self.counts > self.class_rows[..., None, None]).any():
            raise ValueError("counts exceed the rows there are")


_LEGEND = [
    "",
    "  neuron: +i is the cone of b_i, −i that of −b_i; class: the one that it picks out best",
    "  prec.: share of the cone that is of the class; recall: share of the class that is in the cone; F1: their harmonic mean",
    "  ± sd: by leaving out one fold of the rows at a time; rows: in the cone; p: of meeting so often by chance, corrected",
    "  classes: by their share at b_i less that at −b_i, the highest first, the lowest last",
]


def _f1(both, inside, rows):
    return 2 * both / np.maximum(inside + rows[:, None, None], 1)


def neurons_of(result, epsilon=None):
    """Return the `Neurons` of a result: exactly those of the rows, without folds and without a test.

    Parameters
    ----------
    result : Result
    epsilon : float, optional
        Of those in the result; the only one, or the first above 0, when omitted.

    Returns
    -------
    Neurons

    Raises
    ------
    InputError
        The result has not kept a plane through every vector that could hold rows, its grid lacks θ = π, or no ε is above 0.
    """
    at = np.flatnonzero(result.epsilon > 0 if epsilon is None else np.abs(result.epsilon - epsilon) < 1e-9)
    if not at.size or result.epsilon[at[0]] <= 0:
        held = ", ".join(f"{one:g}" for one in result.epsilon)
        if not at.size and epsilon is not None:
            raise InputError(
                f"the result was counted at epsilon {held} and not at {epsilon:g}; choose one of these, or count again"
            )
        raise InputError(f"neurons need an epsilon above 0, the result has {held}; count again at another")
    if result.angle.size % 2:
        raise InputError(
            f"the cone of −b_i needs an even number of angles, got {result.angle.size}; use an even --angles"
        )
    if result.attrs["kept"] not in ("all", "hit"):
        raise InputError(
            f"neurons need every plane that was hit, got keep={result.attrs['kept']}; run with --keep hit, or on the store"
        )
    k, half, turned = len(result.basis), result.angle.size // 2, _places(result)
    e, rows, c = int(at[0]), result.rows_used, result.label.size
    counts = np.zeros((1, c, k, 2), np.int64)
    for planes, vectors, angle in turned:
        for pole in range(2):
            here = result.counts[:, e, planes, (angle + pole * half) % result.angle.size]
            counts[0, :, vectors, pole] = here.T  # every plane through a vector says the same
    through = np.isin(np.arange(k), np.concatenate([vectors for _, vectors, _ in turned]))
    complete = (
        result.attrs["kept"] == "hit" and result.attrs["spec"]["planes"] == "permutations"
    )  # the others hold no row
    if not complete and not through.all():
        raise InputError(
            f"neurons need a plane that starts on every vector, got none for {(~through).sum():,} of {k:,}; use --planes "
            "permutations, or srmfast neurons STORE"
        )
    whole = "all" in result.label.tolist() and c > 1  # classes that overlap have one of their own for all rows
    everything = counts[:, result.label.tolist().index("all")] if whole else counts.sum(axis=1)
    return Neurons(
        inside=everything, counts=counts, class_rows=rows.sum(axis=0)[None], rows_used=np.array([int(rows.sum())]),
        label=result.label, basis=result.basis,
        attrs={
            **{name: result.attrs[name] for name in ("spec", "store_name", "store_location", "basis_name", "basis_kind", "rows", "notes")},
            "epsilon": float(result.epsilon[e]), "several_classes": whole, "untested": "a result has no rows; srmfast neurons STORE",
            "grouped": False, "tested_rows": 0,
        },
    )  # fmt: skip


def _places(result):
    """Return (planes, vectors, angle): on which grid angle which vector of which kept planes lies exactly."""
    everything = np.arange(result.plane_i.size)
    found = [(everything, result.plane_i, 0)]
    if result.angle.size % 4 == 0:
        right = np.flatnonzero(result.plane_angle == np.pi / 2)  # there v is x·b_j itself
        found.append((right, result.plane_j[right], result.angle.size // 4))
    return found
