"""Zarr beyond the contract: chunk units, missing chunks, layouts, and what is refused."""

import json
import os
import shutil
import zipfile

import numpy as np
import pytest

from srmfast.errors import InputError
from srmfast.stores import open_store

zarr = pytest.importorskip("zarr")


def write(path, array, **options):
    made = zarr.create_array(path, shape=array.shape, dtype=array.dtype, **options)
    made[...] = array
    return made


def ones(*shape):
    return np.ones(shape, np.float32)


@pytest.mark.parametrize(
    "options, key, lost",
    [
        ({"zarr_format": 2}, "2.0", [[20, 30]]),
        ({"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}}, "4/0", [[40, 45]]),
        ({}, "c/0/0", [[0, 10]]),
        ({"chunk_key_encoding": {"name": "v2", "separator": "."}}, "1.0", [[10, 20]]),
        ({"shards": (20, 4)}, "c/1/0", [[20, 40]]),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_deleted_chunks_are_found_and_named(tmp_path, options, key, lost, zipped):
    path = tmp_path / "a.zarr"
    write(path, ones(45, 4), chunks=(10, 4), **options)
    with open_store(path) as store:
        assert store.missing_rows() == []
    os.remove(path / key)
    if zipped:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for file in path.rglob("*"):
                archive.write(file, file.relative_to(path))
        path = tmp_path / "a.zip"
    with open_store(path) as store:
        assert store.missing_rows() == lost
        assert store.missing_keys() == [key]


def test_chunks_that_a_shard_does_not_hold_are_found_in_its_index(tmp_path):
    array = ones(50, 4)
    array[5:10] = 0  # zarr does not write a chunk that equals the fill value
    array[45:] = 0
    for location in ("end", "start"):
        codec = {"chunks": (5, 4), "shards": {"shape": (20, 4), "index_location": location}}
        path = tmp_path / f"{location}.zarr"
        write(path, array, **codec)
        with open_store(path) as store:
            assert store.missing_rows() == [[5, 10], [45, 50]]
            assert store.missing_keys() == ["c/0/0 inner chunk 1/0", "c/2/0 inner chunk 1/0"]
            assert np.array_equal(store.read(0, 50), array)


def test_missing_column_chunks_touch_whole_rows_and_layers_only_their_own(tmp_path):
    write(tmp_path / "a.zarr", ones(8, 3, 6), chunks=(2, 1, 4))
    os.remove(tmp_path / "a.zarr" / "c" / "1" / "2" / "1")
    with open_store(tmp_path / "a.zarr", index={1: 2}) as store:
        assert store.missing_rows() == [[2, 4]]
    with open_store(tmp_path / "a.zarr", index={1: 0}) as store:
        assert store.missing_rows() == []
    with open_store(tmp_path / "a.zarr") as store:
        assert store.missing_rows() == [[8, 9], [11, 12]]


def test_missing_chunks_of_parts_are_placed_in_the_whole(tmp_path):
    for number in range(3):
        write(tmp_path / f"part-{number}.zarr", ones(20, 4), chunks=(10, 4))
    os.remove(tmp_path / "part-1.zarr" / "c" / "1" / "0")
    os.remove(tmp_path / "part-2.zarr" / "c" / "0" / "0")
    with open_store(tmp_path) as store:
        assert store.missing_rows() == [[30, 50]]
        assert store.missing_keys() == ["part-1.zarr/c/1/0", "part-2.zarr/c/0/0"]
        assert store.missing_keys(limit=1) == ["part-1.zarr/c/1/0"]


def test_the_unit_is_whole_chunks_also_of_a_shard(tmp_path):
    write(tmp_path / "a.zarr", ones(100, 4), chunks=(10, 4), shards=(40, 4))
    with open_store(tmp_path / "a.zarr") as store:
        assert store.rows_per_block == 10
        assert store.describe()["chunks"] == [10, 4]
        assert store.describe()["shards"] == [40, 4]
    write(tmp_path / "b.zarr", ones(4, 6, 10, 3), chunks=(1, 3, 10, 3))
    with open_store(tmp_path / "b.zarr", feature_axis=-1) as store:
        assert store.rows_per_block == 30


def test_column_chunks_are_reported_with_amplification_and_remedy(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", shape=(100_000, 768), chunks=(100_000, 1), dtype="float32")
    with open_store(tmp_path / "a.zarr") as store:
        (line,) = store.layout()
    assert "column-wise chunks (100000, 1): 100000 rows must be decoded together (293 MiB)" in line
    assert "one row alone costs 100000 times its bytes; rechunk: create the copy with chunks=(2730, 768)" in line


def test_chunks_over_layers_large_and_small_chunks_are_reported(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", shape=(1000, 12, 64), chunks=(100, 12, 64), dtype="float32")
    with open_store(tmp_path / "a.zarr", index={1: 3}) as store:
        (line,) = store.layout()
        assert "12 times the bytes are read" in line
        assert store.unit_bytes == 100 * 12 * 64 * 4
    zarr.create_array(tmp_path / "b.zarr", shape=(200_000, 768), chunks=(200_000, 768), dtype="float32")
    with open_store(tmp_path / "b.zarr") as store:
        assert "large chunks" in store.layout()[0]
    zarr.create_array(tmp_path / "c.zarr", shape=(200_000, 8), chunks=(10, 8), dtype="float32")
    with open_store(tmp_path / "c.zarr") as store:
        assert "small chunks" in store.layout()[0]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("consolidated", [False, True])
def test_arrays_of_a_hierarchy_are_listed_chosen_and_joined_by_siblings(tmp_path, zarr_format, consolidated):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=zarr_format)
    group["run/layer0"] = ones(6, 4)
    group["run/layer1"] = ones(6, 4) * 2
    group["run/tokens"] = np.arange(6)
    group["other"] = np.arange(3)
    if consolidated:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(tmp_path / "a.zarr")
    path = f"{tmp_path}/a.zarr"
    with pytest.raises(
        InputError, match=r"several arrays, run/layer0 \(6, 4\) float32, run/layer1 .*name one as .*::KEY"
    ):
        open_store(path)
    with pytest.raises(InputError, match="several arrays, run/layer0"):
        open_store(f"{path}::run")
    with pytest.raises(InputError, match=r"no array 'layer9'; it holds other \(3,\) int64, run/layer0"):
        open_store(f"{path}::layer9")
    with open_store(f"{path}::/run/layer1/") as store:
        assert store.read(0, 1).tolist() == [[2, 2, 2, 2]]
        assert store.name == "a.run.layer1"
        assert store.sibling("tokens").tolist() == store.sibling("run/tokens").tolist() == list(range(6))
        assert list(store.siblings()) == ["other", "run/layer0", "run/tokens"]
        with pytest.raises(InputError, match="no array 'labels'"):
            store.sibling("labels")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_text_beside_an_array_is_loaded_as_text(tmp_path, zarr_format):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=zarr_format)
    group["acts"] = ones(3, 4)
    labels = group.create_array("labels", shape=(3,), dtype=str)
    labels[...] = np.array(["a", "bb", "ccc"], dtype=object)
    with open_store(tmp_path / "a.zarr") as store:
        assert store.sibling("labels").tolist() == ["a", "bb", "ccc"]


def test_a_pickle_codec_is_refused_before_anything_is_decoded(tmp_path):
    write(tmp_path / "a.zarr", ones(4, 4), chunks=(2, 4), zarr_format=2)
    path = tmp_path / "a.zarr" / ".zarray"
    doc = json.loads(path.read_text())
    path.write_text(json.dumps(doc | {"filters": [{"id": "pickle", "protocol": 5}]}))
    with pytest.raises(InputError, match="pickle codec, which is never run"):
        open_store(tmp_path / "a.zarr")


def test_folders_and_zips_that_hold_no_array_are_one_line(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(InputError, match="holds no Zarr array or group"):
        open_store(tmp_path / "a.zarr")
    (tmp_path / "b.zip").write_bytes(b"no zip")
    with pytest.raises(InputError, match="not a whole Zarr zip file"):
        open_store(tmp_path / "b.zip")
    zarr.open_group(tmp_path / "c.zarr", mode="w")
    with pytest.raises(InputError, match="holds no candidate .* only no array"):
        open_store(tmp_path / "c.zarr")
    (tmp_path / "d.zarr").mkdir()
    (tmp_path / "d.zarr" / "zarr.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        open_store(tmp_path / "d.zarr")


def test_a_torn_chunk_is_one_line(tmp_path):
    write(tmp_path / "a.zarr", ones(40, 4), chunks=(10, 4))
    (tmp_path / "a.zarr" / "c" / "1" / "0").write_bytes(b"torn")
    with open_store(tmp_path / "a.zarr") as store:
        assert store.read(0, 10).shape == (10, 4)
        with pytest.raises(InputError, match="cannot be decoded .*write it again"):
            store.read(10, 20)


def test_a_range_reads_no_chunk_outside_it(tmp_path):
    write(tmp_path / "a.zarr", ones(6, 20, 4), chunks=(1, 5, 4))
    for place in ("0/0/0", "2/3/0"):
        (tmp_path / "a.zarr" / "c" / place).write_bytes(b"torn")
    with open_store(tmp_path / "a.zarr") as store:
        assert store.read(5, 55).shape == (50, 4)


def test_arrays_given_directly_stay_open_and_groups_are_refused(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group["x"] = ones(4, 3)
    group["y"] = np.arange(4)
    with open_store(group["x"]) as store:
        assert store.sibling("y").tolist() == [0, 1, 2, 3]
    assert group["x"][...].shape == (4, 3)
    with pytest.raises(InputError, match="Zarr group is not an array"):
        open_store(group)


def test_file_urls_are_paths(tmp_path):
    write(tmp_path / "a.zarr", ones(4, 3), chunks=(2, 3))
    with open_store(f"file://{tmp_path}/a.zarr") as store:
        assert store.shape == (4, 3)


def test_the_fingerprint_knows_a_lost_chunk(tmp_path):
    write(tmp_path / "a.zarr", ones(40, 4), chunks=(10, 4))
    shutil.copytree(tmp_path / "a.zarr", tmp_path / "b.zarr")
    os.remove(tmp_path / "b.zarr" / "c" / "2" / "0")
    with open_store(tmp_path / "a.zarr") as a, open_store(tmp_path / "b.zarr") as b:
        assert a.fingerprint() != b.fingerprint()


@pytest.mark.parametrize("options", [{}, {"shards": (40, 6)}, {"zarr_format": 2}])
def test_a_chunk_outside_the_shape_is_no_silent_loss(tmp_path, options):
    path = tmp_path / "a.zarr"
    zarr.create_array(str(path), data=np.ones((120, 6), np.float32), chunks=(20, 6), **options)
    name = ".zarray" if options.get("zarr_format") == 2 else "zarr.json"
    document = json.loads((path / name).read_text())
    document["shape"] = [41, 6]
    (path / name).write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"must cover its chunks, but .* lies outside \(41, 6\)"):
        open_store(path).fingerprint()


@pytest.mark.parametrize(
    "options, key, other",
    [
        ({"zarr_format": 2}, "1.0", "1/0"),
        ({"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}}, "1/0", "1.0"),
        ({}, "c/1/0", "1.0"),
        ({}, "c/1/0", "c.1.0"),
        ({"shards": (20, 4)}, "c/1/0", "1/0"),
    ],
)
def test_a_chunk_under_another_name_is_not_taken_for_present(tmp_path, options, key, other):
    path = tmp_path / "a.zarr"
    write(path, ones(60, 4), chunks=(10, 4), **options)
    (path / other).parent.mkdir(exist_ok=True)
    os.rename(path / key, path / other)
    with open_store(path) as store:
        for look in (store.missing_rows, store.fingerprint):
            with pytest.raises(InputError, match=f"but {other} should be {key}: correct the separator .*dimension_sep"):
                look()


@pytest.mark.parametrize("options", [{}, {"shards": (20, 4)}, {"zarr_format": 2}])
def test_a_chunk_that_goes_while_the_store_is_read_is_an_error(tmp_path, options):
    path = tmp_path / "a.zarr"
    write(path, ones(4000, 4), chunks=(10, 4), **options)
    with open_store(path) as store:
        before = store.fingerprint()
        assert store.missing_rows() == []
        key = "1.0" if options.get("zarr_format") == 2 else "c/1/0"  # not among the sampled ones
        os.remove(path / key)
        with pytest.raises(InputError, match=f"{key} in .* is gone: it was there when the store was opened"):
            store.read(0, 4000)
        with pytest.raises(InputError, match="must stay the same while it is read, but its slices changed"):
            store.check_unchanged(before)


def test_a_torn_index_of_a_shard_is_no_missing_chunk(tmp_path):
    path = tmp_path / "a.zarr"
    write(path, ones(60, 4), chunks=(10, 4), shards=(20, 4))
    torn = path / "c" / "1" / "0"
    torn.write_bytes(torn.read_bytes()[:-1])
    with open_store(path) as store:
        for look in (store.missing_rows, lambda: store.read(20, 30)):
            with pytest.raises(InputError, match="c/1/0 in .*a.zarr is torn: .*write it again"):
                look()
        assert store.read(0, 20).all() and store.read(40, 60).all()


@pytest.mark.parametrize("options", [{}, {"zarr_format": 2}, {"shards": (40, 6)}])
def test_a_claimed_chunk_is_not_made_room_for(tmp_path, options):
    path = tmp_path / "a.zarr"
    zarr.create_array(str(path), data=np.ones((40, 6), np.float32), chunks=(20, 6), **options)
    name = ".zarray" if options.get("zarr_format") == 2 else "zarr.json"
    document = json.loads((path / name).read_text())
    if "chunks" in document:
        document["chunks"] = [99_999_999, 6]
    else:
        document["chunk_grid"]["configuration"]["chunk_shape"] = [99_999_999, 6]
    (path / name).write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"claims chunks of \(99999999, 6\)|divisible by the shard"):
        open_store(path)


def test_a_claimed_shape_is_not_made_room_for(tmp_path):
    path = tmp_path / "a.zarr"
    zarr.create_array(str(path), data=np.ones((40, 6), np.float32), chunks=(20, 6))
    document = json.loads((path / "zarr.json").read_text())
    document["shape"] = [10**12, 6]
    (path / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="of 50,000,000,000 only 2 exist"):
        open_store(path).missing_rows()
