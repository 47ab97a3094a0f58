"""What the local backend removes of artifacts and files of runs, and when."""

from __future__ import annotations

import contextlib
import sqlite3
import time

import httpx
import pytest
from artifact_requests import (
    ARTIFACTS,
    DAY,
    PROJECT,
    PROJECTS,
    VERSIONS,
    create,
    new_run,
    put_blobs,
    read,
    rows,
    sha256,
    versions,
)

from afnio_tellurio.backend import BackendUser, open_backend
from afnio_tellurio.backend.store import blob_removal, removal, trash

TABLES = (
    "artifacts", "artifact_versions", "artifact_files", "artifact_aliases", "artifact_uses",
    "artifact_requests", "run_files", "blobs", "uploads", "upload_parts",
)  # fmt: skip
PURGE = {"purge": "true"}
LARGE = b"x" * 20_000


@pytest.fixture
def embedded(database):
    backend = open_backend(database, user=BackendUser("ada", "ada@example.com"))
    transport = httpx.WSGITransport(app=backend)
    with httpx.Client(base_url="http://embedded", transport=transport) as api:
        api.post(PROJECTS, json={"display_name": "Digits"})
        yield api
    backend.close()


@pytest.fixture
def clock(monkeypatch):
    """Moves the clock of the trash by days."""
    days, time_ns = [0], time.time_ns
    monkeypatch.setattr(trash.time, "time_ns", lambda: time_ns() + int(days[0] * DAY))
    return lambda number: days.__setitem__(0, number)


def counts(database):
    found = {table: rows(database, f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}
    return {table: number for table, number in found.items() if number}


def log(api, run, path, data=b"x", kind="file"):
    put_blobs(api, data)
    body = {"path": path, "kind": kind, "digest": sha256(data)}
    assert api.post(f"{run}files/", json=body).status_code == 201


def blobs_in(database):
    """The sizes of the blobs that are in rows or files."""
    folder = database.with_name(f"{database.stem}.blobs")
    files = {path.name for path in folder.rglob("*") if path.is_file()}
    known = dict(rows(database, "SELECT digest, size FROM blobs"))
    assert files == {digest for digest, size in known.items() if size == len(LARGE)}
    return sorted(known.values())


# Versions


def test_a_purged_version_goes_with_its_blobs_unless_others_have_them(embedded, database):
    run, uuid = new_run(embedded)
    create(embedded, {"a": b"1", "b": b"22", "c": LARGE}, run_uuid=uuid, aliases=["x"], key="k")
    create(embedded, {"a": b"1"}, name="other")
    log(embedded, run, "file", b"22")
    assert blobs_in(database) == [1, 2, len(LARGE)]
    embedded.delete(f"{VERSIONS}v0/", params={**PURGE, "force": "true"})
    assert blobs_in(database) == [1, 2]
    assert counts(database) == {
        "artifacts": 2, "artifact_versions": 1, "artifact_files": 1, "run_files": 1, "blobs": 2,
    }  # fmt: skip
    embedded.delete(f"{ARTIFACTS}other/versions/v0/", params=PURGE)
    assert blobs_in(database) == [2]


def test_a_version_in_the_trash_is_removed_after_30_days(embedded, database, clock):
    create(embedded, {"a": LARGE})
    embedded.delete(f"{VERSIONS}v0/")
    clock(29)
    new_run(embedded)
    assert blobs_in(database) == [len(LARGE)]
    clock(30)
    assert embedded.post(f"{VERSIONS}v0/restore/").status_code == 404
    new_run(embedded)
    assert counts(database) == {"artifacts": 1}
    assert blobs_in(database) == []
    assert create(embedded)["version"] == "v1"


def test_what_is_not_kept_is_removed_and_its_number_is_not_used_again(embedded, database):
    for index in range(6):
        create(embedded, {"a": b"%d" % index, "same": b"both"}, keep=2)
    assert versions(embedded) == {"v5": ["latest"], "v4": []}
    assert counts(database) == {
        "artifacts": 1,
        "artifact_versions": 2,
        "artifact_files": 4,
        "blobs": 3,
    }
    embedded.delete(f"{VERSIONS}v5/", params=PURGE)
    assert create(embedded, {"a": b"new"})["version"] == "v6"


def test_a_removed_version_can_be_created_again_with_its_key(embedded):
    create(embedded, key="k")
    embedded.delete(f"{VERSIONS}v0/", params=PURGE)
    assert create(embedded, key="k")["version"] == "v1"


def test_a_file_of_a_run_that_is_replaced_goes_with_its_blob(embedded, database):
    run, _ = new_run(embedded)
    for size in (1, len(LARGE), 3):
        log(embedded, run, "a", b"x" * size)
    assert blobs_in(database) == [3]
    log(embedded, run, "b", b"xxx")
    log(embedded, run, "a", b"x")
    assert blobs_in(database) == [1, 3]


# Runs


def test_a_purged_run_takes_its_files_and_the_versions_that_only_it_has(embedded, database):
    (run, uuid), (other, _) = new_run(embedded, name="first"), new_run(embedded, name="second")
    for name in ("alone", "aliased", "used", "trashed"):
        create(embedded, {"a": name.encode()}, name=name, run_uuid=uuid)
    embedded.put(f"{ARTIFACTS}aliased/aliases/best/", json={"version": "v0"})
    for user in (run, other):
        embedded.post(f"{user}artifacts/", json={"artifact": "used", "version": "v0"})
    embedded.post(f"{run}artifacts/", json={"artifact": "alone", "version": "v0"})
    embedded.delete(f"{ARTIFACTS}trashed/versions/v0/")
    for path in ("a", "b"):
        log(embedded, run, path, LARGE)
    log(embedded, other, "c", b"kept")
    embedded.delete(run)
    assert [each["name"] for each in read(embedded, ARTIFACTS)] == ["aliased", "alone", "used"]
    embedded.delete(run, params=PURGE)
    assert [each["name"] for each in read(embedded, ARTIFACTS)] == ["aliased", "used"]
    assert read(embedded, f"{ARTIFACTS}used/versions/v0/")["run_uuid"] is None
    runs = read(embedded, f"{ARTIFACTS}used/versions/v0/runs/")
    assert [(each["direction"], each["run_name"]) for each in runs] == [("input", "second")]
    assert counts(database) == {
        "artifacts": 4, "artifact_versions": 2, "artifact_files": 2, "artifact_aliases": 1,
        "artifact_uses": 1, "run_files": 1, "blobs": 3,
    }  # fmt: skip
    assert blobs_in(database) == [4, 4, 7]


def test_a_version_that_a_run_in_the_trash_uses_stays(embedded):
    (run, uuid), (other, _) = new_run(embedded), new_run(embedded)
    create(embedded, run_uuid=uuid)
    embedded.post(f"{other}artifacts/", json={"artifact": "model", "version": "v0"})
    embedded.delete(other)
    embedded.delete(run, params=PURGE)
    assert versions(embedded) == {"v0": ["latest"]}
    embedded.post(f"{other}restore/")
    assert len(read(embedded, f"{VERSIONS}v0/runs/")) == 1


def test_the_trash_says_how_many_bytes_files_take(embedded):
    run, _ = new_run(embedded)
    embedded.delete(run)
    (before,) = read(embedded, "/api/v0/acme/trash/")
    embedded.post(f"{run}restore/")
    log(embedded, run, "a", LARGE)
    create(embedded, {"a": b"y" * 30_000})
    embedded.delete(run)
    (after,) = read(embedded, "/api/v0/acme/trash/")
    assert after["bytes"] == before["bytes"] + len(LARGE)
    embedded.delete(PROJECT)
    (project,) = (
        each for each in read(embedded, "/api/v0/acme/trash/") if each["kind"] == "project"
    )
    assert project["bytes"] == after["bytes"] + 30_000


# Projects


def fill_project(api):
    run, uuid = new_run(api)
    for index in range(20):
        create(
            api,
            {"a": b"%d" % index, "b": LARGE},
            name=f"m{index % 7}",
            run_uuid=uuid,
            aliases=[f"x{index}"],
            key=str(index),
        )
        log(api, run, "s", b"%d" % index, kind="image")
    body = {"digest": sha256(b"never"), "size": 40_000}
    upload = api.post(f"{PROJECT}uploads/", json=body)
    assert upload.status_code == 201, upload.text
    put_blobs(api, b"unused", b"z" * len(LARGE))


def test_a_purged_project_leaves_nothing(embedded, database):
    fill_project(embedded)
    embedded.delete(PROJECT, params=PURGE)
    embedded.post(PROJECTS, json={"display_name": "Other"})
    assert counts(database) == {}
    assert blobs_in(database) == []
    assert rows(database, "SELECT slug FROM projects") == [("other",)]


def test_a_project_in_the_trash_keeps_all(embedded, database):
    fill_project(embedded)
    before = counts(database)
    embedded.delete(PROJECT)
    embedded.post(PROJECTS, json={"display_name": "Other"})
    assert counts(database) == before
    assert embedded.get(f"{ARTIFACTS}").status_code == 404
    embedded.post(f"{PROJECT}restore/")
    assert len(read(embedded, ARTIFACTS)) == 7


@pytest.mark.parametrize("slice_rows", [1, 3, 50])
def test_slices_that_stop_anywhere_remove_all_and_nothing_else(
    embedded, database, monkeypatch, slice_rows
):
    fill_project(embedded)
    embedded.post(PROJECTS, json={"display_name": "Other"})
    other = f"{PROJECTS}other/"
    put_blobs(embedded, b"kept", project=other)
    body = {"type": "model", "files": [{"path": "a", "digest": sha256(b"kept"), "size": 4}]}
    assert embedded.post(f"{other}artifacts/m0/versions/", json=body).status_code == 201
    monkeypatch.setattr(removal, "SLICE_ROWS", slice_rows)
    monkeypatch.setattr(blob_removal, "SLICE", slice_rows)
    # Deletes only: each later write removes one slice.
    monkeypatch.setattr("afnio_tellurio.backend.application.REMOVAL_TIME", 0.0)
    embedded.delete(PROJECT, params=PURGE)
    slices = 1
    while (
        counts(database).keys() != {"artifacts", "artifact_versions", "artifact_files", "blobs"}
        or len(rows(database, "SELECT 1 FROM projects")) > 1
    ):
        assert embedded.get(ARTIFACTS).status_code == 404
        embedded.post(f"{other}runs/", json={})
        assert rows(database, "PRAGMA foreign_key_check") == []
        slices += 1
        assert slices < 2_000
    assert slices > 1
    assert counts(database) == {
        "artifacts": 1,
        "artifact_versions": 1,
        "artifact_files": 1,
        "blobs": 1,
    }
    assert read(embedded, f"{other}artifacts/m0/versions/v0/files/") == body["files"]


def test_a_large_version_is_removed_in_slices_that_others_can_write_between(
    embedded, database, monkeypatch
):
    create(embedded, {f"f{index}": b"%d" % (index % 50) for index in range(900)})
    monkeypatch.setattr(removal, "SLICE_ROWS", 400)
    held = []
    remove_slice = removal.remove_slice

    def watching(given):
        # A transaction of another connection, between two slices.
        with contextlib.closing(sqlite3.connect(database, timeout=0)) as connection:
            connection.execute("BEGIN IMMEDIATE")
        held.append(rows(database, "SELECT count(*) FROM artifact_files")[0][0])
        return remove_slice(given)

    monkeypatch.setattr(removal, "remove_slice", watching)
    embedded.delete(f"{VERSIONS}v0/", params=PURGE)
    assert held[:5] == [900, 700, 500, 300, 100]
    assert counts(database) == {"artifacts": 1}
