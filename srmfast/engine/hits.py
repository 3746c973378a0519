"""How often each pair of vectors is hit: counted pair by pair, before or instead of planes angle by angle.

A row hits a plane when it lies in the widest cone at some angle.
"""

import contextlib
import math

import numpy as np

from srmfast.engine.ledger import Stripe
from srmfast.planes import PERMUTATIONS

_LOOKED_AT = 1 << 18  # pairs looked through at once


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
        self._made = dict(low=low, high=high, dtype=dtype, stripes=stripes)
        self.slots = np.zeros(0, np.int32)
        self.hits = np.zeros(_pairs_below(high) - _pairs_below(low), dtype)
        none = np.zeros((0, c, e, a + 1), dtype)
        self.stripes = [
            Stripe(first, last, none, hits=self.hits, first_pair=_pairs_below(low))
            for first, last in _edges(low, high, stripes)
        ]

    def blank(self):
        """Return the options that make an empty ledger like this one."""
        return self._made

    def claim(self, stripe, totals, most):
        """Return what the kernel adds to: there is a place for every pair."""
        return contextlib.nullcontext(stripe.counts(self.slots, totals))

    def pieces(self):
        """Yield what was counted, in pieces of bounded size: numbers of pairs, in the order of `hits`, and their hits."""
        for start in range(0, self.hits.size, _LOOKED_AT):
            some = self.hits[start : start + _LOOKED_AT]
            hit = np.flatnonzero(some)
            if hit.size:
                yield start + hit, some[hit]

    def add(self, tally):
        """Add what was counted elsewhere or earlier, a PlaneTally."""
        self.stripes[0].state[0] += tally.arcs
        for numbers, hits in tally.pieces:
            self.hits[numbers] += hits

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
