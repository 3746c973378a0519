"""Labels, groups and masks: where they come from and how they meet the rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srmfast.errors import InputError
from srmfast.stores import expand, load_column, open_store

h5py = pytest.importorskip("h5py")
zarr = pytest.importorskip("zarr")


def test_arrays_and_lists_are_taken_as_they_are():
    array = np.arange(4)
    assert load_column(array) is array
    assert load_column(["a", "bb"]).dtype.kind == "U"
    assert load_column([True, False]).dtype == bool
    assert load_column(np.array(["a", "b"], dtype=object)).tolist() == ["a", "b"]
    assert load_column(np.array([b"a", "é".encode()])).tolist() == ["a", "é"]


def test_objects_are_refused():
    with pytest.raises(InputError, match="numbers, bools or text, got object"):
        load_column(np.array([1, None], dtype=object))
    with pytest.raises(InputError, match="numbers, bools or text"):
        load_column(np.zeros(3, [("a", "i4")]))


def test_pandas_columns_of_text_are_text():
    pandas = pytest.importorskip("pandas")
    assert load_column(pandas.Series(["a", "b"])).tolist() == ["a", "b"]
    assert load_column(pandas.Series([1, 2])).dtype == np.int64


def test_every_kind_of_file(tmp_path):
    values = np.array([3, 1, 2])
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "a.npz", y=values, z=values)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/y"] = values
    zarr.open_group(tmp_path / "a.zarr", mode="w")["y"] = values
    for spec in ("a.npy", "a.npz::y", "a.h5::g/y", "a.h5", "a.zarr::y", "a.zarr"):
        assert load_column(f"{tmp_path}/{spec}").tolist() == [3, 1, 2]
    assert load_column(tmp_path / "a.npy").tolist() == [3, 1, 2]
    with pytest.raises(InputError, match="several arrays"):
        load_column(tmp_path / "a.npz")
    with pytest.raises(InputError, match="nope.npy does not exist"):
        load_column(tmp_path / "nope.npy")


@pytest.mark.parametrize(
    "name, text, expected",
    [
        ("a.txt", "cat\ndog\ncat\n", ["cat", "dog", "cat"]),
        ("a.txt", "1\n-2\n30", [1, -2, 30]),
        ("a.txt", "007\n008\n", ["007", "008"]),
        ("a.txt", "a\n\nb\n\n", ["a", "", "b"]),
        ("a.txt", "\ufeffa\r\nb\r\n", ["a", "b"]),
        ("a.csv", "label\n1\n2\n", [1, 2]),
        ("a.csv", "x\ny\n", ["x", "y"]),
        ("a.csv", '"a b"\n"c"\n', ["a b", "c"]),
        ("a.txt", "label\n1\n2\n", ["label", "1", "2"]),
    ],
)
def test_text_files_hold_one_value_a_line(tmp_path, name, text, expected):
    (tmp_path / name).write_bytes(text.encode())
    assert load_column(tmp_path / name).tolist() == expected


def test_bad_text_files_are_one_line(tmp_path):
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(InputError, match="is empty"):
        load_column(tmp_path / "a.txt")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InputError, match="not UTF-8"):
        load_column(tmp_path / "b.txt")
    with pytest.raises(InputError, match="cannot be read"):
        load_column(tmp_path / "c.txt")


def test_a_bare_key_is_an_array_beside_the_store(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["acts"] = np.zeros((3, 4))
        file["labels"] = ["a", "b", "c"]
        file["codes"] = np.array([b"x", b"y", b"z"])
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 4)), y=np.arange(3))
    with open_store(tmp_path / "a.h5") as store:
        assert load_column("labels", store).tolist() == ["a", "b", "c"]
        assert load_column("codes", store).tolist() == ["x", "y", "z"]
        with pytest.raises(InputError, match="no array 'nope'; it holds"):
            load_column("nope", store)
    with open_store(tmp_path / "a.npz") as store:
        assert load_column("y", store).tolist() == [0, 1, 2]
    with pytest.raises(InputError, match="is a single array and has no 'y' beside it"):
        load_column("y", open_store(np.zeros((3, 4))))
    with pytest.raises(InputError, match="y does not exist; give a file of .txt, .csv, .npy"):
        load_column("y")


def test_a_key_wins_over_a_file_of_an_unknown_kind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "y").write_text("something else")
    np.savez("a.npz", x=np.zeros((3, 4)), y=np.arange(3))
    with open_store("a.npz") as store:
        assert load_column("y", store).tolist() == [0, 1, 2]
    with pytest.raises(InputError, match="y is of an unknown kind"):
        load_column("y")


def test_an_object_member_is_never_unpickled(tmp_path):
    np.savez(tmp_path / "a.npz", y=np.array(["a", None], dtype=object))
    with pytest.raises(InputError, match="never unpickled"):
        load_column(f"{tmp_path}/a.npz::y")


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple), st.data())
def test_a_prefix_of_the_row_axes_is_repeated_over_the_rest(row_shape, data):
    rank = data.draw(st.integers(1, len(row_shape)))
    column = np.arange(np.prod(row_shape[:rank])).reshape(row_shape[:rank])
    trailing = column.reshape(column.shape + (1,) * (len(row_shape) - rank))
    reference = np.broadcast_to(trailing, row_shape).ravel()
    values, inner = expand(column, row_shape)
    assert [values[r // inner] for r in range(len(reference))] == reference.tolist()


def test_flat_columns_and_single_columns_of_tables_fit():
    assert expand(np.arange(6), (2, 3))[1] == 1
    values, inner = expand(np.arange(3)[:, None], (3,))
    assert (values.shape, inner) == ((3,), 1)
    assert expand(np.arange(2), (2, 3))[1] == 3


@pytest.mark.parametrize("shape", [(3,), (3, 2), (7,), (), (2, 3, 4), (5, 1)])
def test_other_lengths_are_refused_naming_both(shape):
    with pytest.raises(
        InputError, match=r"mask must have one value a row, shape \(2,\) or \(2, 3\) or \(6,\); got shape"
    ):
        expand(np.zeros(shape), (2, 3), "mask")
