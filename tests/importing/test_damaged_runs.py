"""A damaged run in a source: it is reported by name, and the others are imported."""

import gzip
import json
import shutil
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from golden_runs import check_run

import afnio_tellurio as te
from afnio_tellurio.cli import main
from afnio_tellurio.importing.checksums import masked_crc32c

GOLDEN = Path(__file__).parent.parent / "golden_imports"
MLFLOW = "535406121058774710"
FOLDED = "a name that is so long that YAML folds it, because it has more than eighty characters"


def expected_of(kind):
    found = json.loads((GOLDEN / kind / "expected.json").read_text("utf-8"))
    return found["folder"] if kind == "mlflow" else found


def changed(file, query):
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(query)


def damage_bytes(file, start=0, size=16):
    data = bytearray(file.read_bytes())
    data[start : start + size] = b"\xff" * size
    file.write_bytes(data)


def in_trackio(query):
    def damage(folder):
        changed(folder / "digits.db", query)

    return damage


def in_mlflow(run, name, content):
    def damage(folder):
        for file in (folder / MLFLOW).glob("*/tags/mlflow.runName"):
            if file.read_text() == run:
                place = file.parent.parent / name
                place.unlink() if content is None else place.write_text(content)

    return damage


def in_file(pattern, *place):
    def damage(folder):
        (file,) = folder.glob(pattern)
        damage_bytes(file, *place)

    return damage


def in_hparams(folder):
    """Values that are not what their field has."""
    # An event, its summary, its value, its metadata, their plugin, and the data of hparams.
    data = b"\x1a\x01\x0f"
    plugin = b"\x0a\x07hparams\x12" + bytes([len(data)]) + data
    for key in (b"\x0a", b"\x4a", b"\x0a", b"\x2a"):
        plugin = key + bytes([len(plugin)]) + plugin
    (file,) = (folder / "tensors").iterdir()
    size = struct.pack("<Q", len(plugin))
    sums = [struct.pack("<I", masked_crc32c(part)) for part in (size, plugin)]
    file.write_bytes(file.read_bytes() + size + sums[0] + plugin + sums[1])


def in_neptune(folder):
    (file,) = folder.rglob("DIG-2*")
    table = pa.parquet.read_table(file)
    index = table.schema.get_field_index("step")
    pa.parquet.write_table(table.set_column(index, "step", pa.array(["x"] * len(table))), file)


DAMAGES = [
    ("trackio", in_trackio("UPDATE metrics SET metrics = '{' WHERE id = 1"), "first", "row 1 of the table metrics"),
    ("trackio", in_trackio("UPDATE configs SET config = '[]' WHERE run_name = 'first'"), "first", "its config"),
    ("trackio", in_trackio("UPDATE system_metrics SET metrics = '{' WHERE run_name = 'first'"), "first", "of the table system_metrics"),
    ("mlflow", in_mlflow("killed", "meta.yaml", ""), None, "has no run_id"),
    ("mlflow", in_mlflow("killed", "meta.yaml", None), None, "meta.yaml"),
    ("wandb", in_file("*-first001/*.wandb"), "run-first001.wandb", "is not a .wandb file"),
    ("wandb", in_file("*-first001/*.wandb", 20), "run-first001.wandb", "is damaged where"),
    ("wandb", in_file("*-second02-1/*.wandb"), "run-second02.wandb", "is not a .wandb file"),
    ("tensorboard", in_hparams, "tensors", "unknown wire type"),
    ("neptune", in_file("**/DIG-2*.parquet"), "DIG-2_part_0.parquet", "DIG-2_part_0.parquet"),
    ("neptune", in_file("**/DIG-1_part_1.parquet", -8, 8), "DIG-1_part_1.parquet", "DIG-1_part_1.parquet"),
    ("neptune", in_neptune, "DIG-2", "DIG-2_part_0.parquet"),
]  # fmt: skip
#: The run that is damaged, where the report has another name.
RUNS = {
    None: "killed", "run-first001.wandb": "first", "run-second02.wandb": "second",
    "DIG-2_part_0.parquet": "DIG-2", "DIG-1_part_1.parquet": "DIG-1",
}  # fmt: skip


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(("kind", "damage", "name", "words"), DAMAGES)
def test_the_others_are_imported(kind, damage, name, words, tmp_path, capsys):
    source = tmp_path / "source"
    shutil.copytree(GOLDEN / kind / ("mlruns" if kind == "mlflow" else ""), source)
    if kind == "trackio":
        shutil.rmtree(source / "with_files")
    damage(source)
    command = ["import", str(source), "--project", "acme/others"]
    for options in (["--dry-run"], []):
        assert main([*command, *options]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.partition(": not imported: ")[0] == (name or line[:32])
        assert words in line
        assert line.endswith(
            "repair or remove it there, and repeat the import: it continues with what is missing"
        )
    expected = expected_of(kind)
    del expected[RUNS.get(name, name)]
    runs = {run.name: run for run in te.runs("acme", "others")}
    assert set(expected) <= set(runs) <= {*expected, "hparams"}
    for each, wanted in expected.items():
        check_run(runs[each], wanted)


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("UPDATE params SET value = x'ff' WHERE key = 'text'", FOLDED),
        ("UPDATE tags SET value = x'ff' WHERE key = 'team'", FOLDED),
        ("UPDATE runs SET end_time = 9e999 WHERE name = 'killed'", "killed"),
        ("UPDATE metrics SET timestamp = 9e999 WHERE key = 'before'", FOLDED),
    ],
)
def test_a_value_of_another_type_in_a_database_of_mlflow(query, name, tmp_path, capsys):
    data = gzip.decompress((GOLDEN / "mlflow" / "mlflow.db.gz").read_bytes())
    (tmp_path / "mlflow.db").write_bytes(data)
    (tmp_path / "folder.db").mkdir()
    changed(tmp_path / "mlflow.db", query)
    assert main(["import", str(tmp_path), "--project", "acme/others"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{name}: not imported: ")
    expected = json.loads((GOLDEN / "mlflow" / "expected.json").read_text("utf-8"))["database"]
    assert {run.name for run in te.runs("acme", "others")} == {*expected} - {name}


@pytest.mark.usefixtures("server")
def test_a_damaged_database_beside_another_one(tmp_path, capsys):
    shutil.copy(GOLDEN / "trackio" / "digits.db", tmp_path / "digits.db")
    shutil.copy(GOLDEN / "trackio" / "digits.db", tmp_path / "all.db")
    damage_bytes(tmp_path / "all.db", 100, 4000)
    (tmp_path / "folder.db").mkdir()
    assert main(["import", str(tmp_path), "--project", "acme/others"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("all.db: not imported: ")
    assert {run.name for run in te.runs("acme", "others")} == set(expected_of("trackio"))


@pytest.mark.usefixtures("server")
def test_a_repaired_run_is_imported_later(tmp_path, capsys):
    file = Path(shutil.copy(GOLDEN / "trackio" / "digits.db", tmp_path / "digits.db"))
    with closing(sqlite3.connect(file)) as database:
        (before,) = database.execute(
            "SELECT cast(metrics AS BLOB) FROM metrics WHERE id = 1"
        ).fetchone()
    changed(file, "UPDATE metrics SET metrics = '{' WHERE id = 1")
    command = ["import", str(file), "--project", "acme/others"]
    assert main(command) == 1
    changed(file, f"UPDATE metrics SET metrics = cast(x'{before.hex()}' AS TEXT) WHERE id = 1")
    capsys.readouterr()
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "first: 27 values imported" in out
    assert "second: already imported" in out
    expected = expected_of("trackio")
    for run in te.runs("acme", "others"):
        check_run(run, expected[run.name])
