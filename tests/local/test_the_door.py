"""What the backend makes of a contract with operations that it lacks, or that have other bodies."""

import copy
from types import SimpleNamespace

import exchanges
import httpx
import pytest

from afnio_tellurio.backend import application
from afnio_tellurio.backend.requests import Answer
from afnio_tellurio.settings.limits import CONTRACT_VERSION

JSON = {"application/json": {"schema": {"type": "object", "additionalProperties": {}}}}
ANSWERS = {"200": {"description": "What arrived.", "content": JSON}}
PATHS = {
    "/api/v0/files/{file_name}/": {
        "parameters": [
            {"name": "file_name", "in": "path", "required": True, "schema": {"type": "string"}}
        ],
        "put": {
            "operationId": "putFile",
            "requestBody": {"content": {"application/octet-stream": {}, "image/*": {}}},
            "responses": {**ANSWERS, "4XX": {"description": "Refused.", "content": JSON}},
        },
        "get": {
            "operationId": "getFile",
            "responses": {
                "200": {"description": "Parts.", "content": {"application/octet-stream": {}}}
            },
        },
        "delete": {
            "operationId": "deleteFile",
            "responses": {"501": {"description": "Lacking.", "content": JSON}},
        },
    },
}


def put_file(call):
    parts = iter(lambda: call.body.stream.read(3), b"")
    first, *others = parts
    document = f'{{"first": "{first.decode()}", "parts": {1 + len(others)}}}'
    return Answer(200, document.encode())


def get_file(call):
    parts = (call.path["file_name"].encode() + bytes([number]) for number in range(3))
    return Answer(200, parts, content_type="application/octet-stream")


@pytest.fixture
def url(monkeypatch, request):
    contract = copy.deepcopy(exchanges.CONTRACT)
    contract["paths"] = {**contract["paths"], **PATHS}
    monkeypatch.setattr(application, "_contract", lambda: contract)
    files = SimpleNamespace(put_file=put_file, get_file=get_file)
    monkeypatch.setattr(application, "_MODULES", (*application._MODULES, files))
    with exchanges.of_contract(contract):
        yield f"{request.getfixturevalue('server')}/api/v0/files/a"


HEADERS = {"Authorization": "Api-Key the-key"}


def test_a_body_is_read_in_parts(url):
    for content_type in ("application/octet-stream", "image/png"):
        headers = {**HEADERS, "Content-Type": content_type}
        response = httpx.put(f"{url}/", content=b"01234567", headers=headers)
        assert response.json() == {"first": "012", "parts": 3}


def test_another_content_type_is_refused(url):
    with exchanges.departing("request"):
        response = httpx.put(f"{url}/", json={}, headers=HEADERS)
    assert response.status_code == 415
    known = "send application/octet-stream or image/*."
    assert response.json()["detail"] == f'Unsupported media type "application/json"; {known}'


def test_a_body_is_sent_in_parts(url):
    response = httpx.get(f"{url}/", headers={**HEADERS, "X-Request-ID": "r-17"})
    assert response.headers["x-request-id"] == "r-17"
    assert response.headers["tellurio-contract-version"] == CONTRACT_VERSION
    assert response.content == b"a\x00a\x01a\x02"
    assert response.headers["content-type"] == "application/octet-stream"


def test_an_operation_that_is_missing_is_named(url):
    response = httpx.delete(f"{url}/", headers=HEADERS)
    assert response.status_code == 501
    words = "This backend does not have the operation deleteFile."
    assert response.json() == {"detail": words, "code": "not_implemented"}


def test_the_other_operations_work(url):
    response = httpx.get(url.replace("files/a", "verify-api-key/"), headers=HEADERS)
    assert response.json()["username"] == "ada"


def test_a_method_that_is_missing_is_refused(url):
    with exchanges.departing("request", "answer"):
        response = httpx.post(f"{url}/", headers=HEADERS)
    assert (response.status_code, response.headers["allow"]) == (405, "DELETE, GET, PUT")
