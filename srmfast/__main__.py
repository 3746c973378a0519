"""Entry point of `srmfast` and `python -m srmfast`."""

import atexit
import contextlib
import ctypes
import gc
import sys

from srmfast import cli

__all__ = ["main"]

_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h


def main():
    """Run the command line as a whole process; return its exit code."""
    # What is imported stays to the end: looking for garbage in it takes a quarter of a short run.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    # Every thread would get a heap of its own from glibc, and each keeps what was once needed.
    with contextlib.suppress(AttributeError, OSError):  # other C libraries have no such option
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 2)
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
