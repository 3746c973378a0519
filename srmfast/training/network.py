"""A recipe's network as an ONNX model: weights drawn, bases built, tensors named."""

import zlib
from dataclasses import dataclass, field

import numpy as np
from threadpoolctl import threadpool_limits

from srmfast.bases import Basis, load_basis, random_frame
from srmfast.errors import InputError
from srmfast.training import layers
from srmfast.training.layers import IR_VERSION, OPSET, Nodes
from srmfast.training.recipe import BASES, OF_A_BASIS

INPUT, SCALED, LATENT, PREDICTION = "input", "x", "latent", "prediction"


@dataclass(frozen=True)
class Network:
    """A network.

    Attributes
    ----------
    model : onnx.ModelProto
        Input "input" (N, …) as the data are stored; tensors "x" (N, d), the scaled data, and "latent" (N, n); output
        "prediction". The parameters are initialisers.
    parameters : tuple of str
        Weights, (in, out), and biases, (out,), by turns.
    latent_width : int
    bases : dict of str to Basis
        By the layer whose activation function is made of it; empty when none is.
    basis : Basis or None
        That of the first activation function behind the latent layer.
    """

    model: object = field(repr=False)
    parameters: tuple
    latent_width: int
    bases: dict
    basis: Basis | None


def build(recipe, data, vectors=None):
    """Build the network of a recipe for rows like the given ones.

    Parameters
    ----------
    recipe : Recipe
    data : Data
        Its shape, type and classes count, not its values.
    vectors : dict of str to ndarray, optional
        Bases by layer, in place of those that the recipe describes.

    Returns
    -------
    Network
    """
    import onnx

    nodes, width = Nodes("nodes/"), data.width
    seed = recipe["training.seed"]
    at, parameters, bases, behind = _scaled(nodes, recipe, data), [], {}, None
    stages = recipe.widths(width, len(data.names))
    latent_width = None
    for number, (kind, out) in enumerate(stages):
        if kind == "latent":
            latent_width = width
            continue
        following = stages[number + 1][0] if number + 1 < len(stages) else None
        name = LATENT if following == "latent" else PREDICTION if following is None else f"layer{number}"
        if kind == "linear":
            weights = f"layer{number}/weight"
            nodes.constant(draw(recipe["init.weights"], width, out, seed, number), weights)
            nodes.constant(np.zeros(out), bias := f"layer{number}/bias")
            at = nodes.op("Add", nodes.op("MatMul", at, weights), bias, name=name)
            parameters += [weights, bias]
            width = out
            continue
        kind = recipe["activation.kind"] if kind == "activation" else kind
        at = _activation(nodes, recipe, kind, at, name, width, number, stages, bases, vectors or {})
        if latent_width is not None and behind is None:
            behind = bases.get(f"layer{number}")
    wanted = data.width if recipe["training.loss"] == "mse" else len(data.names)
    if width != wanted:
        raise InputError(
            f"with the loss {recipe['training.loss']} the last layer must be {wanted} wide, got {recipe['layers'][-1]!r}; "
            "write 'linear d' for the width of the data, 'linear classes' for their classes"
        )
    graph = onnx.helper.make_graph(
        nodes.nodes,
        recipe["name"] or "network",
        [
            onnx.helper.make_tensor_value_info(
                INPUT, onnx.helper.np_dtype_to_tensor_dtype(data.rows.dtype), ["N", *data.rows.shape[1:]]
            )
        ],
        [
            onnx.helper.make_tensor_value_info(PREDICTION, onnx.TensorProto.FLOAT, ["N", width]),
            onnx.helper.make_tensor_value_info(LATENT, onnx.TensorProto.FLOAT, ["N", latent_width]),
        ],
        nodes.initialisers,
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], producer_name="srmfast", ir_version=IR_VERSION
    )
    onnx.checker.check_model(model, full_check=True)
    return Network(model, tuple(parameters), latent_width, bases, behind)


def draw(kind, inputs, outputs, seed, number):
    """Draw the weights of a linear layer.

    Parameters
    ----------
    kind : str
        One of the recipe's init.weights.
    inputs, outputs : int
    seed, number : int
        Of the training and the layer: every layer has its own stream of numbers.

    Returns
    -------
    ndarray, (inputs, outputs) float32
    """
    rng = np.random.Generator(np.random.PCG64([seed, number]))
    if kind == "orthogonal":
        frame = random_frame(min(inputs, outputs), max(inputs, outputs), rng)
        return (frame if inputs <= outputs else frame.T).astype(np.float32)
    variance = 2.0 / (inputs + outputs) if kind.startswith("xavier") else 2.0 / inputs
    if kind.endswith("uniform"):
        bound = np.sqrt(3.0 * variance)
        return rng.uniform(-bound, bound, (inputs, outputs)).astype(np.float32)
    return (rng.standard_normal((inputs, outputs)) * np.sqrt(variance)).astype(np.float32)


def _scaled(nodes, recipe, data):
    """Append what makes (N, d) float32 rows, linearly scaled, of the input."""
    at = INPUT
    if data.rows.ndim > 2:
        at = nodes.op("Flatten", at, axis=1)
    if not recipe["data.range"]:
        return nodes.op("Cast", at, name=SCALED, to=1)
    (low, high), (first, last) = recipe["data.range"], recipe["data.scale"]
    factor = (last - first) / (high - low)
    at = nodes.op("Mul", nodes.op("Cast", at, to=1), nodes.constant(factor))
    return nodes.op("Add", at, nodes.constant(first - low * factor), name=SCALED)


def _activation(nodes, recipe, kind, at, name, width, number, stages, bases, vectors):
    function = getattr(layers, kind.replace("-", "_"))
    options = {}
    if kind in OF_A_BASIS:
        own = stages[[stage for stage, _ in stages].index("latent") - 1][1] or width
        layer, alike = f"layer{number}", [basis for basis in bases.values() if basis.vectors.shape[1] == own == width]
        if layer in vectors:
            basis = load_basis(vectors[layer], width)
        else:
            basis = alike[0] if alike else layer_basis(recipe, width, own, number)
        bases[layer] = basis
        options["basis"] = basis.vectors
    if kind == "generalised-tanh":
        options["corrected"] = recipe["activation.corrected"]
    if kind == "isotropic-relu":
        options["threshold"] = recipe["activation.threshold"]
    return function(nodes, at, name, **options)


def layer_basis(recipe, width, latent_width, number):
    """Return the basis of an activation function.

    Parameters
    ----------
    recipe : Recipe
    width : int
        Of the layer.
    latent_width : int
        The basis of the recipe is for this width; other layers have ±q_i, with q_i orthonormal and random.
    number : int
        Of the layer.

    Returns
    -------
    Basis
    """
    kind, count, seed = recipe["basis.kind"], recipe["basis.count"], recipe["basis.seed"]
    if width != latent_width:
        return _rotated_plusminus(width, [seed, number, zlib.crc32(b"hidden")])
    if kind == "rotated-plusminus":
        return _rotated_plusminus(width, _apart(seed))
    spec = f"{kind}:{count}" if kind in ("thompson", "random") else kind
    with threadpool_limits(1, user_api="blas"):  # small products, for which threads only wait for each other
        drawn = int(np.random.SeedSequence(_apart(seed)).generate_state(1)[0])
        return load_basis(spec, width, seed=drawn, name="basis" if kind not in BASES else None)


def _apart(seed):
    """Return a seed of other numbers than those of the weights: with one seed, these would point along the basis."""
    return [seed, zlib.crc32(b"basis")]


def _rotated_plusminus(width, seed):
    rng = np.random.Generator(np.random.PCG64(seed))
    frame = random_frame(width, width, rng)
    return load_basis(np.concatenate([frame, -frame]), width, name="rotated-plusminus")
