"""The check of every exchange: it must detect departures from the contract, or it proves nothing."""

import json

import exchanges
import httpx
import pytest

URL = "http://backend/api/v0/acme/projects/"
RUN = f"{URL}digits/runs/9b2f4f9e-3c0d-4b0a-8a53-5a3c8e0f7f21/"
METRIC = {"name": "loss", "value": 1, "step": 0, "timestamp": "2026-11-23T10:15:30Z"}


def exchange(method, url, status=200, answer=None, content_type="application/json", **request):
    """One exchange with a fake backend; its response is checked like any other."""

    def application(environ, start_response):
        body = b"" if answer is None else json.dumps(answer).encode()
        headers = [("Content-Type", content_type)] if body else []
        start_response(f"{status} Played", headers)
        return [body]

    with httpx.Client(transport=httpx.WSGITransport(app=application)) as client:
        client.request(method, url, **request)
    return exchanges.take_departures()


@pytest.mark.parametrize(
    ("method", "url", "keywords"),
    [
        ("GET", f"{RUN}metrics/", {"answer": [METRIC]}),
        ("GET", f"{RUN}metrics/?name=loss&limit=10", {"answer": []}),
        (
            "POST",
            f"{RUN}metrics/",
            {"status": 201, "answer": METRIC, "json": {"name": "a", "value": None}},
        ),
        ("DELETE", RUN, {"status": 204}),
        ("GET", URL, {"status": 404, "answer": {"detail": "Not found."}}),
        ("GET", URL, {"status": 401, "answer": {"detail": "No."}}),
    ],
)
def test_what_keeps_the_contract_passes(method, url, keywords):
    assert exchange(method, url, **keywords) == []


@pytest.mark.parametrize(
    ("method", "url", "keywords", "words"),
    [
        ("GET", "http://backend/api/v0/nothing/", {"status": 404, "answer": {"detail": "x"}}, "has no such operation"),
        ("PUT", URL, {"status": 405, "answer": {"detail": "x"}}, "has no such operation"),
        ("GET", URL[:-1], {"status": 404, "answer": {"detail": "x"}}, "has no such operation"),
        ("GET", f"{URL}?page=2", {"answer": []}, "no query parameter page"),
        ("GET", f"{RUN}metrics/?limit=0", {"answer": []}, "limit: 0 is less than the minimum"),
        ("GET", f"{RUN}metrics/?limit=x", {"answer": []}, "limit: "),
        ("GET", f"{RUN}metrics/?limit=1&limit=2", {"answer": []}, "given twice"),
        ("GET", f"{RUN}metrics/sample/?name=loss", {"answer": []}, "buckets is missing"),
        ("GET", f"{URL}digits/runs/17/", {"status": 404, "answer": {"detail": "x"}}, "run_uuid: "),
        ("POST", URL, {"status": 201, "answer": {}, "json": {"display_name": ""}}, "display_name"),
        ("POST", URL, {"status": 400, "answer": {"detail": "x"}, "json": {"visibility": "TEAM"}}, "display_name"),
        ("POST", URL, {"status": 400, "answer": {"detail": "x"}, "content": b"{}", "headers": {"Content-Type": "text/plain"}}, "is text/plain"),
        ("GET", URL, {"answer": [], "json": {}}, "has no request body"),
        ("GET", URL, {"status": 500, "answer": {"detail": "x"}}, "does not declare this status"),
        ("GET", URL, {"status": 402, "answer": {"detail": "x"}}, "does not declare this status"),
        ("GET", URL, {"status": 204}, "does not declare this status"),
        ("DELETE", RUN, {"status": 204, "answer": {}}, "a body where the contract has none"),
        ("GET", URL, {"answer": [], "content_type": "text/html"}, "content type is text/html"),
        ("GET", URL, {"status": 404, "answer": {"detail": 7}}, "detail"),
        ("GET", URL, {"status": 404, "answer": {"field": "x"}}, "field"),
        ("GET", f"{RUN}metrics/", {"answer": [{**METRIC, "extra": 1}]}, "has no such field"),
        ("GET", f"{RUN}metrics/", {"answer": [{"name": "loss", "step": 0}]}, "value"),
        ("GET", f"{RUN}metrics/", {"answer": [{**METRIC, "step": -1}]}, "step"),
        ("GET", f"{RUN}metrics/", {"answer": [{**METRIC, "timestamp": "now"}]}, "timestamp"),
        ("GET", f"{RUN}metrics/", {"answer": [{**METRIC, "value": float("nan")}]}, "NaN is not JSON"),
    ],
)  # fmt: skip
def test_what_departs_is_found(method, url, keywords, words):
    found = exchange(method, url, **keywords)
    assert any(words in line for line in found), found


def test_a_departure_on_purpose_is_let_through_on_that_side_only():
    with exchanges.departing("request"):
        assert exchange("GET", f"{URL}?page=2", answer=[]) == []
        assert exchange("GET", URL, status=500, answer={}) != []
    with exchanges.departing("answer"):
        assert exchange("GET", URL, status=500, answer={}) == []
        assert exchange("GET", f"{URL}?page=2", answer=[]) != []


def test_a_departure_in_a_child_process_reaches_the_test(run_python):
    program = """
        import httpx
        def application(environ, start_response):
            start_response("500 Played", [])
            return [b""]
        with httpx.Client(transport=httpx.WSGITransport(app=application)) as client:
            client.get("http://backend/api/v0/acme/projects/")
    """
    run_python(program)
    (line,) = exchanges.take_departures()
    assert "GET /api/v0/acme/projects/ -> 500" in line
    run_python(program, may_depart=("answer",))
    assert exchanges.take_departures() == []


def test_asynchronous_exchanges_are_checked(tmp_path):
    import asyncio
    import http.server
    import threading

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(500)
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    async def ask(url):
        async with httpx.AsyncClient() as client:
            await client.get(url)

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        asyncio.run(ask(f"http://127.0.0.1:{server.server_port}/api/v0/acme/projects/"))
        thread.join()
    (line,) = exchanges.take_departures()
    assert "does not declare this status" in line
