"""What an application does: the same tests run in process, over HTTP and without extensions."""

import asyncio
import datetime as dt
import math
import os
import re
import threading
import uuid

import exchanges
import httpx
import numpy as np
import pytest
import trio

import afnio_tellurio as te

pytestmark = pytest.mark.usefixtures("backend")


def test_a_run_is_started_logged_to_and_finished():
    run = te.init("acme", "Digit Classifier", "test_run", "a first try")
    assert run.status is te.RunStatus.RUNNING
    assert (run.name, run.description) == ("test_run", "a first try")
    assert uuid.UUID(run.uuid)
    assert run.organization.slug == "acme"
    assert (run.project.display_name, run.project.slug) == ("Digit Classifier", "digit-classifier")
    assert run.user.username == run.user.slug
    now = dt.datetime.now(dt.UTC)
    assert dt.timedelta(0) <= now - run.date_created < dt.timedelta(minutes=1)
    run.log("train/loss", 0.5, step=3)
    run.log("train/loss", 0.25)
    run.finish()
    assert run.status is te.RunStatus.COMPLETED
    assert run.date_updated > run.date_created
    found = te.get_run("acme", "digit-classifier", run.uuid)
    assert (found.name, found.description, found.status) == ("test_run", "a first try", "COMPLETED")
    assert found.metrics("train/loss").steps == [3, 4]
    assert found.metrics("train/loss").values == [0.5, 0.25]


def test_the_project_is_created_restricted_and_found_again():
    assert te.get_project("acme", "digit-classifier") is None
    first = te.init("acme", "Digit Classifier")
    project = te.get_project("acme", "digit-classifier")
    assert (project.display_name, project.visibility) == ("Digit Classifier", "RESTRICTED")
    second = te.init("acme", "digit classifier")
    assert second.project == first.project


def test_a_run_without_a_name_gets_adjective_food_and_number():
    assert re.fullmatch(r"[a-z]+_[a-z]+_\d+", te.init("acme", "Digits").name)


def test_a_name_that_exists_gets_a_number():
    names = [te.init("acme", "Digits", "test_run").name for _ in range(3)]
    assert names == ["test_run", "test_run_1", "test_run_2"]


def test_module_level_calls_go_to_the_active_run():
    run = te.init("acme", "Digits")
    assert te.get_active_run() is run
    te.log("loss", 1)
    te.log("loss", 2, step=5)
    te.finish(status=te.RunStatus.FAILED)
    assert run.status is te.RunStatus.FAILED
    assert run.metrics("loss").steps == [0, 5]
    for call in (te.get_active_run, te.finish, lambda: te.log("loss", 1)):
        with pytest.raises(ValueError, match="no run is active; start one with init"):
            call()


def test_the_active_run_is_visible_in_every_thread():
    run = te.init("acme", "Digits")
    thread = threading.Thread(target=te.log, args=("loss", 1))
    thread.start()
    thread.join()
    assert run.metrics("loss").values == [1]


def test_a_second_init_ends_the_first_run_as_failed():
    first = te.init("acme", "Digits")
    second = te.init("acme", "Digits")
    assert first.status is te.RunStatus.FAILED
    assert te.get_run("acme", "Digits", first.uuid).status is te.RunStatus.FAILED
    assert te.get_active_run() is second
    assert te.get_run("acme", "Digits", second.uuid).status is te.RunStatus.RUNNING


def test_finishing_again_changes_nothing():
    run = te.init("acme", "Digits")
    run.finish(status=te.RunStatus.CRASHED)
    run.finish()
    assert run.status is te.RunStatus.CRASHED
    assert te.get_run("acme", "Digits", run.uuid).status is te.RunStatus.CRASHED


def test_finishing_an_older_run_leaves_the_active_one_active():
    older = te.init("acme", "Digits")
    older.finish()
    newer = te.init("acme", "Digits")
    older.finish()
    assert te.get_active_run() is newer


def test_logging_to_a_finished_run_is_refused_and_records_nothing():
    run = te.init("acme", "Digits", "test_run")
    run.finish()
    with pytest.raises(te.RunFinishedError, match="log: run 'test_run' is finished"):
        run.log("loss", 1)
    with pytest.raises(te.RunFinishedError):
        te.get_run("acme", "Digits", run.uuid).log("loss", 1)
    for finished in (run, te.get_run("acme", "Digits", run.uuid)):
        with pytest.raises(te.RunFinishedError, match="log_metrics: run 'test_run' is finished"):
            finished.log_metrics({"loss": 1})
    assert run.metrics() == {}


def test_several_metrics_are_logged_to_a_run_that_was_found():
    te.init("acme", "Digits", "test_run")
    found = te.get_run("acme", "Digits", "test_run")
    found.log_metrics({"loss": 0.5, "note": "a word"}, step=3)
    assert found.flush().accepted == 2
    assert (found.metrics("loss").values, found.metrics("note").steps) == ([0.5], [3])


@pytest.mark.parametrize(
    ("name", "value", "step"),
    [("", 1, 0), ("x" * 256, 1, 0), ("loss", {1}, 0), ("loss", 1, -1), ("loss", 1, 1.5),
     ("loss", 1, True), ("loss", 1, 2**63)],
)  # fmt: skip
def test_a_metric_that_is_refused_is_not_recorded(name, value, step):
    run = te.init("acme", "Digits")
    run.log("loss", 0.5)
    with pytest.raises((TypeError, ValueError), match="^log: "):
        run.log(name, value, step)
    assert [len(history) for history in run.metrics().values()] == [1]


def test_with_ends_a_run_as_completed():
    with te.init("acme", "Digits") as run:
        run.log("loss", 1)
    assert te.get_run("acme", "Digits", run.uuid).status is te.RunStatus.COMPLETED


def test_with_ends_a_run_as_crashed_when_the_block_raises_and_the_exception_arrives():
    with pytest.raises(ZeroDivisionError), te.init("acme", "Digits") as run:
        1 / 0  # noqa: B018
    assert te.get_run("acme", "Digits", run.uuid).status is te.RunStatus.CRASHED


def test_leaving_the_block_by_a_normal_exit_is_no_crash():
    with pytest.raises(SystemExit), te.init("acme", "Digits") as run:
        raise SystemExit(0)
    assert run.status is te.RunStatus.COMPLETED


def test_async_with_ends_a_run_under_trio_too():
    async def program():
        async with te.init("acme", "Digits") as run:
            run.log("loss", 1)
            assert (await run.aflush()).accepted == 1
        return run

    async def failing_program(seen):
        async with te.init("acme", "Digits") as run:
            seen.append(run)
            raise KeyError("of the program")

    async def cancelled_program(seen):
        with trio.CancelScope() as scope:
            async with te.init("acme", "Digits") as run:
                seen.append(run)
                scope.cancel()
                raise KeyError("of the program")

    assert trio.run(program).status is te.RunStatus.COMPLETED
    for failing in (failing_program, cancelled_program):
        seen = []
        with pytest.raises(KeyError, match="of the program"):
            trio.run(failing, seen)
        assert seen[0].status is te.RunStatus.CRASHED


def test_a_coroutine_that_is_collected_without_its_loop_ends_its_run():
    async def steps():
        async with te.init("acme", "Digits") as run:
            yield run

    async def first_step():
        generator = steps()
        generators.append(generator)
        return await anext(generator)

    generators = []
    run = asyncio.new_event_loop()
    try:
        started = run.run_until_complete(first_step())
    finally:
        run.close()
    closing = generators.pop().aclose()
    with pytest.raises(StopIteration):
        closing.send(None)
    assert started.status is te.RunStatus.COMPLETED


def test_async_with_ends_a_run_too():
    async def program():
        async with te.init("acme", "Digits") as run:
            run.log("loss", 1)
        return run

    async def failing_program(seen):
        async with te.init("acme", "Digits") as run:
            seen.append(run)
            raise ZeroDivisionError

    assert asyncio.run(program()).status is te.RunStatus.COMPLETED
    seen = []
    with pytest.raises(ZeroDivisionError):
        asyncio.run(failing_program(seen))
    assert seen[0].status is te.RunStatus.CRASHED


VALUES = [
    0, -1, 2**63 - 1, -(2**63), 2**64, 10**400, 0.1, -0.0, 1.0, 5e-324, 1.7976931348623157e308,
    True, False, None, "", "text", "\u0000", "🎈", [], {}, [[1, 2], [3, 4]], {"a": {"b": [None]}},
    {"big": 10**400}, [1.0, 1],
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_each_value_is_read_back_as_it_was_logged(value):
    run = te.init("acme", "Digits")
    run.log("value", value)
    (read,) = run.metrics("value").values
    assert repr(read) == repr(value)


def test_nan_and_the_infinities_survive_the_round_trip():
    run = te.init("acme", "Digits")
    for value in (1.5, math.nan, math.inf, -math.inf, np.float32("nan")):
        run.log("loss", value)
    run.log("only_nan", math.nan)
    run.log("matrix", [[1, math.nan], [-math.inf, 2.5]])
    assert repr(run.metrics("loss").values) == "[1.5, nan, inf, -inf, nan]"
    assert repr(run.metrics("only_nan").values) == "[nan]"
    assert repr(run.metrics("matrix").values) == "[[[1, nan], [-inf, 2.5]]]"
    summary = run.summary()
    assert (summary["loss"].minimum, summary["loss"].maximum) == (-math.inf, math.inf)
    assert math.isnan(summary["loss"].last)
    assert (summary["only_nan"].minimum, summary["only_nan"].maximum) == (None, None)
    assert math.isnan(summary["only_nan"].last)


@pytest.mark.needs_extension
def test_a_history_holds_steps_values_and_timestamps_in_step_order():
    run = te.init("acme", "Digits")
    before = dt.datetime.now(dt.UTC)
    for step in (5, 1, 5, 3):
        run.log("loss", step / 10, step=step)
    run.log("accuracy", 1)
    history = run.metrics("loss")
    assert history.name == "loss"
    assert history.steps == [1, 3, 5, 5]
    assert history.values == [0.1, 0.3, 0.5, 0.5]
    assert all(before <= when <= dt.datetime.now(dt.UTC) for when in history.timestamps)
    assert list(run.metrics()) == ["accuracy", "loss"]
    assert run.metrics()["loss"] == history
    assert len(run.metrics("never logged")) == 0


def test_a_history_longer_than_a_page_is_read_whole(monkeypatch):
    monkeypatch.setattr("afnio_tellurio.api.metric_lists.METRICS_PAGE", 7)
    run = te.init("acme", "Digits")
    for step in range(20):
        run.log("loss", step)
    run.log("other", 1)
    assert run.metrics("loss").values == list(range(20))
    assert {name: len(history) for name, history in run.metrics().items()} == {
        "loss": 20,
        "other": 1,
    }


def test_a_summary_tells_count_steps_last_minimum_and_maximum():
    run = te.init("acme", "Digits")
    for step, value in [(4, 0.5), (9, 0.25), (2, 2.0)]:
        run.log("loss", value, step=step)
    run.log("note", "done")
    loss, note = run.summary()["loss"], run.summary()["note"]
    assert (loss.count, loss.first_step, loss.last_step, loss.last) == (3, 2, 9, 0.25)
    assert (loss.minimum, loss.maximum) == (0.25, 2.0)
    assert loss.last_timestamp == run.metrics("loss").timestamps[-1]
    assert (note.last, note.minimum, note.maximum) == ("done", None, None)


def test_a_curve_is_the_last_finite_value_of_each_range_of_steps():
    run = te.init("acme", "Digits")
    for step in range(100):
        run.log("loss", math.nan if step == 50 else step / 100, step=step)
    steps, values = run.curve("loss")
    assert steps == [step for step in range(100) if step != 50]
    assert values == [step / 100 for step in steps]
    steps, values = run.curve("loss", buckets=10)
    assert steps == [15, 31, 47, 63, 79, 95, 99]
    assert values == [step / 100 for step in steps]


@pytest.mark.parametrize("buckets", [0, 10_001, 1.5, "10"])
def test_a_curve_of_a_senseless_number_of_points_is_refused(buckets):
    with pytest.raises(
        ValueError, match="curve: buckets is .*; it must be a number from 1 to 10000"
    ):
        te.init("acme", "Digits").curve("loss", buckets=buckets)


def test_runs_are_listed_newest_first_by_slug_or_display_name(monkeypatch):
    monkeypatch.setattr("afnio_tellurio.api.operations.RUNS_PAGE", 2)
    names = [te.init("acme", "Digit Classifier", f"run_{number}").name for number in range(5)]
    te.init("acme", "Other", "elsewhere")
    for project in ("digit-classifier", "Digit Classifier"):
        assert [run.name for run in te.runs("acme", project)] == names[::-1]
    assert next(te.runs("acme", "Other")).status is te.RunStatus.RUNNING


def test_a_run_is_found_by_its_uuid_or_its_name():
    run = te.init("acme", "Digits", "a/b c")
    for word in (run.uuid, "a/b c"):
        found = te.get_run("acme", "Digits", word)
        assert (found.uuid, found.name, found.user) == (run.uuid, "a/b c", run.user)
    found.log("loss", 1)
    assert run.metrics("loss").values == [1]


@pytest.mark.parametrize(
    "name",
    [
        "2245023265ae4cf87d02c8b6ba991139",
        "1b8a8275-4a80-4cfa-8038-8fd2dc04e447",
        "urn:uuid:1b8a8275-4a80-4cfa-8038-8fd2dc04e447",
        "{1b8a8275-4a80-4cfa-8038-8fd2dc04e447}",
    ],
)
def test_a_run_whose_name_looks_like_a_uuid_is_found_by_its_name(name):
    run = te.init("acme", "Digits", name)
    assert te.get_run("acme", "Digits", name).uuid == run.uuid
    assert te.attach("acme", "Digits", name) is run


@pytest.mark.needs_extension
def test_a_run_whose_name_looks_like_a_uuid_is_deleted_by_its_name():
    name = "2245023265ae4cf87d02c8b6ba991139"
    run = te.init("acme", "Digits", name)
    with pytest.raises(ValueError, match="is active in this process"):
        te.delete_run("acme", "Digits", name)
    run.finish()
    te.delete_run("acme", "Digits", name)
    assert list(te.runs("acme", "Digits")) == []


def test_projects_that_become_one_by_their_slug_are_reported(monkeypatch, caplog):
    monkeypatch.setattr("afnio_tellurio.notices._shown", set())
    for name in ("C++", "C#", "c", "C ++", "C_#"):
        te.init("acme", name)
    assert te.get_project("acme", "c").display_name == "C++"
    shown = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [line for line in shown if "same slug" in line] == [
        "projects 'C#' and 'C++' have the same slug acme/c, so they are one project",
        "projects 'c' and 'C++' have the same slug acme/c, so they are one project",
        "projects 'C ++' and 'C++' have the same slug acme/c, so they are one project",
        "projects 'C_#' and 'C++' have the same slug acme/c, so they are one project",
    ]


#: Berlin before 1893, and zones in which the first and the last time are not those of UTC.
OLD_ZONE = dt.timezone(dt.timedelta(minutes=53, seconds=28))
EAST, WEST = dt.timezone(dt.timedelta(hours=23)), dt.timezone(-dt.timedelta(hours=23))


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (dt.datetime(1880, 1, 1, tzinfo=OLD_ZONE), dt.datetime(9999, 1, 1, tzinfo=OLD_ZONE)),
        (dt.datetime.min.replace(tzinfo=EAST), dt.datetime.max.replace(tzinfo=WEST)),
    ],
)
def test_runs_are_filtered_by_times_of_any_zone(first, last):
    te.init("acme", "Digits", "now")
    found = te.runs("acme", "Digits", created_after=first, created_before=last)
    assert [run.name for run in found] == ["now"]
    assert list(te.runs("acme", "Digits", created_before=first)) == []
    assert list(te.runs("acme", "Digits", created_after=last)) == []


def test_what_does_not_exist_is_a_lookup_error_that_names_it():
    with pytest.raises(LookupError, match="get_run: acme/digits has no run named 'none'"):
        te.init("acme", "Digits")
        te.get_run("acme", "Digits", "none")
    nobody = str(uuid.uuid4())
    with pytest.raises(LookupError, match=nobody):
        te.get_run("acme", "Digits", nobody)
    with pytest.raises(te.NotFoundError, match=r"Cannot list runs \(acme/nothing\)"):
        te.runs("acme", "nothing")


def test_projects_are_created_found_and_deleted():
    project = te.create_project("acme", "Digit Classifier")
    assert (project.slug, project.visibility, project.role) == ("digit-classifier", "TEAM", "OWNER")
    assert (project.org_slug, project.last_run_date) == ("acme", None)
    found = te.get_project("acme", "digit-classifier")
    assert (found.uuid, found.date_created) == (project.uuid, project.date_created)
    # As on the platform, only the other operations return these.
    assert (found.role, found.org_uuid, found.org_display_name, found.org_slug) == (None,) * 4
    run = te.init("acme", "Digit Classifier")
    assert te.get_project("acme", "digit-classifier").last_run_date == run.date_created
    run.finish()
    assert te.delete_project("acme", "digit-classifier") is None
    assert te.get_project("acme", "digit-classifier") is None
    with pytest.raises(te.NotFoundError, match="Cannot delete project"):
        te.delete_project("acme", "digit-classifier")
    with pytest.raises(te.NotFoundError):
        run.metrics()


@pytest.mark.needs_extension
def test_projects_are_listed_by_slug():
    assert te.list_projects("acme") == []
    for name in ("Zoo", "Digit Classifier", "animals"):
        te.create_project("acme", name)
    te.create_project(te.login()["username"], "elsewhere")
    found = te.list_projects("acme")
    assert [project.slug for project in found] == ["animals", "digit-classifier", "zoo"]
    assert found[1].uuid == te.get_project("acme", "digit-classifier").uuid
    with pytest.raises(ValueError, match="list_projects: namespace slug is 'a b'"):
        te.list_projects("a b")


@pytest.mark.needs_extension
def test_a_run_is_deleted_by_its_uuid_or_its_name_with_its_metrics():
    runs = [te.init("acme", "Digits", name) for name in ("kept", "a/b c", "same")]
    runs[-1].log("loss", 1)
    te.finish()
    assert te.delete_run("acme", "Digits", "a/b c") is None
    te.delete_run("acme", "digits", runs[-1].uuid)
    assert [run.name for run in te.runs("acme", "Digits")] == ["kept"]
    with pytest.raises(te.NotFoundError, match="Cannot delete run"):
        te.delete_run("acme", "digits", runs[-1].uuid)
    with pytest.raises(LookupError, match="delete_run: acme/digits has no run named 'a/b c'"):
        te.delete_run("acme", "digits", "a/b c")
    with pytest.raises(te.NotFoundError):
        runs[-1].metrics()


@pytest.mark.needs_extension
def test_what_was_logged_before_a_run_is_deleted_is_delivered_before():
    from afnio_tellurio.default_client import default_client

    te.create_project("acme", "Digits")
    default_client().post("/api/v0/acme/projects/digits/runs/", json={"name": "another's"})
    run = te.get_run("acme", "Digits", "another's")
    for step in range(100):
        run.log("loss", 1 / (step + 1))
    te.delete_run("acme", "Digits", "another's")
    assert run.flush().accepted == 100


def test_the_active_run_is_not_deleted():
    run = te.init("acme", "Digits", "test_run")
    for word in (run.uuid, "test_run"):
        with pytest.raises(ValueError, match="delete_run: run '.*' is active in this process; fin"):
            te.delete_run("acme", "Digits", word)
    assert te.get_run("acme", "Digits", "test_run").uuid == run.uuid


@pytest.mark.needs_extension
def test_a_run_is_renamed_and_described_also_when_it_is_finished():
    te.init("acme", "Digits", "best").finish()
    run = te.init("acme", "Digits", "test_run", "first")
    before = run.date_updated
    run.update(description="")
    assert (run.name, run.description) == ("test_run", "")
    assert run.date_updated > before
    run.finish()
    run.update("best", "Learning rate 0.01")
    assert (run.name, run.description) == ("best_1", "Learning rate 0.01")
    found = te.get_run("acme", "Digits", run.uuid)
    assert (found.name, found.description) == ("best_1", "Learning rate 0.01")
    assert (found.status, found.date_updated) == (te.RunStatus.COMPLETED, run.date_updated)


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ((), ValueError, "nothing to change; pass a name, description"),
        (("",), ValueError, "run name is empty"),
        ((7,), TypeError, "run name is 7"),
        ((None, 7), TypeError, "description is 7"),
    ],
)
def test_update_refuses_bad_input_and_changes_nothing(arguments, kind, words):
    run = te.init("acme", "Digits", "test_run", "first")
    with pytest.raises(kind, match=f"^update: .*{words}"):
        run.update(*arguments)
    assert te.get_run("acme", "Digits", run.uuid).name == "test_run"


@pytest.mark.parametrize("visibility", ["TEAM", "RESTRICTED", "PUBLIC", "OPEN"])
def test_a_project_has_the_visibility_asked_for(visibility):
    assert te.create_project("acme", "Digits", visibility).visibility == visibility


def test_a_slug_that_is_taken_is_a_conflict():
    te.create_project("acme", "Digits")
    with pytest.raises(te.ConflictError, match="Cannot create project "):
        te.create_project("acme", "digits!")


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (("", "Digits"), ValueError, "namespace slug is empty"),
        ((None, "Digits"), TypeError, "namespace slug is None, a NoneType; it must be a string"),
        (("a b", "Digits"), ValueError, "namespace slug is 'a b'"),
        (("acme", ""), ValueError, "project display name is empty"),
        (("acme", 3), TypeError, "project display name is 3"),
        (("acme", "!!!"), ValueError, "has no slug"),
        (("acme", "x" * 256), ValueError, "up to 255"),
        (("acme", "Digits", ""), ValueError, "run name is empty"),
        (("acme", "Digits", 7), TypeError, "run name is 7"),
        (("acme", "Digits", None, 7), TypeError, "description is 7"),
        (
            ("acme", "Digits", None, None, "GOING"),
            ValueError,
            "status is 'GOING'; it must be one of",
        ),
    ],
)
def test_init_refuses_bad_input_before_anything_is_recorded(arguments, kind, words):
    with pytest.raises(kind, match=f"^init: .*{words}"):
        te.init(*arguments)
    assert te.get_project("acme", "digits") is None


@pytest.mark.parametrize("mode", ["", "disabled"])
def test_no_status_means_the_default(monkeypatch, mode):
    monkeypatch.setenv("TELLURIO_MODE", mode or os.environ.get("TELLURIO_MODE", ""))
    run = te.init("acme", "Digits", status=None)
    assert run.status is te.RunStatus.RUNNING
    run.finish(status=None)
    assert run.status is te.RunStatus.COMPLETED
    run = te.init("acme", "Digits")
    te.finish(status=None)
    assert run.status is te.RunStatus.COMPLETED
    run = te.init("acme", "Digits")
    asyncio.run(run.afinish(status=None))
    assert run.status is te.RunStatus.COMPLETED


def test_finish_refuses_a_status_that_no_run_ends_with():
    run = te.init("acme", "Digits")
    for status in (te.RunStatus.RUNNING, "RUNNING"):
        with pytest.raises(ValueError, match="finish: status is RUNNING; it must be COMPLETED"):
            run.finish(status=status)
    assert run.status is te.RunStatus.RUNNING


def test_the_backend_decides_which_visibilities_it_accepts():
    with (
        exchanges.departing("request"),
        pytest.raises(te.BadRequestError, match="visibility: .*SECRET") as caught,
    ):
        te.create_project("acme", "Digits", "SECRET")
    assert isinstance(caught.value, (ValueError, httpx.HTTPStatusError))
    assert te.get_project("acme", "digits") is None
    with pytest.raises(TypeError, match="create_project: visibility is 1, a int"):
        te.create_project("acme", "Digits", 1)


@pytest.mark.parametrize("timeout", [float("nan"), -1, -0.5])
def test_a_timeout_that_is_no_time_is_refused(timeout):
    with (
        te.init("acme", "Digits") as run,
        pytest.raises(ValueError, match="flush: timeout is .*; it must be 0 or more"),
    ):
        run.flush(timeout)


@pytest.mark.slow
def test_eight_threads_log_to_one_run_and_nothing_is_lost():
    run = te.init("acme", "Digits")

    def work(worker):
        for number in range(25):
            run.log("shared", worker * 1000 + number)
            run.log(f"own/{worker}", number, step=number)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    metrics = run.metrics()
    wanted = [worker * 1000 + number for worker in range(8) for number in range(25)]
    assert sorted(metrics["shared"].values) == wanted
    assert metrics["shared"].steps == list(range(200))
    for worker in range(8):
        assert metrics[f"own/{worker}"].values == list(range(25))


@pytest.mark.needs_extension
def test_raw_requests_give_the_raw_answer():
    run = te.init("acme", "Digits", "test_run")
    client = te.TellurioClient.local() if "local" in te_mode() else te.TellurioClient()
    path = "/api/v0/acme/projects/digits/runs/"
    assert [found["name"] for found in client.get(path).json()] == ["test_run"]
    created = client.post(path, json={"name": "raw"})
    assert created.status_code == 201
    one = f"{path}{created.json()['uuid']}/"
    assert client.patch(one, json={"status": "FAILED"}).json()["status"] == "FAILED"
    assert client.delete(one).status_code == 204
    assert client.get(one).status_code == 404
    assert client.get(f"{path}{run.uuid}/").json()["status"] == "RUNNING"
    with pytest.raises(ValueError, match="endpoint is 'api'; pass a path that starts with a slash"):
        client.get("api")


def te_mode():
    import os

    return os.environ.get("TELLURIO_MODE", "")


def test_a_run_made_by_hand_without_a_project_cannot_be_addressed():
    run = te.Run("9b2f", "mine", None, te.RunStatus.RUNNING)
    with pytest.raises(ValueError, match="run 'mine' has no organization or no project"):
        run.log("loss", 1)
