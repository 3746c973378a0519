"""The same rows in the formats people have: merely reading them, and the whole analysis in this process."""

import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

import srmfast
from bench.answers import check_same, check_sample
from bench.timing import affordable, alternate, ratio, table
from tools import make_store
from tools.measure_run import WAYS, format_of, read, touch

_FORMATS = {
    ".npy": ("rows.npy", "npy", "none", 1),
    "Zarr 3, blosc-lz4": ("rows-lz4.zarr", "zarr", "blosc-lz4", 1),
    "Zarr 3, uncompressed": ("rows.zarr", "zarr", "none", 1),
    "HDF5, contiguous": ("rows.h5", "h5", "none", 1),
    "HDF5, gzip": ("rows-gzip.h5", "h5", "gzip", 8),  # an eighth of the rows: it is slow to write and to read
}  # file, format, codec, and what part of the rows


def stores(quick):
    """Print MB/s of decoded rows for the format's own library and for `srmfast.run`."""
    n, d, chunk_rows, rounds, limit = (2_000, 768, 256, 1, 0.1) if quick else (699_050, 768, 2_048, 3, 6.0)
    print(
        f"{n:,} × {d} float16 rows ({n * d * 2 / 2**20:,.0f} MiB) in chunks of {chunk_rows:,}, in the page cache; "
        "standard basis, all planes, 360 angles, ε = 0.5:\n"
    )
    lines, results = [], {}
    for name, (file, form, codec, part) in _FORMATS.items():
        rows = n // part
        height = min(chunk_rows, rows)
        chunks = make_store.blocks(rows, d, "float16", height, 4.0, 0)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / file
            make_store.WRITERS[form][0](path, (rows, d), "float16", height, codec, chunks)
            touch([path] if path.is_file() else [member for member in path.rglob("*") if member.is_file()])
            _check_stored(path, d)
            line, result = _measure(path, rows, d * 2, rounds, limit)
        results.setdefault(part, []).append(result)
        lines.append([name, *line])
    for same in results.values():
        check_same(same)
    print(table(["format", "reading (chunks x threads)", "MB/s", "srmfast, MB/s", "times the reading", "rows"], lines))
    print(
        "\nMB of decoded float16 rows. Reading is the fastest of a few ordinary loops over the format's own library, or "
        f"`readinto` for .npy.\nsrmfast takes as many rows as it can in about {limit:g} s. Whole processes, with their "
        "peak memory: tools/measure_run.py."
    )


def _measure(path, n, row_bytes, rounds, limit):
    """Return a line of the table and what was counted."""
    ways = {way: partial(read, str(path), "", *map(int, way.split("x"))) for way in WAYS[format_of(path)]}
    tried = alternate(ways, 1, by=time.perf_counter)
    best = min(ways, key=lambda way: tried[way].median)

    def run(rows):
        return srmfast.run(str(path), "standard", epsilon=0.5, keep="summary", rows=f"0:{rows}")

    some = affordable(run, n, limit, least=n // 64)
    series = alternate({"read": ways[best], "ours": partial(run, some)}, rounds, by=time.perf_counter)
    speeds = [n * row_bytes / series["read"].median, some * row_bytes / series["ours"].median]
    longer = ratio(series["ours"], series["read"]) * n / some
    return [best, *(f"{speed / 1e6:,.0f}" for speed in speeds), f"{longer:.2f}", f"{some:,}"], run(n // 64)


def _check_stored(path, d):
    """Compare the counts of the first rows of a store with the definition."""
    few = srmfast.open_store(str(path)).read(0, 200)
    planes = np.array([(0, 1), (1, 0), (2, d - 1), (0, d // 2)])
    options = {"epsilon": 0.3, "angles": 36, "planes": planes, "keep": "all"}
    check_sample(srmfast.run(str(path), "standard", rows="0:200", **options), few, size=4)
