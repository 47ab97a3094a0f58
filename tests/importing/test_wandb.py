"""Runs that wandb recorded offline."""

import json
import shutil
import struct
from collections import Counter
from pathlib import Path
from zlib import crc32

import pytest
from golden_runs import check_repeats, check_run, skipped_of

import afnio_tellurio as te
from afnio_tellurio.cli import main
from afnio_tellurio.importing import wandb
from afnio_tellurio.importing.leveldb_log import records_of
from afnio_tellurio.importing.protobuf import Message, ProtobufError

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
