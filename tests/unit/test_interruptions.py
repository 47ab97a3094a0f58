"""The SDK distinguishes exceptions of the application from its own failures."""

import functools
import queue
import signal
import socket
import sys
import threading

import httpcore
import httpx
import pytest

from afnio_tellurio.api.network import Network, clock
from afnio_tellurio.errors import DatabaseError
from afnio_tellurio.files import real_path
from afnio_tellurio.interruptions import (
    foreign_cause,
    ignored,
    is_from_signal_handler,
    raise_foreign,
)


class SoftTimeLimitError(Exception):
    """An exception like those of job queues."""


def caught(work):
    try:
        work()
    except Exception as error:  # noqa: BLE001
        return error
    raise AssertionError("it did not raise")


@pytest.fixture
def interrupted_by():
    """Raises a signal inside a function, with a handler, and returns the exception that results."""
    previous = signal.getsignal(signal.SIGTERM)

    def run(handler, work=None):
        signal.signal(signal.SIGTERM, handler)
        return caught(work or (lambda: signal.raise_signal(signal.SIGTERM)))

    yield run
    signal.signal(signal.SIGTERM, previous)


def over(number, frame):
    raise SoftTimeLimitError


def raise_timeout(number, frame):
    raise TimeoutError("the job's time is over")


def raise_timeout_of_any(*_):
    raise TimeoutError("the job's time is over")


def raise_timeout_once(number, frame):
    signal.signal(number, signal.SIG_DFL)
    raise TimeoutError("the job's time is over")


def raise_from_library(number, frame):
    queue.Queue().get_nowait()


class Handler:
    def __call__(self, number, frame):
        raise OSError("the job's time is over")

    def method(self, number, frame):
        raise ValueError("the job's time is over")


@pytest.mark.parametrize(
    "handler",
    [
        raise_timeout,
        raise_timeout_of_any,
        raise_timeout_once,
        raise_from_library,
        functools.partial(raise_timeout_of_any, "job"),
        Handler(),
        Handler().method,
    ],
    ids=["plain", "any arguments", "once", "by a library", "partial", "callable", "method"],
)
def test_what_a_signal_handler_raises_is_the_applications(interrupted_by, handler):
    error = interrupted_by(handler)
    assert is_from_signal_handler(error)
    assert foreign_cause(error) is error


def test_it_is_found_inside_what_libraries_make_of_it(interrupted_by):
    def work():
        try:
            signal.raise_signal(signal.SIGTERM)
        except TimeoutError as error:
            raise httpx.ReadTimeout("The read operation timed out") from error

    error = interrupted_by(raise_timeout, work)
    assert isinstance(error, httpx.ReadTimeout)
    assert foreign_cause(error) is error.__cause__
    assert not is_from_signal_handler(error)


def test_an_exception_of_the_applications_own_type_is_its_own():
    error = caught(lambda: over(None, None))
    assert foreign_cause(error) is error
    assert not is_from_signal_handler(error)


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="only CPython does this")
def test_an_exception_that_another_thread_puts_into_this_one_is_the_applications():
    import ctypes

    def work():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(threading.get_ident()), ctypes.py_object(SoftTimeLimitError)
        )
        for _ in range(10_000):
            pass

    error = caught(work)
    assert foreign_cause(error) is error


@pytest.mark.parametrize(
    "work",
    [
        lambda: socket.create_connection(("127.0.0.1", 1)),
        lambda: httpx.HTTPTransport().handle_request(
            httpx.Request("GET", "http://127.0.0.1:1/api/v0/verify-api-key/")
        ),
        lambda: int("x"),
        lambda: {}["x"],
        lambda: (_ for _ in ()).throw(DatabaseError("it is damaged")),
    ],
)
def test_a_failure_of_ours_and_of_our_libraries_is_not(work):
    assert foreign_cause(caught(work)) is None


def test_it_is_found_where_a_library_hides_the_cause(interrupted_by):
    def work():
        try:
            signal.raise_signal(signal.SIGTERM)
        except TimeoutError as error:
            raise httpx.ReadTimeout(str(error)) from None

    error = interrupted_by(raise_timeout, work)
    assert error.__cause__ is None
    assert foreign_cause(error) is error.__context__


def test_what_the_application_handles_when_it_calls_us_is_no_cause():
    try:
        over(None, None)
    except SoftTimeLimitError:
        error = caught(lambda: int("x"))
    assert isinstance(error.__context__, SoftTimeLimitError)
    assert foreign_cause(error) is None


def test_a_circle_of_causes_ends():
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    assert foreign_cause(first) is None


def test_it_is_raised_as_it_was(interrupted_by):
    def handle(number, frame):
        try:
            {}["job"]
        except KeyError:
            raise TimeoutError("the job's time is over")  # noqa: B904

    def work():
        try:
            signal.raise_signal(signal.SIGTERM)
        except TimeoutError as error:
            raise httpx.ReadTimeout("The read operation timed out") from error

    wrapping = interrupted_by(handle, work)
    foreign = wrapping.__cause__

    def pass_on():
        try:
            raise wrapping
        except httpx.ReadTimeout as error:
            raise_foreign(error)

    assert caught(pass_on) is foreign
    assert isinstance(foreign.__context__, KeyError)
    assert foreign.__cause__ is None


def test_nothing_is_raised_for_a_failure_of_ours():
    raise_foreign(caught(lambda: int("x")))


def test_every_package_that_does_our_work_is_known(run_python):
    finished = run_python(
        """
        import pkgutil, sys
        before = set(sys.modules)
        import afnio_tellurio, tellurio_api
        # click, rich and pygments are for httpx's own command line, jsonschema_rs for these tests.
        for package in (afnio_tellurio, tellurio_api):
            for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
                # Integrations import their frameworks, which are not installed here.
                if not module.name.endswith("__main__") and ".integrations." not in module.name:
                    __import__(module.name)
        import dateutil.parser, httpx, platformdirs, plotext, shtab, slugify, waitress.server
        httpx.Client().close()
        from afnio_tellurio.interruptions import _OUR_PACKAGES
        loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
        # httpcore imports trio where it is installed.
        others = {"trio", "outcome", "sortedcontainers"}
        others |= {"__main__", "click", "pygments", "rich", "typing_extensions", "six", "jsonschema_rs"}
        print(sorted(
            name for name in loaded - set(sys.stdlib_module_names) - _OUR_PACKAGES - others
            if not name.startswith("_") and "site-packages" in str(getattr(sys.modules[name], "__file__", ""))
        ))
        """
    )
    assert (finished.stdout.strip(), finished.stderr) == ("[]", "")


class WrappingNetwork(httpcore.NetworkBackend):
    """A network in which a handler raises while a host name is encoded."""

    def connect_tcp(self, *_arguments, **_options):
        try:
            signal.raise_signal(signal.SIGTERM)
        except TimeoutError as error:
            # As the interpreter does for an exception in a codec.
            raise TimeoutError("encoding with 'idna' codec failed") from error


def test_an_exception_while_a_host_name_is_encoded_is_raised_unchanged(interrupted_by):
    clock.start()
    error = interrupted_by(
        raise_timeout, lambda: Network(WrappingNetwork()).connect_tcp("localhost", 1)
    )
    assert str(error) == "the job's time is over"


def test_only_failures_of_the_sdk_are_ignored(interrupted_by):
    with ignored(OSError, ValueError):
        raise FileNotFoundError("a file is missing")

    def work():
        with ignored(OSError):
            signal.raise_signal(signal.SIGTERM)

    assert str(interrupted_by(raise_timeout, work)) == "the job's time is over"
    with pytest.raises(KeyError), ignored(OSError):
        raise KeyError("another type")


def test_an_exception_while_a_path_is_resolved_is_raised(interrupted_by, monkeypatch, tmp_path):
    assert real_path(tmp_path / "missing") == (tmp_path / "missing").resolve()
    monkeypatch.setattr("os.lstat", lambda *_arguments: signal.raise_signal(signal.SIGTERM))
    error = interrupted_by(raise_timeout, lambda: real_path(tmp_path))
    assert str(error) == "the job's time is over"
