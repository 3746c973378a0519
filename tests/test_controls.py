"""Rows as stored and centred side by side, and control bases: the results are those of runs of their own."""

import dataclasses

import numpy as np
import pytest

import srmfast
from srmfast.analyses.verification import reproduce, verify
from srmfast.bases import load_basis
from srmfast.controls import controls_of
from srmfast.engine import Request, checkpoint, count_part, merge, plan, prepare
from srmfast.engine.events import BlockDone, PassStarted
from srmfast.opposites import opposites
from srmfast.results import Results
from srmfast.spec import Resources

N, D = 600, 12
WAYS = {
    "dense": dict(labels=np.arange(N) % 3, groups=np.arange(N) // 7),
    "tested": dict(null=39, epsilon=0.6),
    "highest": dict(keep="top:3"),
    "chosen": dict(planes="active:9"),
    "long": dict(max_norm=1.05, mask=np.arange(N) % 5 > 0),
    "zeros": dict(zero_rows="keep", epsilon=(-0.2, 0.5), keep="summary"),
}


@pytest.fixture(autouse=True)
def small_slabs(monkeypatch):
    monkeypatch.setattr(plan, "_SLAB", 1 << 12)


@pytest.fixture
def rows(rng):
    x = (rng.normal(size=(N, D)) + 0.5).astype(np.float32)
    x[17] = 0.0
    return x


def run(rows, *, basis="random:12", **more):
    return srmfast.run(rows, basis, **dict(epsilon=(0.3, 0.6), angles=24, block_rows=32) | more)


def same(a, b):
    for field in dataclasses.fields(a):
        mine, theirs = getattr(a, field.name), getattr(b, field.name)
        if field.name != "attrs":
            assert (mine is None and theirs is None) or np.array_equal(mine, theirs), field.name
    for name in (a.attrs.keys() | b.attrs.keys()) - {"provenance", "store_name", "spec_digest"}:
        assert a.attrs[name] == b.attrs[name], name
    assert a.attrs["spec_digest"] == b.attrs["spec_digest"]


def killer(after):
    """An `on_event` that ends the run after so many blocks."""
    left = [after]

    def on_event(event):
        if isinstance(event, BlockDone):
            left[0] -= 1
            if left[0] < 0:
                raise InterruptedError

    return on_event


# ---- raw and centred -------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_both_treatments_are_those_of_two_runs(rows, way, threads):
    both = run(rows, centre="both", threads=threads, **WAYS[way])
    assert list(both) == [("array", "random:12"), ("array-centred", "random:12")]
    for result, centre in zip(both.values(), (False, True), strict=True):
        same(result, run(rows, centre=centre, **WAYS[way]))


@pytest.mark.parametrize("name", ["x.npy", "x.npz::acts", "x.zarr"])
def test_a_store_is_read_as_often_as_for_centring_alone(tmp_path, rows, name):
    import zarr

    np.save(tmp_path / "x.npy", rows)
    np.savez(tmp_path / "x.npz", acts=rows)
    zarr.save_array(str(tmp_path / "x.zarr"), rows)
    path, mean = str(tmp_path / name), str(tmp_path / "mean.npy")
    np.save(mean, np.full(D, 0.25))

    def read(**options):
        events = []
        found = run(path, on_event=events.append, **options)
        passes = [event for event in events if isinstance(event, PassStarted)]
        return found, sum(event.rows for event in passes), [event.purpose for event in passes]

    both, seen, purposes = read(centre="both")
    centred, once, _ = read(centre=True)
    assert seen == once == 2 * N and purposes == ["count", "count"]
    same(list(both.values())[1], centred)
    given, seen, _ = read(centre=f"both:{mean}")
    assert seen == 2 * N
    same(list(given.values())[1], read(centre=mean)[0])


def test_both_survive_a_kill_at_every_block(tmp_path, rows, monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY", 1e-9)
    monkeypatch.setattr(checkpoint, "_SHARE", 1e9)
    monkeypatch.setattr(checkpoint.os, "fsync", lambda descriptor: None)
    alone, kills = run(rows, centre="both", controls=True, labels=np.arange(N) % 3), 0
    while True:
        try:
            found = run(
                rows, centre="both", controls=True, labels=np.arange(N) % 3, checkpoint=tmp_path / "ck",
                threads=1 + kills % 3, on_event=killer(2),
            )  # fmt: skip
            break
        except InterruptedError:
            kills += 1
    assert kills > 3 and list(found) == list(alone) and len(found) == 6
    for mine, theirs in zip(found.values(), alone.values(), strict=True):
        same(mine, theirs)


def test_shards_of_both_merge_to_the_whole(tmp_path, rows):
    np.save(tmp_path / "m.npy", rows.mean(axis=0, dtype=np.float64))
    request = Request(epsilon=0.4, angles=24, centre=f"both:{tmp_path / 'm.npy'}", controls=True, null=39)
    paths = []
    for number in (1, 2, 3):
        how = Resources(number, 1 << 30, 32)
        members = prepare([("x", rows)], [("own", "random:12")], request, how)
        paths.append(tmp_path / f"{number}.part")
        count_part(members, request, how, (number, 3), paths[-1])
    found = merge(paths)
    whole = srmfast.run_many({"x": rows}, {"own": "random:12"}, request)
    assert list(found) == list(whole) and len(found) == 6
    for mine, theirs in zip(found.values(), whole.values(), strict=True):
        same(mine, theirs)


def test_each_is_verified_and_done_again(rows):
    for result in run(rows, centre="both", controls=True).values():
        checked = verify(result, rows, resources=Resources(2, 1 << 30, 64))
        assert checked.holds and len(checked.checks) == 3, str(checked)
        same(reproduce(result, rows, resources=Resources(2, 1 << 30, 64)), result)


def test_the_command_writes_and_compares_both(tmp_path, rows, srmfast_main, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", rows + 2)
    words = "run x.npy --basis own=random:12 --controls --epsilon 0.5 --angles 24 --progress none --centre both"
    ended = srmfast_main(f"{words} --dry-run")
    assert "x-centred: the same rows in one more reading, with their mean subtracted (found while" in ended.stdout
    ended = srmfast_main(f"{words} -o o.zarr")
    assert ended.rc == 0 and "centre  x, own, ε = " in ended.stdout and "with the mean subtracted" in ended.stdout
    assert "what shows as stored and not centred is a picture of the mean" in ended.stdout
    assert "control x, own, ε = " in ended.stdout and max(map(len, ended.stdout.split("\n"))) <= 100
    loaded = srmfast.load("o.zarr")
    names = {(store, basis) for store in ("x", "x-centred") for basis in ("own", "own-random", "standard")}
    assert set(loaded) == names
    assert srmfast_main(f"{words} -o p.zarr").rc == 0
    ended = srmfast_main("diff o.zarr p.zarr")
    assert ended.rc == 0, ended
    assert srmfast_main("verify o.zarr x.npy").rc == 0
    ended = srmfast_main(f"{words} --shard 1/2 -o 1.part")
    assert ended.rc == 1 and "give every shard --centre both:mean.npy" in ended.stderr
    for command in ("project", "neurons"):
        ended = srmfast_main(f"{command} x.npy --epsilon 0.5 --centre both -o q.zarr")
        assert ended.rc == 1 and "as stored or of the centred ones" in ended.stderr
    ended = srmfast_main("run x.npy --centre both: -o r.zarr")
    assert ended.rc == 1 and "names the file of the mean, got none" in ended.stderr


def test_the_warning_is_of_rows_off_the_origin_only(rng):
    x = rng.normal(size=(400, 6))
    assert "a picture of the mean" not in run(x - x.mean(axis=0), basis="standard", centre="both").summary()
    assert "a picture of the mean" in run(x + 3, basis="standard", centre="both").summary()


# ---- control bases ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [5, 12, 30])
def test_a_control_has_the_size_and_the_kind_of_its_basis(rng, k):
    plain = load_basis(rng.normal(size=(k, 12)), 12, name="b")
    (control,) = controls_of(plain, orthogonal=False, seed=3)
    assert control.name == "b-random" and control.vectors.shape == (k, 12) and control.kind == "random"
    assert np.allclose((control.vectors**2).sum(axis=1), 1)
    if k <= 12:
        assert np.allclose(control.vectors @ control.vectors.T, np.eye(k), atol=1e-12)
    (again,) = controls_of(plain, orthogonal=False, seed=3)
    (other,) = controls_of(plain, orthogonal=False, seed=4)
    assert again.sha256 == control.sha256 != other.sha256
    shuffled = np.concatenate([plain.vectors, -plain.vectors])[rng.permutation(2 * k)]
    (control,) = controls_of(load_basis(shuffled, 12), orthogonal=False)
    assert np.array_equal(opposites(control.vectors), opposites(shuffled)) and (opposites(shuffled) >= 0).all()
    nearly = load_basis(shuffled * (1 + 1e-13 * rng.normal(size=shuffled.shape)), 12)  # as arithmetic leaves it
    assert np.array_equal(opposites(controls_of(nearly, orthogonal=False)[0].vectors), opposites(shuffled))


def test_a_rotation_has_the_neurons_beside_it(rng):
    q = srmfast.bases.random_frame(6, 6, rng)
    for vectors, name in ((q, "standard"), (np.concatenate([q, -q]), "plusminus")):
        found = controls_of(load_basis(vectors, 6), orthogonal=True)
        assert [one.name for one in found] == ["basis-random", name]
    assert len(controls_of(load_basis(q[:4], 6), orthogonal=True)) == 1
    assert len(controls_of(load_basis("standard", 6), orthogonal=True)) == 1


def test_controls_are_counted_in_the_same_reading_as_bases_of_their_own(rows, rng):
    q, events = srmfast.bases.random_frame(D, D, rng), []
    found = run(rows, basis=q, controls=True, planes="combinations", on_event=events.append)
    assert [basis for _, basis in found] == ["basis", "basis-random", "standard"]
    assert sum(isinstance(event, PassStarted) for event in events) == 1
    same(found["array", "basis"], run(rows, basis=q, planes="combinations"))
    control = found["array", "basis-random"]
    given = run(rows, basis=control.basis, planes="combinations")
    assert np.array_equal(control.counts, given.counts)
    same(found["array", "standard"], run(rows, basis="standard", planes="combinations"))


def test_a_basis_that_is_given_is_no_control_of_another(rows):
    found = srmfast.run_many({"": rows}, {"q": "random:12", "": "standard"}, Request(controls=True, angles=12))
    assert [basis for _, basis in found] == ["q", "q-random", "standard", "standard-random"]
    assert isinstance(found, Results)
    text = found.summary()
    assert "control array, q, ε = " in text and "q-random" in text


def test_a_control_leaves_its_name_to_a_basis_that_is_given(rows, rng):
    turned, other = (srmfast.bases.random_frame(D, D, rng) for _ in range(2))
    found = srmfast.run_many({"": rows}, {"q": turned, "standard": other}, Request(controls=True, angles=12))
    assert [basis for _, basis in found] == ["q", "q-random", "standard", "standard-random"]
    assert np.array_equal(found["array", "standard"].basis, other)
