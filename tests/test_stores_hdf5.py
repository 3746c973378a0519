"""HDF5 beyond the contract: choices, damage, filters and text."""

import os

import numpy as np
import pytest

from srmfast.errors import InputError, MissingDependency
from srmfast.stores import open_store

h5py = pytest.importorskip("h5py")


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["layer_0/inputs"] = np.zeros((6, 4), np.float16)
        file["layer_1/inputs"] = np.ones((6, 4), np.float16)
        file["layer_1/tokens"] = np.arange(6)
        file["words"] = ["a", "bb", "é", "d", "e", "f"]
        file["codes"] = np.array([b"x", b"yy"] * 3)
        file["nothing"] = h5py.Empty("f4")
        file.create_dataset("ragged", (6,), h5py.vlen_dtype(np.int32))
    return f"{tmp_path}/a.h5"


def test_datasets_are_listed_chosen_and_joined_by_siblings(path):
    with pytest.raises(InputError, match=r"several arrays, layer_0/inputs \(6, 4\) float16, layer_1/inputs"):
        open_store(path)
    with pytest.raises(InputError, match="no array 'layer_7'; it holds"):
        open_store(f"{path}::layer_7")
    with pytest.raises(InputError, match="empty dataset without a shape"):
        open_store(f"{path}::nothing")
    with open_store(f"{path}::layer_0") as store:
        assert store.location == f"{path}::layer_0/inputs"
        assert store.sibling("layer_1/tokens").tolist() == list(range(6))
        assert store.sibling("words").tolist() == ["a", "bb", "é", "d", "e", "f"]
        with pytest.raises(InputError, match="references or ragged rows"):
            store.sibling("ragged")
        with pytest.raises(InputError, match="no array 'nope'"):
            store.sibling("nope")
    with open_store(f"{path}::layer_1/inputs") as store:
        assert store.sibling("tokens").tolist() == list(range(6))
        assert store.read(0, 1).tolist() == [[1, 1, 1, 1]]
    with open_store(f"{path}::layer_0/inputs") as a, open_store(f"{path}::layer_1/inputs") as b:
        assert a.fingerprint() != b.fingerprint()


def test_an_open_writer_does_not_lock_readers_out(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.ones((4, 4))
        file.flush()
        with open_store(f"{tmp_path}/a.h5::x") as store:
            assert store.read(0, 4).sum() == 16


def test_truncated_and_foreign_files_are_one_line(path, tmp_path):
    os.truncate(path, os.path.getsize(path) - 500)
    with pytest.raises(InputError, match="a.h5 is not a whole HDF5 file .truncated"):
        open_store(f"{path}::layer_0")
    (tmp_path / "b.h5").write_bytes(b"hello, this is text")
    with pytest.raises(InputError, match="no HDF5 signature"):
        open_store(tmp_path / "b.h5")
    (tmp_path / "c.nc").write_bytes(b"CDF\x01" + bytes(100))
    with pytest.raises(InputError, match="NetCDF 3; convert it with: nccopy"):
        open_store(tmp_path / "c.nc")


def test_a_nameless_file_is_known_by_its_signature(path, tmp_path):
    os.rename(path, tmp_path / "blob")
    with open_store(f"{tmp_path}/blob::layer_0/inputs") as store:
        assert store.describe()["format"] == "hdf5"


def test_a_filter_that_is_not_there_names_the_package(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: False)  # other libraries may bring filters along
    with h5py.File(tmp_path / "a.h5", "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((4, 4))
        plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
        space = h5py.h5s.create_simple((8, 4))
        h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_FLOAT, space, plist)
    with pytest.raises(
        MissingDependency,
        match=r"reading .*a.h5::x, compressed with filter .*pip install 'srmfast\[hdf5plugin\]'",
    ):
        open_store(tmp_path / "a.h5")


def test_a_damaged_chunk_is_one_line(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        rng = np.random.default_rng(0)
        file.create_dataset("x", data=rng.random((64, 64)), chunks=(16, 64), compression="gzip", fletcher32=True)
        offset = file["x"].id.get_chunk_info(1).byte_offset
    with open(tmp_path / "a.h5", "r+b") as file:
        file.seek(offset + 100)
        file.write(bytes(50))
    with open_store(tmp_path / "a.h5") as store:
        assert store.read(0, 16).shape == (16, 64)
        with pytest.raises(InputError, match=r"cannot be read at \[16:32, 0:64\].*damaged"):
            store.read(16, 32)


def test_a_virtual_dataset_with_lost_sources_is_refused(tmp_path):
    layout = h5py.VirtualLayout((8, 4), "f4")
    layout[:4] = h5py.VirtualSource("gone.h5", "x", (4, 4))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_virtual_dataset("x", layout)
    with pytest.raises(InputError, match="1 of its 1 source files are gone .gone.h5"):
        open_store(tmp_path / "a.h5")


def test_column_chunks_name_the_repack_command(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("acts", shape=(100_000, 768), chunks=(100_000, 1), dtype="f4")
    with open_store(tmp_path / "a.h5") as store:
        assert "rechunk: h5repack -l /acts:CHUNK=2730x768" in store.layout()[0]


def test_groups_are_not_datasets_and_a_given_file_stays_open(path):
    with h5py.File(path, "r") as file:
        with pytest.raises(InputError, match="HDF5 group is not a dataset"):
            open_store(file["layer_0"])
        open_store(file["layer_1/inputs"]).close()
        assert file["layer_1/inputs"].shape == (6, 4)


def test_chunks_that_were_never_written_are_missing_not_fill_values(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        grown = file.create_dataset("x", (100, 4), "f4", chunks=(10, 4), maxshape=(None, 4), fillvalue=np.nan)
        grown[:] = 1
        grown.resize((125, 4))
        grown[40:50] = np.nan  # written, whatever it holds
        file.create_dataset("columns", (100, 4), "f4", chunks=(10, 2))[:, :2] = 1
        file.create_dataset("flat", (6, 4), "f4")
        file.create_dataset("stack", (3, 20, 4), "f4", chunks=(1, 10, 4))[1] = 1
    with open_store(f"{tmp_path}/a.h5::x") as store:
        assert store.missing_rows() == [[100, 125]]
        assert store.missing_keys(2) == ["[100:110, 0:4]", "[110:120, 0:4]"]
    with open_store(f"{tmp_path}/a.h5::columns") as store:
        assert store.missing_rows() == [[0, 100]]
    with open_store(f"{tmp_path}/a.h5::flat") as store:
        assert store.missing_rows() == [[0, 6]]
    with open_store(f"{tmp_path}/a.h5::stack") as store:
        assert store.missing_rows() == [[0, 20], [40, 60]]
    with open_store(f"{tmp_path}/a.h5::stack", index={0: 1}) as store:
        assert store.missing_rows() == []


def test_external_values_that_end_early_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (100, 4), "f4", external=[("values.bin", 8, h5py.h5f.UNLIMITED)])
    np.arange(402, dtype=np.float32).tofile(tmp_path / "values.bin")
    with open_store(tmp_path / "a.h5") as store:
        assert store.read(0, 1).tolist() == [[2, 3, 4, 5]]
        assert store.missing_rows() == []
    os.truncate(tmp_path / "values.bin", 1000)
    with pytest.raises(InputError, match="values.bin, which holds 1000 bytes of 1608: .* read as zeros"):
        open_store(tmp_path / "a.h5")


def test_rows_of_a_virtual_dataset_that_no_file_is_mapped_to_are_missing(tmp_path):
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file["x"] = np.ones((10, 4), np.float32)
    layout = h5py.VirtualLayout((50, 4), "f4")
    for start in (0, 20, 30):
        layout[start : start + 10] = h5py.VirtualSource(tmp_path / "part.h5", "x", (10, 4))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_virtual_dataset("x", layout, fillvalue=np.nan)
    with open_store(tmp_path / "a.h5") as store:
        assert store.missing_rows() == [[10, 20], [40, 50]]
        assert store.missing_keys() == ["[10:20, 0:4]", "[40:50, 0:4]"]
        assert np.isnan(store.read(10, 20)).all() and store.read(20, 40).min() == 1
