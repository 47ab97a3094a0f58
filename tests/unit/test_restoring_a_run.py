"""A run that the backend lost is created again; one that was deleted is not."""

import threading
import uuid

import httpx
import pytest

import afnio_tellurio as te
from afnio_tellurio.api import operations
from afnio_tellurio.api.calling import RunPath
from afnio_tellurio.client import connection_of
from afnio_tellurio.default_client import default_client
from afnio_tellurio.delivery.restoring import restore_run
from afnio_tellurio.errors import never_had_run

RUN = "9b2f4f9e-3c0d-4b0a-8a53-5a3c8e0f7f21"

pytestmark = pytest.mark.usefixtures("backend")


def path_of(run_uuid):
    return RunPath("acme", "digits", run_uuid)


def error_of(run_uuid):
    with pytest.raises(te.NotFoundError) as raised:
        operations.update_run(
            connection_of(default_client()), path_of(run_uuid), {"status": "FAILED"}
        )
    return raised.value


def restore(run_uuid=RUN, name="r"):
    restore_run(connection_of(default_client()), path_of(run_uuid), name=name, details={})


def test_a_run_is_restored_with_its_project_under_its_uuid():
    assert never_had_run(error_of(RUN))
    restore(RUN.upper())
    run = te.get_run("acme", "digits", RUN)
    assert (run.uuid, run.name, run.status) == (RUN, "r", te.RunStatus.RUNNING)
    project = te.get_project("acme", "digits")
    assert (project.slug, project.display_name, project.visibility) == (
        "digits",
        "digits",
        "RESTRICTED",
    )


def test_a_project_that_is_there_stays_as_it_is():
    te.create_project("acme", "Digits", "PUBLIC")
    restore()
    project = te.get_project("acme", "digits")
    assert (project.display_name, project.visibility) == ("Digits", "PUBLIC")


def test_a_run_that_is_there_stays_as_it_is():
    with te.init("acme", "Digits", "first") as run:
        run.log("loss", 1)
    restore(run.uuid, "another")
    restore(run.uuid, "another")
    (found,) = te.runs("acme", "Digits")
    assert (found.uuid, found.name, found.status) == (run.uuid, "first", te.RunStatus.COMPLETED)
    assert found.metrics("loss").values == [1]


def test_many_threads_restore_one_run():
    connection, together, errors = connection_of(default_client()), threading.Barrier(8), []

    def work():
        together.wait()
        try:
            restore_run(connection, path_of(RUN), name="r", details={})
        except te.TellurioError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [(run.uuid, run.name) for run in te.runs("acme", "digits")] == [(RUN, "r")]


def test_a_project_that_another_process_creates_meanwhile_is_used(monkeypatch):
    create_project = operations.create_project

    def overtaken(*arguments, **keywords):
        monkeypatch.setattr(operations, "create_project", create_project)
        te.create_project("acme", "Digits", "PUBLIC")
        return create_project(*arguments, **keywords)

    monkeypatch.setattr(operations, "create_project", overtaken)
    restore()
    assert te.get_run("acme", "digits", RUN).project.display_name == "Digits"


def test_a_deleted_run_is_told_from_one_that_never_was_and_is_not_restored():
    run = te.init("acme", "Digits", "first")
    run.finish()
    te.delete_run("acme", "digits", run.uuid)
    assert not never_had_run(error_of(run.uuid))
    with pytest.raises(te.ConflictError, match="was deleted"):
        restore(run.uuid)
    te.delete_project("acme", "digits")
    with pytest.raises(te.ConflictError, match="was deleted"):
        restore(run.uuid)


def test_a_run_of_another_project_is_not_restored():
    run = te.init("acme", "Other", "first")
    run.finish()
    assert not never_had_run(error_of(run.uuid))
    with pytest.raises(te.ConflictError, match="belongs to another project"):
        restore(run.uuid)


def test_without_its_namespace_a_run_is_not_restored(backend):
    connection, path = connection_of(default_client()), RunPath("nobody", "digits", RUN)
    if backend == "in process":
        restore_run(connection, path, name="r", details={})
        assert operations.get_run(connection, path).name == "r"
        return
    with pytest.raises(te.NotFoundError, match="Namespace nobody not found"):
        restore_run(connection, path, name="r", details={})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"detail": "x", "deleted": false}', True),
        (b'{"detail": "x", "deleted": true}', False),
        (b'{"detail": "x"}', False),
        (b'{"deleted": null}', False),
        (b'{"deleted": 0}', False),
        (b'{"deleted": "false"}', False),
        (b"[false]", False),
        (b"false", False),
        (b"<html>deleted: false</html>", False),
        (b"\xff\xfe\xff", False),
        (b"[" * 100_000, False),
        (b"", False),
    ],
)
def test_only_the_word_of_the_backend_counts(body, expected):
    response = httpx.Response(404, content=body, request=httpx.Request("GET", "http://backend"))
    error = te.NotFoundError(response, operation="getRun", identifiers={})
    assert never_had_run(error) is expected


def test_a_backend_that_ignores_the_uuid_is_not_taken_for_one_that_restored(monkeypatch):
    create_run, keys = operations.create_run, []

    def ignoring(*path, run_uuid, **about):
        assert run_uuid == RUN
        keys.append(about["idempotency_key"])
        return create_run(*path, **about)

    monkeypatch.setattr(operations, "create_run", ignoring)
    for _ in range(2):
        with pytest.raises(te.InvalidResponseError, match=f"create the run {RUN} and created"):
            restore()
    assert len(set(keys)) == 1
    assert uuid.UUID(keys[0])
    assert len(list(te.runs("acme", "digits"))) == 1
