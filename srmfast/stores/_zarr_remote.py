"""Zarr hierarchies behind a URL: a folder of objects, or a zip file read by ranges."""

import asyncio
import os
import struct
import zipfile
import zlib

from srmfast.errors import InputError
from srmfast.stores import _places, _remote, _retry, _zarr_chunks
from srmfast.stores._zarr_roots import Root, gone

_DESCRIPTIONS = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
_LOCAL_HEADER = 30  # bytes in front of a member's name
_MOST_DEFLATED = 1032  # bytes that one byte of a deflated member can become
_NAME_LENGTHS = struct.Struct("<HH")  # of name and extra field, at byte 26


def open_root(url):
    """Open the hierarchy that a URL names.

    Returns
    -------
    RemoteRoot or RemoteZip
    """
    if _remote.path_of(url).rstrip("/").lower().endswith(".zip"):
        return RemoteZip(url)
    return RemoteRoot(url)


class RemoteRoot(Root):
    """A hierarchy of objects under one URL.

    Once a part of it has been listed, an object that was not in the listing is not asked for, and the size of one that
    was is known. Where nothing can be listed, a chunk that does not exist is an error, because it may be lost.

    Attributes
    ----------
    fills : bool
        Whether such a chunk reads as the fill value instead.
    """

    def __init__(self, url):
        super().__init__(url)
        self._remote = _remote.of(_remote.scheme_of(url))
        self.supports_listing = self._remote.lists
        self.fills = False
        self._known = {}  # prefix of an array -> key -> Stat

    async def fetch(self, key, start=None, stop=None):
        known = self._listing_of(key)
        if known is not None and key not in known:
            return None
        if known is not None and start is None:
            start, stop = 0, known[key].size
        try:
            return await self._remote.join(self._remote.fetch(_remote.join(self.location, key), start, stop))
        except _retry.NotThere as error:
            if known is not None:
                raise gone(key, self.location) from error
            if self.fills or self.supports_listing or key.rpartition("/")[2] in _DESCRIPTIONS:
                return None
            raise _zarr_chunks.may_be_lost(_remote.join(self.location, key)) from error

    def _listing_of(self, key):
        """Give the listing that would hold a chunk, None when there is none and for descriptions."""
        if key.rpartition("/")[2] in _DESCRIPTIONS:
            return None
        return next((keys for prefix, keys in self._known.items() if key.startswith(prefix)), None)

    async def list_prefix(self, prefix):
        found = await self._remote.join(self._remote.tree(_remote.join(self.location, prefix)))
        listed = {prefix + key: stat for key, stat in found.items()}
        self._known.setdefault(prefix, listed)  # what was there first must stay there
        for key in listed:
            yield key

    async def list_dir(self, prefix):
        for name in await self._remote.join(self._remote.names(_remote.join(self.location, prefix))):
            yield name

    async def stat(self, key):
        """Give size and ETag of an object, from a listing when there is one; None without the object."""
        known = self._listing_of(key)
        return await self.look(key) if known is None else known.get(key)

    async def look(self, key):
        """Ask for size and ETag of an object as it is now; None without it."""
        try:
            return await self._remote.join(self._remote.stat(_remote.join(self.location, key)))
        except _retry.NotThere:
            return None


class RemoteZip(Root):
    """A hierarchy in a zip file behind a URL: one request for the directory at its end, then one for each chunk."""

    def __init__(self, url):
        super().__init__(url)
        self._file = _places.open_bytes(url)
        self._opened = self._file.stat()
        try:
            with self._file.file() as file, zipfile.ZipFile(file) as archive:
                infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
                end = archive.start_dir
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise InputError(f"{url} is not a whole Zarr zip file ({error}); copy or write it again") from error
        stops = [info.header_offset for info in infos[1:]] + [end]
        self._members = {info.filename: (info, stop) for info, stop in zip(infos, stops, strict=True)}
        self._data = {}  # key -> first byte of a member that is read by ranges

    async def fetch(self, key, start=None, stop=None):
        if key not in self._members:
            return None
        info, end = self._members[key]
        if start is None or info.compress_type != zipfile.ZIP_STORED:
            body = await asyncio.to_thread(self._whole, info, end)
            return body if start is None else body[start:stop]
        if start < 0:
            start = max(0, info.file_size + start)
        stop = info.file_size if stop is None else min(stop, info.file_size)
        return await asyncio.to_thread(self._range, info, start, stop)

    async def listed(self):
        return self._members

    async def stat(self, key):
        """Give size and checksum of a member; None without it."""
        found = self._members.get(key)
        return found and _remote.Stat(found[0].file_size, f"{found[0].CRC:08x}")

    async def look(self, key):
        """Give the same while the file is the one that was opened."""
        now = await asyncio.to_thread(self._file.stat)
        return await self.stat(key) if now == self._opened else None

    def _whole(self, info, end):
        """Read a member with the header in front of it, whose length is told there."""
        held = self._file.read_at(info.header_offset, end - info.header_offset)
        low = _LOCAL_HEADER + sum(_NAME_LENGTHS.unpack_from(held, 26))
        body = held[low : low + info.compress_size]
        if info.compress_type == zipfile.ZIP_DEFLATED:
            body = self._inflated(info, body)
        elif info.compress_type != zipfile.ZIP_STORED:
            raise InputError(f"{self.location} is compressed by method {info.compress_type}; store or deflate members")
        if zlib.crc32(body) != info.CRC:
            raise InputError(f"{info.filename} in {self.location} does not match its checksum; copy the file again")
        return body

    def _inflated(self, info, body):
        """Decompress a member to the size that it claims, which its bytes must allow and the memory hold."""
        if info.file_size > len(body) * _MOST_DEFLATED:
            raise InputError(f"{info.filename} in {self.location} claims more than it can hold; copy the file again")
        if info.file_size > _memory():
            raise InputError(
                f"{info.filename} in {self.location} holds {info.file_size:,} bytes, more than the memory of this machine; write "
                "smaller chunks"
            )
        decompressor = zlib.decompressobj(-zlib.MAX_WBITS)
        found = decompressor.decompress(body, info.file_size + 1)
        if len(found) != info.file_size:
            raise InputError(f"{info.filename} in {self.location} is not of the size it claims; copy the file again")
        return found

    def _range(self, info, start, stop):
        if info.filename not in self._data:
            header = self._file.read_at(info.header_offset, _LOCAL_HEADER)
            self._data[info.filename] = info.header_offset + _LOCAL_HEADER + sum(_NAME_LENGTHS.unpack_from(header, 26))
        return self._file.read_at(self._data[info.filename] + start, stop - start)


def _memory():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
