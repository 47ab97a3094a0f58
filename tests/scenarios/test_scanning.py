"""All points of a project, kept in a cache: in process, over HTTP, and without extensions."""

import datetime as dt
import math

import pytest

import afnio_tellurio as te
from afnio_tellurio.scanning import updating

polars = pytest.importorskip("polars")
WITHOUT = "without extensions"


@pytest.fixture
def asked(monkeypatch):
    """The lists of points that were asked for: the UUID of the run, the metric, the step."""
    calls = []
    real = updating.list_metrics

    def list_metrics(connection, path, *, name=None, after_step=None):
        calls.append((path.run_uuid, name, after_step))
        return real(connection, path, name=name, after_step=after_step)

    monkeypatch.setattr(updating, "list_metrics", list_metrics)
    return calls


def log(name, steps=range(3), *metrics, **options):
    with te.init("acme", "Digits", name, **options) as run:
        for step in steps:
            run.log_metrics(dict.fromkeys(metrics or ["loss"], step / 2), step=step)
    return run


def expected(where=None, metrics=None):
    """The rows that each run has on its own."""
    rows = []
    for run in te.runs("acme", "digits", where=where):
        for name, history in run.metrics().items():
            columns = zip(history.steps, history.values, history.timestamps, strict=True)
            rows += [
                (run.name, run.uuid, name, step, float(value), time)
                for step, value, time in columns
                if type(value) in {int, float} and (metrics is None or name in metrics)
            ]
    return sorted(map(repr, rows))


def in_utc(row):
    """A row of polars, whose times have another name of the zone."""
    *cells, time = row
    return (*cells, None if time is None else time.astimezone(dt.UTC))


def scanned(*, where=None, metrics=None, **options):
    frame = te.scan("acme", "digits", where=where, metrics=metrics, **options)
    return sorted(map(repr, map(in_utc, frame.collect().rows())))


def is_up_to_date(**query):
    """Compares with what each run has, twice: also when nothing is new."""
    rows = expected(**query)
    assert scanned(**query) == rows
    assert scanned(**query) == rows
    return True


def test_a_frame_has_all_numbers_of_all_runs(backend):
    log("first", range(5), "loss", "acc")
    with te.init("acme", "Digits", "second") as run:
        for value in (math.nan, math.inf, -math.inf, 0, -1, 2**53, 1.5):
            run.log("loss", value)
        run.log_metrics({"text": "word", "list": [1, 2], "flag": True})
        run.log_metrics({"text": "another", "none": None})
    frame = te.scan("acme", "digits")
    assert isinstance(frame, polars.LazyFrame)
    assert frame.collect_schema() == {
        "run": polars.String,
        "run_uuid": polars.String,
        "name": polars.String,
        "step": polars.Int64,
        "value": polars.Float64,
        "timestamp": polars.Datetime("us", "UTC"),
    }
    values = frame.filter(run_uuid=run.uuid).sort("step").collect()["value"].to_list()
    assert repr(values) == repr([math.nan, math.inf, -math.inf, 0.0, -1.0, 2.0**53, 1.5])
    assert is_up_to_date()
    assert len(scanned()) == 17


def test_integers_beyond_the_doubles_are_infinite(backend):
    with te.init("acme", "Digits", "first") as run:
        run.log("loss", 10**400)
        run.log("loss", -(10**400))
        run.log("loss", 0.5)
    values = te.scan("acme", "digits").sort("step").collect()["value"].to_list()
    assert values == [math.inf, -math.inf, 0.5]


def test_finished_runs_are_not_asked_again(backend, asked):
    first, second = log("first"), log("second")
    assert is_up_to_date()
    assert sorted(uuid for uuid, _, _ in asked) == sorted([first.uuid, second.uuid])
    third = log("third")
    asked.clear()
    assert is_up_to_date()
    assert [uuid for uuid, _, _ in asked] == [third.uuid]


def test_a_run_that_grew_gets_its_new_points_only(backend, asked):
    log("other", range(100), "loss", "acc")
    run = te.init("acme", "Digits", "first")
    for step in range(5):
        run.log_metrics({"loss": step, "acc": step}, step=step)
    run.log("epoch", 0, step=0)
    assert is_up_to_date()
    asked.clear()
    for step in range(5, 8):
        run.log_metrics({"loss": step, "acc": step}, step=step)
    assert is_up_to_date()
    if backend == WITHOUT:
        assert {call[1:] for call in asked} == {(None, None)}
    else:
        # The last step too, which may have got further points.
        assert asked == [(run.uuid, None, 3)]
    asked.clear()
    run.log("epoch", 1, step=1)
    run.log("new", 0.5, step=0)
    assert is_up_to_date()
    if backend != WITHOUT:
        assert asked == [(run.uuid, "epoch", None), (run.uuid, "new", None)]
    run.finish()
    assert is_up_to_date()


def test_points_at_steps_that_were_cached(backend):
    run = te.init("acme", "Digits", "first")
    for step in (10, 20, 20, 30, 30):
        run.log_metrics({"loss": step, "acc": 1}, step=step)
    assert is_up_to_date()
    # At the last step, before it, and after it.
    for metric, step in [("loss", 30), ("acc", 5), ("acc", 40), ("loss", 30), ("loss", 20)]:
        run.log(metric, step / 3, step=step)
        assert is_up_to_date()
    run.log("loss", 0.1, step=30)
    run.log("loss", 0.2, step=0)
    run.log("acc", 0.3, step=1)
    assert is_up_to_date()
    run.finish()


@pytest.mark.needs_extension
def test_runs_that_are_renamed_resumed_deleted_and_restored(backend):
    kept = log("kept")
    first = log("first")
    assert is_up_to_date()
    first.update("renamed")
    assert is_up_to_date()
    assert set(te.scan("acme", "digits").collect()["run"]) == {"kept", "renamed"}
    log("renamed", range(3, 6), resume="must")
    assert is_up_to_date()
    te.delete_run("acme", "digits", first.uuid)
    assert is_up_to_date()
    assert set(te.scan("acme", "digits").collect()["run_uuid"]) == {kept.uuid}
    te.restore_run("acme", "digits", first.uuid)
    assert is_up_to_date()
    assert first.uuid in set(te.scan("acme", "digits").collect()["run_uuid"])


def test_filters_and_metrics(backend, asked):
    first, second = log("first", range(4), "loss", "acc"), log("second", range(4), "loss", "acc")
    assert is_up_to_date(where="name = second", metrics=["loss"])
    assert {uuid for uuid, _, _ in asked} == {second.uuid}
    if backend != WITHOUT:
        assert asked == [(second.uuid, "loss", None)]
    asked.clear()
    assert is_up_to_date(metrics=["acc", "nosuch"])
    assert is_up_to_date(where="name = nosuch")
    assert is_up_to_date(where='metric("loss").max > 1 and name ~ "fir"')
    assert is_up_to_date()
    asked.clear()
    assert is_up_to_date(where="name = second")
    assert is_up_to_date()
    assert asked == []
    if backend != WITHOUT:
        te.delete_run("acme", "digits", first.uuid)
        assert is_up_to_date(where="name = first")
        assert is_up_to_date(where="name != nosuch", metrics=["loss"])


def test_a_project_without_points(backend):
    with pytest.raises(te.NotFoundError):
        te.scan("acme", "nosuch")
    with te.init("acme", "Digits", "first"):
        assert te.scan("acme", "digits").collect().shape == (0, 6)
    assert te.scan("acme", "digits").collect_schema()["timestamp"] == polars.Datetime("us", "UTC")


def test_projects_do_not_mix(backend, home):
    log("first")
    with te.init("acme", "Other", "first") as run:
        run.log("loss", 1.0)
    assert is_up_to_date()
    assert te.scan("acme", "other").collect()["run_uuid"].to_list() == [run.uuid]
    assert len(list((home / "cache").glob("points-*"))) == 2


def test_what_was_just_logged_is_there(backend):
    with te.init("acme", "Digits", "first") as run:
        for number in range(1, 4):
            for _ in range(100):
                run.log("loss", 0.5)
            assert te.scan("acme", "digits").collect().height == 100 * number


@pytest.mark.parametrize(
    ("arguments", "error", "problem"),
    [
        ({"where": "a b"}, ValueError, "scan: where is 'a b', invalid"),
        ({"where": 3}, TypeError, "scan: where is 3"),
        ({"metrics": "loss"}, TypeError, "scan: metrics is 'loss'; it must be a list"),
        ({"metrics": [""]}, ValueError, "scan: metrics"),
    ],
)
def test_what_is_invalid(arguments, error, problem):
    with pytest.raises(error, match=problem):
        te.scan("acme", "digits", **arguments)


def test_times_are_in_utc(backend):
    before = dt.datetime.now(dt.UTC)
    log("first", [0])
    (time,) = te.scan("acme", "digits").collect()["timestamp"]
    if backend == WITHOUT:
        assert time is None
        return
    assert before <= time <= dt.datetime.now(dt.UTC)


def test_disabled_tracking_has_no_points(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "disabled")
    assert te.scan("acme", "digits").collect().shape == (0, 6)
