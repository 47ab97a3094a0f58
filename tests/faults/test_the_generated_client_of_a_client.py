"""`TellurioClient.api`: in every form, its requests are those of the client itself."""

import asyncio
import threading
import uuid

import exchanges
import httpx
import pytest
import trio
from tellurio_api.api.auth import verify_api_key
from tellurio_api.api.projects import create_project
from tellurio_api.api.runs import get_run
from tellurio_api.models import ProjectCreate

import afnio_tellurio as te

FORMS = ("sync", "sync_detailed", "asyncio", "asyncio_detailed")
DERIVED = {
    "itself": lambda api: api,
    "with_headers": lambda api: api.with_headers({"X-Name": "value"}),
    "with_timeout": lambda api: api.with_timeout(httpx.Timeout(20)),
    "with both": lambda api: api.with_timeout(None).with_headers({"X-Name": "value"}),
}
OWNER = '{"email": "ada@example.com", "username": "ada"}'


@pytest.fixture
def client(backend):
    with te.TellurioClient() if backend == "over HTTP" else te.TellurioClient.local() as client:
        yield client


@pytest.fixture(params=FORMS)
def form(request):
    return request.param


@pytest.fixture(params=DERIVED.values(), ids=DERIVED)
def derive(request):
    return request.param


def call(form, operation, *arguments, **keywords):
    """Calls an operation in one of its forms; returns its parsed answer."""
    result = getattr(operation, form)(*arguments, **keywords)
    if form.startswith("asyncio"):
        result = asyncio.run(result)
    return result.parsed if form.endswith("_detailed") else result


def test_every_form_has_the_key_and_the_way_to_the_backend(client, form, derive):
    api = derive(client.api)
    assert call(form, verify_api_key, client=api).username
    slug = f"digits-{uuid.uuid4()}"
    project = call(form, create_project, "acme", body=ProjectCreate(slug), client=api)
    assert project.display_name == slug


def test_every_form_raises_the_errors_of_the_sdk(client, form, derive):
    run_uuid = str(uuid.uuid4())
    with pytest.raises(
        te.NotFoundError, match=r"^Cannot get run \(acme/digits/.*not found"
    ) as caught:
        call(form, get_run, "acme", "digits", uuid.UUID(run_uuid), client=derive(client.api))
    assert caught.value.operation == "getRun"
    assert caught.value.identifiers["run_uuid"] == run_uuid
    assert caught.value.__cause__ is None


def test_a_wrong_key_is_refused_in_every_form(server, form, derive, monkeypatch):
    monkeypatch.setenv("TELLURIO_API_KEY", "another-key")
    with te.TellurioClient() as client, pytest.raises(te.InvalidAPIKeyError, match="sign in with"):
        call(form, verify_api_key, client=derive(client.api))


def test_a_key_of_a_later_login_is_used(server, form, derive, monkeypatch):
    monkeypatch.delenv("TELLURIO_API_KEY")
    with te.TellurioClient() as client:
        api = derive(client.api)
        client.login("the-key")
        assert call(form, verify_api_key, client=api).username == "ada"


def test_an_unreachable_backend_is_named_in_every_form(form, derive):
    with te.TellurioClient("http://127.0.0.1:1") as client:
        api = derive(client.api)
        with pytest.raises(
            te.BackendUnreachableError, match="^Cannot verify the API key: the backend at http"
        ):
            call(form, verify_api_key, client=api)
    with pytest.raises(te.TellurioError, match="is closed; create a new one"):
        call(form, verify_api_key, client=api)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{}", "Cannot verify the API key: the answer of http://.* lacks the field 'email'"),
        ("<html>", "Cannot verify the API key: the answer of http://.* is invalid: "),
    ],
)
def test_an_invalid_answer_is_named_in_every_form(faulty, form, derive, body, words):
    faulty.answer("200 OK", body)
    with te.TellurioClient() as client, pytest.raises(te.InvalidResponseError, match=words):
        call(form, verify_api_key, client=derive(client.api))


def test_error_pages_and_unknown_statuses_are_errors_of_the_sdk(faulty, form):
    faulty.answer("520 Unknown", "<html>", "text/html")
    with te.TellurioClient() as client, pytest.raises(te.BackendFailureError, match="520"):
        call(form, verify_api_key, client=client.api)


def test_headers_and_timeouts_are_those_that_were_passed(faulty, form):
    faulty.answer("200 OK", OWNER)
    with te.TellurioClient() as client:
        api = client.api.with_headers({"X-Name": "value"})
        call(form, verify_api_key, client=api)
        assert faulty.requests[-1][3]["X-Name"] == "value"
        assert faulty.requests[-1][3]["Accept-Encoding"] == "gzip, deflate"
        wait = threading.Event()
        handler = faulty.server.RequestHandlerClass
        handler.do_GET = lambda _: wait.wait()
        try:
            with pytest.raises(te.BackendUnreachableError, match="timed out"):
                call(form, verify_api_key, client=api.with_timeout(httpx.Timeout(0.05)))
        finally:
            wait.set()


def test_call_accepts_it(client):
    owner = client.call(object, verify_api_key.sync_detailed, client=client.api)
    assert owner.username
    with pytest.raises(te.NotFoundError, match=r"^Cannot get run \("):
        client.call(
            object, get_run.sync_detailed, client=client.api,
            namespace_slug="acme", project_slug="digits", run_uuid=uuid.uuid4(),
        )  # fmt: skip


def test_a_block_does_not_close_the_client(client):
    with client.api as api:
        assert verify_api_key.sync(client=api).username

    async def main():
        async with client.api as api:
            return await verify_api_key.asyncio(client=api)

    assert asyncio.run(main()).username
    assert trio.run(main).username
    assert verify_api_key.sync(client=client.api).username


def test_bodies_are_received_in_parts(client):
    path = "/api/v0/verify-api-key/"
    with client.api.get_httpx_client().stream("GET", path) as response:
        assert b"username" in b"".join(response.iter_bytes())

    async def main():
        async with client.api.get_async_httpx_client().stream("GET", path) as response:
            return b"".join([part async for part in response.aiter_bytes()])

    assert b"username" in asyncio.run(main())


def test_bodies_are_sent_in_parts(client):
    async def parts():
        yield b'{"display_name": '
        yield b'"In parts"}'

    async def main():
        return await client.api.get_async_httpx_client().request(
            "POST", "/api/v0/acme/projects/", content=parts(), headers={"Content-Type": "application/json"}
        )  # fmt: skip

    assert asyncio.run(main()).json()["display_name"] == "In parts"


def test_a_refusal_of_a_body_that_was_sent_in_parts_is_an_error_of_the_sdk(client):
    headers = {"Content-Type": "application/json"}
    with exchanges.departing("request"), pytest.raises(te.BadRequestError) as caught:
        client.api.get_httpx_client().request(
            "POST", "/api/v0/acme/projects/", content=iter([b"{", b"}"]), headers=headers
        )
    # Over HTTP, nothing of it is kept.
    assert caught.value.request.content in {b"", b"{}"}


def test_an_answer_that_breaks_off_is_an_error_of_the_sdk(faulty):
    faulty.answer("200 OK", "part")
    faulty.answers[0] = faulty.answers[0].replace(b"Content-Length: 4", b"Content-Length: 9")
    with exchanges.departing("answer"), te.TellurioClient() as client:
        with (
            pytest.raises(te.BackendUnreachableError, match="peer closed connection"),
            client.api.get_httpx_client().stream("GET", "/api/v0/verify-api-key/") as response,
        ):
            response.read()

        async def main():
            http = client.api.get_async_httpx_client()
            async with http.stream("GET", "/api/v0/verify-api-key/") as response:
                await response.aread()

        with pytest.raises(te.BackendUnreachableError, match="peer closed connection"):
            asyncio.run(main())


def test_a_large_answer_in_parts_is_not_limited(faulty, monkeypatch):
    monkeypatch.setattr("afnio_tellurio.api.http_client.ANSWER_BYTES", 10)
    faulty.answer("200 OK", OWNER)
    with te.TellurioClient() as client:
        with client.api.get_httpx_client().stream("GET", "/api/v0/verify-api-key/") as response:
            assert response.read() == OWNER.encode()
        with pytest.raises(te.InvalidResponseError, match="it has more than"):
            verify_api_key.sync(client=client.api)
