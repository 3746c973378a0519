"""The public runs: prepare, read each store, assemble what was counted."""

from dataclasses import replace

import numpy as np

from srmfast.bases import load_basis
from srmfast.engine.checkpoint import Checkpoint
from srmfast.engine.events import ignore
from srmfast.engine.identity import states_of
from srmfast.engine.loop import read_and_count
from srmfast.engine.passes import Passes, refuse_empty
from srmfast.engine.prepare import prepare
from srmfast.engine.request import Request
from srmfast.errors import InputError
from srmfast.kernels.decode import USED, ZERO
from srmfast.results import Results
from srmfast.spec import DEFAULT_ANGLES, DEFAULT_EPSILON, Resources


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
    lengths=None,
    padding="right",
    exclude_tokens=None,
    tokens=None,
    max_norm=None,
    centre=False,
    inner_product=None,
    keep="auto",
    null=0,
    seed=0,
    rows=None,
    sample=0,
    zero_rows="drop",
    nonfinite="error",
    missing_chunks="error",
    feature_axis=None,
    index=None,
    flatten=False,
    pool=None,
    inputs=None,
    batch=None,
    basis_transpose=False,
    controls=False,
    strata=None,
    threads=None,
    memory=None,
    block_rows=None,
    checkpoint=None,
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
    lengths : array, path or key, optional
        Positions of each sequence that are no padding; the others are left out.
    padding : {"right", "left"}
        On which side of a sequence they are.
    exclude_tokens : ints or str, optional
        Token ids ("0,1,2") whose rows are left out, anywhere in a sequence.
    tokens : array, path or key, optional
        The token id of each row; by default the one array tokens, token_ids or input_ids beside the store.
    max_norm : float or str, optional
        Leave out rows longer than so many times the median norm of the rows that all other rules keep and that are
        finite and not zero (first read for that), or than the X of "abs:X"; norms are of the rows as stored.
    centre : bool, array (d,), path or "both"
        Subtract the mean of the rows (first read for that), or the given one. "both" counts the rows as stored and then
        with the mean subtracted that was found meanwhile, or with the one in F of "both:F".
    inner_product : array (d, d) or path, optional
        A positive definite matrix M: cosines and norms are of x·My and not of x·y. See `srmfast.engine.inner`.
    keep : str
        Planes that stay in the result: auto, all, hit, top:K (highest peaks) or summary.
    null : int
        Random rotations of the basis to compare it with, at least 39; `Result.alignment` then gives a verdict.
    seed : int
        For random bases, planes, samples and rotations.
    rows : str or slice, optional
        START:STOP:STEP of rows to use.
    sample : int
        Rows to draw from these; 0 for all.
    zero_rows : {"drop", "keep"}
        Whether rows of zero norm leave the denominator.
    nonfinite : {"error", "skip"}
    missing_chunks : {"error", "skip", "zeros"}
    feature_axis, index, flatten, pool
        How an array of higher rank becomes rows; see `srmfast.open_store`.
    inputs, batch
        What a model is given, and how many items at once; see there, too.
    basis_transpose : bool
        The basis is (d, k).
    controls : bool
        Count random vectors of the same number and kind beside the basis, and the standard basis where it is a rotation of
        that; see `srmfast.controls`.
    strata : str or sequence of str, optional
        Kinds of rows to count apart, over all planes: position (first, 2-4, 5-16 … of its sequence), norm (over ten times
        the median norm of the rows that all rules but `max_norm` keep, or under a tenth, as stored; "norm:M" gives the
        median), token (each of the 8 most frequent ids, or of T by "token:T", or the ids of "token:id=A+B") and massive (half
        or more of the squared norm, as stored, in one column). Each row is in one stratum of each; see `Result.strata`.
    threads, memory, block_rows : optional
        How to compute; they change no count. `memory` is bytes or text ("2GiB") that the run may add.
    checkpoint : path, optional
        A folder in which the run leaves what it has counted every 10 s. The same call goes on from there after it was
        killed, with other resources too; delete the folder when the result is safe.
    on_event : callable
        Receives the events of `srmfast.engine.events`.

    Returns
    -------
    Result, or Results of several
        Of centre "both", stores `NAME` and `NAME-centred`: what runs without and with `centre` give; of controls, bases
        `NAME` and `NAME-random`.

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
        epsilon=epsilon, angles=angles, planes=planes, labels=labels, groups=groups, mask=mask, lengths=lengths,
        padding=padding, exclude_tokens=exclude_tokens, tokens=tokens, max_norm=max_norm, centre=centre,
        inner_product=inner_product, keep=keep,
        null=null, seed=seed, rows=rows, sample=sample, zero_rows=zero_rows, nonfinite=nonfinite, missing_chunks=missing_chunks,
        feature_axis=feature_axis, index=index, flatten=flatten, pool=pool, inputs=inputs, batch=batch,
        basis_transpose=basis_transpose, controls=controls, strata=strata,
    )  # fmt: skip
    resources = Resources.resolve(threads, memory, block_rows)
    results = _run({"": activations}, {"": basis}, request, resources, checkpoint, on_event, single=True)
    return next(iter(results.values())) if len(results) == 1 else results


def run_many(stores, bases, request=None, resources=None, *, checkpoint=None, on_event=ignore):
    """Run several stores against several bases in the same readings of each store.

    Parameters
    ----------
    stores, bases : dict of str to what `run` takes
        Names become groups of the saved result; an empty name takes the store's or basis's own. A path such as
        ``acts.zarr::layer*``, or ``"*"`` as the position of an axis in `index`, stands for a store each.
    request : Request, optional
        What to count; the defaults of `run` when omitted.
    resources : Resources, optional
        How to count.
    checkpoint : path, optional
        See `run`.
    on_event : callable

    Returns
    -------
    Results
    """
    request = request or Request()
    resources = resources or Resources.resolve()
    return _run(stores, bases, request, resources, checkpoint, on_event)


def _run(stores, bases, request, resources, checkpoint, on_event, single=False):
    members = prepare(stores.items(), bases.items(), request, resources, on_event=on_event, single=single)
    if checkpoint is None:
        return execute(members, request, resources, on_event=on_event)
    with Checkpoint(checkpoint, resume=True) as folder:
        return execute(members, request, resources, checkpoint=folder, on_event=on_event)


def execute(members, request, resources, *, checkpoint=None, cluster=None, on_event=ignore):
    """Carry out a prepared run: read each store once, and before that for its mean or for planes to choose.

    Parameters
    ----------
    members : list of Member
        From `prepare`.
    request, resources : Request, Resources
        Those they were prepared with.
    checkpoint : Checkpoint, optional
        An open folder, where states are kept and found.
    cluster : Cluster, optional
        Whose workers read and count; `resources` are those it offers.
    on_event : callable

    Returns
    -------
    Results
    """
    results = {}
    share = resources.memory // max(1, sum(len(member.bases) for member in members))
    try:
        if checkpoint is not None:
            checkpoint.begin(states_of(members, request), on_event)
        passes = None
        for number, member in enumerate(members):
            passes = Passes(
                member, request, share, on_event, checkpoint, number, cluster.read if cluster else read_and_count,
                passes if member.follows else None,
            )  # fmt: skip
            for result in passes.results():
                results[member.name, result.attrs["basis_name"]] = result
    finally:
        close(members)
    return Results(results)


def close(members):
    """Close the stores that were opened for a run."""
    for member in members:
        if member.owned:
            member.store.close()


def find_mean(member, request, resources, *, checkpoint=None, on_event=ignore):
    """Return the mean of the rows of a store, (d,) float64, how many rows it is of, and the longest norm that was allowed.

    Parameters
    ----------
    member : Member
        From `prepare`.
    request, resources : Request, Resources
        Those it was prepared with; `request.centre` is True.
    checkpoint : Checkpoint, optional
    on_event : callable
    """
    try:
        if checkpoint is not None:
            checkpoint.begin(states_of([member], request), on_event)
        passes = Passes(member, request, resources.memory, on_event, checkpoint)
        passes.find_limit()
        rows, _ = passes.find_mean()
        refuse_empty(rows, member.store.location, "keep")
        return passes.mean, int(rows.fate[..., [USED, ZERO]].sum()), passes.limit.limit
    finally:
        close([member])


def count_folds(member, request, resources, folds, *, on_event=ignore):
    """Count the rows of some folds again.

    Parameters
    ----------
    member : Member
        From `prepare`, with one basis.
    request, resources : Request, Resources
        Those it was prepared with.
    folds : ndarray, (64,) bool
    on_event : callable

    Returns
    -------
    rows_used : ndarray, (64, c) int64
    fold_total : ndarray, (64, c, e, a) int64
    phase : ndarray, (64, c, e, 2) int64, or None
    """
    some = replace(member, selection=member.selection.only(folds))
    return Passes(some, request, resources.memory, on_event).folds()


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
