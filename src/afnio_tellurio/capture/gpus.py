"""What the GPUs of NVIDIA do, as their driver tells through its library, NVML."""

from __future__ import annotations

import ctypes
import os
from typing import Any, NamedTuple

_LIBRARY = "libnvidia-ml.so.1"
_MAX_GPUS = 64
_UUID_BYTES = 96


class GpuUsage(NamedTuple):
    """What a GPU does; `None` is unknown.

    Attributes:
        utilization_percent: The share of the time in which it computes.
        memory: Its memory in use, in bytes.
    """

    utilization_percent: int | None
    memory: int | None


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Memory(ctypes.Structure):
    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


class Gpus:
    """The GPUs that this process sees: those in `CUDA_VISIBLE_DEVICES`, or all, in that order."""

    def __init__(self, library: str = _LIBRARY) -> None:
        """Loads the driver's library.

        Args:
            library: Its name or path.

        Raises:
            OSError: It is missing, or the driver does not work.
        """
        self._library: Any = ctypes.CDLL(library)
        if self._library.nvmlInit_v2() != 0:
            raise OSError(f"{library} found no driver")
        self._gpus = self._find_visible(os.environ.get("CUDA_VISIBLE_DEVICES"))

    def read(self) -> list[GpuUsage]:
        """What each GPU does, in the order in which CUDA numbers them for this process."""
        return [self._read_gpu(gpu) for gpu in self._gpus]

    def close(self) -> None:
        """Releases what the library holds."""
        self._library.nvmlShutdown()
        self._gpus = []

    def _find_visible(self, visible: str | None) -> list[ctypes.c_void_p]:
        count = ctypes.c_uint()
        if self._library.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
            return []
        gpus: list[ctypes.c_void_p] = []
        for index in range(min(count.value, _MAX_GPUS)):
            gpu = ctypes.c_void_p()
            if self._library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(gpu)) == 0:
                gpus.append(gpu)
        if visible is None:
            return gpus
        chosen: list[ctypes.c_void_p] = []
        for name in visible.split(","):
            found = self._find(name.strip(), gpus)
            if found is None:
                # CUDA ignores what follows the first unknown GPU.
                break
            chosen.append(found)
        return chosen

    def _find(self, name: str, gpus: list[ctypes.c_void_p]) -> ctypes.c_void_p | None:
        if name.isdecimal():
            return gpus[int(name)] if int(name) < len(gpus) else None
        if name.startswith("MIG-"):
            part = ctypes.c_void_p()
            found = self._library.nvmlDeviceGetHandleByUUID(name.encode(), ctypes.byref(part))
            return part if found == 0 else None
        # The beginning of a UUID is enough for CUDA.
        if name.startswith("GPU-"):
            return next((gpu for gpu in gpus if self._read_uuid(gpu).startswith(name)), None)
        return None

    def _read_uuid(self, gpu: ctypes.c_void_p) -> str:
        text = ctypes.create_string_buffer(_UUID_BYTES)
        status = self._library.nvmlDeviceGetUUID(gpu, text, _UUID_BYTES)
        return text.value.decode(errors="replace") if status == 0 else ""

    def _read_gpu(self, gpu: ctypes.c_void_p) -> GpuUsage:
        utilization, memory = _Utilization(), _Memory()
        is_busy_known = (
            self._library.nvmlDeviceGetUtilizationRates(gpu, ctypes.byref(utilization)) == 0
        )
        is_memory_known = self._library.nvmlDeviceGetMemoryInfo(gpu, ctypes.byref(memory)) == 0
        return GpuUsage(
            int(utilization.gpu) if is_busy_known else None,
            int(memory.used) if is_memory_known else None,
        )
