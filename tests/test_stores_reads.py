"""How a store is divided into reads: every chunk is fetched and decoded once in a pass, whatever the layout."""

import collections
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import srmfast
from srmfast.engine import events, plan
from srmfast.errors import InputError
from srmfast.stores import _layout, open_store

zarr = pytest.importorskip("zarr")
FULL = {"config": {"write_empty_chunks": True}}


def write(path, array, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.create_array(path, shape=array.shape, dtype=array.dtype, **options)[...] = array
    return path


shapes = st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple)


@given(shapes, st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 60), st.data())
def test_reads_cover_all_rows_in_order_and_part_no_chunk(rest, lengths, most, data):
    """Parts of any length and chunks, joined on the first row axis."""
    segments, chunk_of, begin = [], [], 0
    for number, length in enumerate(lengths):
        shape = (length, *rest)
        chunks = tuple(data.draw(st.integers(1, size + 1)) for size in shape)
        segments.append((length, chunks))
        places = np.stack(np.unravel_index(np.arange(math.prod(shape)), shape), axis=1) // np.array(chunks)
        chunk_of += [(number, *map(int, place)) for place in places]
        begin += length
    row_shape = (begin, *rest)
    unit = max(_layout.rows_per_block((length, *rest), chunks) for length, chunks in segments)
    most = max(most, unit)
    intervals = list(_layout.reads(segments, row_shape, most))
    assert [row for start, stop in intervals for row in range(start, stop)] == list(range(len(chunk_of)))
    assert all(stop - start <= most for start, stop in intervals)
    touched = collections.Counter(chunk for start, stop in intervals for chunk in set(chunk_of[start:stop]))
    assert set(touched.values()) == {1}


def test_reads_are_as_long_as_they_may_be():
    assert list(_layout.reads([(100, (10,))], (100,), 35)) == [(0, 30), (30, 60), (60, 90), (90, 100)]
    assert list(_layout.reads([(4, None), (4, None), (4, None)], (12,), 5)) == [(0, 5), (5, 10), (10, 12)]
    assert list(_layout.reads([(4, (3,)), (4, (3,)), (9, (3,))], (17,), 8)) == [(0, 8), (8, 14), (14, 17)]


@pytest.fixture
def asked(monkeypatch):
    """Counts what zarr fetches: (file, first byte or None) -> times."""
    found = collections.Counter()
    get = zarr.storage.LocalStore.get

    async def counting(self, key, prototype=None, byte_range=None):
        found[self.root.name, key, getattr(byte_range, "start", None)] += 1
        return await get(self, key, prototype, byte_range)

    monkeypatch.setattr(zarr.storage.LocalStore, "get", counting)
    monkeypatch.setattr(plan, "_SLAB", 4096)  # many reads
    return found


def count(asked, *args, **options):
    """Run and return the counts and how often each chunk was fetched while rows were counted."""

    passes = []

    def watch(event):
        if isinstance(event, events.PassStarted):
            asked.clear()
        elif isinstance(event, events.PassFinished):
            passes.append(dict(asked))

    result = srmfast.run(*args, epsilon=0.7, angles=8, threads=2, on_event=watch, **options)
    return result.counts, passes[0]


LAYOUTS = {
    "columns": ((1000, 6), {"chunks": (1000, 1)}, {}),
    "blocks of columns": ((1000, 6), {"chunks": (90, 4)}, {}),
    "not dividing": ((1003, 6), {"chunks": (70, 6)}, {}),
    "version 2": ((1003, 6), {"chunks": (70, 5), "zarr_format": 2}, {}),
    "several row axes": ((37, 20, 6), {"chunks": (4, 7, 6)}, {}),
    "several row axes, one chunk each": ((37, 20, 6), {"chunks": (1, 5, 3)}, {}),
    "layer axis": ((400, 3, 6), {"chunks": (30, 2, 6)}, {"index": {1: 2}}),
    "features first": ((6, 1003), {"chunks": (4, 100)}, {"feature_axis": 0}),
    "channels first": ((40, 6, 5, 5), {"chunks": (3, 2, 5, 2)}, {"feature_axis": 1}),
    "shards": ((1003, 6), {"chunks": (10, 6), "shards": (200, 6)}, {}),
    "shards of columns": ((1003, 6), {"chunks": (50, 2), "shards": (200, 6)}, {}),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_chunk_is_fetched_once_in_a_pass(tmp_path, rng, asked, name):
    shape, layout, options = LAYOUTS[name]
    array = rng.standard_normal(shape)
    write(tmp_path / "a.zarr", array, **layout, **FULL)
    counts, times = count(asked, tmp_path / "a.zarr", **options)
    assert np.array_equal(counts, count(asked, array, **options)[0])
    assert set(times.values()) == {1}
    chunks = layout["chunks"]
    grid = [-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True)]
    if "index" in options:
        grid[1] = 1
    expected = math.prod(grid)
    if "shards" in layout:
        expected += math.prod(-(-size // chunk) for size, chunk in zip(shape, layout["shards"], strict=True))  # indices
    assert len(times) == expected


def test_parts_of_any_length_share_no_chunk_between_reads(tmp_path, rng, asked):
    array = rng.standard_normal((700, 6))
    cuts = (0, 3, 130, 131, 400, 700)
    for number, (start, stop) in enumerate(zip(cuts, cuts[1:], strict=False)):
        part = array[start:stop]
        layout = {"chunks": (5, 6), "shards": (20, 6)} if number == 3 else {"chunks": (30, 4)}
        write(tmp_path / f"part-{number}.zarr", part, **layout, **FULL)
    counts, times = count(asked, f"{tmp_path}/part-*.zarr")
    assert np.array_equal(counts, count(asked, array)[0])
    assert set(times.values()) == {1}
    with open_store(f"{tmp_path}/part-*.zarr") as store:
        assert store.rows_per_block == 30
        borders = {start for start, _ in store.reads(64)}
        assert borders <= {c + 30 * i for c in cuts for i in range(20)} | {c + 5 * i for c in cuts for i in range(99)}


def test_a_unit_beyond_the_memory_is_refused_with_the_arithmetic_and_the_remedy(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", shape=(400_000, 768), chunks=(400_000, 8), dtype="float32")
    with pytest.raises(InputError) as caught:
        srmfast.run(tmp_path / "a.zarr", missing_chunks="zeros", memory="256MiB")
    message = str(caught.value)
    assert "must fit into memory" in message and "1 reads of 400,000 rows" in message
    assert message.endswith("chunks make 400,000 rows one read, rechunk: create the copy with chunks=(2730, 768) and assign it slab by slab")  # fmt: skip


def test_counts_do_not_depend_on_how_a_store_is_divided(tmp_path, rng, monkeypatch):
    array = rng.standard_normal((503, 6))
    write(tmp_path / "a.zarr", array, chunks=(7, 2), **FULL)
    expected = srmfast.run(array, epsilon=0.7, angles=8).counts
    for slab in (1, 5000, 1 << 20):
        monkeypatch.setattr(plan, "_SLAB", slab)
        assert np.array_equal(srmfast.run(tmp_path / "a.zarr", epsilon=0.7, angles=8, threads=2).counts, expected)
