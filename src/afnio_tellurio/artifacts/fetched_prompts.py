"""Keeps the prompts that were read last, for programs that read them again without a backend."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from afnio_tellurio.artifacts.cache import PROMPTS
from afnio_tellurio.files import make_private_directory, replace_whole
from afnio_tellurio.interruptions import ignored

if TYPE_CHECKING:
    from pathlib import Path


class FetchedPrompt(msgspec.Struct, frozen=True):
    """A version of a prompt that was read.

    Attributes:
        name: The name of the artifact.
        version: The version, for example `v3`.
        digest: The digest of the version.
        metadata: Its metadata in their JSON form.
        path: The path of its file.
        text: The text of that.
    """

    name: str
    version: str
    digest: str
    metadata: dict[str, Any]
    path: str
    text: str


class _Record(msgspec.Struct):
    prompt: msgspec.Raw
    sha256: str


def remember(folder: Path, reference: str, prompt: FetchedPrompt) -> None:
    """Keeps a prompt as the last one of a reference.

    Args:
        folder: The folder of the cache; it is created if missing.
        reference: The backend, the project, and the reference.
        prompt: The prompt.

    Raises:
        OSError: The disk does not take it.
    """
    data = msgspec.json.encode(prompt)
    record = _Record(msgspec.Raw(data), hashlib.sha256(data).hexdigest())
    path = _path_of(folder, reference)
    make_private_directory(path.parent)
    with replace_whole(path) as file:
        file.write(msgspec.json.encode(record))


def recall(folder: Path, reference: str) -> FetchedPrompt | None:
    """Returns the last prompt of a reference, or None if none is there or it is damaged."""
    # It is read from the backend again.
    with ignored(OSError, msgspec.MsgspecError):
        record = msgspec.json.decode(_path_of(folder, reference).read_bytes(), type=_Record)
        if hashlib.sha256(record.prompt).hexdigest() == record.sha256:
            return msgspec.json.decode(record.prompt, type=FetchedPrompt)
    return None


def _path_of(folder: Path, reference: str) -> Path:
    name = hashlib.sha256(reference.encode()).hexdigest()
    return folder / PROMPTS / f"{name}.json"
