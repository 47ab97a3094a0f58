"""Files of artifacts and runs are read in parts, and what is damaged is refused."""

import os

import exchanges
import pytest

import afnio_tellurio as te

pytestmark = pytest.mark.needs_extension


@pytest.fixture(autouse=True)
def _backend(backend):
    pass


@pytest.fixture
def run():
    with te.init("acme", "Digits", "first") as run:
        yield run


def content_of(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_an_open_file_is_read_anywhere(run):
    data = bytes(range(256)) * 10_000
    artifact = run.log_artifact(data, "data", wait=True)
    with artifact.open("data") as file:
        assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)
        assert file.read(10) == data[:10]
        assert file.seek(1_000_001) == file.tell() == 1_000_001
        assert file.read(300) == data[1_000_001:1_000_301]
        file.seek(-5, os.SEEK_END)
        assert file.read() == data[-5:]
        assert file.read() == b""
        file.seek(0)
        assert file.read() == data
        file.seek(10**12)
        assert file.read(1) == b""
        with pytest.raises(ValueError, match="before the start"):
            file.seek(-1)
    with pytest.raises(FileNotFoundError, match="has no file 'other'"):
        artifact.open("other")


def test_a_file_that_is_read_in_pieces_is_whole(run, monkeypatch):
    monkeypatch.setattr("afnio_tellurio.artifacts.remote_files.DOWNLOADED_BYTES", 1000)
    data = os.urandom(2500)
    artifact = run.log_artifact(data, "data", wait=True)
    assert artifact.read_bytes("data") == data
    assert artifact.open("data").read() == data
    artifact.verify()


def test_damaged_bytes_are_not_taken_for_the_file(run, tmp_path, monkeypatch):
    artifact = run.log_artifact(b"right", "data", wait=True)
    monkeypatch.setattr(
        "afnio_tellurio.api.artifact_operations.download_artifact_file",
        lambda _connection, _path, _file, _start, _end, _size: b"wrong",
    )
    calls = artifact.verify, lambda: artifact.read_bytes("data"), artifact.open("data").read
    for call in calls:
        with pytest.raises(te.TellurioError, match="'data' of .* not those that were logged"):
            call()
    with pytest.raises(te.TellurioError, match="'data' was downloaded with the SHA-256"):
        artifact.download(tmp_path / "out")
    assert content_of(tmp_path / "out") == {}
    artifact.download(tmp_path / "out", verify=False)
    assert content_of(tmp_path / "out") == {"data": b"wrong"}


def test_a_damaged_file_that_is_read_in_order_is_refused_at_its_end(run, monkeypatch):
    monkeypatch.setattr("afnio_tellurio.artifacts.remote_files.DOWNLOADED_BYTES", 1000)
    monkeypatch.setattr("afnio_tellurio.artifacts.remote_files.READ_AHEAD_BYTES", 100)
    data = os.urandom(2500)
    artifact = run.log_artifact(data, "data", wait=True)
    run.log_text("notes", "words")
    with artifact.open("data") as file:
        # In order, with parts that are read twice or skipped at first.
        assert file.read(1000) == data[:1000]
        file.seek(2000)
        assert file.read(200) == data[2000:2200]
        file.seek(500)
        assert file.read() == data[500:]
    damaged = data[:1500] + bytes([data[1500] ^ 1]) + data[1501:]
    monkeypatch.setattr(
        "afnio_tellurio.api.artifact_operations.download_artifact_file",
        lambda _connection, _path, _file, start, end, _size: damaged[start:end],
    )
    with artifact.open("data") as file:
        assert file.read(1000) == data[:1000]
        for _ in range(2):
            with pytest.raises(te.TellurioError, match="not those that were logged"):
                file.read()
        file.seek(1000)
        assert file.read(1000) == damaged[1000:2000], "a part is not verified"
    monkeypatch.setattr(
        "afnio_tellurio.api.artifact_operations.download_run_file", lambda *_: b"xords"
    )
    with pytest.raises(te.TellurioError, match="'notes' of run .* not those that were logged"):
        run.open_file("notes").read()


def test_a_whole_file_is_read_in_few_requests(run):
    data = bytes(3 * 2**20)
    artifact = run.log_artifact(data, "data", wait=True)
    with artifact.open("data") as file:
        before = len(exchanges.checked_operations())
        assert file.read() == data
    assert len(exchanges.checked_operations()) - before < 5
