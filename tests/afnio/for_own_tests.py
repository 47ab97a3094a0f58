"""A plugin of pytest for afnio's own tests: signs in before them, and ends without exit hooks.

The hooks of afnio 0.3.7 wait forever: its tests leave runs open, which it would finish in an event
loop that they have stopped.
"""

import os
import sys

import afnio.tellurio
import pytest


def pytest_sessionstart():
    # Some of its tests end runs through its default client, and others require an environment
    # without a key.
    afnio.tellurio.login(api_key=os.environ["TEST_ACCOUNT_API_KEY"])


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main():
    status = yield
    sys.stdout.flush()
    os._exit(int(status))
