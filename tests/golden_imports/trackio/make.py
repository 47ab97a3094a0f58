"""Makes the databases here, their files, and `expected.json`, with trackio 0.43.0.

.cache/benchmarks/trackio/bin/python tests/golden_imports/trackio/make.py
"""

import gzip
import hashlib
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


def log_files(trackio, folder):
    import numpy as np

    media = []

    def expect(name, step, kind, content_type):
        place = next((folder / "media" / "pictures" / "first" / str(step)).iterdir())
        digest = hashlib.sha256(place.read_bytes()).hexdigest()
        media.append([name, step, kind, content_type, digest])

    trackio.init(project="pictures", name="first")
    for step, gray in ((3, 0), (4, 255)):
        pixels = np.full((1, 1, 3), gray, np.uint8)
        trackio.log({"picture": trackio.Image(pixels, caption="x"), "loss": 0.5}, step=step)
    trackio.log({"page": trackio.Html("<b>x</b>")}, step=5)
    trackio.log({"note": trackio.Markdown("*x*")}, step=6)
    weights = folder / "weights.bin"
    versions = []
    for data, aliases in ((b"first", ["best"]), (b"second", [])):
        weights.write_bytes(data)
        artifact = trackio.Artifact("model", "model", "a model", {"acc": 0.5})
        artifact.add_file(str(weights), name="parts/weights.bin")
        artifact.add_reference("https://example.com/x.bin", name="x.bin", checksum=False)
        trackio.log_artifact(artifact, aliases=aliases)
        versions.append([data.decode(), aliases])
    trackio.use_artifact("model:best")
    trackio.finish()
    expect("picture", 3, "image", "image/png")
    expect("picture", 4, "image", "image/png")
    expect("page", 5, "html", "text/html; charset=utf-8")
    note = {"_type": "trackio.markdown", "_value": "*x*"}
    return {
        "points": [["loss", 3, 0.5, None], ["loss", 4, 0.5, None], ["note", 6, note, None]],
        "media": media,
        "files": {},
        "versions": versions,
        "skipped": {"captions": 2, "versions that the run used": 1},
    }


def shrink(database):
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA journal_mode = delete")
        connection.execute("PRAGMA page_size = 512")
        connection.commit()
        connection.execute("VACUUM")
    return database


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRACKIO_DIR"] = folder
        import trackio

        expected = log(trackio)
        shutil.copy(shrink(Path(folder) / "digits.db"), HERE / "digits.db")
        with_files = HERE / "with_files"
        shutil.rmtree(with_files, ignore_errors=True)
        files_expected = log_files(trackio, Path(folder))
        with_files.mkdir()
        for name in ("media", "artifacts"):
            shutil.copytree(Path(folder) / name / "pictures", with_files / name / "pictures")
        database = shrink(Path(folder) / "pictures.db")
        (with_files / "pictures.db.gz").write_bytes(gzip.compress(database.read_bytes(), mtime=0))
        (with_files / "expected.json").write_text(json.dumps(files_expected, indent=1) + "\n")
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
