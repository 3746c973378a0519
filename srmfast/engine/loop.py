"""One reading of a store: reader threads fill a bounded window, a thread pool counts, counts are added."""

import queue
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from threadpoolctl import ThreadpoolController

from srmfast.engine.block import Worker
from srmfast.engine.events import BlockDone

_COUNTING = 2  # slabs being counted at once, so that no thread waits for the last piece of a slab


def read_and_count(member, task, on_event, *, ready=None):
    """Read every selected row of a store once, in storage order, and count it.

    Parameters
    ----------
    member : Member
        Its store, reads and plan.
    task : Pass
    on_event : callable
    ready : Future of KernelsReady, optional
        Waited for before the first row is counted; reading goes on meanwhile.

    Returns
    -------
    rows : RowTally
    totals : list of ndarray, (64, c, e, a + 1) int64
        One for each basis: difference arrays summed over planes, by fold.
    ledgers : list of Ledger
        One for each basis.
    seconds : dict
        Thread seconds spent reading and in each stage of counting.

    Notes
    -----
    Readers only read. A worker, with all its accumulators, is held by one thread at a time; workers meet only
    in the final addition of integers, so neither the order of arrival nor the number of threads can change a count.
    """
    store, plan = member.store, member.plan
    reading_seconds = 0.0
    cancelled = threading.Event()
    workers = [Worker(task) for _ in range(plan.threads)]
    free = queue.SimpleQueue()
    for worker in workers:
        free.put(worker)

    def read(start, stop):
        began = time.perf_counter()
        raw = store.read(start, stop)
        return raw, start, time.perf_counter() - began

    def count(raw, start):
        worker = free.get()
        try:
            worker.count(raw, start, cancelled)
        finally:
            free.put(worker)

    slabs = member.reads()
    reading, counting = deque(), deque()

    def read_ahead():
        while len(reading) + len(counting) < plan.slabs and (slab := next(slabs, None)) is not None:
            reading.append(readers.submit(read, *slab))

    def settle():
        futures, rows, nbytes = counting.popleft()
        for future in futures:
            future.result()
        on_event(BlockDone(rows, nbytes))

    with (
        _ONE_BLAS_THREAD,
        ThreadPoolExecutor(plan.readers, "srmfast-read") as readers,
        ThreadPoolExecutor(plan.threads, "srmfast-count") as counters,
    ):
        try:
            read_ahead()
            if ready is not None:
                on_event(ready.result())
            while reading or counting:
                if reading and len(counting) < _COUNTING:
                    raw, start, spent = reading.popleft().result()
                    reading_seconds += spent
                    pieces = _pieces(len(raw), plan.threads, plan.block_rows)
                    futures = [counters.submit(count, raw[low:high], start + low) for low, high in pieces]
                    counting.append((futures, len(raw), raw.nbytes))
                    del raw
                else:
                    settle()
                read_ahead()
        except BaseException:
            cancelled.set()
            readers.shutdown(wait=False, cancel_futures=True)
            counters.shutdown(wait=False, cancel_futures=True)
            raise
    first, *others = workers
    seconds = {"read": reading_seconds, **{stage: sum(w.seconds[stage] for w in workers) for stage in first.seconds}}
    began = time.perf_counter()
    rows = sum((worker.rows for worker in others), first.rows)
    for worker in others:
        for number, (totals, ledger) in enumerate(zip(worker.totals, worker.ledgers, strict=True)):
            first.totals[number] += totals
            if ledger is not first.ledgers[number]:
                first.ledgers[number].absorb(ledger)
        worker.totals.clear()
        worker.ledgers.clear()
    seconds["merge"] = time.perf_counter() - began
    return rows, first.totals, first.ledgers, seconds


class _OneBlasThread:
    """Pins BLAS to one thread while any run counts; overlapping runs share the pin."""

    def __init__(self):
        self._lock = threading.Lock()
        self._users = 0
        self._limit = None
        self._libraries = None

    def __enter__(self):
        with self._lock:
            if not self._users:
                self._libraries = self._libraries or ThreadpoolController()  # looking for them takes milliseconds
                self._limit = self._libraries.limit(limits=1, user_api="blas")
            self._users += 1

    def __exit__(self, *exception):
        with self._lock:
            self._users -= 1
            if not self._users:
                self._limit.restore_original_limits()


_ONE_BLAS_THREAD = _OneBlasThread()


def _pieces(rows, threads, block_rows):
    """Split a slab into about as many pieces as there are threads, in whole blocks."""
    size = -(-rows // threads)
    size = -(-size // block_rows) * block_rows
    return [(low, min(low + size, rows)) for low in range(0, rows, size)]
