"""Projections on planes (the Privileged Plane Projective Method): the same reading and the same candidates as a run, other counts."""

import threading
from dataclasses import replace

import numpy as np

from srmfast.angles import angle_table
from srmfast.engine.assemble import accounting, offset, provenance
from srmfast.engine.collect import SharedNormsByLabel
from srmfast.engine.events import ignore
from srmfast.engine.passes import Passes, refuse_empty, some_rows
from srmfast.engine.prepare import prepare
from srmfast.engine.request import Request
from srmfast.engine.run import close
from srmfast.errors import InputError
from srmfast.kernels.arguments import Grid
from srmfast.kernels.decode import USED
from srmfast.nulls import in_rings
from srmfast.projection import Projection, Projections
from srmfast.spec import DEFAULT_EPSILON, Resources
from srmfast.whole import whole_file

SECTORS, RINGS = 72, 24
MIDDLES = 8  # sectors come in a multiple of it, so that every direction of an orthogonal plane is the middle of one
_LONGEST = 0.99  # quantile of the norms of a sample that the rings reach to
_HEAD = 192  # bytes of the head of a file of points


def project(
    activations, basis="standard", *, epsilon=DEFAULT_EPSILON, planes="combinations", sectors=SECTORS, rings=RINGS,
    extent=None, points=None, threads=None, memory=None, block_rows=None, on_event=ignore, **rows,
):  # fmt: skip
    """Count where in each plane the activations lie that are close to it.

    Parameters
    ----------
    activations : array, path, Store
        (n, d) rows, or any array or file that `srmfast.open_store` understands.
    basis : array, path, name or Basis
        (k, d) vectors; see `srmfast.load_basis`.
    epsilon : float or sequence of float
        A row x is accepted when its projection Px on the plane has |Px|/|x| ≥ ε; with ε ≤ 0 all are.
    planes : str, path or array (p, 2)
        As in `srmfast.run`, but for active:P; (j, i) shows the mirror image of (i, j) when b_i and b_j are orthogonal.
    sectors, rings : int
        Cells of a plane; sectors are a multiple of 8.
    extent : float, optional
        Distance from the origin that the rings reach to, in the units of the rows; by default about the 0.99 quantile
        of the norms of 256 rows at fixed places of the store. What lies beyond is counted as that.
    points : path, optional
        A .npy file to be: a record (plane_i, plane_j, row, u, v) for each row that a plane accepts at the smallest ε,
        in no certain order. They are streamed there and never held in memory.
    threads, memory, block_rows : optional
        How to compute; they change no count.
    on_event : callable
    **rows
        labels, mask, centre, rows, sample and whatever else `srmfast.run` takes to say which rows take part; keep.

    Returns
    -------
    Projection

    Raises
    ------
    InputError
        Any value that cannot be used.

    Notes
    -----
    The method is the paper author's, published beside arXiv 2505.13471; rows of zero norm are dropped and counted, and
    pairs of parallel vectors skipped.
    """
    resources = Resources.resolve(threads, memory, block_rows)
    found = project_many(
        {"": activations}, {"": basis}, Request(epsilon=epsilon, planes=planes, **rows), resources,
        cells=(sectors, rings, extent), points=points, on_event=on_event,
    )  # fmt: skip
    return next(iter(found.values()))


def project_many(
    stores, bases, request, resources, *, cells=(SECTORS, RINGS, None), points=None, on_event=ignore, apart=False
):
    """Project several stores on the planes of several bases in one reading of each store.

    Parameters
    ----------
    stores, bases : mapping or sequence of (str, what `project` takes)
    request, resources : Request, Resources
    cells : (int, int, float or None)
        Sectors, rings and extent.
    points : path, optional
        Of one store and one basis.
    on_event : callable
    apart : bool
        Compile kernels in a process of their own.

    Returns
    -------
    Projections
    """
    stores, bases = (list(given.items() if hasattr(given, "items") else given) for given in (stores, bases))
    sectors, rings, extent = check_cells(*cells)
    _check(request)
    if points is not None and len(stores) * len(bases) > 1:
        raise InputError(
            f"points are of one store and one basis, got {len(stores)} and {len(bases)}; write them one by one"
        )
    members = prepare(
        stores, bases, replace(request, angles=sectors * rings), resources, on_event=on_event, compiles=False
    )
    found, share = {}, resources.memory // max(1, sum(len(member.bases) for member in members))
    try:
        for number, member in enumerate(members):
            member = _projecting(member, on_event, apart)
            passes = _Projecting(member, request, share, on_event, None, number)
            with _open_points(points, member) as sink:
                for projection in passes.projections(sectors, rings, extent, sink):
                    found[member.name, projection.attrs["basis_name"]] = projection
    finally:
        close(members)
    return Projections(found)


def check_cells(sectors, rings, extent):
    """Return sectors, rings and extent when they make a grid."""
    for name, value, least in (("sectors", sectors, MIDDLES), ("rings", rings, 1)):
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
            raise InputError(f"{name} must be a whole number of at least {least}, got {value!r}")
    if sectors % MIDDLES:
        raise InputError(f"sectors must be a multiple of {MIDDLES}, got {sectors}; try {sectors + -sectors % MIDDLES}")
    if sectors * rings > 1_000_000:
        raise InputError(
            f"a plane may have 1,000,000 cells, got {sectors} x {rings} = {sectors * rings:,}; use fewer rings"
        )
    if extent is not None and not 0 < extent < np.inf:
        raise InputError(f"extent must be a finite distance above 0, got {extent}")
    return int(sectors), int(rings), None if extent is None else float(extent)


def _check(request):
    request.check_one_treatment("a projection is")
    if str(request.planes).startswith("active:"):
        raise InputError(
            f"planes are not chosen while projecting, got {request.planes}; choose them by srmfast run STORE --planes "
            f"{request.planes} -o chosen.zarr, and give --planes chosen.zarr"
        )
    if request.zero_rows != "drop":
        raise InputError("a row of zero norm has no direction and is dropped, got zero_rows keep; leave it out")


def _projecting(member, on_event, apart):
    """Return a member whose kernels are those that project and whose planes are all counted, mirror images too."""
    kernels = replace(member.kernels, task="project")
    kernels.announce(on_event, apart=apart)
    return replace(member, kernels=kernels, bases=tuple(replace(basis, a=1) for basis in member.bases))


class _Projecting(Passes):
    """The readings of one store for its projections: for its norms, for its mean, for the counts."""

    def projections(self, sectors, rings, extent, sink):
        """Yield the Projection of each basis."""
        member, request = self.member, self.request
        self.find_limit()
        if request.centre is True:
            self.find_mean()
        extent = extent or self._extent()
        self.grid = Grid(*(np.array(table) for table in angle_table(sectors)), rings, rings / extent)
        sums, norms = self._sums(), SharedNormsByLabel(member.selection.names.size)
        sink = sink and sink.of(member)
        counted = self._read(
            "count", member, member.bases, self._shared(member), sums=sums, norms=norms, grid=self.grid, points=sink
        )
        member.store.check_unchanged(member.fingerprint)
        refuse_empty(counted.rows, member.store.location, request.zero_rows)
        origin = provenance(member.plan, self.spent(), self.nbytes)
        edges = np.linspace(0.0, extent, rings + 1)
        expected = np.array([
            [in_rings(epsilon, member.store.d, *held.bins(), edges) / sectors for epsilon in request.epsilon]
            for held in norms.value.histograms
        ])  # fmt: skip
        for basis, totals, ledger in zip(member.bases, counted.totals, counted.ledgers, strict=True):
            yield self._assemble(basis, totals, ledger, counted.rows, expected, extent, sums, origin)

    def _sizes(self, member):
        return member.selection.label_names.size, len(self.request.epsilon), self.grid.cos.size * self.grid.rings

    def _extent(self):
        """Return about the 0.99 quantile of the norms of some rows, a number of two digits."""
        norms = np.sqrt((some_rows(self.member, self.mean) ** 2).sum(axis=1))
        norms = norms[norms <= self.limit.limit]
        if not norms.size:
            return 1.0  # that there is no usable row is told by the reading
        return float(f"{np.quantile(norms, _LONGEST):.1e}")

    def _assemble(self, prepared, totals, ledger, rows, expected, extent, sums, origin):
        member, request, grid = self.member, self.request, self.grid
        numbers, counts = _kept(ledger, request.keep, self.share)
        i, j = prepared.planes.pair(numbers)
        shape = grid.cos.size, grid.rings
        cells, beyond = counts[..., :-1].reshape(*counts.shape[:-1], *shape), counts[..., -1]
        total = totals.sum(axis=0)
        spec = self.spec_of(prepared).to_dict() | {"angles": None, "angles_hash": None}
        spec |= {"sectors": shape[0], "rings": shape[1], "extent": extent}
        hit = int(counts.any(axis=(0, 1, 3)).sum()) if request.keep != "summary" else None
        return Projection(
            counts=cells, beyond=np.ascontiguousarray(beyond),
            total=total[..., :-1].reshape(*total.shape[:-1], *shape), total_beyond=np.ascontiguousarray(total[..., -1]),
            expected=expected, rows_used=rows.fate[..., USED], sector=2 * np.pi * np.arange(shape[0]) / shape[0],
            ring=(np.arange(shape[1]) + 0.5) * extent / shape[1], epsilon=np.array(request.epsilon),
            label=member.selection.names, plane_i=i.astype(np.int32), plane_j=j.astype(np.int32),
            plane_angle=prepared.geometry.angles(i, j), basis=prepared.basis.vectors,
            attrs={
                "spec": spec, "store_name": member.name, "store_location": member.store.location,
                "basis_name": prepared.basis.name, "basis_kind": prepared.basis.kind, "extent": extent,
                "rows": accounting(rows, self.spec_of(prepared), np.int64(0)),
                "mean_over_rms": offset(sums and (sums.value.total(), rows)), "centred": self.mean is not None,
                "notes": list(member.notes), "planes_total": prepared.planes.total, "planes_hit": hit,
                "skipped_planes": prepared.planes.skipped, "inputs": member.described(request),
                "kept": {"auto": "all" if prepared.mode == "dense" else "hit"}.get(request.keep, request.keep),
                "provenance": origin | {"accepted": ledger.arcs, "method": prepared.way.method},
            },
        )  # fmt: skip


def _kept(ledger, keep, budget):
    """Return the numbers of the planes to keep, ascending, and their cells, (c, e, p, cells + 1) int64."""
    held = list(ledger.pieces())
    numbers = np.concatenate([np.empty(0, np.int64), *(numbers for numbers, _ in held)])
    if keep.startswith("top:"):
        accepted = np.concatenate([cells.sum(axis=(1, 2, 3), dtype=np.int64) for _, cells in held] or [numbers])
        stay = np.lexsort((numbers, -accepted))[: int(keep[4:])]
    else:
        stay = np.arange(numbers.size)
    wanted = np.sort(numbers[stay])
    if ledger.prepared.mode == "dense" and keep in ("auto", "all"):
        wanted = ledger.numbers()
    shape = ledger.stripes[0].differences.shape[1:]
    need = wanted.size * int(np.prod(shape)) * 8
    if ledger.prepared.mode == "hits" and need > budget // 4:
        raise InputError(
            f"the cells of {wanted.size:,} planes that were hit must fit into a quarter of the memory; use a larger epsilon, "
            "--keep top:1000, --keep summary, fewer cells or more --memory"
        )
    counts = np.zeros((shape[0], shape[1], wanted.size, shape[2]), np.int64)
    for some, cells in held:
        mine = np.flatnonzero(np.isin(some, wanted))
        counts[:, :, np.searchsorted(wanted, some[mine])] += np.moveaxis(cells[mine], 0, 2)
    return wanted, counts


POINT = np.dtype([("plane_i", "<i4"), ("plane_j", "<i4"), ("row", "<i8"), ("u", "<f8"), ("v", "<f8")])


class _Points:
    """A .npy file of records that grows while rows are projected; its head is written last."""

    def __init__(self, file):
        self._file, self._count, self._lock, self._planes, self._vectors = file, 0, threading.Lock(), None, None
        file.write(bytes(_HEAD))

    def of(self, member):
        """Return it for the planes of a member."""
        self._planes = member.bases[0].planes
        return self

    def add(self, number, absolute, plane, row, u, v):
        """Write points of basis `number`: the numbers of their planes, their rows in the block, their coordinates."""
        records = np.empty(plane.size, POINT)
        records["plane_i"], records["plane_j"] = self._planes.pair(plane)
        records["row"], records["u"], records["v"] = absolute[row], u, v
        with self._lock:
            self._file.write(records.tobytes())
            self._count += plane.size

    def finish(self):
        """Write the head: how many there are is known."""
        head = repr({"descr": POINT.descr, "fortran_order": False, "shape": (self._count,)}).encode()
        self._file.seek(0)
        self._file.write(b"\x93NUMPY\x01\x00" + (_HEAD - 10).to_bytes(2, "little") + head.ljust(_HEAD - 11) + b"\n")


def _open_points(path, member):
    """Return a context that gives the file of points, or None without one."""
    import contextlib

    @contextlib.contextmanager
    def opened():
        with whole_file(path) as file:
            points = _Points(file)
            yield points
            points.finish()

    return contextlib.nullcontext() if path is None else opened()
