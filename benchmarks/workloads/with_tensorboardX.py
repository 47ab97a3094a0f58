"""tensorboardX, which writes event files and has no reader of its own."""

from __future__ import annotations

import struct
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from workloads import Log

#: Peers are not installed where types are checked.
module: Any = import_module("tensorboardX")


@contextmanager
def recording() -> Generator[Log]:
    with module.SummaryWriter("events") as writer:

        def log(name: str, value: float, step: int) -> None:
            writer.add_scalar(name, value, step)

        yield log


def log_run(name: str, curves: dict[str, list[float]]) -> None:
    with module.SummaryWriter(f"events/{name}") as writer:
        for metric, values in curves.items():
            for step, value in enumerate(values):
                writer.add_scalar(metric, value, step)


def steps() -> list[int]:
    events: Any = import_module("tensorboardX.proto.event_pb2")
    logged: list[int] = []
    for path in Path("events").glob("events.out.tfevents.*"):
        for record in _records(path.read_bytes()):
            event = events.Event.FromString(record)
            logged += [event.step for value in event.summary.value if value.tag == "loss"]
    return logged


def _records(data: bytes) -> Iterator[bytes]:
    # A record: its length, the length's checksum, itself, its checksum.
    start = 0
    while start + 12 <= len(data):
        (length,) = struct.unpack_from("<Q", data, start)
        end = start + 12 + length
        if end + 4 > len(data):
            return
        yield data[start + 12 : end]
        start = end + 4
