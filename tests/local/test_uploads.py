"""Uploads: blobs that arrive in parts, in any order, again, at once, and after a crash."""

import os
import sqlite3
import stat
import sys
import threading
from contextlib import closing

import exchanges
import pytest
from stored_blobs import (
    IN_ROW,
    MIB,
    PROJECT,
    STORING,
    complete,
    content,
    digest_of,
    files_of,
    folder_of,
    missing,
    place_of,
    put_part,
    start_upload,
)

from afnio_tellurio.backend import uploads
from afnio_tellurio.backend.store import blob_removal
from afnio_tellurio.backend.store import uploads as stored_uploads

DATA = content(3 * MIB + 5)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Parts of 1 MiB."""
    monkeypatch.setattr(uploads, "PART_BYTES", MIB)


def part(number, data=DATA):
    return data[(number - 1) * MIB : number * MIB]


def begun(api, data=DATA):
    answer = start_upload(api, data)
    assert answer.status_code == 201
    assert answer.json()["received"] == []
    return answer.json()["uuid"]


def sent(api, data=DATA):
    upload = begun(api, data)
    for number in range(1, -(-len(data) // MIB) + 1):
        assert put_part(api, upload, number, part(number, data)).status_code == 204
    return upload


def received(api, upload):
    return api.get(f"{PROJECT}uploads/{upload}/").json()["received"]


@pytest.mark.parametrize("size", [1, IN_ROW, IN_ROW + 1, MIB, 3 * MIB + 5])
def test_parts_become_a_blob(api, database, size):
    data = content(size)
    upload = sent(api, data)
    assert missing(api, data) == [digest_of(data)]
    assert complete(api, upload).status_code == 204
    assert missing(api, data) == []
    assert files_of(database) == ({} if size <= IN_ROW else {place_of(data): data})
    answers = [
        api.get(f"{PROJECT}uploads/{upload}/"),
        api.delete(f"{PROJECT}uploads/{upload}/"),
        complete(api, upload),
        put_part(api, upload, 1, part(1)),
    ]
    assert [answer.status_code for answer in answers] == [404] * 4
    if size > IN_ROW and sys.platform != "win32":
        assert stat.S_IMODE((folder_of(database) / place_of(data)).stat().st_mode) == 0o400


def test_parts_arrive_in_any_order_and_again(api, database):
    upload = begun(api)
    for number in (4, 2, 2, 4, 1):
        assert put_part(api, upload, number, part(number)).status_code == 204
    assert received(api, upload) == [1, 2, 4]
    again = start_upload(api, DATA)
    assert again.status_code == 200
    assert again.json() == {
        "uuid": upload, "digest": digest_of(DATA), "size": len(DATA), "part_size": MIB,
        "received": [1, 2, 4],
    }  # fmt: skip
    answer = complete(api, upload)
    assert (answer.status_code, answer.json()["code"]) == (409, "upload_incomplete")
    assert answer.json()["detail"] == "The upload lacks 1 of 4 parts."
    assert put_part(api, upload, 3, part(3)).status_code == 204
    assert complete(api, upload.upper()).status_code == 204
    assert files_of(database) == {place_of(DATA): DATA}


def test_an_invalid_part_is_not_recorded(api):
    upload = begun(api)
    other = part(1)[1:] + b"x"
    digest = "sha-256=:" + "A" * 43 + "=:"
    answers = [
        put_part(api, upload, 1, other, digest=digest),
        put_part(api, upload, 1, part(1)[:-1]),
        put_part(api, upload, 1, part(1) + b"x"),
        put_part(api, upload, 1, b""),
        put_part(api, upload, 5, part(4)),
        put_part(api, upload, 4, part(1)),
    ]
    with exchanges.departing("request"):
        answers += [
            put_part(api, upload, 1, part(1), digest=digest)
            for digest in ("x", "sha-256=:AAAA:", "md5=:" + "A" * 43 + "=:", digest + ", " + digest)
        ]
        path = f"{PROJECT}uploads/{upload}/parts/1/"
        headers = {"Content-Type": "application/octet-stream"}
        answers.append(api.put(path, content=part(1), headers=headers))
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert received(api, upload) == []
    assert put_part(api, upload, 1, part(1)).status_code == 204
    # A part that is there is checked too.
    assert put_part(api, upload, 1, other, digest=digest).status_code == 400
    assert received(api, upload) == [1]


@pytest.mark.parametrize("number", ["0", "01", "-1", "x", "100000", "1.0"])
def test_a_part_has_a_number(api, number):
    upload = begun(api)
    with exchanges.departing("request"):
        assert put_part(api, upload, number, part(1)).status_code == 404


def test_a_part_that_is_there_is_not_written_again(api, database):
    """Else who knows another content of the same length could change what was verified."""
    upload = sent(api)
    other = bytes(MIB)
    assert put_part(api, upload, 1, other).status_code == 204
    assert complete(api, upload).status_code == 204
    assert files_of(database) == {place_of(DATA): DATA}


def test_parts_with_another_digest_are_removed(api, database):
    upload = begun(api)
    for number in range(1, 5):
        data = part(number) if number < 4 else part(number)[::-1]
        assert put_part(api, upload, number, data).status_code == 204
    answer = complete(api, upload)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert answer.json()["digest"][0].startswith("The parts have the SHA-256 ")
    assert api.get(f"{PROJECT}uploads/{upload}/").status_code == 404
    assert not files_of(database)
    assert missing(api, DATA) == [digest_of(DATA)]


def test_an_upload_is_aborted(api, database):
    upload = sent(api)
    assert api.delete(f"{PROJECT}uploads/{upload}/").status_code == 204
    assert api.delete(f"{PROJECT}uploads/{upload}/").status_code == 404
    assert not files_of(database)
    assert begun(api) != upload


def test_an_upload_of_another_size_replaces_one(api, database):
    upload = begun(api)
    body = {"digest": digest_of(DATA), "size": len(DATA) + 1}
    answer = api.post(f"{PROJECT}uploads/", json=body)
    assert answer.status_code == 201
    assert api.get(f"{PROJECT}uploads/{upload}/").status_code == 404
    assert list(files_of(database)) == [f".part/{answer.json()['uuid']}.upload"]


def test_uploads_have_bounds(api):
    for size in (0, 2**40 + 1, 2**70):
        with exchanges.departing("request"):
            body = {"digest": digest_of(DATA), "size": size}
            assert api.post(f"{PROJECT}uploads/", json=body).status_code == 400
    body = {"digest": digest_of(DATA), "size": 2**40}
    answer = api.post(f"{PROJECT}uploads/", json=body).json()
    assert answer["part_size"] == uploads.MAX_PART_BYTES
    assert -(-(2**40) // answer["part_size"]) <= uploads.MAX_PARTS


def test_part_sizes_grow_with_the_blob(monkeypatch):
    monkeypatch.undo()
    for size in (1, 16 * MIB, 160_000 * MIB, 160_000 * MIB + 1, 2**40):
        part_size = uploads.part_size_of(size)
        assert 16 * MIB <= part_size <= uploads.MAX_PART_BYTES
        assert -(-size // part_size) <= uploads.MAX_PARTS


def test_projects_do_not_see_the_uploads_of_others(api):
    upload = begun(api)
    other = "/api/v0/acme/projects/other/"
    assert start_upload(api, DATA, project=other).status_code == 404
    assert api.post("/api/v0/acme/projects/", json={"display_name": "Other"}).status_code == 201
    assert put_part(api, upload, 1, part(1), project=other).status_code == 404
    assert complete(api, upload, project=other).status_code == 404
    assert api.get(f"{other}uploads/{upload}/").status_code == 404
    assert api.delete(f"{other}uploads/{upload}/").status_code == 404
    assert start_upload(api, DATA, project=other).status_code == 201


def test_verifying_goes_on_with_the_next_request(api, database, monkeypatch):
    upload = sent(api)
    monkeypatch.setattr(uploads, "VERIFY_SECONDS", -1.0)
    answers = []
    while (answer := complete(api, upload)).status_code == 202:
        assert answer.json()["received"] == [1, 2, 3, 4]
        answers.append(answer)
    assert answer.status_code == 204
    # A piece for each request.
    assert len(answers) == 12
    assert files_of(database) == {place_of(DATA): DATA}


def test_verifying_starts_again_in_another_process(api, database, monkeypatch):
    upload = sent(api)
    monkeypatch.setattr(uploads, "VERIFY_SECONDS", -1.0)
    for _ in range(5):
        assert complete(api, upload).status_code == 202
    stored_uploads._verifications.clear()
    answers = 0
    while complete(api, upload).status_code == 202:
        answers += 1
    assert answers == 12
    assert files_of(database) == {place_of(DATA): DATA}


def test_verifications_that_nobody_ends_are_forgotten():
    for number in range(1000):
        stored_uploads.verification_of(str(number))
    assert len(stored_uploads._verifications) <= stored_uploads._MAX_VERIFICATIONS + 1
    assert stored_uploads.verification_of("999") is stored_uploads.verification_of("999")


def at_once(count, action):
    answers, barrier = [], threading.Barrier(count)

    def act(number):
        barrier.wait()
        answers.append(action(number))

    threads = [threading.Thread(target=act, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_parts_and_completions_at_once(api, database):
    upload = begun(api)
    answers = at_once(
        12, lambda number: put_part(api, upload, 1 + number % 4, part(1 + number % 4))
    )
    assert [answer.status_code for answer in answers] == [204] * 12
    answers = at_once(6, lambda _: complete(api, upload).status_code)
    assert sorted(answers) == [204] + [404] * 5
    assert files_of(database) == {place_of(DATA): DATA}


def test_who_completes_waits_for_who_writes_a_part(embedded, database, monkeypatch):
    """The part may be another content for what is about to be verified."""
    upload = sent(embedded)
    path = stored_uploads.path_of(blob_removal.BlobFolder(database), upload)
    monkeypatch.setattr(uploads, "VERIFY_SECONDS", 0.0)
    with path.open("r+b") as file:
        assert uploads.try_lock(file.fileno())
        assert complete(embedded, upload).status_code == 202
        monkeypatch.setattr(uploads, "_LOCK_SECONDS", 0.0)
        uploads.unlock(file.fileno())
    monkeypatch.setattr(uploads, "VERIFY_SECONDS", 5.0)
    assert complete(embedded, upload).status_code == 204


def test_a_lost_file_ends_the_upload(api, database):
    for action in (
        lambda upload: complete(api, upload),
        lambda upload: put_part(api, upload, 4, part(4)),
    ):
        upload = begun(api)
        for number in range(1, 4):
            assert put_part(api, upload, number, part(number)).status_code == 204
        if action.__code__.co_names[0] == "complete":
            assert put_part(api, upload, 4, part(4)).status_code == 204
        (folder_of(database) / ".part" / f"{upload}.upload").unlink()
        assert action(upload).status_code == 404
        assert api.get(f"{PROJECT}uploads/{upload}/").status_code == 404
    begun(api)
    for path in (folder_of(database) / ".part").iterdir():
        path.unlink()
    assert start_upload(api, DATA).status_code == 201


STEPS = {
    "a part before it is on the disk": "uploads.synchronize = die",
    "a part before it is recorded": "stored.record_part = die",
    "a blob before it is in its place": "blob_files.BlobFolder.place = die",
    "a blob before it is recorded": "blob_writing.record_blobs = die",
    "a blob before its upload is removed": "stored.remove_upload = die",
}


@pytest.mark.parametrize("step", STEPS)
def test_an_upload_goes_on_after_a_killed_process(start_python, embedded, database, step):
    upload = begun(embedded)
    program = STORING + (
        "from afnio_tellurio.backend import uploads\n"
        "from afnio_tellurio.backend.store import blob_files, blob_writing\n"
        "from afnio_tellurio.backend.store import uploads as stored\n"
        "def die(*_arguments): os.kill(os.getpid(), signal.SIGKILL)\n"
        f"{STEPS[step]}\n"
        "data, upload = content(3 * MIB + 5), sys.argv[2]\n"
        "for number in range(4):\n"
        "    assert put_part(api, upload, number + 1, data[number * MIB :][:MIB]).status_code == 204\n"
        "complete(api, upload)\n"
    ).replace(
        "from stored_blobs import *",
        "from stored_blobs import *\nfrom afnio_tellurio.backend import uploads\nuploads.PART_BYTES = MIB",
    )
    process = start_python("-c", program, str(database), upload)
    _, errors = process.communicate()
    assert process.returncode == -9, errors
    assert missing(embedded, DATA) == [digest_of(DATA)]
    assert received(embedded, upload) == ([] if "a part" in step else [1, 2, 3, 4])
    for number in range(1, 5):
        assert put_part(embedded, upload, number, part(number)).status_code == 204
    assert complete(embedded, upload).status_code == 204
    assert missing(embedded, DATA) == []
    left = set(files_of(database)) - {place_of(DATA)}
    assert all(path.endswith(".tmp") for path in left)
    assert list(blob_removal.verify(embedded.backend._database)) == []


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such limit")
def test_a_full_disk_refuses_a_part_until_there_is_room(start_python, embedded, database):
    upload = begun(embedded)
    program = STORING + (
        "import resource\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "limits = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "data, upload = content(3 * MIB + 5), sys.argv[2]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (MIB + 10, limits[1]))\n"
        "for number in range(2):\n"
        "    answer = put_part(api, upload, number + 1, data[number * MIB :][:MIB])\n"
        "    print(answer.status_code, answer.text)\n"
    )
    process = start_python("-c", program, str(database), upload)
    output, errors = process.communicate()
    first, second = output.split("\n")[:2]
    assert first == "204 ", (output, errors)
    assert second.startswith("503 "), (output, errors)
    assert received(embedded, upload) == [1]
    for number in range(2, 5):
        assert put_part(embedded, upload, number, part(number)).status_code == 204
    assert complete(embedded, upload).status_code == 204
    assert files_of(database) == {place_of(DATA): DATA}


def test_a_disk_without_links_moves_the_file(api, database, monkeypatch):
    def refuse(*_paths):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    assert complete(api, sent(api)).status_code == 204
    assert files_of(database) == {place_of(DATA): DATA}


def test_an_upload_expires_after_seven_days_without_a_part(embedded, database):
    upload = begun(embedded)
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("UPDATE uploads SET updated = updated - ?", (stored_uploads.KEPT,))
    assert embedded.get(f"{PROJECT}uploads/{upload}/").status_code == 404
    assert begun(embedded) != upload
    assert len(files_of(database)) == 1
