"""The environment of the child processes of tests."""

from __future__ import annotations

import os
import re
from pathlib import Path

import exchanges

ROOT = Path(__file__).parent.parent
RUN_LINE = re.compile(
    r"afnio-tellurio: (Started run \S+|Run \S+ (\x1b\[\d+m)?[a-z]+(\x1b\[0m)?) in .* View: "
)
#: Python with afnio, in an environment of its own.
AFNIO_PYTHON = ROOT / ".cache" / "afnio" / "bin" / "python"
#: Python with the frameworks of our integrations, in an environment of its own.
INTEGRATIONS_PYTHON = ROOT / ".cache" / "integrations" / "bin" / "python"
SOURCES = [ROOT / "src", ROOT / "generated"]
#: Seconds after which waiting for another process or thread fails: no machine is that busy.
GUARD = 600
#: Children compile their imports once, and write no bytecode next to the sources.
BYTECODE = ROOT / ".cache" / "bytecode"


def complaints(written: str) -> str:
    """A child's stderr without the lines at a run's start and end."""
    lines = written.splitlines(keepends=True)
    return "".join(line for line in lines if not RUN_LINE.match(line))


def child_environment(*may_depart: str, **variables: str) -> dict[str, str]:
    """The environment of a child process whose exchanges are checked."""
    paths = [str(ROOT / "tests" / "child"), *map(str, SOURCES)]
    inherited = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONPYCACHEPREFIX": str(BYTECODE),
        # From Python 3.12 on, which warns of each fork of a process with threads.
        "PYTHONWARNINGS": "ignore:This process (pid=:DeprecationWarning",
        exchanges.MAY_DEPART: ",".join(may_depart),
        **variables,
    }
