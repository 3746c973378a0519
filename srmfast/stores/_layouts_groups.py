"""Layouts with many arrays in one container: activations logged to Zarr, NeuroX, and .npz with Python objects."""

import os

from srmfast.errors import InputError
from srmfast.stores import _hdf5, _layers, _members, _registry, _shards
from srmfast.stores._found import found
from srmfast.stores._site import hdf5
from srmfast.stores._views import View

_LOGGED = ("prompt", "response")


def zarr_log(site, key, options):
    """Recognise logged prompts and responses: arrays/prompt_activations (N, layers, positions, d) with prompt_len beside."""
    if site.kind is None:
        below = site.folders.get("shards", site)
        names = [name for name in below.names if name.lower().endswith(".zarr") and not name.startswith(".")]
        if not names:
            return None
        paths = below.parts(_listed(site, names))
    else:
        paths = [site.path]
    held = [which for which in _LOGGED if os.path.isdir(_node(paths[0], which))]
    name = (key or "").removesuffix("_activations")
    if not held or (key is not None and name not in held):
        return None
    which, index = _layers.among(held, name, dict(options["index"] or {}), site.path, "kinds of text")
    node = f"arrays/{which}_activations"
    source = _shards.joined(paths, lambda path: _registry.ZARR.open_source(path, node), f"{site.path}::{node}")
    try:
        if len(source.shape) != 4:
            source.close()
            return None
        dims = ("sequence", "layer", "position", None)
        names = list(map(str, range(source.shape[1])))
        index = _layers.on_axis(source.shape, 1, dims, names, None, index, site.path, by_key=False)
        lengths = next((name for name in source.siblings() if name.rpartition("/")[2] == f"{which}_len"), None)
        others = (
            f"{node} of {' and '.join(held)} (the other: ::{next(each for each in held if each != which)})"
            if held[1:]
            else ""
        )
        assumed = [others, _layers.told(names, index, 1, dims)]
        return found(View(source, dims=dims), "activations logged to Zarr", index, assumed, lengths=lengths)
    except BaseException:
        source.close()
        raise


def _node(path, which):
    return os.path.join(path, "arrays", f"{which}_activations")


def _listed(site, names):
    """Give the shards in the order of manifest.json, in natural order without one."""
    manifest = site.json("manifest.json")
    if manifest is None:
        return sorted(names, key=_shards.natural_key)
    shards = manifest.get("shards") if isinstance(manifest, dict) else None
    if not isinstance(shards, list) or not shards:
        raise InputError(f"{site.path}/manifest.json lists no shards; write it again")
    given = [
        each.get("path", each.get("name", each.get("file"))) if isinstance(each, dict) else each for each in shards
    ]
    return [name.removeprefix("shards/") if isinstance(name, str) else name for name in given]


class _Sentences(_shards.ShardedSource):
    """Thousands of small datasets of one open file, joined; what lies beside them is not looked at."""

    def __init__(self, file, names, location):
        self._file = file
        super().__init__(names, lambda name: _hdf5.from_dataset(file[name]), location, lambda shape, dims: 1)

    def describe(self):
        return super().describe() | {"parts": len(self._parts)}

    def siblings(self):
        return {}

    def close(self):
        super().close()
        self._file.close()


def neurox(site, key, options):
    """Recognise activations of NeuroX: HDF5 with a dataset "0", "1" … (layers, tokens, d) for each sentence."""
    if key is not None or not {"0", "sentence_to_index"} <= site.groups:
        return None
    with hdf5(site.path) as file:
        shape = getattr(file["0"], "shape", None) or ()
        sentences = sorted((name for name in file if name.isdecimal()), key=int)
    if len(shape) != 3:
        return None
    dims, names = ("layer", "token", None), list(map(str, range(shape[0])))
    index = _layers.on_axis(shape, 0, dims, names, None, options["index"], site.path, by_key=False)
    source = View(_Sentences(_hdf5.open_file(site.path), sentences, site.path), dims=dims)
    assumed = [f"{len(sentences):,} sentences are joined", _layers.told(names, index, 0, dims)]
    return found(source, "activations of NeuroX", index, assumed)


def npz_objects(site, key, options):
    """Recognise .npz files that hold one array of numbers beside Python objects, which are out of reach."""
    arrays = site.arrays() if key is None else {}
    objects = [name for name, (_, dtype) in arrays.items() if dtype == "object"]
    numbers = [name for name, (shape, dtype) in arrays.items() if len(shape) > 1 and _members.is_number(dtype)]
    if not objects or len(numbers) != 1:
        return None
    source = _registry.NPZ.open_source(site.path, numbers[0])
    held = ", ".join(map(_members.shown, objects[: _layers.SHOWN]))
    assumed = [
        f"the activations are {_members.shown(numbers[0])}",
        f"{held} are objects: unreachable without unpickling",
    ]
    return found(source, "an .npz with Python objects", options["index"], assumed)
