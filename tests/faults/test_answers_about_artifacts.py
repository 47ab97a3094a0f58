"""Backends whose answers about artifacts are invalid, partial, hostile, or missing."""

import copy
import json
import re

import httpx
import pytest
from awaiting_events import wait_until
from children import GUARD
from transports import use_transport

import afnio_tellurio as te
from afnio_tellurio.backend import open_backend
from afnio_tellurio.client import connection_of


class Changing(httpx.BaseTransport):
    """The local backend, with a function that may replace a response."""

    def __init__(self, backend):
        self._inner = httpx.WSGITransport(app=backend)
        self.change = lambda _request, _response: None
        self.requests = []

    def handle_request(self, request):
        self.requests.append(f"{request.method} {request.url.path}")
        response = self._inner.handle_request(request)
        response.read()
        return self.change(request, response) or response


@pytest.fixture
def backend(tmp_path):
    backend = open_backend(tmp_path / "x.db")
    yield backend
    backend.close()


@pytest.fixture
def transport(backend):
    return Changing(backend)


@pytest.fixture
def client(tmp_path, transport, monkeypatch):
    monkeypatch.setattr("afnio_tellurio.delivery.transfer.FIRST_RETRY_DELAY", 0.01)
    client = te.TellurioClient.local(tmp_path / "unused.db", recover=False)
    use_transport(client, transport)
    connection_of(client).adopt_blobs = None
    yield client
    transport.change = lambda _request, _response: None
    client.close()


@pytest.fixture
def run(client):
    return te.init("acme", "Digits", "r", client=client)


def answering(pattern, *arguments, **keywords):
    """Replaces the responses to requests whose method and path match."""

    def change(request, _response):
        if re.search(pattern, f"{request.method} {request.url.path}"):
            return httpx.Response(*arguments, request=request, **keywords)
        return None

    return change


@pytest.fixture
def artifact(run):
    return run.log_artifact(b"0123456789", "data", wait=True)


def test_a_whole_file_in_place_of_a_part_is_cut(artifact, transport):
    transport.change = answering(r"GET .*/file/$", 200, content=b"0123456789")
    file = artifact.open("data")
    file.seek(3)
    assert file.read(4) == b"3456"
    assert artifact.read_bytes("data") == b"0123456789"


DOWNLOADS = {
    "too short": (206, {"content": b"012", "headers": {"Content-Range": "bytes 0-2/10"}}),
    "too long": (206, {"content": b"0" * 11, "headers": {"Content-Range": "bytes 0-10/11"}}),
    "empty": (200, {"content": b""}),
    "out of range": (416, {"json": {"detail": "no"}, "headers": {"Content-Range": "bytes */10"}}),
    "a page of a proxy": (502, {"html": "<h1>Bad Gateway</h1>"}),
    "a page with 200": (200, {"html": "<h1>Sign in, please, to use this network</h1>"}),
    "elsewhere": (302, {"headers": {"Location": "http://169.254.169.254/"}}),
    "gone": (404, {"json": {"detail": "Not found."}}),
    "nothing": (204, {}),
}


@pytest.mark.parametrize("name", DOWNLOADS)
def test_a_wrong_download_is_an_error_and_no_file(artifact, transport, tmp_path, name):
    status, keywords = DOWNLOADS[name]
    transport.change = answering(r"GET .*/file/$", status, **keywords)
    out = tmp_path / "out"
    for call in (
        lambda: artifact.read_bytes("data"),
        lambda: artifact.open("data").read(),
        artifact.verify,
        lambda: artifact.download(out),
        lambda: artifact.download(out, verify=False),
    ):
        before = len(transport.requests)
        with pytest.raises(te.TellurioError) as failed:
            call()
        assert "data" in str(failed.value) or "download artifact file" in str(failed.value)
        assert not any("169.254" in request for request in transport.requests[before:])
    assert not out.exists() or list(out.rglob("*")) == []


def listing(*files):
    return [{"path": "a", "digest": "ab" * 32, "size": 1, **file} for file in files]


LISTINGS = {
    "above": listing({"path": "../../x"}),
    "absolute": listing({"path": "/etc/passwd"}),
    "a drive": listing({"path": "C:\\x"}),
    "a backslash": listing({"path": "..\\x"}),
    "hidden above": listing({"path": "a/../../x"}),
    "NUL": listing({"path": "a\0b"}),
    "a device": listing({"path": "CON"}),
    "empty": listing({"path": ""}),
    "twice": listing({}, {}),
    "twice on some systems": listing({"path": "a"}, {"path": "A"}),
    "a file and a folder": listing({"path": "a"}, {"path": "a/b"}),
    "long": listing({"path": "a" * 5000}),
    "no digest": [{"path": "a", "size": 1}],
    "no size": [{"path": "a", "digest": "ab" * 32}],
}


@pytest.mark.parametrize("name", LISTINGS)
def test_an_unsafe_listing_writes_no_file(artifact, client, transport, tmp_path, name):
    transport.change = answering(r"GET .*/files/$", 200, json=LISTINGS[name])
    root = tmp_path / "a" / "b"
    root.mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    used = te.get_artifact("acme/digits/data", client)
    with pytest.raises((te.TellurioError, ValueError)):
        used.download(root / "out")
    new = set(tmp_path.rglob("*")) - set(before)
    assert new - {root / "out"} == set()
    assert not any("/file/" in request for request in transport.requests)


def changed_version(**fields):
    def change(request, response):
        if request.method == "GET" and re.search("/versions/[^/]+/$", request.url.path):
            return httpx.Response(200, json={**response.json(), **fields}, request=request)
        return None

    return change


@pytest.mark.parametrize(
    "fields",
    [{"version": "../../../x"}, {"version": "v0/../../x"}, {"artifact": "/tmp/x"}, {"artifact": "a/b"},
     {"version": "a\\b"}, {"version": ""}, {"artifact": ""}],
)  # fmt: skip
def test_a_version_whose_name_is_a_path_is_an_invalid_answer(artifact, client, transport, fields):
    transport.change = changed_version(**fields)
    (name,) = fields
    with pytest.raises(
        te.InvalidResponseError, match=f"Cannot get artifact version: .* with {name}"
    ):
        te.get_artifact("acme/digits/data", client)


def test_a_digest_that_the_backend_lies_about_is_noticed(artifact, client, transport, tmp_path):
    def change(request, response):
        if request.url.path.endswith("/files/"):
            files = copy.deepcopy(response.json())
            files[0]["digest"] = "0" * 64
            return httpx.Response(200, json=files, request=request)
        return None

    transport.change = change
    used = te.get_artifact("acme/digits/data", client)
    with pytest.raises(te.TellurioError, match="SHA-256"):
        used.download(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


# Delivery


LACKING = [404, 405, 501]


@pytest.mark.parametrize("status", LACKING)
def test_a_backend_without_artifacts_gets_metrics_and_later_the_files(
    run, client, transport, home, status
):
    headers = {"Allow": "GET"} if status == 405 else {}
    lacking = answering(
        r"/(blobs|artifacts|files)/", status, json={"detail": "no"}, headers=headers
    )
    transport.change = lacking
    run.log("loss", 1)
    artifact = run.log_artifact(b"1", "data", aliases=["best"])
    run.log_text("answers", "words")
    wait_until(lambda: any("/blobs/" in request for request in transport.requests))
    with pytest.raises(te.DeliveryError) as failed:
        artifact.wait(GUARD)
    message = str(failed.value)
    assert "2 files (6 B)" in message
    assert "the backend does not support artifacts; upgrade it" in message
    assert "afnio-tellurio sync" in message
    assert run.metrics("loss").values == [1], "files do not hold metrics up"
    assert any("files" in path.name and path.is_dir() for path in (home / "journals").iterdir())
    transport.change = lambda _request, _response: None
    artifact.wait(GUARD)
    assert (artifact.version, artifact.aliases) == ("v0", ("best", "latest"))
    assert run.open_file("answers").read() == b"words"
    assert run.finish().files == 2


def test_blobs_that_a_backend_forgets_are_sent_again(run, client, transport):
    answered = []

    def change(request, _response):
        if request.url.path.endswith("/versions/") and request.method == "POST" and not answered:
            answered.append(request)
            body = {"detail": "Blobs are missing.", "code": "blobs_missing", "missing": []}
            body["missing"] = [file["digest"] for file in json.loads(request.read())["files"]]
            return httpx.Response(409, json=body, request=request)
        return None

    transport.change = change
    artifact = run.log_artifact(b"1", "data", wait=True)
    assert artifact.read_bytes("data") == b"1"
    sent = [request for request in transport.requests if request.endswith("/blobs/batch/")]
    assert len(sent) == 2


def test_a_version_that_is_refused_is_named_and_does_not_hold_the_next_up(run, client, transport):
    def change(request, _response):
        if request.url.path.endswith("/artifacts/bad/versions/"):
            return httpx.Response(400, json={"detail": "Bad type."}, request=request)
        return None

    transport.change = change
    bad = run.log_artifact(b"1", "bad")
    good = run.log_artifact(b"2", "good", wait=True)
    assert good.version == "v0"
    for call in (bad.wait, bad.verify, lambda: bad.alias("best")):
        with pytest.raises(te.TellurioError, match=r"artifact 'bad' was not recorded: .*Bad type"):
            call()
    assert bad.version is None
    receipt = run.finish()
    assert (receipt.files, receipt.rejected_files) == (1, 1)


@pytest.fixture
def remote(transport, monkeypatch):
    """A client for which the backend is in another process: it takes no files by itself."""
    monkeypatch.setenv("TELLURIO_API_KEY", "the-key")
    client = te.TellurioClient("http://127.0.0.1:1", max_retries=0)
    use_transport(client, transport)
    yield client
    transport.change = lambda _request, _response: None
    client.close()


@pytest.mark.parametrize("change", ["changed", "removed", "replaced"])
def test_a_file_in_place_that_changes_before_its_upload_is_refused(
    remote, transport, tmp_path, change
):
    run = te.init("acme", "Digits", "r", client=remote)
    path = tmp_path / "weights.bin"
    path.write_bytes(bytes(100_000))
    transport.change = answering(r"/blobs/", 503, json={"detail": "later"})
    artifact = run.log_artifact(path, "weights", capture="in-place")
    copied = run.log_artifact(path, "copied", capture="copy")
    if change == "changed":
        path.write_bytes(b"1" + bytes(99_999))
    else:
        path.unlink()
    if change == "replaced":
        path.write_bytes(bytes(100_000))
    transport.change = lambda _request, _response: None
    with pytest.raises(te.TellurioError, match=r"weights.bin' was changed, moved or removed after"):
        artifact.wait(GUARD)
    assert copied.wait(GUARD).read_bytes("weights.bin") == bytes(100_000)
    receipt = run.finish()
    assert (receipt.files, receipt.rejected_files) == (1, 1)


def test_a_large_file_is_resumed_where_it_stopped(run, client, transport, monkeypatch):
    monkeypatch.setattr("afnio_tellurio.delivery.file_transfer.BLOB_BYTES", 2**16)
    data = bytes(range(256)) * 300_000
    failed = []

    def change(request, _response):
        # The second part arrives, but its answer is lost.
        if request.url.path.endswith("/parts/2/") and not failed:
            failed.append(request)
            return httpx.Response(503, json={"detail": "later"}, request=request)
        return None

    transport.change = change
    artifact = run.log_artifact(data, "data", wait=True)
    assert artifact.read_bytes("data") == data
    parts = [request for request in transport.requests if "/parts/" in request]
    assert failed
    assert len(parts) <= len(set(parts)) + 1, "parts that have arrived are not sent again"
    assert len(set(parts)) == -(-len(data) // 2**24)
