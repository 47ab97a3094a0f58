"""The bytes of blobs in answers: the whole, ranges, headers, and files that are closed again."""

import os
import sqlite3
import sys
from contextlib import closing
from types import SimpleNamespace

import httpx
import pytest
from awaiting_events import wait_until
from stored_blobs import (
    IN_ROW,
    MIB,
    PROJECT,
    complete,
    content,
    digest_of,
    folder_of,
    place_of,
    put,
    put_part,
    start_upload,
)

from afnio_tellurio.backend import application
from afnio_tellurio.backend.blob_answers import blob_answer
from afnio_tellurio.backend.requests import project_of
from afnio_tellurio.backend.store.blobs import find_blobs

SMALL, LARGE = content(100), content(IN_ROW + 1000)


def download_artifact_file(call):
    """Answers with the blob that the path names by its digest."""
    digest = call.parameter("path")
    with call.database.reading() as connection:
        row = find_blobs(connection, project_of(connection, call), [digest])[digest]
    return blob_answer(call, digest=digest, size=row.size, blob=row.id)


@pytest.fixture(autouse=True)
def downloads(monkeypatch):
    """Files of artifacts are blobs by their digests."""
    operations = SimpleNamespace(download_artifact_file=download_artifact_file)
    monkeypatch.setattr(application, "_MODULES", (operations, *application._MODULES))


def get(api, data, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    path = f"{PROJECT}artifacts/a/versions/v0/file/"
    return api.get(path, params={"path": digest_of(data)}, headers=headers)


@pytest.mark.parametrize("size", [0, 1, IN_ROW, IN_ROW + 1, 3 * MIB])
def test_a_whole_blob_is_an_attachment(api, size):
    data = content(size)
    assert put(api, data).status_code == 204
    answer = get(api, data)
    assert (answer.status_code, answer.content) == (200, data)
    expected = {
        "ETag": f'"{digest_of(data)}"',
        "Accept-Ranges": "bytes",
        "Content-Length": str(size),
        "Content-Type": "application/octet-stream",
        "Content-Disposition": "attachment",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    assert {name: answer.headers.get_list(name) for name in expected} == {
        name: [value] for name, value in expected.items()
    }
    assert "Content-Range" not in answer.headers


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["in its row", "in a file"])
@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=5-9", slice(5, 10)),
        ("bytes=99-", slice(99, None)),
        ("bytes=0-", slice(0, None)),
        ("bytes=-1", slice(-1, None)),
        ("bytes=-100", slice(-100, None)),
        ("bytes=-999999", slice(0, None)),
        ("bytes=50-" + "9" * 10_000, slice(50, None)),
        ("bytes=-" + "9" * 10_000, slice(0, None)),
        ("Bytes=00005-00009", slice(5, 10)),
    ],
)
def test_a_range_is_answered_alone(api, data, text, part):
    assert put(api, data).status_code == 204
    answer = get(api, data, Range=text)
    assert (answer.status_code, answer.content) == (206, data[part])
    start, end, _ = part.indices(len(data))
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(data)}"
    assert answer.headers["Content-Length"] == str(end - start)
    assert answer.headers["ETag"] == f'"{digest_of(data)}"'


@pytest.mark.parametrize(
    "text",
    [
        "bytes=0-1,3-4",
        "bytes=5-4",
        "bytes=-",
        "bytes=",
        "bytes=a-b",
        "lines=0-1",
        "0-1",
    ],
)
def test_another_range_is_answered_with_the_whole(api, text):
    assert put(api, SMALL).status_code == 204
    answer = get(api, SMALL, Range=text)
    assert (answer.status_code, answer.content) == (200, SMALL)


@pytest.mark.parametrize(
    "text", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=" + "9" * 99 + "-"]
)
def test_a_range_behind_the_end_is_refused(api, text):
    assert put(api, SMALL).status_code == 204
    answer = get(api, SMALL, Range=text)
    assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["Content-Range"] == "bytes */100"


def test_a_range_of_another_content_is_answered_with_the_whole(api):
    assert put(api, SMALL).status_code == 204
    own, other = f'"{digest_of(SMALL)}"', f'"{digest_of(LARGE)}"'
    assert get(api, SMALL, Range="bytes=0-1", If_Range=own).status_code == 206
    assert get(api, SMALL, Range="bytes=0-1", If_Range=other).content == SMALL


def test_a_missing_or_damaged_file_is_answered_with_503(api, database):
    assert put(api, LARGE).status_code == 204
    path = folder_of(database) / place_of(LARGE)
    path.chmod(0o600)
    path.write_bytes(LARGE[:-1])
    assert get(api, LARGE).status_code == 503
    path.unlink()
    answer = get(api, LARGE)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert digest_of(LARGE) in answer.json()["detail"]


def test_a_blob_whose_row_is_gone_is_not_found(api, database, monkeypatch):
    def answer_late(call, **blob):
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("DELETE FROM blobs")
        return original(call, **blob)

    original = blob_answer
    assert put(api, SMALL).status_code == 204
    monkeypatch.setitem(globals(), "blob_answer", answer_late)
    assert get(api, SMALL).status_code == 404


@pytest.mark.skipif(sys.platform != "linux", reason="it counts the open files in /proc")
def test_the_file_is_closed_when_the_client_goes_away(server):
    # More than the server keeps for a client that does not read.
    data = bytes(48 * MIB)
    api = httpx.Client(base_url=server, headers={"Authorization": "Api-Key the-key"})
    api.post("/api/v0/acme/projects/", json={"display_name": "Digits"})
    upload = start_upload(api, data).json()
    for number in range(3):
        part = data[: upload["part_size"]]
        assert put_part(api, upload["uuid"], number + 1, part).status_code == 204
    assert complete(api, upload["uuid"]).status_code == 204

    def is_open():
        links = (f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd"))
        return any(os.path.realpath(link).endswith(digest_of(data)) for link in links)

    path = f"{PROJECT}artifacts/a/versions/v0/file/"
    with api.stream("GET", path, params={"path": digest_of(data)}) as answer:
        assert answer.status_code == 200
        # The client closes the connection when it is dropped.
        pieces = answer.iter_bytes(1000)
        next(pieces)
        assert is_open()
    api.close()
    wait_until(lambda: not is_open())


def test_a_reader_keeps_the_bytes_of_a_blob_that_is_removed(embedded, database):
    assert put(embedded, LARGE).status_code == 204
    path = f"{PROJECT}artifacts/a/versions/v0/file/"
    with embedded.stream("GET", path, params={"path": digest_of(LARGE)}) as answer:
        (folder_of(database) / place_of(LARGE)).unlink()
        assert answer.read() == LARGE
