"""Backends behind TLS with a private authority, and behind proxies."""

import select
import socket
import socketserver
import ssl
import sys
import threading
import traceback

import pytest
import trustme
from children import GUARD
from faulty_proxy import FaultyProxy

import afnio_tellurio as te

PROGRAM = """
    import afnio_tellurio as te
    with te.init("acme", "Digits", "test_run") as run:
        for step in range(2000):
            run.log("loss", step)
    print(run.summary()["loss"].count)
"""


class ConnectProxy:
    """A tunneling proxy that records the requested hosts."""

    def __init__(self):
        self.asked = []
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                line = self.rfile.readline().decode()
                while self.rfile.readline().strip():
                    pass
                method, place, _version = line.split()
                outer.asked.append((method, place))
                host, port = place.rsplit(":", 1)
                with socket.create_connection((host, int(port)), timeout=GUARD) as target:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                    both = {target: self.connection, self.connection: target}
                    while True:
                        for ready in select.select(list(both), [], [], 10)[0]:
                            data = ready.recv(65536)
                            if not data:
                                return
                            both[ready].sendall(data)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def proxy():
    made = ConnectProxy()
    yield made
    made.close()


@pytest.fixture
def authority(tmp_path):
    """A private certificate authority, and the file with its certificate."""
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "authority.pem")
    return made, str(tmp_path / "authority.pem")


@pytest.fixture
def secure(start_server, authority, monkeypatch):
    """Serves a backend over TLS, with a certificate of the private authority; returns its URL."""
    front = FaultyProxy(start_server(api_key="the-key"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority[0].issue_cert("localhost").configure_cert(context)
    front.server.socket = context.wrap_socket(front.server.socket, server_side=True)
    monkeypatch.setenv("TELLURIO_API_KEY", "the-key")
    monkeypatch.setenv(
        "TELLURIO_BACKEND_HTTP_BASE_URL", f"https://localhost:{front.server.server_port}"
    )
    yield f"https://localhost:{front.server.server_port}"
    front.close()


def test_a_private_authority_is_refused_and_the_remedy_named(secure):
    with pytest.raises(te.BackendUnreachableError) as caught:
        te.init("acme", "Digits")
    assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value)
    assert "set SSL_CERT_FILE to the certificate of the authority" in str(caught.value)


def test_with_its_certificate_a_whole_run_is_delivered(secure, authority, run_python):
    finished = run_python(PROGRAM, SSL_CERT_FILE=authority[1])
    assert (finished.returncode, finished.stdout) == (0, "2000\n"), finished.stderr


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_certificate_file_that_is_none_is_named(secure, tmp_path, monkeypatch, content):
    path = tmp_path / "none.pem"
    if content:
        path.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(
        ValueError, match=f"SSL_CERT_FILE is '{path}', which cannot be read as certificates"
    ):
        te.TellurioClient()


def test_a_whole_run_goes_through_the_proxy(secure, authority, proxy, run_forked):
    finished = run_forked(PROGRAM, SSL_CERT_FILE=authority[1], HTTPS_PROXY=proxy.url)
    assert (finished.returncode, finished.stdout) == (0, "2000\n"), finished.stderr
    assert set(proxy.asked) == {("CONNECT", secure.removeprefix("https://"))}


def test_a_host_that_needs_no_proxy_is_reached_without(secure, authority, proxy, run_forked):
    finished = run_forked(
        PROGRAM, SSL_CERT_FILE=authority[1], HTTPS_PROXY=proxy.url, NO_PROXY="localhost"
    )
    assert (finished.returncode, finished.stdout) == (0, "2000\n"), finished.stderr
    assert proxy.asked == []


def test_a_proxy_that_is_away_is_a_backend_that_cannot_be_reached(secure, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    with pytest.raises(te.BackendUnreachableError, match="Connection refused; .* HTTPS_PROXY"):
        te.init("acme", "Digits")


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
def test_a_key_in_the_clear_stays_on_this_machine(server, proxy, run_forked, variable):
    finished = run_forked(PROGRAM, **{variable: proxy.url})
    assert (finished.returncode, finished.stdout) == (0, "2000\n"), finished.stderr
    assert proxy.asked == []


def test_a_proxy_that_is_not_used_is_not_blamed(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", f"http://127.0.0.1:{port}")
    with pytest.raises(te.BackendUnreachableError, match="check the network and TELLURIO_BACKEND"):
        te.init("acme", "Digits")


@pytest.fixture(
    params=["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
)
def socks(request, monkeypatch):
    """A SOCKS proxy in a variable, without the package that it needs."""
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv(request.param, "socks5://127.0.0.1:9")
    return request.param


def test_a_socks_proxy_does_no_harm_to_a_backend_on_this_machine(socks, server):
    with te.init("acme", "Digits") as run:
        run.log("loss", 1)
    assert run.summary()["loss"].count == 1


def test_a_socks_proxy_does_no_harm_to_the_embedded_backend(socks, monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    te.init("acme", "Digits").finish()


def test_a_socks_proxy_does_no_harm_to_a_host_that_needs_none(
    socks, secure, authority, monkeypatch
):
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", authority[1])
    te.init("acme", "Digits").finish()


def test_a_socks_proxy_that_is_needed_names_what_is_missing(socks):
    with pytest.raises(
        ValueError, match=f"^{socks} is a SOCKS proxy; support it with: pip install"
    ):
        te.TellurioClient("https://backend.example")


@pytest.mark.parametrize("url", ["ftp://u:hush@proxy.example", "http://u:hush#1@proxy.example"])
def test_a_proxy_that_is_none_is_refused_by_the_name_of_its_variable(monkeypatch, url):
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(
        ValueError, match=r"^HTTPS_PROXY is not a valid proxy; write it as"
    ) as caught:
        te.TellurioClient("https://backend.example")
    assert "hush" not in "".join(traceback.format_exception(caught.value))
