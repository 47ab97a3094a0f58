"""Why and when a run ended, as its own process knows it."""

import time

import pytest

import afnio_tellurio as te
from afnio_tellurio.tracking.end_reasons import MAX_FRAMES, MAX_TRACEBACK_BYTES


@pytest.fixture(autouse=True)
def _backend(backend):
    pass


def again(run):
    return te.get_run("acme", "digits", run.uuid)


def fail(error):
    with pytest.raises(type(error)), te.init("acme", "Digits") as run:
        raise error
    return run


@pytest.mark.needs_extension
def test_the_exception_that_leaves_a_block_is_kept():
    run = fail(ValueError("The loss is NaN."))
    reason = again(run).ended_because
    assert reason == run.ended_because
    assert (reason.kind, reason.type, reason.message) == (
        "exception",
        "ValueError",
        "The loss is NaN.",
    )
    assert "in fail" in reason.traceback
    assert "raise error" in reason.traceback
    assert str(reason) == "ValueError: The loss is NaN."
    assert "traceback" not in repr(reason)


class UnspeakableError(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.needs_extension
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KeyError("lr"), "lr"),
        (UnspeakableError(), "<str() raised RuntimeError>"),
        (ValueError("half \ud800"), "half \\ud800"),
        (ValueError("x" * 100_000), "x" * 16_384),
        (ValueError(), ""),
        (SystemExit("no data"), "no data"),
    ],
    ids=["KeyError", "no message", "surrogate", "long", "empty", "sys.exit"],
)
def test_a_message_is_kept_whatever_it_is(error, message):
    assert again(fail(error)).ended_because.message == message


def deep(levels, text):
    if levels:
        deep(levels - 1, text)
    raise ValueError(text)


@pytest.mark.needs_extension
def test_of_a_long_traceback_the_end_is_kept():
    with pytest.raises(ValueError, match="x"), te.init("acme", "Digits") as run:
        deep(500, "x")
    text = again(run).ended_because.traceback
    assert text.count("  File ") <= MAX_FRAMES
    assert len(text.encode()) <= MAX_TRACEBACK_BYTES
    assert text.rstrip().endswith("raise ValueError(text)")


@pytest.mark.needs_extension
def test_finish_keeps_the_exception_that_is_being_handled():
    run = te.init("acme", "Digits")
    try:
        {}["lr"]
    except KeyError:
        run.finish(status="CRASHED")
    assert again(run).ended_because.type == "KeyError"
    run = te.init("acme", "Digits")
    try:
        {}["lr"]
    except KeyError:
        run.finish()
    assert again(run).ended_because is None
    run = te.init("acme", "Digits")
    run.finish(status="FAILED")
    assert again(run).ended_because is None


@pytest.mark.needs_extension
def test_a_superseded_run_says_so():
    run = te.init("acme", "Digits")
    te.init("acme", "Digits")
    assert again(run).ended_because.kind == "superseded"
    assert str(again(run).ended_because) == "The same thread or task started a newer run."


def test_the_end_is_the_time_of_the_call():
    run = te.init("acme", "Digits")
    assert run.date_ended is None
    before = time.time()
    run.finish()
    assert before <= run.date_ended.timestamp() <= time.time()


@pytest.mark.needs_extension
def test_the_end_stays_when_the_run_is_renamed_later():
    run = te.init("acme", "Digits")
    run.finish()
    ended = run.date_ended
    run.update("renamed", notes="n")
    run.tag("late")
    assert again(run).date_ended == run.date_ended == ended
    assert again(run).date_updated > ended


@pytest.mark.needs_extension
def test_credentials_in_the_reason_are_replaced():
    run = fail(ValueError("no access for sk-aaaaaaaaaaaaaaaaaaaaaaa1 at https://ada:secret@host/"))
    reason = again(run).ended_because
    assert reason.message == "no access for [redacted] at https://ada:[redacted]@host/"
    assert "aaaaaa1" not in reason.traceback
