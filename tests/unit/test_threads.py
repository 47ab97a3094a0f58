"""Detects from their stacks whether other threads are in a function."""

import gc
import inspect
import sys
import threading
import weakref
from contextlib import contextmanager

import pytest
from children import GUARD

from afnio_tellurio import threads
from afnio_tellurio.backend.store import connections
from afnio_tellurio.threads import other_threads_inside, stack_holds, wait_until_left

#: Looks at a moving thread: a look that is not exact fails once in about 5,000.
LOOKS = 15_000


def rest(entered, leave):
    entered.set()
    assert leave.wait(timeout=GUARD)


def work(entered, leave):
    rest(entered, leave)


def work_twice(entered, leave):
    # A signal handler does this in the middle of the work.
    work(entered, leave)


WORK, WORK_TWICE, REST = work.__code__, work_twice.__code__, rest.__code__


@pytest.fixture
def start():
    """Starts a function in a thread that stays in it until the test ends."""
    leave = threading.Event()
    threads = []

    def start(function):
        entered = threading.Event()
        thread = threading.Thread(target=function, args=(entered, leave))
        threads.append(thread)
        thread.start()
        assert entered.wait(timeout=GUARD)

    start.leave = lambda: (leave.set(), *(thread.join() for thread in threads))
    yield start
    start.leave()


def test_a_function_is_seen_from_its_entry_to_its_end(start):
    assert not other_threads_inside([WORK])
    start(work)
    assert other_threads_inside([WORK])
    start.leave()
    assert not other_threads_inside([WORK])


def test_a_function_of_this_thread_is_not_one_of_another():
    def work():
        return other_threads_inside([work.__code__])

    assert not work()


def test_a_thread_that_rests_is_not_inside(start):
    start(work)
    assert not other_threads_inside([WORK], resting=[REST])


def test_a_thread_that_rests_is_still_inside_what_it_had_begun_before(start):
    start(work_twice)
    assert other_threads_inside([WORK, WORK_TWICE], resting=[REST])


def test_a_function_that_an_exception_ended_is_not_on_a_stack():
    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        fail()
    assert caught.tb.tb_next.tb_frame.f_code is fail.__code__
    assert not stack_holds(caught.tb.tb_frame, [fail.__code__])


def count(stop):
    for number in range(100):
        if stop.is_set():
            return
        yield number


def work_on_generators(stop):
    while not stop.is_set():
        sum(count(stop))


@contextmanager
def moving_thread(function):
    """A thread that enters and leaves generators all the time, inside one call of a function."""
    stop, interval = threading.Event(), sys.getswitchinterval()
    thread = threading.Thread(target=function, args=(stop,))
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        sys.setswitchinterval(interval)
        thread.join()


def test_a_thread_is_seen_inside_while_it_enters_and_leaves_generators():
    inside = [work_on_generators.__code__]
    with moving_thread(work_on_generators):
        while not other_threads_inside(inside):
            pass
        assert all(other_threads_inside(inside) for _ in range(LOOKS))
        assert not wait_until_left(inside, timeout=0)


@pytest.mark.parametrize("is_enabled", [False, True])
def test_a_look_at_the_stacks_keeps_nothing_alive(start, is_enabled):
    class Held:
        pass

    def look():
        held = Held()
        assert other_threads_inside([WORK])
        return weakref.ref(held)

    start(work)
    threshold = gc.get_threshold()
    gc.set_threshold(0)
    try:
        if not is_enabled:
            gc.disable()
        assert [look()() for _ in range(10)] == [None] * 10
    finally:
        gc.enable()
        gc.set_threshold(*threshold)


def test_a_connection_in_use_by_a_moving_thread_is_not_discarded(tmp_path):
    opened = threading.Event()

    def work(stop):
        def use():
            connection = connections.sqlite3.connect(
                tmp_path / "x.db", factory=connections.Connection, check_same_thread=False
            )
            connection.register()
            connection.user = connections.current_work()
            opened.set()
            work_on_generators(stop)
            assert connection.is_open
            used.append(connection)

        connections._work(use)

    used = []
    with moving_thread(work):
        assert opened.wait(timeout=GUARD)
        for _ in range(LOOKS):
            connections.discard_abandoned()
    assert used


def test_the_garbage_collector_runs_no_code_while_stacks_are_read():
    """It would let other threads move, and free the frames that are read."""
    walking, lines_of_collections = threads._stacks_of_other_threads.__code__, []

    def note(phase, _details):
        frame = sys._getframe(1)
        if phase == "start" and frame.f_code is walking:
            lines_of_collections.append(frame.f_lineno)

    source, first = inspect.getsourcelines(walking)
    reads = [number for number, line in enumerate(source, first) if "= steps" in line]
    threshold = gc.get_threshold()
    gc.callbacks.append(note)
    gc.set_threshold(1)
    try:
        for _ in range(20):
            threads._stacks_of_other_threads()
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(note)
    assert gc.isenabled()
    assert reads
    assert lines_of_collections
    assert not set(lines_of_collections) & set(reads)


def test_a_program_that_disabled_the_garbage_collector_keeps_it_so():
    gc.disable()
    try:
        threads._stacks_of_other_threads()
        assert not gc.isenabled()
    finally:
        gc.enable()
