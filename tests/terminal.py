"""A real pseudo-terminal that a command runs in."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path

from children import GUARD, child_environment


class Terminal:
    """A child process with its own terminal; its output is in `shown`."""

    def __init__(self, *arguments, columns=80, executable=sys.executable, cwd=None, **variables):
        self.shown = ""
        environment = child_environment(**{"TERM": "xterm", "PAGER": "cat", **variables})
        for name in ("COLUMNS", "LINES", "NO_COLOR"):
            if name not in variables:
                environment.pop(name, None)
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            with suppress(OSError):
                # Before the program can ask for it.
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
                os.chdir(cwd or ".")
                os.execve(executable, [executable, *arguments], environment)
            os._exit(127)

    def type(self, text):
        os.write(self.fd, text.encode())

    def read_until(self, wanted, timeout=GUARD):
        """Reads until the output contains a text."""
        deadline = time.monotonic() + timeout
        while wanted not in self.shown:
            assert time.monotonic() < deadline, f"{wanted!r} is not shown in {self.shown!r}"
            assert self._read(0.1), f"it ended, and {wanted!r} is not shown in {self.shown!r}"
        return self.shown

    def wait_until_it_reads(self):
        """Waits until the program sleeps, as it does after showing a question.

        A signal between the question and the reading of its answer takes effect at the next key only.
        """
        deadline = time.monotonic() + GUARD
        stat = Path(f"/proc/{self.pid}/stat")
        while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "S":
            assert time.monotonic() < deadline, f"it does not wait, and shows {self.shown!r}"
            time.sleep(0.01)

    def end(self, timeout=GUARD):
        """Reads to the end; returns the exit status."""
        deadline = time.monotonic() + timeout
        while self._read(0.1):
            assert time.monotonic() < deadline, f"it does not end, and shows {self.shown!r}"
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.pid = None
        return status

    def close(self):
        if self.pid is not None:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def _read(self, seconds):
        if select.select([self.fd], [], [], seconds)[0]:
            try:
                found = os.read(self.fd, 65536)
            except OSError:
                # Linux reports this when no process has the terminal open anymore.
                return False
            self.shown += found.decode("utf-8", "replace")
            return bool(found)
        return True
