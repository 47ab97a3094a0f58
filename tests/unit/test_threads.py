"""Detects from their stacks whether other threads are in a function."""

import threading

import pytest
from children import GUARD

from afnio_tellurio.threads import other_threads_inside, stack_holds


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
