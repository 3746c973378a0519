"""Killed at any moment and gone on with any number of times, a run has the counts of one left alone."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile

import numpy as np
import pytest

import srmfast
from srmfast import interrupts
from srmfast.engine import Checkpoint, Request, checkpoint, execute, find_mean, plan, prepare
from srmfast.engine.events import BlockDone, CheckpointLost, CheckpointUnwritten, PlanesOutgrown, ReadingResumed
from srmfast.engine.tallyfile import TallyFile
from srmfast.spec import Resources

ARRAYS = ("counts", "total", "fold_total", "rows_used", "plane_i", "plane_j", "norm", "norm_rows")
WAYS = {
    "dense": {},
    "centred": dict(centre=True),
    "hits": dict(keep="hit"),
    "summary": dict(keep="summary", epsilon=(-0.3, 0.5)),
    "active": dict(planes="active:9"),
    "listed": dict(planes="random:50", rows="5:590:2", groups=np.arange(600) // 3),
    "sampled": dict(sample=50, seed=4),
    "long": dict(max_norm=1.05, centre=True),
}


class Killed(Exception):
    """Stands for the end of a process."""


@pytest.fixture(autouse=True)
def always_due(monkeypatch):
    """A state is saved after every slab of a few rows."""
    monkeypatch.setattr(checkpoint, "EVERY", 1e-9)
    monkeypatch.setattr(checkpoint, "_SHARE", 1e9)
    monkeypatch.setattr(plan, "_SLAB", 1 << 12)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # no power is lost here


@pytest.fixture
def rows(rng):
    x = (rng.normal(size=(600, 20)) + 0.3).astype(np.float32)
    x[17] = 0.0
    return x


def run(rows, folder, way, **more):
    options = dict(epsilon=(0.3, 0.6), angles=24, labels=np.arange(600) % 3, block_rows=32) | WAYS[way] | more
    return srmfast.run(rows, "random:20", checkpoint=folder, **options)


def same(a, b):
    for name in ARRAYS:
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert a.attrs["rows"] == b.attrs["rows"] and a.attrs["spec"] == b.attrs["spec"] and a.offset == b.offset
    assert a.attrs["provenance"]["arcs"] == b.attrs["provenance"]["arcs"]


def killer(after, events=None):
    """An `on_event` that notes events and ends the run after so many blocks of all its readings."""
    left = [after]

    def on_event(event):
        if events is not None:
            events.append(event)
        if isinstance(event, BlockDone):
            left[0] -= 1
            if left[0] < 0:
                raise Killed

    return on_event


@pytest.mark.parametrize("way", WAYS)
def test_a_run_killed_at_every_block_goes_on_and_counts_the_same(tmp_path, rows, way, monkeypatch):
    if way == "hits":
        monkeypatch.setattr(plan, "_DENSE_SHARE", 1e-9)
    alone = run(rows, None, way)
    resources = [dict(threads=t, block_rows=b) for t, b in ((1, 64), (2, 7), (4, 16), (7, 33))]
    kills, resumed = 0, 0
    for turn in range(200):
        events = []
        try:
            result = run(rows, tmp_path / "ck", way, **resources[turn % 4], on_event=killer(1, events))
            break
        except Killed:
            kills += 1
        resumed += any(isinstance(event, ReadingResumed) for event in events)
    assert kills > 3 and resumed > 3
    same(result, alone)
    again = []
    same(run(rows, tmp_path / "ck", way, on_event=again.append), alone)
    assert not any(isinstance(event, BlockDone) for event in again)  # all of it was kept


def test_the_highest_planes_survive_a_kill_in_each_of_their_three_readings(tmp_path, rng, monkeypatch):
    x = rng.normal(size=(500, 40))
    for place, pair in enumerate(((3, 5), (7, 11), (2, 1))):  # planes that some rows lie in, more than in any other
        x[place * 90 : (place + 1) * 90, list(pair)] += [30.0, 20.0]
    options = dict(epsilon=(0.6, 0.4), angles=60, keep="top:1", labels=np.arange(500) % 2)
    whole = srmfast.run(x, "standard", **options)
    monkeypatch.setattr(plan, "_DENSE_SHARE", 1e-9)
    monkeypatch.setattr(sys.modules["srmfast.engine.passes"], "HIT_SHARE", 600 * 4 * 4 * 61 / (256 << 20))
    kills, events = 0, []
    while True:
        kill = killer(3, events)
        try:
            found = srmfast.run(
                x,
                "standard",
                checkpoint=tmp_path / "ck",
                memory=256 << 20,
                threads=1,
                block_rows=16,
                **options,
                on_event=kill,
            )
            break
        except Killed:
            kills += 1
    assert kills > 4 and any(isinstance(event, PlanesOutgrown) for event in events)
    assert np.array_equal(found.counts, whole.counts) and np.array_equal(found.total, whole.total)


@pytest.mark.parametrize(
    "change, field",
    [
        (dict(epsilon=0.5), "epsilon"),
        (dict(angles=12), "angles"),
        (dict(keep="summary"), "keep"),
        (dict(planes="combinations"), "planes"),
        (dict(labels=None), "labels"),
        (dict(centre=True), "centre_hash"),
        (dict(mask=np.arange(600) % 2 == 0), "mask"),
        (dict(sample=7), "sample"),
        (dict(zero_rows="keep"), "zero_rows"),
    ],
)
def test_another_run_is_refused_with_what_differs(tmp_path, rows, change, field):
    with pytest.raises(Killed):
        run(rows, tmp_path, "dense", on_event=killer(2))
    with pytest.raises(srmfast.InputError, match=rf"the run in .* is another one: .*{field}.* there and .* here"):
        run(rows, tmp_path, "dense", **change)
    other = rows.copy()
    other[0, 0] += 1
    with pytest.raises(srmfast.InputError, match=r"store\.slices is \w+… there"):
        run(other, tmp_path, "dense")


def test_a_damaged_state_is_counted_again(tmp_path, rows):
    alone = run(rows, None, "dense")
    with pytest.raises(Killed):
        run(rows, tmp_path, "dense", on_event=killer(3))
    (state,) = tmp_path.glob("*.tally")
    whole = state.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:200] + b"\xff" + whole[201:], b"", b"PK\x05\x06" + b"\0" * 18):
        state.write_bytes(damaged)
        events = []
        same(run(rows, tmp_path, "dense", on_event=events.append), alone)
        assert [type(event) for event in events if "Checkpoint" in type(event).__name__] == [CheckpointLost]


def test_a_torn_note_of_the_run_is_one_line(tmp_path, rows):
    with pytest.raises(Killed):
        run(rows, tmp_path, "dense", on_event=killer(3))
    for text in ("", "[]", "{", '"x"', "[" * 100_000):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(srmfast.InputError, match="is damaged|is another one"):
            run(rows, tmp_path, "dense")


def test_a_full_disk_stops_no_run(tmp_path, rows, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write", full)
    events = []
    same(run(rows, tmp_path, "dense", on_event=events.append), run(rows, None, "dense"))
    problems = [event.why for event in events if isinstance(event, CheckpointUnwritten)]
    assert problems and "No space left on device" in problems[0]
    assert not [path for path in tmp_path.iterdir() if "wip" in path.name]


def test_a_folder_serves_one_run_at_a_time(tmp_path, rows):
    with Checkpoint(tmp_path), pytest.raises(srmfast.InputError, match=rf"is in use by process {os.getpid()} on "):
        Checkpoint(tmp_path)
    Checkpoint(tmp_path).close()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(srmfast.InputError, match="must be empty or hold a run, but .* holds thesis.txt"):
        Checkpoint(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(srmfast.InputError, match="checkpoint folder must be writable"):
        Checkpoint(tmp_path / "file")
    for every in (0, -1, float("nan"), float("inf")):
        with pytest.raises(srmfast.InputError, match="seconds between checkpoints must be above 0"):
            Checkpoint(tmp_path / "new", every=every)


def test_a_state_holds_plain_arrays_only(tmp_path, rows):
    with pytest.raises(Killed):
        run(rows, tmp_path, "dense", on_event=killer(3))
    (state,) = tmp_path.glob("*.tally")
    with zipfile.ZipFile(state) as archive:
        for info in archive.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            if info.filename.endswith(".json"):
                json.loads(archive.read(info))
            else:
                np.lib.format.read_array(archive.open(info), allow_pickle=False)
    with TallyFile(state) as file:
        tally = file.tally()
        assert tally.intervals[0][0] == 0 and tally.rows.seen == tally.intervals[0][1]


def test_an_interrupt_waits_until_the_state_is_saved():
    with pytest.raises(KeyboardInterrupt), interrupts.deferred() as asked:
        assert not asked() and interrupts.postpone() and asked()
        assert not interrupts.postpone()  # the second one does not wait
    assert not interrupts.postpone()


def test_ctrl_c_waits_without_a_command_too_and_the_handlers_of_programs_stay():
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a console, or the cell of a notebook
        with pytest.raises(KeyboardInterrupt), interrupts.deferred() as asked:
            signal.raise_signal(signal.SIGINT)
            assert asked()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        heard = []
        signal.signal(signal.SIGINT, lambda *_: heard.append(1))
        with interrupts.deferred() as asked:
            signal.raise_signal(signal.SIGINT)
            assert heard and not asked()
    finally:
        signal.signal(signal.SIGINT, before)


# ---- commands --------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path, rng):
    np.save(tmp_path / "x.npy", (rng.normal(size=(300_000, 32)) + 0.2).astype(np.float32))
    return tmp_path


COMMAND = "run x.npy --epsilon 0.3 --angles 24 --threads 1 --progress none"


@pytest.fixture
def begin(start, store, srmfast_env):
    """`begin("run x.npy …")` starts a process beside the store."""

    def call(words):
        return start(
            [sys.executable, "-m", "srmfast", *words.split()], env=srmfast_env, cwd=store, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    return call


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def stopped(store, begin, delay):
    """Start a run and end it by SIGTERM; return its exit code and what it said."""
    process = begin(f"{COMMAND} --checkpoint ck --resume -o o.zarr")  # a checkpoint would come after 10 s
    wait_for(lambda: (store / "ck" / "run.json").exists() or process.poll() is not None)
    time.sleep(delay)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    return process.returncode, said


def test_sigterm_writes_a_last_checkpoint_and_resume_goes_on(store, begin):
    whole = srmfast.run(store / "x.npy", epsilon=0.3, angles=24)
    for delay in (0.3, 0.6, 1.2, 2.4):
        rc, said = stopped(store, begin, delay)
        if "nothing half-written is left" not in said:  # else it came before the first row: nothing was there to save
            break
    if rc == 0:
        pytest.skip("the machine was faster than the signal")
    assert rc == 130 and "what was counted is in ck, go on with --resume" in said
    assert list((store / "ck").glob("0-count-*.tally")) and not (store / "o.zarr").exists()
    again = begin(f"{COMMAND} --checkpoint ck -o o.zarr")
    assert "holds an unfinished run; go on with it by --resume" in again.communicate(timeout=60)[1]
    last = begin(f"{COMMAND.replace('none', 'plain')} --checkpoint ck --resume -o o.zarr")
    assert "going on after" in last.communicate(timeout=60)[1] and last.returncode == 0
    assert np.array_equal(srmfast.load(store / "o.zarr").counts, whole.counts)
    assert not (store / "ck").exists()


def test_a_finished_run_that_is_resumed_says_so(tmp_path, rows, srmfast_main, monkeypatch):
    np.save(tmp_path / "x.npy", rows)
    monkeypatch.chdir(tmp_path)
    words = "run x.npy --angles 24 --progress none --checkpoint ck --resume"
    assert srmfast_main(f"{words} -o o.zarr").rc == 0 and not (tmp_path / "ck").exists()
    before = (tmp_path / "o.zarr" / ".zattrs").stat().st_mtime_ns
    ended = srmfast_main(f"{words} -o o.zarr")
    assert ended.rc == 0 and "was written before" in ended.stdout
    assert (tmp_path / "o.zarr" / ".zattrs").stat().st_mtime_ns == before and not (tmp_path / "ck").exists()
    ended = srmfast_main(f"{words} --epsilon 0.5 -o o.zarr")
    assert ended.rc == 1 and "is of another run: x.standard.epsilon is [0.9] there and [0.5] here" in ended.stderr
    ended = srmfast_main("run x.npy --resume -o p.zarr")
    assert ended.rc == 1 and "name it by --checkpoint DIR" in ended.stderr
    assert srmfast_main(f"{words} --epsilon 0.5 --force -o o.zarr").rc == 0


def test_states_are_written_while_other_threads_go_on(tmp_path, rows):
    names = set()
    run(rows, tmp_path / "ck", "dense", on_event=lambda event: names.add(threading.current_thread().name))
    assert names == {"MainThread"}


# ---- whose state it is -----------------------------------------------------------------------------------


@pytest.fixture
def two(tmp_path, rng, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, shift in (("a", 0.2), ("b", -0.9)):
        np.save(f"{name}.npy", (rng.normal(size=(600, 20)) + shift).astype(np.float32))
    return tmp_path


def test_states_are_not_mixed_up_by_the_order_of_stores_or_bases(two, srmfast_main):
    words = "run {} --epsilon 0.3 --angles 24 --progress none --basis {} --basis {} --checkpoint ck"
    done = srmfast_main((words + " -o o.zarr").format("a.npy b.npy", "standard", "random:20"))
    assert done.rc == 0
    with pytest.raises(Killed), Checkpoint("ck") as folder:
        request, how = Request(epsilon=0.3, angles=24), Resources(1, 1 << 30, 32)
        members = prepare([("", "a.npy"), ("", "b.npy")], [("", "standard"), ("", "random:20")], request, how)
        execute(members, request, how, checkpoint=folder, on_event=killer(25))
    for stores, *bases in (("b.npy a.npy", "standard", "random:20"), ("a.npy b.npy", "random:20", "standard")):
        ended = srmfast_main((words + " --resume -o p.zarr").format(stores, *bases))
        assert ended.rc == 1 and "the order of stores and bases is" in ended.stderr
    ended = srmfast_main((words + " --resume -o p.zarr").format("a.npy b.npy", "standard", "random:20"))
    assert ended.rc == 0
    whole, found = srmfast.load("o.zarr"), srmfast.load("p.zarr")
    assert all(np.array_equal(whole[key].counts, found[key].counts) for key in whole)


def test_a_mean_goes_on_with_the_same_rows_only(two, srmfast_main):
    words = "mean a.npy --checkpoint ck --resume --progress none -o m.npy"
    with pytest.raises(Killed), Checkpoint("ck") as folder:
        request, how = Request(centre=True), Resources(1, 1 << 30, 32)
        (member,) = prepare([("", "a.npy")], [], request, how)
        find_mean(member, request, how, checkpoint=folder, on_event=killer(5))
    np.save("mask.npy", np.arange(600) % 2 == 0)
    for other in ("--rows 0:50", "--mask mask.npy", "--zero-rows keep", "--max-norm abs:4"):
        ended = srmfast_main(f"{words} {other}")
        assert ended.rc == 1 and "is another one: a.rows." in ended.stderr, other
    np.save("c.npy", np.load("a.npy"))
    (two / "a.npy").unlink()
    np.save("a.npy", np.load("b.npy"))
    assert "a.rows.store.slices is" in srmfast_main(words).stderr
    np.save("a.npy", np.load("c.npy"))
    assert srmfast_main(words).rc == 0 and not (two / "ck").exists()
    assert np.allclose(np.load("m.npy"), np.load("a.npy").mean(axis=0), atol=1e-6)
    assert srmfast_main(words).rc == 0  # killed after its last step, it finds what it has written
    assert "which is another mean; use --force" in srmfast_main(f"{words} --rows 0:50").stderr


def test_an_array_in_memory_is_compared_whole(tmp_path, rows):
    big = np.tile(rows, (20, 1))
    with pytest.raises(Killed):
        srmfast.run(big, epsilon=0.3, angles=24, checkpoint=tmp_path, block_rows=32, on_event=killer(3))
    big[7001, 3] += 1  # none of the 64 sampled rows
    with pytest.raises(srmfast.InputError, match=r"content\.array is"):
        srmfast.run(big, epsilon=0.3, angles=24, checkpoint=tmp_path)


def test_nothing_of_the_user_is_touched_before_a_folder_is_refused(tmp_path):
    for name in ("report.wip", "lock", "other.txt"):
        (tmp_path / name).write_text(name)
    with pytest.raises(srmfast.InputError, match="must be empty or hold a run"):
        Checkpoint(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "other.txt", "report.wip"]
    assert all(path.read_text() == path.name for path in tmp_path.iterdir())


def test_a_lock_that_was_taken_away_locks_nothing(tmp_path, monkeypatch):
    """A run that ends between another's opening and locking of the file leaves that one a file without a name."""
    real, left = checkpoint.fcntl.flock, [2]

    def flock(file, how):
        real(file, how)
        if left[0]:
            left[0] -= 1
            (tmp_path / "ck" / "srmfast.lock").unlink()

    monkeypatch.setattr(checkpoint.fcntl, "flock", flock)
    with Checkpoint(tmp_path / "ck"), pytest.raises(srmfast.InputError, match="is in use by process"):
        Checkpoint(tmp_path / "ck")
    assert left == [0]


def test_places_that_cannot_be_one(two, srmfast_main):
    for out, folder in (("x.zarr", "x.zarr"), ("x.zarr", "x.zarr/ck"), ("ck/x.zarr", "ck")):
        ended = srmfast_main(f"run a.npy --checkpoint {folder} -o {out}")
        assert ended.rc == 1 and "output and checkpoint must be different places" in ended.stderr
    assert sorted(path.name for path in two.iterdir()) == ["a.npy", "b.npy"]


def test_a_run_killed_before_its_picture_draws_it(two, srmfast_main):
    words = "run a.npy --epsilon 0.3 --angles 24 --progress none --checkpoint ck --resume -o o.zarr"
    assert srmfast_main(words).rc == 0
    ended = srmfast_main(f"{words} --plot o.png")
    assert ended.rc == 0 and "nothing is left to count\ndrawn to o.png" in ended.stdout and (two / "o.png").exists()


def test_less_memory_after_a_kill_falls_back_as_it_would_have_without(tmp_path, rng, monkeypatch):
    x = rng.normal(size=(500, 40))
    for place, pair in enumerate(((3, 5), (7, 11), (2, 1))):
        x[place * 90 : (place + 1) * 90, list(pair)] += [30.0, 20.0]
    options = dict(epsilon=(0.6, 0.4), angles=60, keep="top:1", block_rows=16, memory=256 << 20, threads=1)
    whole = srmfast.run(x, "standard", **options)
    monkeypatch.setattr(plan, "_DENSE_SHARE", 1e-9)
    with pytest.raises(Killed):
        srmfast.run(x, "standard", checkpoint=tmp_path, **options, on_event=killer(20))
    monkeypatch.setattr(sys.modules["srmfast.engine.passes"], "HIT_SHARE", 600 * 2 * 4 * 61 / (256 << 20))
    events = []
    found = srmfast.run(x, "standard", checkpoint=tmp_path, **options, on_event=events.append)
    assert any(isinstance(event, PlanesOutgrown) for event in events) and np.array_equal(found.counts, whole.counts)


def test_every_flipped_bit_at_the_end_of_a_state_is_a_reading_lost(tmp_path, rows):
    alone = run(rows, None, "dense")
    with pytest.raises(Killed):
        run(rows, tmp_path, "dense", on_event=killer(3))
    (state,) = tmp_path.glob("*.tally")
    whole = state.read_bytes()
    for bit in range(0, 22 * 8, 3):
        damaged = bytearray(whole)
        damaged[-22 + bit // 8] ^= 1 << bit % 8
        state.write_bytes(damaged)
        try:
            with TallyFile(state) as file:
                file.verify()
        except srmfast.InputError:
            continue
    state.write_bytes(whole[:-22] + bytes([*whole[-22:-6], 255, 255, 255, 255, 0, 0]))
    same(run(rows, tmp_path, "dense"), alone)
