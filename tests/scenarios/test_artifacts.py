"""Artifacts: files that are logged as versions, and used again."""

import datetime as dt
import hashlib
import math
import os
import shutil
import sys

import exchanges
import pytest

import afnio_tellurio as te
from afnio_tellurio.api import artifact_operations as operations

LARGE = 100_000


pytestmark = pytest.mark.needs_extension


@pytest.fixture(autouse=True)
def _backend(backend):
    pass


@pytest.fixture
def folder(tmp_path):
    """A folder with small, large, empty, and executable files."""
    root = tmp_path / "model"
    (root / "layers" / "deep").mkdir(parents=True)
    (root / "config.json").write_text('{"layers": 2}')
    (root / "layers" / "0.bin").write_bytes(bytes(range(256)) * 400)
    (root / "layers" / "deep" / "ä.txt").write_text("words")
    (root / "empty").touch()
    (root / "train.sh").write_text("#!/bin/sh\n")
    (root / "train.sh").chmod(0o755)
    return root


@pytest.fixture
def run():
    with te.init("acme", "Digits", "first") as run:
        yield run


def content_of(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def journals(home):
    """What is in the journals of files, and the captured files."""
    return [path for path in (home / "journals").rglob("*") if ".files" in str(path)]


# Logging


def test_a_folder_comes_back_as_it_was(run, folder, tmp_path):
    before = dt.datetime.now(dt.UTC)
    artifact = run.log_artifact(folder, type="model", description="two layers")
    assert (artifact.name, artifact.type, artifact.description) == ("model", "model", "two layers")
    artifact.wait()
    assert artifact.version == "v0"
    assert artifact.aliases == ("latest",)
    content = content_of(folder)
    assert artifact.size == sum(map(len, content.values()))
    assert [file.path for file in artifact.files] == sorted(content)
    for file in artifact.files:
        assert file.digest == hashlib.sha256(content[file.path]).hexdigest()
        assert (file.size, file.reference) == (len(content[file.path]), None)
        assert file.executable == (file.path == "train.sh" and os.name != "nt")
    used = te.get_artifact("acme/digits/model")
    assert used.download(tmp_path / "out") == tmp_path / "out"
    assert content_of(tmp_path / "out") == content
    if os.name != "nt":
        assert os.access(tmp_path / "out" / "train.sh", os.X_OK)
        assert not os.access(tmp_path / "out" / "config.json", os.X_OK)
    (link,) = run.outputs()
    assert before <= link.timestamp <= dt.datetime.now(dt.UTC)


def test_what_was_logged_may_be_removed_right_after_the_call(run, folder):
    content = content_of(folder)
    artifact = run.log_artifact(folder)
    shutil.rmtree(folder)
    artifact.wait()
    assert {file.path: artifact.read_bytes(file.path) for file in artifact.files} == content


def test_a_file_a_list_and_bytes(run, folder):
    file = run.log_artifact(folder / "config.json")
    assert (file.name, file.version) == ("config.json", None)
    assert file.wait().read_text("config.json") == '{"layers": 2}'
    both = te.log_artifact([folder / "config.json", folder / "layers"], "both", wait=True)
    assert both.version == "v0"
    assert [file.path for file in both.files] == [
        "config.json", "layers/0.bin", "layers/deep/ä.txt",
    ]  # fmt: skip
    for data in (b"abc", bytearray(b"abc"), memoryview(b"abc")):
        assert te.log_artifact(data, "data").wait().read_bytes("data") == b"abc"
    assert te.log_artifact(bytes(LARGE), "zeros").wait().read_bytes("zeros") == bytes(LARGE)
    assert te.log_artifact(b"", "nothing").wait().read_bytes("nothing") == b""


def test_an_artifact_that_is_built_by_hand(run, folder):
    built = te.Artifact("data", "dataset", metadata={"rows": 3})
    built.add_file(folder / "config.json").add_file(folder / "empty", "inner/empty")
    built.add_dir(folder / "layers", "weights", exclude=["*.txt"]).add_dir(folder / "layers")
    built.add_bytes(b"\0", "zero").add_text("ä", "text")
    built.add_reference("s3://acme/big.parquet", digest="ab" * 32, size=10**15)
    built.add_reference("https://example.com/", "page")
    assert (built.version, built.digest, built.size, built.files) == (None, None, None, [])
    assert repr(built) == "Artifact(data, type='dataset', not logged yet)"
    assert run.log_artifact(built, aliases=["best"]) is built
    assert len(built.digest) == 64
    built.wait()
    files = {file.path: file for file in built.files}
    assert list(files) == [
        "0.bin", "big.parquet", "config.json", "deep/ä.txt", "inner/empty", "page", "text",
        "weights/0.bin", "zero",
    ]  # fmt: skip
    assert built.read_text("text") == "ä"
    big = files["big.parquet"]
    assert (big.reference, big.digest, big.size) == ("s3://acme/big.parquet", "ab" * 32, 10**15)
    assert (files["page"].digest, files["page"].size) == (None, None)
    assert repr(built) == "Artifact(data:v0, type='dataset')"
    for call in (built.open, built.read_bytes):
        with pytest.raises(ValueError, match=r"'page' is a reference to 'https://example.com/'"):
            call("page")
    with pytest.raises(te.TellurioError, match="has been logged and cannot change"):
        built.add_bytes(b"", "more")
    with pytest.raises(ValueError, match="has no files to log"):
        run.log_artifact(built)
    with pytest.raises(ValueError, match="has no files to log"):
        run.log_artifact(te.Artifact("empty"))


def test_patterns_choose_the_files(run, folder):
    artifact = run.log_artifact(folder, include=["layers/", "*.json"], exclude=["*.txt"])
    assert [file.path for file in artifact.wait().files] == ["config.json", "layers/0.bin"]


METADATA = {
    "accuracy": 0.1 + 0.2, "nan": math.nan, "inf": [math.inf, -math.inf], "word": "NaN",
    "nested": {"deep": [None, True, {"ä": 10**30}]},
}  # fmt: skip


def test_metadata_is_kept_exactly(run):
    artifact = run.log_artifact(b"1", "data", metadata=METADATA)
    # As text, NaN equals itself.
    expected = repr(sorted(METADATA.items()))
    assert repr(sorted(artifact.metadata.items())) == expected, "before it is delivered"
    artifact.wait()
    assert repr(sorted(artifact.metadata.items())) == expected
    assert repr(sorted(te.get_artifact("acme/digits/data").metadata.items())) == expected
    artifact.metadata["accuracy"] = 0
    assert artifact.metadata["accuracy"] == METADATA["accuracy"], "it is a copy"


def test_what_a_version_with_the_same_files_keeps_is_told_once(run, caplog):
    run.log_artifact(b"1", "data", metadata=METADATA, description="first")
    run.log_artifact(b"1", "data", metadata=METADATA, description="first")
    run.log_artifact(b"1", "data", aliases=["best"], wait=True)
    assert not caplog.text
    for _ in range(2):
        same = run.log_artifact(b"1", "data", metadata={"n": 1}, description="second", wait=True)
    assert (same.version, same.metadata["word"], same.description) == ("v0", "NaN", "first")
    assert same.aliases == ("best", "latest")
    (warning,) = caplog.messages
    assert "artifact 'data' has the same files already, as v0" in warning
    assert "the metadata and the description that you passed are not recorded" in warning
    assert len(te.list_artifact_versions("acme", "digits", "data")) == 1


def test_nothing_is_uploaded_that_the_backend_has(run, folder):
    run.log_artifact(folder, wait=True)
    (folder / "config.json").write_text("{}")
    before = len(exchanges.checked_operations())
    assert run.log_artifact(folder, wait=True).version == "v1"
    # The changed file only.
    sent = exchanges.checked_operations()[before:]
    assert [name for name in sent if name.startswith("put")] == ["putBlobs"]


# Versions and aliases


def test_the_same_files_twice_are_one_version(run):
    first = run.log_artifact(b"1", "data", aliases=["a"]).wait()
    again = run.log_artifact(b"1", "data", aliases=["b"]).wait()
    other = run.log_artifact(b"2", "data").wait()
    assert (first.version, again.version, other.version) == ("v0", "v0", "v1")
    assert first.digest == again.digest != other.digest
    assert again.aliases == ("a", "b", "latest")
    versions = te.list_artifact_versions("acme", "Digits", "data")
    assert [version.version for version in versions] == ["v1", "v0"]
    (summary,) = te.list_artifacts("acme", "Digits")
    assert (summary.name, summary.latest, summary.version_count) == ("data", "v1", 2)
    assert (summary.size, summary.type) == (2, "file")


def test_an_alias_names_one_version_at_a_time(run):
    first = run.log_artifact(b"1", "data", aliases=["best", "first"])
    second = run.log_artifact(b"2", "data", aliases=["best"])
    assert run.use_artifact("data:best").version == "v1"
    assert run.use_artifact("data:first").version == "v0"
    first.alias("best", "prod")
    assert first.aliases == ("best", "first", "prod")
    assert run.use_artifact("data:best").version == "v0"
    second.unalias("best", "prod")
    assert run.use_artifact("data:best").version == "v0", "it names another version"
    first.unalias("best", "never")
    assert first.aliases == ("first", "prod")
    with pytest.raises(te.NotFoundError):
        run.use_artifact("data:best")
    assert run.use_artifact("data:latest").version == "v1"


def test_an_alias_of_a_version_that_is_being_uploaded_is_set_after_it(run):
    artifacts = [run.log_artifact(bytes([number]), "data") for number in range(20)]
    for artifact in artifacts:
        artifact.alias("best", f"number{artifact.digest[:8]}")
    artifacts[-1].unalias(f"number{artifacts[-1].digest[:8]}")
    assert run.use_artifact("data:best").version == "v19"
    assert artifacts[-1].wait().aliases == ("best", "latest")
    assert artifacts[3].wait().aliases[-1] == f"number{artifacts[3].digest[:8]}"


def test_keep_removes_old_versions_without_an_alias(run):
    run.log_artifact(b"0", "data", aliases=["best"])
    for number in range(1, 6):
        run.log_artifact(bytes([number]), "data", keep=2)
    run.files()
    versions = te.list_artifact_versions("acme", "digits", "data")
    assert [version.version for version in versions] == ["v5", "v4", "v0"]


def test_a_deleted_version_can_be_restored(run):
    artifact = run.log_artifact(b"1", "data", aliases=["best"], wait=True)
    with pytest.raises(te.ConflictError):
        artifact.delete()
    artifact.delete(force=True)
    with pytest.raises(te.NotFoundError):
        te.get_artifact("acme/digits/data:v0")
    restored = te.restore_artifact("acme/digits/data:v0")
    assert (restored.version, restored.read_bytes("data")) == ("v0", b"1")
    assert "best" not in restored.aliases
    restored.delete(purge=True)
    with pytest.raises(te.NotFoundError):
        te.restore_artifact("acme/digits/data:v0")


# Using


def test_each_form_of_a_reference_finds_its_version(run):
    first = run.log_artifact(b"1", "data", type="dataset", aliases=["best"], wait=True)
    run.log_artifact(b"2", "data", type="dataset", wait=True)
    forms = {
        "data": "v1", "data:v0": "v0", "data:best": "v0", "data:latest": "v1",
        "digits/data": "v1", "acme/digits/data:best": "v0", f"sha256:{first.digest}": "v0",
        f"data:sha256:{first.digest}": "v0", f"acme/digits/sha256:{first.digest}": "v0",
    }  # fmt: skip
    for form, version in forms.items():
        assert run.use_artifact(form).version == version, form
        assert te.get_artifact(form).version == version, form
    assert run.use_artifact(first).version == "v0"
    assert run.use_artifact(run.log_artifact(b"3", "other")).version == "v0"
    with pytest.raises(ValueError, match="'data' is of type 'dataset', not 'model'"):
        run.use_artifact("data", type="model")
    for missing in ("other:v7", "nothing", "nothing/data", f"sha256:{'0' * 64}"):
        with pytest.raises(LookupError):
            run.use_artifact(missing)
    with pytest.raises(te.TellurioError, match="'built' has not been logged"):
        run.use_artifact(te.Artifact("built"))


def test_which_run_created_and_which_used_a_version(run):
    artifact = run.log_artifact(b"1", "data", type="dataset", wait=True)
    with te.init("acme", "Digits", "second") as second:
        used = te.use_artifact("data")
        te.use_artifact("data:v0")
    assert run.inputs() == []
    assert second.outputs() == []
    (output,) = run.outputs()
    (entry,) = second.inputs()
    assert (output.direction, entry.direction) == ("output", "input")
    for link in (output, entry):
        assert (link.artifact, link.version, link.type, link.size) == ("data", "v0", "dataset", 1)
        assert (link.digest, link.run_name) == (artifact.digest, None)
    assert used.producer.run_uuid == run.uuid
    assert used.producer.run_name == "first"
    assert [link.run_uuid for link in artifact.consumers] == [second.uuid]


def test_an_artifact_of_another_project_is_found_and_not_recorded(run):
    run.log_artifact(b"1", "data", wait=True)
    with te.init("acme", "Other") as other:
        used = te.use_artifact("digits/data")
        assert used.read_bytes("data") == b"1"
        assert other.inputs() == []
    assert used.consumers == []
    with pytest.raises(ValueError, match="no run is active whose project it could be in"):
        te.get_artifact("data")
    assert te.get_artifact("acme/digits/data").version == "v0"


# Reading


def test_a_second_download_transfers_nothing(run, folder, tmp_path, monkeypatch):
    artifact = run.log_artifact(folder, wait=True)
    artifact.download(tmp_path / "out")
    (tmp_path / "out" / "config.json").write_text("changed meanwhile")
    downloaded = []
    download = te.tracking.artifact_version.operations.download_artifact_file

    def note(connection, path, file, *bounds):
        downloaded.append(file)
        return download(connection, path, file, *bounds)

    monkeypatch.setattr(te.tracking.artifact_version.operations, "download_artifact_file", note)
    artifact.download(tmp_path / "out")
    assert downloaded == ["config.json"]
    assert content_of(tmp_path / "out") == content_of(folder)


def test_only_some_files_are_downloaded(run, folder, tmp_path, monkeypatch):
    artifact = run.log_artifact(folder, wait=True)
    monkeypatch.chdir(tmp_path)
    root = artifact.download(include=["layers/", "*.json"])
    assert root.as_posix() == "artifacts/model-v0"
    assert set(content_of(root)) == {"config.json", "layers/0.bin", "layers/deep/ä.txt"}


# The run and its process


def test_the_receipt_counts_files_and_bytes(folder):
    run = te.init("acme", "Digits")
    run.log("loss", 1)
    run.log_artifact(folder)
    run.log_text("answers", "words")
    receipt = run.finish()
    size = sum(map(len, content_of(folder).values()))
    assert (receipt.accepted, receipt.files, receipt.bytes) == (1, 6, size + 5)
    assert (receipt.waiting_files, receipt.waiting_bytes, receipt.rejected_files) == (0, 0, 0)


def test_a_finished_run_takes_no_files(folder, home):
    run = te.init("acme", "Digits")
    artifact = run.log_artifact(b"1", "data")
    run.finish()
    before = journals(home)
    for call in (
        lambda: run.log_artifact(folder),
        lambda: run.log_file(folder / "config.json"),
        lambda: run.log_text("answers", "words"),
    ):
        with pytest.raises(te.RunFinishedError):
            call()
    assert set(journals(home)) <= set(before)
    assert artifact.read_bytes("data") == b"1"
    assert run.use_artifact("data").version == "v0"
    artifact.alias("best")
    assert te.get_artifact("acme/digits/data:best").version == "v0"


def test_another_process_logs_to_the_run(run, run_forked, backend, home):
    program = f"""
        import afnio_tellurio as te
        run = te.attach("acme", "Digits", {run.uuid!r})
        run.log_artifact(b"child", "data")
        run.log_text("answers", "of the child")
        print(run.flush().waiting, run.log_artifact(b"child", "data", wait=True).version)
    """
    done = run_forked(program)
    assert done.stdout.split() == ["0", "v0"], done.stderr
    assert te.get_artifact("acme/digits/data").read_bytes("data") == b"child"
    assert [link.artifact for link in run.outputs()] == ["data"]
    assert run.open_file("answers").read() == b"of the child"


@pytest.mark.skipif(sys.platform != "linux", reason="forks of threaded processes work on Linux")
def test_a_forked_child_logs_files_of_its_own(run_python):
    done = run_python(
        """
        import os
        import afnio_tellurio as te
        run = te.init("acme", "Digits")
        run.log_artifact(b"parent", "first", wait=True)
        child = os.fork()
        run.log_artifact(b"child" if child == 0 else b"parent again", f"second-{child == 0}")
        if child == 0:
            te.flush()
            raise SystemExit
        assert os.waitpid(child, 0)[1] == 0
        run.finish()
        print(sorted(link.artifact for link in run.outputs()))
        print(te.get_artifact("acme/digits/second-True").read_bytes("second-True"))
        """
    )
    assert done.stdout.splitlines() == [
        "['first', 'second-False', 'second-True']", "b'child'",
    ], done.stderr  # fmt: skip


def test_what_is_logged_in_many_threads_is_there(run):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        numbers = range(40)
        artifacts = list(
            pool.map(lambda number: run.log_artifact(bytes([number]), f"data{number % 4}"), numbers)
        )
    for number, artifact in zip(numbers, artifacts, strict=True):
        assert artifact.wait().read_bytes(artifact.name) == bytes([number])
    assert len(run.outputs()) == len(artifacts)


def test_a_path_is_a_file_of_the_cache(run, folder, home, monkeypatch):
    artifact = te.Artifact("model").add_dir(folder).add_reference("s3://acme/data", "data")
    run.log_artifact(artifact, wait=True)
    path = artifact.path("layers/0.bin")
    assert path.read_bytes() == (folder / "layers" / "0.bin").read_bytes()
    assert path.is_relative_to(home / "cache")
    with pytest.raises(FileNotFoundError, match="has no file 'other'"):
        artifact.path("other")
    with pytest.raises(ValueError, match="'data' is a reference"):
        artifact.path("data")

    def fail(*_arguments):
        raise AssertionError("it was downloaded")

    monkeypatch.setattr(operations, "download_artifact_file", fail)
    assert te.get_artifact("acme/digits/model").path("layers/0.bin") == path
