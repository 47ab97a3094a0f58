"""Statuses and entities."""

import copy
import datetime as dt
import json
import pickle
import uuid

import pytest
from tellurio_api import models

import afnio_tellurio as te
from afnio_tellurio.api.entities import read_namespace, read_project, read_run, read_status
from afnio_tellurio.api.metric_lists import ListedMetrics
from afnio_tellurio.api.metrics import read_history, read_summary

DATE = dt.datetime(2026, 11, 23, 10, 15, 30, tzinfo=dt.UTC)


def test_a_status_compares_and_prints_as_its_word():
    assert te.RunStatus.COMPLETED == "COMPLETED"
    assert str(te.RunStatus.COMPLETED) == f"{te.RunStatus.COMPLETED}" == "COMPLETED"
    assert te.RunStatus("CRASHED") is te.RunStatus.CRASHED
    assert all(status == status.value == status.name for status in te.RunStatus)


def test_a_word_that_is_no_status_is_refused_where_a_program_says_it():
    with pytest.raises(ValueError, match="ARCHIVED"):
        te.RunStatus("ARCHIVED")


def test_a_newer_backends_status_is_a_status_unlike_all_known():
    archived = read_status("ARCHIVED")
    assert isinstance(archived, te.RunStatus)
    assert archived.value == archived.name == str(archived) == "ARCHIVED"
    assert archived not in list(te.RunStatus)
    assert "ARCHIVED" in repr(archived)
    assert json.dumps({"status": archived}) == '{"status": "ARCHIVED"}'
    assert pickle.loads(pickle.dumps(archived)) == archived
    match archived:
        case te.RunStatus.RUNNING | te.RunStatus.FAILED:
            pytest.fail("matches a known status")
        case _:
            pass


def test_fields_that_are_unknown_are_in_extra():
    new = {"new": [1, {"a": None}]}
    owner = {"uuid": str(uuid.uuid4()), "username": "ada", "slug": "ada", **new}
    project = {"uuid": str(uuid.uuid4()), "display_name": "Digits", "slug": "digits", **new}
    run = read_run(
        te.Run,
        models.Run.from_dict(
            {
                "uuid": str(uuid.uuid4()), "name": "r", "description": None, "status": "ARCHIVED",
                "date_created": DATE.isoformat(), "date_updated": DATE.isoformat(),
                "project": project, "user": owner, **new,
            }
        ),
        "getRun",
        "acme",
    )  # fmt: skip
    assert run.extra == run.user.extra == run.project.extra == new
    assert run.organization.extra == {}
    whole = {
        **project,
        "date_created": DATE.isoformat(),
        "last_run_date": None,
        "visibility": "TEAM",
    }
    assert read_project(models.Project.from_dict(whole), "getProject").extra == new
    assert read_namespace(models.Namespace.from_dict({**project, "slug": "acme"})).extra == new
    summary = {"count": 1, "first_step": 0, "last_step": 0, "last": 1, "minimum": 1, "maximum": 1}
    model = models.MetricSummary.from_dict({**summary, "last_timestamp": DATE.isoformat(), **new})
    assert read_summary(model).extra == new


def test_extra_fields_do_not_count_in_comparisons():
    user = te.RunUser("1", "ada", "ada")
    newer = te.RunUser("1", "ada", "ada", extra={"new": []})
    assert user == newer
    assert hash(user) == hash(newer)
    assert "new" not in repr(newer)


def test_a_known_status_survives_pickling_as_itself():
    assert pickle.loads(pickle.dumps(te.RunStatus.FAILED)) is te.RunStatus.FAILED


def test_a_copied_run_or_client_is_the_same_and_pickling_names_the_way():
    with te.TellurioClient.local() as client:
        run = te.init("acme", "Digits", "test_run", client=client)
        trainer = {"run": run, "client": client}
        assert copy.copy(run) is run
        assert copy.copy(client) is client
        assert copy.deepcopy(trainer) == trainer
        with pytest.raises(TypeError, match=r"use te.attach\('acme', 'digits', 'test_run'\)"):
            pickle.dumps(trainer)
        with pytest.raises(TypeError, match="make one in the other process"):
            pickle.dumps(client)
        run.finish()


def test_a_disabled_run_and_one_without_a_client_can_be_pickled(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "disabled")
    run = te.init("acme", "Digits", "test_run")
    assert pickle.loads(pickle.dumps(run)).name == "test_run"
    run.finish()
    plain = te.Run("9b2f", "test_run", None, te.RunStatus.RUNNING)
    assert pickle.loads(pickle.dumps(plain)).uuid == "9b2f"


def test_reprs_name_what_a_person_needs():
    run = te.Run(
        uuid="9b2f",
        name="test_run",
        description="secret plans",
        status=te.RunStatus.RUNNING,
        organization=te.RunOrg("acme"),
        project=te.RunProject("5f0c", "Digits", "digits"),
        user=te.RunUser("1b4e", "ada", "ada"),
    )
    assert repr(run) == (
        "Run(uuid='9b2f', name='test_run', status=RUNNING, organization='acme', project='digits')"
    )
    assert repr(te.RunOrg("acme")) == "RunOrg(slug='acme')"
    assert (
        repr(te.RunUser("1b4e", "ada", "ada")) == "RunUser(uuid='1b4e', username='ada', slug='ada')"
    )


def test_a_run_can_be_made_by_hand_as_before():
    run = te.Run("9b2f", "test_run", None, te.RunStatus.RUNNING)
    assert (run.uuid, run.name, run.description, run.status) == (
        "9b2f",
        "test_run",
        None,
        "RUNNING",
    )
    assert run.date_created is run.project is run.user is run.organization is None


NOON = 1_795_688_130_000_000


def listed(*values, steps=None, is_exact=False):
    count = len(values)
    return ListedMetrics("m", steps or [0] * count, [*values], [NOON] * count, is_exact)


def test_a_history_is_in_step_order_and_equal_steps_in_order_of_arrival():
    parts = [listed("c", "a", steps=[5, 1]), listed("b", steps=[1])]
    history = read_history("m", parts)
    assert history.steps == [1, 1, 5]
    assert history.values == ["a", "b", "c"]
    assert history.timestamps == [dt.datetime(2026, 11, 26, 10, 15, 30, tzinfo=dt.UTC)] * 3
    assert len(history) == 3


def test_the_words_of_a_numeric_metric_are_floats_where_a_backend_does_not_tell_them():
    history = read_history("m", [listed(0.5, "NaN", "-Infinity")])
    assert repr(history.values) == "[0.5, nan, -inf]"
    nested = read_history("m", [listed([1, ["NaN"]], [])])
    assert repr(nested.values) == "[[1, [nan]], []]"


def test_the_same_words_stay_text_where_a_metric_holds_text():
    history = read_history("m", [listed("NaN", "none")])
    assert history.values == ["NaN", "none"]
    assert read_history("m", [listed({"a": "NaN"})]).values == [{"a": "NaN"}]


def test_words_stay_what_a_backend_tells_that_they_are():
    assert read_history("m", [listed(0.5, "NaN", is_exact=True)]).values == [0.5, "NaN"]


def test_a_history_made_by_hand_has_the_times_that_it_was_made_with():
    history = te.MetricHistory("m", [0, 1], [1, 2], [DATE, None])
    assert history.timestamps == [DATE, None]
    assert history == te.MetricHistory("m", [0, 1], [1, 2], [DATE, None])


def test_a_date_that_is_none_is_a_clear_error_and_no_silent_string():
    model = models.Project(
        uuid=uuid.UUID(int=1),
        display_name="Digits",
        slug="digits",
        date_created=DATE,
        visibility="TEAM",
        last_run_date="yesterday",
    )
    with pytest.raises(
        te.InvalidResponseError, match=r"Cannot get project: .* last_run_date 'yesterday'"
    ):
        te_project(model)


def te_project(model):
    return read_project(model, "getProject")


def test_an_error_about_an_answer_reaches_another_process_whole():
    error = te.InvalidResponseError("getRun: the answer is invalid", operation="getRun")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.operation) == (type(error), str(error), "getRun")


def test_a_project_has_its_counts_and_none_of_a_backend_without_them():
    whole = {
        "uuid": str(uuid.UUID(int=1)),
        "display_name": "Digits",
        "slug": "digits",
        "date_created": DATE.isoformat(),
        "visibility": "TEAM",
    }
    plain = te_project(models.Project.from_dict(whole))
    assert (plain.run_counts, plain.last_activity, plain.runs_per_day) == (None, None, None)
    counted = {
        "run_counts": {"RUNNING": 1, "PAUSED": 2},
        "last_activity": DATE.isoformat(),
        "runs_per_day": [0, 3],
    }
    project = te_project(models.Project.from_dict(whole | counted))
    assert project.run_counts == counted["run_counts"]
    assert (project.last_activity, project.runs_per_day) == (DATE, [0, 3])
    assert plain == project, "it is the same project"
    assert hash(plain) == hash(project)
    for name, value in (
        ("run_counts", {"RUNNING": "1"}),
        ("runs_per_day", ["0"]),
        ("runs_per_day", 3),
        ("last_activity", "soon"),
    ):
        model = models.Project.from_dict(whole)
        setattr(model, name, value)
        with pytest.raises(te.InvalidResponseError, match=f"Cannot get project: .* {name}"):
            te_project(model)
