"""How a run grows from 1 to 64 workers: a simulation from times measured on this machine.

    python tools/simulate_workers.py            # measures, then prints the table
    python tools/simulate_workers.py --storage 2,10 --store-gb 800

Measured: how fast one core reads and counts a Zarr store, what a task costs a Dask scheduler, how fast tallies are added
and sent. Simulated: workers that share storage of a given speed, a scheduler that hands out one task at a time, waves
whose tallies are added in a tree, as `srmfast.engine.cluster` does it.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from srmfast.engine import Request, cluster, execute, prepare
from srmfast.spec import Resources
from srmfast.tally import PlaneTally, RowTally, Tally

WORKERS = (1, 2, 4, 8, 16, 32, 64)
D, PLANES, ANGLES = 768, 20_000, 360


@dataclass(frozen=True)
class Times:
    """What was measured.

    Attributes
    ----------
    read, count : float
        Bytes a second of one core that only reads and decodes, or only counts.
    task : float
        Seconds of the scheduler for one task.
    add, send : float
        Bytes of tallies a second, added and sent.
    tally : float
        Bytes of one tally.
    """

    read: float
    count: float
    task: float
    add: float
    send: float
    tally: float


def measure(rows=120_000):
    """Measure on this machine, one core each, medians of three."""
    import distributed

    with tempfile.TemporaryDirectory() as folder:
        path = _store(Path(folder), rows)
        request = Request(epsilon=0.5, planes=f"random:{PLANES}", angles=ANGLES)
        reads, counts = [], []
        for _ in range(3):
            how = Resources(1, 4 << 30)
            members = prepare([("", str(path))], [("", "standard")], request, how)
            (result,) = execute(members, request, how).values()
            spent = result.attrs["provenance"]["seconds"]
            nbytes = rows * D * 2
            reads.append(nbytes / spent["read"])
            counts.append(nbytes / (spent["decode"] + spent["screen"] + spent["arcs"]))
    one = _tally(PLANES)
    began = time.perf_counter()
    one + _tally(PLANES, 1)
    add = time.perf_counter() - began
    size = PLANES * (ANGLES + 1) * 4
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as local,
        distributed.Client(local) as client,
    ):
        client.gather(client.map(lambda n: n, range(50), pure=False))
        began = time.perf_counter()
        client.gather(client.map(lambda n: n, range(2000), pure=False))
        task = (time.perf_counter() - began) / 2000
        future = client.submit(_tally, PLANES, pure=False)
        distributed.wait(future)
        began = time.perf_counter()
        future.result()
        send = size / (time.perf_counter() - began)
    return Times(float(np.median(reads)), float(np.median(counts)), task, size / add, send, size)


def _store(folder, rows):
    import zarr

    path, rng = folder / "acts.zarr", np.random.default_rng(0)
    array = zarr.create_array(str(path), shape=(rows, D), chunks=(8192, D), dtype="float16")
    for start in range(0, rows, 8192):
        array[start : start + 8192] = rng.normal(size=(min(8192, rows - start), D)).astype(np.float16)
    return path


def _tally(planes, first=0):
    pieces = [(np.arange(planes), np.ones((planes, 1, 1, ANGLES + 1), np.int32))]
    totals = np.zeros((64, 1, 1, ANGLES + 1), np.int64)
    return Tally([(first, first + 1)], RowTally.zero(1), {}, [PlaneTally(totals, 0, pieces)])


def simulate(times, workers, nbytes, storage):
    """Return the seconds of a reading.

    Parameters
    ----------
    times : Times
    workers : int
        Of one core each.
    nbytes : float
        Of the store.
    storage : float
        Bytes a second that the storage gives to all workers together.

    Returns
    -------
    float
    """
    ranges = max(workers * cluster._RANGES, int(np.ceil(nbytes / cluster._RANGE_BYTES)))
    size = nbytes / ranges
    free = np.zeros(workers)  # when each worker is free
    driver = scheduler = finished = 0.0
    wave = workers * cluster._WAVE
    waiting = []
    for first in range(0, ranges, wave):
        ends = []
        if len(waiting) == 2:  # two waves are out at once
            finished = driver = max(driver, waiting.pop(0)) + times.tally / times.send + times.tally / times.add
        scheduler = max(scheduler, driver)
        for _ in range(min(wave, ranges - first)):
            scheduler += times.task
            at = int(np.argmin(free))
            start = max(free[at], scheduler)
            # Readers and the counting thread share the core; the storage is shared by all.
            alone = size / times.read + size / times.count
            shared = size * workers / storage
            free[at] = start + max(alone, shared)
            ends.append(free[at])
        level = sorted(ends)
        while len(level) > 1:  # a tree: one of each pair is sent, then added
            pairs = [level[at : at + 2] for at in range(0, len(level), 2)]
            level = sorted(
                max(pair) + times.task + times.tally / times.send + times.tally / times.add
                if len(pair) == 2
                else pair[0]
                for pair in pairs
            )
        waiting.append(level[0])
    for end in waiting:
        finished = driver = max(driver, end) + times.tally / times.send + times.tally / times.add
    return finished


def table(times, nbytes, storages):
    """Return the table as lines of Markdown."""
    heads = [f"storage {speed / 1e9:g} GB/s" for speed in storages]
    lines = ["| workers | " + " | ".join(f"{head} | efficiency" for head in heads) + " |"]
    lines.append("| ---: |" + " ---: | ---: |" * len(heads))
    alone = [simulate(times, 1, nbytes, speed) for speed in storages]
    for workers in WORKERS:
        cells = []
        for speed, one in zip(storages, alone, strict=True):
            seconds = simulate(times, workers, nbytes, speed)
            cells += [f"{seconds / 60:,.1f} min", f"{one / seconds / workers:.0%}"]
        lines.append(f"| {workers} | " + " | ".join(cells) + " |")
    rate = 1 / (1 / times.read + 1 / times.count)
    lines.append("")
    for speed in storages:
        lines.append(f"Storage of {speed / 1e9:g} GB/s is saturated by {speed / rate:.0f} workers.")
    return lines


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store-gb", type=float, default=800.0, help="decoded bytes of the store")
    parser.add_argument("--storage", default="2,10", help="GB/s that all workers share")
    arguments = parser.parse_args()
    times = measure()
    print(
        f"one core reads {times.read / 1e6:,.0f} MB/s and counts {times.count / 1e6:,.0f} MB/s; a task costs the scheduler "
        f"{times.task * 1e3:.2f} ms; a tally of {times.tally / 1e6:.0f} MB is added in {times.tally / times.add * 1e3:.0f} ms "
        f"and sent in {times.tally / times.send * 1e3:.0f} ms\n"
    )
    speeds = [float(part) * 1e9 for part in arguments.storage.split(",")]
    print("\n".join(table(times, arguments.store_gb * 1e9, speeds)))


if __name__ == "__main__":
    sys.exit(main())
