"""Whether a result is what its store gives: some of its folds counted again, or the whole run."""

from dataclasses import dataclass

import numpy as np

from srmfast.bases import Basis
from srmfast.displayed import Displayed
from srmfast.engine import IN_MEMORY, Request, count_folds, execute, prepare, spec_of
from srmfast.engine.events import ignore
from srmfast.engine.limit import given_limit
from srmfast.errors import InputError
from srmfast.spec import differing
from srmfast.tally import FOLDS

_NAMED = 8  # folds in a line
_GIVEN = ("labels", "groups", "mask", "lengths", "tokens", "inputs")  # what only the user can give again
# Not compared, of a Spec: the planes are taken from the result.
_UNCOMPARED = ("keep", "planes", "planes_hash", "seed", "max_norm", "null", "strata")


@dataclass(frozen=True, repr=False)
class Verification(Displayed):
    """What was checked.

    Attributes
    ----------
    checks : tuple of (str, bool, str)
        What, whether it holds, and the particulars.
    """

    checks: tuple

    @property
    def holds(self):
        """Whether every check holds."""
        return all(good for _, good, _ in self.checks)

    def _line(self):
        return f"{'holds' if self.holds else 'does not hold'}, {len(self.checks)} checks"

    def __str__(self):
        lines = [f"{'ok ' if good else 'NOT'}  {what:<12} {said}" for what, good, said in self.checks]
        return "\n".join(lines)


def verify(result, store=None, *, folds=4, resources, on_event=ignore, **given):
    """Count some folds of a result again and compare them exactly; check its store and its accounting.

    Parameters
    ----------
    result : Result
    store : Store, array or path, optional
        The one it says it was made from when omitted.
    folds : int
        How many of the 64 folds, of those that hold rows; the spread is drawn from the hash of the run.
    resources : Resources
    on_event : callable
    **given
        labels, groups, mask, inputs …: those of the run, when they were arrays in memory or have moved.

    Returns
    -------
    Verification
    """
    checks = [_accounting(result)]
    member, request = _again(result, store, given, resources, on_event, keep="summary")
    try:
        (basis,) = member.bases
        recorded, found = (
            {name: value for name, value in spec.items() if name not in _UNCOMPARED}
            for spec in (
                result.attrs["spec"],
                spec_of(member, basis, request, member.mean, given_limit(request.max_norm)).to_dict(),
            )
        )
        other = differing(recorded, found, "in the result", "in the store")
        checks.append(("fingerprint", not other, other or f"store, rows, labels and basis of {member.store.location}"))
        if member.selection.names.tolist() == result.label.tolist():
            checks.append(_recounted(result, member, request, folds, resources, on_event))
    finally:
        if member.owned:
            member.store.close()
    return Verification(tuple(checks))


def reproduce(result, store=None, *, resources, on_event=ignore, **given):
    """Do the run of a result again.

    Parameters
    ----------
    result : Result
    store, resources, on_event, **given
        As in `verify`.

    Returns
    -------
    Result
    """
    member, request = _again(result, store, given, resources, on_event)
    return next(iter(execute([member], request, resources, on_event=on_event).values()))


def _again(result, store, given, resources, on_event, **changes):
    """Prepare the run of a result again."""
    inputs = dict(result.attrs.get("inputs") or {})
    if not inputs:
        raise InputError("the result does not say from what it was made: it is older than that; run it again")
    source = store if store is not None else inputs.pop("store")
    inputs.pop("store", None)
    if source is None:
        raise InputError("the activations of the result were in memory; give the store")
    inputs |= {name: value for name, value in given.items() if value is not None}
    for name in _GIVEN:
        found = inputs.get(name)
        parts = [one for _, one in found] if isinstance(found, list) and name == "inputs" else [found]
        if any(isinstance(one, str) and one == IN_MEMORY for one in parts):
            raise InputError(f"the {name} of the result were in memory; give them by --{name}")
    if result.inner_product is not None:
        inputs["inner_product"] = result.inner_product
    if result.centre is not None and (changes or inputs["centre"] == IN_MEMORY):
        inputs["centre"] = result.centre
    if changes and result.attrs["spec"].get("max_norm"):
        inputs["max_norm"] = f"abs:{result.attrs['spec']['max_norm']['limit']!r}"
    listed = inputs["planes"] == IN_MEMORY or str(inputs["planes"]).startswith("active:")
    if listed and (changes or inputs["planes"] == IN_MEMORY):
        if result.attrs["kept"] not in ("all", "hit"):
            raise InputError(
                f"the planes of the result are not in it (kept: {result.attrs['kept']}), so that it cannot be counted again"
            )
        inputs["planes"] = np.stack([result.plane_i, result.plane_j], axis=1)
    fields = result.attrs["spec"]["basis"]
    basis = Basis(
        result.basis,
        fields["kind"],
        fields["name"],
        fields["normalised"],
        result.attrs["spec"].get("inner_product", ""),
    )
    request = Request.from_dict(inputs | changes)
    (member,) = prepare([(result.attrs["store_name"], source)], [("", basis)], request, resources, on_event=on_event)
    return member, request


def _accounting(result):
    rows = result.attrs["rows"]
    left = rows["zero_norm"] + rows["nonfinite"] + sum(rows["masked"].values())
    good = rows["seen"] == rows["used"] + left and rows["used"] == int(result.rows_used.sum())
    good &= bool((result.fold_total.sum(axis=0) == result.total).all())
    return "accounting", good, f"{rows['seen']:,} rows seen = {rows['used']:,} used + {left:,} left out"


def _recounted(result, member, request, folds, resources, on_event):
    """Count folds again that are drawn by the hash of the run, of those that hold rows."""
    held = np.flatnonzero(result.rows_used.sum(axis=1))
    drawn = np.random.Generator(np.random.PCG64(int(result.attrs["spec_digest"][:16], 16))).permutation(held)[:folds]
    some = np.isin(np.arange(FOLDS), drawn)
    used, totals, phase = count_folds(member, request, resources, some, on_event=on_event)
    wrong = int((used[some] != result.rows_used[some]).sum() + (totals[some] != result.fold_total[some]).sum())
    rows, numbers = int(used[some].sum()), used[some].size + totals[some].size
    if phase is not None and result.phase is not None:
        wrong, numbers = wrong + int((phase[some] != result.phase[some]).sum()), numbers + phase[some].size
    named = f"{drawn.size} folds" if drawn.size > _NAMED else "folds " + ", ".join(map(str, np.flatnonzero(some)))
    said = f"{named}: {rows:,} rows counted again, " + (
        f"{wrong:,} of {numbers:,} numbers differ" if wrong else f"all {numbers:,} numbers are the same"
    )
    return "counts", not wrong, said
