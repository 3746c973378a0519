"""The planes with the highest peaks when not all that are hit fit into memory: no peak exceeds its plane's hits."""

from dataclasses import replace

import numpy as np

from srmfast.engine.basis import PreparedBasis, Way
from srmfast.engine.hits import HitLedger
from srmfast.errors import InputError
from srmfast.planes import PERMUTATIONS, listed


def outgrown(bases, room):
    """Say for each basis whether its hits can be counted by pair, there being `room` for so many pairs."""
    return [
        basis.mode == "hits" and not basis.planes.pairs.size and basis.planes.k * (basis.planes.k - 1) // 2 <= room
        for basis in bases
    ]


def count_highest(member, k, places, *, sizes, dtype, count):
    """Count the hits of all planes in one reading, and in a second those planes that may be among the k highest.

    Parameters
    ----------
    member : Member
        The planes of some of its bases outgrew the memory.
    k : int
    places : int
        Planes whose counts fit into memory.
    sizes : (int, int, int)
        Labels, epsilons and angles.
    dtype : numpy integer type
    count : callable
        Given a member and, for each of its bases, a HitLedger or None for an ordinary one, counts its rows once and
        returns RowTally, totals and ledgers.

    Returns
    -------
    rows, totals : RowTally, list of ndarray
        Of all planes.
    wholes : list of HitLedger or None
        The hits of all planes, where these outgrew the memory.
    ledgers : list of Ledger
        Of the highest planes, or of all.

    Raises
    ------
    InputError
        A plane that does not fit may be among the k highest.
    """
    over = outgrown(member.bases, member.plan.pair_room)
    bases = tuple(basis.by_pairs() if out else basis for basis, out in zip(member.bases, over, strict=True))
    wholes = [
        HitLedger(basis, *sizes, 0, basis.planes.k, dtype=dtype, stripes=member.plan.stripes_of_pairs) if out else None
        for basis, out in zip(bases, over, strict=True)
    ]
    rows, totals, ledgers = count(replace(member, bases=bases), wholes)
    chosen = [_most_hit(basis, whole, k, places) if whole else None for basis, whole in zip(bases, wholes, strict=True)]
    some = [found for found in chosen if found]
    _, _, highest = count(replace(member, bases=tuple(basis for basis, _ in some)), [None] * len(some))
    for at, found in enumerate(chosen):
        if found:
            ledgers[at] = highest.pop(0)
            _check(np.sort(ledgers[at].peaks(sizes[0]))[::-1], found[1], k)
    return rows, totals, wholes, ledgers


def _most_hit(basis, ledger, k, places):
    """Return the planes with most hits as a list, and the hits of the best pair that is not among them."""
    planes = basis.planes
    both = planes.numbering == PERMUTATIONS
    room = places // (1 + both)
    best = ledger.highest(room + 1, np.empty((0, 3), np.int64))
    most, left = min(len(best), room), int(best[room, 0]) if len(best) > room else 0
    _check(np.repeat(best[:most, 0], 1 + both), left, k)  # where even the hits do not settle it
    pairs = best[:most, 1:]
    pairs = np.concatenate([pairs, pairs[:, ::-1]]) if both else pairs
    chosen = listed(planes.kind, planes.k, pairs, planes.skipped)
    return PreparedBasis(basis.basis, basis.geometry, chosen, "hits", basis.a, Way.of_list(basis.basis, chosen)), left


def _check(peaks, left, k):
    """Refuse when a plane left out may be as high as the k-th of `peaks`, which fall; `left` is the most it can reach."""
    if left and (peaks.size < k or peaks[k - 1] <= left):
        least = int(peaks[k - 1]) if peaks.size >= k else 0
        raise InputError(
            f"--keep top:{k} must be certain, but the counts of only {peaks.size:,} planes that are hit fit into memory: number "
            f"{k:,} of them reaches {least:,} rows at most, and one left out may reach {left:,}; use a smaller K, a larger "
            "epsilon or more --memory"
        )
