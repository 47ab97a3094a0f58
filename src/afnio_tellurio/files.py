"""Folders that only their owner can look into."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def make_private_directory(path: Path) -> None:
    """Makes a folder, and those above it, where they do not exist: for their owner only.

    `Path.mkdir` gives its mode to the last one; the others get what the umask leaves.

    Raises:
        OSError: It cannot be made, or a file has its name.
    """
    try:
        path.mkdir(mode=0o700)
    except FileNotFoundError:
        if path.parent == path:
            raise
        make_private_directory(path.parent)
        # Another process may have been faster.
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        # Not only where it exists: on Windows and on read-only disks the error may be another.
        if not path.is_dir():
            raise
