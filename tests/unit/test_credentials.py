"""The credentials file: its owner, its permissions, and its content."""

import json
import os
import socket
import stat
import sys
import tempfile
import threading

import platformdirs
import pytest

import afnio_tellurio as te
from afnio_tellurio.api import credentials
from afnio_tellurio.locking import try_lock

URL = "https://one.example"
OTHER = "https://two.example"


@pytest.fixture
def path():
    return credentials.credentials_file()


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_two_backends_never_share_a_key(path):
    credentials.write_key(URL, "first")
    credentials.write_key(OTHER, "second")
    assert (credentials.read_key(URL), credentials.read_key(OTHER)) == ("first", "second")
    assert credentials.read_key("https://three.example") is None
    assert credentials.remove_key(URL)
    assert (credentials.read_key(URL), credentials.read_key(OTHER)) == (None, "second")
    assert not credentials.remove_key(URL)


def test_only_its_owner_reads_it_whatever_the_mask(path):
    before = os.umask(0)
    try:
        credentials.write_key(URL, "first")
    finally:
        os.umask(before)
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert all(mode(one) == 0o600 for one in path.parent.iterdir())


def test_it_is_never_there_for_others_even_while_it_is_written(path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        os, "fsync", lambda _fd: seen.extend(mode(one) for one in path.parent.iterdir())
    )
    credentials.write_key(URL, "first")
    assert seen
    assert set(seen) == {0o600}


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o644, 0o660])
def test_one_that_others_can_read_is_refused_with_the_remedy(path, bits):
    credentials.write_key(URL, "very-secret")
    path.chmod(bits)
    for act in (lambda: credentials.read_key(URL), lambda: credentials.write_key(URL, "x")):
        with pytest.raises(te.CredentialsError, match=f"chmod 600 {path}") as caught:
            act()
        assert "very-secret" not in str(caught.value)
    path.chmod(0o600)
    assert credentials.read_key(URL) == "very-secret"


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can change owners"
)
def test_one_of_another_user_is_refused(path):
    credentials.write_key(URL, "very-secret")
    os.chown(path, 65534, 65534)
    with pytest.raises(te.CredentialsError, match="belongs to"):
        credentials.read_key(URL)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can change owners"
)
def test_another_user_gets_no_key_by_whatever_way(run_python, monkeypatch):
    # Only the user of a test can access its folders.
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("XDG_CONFIG_HOME", folder)
        credentials.write_key(URL, "very-secret")
        file = credentials.credentials_file()
        for one in (file.parent, file.parent.parent):
            one.chmod(0o755)
        finished = run_python(
            f"""
            import os, sys
            import afnio_tellurio as te
            from afnio_tellurio.api import credentials
            te.CredentialsError
            credentials.configuration_directory()
            os.setgroups([]), os.setgid(65534), os.setuid(65534)
            for read in (lambda: open({str(file)!r}).read(), lambda: credentials.read_key({URL!r})):
                try:
                    print("read", read())
                except (OSError, te.CredentialsError) as error:
                    print(type(error).__name__, error)
            """
        )
    assert finished.returncode == 0, finished.stderr
    first, second = finished.stdout.splitlines()
    assert first.startswith("PermissionError")
    assert second.startswith(f"CredentialsError the credentials file {file} belongs to another")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff", b'{"https://one.example": "very-secret"}',
     b'{"https://one.example": {"api_key": 3}}', b'{"https://one.example": {}, "x": []}'],
)  # fmt: skip
def test_a_damaged_one_is_an_error_that_does_not_quote_it(path, content):
    credentials.write_key(URL, "x")
    path.write_bytes(content)
    with pytest.raises(te.CredentialsError) as caught:
        credentials.read_key(URL)
    assert str(path) in str(caught.value)
    assert "very-secret" not in str(caught.value)


def test_a_key_that_is_kept_already_is_not_written_again(path):
    credentials.write_key(URL, "first")
    before = path.stat()
    credentials.write_key(URL, "first")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    credentials.write_key(URL, "second")
    assert credentials.read_key(URL) == "second"


def test_writers_at_once_lose_no_key(path):
    def write(number):
        credentials.write_key(f"https://{number}.example", str(number))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(json.loads(path.read_text())) == 20


def test_a_link_in_its_place_is_not_followed_when_it_is_written(path, tmp_path):
    path.parent.mkdir(parents=True)
    target = tmp_path / "elsewhere"
    target.write_text("{}")
    target.chmod(0o600)
    path.symlink_to(target)
    credentials.write_key(URL, "first")
    assert target.read_text() == "{}"
    assert credentials.read_key(URL) == "first"


def _make_pipe(path):
    os.mkfifo(path, 0o600)


def _make_socket(path):
    with socket.socket(socket.AF_UNIX) as listener:
        # Its path may be longer than the address of a socket can be.
        before = os.getcwd()
        os.chdir(path.parent)
        try:
            listener.bind(path.name)
        finally:
            os.chdir(before)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with a name")
@pytest.mark.parametrize("make", [os.mkdir, _make_pipe, _make_socket])
def test_one_that_is_not_a_file_is_refused(path, make):
    path.parent.mkdir(parents=True)
    make(path)
    for act in (lambda: credentials.read_key(URL), lambda: credentials.write_key(URL, "x")):
        with pytest.raises(te.CredentialsError, match=f"{path} is not a regular file; remove it"):
            act()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on open files")
def test_one_that_cannot_be_opened_is_an_error_with_the_reason(path):
    import resource

    credentials.write_key(URL, "very-secret")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(te.CredentialsError) as caught:
            credentials.read_key(URL)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert str(caught.value) == f"the credentials file {path} cannot be read: Too many open files"


def test_one_in_a_place_that_cannot_be_looked_into_has_no_keys(path):
    path.parent.parent.mkdir(parents=True)
    path.parent.symlink_to(path.parent)
    assert credentials.read_key(URL) is None


def test_without_a_directory_there_is_no_key_and_none_is_stored(monkeypatch):
    def find(*_arguments, **_keywords):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(platformdirs, "user_config_dir", find)
    assert credentials.read_key(URL) is None
    with pytest.raises(
        te.CredentialsError, match="no directory for the credentials file: set HOME"
    ):
        credentials.write_key(URL, "first")


def test_one_that_cannot_be_locked_is_an_error_and_stays_as_it_is(path):
    credentials.write_key(URL, "first")
    lock = path.with_suffix(".lock")
    lock.unlink()
    lock.mkdir()
    for act in (lambda: credentials.write_key(URL, "second"), lambda: credentials.remove_key(URL)):
        with pytest.raises(te.CredentialsError, match=f"{path} cannot be written: Is a directory"):
            act()
    assert credentials.read_key(URL) == "first"


def test_one_that_another_process_writes_without_end_is_not_waited_for(path, monkeypatch):
    monkeypatch.setattr(credentials, "_LOCK_TIMEOUT", 0.0)
    credentials.write_key(URL, "first")
    other = os.open(path.with_suffix(".lock"), os.O_RDWR)
    assert try_lock(other)
    with pytest.raises(te.CredentialsError, match="another process is writing to it"):
        credentials.write_key(URL, "second")
    os.close(other)
    credentials.write_key(URL, "second")
    assert credentials.read_key(URL) == "second"
