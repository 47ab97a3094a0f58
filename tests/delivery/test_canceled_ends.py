"""A coroutine decides how its run ends; the process may end before a thread has done the rest."""

import asyncio
import sqlite3
from contextlib import closing

import pytest
from children import GUARD

import afnio_tellurio as te
from afnio_tellurio.settings.settings import read_settings

#: The thread that ends the run stops before its first line.
PROGRAM = """
import asyncio, threading
import afnio_tellurio as te

is_held, never = threading.Event(), threading.Event()

def hold(_frame, _event, _argument):
    if threading.current_thread().name == "tellurio-await":
        is_held.set()
        never.wait()

async def block(run):
    async with run:
        run.log("loss", 1)
        await asyncio.sleep(0)
        raise KeyError("split")

async def fails(run):
    run.log("loss", 1)
    try:
        raise KeyError("split")
    except KeyError:
        await run.afinish(status="FAILED")

async def main():
    run = await te.ainit("acme", "Digits", "r")
    threading.settrace(hold)
    task = asyncio.create_task({ends}(run))
    while not is_held.is_set():
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    threading.settrace(None)

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def local(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")


@pytest.mark.parametrize(
    ("ends", "status"), [("block", te.RunStatus.CRASHED), ("fails", te.RunStatus.FAILED)]
)
def test_a_process_that_ends_first_records_the_decided_end(run_python, ends, status):
    child = run_python(PROGRAM.replace("{ends}", ends))
    assert child.returncode == 0, child.stderr
    run = te.get_run("acme", "Digits", "r")
    assert run.status is status
    assert run.ended_because.type == "KeyError"
    assert run.metrics("loss").values == [1]


def test_a_finish_that_failed_decides_nothing(monkeypatch):
    monkeypatch.setenv("TELLURIO_EXIT_TIMEOUT", "0.1")
    run = te.init("acme", "Digits", "r")
    run.flush()
    with closing(sqlite3.connect(read_settings().database, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        with pytest.raises(te.DeliveryError):
            asyncio.run(run.afinish(status="FAILED"))
    monkeypatch.setenv("TELLURIO_EXIT_TIMEOUT", str(GUARD))
    with run:
        run.log("loss", 1)
    assert run.status is te.RunStatus.COMPLETED
