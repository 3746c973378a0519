"""From a ledger and its totals to a `Result`: differences become counts, some planes are kept, everything is said."""

import functools
import importlib.metadata
import math
import os
import platform
import resource
import sys

import numpy as np

from srmfast import angles
from srmfast.engine.limit import RULE
from srmfast.errors import InputError
from srmfast.kernels.decode import NONFINITE, USED, ZERO
from srmfast.results import Result
from srmfast.spec import format_bytes
from srmfast.tally import joined, to_counts

_LIBRARIES = ("srmfast", "numpy", "numba", "llvmlite", "zarr", "h5py")


def assemble(
    totals,
    ledger,
    rows,
    prepared,
    selection,
    moments,
    spec,
    *,
    store,
    budget,
    provenance,
    suggested=None,
    active_folds=None,
    whole=None,
    repeats=None,
    norms=None,
    notes=(),
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
    selection : RowSelection
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
    repeats : Repeats, optional
        Of the rows looked at.
    norms : NormHistogram, optional
        Of the rows that the limit of the norm was found on.
    notes : sequence of str
        What a reader of the result has to know of the rows.

    Returns
    -------
    Result
    """
    planes, basis, keeping = prepared.planes, prepared.basis, ledger.prepared
    c, e, a = selection.names.size, len(spec.epsilon), spec.angles
    totals = to_counts(totals, totals if prepared.mirrored else None)
    zero_kept = rows.fate[..., ZERO] if spec.zero_rows == "keep" else np.zeros_like(rows.fate[..., ZERO])
    # A kept zero row lies inside every cone with ε ≤ 0, of every plane and at every angle.
    inside = zero_kept[:, :, None] * (np.array(spec.epsilon) <= 0)  # (64, c, e)
    extra = inside.sum(axis=0)
    if extra.any() and keeping.mode == "hits":
        raise InputError(
            "kept zero rows hit every plane at epsilon <= 0, more than memory can hold; use --keep summary"
        )
    totals = joined(totals + (inside * planes.total)[..., None], c, 1)
    used = joined(rows.fate[..., USED] + zero_kept, c, 1)
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
    return Result(
        counts=counts,
        counts_heldout=heldout,
        total=totals.sum(axis=0),
        fold_total=totals,
        rows_used=used,
        angle=angles.angles(a),
        epsilon=np.array(spec.epsilon),
        label=selection.names,
        plane_i=i.astype(np.int32),
        plane_j=j.astype(np.int32),
        plane_angle=prepared.geometry.angles(i, j),
        basis=basis.vectors,
        attrs={
            "spec": spec.to_dict(),
            "spec_digest": spec.digest(),
            "store_name": store[0],
            "store_location": store[1],
            "basis_name": basis.name,
            "basis_kind": basis.kind,
            "rows": {
                "seen": rows.seen,
                "used": int(used.sum()),
                "zero_norm": int(rows.fate[..., ZERO].sum() - zero_kept.sum()),
                "zero_kept": int(zero_kept.sum()),
                "nonfinite": int(rows.fate[..., NONFINITE].sum()),
                "masked": dict.fromkeys(_rules(selection, spec), 0) | rows.masked,
                "duplicates": None if repeats is None else repeats.describe(),
            },
            "norms": norms and norms.describe(),
            "notes": list(notes),
            "mean_over_rms": _offset(moments),
            "centred": bool(spec.centre_hash),
            **({} if active_folds is None else {"active_folds": np.flatnonzero(active_folds).tolist()}),
            "planes_total": planes.total,
            "planes_hit": planes_hit,
            "skipped_planes": planes.skipped,
            "kept": kept,
            "suggested_epsilon": suggested,
            "provenance": provenance
            | {"arcs": (whole or ledger).arcs * (2 if prepared.mirrored else 1), "method": prepared.way.method},
        },
    )


def _rules(selection, spec):
    """Name the rules that were asked for: one that leaves out no row is accounted for as well."""
    return [*selection.rules, *([RULE] if spec.max_norm else [])]


def provenance(plan, seconds, nbytes):
    """Say with what, where and how fast a run was done."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
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
        "peak_rss": peak if sys.platform == "darwin" else peak * 1024,  # bytes on macOS, KiB elsewhere
        "planned_memory": plan.nbytes,
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


def _offset(moments):
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
