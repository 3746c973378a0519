"""ONNX models: read, listed and run; see `layers`, `export` and `load_model`."""

import importlib

_HOME = {
    "Capture": "capture",
    "choose_layers": "listing",
    "table": "listing",
    "Layer": "listing",
    "Model": "model",
    "layers": "listing",
    "load_model": "model",
    "open_model": "model",
}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__():
    return sorted(__all__)
