"""Makes the `.wandb` files here, and `expected.json`, with wandb 0.31.0 and Pillow 12.3.0.

.cache/benchmarks/wandb/bin/python tests/golden_imports/wandb/make.py
"""

import hashlib
import json
import math
import os
import shutil
import struct
import tempfile
import zlib
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
        "skipped": {"html-file": 1},
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
        "skipped": {},
    }


def chunk(kind, data):
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def picture(gray):
    """A PNG file with one pixel."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixel = zlib.compress(bytes([0, gray]))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", pixel), chunk(b"IEND", b"")]
    )


def log_media(wandb, folder):
    run = wandb.init(
        project="digits", name="media", id="media003", mode="offline", settings=SETTINGS
    )
    media = []

    def path_of(name, data):
        path = Path(folder) / name
        path.write_bytes(data)
        return str(path)

    def expect(name, step, kind, content_type, data):
        media.append([name, step, kind, content_type, hashlib.sha256(data).hexdigest()])

    run.define_metric("late/*", step_metric="epoch")
    sound = b"RIFF\x04\x00\x00\x00WAVE"
    black, white = picture(0), picture(255)
    run.log({"picture": wandb.Image(path_of("black.png", black), caption="black"), "loss": 0.5})
    expect("picture", 0, "image", "image/png", black)
    run.log(
        {
            "picture": wandb.Image(path_of("white.png", white)),
            "page": wandb.Html("<b>x</b>", inject=False),
        }
    )
    expect("picture", 1, "image", "image/png", white)
    expect("page", 1, "html", "text/html; charset=utf-8", b"<b>x</b>")
    run.log(
        {
            "pair": [
                wandb.Image(path_of(name, data))
                for name, data in (("a.png", black), ("b.png", white))
            ]
        }
    )
    expect("pair/0", 2, "image", "image/png", black)
    expect("pair/1", 2, "image", "image/png", white)
    pages = [wandb.Html(text, inject=False) for text in ("<i>a</i>", "<i>b</i>")]
    run.log({"sound": wandb.Audio(path_of("a.wav", sound)), "pages": pages})
    expect("sound", 3, "audio", "audio/wav", sound)
    expect("pages/0", 3, "html", "text/html; charset=utf-8", b"<i>a</i>")
    expect("pages/1", 3, "html", "text/html; charset=utf-8", b"<i>b</i>")
    run.log({"late/picture": wandb.Image(path_of("late.png", black)), "epoch": 70})
    expect("late/picture", 70, "image", "image/png", black)
    run.log({"film": wandb.Video(path_of("a.mp4", b"film"))})
    run.log({"counts": wandb.Histogram(np_histogram=([1, 2], [0.0, 0.5, 1.0]))})
    points = [["loss", 0, 0.5, None], ["epoch", 4, 70, None]]
    # wandb writes floats that are integers as such.
    histogram = {"_type": "histogram", "values": [1, 2], "bins": [0, 0.5, 1]}
    points.append(["counts", 6, histogram, None])
    files = Path(run.dir)
    (files / "notes").mkdir()
    (files / "notes" / "a.txt").write_text("mine")
    run.finish()
    return {
        "points": points,
        "media": media,
        "files": {
            "film/5.mp4": "film",
            "notes/a.txt": "mine",
            "requirements.txt": (files / "requirements.txt").read_text(),
        },
        "skipped": {"captions": 1},
    }


def copy_staging(folder):
    """Copies the files of artifacts, but tables, to where they are found beside the runs."""
    staging = HERE / "artifacts" / "staging"
    shutil.rmtree(HERE / "artifacts", ignore_errors=True)
    staging.mkdir(parents=True)
    for file in (Path(folder) / "artifacts" / "staging").iterdir():
        if b"columns" not in file.read_bytes():
            # Those that wandb made are read-only.
            (staging / file.name).write_bytes(file.read_bytes())


def log_artifacts(wandb):
    run = wandb.init(
        project="digits", name="artifacts", id="artif004", mode="offline", settings=SETTINGS
    )
    for text in ("first", "second"):
        model = wandb.Artifact("weights", "model", description=text, metadata={"acc": 0.5})
        with model.new_file("parts/weights.bin") as file:
            file.write(text)
        with model.new_file("notes.txt") as file:
            file.write("same")
        model.add_reference("https://example.com/x.bin", checksum=False)
        run.log_artifact(model, aliases=["latest", text, "v7"], tags=["a"])
    run.log({"table": wandb.Table(columns=["a"], data=[[1]])})
    files = Path(run.dir)
    run.finish()
    shutil.rmtree(files)
    return {
        "points": [],
        "versions": ["first", "second"],
        "skipped": {"artifacts of tables": 1, "invalid aliases": 2, "tags of artifacts": 2,
                    "table-file": 1},
    }  # fmt: skip


if __name__ == "__main__":
    for old in HERE.glob("offline-run-*"):
        shutil.rmtree(old)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["WANDB_DIR"] = os.environ["WANDB_DATA_DIR"] = folder
        import wandb

        expected = {
            "first": log_first(wandb), "second": log_second(wandb), "media": log_media(wandb, folder),
            "artifacts": log_artifacts(wandb),
        }  # fmt: skip
        copy_staging(folder)
        for file in Path(folder).glob("wandb/offline-run-*/run-*.wandb"):
            target = HERE / file.parent.name
            target.mkdir()
            shutil.copy(file, target)
            if "media" in file.name:
                shutil.copytree(file.parent / "files", target / "files")
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
