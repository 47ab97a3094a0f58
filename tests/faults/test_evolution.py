"""A backend that is newer, older or broken: each field of each response, changed in every way.

The user sees a correct value, or one clear exception that names the operation.
"""

import copy
import datetime as dt
import itertools
import json
from collections.abc import Mapping
from contextlib import contextmanager

import exchanges
import httpx
import pytest
from children import GUARD
from transports import use_transport

import afnio_tellurio as te
from afnio_tellurio.client import connection_of
from afnio_tellurio.operation_names import failure_of

CONTRACT = exchanges.CONTRACT
REASON = CONTRACT["components"]["schemas"]["EndReason"]["properties"]
#: Bytes above which a blob is sent in parts.
PART_BYTES = 2**16
#: Seconds that a call waits for delivery, which a broken response blocks.
PATIENCE = 0.05
#: The error of a call that timed out before any response.
NO_ANSWER_YET = "not enough time"


def fill(run):
    """Adds what only some answers with a run or a file have."""
    if "ended_because" in run:
        run["ended_because"] = dict.fromkeys(REASON, "word")
        run["environment"] = {"python": "3.12"}
    if "reference" in run:
        run["executable"] = True


class ChangedAnswers(httpx.BaseTransport):
    """The local backend, with changed responses to one operation.

    While single metrics are under test, it has no operation for batches.
    """

    def __init__(self, backend):
        self._inner = httpx.WSGITransport(app=backend)
        self.operation_id = None
        self.change = None
        self.status = None
        self.changes = 0
        self.knows_columns = False

    def handle_request(self, request):
        operation = exchanges._operation(request)[0]["operationId"]
        if operation == "logMetricBatch" and self.operation_id == "logMetric":
            return httpx.Response(404, json={"detail": "Not found."}, request=request)
        if not self.knows_columns:
            request.headers.pop("accept", None)
        response = self._inner.handle_request(request)
        response.read()
        if operation != self.operation_id or response.status_code >= 300 or not response.content:
            return response
        answer = response.json()
        for run in answer if isinstance(answer, list) else [answer]:
            fill(run)
        answer = self.change(answer)
        self.changes += 1
        headers = {
            name: value for name, value in response.headers.items() if name != "content-length"
        }
        return httpx.Response(
            self.status or response.status_code, json=answer, headers=headers, request=request
        )


@pytest.fixture
def client(tmp_path, monkeypatch):
    monkeypatch.setenv("TELLURIO_EXIT_TIMEOUT", str(PATIENCE))
    monkeypatch.setattr("afnio_tellurio.delivery.transfer.FIRST_RETRY_DELAY", 0.01)
    monkeypatch.setattr("afnio_tellurio.delivery.file_transfer.BLOB_BYTES", PART_BYTES)
    client = te.TellurioClient.local(tmp_path / "x.db")
    use_transport(client, ChangedAnswers(client._backend))
    # It would take files without an operation.
    connection_of(client).adopt_blobs = None
    yield client
    connection_of(client)._pool.transport.operation_id = None
    client.close()


@pytest.fixture
def run(client):
    run = te.init(
        "acme", "Digits", "r", "about", client=client, config={"n": 1}, tags=["a"], group="g",
        job_type="j", notes="n", parent="1f0e6f3a-58c1-4f0e-a3de-0f4b8a2f9c10",
    )  # fmt: skip
    run.update_config({"n": 2})
    run.log("loss", 0.5)
    run.log("loss", float("nan"))
    run.log_rows("table", [{"id": 0, "a": 1}, {"id": 1}], key="id")
    run.flush()
    data = te.Artifact("data", "dataset", "about", {"rows": 3}).add_bytes(b"1", "second")
    data.add_reference("s3://acme/data", "first", digest="0" * 64, size=1)
    run.log_artifact(data, aliases=["first"])
    run.log_text("answers", "words", step=3)
    run.log_artifact(b"1", "old").wait(GUARD)
    run.use_artifact("data")
    te.create_project("acme", "Deleted", client=client)
    te.delete_project("acme", "deleted", client)
    return run


_numbers = itertools.count()


def create_another(client, _run):
    return te.create_project("acme", f"Other {next(_numbers)}", "PUBLIC", client)


def answered(client, call):
    """Returns the result of a call that waits for delivery, or raises its error for a changed response."""
    transport = connection_of(client)._pool.transport
    earlier = transport.changes
    for _ in range(1000):
        try:
            return call()
        except te.DeliveryError as error:
            # Before the response, the error is that of an earlier one.
            if transport.changes > earlier and NO_ANSWER_YET not in str(error):
                raise
    raise AssertionError(NO_ANSWER_YET)


def log_another(client, run):
    run.log("loss", 1)
    return answered(client, lambda: run.flush(timeout=PATIENCE))


def finish_another(client, _run):
    # A run that has ended, in the background too, sends no more requests.
    another = te.init("acme", "Digits", client=client)
    answered(client, another.finish)
    return another


def log_another_artifact(client, run):
    artifact = run.log_artifact(str(next(_numbers)).encode(), "another")
    return answered(client, lambda: artifact.wait(PATIENCE))


def log_large_artifact(client, run):
    artifact = run.log_artifact(next(_numbers).to_bytes(PART_BYTES + 1), "large")
    return answered(client, lambda: artifact.wait(PATIENCE))


def log_another_file(client, run):
    run.log_text("answers", "words")
    # Waits for files; with a timeout of its own, as a reader does.
    answered(client, run.files)
    return run.files()[-1]


def restore_another(client, _run):
    te.get_artifact("acme/digits/old:v0", client).delete()
    try:
        return te.restore_artifact("acme/digits/old:v0", client)
    finally:
        transport = connection_of(client)._pool.transport
        transport.operation_id = None


def set_alias(client, _run):
    artifact = te.get_artifact("acme/digits/data", client)
    artifact.alias("best")
    return artifact


#: For each operation, a call of the public API that requests it and returns what the caller sees.
CALLS = {
    "verifyApiKey": lambda client, _run: client.login(),
    "listNamespaces": lambda client, _run: te.list_namespaces(client),
    "listProjects": lambda client, _run: te.list_projects("acme", client),
    "getProject": lambda client, _run: te.get_project("acme", "digits", client),
    "createProject": create_another,
    "restoreProject": lambda client, _run: te.restore_project("acme", "digits", client),
    "restoreRun": lambda client, run: te.restore_run("acme", "Digits", run.uuid, client),
    "listTrash": lambda client, _run: te.list_trash("acme", client),
    "createRun": lambda client, _run: te.init("acme", "Digits", "new", client=client),
    "listRuns": lambda client, _run: list(te.runs("acme", "Digits", client)),
    "getRun": lambda client, run: te.get_run("acme", "Digits", run.uuid, client),
    "updateRun": finish_another,
    "listConfigChanges": lambda _client, run: run.config_changes(),
    "logMetric": log_another,
    "logMetricBatch": log_another,
    "listMetrics": lambda _client, run: run.metrics(),
    "listTables": lambda _client, run: run.tables(),
    "listRows": lambda _client, run: run.rows("table"),
    "summarizeMetrics": lambda _client, run: run.summary(),
    "sampleMetric": lambda _client, run: run.curve("loss"),
    "listProjectMetrics": lambda client, _run: te.list_metrics("acme", "Digits", client),
    "tabulateRuns": lambda client, _run: te.table("acme", "Digits", client),
    "summarizeProjectMetrics": lambda client, run: te.summaries([run], client=client),
    "sampleProjectMetrics": lambda client, run: te.curves([run], "loss", client=client),
    "checkBlobs": log_another_artifact,
    "createUpload": log_large_artifact,
    "createArtifactVersion": log_another_artifact,
    "logRunFile": log_another_file,
    "listArtifacts": lambda client, _run: te.list_artifacts("acme", "digits", client=client),
    "listArtifactVersions": lambda client, _run: te.list_artifact_versions(
        "acme", "digits", "data", client
    ),
    "getArtifactVersion": lambda client, _run: te.get_artifact("acme/digits/data", client),
    "restoreArtifactVersion": restore_another,
    "listArtifactFiles": lambda client, _run: te.get_artifact("acme/digits/data", client).files,
    "listArtifactRuns": lambda client, _run: te.get_artifact("acme/digits/data", client).consumers,
    "setArtifactAlias": set_alias,
    "listRunArtifacts": lambda _client, run: run.outputs(),
    "useArtifact": lambda _client, run: run.use_artifact("data"),
    "listRunFiles": lambda _client, run: run.files(),
}
#: No public call requests the first, and the second answers something only if it takes long.
NOT_CALLED = {"getUpload", "completeUpload"}


def resolved(schema):
    return exchanges._resolved(schema)


def answer_schemas():
    """The schema of each operation's response, if it has one."""
    schemas = {}
    for item in CONTRACT["paths"].values():
        for operation in item.values():
            if isinstance(operation, dict):
                answers = operation["responses"]
                for answer in [answers[status] for status in answers if status.startswith("2")]:
                    content = resolved(answer).get("content", {}).get("application/json")
                    if content:
                        schemas[operation["operationId"]] = content["schema"]
    return schemas


SCHEMAS = answer_schemas()


def fields(schema, path=()):
    """Each field of a schema: its path, its schema, and whether it is required."""
    schema = resolved(schema)
    for alternative in schema.get("anyOf", schema.get("oneOf", ())):
        yield from fields(alternative, path)
    if schema.get("type") == "array":
        yield from fields(schema["items"], (*path, 0))
    for name, field in schema.get("properties", {}).items():
        yield (*path, name), resolved(field), name in schema.get("required", ())
        yield from fields(field, (*path, name))
    if isinstance(schema.get("additionalProperties"), dict) and "properties" not in schema:
        yield from fields(schema["additionalProperties"], (*path, "loss"))


#: The fields of each operation's response: their paths, and whether they are required.
FIELDS = {
    operation: [(path, required) for path, _schema, required in fields(SCHEMAS[operation])]
    for operation in CALLS
}
FIELDS = {operation: paths for operation, paths in FIELDS.items() if paths}


def holder(answer, path):
    """The object that contains a field, or None if this response lacks it."""
    for step in path[:-1]:
        try:
            answer = answer[step]
        except (LookupError, TypeError):
            return None
    return answer if isinstance(answer, dict) else None


def outcome(client, run, operation, change):
    """What the application sees: it must be a value or one clear exception."""
    transport = connection_of(client)._pool.transport
    changed = []

    def changing(answer):
        answer = copy.deepcopy(answer)
        changed.append(change(answer))
        return answer

    transport.operation_id, transport.change = operation, changing
    try:
        seen = CALLS[operation](client, run)
    except (te.InvalidResponseError, te.DeliveryError) as error:
        seen = error
    finally:
        transport.operation_id = None
    if not any(changed):
        raise NothingChangedError
    if isinstance(seen, Exception):
        assert failure_of(operation) in str(seen)
    return seen


def strings_in(value):
    """The strings in the result of a call."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            assert isinstance(key, str), "keys are strings"
            yield from (key, *strings_in(item))
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from strings_in(item)
    else:
        for name in PUBLIC & set(dir(value)):
            yield from strings_in(getattr(value, name))


#: The fields of entities that are strings, or entities themselves.
PUBLIC = {
    "description", "display_name", "name", "organization", "org_slug", "project", "role", "slug", "status", "user",
    "version", "digest", "aliases", "metadata", "reference", "path", "content_type", "artifact", "run_name", "latest",
    "tags", "group", "job_type", "notes", "parent_uuid", "ended_because", "kind", "type", "message", "traceback", "signal",
    "username", "uuid", "visibility", "project_slug",
}  # fmt: skip


class NothingChangedError(Exception):
    """The backend's response does not have the field."""


def test_each_operation_that_answers_something_is_called():
    assert CALLS.keys() == SCHEMAS.keys() - NOT_CALLED


@pytest.mark.parametrize("operation", FIELDS)
def test_a_field_that_is_missing(client, run, operation):
    for path, required in FIELDS[operation]:

        def change(answer, path=path):
            place = holder(answer, path)
            return place is not None and place.pop(path[-1], change) is not change

        with naming(path):
            seen = outcome(client, run, operation, change)
            if not required:
                assert not isinstance(seen, Exception), seen
            elif isinstance(seen, Exception):
                assert any(str(step) in str(seen) for step in path if step != "loss"), "it is named"


COLUMNS = ["name", "step", "value", "timestamp"]
WRONG_COLUMNS = [
    None, 1, "word", {}, [None, None], ["a", "b"], [1], [1, 2, 3], [[], {}], [2**70, 2**70], [0.5, 1.5],
    {"kind": "float64", "base64": "AAAAAAAA0D8AAAAAAADAPw=="},
    {"kind": "int64", "base64": "AAAAAAAA0D8AAAAAAADAPw=="},
    {"kind": "int64", "base64": "AAAAAAAA0D8="}, {"kind": "int64", "base64": "AAAA"},
    {"kind": "int64", "base64": "?"}, {"kind": "int64"}, {"base64": ""}, {"kind": "int8", "base64": ""},
]  # fmt: skip


@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_that_is_missing_or_holds_anything_else(client, run, column):
    connection_of(client)._pool.transport.knows_columns = True
    for wrong in [*WRONG_COLUMNS, NothingChangedError]:

        def change(answer, wrong=wrong):
            assert set(answer[0]) >= set(COLUMNS)
            del answer[0][column]
            if wrong is not NothingChangedError:
                answer[0][column] = wrong
            return True

        seen = outcome(client, run, "listMetrics", change)
        if not isinstance(seen, Exception):
            history = next(iter(seen.values()))
            assert len(history.steps) == len(history.values) == len(history.timestamps)
            history.to_numpy()


WRONG = [None, True, -1, 1.5, "", "word", [], [[]], {}, {"a": {}}, 2**70, "2026-11-23", "\x00"]


@pytest.mark.slow
@pytest.mark.parametrize("operation", FIELDS)
def test_a_field_that_holds_anything_else(client, run, operation):
    for (path, _required), wrong in itertools.product(FIELDS[operation], WRONG):

        def change(answer, path=path, wrong=wrong):
            place = holder(answer, path)
            if place is None:
                return False
            place[path[-1]] = wrong
            return True

        with naming(path, wrong):
            seen = outcome(client, run, operation, change)
            if isinstance(seen, Exception):
                continue
            repr(seen)
            assert_dates_are_dates(seen)
            strings = set(strings_in(seen))
            assert isinstance(wrong, str) or str(wrong) not in strings, "no field is made into text"


@contextmanager
def naming(*case):
    """Adds the case to an exception, of one test that goes through many."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"with {case}")
        raise


def assert_dates_are_dates(seen):
    for entity in seen if isinstance(seen, list) else [seen]:
        for name in (
            "date_created",
            "date_updated",
            "last_run_date",
            "last_activity",
            "date_deleted",
            "date_purged",
        ):
            date = getattr(entity, name, None)
            assert date is None or (isinstance(date, dt.datetime) and date.tzinfo), name


#: Fields with any JSON, or with statuses as keys.
OPEN = {"value", "config", "patch", "environment", "metadata", "run_counts"}


def with_news(answer):
    """Adds a field to every object but those whose keys are names."""
    if isinstance(answer, list):
        return [with_news(item) for item in answer]
    if not isinstance(answer, dict):
        return answer
    news = {name: value if name in OPEN else with_news(value) for name, value in answer.items()}
    is_map = answer and all(isinstance(value, dict) for value in answer.values())
    return news if is_map else {**news, "news": {"deep": [1, {"er": None}]}}


@pytest.mark.parametrize("operation", CALLS)
def test_unknown_fields_at_every_level_change_nothing(client, run, operation):
    def change(answer):
        news = with_news(answer)
        if isinstance(answer, dict):
            answer.update(news)
        else:
            answer[:] = news
        return "news" in json.dumps(answer)

    before = repr(CALLS[operation](client, run)) if operation.startswith(("get", "list")) else None
    seen = outcome(client, run, operation, change)
    assert not isinstance(seen, Exception), seen
    assert before is None or repr(seen) == before


@pytest.mark.parametrize("operation", ["createRun", "listRuns", "getRun", "updateRun"])
def test_an_unknown_status_is_a_status_of_its_own(client, run, operation):
    def change(answer):
        for one in answer if isinstance(answer, list) else [answer]:
            one["status"] = "ARCHIVED"
        return True

    seen = outcome(client, run, operation, change)
    if operation == "updateRun":
        assert seen.status is te.RunStatus.COMPLETED, "as this program said"
        return
    seen = seen[0] if isinstance(seen, list) else seen
    assert isinstance(seen.status, te.RunStatus)
    assert seen.status.value == "ARCHIVED"
    assert all(seen.status != known for known in te.RunStatus)
    assert "status=ARCHIVED" in repr(seen)
    assert json.dumps({"status": seen.status}) == '{"status": "ARCHIVED"}'
    seen.log("loss", 2)
    assert seen.flush().waiting == 0


@pytest.mark.parametrize("operation", ["getProject", "createProject"])
def test_unknown_words_of_a_project_are_kept(client, run, operation):
    def change(answer):
        answer["visibility"], answer["role"] = "FEDERATED", "JANITOR"
        return True

    seen = outcome(client, run, operation, change)
    assert (seen.visibility, seen.role) == ("FEDERATED", "JANITOR")


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2026-11-23T10:15:30Z", dt.datetime(2026, 11, 23, 10, 15, 30, tzinfo=dt.UTC)),
        ("2026-11-23T10:15:30.1Z", dt.datetime(2026, 11, 23, 10, 15, 30, 100_000, dt.UTC)),
        ("2026-11-23T10:15:30.123456789Z", dt.datetime(2026, 11, 23, 10, 15, 30, 123456, dt.UTC)),
        ("2026-11-23T15:45:30+05:30", dt.datetime(2026, 11, 23, 10, 15, 30, tzinfo=dt.UTC)),
        ("2026-11-22T22:15:30-12:00", dt.datetime(2026, 11, 23, 10, 15, 30, tzinfo=dt.UTC)),
        ("2026-11-23 10:15:30+00:00", dt.datetime(2026, 11, 23, 10, 15, 30, tzinfo=dt.UTC)),
        ("2026-11-23T10:15+00:00", dt.datetime(2026, 11, 23, 10, 15, tzinfo=dt.UTC)),
    ],
)
def test_times_of_another_precision_and_zone_are_the_same_times(client, run, text, date):
    def run_times(answer):
        answer["date_created"] = answer["date_updated"] = text
        return True

    def metric_times(answer):
        for metric in answer:
            metric["timestamp"] = text
        return True

    seen = outcome(client, run, "getRun", run_times)
    assert seen.date_created == seen.date_updated == date
    assert seen.date_created.tzinfo is not None
    history = outcome(client, run, "listMetrics", metric_times)["loss"]
    assert history.timestamps == [date, date]


@pytest.mark.parametrize("text", ["2026-11-23T10:15:30", "soon", "", "2026-13-01T00:00:00Z", 17])
def test_a_time_that_is_none_is_an_error_and_no_silent_string(client, run, text):
    for operation, field in (("getRun", "date_created"), ("getProject", "last_run_date")):

        def change(answer, field=field):
            answer[field] = text
            return True

        assert isinstance(outcome(client, run, operation, change), te.InvalidResponseError)


def test_a_run_without_a_user_or_description_is_a_run(client, run):
    def change(answer):
        answer["user"] = answer["description"] = None
        return True

    seen = outcome(client, run, "getRun", change)
    assert (seen.user, seen.description, seen.name) == (None, None, "r")


@pytest.mark.parametrize("operation", CALLS)
def test_another_success_status_is_a_right_value_or_a_clear_error(client, run, operation):
    for status in (200, 201, 202, 206, 299):
        connection_of(client)._pool.transport.status = status
        seen = outcome(client, run, operation, lambda _answer: True)
        connection_of(client)._pool.transport.status = None
        repr(seen)


def test_what_a_broken_receipt_held_up_is_delivered_once(client, run):
    def change(answer):
        answer.clear()
        return True

    assert isinstance(outcome(client, run, "logMetricBatch", change), te.DeliveryError)
    assert answered(client, run.finish).accepted == 5
    assert te.get_run("acme", "Digits", "r", client).metrics("loss").values[2:] == [1]
    assert te.get_run("acme", "Digits", "r", client).tables()["table"].count == 2
