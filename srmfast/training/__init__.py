"""Train small networks through ONNX graphs, without torch, with every choice that privileges a basis in sight."""

import importlib

_HOMES = {
    "Choice": "privileging",
    "EpochDone": "loop",
    "Recipe": "recipe",
    "Trained": "loop",
    "choices": "privileging",
    "load_recipe": "recipe",
    "train": "loop",
}
__all__ = sorted(_HOMES)


def __getattr__(name):
    if name in _HOMES:
        return getattr(importlib.import_module(f"srmfast.training.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'srmfast.training' has no attribute {name!r}")


def __dir__():
    return __all__
