"""Open activations: an array of any library, or a path."""

import os
from pathlib import Path

from srmfast.errors import InputError, shown
from srmfast.stores import _axes, _onnx, _places, _registry, _remote, _shards, recognise
from srmfast.stores._memory import MemorySource, to_numpy
from srmfast.stores._site import Site
from srmfast.stores.rows import Store


def open_store(source, *, feature_axis=None, index=None, flatten=False, pool=None, name=None, inputs=None, batch=None):
    """Open activations as a matrix of rows and features.

    Parameters
    ----------
    source : Store, array or path
        A store is returned as it is. An array: NumPy, zarr, h5py, torch, or anything NumPy converts. A path:
        ``PATH`` or ``PATH::KEY`` of a .npy, .npz, Zarr, HDF5, NetCDF4, AnnData, safetensors, torch, Parquet or Arrow
        file, of a Hugging Face datasets folder, or of raw values described as ``acts.bin::float16,1000000x768``; or
        a folder or glob of such parts; or ``MODEL.onnx::TENSOR``, whose rows are computed from `inputs`. Dumps of the tools that `srmfast.stores.recognise` knows need no key but that
        of a layer; ``recognised`` of the store says what was assumed.
    feature_axis : int or str, optional
        Axis of the features, negative from the end, or its name. The last one when omitted; arrays with four and more
        free axes are refused as ambiguous.
    index : mapping of int or str to int, optional
        Axis, by number or name -> the one position to use, as for a layer axis.
    flatten : bool
        First axis rows, everything else features.
    pool : {"mean"}, optional
        One row for each position of the first row axis: the mean over all others, in float64.
    name : str, optional
        Short name for titles and result groups; made from the path when omitted.
    inputs : path, array, or mapping of str to path or array, optional
        What a model is given: one array, a folder or container with an array for each of its inputs, or one by one.
    batch : int, optional
        Items that a model is given at once; chosen from the model and the shape of its inputs when omitted.

    Returns
    -------
    Store

    Raises
    ------
    InputError
        When the data are not there, not readable, or ambiguous: one line with the choices.
    MissingDependency
        When a library is needed that is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> store = open_store(np.arange(12.0).reshape(2, 3, 2))
    >>> store.shape, store.read(4, 6).tolist()
    ((6, 2), [[8.0, 9.0], [10.0, 11.0]])
    """
    if isinstance(source, Store):
        if feature_axis is not None or index or flatten or pool:  # inputs: a run of stores and models has some
            raise InputError(
                "axes are chosen when a store is opened; open the path or array again with the axes you want"
            )
        return source
    options, recognised = {"feature_axis": feature_axis, "index": index, "flatten": flatten}, None
    if isinstance(source, (str, Path)):
        opened, stem, found = open_path(str(source), options, inputs=inputs, batch=batch)
        if found is not None:
            recognised, options["index"] = found.recognised.pooled() if pool else found.recognised, found.index
            options["feature_axis"] = found.feature_axis if feature_axis is None else feature_axis
    elif inputs is not None or batch is not None:
        raise InputError("inputs and a batch are given to models, not to an array; drop them, or name a .onnx file")
    else:
        opened, stem = _open_array(source), "array"
    try:
        return Store(opened, **options, pool=pool, name=name or stem, recognised=recognised)
    except BaseException:
        opened.close()
        raise


def _open_array(array):
    """Make a source of an array object; zarr and h5py are recognised by name, so neither is imported."""
    library = type(array).__module__.partition(".")[0]
    if library == "zarr" and hasattr(array, "metadata"):
        from srmfast.stores import _zarr

        if not hasattr(array, "chunks"):
            raise InputError(f"a Zarr group is not an array; give one of its arrays, got {array!r}")
        return _zarr.from_array(array)
    if library == "h5py":
        from srmfast.stores import _hdf5

        if not hasattr(array, "shape"):
            raise InputError(f"an HDF5 group is not a dataset; give one of its datasets, got {array!r}")
        return _hdf5.from_dataset(array)
    source = MemorySource(to_numpy(array))
    dims = getattr(array, "dims", ())  # of xarray
    source.dims = dims if isinstance(dims, tuple) and len(dims) == len(source.shape) else ()
    return source


def open_path(spec, options, *, inputs=None, batch=None):
    """Open what a path names.

    Parameters
    ----------
    spec : str
    options : dict
        The ``feature_axis``, ``index`` and ``flatten`` of `open_store`.
    inputs, batch
        Those of `open_store`.

    Returns
    -------
    source : Source
    stem : str
        A short name.
    found : Found or None
        The layout it was found to have.
    """
    path, key = _registry.split(spec)
    path = _places.plain(path)
    stem = _stem(path, key)
    pattern = _places.has_magic(path) and not os.path.exists(path)  # a file's name may look like a glob
    if not pattern and not _places.is_url(path) and not os.path.exists(path):
        folder = os.path.dirname(path) or "."
        where = "its folder exists" if os.path.isdir(folder) else f"nor its folder {folder}"
        raise InputError(f"{path} does not exist ({where}); check the path")
    kind = None if pattern else _registry.recognise(path, key)
    if kind is _registry.ONNX:
        found = _onnx.open_found(path, key, inputs, batch, options)
        return found.source, stem, found
    if inputs is not None or batch is not None:
        raise InputError(
            f"inputs and a batch are given to models, {path} is none; drop --inputs and --batch, or name a .onnx file"
        )
    site = Site(path, kind)
    folder = kind is None and not pattern and _places.is_folder(path)
    found = recognise.look(site, key, options) if folder or kind is not None else None
    if found is not None:
        return found.source, stem, found
    if kind is not None:
        return kind.open_source(path, key), stem, None
    if not pattern and not folder:
        if _places.is_url(path) and not _places.is_file(path):
            raise InputError(f"{path} does not exist (404); check the path{_unlisted(path)}")
        raise InputError(
            f"{path} is of an unknown kind; known are {_registry.known()}, folders of such files, and raw values "
            f"as {path}::float32,1000x768"
        )
    described = _registry.describes_raw(key)

    def part_kind(part):
        kind = _registry.recognise(part, key if pattern else None)  # of a glob, every match is meant
        return None if kind is _registry.ONNX or (kind is _registry.RAW and not described) else kind

    parts, kind = _shards.expand(path, part_kind, site.names if folder else None)
    if len(parts) == 1:
        return kind.open_source(parts[0], key), stem, None

    def open_part(part):
        return kind.open_source(part, key)

    def axis_of(shape, dims):
        return _axes.resolve(shape, path, dims=dims, **options).rows[0]

    return _shards.ShardedSource(parts, open_part, spec, axis_of), stem, None


def _unlisted(path):
    """Say what an address that lists nothing cannot stand for."""
    if _remote.of(_remote.scheme_of(path)).lists:
        return ""
    return "; an http(s) address names one file or one Zarr folder, not a folder of parts"


def _stem(path, key):
    """Make a short name of a path and a key, without slashes."""
    stem = Path(shown(path).rstrip("/")).name
    while Path(stem).suffix and _registry.by_suffix(stem) is not None:
        stem = Path(stem).stem
    stem = stem.replace("*", "").strip("-_.") or "store"
    if key is None or _registry.describes_raw(key):
        return stem
    return f"{stem}.{key.strip('/').replace('/', '.')}"
