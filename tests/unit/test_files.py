"""Folders that only their owner can read."""

import errno
import os
import stat
import sys

import pytest

from afnio_tellurio.files import make_private_directory, replace_whole, synchronize

needs_modes = pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits")


@pytest.fixture
def no_umask():
    before = os.umask(0)
    yield
    os.umask(before)


@needs_modes
@pytest.mark.usefixtures("no_umask")
def test_every_folder_that_is_made_is_its_owners_alone(tmp_path):
    tmp_path.chmod(0o755)
    make_private_directory(tmp_path / "a" / "b" / "c")
    for made in ("a", "a/b", "a/b/c"):
        assert stat.S_IMODE((tmp_path / made).stat().st_mode) == 0o700
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755, "what was there stays as it is"


def test_one_that_is_there_is_left_alone(tmp_path):
    make_private_directory(tmp_path)
    make_private_directory(tmp_path / "a")
    make_private_directory(tmp_path / "a")


def test_a_file_in_its_place_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        make_private_directory(tmp_path / "file")
    with pytest.raises(FileExistsError):
        make_private_directory(tmp_path / "file" / "a")


@needs_modes
def test_everything_of_a_run_is_its_owners_alone(run_python, tmp_path):
    folder = tmp_path / "u"
    finished = run_python(
        f"""
        import os
        os.umask(0)
        import afnio_tellurio as te
        from afnio_tellurio.api.credentials import write_key
        write_key("https://one.example", "secret")
        with te.init("acme", "Digits") as run:
            run.log("loss", 1)
            run.flush()
            for place, _folders, files in os.walk({str(folder)!r}):
                for path in (place, *(os.path.join(place, name) for name in files)):
                    print(oct(os.stat(path).st_mode & 0o077), path)
        """,
        TELLURIO_MODE="local",
        TELLURIO_HOME=str(folder / "share" / "tellurio"),
        XDG_CONFIG_HOME=str(folder / "config"),
    )
    assert finished.returncode == 0, finished.stderr
    lines = finished.stdout.splitlines()
    assert any(line.endswith(".ndjson") for line in lines)
    assert [line for line in lines if not line.startswith("0o0 ")] == []


def test_a_file_that_cannot_be_written_whole_stays_as_it_was(tmp_path, monkeypatch):
    def fail(_fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "file"
    path.write_bytes(b"before")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"), replace_whole(path) as file:
        file.write(b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("is_supported", [True, False])
def test_on_macos_a_file_really_reaches_the_disk(tmp_path, monkeypatch, is_supported):
    fcntl = pytest.importorskip("fcntl")
    calls = []

    def flush(fd, command):
        calls.append((command, fd))
        if not is_supported:
            raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", flush)
    monkeypatch.setattr(os, "fsync", lambda fd: calls.append(("fsync", fd)))
    monkeypatch.setattr(sys, "platform", "darwin")
    with (tmp_path / "file").open("wb") as file:
        synchronize(file.fileno())
        expected = [(51, file.fileno())] + [("fsync", file.fileno())] * (not is_supported)
    assert calls == expected
