"""Small dumps in the layouts that this field's tools write, each with the rows that it stands for."""

import base64
import dataclasses
import json
import pickle

import h5py
import ml_dtypes
import numpy as np
import pytest
import torch_files

D = 4


@dataclasses.dataclass
class Dump:
    """A dump: ``spec`` is opened with ``options``, gives ``rows`` and says ``words``; ``dropped`` rows are not counted."""

    spec: str
    rows: np.ndarray
    words: str
    options: dict = dataclasses.field(default_factory=dict)
    kept: np.ndarray | None = None  # bool, of each row
    tokens: np.ndarray | None = None  # id of each row
    damage: str = ""  # name of a file in the dump that is cut in half
    damaged: str = ""  # what the one line says then


def draw(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def ids(*shape):
    return np.arange(np.prod(shape), dtype=np.int64).reshape(shape) % 5


def floats(array):
    return np.asarray(array, np.float64).reshape(-1, array.shape[-1])


def saelens(tmp):
    datasets = pytest.importorskip("datasets")
    acts, tokens = draw(6, 3, D), ids(6, 3).astype(np.int32)
    features = datasets.Features(
        {
            "blocks.0.hook_mlp_out": datasets.Array2D((3, D), "float32"),
            "token_ids": datasets.Sequence(datasets.Value("int32"), length=3),
        }
    )
    table = {"blocks.0.hook_mlp_out": list(acts), "token_ids": list(tokens)}
    datasets.Dataset.from_dict(table, features=features).save_to_disk(tmp / "cache", num_shards=2)
    return Dump(
        f"{tmp}/cache", floats(acts), "a SAELens cache, 6 x 3 x 4 float32, with token_ids", tokens=tokens,
        damage="data-00001-of-00002.arrow", damaged="cannot be read|ends|end mark|truncated",
    )  # fmt: skip


def saelens_old(tmp):
    datasets = pytest.importorskip("datasets")
    acts = draw(4, 3, D)
    features = datasets.Features({"blocks.0.hook_mlp_out": datasets.Array2D((3, D), "float32")})
    for shard, part in ((0, acts[:1]), (2, acts[1:3]), (10, acts[3:])):
        made = datasets.Dataset.from_dict({"blocks.0.hook_mlp_out": list(part)}, features=features)
        made.save_to_disk(tmp / "cache" / f"shard_{shard}")
    (tmp / "cache" / ".tmp_shards" / "shard_00000").mkdir(parents=True)
    return Dump(
        f"{tmp}/cache", floats(acts), "a SAELens cache, 4 x 3 x 4 float32", damage="shard_2/dataset_info.json",
        damaged="dataset_info.json is not JSON",
    )  # fmt: skip


def vllm(tmp):
    save_file = pytest.importorskip("safetensors.numpy").save_file
    (tmp / "out").mkdir()
    parts, tokens = [draw(rows, 3, D, dtype=np.float16) for rows in (5, 2, 7)], [ids(5), ids(2), ids(7)]
    for number, (part, named) in enumerate(zip(parts, tokens, strict=True)):
        path = tmp / "out" / f"req-{number}.safetensors"
        save_file({"hidden_states": part, "token_ids": named}, path)
        (tmp / "out" / f"req-{number}.safetensors.lock").touch()
    return Dump(
        f"{tmp}/out::1", floats(np.concatenate(parts)[:, 1]),
        "hidden states of vLLM, 14 x 3 x 4 float16, with token_ids; layer 1 of 0, 1, 2", tokens=np.concatenate(tokens),
        damage="req-1.safetensors", damaged="truncated",
    )  # fmt: skip


def specforge(tmp, key=None):
    parts = {"rows_0-2": (3, 4), "rows_2-4": (1, 6), "rows_10-12": (2,)}
    hidden, aux, tokens = [], [], []
    for group, sizes in parts.items():
        (tmp / "out" / group).mkdir(parents=True)
        for number, size in enumerate(sizes):
            hidden.append(draw(1, size, D, dtype=ml_dtypes.bfloat16, seed=len(hidden)))
            aux.append(draw(1, size, 3 * D, dtype=ml_dtypes.bfloat16, seed=len(hidden)))
            tokens.append(ids(size))
            held = {"input_ids": ids(size), "loss_mask": ids(size) % 2, "hidden_state": hidden[-1]}
            torch_files.write(tmp / "out" / group / f"data_{number}.ckpt", held | {"aux_hidden_state": aux[-1]})
    dump = Dump(
        f"{tmp}/out", floats(np.concatenate(hidden, 1)), "SpecForge.*, 16 x 4 bfloat16, with input_ids; .* hidden_state",
        tokens=np.concatenate(tokens), damage="rows_2-4/data_1.ckpt", damaged="not a whole|truncated|zip",
    )  # fmt: skip
    if key is not None:
        dump.spec += f"::aux_hidden_state/{key}"
        dump.rows = floats(np.concatenate(aux, 1)[..., key * D : (key + 1) * D])
        dump.words = f"SpecForge.*, 16 x 4 bfloat16, with input_ids; .* aux_hidden_state/{key}"
    return dump


def specforge_aux(tmp):
    return specforge(tmp, 1)


def angelslim(tmp):
    (tmp / "out").mkdir()
    target, tokens = [], []
    for number, size in enumerate((3, 5)):
        target.append(draw(size, D, seed=number))
        tokens.append(ids(size))
        held = {"input_ids": ids(size), "loss_mask": ids(size) % 2, "hidden_states": draw(size, 2 * D)}
        torch_files.write(tmp / "out" / f"{number}.pt", held | {"target_hidden_states": target[-1]})
    return Dump(
        f"{tmp}/out", floats(np.concatenate(target)), "AngelSlim.*, 8 x 4 float32.* hidden_states/0, hidden_states/1",
        tokens=np.concatenate(tokens), damage="1.pt", damaged="not a whole|truncated|zip",
    )  # fmt: skip


def saev(tmp):
    folder = tmp / "0123abcd"
    folder.mkdir()
    acts = draw(5, 2, 4, D)  # CLS and three patches
    shards = [{"name": "acts000000.bin", "n_examples": 3}, {"name": "acts000001.bin", "n_examples": 2}]
    acts[:3].tofile(folder / "acts000000.bin")
    acts[3:].tofile(folder / "acts000001.bin")
    about = {
        "family": "clip", "ckpt": "x", "layers": [13, 21], "content_tokens_per_example": 3, "cls_token": True,
        "d_model": D, "n_examples": 5, "max_tokens_per_shard": 24, "dtype": "float32", "protocol": "2.1",
        "data": base64.b64encode(pickle.dumps({"a": 1})).decode(),
    }  # fmt: skip
    (folder / "metadata.json").write_text(json.dumps(about))
    (folder / "shards.json").write_text(json.dumps(shards))
    (np.arange(15, dtype=np.uint8) % 3).tofile(folder / "labels.bin")
    return Dump(
        f"{folder}::21", floats(acts[:, 1]), "shards of saev, 5 x 2 x 4 x 4 float32; layer 21 of 13, 21",
        damage="acts000001.bin", damaged="acts000001.bin holds 128 bytes",
    )  # fmt: skip


def activault(tmp):
    folder = tmp / "run" / "models.layers.5.mlp.post"
    folder.mkdir(parents=True)
    (tmp / "run" / "cfg.json").write_text("{}")
    parts = [draw(2, 3, D, dtype=ml_dtypes.bfloat16, seed=number) for number in range(3)]
    for number, part in zip((2, 9, 10), parts, strict=True):
        held = {"states": part, "input_ids": ids(2, 3), "tensor_bytes": 48}
        torch_files.write(folder / f"0a1b-77--{number}.pt", held)
    about = {"shape": [2, 3, D], "dtype": "torch.bfloat16", "input_ids_shape": [2, 3], "bytes_per_file": 96}
    (folder / "metadata.json").write_text(json.dumps(about))
    (folder / "statistics.json").write_text("{}")
    return Dump(
        f"{tmp}/run", floats(np.concatenate(parts)),
        "a hook of Activault, 6 x 3 x 4 bfloat16, with input_ids; hook models.layers.5.mlp.post",
        tokens=np.concatenate([ids(2, 3)] * 3), damage="models.layers.5.mlp.post/0a1b-77--9.pt", damaged="zip|whole",
    )  # fmt: skip


def crosslayer(tmp):
    (tmp / "clt").mkdir()
    held = {}
    for layer in (0, 3, 11):
        for which in ("inputs", "targets"):
            held[f"layer_{layer}/{which}"] = draw(10, D, dtype=ml_dtypes.bfloat16, seed=len(held))
    for chunk, rows in ((0, slice(0, 4)), (1, slice(4, 8)), (2, slice(8, 10))):
        with h5py.File(tmp / "clt" / f"chunk_{chunk}.hdf5", "w") as file:
            for name, values in held.items():
                file.create_dataset(name, data=values[rows].view(np.uint16))
    pairs = [(chunk, row) for chunk, rows in ((0, 4), (1, 4), (2, 2)) for row in range(rows)]
    np.array(pairs, np.uint32).tofile(tmp / "clt" / "index.bin")
    (tmp / "clt" / "metadata.json").write_text(json.dumps({"d_model": D, "dtype": "bfloat16", "num_layers": 3}))
    (tmp / "clt" / "norm_stats.json").write_text("{}")
    return Dump(
        f"{tmp}/clt::layer_3", floats(held["layer_3/inputs"]),
        "crosslayer-coding, 10 x 4 bfloat16; layer_3/inputs of layer_0, layer_3, layer_11 .the others: ::layer_3/targets",
        damage="chunk_1.hdf5", damaged="not a whole HDF5 file",
    )  # fmt: skip


def openmoss(tmp, suffix=".safetensors"):
    hook = tmp / "cache" / "blocks.6.hook_resid_post"
    hook.mkdir(parents=True)
    parts, masks = [draw(2, 4, D, seed=number) for number in range(3)], [ids(2, 4) > 0] * 3
    for number, part in enumerate(parts):
        held = {"activation": part, "tokens": ids(2, 4), "mask": masks[number].astype(np.int64)}
        path = hook / f"{'shard-0-' if suffix == '.pt' else ''}chunk-{number:08d}{suffix}"
        if suffix == ".pt":
            torch_files.write(path, held | {"meta": [{"dataset_name": "x", "context_idx": 1}] * 2})
        else:
            pytest.importorskip("safetensors.numpy").save_file(held, path)
        (hook / f"chunk-{number:08d}.meta.json").write_text("{}")
    return Dump(
        f"{tmp}/cache", floats(np.concatenate(parts)),
        "a cache of Language-Model-SAEs, 6 x 4 x 4 float32, with mask and tokens; hook blocks.6.hook_resid_post",
        kept=np.concatenate(masks).reshape(-1), tokens=np.concatenate([ids(2, 4)] * 3),
        damage=f"blocks.6.hook_resid_post/{path.name}", damaged="truncated|zip|whole",
    )  # fmt: skip


def openmoss_torch(tmp):
    return openmoss(tmp, ".pt")


def zarr_log(tmp, manifest=None):
    import zarr

    parts = {
        "shard-0001.zarr": draw(3, 2, 5, D, dtype=np.float16),
        "shard-0000.zarr": draw(2, 2, 5, D, dtype=np.float16),
    }
    lengths = {"shard-0001.zarr": [5, 2, 3], "shard-0000.zarr": [1, 4]}
    (tmp / "log" / "shards").mkdir(parents=True)
    for name, values in parts.items():
        root = zarr.create_group(tmp / "log" / "shards" / name, zarr_format=2)
        group = root.create_group("arrays")
        for sequence, length in enumerate(lengths[name]):
            values[sequence, :, length:] = 0
        made = group.create_array(
            "prompt_activations", shape=values.shape, dtype="f2", chunks=(1, 1, 5, D), compressors=None, fill_value=0
        )
        made[...] = values
        group.create_array("prompt_len", data=np.array(lengths[name], np.int32))
    (tmp / "log" / "manifest.json").write_text(json.dumps({"shards": manifest or list(parts)}))
    joined, sizes = np.concatenate(list(parts.values())), np.concatenate(list(lengths.values()))
    return Dump(
        f"{tmp}/log", floats(joined[:, 1]),
        "activations logged to Zarr, 5 x 2 x 5 x 4 float16, with arrays/prompt_len; layer 1 of 0, 1",
        options={"index": {"layer": 1}}, kept=(np.arange(5) < sizes[:, None]).reshape(-1),
        damage="shards/shard-0000.zarr/arrays/prompt_activations/.zarray", damaged="not JSON",
    )  # fmt: skip


def neurox(tmp):
    sentences = [draw(3, size, D, seed=size) for size in range(1, 13)]
    with h5py.File(tmp / "acts.hdf5", "w") as file:
        for number, values in enumerate(sentences):
            file.create_dataset(str(number), data=values)
        index = json.dumps({f"sentence {number}": str(number) for number in range(12)})
        file.create_dataset("sentence_to_index", (1,), dtype=h5py.string_dtype())[0] = index
    return Dump(
        f"{tmp}/acts.hdf5", floats(np.concatenate(sentences, 1)[2]),
        "activations of NeuroX, 3 x 78 x 4 float32; 12 sentences are joined; layer 2 of 0, 1, 2",
        options={"index": {"layer": 2}}, damage="", damaged="not a whole HDF5 file",
    )  # fmt: skip


def thingsvision(tmp):
    (tmp / "f").mkdir()
    acts = draw(7, D)
    for number, part in ((0, acts[:3]), (1, acts[3:6]), (10, acts[6:])):
        np.save(tmp / "f" / f"features_{number:02d}.npy", part)
    (tmp / "f" / "file_names.txt").write_text("\n".join(f"{number}.png" for number in range(7)))
    return Dump(
        f"{tmp}/f", floats(acts), "features of thingsvision, 7 x 4 float32; file_names.txt names the 7 images",
        damage="features_01.npy", damaged="not a .npy file",
    )  # fmt: skip


def thingsvision_hdf5(tmp):
    acts = draw(7, D)
    (tmp / "f").mkdir()
    with h5py.File(tmp / "f" / "features.hdf5", "w") as file:
        file["features"] = acts
    (tmp / "f" / "file_names.txt").write_text("\n".join(f"{number}.png" for number in range(7)))
    return Dump(
        f"{tmp}/f", floats(acts), "features of thingsvision, 7 x 4 float32", damage="features.hdf5",
        damaged="not a whole HDF5 file",
    )  # fmt: skip


def prisma(tmp):
    (tmp / "cache").mkdir()
    parts = [draw(12, 3, D, dtype=np.float16, seed=number) for number in range(12)]
    for number, part in enumerate(parts):
        torch_files.write(tmp / "cache" / f"{number}.pt", part)
    return Dump(
        f"{tmp}/cache::2", floats(np.concatenate(parts)[:, 2]), "a cache of ViT-Prisma, 144 x 3 x 4 float16; layer 2 of 0, 1, 2",
        damage="7.pt", damaged="zip|whole",
    )  # fmt: skip


def brainscore(tmp):
    xarray = pytest.importorskip("xarray")
    acts = draw(6, 5)
    layers = ["features.2", "features.12", "features.2", "features.12", "features.12"]
    made = xarray.DataArray(acts, dims=("presentation", "neuroid"), coords={"layer": ("neuroid", layers)})
    made.to_netcdf(tmp / "assembly.nc", engine="netcdf4")
    return Dump(
        f"{tmp}/assembly.nc::features.12", floats(acts[:, [1, 3, 4]]),
        "an assembly of brain-score, 6 x 3 float32; columns of layer features.12 of features.2, features.12",
        damage="", damaged="not a whole HDF5 file",
    )  # fmt: skip


def exporter(tmp):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    (tmp / "cache").mkdir()
    parts = [draw(4, 3, D, seed=number) for number in range(2)]
    for number, part in enumerate(parts):
        columns = {"HiddenStates": pa.array(part.tolist(), pa.list_(pa.list_(pa.float32())))}
        columns |= {"TokenPosition": pa.array([-1] * 4), "Label": pa.array(["a", "b"] * 2)}
        parquet.write_table(pa.table(columns), tmp / "cache" / f"activations_shard_{number:02d}.parquet")
    return Dump(
        f"{tmp}/cache::2", floats(np.concatenate(parts)[:, 2]),
        "a cache of activation-cache-exporter, 8 x 3 x 4 float32, with TokenPosition; layer 2 .*--labels Label",
        damage="activations_shard_01.parquet", damaged="cannot be read",
    )  # fmt: skip


def npz_objects(tmp):
    acts = draw(6, D)
    np.savez(
        tmp / "a.npz", vectors=acts, tokens=np.array([["x"], ["y", "z"]] * 3, object), categories=np.array([None] * 6)
    )
    return Dump(
        f"{tmp}/a.npz", floats(acts), "an .npz with Python objects, 6 x 4 .*are vectors; tokens, categories are objects",
        damage="", damaged="not a whole|zip",
    )  # fmt: skip


BUILDERS = [
    saelens, saelens_old, vllm, specforge, specforge_aux, angelslim, saev, activault, crosslayer, openmoss, openmoss_torch,
    zarr_log, neurox, thingsvision, thingsvision_hdf5, prisma, brainscore, exporter, npz_objects,
]  # fmt: skip
