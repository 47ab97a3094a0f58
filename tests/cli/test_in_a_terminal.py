"""Output in a terminal, at any width and with any names."""

import math
import re
import sys

import pytest

import afnio_tellurio as te
from afnio_tellurio.cli.printing import chart, columns_of, printable, table

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
    shown = at_terminal("compare", *six_runs[:count], columns=columns)
    assert shown.status == 0, shown.shown
    assert "\x1b" not in shown.shown
    lines = shown.shown.replace("\r\n", "\n").splitlines()
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


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_nothing_is_coloured(six_runs, at_terminal, variables):
    for arguments in (("runs", "acme/digits"), ("show", six_runs[0])):
        shown = at_terminal(*arguments, **variables)
        assert shown.status == 0
        assert "\x1b" not in shown.shown


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
    shown = terminal("runs", "acme/digits", columns=120)
    assert shown.end() == 0
    lines = shown.shown.split("\r\n")
    assert len(lines) == len(HOSTILE) + 2
    starts = {
        columns_of(line[: re.search(r"(STATUS|COMPLETED)", line).start()]) for line in lines[:-1]
    }
    assert len(starts) == 1, lines
    for name in HOSTILE:
        for arguments in (("show",), ("compare", "acme/digits/שלום")):
            shown = at_terminal(*arguments, f"acme/digits/{name}")
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
    assert shown.shown.rpartition("\x1b[K")[2].startswith("RUN ")
    quiet = at_terminal("runs", "acme/digits", "--metrics", "loss", TELLURIO_QUIET="1")
    assert quiet.status == 0
    assert quiet.shown.startswith("RUN ")
