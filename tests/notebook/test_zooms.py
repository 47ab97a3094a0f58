"""The zooms of a live view, which a thread reads beside the kernel."""

import queue
import threading

import pytest
from children import GUARD

import afnio_tellurio as te
from afnio_tellurio.notebook import zooms
from afnio_tellurio.notebook.shown_curves import read_part, read_shown
from afnio_tellurio.notebook.zooms import Zooms


class Reader:
    """Reads when the test lets it."""

    def __init__(self):
        self.asked = queue.Queue()
        self._answers = queue.Queue()
        self.sent = queue.Queue()
        self.zooms = Zooms(self._read, self.sent.put)

    def _read(self, first, last):
        self.asked.put((first, last))
        answer = self._answers.get(timeout=GUARD)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def is_asked(self):
        return self.asked.get(timeout=GUARD)

    def answer(self, answer):
        self._answers.put(answer)

    def told(self):
        return self.sent.get(timeout=GUARD)


@pytest.fixture
def reader():
    reader = Reader()
    yield reader
    for thread in threading.enumerate():
        if thread.name == "tellurio-zoom":
            thread.join(GUARD)
            assert not thread.is_alive()


def test_of_quick_zooms_only_the_last_is_answered(reader):
    reader.zooms.zoom("1", 1, 0, 9)
    assert reader.is_asked() == (0, 9)
    reader.zooms.zoom("1", 2, 0, 8)
    reader.zooms.zoom("1", 3, 0, 7)
    reader.answer(["old"])
    # Not the one between.
    assert reader.is_asked() == (0, 7)
    reader.answer(["new"])
    assert reader.told() == {
        "view": "1", "number": 3, "steps": [0, 7], "charts": ["new"], "problem": ""
    }  # fmt: skip
    assert reader.sent.empty()


def test_a_zoom_that_is_reset_is_not_answered(reader):
    reader.zooms.zoom("1", 1, 0, 9)
    assert reader.is_asked() == (0, 9)
    reader.zooms.reset("1")
    reader.zooms.zoom("2", 1, 1, 2)
    reader.answer([])
    reader.answer([])
    assert reader.told()["view"] == "2"
    assert reader.sent.empty()


def test_a_failure_is_told_and_the_next_zoom_is_read(reader):
    reader.zooms.zoom("1", 1, 0, 9)
    reader.answer(te.BackendUnreachableError("no \u202eanswer"))
    told = reader.told()
    assert (told["problem"], told["charts"]) == ("No finer points: no \ufffdanswer", [])
    reader.zooms.zoom("1", 2, 0, 9)
    reader.answer(["new"])
    assert reader.told()["charts"] == ["new"]


def test_visible_views_are_read_again(reader):
    for view in "12":
        reader.zooms.zoom(view, 1, 0, 9)
        reader.answer([])
        assert reader.told()["view"] == view
    reader.answer(["more"])
    reader.zooms.refresh(lambda view: view == "2")
    told = reader.told()
    assert (told["view"], told["number"], told["charts"]) == ("2", 1, ["more"])
    assert reader.sent.empty()


def test_the_zooms_of_views_that_never_closed_are_bounded(reader):
    count = zooms._MAX_ZOOMS + 2
    for number in range(count):
        reader.zooms.zoom(str(number), 1, 0, 9)
        reader.answer([])
        reader.told()
    for _ in range(zooms._MAX_ZOOMS):
        reader.answer([])
    reader.zooms.refresh(lambda _view: True)
    told = [reader.told()["view"] for _ in range(zooms._MAX_ZOOMS)]
    assert told == [str(number) for number in range(2, count)]


@pytest.mark.parametrize("is_plain", [False, True], ids=["extensions", "plain"])
def test_a_part_has_finer_points_than_the_whole(backend, monkeypatch, is_plain):
    with te.init("acme", "Digits", "long") as run:
        for step in range(1000):
            run.log("loss", step, step=step)
    if is_plain:
        monkeypatch.setattr(
            "afnio_tellurio.api.operations.sample_project_metrics", lambda *_args, **_rest: None
        )
    shown = read_shown([run], ())
    whole = shown.lines["loss"][0].steps
    part = read_part(shown, 500, 600)["loss"][0]
    assert len(whole) < 400
    assert part.steps == part.values == list(range(500, 601))
