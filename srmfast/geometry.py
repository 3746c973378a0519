"""Cosines and sines between the vectors of a basis, held in matrices where they fit."""

from dataclasses import dataclass, field

import numpy as np

from srmfast.bases import Basis
from srmfast.coherence import (
    count_above,
    geometry_of,
    nearest_candidates,
    pairs_above,
    parallel_pairs,
)
from srmfast.threads import each, each_range

LADDER = np.arange(1, 20) / 20  # coherence cuts, 0.05 … 0.95
NEIGHBOUR = 1 + 1e-6  # "neighbouring" up to this factor of the smallest angle
_RANGE = 32  # basis vectors per task of the matrices
_LIST = 1 << 16  # pairs per task of a list
BLOCK = 1 << 18  # entries of a matrix looked at together
_NONE = np.empty((0, 0))


@dataclass(frozen=True, eq=False)
class Geometry:
    """Cosines and sines between the vectors of a basis.

    Attributes
    ----------
    basis : Basis
    g, s : ndarray, (k, k) float64, or (0, 0) when they are not needed or do not fit
        g = b_i·b_j, exactly 0 below 1e-12; s = ‖b_j − g·b_i‖, exactly 1 then and 0 for a parallel pair.
    parallel : ndarray, (m, 2) int64
        Pairs i < j that span no plane, in ascending order.
    orthogonal : bool
        Whether every pair is orthogonal or parallel; then there are no matrices.
    """

    basis: Basis
    g: np.ndarray = field(repr=False)
    s: np.ndarray = field(repr=False)
    parallel: np.ndarray = field(repr=False)
    orthogonal: bool

    @classmethod
    def of(cls, basis, *, limit=None):
        """Compute the geometry of a `Basis`.

        Parameters
        ----------
        basis : Basis
        limit : int, optional
            Bytes that the matrices may take; any number when omitted. What they would hold is found by `of_pairs`,
            `near` and `neighbours` all the same.

        Returns
        -------
        Geometry
        """
        if basis.selection is not None:  # nothing quadratic
            return cls(basis, _NONE, _NONE, _same_column(basis.selection[0]), True)
        vectors, k = basis.vectors, len(basis.vectors)
        parallel = _parallel_if_orthogonal(vectors)
        if parallel is not None:
            return cls(basis, _NONE, _NONE, parallel, True)
        if not matrix_bytes(k, False, limit):
            return cls(basis, _NONE, _NONE, parallel_pairs(vectors), False)
        g, s = gram(basis)
        return cls(basis, g, s, _pairs_where(lambda rows: s[rows] == 0.0, k), False)

    def of_pairs(self, i, j):
        """Return g, s of the pairs (i, j) and s of (j, i), each float64 in the shape of i and j, to the last bit."""
        i, j = np.broadcast_arrays(np.asarray(i, np.int64), np.asarray(j, np.int64))
        if self.g.size:
            return self.g[i, j], self.s[i, j], self.s[j, i]
        if not self.orthogonal:
            g, s, s_back = np.empty((3, i.size))
            _fill(self.basis.vectors, i.ravel(), j.ravel(), g, s, s_back)
            return g.reshape(i.shape), s.reshape(i.shape), s_back.reshape(i.shape)
        g, s = np.zeros(i.shape), np.ones(i.shape)
        if self.basis.selection is not None:
            columns, signs = self.basis.selection
            same = columns[i] == columns[j]
            g[same] = (signs[i] * signs[j])[same]
        else:
            same = (i == j) | self.is_parallel(i, j)
            g[same] = geometry_of(self.basis.vectors, i[same], j[same])[0]
        s[same] = 0.0
        return g, s, s.copy()

    def is_parallel(self, i, j):
        """Say which of the pairs (i, j) span no plane."""
        k = np.int64(len(self.basis.vectors))
        keys = self.parallel[:, 0] * k + self.parallel[:, 1]
        wanted = np.minimum(i, j) * k + np.maximum(i, j)
        at = np.searchsorted(keys, wanted)
        return (np.append(keys, -1)[at] == wanted) if keys.size else np.zeros(np.shape(wanted), bool)

    def angles(self, i, j):
        """Return the angle between vectors i and j in radians; i, j are index arrays."""
        cosine = self.g[i, j] if self.g.size else self.of_pairs(i, j)[0]
        return np.arccos(np.clip(cosine, -1.0, 1.0))

    def near(self, cut, *, most=None):
        """List the pairs of vectors with |g| > cut that span a plane.

        Parameters
        ----------
        cut : float
        most : int, optional

        Returns
        -------
        i, j : ndarray, (p,) int32, or None
            i < j, in ascending order; None when there are more than `most`.
        """
        k = len(self.basis.vectors)
        if self.orthogonal:
            found = np.empty((0, 2), np.int64)
        elif self.g.size:
            found = _pairs_where(lambda rows: (np.abs(self.g[rows]) > cut) & (self.s[rows] > 0.0), k, most)
        else:
            found = pairs_above(self.basis.vectors, cut, None if most is None else most + len(self.parallel))
            found = found if found is None else found[~self.is_parallel(found[:, 0], found[:, 1])]
        if found is None or (most is not None and len(found) > most):
            return None
        return found[:, 0].astype(np.int32), found[:, 1].astype(np.int32)

    def cut(self, most):
        """Choose a coherence cut for a search that lists the pairs above it.

        Parameters
        ----------
        most : int
            Pairs that may be listed.

        Returns
        -------
        float
            The smallest of 0.05, 0.1 … 0.95 that at most `most` pairs lie above, 1.0 when there is none; 0.0 for an
            orthogonal basis.
        """
        if self.orthogonal:
            return 0.0
        most = most + len(self.parallel)  # they lie above every rung
        counts = _count_above(self.g) if self.g.size else count_above(self.basis.vectors, LADDER, most)
        fitting = np.flatnonzero(counts <= most)
        return float(LADDER[fitting[0]]) if fitting.size else 1.0

    def neighbours(self):
        """List, for every vector, those at the smallest angle from it.

        Returns
        -------
        ndarray, (p, 2) int64
            Ordered pairs (i, j), ascending: b_j at up to 1 + 1e-6 times the smallest angle that a plane through b_i has.
        """
        if self.g.size:
            return np.concatenate([self._nearest_in(rows) for rows in _blocks(len(self.g))])
        i, j = nearest_candidates(self.basis.vectors, self.parallel)
        g, s, _ = self.of_pairs(i, j)
        angle = np.arccos(np.clip(g, -1.0, 1.0))
        angle[s == 0.0] = np.inf
        nearest = np.full(len(self.basis.vectors), np.inf)
        np.minimum.at(nearest, i, angle)
        near = (angle <= nearest[i] * NEIGHBOUR) & np.isfinite(angle)
        return _ascending(np.stack([i[near], j[near]], axis=1).astype(np.int64))

    def _nearest_in(self, rows):
        angle = np.arccos(np.clip(self.g[rows], -1.0, 1.0))
        angle[self.s[rows] == 0.0] = np.inf  # the diagonal and parallel pairs
        nearest = angle.min(axis=1, keepdims=True)
        return np.argwhere((angle <= nearest * NEIGHBOUR) & np.isfinite(angle)) + (rows.start, 0)


def matrix_bytes(k, orthogonal, limit):
    """Return the bytes of the matrices that a basis of k vectors gets."""
    return 0 if orthogonal or (limit is not None and 16 * k * k > limit) else 16 * k * k


def gram(basis):
    """Compute the cosine and sine of every pair of basis vectors.

    Parameters
    ----------
    basis : Basis

    Returns
    -------
    g : ndarray, (k, k) float64
        b_i·b_j, exactly 0 when |b_i·b_j| < 1e-12; the diagonal holds the squared norms.
    s : ndarray, (k, k) float64
        ‖b_j − g·b_i‖; exactly 1 where g is 0, exactly 0 for a parallel pair (s < 1e-6 in either order) and on the
        diagonal.
    """
    from srmfast.kernels.frames import gram as fill

    vectors, k = basis.vectors, len(basis.vectors)
    g, s = np.empty((k, k)), np.empty((k, k))
    each_range(lambda start, stop: fill(vectors, start, stop, g, s), k, _RANGE, size=k)
    return g, s


def _same_column(columns):
    order = np.argsort(columns, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(columns[order])) + 1) if np.bincount(columns).max() > 1 else []
    pairs = [(i, j) for group in groups for n, i in enumerate(group) for j in group[n + 1 :]]
    pairs = np.sort(np.array(pairs, np.int64).reshape(-1, 2), axis=1)
    return _ascending(pairs)


def _ascending(pairs):
    return pairs[np.lexsort(pairs.T[::-1])]


class _Oblique(Exception):
    """Some pair of vectors is neither orthogonal nor parallel."""


def _parallel_if_orthogonal(vectors):
    """Return the parallel pairs when every other pair is orthogonal, otherwise None, mostly at once."""
    from srmfast.kernels.frames import parallels

    k, parts = len(vectors), []

    def look(start, stop):
        room = 4 * _RANGE
        while True:
            found = np.empty((room, 2), np.int64)
            number = parallels(vectors, start, stop, found)
            if number < 0:
                raise _Oblique
            if number <= room:
                parts.append(found[:number])
                return
            room = number

    try:
        each_range(look, k, _RANGE, size=k)
    except _Oblique:
        return None
    return _ascending(np.concatenate(parts))


def _fill(vectors, i, j, *out):
    """Fill g, s, s_back of a list of pairs, on several threads when it is long."""
    from srmfast.kernels.frames import pairs

    ranges = [slice(start, start + _LIST) for start in range(0, i.size, _LIST)]
    each(lambda part: pairs(vectors, i[part], j[part], *(array[part] for array in out)), [(part,) for part in ranges])


def _blocks(k):
    step = max(1, BLOCK // k)
    return [slice(start, min(start + step, k)) for start in range(0, k, step)]


def _pairs_where(condition, k, most=None):
    """List the pairs i < j whose entry of a (k, k) matrix fulfils a condition; None when there are more than `most`."""
    parts, count = [], 0
    for rows in _blocks(k):
        pairs = np.argwhere(condition(rows)) + (rows.start, 0)
        parts.append(pairs[pairs[:, 0] < pairs[:, 1]])
        count += len(parts[-1])
        if most is not None and count > most:
            return None
    return np.concatenate(parts)


def _count_above(g):
    above = np.zeros(LADDER.size + 1, np.int64)
    for rows in _blocks(len(g)):
        size = np.abs(g[rows])[np.arange(rows.start, rows.stop)[:, None] < np.arange(len(g))]
        above += np.bincount(np.searchsorted(LADDER, size), minlength=above.size)
    return np.cumsum(above[::-1])[::-1][1:]
