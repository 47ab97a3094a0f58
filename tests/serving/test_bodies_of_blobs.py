"""Large bodies with blobs, and their answers, as `serve` takes and sends them."""

import json
import tracemalloc
from types import SimpleNamespace

import pytest
from site_server import KEY
from stored_blobs import (
    BYTES,
    FRAMES,
    MIB,
    PROJECT,
    content,
    digest_of,
    files_of,
    frame,
    place_of,
)

from afnio_tellurio.backend import application, channels
from afnio_tellurio.backend.blob_answers import blob_answer
from afnio_tellurio.backend.requests import project_of
from afnio_tellurio.backend.store.blobs import find_blobs

AUTHORIZED = {"Authorization": f"Api-Key {KEY}"}


@pytest.fixture
def project(serving):
    body = json.dumps({"display_name": "Digits"}).encode()
    headers = {"Content_Type": "application/json", **AUTHORIZED}
    assert serving.ask("POST", "/api/v0/acme/projects/", body, **headers).status == 201


def put(serving, data, digest=None, content_type=BYTES, **headers):
    path = f"{PROJECT}blobs/{digest or digest_of(data)}/"
    return serving.ask("PUT", path, data, Content_Type=content_type, **headers)


@pytest.mark.usefixtures("project")
def test_a_blob_needs_a_key_before_its_body_is_read(serving):
    data = content(channels.MAX_KEYLESS_BODY_BYTES + 1)
    assert put(serving, data).status == 401
    assert put(serving, data, **AUTHORIZED).status == 204
    assert put(serving, data, Authorization="Api-Key other").status == 401
    assert files_of(serving.backend.path) == {place_of(data): data}


@pytest.mark.usefixtures("project")
def test_the_largest_body_of_frames_is_taken_and_one_above_all_limits_is_not(serving):
    blobs = [content(16 * MIB // 1000 - 1, number) for number in range(999)]
    blobs.append(content(16 * MIB - sum(map(len, blobs)), 999))
    body = b"".join(map(frame, blobs))
    assert len(body) > 16 * MIB
    headers = {"Content_Type": FRAMES, **AUTHORIZED}
    assert serving.ask("POST", f"{PROJECT}blobs/batch/", body, **headers).status == 204
    head = {**headers, "Content_Length": str(application.MAX_STREAM_BYTES + 1)}
    answer = serving.ask("POST", f"{PROJECT}blobs/batch/", **head)
    assert (answer.status, json.loads(answer.body)["code"]) == (413, "too_large")


@pytest.mark.usefixtures("project")
def test_other_bodies_keep_their_limit(serving):
    path = f"{PROJECT}blobs/check/"
    for content_type in ("application/json", "application/json; x=application/octet-stream"):
        headers = {"Content_Type": content_type, "Content_Length": str(9 * MIB), **AUTHORIZED}
        answer = serving.ask("POST", path, **headers)
        assert (answer.status, json.loads(answer.body)["code"]) == (413, "too_large")


@pytest.mark.usefixtures("project")
def test_a_blob_is_never_whole_in_memory(serving):
    data = content(16 * MIB)
    digest = digest_of(data)
    put(serving, b"warm", **AUTHORIZED)
    tracemalloc.start()
    try:
        assert put(serving, data, digest, **AUTHORIZED).status == 204
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MIB


@pytest.mark.usefixtures("project")
def test_an_attachment_has_each_header_once(serving, monkeypatch):
    """A browser ignores some that are repeated."""

    def download_artifact_file(call):
        with call.database.reading() as connection:
            ((digest, row),) = find_blobs(
                connection, project_of(connection, call), [digest_of(b"x")]
            ).items()
        return blob_answer(call, digest=digest, size=row.size, blob=row.id)

    operations = SimpleNamespace(download_artifact_file=download_artifact_file)
    monkeypatch.setattr(application, "_MODULES", (operations, *application._MODULES))
    monkeypatch.setattr(serving.backend, "_routes", application._routes())
    assert put(serving, b"x", **AUTHORIZED).status == 204
    path = f"{PROJECT}artifacts/a/versions/v0/file/?path=x"
    answer = serving.ask("GET", path, **AUTHORIZED)
    assert answer.body == b"x"
    names = [name for name, _ in answer.getheaders()]
    assert len(names) == len(set(names))
    assert answer.getheader("Content-Security-Policy") == "sandbox; default-src 'none'"
    assert answer.getheader("Cross-Origin-Resource-Policy") == "same-origin"
    assert answer.getheader("Cache-Control") == "no-store"
