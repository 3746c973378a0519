"""A verdict under every defensible choice: how often it holds, which choice it hangs on, and whether all of it is chance."""

import csv
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from srmfast.deciding import explained_share, smallest_deciding
from srmfast.errors import InputError, require
from srmfast.excerpts import plural
from srmfast.family import ANTI, UNITS
from srmfast.results import Presented

FOUND = ("aligned", "anti-aligned", "mixed")
VERDICTS = (*FOUND, "none", "undecided")
COLUMNS = ("reading", "verdict", "effect", "low", "high", "detectable", "p", "explained", "rows", "near", "far")


@dataclass(frozen=True)
class Joint:
    """What all readings that rotate the basis alike say together.

    Attributes
    ----------
    readings : ndarray, (r,) bool
        Those it is about.
    median : float
        Median of their standardised scores.
    p, p_aligned, p_anti : float
        Two-sided, and of either direction: how many rotations have a median as extreme, (1 + b)/(1 + M).
    called : int
        Readings among them with the verdict that most readings with one have.
    called_by_chance : ndarray, (M,) int64
        Readings that would be given that verdict if each rotation were the basis.
    """

    readings: np.ndarray
    median: float
    p: float
    p_aligned: float
    p_anti: float
    called: int
    called_by_chance: np.ndarray


@dataclass(frozen=True, repr=False)
class SpecificationCurve(Presented):
    """The verdicts of one store and basis under every combination of choices: a specification curve.

    A reading is one combination, one option of each choice. Its verdict, effect and p are those of `srmfast run` with these
    options and a `--null`: of one ε, in the family of all ε of that run.

    Attributes
    ----------
    chosen : ndarray, (r, c) int64
        The option of each reading in each choice, by its position in ``attrs["choices"]``.
    epsilon : ndarray, (r,) float64
    verdict : ndarray, (r,) str
    effect, low, high : ndarray, (r,) float64
        Share nearer to a basis vector minus share nearer to a midpoint, with its 95 % interval; NaN without a pair.
    near, far : ndarray, (r,) int64
        The (row, plane) pairs themselves.
    detectable : ndarray, (r,) float64
        The smallest effect that would be found four times out of five.
    p, p_aligned, p_anti : ndarray, (r,) float64
    explained : ndarray, (r,) uint8
        Whether something was found that Gaussian rows with the same mean and covariance do as well.
    rows, units : ndarray, (r,) int64
        Rows used, and how many of them, or of their groups, are independent.
    alike : ndarray, (r,) int64
        Readings with one number compare the basis with the very same rotations.
    score : ndarray, (1 + M, r) float64
        Standardised score over all labels and planes: of the basis, then of its rotations.
    called : ndarray, (1 + M, r, 2) uint8
        Whether the basis, or a rotation in its place, is called aligned, and anti-aligned.
    attrs : dict
        choices (name and options of each), unvaried (what was not varied, and why), spec, provenance.

    Notes
    -----
    Simonsohn, Simmons and Nelson, "Specification curve analysis", Nature Human Behaviour 4 (2020): all reasonable
    specifications, the curve with its dashboard, and a joint test against data in which nothing is to be found; here, rotations
    of the basis.
    """

    KIND: ClassVar = "specification"
    VARIABLES: ClassVar = {
        "chosen": (("reading", "choice"), "option of each choice, by its position in the attribute choices"),
        "epsilon": (("reading",), "cosine of the half-angle of the cone"),
        "verdict": (("reading",), "aligned, anti-aligned, mixed, none or undecided"),
        "effect": (("reading",), "share nearer to a basis vector minus share nearer to a midpoint, of all rows"),
        "low": (("reading",), "lower end of its 95 % interval"),
        "high": (("reading",), "upper end of its 95 % interval"),
        "near": (("reading",), "(row, plane) pairs nearer to a basis vector"),
        "far": (("reading",), "(row, plane) pairs nearer to a midpoint"),
        "detectable": (("reading",), "smallest effect that would be found four times out of five"),
        "p": (("reading",), "two-sided, corrected for the epsilons, labels and planes of its run"),
        "p_aligned": (("reading",), "the same in the direction of alignment"),
        "p_anti": (("reading",), "the same in the other direction"),
        "explained": (("reading",), "whether Gaussian rows with the same mean and covariance do the same"),
        "rows": (("reading",), "rows used"),
        "units": (("reading",), "independent rows or groups"),
        "alike": (("reading",), "readings with one number share their rotations"),
        "score": (("rotation", "reading"), "standardised score: of the basis as it is, then of its rotations"),
        "called": (("rotation", "reading", "direction"), "whether it would be called aligned, and anti-aligned"),
    }

    chosen: np.ndarray
    epsilon: np.ndarray
    verdict: np.ndarray
    effect: np.ndarray
    low: np.ndarray
    high: np.ndarray
    near: np.ndarray
    far: np.ndarray
    detectable: np.ndarray
    p: np.ndarray
    p_aligned: np.ndarray
    p_anti: np.ndarray
    explained: np.ndarray
    rows: np.ndarray
    units: np.ndarray
    alike: np.ndarray
    score: np.ndarray
    called: np.ndarray
    attrs: dict

    def __len__(self):
        return len(self.verdict)

    def __str__(self):
        return self.summary()

    def _line(self):
        return f"{self.attrs['store_name']} × {self.attrs['basis_name']}: {self.headline()}"

    # ---- how often it holds ----------------------------------------------------------------------------

    @property
    def choices(self):
        """Name and options of each choice, list of (str, list of str)."""
        return [(choice["name"], choice["options"]) for choice in self.attrs["choices"]]

    @property
    def counts(self):
        """How many readings have which verdict, those with none left out, dict of str to int."""
        return {word: found for word in VERDICTS if (found := int((self.verdict == word).sum()))}

    @property
    def leading(self):
        """The verdict that most of the readings that found something have; "aligned" when none did."""
        return max(FOUND, key=lambda word: self.counts.get(word, 0))

    @property
    def holds(self):
        """Whether a reading has the leading verdict, (r,) bool."""
        return self.verdict == self.leading

    def headline(self):
        """Return the one number in words: "aligned in 11 of 16 readings"."""
        return f"{self.leading} in {int(self.holds.sum())} of {plural(len(self), 'reading')}"

    def order(self):
        """Return the positions of the readings by their effect and then by their p, those without a pair first."""
        return np.lexsort((-self.p, np.where(np.isnan(self.effect), -np.inf, self.effect)))

    # ---- what decides it -------------------------------------------------------------------------------

    def shares(self):
        """Return which share of the variance of `holds` lies between the options of each choice, (c,) float64."""
        return np.array([explained_share(self.holds, options) for options in self.chosen.T])

    def deciding(self):
        """Return the smallest set of choices that tells where the verdict holds, by name; () when all readings agree."""
        return tuple(self.choices[c][0] for c in smallest_deciding(self.holds, self.chosen))

    def by_option(self, choice):
        """Return (option, readings that hold, readings) for each option of a choice, given by position."""
        found = []
        for option, words in enumerate(self.choices[choice][1]):
            some = self.chosen[:, choice] == option
            found.append((words, int(self.holds[some].sum()), int(some.sum())))
        return found

    # ---- all together ----------------------------------------------------------------------------------

    def joint(self):
        """Judge together the readings that share their rotations, the largest such part.

        Returns
        -------
        Joint

        Notes
        -----
        If the basis is exchangeable with its rotations, then so are the whole curves that it and they have, as rotation m
        turns the basis alike in every reading; p is exact for any dependence between readings. The statistic is the median over
        readings of the standardised score; readings in which neither the basis nor a rotation has a pair are left out, and
        those of ε ≤ 0.71, where rows that avoid a basis can look aligned, have no say on anti-alignment.
        """
        numbers, sizes = np.unique(self.alike, return_counts=True)
        part = self.alike == numbers[np.argmax(sizes)]
        seen = part & self.score.any(axis=0)
        anti = seen & (self.epsilon > ANTI)
        medians = np.median(self.score[:, seen], axis=1) if seen.any() else np.zeros(len(self.score))
        p_aligned, p_anti = float((medians >= medians[0]).mean()), 1.0
        if anti.any():
            lowest = np.median(self.score[:, anti], axis=1)
            p_anti = float((lowest <= lowest[0]).mean())
        aligned, against = self.called[:, part, 0] > 0, self.called[:, part, 1] > 0
        called = {"aligned": aligned & ~against, "anti-aligned": against & ~aligned, "mixed": aligned & against}[
            self.leading
        ].sum(axis=1)
        return Joint(
            part, float(medians[0]), min(1.0, 2 * min(p_aligned, p_anti)), p_aligned, p_anti, int(called[0]), called[1:]
        )

    def summary(self):
        """Return what `srmfast specification` prints: the number, what decides it, the joint test and every reading."""
        from srmfast.readings import summary

        return summary(self)

    # ---- elsewhere -------------------------------------------------------------------------------------

    def ranked(self):
        """Return one dict for each reading, that with the highest effect first: `COLUMNS`, and the option of each choice."""
        found = []
        for at, r in enumerate(self.order()[::-1].tolist(), 1):
            values = {name: getattr(self, name)[r].item() for name in COLUMNS[1:]}
            options = {name: options[self.chosen[r, c]] for c, (name, options) in enumerate(self.choices)}
            found.append({"reading": at} | values | {"explained": bool(self.explained[r])} | options | {"ε": float(self.epsilon[r])})  # fmt: skip
        return found

    def to_dataframe(self):
        """Return `ranked` as a pandas DataFrame."""
        pandas = require("pandas", purpose="to_dataframe")
        return pandas.DataFrame(self.ranked())

    def to_csv(self, path):
        """Write `ranked` to a CSV file."""
        rows = self.ranked()
        try:
            with open(path, "w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        except OSError as error:
            raise InputError(f"output must be writable, got {path}: {error.strerror}") from None

    def plot(self, path=None, *, ax=None, **options):
        """Draw the curve and its dashboard, see `srmfast.dashboard.plot` for the options; or the curve alone into axes."""
        from srmfast import dashboard

        if ax is not None:
            return dashboard.effects(self, ax, path=path, **options)
        return dashboard.plot(self, path, **options)

    def check(self):
        """Raise ValueError when the parts do not fit together."""
        if any((self.chosen[:, c] >= len(options)).any() for c, (_, options) in enumerate(self.choices)):
            raise ValueError("a reading takes an option that there is not")
        said = np.isin(self.verdict, ("aligned", "mixed")), np.isin(self.verdict, ("anti-aligned", "mixed"))
        if (np.stack(said, axis=1) != (self.called[0] > 0)).any() or self.called[:, self.units < UNITS].any():
            raise ValueError("verdicts are not those of the basis among its rotations")
