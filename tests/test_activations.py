"""Activation functions of a basis: the definitions, and the same as ONNX nodes with their gradients."""

import functools

import numpy as np
import onnx
import onnxruntime
import pytest

from srmfast import load_basis
from srmfast.errors import InputError
from srmfast.graph import gradient, gradient_name
from srmfast.thompson import thompson
from srmfast.training import activations, layers
from srmfast.training.activations import correction, defect, generalised_tanh, shortened

RADII = np.exp(np.linspace(-14, 9, 3001))


@functools.cache
def spread(d, k):
    return thompson(d, k, restarts=1)[0]


@pytest.fixture
def frame():
    return load_basis("random:5", 5, seed=3).vectors


# ---- the definitions ---------------------------------------------------------------------------------------


def test_rotated_tanh_is_the_elementwise_one_in_rotated_axes(frame, rng):
    x = rng.normal(size=(40, 5)) * 2
    assert np.abs(activations.rotated_tanh(x, frame) - (frame.T @ np.tanh(frame @ x.T)).T).max() < 1e-15
    assert (activations.rotated_tanh(x, np.eye(5)) == np.tanh(x)).all()


def test_rotated_tanh_has_the_jacobian_of_the_chain_rule(frame, rng):
    x, step = rng.normal(size=5), 1e-6
    wanted = frame.T @ np.diag(1 - np.tanh(frame @ x) ** 2) @ frame
    shifts = np.eye(5) * step
    measured = (activations.rotated_tanh(x + shifts, frame) - activations.rotated_tanh(x - shifts, frame)) / (2 * step)
    assert np.abs(measured.T - wanted).max() < 1e-9


@pytest.mark.parametrize("d", [2, 3, 16])
def test_a_simplex_and_a_cross_polytope_need_no_correction(d, rng):
    for name in ("simplex", "plusminus"):
        assert correction(load_basis(name, d).vectors).scales.size == 0
    frame = load_basis(f"random:{d}", d).vectors
    both = np.concatenate([frame, -frame])
    assert correction(both).scales.size == 0
    x = rng.normal(size=(30, d)) * 3
    assert np.abs(generalised_tanh(x, both) - activations.rotated_tanh(x, frame)).max() < 1e-15
    if d == 3:  # one column of zeros more or less: the very same sums
        axes = load_basis("plusminus", 3).vectors
        assert (generalised_tanh(x, axes) == np.tanh(x)).all()


def test_vectors_found_by_minimisation_are_orthogonal_up_to_a_tolerance():
    vectors = spread(4, 8)
    cosines = np.abs(vectors @ vectors.T)
    assert (cosines < 1e-9).sum() > (cosines == 0).sum()  # rounding errors, which are no neighbours
    assert correction(vectors).scales.size == 0
    assert correction(vectors, tolerance=-1.0).scales.size > 0


@pytest.mark.parametrize(("d", "k", "at_two", "bound"), [(3, 12, -0.49307, 1e-7), (2, 5, -0.20999, 1e-7)])
def test_the_correction_keeps_the_rays_of_the_icosahedron_and_the_pentagon(d, k, at_two, bound):
    vectors = spread(d, k)
    assert correction(vectors)(2.0) == pytest.approx(at_two, abs=1e-5)
    for a in (0.1, 1.0, 2.0, 7.0):
        assert defect(vectors, a) < bound
    if k == 12:
        bare = generalised_tanh(2.0 * vectors, vectors, corrected=False)
        stretch = np.linalg.norm(bare - np.tanh(2.0) * vectors, axis=1)
        inside = correction(vectors)(2.0) * (1 + 5 / np.sqrt(5))  # what the five neighbours bring along the ray
        assert stretch == pytest.approx(-inside, abs=1e-6)
        bare = generalised_tanh(4.0 * vectors, vectors, corrected=False) - np.tanh(4.0) * vectors
        assert np.linalg.norm(bare, axis=1) == pytest.approx(2.114, abs=1e-3)


def test_the_definition_is_the_sum_of_the_paper(rng):
    vectors = spread(3, 8)
    x = rng.normal(size=3) * 2
    r, wanted = np.linalg.norm(x), np.zeros(3)
    c = 0.0
    for j in range(8):
        d = [vectors[i] @ vectors[j] for i in range(8)]
        upper = sum(np.tanh(r * d[i]) * d[i] for i in range(8) if i != j and d[i] > 1e-9)
        c -= upper / sum(value for value in d if value > 1e-9) / 8
    for vector in vectors:
        if x @ vector > 0:
            wanted += (np.tanh(x @ vector) + c) * vector
    assert np.abs(generalised_tanh(x, vectors) - wanted).max() < 1e-14


def test_the_defect_of_less_symmetric_bases_is_not_small():
    assert defect(spread(3, 8)) == pytest.approx(0.162, abs=0.002)
    assert 0.8 < defect(spread(16, 64)) < 1.1
    assert 1.4 < defect(spread(16, 64), 4.0) < 1.8


def test_the_function_jumps_where_a_vector_comes_in():
    vectors = spread(3, 12)
    first = vectors[0]
    across = np.cross(first, [0.3, -0.5, 0.8])
    edge = 2.0 * across / np.linalg.norm(across)  # orthogonal to b_0 and to -b_0
    jump = generalised_tanh(edge + 1e-7 * first, vectors) - generalised_tanh(edge - 1e-7 * first, vectors)
    assert jump @ first == pytest.approx(2 * correction(vectors)(2.0), abs=1e-5)  # b_0 comes in and -b_0 goes
    assert abs(jump @ first) == pytest.approx(0.986, abs=1e-3)
    smooth = activations.averaged_tanh(edge + 1e-7 * first, vectors) - activations.averaged_tanh(
        edge - 1e-7 * first, vectors
    )
    assert np.abs(smooth).max() < 1e-6


@pytest.mark.parametrize(("d", "k"), [(3, 8), (3, 12), (16, 64), (5, 40)])
def test_a_shortened_correction_is_the_same_function(d, k):
    exact = correction(spread(d, k))
    short = shortened(exact)
    assert np.abs(short(RADII) - exact(RADII)).max() < 2e-9
    assert short.scales.size <= 60
    if k == 64:
        assert short.scales.size < exact.scales.size / 5


def test_isotropic_functions_turn_with_their_input(frame, rng):
    x = rng.normal(size=(20, 5)) * 2
    for function in (activations.isotropic_tanh, activations.isotropic_relu):
        assert np.abs(function(x @ frame) - function(x) @ frame).max() < 1e-14
    r = np.linalg.norm(x, axis=1, keepdims=True)
    assert np.abs(activations.isotropic_tanh(x) - np.tanh(r) * x / r).max() < 1e-15
    assert np.abs(activations.isotropic_relu(x, 2.0) - np.maximum(r - 2, 0) * x / r).max() < 1e-15
    assert (activations.isotropic_tanh(np.zeros((1, 5))) == 0).all()
    small = x * 1e-9
    assert np.abs(activations.isotropic_tanh(small) / small - 1).max() < 1e-12


def test_averaging_many_vectors_leaves_a_function_of_the_norm():
    rng = np.random.default_rng(0)
    many = rng.normal(size=(200_000, 3))
    many /= np.linalg.norm(many, axis=1, keepdims=True)
    x = 2.0 * load_basis("random:3", 3, seed=1).vectors
    assert np.abs(activations.averaged_tanh(x, many) - 1.2256 * x / 2.0).max() < 0.01


def test_rotated_tanh_is_refused_for_other_bases():
    with pytest.raises(InputError, match="rotated-tanh needs orthonormal vectors, got 12 of width 3"):
        activations.check_orthonormal(spread(3, 12))


# ---- as ONNX nodes -----------------------------------------------------------------------------------------

ICOSAHEDRON, CUBE = (3, 12), (3, 8)
NODES = {
    "tanh": (layers.tanh, {}, np.tanh),
    "relu": (layers.relu, {}, lambda x: np.maximum(x, 0)),
    "rotated": (layers.rotated_tanh, {"basis": (3, 3)}, activations.rotated_tanh),
    "generalised": (layers.generalised_tanh, {"basis": CUBE}, generalised_tanh),
    "generalised, icosahedron": (layers.generalised_tanh, {"basis": ICOSAHEDRON}, generalised_tanh),
    "generalised, 64": (layers.generalised_tanh, {"basis": (16, 64)}, generalised_tanh),
    "uncorrected": (layers.generalised_tanh, {"basis": CUBE, "corrected": False}, generalised_tanh),
    "averaged": (layers.averaged_tanh, {"basis": CUBE}, activations.averaged_tanh),
    "isotropic tanh": (layers.isotropic_tanh, {}, activations.isotropic_tanh),
    "isotropic relu": (layers.isotropic_relu, {"threshold": 0.7}, activations.isotropic_relu),
}


def modelled(function, options, d):
    nodes = layers.Nodes()
    function(nodes, "x", "y", **options)
    float32 = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes.nodes,
        "layer",
        [onnx.helper.make_tensor_value_info("x", float32, ["N", d])],
        [onnx.helper.make_tensor_value_info("y", float32, ["N", d])],
        nodes.initialisers,
    )
    opset = onnx.helper.make_opsetid("", layers.OPSET)
    return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=layers.IR_VERSION)


def session(model):
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.fixture(params=NODES)
def layer(request):
    """A function as nodes and as defined, and its width."""
    function, options, definition = NODES[request.param]
    options, d = dict(options), 3
    if "basis" in options:
        d, k = options["basis"]
        options["basis"] = load_basis("random:3", 3).vectors if k == d else spread(d, k)
    return modelled(function, options, d), functools.partial(definition, **options), d


def test_nodes_compute_what_is_defined(layer, rng):
    model, definition, d = layer
    x = (rng.normal(size=(200, d)) * np.exp(rng.uniform(-3, 2, (200, 1)))).astype(np.float32)
    (y,) = session(model).run(None, {"x": x})
    wanted = definition(x.astype(np.float64))
    assert np.abs(y - wanted).max() < 3e-6 * max(1.0, np.abs(wanted).max())


def test_the_gradient_of_the_nodes_is_that_of_the_pieces(layer, rng):
    model, definition, d = layer
    x, weights = rng.normal(size=(60, d)) * 1.5, rng.normal(size=(60, d))
    graph = session(gradient(model, "y", "x", cotangent="c"))
    _, slope = graph.run(["y", gradient_name("x")], {"x": x.astype(np.float32), "c": weights.astype(np.float32)})
    step, wanted = 1e-6, np.empty_like(x)
    for axis in range(d):
        shift = np.eye(d)[axis] * step
        ends = [(definition(x + sign * shift) * weights).sum(axis=1) for sign in (1, -1)]
        wanted[:, axis] = (ends[0] - ends[1]) / (2 * step)
    assert np.linalg.norm(slope - wanted) < 1e-4 * np.linalg.norm(wanted)


def test_gradients_at_the_origin_are_numbers(layer):
    model, _, d = layer
    graph = session(gradient(model, "y", "x", cotangent="c"))
    zero = np.zeros((2, d), np.float32)
    for value in graph.run(None, {"x": zero, "c": zero + 1}):
        assert np.isfinite(value).all()
