"""Measures the coverage of a child process however it ends."""

import sys


def start():
    """Starts measuring; call it before the program runs."""
    import coverage

    # It has started before in a process that began with an interpreter's start.
    coverage.process_startup()
    _save_before_signals()
    if sys.platform != "win32":
        _lift_limit_at_exit()


def _save_before_signals():
    """Saves the data before the process sends itself a signal, which may end it."""
    import signal

    import coverage

    raise_signal = signal.raise_signal

    def save_and_raise(number):
        measured = coverage.Coverage.current()
        if measured is not None:
            measured.save()
        raise_signal(number)

    signal.raise_signal = save_and_raise


def _lift_limit_at_exit():
    """Lets the data be saved after a program that has limited the size of files."""
    import atexit
    import resource

    def lift():
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

    # It runs after the functions that the program registers, and before coverage's own.
    atexit.register(lift)
