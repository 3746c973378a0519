"""ONNX models without torch: read, listed, run and differentiated; see `layers`, `load_model` and `gradient`."""

import importlib

_HOME = {
    "Capture": "capture",
    "Layer": "listing",
    "Model": "model",
    "choose_layers": "listing",
    "gradient": "reverse",
    "gradient_name": "reverse",
    "layers": "listing",
    "load_model": "model",
    "open_model": "model",
    "table": "listing",
}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__():
    return sorted(__all__)
