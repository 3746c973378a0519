"""Which chunks of a Zarr array exist: object keys, and the index inside every shard."""

import math
import re

import numpy as np

from srmfast.errors import InputError

_LISTED = 1 << 22  # chunks that are not there, at most, of an array that is read all the same
ABSENT = np.uint64(2**64 - 1)  # offset and length of an inner chunk that a shard does not hold
INDEX_ENTRY = 16  # bytes
CHECKSUM = 4  # bytes, crc32c
ASKED_AT_ONCE = 64  # shard indices read concurrently


def grid(shape, chunks):
    """Count the chunks on every axis."""
    return tuple(-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True))


def present_keys(keys, node, encode, shape, chunks):
    """Sort the keys of an array's chunk objects by their place in the grid.

    Parameters
    ----------
    keys : iterable of str
        Every key below the array.
    node : str
        Path of the array.
    encode : callable
        ``encode(place) -> str``: the name of the chunk at a place of the grid.
    shape, chunks : tuple of int

    Returns
    -------
    dict
        Key -> grid coordinates, in C order; keys of anything else are left out.

    Raises
    ------
    InputError
        A chunk lies outside the array, or is not named as the array names its chunks: rows would be left out or read as
        the fill value, silently, that somebody has written.
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
        if tail != encode(place):
            raise InputError(
                f"every chunk must be named as its array says, but {key} should be {prefix}{encode(place)}: correct the "
                "separator in the description (dimension_separator in .zarray, chunk_key_encoding in zarr.json), or delete "
                "that chunk"
            )
        if any(i >= count for i, count in zip(place, counts, strict=True)):
            raise InputError(
                f"the shape of an array must cover its chunks, but {key} lies outside {tuple(shape)}: the shape is wrong, or a "
                "writer was killed while it appended; correct the shape, or delete that chunk"
            )
        found[key] = place
    return dict(sorted(found.items(), key=lambda item: item[1]))


def absent(places, counts):
    """Give the grid coordinates that are not in `places`, as an (m, rank) array in C order."""
    total = math.prod(counts)
    if total - len(places) > _LISTED:
        raise InputError(
            f"an array must have most of its chunks, but of {total:,} only {len(places):,} exist; its shape is wrong, or its "
            "writer never finished"
        )
    held = np.zeros(counts, bool)
    if len(places):
        held[tuple(np.array(list(places)).T)] = True
    return np.argwhere(~held)


def rectangles(places, chunks, shape):
    """Turn grid coordinates (m, rank) into (m, rank, 2) bounds within the array."""
    low = places * np.array(chunks)
    return np.stack([low, np.minimum(low + chunks, shape)], axis=2).astype(np.int64)


def may_be_lost(what):
    """Make the error of a chunk that does not exist where that cannot be told before it is read."""
    return InputError(
        f"every chunk must exist, but {what} does not: lost, or never written because it holds only the fill value; use "
        "--missing-chunks zeros, or a copy that can be listed to skip"
    )


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
            Offset and length of every inner chunk, both `ABSENT` for one that is not there; None without the shard.

        Raises
        ------
        InputError
            The index is torn: nothing in the shard can be trusted.
        """
        from zarr.abc.store import RangeByteRequest, SuffixByteRequest
        from zarr.core.buffer import default_buffer_prototype

        request = SuffixByteRequest(self._nbytes) if self._at_end else RangeByteRequest(0, self._nbytes)
        found = await root.get(key, default_buffer_prototype(), request)
        if found is None:
            return None
        table = found.to_bytes()
        if len(table) < self._nbytes or not self._intact(table):
            raise InputError(
                f"{key} in {root} is torn: its index is cut short or does not match its checksum; write it again"
            )
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
        Key of a shard -> its grid coordinates.
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
        return np.ones(index.per_shard, bool) if table is None else (table == ABSENT).all(axis=-1)

    absent_in = _zarr_tree.wait(concurrent_map([(key,) for key in keys], gone_from, limit=ASKED_AT_ONCE))
    counts = np.array(grid(shape, index.inner))
    holes = [np.empty((0, len(shape)), np.int64)]
    for place, gone in zip(keys.values(), absent_in, strict=True):
        found = np.argwhere(gone) + np.array(place) * np.array(index.per_shard)
        holes.append(found[(found < counts).all(axis=1)])
    return np.concatenate(holes)
