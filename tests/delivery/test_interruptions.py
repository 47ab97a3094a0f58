"""Exceptions and calls between any two of the SDK's bytecodes: nothing is lost or doubled."""

import gc
import os
from collections import Counter

import pytest
from awaiting_events import wait_until
from opcodes import at_each_opcode, raise_interrupted

import afnio_tellurio as te
from afnio_tellurio.delivery.senders import close_outbox

# Code that is interrupted while it opens a file leaves the file to the garbage collector.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore:unclosed file:ResourceWarning",
        "ignore:.*unclosed file:pytest.PytestUnraisableExceptionWarning",
    ),
]
#: Only the modules that a metric passes through: the backend's are tested elsewhere.
ROOMS = ("tracking/run.py", "delivery/", "threads.py")


@pytest.fixture(autouse=True)
def local(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    monkeypatch.setenv("TELLURIO_EXIT_TIMEOUT", "600")
    yield
    # Not in a later test, in which an unclosed file is an error.
    gc.collect()


@pytest.fixture
def run():
    return te.init("acme", "Digits", "interrupted")


def recorded(run, name="count"):
    return Counter(te.get_run("acme", "Digits", run.uuid).metrics(name).values)


class Log:
    """The logged values, and those for which `log` returned and for which it raised."""

    def __init__(self):
        self.returned, self.raised = [], []

    def keep(self, value, raised):
        (self.raised if raised else self.returned).append(value)

    def log(self, run, value):
        try:
            run.log("count", value)
        except BaseException:
            self.raised.append(value)
            raise
        self.returned.append(value)

    def check(self, counts):
        for value in self.returned:
            assert counts.pop(value, 0) == 1, f"{value} was logged once"
        for value in self.raised:
            assert counts.pop(value, 0) <= 1, f"{value} was interrupted, and is there twice"
        assert not counts


def test_log_that_is_interrupted_anywhere_loses_and_doubles_nothing(run):
    log = Log()
    for turn, raised in at_each_opcode(lambda turn: run.log("count", turn), raise_interrupted):
        log.keep(turn, raised)
    assert len(log.raised) > 50
    assert run.finish().waiting == 0
    log.check(recorded(run))


def test_log_inside_log_loses_and_doubles_nothing(run):
    outer, inner = Log(), Log()

    def log_too(turn):
        run.log("inner", turn)
        inner.keep(turn, None)

    for turn, raised in at_each_opcode(lambda turn: run.log("count", turn), log_too):
        outer.keep(turn, raised)
    assert len(inner.returned) > 50
    assert run.finish().accepted == len(outer.returned) + len(inner.returned)
    outer.check(recorded(run))
    inner.check(recorded(run, "inner"))


@pytest.mark.parametrize("is_raised", [True, False])
def test_log_metrics_is_as_safe(run, is_raised):
    log, inner = Log(), Log()

    def log_too(turn):
        run.log_metrics({"inner": turn})
        inner.keep(turn, None)

    def log_three(turn):
        run.log_metrics({"count": turn, "other": turn, "third": turn})

    interrupt = raise_interrupted if is_raised else log_too
    for turn, raised in at_each_opcode(log_three, interrupt):
        log.keep(turn, raised)
    run.finish()
    log.check(recorded(run))
    log.check(recorded(run, "third"))
    inner.check(recorded(run, "inner"))


@pytest.mark.parametrize("is_raised", [True, False])
def test_the_first_log_of_an_attached_run_is_as_safe(is_raised, pytestconfig):
    owner = te.init("acme", "Digits", "shared")
    log, inner = Log(), Log()

    def attach(_turn=None):
        return te.get_run("acme", "Digits", owner.uuid)

    attached = {}

    def log_too(turn):
        attached[turn].log("inner", turn)
        inner.keep(turn, None)

    def log_first(turn):
        attached[turn].log("count", turn)

    attached[0] = attach()
    interrupt = raise_interrupted if is_raised else log_too
    every = 1 if pytestconfig.getoption("--long") else 7
    for turn, raised in at_each_opcode(log_first, interrupt, rooms=ROOMS, every=every):
        log.keep(turn, raised)
        attached[turn].flush()
        attached[turn + 1] = attach()
    owner.finish()
    log.check(recorded(owner))
    inner.check(recorded(owner, "inner"))


@pytest.mark.parametrize("is_raised", [True, False])
def test_flush_can_be_interrupted_anywhere(run, is_raised):
    logged, inner = Log(), Log()

    def log_too(turn):
        run.log("inner", turn)
        inner.keep(turn, None)

    def flush(turn):
        logged.log(run, turn)
        run.flush()

    interrupt = raise_interrupted if is_raised else log_too
    turns = at_each_opcode(
        flush, interrupt, rooms=("delivery/sender.py", "delivery/senders.py", "delivery/worker.py")
    )
    assert sum(1 for _ in turns) > 50
    run.finish()
    logged.check(recorded(run))
    inner.check(recorded(run, "inner"))
    # The sender may be about to tell the last one; it never tells one that was interrupted.
    wait_until(lambda: not run._recording.outbox.waker._waiting())


@pytest.mark.parametrize("is_raised", [True, False])
def test_delivery_in_the_callers_thread_can_be_interrupted(run, is_raised, pytestconfig):
    """At the exit of the process, when threads can no longer be started, `flush` itself delivers."""
    logged, inner = Log(), Log()
    outbox = run._recording.outbox
    outbox.waker._outboxes.remove(outbox)

    def log_too(turn):
        run.log("inner", turn)
        inner.keep(turn, None)

    def deliver(turn):
        logged.log(run, turn)
        while outbox.step():
            pass

    interrupt = raise_interrupted if is_raised else log_too
    every = 1 if pytestconfig.getoption("--long") else 29
    turns = 0
    for _turn, _raised in at_each_opcode(deliver, interrupt, rooms=("delivery/",), every=every):
        turns += 1
        # Otherwise each turn would have more to deliver than the one before.
        while not outbox.is_done:
            outbox.transfer.hurry()
            outbox.step()
    assert turns > 20
    outbox.waker.add(outbox)
    run.finish()
    logged.check(recorded(run))
    inner.check(recorded(run, "inner"))


def test_what_is_logged_while_an_attached_run_is_closed_stays_or_is_refused():
    owner = te.init("acme", "Digits", "shared")
    attached, kept = {}, []

    def attach(turn):
        attached[turn] = te.get_run("acme", "Digits", owner.uuid)
        attached[turn].log("count", turn)
        attached[turn].flush()

    def log_too(turn):
        try:
            attached[turn].log("inner", turn)
        except te.RunFinishedError:
            return
        kept.append(turn)

    attach(0)
    turns = at_each_opcode(
        lambda turn: close_outbox(attached[turn]._recording.outbox),
        log_too,
        rooms=("delivery/outbox.py", "delivery/sender.py", "delivery/senders.py"),
    )
    for turn, _raised in turns:
        attach(turn + 1)
    attached[turn + 1].flush()
    te.sync()
    assert len(kept) > 5
    assert recorded(owner, "inner") == dict.fromkeys(kept, 1)
    owner.finish()


@pytest.mark.parametrize("is_raised", [True, False])
def test_finish_can_be_interrupted_anywhere_and_called_again(is_raised, home, pytestconfig):
    runs, inner = {}, {}

    def start(turn):
        runs[turn] = te.init("acme", "Digits", f"run {turn}")
        runs[turn].log("count", turn)

    def log_too(turn):
        try:
            runs[turn].log("inner", turn)
        except te.RunFinishedError:
            return
        inner[turn] = True

    start(0)
    interrupt = raise_interrupted if is_raised else log_too
    every = 1 if pytestconfig.getoption("--long") else 41
    for turn, _raised in at_each_opcode(
        lambda turn: runs[turn].finish(), interrupt, rooms=ROOMS, every=every
    ):
        assert runs[turn].finish().waiting == 0
        assert runs[turn].finish().accepted == 1 + inner.get(turn, False)
        start(turn + 1)
    runs[turn + 1].finish()
    assert turn > 5
    for turn, run in runs.items():
        assert te.get_run("acme", "Digits", run.uuid).status == te.RunStatus.COMPLETED
        assert recorded(run) == {turn: 1}
        assert recorded(run, "inner") == ({turn: 1} if turn in inner else {})
    te.sync()
    assert not os.listdir(home / "journals")


#: Types that the SDK catches, because calls of the system raise them too.
CAUGHT = (TimeoutError, FileNotFoundError, BlockingIOError, RuntimeError, ValueError, KeyError)
#: The modules that catch them.
CATCHING = (
    "backend/requests.py",
    "backend/store/database_files.py",
    "delivery/journal",
    "delivery/recovery.py",
    "delivery/worker.py",
    "file_systems.py",
    "files.py",
    "locking.py",
    "settings/settings_file.py",
    "tracking/capturing.py",
)


def start_and_end(_turn):
    te.init("acme", "Digits").finish()


def read_back(_turn):
    te.get_run("acme", "Digits", "interrupted").summary()


def deliver_journals(_turn):
    te.sync()


@pytest.mark.parametrize("kind", CAUGHT)
@pytest.mark.parametrize("call", [start_and_end, read_back, deliver_journals])
def test_an_exception_of_a_common_type_reaches_the_program(run, call, kind, monkeypatch):
    run.log("count", 1)
    run.finish()
    thrown, unraisable = [], []
    # Python ignores exceptions in finalizers.
    monkeypatch.setattr("sys.unraisablehook", lambda report: unraisable.append(report.exc_value))

    def interrupt(_turn):
        thrown.append(kind("the time limit of a job"))
        raise thrown[-1]

    for turn, raised in at_each_opcode(
        call, interrupt, rooms=CATCHING, every=41, exceptions=Exception
    ):
        if len(thrown) > turn and thrown[turn] not in unraisable:
            assert raised is thrown[turn]
    assert len(thrown) > 5
