"""The environment of the child processes of tests."""

from __future__ import annotations

import os
from pathlib import Path

import exchanges

ROOT = Path(__file__).parent.parent
SOURCES = [ROOT / "src", ROOT / "generated"]


def child_environment(*may_depart: str, **variables: str) -> dict[str, str]:
    """The environment of a child process whose exchanges are checked."""
    paths = [str(ROOT / "tests" / "child"), *map(str, SOURCES)]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "1",
        exchanges.MAY_DEPART: ",".join(may_depart),
        **variables,
    }
