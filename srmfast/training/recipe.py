"""Recipes: a network and its training in a small TOML file, every choice in sight."""

import copy
import json
import math
import os
import re
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from srmfast.displayed import Displayed
from srmfast.errors import InputError, meant

ELEMENTWISE = ("tanh", "relu")
OF_A_BASIS = ("generalised-tanh", "averaged-tanh", "rotated-tanh")
ISOTROPIC = ("isotropic-tanh", "isotropic-relu")
BASES = ("thompson", "rotated-plusminus", "random", "standard", "plusminus", "simplex")
_COUNTED = ("thompson", "random")

# Every key, with what it is when it is left out. A tuple is a choice, the first by default.
SCHEMA = {
    "name": "",
    "layers": [],
    "data": {
        "train": "",
        "test": "",
        "labels": "",
        "test_labels": "",
        "rows": "",
        "test_rows": "",
        "range": [],
        "scale": [-1.0, 1.0],
    },
    "activation": {"kind": (*OF_A_BASIS, *ISOTROPIC, *ELEMENTWISE), "corrected": True, "threshold": 1.0},
    "basis": {"kind": "thompson", "count": 0, "seed": 0},
    "init": {"weights": ("xavier-normal", "kaiming-normal", "xavier-uniform", "kaiming-uniform", "orthogonal")},
    "optimiser": {
        "kind": ("sgd", "adam"),
        "learning_rate": 0.08,
        "momentum": 0.9,
        "beta1": 0.9,
        "beta2": 0.999,
        "epsilon": 1e-8,
    },
    "regularisation": {"l1": 0.0, "l2": 0.0},
    "training": {"loss": ("mse", "cross-entropy"), "batch": 24, "epochs": 60, "seed": 0, "checkpoints": []},
}
POSITIVE = ("optimiser.learning_rate", "optimiser.epsilon", "training.batch", "training.epochs")
NOT_NEGATIVE = (
    "activation.threshold",
    "basis.count",
    "basis.seed",
    "training.seed",
    "regularisation.l1",
    "regularisation.l2",
)
SHARES = ("optimiser.momentum", "optimiser.beta1", "optimiser.beta2")


@dataclass(frozen=True, repr=False)
class Recipe(Displayed):
    """A network and how it is trained.

    Attributes
    ----------
    values : dict
        Sections and keys of the file, those left out filled in; see ``srmfast/recipes``.
    """

    values: dict

    def _line(self):
        return f"{self['name'] or 'network'}: {' → '.join(self['layers'])}"

    def __getitem__(self, dotted):
        """Return a value by its dotted name, such as "training.batch"."""
        found = self.values
        for key in dotted.split("."):
            found = found[key]
        return found

    def json(self):
        """Return it as JSON, the same for equal recipes."""
        return json.dumps(self.values, sort_keys=True)

    def widths(self, inputs, classes=0):
        """Return the layers with widths as numbers: (kind, width or None) each.

        Parameters
        ----------
        inputs : int
            Width of the data, "d".
        classes : int
            Number of classes, "classes".
        """
        known = {key: value for key, value in self.values.items() if type(value) is int}
        known |= {"d": inputs} | ({"classes": classes} if classes else {})
        found = []
        for text in self["layers"]:
            kind, _, width = text.partition(" ")
            if kind != "linear":
                found.append((kind, None))
                continue
            value = int(width) if width.isdecimal() else known.get(width)
            if not value or value < 1:
                raise InputError(
                    f"the width of a linear layer must be a whole number or one of {', '.join(sorted(known))}, got {text!r}"
                )
            found.append((kind, value))
        return found


def shipped():
    """Return the names of the recipes that come with the package."""
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in resources.files("srmfast").joinpath("recipes").iterdir()
        if entry.name.endswith(".toml")
    )


def load_recipe(source, changes=()):
    """Read a recipe and check it.

    Parameters
    ----------
    source : str, path, dict or Recipe
        The name of a shipped recipe (`small-mnist`, …), a TOML file, or its content as a dict.
    changes : mapping or sequence of str
        Values by dotted name, as ``{"n": 16, "basis.count": 32}`` or ``["n=16", "basis.count=32"]``.

    Returns
    -------
    Recipe

    Raises
    ------
    InputError
        For a file that is none, an unknown key and a value that its key cannot have.
    """
    given = _read(source)
    pairs = changes.items() if hasattr(changes, "items") else map(_pair, changes)
    for dotted, value in pairs:
        _set(given, dotted, value)
    return Recipe(_checked(given))


def _read(source):
    if isinstance(source, Recipe):
        return copy.deepcopy(source.values)
    if isinstance(source, dict):
        return copy.deepcopy(source)
    text = os.fspath(source)
    if text in shipped():
        content = resources.files("srmfast").joinpath("recipes", f"{text}.toml").read_bytes()
    elif Path(text).is_file():
        content = Path(text).read_bytes()
    else:
        raise InputError(
            f"a recipe must be a TOML file or one of {', '.join(shipped())}, got {text!r}{meant(text, shipped())}"
        )
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"a recipe must be TOML, but {text} is not: {error}") from None


def _pair(text):
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise InputError(f"a change must be KEY=VALUE, such as basis.count=32, got {text!r}")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value.strip()  # a word needs no quotes


def _set(values, dotted, value):
    *sections, key = dotted.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise InputError(f"{dotted!r} names no key: {section!r} is a value; keys are those of the recipe")
    values[key] = value


def _checked(given):
    values = {}
    for name, kind in SCHEMA.items():
        if isinstance(kind, dict):
            section = given.get(name, {})
            if not isinstance(section, dict):
                raise InputError(f"[{name}] of a recipe must be a section, got {section!r}")
            if unknown := sorted(set(section) - set(kind)):
                raise InputError(
                    f"[{name}] of a recipe has {', '.join(kind)}, got {unknown[0]!r}{meant(unknown[0], kind)}"
                )
            values[name] = {key: _value(f"{name}.{key}", section.get(key), kind[key]) for key in kind}
        else:
            values[name] = _value(name, given.get(name), kind)
    for name in sorted(set(given) - set(SCHEMA)):
        if type(given[name]) is not int or not re.fullmatch(r"\w+", name) or name in ("d", "classes"):
            raise InputError(
                f"a recipe has {', '.join(SCHEMA)} and whole numbers that layers use as widths, got {name!r} = "
                f"{given[name]!r}{meant(name, SCHEMA)}"
            )
        if given[name] < 1:
            raise InputError(f"a width must be at least 1, got {name} = {given[name]}")
        values[name] = given[name]
    _check_layers(values)
    recipe = Recipe(values)
    for names, holds, rule in (
        (POSITIVE, lambda value: value > 0, "greater than 0"),
        (NOT_NEGATIVE, lambda value: value >= 0, "0 or more"),
        (SHARES, lambda value: 0 <= value < 1, "from 0 to below 1"),
    ):
        for name in names:
            if not holds(recipe[name]):
                raise InputError(f"{name} must be {rule}, got {recipe[name]}")
    _check_combinations(recipe)
    return values


def _value(name, value, kind):
    """Return a value, or the one by default, of the type that its key has."""
    if isinstance(kind, tuple):
        value = kind[0] if value is None else value
        if value not in kind:
            raise InputError(f"{name} must be one of {', '.join(kind)}, got {value!r}{meant(value, kind)}")
        return value
    if value is None:
        return copy.deepcopy(kind)
    if isinstance(kind, float) and type(value) is int:
        return float(value)
    if type(value) is not type(kind):
        words = {str: "text", int: "a whole number", float: "a number", bool: "true or false", list: "a list"}
        raise InputError(f"{name} must be {words[type(kind)]}, got {value!r}")
    return value


def _check_layers(values):
    layers = values["layers"]
    kinds = ("linear WIDTH", "latent", "activation", *OF_A_BASIS, *ISOTROPIC, *ELEMENTWISE)
    for text in layers:
        kind, _, width = text.partition(" ") if isinstance(text, str) else ("", "", "")
        if kind not in [known.partition(" ")[0] for known in kinds] or (kind == "linear") != bool(width):
            raise InputError(f"a layer must be one of {', '.join(kinds)}, got {text!r}{meant(text, kinds)}")
    if layers.count("latent") != 1 or layers[0] == "latent":
        raise InputError(
            f"layers must hold 'latent' once, behind the layer whose output is measured, got {json.dumps(layers)}"
        )
    if not layers[-1].startswith("linear"):
        raise InputError(f"the last layer must be linear, got {layers[-1]!r}")


def _check_combinations(recipe):
    kind, count = recipe["basis.kind"], recipe["basis.count"]
    if kind in _COUNTED and not count and uses_basis(recipe):
        raise InputError(f"basis.kind = {kind!r} needs basis.count, the number of vectors; --set basis.count=32")
    if recipe["training.loss"] == "cross-entropy" and not recipe["data.labels"]:
        raise InputError("the loss cross-entropy needs data.labels, the class of each row")
    scaled = recipe["data.scale"]
    for name, pair in (("data.scale", scaled), ("data.range", recipe["data.range"])):
        if pair and not (len(pair) == 2 and all(map(_is_finite, pair)) and pair[0] < pair[1]):
            raise InputError(f"{name} must be two numbers, the smaller first, got {pair}")
    bad = [x for x in recipe["training.checkpoints"] if type(x) is not int or x < 0]
    if bad:
        raise InputError(f"training.checkpoints must be epochs, whole numbers of at least 0, got {bad[0]!r}")


def _is_finite(x):
    return type(x) in (int, float) and math.isfinite(x)


def uses_basis(recipe):
    """Tell whether any layer's activation function is made of a basis."""
    kinds = {recipe["activation.kind"] if kind == "activation" else kind for kind in recipe["layers"]}
    return bool(kinds & set(OF_A_BASIS))
