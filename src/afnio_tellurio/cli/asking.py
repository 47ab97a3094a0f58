"""Asks before something is deleted."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from afnio_tellurio.cli.printing import complain

if TYPE_CHECKING:
    import argparse


def require_terminal(options: argparse.Namespace) -> None:
    """Raises an error if the user cannot be asked and did not pass `--yes`."""
    if not options.yes and not (sys.stdin and sys.stdin.isatty()):
        raise ValueError("Can't ask for confirmation without a terminal; pass --yes")


def is_confirmed(options: argparse.Namespace, question: str) -> bool:
    """Returns whether the user agrees, or passed `--yes`."""
    if options.yes or _ask(f"{question} [y/N] ").strip().lower() in {"y", "yes"}:
        return True
    complain("Canceled.")
    return False


def _ask(question: str) -> str:
    answer = ""
    try:
        # On stderr, so that the question is visible even if stdout is redirected.
        complain(question, end="")
        answer = sys.stdin.readline()
    finally:
        if not answer.endswith("\n"):
            # Ctrl-C or Ctrl-D: the cursor is still after the question.
            complain("")
    return answer
