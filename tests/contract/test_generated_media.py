"""What is generated from a contract with everything that an API may have.

The client is generated from media.yaml, checked by both type checkers, and used with a server.
"""

import asyncio
import hashlib
import importlib.util
import inspect
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import warnings
from http.server import ThreadingHTTPServer
from pathlib import Path

import exchanges
import httpx
import pytest
import yaml
from large_files import ZerosFile, peak_of
from media_server import PART, Handler

pytestmark = pytest.mark.tools

ROOT = Path(__file__).parent.parent.parent
MEDIA = Path(__file__).with_name("media.yaml")
MIB = 2**20
#: What a transfer of 64 MiB may add to the memory at its peak: far less than a second copy.
BOUND = 4 * MIB
SIZE = 64 * MIB
INJECTION = (
    b'begin\r\n--+++\r\nContent-Disposition: form-data; name="name"\r\n\r\nevil\r\n--+++--\r\n'
)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The folder of the generated package."""
    folder = tmp_path_factory.mktemp("media")
    for name in ("openapi", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".cache").mkdir()
    for name in ("regen", "node"):
        (folder / ".cache" / name).symlink_to(ROOT / ".cache" / name)
    shutil.rmtree(folder / "openapi" / "released")
    (folder / "openapi" / "released").mkdir()
    for name in ("tellurio.yaml", "released/0.yaml"):
        shutil.copy(MEDIA, folder / "openapi" / name)
    python = ROOT / ".cache" / "regen" / "bin" / "python"
    finished = subprocess.run(
        [python, folder / "scripts" / "regenerate.py"], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return folder / "generated" / "tellurio_api"


@pytest.fixture(scope="module")
def media(package):
    """Imports modules of the generated package, beside the product's own one."""
    spec = importlib.util.spec_from_file_location(
        "media_api", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    sys.modules["media_api"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield lambda name: importlib.import_module(f"media_api.{name}")
    for name in [name for name in sys.modules if name.partition(".")[0] == "media_api"]:
        del sys.modules[name]


@pytest.fixture
def server():
    handler = type("MediaHandler", (Handler,), {"files": {}, "received": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with exchanges.of_contract(yaml.safe_load(MEDIA.read_text())):
        yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def received(server):
    return server.RequestHandlerClass.received


@pytest.fixture
def client(server, media):
    url = f"http://127.0.0.1:{server.server_port}"
    with media("client").AuthenticatedClient(url, "the-key") as client:
        yield client


@pytest.fixture(params=["sync", "asyncio"])
def form(request):
    """Whether the blocking functions are used, or those for an event loop."""
    return request.param


@pytest.fixture
def run(form, client):
    """Calls an operation in its detailed form: blocking, or in an event loop."""

    def call(operation, *arguments, **keywords):
        if form == "sync":
            return operation.sync_detailed(*arguments, client=client, **keywords)

        async def main():
            fresh = client.with_headers({})
            async with fresh:
                return await operation.asyncio_detailed(*arguments, client=fresh, **keywords)

        return asyncio.run(main())

    return call


@pytest.fixture
def stream(form, client):
    """Passes each item of a stream to a function, and returns the response."""

    def follow(operation, use, *arguments, **keywords):
        if form == "sync":
            with operation.sync_stream(*arguments, client=client, **keywords) as response:
                for item in response:
                    use(item)
            return response

        async def main():
            fresh = client.with_headers({})
            async with (
                fresh,
                operation.asyncio_stream(*arguments, client=fresh, **keywords) as response,
            ):
                async for item in response:
                    use(item)
            return response

        return asyncio.run(main())

    return follow


def test_pyright_accepts_it(package):
    settings = {"include": [package.name], "typeCheckingMode": "strict", "pythonVersion": "3.11"}
    (package.parent / "pyrightconfig.json").write_text(json.dumps(settings))
    finished = subprocess.run(
        [sys.executable, "-m", "pyright", "--project", package.parent, "--pythonpath", sys.executable],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.stdout.splitlines()[-1].startswith("0 errors"), finished.stdout


def test_every_parameter_body_and_header_is_described(media):
    words = media("api.files.put_file").sync.__doc__
    assert "file_id (str): The id of the file." in words
    assert "body (File): The content of the file." in words
    words = media("api.files.get_file").sync.__doc__
    assert "range_ (str | Unset): The bytes to read." in words
    assert "Content-Range: Which part it is." in words
    assert "ETag: The version of the file." in words


def test_a_file_is_sent_as_it_is_and_each_status_has_its_type(run, media, received):
    put, models, types = media("api.files.put_file"), media("models"), media("types")
    content = INJECTION + bytes(range(256))
    source = io.BytesIO(b"skipped" + content)
    source.seek(len(b"skipped"))
    response = run(put, "a", body=types.File(source))
    assert response.status_code == 201
    assert response.parsed == models.Created("/files/a")
    image = types.File(io.BytesIO(b"png"), mime_type="image/png")
    response = run(put, "a", body=image)
    assert (response.status_code, response.parsed) == (200, models.Stored(3))
    first, second = received
    assert first["digest"] == hashlib.sha256(content).hexdigest()
    assert first["length"] in {str(len(content)), None}
    assert (first["type"], second["type"]) == ("application/octet-stream", "image/png")
    assert first["key"] == "Api-Key the-key"
    response = run(put, "forbidden", body=types.File(io.BytesIO(b"")))
    assert response.status_code == 403
    assert response.parsed == models.Failure("No.")


def test_a_source_that_cannot_tell_its_length_is_sent_in_chunks(run, media, received):
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as sink:
        sink.write(b"through a pipe")
    with os.fdopen(reader, "rb") as source:
        run(media("api.files.put_file"), "a", body=media("types").File(source))
    assert received[0]["digest"] == hashlib.sha256(b"through a pipe").hexdigest()
    assert received[0]["length"] is None


def test_parts_of_a_file_and_headers(run, media, server):
    server.RequestHandlerClass.files["a"] = b"0123456789"
    get = media("api.files.get_file")
    whole = run(get, "a")
    assert (whole.status_code, whole.parsed.payload.read()) == (200, b"0123456789")
    assert whole.headers["etag"] == '"1"'
    part = run(get, "a", range_="bytes=2-4")
    assert (part.status_code, part.parsed.payload.read()) == (206, b"234")
    assert part.headers["Content-Range"] == "bytes 2-4/10"
    missing = run(get, "b")
    assert (missing.status_code, missing.parsed.detail) == (404, "Not found.")


@pytest.mark.parametrize(
    "content",
    [INJECTION, b"", b"\r\n--", bytes(range(256)) * 300],
    ids=["injection", "empty", "line", "all bytes"],
)
def test_a_form_is_sent_as_it_is(run, media, received, content):
    form = media("models").PostFormBody(
        "the name", media("types").File(io.BytesIO(content), "a.bin", "application/x-thing"), is_public=True
    )  # fmt: skip
    response = run(media("api.files.post_form"), body=form)
    assert (response.status_code, response.parsed.size) == (201, len(content))
    assert received == [{"name": b"the name", "is_public": b"true", "content": content}]


def test_a_content_type_cannot_add_headers(media):
    file = media("types").File(io.BytesIO(b""), "a", "text/plain\r\nX-Evil: 1")
    with pytest.raises(ValueError, match="must be a single line"):
        file.to_tuple()


def test_a_status_with_several_content_types(run, client, media, received):
    post = media("api.files.post_note")
    response = run(post, body="caf\u00e9")
    assert response.parsed == "caf\u00e9"
    assert received[0] == {"type": "text/plain", "body": "caf\u00e9".encode()}
    with client.with_headers({"Accept": "application/json"}) as as_json:
        assert post.sync(client=as_json, body="four") == media("models").Stored(4)
    response = run(post, body="")
    assert (response.status_code, response.parsed) == (204, None)


def test_large_files_take_little_memory(stream, run, media, received):
    put, get, post = (media(f"api.files.{name}") for name in ("put_file", "get_file", "post_form"))
    file = media("types").File
    run(put, "warm", body=file(ZerosFile(1)))
    run(post, body=media("models").PostFormBody("name", file(io.BytesIO(b"a"))))
    stream(get, bytes, "1")
    assert peak_of(lambda: run(put, "a", body=file(ZerosFile(SIZE)))) < BOUND
    assert received[-1]["digest"] == hashlib.sha256(bytes(SIZE)).hexdigest()
    form = media("models").PostFormBody("name", file(ZerosFile(SIZE)))
    answers = []
    assert peak_of(lambda: answers.append(run(post, body=form))) < BOUND
    assert answers[0].parsed.size > SIZE
    digest = hashlib.sha256()
    count = SIZE // len(PART)
    assert peak_of(lambda: stream(get, digest.update, str(count))) < BOUND
    assert digest.digest() == hashlib.sha256(PART * count).digest()


def test_a_download_that_fails_has_its_error(stream, client, media):
    get = media("api.files.get_file")
    errors = media("errors")
    with pytest.raises(errors.UnexpectedStatus, match=r"404.*\n\n.*\n.*Not found"):
        stream(get, bytes, "missing")
    with get.sync_stream("missing", client=client) as response:
        assert (response.status_code, response.parsed.detail) == (404, "Not found.")


def test_a_download_in_parts_has_its_headers(stream, media, server):
    server.RequestHandlerClass.files["a"] = b"0123456789"
    parts = []
    response = stream(media("api.files.get_file"), parts.append, "a", range_="bytes=5-7")
    assert b"".join(parts) == b"567"
    assert response.status_code == 206
    assert response.headers["content-range"] == "bytes 5-7/10"


def test_lines_are_parsed_while_they_arrive(stream, run, client, media):
    points, models = media("api.streams.list_points"), media("models")
    items = []
    response = stream(points, items.append, count=1000)
    assert items == [models.Circle("circle", number) for number in range(1000)]
    assert response.headers["content-type"] == "application/x-ndjson"
    assert run(points, count=3).parsed == items[:3]
    assert run(points, count=0).parsed == []
    with points.sync_stream(client=client, count=-1) as response:
        assert response.parsed == models.Failure("count is negative")
    # A program may stop before the end.
    with points.sync_stream(client=client, count=10_000) as response:
        assert next(iter(response)) == items[0]


def test_an_invalid_line_is_named(stream, run, media):
    invalid = media("errors").InvalidResponse
    with exchanges.departing("answer"):
        for call in (stream, run):
            arguments = (repr,) if call is stream else ()
            with pytest.raises(invalid, match="status 200 lacks the field 'size'") as caught:
                call(media("api.streams.list_points"), *arguments, count=13)
            assert isinstance(caught.value.__cause__, KeyError)


def test_lines_are_sent(run, media):
    circles = [media("models").Circle("circle", number) for number in range(3)]
    response = run(media("api.streams.post_points"), body=circles)
    assert response.parsed.size == 3
    assert response.parsed.type_ == "application/x-ndjson"


def test_events_are_parsed_while_they_arrive(stream, run, media):
    models, event = media("models"), media("streams").ServerSentEvent
    items = []
    follow = media("api.streams.follow_events")
    # The contract has no spiral: the server is newer.
    with exchanges.departing("answer"):
        stream(follow, items.append)
        parsed = run(follow).parsed
    drawn, unknown = items
    assert drawn == event(models.Square("box", 1), "drawn", "7", 250)
    # The last event of the body is not complete.
    assert isinstance(unknown.data, models.UnknownKind)
    assert unknown.data.to_dict() == {"kind": "spiral", "turns": "\u20ac"}
    assert (unknown.event, unknown.id) == ("message", "7")
    assert parsed == [drawn.data, unknown.data]


def test_events_of_text(stream, run, media):
    items = []
    follow = media("api.streams.follow_log")
    stream(follow, lambda event: items.append(event.data))
    assert items == ["one\ntwo", "three"]
    assert run(follow).parsed == items


@pytest.mark.parametrize(
    ("kind", "name"),
    [("circle", "Circle"), ("square", "Square"), ("box", "Square"), ("spiral", "UnknownKind")],
)
def test_the_discriminator_decides(run, media, kind, name):
    models = media("models")
    shape = {"kind": kind, "size": 3, "new": [1]}
    drawing = models.Drawing.from_dict({"shape": shape, "shapes": [shape]})
    assert type(drawing.shape).__name__ == type(drawing.shapes[0]).__name__ == name
    assert drawing.shape["new"] == [1]
    assert drawing.to_dict() == {"shape": shape, "shapes": [shape]}
    with exchanges.departing("request", "answer"):
        assert run(media("api.unions.echo"), body=drawing).parsed == drawing


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ({"start": 1}, "Line"),
        ({"start": 1, "head": "wide"}, "Arrow"),
        ({"start": 1, "head": "wide", "new": 1}, "Arrow"),
        ({"other": 1}, "UnknownKind"),
        ("M 0 0", "str"),
    ],
)
def test_without_a_discriminator_the_class_that_knows_most_fields_is_used(media, path, name):
    drawing = media("models").Drawing.from_dict({"path": path, "shape": None})
    assert type(drawing.path).__name__ == name
    assert drawing.to_dict() == {"path": path, "shape": None}


def test_a_known_kind_that_lacks_a_field_is_invalid(media):
    with pytest.raises(KeyError, match="size"):
        media("models").Drawing.from_dict({"shape": {"kind": "circle"}})


def test_a_body_that_is_not_json_is_an_invalid_response(client, media):
    def reply(request):
        return httpx.Response(200, text="<html>")

    client.set_httpx_client(httpx.Client(base_url="http://x", transport=httpx.MockTransport(reply)))
    with pytest.raises(media("errors").InvalidResponse, match="status 200 is invalid: "):
        media("api.unions.echo").sync(client=client, body=media("models").Drawing())


# What is deprecated

SEARCH = (
    "searchNotes: the query parameter sort is deprecated.",
    "searchNotes: the query parameter old-limit is deprecated.",
    "searchNotes: the header parameter X-Old is deprecated and may be removed after 2027-02-28. Use X-New.",
    "Search.words is deprecated and may be removed after 2027-01-31. Use `text`.",
    "Search.kind is deprecated.",
    "SearchPart.size is deprecated.",
    "OldAuthor is deprecated.",
)
OLD_FILE = (
    "getOldFile is deprecated and may be removed after 2027-01-31. Use `getFile`, which has ranges."
)


@pytest.fixture(params=["sync", "sync_detailed", "asyncio", "asyncio_detailed"])
def search(request, media, client):
    """Searches in one of the four forms; returns the warnings and the line that they must name."""
    function = getattr(media("api.deprecated.search_notes"), request.param)

    async def gather(keywords):
        async with client.with_headers({}) as fresh:
            line = inspect.currentframe().f_lineno + 1
            call = function(client=fresh, **keywords)
            # As a task: its frames are not the caller's.
            return line, await asyncio.create_task(call)

    def call(**keywords):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if request.param.startswith("sync"):
                line = inspect.currentframe().f_lineno + 1
                found = function(client=client, **keywords)
            else:
                line, found = asyncio.run(gather(keywords))
        assert {warning.category for warning in caught} == {DeprecationWarning}
        assert {(warning.filename, warning.lineno) for warning in caught} == {(__file__, line)}
        return [str(warning.message) for warning in caught], getattr(found, "parsed", found)

    return call


def test_what_is_deprecated_warns_at_the_call_in_all_four_forms(search, media):
    models = media("models")
    parts = [models.SearchPart(size=2), models.SearchPart(size=3)]
    body = models.Search(
        words="a", kind=models.NoteKind.SHORT, parts=parts, author=models.OldAuthor("b")
    )
    messages, found = search(sort="up", old_limit=1, x_old="c", body=body)
    assert messages == [*SEARCH]
    assert found == body


def test_what_is_not_passed_does_not_warn_and_answers_never_do(search, media):
    messages, found = search(sort="up", body=media("models").Search(text="a"))
    # A default of the contract is passed by nobody.
    assert messages == [SEARCH[0]]
    assert found.text == "a"


@pytest.mark.parametrize("name", ["sync", "sync_detailed", "sync_stream", "asyncio_stream"])
def test_a_deprecated_operation_warns_until_it_is_asked_not_to(media, client, name):
    function = getattr(media("api.deprecated.get_old_file"), name)
    with pytest.warns(DeprecationWarning, match=f"^{re.escape(OLD_FILE)}$") as caught:
        called = function("1", client=client)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    quiet = media("deprecation").without_warnings(function)("1", client=client)
    assert type(quiet) is type(called)
    with pytest.raises(DeprecationWarning):
        function("1", client=client)


def test_docstrings_say_what_is_deprecated(media, package):
    models = media("models")
    words = media("api.deprecated.get_old_file").asyncio.__doc__
    assert "Deprecated; may be removed after 2027-01-31. Reads a file." in words
    words = " ".join(media("api.deprecated.search_notes").sync.__doc__.split())
    assert "old_limit (int | Unset): Deprecated. How many. Default: 7." in words
    assert "X-Count: Deprecated; may be removed after 2027-01-31. How many." in words
    assert models.OldAuthor.__doc__.strip() == "Deprecated. Who wrote it."
    assert models.Level.__doc__.strip() == "Deprecated. How loud."
    source = " ".join((package / "models" / "search.py").read_text().split())
    assert (
        '""" Deprecated; may be removed after 2027-01-31. What to find. Use `text`. """' in source
    )
    assert '""" Deprecated. The kind of note. """' in source
    source = (package / "models" / "note_kind.py").read_text()
    assert (
        'LONG = "LONG"\n    """ Deprecated; may be removed after 2027-01-31. Use SHORT. """'
        in source
    )
    table = (package / "README.md").read_text()
    assert "`/old/{file_id}` | Read a file. Deprecated; may be removed after 2027-01-31. |" in table


def test_a_client_of_a_contract_without_deprecations_has_nothing_of_them():
    package = ROOT / "generated" / "tellurio_api"
    contract = json.loads((package / "openapi.json").read_text())
    assert ('"deprecated": true' in json.dumps(contract)) == (package / "deprecation.py").exists()
