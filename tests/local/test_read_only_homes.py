"""A TELLURIO_HOME that can only be read: on a read-only mount, or another user's folder."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import golden_homes
import pytest
from children import GUARD
from stored_blobs import STORING

import afnio_tellurio as te

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits")
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
NOBODY = 65534
RECORD = """
import os, sys, signal
import afnio_tellurio as te
with te.TellurioClient.local() as client:
    te.create_project("acme", "Digits", client=client)
    run = te.init("acme", "Digits", "first", client=client)
    for step in range(10):
        run.log("loss", step / 4)
    run.flush()
    if sys.argv[1] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    run.finish()
"""
LOOK = """
import json, subprocess, sys
import afnio_tellurio as te
found = te.get_run("acme", "digits", "first")
seen = {
    "runs": [run.name for run in te.runs("acme", "digits")],
    "values": found.metrics("loss").values,
    "curve": found.curve("loss"),
    "count": found.summary()["loss"].count,
    "names": te.list_metrics("acme", "digits"),
}
for words in ("runs acme/digits", "show acme/digits/first", "export acme/digits/first"):
    command = [sys.executable, "-m", "afnio_tellurio.cli", *words.split()]
    ended = subprocess.run(command, capture_output=True, encoding="utf-8")
    seen[words] = [ended.returncode, ended.stdout]
writing = {
    "init": lambda: te.init("acme", "Digits"),
    "create_project": lambda: te.create_project("acme", "Other"),
    "update": lambda: found.update(description="changed"),
    "delete_run": lambda: te.delete_run("acme", "digits", "first"),
    "delete_project": lambda: te.delete_project("acme", "digits"),
    "restore_run": lambda: te.restore_run("acme", "digits", found.uuid),
}
seen["errors"] = {}
for name, write in writing.items():
    try:
        write()
    except te.TellurioError as error:
        seen["errors"][name] = str(error)
print(json.dumps(seen))
"""
#: Root without the right to write the files of others.
WITHOUT_PRIVILEGES = ("--bounding-set", "-all", "--inh-caps", "-all")
MOUNT = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'


def can_run(*command):
    return (
        shutil.which(command[0]) is not None
        and subprocess.run(command, check=False, capture_output=True).returncode == 0
    )


@pytest.fixture
def home(monkeypatch):
    """A home below folders that any user can enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    monkeypatch.setenv("TELLURIO_HOME", str(folder / "home"))
    monkeypatch.setenv("TELLURIO_MODE", "local")
    yield folder / "home"
    for path in (folder / "home", *(folder / "home").rglob("*")):
        path.chmod(0o700)
    shutil.rmtree(folder)


def share(home, mode):
    """Lets other users read the home, as its owner would."""
    for path in (home, *home.rglob("*")):
        path.chmod(mode | 0o111 if path.is_dir() else mode)
        if IS_ROOT:
            os.chown(path, NOBODY, NOBODY)


@pytest.fixture(params=["mount", "folder"])
def look(request, home, start_python):
    """Starts a program that can only read the home."""
    wrapper = []
    if request.param == "mount":
        if not IS_ROOT or not can_run("unshare", "-m", "sh", "-c", MOUNT, "sh", "/tmp", "true"):
            pytest.skip("mounting requires root and unshare")
        wrapper = ["unshare", "-m", "sh", "-c", MOUNT, "sh", str(home)]
    elif IS_ROOT:
        wrapper = ["setpriv", *WITHOUT_PRIVILEGES]
        if not can_run(*wrapper, "true"):
            pytest.skip("root needs setpriv to give up its privileges")

    def start(program, **keywords):
        share(home, 0o444)
        command = [*wrapper, sys.executable, "-c", program]
        return start_python(*command[1:], executable=command[0], **keywords)

    return start


@pytest.fixture
def recorded(home, start_python):
    def record(ending):
        child = start_python("-c", RECORD, ending)
        _out, err = child.communicate(timeout=GUARD)
        assert child.returncode == (-signal.SIGKILL if ending == "killed" else 0), err
        names = {path.name for path in home.iterdir()}
        log = {"tellurio.db-wal", "tellurio.db-shm"}
        assert names & log == (log if ending == "killed" else set())

    return record


def state_of(home):
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in home.rglob("*")}


@pytest.mark.parametrize("ending", ["closed", "killed"])
def test_a_home_that_can_only_be_read_can_be_looked_at(home, look, recorded, ending):
    recorded(ending)
    child = look(LOOK)
    before = state_of(home)
    out, err = child.communicate(timeout=GUARD)
    assert child.returncode == 0, err
    seen = json.loads(out)
    values = [step / 4 for step in range(10)]
    assert (seen["runs"], seen["values"]) == (["first"], values)
    assert (seen["curve"], seen["count"]) == ([list(range(10)), values], 10)
    assert seen["names"] == ["loss"]
    listing, shown, exported = (seen[words] for words in seen if " " in words)
    status = "RUNNING" if ending == "killed" else "COMPLETED"
    assert (listing[0], f"first  {status}" in listing[1]) == (0, True)
    assert (shown[0], status in shown[1], "loss" in shown[1]) == (0, True, True)
    assert (exported[0], exported[1].count("\nloss,")) == (0, 10)
    assert len(seen["errors"]) == 6
    for message in seen["errors"].values():
        assert f"the database {home}/tellurio.db cannot be changed, because this" in message
        assert "copy its folder to a writable place" in message
    assert state_of(home) == before


def test_data_in_a_log_without_its_index_is_not_passed_over(home, look, recorded):
    recorded("killed")
    (home / "tellurio.db-shm").unlink()
    child = look("import afnio_tellurio as te; te.TellurioClient.local()")
    _out, err = child.communicate(timeout=GUARD)
    assert child.returncode == 1
    assert f"the database {home}/tellurio.db has data in its write-ahead log that cannot be" in err


def test_an_unfinished_transaction_is_not_passed_over(home, look, recorded):
    recorded("closed")
    path = home / "tellurio.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("PRAGMA cache_size=2")
        connection.execute("BEGIN")
        connection.execute("UPDATE runs SET description = hex(zeroblob(100000))")
        connection.execute("SELECT * FROM runs").fetchall()
        # As a process leaves it that is killed now.
        for suffix in ("", "-journal"):
            shutil.copy(f"{path}{suffix}", f"{path}{suffix}.killed")
    for suffix in ("", "-journal"):
        os.replace(f"{path}{suffix}.killed", f"{path}{suffix}")
    child = look("import afnio_tellurio as te; te.TellurioClient.local()")
    _out, err = child.communicate(timeout=GUARD)
    assert child.returncode == 1
    assert f"the database {path} has an unfinished transaction that cannot be rolled back" in err


def test_an_older_format_is_named(home, look):
    home.mkdir()
    golden_homes.unpack_database(3, home / "tellurio.db")
    before = (home / "tellurio.db").read_bytes()
    child = look("import afnio_tellurio as te; te.TellurioClient.local()")
    _out, err = child.communicate(timeout=GUARD)
    assert child.returncode == 1
    assert "has the older format 3 and cannot be upgraded, because this user can only read" in err
    assert (home / "tellurio.db").read_bytes() == before


def test_a_missing_database_is_not_created(home, look):
    home.mkdir()
    child = look("import afnio_tellurio as te; te.TellurioClient.local()")
    _out, err = child.communicate(timeout=GUARD)
    assert child.returncode == 1
    assert f"the database {home}/tellurio.db cannot be opened: " in err
    assert list(home.iterdir()) == []


COUNT_ON_REQUEST = """
import sys
import afnio_tellurio as te
run = te.get_run("acme", "digits", "first")
for _line in sys.stdin:
    print(len(run.metrics("loss")), flush=True)
"""


@pytest.mark.parametrize("kept_open", [True, False])
def test_a_reader_sees_what_the_owner_records(home, look, recorded, kept_open):
    recorded("closed")
    with contextlib.ExitStack() as stack:
        if kept_open:
            client = stack.enter_context(te.TellurioClient.local())
            # SQLite creates its log as readable as the database.
            (home / "tellurio.db").chmod(0o644)
            te.list_projects("acme", client)
        child = look(COUNT_ON_REQUEST, stdin=True)
        share(home, 0o644)
        for number in range(1, 4):
            print(file=child.stdin, flush=True)
            assert child.stdout.readline() == f"{9 + number}\n"
            with te.TellurioClient.local() as writer:
                found = te.get_run("acme", "digits", "first", writer)
                writer.post(
                    f"/api/v0/acme/projects/digits/runs/{found.uuid}/metrics/",
                    {"name": "loss", "value": number},
                )
    _out, err = child.communicate(timeout=GUARD)
    assert child.returncode == 0, err


READ_SLOWLY = """
import os, pathlib, sqlite3, sys
from afnio_tellurio.backend.store.connections import works_in_sqlite
from afnio_tellurio.backend.store.database import Database
database = Database(pathlib.Path(os.environ["TELLURIO_HOME"]) / "tellurio.db")

@works_in_sqlite
def read():
    with database.reading() as connection:
        connection.execute("SELECT count(*) FROM runs").fetchone()
        print("reading", flush=True)
        sys.stdin.readline()

try:
    read()
except sqlite3.OperationalError as error:
    print(error, flush=True)
read()
"""


def test_a_change_under_a_reader_without_locks_is_noticed(home, look, recorded):
    recorded("closed")
    child = look(READ_SLOWLY, stdin=True)
    assert child.stdout.readline() == "reading\n"
    share(home, 0o644)
    with te.TellurioClient.local() as client:
        te.create_project("acme", "Other", client=client)
    print(file=child.stdin, flush=True)
    assert (
        child.stdout.readline() == f"{home}/tellurio.db was changed while it was read; try again\n"
    )
    assert child.stdout.readline() == "reading\n"
    _out, err = child.communicate("\n", timeout=GUARD)
    assert child.returncode == 0, err


def test_blobs_that_can_only_be_read_are_found_and_read(home, look, start_python):
    start = STORING.replace("sys.argv[1]", repr(str(home / "tellurio.db")))
    store = start + "assert put(api, b'small').status_code == 204\nput(api, content(MIB))\n"
    _out, err = start_python("-c", store).communicate(timeout=GUARD)
    assert not err
    program = start + (
        "from afnio_tellurio.backend.store import blob_removal\n"
        "print(missing(api, b'small', content(MIB), b'other') == [digest_of(b'other')])\n"
        "print(list(blob_removal.verify(backend._database)))\n"
        "print(blob_removal.remove_all(backend._database, dry_run=True).files)\n"
        "print(put(api, content(2 * MIB)).status_code, put(api, b'x').status_code)\n"
        "print(start_upload(api, content(2 * MIB)).status_code)\n"
    )
    child = look(program)
    before = state_of(home)
    out, err = child.communicate(timeout=GUARD)
    assert out.split("\n") == ["True", "[]", "0", "503 503", "503", ""], err
    assert state_of(home) == before


SCAN = """
import afnio_tellurio as te
print(sorted(te.scan("acme", "digits").collect()["value"].to_list()), flush=True)
"""
RECORD_ANOTHER = """
import afnio_tellurio as te
with te.init("acme", "Digits", "second") as run:
    run.log("loss", 1)
"""
#: As if the owner was killed before it merged small files.
WITHOUT_MERGE = "from afnio_tellurio.scanning import updating; updating._MAX_SMALL_FILES = 0\n"


def test_points_in_the_cache_are_scanned(home, look, recorded, start_python):
    pytest.importorskip("polars")
    recorded("closed")
    out, err = start_python("-c", SCAN).communicate(timeout=GUARD)
    assert json.loads(out) == [step / 4 for step in range(10)], err
    child = look(WITHOUT_MERGE + SCAN)
    before = state_of(home)
    again, err = child.communicate(timeout=GUARD)
    assert again == out, err
    assert state_of(home) == before


@pytest.mark.parametrize("has_cache", [True, False])
def test_points_that_the_cache_lacks_are_an_error(home, look, recorded, start_python, has_cache):
    pytest.importorskip("polars")
    recorded("closed")
    if has_cache:
        _out, err = start_python("-c", SCAN).communicate(timeout=GUARD)
        assert not err
    _out, err = start_python("-c", RECORD_ANOTHER).communicate(timeout=GUARD)
    child = look(SCAN)
    before = state_of(home)
    out, err = child.communicate(timeout=GUARD)
    assert (child.returncode, out) == (1, "")
    assert "scan: the points cannot be written (" in err
    assert "this user can only read the folder, which lacks points: call scan once as its" in err
    assert state_of(home) == before
