"""Builds the wheel and the source distribution, and checks them.

Run by scripts/packages.sh, in the environment that it prepares.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from markdown_it.token import Token

ROOT = Path(__file__).resolve().parent.parent
UV = ROOT / ".cache" / "uv" / "bin" / "uv"
GIT = shutil.which("git") or sys.exit("packages: git is not installed")
TOOLS = Path(sys.executable).parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
#: Where the tests of a wheel run: a copy of the repository without the packages' sources.
TRIAL = ROOT / ".cache" / "trial"
#: What runs there. It needs no tool of development.
TESTS = ("tests/unit", "tests/delivery", "tests/safeguard")
#: Installs the sources.
WITH_SOURCES = "tests/safeguard/test_endings.py::test_the_same_on_the_newest_python_there_is"


def run(*command: str | Path, folder: Path = ROOT) -> None:
    """Runs a command; ends this program if it fails."""
    # Sources on the path would hide the wheel.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    finished = subprocess.run(command, cwd=folder, env=environment, check=False)
    if finished.returncode:
        sys.exit(f"packages: failed: {' '.join(map(str, command))}")


def build(folder: Path) -> tuple[Path, Path]:
    """Builds both packages into a folder, which loses what is there."""
    shutil.rmtree(folder, ignore_errors=True)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def check(wheel: Path, sdist: Path, tag: str | None) -> None:
    """Checks the version, the links of the README, what the wheel contains, and its metadata."""
    metadata = Parser().parsestr(read_metadata(wheel))
    if tag not in {None, f"v{metadata['Version']}"}:
        sys.exit(
            f"packages: the tag {tag} is not that of version {metadata['Version']}; "
            "scripts/release.sh changes the version and tags it"
        )
    if relative := relative_links(metadata.get_payload()):
        sys.exit(
            f"packages: on PyPI these links of the README lead nowhere: {', '.join(relative)}; "
            "tool.hatch.metadata.hooks.fancy-pypi-readme in pyproject.toml completes links"
        )
    run(TOOLS / "check-wheel-contents", wheel)
    run(TOOLS / "twine", "check", "--strict", wheel, sdist)


def read_metadata(wheel: Path) -> str:
    """The wheel's METADATA file."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return archive.read(name).decode()


def relative_links(markdown: Any) -> list[str]:
    """The targets of links and images that depend on where the text is shown."""
    tokens = MarkdownIt("commonmark").enable("table").parse(str(markdown))
    return [target for target in targets(tokens) if not re.match(r"[a-z]+:", target)]


def targets(tokens: Iterable[Token]) -> Iterator[str]:
    """The targets of all links and images."""
    for token in tokens:
        for name in ("href", "src"):
            if name in token.attrs:
                yield str(token.attrs[name])
        yield from targets(token.children or ())
        if token.type in {"html_block", "html_inline"}:
            yield from re.findall(r"(?:href|src)=[\"']?([^\"'\s>]+)", token.content)


def find_pythons() -> dict[str, str | None]:
    """The Python of each supported version, or None if it is not on this machine."""
    classifiers = "\n".join(PROJECT["classifiers"])
    return {version: find(version) for version in re.findall(r"Python :: (3\.\d+)", classifiers)}


def find(version: str) -> str | None:
    """The path of one Python."""
    finished = subprocess.run(
        [UV, "python", "find", "--no-project", "--no-python-downloads", version],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return finished.stdout.strip() if finished.returncode == 0 else None


def copy_tests() -> None:
    """Copies what git tracks, but for the sources of the packages, to where the trials run."""
    shutil.rmtree(TRIAL, ignore_errors=True)
    listed = subprocess.run([GIT, "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in os.fsdecode(listed.stdout).rstrip("\0").split("\0"):
        if name.startswith("src/") or (name.startswith("generated/") and name.endswith(".py")):
            continue
        target = TRIAL / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)


def try_wheel(wheel: Path, title: str, python: str, *options: str) -> None:
    """Installs the wheel into an environment of its own, and runs tests against it."""
    print(f"\n== the wheel, {title}", flush=True)
    environment = ROOT / ".cache" / "wheel"
    interpreter = environment / "bin" / "python"
    run(UV, "venv", "--quiet", "--clear", "--no-project", "--python", python, environment)
    install = ("pip", "install", "--quiet", "--python", interpreter, "--group", "test", wheel)
    run(UV, *install, *options)
    run(interpreter, "-m", "pytest", "--numprocesses", "2", "--dist", "loadgroup", "--quiet",
        "-m", "not tools", "--deselect", WITH_SOURCES, *TESTS, folder=TRIAL)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/packages.sh", description=__doc__)
    parser.add_argument(
        "--trials",
        action="store_true",
        help="also run tests against the wheel, under each Python and with the lowest dependencies",
    )
    parser.add_argument(
        "--outdir", type=Path, default=ROOT / "dist", help="where the packages go, instead of dist/"
    )
    parser.add_argument("--tag", help="fail if the packages are not those of this tag")
    arguments = parser.parse_args()
    wheel, sdist = build(arguments.outdir.absolute())
    check(wheel, sdist, arguments.tag)
    if arguments.trials:
        copy_tests()
        pythons = find_pythons()
        for version, python in pythons.items():
            if python is None:
                print(f"\n== Python {version} is not on this machine", flush=True)
            else:
                try_wheel(wheel, f"under Python {version}", python)
        oldest = next(python for python in pythons.values() if python)
        lowest = ("--resolution", "lowest-direct", "--requirement", "pyproject.toml")
        try_wheel(wheel, "with the lowest version of each dependency", oldest, *lowest)
    for package in (wheel, sdist):
        print(f"{hashlib.sha256(package.read_bytes()).hexdigest()}  {package.name}")


if __name__ == "__main__":
    main()
