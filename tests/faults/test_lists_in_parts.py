"""A backend may divide every list although it was not asked to: the SDK reads all of it."""

import json
from typing import ClassVar

import exchanges
import httpx
import pytest

import afnio_tellurio as te
from afnio_tellurio.cli import main

Wsgi = httpx.WSGITransport


class DividingBackend(httpx.BaseTransport):
    """Sends lists in parts of two items, whatever the request says."""

    continued: ClassVar[set[str]] = set()

    def __init__(self, app):
        self._inner = Wsgi(app=app)

    def handle_request(self, request):
        operation = exchanges._operation(request)[0]
        if request.method == "GET" and "parameters" in operation:
            if "cursor" in request.url.params:
                self.continued.add(operation["operationId"])
            url = request.url.copy_set_param("limit", 2)
            request = httpx.Request("GET", url, headers=request.headers)
        return self._inner.handle_request(request)


@pytest.fixture
def client(monkeypatch):
    DividingBackend.continued.clear()
    monkeypatch.setenv("TELLURIO_MODE", "local")
    monkeypatch.setattr(httpx, "WSGITransport", DividingBackend)
    with te.TellurioClient.local() as client:
        yield client


def test_each_list_is_read_to_its_end(client):
    for slug in ("a", "b", "c", "d", "e"):
        te.create_project(slug, "Digits", client=client)
        te.create_project("acme", f"P {slug}", client=client)
    runs = []
    for number in range(5):
        run = te.init("acme", "P a", f"r{number}", client=client)
        for name in range(5):
            run.log(f"m{name}", number)
        run.finish()
        runs.append(run)
    DividingBackend.continued.clear()
    assert [each.slug for each in te.list_namespaces(client)] == ["a", "acme", "b", "c", "d", "e"]
    assert len(te.list_projects("acme", client)) == 5
    names = [f"m{number}" for number in range(5)]
    assert te.list_metrics("acme", "P a", client) == names
    summaries = te.summaries(runs, client=client)
    assert [sorted(summaries[run.uuid]) for run in runs] == [names] * 5
    assert [summaries[run.uuid]["m3"].last for run in runs] == [0, 1, 2, 3, 4]
    assert len(list(te.runs("acme", "P a", client))) == 5
    assert len(runs[0].metrics(client=client)) == 5
    for run in runs[1:]:
        te.delete_run("acme", "P a", run.uuid, client)
    te.delete_project("acme", "p-b", client)
    names = [item.name for item in te.list_trash("acme", client)]
    assert names == ["P b", "r4", "r3", "r2", "r1"]
    assert DividingBackend.continued == {
        "listNamespaces", "listProjects", "listProjectMetrics", "summarizeProjectMetrics",
        "listRuns", "listMetrics", "listTrash",
    }  # fmt: skip


@pytest.mark.parametrize("call", ["namespaces", "projects", "metrics", "runs"])
def test_a_list_without_an_end_is_an_error(faulty, call):
    for _ in range(2):
        faulty.answer("200 OK", "[]", headers=["Next-Cursor: again"])
    with te.TellurioClient() as client, pytest.raises(te.InvalidResponseError, match="has no end"):
        {
            "namespaces": lambda: te.list_namespaces(client),
            "projects": lambda: te.list_projects("acme", client),
            "metrics": lambda: te.list_metrics("acme", "digits", client),
            "runs": lambda: list(te.runs("acme", "digits", client)),
        }[call]()


def test_a_part_that_is_refused_is_an_error_and_no_short_list(faulty):
    namespace = {
        "uuid": "4f6a2c1e-9a53-4d8e-8f0b-6a7d1d0c2b11",
        "slug": "acme",
        "display_name": "Acme",
    }
    faulty.answer("200 OK", json.dumps([namespace]), headers=["Next-Cursor: more"])
    faulty.answer("403 Forbidden", '{"detail": "No.", "code": "forbidden"}')
    with te.TellurioClient() as client, pytest.raises(te.PermissionDeniedError):
        te.list_namespaces(client)
    assert "cursor=more" in faulty.requests[1][1]


def test_the_command_line_shows_all_projects(client, capsys):
    for slug in ("a", "b", "c", "d", "e"):
        te.create_project("a", f"More {slug}", client=client)
    assert main(["projects", "a"]) == 0
    shown = capsys.readouterr().out
    assert all(f"More {slug}" in shown for slug in ("a", "b", "c", "d", "e"))
