"""The public runs: prepare, read each store, assemble what was counted."""

import gc
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from srmfast.angles import angle_table
from srmfast.bases import load_basis
from srmfast.engine.active import check_half, choose_active
from srmfast.engine.assemble import assemble, provenance
from srmfast.engine.block import Pass, SharedSums
from srmfast.engine.events import PassFinished, PassStarted, PlanesOutgrown, ignore
from srmfast.engine.ledger import Ledger, PlanesOverflow
from srmfast.engine.loop import read_and_count
from srmfast.engine.plan import HIT_SHARE
from srmfast.engine.prepare import prepare
from srmfast.engine.request import Request
from srmfast.engine.stored import to_floats
from srmfast.engine.suggest import SAMPLE, suggest_epsilon
from srmfast.engine.top import count_highest, outgrown
from srmfast.errors import InputError
from srmfast.kernels.arcs import wrap_table
from srmfast.kernels.decode import USED, ZERO
from srmfast.results import Results
from srmfast.spec import DEFAULT_ANGLES, DEFAULT_EPSILON, Resources, Spec, hash_array


def run(
    activations,
    basis="standard",
    *,
    epsilon=DEFAULT_EPSILON,
    angles=DEFAULT_ANGLES,
    planes="permutations",
    labels=None,
    groups=None,
    mask=None,
    centre=False,
    keep="auto",
    seed=0,
    rows=None,
    sample=0,
    zero_rows="drop",
    nonfinite="error",
    missing_chunks="error",
    feature_axis=None,
    index=None,
    flatten=False,
    basis_transpose=False,
    threads=None,
    memory=None,
    block_rows=None,
    on_event=ignore,
):
    """Count, for every plane and angle, the activations inside the cone.

    Parameters
    ----------
    activations : array, path, Store
        (n, d) rows, or any array or file that `srmfast.open_store` understands.
    basis : array, path, name or Basis
        (k, d) vectors; see `srmfast.load_basis`.
    epsilon : float or sequence of float
        Cosines of the cone's half-angle, in [−1, 1]; all in one pass.
    angles : int
        Number of angles in one turn.
    planes : str, path or array (p, 2)
        permutations, combinations, neighbours, random:P, active:P or index pairs. active:P are the P planes i < j with
        most hits on half of the rows, whole folds drawn with the seed; `heldout` of the result is of the other half.
    labels, groups, mask : array, path or key, optional
        One value a row: class, unit of independence, rows to keep.
    centre : bool, array (d,) or path
        Subtract the mean of the rows (first read for that), or the given one.
    keep : str
        Planes that stay in the result: auto, all, hit, top:K (highest peaks) or summary.
    seed : int
        For random bases, planes and samples.
    rows : str or slice, optional
        START:STOP:STEP of rows to use.
    sample : int
        Rows to draw from these; 0 for all.
    zero_rows : {"drop", "keep"}
        Whether rows of zero norm leave the denominator.
    nonfinite : {"error", "skip"}
    missing_chunks : {"error", "skip", "zeros"}
    feature_axis, index, flatten
        How an array of higher rank becomes rows; see `srmfast.open_store`.
    basis_transpose : bool
        The basis is (d, k).
    threads, memory, block_rows : optional
        How to compute; they change no count. `memory` is bytes or text ("2GiB") that the run may add.
    on_event : callable
        Receives the events of `srmfast.engine.events`.

    Returns
    -------
    Result

    Raises
    ------
    InputError
        Any value that cannot be used; before work begins whenever that can be known.

    Notes
    -----
    Paper 2505.13471, Eqn 2. Membership is decided in float64 as DESIGN lays down; the counts do not depend on
    threads, blocks, memory, format or CPU.
    """
    request = Request(
        epsilon=epsilon, angles=angles, planes=planes, labels=labels, groups=groups, mask=mask, centre=centre,
        keep=keep, seed=seed, rows=rows, sample=sample, zero_rows=zero_rows, nonfinite=nonfinite,
        missing_chunks=missing_chunks, feature_axis=feature_axis, index=index, flatten=flatten,
        basis_transpose=basis_transpose,
    )  # fmt: skip
    resources = Resources.resolve(threads, memory, block_rows)
    results = run_many({"": activations}, {"": basis}, request, resources, on_event=on_event)
    return next(iter(results.values()))


def run_many(stores, bases, request=None, resources=None, *, on_event=ignore):
    """Run several stores against several bases in the same readings of each store.

    Parameters
    ----------
    stores, bases : dict of str to what `run` takes
        Names become groups of the saved result; an empty name takes the store's or basis's own.
    request : Request, optional
        What to count; the defaults of `run` when omitted.
    resources : Resources, optional
        How to count.
    on_event : callable

    Returns
    -------
    Results
    """
    request = request or Request()
    resources = resources or Resources.resolve()
    members = prepare(stores.items(), bases.items(), request, resources, on_event=on_event)
    return execute(members, request, resources, on_event=on_event)


def execute(members, request, resources, *, on_event=ignore):
    """Carry out a prepared run: read each store once, and before that for its mean or for planes to choose.

    Parameters
    ----------
    members : list of Member
        From `prepare`.
    request, resources : Request, Resources
        Those they were prepared with.
    on_event : callable

    Returns
    -------
    Results
    """
    results = {}
    share = resources.memory // max(1, sum(len(member.bases) for member in members))
    try:
        for member in members:
            for result in _execute(member, request, share, on_event):
                results[member.name, result.attrs["basis_name"]] = result
    finally:
        for member in members:
            if member.owned:
                member.store.close()
    return Results(results)


def count_rows(rows, vectors, pairs, epsilon, a, *, zero_rows="drop"):
    """Count rows (n, d) in memory for the unit vectors (k, d) and ordered pairs (p, 2) given, in that order.

    Returns
    -------
    ndarray, (e, p, a) int64
    """
    pairs = np.asarray(pairs, np.int64).reshape(-1, 2)
    result = run(
        rows, load_basis(vectors, np.shape(vectors)[1]), epsilon=epsilon, angles=a, planes=pairs, keep="all",
        zero_rows=zero_rows, memory=1 << 40,
    )  # fmt: skip
    k = len(vectors)
    counted = result.plane_i.astype(np.int64) * k + result.plane_j
    wanted = pairs[:, 0] * k + pairs[:, 1]
    if missing := np.setdiff1d(wanted, counted).size:
        raise InputError(f"every pair must span a plane, but {missing} of {len(pairs)} are parallel; leave them out")
    numbers = np.searchsorted(counted, wanted)
    return result.counts[0][:, numbers]


def _execute(member, request, share, on_event):
    """Yield the result of each basis of one store; `share` is the memory for each."""
    began = time.perf_counter()
    store = member.store
    common = dict(
        dtype=store.dtype, d=store.d, selection=member.selection, epsilons=np.array(request.epsilon),
        table=wrap_table(*angle_table(request.angles)), nonfinite=request.nonfinite,
        block_rows=member.plan.block_rows, counter=np.dtype(member.kernels.counter).type,
    )  # fmt: skip
    with ThreadPoolExecutor(1, "srmfast-warm") as warming:
        ready = warming.submit(member.kernels.load)
        yield from _Passes(member, request, share, common, ready, began, on_event).results()


class _Passes:
    """The readings of one store: for its mean, for the planes to choose, for the counts."""

    def __init__(self, member, request, share, common, ready, began, on_event):
        self.member, self.request, self.share, self.common = member, request, share, common
        self.mean, self.ready, self.began, self.on_event = member.mean, ready, began, on_event
        self.seconds, self.nbytes, self._untold = {}, 0, ready

    def results(self):
        """Yield the result of each basis."""
        member, request = self.member, self.request
        selection, mean_sums, mean_rows, folds = member.selection, SharedSums(member.store.d), None, None
        if request.centre is True:
            mean_rows, *_ = self._read("mean", member, (), (), mean_sums)
            n = int(mean_rows.fate[..., [USED, ZERO]].sum())  # zero rows are judged after centring: here they are data
            self.mean = mean_sums.tree.total()[:-1] / max(n, 1) + 0.0
        if any(basis.planes.most for basis in member.bases):
            bases, folds = choose_active(
                member, request, room=member.plan.pair_room, dtype=self.common["counter"],
                read=lambda member, bases, ledgers: self._read("choose", member, bases, ledgers)[0],
                suggest=self._suggest,
            )  # fmt: skip
            member = replace(member, bases=bases, selection=selection.halves(folds))
        rows, totals, wholes, ledgers, sums = self._count(member)
        member.store.check_unchanged(member.fingerprint)
        _refuse_empty(rows, member.store, request.zero_rows)
        if folds is not None:
            check_half(rows.fate[:, selection.names.size :], "judge the planes")
        moments = (mean_sums.tree.total(), mean_rows) if mean_rows else sums and (sums.tree.total(), rows)
        loaded = self.ready.result()
        self.seconds["total"] = time.perf_counter() - self.began - (loaded.seconds if loaded.compiled else 0.0)
        origin = provenance(member.plan, self.seconds, self.nbytes)
        for basis, total, whole, ledger in zip(member.bases, totals, wholes, ledgers, strict=True):
            yield assemble(
                total, ledger, rows, basis, selection, moments, _spec(member, basis, request, self.mean),
                store=(member.name, member.store.location), budget=self.share, provenance=origin,
                suggested=None if total.any() else self._suggest(basis.basis), active_folds=folds, whole=whole,
            )  # fmt: skip

    def _count(self, member):
        """Count all planes in one reading, or the highest in two more when those that are hit outgrow the memory.

        Returns
        -------
        rows, totals : RowTally, list of ndarray
        wholes : list of HitLedger or None
        ledgers : list of Ledger
        sums : SharedSums or None
        """
        keep, room = self.request.keep, member.plan.pair_room

        def count(member, wholes):
            sums = SharedSums(member.store.d) if self.mean is None else None  # of rows as stored, not of centred ones
            shared = [whole or other for whole, other in zip(wholes, self._shared(member), strict=True)]
            rows, totals, ledgers = self._read("count", member, member.bases, tuple(shared), sums)
            return rows, totals, ledgers, sums

        none = [None] * len(member.bases)
        try:
            rows, totals, ledgers, sums = count(member, none)
            return rows, totals, none, ledgers, sums
        except PlanesOverflow as overflow:
            if not keep.startswith("top:") or not any(outgrown(member.bases, room)):
                raise
            self.on_event(PlanesOutgrown(str(overflow)))
        gc.collect()  # the ledgers that were given up: their threads' errors hold them in a circle
        counted = []

        def count_again(member, wholes):
            *found, sums = count(member, wholes)
            counted.append(sums)
            return found

        sizes, dtype = self._sizes(member), self.common["counter"]
        places = self._hit_bytes() // Ledger.place_bytes(*sizes, dtype)
        found = count_highest(member, int(keep[4:]), places, sizes=sizes, dtype=dtype, count=count_again)
        return *found, counted[0]

    def _read(self, purpose, member, bases, ledgers, sums=None):
        """Read every row that a member selects and count it; return the rows, totals and ledgers."""
        self.nbytes += member.nbytes
        common = self.common | {"selection": member.selection}
        task = Pass(bases=bases, ledgers=ledgers, mean=self.mean, sums=sums, **common)
        self.on_event(PassStarted(purpose, member.name, member.rows_read, member.nbytes))
        began = time.perf_counter()
        ready, self._untold = self._untold, None
        try:
            rows, totals, ledgers, spent = read_and_count(member, task, self.on_event, ready=ready)
        finally:
            self.on_event(PassFinished(time.perf_counter() - began))
        for stage, value in spent.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + value
        return rows, totals, ledgers

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

    def _suggest(self, basis):
        return suggest_epsilon(_some_rows(self.member, self.mean), basis)


def _some_rows(member, mean):
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


def _refuse_empty(rows, store, zero_rows):
    used = rows.fate[..., [USED, ZERO] if zero_rows == "keep" else USED].sum()
    if not used:
        _, zero, nonfinite = rows.fate.sum(axis=(0, 1)).tolist()
        raise InputError(
            f"at least one row must be usable, but of {rows.seen:,} rows of {store.location} {zero:,} are of zero norm, "
            f"{nonfinite:,} non-finite and {sum(rows.masked.values()):,} masked"
        )


def _spec(member, prepared, request, mean):
    columns = member.selection.columns
    basis, sampled = prepared.basis, member.selection.sampled
    return Spec(
        store=member.fingerprint,
        basis={
            "name": basis.name,
            "kind": basis.kind,
            "shape": list(basis.vectors.shape),
            "sha256": basis.sha256,
            "normalised": basis.normalised,
        },
        planes=request.planes_name,
        planes_hash=prepared.planes.digest(),
        epsilon=request.epsilon,
        angles=request.angles,
        labels=hash_array(columns["labels"] and columns["labels"][0]) + hash_array(member.selection.names),
        groups=hash_array(columns["groups"] and columns["groups"][0]),
        mask=hash_array(columns["mask"] and columns["mask"][0]),
        rows=member.selection.bounds,
        sample=0 if sampled is None else sampled.size,
        sample_hash=hash_array(sampled),
        centre_hash=hash_array(mean),
        zero_rows=request.zero_rows,
        nonfinite=request.nonfinite,
        missing_chunks=request.missing_chunks,
        keep=request.keep,
        seed=request.seed,
    )
