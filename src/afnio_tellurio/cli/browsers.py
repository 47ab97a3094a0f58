"""Opens pages in a graphical browser."""

from __future__ import annotations

import os
import subprocess
import sys

#: Browsers that would run in the terminal of the command.
_TERMINAL_BROWSERS = ("w3m", "links", "lynx", "www-browser")
_started: list[subprocess.Popen[bytes]] = []


def has_display() -> bool:
    """Returns whether a graphical browser can be shown."""
    if os.environ.get("BROWSER"):
        return True
    if os.environ.get("SSH_CONNECTION"):
        return False
    if sys.platform in {"win32", "darwin"}:
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def start_browser(url: str) -> None:
    """Opens the URL in another process: some browsers block until they close, and print text."""
    browser = _graphical_browser()
    if browser is None:
        return
    program = "import sys, webbrowser\nwebbrowser.get(sys.argv[1] or None).open(sys.argv[2])"
    process = subprocess.Popen(  # noqa: S603 - Python itself
        [sys.executable, "-c", program, browser, url],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    # Python warns of a process that is running when its object is collected.
    _started.append(process)


def _graphical_browser() -> str | None:
    """Returns "" for Python's default browser, or None if it runs in a terminal."""
    import webbrowser

    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return None
    name = getattr(browser, "basename", None) or getattr(browser, "name", "")
    return None if any(program in str(name) for program in _TERMINAL_BROWSERS) else ""
