"""Results on disk: a Zarr v2 group that xarray opens unaided, written whole or not at all."""

import errno
import importlib
import json
import math
import os
import shutil
import zlib
from pathlib import Path

import numpy as np

from srmfast.errors import InputError, meant
from srmfast.results import Result, Results
from srmfast.spec import available_memory, format_bytes
from srmfast.whole import beside, move_in, sync_folder, whole_file

FORMAT_VERSION = 1

_FRAMES = ("rotation", "label", "epsilon", "side")
_SOME = (
    "null_",
    "pair_",
    "surrogate_",
    "tested_",
    "stratum",
)  # beginnings of what only a run with rotations or strata has

# Every variable of the file: its dimensions and what it is.
VARIABLES = {
    "counts": (("label", "epsilon", "plane", "angle"), "rows inside the cone, for each plane that is kept"),
    "counts_heldout": (
        ("label", "epsilon", "plane", "angle"),
        "counts on the half of the rows that did not choose the planes (active:P only)",
    ),
    "total": (("label", "epsilon", "angle"), "counts summed over all planes, kept or not"),
    "fold_total": (("fold", "label", "epsilon", "angle"), "total by fold of rows, fold = floor(64·row/n)"),
    "rows_used": (("fold", "label"), "rows in the denominator"),
    "angle": (("angle",), "angle of the spotlight from b_i toward b_j"),
    "epsilon": (("epsilon",), "cosine of the half-angle of the cone"),
    "label": (("label",), "class of the rows"),
    "plane_i": (("plane",), "index of the basis vector that the spotlight starts on"),
    "plane_j": (("plane",), "index of the basis vector that it turns toward"),
    "plane_angle": (("plane",), "angle between the two basis vectors"),
    "basis": (("vector", "width"), "unit basis vectors, one a row"),
    "centre": (("width",), "mean that was subtracted from every row"),
    "inner_product": (("width", "width_of_columns"), "matrix M of the inner product x·My that was used"),
    "norm": (("norm",), "lower edge of a bin of the norms of the rows used, 2⁻¹² of a power of two wide"),
    "norm_rows": (("norm",), "rows whose norm lies in it"),
    "phase": (
        ("fold", "label", "epsilon", "side"),
        "(row, plane) pairs nearer to a basis vector, and nearer to a midpoint, by fold of rows",
    ),
    "null_phase": (_FRAMES, "the same of the rows and planes drawn: of the basis as it is, then of rotations of it"),
    "null_extreme": (_FRAMES, "lowest and highest (near − far)/√(near + far) of any of these planes"),
    "pair_phase": (_FRAMES, "null_phase with the mean subtracted, or as stored where the run subtracted it"),
    "pair_extreme": (_FRAMES, "null_extreme likewise"),
    "surrogate_phase": (_FRAMES, "null_phase of Gaussian rows with the mean and the covariance of the rows drawn"),
    "surrogate_extreme": (_FRAMES, "null_extreme of these"),
    "tested_i": (("tested",), "vectors of the planes drawn that differ most"),
    "tested_j": (("tested",), "their other vectors"),
    "tested_phase": (("tested", "label", "epsilon", "side"), "near and far in these planes, of the rows drawn"),
    "stratum": (("stratum",), "kind of row: families of strata, one after another"),
    "stratum_rows": (("fold", "stratum"), "rows in the denominator"),
    "stratum_total": (("stratum", "epsilon", "angle"), "counts summed over all planes"),
    "stratum_phase": (("fold", "stratum", "epsilon", "side"), "phase of the rows in each stratum"),
    "null_kurtosis": (
        ("rotation", "moment"),
        "mean, lowest and highest excess kurtosis of the coordinates of the rows drawn, each of length 1",
    ),
    "null_kurtosis_without": (("rotation", "fold"), "the mean of these without the rows of one fold"),
    "null_norm": (("rotation",), "rank correlation of the norms of the rows drawn with their Σz⁴"),
    "tested_vector": (("vector_drawn",), "basis vectors that the rows drawn were looked at along"),
    "tested_kurtosis": (("vector_drawn",), "excess kurtosis along each of them"),
}
_OPTIONAL = (
    "counts_heldout", "centre", "p", "phase", "null_f1", "best_cone", "best_epsilon", "inner_product", "norm", "norm_rows",
    *(name for name in VARIABLES if name.startswith(_SOME)),
)  # fmt: skip
_CHECKS = "crc32"  # attribute of a group: of each of its arrays, and of its other attributes
_CODECS = ("blosc", "zstd", "lz4", "zlib", "gzip", "bz2", "lzma", "shuffle", "delta", "crc32")
_COORDINATES = ("angle", "epsilon", "label", "plane_i", "plane_j", "plane_angle")
# What else may be in a file, by its KIND: module and class, with VARIABLES and `check`.
_KINDS = {
    "neurons": ("selectivity", "Neurons"),
    "projection": ("projection", "Projection"),
    "specification": ("robustness", "SpecificationCurve"),
}
_UNITS = {"angle": "rad", "plane_angle": "rad", "sector": "rad"}


def check_output(path, *, force=False, folder=True, ours=None):
    """Refuse an output that exists or cannot be written, before any work is done.

    Parameters
    ----------
    path : str or Path
        A result folder to be, or a file.
    force : bool
        Whether an existing one may be replaced.
    folder : bool
        Whether it is to be a folder; otherwise it is a file.
    ours : (str, callable), optional
        What the folder holds, in the plural, and whether an existing one does; results when omitted.

    Returns
    -------
    Path
    """
    path = Path(path)
    if path.is_symlink():
        path = path.resolve()  # what the link stands for is replaced, not the link
    if path.exists() and not force:
        raise InputError(f"output must not exist yet, got {path}; use --force to replace it")
    kind, is_one = (ours or ("results", is_result)) if folder else ("files", Path.is_file)
    if path.exists() and not is_one(path):
        raise InputError(f"--force replaces {kind} only, and {path} is not one; remove it yourself")
    parent = path.absolute().parent
    if not parent.is_dir():
        raise InputError(f"output folder must exist, got {parent}; create it first")
    try:
        beside(path).rmdir()
    except OSError as error:
        raise InputError(f"output folder must be writable, got {parent}: {error.strerror}") from None
    return path


def save(result, path, *, force=False):
    """Write a `Result` or `Results` so that a reader meets a whole result or none.

    Parameters
    ----------
    result : Result or Results
    path : str or Path
        The Zarr v2 group to be. Written beside as `<path>.wip`, then renamed.
    force : bool
        Replace an existing result: the old one is put aside, the new one moved in, the old one deleted.

    Raises
    ------
    InputError
        The output exists, or its folder cannot be written.
    """
    import zarr

    path = check_output(path, force=force)
    wip = None
    try:
        wip = beside(path)
        root = zarr.open_group(str(wip), mode="w", zarr_format=2)
        if not isinstance(result, Results):
            _write(result, root)
        else:
            root.attrs.put({"format_version": FORMAT_VERSION, "results": [list(key) for key in result]})
            for (store, basis), member in result.items():
                _write(member, root.require_group(store).require_group(basis))
        zarr.consolidate_metadata(root.store, zarr_format=2)
        move_in(wip, path)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
        rule = "the result must fit on the disk of" if full else "the result cannot be written to"
        raise InputError(f"{rule} {path}: {error.strerror or error}") from None
    finally:
        if wip is not None:
            shutil.rmtree(wip, ignore_errors=True)


def flush(path):
    """Force a result to the disk: what it was made from is going to be deleted."""
    for folder, _, names in os.walk(path, topdown=False):
        for name in (*names, "."):
            descriptor = os.open(os.path.join(folder, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    sync_folder(Path(path).absolute().parent)


def save_array(path, array):
    """Write an array as .npy, whole or not at all; `check_output` says whether it may."""
    try:
        with whole_file(path) as file:
            np.save(file, array)
    except OSError as error:
        raise InputError(f"output must be writable, got {path}: {error.strerror}") from None


def is_result(path):
    """Say whether there is a folder that `save` wrote; of several results, ``::`` may name one."""
    path = Path(_split(path)[0])
    try:
        attrs = json.loads((path / ".zattrs").read_text())
        return "format_version" in attrs and ("spec" in attrs or "results" in attrs)
    except (OSError, ValueError, TypeError):
        return False


def load(path):
    """Open a saved result.

    Parameters
    ----------
    path : str or Path
        Of several results, ``PATH::store/basis``, or the name of a store or basis alone, chooses among them.

    Returns
    -------
    Result or Results
        What was saved there.

    Raises
    ------
    InputError
        Not a result, or one of another format version; no result of that name.
    """
    import zarr

    path, name = _split(path)
    try:
        root = zarr.open_group(path, mode="r", zarr_format=2)
        version = root.attrs.asdict().get("format_version")
    except Exception as error:  # zarr and its stores raise many kinds
        raise InputError(f"a result must be a folder written by srmfast, got {path}: {_line(error)}") from None
    if version is None:
        raise InputError(
            f"a result must be a folder written by srmfast run, got {path}; to look at a store: srmfast inspect"
        )
    if version != FORMAT_VERSION:
        raise InputError(f"result format_version must be {FORMAT_VERSION}, got {version} in {path}")
    keys = root.attrs.asdict().get("results")
    keys, alone = (keys, False) if name is None else _chosen(keys, name, path)
    try:
        if keys is None:
            return _read(root)
        members = {tuple(key): _read(root["/".join(key)]) for key in keys}
        first = next(iter(members.values()), None)
        return first if alone else getattr(first, "SEVERAL", Results)(members)
    except Exception as error:  # codecs raise many kinds for damaged chunks
        raise InputError(f"the result {path} is damaged: {_line(error)}; run it again") from None


def _split(path):
    """Return the path of a result and the name behind ``::``, or None."""
    path = str(path)
    folder, mark, name = path.partition("::")
    return (folder, name) if mark and not os.path.exists(path) else (path, None)


def _chosen(keys, name, path):
    """Return the keys that a name stands for, and whether it names one result."""
    if keys is None:
        raise InputError(f"{path} holds one result; drop '::{name}'")
    names = ["/".join(key) for key in keys]
    found = [key for key in keys if name in ("/".join(key), *key)]
    if not found:
        raise InputError(
            f"{path} holds {', '.join(names[:12])}{', …' if len(names) > 12 else ''}, got {name!r}"
            f"{meant(name, [*names, *(part for key in keys for part in key)])}"
        )
    return found, len(found) == 1


def _line(error):
    return " ".join(str(error).split()) or type(error).__name__


def _write(result, group):
    attrs, checks = json.loads(json.dumps(result.attrs)), {}
    variables, kind = _kind_of(result)
    for name, (dims, meaning) in variables.items():
        if (values := getattr(result, name)) is None:
            continue
        values = np.ascontiguousarray(values)
        chunks = list(values.shape) or [1]
        if dims[:3] == ("label", "epsilon", "plane"):
            rest = values.shape[3:]
            chunks = [1, 1, max(1, (4 << 20) // (8 * max(1, math.prod(rest)))), *rest]
        array = group.create_array(
            name,
            shape=values.shape,
            dtype=values.dtype,
            chunks=tuple(max(1, min(c, s)) for c, s in zip(chunks, values.shape, strict=True)),
            fill_value=None,
            config={"write_empty_chunks": True},
        )
        if values.size:
            array[...] = values
        about = {"_ARRAY_DIMENSIONS": list(dims), "long_name": meaning}
        if name in _UNITS:
            about["units"] = _UNITS[name]
        if "plane" in dims and "angle" in dims:  # of a `Result`
            about["coordinates"] = " ".join(c for c in _COORDINATES if c not in dims)
        array.attrs.put(about)
        checks[name] = _crc(values)
    group.attrs.put({"format_version": FORMAT_VERSION, **kind, **attrs, _CHECKS: checks | {"attrs": _crc(attrs)}})


def _read(group):
    attrs = group.attrs.asdict()
    attrs.pop("format_version")
    made, variables = _made_of(attrs.pop("kind", None))
    names, sizes = [name for name in variables if name in group or name not in _OPTIONAL], {}
    for name in names:
        _check_claim(name, variables[name][0], group[name], sizes)
    values = {name: group[name][...] for name in names}
    checks = attrs.pop(_CHECKS, {})  # results of before there were checks have none
    for name, found in (values | {"attrs": attrs}).items():
        if name in checks and checks[name] != _crc(found):
            raise ValueError(f"{name} is not what was written")
    values = {name: found.astype(str) if found.dtype.kind == "U" else found for name, found in values.items()}
    result = made(**values, attrs=attrs)
    if made is not Result:
        result.check()
        return result
    if (result.fold_total.sum(axis=0) != result.total).any():
        raise ValueError("fold_total does not add up to total")
    if attrs["kept"] in ("all", "hit") and (result.counts.sum(axis=2) != result.total).any():
        raise ValueError("counts do not add up to total")
    return result


def _kind_of(result):
    """Return the variables of what is saved, and the attribute that tells it from a `Result`."""
    return (VARIABLES, {}) if isinstance(result, Result) else (result.VARIABLES, {"kind": result.KIND})


def _made_of(kind):
    """Return the class and the variables of what was saved."""
    if kind is None:
        return Result, VARIABLES
    if kind not in _KINDS:
        raise ValueError(f"it is of an unknown kind, {kind!r}")
    module, name = _KINDS[kind]
    made = getattr(importlib.import_module(f"srmfast.{module}"), name)
    return made, made.VARIABLES


def _check_claim(name, dims, array, sizes):
    """Refuse an array that is not of its kind, whose codecs could run code, or whose claimed size nothing can hold."""
    metadata = array.metadata
    codecs = [metadata.compressor, *(metadata.filters or ())]
    unknown = [codec.codec_id for codec in codecs if codec is not None and codec.codec_id not in _CODECS]
    if array.dtype.kind not in "iufU" or unknown:
        raise ValueError(f"{name} is of type {array.dtype}{f' with codec {unknown[0]}' if unknown else ''}")
    for dim, size in zip(dims, array.shape, strict=True):
        if sizes.setdefault(dim, size) != size:
            raise ValueError(f"{name} has {size} entries along {dim}, and others {sizes[dim]}")
    if array.nbytes > available_memory():
        raise ValueError(f"{name} claims {format_bytes(array.nbytes)}, more than the memory there is")
    if array.nchunks_initialized < array.nchunks:
        raise ValueError(f"chunks of {name} are missing")


def _crc(values):
    """Return the CRC-32 of an array, or of JSON-able values independent of the order of keys."""
    if isinstance(values, np.ndarray):
        return zlib.crc32(np.ascontiguousarray(values).view(np.uint8).data if values.size else b"")
    return zlib.crc32(json.dumps(values, sort_keys=True).encode())
