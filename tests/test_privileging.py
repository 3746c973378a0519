"""The check that lists which choices privilege a basis; that it is right about training is tested in test_training."""

import numpy as np
import onnx
import pytest

from srmfast.errors import InputError
from srmfast.training import choices, train

BASE = {
    "n": 3,
    "layers": ["linear n", "latent", "activation", "linear d"],
    "activation": {"kind": "generalised-tanh"},
    "basis": {"kind": "simplex"},
}
ICOSAHEDRON = ("basis.kind=thompson", "basis.count=12")


def told(*changes):
    return {one.part: one for one in choices(BASE, changes)}


def test_the_papers_choices_privilege_the_basis_of_the_activation_alone():
    found = told(*ICOSAHEDRON)
    assert [one.part for one in found.values() if one.privileges] == ["activation behind the latent layer"]
    activation = found["activation behind the latent layer"]
    assert activation.privileges == "its own, thompson:12 in 3 dimensions"
    assert "it jumps where x·b_i = 0" in activation.reason and "misses" not in activation.reason


@pytest.mark.parametrize(
    ("change", "part", "privileges"),
    [
        ("optimiser.kind=adam", "optimiser", "the standard basis"),
        ("init.weights=xavier-uniform", "weights at the beginning", "the standard basis"),
        ("init.weights=kaiming-uniform", "weights at the beginning", "the standard basis"),
        ("init.weights=kaiming-normal", "weights at the beginning", ""),
        ("init.weights=orthogonal", "weights at the beginning", ""),
        ("regularisation.l1=0.1", "regularisation", "the standard basis"),
        ("regularisation.l2=0.1", "regularisation", ""),
        ("activation.kind=tanh", "activation behind the latent layer", "the standard basis"),
        ("activation.kind=relu", "activation behind the latent layer", "the standard basis"),
        ("activation.kind=isotropic-tanh", "activation behind the latent layer", ""),
        ("activation.kind=isotropic-relu", "activation behind the latent layer", ""),
        ("activation.kind=averaged-tanh", "activation behind the latent layer", "its own, simplex in 3 dimensions"),
        ("data.range=[0, 255]", "data", "the axes of the data, a little"),
    ],
)
def test_each_choice_is_told(change, part, privileges):
    assert told(change)[part].privileges == privileges


def test_one_hot_targets_and_activations_before_the_latent_layer_are_told():
    found = told(
        "training.loss=cross-entropy",
        "data.labels=y.npy",
        'layers=["linear 8", "tanh", "linear n", "latent", "activation", "linear classes"]',
    )
    assert found["loss"].privileges == "the axes of the classes"
    before = found["activation before the latent layer"]
    assert before.privileges == "the standard basis" and "shapes the latent layer's input" in before.reason


def test_a_correction_that_does_not_do_what_it_is_for_is_told():
    reason = told("basis.kind=thompson", "basis.count=8")["activation behind the latent layer"].reason
    assert "it jumps where x·b_i = 0, and its correction misses σ(2·b_j) = tanh(2)·b_j by up to 0.16" in reason
    assert (
        "misses" not in told("basis.count=8", "activation.corrected=false")["activation behind the latent layer"].reason
    )


def test_the_table_lines_up_and_holds_every_choice():
    found = choices(BASE)
    header, *lines = str(found).splitlines()
    assert len(lines) == len(found)
    column = header.index("privileges")
    assert all(line[column - 1] == " " and line[column] != " " for line in lines)


def model_of(*nodes):
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes, "g", [info("x", 1, ["N", 4])], [info(nodes[-1].output[0], 1, ["N", 4])],
        [onnx.numpy_helper.from_array(np.ones(4, np.float32), "w")],
    )  # fmt: skip
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def test_a_graph_tells_its_operators_and_what_it_cannot_tell(tmp_path):
    make = onnx.helper.make_node
    model = model_of(
        make("Mul", ["x", "w"], ["a"]),
        make("Relu", ["a"], ["b"], name="first"),
        make("LayerNormalization", ["b", "w"], ["c"], name="norm"),
        make("Relu", ["c"], ["y"]),
    )
    onnx.save(model, tmp_path / "m.onnx")
    for what in (model, tmp_path / "m.onnx", str(tmp_path / "m.onnx")):
        found = choices(what)
        assert [one.value for one in found] == ["2 × Relu (first …)", "LayerNormalization (norm)", "not known"]
        assert {one.privileges for one in found} == {"the standard basis", "?"}
    with pytest.raises(InputError, match="does not exist"):
        choices(tmp_path / "none.onnx")


def test_a_checkpoint_tells_its_recipe(rng):
    trained = train(
        BASE, data=rng.normal(size=(40, 5)).astype(np.float32), changes={"optimiser.kind": "adam"}, epochs=1
    )
    assert choices(trained.checkpoints[1]) == choices(BASE, {"optimiser.kind": "adam", "training.epochs": 1})
    for damaged, words in (
        ("{", "must be JSON"),
        ("[]", "must be JSON"),
        ('{"layers": 3}', "layers must be a list, got 3"),
    ):
        onnx.helper.set_model_props(trained.checkpoints[1], {"srmfast.recipe": damaged})
        with pytest.raises(InputError, match=words):
            choices(trained.checkpoints[1])
