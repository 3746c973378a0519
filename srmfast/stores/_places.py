"""Files and folders by their names, whether on a disk or behind a URL."""

import asyncio
import glob
import io
import os
import threading
import weakref
from collections import OrderedDict
from urllib.parse import urlsplit
from urllib.request import url2pathname

from srmfast.errors import InputError
from srmfast.stores import _remote, _retry

_BLOCK_BYTES = 256 << 10  # what a small read of a remote file fetches
_BLOCKS = 64  # of them are kept
_BUFFER_BYTES = 4 << 10  # a shorter read is served from so much


def is_url(path):
    """Tell whether a path names something remote."""
    return "://" in path


def plain(path):
    """Give the path that a ``file://`` URL stands for, others as they are."""
    return url2pathname(urlsplit(path).path) if path.lower().startswith("file://") else path


def has_magic(path):
    """Tell whether a path is a glob; an HTTP address never is, because nothing can be listed there."""
    return glob.has_magic(path) and not (is_url(path) and not _remote.of(_remote.scheme_of(path)).lists)


def is_file(path):
    """Tell whether there is such a file."""
    if not is_url(path):
        return os.path.isfile(path)
    remote = _remote.of(_remote.scheme_of(path))
    try:
        remote.wait(remote.stat(path))
    except _retry.NotThere:
        return False
    return True


def is_folder(path):
    """Tell whether there is such a folder; behind HTTP there is none that could be told."""
    return bool(names(path)) if is_url(path) else os.path.isdir(path)


def names(folder):
    """List the names in a folder, in no order."""
    if not is_url(folder):
        return os.listdir(folder)
    remote = _remote.of(_remote.scheme_of(folder))
    return remote.wait(remote.names(folder)) if remote.lists else []


def within(folder, name):
    """Give the path of a name in a folder."""
    return _remote.join(folder, name) if is_url(folder) else os.path.join(folder, name)


def matches(pattern):
    """List the paths that match a glob, in no order."""
    if not is_url(pattern):
        return glob.glob(pattern)
    remote = _remote.of(_remote.scheme_of(pattern))
    return remote.wait(remote.matches(pattern))


def head(path, nbytes):
    """Read the first bytes of a file, fewer where it is shorter."""
    if not is_url(path):
        with open(path, "rb") as file:
            return file.read(nbytes)
    with open_bytes(path) as file:
        return file.read_at(0, min(nbytes, file.size))


def open_bytes(path):
    """Open a file for reading at any place.

    Returns
    -------
    LocalBytes or RemoteBytes

    Raises
    ------
    InputError
        When a remote file is not there or may not be read.
    """
    return RemoteBytes(path) if is_url(path) else LocalBytes(os.open(path, os.O_RDONLY), path)


class LocalBytes:
    """A file on a disk; owns the descriptor.

    Attributes
    ----------
    size : int
        Bytes, when it was opened.
    remote : bool
    """

    remote = False

    def __init__(self, fd, location):
        self.location, self._fd = location, fd
        self._close = weakref.finalize(self, os.close, fd)
        self.size = self.stat().size

    def stat(self):
        """Give the size now; a disk keeps no identity of the content."""
        return _remote.Stat(os.fstat(self._fd).st_size, None)

    def read_at(self, offset, nbytes):
        """Read a range, shorter at the end of the file."""
        return os.pread(self._fd, nbytes, offset)

    def fill(self, view, offset):
        """Fill a writable view of bytes from `offset`."""
        done = 0
        # One call returns at most 2 GiB on Linux.
        while done < len(view):
            count = os.preadv(self._fd, [view[done:]], offset + done)
            if count <= 0:
                raise InputError(f"{self.location} became shorter while it was read; write the file again and restart")
            done += count

    def file(self):
        """Give a binary file that begins at the first byte; closing it leaves this open."""
        found = os.fdopen(os.dup(self._fd), "rb")
        found.seek(0)
        return found

    def close(self):
        """Release the descriptor; a second call does nothing."""
        self._close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


class RemoteBytes:
    """An object behind a URL, read by ranges."""

    remote = True

    def __init__(self, url):
        self.location = url
        self._remote = _remote.of(_remote.scheme_of(url))
        self.size = self.stat().size
        if self.size is None:
            raise InputError(f"{url} comes from a server that does not tell its size; download it first")

    def stat(self):
        """Give the size now, and the identity that the service keeps of the content, or None."""
        return self._remote.wait(self._remote.stat(self.location))

    def read_at(self, offset, nbytes):
        """Read a range, shorter at the end of the object."""
        stop = min(offset + nbytes, self.size)
        return self._remote.wait(self._remote.fetch(self.location, offset, stop)) if offset < stop else b""

    def read_many(self, ranges):
        """Read many (start, stop) side by side: (start, bytes) of each."""

        async def gather():
            return await asyncio.gather(*[self._remote.fetch(self.location, *each) for each in ranges])

        bodies = self._remote.wait(gather())
        return [(start, body) for (start, _), body in zip(ranges, bodies, strict=True)]

    def fill(self, view, offset):
        """Fill a writable view of bytes from `offset`."""
        if offset + len(view) > self.size:
            raise InputError(f"{self.location} became shorter while it was read; write the file again and restart")
        self._remote.wait(self._remote.fetch_into(view, self.location, offset))

    def file(self):
        """Give a binary file that begins at the first byte."""
        return _NamedReader(RangedFile(self), _BUFFER_BYTES)

    def close(self):
        """Nothing is held open."""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


class _NamedReader(io.BufferedReader):
    """A buffered file that libraries show by its URL; what will be read is told to `raw`."""

    def __repr__(self):
        return self.raw.location


class RangedFile(io.RawIOBase):
    """A seekable file over ranges: small reads come from blocks that are kept, long ones straight into the memory."""

    def __init__(self, source):
        self.location, self._source, self._at = source.location, source, 0
        self._held = []  # (offset, bytes) of ranges that will be asked for next
        self._blocks = OrderedDict()  # number -> bytes, least recently used first
        self._lock = threading.Lock()

    def readable(self):
        return True

    def seekable(self):
        return True

    def tell(self):
        return self._at

    def seek(self, offset, whence=io.SEEK_SET):
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._source.size}[whence]
        return self._at

    def readinto(self, buffer):
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._source.size - self._at))
        held = next(
            (each for each in self._held if each[0] <= self._at and self._at + count <= each[0] + len(each[1])), None
        )
        if held:
            low = self._at - held[0]
            view[:count] = held[1][low : low + count]
        elif count >= _BLOCK_BYTES:
            self._source.fill(view[:count], self._at)
        elif count:
            count = min(count, _BLOCK_BYTES - self._at % _BLOCK_BYTES)
            low = self._at % _BLOCK_BYTES
            view[:count] = self._block(self._at // _BLOCK_BYTES)[low : low + count]
        self._at += count
        return count

    def hold(self, ranges):
        """Fetch ranges, side by side, that will be read next; those held before are dropped.

        Parameters
        ----------
        ranges : iterable of (int, int)
            Offset and length.
        """
        joined = []
        for offset, nbytes in sorted(ranges):
            if (
                joined
                and offset - joined[-1][1] <= _remote.GAP_BYTES
                and offset + nbytes - joined[-1][0] <= _remote.PIECE_BYTES
            ):
                joined[-1][1] = max(joined[-1][1], offset + nbytes)
            else:
                joined.append([offset, offset + nbytes])
        self._held = self._source.read_many(joined)

    def _block(self, number):
        with self._lock:
            found = self._blocks.pop(number, None)
            if found is None:
                found = self._source.read_at(number * _BLOCK_BYTES, _BLOCK_BYTES)
            self._blocks[number] = found
            while len(self._blocks) > _BLOCKS:
                self._blocks.popitem(last=False)
            return found
