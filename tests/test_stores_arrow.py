"""Parquet, Arrow and datasets beyond the contract: columns, shapes, odd rows and damage."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from store_faults import damaged, endure

from srmfast.errors import InputError
from srmfast.stores import load_column, open_store

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
DATASET = Path(__file__).parent / "data" / "datasets-activations"
KINDS = ("arrow", "arrows", "parquet")


def write(path, table, rows=1 << 20, **options):
    """Write a table in the format of the suffix, in batches of so many rows."""
    table = pa.table(table) if isinstance(table, dict) else table
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=rows, **options)
        return path
    make = pa.ipc.new_file if path.suffix == ".arrow" else pa.ipc.new_stream
    with make(str(path), table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, rows)
    return path


def refused(match, spec, load=open_store):
    with pytest.raises(InputError, match=match) as caught:
        load(spec)
    assert "\n" not in str(caught.value)


def test_a_dataset_of_the_library_is_read():
    acts = np.arange(132, dtype=np.float16).reshape(44, 3)
    with open_store(f"{DATASET}::blocks.0.hook_mlp_out") as store:
        assert (store.shape, store.row_shape, store.dtype) == ((44, 3), (11, 4), "float16")
        assert np.array_equal(store.read(0, 44), acts)
        assert np.array_equal(store.read(21, 27), acts[21:27])  # from one file into the next
        assert store.sibling("token_ids").tolist() == np.arange(44).reshape(11, 4).tolist()
        assert load_column("source", store)[3] == "document 1"
        assert store.siblings()["language"][1] == "int64"
    assert load_column(f"{DATASET}::language").tolist() == [0, 1] * 5 + [0]
    assert load_column(f"{DATASET}::token_ids").shape == (11, 4)
    with open_store(DATASET) as store:  # what SAELens writes needs no key
        assert (store.recognised.name, store.recognised.tokens) == ("a SAELens cache", "token_ids")
        assert np.array_equal(store.read(0, 44), acts)


def test_a_dataset_is_read_when_its_library_has_registered_its_types():
    pytest.importorskip("datasets")
    with open_store(f"{DATASET}::blocks.0.hook_mlp_out") as store:
        assert store.read(5, 6).tolist() == [[15, 16, 17]]


def test_nested_shard_folders_are_read_in_natural_order(tmp_path):
    for number in (10, 9, 2):
        shutil.copytree(DATASET, tmp_path / f"shard_{number}")
    (tmp_path / ".tmp_shards").mkdir()
    with open_store(f"{tmp_path}::blocks.0.hook_mlp_out") as store:
        assert store.row_shape == (33, 4)
        assert store.describe()["parts"] == ["shard_2", "shard_9", "shard_10"]
        assert store.sibling("source").shape == (33,)


def test_folders_of_datasets_that_are_not_whole(tmp_path):
    folder = tmp_path / "d"
    shutil.copytree(DATASET, folder)
    state = json.loads((folder / "state.json").read_text())
    os.remove(folder / "data-00001-of-00002.arrow")
    refused("1 of the 2 files that .*state.json names are not there .data-00001", f"{folder}::token_ids")
    os.remove(folder / "state.json")
    assert open_store(f"{folder}::token_ids").n == 6
    for changed, message in {
        "[": "state.json is not JSON",
        "[]": "must be a JSON object",
        "{}": "names no files of this folder",
        '{"_data_files": [{"filename": "../x.arrow"}]}': "names no files of this folder",
        json.dumps(state | {"_indices_data_files": [{"filename": "i.arrow"}]}): "flatten_indices",
    }.items():
        (folder / "state.json").write_text(changed)
        refused(message, f"{folder}::token_ids")
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["d", "test"]}')
    refused("holds several splits; open one: .*/d, .*/test", tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "dataset_info.json").write_text("{}")
    refused("holds no .arrow file", empty)


@pytest.mark.parametrize("kind", KINDS)
def test_columns_are_listed_chosen_and_loaded(tmp_path, kind):
    table = {
        "acts": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
        "more": [[1, 2], [3, 4], [5, 6]],
        "word": ["a", None, "c"],
        "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
        "keep": [True, False, True],
        "score": [0.5, None, 1.5],
        "count": [1, None, 3],
        "day": pa.array([1, 2, 3], pa.date32()),
        "deep": [{"a": 1}, {"a": 2}, {"a": 3}],
    }
    path = write(tmp_path / f"a.{kind}", table, 2)
    refused(r"several arrays, acts \(3, 2\) float64, more \(3, 2\) int64; name one", path)
    refused("no array 'nope'; it holds acts", f"{path}::nope")
    refused("needs at least two free axes", f"{path}::keep")
    with open_store(f"{path}::acts") as store:
        assert store.read(0, 3).tolist() == table["acts"]
        assert load_column("word", store).tolist() == ["a", "", "c"]
        assert load_column("kind", store).tolist() == ["x", "y", "x"]
        assert load_column("more", store).tolist() == table["more"]
        assert load_column("keep", store).tolist() == [True, False, True]
        assert np.isnan(load_column("score", store)[1])
        assert load_column("day", store).dtype.kind == "M"
        with pytest.raises(InputError, match="row 1 of .*::count is null"):
            load_column("count", store)
        with pytest.raises(InputError, match="real numbers"):
            load_column("deep", store)
    assert load_column(f"{path}::kind").tolist() == ["x", "y", "x"]
    write(tmp_path / f"b.{kind}", {"y": [3, 1, 2]})
    assert load_column(tmp_path / f"b.{kind}").tolist() == [3, 1, 2]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "rows, message",
    [
        ([[1.0, 2.0]] * 5 + [[1.0]] + [[1.0, 2.0]] * 3, "row 5 of .*::x holds a list of 1 values, row .* of 2"),
        ([[1.0, 2.0]] * 4 + [[1.0, 2.0, 3.0]] * 4, r"row 4 of .*::x has shape \(3,\), row 0 has \(2,\)"),
        ([[1.0, 2.0]] * 6 + [None] + [[1.0, 2.0]], "row 6 of .*::x is null"),
        ([[1.0, 2.0]] * 6 + [[None, 1.0]] + [[1.0, 2.0]], "row 6 of .*::x is null or holds one"),
    ],
)
def test_odd_rows_are_named(tmp_path, kind, rows, message):
    def load(path):
        with open_store(path) as store:
            store.read(0, store.n)

    refused(message, write(tmp_path / f"a.{kind}", {"x": rows}, 4), load)


def test_odd_rows_of_nested_lists_are_named(tmp_path):
    rows = [[[1.0, 2.0], [3.0, 4.0]]] * 7
    rows[5] = [[1.0, 2.0], [3.0]]
    refused("row 5 of .*::x holds a list of 1 values", write(tmp_path / "a.arrow", {"x": rows}))
    rows[5] = [[1.0, 2.0]]
    refused("row 5 of .*::x holds a list of 1 values", write(tmp_path / "a.arrow", {"x": rows}))


@pytest.mark.parametrize("kind", KINDS)
def test_plain_columns_become_one_matrix(tmp_path, kind):
    table = {"id": [1, 2, 3], "a": np.array([1, 2, 3], "f2"), "b": np.array([4, 5, 6], "f4"), "c": ["x", "y", "z"]}
    path = write(tmp_path / f"a.{kind}", table, 2)
    with open_store(path) as store:
        assert (store.shape, store.dtype) == ((3, 2), "float32")
        assert store.read(1, 3).tolist() == [[2, 5], [3, 6]]
        assert store.describe()["columns"] == ["a", "b"]
        assert list(store.siblings()) == ["id", "c"]
        assert "columns of types float16, float32 are read as float32" in store.layout()[0]
    with open_store(path, feature_axis=0) as store:
        assert store.read(1, 2).tolist() == [[4, 5, 6]]
    refused("holds no candidate", write(tmp_path / f"b.{kind}", {"id": [1, 2], "a": [1.0, 2.0]}))
    refused("row 1 of .* is null", write(tmp_path / f"c.{kind}", {"a": [1.0, 2.0], "b": [1.0, None]}), load_rows)


def load_rows(path):
    with open_store(path) as store:
        store.read(0, store.n)


def test_tensors_of_fixed_shape(tmp_path):
    values = np.arange(24.0).reshape(4, 2, 3)
    path = write(tmp_path / "a.arrow", {"x": pa.FixedShapeTensorArray.from_numpy_ndarray(values)})
    with open_store(path) as store:
        assert store.row_shape == (4, 2)
        assert np.array_equal(store.read(0, 8), values.reshape(8, 3))


def test_uint16_marked_as_bfloat16(tmp_path):
    column = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(6, dtype=np.uint16)), 2)
    for kind in KINDS:
        field = pa.field("x", column.type, metadata={"dtype": "bfloat16"})
        with open_store(write(tmp_path / f"a.{kind}", pa.table([column], pa.schema([field])))) as store:
            assert (store.dtype, store.read(1, 2).tolist()) == ("bfloat16", [[2, 3]])


def test_a_pass_decodes_every_piece_of_a_row_group_once(tmp_path, monkeypatch):
    from srmfast.stores import _arrow, _arrow_tables

    values = np.arange(600.0).reshape(100, 6)
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 6)
    seen, begun = [], []
    read, begin = _arrow_tables.ParquetTable.read, pq.ParquetFile.iter_batches
    monkeypatch.setattr(
        _arrow_tables.ParquetTable, "read", lambda self, i, names: seen.append(i) or read(self, i, names)
    )
    monkeypatch.setattr(
        pq.ParquetFile, "iter_batches", lambda self, *args, **options: begun.append(1) or begin(self, *args, **options)
    )
    monkeypatch.setattr(_arrow, "PIECE_BYTES", 10 * 48)
    with open_store(write(tmp_path / "a.parquet", {"x": column, "y": np.arange(100)}, 24)) as store:
        assert (store.rows_per_block, store.unit_bytes) == (10, 10 * 48)
        for step in (10, 24, 7, 100):
            seen.clear(), begun.clear()
            blocks = [store.read(i, min(100, i + step)) for i in range(0, 100, step)]
            assert np.array_equal(np.concatenate(blocks), values)
            assert seen == list(range(13))  # 24 rows are 10, 10 and 4
            assert len(begun) == 5
        for start in (97, 60, 61, 59, 30, 3):  # in any order
            assert np.array_equal(store.read(start, start + 3), values[start : start + 3])


def test_a_stream_is_read_backwards(tmp_path):
    values = np.arange(60.0).reshape(20, 3)
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 3)
    with open_store(write(tmp_path / "a.arrows", {"x": column}, 3, compression="zstd")) as store:
        for start in range(19, -1, -2):
            assert np.array_equal(store.read(start, start + 1), values[start : start + 1])


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_files_name_their_readable_rows(tmp_path, kind):
    values = np.random.default_rng(0).random((100, 8))
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 8)
    path = write(tmp_path / f"a.{kind}", {"x": column}, 20)
    whole = path.read_bytes()
    for cut in (len(whole) * 7 // 8, len(whole) // 2, len(whole) // 8):
        path.write_bytes(whole[:cut])
        if kind == "parquet":
            refused("cannot be read .*magic bytes not found in footer.*copy or write it again", path)
            continue
        with pytest.raises(InputError, match="is truncated or damaged .*, only rows 0:.* are readable") as caught:
            open_store(path)
        rows = int(re.search(r"rows 0:(\d+)", str(caught.value))[1])
        assert rows % 20 == 0
        assert rows * 64 <= cut < (rows + 20) * 64 + 2500  # messages and the footer take some bytes
    path.write_bytes(b"")
    refused("a.* cannot be read", path)


def test_a_stream_without_its_end_is_read_and_said_to_be_so(tmp_path):
    path = write(tmp_path / "a.arrows", {"x": [[1.0, 2.0]] * 4})
    os.truncate(path, path.stat().st_size - 8)
    with open_store(path) as store:
        assert "has no end mark: its writer may not have finished, 4 rows are there" in store.layout()[0]


def test_empty_tables_and_old_feather_are_refused(tmp_path):
    for kind in KINDS:
        empty = pa.table({"x": pa.array([], pa.list_(pa.float32(), 3))})
        refused("holds no rows", write(tmp_path / f"a.{kind}", empty))
    (tmp_path / "a.feather").write_bytes(b"FEA1" + bytes(100))
    refused("is Feather V1", tmp_path / "a.feather")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", ["x", "l"])
def test_damaged_files_end_as_one_line(tmp_path, kind, key):
    values = np.arange(300, dtype=np.float32)
    table = {
        "x": pa.FixedSizeListArray.from_arrays(pa.array(values), 3),
        "l": pa.ListArray.from_arrays(pa.array(np.arange(0, 303, 3, dtype=np.int32)), pa.array(values)),
        "word": [str(i % 5) for i in range(100)],
        "kind": pa.array(["x", "y"] * 50).dictionary_encode(),
    }
    whole = write(tmp_path / f"a.{kind}", table, 40).read_bytes()
    path = tmp_path / f"b.{kind}"
    read = []
    for image in damaged(whole, 150, seed=len(key)):
        path.write_bytes(image)
        read.append(endure(path, key))
        for other in ("word", "kind"):
            try:
                load_column(f"{path}::{other}")
            except InputError as error:
                assert "\n" not in str(error)
    assert 0 < sum(read) < 150


def test_a_page_that_claims_gigabytes_costs_nothing(tmp_path):
    """The size of the first page of a small file is raised to 2 GiB less one, in the compact form of the format."""
    import resource

    column = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(300, dtype=np.float32)), 3)
    path = write(tmp_path / "a.parquet", {"x": column}, use_dictionary=False, compression="none")
    image = bytearray(path.read_bytes())
    at = pq.ParquetFile(path).metadata.row_group(0).column(0).data_page_offset
    assert image[at : at + 3] == b"\x15\x00\x15"  # a data page; its two sizes follow
    end = next(i for i in range(at + 3, at + 9) if image[i] < 128) + 1
    assert image[end] == 0x15
    last = next(i for i in range(end + 1, end + 7) if image[i] < 128) + 1
    large = b"\xfe\xff\xff\xff\x0f"
    path.write_bytes(
        image[: at + 3] + large + b"\x15" + large + image[last:]
    )  # later places shift, the size stays first
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused("cannot be read", path, load_rows)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10
