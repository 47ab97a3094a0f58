"""Finds phrases that CONTRIBUTING.md replaces with plainer ones.

    scripts/check_words.py            checks the whole repository
    scripts/check_words.py PATH...    checks these files and folders

The phrases are those of the table in CONTRIBUTING.md. In Python, comments and strings are checked;
names are not. Nothing between backticks is checked, nor in the code blocks of Markdown.
"""

from __future__ import annotations

import io
import re
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ROOT / "CONTRIBUTING.md"
DEFAULT_PATHS = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "pyproject.toml",
    ".github",
    "benchmarks",
    "docs",
    "examples",
    "openapi",
    "scripts",
    "src",
    "tests",
)
SUFFIXES = {".css", ".html", ".js", ".md", ".py", ".sh", ".toml", ".yaml", ".yml"}
#: Files that others wrote, that are generated, or that name the phrases on purpose.
SKIPPED = {"vendor", "released", "node_modules", "__pycache__", "api.html", "test_check_words.py"}
#: Good English that the phrases of the table would match.
ALLOWED = re.compile(r"(?:(?<=[Tt]here )(?:is|are) no|(?:is|are) no (?:longer|more|fewer))\b")
#: The endings of a verb in -ise.
VERB_ENDING = "(?:e|ed|es|er|ers|ing|ations?|able)"

_ROW = re.compile(r"^\| (`[^|]+`) \| ([^|]+) \|$", re.MULTILINE)
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_PROSE_TOKENS = {"COMMENT", "STRING", "FSTRING_MIDDLE", "TSTRING_MIDDLE"}


class Phrase(NamedTuple):
    """A phrase, what finds it, and what to write."""

    text: str
    pattern: re.Pattern[str]
    plain: str


class Finding(NamedTuple):
    """A phrase in a text."""

    line: int
    text: str
    plain: str


def phrases_of(guide: str) -> list[Phrase]:
    """The phrases in the table of the guide."""
    _, _, table = guide.partition("| instead of | write |\n")
    return [
        Phrase(text, _pattern(text), plain)
        for row, plain in _ROW.findall(table)
        for text in re.findall(r"`([^`]+)`", row)
    ]


def _pattern(text: str) -> re.Pattern[str]:
    stem = text.removesuffix("-")
    ending = "" if stem == text else VERB_ENDING if stem.endswith("is") else r"\w*"
    # Only the first letter may be a capital: "is None" is code.
    first = f"[{stem[0].lower()}{stem[0].upper()}]" if stem[0].isalpha() else re.escape(stem[0])
    rest = r"\s+".join("[a-z]+" if word == "X" else re.escape(word) for word in stem[1:].split(" "))
    return re.compile(rf"(?<!\w){first}{rest}{ending}\b")


def findings_in(text: str, phrases: Iterable[Phrase]) -> list[Finding]:
    """The phrases in a text, which is not code."""
    # Blanked rather than removed: lines and their numbers stay.
    prose = _CODE.sub(lambda code: re.sub(r"[^\n]", "\N{NULL}", code[0]), text)
    found = [
        Finding(prose.count("\n", 0, match.start()) + 1, " ".join(match[0].split()), phrase.plain)
        for phrase in phrases
        for match in phrase.pattern.finditer(prose)
        if not ALLOWED.match(prose, match.start())
    ]
    return sorted(found)


def prose_of_python(source: str) -> str:
    """The comments and strings of a program, each where it stands."""
    lines = [[" "] * len(line) for line in source.splitlines()]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if tokenize.tok_name[token.type] in _PROSE_TOKENS:
            column = token.start[1]
            for row, part in enumerate(token.string.split("\n"), token.start[0] - 1):
                lines[row][column : column + len(part)] = part
                column = 0
    return "\n".join("".join(line) for line in lines)


def files_in(paths: Iterable[Path]) -> Iterator[Path]:
    """The files to check, in order."""
    for path in paths:
        if not path.exists():
            sys.exit(f"check_words: {path} does not exist")
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix in SUFFIXES and file.is_file() and not SKIPPED.intersection(file.parts):
                yield file


def main() -> None:
    phrases = phrases_of(GUIDE.read_text("utf-8"))
    if not phrases:
        sys.exit(f"check_words: no table of phrases in {GUIDE}")
    paths = [Path(path) for path in sys.argv[1:]] or [ROOT / path for path in DEFAULT_PATHS]
    count = 0
    for file in files_in(paths):
        text = file.read_text("utf-8")
        for finding in findings_in(
            prose_of_python(text) if file.suffix == ".py" else text, phrases
        ):
            print(f"{file}:{finding.line}: {finding.text!r}; write: {finding.plain}")
            count += 1
    if count:
        sys.exit(f"check_words: {count} phrases to replace; CONTRIBUTING.md has the table")


if __name__ == "__main__":
    main()
