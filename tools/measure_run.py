"""Compare a whole `srmfast run` process with one that merely reads the store.

    python tools/measure_run.py STORE --basis standard --memory 512MiB
    python tools/measure_run.py big.zarr --make 8 --memory 2GiB          # makes 8 GB of rows, measures, deletes them
    python tools/measure_run.py big.zarr --make 12.8 --memory 256MiB

Both are processes of their own, started in turn; wall time and peak memory come from the operating system
(wait4). The reader uses the format's own library the fastest of a few ordinary ways. Exit code 1 when the run
exceeds its memory or takes more than `--max-ratio` of the reader's time.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.timing import seconds, table

ROOT = Path(__file__).resolve().parents[1]
WAYS = {
    "zarr": ("1x1", "4x1", "1x2"),
    "h5": ("1x1", "4x1"),
    "npy": ("1x1", "4x1"),
}  # chunks a slab × Python threads
_PIECE = 16 << 20  # bytes
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}
# This process imports nothing heavy: the peak memory of a child is at least that of the process that started it.


def main(argv=None):
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("store", metavar="STORE", help="path or path::key; zarr, .h5 or .npy")
    parser.add_argument(
        "--make",
        type=float,
        metavar="GB",
        help="make the store first, Zarr of float16 rows of width 768; delete it after",
    )
    parser.add_argument("--basis", default="standard", metavar="B")
    parser.add_argument("--epsilon", default="0.5", metavar="E[,E…]")
    parser.add_argument("--memory", default="512MiB", metavar="SIZE", help="budget of the run (default 512MiB)")
    parser.add_argument("--threads", metavar="T")
    parser.add_argument("--pairs", type=int, default=3, metavar="N", help="reader and run in turn (default 3)")
    parser.add_argument("--max-ratio", type=float, default=1.3, metavar="R", help="run over reader (default 1.3)")
    parser.add_argument("--cold", action="store_true", help="drop the store from the page cache before each process")
    parser.add_argument(
        "--way", metavar="CxT", help="the reader's slabs of C chunks and T threads (default: the fastest)"
    )
    parser.add_argument(
        "--read", metavar="CxT", help="only read, slabs of C chunks by T threads (what the reader does)"
    )
    options = parser.parse_args(argv)
    path, _, key = options.store.partition("::")
    if os.path.exists(path) == bool(options.make):
        parser.error(f"the store must {'not exist yet' if options.make else 'exist'}, got {path}")
    if options.read:
        read(path, key, *map(int, options.read.split("x")))
        return 0
    if not options.make:
        return measure(options, Path(path))
    make = [sys.executable, str(ROOT / "tools" / "make_store.py"), path, "--gib", str(options.make * 1e9 / 2**30)]
    try:
        process([*make, "--dim", "768", "--chunk-mib", "4"])
        return measure(options, Path(path))
    finally:
        shutil.rmtree(path, ignore_errors=True)


def measure(options, path):
    """Run the reader and `srmfast run` in turn and judge the medians."""
    budget = parse_bytes(options.memory)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    touch(files)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.zarr"
        run = [sys.executable, "-m", "srmfast", "run", options.store, "--basis", options.basis, "-o", str(out)]
        run += ["--epsilon", options.epsilon, "--memory", options.memory, "--progress", "none"]
        run += ["--threads", options.threads] if options.threads else []

        def reader(way):
            return [sys.executable, str(Path(__file__).resolve()), options.store, "--read", way]

        def timed(command):
            shutil.rmtree(out, ignore_errors=True)
            (drop if options.cold else touch)(files)
            return process(command)

        process(run)  # compiles, if anything is left to compile
        tried = {way: timed(reader(way))[0] for way in ([options.way] if options.way else WAYS[format_of(path)])}
        best = min(tried, key=tried.get)
        reads, runs = [], []
        for _ in range(options.pairs):
            reads.append(timed(reader(best)))
            runs.append(timed(run))
        spent = json.loads((out / ".zattrs").read_text())["provenance"]["seconds"]
    return report(options, size, tried, best, reads, runs, spent, budget)


def report(options, size, tried, best, reads, runs, spent, budget):
    """Print what was measured; return 1 when a limit is exceeded."""
    ratio = statistics.median(ran[0] / read[0] for ran, read in zip(runs, reads, strict=True))
    cache = "cold (dropped before each process)" if options.cold else "warm (read once before each process)"
    print(f"{options.store}: {size / 2**20:,.1f} MiB on disk, page cache {cache}")
    tries = ", ".join(f"{way} {seconds(each)}" for way, each in tried.items())
    print(f"ways to read (chunks a slab x threads): {tries}; {best} is the reader\n")
    lines = []
    for name, ended in (("merely reads", reads), (f"srmfast run, ε {options.epsilon}", runs)):
        each, cpu, peaks = zip(*ended, strict=True)
        medians = map(seconds, map(statistics.median, (each, cpu)))
        lines.append([name, *medians, ", ".join(map(seconds, each)), f"{max(peaks) / 2**20:,.0f} MiB"])
    print(table(["process", "median", "CPU seconds", "each", "peak RSS"], lines))
    peak = max(peaks)
    too_big, too_slow = peak > budget, ratio > options.max_ratio
    stages = ", ".join(f"{stage} {seconds(each)}" for stage, each in spent.items())
    print(
        f"\nratio {ratio:.2f} (median of {len(runs)} pairs; at most {options.max_ratio:g}){': TOO SLOW' if too_slow else ''}"
    )
    print(f"peak {peak / 2**20:,.0f} of {budget / 2**20:,.0f} MiB{': OVER THE BUDGET' if too_big else ''}")
    print(f"stages of the last run, threads added up: {stages}")
    print(
        f"the machine's load at the end, these processes included: {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores"
    )
    return int(too_big or too_slow)


def environment():
    """Return the variables with which a child finds this package."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}


def process(command):
    """Run a command to its end; return its seconds, CPU seconds and peak resident bytes. Its failure ends this process."""
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        actions = [(os.POSIX_SPAWN_DUP2, said.fileno(), 1), (os.POSIX_SPAWN_DUP2, said.fileno(), 2)]
        child = os.posix_spawn(command[0], command, environment(), file_actions=actions)
        _, status, usage = os.wait4(child, 0)
        spent = time.perf_counter() - began
        if code := os.waitstatus_to_exitcode(status):
            said.seek(0)
            sys.exit(f"{' '.join(command)} ended with {code}: {said.read().decode(errors='replace').strip()[-2000:]}")
    return spent, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def read(path, key, chunks, threads):
    """Read every row of a store in slabs of whole chunks, and keep nothing."""
    from concurrent.futures import ThreadPoolExecutor

    kind = format_of(Path(path))
    if kind == "npy":
        return _read_file(path, _PIECE * chunks)
    if kind == "h5":
        import h5py

        array = h5py.File(path)
        key = key or next(name for name, item in array.items() if isinstance(item, h5py.Dataset))
        array = array[key]
    else:
        import zarr

        array = zarr.open(path, path=key or None, mode="r")
        array = array if isinstance(array, zarr.Array) else next(item for _, item in array.arrays())
    unit = getattr(array, "shards", None) or array.chunks
    rows = unit[0] if unit else max(1, _PIECE // (array.nbytes // array.shape[0]))  # contiguous HDF5
    step = rows * chunks
    starts = range(0, array.shape[0], step)
    if threads == 1:
        for start in starts:
            array[start : start + step]
        return None
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda start: array[start : start + step].shape, starts):
            pass
    return None


def _read_file(path, piece):
    buffer = bytearray(piece)
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def touch(files):
    """Bring files into the page cache."""
    for file in files:
        _read_file(file, 1 << 20)


def drop(files):
    """Drop files from the page cache; what has not reached the disk is written first."""
    for file in files:
        with open(file, "rb") as handle:
            os.fsync(handle.fileno())
            os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def format_of(path):
    """Name the format of a path."""
    return {".npy": "npy", ".h5": "h5", ".hdf5": "h5"}.get(path.suffix.lower(), "zarr")


def parse_bytes(text):
    """Turn "512MiB" into bytes."""
    number = text.rstrip("BKMGikmgb ")
    return int(float(number) * _UNITS[text[len(number) :].strip().lower().removesuffix("b")])


if __name__ == "__main__":
    sys.exit(main())
