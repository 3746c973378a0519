"""The inner chunks of a sharded Zarr array as an array of plain chunks, so that no shard is read or decoded whole.

zarr reads a whole shard when all of it is asked for, and otherwise fetches inner chunks one after the other, with the
index anew for every call. Here the index of a shard is read once, its chunks are fetched side by side, and a chunk is
the unit of every plan.
"""

import asyncio
from collections import OrderedDict

from srmfast.errors import InputError
from srmfast.stores import _zarr_chunks
from srmfast.stores._zarr_roots import Root

_INDICES = 256  # shards whose index is kept
_PIECE_BYTES = 512 << 10  # of remote shards, whose chunks of a quarter of that or less are fetched together
_PIECES = 24  # of them are kept


def unsharded(doc):
    """Describe the inner chunks of a sharded array as an array of its own, or None where that cannot be done."""
    configuration = _zarr_chunks.shard_codec(doc)
    if configuration is None:
        return None
    grid = {"name": "regular", "configuration": {"chunk_shape": list(configuration["chunk_shape"])}}
    keys = {"name": "default", "configuration": {"separator": "/"}}
    return doc | {"chunk_grid": grid, "codecs": configuration["codecs"], "chunk_key_encoding": keys}


class ShardView(Root):
    """A root whose only objects are the inner chunks of one sharded array.

    Parameters
    ----------
    root : ListedRoot
        Holds the shards.
    shard_key : callable
        ``shard_key(place) -> str``: the key of the shard at a place of the grid.
    doc : dict
        Describes the sharded array.
    shards : tuple of int
        Shape of a shard.

    Attributes
    ----------
    index : ShardIndex
    """

    def __init__(self, root, shard_key, doc, shards):
        super().__init__(str(root))
        self._root, self._shard_key = root, shard_key
        self.index = _zarr_chunks.ShardIndex(_zarr_chunks.shard_codec(doc), shards)
        self._tables = OrderedDict()  # place of a shard -> task that reads its index
        self._pieces = OrderedDict()  # (place of a shard, number) -> task that reads a piece of it
        self._together = root.remote

    async def get(self, key, prototype=None, byte_range=None):
        from zarr.abc.store import RangeByteRequest
        from zarr.core.buffer import default_buffer_prototype

        place = [int(number) for number in key.split("/")[1:]] if key.startswith("c/") else []
        if len(place) != len(self.index.per_shard):
            return None
        shard, within = zip(*map(divmod, place, self.index.per_shard), strict=True)
        table = await self._table(shard)
        if table is None:
            return None
        offset, nbytes = (int(value) for value in table[within])
        if offset == nbytes == _zarr_chunks.ABSENT:
            if not self._root.supports_listing and not self._root.fills:
                raise _zarr_chunks.may_be_lost(
                    f"inner chunk {'/'.join(map(str, within))} of {self._shard_key(shard)} in {self.location}"
                )
            return None
        prototype = prototype or default_buffer_prototype()
        if self._together and nbytes < _PIECE_BYTES // 4:
            return prototype.buffer.from_bytes(await self._gather(shard, table, offset, nbytes))
        found = await self._root.get(self._shard_key(shard), prototype, RangeByteRequest(offset, offset + nbytes))
        if found is None or len(found) != nbytes:
            raise InputError(f"{self._shard_key(shard)} in {self.location} is torn: write it again")
        return found

    async def _gather(self, shard, table, offset, nbytes):
        """Cut a small chunk out of pieces of its shard that are fetched once: a request each would take too long."""
        end = int((table[..., 0] + table[..., 1])[table[..., 0] != _zarr_chunks.ABSENT].max())
        first, last = offset // _PIECE_BYTES, (offset + nbytes - 1) // _PIECE_BYTES

        async def read(number):
            from zarr.abc.store import RangeByteRequest
            from zarr.core.buffer import default_buffer_prototype

            wanted = RangeByteRequest(number * _PIECE_BYTES, min((number + 1) * _PIECE_BYTES, end))
            found = await self._root.get(self._shard_key(shard), default_buffer_prototype(), wanted)
            return b"" if found is None else found.to_bytes()

        pieces = [await _once(self._pieces, (shard, i), lambda i=i: read(i), _PIECES) for i in range(first, last + 1)]
        low = offset - first * _PIECE_BYTES
        return b"".join(pieces)[low : low + nbytes]

    async def _table(self, shard):
        return await _once(self._tables, shard, lambda: self.index.read(self._root, self._shard_key(shard)), _INDICES)


async def _once(kept, key, request, most):
    """Give the answer to a request that many ask for at the same time, made once; the latest `most` are kept."""
    task = kept.pop(key, None)
    if task is None or (task.done() and task.exception()):
        task = asyncio.ensure_future(request())
    kept[key] = task
    while len(kept) > most:
        kept.popitem(last=False)
    return await asyncio.shield(task)
