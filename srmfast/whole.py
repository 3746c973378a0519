"""Files that are there whole or not at all."""

import contextlib
import fcntl
import glob
import os
import shutil
import tempfile
from pathlib import Path

_LOCKED = ".locked.wip"  # end of the names of folders whose writer holds their lock


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


def move_in(wip, path):
    """Put a new folder in place of an old one, which is deleted last and comes back if anything fails."""
    wip.chmod(0o777 & ~umask())  # a temporary folder is private
    if not path.exists():
        wip.rename(path)
        return
    aside = beside(path)  # an empty folder, which a rename replaces
    path.rename(aside)
    try:
        wip.rename(path)
    except BaseException:
        aside.rename(path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def beside(path):
    """Make a folder of its own beside the one to be: runs that write to one place do not meet."""
    return Path(tempfile.mkdtemp(prefix=f"{path.name}.", suffix=".wip", dir=path.absolute().parent))


@contextlib.contextmanager
def sole_folder(path):
    """Make a folder of its own beside the one to be, and keep others away while it is written.

    What killed writers have left there is removed. On a file system without locks neither is done.

    Parameters
    ----------
    path : Path

    Yields
    ------
    Path
        Removed in the end if it is still there.

    Raises
    ------
    BlockingIOError
        Another process is writing the same.
    """
    held = []
    _remove_dead(path)
    wip = Path(tempfile.mkdtemp(prefix=f"{path.name}.", suffix=_LOCKED, dir=path.absolute().parent))
    try:
        held.append(os.open(wip, os.O_RDONLY))
        with contextlib.suppress(OSError):
            fcntl.flock(held[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove_dead(path, but=wip)  # of two that begin at once, none goes on unseen
        yield wip
    finally:
        shutil.rmtree(wip, ignore_errors=True)
        for descriptor in held:
            os.close(descriptor)


def _remove_dead(path, but=None):
    for other in path.absolute().parent.glob(f"{glob.escape(path.name)}.*{_LOCKED}"):
        if other == but:
            continue
        try:
            descriptor = os.open(other, os.O_RDONLY)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(other, ignore_errors=True)
        except BlockingIOError:
            raise
        except OSError:
            continue
        finally:
            os.close(descriptor)


def sweep(path):
    """Remove what killed writers of `path` have left beside it; nobody else may be writing it."""
    path = Path(path)
    for left in path.absolute().parent.glob(f"{glob.escape(path.name)}.*.wip"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


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
