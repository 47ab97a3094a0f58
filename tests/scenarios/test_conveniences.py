"""What callers may write in a shorter way, and what a notebook shows of a run."""

import re

import pytest

import afnio_tellurio as te


@pytest.fixture(autouse=True)
def _backend(backend):
    pass


class Word(str):
    """A word of a subclass of str."""

    __slots__ = ()


@pytest.mark.parametrize("kind", [str, Word])
@pytest.mark.parametrize("word", ["COMPLETED", "CRASHED", "FAILED"])
def test_finish_and_runs_take_the_words_of_the_statuses(kind, word):
    run = te.init("acme", "Digits", status=kind("RUNNING"))
    other = te.init("acme", "Digits")
    te.finish(status=kind(word))
    assert (other.status, type(other.status)) == (te.RunStatus(word), te.RunStatus)
    # The run before was superseded.
    assert run.status is te.RunStatus.FAILED
    found = [each.uuid for each in te.runs("acme", "digits", status=kind(word))]
    assert found == ([other.uuid, run.uuid] if word == "FAILED" else [other.uuid])


@pytest.mark.parametrize(
    ("status", "error", "hint"),
    [
        ("DONE", ValueError, r"; did you mean COMPLETED\?"),
        ("crashed", ValueError, r"; did you mean CRASHED\?"),
        ("", ValueError, ""),
        (7, TypeError, ""),
    ],
)
def test_a_word_that_is_no_status_is_refused_before_anything_is_recorded(status, error, hint):
    words = f"it must be one of RUNNING, COMPLETED, CRASHED, FAILED{hint}"
    with pytest.raises(error, match=f"^init: status is {status!r}; {words}$"):
        te.init("acme", "Digits", status=status)
    run = te.init("acme", "Digits")
    with pytest.raises(error, match=f"^finish: status is {status!r}; {words}$"):
        run.finish(status=status)
    with pytest.raises(error, match=f"^runs: status is {status!r}; {words}$"):
        te.runs("acme", "digits", status=status)
    assert run.status is te.RunStatus.RUNNING


@pytest.mark.parametrize("call", [te.log, te.Run.log], ids=["te.log", "Run.log"])
def test_log_with_a_mapping_names_log_metrics(call):
    run = te.init("acme", "Digits")
    arguments = () if call is te.log else (run,)
    with pytest.raises(TypeError, match=r"^log: metric name is \{'loss': 1\}, .*log_metrics takes"):
        call(*arguments, {"loss": 1})
    with pytest.raises(TypeError, match=r"^log: metric name is .*log_metrics takes a mapping$"):
        call(*arguments, {"loss": 1}, 5)
    with pytest.raises(TypeError, match=r"^log: the value is missing; use log\(name, value\)"):
        call(*arguments, "loss")
    assert run.metrics() == {}


def test_the_address_of_a_run_is_that_of_its_page(backend):
    run = te.init("acme", "Digits", "brave_pasta_1")
    assert run.url == te.get_run("acme", "digits", run.name).url
    if backend == "over HTTP":
        # A backend without a page of its own has the platform's addresses.
        assert run.url == f"{te.TellurioClient().url}/acme/projects/digits/runs/brave-pasta-1/"
    else:
        assert run.url is None


def test_a_notebook_shows_a_run_as_a_table():
    run = te.init("acme", "Digits", "<b>\u202ename</b>", 'about "it" & more')
    run.finish(status="CRASHED")
    shown = run._repr_html_()
    text = re.sub(r"<[^>]*>", "|", shown)
    assert "&lt;b&gt;\ufffdname&lt;/b&gt;" in text
    assert "|crashed|" in text
    assert "|acme/digits|" in text
    assert "|about &quot;it&quot; &amp; more|" in text
    assert f"|{run.date_created.astimezone():%Y-%m-%d %H:%M:%S}" in text
    assert (f'<a href="{run.url}"' in shown) == (run.url is not None)


def test_the_table_has_tags_and_why_the_run_ended():
    run = te.init("acme", "Digits", tags=["<b>", "a"])
    with pytest.raises(ValueError, match="bad"), run:
        raise ValueError("<i>bad</i>")
    shown = run._repr_html_()
    assert "<bdi>&lt;b&gt;, a</bdi></td>" in shown
    assert "<bdi>ValueError: &lt;i&gt;bad&lt;/i&gt;</bdi></td>" in shown
    with te.init("acme", "Digits") as other:
        pass
    assert "Tags" not in other._repr_html_()
    assert "Ended" not in other._repr_html_()


def test_the_table_has_the_config_within_bounds():
    config = {"lr": 0.5, "layers": list(range(1000)), "<i>": {"a": [1]}}
    with te.init("acme", "Digits", description="long " * 1000, config=config) as run:
        pass
    shown = run._repr_html_()
    assert "&quot;lr&quot;: 0.5, &quot;layers&quot;: [0, 1, 2" in shown
    assert "<i>" not in shown
    assert len(shown) < 3000


def test_a_run_of_a_program_s_own_has_a_table_too():
    run = te.Run("u", "mine", None, te.RunStatus.RUNNING)
    assert "mine" in run._repr_html_()
    assert "href" not in run._repr_html_()


def test_a_notebook_shows_what_the_runs_and_the_values_of_a_call_are(monkeypatch):
    with te.init("acme", "Digits") as run:
        for step in 4, 8:
            run.log("loss", 1, step=step)
        run.log("note", "a")
    shown = "<iterator over runs of acme/digits; list() reads them, table() shows them>"
    found = te.runs("acme", "Digits")
    assert repr(found) == shown
    assert [each.uuid for each in found] == [run.uuid]
    assert repr(run.metrics("loss")) == "MetricHistory(name='loss', 2 values, steps 4 to 8)"
    assert repr(run.metrics("note")) == "MetricHistory(name='note', 1 value, steps 0 to 0)"
    assert repr(run.metrics("other")) == "MetricHistory(name='other', 0 values)"
    monkeypatch.setenv("TELLURIO_MODE", "disabled")
    assert repr(te.runs("acme", "Digits")) == shown
