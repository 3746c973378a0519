"""Kill runs at random instants and go on with them: the counts at the end must be those of a run left alone.

    python tools/kill_runs.py --kills 200

Every format takes its turn; every start has other threads, blocks, memory and checkpoint times; one kill in four is a
SIGTERM, the others are SIGKILL. Prints a line for each run and the tally at the end; ends with 1 when any count differs.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import srmfast

FORMATS = ("npy", "npz", "zarr", "zip", "h5", "parts", "safetensors", "pt", "parquet")
WHAT = "--basis random:40 --epsilon 0.2,0.5 --angles 24 --labels {folder}/labels.npy"
VARIANTS = ("", " --centre", " --planes active:30", " --mask {folder}/mask.npy --planes random:200 --keep top:5")


def write_store(folder, kind, x):
    """Write rows (n, d) in one format and return the path to give to srmfast; None when a library is not there."""
    path = folder / f"acts.{kind}"
    if kind == "npy":
        np.save(path, x)
    elif kind == "npz":
        np.savez(path, acts=x)
    elif kind in ("zarr", "zip"):
        import zarr

        path = folder / ("acts.zarr" if kind == "zarr" else "acts.zarr.zip")
        root = zarr.storage.ZipStore(path, mode="w") if kind == "zip" else str(path)
        array = zarr.create_array(root, shape=x.shape, chunks=(1000, x.shape[1]), dtype=x.dtype)
        array[...] = x
        if kind == "zip":
            root.close()
    elif kind == "h5":
        import h5py

        with h5py.File(path, "w") as file:
            file.create_dataset("acts", data=x, chunks=(1000, x.shape[1]), compression="gzip", compression_opts=1)
    elif kind == "parts":
        path = folder / "parts"
        path.mkdir()
        for n, part in enumerate(np.array_split(x, 12)):
            np.save(path / f"{n}.npy", part)
    elif kind == "safetensors":
        try:
            from safetensors.numpy import save_file
        except ImportError:
            return None
        save_file({"acts": x}, path)
    elif kind == "parquet":
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError:
            return None
        rows = pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), x.shape[1])
        pq.write_table(pa.table({"acts": rows}), path, row_group_size=4000)
    else:
        try:
            import torch
        except ImportError:
            return None
        torch.save({"acts": torch.from_numpy(x)}, path)
    return path


def start(words, folder, **options):
    """Start srmfast in a process of its own."""
    root = str(Path(srmfast.__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", "srmfast", *words.split()], env=os.environ | {"PYTHONPATH": path}, cwd=folder, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options,
    )  # fmt: skip


def said_at_the_end(process):
    """Wait for a process and return its standard error; one that hangs is killed, and is an error."""
    try:
        return process.communicate(timeout=200)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise


def killed_to_the_end(words, folder, rng, kills, longest):
    """Start a run again and again until it ends, killing it up to `kills` times; return how often it was killed."""
    killed = 0
    while True:
        how = f" --threads {rng.choice([1, 2, 4, 7])} --block-rows {rng.choice([64, 500, 4096])}"
        how += f" --memory {rng.choice(['300MiB', '1GiB', '2GiB'])} --checkpoint-every {rng.choice([0.02, 0.1, 0.3])}"
        process = start(f"{words} --checkpoint ck --resume{how}", folder)
        if killed < kills:
            try:
                process.wait(rng.uniform(0.0, longest))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGTERM if rng.random() < 0.25 else signal.SIGKILL)
        said = said_at_the_end(process)
        if process.returncode == 0:
            return killed
        if process.returncode not in (-signal.SIGKILL, 130, -signal.SIGTERM):
            raise SystemExit(f"the run ended with {process.returncode}: {said}")
        killed += 1


def same(a, b):
    """Whether two results have the same counts and accounting."""
    names = ("counts", "total", "fold_total", "rows_used", "plane_i", "plane_j", "counts_heldout")
    pairs = [(getattr(a, name), getattr(b, name)) for name in names]
    arrays = all((x is None and y is None) or np.array_equal(x, y) for x, y in pairs)
    keys = ("rows", "spec_digest", "mean_over_rms", "planes_hit")
    return arrays and all(a.attrs[key] == b.attrs[key] for key in keys)


def campaign(kills, *, seed=0, formats=FORMATS, n=120_000, d=40, say=print):
    """Kill runs until there were `kills` kills; return (kills, runs, runs whose counts differ)."""
    rng, counted = random.Random(seed), [0, 0, 0]
    generator = np.random.default_rng(seed)
    x = (generator.normal(size=(n, d)) + 0.2).astype(np.float32)
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        np.save(place / "labels.npy", generator.integers(0, 3, n))
        np.save(place / "mask.npy", generator.random(n) < 0.9)
        references, paths = {}, {}
        while counted[0] < kills:
            kind, variant = formats[counted[1] % len(formats)], VARIANTS[rng.randrange(len(VARIANTS))]
            if kind not in paths:
                (place / kind).mkdir()
                paths[kind] = write_store(place / kind, kind, x)
            counted[1] += 1
            if paths[kind] is None:
                say(f"{kind:<12} left out: its library is not installed")
                formats = tuple(other for other in formats if other != kind)
                continue
            words = f"run {paths[kind]} {(WHAT + variant).format(folder=place)} --progress none"
            if (kind, variant) not in references:
                began = time.monotonic()
                left_alone = start(f"{words} -o alone.zarr --force", place)
                problem = said_at_the_end(left_alone)
                if left_alone.returncode:
                    raise SystemExit(problem)
                references[kind, variant] = srmfast.load(place / "alone.zarr"), time.monotonic() - began
            reference, longest = references[kind, variant]
            killed = killed_to_the_end(f"{words} -o out.zarr", place, rng, min(8, kills - counted[0]), 1.1 * longest)
            good = same(reference, srmfast.load(place / "out.zarr"))
            counted[0] += killed
            counted[2] += not good
            left = sorted(path.name for path in place.iterdir() if "wip" in path.name or path.name == "ck")
            say(
                f"{kind:<12} killed {killed} times{variant:<30.30} {'same counts' if good else 'DIFFERENT COUNTS'} {left or ''}"
            )
            shutil.rmtree(place / "out.zarr")
    return tuple(counted)


def main():
    """Run the campaign that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    kills, runs, wrong = campaign(arguments.kills, seed=arguments.seed)
    print(f"{kills} kills in {runs} runs: {wrong} with other counts")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
