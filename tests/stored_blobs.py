"""Blobs and uploads of a backend, for tests."""

from __future__ import annotations

import base64
import hashlib
import random
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

#: The start of a program for a child process that stores blobs in the database of its argument.
STORING = f"""
import os, signal, sys
sys.path.append({str(Path(__file__).parent)!r})
from pathlib import Path
import httpx
from afnio_tellurio.backend import BackendUser, open_backend
from stored_blobs import *
backend = open_backend(Path(sys.argv[1]), user=BackendUser("ada", "ada@example.com"))
api = httpx.Client(base_url="http://embedded", transport=httpx.WSGITransport(app=backend))
api.post("/api/v0/acme/projects/", json={{"display_name": "Digits"}})
"""
PROJECT = "/api/v0/acme/projects/digits/"
FRAMES = "application/vnd.tellurio.blobs"
BYTES = "application/octet-stream"
IN_ROW = 16 * 1024
MIB = 2**20


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def content_digest_of(data: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


def content(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def frame(data: bytes, digest: str | None = None, size: int | None = None) -> bytes:
    line = f"{digest or digest_of(data)} {len(data) if size is None else size}\n"
    return line.encode() + data


def put(
    api: httpx.Client, data: bytes, digest: str | None = None, project: str = PROJECT
) -> httpx.Response:
    path = f"{project}blobs/{digest or digest_of(data)}/"
    return api.put(path, content=data, headers={"Content-Type": BYTES})


def put_frames(api: httpx.Client, body: bytes, project: str = PROJECT) -> httpx.Response:
    return api.post(f"{project}blobs/batch/", content=body, headers={"Content-Type": FRAMES})


def missing(api: httpx.Client, *blobs: bytes, project: str = PROJECT) -> list[str]:
    wanted = [{"digest": digest_of(data), "size": len(data)} for data in blobs]
    answer = api.post(f"{project}blobs/check/", json={"blobs": wanted})
    assert answer.status_code == 200
    found: list[str] = answer.json()["missing"]
    return found


def start_upload(api: httpx.Client, data: bytes, project: str = PROJECT) -> httpx.Response:
    body = {"digest": digest_of(data), "size": len(data)}
    return api.post(f"{project}uploads/", json=body)


def put_part(
    api: httpx.Client,
    upload: str,
    number: int,
    data: bytes,
    *,
    digest: str | None = None,
    project: str = PROJECT,
) -> httpx.Response:
    headers = {"Content-Type": BYTES, "Content-Digest": digest or content_digest_of(data)}
    return api.put(f"{project}uploads/{upload}/parts/{number}/", content=data, headers=headers)


def complete(api: httpx.Client, upload: str, project: str = PROJECT) -> httpx.Response:
    return api.post(f"{project}uploads/{upload}/complete/")


def folder_of(database: Path) -> Path:
    return database.with_suffix(".blobs")


def files_of(database: Path) -> dict[str, bytes]:
    """The files of a database's folder by their paths in it."""
    folder = folder_of(database)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def place_of(data: bytes) -> str:
    return f"{digest_of(data)[:2]}/{digest_of(data)}"
