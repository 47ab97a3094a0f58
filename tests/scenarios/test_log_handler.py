"""What a program logs is recorded by a handler, which is safe from itself."""

import datetime as dt
import logging
import logging.config
import logging.handlers
import queue
import sys
import threading

import pytest

import afnio_tellurio as te
from afnio_tellurio.integrations.log_handler import TellurioHandler


@pytest.fixture(autouse=True)
def _local(request, monkeypatch):
    if "backend" not in request.fixturenames:
        monkeypatch.setenv("TELLURIO_MODE", "local")


@pytest.fixture
def logger():
    """A logger of the program."""
    logger = logging.getLogger("program")
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.setLevel(logging.NOTSET)
    for handler in list(logger.handlers):
        logger.removeHandler(handler)


def messages(run, table="logs"):
    return [row["message"] for row in run.rows(table)]


def test_records_are_rows(backend, logger):
    logger.addHandler(TellurioHandler())
    with te.init("acme", "Digits") as run:
        logger.warning("loss is %s", 0.5)
        logging.getLogger("program.part").debug("a detail")
    first, second = te.get_run("acme", "digits", run.uuid).rows("logs")
    assert dt.datetime.fromisoformat(first.pop("time")).tzinfo == dt.UTC
    assert first == {"level": "WARNING", "logger": "program", "message": "loss is 0.5"}
    assert (second["level"], second["logger"]) == ("DEBUG", "program.part")


def test_a_configuration_names_it():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    configuration = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {
            "run": {
                "class": "afnio_tellurio.integrations.log_handler.TellurioHandler",
                "level": "INFO",
                "table": "messages",
            }
        },
        "root": {"level": "DEBUG", "handlers": ["run"]},
    }
    try:
        logging.config.dictConfig(configuration)
        with te.init("acme", "Digits") as run:
            logging.getLogger("program").debug("below its level")
            logging.getLogger("program").info("recorded")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    # Neither the start of the run, which the SDK logs, nor anything of its delivery.
    assert messages(run, "messages") == ["recorded"]


def test_an_exception_has_its_traceback(logger):
    logger.addHandler(TellurioHandler())
    with te.init("acme", "Digits") as run:
        try:
            float("NaN of a loss")
        except ValueError:
            logger.exception("a step failed")
        logger.error("without one", exc_info=True)  # noqa: LOG014
    first, second = run.rows("logs")
    assert first["message"] == "a step failed"
    assert first["exception"].startswith("Traceback")
    assert first["exception"].endswith(
        "ValueError: could not convert string to float: 'NaN of a loss'"
    )
    assert second["message"] == "without one"
    assert "exception" not in second


def test_it_logs_to_the_run_that_it_is_given(logger):
    run = te.init("acme", "Digits")
    logger.addHandler(TellurioHandler(run, logging.ERROR))

    def work():
        with te.init("acme", "Digits") as other:
            logger.error("for the first run")
            logger.warning("below its level")
        assert messages(other) == []

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    run.finish()
    assert messages(run) == ["for the first run"]


def test_records_without_an_open_run_are_dropped(logger, capsys):
    handler = TellurioHandler()
    logger.addHandler(handler)
    logger.error("before")
    with te.init("acme", "Digits") as run:
        logger.error("meanwhile")
    logger.error("after")
    logger.removeHandler(handler)
    logger.addHandler(TellurioHandler(run))
    logger.error("after, to the run")
    assert messages(run) == ["meanwhile"]
    assert "Logging error" not in capsys.readouterr().err


def test_threads_log_at_once(logger):
    logger.addHandler(TellurioHandler())
    with te.init("acme", "Digits") as run:

        def work(name):
            for number in range(50):
                logger.info("%s %s", name, number)

        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(messages(run)) == sorted(f"{name} {n}" for name in "abcd" for n in range(50))


def test_a_queue_may_be_before_it(logger):
    records = queue.SimpleQueue()
    logger.addHandler(logging.handlers.QueueHandler(records))
    listener = logging.handlers.QueueListener(records, TellurioHandler())
    with te.init("acme", "Digits") as run:
        listener.start()
        try:
            float("NaN of a loss")
        except ValueError:
            logger.exception("%s failed", "a step")
        listener.stop()
    (message,) = messages(run)
    assert message.startswith("a step failed")
    assert message.endswith("ValueError: could not convert string to float: 'NaN of a loss'")


def test_our_own_messages_are_not_recorded(logger):
    handler = TellurioHandler()
    named = [logging.getLogger(name) for name in ("afnio_tellurio", "httpcore.http11", "httpx")]
    levels = [each.level for each in named]
    with te.init("acme", "Digits") as run:
        for each in named:
            each.addHandler(handler)
            each.setLevel(logging.DEBUG)
        try:
            named[0].warning("about a run")

            def deliver():
                for each in named[1:]:
                    each.debug("about a delivery")

            thread = threading.Thread(target=deliver, name="tellurio-sender")
            thread.start()
            thread.join()
            named[2].info("a request of the program")
        finally:
            for each, level in zip(named, levels, strict=True):
                each.removeHandler(handler)
                each.setLevel(level)
    assert messages(run) == ["a request of the program"]


def test_what_is_logged_while_a_record_is_recorded_is_recorded_once(logger, monkeypatch):
    real = te.Run.log_rows

    def log_rows(run, *arguments):
        logger.info("while it is recorded")
        real(run, *arguments)

    monkeypatch.setattr(te.Run, "log_rows", log_rows)
    logger.addHandler(TellurioHandler())
    with te.init("acme", "Digits") as run:
        logger.info("a message")
    # What recording the second one causes would never end.
    assert messages(run) == ["a message", "while it is recorded"]


def test_a_message_within_a_message_is_recorded_after_it(logger):
    class Talkative:
        def __str__(self):
            logger.info("asked for its text")
            return "talkative"

    logger.addHandler(TellurioHandler())
    with te.init("acme", "Digits") as run:
        logger.info("about %s", Talkative())
    first, *others = messages(run)
    # Other handlers ask too.
    assert (first, set(others)) == ("about talkative", {"asked for its text"})


def test_the_stack_of_a_record_is_kept(logger):
    logger.addHandler(TellurioHandler())
    with te.init("acme", "Digits") as run:
        logger.info("where", stack_info=True)
        logger.info("nowhere")
    first, second = run.rows("logs")
    assert "test_the_stack_of_a_record_is_kept" in first["stack"]
    assert "stack" not in second


def test_a_record_that_cannot_be_recorded_does_not_raise(capsys, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", True)
    handler = TellurioHandler()
    with te.init("acme", "Digits") as run:
        # Not through a logger: the handlers of pytest would fail.
        handler.handle(logging.makeLogRecord({"msg": "%d is not a number", "args": ("text",)}))
        handler.handle(logging.makeLogRecord({"msg": "the next"}))
    assert messages(run) == ["the next"]
    written = capsys.readouterr().err
    assert "--- Logging error ---" in written
    assert "TypeError" in written


def test_an_exception_of_a_signal_handler_reaches_the_program(logger, monkeypatch):
    class StopError(Exception):
        pass

    def interrupted(_run, *_arguments):
        # As Python calls a signal handler: with the interrupted frame.
        def handler(_number, _frame):
            raise StopError

        handler(14, sys._getframe())

    monkeypatch.setattr(te.Run, "log_rows", interrupted)
    logger.addHandler(TellurioHandler())
    with te.init("acme", "Digits"), pytest.raises(StopError):
        logger.info("interrupted")


def test_any_text_can_be_recorded():
    handler = TellurioHandler()
    with te.init("acme", "Digits") as run:
        # Not through a logger: pytest cannot report such a text.
        handler.handle(logging.makeLogRecord({"msg": "half of a pair: \ud800, a letter: ä"}))
        handler.handle(logging.makeLogRecord({"msg": "x" * 100_000}))
    assert messages(run) == ["half of a pair: ?, a letter: ä", "x" * 65_536 + "… [cut]"]


@pytest.mark.parametrize("table", ["", 5, "x" * 256])
def test_a_bad_table_is_refused(table):
    with pytest.raises((TypeError, ValueError), match="TellurioHandler: table name"):
        TellurioHandler(table=table)
