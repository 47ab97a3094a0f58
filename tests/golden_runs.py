"""Compares imported runs with what the real tool logged."""

import hashlib
import json
import math
import re

import afnio_tellurio as te
from afnio_tellurio.cli import main

WORDS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def points_of(run):
    """The values of a run: name, step, value, and time in seconds, sorted."""
    return sorted(
        [name, point.step, repr(point.value), point.timestamp.timestamp()]
        for name in run.summary()
        for point in run.iter_metrics(name)
    )


def check_run(run, expected):
    """Checks all that a script wrote down about a run; a time of None is any."""
    points = points_of(run)
    wanted = sorted(
        [name, step, repr(WORDS.get(value, value) if isinstance(value, str) else value), time]
        for name, step, value, time in expected["points"]
    )
    assert [point[:3] for point in points] == [point[:3] for point in wanted]
    for point, want in zip(points, wanted, strict=True):
        assert want[3] is None or abs(point[3] - want[3]) < 1e-5, point
    for field in ("config", "group", "job_type", "notes"):
        if field in expected:
            assert getattr(run, field) == expected[field], field
    assert run.status == expected.get("status", "COMPLETED")
    if "tags" in expected:
        assert sorted(run.tags) == sorted(expected["tags"])
    if "files" in expected:
        files = [file.path for file in run.files() if file.step is None]
        assert {path: run.open_file(path).read().decode() for path in files} == expected["files"]
    if "media" in expected:
        media = [file for file in run.files() if file.step is not None]
        assert sorted(map(medium_of, media)) == sorted(expected["media"])
        for file in media:
            with run.open_file(file.path, file.step) as stream:
                assert hashlib.sha256(stream.read()).hexdigest() == file.digest
    origin = te.get_run("acme", run.project.slug, run.uuid).environment["imported_from"]
    if origin.get("date_created") is not None:
        assert run.date_created.isoformat() == origin["date_created"]
    for name, value in expected.get("origin", {}).items():
        assert origin[name] == value, name


def skipped_of(out, name):
    """What the command says that it skipped of a run."""
    (line,) = [line for line in out.splitlines() if line.startswith(f"{name}: ")]
    found = re.findall(r"(\d+) ([^,]+)", line.partition("; skipped: ")[2])
    return {kind: int(count) for count, kind in found}


def medium_of(file):
    return [file.path, file.step, file.kind, file.content_type, file.digest]


def everything(project):
    return json.dumps(
        sorted(
            [run.name, run.status, points_of(run), sorted(map(str, run.files()))]
            for run in te.runs("acme", project)
        ),
        default=str,
    )


def check_repeats(source, project):
    """Checks that a second import of the same files changes nothing."""
    before = everything(project)
    assert main(["import", str(source), "--project", f"acme/{project}"]) == 0
    assert everything(project) == before


def import_as_foretold(command, capsys):
    """Imports, and returns the output; `--dry-run` counted the same before."""
    capsys.readouterr()
    assert main([*command, "--dry-run"]) == 0
    foretold = capsys.readouterr().out.replace("would be imported", "imported")
    assert main(command) == 0
    out = capsys.readouterr().out
    assert out == foretold
    return out
