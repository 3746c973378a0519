"""Raw binary files: how they are described, and what a wrong description says."""

import ml_dtypes
import numpy as np
import pytest
import torch_files

from srmfast.errors import InputError
from srmfast.stores import load_column, open_store

X = np.arange(6 * 768, dtype=np.float32).reshape(6, 768)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "acts.bin").write_bytes(X.tobytes())
    return tmp_path / "acts.bin"


@pytest.mark.parametrize("kind", ["float32", "f4", "<f4", "fp32", "FLOAT32"])
@pytest.mark.parametrize("shape", ["6x768", "-1x768", " 6x-1 ", "6X768"])
def test_types_and_shapes_have_short_and_long_names(path, kind, shape):
    with open_store(f"{path}::{kind},{shape}") as store:
        assert (store.shape, store.dtype, store.name) == ((6, 768), "float32", "acts")
        assert np.array_equal(store.read(2, 5), X[2:5])


def test_without_a_description_the_error_says_how_to_write_one(path):
    with pytest.raises(
        InputError, match="acts.bin holds 18432 bytes and no description; .*::float16,1000x768 .*"
    ) as caught:
        open_store(path)
    assert "shapes that fit: float32,6x768, float16,12x768" in str(caught.value)
    empty = path.with_name("empty.raw")
    empty.touch()
    with pytest.raises(InputError, match="holds 0 bytes and no description.*-1x768$"):
        open_store(empty)


@pytest.mark.parametrize(
    "key, message",
    [
        ("float32,7x768", "holds 18432 bytes behind the offset and float32,7x768 needs 21504 bytes; 6 whole rows fit"),
        ("float32,5x768", "needs 15360 bytes; 6 whole rows fit"),
        ("float32,-1x767", "needs 3068 bytes for each position of the -1; 6 whole rows fit"),
        ("float32,6x768,offset=4", "holds 18428 bytes behind the offset"),
        ("float32,6x768,offset=99999999", "holds 0 bytes behind the offset"),
        ("float32,999999999999999999x999999999999999999", "needs 3999999999999999992000000000000000004 bytes"),
        ("float32,-1x-1", "at most one of them -1"),
        ("float32,-2x768", "at most one of them -1"),
        ("float32,0x768", "must be 1 or more"),
        ("complex64,6x768", "the type of raw values must be one of bool, int8"),
        ("O,6x768", "the type of raw values must be one of"),
        ("f3,6x768", "the type of raw values must be one of"),
        ("float32", "gives no shape"),
        ("float32,6x768,order=K", "'order=K' of .* is not understood"),
        ("float32,6x768,6x768", "'6x768' of .* is not understood"),
        ("float32,6by768", "'6by768' of .* is not understood"),
        ("acts", "the type of raw values must be one of"),
    ],
)
def test_wrong_descriptions_say_what_is_wrong(path, key, message):
    with pytest.raises(InputError, match=message) as caught:
        open_store(f"{path}::{key}")
    assert "\n" not in str(caught.value)


def test_offsets_ranks_and_columns(path):
    with open_store(f"{path}::f4,5x2x384,offset=3072", index={1: 1}) as store:
        assert np.array_equal(store.read(0, 5), X[1:].reshape(5, 2, 384)[:, 1])
    (path.with_name("labels.bin")).write_bytes(np.arange(6, dtype=np.uint8).tobytes())
    assert load_column(f"{path.with_name('labels.bin')}::uint8,6").tolist() == [0, 1, 2, 3, 4, 5]
    bits = X.astype(ml_dtypes.bfloat16).view(np.uint16)
    path.write_bytes(bits.astype(">u2").tobytes())
    with open_store(f"{path}::>bf16,6x768") as store:
        assert np.array_equal(store.read(1, 3), bits[1:3])


def test_a_file_of_any_name_is_raw_when_it_is_described(path):
    other = path.rename(path.with_name("acts.xyz"))
    with open_store(f"{other}::float32,6x768") as store:
        assert store.describe()["format"] == "raw"
    with pytest.raises(InputError, match="acts.xyz is of an unknown kind.*raw values as .*acts.xyz::float32,1000x768"):
        open_store(other)


def test_a_bin_file_of_torch_is_no_raw_file(path):
    torch_files.write(path, {"weight": X})
    assert open_store(path).describe()["format"] == "torch"
    path.write_bytes(b"\x80\x02}.")
    with pytest.raises(InputError, match="bare pickle"):
        open_store(path)


def test_raw_parts_are_described_together_and_others_do_not_mind_them(tmp_path):
    for number in (2, 10, 1):
        (tmp_path / f"acts{number}.bin").write_bytes(np.full((number, 3), number, np.float32).tobytes())
    with open_store(f"{tmp_path}::float32,-1x3") as store:
        assert store.read(0, 13)[:, 0].tolist() == [1] + [2] * 2 + [10] * 10
    with pytest.raises(InputError, match=r"holds no store .*or parts of raw values as .*::float32,-1x768"):
        open_store(tmp_path)
    np.save(tmp_path / "a.npy", X)
    assert open_store(tmp_path).shape == X.shape
