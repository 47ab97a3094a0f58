"""The upgrade that moves points into chunks: killed at any moment, and done by several at once."""

import contextlib
import math
import sqlite3

import golden_homes
import httpx
import pytest
from awaiting_events import wait_until
from children import GUARD
from stored_points import count_points

import afnio_tellurio as te
from afnio_tellurio.backend import BackendUser, open_backend
from afnio_tellurio.backend.store import moving, schema
from afnio_tellurio.backend.store.database import Database

LONG = 300_000
OTHER = 20_000

OPEN = """
import pathlib, sys
from afnio_tellurio.backend.store import moving
from afnio_tellurio.backend.store.database import Database
moving.SLICE_POINTS = 2000
Database(pathlib.Path(sys.argv[1]))
print("done", flush=True)
"""


def rows(path, query):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


@pytest.fixture
def old(tmp_path):
    """A database of format 6 with several 100,000 points."""
    path = tmp_path / "old.db"
    golden_homes.unpack_database(6, path)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        numbers = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ? - 1)"
        for name, count, value in (("long", LONG, "i * 0.5"), ("other", OTHER, "i % 3")):
            (series,) = connection.execute(
                "INSERT INTO series (run, name, count, first_step, last_step, last_timestamp) "
                "SELECT id, ?, ?, 0, ?, 0 FROM runs WHERE name = 'kept' RETURNING id",
                (name, count, count // 2 - 1),
            ).fetchone()
            # Each step twice, in another order than they arrived.
            connection.execute(
                f"{numbers} INSERT INTO points SELECT ?, i / 2, ? - i, {value}, NULL, i FROM n",
                (count, series, count),
            )
    return path


def points_of(path):
    """All points of the run, read through the API."""
    backend = open_backend(path, user=BackendUser("ada", "ada@example.com"))
    run = golden_homes.uuids_of(path)["kept"]
    with httpx.Client(
        base_url="http://x", transport=httpx.WSGITransport(app=backend), timeout=None
    ) as api:
        found = api.get(f"/api/v0/acme/projects/digits/runs/{run}/metrics/").json()
    backend.close()
    by_name = {}
    for point in found:
        steps, values = by_name.setdefault(point["name"], ([], []))
        steps.append(point["step"])
        values.append(point["value"])
    return by_name


def expected():
    def twice(count):
        return [step for step in range(count // 2) for _ in range(2)]

    def of(count, value):
        # The greater arrival has the smaller index.
        return [value(index) for pair in range(0, count, 2) for index in (pair + 1, pair)]

    return golden_homes.KEPT | {
        "long": (twice(LONG), of(LONG, lambda index: index * 0.5)),
        "other": (twice(OTHER), of(OTHER, lambda index: index % 3)),
    }


def moved(path):
    """How many points are in chunks and in the old table, or None before the upgrade."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        tables = connection.execute("SELECT name FROM sqlite_schema").fetchall()
        if ("old_points",) not in tables:
            return None
        (chunked,) = connection.execute("SELECT coalesce(sum(count), 0) FROM chunks").fetchone()
        (left,) = connection.execute("SELECT count(*) FROM old_points").fetchone()
        return chunked, left


def test_a_killed_upgrade_is_completed_by_two_processes_at_once(old, start_python):
    (total,) = rows(old, "SELECT count(*) FROM points")[0]
    killed = start_python("-c", OPEN, str(old))
    wait_until(lambda: (moved(old) or (0,))[0] > 0)
    killed.kill()
    killed.communicate()
    chunked, left = moved(old)
    assert 0 < chunked < total, "it was killed in the middle"
    assert chunked + left == total
    children = [start_python("-c", OPEN, str(old)) for _ in range(2)]
    for child in children:
        out, err = child.communicate(timeout=GUARD)
        assert (child.returncode, out) == (0, "done\n"), err
    assert moved(old) is None
    assert count_points(old) == total
    assert points_of(old) == expected()
    assert rows(old, "PRAGMA integrity_check") == [("ok",)]
    assert {
        count for (count,) in rows(old, "SELECT sum(count) FROM tiles GROUP BY series, width")
    } == {
        LONG,
        OTHER,
        len(golden_homes.KEPT["loss"][0]),
    }


def test_a_failing_slice_leaves_what_was_moved_and_the_next_one_goes_on(old, monkeypatch):
    (total,) = rows(old, "SELECT count(*) FROM points")[0]
    encode, encoded = moving.encode, []

    def fail_later(points):
        encoded.append(points)
        if len(encoded) > 150:
            raise RuntimeError("no memory")
        return encode(points)

    monkeypatch.setattr(moving, "encode", fail_later)
    with pytest.raises(RuntimeError, match="no memory"):
        Database(old)
    chunked, left = moved(old)
    assert (chunked, left) == (2 * moving.SLICE_POINTS, total - 2 * moving.SLICE_POINTS)
    monkeypatch.undo()
    assert points_of(old) == expected()


def test_nothing_is_moved_after_a_newer_version_changed_the_format(old, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("afnio_tellurio.backend.store.database.move_slice", lambda *_: False)
        Database(old).close()
    before = moved(old)
    with contextlib.closing(sqlite3.connect(old, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA user_version = {schema.FORMAT + 1}")
        assert not moving.move_slice(connection, schema.FORMAT)
        assert moved(old) == before
        assert moving.move_slice(connection, schema.FORMAT + 1)
    assert moved(old) == (moving.SLICE_POINTS, before[1] - moving.SLICE_POINTS)


def test_long_texts_are_moved_in_smaller_slices(tmp_path, monkeypatch):
    path = tmp_path / "old.db"
    golden_homes.unpack_database(6, path)
    monkeypatch.setattr(moving, "SLICE_LENGTH", 3)
    assert points_of(path) == golden_homes.KEPT
    assert rows(path, "SELECT count(*) FROM chunks WHERE count < 10")[0][0] > 4


def test_a_long_upgrade_is_said_once_and_a_short_one_is_not(old, monkeypatch, caplog):
    monkeypatch.setattr(moving, "ANNOUNCED_POINTS", LONG)
    Database(old).close()
    assert caplog.text.count("is being upgraded once; moving 322,1") == 1
    caplog.clear()
    Database(old).close()
    assert not caplog.text
    golden_homes.unpack_database(6, old.with_name("short.db"))
    Database(old.with_name("short.db")).close()
    assert not caplog.text


def test_strings_keep_their_backslashes_and_words_stay_what_they_were(tmp_path):
    path = tmp_path / "old.db"
    golden_homes.unpack_database(6, path)
    texts = ['"\\\\NaN"', '["\\\\Infinity", "NaN"]', '"NaN"']
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        (series,) = connection.execute("SELECT id FROM series WHERE name = 'steps'").fetchone()
        connection.execute("DELETE FROM points WHERE series = ?", (series,))
        connection.executemany(
            "INSERT INTO points VALUES (?, ?, ?, NULL, ?, 0)",
            [(series, number, number, text) for number, text in enumerate(texts)],
        )
    with te.TellurioClient.local(path) as client:
        run = golden_homes.uuids_of(path)["kept"]
        values = te.get_run("acme", "digits", run, client=client).metrics("steps").values
    assert repr(values) == repr(["\\NaN", ["\\Infinity", math.nan], math.nan])


def test_points_that_were_moved_are_followed_by_new_ones(tmp_path):
    path = tmp_path / "old.db"
    golden_homes.unpack_database(6, path)
    backend = open_backend(path, user=BackendUser("ada", "ada@example.com"))
    run = golden_homes.uuids_of(path)["kept"]
    with httpx.Client(base_url="http://x", transport=httpx.WSGITransport(app=backend)) as api:
        for step in (None, 1, 5):
            body = {"name": "steps", "value": math.pi} | ({} if step is None else {"step": step})
            answer = api.post(f"/api/v0/acme/projects/digits/runs/{run}/metrics/", json=body)
            assert answer.status_code == 201
    backend.close()
    assert points_of(path)["steps"] == (
        [1, 3, 5, 7, 7, 8],
        [math.pi, 3, math.pi, 7, 7, math.pi],
    )


def test_an_unfinished_upgrade_is_named_if_the_database_can_only_be_read(old, monkeypatch):
    monkeypatch.setattr("afnio_tellurio.backend.store.database.move_slice", lambda *_: False)
    Database(old).close()
    assert moved(old) is not None
    monkeypatch.setattr("afnio_tellurio.backend.store.database.is_writable", lambda _: False)
    with pytest.raises(te.DatabaseError, match="has an unfinished upgrade that cannot go on"):
        Database(old)
    with contextlib.closing(sqlite3.connect(old)) as connection:
        assert schema._format_of(connection, old) == schema.FORMAT
