"""Objects behind a URL: their sizes, their bytes and their names, whatever the service."""

import asyncio
import functools
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from srmfast.errors import InputError, MissingDependency, require
from srmfast.stores import _retry

READERS = 8  # threads that wait for a network with profit, however many cores there are
AT_ONCE = 32  # requests under way
GAP_BYTES = 64 << 10  # ranges closer than this are fetched as one: another request costs more
PIECE_BYTES = 8 << 20  # a longer range is fetched in such pieces, side by side
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "http": "http", "https": "http"}
_under_way = set()  # what callers wait for: tasks of the event loop
_LIBRARIES = {"s3": "s3fs", "gcs": "gcsfs", "http": "aiohttp"}


class Stat(NamedTuple):
    """What is known of an object without reading it."""

    size: int | None
    etag: str | None


class Remote:
    """One service, such as S3. Requests run on one event loop, tried again by the rules of `_retry`.

    Attributes
    ----------
    lists : bool
        Whether names can be listed; HTTP cannot.
    """

    def __init__(self, scheme):
        self.lists = scheme not in ("http", "https")
        self._fs = _filesystem(scheme)
        from fsspec.asyn import get_loop

        self._loop = get_loop()
        self._slots = asyncio.Semaphore(AT_ONCE)

    def wait(self, coroutine):
        """Run a coroutine to its end, from any thread but the event loop's own."""
        from fsspec.asyn import sync

        return sync(self._loop, _run, coroutine)

    async def join(self, coroutine):
        """Await a coroutine from another event loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_run(coroutine), self._loop))

    async def fetch(self, url, start=None, stop=None):
        """Read an object or the range [start, stop) of it; a negative start alone means its last bytes.

        Raises
        ------
        InputError
            `_retry.NotThere` when there is no such object.
        """
        wanted = None if start is None or stop is None else stop - start

        async def request():
            async with self._slots:
                body = await self._call("cat_file", url, start=start, end=stop)
            if wanted is not None and len(body) < wanted:
                raise _retry.ShortBody(f"{len(body)} of {wanted} bytes")
            return body[:wanted]

        return b"" if wanted == 0 else await _retry.persist(request, url, wanted)

    async def fetch_into(self, view, url, start):
        """Fill a writable view of bytes from an object, long ranges in pieces side by side."""

        async def piece(low):
            high = min(low + PIECE_BYTES, len(view))
            view[low:high] = await self.fetch(url, start + low, start + high)

        await asyncio.gather(*[piece(low) for low in range(0, len(view), PIECE_BYTES)])

    async def stat(self, url):
        """Ask for size and ETag of an object; `_retry.NotThere` for a folder too."""

        async def request():
            found = await self._call("info", url)
            if found.get("type") == "directory":
                raise FileNotFoundError(url)
            return _stat(found)

        return await _retry.persist(request, url, 0)

    async def tree(self, url):
        """List every object below a folder: path from there -> Stat."""
        top = self._fs._strip_protocol(url).rstrip("/") + "/"
        found = await _retry.persist(lambda: self._call("find", url.rstrip("/") + "/", detail=True), url)
        return {name.removeprefix(top): _stat(info) for name, info in found.items() if name.startswith(top)}

    async def names(self, url):
        """List the names directly in a folder; empty when there is no folder."""
        top = self._fs._strip_protocol(url).rstrip("/") + "/"
        try:
            found = await _retry.persist(lambda: self._call("ls", url.rstrip("/") + "/", detail=False), url)
        except _retry.NotThere:
            return []
        names = {name.rstrip("/").removeprefix(top) for name in found if name.startswith(top)}
        return sorted(names - {""})

    async def matches(self, pattern):
        """List the URLs that match a glob."""
        scheme = pattern.partition("://")[0]
        found = await _retry.persist(lambda: self._call("glob", pattern), pattern)
        return [f"{scheme}://{name.removeprefix(f'{scheme}://').lstrip('/')}" for name in found]

    async def _call(self, name, *args, **options):
        if self._fs.async_impl:
            return await getattr(self._fs, f"_{name}")(*args, **options)
        return await asyncio.to_thread(getattr(self._fs, name), *args, **options)


async def _run(coroutine):
    """Await what a caller waits for, until it is abandoned."""
    task = asyncio.current_task()
    _under_way.add(task)
    try:
        return await coroutine
    except asyncio.CancelledError:
        raise InputError("reading was interrupted; run again") from None
    finally:
        _under_way.discard(task)


def abandon():
    """End every request under way, and every pause before another try: whoever waits for one gets an error at once."""
    for task in list(_under_way):
        task.get_loop().call_soon_threadsafe(task.cancel)


@functools.cache
def of(scheme):
    """Give the one `Remote` of a scheme.

    Raises
    ------
    MissingDependency
        Naming the command that installs what it needs.
    InputError
        For a scheme that nothing reads.
    """
    return Remote(scheme)


def scheme_of(url):
    """Give the scheme of a URL."""
    return url.partition("://")[0].lower()


def join(url, key):
    """Append a path to a URL; the query of a signed HTTP address stays at its end."""
    if scheme_of(url) not in ("http", "https"):
        return f"{url.rstrip('/')}/{key}"
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{key}"))


def path_of(url):
    """Give what of a URL names a file: without the query and fragment of an HTTP address."""
    return urlunsplit(urlsplit(url)._replace(query="", fragment="")) if scheme_of(url) in ("http", "https") else url


def _stat(info):
    etag = info.get("ETag") or info.get("etag")
    return Stat(info.get("size"), etag.strip('"') if etag else None)


def _filesystem(scheme):
    """Make the file system of a scheme; its own retries are off, so that ours are counted."""
    extra = _EXTRAS.get(scheme)
    fsspec = require("fsspec", purpose=f"reading {scheme}://", extra=extra or "http")
    if extra:
        library = require(_LIBRARIES[extra], purpose=f"reading {scheme}://", extra=extra)
    fresh = {"skip_instance_cache": True, "use_listings_cache": False}
    stall = _retry.STALL_SECONDS
    if extra == "http":
        from srmfast.stores._http import Http

        return Http(stall, **fresh)
    if extra == "s3":
        own = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
        ours = {"read_timeout": stall, "connect_timeout": stall, "retries": {"total_max_attempts": 1}}
        found = library.S3FileSystem(config_kwargs=ours | own, **fresh)
        found.retries = 1
        return found
    if extra == "gcs":
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=stall, sock_read=stall)
        plain = library.core.GCSFileSystem  # the one that gcsfs prefers asks for the kind of every bucket first
        found = plain(requests_timeout=timeout, **fresh)
        found._request = functools.partial(type(found)._request.__wrapped__, found)
        return found
    try:
        return fsspec.filesystem(scheme, **fresh)
    except ImportError as error:
        known = require("fsspec.registry", purpose=f"reading {scheme}://").known_implementations
        needed = known.get(scheme, {}).get("class", scheme).partition(".")[0]
        raise MissingDependency(f"reading {scheme}:// needs {needed}: pip install {needed}") from error
    except ValueError as error:
        raise InputError(
            f"{scheme}:// is of an unknown kind; known are s3://, gs://, https://, file:// and what fsspec reads"
        ) from error
