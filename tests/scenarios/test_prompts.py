"""Prompts: logged as versions, read where they are used, also without a backend."""

import json

import pytest

import afnio_tellurio as te
from afnio_tellurio.api import artifact_operations as operations

pytestmark = pytest.mark.needs_extension

PLACE = "acme/digits/judge"
MESSAGES = [
    {"role": "system", "content": "Judge the answer."},
    {"role": "user", "content": [{"type": "text", "text": "née {answer}"}], "name": "a"},
]


@pytest.fixture(autouse=True)
def _backend(backend):
    pass


@pytest.fixture
def run():
    with te.init("acme", "Digits", "first") as run:
        yield run


@pytest.fixture
def unreachable(monkeypatch):
    """Returns a function after which no version of an artifact can be read."""

    def fail(error=None):
        def raise_error(*_arguments, **_options):
            raise error or te.BackendUnreachableError("getArtifactVersion: no connection")

        monkeypatch.setattr(operations, "get_artifact_version", raise_error)

    return fail


@pytest.fixture
def warnings(caplog):
    """The warnings so far."""
    caplog.set_level("WARNING", "afnio_tellurio")
    return lambda: [record.getMessage() for record in caplog.records]


def inputs_of(run):
    return [f"{link.artifact}:{link.version}" for link in run.inputs()]


# Logging


def test_a_text_comes_back_as_it_was(run):
    text = "Judge the answer.\r\nBe brief: \u2028 {answer}\n"
    artifact = te.log_prompt(
        "judge", text, aliases=["production"], metadata={"score": 0.5}, description="short",
        wait=True,
    )  # fmt: skip
    assert (artifact.version, artifact.type, artifact.description) == ("v0", "prompt", "short")
    assert [file.path for file in artifact.files] == ["prompt.txt"]
    prompt = te.get_prompt("judge:production")
    assert prompt == te.Prompt("judge", "v0", text, None, {"score": 0.5})
    assert not prompt.is_fallback
    assert [link.artifact for link in run.outputs()] == ["judge"]


def test_messages_come_back_as_they_were(run):
    artifact = run.log_prompt("judge", MESSAGES, wait=True)
    prompt = te.get_prompt("judge")
    assert (prompt.text, prompt.messages) == (None, MESSAGES)
    assert artifact.read_text("messages.json") == json.dumps(
        MESSAGES, ensure_ascii=False, indent=2
    ) + "\n"  # fmt: skip


def test_messages_with_their_fields_in_another_order_are_the_same_version(run):
    run.log_prompt("judge", MESSAGES, wait=True)
    turned = tuple(dict(reversed(message.items())) for message in MESSAGES)
    assert run.log_prompt("judge", turned, wait=True).version == "v0"
    assert run.log_prompt("judge", MESSAGES[:1], wait=True).version == "v1"


def test_only_some_versions_are_kept(run):
    for number in range(4):
        run.log_prompt("judge", f"{number}", keep=2, aliases=["first"] if not number else [])
    run.flush()
    te.get_artifact("acme/digits/judge")
    versions = te.list_artifact_versions("acme", "digits", "judge")
    assert [version.version for version in versions] == ["v3", "v2", "v0"]


def test_nothing_that_is_no_prompt_is_logged(run):
    for prompt, message in [
        (3, "prompt is of type int; it must be a string, or a list of messages"),
        (b"a", "prompt is of type bytes"),
        ({"role": "user", "content": "a"}, "prompt is of type dict"),
        (["a"], r"prompt\[0\] is of type str; a message must be a mapping with role and content"),
        ([{"role": 3, "content": "a"}], r"prompt\[0\]\['role'\] is 3"),
        ([{"role": "user", "content": {1}}], r"prompt\[0\]\['content'\] is of type set"),
    ]:
        with pytest.raises(TypeError, match=f"^log_prompt: {message}"):
            run.log_prompt("judge", prompt)
    for prompt, message in [
        ([], "prompt is an empty list; pass one message or more"),
        ([*MESSAGES, {"role": "user"}], r"prompt\[2\] has no 'content'; add it"),
        ([{"content": "a"}], r"prompt\[0\] has no 'role'; add it"),
        ([{"role": "user", "content": float("nan")}], "prompt contains NaN or an infinity"),
        ("\ud800", r"prompt contains .* half of a surrogate pair"),
    ]:
        with pytest.raises(ValueError, match=f"^log_prompt: {message}"):
            run.log_prompt("judge", prompt)
    with pytest.raises(ValueError, match="^log_prompt: artifact name is 'a/b'"):
        run.log_prompt("a/b", "text")
    with pytest.raises(ValueError, match="^log_prompt: metadata has a value 'parents'; pass par"):
        run.log_prompt("judge", "text", metadata={"parents": []})
    with pytest.raises(ValueError, match="^log_prompt: keep is 0; it must be 1 or more"):
        run.log_prompt("judge", "text", keep=0)
    with pytest.raises(TypeError, match="^log_prompt: aliases is 'a'"):
        run.log_prompt("judge", "text", aliases="a")
    run.flush()
    assert run.outputs() == []


def test_a_finished_run_takes_no_prompt(run):
    run.finish()
    with pytest.raises(te.RunFinishedError):
        run.log_prompt("judge", "text")


# Parents


def test_parents_are_recorded_as_versions_and_inputs():
    with te.init("acme", "Digits", "earlier") as earlier:
        first = earlier.log_prompt("judge", "first", aliases=["best"], wait=True)
        earlier.log_prompt("judge", "second", wait=True)
        earlier.log_prompt("other", "third", wait=True)
    with te.init("acme", "Digits", "optimizer") as run:
        parents = [first, "judge:v1", "judge:best", "other", "acme/digits/judge:v0"]
        child = run.log_prompt("judge", "child", parents=parents, wait=True)
        assert child.metadata == {"parents": ["judge:v0", "judge:v1", "other:v0"]}
        assert inputs_of(run) == ["judge:v0", "judge:v1", "other:v0"]
        assert [link.version for link in run.outputs()] == ["v2"]
    assert [link.run_name for link in te.get_artifact(PLACE + ":v0").consumers] == ["optimizer"]


def test_a_parent_that_is_being_uploaded_is_recorded_by_its_digest(run, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("afnio_tellurio.delivery.file_outbox.FileOutbox.wake", lambda _self: None)
        first = run.log_prompt("judge", "first")
        child = run.log_prompt("judge", "child", parents=[first])
        reference = f"judge:sha256:{first.digest}"
        assert child.metadata == {"parents": [reference]}
        again = run.log_prompt("judge", "again", parents=[reference])
    assert again.wait().metadata == {"parents": [reference]}
    assert inputs_of(run) == ["judge:v0"]
    assert te.get_prompt(reference).text == "first"


def test_a_parent_in_another_project_is_recorded_in_the_metadata_only():
    with te.init("acme", "Other", "earlier") as earlier:
        first = earlier.log_prompt("judge", "first", wait=True)
    with te.init("acme", "Digits", "optimizer") as run:
        child = run.log_prompt("judge", "child", parents=[first, "other/judge:v0"], wait=True)
        assert child.metadata == {"parents": ["acme/other/judge:v0"]}
        assert run.inputs() == []


def test_parents_that_cannot_be_found_are_refused(run):
    for parents in ("judge:v0", te.Artifact("judge"), 3):
        with pytest.raises(TypeError, match="^log_prompt: parents is of type"):
            run.log_prompt("judge", "text", parents=parents)
    with pytest.raises(ValueError, match="^log_prompt: artifact is 'a b'; pass name"):
        run.log_prompt("judge", "text", parents=["a b"])
    with pytest.raises(ValueError, match=r"^log_prompt: parents has .* log it first"):
        run.log_prompt("judge", "text", parents=[te.Artifact("judge", "prompt")])
    with pytest.raises(te.NotFoundError):
        run.log_prompt("judge", "text", parents=["judge:best"])
    run.flush()
    assert run.outputs() == []


def test_a_parent_that_does_not_exist_is_reported_when_it_is_delivered(run, warnings):
    run.log_prompt("judge", "text", parents=["judge:v7"], wait=True)
    run.flush()
    assert run.inputs() == []
    (warning,) = warnings()
    assert "the input judge:v7 was not recorded" in warning


# Differences


def test_a_diff_shows_the_lines_that_differ(run):
    old = run.log_prompt("judge", "Judge it.\nBe brief.\n")
    new = run.log_prompt("judge", "Judge it.\nBe fair.")
    assert old.diff(new) == (
        "--- judge:v0/prompt.txt\n"
        "+++ judge:v1/prompt.txt\n"
        "@@ -1,2 +1,2 @@\n"
        " Judge it.\n"
        "-Be brief.\n"
        "+Be fair.\n"
        "\\ No newline at end of file\n"
    )
    assert new.diff(new) == ""


def test_a_diff_of_messages_is_readable(run):
    old = run.log_prompt("judge", MESSAGES)
    changed = [MESSAGES[0] | {"content": "Judge."}, MESSAGES[1]]
    lines = old.diff(run.log_prompt("judge", changed)).splitlines()
    assert '-    "content": "Judge the answer."' in lines
    assert '+    "content": "Judge."' in lines
    assert sum(line.startswith(("+", "-")) for line in lines) == 4


def test_a_diff_has_files_that_one_version_lacks_and_names_others(run):
    old = te.Artifact("data").add_text("a\n", "a.txt").add_bytes(b"\0", "b").add_text("c", "c")
    new = te.Artifact("data").add_bytes(b"\0\0", "b").add_text("c", "c").add_text("", "d")
    run.log_artifact(old, wait=True)
    run.log_artifact(new, wait=True)
    assert old.diff(new) == (
        "--- data:v0/a.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n"
        "Files data:v0/b and data:v1/b differ\n"
        "Files /dev/null and data:v1/d differ\n"
    )


def test_a_diff_of_what_was_not_logged_is_an_error(run):
    with pytest.raises(te.TellurioError, match="has not been logged"):
        run.log_prompt("judge", "text").diff(te.Artifact("judge"))


# Reading


def test_a_read_prompt_is_an_input_of_the_active_run(run):
    run.log_prompt("judge", "text", wait=True)
    run.finish()
    te.get_prompt(PLACE)
    with te.init("acme", "Digits", "second") as second:
        for _ in range(3):
            assert te.get_prompt("judge").text == "text"
        assert inputs_of(second) == ["judge:v0"]
    with te.init("acme", "Other", "third") as third:
        assert te.get_prompt("digits/judge").text == "text"
        assert third.inputs() == []


def test_an_alias_that_moves_is_followed(run):
    run.log_prompt("judge", "first", aliases=["production"], wait=True)
    assert te.get_prompt("judge:production").text == "first"
    run.log_prompt("judge", "second", aliases=["production"], wait=True)
    assert te.get_prompt("judge:production").text == "second"
    assert te.get_prompt("judge:v0").text == "first"


def test_a_prompt_that_was_read_is_not_downloaded_again(run, monkeypatch):
    run.log_prompt("judge", "text", aliases=["production"], wait=True)
    te.get_prompt("judge:production")

    def fail(*_arguments):
        raise AssertionError("it was downloaded")

    monkeypatch.setattr(operations, "download_artifact_file", fail)
    assert te.get_prompt("judge:v0").text == "text"
    monkeypatch.setattr(operations, "list_artifact_files", fail)
    assert te.get_prompt("judge:production").text == "text"


def test_without_a_backend_the_last_prompt_is_used(run, unreachable, warnings):
    run.log_prompt("judge", MESSAGES, aliases=["production"], metadata={"a": float("nan")})
    before = te.get_prompt("judge:production")
    unreachable()
    after = te.get_prompt("judge:production", fallback="other")
    assert (after.version, after.messages, after.is_fallback) == ("v0", MESSAGES, False)
    assert repr(after.metadata) == repr(before.metadata) == "{'a': nan}"
    assert te.get_prompt("acme/digits/judge:production").version == "v0"
    assert warnings()[0] == (
        "get_prompt: 'judge:production' could not be read (getArtifactVersion: no connection); "
        "judge:v0, which was read before, is used"
    )


def test_without_a_backend_another_reference_has_the_fallback(run, unreachable, warnings):
    run.log_prompt("judge", "text", wait=True)
    te.get_prompt("judge")
    unreachable()
    fallback = te.get_prompt("judge:production", fallback="other")
    assert fallback == te.Prompt("judge", None, "other", None, {}, is_fallback=True)
    assert te.get_prompt("judge:best", fallback=MESSAGES).messages == MESSAGES
    with pytest.raises(te.BackendUnreachableError):
        te.get_prompt("judge:production")
    assert len(warnings()) == 2
    assert warnings()[0].endswith("; the fallback is used")


def test_a_prompt_that_was_deleted_is_still_used(run, warnings):
    artifact = run.log_prompt("judge", "text", wait=True)
    te.get_prompt("judge:v0")
    run.flush()
    artifact.delete()
    assert te.get_prompt("judge:v0").text == "text"
    assert len(warnings()) == 1


def test_a_prompt_that_does_not_exist_is_an_error_or_the_fallback(run):
    with pytest.raises(te.NotFoundError):
        te.get_prompt("judge")
    with pytest.raises(LookupError):
        te.get_prompt(f"sha256:{'0' * 64}")
    assert te.get_prompt("judge", fallback="other").is_fallback


def test_a_mistake_is_an_error_also_with_a_fallback(run):
    run.log_artifact(b"1", "data", wait=True)
    with pytest.raises(ValueError, match="^get_prompt: artifact 'data' is of type 'file'"):
        te.get_prompt("data", fallback="other")
    with pytest.raises(TypeError, match="^get_prompt: fallback is of type int"):
        te.get_prompt("judge", fallback=3)
    with pytest.raises(ValueError, match="^get_prompt: artifact is 'a b'"):
        te.get_prompt("a b", fallback="other")
    run.finish()
    with pytest.raises(ValueError, match="^get_prompt: artifact is 'judge', and no run is active"):
        te.get_prompt("judge", fallback="other")


@pytest.mark.parametrize(
    ("data", "path", "message"),
    [
        (b"[1]", "messages.json", "is not a list of messages"),
        (b"[", "messages.json", "is not a list of messages"),
        (b"\xff", "prompt.txt", "is not text in UTF-8"),
        (b"1", "other.txt", "has no prompt.txt and no messages.json"),
    ],
)
def test_a_version_without_a_prompt_is_an_error_or_the_fallback(run, data, path, message):
    run.log_artifact(te.Artifact("judge", "prompt").add_bytes(data, path), wait=True)
    with pytest.raises(te.TellurioError, match=message):
        te.get_prompt("judge")
    assert te.get_prompt("judge", fallback="other").text == "other"


def test_a_damaged_record_of_the_last_prompt_is_not_used(run, home, unreachable):
    run.log_prompt("judge", "some text", wait=True)
    te.get_prompt("judge")
    (record,) = (home / "cache" / "prompts").iterdir()
    record.write_bytes(record.read_bytes().replace(b"some text", b"same text"))
    assert te.get_prompt("judge").text == "some text"
    record.write_bytes(record.read_bytes()[:-5])
    unreachable()
    assert te.get_prompt("judge", fallback="other").is_fallback


def test_a_cache_that_cannot_be_written_is_no_error(run, home, monkeypatch, warnings):
    run.log_prompt("judge", "text", wait=True)
    (home / "cache").write_text("in the way")
    assert te.get_prompt("judge").text == "text"
    (warning,) = warnings()
    assert warning.startswith("get_prompt: judge:v0 is not kept for times without a backend: ")


def test_an_input_that_cannot_be_recorded_is_no_error(run, monkeypatch, warnings):
    run.log_prompt("judge", "text", wait=True)

    def fail(*_arguments):
        raise OSError("the disk is full")

    monkeypatch.setattr("afnio_tellurio.delivery.file_outbox.FileOutbox.log_use", fail)
    assert te.get_prompt("judge").text == "text"
    (warning,) = warnings()
    assert warning.startswith("get_prompt: the input of run 'first' was not recorded: ")


def test_while_tracking_is_disabled_there_is_the_fallback_only(monkeypatch, warnings):
    monkeypatch.setenv("TELLURIO_MODE", "disabled")
    for _ in range(2):
        assert te.get_prompt(PLACE, fallback="other").text == "other"
        with pytest.raises(te.TellurioError, match="^get_prompt: tracking is disabled"):
            te.get_prompt(PLACE)
        run = te.init("acme", "Digits")
    assert run.log_prompt("judge", "text", parents=["judge"], wait=True).version is None
    with pytest.raises(TypeError):
        run.log_prompt("judge", 3)
    assert warnings() == []
