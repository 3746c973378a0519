"""A file or folder as a recogniser sees it: listed once, small descriptions read, names held inside it."""

import contextlib
import functools
import json
import os

from srmfast.errors import InputError, MissingDependency
from srmfast.sound import line
from srmfast.stores import _hdf5, _places, _registry, _shards

DESCRIPTION_BYTES = 16 << 20  # of a JSON file that describes a layout
MOST_FOLDERS = 10_000  # in a folder; names without a known suffix beyond that are files of some other kind
MOST_REMOTE = 100  # of them are asked for behind a URL


class Site:
    """Where a path leads.

    Parameters
    ----------
    path : str
        Of an existing file or folder.
    kind : Format or None
        What the registry makes of it; None for a folder that is no store by itself.

    Attributes
    ----------
    path : str
    kind : Format or None
    """

    def __init__(self, path, kind=None):
        self.path, self.kind = path, kind

    @functools.cached_property
    def names(self):
        """The names in the folder, listed once."""
        return frozenset(_places.names(self.path))

    @functools.cached_property
    def _by_suffix(self):
        found = {}
        for name in self.names:
            if not name.startswith("."):
                found.setdefault(os.path.splitext(name)[1].lower(), []).append(name)
        return found

    def some(self, *suffixes):
        """Give one name with a suffix, always the same, or None."""
        return next((min(self._by_suffix[suffix]) for suffix in suffixes if suffix in self._by_suffix), None)

    def files(self, *suffixes):
        """List the names with one of the suffixes in natural order."""
        return sorted((name for s in suffixes for name in self._by_suffix.get(s, [])), key=_shards.natural_key)

    def within(self, name):
        """Give the path of a plain name in the folder."""
        return _places.within(self.path, name)

    def paths(self, *suffixes, every=False):
        """Give the path of a file, or of one or all files of a folder, that ends in one of the suffixes."""
        if self.kind is not None:
            return [self.path] if self.path.lower().endswith(suffixes) else []
        if every:
            return [self.within(name) for name in self.files(*suffixes)]
        name = self.some(*suffixes)
        return [] if name is None else [self.within(name)]

    @functools.cached_property
    def folders(self):
        """The folders in it, in natural order: name -> Site; {} where too many names may be some."""
        unknown = [held for suffix, held in self._by_suffix.items() if _registry.by_suffix(f"x{suffix}") is None]
        names = [name for held in unknown for name in held]
        if len(names) > (MOST_REMOTE if _places.is_url(self.path) else MOST_FOLDERS):
            return {}
        names = sorted((name for name in names if _places.is_folder(self.within(name))), key=_shards.natural_key)
        return {name: Site(self.within(name)) for name in names}

    def parts(self, names):
        """Give the paths of names that a manifest lists.

        Raises
        ------
        InputError
            For one that leads out of the folder or is not there.
        """
        for name in names:
            plain(name, self.path)
            if name not in self.names:
                raise InputError(f"{self.path} lacks {name}, which its manifest lists; copy it there")
        return [self.within(name) for name in names]

    def json(self, name):
        """Read a JSON file of the folder.

        Returns
        -------
        dict, list or None
            None without such a file.

        Raises
        ------
        InputError
            When it is no JSON, or longer than any description is.
        """
        if name not in self.names:
            return None
        path = self.within(name)
        with _places.open_bytes(path) as file:
            if file.size > DESCRIPTION_BYTES:
                raise InputError(
                    f"{path} holds {file.size} bytes, more than a description has; name the array by ::KEY"
                )
            text = file.read_at(0, file.size)
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is not JSON; wait for its writer, or copy it again") from error

    def arrays(self, path=None):
        """List the arrays of a file, from its header: name -> (shape, dtype as text); {} of one that cannot be read."""
        if path not in self._listed:
            self._listed[path] = _arrays(self.path if path is None else path)
        return self._listed[path]

    @functools.cached_property
    def _listed(self):
        return {}

    @functools.cached_property
    def groups(self):
        """The names at the top of an HDF5 file; none of one that cannot be read."""
        try:
            with hdf5(self.path) as file:
                return set(file)
        except (InputError, MissingDependency):  # whoever opens it says why
            return set()


@contextlib.contextmanager
def hdf5(path):
    """Open an HDF5 file; what a damaged one makes h5py raise becomes one line."""
    with one_line(path), contextlib.closing(_hdf5.open_file(path)) as file:
        yield file


@contextlib.contextmanager
def one_line(path):
    """Turn what h5py raises over a damaged file into one line."""
    try:
        yield
    except (OSError, RuntimeError, KeyError) as error:
        raise InputError(
            f"{path} cannot be read ({line(error)}); the file is damaged, copy or write it again"
        ) from error


def plain(name, location):
    """Refuse a name of a manifest that is more than a name."""
    if not isinstance(name, str) or not name or name in (".", "..") or os.path.basename(name) != name or "\\" in name:
        raise InputError(f"{location} lists {name!r:.90}, which is no name of a file in it; write the manifest again")
    return name


def _arrays(path):
    kind = _registry.by_suffix(path)
    if kind is None or not kind.lists:
        return {}
    try:
        return kind.list_arrays(path)
    except (InputError, MissingDependency, OSError):  # whoever opens it says why
        return {}
