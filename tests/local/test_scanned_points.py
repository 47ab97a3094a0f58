"""The files of scanned points: killed and concurrent processes, damage, full disks, old files."""

import errno
import hashlib
import json
import os
import shutil
import signal
import stat
import sys
import threading
import time

import pytest
from leftovers import close_default_clients

import afnio_tellurio as te
from afnio_tellurio.artifacts.cache import empty_cache
from afnio_tellurio.scanning import point_files, updating
from afnio_tellurio.settings.limits import CACHE_IN_USE_TIME

polars = pytest.importorskip("polars")


@pytest.fixture(autouse=True)
def local(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")


def log(name, steps=range(5), **options):
    with te.init("acme", "Digits", name, **options) as run:
        for step in steps:
            run.log_metrics({"loss": step / 2, "acc": step}, step=step)
    return run


def rows_of(frame):
    return sorted(frame.select("run", "run_uuid", "name", "step", "value").collect().rows())


def expected():
    return sorted(
        (run.name, run.uuid, name, step, float(value))
        for run in te.runs("acme", "digits")
        for name, history in run.metrics().items()
        for step, value in zip(history.steps, history.values, strict=True)
    )


def is_up_to_date():
    assert rows_of(te.scan("acme", "digits")) == expected()
    return True


def folder_of(home):
    (folder,) = (home / "cache").glob("points-*")
    return folder


def files_of(home):
    return sorted(folder_of(home).glob("*.parquet"))


def indexed(home):
    record = json.loads((folder_of(home) / "index.json").read_bytes())
    return [file["name"] for file in record["index"]["files"]]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_the_files_are_private(home):
    log("first")
    assert is_up_to_date()
    folder = folder_of(home)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3


def test_many_runs_are_in_few_files(home, monkeypatch):
    monkeypatch.setattr(updating, "FILE_ROWS", 40)
    monkeypatch.setattr(point_files, "FILE_ROWS", 40)
    for number in range(30):
        log(f"run-{number}")
        assert is_up_to_date()
        assert len(indexed(home)) <= 30 * 10 / 40 + updating._MAX_SMALL_FILES + 1
    shutil.rmtree(home / "cache")
    assert is_up_to_date()
    # At least 40 rows in each of them.
    assert len(indexed(home)) == 8


def test_a_long_run_is_written_in_groups(home, monkeypatch):
    monkeypatch.setattr(point_files, "_GROUP_ROWS", 7)
    log("first", range(50))
    log("second", range(50))
    assert is_up_to_date()
    te.delete_run("acme", "digits", "first")
    te.get_run("acme", "digits", "second").update("renamed")
    assert is_up_to_date()


def test_frames_stay_readable_for_an_hour(home):
    run = log("first")
    frame = te.scan("acme", "digits")
    before = rows_of(frame)
    (old,) = files_of(home)
    # Long after it was written.
    os.utime(old, (1, 1))
    run.update("renamed")
    assert is_up_to_date()
    assert rows_of(frame) == before
    assert old.name not in indexed(home)
    assert old in files_of(home)
    past = time.time() - CACHE_IN_USE_TIME - 1
    os.utime(old, (past, past))
    assert is_up_to_date()
    assert old not in files_of(home)
    assert [path.name for path in files_of(home)] == indexed(home)


DAMAGE = {
    "removed": lambda path: path.unlink(),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "changed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "foreign": lambda path: path.write_bytes(b"something else"),
    "empty": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("what", ["index.json", 0, 1])
def test_damaged_files_are_made_again(home, how, what):
    log("first")
    log("second")
    assert is_up_to_date()
    log("second", range(5, 9), resume="must")
    assert is_up_to_date()
    names = indexed(home)
    assert len(names) == 2
    path = folder_of(home) / (what if isinstance(what, str) else names[what])
    DAMAGE[how](path)
    assert is_up_to_date()
    assert is_up_to_date()


@pytest.mark.parametrize(
    "change",
    [
        lambda index: index["files"][0].update(name="../other.parquet"),
        lambda index: index.update(format=2, files=[]),
        lambda index: index["files"][0].update(rows="many"),
        lambda index: index["files"][0].update(size=1),
    ],
)
def test_an_index_that_is_not_ours_is_made_again(home, change):
    log("first")
    assert is_up_to_date()
    (file,) = files_of(home)
    shutil.copy2(file, home / "cache" / "other.parquet")
    edit_index(home, change)
    assert is_up_to_date()
    assert set(indexed(home)) <= {path.name for path in files_of(home)}


def test_an_index_with_another_digest_is_made_again(home):
    log("first")
    assert is_up_to_date()
    path = folder_of(home) / "index.json"
    record = json.loads(path.read_bytes())
    record["index"]["files"] = []
    path.write_text(json.dumps(record, separators=(",", ":")))
    assert is_up_to_date()


def test_a_copy_of_the_folder_is_used(home, monkeypatch):
    log("first")
    assert is_up_to_date()
    folder = folder_of(home)
    shutil.copytree(folder, home / "copy", copy_function=shutil.copyfile)
    shutil.rmtree(folder)
    (home / "copy").rename(folder)
    monkeypatch.setattr(updating, "list_metrics", None)
    assert is_up_to_date()


def test_other_files_in_the_folder_stay(home):
    log("first")
    assert is_up_to_date()
    (folder_of(home) / "notes.txt").write_text("mine")
    (folder_of(home) / "other.parquet").write_text("mine")
    assert is_up_to_date()
    assert (folder_of(home) / "notes.txt").exists()
    assert (folder_of(home) / "other.parquet").exists()


def test_a_backend_that_was_restored_from_a_backup(home, tmp_path):
    log("first")
    assert is_up_to_date()
    close_default_clients()
    shutil.copy(home / "tellurio.db", tmp_path / "backup.db")
    log("first", range(5, 9), resume="must")
    log("second")
    assert is_up_to_date()
    close_default_clients()
    shutil.copy(tmp_path / "backup.db", home / "tellurio.db")
    assert {name for name, *_ in rows_of(te.scan("acme", "digits"))} == {"first"}
    assert is_up_to_date()


def test_the_cache_can_be_emptied(home):
    log("first")
    assert is_up_to_date()
    size = sum(path.stat().st_size for path in folder_of(home).iterdir())
    assert empty_cache(home / "cache", dry_run=True) == (3, size)
    empty_cache(home / "cache")
    assert list(folder_of(home).iterdir()) == []
    assert is_up_to_date()


def test_a_run_that_is_deleted_while_it_is_read(home, monkeypatch):
    log("first")
    second = log("second")
    assert is_up_to_date()
    for run in ("first", "second"):
        log(run, range(5, 9), resume="must")
    real = updating.list_metrics

    def list_metrics(connection, path, **options):
        if path.run_uuid == second.uuid:
            yield from real(connection, path, **options)
            te.delete_run("acme", "digits", second.uuid)
        yield from real(connection, path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(updating, "list_metrics", list_metrics)
        assert {name for name, *_ in rows_of(te.scan("acme", "digits"))} == {"first"}
    assert is_up_to_date()
    te.restore_run("acme", "digits", second.uuid)
    assert is_up_to_date()


def test_an_update_that_ends_after_a_run_was_deleted_while_it_was_read(home, monkeypatch):
    second = log("second")
    log("first")
    assert is_up_to_date()
    for run in ("first", "second"):
        log(run, range(5, 9), resume="must")
    real = updating.list_metrics

    def list_metrics(connection, path, **options):
        if path.run_uuid == second.uuid:
            yield from real(connection, path, **options)
            te.delete_run("acme", "digits", second.uuid)
        yield from real(connection, path, **options)

    def rewrite(*_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(updating, "list_metrics", list_metrics)
        patch.setattr(updating, "rewrite", rewrite)
        with pytest.raises(OSError, match="scan: the points cannot be written"):
            te.scan("acme", "digits")
    te.restore_run("acme", "digits", second.uuid)
    assert is_up_to_date()


def edit_index(home, change):
    """Changes the index, which stays whole."""
    path = folder_of(home) / "index.json"
    record = json.loads(path.read_bytes())
    change(record["index"])
    index = json.dumps(record["index"], separators=(",", ":")).encode()
    digest = hashlib.sha256(index).hexdigest()
    path.write_bytes(b'{"index":%s,"sha256":"%s"}' % (index, digest.encode()))


def test_a_run_that_was_created_again_with_its_uuid(home, monkeypatch):
    run = log("first")
    assert is_up_to_date()
    edit_index(home, lambda index: index["runs"][run.uuid].update(created=1))
    asked = []
    real = updating.list_metrics

    def list_metrics(connection, path, **options):
        asked.append(path.run_uuid)
        return real(connection, path, **options)

    monkeypatch.setattr(updating, "list_metrics", list_metrics)
    assert is_up_to_date()
    assert is_up_to_date()
    assert asked == [run.uuid]


def test_databases_do_not_mix(home, tmp_path):
    log("first")
    assert is_up_to_date()
    with te.TellurioClient.local(tmp_path / "other.db") as client:
        with te.init("acme", "Digits", "other", client=client) as run:
            run.log("loss", 1.0)
        frame = te.scan("acme", "digits", client)
        assert frame.collect()["run_uuid"].to_list() == [run.uuid]
    assert is_up_to_date()
    assert len(list((home / "cache").glob("points-*"))) == 2


def test_threads_at_once(home):
    for number in range(5):
        log(f"run-{number}")
    frames = []
    threads = [
        threading.Thread(target=lambda: frames.append(te.scan("acme", "digits"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [rows_of(frame) for frame in frames] == [expected()] * 4
    assert len(files_of(home)) == 1


SCANNING = """
import sys
import afnio_tellurio as te
print("ready", flush=True)
sys.stdin.readline()
for _ in range(5):
    frame = te.scan("acme", "digits").collect()
    print(frame.height, frame["value"].sum(), flush=True)
"""


def test_processes_at_once(home, start_python):
    for number in range(20):
        log(f"run-{number}")
    children = [start_python("-c", SCANNING, stdin=True) for _ in range(3)]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    total = sum(value for *_, value in expected())
    for child in children:
        out, err = child.communicate()
        assert (child.returncode, out) == (0, f"200 {total}\n" * 5), err
    assert is_up_to_date()
    assert len(files_of(home)) == 1


KILLED = """
import os, signal, sys
import afnio_tellurio as te
from afnio_tellurio.scanning import point_files, updating

point_files.FILE_ROWS = updating.FILE_ROWS = 25
point_files._GROUP_ROWS = 10
updating._MAX_SMALL_FILES = 1
left = {left}
EVENTS = {{"open", "os.rename", "os.remove", "os.utime", "os.scandir", "fcntl.flock"}}

def hook(event, arguments):
    global left
    is_ours = event == "fcntl.flock" or any(
        "points-" in os.fsdecode(each) for each in arguments if isinstance(each, str | bytes | os.PathLike)
    )
    if event in EVENTS and is_ours:
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

te.get_project("acme", "digits")
sys.addaudithook(hook)
te.scan("acme", "digits")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_process_that_is_killed_at_any_moment(home, run_python):
    """Kills it before each of its accesses to the folder, with something of everything to do."""
    for number in range(6):
        log(f"run-{number}")
    assert is_up_to_date()
    te.delete_run("acme", "digits", "run-0")
    te.get_run("acme", "digits", "run-1").update("renamed")
    log("run-2", range(5, 9), resume="must")
    log("run-3", [2, 7], resume="must")
    log("run-6", range(30))
    log("run-7")
    close_default_clients()
    shutil.copytree(home / "cache", home / "before")
    left, status = 0, -signal.SIGKILL
    while status == -signal.SIGKILL:
        shutil.rmtree(home / "cache")
        shutil.copytree(home / "before", home / "cache")
        result = run_python(KILLED.format(left=left))
        status = result.returncode
        assert is_up_to_date(), left
        left += 1
    assert status == 0, result.stderr
    assert left > 20


FULL = """
import resource
import afnio_tellurio as te

te.get_project("acme", "digits")
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, hard))
try:
    te.scan("acme", "digits")
except OSError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
print(te.scan("acme", "digits").collect().height)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of files")
@pytest.mark.parametrize("size", [0, 2000])
def test_a_full_disk(home, run_python, size):
    log("first", range(200))
    result = run_python(FULL.format(size=size))
    assert result.returncode == 0, result.stderr
    problem, height = result.stdout.splitlines()
    assert problem.endswith(
        f"scan: the points cannot be written (File too large): '{folder_of(home)}'"
    )
    assert height == "400"
    assert len(files_of(home)) == 1


WITHOUT_PACKAGE = """
import sys
sys.modules[{package!r}] = None
import afnio_tellurio as te
try:
    te.scan("acme", "digits")
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize("package", ["polars", "pyarrow"])
def test_what_to_install(run_python, package):
    assert run_python(WITHOUT_PACKAGE.format(package=package)).stdout.endswith(
        f"install it with: pip install {package}\n"
    )
