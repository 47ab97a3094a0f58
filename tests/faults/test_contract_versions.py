"""The SDK says once if its backend has another version of the contract."""

import exchanges
import pytest

import afnio_tellurio as te
from afnio_tellurio.settings import limits

OURS = limits.CONTRACT_VERSION
MAJOR, MINOR, PATCH = map(int, OURS.split("."))


@pytest.fixture
def warnings(monkeypatch, caplog):
    monkeypatch.setattr("afnio_tellurio.notices._shown", set())
    return lambda: [each.getMessage() for each in caplog.records if "of the API" in each.message]


@pytest.fixture
def answer_with(monkeypatch):
    return lambda version: monkeypatch.setattr(
        "afnio_tellurio.backend.requests.CONTRACT_VERSION", version
    )


def use():
    """The main ways: start, log and deliver, finish, read."""
    with te.TellurioClient() as client:
        run = te.init("acme", "Digits", client=client)
        run.log("loss", 1)
        run.flush()
        run.finish()
        assert te.get_run("acme", "Digits", run.uuid, client).metrics("loss").values == [1]


@pytest.mark.parametrize("theirs", [f"{MAJOR}.{MINOR + 1}.0", f"{MAJOR + 1}.0", "99.0.0"])
def test_a_newer_backend_asks_for_an_upgrade_once(server, warnings, answer_with, theirs):
    answer_with(theirs)
    use()
    use()
    (warning,) = warnings()
    assert warning == (
        f"{server} has version {theirs} of the API, and this afnio-tellurio was made for version "
        f"{OURS}: upgrade afnio-tellurio to use all of it"
    )


def test_an_older_backend_may_lack_features(server, warnings, answer_with):
    answer_with("0.0.7")
    use()
    (warning,) = warnings()
    assert warning == (
        f"{server} has version 0.0.7 of the API, and this afnio-tellurio was made for version "
        f"{OURS}: what was added since may be missing; upgrade the backend"
    )


def test_delivery_alone_says_it_too(server, warnings, answer_with):
    with te.TellurioClient() as client:
        run = te.init("acme", "Digits", client=client)
        assert warnings() == []
        answer_with("99.0")
        run.log("loss", 1)
        run.flush()
        assert len(warnings()) == 1


def test_each_backend_is_named(start_server, monkeypatch, sign_in, warnings, answer_with):
    answer_with("99.0")
    urls = [start_server(api_key="the-key") for _ in range(2)]
    monkeypatch.setenv("TELLURIO_API_KEY", "the-key")
    for url in urls:
        monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", url)
        with te.TellurioClient() as client:
            te.list_namespaces(client)
    assert [message.partition(" has ")[0] for message in warnings()] == urls


@pytest.mark.parametrize(
    "theirs",
    [
        OURS, f"{MAJOR}.{MINOR}.{PATCH + 1}", f"{MAJOR}.{MINOR}", "", "99", "v99.0", "99.0-beta",
        "99.0.0.0", "9" * 100 + ".0", "99.0, 99.0", "\u0669.\u0660", "-1.0", " ",
    ],
)  # fmt: skip
def test_the_same_or_no_version_says_nothing(server, warnings, answer_with, theirs):
    # As a server sends it.
    answer_with(theirs.encode("utf-8").decode("latin-1"))
    # Most of these are not what the contract allows.
    with te.TellurioClient() as client, exchanges.departing("answer"):
        te.list_namespaces(client)
    assert warnings() == []


def test_an_error_says_it_too(server, warnings, answer_with):
    answer_with("99.0")
    with te.TellurioClient() as client, pytest.raises(te.NotFoundError):
        te.get_run("acme", "none", "x", client)
    assert len(warnings()) == 1


def test_the_embedded_backend_says_nothing(tmp_path, warnings, answer_with):
    answer_with("99.0")
    with te.TellurioClient.local(tmp_path / "x.db") as client:
        te.init("acme", "Digits", client=client).finish()
    assert warnings() == []


def test_a_backend_without_the_header_says_nothing(faulty, warnings):
    faulty.answer("200 OK", "[]")
    with te.TellurioClient() as client:
        assert te.list_namespaces(client) == []
    assert warnings() == []
