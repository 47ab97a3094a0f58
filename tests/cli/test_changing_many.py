"""Commands on all runs that match a filter; notes; pages in a browser."""

import os

import pytest

import afnio_tellurio as te
from afnio_tellurio.served import served_at

PROJECT = "acme/digits"
CRASHED = ("--where", "status = CRASHED")


@pytest.fixture(autouse=True)
def runs(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    for number in range(4):
        run = te.init("acme", "Digits", f"run-{number}", tags=["draft"])
        run.finish(status="CRASHED" if number % 2 else "COMPLETED")


def done(finished):
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout


def names():
    return [run.name for run in te.runs("acme", "digits")]


def test_runs_that_match_are_deleted(invoke):
    out = done(invoke("delete", PROJECT, *CRASHED, "--yes"))
    assert out == (
        "Deleted 2 runs of acme/digits\n"
        "They are in the trash for 30 days; see: afnio-tellurio trash acme\n"
    )
    assert names() == ["run-2", "run-0"]
    assert len(te.list_trash("acme")) == 2
    out = done(invoke("delete", PROJECT, "--where", 'name = "run-0"', "--yes", "--purge"))
    assert out == "Deleted 1 run of acme/digits\n"
    assert len(te.list_trash("acme")) == 2
    out = done(invoke("delete", PROJECT, "--where", 'name = "run-2"', "--yes"))
    assert out.splitlines()[1].startswith("It is in the trash for 30 days; ")


def test_a_dry_run_lists_what_matches_and_changes_nothing(invoke):
    for command in (("delete", PROJECT), ("tag", PROJECT, "bad")):
        lines = done(invoke(*command, *CRASHED, "--dry-run")).splitlines()
        assert [line.split()[1] for line in lines[1:]] == ["run-3", "run-1"]
    assert len(names()) == 4
    assert {run.tags for run in te.runs("acme", "digits")} == {("draft",)}


def test_nothing_that_matches_is_no_failure(invoke):
    out = done(invoke("delete", PROJECT, "--where", "status = FAILED"))
    assert out == "No run of acme/digits matches\n"


@pytest.mark.parametrize(("typed", "left"), [("n\n", 4), ("y\n", 2)])
def test_the_question_counts_the_runs(at_terminal, typed, left):
    shown = at_terminal("delete", PROJECT, *CRASHED, typed=typed)
    assert "Delete 2 runs of acme/digits? [y/N] " in shown.shown
    assert "run-3" in shown.shown
    assert shown.status == int(left == 4)
    assert len(names()) == left


def test_runs_that_match_are_tagged(invoke):
    out = done(invoke("tag", PROJECT, "bad", "--remove", "draft", *CRASHED, "--yes"))
    assert out == "Tags of run-3: bad\nTags of run-1: bad\n"
    tags = {run.name: run.tags for run in te.runs("acme", "digits")}
    assert tags["run-1"] == ("bad",)
    assert tags["run-0"] == ("draft",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("delete", f"{PROJECT}/run-0", *CRASHED), "--where requires NAMESPACE/PROJECT"),
        (("delete", PROJECT, "--dry-run"), "--dry-run requires --where"),
        (("tag", PROJECT, "x"), "tag requires NAMESPACE/PROJECT/RUN, or --where FILTER"),
        (("tag", PROJECT, *CRASHED), "tag requires a TAG to add, or a -TAG to remove"),
    ],
)
def test_what_does_not_fit_together_is_a_wrong_usage(invoke, arguments, message):
    finished = invoke(*arguments)
    assert finished.returncode == 2
    assert message in finished.stderr
    assert len(names()) == 4


def test_without_a_terminal_many_runs_are_not_changed(invoke):
    finished = invoke("delete", PROJECT, *CRASHED)
    assert (finished.returncode, finished.stdout) == (1, "")
    assert "pass --yes" in finished.stderr
    assert len(names()) == 4


def test_an_invalid_filter_deletes_nothing(invoke):
    finished = invoke("delete", PROJECT, "--where", "statu = CRASHED", "--yes")
    assert finished.returncode == 1
    assert "Invalid filter: a run has no attribute 'statu'" in finished.stderr
    assert len(names()) == 4


def test_runs_deleted_before_a_failure_are_counted(invoke, monkeypatch):
    delete_run, deleted = te.delete_run, []

    def fail_once(*arguments, **keywords):
        if deleted:
            raise LookupError("gone")
        deleted.append(arguments)
        delete_run(*arguments, **keywords)

    monkeypatch.setattr(te, "delete_run", fail_once)
    finished = invoke("delete", PROJECT, *CRASHED, "--yes")
    assert (finished.returncode, finished.stdout) == (1, "Deleted 1 run of acme/digits\n")
    assert finished.stderr == "afnio-tellurio delete: gone\n"


def test_notes_are_set_added_to_and_removed(invoke):
    run = f"{PROJECT}/run-0"

    def notes():
        return te.get_run("acme", "digits", "run-0").notes

    assert done(invoke("note", run, "first", "--append")) == "Changed notes of run-0\n"
    done(invoke("note", run, "second", "--append"))
    assert notes() == "first\nsecond"
    done(invoke("note", run, "third"))
    assert notes() == "third"
    assert done(invoke("note", run, "")) == "Removed notes of run-0\n"
    assert notes() is None


def test_without_a_server_open_says_what_to_do(invoke):
    for path in ((), (PROJECT,), (f"{PROJECT}/run-0",)):
        finished = invoke("open", *path)
        assert (finished.returncode, finished.stdout) == (1, "")
        assert finished.stderr == (
            "afnio-tellurio open: no server shows the runs of this machine; "
            "run: afnio-tellurio serve\n"
        )


def test_open_prints_the_address_of_each_page(invoke, home):
    uuid = te.get_run("acme", "digits", "run-0").uuid
    with served_at(home / "tellurio.db", "http://127.0.0.1:4321"):
        addresses = [
            done(invoke("open", *path, "--print")).strip()
            for path in ((), ("acme",), ("acme/digits",), (f"{PROJECT}/run-0",))
        ]
        missing = invoke("open", "acme/digit", "--print")
    base = "http://127.0.0.1:4321"
    assert addresses == [
        base,
        f"{base}/acme/",
        f"{base}/acme/projects/digits/",
        f"{base}/acme/projects/digits/runs/{uuid}/",
    ]
    assert "Did you mean digits?" in missing.stderr


def test_open_starts_the_browser(invoke, home, tmp_path):
    opened = tmp_path / "opened"
    os.mkfifo(opened)
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o700)
    with served_at(home / "tellurio.db", "http://127.0.0.1:4321"):
        out = done(invoke("open", "acme", BROWSER=str(browser)))
    assert out == "Opening http://127.0.0.1:4321/acme/\n"
    assert opened.read_text() == "http://127.0.0.1:4321/acme/\n"


def test_without_a_display_open_prints_the_address(invoke, home, monkeypatch):
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with served_at(home / "tellurio.db", "http://127.0.0.1:4321"):
        out = done(invoke("open", SSH_CONNECTION="1 2 3 4"))
    assert out == "http://127.0.0.1:4321\n"
