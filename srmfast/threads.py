"""Work on ranges of numbers, on every core this process may use."""

import os
from concurrent.futures import ThreadPoolExecutor

MANY = 512  # basis vectors from which on threads pay


def cores():
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(work, tasks, *, threads=None):
    """Call `work(*task)` for every task, on several threads; the first error stops what has not begun.

    Parameters
    ----------
    work : callable
        Releases the GIL most of the time.
    tasks : sequence of tuple
    threads : int, optional
        As many as there are cores when omitted.
    """
    threads = min(threads or cores(), len(tasks))
    if threads < 2:
        for task in tasks:
            work(*task)
        return
    with ThreadPoolExecutor(threads) as pool:
        try:
            for done in [pool.submit(work, *task) for task in tasks]:
                done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def each_range(work, stop, step, *, size):
    """Call `work(first, last)` over consecutive ranges, on several threads when the problem's size is worth it."""
    ranges = [(first, min(first + step, stop)) for first in range(0, stop, step)]
    each(work, ranges, threads=1 if size < MANY else None)
