"""The database file: permissions, damage, and concurrent use."""

import contextlib
import os
import signal
import sqlite3
import stat
import sys
import threading
import time
from types import SimpleNamespace

import httpx
import pytest
from children import GUARD

import afnio_tellurio as te
from afnio_tellurio import file_systems
from afnio_tellurio.backend import BackendUser, open_backend
from afnio_tellurio.backend.store import database as database_module
from afnio_tellurio.backend.store import schema
from afnio_tellurio.backend.store.database import Database
from afnio_tellurio.backend.store.schema import FORMAT

WRITE = """
import sys, threading
import afnio_tellurio as te
with te.TellurioClient.local(sys.argv[1]) as client:
    run = te.get_run("acme", "Digits", "shared", client=client)
    def work(worker):
        for number in range(25):
            run.log("shared", f"{sys.argv[2]}/{worker}/{number}")
            run.log(f"own/{sys.argv[2]}/{worker}", number, step=number)
    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""


@pytest.fixture
def client(database):
    with te.TellurioClient.local(database) as client:
        yield client


def test_two_processes_with_eight_threads_each_lose_nothing(client, database, start_python):
    run = te.init("acme", "Digits", "shared", client=client)
    children = [start_python("-c", WRITE, str(database), name) for name in ("one", "two")]
    for child in children:
        _out, err = child.communicate(timeout=GUARD)
        assert child.returncode == 0, err
    metrics = run.metrics()
    wanted = {f"{name}/{w}/{n}" for name in ("one", "two") for w in range(8) for n in range(25)}
    assert sorted(metrics["shared"].values) == sorted(wanted)
    assert metrics["shared"].steps == list(range(400))
    for name in ("one", "two"):
        for worker in range(8):
            assert metrics[f"own/{name}/{worker}"].values == list(range(25))


def test_several_processes_may_make_the_database_at_once(database, start_python):
    program = (
        "import sys, afnio_tellurio as te\n"
        "with te.TellurioClient.local(sys.argv[1]) as client:\n"
        "    te.init('acme', 'Digits', 'same', client=client).finish()\n"
    )
    children = [start_python("-c", program, str(database)) for _ in range(6)]
    for child in children:
        _out, err = child.communicate(timeout=GUARD)
        assert child.returncode == 0, err
    with te.TellurioClient.local(database) as client:
        names = sorted(run.name for run in te.runs("acme", "Digits", client=client))
    assert names == ["same", *(f"same_{number}" for number in range(1, 6))]


def test_another_process_may_make_the_database_between_two_statements(database):
    class Interrupted:
        """A connection in whose first statement another process makes the database."""

        def execute(self, statement):
            row = connection.execute(statement).fetchone()
            te.TellurioClient.local(database).close()
            return SimpleNamespace(fetchone=lambda: row)

    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert schema._format_of(Interrupted(), database) == schema.FORMAT


def test_what_was_acknowledged_survives_sigkill(database, start_python):
    program = (
        "import sys, afnio_tellurio as te\n"
        "client = te.TellurioClient.local(sys.argv[1])\n"
        "run = te.init('acme', 'Digits', 'killed', client=client)\n"
        "for number in range(100000):\n"
        "    run.log('count', number)\n"
        "    print(number, flush=True)\n"
    )
    child = start_python("-c", program, str(database))
    for _ in range(40):
        child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    rest = child.stdout.read()
    words = rest.rpartition("\n")[0].split()
    acknowledged = int(words[-1]) if words else 39
    with te.TellurioClient.local(database) as client:
        values = te.get_run("acme", "Digits", "killed", client=client).metrics("count").values
    # The last one may have been recorded without being printed.
    assert values in (list(range(acknowledged + 1)), list(range(acknowledged + 2)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_parent_and_forked_child_write_through_connections_of_their_own(database, run_python):
    finished = run_python(
        f"""
        import os, afnio_tellurio as te
        client = te.TellurioClient.local({str(database)!r})
        run = te.init("acme", "Digits", "forked", client=client)
        run.log("who", "before")
        child = os.fork()
        for number in range(50):
            run.log("who", ("parent" if child else "child", number))
        if child == 0:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        run.log("who", "after")
        values = run.metrics("who").values
        assert values == ["before", *(["parent", n] for n in range(50)), "after"]
        run.finish()
        values = run.metrics("who").values
        assert values[52:] == [["child", n] for n in range(50)], "what os._exit left behind"
        """
    )
    assert finished.returncode == 0, finished.stderr
    connection = sqlite3.connect(database)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")
def test_only_the_owner_can_read_database_journals_and_folder(tmp_path):
    before = os.umask(0)
    try:
        with te.TellurioClient.local(tmp_path / "a" / "b" / "x.db") as client:
            te.init("acme", "Digits", client=client).log("loss", 1)
            files = list((tmp_path / "a" / "b").iterdir())
            assert len(files) == 3
            for path in files:
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
            assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    finally:
        os.umask(before)


def test_a_file_that_is_no_database_is_left_untouched(database):
    database.write_bytes(b"my diary, " * 500)
    with pytest.raises(te.DatabaseError, match=f"{database} is not a database; move it away"):
        te.TellurioClient.local(database)
    assert database.read_bytes() == b"my diary, " * 500


def test_another_programs_database_is_left_untouched(database):
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()
    before = database.read_bytes()
    with pytest.raises(te.DatabaseError, match="belongs to another program; use another file"):
        te.TellurioClient.local(database)
    assert database.read_bytes() == before


def test_a_database_of_a_newer_version_is_left_untouched(database):
    te.TellurioClient.local(database).close()
    connection = sqlite3.connect(database)
    connection.execute(f"PRAGMA user_version={FORMAT + 1}")
    connection.commit()
    connection.close()
    before = database.read_bytes()
    with pytest.raises(
        te.DatabaseError, match=f"has format {FORMAT + 1}, .*; upgrade afnio-tellurio"
    ):
        te.TellurioClient.local(database)
    assert database.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "x.db", tmp_path / "file" / "deep" / "x.db", tmp_path):
        with pytest.raises(
            te.DatabaseError, match=f"the database {path} cannot be opened: .*TELLURIO_HOME"
        ):
            te.TellurioClient.local(path)


def test_a_folder_that_cannot_be_written_is_named():
    with pytest.raises(te.DatabaseError, match="/proc/x.db cannot be opened"):
        te.TellurioClient.local("/proc/x.db")


def test_init_says_what_is_wrong_with_the_database(home, monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    home.mkdir()
    (home / "tellurio.db").write_text("no database" * 1000)
    with pytest.raises(te.DatabaseError, match="is not a database"):
        te.init("acme", "Digits")


FULL = """
import resource, sys, time
import afnio_tellurio as te
# What is imported later would leave its bytecode cut off.
sys.dont_write_bytecode = True
client = te.TellurioClient.local(sys.argv[1])
run = te.init("acme", "Digits", "full", client=client)
run.log("kept", 1)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
import os, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(sys.argv[1] + "-wal"), hard))
run.log("large", "x" * 100_000)
while run._recording.outbox.transfer.last_error is None:
    time.sleep(0.01)
try:
    run.flush(timeout=0)
except te.DeliveryError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
run.log("kept", 2)
run.finish()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file size limit")
def test_a_full_disk_puts_off_what_does_not_fit(database, start_python):
    child = start_python("-c", FULL, str(database))
    out, err = child.communicate(timeout=GUARD)
    assert child.returncode == 0, err
    assert "disk" in out
    with te.TellurioClient.local(database) as client:
        run = te.get_run("acme", "Digits", "full", client=client)
        assert run.status is te.RunStatus.COMPLETED
        metrics = {name: what.values for name, what in run.metrics().items()}
        assert metrics == {"kept": [1, 2], "large": ["x" * 100_000]}


def test_a_database_locked_for_too_long_is_a_503_and_no_more(database, monkeypatch):
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT", 0.05)
    with te.TellurioClient.local(database) as client:
        run = te.init("acme", "Digits", client=client)
        other = sqlite3.connect(database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        run.log("loss", 1)
        deadline = time.monotonic() + GUARD
        while run._recording.outbox.transfer.last_error is None and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(te.DeliveryError, match="database is locked"):
            run.flush(timeout=0)
        other.execute("ROLLBACK")
        other.close()
        assert run.metrics("loss").values == [1]
        run.finish()


def test_where_the_write_ahead_log_does_not_work_a_rollback_journal_does(
    database, monkeypatch, caplog
):
    monkeypatch.setattr(file_systems, "_LOCAL_FILE_SYSTEMS", set())
    with te.TellurioClient.local(database) as client:
        with te.init("acme", "Digits", client=client) as run:
            run.log("loss", 1)
        assert run.metrics("loss").values == [1]
        assert not os.path.exists(f"{database}-wal")
    assert caplog.text.count("write-ahead log may not work; using a rollback journal") == 1


def test_a_closed_backend_answers_503(database):
    backend = open_backend(database, user=BackendUser("ada", "ada@example.com"))
    backend.close()
    with httpx.Client(base_url="http://x", transport=httpx.WSGITransport(app=backend)) as api:
        assert api.get("/api/v0/acme/projects/").status_code == 503


def test_readers_are_not_held_up_by_a_writer(client, database):
    run = te.init("acme", "Digits", client=client)
    run.log("loss", 1)
    run.flush()
    writer = Database(database)
    with writer.writing() as connection:
        connection.execute("UPDATE runs SET description = 'writing'")
        # If it waited for the writer, it would wait forever: the writer ends after it.
        assert run.metrics("loss").values == [1]
    writer.close()


def test_a_transaction_that_fails_leaves_nothing(database):
    opened = Database(database)
    with pytest.raises(ZeroDivisionError), opened.writing() as connection:
        connection.execute("INSERT INTO namespaces VALUES (1, 'u', 's', 'd')")
        1 / 0  # noqa: B018
    with opened.reading() as connection:
        assert connection.execute("SELECT count(*) FROM namespaces").fetchone() == (0,)
    opened.close()


def test_every_thread_gets_a_connection_and_all_are_closed(database):
    opened = Database(database)
    inside = threading.Barrier(5)

    def read():
        with opened.reading() as connection:
            inside.wait(timeout=GUARD)
            connection.execute("SELECT 1")

    threads = [threading.Thread(target=read) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    opened.close()
    open_files = set()
    for number in os.listdir("/proc/self/fd"):
        # Another thread may close a file meanwhile, as the listing itself does.
        with contextlib.suppress(FileNotFoundError):
            open_files.add(os.readlink(f"/proc/self/fd/{number}"))
    assert open_files
    assert str(database) not in open_files


def test_a_client_can_be_forgotten_when_the_names_of_its_module_are_gone(database, monkeypatch):
    """As at the end of a program that was frozen with PyInstaller."""
    forgotten = te.TellurioClient.local(database)
    with monkeypatch.context() as patch:
        patch.setattr("afnio_tellurio.client.sys", None)
        forgotten.__del__()
    assert forgotten.is_closed


def test_a_bug_of_the_backend_is_a_failed_request_only(client, monkeypatch, caplog):
    def fail(*_arguments):
        raise ZeroDivisionError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr("afnio_tellurio.backend.application._body", fail)
        with pytest.raises(te.ApiError, match="The backend failed; see its log") as caught:
            te.list_projects("acme", client)
    assert caught.value.status_code == 503
    assert "the embedded backend failed" in caplog.text
    assert te.list_projects("acme", client) == []


def test_a_namespace_without_a_slug_is_refused(database):
    with pytest.raises(ValueError, match="namespace 'two words' isn't a valid slug"):
        open_backend(database, namespaces=("acme", "two words"))
    assert not database.exists()


def test_a_user_without_a_name_is_called_local(monkeypatch):
    def fail():
        raise KeyError("getpwuid(): uid not found: 54321")

    monkeypatch.setattr("getpass.getuser", fail)
    assert BackendUser.of_this_machine() == BackendUser("local", "local@localhost")
