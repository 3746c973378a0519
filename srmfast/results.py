"""The result of a run: integer counts with their coordinates, and everything derived from them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from srmfast import nulls
from srmfast.displayed import Displayed
from srmfast.errors import InputError


class Presented(Displayed):
    """What one result and several have in common: a picture, a summary and a file."""

    def plot(self, path=None, *, ax=None, **options):
        """Draw a figure, see `srmfast.plots.plot` for the options; or a picture into axes, see `srmfast.axes`."""
        if ax is not None:
            from srmfast import axes

            return axes.draw(self, ax, path=path, **options)
        from srmfast import plots

        return plots.plot(self, path, **options)

    def summary(self):
        """Return the one-screen summary that `srmfast show` prints."""
        from srmfast.report import summarise

        return summarise(self)

    def report(self, path=None, *, title=None, force=False):
        """Make a page of it that explains itself; see `srmfast.report_page`."""
        from srmfast.page import report_page

        return report_page(self, path, title=title, force=force)

    def save(self, path, *, force=False):
        """Write it as a Zarr v2 group, several results each under `<store>/<basis>`; see `srmfast.archive.save`."""
        from srmfast.archive import save

        save(self, path, force=force)


@dataclass(frozen=True, repr=False)
class Result(Presented):
    """Spotlight resonance of one store with one basis.

    Attributes
    ----------
    counts : ndarray, (c, e, p, a) int64
        Rows inside the cone for each label, epsilon, kept plane and angle.
    total : ndarray, (c, e, a) int64
        The sum of counts over all planes, kept or not.
    fold_total : ndarray, (64, c, e, a) int64
        The same for each of 64 folds of rows.
    rows_used : ndarray, (64, c) int64
        Rows in the denominator.
    angle, epsilon : ndarray, (a,) and (e,) float64
        Radians; cosines.
    label : ndarray, (c,) str
        "all" when the rows have no labels.
    plane_i, plane_j, plane_angle : ndarray, (p,)
        The ordered planes kept and the angle between their vectors in radians.
    basis : ndarray, (k, d) float64
        Unit vectors, one a row.
    attrs : dict
        spec, fingerprints, row accounting, planes_total, planes_hit, skipped_planes, kept, provenance.
    counts_heldout : ndarray, (c, e, p, a) int64, or None
        Of planes "active:P", the counts on the rows that did not choose them; see `heldout`.
    centre : ndarray, (d,) float64, or None
        The mean that was subtracted from every row.
    inner_product : ndarray, (d, d) float64, or None
        The matrix M of the inner product x·My, where that was not the Euclidean; basis and centre are then of changed variables.
    norm, norm_rows : ndarray, (m,) float64 and int64, or None
        How long the rows used are, their mean subtracted where the run does that: lower edges of the bins that hold rows, and
        rows in each; see `norms`.
    phase : ndarray, (64, c, e, 2) int64, or None
        (row, plane) pairs that point along the basis and between it, by fold, of a run with `null`; see `alignment`.
    null_phase, null_extreme, pair_phase, pair_extreme, surrogate_phase, surrogate_extreme : ndarray or None
        The same of a few rows and planes: of the basis as it is, then of its rotations; see `srmfast.engine.rotations.Chance`.
    tested_i, tested_j, tested_phase : ndarray or None
        Of the planes among these that differ most.
    null_kurtosis, null_kurtosis_without, null_norm, tested_vector, tested_kurtosis : ndarray or None
        Tails of the coordinates of these rows; see `opinions`, and `Chance` as well.
    """

    counts: np.ndarray
    total: np.ndarray
    fold_total: np.ndarray
    rows_used: np.ndarray
    angle: np.ndarray
    epsilon: np.ndarray
    label: np.ndarray
    plane_i: np.ndarray
    plane_j: np.ndarray
    plane_angle: np.ndarray
    basis: np.ndarray
    attrs: dict
    counts_heldout: np.ndarray | None = None
    centre: np.ndarray | None = None
    inner_product: np.ndarray | None = None
    norm: np.ndarray | None = None
    norm_rows: np.ndarray | None = None
    phase: np.ndarray | None = None
    null_phase: np.ndarray | None = None
    null_extreme: np.ndarray | None = None
    pair_phase: np.ndarray | None = None
    pair_extreme: np.ndarray | None = None
    surrogate_phase: np.ndarray | None = None
    surrogate_extreme: np.ndarray | None = None
    tested_i: np.ndarray | None = None
    tested_j: np.ndarray | None = None
    tested_phase: np.ndarray | None = None
    stratum: np.ndarray | None = None
    stratum_rows: np.ndarray | None = None
    stratum_total: np.ndarray | None = None
    stratum_phase: np.ndarray | None = None
    null_kurtosis: np.ndarray | None = None
    null_kurtosis_without: np.ndarray | None = None
    null_norm: np.ndarray | None = None
    tested_vector: np.ndarray | None = None
    tested_kurtosis: np.ndarray | None = None

    def _line(self):
        epsilon = ", ".join(f"{value:g}" for value in self.epsilon[:4]) + ", …" * (self.epsilon.size > 4)
        labels = f", {self.label.size} labels" * (self.label.size > 1)
        names = f"{self.attrs['store_name']} × {self.attrs['basis_name']}"
        return f"{names}: {self.attrs['rows']['used']:,} rows, {self.planes_total:,} planes, ε = {epsilon}{labels}"

    # ---- what was measured -------------------------------------------------------------------------

    @property
    def rows(self):
        """Rows in the denominator of each label, (c,) int64."""
        return self.rows_used.sum(axis=0)

    @property
    def planes_total(self):
        """How many planes were counted, kept or not."""
        return self.attrs["planes_total"]

    @property
    def offset(self):
        """|mean|/rms of the rows as stored: near 1, the cloud's mean and not its shape makes the picture."""
        return self.attrs["mean_over_rms"]

    @property
    def norms(self):
        """How long the rows used are, as a `srmfast.norms.NormHistogram`; None in a result of before it was counted."""
        from srmfast.norms import NormHistogram

        return None if self.norm is None else NormHistogram.from_edges(self.norm, self.norm_rows)

    def fraction(self):
        """Return f = counts / rows used, (c, e, p, a) float64; 0 for a label without rows."""
        return self.counts / np.maximum(self.rows, 1)[:, None, None, None]

    def heldout(self):
        """Return the result on the rows that did not choose the planes "active:P": free of the choice.

        Returns
        -------
        Result

        Raises
        ------
        InputError
            The planes were not chosen by their hits.
        """
        if self.counts_heldout is None:
            raise InputError(
                f"held-out rows need planes chosen by their hits, got {self.attrs['spec']['planes']}; run again with "
                "--planes active:P"
            )
        away = ~np.isin(np.arange(len(self.rows_used)), self.attrs["active_folds"])
        folds = self.fold_total * away[:, None, None, None]
        return replace(
            self, counts=self.counts_heldout, counts_heldout=None, rows_used=self.rows_used * away[:, None],
            fold_total=folds, total=folds.sum(axis=0),
            phase=None if self.phase is None else self.phase * away[:, None, None, None],
            stratum=None, stratum_rows=None, stratum_total=None, stratum_phase=None,
        )  # fmt: skip

    def signed(self):
        """Return f(θ) − f(θ + π), (c, e, p, a) float64.

        Raises
        ------
        InputError
            When some ε ≤ 0 (a row could count on both sides) or the grid lacks the opposite angles.

        Notes
        -----
        Paper 2505.13471, Eqn 4.
        """
        if (self.epsilon <= 0).any():
            raise InputError(f"signed SRM needs every epsilon above 0, got {self.epsilon.min():g}")
        if self.angle.size % 2:
            raise InputError(f"signed SRM needs an even number of angles, got {self.angle.size}; use an even --angles")
        opposite = np.roll(self.counts, -(self.angle.size // 2), axis=-1)
        return (self.counts - opposite) / np.maximum(self.rows, 1)[:, None, None, None]

    # ---- over planes -------------------------------------------------------------------------------

    def mean(self):
        """Return the mean of f over all planes, kept or not, (c, e, a) float64."""
        return self.total / (np.maximum(self.rows, 1) * self.planes_total)[:, None, None]

    def quantiles(self, q):
        """Return quantiles of f over all planes.

        Parameters
        ----------
        q : float or sequence of float in [0, 1]

        Returns
        -------
        ndarray, (len(q), c, e, a) float64
            Linear interpolation. Planes that were not kept because no row hit them count as the zeros they are.

        Raises
        ------
        InputError
            When the planes that were not kept are not known to be zero.
        """
        if self.attrs["kept"] not in ("all", "hit"):
            raise InputError(f"quantiles need all planes or all that were hit, got keep={self.attrs['kept']}")
        zeros = self.planes_total - self.plane_i.size
        values = np.sort(self.fraction(), axis=2)
        position = np.atleast_1d(np.asarray(q, float)) * (self.planes_total - 1)
        if not ((position >= 0) & (position <= self.planes_total - 1)).all():  # NaN as well
            raise InputError(f"quantiles must lie in [0, 1], got {q}")
        low = np.floor(position).astype(int)
        high = np.minimum(low + 1, self.planes_total - 1)

        def ranked(rank):
            taken = np.take(values, np.maximum(rank - zeros, 0), axis=2) if values.shape[2] else 0.0
            shape = (1, 1, rank.size, 1)
            return np.where((rank < zeros).reshape(shape), 0.0, taken)

        share = (position - low).reshape(1, 1, -1, 1)
        return np.moveaxis((1 - share) * ranked(low) + share * ranked(high), 2, 0)

    def median(self):
        """Return the median of f over all planes, (c, e, a) float64."""
        return self.quantiles(0.5)[0]

    def null(self):
        """Return the expectation of f for isotropic rows, (e,) float64: a reference curve, not a test."""
        return nulls.isotropic(self.epsilon, self.basis.shape[1])

    def alignment(self):
        """Return the verdict: whether rows align with this basis beyond chance, with all that must be said beside it.

        Returns
        -------
        srmfast.alignment.Alignment

        Raises
        ------
        InputError
            The run was without `null`.
        """
        from srmfast.alignment import align

        return align(self)

    def opinions(self):
        """Return the table of all readings of this result and where they agree, `srmfast.opinions.Opinions`; see there."""
        from srmfast.opinions import gather

        return gather(self)

    def reference(self, m, *, signs=False, seed=0):
        """Return the mean curve of sums of m basis vectors in the planes of the result, (e, a); see `srmfast.references`."""
        from srmfast.references import reference

        return reference(self, m, signs=signs, seed=seed)

    def strata(self, epsilon=None):
        """Return the `Strata` of the result: what kind of row makes the peak; see `srmfast.strata.strata_of`."""
        from srmfast.strata import strata_of

        return strata_of(self, epsilon)

    def self_srm(self):
        """Return the mean over planes of the SRM of the basis with itself, (e, a) float64.

        Over the kept planes, or 2,000 of them spread evenly. Paper 2505.13471, section 2.1.3.
        """
        return self.reference(1)

    def top_planes(self, m=10):
        """Return the m kept planes with the highest peak, as a list of dicts, highest first.

        Each has plane_i, plane_j, plane_angle (rad), label, epsilon, angle (rad) and fraction of the peak; of planes
        "active:P" also fraction_heldout, there on the rows that did not choose them.
        """
        if not self.counts.size:
            return []
        rows = np.maximum(self.rows, 1)
        peak = (self.counts.max(axis=(1, 3)) / rows[:, None]).max(axis=0)
        away = None if self.counts_heldout is None else np.maximum(self.heldout().rows, 1)
        found = []
        for plane in np.argsort(-peak, kind="stable")[:m]:
            highest = self.counts[:, :, plane].max(axis=2) / rows[:, None]
            c, e = np.unravel_index(np.argmax(highest), highest.shape)
            at = centre_of_peak(self.counts[c, e, plane])
            found.append(
                {
                    "plane_i": int(self.plane_i[plane]),
                    "plane_j": int(self.plane_j[plane]),
                    "plane_angle": float(self.plane_angle[plane]),
                    "label": str(self.label[c]),
                    "epsilon": float(self.epsilon[e]),
                    "angle": float(self.angle[at]),
                    "fraction": float(peak[plane]),
                }
                | ({} if away is None else {"fraction_heldout": float(self.counts_heldout[c, e, plane, at] / away[c])})
            )
        return found

    def neurons(self, epsilon=None):
        """Return the `Neurons` of the result: rows of each class at ±b_i; see `srmfast.selectivity.neurons_of`."""
        from srmfast.selectivity import neurons_of

        return neurons_of(self, epsilon)

    # ---- elsewhere ---------------------------------------------------------------------------------

    def to_dataframe(self):
        """Return one row for each label, epsilon, kept plane and angle, as a pandas DataFrame."""
        from srmfast.longtable import dataframe

        return dataframe(self)

    def to_csv(self, path):
        """Write the columns of `to_dataframe` to a CSV file, plane by plane, without holding them all."""
        from srmfast.longtable import write_csv

        write_csv(self, path)

    def csv_bytes(self):
        """Estimate the size of that file from its first lines."""
        from srmfast.longtable import csv_bytes

        return csv_bytes(self)


class Results(Presented, Mapping):
    """Results of several stores or bases: a mapping from (store, basis) names to `Result`.

    Parameters
    ----------
    members : dict of (str, str) to Result
    """

    def __init__(self, members):
        self._members = dict(members)

    def __getitem__(self, key):
        return self._members[key]

    def __iter__(self):
        return iter(self._members)

    def __len__(self):
        return len(self._members)

    def _line(self):
        return ", ".join("/".join(key) for key in self)

    def atlas(self):
        """Return the `srmfast.atlas.Atlas`: verdict, effect, curve and mean of each layer side by side."""
        from srmfast.atlas import atlas

        return atlas(self)


def centre_of_peak(curve):
    """Return the index in the middle of the first run of highest values of a cyclic curve, (a,) integers or floats."""
    top = np.asarray(curve) == np.max(curve)
    if top.all():
        return 0
    start = int(np.flatnonzero(top & ~np.roll(top, 1))[0])
    length = int(np.argmin(np.roll(top, -start)))
    return (start + (length - 1) // 2) % top.size
