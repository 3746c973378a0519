"""One store of a run, opened, checked and planned."""

from dataclasses import dataclass, replace

import numpy as np

from srmfast.engine.basis import listed_ns
from srmfast.engine.centre import given_mean
from srmfast.engine.compiling import Kernels
from srmfast.engine.hits import tiles
from srmfast.engine.inner import InnerProduct
from srmfast.engine.plan import Plan, reading_seconds, time_class
from srmfast.engine.selection import RowSelection
from srmfast.engine.stored import bits
from srmfast.spec import format_bytes
from srmfast.stores import Store


@dataclass(frozen=True)
class Member:
    """One store of a run with the bases it is counted in.

    Attributes
    ----------
    name : str
        Group of the result.
    store : Store
    fingerprint : dict
        Identity of the data.
    selection : RowSelection
    mean : ndarray, (d,) float64, or None
        A mean given to centre by.
    finds_mean : bool
        Whether it is read once more for its mean.
    kernels : Kernels
        Those that counting calls.
    bases : tuple of PreparedBasis
    plan : Plan
    owned : bool
        Whether the store was opened here and has to be closed.
    given : str or None
        The path as it was given, whole; None for arrays and open stores.
    options : dict
        What the store was opened with.
    fills : bool
        Whether chunks that do not exist read as the fill value.
    interval : (int, int)
        The rows that this process counts, START and STOP: all, or a shard.
    finds_norms : bool
        Whether it is read once more for the median norm.
    notes : tuple of str
        What was found out about the rows and a user should know.
    compared : (float, int)
        Seconds and bytes that comparing the bases with random rotations takes, roughly.
    inner : InnerProduct or None
        What changes the rows of the store; None for the Euclidean one.
    strata : Strata or None
        What kind of row each is, where that is counted.
    centre : object
        Which treatment of the mean this is: `centre` of the request, or of the two that "both" stands for.
    follows : bool
        Whether it is the second treatment of "both": its rows are those of the member before, whose reading has found
        what only a reading tells.
    """

    name: str
    store: Store
    fingerprint: dict
    selection: RowSelection
    mean: np.ndarray | None
    finds_mean: bool
    kernels: Kernels
    bases: tuple
    plan: Plan
    owned: bool
    given: str | None
    options: dict
    fills: bool
    interval: tuple
    finds_norms: bool
    notes: tuple
    compared: tuple
    inner: InnerProduct | None = None
    strata: object = None
    centre: object = False
    follows: bool = False

    def described(self, request):
        """Return what the run asked for and of which store, JSON-able, so that it can be done again."""
        return replace(request, index=self.options["index"]).to_dict(self.given)

    @property
    def nbytes(self):
        """Stored bytes of the rows that will be read, uncompressed."""
        return self.rows_read * self.store.row_bytes

    @property
    def slab_bytes(self):
        """Bytes of one read."""
        return self.plan.slab_rows * self.store.d * bits(self.store.dtype).itemsize

    @property
    def rows_read(self):
        """Rows that will be read: whole reads that hold a selected row."""
        return sum(stop - start for start, stop in self.reads())

    def reads(self, start=None, stop=None):
        """Yield the (start, stop) of every read of a pass in storage order; of some rows only, if told so."""
        low, high = self.interval
        low, high = low if start is None else start, high if stop is None else stop
        for first, last in self.store.reads(self.plan.slab_rows, low, high):
            if self.selection.wants(first, last):
                yield first, last

    def treated(self, request):
        """Return the members in place of one: itself, or one for the rows as stored and one with their mean subtracted."""
        stored, *centred = request.treatments
        if not centred:
            return [self]
        other = dict(name=f"{self.name}-centred", centre=centred[0], follows=True, owned=False, finds_norms=False)
        mean = given_mean(centred[0], self.store)
        kernels = Kernels.of(self.store, request.treating(centred[0]))
        return [self, replace(self, **other, mean=mean, finds_mean=mean is None, kernels=kernels)]

    def readings(self):
        """Return how often the store is read: whole readings for norms, mean and counts, and halves to choose planes."""
        turns = [len(tiles(prepared.planes.k, self.plan.pair_room)) for prepared in self.bases if prepared.planes.most]
        return 1 + self.finds_norms + (self.finds_mean and not self.follows), max(turns, default=0)

    def counting_seconds(self):
        """Estimate the seconds that counting takes when few rows come near a plane."""
        _, halves = self.readings()
        ns = 0.0
        for prepared in self.bases:
            most, k = prepared.planes.most, prepared.planes.k
            listed = listed_ns(prepared.basis, min(2 * most, k), most) if most else 0.0
            ns += self.rows_read * (prepared.way.row_ns * (halves / 2 if most else 1) + listed)
        return ns * 1e-9 / self.plan.threads

    def describe(self, resources):
        """Return the plan of this store's run as text: what --dry-run prints."""
        store, plan = self.store, self.plan
        if self.follows:
            found = "found while they are counted as stored" if self.finds_mean else "given"
            return f"{self.name}: the same rows in one more reading, with their mean subtracted ({found})"
        lines = [
            f"{self.name}: {store.location}",
            f"  rows     {self.selection.seen():,} of {store.n:,}, {store.d} wide, {store.dtype}, {format_bytes(self.nbytes)} to read",
        ]
        for prepared, mode in zip(self.bases, plan.modes, strict=True):
            basis, planes = prepared.basis, prepared.planes
            kept = {"dense": "all in memory", "hits": "those that are hit", "none": "none, only their sums"}[mode]
            kept += " or, found in two more readings, the highest" if plan.pair_room and not planes.most else ""
            skipped = f", {planes.skipped:,} parallel pairs skipped" if planes.skipped else ""
            some = f"the {planes.most:,} with most hits of " if planes.most else ""
            lines.append(
                f"  basis    {basis.name}: {len(basis.vectors):,} vectors, {some}{planes.total:,} planes ({planes.kind}){skipped}; kept: {kept}"
            )
            lines.append(f"  {prepared.way.method:<8} {prepared.way.why}")
        whole, halves = self.readings()
        if whole + halves > 1:
            norms = "one for the norms, " if self.finds_norms else ""
            mean = "one for the mean, " if self.finds_mean else ""
            choose = f"{halves} of half of the rows to choose planes, " if halves else ""
            lines.append(f"  passes   {norms}{mean}{choose}one to count")
        lines.append(
            f"  reading  {plan.readers} reader{'s' * (plan.readers > 1)}, {plan.slab_rows:,} rows at a time; "
            f"computing on {plan.threads} thread{'s' * (plan.threads > 1)}, {plan.block_rows:,} rows a kernel call"
        )
        lines.append(
            f"  time     reading takes {time_class(reading_seconds(self.nbytes * (whole + halves / 2)))}; counting takes "
            f"{time_class(self.counting_seconds())}, more if many rows come near a plane"
        )
        if self.compared[0]:
            lines.append(f"  null     comparing with random rotations takes {time_class(self.compared[0])}")
        lines.append(
            f"  memory   {format_bytes(plan.nbytes)} of {format_bytes(resources.memory)} that the run may add:"
        )
        lines += [f"           {format_bytes(size):>9}  {what}" for what, size in plan.parts if size]
        return "\n".join(lines)
