"""Files and media of a run: logged like metrics, and read back."""

import datetime as dt
import hashlib
import io
import wave

import numpy as np
import pytest

import afnio_tellurio as te

pytestmark = pytest.mark.needs_extension
PNG = b"\x89PNG\r\n\x1a\n and more"


@pytest.fixture(autouse=True)
def _backend(backend):
    pass


@pytest.fixture
def run():
    with te.init("acme", "Digits", "first") as run:
        yield run


def test_a_file_replaces_the_one_with_its_name(run, tmp_path):
    file = tmp_path / "report.csv"
    for content in ("first", "second"):
        file.write_text(content)
        run.log_file(file)
        te.log_file(str(file), "tables/ä.csv")
        file.unlink()
    report, table = run.files()
    assert (report.path, table.path) == ("report.csv", "tables/ä.csv")
    assert (report.kind, report.step, report.size) == ("file", None, 6)
    assert report.digest == table.digest == hashlib.sha256(b"second").hexdigest()
    assert run.open_file("report.csv").read() == b"second"
    assert [found.path for found in run.files("tables/")] == ["tables/ä.csv"]
    assert run.files("nothing") == []


def test_a_series_has_a_step_after_the_last_one(run):
    before = dt.datetime.now(dt.UTC)
    for text in ("a", "b"):
        run.log_text("answers", text)
    run.log_text("answers", "c", step=10)
    te.log_text("answers", "d")
    run.log_text("answers", "b again", step=1)
    files = run.files()
    assert [(file.path, file.step) for file in files] == [
        ("answers", step) for step in (0, 1, 10, 11)
    ]
    assert {file.content_type for file in files} == {"text/plain; charset=utf-8"}
    assert before <= files[0].timestamp <= files[3].timestamp <= dt.datetime.now(dt.UTC)
    assert run.open_file("answers").read() == b"d"
    assert run.open_file("answers", step=1).read() == b"b again"
    for path, step in (("answers", 7), ("other", None), ("answ", None)):
        with pytest.raises(FileNotFoundError, match=f"has no file '{path}'"):
            run.open_file(path, step)


def test_each_kind_of_media_is_kept_with_its_content_type(run, tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    run.log_image("path", tmp_path / "a.png")
    run.log_image("bytes", PNG)
    te.log_image("array", np.zeros((2, 3), np.uint8))
    te.log_audio("sound", np.zeros(8), sample_rate=16_000)
    run.log_audio("ogg", b"OggS and more")
    run.log_html("page", "<p>ä</p>")
    te.log_html("page", "<p>b</p>", step=7)
    kinds = {(file.path, file.step): (file.kind, file.content_type) for file in run.files()}
    assert kinds == {
        ("array", 0): ("image", "image/png"),
        ("bytes", 0): ("image", "image/png"),
        ("ogg", 0): ("audio", "audio/ogg"),
        ("page", 0): ("html", "text/html; charset=utf-8"),
        ("page", 7): ("html", "text/html; charset=utf-8"),
        ("path", 0): ("image", "image/png"),
        ("sound", 0): ("audio", "audio/wav"),
    }
    assert run.open_file("path").read() == run.open_file("bytes").read() == PNG
    assert run.open_file("page", step=0).read().decode() == "<p>ä</p>"
    with wave.open(io.BytesIO(run.open_file("sound").read())) as sound:
        assert (sound.getframerate(), sound.getnframes(), sound.getnchannels()) == (16_000, 8, 1)


def test_files_of_many_sizes_are_read_at_any_place(run, tmp_path):
    for size in (0, 1, 16_384, 16_385, 5_000_000):
        data = np.random.default_rng(size).bytes(size)
        (tmp_path / "data").write_bytes(data)
        run.log_file(tmp_path / "data", f"{size}")
        with run.open_file(f"{size}") as file:
            assert file.read() == data
            file.seek(size // 2)
            assert file.read(100) == data[size // 2 :][:100]


def test_the_files_of_a_run_of_another_process_are_read(run):
    run.log_text("answers", "words")
    run.finish()
    found = te.get_run("acme", "Digits", "first")
    assert [file.path for file in found.files()] == ["answers"]
    assert found.open_file("answers").read() == b"words"


def test_files_and_metrics_with_one_name_do_not_meet(run):
    run.log("answers", 1)
    run.log_text("answers", "words")
    run.log_rows("answers", [{"a": 1}])
    assert run.metrics("answers").values == [1]
    assert run.open_file("answers").read() == b"words"
    assert run.rows("answers").rows == [{"a": 1}]
