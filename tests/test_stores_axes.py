"""Which axes become rows and features, and how flat row ranges split into rectangles."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srmfast.errors import InputError
from srmfast.stores import _layout, _ranges, open_store

shapes = st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple)


@given(shapes, st.data())
def test_boxes_cover_the_range_once_and_in_order(shape, data):
    n = math.prod(shape)
    start = data.draw(st.integers(0, n))
    stop = data.draw(st.integers(start, n))
    flat = np.arange(n).reshape(shape)
    covered = [flat[box].ravel() for box in _ranges.boxes(start, stop, shape)]
    assert len(covered) <= 2 * len(shape) - 1
    assert np.concatenate([np.empty(0, int), *covered]).tolist() == list(range(start, stop))


@given(shapes, st.data())
def test_box_rows_are_the_flat_positions_of_the_box(shape, data):
    box = np.array([sorted(data.draw(st.tuples(*[st.integers(0, size)] * 2))) for size in shape])
    flat = np.arange(math.prod(shape)).reshape(shape)[tuple(slice(a, b) for a, b in box)].ravel()
    rows = [row for start, stop in _ranges.merge(_ranges.box_rows(box, shape)) for row in range(start, stop)]
    assert rows == flat.tolist()


def test_merge_joins_touching_and_nested_intervals():
    intervals = np.array([[8, 9], [0, 6], [1, 2], [6, 7], [8, 8]])
    assert _ranges.merge(intervals) == [[0, 7], [8, 9]]
    assert _ranges.merge(np.empty((0, 2), int)) == []


@given(shapes, st.data())
def test_multiples_of_the_row_unit_touch_every_chunk_once(shape, data):
    chunks = tuple(data.draw(st.integers(1, size + 1)) for size in shape)
    unit = _layout.rows_per_block(shape, chunks)
    n = math.prod(shape)
    chunk_of = np.stack(np.unravel_index(np.arange(n), shape), axis=1) // np.array(chunks)
    readings = [set(map(tuple, chunk_of[start : start + unit])) for start in range(0, n, unit)]
    assert 1 <= unit <= n
    assert sum(map(len, readings)) == len(set().union(*readings))


@given(st.integers(2, 4), st.data())
def test_every_choice_of_axes_equals_numpy(rank, data):
    shape = tuple(data.draw(st.integers(2, 4)) for _ in range(rank))
    array = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    axis = data.draw(st.integers(-rank, rank - 1))
    index = {}
    if rank > 2 and data.draw(st.booleans()):
        fixed = data.draw(st.sampled_from([i for i in range(rank) if i != axis % rank]))
        index = {fixed: data.draw(st.integers(-shape[fixed], shape[fixed] - 1))}
    reference = np.moveaxis(array, axis, -1)
    for fixed, position in index.items():
        kept = [i for i in range(rank) if i != axis % rank].index(fixed)
        reference = reference.take(position, axis=kept)
    reference = reference.reshape(-1, shape[axis])
    store = open_store(array, feature_axis=axis, index=index)
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, store.n)] * 2)))
    assert store.shape == reference.shape
    assert np.array_equal(store.read(start, stop), reference[start:stop])
    assert store.read(start, stop).flags.c_contiguous


SELECTIONS = list(itertools.product([(3000, 3), (5, 4, 3), (7, 2000, 3), (40, 3, 700)], "CF"))


@pytest.mark.parametrize("shape, order", SELECTIONS)
def test_a_npy_file_reads_any_rectangle(tmp_path, shape, order):
    from srmfast.stores import _npy

    rng = np.random.default_rng(1)
    array = np.asarray(rng.standard_normal(shape), order=order)
    np.save(tmp_path / "a.npy", array)
    source = _npy.open_source(str(tmp_path / "a.npy"))
    for _ in range(40):
        bounds = [sorted(rng.choice(size + 1, 2, replace=False)) for size in shape]
        selection = [slice(int(a), int(b)) for a, b in bounds]
        if rng.random() < 0.5:
            axis = rng.integers(len(shape))
            selection[axis] = selection[axis].start
        assert np.array_equal(source.read(tuple(selection)), array[tuple(selection)])
    source.close()


def test_scratch_memory_is_bounded_and_spans_are_cut(tmp_path, monkeypatch):
    from srmfast.stores import _region

    monkeypatch.setattr(_region, "SCRATCH_BYTES", 100)
    array = np.arange(600.0).reshape(50, 4, 3)
    np.save(tmp_path / "a.npy", array)
    with open_store(tmp_path / "a.npy", index={1: 2}) as store:
        assert np.array_equal(store.read(3, 47), array[3:47, 2])


def test_rank_three_takes_the_last_axis_and_keeps_the_row_axes():
    store = open_store(np.zeros((4, 5, 3)))
    assert (store.shape, store.row_shape) == ((20, 3), (4, 5))


def test_flatten_makes_features_of_everything_behind_the_first_axis():
    array = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    store = open_store(array, flatten=True)
    assert np.array_equal(store.read(0, 2), array.reshape(2, 60))
    layer = open_store(array, flatten=True, index={1: -1})
    assert np.array_equal(layer.read(1, 2), array[1:, -1].reshape(1, 20))


def test_image_batches_are_refused_with_the_choices_and_then_read():
    array = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    with pytest.raises(InputError, match="ambiguous: choose --feature-axis 1 .*--feature-axis -1 .*--flatten"):
        open_store(array)
    assert np.array_equal(open_store(array, feature_axis=1).read(0, 40), array.transpose(0, 2, 3, 1).reshape(-1, 3))
    assert open_store(array, index={1: 0}).shape == (8, 5)


@pytest.mark.parametrize(
    "shape, options, message",
    [
        ((5,), {}, r"at least two free axes.*shape \(5,\)"),
        ((5, 3), {"index": {0: 1}}, r"at least two free axes.*axes \[0\] fixed"),
        ((5, 1), {}, "d >= 2 features.*gives d = 1"),
        ((0, 4), {}, r"is empty: shape \(0, 4\)"),
        ((5, 3), {"feature_axis": 2}, r"feature axis .* must lie in -2 … 1, got 2"),
        ((5, 4, 3), {"index": {1: 4}}, r"position on axis 1 .* must lie in -4 … 3, got 4"),
        ((5, 4, 3), {"index": {3: 0}}, r"index axis .* must lie in -3 … 2, got 3"),
        ((5, 4, 3), {"index": {1: 1.5}}, "must be an integer, got 1.5"),
        ((5, 4, 3), {"index": {1: 0}, "feature_axis": 1}, "cannot be both the feature axis and fixed"),
        ((5, 4, 3), {"flatten": True, "feature_axis": 1}, "exclude each other"),
    ],
)
def test_axes_that_cannot_be_are_refused_in_one_line(shape, options, message):
    with pytest.raises(InputError, match=message) as caught:
        open_store(np.zeros(shape), **options)
    assert "\n" not in str(caught.value)


def test_views_of_the_same_array_have_different_fingerprints():
    array = np.arange(60.0).reshape(3, 5, 4)
    views = [{"index": {0: 0}}, {"index": {0: 1}}, {}, {"flatten": True}, {"feature_axis": 0}]
    prints = [str(open_store(array, **view).fingerprint()) for view in views]
    assert len(set(prints)) == len(views)


def test_a_store_is_returned_as_it_is_and_axes_are_chosen_once():
    store = open_store(np.zeros((3, 4)), name="mine")
    assert open_store(store) is store
    assert store.name == "mine"
    with pytest.raises(InputError, match="axes are chosen when a store is opened"):
        open_store(store, flatten=True)


def test_importing_the_package_loads_no_format_library():
    import subprocess
    import sys

    code = (
        "import sys, srmfast.stores as s, numpy; s.open_store(numpy.zeros((2, 3))); s.load_column([1]);"
        "print([m for m in ('zarr', 'h5py', 'numba', 'hdf5plugin', 'torch', 'srmfast.kernels') if m in "
        "sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
