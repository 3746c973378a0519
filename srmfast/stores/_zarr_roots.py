"""Read-only roots of Zarr hierarchies that zarr itself does not offer: what they have in common."""

from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest

from srmfast.errors import InputError


class Root(Store):
    """A store of objects that zarr reads through; subclasses give `fetch` and, where they can, `listed`.

    Attributes
    ----------
    remote : bool
        Whether reading waits for a network.
    """

    supports_writes = supports_deletes = False
    supports_listing = True
    remote = True

    def __init__(self, location):
        super().__init__(read_only=True)
        self.location = location
        self._is_open = True

    async def fetch(self, key, start=None, stop=None):
        """Read an object as bytes, or the range [start, stop) of it (a negative start alone: its last bytes).

        None when it does not exist.
        """
        raise NotImplementedError

    async def listed(self):
        """List the objects: key -> Stat."""
        raise NotImplementedError

    async def get(self, key, prototype=None, byte_range=None):
        """Read an object or a range of it as zarr asks for it."""
        from zarr.core.buffer import default_buffer_prototype

        body = await self.fetch(key, *bounds(byte_range))
        return None if body is None else (prototype or default_buffer_prototype()).buffer.from_bytes(body)

    async def get_partial_values(self, prototype, key_ranges):
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key):
        return await self.fetch(key, 0, 1) is not None

    async def list(self):
        for key in await self.listed():
            yield key

    async def list_prefix(self, prefix):
        for key in await self.listed():
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix):
        top = f"{prefix.rstrip('/')}/" if prefix else ""
        names = {key[len(top) :].partition("/")[0] for key in await self.listed() if key.startswith(top)}
        for name in sorted(names):
            yield name

    async def set(self, key, value):
        raise NotImplementedError("read-only")

    async def delete(self, key):
        raise NotImplementedError("read-only")

    def __eq__(self, other):
        return self is other

    __hash__ = object.__hash__

    def __str__(self):
        return self.location

    def __repr__(self):
        return f"{type(self).__name__}({self.location!r})"


class ListedRoot(Root):
    """A root whose objects may not vanish: one that was listed and is gone when it is read would read as the fill value.

    Parameters
    ----------
    root : zarr.abc.store.Store

    Attributes
    ----------
    keys : container of str
        What was listed; empty until then.
    """

    def __init__(self, root):
        super().__init__(str(root))
        self._root, self.keys = root, ()
        self.remote = getattr(root, "remote", False)
        self.supports_listing = root.supports_listing

    @property
    def fills(self):
        """Whether what does not exist reads as the fill value though it cannot be told beforehand."""
        return getattr(self._root, "fills", False)

    async def get(self, key, prototype=None, byte_range=None):
        from zarr.core.buffer import default_buffer_prototype

        found = await self._root.get(key, prototype or default_buffer_prototype(), byte_range)
        if found is None and key in self.keys:
            raise gone(key, self.location)
        return found


def gone(key, location):
    """Make the error of an object that was listed and is not there any more."""
    return InputError(f"{key} in {location} is gone: it was there when the store was opened; write it again")


def bounds(byte_range):
    """Give what zarr's request for a range means to `fetch`: (start, stop)."""
    if byte_range is None:
        return None, None
    if isinstance(byte_range, RangeByteRequest):
        return byte_range.start, byte_range.end
    if isinstance(byte_range, OffsetByteRequest):
        return byte_range.offset, None
    if isinstance(byte_range, SuffixByteRequest):
        return -byte_range.suffix, None
    raise TypeError(f"unknown request {byte_range!r}")
