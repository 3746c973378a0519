"""What makes two runs the same run: the Spec of each store and basis, as far as it is known before reading."""

import json
from collections.abc import Mapping

from srmfast.engine.limit import NormLimit, given_limit
from srmfast.engine.planes_drawn import sizes_of
from srmfast.engine.tallyfile import TallyFile
from srmfast.spec import Spec, hash_array

_FOUND = "found by reading"
_ORDER = "the order of stores and bases"
COUNTING = 1  # raised whenever a change of srmfast changes a count: older states and parts are of another run then


def spec_of(member, prepared, request, mean, limit):
    """Return the Spec of one basis of a store.

    Parameters
    ----------
    member : Member
    prepared : PreparedBasis
    request : Request
    mean : ndarray, (d,) float64, or None
        What is subtracted from every row.
    limit : NormLimit
    """
    basis = prepared.basis
    return Spec(
        **rows_of(member, request, limit),
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
        centre_hash=hash_array(mean),
        keep=request.keep,
        seed=request.seed,
        null=null_sizes(member, prepared, request),
        strata=member.strata and member.strata.to_dict(),
    )


def null_sizes(member, prepared, request):
    """Return how much is drawn of a store and a basis to compare it with its rotations, or None."""
    cells = member.selection.names.size * len(request.epsilon)
    return sizes_of(request.null, member.store.n, member.store.d, prepared.planes.k, cells)


def units_of(member):
    """Return what intervals have to know of the rows: how many groups they form, None without, and the axes they are from."""
    return {"groups": member.selection.groups, "row_axes": len(member.store.row_shape)}


def rows_of(member, request, limit):
    """Return the fields of a Spec that say which rows of which store take part."""
    columns, sampled = member.selection.columns, member.selection.sampled
    digests = {name: rule.digest() for name, rule in member.selection.rules.items()}
    return dict(
        store=member.fingerprint,
        labels=hash_array(columns["labels"] and columns["labels"][0]) + hash_array(member.selection.names),
        groups=hash_array(columns["groups"] and columns["groups"][0]),
        mask=digests.get("mask", ""),
        lengths=digests.get("lengths", ""),
        tokens=digests.get("tokens", ""),
        exclude_tokens=request.exclude_tokens,
        max_norm=limit.to_dict(),
        rows=member.selection.bounds,
        sample=0 if sampled is None else sampled.size,
        sample_hash=hash_array(sampled),
        zero_rows=request.zero_rows,
        nonfinite=request.nonfinite,
        missing_chunks=request.missing_chunks,
        inner_product="" if member.inner is None else member.inner.digest,
    )


def identity_of(members, request):
    """Return, JSON-able, everything that determines the counts of a run and is known before it reads.

    Returns
    -------
    dict
        {store: {basis: Spec as a dict}}, with "found by reading" for what only a reading tells.
    """
    limit = given_limit(request.max_norm) or NormLimit(multiple=request.max_norm)
    found = {}
    for member in members:
        specs = {
            basis.basis.name: known(spec_of(member, basis, request, member.mean, limit).to_dict(), member.finds_mean)
            for basis in member.bases
        }
        found[member.name] = specs or {"rows": json.loads(json.dumps(rows_of(member, request, limit)))}
    return ordered(found)


def states_of(members, request):
    """Return what the states of a run have in common: its identity, and the whole content of arrays in memory.

    A file is identified by its size and samples of it; an array in memory may have been changed anywhere since.
    """
    return identity_of(members, request) | {"content": {member.name: member.store.content() for member in members}}


def ordered(stores, counting=COUNTING):
    """Add what a mapping does not say: states and parts are told apart by the order of stores and bases, too.

    Parameters
    ----------
    stores : dict of str to dict
        Names of stores, and of their bases.
    counting : int
        The `COUNTING` of the srmfast that counted.
    """
    return stores | {_ORDER: [[name, *bases] for name, bases in stores.items()], "counting": counting}


def known(spec, finds_mean):
    """Return the fields of a Spec without what only reading tells."""
    unknown = {"planes_hash": spec["planes"].startswith("active:"), "centre_hash": finds_mean}
    found = spec | {name: _FOUND for name, found in unknown.items() if found}
    if (found.get("max_norm") or {}).get("multiple") is not None:
        found["max_norm"] = {"multiple": found["max_norm"]["multiple"]}
    if (found.get("strata") or {}).get("norm", {}).get("found"):
        found["strata"] = found["strata"] | {"norm": found["strata"]["norm"] | {"median": _FOUND}}
    return found


def identity_of_result(result, finds_mean):
    """Return the same of a result.

    Parameters
    ----------
    result : Result or Results
    finds_mean : dict of str to bool
        For each store, whether the run found its mean itself.
    """
    members = result.values() if isinstance(result, Mapping) else [result]
    found = {}
    for one in members:
        store, basis = one.attrs["store_name"], one.attrs["basis_name"]
        found.setdefault(store, {})[basis] = known(one.attrs["spec"], finds_mean.get(store, False))
    return ordered(found)


def identity_of_part(path):
    """Return the same of a part, with its shard."""
    with TallyFile(path) as file, file.sound():
        stores = {
            store["name"]: {
                one["spec"]["basis"]["name"]: known(one["spec"], finds_mean=False) for one in store["bases"]
            }
            for store in file.header["stores"]
        }
        return ordered(stores) | {"shard": file.header["shard"]}
