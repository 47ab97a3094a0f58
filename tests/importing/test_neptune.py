"""Parquet files with the schema of neptune-exporter."""

import json
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from golden_runs import check_repeats, check_run, skipped_of

import afnio_tellurio as te
from afnio_tellurio.cli import main

GOLDEN = Path(__file__).parent.parent / "golden_imports" / "neptune"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())


@pytest.mark.usefixtures("server")
def test_all_that_was_exported_is_imported(capsys):
    assert main(["import", str(GOLDEN), "--project", "acme/planets"]) == 0
    out = capsys.readouterr().out
    runs = {run.name: run for run in te.runs("acme", "planets")}
    assert set(runs) == set(EXPECTED)
    for name, expected in EXPECTED.items():
        check_run(runs[name], expected)
        assert skipped_of(out, name) == expected["skipped"]
    check_repeats(GOLDEN, "planets")


@pytest.mark.usefixtures("server")
def test_one_part_is_read_alone_and_other_files_are_counted(tmp_path, capsys):
    shutil.copytree(GOLDEN / "data", tmp_path / "data")
    pa.parquet.write_table(pa.table({"x": [1]}), tmp_path / "data" / "other.parquet")
    assert main(["import", str(tmp_path), "--project", "acme/planets"]) == 0
    out = capsys.readouterr().out
    assert "4 files that are not in the source" in out
    assert out.endswith("Skipped: 1 other Parquet files\n")
    part = next(tmp_path.rglob("DIG-2*"))
    assert main(["import", str(part), "--project", "acme/alone"]) == 0
    (run,) = te.runs("acme", "alone")
    assert run.metrics("loss").values == [1.0, 0.5]


@pytest.mark.usefixtures("server")
def test_what_is_no_export_is_one_line(tmp_path, capsys):
    path = tmp_path / "x.parquet"
    pa.parquet.write_table(pa.table({"x": [1]}), path)
    assert main(["import", str(path), "--project", "acme/x"]) == 1
    assert "has no Parquet files of neptune-exporter" in capsys.readouterr().err
    path.write_bytes(b"PAR1")
    assert main(["import", str(path), "--project", "acme/x"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.usefixtures("server")
def test_without_pyarrow_the_message_names_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["import", str(GOLDEN), "--project", "acme/x"]) == 1
    assert "pip install pyarrow" in capsys.readouterr().err
