"""Makes the database here, and `expected.json`, with trackio 0.43.0.

.cache/benchmarks/trackio/bin/python tests/golden_imports/trackio/make.py
"""

import json
import math
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def log(trackio):
    config = {"lr": 0.1, "nested": {"layers": [1, 2]}, "text": "x"}
    points = []
    trackio.init(project="digits", name="first", config=config, group="sweep")
    for step in range(20):
        trackio.log({"train/loss": 1 / (step + 1)})
        points.append(["train/loss", step, 1 / (step + 1), None])
    for number in (math.nan, math.inf, -math.inf):
        trackio.log({"odd": number}, step=100)
        points.append(["odd", 100, str(number), None])
    trackio.log({"note": "it works", "count": 7}, step=200)
    points += [["note", 200, "it works", None], ["count", 200, 7, None]]
    trackio.alert("hot", text="very")
    trackio.log_system({"gpu/0": 0.5})
    trackio.log_system({"gpu/0": 0.75})
    points += [["system/gpu/0", 0, 0.5, None], ["system/gpu/0", 1, 0.75, None]]
    trackio.finish()
    trackio.init(project="digits", name="second")
    trackio.log({"train/loss": 2.0})
    trackio.finish()
    return {
        "first": {
            "points": points,
            "config": config,
            "group": "sweep",
            "skipped": {"alerts": 1},
            "origin": {"tool": "trackio", "project": "digits"},
        },
        "second": {"points": [["train/loss", 0, 2.0, None]], "config": {}, "skipped": {}},
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRACKIO_DIR"] = folder
        import trackio

        expected = log(trackio)
        database = Path(folder) / "digits.db"
        with sqlite3.connect(database) as connection:
            connection.execute("PRAGMA journal_mode = delete")
            connection.execute("PRAGMA page_size = 512")
            connection.commit()
            connection.execute("VACUUM")
        shutil.copy(database, HERE / "digits.db")
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
