"""Logs what the processes of a run use, as metrics, from a thread."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import weakref
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from afnio_tellurio.capture.cgroups import read_group_memory
from afnio_tellurio.capture.processes import processor_seconds, read_tree
from afnio_tellurio.clock import monotonic
from afnio_tellurio.deadlines import seconds_left
from afnio_tellurio.errors import RunFinishedError
from afnio_tellurio.forks import importing
from afnio_tellurio.logs import log
from afnio_tellurio.settings.limits import (
    MIN_SYSTEM_INTERVAL,
    SYSTEM_INTERVAL,
    SYSTEM_SAMPLE_TIME,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from afnio_tellurio.capture.gpus import Gpus
    from afnio_tellurio.capture.processes import ProcessKey, ProcessUsage

#: Seconds that the end of a run waits for a sample in progress: a driver may hang.
PATIENCE = 2.0


def checked_interval(call: str, system_metrics: Any) -> float | None:
    """The seconds between two samples, or `None` for no samples.

    Raises:
        TypeError: It is neither a bool nor a number.
        ValueError: It is too small, infinite, or NaN.
    """
    if isinstance(system_metrics, bool):
        return SYSTEM_INTERVAL if system_metrics else None
    if not isinstance(system_metrics, int | float):
        raise TypeError(
            f"{call}: system_metrics is {system_metrics!r}; it must be True, False, "
            "or a number of seconds"
        )
    if not MIN_SYSTEM_INTERVAL <= system_metrics <= threading.TIMEOUT_MAX:
        raise ValueError(
            f"{call}: system_metrics is {system_metrics!r}; the seconds between two samples must "
            f"be {MIN_SYSTEM_INTERVAL:g} or more, and finite"
        )
    return float(system_metrics)


class Sampler:
    """Reads what this process and its descendants use."""

    def __init__(self, gpus: Gpus | None = None) -> None:
        self._process = os.getpid()
        self._gpus = gpus
        self._time = math.nan
        self._usages: dict[ProcessKey, ProcessUsage] = {}

    def sample(self) -> dict[str, float]:
        """The metrics of this moment. What cannot be read is left out.

        The time of processors is that since the sample before, so the first one has none.
        """
        now, usages = monotonic(), read_tree(self._process)
        metrics: dict[str, float] = {}
        if now > self._time:
            seconds = processor_seconds(self._usages, usages)
            metrics["system/cpu_percent"] = 100 * seconds / (now - self._time)
        self._time, self._usages = now, usages
        memories = [usage.memory for usage in usages.values() if usage.memory is not None]
        if memories:
            metrics["system/memory_bytes"] = sum(memories)
        group = read_group_memory()
        if group is not None:
            metrics["system/cgroup_memory_bytes"] = group.used
            if group.percent_of_limit is not None:
                metrics["system/memory_percent_of_limit"] = group.percent_of_limit
        for index, gpu in enumerate([] if self._gpus is None else self._gpus.read()):
            if gpu.utilization_percent is not None:
                metrics[f"system/gpu{index}/utilization_percent"] = gpu.utilization_percent
            if gpu.memory is not None:
                metrics[f"system/gpu{index}/memory_bytes"] = gpu.memory
        return metrics


class MetricsLog(Protocol):
    """A run, as this module sees it."""

    def log_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Logs metrics; see `Run.log_metrics`."""
        ...


class SystemMetrics:
    """The thread that samples for one run, until the run ends."""

    def __init__(self, run: MetricsLog, interval: float) -> None:
        # A signal handler may put into it at any time, unlike an event.
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._run = weakref.ref(run, lambda _: self._bell.put(None))
        self._interval = interval
        # A forked child does not sample: its parent counts it.
        self._process = os.getpid()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread."""
        if self._process != os.getpid():
            return
        thread = threading.Thread(target=self._sample_on, name="tellurio-system", daemon=True)
        # The interpreter starts no threads while it shuts down.
        with suppress(RuntimeError):
            thread.start()
            self._thread = thread

    def stop(self) -> None:
        """Ends the thread, and waits for that up to `PATIENCE` and the deadline."""
        thread, self._thread = self._thread, None
        if thread is not None and self._process == os.getpid():
            self._bell.put(None)
            thread.join(seconds_left(PATIENCE))

    def _sample_on(self) -> None:
        gpus = None
        try:
            gpus = _find_gpus()
            sampler = Sampler(gpus)
            while True:
                started = time.thread_time()
                if not self._log(sampler.sample()):
                    return
                if self._is_stopped_within(self._pause(time.thread_time() - started)):
                    return
        except Exception as error:  # noqa: BLE001 - what is only informative must not trouble a program
            log(logging.DEBUG, f"system metrics are not sampled: {error!r}")
        finally:
            if gpus is not None:
                gpus.close()

    def _log(self, metrics: dict[str, float]) -> bool:
        """Logs one sample; returns False if the run does not take any more."""
        run = self._run()
        if run is None:
            return False
        try:
            run.log_metrics(metrics)
        except RunFinishedError:
            # The run ended meanwhile.
            return False
        return True

    def _pause(self, cost: float) -> float:
        """The seconds to the next sample: more if one takes long, as of many processes."""
        return self._interval * max(1.0, cost / SYSTEM_SAMPLE_TIME)

    def _is_stopped_within(self, seconds: float) -> bool:
        try:
            self._bell.get(timeout=seconds)
        except Empty:
            return False
        return True


def _find_gpus() -> Gpus | None:
    try:
        # Not at the top: it imports ctypes, which not every Python has.
        with importing():
            from afnio_tellurio.capture.gpus import Gpus

        return Gpus()
    except (ImportError, OSError, AttributeError):
        # There is no driver of NVIDIA, or a very old one.
        return None
