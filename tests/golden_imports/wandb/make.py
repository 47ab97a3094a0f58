"""Makes the `.wandb` files here, and `expected.json`, with wandb 0.31.0.

.cache/benchmarks/wandb/bin/python tests/golden_imports/wandb/make.py
"""

import json
import math
import os
import shutil
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SETTINGS = {"x_disable_stats": True, "silent": True, "console": "off", "disable_git": True}


def log_first(wandb):
    config = {"lr": 0.1, "nested": {"layers": [1, 2]}, "text": "x", "none": None}
    run = wandb.init(
        project="digits", name="first", id="first001", config=config, tags=["b", "a"],
        group="sweep", job_type="train", notes="a note", mode="offline", settings=SETTINGS,
    )  # fmt: skip
    run.define_metric("val/*", step_metric="epoch")
    run.define_metric("late/loss", step_metric="seconds")
    points = []
    for step in range(30):
        run.log({"loss": 1 / (step + 1), "nested": {"x": step}})
        points += [["loss", step, 1 if step == 0 else 1 / (step + 1), None]]
        points += [["nested.x", step, step, None]]
    # A row with two x-axes, one of which has no integers.
    for epoch in (10, 20):
        row = {"epoch": epoch, "val/acc": epoch / 40, "seconds": 0.25, "late/loss": 0.125}
        run.log(row)
        step = 30 + epoch // 10 - 1
        points += [["epoch", step, epoch, None], ["val/acc", epoch, epoch / 40, None]]
        points += [["seconds", step, 0.25, None], ["late/loss", step, 0.125, None]]
    for step, number in enumerate([math.nan, math.inf, -math.inf], 100):
        run.log({"odd": number}, step=step)
        points.append(["odd", step, str(number), None])
    run.log({"note": "it works", "flag": True, "list": [1, 2]}, step=200)
    points += [["note", 200, "it works", None], ["flag", 200, True, None]]
    points += [["list", 200, [1, 2], None]]
    run.log({"page": wandb.Html("<b>x</b>", inject=False)}, step=300)
    # More than a block of 32 KiB: records that are divided.
    run.log({"long": "x" * 33_000}, step=400)
    points.append(["long", 400, "x" * 33_000, None])
    run.config.update({"added": 5})
    run.summary["best"] = 0.9
    run.finish()
    return {
        "points": points,
        "config": {**config, "added": 5},
        "tags": ["a", "b"],
        "group": "sweep",
        "job_type": "train",
        "notes": "a note",
        "skipped": {"html-file": 1, "lists of files": 2},
        "origin": {
            "tool": "wandb",
            "project": "digits",
            "summary": {"best": 0.9},
            "x_axes": {"val/*": "epoch", "late/loss": "seconds"},
        },
    }


def log_second(wandb):
    for part in range(2):
        run = wandb.init(
            project="digits", name="second", id="second02", resume="allow", mode="offline",
            settings=SETTINGS,
        )  # fmt: skip
        run.log({"loss": 0.5 + part}, step=part)
        run.finish(exit_code=part)
    return {
        "points": [["loss", 0, 0.5, None], ["loss", 1, 1.5, None]],
        "status": "CRASHED",
        "skipped": {"lists of files": 2},
    }


if __name__ == "__main__":
    for old in HERE.glob("offline-run-*"):
        shutil.rmtree(old)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["WANDB_DIR"] = folder
        import wandb

        expected = {"first": log_first(wandb), "second": log_second(wandb)}
        for file in Path(folder).glob("wandb/offline-run-*/run-*.wandb"):
            target = HERE / file.parent.name
            target.mkdir()
            shutil.copy(file, target)
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
