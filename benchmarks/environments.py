"""The measured tools, each in its own environment."""

from __future__ import annotations

import argparse
import functools
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "benchmarks"


@dataclass(frozen=True)
class Tool:
    """One tool.

    Attributes:
        name: Its name in imports and on PyPI.
        variables: Its environment variables; `{folder}` is the fresh directory of the process.
        most: The most metrics that it records in a reasonable time.
    """

    name: str
    variables: dict[str, str] = field(default_factory=dict[str, str], hash=False)
    most: int = 100_000


OURS = Tool(
    "afnio_tellurio",
    {
        "TELLURIO_MODE": "local",
        "TELLURIO_HOME": "{folder}/tellurio",
        "TELLURIO_QUIET": "1",
        # Also on a busy machine, a process delivers everything before it ends.
        "TELLURIO_EXIT_TIMEOUT": "600",
    },
    most=1_000_000,
)
PEERS = [
    Tool("trackio", {"TRACKIO_DIR": "{folder}/trackio", "HF_HUB_OFFLINE": "1"}),
    Tool("tensorboardX"),
    Tool("wandb", {"WANDB_MODE": "offline", "WANDB_DIR": "{folder}", "WANDB_SILENT": "true"}),
    Tool("dvclive", {"DVC_NO_ANALYTICS": "1"}),
    Tool(
        "mlflow",
        {
            "MLFLOW_TRACKING_URI": "sqlite:///{folder}/mlflow.db",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
        most=10_000,
    ),
]


def options(description: str | None, *, rounds: int, peers: str = "all") -> argparse.ArgumentParser:
    """The arguments that all benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--peers",
        default=peers,
        type=_tools,
        dest="tools",
        help=f"all, none, or names with commas: {', '.join(peer.name for peer in PEERS)} "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--rounds",
        default=rounds,
        type=int,
        help="measurements of each tool, in turn; medians are reported (default: %(default)s)",
    )
    parser.add_argument(
        "--results",
        default=ROOT / "benchmarks" / "RESULTS.md",
        type=Path,
        help="the file to write the table to (default: benchmarks/RESULTS.md)",
    )
    return parser


def _tools(names: str) -> list[Tool]:
    by_name = {peer.name: peer for peer in PEERS}
    groups: dict[str, list[str]] = {"all": list(by_name), "none": []}
    chosen = groups.get(names, names.split(","))
    unknown = set(chosen) - set(by_name)
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return [OURS, *(by_name[name] for name in chosen)]


def python_of(folder: Path) -> Path:
    """The interpreter of an environment."""
    return folder / "bin" / "python"


@functools.cache
def empty_environment() -> Path:
    """An environment with nothing installed."""
    folder = CACHE / "empty"
    if not python_of(folder).exists():
        _make(folder)
    return folder


@functools.cache
def environment_of(tool: Tool) -> Path:
    """The tool's environment. Peers are installed once, ours always from the repository."""
    folder, mark = CACHE / tool.name, CACHE / tool.name / "installed"
    # When our dependencies change, the environment is made again.
    wanted = (ROOT / "pyproject.toml").read_text("utf-8") if tool is OURS else tool.name
    if not mark.exists() or mark.read_text("utf-8") != wanted:
        _make(folder)
        _install(folder, str(ROOT) if tool is OURS else tool.name)
        mark.write_text(wanted, "utf-8")
    elif tool is OURS:
        _install(folder, "--no-deps", "--force-reinstall", str(ROOT))
    return folder


@functools.cache
def environment_with(*packages: str) -> Path:
    """An environment of ours with more packages, which the other ones do not have."""
    folder = CACHE / "-".join([OURS.name, *packages])
    if not python_of(folder).exists():
        _make(folder)
        _install(folder, *packages)
    _install(folder, "--upgrade", str(ROOT))
    return folder


@functools.cache
def version_of(tool: Tool) -> str:
    """The version in the tool's environment."""
    code = f"from importlib.metadata import version; print(version({tool.name!r}))"
    return _output(python_of(environment_of(tool)), "-c", code).strip()


def _make(folder: Path) -> None:
    print(f"making {folder}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    _output(sys.executable, "-m", "venv", folder)


def _install(folder: Path, *arguments: str) -> None:
    print(f"installing {arguments[-1]}", file=sys.stderr)
    pip: list[str | Path] = [python_of(folder), "-m", "pip", "--disable-pip-version-check"]
    _output(*pip, "install", "--quiet", *arguments)


def _output(*command: str | Path) -> str:
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed\n{finished.stdout}{finished.stderr}")
    return finished.stdout
