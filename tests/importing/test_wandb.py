"""Runs that wandb recorded offline."""

import json
import math
import os
import shutil
import struct
from collections import Counter
from pathlib import Path
from zlib import crc32

import pytest
from golden_runs import check_repeats, check_run, skipped_of

import afnio_tellurio as te
from afnio_tellurio.cli import main
from afnio_tellurio.importing import wandb, wandb_tables
from afnio_tellurio.importing.leveldb_log import records_of
from afnio_tellurio.importing.protobuf import Message, ProtobufError
from afnio_tellurio.settings.limits import MAX_VALUE_BYTES

GOLDEN = Path(__file__).parent.parent / "golden_imports" / "wandb"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())


@pytest.fixture
def source(tmp_path):
    """The file of the first run."""
    (file,) = GOLDEN.glob("*/run-first001.wandb")
    return Path(shutil.copy(file, tmp_path / file.name))


@pytest.mark.usefixtures("server")
def test_all_that_was_logged_is_imported(capsys):
    assert main(["import", str(GOLDEN), "--project", "acme/weights"]) == 0
    out = capsys.readouterr().out
    runs = {run.name: run for run in te.runs("acme", "weights")}
    assert set(runs) == set(EXPECTED)
    for name, expected in EXPECTED.items():
        check_run(runs[name], expected)
        assert skipped_of(out, name) == expected["skipped"]
    assert runs["second"].ended_because.message == "The process exited with status 1."
    check_repeats(GOLDEN, "weights")


@pytest.mark.usefixtures("server")
def test_a_run_without_an_end_has_not_ended(source, capsys):
    source.write_bytes(source.read_bytes()[:-300])
    assert main(["import", str(source), "--project", "acme/weights"]) == 0
    assert "1 cut records" in capsys.readouterr().out
    (run,) = te.runs("acme", "weights")
    assert run.status is te.RunStatus.FAILED
    assert len(run.metrics("loss")) == 30


@pytest.mark.usefixtures("server")
def test_a_damaged_block_loses_its_rest_only(source, capsys):
    data = bytearray(source.read_bytes())
    data[2 * 2**15 + 50] ^= 1
    source.write_bytes(data)
    assert main(["import", str(source), "--project", "acme/weights"]) == 0
    assert "1 damaged records" in capsys.readouterr().out
    (run,) = te.runs("acme", "weights")
    assert len(run.metrics("loss")) == 30


@pytest.fixture
def folder(tmp_path):
    """The folder of the run with media."""
    (found,) = GOLDEN.glob("*-media003")
    return Path(shutil.copytree(found, tmp_path / found.name))


@pytest.mark.usefixtures("server")
def test_files_are_counted_before_and_imported_once(folder, capsys):
    command = ["import", str(folder), "--project", "acme/weights"]
    assert main([*command, "--dry-run"]) == 0
    assert "and 12 files would be imported" in capsys.readouterr().out
    assert main(command) == 0
    assert "and 12 files imported" in capsys.readouterr().out
    assert main(command) == 0
    assert "already imported" in capsys.readouterr().out
    (run,) = te.runs("acme", "weights")
    assert len(run.files()) == 12


@pytest.mark.usefixtures("server")
def test_files_of_wandb_and_links_are_not_imported(folder, tmp_path, capsys):
    """What wandb writes of the config has its credentials."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "key").write_text("secret")
    files = folder / "files"
    for name in ("config.yaml", "wandb-metadata.json", "wandb-summary.json"):
        (files / name).write_text("api_key: secret")
    (files / "link").symlink_to(tmp_path / "secret")
    (files / "more").symlink_to(tmp_path / "more")
    image = next(files.glob("media/images/picture_0_*.png"))
    image.unlink()
    image.symlink_to(tmp_path / "secret")
    (files / "output.log").write_text("hello")
    (files / "media" / "images" / "cell.png").write_bytes(b"in a table")
    assert main(["import", str(folder), "--project", "acme/weights"]) == 0
    skipped = {"captions": 1, "image-file": 1, "links": 3}
    assert skipped_of(capsys.readouterr().out, "media") == skipped
    (run,) = te.runs("acme", "weights")
    assert {file.path for file in run.files() if file.step is None} == {
        "film/5.mp4", "media/images/cell.png", "notes/a.txt", "output.log", "requirements.txt",
    }  # fmt: skip
    assert [file.step for file in run.files("picture")] == [1]


@pytest.mark.usefixtures("server")
def test_a_folder_of_files_that_is_not_of_wandb_is_not_read(folder, capsys):
    """Beside a file that somebody downloaded, anything can be."""
    folder.rename(folder.with_name("downloads"))
    source = folder.with_name("downloads") / "run-media003.wandb"
    assert main(["import", str(source), "--project", "acme/weights"]) == 0
    skipped = skipped_of(capsys.readouterr().out, "media")
    assert skipped["image-file"] == 3
    (run,) = te.runs("acme", "weights")
    assert run.files() == []


def test_a_folder_of_files_that_is_a_link_is_not_followed(folder, tmp_path):
    (folder / "files").rename(tmp_path / "elsewhere")
    (folder / "files").symlink_to(tmp_path / "elsewhere")
    (run,) = wandb.read_runs(folder, Counter())
    assert run.files == []
    assert run.skipped["links"] == 1


@pytest.mark.parametrize(
    "path",
    ["../secret", "/etc/hostname", "media/../../secret", "", ".", "..", "x" * 5000, "a\0b", "pipe"],
)
def test_paths_of_media_lead_nowhere_else(path, tmp_path):
    (tmp_path / "secret").write_text("secret")
    files = tmp_path / "offline-run-20261128_012028-abc" / "files"
    (files / "media").mkdir(parents=True)
    if hasattr(os, "mkfifo"):
        os.mkfifo(files / "pipe")
    value = json.dumps({"_type": "image-file", "path": path}).encode()
    row = item(b"picture", field(16, value)) + field(2, field(1, 3))
    written(files.parent / "run-abc.wandb", RUN, field(2, row))
    (run,) = wandb.read_runs(files.parent, Counter())
    assert run.files == []
    assert run.skipped["image-file"] == 1


def test_what_is_no_image_is_a_file(tmp_path):
    files = tmp_path / "run-20261128_012028-abc" / "files"
    files.mkdir(parents=True)
    (files / "x.png").write_text("<script>")
    row = item(b"a", field(16, b'{"_type":"image-file","path":"x.png"}'))
    row += item(b"bad:name", field(16, b'{"_type":"image-file","path":"x.png"}'))
    written(files.parent / "run-abc.wandb", RUN, field(2, row + field(2, field(1, 3))))
    (run,) = wandb.read_runs(files.parent, Counter())
    assert [(file.path, file.kind, file.step) for file in run.files] == [("a/3.png", "file", None)]
    assert run.skipped == {"files with an invalid path": 1}


@pytest.mark.usefixtures("server")
def test_later_files_replace_earlier_ones(tmp_path, capsys):
    for part, end in enumerate(["", "-1"]):
        folder = tmp_path / f"offline-run-20261128_012028-abc{end}"
        (folder / "files").mkdir(parents=True)
        (folder / "files" / "output.log").write_text(f"part {part}")
        written(folder / "run-abc.wandb", RUN)
    assert main(["import", str(tmp_path), "--project", "acme/weights", "--from", "wandb"]) == 0
    assert "1 files replaced by later ones" in capsys.readouterr().out
    (run,) = te.runs("acme", "weights")
    assert run.open_file("output.log").read() == b"part 1"


def written(path, *records):
    """Writes records as wandb does, each of which fits into the block."""
    data = struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
    for record in records:
        data += struct.pack("<IHB", crc32(record, crc32(b"\x01")), len(record), 1) + record
    path.write_bytes(data)
    return path


def field(number, data):
    """A field with bytes, or a number."""
    if isinstance(data, int):
        return bytes(varint(number << 3)) + bytes(varint(data))
    return bytes(varint(number << 3 | 2)) + bytes(varint(len(data))) + data


def varint(number):
    while number > 0x7F:
        yield number & 0x7F | 0x80
        number >>= 7
    yield number


RUN = field(17, field(1, b"abc") + field(3, b"digits"))


def item(name, *fields):
    return field(1, field(2, name) + b"".join(fields))


def test_values_of_each_type(tmp_path):
    typed = {
        b"none": (field(3, 0), None),
        b"boolean": (field(4, 1), True),
        b"integer": (field(5, 13), -7),
        b"number": (b"\x31" + struct.pack("<d", 0.1), 0.1),
        b"text": (field(7, b"NaN"), "NaN"),
        b"json": (field(8, b"[1]"), [1]),
        b"specials": (
            field(16, b'[1,-Infinity,{"x":Infinity}]'),
            [1, -math.inf, {"x": math.inf}],
        ),
        b"invalid": (field(16, b"[1,"), "[1,"),
    }
    row = b"".join(item(name, value) for name, (value, _expected) in typed.items())
    path = written(tmp_path / "run-abc.wandb", RUN, field(2, row + field(2, field(1, 3))))
    (run,) = wandb.read_runs(path, Counter())
    points = {point.name: point.value for point in run.points()}
    assert points == {name.decode(): expected for name, (_value, expected) in typed.items()}
    assert {point.step for point in run.points()} == {3}


def test_what_is_unknown_is_counted(tmp_path):
    path = written(tmp_path / "run-abc.wandb", RUN, field(77, b"x"), field(10, b""), b"\x0f")
    (run,) = wandb.read_runs(path, Counter())
    assert run.skipped == {"unknown records": 1, "alerts": 1, "damaged records": 1}
    skipped = Counter()
    empty = written(tmp_path / "run-none.wandb", field(10, b""))
    assert list(wandb.read_runs(empty, skipped)) == []
    assert skipped == {"files without a run": 1}


def test_fields_of_the_config_are_removed(tmp_path):
    def change(number, name, *fields):
        return field(5, field(number, b"".join(field(2, part) for part in name) + b"".join(fields)))

    value = field(16, b"1")
    path = written(
        tmp_path / "run-abc.wandb", RUN,
        change(1, [b"a", b"b"], value), change(1, [b"a", b"c"], value), change(1, [b"d"], value),
        change(2, [b"a", b"b"]), change(2, [b"d"]), change(2, [b"a", b"c", b"none"]),
    )  # fmt: skip
    (run,) = wandb.read_runs(path, Counter())
    assert run.config == {"a": {"c": 1}}


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    "data", [b"", b":W&B", b":W&B\xe1\xbe\x07" + bytes(20), b"SQLite format 3\0"]
)
def test_what_is_no_such_file_is_one_line(data, tmp_path, capsys):
    path = tmp_path / "run-x.wandb"
    path.write_bytes(data)
    assert main(["import", str(path), "--project", "acme/x", "--from", "wandb"]) == 1
    assert "is not a .wandb file" in capsys.readouterr().err


def test_records_end_at_the_zeros_of_a_block(tmp_path):
    path = written(tmp_path / "run-abc.wandb", RUN)
    path.write_bytes(path.read_bytes() + bytes(100))
    skipped = Counter()
    assert list(records_of(path, skipped)) == [RUN]
    assert not skipped


@pytest.mark.parametrize(
    "data", [b"\x80", b"\x08" + b"\xff" * 11, b"\x0a\x05a", b"\x0d\x00", b"\x0b"]
)
def test_what_is_no_message_is_refused(data):
    with pytest.raises(ProtobufError):
        Message(data)


def with_table(tmp_path, *contents, kind="table-file"):
    """The folder of a run that logged a table at each step."""
    folder = tmp_path / "offline-run-20261128_012028-abc"
    (folder / "files" / "media").mkdir(parents=True)
    records = []
    for step, content in enumerate(contents):
        (folder / "files" / "media" / f"{step}.json").write_text(content, "utf-8")
        value = {"_type": kind, "path": f"media/{step}.json", "nrows": 1}
        row = item(b"preds", field(16, json.dumps(value).encode())) + field(2, field(1, step))
        records.append(field(2, row))
    written(folder / "run-abc.wandb", RUN, *records)
    return folder


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("kind", ["table-file", "incremental-table-file"])
def test_tables_are_rows(kind, tmp_path, capsys):
    first = (
        '{"columns": ["id", 3, "\u00e9"], "data": [[1, NaN, null], [2, -Infinity, {"_type": "x"}]]}'
    )
    second = '{"columns": ["_step"], "data": [["own"]]}'
    folder = with_table(tmp_path, first, second, kind=kind)
    command = ["import", str(folder), "--project", "acme/weights"]
    assert main(command) == 0
    assert "3 values and 2 files imported" in capsys.readouterr().out
    (run,) = te.runs("acme", "weights")
    assert repr(run.rows("preds").rows) == repr(
        [
            {"_step": 0, "id": 1, "3": float("nan"), "\u00e9": None},
            {"_step": 0, "id": 2, "3": float("-inf"), "\u00e9": {"_type": "x"}},
            {"_step": "own"},
        ]
    )
    assert {file.path for file in run.files()} == {"preds/0.json", "preds/1.json"}
    assert main(command) == 0
    assert "already imported" in capsys.readouterr().out
    assert len(run.rows("preds").rows) == 3


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", "null", "\xff", '{"columns": 1, "data": []}', '{"columns": ["a"]}',
        '{"columns": ["a", "a"], "data": [[1, 2]]}', '{"columns": ["a"], "data": [[1, 2]]}',
        '{"columns": ["a"], "data": [1]}', "[" * 100_000,
    ],
)  # fmt: skip
def test_invalid_tables_are_counted_and_stay_files(content, tmp_path, capsys):
    folder = with_table(tmp_path, content, '{"columns": ["a"], "data": [[1]]}')
    assert main(["import", str(folder), "--project", "acme/weights"]) == 0
    assert skipped_of(capsys.readouterr().out, "abc")["invalid tables"] == 1
    (run,) = te.runs("acme", "weights")
    assert run.rows("preds").rows == [{"_step": 1, "a": 1}]
    assert len(run.files()) == 2


@pytest.mark.usefixtures("server")
def test_large_tables_and_rows_are_counted(tmp_path, monkeypatch, capsys):
    large = json.dumps({"columns": ["a"], "data": [["x" * MAX_VALUE_BYTES], [1]]})
    folder = with_table(tmp_path, large)
    assert main(["import", str(folder), "--project", "acme/rows"]) == 0
    assert skipped_of(capsys.readouterr().out, "abc")["invalid rows"] == 1
    monkeypatch.setattr(wandb_tables, "_MAX_BYTES", 1_000_000)
    assert main(["import", str(folder), "--project", "acme/tables"]) == 0
    assert skipped_of(capsys.readouterr().out, "abc")["invalid tables"] == 1
