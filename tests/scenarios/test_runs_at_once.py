"""Threads and tasks that each have a run of their own."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import trio
import trio.lowlevel
from children import GUARD

import afnio_tellurio as te
from afnio_tellurio.tracking.safeguard import safeguard

pytestmark = pytest.mark.usefixtures("backend")


def in_thread(work, *arguments):
    """What a call returns in a new thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work, *arguments).result(GUARD)


def start(name=None):
    return te.init("acme", "Digits", name)


def status_of(run):
    return te.get_run("acme", "Digits", run.uuid).status


def test_each_thread_logs_to_its_own_run():
    together = threading.Barrier(4, timeout=GUARD)

    def trial(number):
        with start("trial") as run:
            together.wait()
            for step in range(5):
                te.log("loss", number, step=step)
            together.wait()
        return run

    with ThreadPoolExecutor(4) as pool:
        trials = list(pool.map(trial, range(4)))
    assert sorted(run.name for run in trials) == ["trial", "trial_1", "trial_2", "trial_3"]
    for number, run in enumerate(trials):
        assert status_of(run) is te.RunStatus.COMPLETED
        assert run.metrics("loss").values == [number] * 5


async def with_asyncio(work):
    await asyncio.gather(*map(work, range(3)))


async def with_trio(work):
    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(work, number)


@pytest.mark.parametrize(
    ("run_loop", "at_once", "pause"),
    [
        (lambda main, work: asyncio.run(main(work)), with_asyncio, asyncio.sleep),
        (trio.run, with_trio, trio.sleep),
    ],
    ids=["asyncio", "trio"],
)
@pytest.mark.parametrize("has_parent", [True, False])
def test_each_task_logs_to_its_own_run(run_loop, at_once, pause, has_parent):
    agents = {}

    async def agent(number):
        te.log("started", number) if has_parent else None
        async with start("agent") as agents[number]:
            while len(agents) < 3:
                await pause(0)
            te.log("loss", number)
        te.log("ended", number) if has_parent else None

    if has_parent:
        parent = start("parent")
    run_loop(at_once, agent)
    for number, run in agents.items():
        assert status_of(run) is te.RunStatus.COMPLETED
        assert {name: found.values for name, found in run.metrics().items()} == {"loss": [number]}
    if has_parent:
        assert te.get_active_run() is parent
        assert status_of(parent) is te.RunStatus.RUNNING
        assert sorted(parent.metrics("started").values) == [0, 1, 2]
        assert sorted(parent.metrics("ended").values) == [0, 1, 2]


def test_a_second_init_in_one_task_ends_its_first_run_only():
    async def main():
        first = start()
        second = await asyncio.create_task(in_task())
        third = start()
        assert te.get_active_run() is third
        return first, second, third

    async def in_task():
        return start()

    outside = start()
    statuses = [status_of(run) for run in (outside, *asyncio.run(main()))]
    assert statuses == ["RUNNING", "FAILED", "RUNNING", "RUNNING"]


def test_a_second_init_in_a_thread_of_a_pool_ends_the_run_that_it_left_open():
    with ThreadPoolExecutor(1) as pool:
        first, second = pool.map(start, ["first", "second"])
    assert (status_of(first), status_of(second)) == ("FAILED", "RUNNING")


def test_runs_started_beside_an_event_loop_stay_open():
    """In asyncio's pool, whose threads start the runs of several tasks."""

    async def main():
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        return [await asyncio.to_thread(start), await asyncio.to_thread(start)]

    assert [status_of(run) for run in asyncio.run(main())] == ["RUNNING"] * 2


def test_a_task_that_is_done_no_longer_owns_its_run():
    """As in a notebook, where each cell is a task in the same context."""

    async def cell():
        return start()

    async def kernel():
        import contextvars

        context, loop = contextvars.copy_context(), asyncio.get_running_loop()
        return [await loop.create_task(cell(), context=context) for _ in range(2)]

    assert [status_of(run) for run in asyncio.run(kernel())] == ["FAILED", "RUNNING"]


def test_a_thread_without_a_run_logs_to_that_of_the_main_thread():
    of_thread = in_thread(start, "trial")
    assert te.get_active_run() is of_thread, "the only one"
    run = start("main")
    later = in_thread(start, "trial")
    in_thread(te.log, "loss", 1)
    assert run.metrics("loss").values == [1]
    assert in_thread(te.get_active_run) is run
    run.finish()
    assert te.get_active_run() is later


def test_attaching_to_the_run_of_another_thread_makes_it_active_here():
    run, other = start("main"), in_thread(start, "trial")
    assert te.attach("acme", "Digits", other.uuid) is other
    assert te.get_active_run() is other
    assert status_of(run) is te.RunStatus.RUNNING


@pytest.mark.needs_extension
def test_the_run_of_another_thread_is_not_deleted():
    other = in_thread(start, "trial")
    start("main")
    with pytest.raises(ValueError, match="delete_run: run 'trial' is active in this process; fin"):
        te.delete_run("acme", "Digits", other.uuid)


def test_an_interrupted_end_of_the_process_leaves_no_run_open(monkeypatch):
    first, second = start(), in_thread(start)
    first.log("loss", 1)
    second.log("loss", 2)

    def interrupt(_status, _because):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(safeguard, "is_ending", False)
        patched.setattr(second, "_end", interrupt)
        safeguard._end_all(te.RunStatus.COMPLETED, None)
    assert (first.status, second.status) == ("COMPLETED", "COMPLETED"), "left to the sender"
    for run, loss in ((first, 1), (second, 2)):
        run.finish()
        assert run.metrics("loss").values == [loss]
        assert status_of(run) is te.RunStatus.COMPLETED


def test_a_run_that_another_thread_is_ending_says_so():
    run = start("test_run")
    run.log("loss", 1)
    run._recording.outbox.journal.seal()
    with pytest.raises(te.RunFinishedError, match="log: run 'test_run' is being finished; start"):
        run.log("loss", 2)
