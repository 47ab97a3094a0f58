"""Runs that trackio recorded."""

import datetime as dt
import gzip
import json
import os
import shutil
import sqlite3
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from children import GUARD
from golden_runs import check_repeats, check_run, skipped_of

import afnio_tellurio as te
from afnio_tellurio.cli import main
from afnio_tellurio.importing import trackio

GOLDEN = Path(__file__).parent.parent / "golden_imports" / "trackio"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())


@pytest.fixture
def source(tmp_path):
    return shutil.copy(GOLDEN / "digits.db", tmp_path / "digits.db")


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("is_folder", [False, True])
def test_all_that_was_logged_is_imported(is_folder, source, capsys):
    path = source.parent if is_folder else source
    assert main(["import", str(path), "--project", "acme/spaces"]) == 0
    out = capsys.readouterr().out
    runs = {run.name: run for run in te.runs("acme", "spaces")}
    assert set(runs) == set(EXPECTED)
    for name, expected in EXPECTED.items():
        check_run(runs[name], expected)
        assert skipped_of(out, name) == expected["skipped"]
        points = list(runs[name].iter_metrics())
        assert max(point.timestamp for point in points) == runs[name].date_ended
    check_repeats(path, "spaces")


@pytest.mark.usefixtures("server")
def test_an_older_database_has_no_ids(source):
    with sqlite3.connect(source) as database:
        for table in ("metrics", "system_metrics", "configs"):
            database.execute(f"CREATE TABLE older AS SELECT * FROM {table}")
            database.execute("ALTER TABLE older DROP COLUMN run_id")
            database.execute(f"DROP TABLE {table}")
            database.execute(f"ALTER TABLE older RENAME TO {table}")
    assert main(["import", str(source), "--project", "acme/spaces"]) == 0
    runs = {run.name: run for run in te.runs("acme", "spaces")}
    assert runs["first"].config == EXPECTED["first"]["config"]
    assert runs["first"].metrics("count").values == [7]


@pytest.mark.usefixtures("server")
def test_media_are_counted_and_tables_kept(source, capsys):
    table = {"_type": "trackio.table", "_value": [{"a": 1}]}
    metrics = {"picture": {"_type": "trackio.image", "file_path": "x.png"}, "rows": table}
    with sqlite3.connect(source) as database:
        database.execute("UPDATE metrics SET metrics = ? WHERE step = 200", (json.dumps(metrics),))
    assert main(["import", str(source), "--project", "acme/spaces"]) == 0
    assert skipped_of(capsys.readouterr().out, "first") == {"alerts": 1, "trackio.image": 1}
    run = te.get_run("acme", "spaces", "first")
    assert run.metrics("rows").values == [table]


@pytest.fixture
def folder(tmp_path):
    """The folder of a project with files."""
    target = tmp_path / "trackio"
    for name in ("media", "artifacts"):
        shutil.copytree(GOLDEN / "with_files" / name, target / name)
    data = (GOLDEN / "with_files" / "pictures.db.gz").read_bytes()
    (target / "pictures.db").write_bytes(gzip.decompress(data))
    return target


@pytest.mark.usefixtures("server")
def test_media_and_artifacts_are_imported(folder, capsys):
    expected = json.loads((GOLDEN / "with_files" / "expected.json").read_text())
    command = ["import", str(folder), "--project", "acme/spaces"]
    assert main([*command, "--dry-run"]) == 0
    assert "3 values and 7 files would be imported" in capsys.readouterr().out
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "3 values and 7 files imported" in out
    assert skipped_of(out, "first") == expected["skipped"]
    run = te.get_run("acme", "spaces", "first")
    check_run(run, expected)
    check_repeats(folder, "spaces")
    versions = [te.get_artifact(f"acme/spaces/model:v{number}") for number in (0, 1)]
    for version, (text, aliases) in zip(versions, expected["versions"], strict=True):
        assert version.read_text("parts/weights.bin") == text
        assert [alias for alias in version.aliases if alias != "latest"] == aliases
        references = [file.reference for file in version.files]
        assert references == [None, "https://example.com/x.bin"]
        assert version.producer.run_uuid == run.uuid
    assert (versions[0].type, versions[0].description) == ("model", "a model")
    assert dict(versions[0].metadata) == {"acc": 0.5}
    assert len(te.list_artifact_versions("acme", "spaces", "model")) == 2


@pytest.mark.parametrize("name", ["add_version", "add_local_file"])
def test_a_killed_import_is_continued(name, folder, server, start_python):
    command = ["import", str(folder), "--project", "acme/spaces"]
    child = start_python(
        "-c",
        f"""
import os, signal
from afnio_tellurio.cli import main
from afnio_tellurio.importing import trackio
from afnio_tellurio.copying_files import FilesDelivery as owner
real = owner.{name}
def killed(*arguments):
    real(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
owner.{name} = killed
main({command!r})
""",
    )
    child.communicate(timeout=GUARD)
    assert child.returncode == -9
    assert main(command) == 0
    check_run(
        te.get_run("acme", "spaces", "first"),
        json.loads((GOLDEN / "with_files" / "expected.json").read_text()),
    )
    versions = te.list_artifact_versions("acme", "spaces", "model")
    assert [version.read_text("parts/weights.bin") for version in versions] == ["second", "first"]


@pytest.mark.usefixtures("server")
def test_files_of_other_projects_and_outside_are_not_read(folder, capsys):
    secret = folder / "media" / "secret.png"
    secret.write_bytes(b"\x89PNG\r\n\x1a\n")
    paths = ["secret.png", "pictures/../secret.png", "../media/secret.png", str(secret)]
    metrics = {str(n): {"_type": "trackio.image", "file_path": p} for n, p in enumerate(paths)}
    blobs = folder / "artifacts" / "pictures" / "blobs" / "sha256"
    blob = next(blobs.glob("16/*"))
    blob.rename(folder / "blob")
    blob.symlink_to(folder / "blob")
    with sqlite3.connect(folder / "pictures.db") as database:
        database.execute("UPDATE metrics SET metrics = ?", (json.dumps(metrics),))
    assert main(["import", str(folder), "--project", "acme/spaces"]) == 0
    skipped = skipped_of(capsys.readouterr().out, "first")
    assert skipped["trackio.image"] == 16
    assert skipped["versions of artifacts without their files"] == 1
    assert te.get_run("acme", "spaces", "first").files() == []


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    "manifest",
    [
        "[]]", "{}", f'[{{"path":"../x","digest":"{"a" * 64}","size":1}}]',
        '[{"path":"x","digest":"../../secret","size":1}]',
        '[{"path":"x","digest":"x","ref":"s3://x","size":-1}]',
    ],
)  # fmt: skip
def test_invalid_versions_are_counted(manifest, folder, capsys):
    with sqlite3.connect(folder / "pictures.db") as database:
        database.execute("UPDATE artifact_versions SET manifest = ?", (manifest,))
    assert main(["import", str(folder), "--project", "acme/spaces"]) == 0
    assert skipped_of(capsys.readouterr().out, "first")["invalid versions of artifacts"] == 2
    assert list(te.list_artifacts("acme", "spaces")) == []


@pytest.mark.usefixtures("server")
def test_changed_bytes_are_not_imported(folder, capsys):
    blob = next((folder / "artifacts").rglob("16/*"))
    blob.write_bytes(b"other!"[: blob.stat().st_size])
    assert main(["import", str(folder), "--project", "acme/spaces"]) == 1
    assert "first: not imported" in capsys.readouterr().err


@pytest.mark.usefixtures("server")
def test_what_is_no_database_of_it_is_one_line(source, tmp_path, capsys):
    with sqlite3.connect(source) as database:
        database.execute("UPDATE metrics SET metrics = '{'")
    assert main(["import", str(source), "--project", "acme/spaces"]) == 1
    assert "has invalid JSON" in capsys.readouterr().err
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE x (y)")
    for kind in ("trackio", "mlflow"):
        assert main(["import", str(other), "--project", "acme/spaces", "--from", kind]) == 1
        assert f"is not a database of {kind}" in capsys.readouterr().err
    assert main(["import", str(other), "--project", "acme/spaces"]) == 1
    assert "has nothing that can be imported" in capsys.readouterr().err


@pytest.fixture
def read_only():
    """A database with a write-ahead log in a folder that this user cannot change."""
    # Not in that of pytest, which other users cannot enter.
    folder = Path(tempfile.mkdtemp())
    source = shutil.copy(GOLDEN / "digits.db", folder / "digits.db")
    with sqlite3.connect(source) as database:
        database.execute("PRAGMA journal_mode = wal")
    database.close()
    source.chmod(0o444)
    folder.chmod(0o555)
    # Root may change it all the same.
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield source
    if user == 0:
        os.seteuid(0)
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="has no users like this")
def test_a_database_in_a_read_only_folder_is_read(read_only):
    runs = {run.name for run in trackio.read_runs(read_only, Counter())}
    assert runs == set(EXPECTED)
    assert [file.name for file in read_only.parent.iterdir()] == [read_only.name]


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("step", ["x", 1.5, -1, b"1", 2.0**70])
def test_steps_that_are_none_are_counted(step, source, capsys):
    with sqlite3.connect(source) as database:
        database.execute("UPDATE metrics SET step = ? WHERE id = 1", (step,))
    assert main(["import", str(source), "--project", "acme/spaces"]) == 0
    skipped = skipped_of(capsys.readouterr().out, "first")
    assert skipped["values with an invalid step"] == 1


def test_runs_without_values_are_imported(folder, server, capsys):
    file = folder / "pictures.db"
    with sqlite3.connect(file) as database:
        links = (
            "INSERT INTO run_artifact_links (run_id, run_name, run_project, artifact_version_id, "
            "direction, created_at) VALUES (?, ?, ?, 1, 'output', '2026-11-28T11:07:05+00:00')"
        )
        columns = {row[1] for row in database.execute("PRAGMA table_info(run_artifact_links)")}
        if "run_project" not in columns:
            database.execute("ALTER TABLE run_artifact_links ADD COLUMN run_project TEXT")
        database.execute(links, ("a1", "artifact", None))
        database.execute(links, ("a2", "own", "pictures"))
        database.execute(links, ("a3", "of another project", "others"))
        database.execute(links, (None, "unknown", None))
        database.execute("UPDATE artifact_versions SET producer_run_id = 'a1' WHERE id = 1")
        database.execute(
            "INSERT INTO system_metrics (run_id, run_name, timestamp, metrics) "
            "VALUES ('s1', 'system', '2026-11-28T11:07:06+00:00', '{\"gpu\": 0.5}')"
        )
    database.close()
    assert main(["import", str(folder), "--project", "acme/spaces"]) == 0
    out = capsys.readouterr().out
    assert "artifact: 0 values and 2 files imported" in out
    runs = {run.name: run for run in te.runs("acme", "spaces")}
    assert sorted(runs) == ["artifact", "first", "own", "system"]
    assert runs["system"].metrics("system/gpu").values == [0.5]
    assert [link.artifact for link in runs["artifact"].outputs()] == ["model"]
    assert runs["artifact"].date_created.isoformat() == "2026-11-28T11:07:05+00:00"


def test_a_resumed_run_starts_with_its_first_value(source):
    first, resumed = "2026-11-28T11:00:00+00:00", "2026-11-28T12:00:00+00:00"
    with sqlite3.connect(source) as database:
        database.execute("UPDATE metrics SET timestamp = ?", (first,))
        database.execute("DELETE FROM system_metrics")
        config = json.dumps({"_Created": resumed})
        database.execute("UPDATE configs SET config = ?", (config,))
    database.close()
    runs = list(trackio.read_runs(source, Counter()))
    (started,) = [run.started for run in runs if run.name == "first"]
    assert started == round(dt.datetime.fromisoformat(first).timestamp() * 1e6)


def test_a_group_that_is_too_long_is_counted(source, capsys):
    with sqlite3.connect(source) as database:
        config = json.dumps({"_Group": "g" * 300})
        database.execute("UPDATE configs SET config = ?", (config,))
    database.close()
    assert main(["import", str(source), "--project", "acme/spaces", "--dry-run"]) == 0
    assert skipped_of(capsys.readouterr().out, "first")["invalid groups or job types"] == 1
