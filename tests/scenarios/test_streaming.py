"""Values are read back one by one, whatever the backend and however many there are."""

import math

import pytest

import afnio_tellurio as te

pytestmark = pytest.mark.usefixtures("backend")


def test_values_come_one_by_one_in_the_order_of_the_backend():
    with te.init("acme", "Digits") as run:
        for step in range(5):
            run.log("loss", step / 2, step=step)
            run.log("note", "text", step=step)
    points = list(run.iter_metrics("loss"))
    assert [(point.name, point.step, point.value) for point in points] == [
        ("loss", step, step / 2) for step in range(5)
    ]
    assert all(point.timestamp is None or point.timestamp.tzinfo for point in points)
    everything = {(point.name, point.step) for point in run.iter_metrics()}
    assert everything == {(name, step) for name in ("loss", "note") for step in range(5)}


def test_special_numbers_are_floats_and_words_stay_words():
    with te.init("acme", "Digits") as run:
        run.log("loss", math.nan)
        run.log("loss", [1, -math.inf])
        run.log("loss", {"word": "NaN"})
    first, second, third = [point.value for point in run.iter_metrics("loss")]
    assert math.isnan(first)
    assert (second, third) == ([1, -math.inf], {"word": "NaN"})


def test_pages_are_requested_when_they_are_needed(monkeypatch):
    monkeypatch.setattr("afnio_tellurio.api.metric_lists.METRICS_PAGE", 7)
    with te.init("acme", "Digits") as run:
        run.log_metrics({"loss": 0}, step=0)
        for step in range(1, 30):
            run.log("loss", step, step=step)
    points = run.iter_metrics("loss")
    assert [next(points).step for _ in range(8)] == list(range(8))
    assert [point.step for point in points] == list(range(8, 30))


def test_what_was_logged_just_now_is_read():
    run = te.init("acme", "Digits")
    run.log("loss", 1)
    assert [point.value for point in run.iter_metrics()] == [1]
    assert list(run.iter_metrics("other")) == []


@pytest.mark.parametrize(
    ("name", "kind"), [("", ValueError), (3, TypeError), ("x" * 256, ValueError)]
)
def test_an_invalid_name_is_an_error_at_the_call(name, kind):
    run = te.init("acme", "Digits")
    with pytest.raises(kind, match="^iter_metrics: metric name"):
        run.iter_metrics(name)


def test_a_run_that_is_gone_is_an_error_at_the_call():
    run = te.init("acme", "Digits")
    run.finish()
    te.delete_project("acme", "digits")
    with pytest.raises(te.NotFoundError):
        run.iter_metrics()


def test_disabled_there_are_no_values(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "disabled")
    assert list(te.init("acme", "Digits").iter_metrics()) == []
