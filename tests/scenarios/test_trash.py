"""What is deleted goes to the trash, is restored as it was, or is purged."""

from __future__ import annotations

import datetime as dt

import pytest

import afnio_tellurio as te

DAYS = dt.timedelta(days=1)


@pytest.fixture
def run(backend):
    with te.init(
        "acme", "Digits", "first", "about", config={"lr": 0.1}, tags=["a", "b"], group="g",
        job_type="j", notes="n",
    ) as run:  # fmt: skip
        run.log_metrics({"loss": 0.5, "text": "a value"})
        run.log("loss", float("nan"))
        run.update_config({"lr": 0.2})
    return te.get_run("acme", "Digits", run.uuid)


def content_of(run):
    """Everything that a run has."""
    found = te.get_run("acme", "Digits", run.uuid)
    return repr(
        [
            *(found.name, found.description, found.status, found.date_created, found.date_updated),
            *(found.config, found.tags, found.group, found.job_type, found.notes, found.user),
            *(found.date_ended, found.ended_because, found.environment, found.project),
            found.config_changes(),
            found.metrics(),
            found.summary(),
            found.curve("loss"),
        ]
    )


@pytest.mark.needs_extension
@pytest.mark.parametrize("by", ["name", "uuid"])
def test_a_restored_run_is_as_it_was(run, by):
    before = content_of(run)
    te.delete_run("acme", "Digits", run.name)
    assert list(te.runs("acme", "digits")) == []
    with pytest.raises(te.NotFoundError):
        te.get_run("acme", "Digits", run.uuid)
    restored = te.restore_run("acme", "Digits", getattr(run, by))
    assert (restored.uuid, restored.name) == (run.uuid, "first")
    assert content_of(run) == before
    assert te.list_trash("acme") == []
    # A request whose answer was lost is sent again.
    assert te.restore_run("acme", "Digits", run.uuid).uuid == run.uuid


@pytest.mark.needs_extension
def test_a_restored_project_is_as_it_was(run):
    with te.init("acme", "Digits", "deleted before"):
        pass
    te.delete_run("acme", "Digits", "deleted before")
    before, project = content_of(run), te.get_project("acme", "digits")
    te.delete_project("acme", "digits")
    assert te.list_projects("acme") == []
    assert te.get_project("acme", "digits") is None
    restored = te.restore_project("acme", "digits")
    assert (restored.uuid, restored.display_name) == (project.uuid, "Digits")
    assert te.get_project("acme", "digits") == project
    assert content_of(run) == before
    assert [each.name for each in te.runs("acme", "digits")] == ["first"]
    assert [item.name for item in te.list_trash("acme")] == ["deleted before"]
    assert te.restore_project("acme", "digits").uuid == project.uuid


@pytest.mark.needs_extension
def test_a_restored_run_whose_name_was_taken_gets_a_number(run):
    te.delete_run("acme", "Digits", "first")
    with te.init("acme", "Digits", "first") as second:
        assert second.name == "first"
    assert te.restore_run("acme", "Digits", "first").name == "first_1"
    found = te.get_run("acme", "Digits", run.uuid)
    assert found.name == "first_1"
    assert found.date_updated > run.date_updated


@pytest.mark.needs_extension
def test_a_project_whose_slug_was_taken_is_not_restored(run):
    te.delete_project("acme", "digits")
    te.create_project("acme", "Digits")
    with pytest.raises(te.ConflictError, match="A project with the slug digits exists in acme"):
        te.restore_project("acme", "digits")
    te.delete_project("acme", "digits", purge=True)
    te.restore_project("acme", "digits")
    assert [each.uuid for each in te.runs("acme", "digits")] == [run.uuid]


@pytest.mark.needs_extension
def test_the_trash_lists_what_was_deleted_last_first(run):
    begun = dt.datetime.now(dt.UTC)
    with te.init("acme", "Digits", "second"):
        pass
    te.create_project("acme", "Empty")
    assert te.list_trash("acme") == []
    te.delete_run("acme", "Digits", "second")
    te.delete_project("acme", "empty")
    te.delete_run("acme", "Digits", run.uuid)
    first, empty, second = te.list_trash("acme")
    assert (first.kind, first.uuid, first.name, first.project_slug) == (
        "run", run.uuid, "first", "digits",
    )  # fmt: skip
    assert (empty.kind, empty.name, empty.project_slug) == ("project", "Empty", "empty")
    assert second.name == "second"
    assert begun <= second.date_deleted <= empty.date_deleted <= first.date_deleted
    assert first.date_purged - first.date_deleted == 30 * DAYS
    assert first.bytes > second.bytes > empty.bytes == 0
    te.delete_project("acme", "digits")
    digits, empty = te.list_trash("acme")
    assert (digits.kind, digits.name) == ("project", "Digits")
    assert digits.bytes == first.bytes + second.bytes


@pytest.mark.needs_extension
@pytest.mark.parametrize("is_in_trash", [False, True])
@pytest.mark.parametrize("by", ["name", "uuid"])
def test_a_purged_run_cannot_be_restored(run, is_in_trash, by):
    if is_in_trash:
        te.delete_run("acme", "Digits", "first")
    te.delete_run("acme", "Digits", getattr(run, by), purge=True)
    assert te.list_trash("acme") == []
    with pytest.raises(te.NotFoundError, match="Cannot restore run"):
        te.restore_run("acme", "Digits", run.uuid)
    with pytest.raises(LookupError, match=r"the trash of acme/digits has no run named 'first'"):
        te.restore_run("acme", "Digits", "first")
    with pytest.raises(LookupError, match="has no run named 'first'"):
        te.delete_run("acme", "Digits", "first", purge=True)


@pytest.mark.needs_extension
@pytest.mark.parametrize("is_in_trash", [False, True])
def test_a_purged_project_cannot_be_restored(run, is_in_trash):
    if is_in_trash:
        te.delete_project("acme", "digits")
    te.delete_project("acme", "digits", purge=True)
    assert te.list_trash("acme") == []
    with pytest.raises(te.NotFoundError, match="Cannot restore project"):
        te.restore_project("acme", "digits")
    with pytest.raises(te.NotFoundError, match="Cannot delete project"):
        te.delete_project("acme", "digits", purge=True)


@pytest.mark.needs_extension
def test_a_run_of_a_deleted_project_is_restored_with_it_only(run):
    te.delete_run("acme", "Digits", "first")
    te.delete_project("acme", "digits")
    with pytest.raises(te.NotFoundError, match="Project acme/digits"):
        te.restore_run("acme", "digits", run.uuid)
    te.restore_project("acme", "digits")
    assert te.restore_run("acme", "digits", "first").uuid == run.uuid


@pytest.mark.needs_extension
def test_of_several_deleted_with_one_name_the_last_is_restored(run):
    te.delete_run("acme", "Digits", "first")
    with te.init("acme", "Digits", "first") as second:
        pass
    te.delete_run("acme", "Digits", "first")
    assert te.restore_run("acme", "digits", "first").uuid == second.uuid
    assert te.restore_run("acme", "digits", "first").uuid == run.uuid


@pytest.mark.needs_extension
def test_an_older_one_of_several_projects_is_restored_by_its_uuid(run):
    te.delete_project("acme", "digits")
    for _ in range(2):
        te.create_project("acme", "Digits")
        te.delete_project("acme", "digits")
    oldest = min(te.list_trash("acme"), key=lambda item: item.date_deleted)
    assert te.restore_project("acme", oldest.uuid).uuid == oldest.uuid
    assert te.get_run("acme", "digits", run.uuid).name == run.name
    other = te.list_trash("acme")[0]
    with pytest.raises(te.ConflictError):
        te.restore_project("acme", other.uuid)
    te.delete_project("acme", "digits")
    te.restore_project("acme", other.uuid)
    te.delete_project("acme", oldest.uuid, purge=True)
    assert oldest.uuid not in {item.uuid for item in te.list_trash("acme")}


def test_a_backend_without_a_trash_deletes_for_good(run, backend):
    if backend != "without extensions":
        pytest.skip("it has a trash")
    for call in (
        lambda: te.restore_run("acme", "Digits", run.uuid),
        lambda: te.restore_run("acme", "Digits", "first"),
        lambda: te.restore_project("acme", "digits"),
    ):
        with pytest.raises(te.TellurioError, match=r"tellurio\.db has no trash of acme"):
            call()
    assert te.list_trash("acme") == []
    te.delete_project("acme", "digits", purge=True)
    assert te.get_project("acme", "digits") is None
