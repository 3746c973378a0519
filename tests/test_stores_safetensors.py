"""safetensors beyond the contract: choices, folders with an index, marks and damage."""

import json
import os

import ml_dtypes
import numpy as np
import pytest
from store_faults import damaged, endure

from srmfast.errors import InputError
from srmfast.stores import load_column, open_store


def write(path, tensors, metadata=None, **changed):
    """Write as the format says; `changed` replaces descriptions."""
    header, values = ({"__metadata__": metadata} if metadata else {}), b""
    names = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "uint16": "U16", "bool": "BOOL"}
    for name, array in tensors.items():
        offsets = [len(values), len(values) + array.nbytes]
        described = {"dtype": names[array.dtype.name], "shape": list(array.shape), "data_offsets": offsets}
        header[name] = described | changed.get(name, {})
        values += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + values)
    return path


def test_our_writer_writes_what_the_library_reads(tmp_path):
    reader = pytest.importorskip("safetensors.numpy")
    write(tmp_path / "a.safetensors", {"x": np.eye(3, dtype=np.float32), "y": np.arange(3)}, {"format": "pt"})
    assert np.array_equal(reader.load_file(tmp_path / "a.safetensors")["x"], np.eye(3))


def test_tensors_are_listed_chosen_and_loaded(tmp_path):
    tensors = {"acts": np.zeros((4, 3), np.float32), "token_ids": np.arange(4), "keep": np.array([1, 0, 1, 1], bool)}
    path = write(tmp_path / "a.safetensors", tensors)
    with open_store(path) as store:
        assert store.location == f"{path}::acts"
        assert store.siblings() == {"token_ids": ((4,), "int64"), "keep": ((4,), "bool")}
        assert store.sibling("token_ids").tolist() == [0, 1, 2, 3]
        assert load_column("keep", store).tolist() == [True, False, True, True]
    assert load_column(f"{path}::keep").dtype == bool
    with pytest.raises(InputError, match=r"no array 'z'; it holds acts \(4, 3\) float32, token_ids"):
        open_store(f"{path}::z")


def test_bfloat16_is_read_and_a_column_of_it_has_values(tmp_path):
    bits = np.arange(12).reshape(4, 3).astype(ml_dtypes.bfloat16)
    path = write(tmp_path / "a.safetensors", {"x": bits, "w": bits[:, 0].copy()})
    with open_store(f"{path}::x") as store:
        assert store.dtype == "bfloat16"
        assert np.array_equal(store.read(0, 4), bits.view(np.uint16))
    assert load_column(f"{path}::w").tolist() == [0, 3, 6, 9]


def test_uint16_marked_as_bfloat16(tmp_path):
    bits = np.arange(12).reshape(4, 3).astype(ml_dtypes.bfloat16).view(np.uint16)
    path = write(tmp_path / "a.safetensors", {"x": bits, "codes": bits[:, 0].copy()}, {"dtype": "torch.bfloat16"})
    assert open_store(path).dtype == "bfloat16"
    assert load_column(f"{path}::codes").dtype == np.uint16
    assert open_store(write(tmp_path / "b.safetensors", {"x": bits})).dtype == "uint16"


def test_a_folder_with_an_index_opens_the_right_file(tmp_path):
    write(tmp_path / "model-1.safetensors", {"a": np.zeros((4, 3), np.float32)})
    write(tmp_path / "model-2.safetensors", {"b": np.ones((4, 3), np.float32)})
    index = tmp_path / "model.safetensors.index.json"
    files = {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-3.safetensors", "d": "../x"}
    index.write_text(json.dumps({"weight_map": files}))
    with open_store(f"{tmp_path}::b") as store:
        assert store.read(0, 4).sum() == 12
    assert load_column(f"{tmp_path}::a").shape == (4, 3)
    for spec, message in {
        f"{tmp_path}": "holds 4 tensors, a, b, c, d; name one as",
        f"{tmp_path}::q": "no tensor 'q'; it holds a, b, c, d",
        f"{tmp_path}::c": "names the file 'model-3.safetensors' for c, which is not in",
        f"{tmp_path}::d": "names the file '../x' for d, which is not in",
    }.items():
        with pytest.raises(InputError, match=message):
            open_store(spec)
    index.write_text("[" * 100000)
    with pytest.raises(InputError, match="index.json cannot be read"):
        open_store(f"{tmp_path}::a")


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"shape": [1 << 40, 1 << 20]}, "of shape .* the bytes 32 to 80, it needs"),
        (
            {"shape": [1 << 40, 3], "data_offsets": [32, 32 + (12 << 40)]},
            r"truncated: its header promises 1099511627776 rows",
        ),
        ({"data_offsets": [48, 0]}, "the bytes 48 to 0, it needs 48"),
        ({"data_offsets": [-48, 0]}, "describes its tensor x by"),
        ({"shape": [4, 3.0]}, "describes its tensor x by"),
        ({"shape": [True, 12]}, "describes its tensor x by"),
        ({"shape": [1] * 1000}, "describes its tensor x by"),
        ({"dtype": None}, "describes its tensor x by"),
        ({"dtype": "F4"}, "holds no candidate"),
        ({"data_offsets": [8, 56]}, "the tensors y and x overlap"),
        (
            {"data_offsets": [60, 108]},
            "is truncated: its header promises 4 rows .48 bytes., it holds 20 bytes, only rows 0:1",
        ),
    ],
)
def test_descriptions_that_cannot_be_true_are_refused(tmp_path, changed, message):
    tensors = {"y": np.arange(4), "x": np.zeros((4, 3), np.float32)}
    path = write(tmp_path / "a.safetensors", tensors, x=changed)
    with pytest.raises(InputError, match=message):
        open_store(path)


def test_truncated_files_name_what_is_there(tmp_path):
    tensors = {"x": np.zeros((100, 10), np.float32), "y": np.arange(100)}
    path = write(tmp_path / "a.safetensors", tensors)
    size = path.stat().st_size
    os.truncate(path, size - 8)
    with pytest.raises(InputError, match="::x is whole, but the file is truncated"):
        open_store(path)
    os.truncate(path, size - 800 - 90)
    with pytest.raises(InputError, match="::x is truncated: .*only rows 0:97 are readable"):
        open_store(path)
    os.truncate(path, 100)
    with pytest.raises(InputError, match="is truncated: its header takes .* bytes, it holds 92"):
        open_store(path)
    for content in (b"", b"1234567", b"\xff" * 40, b"\x02" + bytes(7) + b"[]", b"\x04" + bytes(7) + b"\xff{}["):
        path.write_bytes(content)
        with pytest.raises(InputError, match="is not a safetensors file"):
            open_store(path)


def test_damaged_files_end_as_one_line(tmp_path):
    tensors = {"x": np.zeros((20, 3), np.float32), "ids": np.arange(20)}
    whole = write(tmp_path / "a.safetensors", tensors, {"dtype": "float32"}).read_bytes()
    read = []
    for image in damaged(whole, 300, within=220):
        (tmp_path / "b.safetensors").write_bytes(image)
        read.append(endure(tmp_path / "b.safetensors", "x"))
    assert 0 < sum(read) < 300
