"""Rows projected on planes: how many lie where, as integers, and what isotropic rows of the same lengths would give."""

import csv
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from srmfast.errors import InputError
from srmfast.excerpts import number, plural
from srmfast.results import Presented, Results

_LISTED, _SAID = 8, 24  # planes, and labels and epsilons, in a summary
_CELL = ("label", "epsilon", "plane", "sector", "ring")
_OF_ALL = ("label", "epsilon", "sector", "ring")


@dataclass(frozen=True, repr=False)
class Projection(Presented):
    """The rows of one store that lie close to planes of one basis, counted by where in the plane they are.

    A row x is accepted by a plane when its projection has √(u² + v²) ≥ ε‖x‖; u is its coordinate along b_i and v that
    along the part of b_j that is orthogonal to b_i, both of the row as it is. Cells are rings around the origin cut into
    sectors; the direction of b_i is the middle of sector 0.

    Attributes
    ----------
    counts : ndarray, (c, e, p, sectors, rings) int64
        Accepted rows by label, epsilon, kept plane and cell.
    beyond : ndarray, (c, e, p) int64
        Accepted rows farther from the origin than the last ring.
    total, total_beyond : ndarray, (c, e, sectors, rings) and (c, e) int64
        The sums over all planes, kept or not.
    expected : ndarray, (c, e, rings + 1) float64
        Rows in one cell of one plane, and beyond all of them in one sector, that isotropic rows of the same norms give.
    rows_used : ndarray, (64, c) int64
    sector, ring : ndarray, (sectors,) and (rings,) float64
        Middles: angle in radians, distance.
    epsilon : ndarray, (e,) float64
    label : ndarray, (c,) str
    plane_i, plane_j, plane_angle : ndarray, (p,)
        The planes kept and the angle between their vectors in radians.
    basis : ndarray, (k, d) float64
    attrs : dict
        spec, row accounting, extent, planes_total, planes_hit, skipped_planes, kept, provenance.
    """

    KIND: ClassVar = "projection"
    VARIABLES: ClassVar = {
        "counts": (_CELL, "rows close to the plane, by cell"),
        "beyond": (("label", "epsilon", "plane"), "rows close to the plane and beyond the last ring"),
        "total": (_OF_ALL, "counts summed over all planes, kept or not"),
        "total_beyond": (("label", "epsilon"), "beyond summed over all planes, kept or not"),
        "expected": (("label", "epsilon", "ring_or_beyond"), "rows in one cell of one plane if they were isotropic"),
        "rows_used": (("fold", "label"), "rows in the denominator"),
        "sector": (("sector",), "angle of the middle of the sector from b_i toward b_j"),
        "ring": (("ring",), "distance of the middle of the ring from the origin"),
        "epsilon": (("epsilon",), "smallest cosine of the angle between a row and the plane"),
        "label": (("label",), "class of the rows"),
        "plane_i": (("plane",), "index of the basis vector of the first axis"),
        "plane_j": (("plane",), "index of the other basis vector"),
        "plane_angle": (("plane",), "angle between the two basis vectors"),
        "basis": (("vector", "width"), "unit basis vectors, one a row"),
    }

    counts: np.ndarray
    beyond: np.ndarray
    total: np.ndarray
    total_beyond: np.ndarray
    expected: np.ndarray
    rows_used: np.ndarray
    sector: np.ndarray
    ring: np.ndarray
    epsilon: np.ndarray
    label: np.ndarray
    plane_i: np.ndarray
    plane_j: np.ndarray
    plane_angle: np.ndarray
    basis: np.ndarray
    attrs: dict

    def _line(self):
        names = f"{self.attrs['store_name']} × {self.attrs['basis_name']}"
        epsilon = ", ".join(number(value) for value in self.epsilon[:4]) + ", …" * (self.epsilon.size > 4)
        return f"{names}: {int(self.rows.max()):,} rows, {self.planes_total:,} planes, ε = {epsilon}"

    @property
    def rows(self):
        """Rows in the denominator of each label, (c,) int64."""
        return self.rows_used.sum(axis=0)

    @property
    def planes_total(self):
        """How many planes were looked at, kept or not."""
        return self.attrs["planes_total"]

    @property
    def extent(self):
        """Distance from the origin to the outer edge of the last ring."""
        return self.attrs["extent"]

    @cached_property
    def accepted(self):
        """Rows accepted by each kept plane, (c, e, p) int64, in a cell or beyond."""
        return self.counts.sum(axis=(3, 4)) + self.beyond

    @cached_property
    def total_accepted(self):
        """(row, plane) pairs accepted in all planes, (c, e) int64."""
        return self.total.sum(axis=(2, 3)) + self.total_beyond

    def acceptance(self):
        """Return the share of (row, plane) pairs accepted, (c, e) float64; isotropic rows give (1 − ε²)^((d−2)/2)."""
        return self.total_accepted / np.maximum(self.rows * self.planes_total, 1)[:, None]

    def ratio(self, null=None):
        """Return how many times as many rows lie in each cell, over all planes, as isotropic rows would give.

        Parameters
        ----------
        null : Projection, optional
            Compare with the cells of this one instead, of a random basis for example; it must have the same grid.

        Returns
        -------
        ndarray, (c, e, sectors, rings) float64
            NaN where nothing is expected and nothing lies; infinite where only nothing is expected.

        Raises
        ------
        InputError
            The grids differ.
        """
        pairs = np.maximum(self.rows * self.planes_total, 1)[:, None, None, None]
        if null is None:
            expected = self.expected[:, :, None, :-1] * self.planes_total / pairs
        else:
            if (
                null.total.shape != self.total.shape
                or null.extent != self.extent
                or (null.epsilon != self.epsilon).any()
            ):
                raise InputError(
                    f"a null must have the same labels, epsilons and cells, got {null.total.shape} to {null.extent:g} "
                    f"for {self.total.shape} to {self.extent:g}; give both runs the same --extent, --sectors and --rings"
                )
            expected = null.total / np.maximum(null.rows * null.planes_total, 1)[:, None, None, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.total / pairs / expected

    def to_csv(self, path):
        """Write a line for every cell of a kept plane that holds rows to a CSV file: middle of the cell, and how many."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["label", "epsilon", "plane_i", "plane_j", "angle", "distance", "count"])
            for c, e, p, sector, ring in zip(*np.nonzero(self.counts), strict=True):
                writer.writerow(
                    [self.label[c], self.epsilon[e], self.plane_i[p], self.plane_j[p], self.sector[sector], self.ring[ring],
                     self.counts[c, e, p, sector, ring]]
                )  # fmt: skip

    def plot(self, path=None, *, ax=None, **options):
        """Draw a figure of discs, see `srmfast.discs.plot` for the options; or one into axes, see `srmfast.axes.disc`."""
        if ax is not None:
            from srmfast import axes

            return axes.draw(self, ax, path=path, **options)
        from srmfast import discs

        return discs.plot(self, path, **options)

    def summary(self):
        """Return the one-screen summary that `srmfast show` prints."""
        rows, attrs = self.attrs["rows"], self.attrs
        left = [f"{rows['zero_norm']:,} of zero norm", f"{rows['nonfinite']:,} non-finite"]
        left += [f"{gone:,} by {rule}" for rule, gone in rows["masked"].items()]
        sectors, rings = self.total.shape[2:]
        lines = [
            f"{attrs['store_name']} projected on {self.planes_total:,} planes of {attrs['basis_name']}",
            f"  rows     {rows['seen']:,} seen = {rows['used']:,} used + left out: {', '.join(left)}",
            f"  cells    {sectors} sectors of {rings} rings to a distance of {number(self.extent)}; kept: "
            f"{plural(self.plane_i.size, 'plane')} ({attrs['kept']})",
        ]
        for note in attrs["notes"]:
            lines.append(f"  note     {note}")
        share, isotropic = self.acceptance(), self.expected.sum(axis=2) * sectors
        for c, e in list(np.ndindex(share.shape))[:_SAID]:
            null = isotropic[c, e] / max(int(self.rows[c]), 1)
            name = "rows" if self.label[c] == "all" else self.label[c]
            lines.append(
                f"  {name} within ε = {number(self.epsilon[e])} of a plane: {number(share[c, e])} of (row, plane) pairs, isotropic "
                f"rows {number(null)}; {self.total_beyond[c, e]:,} of {self.total_accepted[c, e]:,} beyond the last ring"
            )
        lines += [f"  … {share.size - _SAID:,} more labels and ε"] if share.size > _SAID else []
        held = self.accepted.sum(axis=(0, 1))
        for plane in np.argsort(-held, kind="stable")[:_LISTED]:
            if held[plane]:
                i, j, most = self.plane_i[plane], self.plane_j[plane], self.accepted[:, :, plane].max()
                lines.append(f"  plane    {i}, {j}: {plural(int(most), 'row')}")
        return "\n".join(lines)

    def check(self):
        """Raise ValueError when the sums do not hold."""
        everything = self.attrs["kept"] in ("all", "hit")
        if everything and (
            (self.counts.sum(axis=2) != self.total).any() or (self.beyond.sum(axis=2) != self.total_beyond).any()
        ):
            raise ValueError("counts do not add up to total")


class Projections(Results):
    """Projections of several stores or bases: a mapping from (store, basis) names to `Projection`."""

    def plot(self, path=None, *, ax=None, **options):
        """Draw them as a strip of discs; see `srmfast.discs.plot` for the options."""
        if ax is not None:
            from srmfast import axes

            return axes.draw(self, ax, path=path, **options)
        from srmfast import discs

        return discs.plot(self, path, **options)

    def summary(self):
        """Return the summaries one below the other."""
        return "\n\n".join(member.summary() for member in self.values())


Projection.SEVERAL = Projections  # what several of them are loaded as
