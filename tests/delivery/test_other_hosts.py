"""A home shared by machines whose locks do not reach each other: no live run is ended from afar."""

import io

import pytest
from children import GUARD
from msgspec.structs import replace

import afnio_tellurio as te
from afnio_tellurio import file_systems
from afnio_tellurio.cli import main
from afnio_tellurio.delivery import hosts, recovery, senders
from afnio_tellurio.delivery.journal_file import JournalFile
from afnio_tellurio.delivery.records import END, record_line

LOGS = """
import os, sys
import afnio_tellurio as te
run = te.init("acme", "Digits", "there")
for number in range(3):
    run.log("loss", number)
run.flush()
run.log("loss", 3)
"""
DIES = LOGS + "os.kill(os.getpid(), 9)"
LIVES = LOGS + "print('logged', flush=True); sys.stdin.readline(); run.log('loss', 4); run.finish()"
FOREIGN = {"machine": "another", "boot": "another"}


@pytest.fixture(autouse=True)
def local(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")


@pytest.fixture
def on_network(monkeypatch):
    """Locks do not reach this process, which is on another machine than its children."""
    there = hosts.this_host()
    here = hosts.Host("here", "id-of-here", "boot-of-here")
    monkeypatch.setattr(hosts, "find_file_system", lambda _path: "nfs4")
    monkeypatch.setattr(hosts, "this_host", lambda: here)
    monkeypatch.setattr(senders, "this_host", lambda: here)
    monkeypatch.setattr(recovery, "try_lock", lambda _fd: True)
    return there, here


def change(path, lines=(), **changes):
    """Replaces fields of a journal's header, and appends lines."""
    journal = JournalFile.open(path)
    header = journal.header
    journal.close()
    old = record_line(header) * 2
    content = path.read_bytes()
    assert content.startswith(old)
    new = record_line(replace(header, **changes)) * 2
    path.write_bytes(b"".join([new, content.removeprefix(old), *lines]))
    # Positions count from the start of the file.
    path.with_suffix(".ack").unlink(missing_ok=True)


def recorded():
    (run,) = te.runs("acme", "Digits")
    return run.status, run.metrics("loss").values


@pytest.mark.parametrize("by", ["sync", "init", "command", "resume"])
def test_a_live_run_of_another_machine_is_left_to_it(
    start_python, journals, on_network, capsys, monkeypatch, by
):
    child = start_python("-c", LIVES, stdin=True, TELLURIO_EXIT_TIMEOUT="30")
    assert child.stdout.readline() == "logged\n"
    there, _here = on_network
    (path,) = journals()
    if by == "sync":
        (result,) = te.sync()
        assert result.path == str(path)
        assert f"its process on {there.name} may still be running" in result.problem
    elif by == "init":
        te.init("acme", "Other", "here").finish()
    elif by == "command":
        assert main(["sync"]) == 1
        assert (
            "run afnio-tellurio sync on that machine, or with --other-hosts"
            in capsys.readouterr().err
        )
    else:
        monkeypatch.setenv("TELLURIO_EXIT_TIMEOUT", "0.1")
        with pytest.raises(te.TellurioError, match="another process still logs to it"):
            te.init("acme", "Digits", "there", resume=True)
    assert path.exists()
    run = te.get_run("acme", "Digits", "there")
    assert run.status is te.RunStatus.RUNNING
    _out, err = child.communicate("go on\n", timeout=GUARD)
    assert child.returncode == 0, err
    run = te.get_run("acme", "Digits", "there")
    assert (run.status, run.metrics("loss").values) == (te.RunStatus.COMPLETED, [0, 1, 2, 3, 4])


def test_a_dead_run_of_another_machine_is_delivered_on_request(
    run_python, journals, on_network, capsys
):
    assert run_python(DIES).returncode == -9
    assert main(["status"]) == 0
    assert "waiting to be uploaded" not in capsys.readouterr().out
    (result,) = te.sync()
    assert result.problem is not None
    assert recorded()[0] is te.RunStatus.RUNNING
    assert main(["sync", "--other-hosts"]) == 0
    assert "closed as CRASHED" in capsys.readouterr().out
    assert recorded() == (te.RunStatus.CRASHED, [0, 1, 2, 3])
    assert journals() == []


def test_a_request_for_other_hosts_does_not_concern_uploads(capsys):
    with pytest.raises(SystemExit):
        main(["sync", "acme/digits", "--to", "http://localhost:1", "--other-hosts"])
    assert "--other-hosts cannot be used with --to" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"machine": "id-of-here", "boot": "another"}, "it was this machine, before it restarted"),
        ({"machine": "id-of-here", "boot": None}, "this machine, and the system tells no boot"),
        ({"machine": "another", "boot": "boot-of-here"}, "another container of this machine"),
        ({"host": None, "machine": None, "boot": None}, "an earlier version wrote it"),
    ],
)
def test_a_dead_run_of_this_machine_is_delivered(run_python, journals, on_network, changes, why):
    assert run_python(DIES).returncode == -9
    change(*journals(), **changes)
    (result,) = te.sync()
    assert (result.problem, result.status) == (None, "CRASHED"), why
    assert recorded() == (te.RunStatus.CRASHED, [0, 1, 2, 3])


def test_a_machine_that_tells_no_boot_is_not_another_that_tells_none(
    run_python, journals, on_network, monkeypatch
):
    assert run_python(DIES).returncode == -9
    change(*journals(), machine="another", boot=None)
    monkeypatch.setattr(hosts, "this_host", lambda: hosts.Host("here", "id-of-here", None))
    assert te.sync()[0].problem is not None


@pytest.mark.parametrize("file_system", ["ext4", "overlay"])
def test_a_file_system_of_one_machine_has_locks_that_reach_all(
    run_python, journals, on_network, monkeypatch, file_system
):
    assert run_python(DIES).returncode == -9
    change(*journals(), **FOREIGN)
    monkeypatch.setattr(hosts, "find_file_system", lambda _path: file_system)
    assert te.sync()[0].problem is None
    assert recorded() == (te.RunStatus.CRASHED, [0, 1, 2, 3])


@pytest.mark.parametrize("logs_on", [False, True])
def test_a_journal_whose_process_ended_its_run_needs_no_request(
    run_python, journals, on_network, logs_on
):
    assert run_python(DIES).returncode == -9
    lines = [record_line(END, "COMPLETED")]
    if logs_on:
        # The run could not be ended, and its program went on.
        lines.append(record_line(4, None, 0, "loss", 4))
    change(*journals(), lines, **FOREIGN)
    (result,) = te.sync()
    assert (result.problem is None) is not logs_on
    assert recorded()[0] is (te.RunStatus.RUNNING if logs_on else te.RunStatus.COMPLETED)


@pytest.mark.parametrize(
    ("lines", "has_ended"),
    [
        ([], False),
        ([record_line(END, "COMPLETED")], True),
        ([record_line(END, "COMPLETED"), b'["torn'], True),
        ([record_line(END, "COMPLETED"), b"damaged\n"], False),
        ([record_line(4, None, 0, "text", "x" * 1000)], False),
    ],
)
def test_only_the_end_of_a_journal_tells_whether_its_run_was_ended(
    run_python, journals, monkeypatch, lines, has_ended
):
    assert run_python(DIES).returncode == -9
    (path,) = journals()
    change(path, lines)
    journal = JournalFile.open(path)
    monkeypatch.setattr(journal, "_records", lambda *_: pytest.fail("it reads the whole journal"))
    assert journal.has_ended is has_ended
    journal.close()


def test_a_damaged_journal_of_a_network_is_counted(run_python, journals, on_network, capsys):
    assert run_python(DIES).returncode == -9
    (path,) = journals()
    path.write_bytes(b"damaged\n")
    assert main(["status"]) == 0
    assert "1 journal is waiting to be uploaded" in capsys.readouterr().out


def test_a_journal_names_the_machine_that_wrote_it(journals):
    run = te.init("acme", "Digits", "here")
    journal = JournalFile.open(*journals())
    header = journal.header
    journal.close()
    assert (header.host, header.machine, header.boot) == hosts.this_host()
    assert header.host
    run.finish()


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_each_system_tells_its_machine(monkeypatch, platform):
    monkeypatch.setattr(hosts.sys, "platform", platform)
    monkeypatch.setenv("COMPUTERNAME", "PC")
    host = hosts.this_host.__wrapped__()
    assert host.name
    assert host.machine
    assert (host.boot is not None) is (platform == "linux" and hosts._BOOT_ID.exists())


def test_a_system_that_tells_nothing_is_one_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(hosts.sys, "platform", "linux")
    monkeypatch.setattr(hosts, "_MACHINE_ID", tmp_path / "missing")
    monkeypatch.setattr(hosts, "_BOOT_ID", tmp_path / "missing")
    host = hosts.this_host.__wrapped__()
    assert (host.machine, host.boot) == (host.name, None)
    (tmp_path / "boot").write_text("of-now\n")
    monkeypatch.setattr(hosts, "_BOOT_ID", tmp_path / "boot")
    host = hosts.this_host.__wrapped__()
    assert (host.machine, host.boot) == ("of-now", "of-now"), "two machines may have one name"


def test_the_file_system_is_unknown_where_the_system_does_not_list_mounts(monkeypatch):
    monkeypatch.setattr(file_systems.sys, "platform", "darwin")
    assert file_systems.find_file_system("/home") is None


def test_of_two_file_systems_at_one_mount_point_the_later_one_counts(monkeypatch):
    mounts = "a /mnt/team tmpfs rw 0 0\nserver:/x /mnt/team nfs4 rw 0 0\n"
    monkeypatch.setattr(file_systems, "open", lambda *_, **__: io.StringIO(mounts), raising=False)
    assert file_systems.find_file_system("/mnt/team/home") == "nfs4"
