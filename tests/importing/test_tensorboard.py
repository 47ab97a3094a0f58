"""Event files that tensorboardX and TensorBoard wrote."""

import json
import os
import shutil
import struct
import sys
from pathlib import Path

import pytest
from golden_runs import check_repeats, check_run, skipped_of

import afnio_tellurio as te
from afnio_tellurio.cli import main
from afnio_tellurio.importing import tensorboard
from afnio_tellurio.importing.checksums import crc32c, masked_crc32c
from afnio_tellurio.importing.protobuf import Message

GOLDEN = Path(__file__).parent.parent / "golden_imports" / "tensorboard"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())


@pytest.mark.usefixtures("server")
def test_all_that_was_written_is_imported(capsys):
    assert main(["import", str(GOLDEN), "--project", "acme/boards"]) == 0
    out = capsys.readouterr().out
    runs = {run.name: run for run in te.runs("acme", "boards")}
    # Hyperparameters have a run of their own, beside the other values of their writer.
    assert set(EXPECTED) <= set(runs) <= {*EXPECTED, "hparams"}
    for name, expected in EXPECTED.items():
        check_run(runs[name], expected)
        assert skipped_of(out, name) == expected["skipped"]
    check_repeats(GOLDEN, "boards")


@pytest.mark.usefixtures("server")
def test_one_file_is_a_run(capsys):
    (file,) = (GOLDEN / "simple").iterdir()
    assert main(["import", str(file), "--project", "acme/boards"]) == 0
    (run,) = te.runs("acme", "boards")
    assert run.name == "simple"
    # The folder has the same run.
    assert main(["import", str(GOLDEN / "simple"), "--project", "acme/boards"]) == 0
    assert "simple: already imported" in capsys.readouterr().out


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[:-5], "1 cut records"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "1 damaged records"),
        (lambda data: data + b"\0" * 12, "1 damaged ends of files"),
        (lambda data: data + b"\0" * 3, "1 cut records"),
        (lambda data: data + record(b"\x0f"), "1 damaged records"),
        (lambda data: data + record(b"\x2a\x02\x0a\x09"), "1 damaged records"),
    ],
)
def test_what_is_damaged_is_reported_and_the_rest_imported(damage, words, tmp_path, capsys):
    (source,) = (GOLDEN / "tensors").iterdir()
    (tmp_path / source.name).write_bytes(damage(source.read_bytes()))
    assert main(["import", str(tmp_path), "--project", "acme/boards"]) == 0
    assert words in capsys.readouterr().out
    (run,) = te.runs("acme", "boards")
    assert run.metrics("val/loss").values[:4] == [0, 0.25, 0.5, 0.75]


def record(data):
    size = struct.pack("<Q", len(data))
    return b"".join(
        [
            size,
            struct.pack("<I", masked_crc32c(size)),
            data,
            struct.pack("<I", masked_crc32c(data)),
        ]
    )


def event(time, content):
    return record(b"\x09" + struct.pack("<d", time) + content)


def scalar(time, step, value):
    number = b"\x0a\x04loss\x15" + struct.pack("<f", value)
    summary = b"\x0a" + bytes([len(number)]) + number
    return event(time, b"\x10" + bytes([step]) + b"\x2a" + bytes([len(summary)]) + summary)


@pytest.mark.usefixtures("server")
def test_files_of_one_name_with_values_of_one_time_are_several_runs(tmp_path, capsys):
    """`add_scalars` opens a writer for each curve, and passes one time to all of them."""
    for number, name in enumerate(["loss/x", "loss/y"]):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "events.out.tfevents.1795864177.host").write_bytes(
            event(2.5 + number, b"\x1a\x0dbrain.Event:2") + scalar(2.0, 0, 0.5 + number)
        )
    command = ["import", str(tmp_path), "--project", "acme/boards"]
    assert main(command) == 0
    # Later values of an earlier time belong to the same run.
    file = tmp_path / "loss" / "x" / "events.out.tfevents.1795864177.host"
    file.write_bytes(file.read_bytes() + scalar(1.0, 1, 0.25))
    capsys.readouterr()
    assert main(command) == 0
    assert "loss/x: 1 more value imported" in capsys.readouterr().out
    values = {run.name: run.metrics("loss").values for run in te.runs("acme", "boards")}
    assert values == {"loss/x": [0.5, 0.25], "loss/y": [1.5]}


@pytest.mark.parametrize(
    ("kind", "field", "expected"),
    [
        (1, b"\x2d" + struct.pack("<f", 0.5), 0.5),
        (1, b"\x2a\x04" + struct.pack("<f", 0.5), 0.5),
        (2, b"\x22\x08" + struct.pack("<d", 0.1), 0.1),
        (2, b"", 0.0),
        (3, b"\x3a\x01\x07", 7),
        (9, b"\x50" + b"\xff" * 9 + b"\x01", -1),
        (10, b"\x58\x01", True),
        (14, b"\x6a\x02\x80\x7f", 1.0),
        (19, b"\x22\x02" + struct.pack("<e", 1.5), 1.5),
        (23, b"\x8a\x01\x0a" + b"\xff" * 9 + b"\x01", 2**64 - 1),
        (7, b"\x42\x01a\x42\x01b", ["a", "b"]),
        (8, b"", None),
    ],
)
def test_tensors_of_each_type(kind, field, expected):
    assert tensorboard._tensor_value(Message(b"\x08" + bytes([kind]) + field)) == expected


def test_the_checksum_is_that_of_the_standard():
    assert crc32c(b"123456789") == 0xE3069283


@pytest.mark.usefixtures("server")
@pytest.mark.skipif(sys.platform != "linux", reason="names are not bytes")
def test_a_folder_whose_name_is_not_utf_8_is_a_run(tmp_path):
    folder = os.path.join(os.fsencode(tmp_path), b"caf\xe9")
    os.mkdir(folder)
    (source,) = (GOLDEN / "simple").iterdir()
    shutil.copy(os.fsencode(source), folder)
    assert main(["import", str(tmp_path), "--project", "acme/boards"]) == 0
    (run,) = te.runs("acme", "boards")
    assert run.name == "caf?"
