"""The files of a database in use: the kernel's locks on them, and what happens to them meanwhile."""

import asyncio
import contextlib
import errno
import inspect
import io
import json
import os
import shutil
import sqlite3
import sys
import uuid
from pathlib import Path

import httpx
import pytest
from awaiting_events import wait_until
from children import GUARD

import afnio_tellurio as te
from afnio_tellurio import file_systems
from afnio_tellurio.backend import BackendUser, open_backend
from afnio_tellurio.backend.store import connections, database_files
from afnio_tellurio.backend.store import database as database_module
from afnio_tellurio.backend.store.database import Database
from afnio_tellurio.client import connection_of, open_database
from afnio_tellurio.default_client import default_client
from afnio_tellurio.settings.settings import read_settings

needs_proc_locks = pytest.mark.skipif(sys.platform != "linux", reason="/proc/locks is Linux's")
RUNS = "/api/v0/acme/projects/digits/runs/"


def locks_on(path):
    """The locks of this process on a file, as the kernel lists them."""
    inode = os.stat(path).st_ino
    with open("/proc/locks") as file:
        lines = [line.split() for line in file]
    return {
        tuple(words[3:4] + words[6:])
        for words in lines
        if words[4] == str(os.getpid()) and words[5].endswith(f":{inode}")
    }


def files_of(path):
    return [Path(f"{path}{suffix}") for suffix in ("", "-wal", "-shm")]


# The calls, by name in the public API


async def finish_another():
    await te.ainit("acme", "Digits")
    await te.afinish()


async def list_runs():
    return [run async for run in te.aruns("acme", "digits")]


def delete_and_restore():
    te.get_artifact("acme/digits/data").delete()
    te.restore_artifact("acme/digits/data:v0")


CALLS = {
    "afinish": lambda _run: asyncio.run(finish_another()),
    "aget_run": lambda run: asyncio.run(te.aget_run("acme", "digits", run.name)),
    "ainit": lambda _run: asyncio.run(te.ainit("acme", "Digits", "third")),
    "aruns": lambda _run: asyncio.run(list_runs()),
    "attach": lambda run: te.attach("acme", "digits", run.name),
    "create_project": lambda _run: te.create_project("acme", "Another"),
    "curves": lambda run: te.curves([run], "loss"),
    "delete_project": lambda _run: te.delete_project("acme", "another"),
    "delete_run": lambda _run: te.delete_run("acme", "digits", "second"),
    "finish": lambda _run: te.finish(),
    "flush": lambda _run: te.flush(),
    "get_active_run": lambda _run: te.get_active_run(),
    "get_project": lambda _run: te.get_project("acme", "digits"),
    "get_run": lambda run: te.get_run("acme", "digits", run.name),
    "init": lambda _run: te.init("acme", "Digits", "second"),
    "list_metrics": lambda _run: te.list_metrics("acme", "digits"),
    "list_namespaces": lambda _run: te.list_namespaces(),
    "list_projects": lambda _run: te.list_projects("acme"),
    "list_trash": lambda _run: te.list_trash("acme"),
    "log": lambda _run: te.log("loss", 1),
    "log_metrics": lambda _run: te.log_metrics({"loss": 2}),
    "log_rows": lambda _run: te.log_rows("table", [{"a": 1}]),
    "login": lambda _run: te.login(),
    "restore_project": lambda _run: te.restore_project("acme", "digits"),
    "restore_run": lambda run: te.restore_run("acme", "digits", run.uuid),
    "runs": lambda _run: list(te.runs("acme", "digits")),
    "summaries": lambda run: te.summaries([run]),
    "table": lambda _run: te.table("acme", "digits"),
    "scan": lambda _run: te.scan("acme", "digits"),
    "best": lambda _run: te.best("acme", "digits", "loss", "max"),
    "sync": lambda _run: te.sync(),
    "get_artifact": lambda _run: te.get_artifact("acme/digits/data"),
    "list_artifact_versions": lambda _run: te.list_artifact_versions("acme", "digits", "data"),
    "list_artifacts": lambda _run: te.list_artifacts("acme", "digits"),
    "log_artifact": lambda _run: te.log_artifact(bytes(100_000), "large", wait=True),
    "log_audio": lambda _run: te.log_audio("sound", b"OggS"),
    "log_file": lambda _run: te.log_file(__file__),
    "log_html": lambda _run: te.log_html("page", "<p>"),
    "log_image": lambda _run: te.log_image("image", b"GIF8"),
    "get_prompt": lambda _run: te.get_prompt("judge", fallback="text"),
    "log_prompt": lambda _run: te.log_prompt("judge", "text", parents=["data:v0"], wait=True),
    "log_text": lambda _run: te.log_text("text", "words"),
    "restore_artifact": lambda _run: delete_and_restore(),
    "use_artifact": lambda _run: te.use_artifact("data"),
    "Run.files": lambda run: run.files(),
    "Run.inputs": lambda run: run.inputs(),
    "Run.log_artifact": lambda run: run.log_artifact(b"2", "data", wait=True),
    "Run.log_audio": lambda run: run.log_audio("sound", b"OggS"),
    "Run.log_file": lambda run: run.log_file(__file__),
    "Run.log_html": lambda run: run.log_html("page", "<p>"),
    "Run.log_image": lambda run: run.log_image("image", b"GIF8"),
    "Run.log_prompt": lambda run: run.log_prompt("judge", "text", wait=True),
    "Run.log_text": lambda run: run.log_text("text", "words"),
    "Run.open_file": lambda run: run.open_file("table.csv").read(),
    "Run.outputs": lambda run: run.outputs(),
    "Run.use_artifact": lambda run: run.use_artifact("data:v0").read_bytes("data"),
    "Run.__aenter__": lambda run: asyncio.run(run.__aenter__()),
    "Run.__aexit__": lambda _run: asyncio.run(
        te.init("acme", "Digits").__aexit__(None, None, None)
    ),
    "Run.__enter__": lambda run: run.__enter__(),
    "Run.__exit__": lambda _run: te.init("acme", "Digits").__exit__(None, None, None),
    "Run.afinish": lambda _run: asyncio.run(te.init("acme", "Digits").afinish()),
    "Run.ametrics": lambda run: asyncio.run(run.ametrics()),
    "Run.aflush": lambda run: asyncio.run(run.aflush()),
    "Run.curve": lambda run: run.curve("loss"),
    "Run.finish": lambda _run: te.init("acme", "Digits").finish(),
    "Run.flush": lambda run: run.flush(),
    "TellurioClient.web_address": lambda run: default_client().web_address(
        "acme", "digits", run.uuid, run.name
    ),
    "Run.iter_metrics": lambda run: list(run.iter_metrics()),
    "Run.log": lambda run: run.log("loss", 3),
    "Run.log_metrics": lambda run: run.log_metrics({"loss": 4}),
    "Run.log_rows": lambda run: run.log_rows("table", [{"a": 2}]),
    "Run.rows": lambda run: run.rows("table"),
    "Run.tables": lambda run: run.tables(),
    "Run.metrics": lambda run: run.metrics(),
    "Run.summary": lambda run: run.summary(),
    "Run.config_changes": lambda run: run.config_changes(),
    "Run.tag": lambda run: run.tag("best"),
    "Run.update": lambda run: run.update(description="described"),
    "Run.update_config": lambda run: run.update_config({"lr": 0.1}),
    "TellurioClient.__enter__": lambda _run: te.TellurioClient.local().__enter__().close(),
    "TellurioClient.__exit__": lambda _run: te.TellurioClient.local().__exit__(None, None, None),
    "TellurioClient.close": lambda _run: te.TellurioClient.local().close(),
    "TellurioClient.local": lambda _run: te.TellurioClient.local(recover=False).close(),
    "TellurioClient.delete": lambda _run: default_client().delete(f"{RUNS}{uuid.uuid4()}/"),
    "TellurioClient.get": lambda _run: default_client().get(RUNS),
    "TellurioClient.patch": lambda run: default_client().patch(f"{RUNS}{run.uuid}/", {}),
    "TellurioClient.post": lambda _run: default_client().post(RUNS, {"name": "by hand"}),
    "TellurioClient.with_options": lambda _run: default_client().with_options().get(RUNS),
    "TellurioClient.login": lambda _run: default_client().login(),
}
#: Public calls that are not tested: `show` needs a notebook, and does what `Run.curve` does; the
#: others are afnio's and open no file.
NOT_TRIED = {"configure_logging", "show", "suppress_variable_notifications"}


def public_calls():
    names = {name for name in te.__all__ if inspect.isfunction(getattr(te, name))}
    listing = Path(__file__).parents[2] / "docs" / "public-api.txt"
    for line in listing.read_text().splitlines():
        words = line.removeprefix("async ").removeprefix("classmethod ")
        name = words.partition("(")[0]
        if "(" in words and name.startswith(("Run.", "TellurioClient.")):
            names.add(name)
    return names - {"Run.__init__", "TellurioClient.__init__", "TellurioClient.call"}


def test_every_public_call_is_among_those_that_are_tried():
    assert public_calls() - NOT_TRIED == set(CALLS)


@needs_proc_locks
@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_call_leaves_the_locks_of_the_database_alone(name, home, monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    run = te.init("acme", "Digits")
    run.log("loss", 0)
    run.flush()
    # The others would wait for it, or not find it.
    if "artifact" in name or "file" in name:
        run.log_artifact(b"1", "data", wait=True)
        run.log_file(__file__, "table.csv")
        run.files()
    if name in {"delete_run", "delete_project"}:
        te.create_project("acme", "Another")
        with te.init("acme", "Digits", "second"):
            pass
    before = [locks_on(path) for path in files_of(home / "tellurio.db")]
    assert before[0]
    assert before[2]
    CALLS[name](run)
    # The sender may be writing. A lock that was dropped does not come back.
    wait_until(lambda: [locks_on(path) for path in files_of(home / "tellurio.db")] == before)


def change_settings():
    for name, value in (("TELLURIO_QUIET", "1"), ("TELLURIO_EXIT_TIMEOUT", "7")):
        os.environ[name] = value
        te.get_project("acme", "digits")
        read_settings()


def open_in_vain(path):
    path.write_bytes(b"my diary, " * 500)
    with pytest.raises(te.DatabaseError):
        te.TellurioClient.local(path)


WAYS_OF_OPENING = {
    "a second client": lambda path: te.TellurioClient.local(path).close(),
    "a second backend": lambda path: open_backend(path, any_namespace=False).close(),
    "an existing database": lambda path: open_database(
        read_settings(), Path(path), create=False
    ).close(),
    "a symbolic link": lambda path: linked(path, os.symlink),
    "a hard link": lambda path: linked(path, os.link),
    "a relative path": lambda path: te.TellurioClient.local(os.path.relpath(path)).close(),
    "a changed setting": lambda _path: change_settings(),
    "a file that is not a database": lambda path: open_in_vain(path.with_name("diary")),
    "sync": lambda _path: te.sync(),
}


def linked(path, link):
    name = path.with_name("link.db")
    link(path, name)
    te.TellurioClient.local(name).close()


KILLED = """
import os, signal
import afnio_tellurio as te
te.init("acme", "Digits", "killed").log("loss", 1)
os.kill(os.getpid(), signal.SIGKILL)
"""


@needs_proc_locks
@pytest.mark.parametrize("way", sorted(WAYS_OF_OPENING))
def test_opening_and_closing_leaves_the_locks_of_the_database_alone(
    way, home, monkeypatch, start_python
):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    monkeypatch.setenv("TELLURIO_QUIET", "0")
    monkeypatch.setenv("TELLURIO_EXIT_TIMEOUT", "8")
    te.init("acme", "Digits").flush()
    before = [locks_on(path) for path in files_of(home / "tellurio.db")]
    assert before[0]
    if way == "sync":
        start_python("-c", KILLED).wait(timeout=GUARD)
        assert [each.status for each in te.sync()] == ["CRASHED"]
    WAYS_OF_OPENING[way](home / "tellurio.db")
    assert [locks_on(path) for path in files_of(home / "tellurio.db")] == before


def test_all_paths_of_a_file_share_what_is_open(database, tmp_path):
    # A client of another test may not be collected yet.
    open_before, pools_before = set(connections._connections), set(connections.pools)
    first = Database(database)
    os.symlink(database, tmp_path / "link.db")
    second = Database(tmp_path / "link.db")
    assert len(set(connections._connections) - open_before) == 1
    assert len(set(connections.pools) - pools_before) == 1
    first.close()
    with second.reading() as connection:
        connection.execute("SELECT 1")
    second.close()
    assert not set(connections._connections) - open_before
    assert not set(connections.pools) - pools_before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@needs_proc_locks
def test_a_forked_child_takes_locks_of_its_own(database):
    opened = Database(database)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with opened.reading():
                found = [len(locks_on(path)) for path in (database, f"{database}-shm")]
            os.write(writing, json.dumps(found).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        on_database, on_index = json.loads(file.read())
    os.waitpid(child, 0)
    assert on_database >= 1
    # One lock for using the index, and one for reading.
    assert on_index >= 2
    opened.close()


# Two processes, and every way of opening

WRITE = """
import os, subprocess, sys
import afnio_tellurio as te
name = sys.argv[1]
run = te.init("acme", "Digits", name)
for number in range(120):
    run.log("count", number, step=number)
    if number % 30 == 0:
        run.flush()
        with te.TellurioClient.local() as client:
            te.get_run("acme", "digits", run.uuid, client)
    if number % 30 == 10:
        te.sync()
    if number % 30 == 20:
        os.environ["TELLURIO_QUIET"] = str(number // 30 % 2)
        te.get_run("acme", "digits", name)
        run.metrics()
        subprocess.run([sys.executable, "-m", "afnio_tellurio.cli", "runs", "acme/digits"], check=True, stdout=subprocess.DEVNULL)
run.finish()
"""


def test_two_processes_that_open_the_database_in_every_way_lose_nothing(
    home, start_python, monkeypatch
):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    names = ["one", "two"]
    children = [start_python("-c", WRITE, name, TELLURIO_MODE="local") for name in names]
    for child in children:
        _out, err = child.communicate(timeout=GUARD)
        assert child.returncode == 0, err
    connection = sqlite3.connect(home / "tellurio.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    for name in names:
        (history,) = te.get_run("acme", "digits", name).metrics().values()
        assert history.steps == list(range(120))


# Files that are removed or replaced while in use


class Api:
    """A backend in this process."""

    def __init__(self, path):
        self.backend = open_backend(path, user=BackendUser("ada", "ada@example.com"))
        self.http = httpx.Client(
            base_url="http://embedded", transport=httpx.WSGITransport(app=self.backend)
        )

    def create_project(self, name):
        return self.http.post("/api/v0/acme/projects/", json={"display_name": name}).status_code

    def projects(self):
        answer = self.http.get("/api/v0/acme/projects/")
        assert answer.status_code == 200, answer.text
        return {project["display_name"] for project in answer.json()}


@pytest.fixture
def api(database):
    api = Api(database)
    assert api.create_project("First") == 201
    yield api
    api.http.close()
    api.backend.close()


def assert_sound(path, *names):
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    found = [name for (name,) in connection.execute("SELECT display_name FROM projects")]
    assert sorted(found) == sorted(names)
    connection.close()


def remove(database, suffixes=("", "-wal", "-shm")):
    for suffix in suffixes:
        os.unlink(f"{database}{suffix}")


def back_up(database, to):
    source, target = sqlite3.connect(database), sqlite3.connect(to)
    source.backup(target)
    source.close()
    target.close()


def test_a_database_that_is_removed_is_created_again(api, database):
    remove(database)
    assert api.create_project("Second") == 201
    assert api.projects() == {"Second"}
    assert_sound(database, "Second")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")
def test_a_folder_that_is_removed_is_created_again_for_its_owner_only(tmp_path):
    api = Api(tmp_path / "a" / "b" / "x.db")
    shutil.rmtree(tmp_path / "a")
    before = os.umask(0)
    try:
        assert api.create_project("Second") == 201
    finally:
        os.umask(before)
    for path in (tmp_path / "a", tmp_path / "a" / "b"):
        assert path.stat().st_mode & 0o777 == 0o700
    for path in files_of(tmp_path / "a" / "b" / "x.db"):
        assert path.stat().st_mode & 0o777 == 0o600
    api.http.close()
    api.backend.close()


def test_a_log_without_its_database_is_set_aside_and_not_lost(api, database, tmp_path, caplog):
    os.rename(database, tmp_path / "moved")
    assert api.create_project("Second") == 201
    assert_sound(database, "Second")
    (aside,) = tmp_path.glob("backend.db.*-wal")
    assert str(aside) in caplog.text
    # With its own name, next to its database, it is usable.
    os.rename(tmp_path / "moved", str(aside).removesuffix("-wal"))
    assert_sound(str(aside).removesuffix("-wal"), "First")


def test_a_process_that_finds_a_log_without_its_database_sets_it_aside(api, database, tmp_path):
    remove(database, [""])
    second = Api(database)
    assert second.create_project("Second") == 201
    assert list(tmp_path.glob("backend.db.*-wal"))
    assert api.create_project("Third") == 201
    assert api.projects() == second.projects() == {"Second", "Third"}
    assert_sound(database, "Second", "Third")
    second.http.close()
    second.backend.close()


def test_a_database_that_is_replaced_is_the_one_that_is_used(api, database, tmp_path):
    back_up(database, tmp_path / "copy")
    assert api.create_project("Second") == 201
    remove(database)
    os.rename(tmp_path / "copy", database)
    assert api.projects() == {"First"}
    assert api.create_project("Third") == 201
    assert_sound(database, "First", "Third")


def test_a_log_of_the_database_that_was_replaced_is_not_applied_to_the_new_one(
    api, database, tmp_path
):
    back_up(database, tmp_path / "copy")
    assert api.create_project("Second") == 201
    os.replace(tmp_path / "copy", database)
    assert api.projects() == {"First"}
    assert api.create_project("Third") == 201
    assert_sound(database, "First", "Third")


def test_a_symbolic_link_that_names_another_database_is_followed(database, tmp_path):
    link = tmp_path / "link.db"
    os.symlink(database, link)
    api = Api(link)
    assert api.create_project("First") == 201
    os.unlink(link)
    os.symlink(tmp_path / "other.db", link)
    assert api.create_project("Second") == 201
    api.http.close()
    api.backend.close()
    assert_sound(database, "First")
    assert_sound(tmp_path / "other.db", "Second")


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_a_log_that_is_removed_loses_nothing(suffix, api, database):
    remove(database, [suffix])
    assert api.create_project("Second") == 201
    assert api.projects() == {"First", "Second"}
    api.backend.close()
    assert_sound(database, "First", "Second")


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_what_went_to_a_file_that_is_gone_is_not_acknowledged(suffix, api, database, monkeypatch):
    commit = database_module._commit

    def commit_and_remove(connection):
        commit(connection)
        remove(database, [suffix])

    monkeypatch.setattr(database_module, "_commit", commit_and_remove)
    assert api.create_project("Second") == 503
    monkeypatch.setattr(database_module, "_commit", commit)
    status = api.create_project("Second")
    assert (status, "Second" in api.projects()) in {(201, True), (409, True), (400, True)}


@pytest.mark.parametrize("size", [0, 4096, 40960])
def test_a_truncated_database_acknowledges_nothing(size, api, database):
    os.truncate(database, size)
    assert api.create_project("Second") == 503
    answer = api.http.get("/api/v0/acme/projects/")
    assert answer.status_code == 503
    assert f"{database} was truncated" in answer.json()["detail"]
    # Moved away, it counts as removed.
    os.rename(database, f"{database}-damaged")
    assert api.create_project("Second") == 201
    assert_sound(database, "Second")


def test_a_database_that_vacuum_made_smaller_is_used_on(api, database):
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("CREATE TABLE large AS SELECT randomblob(1000000) x")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert api.projects() == {"First"}
    before = os.path.getsize(database)
    connection.execute("DROP TABLE large")
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    assert os.path.getsize(database) < before
    assert api.create_project("Second") == 201
    assert api.projects() == {"First", "Second"}


def test_a_database_that_must_exist_is_not_created(tmp_path):
    path = tmp_path / "a" / "x.db"
    for opening in (
        lambda: Database(path, create=False),
        lambda: open_backend(path, create=False),
        lambda: open_database(read_settings(), Path(path), create=False),
    ):
        with pytest.raises(te.DatabaseError, match=f"the database {path} does not exist"):
            opening()
    assert not path.parent.exists()


def test_a_relative_path_is_that_of_the_time_of_the_call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with te.TellurioClient.local("relative.db") as client:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        te.init("acme", "Digits", client=client).finish()
        assert not list((tmp_path / "elsewhere").iterdir())
        assert connection_of(client).address == str(tmp_path / "relative.db")


# What fails in other ways


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.mkdir(), "it isn't a regular file"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    ],
)
def test_what_cannot_be_a_database_is_named(database, make, words):
    make(database)
    with pytest.raises(te.DatabaseError, match=f"{database} cannot be opened: {words}"):
        Database(database)


def test_a_relative_path_in_a_directory_that_is_gone_is_an_error(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(te.DatabaseError, match="the working directory no longer exists"):
        Database(Path("x.db"))


def test_a_log_that_cannot_be_moved_away_is_named(api, database, monkeypatch):
    remove(database, [""])

    def fail(_path, _to):
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as disk:
        disk.setattr(database_files.os, "rename", fail)
        answer = api.http.get("/api/v0/acme/projects/")
        assert answer.status_code == 503
        assert f"{database}-wal cannot be opened: Read-only file system" in answer.json()["detail"]
    assert api.create_project("Second") == 201
    assert_sound(database, "Second")


def test_an_empty_log_without_its_database_is_removed(database, tmp_path):
    Path(f"{database}-wal").touch()
    api = Api(database)
    assert api.create_project("First") == 201
    assert not list(tmp_path.glob("backend.db.*"))
    api.http.close()
    api.backend.close()
    assert_sound(database, "First")


def test_an_index_without_its_log_is_removed(database):
    Database(database).close()
    Path(f"{database}-shm").write_bytes(b"of an earlier log")
    api = Api(database)
    assert api.create_project("First") == 201
    api.http.close()
    api.backend.close()
    assert_sound(database, "First")


@pytest.mark.parametrize("times", [1, 2])
def test_a_file_that_is_replaced_while_it_is_opened_is_opened_again(
    database, tmp_path, monkeypatch, times
):
    """An overlay file system does so once."""
    Database(database).close()
    prepare, replaced = database_module.prepare, []

    def prepare_and_replace(connection, path):
        prepare(connection, path)
        if len(replaced) < times:
            replaced.append(shutil.copy(database, tmp_path / "copy"))
            os.replace(tmp_path / "copy", database)

    monkeypatch.setattr(database_module, "prepare", prepare_and_replace)
    if times == 1:
        opened = Database(database)
        with opened.reading() as connection:
            assert connection.execute("SELECT count(*) FROM runs").fetchone() == (0,)
        opened.close()
    else:
        with pytest.raises(te.DatabaseError, match="was replaced while it was opened"):
            Database(database)


def test_a_file_system_without_shared_memory_gets_a_rollback_journal(database, monkeypatch, caplog):
    execute = connections.Connection.execute

    def refuse(connection, statement, *arguments):
        # As SQLite answers there.
        statement = statement.replace("journal_mode=WAL", "journal_mode=DELETE")
        return execute(connection, statement, *arguments)

    monkeypatch.setattr(connections.Connection, "execute", refuse)
    api = Api(database)
    assert api.create_project("First") == 201
    assert not Path(f"{database}-wal").exists()
    assert "SQLite's write-ahead log does not work here; using a rollback journal" in caplog.text
    api.http.close()
    api.backend.close()


@pytest.mark.parametrize(
    ("file_system", "is_local"),
    [(name, True) for name in ("ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk")]
    + [
        (name, False)
        for name in (
            "nfs4", "lustre", "ceph", "beegfs", "wekafs", "pvfs2", "9p", "virtiofs", "fuse.glusterfs",
            "fuse.juicefs", "fuse.blobfuse2", "a-future-one",
        )
    ],
)  # fmt: skip
@pytest.mark.parametrize("folder", ["/mnt/team", r"/mnt/team\040share", r"/mnt/back\134slash"])
def test_only_a_file_system_known_to_be_local_has_a_write_ahead_log(
    monkeypatch, caplog, file_system, is_local, folder
):
    mounts = f"/dev/vda / ext4 rw 0 0\nserver:/x {folder} {file_system} rw 0 0\n"
    monkeypatch.setattr(file_systems, "open", lambda *_, **__: io.StringIO(mounts), raising=False)
    path = folder.replace(r"\040", " ").replace(r"\134", "\\") + "/home/tellurio.db"
    assert database_files.is_on_network(path) is not is_local
    assert database_files.is_on_network("/home/tellurio.db") is False
    assert (f"{path} is on {file_system}, where" in caplog.text) is not is_local


def test_a_system_whose_mounts_are_unknown_is_no_network(database, monkeypatch):
    def fail(*_arguments, **_keywords):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(file_systems, "open", fail, raising=False)
    Database(database).close()
    assert database.exists()


def test_a_file_that_cannot_be_written_is_named(database, monkeypatch):
    Database(database).close()
    # Root may write everything.
    monkeypatch.setattr(database_files.os, "access", lambda *_, **__: False)
    monkeypatch.setattr(database_files.os, "supports_effective_ids", set())
    with pytest.raises(te.DatabaseError, match=f"{database} cannot be opened: Permission denied"):
        Database(database)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("kind", ["reading", "writing"])
def test_a_fork_within_a_transaction_leaves_it_to_the_parent(database, kind):
    opened = Database(database)
    reading, writing = os.pipe()
    child = None
    with contextlib.suppress(sqlite3.Error), getattr(opened, kind)() as connection:
        if kind == "writing":
            connection.execute("INSERT INTO namespaces VALUES (1, 'u', 's', 'd')")
        child = os.fork()
    if child == 0:
        try:
            with contextlib.suppress(te.DatabaseError, sqlite3.Error), opened.reading():
                os.write(writing, b"the child has opened it too")
            os.write(writing, b"the child is done")
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        assert file.read() == "the child is done"
    os.waitpid(child, 0)
    with opened.reading() as connection:
        count = connection.execute("SELECT count(*) FROM namespaces").fetchone()
        assert count == (1 if kind == "writing" else 0,)
    opened.close()
