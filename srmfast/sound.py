"""The one door through which a library's complaints about a damaged file leave: as one line."""

import contextlib

from srmfast.errors import InputError, SrmfastError, shown

_SHOWN = 200  # characters of a library's message


@contextlib.contextmanager
def sound(location, *, otherwise="not what its name says: copy or write it again"):
    """Turn whatever a library raises over damaged data into one line; errors that say more pass.

    Parameters
    ----------
    location : str
        What is being read.
    otherwise : str
        What it is if it is not damaged, and what to do.

    Raises
    ------
    InputError
        In place of any error but those of srmfast, of the operating system, and of memory.
    """
    try:
        yield
    except (SrmfastError, OSError, MemoryError):
        raise
    except Exception as error:
        raise InputError(
            f"{location} cannot be read ({type(error).__name__}: {line(error)}); it is damaged, or {otherwise}"
        ) from error


def line(error):
    """Say what a library complains about in one line, its kind where it says nothing."""
    text = " ".join(shown(str(error)).split()) or type(error).__name__
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
