"""What calls pass about artifacts and files: what is wrong is named, and nothing is recorded."""

import os
import re
import sys

import pytest

import afnio_tellurio as te
from afnio_tellurio.tracking.artifact_arguments import Reference, checked_aliases, parse_reference

DIGEST = "ab" * 32


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("data", (None, None, "data", "latest")),
        ("data:v3", (None, None, "data", "v3")),
        ("my.data-1:best", (None, None, "my.data-1", "best")),
        ("digits/data:best", (None, "digits", "data", "best")),
        ("acme/digits/data", ("acme", "digits", "data", "latest")),
        (f"sha256:{DIGEST}", (None, None, None, f"sha256:{DIGEST}")),
        (f"acme/digits/data:sha256:{DIGEST}", ("acme", "digits", "data", f"sha256:{DIGEST}")),
    ],
)
def test_a_reference_has_up_to_four_parts(text, reference):
    assert parse_reference("use_artifact", text) == Reference(*reference)


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "data:", ":v3", "/data", "a/b/c/data", "a//data", "data/", "da ta", ".data", "-data",
        "data:v3:v4", "data:../x", "../data", "a/../data", "a b/data", "a?/data", "sha256:abc", f"sha256:{DIGEST.upper()}", f"data:sha256:{DIGEST}0",
        "a" * 129, "ä", "data\n", "data:best\n",
    ],
)  # fmt: skip
def test_an_invalid_reference_is_named_with_the_forms(text):
    with pytest.raises(ValueError, match=r"^use_artifact: artifact is .*; pass name, name:v3"):
        parse_reference("use_artifact", text)


@pytest.mark.parametrize("value", [None, 3, b"data", ["data"]])
def test_a_reference_is_a_string(value):
    with pytest.raises(TypeError, match="^use_artifact: artifact is .* must be a string"):
        parse_reference("use_artifact", value)


def test_each_alias_is_passed_once():
    assert checked_aliases("alias", iter(["b", "a", "b"])) == ["b", "a"]


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    return te.init("acme", "Digits")


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    (root / "a.txt").write_text("a")
    return root


ARGUMENTS = [
    ({"name": ""}, ValueError, "artifact name is ''"),
    ({"name": "../x"}, ValueError, "artifact name is '../x'"),
    ({"name": "a" * 129}, ValueError, "artifact name is 'aaa"),
    ({"name": 3}, TypeError, "artifact name is 3"),
    ({"type": ""}, ValueError, "type"),
    ({"type": "a" * 65}, ValueError, "type has 65 characters; it may have up to 64"),
    ({"type": None}, TypeError, "type is None"),
    ({"aliases": "best"}, TypeError, r"aliases is 'best'; it must be a list of strings"),
    ({"aliases": 3}, TypeError, "aliases is 3"),
    ({"aliases": [3]}, TypeError, "alias is 3"),
    ({"aliases": ["a b"]}, ValueError, "alias is 'a b'"),
    ({"aliases": ["latest"]}, ValueError, "latest always names the newest"),
    ({"aliases": ["v3"]}, ValueError, "alias is 'v3', which is like a version"),
    ({"aliases": [f"a{n}" for n in range(101)]}, ValueError, "101 aliases .* up to 100"),
    ({"metadata": [1]}, TypeError, "metadata is of type list; it must be a mapping"),
    ({"metadata": {"a": object()}}, TypeError, r"metadata\['a'\]"),
    ({"metadata": {3: 1}}, TypeError, "metadata"),
    ({"metadata": {"a": "x" * 65_536}}, ValueError, "metadata has .* bytes as JSON; .* 65,536"),
    ({"description": 3}, TypeError, "description is 3"),
    ({"description": "x" * 65_537}, ValueError, "description has 65,537 characters"),
    ({"include": "*.txt"}, TypeError, r"include is '\*.txt'; it must be a list"),
    ({"include": ["*.pt"]}, ValueError, "no files to log; check include and exclude"),
    ({"exclude": ["!a"]}, ValueError, "exclude: the pattern '!a'"),
    ({"symlinks": "all"}, ValueError, "symlinks is 'all'"),
    ({"keep": 0}, ValueError, "keep is 0; it must be 1 or more"),
    ({"keep": True}, TypeError, "keep is True; it must be an integer"),
    ({"keep": "3"}, TypeError, "keep is '3'"),
    ({"capture": "move"}, ValueError, "capture is 'move'"),
    ({"wait": "yes"}, TypeError, "wait is 'yes'; it must be True or False"),
    ({"include": 5}, TypeError, "include is 5; it must be a list of patterns"),
    ({"exclude": 0}, TypeError, "exclude is 0; it must be a list of patterns"),
]
#: These are checked where files are listed, also for other callers.
OF_FOLDERS = {"include", "exclude", "symlinks"}


@pytest.mark.parametrize(("keywords", "kind", "words"), ARGUMENTS)
def test_an_invalid_argument_is_named_and_nothing_is_recorded(
    run, folder, home, keywords, kind, words
):
    call = "" if OF_FOLDERS & keywords.keys() else "log_artifact: "
    with pytest.raises(kind, match=f"{call and '^'}{call}.*{words}"):
        run.log_artifact(folder, **keywords)
    assert files_of_journals(home) == []


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda _run: te.Artifact("a b"), ValueError, "Artifact: artifact name is 'a b'"),
        (lambda run: run.log_prompt("a b", "x"), ValueError, "log_prompt: artifact name is 'a b'"),
        (lambda run: run.log_prompt("a", "x", wait=1), TypeError, "log_prompt: wait is 1"),
        (lambda run: run.log_prompt("a", "x", keep=0), ValueError, "log_prompt: keep is 0"),
        (lambda run: run.log_image("a", b"", step=-1), ValueError, "log_image: "),
        (lambda run: run.log_text("a", "x", step=-1), ValueError, "log_text: step is -1"),
        (lambda run: run.log_text("../a", "x"), ValueError, "log_text: name is '../a'"),
        (lambda run: run.open_file("a", step="1"), TypeError, "open_file: step is '1'"),
        (lambda run: run.log("a", 1, step=-1), ValueError, "log: step is -1"),
    ],
)
def test_an_error_begins_with_the_function_that_was_called(run, call, kind, words):
    with pytest.raises(kind, match=f"^{re.escape(words)}"):
        call(run)


def test_an_ended_run_names_the_function_that_was_called(run):
    run.finish()
    with pytest.raises(te.RunFinishedError, match="^log_prompt: "):
        run.log_prompt("judge", "words")


def test_a_name_from_a_path_that_cannot_be_one_asks_for_a_name(run, tmp_path):
    (tmp_path / "my file.txt").write_text("a")
    with pytest.raises(
        ValueError, match=r"^log_artifact: artifact name is 'my file.txt'.*; pass name"
    ):
        run.log_artifact(tmp_path / "my file.txt")


def test_the_same_path_twice_must_have_the_same_content(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    artifact = te.Artifact("data")
    artifact.add_text("words", "b").add_text("words", "b").add_bytes(b"words", "b")
    artifact.add_file(tmp_path / "a.txt").add_dir(tmp_path)
    artifact.add_reference("s3://acme/c").add_reference("s3://acme/c")
    for add in (
        lambda: artifact.add_text("others", "b"),
        lambda: artifact.add_bytes(b"a", "a.txt"),
        lambda: artifact.add_file(tmp_path / "a.txt", "c"),
        lambda: artifact.add_reference("s3://other/c"),
    ):
        with pytest.raises(ValueError, match=r"^add_\w+: .* has another file with the path '"):
            add()


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("https://host/a?x=1", "a"),
        ("https://host/a/b.csv?x=1/2#part", "b.csv"),
        ("https://host/a/#part", "a"),
        ("s3://acme/folder/", "folder"),
    ],
)
def test_the_name_of_a_reference_leaves_out_the_query(run, uri, path):
    artifact = run.log_artifact(te.Artifact("data").add_reference(uri))
    assert [(file.path, file.reference) for file in artifact.files] == [(path, uri)]


def test_an_address_without_a_name_asks_for_one():
    with pytest.raises(ValueError, match=r"^add_reference: name is '': .*; pass name$"):
        te.Artifact("data").add_reference("?x=1")


def test_a_path_that_does_not_exist_is_named_as_it_was_passed(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    for path, kind in (("no/such/file.bin", FileNotFoundError), ("loop", OSError)):
        for call in (run.log_artifact, run.log_file, te.Artifact("data").add_dir):
            with pytest.raises(kind, match=f"'{path}' cannot be read"):
                call(path)


def files_of_journals(home):
    """Captured files, and journals of files with a line after their first."""
    found = [path for path in (home / "journals").rglob("*") if "files" in path.name]
    return [
        path
        for path in found
        if (path.is_dir() and list(path.iterdir()))
        or (path.is_file() and path.suffix == ".ndjson" and len(path.read_bytes().splitlines()) > 1)
    ]  # fmt: skip


def test_what_is_recorded_would_be_found(run, folder, home):
    # A backend in another process would be needed for it to stay.
    from afnio_tellurio.delivery.file_transfer import FileTransfer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FileTransfer, "step", lambda *_: (_ for _ in ()).throw(te.TellurioError("x")))
        run.log_artifact(folder)
        assert files_of_journals(home)


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        (3, TypeError, "source is of type int; it must be a path, a list of paths, bytes, or an Art"),
        (None, TypeError, "source is of type NoneType"),
        ({"a": 1}, TypeError, "source is of type dict"),
        ([], ValueError, "a list of files has no name of its own; pass name"),
        (b"1", ValueError, "bytes have no name of their own; pass name"),
        ("missing", FileNotFoundError, "missing"),
    ],
)  # fmt: skip
def test_an_invalid_source_is_named(run, home, source, kind, words):
    with pytest.raises(kind, match=words):
        run.log_artifact(source)
    assert files_of_journals(home) == []


def test_an_invalid_item_of_a_list_is_named(run):
    with pytest.raises(TypeError, match="source is of type int"):
        run.log_artifact([3], "data")


def test_a_list_without_files_is_refused(run):
    with pytest.raises(ValueError, match="artifact 'data' has no files to log"):
        run.log_artifact([], "data")


def test_a_name_that_differs_from_that_of_the_artifact_is_refused(run):
    built = te.Artifact("data").add_bytes(b"1", "a")
    with pytest.raises(ValueError, match="name is 'other', but the artifact has the name 'data'"):
        run.log_artifact(built, "other")


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes need rights there")
def test_what_is_not_a_regular_file_is_named(run, folder, home, tmp_path):
    os.mkfifo(folder / "pipe")
    with pytest.raises(ValueError, match="pipe"):
        run.log_artifact(folder)
    (folder / "pipe").unlink()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(ValueError, match=r"link' leads out of .*; exclude it"):
        run.log_artifact(folder)
    (folder / "link").unlink()
    (folder / "A.txt").write_text("on Windows, this is a.txt")
    with pytest.raises(ValueError, match=r"'A.txt' and 'a.txt' are the same on some systems"):
        run.log_artifact(folder)
    assert files_of_journals(home) == []


PATHS = ["", "/a", "../a", "a/../b", "a//b", "a\\b", "C:a", "con", "a\0b", "a.", "\ud800"]


@pytest.mark.parametrize("path", PATHS)
def test_an_unsafe_path_is_refused_by_each_call(run, folder, home, path):
    built = te.Artifact("data")
    calls = {
        "add_file": lambda: built.add_file(folder / "a.txt", path),
        "add_bytes": lambda: built.add_bytes(b"", path),
        "add_text": lambda: built.add_text("", path),
        "add_reference": lambda: built.add_reference("s3://a", path),
        "add_dir": lambda: built.add_dir(folder, path),
        "log_file": lambda: run.log_file(folder / "a.txt", path),
        "log_image": lambda: run.log_image(path, b"GIF8"),
        "log_audio": lambda: run.log_audio(path, b"OggS"),
        "log_text": lambda: run.log_text(path, "a"),
        "log_html": lambda: run.log_html(path, "a"),
    }
    for name, call in calls.items():
        with pytest.raises(ValueError, match=f"^{name}: name"):
            call()
    with pytest.raises(ValueError, match="has no files to log"):
        run.log_artifact(built)
    assert files_of_journals(home) == []


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda new: new.add_bytes("text", "a"), TypeError, "add_bytes: data is of type str"),
        (lambda new: new.add_text(b"", "a"), TypeError, "add_text: text is b''"),
        (lambda new: new.add_reference(3), TypeError, "add_reference: uri is 3"),
        (lambda new: new.add_reference(""), ValueError, "add_reference: uri has 0 characters"),
        (lambda new: new.add_reference("s3://a/" + "b" * 8192, "b"), ValueError, "uri has 8,199"),
        (lambda new: new.add_reference("s3://a", "a", digest="x"), ValueError, "digest is 'x'"),
        (lambda new: new.add_reference("s3://a", "a", size=-1), ValueError, "size is -1"),
        (lambda new: new.add_reference("s3://a", "a", size=1.5), TypeError, "size is 1.5"),
        (lambda new: new.add_file("missing"), FileNotFoundError, "missing"),
        (lambda new: new.add_dir("missing"), FileNotFoundError, "missing"),
        (lambda new: new.alias("a b"), ValueError, "alias: alias is 'a b'"),
        (lambda new: new.unalias(3), TypeError, "unalias: alias is 3"),
        (lambda new: new.wait(), te.TellurioError, "wait: artifact 'data' has not been logged"),
        (lambda new: new.alias("best"), te.TellurioError, "alias: artifact 'data' has not been lo"),
        (lambda new: new.download(), te.TellurioError, "download: artifact 'data' has not been"),
        (lambda new: new.delete(), te.TellurioError, "delete: artifact 'data' has not been logged"),
    ],
)  # fmt: skip
def test_an_invalid_call_on_an_artifact_is_named(call, kind, words):
    new = te.Artifact("data")
    with pytest.raises(kind, match=words):
        call(new)
    assert new.files == []


def test_two_files_with_one_path_are_refused(run, home, tmp_path):
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(name)
    with pytest.raises(ValueError, match="two files have the path 'a'"):
        run.log_artifact([tmp_path / "1" / "a", tmp_path / "2" / "a"], "data")
    assert files_of_journals(home) == []


def test_restoring_requires_the_whole_name():
    with pytest.raises(ValueError, match="pass NAMESPACE/PROJECT/NAME:VERSION"):
        te.restore_artifact("data:v3")


# While tracking is disabled


def test_nothing_is_logged_while_tracking_is_disabled(monkeypatch, folder, home):
    monkeypatch.setenv("TELLURIO_MODE", "disabled")
    run = te.init("acme", "Digits")
    artifact = run.log_artifact(folder, aliases=["best"], metadata={"a": 1}, wait=True)
    assert (artifact.name, artifact.version, artifact.metadata) == ("data", None, {"a": 1})
    assert artifact.wait() is artifact
    assert te.log_artifact(b"1", "bytes").name == "bytes"
    assert te.log_artifact([folder], "list").name == "list"
    built = te.Artifact("built").add_bytes(b"1", "a")
    assert run.log_artifact(built).wait() is built
    te.log_file("missing")
    te.log_image("image", b"GIF8")
    te.log_audio("sound", b"OggS")
    te.log_text("answers", "words")
    te.log_html("page", "<p>")
    assert (run.files(), run.outputs(), run.inputs()) == ([], [], [])
    with pytest.raises(te.TellurioError, match="use_artifact: tracking is disabled"):
        run.use_artifact("data")
    for call in (te.get_artifact, te.restore_artifact):
        with pytest.raises(te.TellurioError, match=f"{call.__name__}: tracking is disabled"):
            call("acme/digits/data:v0")
    with pytest.raises(te.TellurioError, match="list_artifacts: tracking is disabled"):
        te.list_artifacts("acme", "digits")
    assert run.finish().files == 0
    assert not home.exists()
