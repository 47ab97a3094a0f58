"""What waits for the backend has a twin for event loops, under asyncio, trio and anyio."""

import asyncio
import inspect
import threading

import anyio
import anyio.lowlevel
import pytest
import trio
from children import GUARD
from leftovers import end_active_run

import afnio_tellurio as te
from afnio_tellurio.tracking import awaitable, functions
from afnio_tellurio.tracking.active import open_runs

pytestmark = pytest.mark.usefixtures("backend")
LOOPS = {
    "asyncio": asyncio.run,
    "trio": lambda main: trio.run(lambda: main),
    "anyio on asyncio": lambda main: anyio.run(lambda: main),
    "anyio on trio": lambda main: anyio.run(lambda: main, backend="trio"),
}
TWINS = {
    te.ainit: te.init, te.aruns: te.runs, te.aget_run: te.get_run, te.afinish: te.finish,
    te.Run.aflush: te.Run.flush, te.Run.afinish: te.Run.finish,
}  # fmt: skip


@pytest.fixture(params=LOOPS)
def run_loop(request):
    return LOOPS[request.param]


def test_a_run_is_tracked_and_read_back_without_blocking(run_loop):
    async def main():
        run = await te.ainit("acme", "Digits", "r", "described")
        assert te.get_active_run() is run
        te.log("loss", 0.5)
        await run.aflush()
        receipt = await te.afinish()
        assert receipt.accepted == 1
        found = await te.aget_run("acme", "digits", "r")
        assert (found.status, found.description) == (te.RunStatus.COMPLETED, "described")
        assert (await found.ametrics("loss")).values == [0.5]
        assert list(await found.ametrics()) == ["loss"]
        assert [each.name async for each in te.aruns("acme", "digits", limit=5)] == ["r"]

    run_loop(main())


def test_requests_are_made_in_other_threads(run_loop, monkeypatch):
    threads = []
    for module, name in (
        (awaitable, "open_run"), (awaitable, "get_run"), (awaitable, "runs"), (te.Run, "_finish"),
        (te.Run, "metrics"),
    ):  # fmt: skip
        original = getattr(module, name)

        def noting(*arguments, original=original, **keywords):
            threads.append(threading.get_ident())
            return original(*arguments, **keywords)

        monkeypatch.setattr(module, name, noting)

    async def main():
        run = await te.ainit("acme", "Digits", "r")
        await te.afinish()
        await (await te.aget_run("acme", "digits", "r")).ametrics()
        assert [each.uuid async for each in te.aruns("acme", "digits")] == [run.uuid]

    run_loop(main())
    assert len(threads) == 5
    assert threading.get_ident() not in threads


def test_each_task_has_the_run_that_it_awaited():
    async def work(name):
        run = await te.ainit("acme", "Digits", name)
        await asyncio.sleep(0)
        assert te.get_active_run() is run
        te.log("name", name)
        await te.afinish()
        return (await run.ametrics("name")).values

    async def main():
        assert await asyncio.gather(*map(work, "abc")) == [["a"], ["b"], ["c"]]

    asyncio.run(main())


def test_bad_input_is_an_error_of_the_twin(run_loop):
    async def main():
        with pytest.raises(ValueError, match="^init: "):
            await te.ainit("", "Digits")
        with pytest.raises(LookupError):
            await te.aget_run("acme", "digits", "missing")
        with pytest.raises(ValueError, match="limit is 0"):
            async for _run in te.aruns("acme", "digits", limit=0):
                pass
        with pytest.raises(ValueError, match="no run is active"):
            await te.afinish()

    run_loop(main())


@pytest.mark.parametrize("at", ["before", "after"])
def test_a_run_whose_task_was_canceled_ends_as_failed(monkeypatch, at):
    is_opening, may_go_on, ended = (threading.Event() for _ in range(3))
    real_open, real_end = functions.open_run, awaitable.end

    def open_run(*arguments, **keywords):
        if at == "after":
            opened = real_open(*arguments, **keywords)
        is_opening.set()
        may_go_on.wait()
        return opened if at == "after" else real_open(*arguments, **keywords)

    def end(*arguments):
        real_end(*arguments)
        ended.set()

    monkeypatch.setattr(awaitable, "open_run", open_run)
    monkeypatch.setattr(awaitable, "end", end)

    async def main():
        task = asyncio.create_task(te.ainit("acme", "Digits", "r"))
        await asyncio.to_thread(is_opening.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        may_go_on.set()

    asyncio.run(main())
    ended.wait()
    assert te.get_run("acme", "digits", "r").status is te.RunStatus.FAILED
    assert open_runs() == []


def test_twins_take_the_same_arguments():
    for twin, original in TWINS.items():
        expected = [each.replace(annotation="") for each in parameters(original)]
        assert [each.replace(annotation="") for each in parameters(twin)] == expected, twin


def parameters(function):
    return inspect.signature(function).parameters.values()


def test_a_run_that_another_handle_has_open_is_that_handle():
    run = te.init("acme", "Digits", "r")

    async def main():
        assert await te.ainit("acme", "Digits", "r", resume=True) is run

    asyncio.run(main())
    end_active_run()


def test_a_canceled_scope_does_not_wait_for_the_backend(run_loop, monkeypatch):
    has_begun, is_released, has_ended = (threading.Event() for _ in range(3))

    def wait_for_backend(*_arguments):
        has_begun.set()
        is_released.wait(GUARD)
        has_ended.set()

    monkeypatch.setattr(awaitable, "get_run", wait_for_backend)

    async def cancel(scope):
        while not has_begun.is_set():
            await anyio.lowlevel.checkpoint()
        scope.cancel()

    async def main():
        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as scope:
                group.start_soon(cancel, scope)
                await te.aget_run("acme", "digits", "r")
        assert scope.cancelled_caught
        assert not has_ended.is_set()

    try:
        run_loop(main())
    finally:
        is_released.set()
    assert has_ended.wait(GUARD)
