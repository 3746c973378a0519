"""Layouts with one file or table a conversation or a shard of sequences: SAELens, vLLM, SpecForge and their kin."""

import contextlib
import os
import re

import numpy as np

from srmfast.errors import InputError
from srmfast.stores import _layers, _places, _registry, _shards
from srmfast.stores._found import found
from srmfast.stores._views import View

_OLD_SHARD = re.compile(r"shard_\d+")
_ROWS = re.compile(r"rows_\d+-\d+")
_UNNORMED = "positions in the order in which the layer ids were asked for; the last layer, when there, is not normed"


def saelens(site, key, options):
    """Recognise a cache of SAELens: a datasets folder with Array2D columns, or shard_0, shard_1 … of them."""
    if site.kind is None:
        parts = [name for name in site.folders if _OLD_SHARD.fullmatch(name)]
        if ".tmp_shards" in site.names and not parts:
            raise InputError(
                f"{site.path} holds .tmp_shards, so SAELens is still writing it or was stopped: wait, or let it finish"
            )
        sites = [site.folders[name] for name in parts]
    else:
        sites = [site]
    hooks = [_hooks(each) for each in sites]
    if not hooks or not hooks[0][0] or (key is not None and key not in hooks[0][0]):
        return None
    (names, has_tokens), index = hooks[0], dict(options["index"] or {})
    hook, index = _layers.among(names, key, index, site.path, "hooks")
    if len(sites) == 1:
        source = _registry.DATASETS.open_source(sites[0].path, hook)
    else:
        paths = [each.path for each in sites]
        source = _shards.joined(paths, lambda path: _registry.DATASETS.open_source(path, hook), f"{site.path}::{hook}")
    columns = [f"the activations are {hook} (another column: ::KEY)"]
    return found(source, "a SAELens cache", index, columns, tokens="token_ids" if has_tokens else None)


def _hooks(site):
    """Give the names of the Array2D columns of a datasets folder, [] when it is none of SAELens, and whether token ids are there."""
    described = site.json("dataset_info.json")
    features = described.get("features") if isinstance(described, dict) else None
    features = features if isinstance(features, dict) else {}
    names = [name for name, what in features.items() if isinstance(what, dict) and what.get("_type") == "Array2D"]
    tokens = "token_ids" in features
    return (names if tokens or any("hook" in name for name in names) else []), tokens


def vllm(site, key, options):
    """Recognise hidden states that vLLM extracted: safetensors of (tokens, layers, d), one file a request."""
    paths = site.paths(".safetensors")
    arrays = site.arrays(paths[0]) if paths else {}
    shape = arrays.get("hidden_states", ((),))[0]
    if len(shape) != 3 or "token_ids" not in arrays:
        return None
    names = list(map(str, range(shape[1])))
    if key is not None and key not in names:
        return None
    dims = ("token", "layer", None)
    index = _layers.on_axis(shape, 1, dims, names, key, options["index"], site.path, convention=_UNNORMED)
    paths = site.paths(".safetensors", every=True)

    def open_part(path):
        _refuse_written(path)
        return _registry.SAFETENSORS.open_source(path, "hidden_states")

    source = View(_shards.joined(paths, open_part, site.path), dims=dims)
    tokens = "token_ids" if arrays["token_ids"][0] == shape[:1] else None
    told = _layers.told(names, index, 1, dims)
    return found(source, "hidden states of vLLM", index, [told], tokens=tokens)


def _refuse_written(path):
    """Refuse a file whose writer holds the lock beside it: a lock file that nobody holds is left over."""
    lock = path + ".lock"
    if _places.is_url(path) or not os.path.exists(lock):
        return
    import fcntl

    with contextlib.suppress(PermissionError, FileNotFoundError), open(lock, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{path} is being written: its writer holds {lock}; wait until it is done") from error


def specforge(site, key, options):
    """Recognise files for training a draft model: one a conversation, hidden states beside layers joined on the feature axis."""
    groups = [each for name, each in site.folders.items() if _ROWS.fullmatch(name)] if site.kind is None else []
    first = groups[0] if groups else site
    paths = first.paths(".ckpt", ".pt")
    arrays = first.arrays(paths[0]) if paths else {}
    widths = _hidden(arrays)
    if not widths or (len(widths) == 1 and "loss_mask" not in arrays):
        return None
    d = min(widths.values())
    choices = {name: None for name, width in widths.items() if width == d}
    joined = {name: width // d for name, width in widths.items() if width > d and width % d == 0}
    choices |= {f"{name}/{part}": (name, part) for name, count in joined.items() for part in range(count)}
    if key is None and len([name for name in choices if choices[name] is None]) == 1:
        chosen = next(name for name in choices if choices[name] is None)
    elif key in choices:
        chosen = key
    elif key is None or key in joined:
        raise _layers.Choice(
            f"{site.path} holds hidden states of several layers, {_layers.listed(list(choices))} (of {d} features each; those "
            f"with a number lie side by side on the feature axis): choose one by {site.path}::{next(iter(choices))}",
            list(choices),
        )
    else:
        return None
    name, part = choices[chosen] or (chosen, None)
    columns = None if part is None else np.arange(part * d, (part + 1) * d)
    drop = len(arrays[name][0]) - 2
    paths = [path for group in groups for path in group.paths(".ckpt", ".pt", every=True)]
    paths = paths or site.paths(".ckpt", ".pt", every=True)

    def open_part(path):
        return View(_registry.TORCH.open_source(path, name), columns=columns, drop=drop)

    source = _shards.joined(paths, open_part, f"{site.path}::{chosen}")
    others = [other for other in choices if other != chosen]
    rest = f" (others, by ::KEY: {_layers.listed(others)})" if others else ""
    assumed = [
        f"the activations are {chosen}{rest}",
        "all tokens are rows (answers alone: --mask loss_mask)" if "loss_mask" in arrays else "",
    ]
    name = "a dump of hidden states for draft models (SpecForge, Model-Optimizer, AngelSlim)"
    return found(source, name, options["index"], assumed, tokens="input_ids")


def _hidden(arrays):
    """Give the names and widths of hidden states with a row for each of input_ids; {} when it is another layout."""
    ids = arrays.get("input_ids", ((), ""))[0]
    if not ids or len(ids) > 2 or ids[:-1] not in ((), (1,)):
        return {}
    rows = ((ids[-1],), (1, ids[-1]))
    return {
        name: shape[-1]
        for name, (shape, dtype) in arrays.items()
        if len(shape) > 1 and tuple(shape[:-1]) in rows and "float" in dtype and "hidden" in name and shape[-1]
    }


def exporter(site, key, options):
    """Recognise Parquet of activation-cache-exporter: nested lists (layers, d) under HiddenStates."""
    paths = site.paths(".parquet")
    arrays = site.arrays(paths[0]) if paths else {}
    shape = arrays.get("HiddenStates", ((),))[0]
    if len(shape) != 3 or None in shape[1:]:
        return None
    names = list(map(str, range(shape[1])))
    if key is not None and key not in names:
        return None
    dims = ("row", "layer", None)
    index = _layers.on_axis(shape, 1, dims, names, key, options["index"], site.path)
    paths = site.paths(".parquet", every=True)
    source = _shards.joined(paths, lambda path: _registry.PARQUET.open_source(path, "HiddenStates"), site.path)
    labels = next((name for name in arrays if name.lower() in ("label", "labels")), None)
    assumed = [_layers.told(names, index, 1, dims), f"one class (by label: --labels {labels})" if labels else ""]
    beside = ["TokenPosition"] if "TokenPosition" in arrays else []
    return found(View(source, dims=dims), "a cache of activation-cache-exporter", index, assumed, beside=beside)
