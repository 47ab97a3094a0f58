"""Many runs and long series: what is read, written and kept, in counts and bytes."""

import contextlib
import re
import sqlite3
import tracemalloc
import types
import uuid

import golden_homes
import httpx
import pytest
from children import GUARD
from stored_points import count_points

from afnio_tellurio.backend import BackendUser, open_backend
from afnio_tellurio.backend.store import connections, metrics, removal, sampling, series
from afnio_tellurio.backend.store.connections import works_in_sqlite
from afnio_tellurio.backend.store.database import Database

pytestmark = pytest.mark.slow
PROJECTS = "/api/v0/acme/projects/"
PROJECT = f"{PROJECTS}digits/"
RUNS = f"{PROJECT}runs/"
PURGE = {"purge": "true"}
SECOND = 1_000_000


@contextlib.contextmanager
def opened(path):
    backend = open_backend(path, user=BackendUser("ada", "ada@example.com"))
    try:
        yield httpx.Client(base_url="http://x", transport=httpx.WSGITransport(app=backend))
    finally:
        backend.close()


@pytest.fixture
def api(database):
    """The backend in process, with the project acme/digits."""
    with opened(database) as api:
        assert api.post(PROJECTS, json={"display_name": "Digits"}).status_code == 201
        yield api


def start(api, **body):
    return api.post(RUNS, json=body).json()["uuid"]


def rows(database, query, *parameters):
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute(query, parameters).fetchall()


def count(database, table):
    if table == "points":
        return count_points(database)
    return rows(database, f"SELECT count(*) FROM {table}")[0][0]


# Many runs


def add_runs(database, number):
    """Adds runs with one metric, as fast as SQLite can."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        project, user = connection.execute("SELECT project, user FROM runs").fetchone()
        connection.executemany(
            "INSERT INTO runs (uuid, project, user, name, status, created, updated) "
            "VALUES (?, ?, ?, ?, 'COMPLETED', ?, ?)",
            [
                (str(uuid.UUID(int=n)), project, user, f"run {n}", n * SECOND, n * SECOND)
                for n in range(1, number + 1)
            ],
        )
        connection.execute(
            "INSERT INTO series (run, name, count, first_step, last_step, last_value, "
            "last_timestamp, minimum, maximum) SELECT id, 'loss', 1, 0, 0, id, 0, id, id FROM runs"
        )
        connection.commit()


@pytest.fixture
def statements(monkeypatch):
    """The statements of the requests, with their parameters."""
    recorded = []
    execute = connections.Connection.execute

    def record(connection, statement, *parameters):
        recorded.append((statement, *parameters))
        return execute(connection, statement, *parameters)

    monkeypatch.setattr(connections.Connection, "execute", record)
    return recorded


def plans(database, statements):
    """How SQLite performs the statements that read or change rows."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        for statement, *parameters in statements:
            if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE)\b", statement):
                query = f"EXPLAIN QUERY PLAN {statement}"
                for *_, step in connection.execute(query, *parameters):
                    yield statement, step


SINCE = "1970-01-01T00:00:50Z"
REQUESTS = {
    "the project": ("", {}),
    "a page": ("runs/", {"limit": 20}),
    "a page of runs created since": ("runs/", {"limit": 20, "created_after": SINCE}),
    "a page of runs created before": ("runs/", {"limit": 20, "created_before": SINCE}),
    "a page of runs with a status": ("runs/", {"limit": 20, "status": "COMPLETED"}),
    "a page of runs changed since": ("runs/", {"limit": 20, "updated_after": SINCE}),
    "a run by name": ("runs/", {"limit": 1, "name": "run 7"}),
}


@pytest.mark.parametrize("request_name", REQUESTS)
def test_runs_are_found_through_indexes_without_sorting(api, database, statements, request_name):
    start(api)
    add_runs(database, 100)
    path, query = REQUESTS[request_name]
    statements.clear()
    answer = api.get(f"{PROJECT}{path}", params=query)
    if "Next-Cursor" in answer.headers:
        query = query | {"cursor": answer.headers["Next-Cursor"]}
        api.get(f"{PROJECT}{path}", params=query)
    steps = [step for _, step in plans(database, statements)]
    assert any("runs" in step or "SEARCH r" in step for step in steps)
    if request_name == "the project":
        # It counts the runs of each of the last days.
        steps.remove("USE TEMP B-TREE FOR GROUP BY")
    assert [step for step in steps if "TEMP B-TREE" in step or step.startswith("SCAN r")] == []


def test_starting_a_run_and_reading_it_scan_nothing(api, database, statements):
    start(api)
    add_runs(database, 100)
    statements.clear()
    path = f"{RUNS}{start(api, name='run 7', uuid=str(uuid.uuid4()))}/"
    api.post(f"{path}metrics/", json={"name": "loss", "value": 1})
    api.patch(path, json={"status": "COMPLETED"})
    api.get(path)
    api.get(f"{path}metrics/summary/")
    api.get(f"{RUNS}{uuid.uuid4()}/")
    planned = list(plans(database, statements))
    assert [(statement, step) for statement, step in planned if "TEMP B-TREE" in step] == []
    scans = {step for _, step in planned if step.startswith("SCAN ")}
    # These tables have rows only of what is uploaded or removed at the moment.
    short = {"SCAN uploads", "SCAN blob_removals"}
    assert scans <= {"SCAN CONSTANT ROW", "SCAN sqlite_schema", *short}


def test_metrics_of_some_runs_are_found_by_their_uuids(api, database, statements):
    runs = [start(api) for _ in range(3)]
    add_runs(database, 100)
    statements.clear()
    for path, query in (
        ("metrics/", {}),
        ("metrics/summary/", {"name": "loss"}),
        ("metrics/sample/", {"name": "loss", "buckets": 10}),
    ):
        answer = api.get(f"{PROJECT}{path}", params={"run": runs, **query})
        assert answer.status_code == 200
    steps = [step for _, step in plans(database, statements) if re.match(r"SEARCH [rs] ", step)]
    assert len(steps) == 6
    assert all("(uuid=?)" in step or "(run=?" in step for step in steps), steps


def test_a_name_that_many_runs_share_takes_few_lookups(api, database, statements):
    start(api, name="run")
    add_runs(database, 5000)
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE runs SET name = replace(name, ' ', '_')")
        connection.commit()
    statements.clear()
    assert api.post(RUNS, json={"name": "run"}).json()["name"] == "run_5001"
    assert len(statements) < 50


def test_a_page_costs_the_same_in_a_large_project(api, database, monkeypatch):
    instructions = []
    register = connections.Connection.register

    def count_instructions(connection):
        register(connection)
        connection.set_progress_handler(lambda: instructions.append(1), 10)

    def cost_of_pages():
        with opened(database) as reading:
            instructions.clear()
            answer = reading.get(RUNS, params={"limit": 20})
            reading.get(RUNS, params={"limit": 20, "cursor": answer.headers["Next-Cursor"]})
        return len(instructions)

    monkeypatch.setattr(connections.Connection, "register", count_instructions)
    # The backend of `api` opened connections before.
    for pool in connections.pools.values():
        pool.close_idle()
    start(api)
    add_runs(database, 100)
    small = cost_of_pages()
    api.delete(PROJECT, params=PURGE)
    api.post(PROJECTS, json={"display_name": "Digits"})
    start(api)
    add_runs(database, 5000)
    large = cost_of_pages()
    assert small > 10
    assert large < 1.5 * small


def test_all_pages_contain_each_run_once(api, database):
    start(api)
    add_runs(database, 1000)
    # Many runs of one moment, which only their ids order.
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE runs SET created = created / 100000000 * 100000000")
        connection.commit()
    names, query = [], {"limit": 30}
    while True:
        answer = api.get(RUNS, params=query)
        names += [run["name"] for run in answer.json()]
        if "Next-Cursor" not in answer.headers:
            break
        query["cursor"] = answer.headers["Next-Cursor"]
    assert names[1:] == [f"run {number}" for number in range(1000, 0, -1)]


# Long series


def record(database, run, steps, name="loss"):
    """Records numbers directly, in batches of 1,000."""
    opened_database = Database(database)

    @works_in_sqlite
    def write(part):
        with opened_database.writing() as connection:
            ((identity,),) = connection.execute("SELECT id FROM runs WHERE uuid = ?", (run,))
            writer = metrics.open_series(connection, identity, {name})[name]
            for step in part:
                writer.add(step, float(step), step)
            metrics.write_series(connection, [writer])

    steps = list(steps)
    for first in range(0, len(steps), 1000):
        write(steps[first : first + 1000])
    opened_database.close()


@pytest.fixture
def read_rows(monkeypatch):
    """The numbers of tiles, and of chunks and loose rows, that were read for samples."""
    numbers = {"tiles": 0, "chunks": 0}

    class Counted:
        def __init__(self, cursor, table):
            self.cursor = cursor
            self.table = table

        def __iter__(self):
            for row in self.cursor:
                numbers[self.table] += 1
                yield row

        def __getattr__(self, name):
            return getattr(self.cursor, name)

    execute = connections.Connection.execute

    def count_rows(connection, statement, *parameters):
        cursor = execute(connection, statement, *parameters)
        table = re.search(r"^SELECT.*FROM (chunks|tiles) ", statement)
        if table:
            return Counted(cursor, table[1])
        return cursor

    monkeypatch.setattr(connections.Connection, "execute", count_rows)
    return numbers


LONG = 60_000


@pytest.fixture
def long_run(api, database):
    run = start(api)
    record(database, run, range(LONG))
    return run


def sample(api, run, buckets, first=None, last=None, **query):
    if first is not None:
        query |= {"from_step": first, "to_step": last}
    query = {"run": run, "name": "loss", "buckets": buckets, **query}
    answer = api.get(f"{PROJECT}metrics/sample/", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def windows():
    for share in (1, 2, 3, 5, 10, 40, 200):
        length = LONG // share
        yield 7, min(7 + length, LONG - 1)
        yield (LONG - length) // 2 + 3, (LONG - length) // 2 + length - 5


@pytest.mark.parametrize("outlier", [False, True])
def test_a_zoom_reads_a_number_of_rows_that_depends_on_its_ranges_only(
    api, database, long_run, read_rows, outlier
):
    if outlier:
        record(database, long_run, [2**40])
    buckets = 50
    for first, last in [*windows(), (0, 2**40)]:
        read_rows |= {"tiles": 0, "chunks": 0}
        tracemalloc.start()
        (loss,) = sample(api, long_run, buckets, first, last)["series"]
        (_, peak), _ = tracemalloc.get_traced_memory(), tracemalloc.stop()
        real = range(first, min(last, LONG - 1) + 1)
        assert sum(loss["count"]) == len(real) + (outlier and last == 2**40)
        assert (loss["minimum"][0], loss["step"][0] >= first) == (float(first), True)
        assert buckets / 2 - 2 <= len(loss["step"]) <= buckets
        # Indexes to find the width, then entries of the ranges and of both ends.
        assert read_rows["tiles"] <= 4 * sampling.FANOUT * buckets
        assert read_rows["chunks"] <= 8
        assert peak < 2 * 2**20


def test_all_points_are_not_held_in_memory_at_once(api, long_run):
    tracemalloc.start()
    sample(api, long_run, 10_000)
    (_, peak), _ = tracemalloc.get_traced_memory(), tracemalloc.stop()
    # A row of Python objects takes some 300 bytes.
    assert peak < LONG * 300 / 2


def test_an_outlying_step_does_not_hide_the_others(api, database, long_run):
    before = sample(api, long_run, 100)
    (whole,) = before["series"]
    record(database, long_run, [2**62])
    (appended,) = sample(api, long_run, 100, cursor=before["cursor"])["series"]
    assert (appended["width"], appended["step"][-1]) == (whole["width"], 2**62)
    (again,) = sample(api, long_run, 100)["series"]
    assert again["step"] == [*whole["step"], 2**62]
    assert [*whole["count"], 1] == again["count"]


def test_a_series_that_is_not_dense_keeps_its_points_apart(api, database):
    run = start(api)
    record(database, run, [step * 1_000_000_007 for step in range(3000)])
    (few,) = sample(api, run, 3000)["series"]
    assert few["count"] == [1] * 3000
    (ranges,) = sample(api, run, 100)["series"]
    assert 50 <= len(ranges["step"]) <= 100
    assert count(database, "tiles") < 3000 / sampling.FANOUT * 2.5


def test_a_series_that_became_dense_is_sampled_within_the_memory(api, database):
    run = start(api)
    record(database, run, [step * 10_000 for step in range(2100)])
    record(database, run, range(21_000_001, 21_000_000 + LONG))
    tracemalloc.start()
    (dense,) = sample(api, run, 50, 21_000_001, 21_000_000 + LONG)["series"]
    (_, peak), _ = tracemalloc.get_traced_memory(), tracemalloc.stop()
    assert sum(dense["count"]) == LONG - 1
    assert peak < 2 * 2**20


def test_polls_of_a_growing_series_stay_within_twice_the_ranges(api, database):
    run = start(api)
    record(database, run, range(100))
    held = sample(api, run, 20)
    total, wholes = len(held["series"][0]["step"]), 0
    for first in range(100, 2000, 20):
        record(database, run, range(first, first + 20))
        held = sample(api, run, 20, cursor=held["cursor"])
        (loss,) = held["series"]
        if loss["replaces_from"] == 0:
            total, wholes = len(loss["step"]), wholes + 1
        else:
            total += len(loss["step"]) - 1
        assert total < 40
    assert 3 <= wholes <= 10


# Deleting


@pytest.fixture(autouse=True)
def slices_end_after_their_rows(monkeypatch):
    """However slow the machine is."""
    monkeypatch.setattr(removal, "SLICE_TIME", GUARD)


@pytest.fixture
def removed_rows(monkeypatch):
    """The number of rows that each transaction removed."""
    numbers, before = [], {}
    execute = connections.Connection.execute

    def count_changes(connection, statement, *parameters):
        if statement == "BEGIN IMMEDIATE":
            before[connection] = connection.total_changes
        elif statement == "COMMIT" and connection in before:
            numbers.append(connection.total_changes - before.pop(connection))
        return execute(connection, statement, *parameters)

    monkeypatch.setattr(connections.Connection, "execute", count_changes)
    return numbers


@pytest.fixture
def removal_clock(monkeypatch):
    """The clock of `removal`: removing a row takes `row_time` seconds, and nothing else does."""
    clock = types.SimpleNamespace(row_time=0.0, now=0.0)
    execute = connections.Connection.execute

    def take_time(connection, statement, *parameters):
        cursor = execute(connection, statement, *parameters)
        if statement.startswith("DELETE"):
            clock.now += cursor.rowcount * clock.row_time
        return cursor

    monkeypatch.setattr(connections.Connection, "execute", take_time)
    monkeypatch.setattr(removal, "monotonic", lambda: clock.now)
    return clock


def test_no_writer_waits_for_many_large_values(
    api, long_run, monkeypatch, removed_rows, removal_clock
):
    monkeypatch.setattr(removal, "SLICE_TIME", 0.025)
    removal_clock.row_time = 0.02
    pauses = []
    monkeypatch.setattr(removal.gate, "pass_through", lambda pause=0.0: pauses.append(pause))
    assert api.delete(f"{RUNS}{long_run}/", params=PURGE).status_code == 204
    assert max(removed_rows) == 2
    waited = [pause for pause in pauses if pause]
    assert len(waited) > 100
    # Others have the lock as long as it was held.
    assert min(waited) == pytest.approx(0.04)


@pytest.mark.parametrize("deleted", ["run", "project"])
def test_deleting_removes_slices_between_which_others_write(
    api, database, long_run, monkeypatch, removed_rows, deleted
):
    monkeypatch.setattr(removal, "SLICE_ROWS", 100)
    for _ in range(30):
        start(api)
    others, pass_through = [], removal.gate.pass_through
    api.post(PROJECTS, json={"display_name": "Other"})
    other = api.post(f"{PROJECTS}other/runs/", json={}).json()["uuid"]

    def write_meanwhile(pause=0.0):
        if pause >= removal._PAUSE:
            with contextlib.closing(sqlite3.connect(database, timeout=0)) as connection:
                connection.execute("UPDATE runs SET description = 'x' WHERE uuid = ?", (other,))
                connection.commit()
            others.append(pause)
        pass_through(pause)

    monkeypatch.setattr(removal.gate, "pass_through", write_meanwhile)
    removed_rows.clear()
    path = f"{RUNS}{long_run}/" if deleted == "run" else PROJECT
    assert api.delete(path, params=PURGE).status_code == 204
    tiles = LONG // sampling.FANOUT
    assert sum(removed_rows) > LONG // 1000 + tiles
    # A run that ends in a slice also records its UUID, and each of its rows counts.
    assert max(removed_rows) <= 2 * 100
    assert len(others) > 50
    assert count(database, "points") == count(database, "tiles") == count(database, "series") == 0
    assert count(database, "runs") == (31 if deleted == "run" else 1)
    assert count(database, "projects") == (2 if deleted == "run" else 1)


KILLED = """
import os, signal, sys
import httpx
from afnio_tellurio.backend import BackendUser, open_backend
from afnio_tellurio.backend.store import removal
removal.SLICE_ROWS, removal.SLICE_TIME = 100, 600
slices = []
def pass_through(pause=0.0):
    slices.append(pause)
    if sum(each >= removal._PAUSE for each in slices) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
removal.gate.pass_through = pass_through
backend = open_backend(__import__("pathlib").Path(sys.argv[1]), user=BackendUser("ada", "a@b"))
api = httpx.Client(base_url="http://x", transport=httpx.WSGITransport(app=backend))
api.delete(sys.argv[2], params={"purge": "true"})
"""


@pytest.mark.parametrize("deleted", ["run", "project"])
def test_a_deletion_that_was_killed_is_completed_by_later_writes(
    api, database, long_run, start_python, monkeypatch, deleted
):
    monkeypatch.setattr(removal, "SLICE_ROWS", 100)
    path = f"{RUNS}{long_run}/"
    child = start_python("-c", KILLED, str(database), path if deleted == "run" else PROJECT)
    _out, err = child.communicate()
    assert child.returncode == -9, err
    assert 0 < count(database, "points") < LONG
    missing = api.get(path)
    assert (missing.status_code, missing.json()["deleted"]) == (404, True)
    api.post(PROJECTS, json={"display_name": "Digits"})
    assert api.get(RUNS).json() == []
    assert api.post(RUNS, json={"uuid": long_run}).status_code == 409
    assert api.get(f"{PROJECT}metrics/").json() == []
    other, writes = start(api), 0
    while count(database, "points") > writes or count(database, "tiles"):
        api.post(f"{RUNS}{other}/metrics/", json={"name": "loss", "value": 1})
        writes += 1
        assert writes < LONG / sampling.FANOUT / removal.SLICE_ROWS + LONG / 1000 + 5
    api.patch(f"{RUNS}{other}/", json={"status": "COMPLETED"})
    assert count(database, "series") == count(database, "runs") == count(database, "projects") == 1
    assert rows(database, "SELECT uuid FROM deleted_runs") == [(long_run,)]
    assert api.get(path).json()["deleted"] is True


def test_a_write_succeeds_if_the_disk_refuses_to_remove_what_was_deleted(
    api, database, long_run, monkeypatch, caplog
):
    def fail(*_arguments):
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(removal._Slice, "remove", fail)
        assert api.delete(f"{RUNS}{long_run}/", params=PURGE).status_code == 204
        assert "could not be removed from the disk yet: database or disk is full" in caplog.text
        assert api.post(RUNS, json={}).status_code == 201
    assert count(database, "points") == LONG
    while count(database, "points"):
        assert api.post(RUNS, json={}).status_code == 201


@pytest.mark.parametrize("query", [{}, PURGE])
def test_names_and_keys_of_what_was_deleted_are_free(api, monkeypatch, query):
    monkeypatch.setattr("afnio_tellurio.backend.application.REMOVAL_TIME", 0)
    monkeypatch.setattr(removal, "SLICE_ROWS", 0)
    key = {"Idempotency-Key": "k"}
    first = api.post(RUNS, json={"name": "a"}, headers=key).json()
    assert api.delete(f"{RUNS}{first['uuid']}/", params=query).status_code == 204
    second = api.post(RUNS, json={"name": "a"}, headers=key).json()
    assert (second["name"], second["uuid"] != first["uuid"]) == ("a", True)
    assert api.delete(PROJECT, params=query).status_code == 204
    assert api.get(PROJECTS).json() == []
    assert api.get(PROJECT).status_code == 404
    assert api.post(PROJECTS, json={"display_name": "Digits"}).status_code == 201
    assert api.get(RUNS).json() == []


# The write-ahead log


def test_the_log_shrinks_after_a_long_reader(api, database):
    run = start(api)
    log = database.with_name(f"{database.name}-wal")
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM runs").fetchone()
        while log.stat().st_size < 12 * 2**20:
            assert api.post(
                f"{RUNS}{run}/metrics/", json={"name": "text", "value": "x" * 2**20}
            ).is_success
        reader.execute("COMMIT")
    for step in range(5):
        api.post(f"{RUNS}{run}/metrics/", json={"name": "loss", "value": 1, "step": step})
    assert log.stat().st_size <= 5 * 2**20


# Upgrades


def schema_of(database):
    """The columns, keys and indexes of all tables."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        pragmas = ("table_xinfo", "foreign_key_list", "index_list")
        return {
            (name, pragma): connection.execute(f"PRAGMA {pragma}({name})").fetchall()
            for (name,) in names
            for pragma in pragmas
        }


@pytest.mark.parametrize("number", golden_homes.FORMATS)
def test_an_upgraded_database_is_like_a_new_one(tmp_path, number):
    path, new = tmp_path / "old.db", tmp_path / "new.db"
    with opened(new) as api:
        api.post(PROJECTS, json={"display_name": "Digits"})
    golden_homes.unpack_database(number, path)
    with opened(path) as api:
        added = start(api)
        names = [run["name"] for run in api.get(RUNS).json()][1:]
    assert names in (["left", "kept"], ["left", "with tables", "kept"])
    # The ID of the deleted run is not used again.
    assert rows(path, "SELECT id FROM runs WHERE uuid = ?", added) == [(len(names) + 2,)]
    assert schema_of(path) == schema_of(new)
    assert rows(path, "PRAGMA foreign_key_check") == []
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


def test_samples_read_what_the_series_knows(api, database, long_run):
    """The extent of a series determines the widths of its tiles."""
    stored = dict(rows(database, "SELECT width, count(*) FROM tiles GROUP BY width ORDER BY width"))
    opened_database = Database(database)

    @works_in_sqlite
    def widths():
        with opened_database.reading() as connection:
            ((run,),) = connection.execute("SELECT id FROM runs WHERE uuid = ?", (long_run,))
            return series.find_series(connection, run, "loss").widths()

    assert list(stored) == widths()
    opened_database.close()
    assert list(stored.values()) == [-(-LONG // width) for width in stored]
