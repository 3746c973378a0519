"""Entry point of `srmfast` and `python -m srmfast`."""

import sys

from srmfast.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
