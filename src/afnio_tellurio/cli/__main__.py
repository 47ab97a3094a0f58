"""Runs the command as `python -m afnio_tellurio.cli`."""

import sys

from afnio_tellurio.cli import main

sys.exit(main())
