"""Output in a terminal, at any width and with any names."""

import math
import re
import sys

import pytest

import afnio_tellurio as te
from afnio_tellurio.cli.layout import columns_of, shorten, table
from afnio_tellurio.cli.printing import chart, printable

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")


@pytest.fixture
def six_runs(monkeypatch):
    """Runs with different metrics, of several kinds."""
    monkeypatch.setenv("TELLURIO_MODE", "local")
    for number in range(6):
        with te.init("acme", "Digits", f"run-{number}") as run:
            for step in range(10):
                run.log("loss", number + 1 / (step + 1), step=step)
                run.log("unsteady", math.nan if step % 2 else math.inf, step=step)
            run.log("note", f"a note on run {number} that is rather long")
            run.log(f"only/{number}", number)
    return [f"acme/digits/run-{number}" for number in range(6)]


@pytest.mark.parametrize("count", [2, 3, 6])
@pytest.mark.parametrize("columns", [40, 80, 200])
def test_compared_runs_fit_the_terminal(six_runs, at_terminal, count, columns):
    shown = at_terminal("compare", *six_runs[:count], columns=columns, NO_COLOR="1")
    assert shown.status == 0, shown.shown
    assert "\x1b" not in shown.shown
    lines = shown.shown.replace("\r\n", "\n").splitlines()
    colored = at_terminal("compare", *six_runs[:count], columns=columns)
    assert without_colors(colored.shown)[: len(lines[0])] == lines[0]
    legend, rest = lines[: count + 1], lines[count + 1 :]
    assert [line.split()[:2] for line in legend[1:]] == [
        [mark, f"run-{number}"] for number, mark in enumerate("abcdef"[:count])
    ]
    assert max(columns_of(line) for line in rest) <= columns
    marks = [mark for line in rest if line.startswith("METRIC") for mark in line.split()[1:]]
    assert marks == list("abcdef"[:count])
    chart = "\n".join(line for line in rest if "┤" in line)
    assert all(mark in chart for mark in "abcdef"[:count])


def test_a_metric_that_only_one_run_has_leaves_the_others_empty(six_runs, invoke):
    finished = invoke("compare", *six_runs[:2])
    lines = [line.split() for line in finished.stdout.splitlines()]
    assert ["only/0", "last", "0", "-"] in lines
    assert ["only/1", "last", "-", "1"] in lines
    assert ["unsteady", "last", "nan", "nan"] in lines
    assert ["maximum", "inf", "inf"] in lines
    note = next(index for index, line in enumerate(lines) if line[:1] == ["note"])
    assert lines[note + 1][0] == "only/0", "a text has neither a minimum nor a maximum"
    titles = [line.strip() for line in finished.stdout.splitlines()]
    assert titles.count("loss") == 1
    assert "unsteady" not in titles, "there is no finite number to draw"


def test_runs_of_several_projects_are_told_apart(six_runs, invoke):
    te.init("acme", "Letters", "run-0").finish()
    finished = invoke("compare", six_runs[0], "acme/letters/run-0")
    assert [line.split()[1] for line in finished.stdout.splitlines()[1:3]] == [
        "acme/digits/run-0",
        "acme/letters/run-0",
    ]


def test_through_a_pipe_compared_runs_stay_in_one_table(six_runs, invoke):
    finished = invoke("compare", *six_runs, "--metrics", "note", COLUMNS="40")
    (header,) = [line for line in finished.stdout.splitlines() if line.startswith("METRIC")]
    assert header.split() == ["METRIC", *"abcdef"]
    assert '"a note on run 0 ...' in finished.stdout


def without_colors(text):
    return re.sub(r"\x1b\[[\d;]*m", "", text)


READING = [("runs", "acme/digits"), ("show", "acme/digits/run-0"), ("projects", "acme")]


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colors_can_be_switched_off(six_runs, at_terminal, variables):
    for arguments in READING:
        shown = at_terminal(*arguments, **variables)
        assert shown.status == 0
        assert "\x1b" not in shown.shown
        assert without_colors(at_terminal(*arguments).shown) == shown.shown


def test_headers_are_bold_and_statuses_have_colors(six_runs, at_terminal, monkeypatch):
    te.init("acme", "Digits", "COMPLETED").finish(status="FAILED")
    lines = at_terminal("runs", "acme/digits").shown.replace("\r\n", "\n").splitlines()
    assert lines[0].startswith("\x1b[1mRUN ")
    assert lines[0].endswith("\x1b[0m")
    assert lines[1].startswith("COMPLETED  \x1b[31mFAILED\x1b[0m     20")
    assert lines[2].startswith("run-5      \x1b[32mCOMPLETED\x1b[0m  20")


@pytest.mark.parametrize("columns", [30, 40, 60, 80, 120])
def test_tables_fit_the_terminal(at_terminal, monkeypatch, columns):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    names = ["a" * 100 + "z", "日本語" * 40 + "z", "short"]
    for name in names:
        with te.init("acme", "Digits", name) as run:
            run.log_metrics({"train/loss": 0.5, "eval/score": 0.123456})
    for arguments in (
        ("runs",),
        ("runs", "acme/digits", "--metrics", "train/loss,eval/score"),
        ("projects",),
        ("compare", *(f"acme/digits/{name}" for name in names), "--no-charts"),
    ):
        shown = at_terminal(*arguments, columns=columns, NO_COLOR="1", TELLURIO_QUIET="1")
        lines = shown.shown.replace("\r\n", "\n").splitlines()
        assert shown.status == 0
        assert max(map(columns_of, lines)) <= columns, lines
    if columns >= 60:
        rows = at_terminal("runs", "acme/digits", columns=columns, NO_COLOR="1").shown
        assert re.search(r"\n日\S*…\S*z ", rows)
        assert re.search(r"\naa+…a+z ", rows)
        assert "\nshort " in rows


def test_optional_columns_go_before_names_are_illegible(at_terminal, monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    te.init("acme", "Project with a name", "a-run-with-a-name", tags=["t" * 30]).finish()
    lines = at_terminal("runs", columns=80, NO_COLOR="1").shown.replace("\r\n", "\n").splitlines()
    assert lines[0].split() == ["PROJECT", "RUN", "STATUS", "CREATED", "DURATION"]
    project, run = lines[1].split()[:2]
    assert (len(project), len(run)) == (19, 17)
    lines = at_terminal("runs", columns=60, NO_COLOR="1").shown.replace("\r\n", "\n").splitlines()
    assert lines[0].split() == ["PROJECT", "RUN", "STATUS"]
    assert lines[1].split()[:2] == ["acme/project-with-a-name", "a-run-with-a-name"]


def test_a_shortened_text_has_no_mark_without_its_letter():
    assert shorten("e\u0301" * 6, 4) == "e\u0301e\u0301…e\u0301"
    assert shorten("abcde\u0301\u0302f", 4) == "ab…f"


def test_compared_configs_of_wide_letters_fit_the_terminal(at_terminal, monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    for name in ("one", "two", "three"):
        te.init("acme", "Digits", name, config={"text": "日本語" * 4 + name}).finish()
    paths = [f"acme/digits/{name}" for name in ("one", "two", "three")]
    lines = at_terminal("compare", *paths, columns=80, NO_COLOR="1").shown.splitlines()
    assert max(map(columns_of, lines)) <= 80
    shown = "\n".join(lines)
    assert all(f'"{"日本語" * 4}{name}"' in shown for name in ("one", "two", "three"))


def test_metrics_stay_when_other_columns_do_not_fit(six_runs, at_terminal):
    shown = at_terminal("runs", "acme/digits", "--metrics", "loss", columns=30, TELLURIO_QUIET="1")
    lines = without_colors(shown.shown).replace("\r\n", "\n").splitlines()
    assert lines[0].split() == ["RUN", "STATUS", "loss"]
    assert lines[1].split() == ["run-5", "COMPLETED", "5.1"]
    assert lines[-1] == "(3 more columns in --json)"


@pytest.mark.parametrize("columns", [46, 60, 80])
def test_a_text_among_the_values_of_metrics_takes_the_place_of_no_number(
    at_terminal, monkeypatch, columns
):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    with te.init("acme", "Digits", "run") as run:
        run.log_metrics({"loss": 0.123456, "note": "a long text " * 10})
    shown = at_terminal("show", "acme/digits/run", "--no-charts", columns=columns, NO_COLOR="1")
    lines = shown.shown.replace("\r\n", "\n").partition("\nMETRIC")[2].splitlines()
    assert lines[0].split() == ["COUNT", "LAST", "MINIMUM", "MAXIMUM"]
    assert lines[1].split() == ["loss", "1", "0.123456", "0.123456", "0.123456"]
    assert re.match(r'note +1 +"a.*….* +- +-$', lines[2])
    assert len(lines) == 3
    assert {len(line) for line in lines[1:]} == {min(columns, len(lines[2]))}
    if columns > 46:
        assert len(lines[2]) == columns, "a text has the width that is free"
    shown = at_terminal(
        "compare", *["acme/digits/run"] * 2, "--no-charts", columns=26, NO_COLOR="1"
    ).shown
    assert re.search(r'\r\nnote +last +"a.*…', shown)
    assert shown.count("0.123456") == 6


def test_through_a_pipe_nothing_is_shortened_or_colored(invoke, monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    te.init("acme", "Digits", "a" * 200).finish()
    out = invoke("runs", COLUMNS="40").stdout
    assert f"  {'a' * 200}  COMPLETED  20" in out
    assert "\x1b" not in out


def test_numbers_are_aligned_at_the_right(invoke, monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    for name, value in (("first", 7), ("second", 12345)):
        with te.init("acme", "Digits", name) as run:
            run.log("tokens", value)
    lines = invoke("runs", "acme/digits", "--metrics", "tokens").stdout.splitlines()
    assert [line.rpartition("  ")[2] for line in lines] == ["tokens", "12345", "7"]
    assert len({len(line) for line in lines}) == 1


def test_compared_runs_have_colors_in_charts_and_letters_without(six_runs, at_terminal):
    shown = at_terminal("compare", *six_runs[:2], "--metrics", "loss").shown
    for mark, color in (("a", 6), ("b", 3)):
        assert f"\x1b[38;5;{color}m{mark}\x1b[0m  run-" in shown
        assert re.search(rf"\x1b\[38;5;{color}m[\u2801-\u28ff]+\x1b", shown)
    plain = at_terminal("compare", *six_runs[:2], "--metrics", "loss", NO_COLOR="1").shown
    assert "aa" in plain
    assert not re.search("[\u2801-\u28ff]", plain)
    assert "┤" not in at_terminal("compare", *six_runs[:2], "--no-charts").shown


TWO_RUNS = ("compare", "acme/digits/run-0", "acme/digits/run-1")


@pytest.fixture
def pager(tmp_path):
    """A program that shows what it reads between two lines."""
    path = tmp_path / "pager"
    path.write_text("#!/bin/sh\necho BEGIN $1\ncat\necho END\n")
    path.chmod(0o700)
    return f"{path} -x"


def test_output_longer_than_the_screen_is_shown_in_the_pager(six_runs, terminal, pager):
    shown = terminal("compare", *six_runs[:2], PAGER=pager)
    assert shown.end() == 0
    lines = without_colors(shown.shown).split("\r\n")
    assert lines[0] == "BEGIN -x"
    assert lines[2].startswith("a  run-0  COMPLETED")
    assert lines[-2:] == ["END", ""]
    assert "\x1b[1mMETRIC" in shown.shown


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        ((*TWO_RUNS, "--no-pager"), {}),
        (TWO_RUNS, {"TERM": "dumb"}),
        (TWO_RUNS, {"PAGER": "/nonexistent/pager"}),
        (TWO_RUNS, {"PAGER": ""}),
        (TWO_RUNS, {"PAGER": "less 'x"}),
        (("runs", "acme/digits"), {}),
    ],
)
def test_no_pager_is_used_without_need(six_runs, terminal, pager, arguments, variables):
    shown = terminal(*arguments, **{"PAGER": pager, **variables})
    assert shown.end() == 0
    assert "BEGIN" not in shown.shown
    assert "run-0" in shown.shown


def test_a_failure_is_shown_without_the_pager(terminal, invoke, proxy, pager):
    assert invoke("note", "acme/digits/first", "a line\n" * 30).returncode == 0
    proxy.fault = lambda _method, path: (403, b"{}") if "/metrics/sample/" in path else None
    shown = terminal("show", "acme/digits/first", PAGER=pager)
    assert shown.end() == 1
    assert shown.shown.count("\r\n") > 24
    assert "BEGIN" not in shown.shown
    assert "afnio-tellurio show: " in shown.shown.splitlines()[-1]


def test_a_pager_that_ends_early_ends_nothing_else(six_runs, terminal):
    shown = terminal("compare", *six_runs, PAGER="head -n 1")
    assert shown.end() == 0
    assert without_colors(shown.shown) == "   RUN    STATUS     CREATED              DURATION\r\n"


def test_ctrl_c_is_for_the_pager(six_runs, terminal, tmp_path):
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\ntrap '' INT\ncat\necho READY\nread line </dev/tty\necho END\n")
    pager.chmod(0o700)
    shown = terminal("compare", *six_runs, PAGER=str(pager))
    shown.read_until("READY")
    shown.wait_until_it_reads()
    shown.type("\x03")
    shown.type("\n")
    shown.read_until("END")
    assert shown.end() == 0
    assert "afnio-tellurio:" not in shown.shown


def test_a_pipe_gets_no_pager(six_runs, invoke, pager):
    assert "BEGIN" not in invoke(*TWO_RUNS, PAGER=pager).stdout


def test_show_draws_no_charts_if_told_so(six_runs, invoke):
    assert "┤" in invoke("show", six_runs[0]).stdout
    finished = invoke("show", six_runs[0], "--no-charts")
    assert "┤" not in finished.stdout
    assert "METRIC" in finished.stdout


HOSTILE = [
    "evil\x1b[2J\r\nname",
    "日本語の名前",
    "\u202eright-to-left",
    "שלום",
    "a\u0301" * 20,
    "👩\u200d💻",
]


def test_names_of_all_kinds_are_shown_in_a_terminal_that_stays_as_it_is(
    terminal, at_terminal, monkeypatch
):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    for name in HOSTILE:
        with te.init("acme", "Digits", name, description=name) as run:
            run.log(name, name)
            run.log(f"{name}/number", 1.5, step=0)
            run.log(f"{name}/number", 2.5, step=1)
    shown = terminal("runs", "acme/digits", columns=120, NO_COLOR="1")
    assert shown.end() == 0
    lines = shown.shown.split("\r\n")
    assert len(lines) == len(HOSTILE) + 2
    starts = {
        columns_of(line[: re.search(r"(STATUS|COMPLETED)", line).start()]) for line in lines[:-1]
    }
    assert len(starts) == 1, lines
    for name in HOSTILE:
        for arguments in (("show",), ("compare", "acme/digits/שלום")):
            shown = at_terminal(*arguments, f"acme/digits/{name}", columns=200, NO_COLOR="1")
            assert shown.status == 0
            assert printable(name) in shown.shown
            assert not set(shown.shown) & {"\x1b", "\x07", "\u202e", "\u2028"}
            assert "\r" not in shown.shown.replace("\r\n", "")


def test_a_long_name_moves_its_own_line_only():
    short, other, long = table([], [["a", "x"], ["b", "y"], ["c" * 100, "z"]]).splitlines()
    assert short.index("x") == other.index("y") == 42
    assert long == "c" * 100 + "  z"


@pytest.mark.parametrize(
    "values",
    [[1e308, -1e308, 1e308], [0.0, 5e-324, 1e-323], [1e300, 1e300, -1e300], [-1.7e308, 1.7e308]],
)
def test_what_no_chart_can_show_is_left_out(values):
    assert chart("m", list(range(len(values))), values) == ""


@pytest.mark.parametrize("values", [[1.0, 1.0], [1e-200, 2e-200], [1e299, -1e298], [0.0, -0.0]])
@pytest.mark.parametrize("columns", ["5", "32", "40", "500"])
def test_charts_are_drawn_in_terminals_of_any_width(values, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    drawn = chart("m", [0, 2**53], values).splitlines()
    ticks = [float(line.partition("┤")[0]) for line in drawn if "┤" in line]
    assert ticks == sorted(ticks, reverse=True)
    assert ticks[0] == pytest.approx(max(values), rel=0.01)
    assert ticks[-1] == pytest.approx(min(values), rel=0.01)
    assert max(columns_of(line) for line in drawn) <= max(32, min(80, int(columns)))


def test_where_the_output_cannot_hold_a_chart_or_a_name_neither_fails(
    six_runs, command, invoke, tmp_path
):
    te.init("acme", "Digits", "日本").finish()
    finished = command("show", six_runs[0], PYTHONIOENCODING="latin-1")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "loss" in finished.stdout
    assert "┤" not in finished.stdout
    with (tmp_path / "out").open("w", encoding="ascii") as out:
        finished = invoke("runs", "acme/digits", streams={"stdout": out})
    assert (finished.returncode, finished.stderr) == (0, "")
    assert r"\u65e5\u672c" in (tmp_path / "out").read_text("ascii")


def test_ctrl_c_at_the_question_before_deleting_is_one_line_of_its_own(six_runs, terminal):
    shown = terminal("delete", six_runs[0])
    shown.read_until("[y/N] ")
    shown.wait_until_it_reads()
    shown.type("\x03")
    assert shown.end() == 1
    assert re.search(r"\[y/N\] (\^C)?\r\nafnio-tellurio: interrupted\r\n$", shown.shown)
    assert len(list(te.runs("acme", "digits"))) == 6


def test_ctrl_d_at_the_question_deletes_nothing(six_runs, terminal):
    shown = terminal("delete", six_runs[0])
    shown.read_until("[y/N] ")
    shown.type("\x04")
    assert shown.end() == 1
    assert re.search(r"\[y/N\] (\^D\x08\x08)?\r\nCanceled\.\r\n$", shown.shown)
    assert len(list(te.runs("acme", "digits"))) == 6


def test_the_metrics_of_many_runs_are_asked_for_visibly(six_runs, at_terminal):
    shown = at_terminal("runs", "acme/digits", "--metrics", "loss")
    assert shown.status == 0
    assert shown.shown.startswith("\r\x1b[K0 of 6 runs\r\x1b[K")
    assert shown.shown.rpartition("\x1b[K")[2].startswith("\x1b[1mRUN ")
    quiet = at_terminal("runs", "acme/digits", "--metrics", "loss", TELLURIO_QUIET="1")
    assert quiet.status == 0
    assert quiet.shown.startswith("\x1b[1mRUN ")
