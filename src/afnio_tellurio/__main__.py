"""Runs the command as `python -m afnio_tellurio`."""

import sys

from afnio_tellurio.cli import main

if __name__ == "__main__":
    sys.exit(main())
