"""Makes the Parquet files here with the schema of neptune-exporter, and `expected.json`.

The exporter itself needs an account of the service, which has ended: pyarrow 26.0.1 writes them.

    python tests/golden_imports/neptune/make.py
"""

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

HERE = Path(__file__).parent
TIME = dt.datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=dt.UTC)
SCHEMA = pa.schema(
    [
        ("project_id", pa.string()),
        ("run_id", pa.string()),
        ("attribute_path", pa.string()),
        ("attribute_type", pa.string()),
        ("step", pa.decimal128(18, 6)),
        ("timestamp", pa.timestamp("ms", tz="UTC")),
        ("int_value", pa.int64()),
        ("float_value", pa.float64()),
        ("string_value", pa.string()),
        ("bool_value", pa.bool_()),
        ("datetime_value", pa.timestamp("ms", tz="UTC")),
        ("string_set_value", pa.list_(pa.string())),
        ("file_value", pa.struct([("path", pa.string())])),
        (
            "histogram_value",
            pa.struct(
                [
                    ("type", pa.string()),
                    ("edges", pa.list_(pa.float64())),
                    ("values", pa.list_(pa.float64())),
                ]
            ),
        ),
    ]
)
COLUMNS = {
    "float_series": "float_value",
    "string_series": "string_value",
    "histogram_series": "histogram_value",
    "file_series": "file_value",
}


def row(run, path, kind, value, step=None, time=None):
    column = COLUMNS.get(kind, "string_value" if kind == "tensor" else f"{kind}_value")
    place = {"project_id": "acme/digits", "run_id": run, "step": step, "timestamp": time}
    return {**place, "attribute_path": path, "attribute_type": kind, column: value}


def write(name, rows):
    folder = HERE / "data" / "acme_digits_0a1b"
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    pyarrow.parquet.write_table(table, folder / name, compression="snappy")


if __name__ == "__main__":
    moment = TIME - dt.timedelta(hours=1)
    first = [
        row("DIG-1", "sys/name", "string", "experiment"),
        row("DIG-1", "sys/description", "string", "a note"),
        row("DIG-1", "sys/owner", "string", "ada"),
        row("DIG-1", "sys/tags", "string_set", ["b", "a"]),
        row("DIG-1", "sys/creation_time", "datetime", moment),
        row("DIG-1", "parameters/lr", "float", 0.1),
        row("DIG-1", "parameters/layers", "int", 2**60),
        row("DIG-1", "parameters/flag", "bool", value=True),
        row("DIG-1", "parameters/sizes", "string_set", ["x", "y"]),
        row("DIG-1", "data/sample.txt", "file", {"path": "DIG-1/data/sample.txt"}),
        row("DIG-1", "data/absent.txt", "file", {"path": "DIG-1/data/absent.txt"}),
        row("DIG-1", "data/outside", "file", {"path": "../../../../../etc/passwd"}),
        row("DIG-1", "strange", "tensor", None),
    ]
    points = []
    for step in range(20):
        time = TIME + dt.timedelta(seconds=step)
        first.append(row("DIG-1", "metrics/loss", "float_series", 1 / (step + 1), step, time))
        points.append(["metrics/loss", step, 1 / (step + 1), time.timestamp()])
    for step, number in enumerate(["nan", "inf", "-inf"]):
        first.append(row("DIG-1", "odd", "float_series", float(number), step, TIME))
        points.append(["odd", step, number, TIME.timestamp()])
    histogram = {"type": "COUNTING", "edges": [0.0, 1.0], "values": [5.0]}
    second = [
        row("DIG-1", "log", "string_series", "started", 0, TIME),
        row("DIG-1", "weights", "histogram_series", histogram, 1, TIME),
        row("DIG-1", "shots", "file_series", {"path": "DIG-1/shots/1.txt"}, 1, TIME),
    ]
    points.append(["log", 0, "started", TIME.timestamp()])
    points.append(["weights", 1, histogram, TIME.timestamp()])
    write("DIG-1_part_0.parquet", first)
    write("DIG-1_part_1.parquet", second)
    write(
        "DIG-2_part_0.parquet",
        [
            row("DIG-2", "sys/failed", "bool", value=True),
            row("DIG-2", "loss", "float_series", 1.0, Decimal("0.25"), TIME),
            row("DIG-2", "loss", "float_series", 0.5, Decimal(1), TIME),
        ],
    )
    for path in ("DIG-1/data/sample.txt", "DIG-1/shots/1.txt"):
        file = HERE / "files" / "acme_digits_0a1b" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
    expected = {
        "DIG-1": {
            "points": points,
            "config": {
                "parameters/lr": 0.1,
                "parameters/layers": 2**60,
                "parameters/flag": True,
                "parameters/sizes": ["x", "y"],
            },
            "tags": ["a", "b"],
            "group": "experiment",
            "notes": "a note",
            "files": {
                "data/sample.txt": "DIG-1/data/sample.txt",
                "shots/1": "DIG-1/shots/1.txt",
            },
            "skipped": {"files that are not in the source": 2, "unknown attributes": 1},
            "origin": {
                "tool": "neptune",
                "user": "ada",
                "project": "acme/digits",
                "date_created": moment.isoformat(),
            },
        },
        "DIG-2": {
            "points": [["loss", 25, 1.0, TIME.timestamp()], ["loss", 100, 0.5, TIME.timestamp()]],
            "status": "FAILED",
            "skipped": {},
            "origin": {"step_multiplier": 100},
        },
    }
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
