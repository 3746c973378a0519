"""Readings handed out to the workers of a Dask cluster: ranges of rows go out, tallies are added in a tree and come back."""

import contextlib
import json
import threading
import time
import warnings
from dataclasses import dataclass, replace

from srmfast import interrupts
from srmfast.engine.block import Worker
from srmfast.engine.events import BlockDone, ignore
from srmfast.engine.hits import HitLedger
from srmfast.engine.inner import seen_by
from srmfast.engine.ledger import Ledger, PlanesOverflow
from srmfast.engine.loop import read_and_count
from srmfast.engine.reading import Pass
from srmfast.errors import InputError, require
from srmfast.spec import MINIMUM_MEMORY, Resources, differing, format_bytes
from srmfast.stores import open_store
from srmfast.tally import PlaneTally, Tally, gaps, merged

_RANGES = 8  # ranges of rows for each worker, in a reading
_RANGE_BYTES = 4 << 30  # of a range, at most: how often progress is told and a checkpoint written
_WAVE = 2  # of these go out together: their tallies are added on the workers and come back as one
_TRIES = 3  # for a wave whose data were lost with their workers
_PROCESS = 350 << 20  # bytes of a worker with its libraries
_TALLIES = 1.6  # a worker holds this much of what a run adds, with the tallies that wait to be added
_SECONDS = 60  # to wait for a scheduler

_counting = threading.Lock()  # in a worker: one range at a time, on all its threads
_stores = {}  # in a worker: the open store of the reading under way


class Cluster:
    """Workers of a Dask scheduler; use it in a `with` statement.

    Parameters
    ----------
    address : str
        Of a running scheduler ("tcp://host:8786"), or "local" for worker processes on this machine.
    resources : Resources
        For "local": how many workers, and the memory of all of them together.

    Attributes
    ----------
    resources : Resources
        What every worker may use: the plan is made for the smallest of them.

    Raises
    ------
    InputError
        No scheduler answers, or its workers have too little memory.
    """

    def __init__(self, address, resources):
        distributed = require("distributed", purpose="--scheduler", extra="dask")
        self._distributed, self._local, self._client = distributed, None, None
        try:
            if address == "local":
                workers = max(1, min(resources.threads, resources.memory // _least()))
                self._local = distributed.LocalCluster(
                    n_workers=workers, threads_per_worker=1, dashboard_address=":0", silence_logs=50,
                    memory_limit=max(_least(), resources.memory // workers),
                )  # fmt: skip
            self._client = distributed.Client(self._local or address, timeout=_SECONDS, set_as_default=False)
            self._client.wait_for_workers(1, timeout=_SECONDS)
            self.resources = self._smallest(resources)
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            self.close()
            raise InputError(
                f"a Dask scheduler with workers must answer at {address}, but {' '.join(str(error).split())}; start one with "
                "dask scheduler and dask worker, or use --scheduler local"
            ) from None
        except BaseException:
            self.close()
            raise

    def _smallest(self, resources):
        workers = list(self._client.scheduler_info(n_workers=-1)["workers"].values())
        threads = min(worker["nthreads"] for worker in workers)
        limits = [worker["memory_limit"] for worker in workers if worker["memory_limit"]]
        memory = min(limits) if limits else resources.memory
        left = min(int((memory - _PROCESS) / _TALLIES), resources.memory)  # all tallies are added up here
        if left < MINIMUM_MEMORY // 4:
            raise InputError(
                f"every worker needs at least {format_bytes(_least())}, got {format_bytes(memory)}; start them with a larger "
                "--memory-limit"
            )
        return Resources(threads, left, resources.block_rows)

    def check(self, members):
        """Refuse stores that workers cannot open."""
        for member in members:
            if member.given is None:
                raise InputError(
                    f"workers open stores by their path, and {member.store.location} has none; save it where all machines see it"
                )

    def read(self, member, task, on_event=ignore, *, ready=None, saved=None):
        """Do one reading; takes the place of `read_and_count` and returns the same."""
        if ready is not None:
            on_event(ready.result())
        worker, seconds = Worker(task), {}
        done = saved.restore(worker) if saved else []
        job = _Job.of(member, task)
        waves = self._waves(member, gaps(done, *member.interval))
        running = []
        try:
            while waves or running:
                while waves and len(running) < 2:  # the next wave goes out while this one is added
                    running.append((waves[0], self._submit(job, waves.pop(0))))
                ranges, future = running.pop(0)
                tally, spent = self._result(job, ranges, future)
                with interrupts.deferred():  # half of a tally must not be saved
                    worker.add(tally)
                    done = merged([*done, *ranges])
                rows = sum(stop - start for start, stop in ranges)
                on_event(BlockDone(rows, rows * member.store.row_bytes))
                for stage, value in spent.items():
                    seconds[stage] = seconds.get(stage, 0.0) + value
                if saved and (saved.due or not (waves or running)):
                    saved.save(worker.tally(done), seconds)
        except KeyboardInterrupt:
            if saved:
                saved.save(worker.tally(done), seconds)
            raise
        finally:
            self._client.cancel([future for _, future in running])
        if saved:
            for stage, value in saved.seconds.items():
                seconds[stage] = seconds.get(stage, 0.0) + value
        return worker, seconds

    def _waves(self, member, todo):
        """Cut rows into ranges of whole reads, and these into waves."""
        workers = max(1, len(self._client.scheduler_info(n_workers=-1)["workers"]))
        rows = sum(stop - start for start, stop in todo)
        step = member.plan.slab_rows
        size = min(-(-rows // (workers * _RANGES)), _RANGE_BYTES // max(1, member.store.row_bytes))
        size = max(1, size // step) * step
        ranges = []
        for start, stop in todo:
            while start < stop:
                end = min(start - start % step + size, stop)
                ranges.append((start, end))
                start = end
        wave = workers * _WAVE
        return [ranges[at : at + wave] for at in range(0, len(ranges), wave)]

    def _submit(self, job, ranges):
        """Hand out a wave; return the future of the sum of its tallies."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that a large basis is large
            # As the result of a task, and not as scattered data, it is made again when the workers that held it are gone.
            shared = self._client.submit(_same, job, pure=False)
        counted = [
            self._client.submit(count_range, shared, start, stop, pure=False, priority=-start) for start, stop in ranges
        ]
        while len(counted) > 1:
            pairs = [counted[at : at + 2] for at in range(0, len(counted), 2)]
            counted = [
                self._client.submit(_add, *pair, job.limits, pure=False) if len(pair) == 2 else pair[0]
                for pair in pairs
            ]
        return counted[0]

    def _result(self, job, ranges, future):
        """Wait for a wave, which goes out again if what it needs was lost with a worker."""
        for left in reversed(range(_TRIES)):
            try:
                return future.result()
            except (self._distributed.KilledWorker, self._distributed.client.FutureCancelledError) as error:
                if not left:
                    raise InputError(
                        f"workers died {_TRIES} times while they counted rows {ranges[0][0]:,}:{ranges[-1][1]:,} "
                        f"({type(error).__name__}); give them more memory, or look into their logs"
                    ) from None
                self._client.wait_for_workers(1, timeout=_SECONDS)
                future = self._submit(job, ranges)
        raise AssertionError("unreachable")

    def close(self):
        """Leave the scheduler; workers that were started here end."""
        for part in (self._client, self._local):
            if part is not None:
                with contextlib.suppress(Exception):
                    part.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def _least():
    return _PROCESS + int(MINIMUM_MEMORY // 4 * _TALLIES) + (1 << 20)


@dataclass(frozen=True)
class _Job:
    """A reading without what cannot be sent: the open store, locks and accumulators."""

    member: object
    options: dict
    fills: bool
    task: Pass
    ledgers: tuple

    @classmethod
    def of(cls, member, task):
        bare = replace(member, store=None)
        ledgers = tuple(None if ledger is None else ledger.blank() for ledger in task.ledgers)
        return cls(bare, member.options, member.fills, replace(task, ledgers=()), ledgers)

    @property
    def limits(self):
        """Bytes that the planes kept by hit of each basis may take, 0 without a limit."""
        return [
            (blank or {}).get("limit", 0) * (basis.mode == "hits")
            for basis, blank in zip(self.task.bases, self.ledgers, strict=True)
        ]

    @property
    def digest(self):
        """Hash of the inner product, "" for the Euclidean."""
        return "" if self.member.inner is None else self.member.inner.digest

    def open(self):
        """Return the member with its store, which must be the one that was planned for, and a fresh pass."""
        key = json.dumps([self.member.given, self.member.fingerprint, repr(self.options), self.fills, self.digest])
        if key not in _stores:
            while _stores:  # of an earlier reading, perhaps of files that have changed since
                _stores.popitem()[1].close()
            store = open_store(self.member.given, **self.options)
            if other := differing(self.member.fingerprint, store.fingerprint(), "where the run began", "here"):
                store.close()
                raise InputError(
                    f"all machines must see the same store at {self.member.given}, but on a worker {other}"
                )
            if self.fills:
                store.fill_missing()
            _stores[key] = seen_by(store, self.member.inner)
        store = _stores[key]
        ledgers = tuple(
            blank and (HitLedger if "low" in blank else Ledger)(basis, *self.task.shape, **blank)
            for basis, blank in zip(self.task.bases, self.ledgers, strict=True)
        )
        return replace(self.member, store=store), replace(self._fresh(), ledgers=ledgers)

    def _fresh(self):
        """Return the pass with nothing collected: a task of its own, as one job serves many ranges."""
        empty = {name: shared.blank() for name, shared in self.task.collected.items()}
        return replace(self.task, **empty)


def _same(job):
    return job


def count_range(job, start, stop):
    """Count some rows on a worker; return what they add up to and the seconds spent."""
    with _counting:
        began = time.perf_counter()
        member, task = job.open()
        member.kernels.load()
        worker, seconds = read_and_count(replace(member, interval=(start, stop)), task, ignore)
        tally = worker.tally([(start, stop)])
        planes = [PlaneTally(one.totals, one.arcs, list(one.pieces), one.phase) for one in tally.planes]
        return Tally(tally.intervals, tally.rows, tally.collected, planes), seconds | {
            "work": time.perf_counter() - began
        }


def _add(first, second, limits):
    """Add two tallies and the seconds they took, on a worker; refuse planes that outgrow their share of its memory."""
    (mine, spent), (theirs, more) = first, second
    added = mine + theirs
    for planes, limit in zip(added.planes, limits, strict=True):
        taken = sum(values.nbytes for _, values in planes.pieces)
        if limit and taken > limit:
            raise PlanesOverflow(
                f"the planes that are hit must fit into an eighth of a worker's memory, {format_bytes(limit)}, but take "
                f"{format_bytes(taken)}; use a larger epsilon, fewer planes, --keep summary or workers with more memory"
            )
    return added, {stage: spent.get(stage, 0.0) + more.get(stage, 0.0) for stage in spent | more}
