"""A basis with its planes in the form the kernels read, and the way its candidates are found."""

import copy
import functools
import math
from dataclasses import dataclass, field

import numpy as np

from srmfast.kernels.arguments import Frame, Pairs
from srmfast.kernels.search import search_floor
from srmfast.planes import LISTED, PERMUTATIONS, Geometry, Planes

SEARCH_FROM = 64  # vectors; below, trying every pair is always cheap
FINE_FROM = 128  # wide; below, float32 coordinates leave few arcs in doubt
ROUNDED = 2 * 2.0**-24  # bound on the error of a float32 coordinate that is only rounded, of a row of norm 1
_TEST = 0.4  # ns: one pair of a scan
_OBLIQUE = 0.5  # ns: what it takes more without a right angle, where a search takes more, too
_ANGLE = 1e-6  # ns by d·(d + k): what its angle costs each row of a block, where there is no matrix
_LOOK = 0.1  # ns: one coordinate looked at by a search
_ENTRY = 20.0  # ns: what a large coordinate costs besides
_CANDIDATE = 20.0  # ns: a candidate; those of a search are not all hits
_PRODUCT = 50.0  # float32 operations of a product in a ns
_NO_INTEGERS, _NO_FLOATS, _NO_MATRIX = np.empty(0, np.int64), np.empty(0), np.empty((0, 0))


@dataclass(frozen=True)
class Way:
    """How candidates are found.

    Attributes
    ----------
    method : str
        "scan", trying every pair, or "search", by large coordinates.
    why : str
        The reason, for people.
    cut : float
        A search treats pairs with |g| up to here by a bound; those beyond are in `near`.
    near : Pairs or None
    row_ns : float
        Roughly what a row costs on one core, in ns, when it comes near to few planes.
    """

    method: str = "scan"
    why: str = ""
    cut: float = 0.0
    near: Pairs | None = None
    row_ns: float = 0.0

    @classmethod
    def choose(cls, basis, geometry, planes, request):
        """Choose between a scan and a search from the sizes, the smallest epsilon and the coherence of the basis."""
        k, d = basis.vectors.shape
        epsilon = min(request.epsilon)
        if planes.numbering == LISTED:
            return cls.of_list(basis, planes)
        product = _product(basis, k)
        hit = (1.0 - epsilon * epsilon) ** ((d - 2) / 2) if epsilon > 0 else 1.0  # of pairs, for isotropic rows
        pairs = k * (k - 1) / 2
        every = product + (_TEST + _CANDIDATE * hit) * pairs
        angles = 0.0 if geometry.orthogonal else _OBLIQUE + (0.0 if geometry.g.size else _ANGLE * d * (d + k))
        scanned = every + angles * pairs
        if k < SEARCH_FROM:
            return cls("scan", f"every pair on every row: there are fewer than {SEARCH_FROM} vectors", row_ns=scanned)
        cut = 0.0 if geometry.orthogonal else geometry.cut(k)
        floor = search_floor(epsilon, coordinate_error(basis), cut) if epsilon > 0 else -1.0
        if floor <= 0:
            why = "every pair on every row: with this epsilon a row in a plane may be near no vector"
            return cls("scan", why, row_ns=scanned)
        large = math.sqrt(floor / (2.0 + 2.0 * cut))
        share = math.erfc(large * math.sqrt(d / 2.0))  # of coordinates that are large, for isotropic rows
        loud = math.erfc(math.sqrt(floor * d / 2.0))  # and so large that any partner makes a candidate
        search = product + _LOOK * k + share * k * (_ENTRY + _LOOK * k) + _CANDIDATE * k * k * (share * share + loud)
        expected = f"{share * k:,.0f}" if share * k >= 10 else f"{share * k:.2g}"
        near_by = f"a row in a plane has |cos| >= {large:.3g} with one of its vectors; isotropic rows with {expected} of {k:,}"
        if search >= every:
            return cls("scan", f"every pair on every row: {near_by}, too many to search", row_ns=scanned)
        near = None
        if cut:
            i, j = geometry.near(cut)
            if i.size:
                near = listed_pairs(planes.numbering, planes.numbering == PERMUTATIONS, i, j, *geometry.of_pairs(i, j))
                near_by += f"; {i.size:,} pairs with |cos| > {cut:g} are tried on every row"
        search += _TEST * (near.first.size if near else 0)
        return cls("search", f"only near large coordinates: {near_by}", cut, near, search)

    @classmethod
    def of_list(cls, basis, planes):
        """Return the way of listed planes."""
        seen = np.unique(planes.pairs).size
        return cls("scan", "every listed plane on every row", row_ns=listed_ns(basis, seen, len(planes.pairs)))


def listed_ns(basis, vectors, planes):
    """Estimate the ns that a row takes with so many listed planes of so many vectors."""
    return _product(basis, vectors) + _TEST * planes


def _product(basis, k):
    """Return the ns that the coordinates of a row along k vectors take."""
    return _LOOK * k if basis.selection is not None else 2.0 * k * basis.vectors.shape[1] / _PRODUCT


def coordinate_error(basis):
    """Bound on the error of a float32 coordinate of a row of norm 1 (kernels/README.md)."""
    return ROUNDED if basis.selection is not None else (basis.vectors.shape[1] + 8) * 2.0**-24


@dataclass(frozen=True)
class PreparedBasis:
    """A basis with its planes in the form the kernels read.

    Attributes
    ----------
    basis : Basis
    geometry : Geometry
    planes : Planes
    mode : str
        How planes are kept while counting: "dense" (every number), "hits" (from their first arc on) or "none".
    a : int
        Number of angles.
    way : Way
        How candidates are found.
    pairwise : bool
        Whether a plane belongs to the larger of its two vectors whatever the way: hits are counted by pair.
    vectors : ndarray, (v,) int64
        The basis vectors that kernels see, ascending: those of a list of planes, otherwise all. Kernels number them
        0 … v − 1.
    single : ndarray, (v, d) float32
        They themselves; (0, 0) when they are ±unit vectors.
    frame, pairs : Frame, Pairs
    fine : Frame
        The frame for coordinates that were computed in float64; `frame` itself where that would gain nothing.
    """

    basis: object
    geometry: Geometry
    planes: Planes
    mode: str = "dense"
    a: int = 360
    way: Way = Way()
    pairwise: bool = False
    vectors: np.ndarray = field(init=False, repr=False)
    single: np.ndarray = field(init=False, repr=False)
    frame: Frame = field(init=False, repr=False)
    fine: Frame = field(init=False, repr=False)
    pairs: Pairs = field(init=False, repr=False)

    def __post_init__(self):
        basis, geometry, planes = self.basis, self.geometry, self.planes
        seen = np.unique(planes.pairs).astype(np.int64) if planes.numbering == LISTED else np.arange(planes.k)
        object.__setattr__(self, "vectors", seen)
        vectors = basis.vectors if seen.size == planes.k else basis.vectors[seen]
        columns, signs = (_NO_INTEGERS, _NO_FLOATS) if basis.selection is None else basis.selection
        columns, signs = (columns, signs) if basis.selection is None else (columns[seen], signs[seen])
        single = np.empty((0, 0), np.float32) if columns.size else vectors.astype(np.float32)
        parallel = geometry.parallel[np.isin(geometry.parallel, seen).all(axis=1)]
        first, parallel = _by_vector(np.searchsorted(seen, parallel), seen.size)
        g, s = (_NO_MATRIX, _NO_MATRIX) if planes.numbering == LISTED else (geometry.g, geometry.s)
        frame = Frame(
            vectors, columns, signs, geometry.orthogonal, g, s, first, parallel, coordinate_error(basis)
        )  # fmt: skip
        fine = frame if columns.size or basis.vectors.shape[1] < FINE_FROM else frame._replace(delta=ROUNDED)
        for name, value in (("single", single), ("frame", frame), ("fine", fine), ("pairs", self._pairs())):
            object.__setattr__(self, name, value)

    @functools.cached_property
    def mirrored(self):
        """Whether plane (j, i) is the exact mirror image of (i, j), so that one of the two need be counted."""
        return self.geometry.orthogonal and self.planes.numbering == PERMUTATIONS and self.a % 4 == 0

    def by_pairs(self):
        """Return the same basis with planes that are not kept and belong to the larger of their vectors."""
        pairwise = copy.copy(self)
        object.__setattr__(pairwise, "mode", "none")
        object.__setattr__(pairwise, "pairwise", True)
        return pairwise

    @property
    def reads_stored(self):
        """Whether candidates are found on values as they are stored, and few rows need converting."""
        return self.way.method == "search" and self.frame.columns.size > 0

    @property
    def by_partner(self):
        """Whether a plane is owned by its second vector, as found; otherwise by the larger of its two."""
        return self.mirrored and self.way.method == "search" and not self.pairwise

    def owner(self, numbers):
        """Return the vector that owns each plane, as kernels number it."""
        i, j = self.planes.pair(numbers)
        return np.searchsorted(self.vectors, j if self.by_partner else np.maximum(i, j))

    def reversed(self, numbers):
        """Return the numbers of the planes (j, i) of mirrored planes (i, j)."""
        i, j = self.planes.pair(numbers)
        return j * (self.planes.k - 1) + i - (i > j)

    def _pairs(self):
        numbering = self.planes.numbering
        if numbering != LISTED:
            return listed_pairs(numbering, numbering == PERMUTATIONS and not self.mirrored)
        first, partner, forward, reverse = self.planes.partners()
        i = np.repeat(np.arange(first.size - 1, dtype=np.int32), np.diff(first))
        g, s, s_back = self.geometry.of_pairs(i, partner)
        i, partner = (np.searchsorted(self.vectors, vector).astype(np.int32) for vector in (i, partner))
        return Pairs(LISTED, bool((reverse >= 0).any()), i, partner, forward, reverse, g, s, s_back)


def listed_pairs(numbering, both, first=None, second=None, g=_NO_FLOATS, s=_NO_FLOATS, s_back=_NO_FLOATS):
    """Return pairs whose planes are numbered by arithmetic: those given, or none by default."""
    none = np.empty(0, np.int32)
    return Pairs(
        numbering, both, none if first is None else first, none if second is None else second,
        _NO_INTEGERS, _NO_INTEGERS, g, s, s_back,
    )  # fmt: skip


def _by_vector(parallel, k):
    """Return for each vector those that are parallel to it, as offsets and indices."""
    both = np.concatenate([parallel, parallel[:, ::-1]]).reshape(-1, 2)
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    return np.searchsorted(both[:, 0], np.arange(k + 1)).astype(np.int64), both[:, 1].astype(np.int32)
