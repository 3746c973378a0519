"""How the C library keeps memory that was freed; glibc only, elsewhere nothing happens."""

import contextlib

_ARENA_MAX, _MMAP_THRESHOLD = -8, -3  # of malloc.h
_LARGE = 1 << 20  # bytes


def share_heaps():
    """Let all threads share two heaps: each would get one of its own, and each keeps what was once needed."""
    _set(_ARENA_MAX, 2)


def return_freed():
    """Give the memory of large arrays back as soon as they are freed: slower, as every new one is fresh memory."""
    _set(_MMAP_THRESHOLD, _LARGE)


def _set(option, value):
    import ctypes

    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(option, value)
