"""The commands of artifacts, and of the files of runs."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import sys
import threading

import pytest

import afnio_tellurio as te

PROJECT = "acme/digits"
MODEL = f"{PROJECT}/model"


@pytest.fixture(params=["embedded", "server"])
def run(request, home, start_server, monkeypatch):
    """A run of a backend in this process, or of a server."""
    if request.param == "embedded":
        monkeypatch.setenv("TELLURIO_MODE", "local")
    else:
        monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", start_server(api_key="the-key"))
        monkeypatch.setenv("TELLURIO_API_KEY", "the-key")
    with te.init("acme", "Digits", "run") as run:
        yield run


@pytest.fixture
def folder(tmp_path):
    """A folder with files of several sizes."""
    folder = tmp_path / "weights"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.txt").write_text("a\nb\n")
    (folder / "inner" / "copied.bin").write_bytes(os.urandom(100_000))
    return folder


def done(finished):
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout


def refused(finished):
    assert (finished.returncode, finished.stdout) == (1, "")
    (line,) = finished.stderr.splitlines()
    return line


def cells(line):
    return re.split(r"  +", line.strip())


def test_a_folder_is_uploaded_without_a_run(invoke, run, folder, home):
    out = done(
        invoke(
            "artifact", "upload", "acme/Digits", str(folder), "--name", "model", "--type", "model",
            "--alias", "best", "good", "--metadata", '{"lr": 0.5}', "--description", "first",
        )
    )  # fmt: skip
    assert out == "Uploaded model:v0 (best, good, latest), 100 kB\n"
    version = te.get_artifact(MODEL)
    assert (version.producer, version.consumers, run.outputs()) == (None, [], [])
    assert (version.type, version.metadata, version.description) == ("model", {"lr": 0.5}, "first")
    assert version.read_text("a.txt") == "a\nb\n"
    content = (folder / "inner" / "copied.bin").read_bytes()
    assert version.read_bytes("inner/copied.bin") == content
    assert list((home / "uploads").iterdir()) == []
    again = done(
        invoke("artifact", "upload", PROJECT, str(folder), "--name", "model", "--type", "model")
    )
    assert again == "Uploaded model:v0 (best, good, latest), 100 kB\n"


def test_versions_beyond_those_to_keep_are_deleted(invoke, run, tmp_path):
    file = tmp_path / "model"
    for number in range(3):
        file.write_text(str(number))
        done(invoke("artifact", "upload", PROJECT, str(file), "--keep", "2"))
    listed = json.loads(done(invoke("artifact", "versions", MODEL, "--json")))
    assert [version["version"] for version in listed] == ["v2", "v1"]


def test_an_upload_that_fails_is_one_line(invoke, run, folder, tmp_path, home):
    assert "Project acme/nothing not found. Projects in acme: digits" in refused(
        invoke("artifact", "upload", "acme/nothing", str(folder))
    )
    missing = str(tmp_path / "missing")
    assert missing in refused(invoke("artifact", "upload", PROJECT, missing))
    done(invoke("artifact", "upload", PROJECT, str(folder)))
    line = refused(invoke("artifact", "upload", PROJECT, str(folder), "--type", "model"))
    assert line.startswith("afnio-tellurio artifact upload: ")
    assert "has the type file" in line
    assert list((home / "uploads").iterdir()) == []
    for metadata in ("[1]", "{"):
        finished = invoke("artifact", "upload", PROJECT, str(folder), "--metadata", metadata)
        assert finished.returncode == 2


def test_what_a_killed_upload_left_is_removed_later(invoke, run, folder, home):
    uploads = home / "uploads"
    for name in ("old", "new"):
        (uploads / f"{name}.files" / "key").mkdir(parents=True)
        (uploads / f"{name}.files" / "key" / "pack").write_text("bytes")
        (uploads / f"{name}.lock").touch()
    os.utime(uploads / "old.lock", (1, 1))
    done(invoke("artifact", "upload", PROJECT, str(folder)))
    assert {path.name for path in uploads.iterdir()} == {"new.files", "new.lock"}


def log_model(run, number=0, aliases=(), **files):
    model = te.Artifact("model", "model", "a description", {"number": number})
    for name, data in files.items():
        model.add_bytes(data, name)
    return run.log_artifact(model, aliases=aliases, wait=True)


def test_artifacts_and_versions_are_listed(invoke, run):
    log_model(run, a=b"x" * 5)
    log_model(run, 1, ["best"], a=b"y" * 1500)
    run.log_artifact(b"1", "data", type="dataset", wait=True)
    header, data, model = done(invoke("artifacts", PROJECT)).splitlines()
    assert cells(header) == ["ARTIFACT", "TYPE", "LATEST", "VERSIONS", "SIZE", "UPDATED"]
    assert cells(data)[:5] == ["data", "dataset", "v0", "1", "1 B"]
    assert cells(model)[:5] == ["model", "model", "v1", "2", "1.5 kB"]
    # Numbers are aligned at the right.
    assert header.index("SIZE") + 4 == data.index("1 B") + 3 == model.index("1.5 kB") + 6
    assert "dataset" not in done(invoke("artifacts", PROJECT, "--type", "model"))
    for path in ((), ("acme",)):
        header, *rows = done(invoke("artifacts", *path)).splitlines()
        assert cells(header)[:3] == ["PROJECT", "ARTIFACT", "TYPE"]
        assert [cells(row)[:2] for row in rows] == [[PROJECT, "data"], [PROJECT, "model"]]
    header, newest, first = done(invoke("artifact", "versions", MODEL)).splitlines()
    assert cells(newest)[:3] == ["v1", "best, latest", "1.5 kB"]
    assert cells(first)[:3] == ["v0", "-", "5 B"]
    assert cells(first)[-1] == "a description"


def test_a_version_is_shown_with_its_runs_and_files(invoke, run):
    version = log_model(run, **{f"file_{number:02}": b"1" for number in range(60)})
    run.use_artifact("model")
    out = done(invoke("artifact", "show", MODEL))
    facts = dict(cells(line)[:2] for line in out.split("\n\n")[0].splitlines())
    assert facts | {"created": ""} == {
        "artifact": "model", "type": "model", "version": "v0", "aliases": "latest", "created": "",
        "digest": version.digest, "size": "60 B in 60 files", "producer": "run",
        "consumers": "run", "description": "a description",
    }  # fmt: skip
    assert "METADATA\nnumber  0\n" in out
    assert "file_49" in out
    assert "file_50" not in out
    assert out.endswith("\n10 more files; --files shows all\n")
    assert "file_59" in done(invoke("artifact", "show", MODEL, "--files"))
    shown = json.loads(done(invoke("artifact", "show", f"{MODEL}:v0", "--json")))
    assert len(shown["files"]) == 60
    assert shown["producer"]["run_uuid"] == run.uuid
    assert shown["files"][0]["digest"] == hashlib.sha256(b"1").hexdigest()
    by_digest = f"{PROJECT}/sha256:{version.digest}"
    assert json.loads(done(invoke("artifact", "show", by_digest, "--json"))) == shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("artifact", "show", "acme/nothing/model"),
            "Project acme/nothing not found. Projects in acme: digits",
        ),
        (("artifacts", "acme/nothing"), "Project acme/nothing not found. Projects in acme: digits"),
        (("artifact", "show", f"{PROJECT}/other"), "has no artifact 'other'; it has model"),
        (("artifact", "versions", f"{PROJECT}/other"), "has no artifact 'other'; it has model"),
        (("artifact", "show", f"{PROJECT}/modle"), "no artifact 'modle'; did you mean model?"),
        (("artifact", "versions", f"{PROJECT}/MODEL"), "no artifact 'MODEL'; did you mean model?"),
        (
            ("artifact", "versions", f"{MODEL}:v0"),
            f"{MODEL}:v0 is one version; pass {MODEL} without :v0",
        ),
        (
            ("artifact", "upload", PROJECT, "nosuch.txt"),
            "upload: 'nosuch.txt' cannot be read (No such file or directory)",
        ),
        (
            ("artifact", "upload", PROJECT, __file__, "--name", "a b"),
            "artifact upload: artifact name is 'a b'; it must be",
        ),
        (("artifact", "alias", MODEL, "a b"), "artifact alias: alias is 'a b'; it must be"),
        (
            ("artifact", "download", MODEL, "--to", __file__),
            f"download: the folder '{__file__}' cannot be created (File exists)",
        ),
        (
            ("artifact", "download", f"{MODEL}:v7"),
            "artifact 'model' has no version 'v7'; it has v0 (best, latest)",
        ),
        (("artifact", "diff", MODEL, f"{MODEL}:worst"), "has no version 'worst'; it has v0"),
        (
            ("artifact", "restore", f"{MODEL}:v7"),
            "the trash of acme/digits has no version model:v7",
        ),
        (
            ("artifact", "restore", "acme/nothing/model:v7"),
            "Project acme/nothing not found. Projects in acme: digits",
        ),
        (("artifact", "alias", MODEL, "good", "--remove"), "has no alias 'good'; it has best"),
        (("artifact", "alias", MODEL, "latest"), "always names the newest version"),
        (("artifact", "show", f"{PROJECT}/sha256:{'0' * 64}"), "no artifact with the digest 000"),
    ],
)
def test_what_does_not_exist_is_one_line_with_what_does(invoke, run, arguments, words):
    log_model(run, aliases=["best"], a=b"1")
    assert words in refused(invoke(*arguments))


def test_a_download_has_the_same_files(invoke, run, folder, tmp_path):
    run.log_artifact(folder, "model", wait=True)
    target = tmp_path / "target"
    out = done(invoke("artifact", "download", MODEL, "--to", str(target)))
    assert out == f"{target}: 2 files, 100 kB of model:v0\n"
    for path in ("a.txt", "inner/copied.bin"):
        assert (target / path).read_bytes() == (folder / path).read_bytes()
    (target / "a.txt").write_text("changed")
    out = done(invoke("artifact", "download", MODEL, "--to", str(target)))
    assert out == f"{target}: 2 files (1 already there), 100 kB of model:v0\n"
    assert (target / "a.txt").read_text() == "a\nb\n"


def test_a_download_has_the_files_that_match(invoke, run, folder, tmp_path, monkeypatch):
    run.log_artifact(folder, "model", wait=True)
    monkeypatch.chdir(tmp_path)
    out = done(invoke("artifact", "download", MODEL, "--include", "*.bin", "--json"))
    assert json.loads(out)["downloaded"] == 1
    found = [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()]
    assert found == [tmp_path / "artifacts" / "model-v0" / "inner" / "copied.bin"]
    assert "no file of model:v0 matches *.pt" in refused(
        invoke("artifact", "download", MODEL, "--include", "*.pt")
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_a_download_shows_its_progress_in_a_terminal_only(at_terminal, run, folder, tmp_path):
    run.log_artifact(folder, "model", wait=True)
    shown = at_terminal(
        "artifact", "download", MODEL, "--to", str(tmp_path / "target"), streams=("stderr",)
    )
    assert shown.status == 0
    assert "\r\x1b[K100 kB of 100 kB" in shown.shown
    assert shown.shown.endswith("\r\x1b[K")
    assert "\x1b" not in shown.out


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_an_upload_shows_its_progress_in_a_terminal_only(at_terminal, run, folder):
    shown = at_terminal("artifact", "upload", PROJECT, str(folder), streams=("stderr",))
    assert shown.status == 0
    assert "\r\x1b[K100 kB of 100 kB" in shown.shown
    assert shown.shown.endswith("\r\x1b[K")
    assert shown.out == "Uploaded weights:v0 (latest), 100 kB\n"


def test_a_folder_of_many_files_is_uploaded(invoke, run, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(1500):
        (folder / f"{number}.txt").write_text(str(number))
    done(invoke("artifact", "upload", PROJECT, str(folder)))
    version = te.get_artifact(f"{PROJECT}/many")
    assert len(version.files) == 1500
    assert version.read_text("1499.txt") == "1499"


def test_a_download_leaves_the_target_of_a_link_alone(invoke, run, folder, tmp_path):
    run.log_artifact(folder, "model", wait=True)
    elsewhere, target = tmp_path / "elsewhere", tmp_path / "target"
    elsewhere.mkdir()
    target.mkdir()
    (target / "inner").symlink_to(elsewhere)
    line = refused(invoke("artifact", "download", MODEL, "--to", str(target)))
    assert "inner" in line
    assert list(elsewhere.iterdir()) == []


def test_aliases_are_moved_and_removed(invoke, run):
    log_model(run, aliases=["best"], a=b"1")
    log_model(run, 1, a=b"2")
    out = done(invoke("artifact", "alias", MODEL, "best", "good"))
    assert out == "Aliases of model:v1: best, good, latest\n"
    assert te.get_artifact(f"{MODEL}:v0").aliases == ()
    out = done(invoke("artifact", "alias", f"{MODEL}:good", "good", "--remove"))
    assert out == "Aliases of model:v1: best, latest\n"


def test_a_version_is_deleted_and_restored(invoke, run):
    log_model(run, aliases=["best"], a=b"1")
    line = refused(invoke("artifact", "delete", MODEL, "--yes"))
    assert "model:v0 has aliases (best); remove them, or pass --force" in line
    assert "pass --yes" in refused(invoke("artifact", "delete", MODEL, "--force"))
    first, second = done(invoke("artifact", "delete", MODEL, "--force", "--yes")).splitlines()
    assert first == "Moved model:v0 to the trash for 30 days."
    assert second == f"To restore it: afnio-tellurio artifact restore {MODEL}:v0"
    assert "has no artifact 'model'; it has none" in refused(invoke("artifact", "show", MODEL))
    assert done(invoke(*second.split()[4:])) == "Restored model:v0\n"
    assert te.get_artifact(f"{MODEL}:v0").read_bytes("a") == b"1"
    assert invoke("artifact", "restore", MODEL).returncode == 2
    out = done(invoke("artifact", "delete", MODEL, "--purge", "--yes"))
    assert out == "Deleted model:v0 for good\n"
    refused(invoke("artifact", "restore", f"{MODEL}:v0"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_a_terminal_is_asked_before_a_version_is_deleted(at_terminal, run):
    log_model(run, a=b"1")
    for answer, status in (("n\n", 1), ("y\n", 0)):
        asked = at_terminal("artifact", "delete", MODEL, typed=answer, streams=("stdin", "stderr"))
        assert "Delete model:v0 (1 B, latest)? [y/N] " in asked.shown
        assert asked.status == status


def test_differences_are_listed_and_lines_compared(invoke, run):
    old = {"same": b"1", "gone": b"1", "text": b"a\nb\f\n", "bytes": b"\0", "large": b"a" * 2**21}
    new = {"same": b"1", "made": b"1", "text": b"a\nc", "bytes": b"\1", "large": b"b" * 2**21}
    log_model(run, **old)
    log_model(run, 1, **new)
    out = done(invoke("artifact", "diff", f"{MODEL}:v0", MODEL))
    listed, lines = out.split("\n\n")
    assert [cells(line) for line in listed.splitlines()[1:]] == [
        ["changed", "bytes", "1 B", "1 B"],
        ["removed", "gone", "1 B", "-"],
        ["changed", "large", "2.1 MB", "2.1 MB"],
        ["added", "made", "-", "1 B"],
        ["changed", "text", "5 B", "3 B"],
    ]
    assert lines == (
        "--- model:v0/text\n+++ model:v1/text\n@@ -1,2 +1,2 @@\n a\n-b\f\n+c\n"
        "\\ No newline at end of file\n"
    )
    assert done(invoke("artifact", "diff", f"{MODEL}:v0", MODEL, "--stat")) == f"{listed}\n"
    facts = json.loads(done(invoke("artifact", "diff", f"{MODEL}:v0", MODEL, "--json")))
    assert [fact["diff"] for fact in facts] == [None, None, None, None, lines]
    assert done(invoke("artifact", "diff", MODEL, MODEL)) == (
        "model:v1 and model:v1 have the same files\n"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_a_text_does_not_steer_the_terminal(at_terminal, run):
    log_model(run, text=b"a\n")
    log_model(run, 1, text=b"\x1b[31m\tred\n")
    shown = at_terminal("artifact", "diff", f"{MODEL}:v0", MODEL, streams=("stdout",), NO_COLOR="1")
    assert "+�[31m  red" in shown.shown
    assert "\x1b" not in shown.shown


@pytest.mark.parametrize("run", ["embedded"], indirect=True)
def test_a_damaged_version_does_not_verify(invoke, run, home, folder):
    run.log_artifact(folder, "model", wait=True)
    assert done(invoke("artifact", "verify", MODEL)) == "model:v0: verified 2 files, 100 kB\n"
    content = (folder / "inner" / "copied.bin").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    blob = home / "tellurio.blobs" / digest[:2] / digest
    blob.chmod(0o600)
    blob.write_bytes(b"x" + content[1:])
    line = refused(invoke("artifact", "verify", MODEL))
    assert "inner/copied.bin" in line
    assert "not those that were logged" in line


def test_files_of_a_run_are_listed_and_saved(invoke, run, folder, tmp_path):
    run.log_file(folder / "a.txt", "logs/a.txt")
    run.log_text("samples", "first")
    run.log_text("samples", "second")
    run.log_html("pages/one", "<p>", step=7)
    run.flush()
    path = f"{PROJECT}/run"
    _header, *lines = done(invoke("files", path)).splitlines()
    assert [cells(line)[:4] for line in lines] == [
        ["logs/a.txt", "file", "-", "4 B"],
        ["pages/one", "html", "7", "3 B"],
        ["samples", "text", "0", "5 B"],
        ["samples", "text", "1", "6 B"],
    ]
    assert len(done(invoke("files", path, "--prefix", "sam")).splitlines()) == 3
    target = tmp_path / "target"
    out = done(invoke("files", path, "--download", str(target)))
    assert out == f"{target}: 4 files, 18 B of run\n"
    saved = {
        str(file.relative_to(target)): file.read_text()
        for file in target.rglob("*")
        if file.is_file()
    }
    assert saved == {
        os.path.join("logs", "a.txt"): "a\nb\n",
        os.path.join("pages", "one", "7.html"): "<p>",
        os.path.join("samples", "0.txt"): "first",
        os.path.join("samples", "1.txt"): "second",
    }
    out = done(invoke("files", path, "--download", str(target), "--json"))
    assert len(json.loads(out)) == 4


@pytest.mark.parametrize("fault", ["drop", "cut", (503, b"{}")])
def test_an_upload_repeats_a_request_that_failed(invoke, proxy, folder, fault):
    failed = []

    def fail_once(_method, path):
        if "/blobs/" in path and path not in failed:
            failed.append(path)
            return fault
        return None

    proxy.fault = fail_once
    finished = invoke("artifact", "upload", PROJECT, str(folder), may_depart=("answer",))
    assert done(finished) == "Uploaded weights:v0 (latest), 100 kB\n"
    assert len(failed) >= 2


def test_an_upload_that_is_interrupted_leaves_nothing(invoke, proxy, folder, home):
    main_thread = threading.main_thread().ident
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt(_method, path):
        if "/blobs/" in path and "check" not in path:
            signal.pthread_kill(main_thread, signal.SIGINT)
            return "drop"
        return None

    proxy.fault = interrupt
    try:
        finished = invoke("artifact", "upload", PROJECT, str(folder), may_depart=("answer",))
    finally:
        signal.signal(signal.SIGINT, before)
    assert (finished.returncode, finished.stderr) == (1, "afnio-tellurio: interrupted\n")
    assert list((home / "uploads").iterdir()) == []
    proxy.fault = lambda *_: None
    assert done(invoke("artifact", "versions", MODEL)).count("v0") == 1


def test_a_download_repeats_a_request_that_failed(invoke, proxy, tmp_path):
    failed = []

    def fail_once(_method, path):
        if "/file/" in path and path not in failed:
            failed.append(path)
            return "cut"
        return None

    proxy.fault = fail_once
    target = tmp_path / "target"
    out = done(invoke("artifact", "download", MODEL, "--to", str(target), may_depart=("answer",)))
    assert out == f"{target}: 2 files, 10 B of model:v1\n"
    assert len(failed) == 2
