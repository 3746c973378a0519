"""HTTP as a file system that can be relied on: a range is a range, and one request tells size and identity."""

import aiohttp
from fsspec.implementations.http import HTTPFileSystem

from srmfast.stores._retry import RangeIgnored


class Http(HTTPFileSystem):
    """Reads ranges of files; a server that sends the whole file instead is found out before the body arrives."""

    def __init__(self, stall, **options):
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=stall, sock_read=stall)
        super().__init__(client_kwargs={"timeout": timeout, "trust_env": True}, **options)

    async def _cat_file(self, url, start=None, end=None, **kwargs):
        async with await self._get(url, start, end) as answer:
            return await answer.read()

    async def _info(self, url, **kwargs):
        """Ask for the first byte: an address signed for reading answers that, but no HEAD."""
        async with await self._get(url, 0, 1) as answer:
            await answer.read()
            size = answer.headers["Content-Range"].rpartition("/")[2]
            found = {"name": url, "type": "file", "ETag": answer.headers.get("ETag")}
            return found | {"size": int(size) if size.isdecimal() else None}

    async def _get(self, url, start, end):
        headers = dict(self.kwargs.get("headers") or {}) | {"Accept-Encoding": "identity"}
        if start is not None:
            headers["Range"] = f"bytes={start}" if start < 0 else f"bytes={start}-{'' if end is None else end - 1}"
        session = await self.set_session()
        answer = await session.get(self.encode_url(url), headers=headers)
        try:
            self._raise_not_found_for_status(answer, url)
            if start is not None and answer.status != 206:
                raise RangeIgnored(url)
        except BaseException:
            answer.close()
            raise
        return answer
