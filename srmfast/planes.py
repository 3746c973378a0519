"""Which ordered planes are counted, how they are numbered, and which pairs span no plane."""

import hashlib
import os
from dataclasses import dataclass, field

import numpy as np

from srmfast.bases import read_table
from srmfast.errors import InputError

_CUTS = tuple(step / 20 for step in range(1, 20))
_ROWS = 256  # of a matrix at a time
NEIGHBOUR = 1 + 1e-6  # "neighbouring" up to this factor of the smallest angle
LISTED, PERMUTATIONS, COMBINATIONS = 0, 1, 2  # as in kernels/count.py
KINDS = "permutations, combinations, neighbours, random:P or a file of index pairs"


@dataclass(frozen=True)
class Geometry:
    """Cosines and sines between the vectors of a basis.

    Attributes
    ----------
    g, s : ndarray, (k, k) float64, or (0, 0) when every pair is orthogonal or parallel by construction
        g = b_i·b_j, exactly 0 below 1e-12; s = ‖b_j − g·b_i‖, exactly 1 then and 0 for a parallel pair.
    parallel : ndarray, (m, 2) int64
        Pairs i < j that span no plane.
    """

    g: np.ndarray
    s: np.ndarray
    parallel: np.ndarray

    @classmethod
    def of(cls, basis):
        """Compute the geometry of a `Basis`; for ±unit vectors it costs nothing quadratic."""
        empty = np.empty((0, 0))
        if basis.selection is not None:
            columns = basis.selection[0]
            order = np.argsort(columns, kind="stable")
            groups = np.split(order, np.flatnonzero(np.diff(columns[order])) + 1)
            pairs = [(i, j) for group in groups for n, i in enumerate(group) for j in group[n + 1 :]]
            return cls(empty, empty, np.sort(np.array(pairs, np.int64).reshape(-1, 2), axis=1))
        from srmfast.bases import gram

        g, s = gram(basis)
        parallel = np.argwhere(np.triu(s == 0.0, 1))
        orthogonal = not parallel.size and np.count_nonzero(g) == np.count_nonzero(np.diagonal(g))
        return cls(empty, empty, parallel) if orthogonal else cls(g, s, parallel)

    @property
    def orthogonal(self):
        """Whether every pair is orthogonal or parallel, so that no matrix is needed."""
        return not self.g.size

    def of_pairs(self, i, j):
        """Return g and s of the planes (i, j), and s of (j, i), float64; i, j are index arrays."""
        if self.orthogonal:
            return np.zeros(np.shape(i)), np.ones(np.shape(i)), np.ones(np.shape(i))
        return self.g[i, j], self.s[i, j], self.s[j, i]

    def cut(self, most):
        """Return the smallest of the cuts 0.05, 0.1 … 0.95 with at most `most` pairs i < j of larger |g|."""
        if self.orthogonal:
            return 0.0
        for cut in _CUTS:
            above = sum(np.count_nonzero(np.abs(rows) > cut) for rows in self._blocks())  # the diagonal, too
            if (above - len(self.g)) // 2 <= most:
                break
        return cut

    def near(self, cut):
        """Return the pairs i < j that span a plane and have |g| > cut, as two int32 arrays in order."""
        found, start = [np.empty((0, 2), np.int64)], 0
        for rows in self._blocks():
            pairs = np.argwhere(np.abs(rows) > cut) + (start, 0)
            found.append(pairs[(pairs[:, 1] > pairs[:, 0]) & (self.s[pairs[:, 0], pairs[:, 1]] > 0.0)])
            start += len(rows)
        i, j = np.concatenate(found).astype(np.int32).T
        return np.ascontiguousarray(i), np.ascontiguousarray(j)

    def _blocks(self):
        return (self.g[start : start + _ROWS] for start in range(0, len(self.g), _ROWS))

    def angles(self, i, j, basis):
        """Return the angle between vectors i and j in radians; i, j are index arrays."""
        if self.g.size:
            cosine = self.g[i, j]
        elif basis.selection is not None:
            columns, signs = basis.selection
            cosine = np.where(columns[i] == columns[j], signs[i] * signs[j], 0.0)
        else:
            cosine = np.zeros(np.shape(i))
        return np.arccos(np.clip(cosine, -1.0, 1.0))


@dataclass(frozen=True)
class Planes:
    """A set of ordered planes (i, j), numbered 0 … slots − 1.

    All permutations or combinations are numbered by arithmetic and never listed; their parallel pairs keep
    their numbers, unused. Every other kind is a list.

    Attributes
    ----------
    kind : str
        What was asked for.
    k : int
        Vectors in the basis.
    numbering : int
        LISTED, PERMUTATIONS or COMBINATIONS.
    slots : int
        How many numbers there are.
    total : int
        How many planes are counted: slots without the parallel ones.
    skipped : int
        Ordered planes asked for that a parallel pair cannot span.
    pairs : ndarray, (slots, 2) int32
        The list, in ascending order; empty when numbered by arithmetic.
    parallel_numbers : ndarray, int64
        Sorted numbers that no plane has.
    """

    kind: str
    k: int
    numbering: int
    slots: int
    total: int
    skipped: int
    pairs: np.ndarray = field(repr=False)
    parallel_numbers: np.ndarray = field(repr=False)

    def pair(self, numbers):
        """Return the (i, j) index arrays, int64, of planes given by number."""
        numbers = np.asarray(numbers, np.int64)
        if self.numbering == LISTED:
            i, j = self.pairs[numbers].T
            return i.astype(np.int64), j.astype(np.int64)
        if self.numbering == PERMUTATIONS:
            i, j = np.divmod(numbers, self.k - 1)
            return i, j + (j >= i)
        ends = np.cumsum(np.arange(self.k - 1, 0, -1))  # combinations that start with 0 … i
        i = np.searchsorted(ends, numbers, side="right")
        return i, numbers - (ends[i] - (self.k - 1 - i)) + i + 1

    def numbers(self):
        """Return the numbers of all planes that are counted, (total,) int64."""
        return np.setdiff1d(np.arange(self.slots), self.parallel_numbers, assume_unique=True)

    def partners(self):
        """Return `first, partner, forward, reverse` of a list, sorted by its unordered pairs."""
        if self.numbering != LISTED:
            return np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int64)
        low, high = self.pairs.min(axis=1).astype(np.int64), self.pairs.max(axis=1).astype(np.int64)
        unordered, which = np.unique(low * self.k + high, return_inverse=True)
        i, j = np.divmod(unordered, self.k)
        forward, reverse = np.full((2, unordered.size), -1, np.int64)
        ahead = self.pairs[:, 0] < self.pairs[:, 1]
        number = np.arange(self.slots)
        forward[which[ahead]] = number[ahead]
        reverse[which[~ahead]] = number[~ahead]
        first = np.searchsorted(i, np.arange(self.k + 1))
        return first.astype(np.int64), j.astype(np.int32), forward, reverse

    def digest(self):
        """Return a hash of the planes and of how they are numbered."""
        return hashlib.sha256(
            f"{self.numbering} {self.k} ".encode()
            + self.pairs.astype("<i4").tobytes()
            + self.parallel_numbers.astype("<i8").tobytes()
        ).hexdigest()


def choose_planes(kind, basis, geometry, *, seed=0):
    """Resolve what `--planes` says for one basis.

    Parameters
    ----------
    kind : str, path or array (p, 2) of int
        "permutations" (ordered), "combinations" (i < j), "neighbours" (b_j at the smallest angle from b_i),
        "random:P" (ordered, seeded, after dropping parallels), or a .npy, .txt or .csv file of index pairs.
    basis : Basis
    geometry : Geometry
    seed : int

    Returns
    -------
    Planes

    Raises
    ------
    InputError
        Unknown kind, more random planes than there are, indices out of range, a repeated or degenerate pair,
        or no plane left.

    Notes
    -----
    Paper 2505.13471, section 2.1. The paper swaps the words permutation and combination; ours are those of
    its code.
    """
    k = len(basis.vectors)
    parallel = geometry.parallel
    both = np.concatenate([parallel, parallel[:, ::-1]])
    if isinstance(kind, str) and kind == "combinations":
        planes = _numbered(kind, k, COMBINATIONS, parallel)
    elif isinstance(kind, str) and (kind == "permutations" or (kind == "neighbours" and not geometry.g.size)):
        planes = _numbered(kind, k, PERMUTATIONS, both)
    elif isinstance(kind, str) and kind == "neighbours":
        planes = _listed(kind, k, _neighbours(geometry), 0)
    elif isinstance(kind, str) and kind.startswith("random:"):
        planes = _listed(kind, k, _random(kind, _numbered(kind, k, PERMUTATIONS, both), seed), 0)
    else:
        name, pairs = _from_file(kind, k)
        gone = np.isin(pairs[:, 0] * k + pairs[:, 1], both[:, 0] * k + both[:, 1])
        planes = _listed(name, k, pairs[~gone], int(gone.sum()))
    if not planes.total:
        raise InputError(f"at least one plane is needed, but every pair of the {k} basis vectors is parallel")
    return planes


def _numbered(kind, k, numbering, parallel):
    slots = k * (k - 1) // (1 if numbering == PERMUTATIONS else 2)
    i, j = parallel[:, 0], parallel[:, 1]
    if numbering == PERMUTATIONS:
        gone = i * (k - 1) + j - (j > i)
    else:
        gone = i * (2 * k - i - 1) // 2 + j - i - 1
    return Planes(kind, k, numbering, slots, slots - gone.size, gone.size, np.empty((0, 2), np.int32), np.sort(gone))


def _listed(kind, k, pairs, skipped):
    pairs = np.unique(pairs, axis=0).astype(np.int32)
    return Planes(kind, k, LISTED, len(pairs), len(pairs), skipped, pairs, np.empty(0, np.int64))


def _neighbours(geometry):
    angle = np.arccos(np.clip(geometry.g, -1.0, 1.0))
    angle[geometry.s == 0.0] = np.inf  # the diagonal and parallel pairs
    nearest = angle.min(axis=1, keepdims=True)
    return np.argwhere((angle <= nearest * NEIGHBOUR) & np.isfinite(angle))


def _random(kind, everything, seed):
    try:
        wanted = int(kind.removeprefix("random:"))
    except ValueError:
        wanted = 0
    if wanted < 1:
        raise InputError(f"random:P needs a whole number P of at least 1, got {kind!r}; try random:1000")
    if wanted > everything.total:
        raise InputError(
            f"random:P must not exceed the {everything.total:,} planes there are, got {wanted:,}; use permutations"
        )
    rng = np.random.Generator(np.random.PCG64(seed))
    # Drawn with as many spares as there are parallel pairs: what is left after dropping them is uniform.
    draw = rng.choice(everything.slots, wanted + everything.skipped, replace=False)
    draw = draw[~np.isin(draw, everything.parallel_numbers)][:wanted]
    return np.stack(everything.pair(draw), axis=1)


def _from_file(source, k):
    name = "array"
    if not isinstance(source, np.ndarray):
        name = str(source)
        if not name.lower().endswith((".npy", ".txt", ".csv")):
            raise InputError(f"planes must be {KINDS} (.npy, .txt, .csv), got {name!r}")
        if not os.path.isfile(name):
            raise InputError(f"planes file must exist, got {name}")
        try:
            source = read_table(name)
        except Exception as error:  # whatever the parsers raise on a damaged file, the user needs one line
            raise InputError(
                f"planes file {name} must hold index pairs, one a row: {' '.join(str(error).split())}"
            ) from None
    pairs = np.asarray(source)
    numeric = pairs.dtype.kind in "iuf"
    if not numeric or pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs) or (pairs != np.floor(pairs)).any():
        raise InputError(f"planes must be whole-number pairs of shape (p, 2), got shape {pairs.shape} in {name}")
    pairs = pairs.astype(np.int64)
    bad = np.flatnonzero((pairs < 0).any(axis=1) | (pairs >= k).any(axis=1) | (pairs[:, 0] == pairs[:, 1]))
    if bad.size:
        raise InputError(
            f"plane indices must be two different numbers in [0, {k - 1}], got {tuple(pairs[bad[0]].tolist())} "
            f"in row {bad[0]} of {name}"
        )
    unique, count = np.unique(pairs, axis=0, return_counts=True)
    if (count > 1).any():
        raise InputError(f"each plane may be listed once, got {tuple(unique[count > 1][0].tolist())} twice in {name}")
    return name, pairs
