"""A tensor of a model is a store like any other: the same rows for any block, thread and memory."""

from pathlib import Path

import numpy as np
import pytest

import srmfast
from srmfast.errors import InputError
from srmfast.graph import Capture
from srmfast.stores import Inference, _onnx, load_column, open_store, several_of
from tests import onnx_models as made
from tests.onnx_models import saved
from tests.store_contract import D, StoreContract

OPTIONS = dict(epsilon=0.4, angles=36)


class TestOnnx(StoreContract):
    """Inputs handed through a model that changes nothing."""

    dtypes = (
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float16",
        "float32",
        "float64",
    )

    def make(self, folder, array):
        import onnx

        kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        proto = made.model(
            [onnx.helper.make_node("Identity", ["x"], ["y"])], [made.info("x", kind, ["batch", D])], [made.info("y", kind, ["batch", D])]
        )  # fmt: skip
        np.save(folder / "x.npy", array)
        return f"{saved(proto, folder / 'm.onnx')}::y"

    @pytest.fixture(autouse=True)
    def inputs(self, monkeypatch):
        plain = open_store

        def opened(spec, **options):
            return plain(spec, inputs=str(Path(spec.partition("::")[0]).with_name("x.npy")), batch=10, **options)

        monkeypatch.setattr("tests.store_contract.open_store", opened)


@pytest.fixture
def text(tmp_path):
    """A text model and its inputs: paths."""
    np.savez(tmp_path / "text.npz", **made.text_inputs())
    return saved(made.text(), tmp_path / "text.onnx"), str(tmp_path / "text.npz")


def test_rows_are_tokens_and_padding_is_left_out_and_accounted_for(text):
    path, inputs = text
    mask = made.text_inputs()["attention_mask"]
    wanted = Capture(path, ["hidden_1"]).run(made.text_inputs())["hidden_1"]
    with open_store(f"{path}::hidden_1", inputs=inputs) as store:
        assert store.shape == (21 * 9, 6) and store.row_shape == (21, 9)
        assert np.allclose(store.read(0, store.n), wanted.reshape(-1, 6), rtol=1e-6)
        result = srmfast.run(store, **OPTIONS)
    assert result.attrs["rows"]["masked"] == {"mask": int((mask == 0).sum())}
    assert "rows where attention_mask is 0 are left out" in result.attrs["notes"][0]
    kept = srmfast.run(wanted[mask == 1], **OPTIONS)
    assert np.array_equal(kept.total, result.total)


def test_token_ids_are_beside_the_tokens(text):
    path, inputs = text
    result = srmfast.run(f"{path}::hidden_1", inputs=inputs, exclude_tokens=[3, 7], **OPTIONS)
    ids, mask = made.text_inputs().values()
    assert result.attrs["rows"]["masked"]["tokens"] == int((np.isin(ids, [3, 7]) & (mask == 1)).sum()) > 0


def test_counts_do_not_depend_on_how_it_is_run(text):
    path, inputs = text
    first = srmfast.run(f"{path}::hidden_1", inputs=inputs, threads=1, **OPTIONS)
    for how in ({"threads": 4}, {"block_rows": 3}, {"threads": 3, "block_rows": 7, "memory": "300MiB"}):
        other = srmfast.run(f"{path}::hidden_1", inputs=inputs, **how, **OPTIONS)
        assert np.array_equal(first.counts, other.counts) and first.attrs["spec"] == other.attrs["spec"]


def test_shards_add_up_to_the_run(text, tmp_path, srmfast_main):
    path, inputs = text
    options = f"--inputs {inputs} --batch 4 --epsilon 0.4 --angles 36 --progress none"
    for shard in (1, 2, 3):
        ended = srmfast_main(f"run {path}::hidden_1 {options} --shard {shard}/3 -o {tmp_path}/{shard}.part")
        assert ended.rc == 0, ended.stderr
    assert srmfast_main(f"merge {tmp_path}/1.part {tmp_path}/2.part {tmp_path}/3.part -o {tmp_path}/all.zarr").rc == 0
    whole = srmfast.run(f"{path}::hidden_1", inputs=inputs, batch=4, **OPTIONS)
    assert np.array_equal(srmfast.load(tmp_path / "all.zarr").counts, whole.counts)


def test_each_batch_is_run_once_in_a_reading(text, monkeypatch):
    path, inputs = text
    ran = []
    plain = Inference.run
    monkeypatch.setattr(Inference, "run", lambda self, number: ran.append(number) or plain(self, number))
    with open_store(f"{path}::hidden_1", inputs=inputs, batch=4) as store:
        assert store.rows_per_block == 4 * 9
        for start, stop in store.reads(store.rows_per_block):
            store.read(start, stop)
        assert ran == list(range(6))
        ran.clear()
        assert np.array_equal(store.read(0, 50), np.concatenate([store.read(0, 5), store.read(5, 50)]))
        store.read(40, 44)  # within a batch that was just run
        assert ran == [0, 1, 0, 1]


def test_a_batch_is_chosen_from_the_model_and_its_inputs_alone(text, monkeypatch):
    path, inputs = text
    with open_store(f"{path}::hidden_1", inputs=inputs) as store:
        assert store.describe()["batch"] == 64
        item = store.working_bytes
    monkeypatch.setattr(_onnx, "_BATCH_BYTES", item // 8)
    with open_store(f"{path}::hidden_1", inputs=inputs) as store:
        assert store.describe()["batch"] < 64 and store.working_bytes < item


@pytest.mark.parametrize("n", [1, 4, 8, 9, 11])
def test_a_fixed_batch_is_looped_and_the_padding_dropped(n):
    rows = np.random.default_rng(1).normal(size=(n, 6)).astype(np.float32)
    wanted = Capture(made.mlp(), ["hidden_1"]).run({"x": rows})["hidden_1"]
    with srmfast_store(made.mlp(batch=4), "hidden_1", rows) as (source, inference):
        assert (inference.batch, source.shape) == (4, (n, 8))
        assert np.allclose(source.read((slice(0, n), slice(0, 8))), wanted, rtol=1e-5)
    with pytest.raises(InputError, match="takes 4 items at once, got --batch 2"):
        Inference(made.mlp(batch=4), ["y"], rows, batch=2)


class srmfast_store:
    """A source over a model in memory."""

    def __init__(self, proto, name, inputs, **options):
        self._made = proto, [name], inputs
        self._options, self._name = options, name

    def __enter__(self):
        inference = Inference(*self._made, **self._options)
        self._source = _onnx.OnnxSource(inference, self._name)
        return self._source, inference

    def __exit__(self, *exception):
        self._source.close()


def test_channels_are_the_features_of_what_a_convolution_makes(tmp_path):
    images = np.random.default_rng(2).normal(size=(5, 3, 8, 8)).astype(np.float32)
    np.save(tmp_path / "x.npy", images)
    path = saved(made.convolution(), tmp_path / "m.onnx")
    wanted = Capture(path, ["active"]).run({"x": images})["active"]
    with open_store(f"{path}::active", inputs=tmp_path / "x.npy") as store:
        assert (store.n, store.d) == (5 * 64, 4)
        assert np.allclose(store.read(0, store.n), wanted.transpose(0, 2, 3, 1).reshape(-1, 4), rtol=1e-6)
        assert "the features are its channels, axis 1" in store.recognised.line
    with open_store(f"{path}::last", inputs=tmp_path / "x.npy") as store:
        assert (store.n, store.d) == (5 * 64, 4)
    with open_store(f"{path}::active", inputs=tmp_path / "x.npy", pool="mean") as store:
        assert np.allclose(store.read(0, 5), wanted.mean(axis=(2, 3)), atol=1e-6)
    with open_store(f"{path}::active", inputs=tmp_path / "x.npy", flatten=True) as store:
        assert store.shape == (5, 4 * 64)


def test_means_over_positions_say_that_padding_is_in_them(text):
    path, inputs = text
    with open_store(f"{path}::hidden_1", inputs=inputs, pool="mean") as store:
        assert store.shape == (21, 6) and store.recognised.mask is None
        assert "over all positions, those that attention_mask marks as padding too" in store.recognised.line


def test_inputs_may_be_given_in_every_form(tmp_path):
    path = saved(made.text(), tmp_path / "m.onnx")
    arrays = made.text_inputs()
    (tmp_path / "folder").mkdir()
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
        np.save(tmp_path / "folder" / f"{name}.npy", array)
    np.savez(tmp_path / "all.npz", **arrays)
    import h5py
    import zarr

    with h5py.File(tmp_path / "all.h5", "w") as file:
        for name, array in arrays.items():
            file[name] = array
    group = zarr.open_group(str(tmp_path / "all.zarr"), mode="w", zarr_format=2)
    for name, array in arrays.items():
        group.create_array(name, shape=array.shape, dtype=array.dtype)[...] = array
    forms = [
        tmp_path / "all.npz", tmp_path / "folder", tmp_path / "all.h5", tmp_path / "all.zarr", arrays,
        {name: tmp_path / f"{name}.npy" for name in arrays},
    ]  # fmt: skip
    for form in forms:
        with open_store(f"{path}::hidden_1", inputs=form) as store:
            found = store.read(0, store.n)
        assert np.array_equal(found, Capture(path, ["hidden_1"]).run(arrays)["hidden_1"].reshape(-1, 6))


def refused(match, proto, inputs, name="y", **options):
    with pytest.raises(InputError, match=match) as found:
        Inference(proto, [name], inputs, **options)
    assert "\n" not in str(found.value)


def test_inputs_that_do_not_fit_are_refused_with_what_is_wanted(tmp_path):
    rows, text = np.zeros((5, 6), np.float32), made.text_inputs()
    refused(r"needs its inputs, x \(float32, batch x 6\); give --inputs X", made.mlp(), None)
    refused("has 2 axes, .* 3: shape", made.mlp(), rows[None])
    refused("axis 1 of input x .* is 6, .* is 5", made.mlp(), rows[:, :5])
    refused("at least one item", made.mlp(), rows[:0])
    refused("must be int32, .* is float32, which does not become int32", made.bytes_in(), np.zeros((3, 5), np.float32))
    refused("must be float32, .* is int64", made.mlp(), rows.astype(np.int64))
    refused("needs input_ids .*, attention_mask .*, but one array is given", made.text(), text["input_ids"], "pooled")
    refused("no 'attention_mask' is given", made.text(), {"input_ids": text["input_ids"]}, "pooled")
    np.savez(tmp_path / "half.npz", input_ids=text["input_ids"])
    refused("has no array 'attention_mask'", made.text(), tmp_path / "half.npz", "pooled")
    refused("as many items", made.text(), text | {"attention_mask": text["attention_mask"][:5]}, "pooled")
    refused("must agree in 'time'", made.text(), text | {"attention_mask": text["attention_mask"][:, :5]}, "pooled")
    refused("batch must be a whole number", made.mlp(), rows, batch=0)


def test_types_are_converted_where_nothing_is_lost_and_that_is_told():
    images = np.random.default_rng(1).integers(0, 255, (5, 6)).astype(np.uint8)
    for given, note in (
        (images, "is uint8 and given as float32"),
        (images.astype(np.float64), "float64 and rounded to float32"),
    ):
        with Inference(made.mlp(), ["y"], given) as inference:
            assert any(note in line for line in inference.notes(["y"]))
            assert np.array_equal(
                inference.run(0)["y"], Capture(made.mlp(), ["y"]).run({"x": images.astype(np.float32)})["y"]
            )
    with Inference(made.bytes_in(), ["y"], images[:, :5].astype(np.int64)) as inference:
        assert "checked to hold every value" in inference.notes(["y"])[0]
    refused("holds .* to 1099511627776", made.bytes_in(), np.full((3, 5), 1 << 40))


def test_tensors_without_rows_are_refused():
    refused("first axis of 'sizes' .* is not that of the items", made.text(), made.text_inputs(), "sizes")
    with pytest.raises(InputError, match="d >= 2"):
        open_in_memory(made.model(made.mlp(hidden=1).graph.node, [made.info("x", made.F32, ["b", 6])], [], made.mlp(hidden=1).graph.initializer), "hidden_0")  # fmt: skip


def open_in_memory(proto, name):
    from srmfast.stores import Store

    return Store(_onnx.OnnxSource(Inference(proto, [name], np.zeros((5, 6), np.float32)), name))


def test_inputs_whose_items_are_on_another_axis_are_refused():
    import onnx

    proto = made.model(
        [onnx.helper.make_node("Add", ["x", "state"], ["y"])],
        [made.info("x", made.F32, ["batch", 4]), made.info("state", made.F32, [2, "batch", 4])],
        [made.info("y", made.F32, None)],
    )
    refused(
        "the first axis of every input must be that of the items", proto,
        {"x": np.zeros((2, 4), np.float32), "state": np.zeros((2, 2, 4), np.float32)},
    )  # fmt: skip


def test_an_input_of_one_number_goes_to_every_batch():
    import onnx

    proto = made.model(
        [onnx.helper.make_node("Mul", ["x", "rate"], ["y"])],
        [made.info("x", made.F32, ["batch", 4]), made.info("rate", made.F32, [])], [made.info("y", made.F32, None)],
    )  # fmt: skip
    x = np.arange(20, dtype=np.float32).reshape(5, 4)
    with Inference(proto, ["y"], {"x": x, "rate": np.float32(3)}, batch=2) as inference:
        assert np.array_equal(np.concatenate([inference.run(number)["y"] for number in range(3)]), 3 * x)


def test_a_model_without_a_tensor_says_what_there_is(text):
    path, inputs = text
    with pytest.raises(InputError, match="name the tensor of .* whose rows are meant.*pooled, sizes"):
        open_store(path, inputs=inputs)
    with pytest.raises(InputError, match="'hidden_\\*' matches 2: hidden_0, hidden_1"):
        open_store(f"{path}::hidden_*", inputs=inputs)
    with pytest.raises(InputError, match="inputs and a batch are given to models"):
        open_store(inputs + "::input_ids", inputs=inputs)
    with pytest.raises(InputError, match="inputs and a batch are given to models"):
        open_store(np.zeros((4, 4)), batch=3)
    with pytest.raises(InputError, match="read from a disk only"):
        open_store("https://example.org/m.onnx::x", inputs=inputs)


def test_a_pattern_stands_for_several_stores_of_a_run(text, tmp_path, srmfast_main):
    path, inputs = text
    found = several_of(f"{path}::hidden_*", {})
    assert [part.source for part in found.parts] == [f"{path}::hidden_0", f"{path}::hidden_1"] and found.computed
    assert several_of(f"{path}::hidden_1", {}) is None
    out = tmp_path / "r.zarr"
    ended = srmfast_main(f"run {path}::hidden_* --inputs {inputs} --epsilon 0.4 --angles 36 -o {out} --progress none")
    assert ended.rc == 0, ended.stderr
    found = srmfast.load(out)
    assert [store for store, _ in found] == ["text.hidden_0", "text.hidden_1"]
    alone = srmfast.run(f"{path}::hidden_0", inputs=inputs, **OPTIONS)
    assert np.array_equal(found["text.hidden_0", "standard"].counts, alone.counts)


def test_results_are_verified_and_reproduced_and_know_what_they_were_made_from(text, tmp_path, srmfast_main):
    path, inputs = text
    out = tmp_path / "r.zarr"
    assert (
        srmfast_main(f"run {path}::hidden_1 --inputs {inputs} --epsilon 0.4 --angles 36 -o {out} --progress none").rc
        == 0
    )
    made_from = srmfast.load(out).attrs["spec"]["store"]["inference"]
    assert (
        made_from["tensor"] == "hidden_1"
        and made_from["batch"] == 64
        and made_from["runtime"].startswith("onnxruntime ")
    )
    assert made_from["provider"] == "CPUExecutionProvider" and made_from["threads"] == 1
    assert srmfast_main(f"verify {out} --progress none").rc == 0
    assert srmfast_main(f"reproduce {out} --progress none").stdout.startswith("the same")
    again = srmfast_main(f"verify {out} --batch 4 --progress none")
    assert again.rc == 1 and "batch" in again.stdout
    changed = made.text_inputs(seed=5)
    np.savez(tmp_path / "text.npz", **changed)
    assert srmfast_main(f"verify {out} --progress none").rc == 1


def test_several_inputs_are_named_on_the_command_line(text, tmp_path, srmfast_main):
    path, _ = text
    for name, array in made.text_inputs().items():
        np.save(tmp_path / f"{name}.npy", array)
    given = " ".join(f"--inputs {name}={tmp_path}/{name}.npy" for name in made.text_inputs())
    out = tmp_path / "r.zarr"
    ended = srmfast_main(f"run {path}::hidden_1 {given} --epsilon 0.4 --angles 36 -o {out} --progress none")
    assert ended.rc == 0, ended.stderr
    assert srmfast_main(f"reproduce {out} --progress none").rc == 0
    ended = srmfast_main(f"inspect {path}::hidden_1 {given}")
    assert ended.rc == 0 and "21 x 9 x 6" in ended.stdout, ended.stderr
    ended = srmfast_main(f"mean {path}::hidden_1 {given} -o {tmp_path}/m.npy --progress none")
    assert ended.rc == 0 and np.load(tmp_path / "m.npy").shape == (6,), ended.stderr
    twice = srmfast_main(f"inspect {path}::hidden_1 --inputs a.npy --inputs b.npy")
    assert twice.rc == 1 and "must be NAME=FILE" in twice.stderr


def test_inputs_in_memory_have_to_be_given_again(text):
    from srmfast.analyses.verification import reproduce

    path, inputs = text
    result = srmfast.run(f"{path}::hidden_1", inputs=made.text_inputs(), **OPTIONS)
    resources = srmfast.Resources.resolve()
    with pytest.raises(InputError, match="the inputs of the result were in memory"):
        reproduce(result, resources=resources)
    again = reproduce(result, resources=resources, inputs=made.text_inputs())
    assert np.array_equal(again.counts, result.counts)


def test_a_model_that_changes_while_it_is_read_is_noticed(text):
    path, inputs = text
    with open_store(f"{path}::hidden_1", inputs=inputs) as store:
        before = store.fingerprint()
        store.check_unchanged(before)
        other = made.text()
        other.doc_string = "trained further"
        saved(other, path)
        with pytest.raises(InputError, match="must stay the same while it is read, but its header changed"):
            store.check_unchanged(before)


def test_weights_are_a_basis(tmp_path):
    path = saved(made.mlp(), tmp_path / "m.onnx")
    assert load_column(f"{path}::w2").shape == (8, 4)
    with pytest.raises(InputError, match="has no constant 'w9'; it has w0, w1, w2"):
        load_column(f"{path}::w9")


def test_the_memory_of_the_model_and_of_a_batch_is_in_the_plan(text, srmfast_main):
    path, inputs = text
    ended = srmfast_main(f"run {path}::hidden_1 --inputs {inputs} --epsilon 0.4 --dry-run")
    assert ended.rc == 0 and "the model" in ended.stdout and "computed by the model" in ended.stdout


def test_a_run_over_a_sample_is_one_over_those_rows(text):
    path, inputs = text
    with open_store(f"{path}::pooled", inputs=inputs) as store:
        rows = store.read(0, store.n)
    ours = srmfast.run(f"{path}::pooled", inputs=inputs, rows="3:17:2", **OPTIONS)
    assert np.array_equal(ours.total, srmfast.run(rows[3:17:2], **OPTIONS).total)
