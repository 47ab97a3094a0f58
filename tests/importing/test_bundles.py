"""Runs in one file: what comes back, repeated and killed imports, and files that lie."""

import functools
import hashlib
import io
import json
import math
import os
import stat
import struct
import uuid
import warnings
import zipfile

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet
import pytest
from changed_bundles import changed, with_run
from children import GUARD

import afnio_tellurio as te
from afnio_tellurio.bundles import reading
from afnio_tellurio.cli import main
from afnio_tellurio.tracking import capturing

VALUES = [
    0.5, math.nan, -math.inf, math.inf, -0.0, 3, 3.0, 10**30, -(2**63), 2**53 + 1, True, None,
    "text", "NaN", "\\NaN", "", {"a": [1, math.nan, "NaN", {"b": None}]}, [], "\u2028 \U0001f600",
]  # fmt: skip


@pytest.fixture
def local(monkeypatch):
    monkeypatch.setenv("TELLURIO_CAPTURE", "1")
    # A busy machine may take long to read it.
    monkeypatch.setattr(capturing, "PATIENCE", float(GUARD))
    client = te.TellurioClient.local()
    yield client
    client.close()


@pytest.fixture
def recorded(local, tmp_path):
    """A local run with everything that a run can have."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.bin").write_bytes(os.urandom(100_000))
    (tmp_path / "model" / "small.txt").write_text("small")
    with te.init("acme", "Digits", "parent", client=local) as parent:
        parent.log_artifact(b"1,2", "data", type="dataset")
    with (
        pytest.raises(ZeroDivisionError),
        te.init(
            "acme", "Digits", "a/b \u00e9", "about it", client=local,
            config={"n": 10**30, "x": None, "lr": 1e-3}, tags=["b", "a"], group="g", job_type="j",
            notes="n\nm", parent=parent,
        ) as run,
    ):  # fmt: skip
        for value in VALUES:
            run.log("values", value)
        for step in (7, 7, 3):
            run.log("steps", step / 2, step=step)
        run.log_rows("rows", [{"id": 0, "a": math.nan}, {"id": 1, "a": "NaN"}], key="id")
        run.log_rows("rows", [{"id": 0, "a": 10**30}, {"note": None}])
        run.log_rows("more", [{"x": 1}])
        run.use_artifact("data:v0")
        run.log_artifact(
            tmp_path / "model", "model", type="model", aliases=["best"], metadata={"n": 1}
        )
        run.log_artifact(te.Artifact("far", "dataset").add_reference("s3://acme/x.csv", size=5))
        run.log_text("notes", "first")
        run.log_text("notes", "later", step=7)
        run.log_file(tmp_path / "model" / "small.txt")
        1 / 0  # noqa: B018
    return run


@pytest.fixture
def bundle(recorded, tmp_path, monkeypatch):
    """The file that it was exported to."""
    path = tmp_path / "run.zip"
    with monkeypatch.context() as patch:
        patch.setenv("TELLURIO_MODE", "local")
        assert main(["export", "acme/digits/a/b \u00e9", "--bundle", str(path)]) == 0
    return path


def facts(run, client=None):
    environment = te.get_run("acme", run.project.slug, run.uuid, client).environment
    return {
        "name": run.name,
        "status": run.status,
        "description": run.description,
        "metrics": repr(run.metrics(client=client)),
        "tables": [
            (name, rows.key, repr(rows.rows), rows.timestamps)
            for name in sorted(run.tables(client))
            for rows in [run.rows(name, client, replaced=True)]
        ],
        "config": run.config,
        "tags": run.tags,
        "group": run.group,
        "job_type": run.job_type,
        "notes": run.notes,
        "ended": (run.date_ended, run.ended_because),
        "environment": {
            name: value for name, value in environment.items() if name != "imported_from"
        },
        "files": [
            (file.path, file.kind, file.step, file.digest, file.timestamp, file.content_type)
            for file in run.files(client=client)
        ],
        "outputs": sorted((link.artifact, link.digest) for link in run.outputs(client)),
    }


def imported(project="imported"):
    (run,) = te.runs("acme", project)
    return run


def test_a_run_comes_back_as_it_was(bundle, recorded, local, backend, capsys):
    te.create_project("acme", "There")
    capsys.readouterr()
    assert main(["import", str(bundle), "--project", "acme/There"]) == 0
    assert capsys.readouterr().out == "a/b \u00e9: 27 values and 6 files imported\n"
    copy = imported("there")
    original = te.get_run("acme", "digits", recorded.uuid, local)
    assert facts(copy) == facts(original, local)
    assert repr(copy.metrics("values").values) == repr(VALUES)
    assert copy.parent_uuid == original.parent_uuid
    origin = te.get_run("acme", "there", copy.uuid).environment["imported_from"]
    assert origin["run"] == original.uuid
    assert copy.date_created == original.date_created
    assert origin["date_created"] == original.date_created.isoformat()
    model = te.get_artifact("acme/there/model:best")
    model.verify()
    assert model.metadata == {"n": 1}
    (reference,) = te.get_artifact("acme/there/far").files
    assert (reference.reference, reference.size) == ("s3://acme/x.csv", 5)
    assert copy.open_file("notes", 7).read() == b"later"


def test_a_second_import_changes_nothing(bundle, server, capsys, home):
    command = ["import", str(bundle), "--project", "acme/imported"]
    assert main([*command, "--dry-run"]) == 0
    assert capsys.readouterr().out.endswith("a/b \u00e9: 27 values and 6 files would be imported\n")
    assert te.get_project("acme", "imported") is None
    assert main(command) == 0
    before = facts(imported())
    assert main(command) == 0
    assert capsys.readouterr().out.endswith("a/b \u00e9: already imported\n")
    # Another machine has no record of it.
    for record in (home / "uploads").iterdir():
        record.unlink()
    assert main(command) == 0
    assert facts(imported()) == before
    # Another project has its own copy, and a deleted one comes back.
    assert main([*command[:-1], "acme/other"]) == 0
    te.delete_run("acme", "imported", imported().name)
    assert main(command) == 0
    assert facts(imported()) == before == facts(imported("other"))


def test_the_same_run_makes_the_same_bytes(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    again = tmp_path / "again.zip"
    assert main(["export", "acme/digits/a/b \u00e9", "--bundle", str(again)]) == 0
    assert again.read_bytes() == bundle.read_bytes()


def test_a_project_is_a_folder_of_bundles(recorded, local, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    folder = tmp_path / "bundles"
    running = te.init("acme", "Digits", "running", client=local)
    assert main(["export", "acme/digits", "--bundle", str(folder)]) == 1
    assert "running: not exported: it is still running" in capsys.readouterr().err
    running.finish()
    assert len(list(folder.iterdir())) == 2
    assert main(["import", str(folder), "--project", "acme/imported"]) == 0
    child, parent = te.runs("acme", "imported")
    assert (child.name, parent.name) == ("a/b \u00e9", "parent")
    assert child.parent_uuid == parent.uuid
    assert [link.artifact for link in child.inputs()] == ["data"]


@pytest.mark.parametrize("fields", [{"name": "n" * 256}, {"status": "DANCING"}])
def test_an_invalid_bundle_in_a_folder_does_not_stop_the_others(
    fields, bundle, server, tmp_path, capsys
):
    folder = tmp_path / "bundles"
    folder.mkdir()
    bundle.rename(folder / "b.zip")
    changed(folder / "b.zip", folder / "a.zip", lambda members: run_with(members, **fields))
    capsys.readouterr()
    assert main(["import", str(folder), "--project", "acme/imported"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("a.zip: not imported: ")
    assert imported().name == "a/b \u00e9"


def test_metrics_are_plain_parquet(bundle):
    with zipfile.ZipFile(bundle) as members:
        table = pa.parquet.read_table(io.BytesIO(members.read("metrics.parquet")))
        contents = json.loads(members.read("run.json"))
    assert table.column_names == ["name", "step", "value", "json", "timestamp"]
    steps = table.filter(pa.compute.equal(table["name"], "steps"))
    assert steps["step"].to_pylist() == [3, 7, 7]
    assert steps["value"].to_pylist() == [1.5, 3.5, 3.5]
    assert (contents["format"], contents["metrics"]) == (1, len(VALUES) + 3)


def test_a_bundle_of_a_run_that_was_resumed_adds_to_it(
    bundle, recorded, local, server, tmp_path, monkeypatch, capsys
):
    command = ["import", str(bundle), "--project", "acme/imported"]
    assert main(command) == 0
    with te.init("acme", "Digits", recorded.name, client=local, resume="must") as run:
        run.log("steps", 9, step=9)
        run.log("fresh", 1)
        run.log_rows("rows", [{"id": 5}])
        run.log_text("notes", "last", step=8)
    with monkeypatch.context() as patch:
        patch.setenv("TELLURIO_MODE", "local")
        assert main(["export", f"acme/digits/{recorded.name}", "--bundle", str(bundle)]) == 0
    capsys.readouterr()
    assert main(command) == 0
    assert "3 more values and 7 files imported" in capsys.readouterr().out
    original = te.get_run("acme", "digits", recorded.uuid, local)
    assert facts(imported()) == facts(original, local)
    assert main(command) == 0
    assert "already imported" in capsys.readouterr().out
    assert facts(imported()) == facts(original, local)


@pytest.mark.parametrize("point", ["create_run", "write_journal", "deliver", "add_file"])
def test_a_killed_import_is_continued(point, bundle, server, start_python):
    child = start_python(
        "-c",
        f"""
import os, signal, sys
from afnio_tellurio import copying_files, copying_runs
from afnio_tellurio.cli import main
owner, name = {{
    "create_run": (copying_runs.operations, "create_run"),
    "write_journal": (copying_runs, "write_journal"),
    "deliver": (copying_runs, "deliver"),
    "add_file": (copying_files.FilesDelivery, "add_file"),
}}[{point!r}]
real = getattr(owner, name)
def killed(*arguments, **keywords):
    real(*arguments, **keywords)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, killed)
main(["import", {str(bundle)!r}, "--project", "acme/imported"])
""",
    )
    child.communicate(timeout=GUARD)
    assert child.returncode == -9
    command = ["import", str(bundle), "--project", "acme/imported"]
    assert main(command) == 0
    interrupted = facts(imported())
    assert main([*command[:-1], "acme/whole"]) == 0
    assert interrupted == facts(imported("whole"))


def rewritten(members, change):
    """The members with other metrics: `change(table)` returns them."""
    table = pa.parquet.read_table(io.BytesIO(members["metrics.parquet"]))
    table, keywords = change(table)
    file = io.BytesIO()
    pa.parquet.write_table(table, file, **keywords)
    return with_run(members | {"metrics.parquet": file.getvalue()}, metrics=table.num_rows)


def blob_of(members):
    return next(name for name in members if name.startswith("files/"))


def with_column(members, column, value):
    def change(table):
        number = table.column_names.index(column)
        values = pa.array([value] * table.num_rows, table.schema.field(column).type)
        return table.set_column(number, column, values), {}

    return rewritten(members, change)


def a_version(members, **fields):
    manifest = json.loads(members["artifacts/0000.json"])
    manifest["files"][0] |= fields
    return members | {"artifacts/0000.json": json.dumps(manifest).encode()}


def version_with(members, **fields):
    name = "artifacts/0000.json"
    return members | {name: json.dumps(json.loads(members[name]) | fields).encode()}


def run_with(members, **fields):
    return with_run(members, run=json.loads(members["run.json"])["run"] | fields)


def first_of(members, name, **fields):
    first, *others = json.loads(members["run.json"])[name]
    return with_run(members, **{name: [first | fields, *others]})


def status_of(members, status):
    run = json.loads(members["run.json"])["run"]
    return with_run(members, run=run | {"status": status})


NESTED = b"[" * 100_000
LIES = {
    "a path outside": (lambda m: m | {"../evil": b""}, "'../evil', which a bundle does not have"),
    "an absolute path": (lambda m: m | {"/etc/x": b""}, "'/etc/x', which a bundle does not have"),
    "another file": (lambda m: m | {"a.txt": b""}, "'a.txt', which a bundle does not have"),
    "no run": (lambda m: {n: d for n, d in m.items() if n != "run.json"}, "has no run.json"),
    "no metrics": (
        lambda m: {n: d for n, d in m.items() if n != "metrics.parquet"},
        "has no metrics.parquet",
    ),
    "a member twice": (lambda m: [*m.items(), ("run.json", m["run.json"])], "run.json twice"),
    "another kind": (lambda m: with_run(m, kind="photos"), "it is of the kind 'photos'"),
    "a newer format": (lambda m: with_run(m, format=2), "upgrade afnio-tellurio"),
    "no JSON": (lambda m: m | {"run.json": b"{"}, "run.json is invalid"),
    "deep JSON": (lambda m: m | {"run.json": NESTED}, "run.json is invalid"),
    "another type": (lambda m: with_run(m, metrics="3"), "run.json is invalid"),
    "a running run": (lambda m: status_of(m, "RUNNING"), "which does not end a run"),
    "an unknown status": (lambda m: status_of(m, "DANCING"), "which does not end a run"),
    "too few metrics": (lambda m: with_run(m, metrics=99), "has 22 rows, and not 99"),
    "too few rows": (lambda m: m | {"tables/0000.ndjson": b""}, "has 0 rows"),
    "no table": (
        lambda m: {n: d for n, d in m.items() if n != "tables/0001.ndjson"},
        "has no tables/0001.ndjson",
    ),
    "another digest": (
        lambda m: m | {blob_of(m): b"x" * len(m[blob_of(m)])},
        "have another digest",
    ),
    "no blob": (lambda m: {n: d for n, d in m.items() if n != blob_of(m)}, "it has no files/"),
    "an unsafe path": (lambda m: a_version(m, path="../../x"), "../../x"),
    "another size": (lambda m: a_version(m, size=1), "has another size than 1"),
    "no Parquet": (lambda m: m | {"metrics.parquet": b"PAR1" * 10}, "metrics.parquet is damaged"),
    "cut Parquet": (
        lambda m: m | {"metrics.parquet": m["metrics.parquet"][:-20]},
        "metrics.parquet is damaged",
    ),
    "other columns": (
        lambda m: rewritten(m, lambda t: (t.drop_columns("json"), {})),
        "has the columns",
    ),
    "another codec": (
        lambda m: rewritten(m, lambda t: (t, {"compression": "zstd"})),
        "is compressed with ZSTD",
    ),
    "a negative step": (lambda m: with_column(m, "step", -1), "step is -1"),
    "no name": (lambda m: with_column(m, "name", None), "without a name, step or value"),
    "a long name": (lambda m: with_column(m, "name", "n" * 256), "has 256 characters"),
    "deep values": (lambda m: with_column(m, "json", "[" * 200 + "]" * 200), "nested deeper"),
    # A backend would refuse these, after the run was recorded.
    "no artifact": (lambda m: version_with(m, artifact=""), "- at `$.artifact`"),
    "a path as alias": (lambda m: version_with(m, aliases=["../x"]), "- at `$.aliases["),
    "large metadata": (lambda m: version_with(m, metadata={"x": "x" * 70_000}), "metadata"),
    "no digest": (lambda m: a_version(m, digest="x"), "- at `$.files["),
    "a negative size": (lambda m: a_version(m, size=-1), "- at `$.files["),
    "a long tag": (lambda m: run_with(m, tags=["t" * 256]), "- at `$.run.tags["),
    "a long kind": (lambda m: first_of(m, "files", kind="k" * 65), "- at `$.files["),
    "a time before all": (
        lambda m: first_of(m, "files", timestamp="0001-01-01T00:00:00+14:00"),
        "which no date of UTC has",
    ),
    "an end after all": (
        lambda m: run_with(m, date_ended="9999-12-31T23:59:59-14:00"),
        "which no date of UTC has",
    ),
    "a file with a step": (
        lambda m: with_run(m, files=[f | {"step": 0} for f in json.loads(m["run.json"])["files"]]),
        "is a file with a step",
    ),
    "a path as input": (
        lambda m: first_of(m, "inputs", artifact="../x"),
        "- at `$.inputs[",
    ),
    "values that are no JSON": (lambda m: with_column(m, "json", "{"), "is invalid"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_file_that_lies_is_refused_before_anything_is_recorded(
    lie, bundle, server, tmp_path, capsys
):
    change, words = LIES[lie]
    with warnings.catch_warnings():
        # zipfile warns of the duplicate that it writes.
        warnings.simplefilter("ignore", UserWarning)
        path = changed(bundle, tmp_path / "lie.zip", change)
    capsys.readouterr()
    assert main(["import", str(path), "--project", "acme/imported"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert len(err.splitlines()) == 1
    assert te.get_project("acme", "imported") is None
    assert main(["import", str(bundle), "--project", "acme/imported"]) == 0


def test_a_small_file_cannot_expand(bundle, server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reading, "_ALLOWED_ROWS", 1000)
    monkeypatch.setattr(reading, "_ALLOWED_TEXT", 1000)

    def same(table, count):
        part = table.filter(pa.compute.equal(table["name"], "steps")).slice(0, 1)
        index = pa.array([0] * count, pa.int64())
        return part.take(index), {}

    rows = changed(
        bundle, tmp_path / "rows.zip",
        lambda members: rewritten(members, lambda table: same(table, 1_000_000)),
    )  # fmt: skip
    assert main(["import", str(rows), "--project", "acme/imported"]) == 1
    assert "1,000,000 rows in" in capsys.readouterr().err

    def much_text(table):
        table, _keywords = same(table, 2000)
        text = pa.DictionaryArray.from_arrays(
            pa.array([0] * 2000, pa.int32()), [json.dumps("x" * 100_000)]
        )
        return table.set_column(3, "json", text.cast(pa.string())), {}

    texts = changed(bundle, tmp_path / "texts.zip", functools.partial(rewritten, change=much_text))
    assert texts.stat().st_size < 1_000_000
    assert main(["import", str(texts), "--project", "acme/imported"]) == 1
    assert "expands to too much text" in capsys.readouterr().err
    packed = changed(bundle, tmp_path / "packed.zip", lambda members: members, zipfile.ZIP_DEFLATED)
    assert main(["import", str(packed), "--project", "acme/imported"]) == 1
    assert "is compressed; members of a bundle are stored" in capsys.readouterr().err
    assert te.get_project("acme", "imported") is None


def test_members_that_overlap_are_refused(bundle, server, tmp_path, capsys):
    """Two names for the same bytes would make a small file large."""
    data = bytearray(bundle.read_bytes())
    end = data.rindex(b"PK\x05\x06")
    count, size, start = struct.unpack_from("<HII", data, end + 10)
    directory = bytes(data[start : start + size])
    entries = []
    with zipfile.ZipFile(bundle) as members:
        largest = max(members.infolist(), key=lambda info: info.file_size)
    place = directory.index(largest.filename.encode()) - 46
    length = 46 + sum(struct.unpack_from("<HHH", directory, place + 28))
    entry = directory[place : place + length]
    for number in range(2):
        name = f"files/{hashlib.sha256(bytes([number])).hexdigest()}".encode()
        fields = bytearray(entry)
        struct.pack_into("<H", fields, 28, len(name))
        entries.append(bytes(fields[:46]) + name + bytes(fields[46 + len(largest.filename) :]))
    more = directory + b"".join(entries)
    data[start:] = more + struct.pack(
        "<4s4H2IH", b"PK\x05\x06", 0, 0, count + 2, count + 2, len(more), start, 0
    )
    path = tmp_path / "overlap.zip"
    path.write_bytes(data)
    assert main(["import", str(path), "--project", "acme/imported"]) == 1
    assert "they overlap" in capsys.readouterr().err


def test_a_member_that_claims_more_than_the_file_has_is_refused(bundle, server, tmp_path, capsys):
    data = bytearray(bundle.read_bytes())
    entry = data.rindex(b"metrics.parquet") - 46
    assert data[entry : entry + 4] == b"PK\x01\x02"
    data[entry + 20 : entry + 28] = struct.pack("<II", 2**31, 2**31)
    path = tmp_path / "huge.zip"
    path.write_bytes(data)
    assert main(["import", str(path), "--project", "acme/imported"]) == 1
    assert f"and it has {len(data):,}" in capsys.readouterr().err
    assert te.get_project("acme", "imported") is None


def test_a_member_that_is_a_link_is_bytes(bundle, server, tmp_path):
    """The attributes of a member mean nothing: no link is made or followed."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    target = str(secret).encode()
    name = f"files/{hashlib.sha256(target).hexdigest()}"
    path = tmp_path / "link.zip"

    def linked(members):
        size, digest = len(target), name.rpartition("/")[2]
        return first_of(members, "files", size=size, digest=digest) | {name: target}

    changed(bundle, path, linked)
    data = bytearray(path.read_bytes())
    entry = data.rindex(name.encode()) - 46
    data[entry + 38 : entry + 42] = struct.pack("<I", (stat.S_IFLNK | 0o777) << 16)
    path.write_bytes(data)
    with zipfile.ZipFile(path) as members:
        assert stat.S_ISLNK(members.getinfo(name).external_attr >> 16)
    assert main(["import", str(path), "--project", "acme/imported"]) == 0
    contents = [imported().open_file(file.path, file.step).read() for file in imported().files()]
    assert target in contents
    assert b"secret" not in contents


def test_a_torn_file_is_refused(bundle, server, tmp_path, capsys):
    whole = bundle.read_bytes()
    path = tmp_path / "torn.zip"
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert main(["import", str(path), "--project", "acme/x", "--from", "bundle"]) == 1
        assert "is not a whole bundle" in capsys.readouterr().err
    flipped = bytearray(whole)
    flipped[whole.index(b"PAR1") + 100] ^= 1
    path.write_bytes(flipped)
    assert main(["import", str(path), "--project", "acme/x"]) == 1
    assert te.get_project("acme", "x") is None


def test_a_bundle_needs_a_run_that_ended(local, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    run = te.init("acme", "Digits", "open", client=local)
    path = tmp_path / "open.zip"
    assert main(["export", "acme/digits/open", "--bundle", str(path)]) == 1
    assert "is still running" in capsys.readouterr().err
    assert not path.exists()
    run.finish()


def test_a_folder_or_file_with_nothing_to_import_is_said(server, tmp_path, capsys):
    (tmp_path / "a.txt").write_text("nothing")
    for path in (tmp_path / "a.txt", tmp_path):
        assert main(["import", str(path), "--project", "acme/x"]) == 1
        assert "has nothing that can be imported" in capsys.readouterr().err
    assert main(["import", str(tmp_path / "none"), "--project", "acme/x"]) == 1
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["export", "acme/digits"], "a whole project is exported with --bundle FOLDER"),
        (
            ["export", "acme/digits/x", "--bundle", "a", "--output", "b"],
            "--output cannot be used with --bundle",
        ),
        (["import", "x.zip"], "--project"),
    ],
)
def test_wrong_usage_says_what_to_give(arguments, words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_without_pyarrow_the_message_names_it(recorded, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    assert main(["export", "acme/digits/parent", "--bundle", str(tmp_path / "x.zip")]) == 1
    assert "pip install pyarrow" in capsys.readouterr().err
    assert not (tmp_path / "x.zip").exists()


def test_a_copy_of_a_copy_keeps_its_origin(bundle, recorded, tmp_path, monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    assert main(["import", str(bundle), "--project", "acme/one"]) == 0
    again = tmp_path / "again.zip"
    assert main(["export", f"acme/one/{imported('one').name}", "--bundle", str(again)]) == 0
    assert main(["import", str(again), "--project", "acme/two"]) == 0
    copy = te.get_run("acme", "two", imported("two").uuid)
    assert copy.environment["imported_from"]["run"] == recorded.uuid
    assert uuid.UUID(copy.uuid) != uuid.UUID(recorded.uuid)
