"""Homes that earlier versions left, and processes of theirs that are alive while one is upgraded."""

import contextlib
import math
import sqlite3

import golden_homes
import httpx
import pytest
from children import GUARD

import afnio_tellurio as te
from afnio_tellurio.backend import BackendUser, open_backend
from afnio_tellurio.backend.store import schema
from afnio_tellurio.backend.store.schema import FORMAT
from afnio_tellurio.backend.store.upgrades import UPGRADES

LONG = len(golden_homes.KEPT["loss"][0])


@pytest.fixture(autouse=True)
def local_mode(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")


def rows(path, query):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def as_json(value):
    """A value with NaN and the infinities as in JSON."""
    special = isinstance(value, float) and not math.isfinite(value)
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)] if special else value


# Homes of each format


def test_there_is_a_home_of_each_older_format():
    assert set(range(1, FORMAT)) <= set(golden_homes.FORMATS)
    assert sorted(UPGRADES) == list(range(1, FORMAT))


@pytest.mark.parametrize("number", golden_homes.FORMATS)
def test_a_home_of_each_format_is_read_and_its_journal_is_delivered_once(home, number):
    golden_homes.unpack_home(number, home)
    (synced,) = te.sync()
    has_tables = number >= golden_homes.FIRST_WITH_TABLES
    assert (synced.problem, synced.status) == (None, "CRASHED")
    assert synced.delivered == (6 if has_tables else 4)
    assert te.sync() == []
    kept, left = (te.get_run("acme", "digits", name) for name in ("kept", "left"))
    assert (kept.status, kept.description) == ("COMPLETED", "what it is about")
    for run, wanted in ((kept, golden_homes.KEPT), (left, golden_homes.LEFT)):
        assert {
            name: (history.steps, list(map(as_json, history.values)))
            for name, history in run.metrics().items()
        } == {name: (steps, list(map(as_json, values))) for name, (steps, values) in wanted.items()}
    steps, values = kept.curve("loss", buckets=10_000)
    assert (steps, values) == golden_homes.KEPT["loss"]
    summary = kept.summary()["loss"]
    assert (summary.count, summary.minimum, summary.maximum) == (LONG, 0, 6)
    with te.init("acme", "Digits", "new") as run:
        run.log("loss", 1)
    assert run.metrics("loss").values == [1]


@pytest.mark.parametrize("number", golden_homes.FORMATS)
def test_a_home_of_each_format_has_its_runs_and_tables(home, number):
    golden_homes.unpack_home(number, home)
    runs = {run.name: run for run in te.runs("acme", "digits")}
    names = ["left", "with tables", "kept"]
    if number < golden_homes.FIRST_WITH_TABLES:
        names.remove("with tables")
    assert list(runs) == names
    for name, run in runs.items():
        expected = golden_homes.ROWS if name == "with tables" else []
        if name == "left" and "with tables" in runs:
            expected = [{"index": 0, "score": "NaN"}, {"index": 1, "score": 0.5}]
        read = [
            {field: as_json(value) for field, value in row.items()}
            for row in run.rows("candidates")
        ]
        assert read == expected
    with te.init("acme", "Digits", "new") as run:
        run.log_rows("candidates", [{"index": 2}])
    assert run.rows("candidates").rows == [{"index": 2}]


@pytest.mark.parametrize("number", golden_homes.FORMATS)
def test_opening_an_old_home_delivers_its_journal_too(home, number):
    golden_homes.unpack_home(number, home)
    left = te.get_run("acme", "digits", "left")
    assert (left.status, left.metrics("note").values) == ("CRASHED", [["a", None]])


@pytest.mark.parametrize(
    "number",
    [number for number in golden_homes.FORMATS if number >= golden_homes.FIRST_WITH_DETAILS],
)
def test_the_details_of_a_run_are_kept(home, number):
    golden_homes.unpack_home(number, home)
    path = (
        f"/api/v0/acme/projects/digits/runs/{golden_homes.uuids_of(home / 'tellurio.db')['kept']}/"
    )
    with te.TellurioClient.local() as client:
        kept = client.get(path).json()
        changes = client.get(f"{path}config-changes/").json()
    config = {"seed": 10**30, "lr": 0.1}
    assert (kept["config"], kept["tags"], kept["group"]) == (config, ["golden"], "homes")
    assert [change["patch"] for change in changes] == [config]
    assert kept["date_created"] < kept["date_ended"] < kept["date_updated"]


# Processes that check the format

LOG_ON = """
import logging, sys
logging.basicConfig()
import afnio_tellurio as te
run = te.init("acme", "Digits", "shared")
numbers = iter(range(10**9))
def log(count):
    for _ in range(count):
        run.log("loss", -next(numbers))
log(3000)
run.flush()
print("ready", flush=True)
sys.stdin.readline()
log(3000)
try:
    run.flush(timeout=0.5)
except te.DeliveryError as error:
    print(error, flush=True)
sys.stdin.readline()
log(1)
"""


@pytest.fixture
def newer_version(monkeypatch):
    """This process becomes one of a version with the next format."""
    monkeypatch.setattr(schema, "FORMAT", FORMAT + 1)
    monkeypatch.setitem(
        UPGRADES,
        FORMAT,
        lambda connection: connection.execute("ALTER TABLE runs ADD COLUMN newer TEXT"),
    )


def test_what_an_older_process_logs_during_an_upgrade_waits_and_is_delivered_once(
    home, start_python, newer_version
):
    older = start_python("-c", LOG_ON, stdin=True, TELLURIO_EXIT_TIMEOUT="0.5")
    assert older.stdout.readline() == "ready\n", older.stderr.read()
    database = home / "tellurio.db"
    (before,) = rows(database, "SELECT count FROM series")
    run = te.get_run("acme", "digits", "shared")
    assert rows(database, "PRAGMA user_version") == [(FORMAT + 1,)]
    older.stdin.write("\n")
    older.stdin.flush()
    message = older.stdout.readline()
    assert f"it has format {FORMAT + 1}, but this afnio-tellurio supports formats up to" in message
    assert "upgrade afnio-tellurio" in message
    assert "3000 metrics wait in" in message
    assert rows(database, "SELECT count FROM series") == [before], "it wrote nothing"
    assert te.sync() == [], "its journal is its own while it lives"
    _out, err = older.communicate("\n", timeout=GUARD)
    assert err.count("could not use its database") == 1, "a client asks again and again"
    (synced,) = te.sync()
    assert (synced.problem, synced.delivered) == (None, 3001)
    values = [-number for number in range(6001)]
    assert run.metrics("loss").values == values
    assert run.summary()["loss"].minimum == values[-1]
    assert run.curve("loss", buckets=10_000) == (list(range(6001)), values)


@pytest.mark.parametrize("changed", [FORMAT + 1, FORMAT - 1])
def test_no_transaction_begins_in_a_database_of_another_format(tmp_path, changed):
    path = tmp_path / "x.db"
    backend = open_backend(path, user=BackendUser("ada", "ada@example.com"))
    api = httpx.Client(base_url="http://x", transport=httpx.WSGITransport(app=backend))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        for number, is_refused in ((changed, True), (FORMAT, False)):
            other.execute(f"PRAGMA user_version = {number}")
            # The transactions of a request that writes, and of one that reads.
            answers = [
                api.post("/api/v0/acme/projects/", json={"display_name": f"P {number}"}),
                api.get("/api/v0/acme/projects/"),
            ]
            codes = [503, 503] if is_refused else [201, 200]
            assert [answer.status_code for answer in answers] == codes
            if is_refused:
                assert f"format {changed}" in answers[0].json()["detail"]
                assert "start this program again" in answers[0].json()["detail"]
    assert len(answers[1].json()) == 1
    backend.close()


# Processes that do not check it, and tiles that lack points


def test_a_process_that_does_not_check_the_format_writes_no_points_after_the_upgrade(home):
    golden_homes.unpack_home(1, home)
    with contextlib.closing(sqlite3.connect(home / "tellurio.db", isolation_level=None)) as early:
        insert = "INSERT INTO points SELECT id, last_step + 1, count, 7, NULL, 1 FROM series"
        early.execute("BEGIN")
        early.execute(insert)
        early.execute("ROLLBACK")
        run = te.get_run("acme", "digits", "kept")
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            early.execute(insert)
    assert run.metrics("loss").steps == list(range(LONG))


@pytest.fixture
def kept(home):
    """The run of an upgraded home."""
    golden_homes.unpack_home(1, home)
    return te.get_run("acme", "digits", "kept")


def tiled(path):
    """The number of points in the tiles of each width."""
    return {total for _, total in rows(path, "SELECT width, sum(count) FROM tiles GROUP BY width")}


def change(path, statement):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


STALE = {
    "points are missing": "DELETE FROM tiles WHERE tile = 0",
    "a width is missing": "DELETE FROM tiles WHERE width = (SELECT max(width) FROM tiles)",
    "all are missing": "DELETE FROM tiles",
    "they were never built": "UPDATE series SET tile_width = NULL",
}


@pytest.mark.parametrize("statement", STALE.values(), ids=STALE)
def test_tiles_that_lack_points_are_built_again(home, kept, statement):
    database = home / "tellurio.db"
    expected = golden_homes.KEPT["loss"]
    assert tiled(database) == {LONG}
    change(database, statement)
    assert kept.curve("loss", buckets=10_000) == expected
    assert tiled(database) == {LONG}, "the tiles were built again"
    change(database, statement)
    (curve,) = te.curves([kept], "loss")
    assert (min(curve.minima), max(curve.maxima)) == (0, 6)
    assert tiled(database) == {LONG}
    change(database, statement)
    with te.TellurioClient.local() as client:
        path = f"/api/v0/acme/projects/digits/runs/{kept.uuid}/metrics/"
        assert client.post(path, json={"name": "loss", "value": -5}).is_success
    assert tiled(database) == {LONG + 1}, "also before more is added to them"
    assert kept.curve("loss", buckets=10_000)[1] == [*expected[1], -5]


def test_a_database_that_can_only_be_read_is_sampled_without_stale_tiles(tmp_path):
    path = tmp_path / "x.db"
    golden_homes.unpack_database(1, path)
    run = golden_homes.uuids_of(path)["kept"]
    backend = open_backend(path, user=BackendUser("ada", "ada@example.com"))
    api = httpx.Client(base_url="http://x", transport=httpx.WSGITransport(app=backend))
    change(path, STALE["points are missing"])
    backend._database._pool.is_read_only = True
    url = "/api/v0/acme/projects/digits/metrics/sample/"
    answer = api.get(url, params={"run": run, "name": "loss", "buckets": 100}).json()
    (series,) = answer["series"]
    assert sum(series["count"]) == LONG
    assert series["maximum"][0] == 6
    backend.close()
