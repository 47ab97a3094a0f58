"""The commands that delete, and those on the trash."""

from __future__ import annotations

import json
import re
import shlex

import pytest

import afnio_tellurio as te
from afnio_tellurio.cli.trash import _size


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    with te.init("acme", "Digits", "a b") as run:
        for step in range(2000):
            run.log("loss", step / 2)
    return te.get_run("acme", "digits", run.uuid)


def outcome(finished):
    assert finished.stderr == ""
    return finished.returncode, finished.stdout


def test_deleting_says_what_it_frees_and_how_to_restore(invoke, run):
    status, out = outcome(invoke("delete", "acme/digits/a b", "--yes"))
    (item,) = te.list_trash("acme")
    assert status == 0
    first, second = out.splitlines()
    day = item.date_purged.astimezone().strftime("%Y-%m-%d")
    assert first == (
        "Moved a b to the trash. It is deleted for good on "
        f"{day}, which frees about {_size(item.bytes)}."
    )
    assert re.search(r"[34]\d\.\d kB", first)
    assert second == "To restore it: afnio-tellurio restore 'acme/digits/a b'"
    assert outcome(invoke("restore", "acme/digits/a b")) == (0, "Restored a b\n")
    assert te.get_run("acme", "digits", "a b").summary()["loss"].count == 2000


@pytest.mark.parametrize(
    ("namespace", "name"),
    [
        ("acme", "two\nlines"),
        ("acme", "\x1b[31m"),
        ("acme", 'it\'s "a" $HOME `b` \\'),
        ("-x", "--yes"),
    ],
)
def test_the_command_to_copy_restores_the_run(invoke, run, namespace, name):
    te.init(namespace, "-p", name).finish()
    status, out = outcome(invoke("delete", "--yes", "--", f"{namespace}/p/{name}"))
    assert status == 0
    _moved, line = out.splitlines()
    _text, _, command = line.partition("To restore it: ")
    assert invoke(*shlex.split(command)[1:]).returncode == 0
    assert te.get_run(namespace, "-p", name).name == name


def test_a_project_is_deleted_and_restored(invoke, run):
    status, out = outcome(invoke("delete", "acme/digits", "--yes"))
    assert (status, out.splitlines()[1]) == (
        0,
        "To restore it: afnio-tellurio restore acme/digits",
    )
    assert te.get_project("acme", "digits") is None
    assert outcome(invoke("restore", "acme/digits")) == (0, "Restored digits\n")
    assert [each.name for each in te.runs("acme", "digits")] == ["a b"]
    assert invoke("delete", "acme/missing", "--yes").stderr.endswith(
        "Project acme/missing not found. Projects in acme: digits\n"
    )


def test_restoring_what_is_not_in_the_trash_says_so(invoke, run):
    assert outcome(invoke("restore", "acme/digits")) == (0, "digits was not in the trash\n")
    for name in (run.uuid, "a b"):
        restored = outcome(invoke("restore", f"acme/digits/{name}"))
        assert restored == (0, "a b was not in the trash\n")
    te.delete_project("acme", "digits")
    assert outcome(invoke("restore", "acme/digits")) == (0, "Restored digits\n")
    te.delete_run("acme", "digits", run.uuid)
    assert outcome(invoke("restore", f"acme/digits/{run.uuid}")) == (0, "Restored a b\n")


def test_messages_about_what_is_in_the_trash_say_how_to_restore_it(invoke, run):
    te.init("acme", "Digits", "a c").finish()
    te.delete_run("acme", "digits", "a b")
    for name in ("a b", run.uuid):
        shown = invoke("show", f"acme/digits/{name}")
        assert shown.returncode == 1
        _words, _, command = shown.stderr.partition(" is in the trash. To restore it: ")
        assert invoke(*shlex.split(command)[1:]).stdout == "Restored a b\n"
        te.delete_run("acme", "digits", "a b")
    te.delete_project("acme", "digits")
    for arguments in (("show", "acme/digits/a c"), ("runs", "acme/digits")):
        shown = invoke(*arguments)
        assert (shown.returncode, shown.stderr) == (
            1,
            (
                f"afnio-tellurio {arguments[0]}: Project acme/digits is in the trash. "
                "To restore it: afnio-tellurio restore acme/digits\n"
            ),
        )


def test_the_trash_lists_names_dates_and_sizes(invoke, run):
    assert json.loads(invoke("trash", "acme", "--json").stdout) == []
    te.delete_run("acme", "digits", run.uuid)
    te.create_project("acme", "Empty")
    te.delete_project("acme", "empty")
    status, out = outcome(invoke("trash", "acme"))
    header, empty, deleted = out.splitlines()
    assert status == 0
    assert re.split(r"  +", header) == ["NAME", "KIND", "DELETED", "KEPT UNTIL", "FREES"]
    assert re.split(r"  +", empty)[:2] == ["empty", "project"]
    assert empty.endswith(" 0 B")
    assert re.split(r"  +", deleted)[:2] == ["digits/a b", "run"]
    (_, item) = json.loads(invoke("trash", "acme", "--json").stdout)
    assert (item["uuid"], item["kind"], item["name"]) == (run.uuid, "run", "a b")


@pytest.mark.parametrize("path", ["acme/digits/a b", "acme/digits"])
@pytest.mark.parametrize("is_in_trash", [False, True])
def test_purging_says_what_it_freed(invoke, run, path, is_in_trash):
    if is_in_trash:
        invoke("delete", path, "--yes")
        status, out = outcome(invoke("purge", path, "--yes"))
    else:
        status, out = outcome(invoke("delete", path, "--purge", "--yes"))
    name = path.rpartition("/")[2]
    assert status == 0
    assert re.fullmatch(rf"Deleted {name} for good, which freed about [34]\d\.\d kB\n", out)
    assert te.list_trash("acme") == []
    assert invoke("restore", path).returncode == 1


def test_a_run_in_the_trash_is_purged_by_its_uuid(invoke, run):
    te.delete_run("acme", "digits", run.uuid)
    assert invoke("purge", f"acme/other/{run.uuid}", "--yes").returncode == 1
    assert invoke("purge", f"acme/digits/{run.uuid}", "--yes").returncode == 0
    assert te.list_trash("acme") == []


@pytest.mark.parametrize("command", ["purge", "restore"])
def test_what_is_not_in_the_trash_is_answered_with_what_is(invoke, run, command):
    te.delete_run("acme", "digits", run.uuid)
    for path, words in (
        ("acme/digits/a c", "run digits/a c. Did you mean digits/a b?"),
        ("acme/zzz/y", "run zzz/y. Its runs: digits/a b"),
        ("acme/gone", "project gone. Its projects: none"),
    ):
        refused = invoke(command, path, *(["--yes"] if command == "purge" else []))
        namespace = path.partition("/")[0]
        message = f"afnio-tellurio {command}: The trash of {namespace} has no {words}\n"
        assert (refused.returncode, refused.stderr) == (1, message)


@pytest.mark.parametrize("command", ["purge", "restore"])
@pytest.mark.parametrize("path", ["acmee/copy", "acmee/digits/a b"])
def test_a_namespace_that_does_not_exist_is_named_with_those_that_do(invoke, run, command, path):
    refused = invoke(command, path)
    message = f"afnio-tellurio {command}: Namespace acmee not found. Did you mean acme?\n"
    assert (refused.returncode, refused.stderr) == (1, message)


def test_the_trash_of_all_namespaces_is_listed(invoke, run):
    te.init("other", "Solo", "only").finish()
    te.delete_run("acme", "digits", "a b")
    te.delete_project("other", "solo")
    header, *rows = outcome(invoke("trash"))[1].splitlines()
    assert header.startswith("NAME ")
    names = [re.split(r"  +", row)[:2] for row in rows]
    assert names == [["other/solo", "project"], ["acme/digits/a b", "run"]]
    facts = json.loads(invoke("trash", "--json").stdout)
    assert [each["namespace"] for each in facts] == ["other", "acme"]
    assert json.loads(invoke("trash", "acme", "--json").stdout) == facts[1:]


def test_only_what_is_in_the_trash_is_purged_by_that_command(invoke, run):
    for path, words in (
        ("acme/digits/a b", "The trash of acme has no run digits/a b. Its runs: none"),
        ("acme/digits", "The trash of acme has no project digits. Its projects: none"),
    ):
        refused = invoke("purge", path, "--yes")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert words in refused.stderr
    te.delete_project("acme", "digits")
    te.create_project("acme", "Digits")
    refused = invoke("purge", "acme/digits", "--yes")
    assert "there is another project digits now; delete it first" in refused.stderr
    assert te.get_project("acme", "digits") is not None
    assert len(te.list_trash("acme")) == 1


def test_a_terminal_is_asked_before_purging(at_terminal, run):
    for answer, status in (("n\n", 1), ("y\n", 0)):
        asked = at_terminal(
            "delete", "acme/digits", "--purge", typed=answer, streams=("stdin", "stderr")
        )
        assert "Delete the project digits with its runs for good? [y/N] " in asked.shown
        assert asked.status == status
    assert te.list_trash("acme") == []


def test_a_terminal_is_asked_before_purging_from_the_trash(at_terminal, invoke, run):
    te.delete_run("acme", "digits", run.uuid)
    refused = invoke("purge", "acme/digits/a b")
    assert "pass --yes" in refused.stderr
    for answer, status in (("\n", 1), ("yes\n", 0)):
        asked = at_terminal("purge", "acme/digits/a b", typed=answer, streams=("stdin", "stderr"))
        assert re.search(r"Delete a b \([34]\d\.\d kB\) for good\? \[y/N\] ", asked.shown)
        assert asked.status == status
        assert len(te.list_trash("acme")) == status


def test_a_restored_run_whose_name_was_taken_shows_its_new_name(invoke, run):
    te.delete_run("acme", "digits", "a b")
    te.init("acme", "Digits", "a b").finish()
    assert outcome(invoke("restore", "acme/digits/a b")) == (0, "Restored a b_1\n")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"),
        (4_123_456, "4.1 MB"), (7 * 10**9, "7.0 GB"), (2 * 10**15, "2000.0 TB"),
    ],
)  # fmt: skip
def test_a_size_has_a_unit(number, text):
    assert _size(number) == text
