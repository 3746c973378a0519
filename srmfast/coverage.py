"""Over how many basis vectors rows spread: a mean over planes that looks like the basis may be one vector's alone."""

from dataclasses import dataclass

import numpy as np

from srmfast import nulls
from srmfast.excerpts import number
from srmfast.opposites import opposites


@dataclass(frozen=True)
class Coverage:
    """Over how many basis vectors the rows spread.

    Attributes
    ----------
    holding : int
        Vectors b_i with a row in the cone about b_i, or about −b_i where that is not a vector of the basis itself.
    effective : float
        As many vectors with equally many rows would be as even: (Σn)²/Σn² of the rows n in these cones.
    seen, vectors : int
        Vectors of the planes that were kept, and of the basis.
    chance : float
        Rows that isotropic data would leave at each, on average.
    """

    holding: int
    effective: float
    seen: int
    vectors: int
    chance: float


def coverage_of(result, epsilon):
    """Count the rows in the cones about ±b_i from the planes that are kept; of two vectors ±b, each has its own.

    Parameters
    ----------
    result : Result
    epsilon : float
        One of the result's.

    Returns
    -------
    Coverage or None
        None when no plane is kept.
    """
    if not result.plane_i.size:
        return None
    (e,) = np.flatnonzero(result.epsilon == epsilon)
    names = result.label.tolist()
    counts = result.counts[names.index("all"), e] if "all" in names else result.counts[:, e].sum(axis=0)
    rows = result.rows[names.index("all")] if "all" in names else result.rows.sum()
    a = result.angle.size
    held = np.zeros(len(result.basis), np.int64)
    seen = np.zeros(len(result.basis), bool)
    lone = opposites(result.basis) < 0  # a row at −b_i would count for the two of a pair, and look like two directions
    # b_i stands at 0 of its planes, b_j at the grid point next to the planes' angle; all planes of a vector agree there.
    ends = np.round(result.plane_angle / (2 * np.pi) * a).astype(np.int64) % a
    for vectors, at in ((result.plane_i, np.zeros_like(ends)), (result.plane_j, ends)):
        every = np.arange(len(at))
        both = counts[every, at] + (counts[every, (at + a // 2) % a] * lone[vectors] if a % 2 == 0 else 0)
        np.maximum.at(held, vectors, both)
        seen[vectors] = True
    squares = float((held.astype(np.float64) ** 2).sum())
    return Coverage(
        int((held > 0).sum()), float(held.sum()) ** 2 / squares if squares else 0.0, int(seen.sum()), len(held),
        float((1 + lone.mean()) * rows * nulls.isotropic(epsilon, result.basis.shape[1])),
    )  # fmt: skip


def words(coverage):
    """Return how many vectors hold rows, in one sentence."""
    of = f"{coverage.seen:,} of {coverage.vectors:,}" if coverage.seen < coverage.vectors else f"{coverage.vectors:,}"
    even = f", as if spread evenly over {coverage.effective:.1f}" if coverage.holding else ""
    return f"{coverage.holding:,} of {of} vectors have rows in the cone about them{even}"


def lines(result, epsilon):
    """Return the coverage at one epsilon in lines of a summary; [] where no plane is kept."""
    coverage = coverage_of(result, epsilon)
    if coverage is None:
        return []
    found = [f"cover   at ε = {number(epsilon)} {words(coverage)}"]
    if coverage.holding and coverage.effective < 2 <= coverage.seen:
        found.append("        nearly all rows that hold to a vector hold to the same one: one direction, not the basis")
    return found
