"""Rows of activations from any array or file; see `open_store`."""

import importlib

_HOME = {
    "BITS": "_dtypes",
    "EXPORTED": "_layouts_models",
    "Inference": "_onnx",
    "Source": "base",
    "Store": "rows",
    "abandon": "_remote",
    "expand": "columns",
    "is_export": "_layouts_models",
    "float8_values": "_dtypes",
    "load_column": "columns",
    "open_store": "open",
    "several_of": "_several",
    "to_floats": "_dtypes",
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
