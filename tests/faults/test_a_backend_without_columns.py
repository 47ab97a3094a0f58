"""An older backend knows metrics only as objects: that is found out once, and it is served."""

import json
import math

import httpx
import pytest
from transports import use_transport

import afnio_tellurio as te
from afnio_tellurio.backend import open_backend

COLUMNS = "application/vnd.tellurio.columns+json"


class OlderBackend(httpx.BaseTransport):
    """Refuses columns, lists no columns, and counts both forms of batches."""

    def __init__(self, app, status, body):
        self.inner = httpx.WSGITransport(app=app)
        self.status = status
        self.body = body
        self.forms = []

    def handle_request(self, request):
        request.headers.pop("accept", None)
        if request.url.path.endswith("/batch/"):
            self.forms.append(request.headers["content-type"])
            if request.headers["content-type"] == COLUMNS and self.status is not None:
                return httpx.Response(self.status, request=request, **self.body)
        return self.inner.handle_request(request)


ANSWERS = [
    (415, {"json": {"detail": 'Unsupported media type "..." in request.'}}),
    (400, {"json": {"metrics": ["This field is required."]}}),
    (422, {"json": {"detail": [{"loc": ["body", "metrics"], "msg": "Field required"}]}}),
    (500, {"html": "<h1>Server Error (500)</h1>"}),
]


@pytest.fixture
def connect(tmp_path):
    backend = open_backend(tmp_path / "older.db")
    client = te.TellurioClient.local(tmp_path / "x.db")

    def connect(status, body):
        older = OlderBackend(backend, status, body)
        use_transport(client, older)
        return client, older

    yield connect
    client.close()
    backend.close()


@pytest.mark.parametrize(("status", "body"), ANSWERS, ids=["415", "400", "422", "500"])
def test_a_backend_that_refuses_columns_gets_objects_from_then_on(connect, status, body):
    client, older = connect(status, body)
    run = te.init("acme", "Digits", client=client)
    for number in range(2500):
        run.log("loss", number / 10)
        if number % 1000 == 0:
            run.flush()
    run.log("odd", "NaN")
    run.log("odd", "\\NaN")
    run.log("big", 10**30)
    run.log_rows("calls", [{"a": math.nan}])
    assert run.finish().accepted == 2504
    assert older.forms[0] == COLUMNS
    # What fails may be in order later, so columns are tried again.
    assert set(older.forms[1:]) - ({COLUMNS} if status == 500 else set()) == {"application/json"}
    found = te.get_run("acme", "digits", run.uuid, client=client)
    assert found.metrics("loss").values == [number / 10 for number in range(2500)]
    assert found.metrics("big").values == [10**30]
    assert len(found.rows("calls")) == 1


def test_a_metric_that_is_refused_in_both_forms_says_nothing_about_columns(connect):
    client, older = connect(None, {})
    refused = []

    def refuse_one(request):
        content = request.read()
        if request.url.path.endswith("/batch/") and b'"bad"' in content:
            refused.append(json.loads(content))
            detail = {"metrics": ["[0].name: The backend does not like this name."]}
            return httpx.Response(400, json=detail, request=request)
        return OlderBackend.handle_request(older, request)

    transport = httpx.MockTransport(refuse_one)
    use_transport(client, transport)
    run = te.init("acme", "Digits", client=client)
    run.log("bad", 1)
    run.log("good", 2)
    receipt = run.finish()
    assert (receipt.accepted, receipt.rejected) == (1, 1)
    assert {frozenset(body) & {"metrics", "names"} for body in refused} == {
        frozenset({"metrics"}),
        frozenset({"names"}),
    }
    assert older.forms[-1] == COLUMNS


def test_a_backend_that_is_replaced_by_an_older_one_gets_objects(connect):
    client, older = connect(None, {})
    run = te.init("acme", "Digits", client=client)
    run.log("loss", 1)
    run.flush()
    assert older.forms == [COLUMNS]
    older.status, older.body = ANSWERS[0]
    run.log("loss", 2)
    assert run.finish().accepted == 2
    assert older.forms == [COLUMNS, COLUMNS, "application/json"]
