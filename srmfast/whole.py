"""Files that are there whole or not at all."""

import contextlib
import os
import tempfile
from pathlib import Path


@contextlib.contextmanager
def whole_file(path):
    """Write a file beside `path`, flush it to the disk and move it in place; nothing is left of it on an error.

    Parameters
    ----------
    path : str or Path

    Yields
    ------
    binary file
    """
    path = Path(path)
    descriptor, wip = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".wip", dir=path.absolute().parent)
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), 0o666 & ~umask())  # a temporary file is private
            os.fsync(file.fileno())
        os.replace(wip, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(wip)
        raise
    sync_folder(path.absolute().parent)


def sync_folder(folder):
    """Flush the names in a folder to the disk, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def umask():
    """Return the permissions that new files do without."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
