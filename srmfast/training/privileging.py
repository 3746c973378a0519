"""Which choices of a network and its training privilege a basis."""

import json
import os
from collections import Counter
from dataclasses import dataclass

from srmfast.displayed import Displayed
from srmfast.errors import InputError
from srmfast.training.activations import defect
from srmfast.training.network import layer_basis
from srmfast.training.recipe import ELEMENTWISE, ISOTROPIC, load_recipe

STANDARD = "the standard basis"
_NOTABLE = 0.01  # defect of a generalised tanh that is told

_OPTIMISERS = {
    "sgd": ("", "a step is the gradient times a number and turns with the parameters, momentum too"),
    "adam": (
        STANDARD,
        "each parameter is divided by its own root mean square gradient: a diagonal, which no rotation keeps",
    ),
}
_WEIGHTS = {
    "normal": ("", "independent normal numbers of one variance look the same in every rotation"),
    "uniform": (STANDARD, "independent uniform numbers fill a cube, whose corners are far along the diagonals"),
    "orthogonal": (
        "",
        "drawn uniformly over all rotations; it may suit an orthogonal basis better than others, though",
    ),
}
_LOSSES = {
    "mse": ("", "the norm of a difference turns with what is reconstructed"),
    "cross-entropy": ("the axes of the classes", "targets are one-hot: the network must produce that basis"),
}

# Operators of a graph that single out axes: what they privilege, and why.
_ELEMENTWISE = (
    "Celu Clip Elu Erf Gelu HardSigmoid HardSwish LeakyRelu Mish PRelu QuickGelu Relu Selu Sigmoid Softplus Softsign "
    "Swish Tanh ThresholdedRelu"
)
_OPERATORS = {
    **dict.fromkeys(_ELEMENTWISE.split(), (STANDARD, "applied to every entry by itself")),
    "Dropout": (STANDARD, "entries are dropped one by one"),
    "BatchNormalization": (STANDARD, "every entry is divided by its own standard deviation"),
    **dict.fromkeys(
        ("LayerNormalization", "GroupNormalization", "InstanceNormalization", "SimplifiedLayerNormalization"),
        (STANDARD, "gains belong to entries, and the mean along (1, …, 1) is taken out"),
    ),
    "RMSNormalization": (STANDARD, "gains belong to entries; without them it is isotropic"),
    "Softmax": ("its own axes", "exponentials of entries: classes, or positions of an attention map"),
    "LogSoftmax": ("the axes of the classes", "exponentials of entries, for one-hot targets"),
    **dict.fromkeys(
        ("MaxPool", "GlobalMaxPool", "ReduceMax"), (STANDARD, "the largest of each entry is taken by itself")
    ),
    "LRN": (STANDARD, "entries are divided by their neighbours"),
    **dict.fromkeys(
        ("QuantizeLinear", "DynamicQuantizeLinear", "FakeQuant"), (STANDARD, "entries are rounded to a grid")
    ),
    **dict.fromkeys(("ArgMax", "TopK", "Hardmax"), ("its own axes", "entries are compared with each other")),
}


@dataclass(frozen=True)
class Choice:
    """One choice.

    Attributes
    ----------
    part : str
        What was chosen: "optimiser".
    value : str
        What it was chosen to be: "sgd, momentum 0.9".
    privileges : str
        The basis that it privileges; "" when it is isotropic.
    reason : str
    """

    part: str
    value: str
    privileges: str
    reason: str


class Choices(Displayed, tuple):
    """Choices, printed as a table."""

    def _line(self):
        return ", ".join(f"{one.part}: {one.value}" for one in self)

    def __str__(self):
        lines = [("choice", "is", "privileges", "because")]
        lines += [(one.part, one.value, one.privileges or "–", one.reason) for one in self]
        widths = [max(len(line[column]) for line in lines) for column in range(3)]
        return "\n".join(
            "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[3]])
            for line in lines
        )


def choices(what, changes=()):
    """List the choices that privilege a basis, or may be thought to.

    Parameters
    ----------
    what : str, path, dict, Recipe or onnx.ModelProto
        A recipe, or an ONNX model, of which the graph tells only part: a checkpoint of `train` tells its recipe.
    changes : mapping or sequence of str
        To the recipe, as for `load_recipe`.

    Returns
    -------
    tuple of Choice
        Its text is a table.

    Notes
    -----
    Paper 2505.13471, appendix G. "Isotropic" means: rotate the data of a layer, its parameters and its basis, train
    with the same batches, and the trajectory is the same one, rotated.

    Examples
    --------
    >>> found = choices("small-mnist", {"optimiser.kind": "adam", "basis.kind": "rotated-plusminus"})
    >>> [(one.part, one.privileges) for one in found if one.part == "optimiser"]
    [('optimiser', 'the standard basis')]
    """
    if hasattr(what, "graph") or (isinstance(what, (str, os.PathLike)) and os.fspath(what).endswith(".onnx")):
        return _of_model(what)
    return _of_recipe(load_recipe(what, changes))


def _of_recipe(recipe):
    found = [_data(recipe), _optimiser(recipe), _weights(recipe), *_regularisation(recipe)]
    found += _activations(recipe)
    loss = recipe["training.loss"]
    found.append(Choice("loss", loss, *_LOSSES[loss]))
    return Choices(found)


def _data(recipe):
    if recipe["data.range"]:
        reason = "entries are bounded one by one, which no choice of the training can mend"
        return Choice("data", f"bounded by {recipe['data.scale']}", "the axes of the data, a little", reason)
    return Choice("data", "as they are", "", "unless the data do, look at them: srmfast run DATA --basis standard")


def _optimiser(recipe):
    kind = recipe["optimiser.kind"]
    value = f"{kind}, momentum {recipe['optimiser.momentum']}" if kind == "sgd" else kind
    return Choice("optimiser", value, *_OPTIMISERS[kind])


def _weights(recipe):
    kind = recipe["init.weights"]
    return Choice("weights at the beginning", f"{kind}, biases 0", *_WEIGHTS[kind.rpartition("-")[2]])


def _regularisation(recipe):
    l1, l2 = recipe["regularisation.l1"], recipe["regularisation.l2"]
    if l1:
        yield Choice("regularisation", f"l1 = {l1}", STANDARD, "the sum of absolute entries is smallest on the axes")
    if l2:
        yield Choice("regularisation", f"l2 = {l2}", "", "the norm of all weights is the same in every rotation")
    if not (l1 or l2):
        yield Choice(
            "regularisation", "none", "", "nothing is added to the loss; no dropout and no normalisation either"
        )


def _activations(recipe):
    layers = recipe["layers"]
    latent, seen = layers.index("latent"), Counter()
    for at, text in enumerate(layers):
        if text == "latent" or text.startswith("linear"):
            continue
        before = at < latent
        kind = recipe["activation.kind"] if text == "activation" else text
        seen[kind, before, _width(recipe, layers, at), _width(recipe, layers, latent)] += 1
    for (kind, before, width, latent_width), count in seen.items():
        part = f"activation {'before' if before else 'behind'} the latent layer"
        privileges, reason = _activation(recipe, kind, width, latent_width)
        if before:
            reason += "; it shapes the latent layer's input directly"
        yield Choice(part, f"{count} × {kind}", privileges, reason)


def _width(recipe, layers, at):
    """Return the width of the linear layer before a place, as a number or the name that stands for it."""
    name = next(text for text in reversed(layers[:at]) if text.startswith("linear")).partition(" ")[2]
    return int(name) if name.isdecimal() else recipe.values.get(name, name)


def _activation(recipe, kind, width, latent_width):
    if kind in ELEMENTWISE:
        return STANDARD, "applied to every entry by itself"
    if kind in ISOTROPIC:
        return "", "a function of the norm alone, along x"
    if width != latent_width:
        return f"its own, 2·{width} vectors ±q_i", "the function is a sum over these vectors"
    basis = recipe["basis.kind"] + (f":{recipe['basis.count']}" if recipe["basis.count"] else "")
    reason = "the function is a sum over these vectors"
    if kind == "generalised-tanh" and type(width) is int and recipe["activation.corrected"]:
        vectors = layer_basis(recipe, width, width, 0).vectors
        if (off := defect(vectors)) > _NOTABLE:
            reason += (
                f"; it jumps where x·b_i = 0, and its correction misses σ(2·b_j) = tanh(2)·b_j by up to {off:.2f}: "
                "these vectors do not see the others alike"
            )
        elif len(vectors) > 2 * width:
            reason += "; it jumps where x·b_i = 0"
    return f"its own, {basis} in {width} dimensions", reason


def _of_model(model):
    from srmfast.graph import load_model

    model = load_model(model)
    known = {entry.key: entry.value for entry in model.metadata_props}
    if "srmfast.recipe" in known:
        try:
            values = json.loads(known["srmfast.recipe"])
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise InputError("the recipe in the metadata of a checkpoint must be JSON, it is damaged; train it again")
        return _of_recipe(load_recipe(values))
    count, first = Counter(), {}
    for node in model.graph.node:
        if node.op_type in _OPERATORS:
            count[node.op_type] += 1
            first.setdefault(node.op_type, node.name or node.output[0])
    found = [
        Choice(
            "operator",
            f"{number} × {kind} ({first[kind]} …)" if number > 1 else f"{kind} ({first[kind]})",
            *_OPERATORS[kind],
        )
        for kind, number in count.most_common()
    ]
    unknown = "the graph does not tell: Adam, L1, dropout and uniform initial weights privilege the standard basis"
    return Choices([*found, Choice("optimiser, weights, regularisation", "not known", "?", unknown)])
