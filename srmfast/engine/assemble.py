"""From a ledger and its totals to a `Result`: differences become counts, some planes are kept, everything is said."""

import functools
import importlib.metadata
import math
import os
import platform

import numpy as np

from srmfast import angles
from srmfast.engine.limit import RULE
from srmfast.errors import InputError
from srmfast.kernels.decode import NONFINITE, USED, ZERO
from srmfast.results import Result
from srmfast.spec import format_bytes, peak_bytes
from srmfast.tally import joined, to_counts

_LIBRARIES = ("srmfast", "numpy", "numba", "llvmlite", "zarr", "h5py")


def assemble(
    totals,
    ledger,
    rows,
    prepared,
    names,
    moments,
    spec,
    *,
    store,
    budget,
    provenance,
    suggested=None,
    active_folds=None,
    whole=None,
    method=None,
    inputs=None,
    centre=None,
    inner=None,
    repeats=None,
    norms=None,
    lengths=None,
    notes=(),
    phase=None,
    chance=None,
    units=None,
    strata=None,
):
    """Make the `Result` of one basis.

    Parameters
    ----------
    totals : ndarray, (64, c, e, a + 1) int64
        Difference arrays summed over planes, by fold; 2c labels when planes were chosen on half of the rows, as in
        everything counted.
    ledger : Ledger
    rows : RowTally
    prepared : PreparedBasis
    names : ndarray, (c,) str
        The labels.
    moments : (ndarray, RowTally) or None
        Sums of the rows as stored, (d + 1,), and the rows they were taken over.
    spec : Spec
    store : (str, str)
        Name and location.
    budget : int
        Bytes that the result may take.
    provenance : dict
    suggested : float, optional
        An epsilon at which something is seen, when nothing was.
    active_folds : ndarray, (64,) bool, optional
        Folds of the rows that the planes were chosen on.
    whole : HitLedger, optional
        Where all planes were counted, when `ledger` is of some of them.
    method : str, optional
        How candidates were found, where that was elsewhere.
    inputs : dict, optional
        From where the run took what, so that it can be done again.
    centre : ndarray, (d,) float64, optional
        The mean that was subtracted.
    inner : ndarray, (d, d) float64, optional
        Matrix of the inner product, where it is not the Euclidean.
    repeats : Repeats, optional
        Of the rows looked at.
    norms : NormHistogram, optional
        Of the rows that the limit of the norm was found on.
    lengths : NormHistogram, optional
        Of the rows used, their mean subtracted where the run does that.
    notes : sequence of str
        What a reader of the result has to know of the rows.
    phase : ndarray, (64, c, e, 2) int64, optional
        Near and far of all rows, as counted.
    chance : Chance, optional
        What the comparison with rotations of the basis gave.
    units : dict, optional
        `groups` and `row_axes` of the rows.
    strata : dict, optional
        From `by_stratum`.

    Returns
    -------
    Result
    """
    planes, basis, keeping = prepared.planes, prepared.basis, ledger.prepared
    c, e, a = names.size, len(spec.epsilon), spec.angles
    zero_kept, extra = _zero_rows(rows, spec)
    used, totals = by_fold(rows, totals, prepared, c, spec)
    if extra.any() and keeping.mode == "hits":
        raise InputError(
            "kept zero rows hit every plane at epsilon <= 0, more than memory can hold; use --keep summary"
        )
    numbers, counts = _kept_counts(ledger, c, e, a, spec.keep, budget)
    if extra.any():
        counts += extra[:, :, None, None]
    heldout = counts[c:] if active_folds is not None else None
    counts = joined(counts, c, 0)
    hit = counts.any(axis=(0, 1, 3))
    planes_hit = {"none": None, "hits": ledger.numbers().size}.get(keeping.mode, int(hit.sum()))
    planes_hit = planes_hit if whole is None else whole.planes_hit
    stay = slice(None)
    if spec.keep.startswith("top:"):
        stay = np.flatnonzero(hit)
        stay = stay[_highest(counts[:, :, stay].max(axis=(0, 1, 3)), int(spec.keep[4:]))]
    elif spec.keep != "all" and not (spec.keep == "auto" and keeping.mode == "dense"):
        stay = np.flatnonzero(hit)
    if not isinstance(stay, slice):
        numbers, counts = numbers[stay], counts[:, :, stay]
        heldout = None if heldout is None else heldout[:, :, stay]
    kept = {"auto": "all" if keeping.mode == "dense" else "hit"}.get(spec.keep, spec.keep)
    i, j = keeping.planes.pair(numbers)
    norm, norm_rows = (None, None) if lengths is None else lengths.edges()
    return Result(
        counts=counts,
        counts_heldout=heldout,
        total=totals.sum(axis=0),
        fold_total=totals,
        rows_used=used,
        angle=angles.angles(a),
        epsilon=np.array(spec.epsilon),
        label=names,
        plane_i=i.astype(np.int32),
        plane_j=j.astype(np.int32),
        plane_angle=prepared.geometry.angles(i, j),
        basis=basis.vectors,
        centre=centre,
        inner_product=inner,
        phase=phase_by_fold(phase, prepared, c),
        norm=norm,
        norm_rows=norm_rows,
        **({} if chance is None else {name: value for name, value in vars(chance).items() if name != "about"}),
        **strata or {},
        attrs={
            "spec": spec.to_dict(),
            "spec_digest": spec.digest(),
            "store_name": store[0],
            "store_location": store[1],
            "basis_name": basis.name,
            "basis_kind": basis.kind,
            "rows": accounting(rows, spec, zero_kept, repeats),
            "norms": norms and norms.describe(),
            "notes": list(notes),
            "mean_over_rms": offset(moments),
            "centred": bool(spec.centre_hash),
            **({} if active_folds is None else {"active_folds": np.flatnonzero(active_folds).tolist()}),
            **({} if chance is None else {"null": chance.about | (units or {})}),
            "planes_total": planes.total,
            "planes_hit": planes_hit,
            "skipped_planes": planes.skipped,
            "kept": kept,
            "suggested_epsilon": suggested,
            "inputs": inputs or {},
            "provenance": provenance
            | {
                "arcs": (whole or ledger).arcs * (2 if prepared.mirrored else 1),
                "method": method or prepared.way.method,
            },
        },
    )


def by_fold(rows, totals, prepared, c, spec):
    """Return rows in the denominator, (64, c), and counts summed over planes, (64, c, e, a), both int64.

    Parameters
    ----------
    rows : RowTally
    totals : ndarray, (64, c or 2c, e, a + 1) int64
        Difference arrays.
    prepared : PreparedBasis
    c : int
    spec : Spec or Request
        Gives `epsilon` and `zero_rows`.
    """
    zero_kept, _ = _zero_rows(rows, spec)
    inside = zero_kept[:, :, None] * (np.array(spec.epsilon) <= 0)
    counts = to_counts(totals, totals if prepared.mirrored else None) + (inside * prepared.planes.total)[..., None]
    return joined(rows.fate[..., USED] + zero_kept, c, 1), joined(counts, c, 1)


def phase_by_fold(phase, prepared, c):
    """Return near and far of every ordered plane, (64, c, e, 2) int64, of what was counted; None if it was not."""
    return None if phase is None else joined(phase * (2 if prepared.mirrored else 1), c, 1)


def _zero_rows(rows, spec):
    """Return the zero rows that are kept, (64, c), and what each plane gets from them at any angle, (c, e).

    A kept zero row lies inside every cone with ε ≤ 0, of every plane and at every angle.
    """
    zero_kept = rows.fate[..., ZERO] if spec.zero_rows == "keep" else np.zeros_like(rows.fate[..., ZERO])
    return zero_kept, zero_kept.sum(axis=0)[:, None] * (np.array(spec.epsilon) <= 0)


def accounting(rows, spec, zero_kept, repeats=None):
    """Say what became of every row: the numbers of the attribute `rows` of a result."""
    return {
        "seen": rows.seen,
        "used": int(rows.fate[..., USED].sum() + zero_kept.sum()),
        "zero_norm": int(rows.fate[..., ZERO].sum() - zero_kept.sum()),
        "zero_kept": int(zero_kept.sum()),
        "nonfinite": int(rows.fate[..., NONFINITE].sum()),
        "masked": dict.fromkeys(_rules(spec), 0) | rows.masked,
        "duplicates": None if repeats is None else repeats.describe(),
    }


def _rules(spec):
    """Name the rules that were asked for: one that leaves out no row is accounted for as well."""
    return [name for name in ("mask", "lengths", "tokens") if getattr(spec, name)] + ([RULE] if spec.max_norm else [])


def provenance(plan, seconds, nbytes):
    """Say with what, where and how fast a run was done."""
    return {
        "versions": {name: _version(name) for name in _LIBRARIES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "threads": plan.threads,
        "block_rows": plan.block_rows,
        "slab_rows": plan.slab_rows,
        "seconds": {stage: round(value, 6) for stage, value in seconds.items()},
        "bytes_read": int(nbytes),
        "peak_rss": peak_bytes(),
        "planned_memory": plan.nbytes,
    }


def merged_provenance(parts):
    """Say the same of a run that was done in parts: what they spent adds up, the rest is of the first."""
    first = parts[0]
    stages = {stage for part in parts for stage in part["seconds"]}
    return first | {
        "parts": len(parts),
        "seconds": {
            stage: round(sum(part["seconds"].get(stage, 0.0) for part in parts), 6) for stage in sorted(stages)
        },
        "bytes_read": sum(part["bytes_read"] for part in parts),
        "peak_rss": max(part["peak_rss"] for part in parts),
    }


def _kept_counts(ledger, c, e, a, keep, budget):
    """Return the plane numbers at hand and their counts, (c or 2c, e, p, a) int64."""
    numbers = ledger.numbers()
    if ledger.prepared.mode == "hits":
        if keep.startswith("top:"):
            numbers = numbers[_highest(ledger.peaks(c), int(keep[4:]))]
        need = numbers.size * len(ledger.counts(numbers[:0])) * e * a * 8
        if need > budget // 4:
            raise InputError(
                f"the counts of {numbers.size:,} planes that were hit must fit into a quarter of the memory, "
                f"{format_bytes(budget // 4)}, but need {format_bytes(need)}; use a larger epsilon, --keep top:1000, "
                "--keep summary or more --memory"
            )
    return numbers, ledger.counts(numbers)


def _highest(peak, m):
    """Return the sorted positions of the m highest peaks; ties go to the lower number."""
    return np.sort(np.argsort(-peak, kind="stable")[:m])


def offset(moments):
    """|mean|/rms of the rows as stored."""
    if moments is None:
        return None
    sums, rows = moments
    n = int(rows.fate[..., USED].sum())
    if not n or not np.isfinite(sums).all() or not sums[-1]:
        return None
    square = math.fsum(np.square(sums[:-1] / n))  # the same on any CPU, which BLAS is not
    return math.sqrt(square / (sums[-1] / n))


@functools.cache
def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _cpu():
    from llvmlite.binding import get_host_cpu_name

    return f"{platform.machine()} {get_host_cpu_name()}, {os.cpu_count()} cores"
