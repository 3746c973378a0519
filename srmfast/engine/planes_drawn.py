"""What a basis is compared with its rotations on: some vectors, planes among them, and the frame that spans them."""

import math
from dataclasses import dataclass

import numpy as np

from srmfast.kernels.phase import products
from srmfast.planes import COMBINATIONS, LISTED

ROWS = 1024  # drawn, at most
_SIDE = 1 << 29  # side² · d is this at most: rows of wide stores, and vectors of large bases, are fewer
PLANES = 1 << 18  # drawn, at most
_CELLS = 1 << 22  # planes · labels · epsilons, at most
_FULL = 1e-8  # length of what is new in a vector, below which it lies in the span of those before it
_SPEED = 4.0  # products of numbers in a ns
_TEST = 1.0  # ns: one row in one plane
VECTORS, PLANES_AMONG, ROTATED, SURROGATE = range(4)  # streams of random numbers


def sizes_of(rotations, n, d, k, cells):
    """Return how much is drawn for the comparison with random rotations, as the Spec holds it; None without one.

    Parameters
    ----------
    rotations : int
    n, d : int
        Shape of the store.
    k : int
        Vectors of the basis.
    cells : int
        Labels times epsilons.

    Returns
    -------
    dict or None
        `rotations`, and the most `rows`, `vectors` and `planes` that are drawn.
    """
    if not rotations:
        return None
    side = max(16, math.isqrt(_SIDE // d))
    vectors = min(k, ROWS, side)
    pairs = min(vectors * (vectors - 1) // 2, PLANES, max(1, _CELLS // cells))
    return {"rotations": rotations, "rows": min(n, ROWS, side), "vectors": vectors, "planes": pairs}


def cost_of(sizes, d, cells, threads):
    """Return the seconds and the bytes that the comparison takes, roughly.

    Parameters
    ----------
    sizes : dict
        From `sizes_of`.
    d, cells, threads : int
    """
    n, k, p = sizes["rows"], sizes["vectors"], sizes["planes"]
    q = min(k, d)
    multiplied = 2 * q * q * d + 2 * n * q * d + n * min(n, d) * d + n * k * d
    ns = multiplied / _SPEED + 3 * _TEST * n * p
    each_thread = 8 * (2 * q * d + 2 * n * max(k, q) + 2 * n * d + n * n + p * cells + 256 * k) + 32 * p
    return sizes["rotations"] * ns * 1e-9 / threads, 24 * n * d + 48 * p + 16 * k * d + threads * each_thread


@dataclass(frozen=True)
class PlanesDrawn:
    """The planes on which a basis is compared with its rotations; those of opposite order are one.

    Attributes
    ----------
    vectors : ndarray, (v, d) float64
        The basis vectors that span them.
    i, j : ndarray, (p,) int64
        Among these vectors.
    plane_i, plane_j : ndarray, (p,) int64
        In the basis.
    g, s : ndarray, (p,) float64
        Geometry of the pairs.
    most : int
        Of planes chosen by their hits, how many of these are chosen, again in every rotation; 0 for all.
    frame : ndarray, (q, d) float64
        Orthonormal vectors whose span holds all.
    places, signs : ndarray or None
        Which of the frame each vector is, when it is ± one of them.
    mixed : ndarray, (v, q) float64, or None
        Otherwise the coordinates of the vectors in the frame.
    """

    vectors: np.ndarray
    i: np.ndarray
    j: np.ndarray
    plane_i: np.ndarray
    plane_j: np.ndarray
    g: np.ndarray
    s: np.ndarray
    most: int
    frame: np.ndarray
    places: np.ndarray | None
    signs: np.ndarray | None
    mixed: np.ndarray | None

    @classmethod
    def of(cls, basis, geometry, planes, sizes, seed):
        """Draw vectors, and of the planes among them at most as many as `sizes` says.

        Parameters
        ----------
        basis, geometry, planes : Basis, Geometry, Planes
            As asked for: of "active:P", all among which P are chosen.
        sizes : dict
            From `sizes_of`.
        seed : int
        """
        k, most = len(basis.vectors), sizes["vectors"]
        order = generator(seed, VECTORS).permutation(k)
        if planes.numbering == LISTED:
            pairs = np.unique(np.sort(planes.pairs.astype(np.int64), axis=1), axis=0)
            pairs = _within(pairs, order, most)
        else:
            chosen = np.sort(order[:most])
            i, j = np.triu_indices(chosen.size, 1)
            pairs = np.stack([chosen[i], chosen[j]], axis=1)
            pairs = pairs[~geometry.is_parallel(pairs[:, 0], pairs[:, 1])]
        of_all = planes.total if planes.numbering in (LISTED, COMBINATIONS) else planes.total // 2
        if len(pairs) > sizes["planes"]:
            drawn = generator(seed, PLANES_AMONG).choice(len(pairs), sizes["planes"], replace=False)
            pairs = pairs[np.sort(drawn)]
        g, s, _ = geometry.of_pairs(pairs[:, 0], pairs[:, 1])
        used, place = np.unique(pairs, return_inverse=True)
        place = place.reshape(pairs.shape)
        select = max(1, round(planes.most * len(pairs) / max(of_all, 1))) if planes.most else 0
        vectors = np.ascontiguousarray(basis.vectors[used])
        units = None if basis.selection is None else tuple(part[used] for part in basis.selection)
        frame = frame_of(vectors, units, geometry.orthogonal and not len(geometry.parallel))
        i, j = (np.ascontiguousarray(place[:, side]) for side in (0, 1))
        return cls(vectors, i, j, pairs[:, 0], pairs[:, 1], g, s, select, *frame)

    def basis_numbers(self):
        """Return which vectors of the basis those are that span the planes, (v,) int64."""
        numbers = np.zeros(len(self.vectors), np.int64)
        numbers[self.i], numbers[self.j] = self.plane_i, self.plane_j
        return numbers

    def along(self, rows):
        """Return the coordinates of rows (n, d) along the vectors as they are, (v, n) float64."""
        return along_vectors(rows, self.vectors)

    def turned(self, rows, frame):
        """Return the same along the vectors rotated so that their frame becomes another, (q, d)."""
        return along_turned(rows, frame, self.places, self.signs, self.mixed)


def _within(pairs, order, most):
    """Keep the pairs of as many vectors as fit, in a drawn order of the vectors."""
    if np.unique(pairs).size <= most:
        return pairs
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    # By the later of its two vectors: the first pairs of this order belong to few vectors.
    turn = np.lexsort((rank[pairs].min(axis=1), rank[pairs].max(axis=1)))
    seen, kept = set(), []
    for at in turn.tolist():
        new = seen | set(pairs[at].tolist())
        if len(new) > most:
            break
        seen = new
        kept.append(at)
    return pairs[np.sort(kept)]


def frame_of(vectors, units, orthonormal):
    """Return a frame of the span of some vectors, and how they are made of it: places, signs and mixed of `PlanesDrawn`.

    Parameters
    ----------
    vectors : ndarray, (v, d) float64
    units : (ndarray, ndarray) or None
        Columns and signs of the vectors, when they are ± units.
    orthonormal : bool
    """
    if units is not None:
        columns, places = np.unique(units[0], return_inverse=True)
        frame = np.zeros((columns.size, vectors.shape[1]))
        frame[np.arange(columns.size), columns] = 1.0
        return frame, places.reshape(-1), units[1], None
    if orthonormal:
        return vectors, None, None, None
    if len(vectors) >= vectors.shape[1]:
        return np.eye(vectors.shape[1]), None, None, vectors
    frame = np.empty_like(vectors)
    q = 0
    for vector in vectors:
        rest = vector.copy()
        for _ in range(2):
            for row in range(q):
                rest -= _dot(rest, frame[row]) * frame[row]
        length = math.sqrt(_dot(rest, rest))
        if length > _FULL:
            frame[q] = rest / length
            q += 1
    frame = frame[:q]
    return frame, None, None, np.ascontiguousarray(along_vectors(frame, vectors))


def along_turned(rows, frame, places, signs, mixed):
    """Return the coordinates of rows along vectors made of a frame as `frame_of` says, (v, n) float64."""
    coordinates = along_vectors(rows, frame)
    if places is not None:
        return np.ascontiguousarray(signs[:, None] * coordinates[places])
    if mixed is None:
        return coordinates
    return along_vectors(np.ascontiguousarray(coordinates.T), mixed)


def _dot(x, y):
    out = np.empty((1, 1))
    products(x[None], y[None], out)
    return float(out[0, 0])


def along_vectors(rows, vectors):
    """Return the pinned dots of rows (n, d) with vectors (v, d), (v, n) float64."""
    out = np.empty((len(vectors), len(rows)))
    products(np.ascontiguousarray(rows), np.ascontiguousarray(vectors), out)
    return out


def generator(seed, *stream):
    """Return the random numbers of one purpose, which depend on the seed alone."""
    return np.random.Generator(np.random.PCG64([seed, 64, *stream]))
