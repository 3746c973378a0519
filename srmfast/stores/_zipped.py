"""Zip files as containers: opened with one line for every damage, stored members found in place."""

import contextlib
import zipfile
import zlib

from srmfast.errors import InputError
from srmfast.sound import line
from srmfast.stores import _places


@contextlib.contextmanager
def open_archive(path, kind):
    """Open a zip file for reading; whatever is damaged in it ends as one line.

    Parameters
    ----------
    path : str
    kind : str
        What it should be (".npz"), for the message.

    Yields
    ------
    zipfile.ZipFile
    """
    try:
        with _places.open_bytes(path) as held, held.file() as file, zipfile.ZipFile(file) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = line(error)
        raise InputError(f"{path} is not a whole {kind} file ({reason}); copy or write it again") from error


def stored_offset(archive, info):
    """Find the first byte of a stored member: its local header has a length of its own."""
    archive.fp.seek(info.header_offset)
    local = archive.fp.read(30)
    return info.header_offset + 30 + int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
