"""Files go through a journal of their own: each upload arrives exactly once, whatever happens."""

import hashlib
import os
import signal
import threading
import time

import pytest
from children import GUARD, complaints
from leftovers import close_default_clients

import afnio_tellurio as te
from afnio_tellurio.api import artifact_operations
from afnio_tellurio.delivery.senders import outboxes

#: More than one request of small blobs, a blob of its own, and an upload in parts.
SIZES = (5, 20_000, 3 * 2**20, 5 * 2**20, 17 * 2**20)
LOGS_ONE_BY_ONE = """
import hashlib, os, sys
import afnio_tellurio as te
seen = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
folder = sys.argv[2]
run = te.init("acme", "Digits", sys.argv[3])
print(run.uuid, flush=True)
for number in range(10_000):
    for size in (10, 30_000, 300_000):
        with open(os.path.join(folder, f"{size}.bin"), "wb") as file:
            file.write(f"{sys.argv[3]} {number} {size} ".encode() * (size // 10))
    run.log_artifact(folder, "model", aliases=["last"])
    run.log_text("notes", f"{number}")
    os.write(seen, b"x")
"""
DIES = """
import os, sys
import afnio_tellurio as te
run = te.init("acme", "Digits", "died")
run.log("loss", 1.0)
artifact = run.log_artifact(sys.argv[1], "model", aliases=["best"], metadata={"epoch": 3})
artifact.alias("late")
run.log_text("notes", "first")
run.log_text("notes", "second")
os._exit(1)
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with files of all the ways to send them."""
    folder = tmp_path / "model"
    for number, size in enumerate(SIZES):
        path = folder / str(number % 2) / f"{size}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(hashlib.sha256(str(size).encode()).digest() * (size // 32 + 1))
    return folder


def content_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def expect_version(folder, tmp_path, name="model:v0"):
    artifact = te.get_artifact(f"acme/digits/{name}")
    assert content_of(artifact.download(tmp_path / "downloaded")) == content_of(folder)
    return artifact


def leftovers(home):
    return [path for path in home.rglob("*") if path.is_dir() and path.name.endswith(".files")]


def hold_files(proxy):
    """The backend answers nothing that files need."""
    proxy.fault = lambda _method, path: (
        "html" if any(word in path for word in ("/blobs/", "/uploads/", "/artifacts/")) else None
    )


@pytest.mark.parametrize("fault", ["drop", "reset", "cut", "html", "busy", "truncated", "520"])
def test_each_request_may_fail_once(proxy, fault, folder, tmp_path, home):
    failed = set()

    def kind_of(path):
        parts = path.partition("/projects/digits/")[2].strip("/").split("/")
        return parts[-1 if parts[0] == "runs" else 0]

    def fail_once(method, path):
        is_of_files = kind_of(path) in {"blobs", "uploads", "artifacts", "files"}
        if is_of_files and (method, path) not in failed:
            failed.add((method, path))
            return fault
        return None

    proxy.fault = fail_once
    with te.init("acme", "Digits") as run:
        run.log_artifact(folder, "model", aliases=["best"])
        for text in ("first", "second"):
            run.log_text("notes", text)
    assert set(map(kind_of, dict.fromkeys(path for _method, path in failed))) == {
        "blobs",
        "uploads",
        "artifacts",
        "files",
    }
    proxy.fault = lambda *_: None
    assert [file.step for file in run.files("notes")] == [0, 1]
    assert run.open_file("notes", 0).read() == b"first"
    artifact = expect_version(folder, tmp_path)
    assert artifact.aliases == ("best", "latest")
    assert len(te.list_artifact_versions("acme", "digits", "model")) == 1
    assert not leftovers(home)


def test_the_files_of_a_killed_process_are_delivered_once(
    proxy, start_python, folder, tmp_path, journals, home
):
    hold_files(proxy)
    child = start_python("-c", DIES, str(folder), may_depart=("answer",))
    _out, err = child.communicate(timeout=GUARD)
    assert child.returncode == 1, err
    expected = content_of(folder)
    for path in sorted(folder.rglob("*.bin")):
        # The copy counts, not what the file has become.
        path.write_bytes(b"other")
    proxy.fault = lambda *_: None
    assert {done.problem for done in te.sync()} == {None}
    artifact = te.get_artifact("acme/digits/model:late")
    assert content_of(artifact.download(tmp_path / "downloaded")) == expected
    assert (artifact.version, artifact.aliases) == ("v0", ("best", "late", "latest"))
    assert artifact.metadata == {"epoch": 3}
    run = te.get_run("acme", "Digits", "died")
    assert run.status is te.RunStatus.CRASHED
    assert [(file.path, file.step) for file in run.files()] == [("notes", 0), ("notes", 1)]
    assert run.open_file("notes").read() == b"second"
    assert artifact.producer.run_name == "died"
    assert not journals()
    assert not leftovers(home)


@pytest.mark.parametrize("backend", ["in process", "over HTTP"], indirect=True)
def test_sigkill_at_many_moments_loses_and_doubles_nothing(
    backend, start_python, tmp_path, journals, home, pytestconfig
):
    counts = range(30) if pytestconfig.getoption("--long") else (0, 1, 3)
    children = []
    for count in counts:
        name, folder = f"killed-{count}", tmp_path / f"folder-{count}"
        folder.mkdir()
        seen = tmp_path / name
        child = start_python("-c", LOGS_ONE_BY_ONE, str(seen), str(folder), name)
        assert child.stdout.readline(), child.stderr.read()
        deadline = time.monotonic() + GUARD
        while not seen.exists() or seen.stat().st_size < count:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        child.send_signal(signal.SIGKILL)
        child.wait()
        children.append((name, seen))
    close_default_clients()
    assert {done.problem for done in te.sync()} <= {None}
    versions = {
        version.uuid if hasattr(version, "uuid") else version.version: version
        for version in te.list_artifact_versions("acme", "digits", "model")
    }
    digests = [version.digest for version in versions.values()]
    assert len(digests) == len(set(digests))
    for name, seen in children:
        logged = seen.stat().st_size
        run = te.get_run("acme", "Digits", name)
        # The last calls may have been in progress.
        texts = [run.open_file("notes", file.step).read() for file in run.files("notes")]
        assert texts == [str(number).encode() for number in range(len(texts))]
        assert len(texts) in (logged, logged + 1)
        outputs = [link.version for link in run.outputs()]
        assert len(outputs) == len(set(outputs))
        assert len(outputs) in (logged, logged + 1)
    for version in versions.values():
        version.verify()
    assert not journals()
    assert not leftovers(home)


def test_metrics_do_not_wait_for_files(proxy, folder):
    proxy.fault = lambda _method, path: "hang" if "/blobs/" in path else None
    run = te.init("acme", "Digits")
    artifact = run.log_artifact(folder, "model")
    deadline = time.monotonic() + GUARD
    while not proxy.counts["hang"]:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    run.log("loss", 0.5)
    assert run.metrics("loss").values == [0.5]
    assert artifact.version is None
    # A thread of their own: else the metric would be delivered when the request times out.
    assert len({outbox.waker for outbox in outboxes()}) == len(outboxes()) == 2
    proxy.released.set()
    assert artifact.wait().version == "v0"
    run.finish()


def refuse_files(proxy):
    """The backend does not have the operations on files, so nobody waits for them."""
    proxy.fault = lambda _method, path: (405, b"{}") if "/blobs/" in path else None


def test_the_run_ends_although_its_files_are_not_delivered(proxy, folder, tmp_path):
    refuse_files(proxy)
    run = te.init("acme", "Digits")
    run.log_artifact(folder, "model")
    with pytest.raises(te.DeliveryError, match=r"5 files \(26\.2 MB\) wait in"):
        run.finish()
    assert run.status is te.RunStatus.COMPLETED
    proxy.fault = lambda *_: None
    assert te.get_run("acme", "Digits", run.uuid).status is te.RunStatus.COMPLETED
    receipt = run.finish()
    assert (receipt.files, receipt.waiting_files, receipt.waiting_bytes) == (5, 0, 0)
    expect_version(folder, tmp_path)


def test_one_file_waits(proxy):
    refuse_files(proxy)
    run = te.init("acme", "Digits")
    run.log_text("notes", "words")
    with pytest.raises(te.DeliveryError, match=r"1 file \(5 B\) waits in"):
        run.finish()
    proxy.fault = lambda *_: None
    run.finish()


def test_the_run_ends_while_its_files_are_being_sent(proxy, folder, tmp_path):
    proxy.fault = lambda _method, path: "hang" if "/blobs/" in path else None
    run = te.init("acme", "Digits")
    run.log_artifact(folder, "model")
    ending = threading.Thread(target=run.finish)
    ending.start()
    deadline = time.monotonic() + GUARD
    while te.get_run("acme", "Digits", run.uuid).status is te.RunStatus.RUNNING:
        assert time.monotonic() < deadline
    assert ending.is_alive()
    proxy.released.set()
    ending.join()
    expect_version(folder, tmp_path)


def test_what_is_not_delivered_at_the_exit_waits_for_sync(
    proxy, start_python, folder, tmp_path, journals
):
    refuse_files(proxy)
    program = """
import sys
import afnio_tellurio as te
with te.init("acme", "Digits", "left") as run:
    run.log_artifact(sys.argv[1], "model")
"""
    child = start_python("-c", program, str(folder), may_depart=("answer",))
    _out, err = child.communicate(timeout=GUARD)
    assert child.returncode == 0, err
    assert complaints(err).count("5 files (26.2 MB) wait in") == 1
    assert "deliver with: afnio-tellurio sync" in complaints(err)
    proxy.fault = lambda *_: None
    assert te.get_run("acme", "Digits", "left").status is te.RunStatus.COMPLETED
    assert len(journals()) == 1
    assert {done.problem for done in te.sync()} == {None}
    expect_version(folder, tmp_path)


def test_a_refused_upload_is_told_and_others_go_on(server, caplog):
    run = te.init("acme", "Digits")
    run.log_artifact(b"1", "model", type="model").wait()
    refused = run.log_artifact(b"2", "model", type="dataset")
    accepted = run.log_artifact(b"3", "model", type="model")
    assert accepted.wait().version == "v1"
    with pytest.raises(te.TellurioError, match="wait: artifact 'model' was not recorded: .*type"):
        refused.wait()
    receipt = run.finish()
    assert (receipt.files, receipt.rejected_files) == (2, 1)
    assert "a version of artifact 'model' was not recorded" in caplog.text


def test_a_file_in_place_must_not_change(proxy, tmp_path, caplog):
    file = tmp_path / "large.bin"
    file.write_bytes(b"a" * 100_000)
    hold_files(proxy)
    run = te.init("acme", "Digits")
    artifact = run.log_artifact(file, "large", capture="in-place")
    file.write_bytes(b"b" * 100_000)
    proxy.fault = lambda *_: None
    with pytest.raises(te.TellurioError, match="was changed, moved or removed"):
        artifact.wait()
    assert run.finish().rejected_files == 1
    assert "was changed, moved or removed" in caplog.text
    with pytest.raises(te.NotFoundError):
        te.get_artifact("acme/digits/large")


def test_a_blob_that_vanishes_from_the_backend_is_sent_again(server, folder, tmp_path, monkeypatch):
    create = artifact_operations.create_artifact_version
    answers = iter(
        [[hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.bin")]]
    )
    sent = []
    put = artifact_operations.put_blobs

    def record(*arguments):
        sent.append(arguments)
        return put(*arguments)

    def lose_once(*arguments, **keywords):
        missing = next(answers, None)
        if missing is None:
            return create(*arguments, **keywords)
        error = te.ConflictError.__new__(te.ConflictError)
        error.code = "blobs_missing"
        error.response = type("Response", (), {"json": lambda _self: {"missing": missing}})()
        raise error

    monkeypatch.setattr(artifact_operations, "create_artifact_version", lose_once)
    monkeypatch.setattr(artifact_operations, "put_blobs", record)
    with te.init("acme", "Digits") as run:
        run.log_artifact(folder, "model")
    assert len(sent) == 2
    expect_version(folder, tmp_path)


def test_a_backend_without_artifacts_keeps_them_waiting(
    proxy, folder, tmp_path, caplog, monkeypatch, journals
):
    missing = 404, b'{"detail": "Not found."}'
    proxy.fault = lambda _method, path: missing if "/blobs/" in path else None
    run = te.init("acme", "Digits", "old")
    run.log("loss", 0.5)
    run.log_artifact(folder, "model")
    with pytest.raises(te.DeliveryError, match="the backend does not support artifacts"):
        run.finish()
    assert "files wait in" in caplog.text
    proxy.fault = lambda *_: None
    found = te.get_run("acme", "Digits", "old")
    assert found.metrics("loss").values == [0.5]
    for outbox in outboxes():
        outbox.transfer.hurry()
        outbox.waker.wake()
    assert run.finish().files == 5
    expect_version(folder, tmp_path)
    assert not journals()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_logs_files_of_its_own(server, start_python):
    program = """
import os
import afnio_tellurio as te
run = te.init("acme", "Digits", "forked")
run.log_artifact(b"parent", "model").wait()
child = os.fork()
if not child:
    run.log_artifact(b"child", "model", aliases=["child"])
    run.flush()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
run.finish()
"""
    child = start_python("-c", program)
    _out, err = child.communicate(timeout=GUARD)
    assert (child.returncode, complaints(err)) == (0, "")
    assert te.get_artifact("acme/digits/model:child").read_bytes("model") == b"child"
    run = te.get_run("acme", "Digits", "forked")
    assert [link.version for link in run.outputs()] == ["v0", "v1"]


def test_threads_log_at_the_same_time(server):
    run = te.init("acme", "Digits")

    def log(number):
        for part in range(5):
            run.log_artifact(f"{number} {part}".encode(), f"model-{number}")
            run.log_text("notes", f"{number} {part}")

    threads = [threading.Thread(target=log, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run.finish().files == 40
    for number in range(4):
        versions = te.list_artifact_versions("acme", "digits", f"model-{number}")
        contents = [version.read_bytes(f"model-{number}") for version in reversed(versions)]
        assert contents == [f"{number} {part}".encode() for part in range(5)]
    assert len(run.files("notes")) == 20


def test_a_line_that_is_damaged_while_the_run_is_open_is_told(proxy, folder, journals, caplog):
    hold_files(proxy)
    run = te.init("acme", "Digits")
    run.log_artifact(folder, "model", metadata={"n": 1})
    run.log_text("notes", "words")
    (path,) = [path for path in journals() if path.with_suffix(".files").exists()]
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(content.index(b'"metadata"'))
        file.write(b'"metadatA"')
    proxy.fault = lambda *_: None
    run.finish()
    assert "the record of 5 files in" in caplog.text
    assert path.with_suffix(".files").exists()
    assert run.open_file("notes").read() == b"words"


def test_a_damaged_line_of_an_upload_is_told(proxy, start_python, folder, tmp_path, journals):
    hold_files(proxy)
    child = start_python("-c", DIES, str(folder), may_depart=("answer",))
    child.communicate(timeout=GUARD)
    proxy.fault = lambda *_: None
    (path,) = [path for path in journals() if path.with_suffix(".files").exists()]
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"metadata"', b'"metadatum"', 1))
    problems = {done.problem for done in te.sync()} - {None}
    assert len(problems) == 1
    assert "5 files" in problems.pop()
    assert path.exists()
    assert te.get_run("acme", "Digits", "died").open_file("notes").read() == b"second"


def test_the_folder_of_the_sdk_itself_is_left_out(server, home):
    (home.parent / "other.txt").write_text("other")
    with te.init("acme", "Digits") as run:
        (home / "mine.txt").write_text("mine")
        artifact = run.log_artifact(
            home.parent, "all", include=["*.txt", "*.db"], exclude=["server/"]
        )
        assert [file.path for file in artifact.files] == ["other.txt"]
        with pytest.raises(ValueError, match="which has API keys"):
            run.log_artifact(home / "mine.txt")
        with pytest.raises(ValueError, match="which has API keys"):
            run.log_file(home / "mine.txt")
    assert len(te.list_artifacts("acme", "digits")) == 1


def test_files_that_are_elsewhere_for_a_while_are_not_refused(proxy, home, folder, tmp_path):
    hold_files(proxy)
    run = te.init("acme", "Digits")
    artifact = run.log_artifact(folder, "model")
    (files,) = leftovers(home)
    files.rename(tmp_path / "away")
    proxy.fault = lambda *_: None
    (outbox,) = [outbox for outbox in outboxes() if outbox.lane == "files"]
    deadline = time.monotonic() + GUARD
    while "the files to upload cannot be read" not in str(outbox.transfer.last_error):
        assert time.monotonic() < deadline
        outbox.transfer.hurry()
        outbox.waker.wake()
    assert outbox.receipt().waiting_files == 5
    (tmp_path / "away").rename(files)
    assert artifact.wait().version == "v0"
    assert run.finish().files == 5
    expect_version(folder, tmp_path)


@pytest.mark.parametrize("backend", ["in process", "over HTTP"], indirect=True)
def test_a_run_that_delivered_its_files_leaves_no_journal(backend, journals, home):
    for _ in range(5):
        with te.init("acme", "Digits") as run:
            run.log_text("notes", "words")
        assert not journals()
        assert not leftovers(home)


def test_arguments_that_a_source_does_not_use_are_refused(server, folder):
    run = te.init("acme", "Digits")
    built = te.Artifact("built", "data").add_text("words", "a.txt")
    with pytest.raises(ValueError, match="metadata cannot be passed with an Artifact"):
        run.log_artifact(built, metadata={"n": 1})
    with pytest.raises(ValueError, match="include cannot be passed with bytes"):
        run.log_artifact(b"1", "bytes", include=["*"])
    with pytest.raises(ValueError, match="exclude cannot be passed with a file"):
        run.log_artifact(folder / "0" / "5.bin", "file", exclude=["*"])
    for source in ("", [""]):
        with pytest.raises(ValueError, match="source is an empty path"):
            run.log_artifact(source, "everything")
    with pytest.raises(ValueError, match="keep is 9223372036854775808; it must be up to"):
        run.log_artifact(b"1", "bytes", keep=2**63)
    run.finish()
    with pytest.raises(te.NotFoundError):
        te.list_artifact_versions("acme", "digits", "bytes")
