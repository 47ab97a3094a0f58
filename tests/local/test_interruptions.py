"""A signal handler may run between any two steps: it may raise, ask the backend, or fork."""

import os
import sqlite3

import httpx
import pytest
from children import GUARD

from afnio_tellurio.backend import BackendUser, open_backend
from afnio_tellurio.backend.store import connections
from afnio_tellurio.backend.store import database as database_module

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]

PROGRAM = r"""
import io, json, os, sqlite3, sys, threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from afnio_tellurio.backend import BackendUser, open_backend
from afnio_tellurio.backend.store import connections, database as database_module, fork_gate

PATH, LOCAL = Path(sys.argv[1]), os.path.dirname(fork_gate.__file__)
WATCHED = ("database.py", "database_files.py", "connections.py", "fork_gate.py", "application.py", "contextlib.py", "threads.py")
# A fork that has to wait hangs, and so does this program.
fork_gate.TIMEOUT = 1e9
database_module.BUSY_TIMEOUT = 0.0
backend = open_backend(PATH, user=BackendUser("ada", "ada@example.com"))
other = ThreadPoolExecutor(1)
names = (f"Project {number}" for number in range(10**9))


class Interrupt(BaseException):
    pass


def ask(method, body=None):
    data = json.dumps(body).encode()
    environ = {"REQUEST_METHOD": method, "PATH_INFO": "/api/v0/acme/projects/",
               "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(data)),
               "wsgi.input": io.BytesIO(data)}
    statuses = []
    backend(environ, lambda status, headers: statuses.append(int(status[:3])))
    return statuses[0]


def read():
    return ask("GET")


def write():
    return ask("POST", {"display_name": next(names)})


def fork():
    child = os.fork()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def is_watched(code):
    name = os.path.basename(code.co_filename)
    return name in WATCHED and (name == "contextlib.py" or "afnio_tellurio" in code.co_filename)


def at_step(number, action, handler):
    "Runs the handler before one instruction of an action; returns whether it has that many."
    reached = set()

    def trace(frame, event, _argument):
        if not is_watched(frame.f_code):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and (frame.f_code, frame.f_lasti) not in reached:
            reached.add((frame.f_code, frame.f_lasti))
            if len(reached) == number:
                handler()
        return trace

    # Python 3.12 traces opcodes only if a frame asked for it before.
    sys._getframe().f_trace_opcodes = True
    sys.settrace(trace)
    try:
        result = action()
    finally:
        sys.settrace(None)
    return len(reached) >= number, result


def check_locks():
    assert not any(connection.in_transaction for connection in connections.open_connections())
    free = sqlite3.connect(PATH, timeout=0, isolation_level=None)
    free.execute("BEGIN IMMEDIATE")
    free.execute("ROLLBACK")
    free.close()


def check():
    "Nothing is left locked or open, and other threads can work."
    check_locks()
    assert other.submit(read).result(60) == 200
    assert other.submit(write).result(60) == 201
    other.submit(fork).result(60)


def every_step(action, handler, step):
    number = int(sys.argv[3])
    while True:
        if not step(number, action, handler):
            check()
            print(number - 1, flush=True)
            return
        number += int(sys.argv[2])
"""

RAISES = """
def raise_interrupt():
    raise Interrupt

def raising(number, action, handler):
    try:
        happened = at_step(number, action, handler)[0]
        # Python swallows what is raised while it forks.
        check()
        return happened
    except Interrupt:
        # The traceback is kept meanwhile, and must keep no transaction open.
        check()
        return True

sys.unraisablehook = lambda _unraisable: None
every_step({action}, raise_interrupt, raising)
"""

ASKS = """
def ask_again():
    assert read() == 200
    assert write() in (201, 503)

def asking(number, action, handler):
    happened, status = at_step(number, action, handler)
    assert status in (200, 201, 503), status
    check_locks()
    return happened

every_step({action}, ask_again, asking)
"""

FORKS = """
def forking(number, action, handler):
    happened, status = at_step(number, action, handler)
    assert status in (200, 201), status
    check_locks()
    return happened

every_step({action}, fork, forking)
"""


@pytest.fixture
def steps(request, pytestconfig):
    """The distance between the tested steps, and the first step, which differs by test."""
    if pytestconfig.getoption("--long"):
        return "1", "1"
    return "19", str(1 + 5 * sum(request.node.callspec.indices.values()))


@pytest.mark.parametrize("action", ["read", "write", "fork"])
def test_a_handler_that_raises_leaves_nothing_locked(action, database, start_python, steps):
    child = start_python("-c", PROGRAM + RAISES.format(action=action), str(database), *steps)
    out, err = child.communicate(timeout=GUARD)
    assert child.returncode == 0, err
    assert int(out) > 100


@pytest.mark.parametrize("handler", [ASKS, FORKS], ids=["asks", "forks"])
def test_a_handler_may_work_in_the_midst_of_a_request(handler, database, start_python, steps):
    child = start_python("-c", PROGRAM + handler.format(action="write"), str(database), *steps)
    out, err = child.communicate(timeout=GUARD)
    assert child.returncode == 0, err
    assert int(out) > 100


class Interrupt(BaseException):
    """The exception of a signal handler."""


def test_a_transaction_that_several_handlers_left_open_ends_with_the_next_request(
    database, monkeypatch
):
    def interrupt(*_arguments):
        raise Interrupt

    def interrupt_giving_back(_connection):
        # Ending an abandoned use is interrupted too.
        patch.setattr(connections, "open_connections", interrupt)
        raise Interrupt

    backend = open_backend(database, user=BackendUser("ada", "ada@example.com"))
    path, transport = "/api/v0/acme/projects/", httpx.WSGITransport(app=backend)
    with httpx.Client(base_url="http://x", transport=transport) as api:
        with monkeypatch.context() as patch, pytest.raises(Interrupt) as kept:
            patch.setattr(database_module, "_commit", interrupt)
            patch.setattr(database_module, "give_back", interrupt_giving_back)
            api.post(path, json={"display_name": "First"})
        left = [each for each in connections.open_connections() if each.in_transaction]
        assert len(left) == 1
        assert api.get(path).json() == []
        assert kept.tb is not None
    other = sqlite3.connect(database, timeout=0, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.close()
    backend.close()
