"""Chromium: where it is, and how much memory a tab takes when nothing watches it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path


def executable() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    return found or sys.exit("there is no chromium on PATH")


def arguments() -> list[str]:
    # Root, as in containers, has no sandbox.
    return ["--no-sandbox"] if os.geteuid() == 0 else []


def memory_of_tab(address: str, folder: Path, moments: list[int]) -> list[float]:
    """The private MiB of the largest renderer so many seconds after the start of a new browser.

    What drives a browser makes it keep each answer, so nothing does here.
    """
    command = [executable(), *arguments(), "--headless=new", "--window-size=1600,2400"]
    browser = subprocess.Popen(
        [*command, f"--user-data-dir={folder}", address], stderr=subprocess.DEVNULL
    )
    began = time.monotonic()
    found = []
    try:
        for moment in moments:
            time.sleep(max(0.0, began + moment - time.monotonic()))
            found.append(max(map(private_kib, renderers_of(browser.pid))) / 1024)
    finally:
        browser.terminate()
        browser.wait()
    return found


def renderers_of(browser: int) -> list[int]:
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            rest = status.read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents[int(status.parent.name)] = int(rest[1])
    family = {browser}
    while grown := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= grown
    return [
        pid for pid in family if b"--type=renderer" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def private_kib(pid: int) -> int:
    """What the browser's task manager shows."""
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "VmSwap")))
