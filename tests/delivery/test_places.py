"""Journals and their database after their folder was moved, and files that cannot be read."""

import json
import os
import shutil
import tempfile
import uuid
from pathlib import Path

import pytest

import afnio_tellurio as te
from afnio_tellurio.cli import main
from afnio_tellurio.delivery.journal_file import JournalFile
from afnio_tellurio.delivery.journal_writing import write_journal
from afnio_tellurio.delivery.records import End, Header, record_line
from afnio_tellurio.delivery.recovery import deliver_journals, list_orphans

KILLED = """
import os
import afnio_tellurio as te
run = te.init("acme", "Digits", "died")
run.flush()
for number in range(10):
    run.log("count", number)
os.kill(os.getpid(), 9)
"""


@pytest.fixture(autouse=True)
def local(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")


@pytest.fixture
def killed(run_python, home):
    """Kills a process that logs, and returns the path of its journal."""

    def kill(program=KILLED, **variables):
        finished = run_python(program, **variables)
        assert finished.returncode == -9, finished.stderr
        (path,) = (Path(variables.get("TELLURIO_HOME", home)) / "journals").glob("*.ndjson")
        return path

    return kill


def name_in(path, backend=None):
    """The backend's name in a journal; if `backend` is passed, it is written first."""
    journal = JournalFile.open(path)
    header = journal.header
    journal.close()
    if backend is not None:
        old = record_line(header) * 2
        content = path.read_bytes()
        assert content.startswith(old)
        fields = json.loads(record_line(header)[len('["00000000",') : -2])
        new = record_line({**fields, "backend": backend}) * 2
        path.write_bytes(new + content.removeprefix(old))
        # Positions count from the start of the file.
        path.with_suffix(".ack").unlink(missing_ok=True)
    return header.backend


def recorded():
    (run,) = te.runs("acme", "Digits")
    return run.status, run.metrics("count").values


def test_a_journal_names_a_database_beside_it_relative_to_the_folder_of_both(killed):
    assert name_in(killed()) == "tellurio.db"


def test_a_database_elsewhere_is_named_by_its_path(killed, tmp_path, capsys):
    elsewhere = tmp_path / "elsewhere" / "runs.db"
    path = killed(
        KILLED.replace('"died")', f'"died", client=te.TellurioClient.local({str(elsewhere)!r}))')
    )
    assert name_in(path) == str(elsewhere.resolve())
    assert main(["sync"]) == 0
    assert "died: 10 values uploaded, closed as CRASHED" in capsys.readouterr().out
    with te.TellurioClient.local(elsewhere) as client:
        (run,) = te.runs("acme", "Digits", client)
        assert run.metrics("count").values == list(range(10))


@pytest.mark.parametrize("of_earlier_version", [False, True])
@pytest.mark.parametrize("by", ["sync", "init"])
def test_after_the_home_was_moved_its_journals_are_delivered(
    killed, home, tmp_path, monkeypatch, of_earlier_version, by
):
    path = killed()
    if of_earlier_version:
        name_in(path, str(home.resolve() / "tellurio.db"))
    moved = tmp_path / "moved"
    home.rename(moved)
    monkeypatch.setenv("TELLURIO_HOME", str(moved))
    if by == "sync":
        (done,) = te.sync()
        assert (done.delivered, done.status, done.problem) == (10, "CRASHED", None)
    assert recorded() == (te.RunStatus.CRASHED, list(range(10)))
    assert not home.exists(), "nothing is made at the old place"
    assert list((moved / "journals").iterdir()) == []


def test_a_copy_of_an_earlier_home_goes_to_the_database_that_its_journals_name(
    killed, home, tmp_path, monkeypatch
):
    path = killed()
    name_in(path, str(home.resolve() / "tellurio.db"))
    copied = tmp_path / "copied"
    shutil.copytree(home, copied)
    monkeypatch.setenv("TELLURIO_HOME", str(copied))
    assert te.sync()[0].delivered == 10
    monkeypatch.setenv("TELLURIO_HOME", str(home))
    te.sync()
    assert recorded() == (te.RunStatus.CRASHED, list(range(10)))


def test_a_database_that_is_gone_is_a_problem_and_is_not_made(killed, home, capsys):
    path = killed()
    for part in home.glob("tellurio.db*"):
        part.unlink()
    assert main(["sync"]) == 1
    err = capsys.readouterr().err
    assert f"the database {home.resolve() / 'tellurio.db'} does not exist; put it back" in err
    assert list(home.glob("tellurio.db*")) == []
    assert path.exists()


def test_a_run_creates_a_database_that_is_gone_and_the_journal_is_delivered_to_it(
    killed, home, capsys
):
    killed()
    for part in home.glob("tellurio.db*"):
        part.rename(home / f"damaged-{part.name}")
    assert main(["sync"]) == 1
    assert "start a run, which creates a new one" in capsys.readouterr().err
    te.init("acme", "Other", "next").finish()
    te.sync()
    assert recorded() == (te.RunStatus.CRASHED, list(range(10)))


@pytest.mark.skipif(
    os.name == "nt" or os.geteuid() != 0, reason="only root can become another user"
)
@pytest.mark.parametrize("unreadable", ["journal", "folder", "home"])
def test_what_sync_cannot_open_is_said(killed, run_python, unreadable):
    # Only the user of a test can access its folders.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        home = Path(folder) / "home"
        path = killed(TELLURIO_HOME=str(home))
        if unreadable != "home":
            home.chmod(0o777)
        if unreadable == "journal":
            path.parent.chmod(0o777)
        finished = run_python(
            """
            import os, sys
            import afnio_tellurio as te
            from afnio_tellurio.cli import main
            from afnio_tellurio.delivery import recovery
            from afnio_tellurio.settings.settings import read_settings
            # Another user cannot read what is imported.
            os.environ["TELLURIO_HOME"] += "-empty"
            assert main(["sync"]) == 0
            os.environ["TELLURIO_HOME"] = os.environ["TELLURIO_HOME"].removesuffix("-empty")
            os.setgroups([]), os.setgid(65534), os.setuid(65534)
            print("orphans", list(recovery.list_orphans(read_settings().journals)))
            sys.exit(main(["sync"]))
            """,
            TELLURIO_HOME=str(home),
            HOME=folder,
            XDG_CONFIG_HOME=f"{folder}/config",
        )
    named = path if unreadable == "journal" else path.parent
    assert (finished.returncode, finished.stdout) == (
        1,
        "Nothing to sync.\norphans []\n",
    ), finished.stderr
    assert finished.stderr.startswith(f"{named}: cannot be opened: Permission denied; ")


@pytest.mark.parametrize("kind", ["link to itself", "not a journal"])
def test_what_cannot_be_delivered_is_a_problem_of_its_own(home, caplog, kind):
    run = te.init("acme", "Digits", "r")
    path = home / "journals" / f"{run.uuid}.other.ndjson"
    if kind == "not a journal":
        path.write_text("my notes\n")
        words = f"the header of the journal {path} is damaged"
    else:
        path.symlink_to(path)
        words = "cannot be opened: Too many levels of symbolic links; run afnio-tellurio sync as"
    run.log("loss", 1)
    assert run.finish().accepted == 1
    assert f"the journal {path} could not be delivered: " in caplog.text
    assert words in caplog.text
    caplog.clear()
    te.TellurioClient.local().close()
    assert f"the journal {path} could not be delivered: " in caplog.text
    (done,) = te.sync()
    assert done.path == str(path)
    assert words in done.problem
    orphans = [path] if kind == "not a journal" else []
    assert list(list_orphans(home / "journals")) == orphans


def test_a_folder_of_journals_that_cannot_be_read_is_a_problem(home, caplog):
    home.mkdir()
    folder = home / "journals"
    folder.symlink_to(folder)
    (done,) = te.sync()
    assert (done.path, done.run_name) == (str(folder), None)
    assert done.problem.startswith("cannot be opened: Too many levels of symbolic links; ")
    with te.init("acme", "Digits", "r") as run:
        run.log("loss", 1)
    assert f"{folder}" in caplog.text
    assert "buffering in memory until it can" in caplog.text
    assert te.get_run("acme", "Digits", "r").metrics("loss").values == [1]


def test_a_journal_that_another_process_has_just_delivered_is_no_problem(home):
    missing = home / "journals" / "delivered.ndjson"
    assert list(deliver_journals([missing], lambda _journal: None)) == []


def test_the_end_of_a_run_that_was_deleted_is_not_sent(home):
    run = te.init("acme", "Digits", "r")
    run.finish()
    header = Header(
        backend="tellurio.db", is_local=True, namespace_slug="acme", project_slug="digits",
        run_uuid=run.uuid, run_name="r", writer=str(uuid.uuid4()), owns_run=True,
    )  # fmt: skip
    te.delete_run("acme", "Digits", "r")
    path = write_journal(home / "journals", header, [], [], End("COMPLETED"))
    (done,) = te.sync()
    assert (done.delivered, done.status, done.problem) == (0, None, None)
    assert not path.exists()
    assert te.sync() == []
