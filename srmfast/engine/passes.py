"""What a run does with one store: the readings it takes, in order, and what comes of them."""

import gc
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from srmfast.angles import angle_table
from srmfast.engine.active import check_half, choose_active
from srmfast.engine.assemble import assemble, by_fold, phase_by_fold, provenance
from srmfast.engine.collect import SharedDrawn, SharedNorms, SharedRepeats, SharedSums
from srmfast.engine.events import PassFinished, PassStarted, PlanesOutgrown, Rotating
from srmfast.engine.identity import null_sizes, spec_of, states_of, units_of
from srmfast.engine.ledger import Ledger, PlanesOverflow
from srmfast.engine.limit import find_limit
from srmfast.engine.loop import read_and_count
from srmfast.engine.plan import HIT_SHARE
from srmfast.engine.planes_drawn import PlanesDrawn
from srmfast.engine.reading import Pass
from srmfast.engine.rotations import compare
from srmfast.engine.stored import to_floats
from srmfast.engine.stratified import SharedStrata, by_stratum
from srmfast.engine.suggest import SAMPLE, suggest_epsilon
from srmfast.engine.top import count_highest, outgrown
from srmfast.errors import InputError
from srmfast.kernels.arcs import wrap_table
from srmfast.kernels.decode import USED, ZERO
from srmfast.spec import hash_array


class Passes:
    """The readings of one store: for its norms, for its mean, for the planes to choose, for the counts.

    Parameters
    ----------
    member : Member
    request : Request
    share : int
        Bytes for the result of each basis.
    on_event : callable
    checkpoint : Checkpoint, optional
        Where states are kept.
    number : int
        Of the store in the run.
    read : callable
        Does one reading: `read_and_count`, or that of a cluster.
    before : Passes, optional
        Those of the same rows as stored, which have found their limit and their sums.
    """

    def __init__(
        self, member, request, share, on_event, checkpoint=None, number=0, read=read_and_count, before=None
    ):  # fmt: skip
        request = request.treating(member.centre)
        self.member, self.request, self.share, self.on_event, self._before = member, request, share, on_event, before
        self.checkpoint, self.number, self._read_and_count = checkpoint, number, read
        self._identity = states_of([member], request) if checkpoint is not None else None
        self.mean, self.began = member.mean, time.perf_counter()
        self.seconds, self.nbytes, self.norms = {}, 0, None
        self.common = dict(
            dtype=member.store.dtype, d=member.store.d, epsilons=np.array(request.epsilon),
            table=wrap_table(*angle_table(request.angles)), nonfinite=request.nonfinite,
            block_rows=member.plan.block_rows, counter=np.dtype(member.kernels.counter).type, phase=False,
        )  # fmt: skip
        warming = ThreadPoolExecutor(1, "srmfast-warm")
        self.ready = self._untold = warming.submit(member.kernels.load)
        warming.shutdown(wait=False)

    def results(self):
        """Yield the result of each basis."""
        self.find_limit()
        self.find_median()
        member, request = self.member, self.request
        selection, mean_sums, mean_rows, folds = member.selection, None, None, None
        if member.finds_mean:
            mean_rows, mean_sums = self.find_mean()
        if any(basis.planes.most for basis in member.bases):
            bases, folds = choose_active(
                member, request, room=member.plan.pair_room, dtype=self.common["counter"],
                read=lambda member, bases, ledgers: self._read("choose", member, bases, ledgers).rows,
                suggest=self.suggest,
            )  # fmt: skip
            member = replace(member, bases=bases, selection=selection.halves(folds))
        rows, totals, wholes, ledgers, phases, sums, repeats, lengths, drawn, strata = self._count(member)
        member.store.check_unchanged(member.fingerprint)
        refuse_empty(rows, member.store.location, request.zero_rows)
        if folds is not None:
            check_half(rows.fate[:, selection.names.size :], "judge the planes")
        chances = [self._chance(basis, drawn, folds) for basis in self.member.bases]
        moments = (mean_sums.value.total(), mean_rows) if mean_rows else sums and (sums.value.total(), rows)
        self.found = rows, sums
        origin = provenance(member.plan, self.spent(), self.nbytes)
        counted = zip(member.bases, totals, wholes, ledgers, phases, chances, strict=True)
        for number, (basis, total, whole, ledger, phase, chance) in enumerate(counted):
            spec = self.spec_of(basis, member)
            yield assemble(
                total, ledger, rows, basis, selection.names, moments, spec,
                store=(member.name, member.store.location), budget=self.share, provenance=origin,
                suggested=None if total.any() else self.suggest(basis.basis), active_folds=folds, whole=whole,
                inputs=member.described(request), centre=self.mean,
                inner=None if member.inner is None else member.inner.matrix,
                repeats=repeats.value, norms=self.norms, lengths=lengths.value, notes=member.notes, phase=phase, chance=chance,
                units=units_of(member), strata=by_stratum(strata and strata.value, number, basis, spec),
            )  # fmt: skip

    def spec_of(self, basis, member=None):
        """Return the Spec of one basis, once everything it takes has been found."""
        return spec_of(member or self.member, basis, self.request, self.mean, self.limit)

    def find_limit(self):
        """Read the store for the median of its norms when --max-norm is a multiple of that; keep the limit and the norms."""
        if self._before is not None:
            self.limit, self.norms = self._before.limit, self._before.norms
        else:
            self.limit, self.norms = find_limit(
                self.request.max_norm, lambda shared: self._read("norms", self.member, (), (), mean=None, norms=shared)
            )
        self.common["limit"] = self.limit.limit

    def find_median(self):
        """Find the median norm that strata are told apart by: of the rows that all rules but --max-norm keep."""
        if self.member.strata is None or not self.member.strata.needs_median:
            return
        norms = self.norms
        if self._before is not None:
            median = self._before.member.strata.median
        else:
            if norms is None:
                shared = SharedNorms()
                self._read("norms", self.member, (), (), mean=None, norms=shared, limit=math.inf)
                norms = shared.value
            median = norms.median if norms.total else 1.0  # without a usable row, which the count tells
        self.member = replace(self.member, strata=self.member.strata.at(median))

    def find_mean(self):
        """Find the mean, which is then subtracted; return the rows it was taken over and their sums.

        The store is read for it, unless its rows have been counted as stored before.
        """
        if self._before is not None:
            rows, sums = self._before.found
        else:
            sums = SharedSums(self.member.store.d)
            rows = self._read("mean", self.member, (), (), sums=sums).rows
        n = int(rows.fate[..., [USED, ZERO]].sum())  # zero rows are judged after centring: here they are data
        self.mean = sums.value.total()[:-1] / max(n, 1) + 0.0
        return rows, sums

    def folds(self):
        """Count what a member selects for the totals of its only basis; return rows used and totals by fold."""
        (basis,) = self.member.bases
        self.find_limit()
        counted = self._read("count", self.member, (basis,), self._shared(self.member), phase=bool(self.request.null))
        c = self.member.selection.names.size
        used, totals = by_fold(counted.rows, counted.totals[0], basis, c, self.request)
        return used, totals, phase_by_fold(counted.phases[0], basis, c)

    def tally(self):
        """Count the rows of a shard; return what they add up to."""
        self.find_limit()
        self.find_median()
        more = dict(sums=self._sums(), repeats=self._repeats(), norms=SharedNorms(), strata=self._strata())
        more |= self._compared()
        counted = self._read("count", self.member, self.member.bases, self._shared(self.member), **more)
        self.member.store.check_unchanged(self.member.fingerprint)
        return counted.tally([self.member.interval])

    def spent(self):
        """Return the seconds spent so far, thread seconds by stage and the total."""
        loaded = self.ready.result()
        compiling = loaded.seconds if loaded.compiled else 0.0
        return self.seconds | {"total": time.perf_counter() - self.began - compiling}

    def _repeats(self):
        return SharedRepeats(self.member.selection.seen())

    def _compared(self):
        """Return what a reading collects for the comparison with rotations of the basis."""
        if not self.request.null:
            return {}
        sizes = null_sizes(self.member, self.member.bases[0], self.request)
        names = self.member.selection.names.size
        return dict(phase=True, drawn=SharedDrawn(sizes["rows"], self.member.store.d, self.request.seed, names))

    def _chance(self, basis, drawn, folds):
        """Compare a basis, with the planes asked for, with its rotations; None when that was not asked for."""
        if drawn is None:
            return None
        began, request = time.perf_counter(), self.request
        self.on_event(Rotating(basis.basis.name, request.null))
        found = compare(
            drawn.value, PlanesDrawn.of(basis.basis, basis.geometry, basis.planes, null_sizes(self.member, basis, request), request.seed),
            rotations=request.null, epsilons=request.epsilon, c=self.member.selection.names.size, seed=request.seed,
            mean=self.mean, chosen=folds, threads=self.member.plan.threads,
        )  # fmt: skip
        self.seconds["rotations"] = self.seconds.get("rotations", 0.0) + time.perf_counter() - began
        return found

    def _strata(self):
        """Return what a reading collects by stratum, or None."""
        strata, sizes = self.member.strata, (len(self.member.bases), len(self.request.epsilon), self.request.angles)
        return strata and SharedStrata(strata, sizes)

    def _sums(self):
        return SharedSums(self.member.store.d) if self.mean is None else None  # of rows as stored, not of centred ones

    def _count(self, member):
        """Count all planes in one reading, or the highest in two more when those that are hit outgrow the memory.

        Returns
        -------
        rows, totals : RowTally, list of ndarray
        wholes : list of HitLedger or None
        ledgers : list of Ledger
        phases : list of ndarray or None
        sums : SharedSums or None
        repeats : SharedRepeats
        lengths : SharedNorms
        drawn : SharedDrawn or None
        strata : SharedStrata or None
        """
        keep, room = self.request.keep, member.plan.pair_room

        def count(member, wholes):
            strata, sums, repeats, lengths, compared = (
                self._strata(),
                self._sums(),
                self._repeats(),
                SharedNorms(),
                self._compared(),
            )
            shared = [whole or other for whole, other in zip(wholes, self._shared(member), strict=True)]
            collected = dict(sums=sums, repeats=repeats, norms=lengths, strata=strata, **compared)
            counted = self._read("count", member, member.bases, tuple(shared), **collected)
            more = counted.phases, sums, repeats, lengths, compared.get("drawn"), strata
            return counted.rows, counted.totals, counted.ledgers, *more

        none = [None] * len(member.bases)
        try:
            rows, totals, ledgers, *collected = count(member, none)
            return rows, totals, none, ledgers, *collected
        except PlanesOverflow as overflow:
            if not keep.startswith("top:") or not any(outgrown(member.bases, room)):
                raise
            self.on_event(PlanesOutgrown(str(overflow)))
        gc.collect()  # the ledgers that were given up: their threads' errors hold them in a circle
        counted = []

        def count_again(member, wholes):
            rows, totals, ledgers, *collected = count(member, wholes)
            counted.append(collected)
            return rows, totals, ledgers

        sizes, dtype = self._sizes(member), self.common["counter"]
        places = self._hit_bytes() // Ledger.place_bytes(*sizes, dtype)
        found = count_highest(member, int(keep[4:]), places, sizes=sizes, dtype=dtype, count=count_again)
        return *found, *counted[0]

    def _read(self, purpose, member, bases, ledgers, **collected):
        """Read every row that a member selects and count it; return the worker that holds what was counted."""
        self.nbytes += member.nbytes
        task = Pass(
            selection=member.selection, bases=bases, ledgers=ledgers,
            **self.common | {"mean": self.mean, "sums": None} | collected,
        )  # fmt: skip
        saved = None
        if self.checkpoint is not None:
            ranges = [(getattr(ledger, "low", 0), getattr(ledger, "high", 0)) for ledger in ledgers]  # of pairs
            planes = [basis.planes.digest() for basis in bases]
            about = [self._identity, member.selection.digest(), hash_array(task.mean), task.limit, planes, ranges]
            about += [member.strata.to_dict()] if task.strata is not None else []
            about.append(list(task.collected))
            saved = self.checkpoint.reading(self.number, purpose, about)
        self.on_event(PassStarted(purpose, member.name, member.rows_read, member.nbytes))
        began = time.perf_counter()
        ready, self._untold = self._untold, None
        try:
            worker, spent = self._read_and_count(member, task, self.on_event, ready=ready, saved=saved)
        finally:
            self.on_event(PassFinished(time.perf_counter() - began))
        for stage, value in spent.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + value
        return worker

    def _sizes(self, member):
        return member.selection.label_names.size, len(self.request.epsilon), self.request.angles

    def _hit_bytes(self):
        return int(self.share * HIT_SHARE)

    def _shared(self, member):
        """Return for each basis the ledger that all workers share; None where each has its own."""
        sizes, stripes = self._sizes(member), member.plan.stripes
        return tuple(
            Ledger(basis, *sizes, dtype=self.common["counter"], stripes=stripes, limit=self._hit_bytes())
            if basis.mode == "hits" or (basis.mode == "dense" and stripes > 1)
            else None
            for basis in member.bases
        )

    def suggest(self, basis):
        """Propose an epsilon at which something is hit, or None."""
        return suggest_epsilon(some_rows(self.member, self.mean), basis)


def some_rows(member, mean):
    """Return the usable ones of 256 rows at fixed places of the store, as float64."""
    store, found = member.store, [np.empty((0, member.store.d))]
    for start in np.unique(np.linspace(0, store.n - 1, 8).astype(np.int64)).tolist():
        stop = min(start + SAMPLE // 8, store.n)
        keep, _, _ = member.selection.keep(start, stop)
        raw = store.read(start, stop)
        rows = to_floats(raw if keep is None else raw[keep], store.dtype)
        found.append(rows if mean is None else rows - mean)
    rows = np.concatenate(found)
    norms = np.sqrt((rows**2).sum(axis=1))
    return rows[np.isfinite(norms) & (norms > 0)]


def refuse_empty(rows, location, zero_rows):
    """Refuse to go on without a usable row."""
    used = rows.fate[..., [USED, ZERO] if zero_rows == "keep" else USED].sum()
    if not used:
        _, zero, nonfinite = rows.fate.sum(axis=(0, 1)).tolist()
        raise InputError(
            f"at least one row must be usable, but of {rows.seen:,} rows of {location} {zero:,} are of zero norm, "
            f"{nonfinite:,} non-finite and {sum(rows.masked.values()):,} masked"
        )
