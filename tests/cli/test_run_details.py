"""What the command shows and changes of a run beside its metrics."""

import datetime as dt
import json
import re

import pytest
from freezegun import freeze_time

import afnio_tellurio as te
from afnio_tellurio.cli import looking
from afnio_tellurio.default_client import default_client

PROJECT = "acme/digits"
ENVIRONMENT = {
    "python": "3.12.4",
    "git": {"commit": "1f0e6f3a"},
    "packages": {"numpy": "2.1.0", "torch": "2.9.0"},
}


@pytest.fixture(autouse=True)
def _backend(backend):
    pass


def change(run, **fields):
    """Changes a run as its own process does."""
    default_client().patch(f"/api/v0/acme/projects/digits/runs/{run.uuid}/", fields)


@pytest.fixture
def runs():
    """A run with all details, its child, and a child of that one, which crashed."""
    top = te.init(
        "acme",
        "Digits",
        "top",
        config={"optim": {"name": "adam", "lr": 0.1}, "note": "x" * 100},
        tags=["second", "first"],
        group="sweep",
        job_type="train",
        notes="one line\nand another",
    )
    top.finish()
    change(top, environment=ENVIRONMENT)
    middle = te.init("acme", "Digits", "middle", parent=top, tags=["first"])
    middle.finish()
    bottom = te.init("acme", "Digits", "bottom", parent=middle)
    with pytest.raises(ValueError, match="too large"), bottom:
        bottom.log("loss", 3)
        raise ValueError("too large")
    return {"top": top, "middle": middle, "bottom": bottom}


def shown(finished):
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout


def section(text, title):
    """The lines of a part, without its title."""
    part = next(part for part in text.split("\n\n") if part.startswith(title))
    return part.rstrip("\n").split("\n")[1:]


def test_show_prints_the_details_of_a_run(invoke, runs):
    text = shown(invoke("show", f"{PROJECT}/top"))
    lines = text.split("\n\n")[0].split("\n")
    assert lines[6:] == [
        "tags      first, second",
        "group     sweep",
        "job type  train",
        "notes     one line",
        "          and another",
    ]
    assert "ended because" not in text
    assert [line.split() for line in section(text, "CONFIG")] == [
        ["optim.name", '"adam"'],
        ["optim.lr", "0.1"],
        ["note", f'"{"x" * 56}...'],
    ]
    assert [line.split() for line in section(text, "ENVIRONMENT")] == [
        ["python", '"3.12.4"'],
        ["git.commit", '"1f0e6f3a"'],
        ["packages", "2"],
    ]


def test_show_prints_why_a_run_ended_with_the_traceback(invoke, runs):
    text = shown(invoke("show", f"{PROJECT}/bottom"))
    assert "\nended because  ValueError: too large\n" in text
    traceback = section(text, "TRACEBACK")
    assert traceback[0].startswith(f'  File "{__file__}", line ')
    assert traceback[1] == '    raise ValueError("too large")'
    assert "CONFIG" not in text
    assert "ENVIRONMENT" not in text


def test_show_prints_the_family_of_a_run(invoke, runs):
    text = shown(invoke("show", f"{PROJECT}/top"))
    children = section(text, "CHILDREN")
    assert [line[: line.index("  2")].rstrip() for line in children] == [
        "middle    COMPLETED",
        "  bottom  CRASHED",
    ]
    assert "\nparent " not in text
    assert "\nparent         middle\n" in shown(invoke("show", f"{PROJECT}/bottom"))
    te.delete_run("acme", "digits", "middle")
    text = shown(invoke("show", f"{PROJECT}/bottom"))
    assert f"\nparent         {runs['middle'].uuid}\n" in text
    facts = json.loads(shown(invoke("show", f"{PROJECT}/bottom", "--json")))
    assert (facts["parent"], facts["parent_uuid"]) == (None, runs["middle"].uuid)


def test_show_prints_some_of_many_children(invoke, monkeypatch):
    top = parent = te.init("acme", "Digits", "top")
    for level in range(4):
        parent = te.init("acme", "Digits", f"level {level}", parent=parent)
    children = section(shown(invoke("show", f"{PROJECT}/top")), "CHILDREN")
    assert [line.split("  2")[0].lstrip()[:7] for line in children] == [
        "level 0",
        "level 1",
        "level 2",
    ]
    for number in range(3):
        te.init("acme", "Digits", f"more {number}", parent=top)
    monkeypatch.setattr(looking, "_MAX_CHILDREN", 3)
    text = shown(invoke("show", f"{PROJECT}/top"))
    assert [line[:6] for line in section(text, "CHILDREN")] == ["more 2", "more 1", "more 0"]
    assert f"see afnio-tellurio runs --parent {top.uuid} {PROJECT}\n" in text


def test_show_prints_some_of_a_large_config(invoke, monkeypatch):
    te.init("acme", "Digits", "large", config={f"n{number}": number for number in range(5)})
    monkeypatch.setattr(looking, "_MAX_ROWS", 3)
    text = shown(invoke("show", f"{PROJECT}/large"))
    assert [line.split()[0] for line in section(text, "CONFIG")] == ["n0", "n1", "n2"]
    assert "\n2 more values; --json prints all\n" in text


def test_a_run_may_be_its_own_ancestor(invoke):
    one, other = (f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2))
    te.create_project("acme", "Digits")
    for uuid, parent in ((one, other), (other, one)):
        body = {"uuid": uuid, "name": f"run {uuid[-1]}", "parent_uuid": parent}
        default_client().post("/api/v0/acme/projects/digits/runs/", body)
    children = section(shown(invoke("show", f"{PROJECT}/{one}")), "CHILDREN")
    assert [line[:5] for line in children] == ["run 2"]
    lines = shown(invoke("runs", PROJECT)).splitlines()
    assert [line[:5] for line in lines[1:]] == ["run 2", "run 1"]


def test_json_has_the_details(invoke, runs):
    facts = json.loads(shown(invoke("show", f"{PROJECT}/top", "--json")))
    assert facts["config"] == runs["top"].config
    assert facts["environment"] == ENVIRONMENT
    assert (facts["tags"], facts["group"]) == (["first", "second"], "sweep")
    assert (facts["job_type"], facts["notes"]) == ("train", "one line\nand another")
    assert (facts["parent"], facts["parent_uuid"], facts["ended_because"]) == (None, None, None)
    assert facts["date_ended"] == runs["top"].date_ended.isoformat()
    (middle,) = facts["children"]
    assert (middle["name"], middle["uuid"], middle["status"]) == (
        "middle",
        runs["middle"].uuid,
        "COMPLETED",
    )
    (bottom,) = middle["children"]
    assert (bottom["name"], bottom["children"]) == ("bottom", [])
    listed = json.loads(shown(invoke("runs", PROJECT, "--json")))
    assert [run["name"] for run in listed] == ["top", "middle", "bottom"]
    assert listed[0]["config"] == runs["top"].config
    assert "environment" not in listed[0]
    because = listed[2]["ended_because"]
    assert (because["kind"], because["type"], because["message"], because["signal"]) == (
        "exception",
        "ValueError",
        "too large",
        None,
    )
    assert "too large" in because["traceback"]
    compared = json.loads(shown(invoke("compare", *[f"{PROJECT}/top"] * 2, "--json")))
    assert compared[0]["environment"] == ENVIRONMENT


def test_the_duration_ends_with_the_run(invoke):
    run = te.init("acme", "Digits", "run")
    ended = run.date_created + dt.timedelta(seconds=90)
    # The run is changed now, which is no 90 seconds later.
    change(run, status="COMPLETED", date_ended=ended.isoformat())
    assert "1 min 30 s" in shown(invoke("runs", PROJECT))
    assert "\nduration  1 min 30 s\n" in shown(invoke("show", f"{PROJECT}/run"))


def test_the_duration_of_a_running_run_is_that_until_now(invoke):
    with te.init("acme", "Digits", "run") as run:
        now = run.date_created + dt.timedelta(seconds=90, microseconds=1)
        with freeze_time(now):
            listed = shown(invoke("runs", PROJECT))
            details = shown(invoke("show", f"{PROJECT}/run"))
    assert re.search(r"run +RUNNING .* 1 min 30 s ", listed)
    assert "\nduration  1 min 30 s\n" in details


def names_in(finished):
    return [line.split()[0] for line in shown(finished).splitlines()[1:]]


def test_runs_are_filtered_by_their_details(invoke, runs):
    assert names_in(invoke("runs", PROJECT, "--tag", "first")) == ["top", "middle"]
    assert names_in(invoke("runs", PROJECT, "--tag", "second")) == ["top"]
    assert names_in(invoke("runs", PROJECT, "--group", "sweep")) == ["top"]
    assert invoke("runs", PROJECT, "--job-type", "eval").stderr == "No runs match.\n"
    assert names_in(invoke("runs", PROJECT, "--job-type", "train")) == ["top"]
    assert names_in(invoke("runs", PROJECT, "--parent", runs["top"].uuid)) == ["middle"]
    refused = invoke("runs", PROJECT, "--parent", "top")
    assert refused.returncode == 1
    assert "parent is 'top'; it must be a run or a run's UUID" in refused.stderr


def test_children_are_listed_below_their_parent(invoke, runs):
    te.init("acme", "Digits", "newest").finish()
    te.init("acme", "Digits", "second", parent=runs["top"]).finish()
    lines = shown(invoke("runs", PROJECT)).splitlines()[1:]
    assert [line[:10].rstrip() for line in lines] == [
        "newest",
        "top",
        "  second",
        "  middle",
        "    bottom",
    ]
    # Their parent is not listed, or they have an order of their own.
    lines = shown(invoke("runs", PROJECT, "--status", "crashed")).splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["bottom"]
    assert not lines[0].startswith(" ")
    lines = shown(invoke("runs", PROJECT, "--sort", "loss")).splitlines()[1:]
    assert lines[0].startswith("bottom ")


def test_columns_of_details_are_shown_if_a_run_has_them(invoke, runs):
    header, *lines = shown(invoke("runs", PROJECT)).splitlines()
    assert header.split()[-2:] == ["TAGS", "GROUP"]
    assert lines[0].endswith("first, second  sweep")
    assert lines[1].split()[-2:] == ["first", "-"]
    header, line = shown(invoke("runs", PROJECT, "--parent", runs["middle"].uuid)).splitlines()
    assert header.split()[-1] == "USER"
    assert line.startswith("bottom ")


def test_the_values_of_configs_that_differ_are_compared(invoke):
    configs = {
        "a": {"optim": {"name": "adam", "lr": 0.1}, "flag": True, "layers": [1, 2]},
        "b": {"optim": {"name": "adam", "lr": 0.123456789}, "flag": 1, "layers": [1, 2]},
        "c": {"optim": {"name": "adam", "lr": 0.1}, "flag": True, "layers": [1, 2], "n": None},
    }
    for name, config in configs.items():
        with te.init("acme", "Digits", name, config=config) as run:
            run.log("loss", 1)
    text = shown(invoke("compare", *(f"{PROJECT}/{name}" for name in configs)))
    assert [line.split() for line in section(text, "CONFIG")] == [
        ["optim.lr", "0.1", "0.123456789", "0.1"],
        ["flag", "true", "1", "true"],
        ["n", "-", "-", "null"],
    ]
    assert text.index("CONFIG") < text.index("METRIC")
    assert "CONFIG" not in shown(invoke("compare", *[f"{PROJECT}/a"] * 2))


def test_tags_are_added_and_removed(invoke, runs):
    text = shown(invoke("tag", f"{PROJECT}/top", "best", "--remove", "first", "second"))
    assert text == "Tags of top: best\n"
    assert te.get_run("acme", "digits", "top").tags == ("best",)
    text = shown(invoke("tag", f"{PROJECT}/top", "--remove", "best"))
    assert text == "Tags of top: -\n"
    assert te.get_run("acme", "digits", "top").tags == ()
    refused = invoke("tag", f"{PROJECT}/top")
    assert refused.returncode == 2
    assert "tag requires a TAG to add, or a -TAG to remove" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "tags"),
    [
        (("{}", "+best", "-first"), {"second", "best"}),
        (("{}", "-first", "best", "-second", "new"), {"best", "new"}),
        (("-second", "{}"), {"first"}),
        (("{}", "best", "--remove", "first", "-second"), {"best"}),
        (("{}", "--", "-best"), {"first", "second", "-best"}),
        (("{}", "--yes", "-first"), {"second"}),
    ],
)
def test_a_tag_with_a_minus_is_removed(invoke, runs, arguments, tags):
    shown(invoke("tag", *(text.format(f"{PROJECT}/top") for text in arguments)))
    assert {*te.get_run("acme", "digits", "top").tags} == tags


@pytest.mark.parametrize(
    ("mistyped", "words"),
    [
        ("-remove", "unrecognized arguments: -remove; did you mean '--remove'?"),
        ("-wher", "unrecognized arguments: -wher; did you mean '--where'?"),
        ("--first", "unrecognized arguments: --first"),
        ("--remove", "expected at least one argument; if it starts with -, write --remove=VALUE"),
    ],
)
def test_an_option_that_is_mistyped_removes_no_tag(invoke, runs, mistyped, words):
    refused = invoke("tag", f"{PROJECT}/top", "best", mistyped, "-second")
    assert (refused.returncode, words in refused.stderr) == (2, True)
    assert {*te.get_run("acme", "digits", "top").tags} == {"first", "second"}


def test_a_tag_that_a_run_lacks_is_named(invoke, runs):
    finished = invoke("tag", f"{PROJECT}/top", "best", "-frist", "-first")
    assert (finished.returncode, finished.stderr) == (0, "top has no tag 'frist'\n")
    assert {*te.get_run("acme", "digits", "top").tags} == {"second", "best"}


def test_a_run_that_another_process_has_open_is_tagged(invoke):
    run = te.init("acme", "Digits", "open")
    assert shown(invoke("tag", f"{PROJECT}/open", "seen")) == "Tags of open: seen\n"
    assert te.get_run("acme", "digits", run.uuid).tags == ("seen",)
    assert te.get_run("acme", "digits", run.uuid).status == "RUNNING"


def test_notes_group_and_job_type_are_changed_and_removed(invoke, runs):
    text = shown(invoke("rename", f"{PROJECT}/top", "best", "--notes", "new", "--group", ""))
    assert text == "Renamed top to best\nChanged notes, group of best\n"
    run = te.get_run("acme", "digits", "best")
    assert (run.notes, run.group, run.job_type) == ("new", None, "train")
    text = shown(invoke("rename", f"{PROJECT}/best", "--job-type", "eval"))
    assert text == "Changed job type of best\n"
    run = te.get_run("acme", "digits", "best")
    assert (run.name, run.notes, run.job_type) == ("best", "new", "eval")
    refused = invoke("rename", f"{PROJECT}/best")
    assert refused.returncode == 2
    assert "rename requires NAME, --notes, --group or --job-type" in refused.stderr


def test_hostile_details_cannot_steer_the_terminal(invoke):
    hostile = "evil\x1b[2J\u202etext"
    run = te.init(
        "acme",
        "Digits",
        "run",
        config={hostile: hostile},
        tags=[hostile],
        group=hostile,
        job_type=hostile,
        notes=f"line\n{hostile}",
    )
    with pytest.raises(ValueError, match="evil"), run:
        raise ValueError(hostile)
    change(run, environment={hostile: {hostile: hostile}})
    te.init("acme", "Digits", "other", parent=run).finish()
    for arguments in (
        ("show", f"{PROJECT}/run"),
        ("runs", PROJECT),
        ("compare", f"{PROJECT}/run", f"{PROJECT}/other"),
        ("tag", f"{PROJECT}/run", f"{hostile}2"),
    ):
        text = shown(invoke(*arguments))
        assert "evil\ufffd[2J\ufffdtext" in text
        assert not set(text) & {"\x1b", "\u202e"}


def test_the_axis_of_a_long_metric_starts_at_its_first_step(invoke, monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    with te.init("acme", "Digits", "long") as run:
        run.log_metrics({"loss": 1.0}, step=0)
        for step in range(1, 2000):
            run.log("loss", 1 / step, step=step)
    te.init("acme", "Digits", "other").finish()
    for arguments in (("show",), ("compare", "acme/digits/other")):
        lines = invoke(*arguments, "acme/digits/long").stdout.rstrip().splitlines()
        assert lines[-1].split()[0] == "0"
        assert lines[-1].split()[-1] == "1999"
