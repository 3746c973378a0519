"""Which chunks of a Zarr array exist: object keys, and the index inside every shard."""

import itertools
import math
import re

import numpy as np

from srmfast.errors import InputError

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

    Raises
    ------
    InputError
        A chunk lies outside the array: rows would be left out, silently, that somebody has written.
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
        if len(place) != len(counts):
            continue
        if any(i >= count for i, count in zip(place, counts, strict=True)):
            raise InputError(
                f"the shape of an array must cover its chunks, but {key} lies outside {tuple(shape)}: the shape is wrong, or a "
                "writer was killed while it appended; correct the shape, or delete that chunk"
            )
        found[place] = key
    return dict(sorted(found.items()))


def absent(places, counts):
    """Give the grid coordinates that are not in `places`, as an (m, rank) array in C order."""
    held = np.zeros(counts, bool)
    if len(places):
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


class ShardIndex:
    """Where the inner chunks lie in every shard of an array.

    Parameters
    ----------
    configuration : dict
        Of the sharding codec.
    shards : tuple of int
        Shape of a shard.

    Attributes
    ----------
    inner : tuple of int
        Shape of an inner chunk.
    per_shard : tuple of int
        Inner chunks of a shard, on every axis.
    """

    def __init__(self, configuration, shards):
        self.inner = tuple(configuration["chunk_shape"])
        self.per_shard = grid(shards, self.inner)
        codecs = configuration["index_codecs"]
        self._entries = math.prod(self.per_shard)
        self._nbytes = self._entries * INDEX_ENTRY + CHECKSUM * (len(codecs) - 1)
        self._at_end = configuration.get("index_location", "end") == "end"
        self._order = ">u8" if codecs[0].get("configuration", {}).get("endian") == "big" else "<u8"

    async def read(self, root, key):
        """Read the index of one shard.

        Returns
        -------
        (*per_shard, 2) uint64 array or None
            Offset and length of every inner chunk, both `ABSENT` for one that is not there; None without the shard
            or when its index is torn.
        """
        from zarr.abc.store import RangeByteRequest, SuffixByteRequest
        from zarr.core.buffer import default_buffer_prototype

        request = SuffixByteRequest(self._nbytes) if self._at_end else RangeByteRequest(0, self._nbytes)
        found = await root.get(key, default_buffer_prototype(), request)
        table = b"" if found is None else found.to_bytes()
        if len(table) < self._nbytes or not self._intact(table):
            return None
        return np.frombuffer(table, self._order, self._entries * 2).reshape(*self.per_shard, 2)

    def _intact(self, table):
        entries = self._entries * INDEX_ENTRY
        if self._nbytes == entries:
            return True
        import google_crc32c  # zarr needs it, too

        return google_crc32c.value(table[:entries]) == int.from_bytes(table[entries:], "little")


def holes_in_shards(root, keys, index, shape):
    """Find the inner chunks that existing shards do not hold.

    Parameters
    ----------
    root : zarr.abc.store.Store
    keys : dict
        Grid coordinates of a shard -> its key.
    index : ShardIndex
    shape : tuple of int

    Returns
    -------
    (m, rank) int64 array
        Coordinates in the grid of inner chunks; those beyond the array's end are left out.
    """
    from zarr.core.common import concurrent_map

    from srmfast.stores import _zarr_tree

    async def gone_from(key):
        table = await index.read(root, key)
        if table is None:  # torn object: nothing in it can be trusted
            return np.ones(index.per_shard, bool)
        return (table == ABSENT).all(axis=-1)

    absent_in = _zarr_tree.wait(concurrent_map([(key,) for key in keys.values()], gone_from, limit=ASKED_AT_ONCE))
    counts = np.array(grid(shape, index.inner))
    holes = [np.empty((0, len(shape)), np.int64)]
    for place, gone in zip(keys, absent_in, strict=True):
        found = np.argwhere(gone) + np.array(place) * np.array(index.per_shard)
        holes.append(found[(found < counts).all(axis=1)])
    return np.concatenate(holes)


def name_keys(places, encode, limit):
    """Encode the first `limit` grid coordinates as object keys."""
    return [encode(tuple(int(i) for i in place)) for place in itertools.islice(places, limit)]
