"""The errors a user meets: one line that states the rule, the value and the remedy."""

import importlib


class SrmfastError(Exception):
    """Base of every error that srmfast raises on purpose; the CLI prints it as one line."""


class InputError(SrmfastError, ValueError):
    """A value, file or combination of options that cannot be used as given."""


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
