"""Extreme input to every operation: the answer names the field, and what is stored can be read back."""

import base64
import json
from urllib.parse import quote

import exchanges
import httpx
import pytest
import valid_requests

RUNS = "/api/v0/acme/projects/digits/runs/"
CONTRACT = exchanges.CONTRACT
UUID = "9b2f4f9e-3c0d-4b0a-8a53-5a3c8e0f7f21"


def resolved(item):
    while "$ref" in item:
        node = CONTRACT
        for part in item["$ref"].removeprefix("#/").split("/"):
            node = node[part]
        item = node
    return item


def cursor(content):
    return base64.urlsafe_b64encode(content.encode()).decode()


#: Valid values of the parameters that an operation requires.
VALID = {"buckets": "10", "name": "loss", "run": UUID, "path": "samples"}
#: Any text is a name of a metric or of a run, a tag, or the beginning of a path.
TEXT_PARAMETERS = {"name", "tag", "group", "job_type", "type", "kind", "prefix"}
NUMBERS = ["9" * 4301, "0" * 4301, "0" * 4301 + "1", str(2**63), str(2**64), str(-(2**63)), "-1", "1e3", "1.0",
           "0x1", "٣", "²", "1_0", "+1", " 1", "", "NaN", "true"]  # fmt: skip
TIMES = ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999-23:59", "0000-01-01T00:00:00Z",
         "10000-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01T24:00:00Z",
         "2026-01-01T00:00:60Z", "2026-01-01", "2026-01-01T00:00:00", "1" * 5000]  # fmt: skip
CURSORS = [
    cursor(text)
    for text in [
        str(2**63), str(2**64), str(-(2**63) - 1), "9" * 4301, "-1", "1.5", "true", "null", "{}", "[]", '""',
        f'["a", {2**63}, 0]', f'["a", 0, {2**64}]', f'["a", -{2**64}, 0]', '["a", "0", 0]', '["\\ud800", 0, 0]',
        f'{{"1": [1, 1, {2**70}]}}', f'{{"1": [{2**64}, 1, 1]}}', f'{{"1": [1, {2**64}, 1]}}',
        f'{{"1": [1, -{2**64}, 2]}}', f'{{"1": [-{2**63}, 0, 1]}}', '{"1": [1, 1, 0]}', '{"1": [0, 0, -1]}',
        f'{{"{2**70}": [1, 1, 1]}}', f'{{"1": [1, 1, {2**62}]}}', "[" * 10000, '{"a":' * 3000,
    ]
] + ["", "x", "====", "\x00", "ü", "A" * 20_000]  # fmt: skip
TEXTS = [
    "",
    "\x00",
    "\ufffd",
    "x" * 20_000,
    "%ff",
    "a,b",
    "'; DROP TABLE runs; --",
    "\U0010ffff",
    "9" * 4301,
]

OPERATIONS = [
    pytest.param(method, path, operation, parameter, id=f"{operation['operationId']}-{parameter}")
    for path, item in CONTRACT["paths"].items()
    for method, operation in item.items()
    if method in {"get", "post", "patch", "delete"}
    for parameter in [
        found["name"]
        for found in map(resolved, [*item.get("parameters", []), *operation.get("parameters", [])])
        if found["in"] == "query"
    ]
]


@pytest.fixture
def logged(api, run):
    api.post(f"{run}metrics/", json={"name": "loss", "value": 0.5, "step": 3})
    api.post(f"{run}metrics/", json={"name": "loss", "value": 1.5, "step": 4})
    return run


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path", "operation", "parameter"), OPERATIONS)
def test_no_value_of_a_parameter_is_a_failure_of_the_backend(
    api, logged, method, path, operation, parameter
):
    path = path.format(**valid_requests.fill(api, logged.split("/")[-2]))
    # A path or a step that no file has is not invalid.
    accepted = {200, 404} if operation["operationId"].startswith("download") else {200}
    others = {
        name: VALID[name]
        for name in (resolved(item)["name"] for item in operation.get("parameters", []))
        if name in VALID and name != parameter
    }
    values = [*NUMBERS, *TIMES, *CURSORS, *TEXTS]
    if parameter in {"purge", "force"}:
        # They delete what the other requests name.
        values.remove("true")
    refused = 0
    with exchanges.departing("request"):
        for value in values:
            query = "&".join(
                f"{name}={quote(text)}" for name, text in {**others, parameter: value}.items()
            )
            for encoded in (query, f"{query}%ff"):
                answer = api.request(method.upper(), f"{path}?{encoded}")
                assert answer.status_code in {*accepted, 400}, (encoded[:200], answer.text)
                if answer.status_code == 400:
                    refused += 1
                    assert list(answer.json()) == [parameter, "code"], (encoded[:200], answer.text)
                    assert len(answer.text) < 1000, "it repeats the whole value"
    assert refused or parameter in {*TEXT_PARAMETERS, "path"}


def test_the_walk_reaches_every_parameter():
    names = {parameter for entry in OPERATIONS for parameter in [entry.values[3]]}
    assert names >= {"limit", "after_step", "from_step", "to_step", "buckets", "cursor", "run",
                     "name", "status", "created_after", "created_before", "updated_after", "tag",
                     "group", "job_type", "parent_uuid"}  # fmt: skip


@pytest.mark.parametrize("buckets", [1, 2, 10_000])
@pytest.mark.parametrize(
    ("first", "last"), [(5, 1), (2**63 - 1, 0), (2**63 - 1, 2**63 - 1), (0, 2**63 - 1), (9, 12)]
)
def test_any_range_of_steps_is_answered(api, logged, first, last, buckets):
    steps = f"buckets={buckets}&from_step={first}&to_step={last}"
    assert api.get(f"{logged}metrics/sample/?name=loss&{steps}").status_code == 200
    run = logged.split("/")[-2]
    sample = f"/api/v0/acme/projects/digits/metrics/sample/?name=loss&run={run}&{steps}"
    answer = api.get(sample)
    assert answer.status_code == 200, answer.text
    again = api.get(f"{sample}&cursor={answer.json()['cursor']}")
    assert again.status_code == 200, again.text


# What is stored can be read back


def all_reads(api, run):
    """Reads everything that concerns a run."""
    project = run.rpartition("runs/")[0]
    names = "&".join(
        f"name={quote(name)}" for name in httpx.Response.json(api.get(f"{run}metrics/summary/"))
    )
    uuid = run.split("/")[-2]
    sample = f"{project}metrics/sample/?run={uuid}&buckets=7&{names}"
    return [
        *(api.get(path) for path in (run, f"{run}metrics/", f"{run}metrics/?limit=1",
          f"{run}metrics/summary/", f"{project}runs/", f"{project}runs/?limit=1",
          f"{project}metrics/", f"{project}metrics/?run={uuid}", project,
          project.removesuffix("digits/"), f"{project}metrics/summary/")),
        *([api.get(sample)] if names else []),
    ]  # fmt: skip


STAMPS = [*TIMES, "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00-00:01",
          "9999-12-31T23:59:59+00:01", "0001-01-01T23:58:59+23:59", "9999-12-31T00:01:00-23:59",
          "1969-12-31T23:59:59.999999Z", "2026-01-01T00:00:00.1234567Z"]  # fmt: skip
LEGAL_STAMPS = {
    "0001-01-01T00:00:00Z": "0001-01-01T00:00:00.000000Z",
    "0001-01-01T00:00:00-00:01": "0001-01-01T00:01:00.000000Z",
    "9999-12-31T23:59:59.999999Z": "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59+00:01": "9999-12-31T23:58:59.000000Z",
}


@pytest.mark.parametrize("in_batch", [False, True])
def test_each_time_that_is_accepted_can_be_read_back(api, logged, in_batch):
    accepted = {}
    with exchanges.departing("request"):
        for number, stamp in enumerate(STAMPS):
            metric = {"name": f"at-{number}", "value": 1, "timestamp": stamp}
            if in_batch:
                writer = f"{number:08x}{UUID[8:]}"
                batch = {"writer": writer, "first_sequence_number": 0, "metrics": [metric]}
                answer = api.post(f"{logged}metrics/batch/", json=batch)
            else:
                answer = api.post(f"{logged}metrics/", json=metric)
            assert answer.status_code in {200, 201, 400}, (stamp, answer.text)
            if answer.status_code == 400:
                assert next(iter(answer.json())) == ("metrics" if in_batch else "timestamp")
            else:
                accepted[metric["name"]] = stamp
        assert [answer.status_code for answer in all_reads(api, logged)] == [200] * 12
    stored = {m["name"]: m["timestamp"] for m in api.get(f"{logged}metrics/").json()}
    assert set(accepted.values()) >= set(LEGAL_STAMPS)
    for name, stamp in accepted.items():
        if stamp in LEGAL_STAMPS:
            assert stored[name] == LEGAL_STAMPS[stamp]


@pytest.mark.parametrize("field", ["date_ended", "config_changed"])
def test_each_time_of_a_run_that_is_accepted_can_be_read_back(api, run, field):
    accepted = []
    with exchanges.departing("request"):
        for number, stamp in enumerate(STAMPS):
            update = {field: stamp, "status": "FAILED", "config_patch": {"number": number}}
            answer = api.patch(run, json=update)
            assert answer.status_code in {200, 400}, (stamp, answer.text)
            if answer.status_code == 400:
                assert list(answer.json()) == [field, "code"]
                continue
            accepted.append(stamp)
            changes = api.get(f"{run}config-changes/")
            assert changes.status_code == 200
            ended = api.get(run).json()["date_ended"]
            stored = ended if field == "date_ended" else changes.json()[-1]["timestamp"]
            assert stored == LEGAL_STAMPS.get(stamp, stored)
            assert [answer.status_code for answer in all_reads(api, run)] == [200] * 11
    assert set(accepted) >= set(LEGAL_STAMPS)


@pytest.mark.parametrize(
    "value",
    ["1" * 4300, "1" * 4301, "-" + "9" * 4300, "[" + "1" * 4301 + "]", "1e308", "1e309", "[1e309]", "-0", "-0.0",
     "1e-400", "5e-324", str(2**63), str(-(2**63)), str(2**64), '"\\ud800"', '["\\ud800"]', '{"\\udc00": 1}',
     '"\\u0000"', '{"a": 1, "a": 2}', "[" * 100 + "]" * 100, "[" * 101 + "]" * 101, "[" * 5000 + "]" * 5000,
     '{"a":' * 101 + "1" + "}" * 101, '"' + "[" * 200 + '"', '["' + "[" * 200 + '"]', '["\\"' + "{" * 200 + '\\\\"]',
     '"NaN"', '"Infinity"', '"-Infinity"', '"nan"', "null", "true", '""', "{}", "[]", '"\u2028"', '"\U0010ffff"',
     "1.7976931348623157e308", "123456789012345678901234567890.5", '"\\uD83D\\uDE00"'],
)  # fmt: skip
@pytest.mark.slow
@pytest.mark.parametrize("in_batch", [False, True])
def test_each_value_that_is_accepted_can_be_read_back(api, logged, value, in_batch):
    metric = f'{{"name": "odd", "value": {value}}}'
    path, content = f"{logged}metrics/", metric
    if in_batch:
        path = f"{logged}metrics/batch/"
        content = f'{{"writer": "{UUID}", "first_sequence_number": 0, "metrics": [{metric}]}}'
    with exchanges.departing("request"):
        answer = api.post(
            path, content=content.encode(), headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in {200, 201, 400}, answer.text[:300]
        if answer.status_code == 400:
            assert set(answer.json()) <= {"metrics", "value", "detail", "code"}
        for read in all_reads(api, logged):
            assert read.status_code == 200, read.text[:300]
            json.loads(read.content)


NAMES = ["\x00", "a\x00b", "\ud800", "x\udfff", "\ufeff", "\u202e", "a" * 255, "é" * 255, "\U0010ffff" * 255,
         "a" * 256, "..", "/", "a/b", "%", "\n", " x", "\u2028x", "NaN", "1", "\x7f", "\x9b31m", "a,b", "-1", UUID]  # fmt: skip


def escaped(**fields):
    return json.dumps(fields).encode()


@pytest.mark.parametrize("name", NAMES)
def test_each_name_that_is_accepted_can_be_read_back(api, run, name):
    kind = {"Content-Type": "application/json"}
    with exchanges.departing("request"):
        answers = [
            api.post(f"{run}metrics/", content=escaped(name=name, value=1), headers=kind),
            api.patch(run, content=escaped(name=name, description=name), headers=kind),
            api.post(RUNS, content=escaped(name=name, description=name), headers=kind),
            api.post("/api/v0/acme/projects/", content=escaped(display_name=name), headers=kind),
            api.patch(
                run, content=escaped(add_tags=[name], group=name, job_type=name), headers=kind
            ),
            api.patch(run, content=escaped(notes=name, config_patch={name: name}), headers=kind),
            api.patch(
                run,
                content=escaped(
                    environment={name: name},
                    status="FAILED",
                    ended_because={"kind": "x", "message": name},
                ),
                headers=kind,
            ),
        ]
        assert {answer.status_code for answer in answers} <= {200, 201, 400, 409}
        for answer in answers:
            if answer.status_code == 400:
                assert set(answer.json()) <= {"name", "display_name", "add_tags", "detail", "code"}
        for read in all_reads(api, run):
            assert read.status_code == 200, read.text[:300]
            json.loads(read.content)
        if answers[0].status_code == 201:
            (metric,) = api.get(f"{run}metrics/").json()
            assert metric["name"] == name
            assert api.get(f"{run}metrics/", params={"name": name}).json() == [metric]
        if answers[4].status_code == 200:
            for parameter in ("tag", "group", "job_type"):
                (found,) = api.get(RUNS, params={parameter: name}).json()
                assert (found["tags"], found["group"]) == ([name], name)
        if answers[5].status_code == 200:
            found = api.get(run).json()
            assert (found["notes"], found["config"]) == (name, {name: name})
        if answers[6].status_code == 200:
            found = api.get(run).json()
            assert found["ended_because"]["message"] == name
            assert found["environment"] == {name: name}
