"""What one reading of a store computes."""

import math
from dataclasses import dataclass

import numpy as np

COLLECTED = ("sums", "norms", "repeats", "drawn", "strata")


@dataclass(frozen=True)
class Pass:
    """What one reading of a store computes; shared by all workers, read only.

    Attributes
    ----------
    dtype : str
        Stored type of the rows.
    d : int
    selection : RowSelection
    bases : tuple of PreparedBasis
        Empty when only the mean is wanted.
    ledgers : tuple of Ledger or None
        For each basis, where its planes are counted; None when each worker has a ledger of its own.
    epsilons : ndarray, (e,) float64
    table : ndarray, (2a + 5, 2) float64
    mean : ndarray, (d,) float64, or None
        Subtracted from every row.
    sums, norms, repeats, drawn, strata : SharedSums, SharedNorms, SharedRepeats, SharedDrawn, SharedStrata or None
        What is collected of the rows beside the counts.
    phase : bool
        Whether it is counted, too, which rows point along the basis in the planes that they come near.
    members : SharedMembers or None
        Likewise, the rows inside the cones of the vectors themselves.
    grid : Grid or None
        The cells of planes, when rows are projected and not counted angle by angle.
    points : PointsFile or None
        Where projected rows are written.
    nonfinite : str
        "error" or "skip".
    block_rows : int
        Rows in one kernel call.
    counter : type
        Integer type of the plane accumulators.
    limit : float
        Rows with a larger norm, as stored, are left out.
    """

    dtype: str
    d: int
    selection: object
    bases: tuple
    ledgers: tuple
    epsilons: np.ndarray
    table: np.ndarray
    mean: np.ndarray | None
    sums: object
    nonfinite: str
    block_rows: int
    counter: type = np.int32
    limit: float = math.inf
    norms: object = None
    repeats: object = None
    drawn: object = None
    strata: object = None
    phase: bool = False
    members: object = None
    grid: object = None
    points: object = None

    @property
    def shape(self):
        """Labels, epsilons, and angles or cells."""
        entries = (len(self.table) - 5) // 2 if self.grid is None else self.grid.cos.size * self.grid.rings
        return self.selection.label_names.size, self.epsilons.size, entries

    @property
    def collected(self):
        """What is collected, by name."""
        found = {name: getattr(self, name) for name in COLLECTED}
        return {name: shared for name, shared in found.items() if shared is not None}
