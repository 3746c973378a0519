"""A run in parts: each counts a range of rows on any machine, and merged they are the run over all of them."""

import re
from dataclasses import replace

import numpy as np

from srmfast.bases import Basis
from srmfast.engine.assemble import assemble, merged_provenance, provenance
from srmfast.engine.basis import PreparedBasis
from srmfast.engine.events import ignore
from srmfast.engine.identity import COUNTING, ordered, states_of, units_of
from srmfast.engine.ledger import Ledger
from srmfast.engine.limit import needs_median
from srmfast.engine.passes import Passes, refuse_empty
from srmfast.engine.plan import GEOMETRY_SHARE, HIT_SHARE, counter, modes_of
from srmfast.engine.planes_drawn import PlanesDrawn
from srmfast.engine.rotations import compare
from srmfast.engine.run import close
from srmfast.engine.stratified import by_stratum
from srmfast.engine.tallyfile import TallyFile, write
from srmfast.errors import InputError
from srmfast.kernels.decode import USED
from srmfast.planes import LISTED, Geometry, choose_planes, listed
from srmfast.results import Results
from srmfast.spec import Resources, Spec, available_memory, differing
from srmfast.tally import merged
from srmfast.threads import cores

_SHOWN = 6  # parts in a message


def parse_shard(text):
    """Return (I, N) of "I/N", 1 ≤ I ≤ N."""
    match = re.fullmatch(r"(\d+)/(\d+)", str(text))
    number, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= count:
        raise InputError(f"a shard is I/N with I from 1 to N, got {text!r}; for example 1/4, 2/4, 3/4 and 4/4")
    return number, count


def shard_rows(n, shard):
    """Return the rows START, STOP of n that belong to shard (I, N): a function of n, I and N alone."""
    number, count = shard
    return n * (number - 1) // count, n * number // count


def check_shardable(request, bases):
    """Refuse what needs rows of other shards, naming the command that finds it for all of them.

    Parameters
    ----------
    request : Request
    bases : sequence of (name, Basis, array, path or name)
    """
    if request.treatments[-1] is True:
        both = "both:" if len(request.treatments) > 1 else ""
        raise InputError(
            "a shard does not know the mean of all rows: find it once with srmfast mean STORE -o mean.npy, and give every "
            f"shard --centre {both}mean.npy"
        )
    if needs_median(request.max_norm):
        raise InputError(
            f"a shard does not know the median norm of all rows: srmfast mean STORE --max-norm {request.max_norm:g} -o mean.npy "
            "finds it and tells the limit X to give every shard by --max-norm abs:X"
        )
    if "norm" in request.strata:
        raise InputError(
            "a shard does not know the median norm of all rows: srmfast mean STORE --max-norm 10 -o mean.npy tells ten times "
            "that, and every shard takes the median M by --strata norm:M"
        )
    if str(request.planes).startswith("active:"):
        raise InputError(
            f"a shard cannot choose planes by the hits of all rows: choose them once with srmfast run STORE --planes "
            f"{request.planes} -o chosen.zarr, and give every shard --planes chosen.zarr"
        )
    for _, basis in bases:
        if isinstance(basis, str) and basis.startswith("thompson:"):
            raise InputError(
                f"{basis} may differ in its last bits from machine to machine: make it once with srmfast basis thompson "
                f"--dim D --count {basis.partition(':')[2]} -o basis.npy, and give every shard --basis basis.npy"
            )


def count_part(members, request, resources, shard, path, *, checkpoint=None, on_event=ignore):
    """Count one shard of a prepared run and write the part: what its rows add up to, with all that a merge needs.

    Parameters
    ----------
    members : list of Member
    request, resources : Request, Resources
        Those they were prepared with.
    shard : (int, int)
        I and N.
    path : str or Path
        The file to be.
    checkpoint : Checkpoint, optional
    on_event : callable

    Returns
    -------
    int
        Rows counted.
    """
    share = resources.memory // max(1, sum(len(member.bases) for member in members))
    members = [replace(member, interval=shard_rows(member.store.n, shard)) for member in members]
    described, tallies, arrays, passes = [], [], {}, None
    try:
        if checkpoint is not None:
            checkpoint.begin(states_of(members, request) | {"shard": list(shard)}, on_event)
        for number, member in enumerate(members):
            passes = Passes(
                member, request, share, on_event, checkpoint, number, before=passes if member.follows else None
            )
            tally = passes.tally()
            if member.mean is not None:
                arrays[f"{number}/centre"] = member.mean
            if member.inner is not None:
                arrays[f"{number}/inner"] = member.inner.matrix
            tallies.append(tally)
            described.append(
                {
                    "name": member.name,
                    "location": member.store.location,
                    "n": member.store.n,
                    "labels": member.selection.names.tolist(),
                    "notes": list(member.notes),
                    "units": units_of(member),
                    "inputs": member.described(passes.request),
                    "provenance": provenance(member.plan, passes.spent(), passes.nbytes),
                    "bases": [
                        _describe(f"{number}/{b}/", basis, passes.spec_of(basis), arrays)
                        | {"suggested": None if planes.totals.any() else passes.suggest(basis.basis)}
                        for b, (basis, planes) in enumerate(zip(member.bases, tally.planes, strict=True))
                    ],
                }
            )
        write(path, {"shard": list(shard), "counting": COUNTING, "stores": described}, tallies, arrays)
    finally:
        close(members)
    return sum(tally.rows.seen for tally in tallies)


def _describe(at, prepared, spec, arrays):
    """Return what a merge must know of a basis and its planes, JSON-able; long things go into `arrays`."""
    basis, planes = prepared.basis, prepared.planes
    if basis.selection is None:
        arrays[f"{at}vectors"] = basis.vectors
    else:
        arrays[f"{at}columns"], arrays[f"{at}signs"] = basis.selection
    if planes.numbering == LISTED:
        arrays[f"{at}pairs"] = planes.pairs
    return {
        "spec": spec.to_dict(),
        "units": basis.selection is not None,
        "listed": planes.numbering == LISTED,
        "skipped": planes.skipped,
        "method": prepared.way.method,
    }


def merge(paths, resources=None):
    """Add the parts of a run.

    Parameters
    ----------
    paths : sequence of str or Path
        Files written by `count_part`, in any order.
    resources : Resources, optional
        `memory` bounds the planes that are held.

    Returns
    -------
    Result or Results
        The same counts as of one run over all rows.

    Raises
    ------
    InputError
        Parts are missing, there twice, of another run, or damaged: they are named.
    """
    resources = resources or Resources.resolve()
    if not paths:
        raise InputError("at least one part is needed, got none; give the files that srmfast run --shard wrote")
    headers = []
    for path in paths:
        with TallyFile(path) as file, file.sound():
            headers.append(file.header | {"intervals": [tally.intervals for tally in file.tallies()]})
    _check_parts(paths, headers)
    results = {}
    for number, store in enumerate(headers[0]["stores"]):
        share = resources.memory // max(1, sum(len(one["bases"]) for one in headers[0]["stores"]))
        for result in _merge_store(paths, headers, number, store, share):
            results[store["name"], result.attrs["basis_name"]] = result
    return next(iter(results.values())) if len(results) == 1 else Results(results)


def _check_parts(paths, headers):
    first = _identity(headers[0])
    for path, header in zip(paths, headers, strict=True):
        if found := differing(first, _identity(header), f"in {paths[0]}", f"in {path}"):
            raise InputError(f"parts must be of one run, but {path} is of another: {found}")
    seen = {}
    for path, header in zip(paths, headers, strict=True):
        number, count = header["shard"]
        for other, (before, total) in seen.items():
            if (before, total) == (number, count) or count != total:
                raise InputError(
                    f"rows may be counted once, but {other} is part {before}/{total} and {path} is part {number}/{count}; "
                    "leave one out"
                )
        seen[path] = number, count
    count = headers[0]["shard"][1]
    missing = sorted(set(range(1, count + 1)) - {number for number, _ in seen.values()})
    if missing:
        named = ", ".join(f"{number}/{count}" for number in missing[:_SHOWN])
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise InputError(
            f"all {count} parts are needed, but {named}{more} is missing; run --shard {missing[0]}/{count}"
        )
    for number, store in enumerate(headers[0]["stores"]):
        covered = merged(interval for header in headers for interval in header["intervals"][number])
        if covered != [(0, store["n"])]:
            raise InputError(f"the parts do not hold all {store['n']:,} rows of {store['name']}; count them again")


def _identity(header):
    """Return what the parts of one run share, in its order."""
    found = {
        store["name"]: {"rows": store["n"], "labels": store["labels"]}
        | {basis["spec"]["basis"]["name"]: basis["spec"] for basis in store["bases"]}
        for store in header["stores"]
    }
    return ordered(found, header["counting"])


def _merge_store(paths, headers, number, store, share):
    """Yield the merged result of each basis of one store."""
    names = np.array(store["labels"])
    with TallyFile(paths[0]) as file, file.sound():
        specs = [Spec.from_dict(one["spec"]) for one in store["bases"]]
        found = [_restore(file, f"{number}/{b}/", one, share) for b, one in enumerate(store["bases"])]
        centre = file.array(f"{number}/centre") if specs[0].centre_hash else None
        inner = file.array(f"{number}/inner") if specs[0].inner_product else None
    c, e, a = names.size, len(specs[0].epsilon), specs[0].angles
    dtype = np.dtype(counter(store["n"])).type
    modes = modes_of(specs[0].keep, [planes.slots for _, _, planes in found], c, e, a, share * len(found))
    rows, collected, ledgers, totals, phases = None, {}, [], [], []
    for (basis, geometry, planes), mode in zip(found, modes, strict=True):
        prepared = PreparedBasis(basis, geometry, planes, mode, a)
        ledgers.append(Ledger(prepared, c, e, a, dtype=dtype, stripes=1, limit=int(share * HIT_SHARE)))
        totals.append(0)
        phases.append(0 if specs[0].null else None)
    for path in paths:
        with TallyFile(path) as file, file.sound():
            tally = file.tally(number)
            rows = tally.rows if rows is None else rows + tally.rows
            for name, value in tally.collected.items():
                collected[name] = collected[name] + value if name in collected else value
            for b, planes in enumerate(tally.planes):
                totals[b] = totals[b] + planes.totals
                ledgers[b].add(planes)
                if planes.phase is not None:
                    phases[b] = phases[b] + planes.phase
    refuse_empty(rows, store["location"], specs[0].zero_rows)
    moments = (collected["sums"].total(), rows) if "sums" in collected else None
    origin = merged_provenance([header["stores"][number]["provenance"] for header in headers])
    for b, (ledger, spec, total) in enumerate(zip(ledgers, specs, totals, strict=True)):
        suggested = None if total.any() else store["bases"][b]["suggested"]
        yield assemble(
            total, ledger, rows, ledger.prepared, names, moments, spec,
            store=(store["name"], store["location"]), budget=share, provenance=origin, suggested=suggested,
            method=store["bases"][b]["method"], inputs=store["inputs"], centre=centre, inner=inner,
            repeats=collected["repeats"], lengths=_lengths(collected, rows), notes=store["notes"], phase=phases[b], units=store.get("units"),
            chance=_compare(collected.get("drawn"), ledger.prepared, spec, c, centre),
            strata=by_stratum(collected.get("strata"), b, ledger.prepared, spec),
        )  # fmt: skip


def _lengths(collected, rows):
    """Return the norms of all rows used; None where an older part has none of them."""
    found = collected.get("norms")
    return found if found is not None and found.total == rows.fate[..., USED].sum() else None


def _compare(drawn, prepared, spec, c, mean):
    """Compare a basis with its rotations on the rows that all parts have drawn; None without them."""
    if drawn is None:
        return None
    tested = PlanesDrawn.of(prepared.basis, prepared.geometry, prepared.planes, spec.null, spec.seed)
    return compare(
        drawn, tested, rotations=spec.null["rotations"], epsilons=spec.epsilon, c=c, seed=spec.seed, mean=mean,
        threads=cores(),
    )  # fmt: skip


def _restore(file, at, described, share):
    """Rebuild a basis and its planes from a part, and check that they are what they were."""
    fields = described["spec"]["basis"]
    if described["units"]:
        d, columns = fields["shape"][1], file.array(f"{at}columns")
        if not 0 < columns.size * d * 8 <= available_memory():
            raise ValueError("its basis claims more than the memory there is")
        vectors = np.zeros((columns.size, d))
        vectors[np.arange(columns.size), columns] = file.array(f"{at}signs")
    else:
        vectors = file.array(f"{at}vectors")
    basis = Basis(vectors, fields["kind"], fields["name"], fields["normalised"])
    geometry = Geometry.of(basis, limit=int(share * GEOMETRY_SHARE))
    kind = described["spec"]["planes"]
    if described["listed"]:
        planes = listed(kind, len(vectors), file.array(f"{at}pairs"), described["skipped"])
    else:
        planes = choose_planes(kind, basis, geometry)
    if basis.sha256 != fields["sha256"] or planes.digest() != described["spec"]["planes_hash"]:
        raise ValueError("its basis or planes are not those of its header")
    return basis, geometry, planes
