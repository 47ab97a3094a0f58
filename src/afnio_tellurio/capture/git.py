"""The commit, the branch and the remote of a Git repository, from its files.

Only whether the work tree has changes is left to the git command: it depends on the index, trees
that are often packed, filters, submodules, and sparse checkouts.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass

from afnio_tellurio.capture.bounded_files import read_file, read_text

#: Bytes of a list of packed references: a large repository has a million of them.
_PACKED_REFERENCES = 50 * 2**20
#: A reference may name another one.
_MAX_HOPS = 5
#: Seconds that git may take: a work tree on a network has hundreds of thousands of files.
_STATUS_TIMEOUT = 20.0
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_SECTION = re.compile(r'\[\s*([^\s"\]]+)(?:\s+"((?:[^"\\]|\\.)*)")?\s*\](.*)')
_ESCAPES = {"n": "\n", "t": "\t", "b": "\b"}
#: Variables that lead git to another repository, as in a hook.
_MISLEADING = {
    "GIT_COMMON_DIR", "GIT_DIR", "GIT_INDEX_FILE", "GIT_NAMESPACE", "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX", "GIT_WORK_TREE",
}  # fmt: skip


@dataclass(frozen=True)
class Repository:
    """A Git repository with a work tree.

    Attributes:
        work_tree: The folder of the files.
        folder: The folder that holds HEAD and the index of this work tree.
        common_folder: The folder that holds what all work trees share.
    """

    work_tree: str
    folder: str
    common_folder: str


def find_repository(folder: str) -> Repository | None:
    """Returns the repository that contains a folder, or None."""
    work_tree = os.path.realpath(folder)
    while True:
        found = _open_repository(work_tree)
        parent = os.path.dirname(work_tree)  # noqa: PTH120
        if found or parent == work_tree:
            return found
        work_tree = parent


def _open_repository(work_tree: str) -> Repository | None:
    folder = os.path.join(work_tree, ".git")  # noqa: PTH118
    if not os.path.isdir(folder):  # noqa: PTH112
        # Work trees that were added, and submodules, have a file.
        try:
            prefix, _, path = read_text(folder).partition(":")
        except (OSError, ValueError):
            return None
        if prefix != "gitdir":
            return None
        folder = os.path.join(work_tree, path.strip())  # noqa: PTH118
    try:
        common = read_text(os.path.join(folder, "commondir"))  # noqa: PTH118
    except (OSError, ValueError):
        common = ""
    if not os.path.isfile(os.path.join(folder, "HEAD")):  # noqa: PTH113, PTH118
        return None
    return Repository(work_tree, folder, os.path.join(folder, common) if common else folder)  # noqa: PTH118


def read_branch(repository: Repository) -> str | None:
    """Returns the branch that is checked out, or None if a commit is.

    Raises:
        OSError: HEAD cannot be read.
        ValueError: It is too large.
    """
    name = _named_by(_read_head(repository))
    # A repository with reftables names this one, since its references are elsewhere.
    if name is None or name == "refs/heads/.invalid":
        return None
    return name.removeprefix("refs/heads/")


def read_commit(repository: Repository) -> str | None:
    """Returns the commit that is checked out, or None before the first one.

    Raises:
        OSError: A file of the repository cannot be read.
        ValueError: One is too large.
    """
    content = _read_head(repository)
    for _ in range(_MAX_HOPS):
        name = _named_by(content)
        if name is None:
            return content if _COMMIT.fullmatch(content) else None
        content = _read_reference(repository, name)
    return None


def _read_head(repository: Repository) -> str:
    return read_text(os.path.join(repository.folder, "HEAD"))  # noqa: PTH118


def _named_by(content: str) -> str | None:
    """The reference that a symbolic one names, or None if it is not symbolic."""
    return content[4:].strip() if content.startswith("ref:") else None


def _read_reference(repository: Repository, name: str) -> str:
    for folder in (repository.folder, repository.common_folder):
        try:
            return read_text(os.path.join(folder, name))  # noqa: PTH118
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            continue
    try:
        packed = read_file(
            os.path.join(repository.common_folder, "packed-refs"),  # noqa: PTH118
            _PACKED_REFERENCES,
        )
    except FileNotFoundError:
        return ""
    before, found, _ = (b"\n" + packed).partition(f" {name}\n".encode())
    return before.rpartition(b"\n")[2].decode(errors="replace") if found else ""


def read_remote(repository: Repository) -> str | None:
    """Returns the URL of `origin`, or of the first remote if there is no `origin`, or None.

    The URL may contain credentials. Files that the configuration includes are not read.

    Raises:
        OSError: The configuration cannot be read.
        ValueError: It is too large.
    """
    config = read_file(os.path.join(repository.common_folder, "config"))  # noqa: PTH118
    urls: dict[str, str] = {}
    section: tuple[str, str] = ("", "")
    for line in config.decode(errors="replace").replace("\\\n", "").splitlines():
        text = line.strip()
        header = _SECTION.match(text)
        if header:
            section = (header[1].lower(), re.sub(r"\\(.)", r"\1", header[2] or ""))
            text = header[3].strip()
        name, equals, value = text.partition("=")
        if equals and section[0] == "remote" and name.strip().lower() == "url":
            urls.setdefault(section[1], _unquoted(value.strip()))
    return urls.get("origin") or next(iter(urls.values()), None)


def _unquoted(value: str) -> str:
    """A value without quotes, escapes and comments."""
    characters: list[str] = []
    is_quoted = False
    rest = iter(value)
    for character in rest:
        if character == "\\":
            escaped = next(rest, "")
            characters.append(_ESCAPES.get(escaped, escaped))
        elif character == '"':
            is_quoted = not is_quoted
        elif character in "#;" and not is_quoted:
            break
        else:
            characters.append(character)
    return "".join(characters).strip()


def is_dirty(repository: Repository) -> bool | None:
    """Returns whether a tracked file differs from the last commit, or None if that is unknown.

    It asks `git status`, which changes nothing here, and starts no program that the repository
    names to watch its files. Untracked files do not count. It is unknown without git, in a
    repository that git does not trust or cannot read, and after 20 seconds.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
    command = ["git", "-c", "core.fsmonitor=false", "status", "--porcelain=v2", "--branch"]
    try:
        finished = subprocess.run(  # noqa: S603
            [*command, "--untracked-files=no"],
            cwd=repository.work_tree,
            # Reading must not wait for, or hold, the lock of the index.
            env={**environment, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_STATUS_TIMEOUT,
            check=False,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    # A program that ignores SIGCHLD never learns the status of git; so look at the header too.
    if finished.returncode or not finished.stdout.startswith(b"# branch.oid "):
        return None
    return any(not line.startswith(b"#") for line in finished.stdout.splitlines())
