"""The command, as tests run it."""

import subprocess

import pytest


@pytest.fixture
def command(start_python):
    """Runs `afnio-tellurio` with these arguments to its end."""

    def run(*arguments, **variables):
        child = start_python("-m", "afnio_tellurio.cli", *arguments, **variables)
        out, err = child.communicate(timeout=30)
        return subprocess.CompletedProcess(arguments, child.returncode, out, err)

    return run
