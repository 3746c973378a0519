"""What one file format must give: an n-dimensional array that can be read by rectangles."""

import abc
import math

from srmfast.errors import InputError, shown


class Source(abc.ABC):
    """One n-dimensional array in some format.

    A format implements this and nothing else; `srmfast.stores.Store` makes rows and features of it. A
    source never changes after construction and may be read any number of times, by up to `readers` threads
    at once.

    Attributes
    ----------
    format : str
        Name shown to the user ("npy").
    location : str
        Path and key, or a description, shown in errors and kept in results: an address without its secrets.
    shape : tuple of int
        Every axis of the stored array.
    dtype : numpy.dtype
        Type of what `read` returns, native byte order (uint16 for bfloat16).
    dtype_name : str
        Name of the stored type, one of `srmfast.stores._dtypes.NAMES`.
    chunks : tuple of int or None
        Smallest rectangle that is read and decoded as a whole (the shard of a sharded Zarr); None without
        one.
    dims : tuple of str or None
        Names of the axes; () when the format tells none.
    working_bytes : int
        What one call of `read` holds beside its result and a decoded chunk.
    readers : int
        Number of threads that may call `read` at once with profit.
    remote : bool
        Whether reading waits for a network rather than for a core.
    computes : bool
        Whether reading is the work: values are computed, by as many readers as there are cores.
    held_bytes : int
        What is held while the source is open.
    """

    format = "array"
    shape = ()
    dtype = None
    dtype_name = ""
    chunks = None
    dims = ()
    working_bytes = 0
    readers = 1
    remote = False
    computes = False
    held_bytes = 0

    _location = "array"

    @property
    def location(self):
        return self._location

    @location.setter
    def location(self, text):
        self._location = shown(str(text))

    @abc.abstractmethod
    def read(self, selection):
        """Read one rectangle.

        Parameters
        ----------
        selection : tuple of int or slice
            One for every axis, with explicit in-range bounds and step 1. An integer drops its axis.

        Returns
        -------
        numpy.ndarray
            Native-endian, any memory order; it may be a view of the data, so callers never write into it.

        Raises
        ------
        InputError
            When the data cannot be read or decoded.
        """

    @abc.abstractmethod
    def fingerprint_parts(self):
        """Identify the content quickly.

        Returns
        -------
        dict
            ``size`` (bytes), ``header`` (digest of the format's own description) and ``slices`` (digest of
            64 sampled slices). Independent of the place and of the time of modification.
        """

    def fingerprint_again(self):
        """Identify the content anew, for comparing: nothing that was known of it may be used."""
        return self.fingerprint_parts()

    def segments(self, axis):
        """Give the stretches of an axis in which chunks begin anew: parts that are joined there.

        Returns
        -------
        list of (int, tuple of int or None)
            Length and chunks of each.
        """
        return [(self.shape[axis], self.chunks)]

    def content(self):
        """Hash the whole content where that is cheap, in memory; "" elsewhere."""
        return ""

    def missing(self):
        """Give the rectangles that the store does not hold and would read as a fill value.

        Returns
        -------
        (m, rank, 2) int64 array or None
            [start, stop) on every axis; None when the format cannot lack a part.
        """
        return None

    def missing_keys(self, limit=5):
        """Name up to `limit` objects that are not there, for an error message."""
        return []

    def fill_missing(self):  # noqa: B027 - where missing parts are known beforehand, reading fills them anyway
        """Let parts that do not exist read as the fill value instead of being an error."""

    def describe(self):
        """Give details of the format (compressor, memory order, …) as a JSON-able dict."""
        return {}

    def notes(self):
        """Give one line for everything that a user should know: conversions that `read` makes, what cannot be told."""
        return []

    def advice(self):
        """Give the command that stores this array with whole rows in a chunk; "" when the format has none."""
        return ""

    def siblings(self):
        """List the arrays of the same container: name -> (shape, dtype as text)."""
        return {}

    def sibling(self, key):
        """Load another array of the same container whole.

        Raises
        ------
        InputError
            When there is none of that name, listing what there is.
        """
        raise InputError(f"{self.location} is a single array and has no {key!r} beside it; give a file, or PATH::KEY")

    def close(self):  # noqa: B027 - most formats hold nothing open
        """Release files; a second call does nothing."""

    @property
    def nbytes(self):
        """Decoded size, bytes."""
        return math.prod(self.shape) * self.dtype.itemsize
