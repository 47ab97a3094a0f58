"""Chromium: its executable, and the memory of a tab that nothing automates."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path


def executable() -> str:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    return path or sys.exit("chromium is not on PATH: install it")


def arguments() -> list[str]:
    # Root, as in containers, has no sandbox.
    return ["--no-sandbox"] if os.geteuid() == 0 else []


def memory_of_tab(address: str, folder: Path, moments: list[int]) -> list[float]:
    """The private MiB of the largest renderer, at some seconds after the start of a new browser.

    Automation makes a browser keep each answer, so this browser runs without.
    """
    command = [executable(), *arguments(), "--headless=new", "--window-size=1600,2400"]
    browser = subprocess.Popen(
        [*command, f"--user-data-dir={folder}", address], stderr=subprocess.DEVNULL
    )
    began = time.monotonic()
    sizes: list[float] = []
    try:
        for moment in moments:
            time.sleep(max(0.0, began + moment - time.monotonic()))
            sizes.append(max(map(private_kib, renderers_of(browser.pid))) / 1024)
    finally:
        browser.terminate()
        browser.wait()
    return sizes


def renderers_of(browser: int) -> list[int]:
    parents: dict[int, int] = {}
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
    """The memory that the browser's task manager shows."""
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "VmSwap")))
