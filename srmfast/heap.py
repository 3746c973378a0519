"""How the C library keeps memory that was freed; glibc only, elsewhere nothing happens."""

import contextlib

_ARENA_MAX, _MMAP_THRESHOLD = -8, -3  # of malloc.h
_LARGE = 1 << 20  # bytes
KEPT_OF_MODELS = 3  # of what a model's tensors take at once, so many times is kept when their sizes vary
_KEPT = 4  # pieces of the size that is read at once, which may be kept of what was freed


def share_heaps():
    """Let all threads share two heaps: each would get one of its own, and each keeps what was once needed."""
    _set(_ARENA_MAX, 2)


def fit(needed, piece, limit):
    """Give the memory of large arrays back as soon as they are freed, if the limit leaves no room to keep it.

    That is slower, as every new array is fresh memory.

    Parameters
    ----------
    needed, piece, limit : int
        Bytes that are planned, that are read at once, and that there are.
    """
    if needed + _KEPT * piece > limit:
        give_back()


def give_back():
    """Give the memory of large arrays back as soon as they are freed: a model makes many, of sizes that never fit the last.

    It takes about two thirds more processor time of a model.
    """
    _set(_MMAP_THRESHOLD, _LARGE)


def _set(option, value):
    import ctypes

    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(option, value)
