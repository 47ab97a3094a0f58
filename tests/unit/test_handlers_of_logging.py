"""The application's logging does not affect the SDK, and the SDK's messages reach a reader."""

import contextlib
import io
import logging
import logging.handlers
import multiprocessing
import queue
import signal
import sys
import threading

import httpx
import pytest

import afnio_tellurio as te
from afnio_tellurio.notices import show_progress, tell, warn

LOGGER = logging.getLogger("afnio_tellurio")


class HandlerError(Exception):
    """Of the handler's own type."""


class Raising(logging.Handler):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def emit(self, record):
        raise self.error


class Recording(logging.Handler):
    def __init__(self, level=logging.NOTSET):
        super().__init__(level)
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


@pytest.fixture
def configured():
    """Sets up the root logger with a handler, and no other."""

    @contextlib.contextmanager
    def set_up(handler, level=logging.INFO):
        root = logging.getLogger()
        before = root.handlers[:], root.level
        root.handlers[:] = [handler] if handler else []
        root.setLevel(level)
        try:
            yield
        finally:
            root.handlers[:] = before[0]
            root.setLevel(before[1])

    return set_up


@pytest.mark.parametrize(
    "error", [HandlerError("mine"), RuntimeError("mine"), te.RunFinishedError("mine")]
)
def test_a_handler_that_raises_hurts_nobody_and_the_warning_is_printed(configured, capsys, error):
    with configured(Raising(error)):
        warn("metrics wait")
        tell("a run started")
    assert capsys.readouterr().err == "afnio-tellurio: metrics wait\n"


def test_ctrl_c_in_a_handler_goes_on(configured):
    with configured(Raising(KeyboardInterrupt())), pytest.raises(KeyboardInterrupt):
        warn("metrics wait")
    handler = Recording()
    with configured(handler):
        warn("the next is logged")
    assert handler.messages == ["the next is logged"]


def test_a_signal_handler_that_raises_while_a_handler_of_logging_works_goes_on(configured):
    class Signalled(logging.Handler):
        def emit(self, record):
            signal.raise_signal(signal.SIGTERM)

    def time_is_over(number, frame):
        raise TimeoutError("the job's time is over")

    before = signal.signal(signal.SIGTERM, time_is_over)
    try:
        with configured(Signalled()), pytest.raises(TimeoutError, match="the job's"):
            warn("metrics wait")
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_handler_that_warns_again_ends(configured, capsys):
    class Again(Recording):
        def emit(self, record):
            super().emit(record)
            warn("again")

    handler = Again()
    with configured(handler):
        warn("metrics wait")
        warn("metrics still wait")
    assert handler.messages == ["metrics wait", "metrics still wait"]
    assert capsys.readouterr().err == "afnio-tellurio: again\n" * 2


class BrokenStream(io.StringIO):
    def write(self, text):
        raise HandlerError("no")

    def isatty(self):
        return True


def test_whatever_stands_in_for_stderr_hurts_nobody(configured, monkeypatch):
    monkeypatch.setattr(sys, "stderr", BrokenStream())
    with configured(None):
        warn("metrics wait")
        tell("a run ended ", status="CRASHED")
        show_progress("3 metrics left")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_what_stderr_cannot_encode_is_escaped(configured, monkeypatch, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict", newline="\n")
    monkeypatch.setattr(sys, "stderr", stream)
    with configured(None):
        warn("metrics of 日本 wait")
    written = stream.buffer.getvalue()
    assert written == b"afnio-tellurio: metrics of \\u65e5\\u672c wait\n"


def test_a_factory_of_records_that_raises_hurts_nobody(configured, monkeypatch, capsys):
    def fail(*_arguments, **_options):
        raise HandlerError("no record")

    with configured(Recording()):
        monkeypatch.setattr(logging, "_logRecordFactory", fail)
        warn("metrics wait")
        tell("a run started")
    assert capsys.readouterr().err == "afnio-tellurio: metrics wait\n"


def closed_stream():
    stream = io.StringIO()
    stream.close()
    return logging.StreamHandler(stream)


def memory(target):
    return logging.handlers.MemoryHandler(100, target=target)


@pytest.mark.parametrize(
    "make",
    [
        closed_stream,
        lambda: memory(None),
        lambda: memory(closed_stream()),
        lambda: memory(logging.handlers.QueueHandler(queue.Queue())),
    ],
)
def test_a_warning_that_a_handler_would_keep_to_itself_is_printed(
    configured, monkeypatch, capsys, make
):
    # By default, logging prints a traceback with the message.
    monkeypatch.setattr(logging, "raiseExceptions", False)
    with configured(make()):
        warn("metrics wait")
    assert capsys.readouterr().err == "afnio-tellurio: metrics wait\n"


def test_a_warning_that_waits_in_memory_for_a_handler_is_not_printed(configured, capsys):
    recording = Recording()
    handler = memory(recording)
    with configured(handler):
        warn("metrics wait")
    handler.flush()
    assert (recording.messages, capsys.readouterr().err) == (["metrics wait"], "")


def drops_by_logger(monkeypatch):
    monkeypatch.setattr(LOGGER, "disabled", True)


def drops_by_level(monkeypatch):
    monkeypatch.setattr(LOGGER, "level", logging.CRITICAL)
    LOGGER.manager._clear_cache()


def drops_by_all(monkeypatch):
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)
    LOGGER.manager._clear_cache()


def drops_by_propagation(monkeypatch):
    monkeypatch.setattr(LOGGER, "propagate", False)


@pytest.mark.parametrize(
    "drop", [drops_by_logger, drops_by_level, drops_by_all, drops_by_propagation]
)
def test_a_warning_that_the_logger_would_drop_is_printed(configured, monkeypatch, capsys, drop):
    handler = Recording()
    with configured(handler):
        drop(monkeypatch)
        warn("metrics wait")
        monkeypatch.undo()
        LOGGER.manager._clear_cache()
    assert handler.messages == []
    assert capsys.readouterr().err == "afnio-tellurio: metrics wait\n"


@pytest.mark.parametrize(
    ("handler_level", "root_level"),
    [(logging.CRITICAL, logging.INFO), (logging.NOTSET, logging.CRITICAL)],
)
def test_so_is_one_that_no_handler_would_take(configured, capsys, handler_level, root_level):
    handler = Recording(handler_level)
    with configured(handler, root_level):
        warn("metrics wait")
    assert handler.messages == []
    assert capsys.readouterr().err == "afnio-tellurio: metrics wait\n"


def test_quiet_silences_that_too(configured, capsys, monkeypatch):
    monkeypatch.setenv("TELLURIO_QUIET", "1")
    with configured(None):
        warn("metrics wait")
    assert capsys.readouterr().err == ""


def test_a_logger_that_takes_it_is_enough(configured, capsys):
    handler = Recording(logging.WARNING)
    with configured(handler, logging.WARNING):
        warn("metrics wait")
        tell("a run started")
    assert handler.messages == ["metrics wait"]
    assert capsys.readouterr().err == ""


def test_a_handler_that_logs_to_the_run_gets_no_line_of_the_delivery(backend, configured):
    run = te.init("acme", "Digits", "test_run")

    class ToRun(logging.Handler):
        def emit(self, record):
            run.log("log", record.getMessage())

    with configured(ToRun(), logging.DEBUG):
        logging.getLogger("application").info("one line")
        for _ in range(3):
            run.flush()
        receipt = run.finish()
    assert receipt.accepted == 1
    assert run.metrics("log").values == ["one line"]


def test_the_applications_own_requests_keep_their_lines(server, configured):
    handler = Recording()
    with configured(handler, logging.DEBUG), te.TellurioClient() as client:
        client.login()
        assert handler.messages == []
        httpx.get(f"{server}/api/v0/verify-api-key/", headers={"Authorization": "Api-Key the-key"})
        requests = [message for message in handler.messages if "HTTP Request" in message]
        assert len(requests) == 1
        count = len(handler.messages)
        assert count > 1, "httpcore's too"
        client.login()
    assert len(handler.messages) == count


def test_importing_adds_no_filter(run_python):
    finished = run_python(
        """
        import logging
        import afnio_tellurio as te
        te.TellurioClient
        print(logging.getLogger("httpx").filters, logging.getLogger("httpcore.http11").filters)
        """
    )
    assert finished.stdout == "[] []\n"


def test_the_backend_goes_on_when_its_warning_makes_a_handler_raise(configured, monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    with te.TellurioClient.local() as client, configured(Raising(HandlerError())):
        client._backend.close()
        with pytest.raises(te.BackendFailureError, match="the database is closed"):
            te.get_project("acme", "digits", client)


def test_the_exception_of_a_block_is_not_masked_by_a_handler(configured, monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    run = te.init("acme", "Digits")
    with configured(Raising(HandlerError())), pytest.raises(KeyError, match="mine"), run:
        run.log("loss", 1)
        raise KeyError("mine")
    assert run.status is te.RunStatus.CRASHED


@pytest.mark.parametrize("place", ["handler", "logger"])
@pytest.mark.parametrize("fails", [False, True])
def test_a_warning_that_a_filter_drops_is_printed(configured, capsys, place, fails):
    def drop(record):
        if fails:
            raise HandlerError(record.getMessage())
        return record.name.startswith("application")

    handler = Recording()
    filtered = handler if place == "handler" else LOGGER
    filtered.addFilter(drop)
    try:
        with configured(handler):
            warn("metrics wait")
    finally:
        filtered.removeFilter(drop)
    assert handler.messages == []
    assert capsys.readouterr().err == "afnio-tellurio: metrics wait\n"


def listening(records):
    listener = logging.handlers.QueueListener(records)
    listener.start()
    return listener.stop


def reading(**own):
    """A thread of the application that reads the queue in its own way, until it finds None."""

    def start(records):
        keywords = dict.fromkeys(own, records)
        arguments = () if own else (records,)
        thread = threading.Thread(target=drain, args=arguments, kwargs=keywords)
        thread.start()

        def stop():
            records.put(None)
            thread.join()

        return stop

    return start


def drain(records):
    while records.get() is not None:
        pass


class Reader(threading.Thread):
    def __init__(self, records):
        super().__init__()
        self.records = records

    def run(self):
        drain(self.records)


def reading_by_a_class(records):
    thread = Reader(records)
    thread.start()

    def stop():
        records.put(None)
        thread.join()

    return stop


@pytest.mark.parametrize("queue_type", [queue.Queue, queue.SimpleQueue])
@pytest.mark.parametrize("start", [listening, reading(), reading(records=True), reading_by_a_class])
def test_a_warning_in_a_queue_that_no_thread_reads_is_printed(
    configured, capsys, queue_type, start
):
    records = queue_type()
    with configured(logging.handlers.QueueHandler(records)):
        warn("before")
        assert capsys.readouterr().err == "afnio-tellurio: before\n"
        stop = start(records)
        try:
            warn("metrics wait")
            assert capsys.readouterr().err == ""
        finally:
            stop()
        warn("after")
        assert capsys.readouterr().err == "afnio-tellurio: after\n"


def test_a_warning_in_a_queue_of_another_process_is_logged(configured, capsys):
    records = multiprocessing.SimpleQueue()
    handler = logging.handlers.QueueHandler(records)
    handler.enqueue = records.put
    with configured(handler):
        warn("metrics wait")
    assert records.get().getMessage() == "metrics wait"
    records.close()
    assert capsys.readouterr().err == ""
