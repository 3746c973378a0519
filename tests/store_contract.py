"""What every format must do: inherit `StoreContract`, say how an array is written, and nothing else."""

import concurrent.futures

import ml_dtypes
import numpy as np
import pytest

from srmfast.errors import InputError
from srmfast.stores import Store, open_store

N, D = 103, 6  # rows never divide the chunks
ALL_DTYPES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "bfloat16", "float32", "float64",
)  # fmt: skip
INTERVALS = ((0, N), (0, 1), (N - 1, N), (3, 50), (10, 10), (0, 0), (N, N), (64, 100), (3, 50), (0, 10), (0, N), (0, N))


def sample(dtype, shape=(N, D), seed=0):
    """Make an array whose values differ and survive every type."""
    values = np.random.default_rng(seed).integers(0, 100, shape)
    if dtype == "bool":
        return values < 50
    return values.astype(getattr(ml_dtypes, dtype, dtype))


def raw(array):
    """Give the values as a store hands them out."""
    if array.dtype.name.startswith("float8"):
        return array.view(np.uint8)
    return array.view(np.uint16) if array.dtype == ml_dtypes.bfloat16 else array


class StoreContract:
    """Override `make` to write an (N, D) array and return what `open_store` takes."""

    dtypes = ALL_DTYPES
    options = {}

    def make(self, folder, array):
        raise NotImplementedError

    def pytest_generate_tests(self, metafunc):
        if "case" in metafunc.fixturenames:
            metafunc.parametrize("case", metafunc.cls.dtypes, indirect=True)

    @pytest.fixture
    def case(self, request, tmp_path):
        array = sample(request.param)
        with open_store(self.make(tmp_path, array), **self.options) as store:
            yield store, raw(array), request.param

    @pytest.fixture
    def store(self, tmp_path):
        with open_store(self.make(tmp_path, sample("float32")), **self.options) as store:
            yield store

    def test_what_was_written_is_read_in_any_order_and_again(self, case):
        store, reference, dtype = case
        assert isinstance(store, Store)
        assert (store.n, store.d, store.shape) == (N, D, (N, D))
        assert store.dtype == dtype
        assert np.prod(store.row_shape) == N
        for start, stop in INTERVALS:
            block = store.read(start, stop)
            assert block.shape == (stop - start, D)
            assert block.dtype == reference.dtype
            assert block.dtype.isnative
            assert block.flags.c_contiguous
            assert np.array_equal(block, reference[start:stop])

    def test_as_many_readers_as_promised_read_at_once(self, store):
        reference = sample("float32")
        assert store.readers >= 1
        intervals = [(i, min(N, i + 7)) for i in range(0, N, 5)] * 4
        with concurrent.futures.ThreadPoolExecutor(store.readers) as pool:
            blocks = list(pool.map(lambda interval: store.read(*interval), intervals))
        for (start, stop), block in zip(intervals, blocks, strict=True):
            assert np.array_equal(block, reference[start:stop])

    @pytest.mark.parametrize("start, stop", [(-1, 3), (5, 4), (0, N + 1)])
    def test_rows_outside_the_store_are_refused(self, store, start, stop):
        with pytest.raises(InputError, match=f"<= {N}, got {start}:{stop}"):
            store.read(start, stop)

    def test_the_preferred_unit_is_within_the_store(self, store):
        assert 1 <= store.rows_per_block <= N
        assert store.unit_bytes >= store.rows_per_block * D * 4

    def test_the_fingerprint_is_stable_and_knows_the_place_of_nothing(self, store, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        with open_store(self.make(tmp_path / "elsewhere", sample("float32")), **self.options) as other:
            assert other.fingerprint() == store.fingerprint() == store.fingerprint()

    def test_the_fingerprint_changes_with_one_sampled_value(self, store, tmp_path):
        changed = sample("float32")
        changed[0, 0] += 1
        (tmp_path / "changed").mkdir()
        with open_store(self.make(tmp_path / "changed", changed), **self.options) as other:
            assert other.fingerprint() != store.fingerprint()
            assert other.fingerprint().keys() == store.fingerprint().keys()

    def test_nothing_is_missing_in_a_whole_store(self, store):
        assert store.missing_rows() == []
        assert store.missing_keys() == []

    def test_descriptions_are_json_and_layout_is_quiet(self, store):
        import json

        assert json.loads(json.dumps(store.describe()))["shape"] == [N, D]
        json.dumps(store.fingerprint())
        assert store.layout() == []

    def test_a_closed_store_says_so(self, store):
        store.close()
        store.close()
        with pytest.raises(InputError, match="is closed"):
            store.read(0, 1)
