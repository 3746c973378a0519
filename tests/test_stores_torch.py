"""Files of torch.save beyond the contract: what is found, what is refused, and that nothing is ever run."""

import os
import pickle
import struct
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from store_faults import damaged, endure
from torch_files import Raw, Tensor, Writer, write

from srmfast.errors import InputError
from srmfast.stores import load_column, open_store

DATA = Path(__file__).parent / "data"
X = np.arange(24, dtype=np.float32).reshape(6, 4)


def refused(match, spec):
    with pytest.raises(InputError, match=match) as caught:
        open_store(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["torch-nested.pt", "torch-protocol-4.pt"])
@pytest.mark.parametrize(
    "key, expected, order",
    [
        ("x", X, "C"),
        ("float16", X.astype(np.float16), "C"),
        ("bfloat16", X.astype(ml_dtypes.bfloat16).view(np.uint16), "C"),
        ("float8_e4m3fn", X.astype(ml_dtypes.float8_e4m3fn).view(np.uint8), "C"),
        ("float8_e5m2", X.astype(ml_dtypes.float8_e5m2).view(np.uint8), "C"),
        ("transposed", X.T, "F"),
        ("permuted", X.reshape(2, 3, 4).transpose(2, 0, 1).reshape(8, 3), "strided"),
        ("window", X[1:5, 1:3], "C"),
        ("every_second", X[::2, ::2], "C"),
        ("parameter", X, "C"),
        ("layers/0/acts", X + 1, "C"),
        ("layers/1/acts", X + 2, "C"),
    ],
)
def test_what_torch_wrote_is_read(name, key, expected, order):
    with open_store(f"{DATA}/{name}::{key}") as store:
        assert store.dtype == (key if "float" in key else "float32")
        assert store.describe()["order"] == order
        for start, stop in ((0, len(expected)), (1, 2), (2, len(expected) - 1)):
            assert np.array_equal(store.read(start, stop), expected[start:stop])


def test_columns_beside_the_tensors():
    with open_store(f"{DATA}/torch-nested.pt::layers/1/acts") as store:
        assert store.sibling("layers/1/ids").tolist() == list(range(6))
        assert store.sibling("names").tolist() == list("abcdef")
        assert store.siblings()["names"] == ((6,), "list of str")
        assert load_column("mask", store).tolist() == [True, False] * 3
    assert load_column(f"{DATA}/torch-nested.pt::layers/0/ids").dtype == np.int64
    assert load_column(f"{DATA}/torch-nested.pt::layers/1/ids").dtype == np.uint16
    assert load_column(f"{DATA}/torch-nested.pt::bfloat16").tolist() == X.tolist()
    assert load_column(f"{DATA}/torch-nested.pt::7").tolist() == [0, 1, 2, 3]
    assert load_column(f"{DATA}/torch-nested.pt::names").tolist() == list("abcdef")


def test_a_bare_tensor_and_a_state_dict_need_no_or_one_name():
    with open_store(DATA / "torch-tensor.pt") as store:
        assert store.location == f"{DATA}/torch-tensor.pt"
        assert np.array_equal(store.read(0, 6), X)
    with open_store(DATA / "torch-state-dict.pt") as store:  # the only matrix
        assert store.location.endswith("::0.weight")
        assert np.array_equal(store.read(0, 3), X[:3])
        assert set(store.siblings()) >= {"0.bias", "1.running_mean", "1.num_batches_tracked"}


def test_what_is_not_tensors_is_refused_by_name():
    refused(
        "asks for 'torch.nn.modules.container.Sequential', which would run code and is never done",
        DATA / "torch-module.pt",
    )
    refused("in the format of torch before 1.6, which is not read; load it with", DATA / "torch-old.pt")
    refused("an expanded view.; save tensor.contiguous", f"{DATA}/torch-expanded.pt")
    refused(r"several arrays, x \(6, 4\) float32, float16", f"{DATA}/torch-nested.pt")
    refused("names is a list of values, not a tensor", f"{DATA}/torch-nested.pt::names")
    refused("no array 'layers/2'", f"{DATA}/torch-nested.pt::layers/2")


class Trap:
    def __reduce__(self):
        return os.mkdir, ("unpickled",)


@pytest.mark.parametrize("protocol", range(6))
def test_no_pickle_is_ever_run(tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    image = pickle.dumps({"x": Trap()}, protocol)
    refused(
        "asks for '.*mkdir', which would run code|instruction .* is not known",
        write(tmp_path / "a.pt", {}, image=image),
    )
    Path("b.pt").write_bytes(image)
    refused("bare pickle|not a whole .pt file", "b.pt")
    assert not Path("unpickled").exists()


def call(name, arguments=b")"):
    return Raw(b"c" + name.replace(" ", "\n").encode() + b"\n" + arguments + b"R")


@pytest.mark.parametrize(
    "value, message",
    [
        (call("builtins eval"), "asks for 'builtins.eval'"),
        (call("torch._utils _rebuild_sparse_tensor"), "asks for 'torch._utils._rebuild_sparse_tensor'"),
        (call("torch load"), "asks for 'torch.load'"),
        (call("torch float32.__class__"), "asks for 'torch.float32.__class__'"),
        (call("torch FloatStorage"), "calls 'torch.FloatStorage'"),
        (Raw(b"ccollections\nOrderedDict\n)\x81"), "constructs objects"),
        (Raw(b"(icollections\nOrderedDict\n"), "constructs objects"),
        (Raw(b"(ccollections\nOrderedDict\no"), "constructs objects"),
        (Raw(b"ccollections\nOrderedDict\n}b"), "sets the state of a Name"),
        (Raw(b"]}b"), "sets the state of a list"),
        (Raw(b"\x82\x01"), "constructs objects"),
        (Raw(b"X\x01\x00\x00\x00a)R"), "calls 'str'"),
        (Raw(b"Vtext\n"), "instruction b'V' is not known"),
        (call("collections OrderedDict", b"(]t"), "an OrderedDict made of something"),
        (Raw(b"X\xff\xff\xff\xffabc"), "it ends too early"),
        (Raw(b"\x8b\xff\xff\x00\x00" + bytes(70000)), "an integer of 65535 bytes"),
        (Raw(b"}(]Nu"), "a key of type list"),
        (Raw(b"}()\x85\x85Nu"), "a key of type tuple"),
        (Raw(b"h\x07"), "damaged near byte"),
        (Raw(b"\xff"), "is not known"),
        (Raw(b"0000"), "damaged near byte"),
    ],
)
def test_programs_are_refused(tmp_path, value, message):
    refused(message, write(tmp_path / "a.pt", {"x": X, "y": value}))


@pytest.mark.parametrize(
    "tensor, message",
    [
        (Tensor(X, shape=(7, 4)), r"of shape \(7, 4\) .* needs 112 bytes, its storage holds 96"),
        (Tensor(X, offset=1), "needs 100 bytes, its storage holds 96"),
        (Tensor(X, strides=(5, 1)), "needs 116 bytes"),
        (Tensor(X, shape=(1 << 40, 1 << 20)), "its storage holds 96"),
        (Tensor(X, shape=(1 << 62, 4), strides=(0, 1)), "repeats values of its storage"),
        (Tensor(X, strides=(-4, 1)), "a size that is '-4'"),
        (Tensor(X, shape=(6, -4)), "a size that is '-4'"),
        (Tensor(X, offset=-1), "a size that is '-1'"),
        (Tensor(X, offset=1 << 80), "a size that is"),
        (Tensor(X, shape=(6, 4.0)), "a size that is '4.0'"),
        (Tensor(X, shape=(6,)), "1 axes and 2 strides"),
        (Tensor(X, shape=(1,) * 100, strides=(1,) * 100), "100 axes"),
        (Tensor(X, elements=8), "its storage holds 32"),
        (Tensor(X, elements=-8), "a size that is '-8'"),
        (Tensor(X, key="9"), "is stored as archive/data/9, which .* lacks"),
        (Tensor(X, key="../data.pkl"), "is stored as archive/data/../data.pkl, which .* lacks"),
        (Tensor(np.zeros((2, 2)), key="0"), None),
    ],
)
def test_claims_are_held_against_the_storage(tmp_path, tensor, message):
    path = write(tmp_path / "a.pt", {"x": tensor})
    if message is None:
        assert open_store(path).shape == (2, 2)
    else:
        refused(message, f"{path}::x")


def test_views_never_read_outside_their_values(tmp_path):
    storage = np.arange(40, dtype=np.int32)
    for shape, strides, offset in [
        ((4, 3), (10, 3), 3), ((3, 4), (1, 10), 7), ((5, 2), (2, 1), 30), ((2, 3, 4), (1, 2, 10), 0),
        ((2, 3, 4), (20, 1, 5), 2), ((1, 5), (999, 8), 7), ((3, 3), (1, 1), 0), ((2, 6), (0, 1), 4),
    ]:  # fmt: skip
        path = write(tmp_path / "a.pt", {"x": Tensor(storage, strides, offset, shape)})
        expected = np.lib.stride_tricks.as_strided(storage[offset:], shape, [4 * stride for stride in strides])
        with open_store(path) as store:
            rows = expected.reshape(-1, shape[-1])
            assert np.array_equal(store.read(0, store.n), rows)
            assert np.array_equal(store.read(1, store.n), rows[1:])


def test_shared_and_circular_lists_end(tmp_path):
    laughs = b"]" + b"q\x00" + b"".join(b"](h%ch%ce" % (i, i) + b"q%c" % (i + 1) for i in range(60))
    refused("holds more than .* or itself", write(tmp_path / "a.pt", Raw(laughs)))
    refused("holds more than .* or itself", write(tmp_path / "a.pt", Raw(b"]q\x00h\x00a")))
    refused("holds more than .* or itself", write(tmp_path / "a.pt", Raw(b"N" + b"\x85" * 100000)))
    refused("holds more than .* or itself", write(tmp_path / "a.pt", Raw(b"]" + b"]" * 50000 + b"a" * 50000)))
    long = b"X" + struct.pack("<I", 1 << 20) + b"k" * (1 << 20)
    many = b"](" + b"N" * 10000 + b"eq\x00"
    refused("holds more than .* or itself", write(tmp_path / "a.pt", Raw(many + b"0}" + long + b"h\x00s")))


def test_two_values_of_one_name_are_refused(tmp_path):
    refused("holds 'a/b' twice", write(tmp_path / "a.pt", {"a/b": X, "a": {"b": X}}))


def test_files_that_are_not_of_torch(tmp_path):
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", b"")
    refused("without one data.pkl", path)
    path.write_bytes(b"hello")
    refused("not a whole .pt file", path)
    whole = write(path, {"x": X}).read_bytes()
    path.write_bytes(whole[:-30])
    refused("not a whole .pt file", path)
    refused("is compressed, torch.save stores", write(path, {"x": X}, compressed=True))
    refused("archive/data/0, which .* lacks", write(path, {"x": X}, without=("data/0",)))


def test_a_description_of_gigabytes_is_not_unpacked(tmp_path, monkeypatch):
    from srmfast.stores import _torch

    monkeypatch.setattr(_torch, "DESCRIPTION_BYTES", 1000)
    refused("in 5000 bytes, at most 1000", write(tmp_path / "a.pt", {}, image=bytes(5000), compressed=True))


def test_damaged_files_end_as_one_line(tmp_path):
    value = {
        "x": X,
        "l": [X.astype(np.float16), {"ids": np.arange(6)}],
        "names": ["a", "b"],
        "t": Tensor(X, (1, 6), 0, (6, 4)),
    }
    described = b"\x80\x02" + Writer().value(value) + b"."
    read = []
    for image in damaged(described, 300):  # the zip's checksum would hide these
        write(tmp_path / "a.pt", value, image=image)
        read.append(endure(tmp_path / "a.pt", "x"))
    for image in damaged(write(tmp_path / "a.pt", value).read_bytes(), 100, seed=1):
        (tmp_path / "a.pt").write_bytes(image)
        read.append(endure(tmp_path / "a.pt", "x"))
    assert 0 < sum(read) < 400
