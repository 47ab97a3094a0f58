"""Makes lines from what a program prints, as a terminal shows them."""

from __future__ import annotations

import re

from afnio_tellurio.settings.limits import MAX_CONSOLE_LINE

#: Characters of an unfinished line: sequences that control a terminal do not count in the end.
_MAX_UNFINISHED = 4 * MAX_CONSOLE_LINE
_CUT = "… [cut]"
#: Colors, movements of the cursor, titles of windows; the last one may be cut off.
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_]|\[[0-?]*[ -/]*$)"
)


class LineAssembler:
    """The lines of one stream; of a progress bar, which returns to its start, the last state."""

    def __init__(self) -> None:
        self._unfinished = ""

    def add(self, text: str) -> list[str]:
        """Returns the lines that a printed text completes."""
        first, *others = text.split("\n")
        self._extend(first)
        if not others:
            return []
        ended = [self._unfinished, *others[:-1]]
        self._unfinished = ""
        self._extend(others[-1])
        return [_as_shown(line) for line in ended]

    def take_rest(self) -> list[str]:
        """Returns the unfinished line, if anything of it is visible."""
        line, self._unfinished = _as_shown(self._unfinished), ""
        return [line] if line.strip() else []

    def _extend(self, text: str) -> None:
        # At most: the rest of a long text that is not a bar is not kept anyway.
        text = self._unfinished + text
        if "\r" in text or len(text) > _MAX_UNFINISHED:
            state, is_at_start = _last_state(text)
            text = state[:_MAX_UNFINISHED] + ("\r" if is_at_start else "")
        self._unfinished = text


def _last_state(text: str) -> tuple[str, bool]:
    """What was printed last from the start of the line, and whether the cursor is there again."""
    shown = text.rstrip("\r")
    return shown.rpartition("\r")[2], len(shown) < len(text)


def _as_shown(text: str) -> str:
    line = _last_state(text)[0]
    if "\x1b" in line:
        line = _ESCAPES.sub("", line)
    if len(line) > MAX_CONSOLE_LINE:
        line = line[:MAX_CONSOLE_LINE] + _CUT
    # A path may contain bytes that are not UTF-8.
    return line if line.isascii() else line.encode(errors="replace").decode()
