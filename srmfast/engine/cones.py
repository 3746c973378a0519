"""What a reading collects of the cones of single vectors: how many rows of each class lie in them, and which of some rows."""

import numpy as np

from srmfast.engine.basis import coordinate_error
from srmfast.engine.collect import Shared
from srmfast.errors import InputError
from srmfast.kernels.arguments import Frame
from srmfast.kernels.decode import USED
from srmfast.kernels.members import members
from srmfast.tally import FOLDS

_TILE = 1 << 24  # bytes of coordinates computed at once
_MOST_HITS = 1 << 26  # memberships of tested rows that are listed, at most
_NONE, _NO_MATRIX = np.empty(0, np.int64), np.empty((0, 0))


class SharedMembers(Shared):
    """The rows inside the cones of vectors and their opposites, by fold and class, and those of some rows one by one.

    Parameters
    ----------
    basis : Basis
    epsilon : float
    classes : Classes
    block_rows : int
        Rows of a block, at most.
    share : float
        Of the rows, whose memberships are listed.
    seed : int
    """

    def __init__(self, basis, epsilon, classes, block_rows, share, seed):
        super().__init__(basis, epsilon, classes, block_rows, share, seed)
        self.basis, self._epsilon, self._classes = basis, epsilon, classes
        self._limit, self._seed = np.uint64(min(share, 1.0) * (2**63)), seed
        together, k = max(1, _TILE // (4 * block_rows)), len(basis.vectors)
        self._tiles = [_tile(basis, low, min(low + together, k)) for low in range(0, k, together)]
        c = classes.names.size
        self._counted = [
            (
                np.zeros((FOLDS, 2 * len(frame.vectors)), np.int64),
                np.zeros((FOLDS, c, 2 * len(frame.vectors)), np.int64),
            )
            for _, frame, _ in self._tiles
        ]
        self.class_rows = np.zeros((FOLDS, c), np.int64)
        self._hits, self._listed, self._tested = [], 0, []

    def add(self, coordinates_of, block, absolute):
        """Count the rows of a block; `coordinates_of` gives their coordinates along some vectors."""
        used = block.fate == USED
        first, codes = self._classes.lists(absolute, block.labels)
        noted = np.where(used & (_mixed(absolute, self._seed) < self._limit), absolute, -1)
        row = np.repeat(np.arange(absolute.size), np.diff(first))
        taken = used[row]
        c = self.class_rows.shape[1]
        rows = np.bincount(block.folds[row[taken]].astype(np.int64) * c + codes[taken], minlength=FOLDS * c)
        room = np.empty((max(1 << 14, absolute.size), 2), np.int64)
        with self._lock:
            self.class_rows += rows.reshape(FOLDS, c)
            self._tested.append(noted[noted >= 0])
        for (low, frame, single), (inside, counts) in zip(self._tiles, self._counted, strict=True):
            coordinates, state, done = coordinates_of(block, frame, single), np.zeros(2, np.int64), False
            while not done:
                with self._lock:
                    done = members(
                        coordinates, block, frame, self._epsilon, first, codes, inside, counts, noted, room, state
                    )
                    self._list(room[: state[1]] + (0, 2 * low))
                state[1] = 0

    def _list(self, hits):
        self._hits.append(hits)
        self._listed += len(hits)
        if self._listed > _MOST_HITS:
            raise InputError(
                f"the rows that are tested lie in more than {_MOST_HITS:,} cones; use a larger epsilon or fewer tested rows"
            )

    @property
    def inside(self):
        """Rows of each fold inside each cone, (64, k, 2) int64: of the vector, of its opposite."""
        return np.concatenate([inside for inside, _ in self._counted], axis=1).reshape(FOLDS, -1, 2)

    @property
    def counts(self):
        """Those of each class, (64, c, k, 2) int64."""
        found = np.concatenate([counts for _, counts in self._counted], axis=2)
        return found.reshape(*found.shape[:2], -1, 2)

    @property
    def tested(self):
        """The absolute rows whose memberships are listed, ascending."""
        return np.sort(np.concatenate([_NONE, *self._tested]))

    @property
    def hits(self):
        """Their memberships, (m, 2) int64: absolute row and cone, 2i for vector i and 2i + 1 for its opposite."""
        hits = np.concatenate([np.empty((0, 2), np.int64), *self._hits])
        return hits[np.lexsort(hits.T[::-1])]


def _tile(basis, low, high):
    """Return the frame of some vectors, which knows nothing of their angles, and they themselves as float32."""
    vectors, unit = np.ascontiguousarray(basis.vectors[low:high]), basis.selection is not None
    columns, signs = (part[low:high] for part in basis.selection) if unit else (_NONE, np.empty(0))
    first = np.zeros(high - low + 1, np.int64)
    frame = Frame(
        vectors, np.ascontiguousarray(columns), np.ascontiguousarray(signs), True, _NO_MATRIX, _NO_MATRIX, first,
        np.empty(0, np.int32), coordinate_error(basis),
    )  # fmt: skip
    return low, frame, np.empty((0, 0), np.float32) if unit else vectors.astype(np.float32)


def _mixed(rows, seed):
    """Return pseudo-random numbers below 2⁶³ that depend on the row and the seed alone."""
    apart = np.uint64(seed * 0xD1342543DE82EF95 % (1 << 64))
    mixed = (rows.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + apart
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))) >> np.uint64(1)
