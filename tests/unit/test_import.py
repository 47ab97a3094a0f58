"""The cost of importing, and the names that it shows."""

import subprocess
import sys

import pytest

import afnio_tellurio as te


def test_importing_loads_neither_httpx_nor_attrs_starts_no_thread_and_opens_no_file(run_python):
    finished = run_python(
        """
        import sys, threading
        opened = []
        before = set(sys.modules)
        sys.addaudithook(lambda event, details: opened.append(details) if event == "open" else None)
        import afnio_tellurio
        files = [str(d[0]) for d in opened if not str(d[0]).endswith((".py", ".pyc"))]
        files = [name for name in files if "afnio_tellurio" not in name or name.endswith(".db")]
        assert not files, files
        loaded = {"httpx", "attrs", "attr", "msgspec", "logging", "tellurio_api"} & (set(sys.modules) - before)
        assert not loaded, loaded
        assert threading.active_count() == 1
        """
    )
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")


def test_every_public_name_can_be_loaded_and_is_listed():
    for name in te.__all__:
        assert getattr(te, name) is not None
        assert name in dir(te)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        te.nothing  # noqa: B018


def test_exceptions_and_entities_say_where_users_import_them_from():
    for name in te.__all__:
        value = getattr(te, name)
        if isinstance(value, type):
            assert value.__module__ == "afnio_tellurio", name


def test_star_import_works():
    program = "from afnio_tellurio import *; init, Run, NotFoundError"
    subprocess.run([sys.executable, "-c", program], check=True)
