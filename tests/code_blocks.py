"""The code blocks of a Markdown page, and how to run each.

A block that cannot be run needs a reason, in a comment on the line before it:

    <!-- not run: needs a notebook -->

If another test runs all blocks of a page, the page says so once, with `<!-- no block is run: why -->`.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from afnio_tellurio.cli import main

ROOT = Path(__file__).parent.parent
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
}
#: The address in commands that a test replaces by that of its own server.
PLATFORM = "https://platform.tellurio.ai"

_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?"
    r"^(?P<fence>`{3,})(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=fence)$",
    re.DOTALL | re.MULTILINE,
)
_WHOLE_PAGE = re.compile(r"^<!-- no block is run: ([^\n]+) -->$", re.MULTILINE)
#: The parts of a command's output that differ between runs.
_VARYING = [
    (re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"), "UUID"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:[+-]\d\d:\d\d)?"), "TIME"),
    (re.compile(r"\b\d+\.\d s\b"), "DURATION"),
    (re.compile(r" {2,}"), "  "),
]


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        language: The text after the fence.
        text: Its lines.
        line: The number of its first line in the page.
        reason: Why it is not run, or None.
    """

    language: str
    text: str
    line: int
    reason: str | None


def blocks_of(page: str) -> list[Block]:
    """The code blocks of a page, without directives of the site such as a table of contents."""
    for_all = _WHOLE_PAGE.search(page)
    return [
        Block(
            match["language"],
            match["text"],
            page.count("\n", 0, match.start("text")) + 1,
            match["reason"] or (for_all and for_all[1]),
        )
        for match in _BLOCK.finditer(page)
        if not match["language"].startswith("{")
    ]


def comparable(output: str) -> list[str]:
    """The lines of an output without the parts that differ between runs."""
    lines = []
    for line in output.splitlines():
        kept = line.rstrip()
        for pattern, replacement in _VARYING:
            kept = pattern.sub(replacement, kept)
        lines.append(kept)
    return lines


class Reader:
    """A reader who follows a page, block by block."""

    def __init__(self, name: str, platform_url: str, monkeypatch) -> None:
        self._name = name
        self._platform_url = platform_url
        self._monkeypatch = monkeypatch
        self._names = {"__name__": "__main__"}
        self._output: str | None = None

    def follow(self, block: Block) -> None:
        getattr(self, f"_follow_{block.language}")(block)

    def _follow_python(self, block: Block) -> None:
        # The line numbers of a traceback are those of the page.
        code = compile("\n" * (block.line - 1) + block.text, self._name, "exec")
        with redirect_stdout(io.StringIO()) as output:
            exec(code, self._names)
        self._output = output.getvalue()

    def _follow_text(self, block: Block) -> None:
        assert self._output is not None, f"line {block.line}: whose output is this?"
        assert comparable(self._output) == comparable(block.text), f"line {block.line}"
        self._output = None

    def _follow_console(self, block: Block) -> None:
        for command, shown in re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE):
            output = self._run(command)
            if shown:
                assert comparable(output) == comparable(shown), f"line {block.line}: {command}"

    def _follow_sh(self, block: Block) -> None:
        for line in block.text.splitlines():
            if line and not line.startswith("#"):
                self._run(line)

    def _follow_toml(self, block: Block) -> None:
        from afnio_tellurio.settings.settings import read_settings

        path = Path(os.environ["XDG_CONFIG_HOME"], "tellurio", "config.toml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)
        assert read_settings().problems == ()
        path.unlink()

    def _run(self, line: str) -> str:
        words = [
            word.replace(PLATFORM, self._platform_url) for word in shlex.split(line, comments=True)
        ]
        if words[0] == "export":
            self._monkeypatch.setenv(*words[1].split("=", 1))
            return ""
        if words[0].startswith("scripts/"):
            assert os.access(ROOT / words[0], os.X_OK), f"{words[0]} cannot be executed"
            return ""
        if words[:2] == ["mkdir", "-p"]:
            Path(words[2]).expanduser().mkdir(parents=True, exist_ok=True)
            return ""
        with self._monkeypatch.context() as patch:
            while "=" in words[0]:
                patch.setenv(*words.pop(0).split("=", 1))
            assert words.pop(0) == "afnio-tellurio", f"cannot be run, and does not say why: {line}"
            return self._run_ours(words, patch)

    def _run_ours(self, words: list[str], patch) -> str:
        target = Path("output.txt")
        if "<" in words:
            path = self._redirected(words, "<")
            patch.setattr(sys, "stdin", io.StringIO(path.read_text("utf-8")))
        if ">" in words:
            target = self._redirected(words, ">")
        # A file, because commands may write bytes to it.
        with target.open("w", encoding="utf-8") as output, redirect_stdout(output):
            assert main(words) == 0, f"afnio-tellurio {shlex.join(words)} failed"
        return target.read_text("utf-8")

    def _redirected(self, words: list[str], sign: str) -> Path:
        position = words.index(sign)
        path = Path(words[position + 1]).expanduser()
        del words[position : position + 2]
        return path
