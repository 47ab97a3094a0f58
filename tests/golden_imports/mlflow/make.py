"""Makes the files here, and `expected.json`, with mlflow 3.17.2.

.cache/benchmarks/mlflow/bin/python tests/golden_imports/mlflow/make.py
"""

import gzip
import json
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

# It refuses new folders without this.
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
import mlflow
from mlflow.entities import Metric
from mlflow.tracking import MlflowClient

HERE = Path(__file__).parent
TIME = 1_764_000_000_250


def log(uri):
    """Logs the same runs to a store; returns what must be imported."""
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("digits: ünïcode")
    client = MlflowClient()
    is_database = uri.startswith("sqlite")
    points = [["loss", step, 1 / (step + 1), TIME / 1000 + step] for step in range(10)]
    points += [["loss", 3, 7.0, TIME / 1000 + 100], ["val/odd", 0, "nan", TIME / 1000]]
    # The database has no infinity.
    largest = 1.7976931348623157e308
    points.append(["val/odd", 1, largest if is_database else "inf", TIME / 1000])
    name = "a name that is so long that YAML folds it, because it has more than eighty characters"
    with mlflow.start_run(run_name=name, description="a note") as parent:
        config = {"lr": 0.1, "layers": 3, "flag": True, "text": "001", "big": "1" * 200}
        mlflow.log_params(config)
        mlflow.set_tags({"team": "vision", "draft": ""})
        logged = [
            Metric(each, float(value), round(time * 1000), step)
            for each, step, value, time in points
        ]
        if is_database:
            logged[-1] = Metric("val/odd", float("inf"), TIME, 1)
        client.log_batch(parent.info.run_id, metrics=logged)
        client.log_metric(parent.info.run_id, "before", 1.0, TIME, -1)
        mlflow.log_text("hello", "notes/a.txt")
        with mlflow.start_run(run_name="child", nested=True) as child:
            client.log_metric(child.info.run_id, "loss", 0.5, TIME, 0)
    failed = client.create_run(parent.info.experiment_id, run_name="failed")
    client.set_terminated(failed.info.run_id, "FAILED")
    killed = client.create_run(parent.info.experiment_id, run_name="killed")
    client.set_terminated(killed.info.run_id, "KILLED")
    client.create_run(parent.info.experiment_id, run_name="open")
    deleted = client.create_run(parent.info.experiment_id, run_name="deleted")
    client.delete_run(deleted.info.run_id)
    return {
        name: {
            "points": points,
            "config": config,
            "tags": ["draft", "team=vision"],
            "group": "digits: ünïcode",
            "notes": "a note",
            "files": {"notes/a.txt": "hello"},
            "skipped": {"values with an invalid step": 1},
            "origin": {
                "tool": "mlflow",
                "run": parent.info.run_id,
                "user": parent.data.tags["mlflow.user"],
                "experiment": "digits: ünïcode",
                "status": "FINISHED",
            },
        },
        "child": {"points": [["loss", 0, 0.5, TIME / 1000]], "parent": name, "skipped": {}},
        "failed": {"points": [], "status": "FAILED", "skipped": {}},
        "killed": {"points": [], "status": "CRASHED", "skipped": {}},
        "open": {"points": [], "status": "FAILED", "skipped": {}},
    }


def pack(database, target):
    """Makes a database small: it has some hundred tables and indexes."""
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA journal_mode = delete")
        connection.execute("PRAGMA page_size = 512")
        connection.commit()
        connection.execute("VACUUM")
    target.write_bytes(gzip.compress(database.read_bytes(), mtime=0))


if __name__ == "__main__":
    shutil.rmtree(HERE / "mlruns", ignore_errors=True)
    os.chdir(HERE)
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "mlflow.db"
        os.chdir(folder)
        expected = {"database": log(f"sqlite:///{database}")}
        shutil.copytree(Path(folder) / "mlruns", HERE / "artifacts_of_database", dirs_exist_ok=True)
        pack(database, HERE / "mlflow.db.gz")
        os.chdir(HERE)
    expected["folder"] = log(str(HERE / "mlruns"))
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")
