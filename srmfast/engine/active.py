"""Planes "active:P": chosen by their hits on half of the rows, so that the other half can judge them."""

from dataclasses import replace

import numpy as np

from srmfast.engine.basis import PreparedBasis, Way
from srmfast.engine.hits import HitLedger, tiles
from srmfast.errors import InputError
from srmfast.kernels.decode import USED
from srmfast.planes import listed


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
        Given a member, its bases and their ledgers, reads and counts its rows once and returns their tally.
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
        No plane is hit, or no row of one half is usable.
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
        rows = read(some, tuple(member.bases[n] for n in waiting), tuple(ledgers))
        check_half(rows.fate, "choose the planes")
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


def check_half(fate, purpose):
    """Refuse when no row of one half is usable; `fate` (64, c, 3) int64 counts its rows."""
    if not fate[..., USED].any():
        raise InputError(
            f"active:P needs usable rows in both halves, but all those that would {purpose} are of zero norm or non-finite; "
            "use another --seed, or --planes permutations"
        )
