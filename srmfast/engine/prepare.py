"""Open, check and plan everything a run needs; nothing is read but headers, columns, bases and samples."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from srmfast.engine.basis import PreparedBasis, Way, listed_ns
from srmfast.engine.basis_given import basis_for
from srmfast.engine.block import PRODUCTS
from srmfast.engine.centre import given_mean
from srmfast.engine.compiling import Kernels
from srmfast.engine.doubts import doubts
from srmfast.engine.events import ComparingVectors, StoresLeftOut, ignore
from srmfast.engine.hits import tiles
from srmfast.engine.inner import InnerProduct, load_inner_product, seen_by
from srmfast.engine.limit import needs_median
from srmfast.engine.plan import GEOMETRY_SHARE, BasisSize, Plan, make_plan, reading_seconds, time_class
from srmfast.engine.planes_drawn import cost_of, sizes_of
from srmfast.engine.selection import RowSelection
from srmfast.engine.several import each_store
from srmfast.engine.stored import DTYPES, bits
from srmfast.errors import InputError, OtherWidth
from srmfast.geometry_cost import geometry_bytes, geometry_seconds
from srmfast.planes import Geometry, choose_planes
from srmfast.spec import format_bytes
from srmfast.stores import Store, load_column, open_store

_LONG = 2.0  # seconds that are worth a word


@dataclass(frozen=True)
class Member:
    """One store of a run with the bases it is counted in.

    Attributes
    ----------
    name : str
        Group of the result.
    store : Store
    fingerprint : dict
        Identity of the data.
    selection : RowSelection
    mean : ndarray, (d,) float64, or None
        A mean given to centre by.
    finds_mean : bool
        Whether it is read once more for its mean.
    kernels : Kernels
        Those that counting calls.
    bases : tuple of PreparedBasis
    plan : Plan
    owned : bool
        Whether the store was opened here and has to be closed.
    given : str or None
        The path as it was given, whole; None for arrays and open stores.
    options : dict
        What the store was opened with.
    fills : bool
        Whether chunks that do not exist read as the fill value.
    interval : (int, int)
        The rows that this process counts, START and STOP: all, or a shard.
    finds_norms : bool
        Whether it is read once more for the median norm.
    notes : tuple of str
        What was found out about the rows and a user should know.
    inner : InnerProduct or None
        What changes the rows of the store; None for the Euclidean one.
    compared : (float, int)
        Seconds and bytes that comparing the bases with random rotations takes, roughly.
    """

    name: str
    store: Store
    fingerprint: dict
    selection: RowSelection
    mean: np.ndarray | None
    finds_mean: bool
    kernels: Kernels
    bases: tuple
    plan: Plan
    owned: bool
    given: str | None
    options: dict
    fills: bool
    interval: tuple
    finds_norms: bool
    notes: tuple
    compared: tuple
    inner: InnerProduct | None = None

    def described(self, request):
        """Return what the run asked for and of which store, JSON-able, so that it can be done again."""
        return replace(request, index=self.options["index"]).to_dict(self.given)

    @property
    def nbytes(self):
        """Stored bytes of the rows that will be read, uncompressed."""
        return self.rows_read * self.store.row_bytes

    @property
    def slab_bytes(self):
        """Bytes of one read."""
        return self.plan.slab_rows * self.store.d * bits(self.store.dtype).itemsize

    @property
    def rows_read(self):
        """Rows that will be read: whole reads that hold a selected row."""
        return sum(stop - start for start, stop in self.reads())

    def reads(self, start=None, stop=None):
        """Yield the (start, stop) of every read of a pass in storage order; of some rows only, if told so."""
        low, high = self.interval
        low, high = low if start is None else start, high if stop is None else stop
        for first, last in self.store.reads(self.plan.slab_rows, low, high):
            if self.selection.wants(first, last):
                yield first, last

    def readings(self):
        """Return how often the store is read: whole readings for norms, mean and counts, and halves to choose planes."""
        turns = [len(tiles(prepared.planes.k, self.plan.pair_room)) for prepared in self.bases if prepared.planes.most]
        return 1 + self.finds_norms + self.finds_mean, max(turns, default=0)

    def counting_seconds(self):
        """Estimate the seconds that counting takes when few rows come near a plane."""
        _, halves = self.readings()
        ns = 0.0
        for prepared in self.bases:
            most, k = prepared.planes.most, prepared.planes.k
            listed = listed_ns(prepared.basis, min(2 * most, k), most) if most else 0.0
            ns += self.rows_read * (prepared.way.row_ns * (halves / 2 if most else 1) + listed)
        return ns * 1e-9 / self.plan.threads

    def describe(self, resources):
        """Return the plan of this store's run as text: what --dry-run prints."""
        store, plan = self.store, self.plan
        lines = [
            f"{self.name}: {store.location}",
            f"  rows     {self.selection.seen():,} of {store.n:,}, {store.d} wide, {store.dtype}, {format_bytes(self.nbytes)} to read",
        ]
        for prepared, mode in zip(self.bases, plan.modes, strict=True):
            basis, planes = prepared.basis, prepared.planes
            kept = {"dense": "all in memory", "hits": "those that are hit", "none": "none, only their sums"}[mode]
            kept += " or, found in two more readings, the highest" if plan.pair_room and not planes.most else ""
            skipped = f", {planes.skipped:,} parallel pairs skipped" if planes.skipped else ""
            some = f"the {planes.most:,} with most hits of " if planes.most else ""
            lines.append(
                f"  basis    {basis.name}: {len(basis.vectors):,} vectors, {some}{planes.total:,} planes ({planes.kind}){skipped}; kept: {kept}"
            )
            lines.append(f"  {prepared.way.method:<8} {prepared.way.why}")
        whole, halves = self.readings()
        if whole + halves > 1:
            norms = "one for the norms, " if self.finds_norms else ""
            mean = "one for the mean, " if self.finds_mean else ""
            choose = f"{halves} of half of the rows to choose planes, " if halves else ""
            lines.append(f"  passes   {norms}{mean}{choose}one to count")
        lines.append(
            f"  reading  {plan.readers} reader{'s' * (plan.readers > 1)}, {plan.slab_rows:,} rows at a time; "
            f"computing on {plan.threads} thread{'s' * (plan.threads > 1)}, {plan.block_rows:,} rows a kernel call"
        )
        lines.append(
            f"  time     reading takes {time_class(reading_seconds(self.nbytes * (whole + halves / 2)))}; counting takes "
            f"{time_class(self.counting_seconds())}, more if many rows come near a plane"
        )
        if self.compared[0]:
            lines.append(f"  null     comparing with random rotations takes {time_class(self.compared[0])}")
        lines.append(
            f"  memory   {format_bytes(plan.nbytes)} of {format_bytes(resources.memory)} that the run may add:"
        )
        lines += [f"           {format_bytes(size):>9}  {what}" for what, size in plan.parts if size]
        return "\n".join(lines)


def prepare(stores, bases, request, resources, *, on_event=ignore, compiles=True, apart=False, single=False):
    """Check all inputs of a run and plan it.

    Parameters
    ----------
    stores : sequence of (name, Store, array or path)
        An empty name takes the store's own.
    bases : sequence of (name, Basis, array, path or name)
        Likewise.
    request : Request
    resources : Resources
    on_event : callable
        Receives `StoresFound`, `StoresLeftOut`, `KernelsMissing` and `ComparingVectors`.
    compiles : bool
        Whether kernels that are missing are to be announced: rows will be counted.
    apart : bool
        Compile them in a process of their own, for which its memory is not ours.
    single : bool
        Refuse a pattern that stands for several stores.

    Returns
    -------
    list of Member
        One for each store.
    """
    stores, bases, resolved = each_store(stores, request, on_event, single=single), list(bases), {}

    def resolve(store):
        if store.d not in resolved:
            resolved[store.d] = _bases(bases, store, request, resources, on_event)
        return resolved[store.d]

    def kernels_of(store):
        kernels = Kernels.of(store, request)
        if compiles:
            kernels.announce(on_event, apart=apart)
        return kernels

    members, narrow = [], []
    for given in stores:
        try:
            members.append(_member(given, kernels_of, resolve, request, resources, len(stores)))
        except OtherWidth as error:
            if not given.found or not (members or given is not stores[-1]):
                raise
            narrow.append((str(given.source), str(error)))
    if narrow:
        on_event(StoresLeftOut(tuple(name for name, _ in narrow), narrow[0][1]))
    names = [member.name for member in members]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"stores need different names, got {name!r} {names.count(name)} times; rename the files")
    if len(names) * len(bases) > 1:
        _check_groups(names + [prepared.basis.name for prepared in members[0].bases])
    return members


def _check_groups(names):
    for name in names:
        if "/" in name or name.startswith((".", "__")):
            raise InputError(
                f"a name becomes a group of the result, without '/' and no '.' or '__' in front, got {name!r}; choose another"
            )


def _member(given, kernels_of, resolve, request, resources, stores):
    store, source = open_store(given.source, **given.options), given.source
    if store.dtype not in DTYPES:
        raise InputError(
            f"activations must be {', '.join(DTYPES)}, got {store.dtype} in {store.location}; convert them"
        )
    missing = store.missing_rows() if request.missing_chunks != "zeros" else []
    if request.missing_chunks == "zeros":
        store.fill_missing()
    inner = load_inner_product(request.inner_product, store.d)
    store = seen_by(store, inner)
    selection = RowSelection(
        store, rows=request.rows, sample=request.sample, seed=request.seed, mask=request.mask, lengths=request.lengths,
        padding=request.padding, exclude_tokens=request.exclude_tokens, tokens=request.tokens, labels=request.labels,
        groups=request.groups, missing=missing if request.missing_chunks == "skip" else (),
    )  # fmt: skip
    if request.missing_chunks == "error":
        _refuse_missing(store, selection, missing)
    kernels = kernels_of(store)  # before bases, which need some of them
    try:
        chosen = resolve(store)
    except OtherWidth:
        if given.found:
            store.close()
        raise
    ways = [Way.choose(*parts, request) for parts in chosen]
    cells = selection.names.size * len(request.epsilon)
    sizes = [sizes_of(request.null, store.n, store.d, len(basis.vectors), cells) for basis, _, _ in chosen]
    costs = [cost_of(one, store.d, cells, resources.threads) for one in sizes if one]
    compared = sum(seconds for seconds, _ in costs), max((size for _, size in costs), default=0)
    plan = make_plan(
        n=store.n, d=store.d, itemsize=bits(store.dtype).itemsize, format=store.describe()["format"],
        unit_rows=store.rows_per_block, readers=store.readers, remote=store.remote, advice=store.advice(),
        bases=[
            BasisSize(
                len(basis.vectors), planes.most or planes.slots, planes.most or len(planes.pairs),
                _geometry_bytes(geometry, way, resources.threads), way.method, planes.slots if planes.most else 0,
            )
            for (basis, geometry, planes), way in zip(chosen, ways, strict=True)
        ],
        stores=stores, working=store.working_bytes, computes=store.computes, held=store.held_bytes,
        c=selection.names.size * (2 if any(planes.most for _, _, planes in chosen) else 1), e=len(request.epsilon), a=request.angles, keep=request.keep,
        resources=resources, columns=selection.nbytes(), compared=compared[1],
    )  # fmt: skip
    if min(request.epsilon) <= 0 and "hits" in plan.modes:
        raise InputError(
            "with an epsilon <= 0 every plane is hit, and all of them do not fit into their share of the memory; use "
            "--keep summary, a larger epsilon, fewer planes or more --memory"
        )
    prepared = tuple(
        PreparedBasis(*parts, "none" if parts[2].most else mode, request.angles, way)
        for parts, mode, way in zip(chosen, plan.modes, ways, strict=True)
    )
    mean = given_mean(request.centre, store)
    return Member(
        given.named(store), store, store.fingerprint(), selection, mean, request.centre is True, kernels, prepared, plan,
        not isinstance(source, Store), given.path,
        given.options, request.missing_chunks == "zeros", (0, store.n), needs_median(request.max_norm), (*selection.notes, *doubts(store, selection), *([inner.note] if inner else [])), compared, inner,
    )  # fmt: skip


def _bases(bases, store, request, resources, on_event):
    planes = _planes_of_result(request.planes)
    chosen, limit = {}, int(resources.memory * GEOMETRY_SHARE) // max(1, len(bases))
    for name, spec in bases:
        spec = basis_for(name, spec, store, request, memory=resources.memory)
        if spec.name in chosen:
            raise InputError(
                f"bases need different names, got {spec.name!r} twice; name them: --basis NAME={spec.name}"
            )
        _announce_geometry(spec, request.planes, limit, resources, on_event)
        geometry = Geometry.of(spec, limit=limit)
        chosen[spec.name] = (spec, geometry, choose_planes(planes, spec, geometry, seed=request.seed))
    return list(chosen.values())


def _planes_of_result(planes):
    """Return the index pairs of the planes that a result has kept, when its path is given; anything else as it is."""
    if isinstance(planes, (str, Path)) and str(planes).rstrip("/").endswith(".zarr"):
        return np.stack([load_column(f"{planes}::{name}") for name in ("plane_i", "plane_j")], axis=1)
    return planes


def _announce_geometry(basis, planes, limit, resources, on_event):
    """Refuse a basis whose vectors cannot be compared in the memory there is, and tell when that takes a while."""
    (k, d), orthogonal = basis.vectors.shape, basis.selection is not None
    kind = planes if isinstance(planes, str) else ""
    need = 3 * basis.vectors.nbytes // 2 + geometry_bytes(k, d, kind, orthogonal, limit)
    if need > resources.memory and not orthogonal:
        raise InputError(
            f"the vectors of a basis must fit into memory and be compared there, but {k:,} of width {d:,} need "
            f"{format_bytes(need)} of {format_bytes(resources.memory)}; use fewer vectors or more --memory"
        )
    seconds = 0.0 if orthogonal else geometry_seconds(k, d, kind, False, limit)
    if seconds > _LONG:
        on_event(ComparingVectors(basis.name, k, seconds))


def _geometry_bytes(geometry, way, threads):
    """Bytes of the angles between vectors while counting: matrices, and the products of a search."""
    products = 0 if way.method == "scan" or geometry.basis.selection is not None else threads * PRODUCTS * 3 // 2
    return geometry.g.nbytes + geometry.s.nbytes + products


def _refuse_missing(store, selection, missing):
    gone = 0
    for start, stop in missing:
        keep, _, _ = selection.keep(start, stop)
        gone += stop - start if keep is None else int(keep.sum())
    if gone:
        keys = ", ".join(store.missing_keys(3)) or "inside shards"
        raise InputError(
            f"every chunk must exist, but {gone:,} rows of {store.location} lie in chunks that do not ({keys}): lost, "
            "or never written because they hold only the fill value; use --missing-chunks skip or zeros"
        )
