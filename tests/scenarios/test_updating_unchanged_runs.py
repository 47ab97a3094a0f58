"""`Run.update(if_unchanged=True)`: nobody's change is overwritten."""

import pickle

import exchanges
import pytest

import afnio_tellurio as te


@pytest.fixture
def run(backend):
    return te.init("acme", "Digits", "first", "about")


@pytest.fixture
def asked(monkeypatch):
    """The requests of each exchange, also on the backend without extensions."""
    requests = []
    check = exchanges._check_request

    def note(request):
        requests.append((request.method, request.headers.get("If-Match")))
        return check(request)

    monkeypatch.setattr(exchanges, "_check_request", note)
    return requests


def read(run, how):
    if how == "init":
        return run
    if how == "runs":
        return next(te.runs("acme", "Digits"))
    return te.get_run("acme", "Digits", run.uuid if how == "UUID" else "first")


HOWS = ["init", "UUID", "name", "runs"]


@pytest.mark.needs_extension
@pytest.mark.parametrize("how", HOWS)
def test_a_run_that_nobody_changed_is_updated_again_and_again(run, how):
    mine = read(run, how)
    run.log("loss", 1)
    run.flush()
    for text in ("a", "b"):
        mine.update(description=text, if_unchanged=True)
    assert te.get_run("acme", "Digits", "first").description == "b"


@pytest.mark.needs_extension
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("change", ["name", "description", "status"])
def test_a_run_that_somebody_changed_is_not_updated(run, how, change):
    mine = read(run, how)
    other = te.get_run("acme", "Digits", "first")
    if change == "status":
        te.attach("acme", "Digits", "first").finish()
        # The run of `init` is ended by its own process.
        if how == "init":
            return
    else:
        other.update(**{change: "theirs"})
    with pytest.raises(te.RunChangedError) as caught:
        mine.update("mine", "mine", if_unchanged=True)
    error = caught.value
    assert str(error).startswith(
        "update: run 'first' was changed since this program read it, and this update changed "
        "nothing; read the run again with get_run, and update that (Cannot update run ("
    )
    assert (error.status_code, error.code) == (412, "precondition_failed")
    assert isinstance(error, te.ApiError)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert (mine.name, mine.description) == ("first", "about")
    again = te.get_run("acme", "Digits", run.uuid)
    assert "mine" not in {again.name, again.description}
    again.update(description="mine", if_unchanged=True)
    assert te.get_run("acme", "Digits", run.uuid).description == "mine"


@pytest.mark.needs_extension
def test_the_end_and_the_resumption_of_the_own_run_are_no_changes_of_others(run):
    run.finish()
    run.update(description="a", if_unchanged=True)
    resumed = te.init("acme", "Digits", "first", resume=True)
    resumed.update(description="b", if_unchanged=True)
    with pytest.raises(te.RunChangedError):
        run.update(description="c", if_unchanged=True)
    resumed.finish()
    resumed.update(description="d", if_unchanged=True)


@pytest.mark.needs_extension
def test_without_the_argument_the_last_update_wins_and_sends_no_tag(run, asked):
    other = te.get_run("acme", "Digits", "first")
    run.update(description="theirs")
    asked.clear()
    other.update(description="mine")
    assert asked == [("PATCH", None)]
    assert te.get_run("acme", "Digits", "first").description == "mine"
    asked.clear()
    other.update(description="mine", if_unchanged=True)
    ((method, tag),) = asked
    assert (method, tag[0]) == ("PATCH", '"')


@pytest.mark.needs_extension
def test_the_end_of_a_run_needs_no_tag(run, asked):
    te.get_run("acme", "Digits", "first").update(description="theirs")
    run.finish()
    assert {tag for method, tag in asked if method == "PATCH"} == {None}
    assert te.get_run("acme", "Digits", "first").status == "COMPLETED"


@pytest.mark.parametrize("how", HOWS)
def test_a_backend_without_tags_is_named_before_anything_is_sent(run, backend, asked, how):
    if backend != "without extensions":
        return
    mine = read(run, how)
    asked.clear()
    with pytest.raises(te.TellurioError, match="does not answer with the etag of run 'first'"):
        mine.update(description="mine", if_unchanged=True)
    assert asked == []


def test_a_disabled_run_is_updated(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "disabled")
    run = te.init("acme", "Digits", "first")
    run.update(description="a", if_unchanged=True)
    assert run.description == "a"


def test_the_argument_is_named(run):
    with pytest.raises(TypeError):
        run.update("a", "b", None, True)  # noqa: FBT003
