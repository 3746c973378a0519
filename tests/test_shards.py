"""Counted in parts, on any machines, and merged, a run has the counts of one over all rows."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import srmfast
from srmfast.engine import Request, count_part, merge, plan, prepare
from srmfast.engine.shards import parse_shard, shard_rows
from srmfast.engine.tallyfile import TallyFile, write
from srmfast.spec import Resources
from srmfast.tally import PlaneTally, RowTally, TreeSums, gaps, merged

N, D = 500, 20
WAYS = {
    "dense": {},
    "several": dict(labels=np.arange(N) % 3, epsilon=(0.3, 0.6), groups=np.arange(N) // 7),
    "hits": dict(keep="hit"),
    "top": dict(keep="top:3"),
    "summary": dict(keep="summary", epsilon=-0.2),
    "listed": dict(planes="random:40", rows="3:480:2", mask=np.arange(N) % 5 > 0),
    "neighbours": dict(planes="neighbours"),
    "sampled": dict(sample=60, seed=4),
    "long": dict(max_norm="abs:4.8"),
    "centred": dict(centre=np.linspace(0, 0.5, D)),
    "zeros": dict(zero_rows="keep", epsilon=-0.2),
}


@pytest.fixture(autouse=True)
def small_slabs(monkeypatch):
    monkeypatch.setattr(plan, "_SLAB", 1 << 11)


@pytest.fixture
def rows(rng):
    x = (rng.normal(size=(N, D)) + 0.3).astype(np.float32)
    x[[17, 350]] = 0.0
    return x


def count_parts(x, basis, folder, count, resources=None, **options):
    """Count all parts of a run, each with resources of its own, and return their files."""
    request, paths = Request(**{"angles": 24, "epsilon": 0.3} | options), []
    for number in range(1, count + 1):
        how = resources or Resources(1 + number % 3, 1 << 30, (7, 64, 33)[number % 3])
        members = prepare([("x", x)], [("", basis)], request, how)
        paths.append(folder / f"{number}.part")
        count_part(members, request, how, (number, count), paths[-1])
    return paths


def same(a, b):
    for name in ("counts", "total", "fold_total", "rows_used", "plane_i", "plane_j", "plane_angle", "label", "basis"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    for name in ("rows", "spec", "mean_over_rms", "planes_hit", "planes_total", "kept", "suggested_epsilon", "centred"):
        assert a.attrs[name] == b.attrs[name], name
    assert a.attrs["provenance"]["arcs"] == b.attrs["provenance"]["arcs"]
    assert a.attrs["provenance"]["method"] == b.attrs["provenance"]["method"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("basis", ["standard", "random:30"])
def test_merged_parts_are_the_whole_run(tmp_path, rows, way, basis, monkeypatch):
    if way == "hits":
        monkeypatch.setattr(plan, "_DENSE_SHARE", 1e-9)
    options = {"angles": 24, "epsilon": 0.3} | WAYS[way]
    whole = srmfast.run_many({"x": rows}, {"": basis}, Request(**options))
    parts = count_parts(rows, basis, tmp_path, 3, **WAYS[way])
    same(merge(parts[::-1]), next(iter(whole.values())))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 10**13), st.integers(1, 5000))
def test_shards_cover_every_row_once(n, count):
    ranges = [shard_rows(n, (number, count)) for number in range(1, count + 1)]
    assert ranges[0][0] == 0 and ranges[-1][1] == n
    assert all(a[1] == b[0] for a, b in zip(ranges, ranges[1:], strict=False))
    sizes = [stop - start for start, stop in ranges]
    assert max(sizes) - min(sizes) <= 1


def test_a_wide_search_merges_too(tmp_path, rng):
    x = rng.normal(size=(300, 130)).astype(np.float16)
    x[:, 5] *= 8
    whole = srmfast.run_many({"x": x}, {"": "standard"}, Request(angles=24, epsilon=0.5))
    parts = count_parts(x, "standard", tmp_path, 4, epsilon=0.5)
    result = merge(parts)
    same(result, next(iter(whole.values())))
    assert result.attrs["provenance"]["method"] == "search"


def test_more_parts_than_rows_and_parts_without_a_usable_row(tmp_path, rng):
    x = rng.normal(size=(5, 4))
    x[0] = 0.0
    whole = srmfast.run_many({"x": x}, {"": "standard"}, Request(angles=24, epsilon=0.3))
    same(merge(count_parts(x, "standard", tmp_path, 9)), next(iter(whole.values())))


def test_nothing_hit_is_said_as_in_the_whole_run(tmp_path, rng):
    x = np.eye(40)[rng.integers(0, 40, 90)] + rng.normal(size=(90, 40))
    whole = srmfast.run_many({"x": x}, {"": "standard"}, Request(angles=24, epsilon=0.999))
    assert whole["x", "standard"].attrs["suggested_epsilon"] is not None
    same(merge(count_parts(x, "standard", tmp_path, 2, epsilon=0.999)), whole["x", "standard"])


def test_missing_repeated_and_foreign_parts_are_named(tmp_path, rows):
    one, two, three = count_parts(rows, "standard", tmp_path, 3)
    with pytest.raises(srmfast.InputError, match=r"all 3 parts are needed, but 2/3 is missing; run --shard 2/3"):
        merge([one, three])
    with pytest.raises(srmfast.InputError, match=r"3\.part is part 3/3 and .*3\.part is part 3/3; leave one out"):
        merge([one, two, three, three])
    (tmp_path / "other").mkdir()
    for change, field in (
        (dict(epsilon=0.4), r"x\.standard\.epsilon is \[0\.3\] in .*1\.part and \[0\.4\] in"),
        (dict(seed=3), r"x\.standard\.seed is 0 in"),
        (dict(labels=np.arange(N) % 2), r"x\.labels is \['all'\] in"),
    ):
        foreign = count_parts(rows, "standard", tmp_path / "other", 3, **change)[1]
        with pytest.raises(srmfast.InputError, match=rf"parts must be of one run, but .*: .*{field}"):
            merge([one, foreign, three])
    elsewhere = rows.copy()
    elsewhere[0, 3] += 1
    foreign = count_parts(elsewhere, "standard", tmp_path / "other", 3)[1]
    with pytest.raises(srmfast.InputError, match=r"x\.standard\.store\.slices is"):
        merge([one, foreign, three])
    two_parts = count_parts(rows, "standard", tmp_path / "other", 2)
    with pytest.raises(srmfast.InputError, match=r"is part 1/3 and .* is part 2/2"):
        merge([one, two_parts[1]])
    with pytest.raises(srmfast.InputError, match="at least one part is needed"):
        merge([])
    np.save(tmp_path / "x.npy", rows)
    for path in (tmp_path / "x.npy", tmp_path / "other"):
        with pytest.raises((srmfast.InputError, OSError)):
            merge([path])


def test_a_damaged_part_is_one_line(tmp_path, rows):
    (path,) = count_parts(rows, "random:5", tmp_path, 1)
    whole, rng = path.read_bytes(), np.random.default_rng(1)
    kept = merge([path])
    for _ in range(150):
        damaged = bytearray(whole)
        if rng.random() < 0.3:
            damaged = damaged[: rng.integers(0, len(whole))]
        else:
            for at in rng.integers(0, len(whole), rng.integers(1, 4)):
                damaged[at] ^= 1 << rng.integers(0, 8)
        path.write_bytes(damaged)
        try:
            result = merge([path])
        except srmfast.InputError:
            continue
        assert np.array_equal(result.counts, kept.counts)  # the flipped bit meant nothing: a date, a comment


def test_a_part_that_outgrows_the_memory_of_the_merge(tmp_path, rows, monkeypatch):
    parts = count_parts(rows, "standard", tmp_path, 2, keep="hit")
    monkeypatch.setattr(plan, "_DENSE_SHARE", 1e-9)
    monkeypatch.setattr(sys.modules["srmfast.engine.shards"], "HIT_SHARE", 1e-9)
    with pytest.raises(srmfast.InputError, match="must fit into an eighth of the memory"):
        merge(parts)


def test_counts_beyond_two_to_the_31(tmp_path, rows):
    """Parts of a store of 2³³ rows, whose tallies are those of small parts times 2²⁶."""
    times = 1 << 26
    paths = count_parts(rows[:128], "standard", tmp_path, 4)
    small = merge(paths)
    for path in paths:
        with TallyFile(path) as file:
            header, tally = file.header, file.tally()
            tally.intervals = [(start * times, stop * times) for start, stop in tally.intervals]
            tally.rows = RowTally(tally.rows.seen * times, tally.rows.fate * times)
            tally.planes = [
                PlaneTally(
                    one.totals * times, one.arcs * times,
                    [(numbers, values.astype(np.int64) * times) for numbers, values in one.pieces],
                )
                for one in tally.planes
            ]  # fmt: skip
            header["stores"][0]["n"] *= times
        columns = {
            name: np.arange(20) if name.endswith("columns") else np.ones(20) for name in ("0/0/columns", "0/0/signs")
        }
        write(path, header, [tally], columns)
    large = merge(paths)
    assert large.counts.max() > 1 << 31 and large.rows.sum() == 128 * times - times  # one zero row
    assert np.array_equal(large.counts, small.counts * times) and np.array_equal(large.total, small.total * times)


def test_what_needs_all_rows_is_refused_with_the_command_that_finds_it(tmp_path, rows, srmfast_main, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", rows)
    for words, said in (
        ("--shard 1/2 --centre", "srmfast mean STORE -o mean.npy"),
        ("--shard 1/2 --max-norm 2", "srmfast mean STORE --max-norm 2 -o mean.npy"),
        ("--shard 1/2 --planes active:9", "srmfast run STORE --planes active:9 -o chosen.zarr"),
        ("--shard 1/2 --basis thompson:9", "srmfast basis thompson --dim D --count 9 -o basis.npy"),
        ("--shard 0/2", "a shard is I/N with I from 1 to N, got '0/2'"),
        ("--shard 3/2", "got '3/2'"),
        ("--shard 1", "got '1'"),
    ):
        ended = srmfast_main(f"run x.npy {words} -o 1.part")
        assert ended.rc == 1 and said in ended.stderr and not (tmp_path / "1.part").exists()
    ended = srmfast_main("run x.npy --shard 1/2 -o one.zarr")
    assert ended.rc == 1 and "the name of a part must end in .part" in ended.stderr
    ended = srmfast_main("run x.npy --shard 1/2 -o 1.part --plot p.png")
    assert ended.rc == 1 and "merge the parts" in ended.stderr


def test_commands_from_mean_to_merge(tmp_path, rows, srmfast_main, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", rows)
    assert srmfast_main("mean x.npy -o mean.npy").rc == 0
    words = "run x.npy --epsilon 0.3 --angles 24 --progress none"
    assert srmfast_main(f"{words} --centre -o whole.zarr").rc == 0
    assert srmfast_main(f"{words} --planes active:12 -o chosen.zarr").rc == 0
    chosen = srmfast.load("chosen.zarr")
    for number in (1, 2):
        options = "--centre mean.npy" if number else ""
        assert srmfast_main(f"{words} {options} --shard {number}/2 -o {number}.part --checkpoint ck").rc == 0
        assert srmfast_main(f"{words} --planes chosen.zarr --shard {number}/2 -o c{number}.part").rc == 0
    ended = srmfast_main("merge 1.part 2.part -o merged.zarr")
    assert ended.rc == 0 and "written to merged.zarr" in ended.stdout
    merged_result, whole = srmfast.load("merged.zarr"), srmfast.load("whole.zarr")
    assert np.array_equal(merged_result.counts, whole.counts)
    assert merged_result.attrs["spec"] == whole.attrs["spec"] and merged_result.attrs["provenance"]["parts"] == 2
    assert srmfast_main("merge c1.part c2.part -o c.zarr").rc == 0
    assert np.array_equal(srmfast.load("c.zarr").counts, chosen.counts)
    ended = srmfast_main("merge 1.part -o again.zarr")
    assert ended.rc == 1 and "2/2 is missing" in ended.stderr and not (tmp_path / "again.zarr").exists()
    again = srmfast_main(f"{words} --centre mean.npy --shard 2/2 -o 2.part --checkpoint ck --resume")
    assert again.rc == 0 and "was written before" in again.stdout
    ended = srmfast_main(f"{words} --centre mean.npy --shard 1/2 -o 2.part --checkpoint ck --resume")
    assert ended.rc == 1 and "shard is [2, 2] there and [1, 2] here" in ended.stderr


def test_several_stores_and_bases_in_parts(tmp_path, rows, srmfast_main, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", rows)
    np.save("b.npy", rows[::-1] * 2)
    words = "run a.npy b.npy --basis standard --basis random:20 --epsilon 0.3 --angles 24 --progress none"
    assert srmfast_main(f"{words} -o whole.zarr").rc == 0
    for number in (1, 2, 3):
        assert srmfast_main(f"{words} --shard {number}/3 -o {number}.part").rc == 0
    assert srmfast_main("merge 3.part 2.part 1.part -o merged.zarr").rc == 0
    whole, found = srmfast.load("whole.zarr"), srmfast.load("merged.zarr")
    assert list(found) == list(whole) and len(found) == 4
    for key in whole:
        same(found[key], whole[key])


def test_parts_with_other_orders_are_not_mixed_up(tmp_path, rows, srmfast_main, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", rows)
    np.save("b.npy", rows[::-1] * 2)
    words = "run {} {} --basis {} --basis {} --epsilon 0.3 --angles 24 --progress none --shard {}/2 -o {}.part"
    assert srmfast_main(words.format("a.npy", "b.npy", "standard", "random:20", 1, 1)).rc == 0
    for name, stores, bases in (
        ("s", ("b.npy", "a.npy"), ("standard", "random:20")),
        ("t", ("a.npy", "b.npy"), ("random:20", "standard")),
    ):
        assert srmfast_main(words.format(*stores, *bases, 2, name)).rc == 0
        ended = srmfast_main(f"merge 1.part {name}.part -o m.zarr")
        assert ended.rc == 1 and "the order of stores and bases is" in ended.stderr


# ---- what adds up -----------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=2, max_size=12, unique=True))
def test_intervals_and_their_gaps(cuts):
    cuts = sorted(cuts)
    pieces = list(zip(cuts, cuts[1:], strict=False))
    kept, left = pieces[::2], pieces[1::2]
    assert merged(pieces[::-1]) == [(cuts[0], cuts[-1])]
    assert gaps(merged(kept), cuts[0], kept[-1][1]) == [piece for piece in left if piece[1] <= kept[-1][1]]
    assert gaps([], 3, 3) == [] and gaps([], 3, 5) == [(3, 5)]
    with pytest.raises(srmfast.InputError, match="rows may be counted once"):
        merged([*pieces, (cuts[0], cuts[0] + 1)])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 70), st.lists(st.integers(0, 70), max_size=6))
def test_sums_of_any_pieces_have_the_same_bits(n, cuts):
    from srmfast.tally import aligned_intervals

    values = np.random.default_rng(n).normal(size=(n, 3)) * 10.0 ** np.arange(-8, 9)[np.arange(n) % 17, None]

    def sums(start, stop):
        tree = TreeSums(3)
        for row in range(start, stop):
            for level, index in aligned_intervals(row, row + 1):
                tree.add(level, index, values[row].copy())
        return tree

    cuts = sorted({0, n, *(cut for cut in cuts if cut < n)})
    parts = [sums(start, stop) for start, stop in zip(cuts, cuts[1:], strict=False)]
    total = parts[-1]
    for part in parts[:-1]:
        total = total + TreeSums.from_arrays(*part.to_arrays())
    assert total.total().tobytes() == sums(0, n).total().tobytes()


def test_tallies_add(rng):
    def some(numbers):
        return PlaneTally(
            rng.integers(0, 9, (64, 1, 1, 3)), 5, [(np.array(numbers), rng.integers(0, 9, (len(numbers), 1, 1, 3)))]
        )

    a, b = some([4, 1]), some([7, 4])
    added = a + b
    ((numbers, values),) = added.pieces
    assert numbers.tolist() == [1, 4, 7] and added.arcs == 10
    assert np.array_equal(values[1], a.pieces[0][1][0] + b.pieces[0][1][1])
    assert np.array_equal((replace(a, pieces=[]) + replace(b, pieces=[])).totals, a.totals + b.totals)


def test_shards_are_written_as_text():
    assert parse_shard("3/4") == (3, 4)
