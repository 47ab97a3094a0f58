"""Makes the event files here, and `expected.json`, with tensorboardX 2.6.5 and tensorboard 2.21.0.

python -m venv /tmp/tb && /tmp/tb/bin/pip install tensorboardX==2.6.5 tensorboard==2.21.0
/tmp/tb/bin/python tests/golden_imports/tensorboard/make.py
"""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import tensorboardX
from tensorboard import summary

HERE = Path(__file__).parent
TIME = 1_764_000_000.25


def close_to(number):
    """What a float of 32 bits makes of a number."""
    return float(np.float32(number))


def simple_values(folder):
    writer = tensorboardX.SummaryWriter(str(folder), write_to_disk=True)
    points = []
    for step in range(20):
        loss = 1 / (step + 1)
        writer.add_scalar("train/loss", loss, step, walltime=TIME + step)
        points.append(["train/loss", step, close_to(loss), TIME + step])
    for step, number in enumerate([math.nan, math.inf, -math.inf]):
        writer.add_scalar("odd", number, step, walltime=TIME)
        points.append(["odd", step, str(number), TIME])
    writer.add_text("note", "it *works*", 3, walltime=TIME + 1)
    points.append(["note/text_summary", 3, "it *works*", TIME + 1])
    writer.add_histogram("weights", np.arange(10), 0, walltime=TIME)
    writer.add_image("samples", np.zeros((3, 4, 4), np.uint8), 0, walltime=TIME)
    writer.close()
    return {"points": points, "config": {}, "skipped": {"histograms": 1, "images": 1}}


def hyperparameters(folder):
    writer = tensorboardX.SummaryWriter(str(folder))
    config = {"lr": 0.5, "optimizer": "adam", "nesterov": True, "layers": 3}
    writer.add_hparams(config, {"accuracy": 0.75}, name="trial", global_step=7)
    writer.close()
    return {
        "points": [["accuracy", 7, 0.75, None]],
        "config": {**config, "layers": 3.0},
        "skipped": {},
    }


def tensors(folder):
    out = summary.Writer(str(folder))
    points = []
    for step in range(5):
        out.add_scalar("val/loss", np.float32(step / 4), step, wall_time=TIME + step)
        points.append(["val/loss", step, step / 4, TIME + step])
    out.close()
    return {"points": points, "config": {}, "skipped": {}}


if __name__ == "__main__":
    for folder in HERE.iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)
    expected = {
        "simple": simple_values(HERE / "simple"),
        "hparams/trial": hyperparameters(HERE / "hparams"),
        "tensors": tensors(HERE / "tensors"),
    }
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
