"""The link that is printed for a run leads to it, whatever its name is."""

import json
import re
from importlib import resources
from urllib.parse import unquote, urlsplit

import pytest

import afnio_tellurio as te

PAGE = resources.files("afnio_tellurio.backend").joinpath("page")
NAMES = ["brave_pasta_123", "Ünï", "a b", "x/y", "日本語", "🎉", "100%", "a?b#c", "..", "test-run"]


def pattern_of(script, before):
    """A regular expression in a script of the page, after some text."""
    text = PAGE.joinpath(script).read_text("utf-8")
    (found,) = re.findall(rf"{re.escape(before)}/(.+?)/i?[.,]", text)
    return re.compile(found.replace(r"\/", "/"))


def shown_at(serving, session, link):
    """The run that the page shows at an address, found as its scripts find it."""
    assert link.startswith(f"{serving.url}/")
    path = urlsplit(link).path
    answer = serving.ask("GET", path, Authorization=session)
    assert answer.status == 200, answer.body
    assert b"/assets/page.js" in answer.body
    namespace, project, run = map(
        unquote, re.fullmatch(r"/([^/]+)/projects/([^/]+)/runs/([^/]+)/", path).groups()
    )
    is_uuid = pattern_of("run.js", "const isUuid = ")
    assert is_uuid.fullmatch(run), "the page asks for a run by its UUID, else by its very name"
    place = f"/api/v0/{namespace}/projects/{project}/runs/{run}/"
    answer = serving.ask("GET", place, Authorization=session, Sec_Fetch_Site="same-origin")
    assert answer.status == 200
    return json.loads(answer.body)


def test_the_pages_addresses_are_as_this_file_takes_them():
    text = PAGE.joinpath("address.js").read_text("utf-8")
    assert r"[/^\/([^/]+)\/projects\/([^/]+)\/runs\/([^/]+)\/$/, " in text


@pytest.mark.parametrize("name", NAMES)
def test_the_link_of_a_run_that_is_logged_over_http_leads_to_it(serving, sign_in, name):
    sign_in(serving.url, "the-key")
    session = serving.signed_in()
    with te.TellurioClient(serving.url) as client:
        run = te.init("acme", "Digits", name, client=client)
        link = client.web_address("acme", "digits", run.uuid, run.name)
        run.finish()
        assert link == client.web_address("acme", "digits", run.uuid, run.name) == run.url
    found = shown_at(serving, session, link)
    assert (found["uuid"], found["name"]) == (run.uuid, name)


def test_the_lines_have_that_link(serving, run_python):
    finished = run_python(
        "import afnio_tellurio as te; run = te.init('acme', 'Digits'); run.finish(); print(run.uuid)",
        TELLURIO_BACKEND_HTTP_BASE_URL=serving.url,
        TELLURIO_API_KEY="the-key",
    )
    address = f"{serving.url}/acme/projects/digits/runs/{finished.stdout.strip()}/"
    started, ended = finished.stderr.splitlines()
    assert started.endswith(f"View: {address}")
    assert ended.endswith(f"View: {address}")


@pytest.mark.parametrize(
    ("name", "part"), [("Test run", "test-run"), ("brave_pasta_123", "brave-pasta-123")]
)
def test_another_backend_is_linked_to_as_the_platforms_pages_are(server, name, part):
    with te.TellurioClient() as client, te.init("acme", "Digits", name, client=client) as run:
        link = client.web_address("acme", "digits", run.uuid, run.name)
    assert link == f"{server}/acme/projects/digits/runs/{part}/"


def test_a_name_without_a_slug_is_linked_to_by_uuid(server):
    with te.TellurioClient() as client, te.init("acme", "Digits", "🎉", client=client) as run:
        link = client.web_address("acme", "digits", run.uuid, run.name)
    assert link == f"{server}/acme/projects/digits/runs/{run.uuid}/"
