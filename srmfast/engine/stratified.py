"""Counts by stratum, collected beside the others: near and far, and totals over planes, of each combination of strata."""

import numpy as np

from srmfast.engine.collect import Shared
from srmfast.engine.stored import to_floats, to_stored
from srmfast.engine.strata import FAMILIES
from srmfast.kernels import count, decode, phase
from srmfast.kernels.arguments import Counts
from srmfast.kernels.decode import USED, ZERO
from srmfast.tally import FOLDS, to_counts

_TOGETHER = 1 << 16  # values looked at together, so that they stay in the cache


class StrataTally:
    """What rows add up to by combination of strata; it meets others only through `+`.

    Attributes
    ----------
    rows : ndarray, (64, s, 3) int64
        Rows used, of zero norm and non-finite.
    totals : ndarray, (b, s, e, a + 1) int64
        Difference arrays of each basis, summed over planes and folds.
    phases : ndarray, (b, 64, s, e, 2) int64
        Near and far.
    """

    def __init__(self, rows, totals, phases):
        self.rows, self.totals, self.phases = rows, totals, phases

    @classmethod
    def zero(cls, s, b, e, a):
        """Return that of no rows."""
        zeros = ((FOLDS, s, 3), (b, s, e, a + 1), (b, FOLDS, s, e, 2))
        return cls(*(np.zeros(shape, np.int64) for shape in zeros))

    def __add__(self, other):
        if [a.shape for a in self.to_arrays()] != [a.shape for a in other.to_arrays()]:
            raise ValueError("counts of other strata do not add")
        return StrataTally(self.rows + other.rows, self.totals + other.totals, self.phases + other.phases)

    def to_arrays(self):
        """Return the arrays that `from_arrays` takes."""
        return self.rows, self.totals, self.phases

    @classmethod
    def from_arrays(cls, rows, totals, phases):
        """Return what `to_arrays` gave."""
        return cls(rows, totals, phases)

    @staticmethod
    def nbytes(s, b, e, a):
        """Return the bytes of one."""
        return 8 * s * (3 * FOLDS + b * e * (a + 1 + 2 * FOLDS))


class SharedStrata(Shared):
    """The StrataTally of a pass.

    Parameters
    ----------
    strata : Strata
    sizes : (int, int, int)
        Bases, epsilons and angles.
    """

    def __init__(self, strata, sizes):
        super().__init__(strata, sizes)
        self.strata, self._sizes = strata, (strata.cells, *sizes)
        self._value, self._adders = StrataTally.zero(*self._sizes), []

    def adder(self, dtype):
        """Return what one thread at a time adds to; `dtype` is that of its counters of planes."""
        adder = StrataAdder(self.strata, self._sizes, dtype)
        with self._lock:
            self._adders.append(adder)
        return adder

    @property
    def value(self):
        """The StrataTally so far; nobody may be counting."""
        with self._lock:
            for adder in self._adders:
                self._value = self._value + adder.tally
                adder.tally = StrataTally.zero(*self._sizes)
            return self._value

    def merge(self, value):
        """Add what was collected of other rows."""
        with self._lock:
            self._value = self._value + value


class StrataAdder:
    """What a worker counts by stratum; candidates are decided once more, with combinations of strata for labels."""

    def __init__(self, strata, sizes, dtype):
        self.strata, self.tally = strata, StrataTally.zero(*sizes)
        s, _, e, a = sizes
        self._none = np.empty(0, np.int32), np.zeros((0, s, e, a + 1), dtype), np.empty(0, np.int64)
        self._hits, self._block, self._one_fold = np.empty(0, dtype), None, None

    def begin(self, block, absolute, raw, task, scratch):
        """Take a block of rows, whose stored values are `raw`."""
        norms, peaks = block.norms, None
        if self.strata.needs_norms and task.mean is not None:
            norms = scratch.array("norms as stored", block.norms.shape)
            fate = scratch.array("fate as stored", block.fate.shape, np.uint8)
            decode.measure(to_stored(raw, task.dtype, scratch), None, norms, fate)
        if self.strata.needs_peaks:
            peaks = _largest(raw, task.dtype)
        codes = self.strata.codes(absolute, norms, peaks)
        decode.tally_fates(block.folds, codes, block.fate, self.tally.rows)
        self._block = block._replace(labels=codes)
        self._one_fold = self._block._replace(folds=np.zeros_like(block.folds))

    def add(self, number, m, candidates, by_pair, flat, stride, step, frame, pairs, cut, cones):
        """Add `m` candidates of basis `number`; the others are as for `kernels.count.count`."""
        phase.add_phase(
            candidates, m, flat, stride, step, self._block, frame, pairs, cut, cones.epsilons, self.tally.phases[number],
        )  # fmt: skip
        counts = Counts(*self._none, self.tally.totals[number][None], np.zeros(3, np.int64), self._hits, 0)
        count.count(candidates, m, by_pair, flat, stride, step, self._one_fold, frame, pairs, cut, cones, counts)


def _largest(raw, dtype):
    """Return the largest absolute entry of each row of stored values, (n,) float64; some rows at a time."""
    largest, step = np.empty(len(raw)), max(1, _TOGETHER // raw.shape[1])
    for start in range(0, len(raw), step):
        rows = to_floats(raw[start : start + step], dtype)
        largest[start : start + step] = np.maximum(rows.max(axis=1), -rows.min(axis=1))
    return largest


def by_stratum(tally, number, prepared, spec):
    """Return the variables of a result by stratum, of one basis.

    Parameters
    ----------
    tally : StrataTally or None
    number : int
        Of the basis.
    prepared : PreparedBasis
    spec : Spec
        Gives the families, `epsilon` and `zero_rows`.

    Returns
    -------
    dict
        stratum (m,) str, stratum_rows (64, m), stratum_total (m, e, a) and stratum_phase (64, m, e, 2) int64, where m are the
        strata of all families; empty without strata.
    """
    if tally is None:
        return {}
    families = [(name, spec.strata[name]["names"]) for name in FAMILIES if name in spec.strata]  # JSON sorts them
    shape = tuple(len(names) for _, names in families)
    zeros = tally.rows[..., ZERO] * (spec.zero_rows == "keep")
    inside = zeros.sum(axis=0)[:, None] * (np.array(spec.epsilon) <= 0)
    totals = tally.totals[number]
    totals = to_counts(totals, totals if prepared.mirrored else None) + (inside * prepared.planes.total)[..., None]
    phases = tally.phases[number] * (2 if prepared.mirrored else 1)
    return {
        "stratum": np.array([f"{name}: {one}" for name, names in families for one in names]),
        "stratum_rows": _marginal(tally.rows[..., USED] + zeros, shape, 1),
        "stratum_total": _marginal(totals, shape, 0),
        "stratum_phase": _marginal(phases, shape, 1),
    }


def _marginal(cells, shape, axis):
    """Sum over combinations: the axis of these becomes one of the strata of all families, one family after another."""
    split = cells.reshape(*cells.shape[:axis], *shape, *cells.shape[axis + 1 :])
    every = range(axis, axis + len(shape))
    sums = [split.sum(axis=tuple(other for other in every if other != own)) for own in every]
    return np.concatenate(sums, axis=axis)
