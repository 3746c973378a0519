"""What determines the numbers of a run, as its `Spec`."""

from srmfast.spec import Spec, hash_array


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
    columns, rules = member.selection.columns, member.selection.rules
    digests = {name: rule.digest() for name, rule in rules.items()}
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
        mask=digests.get("mask", ""),
        lengths=digests.get("lengths", ""),
        tokens=digests.get("tokens", ""),
        exclude_tokens=request.exclude_tokens,
        max_norm=limit.to_dict(),
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
