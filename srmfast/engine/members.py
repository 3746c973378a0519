"""Rows inside the cones of the basis vectors themselves, by class: one reading, no planes."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from srmfast.engine.assemble import accounting, offset, provenance
from srmfast.engine.basis_given import basis_for
from srmfast.engine.classes import Classes, unit_codes
from srmfast.engine.collect import SharedDrawn
from srmfast.engine.cones import SharedMembers
from srmfast.engine.contest import contest, nbytes_of, sizes_of
from srmfast.engine.events import Rotating, ignore
from srmfast.engine.identity import rows_of
from srmfast.engine.passes import Passes, refuse_empty
from srmfast.engine.prepare import prepare
from srmfast.engine.request import Request
from srmfast.engine.run import close
from srmfast.enrichment import permutation_test
from srmfast.errors import InputError
from srmfast.kernels.decode import USED
from srmfast.selectivity import Neurons
from srmfast.spec import DEFAULT_EPSILON, Resources, format_bytes, hash_array
from srmfast.tally import FOLDS

PERMUTATIONS, TESTED = 999, 1 << 16


def neurons(
    activations, basis="standard", *, epsilon=DEFAULT_EPSILON, labels=None, concepts=None, concept_names=None,
    permutations=PERMUTATIONS, tested=TESTED, threads=None, memory=None, block_rows=None, on_event=ignore, **rows,
):  # fmt: skip
    """Count, for every basis vector and its opposite, the rows inside its cone by class, and test which classes they answer to.

    Parameters
    ----------
    activations : array, path, Store
        (n, d) rows, or any array or file that `srmfast.open_store` understands.
    basis : array, path, name or Basis
        (k, d) vectors; see `srmfast.load_basis`.
    epsilon : float
        Cosine of the cone's half-angle, above 0.
    labels : array, path or key, optional
        The class of each row.
    concepts : array, path or key, optional
        Bools (n, concepts), or aligned like labels with an axis for the concepts: a row may carry several. Instead of
        labels. They are read in pieces and held at one bit each.
    concept_names : sequence of str or path, optional
        A name for each concept.
    permutations : int
        Of the classes among rows, or among the groups of `groups`; 0 for no test.
    tested : int
        Rows that the test is made on, about; a pseudo-random part of them when there are more, drawn with the seed.
    threads, memory, block_rows : optional
        How to compute; they change no number.
    on_event : callable
    **rows
        groups, mask, centre, rows, sample, seed and whatever else `srmfast.run` takes to say which rows take part; `null`,
        how many random rotations the basis is compared with, as `Neurons.rotation_test` tells.

    Returns
    -------
    Neurons

    Raises
    ------
    InputError
        Any value that cannot be used.
    """
    request = Request(epsilon=epsilon, labels=labels, keep="summary", angles=2, **rows)
    resources = Resources.resolve(threads, memory, block_rows)
    return count_members(
        activations, basis, request, resources, concepts=concepts, concept_names=concept_names, permutations=permutations,
        tested=tested, on_event=on_event,
    )  # fmt: skip


def count_members(
    source, basis, request, resources, *, concepts=None, concept_names=None, permutations=PERMUTATIONS, tested=TESTED,
    on_event=ignore, apart=False,
):  # fmt: skip
    """Do what `neurons` says; `basis` may be a pair of a name and what `neurons` takes."""
    epsilon = _check(request, concepts, permutations, tested)
    (member,) = prepare([("", source)], [], request, resources, on_event=on_event, compiles=False, single=True)
    try:
        kernels = replace(member.kernels, task="members")
        kernels.announce(on_event, apart=apart)
        member = replace(member, kernels=kernels)
        name, spec = basis if isinstance(basis, tuple) else ("", basis)
        basis = basis_for(name, spec, member.store, request, memory=resources.memory)
        classes = Classes.of(member, concepts, concept_names)
        sizes = sizes_of(request.null, member.store.n, member.store.d, len(basis.vectors))
        _check_memory(basis, classes, member, sizes, resources)
        passes = _Cones(member, request, resources.memory, on_event)
        share = tested / max(member.selection.seen(), 1) if permutations else 0.0
        shared = SharedMembers(basis, epsilon, classes, member.plan.block_rows, share, request.seed)
        drawn = sizes and SharedDrawn(sizes["rows"], member.store.d, request.seed, member.selection.names.size)
        counted, sums = passes.collect(shared, drawn)
        member.store.check_unchanged(member.fingerprint)
        refuse_empty(counted.rows, member.store.location, request.zero_rows)
        p, why = (
            (None, "no test was asked for")
            if not permutations
            else _test(shared, classes, member, request, permutations)
        )
        beside = _contest(drawn, basis, classes, sizes, passes, epsilon, on_event)
        chosen = json.loads(json.dumps(rows_of(member, request, passes.limit)))
        return Neurons(
            inside=shared.inside, counts=shared.counts, class_rows=shared.class_rows,
            rows_used=counted.rows.fate[..., USED].sum(axis=1), label=classes.names, p=p, basis=basis.vectors,
            **{name: getattr(beside, name, None) for name in ("null_f1", "best_cone", "best_epsilon")},
            attrs={
                "spec": chosen | {
                    "basis": {"name": basis.name, "kind": basis.kind, "sha256": basis.sha256},
                    "epsilon": epsilon, "classes": classes.digest(), "seed": request.seed, "permutations": permutations,
                    "centre_hash": hash_array(passes.mean), "null": sizes,
                },
                "store_name": member.name, "store_location": member.store.location, "basis_name": basis.name,
                "basis_kind": basis.kind, "epsilon": epsilon, "several_classes": classes.several,
                "rows": accounting(counted.rows, SimpleNamespace(**chosen), np.int64(0)),
                "mean_over_rms": offset(sums and (sums.value.total(), counted.rows)), "centred": passes.mean is not None,
                "tested_rows": int(shared.tested.size), "untested": why, "grouped": request.groups is not None,
                "null": beside and beside.about, "notes": list(member.notes), "inputs": member.described(request),
                "provenance": provenance(member.plan, passes.spent(), passes.nbytes),
            },
        )  # fmt: skip
    finally:
        close([member])


class _Cones(Passes):
    """The readings of one store for its cones: for its norms, for its mean, for the members."""

    def collect(self, shared, drawn):
        """Fill a SharedMembers, and a SharedDrawn if there is one; return the worker that holds the accounting of the rows, and the sums of the rows."""
        self.find_limit()
        if self.request.centre is True:
            self.find_mean()
        sums = self._sums()
        return self._read("count", self.member, (), (), members=shared, drawn=drawn, sums=sums), sums


def _check(request, concepts, permutations, tested):
    if len(request.epsilon) != 1 or request.epsilon[0] <= 0:
        given = ", ".join(f"{value:g}" for value in request.epsilon)
        raise InputError(f"neurons need one epsilon above 0, so that no row is on both sides, got {given}")
    request.check_one_treatment("neurons are")
    if concepts is not None and request.labels is not None:
        raise InputError("rows have labels or concepts, not both; leave one of them out")
    if request.zero_rows != "drop":
        raise InputError("a row of zero norm has no direction and is dropped, got zero_rows keep; leave it out")
    for name, value, least in (("permutations", permutations, 0), ("tested", tested, 1)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise InputError(f"{name} must be a whole number of at least {least}, got {value!r}")
    if 0 < permutations < 39:
        raise InputError(f"a test needs at least 39 permutations, got {permutations}; use 999, or 0 for no test")
    return request.epsilon[0]


def _check_memory(basis, classes, member, sizes, resources):
    plan, cones = member.plan, 2 * len(basis.vectors)
    need = FOLDS * (classes.names.size + 1) * cones * 8 * 2 + classes.nbytes + basis.vectors.nbytes * 3 // 2
    need += nbytes_of(sizes, member.store.d, plan.threads) if sizes else 0
    if plan.nbytes + need > resources.memory:
        raise InputError(
            f"{classes.names.size:,} classes in {cones:,} cones and {FOLDS} folds need {format_bytes(need)} beside the "
            f"{format_bytes(plan.nbytes)} of the reading, of {format_bytes(resources.memory)}; use fewer classes or vectors, or "
            "more --memory"
        )


def _contest(drawn, basis, classes, sizes, passes, epsilon, on_event):
    """Compare the basis with its rotations; None when that was not asked for."""
    if drawn is None:
        return None
    on_event(Rotating(basis.name, sizes["rotations"]))
    return contest(
        drawn.value, basis, classes, sizes, epsilon=epsilon, seed=passes.request.seed, mean=passes.mean,
        threads=passes.member.plan.threads,
    )  # fmt: skip


def _test(shared, classes, member, request, permutations):
    """Return p, or None and the reason why there is none."""
    if classes.names.size < 2 and not classes.several:
        return None, "all rows are of one class; give --labels"
    rows = shared.tested
    hits = shared.hits.copy()
    hits[:, 0] = np.searchsorted(rows, hits[:, 0])
    units = None if request.groups is None else unit_codes(request.groups, member.store, rows)
    try:
        p = permutation_test(
            hits,
            2 * len(shared.basis.vectors),
            classes.table(rows),
            permutations=permutations,
            seed=request.seed,
            units=units,
        )
    except InputError as error:
        return None, str(error)
    full = np.ones((classes.names.size, p.shape[1]))
    full[: len(p)] = p
    return full.reshape(len(full), -1, 2), ""
