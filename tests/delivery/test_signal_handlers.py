"""An exception that the application's signal handler raises inside the SDK reaches the application."""

import contextlib
import signal
import socket
import threading

import keyring
import keyring.backend
import pytest
import tellurio_api
from children import GUARD

import afnio_tellurio as te
from afnio_tellurio.api import operations
from afnio_tellurio.api.auth import find_credential
from afnio_tellurio.client import connection_of
from afnio_tellurio.default_client import default_client
from afnio_tellurio.settings.settings import read_settings

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "SIGUSR1"), reason="Windows has no unused signal"
)


class SoftTimeLimitError(Exception):
    """An exception like those of job queues."""


ERRORS = [SoftTimeLimitError, TimeoutError, OSError, ValueError, KeyError, te.TellurioError]


@pytest.fixture(params=ERRORS, ids=lambda kind: kind.__name__)
def alarm(request):
    """Installs a signal handler that raises an exception, and returns the exception."""
    error = request.param("over")

    def over(number, frame):
        raise error

    before = signal.signal(signal.SIGUSR1, over)
    yield error
    signal.signal(signal.SIGUSR1, before)


@contextlib.contextmanager
def reaches_us(error):
    """Checks that the block raises the same exception object, unchanged."""
    with pytest.raises(type(error)) as caught:
        yield
    assert caught.value is error
    assert error.__cause__ is None
    assert error.__context__ is None


def ring(*_arguments, **_keywords):
    signal.raise_signal(signal.SIGUSR1)


def test_out_of_the_embedded_backend(alarm, monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    run = te.init("acme", "Digits", "test_run")
    run.log("loss", 1)
    run.flush()
    with monkeypatch.context() as patch:
        patch.setattr("afnio_tellurio.backend.application._body", ring)
        with reaches_us(alarm):
            run.metrics("loss")
    assert run.metrics("loss").values == [1]


def test_out_of_what_parses_an_answer(alarm, backend, monkeypatch):
    run = te.init("acme", "Digits", "test_run")
    run.finish()
    with monkeypatch.context() as patch:
        patch.setattr(tellurio_api.models.Run, "from_dict", ring)
        with reaches_us(alarm):
            te.get_run("acme", "digits", run.uuid)
    assert te.get_run("acme", "digits", run.uuid).name == "test_run"


def test_out_of_what_parses_many_metrics(alarm, backend, monkeypatch):
    run = te.init("acme", "Digits", "test_run")
    run.log("loss", 1)
    run.finish()
    with monkeypatch.context() as patch:
        patch.setattr("afnio_tellurio.api.metric_lists._decode_columns", ring)
        with reaches_us(alarm):
            run.metrics("loss")
    assert run.metrics("loss").values == [1]


def test_out_of_a_wait_for_an_answer(alarm, server, monkeypatch):
    run = te.init("acme", "Digits", "test_run")
    run.finish()
    main, real = threading.get_ident(), socket.socket.recv

    def receive(*arguments):
        if threading.get_ident() == main:
            ring()
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "recv", receive)
        with reaches_us(alarm):
            te.get_run("acme", "digits", run.uuid)
    assert te.get_run("acme", "digits", run.uuid).status is te.RunStatus.COMPLETED


def test_out_of_an_attempt_to_connect(alarm, server, monkeypatch):
    with monkeypatch.context() as patch, te.TellurioClient() as client:
        patch.setattr(socket, "create_connection", ring)
        with reaches_us(alarm):
            te.get_project("acme", "digits", client)


class RingingKeyring(keyring.backend.KeyringBackend):
    priority = 1
    set_password = ring

    def get_password(self, service, username):
        ring()


class FailingKeyring(keyring.backend.KeyringBackend):
    priority = 1
    set_password = ring

    def get_password(self, service, username):
        raise SoftTimeLimitError("an error of the keyring's own type")


@pytest.fixture
def use_keyring():
    before = keyring.get_keyring()
    yield keyring.set_keyring
    keyring.set_keyring(before)


def test_out_of_a_keyring(alarm, use_keyring):
    use_keyring(RingingKeyring())
    with reaches_us(alarm):
        find_credential(read_settings("https://one.example"))


def test_a_failure_of_a_keyring_stays_one(use_keyring):
    use_keyring(FailingKeyring())
    assert find_credential(read_settings("https://one.example")) is None


def test_out_of_a_recovery(alarm, proxy, run_python, monkeypatch):
    finished = run_python(
        """
        import os
        import afnio_tellurio as te
        te.init("acme", "Digits", "died").log("loss", 1)
        os._exit(0)
        """
    )
    assert finished.returncode == 0, finished.stderr
    with monkeypatch.context() as patch:
        patch.setattr("afnio_tellurio.delivery.recovery.JournalFile.open", ring)
        with reaches_us(alarm):
            te.sync()
    assert te.sync()[0].problem is None


def test_a_failure_of_ours_is_still_said_as_ever(backend, monkeypatch):
    run = te.init("acme", "Digits", "test_run")
    run.finish()
    with monkeypatch.context() as patch:
        patch.setattr(tellurio_api.models.Run, "from_dict", lambda _document: int("x"))
        with pytest.raises(te.InvalidResponseError, match="is invalid"):
            te.get_run("acme", "digits", run.uuid)


def test_out_of_the_end_of_a_run_which_stays_open(alarm, backend, monkeypatch):
    run = te.init("acme", "Digits", "test_run")
    with monkeypatch.context() as patch:
        patch.setattr("afnio_tellurio.delivery.recording.deliver_orphans_of_run", ring)
        with reaches_us(alarm):
            run.finish()
    run.log("loss", 1)
    assert run.finish() == te.DeliveryReceipt(accepted=1, waiting=0, rejected=0)


def test_out_of_the_end_of_a_block(alarm, backend, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("afnio_tellurio.delivery.recording.deliver_orphans_of_run", ring)
        with reaches_us(alarm), te.init("acme", "Digits", "test_run") as run:
            run.log("loss", 1)
    run.flush()
    found = te.get_run("acme", "digits", run.uuid)
    assert (found.status, found.metrics("loss").values) == (te.RunStatus.COMPLETED, [1])


def test_the_exception_of_a_block_is_not_replaced_at_its_end(alarm, backend, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("afnio_tellurio.delivery.recording.deliver_orphans_of_run", ring)
        with pytest.raises(ZeroDivisionError) as caught, te.init("acme", "Digits") as run:
            1 / 0  # noqa: B018
    run.flush()
    (note,) = caught.value.__notes__
    assert note == f"afnio-tellurio: the end of run {run.name!r} was interrupted: {alarm!r}"
    assert te.get_run("acme", "digits", run.uuid).status is te.RunStatus.CRASHED


def test_ctrl_c_at_the_end_of_a_block_ends_the_wait_only(backend, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(
            "afnio_tellurio.delivery.recording.deliver_orphans_of_run",
            lambda *_arguments: signal.raise_signal(signal.SIGINT),
        )
        with te.init("acme", "Digits", "test_run") as run:
            run.log("loss", 1)
    run.flush()
    found = te.get_run("acme", "digits", run.uuid)
    assert (found.status, found.metrics("loss").values) == (te.RunStatus.COMPLETED, [1])


def test_the_first_end_of_a_run_counts_and_a_later_one_waits_for_it(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    run = te.init("acme", "Digits", "r")
    run.log("loss", 1)
    is_ending, may_end = threading.Event(), threading.Event()
    real = operations.update_run

    def update_run(*arguments, **keywords):
        is_ending.set()
        may_end.wait(GUARD)
        return real(*arguments, **keywords)

    monkeypatch.setattr(operations, "update_run", update_run)
    thread = threading.Thread(target=run._end, args=(te.RunStatus.CRASHED,))
    thread.start()
    is_ending.wait(GUARD)
    exit_hook = threading.Thread(target=run._end, args=(te.RunStatus.COMPLETED,))
    exit_hook.start()
    may_end.set()
    thread.join(GUARD)
    exit_hook.join(GUARD)
    assert run.status is te.RunStatus.CRASHED
    assert te.get_run("acme", "digits", "r").status is te.RunStatus.CRASHED


def test_a_lock_of_cookies_that_an_exception_left_locked_holds_nobody_up(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    run = te.init("acme", "Digits", "r")
    jar = connection_of(default_client())._pool.http.cookies.jar
    with jar._cookies_lock:
        run.log("loss", 1)
        assert run.flush(GUARD).waiting == 0
        assert run.finish().waiting == 0
