"""wandb in its offline mode, which writes a file that `wandb sync` would upload."""

from __future__ import annotations

import json
import struct
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from workloads import Log

#: Peers are not installed where types are checked.
wandb: Any = import_module("wandb")
#: The file begins with its mark and version; then come blocks, and in them parts of records, each
#: with a checksum, its length and its kind.
FILE_HEADER, BLOCK, PART_HEADER = 7, 32 * 1024, 7
WHOLE, LAST = 1, 4


@contextmanager
def recording() -> Generator[Log]:
    with wandb.init(project="bench") as run:

        def log(name: str, value: float, step: int) -> None:
            run.log({name: value}, step=step)

        yield log


def log_folder(folder: Path) -> None:
    artifact = wandb.Artifact("files", type="dataset")
    artifact.add_dir(str(folder))
    wandb.log_artifact(artifact)


def steps() -> list[int]:
    protocol: Any = import_module("wandb.proto.wandb_internal_pb2")
    logged: list[int] = []
    for path in Path("wandb").glob("offline-run-*/run-*.wandb"):
        for data in _records(path.read_bytes()):
            record = protocol.Record.FromString(data)
            if record.WhichOneof("record_type") == "history":
                keys = {
                    (item.key or "/".join(item.nested_key)): item for item in record.history.item
                }
                if "loss" in keys:
                    logged.append(int(json.loads(keys["_step"].value_json)))
    return logged


def _records(data: bytes) -> Iterator[bytes]:
    start, record = FILE_HEADER, b""
    while start + PART_HEADER <= len(data):
        left = BLOCK - start % BLOCK
        if left < PART_HEADER:
            start += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, start)
        end = start + PART_HEADER + length
        if not kind or end > len(data):
            return
        record += data[start + PART_HEADER : end]
        if kind in {WHOLE, LAST}:
            yield record
            record = b""
        start = end
