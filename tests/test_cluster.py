"""On the workers of a Dask cluster the counts are those of one process, also when a worker dies."""

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest

import srmfast
from srmfast.engine import Checkpoint, Request, execute, plan, prepare
from srmfast.engine.events import BlockDone, PassStarted, ReadingResumed
from srmfast.spec import Resources, peak_bytes

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore")  # those of a library that shuts processes down

N, D = 6000, 20
WAYS = {
    "dense": dict(labels=np.arange(N) % 3, epsilon=(0.3, 0.6), null=39),
    "centred": dict(centre=True, groups=np.arange(N) // 9),
    "active": dict(planes="active:9"),
    "listed": dict(planes="random:50", rows="5:5900:2", mask=np.arange(N) % 5 > 0),
    "sampled": dict(sample=70, keep="summary"),
    "long": dict(max_norm=1.05, centre=True),
    "hits": dict(keep="hit"),
    "top": dict(keep="top:2"),
    "kinds": dict(strata="norm,massive", centre=True),
}


@pytest.fixture(scope="module")
def scheduler():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit="1.2GiB", silence_logs=50
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    rng = np.random.default_rng(3)
    path = tmp_path_factory.mktemp("store") / "x.npy"
    x = (rng.normal(size=(N, D)) + 0.3).astype(np.float32)
    x[17] = 0.0
    np.save(path, x)
    return path


@pytest.fixture(autouse=True)
def many_ranges(monkeypatch):
    monkeypatch.setattr(plan, "_SLAB", 1 << 12)


def run(scheduler, store, way, *, basis="random:20", block_rows=64, epsilon=0.3, **more):
    from srmfast.engine.cluster import Cluster

    request = Request(**{"angles": 24, "epsilon": epsilon} | WAYS[way])
    with Cluster(scheduler.scheduler_address, Resources(2, 1 << 30, block_rows)) as cluster:
        members = prepare([("x", str(store))], [("", basis)], request, cluster.resources)
        cluster.check(members)
        (result,) = execute(members, request, cluster.resources, cluster=cluster, **more).values()
    return result


def alone(store, way, basis="random:20"):
    request = Request(**{"angles": 24, "epsilon": 0.3} | WAYS[way])
    return next(iter(srmfast.run_many({"x": str(store)}, {"": basis}, request, Resources(2, 1 << 30, 64)).values()))


def same(a, b):
    for name in (
        "counts",
        "total",
        "fold_total",
        "rows_used",
        "plane_i",
        "plane_j",
        "phase",
        "null_phase",
        "pair_phase",
        "stratum_total",
        "stratum_phase",
        "stratum_rows",
        "null_kurtosis",
        "norm",
        "norm_rows",
    ):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    for name in ("rows", "spec", "mean_over_rms", "planes_hit"):
        assert a.attrs[name] == b.attrs[name], name
    assert a.attrs["provenance"]["arcs"] == b.attrs["provenance"]["arcs"]


@pytest.mark.parametrize("way", WAYS)
def test_workers_count_what_one_process_counts(scheduler, store, way, monkeypatch):
    if way in ("hits", "top"):
        monkeypatch.setattr(plan, "_DENSE_SHARE", 1e-9)
    same(run(scheduler, store, way), alone(store, way))


def test_a_worker_killed_in_the_midst_changes_nothing(scheduler, store):
    reference = alone(store, "dense")
    with distributed.Client(scheduler.scheduler_address) as client:
        for _ in range(2):
            killed = []

            def on_event(event, killed=killed):
                if isinstance(event, PassStarted) and not killed:
                    threading.Timer(0.05, _kill_one, (client, killed)).start()

            same(run(scheduler, store, "dense", on_event=on_event), reference)
            until = time.monotonic() + 60
            while not killed or len(client.scheduler_info()["workers"]) < 2:
                assert time.monotonic() < until
                time.sleep(0.1)


def _kill_one(client, killed):
    killed.append(min(client.run(os.getpid).values()))
    os.kill(killed[0], signal.SIGKILL)


def test_a_run_on_workers_goes_on_from_its_checkpoint(scheduler, store, tmp_path):
    class Killed(Exception):
        pass

    def kill(event):
        if isinstance(event, BlockDone):
            raise Killed

    with pytest.raises(Killed), Checkpoint(tmp_path, every=1e-9) as folder:
        run(scheduler, store, "centred", checkpoint=folder, on_event=kill)
    events, kills = [], 0
    while True:
        left = [2]

        def after_two(event, left=left):
            events.append(event)
            left[0] -= isinstance(event, BlockDone)
            if not left[0]:
                raise Killed

        try:
            with Checkpoint(tmp_path, every=1e-9, resume=True) as folder:
                result = run(scheduler, store, "centred", checkpoint=folder, on_event=after_two)
            break
        except Killed:
            kills += 1
    assert kills >= 2 and any(isinstance(event, ReadingResumed) for event in events)
    same(result, alone(store, "centred"))


def test_workers_must_see_the_store_that_was_planned_for(scheduler, store, tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.load(store))

    def change(event):
        if isinstance(event, PassStarted):
            np.save(path, np.load(store)[::-1].copy())

    with pytest.raises(srmfast.InputError, match=r"all machines must see the same store .* on a worker slices is"):
        run(scheduler, path, "dense", on_event=change)


def test_what_workers_find_wrong_is_the_users_line(scheduler, tmp_path, rng):
    x = rng.normal(size=(N, D))
    x[N - 3, 2] = np.nan
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(srmfast.InputError, match=r"rows must be finite, got NaN.* in row 5,997"):
        run(scheduler, tmp_path / "x.npy", "centred")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak begins at that of the parent")
def test_workers_keep_within_their_memory(tmp_path, rng, monkeypatch):
    monkeypatch.undo()  # reads of the usual size
    limit, block = 600 << 20, rng.normal(size=(1 << 16, 64)).astype(np.float16)
    rows = np.lib.format.open_memmap(
        tmp_path / "x.npy", "w+", np.float16, (limit // 128 // len(block) * len(block), 64)
    )
    for start in range(0, len(rows), len(block)):
        rows[start : start + len(block)] = block
    del rows
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit=limit, silence_logs=50
    ) as small:
        run(small, tmp_path / "x.npy", "hits", basis="random:64", block_rows=None, epsilon=0.8)
        with distributed.Client(small.scheduler_address) as client:
            assert max(client.run(peak_bytes).values()) < limit


def test_what_a_cluster_cannot_do_is_said(scheduler, rng, monkeypatch, srmfast_main, store, tmp_path):
    from srmfast.engine import cluster as module

    monkeypatch.setattr(module, "_SECONDS", 2)
    ended = srmfast_main(f"run {store} --scheduler tcp://127.0.0.1:1 -o {tmp_path}/o.zarr")
    assert ended.rc == 1 and "a Dask scheduler with workers must answer at tcp://127.0.0.1:1" in ended.stderr
    ended = srmfast_main(f"run {store} --scheduler local --shard 1/2 -o {tmp_path}/o.part")
    assert ended.rc == 1 and "drop --shard" in ended.stderr
    with module.Cluster(scheduler.scheduler_address, Resources(1, 1 << 30)) as cluster:
        members = prepare([("x", rng.normal(size=(9, 5)))], [("", "standard")], Request(), cluster.resources)
        with pytest.raises(srmfast.InputError, match="workers open stores by their path, and array in memory has none"):
            cluster.check(members)
    monkeypatch.setattr(module, "_PROCESS", 1 << 40)
    with pytest.raises(srmfast.InputError, match="every worker needs at least"):
        module.Cluster(scheduler.scheduler_address, Resources(1, 1 << 30))
    monkeypatch.setitem(sys.modules, "distributed", None)
    ended = srmfast_main(f"run {store} --scheduler local -o {tmp_path}/o.zarr")
    assert ended.rc == 1 and "pip install 'srmfast[dask]'" in ended.stderr


def test_local_workers_from_the_command_line(store, tmp_path, srmfast_cli):
    words = f"run {store} --epsilon 0.3 --angles 24 --progress none"
    ended = srmfast_cli(f"{words} --scheduler local --threads 2 --memory 2GiB -o {tmp_path}/o.zarr")
    assert ended.rc == 0, ended.stderr
    whole = srmfast.run(str(store), epsilon=0.3, angles=24)
    assert np.array_equal(srmfast.load(tmp_path / "o.zarr").counts, whole.counts)
