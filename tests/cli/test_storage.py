"""The commands on the disk space of this machine."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import sqlite3

import pytest

import afnio_tellurio as te
from afnio_tellurio.api import artifact_operations as operations
from afnio_tellurio.client import connection_of
from afnio_tellurio.default_client import client_or_default

DAY = 24 * 60 * 60 * 1_000_000


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    with te.init("acme", "Digits", "run") as run:
        yield run


def done(finished):
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout


def age_unused(home):
    """Makes what is unused so for two days."""
    with sqlite3.connect(home / "tellurio.db") as database:
        database.execute("UPDATE blobs SET unused_since = unused_since - ?", (2 * DAY,))
    database.close()


def blobs_of(home):
    return [path for path in (home / "tellurio.blobs").glob("??/*") if path.is_file()]


def leave_unused(project, data):
    """Uploads a file as a process that dies before it records the version."""
    operations.put_blob(
        connection_of(client_or_default(None)),
        operations.ProjectPath("acme", project),
        hashlib.sha256(data).hexdigest(),
        lambda: io.BytesIO(data),
    )


def test_unused_files_are_removed_a_day_later(invoke, run, home):
    kept = os.urandom(50_000)
    run.log_artifact(kept, "kept", wait=True)
    leave_unused("digits", os.urandom(70_000))
    assert done(invoke("gc")) == "Nothing to remove\n"
    age_unused(home)
    assert done(invoke("gc", "--dry-run")) == "Would remove 1 blob, 1 file: 70.0 kB\n"
    assert len(blobs_of(home)) == 2
    facts = json.loads(done(invoke("gc", "--json")))
    assert facts == {
        "dry_run": False, "blobs": 1, "files": 1, "uploads": 0, "parts": 0, "bytes": 70_000,
        "cache": {"files": 0, "bytes": 0},
    }  # fmt: skip
    (path,) = blobs_of(home)
    assert path.read_bytes() == kept
    assert te.get_artifact("acme/digits/kept").read_bytes("kept") == kept


def test_without_a_database_there_is_nothing_to_remove_from(invoke, home):
    finished = invoke("gc")
    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    assert line.startswith("afnio-tellurio gc: ")
    assert str(home / "tellurio.db") in line
    assert not home.exists()


def test_usage_is_counted_by_project_and_type(invoke, run, home, tmp_path):
    shared = os.urandom(40_000)
    run.log_artifact(shared, "one", type="model", wait=True)
    run.log_artifact(shared, "two", type="model", wait=True)
    run.log_artifact(b"x" * 500, "data", type="dataset", wait=True)
    with te.init("acme", "Other", "run") as other:
        (tmp_path / "file").write_bytes(b"y" * 600)
        other.log_file(tmp_path / "file")
        leave_unused("other", shared)
    facts = json.loads(done(invoke("du", "--json")))
    assert facts["projects"] == [
        {
            "namespace_slug": "acme", "project_slug": "other", "bytes": 40_600,
            "artifacts": 0, "run_files": 600, "unused": 40_000,
        },
        {
            "namespace_slug": "acme", "project_slug": "digits", "bytes": 40_500,
            "artifacts": 40_500, "run_files": 0, "unused": 0,
        },
    ]  # fmt: skip
    assert facts["types"] == [
        {"type": "model", "bytes": 40_000},
        {"type": "dataset", "bytes": 500},
    ]
    assert facts["blobs"] == {"path": str(home / "tellurio.blobs"), "files": 1, "bytes": 40_000}
    assert facts["database"]["bytes"] >= (home / "tellurio.db").stat().st_size
    out = done(invoke("du"))
    assert re.search(r"^acme/other +40.6 kB +0 B +600 B +40.0 kB$", out, re.MULTILINE)
    assert re.search(r"^model +40.0 kB$", out, re.MULTILINE)


def test_what_waits_for_delivery_is_counted(invoke, server, monkeypatch):
    run = te.init("acme", "Digits", "run")
    before = json.loads(done(invoke("du", "--json")))["waiting"]
    assert (before["files"], before["bytes"]) == (0, 0)
    assert before["journal_bytes"] > 0
    with monkeypatch.context() as patch:
        patch.setattr("afnio_tellurio.delivery.file_outbox.FileOutbox.wake", lambda _self: None)
        run.log_artifact(b"1" * 100_000, "data")
        waiting = json.loads(done(invoke("du", "--json")))["waiting"]
    # The captured file, and the index of what was captured.
    assert waiting["files"] == 2
    assert 100_000 < waiting["bytes"] < 110_000
    run.finish()


def test_both_work_where_tracking_is_disabled(invoke, run):
    run.finish()
    for name in ("du", "gc"):
        assert done(invoke(name, TELLURIO_MODE="disabled"))


def test_the_cache_is_counted_and_emptied(invoke, run, home):
    data = os.urandom(30_000)
    run.log_artifact(data, "data", wait=True)
    run.finish()
    path = te.get_artifact("acme/digits/data").path("data")
    assert path.read_bytes() == data
    facts = json.loads(done(invoke("du", "--json")))["cache"]
    assert facts == {"path": str(home / "cache"), "files": 1, "bytes": 30_000}
    assert re.search(r"^cache +30.0 kB +\S", done(invoke("du")), re.MULTILINE)
    assert done(invoke("gc")) == "Nothing to remove\n"
    assert done(invoke("gc", "--cache", "--dry-run")) == "Would remove 1 cached file: 30.0 kB\n"
    assert path.exists()
    emptied = json.loads(done(invoke("gc", "--cache", "--json")))
    assert (emptied["cache"], emptied["bytes"]) == ({"files": 1, "bytes": 30_000}, 0)
    assert not path.exists()
    assert te.get_artifact("acme/digits/data").path("data").read_bytes() == data


def test_the_cache_of_a_machine_without_a_database_is_emptied(invoke, home):
    (home / "cache" / "prompts").mkdir(parents=True)
    (home / "cache" / "prompts" / "a.json").write_text("{}")
    assert done(invoke("gc", "--cache")) == "Removed 1 cached file: 2 B\n"
    assert not (home / "tellurio.db").exists()
