"""ONNX graphs without torch: gradients at graph level; see `gradient`."""

import importlib

_HOME = {
    "gradient": "gradient",
    "gradient_name": "gradient",
}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)
