"""Records what a golden home holds. It runs in the code of an earlier version; see `make.py`.

Only calls that every version has are used.
"""

import math
import os
import sqlite3
import time
from itertools import count
from pathlib import Path

import afnio_tellurio as te

# One metric each millisecond: times as they come would take most of the space.
ticks = count(1_795_000_000_000_000_000, 1_000_000)
time.time_ns = lambda: next(ticks)
# Not that of the machine that this happens to run on.
read_text = Path.read_text
Path.read_text = lambda path, *rest: (
    "golden" if path.name in {"machine-id", "boot_id"} else read_text(path, *rest)
)

DATABASE = Path(os.environ["TELLURIO_HOME"]) / "tellurio.db"

client = te.TellurioClient.local(DATABASE)
kept = te.init("acme", "Digits", "kept", "what it is about", client=client)
for step in range(2100):
    kept.log("loss", step % 7, step=step)
for value in (0.5, math.nan, -math.inf, 10**30, "text", None, {"a": [1]}):
    kept.log("values", value)
for step in (7, 7, 3):
    kept.log("steps", step, step=step)
kept.finish()
# Versions before format 5 ignore these fields.
client.patch(
    f"/api/v0/acme/projects/digits/runs/{kept.uuid}/",
    json={"config_patch": {"seed": 10**30, "lr": 0.1}, "add_tags": ["golden"], "group": "homes"},
)

# Versions before format 6 have no tables.
has_tables = hasattr(te, "log_rows")
if has_tables:
    rows = [{"index": 0, "score": math.nan}, {"index": 1, "score": 0.5}]
    with te.init("acme", "Digits", "with tables", client=client) as run:
        run.log_rows("candidates", rows, key="index")
        run.log_rows("candidates", [{"index": 0, "score": 10**30}])

# It ends with this process, which is killed.
left = te.init("acme", "Digits", "left", client=client)
left.log("count", 0)
left.log("count", 1)
left.flush()

# The last one, so that its deletion shows only in the ids of later runs.
RUNS = "/api/v0/acme/projects/digits/runs/"
deleted = client.post(RUNS, json={"name": "deleted"}).json()
client.delete(f"{RUNS}{deleted['uuid']}/")

# Nothing is delivered anymore: it stays in the journal.
other = sqlite3.connect(DATABASE, isolation_level=None)
other.execute("BEGIN IMMEDIATE")
left.log("count", 2)
left.log_metrics({"count": 3, "note": ["a", None]}, step=9)
left.log("count", math.inf)
if has_tables:
    left.log_rows("candidates", rows, key="index")
os._exit(0)
