"""Artifacts that runs of wandb logged offline."""

import base64
import hashlib
import json
import shutil
import struct
from collections import Counter
from pathlib import Path
from zlib import crc32

import pytest
from children import GUARD
from golden_runs import check_repeats, import_as_foretold, skipped_of

import afnio_tellurio as te
from afnio_tellurio.cli import main
from afnio_tellurio.importing import wandb

GOLDEN = Path(__file__).parent.parent / "golden_imports" / "wandb"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())["artifacts"]


@pytest.fixture
def source(tmp_path):
    """A folder with the run that logged artifacts, and their files."""
    (run,) = GOLDEN.glob("*-artif004")
    shutil.copytree(run, tmp_path / "wandb" / run.name)
    shutil.copytree(GOLDEN / "artifacts", tmp_path / "wandb" / "artifacts")
    return tmp_path / "wandb"


def check_versions(run):
    versions = [te.get_artifact(f"acme/digits/weights:v{number}") for number in (0, 1)]
    for version, text in zip(versions, EXPECTED["versions"], strict=True):
        assert version.read_text("parts/weights.bin") == text
        assert version.read_text("notes.txt") == "same"
        references = {file.path: file.reference for file in version.files if file.reference}
        assert references == {"x.bin": "https://example.com/x.bin"}
        assert [alias for alias in version.aliases if alias != "latest"] == [text]
        assert (version.type, version.description) == ("model", text)
        assert dict(version.metadata) == {"acc": 0.5}
        assert version.producer.run_uuid == run.uuid
    assert len(te.list_artifact_versions("acme", "digits", "weights")) == 2


@pytest.mark.usefixtures("server")
def test_artifacts_are_imported_once(source, capsys):
    command = ["import", str(source), "--project", "acme/digits"]
    assert main([*command, "--dry-run"]) == 0
    assert "and 6 files would be imported" in capsys.readouterr().out
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert "and 6 files imported" in out
    assert skipped_of(out, "artifacts") == EXPECTED["skipped"]
    assert "left out" not in err
    run = te.get_run("acme", "digits", "artifacts")
    check_versions(run)
    check_repeats(source, "digits")
    check_versions(run)


def test_a_killed_import_is_continued(source, server, start_python, capsys):
    command = ["import", str(source), "--project", "acme/digits"]
    child = start_python(
        "-c",
        f"""
import os, signal
from afnio_tellurio.cli import main
from afnio_tellurio.copying_files import FilesDelivery
real = FilesDelivery.add_version
def killed(*arguments):
    real(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
FilesDelivery.add_version = killed
main({command!r})
""",
    )
    child.communicate(timeout=GUARD)
    assert child.returncode == -9
    assert len(te.list_artifact_versions("acme", "digits", "weights")) == 1
    import_as_foretold(command, capsys)
    check_versions(te.get_run("acme", "digits", "artifacts"))


def staged(source, text):
    """The staged file with a text."""
    files = (source / "artifacts" / "staging").iterdir()
    (file,) = [file for file in files if file.read_text() == text]
    return file


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("content", [None, "Second", "link"])
def test_an_artifact_without_a_file_is_left_out_and_reported(content, source, tmp_path, capsys):
    file = staged(source, "second")
    if content == "link":
        file.rename(tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")
    elif content is None:
        file.unlink()
    else:
        file.write_text(content)
    command = ["import", str(source), "--project", "acme/digits"]
    for arguments in ([*command, "--dry-run"], command):
        assert main(arguments) == 0
        out, err = capsys.readouterr()
        assert skipped_of(out, "artifacts")["artifacts"] == 1
        problem = (
            f"({file}) has another MD5 than wandb recorded"
            if content == "Second"
            else "is not on this disk"
        )
        wanted = (
            f"artifacts: the artifact 'weights' is left out: its file 'parts/weights.bin' {problem}"
        )
        assert err.count("left out") == 1
        assert wanted in err
        assert "copy the folder artifacts/staging of wandb" in err
    (version,) = te.list_artifact_versions("acme", "digits", "weights")
    assert version.read_text("parts/weights.bin") == "first"
    # What was missing is imported when it is there.
    file.unlink(missing_ok=True)
    file.write_text("second")
    assert "and 3 files imported" in import_as_foretold(command, capsys)
    check_versions(te.get_run("acme", "digits", "artifacts"))


def field(number, data):
    """A field with bytes, or a number."""
    if isinstance(data, int):
        return bytes([*varint(number << 3), *varint(data)])
    return bytes([*varint(number << 3 | 2), *varint(len(data))]) + data


def varint(number):
    while number > 0x7F:
        yield number & 0x7F | 0x80
        number >>= 7
    yield number


def entry(path, place, content=b"x"):
    digest = base64.b64encode(hashlib.md5(content).digest())
    fields = field(1, path.encode()) + field(2, digest) + field(4, len(content))
    return field(4, fields + field(6, str(place).encode()))


def logged(path, *, name=b"data", kind=b"dataset", manifest=b"", more=b"", is_final=1):
    """Writes a run that logged an artifact, as wandb does."""
    artifact = field(4, kind) + field(5, name) + field(12, manifest) + field(14, is_final) + more
    records = [field(17, field(1, b"abc") + field(3, b"digits")), field(8, artifact)]
    data = struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
    for record in records:
        data += struct.pack("<IHB", crc32(record, crc32(b"\x01")), len(record), 1) + record
    path.write_bytes(data)
    (run,) = wandb.read_runs(path, Counter())
    return run


def test_files_are_read_where_wandb_recorded_them(tmp_path):
    place = tmp_path / "model.bin"
    place.write_bytes(b"x")
    run = logged(tmp_path / "run-abc.wandb", manifest=entry("a/b", place))
    (version,) = run.versions
    assert version.places == {"a/b": place}
    assert version.files[0].digest == hashlib.sha256(b"x").hexdigest()
    assert not run.left_out


@pytest.mark.parametrize("content", [b"secret", b""])
def test_a_file_that_the_record_does_not_know_is_not_read(content, tmp_path):
    """A run may be of anyone, and name any file of this machine."""
    place = tmp_path / "secret"
    place.write_bytes(content)
    run = logged(tmp_path / "run-abc.wandb", manifest=entry("a", place))
    assert not run.versions
    assert "has another MD5" in run.left_out[0]


@pytest.mark.parametrize("place", ["run-abc.wandb", "", "\0", "/", "../artifacts/staging/x"])
def test_places_that_are_no_absolute_files_are_missing(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = logged(tmp_path / "run-abc.wandb", manifest=entry("a", place))
    assert "is not on this disk" in run.left_out[0]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": b"a b"}, "artifact name"),
        ({"kind": b"x" * 65}, "type has 65 characters"),
        ({"more": field(8, b"[1]")}, "metadata"),
        ({"more": field(8, b"{")}, "Expecting"),
        ({"more": field(100, 1)}, "a part of a version"),
        ({"is_final": 0}, "a part of a version"),
        ({"manifest": b""}, "has no files"),
        ({"manifest": field(5, b"/x")}, "more than 100,000 files"),
        ({"manifest": entry("../a", "/x")}, "the path '../a'"),
        ({"manifest": entry("a", "/x") + entry("A", "/x")}, "are the same on some systems"),
        ({"manifest": b"\x0f"}, "unknown wire type"),
    ],
)
def test_invalid_artifacts_are_reported(fields, problem, tmp_path):
    place = tmp_path / "x"
    place.write_bytes(b"x")
    run = logged(tmp_path / "run-abc.wandb", **{"manifest": entry("a", place), **fields})
    assert not run.versions
    assert problem in run.left_out[0]
    assert run.skipped == {"artifacts": 1}


@pytest.mark.parametrize("kind", [b"run_table", b"wandb-run-incremental-table"])
def test_artifacts_of_tables_are_counted(kind, tmp_path):
    run = logged(tmp_path / "run-abc.wandb", kind=kind, is_final=0)
    assert not run.versions
    assert not run.left_out
    assert run.skipped == {"artifacts of tables": 1}
