"""Entry point of `srmfast` and `python -m srmfast`."""

import atexit
import gc
import os
import sys

from srmfast import cli

__all__ = ["main"]


def main():
    """Run the command line as a whole process; return its exit code."""
    # What is imported stays to the end: looking for garbage in it takes a quarter of a short run.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    code = cli.main()
    if code == cli.INTERRUPTED:
        # Libraries that were interrupted in the midst of a call, or of their import, may not survive an orderly end.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
