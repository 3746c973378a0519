"""ONNX graphs without torch: read, listed, run and differentiated; see `load_model`, `layers`, `export` and `gradient`."""

import importlib

_HOME = {
    "Capture": "capture",
    "Layer": "listing",
    "Model": "model",
    "choose_layers": "listing",
    "gradient": "gradient",
    "gradient_name": "gradient",
    "layers": "listing",
    "load_model": "model",
    "open_model": "model",
    "table": "listing",
}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value  # `gradient` is a module too, which importing it puts here
    return value


def __dir__():
    return sorted(__all__)
