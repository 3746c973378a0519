"""Zarr arrays, version 2 and 3: folders, zip files and URLs, sharded or not."""

import asyncio
import base64
import functools
import math
import warnings

import numpy as np

from srmfast.errors import InputError, require
from srmfast.sound import line
from srmfast.stores import (
    _cf,
    _dtypes,
    _fingerprint,
    _layout,
    _members,
    _remote,
    _zarr_chunks,
    _zarr_roots,
    _zarr_shards,
    _zarr_tree,
)
from srmfast.stores.base import Source

_VAST = 256 << 20  # bytes of a chunk that need no thought


def open_source(path, key=None):
    """Open an array of a Zarr hierarchy.

    Parameters
    ----------
    path : str
        Folder, zip file or URL.
    key : str, optional
        Path of the array inside; the only matrix of numbers when omitted.

    Returns
    -------
    ZarrSource

    Raises
    ------
    InputError
        When there is no hierarchy, no such array or several candidates.
    """
    root, docs, name = _find(path, key, least_rank=2)
    location = f"{path}::{name}" if name else str(path)
    return ZarrSource(root, name, docs[name], location, path, owned=True)


def load_array(path, key=None):
    """Load a whole array of any type but objects; text comes as fixed-width strings."""
    root, docs, name = _find(path, key, least_rank=1)
    try:
        return _load(root, name, docs[name], f"{path}::{name}" if name else str(path))
    finally:
        root.close()


def list_arrays(path):
    """List the arrays of a hierarchy: name -> (shape, dtype as text)."""
    root = _zarr_tree.open_root(str(path))
    try:
        docs = _zarr_tree.arrays_below(root)
        return {name: _zarr_tree.summary(doc) for name, doc in docs.items() if name}
    finally:
        root.close()


def from_array(array):
    """Make a source of a `zarr.Array` the caller has opened, and leaves open."""
    with warnings.catch_warnings():  # zarr warns that two-byte void has no specification; it is read as bfloat16
        warnings.simplefilter("ignore")
        doc = array.metadata.to_dict()
    doc.setdefault("node_type", "array")
    return ZarrSource(array.store, array.path, doc, str(array.store_path), None, owned=False)


class ZarrSource(Source):
    """One Zarr array; `root` is the store of the hierarchy and `node` the array's path in it."""

    format = "zarr"

    def __init__(self, root, node, doc, location, path, *, owned):
        self.location = location
        self._root, self._node, self._doc, self._path, self._owned = root, node, doc, path, owned
        _cf.refuse_packed(doc.get("attributes") or {}, location)
        self._listed = _zarr_roots.ListedRoot(root)
        self._array = _open_array(self._listed, node, doc, location)
        self.shape = tuple(self._array.shape)
        self.dtype_name, self.dtype = _dtypes.resolve(_declared(doc, self._array), location, doc.get("attributes"))
        self._objects = self.chunks = _chunks(self._array)  # what is stored as one object, and decoded as one
        _refuse_vast(self.chunks, self.shape, self.dtype.itemsize, location)
        self._encode = self._array.metadata.encode_chunk_key
        self._index = None
        if self.chunks and (inner := _zarr_shards.unsharded(doc)):
            prefix = f"{node}/" if node else ""
            view = _zarr_shards.ShardView(self._listed, lambda place: prefix + self._encode(place), doc, self._objects)
            self._index, self.chunks = view.index, view.index.inner
            _refuse_vast(self.chunks, self.shape, self.dtype.itemsize, location)
            self._array = _open_array(view, "", inner, location)
        self.remote = self._listed.remote
        # zarr decodes with threads of its own; two callers hide its fixed time per call
        self.readers = _remote.READERS if self.remote else 2
        self.dims = _dims(doc)

    def read(self, selection):
        try:
            values = self._array[selection]
        except InputError:
            raise
        except Exception as error:  # codecs raise whatever they like
            raise InputError(
                f"{self.location} cannot be decoded ({line(error)}); a chunk is damaged or torn, write it again"
            ) from error
        values = np.asarray(values)
        if values.dtype == np.int16 and self.dtype_name == "bfloat16":
            return values.view(np.uint16)
        return values.astype(self.dtype, copy=False)

    @functools.cached_property
    def _keys(self):
        """Key -> grid coordinates of every chunk object (shard) that existed when it was first asked."""
        self._listed.keys = found = self._list()
        return found

    def _list(self):
        keys = _zarr_tree.keys_below(self._root, f"{self._node}/" if self._node else "")
        return _zarr_chunks.present_keys(keys, self._node, self._encode, self.shape, self._objects)

    @functools.cached_property
    def _absent(self):
        return _zarr_chunks.absent(self._keys.values(), _zarr_chunks.grid(self.shape, self._objects))

    @functools.cached_property
    def _holes(self):
        return _zarr_chunks.holes_in_shards(self._listed, self._keys, self._index, self.shape)

    @property
    def _countable(self):
        """Whether it can be told which chunks exist."""
        return self.chunks is not None and self._root.supports_listing

    def missing(self):
        if not self._countable:
            return None
        whole = _zarr_chunks.rectangles(self._absent, self._objects, self.shape)
        if self._index is None:
            return whole
        return np.concatenate([whole, _zarr_chunks.rectangles(self._holes, self._index.inner, self.shape)])

    def missing_keys(self, limit=5):
        if not self._countable:
            return []
        keys = [self._key(place) for place in self._absent[:limit].tolist()]
        if self._index is not None:
            for place in self._holes[: limit - len(keys)].tolist():
                shard, within = zip(*map(divmod, place, self._index.per_shard), strict=True)
                keys.append(f"{self._key(shard)} inner chunk {'/'.join(map(str, within))}")
        return keys

    def _key(self, place):
        return (f"{self._node}/" if self._node else "") + self._encode(tuple(place))

    def fill_missing(self):
        if not self._root.supports_listing:
            self._root.fills = True

    def notes(self):
        if self.chunks is None or self._root.supports_listing:
            return []
        return [
            "this address cannot be listed: whether every chunk exists shows when it is read, and one that does not is "
            "an error then, unless --missing-chunks zeros"
        ]

    def fingerprint_parts(self):
        return self._identify(self._header, self._keys if self._countable else {}, getattr(self._root, "stat", None))

    def fingerprint_again(self):
        header = self._described()
        keys = self._keys if self._countable else {}
        if (
            self._countable and header == self._header
        ):  # of another description, as of a resized array, the grid is another
            keys = self._list()
        return self._identify(header, keys, getattr(self._root, "look", None))

    @functools.cached_property
    def _header(self):
        return self._described()

    def _described(self):
        ignored = ("attributes", "consolidated_metadata")
        described = _zarr_tree.document(self._root, self._node) or {}
        return _fingerprint.digest_json({k: v for k, v in described.items() if k not in ignored})

    def _identify(self, header, held, stat):
        keys = self._sampled(held)
        slices = _fingerprint.digest(part for sample in _zarr_tree.wait(self._samples(keys, stat)) for part in sample)
        return {"size": self.nbytes, "header": header, "slices": f"{slices}:{len(held) if self._countable else ''}"}

    def _sampled(self, held):
        """Give (key, place) of chunk objects spread over the array: those that exist, where that can be told."""
        if self.chunks is None:
            return []
        if self._countable:
            keys = list(held.items())
            return [keys[i] for i in _fingerprint.spread(len(keys))]
        counts = _zarr_chunks.grid(self.shape, self._objects)
        places = [np.unravel_index(i, counts) for i in _fingerprint.spread(math.prod(counts))]
        return [(self._key(map(int, place)), tuple(map(int, place))) for place in places]

    async def _samples(self, keys, stat):
        return await asyncio.gather(*[self._sample(*each, stat) for each in keys])

    async def _sample(self, key, place, stat):
        """Give size and ETag of a chunk object, or its size and first bytes."""
        from zarr.abc.store import RangeByteRequest
        from zarr.core.buffer import default_buffer_prototype

        size = etag = None
        if stat is not None:
            found = await stat(key)
            if found is None:
                return [repr(place).encode(), b"absent"]
            size, etag = found
        if size is None:
            try:
                size = await self._root.getsize(key)
            except FileNotFoundError:
                return [repr(place).encode(), b"absent"]
        if etag is None:
            wanted = RangeByteRequest(0, min(size, _fingerprint.SLICE_BYTES))
            head = await self._root.get(key, default_buffer_prototype(), wanted)
            etag = head.to_bytes() if head is not None else b""
        else:
            etag = etag.encode()
        return [repr(place).encode(), str(size).encode(), etag]

    def describe(self):
        doc = self._doc
        codecs = (
            [codec["name"] for codec in doc["codecs"]] if "codecs" in doc else [(doc.get("compressor") or {}).get("id")]
        )
        shards = list(self._objects) if self._index else None
        return {"zarr_format": doc.get("zarr_format"), "codecs": codecs, "shards": shards}

    def advice(self):
        chunks = _layout.good_chunks(self.shape, self.dtype.itemsize)
        return f"create the copy with chunks={chunks} and assign it slab by slab"

    def siblings(self):
        return {name: _zarr_tree.summary(doc) for name, doc in self._beside.items() if name != self._node}

    def sibling(self, key):
        docs = self._beside
        parent = self._node.rpartition("/")[0]
        near = f"{parent}/{key}" if parent else key
        arrays = {name: _zarr_tree.summary(doc) for name, doc in docs.items()}
        name = near if near in docs else _members.choose(arrays, key, self.location.partition("::")[0], least_rank=1)
        return _load(self._root, name, docs[name], f"{self.location.partition('::')[0]}::{name}")

    def close(self):
        if self._owned:
            self._root.close()

    @functools.cached_property
    def _beside(self):
        return _zarr_tree.arrays_below(self._root) if self._node else {"": self._doc}


def _find(path, key, least_rank):
    """Open a hierarchy and choose the array: (root, documents by path, path of the array)."""
    root = _zarr_tree.open_root(str(path))
    try:
        node = (key or "").strip("/")
        docs = _zarr_tree.arrays_below(root, node)
        if node not in docs:
            docs = docs or _zarr_tree.arrays_below(root)
            if not docs and _zarr_tree.document(root, "") is None:
                raise InputError(
                    f"{path} holds no Zarr array or group (no zarr.json, .zarray or .zgroup); check the path"
                )
            arrays = {name: _zarr_tree.summary(doc) for name, doc in docs.items()}
            node = _members.choose(arrays, key, str(path), least_rank=least_rank)
        return root, docs, node
    except BaseException:
        root.close()
        raise


def _open_array(root, node, doc, location):
    """Build the array from its document; bfloat16, which zarr may not read, is declared uint16."""
    zarr = require("zarr", purpose=f"reading {location}")
    storage = require("zarr.storage", purpose=f"reading {location}")
    _zarr_tree.refuse_pickles(doc, location)
    doc = {name: value for name, value in doc.items() if name not in ("consolidated_metadata", "attributes")}
    doc["attributes"] = {}
    shape, dtype = _zarr_tree.summary(doc)
    if dtype in ("bfloat16", "|V2"):
        doc["dtype" if doc["zarr_format"] == 2 else "data_type"] = "<u2" if doc["zarr_format"] == 2 else "uint16"
        doc["fill_value"] = _bits(doc.get("fill_value"))
        if "codecs" in doc:
            doc["codecs"] = _in_order(doc["codecs"])
    if doc["zarr_format"] == 2:
        doc.pop("node_type", None)
    try:
        return zarr.Array(zarr.AsyncArray(metadata=doc, store_path=storage.StorePath(root, node)))
    except (ValueError, TypeError, KeyError, NotImplementedError) as error:
        raise InputError(
            f"{location} cannot be opened by zarr ({line(error)}): shape {shape}, dtype {dtype}"
        ) from error


def _declared(doc, array):
    """Give the dtype of the document, bfloat16 as the two-byte void that stands for it."""
    return np.dtype("V2") if _zarr_tree.summary(doc)[1] in ("bfloat16", "|V2") else array.dtype


def _bits(fill):
    """Translate a bfloat16 fill value (a number, hexadecimal, base64 or byte values) into its bits."""
    if isinstance(fill, (list, tuple, np.void)):
        return int.from_bytes(bytes(fill) if isinstance(fill, np.void) else bytes(list(fill)), "little")
    if isinstance(fill, str) and fill.startswith("0x"):
        return int(fill, 16)
    if isinstance(fill, str) and fill.endswith("="):
        return int.from_bytes(base64.b64decode(fill), "little")
    number = 0.0 if fill is None else float(str(fill).replace("Infinity", "inf"))
    return int(np.float32(number).view(np.uint32) >> np.uint32(16))  # truncated: fill values are round numbers


def _in_order(codecs):
    """Declare the byte order, little, where void elements had none; chunks inside shards too."""
    ordered = []
    for codec in codecs:
        settings = dict(codec.get("configuration") or {})
        if codec["name"] == "bytes":
            settings.setdefault("endian", "little")
        if codec["name"] == "sharding_indexed":
            settings["codecs"] = _in_order(settings["codecs"])
        ordered.append({"name": codec["name"], "configuration": settings})
    return ordered


def _refuse_vast(chunks, shape, itemsize, location):
    """Refuse chunks that claim far more than their whole array: decoding one would take that much memory."""
    chunk, whole = (math.prod(sizes) * itemsize for sizes in (chunks or (), shape))
    if chunks and chunk > max(_VAST, 4 * whole):
        raise InputError(
            f"{location} claims chunks of {chunks}, {chunk:,} bytes each, for an array of {tuple(shape)}; its description is "
            "damaged, or rechunk it"
        )


def _chunks(array):
    """Give the rectangle that is decoded as a whole, None for an irregular grid."""
    try:
        chunks = array.shards or array.chunks
    except (AttributeError, NotImplementedError):
        return None
    return tuple(max(1, int(size)) for size in chunks) if math.prod(array.shape) else None


def _dims(doc):
    """Return the names of the axes: of version 3, or as xarray writes them."""
    return tuple(doc.get("dimension_names") or (doc.get("attributes") or {}).get("_ARRAY_DIMENSIONS") or ())


def _load(root, node, doc, location):
    values = _dtypes.fixed_text(np.asarray(_open_array(root, node, doc, location)[...]))
    if values.dtype.hasobject:
        raise InputError(f"{location} holds Python objects; save it as text or numbers")
    return values
