"""afnio's own tests of its tracking, which come with its package, against our backend."""

import os
from pathlib import Path

import pytest
from children import child_environment

HERE = Path(__file__).parent
MODULES = ("client", "project", "run")
#: It replaces a method of the client and expects `finish` to call it.
REPLACES_A_METHOD = "test_run_finish_sets_status_and_clears_active_uuid"


@pytest.fixture
def run_tests(platform, start_afnio):
    def run(*options):
        located = start_afnio("-c", "import afnio; print(afnio.__path__[0])")
        site = Path(located.stdout.strip()).parent
        return start_afnio(
            *("-m", "pytest", "--quiet", "--config-file", "/dev/null", "--rootdir", str(site)),
            *("-p", "no:cacheprovider", "-p", "for_own_tests", *options),
            *(str(site / "tests" / "tellurio" / f"test_{module}.py") for module in MODULES),
            # They send what the contract forbids, to see it refused.
            may_depart=("request",),
            **{**platform.variables, "TELLURIO_API_KEY": ""},
            PYTHONPATH=os.pathsep.join([str(HERE), child_environment()["PYTHONPATH"]]),
            TEST_ACCOUNT_API_KEY="the-key",
            TEST_USER_USERNAME="testuser",
            TEST_USER_SLUG="testuser",
        )

    return run


def test_the_client_of_afnio_with_our_backend(run_tests):
    done = run_tests()
    assert done.returncode == 0, done.stdout
    assert "30 passed" in done.stdout


def test_our_package_in_the_place_of_afnio_s_tracking(run_tests):
    done = run_tests(
        "-p", "in_place", "--deselect", f"tests/tellurio/test_run.py::{REPLACES_A_METHOD}"
    )
    assert done.returncode == 0, done.stdout
    assert "29 passed, 1 deselected" in done.stdout
