"""The metadata documents of a Zarr hierarchy, version 2 and 3.

The documents are read here, not by zarr, because one array of a type that zarr does not know (bfloat16) would
otherwise make the whole hierarchy unreadable, and because a codec that unpickles must be refused before any
chunk is decoded.
"""

import json
import os

from srmfast.errors import InputError, require
from srmfast.sound import line
from srmfast.stores import _places

MARKERS = ("zarr.json", ".zarray", ".zgroup")
DEPTH = 8  # groups below groups


def open_root(path):
    """Open the folder, zip file or URL that holds a hierarchy.

    Parameters
    ----------
    path : str

    Returns
    -------
    zarr.abc.store.Store
        Read-only.

    Raises
    ------
    InputError
        When there is no hierarchy or the zip file is damaged.
    """
    storage = require("zarr.storage", purpose=f"reading {path}")
    if _places.is_url(path):
        from srmfast.stores import _zarr_remote

        return _zarr_remote.open_root(path)
    if os.path.isdir(path):
        return storage.LocalStore(path, read_only=True)
    import zipfile

    try:
        root = storage.ZipStore(path, mode="r", read_only=True)
        wait(root._open())
        return root
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{path} is not a whole Zarr zip file ({line(error)}); copy or write it again") from error


def wait(coroutine):
    """Run one coroutine of a zarr store to its end."""
    from zarr.core.sync import sync

    return sync(coroutine)


def get(root, key, byte_range=None):
    """Read one object, or None when it does not exist."""
    from zarr.core.buffer import default_buffer_prototype

    found = wait(root.get(key, default_buffer_prototype(), byte_range))
    return None if found is None else found.to_bytes()


def keys_below(root, prefix):
    """List every key below a prefix, in no order."""

    async def collect():
        return [key async for key in root.list_prefix(prefix)]

    return wait(collect())


def document(root, node):
    """Read the description of one node.

    Parameters
    ----------
    root : zarr.abc.store.Store
    node : str
        Path without slashes at its ends; "" is the root.

    Returns
    -------
    dict or None
        The version 3 document, or the version 2 one with ``attributes`` merged in; None without a node.
        Groups have ``node_type`` "group".
    """
    at = f"{node}/" if node else ""
    for marker in MARKERS:
        text = get(root, at + marker)
        if text is None:
            continue
        found = _parse(text, f"{at}{marker} of {root}")
        if marker != "zarr.json":
            attributes = get(root, at + ".zattrs")
            found["attributes"] = _parse(attributes, f"{at}.zattrs of {root}") if attributes else {}
            found["node_type"] = "array" if marker == ".zarray" else "group"
        return found
    return None


def _parse(text, location):
    """Parse a JSON object."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InputError(f"{location} is not JSON ({error}); the store is damaged, write it again") from error
    if not isinstance(found, dict):
        raise InputError(f"{location} must be a JSON object, got {found!r:.40}; the store is damaged, write it again")
    return found


def arrays_below(root, node="", depth=DEPTH):
    """Collect the documents of all arrays at and below a node.

    Returns
    -------
    dict
        Path from the root -> document; the consolidated metadata are used where they exist.
    """
    described = document(root, node)
    if described is None:
        return {}
    if described.get("node_type", "array") == "array":
        return {node: described}
    at = f"{node}/" if node else ""
    gathered = _consolidated(root, at, described)
    if gathered is not None:
        return gathered
    if depth == 0:
        return {}

    if not root.supports_listing:
        raise InputError(
            f"{root} is a group of arrays that cannot be listed; name one as URL::KEY, or write consolidated metadata: "
            "zarr.consolidate_metadata"
        )

    async def children():
        return sorted([name async for name in root.list_dir(node)])

    found = {}
    for name in wait(children()):
        name = name.strip("/")
        if name not in (*MARKERS, ".zattrs", ".zmetadata"):
            found |= arrays_below(root, at + name, depth - 1)
    return found


def _consolidated(root, at, described):
    """Give the arrays listed in a group's consolidated metadata, None when it has none."""
    listed = (described.get("consolidated_metadata") or {}).get("metadata")
    if listed is not None:
        return {at + name: doc for name, doc in sorted(listed.items()) if doc.get("node_type") == "array"}
    if described.get("zarr_format") != 2:
        return None
    text = get(root, at + ".zmetadata")
    if text is None:
        return None
    listed = _parse(text, f"{at}.zmetadata of {root}").get("metadata", {})
    found = {}
    for name, doc in sorted(listed.items()):
        if name.rpartition("/")[2] == ".zarray":
            attributes = listed.get(name.removesuffix(".zarray") + ".zattrs", {})
            array = name.removesuffix(".zarray").strip("/")
            found[(at + array).strip("/")] = doc | {"attributes": attributes, "node_type": "array"}
    return found


def summary(doc):
    """Give (shape, dtype as text) of an array's document."""
    dtype = doc.get("dtype" if doc.get("zarr_format") == 2 else "data_type")
    if dtype is None or "shape" not in doc:
        raise InputError(
            "the description of a Zarr array must hold its shape and data type; the store is damaged, write it again"
        )
    if isinstance(dtype, dict):
        size = dtype.get("configuration", {}).get("length_bytes")
        dtype = "|V2" if dtype.get("name") == "raw_bytes" and size == 2 else dtype.get("name")
    return tuple(doc["shape"]), {"r16": "|V2"}.get(str(dtype), _spelled(str(dtype)))


def refuse_pickles(doc, location):
    """Refuse an array whose codecs would run code from the file."""
    listed = [doc.get("compressor"), *(doc.get("filters") or []), *(doc.get("codecs") or [])]
    names = [str(codec.get("id") or codec.get("name")) for codec in listed if isinstance(codec, dict)]
    if any("pickle" in name for name in names):
        raise InputError(
            f"{location} is stored with the pickle codec, which is never run; rewrite the array without it"
        )


def _spelled(dtype):
    """Spell a version 2 type such as "<f4" in words, others as they are."""
    import numpy as np

    if dtype[:1] in "<>|" and dtype[1:2] in "fiub":
        return np.dtype(dtype).name
    return dtype
