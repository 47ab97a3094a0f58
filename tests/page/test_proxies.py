"""`serve` behind the proxies of docs/browser.md, and under another name: in a browser, and for programs."""

import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
import trustme
from browser_pages import EXPECTED
from children import GUARD
from playwright.sync_api import expect
from ports import port_to_reuse

import afnio_tellurio as te

DOCS = (Path(__file__).parent.parent.parent / "docs" / "browser.md").read_text("utf-8")
KEY = "the-key-of-the-server"
NAME = "runs.example.com"
#: The configuration of nginx around a server block. As root, it would become another user, who
#: cannot write to the test's directory; others cannot choose a user.
AROUND_NGINX = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {server}
}}
"""
AROUND_CADDY = """
{{
    admin off
    auto_https disable_redirects
}}
{server}
"""


def block_of(language, start):
    """The block of the documentation that starts with this text."""
    (block,) = re.findall(rf"```{language}\n({re.escape(start)}.*?)```", DOCS, re.DOTALL)
    return block


def replaced(text, *pairs):
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def nginx(folder, port, upstream):
    server = replaced(
        block_of("nginx", "server {"),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/ssl/runs.example.com.pem", f"{folder}/server.pem"),
        ("/etc/ssl/runs.example.com.key", f"{folder}/server.pem"),
        ("127.0.0.1:8642", upstream),
    )
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(AROUND_NGINX.format(user=user, folder=folder, server=server))
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]


def nginx_that_keeps_the_host(folder, port, upstream):
    command = nginx(folder, port, upstream)
    file = folder / "nginx.conf"
    kept = f"proxy_pass http://{upstream};\nproxy_set_header Host $http_host;"
    file.write_text(replaced(file.read_text(), (f"proxy_pass http://{upstream};", kept)))
    return command


def caddy(folder, port, upstream):
    server = replaced(
        block_of("text", f"{NAME} {{"),
        (
            f"{NAME} {{",
            f"https://{NAME}:{port} {{\n    tls {folder}/server.pem {folder}/server.pem",
        ),
        ("127.0.0.1:8642", upstream),
    )
    (folder / "Caddyfile").write_text(AROUND_CADDY.format(server=server))
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


def caddy_that_replaces_the_host(folder, port, upstream):
    command = caddy(folder, port, upstream)
    file = folder / "Caddyfile"
    proxy = f"reverse_proxy {upstream}"
    replacing = f"{proxy} {{\n header_up Host {upstream}\n }}"
    file.write_text(replaced(file.read_text(), (proxy, replacing)))
    return command


PROXIES = [nginx, nginx_that_keeps_the_host, caddy, caddy_that_replaces_the_host]


@pytest.fixture
def served(start_python):
    """Starts the command; returns its own address and the printed link."""

    def start(public_url, *arguments):
        child = start_python(
            "-m", "afnio_tellurio.cli", "serve", "--no-browser", "--api-key", KEY,
            "--public-url", public_url, "--namespace", "acme", *arguments,
        )  # fmt: skip
        address = re.search(r" at http://(\S+) ", child.stdout.readline())[1]
        return address, child.stdout.readline().split()[-1]

    return start


def wait_until_it_listens(process, port):
    until = time.monotonic() + GUARD
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=GUARD).close()
        except OSError:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.02)
        else:
            return


@pytest.fixture(params=PROXIES, ids=lambda proxy: proxy.__name__)
def site(request, served, tmp_path, monkeypatch):
    """The public URL and the printed link of a server behind a proxy."""
    program = request.param.__name__.partition("_")[0]
    if shutil.which(program) is None:
        message = f"{program} is not installed; scripts/test.sh installs it on Debian"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    authority = trustme.CA()
    authority.issue_cert(NAME).private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    port = port_to_reuse()
    url = f"https://{NAME}:{port}"
    # With the slash at its end, as people copy it.
    upstream, link = served(f"{url}/", "--port", "0")
    command = request.param(tmp_path, port, upstream)
    variables = {**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=variables)
    try:
        wait_until_it_listens(process, port)
        yield url, link
    finally:
        process.terminate()
        process.communicate(timeout=GUARD)


@pytest.fixture
def known_names(monkeypatch):
    """Resolves the names of the servers, in place of DNS."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host, *others, **options):
        own = host in {NAME, "gpu-box", NAME.encode(), b"gpu-box"}
        return resolve("127.0.0.1" if own else host, *others, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def log_with_the_key(url, sign_in):
    sign_in(url, KEY)
    with te.TellurioClient(url) as client:
        with te.init("acme", "Digits", "through-the-name", client=client) as run:
            run.log("loss", 0.5)
            # Larger than the limits that proxies have by default.
            run.log("text", "x" * 5_000_000)
        assert run.metrics("loss").values == [0.5]


def use_the_page(browser, url, link):
    """Signs in with the link, signs out, and signs in with the key."""
    context = browser.browser.new_context(ignore_https_errors=True)
    messages = []
    try:
        page = context.new_page()
        page.set_default_timeout(1000 * GUARD)
        page.on("console", lambda message: messages.append(message.text))
        page.goto(link)
        expect(page.get_by_role("link", name="Digits")).to_be_visible()
        assert page.url == f"{url}/"
        page.get_by_role("link", name="Digits").click()
        expect(page.get_by_role("link", name="through-the-name").first).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("API key").fill(KEY)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("link", name="through-the-name").first).to_be_visible()
    finally:
        context.close()
    # A browser cannot isolate pages of plain HTTP.
    messages = [text for text in messages if "Cross-Origin-Opener-Policy" not in text]
    assert [text for text in messages if not EXPECTED.search(text)] == []


def test_a_person_and_a_program_get_in_through_a_proxy(site, browser, known_names, sign_in):
    url, link = site
    assert link.startswith(f"{url}/#token=")
    log_with_the_key(url, sign_in)
    use_the_page(browser, url, link)


def test_a_server_of_a_container_is_reached_by_the_name_of_its_host(
    served, browser, known_names, sign_in, monkeypatch
):
    monkeypatch.setenv("TELLURIO_ALLOW_PLAIN_HTTP", "1")
    port = port_to_reuse()
    url = f"http://gpu-box:{port}"
    _own, link = served(url, "--host", "0.0.0.0", "--port", str(port))
    log_with_the_key(url, sign_in)
    use_the_page(browser, url, link)
