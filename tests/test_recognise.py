"""Layouts that the tools of this field write: recognised without flags, counted as the plain array, refused in one line."""

import fcntl
import json
import os
import pickle
import re
import shutil
from pathlib import Path

import layout_files
import numpy as np
import pytest

import srmfast
from srmfast.analyses.inspection import inspect
from srmfast.errors import InputError
from srmfast.stores import open_store, to_floats


@pytest.fixture(params=layout_files.BUILDERS, ids=lambda builder: builder.__name__)
def dump(request, tmp_path):
    return request.param(tmp_path)


def refused(match, *args, **options):
    """Expect one line that matches."""
    with pytest.raises(InputError, match=match) as caught:
        open_store(*args, **options)
    assert "\n" not in str(caught.value)


def counted(source, **options):
    return srmfast.run(source, "standard", epsilon=0.5, angles=36, **options)


def test_a_layout_is_recognised_and_its_rows_are_those_of_the_array(dump):
    with open_store(dump.spec, **dump.options) as store:
        assert store.recognised is not None
        assert np.array_equal(to_floats(store.read(0, store.n), store.dtype), dump.rows)
        middle = store.n // 2
        assert np.array_equal(
            to_floats(store.read(middle - 1, middle + 1), store.dtype), dump.rows[middle - 1 : middle + 1]
        )
        assert re.search(dump.words, store.recognised.line), store.recognised.line
        assert "\n" not in store.recognised.line
        assert store.fingerprint() == store.fingerprint()
        shown = str(inspect(store))
        assert f"layout   looks like {store.recognised.name}, {store.recognised.words}" in shown
        assert shown.count("looks like") == 1


def test_a_layout_is_counted_as_the_plain_array_is(dump):
    result = counted(dump.spec, **dump.options)
    kept = np.ones(len(dump.rows), bool) if dump.kept is None else dump.kept
    assert np.array_equal(result.counts, counted(dump.rows[kept]).counts)
    assert result.attrs["rows"]["seen"] == len(dump.rows)
    assert any(note.startswith("looks like ") for note in result.attrs["notes"])
    if dump.tokens is not None:
        left = kept & ~np.isin(dump.tokens.reshape(-1), (0, 3))
        without = counted(dump.spec, exclude_tokens="0,3", **dump.options)
        assert np.array_equal(without.counts, counted(dump.rows[left]).counts)


def test_a_damaged_dump_ends_as_one_line(dump):
    path = Path(dump.spec.partition("::")[0])
    path = path / dump.damage if dump.damage else path
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=dump.damaged) as caught, open_store(dump.spec, **dump.options) as store:
        store.read(0, store.n)
    assert "\n" not in str(caught.value)


def test_opening_a_dump_reads_no_values_and_lists_a_folder_once(dump, monkeypatch):
    from srmfast.stores import _region

    def read(*arguments):
        raise AssertionError("values were read")

    monkeypatch.setattr(_region.Region, "read", read)
    listed, list_names = [], os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(str(path)) or list_names(path))
    open_store(dump.spec, **dump.options).close()
    listed = [path for path in listed if ".zarr" not in path]  # a hierarchy is visited by its reader
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("flags", [{}, {"feature_axis": -1}])
def test_an_unknown_folder_is_listed_once_and_as_before(tmp_path, monkeypatch, flags):
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", np.eye(4))
    listed, list_names = [], os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(str(path)) or list_names(path))
    with open_store(tmp_path, **flags) as store:
        assert (store.n, store.recognised, listed) == (12, None, [str(tmp_path)])


@pytest.mark.parametrize(
    "builder, names, keys, has_index",
    [
        (layout_files.vllm, "3 layers, 0, 1, 2, .*not normed", ("0", "1", "2"), True),
        (layout_files.saev, "2 layers, 13, 21, .*::13 or --index layer=0", ("13", "21"), True),
        (layout_files.crosslayer, "3 layers, layer_0, layer_3, layer_11", ("layer_0", "layer_3", "layer_11"), True),
        (layout_files.prisma, "3 layers, 0, 1, 2.*--feature-axis -1", ("0", "1", "2"), True),
        (layout_files.brainscore, "2 layers, features.2, features.12", ("features.2", "features.12"), True),
        (layout_files.exporter, "3 layers, 0, 1, 2", ("0", "1", "2"), True),
        (layout_files.zarr_log, "2 layers, 0, 1, .*--index layer=0", (), True),
        (layout_files.neurox, "3 layers, 0, 1, 2, .*n_layers . 1 entries, 0 is the embedding", (), True),
    ],
)
def test_several_layers_are_refused_with_their_names(tmp_path, builder, names, keys, has_index):
    dump = builder(tmp_path)
    path = dump.spec.partition("::")[0]
    refused(names, path)
    for position, key in enumerate(keys):
        with open_store(f"{path}::{key}") as one, open_store(path, index={"layer": position}) as other:
            assert np.array_equal(one.read(0, one.n), other.read(0, other.n))
            assert one.fingerprint() == other.fingerprint()
    refused("layer|axis|position", path, index={"layer": 99})


def test_a_single_layer_is_taken(tmp_path):
    torch = layout_files.torch_files
    values = layout_files.draw(9, 1, 4)
    torch.write(tmp_path / "0.pt", values)
    with open_store(tmp_path) as store:
        assert store.recognised.name == "a cache of ViT-Prisma"
        assert np.array_equal(store.read(0, 9), values[:, 0])


def test_numbered_tensors_that_are_no_layers_stay_what_they_were(tmp_path):
    for number in range(2):
        layout_files.torch_files.write(tmp_path / f"{number}.pt", layout_files.draw(3, 6, 4))
    with open_store(tmp_path) as store:
        assert (store.n, store.recognised) == (36, None)


def test_flags_override_what_a_layout_brings(tmp_path):
    dump = layout_files.openmoss(tmp_path)
    mask = np.arange(24) % 3 > 0
    assert np.array_equal(counted(dump.spec, mask=mask).counts, counted(dump.rows[mask]).counts)
    tokens = np.arange(24)
    without = counted(dump.spec, exclude_tokens="1,2", tokens=tokens)
    left = dump.kept & ~np.isin(tokens, (1, 2))
    assert np.array_equal(without.counts, counted(dump.rows[left]).counts)
    everything = counted(f"{dump.spec}/blocks.6.hook_resid_post/*.safetensors::activation")
    assert np.array_equal(everything.counts, counted(dump.rows).counts)


def test_lengths_override_those_of_a_log(tmp_path):
    dump = layout_files.zarr_log(tmp_path)
    lengths = np.array([1, 1, 2, 1, 0])
    result = counted(dump.spec, lengths=lengths, **dump.options)
    kept = (np.arange(5) < lengths[:, None]).reshape(-1)
    assert np.array_equal(result.counts, counted(dump.rows[kept]).counts)


def test_other_arrays_of_a_layout_are_reached_by_their_key(tmp_path):
    dump = layout_files.crosslayer(tmp_path)
    path = dump.spec.partition("::")[0]
    with open_store(f"{path}::layer_3/targets") as targets, open_store(f"{path}::layer_3/inputs") as inputs:
        assert targets.dtype == inputs.dtype == "bfloat16"
        assert not np.array_equal(targets.read(0, 10), inputs.read(0, 10))
    with open_store(f"{path}/chunk_0.hdf5::layer_3/inputs") as plain:
        assert (plain.dtype, plain.recognised) == ("uint16", None)


def test_a_file_whose_lock_is_held_is_being_written(tmp_path):
    dump = layout_files.vllm(tmp_path)
    with open(tmp_path / "out" / "req-2.safetensors.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused("req-2.safetensors is being written: its writer holds", dump.spec)
    open_store(dump.spec).close()
    (tmp_path / "cache" / ".tmp_shards" / "shard_00000").mkdir(parents=True)
    refused("still writing it", tmp_path / "cache")


def test_the_pickle_of_saev_is_never_loaded_and_its_labels_and_cls_are_there(tmp_path, monkeypatch):
    dump = layout_files.saev(tmp_path)
    folder = Path(dump.spec.partition("::")[0])
    monkeypatch.setattr(pickle, "loads", lambda *arguments: pytest.fail("a pickle was loaded"))
    patches = np.arange(20).reshape(5, 4).ravel() % 4 > 0
    assert np.array_equal(counted(dump.spec, mask="content").counts, counted(dump.rows[patches]).counts)
    classes = np.full((5, 4), "", "U3")
    classes[:, 1:] = (np.arange(15) % 3).reshape(5, 3).astype(str)
    result, plain = counted(dump.spec, labels="labels"), counted(dump.rows, labels=classes.reshape(-1))
    assert result.label.tolist() == plain.label.tolist() == ["0", "1", "2", "unlabelled"]
    assert np.array_equal(result.counts, plain.counts)
    shards = json.loads((folder / "shards.json").read_text())
    refused("no layer of these shards; it holds 13, 21", f"{folder}::14")
    for name in ("../x.bin", "/etc/passwd", "a/b.bin", "..", 5):
        (folder / "shards.json").write_text(json.dumps([shards[0], {"name": name, "n_examples": 2}]))
        refused("no name of a file in it", dump.spec)
    (folder / "shards.json").write_text(json.dumps([shards[0], {"name": "acts000002.bin", "n_examples": 2}]))
    refused("lacks acts000002.bin, which its manifest lists", dump.spec)
    (folder / "shards.json").write_text(json.dumps(shards[:1]))
    refused("lists 3 examples of the 5 of metadata.json", dump.spec)
    (folder / "shards.json").write_text(json.dumps([{"name": "acts000000.bin", "n_examples": "3"}]))
    refused("must tell its n_examples", dump.spec)


@pytest.mark.parametrize("dtype", ["__import__('os').mkdir('evaluated')", "torch.float128", "torch.bfloat16()", 7])
def test_the_dtype_of_activault_is_parsed_never_run(tmp_path, monkeypatch, dtype):
    dump = layout_files.activault(tmp_path)
    monkeypatch.chdir(tmp_path)
    about = tmp_path / "run" / "models.layers.5.mlp.post" / "metadata.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"dtype": dtype}))
    refused("no name of a torch type", dump.spec)
    assert not (tmp_path / "evaluated").exists()


def test_parts_of_activault_must_be_what_its_metadata_promise(tmp_path):
    dump = layout_files.activault(tmp_path)
    hook = tmp_path / "run" / "models.layers.5.mlp.post"
    about = json.loads((hook / "metadata.json").read_text())
    for other in ({"dtype": "torch.float16"}, {"shape": [2, 3, 5]}):
        (hook / "metadata.json").write_text(json.dumps(about | other))
        refused("promises states of", dump.spec)
    (hook / "metadata.json").write_text(json.dumps(about))
    shutil.copytree(hook, hook.with_name("models.layers.20.mlp.post"))
    refused("2 hooks, models.layers.5.mlp.post, models.layers.20.mlp.post", dump.spec)
    with open_store(f"{dump.spec}::models.layers.20.mlp.post") as store:
        assert "hook models.layers.20.mlp.post of" in store.recognised.line


def test_chunks_of_crosslayer_coding_follow_their_manifest(tmp_path):
    dump = layout_files.crosslayer(tmp_path)
    folder = tmp_path / "clt"
    records = np.array([(2, 2, 0), (0, 4, 2), (1, 4, 6)], [("chunk", "<i4"), ("rows", "<i4"), ("offset", "<i8")])
    records.tofile(folder / "index.bin")
    with open_store(dump.spec) as store:
        order = np.r_[8:10, 0:4, 4:8]
        assert np.array_equal(to_floats(store.read(0, 10), store.dtype), dump.rows[order])
    (folder / "chunk_1.hdf5").rename(tmp_path / "chunk_1.hdf5")
    refused("lacks chunk 1, which its index.bin lists", dump.spec)
    np.zeros((10, 2), np.uint32).tofile(folder / "index.bin")
    refused("holds 6 rows of the 10 that index.bin lists", dump.spec)
    (folder / "index.bin").unlink()
    assert open_store(dump.spec).n == 6
    (folder / "metadata.json").write_text(json.dumps({"dtype": "float16"}))
    refused("metadata.json does not say that they are bfloat16", dump.spec)


def test_sparse_latents_are_no_rows(tmp_path):
    save_file = pytest.importorskip("safetensors.numpy").save_file
    held = {"locations": np.zeros((9, 3), np.uint32), "activations": np.ones(9, np.float16), "tokens": np.zeros((2, 5))}
    save_file(held, tmp_path / "0_8191.safetensors")
    for path in (tmp_path, tmp_path / "0_8191.safetensors"):
        refused("looks like latents of delphi: only those that are not zero, 9 of them in 0_8191.safetensors", path)


@pytest.mark.parametrize("name", ["../shards/shard-0000.zarr", "/shard-0000.zarr", "shards/../shard-0000.zarr", ".."])
def test_a_manifest_that_leads_out_of_its_folder_is_refused(tmp_path, name):
    dump = layout_files.zarr_log(tmp_path, manifest=["shard-0001.zarr", name])
    refused("no name of a file in it", dump.spec, **dump.options)


def test_a_log_without_manifest_is_read_in_natural_order_and_holds_prompts_or_responses(tmp_path):
    import zarr

    dump = layout_files.zarr_log(tmp_path)
    (tmp_path / "log" / "manifest.json").unlink()
    with open_store(dump.spec, **dump.options) as store:
        order = np.r_[15:25, 0:15]
        assert np.array_equal(to_floats(store.read(0, 25), store.dtype), dump.rows[order])
    one = tmp_path / "log" / "shards" / "shard-0000.zarr"
    values = layout_files.draw(2, 1, 3, 4)
    zarr.open_group(one)["arrays"].create_array("response_activations", data=values)
    zarr.open_group(one)["arrays"].create_array("response_len", data=np.array([3, 1]))
    refused("2 kinds of text, prompt, response", one)
    result = counted(f"{one}::response")
    assert np.array_equal(result.counts, counted(values[:, 0].reshape(-1, 4)[[0, 1, 2, 3]]).counts)
    assert result.attrs["rows"]["masked"] == {"lengths": 2}


def test_features_as_text_and_draft_dumps_without_choice_are_refused(tmp_path):
    (tmp_path / "file_names.txt").write_text("a.png")
    (tmp_path / "features.txt").write_text("1 2 3")
    refused("looks like features of thingsvision, as features.txt: text and .mat are not read", tmp_path)
    dump = layout_files.specforge(tmp_path)
    refused("choose one by .*::hidden_state", f"{dump.spec}::aux_hidden_state")
    with open_store(dump.spec) as store:
        assert store.siblings()["loss_mask"][0] == (3,)
        assert store.sibling("loss_mask").shape == (16,)


def test_members_of_objects_stay_out_of_reach(tmp_path):
    dump = layout_files.npz_objects(tmp_path)
    refused("never unpickled", f"{dump.spec}::tokens")
    with pytest.raises(InputError, match="objects|unpickled"):
        counted(dump.spec, exclude_tokens="1")
    assert open_store(f"{dump.spec}::vectors").recognised is None


def test_a_run_tells_what_it_recognised_and_its_result_can_be_verified(tmp_path, capsys):
    from srmfast.cli import main

    dump = layout_files.openmoss(tmp_path)
    out = str(tmp_path / "out.zarr")
    assert not main(["run", dump.spec, "--epsilon", "0.5", "-o", out, "--progress", "none"])
    lines = [line for line in capsys.readouterr().err.splitlines() if "looks like" in line]
    assert len(lines) == 1 and lines[0].startswith("srmfast: looks like a cache of Language-Model-SAEs, 6 x 4 x 4")
    assert not main(["verify", out, dump.spec])


@pytest.mark.parametrize(
    "builder", [layout_files.openmoss, layout_files.activault, layout_files.saev, layout_files.vllm]
)
def test_a_dump_in_a_bucket_is_recognised(tmp_path, builder):
    fsspec = pytest.importorskip("fsspec")
    dump = builder(tmp_path)
    path, mark, key = dump.spec.partition("::")
    for file in Path(path).rglob("*"):
        if file.is_file():
            fsspec.filesystem("memory").pipe_file(str(file), file.read_bytes())
    with open_store(f"memory://{path}{mark}{key}") as store:
        assert re.search(dump.words, store.recognised.line)
        assert np.array_equal(to_floats(store.read(0, store.n), store.dtype), dump.rows)


def variants(value):
    """Yield a JSON document with one of its values changed, everywhere in turn."""
    yield from (other for other in (None, -1, 7, "x", [], {}, True, [[1]]) if other != value)
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        for other in variants(inner):
            changed = value.copy()
            changed[key] = other
            yield changed


def test_whatever_a_description_says_is_one_line(dump):
    path = Path(dump.spec.partition("::")[0])
    for file in sorted(path.rglob("*.json")) if path.is_dir() else ():
        described = file.read_bytes()
        for changed in variants(json.loads(described)):
            file.write_text(json.dumps(changed))
            try:
                with open_store(dump.spec, **dump.options) as store:
                    store.read(0, store.n)
            except InputError as error:
                assert "\n" not in str(error)
        file.write_bytes(described)
