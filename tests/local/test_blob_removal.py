"""Blobs that no file refers to are removed after a day, and nothing else ever is."""

import sqlite3
import threading
import time
from contextlib import closing

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
    frame,
    missing,
    place_of,
    put,
    put_frames,
    put_part,
    start_upload,
)

from afnio_tellurio.backend.store import blob_removal, blobs
from afnio_tellurio.backend.store import uploads as stored_uploads

SMALL, LARGE, USED = b"small", content(IN_ROW + 1), content(IN_ROW + 2)
OTHER = "/api/v0/acme/projects/other/"
DAY = 24 * 60 * 60


@pytest.fixture
def sql(database):
    """Runs SQL on the database."""

    def run(statement, *parameters):
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("PRAGMA foreign_keys=ON")
            return connection.execute(statement, parameters).fetchall()

    return run


@pytest.fixture
def later(monkeypatch):
    """Moves the clock of the removal forward by seconds."""

    def move(seconds):
        now = time.time_ns() // 1000 + seconds * 1_000_000
        monkeypatch.setattr(
            blob_removal,
            "_times",
            lambda: {"expired": now - blob_removal.GRACE, "stale": now - blob_removal.UPLOAD_KEPT},
        )

    return move


@pytest.fixture
def refer(embedded, sql):
    """Makes a file of a run, or of an artifact, refer to a blob."""
    run = embedded.post(f"{PROJECT}runs/", json={}).json()["uuid"]
    sql("INSERT INTO artifacts VALUES (1, (SELECT min(id) FROM projects), 'a', 'file', 0, 1)")
    sql("INSERT INTO artifact_versions VALUES (1, 'u', 1, 0, 'd', 0, 0, 0, NULL, NULL, NULL, NULL)")

    def make(data, kind):
        (blob,) = sql("SELECT id FROM blobs WHERE digest = ?", digest_of(data))[0]
        if kind == "run":
            sql(
                "INSERT INTO run_files (run, path, step, kind, blob, timestamp) VALUES "
                "((SELECT id FROM runs WHERE uuid = ?), 'p', 0, 'file', ?, 0)",
                run,
                blob,
            )
        else:
            sql(
                "INSERT INTO artifact_files (version, path, blob, executable) VALUES (1, 'p', ?, 0)",
                blob,
            )
        return blob

    return make


def database_of(api):
    return api.backend._database


def remove(api):
    database = database_of(api)
    while blob_removal.remove_some(database):
        pass


def test_a_blob_is_kept_for_a_day_without_a_file(embedded, database, later, sql):
    assert put_frames(embedded, frame(SMALL) + frame(LARGE)).status_code == 204
    later(DAY - 60)
    remove(embedded)
    assert missing(embedded, SMALL, LARGE) == []
    later(DAY + 60)
    remove(embedded)
    assert missing(embedded, SMALL, LARGE) == [digest_of(SMALL), digest_of(LARGE)]
    assert not files_of(database)
    assert sql("SELECT * FROM blob_removals") == []


def test_a_blob_that_is_sent_again_is_kept_for_longer(embedded, database, later, sql):
    assert put(embedded, LARGE).status_code == 204
    sql("UPDATE blobs SET unused_since = unused_since - ?", 2 * blob_removal.GRACE)
    assert put(embedded, LARGE).status_code == 204
    remove(embedded)
    assert missing(embedded, LARGE) == []


@pytest.mark.parametrize("kind", ["run", "artifact"])
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["in its row", "in a file"])
def test_a_blob_with_a_file_is_never_removed(embedded, later, sql, refer, kind, data):
    """Even if its row says that it is not used: the file is the truth."""
    assert put(embedded, data).status_code == 204
    refer(data, kind)
    later(10 * DAY)
    remove(embedded)
    assert missing(embedded, data) == []
    assert sql("SELECT unused_since FROM blobs") == [(None,)]


def test_a_blob_is_marked_when_its_last_file_is_gone(embedded, database, sql, refer):
    assert put(embedded, LARGE).status_code == 204
    blob = refer(LARGE, "run")
    assert refer(LARGE, "artifact") == blob
    with database_of(embedded).writing() as connection:
        blobs.mark_used(connection, [blob])
        blobs.mark_unused(connection, [blob], 5)
    assert sql("SELECT unused_since FROM blobs") == [(None,)]
    with database_of(embedded).writing() as connection:
        connection.execute("DELETE FROM run_files")
        blobs.mark_unused(connection, [blob], 5)
    assert sql("SELECT unused_since FROM blobs") == [(None,)]
    with database_of(embedded).writing() as connection:
        connection.execute("DELETE FROM artifact_files")
        blobs.mark_unused(connection, [blob], 0)
    assert sql("SELECT unused_since FROM blobs") == [(0,)]
    # Sending it again would not keep a used one from being marked, and keeps this one.
    remove(embedded)
    assert missing(embedded, LARGE) == [digest_of(LARGE)]
    assert not files_of(database)


def test_a_file_stays_until_no_project_has_it(embedded, database, sql):
    embedded.post("/api/v0/acme/projects/", json={"display_name": "Other"})
    assert put(embedded, LARGE).status_code == 204
    assert put(embedded, LARGE, project=OTHER).status_code == 204
    sql("UPDATE blobs SET unused_since = 0 WHERE id = 1")
    remove(embedded)
    assert missing(embedded, LARGE) == [digest_of(LARGE)]
    assert missing(embedded, LARGE, project=OTHER) == []
    assert files_of(database) == {place_of(LARGE): LARGE}
    sql("UPDATE blobs SET unused_since = 0")
    remove(embedded)
    assert not files_of(database)


def test_later_requests_remove_what_is_not_kept(api, database, sql):
    assert put(api, LARGE).status_code == 204
    sql("UPDATE blobs SET unused_since = 0")
    assert put(api, SMALL).status_code == 204
    assert not files_of(database)
    assert missing(api, SMALL, LARGE) == [digest_of(LARGE)]


def test_many_blobs_are_removed_in_slices(embedded, sql, monkeypatch):
    monkeypatch.setattr(blob_removal, "SLICE", 2)
    data = [
        content(size, size) for size in (1, 2, 3, IN_ROW + 1, IN_ROW + 2, IN_ROW + 3, IN_ROW + 4)
    ]
    assert put_frames(embedded, b"".join(map(frame, data))).status_code == 204
    sql("UPDATE blobs SET unused_since = 0")
    assert blob_removal.remove_some(database_of(embedded))
    assert sql("SELECT count(*) FROM blobs") == [(5,)]
    remove(embedded)
    assert sql("SELECT count(*) FROM blobs") == [(0,)]
    assert not blob_removal.remove_some(database_of(embedded))


def test_a_purged_project_takes_its_blobs_and_uploads_along(api, database, sql):
    assert put_frames(api, frame(SMALL) + frame(LARGE)).status_code == 204
    assert start_upload(api, USED).status_code == 201
    assert api.delete("/api/v0/acme/projects/digits/", params={"purge": True}).status_code == 204
    for table in ("projects", "blobs", "uploads", "blob_removals"):
        assert sql(f"SELECT count(*) FROM {table}") == [(0,)]
    assert not files_of(database)


def test_a_project_in_the_trash_keeps_its_blobs(api, database, sql):
    assert put(api, LARGE).status_code == 204
    sql("UPDATE blobs SET unused_since = NULL")
    assert api.delete("/api/v0/acme/projects/digits/").status_code == 204
    assert api.post("/api/v0/acme/projects/digits/restore/").status_code == 200
    assert missing(api, LARGE) == []


STEPS = {
    "before the rows are removed": "removal._forget_uploads = die",
    "before the file is moved": "removal._move_files = die",
    "after the file is moved": (
        "move = removal._move_files\n"
        "removal._move_files = lambda *arguments: (move(*arguments), die())"
    ),
    "before the moved file is removed": (
        "discard = removal.discard\n"
        "removal.discard = lambda path: die() if path.suffix == '.removed' else discard(path)"
    ),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_removal_leaves_nothing_wrong(start_python, embedded, database, sql, refer, step):
    assert put_frames(embedded, frame(LARGE) + frame(USED)).status_code == 204
    refer(USED, "run")
    sql("UPDATE blobs SET unused_since = 0")
    program = STORING.partition("backend =")[0] + (
        "from afnio_tellurio.backend.store import blob_removal as removal\n"
        "def die(*_arguments): os.kill(os.getpid(), signal.SIGKILL)\n"
        f"{STEPS[step]}\n"
        "open_backend(Path(sys.argv[1]))\n"
    )
    process = start_python("-c", program, str(database))
    _, errors = process.communicate()
    assert process.returncode == -9, errors
    assert list(blob_removal.verify(database_of(embedded))) == []
    again = step == "before the file is moved"
    if again:
        # Sent again while its file is about to be removed.
        assert put(embedded, LARGE).status_code == 204
    blob_removal.remove_all(database_of(embedded))
    assert missing(embedded, LARGE, USED) == ([] if again else [digest_of(LARGE)])
    expected = [USED, LARGE] if again else [USED]
    assert files_of(database) == {place_of(data): data for data in expected}
    assert list(blob_removal.verify(database_of(embedded))) == []


def test_storing_and_removing_the_same_blob_at_once(embedded, database, sql):
    """A client with a 204 has stored the blob; with a 503 it sends it again."""
    ended, answers = threading.Event(), []

    def remove_always():
        while not ended.is_set():
            sql("UPDATE blobs SET unused_since = 0")
            blob_removal._remove_slice(database_of(embedded))

    thread = threading.Thread(target=remove_always)
    thread.start()
    try:
        answers.extend(put(embedded, LARGE).status_code for _ in range(100))
    finally:
        ended.set()
        thread.join()
    assert set(answers) <= {204, 503}
    assert 204 in answers
    assert list(blob_removal.verify(database_of(embedded))) == []
    while put(embedded, LARGE).status_code != 204:
        pass
    assert files_of(database)[place_of(LARGE)] == LARGE


def test_a_blob_that_is_removed_before_its_row_is_refused(embedded, database, monkeypatch):
    from afnio_tellurio.backend.store import blob_writing

    place = blob_writing.BlobWriter.place

    def place_and_lose(writer):
        place(writer)
        (folder_of(database) / place_of(LARGE)).unlink()

    monkeypatch.setattr(blob_writing.BlobWriter, "place", place_and_lose)
    answer = put(embedded, LARGE)
    assert answer.status_code == 503
    assert "was removed while it was stored" in answer.json()["detail"]
    assert missing(embedded, LARGE) == [digest_of(LARGE)]


def make_leftovers(folder):
    """Files that crashes, or other programs, left in a folder of blobs."""
    orphan = content(IN_ROW + 9)
    paths = [
        folder / place_of(orphan),
        folder / ".part" / "x.tmp",
        folder / ".part" / "00000000-0000-4000-8000-000000000000.upload",
        folder / "ab" / "not a blob",
    ]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(orphan if path == paths[0] else b"left")
    return paths


def test_everything_that_is_not_kept_is_counted_and_removed(embedded, database, later, sql, refer):
    assert put_frames(embedded, frame(SMALL) + frame(LARGE) + frame(USED)).status_code == 204
    refer(USED, "artifact")
    upload = start_upload(embedded, content(MIB)).json()["uuid"]
    assert put_part(embedded, upload, 1, content(MIB)).status_code == 204
    orphan, *_, foreign = make_leftovers(folder_of(database))
    before = files_of(database)
    assert blob_removal.remove_all(database_of(embedded), dry_run=True) == (0, 0, 0, 0, 0)
    assert blob_removal.remove_all(database_of(embedded)) == (0, 0, 0, 0, 0)
    assert files_of(database) == before
    later(DAY + 60)
    size = len(SMALL) + len(LARGE) + orphan.stat().st_size + 8
    expected = blob_removal.Removed(blobs=2, files=2, uploads=0, parts=2, bytes=size)
    assert blob_removal.remove_all(database_of(embedded), dry_run=True) == expected
    assert files_of(database) == before
    assert blob_removal.remove_all(database_of(embedded)) == expected
    kept = {
        place_of(USED),
        f".part/{upload}.upload",
        foreign.relative_to(folder_of(database)).as_posix(),
    }
    assert set(files_of(database)) == kept
    later(0)
    assert complete(embedded, upload).status_code == 204
    assert start_upload(embedded, content(MIB, 5)).status_code == 201
    later(10 * DAY)
    removed = blob_removal.remove_all(database_of(embedded))
    assert removed == blob_removal.Removed(blobs=1, files=1, uploads=1, parts=1, bytes=MIB)
    assert sql("SELECT count(*) FROM uploads") == [(0,)]
    assert missing(embedded, USED) == []
    assert blob_removal.remove_all(database_of(embedded)) == (0, 0, 0, 0, 0)


def test_opening_a_database_removes_stale_parts(embedded, database, later):
    make_leftovers(folder_of(database))
    embedded.backend.remove_expired()
    assert len(list((folder_of(database) / ".part").iterdir())) == 2
    later(DAY + 60)
    embedded.backend.remove_expired()
    assert list((folder_of(database) / ".part").iterdir()) == []


def test_verifying_names_each_problem(embedded, database, sql):
    embedded.post("/api/v0/acme/projects/", json={"display_name": "Other"})
    data = [content(IN_ROW + number, number) for number in range(1, 5)]
    assert put_frames(embedded, b"".join(map(frame, [SMALL, b"tiny", *data]))).status_code == 204
    assert put_frames(embedded, frame(data[0]), project=OTHER).status_code == 204
    assert list(blob_removal.verify(database_of(embedded))) == []
    paths = [folder_of(database) / place_of(each) for each in data]
    paths[0].unlink()
    for path in paths[1:3]:
        path.chmod(0o600)
    paths[1].write_bytes(data[1] + b"x")
    paths[2].write_bytes(data[2][::-1])
    sql("UPDATE blobs SET data = ? WHERE digest = ?", SMALL[::-1], digest_of(SMALL))
    sql("UPDATE blobs SET data = NULL WHERE digest = ?", digest_of(b"tiny"))
    assert dict(blob_removal.verify(database_of(embedded))) == {
        digest_of(data[0]): "its file is missing",
        digest_of(data[1]): f"it has {len(data[1]) + 1} bytes, not {len(data[1])}",
        digest_of(data[2]): "its bytes have another SHA-256",
        digest_of(SMALL): "its bytes have another SHA-256",
        digest_of(b"tiny"): "it has 0 bytes, not 4",
    }


def test_verifying_reads_all_pages(embedded, sql, monkeypatch):
    monkeypatch.setattr(blob_removal, "_PAGE", 2)
    data = [b"%d" % number for number in range(7)]
    assert put_frames(embedded, b"".join(map(frame, data))).status_code == 204
    sql("UPDATE blobs SET data = x'00'")
    found = [problem.digest for problem in blob_removal.verify(database_of(embedded))]
    assert found == sorted(map(digest_of, data))


def test_a_removal_that_the_disk_refuses_is_logged(embedded, database, sql, caplog):
    assert put(embedded, LARGE).status_code == 204
    sql("UPDATE blobs SET unused_since = 0")
    folder = folder_of(database)
    moved = folder.with_name("moved")
    folder.rename(moved)
    folder.write_bytes(b"")
    assert put(embedded, SMALL).status_code == 204
    assert "could not be removed from the disk yet" in caplog.text
    folder.unlink()
    moved.rename(folder)
    assert put(embedded, SMALL).status_code == 204
    assert not files_of(database)


def test_nothing_is_looked_for_in_the_folder_without_blobs(embedded, database):
    assert embedded.post(f"{PROJECT}runs/", json={}).status_code == 201
    assert not folder_of(database).exists()
    assert blob_removal.remove_all(database_of(embedded)) == (0, 0, 0, 0, 0)
    assert not folder_of(database).exists()
    assert stored_uploads.KEPT == 7 * DAY * 1_000_000
