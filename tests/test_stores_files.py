"""Paths, .npy, .npz and folders of parts: what is opened, and the one line when it cannot be."""

import os
import pickle
import types
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch_files

from srmfast.errors import InputError
from srmfast.sound import line
from srmfast.stores import open_store


def refused(match, *args, **options):
    """Expect one line that matches."""
    with pytest.raises(InputError, match=match) as caught:
        open_store(*args, **options)
    assert "\n" not in str(caught.value)


@pytest.fixture
def dumps():
    data = os.environ.get("SRMFAST_DATA")
    if not data:
        pytest.skip("SRMFAST_DATA is not set: the real activation dumps are elsewhere")
    return Path(data) / "activation_dumps"


class Trap:
    """An object that leaves a trace when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("unpickled",)


def test_missing_files_unknown_kinds_and_bad_specs(tmp_path):
    refused("nowhere.npy does not exist", tmp_path / "nowhere.npy")
    refused("nor its folder", tmp_path / "no" / "x.npy")
    (tmp_path / "a.dat").write_bytes(b"12345678")
    refused(r"a.dat is of an unknown kind; known are .npy, .npz, .zarr", tmp_path / "a.dat")
    refused("chained URL", "a.zip::s3://bucket/x.zarr")
    refused("drop the empty part", "a.h5::")
    refused("must be an array or a path, got dict", {"a": 1})
    refused("does not convert to an array", [[1.0, 2.0], [3.0]])
    refused("masked array", np.ma.masked_array(np.zeros((2, 2)), mask=True))


def test_the_kind_of_a_nameless_file_is_known_by_its_first_bytes(tmp_path):
    np.save(tmp_path / "a.npy", np.eye(3))
    (tmp_path / "a.npy").rename(tmp_path / "blob")
    assert open_store(tmp_path / "blob").describe()["format"] == "npy"


@pytest.mark.parametrize(
    "array, message",
    [
        (np.array([["a", "b"]]), "must be real numbers .* holds <U1"),
        (np.zeros((2, 2), complex), "must be real numbers"),
        (np.zeros((2, 2), "M8[s]"), "must be real numbers"),
        (np.zeros((2, 2), [("x", "f4"), ("y", "f4")]), r"holds records \(x, y\)"),
        (np.array([[1, None]]), "Python objects, which are never unpickled"),
    ],
)
def test_types_without_numbers_are_refused(tmp_path, monkeypatch, array, message):
    monkeypatch.chdir(tmp_path)
    refused(message, array)
    np.save("a.npy", array, allow_pickle=True)
    refused(message, "a.npy")


def test_float8_types_that_nobody_writes_are_refused_by_name():
    import ml_dtypes

    refused(
        "float8_e4m3fn, float8_e5m2, .* are read, array in memory holds float8_e3m4",
        np.zeros((2, 2), ml_dtypes.float8_e3m4),
    )


def test_a_truncated_npy_names_its_readable_rows(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((100, 10), np.float32))
    os.truncate(path, path.stat().st_size - 1000)
    refused(r"truncated: its header promises 100 rows \(4000 bytes\).*only rows 0:75 are readable", path)
    np.save(path, np.zeros((100, 10), np.float32, order="F"))
    os.truncate(path, path.stat().st_size - 1)
    refused("truncated.*no row is whole", path)
    os.truncate(path, 20)
    refused("is not a .npy file", path)
    refused("a .npy file holds one array.*drop '::x'", f"{path}::x")


def test_a_file_that_shrinks_while_it_is_read_is_named(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((100, 10), np.float32))
    with open_store(path) as store:
        os.truncate(path, 2000)
        assert store.read(0, 10).shape == (10, 10)
        with pytest.raises(InputError, match="became shorter"):
            store.read(90, 100)


def test_features_first_files_are_reported(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 5000)))
    with open_store(tmp_path / "a.npy", feature_axis=0) as store:
        (line,) = store.layout()
        assert "39.06 KiB apart (features first)" in line
    with open_store(tmp_path / "a.npy") as store:
        assert store.layout() == []


def test_npz_members_are_listed_chosen_and_never_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trap = np.empty((2, 2), object)
    trap[:] = Trap()
    np.savez("one.npz", x=np.zeros((3, 4)), y=np.arange(3), tokens=trap)
    store = open_store("one.npz")
    assert store.location == "one.npz::x"
    assert store.sibling("y").tolist() == [0, 1, 2]
    assert store.siblings() == {"y": ((3,), "int64"), "tokens": ((2, 2), "object")}
    with pytest.raises(InputError, match="never unpickled"):
        store.sibling("tokens")
    with pytest.raises(InputError, match=r"no array 'z'; it holds x \(3, 4\) float64, y \(3,\) int64"):
        store.sibling("z")
    store.close()
    refused("never unpickled", "one.npz::tokens")
    refused("no array 'z'", "one.npz::z")
    np.savez("two.npz", a=np.zeros((3, 4)), b=np.zeros((3, 4)))
    refused(r"holds several arrays, a \(3, 4\) float64, b .*name one as two.npz::KEY", "two.npz")
    np.savez("none.npz", y=np.arange(3))
    refused(r"holds no candidate .* only y \(3,\)", "none.npz")
    assert not Path("unpickled").exists()
    with open("one.npy", "wb") as file:
        pickle.dump(Trap(), file)
    refused("not a .npy file", "one.npy")
    assert not Path("unpickled").exists()


def test_a_damaged_npz_is_one_line(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).random((50, 50)))
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    refused("not a whole .npz file", path)
    path.write_bytes(whole[:5000] + bytes(100) + whole[5100:])
    refused("not a whole .npz file", path)
    path.write_bytes(b"no zip")
    refused("not a whole .npz file", path)


def test_stored_members_are_read_in_place_at_any_offset(tmp_path):
    first, second = np.random.default_rng(0).random((2, 40, 7))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for name, array in (("long/name/first", first), ("second", second)):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.save(member, array)
    for name, array in (("long/name/first", first), ("second", second)):
        with open_store(f"{tmp_path}/a.npz::{name}") as store:
            assert np.array_equal(store.read(5, 33), array[5:33])
            assert store.name == f"a.{name.replace('/', '.')}"


def test_parts_are_read_in_natural_order_and_the_order_is_told(tmp_path):
    for number in (10, 9, 1, 2, 100):
        np.save(tmp_path / f"shard-{number}.npy", np.full((2, 3), number))
    with open_store(tmp_path) as store:
        assert store.read(0, 10)[::2, 0].tolist() == [1, 2, 9, 10, 100]
        assert store.describe()["parts"][1] == "shard-2.npy"
    with open_store(f"{tmp_path}/shard-1*.npy") as store:
        assert store.read(0, 6)[:, 0].tolist() == [1, 1, 10, 10, 100, 100]
        assert store.name == "shard-1"


def test_more_parts_than_a_process_may_open(tmp_path, monkeypatch):
    from srmfast.stores import _shards

    monkeypatch.setattr(_shards, "OPEN_PARTS", 2)
    for number in range(30):
        np.save(tmp_path / f"{number}.npy", np.full((2, 3), number))
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    with open_store(tmp_path) as store:
        assert store.read(0, 60)[:, 0].tolist() == np.repeat(np.arange(30), 2).tolist()
        if before is not None:
            assert len(os.listdir("/proc/self/fd")) <= before + 3


def test_parts_that_differ_are_refused_by_name(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    np.save(tmp_path / "b.npy", np.zeros((2, 4)))
    refused(r"a.npy is \(2, 3\), b.npy is \(2, 4\)", tmp_path)
    np.save(tmp_path / "b.npy", np.zeros((2, 3), np.float32))
    np.save(tmp_path / "c.npy", np.zeros((2, 3), np.int32))
    refused("one dtype, or all be floats: a.npy is float64, c.npy is int32", tmp_path)
    os.remove(tmp_path / "c.npy")
    np.savez(tmp_path / "b.npz", x=np.zeros((2, 3)))
    refused(r"one format, .* mixes a.npy \(npy\) and b.npz \(npz\)", tmp_path)


def test_empty_folders_and_globs_are_refused(tmp_path):
    refused("holds no store .found nothing", tmp_path)
    (tmp_path / "README.md").write_text("x")
    refused("holds no store .found README.md", tmp_path)
    refused("no store matches", f"{tmp_path}/*.npy")


def test_a_key_applies_to_every_part_and_siblings_are_joined(tmp_path):
    for number in range(3):
        np.savez(tmp_path / f"{number}.npz", acts=np.full((2, 4, 3), number), tokens=np.full((2, 4), number))
    with open_store(f"{tmp_path}::acts", index={1: 2}) as store:
        assert store.read(0, 6)[:, 0].tolist() == [0, 0, 1, 1, 2, 2]
        assert store.sibling("tokens").shape == (6, 4)
        assert list(store.siblings()) == ["tokens"]


def test_real_dumps(dumps):
    with open_store(dumps / "svcca_MNIST_model_0_lay04.npy", feature_axis=0) as store:
        reference = np.load(dumps / "svcca_MNIST_model_0_lay04.npy").T
        assert store.shape == (10000, 10)
        assert np.array_equal(store.read(123, 4567), reference[123:4567])
    with open_store(dumps / "zappi3_activations_500.npz") as store:
        assert (store.shape, store.dtype, store.name) == ((500, 896), "float32", "zappi3_activations_500")
        assert abs(store.read(0, 500)).max() > 1700
        with pytest.raises(InputError, match="never unpickled"):
            store.sibling("tokens")
    refused("holds 2 layers, features.12, classifier.5", dumps / "brainscore_alexnet-rgb-1000.nc")
    with open_store(f"{dumps / 'brainscore_alexnet-rgb-1000.nc'}::features.12") as store:
        assert store.shape == (1, 1000)
        layers = store.sibling("layer")
        assert layers.shape == (2000,) and layers.dtype.kind == "U"
        with open_store(f"{dumps / 'brainscore_alexnet-rgb-1000.nc'}::__xarray_dataarray_variable__") as everything:
            assert np.array_equal(store.read(0, 1), everything.read(0, 1)[:, layers == "features.12"])


def test_a_tensor_that_needs_no_gradient_is_not_copied():
    array = np.zeros((3, 4), np.float32)
    tensor = types.SimpleNamespace(dtype="torch.float32", numpy=lambda: array)
    tensor.detach = tensor.cpu = lambda: tensor
    assert np.shares_memory(open_store(tensor).read(0, 2), array)


def test_what_writers_leave_beside_their_parts_is_no_part(tmp_path):
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", np.full((2, 3), number))
    for suffix in (".lock", ".tmp", ".part", ".meta.json"):
        (tmp_path / f"3.npy{suffix}").write_bytes((tmp_path / "2.npy").read_bytes())
    assert open_store(tmp_path).describe()["parts"] == ["0.npy", "1.npy", "2.npy"]


@pytest.mark.parametrize(
    "kinds, expected",
    [
        (("float16", "float32"), "float32"),
        (("bfloat16", "float16"), "float32"),
        (("float32", "bfloat16", "float64"), "float64"),
        (("float8_e4m3fn", "float8_e5m2"), "float32"),
        (("float8_e4m3fn", "float16"), "float32"),
        (("bfloat16", "bfloat16"), "bfloat16"),
    ],
)
def test_parts_of_several_float_types_are_read_as_the_type_that_holds_them(tmp_path, kinds, expected):
    rows = []
    for number, kind in enumerate(kinds):
        part = np.linspace(-3, 300, 12).reshape(4, 3).astype(getattr(ml_dtypes, kind, kind))
        torch_files.write(tmp_path / f"{number}.pt", part)
        rows.append(part.view(np.uint16) if expected == "bfloat16" else part.astype(expected))
    with open_store(f"{tmp_path}/*.pt") as store:
        assert store.dtype == expected
        block = store.read(0, store.n)
        assert block.dtype == np.concatenate(rows).dtype
        assert np.array_equal(block, np.concatenate(rows))
        assert np.array_equal(store.read(2, 6), block[2:6])
        notes = store.layout()
    if len(set(kinds)) == 1:
        assert notes == []
    else:
        assert f"are read as {expected}, which holds them exactly" in notes[0]
        assert f"{kinds[1]} (1.pt)" in notes[0]


def test_every_value_of_a_narrow_type_survives():
    from srmfast.stores import _dtypes

    for name, bits in (("bfloat16", np.uint16), ("float16", np.uint16), ("float8_e4m3fn", np.uint8), ("float8_e5m2", np.uint8),
                       ("float8_e4m3fnuz", np.uint8), ("float8_e5m2fnuz", np.uint8)):  # fmt: skip
        raw = np.arange(np.iinfo(bits).max + 1, dtype=bits)
        kind = getattr(ml_dtypes, name, name)
        wide = _dtypes.widen(raw.view(np.float16) if name == "float16" else raw, name, "float32")
        number = ~np.isnan(wide)
        with np.errstate(all="ignore"):
            assert np.array_equal(wide[number].astype(kind).view(bits), raw[number])
            assert np.array_equal(wide, raw.view(kind).astype(np.float32), equal_nan=True)


@pytest.mark.parametrize(
    "complaint, said",
    [("a\n  b", "a b"), ("\n", "ValueError"), ("", "ValueError"), ("x" * 300, "x" * 199 + "…")],
)
def test_what_a_library_complains_about_is_one_line(complaint, said):
    assert line(ValueError(complaint)) == said


def test_a_header_that_is_no_python_is_one_line(tmp_path):
    """NumPy reads headers with Python's own tokenizer, whose errors are of many kinds."""
    for number, header in enumerate((b"{'descr': '<f4', (", b"{,", b"\0" * 20, b"((((", b"'''")):
        image = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + header.ljust(117) + b"\n" + b"\0" * 64
        (tmp_path / f"{number}.npy").write_bytes(image)
        with zipfile.ZipFile(tmp_path / f"{number}.npz", "w") as archive:
            archive.writestr("acts.npy", image)
        for suffix in ("npy", "npz"):
            with pytest.raises(InputError) as caught:
                open_store(tmp_path / f"{number}.{suffix}")
            assert "\n" not in str(caught.value)
