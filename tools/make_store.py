"""Write a big store of activation-like rows in bounded memory.

    python tools/make_store.py OUT.zarr --gib 4 --dim 64 --dtype float16
    python tools/make_store.py OUT.zarr --gib 12 --dim 768 --chunk-mib 4      # 12.8 GB, what measure_run.py is for

Rows are correlated normals with a power-law covariance, a mean, rarely active columns and outlying ones, as
activations have. In narrow rows an outlying column often dominates, and such a row hits every plane with it;
--outlier 1 leaves few hits. A few blocks are drawn; every chunk is one of them with its rows permuted and the
signs of some columns flipped, so chunks differ, cost little to make and hardly compress.
"""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

DTYPES = ("float16", "float32", "float64")
DISTINCT = 4  # blocks drawn


def main(argv=None):
    """Write the store; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("out", type=Path, metavar="OUT", help="must not exist")
    parser.add_argument("--gib", type=float, required=True, help="GiB of rows before compression")
    parser.add_argument("--dim", type=int, default=64, help="width of the rows (default 64)")
    parser.add_argument("--dtype", choices=DTYPES, default="float16")
    parser.add_argument("--chunk-mib", type=float, default=16, help="MiB of a chunk (default 16)")
    parser.add_argument("--format", choices=tuple(WRITERS), default="zarr")
    parser.add_argument(
        "--codec",
        choices=sorted({codec for _, codecs in WRITERS.values() for codec in codecs}),
        help="default: blosc-lz4 for zarr, none otherwise; gzip is for h5, which is contiguous without",
    )
    parser.add_argument(
        "--outlier", type=float, default=4, metavar="F", help="scale of one column in 64 (default 4; 1: none)"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    write, codecs = WRITERS[options.format]
    codec = options.codec or codecs[0]
    if codec not in codecs:
        parser.error(f"--codec {codec} is not for --format {options.format}, which takes {' or '.join(codecs)}")
    if options.out.exists():
        parser.error(f"the store must not exist yet, got {options.out}; remove it or use another name")
    if options.dim < 2 or options.gib <= 0 or options.chunk_mib <= 0:
        parser.error("--dim must be at least 2, --gib and --chunk-mib positive")
    row_bytes = options.dim * np.dtype(options.dtype).itemsize
    n = max(1, int(options.gib * 2**30) // row_bytes)
    chunk_rows = min(n, max(1, int(options.chunk_mib * 2**20) // row_bytes))
    began = time.perf_counter()
    chunks = blocks(n, options.dim, options.dtype, chunk_rows, options.outlier, options.seed)
    write(options.out, (n, options.dim), options.dtype, chunk_rows, codec, chunks)
    spent = time.perf_counter() - began
    size = disk_bytes(options.out)
    print(
        f"{options.out}: {n:,} rows × {options.dim} {options.dtype} = {n * row_bytes / 2**20:,.1f} MiB in chunks of "
        f"{chunk_rows:,} rows, {size / 2**20:,.1f} MiB on disk ({codec}), "
        f"{spent:.1f} s, {n * row_bytes / 1e6 / spent:,.0f} MB/s"
    )
    return 0


def blocks(n, d, dtype, chunk_rows, outlier, seed):
    """Yield (start, rows) for the chunks of an (n, d) store."""
    rng = np.random.default_rng(seed)
    with threadpool_limits(1, user_api="blas"):  # on busy cores LAPACK's threads wait for each other for seconds
        mix, mean = _covariance(rng, d), 0.5 * rng.standard_normal(d, dtype=np.float32)
        distinct = [
            _draw(rng, chunk_rows, mix, mean, dtype, outlier) for _ in range(min(DISTINCT, -(-n // chunk_rows)))
        ]
    for number, start in enumerate(range(0, n, chunk_rows)):
        rows = distinct[number % len(distinct)]
        if number >= len(distinct):
            rows = rows[rng.permutation(chunk_rows)]
            bits = rows.view(f"u{rows.itemsize}")
            bits ^= np.where(rng.random(d) < 0.5, np.zeros(d, dtype), -np.zeros(d, dtype)).view(bits.dtype)  # sign bits
        yield start, rows[: n - start]


def _covariance(rng, d):
    """Return the (d, d) matrix that gives normal rows a power-law spectrum: variance ∝ 1/rank, 1 a column on average."""
    spread = (1 + np.arange(d)) ** -0.5
    frame = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return (spread[:, None] * frame * np.sqrt(d / (spread**2).sum())).astype(np.float32)


def _draw(rng, rows, mix, mean, dtype, outlier):
    """Draw correlated rows with a mean, outlying and quiet columns."""
    d = len(mean)
    values = rng.standard_normal((rows, d), dtype=np.float32) @ mix
    values[:, : max(1, d // 64)] *= outlier  # the outlier channels of language models
    values += mean
    quiet = values[:, d - d // 8 :]  # rarely active units: all there is for a codec to find
    quiet[np.abs(quiet) < 2] = 0
    return values.astype(dtype)


def write_zarr(path, shape, dtype, chunk_rows, codec, chunks):
    """Write a Zarr 3 array."""
    import zarr

    compressor = zarr.codecs.BloscCodec(cname="lz4", clevel=5, shuffle="shuffle") if codec != "none" else None
    array = zarr.create_array(
        str(path),
        shape=shape,
        chunks=(chunk_rows, shape[1]),
        dtype=dtype,
        compressors=compressor,
        zarr_format=3,
        config={"write_empty_chunks": True},  # comparing each chunk of float16 with zero takes longer than all else
    )
    with ThreadPoolExecutor(1) as writer:  # one chunk is written while the next is made
        written = None
        for start, rows in chunks:
            if written is not None:
                written.result()
            written = writer.submit(array.__setitem__, slice(start, start + len(rows)), rows)
        written.result()


def write_h5(path, shape, dtype, chunk_rows, codec, chunks):
    """Write an HDF5 file with the dataset "activations": in chunks with gzip, contiguous without."""
    import h5py

    layout = {"chunks": (chunk_rows, shape[1]), "compression": codec} if codec != "none" else {}
    with h5py.File(path, "w") as file:
        data = file.create_dataset("activations", shape, dtype, **layout)
        for start, rows in chunks:
            data[start : start + len(rows)] = rows


def write_npy(path, shape, dtype, chunk_rows, codec, chunks):
    """Write a .npy file."""
    with open(path, "wb") as file:
        header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for _, rows in chunks:
            file.write(memoryview(rows).cast("B"))


WRITERS = {
    "zarr": (write_zarr, ("blosc-lz4", "none")),
    "h5": (write_h5, ("none", "gzip")),
    "npy": (write_npy, ("none",)),
}  # and their codecs, the first by default


def disk_bytes(path):
    """Bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


if __name__ == "__main__":
    sys.exit(main())
