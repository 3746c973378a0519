"""The stores of a run: those given, and in place of a pattern each store that it stands for."""

import os
from dataclasses import dataclass
from pathlib import Path

from srmfast.engine.events import StoresFound
from srmfast.errors import InputError
from srmfast.stores import several_of


@dataclass(frozen=True)
class Given:
    """One store of a run, not yet open.

    Attributes
    ----------
    name : str
        Empty to take its own.
    source : Store, array or path
    options : dict
        What it is opened with.
    ending : str
        What is put behind its own name, "" for nothing.
    found : bool
        Whether a pattern stands for it: one that is of another width than a basis is left out.
    """

    name: str
    source: object
    options: dict
    ending: str = ""
    found: bool = False

    @property
    def path(self):
        """The path as it is found from any folder, a store is never a key; None for arrays and open stores."""
        if not isinstance(self.source, (str, Path)):
            return None
        path, mark, key = str(self.source).partition("::")
        return (path if "://" in path else os.path.abspath(path)) + mark + key

    def named(self, store):
        """Return the name of the group of the result."""
        return self.name or f"{store.name}{self.ending}"


def each_store(stores, request, on_event, *, single=False):
    """Put, in place of a pattern, each store that it stands for: members are read in turn.

    Parameters
    ----------
    stores : sequence of (name, Store, array or path)
    request : Request
    on_event : callable
        Receives `StoresFound`.
    single : bool
        Refuse a pattern: one store is needed.

    Returns
    -------
    list of Given
    """
    found, options = [], request.store_options
    for name, source in stores:
        several = several_of(source, options)
        if several is None:
            found.append(Given(name, source, options))
            continue
        if single:
            raise InputError(
                f"one store is needed here, and {several.pattern} stands for {len(several.parts)} of them; name one, or use "
                "srmfast run (run_many)"
            )
        on_event(StoresFound(several.pattern, several.names, several.left_out, several.computed))
        for part in several.parts:
            own = "." + part.name.strip("/").replace("/", ".") if part.name else ""
            stem = own if name or part.source is source else ""  # the key of a path is in the name of its store already
            found.append(Given(name and name + own, part.source, options | {"index": part.index}, stem, True))
    return found
