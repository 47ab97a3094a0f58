"""Where a run comes from: the program, its packages, its repository and its machine."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import distributions
from typing import TYPE_CHECKING, Any

from afnio_tellurio import __version__
from afnio_tellurio.capture.cluster import read_kubernetes, read_slurm
from afnio_tellurio.capture.git import (
    find_repository,
    is_dirty,
    read_branch,
    read_commit,
    read_remote,
)
from afnio_tellurio.capture.machine import read_gpus, read_processor
from afnio_tellurio.tracking.redaction import redact_arguments, redact_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: The packages of an environment; those of a whole distribution of the system may be more.
_MAX_PACKAGES = 1000


def read_environment(*, redact: bool = True) -> dict[str, Any]:
    """Where this process comes from, as plain JSON values.

    What is unknown is absent, and so is what cannot be read: it raises nothing. It holds no lock,
    reads a bounded number of bytes, and may take seconds, since it asks `git status`. Call it in
    a thread of its own.

    Args:
        redact: Whether credentials in the arguments are replaced. The URL of the remote never
            contains any.
    """
    return _read_parts(
        {
            "arguments": lambda: _read_arguments(redact=redact),
            "executable": lambda: sys.executable,
            "working_directory": os.getcwd,
            "process_id": os.getpid,
            "host": platform.node,
            "platform": _read_platform,
            "python": _read_python,
            "sdk": lambda: __version__,
            "packages": _read_packages,
            "git": _read_git,
            "processor": read_processor,
            "gpus": read_gpus,
            "slurm": read_slurm,
            "kubernetes": read_kubernetes,
        }
    )


def _read_parts(parts: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """The parts that can be read and are known, each read on its own."""
    read: dict[str, Any] = {}
    for name, read_part in parts.items():
        try:
            value = _encodable(read_part())
        except Exception:  # noqa: BLE001, S112 - a fact about the environment must not stop the others
            continue
        if value not in (None, "", [], {}):
            read[name] = value
    return read


def _encodable(value: Any) -> Any:
    """The value with a mark for what UTF-8 cannot encode: arguments and paths may be any bytes."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {
            _encodable(key): _encodable(item)
            for key, item in value.items()  # pyright: ignore[reportUnknownVariableType]
        }
    if isinstance(value, list):
        return [_encodable(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def _read_arguments(*, redact: bool) -> list[str]:
    return redact_arguments(sys.argv) if redact else list(sys.argv)


def _read_platform() -> dict[str, str]:
    return _read_parts(
        {"system": platform.system, "release": platform.release, "machine": platform.machine}
    )


def _read_python() -> dict[str, str]:
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
    }


def _read_packages() -> dict[str, str]:
    packages: dict[str, str] = {}
    for distribution in distributions():
        try:
            name, version = distribution.name, distribution.version
        except Exception:  # noqa: BLE001, S112 - one package with damaged metadata hides no other
            continue
        # Of two with one name, Python imports the first one. Damaged metadata has neither.
        if isinstance(name, str) and isinstance(version, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            packages.setdefault(name, version)
        if len(packages) == _MAX_PACKAGES:
            break
    return dict(sorted(packages.items(), key=lambda package: package[0].lower()))


def _read_git() -> dict[str, Any]:
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    folders = [os.path.dirname(os.path.realpath(script))] if script else []  # noqa: PTH120
    folders.append(os.getcwd())  # noqa: PTH109
    repository = next(filter(None, map(find_repository, folders)), None)
    if repository is None:
        return {}
    return _read_parts(
        {
            "commit": lambda: read_commit(repository),
            "branch": lambda: read_branch(repository),
            "is_dirty": lambda: is_dirty(repository),
            "remote": lambda: redact_url(read_remote(repository) or ""),
        }
    )
