"""Selection, folds, sums over the tree, the plan, events, and memory that stays within it."""

import itertools
import os
import subprocess
import sys
import threading
import time

import cases
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import srmfast
from srmfast import tally
from srmfast.engine import events, plan
from srmfast.engine.selection import RowSelection
from srmfast.spec import Resources, parse_bytes


def store(n=200, d=4, seed=0):
    return srmfast.open_store(np.random.default_rng(seed).normal(size=(n, d)))


# ---- rows ------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 120), st.integers(1, 120), st.integers(1, 9), st.integers(0, 60), st.integers(0, 99))
def test_any_cut_of_the_store_selects_the_same_rows(start, length, step, sample, cut):
    source = store(120)
    mask = np.arange(120) % 3 != 0
    try:
        selection = RowSelection(source, rows=slice(start, start + length, step), sample=sample, mask=mask)
    except srmfast.InputError:
        assert not len(range(120)[start : start + length : step])
        return
    expected = np.arange(120)[start : start + length : step]
    parts = [(0, cut), (cut, 120)]
    kept, seen, masked = [], 0, 0
    for low, high in parts:
        keep, here, rules = selection.keep(low, high)
        kept += (low + np.flatnonzero(keep)).tolist() if keep is not None else range(low, high)
        seen += here
        masked += sum(rules.values())
        assert selection.wants(low, high) == (here > 0)
    assert seen == selection.seen() == len(kept) + masked
    assert set(kept) <= set(expected) and (np.array(kept) % 3 != 0).all()
    if not sample or sample >= expected.size:
        assert kept == [row for row in expected if mask[row]]
    else:
        assert seen == sample


def test_rows_used_add_up_and_every_rule_is_named(rng):
    x = rng.normal(size=(100, 4))
    x[3], x[5, 0] = 0, np.nan
    mask = np.ones(100)
    mask[90:] = 0
    result = srmfast.run(x, "standard", epsilon=0.5, angles=8, mask=mask, nonfinite="skip", rows="0:96")
    rows = result.attrs["rows"]
    assert rows == {
        "seen": 96,
        "used": 88,
        "zero_norm": 1,
        "zero_kept": 0,
        "nonfinite": 1,
        "masked": {"mask": 6},
        "duplicates": {"looked_at": 88, "repeats": 0, "commonest": 1},
    }


def test_labels_and_masks_broadcast_over_the_token_axis(rng):
    x = rng.normal(size=(6, 5, 4)).astype(np.float32)
    labels, mask = np.array(["x", "y", "x", "y", "x", "x"]), rng.random((6, 5)) < 0.7
    result = srmfast.run(x, "standard", epsilon=0.5, angles=8, labels=labels, mask=mask)
    for c, name in enumerate(result.label):
        alone = srmfast.run(x[labels == name][mask[labels == name]], "standard", epsilon=0.5, angles=8)
        assert (alone.counts[0] == result.counts[c]).all()


def test_folds_are_of_the_row_and_with_groups_of_the_groups_first_row(rng):
    x = rng.normal(size=(640, 4))
    plain = srmfast.run(x, "standard", epsilon=0.5, angles=8)
    assert (plain.rows_used[:, 0] == 10).all()
    for fold in (0, 17, 63):
        alone = srmfast.run(x[fold * 10 : fold * 10 + 10], "standard", epsilon=0.5, angles=8)
        assert (plain.fold_total[fold] == alone.total).all()
    groups = np.repeat(["doc3", "doc1", "doc2", "doc0"], 160)
    grouped = srmfast.run(x, "standard", epsilon=0.5, angles=8, groups=groups)
    assert np.flatnonzero(grouped.rows_used[:, 0]).tolist() == [0, 16, 32, 48]
    assert (grouped.counts == plain.counts).all() and (grouped.fold_total.sum(axis=0) == plain.total).all()


def test_a_sample_depends_on_the_seed_alone_and_is_a_sample(rng):
    x = rng.normal(size=(500, 4))
    one, two = (srmfast.run(x, "standard", epsilon=0.5, sample=100, seed=3, block_rows=r) for r in (7, 500))
    other = srmfast.run(x, "standard", epsilon=0.5, sample=100, seed=4)
    assert (one.counts == two.counts).all() and one.rows[0] == 100
    assert (one.counts != other.counts).any()


# ---- sums ------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_tree_sums_do_not_depend_on_how_rows_arrive(n, seed):
    rng = np.random.default_rng(seed)
    leaves = rng.normal(size=(n, 2)) * 1e8

    def node(level, index):
        if level == 0:
            return leaves[index]
        return node(level - 1, 2 * index) + node(level - 1, 2 * index + 1)

    totals = []
    for _ in range(3):
        cuts = np.unique(np.concatenate([[0, n], rng.integers(0, n + 1, 5)]))
        pieces = [
            piece for low, high in itertools.pairwise(cuts.tolist()) for piece in tally.aligned_intervals(low, high)
        ]
        trees = [tally.TreeSums(2), tally.TreeSums(2)]
        for number, at in enumerate(rng.permutation(len(pieces))):
            trees[number % 2].add(*pieces[at], node(*pieces[at]))
        totals.append((trees[0] + trees[1]).total())
    assert (totals[0] == totals[1]).all() and (totals[0] == totals[2]).all()
    assert np.allclose(totals[0], leaves.sum(axis=0))


def test_a_large_offset_does_not_swallow_the_mean(rng):
    x = 1e8 + 1e-3 * rng.normal(size=(4000, 3))
    result = srmfast.run(x, "standard", epsilon=0.5, angles=8, centre=True)
    assert result.offset == pytest.approx(1.0)
    share = result.fraction()[0, 0].mean()
    assert share == pytest.approx(float(result.null()[0]), abs=0.02)  # centred, the cloud is isotropic again


# ---- plan, events, faults --------------------------------------------------------------------------


def make(memory, keep="auto", **sizes):
    default = dict(
        n=10**6,
        d=64,
        itemsize=2,
        format="npy",
        unit_rows=1,
        readers=4,
        bases=[plan.BasisSize(32, 992, 0, 0)],
        c=1,
        e=1,
        a=360,
    )
    return plan.make_plan(**(default | sizes), keep=keep, resources=Resources(4, memory))


def test_the_plan_fits_the_memory_or_says_why_not():
    for memory in (64 << 20, 1 << 30, 16 << 30):
        assert make(memory).nbytes <= memory
    with pytest.raises(srmfast.InputError, match=r"must fit into memory, but needs .* = .* \+ .* of 64 MiB"):
        make(64 << 20, keep="all", bases=[plan.BasisSize(4096, 16_773_120, 0, 0)])


def test_all_planes_are_kept_only_while_they_fit_a_fifth_of_the_memory():
    assert make(1 << 30).modes == ("dense",)
    assert make(1 << 30, bases=[plan.BasisSize(4096, 16_773_120, 0, 0)]).modes == ("hits",)
    assert make(1 << 30, keep="summary").modes == ("none",)


def test_a_chunk_larger_than_the_memory_is_refused():
    with pytest.raises(srmfast.InputError, match="reads of 10,000,000 rows"):
        make(512 << 20, unit_rows=10**7, n=10**8)


def test_hits_that_outgrow_the_memory_are_refused_before_they_take_it(rng):
    x = rng.normal(size=(50, 80))
    with pytest.raises(srmfast.InputError, match="planes that are hit must fit into an eighth of the memory, 32 MiB"):
        srmfast.run(x, "standard", epsilon=0.05, angles=6000, memory=256 << 20, keep="hit")
    assert srmfast.run(x, "standard", epsilon=0.05, angles=6000, memory=256 << 20, keep="summary").total.sum()


@pytest.mark.parametrize(
    "text, count",
    [
        ("512MiB", 512 << 20),
        ("2GiB", 2 << 30),
        ("1.5 GB", 1_500_000_000),
        (300 << 20, 300 << 20),
        ("300000000", 3 * 10**8),
    ],
)
def test_sizes_are_read_as_people_write_them(text, count):
    assert parse_bytes(text) == count


def test_events_tell_every_row_once(rng):
    seen = []
    srmfast.run(rng.normal(size=(999, 4)), "standard", epsilon=0.5, angles=8, centre=True, on_event=seen.append)
    assert [type(event) for event in seen if not isinstance(event, events.BlockDone)] == [
        events.PassStarted, events.KernelsReady, events.PassFinished, events.PassStarted, events.PassFinished,
    ]  # fmt: skip
    assert sum(event.rows for event in seen if isinstance(event, events.BlockDone)) == 2 * 999


@pytest.mark.parametrize("threads", [1, 4])
def test_a_reader_that_fails_stops_the_run_and_leaves_no_thread(threads, rng):
    source = store(5000)

    class Failing:
        def __getattr__(self, name):
            return getattr(source, name)

        def read(self, start, stop):
            if stop > 3000:
                raise srmfast.InputError("the disk is gone")
            return source.read(start, stop)

    from srmfast.engine import loop
    from srmfast.engine.prepare import prepare

    request, resources = srmfast.Request(epsilon=0.5, angles=8), Resources.resolve(threads, None, 64)
    (member,) = prepare([("", source)], [("", "standard")], request, resources)
    object.__setattr__(member, "store", Failing())
    object.__setattr__(member.plan, "slab_rows", 64)
    from srmfast.engine.run import execute

    with pytest.raises(srmfast.InputError, match="the disk is gone"):
        execute([member], request, resources)
    assert loop and not [thread for thread in threading.enumerate() if thread.name.startswith("srmfast")]


def test_the_process_survives_a_fork_after_a_run(rng):
    code = (
        "import numpy as np, srmfast, multiprocessing as mp\n"
        "f = lambda s: int(srmfast.run(np.random.default_rng(s).normal(size=(50, 4)), epsilon=0.5, angles=8).counts.sum())\n"
        "def g(s): return f(s)\n"
        "if __name__ == '__main__':\n"
        "    a = f(0)\n"
        "    with mp.get_context('fork').Pool(2) as pool: print(a == pool.map(g, [0, 0])[1])\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "True", done.stderr


PEAK = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True, text=True, timeout=100)
print(done.stderr, file=sys.stderr)
print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def test_peak_memory_stays_within_the_budget(tmp_path):
    """A store of 320 MB in a process that may use 400 MiB: it cannot hold it."""
    import zarr

    n, chunk = 2_500_000, 65_536
    block = np.random.default_rng(0).normal(size=(chunk, 64)).astype(np.float16)
    np.save(tmp_path / "small.npy", block[:9])
    path = tmp_path / "big.zarr"
    zarr.create_array(path, shape=(n, 64), chunks=(chunk, 64), dtype="float16", fill_value=0)[:chunk] = block
    for number in range(1, -(-n // chunk)):  # the same chunk again and again: nothing has to be packed
        (path / "c" / str(number)).mkdir()
        os.link(path / "c" / "0" / "0", path / "c" / str(number) / "0")
    for store in ("small.npy", "big.zarr"):  # the first compiles
        words = (
            f"-m srmfast run {store} --basis random:8 --epsilon 0.5 --memory 400MiB --progress none -o {store}.o.zarr"
        )
        command = [sys.executable, "-c", PEAK, sys.executable, *words.split()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=tmp_path)
    returned, peak = map(int, done.stdout.split())
    assert returned == 0, done.stderr
    assert peak * 1024 <= 400 << 20
    assert srmfast.load(tmp_path / "big.zarr.o.zarr").rows[0] == n


def test_every_format_and_layout_gives_the_same_counts(tmp_path, rng):
    import h5py
    import zarr

    x = cases.rows("half", 1003, 12, rng)
    expected = srmfast.run(x, "standard", epsilon=(0.4, 0.7), angles=24)
    np.save(tmp_path / "c.npy", x)
    np.save(tmp_path / "f.npy", np.asfortranarray(x))
    np.save(tmp_path / "big-endian.npy", x.astype(">f2"))
    np.savez(tmp_path / "stored.npz", a=x)
    np.savez_compressed(tmp_path / "deflated.npz", a=x)
    np.save(tmp_path / "turned.npy", x.T)
    with h5py.File(tmp_path / "h.h5", "w") as file:
        file.create_dataset("acts/layer", data=x, chunks=(100, 12), compression="gzip")
        file["whole"] = x
    zarr.create_array(str(tmp_path / "v2.zarr"), data=x, chunks=(64, 12), zarr_format=2)
    zarr.create_array(str(tmp_path / "v3.zarr"), data=x, chunks=(10, 12), shards=(200, 12))
    (tmp_path / "parts").mkdir()
    for part, low in enumerate(range(0, 1003, 100)):
        np.save(tmp_path / "parts" / f"part-{part}.npy", x[low : low + 100])
    for name, options in {
        "c.npy": {}, "f.npy": {}, "big-endian.npy": {}, "stored.npz": {}, "deflated.npz::a": {}, "h.h5::acts/layer": {},
        "h.h5::whole": {}, "v2.zarr": {}, "v3.zarr": {}, "parts": {}, "turned.npy": {"feature_axis": 0},
    }.items():  # fmt: skip
        for threads, block in ((1, None), (4, 7)):
            got = srmfast.run(
                str(tmp_path / name),
                "standard",
                epsilon=(0.4, 0.7),
                angles=24,
                threads=threads,
                block_rows=block,
                **options,
            )
            assert (got.counts == expected.counts).all() and (got.fold_total == expected.fold_total).all(), name
            assert got.offset == expected.offset


# ---- contracts around the counts -------------------------------------------------------------------


def test_a_column_of_negative_zeros_does_not_tell_how_blocks_were_cut(rng):
    x = rng.normal(size=(64, 8))
    x[:, 0] = -0.0
    mask = np.arange(64) >= 16
    digests = {
        srmfast.run(x, "standard", epsilon=0.5, angles=8, mask=mask, centre=True, block_rows=rows).attrs["spec_digest"]
        for rows in (1, 16, 64)
    }
    assert len(digests) == 1


def test_the_suggested_epsilon_does_not_depend_on_resources(rng):
    x = rng.normal(size=(5000, 300)).astype(np.float32)
    x[2500:, 0] += 30
    found = {
        srmfast.run(x, "standard", epsilon=0.99999, angles=8, block_rows=rows, memory=256 << 20).attrs[
            "suggested_epsilon"
        ]
        for rows in (16, 256, 4096)
    }
    assert len(found) == 1


def test_overlapping_runs_give_blas_its_threads_back(rng):
    from threadpoolctl import threadpool_info, threadpool_limits

    from srmfast.engine.loop import _ONE_BLAS_THREAD

    def threads():
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    with threadpool_limits(2, user_api="blas"):
        before = threads()
        assert 2 in before
        _ONE_BLAS_THREAD.__enter__()
        _ONE_BLAS_THREAD.__enter__()
        _ONE_BLAS_THREAD.__exit__()
        assert 1 in threads()
        _ONE_BLAS_THREAD.__exit__()
        assert threads() == before


def test_progress_counts_the_rows_that_are_read(rng):
    seen = []
    result = srmfast.run(rng.normal(size=(3000, 8)), "standard", epsilon=0.5, angles=8, sample=10, on_event=seen.append)
    started = next(event for event in seen if isinstance(event, events.PassStarted))
    done = [event for event in seen if isinstance(event, events.BlockDone)]
    assert started.rows == sum(event.rows for event in done)
    assert started.nbytes == sum(event.nbytes for event in done) == result.attrs["provenance"]["bytes_read"]


def test_numpy_integers_and_lists_are_what_they_look_like(rng):
    x = rng.normal(size=(50, 4))
    result = srmfast.run(
        x, "standard", epsilon=0.5, angles=np.int64(8), seed=np.int64(3), planes=[[0, 1], [1, 2]], sample=np.int64(20)
    )
    assert result.planes_total == 2 and result.attrs["spec"]["seed"] == 3
    for planes in (np.array([["a", "b"]]), [[0.5, 1]]):
        with pytest.raises(srmfast.InputError, match="whole-number pairs"):
            srmfast.run(x, "standard", planes=planes)
    with pytest.raises(srmfast.InputError, match="whole numbers"):
        srmfast.run(x, "standard", rows=slice(1.5, None))


def test_labels_of_other_names_are_another_spec(rng):
    x, codes = rng.normal(size=(40, 4)), rng.integers(0, 2, 40)
    one, two = (
        srmfast.run(x, "standard", epsilon=0.5, angles=8, labels=np.array(names)[codes])
        for names in (["cat", "dog"], ["yes", "zoo"])
    )
    assert one.attrs["spec_digest"] != two.attrs["spec_digest"]
    mixed = srmfast.run(x, "standard", epsilon=0.5, angles=8, labels=np.array(["unlabelled", ""])[codes])
    assert mixed.label.tolist() == ["unlabelled"]


def test_stores_that_a_run_opens_are_closed_again(tmp_path, rng, monkeypatch):
    closed = []
    monkeypatch.setattr(srmfast.stores.Store, "close", lambda self: closed.append(self.location))
    np.save(tmp_path / "x.npy", rng.normal(size=(20, 4)))
    srmfast.run(str(tmp_path / "x.npy"), "standard", epsilon=0.5, angles=8)
    assert len(closed) == 1
    with srmfast.open_store(rng.normal(size=(20, 4))) as mine:
        srmfast.run(mine, "standard", epsilon=0.5, angles=8)
        assert len(closed) == 1


def test_an_epsilon_that_hits_every_plane_is_refused_early_when_they_do_not_fit(rng):
    with pytest.raises(srmfast.InputError, match="epsilon <= 0 every plane is hit"):
        srmfast.run(rng.normal(size=(20, 400)), "standard", epsilon=0.0, keep="hit", memory=256 << 20)


def test_bases_share_the_memory_of_planes():
    four = [plan.BasisSize(64, 4032, 0, 0)] * 4
    assert make(2 << 30, bases=four, a=2000).modes == ("dense", "dense", "dense", "dense")
    assert make(1 << 30, bases=four, a=2000).modes == ("dense", "dense", "dense", "hits")
    assert make(1 << 30, bases=four, a=2000).nbytes <= 1 << 30


def test_count_rows_refuses_pairs_that_span_no_plane():
    from srmfast.engine import count_rows

    basis = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    with pytest.raises(srmfast.InputError, match="1 of 2 are parallel"):
        count_rows(np.eye(2), basis, [[0, 1], [0, 2]], 0.9, 4)


@pytest.mark.parametrize("keep", ["auto", "all", "hit", "top:3", "summary"])
def test_every_rule_for_planes_can_be_saved_shown_and_drawn(keep, tmp_path, rng):
    result = srmfast.run(rng.normal(size=(300, 8)), "standard", epsilon=(0.5, 0.7), angles=24, keep=keep)
    result.save(tmp_path / "o.zarr")
    back = srmfast.load(tmp_path / "o.zarr")
    assert "rows" in back.summary()
    back.plot(tmp_path / "o.png", epsilon=0.5)
    assert (tmp_path / "o.png").stat().st_size > 1000


def test_a_linked_result_is_replaced_where_it_lies(tmp_path, rng):
    result = srmfast.run(rng.normal(size=(30, 4)), "standard", epsilon=0.5, angles=8)
    result.save(tmp_path / "real.zarr")
    (tmp_path / "link.zarr").symlink_to(tmp_path / "real.zarr")
    result.save(tmp_path / "link.zarr", force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.zarr", "real.zarr"]
    assert (tmp_path / "link.zarr").is_symlink() and (
        srmfast.load(tmp_path / "real.zarr").counts == result.counts
    ).all()


def test_rows_whose_squares_underflow_pass_the_screen(rng):
    x = rng.normal(size=(40, 512)) * 1.5e-162
    x[:, 7] *= 40
    result = srmfast.run(x, "standard", epsilon=(0.9, 0.99), angles=24, planes="random:200", keep="all")
    assert (result.counts[0] == cases.reference(x, result)).all() and result.total.any()


@pytest.mark.timeout(60)
def test_an_interrupt_does_not_wait_for_reads_that_never_begin(monkeypatch):
    """A read that is cancelled before it begins is done, but nobody is ever told."""
    x, begun = np.broadcast_to(np.float32(1), (40_000_000, 8)), []
    source = srmfast.open_store(x)

    def slow(start, stop):
        begun.append(start)
        time.sleep(0.2)
        return x[start:stop]

    def interrupt(event):
        if isinstance(event, events.KernelsReady):
            raise KeyboardInterrupt

    monkeypatch.setattr(source, "read", slow)
    monkeypatch.setattr(source, "reads", lambda *_: [(row, row + 100) for row in range(0, 4_000, 100)])
    monkeypatch.setattr(source, "readers", 1)
    with pytest.raises(KeyboardInterrupt):
        srmfast.run(source, "standard", epsilon=0.5, angles=8, threads=2, on_event=interrupt)
    assert 0 < len(begun) < 20
