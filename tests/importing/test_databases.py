"""Databases of other trackers: what they hold is read, and nothing is written beside them."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import afnio_tellurio as te
from afnio_tellurio.cli import main
from afnio_tellurio.importing import databases

GOLDEN = Path(__file__).parent.parent / "golden_imports"
#: Writes a row, and dies without closing the database.
DIE = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute("PRAGMA journal_mode = " + sys.argv[2])
database.execute("PRAGMA cache_size = 1")
if sys.argv[2] == "wal":
    database.execute("UPDATE metrics SET metrics = '{\\"late\\": 1}'")
    database.commit()
else:
    database.execute("UPDATE metrics SET metrics = metrics || ?", ("x" * 100_000,))
os._exit(0)
"""


@pytest.fixture
def source(tmp_path):
    (tmp_path / "source").mkdir()
    return Path(shutil.copy(GOLDEN / "trackio" / "digits.db", tmp_path / "source" / "digits.db"))


def content_of(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def imported_names(source, *options):
    assert main(["import", str(source), "--project", "acme/logs", *options]) == 0
    return {name for run in te.runs("acme", "logs") for name in run.summary()}


@pytest.mark.usefixtures("server")
def test_a_database_without_a_log_file_gets_none(source):
    with closing(sqlite3.connect(source)) as database:
        database.execute("PRAGMA journal_mode = wal")
    before = content_of(source.parent)
    assert list(before) == ["digits.db"]
    imported_names(source.parent)
    assert content_of(source.parent) == before


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("with_shared", [True, False])
def test_the_rows_in_the_log_of_a_dead_program_are_read(source, with_shared):
    subprocess.run([sys.executable, "-c", DIE, source, "wal"], check=True)
    shared = source.with_name("digits.db-shm")
    if not with_shared:
        # As in a copy of the folder that leaves it out.
        shared.unlink()
    before = content_of(source.parent)
    assert len(before) == 2 + with_shared
    main(["import", str(source), "--project", "acme/logs", "--dry-run"])
    assert "late" in imported_names(source.parent)
    after = content_of(source.parent)
    if with_shared:
        # SQLite keeps there who reads.
        before.pop(shared.name), after.pop(shared.name)
    assert after == before


@pytest.mark.usefixtures("server")
def test_a_transaction_that_a_dead_program_began_is_not_read(source):
    expected = imported_names(source)
    subprocess.run([sys.executable, "-c", DIE, source, "delete"], check=True)
    before = content_of(source.parent)
    assert len(before) == 2
    assert main(["import", str(source), "--project", "acme/again"]) == 0
    assert content_of(source.parent) == before
    assert {name for run in te.runs("acme", "again") for name in run.summary()} == expected


def test_a_program_that_writes_meanwhile_is_noticed(source):
    with closing(sqlite3.connect(source)) as database:
        database.execute("PRAGMA journal_mode = wal")

    def read_and_change():
        with databases.opened(source), closing(sqlite3.connect(source)) as writer, writer:
            writer.execute("DELETE FROM metrics")

    with pytest.raises(ValueError, match="was changed while it was read"):
        read_and_change()


def test_a_program_that_has_the_database_open_may_write_meanwhile(source):
    with closing(sqlite3.connect(source)) as writer:
        writer.execute("PRAGMA journal_mode = wal")
        with writer:
            writer.execute("DELETE FROM metrics WHERE step = 1")
        with databases.opened(source) as database:
            total = databases.count(database, "SELECT count(*) FROM metrics")
            with writer:
                writer.execute("DELETE FROM metrics")
    assert total > 0


def test_a_copy_is_made_once_and_removed(source, tmp_path, monkeypatch):
    monkeypatch.setattr(databases.tempfile, "tempdir", str(tmp_path))
    subprocess.run([sys.executable, "-c", DIE, source, "wal"], check=True)
    source.with_name("digits.db-shm").unlink()
    for _ in range(2):
        with databases.opened(source) as database:
            assert databases.count(
                database, "SELECT count(*) FROM metrics WHERE metrics LIKE '%late%'"
            )
    (folder,) = tmp_path.glob("afnio-tellurio-*")
    databases._copy_of.cache_clear()
    assert not folder.exists()
