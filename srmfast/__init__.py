"""Spotlight Resonance for activation stores of any size: exact, out of core, in one pass."""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "InputError": "errors",
    "MissingDependency": "errors",
    "Progress": "progress",
    "Request": "engine",
    "Result": "results",
    "Results": "results",
    "SrmfastError": "errors",
    "Resources": "spec",
    "compare": "analyses.difference",
    "load": "archive",
    "merge": "engine",
    "load_basis": "bases",
    "neurons": "engine.members",
    "open_store": "stores",
    "project": "engine.projecting",
    "report_page": "page",
    "run": "engine",
    "run_many": "engine",
    "specification": "analyses.specification",
    "train": "training",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name):
    if name in _HOMES:
        return getattr(importlib.import_module(f"srmfast.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'srmfast' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
