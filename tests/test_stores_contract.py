"""Every format against the one contract: a class says how the array is written."""

import json
import warnings
import zipfile

import ml_dtypes
import numpy as np
import pytest
import torch_files
from store_contract import ALL_DTYPES, D, N, StoreContract, raw

h5py = pytest.importorskip("h5py")
zarr = pytest.importorskip("zarr")


def void(array):
    """Give bfloat16 as the two-byte void that NumPy sees in foreign files."""
    return array.view("V2") if array.dtype == ml_dtypes.bfloat16 else array


class TestNumpy(StoreContract):
    def make(self, folder, array):
        return array


class TestNumpyStrided(StoreContract):
    options = {"feature_axis": 0}

    def make(self, folder, array):
        return np.repeat(array.T, 2, axis=1)[:, ::2]


class TestBigEndian(StoreContract):
    dtypes = tuple(name for name in ALL_DTYPES if name not in ("bool", "int8", "uint8", "bfloat16"))

    def make(self, folder, array):
        return array.astype(array.dtype.newbyteorder(">"))


class TestFakeTorch(StoreContract):
    """A tensor as torch hands it out: detached, on the CPU, bfloat16 only through an integer view."""

    @pytest.fixture(autouse=True)
    def torch(self, monkeypatch):
        import sys
        import types

        monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(int16="torch.int16"))

    def make(self, folder, array):
        return Tensor(array)


class Tensor:
    def __init__(self, array):
        self._array = array
        self.dtype = f"torch.{array.dtype.name}"

    def detach(self):
        return self

    def cpu(self):
        return self

    def view(self, dtype):
        assert dtype == "torch.int16"
        return Tensor(self._array.view(np.int16))

    def numpy(self):
        if self.dtype == "torch.bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self._array


class TestNpy(StoreContract):
    def make(self, folder, array):
        np.save(folder / "acts.npy", void(array))
        return folder / "acts.npy"


class TestNpyMlDtypes(StoreContract):
    dtypes = ("bfloat16", "float32")

    def make(self, folder, array):
        np.save(folder / "acts.npy", array)
        return str(folder / "acts.npy")


class TestNpyFortran(StoreContract):
    def make(self, folder, array):
        np.save(folder / "acts.npy", np.asfortranarray(void(array)))
        return folder / "acts.npy"


class TestNpyNeuronsFirst(StoreContract):
    options = {"feature_axis": 0}

    def make(self, folder, array):
        np.save(folder / "acts.npy", np.ascontiguousarray(void(array).T))
        return folder / "acts.npy"


class TestNpyBigEndian(TestBigEndian):
    def make(self, folder, array):
        np.save(folder / "acts.npy", super().make(folder, array))
        return folder / "acts.npy"


class TestNpyLayerLast(StoreContract):
    options = {"index": {-1: 2}, "feature_axis": 1}

    def make(self, folder, array):
        bits = void(array)
        np.save(folder / "acts.npy", np.stack([bits[::-1], bits[::-1], bits], axis=-1))
        return folder / "acts.npy"


class TestNpzStored(StoreContract):
    def make(self, folder, array):
        np.savez(folder / "acts.npz", acts=void(array), y=np.arange(N))
        return folder / "acts.npz"


class TestNpzDeflated(StoreContract):
    def make(self, folder, array):
        np.savez_compressed(folder / "acts.npz", acts=void(array), y=np.arange(N))
        return f"{folder}/acts.npz::acts"


def write_zarr(where, array, *, node="", attributes=None, **options):
    """Write as zarr does, quiet about the missing specification of two-byte void."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        group = zarr.open_group(where, mode="a", zarr_format=options.get("zarr_format", 3)) if node else None
        made = (
            group.create_array(
                node,
                shape=array.shape,
                dtype=array.dtype,
                **{k: v for k, v in options.items() if k != "zarr_format"},
            )
            if node
            else zarr.create_array(where, shape=array.shape, dtype=array.dtype, **options)
        )
        made[...] = array
        made.attrs.update(attributes or {})
    return made


class TestZarr2(StoreContract):
    def make(self, folder, array):
        write_zarr(
            folder / "acts.zarr",
            void(array),
            chunks=(8, D),
            zarr_format=2,
            config={"write_empty_chunks": True},
        )
        return folder / "acts.zarr"


class TestZarr2Nested(StoreContract):
    def make(self, folder, array):
        encoding = {"name": "v2", "separator": "/"}
        options = {"chunk_key_encoding": encoding, "config": {"write_empty_chunks": True}}
        write_zarr(folder / "acts.zarr", void(array), node="deep/layer3", chunks=(8, 4), zarr_format=2, **options)
        return f"{folder}/acts.zarr::deep/layer3"


class TestZarr3(StoreContract):
    def make(self, folder, array):
        write_zarr(folder / "acts.zarr", void(array), chunks=(8, D), config={"write_empty_chunks": True})
        return folder / "acts.zarr"


class TestZarr3Sharded(StoreContract):
    def make(self, folder, array):
        options = {"chunks": (4, D), "shards": (16, D), "config": {"write_empty_chunks": True}}
        write_zarr(folder / "acts.zarr", raw(array), node="layer3", **options)
        if array.dtype == ml_dtypes.bfloat16:
            path = folder / "acts.zarr" / "layer3" / "zarr.json"
            path.write_text(
                path.read_text().replace('"uint16"', '{"name": "raw_bytes", "configuration": {"length_bytes": 2}}')
            )
        return f"{folder}/acts.zarr::layer3"


class TestZarrBigEndian(TestBigEndian):
    def make(self, folder, array):
        write_zarr(
            folder / "acts.zarr",
            super().make(folder, array),
            chunks=(8, D),
            config={"write_empty_chunks": True},
        )
        return folder / "acts.zarr"


class TestZarrBfloat16Metadata(StoreContract):
    """What TensorStore and JAX write: a type name that zarr itself does not read."""

    dtypes = ("bfloat16",)
    zarr_format = 3

    def make(self, folder, array):
        if array.dtype != ml_dtypes.bfloat16:
            return array
        write_zarr(folder / "acts.zarr", raw(array), chunks=(8, D), zarr_format=self.zarr_format)
        path = folder / "acts.zarr" / ("zarr.json" if self.zarr_format == 3 else ".zarray")
        path.write_text(path.read_text().replace('"uint16"', '"bfloat16"').replace('"<u2"', '"bfloat16"'))
        return folder / "acts.zarr"


class TestZarr2Bfloat16Metadata(TestZarrBfloat16Metadata):
    zarr_format = 2


class TestMarkedUint16(StoreContract):
    dtypes = ("bfloat16",)

    def make(self, folder, array):
        if array.dtype != ml_dtypes.bfloat16:
            return array
        write_zarr(folder / "acts.zarr", raw(array), chunks=(8, D), attributes={"torch_dtype": "torch.bfloat16"})
        return folder / "acts.zarr"


class TestZarrZip(StoreContract):
    def make(self, folder, array):
        write_zarr(folder / "acts.zarr", void(array), node="x", chunks=(8, D), config={"write_empty_chunks": True})
        with zipfile.ZipFile(folder / "acts.zarr.zip", "w") as archive:
            for path in sorted((folder / "acts.zarr").rglob("*")):
                archive.write(path, path.relative_to(folder / "acts.zarr"))
        return folder / "acts.zarr.zip"


class TestZarrObject(StoreContract):
    def make(self, folder, array):
        return write_zarr({}, void(array), chunks=(8, D), config={"write_empty_chunks": True})


class TestHdf5(StoreContract):
    options_of_dataset = {}

    def make(self, folder, array):
        with h5py.File(folder / "acts.h5", "w") as file:
            dataset = file.create_dataset("layer_0/inputs", data=raw(array), **self.options_of_dataset)
            if array.dtype == ml_dtypes.bfloat16:
                dataset.attrs["original_dtype"] = "bfloat16"
        return folder / "acts.h5"


class TestHdf5Gzip(TestHdf5):
    options_of_dataset = {"chunks": (8, 4), "compression": "gzip", "shuffle": True}


class TestHdf5BigEndian(TestBigEndian):
    def make(self, folder, array):
        with h5py.File(folder / "acts.h5", "w") as file:
            file["acts"] = super().make(folder, array)
        return f"{folder}/acts.h5::acts"


class TestHdf5Object(StoreContract):
    dtypes = ("float16", "float32")

    @pytest.fixture(autouse=True)
    def files(self):
        self._files = []
        yield
        for file in self._files:
            file.close()

    def make(self, folder, array):
        self._files.append(h5py.File(folder / "acts.h5", "w"))
        dataset = self._files[-1].create_dataset("acts", data=array)
        self._files[-1].flush()
        return dataset


class TestHdf5Virtual(StoreContract):
    dtypes = ("float16", "float32", "int64")

    def make(self, folder, array):
        layout = h5py.VirtualLayout(array.shape, array.dtype)
        for number, rows in enumerate((slice(0, 40), slice(40, N))):
            with h5py.File(folder / f"part{number}.h5", "w") as file:
                file["acts"] = array[rows]
            layout[rows] = h5py.VirtualSource(f"part{number}.h5", "acts", array[rows].shape)
        with h5py.File(folder / "acts.h5", "w") as file:
            file.create_virtual_dataset("acts", layout)
        return folder / "acts.h5"


class TestNpyShards(StoreContract):
    cuts = (0, 10, 11, 60, N)

    def make(self, folder, array):
        (folder / "parts").mkdir()
        for number, (start, stop) in enumerate(zip(self.cuts, self.cuts[1:], strict=False)):
            np.save(folder / "parts" / f"part-{number + 8}.npy", void(array)[start:stop])
        (folder / "parts" / "metadata.json").write_text("{}")
        return folder / "parts"


class TestNeuronsFirstShards(TestNpyShards):
    options = {"feature_axis": 0}

    def make(self, folder, array):
        super().make(folder, array)
        for path in (folder / "parts").glob("*.npy"):
            np.save(path, np.load(path).T)
        return folder / "parts"


class TestZarrShards(TestNpyShards):
    dtypes = ("float16", "bfloat16", "float32")
    cuts = (0, 16, 48, N)

    def make(self, folder, array):
        for number, (start, stop) in enumerate(zip(self.cuts, self.cuts[1:], strict=False)):
            part = void(array)[start:stop]
            options = {"node": "acts", "chunks": (8, D), "config": {"write_empty_chunks": True}}
            write_zarr(folder / f"part-{number}.zarr", part, **options)
        return f"{folder}/part-*.zarr::acts"


class TestHdf5Shards(TestNpyShards):
    dtypes = ("float16", "float32")

    def make(self, folder, array):
        for number, (start, stop) in enumerate(zip(self.cuts, self.cuts[1:], strict=False)):
            with h5py.File(folder / f"chunk_{number + 8}.h5", "w") as file:
                file["layer_0/inputs"] = array[start:stop]
        return f"{folder}/chunk_*.h5::layer_0/inputs"


class TestSafetensors(StoreContract):
    """Written by the library's own writer, with another tensor before and behind."""

    dtypes = (*ALL_DTYPES, "float8_e4m3fn", "float8_e5m2")

    def make(self, folder, array):
        pytest.importorskip("safetensors")
        from safetensors.numpy import save_file

        tensors = {"acts": array, "aaa": np.arange(3), "zzz": np.arange(N, dtype=np.uint8)}
        save_file(tensors, folder / "acts.safetensors", {"note": "x"})
        return folder / "acts.safetensors"


class TestSafetensorsShards(TestNpyShards):
    def make(self, folder, array):
        pytest.importorskip("safetensors")
        from safetensors.numpy import save_file

        for number, (start, stop) in enumerate(zip(self.cuts, self.cuts[1:], strict=False)):
            tensors = {"hidden_states": array[start:stop], "token_ids": np.arange(start, stop)}
            save_file(tensors, folder / f"request-{number + 8}.safetensors")
            (folder / f"request-{number + 8}.safetensors.lock").touch()
        return folder


class TestTorch(StoreContract):
    dtypes = (*ALL_DTYPES, "float8_e4m3fn", "float8_e5m2")

    def make(self, folder, array):
        values = {"labels": np.arange(N), "layer": {"acts": torch_files.Tensor(array, parameter=True)}, "epoch": 3}
        return torch_files.write(folder / "acts.pt", values)


class TestTorchTransposed(StoreContract):
    def make(self, folder, array):
        return torch_files.write(folder / "acts.pth", np.asfortranarray(array))


class TestTorchBigEndian(StoreContract):
    def make(self, folder, array):
        return torch_files.write(folder / "acts.ckpt", {"x": torch_files.swapped(array)}, byte_order="big")


class TestTorchShards(TestNpyShards):
    def make(self, folder, array):
        for number, (start, stop) in enumerate(zip(self.cuts, self.cuts[1:], strict=False)):
            torch_files.write(folder / f"{number + 8}.pt", array[start:stop])
        (folder / "8.pt.tmp").write_bytes(b"PK")
        return folder


def write_raw(path, array, offset=0):
    """Write values and nothing else, behind `offset` bytes of a header."""
    path.write_bytes(b"\x07" * offset + array.tobytes(order="A"))
    return path


class TestRaw(StoreContract):
    dtypes = (*ALL_DTYPES, "float8_e4m3fn", "float8_e5m2")

    def make(self, folder, array):
        return f"{write_raw(folder / 'acts.bin', array)}::{array.dtype.name},{N}x{D}"


class TestRawFortran(StoreContract):
    def make(self, folder, array):
        path = write_raw(folder / "acts.dat", np.asfortranarray(array), offset=33)
        return f"{path}::{array.dtype.name},-1x{D},offset=33,order=F"


class TestRawBigEndian(TestBigEndian):
    def make(self, folder, array):
        swapped = super().make(folder, array)
        return f"{write_raw(folder / 'acts.raw', swapped)}::>{swapped.dtype.str[1:]},{N}x{D}"


class TestRawShards(TestNpyShards):
    def make(self, folder, array):
        for number, (start, stop) in enumerate(zip(self.cuts, self.cuts[1:], strict=False)):
            write_raw(folder / f"acts{number + 8}.bin", array[start:stop])
        return f"{folder}/acts*.bin::{array.dtype.name},-1x{D}"


def vectors(array, width=None):
    """Make an Arrow array whose rows are vectors, fixed or variable lists; the innermost are `width` long."""
    pa = pytest.importorskip("pyarrow")
    flat = pa.array(array.reshape(-1))
    if width is None:
        return pa.FixedSizeListArray.from_arrays(flat, array.shape[1])
    inner = pa.FixedSizeListArray.from_arrays(flat, width)
    per_row = array.shape[1] // width
    return pa.ListArray.from_arrays(pa.array(np.arange(len(array) + 1, dtype=np.int32) * per_row), inner)


class TestArrowFile(StoreContract):
    """Record batches of unequal length, values found by offset."""

    dtypes = tuple(name for name in ALL_DTYPES if name != "bfloat16")
    cuts = (0, 40, 41, 41, 90, N)
    compression = None

    def table(self, array):
        import pyarrow as pa

        acts = vectors(array)
        return pa.table({"token_ids": np.arange(N), "acts": acts, "word": [str(i % 7) for i in range(N)]})

    def batches(self, array):
        table = self.table(array).combine_chunks()
        for start, stop in zip(self.cuts, self.cuts[1:], strict=False):
            yield from table.slice(start, stop - start).to_batches() or table.schema.empty_table().to_batches()

    def new(self, path, schema):
        import pyarrow as pa

        return pa.ipc.new_file(path, schema, options=pa.ipc.IpcWriteOptions(compression=self.compression))

    def make(self, folder, array):
        pytest.importorskip("pyarrow")
        with self.new(str(folder / "acts.arrow"), self.table(array).schema) as writer:
            for batch in self.batches(array):
                writer.write_batch(batch)
        return folder / "acts.arrow"


class TestArrowCompressed(TestArrowFile):
    compression = "lz4"


class TestArrowStream(TestArrowFile):
    def new(self, path, schema):
        import pyarrow as pa

        return pa.ipc.new_stream(path, schema, options=pa.ipc.IpcWriteOptions(compression=self.compression))


class TestArrowStreamCompressed(TestArrowStream):
    compression = "zstd"


class TestArrowNested(TestArrowStream):
    """Lists of lists, as Array2D: the middle axis is chosen."""

    options = {"index": {1: 1}}

    def table(self, array):
        import pyarrow as pa

        twice = np.concatenate([array[:, ::-1], array], axis=1)
        return pa.table({"acts": vectors(twice, D), "label": np.arange(N)})


class TestArrowWide(TestArrowFile):
    """Plain columns side by side."""

    dtypes = ("float16", "float32", "float64")

    def table(self, array):
        import pyarrow as pa

        return pa.table({"label": np.arange(N)} | {f"n{j}": array[:, j].copy() for j in range(D)})


class TestFeather(TestArrowWide):
    def make(self, folder, array):
        feather = pytest.importorskip("pyarrow.feather")
        feather.write_feather(self.table(array), folder / "acts.feather", chunksize=30)
        return folder / "acts.feather"


class TestParquet(TestArrowFile):
    def make(self, folder, array):
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(self.table(array), folder / "acts.parquet", row_group_size=24)
        return f"{folder}/acts.parquet::acts"


class TestParquetLists(TestArrowFile):
    """Lists of lists, decoded whole: flattened, because a choice of a part would be reported."""

    options = {"flatten": True}

    def table(self, array):
        import pyarrow as pa

        return pa.table({"acts": vectors(array, D // 2), "label": np.arange(N)})

    def make(self, folder, array):
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(self.table(array), folder / "acts.parquet", row_group_size=50, use_dictionary=False)
        return folder / "acts.parquet"


class TestParquetWide(TestArrowWide):
    def make(self, folder, array):
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(self.table(array), folder / "acts.pq", row_group_size=50)
        return folder / "acts.pq"


class TestDatasets(TestArrowStream):
    """A folder as the datasets library saves it, whose state names the order of the files."""

    names = ("data-00001-of-00003.arrow", "data-00000-of-00003.arrow", "data-00002-of-00003.arrow")

    def make(self, folder, array):
        pytest.importorskip("pyarrow")
        for name, start, stop in zip(self.names, (0, 40, 80), (40, 80, N), strict=True):
            table = self.table(array).slice(start, stop - start)
            with self.new(str(folder / name), table.schema) as writer:
                writer.write_table(table, 16)
        (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in self.names]}))
        (folder / "dataset_info.json").write_text("{}")
        return f"{folder}::acts"


class TestAnnData(StoreContract):
    dtypes = ("float16", "float32", "float64", "int32")

    def make(self, folder, array):
        with h5py.File(folder / "acts.h5ad", "w") as file:
            file.create_dataset("X", data=array, chunks=(16, D), compression="gzip")
            file["obs/louvain/codes"] = np.zeros(N, np.int8)
            file["obs/louvain/categories"] = ["a"]
            file["layers/counts"] = np.zeros((N, D))
        return folder / "acts.h5ad"


class TestHdf5Bfloat16Opaque(StoreContract):
    """Two opaque bytes, as h5py stores the type of ml_dtypes."""

    dtypes = ("bfloat16",)

    def make(self, folder, array):
        with h5py.File(folder / "acts.h5", "w") as file:
            file.create_dataset("acts", data=void(array) if array.dtype == ml_dtypes.bfloat16 else array, chunks=(8, 4))
        return folder / "acts.h5"


class TestHdf5Bfloat16Float(StoreContract):
    """A float of 8 bits of exponent and 7 of mantissa, declared by hand."""

    dtypes = ("bfloat16",)
    order = h5py.h5t.ORDER_LE

    def make(self, folder, array):
        with h5py.File(folder / "acts.h5", "w") as file:
            if array.dtype != ml_dtypes.bfloat16:
                file["acts"] = array
                return folder / "acts.h5"
            little = h5py.h5t.IEEE_F32LE.copy()
            little.set_fields(15, 7, 8, 0, 7)
            little.set_size(2)
            little.set_ebias(127)
            stored = little.copy()
            stored.set_order(self.order)
            dataset = h5py.h5d.create(file.id, b"acts", stored, h5py.h5s.create_simple(array.shape))
            dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, raw(array), little)
        return folder / "acts.h5"


class TestHdf5Bfloat16FloatBigEndian(TestHdf5Bfloat16Float):
    order = h5py.h5t.ORDER_BE


class TestHdf5MarkedInt16(StoreContract):
    """Signed bits with a mark, as writers without unsigned integers store them."""

    dtypes = ("bfloat16",)

    def make(self, folder, array):
        with h5py.File(folder / "acts.h5", "w") as file:
            bits = raw(array).view(np.int16) if array.dtype == ml_dtypes.bfloat16 else array
            file["acts"] = bits
            if bits is not array:
                file["acts"].attrs["torch_dtype"] = "torch.bfloat16"
        return folder / "acts.h5"


class TestZarrMarkedInt16(TestMarkedUint16):
    options_of_array = {"zarr_format": 2}

    def make(self, folder, array):
        if array.dtype != ml_dtypes.bfloat16:
            return array
        bits = raw(array).view(np.int16)
        write_zarr(folder / "acts.zarr", bits, chunks=(8, D), attributes={"dtype": "bf16"}, **self.options_of_array)
        return folder / "acts.zarr"


class TestZarr3MarkedInt16(TestZarrMarkedInt16):
    options_of_array = {"zarr_format": 3}


class TestZarrBits16(TestZarrBfloat16Metadata):
    """Version 3 with the raw type r16."""

    name = '"r16"'

    def make(self, folder, array):
        path = super().make(folder, array)
        if array.dtype == ml_dtypes.bfloat16:
            document = folder / "acts.zarr" / "zarr.json"
            document.write_text(document.read_text().replace('"bfloat16"', self.name))
        return path


class TestZarrRawBytes(TestZarrBits16):
    name = '{"name": "raw_bytes", "configuration": {"length_bytes": 2}}'


def test_every_format_gives_the_same_counts_and_labels(tmp_path):
    """Activations and labels in one container each; the counts are those of the array in memory."""
    import srmfast

    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    safetensors = pytest.importorskip("safetensors.numpy")
    array = np.random.default_rng(3).standard_normal((N, D)).astype(np.float16)
    labels = np.arange(N) % 3
    table = pa.table({"acts": vectors(array), "label": labels})
    np.savez(tmp_path / "a.npz", acts=array, label=labels)
    safetensors.save_file({"acts": array, "label": labels}, tmp_path / "a.safetensors")
    torch_files.write(tmp_path / "a.pt", {"acts": array, "label": labels})
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=40)
    with pa.ipc.new_stream(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table, 30)
    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        file["X"], file["obs/label"] = array, labels
    write_raw(tmp_path / "a.bin", array)
    np.save(tmp_path / "label.npy", labels)

    def totals(store, labels):
        options = {"epsilon": (0.3, 0.6), "angles": 36, "keep": "all"}
        result = srmfast.run(store, "plusminus", labels=labels, **options)
        return result.counts

    expected = totals(array, labels)
    assert expected.sum() > 0
    for name in ("a.npz", "a.safetensors", "a.pt", "a.parquet", "a.arrow", "a.h5ad"):
        assert (totals(tmp_path / name, "label") == expected).all()
    assert (totals(f"{tmp_path}/a.bin::float16,{N}x{D}", tmp_path / "label.npy") == expected).all()
    for suffix, key in {
        "safetensors": "label",
        "pt": "label",
        "parquet": "label",
        "arrow": "label",
        "h5ad": "obs/label",
    }.items():
        assert (totals(array, f"{tmp_path}/a.{suffix}::{key}") == expected).all()
