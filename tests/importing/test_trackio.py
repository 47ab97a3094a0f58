"""Runs that trackio recorded."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from golden_runs import check_repeats, check_run, skipped_of

import afnio_tellurio as te
from afnio_tellurio.cli import main

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


@pytest.mark.usefixtures("server")
def test_what_is_no_database_of_it_is_one_line(source, tmp_path, capsys):
    with sqlite3.connect(source) as database:
        database.execute("UPDATE metrics SET metrics = '{'")
    assert main(["import", str(source), "--project", "acme/spaces"]) == 1
    assert "has JSON that is invalid" in capsys.readouterr().err
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE x (y)")
    for kind in ("trackio", "mlflow"):
        assert main(["import", str(other), "--project", "acme/spaces", "--from", kind]) == 1
        assert f"is not a database of {kind}" in capsys.readouterr().err
    assert main(["import", str(other), "--project", "acme/spaces"]) == 1
    assert "has nothing that can be imported" in capsys.readouterr().err
