"""One reading of a store: reader threads fill a bounded window, a thread pool counts, counts are added."""

import queue
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait

from threadpoolctl import ThreadpoolController

from srmfast import interrupts
from srmfast.engine.block import Worker
from srmfast.engine.events import BlockDone
from srmfast.stores import abandon
from srmfast.tally import gaps, merged

_COUNTING = 2  # slabs being counted at once, so that no thread waits for the last piece of a slab


def read_and_count(member, task, on_event, *, ready=None, saved=None):
    """Read every selected row of a store once, in storage order, and count it.

    Parameters
    ----------
    member : Member
        Its store, reads and plan.
    task : Pass
    on_event : callable
    ready : Future of KernelsReady, optional
        Waited for before the first row is counted; reading goes on meanwhile.
    saved : Saved, optional
        Where the state is kept from time to time, and found when the run had been interrupted.

    Returns
    -------
    worker : Worker
        Holds everything that was counted.
    seconds : dict
        Thread seconds spent reading and in each stage of counting.

    Notes
    -----
    Readers only read. A worker, with all its accumulators, is held by one thread at a time; workers meet only
    in the addition of integers, so neither the order of arrival nor the number of threads can change a count. A state
    is saved when all slabs that were begun have been counted; readers go on meanwhile.

    An interrupt is asked for, never raised in the midst of a wait: raised there, it could leave the lock of a future
    locked, and the thread that has its result, and whoever waits for that thread, would wait for ever.
    """
    store, plan = member.store, member.plan
    reading_seconds = 0.0
    cancelled = threading.Event()
    workers = [Worker(task) for _ in range(plan.threads)]
    first, *others = workers
    done = saved.restore(first) if saved else []
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

    todo = gaps(done, *member.interval)
    slabs = (slab for start, stop in todo for slab in member.reads(start, stop))
    reading, counting = deque(), deque()

    def read_ahead():
        while len(reading) + len(counting) < plan.slabs and (slab := next(slabs, None)) is not None:
            reading.append(readers.submit(read, *slab))

    def settle():
        nonlocal done
        futures, start, stop, nbytes = counting.popleft()
        for future in futures:
            future.result()
        leave_out(start)
        done = merged([*done, (start, stop)])
        on_event(BlockDone(stop - start, nbytes))

    def leave_out(before):
        """Count the rows before a read, or all, that no read holds because none of them is wanted."""
        nonlocal done
        unwanted = [(start, min(stop, before)) for start, stop in gaps(done, *member.interval) if start < before]
        for start, stop in unwanted if task.sums is not None else ():
            task.sums.fill(start, stop)
        done = merged([*done, *unwanted])

    def gather():
        for worker in others:
            first.absorb(worker)

    def spent():
        return {"read": reading_seconds} | {stage: sum(w.seconds[stage] for w in workers) for stage in first.seconds}

    def save():
        while counting:
            settle()
        gather()
        saved.save(first.tally(done), spent())

    def arrived(futures):
        """Wait until all are done or an interrupt has come; whether they are."""
        while not (done := all(future.done() for future in futures)) and not interrupted():
            wait(futures, timeout=0.1)
        return done

    with (
        _ONE_BLAS_THREAD,
        interrupts.deferred() as interrupted,
        ThreadPoolExecutor(plan.readers, "srmfast-read") as readers,
        ThreadPoolExecutor(plan.threads, "srmfast-count") as counters,
    ):
        try:
            read_ahead()
            if ready is not None and arrived([ready]):
                on_event(ready.result())
            while reading or counting:
                if saved and (interrupted() or saved.due):
                    save()
                if interrupted():
                    raise KeyboardInterrupt
                begin = bool(reading) and len(counting) < _COUNTING
                if not arrived([reading[0]] if begin else counting[0][0] if counting else []):
                    continue
                if begin:
                    raw, start, took = reading.popleft().result()
                    reading_seconds += took
                    pieces = _pieces(len(raw), plan.threads, plan.block_rows)
                    futures = [counters.submit(count, raw[low:high], start + low) for low, high in pieces]
                    counting.append((futures, start, start + len(raw), raw.nbytes))
                    del raw
                elif counting:  # a state that was just saved has settled them all
                    settle()
                read_ahead()
            leave_out(store.n)
            if saved and todo:
                save()
        except BaseException as error:
            cancelled.set()
            readers.shutdown(wait=False, cancel_futures=True)
            if isinstance(error, KeyboardInterrupt):  # of the process: no reader shall wait for a network any more
                abandon()
                while running := [future for future in reading if not future.done()]:  # one that was about to ask
                    abandon()
                    wait(running, timeout=0.1)  # never for one that was cancelled before it began: that ends unheard
            counters.shutdown(wait=False, cancel_futures=True)
            raise
    began = time.perf_counter()
    gather()
    seconds = spent() | {"merge": time.perf_counter() - began}
    if saved:
        for stage, value in saved.seconds.items():
            seconds[stage] = seconds.get(stage, 0.0) + value
    return first, seconds


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
