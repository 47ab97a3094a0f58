"""Metrics of many runs at once, in process, over HTTP and from a backend without these operations."""

import math

import pytest

import afnio_tellurio as te


@pytest.fixture
def two_runs(backend):
    made = []
    for number in range(2):
        with te.init("acme", "Digits", f"run_{number}") as run:
            for step in range(10):
                run.log("loss", step * (number + 1))
            if number:
                run.log("note", "a word")
        made.append(run)
    return made


@pytest.mark.needs_extension
def test_namespaces_are_listed(two_runs):
    assert "acme" in [namespace.slug for namespace in te.list_namespaces()]


def test_the_metrics_of_a_project_are_listed(two_runs):
    assert te.list_metrics("acme", "Digits") == ["loss", "note"]
    with pytest.raises(te.NotFoundError):
        te.list_metrics("acme", "nothing")


def test_summaries_of_several_runs_are_what_each_says(two_runs):
    found = te.summaries(two_runs)
    assert found == {run.uuid: run.summary() for run in two_runs}
    chosen = te.summaries(two_runs, "note")
    assert [set(of_run) for of_run in chosen.values()] == [set(), {"note"}]
    assert te.summaries([]) == {}


def test_curves_of_several_runs_have_every_point_where_there_is_room(two_runs):
    first, second = te.curves(two_runs, "loss", "none")
    assert (first.run_uuid, first.name) == (two_runs[0].uuid, "loss")
    assert first.steps == second.steps == list(range(10))
    assert second.values == [float(step * 2) for step in range(10)]
    assert second.minima == second.maxima == second.values


def test_curves_without_names_are_those_of_all_metrics_with_numbers(two_runs):
    with te.init("acme", "Digits", "more") as run:
        run.log("accuracy", 0.5)
        run.log("loss", 0.5)
    curves = te.curves([two_runs[1], run])
    assert [(curve.run_uuid, curve.name) for curve in curves] == [
        (two_runs[1].uuid, "loss"), (run.uuid, "accuracy"), (run.uuid, "loss")
    ]  # fmt: skip
    assert te.curves([]) == []


def test_curves_are_no_longer_than_was_asked(two_runs):
    (curve,) = te.curves(two_runs[:1], "loss", buckets=3)
    assert len(curve.steps) <= 3
    assert (curve.steps[-1], curve.values[-1]) == (9, 9.0)


@pytest.mark.needs_extension
def test_nan_breaks_a_curve_and_infinities_are_kept(backend):
    with te.init("acme", "Digits") as run:
        for value in (1.5, math.nan, math.inf, "text"):
            run.log("loss", value)
    (curve,) = te.curves([run], "loss")
    assert [str(value) for value in curve.values] == ["1.5", "nan", "inf", "nan"]
    assert all(moment.tzinfo for moment in curve.timestamps)


@pytest.mark.parametrize("buckets", [0, 10_001, "x"])
def test_a_number_of_points_that_is_none_is_refused(two_runs, buckets):
    with pytest.raises(ValueError, match="curves: buckets is"):
        te.curves(two_runs, "loss", buckets=buckets)


def test_a_name_that_is_none_is_refused(two_runs):
    for read in (te.summaries, te.curves):
        with pytest.raises(ValueError, match="metric name is empty"):
            read(two_runs, "")


def test_more_runs_than_one_request_takes_are_read_in_parts(two_runs, monkeypatch):
    monkeypatch.setattr("afnio_tellurio.overviews.MAX_SAMPLED", 1)
    assert len(te.curves(two_runs, "loss", "note")) == 2
    assert te.summaries(two_runs) == {run.uuid: run.summary() for run in two_runs}


def test_disabled_tracking_reads_nothing(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "disabled")
    with te.init("acme", "Digits") as run:
        run.log("loss", 1)
    assert te.list_namespaces() == te.list_metrics("acme", "Digits") == []
    assert te.summaries([run]) == {run.uuid: {}}
    assert te.curves([run], "loss") == []


def test_disabled_tracking_finds_and_changes_nothing(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "disabled")
    assert te.list_projects("acme") == []
    assert te.get_project("acme", "digits") is None
    project = te.create_project("acme", "Digits!", visibility="TEAM")
    assert (project.slug, project.display_name, project.visibility) == ("digits", "Digits!", "TEAM")
    assert te.get_project("acme", "digits") is None
    te.delete_project("acme", "digits")
    assert list(te.runs("acme", "digits")) == []
    run = te.init("acme", "Digits", "test_run")
    run.log_metrics({"loss": 1})
    run.update(name="renamed")
    assert (run.name, run.description) == ("renamed", None)
    assert run.metrics() == run.summary() == {}
    assert list(run.iter_metrics()) == run.metrics("loss").values == []
    assert run.curve("loss") == ([], [])
    assert run.finish(status=te.RunStatus.FAILED).accepted == 0
    assert run.finish().accepted == 0
    assert run.status is te.RunStatus.FAILED
