"""Artifacts whose names a project has already, with another type."""

import gzip
import json
import shutil
from pathlib import Path

import pytest

import afnio_tellurio as te
from afnio_tellurio import copying_files
from afnio_tellurio.cli import main

GOLDEN = Path(__file__).parent.parent / "golden_imports"
NOTE = (
    "acme/digits has the artifact {name!r} with another type than {type!r}; the copies of its "
    "versions are named {other!r}"
)


def wandb_source(folder):
    (run,) = (GOLDEN / "wandb").glob("*-artif004")
    shutil.copytree(run, folder / run.name)
    shutil.copytree(GOLDEN / "wandb" / "artifacts", folder / "artifacts")
    texts = json.loads((GOLDEN / "wandb" / "expected.json").read_text())["artifacts"]["versions"]
    return "weights", "parts/weights.bin", texts


def trackio_source(folder):
    for name in ("media", "artifacts"):
        shutil.copytree(GOLDEN / "trackio" / "with_files" / name, folder / name)
    data = (GOLDEN / "trackio" / "with_files" / "pictures.db.gz").read_bytes()
    (folder / "pictures.db").write_bytes(gzip.decompress(data))
    return "model", "parts/weights.bin", ["first", "second"]


def bundle_source(folder):
    """Two runs, of which the second one uses what the first one logged."""
    with pytest.MonkeyPatch.context() as patch, te.TellurioClient.local() as client:
        patch.setenv("TELLURIO_MODE", "local")
        te.create_project("acme", "source", client=client)
        with te.init("acme", "source", "first", client=client) as first:
            first.log_artifact(b"first", "data", type="model")
        with te.init("acme", "source", "second", client=client, parent=first) as second:
            second.use_artifact("data:v0")
            second.log_artifact(b"second", "data", type="model")
        assert main(["export", "acme/source", "--bundle", str(folder)]) == 0
    # The first one is to be imported before the second one.
    names = sorted(folder.iterdir(), key=lambda path: b'"name":"second"' in path.read_bytes())
    for number, path in enumerate(names):
        path.rename(folder / f"{number}.zip")
    return "data", "data", ["first", "second"]


@pytest.fixture(params=[wandb_source, trackio_source, bundle_source])
def source(request, tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    return folder, *request.param(folder)


def contents(name, path):
    versions = te.list_artifact_versions("acme", "digits", name)
    return [version.read_text(path) for version in reversed(versions)]


@pytest.mark.usefixtures("backend")
def test_the_name_gets_the_type(source, home, invoke):
    folder, name, path, texts = source
    with te.init("acme", "digits", "before") as run:
        run.log_artifact(b"other", name, type="dataset")
    command = ["import", str(folder), "--project", "acme/digits"]
    result = invoke(*command)
    assert result.returncode == 0
    note = NOTE.format(name=name, type="model", other=f"{name}-model")
    assert result.stderr.count(note) == 1
    assert contents(f"{name}-model", path) == texts
    assert contents(name, name) == ["other"]
    if name == "data":
        (used,) = te.get_run("acme", "digits", "second").inputs()
        assert (used.artifact, used.version) == ("data-model", "v0")
    # Also from another machine, which has no record of it.
    for record in (home / "uploads").glob("*.json"):
        assert main(command) == 0
        record.unlink()
    assert main(command) == 0
    assert contents(f"{name}-model", path) == texts


@pytest.mark.usefixtures("backend")
def test_an_interrupted_import_keeps_the_name(tmp_path, monkeypatch):
    name, path, texts = wandb_source(tmp_path)
    with te.init("acme", "digits", "before") as run:
        run.log_artifact(b"other", name, type="dataset")
    real = copying_files.FilesDelivery.add_version

    def interrupted(*arguments):
        real(*arguments)
        raise KeyboardInterrupt

    command = ["import", str(tmp_path), "--project", "acme/digits"]
    with monkeypatch.context() as patch:
        patch.setattr(copying_files.FilesDelivery, "add_version", interrupted)
        main(command)
    assert contents(f"{name}-model", path) == texts[:1]
    te.get_artifact(f"acme/digits/{name}:v0").delete()
    assert main(command) == 0
    assert contents(f"{name}-model", path) == texts


def test_an_uploaded_run_gets_it_too(server, invoke):
    with te.init("acme", "digits", "before") as run:
        run.log_artifact(b"other", "data", type="dataset")
    with te.TellurioClient.local() as client:
        te.create_project("acme", "digits", client=client)
        with te.init("acme", "digits", "local", client=client) as run:
            run.log_artifact(b"new", "data", type=f"{'t' * 62}é/")
    result = invoke("sync", "acme/digits", "--to", server)
    assert result.returncode == 0, result
    other = f"data-{'t' * 62}-"
    assert other in result.stderr
    assert contents(other, "data") == ["new"]


@pytest.mark.usefixtures("backend")
def test_a_name_with_the_type_that_is_taken_too_is_reported(tmp_path, capsys):
    name, _path, _texts = wandb_source(tmp_path)
    with te.init("acme", "digits", "before") as run:
        for taken in (name, f"{name}-model"):
            run.log_artifact(b"other", taken, type="dataset")
    assert main(["import", str(tmp_path), "--project", "acme/digits"]) == 1
    assert f"The artifact {name}-model has the type dataset" in capsys.readouterr().err
