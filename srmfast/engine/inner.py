"""Inner products x·My other than the Euclidean: with M = L·Lᵀ they are the Euclidean one of Lᵀx and Lᵀy.

So rows and basis vectors are changed once, and everything after that is as ever: the counts are those of a stored float64 array
of the changed rows. Cholesky's root and the change itself are pinned dots, the same bits on any CPU and in any block.
Paper 2505.13471, section 2.1.2.
"""

import contextlib
import threading
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from srmfast.bases import load_basis
from srmfast.engine.stored import to_floats
from srmfast.errors import InputError, shown
from srmfast.kernels.change import ROWS, change_rows
from srmfast.kernels.frames import root_of
from srmfast.spec import hash_array
from srmfast.stores import load_column

_ASYMMETRY = 1e-10  # difference from the transpose, of the largest entry, that rounding may leave
_RAW = 1 << 26  # bytes of rows as stored that a reader holds until they are changed, about


@dataclass(frozen=True, eq=False)
class InnerProduct:
    """A positive definite matrix and the change of variables that makes its inner product Euclidean.

    Attributes
    ----------
    matrix : ndarray, (d, d) float64
    name : str
        What the result calls it.
    """

    matrix: np.ndarray
    name: str

    @cached_property
    def vectors(self):
        """The columns of L, one a row, (d, d) float64: entry j of a changed row is its pinned dot with vector j."""
        root = np.empty_like(self.matrix)
        root_of(self.matrix, root)
        return np.ascontiguousarray(root.T)

    @cached_property
    def scales(self):
        """The diagonal of L when there is nothing beside it, otherwise None."""
        diagonal = np.diagonal(self.vectors)
        return diagonal.copy() if np.count_nonzero(self.vectors) == len(diagonal) else None

    @cached_property
    def digest(self):
        """Hash of the matrix."""
        return hash_array(self.matrix)

    @property
    def note(self):
        """What a reader of the result has to know."""
        return (
            f"inner product x·My, M = {self.name}: rows and basis vectors were changed to Lᵀx and Lᵀb, M = L·Lᵀ; norms, the mean "
            "and --max-norm are of changed rows, √(x·Mx) long"
        )

    def change(self, rows):
        """Return changed rows, (n, d) float64, of rows (n, d)."""
        rows = np.ascontiguousarray(rows, np.float64)
        if self.scales is not None:
            with np.errstate(invalid="ignore", over="ignore"):  # rows that are not finite are judged later
                return rows * self.scales + 0.0  # as the pinned dot, which has no −0.0 here
        changed, room = np.empty(rows.shape), np.empty((len(self.vectors) + ROWS, rows.shape[1]))
        change_rows(rows, self.vectors, room, changed)
        return changed

    def change_basis(self, basis):
        """Return a basis whose vectors are changed, and of unit length again; one that already is, as it is."""
        if basis.metric == self.digest:
            return basis
        changed = load_basis(self.change(basis.vectors), basis.vectors.shape[1], name=basis.name)
        return replace(changed, kind=basis.kind, normalised=basis.normalised, metric=self.digest)


def load_inner_product(given, d):
    """Return the `InnerProduct` of a matrix, None for None.

    Parameters
    ----------
    given : ndarray (d, d), path or None
    d : int

    Raises
    ------
    InputError
        It is not real, finite, symmetric and positive definite, or of another width.
    """
    if given is None:
        return None
    path = isinstance(given, (str, Path))
    matrix = np.asarray(load_column(given) if path else given)
    if matrix.shape != (d, d) or matrix.dtype.kind not in "iuf" or not np.isfinite(matrix).all():
        raise InputError(
            f"an inner product must be ({d}, {d}) finite numbers, as wide as the rows, got {matrix.dtype} of shape {matrix.shape}"
        )
    matrix = np.ascontiguousarray(matrix, np.float64)
    apart = np.abs(matrix - matrix.T)
    if apart.max() > _ASYMMETRY * np.abs(matrix).max():
        i, j = np.unravel_index(np.argmax(apart), apart.shape)
        raise InputError(
            f"an inner product must be symmetric, got {matrix[i, j]:g} at ({i}, {j}) and {matrix[j, i]:g} at ({j}, {i}); "
            "use (M + M.T)/2"
        )
    found = InnerProduct(matrix, shown(Path(str(given)).name) if path else "array")
    if not (np.diagonal(found.vectors) > 0).all():
        _refuse(matrix)
    return found


def _refuse(matrix):
    values = np.linalg.eigvalsh(matrix)
    lowest, highest, most = values[0], values[-1], np.abs(values).max()
    raise InputError(
        f"an inner product must be positive definite, but eigenvalues run from {lowest:.3g} to {highest:.3g} (at least 1e-12 of "
        f"the largest is needed); add {max(0.0, -lowest) + 1e-6 * most:.2g} to its diagonal, or invert a covariance with that added"
    )


class ChangedStore:
    """A store as an inner product sees it: rows are float64 and changed; everything else is the store's.

    Parameters
    ----------
    store : Store
    inner : InnerProduct
    """

    dtype, computes = "float64", True

    def __init__(self, store, inner):
        self._store, self.inner = store, inner
        # Files that one thread may read at a time are: rows are changed by all.
        self._turn = threading.Lock() if store.readers == 1 else contextlib.nullcontext()
        self.readers = 64
        self.working_bytes = store.working_bytes + _RAW + 8 * store.d * (store.d + ROWS)
        self.held_bytes = store.held_bytes + 2 * inner.matrix.nbytes
        inner.change(np.zeros((1, store.d)))  # what has to be compiled is, before threads ask for it

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._store, name)

    def read(self, start, stop):
        """Read changed rows, (stop − start, d) float64."""
        with self._turn:
            raw = self._store.read(start, stop)
        return self.inner.change(to_floats(raw, self._store.dtype))


def seen_by(store, inner):
    """Return a store as an inner product sees it; as it is without one."""
    return store if inner is None else ChangedStore(store, inner)
