"""Layouts with a folder or a group a hook or layer: Activault, OpenMOSS, crosslayer-coding, and the latents of delphi."""

import re

import numpy as np

from srmfast.errors import InputError
from srmfast.stores import _dtypes, _layers, _places, _registry, _shards
from srmfast.stores._found import found
from srmfast.stores._site import hdf5
from srmfast.stores._views import View

_CHUNK = re.compile(r"(shard-\d+-)?chunk-\d+\.(safetensors|pt)")
_TORCH_TYPE = re.compile(r"torch\.(\w{1,20})")
_CLT_CHUNK = re.compile(r"chunk_(\d+)\.(hdf5|h5)")
_CLT_LAYER = re.compile(r"layer_(\d+)")
_CLT_RECORD = np.dtype([("chunk", "<i4"), ("rows", "<i4"), ("offset", "<i8")])
_MASKS = ("mask", "attention_mask")


def activault(site, key, options):
    """Recognise a hook folder of Activault, or the run folder above: metadata.json and {uuid}--{n}.pt with states."""

    def described(folder):
        first = folder.some(".pt")
        about = folder.json("metadata.json") if first and "--" in first else None
        return about if isinstance(about, dict) and "shape" in about and "dtype" in about else None

    site, hook, key, index = _of_hook(site, key, options, described)
    if site is None or key is not None:
        return None
    about, arrays = described(site), site.arrays(site.within(site.some(".pt")))
    kind = _TORCH_TYPE.fullmatch(str(about["dtype"]))
    if kind is None or kind[1] not in _dtypes.NAMES:
        raise InputError(
            f"{site.path}/metadata.json gives the dtype {about['dtype']!r:.60}, which is no name of a torch type; nothing of "
            "it is run: correct the file"
        )
    parts = sorted(site.files(".pt"), key=lambda name: (name.partition("--")[0], _shards.natural_key(name)))
    source = _shards.joined(
        [site.within(name) for name in parts], lambda path: _registry.TORCH.open_source(path, "states"), site.path
    )
    try:
        shape, first = source.shape, arrays.get("states", (source.shape, ""))[0]
        if source.dtype_name != kind[1] or list(first) != about["shape"]:
            raise InputError(
                f"{site.path}/metadata.json promises states of {about['shape']} {kind[1]}, {parts[0]} holds {list(first)} "
                f"{source.dtype_name}; copy the folder again, or name the parts by a glob: '{site.path}/*.pt::states'"
            )
        tokens = "input_ids" if arrays.get("input_ids", ((),))[0] == first[:-1] and len(shape) > 1 else None
        return found(source, "a hook of Activault", index, [hook], tokens=tokens)
    except BaseException:
        source.close()
        raise


def openmoss(site, key, options):
    """Recognise a hook folder of Language-Model-SAEs, or the cache above: chunks with activation, tokens and masks."""

    def described(folder):
        first = folder.some(".safetensors", ".pt")
        if first is None or not _CHUNK.fullmatch(first):
            return None
        arrays = folder.arrays(folder.within(first))
        return arrays if "activation" in arrays and "tokens" in arrays else None

    site, hook, key, index = _of_hook(site, key, options, described)
    if site is None or key is not None:
        return None
    arrays = described(site)
    suffixes = {".safetensors", ".pt"} & {f".{name.rpartition('.')[2]}" for name in site.files(".safetensors", ".pt")}
    if len(suffixes) > 1:
        raise InputError(f"{site.path} holds chunks in .safetensors and in .pt; name one kind by a glob")
    suffix = suffixes.pop()
    kind = _registry.by_suffix(f"chunk{suffix}")
    parts = [site.within(name) for name in site.files(suffix) if _CHUNK.fullmatch(name)]
    source = _shards.joined(parts, lambda path: kind.open_source(path, "activation"), site.path)
    rows = tuple(arrays["activation"][0][:-1])
    mask = next((name for name in _MASKS if name in arrays and tuple(arrays[name][0]) == rows), None)
    tokens = "tokens" if tuple(arrays["tokens"][0]) == rows else None
    every = f"all rows are those of a glob, 'HOOK/*{suffix}::activation'" if mask else ""
    return found(source, "a cache of Language-Model-SAEs", index, [hook, every], mask=mask, tokens=tokens)


def _of_hook(site, key, options, described):
    """Find the folder of one hook: (site or None, what to tell, key, index)."""
    index = dict(options["index"] or {})
    if site.kind is not None:
        return None, "", key, index
    if described(site) is not None:
        return site, "", key, index
    if any(map(_registry.by_suffix, site.names)):  # files, not hooks
        return None, "", key, index
    names = [name for name, each in site.folders.items() if described(each) is not None]
    if not names or (key is not None and key not in names):
        return None, "", key, index
    hook, index = _layers.among(names, key, index, site.path, "hooks")
    told = f"hook {hook} of {_layers.listed(names)} (another: ::HOOK)" if len(names) > 1 else f"hook {hook}"
    return site.folders[hook], told, None, index


def crosslayer(site, key, options):
    """Recognise chunks of crosslayer-coding: chunk_{i}.hdf5 with layer_{l}/inputs and targets, bfloat16 in uint16."""
    first = site.some(".hdf5", ".h5") if site.kind is None else None
    about = site.json("metadata.json") if first and _CLT_CHUNK.fullmatch(first) else None
    if not isinstance(about, dict):
        return None
    with hdf5(site.within(first)) as file:
        layers = sorted((name for name in file if _CLT_LAYER.fullmatch(name)), key=_shards.natural_key)
        held = {name: [which for which in ("inputs", "targets") if which in file[name]] for name in layers}
    layer, _, which = (key or "").strip("/").partition("/")
    if not layers or (key is not None and (layer not in layers or which not in ("", *held[layer]))):
        return None
    layer, index = _layers.among(layers, layer, options["index"], site.path, convention=_layers.COUNTED)
    which = which or "inputs"
    chunks = [name for name in site.files(".hdf5", ".h5") if _CLT_CHUNK.fullmatch(name)]
    records = _records(site, chunks)
    if records is not None:
        by_number = {int(_CLT_CHUNK.fullmatch(name)[1]): name for name in chunks}
        lost = [number for number in records["chunk"].tolist() if number not in by_number]
        if lost:
            raise InputError(f"{site.path} lacks chunk {lost[0]}, which its index.bin lists; copy it there")
        chunks = [by_number[number] for number in records["chunk"].tolist()]
    name = f"{layer}/{which}"
    source = _shards.joined(
        [site.within(chunk) for chunk in chunks],
        lambda path: _registry.HDF5.open_source(path, name),
        f"{site.path}::{name}",
    )
    try:
        _check_rows(site, records, source.shape[0])
        marked = source.dtype_name if source.dtype_name != "uint16" else "bfloat16"
        if marked == "bfloat16" and not _dtypes.marked_bfloat16(about):
            raise InputError(
                f"{source.location} holds uint16 and metadata.json does not say that they are bfloat16 (its dtype is "
                f"{about.get('dtype')!r:.40}); correct metadata.json"
            )
    except BaseException:
        source.close()
        raise
    others = [other for other in held[layer] if other != which]
    assumed = [
        f"{name} of {_layers.listed(layers)}" + (f" (the others: ::{layer}/{others[0]})" if others else ""),
        "uint16 is read as bfloat16, as metadata.json says" if source.dtype_name == "uint16" else "",
        "rows are shuffled inside a chunk, in one order for all layers",
    ]
    return found(View(source, dtype_name=marked), "chunks of crosslayer-coding", index, assumed)


def _records(site, chunks):
    """Read index.bin where it holds one record (chunk, rows, offset) for each chunk; None otherwise."""
    if "index.bin" not in site.names:
        return None
    with _places.open_bytes(site.within("index.bin")) as file:
        if file.size % _CLT_RECORD.itemsize or file.size > _CLT_RECORD.itemsize * 2 * len(chunks):
            return None
        records = np.frombuffer(file.read_at(0, file.size), _CLT_RECORD)
    sane = records.size and (records["rows"] > 0).all() and np.unique(records["chunk"]).size == records.size
    return records if sane else None


def _check_rows(site, records, rows):
    """Refuse fewer rows than index.bin lists: records of chunks, or pairs (chunk, row) of four bytes each."""
    if "index.bin" not in site.names:
        return
    if records is None:
        with _places.open_bytes(site.within("index.bin")) as file:
            listed = file.size // 8
    else:
        listed = int(records["rows"].sum())
    if listed != rows and (records is not None or rows < listed < 2 * rows):
        raise InputError(
            f"{site.path} holds {rows:,} rows of the {listed:,} that index.bin lists; copy the chunks again, or name them by "
            f"a glob: '{site.path}/*.hdf5::KEY'"
        )


def delphi(site, key, options):
    """Recognise the latents of delphi, which are no rows, and say what is."""
    paths = site.paths(".safetensors")
    arrays = site.arrays(paths[0]) if paths and key is None else {}
    shape = arrays.get("locations", ((),))[0]
    if len(shape) != 2 or shape[-1] != 3 or "activations" not in arrays:
        return None
    raise InputError(
        f"{site.path} looks like latents of delphi: only those that are not zero, {shape[0]:,} of them in "
        f"{paths[0].rpartition('/')[2]}, with their places (batch, position, latent), and no rows; run over the activations "
        "that the latents were made from, or write the latents of some sequences as a dense (tokens, latents) array"
    )
