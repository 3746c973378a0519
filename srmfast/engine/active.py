"""The planes with most hits: counted pair by pair on half of the rows, so that the other half can judge them."""

import math
from dataclasses import replace

import numpy as np

from srmfast.engine.basis import PreparedBasis, Way
from srmfast.engine.ledger import Stripe
from srmfast.errors import InputError
from srmfast.planes import listed

_LOOKED_AT = 1 << 22  # pairs looked through at once


class HitLedger:
    """How many arcs each unordered pair of vectors had; takes the place of a `Ledger`.

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
        bases.append(PreparedBasis(basis.basis, basis.geometry, planes, mode, request.angles, Way.of_list(basis.basis, planes)))
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
