"""The platform is not known to have the extensions: the SDK works without them."""

import pytest
from plain_backend import PlainBackend
from transports import use_transport

import afnio_tellurio as te
from afnio_tellurio import notices
from afnio_tellurio.api import operations
from afnio_tellurio.api.calling import RunPath
from afnio_tellurio.backend import open_backend
from afnio_tellurio.client import connection_of
from afnio_tellurio.delivery.restoring import restore_run
from afnio_tellurio.errors import never_had_run

RUN = "9b2f4f9e-3c0d-4b0a-8a53-5a3c8e0f7f21"
PATH = RunPath("acme", "digits", RUN)


@pytest.fixture
def client(tmp_path):
    client = te.TellurioClient.local(tmp_path / "x.db")
    backend = open_backend(tmp_path / "plain.db")
    use_transport(client, PlainBackend(backend))
    yield client
    client.close()
    backend.close()


def test_the_journal_has_the_uuid_that_the_backend_chose(client, home):
    run = te.init("acme", "Digits", "test_run", client=client)
    (path,) = (home / "journals").glob("*.ndjson")
    assert path.name.startswith(run.uuid)
    run.log("loss", 1)
    assert run.finish().accepted == 1


def test_everything_but_what_only_an_extension_can_tell_works(client):
    run = te.init("acme", "Digits", "first", client=client)
    for step, value in enumerate([0.5, 2.0, float("nan")]):
        run.log("loss", value, step=step)
    for step in range(10, 100):
        run.log("rate", step / 100, step=step)
    run.log("note", "done")
    second = te.init("acme", "Digits", "second", client=client)
    second.finish()
    found = te.get_run("acme", "Digits", run.uuid, client=client)
    assert (found.name, found.status) == ("first", "FAILED")
    assert te.get_run("acme", "Digits", "second", client=client).uuid == second.uuid
    assert [run.name for run in te.runs("acme", "Digits", client=client)] == ["second", "first"]
    assert repr(found.metrics("loss").values) == "[0.5, 2.0, nan]"
    assert found.metrics("loss").timestamps == [None] * 3
    summary = found.summary()
    assert (summary["loss"].count, summary["loss"].minimum, summary["loss"].maximum) == (
        3,
        0.5,
        2.0,
    )
    assert (summary["note"].last, summary["note"].last_timestamp) == ("done", None)
    assert found.curve("loss") == ([0, 1], [0.5, 2.0])
    assert found.curve("rate", buckets=10)[0] == [15, 31, 47, 63, 79, 95, 99]


def test_a_run_that_does_not_exist_is_not_found(client):
    te.init("acme", "Digits", client=client)
    with pytest.raises(LookupError, match="acme/digits has no run 9b2f4f9e"):
        te.get_run("acme", "Digits", RUN, client=client)


def test_of_a_run_that_is_not_found_nothing_more_is_known(client):
    te.init("acme", "Digits", client=client)
    with pytest.raises(te.NotFoundError) as raised:
        operations.update_run(connection_of(client), PATH, {"status": "FAILED"})
    assert not never_had_run(raised.value)


def test_a_run_gets_the_uuid_that_the_backend_chooses(client):
    te.init("acme", "Digits", client=client)
    created = operations.create_run(
        connection_of(client), "acme", "digits", name="n", status="RUNNING", idempotency_key="k", run_uuid=RUN
    )  # fmt: skip
    assert (created.name, str(created.uuid) == RUN) == ("n", False)
    with pytest.raises(te.InvalidResponseError, match=f"create the run {RUN} and created"):
        restore_run(connection_of(client), PATH, name="n", details={})


@pytest.mark.parametrize(
    ("changes", "ignored"),
    [
        ({"name": "other"}, "name"),
        ({"description": "what it is about"}, "description"),
        ({"name": "other", "description": "x"}, "name and description"),
    ],
)
def test_a_change_that_the_backend_ignores_is_an_error(client, changes, ignored):
    run = te.init("acme", "Digits", "first", client=client)
    with pytest.raises(te.InvalidResponseError, match=f"ignored the new {ignored} of run 'first'"):
        run.update(**changes)
    assert (run.name, run.description) == ("first", None)


def test_a_change_that_changes_nothing_is_none_to_ignore(client):
    run = te.init("acme", "Digits", "first", "about", client=client)
    run.update("first", "about")


def test_a_request_that_cannot_be_encoded_is_not_called_an_answer(client):
    te.init("acme", "Digits", "first", client=client)
    with pytest.raises(te.TellurioError) as caught:
        operations.create_project(
            connection_of(client), "acme", display_name="x", visibility=object()
        )
    assert str(caught.value) == (
        "Cannot create project: the request to http://embedded cannot be encoded, and nothing was sent: "
        "Encoding objects of type object is unsupported"
    )
    assert not isinstance(caught.value, te.InvalidResponseError)


def test_what_a_backend_does_not_keep_of_a_run_is_said_once(client, caplog, monkeypatch):
    monkeypatch.setattr(notices, "_shown", set())
    for _ in range(2):
        run = te.init(
            "acme",
            "Digits",
            config={"lr": 0.1},
            tags=["b", "a"],
            group="g",
            notes="n",
            client=client,
        )
        run.update_config({"n": 1})
        run.tag("c")
        # The program goes on as on any backend.
        assert (run.config, run.tags, run.group) == ({"lr": 0.1, "n": 1}, ("a", "b", "c"), "g")
        run.log("loss", 1)
        run.finish()
        assert run.config_changes() == []
        assert (run.status, run.ended_because) == (te.RunStatus.COMPLETED, None)
        assert run.date_ended is not None
    found = te.get_run("acme", "digits", run.name, client=client)
    assert (found.config, found.tags, found.date_ended) == ({}, (), None)
    for detail in ("config", "tags", "group", "notes"):
        assert (
            caplog.text.count(f"does not keep the {detail} of runs; use a backend that does") == 1
        )
    assert "environment" not in caplog.text


def test_filters_that_a_backend_ignores_are_applied_here(client):
    te.init("acme", "Digits", client=client).finish()
    assert list(te.runs("acme", "digits", client=client, tag="a")) == []
    assert list(te.runs("acme", "digits", client=client, group="a")) == []


def test_removing_what_a_backend_does_not_keep_changes_nothing(client):
    run = te.init("acme", "Digits", client=client)
    run.update(notes=None)
    with pytest.raises(te.InvalidResponseError, match="ignored the new notes"):
        run.update(notes="n")
