"""Which chunks of a Zarr array exist: object keys, and the index inside every shard."""

import itertools
import re

import numpy as np

ABSENT = np.uint64(2**64 - 1)  # offset and length of an inner chunk that a shard does not hold
INDEX_ENTRY = 16  # bytes
CHECKSUM = 4  # bytes, crc32c
ASKED_AT_ONCE = 64  # shard indices read concurrently


def grid(shape, chunks):
    """Count the chunks on every axis."""
    return tuple(-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True))


def present_keys(keys, node, shape, chunks):
    """Sort the keys of an array's chunk objects by their place in the grid.

    Parameters
    ----------
    keys : iterable of str
        Every key below the array.
    node : str
        Path of the array.
    shape, chunks : tuple of int

    Returns
    -------
    dict
        Grid coordinates -> key, in C order; keys of anything else are left out.
    """
    prefix = f"{node}/" if node else ""
    counts = grid(shape, chunks)
    pattern = re.compile(r"(?:c[/.])?\d+(?:[/.]\d+)*")
    found = {}
    for key in keys:
        tail = key.removeprefix(prefix)
        if not pattern.fullmatch(tail):
            continue
        place = tuple(int(number) for number in re.findall(r"\d+", tail))
        if len(place) == len(counts) and all(i < count for i, count in zip(place, counts, strict=True)):
            found[place] = key
    return dict(sorted(found.items()))


def absent(places, counts):
    """Give the grid coordinates that are not in `places`, as an (m, rank) array in C order."""
    held = np.zeros(counts, bool)
    if places:
        held[tuple(np.array(list(places)).T)] = True
    return np.argwhere(~held)


def rectangles(places, chunks, shape):
    """Turn grid coordinates (m, rank) into (m, rank, 2) bounds within the array."""
    low = places * np.array(chunks)
    return np.stack([low, np.minimum(low + chunks, shape)], axis=2).astype(np.int64)


def shard_codec(doc):
    """Give the configuration of the sharding codec when its index can be read here, else None."""
    codecs = doc.get("codecs") or ()
    if len(codecs) != 1 or codecs[0].get("name") != "sharding_indexed":
        return None
    configuration = codecs[0]["configuration"]
    index = [codec["name"] for codec in configuration.get("index_codecs", ())]
    return configuration if index in (["bytes"], ["bytes", "crc32c"]) else None


def holes_in_shards(root, keys, configuration, shards, shape):
    """Find the inner chunks that existing shards do not hold.

    Parameters
    ----------
    root : zarr.abc.store.Store
    keys : dict
        Grid coordinates of a shard -> its key.
    configuration : dict
        Of the sharding codec.
    shards, shape : tuple of int

    Returns
    -------
    (m, rank) int64 array
        Coordinates in the grid of inner chunks; those beyond the array's end are left out.
    """
    from zarr.abc.store import RangeByteRequest, SuffixByteRequest
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.common import concurrent_map

    from srmfast.stores import _zarr_tree

    inner = tuple(configuration["chunk_shape"])
    per_shard = grid(shards, inner)
    entries = int(np.prod(per_shard))
    codecs = configuration["index_codecs"]
    nbytes = entries * INDEX_ENTRY + CHECKSUM * (len(codecs) - 1)
    at_end = configuration.get("index_location", "end") == "end"
    request = SuffixByteRequest(nbytes) if at_end else RangeByteRequest(0, nbytes)
    order = ">u8" if codecs[0].get("configuration", {}).get("endian") == "big" else "<u8"

    async def index_of(key):
        found = await root.get(key, default_buffer_prototype(), request)
        return None if found is None else found.to_bytes()

    tables = _zarr_tree.wait(concurrent_map([(key,) for key in keys.values()], index_of, limit=ASKED_AT_ONCE))
    counts = np.array(grid(shape, inner))
    holes = [np.empty((0, len(shape)), np.int64)]
    for place, table in zip(keys, tables, strict=True):
        if table is None or len(table) < nbytes:
            gone = np.ones(per_shard, bool)  # torn object: nothing in it can be trusted
        else:
            gone = (np.frombuffer(table, order, entries * 2).reshape(*per_shard, 2) == ABSENT).all(axis=-1)
        found = np.argwhere(gone) + np.array(place) * np.array(per_shard)
        holes.append(found[(found < counts).all(axis=1)])
    return np.concatenate(holes)


def name_keys(places, encode, limit):
    """Encode the first `limit` grid coordinates as object keys."""
    return [encode(tuple(int(i) for i in place)) for place in itertools.islice(places, limit)]
