"""The local backend under requests that schemathesis generates from the contract, over a socket.

Every operation, with data that the contract allows and data that it forbids, one by one and along
the links that it declares. The number of examples and the seed are fixed, but later requests depend
on responses. `--long` runs more examples, with another seed.
"""

from __future__ import annotations

import collections
import copy
import json
import re
import threading
from contextlib import contextmanager
from functools import partial
from urllib.parse import urlencode

import exchanges
import httpx
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import from_schema
from schemathesis.generation import GenerationMode
from stored_blobs import FRAMES, content_digest_of, digest_of, frame, put_part, start_upload
from valid_requests import QUERIES, body_of, fill, values_of

from afnio_tellurio.backend import BackendUser, open_backend
from afnio_tellurio.backend.server import Server

KEY = {"Authorization": "Api-Key the-key"}
UNKNOWN = "9b2f4f9e-3c0d-4b0a-8a53-5a3c8e0f7f21"
SLUG = re.compile("[-a-zA-Z0-9_]+")
UNKNOWN_DIGEST = "0" * 64
DIGEST = re.compile("[0-9a-f]{64}")
UUID = re.compile("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
NAME = re.compile("[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
VALID = {
    "namespace_slug": SLUG, "project_slug": SLUG, "run_uuid": UUID, "upload_uuid": UUID, "digest": DIGEST,
    "artifact_name": NAME, "alias": NAME, "part_number": re.compile("[1-9][0-9]*"),
    "version": re.compile(f"sha256:{DIGEST.pattern}|{NAME.pattern}"),
}  # fmt: skip
EXAMPLES, SEED = 10, 1
LONG_EXAMPLES, LONG_SEED = 100, 2

# Errors for requests that the schema allows: no schema can express these rules.
NO_SCHEMA_TELLS = {
    # It depends on the bytes of the body.
    "another SHA-256.",
    "Does not begin with a SHA-256, a space, a size, a newline.",
    "is shorter than its size.",
    "The part must have",
    "Must have a blob.",
    # It depends on the upload.
    "The upload has ",
    "The parts have the SHA-256 ",
    # Backends have other limits.
    "A blob has up to ",
    # A cursor is opaque: only cursors from a response are valid.
    "isn't a valid cursor of this list.",
    "isn't a valid cursor of these metrics.",
    # Slugs accept all Unicode letters; patterns have no portable class for them.
    "Must contain a letter or digit for the slug.",
    # With its offset, a time may be before the year 1 or after 9999.
    "is not in the years 1 to 9999 in UTC.",
    # It depends on another field.
    "must be an object, because it is a row.",
    "because row_key names it.",
    # The columns of a batch belong together.
    "all columns must have as many.",
    "is out of range.",
    # They must unpack on every system.
    "the path ",
    "the paths ",
    "two files have the path ",
    # They depend on other fields, on stored blobs, or on reserved words.
    "Pass files or manifest_digest, and not both.",
    "has neither a reference nor a digest and a size.",
    "The manifest is invalid: ",
    "the files have ",
    "cannot be chosen; it names a version already, or will.",
    "A file of the kind file has no step.",
    "The backend does not have the bytes of ",
    # Filters, orders, and columns are in a language of their own.
    "Invalid filter at character ",
    "Invalid sort at character ",
    "Invalid column at character ",
    # It depends on what was logged before.
    "No run of the project has ",
    "Can't sort by ",
    "The last step is the maximum; pass a step.",
}

#: They have neither a run nor an artifact in their path.
PROJECT_OPERATIONS = {
    "listRuns",
    "tabulateRuns",
    "listProjectMetrics",
    "summarizeProjectMetrics",
    "sampleProjectMetrics",
}
ARTIFACT_OPERATIONS = {
    operation["operationId"]
    for item in exchanges.CONTRACT["paths"].values()
    for operation in item.values()
    if isinstance(operation, dict) and operation["tags"] == ["artifacts"]
} - {"checkBlobs", "createUpload", "putBlob", "putBlobs", "putUploadPart", "completeUpload"}
#: Valid ones: a generated text hardly ever is.
QUERIES_OF_RUNS = {
    "listRuns": {"where": "status != FAILED", "sort": "-name"},
    "tabulateRuns": {"where": "metric(loss) < 1", "column": ["name", "config.*", "metric(*)"]},
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD")
PATHS = exchanges.CONTRACT["paths"]
OPERATIONS = [
    (method.upper(), path, operation)
    for path, item in PATHS.items()
    for method, operation in item.items()
    if method.upper() in METHODS
]


@contextmanager
def served(application):
    server = Server(application, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.stop()
        thread.join()
        server.close()


@pytest.fixture
def backend(tmp_path):
    backend = open_backend(
        tmp_path / "tellurio.db", user=BackendUser("ada", "ada@example.com"), api_key="the-key"
    )
    yield backend
    backend.close()


@pytest.fixture
def api(backend):
    transport = httpx.WSGITransport(app=backend)
    with httpx.Client(base_url="http://embedded", transport=transport) as client:
        yield client


class Watched:
    """The backend; it counts its responses by operation and status."""

    def __init__(self, backend):
        self.backend = backend
        self.statuses = collections.defaultdict(collections.Counter)

    def __call__(self, environ, start_response):
        def start(status, headers):
            request = httpx.Request(
                environ["REQUEST_METHOD"], httpx.URL("http://backend", raw_path=raw_path(environ))
            )
            operation = exchanges._operation(request)
            name = operation[0]["operationId"] if operation else None
            self.statuses[name][int(status[:3])] += 1
            return start_response(status, headers)

        return self.backend(environ, start)


def raw_path(environ):
    from urllib.parse import quote_from_bytes

    return quote_from_bytes(environ["PATH_INFO"].encode("latin-1")).encode("ascii")


@schemathesis.serializer(FRAMES)
def framed(_context, value):
    """Bytes of an odd length as a blob after its line, and others as they are."""
    content = bytes_of(value)
    return frame(content) if len(content) % 2 else content


def bytes_of(value):
    """The bytes of a body that is not JSON."""
    value = getattr(value, "data", value)
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


def storing(api):
    """Sends most bytes to the path of their digest, or to the upload of a blob that they are."""

    def send(_context, case):
        name = case.operation.definition.raw["operationId"]
        given = case.path_parameters or {}
        content = bytes_of(case.body) or b"abc"
        is_valid = DIGEST.fullmatch(str(given.get("digest", UNKNOWN_DIGEST))) and UUID.fullmatch(
            str(given.get("upload_uuid", UNKNOWN))
        )
        if not is_valid or not len(content) % 2:
            return case
        changed = {"namespace_slug": "acme", "project_slug": "digits"}
        if name == "putBlob":
            changed["digest"] = digest_of(content)
            case.body = content
        if name in {"putUploadPart", "completeUpload"}:
            changed["upload_uuid"] = start_upload(api, content).json()["uuid"]
        if name == "putUploadPart":
            changed["part_number"] = 1
            case.body = content
            case.headers["Content-Digest"] = content_digest_of(content)
        if name == "completeUpload":
            put_part(api, changed["upload_uuid"], 1, content)
        if name in {
            "checkBlobs",
            "createUpload",
            "putBlob",
            "putBlobs",
            "putUploadPart",
            "completeUpload",
        }:
            case.path_parameters = {**given, **changed}
        return case

    return send


COLUMNS = ("name", "value", "timestamp", "step", "is_row", "row_key")
#: Items of a column; a longer one must be refused.
MOST_METRICS = 10_000
#: Sets of requests until each operation was tried in full.
MOST_ATTEMPTS = 40


class Fixtures:
    """What generated requests are about; otherwise all of it would be unknown.

    Args:
        api: A client of the backend.
    """

    RUNS = "/api/v0/acme/projects/digits/runs/"

    def __init__(self, api):
        self.api = api
        self.values = values_of(UNKNOWN)
        self.artifacts = 0

    def put_path(self, parameters):
        """Puts what there is into most paths."""
        given = {name: str(value) for name, value in (parameters or {}).items()}
        if not given.keys() & {"run_uuid", "artifact_name", "digest", "upload_uuid"}:
            return parameters
        if not all(VALID[name].fullmatch(value) for name, value in given.items()):
            return parameters
        if sum(map(len, given.values())) % 8 == 0:
            return parameters
        self.renew()
        return {name: self.values[name] for name in given}

    def put_case(self, case):
        """Replaces half of the valid requests whose success depends on more than the schema."""
        name = case.operation.definition.raw["operationId"]
        is_valid = case.meta is None or case.meta.generation.mode == GenerationMode.POSITIVE
        if is_valid:
            case.body = beginning(case.body)
        if is_valid and name in PROJECT_OPERATIONS:
            self.renew()
            case.path_parameters = {key: self.values[key] for key in case.path_parameters or {}}
        if is_valid and name in QUERIES_OF_RUNS and len(repr(case.query)) % 2:
            case.query = dict(QUERIES_OF_RUNS[name])
        if not is_valid or name not in ARTIFACT_OPERATIONS or len(repr(case.body)) % 2:
            return case
        self.renew()
        body, headers = body_of(name)
        case.path_parameters = {key: self.values[key] for key in case.path_parameters or {}}
        case.query = dict(QUERIES.get(name, {}))
        case.headers = {**KEY, **headers}
        if body:
            (case.body,) = body.values()
        return case

    def renew(self):
        """Creates what a generated request has deleted."""
        run = self.values["run_uuid"]
        self.api.post("/api/v0/acme/projects/", json={"display_name": "Digits"})
        if self.api.get(f"{self.RUNS}{run}/").status_code == 404:
            run = self.api.post(self.RUNS, json={}).json()["uuid"]
            self.api.post(f"{self.RUNS}{run}/metrics/", json={"name": "loss", "value": 0.5})
        # Generated requests delete versions, and give artifacts another type.
        self.artifacts += 1
        self.values = fill(self.api, run, f"model{self.artifacts}")


def is_short(_context, query):
    """Whether a server reads the request line: some refuse long ones with the status 431."""
    return len(urlencode(query or {}, doseq=True)) < 60_000


def beginning(body):
    """Makes a batch the first of its writer: any other number is a gap."""
    is_batch = isinstance(body, dict) and type(body.get("first_sequence_number")) is int
    if not is_batch:
        return body
    first = min(0, body["first_sequence_number"])
    return {**body, "first_sequence_number": first, **matching_columns(body)}


def matching_columns(body):
    """The columns of a batch, cut to one length, with indexes of names that it has."""
    columns = {name: body[name] for name in COLUMNS if isinstance(body.get(name), list)}
    names, indexes = body.get("names"), columns.get("name")
    if (
        not names
        or not indexes
        or not isinstance(names, list)
        or not {*map(type, indexes)} <= {int}
        # What the contract forbids must not be cut off.
        or not all(0 <= index < MOST_METRICS for index in indexes)
    ):
        return {}
    if max(map(len, columns.values())) > MOST_METRICS:
        return {}
    count = min(map(len, columns.values()))
    columns["name"] = [index % len(names) for index in indexes]
    return {name: column[:count] for name, column in columns.items()}


def found(application, *, examples, seed, operation_id=None, hooks=None, phases=None):
    """The failures that schemathesis reports for an application, one line for each kind.

    Hooks transform the parameters of each path, and each body.
    """
    configuration = SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "continue-on-failure": True,
            "headers": KEY,
            "phases": phases or {},
            "generation": {"max-examples": examples, "deterministic": True, "database": "none"},
        }
    )
    with served(application) as url:
        document = copy.deepcopy(exchanges.CONTRACT)
        schema = schemathesis.openapi.from_dict(document, config=configuration)
        schema.config.base_url = url
        for name, hook in (hooks or {}).items():
            schema.hook(name)(hook)
        if operation_id is not None:
            schema = schema.include(operation_id=operation_id)
        lines = {}
        for event in from_schema(schema).execute():
            for line, detail in complaints(event):
                lines.setdefault(line, detail)
        return [f"{line}\n{detail}" for line, detail in lines.items()]


def complaints(event):
    kind = type(event).__name__
    if kind in {"NonFatalError", "FatalError"}:
        yield f"{kind}: {getattr(event, 'label', '')}", str(getattr(event, "info", event))
    if kind != "ScenarioFinished":
        return
    for case, checks in event.recorder.checks.items():
        for check in checks:
            if check.failure_info is None:
                continue
            failure = check.failure_info.failure
            interaction = event.recorder.interactions.get(case)
            answer = interaction.response if interaction else None
            if check.name == "positive_data_acceptance" and is_beyond_schemas(answer):
                continue
            # The strategy of a media type of ours makes valid bodies alone.
            if check.name == "negative_data_rejection" and "positive test case" in failure.message:
                continue
            if check.name == "use_after_free" and is_there_again(check.failure_info):
                continue
            if check.name == "ensure_resource_availability" and is_of_another(failure, answer):
                continue
            words = f"{answer.status_code} {answer.content[:300]!r}" if answer else "no answer"
            line = f"{check.name}: {failure.operation}: {failure.message}"
            yield line, f"{words}\n{check.failure_info.code_sample}"


def is_there_again(info):
    """Whether what was deleted has been restored since, or made again by `Fixtures.renew`."""
    is_renewed = "`DELETE /api/v0/acme/projects/digits/" in str(info.failure.message)
    return is_renewed or "/restore/" in info.code_sample


def is_of_another(failure, answer):
    """Whether a run was created, and what is not found is the artifact that the body names."""
    is_run = "projects/{project_slug}/runs/`" in failure.message
    return is_run and json.loads(answer.content)["detail"].startswith("Artifact ")


def is_beyond_schemas(answer):
    if answer is not None and answer.status_code in {412, 416}:
        # Only tags from a response match, and only ranges of the bytes that a file has.
        return True
    if answer is None or answer.status_code != 400:
        return False
    body = json.loads(answer.content)
    words = [word for field in body.values() if isinstance(field, list) for word in field]
    return bool(words) and all(any(reason in word for reason in NO_SCHEMA_TELLS) for word in words)


@pytest.mark.slow
def test_the_backend_keeps_the_contract_whatever_is_sent(backend, api, pytestconfig):
    is_long = pytestconfig.getoption("--long")
    api.headers.update(KEY)
    watched = Watched(backend)
    fixtures, store = Fixtures(api), storing(api)

    def put_path(_context, parameters):
        return fixtures.put_path(parameters)

    def put_case(context, case):
        return fixtures.put_case(store(context, case))

    send = partial(
        found,
        watched,
        examples=LONG_EXAMPLES if is_long else EXAMPLES,
        hooks={
            "map_path_parameters": put_path,
            "filter_query": is_short,
            "map_case": put_case,
        },
    )
    # Hundreds of cases at the bounds of each field.
    phases = {"coverage": {"enabled": is_long}}
    seed = LONG_SEED if is_long else SEED
    departures = send(seed=seed, phases=phases)
    # The test is only useful if each operation both succeeded and was rejected, and which requests
    # are generated depends on earlier answers.
    for attempt in range(1, MOST_ATTEMPTS):
        for operation_id in incomplete_operations(watched):
            # An earlier request may have deleted the project.
            fixtures.renew()
            # One operation has no links to others.
            alone = {**phases, "stateful": {"enabled": False}}
            departures += send(seed=seed + attempt, operation_id=operation_id, phases=alone)
    assert not departures, "\n\n".join(departures)
    assert incomplete_operations(watched) == []
    assert sum(statuses.total() for statuses in watched.statuses.values()) > 250


def incomplete_operations(watched):
    """The operations that have not succeeded, or have not been rejected in each way."""
    incomplete = []
    for _method, _path, operation in OPERATIONS:
        statuses = watched.statuses[operation["operationId"]]
        rejections = {401, 400} if "requestBody" in operation else {401}
        if not (statuses.keys() & {200, 201, 204} and rejections <= statuses.keys()):
            incomplete.append(operation["operationId"])
    return incomplete


def answering(status, body=b"{}", content_type="application/json", headers=()):
    def application(_environ, start_response):
        start_response(f"{status} Played", [("Content-Type", content_type), *headers])
        return [body]

    return application


def without_authentication(backend):
    def application(environ, start_response):
        return backend({**environ, "HTTP_AUTHORIZATION": KEY["Authorization"]}, start_response)

    return application


#: An operation for each check, and an application that departs there.
DEPARTING = {
    "getProject": ("not_a_server_error", lambda _: answering(500)),
    "deleteProject": ("status_code_conformance", lambda _: answering(418)),
    "listProjects": ("content_type_conformance", lambda _: answering(200, b"[]", "text/html")),
    "verifyApiKey": ("response_schema_conformance", lambda _: answering(200, b'{"email": 7}')),
    "listNamespaces": ("ignored_auth", without_authentication),
    "createProject": ("negative_data_rejection", lambda _: answering(201)),
    "createRun": ("positive_data_acceptance", lambda _: answering(400)),
}


@pytest.mark.slow
def test_a_backend_that_departs_is_found(backend):
    # The faked responses contain none of the errors in NO_SCHEMA_TELLS.
    changed = {name: change(backend) for name, (_, change) in DEPARTING.items()}

    def application(environ, start_response):
        url = httpx.URL("http://backend", raw_path=raw_path(environ))
        operation = exchanges._operation(httpx.Request(environ["REQUEST_METHOD"], url))
        # A method that the contract lacks succeeds.
        answer = changed[operation[0]["operationId"]] if operation else answering(201)
        return answer(environ, start_response)

    lines = found(application, examples=3, seed=SEED, operation_id=list(DEPARTING))
    checks = {name: check for name, (check, _) in DEPARTING.items()}
    for method, path, operation in OPERATIONS:
        if operation["operationId"] in DEPARTING:
            check = checks[operation["operationId"]]
            words = f"{check}: {method} {path}: "
            assert any(line.startswith(words) for line in lines), (words, lines)
    assert any(line.startswith("unsupported_method: ") for line in lines), lines


def concrete(path):
    return path.format(**values_of(UNKNOWN))


@pytest.mark.parametrize("path", PATHS)
def test_a_method_that_the_contract_has_not_is_answered_with_those_that_it_has(api, path):
    declared = {method.upper() for method in PATHS[path]} & set(METHODS)
    for method in sorted(set(METHODS) - declared):
        with exchanges.departing("request", "answer"):
            answer = api.request(method, concrete(path), headers=KEY)
        assert answer.status_code == 405, method
        assert set(answer.headers["allow"].split(", ")) == declared
        assert method == "HEAD" or answer.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "key", [None, "", "Api-Key", "Api-Key wrong", "Api-Key the-key ey", "Bearer the-key", "the-key"]
)
def test_no_operation_is_open_without_the_key(api, key):
    headers = {} if key is None else {"Authorization": key}
    for method, path, operation in OPERATIONS:
        with exchanges.departing("request"):
            answer = api.request(method, concrete(path), headers=headers)
        assert answer.status_code == 401, operation["operationId"]
        assert answer.json()["code"] == "unauthorized", operation["operationId"]


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/xml", "application/jsonx", "json"]
)
def test_a_body_of_another_content_type_is_refused(api, content_type):
    headers = KEY if content_type is None else {**KEY, "Content-Type": content_type}
    for method, path, operation in OPERATIONS:
        if "requestBody" not in operation:
            continue
        declared = operation["requestBody"]["content"]
        if not content_type and "application/octet-stream" in declared:
            # RFC 9110, section 8.3: bytes without a type may be of this one.
            continue
        content = json.dumps(declared.get("application/json", {}).get("example"))
        with exchanges.departing("request"):
            answer = api.request(method, concrete(path), headers=headers, content=content)
        assert answer.status_code == 415, operation["operationId"]
        assert answer.json()["code"] == "unsupported_media_type", operation["operationId"]


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_a_parameter_or_the_case_of_a_content_type_matters_not(api, content_type):
    headers = {**KEY, "Content-Type": content_type}
    with exchanges.departing("request"):
        answer = api.post(
            "/api/v0/acme/projects/", headers=headers, content='{"display_name": "Digits"}'
        )
    assert answer.status_code == 201


def test_an_integer_may_be_written_with_a_fraction_of_zero(api):
    api.headers.update(KEY)
    api.post("/api/v0/acme/projects/", json={"display_name": "Digits"})
    run = api.post("/api/v0/acme/projects/digits/runs/", json={}).json()["uuid"]
    metrics = f"/api/v0/acme/projects/digits/runs/{run}/metrics/"

    def post(path, text):
        return api.post(path, content=text, headers={"Content-Type": "application/json"})

    with exchanges.departing("request"):
        for text, step in [("3.0", 3), ("9.007199254740993e15", 2**53 + 1), ("-0.0", 0)]:
            body = f'{{"name": "loss", "value": 1.0, "step": {text}}}'
            answer = post(metrics, body)
            assert (answer.status_code, answer.json()["step"]) == (201, step)
            assert '"value":1.0' in answer.text
        for text in ("3.5", "-1.0", "1e19", "1e999999999", '"3.0"', "true", "null"):
            answer = post(metrics, f'{{"name": "loss", "value": 1, "step": {text}}}')
            assert (answer.status_code, list(answer.json())) == (400, ["step", "code"]), text
    batch = (
        '{"writer": "7d444840-9dc0-11d1-b245-5ffdce74fad2", "first_sequence_number": 0.0, '
        '"metrics": [{"name": "big", "value": 1.0, "step": 4e0}, '
        '{"name": "big", "value": 123456789012345678901234567890, "step": 5}]}'
    )
    answer = post(f"{metrics}batch/", batch)
    assert answer.json() == {"accepted": 2, "next_sequence_number": 2}
    read = api.get(f"{metrics}?name=big").text
    assert '"value":1.0,"step":4' in read
    assert '"value":123456789012345678901234567890,"step":5' in read
    with exchanges.departing("request"):
        refused = post(f"{metrics}batch/", batch.replace("4e0", "4.5").replace(": 0.0", ": 2"))
    assert refused.status_code == 400
    assert "[0].step" in refused.json()["metrics"][0]


@pytest.mark.parametrize("name", [" ", "\t\n", "\x1f", "\x85", "\u2003\u3000"])
def test_a_name_of_white_space_is_refused_and_any_other_taken(api, name):
    api.headers.update(KEY)
    api.post("/api/v0/acme/projects/", json={"display_name": "Digits"})
    with exchanges.departing("request"):
        refused = api.post("/api/v0/acme/projects/digits/runs/", json={"name": name})
    assert (refused.status_code, list(refused.json())) == (400, ["name", "code"])
    for visible in (f"{name}.", "\x00", "\ufeff", "\u200b"):
        taken = api.post("/api/v0/acme/projects/digits/runs/", json={"name": visible})
        assert taken.status_code == 201
