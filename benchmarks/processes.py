"""Runs the workload of a tool in a fresh process and a fresh directory, and measures it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from environments import environment_of, python_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from environments import Tool

WORKLOAD = Path(__file__).resolve().parent / "workload.py"
#: Seconds after which a process counts as hung, and is killed.
PATIENCE = 900.0
#: Seconds that a tool's own helper processes have to end after it.
HELPERS_END = 15.0
#: `ru_maxrss` counts bytes on macOS and KiB elsewhere.
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class WorkloadError(Exception):
    """A workload failed."""


@dataclass(frozen=True)
class Finished:
    """A process that has ended.

    Attributes:
        started_at: The time just before its start, in nanoseconds since 1970.
        ended_at: The time just after its end.
        peak_mib: Its peak memory, or that of the largest helper process that it waited for.
        answer: What it printed, as JSON.
    """

    started_at: int
    ended_at: int
    peak_mib: float
    answer: Any

    @property
    def seconds(self) -> float:
        """How long the process took from start to end."""
        return (self.ended_at - self.started_at) / 1e9


@contextmanager
def fresh_folder() -> Generator[Path]:
    """A temporary directory."""
    with tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as folder:
        yield Path(folder).resolve()


def run_workload(
    tool: Tool, folder: Path, command: str, *numbers: int, environment: Path | None = None
) -> Finished:
    """Runs a workload to its end.

    Args:
        tool: The tool.
        folder: Its directory.
        command: What to run.
        numbers: The arguments of the command.
        environment: Another environment than the tool's own.

    Raises:
        WorkloadError: It failed.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        # Made before the measurement starts.
        python = python_of(environment or environment_of(tool))
        started_at = time.time_ns()
        process = _start(python, tool, folder, output, errors, command, *numbers)
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        _, status, usage = os.wait4(process.pid, 0)
        ended_at = time.time_ns()
        watchdog.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        _end_helpers(process.pid)
        if process.returncode:
            raise _error(tool, command, errors)
        output.seek(0)
        # Some tools print lines of their own.
        answers = [line for line in output.read().decode().splitlines() if line[:1] in "[{"]
    peak_mib = usage.ru_maxrss * MAXRSS_UNIT / 2**20
    answer = json.loads(answers[-1]) if answers else None
    return Finished(started_at, ended_at, peak_mib, answer)


def kill_workload(tool: Tool, folder: Path, command: str, *numbers: int) -> None:
    """Runs a workload until it prints "ready", and sends it SIGKILL at once.

    Raises:
        WorkloadError: It failed before.
    """
    with tempfile.TemporaryFile() as errors:
        python = python_of(environment_of(tool))
        process = _start(python, tool, folder, subprocess.PIPE, errors, command, *numbers)
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        assert process.stdout is not None
        is_ready = any(line.strip() == b"ready" for line in process.stdout)
        process.kill()
        process.wait()
        watchdog.cancel()
        _end_helpers(process.pid)
        process.stdout.close()
        if not is_ready:
            raise _error(tool, command, errors)


def bytes_below(folder: Path) -> int:
    """The bytes of all files below a directory."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files)


def variables_of(tool: Tool, folder: Path) -> dict[str, str]:
    """The whole environment of a tool's process, which keeps its files in the directory."""
    variables = {name: text.format(folder=folder) for name, text in tool.variables.items()}
    home = {"HOME": str(folder), "TMPDIR": str(folder), "DO_NOT_TRACK": "1"}
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **home, **variables}


def _start(
    python: Path,
    tool: Tool,
    folder: Path,
    output: IO[bytes] | int,
    errors: IO[bytes],
    *arguments: str | int,
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [python, WORKLOAD, tool.name, *map(str, arguments)],
        cwd=folder,
        env=variables_of(tool, folder),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        start_new_session=True,
    )


def _end_helpers(group: int) -> None:
    """Waits for the helper processes of a workload, and kills those that stay."""
    deadline = time.monotonic() + HELPERS_END
    try:
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.05)
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _error(tool: Tool, command: str, errors: IO[bytes]) -> WorkloadError:
    errors.seek(0)
    return WorkloadError(f"{tool.name} {command} failed\n{errors.read().decode()[-2000:]}")
