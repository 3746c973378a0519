"""One table: threads, blocks, formats, and ways to carry a run out. Every cell has the same counts, by `==`.

Every format meets every way and every number of threads; blocks take turns.
"""

import hashlib

import h5py
import numpy as np
import pytest
import torch_files
import zarr

import srmfast
from srmfast.engine import Checkpoint, Request, checkpoint, count_part, execute, merge, plan, prepare
from srmfast.engine.events import BlockDone
from srmfast.spec import Resources

N, D = 403, 12
THREADS, BLOCKS = (1, 2, 4, 7), (16, 33, 4096)
REQUEST = dict(epsilon=(0.4, 0.7), angles=24, planes="permutations", centre=False)


def _zarr(path, x, **options):
    zarr.create_array(path, data=x, **options)


def _parts(path, x):
    path.mkdir()
    for part, low in enumerate(range(0, N, 50)):
        np.save(path / f"part-{part}.npy", x[low : low + 50])


def _zip(path, x):
    root = zarr.storage.ZipStore(path, mode="w")
    _zarr(root, x, chunks=(64, D))
    root.close()


def _h5(path, x, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("X", data=x, **options)


def _arrow(path, x):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    column = pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), D)
    table = pa.table({"acts": column})
    if path.suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=70)
    else:
        with pa.ipc.new_stream(str(path), table.schema) as writer:
            writer.write_table(table, 60)


FORMATS = {
    "c.npy": np.save,
    "f.npy": lambda path, x: np.save(path, np.asfortranarray(x)),
    "big.npy": lambda path, x: np.save(path, x.astype(">f2")),
    "stored.npz": lambda path, x: np.savez(path, a=x),
    "deflated.npz": lambda path, x: np.savez_compressed(path, a=x),
    "v2.zarr": lambda path, x: _zarr(str(path), x, chunks=(64, D), zarr_format=2),
    "v3.zarr": lambda path, x: _zarr(str(path), x, chunks=(50, 5)),
    "sharded.zarr": lambda path, x: _zarr(str(path), x, chunks=(10, D), shards=(100, D)),
    "zipped.zarr.zip": _zip,
    "chunked.h5": lambda path, x: _h5(path, x, chunks=(30, 7), compression="gzip"),
    "whole.h5ad": _h5,
    "tensors.safetensors": lambda path, x: pytest.importorskip("safetensors.numpy").save_file({"acts": x}, path),
    "tensors.pt": lambda path, x: torch_files.write(path, {"acts": x}),
    "rows.parquet": _arrow,
    "rows.arrow": _arrow,
    f"raw.bin::float16,{N}x{D}": lambda path, x: path.write_bytes(x.tobytes()),
    "parts": _parts,
}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(9)
    x = (rng.normal(size=(N, D)) + 0.2).astype(np.float16)
    x[::40] = 0
    x[5::40] = np.eye(D)[3]  # ties at every end of an arc
    return x


@pytest.fixture(scope="module")
def stores(rows, tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("stores"), {}
    for name, write in FORMATS.items():
        path, _, key = name.partition("::")
        try:
            write(folder / path, rows)
        except pytest.skip.Exception:
            continue
        found[name] = f"{folder / path}{'::' + key if key else ''}"
    return found


@pytest.fixture(scope="module")
def expected(rows):
    return counted(srmfast.run(rows, "plusminus", **REQUEST))


@pytest.fixture(autouse=True)
def many_reads(monkeypatch):
    monkeypatch.setattr(plan, "_SLAB", 1 << 11)
    monkeypatch.setattr(checkpoint, "_SHARE", 1e9)
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


def counted(result):
    """One hash of every count, and the accounting."""
    state = hashlib.sha256()
    for name in ("counts", "total", "fold_total", "rows_used", "plane_i", "plane_j"):
        state.update(np.ascontiguousarray(getattr(result, name)).tobytes())
    return state.hexdigest(), result.attrs["rows"]["used"], result.attrs["rows"]["zero_norm"], result.offset


def local(path, how, folder):
    members = prepare([("x", path)], [("", "plusminus")], Request(**REQUEST), how)
    (result,) = execute(members, Request(**REQUEST), how).values()
    return result


def in_shards(path, how, folder):
    request, parts = Request(**REQUEST), [folder / f"{number}.part" for number in (1, 2, 3)]
    for number, part in enumerate(parts, 1):
        count_part(prepare([("x", path)], [("", "plusminus")], request, how), request, how, (number, 3), part)
    return merge(parts)


class Killed(Exception):
    """Stands for the end of a process."""


def interrupted(path, how, folder):
    def on_event(event):
        if isinstance(event, BlockDone):
            left[0] -= 1
            if not left[0]:
                raise Killed

    while True:
        left = [3]
        try:
            with Checkpoint(folder / "ck", every=1e-9, resume=True) as state:
                members = prepare([("x", path)], [("", "plusminus")], Request(**REQUEST), how)
                (result,) = execute(members, Request(**REQUEST), how, checkpoint=state, on_event=on_event).values()
                state.finish()
            return result
        except Killed:
            continue


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("way", [local, in_shards, interrupted])
def test_every_cell_has_the_same_counts(way, name, stores, expected, tmp_path):
    if name not in stores:
        pytest.skip("a library is not installed")
    for place, threads in enumerate(THREADS, list(FORMATS).index(name)):
        block = BLOCKS[place % len(BLOCKS)]
        assert counted(way(stores[name], Resources(threads, 1 << 30, block), tmp_path)) == expected, (threads, block)


@pytest.fixture(scope="module")
def scheduler():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit="1.2GiB", silence_logs=50
    ) as cluster:
        yield cluster.scheduler_address


@pytest.mark.filterwarnings("ignore")  # those of a library that shuts processes down
@pytest.mark.parametrize("part, block", list(enumerate(BLOCKS)))
def test_two_workers_have_the_same_counts(scheduler, part, block, stores, expected):
    from srmfast.engine.cluster import Cluster

    with Cluster(scheduler, Resources(2, 1 << 30, block)) as cluster:
        for path in list(stores.values())[part :: len(BLOCKS)]:
            members = prepare([("x", path)], [("", "plusminus")], Request(**REQUEST), cluster.resources)
            (result,) = execute(members, Request(**REQUEST), cluster.resources, cluster=cluster).values()
            assert counted(result) == expected, path
