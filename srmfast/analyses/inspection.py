"""What a store holds, from its header and a small sample, and what a run over it would take."""

from dataclasses import dataclass, replace

import numpy as np

from srmfast import nulls
from srmfast.displayed import Displayed
from srmfast.engine.doubts import transposed
from srmfast.engine.limit import given_limit
from srmfast.engine.plan import reading_seconds, time_class
from srmfast.engine.prepare import prepare
from srmfast.engine.request import Request
from srmfast.engine.stored import to_floats
from srmfast.engine.suggest import suggest_epsilon
from srmfast.errors import InputError
from srmfast.norms import NormHistogram
from srmfast.spec import Resources, format_bytes

SAMPLE_ROWS = 2048
SAMPLE_BYTES = 64 << 20  # that reading the sample may decode
_SAMPLE_PLANES = 2000
_OFF = 0.5  # |mean|/rms from which the mean is worth a word
_COLUMNS = 6  # lines, at most
_TAILS = {"over_10": 10, "over_100": 100}


@dataclass(frozen=True, repr=False)
class Inspection(Displayed):
    """What `inspect` found; printing it gives one screen.

    Attributes
    ----------
    location : str
    described : dict
        Format, shapes, dtype, chunks and whatever else the format tells.
    recognised : Recognised or None
        The layout that some tool writes, if it is one.
    siblings : dict of str to (shape, dtype)
        Other arrays of the same container.
    warnings : list of str
        About the layout.
    missing_rows : int
        Rows in chunks that do not exist.
    sampled : int
        Rows looked at.
    nonfinite, zero, duplicate : float
        Shares of the sampled rows.
    mean_over_rms : float
        |mean|/rms of the sample.
    norms : dict or None
        Median norm of the sample and what share of it is over 10 and 100 times that; None without usable rows.
    largest : float
        The largest |entry| over the median row norm: far above 1, massive activations are there.
    plan : str
        Planes, memory and reading of a run, as --dry-run prints them; or why there is none.
    nbytes : int
        What the whole store takes when it is decoded.
    epsilon : float or None
        A value to begin with, that half of the sampled rows reach in some plane; None without usable rows.
    hits : float
        Share of sampled (row, plane) pairs within that epsilon.
    isotropic_hits : float
        What isotropic rows would give.
    proposals : tuple of (str, float)
        Options that change what is measured, and an epsilon to begin with under each.
    columns : tuple of (str, str)
        Arrays beside the store with a value for each row, and the options that may take them.
    """

    location: str
    described: dict
    recognised: object
    siblings: dict
    warnings: list
    missing_rows: int
    sampled: int
    nonfinite: float
    zero: float
    duplicate: float
    mean_over_rms: float
    norms: dict | None
    largest: float
    plan: str
    nbytes: int
    epsilon: float | None
    hits: float
    isotropic_hits: float
    proposals: tuple = ()
    columns: tuple = ()

    def _line(self):
        n, d = self.described["shape"]
        epsilon = "" if self.epsilon is None else f", begin with ε = {self.epsilon:g}"
        return f"{self.location}: {n:,} rows of width {d:,}{epsilon}"

    def __str__(self):
        info = self.described
        n, d = info["shape"]
        chunks = f", chunks {tuple(info['chunks'])}" if info.get("chunks") else ""
        lines = [
            f"store    {self.location} ({info['format']})",
            f"array    {tuple(info['array_shape'])} {info.get('pooled_dtype', info['dtype'])}{chunks}",
            f"rows     {n:,} of width {d:,}{', each a mean' if 'pool' in info else ''}",
        ]
        if self.recognised is not None:
            lines.append(f"layout   {self.recognised.verb} {self.recognised.name}, {self.recognised.words}")
            lines += [f"assumed  {line}" for line in self.recognised.told]
        told = [name for name, _ in self.columns]
        others = [
            f"{name} {tuple(shape)} {dtype}" for name, (shape, dtype) in self.siblings.items() if name not in told
        ]
        if others:
            more = f" and {len(others) - 6} more" if len(others) > 6 else ""
            lines.append(f"beside   {'; '.join(others[:6])}{more}")
        for name, taken in self.columns[:_COLUMNS]:
            shape, dtype = self.siblings[name]
            lines.append(f"column   {name} {tuple(shape)} {dtype}: {taken}")
        lines += [f"note     {warning}" for warning in self.warnings]
        if self.missing_rows:
            lines.append(f"missing  {self.missing_rows:,} rows lie in chunks that do not exist: see --missing-chunks")
        lines.append(
            f"sample   {self.sampled:,} rows: {self.nonfinite:.2%} non-finite, {self.zero:.2%} of zero norm, "
            f"{self.duplicate:.2%} exact duplicates"
        )
        if self.norms is not None:
            over = [f"{self.norms[name]:.2%} of the sample over {times}x" for name, times in _TAILS.items()]
            lines.append(f"norms    median {self.norms['median']:.3g}; {', '.join(over)}{_norm_note(self.norms)}")
        if self.epsilon is not None:
            lines.append(f"mean     |mean|/rms = {self.mean_over_rms:.2f}{_mean_note(self.mean_over_rms)}")
            if self.largest > 2:
                lines.append(
                    f"massive  the largest entry is {self.largest:.0f}x the median norm: look at rows without it too"
                )
            lines.append(
                f"epsilon  begin with {self.epsilon:g}: half of the rows come that close to some plane; "
                f"{self.hits:.2g} of all (row, plane) pairs do, {self.isotropic_hits:.2g} if rows were isotropic"
            )
            lines += [f"         with {option}: begin with {epsilon:g}" for option, epsilon in self.proposals]
        lines.append(f"run      {self.plan}")
        lines.append(f"time     reading takes {time_class(reading_seconds(self.nbytes))}")
        return "\n".join(lines)


def inspect(store, *, basis="standard", seed=0, request=None):
    """Look at a store without reading it whole.

    Parameters
    ----------
    store : Store
    basis : array, path or name
        For the planes, the memory and the proposed epsilon.
    seed : int
        Of the sampled planes.
    request : Request, optional
        Which rows are looked at, and whether their mean is subtracted before an epsilon is proposed.

    Returns
    -------
    Inspection

    Raises
    ------
    InputError
        None of the rows in the sample is asked for.
    """
    told, member, epsilon, hits, notes, proposals = store.recognised, None, None, 0.0, (), ()
    request = replace(request or Request(seed=seed), epsilon=(0.5,), keep="auto", missing_chunks="zeros")
    try:
        (member,) = prepare([("", store)], [("", basis)], request, Resources.resolve(), compiles=False)
        prepared, notes = member.bases[0], member.notes
        plan = (
            f"{prepared.planes.total:,} planes of {prepared.basis.name}, about {format_bytes(member.plan.nbytes)} "
            f"beside the process, {format_bytes(member.nbytes)} to read"
        )
    except InputError as error:
        plan = f"not as it is: {error}"
    rows = _sample(store, member and member.selection).astype(np.float64)
    lengths = np.sqrt((rows**2).sum(axis=1))
    finite = np.isfinite(lengths)
    usable = rows[finite & (lengths > 0)]
    described = store.describe()
    duplicates = len(rows) - len(np.unique(rows, axis=0)) if len(rows) else 0
    norms = NormHistogram()
    norms.add(lengths[finite & (lengths > 0)])
    offset = np.linalg.norm(usable.mean(axis=0)) / np.sqrt((usable**2).sum(axis=1).mean()) if len(usable) else 0.0
    looked_at = usable if member is None else _as_asked(usable, member.mean, request)
    if member is not None and len(looked_at):
        epsilon = suggest_epsilon(looked_at, prepared.basis)
        hits = _hits(looked_at, prepared, epsilon, seed)
        proposals = _proposals(usable, request, prepared.basis, norms.describe(), offset)
    return Inspection(
        location=store.location,
        described=described,
        recognised=store.recognised,
        siblings=store.siblings(),
        warnings=[
            *(transposed(store) if member is None else ()),  # otherwise among the notes
            *store.layout(),
            *(note for note in notes if not told or not note.endswith(told.line)),
        ],
        missing_rows=sum(stop - start for start, stop in store.missing_rows()),
        sampled=len(rows),
        nonfinite=float((~finite).mean()),
        zero=float((lengths[finite] == 0).sum() / len(rows)),
        duplicate=duplicates / len(rows),
        mean_over_rms=float(offset),
        norms=norms.describe(),
        largest=float(np.abs(usable).max() / np.median(np.linalg.norm(usable, axis=1))) if len(usable) else 0.0,
        plan=plan,
        nbytes=store.n * store.row_bytes,
        epsilon=epsilon,
        hits=hits,
        isotropic_hits=float(nulls.plane_share(epsilon, store.d)) if epsilon is not None else 0.0,
        proposals=proposals,
        columns=tuple(_columns(store)),
    )


def _as_asked(rows, mean, request):
    """Return the rows that --max-norm keeps, with their mean or a given one subtracted where --centre asks for it."""
    if request.max_norm is not None:
        norms = np.linalg.norm(rows, axis=1)
        rows = rows[norms <= _limit(norms, request.max_norm)]
    if request.centre is False or not len(rows):
        return rows
    rows = rows - (rows.mean(axis=0) if mean is None else mean)
    return rows[rows.any(axis=1)]


def _limit(norms, max_norm):
    """Return the norm above which --max-norm leaves rows out, the median being that of these."""
    if given := given_limit(max_norm):
        return given.limit
    histogram = NormHistogram()
    histogram.add(norms)
    return max_norm * histogram.median


def _proposals(rows, request, basis, norms, offset):
    """Return an epsilon for the options that there is reason to name: without outliers, without the mean."""
    asked = []
    if norms["over_10"] and request.max_norm is None:
        asked.append(("--max-norm 10", {"max_norm": 10.0}))
    if offset >= _OFF and request.centre is False:
        asked.append(("--centre", {"centre": True}))
    if len(asked) == 2:
        asked.append(("both", asked[0][1] | asked[1][1]))
    kept = [(words, _as_asked(rows, None, replace(request, **changes))) for words, changes in asked]
    return tuple((words, suggest_epsilon(some, basis)) for words, some in kept if len(some))


def _columns(store):
    """Yield the arrays beside a store that have a value for each row, or position of its first axes, and what may take them."""
    shape = tuple(store.row_shape)
    for name, (size, dtype) in store.siblings().items():
        size, word, kind = tuple(size), name.lower(), dtype.lower().lstrip("<>|=")
        if not size or size not in (shape[: len(size)], (store.n,)):
            continue
        if kind.startswith("bool") or "mask" in word:
            taken = "--mask"
        elif kind.startswith(("int", "uint")) and "length" in word and len(shape) > 1:
            taken = "--lengths"
        elif kind.startswith(("int", "uint")) and ("token" in word or word.endswith("ids")):
            taken = "--exclude-tokens ID --tokens"
        elif kind.startswith(("int", "u", "s")):  # whole numbers and text
            taken = f"--labels {name} or --groups"
        else:
            continue
        yield name, f"{taken} {name}"


def _sample(store, selection):
    """Return up to 2,048 rows in runs spread evenly over the store, decoding at most 64 MiB; of these, those asked for."""
    runs = max(1, min(64, SAMPLE_BYTES // max(store.unit_bytes, 1), -(-store.n // SAMPLE_ROWS) * 64))
    length = min(store.n, max(1, SAMPLE_ROWS // runs))
    starts = np.unique(np.linspace(0, store.n - length, runs).astype(np.int64))
    parts, read_to = [], 0
    for start in starts.tolist():
        start = max(start, read_to)  # runs of a small store overlap
        read_to = min(start + length, store.n)
        if start < read_to:
            read = to_floats(store.read(start, read_to), store.dtype)
            keep = None if selection is None else selection.keep(start, read_to)[0]
            parts.append(read if keep is None else read[keep])
    rows = np.concatenate(parts)
    if not len(rows):
        raise InputError("some rows of the sample must be among those asked for, got none; ask for more of them")
    return rows


def _hits(rows, prepared, epsilon, seed):
    """Return the share of (row, plane) pairs within epsilon, over 2,000 sampled planes."""
    planes, geometry = prepared.planes, prepared.geometry
    numbers = np.unique(np.random.default_rng(seed).integers(0, planes.slots, _SAMPLE_PLANES))
    i, j = planes.pair(numbers[~np.isin(numbers, planes.parallel_numbers)])
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    u, w = unit @ prepared.basis.vectors[i].T, unit @ prepared.basis.vectors[j].T
    if not geometry.orthogonal:
        g, s, _ = geometry.of_pairs(i, j)
        w = (w - g * u) / s
    return float((np.hypot(u, w) >= epsilon).mean())


def _norm_note(norms):
    return ": SRM does not depend on norms, covariance does; see --max-norm" if norms["over_10"] else ""


def _mean_note(offset):
    return ": the cloud lies off the origin; compare --centre" if offset >= _OFF else ""
