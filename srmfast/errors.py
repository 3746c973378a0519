"""The errors a user meets: one line that states the rule, the value and the remedy."""

import importlib
import re

_END = r"(?=[;:,.)\]]*(?:[\s'\"]|$)|::)"  # of an address: not the marks behind it, nor a ::KEY
_USER = re.compile(r"(?<=://)[^/?#\s'\"]*@")
# What follows the path of HTTP, and parameters wherever they stand: behind a path with spaces, or of another service.
_QUERY = re.compile(rf"(https?://[^?#\s'\"]*)[?#][^\s'\"]*?{_END}|\?[\w.%-]+=[^\s'\"]*?{_END}", re.IGNORECASE)


def shown(text):
    """Return an address, or a text that names some, without what may be secret: user, password, query and fragment.

    Examples
    --------
    >>> shown("https://me:word@host/a.zarr?signature=abc::layer is gone")
    'https://host/a.zarr::layer is gone'
    """
    return _QUERY.sub(r"\1", _USER.sub("", text)) if "://" in text else text


def meant(word, known):
    """Return "; did you mean X?" for the known word that is closest to one that is not known, "" when none is close.

    Parameters
    ----------
    word : str
        What was given.
    known : iterable of str

    Examples
    --------
    >>> meant("Thomson:32", ["standard", "thompson"])
    '; did you mean thompson:32?'
    """
    import difflib

    word, names = str(word), {str(name).lower(): str(name) for name in known}
    cut = len(word) if any(":" in name for name in names) else (word + ":").index(":")
    close = difflib.get_close_matches(word[:cut].lower(), names, n=1, cutoff=0.65)
    return f"; did you mean {names[close[0]]}{word[cut:]}?" if close else ""


class SrmfastError(Exception):
    """Base of every error that srmfast raises on purpose; the CLI prints it as one line, without secrets of addresses."""

    def __init__(self, message):
        super().__init__(shown(message))


class InputError(SrmfastError, ValueError):
    """A value, file or combination of options that cannot be used as given."""


class OtherWidth(InputError):
    """The vectors of a basis are not as wide as the rows of a store."""


class MissingDependency(SrmfastError, ImportError):
    """An optional library is needed and not installed; the message holds the pip command."""


def require(module, *, purpose, extra=None):
    """Import an optional module or say which command installs it.

    Parameters
    ----------
    module : str
        Name of the module to import.
    purpose : str
        What needs it, as the subject of the message ("reading .h5").
    extra : str, optional
        The extra of srmfast that brings it; the module's own name when omitted.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    MissingDependency
        When the import fails, naming the pip command.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        target = f"'srmfast[{extra}]'" if extra else module.split(".")[0]
        raise MissingDependency(f"{purpose} needs {module}: pip install {target}") from error
