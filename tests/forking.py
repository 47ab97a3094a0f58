"""Child processes that cost a fork each, and not the start and the imports of an interpreter."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

from children import GUARD, ROOT, child_environment

#: Seconds in which a program that hangs writes the stacks of its threads.
STACKS_TIME = 10


class ForkingHost:
    """A process that has imported the SDK, and runs each program in a fork of itself.

    Args:
        executable: The interpreter.
        modules: What it imports too.
    """

    def __init__(self, executable: str = sys.executable, modules: tuple[str, ...] = ()) -> None:
        environment = child_environment()
        environment.pop("COVERAGE_PROCESS_CONFIG", None)
        environment["PYTHONPATH"] += os.pathsep + str(ROOT / "tests")
        self._host = subprocess.Popen(
            [executable, str(ROOT / "tests" / "child" / "host.py"), *modules],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(
        self, program: str, *, may_depart: tuple[str, ...] = (), **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program in its own process until it ends."""
        stdin: Any = self._host.stdin
        stdout: Any = self._host.stdout
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            out.touch()
            err.touch()
            request = {
                "program": textwrap.dedent(program),
                "folder": os.getcwd(),
                "environment": child_environment(*may_depart, **variables),
                "out": str(out),
                "err": str(err),
            }
            stdin.write(f"{json.dumps(request)}\n")
            stdin.flush()
            if not select.select([stdout], [], [], GUARD)[0]:
                os.killpg(self._host.pid, signal.SIGVTALRM)
                select.select([stdout], [], [], STACKS_TIME)
                os.killpg(self._host.pid, signal.SIGKILL)
            status = stdout.readline()
            assert status, f"the host has ended: {err.read_text('utf-8')}"
            return subprocess.CompletedProcess(
                program, int(status), out.read_text("utf-8"), err.read_text("utf-8")
            )

    def close(self) -> None:
        self._host.communicate(timeout=GUARD)
