"""Blobs: what is stored, what is refused, and what is on the disk then."""

import os
import sqlite3
import stat
import sys
import threading
from contextlib import closing

import exchanges
import pytest
from stored_blobs import (
    BYTES,
    IN_ROW,
    MIB,
    PROJECT,
    STORING,
    content,
    digest_of,
    files_of,
    folder_of,
    frame,
    missing,
    place_of,
    put,
    put_frames,
)

import afnio_tellurio as te
from afnio_tellurio.backend.store import blob_files, blob_removal

LARGE = content(IN_ROW + 1)
OTHER = "/api/v0/acme/projects/other/"


def rows(database):
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT digest, size, data FROM blobs ORDER BY id").fetchall()


def put_framed(api, data):
    return put_frames(api, frame(data))


@pytest.mark.parametrize("size", [0, 1, IN_ROW, IN_ROW + 1, MIB + 3, 16 * MIB])
@pytest.mark.parametrize("send", [put, put_framed])
def test_a_blob_of_any_size_is_stored_once(api, database, size, send):
    data = content(size)
    assert missing(api, data) == [digest_of(data)]
    for _ in range(2):
        assert send(api, data).status_code == 204
        assert missing(api, data) == []
    is_small = size <= IN_ROW
    assert rows(database) == [(digest_of(data), size, data if is_small else None)]
    assert files_of(database) == ({} if is_small else {place_of(data): data})


def test_several_blobs_are_stored_with_their_repetitions(api, database):
    blobs = [content(size, seed) for seed, size in enumerate([0, 5, IN_ROW, IN_ROW + 1, 99_999])]
    assert put_frames(api, b"".join(map(frame, [*blobs, *blobs]))).status_code == 204
    assert missing(api, *blobs) == []
    assert [(digest, size) for digest, size, _ in rows(database)] == [
        (digest_of(data), len(data)) for data in blobs
    ]
    assert set(files_of(database)) == {place_of(data) for data in blobs[3:]}


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such modes")
def test_only_the_owner_reads_blobs_and_nobody_changes_them(api, database):
    assert put(api, LARGE).status_code == 204
    folder = folder_of(database)
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    assert stat.S_IMODE((folder / place_of(LARGE)).stat().st_mode) == 0o400


@pytest.mark.parametrize("size", [3, IN_ROW + 1, MIB])
def test_bytes_with_another_digest_are_not_stored(api, database, size):
    data = content(size)
    wrong = digest_of(data + b"more")
    for answer in (put(api, data, wrong), put_frames(api, frame(b"a") + frame(data, wrong))):
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
        assert "another SHA-256" in answer.json()["digest"][0]
    assert not files_of(database)
    assert wrong not in {digest for digest, *_ in rows(database)}


INVALID_FRAMES = [
    b"",
    b"nonsense",
    b"\n",
    frame(b"abc", size=2),
    frame(b"abc", size=4),
    frame(LARGE)[:-1],
    frame(b"abc").upper(),
    frame(b"abc").replace(b" ", b"  "),
    frame(b"abc").replace(b" 3\n", b" 3\r\n"),
    frame(b"abc").replace(b" 3\n", b" 03\n"),
    frame(b"abc").replace(b" 3\n", b" -3\n"),
    frame(b"abc").replace(b" 3\n", b" " + b"3" * 100 + b"\n"),
    b"../" + frame(b"abc"),
    frame(b"abc", digest="../../../../../../../../../../tmp/" + "a" * 30),
    frame(b"abc")[:40],
]


@pytest.mark.parametrize("body", INVALID_FRAMES, ids=range(len(INVALID_FRAMES)))
def test_a_body_that_is_not_blobs_is_refused(api, database, body):
    answer = put_frames(api, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert not rows(database)
    assert not files_of(database)


def test_bodies_above_the_limits_are_refused(api, database):
    too_large = bytes(16 * MIB + 1)
    many = b"".join(frame(b"%d" % number) for number in range(1001))
    bodies = [frame(too_large), frame(b"", size=16 * MIB + 1), many]
    answers = [put(api, too_large), *(put_frames(api, body) for body in bodies)]
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert not rows(database)
    assert not files_of(database)


def test_a_body_of_unknown_length_is_read_up_to_the_limit(api, database):
    path, headers = f"{PROJECT}blobs/{digest_of(LARGE)}/", {"Content-Type": BYTES}
    parts = [LARGE[start : start + 1000] for start in range(0, len(LARGE), 1000)]
    assert api.put(path, content=iter(parts), headers=headers).status_code == 204
    assert files_of(database) == {place_of(LARGE): LARGE}
    endless = (bytes(MIB) for _ in range(17))
    assert api.put(path, content=endless, headers=headers).status_code == 413


@pytest.mark.parametrize("name", ["%2e%2e", "a" * 63, "A" * 64, "g" * 64, "%2f" * 30])
def test_no_name_of_a_client_is_a_path(api, database, name):
    with exchanges.departing("request", "response"):
        answer = api.put(f"{PROJECT}blobs/{name}/", content=b"x", headers={"Content-Type": BYTES})
    assert answer.status_code in {404, 405}
    assert not folder_of(database).exists()


def test_each_project_has_to_send_the_bytes(api, database):
    assert api.post("/api/v0/acme/projects/", json={"display_name": "Other"}).status_code == 201
    for data in (b"abc", LARGE):
        assert put(api, data).status_code == 204
        assert missing(api, data, project=OTHER) == [digest_of(data)]
        assert put(api, data, project=OTHER).status_code == 204
        assert missing(api, data, project=OTHER) == []
    assert len(rows(database)) == 4
    assert files_of(database) == {place_of(LARGE): LARGE}


def test_a_project_that_does_not_exist_has_no_blobs(api, database):
    answers = [
        put(api, LARGE, project=OTHER),
        put_frames(api, frame(LARGE), project=OTHER),
        api.post(f"{OTHER}blobs/check/", json={"blobs": [{"digest": digest_of(b""), "size": 0}]}),
    ]
    assert [answer.status_code for answer in answers] == [404] * 3
    assert not folder_of(database).exists()


def test_a_blob_is_known_by_its_digest_and_size(api):
    assert put(api, b"abc").status_code == 204
    known, wrong = digest_of(b"abc"), digest_of(b"abd")
    wanted = [{"digest": known, "size": 4}, {"digest": wrong, "size": 3}]
    answer = api.post(f"{PROJECT}blobs/check/", json={"blobs": wanted})
    assert answer.json() == {"missing": [known, wrong]}
    wanted = [{"digest": known, "size": 3.0}, {"digest": known, "size": 3}]
    assert api.post(f"{PROJECT}blobs/check/", json={"blobs": wanted}).json() == {"missing": []}


def test_a_blob_whose_file_is_lost_is_missing_until_it_is_sent_again(api, database):
    assert put(api, LARGE).status_code == 204
    path = folder_of(database) / place_of(LARGE)
    path.unlink()
    assert missing(api, LARGE) == [digest_of(LARGE)]
    assert put(api, LARGE).status_code == 204
    path.chmod(0o600)
    path.write_bytes(LARGE[:-1])
    assert missing(api, LARGE) == [digest_of(LARGE)]
    assert put(api, LARGE).status_code == 204
    assert files_of(database) == {place_of(LARGE): LARGE}


def test_threads_store_the_same_blob_at_once(api, database):
    blobs = [content(IN_ROW + 1 + number) for number in range(4)]
    body, barrier, answers = b"".join(map(frame, blobs)), threading.Barrier(8), []

    def send():
        barrier.wait()
        answers.append(put_frames(api, body).status_code)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [204] * 8
    assert files_of(database) == {place_of(data): data for data in blobs}
    assert len(rows(database)) == 4


def test_processes_store_the_same_blobs_at_once(start_python, embedded, database, monkeypatch):
    program = STORING + (
        "blobs = [content(IN_ROW + number) for number in range(8)]\n"
        "for _ in range(10):\n"
        "    assert put_frames(api, b''.join(map(frame, blobs))).status_code == 204\n"
    )
    processes = [start_python("-c", program, str(database)) for _ in range(3)]
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    blobs = [content(IN_ROW + number) for number in range(8)]
    assert missing(embedded, *blobs) == []
    assert files_of(database) == {place_of(data): data for data in blobs[1:]}


@pytest.mark.parametrize("step", ["write", "place", "record"])
def test_a_killed_process_leaves_no_blob_in_part(start_python, embedded, database, step):
    """It is killed while it writes the file, before it moves it, and before it records it."""
    program = STORING + (
        "import os, signal\n"
        "from afnio_tellurio.backend.store import blob_files, blob_writing\n"
        "def die(*_arguments):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        f"step = {step!r}\n"
        "if step == 'write': blob_files.finish = die\n"
        "if step == 'place': blob_files.BlobFolder.place = die\n"
        "if step == 'record': blob_writing.record_blobs = die\n"
        "put(api, content(IN_ROW + 1))\n"
    )
    process = start_python("-c", program, str(database))
    process.communicate()
    assert process.returncode == -9
    assert missing(embedded, LARGE) == [digest_of(LARGE)]
    assert put(embedded, LARGE).status_code == 204
    assert missing(embedded, LARGE) == []
    left = set(files_of(database)) - {place_of(LARGE)}
    assert len(left) == (step != "record")
    assert all(path.startswith(".part/") for path in left)
    assert list(blob_removal.verify(embedded.backend._database)) == []


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such limit")
def test_a_full_disk_is_answered_with_503_and_nothing_stays(start_python, embedded, database):
    program = STORING + (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "limits = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, limits[1]))\n"
        "answer = put(api, content(2 * MIB))\n"
        "print(answer.status_code, answer.json()['detail'])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, limits)\n"
        "print(put(api, content(2 * MIB)).status_code)\n"
    )
    process = start_python("-c", program, str(database))
    output, errors = process.communicate()
    first, last = output.split("\n")[:2]
    assert first.startswith("503 the blobs in "), (output, errors)
    assert last == "204"
    assert set(files_of(database)) == {place_of(content(2 * MIB))}


def test_a_folder_that_cannot_be_used_is_answered_with_503(embedded, database):
    folder_of(database).write_bytes(b"")
    answer = put(embedded, LARGE)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert put(embedded, b"small").status_code == 204


@pytest.mark.parametrize(
    ("name", "folder"),
    [("a.db", "a.blobs"), ("a", "a-blobs"), ("a.sqlite", "a.sqlite-blobs"), (".db", ".db-blobs")],
)
def test_two_databases_never_share_a_folder(tmp_path, name, folder):
    assert blob_files.BlobFolder(tmp_path / name).path == tmp_path / folder


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege there")
def test_the_folder_is_beside_the_database_that_a_link_leads_to(tmp_path, database):
    (tmp_path / "link.db").symlink_to(database)
    database.touch()
    assert blob_files.BlobFolder(tmp_path / "link.db").path == folder_of(database)


def adopt(api, path, digest, size, project="digits"):
    api.backend.adopt_blob("acme", project, path, digest, size)


def test_a_file_is_adopted_without_a_copy(embedded, database, tmp_path):
    path = tmp_path / "captured"
    path.write_bytes(LARGE)
    for _ in range(2):
        adopt(embedded, path, digest_of(LARGE), len(LARGE))
    assert missing(embedded, LARGE) == []
    assert os.path.samefile(path, folder_of(database) / place_of(LARGE))
    assert files_of(database) == {place_of(LARGE): LARGE}
    path.unlink()
    assert list(blob_removal.verify(embedded.backend._database)) == []


def test_a_small_file_is_adopted_into_its_row(embedded, database, tmp_path):
    path = tmp_path / "captured"
    path.write_bytes(b"abc")
    adopt(embedded, path, digest_of(b"abc"), 3)
    assert rows(database) == [(digest_of(b"abc"), 3, b"abc")]
    assert not folder_of(database).exists()


def test_a_file_on_a_disk_without_links_is_copied_and_checked(
    embedded, database, tmp_path, monkeypatch
):
    def refuse(*_paths):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "captured"
    path.write_bytes(LARGE)
    with pytest.raises(ValueError, match="another SHA-256"):
        adopt(embedded, path, digest_of(b"other"), len(LARGE))
    assert not files_of(database)
    adopt(embedded, path, digest_of(LARGE), len(LARGE))
    assert files_of(database) == {place_of(LARGE): LARGE}
    assert not os.path.samefile(path, folder_of(database) / place_of(LARGE))


def test_what_is_not_such_a_file_is_not_adopted(embedded, database, tmp_path):
    path = tmp_path / "captured"
    path.write_bytes(LARGE)
    digest, size = digest_of(LARGE), len(LARGE)
    with pytest.raises(LookupError, match="the project acme/other does not exist"):
        adopt(embedded, path, digest, size, project="other")
    with pytest.raises(ValueError, match=f"is not a file of {size + 1} bytes"):
        adopt(embedded, path, digest, size + 1)
    with pytest.raises(ValueError, match="is not a SHA-256"):
        adopt(embedded, path, "../" + digest[3:], size)
    if sys.platform != "win32":
        (tmp_path / "link").symlink_to(path)
        with pytest.raises(ValueError, match="is not a file"):
            adopt(embedded, tmp_path / "link", digest, (tmp_path / "link").lstat().st_size)
    assert not rows(database)
    assert not files_of(database)


def test_many_files_are_adopted_together_or_not_at_all(embedded, database, tmp_path):
    data = [content(size, size) for size in (0, 3, IN_ROW, IN_ROW + 1, IN_ROW + 2, MIB)]
    files = []
    for number, each in enumerate([*data, *data]):
        path = tmp_path / f"captured-{number}"
        path.write_bytes(each)
        files.append((path, digest_of(each), len(each)))
    wrong = (tmp_path / "captured-1", digest_of(b"other"), 3)
    with pytest.raises(ValueError, match="another SHA-256"):
        embedded.backend.adopt_blobs("acme", "digits", [*files, wrong])
    assert not rows(database)
    assert not files_of(database)
    embedded.backend.adopt_blobs("acme", "digits", files)
    assert missing(embedded, *data) == []
    assert files_of(database) == {place_of(each): each for each in data[3:]}
    embedded.backend.adopt_blobs("acme", "digits", [])


def test_what_the_database_refuses_is_an_error_of_the_database(embedded, database, tmp_path):
    path = tmp_path / "captured"
    path.write_bytes(LARGE)
    embedded.backend.close()
    with pytest.raises(te.DatabaseError, match="cannot be used: the database is closed"):
        adopt(embedded, path, digest_of(LARGE), len(LARGE))
