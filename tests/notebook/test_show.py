"""Curves in a notebook."""

import re
import xml.etree.ElementTree as ET

import pytest

import afnio_tellurio as te
from afnio_tellurio.notebook import shown_curves
from afnio_tellurio.notebook.drawing import draw_curves
from afnio_tellurio.notebook.shown_curves import read_shown

HOSTILE = "</title><script>alert('1')</script>&\""


@pytest.fixture
def run(backend):
    namespace = "acme"
    with te.init(namespace, "Digits", "test_run") as run:
        for step in range(50):
            run.log("train/loss", 1 / (step + 1))
            run.log(HOSTILE, step)
        run.log("note", "a word")
    return run


def _draw(runs, names):
    return draw_curves(read_shown(runs, names))


def _parsed(drawing):
    # Browsers show well-formed markup as intended.
    return ET.fromstring(f"<div>{drawing}</div>")


def _lines(drawing):
    return [line.get("points").split() for line in _parsed(drawing).iter("polyline")]


def test_each_metric_with_numbers_is_a_chart_with_all_points(run):
    drawing = _draw([run], ())
    titles = [title.text for title in _parsed(drawing).iter("title")]
    assert titles == [HOSTILE, "train/loss"]
    assert [len(points) for points in _lines(drawing)] == [50, 50]


def test_a_falling_metric_falls_from_left_to_right_within_the_picture(run):
    (points,) = _lines(_draw([run], ["train/loss"]))
    places = [tuple(map(float, point.split(","))) for point in points]
    across = [x for x, _ in places]
    down = [y for _, y in places]
    assert across == sorted(across)
    assert down == sorted(down)
    assert (min(across), max(across), min(down), max(down)) == (52.0, 370.0, 26.0, 186.0)


def test_hostile_names_are_text(run):
    drawing = _draw([run], ())
    assert "<script" not in drawing
    elements = {element.tag for element in _parsed(drawing).iter()}
    assert elements == {"div", "svg", "title", "text", "line", "polyline", "span", "bdi"}


def test_several_runs_are_told_apart_by_more_than_colour(run):
    with te.init("acme", "Digits", "second_run") as second:
        second.log_metrics({"train/loss": 3})
        second.log_metrics({"train/loss": 4})
    drawing = _draw([run, second], ["train/loss"])
    strokes = [
        (line.get("stroke"), line.get("stroke-dasharray"))
        for line in _parsed(drawing).iter("polyline")
    ]
    assert len({colour for colour, _ in strokes}) == len({dash for _, dash in strokes}) == 2
    legend = [element.text for element in _parsed(drawing).iter("bdi")]
    assert legend == ["test_run", "second_run"]


def test_a_single_value_is_seen(backend):
    with te.init("acme", "Digits", "ranges") as run:
        run.log("loss", 3.0)
    (circle,) = _parsed(_draw([run], ())).iter("circle")
    assert (circle.get("cx"), circle.get("cy"), circle.get("r")) == ("211.0", "106.0", "2.5")


def test_a_chart_has_an_x_axis_with_a_title_and_whole_steps(backend):
    with te.init("acme", "Digits", "ranges") as run:
        run.log_metrics({"loss": 3.0})
        run.log_metrics({"loss": 4.0})
    drawing = _parsed(_draw([run], ()))
    texts = [text.text for text in drawing.iter("text") if text.get("text-anchor") == "middle"]
    assert texts == ["0", "1", "Step"]
    axes = [line for line in drawing.iter("line") if line.get("stroke") == "#888"]
    assert [(line.get("y1"), line.get("y2")) for line in axes] == [("186", "186")]


def test_a_view_is_bounded(backend, monkeypatch):
    monkeypatch.setattr(shown_curves, "MAX_RUNS", 1)
    monkeypatch.setattr(shown_curves, "MAX_METRICS", 2)
    monkeypatch.setattr(shown_curves, "_MAX_POINTS", 20)
    runs = []
    for _ in range(2):
        with te.init("acme", "Digits") as run:
            for step in range(100):
                run.log_metrics({"a": step, "b": step, "c": step})
        runs.append(run)
    drawing = _draw(runs, ())
    assert [title.text for title in _parsed(drawing).iter("title")] == ["a", "b"]
    assert all(1 < len(points) <= 10 for points in _lines(drawing))
    assert "1 more run and 1 more metric not shown." in drawing


@pytest.mark.parametrize(
    "values", [[-1.7e308, 1.7e308], [5e-324, 1e-323], [0, 0], [2**62, 2**63 - 1], [1e-300, 1]]
)
def test_any_range_of_values_is_drawn_within_the_picture(backend, values):
    with te.init("acme", "Digits", "ranges") as run:
        for value in values:
            run.log("loss", value)
    drawing = _draw([run], ())
    (points,) = _lines(drawing)
    assert all(0 <= float(point.split(",")[1]) <= 210 for point in points)
    assert not re.search(r"nan|inf", drawing)


def test_nan_breaks_the_line(backend):
    with te.init("acme", "Digits", "ranges") as run:
        for value in (1, 2, float("nan"), 3, float("inf"), 4, 5, 6):
            run.log("loss", value)
    drawing = _draw([run], ())
    assert [len(points) for points in _lines(drawing)] == [2, 3]
    assert len(list(_parsed(drawing).iter("circle"))) == 1


def test_a_run_without_numbers_says_so(backend):
    with te.init("acme", "Digits", "ranges") as run:
        pass
    assert "No numeric metrics yet." in _draw([run], ())


def test_a_name_that_was_not_logged_is_refused_with_those_that_were(run):
    with pytest.raises(ValueError, match=r"no metric 'los'; it has .*'train/loss'"):
        _draw([run], ["los"])
    with pytest.raises(ValueError, match=r"no metric 'Train/Los'; did you mean 'train/loss'\?$"):
        _draw([run], ["Train/Los"])


@pytest.mark.parametrize("names", [(), ("train/loss",)])
def test_a_deleted_run_is_not_one_without_metrics(run, names):
    te.delete_run("acme", "Digits", run.uuid)
    with te.init("acme", "Digits", "other") as other:
        other.log("train/loss", 1)
    for runs in [run], [other, run]:
        with pytest.raises(te.NotFoundError, match="To restore it: afnio-tellurio restore"):
            _draw(runs, names)
    te.restore_run("acme", "Digits", run.uuid)
    assert len(_lines(_draw([run], ["train/loss"]))) == 1


def test_outside_a_notebook_it_says_what_to_do(run):
    with pytest.raises(
        RuntimeError, match="not a notebook; in a terminal, use: afnio-tellurio show"
    ):
        te.show(run)


@pytest.mark.parametrize("given", ["[]", "iter(())"])
def test_no_run_at_all_is_refused(kernel, given):
    ((kind, error),) = kernel(f"import afnio_tellurio as te; te.show({given})")
    assert (kind, error["evalue"]) == ("error", "show: no runs; pass one run or several")


@pytest.mark.parametrize("given", ["3", "'test_run'", "[None]"])
def test_what_is_not_a_run_is_refused(kernel, given):
    ((kind, error),) = kernel(f"import afnio_tellurio as te; te.show({given})")
    assert (kind, error["ename"]) == ("error", "TypeError")
    assert error["evalue"].startswith("show: ")
    if given != "[None]":
        assert error["evalue"].endswith("get_run() finds one by its name")


@pytest.fixture
def plain_kernel(kernel):
    """A kernel without widgets."""
    kernel("import sys; sys.modules['anywidget'] = None")
    return kernel


def test_a_notebook_displays_the_picture_inline(plain_kernel):
    messages = plain_kernel(
        """
        import afnio_tellurio as te
        with te.init("acme", "Digits", "test_run") as run:
            for step in range(10):
                run.log("loss", step)
            te.show(run)
        """
    )
    ((kind, content),) = messages
    assert kind == "display_data"
    assert content["data"]["text/plain"] == "<curves of test_run>"
    drawing = content["data"]["text/html"]
    assert len(_lines(drawing)[0]) == 10
    assert not re.search(r"https?:|<script|<link|url\(", drawing)


def test_without_widgets_one_hint_says_what_to_install(plain_kernel):
    messages = plain_kernel(
        """
        import os
        import afnio_tellurio as te
        with te.init("acme", "Digits", "test_run") as run:
            run.log("loss", 1)
        os.environ["TELLURIO_QUIET"] = "1"
        te.show(run)
        os.environ["TELLURIO_QUIET"] = "0"
        te.show(run)
        te.show(run)
        """
    )
    shown = [content["data"]["text/html"] for _, content in messages]
    hints = ["pip install &#x27;afnio-tellurio[notebook]&#x27;" in html for html in shown]
    assert hints == [False, True, False]


def test_names_control_neither_a_terminal_nor_the_text_beside_them(plain_kernel):
    messages = plain_kernel(
        """
        import afnio_tellurio as te
        with te.init("acme", "Digits", "evil\\x1b[2J\\x9b\\u202e") as run:
            run.log("loss\\u2066", 1)
            te.show(run)
        """
    )
    ((_kind, content),) = messages
    assert content["data"]["text/plain"] == "<curves of evil�[2J��>"
    drawing = content["data"]["text/html"]
    assert "<bdi>evil�[2J��</bdi>" in drawing
    assert "<title>loss�</title>" in drawing
    assert not set(drawing) & set("\x1b\x9b\u202e\u2066")


def test_a_deleted_run_is_an_error_that_tells_how_to_restore_it(run):
    empty = te.init("acme", "Digits", "empty")
    empty.finish()
    assert [shown.name for shown in read_shown([run, empty], ()).runs] == ["test_run", "empty"]
    te.delete_run("acme", "digits", empty.uuid)
    with pytest.raises(te.NotFoundError, match="To restore it: afnio-tellurio restore"):
        read_shown([run, empty], ())
    # A live view goes on with the other runs.
    assert read_shown([run, empty], (), are_required=False).names == [HOSTILE, "train/loss"]
