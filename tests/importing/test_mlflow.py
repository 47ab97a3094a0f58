"""Runs that mlflow recorded, in its database and in its folders."""

import gzip
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from golden_runs import check_repeats, check_run, import_as_foretold, skipped_of

import afnio_tellurio as te
from afnio_tellurio.cli import main
from afnio_tellurio.importing import mlflow
from afnio_tellurio.settings.limits import MAX_TAGS

GOLDEN = Path(__file__).parent.parent / "golden_imports" / "mlflow"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text("utf-8"))


@pytest.fixture(params=EXPECTED)
def kind(request):
    return request.param


@pytest.fixture
def source(kind, tmp_path):
    """The database beside its artifacts, or the folder."""
    target = tmp_path / "source"
    if kind == "folder":
        return shutil.copytree(GOLDEN / "mlruns", target)
    target.mkdir()
    shutil.copytree(GOLDEN / "artifacts_of_database", target / "mlruns")
    (target / "mlflow.db").write_bytes(gzip.decompress((GOLDEN / "mlflow.db.gz").read_bytes()))
    return target / "mlflow.db"


@pytest.mark.usefixtures("server")
def test_all_that_was_logged_is_imported(kind, source, capsys):
    assert main(["import", str(source), "--project", "acme/flows"]) == 0
    out = capsys.readouterr().out
    assert out.endswith("Skipped: 1 deleted runs\n")
    runs = {run.name: run for run in te.runs("acme", "flows")}
    assert set(runs) == set(EXPECTED[kind])
    for name, expected in EXPECTED[kind].items():
        check_run(runs[name], expected)
        assert skipped_of(out, name) == expected["skipped"]
        if "parent" in expected:
            assert runs[name].parent_uuid == runs[expected["parent"]].uuid
    assert runs["killed"].ended_because.message == "It was killed."
    assert runs["open"].ended_because.message == "It had not ended when it was imported."
    for run in runs.values():
        origin = te.get_run("acme", "flows", run.uuid).environment["imported_from"]
        if run.name != "open":
            assert origin["date_created"] <= run.date_ended.isoformat()
    check_repeats(source, "flows")


@pytest.mark.usefixtures("server")
def test_a_folder_with_a_database_is_imported_too(tmp_path, kind, source):
    folder = source if source.is_dir() else source.parent
    assert main(["import", str(folder), "--project", "acme/flows", "--from", "mlflow"]) == 0
    assert len(list(te.runs("acme", "flows"))) == len(EXPECTED[kind])


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("kind", ["database"])
def test_files_outside_the_source_are_not_read(source, tmp_path, capsys):
    """The author of the database could name any folder of this machine."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("secret")
    shutil.rmtree(source.parent / "mlruns")
    with sqlite3.connect(source) as database:
        database.execute("UPDATE runs SET artifact_uri = ?", (str(secret),))
    assert main(["import", str(source), "--project", "acme/flows"]) == 0
    assert "1 folders of artifacts outside the source" in capsys.readouterr().out
    assert not any(run.files() for run in te.runs("acme", "flows"))


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("kind", ["folder"])
def test_links_are_not_followed_and_damaged_lines_are_counted(source, tmp_path, capsys):
    (tmp_path / "secret").write_text("secret")
    (metrics,) = source.glob("*/*/metrics/before")
    run = metrics.parent.parent
    (run / "artifacts" / "link").symlink_to(tmp_path / "secret")
    (run / "params" / "link").symlink_to(tmp_path / "secret")
    metrics.write_text("1 2 3\nnonsense\n4\n")
    assert main(["import", str(source), "--project", "acme/flows"]) == 0
    assert "2 damaged lines, 1 links" in capsys.readouterr().out
    (found,) = [each for each in te.runs("acme", "flows") if each.config]
    assert found.metrics("before").values == [2.0]
    assert [file.path for file in found.files()] == ["notes/a.txt"]
    assert "link" not in found.config


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("kind", ["database"])
def test_credentials_are_replaced(source):
    with sqlite3.connect(source) as database:
        database.execute("UPDATE params SET key = 'api_key' WHERE key = 'text'")
    assert main(["import", str(source), "--project", "acme/flows"]) == 0
    (found,) = [each for each in te.runs("acme", "flows") if each.config]
    assert found.config["api_key"] not in ("001", None)


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("kind", ["database"])
def test_a_damaged_database_is_one_line(source, capsys):
    data = bytearray(source.read_bytes())
    data[2000:60_000] = b"\xff" * 58_000
    source.write_bytes(data)
    assert main(["import", str(source), "--project", "acme/flows", "--from", "mlflow"]) == 1
    assert "cannot be read as a database" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", 0.1), ("1e-05", 1e-05), ("1e-5", "1e-5"), ("7", 7), ("007", "007"),
        ("True", True), ("true", "true"), ("None", "None"), ("nan", "nan"), ("inf", "inf"), ("9" * 20, "9" * 20), ("", ""),
    ],
)  # fmt: skip
def test_parameters_are_numbers_only_if_nothing_is_lost(text, value):
    parsed = mlflow._parsed(text)
    assert (parsed, type(parsed)) == (value, type(value))


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("name: plain", "plain"),
        ("name: 'it''s'", "it's"),
        ('name: "a\\nb"', "a\nb"),
        ("name: a\n  b", "a b"),
        ("name: null", ""),
        ("name: 'a: b'", "a: b"),
    ],
)
def test_texts_of_metadata(line, value, tmp_path):
    (tmp_path / "meta.yaml").write_text(f"x: 1\n{line}\n")
    assert mlflow._read_meta(tmp_path / "meta.yaml")["name"] == value


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("kind", ["folder"])
def test_texts_that_are_not_utf_8_stop_nothing(source, capsys):
    (metrics,) = source.glob("*/*/metrics/before")
    metrics.write_bytes(b"\xff 1 2\n1 2 3\n1" + b"0" * 400 + b" 2 4\n")
    run = metrics.parent.parent
    (run / "params" / "bytes").write_bytes(b"a\xff")
    assert main(["import", str(source), "--project", "acme/flows"]) == 0
    out = capsys.readouterr().out
    assert "1 damaged lines" in out
    assert "1 texts that are not UTF-8" in out
    (found,) = [each for each in te.runs("acme", "flows") if each.config]
    assert found.config["bytes"] == "a\ufffd"
    assert found.metrics("before").values == [2.0, 2.0]


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("kind", ["database"])
def test_times_without_a_date_are_left_out(source):
    with sqlite3.connect(source) as database:
        database.execute("UPDATE runs SET start_time = 9000000000000000, end_time = -1e17")
        database.execute("UPDATE metrics SET timestamp = 9000000000000000 WHERE step = 1")
    assert main(["import", str(source), "--project", "acme/flows"]) == 0
    runs = {run.name: run for run in te.runs("acme", "flows")}
    assert set(runs) == set(EXPECTED["database"])
    for name, expected in EXPECTED["database"].items():
        assert len(list(runs[name].iter_metrics())) == len(expected["points"])


@pytest.mark.usefixtures("server")
def test_tags_that_a_run_cannot_have_are_counted(tmp_path, capsys):
    file = tmp_path / "mlflow.db"
    file.write_bytes(gzip.decompress((GOLDEN / "mlflow.db.gz").read_bytes()))
    with sqlite3.connect(file) as database:
        ((run_id, name),) = database.execute(
            "SELECT run_uuid, name FROM runs WHERE lifecycle_stage = 'active' LIMIT 1"
        ).fetchall()
        database.execute("DELETE FROM tags WHERE run_uuid = ?", (run_id,))
        values = ["x" * 300, *map(str, range(MAX_TAGS + 2))]
        database.executemany(
            "INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)",
            [(f"tag{number}", value, run_id) for number, value in enumerate(values)],
        )
    database.close()
    out = import_as_foretold(["import", str(file), "--project", "acme/flows"], capsys)
    assert skipped_of(out, name)["invalid tags"] == 3
    run = te.get_run("acme", "flows", name)
    assert len(run.tags) == MAX_TAGS
    environment = te.get_run("acme", "flows", run.uuid).environment
    assert len(environment["imported_from"]["tags"]) == len(values)
