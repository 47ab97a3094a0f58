"""The commands that list, compare, export, rename and delete, through their real entry point."""

import argparse
import csv
import json
import math
import os
import signal
import stat
import threading
import time

import pytest
from children import GUARD
from freezegun import freeze_time

import afnio_tellurio as te

HOSTILE = "evil\x1b[2J\r\u202ename"


@pytest.fixture
def runs(backend):
    """Three runs of one project, whose losses end at 3, 1 and nowhere."""
    for name, last, status in (("a", 3.0, "COMPLETED"), ("b", 1.0, "CRASHED")):
        run = te.init("acme", "Digits!", name)
        for step in range(10):
            run.log("loss", 10 - (10 - last) * step / 9, step=step)
        run.log("note", f"{name}, done")
        run.finish(status=te.RunStatus(status))
    run = te.init("acme", "Digits!", "c")
    run.log("odd", math.nan)
    run.log("odd", 2**60 + 1)
    run.finish()
    return list(te.runs("acme", "digits"))


def first_column(finished):
    assert (finished.returncode, finished.stderr) == (0, "")
    return [line.split()[0] for line in finished.stdout.splitlines()[1:]]


def test_projects_are_listed(invoke, runs):
    te.create_project("acme", "Another")
    assert first_column(invoke("projects", "acme")) == ["another", "digits"]
    another, digits = json.loads(invoke("projects", "acme", "--json").stdout)
    assert (another["slug"], another["last_run_date"]) == ("another", None)
    assert digits["display_name"] == "Digits!"
    assert another["run_counts"] == {}
    assert sum(digits["run_counts"].values()) == sum(digits["runs_per_day"]) == 3
    assert digits["last_activity"] >= digits["last_run_date"]
    header, empty, line = invoke("projects", "acme").stdout.splitlines()
    assert header.split()[:5] == ["PROJECT", "NAME", "RUNS", "RUNNING", "CRASHED"]
    assert empty.split()[2:5] == ["0", "0", "0"]
    counts = [digits["run_counts"].get(status, 0) for status in ("RUNNING", "CRASHED")]
    assert line.split()[2:5] == ["3", *map(str, counts)]


def test_runs_are_filtered_sorted_and_cut(invoke, runs):
    assert first_column(invoke("runs", "acme/digits", "--status", "completed")) == ["c", "a"]
    assert first_column(invoke("runs", "acme/digits", "--limit", "1")) == ["c"]
    assert first_column(invoke("runs", "acme/digits", "--sort", "loss")) == ["b", "a", "c"]
    reverse = invoke("runs", "acme/digits", "--sort", "loss", "--reverse", "--limit", "2")
    assert first_column(reverse) == ["a", "b"]
    assert first_column(invoke("runs", "acme/digits", "--reverse")) == ["a", "b", "c"]


def test_columns_show_the_last_values_of_metrics(invoke, runs):
    finished = invoke("runs", "acme/digits", "--metrics", "loss,note")
    header, *lines = finished.stdout.splitlines()
    assert header.split()[-2:] == ["loss", "note"]
    assert lines[0].split()[-2:] == ["-", "-"]
    assert lines[1].endswith('   1  "b, done"')
    shown = json.loads(invoke("runs", "acme/digits", "--metrics", "loss", "--json").stdout)
    assert [run["metrics"] for run in shown] == [{}, {"loss": 1.0}, {"loss": 3.0}]


def test_dates_are_taken_as_people_write_them(invoke, runs):
    for since, until, count in (
        ("yesterday", "today", 3),
        ("2 weeks ago", "1 hour ago", 0),
        ("3 Nov 2020", None, 3),
        (None, "3 Nov 2020 10:00", 0),
        ("2020-11-03T10:00:00+05:30", None, 3),
        ("Jan 1 2199", None, 0),
    ):
        given = [*(("--since", since) if since else ()), *(("--until", until) if until else ())]
        finished = invoke("runs", "acme/digits", *given)
        if count:
            assert len(first_column(finished)) == count, given
        else:
            assert (finished.stdout, finished.stderr) == ("", "No runs match.\n"), given


def test_a_day_is_meant_whole(monkeypatch):
    import datetime as dt

    from afnio_tellurio.cli.dates import date_from, date_until

    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        start, end = date_from("3 Nov 2026"), date_until("3 Nov 2026")
        minute = date_until("3 Nov 2026 10:15")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert start == dt.datetime(2026, 11, 2, 18, 30, tzinfo=dt.UTC)
    assert end == dt.datetime(2026, 11, 3, 18, 29, 59, 999999, tzinfo=dt.UTC)
    assert minute == dt.datetime(2026, 11, 3, 4, 45, 59, 999999, tzinfo=dt.UTC)


@pytest.mark.parametrize("days", [1, 30, 200, 364])
def test_a_day_without_a_year_lies_in_the_past(days):
    import datetime as dt

    from afnio_tellurio.cli.dates import date_from

    now = dt.datetime.now().astimezone()
    day = now - dt.timedelta(days=days)
    assert date_from(f"{day:%d %b}").astimezone().date() == day.date()
    if days == 1:
        assert date_from(f"{day:%A}").astimezone().date() == day.date()


@pytest.mark.parametrize(
    ("now", "year"),
    [("2026-11-28", 2024), ("2028-02-28", 2024), ("2028-02-29", 2028), ("2103-05-31", 2096)],
)
def test_a_leap_day_without_a_year_is_the_last_one(now, year):
    import datetime as dt

    from afnio_tellurio.cli.dates import date_from

    with freeze_time(f"{now} 12:00"):
        for text in ("29 Feb", "Feb 29", "29 Feb 10:00"):
            assert date_from(text).astimezone().date() == dt.date(year, 2, 29)
        with pytest.raises(argparse.ArgumentTypeError):
            date_from("29 Feb 2026")


def test_a_span_may_have_the_sign_of_filters():
    from afnio_tellurio.cli.dates import date_from

    with freeze_time("2026-11-28"):
        for span in ("7d", "90m", "2 w"):
            assert date_from(f"-{span}") == date_from(span)


def test_zones_are_taken_as_they_are_written():
    import datetime as dt

    from afnio_tellurio.cli.dates import date_from

    wanted = dt.datetime(2026, 11, 3, 10, tzinfo=dt.UTC)
    for word in ("3 Nov 2026 10:00 UTC", "2026-11-03T10:00Z", "2026-11-03 15:30 +0530"):
        assert date_from(word) == wanted


def test_runs_are_compared_side_by_side(invoke, runs):
    finished = invoke("compare", "acme/digits/a", "acme/digits/b", "acme/digits/c")
    assert (finished.returncode, finished.stderr) == (0, "")
    lines = finished.stdout.splitlines()
    assert lines[0].split() == ["RUN", "STATUS", "CREATED", "DURATION"]
    assert [line.split()[:3] for line in lines[1:4]] == [
        ["a", "a", "COMPLETED"],
        ["b", "b", "CRASHED"],
        ["c", "c", "COMPLETED"],
    ]
    assert lines[5].split() == ["METRIC", "a", "b", "c"]
    assert lines[6].split() == ["loss", "last", "3", "1", "-"]
    assert lines[7].split() == ["minimum", "3", "1", "-"]
    assert lines[8].split() == ["maximum", "10", "10", "-"]
    chart = "".join(line for line in lines if "┤" in line)
    assert "a" in chart
    assert "b" in chart
    assert "\x1b" not in finished.stdout
    one, two = json.loads(
        invoke("compare", "acme/digits/a", "acme/digits/b", "--metrics", "loss", "--json").stdout
    )
    assert (one["name"], one["metrics"]["loss"]["minimum"], two["status"]) == ("a", 3.0, "CRASHED")
    assert list(one["metrics"]) == ["loss"]
    unknown = invoke("compare", "acme/digits/a", "acme/digits/b", "--metrics", "los")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr == (
        "afnio-tellurio compare: None of the runs has the metric 'los'; did you mean 'loss'?\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("export", "acme/digits/a", "--metrics", "lost"), "Run 'a' has no metric 'lost'"),
        (("export", "acme/digits/a", "--metrics", "loss,lost"), "Run 'a' has no metric 'lost'"),
        (("show", "acme/digits/a", "--metrics", "lost"), "Run 'a' has no metric 'lost'"),
        (("runs", "acme/digits", "--metrics", "lost"), "None of the runs has the metric 'lost'"),
        (
            ("runs", "acme/digits", "--sort", "lost"),
            "Can't sort by 'lost': the runs have no such metric or attribute",
        ),
        (
            ("compare", "acme/digits/a", "acme/digits/b", "--metrics", "lost"),
            "None of the runs has the metric 'lost'",
        ),
    ],
)
def test_a_misspelled_metric_is_an_error_that_names_the_right_one(invoke, runs, arguments, words):
    finished = invoke(*arguments)
    assert (finished.returncode, finished.stdout) == (1, "")
    expected = f"afnio-tellurio {arguments[0]}: {words}; did you mean 'loss'?\n"
    assert finished.stderr == expected


@pytest.mark.parametrize(
    ("argument", "names"),
    [
        ('"precision, macro"', ["precision, macro"]),
        ('loss , "precision, macro","say ""x"""', ["loss", "precision, macro", 'say "x"']),
        ('" lead ", 5" disk', [" lead ", '5" disk']),
    ],
)
def test_a_metric_with_a_comma_is_named_in_double_quotes(invoke, backend, argument, names):
    with te.init("acme", "Digits", "r") as run:
        for name in [*names, "other"]:
            run.log(name, 1)
    shown = json.loads(invoke("show", "acme/digits/r", "--metrics", argument, "--json").stdout)
    assert list(shown["metrics"]) == names
    exported = invoke("export", "acme/digits/r", "--metrics", argument, "--format", "jsonl").stdout
    assert {json.loads(line)["name"] for line in exported.splitlines()} == set(names)


def test_a_metric_of_other_runs_than_those_listed_is_no_error(invoke, runs):
    with te.init("acme", "Digits", "d") as run:
        run.log("special", 1)
    finished = invoke("runs", "acme/digits", "--metrics", "special", "--status", "crashed")
    assert (finished.returncode, finished.stderr) == (0, "")


def test_show_draws_the_chosen_metrics_and_else_a_bounded_number(invoke, backend):
    with te.init("acme", "Digits", "wide") as run:
        for step in range(3):
            run.log_metrics({f"layer{number:02}": step for number in range(25)}, step)
    finished = invoke("show", "acme/digits/wide")
    assert finished.stdout.rstrip().endswith("5 more charts; choose some with --metrics A,B")
    titles = [line.split()[0] for line in finished.stdout.splitlines() if "layer" in line]
    assert len(titles) == 25 + 20
    chosen = invoke("show", "acme/digits/wide", "--metrics", "layer24,layer03")
    titles = [line.split()[0] for line in chosen.stdout.splitlines() if "layer" in line]
    assert titles == ["layer24", "layer03", "layer24", "layer03"]
    facts = json.loads(invoke("show", "acme/digits/wide", "--metrics", "layer03", "--json").stdout)
    assert list(facts["metrics"]) == ["layer03"]


@pytest.mark.parametrize("name", ["é" * 127, "x" * 245, "x" * 251 + ".csv", "x" * 240])
def test_an_export_may_have_the_longest_name_that_the_file_system_takes(
    invoke, runs, tmp_path, name
):
    finished = invoke("export", "acme/digits/a", "--output", str(tmp_path / name))
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / name).read_text().startswith("name,step,")
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_a_run_is_exported_as_csv_and_as_json_lines(invoke, runs, tmp_path):
    out = invoke("export", "acme/digits/a").stdout
    rows = list(csv.DictReader(out.splitlines()))
    assert list(rows[0]) == ["name", "step", "value", "timestamp"]
    assert [float(row["value"]) for row in rows[:10]] == runs[2].metrics("loss").values
    assert json.loads(rows[10]["value"]) == "a, done"
    assert rows[0]["timestamp"] == runs[2].metrics("loss").timestamps[0].isoformat()
    path = tmp_path / "c.jsonl"
    finished = invoke("export", "acme/digits/c", "--output", str(path))
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout == f"{path}: 2 values of c\n"
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(one["name"], one["step"], one["value"]) for one in found] == [
        ("odd", 0, "NaN"),
        ("odd", 1, 2**60 + 1),
    ]
    only = invoke("export", "acme/digits/a", "--metrics", "note", "--format", "jsonl").stdout
    assert [json.loads(line)["name"] for line in only.splitlines()] == ["note"]


def test_an_unknown_extension_is_refused_unless_the_format_is_chosen(invoke, runs, tmp_path):
    for suffix in (".xyz", ".gz", ".Json", ".5"):
        path = tmp_path / f"a.csv{suffix}"
        refused = invoke("export", "acme/digits/a", "--output", str(path))
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.endswith(
            f"error: unknown extension {suffix!r} of --output; use .csv, .jsonl, .ndjson or "
            ".parquet, or choose the format with --format csv, jsonl or parquet\n"
        )
        assert not path.exists()
        chosen = invoke("export", "acme/digits/a", "--output", str(path), "--format", "csv")
        assert (chosen.returncode, chosen.stderr) == (0, "")
        assert path.read_text().startswith("name,step,value,timestamp\n")
        path.unlink()
    for name in ("a.CSV", "a", ".hidden"):
        path = tmp_path / name
        assert invoke("export", "acme/digits/a", "--output", str(path)).returncode == 0
        assert path.read_text().startswith("name,step,value,timestamp\n")


def test_a_run_is_exported_as_parquet(invoke, runs, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    for name, wanted in (("a", None), ("c", [None, str(2**60 + 1)])):
        path = tmp_path / f"{name}.parquet"
        assert invoke("export", f"acme/digits/{name}", "--output", str(path)).returncode == 0
        table = pq.read_table(path).to_pydict()
        if wanted is None:
            assert table["value"] == [*runs[2].metrics("loss").values, None]
            assert table["json"] == [*[None] * 10, '"a, done"']
            assert table["timestamp"][:10] == runs[2].metrics("loss").timestamps
        else:
            assert math.isnan(table["value"][0])
            assert table["json"] == wanted


def test_a_failed_export_leaves_what_was_there(invoke, runs, tmp_path):
    path = tmp_path / "kept.csv"
    path.write_text("before")
    failed = invoke("export", "acme/digits/none", "--output", str(path))
    assert failed.returncode == 1
    assert len(failed.stderr.splitlines()) == 1
    assert path.read_text() == "before"
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".part")]


def test_an_interrupted_export_leaves_no_file_and_one_line(backend, start_python, tmp_path):
    with te.init("acme", "Digits", "long") as run:
        for step in range(3000):
            run.log("m", step)
    program = """
import sys
import afnio_tellurio.api.metric_lists as metric_lists
metric_lists.METRICS_PAGE = 10
from afnio_tellurio.cli import exporting, main
pages = exporting._pages
def slowly(*arguments):
    for page in pages(*arguments):
        yield page
        print("page", file=sys.stderr, flush=True)
        while True:
            pass
exporting._pages = slowly
sys.exit(main(sys.argv[1:]))
"""
    path = tmp_path / "long.csv"
    child = start_python("-c", program, "export", "acme/digits/long", "--output", str(path))
    assert child.stderr.readline() == "page\n"
    assert [name for name in os.listdir(tmp_path) if name.endswith(".part")]
    child.send_signal(signal.SIGINT)
    _out, err = child.communicate(timeout=GUARD)
    assert child.returncode == 1
    assert [line for line in err.splitlines() if line != "page"] == ["afnio-tellurio: interrupted"]
    assert not [name for name in os.listdir(tmp_path) if "long.csv" in name]


def test_a_device_is_written_to_and_not_replaced(invoke, runs):
    finished = invoke("export", "acme/digits/a", "--output", os.devnull)
    assert finished.returncode == 0
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_run_is_renamed(invoke, runs):
    finished = invoke("rename", "acme/digits/a", "best")
    assert (finished.returncode, finished.stdout) == (0, "Renamed a to best\n")
    assert invoke("rename", "acme/digits/b", "best").stdout == "Renamed b to best_1\n"
    assert {run.name for run in te.runs("acme", "digits")} == {"best", "best_1", "c"}


def test_deleting_takes_a_yes(invoke, runs):
    refused = invoke("delete", "acme/digits/a")
    assert refused.returncode == 1
    assert "pass --yes" in refused.stderr
    assert len(list(te.runs("acme", "digits"))) == 3
    deleted = invoke("delete", "acme/digits/a", "--yes")
    assert deleted.returncode == 0
    assert deleted.stdout.startswith("Moved a to the trash. ")
    assert [run.name for run in te.runs("acme", "digits")] == ["c", "b"]
    assert invoke("delete", "acme/digits/a", "--yes").returncode == 1


def test_a_terminal_is_asked_before_deleting(at_terminal, runs):
    for answer, status, left in (("\n", 1, 3), ("no\n", 1, 3), ("y\n", 0, 2)):
        asked = at_terminal("delete", "acme/digits/a", typed=answer, streams=("stdin", "stderr"))
        assert "Delete a (COMPLETED, 11 values)? [y/N] " in asked.shown
        assert asked.status == status
        assert asked.out.startswith("Moved a to the trash. ") is (status == 0)
        assert len(list(te.runs("acme", "digits"))) == left


def test_a_process_at_a_terminal_deletes_after_a_yes(monkeypatch, terminal):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    te.init("acme", "Digits", "a").finish()
    shown = terminal("delete", "acme/digits/a")
    shown.read_until("Delete a (COMPLETED, 0 values)? [y/N] ")
    shown.type("y\n")
    assert shown.end() == 0
    assert list(te.runs("acme", "digits")) == []


def test_hostile_names_cannot_steer_the_terminal(invoke, backend):
    with te.init("acme", "Digits", HOSTILE) as run:
        run.log("m\x07", 1)
        run.log("m\x07", 2)
    place = f"acme/digits/{HOSTILE}"
    for arguments in (
        ("runs", "acme/digits", "--metrics", "m\x07"),
        ("compare", place, place),
        ("export", place, "--output", "/dev/null"),
        ("rename", place, f"{HOSTILE}2"),
        ("delete", f"{place}2", "--yes"),
    ):
        finished = invoke(*arguments)
        assert finished.returncode == 0, finished.stderr
        assert "evil�[2J��name" in finished.stdout
        assert not set(finished.stdout) & {"\x1b", "\r", "\x07", "\u202e"}


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("projects", "a b"), 1, "namespace slug is 'a b'"),
        (
            ("runs", "acme/p", "--status", "archived"),
            2,
            "invalid choice: 'archived' (choose from running, completed, crashed, failed)",
        ),
        (("runs", "acme/p", "--since", "soon"), 2, "'soon' isn't a valid date"),
        (("runs", "acme/p", "--until", "Nov 2026"), 2, "'Nov 2026' isn't a valid date"),
        (("runs", "acme/p", "--since", "2026"), 2, "'2026' isn't a valid date"),
        (
            ("runs", "acme/p", "--since", "3 Nov 2026 10:00 PST"),
            2,
            "with a zone such as +05:30 or UTC",
        ),
        (("runs", "acme/p", "--since", "3 Nov 2026 10:00 GMT+3"), 2, "with a zone such as +05:30"),
        (("runs", "acme/p", "--limit", "0"), 2, "Must be 1 or more, got '0'"),
        (("runs", "acme/p", "--metrics", "a,,b"), 2, "'a,,b' contains an empty name"),
        (("compare", "acme/p/r"), 2, "compare takes 2 to 26 runs"),
        (("compare", "acme/p/r", "acme/p/s"), 1, "afnio-tellurio compare: "),
        (("export", "acme/p/r"), 1, "afnio-tellurio export: "),
        (("export", "acme/p/r", "--format", "parquet"), 2, "Parquet needs --output FILE"),
        (("export", "acme/p/r", "--format", "xml"), 2, "invalid choice: 'xml'"),
        (("rename", "acme/p/r", "x"), 1, "afnio-tellurio rename: "),
        (("delete", "acme/p/r", "--yes"), 1, "afnio-tellurio delete: "),
    ],
)
def test_what_cannot_be_done_is_a_clear_line_and_an_exit_status(invoke, arguments, status, words):
    finished = invoke(*arguments, TELLURIO_MODE="local")
    assert finished.returncode == status
    assert words in finished.stderr
    assert "Traceback" not in finished.stderr
    assert finished.stdout == ""
    if status == 1:
        assert len(finished.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("projects", "acme"),
        ("runs", "acme/p"),
        ("compare", "acme/p/a", "acme/p/b"),
        ("export", "acme/p/a"),
        ("rename", "acme/p/a", "b"),
        ("delete", "acme/p/a", "--yes"),
    ],
)
@pytest.mark.usefixtures("no_connect_delay")
def test_a_dead_server_is_one_line(invoke, arguments):
    finished = invoke(*arguments, TELLURIO_BACKEND_HTTP_BASE_URL="http://127.0.0.1:9")
    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    assert "http://127.0.0.1:9 cannot be reached" in line


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_export_that_nobody_reads_to_its_end_is_no_traceback(
    monkeypatch, start_python, unbuffered
):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    log_more_than_a_pipe_holds()
    child = start_python("-m", "afnio_tellurio.cli", "export", "acme/digits/long")
    assert child.stdout.readline() == "name,step,value,timestamp\n"
    child.stdout.close()
    child.stdout = None
    assert child.wait(timeout=GUARD) == 1
    assert child.stderr.read() == ""


def test_an_export_of_a_server_that_nobody_reads_is_no_message(server, invoke):
    log_more_than_a_pipe_holds()
    reader, writer = os.pipe()
    read = threading.Thread(target=lambda: (os.read(reader, 10), os.close(reader)))
    read.start()
    with open(writer, "w", encoding="utf-8") as out:
        finished = invoke("export", "acme/digits/long", streams={"stdout": out})
    read.join()
    assert (finished.returncode, finished.stderr) == (1, "")


def log_more_than_a_pipe_holds():
    with te.init("acme", "Digits", "long") as run:
        for step in range(0, 5000, 1000):
            run.log_metrics({f"m{number}": number for number in range(1000)}, step=step)
