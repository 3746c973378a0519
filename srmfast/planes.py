"""Which ordered planes are counted, how they are numbered, and which pairs span no plane."""

import hashlib
import os
from dataclasses import dataclass, field, replace

import numpy as np

from srmfast.bases import read_table
from srmfast.errors import InputError, meant
from srmfast.geometry import Geometry

__all__ = ["Geometry", "Planes", "choose_planes", "listed"]

LISTED, PERMUTATIONS, COMBINATIONS = 0, 1, 2  # as in kernels/scan.py
FEW = 1 << 24  # numbers that may all be shuffled to draw some
SHUFFLED = 50  # NumPy shuffles all numbers to draw more than this fraction of them
NAMES = "permutations", "combinations", "neighbours", "random", "active"
KINDS = "permutations, combinations, neighbours, random:P, active:P or a file of index pairs"


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
    most : int
        Of "active:P", how many of these planes are to be counted, those with most hits; 0 for all. They are known
        after a first pass, and `listed` makes the planes of the second.
    """

    kind: str
    k: int
    numbering: int
    slots: int
    total: int
    skipped: int
    pairs: np.ndarray = field(repr=False)
    parallel_numbers: np.ndarray = field(repr=False)
    most: int = 0

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
        """Return the numbers of all planes that are counted, (total,) int64: not for hundreds of millions of them."""
        numbers = np.arange(self.slots)
        return np.delete(numbers, self.parallel_numbers) if self.parallel_numbers.size else numbers

    def partners(self):
        """Return `first, partner, forward, reverse` of a list as kernels/scan.py reads them."""
        if self.numbering != LISTED:
            return np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int64)
        i, j = self.pairs.T.astype(np.int64)
        ahead = i < j
        key = np.where(ahead, i * self.k + j, j * self.k + i)
        unordered, which = np.unique(key, return_inverse=True)
        i, j = np.divmod(unordered, self.k)
        forward, reverse = np.full((2, unordered.size), -1, np.int64)
        number = np.arange(self.slots)
        forward[which[ahead]] = number[ahead]
        reverse[which[~ahead]] = number[~ahead]
        first = np.searchsorted(i, np.arange(self.k + 1))
        return first.astype(np.int64), j.astype(np.int32), forward, reverse

    def digest(self):
        """Return a hash of the planes and of how they are numbered."""
        return hashlib.sha256(
            f"{self.numbering} {self.k} {f'most {self.most} ' if self.most else ''}".encode()
            + self.pairs.astype("<i4").tobytes()
            + self.parallel_numbers.astype("<i8").tobytes()
        ).hexdigest()


def choose_planes(kind, basis, geometry, *, seed=0):
    """Resolve what `--planes` says for one basis.

    Parameters
    ----------
    kind : str, path or array (p, 2) of int
        "permutations" (ordered), "combinations" (i < j), "neighbours" (b_j at the smallest angle from b_i),
        "random:P" (ordered, seeded, drawn from those that are not parallel), "active:P" (all combinations, of which
        `most` says how many to keep), or a .npy, .txt or .csv file of index pairs.
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
    text = kind if isinstance(kind, str) else ""
    if text in ("permutations", "combinations") or (text == "neighbours" and geometry.orthogonal):
        planes = _numbered(kind, k, geometry.parallel)
    elif text == "neighbours":
        planes = listed(kind, k, geometry.neighbours())
    elif text.startswith("random:"):
        planes = listed(kind, k, _random(kind, _numbered(kind, k, geometry.parallel), seed))
    elif text.startswith("active:"):
        planes = _numbered("combinations", k, geometry.parallel)
        planes = replace(planes, kind=kind, most=min(count_of(kind), planes.total))
    else:
        name, pairs = _from_file(kind, k)
        gone = geometry.is_parallel(pairs[:, 0], pairs[:, 1])
        planes = listed(name, k, pairs[~gone], int(gone.sum()))
    if not planes.total:
        raise InputError(f"at least one plane is needed, but every pair of the {k} basis vectors is parallel")
    return planes


def listed(kind, k, pairs, skipped=0):
    """Make the planes of a list.

    Parameters
    ----------
    kind : str
        What was asked for.
    k : int
        Vectors in the basis.
    pairs : ndarray, (p, 2) of int
        Ordered pairs that span a plane, each once, in any order.
    skipped : int
        Pairs asked for that span none.

    Returns
    -------
    Planes
    """
    pairs = np.stack(np.divmod(np.sort(_keys(pairs, k)), k), axis=1).astype(np.int32)
    return Planes(kind, k, LISTED, len(pairs), len(pairs), skipped, pairs, np.empty(0, np.int64))


def _keys(pairs, k):
    return pairs[:, 0].astype(np.int64) * k + pairs[:, 1]


def _numbered(kind, k, parallel):
    i, j = parallel.T
    if kind == "combinations":
        numbering, slots = COMBINATIONS, k * (k - 1) // 2
        gone = i * (2 * k - i - 1) // 2 + j - i - 1
    else:
        numbering, slots = PERMUTATIONS, k * (k - 1)
        gone = np.concatenate([i * (k - 1) + j - 1, j * (k - 1) + i])
    return Planes(kind, k, numbering, slots, slots - gone.size, gone.size, np.empty((0, 2), np.int32), np.sort(gone))


def count_of(kind):
    """Return P of "random:P" or "active:P"."""
    word, _, count = kind.partition(":")
    try:
        wanted = int(count)
    except ValueError:
        wanted = 0
    if wanted < 1:
        raise InputError(f"{word}:P needs a whole number P of at least 1, got {kind!r}; try {word}:1000")
    return wanted


def _random(kind, everything, seed):
    wanted, total, gone = count_of(kind), everything.total, everything.parallel_numbers
    if wanted > total:
        raise InputError(f"random:P must not exceed the {total:,} planes there are, got {wanted:,}; use permutations")
    rank = _draw(wanted, total, np.random.Generator(np.random.PCG64(seed)))
    number = rank + np.searchsorted(gone - np.arange(gone.size), rank, side="right")  # past the parallel ones before it
    return np.stack(everything.pair(number), axis=1)


def _draw(wanted, total, rng):
    """Draw different numbers below `total`, every set as likely as any other, in memory that grows with their number."""
    if total <= FEW or wanted <= total // SHUFFLED:
        return rng.choice(total, wanted, replace=False)
    if wanted > total // 2:
        kept = np.ones(total, bool)
        kept[_draw(total - wanted, total, rng)] = False
        return np.flatnonzero(kept)
    drawn = np.empty(0, np.int64)
    while drawn.size < wanted:
        drawn = np.union1d(drawn, rng.integers(total, size=2 * wanted - drawn.size))
    return rng.permutation(drawn)[:wanted]


def _from_file(source, k):
    name = "array"
    if not isinstance(source, np.ndarray):
        name = str(source)
        if not name.lower().endswith((".npy", ".txt", ".csv")):
            raise InputError(f"planes must be {KINDS} (.npy, .txt, .csv), got {name!r}{meant(name, NAMES)}")
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
    keys = np.sort(_keys(pairs, k))
    twice = keys[1:][keys[1:] == keys[:-1]]
    if twice.size:
        raise InputError(f"each plane may be listed once, got {divmod(int(twice[0]), k)} twice in {name}")
    return name, pairs
