"""The environment's API key goes to the backend that the settings name, and nowhere else."""

import copy
import gzip
import io
import pickle
import socket
import threading
import traceback

import exchanges
import httpx
import pytest
from transports import use_transport

import afnio_tellurio as te
from afnio_tellurio.api.auth import find_credential
from afnio_tellurio.client import connection_of
from afnio_tellurio.settings.settings import read_settings

KEY = "tlr-very-secret-0123456789"
PLATFORM = "https://platform.tellurio.ai"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TELLURIO_API_KEY", KEY)


@pytest.mark.parametrize(
    ("named", "url"),
    [
        ("https://one.example", "https://one.example"),
        ("https://one.example", "https://one.example/"),
        ("https://one.example", "https://one.example:443"),
        ("https://one.example:443/", "https://one.example"),
        ("https://One.Example", "HTTPS://oNe.eXample"),
        ("http://127.0.0.1:80", "http://127.0.0.1/"),
        ("", PLATFORM),
    ],
)
def test_it_is_for_the_backend_that_the_environment_names(monkeypatch, named, url):
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", named)
    with te.TellurioClient(url) as client:
        credential = find_credential(connection_of(client).settings)
    assert (credential.key, credential.source) == (KEY, "environment")


@pytest.mark.parametrize(
    ("named", "url"),
    [
        ("https://one.example", "https://two.example"),
        ("https://one.example", "https://one.example:8443"),
        ("https://one.example", "http://one.example"),
        ("https://one.example", "https://one.example.attacker.example"),
        ("https://one.example", PLATFORM),
        ("", "https://one.example"),
        ("not a URL", "https://one.example"),
    ],
)
def test_it_is_for_no_other(monkeypatch, named, url):
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", named)
    assert find_credential(read_settings(url)) is None
    settings = read_settings(url)
    assert (settings.api_key, settings.sources["api_key"]) == (None, "default")


def test_a_port_of_an_argument_names_another_backend(monkeypatch):
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", "https://one.example")
    assert read_settings(port=8443).api_key is None
    assert read_settings(port=443).api_key == KEY
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_PORT", "8443")
    assert read_settings("https://one.example", 8443).api_key == KEY


def test_it_is_for_the_backend_that_the_settings_file_names(tmp_path):
    folder = tmp_path / "configuration" / "tellurio"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('base_url = "https://one.example"\n')
    assert find_credential(read_settings("https://one.example")).source == "environment"
    assert find_credential(read_settings(PLATFORM)) is None


class Listener:
    """Responds to each request with 401 and repeats its content, as some backends do."""

    def __init__(self):
        self.requests = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.answer = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                connection, _address = self._socket.accept()
            except OSError:
                return
            with connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += connection.recv(65536)
                self.requests.append(head.decode().lower())
                answer = self.answer or (
                    b"HTTP/1.1 401 Unauthorized\r\nX-Echo: " + KEY.encode() + b"\r\n"
                    b"Content-Type: application/json\r\nConnection: close\r\n\r\n"
                    b'{"detail": "what is Api-Key ' + KEY.encode() + b'?"}'
                )
                connection.sendall(answer)

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@pytest.fixture
def listener():
    started = Listener()
    with exchanges.departing("answer"):
        yield started
    started.close()


def test_a_request_to_another_backend_carries_no_key_and_the_error_says_how_to_sign_in(
    listener, sign_in
):
    with te.TellurioClient(listener.url) as client:
        with pytest.raises(te.InvalidAPIKeyError) as caught:
            te.get_project("acme", "digits", client)
        assert "authorization" not in listener.requests[0]
        assert str(caught.value).endswith(
            f"(sign in with: TELLURIO_BACKEND_HTTP_BASE_URL={listener.url} afnio-tellurio login)"
        )
        with pytest.raises(ValueError, match="API key is required") as caught:
            client.login()
        assert f"BASE_URL={listener.url} afnio-tellurio login" in str(caught.value)
        assert "TELLURIO_API_KEY" not in str(caught.value)
        sign_in(listener.url, "its-own-key")
        with pytest.raises(te.InvalidAPIKeyError):
            te.get_project("acme", "digits", client)
        assert "authorization: api-key its-own-key" in listener.requests[1]
        with pytest.raises(te.InvalidAPIKeyError):
            client.login("an-argument")
        assert "authorization: api-key an-argument" in listener.requests[2]


@pytest.fixture
def refused(listener, monkeypatch):
    """The error for a backend that repeats the key in its response."""
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", listener.url)
    with te.TellurioClient() as client, pytest.raises(te.InvalidAPIKeyError) as caught:
        te.get_project("acme", "digits", client)
    assert KEY in listener.requests[0]
    return caught.value


def told_by(error):
    """Everything that debugging tools show of an exception."""
    formatted = "".join(
        traceback.TracebackException.from_exception(error, capture_locals=True).format()
    )
    parts = [str(error), repr(error), repr(vars(error)), formatted]
    chained = error
    while chained is not None:
        request = getattr(chained, "_request", None)
        if request is not None:
            parts += [str(request.headers.raw), str(request.extensions), str(request.content)]
        chained = chained.__cause__ or chained.__context__
    return "\n".join(parts)


def test_an_api_error_holds_no_key_however_it_is_looked_at(refused):
    response = refused.response
    assert KEY not in told_by(refused)
    assert KEY not in str(refused.request.headers.raw) + str(response.request.headers.raw)
    assert KEY not in response.text + str(response.headers.raw)
    assert KEY.encode() not in pickle.dumps(refused)
    for made in (pickle.loads(pickle.dumps(refused)), copy.copy(refused), copy.deepcopy(refused)):
        assert type(made) is te.InvalidAPIKeyError
        assert KEY not in told_by(made)
        assert KEY.encode() not in pickle.dumps(made)
        assert str(made) == str(refused)
        assert (made.status_code, made.operation, made.words) == (401, "getProject", refused.words)
    assert refused.words == "what is Api-Key ***?"
    assert (refused.request.method, response.status_code) == ("GET", 401)


def test_its_message_stays_that_of_the_process_where_it_was_raised(refused, monkeypatch):
    data = pickle.dumps(refused)
    monkeypatch.delenv("TELLURIO_BACKEND_HTTP_BASE_URL")
    assert str(pickle.loads(data)) == str(refused)
    assert "or set TELLURIO_API_KEY" in str(refused)


def test_an_answer_that_is_compressed_can_be_read_in_the_error(listener, monkeypatch):
    body = gzip.compress(b'{"detail": "no"}')
    listener.answer = (
        b"HTTP/1.1 403 Forbidden\r\nContent-Encoding: gzip\r\nContent-Type: application/json\r\n"
        + f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        + body
    )
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", listener.url)
    with te.TellurioClient() as client, pytest.raises(te.PermissionDeniedError) as caught:
        te.get_project("acme", "digits", client)
    made = pickle.loads(pickle.dumps(caught.value))
    assert made.response.json() == caught.value.response.json() == {"detail": "no"}
    assert made.words == "no"


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
    ],
)
def test_no_key_is_in_what_a_failed_request_was_made_from(listener, monkeypatch, answer):
    listener.answer = answer
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", listener.url)
    with (
        te.TellurioClient() as client,
        pytest.raises((te.BackendUnreachableError, te.InvalidResponseError)) as caught,
    ):
        te.get_project("acme", "digits", client)
    assert KEY in listener.requests[0]
    assert KEY not in told_by(caught.value)


def test_no_key_is_in_a_request_that_could_not_be_written(monkeypatch):
    class Broken(httpx.HTTPTransport):
        def handle_request(self, request):
            headers = request.headers.raw
            try:
                raise BrokenPipeError(32, "Broken pipe")
            except OSError as error:
                raise httpx.WriteError(f"{len(headers)} headers") from error

    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", "http://127.0.0.1:9")
    with te.TellurioClient() as client:
        use_transport(client, Broken())
        with pytest.raises(te.BackendUnreachableError) as caught:
            te.get_project("acme", "digits", client)
    assert "headers" in str(caught.value)
    assert KEY not in told_by(caught.value)
    printed = io.StringIO()
    traceback.print_exception(caught.value, file=printed)
    assert "BrokenPipeError" in printed.getvalue(), "where it came from is still told"
