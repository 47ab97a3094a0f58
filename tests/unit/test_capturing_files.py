"""Captured files are whole, once, and on the disk, or not there at all."""

import errno
import hashlib
import io
import os
import stat
import sys
import threading
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from afnio_tellurio.artifacts import capture as module
from afnio_tellurio.artifacts import index as index_module
from afnio_tellurio.artifacts.capture import capture
from afnio_tellurio.artifacts.collecting import collect_directory, collect_file
from afnio_tellurio.artifacts.index import (
    read_index,
    remove_captured,
)
from afnio_tellurio.artifacts.opening import ChangedFileError, open_regular
from afnio_tellurio.artifacts.reading import open_captured
from afnio_tellurio.artifacts.sources import BytesSource, Reference, Source

KIB = 2**10
needs_modes = pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits")


def allow(_count):
    """Allows any number of bytes."""


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def out(tmp_path):
    return tmp_path / "outbox" / "1"


@pytest.fixture
def make(tmp_path):
    def make(name, data):
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    return make


def contents(folder):
    """The bytes of each file by its path, read through the index on the disk."""
    index = read_index(folder)
    blobs = {blob.digest: blob for blob in index.blobs}
    found = {}
    for file in index.files:
        if file.reference is None:
            with open_captured(folder, blobs[file.digest]) as reader:
                found[file.path] = reader.read()
            assert sha256(found[file.path]) == file.digest
            assert len(found[file.path]) == file.size
    return found


def test_small_files_are_packed_and_larger_ones_are_files(make, tmp_path, out):
    data = {
        "a/empty": b"",
        "a/small": b"x" * 16 * KIB,
        "large": os.urandom(16 * KIB + 1),
        "larger": os.urandom(3 * KIB * KIB + 7),
    }
    for name, content in data.items():
        make(name, content)
    captured = capture(collect_directory(tmp_path / "source"), out, check_room=allow)
    assert contents(out) == data
    assert captured.index == read_index(out)
    assert [file.path for file in captured.index.files] == sorted(data)
    names = {sha256(data["large"]), sha256(data["larger"])}
    assert {path.name for path in out.iterdir()} == {"index", "pack", *names}
    assert captured.stored == sum((out / name).stat().st_size for name in {"pack", *names})


def test_the_pack_has_a_line_before_each_blob(make, tmp_path, out):
    make("1", b"one")
    make("2", b"two!")
    make("3", b"one")
    capture(collect_directory(tmp_path / "source"), out, check_room=allow)
    expected = b"".join(
        f"{sha256(data)} {len(data)}\n".encode() + data for data in (b"one", b"two!")
    )
    assert (out / "pack").read_bytes() == expected


def test_equal_bytes_are_stored_once(make, tmp_path, out):
    large = os.urandom(100 * KIB)
    for name in ("a", "b", "c"):
        make(name, large)
    os.link(tmp_path / "source" / "a", tmp_path / "source" / "hard-link")
    sources = [*collect_directory(tmp_path / "source"), BytesSource("memory", large)]
    captured = capture(sources, out, check_room=allow)
    assert len(captured.index.blobs) == 1
    assert captured.stored == len(large)
    assert set(contents(out).values()) == {large}
    assert len(contents(out)) == 5


def test_bytes_and_references(out):
    large = os.urandom(20 * KIB)
    sources = [
        Reference("r/1", "s3://acme/data", "0" * 64, 5),
        Reference("r/2", "s3://acme/more"),
        BytesSource("small", b"text"),
        BytesSource("large", large),
    ]
    captured = capture(sources, out, check_room=allow)
    assert contents(out) == {"small": b"text", "large": large}
    found = {file.path: file for file in captured.index.files}
    assert (found["r/1"].reference, found["r/1"].digest, found["r/1"].size) == (
        "s3://acme/data", "0" * 64, 5,
    )  # fmt: skip
    assert (found["r/2"].digest, found["r/2"].size) == (None, None)
    assert len(captured.index.blobs) == 2


def test_paths_are_checked_before_anything_is_written(out):
    for sources, message in (
        ([BytesSource("../x", b"")], "has the part"),
        ([BytesSource("x", b"1"), BytesSource("X", b"2")], "are the same"),
    ):
        with pytest.raises(ValueError, match=message):
            capture(sources, out, check_room=allow)
    assert not out.exists()


def test_a_folder_that_exists_is_left_alone(out):
    capture([BytesSource("x", b"1")], out, check_room=allow)
    with pytest.raises(FileExistsError):
        capture([BytesSource("x", b"2")], out, check_room=allow)
    assert contents(out) == {"x": b"1"}


@needs_modes
def test_everything_is_its_owners_alone(make, out):
    make("public", b"x" * 20 * KIB).chmod(0o755)
    before = os.umask(0)
    try:
        sources = [*collect_file(out.parent.parent / "source" / "public"), BytesSource("b", b"")]
        captured = capture(sources, out, check_room=allow)
    finally:
        os.umask(before)
    assert stat.S_IMODE(out.stat().st_mode) == stat.S_IMODE(out.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o600}
    assert [file.executable for file in captured.index.files] == [False, True]


def test_all_is_synchronized_before_the_index_has_its_name(make, out, monkeypatch):
    """A fsync after that would leave an index that names what the disk does not have."""
    happened = []
    real = index_module.synchronize

    def record(fd):
        status = os.fstat(fd)
        names = {path.stat().st_ino: path.name for path in out.iterdir()} | {
            out.stat().st_ino: "folder", out.parent.stat().st_ino: "parent",
        }  # fmt: skip
        happened.append((names[status.st_ino], (out / "index").exists()))
        real(fd)

    monkeypatch.setattr(module, "synchronize", record)
    monkeypatch.setattr(index_module, "synchronize", record)
    large = os.urandom(20 * KIB)
    capture([BytesSource("a", b"1"), BytesSource("b", large)], out, check_room=allow)
    assert happened[:2] == [("pack", False), (sha256(large), False)]
    if os.name != "nt":
        assert happened[2:] == [("folder", True), ("parent", True)]


class TestInPlace:
    @pytest.fixture
    def captured(self, make, out):
        path = make("huge", os.urandom(40 * KIB))
        return path, capture(collect_file(path), out, in_place_above=30 * KIB, check_room=allow)

    def test_a_file_that_is_too_large_is_not_copied(self, captured, out):
        path, result = captured
        (blob,) = result.index.blobs
        assert blob.at == f"path:{os.path.realpath(path)}"
        assert blob.is_in_place
        assert result.stored == 0
        assert [file.name for file in out.iterdir()] == ["index"]
        assert contents(out) == {"huge": path.read_bytes()}

    def test_room_is_not_asked_for_it(self, make, out):
        asked = []
        path = make("huge", os.urandom(40 * KIB))
        capture(collect_file(path), out, in_place_above=40 * KIB - 1, check_room=asked.append)
        assert not asked

    def test_without_a_bound_all_files_are_copied(self, make, out, monkeypatch):
        path = make("sparse", b"")
        os.truncate(path, 2**21)
        capture(collect_file(path), out, in_place_above=None, check_room=allow)
        path.unlink()
        assert contents(out) == {"sparse": bytes(2**21)}

    @pytest.mark.parametrize("change", ["append", "touch", "replace", "remove", "folder", "link"])
    def test_a_change_before_it_is_read_is_told(self, captured, out, change):
        path, result = captured
        data = path.read_bytes()
        status = path.stat()
        if change == "append":
            with path.open("ab") as file:
                file.write(b"x")
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        elif change == "touch":
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1000))
        else:
            path.rename(path.with_name("other"))
            if change == "replace":
                path.write_bytes(data)
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            elif change == "folder":
                path.mkdir()
            elif change == "link":
                path.symlink_to("other")
        with pytest.raises(ChangedFileError, match=r"source/huge' was .*; log it again"):
            open_captured(out, result.index.blobs[0])

    def test_another_number_of_its_file_system_is_no_change(self, captured, out):
        """A restart of the machine may assign another."""
        path, result = captured
        (blob,) = result.index.blobs
        blob.identity = msgspec.structs.replace(blob.identity, device=blob.identity.device + 1)
        with open_captured(out, blob) as reader:
            assert reader.read() == path.read_bytes()

    def test_a_change_while_it_is_read_is_told(self, captured, out):
        path, result = captured
        with open_captured(out, result.index.blobs[0]) as reader:
            assert reader.read(10) == path.read_bytes()[:10]
            with path.open("r+b") as file:
                file.write(b"y")
            os.utime(path, ns=(0, 1))
            with pytest.raises(ChangedFileError):
                reader.read(10)

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
    def test_a_folder_whose_name_is_not_utf_8_is_refused(self, make, out):
        folder = make("x/y", b"").parent
        path = Path(os.fsdecode(os.fsencode(folder) + b"\xff"))
        path.mkdir()
        (path / "huge").write_bytes(bytes(KIB))
        with pytest.raises(ValueError, match=r"huge' is not valid UTF-8.*rename its folder"):
            capture(collect_file(path / "huge"), out, in_place_above=1, check_room=allow)
        assert not out.exists()


SIZES = pytest.mark.parametrize(
    ("size", "in_place_above"),
    [(KIB, None), (2 * KIB * KIB, None), (40 * KIB, KIB)],
    ids=["small", "copied", "in place"],
)


class TestChanges:
    """Files that change while they are read."""

    @pytest.fixture
    def on_read(self, monkeypatch):
        """Calls a function after the first bytes of each attempt were read."""
        calls = []

        def install(function):
            class Reader(io.FileIO):
                def __init__(self, *arguments, **keywords):
                    super().__init__(*arguments, **keywords)
                    self.is_new = True

                def readinto(self, buffer):
                    count = super().readinto(buffer)
                    if self.is_new:
                        self.is_new = False
                        calls.append(count)
                        function(len(calls))
                    return count

            monkeypatch.setattr(module, "io", SimpleNamespace(FileIO=Reader))
            return calls

        return install

    @SIZES
    @pytest.mark.parametrize("change", ["longer", "shorter", "other"])
    def test_one_that_changes_once_is_read_again(
        self, make, out, on_read, size, in_place_above, change
    ):
        path = make("file", bytes(size))
        new = {"longer": b"x" * (size + 1), "shorter": b"x" * (size - 1), "other": b"x" * size}

        def write(call):
            if call == 1:
                path.write_bytes(new[change])
                os.utime(path, ns=(0, 5))

        calls = on_read(write)
        capture(collect_file(path), out, in_place_above=in_place_above, check_room=allow)
        assert len(calls) == 2
        assert contents(out) == {"file": new[change]}

    @SIZES
    def test_one_that_changes_each_time_is_named(self, make, out, on_read, size, in_place_above):
        path = make("file", bytes(size))
        calls = on_read(lambda call: os.utime(path, ns=(0, call)))
        sources = [BytesSource("first", b"1"), *collect_file(path)]
        with pytest.raises(ChangedFileError, match=r"source/file' changed while it was read, 2"):
            capture(sources, out, in_place_above=in_place_above, check_room=allow)
        assert len(calls) == 2
        assert not out.exists()

    def test_another_file_in_its_place_is_read_in_its_place(self, make, out, on_read):
        path = make("file", b"old")
        other = make("other", b"new")
        on_read(lambda _call: other.replace(path) if other.exists() else None)
        capture(collect_file(path), out, check_room=allow)
        assert contents(out) == {"file": b"old"}, "the old file did not change"

    def test_one_that_is_read_in_place_must_still_have_its_path(self, make, out, on_read):
        path = make("file", b"old")
        other = make("other", b"new")
        on_read(lambda _call: other.replace(path) if other.exists() else None)
        capture(collect_file(path), out, in_place_above=0, check_room=allow)
        assert contents(out) == {"file": b"new"}

    def test_one_that_a_thread_writes_to_is_whole_or_refused(self, make, out, tmp_path):
        path = make("file", bytes(256 * KIB))
        stop = threading.Event()
        started = threading.Event()

        def write():
            number = 0
            with path.open("r+b") as file:
                while not stop.is_set():
                    number += 1
                    file.seek(0)
                    file.truncate()
                    file.write(bytes([number % 251]) * (number % 9 + 1) * 32 * KIB)
                    file.flush()
                    started.set()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            started.wait()
            for attempt in range(20):
                folder = tmp_path / "attempts" / str(attempt)
                try:
                    capture(collect_file(path), folder, check_room=allow)
                except ChangedFileError:
                    assert not folder.exists()
                else:
                    # It verifies digest and size.
                    contents(folder)
        finally:
            stop.set()
            writer.join()

    @pytest.mark.skipif(os.name == "nt", reason="on Windows, not every user can link")
    def test_one_that_was_replaced_by_a_link_is_refused(self, make, out):
        path = make("file", b"1")
        sources = collect_file(path)
        path.unlink()
        path.symlink_to("/etc/passwd")
        with pytest.raises(ValueError, match=r"file' is a symbolic link"):
            capture(sources, out, check_room=allow)
        assert not out.exists()

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with a name")
    @pytest.mark.parametrize("kind", ["link", "pipe"])
    def test_one_that_is_replaced_after_it_was_looked_at_is_refused(self, make, monkeypatch, kind):
        path = make("file", b"1")
        real = os.lstat

        def replace(file):
            status = real(file)
            path.unlink()
            if kind == "link":
                path.symlink_to("/etc/passwd")
            else:
                os.mkfifo(path)
            return status

        monkeypatch.setattr(os, "lstat", replace)
        with pytest.raises(ValueError, match="symbolic link" if kind == "link" else "is a pipe"):
            open_regular(path)

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such files")
    def test_one_with_more_bytes_than_its_size_is_refused(self, out):
        """The kernel makes its bytes when it is read."""
        assert os.stat("/proc/version").st_size == 0
        with pytest.raises(ChangedFileError, match="/proc/version' changed while it was read"):
            capture(collect_file("/proc/version"), out, check_room=allow)


class TestSharedBlocks:
    """As on a file system that can share blocks; this one may be unable to."""

    @pytest.fixture
    def sharing(self, monkeypatch):
        then = []

        def share(source, copy):
            os.sendfile(copy, source, 0, 2**30)
            os.lseek(copy, 0, os.SEEK_SET)
            for function in then:
                function()
            return True

        if not hasattr(os, "sendfile") or sys.platform != "linux":
            pytest.skip("needs sendfile between files")
        monkeypatch.setattr(module, "_share_blocks", share)
        return then

    @pytest.mark.usefixtures("sharing")
    def test_the_copy_is_hashed(self, make, out):
        data = os.urandom(3 * KIB * KIB)
        capture(collect_file(make("file", data)), out, check_room=allow)
        assert contents(out) == {"file": data}

    def test_a_file_that_changed_meanwhile_is_shared_again(self, make, out, sharing):
        path = make("file", os.urandom(40 * KIB))

        def change():
            sharing.clear()
            path.write_bytes(b"x" * 30 * KIB)

        sharing.append(change)
        capture(collect_file(path), out, check_room=allow)
        assert contents(out) == {"file": b"x" * 30 * KIB}


class TestFailures:
    def test_what_check_room_raises_ends_the_capture(self, make, tmp_path, out):
        for number in range(3):
            make(str(number), os.urandom(50 * KIB))
        asked = []

        def refuse(count):
            asked.append(count)
            if len(asked) == 3:
                raise RuntimeError("no room")

        with pytest.raises(RuntimeError, match="no room"):
            capture(collect_directory(tmp_path / "source"), out, check_room=refuse)
        assert asked == [50 * KIB] * 3
        assert not out.exists()

    def test_room_for_the_pack_is_asked_in_steps(self, out):
        asked = []
        sources = [BytesSource(str(number), os.urandom(16 * KIB)) for number in range(100)]
        capture(sources, out, check_room=asked.append)
        assert asked == [2**20, 2**20]
        assert sum(asked) >= (out / "pack").stat().st_size

    @pytest.mark.parametrize("name", ["write", "rename", "replace", "fsync"])
    def test_nothing_stays_if_the_disk_fails(self, make, out, monkeypatch, name):
        sources = [BytesSource("a", b"1"), *collect_file(make("b", os.urandom(40 * KIB)))]

        def fail(*_arguments, **_keywords):
            raise OSError(errno.ENOSPC, "No space left on device")

        owner = Path if name in ("rename", "replace") else os
        monkeypatch.setattr(owner, name, fail)
        with pytest.raises(OSError, match="No space left"):
            capture(sources, out, check_room=allow)
        assert not out.exists()

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no file size limit")
    @pytest.mark.parametrize("kind", ["one file", "pack"])
    def test_nothing_stays_if_the_disk_is_full(self, run_forked, tmp_path, kind):
        size, count = (2**21, 1) if kind == "one file" else (16 * KIB, 100)
        for number in range(count):
            (tmp_path / "s").mkdir(exist_ok=True)
            (tmp_path / "s" / str(number)).write_bytes(os.urandom(size))
        finished = run_forked(
            f"""
            import os, resource, signal
            from pathlib import Path
            from afnio_tellurio.artifacts.capture import capture
            from afnio_tellurio.artifacts.collecting import collect_directory
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2**20 + 10, resource.RLIM_INFINITY))
            try:
                capture(
                    collect_directory({str(tmp_path / "s")!r}),
                    Path({str(tmp_path / "out")!r}),
                    check_room=lambda _: None,
                )
            except OSError as error:
                print("failed", error.errno)
            print(os.path.exists({str(tmp_path / "out")!r}))
            """
        )
        assert finished.stdout.split() == ["failed", str(errno.EFBIG), "False"], finished.stderr

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no file size limit")
    def test_a_full_disk_hides_no_other_failure(self, run_forked, make, tmp_path):
        make("large", os.urandom(40 * KIB))
        out = tmp_path / "out"
        finished = run_forked(
            f"""
            import os, resource, signal
            from pathlib import Path
            from afnio_tellurio.artifacts.capture import capture
            from afnio_tellurio.artifacts.collecting import collect_directory
            from afnio_tellurio.artifacts.sources import BytesSource
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
            def check_room(count):
                if count < 2**20:
                    raise RuntimeError("no room")
            sources = [BytesSource("a", b"x" * 1000), *collect_directory({str(tmp_path / "source")!r})]
            try:
                capture(sources, Path({str(out)!r}), check_room=check_room)
            except RuntimeError as error:
                print(error)
            """
        )
        assert finished.stdout == "no room\n", finished.stderr
        assert not out.exists()

    @pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EIO])
    def test_a_file_that_cannot_be_opened_is_named(self, make, out, monkeypatch, number):
        path = make("file", b"1")
        sources = collect_file(path)
        real = os.open

        def refuse(file, *arguments, **keywords):
            if str(file).endswith("source/file"):
                raise OSError(number, os.strerror(number), file)
            return real(file, *arguments, **keywords)

        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(OSError, match="source/file' cannot be read") as caught:
            capture(sources, out, check_room=allow)
        assert isinstance(caught.value, PermissionError) == (number != errno.EIO)
        assert ("change its permissions" in str(caught.value)) == (number != errno.EIO)
        assert not out.exists()

    def test_a_file_that_cannot_be_read_is_named(self, make, out, monkeypatch):
        path = make("file", b"1")

        class Broken(io.FileIO):
            def readinto(self, _buffer):
                raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(module, "io", SimpleNamespace(FileIO=Broken))
        with pytest.raises(OSError, match="source/file' cannot be read .Input/output error"):
            capture(collect_file(path), out, check_room=allow)
        assert not out.exists()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no SIGKILL")
    @pytest.mark.parametrize("moment", ["room 1", "room 2", "room 3", "synchronize", "index"])
    def test_a_killed_process_leaves_no_index(self, run_forked, tmp_path, moment):
        source = tmp_path / "s"
        source.mkdir()
        for number in range(2):
            (source / f"large{number}").write_bytes(os.urandom(40 * KIB))
        (source / "small").write_bytes(b"1")
        out = tmp_path / "out"
        finished = run_forked(
            f"""
            import os, signal
            from pathlib import Path
            from afnio_tellurio.artifacts import capture, index
            from afnio_tellurio.artifacts.collecting import collect_directory
            calls = []
            def kill(*_):
                os.kill(os.getpid(), signal.SIGKILL)
            def check_room(count):
                calls.append(count)
                if f"room {{len(calls)}}" == {moment!r}:
                    kill()
            if {moment!r} == "synchronize":
                capture.synchronize = kill
            if {moment!r} == "index":
                Path.replace = kill
            capture.capture(
                collect_directory({str(source)!r}), Path({str(out)!r}), check_room=check_room
            )
            """
        )
        assert finished.returncode == -9, finished.stderr
        assert out.is_dir()
        assert not (out / "index").exists()
        with pytest.raises(FileNotFoundError):
            read_index(out)
        remove_captured(out)
        assert not out.exists()
        assert len(list(source.iterdir())) == 3


class TestReading:
    @pytest.mark.parametrize("size", [10, 40 * KIB])
    @pytest.mark.parametrize("in_place_above", [0, None])
    def test_ranges(self, make, out, size, in_place_above):
        data = os.urandom(size)
        sources = [BytesSource("0", b"before"), *collect_file(make("1", data))]
        captured = capture(sources, out, in_place_above=in_place_above, check_room=allow)
        blob = captured.index.blobs[1]
        for start, end in ((0, size), (3, 7), (size, size), (0, 0), (5, None)):
            with open_captured(out, blob, start, end) as reader:
                assert reader.read() == data[start:end]
                assert reader.read(1) == b""
        for start, end in ((-1, 2), (3, 2), (0, size + 1)):
            with pytest.raises(ValueError, match="are not within a blob"):
                open_captured(out, blob, start, end)

    def test_a_copy_that_ends_early_is_damaged(self, out):
        captured = capture([BytesSource("0", os.urandom(40 * KIB))], out, check_room=allow)
        (blob,) = captured.index.blobs
        os.truncate(out / blob.digest, 100)
        with open_captured(out, blob) as reader, pytest.raises(OSError, match="ends early"):
            reader.read()

    def test_its_file_is_closed(self, out):
        (blob,) = capture([BytesSource("0", b"1")], out, check_room=allow).index.blobs
        reader = open_captured(out, blob)
        fd = reader._fd
        reader.close()
        reader.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"files":[],"blobs":[],"version":2}'])
    def test_a_damaged_index_is_told(self, out, content):
        capture([BytesSource("0", b"1")], out, check_room=allow)
        (out / "index").write_bytes(content)
        with pytest.raises(ValueError, match="index is damaged"):
            read_index(out)

    def test_the_index_is_json(self, out):
        capture([BytesSource("0", b"1")], out, check_room=allow)
        assert msgspec.json.decode((out / "index").read_bytes()) == {
            "files": [{"path": "0", "digest": sha256(b"1"), "size": 1}],
            "blobs": [{"digest": sha256(b"1"), "size": 1, "at": "pack:67"}],
            "version": 1,
        }


def test_a_folder_may_be_removed_twice(out):
    capture([BytesSource("0", b"1")], out, check_room=allow)
    assert contents(out) == {"0": b"1"}
    remove_captured(out)
    assert not out.exists()
    remove_captured(out)


def test_ten_thousand_small_files(tmp_path, out, monkeypatch):
    for number in range(10_000):
        folder = tmp_path / "source" / str(number % 100)
        if number < 100:
            folder.mkdir(parents=True)
        (folder / str(number)).write_bytes(b"%d" % number * 1000)
    synchronized = []
    for owner in (module, index_module):
        monkeypatch.setattr(owner, "synchronize", synchronized.append)
    captured = capture(collect_directory(tmp_path / "source"), out, check_room=allow)
    assert sorted(path.name for path in out.iterdir()) == ["index", "pack"]
    assert len(synchronized) <= 3, "one for the pack, and those of folders"
    assert len(captured.index.files) == len(captured.index.blobs) == 10_000
    blobs = {blob.digest: blob for blob in captured.index.blobs}
    for data in (b"%d" % number * 1000 for number in range(0, 10_000, 100)):
        with open_captured(out, blobs[sha256(data)]) as reader:
            assert reader.read() == data


@pytest.mark.parametrize("in_place_above", [0, None])
def test_a_large_file_takes_little_memory(make, out, in_place_above):
    path = make("file", b"")
    with path.open("wb") as file:
        for _ in range(64):
            file.write(os.urandom(2**20))
    tracemalloc.start()
    try:
        captured = capture(collect_file(path), out, in_place_above=in_place_above, check_room=allow)
        with open_captured(out, captured.index.blobs[0]) as reader:
            while reader.read(2**20):
                pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20
    assert captured.index.files[0].size == 64 * 2**20


def test_sources_are_files_without_links(make, out):
    path = make("file", b"1")
    captured = capture([Source("a/b", path, executable=True)], out, check_room=allow)
    assert captured.index.files[0].executable
