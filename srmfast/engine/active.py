"""The planes with most hits, found by counting pair by pair before planes are counted angle by angle.

A row hits a plane when it lies in the widest cone at some angle. "active:P" counts hits on half of the rows, so that
the other half can judge the planes chosen. "top:K" counts them on all rows once the planes that are hit outgrow the
memory: no peak is higher than the number of hits.
"""

import math
from dataclasses import replace

import numpy as np

from srmfast.engine.basis import PreparedBasis, Way
from srmfast.engine.ledger import Stripe
from srmfast.errors import InputError
from srmfast.planes import PERMUTATIONS, listed

_LOOKED_AT = 1 << 22  # pairs looked through at once


class HitLedger:
    """How many hits each unordered pair of vectors had, both orders together; takes the place of a `Ledger`.

    Parameters
    ----------
    prepared : PreparedBasis
    c, e, a : int
    low, high : int
        Only pairs whose larger vector lies in this range.
    dtype : numpy integer type
    stripes : int
        In how many parts threads share the pairs.
    """

    def __init__(self, prepared, c, e, a, low, high, *, dtype=np.int32, stripes=1):
        self.prepared, self.low, self.high = prepared, low, high
        self.slots = np.zeros(0, np.int32)
        self.hits = np.zeros(_pairs_below(high) - _pairs_below(low), dtype)
        none = np.zeros((0, c, e, a + 1), dtype)
        self.stripes = [
            Stripe(first, last, none, self.hits, _pairs_below(low)) for first, last in _edges(low, high, stripes)
        ]

    def check(self):
        """Nothing can overflow: there is a place for every pair."""

    @property
    def arcs(self):
        """(row, plane, epsilon) triples with at least one angle inside, mirror images not counted."""
        return sum(int(stripe.state[0]) for stripe in self.stripes)

    @property
    def planes_hit(self):
        """How many planes were hit; None when only pairs are known."""
        if self.prepared.planes.numbering == PERMUTATIONS and not self.prepared.mirrored:
            return None
        return int(np.count_nonzero(self.hits)) * (2 if self.prepared.mirrored else 1)

    def highest(self, most, best):
        """Return the `most` pairs with most hits, of those counted here and those in `best`.

        Parameters
        ----------
        most : int
        best : ndarray, (·, 3) int64
            Hits, smaller and larger vector of the pairs found so far.

        Returns
        -------
        ndarray, (≤most, 3) int64
            By falling hits; ties go to the smaller vectors. Pairs without hits are left out.
        """
        for start in range(0, self.hits.size, _LOOKED_AT):
            some = self.hits[start : start + _LOOKED_AT]
            least = best[-1, 0] if len(best) == most else 1
            at = np.flatnonzero(some >= least)
            if at.size > most:  # most pairs have few hits: settle on a number of hits before they are sorted
                kept = some[at]
                least = kept[np.argpartition(kept, kept.size - most)[kept.size - most]]
                at = at[kept >= least]
            j, i = _pair_at(start + at + _pairs_below(self.low))
            found = np.concatenate([best, np.stack([some[at].astype(np.int64), i, j], axis=1)])
            best = found[np.lexsort((found[:, 2], found[:, 1], -found[:, 0]))][:most]
        return best


def tiles(k, room):
    """Divide the larger vectors of pairs into ranges of at most `room` pairs each.

    Returns
    -------
    list of (int, int)
    """
    edges = [0]
    while edges[-1] < k:
        low = edges[-1]
        high = int((1 + math.sqrt(1 + 8 * (_pairs_below(low) + room))) / 2)
        edges.append(min(k, max(high, low + 1)))
    return list(zip(edges[:-1], edges[1:], strict=True))


def by_pairs(basis):
    """Return a basis whose planes are not kept and whose hits a `HitLedger` counts."""
    return PreparedBasis(basis.basis, basis.geometry, basis.planes, "none", basis.a, basis.way, pairwise=True)


def most_hit(basis, ledger, room):
    """List the planes with most hits of those that a `HitLedger` counted.

    Parameters
    ----------
    basis : PreparedBasis
        All permutations or combinations.
    ledger : HitLedger
    room : int
        Planes.

    Returns
    -------
    PreparedBasis
        These planes as a list, kept by hit.
    int
        Hits of the best pair that is not among them; 0 when all that are hit are there.
    """
    planes = basis.planes
    both = planes.numbering == PERMUTATIONS
    best = ledger.highest(room // (1 + both) + 1, np.empty((0, 3), np.int64))
    most = min(len(best), room // (1 + both))
    pairs = best[:most, 1:]
    pairs = np.concatenate([pairs, pairs[:, ::-1]]) if both else pairs
    chosen = listed(planes.kind, planes.k, pairs, planes.skipped)
    way = Way.of_list(basis.basis, chosen)
    left = int(best[most, 0]) if most < len(best) else 0
    return PreparedBasis(basis.basis, basis.geometry, chosen, "hits", basis.a, way), left


def check_highest(ledger, left, k):
    """Refuse when a plane that was not counted may be among the k highest.

    Parameters
    ----------
    ledger : Ledger
        Of the planes with most hits.
    left : int
        Hits of the best pair that is not among them.
    k : int
    """
    if not left:
        return
    peaks = np.sort(ledger.peaks())[::-1]
    if peaks.size < k or peaks[k - 1] <= left:
        least = int(peaks[k - 1]) if peaks.size >= k else 0
        raise InputError(
            f"the {k:,} highest planes must be certain, but only {peaks.size:,} of those that are hit fit into memory, the "
            f"last of the {k:,} peaks at {least:,} rows and one left out may reach {left:,}; use a smaller K, a larger "
            "epsilon or more --memory"
        )


def choose_active(member, request, *, room, dtype, read, suggest):
    """Find the planes of "active:P" of every basis, on half of the rows.

    Parameters
    ----------
    member : Member
    request : Request
    room : int
        Pairs whose hits are counted in one reading; more pairs take more readings.
    dtype : numpy integer type
        Of the hits.
    read : callable
        Given a member, its bases and their ledgers, reads and counts its rows once.
    suggest : callable
        Given a basis, proposes an epsilon at which something is hit.

    Returns
    -------
    bases : tuple of PreparedBasis
        With the chosen planes as a list.
    folds : ndarray, (64,) bool
        Folds of the rows that they were chosen on.

    Raises
    ------
    InputError
        No plane is hit.
    """
    folds = member.selection.half(request.seed)
    some = replace(member, selection=member.selection.only(folds))
    sizes = some.selection.label_names.size, len(request.epsilon), request.angles
    best = [np.empty((0, 3), np.int64) for _ in member.bases]
    ranges = [tiles(basis.planes.k, room) for basis in member.bases]
    for turn in range(max(len(these) for these in ranges)):
        waiting = [n for n, these in enumerate(ranges) if turn < len(these)]
        ledgers = [
            HitLedger(member.bases[n], *sizes, *ranges[n][turn], dtype=dtype, stripes=member.plan.stripes_of_pairs)
            for n in waiting
        ]
        read(some, tuple(member.bases[n] for n in waiting), tuple(ledgers))
        for n, ledger in zip(waiting, ledgers, strict=True):
            best[n] = ledger.highest(member.bases[n].planes.most, best[n])
    bases = []
    for basis, mode, found in zip(member.bases, member.plan.modes, best, strict=True):
        if not len(found):
            epsilon = suggest(basis.basis)
            advice = f"; try --epsilon {epsilon:g}" if epsilon is not None else ""
            raise InputError(f"{basis.planes.kind} needs planes that are hit, but no row comes near one{advice}")
        planes = listed(basis.planes.kind, basis.planes.k, found[:, 1:], basis.planes.skipped)
        bases.append(
            PreparedBasis(basis.basis, basis.geometry, planes, mode, request.angles, Way.of_list(basis.basis, planes))
        )
    return tuple(bases), folds


def _pairs_below(vector):
    """How many pairs have a larger vector below this one."""
    return vector * (vector - 1) // 2 if vector else 0


def _pair_at(numbers):
    """Return the larger and the smaller vector of numbered pairs."""
    high = ((1 + np.sqrt(1.0 + 8.0 * numbers)) / 2).astype(np.int64)
    high -= high * (high - 1) // 2 > numbers  # the root is rounded
    high += (high + 1) * high // 2 <= numbers
    return high, numbers - high * (high - 1) // 2


def _edges(low, high, stripes):
    edges = np.linspace(low, high, stripes + 1).astype(int).tolist()
    return zip(edges[:-1], edges[1:], strict=True)
