"""What a project says of its runs: how many there are by status, and by day, and the last change."""

import datetime as dt

import httpx
import pytest

from afnio_tellurio.backend import BackendUser, open_backend
from afnio_tellurio.backend.store import projects as stored_projects

PROJECTS = "/api/v0/acme/projects/"
NOW = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture
def api(tmp_path, monkeypatch):
    """A backend whose clock stands still."""
    for module in ("runs", "projects"):
        monkeypatch.setattr(
            f"afnio_tellurio.backend.{module}.current_time", lambda: int(NOW.timestamp() * 1e6)
        )
    backend = open_backend(tmp_path / "x.db", user=BackendUser("ada", "ada@example.com"))
    with httpx.Client(base_url="http://x", transport=httpx.WSGITransport(app=backend)) as client:
        for name in ("Digits", "Empty"):
            client.post(PROJECTS, json={"display_name": name})
        yield client
    backend.close()


def create(api, age, status="COMPLETED"):
    body = {"status": status, "date_created": (NOW - age).isoformat()}
    return api.post(f"{PROJECTS}digits/runs/", json=body).raise_for_status().json()


def get(api, slug):
    return api.get(f"{PROJECTS}{slug}/").raise_for_status().json()


def test_runs_are_counted_by_status_and_by_day(api):
    # It is noon: midnight belongs to the day that begins.
    before = dt.timedelta(microseconds=1)
    ages = (0 * DAY, DAY / 2, DAY / 2 + before, 29.5 * DAY, 29.5 * DAY + before)
    for age, status in zip(ages, ["RUNNING", *["CRASHED"] * 3, "FAILED"], strict=True):
        create(api, age, status)
    digits = get(api, "digits")
    assert digits["run_counts"] == {"RUNNING": 1, "CRASHED": 3, "FAILED": 1}
    assert digits["runs_per_day"] == [1, *[0] * 27, 1, 2]
    assert digits["last_activity"] == "2026-11-27T12:00:00.000000Z"
    empty = get(api, "empty")
    assert (empty["run_counts"], empty["last_activity"]) == ({}, None)
    assert empty["runs_per_day"] == [0] * 30
    fields = ("slug", "run_counts", "last_activity", "runs_per_day")
    listed = api.get(PROJECTS).json()
    assert [[each[name] for name in fields] for each in listed] == [
        [each[name] for name in fields] for each in (digits, empty)
    ]
    assert [each["slug"] for each in api.get(PROJECTS, params={"limit": 1}).json()] == ["digits"]


def test_deleted_runs_do_not_count_and_changes_are_activity(api, monkeypatch):
    first, second = create(api, DAY, "RUNNING"), create(api, DAY)
    later = NOW + dt.timedelta(hours=1)
    monkeypatch.setattr(
        "afnio_tellurio.backend.runs.current_time", lambda: int(later.timestamp() * 1e6)
    )
    path = f"{PROJECTS}digits/runs/"
    api.patch(f"{path}{first['uuid']}/", json={"status": "FAILED"}).raise_for_status()
    assert get(api, "digits")["last_activity"] == "2026-11-27T13:00:00.000000Z"
    api.delete(f"{path}{second['uuid']}/").raise_for_status()
    digits = get(api, "digits")
    assert (digits["run_counts"], sum(digits["runs_per_day"])) == ({"FAILED": 1}, 1)
    restored = api.post(f"{path}{second['uuid']}/restore/").raise_for_status()
    assert restored.json()["status"] == "COMPLETED"
    assert get(api, "digits")["run_counts"] == {"COMPLETED": 1, "FAILED": 1}


def test_counting_reads_indexes_alone(tmp_path, api):
    create(api, DAY)
    backend = open_backend(tmp_path / "x.db")
    statements = []

    class Recorded:
        """A connection that keeps the plans of its statements."""

        def __init__(self, connection):
            self.connection = connection

        def execute(self, statement, parameters):
            plan = self.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            statements.append(" ".join(row[3] for row in plan))
            return self.connection.execute(statement, parameters)

    with backend._database.reading() as connection:
        stored_projects.read_activity(Recorded(connection), 1, 0)
    backend.close()
    counting, by_day = statements
    assert counting == "SEARCH runs USING COVERING INDEX runs_by_status (project=?)"
    assert (
        "SEARCH runs USING COVERING INDEX runs_by_creation (project=? AND created>? AND" in by_day
    )
