"""Layouts that tools for image models write: saev, thingsvision, ViT-Prisma, and assemblies of brain-score."""

import re

import numpy as np

from srmfast.errors import InputError
from srmfast.stores import _hdf5, _layers, _registry, _shards
from srmfast.stores._found import found
from srmfast.stores._site import hdf5
from srmfast.stores._views import View

_FEATURES = re.compile(r"features(_\d+)?\.\w+")
_NUMBERED = re.compile(r"\d+\.pt")
_ASSEMBLY = "__xarray_dataarray_variable__"  # what xarray calls an array without a name
_MOST_LAYERS = 100


def saev(site, key, options):
    """Recognise shards of saev: metadata.json, shards.json and raw float32 (examples, layers, tokens, d)."""
    if site.kind is not None or not {"metadata.json", "shards.json"} <= set(site.names):
        return None
    about, shards = site.json("metadata.json"), site.json("shards.json")
    if not isinstance(about, dict) or "d_model" not in about or "layers" not in about:
        return None
    content = _number(about, site, "content_tokens_per_example", "patches_per_ex", "n_patches_per_img")
    d, cls = _number(about, site, "d_model"), bool(about.get("cls_token"))
    names = [str(layer) for layer in about["layers"]] if isinstance(about["layers"], list) else []
    if about.get("dtype", "float32") != "float32" or not names or not isinstance(shards, list):
        raise InputError(
            f"{site.path} is of another protocol of saev than the one that is read (float32, a list of layers, shards.json): "
            "describe its files as PATH::float32,SHAPE"
        )
    if key is not None and key not in names:
        raise InputError(f"{site.path}::{key} is no layer of these shards; it holds {_layers.listed(names)}")
    counts = [_number(each, site, "n_examples", "n_ex", "n_imgs") for each in shards]
    tokens, whole = content + cls, _number(about, site, "n_examples", "n_ex", "n_imgs")
    if sum(counts) != whole or not whole:
        raise InputError(
            f"{site.path}/shards.json lists {sum(counts):,} examples of the {whole:,} of metadata.json; wait for its writer, or "
            "copy it again"
        )
    shape, dims = (sum(counts), len(names), tokens, d), ("example", "layer", "token", None)
    index = _layers.on_axis(
        shape,
        1,
        dims,
        names,
        key,
        options["index"],
        site.path,
        convention=_layers.COUNTED,
    )
    paths = site.parts([each.get("name") for each in shards])
    promised = dict(zip(paths, counts, strict=True))

    def open_part(path):
        return _registry.RAW.open_source(path, f"float32,{promised[path]}x{len(names)}x{tokens}x{d}")

    paths = [path for path in paths if promised[path]]
    beside = {}
    if cls:
        beside["content"] = (((shape[0], tokens), "bool"), lambda: np.tile(np.arange(tokens) > 0, (shape[0], 1)))
    if "labels.bin" in site.names:
        labels = site.within("labels.bin")
        described = f"uint8,{shape[0]}x{content}"
        beside["labels"] = (((shape[0], tokens), "text"), lambda: _labels(labels, described, cls))
    source = View(_shards.joined(paths, open_part, site.path), dims=dims, beside=beside)
    assumed = [
        _layers.told(names, index, 1, dims),
        "the first token of each is CLS (without it: --mask content)" if cls else "",
        "one class (by segmentation: --labels labels)" if "labels" in beside else "",
    ]
    return found(source, "shards of saev", index, assumed)


def _labels(path, described, cls):
    """Load the class of each content token as text; CLS has none."""
    classes = _registry.RAW.load_array(path, described).astype("U3")
    return np.concatenate([np.full((len(classes), 1), "", "U3"), classes], axis=1) if cls else classes


def _number(about, site, *names):
    """Read a positive whole number that goes by one of several names."""
    value = next((about[name] for name in names if name in about), None) if isinstance(about, dict) else None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**40:
        raise InputError(f"{site.path} must tell its {names[0]} in metadata.json and shards.json, got {value!r:.40}")
    return value


def thingsvision(site, key, options):
    """Recognise features that thingsvision extracted: features.npy or .hdf5, or features_00.npy …, and file_names.txt."""
    if site.kind is not None or key is not None or "file_names.txt" not in site.names:
        return None
    features = [name for name in site.files(".npy", ".hdf5", ".h5", ".mat", ".txt") if _FEATURES.fullmatch(name)]
    kinds = [_registry.by_suffix(name) for name in features]
    if not features:
        return None
    kind = next((kind for kind in (_registry.NPY, _registry.HDF5) if kind in kinds), None)
    if kind is None:
        raise InputError(
            f"{site.path} looks like features of thingsvision, as {features[0]}: text and .mat are not read; save them with "
            "file_format='npy' or 'hdf5'"
        )
    parts = [site.within(name) for name, each in zip(features, kinds, strict=True) if each is kind]
    source = _shards.joined(parts, lambda path: kind.open_source(path, None), site.path)
    named = f"file_names.txt names the {source.shape[0]:,} images" if source.shape else ""
    return found(source, "features of thingsvision", options["index"], [named])


def prisma(site, key, options):
    """Recognise a cache of ViT-Prisma: 0.pt, 1.pt …, each one tensor (tokens, layers, d) with many more tokens than layers."""
    first = site.some(".pt") if site.kind is None else None
    if first is None or not _NUMBERED.fullmatch(first) or options["feature_axis"] is not None or options["flatten"]:
        return None
    arrays = site.arrays(site.within(first))
    shape, dtype = arrays.get("", ((), ""))
    if len(arrays) != 1 or len(shape) != 3 or "float" not in dtype or not 4 * shape[1] <= shape[0]:
        return None
    names = list(map(str, range(shape[1])))
    if shape[1] > _MOST_LAYERS or (key is not None and key not in names):
        return None
    dims, paths = ("token", "layer", None), site.paths(".pt", every=True)
    meaning = "or, if axis 1 holds no layers, --feature-axis -1"
    index = _layers.on_axis(shape, 1, dims, names, key, options["index"], site.path, convention=meaning)
    source = View(_shards.joined(paths, lambda path: _registry.TORCH.open_source(path, None), site.path), dims=dims)
    assumed = [_layers.told(names, index, 1, dims), "every token is a row, sequence borders are not stored"]
    return found(source, "a cache of ViT-Prisma", index, assumed)


def brainscore(site, key, options):
    """Recognise an assembly of brain-score: NetCDF4 whose columns, the neuroids, belong to layers."""
    if not {_ASSEMBLY, "layer"} <= site.groups:
        return None
    with hdf5(site.path) as file:
        shape = getattr(file[_ASSEMBLY], "shape", None) or ()
        of_column = file["layer"]
        if len(shape) != 2 or getattr(of_column, "shape", None) != shape[1:]:
            return None
        of_column = _hdf5.load_dataset(of_column).astype(str)
    names = list(dict.fromkeys(of_column.tolist()))
    if key is not None and key not in names:
        return None
    layer, index = _layers.among(names, key, options["index"], site.path, convention=_layers.COUNTED)
    columns = np.flatnonzero(of_column == layer)
    source = _registry.HDF5.open_source(site.path, _ASSEMBLY)
    source = View(source, dims=("presentation", None), columns=None if len(names) == 1 else columns)
    told = f"columns of layer {layer}" + (f" of {_layers.listed(names)} (another: ::LAYER)" if len(names) > 1 else "")
    return found(source, "an assembly of brain-score", index, [told])
