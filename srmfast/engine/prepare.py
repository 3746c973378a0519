"""Open, check and plan everything a run needs; nothing is read but headers, columns, bases and samples."""

from pathlib import Path

import numpy as np

from srmfast.controls import controls_of
from srmfast.engine.basis import PreparedBasis, Way
from srmfast.engine.basis_given import basis_for
from srmfast.engine.block import PRODUCTS
from srmfast.engine.centre import given_mean
from srmfast.engine.compiling import Kernels
from srmfast.engine.doubts import doubts
from srmfast.engine.events import ComparingVectors, StoresLeftOut, ignore
from srmfast.engine.inner import load_inner_product, seen_by
from srmfast.engine.limit import needs_median
from srmfast.engine.member import Member
from srmfast.engine.plan import GEOMETRY_SHARE, BasisSize, make_plan
from srmfast.engine.planes_drawn import cost_of, sizes_of
from srmfast.engine.selection import RowSelection
from srmfast.engine.several import each_store
from srmfast.engine.stored import DTYPES, bits
from srmfast.engine.strata import Strata
from srmfast.engine.stratified import StrataTally
from srmfast.errors import InputError, OtherWidth
from srmfast.geometry_cost import geometry_bytes, geometry_seconds
from srmfast.planes import Geometry, choose_planes
from srmfast.spec import format_bytes
from srmfast.stores import Store, load_column, open_store

_LONG = 2.0  # seconds that are worth a word


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
        One for each store; two where rows are counted as stored and with their mean subtracted.
    """
    stores, bases, resolved = each_store(stores, request, on_event, single=single), list(bases), {}

    def resolve(store):
        if store.d not in resolved:
            resolved[store.d] = _bases(bases, store, request, resources, on_event)
        return resolved[store.d]

    def kernels_of(store):
        every = [Kernels.of(store, request.treating(centre)) for centre in request.treatments]
        for kernels in every if compiles else ():
            kernels.announce(on_event, apart=apart)
        return every[0]

    members, narrow, many = [], [], len(stores) * len(request.treatments)
    for given in stores:
        try:
            members += _member(given, kernels_of, resolve, request, resources, many).treated(request)
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
    if len(names) * len(members[0].bases) > 1:
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
    strata = Strata.of(request.strata, selection, store)
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
        resources=resources, columns=selection.nbytes() + (strata.nbytes if strata else 0), compared=compared[1],
        strata=(resources.threads + 2) * StrataTally.nbytes(strata.cells, len(chosen), len(request.epsilon), request.angles) if strata else 0,
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
    centre = request.treatments[0]
    notes = (
        *selection.notes,
        *(strata.notes if strata else ()),
        *doubts(store, selection),
        *([inner.note] if inner else []),
    )
    return Member(
        given.named(store), store, store.fingerprint(), selection, given_mean(centre, store), centre is True, kernels, prepared, plan,
        not isinstance(source, Store), given.path, given.options, request.missing_chunks == "zeros", (0, store.n),
        needs_median(request.max_norm) or bool(strata and strata.needs_median), notes, compared, inner, strata, centre,
    )  # fmt: skip


def _bases(bases, store, request, resources, on_event):
    planes = _planes_of_result(request.planes)
    waiting = [basis_for(name, spec, store, request, memory=resources.memory) for name, spec in bases]
    given = {spec.sha256 for spec in waiting}
    chosen, limit = {}, int(resources.memory * GEOMETRY_SHARE) // max(1, len(bases) * (3 if request.controls else 1))
    while waiting:
        spec = waiting.pop(0)
        if spec.name in chosen:
            raise InputError(
                f"bases need different names, got {spec.name!r} twice; name them: --basis NAME={spec.name}"
            )
        _announce_geometry(spec, request.planes, limit, resources, on_event)
        geometry = Geometry.of(spec, limit=limit)
        chosen[spec.name] = (spec, geometry, choose_planes(planes, spec, geometry, seed=request.seed))
        if request.controls and spec.sha256 in given:
            # Under another inner product the neurons are at no right angles.
            rotated = geometry.orthogonal and request.inner_product is None
            found = controls_of(spec, orthogonal=rotated, seed=request.seed)
            waiting[:0] = [one for one in found if one.sha256 not in given and one.name not in chosen]
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
