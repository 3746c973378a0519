"""What kernels are handed, by name: tuples of arrays that belong together.

Numba takes named tuples as they are, so a kernel's signature names five things and not thirty.
"""

from typing import NamedTuple

import numpy as np


class Block(NamedTuple):
    """Some rows of a store, with what was found out about each.

    rows      (n, d) float32 or float64
    norms     (n,) float64, the deciding norms
    fate      (n,) uint8, from `measure`
    labels    (n,) int32
    folds     (n,) uint8
    """

    rows: np.ndarray
    norms: np.ndarray
    fate: np.ndarray
    labels: np.ndarray
    folds: np.ndarray


class Frame(NamedTuple):
    """A basis and the angles between its vectors.

    vectors            (k, d) float64
    columns, signs     (k,) int64, (k,) float64: b_i is signs[i] times the unit vector of columns[i]; (0,) otherwise
    orthogonal         whether every pair is orthogonal or parallel
    g, s               (k, k) float64; (0, 0) when all pairs are orthogonal or parallel, or the matrices do not fit
    parallel_first, parallel    (k + 1,) int64, (m,) int32: vector i is parallel to parallel[parallel_first[i] :
                                parallel_first[i + 1]]
    delta              bound on the error of a float32 coordinate of a row of norm 1
    """

    vectors: np.ndarray
    columns: np.ndarray
    signs: np.ndarray
    orthogonal: bool
    g: np.ndarray
    s: np.ndarray
    parallel_first: np.ndarray
    parallel: np.ndarray
    delta: float


class Pairs(NamedTuple):
    """The planes to count.

    numbering          LISTED, PERMUTATIONS or COMBINATIONS
    both               False when plane (j, i) is not recorded, being the mirror image of (i, j)
    first, second      (q,) int32: the unordered pairs of a list, first < second, by first
    forward, reverse   (q,) int64: the numbers of the planes (first, second) and (second, first), −1 when not asked
                       for; (0,) for pairs whose planes are numbered by arithmetic
    g, s, s_back       (q,) float64: geometry of (first, second), and s of (second, first)
    """

    numbering: int
    both: bool
    first: np.ndarray
    second: np.ndarray
    forward: np.ndarray
    reverse: np.ndarray
    g: np.ndarray
    s: np.ndarray
    s_back: np.ndarray


class Candidates(NamedTuple):
    """(row, pair) combinations that came through a screen and are still to be decided.

    first, second      (room,) int32: the two vectors
    row                (room,) int32: row of the block
    pair               (room,) int32: number in the list of pairs, −1 for pairs that are not listed
    cosine             (room,) float32: b_i·b_j up to frame.delta; only of pairs that are not listed, for frames that
                       are oblique and have no matrices
    """

    first: np.ndarray
    second: np.ndarray
    row: np.ndarray
    pair: np.ndarray
    cosine: np.ndarray


class Cones(NamedTuple):
    """The probes.

    epsilons           (e,) float64
    table              (2a + 5, 2) float64, from `wrap_table`
    """

    epsilons: np.ndarray
    table: np.ndarray


class Counts(NamedTuple):
    """Where arcs are added.

    slots              (planes,) int32: 1 + the place of each plane in `differences`, 0 before its first arc; (0,) when
                       planes stand in the order of their numbers
    differences        (places, c, e, a + 1) integers: difference arrays; (0, c, e, a + 1) to keep no planes
    numbers            (places,) int64: the plane of each place that has been taken, when planes have no fixed place
    totals             (64, c, e, a + 1) int64: difference arrays summed over planes, by fold
    state              (3,) int64: arcs found, places taken, and 1 once there were too few
    hits               (pairs,) integers: arcs of each unordered pair at the smallest epsilon, ordered by its larger
                       vector and then its smaller one; (0,) when they are not wanted
    first_pair         number of the pair that `hits` begins with
    """

    slots: np.ndarray
    differences: np.ndarray
    numbers: np.ndarray
    totals: np.ndarray
    state: np.ndarray
    hits: np.ndarray
    first_pair: int


class Grid(NamedTuple):
    """The cells of a plane: rings of equal width, cut into sectors that the directions of the plane are the middles of.

    cos, sin           (sectors,) float64: of the middles
    rings              how many; cell = sector · rings + ring
    scale              rings / extent: a point at distance r is in ring ⌊r · scale⌋, or beyond all of them
    """

    cos: np.ndarray
    sin: np.ndarray
    rings: int
    scale: float


class Points(NamedTuple):
    """Rows that lie close to a plane.

    number             (room,) int64, of the plane
    row                (room,) int64, of the block
    u, v               (room,) float64: coordinates in the plane
    """

    number: np.ndarray
    row: np.ndarray
    u: np.ndarray
    v: np.ndarray
