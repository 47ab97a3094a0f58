"""Programs whose tests freeze the clock."""

import datetime as dt
import time

import pytest
from awaiting_events import wait_until
from children import GUARD
from freezegun import freeze_time

import afnio_tellurio as te

MOMENT = dt.datetime(2026, 1, 14, 12, tzinfo=dt.UTC)
#: Everything is imported while the clock stands still.
PROGRAM = """
import datetime as dt
import time
import afnio_tellurio as te
from afnio_tellurio.cli import main
from freezegun import freeze_time

with freeze_time("2026-01-14 12:00"):
    before = time.monotonic()
    run = te.init("acme", "Digits", "test_run")
    for number in range(3):
        run.log("loss", number / 2)
    now = dt.datetime.now(dt.UTC)
    assert run.flush(timeout=600).accepted == 3
    history = run.metrics("loss")
    assert history.values == [0, 0.5, 1]
    assert history.timestamps == [now] * 3
    assert run.date_created == now
    assert run.summary()["loss"].last_timestamp == now
    assert run.curve("loss") == ([0, 1, 2], [0, 0.5, 1])
    assert [found.uuid for found in te.runs("acme", "Digits", created_after=now)] == [run.uuid]
    run.finish()
    assert main(["runs", "acme/digits", "--since", "yesterday"]) == 0
    assert main(["show", "acme/digits/test_run"]) == 0
    assert time.monotonic() == before, "it stands still"
run = te.init("acme", "Digits", "later")
run.log("loss", 1)
run.finish()
assert run.date_created > now
"""


def test_a_program_tracks_runs_while_its_clock_stands_still(start_python):
    program = start_python("-c", PROGRAM, TELLURIO_MODE="local", TELLURIO_QUIET="1")
    shown, complaints = program.communicate(timeout=GUARD)
    assert (program.returncode, complaints) == (0, "")
    assert "test_run" in shown


def test_waiting_ends_in_real_time_while_the_clock_stands_still(proxy, monkeypatch):
    monkeypatch.setenv("TELLURIO_EXIT_TIMEOUT", "0.05")
    run = te.init("acme", "Digits", "test_run")
    with freeze_time(MOMENT):
        before = time.monotonic()
        proxy.fault = lambda *_: "drop"
        run.log("loss", 1)
        with pytest.raises(te.DeliveryError, match="flush"):
            run.flush(timeout=0.05)
        with pytest.raises(te.DeliveryError, match="finish"):
            run.finish()
        proxy.fault = lambda *_: None
        # The sender tries again in real time too.
        wait_until(lambda: not run._receipt().waiting)
        assert time.monotonic() == before, "it stands still"
    assert run.metrics("loss").timestamps == [MOMENT]
