"""Makes a release: one commit, which scripts/packages.sh has built and tried, and its tag.

Run by scripts/release.sh. All work is done in a second worktree, so that a failure changes nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT = Path(__file__).resolve().parent.parent
GIT = shutil.which("git") or sys.exit("release: git is not installed")
#: Where the version is, and nowhere else.
VERSION = Path("src", "afnio_tellurio", "__init__.py")
CHANGELOG = Path("CHANGELOG.md")
CONTRACT = Path("openapi", "tellurio.yaml")
RELEASED = Path("openapi", "released")
CONTRACT_CHANGELOG = Path("openapi", "CHANGELOG.md")
ACCEPTED_CHANGES = Path("openapi", "accepted-changes.txt")

_VERSION_LINE = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
_CONTRACT_VERSION = re.compile(r"^  version: [\"']?([^\"'\s]+)", re.MULTILINE)
_SECTION = re.compile(r"^## (\S+) \(([^)\n]+)\)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def refuse(reason: str) -> NoReturn:
    sys.exit(f"release: {reason}")


def git(folder: Path, *arguments: str | Path) -> str:
    """What a git command prints."""
    command = [GIT, "-C", folder, *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        refuse(f"git {arguments[0]} failed: {finished.stderr.strip()}")
    return finished.stdout


def run(folder: Path, *command: str | Path) -> None:
    """Runs a script of the worktree, on the worktree's sources."""
    script = " ".join(str(part) for part in command if part != sys.executable)
    print(f"\n== {script}", flush=True)
    sources = os.pathsep.join([str(folder / "src"), str(folder / "generated")])
    environment = {**os.environ, "PYTHONPATH": sources}
    if subprocess.run(command, cwd=folder, env=environment, check=False).returncode:
        refuse(f"{script} failed, and nothing has changed; mend that, commit, and try again")


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def check(version: str) -> None:
    """Refuses to release what is not ready."""
    if not re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", version):
        refuse(f"a version is three numbers, such as 1.2.3, and not {version!r}")
    if changed := git(ROOT, "status", "--porcelain").rstrip():
        refuse(f"the tree has changes; commit or remove them first:\n{changed}")
    sections = _SECTION.findall((ROOT / CHANGELOG).read_text("utf-8"))
    check_version(version, [name for name, date, _ in sections if date != "unreleased"])
    check_changelog(version, sections[0] if sections else ("", "", ""))
    check_contract()


def check_version(version: str, dated: list[str]) -> None:
    current = _VERSION_LINE.search((ROOT / VERSION).read_text("utf-8"))
    if current is None:
        refuse(f'{VERSION.as_posix()} has no line such as __version__ = "1.2.3"')
    if numbers(version) < numbers(current[1]):
        refuse(f"{version} is less than the version in {VERSION.as_posix()}, which is {current[1]}")
    tagged = [tag.removeprefix("v") for tag in git(ROOT, "tag", "--list", "v*").split()]
    released = [name for name in (*dated, *tagged) if re.fullmatch(r"\d+\.\d+\.\d+", name)]
    newest = max(released, key=numbers, default=None)
    if newest is not None and numbers(version) <= numbers(newest):
        refuse(f"{version} does not come after {newest}, which is released; choose a greater one")


def check_changelog(version: str, section: tuple[str, str, str]) -> None:
    name, date, text = section
    if (name, date) != (version, "unreleased"):
        refuse(
            f"CHANGELOG.md must begin with the section '## {version} (unreleased)'; "
            f"its first section is '## {name} ({date})'"
        )
    if not re.search(r"^- ", text, re.MULTILINE):
        refuse(
            f"the section '## {version} (unreleased)' of CHANGELOG.md is empty; "
            "add one line for each change that a user can notice"
        )


def contract_version(folder: Path) -> str:
    found = _CONTRACT_VERSION.search((folder / CONTRACT).read_text("utf-8"))
    if found is None:
        refuse(f"{CONTRACT.as_posix()} has no version in its info")
    return found[1]


def check_contract() -> None:
    """A released contract never changes; a changed one has a version of its own."""
    frozen = RELEASED / f"{contract_version(ROOT)}.yaml"
    same = (ROOT / CONTRACT).read_bytes()
    if (ROOT / frozen).exists() and (ROOT / frozen).read_bytes() != same:
        refuse(
            f"{CONTRACT.as_posix()} differs from {frozen.as_posix()}, which is released; "
            "change the version in its info, and run scripts/regen.sh"
        )


@contextmanager
def worktree() -> Generator[Path]:
    """A second worktree of the current commit, with the installed tools."""
    with tempfile.TemporaryDirectory(prefix="release-") as scratch:
        folder = Path(scratch, "tree")
        git(ROOT, "worktree", "add", "--quiet", "--detach", folder)
        try:
            (folder / ".cache").symlink_to(ROOT / ".cache")
            yield folder
        finally:
            git(ROOT, "worktree", "remove", "--force", folder)


def write(folder: Path, version: str) -> None:
    """Writes everything that a release changes."""
    today = datetime.now(UTC).date()
    replace(folder / VERSION, _VERSION_LINE, f'__version__ = "{version}"')
    heading = re.compile(rf"^## {re.escape(version)} \(unreleased\)$", re.MULTILINE)
    replace(folder / CHANGELOG, heading, f"## {version} ({today})")
    freeze_contract(folder, str(today))
    run(folder, sys.executable, "scripts/public_api.py", "--release")
    run(folder, sys.executable, "scripts/sbom.py")


def freeze_contract(folder: Path, today: str) -> None:
    """Copies the contract to the released ones, which never change, unless it is there already."""
    version = contract_version(folder)
    frozen = folder / RELEASED / f"{version}.yaml"
    if frozen.exists():
        return
    shutil.copyfile(folder / CONTRACT, frozen)
    digest = hashlib.sha256(frozen.read_bytes()).hexdigest()
    with (folder / RELEASED / "SHA256SUMS").open("a", encoding="utf-8", newline="\n") as sums:
        sums.write(f"{digest}  {frozen.name}\n")
    heading = re.compile(rf"^## {re.escape(version)} \(unreleased\)$", re.MULTILINE)
    replace(folder / CONTRACT_CHANGELOG, heading, f"## {version} ({today})")
    # What was accepted is released.
    accepted = folder / ACCEPTED_CHANGES
    lines = accepted.read_text("utf-8").splitlines(keepends=True)
    comments = [line for line in lines if line.startswith("#")]
    accepted.write_text("".join(comments), "utf-8", newline="\n")


def replace(path: Path, pattern: re.Pattern[str], text: str) -> None:
    path.write_text(pattern.sub(text, path.read_text("utf-8"), count=1), "utf-8", newline="\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/release.sh", description=__doc__)
    parser.add_argument("version", help="the new version, such as 1.2.3")
    parser.add_argument(
        "--dry-run", action="store_true", help="leave the branch and the tags as they are"
    )
    arguments = parser.parse_args()
    version: str = arguments.version
    check(version)
    with worktree() as folder:
        # Before anything is frozen: afterwards, there is nothing to compare with.
        run(folder, "scripts/regen.sh", "--report")
        write(folder, version)
        run(folder, "scripts/packages.sh", "--trials", "--tag", f"v{version}")
        git(folder, "add", "--all")
        print(f"\n{git(folder, 'diff', '--cached', '--stat').rstrip()}")
        if arguments.dry_run:
            print(f"release: {version} can be released; this was a dry run, and nothing changed")
            return
        git(folder, "commit", "--quiet", "--message", f"Release {version}")
        commit = git(folder, "rev-parse", "HEAD").strip()
    git(ROOT, "merge", "--quiet", "--ff-only", commit)
    git(ROOT, "tag", "--annotate", "--message", f"afnio-tellurio {version}", f"v{version}", commit)
    print(f"release: v{version} is tagged; to publish it: git push --atomic origin HEAD v{version}")


if __name__ == "__main__":
    main()
