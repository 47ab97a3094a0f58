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
@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "brotli", "zstd", "lz4"])
def test_each_compression_is_read(codec, tmp_path):
    shutil.copytree(GOLDEN, tmp_path, dirs_exist_ok=True)
    for file in tmp_path.rglob("*.parquet"):
        pa.parquet.write_table(pa.parquet.read_table(file), file, compression=codec)
    assert main(["import", str(tmp_path), "--project", "acme/planets"]) == 0
    runs = {run.name: run for run in te.runs("acme", "planets")}
    assert set(runs) == set(EXPECTED)
    for name, expected in EXPECTED.items():
        check_run(runs[name], expected)


@pytest.mark.usefixtures("server")
def test_a_compression_that_is_not_read_is_named(tmp_path, capsys):
    shutil.copytree(GOLDEN, tmp_path, dirs_exist_ok=True)
    file = next(tmp_path.rglob("DIG-2*"))
    pa.parquet.write_table(pa.parquet.read_table(file), file, compression="brotli")
    # pyarrow writes no LZO: 3 in the place of 4, between the fields around the codec.
    data = file.read_bytes()
    assert data.count(b"\x15\x08\x16") == pa.parquet.read_metadata(file).num_columns
    file.write_bytes(data.replace(b"\x15\x08\x16", b"\x15\x06\x16"))
    assert main(["import", str(tmp_path), "--project", "acme/planets"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"DIG-2_part_0.parquet: not imported: {file} is compressed with LZO, which this build of "
        "pyarrow does not read; write it again with Snappy or ZSTD where another tool reads it, "
        "and repeat the import"
    )
    assert [run.name for run in te.runs("acme", "planets")] == ["DIG-1"]


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
