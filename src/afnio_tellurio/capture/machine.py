"""The processor and the GPUs of this machine."""

from __future__ import annotations

import os
import platform
from typing import Any

from afnio_tellurio.capture.bounded_files import read_start, read_text

#: Bytes that describe the first core: the file repeats them for every core.
_FIRST_CORE = 2**16
_PROCESSOR_FILE = "/proc/cpuinfo"
_NVIDIA_FOLDER = "/proc/driver/nvidia/gpus"
_MAX_GPUS = 64


def read_processor(path: str = _PROCESSOR_FILE) -> dict[str, Any]:
    """The name of the processor and the number of its logical cores, where they are known."""
    try:
        text = read_start(path, _FIRST_CORE).decode(errors="replace")
        name = _field(text, "model name")
    except (OSError, ValueError):
        name = platform.processor()
    return {key: value for key, value in (("name", name), ("cores", os.cpu_count())) if value}


def read_gpus(folder: str = _NVIDIA_FOLDER) -> list[str]:
    """The names of the GPUs that the driver of NVIDIA shows; empty without that driver.

    Raises:
        OSError: The driver's folder cannot be read.
    """
    try:
        slots = sorted(os.listdir(folder))  # noqa: PTH208
    except FileNotFoundError:
        return []
    names = (
        _field(read_text(os.path.join(folder, slot, "information")), "Model")  # noqa: PTH118
        for slot in slots[:_MAX_GPUS]
    )
    return [name for name in names if name]


def _field(text: str, wanted: str) -> str:
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == wanted:
            return value.strip()
    return ""
