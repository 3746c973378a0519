"""A store that changes while it is read ends in one line, not in a result; rows added to a growing file are left alone."""

import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

import srmfast
from srmfast.engine import events
from srmfast.errors import InputError
from srmfast.stores import open_store

h5py = pytest.importorskip("h5py")
zarr = pytest.importorskip("zarr")


@pytest.fixture
def acts(rng):
    return rng.standard_normal((3000, 8)).astype(np.float32)


def run_while(change, store, **options):
    """Run, and change the store as soon as its rows are being counted."""

    def watch(event):
        if isinstance(event, events.PassStarted):
            change()

    return srmfast.run(store, epsilon=0.7, angles=8, threads=1, on_event=watch, **options)


def refused(differs, change, store):
    with pytest.raises(InputError, match=f"must stay the same while it is read, but its {differs}") as caught:
        run_while(change, store)
    assert "\n" not in str(caught.value)


def overwrite(path, at, value):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(value)


def test_a_file_written_over_in_place(tmp_path, acts):
    path = tmp_path / "a.npy"
    np.save(path, acts)
    refused("slices changed; wait until its writer is done", lambda: overwrite(path, -1 + 4096, b"\x01\x02"), path)


def test_a_file_that_grows(tmp_path, acts):
    path = tmp_path / "a.npy"
    np.save(path, acts)
    size = path.stat().st_size
    refused(f"size changed from {size} to {size + 4} bytes", lambda: overwrite(path, size, b"more"), path)


def test_a_part_that_grows(tmp_path, acts):
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", acts)
    path = tmp_path / "1.npy"
    refused("size changed", lambda: overwrite(path, path.stat().st_size, b"more"), tmp_path)


def write_zarr(path, array, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = zarr.create_array(path, shape=array.shape, dtype=array.dtype, **options)
    made[...] = array
    return made


@pytest.mark.parametrize("options", [{"zarr_format": 2}, {}, {"shards": (600, 8)}])
def test_a_chunk_that_is_written_again(tmp_path, acts, options):
    made = write_zarr(tmp_path / "a.zarr", acts, chunks=(300, 8), **options)

    def change():
        made[600:900] = 0.5

    refused("slices changed", change, tmp_path / "a.zarr")


def test_an_array_that_is_resized_or_loses_a_chunk(tmp_path, acts):
    made = write_zarr(tmp_path / "a.zarr", acts, chunks=(300, 8))
    refused("header changed", lambda: made.resize((3300, 8)), tmp_path / "a.zarr")
    with open_store(tmp_path / "a.zarr") as store:
        before = store.fingerprint()
        store.check_unchanged(json.loads(json.dumps(before)))
        os.remove(tmp_path / "a.zarr" / "c" / "3" / "0")
        with pytest.raises(InputError, match="slices changed"):
            store.check_unchanged(before)


def test_an_hdf5_file_that_is_appended_to(tmp_path, acts):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=acts, chunks=(300, 8), maxshape=(None, 8))
    size = path.stat().st_size
    refused("size.* changed from", lambda: overwrite(path, size, bytes(5000)), path)


def test_a_remote_object_that_is_written_again(tmp_path, acts):
    from http_faults import FaultyServer

    pytest.importorskip("aiohttp")
    server = FaultyServer(tmp_path)
    try:
        np.save(tmp_path / "a.npy", acts)
        refused("slices changed", lambda: overwrite(tmp_path / "a.npy", 9999, b"\x01\x02"), f"{server.url}/a.npy")
        write_zarr(tmp_path / "a.zarr", acts, chunks=(300, 8))
        made = zarr.open_array(tmp_path / "a.zarr")

        def change():
            made[600:900] = 0.5

        refused("slices changed", change, f"{server.url}/a.zarr")
    finally:
        server.close()


WRITER = """
import sys, h5py, numpy as np
path, mode = sys.argv[1:]
with h5py.File(path, "w", **({} if mode == "plain" else {"libver": "latest"})) as file:
    data = file.create_dataset("x", data=np.load(path + ".npy"), chunks=(300, 8), maxshape=(None, 8))
    if mode == "swmr":
        file.swmr_mode = True
    file.flush()
    print("written", flush=True)
    for _ in sys.stdin:
        rows = len(data)
        data.resize((rows + 300, 8))
        data[rows:] = 1
        file.flush()
        print("grown", flush=True)
    print("closing", flush=True)
"""


@pytest.fixture
def writer(tmp_path, acts, start):
    """Starts a process that holds a.h5 open, and its lock; `grow()` makes it append rows."""

    def hold(mode):
        path = tmp_path / "a.h5"
        np.save(tmp_path / "a.h5.npy", acts)
        words = [sys.executable, "-c", WRITER, str(path), mode]
        process = start(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "written\n"

        def grow():
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "grown\n"

        return path, process, grow

    return hold


def test_a_file_that_another_process_has_locked_opens(writer, acts):
    path, _, _ = writer("plain")
    with pytest.raises(OSError, match="lock"):
        h5py.File(path, "r")
    with open_store(path) as store:
        assert np.array_equal(store.read(0, 3000), acts)


def test_a_file_marked_as_being_written_names_the_remedy(writer):
    path, process, _ = writer("latest")
    for _ in range(2):
        with pytest.raises(InputError, match="close its writer, or if that crashed: h5clear -s") as caught:
            open_store(path)
        assert "\n" not in str(caught.value)
        process.kill()
        process.wait()


def test_rows_added_to_a_growing_file_are_left_alone(writer, acts):
    path, process, grow = writer("swmr")
    expected = srmfast.run(acts, epsilon=0.7, angles=8)
    result = run_while(grow, path)
    assert np.array_equal(result.counts, expected.counts)
    assert result.attrs["rows"]["seen"] == 3000
    with open_store(path) as store:
        assert store.n == 3300 and store.describe()["growing"]
        assert store.layout() == [
            "the file is being written (SWMR): the 3,300 rows it held when it was opened are used"
        ]
        before = store.fingerprint()
        grow()
        assert store.fingerprint() == before
    process.kill()
    process.wait()
    with open_store(path) as store:  # what a crashed writer had flushed is there
        assert np.array_equal(store.read(0, 3000), acts)
