"""Requests to a remote store: tried again while there is hope, one line when there is none."""

import asyncio
import os
import random

from srmfast.errors import InputError
from srmfast.sound import line

TRIES = 6  # of one request; they span about 15 seconds, beside the time that the requests themselves take
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds before the second try, and before any
STALL_SECONDS = float(os.environ.get("SRMFAST_REMOTE_TIMEOUT", "60"))  # without a byte, until a request is given up
_SLOWEST = 128 << 10  # bytes a second that a request may be as slow as, where the library has no timeout of its own
_NETWORK = ("aiohttp", "aiobotocore", "botocore", "requests", "urllib3", "httpx", "httpcore", "google", "ssl", "socket")
_CREDENTIALS = ("Credential", "SSO", "TokenRetrieval", "ProfileNotFound", "RefreshError")
_BROKEN_OFF = ("PayloadError", "IncompleteRead", "ContentLengthError")
_FORBIDDEN = (401, 403)
_WORTH_ANOTHER_TRY = (408, 425, 429)


class ShortBody(Exception):
    """An answer held fewer bytes than were asked for."""


class RangeIgnored(Exception):
    """A server sent the whole object where a range of it was asked for."""


class NotThere(InputError):
    """The remote object does not exist."""


async def persist(request, url, nbytes=None):
    """Make a request, again with growing pauses after faults that may pass.

    Parameters
    ----------
    request : callable
        Returns an awaitable; called anew for every try.
    url : str
        What is asked for, named in errors.
    nbytes : int, optional
        Size of the answer, to tell a slow answer from none.

    Raises
    ------
    NotThere
        The object does not exist.
    InputError
        Access is refused, the request is wrong, or every try failed: one line with what happened.
    """
    limit = None if nbytes is None else STALL_SECONDS + nbytes / _SLOWEST
    for turn in range(TRIES):
        if turn:  # the jitter keeps many readers from asking all at once again
            await asyncio.sleep(min(LONGEST_WAIT, FIRST_WAIT * 2 ** (turn - 1)) * random.uniform(0.5, 1.0))
        try:
            return await asyncio.wait_for(request(), limit)
        except InputError:
            raise
        except Exception as error:
            happened, last = _diagnose(error, url), error
    raise InputError(
        f"{url} cannot be read: {happened}; tried {TRIES} times; check the network and the server, then run again"
    ) from last


def _diagnose(error, url):
    """Say what happened if another try may help, or raise the one line if not."""
    names = [type(each).__name__ for each in _chain(error)]
    if isinstance(error, ShortBody) or any(word in name for name in names for word in _BROKEN_OFF):
        return f"the answer ended early ({line(error)})"
    status = _status(error)
    if any(word in name for name in names for word in _CREDENTIALS):
        raise InputError(
            f"{url} cannot be read without credentials ({line(error)}); {_sign_in(url)}, or check that it is public"
        ) from error
    if status in _FORBIDDEN or isinstance(error, PermissionError) or line(error).startswith("Forbidden"):
        raise InputError(
            f"{url} may not be read: access is denied ({status or 403}); {_sign_in(url)}, or check bucket and path"
        ) from error
    if status == 404 or isinstance(error, FileNotFoundError):
        raise NotThere(f"{url} does not exist (404); check the path") from error
    if isinstance(error, RangeIgnored):
        raise InputError(
            f"{url} comes from a server that ignores byte ranges, so that every read would fetch the whole file; "
            "download it first"
        ) from error
    if status is not None and status < 500 and status not in _WORTH_ANOTHER_TRY and "RequestTimeout" not in str(error):
        raise InputError(f"{url} cannot be read: the server answered {status} ({line(error)})") from error
    if status is not None:
        return f"the server answered {status}"
    if any("Timeout" in name for name in names):
        return f"nothing arrived for {STALL_SECONDS:g} s"
    if any("Certificate" in name or "SSLError" in name for name in names):
        raise InputError(f"{url} cannot be read: its certificate is not trusted ({line(error)})") from error
    modules = [type(each).__module__.partition(".")[0] for each in _chain(error)]
    if any(isinstance(each, OSError) for each in _chain(error)) or any(module in _NETWORK for module in modules):
        return f"the connection failed ({line(error)})"
    raise error


def _chain(error):
    """Yield an error and what caused it."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _status(error):
    """Find the HTTP status that any of the client libraries left in an error, or None."""
    for each in _chain(error):
        response = getattr(each, "response", None)
        if isinstance(response, dict):  # botocore
            found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        else:
            found = getattr(response, "status_code", None) or getattr(each, "status", None)
            found = found or getattr(each, "code", None)
        if str(found).isdecimal() and 100 <= int(found) < 600:
            return int(found)
    return None


def _sign_in(url):
    scheme = url.partition("://")[0]
    if scheme in ("s3", "s3a"):
        return (
            "set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or FSSPEC_S3_ANON=true for a public bucket"
        )
    if scheme in ("gs", "gcs"):
        return "run: gcloud auth application-default login, or set FSSPEC_GS_TOKEN=anon for a public bucket"
    return "give an address that needs no login, such as a signed one"
