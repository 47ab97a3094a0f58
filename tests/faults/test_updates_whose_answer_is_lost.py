"""An update with a tag, whose answer is lost, is sent again and meets its own change."""

import json

import exchanges
import pytest
from faulty_proxy import FaultyProxy

import afnio_tellurio as te


@pytest.fixture
def proxy(server, monkeypatch):
    monkeypatch.setattr("afnio_tellurio.api.retries.CONNECT_RETRY_DELAY", 0.001)
    proxy = FaultyProxy(server)
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", proxy.url)
    yield proxy
    proxy.close()


@pytest.fixture
def run(proxy):
    run = te.init("acme", "Digits", "first", "about")
    run.finish()
    return run


@pytest.fixture
def direct(server, sign_in):
    """Another client of the backend, without the proxy."""
    sign_in(server, "the-key")
    with te.TellurioClient(server) as client:
        yield client


def failing_once(proxy, fault, meanwhile=lambda: None):
    """Lets the next update fail; then lets others act before it is sent again."""
    patches = []

    def choose(method, _path):
        if method != "PATCH":
            return None
        patches.append(method)
        if len(patches) == 2:
            meanwhile()
        return fault if len(patches) == 1 else None

    proxy.fault = choose
    return patches


@pytest.mark.parametrize("fault", ["drop", "cut"])
@pytest.mark.parametrize(
    "changes", [{"name": "new"}, {"description": "new"}, {"name": "new", "description": ""}]
)
def test_the_own_change_is_found(proxy, run, direct, fault, changes):
    patches = failing_once(proxy, fault)
    run.update(**changes, if_unchanged=True)
    assert len(patches) == 2
    there = te.get_run("acme", "Digits", run.uuid, direct)
    assert (run.name, run.description, run.date_updated) == (
        there.name, there.description, there.date_updated,
    )  # fmt: skip
    assert all(getattr(there, name) == value for name, value in changes.items())
    run.update(description="again", if_unchanged=True)


def test_a_name_that_is_taken_is_found_with_its_number(proxy, run):
    te.init("acme", "Digits", "new").finish()
    failing_once(proxy, "drop")
    run.update("new", if_unchanged=True)
    assert run.name == "new_1"


def test_another_change_after_the_own_one_is_found(proxy, run, direct):
    def overwrite():
        te.get_run("acme", "Digits", run.uuid, direct).update(description="theirs")

    failing_once(proxy, "drop", overwrite)
    with pytest.raises(te.RunChangedError, match="so this update may have been undone; read"):
        run.update(description="mine", if_unchanged=True)
    assert te.get_run("acme", "Digits", run.uuid).description == "theirs"


def test_a_request_that_never_arrived_is_no_own_change(proxy, run, direct):
    def change():
        te.get_run("acme", "Digits", run.uuid, direct).update(description="theirs")

    failing_once(proxy, "reset", change)
    with pytest.raises(te.RunChangedError):
        run.update(description="mine", if_unchanged=True)


def test_a_name_with_a_number_from_before_is_no_own_change(proxy, run, direct):
    run.update("first_1")

    def change():
        te.get_run("acme", "Digits", run.uuid, direct).update(description="theirs")

    failing_once(proxy, "reset", change)
    with pytest.raises(te.RunChangedError):
        run.update("first", if_unchanged=True)


def test_a_busy_backend_has_changed_nothing(proxy, run, direct):
    def change():
        te.get_run("acme", "Digits", run.uuid, direct).update(description="mine")

    busy = (429, b'{"detail": "Slow down."}')
    failing_once(proxy, busy, change)
    reads = proxy.counts[None]
    with pytest.raises(te.RunChangedError):
        run.update(description="mine", if_unchanged=True)
    assert proxy.counts[None] == reads + 1, "the run is not read again"


def test_a_first_request_that_is_refused_is_not_compared(proxy, run, direct):
    te.get_run("acme", "Digits", run.uuid, direct).update(description="mine")
    with pytest.raises(te.RunChangedError, match="and this update changed nothing; read"):
        run.update(description="mine", if_unchanged=True)


@pytest.mark.parametrize("etag", ['W/"1"', "1", '"a b"', '"\u00e4"', "", 7, None, "*"])
def test_a_tag_that_cannot_be_sent_is_none(proxy, run, direct, etag):
    there = direct.get(f"/api/v0/acme/projects/digits/runs/{run.uuid}/").json()
    answer = (200, json.dumps({**there, "etag": etag}).encode())
    proxy.fault = lambda *_: answer
    with exchanges.departing("answer"):
        found = te.get_run("acme", "Digits", run.uuid)
    with pytest.raises(te.TellurioError, match="does not answer with the etag"):
        found.update(description="mine", if_unchanged=True)
