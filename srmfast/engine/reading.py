"""What one reading of a store computes, and the sums that all workers share."""

import threading
from dataclasses import dataclass

import numpy as np

from srmfast.tally import TreeSums, aligned_intervals


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
    sums : SharedSums or None
        Collects the sums of the rows.
    nonfinite : str
        "error" or "skip".
    block_rows : int
        Rows in one kernel call.
    counter : type
        Integer type of the plane accumulators.
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

    @property
    def shape(self):
        """Labels, epsilons and angles."""
        return self.selection.label_names.size, self.epsilons.size, (len(self.table) - 5) // 2


class SharedSums:
    """The tree of row sums of a pass, filled by all workers."""

    def __init__(self, d):
        self.tree = TreeSums(d + 1)
        self._lock = threading.Lock()

    def add(self, level, index, values):
        with self._lock:
            self.tree.add(level, index, values)

    def fill(self, start, stop):
        """Say that rows start … stop − 1 are left out, so that the nodes around them can merge."""
        for level, index in aligned_intervals(start, stop):
            self.add(level, index, np.zeros(self.tree.width))
