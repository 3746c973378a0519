"""Entry point of `srmfast` and `python -m srmfast`."""

import atexit
import gc
import sys

from srmfast import cli

__all__ = ["main"]


def main():
    """Run the command line as a whole process; return its exit code."""
    # What is imported stays to the end: looking for garbage in it takes a quarter of a short run.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
