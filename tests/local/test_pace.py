"""Any number of polls takes little of the time, and deferred changes come later."""

import uuid

import httpx
import pytest

from afnio_tellurio.backend import BackendUser, application, open_backend
from afnio_tellurio.backend.pace import Pace

PROJECT = "/api/v0/acme/projects/digits/"


class Clock:
    def __init__(self):
        self.now = 0.0
        self.step = 0.0

    def __call__(self):
        self.now += self.step
        return self.now


def spend(pace, clock, seconds):
    with pace.spending():
        clock.now += seconds


def test_a_tenth_of_the_time_is_for_polls():
    clock = Clock()
    pace = Pace(clock)
    spent = 0
    for _ in range(1000):
        if pace.allows():
            spend(pace, clock, 0.05)
            spent += 0.05
        clock.now += 0.05
    # Plus the second that was saved at the start.
    assert spent == pytest.approx(clock.now / 10 + 1, rel=0.05)


def test_a_poll_that_took_long_is_paid_for_before_the_next():
    clock = Clock()
    pace = Pace(clock)
    spend(pace, clock, 3)
    assert not pace.allows()
    clock.now += 16
    assert not pace.allows()
    clock.now += 2
    assert pace.allows()


def test_no_more_than_a_second_is_saved_up():
    clock = Clock()
    pace = Pace(clock)
    clock.now += 1_000_000
    assert pace.allows()
    spend(pace, clock, 2)
    assert not pace.allows()


def test_what_fails_has_taken_its_time_too():
    clock = Clock()
    pace = Pace(clock)
    with pytest.raises(ValueError, match="broken"), pace.spending():
        clock.now += 2
        raise ValueError("broken")
    assert not pace.allows()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def slow(tmp_path, monkeypatch, clock):
    """A backend that takes two seconds for each poll."""
    monkeypatch.setattr(application, "Pace", lambda: Pace(clock))
    clock.step = 2.0
    backend = open_backend(tmp_path / "slow.db", user=BackendUser("ada", "ada@example.com"))
    with httpx.Client(
        base_url="http://embedded", transport=httpx.WSGITransport(app=backend)
    ) as client:
        client.post("/api/v0/acme/projects/", json={"display_name": "Digits"})
        yield client
    backend.close()


def log(api, run, step):
    metrics = [{"name": "loss", "value": step, "step": step}]
    batch = {"writer": str(uuid.uuid4()), "first_sequence_number": 0, "metrics": metrics}
    assert api.post(f"{PROJECT}runs/{run}/metrics/batch/", json=batch).status_code == 200


def test_a_poll_that_is_put_off_has_the_same_cursor_and_the_next_one_brings_it_all(slow, clock):
    run = slow.post(f"{PROJECT}runs/", json={}).json()["uuid"]

    def sampled(cursor=None):
        query = {"run": run, "name": "loss", "buckets": 8, **({"cursor": cursor} if cursor else {})}
        return slow.get(f"{PROJECT}metrics/sample/", params=query)

    log(slow, run, 0)
    first = sampled().json()
    log(slow, run, 1)
    second = sampled(first["cursor"]).json()
    assert second["series"][0]["step"][-1] == 1
    log(slow, run, 2)
    # The previous poll took two seconds.
    for _ in range(2):
        assert sampled(second["cursor"]).json() == {"cursor": second["cursor"], "series": []}
    # A poll without a cursor does not wait.
    assert sampled().json()["series"][0]["step"] == [0, 1, 2]
    clock.now += 20
    third = sampled(second["cursor"]).json()
    assert third["series"][0]["step"][-1] == 2


def test_a_wrong_request_is_refused_also_when_polls_are_put_off(slow, clock):
    run = slow.post(f"{PROJECT}runs/", json={}).json()["uuid"]
    log(slow, run, 0)
    query = {"run": run, "name": "loss", "buckets": 8}
    cursor = slow.get(f"{PROJECT}metrics/sample/", params=query).json()["cursor"]
    polls = {**query, "cursor": cursor}
    for _ in range(2):
        assert slow.get(f"{PROJECT}metrics/sample/", params=polls).status_code == 200
    missing = "/api/v0/acme/projects/nothing/metrics/sample/"
    assert slow.get(missing, params=polls).status_code == 404
