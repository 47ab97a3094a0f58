"""Downloaded files are saved below a folder and nowhere else, whole or not at all."""

import hashlib
import os
import re
import stat
import sys
from contextlib import contextmanager, nullcontext

import pytest

from afnio_tellurio.artifacts import saving
from afnio_tellurio.artifacts.saving import (
    DamagedFileError,
    FileToSave,
    UnsafePathError,
    save_below,
)

needs_links = pytest.mark.skipif(os.name == "nt", reason="on Windows, not every user can link")


@pytest.fixture(params=["descriptors", "paths"], autouse=True)
def way(request, monkeypatch):
    """Saves also as on a system that opens no folders."""
    if request.param == "paths":
        monkeypatch.setattr(saving, "_HAS_DESCRIPTORS", False)
    elif os.name == "nt":
        pytest.skip("Windows opens no folders")
    return request.param


@pytest.fixture
def root(tmp_path):
    return tmp_path / "parent" / "root"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def file(path, data=b"data", *, executable=False, pieces=None, digest=None, size=None, then=None):
    @contextmanager
    def open_stream():
        if then:
            then()
        yield iter([data] if pieces is None else pieces)

    return FileToSave(
        path,
        sha256(data) if digest is None else digest,
        len(data) if size is None else size,
        executable,
        open_stream,
    )


def refuse():
    raise AssertionError("it must not be downloaded")


def saved(root):
    """The bytes of each file below a folder."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_files_are_saved_with_their_folders(root):
    data = {"a": b"", "b/c/d": b"1", "b/e": os.urandom(3 * 2**20)}
    assert save_below(root, [file(path, content) for path, content in data.items()]) == 3
    assert saved(root) == data


def test_a_folder_that_cannot_be_created_is_named_as_it_was_passed(tmp_path):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "deep" / "er"
    with pytest.raises(OSError, match=f"the folder {re.escape(repr(str(folder)))} cannot be"):
        save_below(folder, [file("a")])


def test_pieces_are_put_together(root):
    save_below(root, [file("a", b"abc", pieces=[b"a", b"", b"bc"])])
    assert saved(root) == {"a": b"abc"}


def test_a_repeated_download_does_nothing(root):
    files = [("a", b"1"), ("b/c", b"2")]
    save_below(root, [file(path, data) for path, data in files])
    before = {path: path.stat() for path in root.rglob("*") if path.is_file()}
    assert save_below(root, [file(path, data, then=refuse) for path, data in files]) == 0
    for path, status in before.items():
        assert (path.stat().st_mtime_ns, path.stat().st_ino) == (status.st_mtime_ns, status.st_ino)
    assert len(saved(root)) == 2


@pytest.mark.parametrize("old", [b"other", b"DATA"])
def test_a_file_with_other_bytes_is_replaced(root, old):
    root.mkdir(parents=True)
    (root / "a").write_bytes(old)
    (root / "mine").write_bytes(b"stays")
    assert save_below(root, [file("a")]) == 1
    assert saved(root) == {"a": b"data", "mine": b"stays"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits")
@pytest.mark.parametrize(("mask", "modes"), [(0, (0o644, 0o755)), (0o077, (0o600, 0o700))])
def test_permissions(root, mask, modes):
    before = os.umask(mask)
    try:
        save_below(root, [file("a"), file("b", executable=True)])
    finally:
        os.umask(before)
    assert tuple(stat.S_IMODE((root / name).stat().st_mode) for name in "ab") == modes


@pytest.mark.parametrize(
    "path",
    ["../x", "a/../../x", "/etc/x", "C:/x", "a\\..\\x", "a//x", "", ".", "aux", "a\0b", "a\nb"],
)
def test_a_path_that_leads_out_is_refused_before_anything_is_saved(root, path):
    with pytest.raises(ValueError, match="path"):
        save_below(root, [file("good", then=refuse), file(path, then=refuse)])
    assert not root.parent.exists()


def test_two_files_that_are_one_on_some_systems_are_refused(root):
    for second in ("readme", "README/x"):
        with pytest.raises(ValueError, match="README"):
            save_below(root, [file("README", then=refuse), file(second, then=refuse)])


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (file("a/b", digest="0" * 64), "'a/b' was downloaded with the SHA-256 3a6eb"),
        (file("a/b", size=3), "'a/b' was downloaded with more than 3 bytes, not 3"),
        (file("a/b", size=5), "'a/b' was downloaded with 4 bytes, not 5"),
    ],
)
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_damaged_file_is_not_saved(root, damaged, message, old):
    if old:
        (root / "a").mkdir(parents=True)
        (root / "a" / "b").write_bytes(old)
    with pytest.raises(DamagedFileError, match=message):
        save_below(root, [damaged])
    assert saved(root) == ({"a/b": old} if old else {})


def test_an_endless_file_is_left_at_its_size(root):
    def endless():
        taken = 0
        while True:
            taken += 1
            assert taken < 10
            yield bytes(1000)

    with pytest.raises(DamagedFileError, match="with more than 3,000 bytes"):
        save_below(root, [file("a", bytes(3000), pieces=endless())])
    assert saved(root) == {}


def test_digests_are_not_compared_if_that_is_not_wanted(root):
    save_below(root, [file("a", digest="0" * 64)], verify=False)
    assert saved(root) == {"a": b"data"}
    with pytest.raises(DamagedFileError, match="with 4 bytes"):
        save_below(root, [file("b", size=5)], verify=False)


def test_an_interrupted_download_leaves_no_part(root):
    def interrupted():
        yield b"da"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_below(root, [file("a"), file("b/c", pieces=interrupted())])
    assert saved(root) == {"a": b"data"}


def test_a_part_is_beside_its_file_and_a_long_name_fits(root):
    name = "ä" * 127
    seen = []
    save_below(root, [file(f"a/{name}", then=lambda: seen.extend(os.listdir(root / "a")))])
    assert saved(root) == {f"a/{name}": b"data"}
    assert len(seen) == 1
    assert seen[0].startswith("ää")
    assert seen[0].endswith(".part")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not open them twice")
def test_no_folder_stays_open(root):
    before = len(os.listdir("/dev/fd"))
    save_below(root, [file("a/b/c")])
    with pytest.raises(DamagedFileError):
        save_below(root, [file("a/b/d/e", size=1)])
    (root / "link").symlink_to("a")
    with pytest.raises(UnsafePathError):
        save_below(root, [file("a/b/f"), file("link/g/h")])
    assert len(os.listdir("/dev/fd")) == before


@needs_links
class TestLinks:
    @pytest.fixture
    def outside(self, tmp_path):
        path = tmp_path / "outside"
        path.mkdir()
        (path / "secret").write_bytes(b"secret")
        return path

    @pytest.mark.parametrize("place", ["link", "folder/link"])
    def test_one_in_the_place_of_a_folder_is_not_passed(self, root, outside, place):
        (root / "folder").mkdir(parents=True)
        (root / place).symlink_to(outside)
        with pytest.raises(UnsafePathError, match=f"root/{place}' is a symbolic link.*move it"):
            save_below(root, [file(f"{place}/secret", then=refuse)])
        with pytest.raises(UnsafePathError):
            save_below(root, [file(f"{place}/new/x", then=refuse)])
        assert saved(outside) == {"secret": b"secret"}

    @pytest.mark.parametrize("target", ["secret", "missing"])
    def test_one_in_the_place_of_a_file_is_neither_followed_nor_replaced(
        self, root, outside, target
    ):
        root.mkdir(parents=True)
        (root / "a").symlink_to(outside / target)
        with pytest.raises(UnsafePathError, match="root/a' is a symbolic link"):
            save_below(root, [file("a", b"secret", then=refuse)])
        assert saved(outside) == {"secret": b"secret"}
        assert os.readlink(root / "a") == str(outside / target)

    def test_the_folder_itself_may_be_one(self, root, outside):
        root.parent.mkdir()
        root.symlink_to(outside)
        save_below(root, [file("a/b")])
        assert saved(outside) == {"secret": b"secret", "a/b": b"data"}

    def test_one_that_appears_while_a_file_is_downloaded_is_not_followed(self, root, outside):
        def swap():
            (root / "a").symlink_to(outside / "secret")

        with pytest.raises(UnsafePathError, match="root/a' is a symbolic link"):
            save_below(root, [file("a", then=swap)])
        assert saved(outside) == {"secret": b"secret"}
        assert sorted(os.listdir(root)) == ["a"]

    def test_one_that_appears_at_the_last_moment_is_replaced(self, root, outside, monkeypatch):
        real = os.replace

        def swap(part, name, **keywords):
            (root / "a").symlink_to(outside / "secret")
            real(part, name, **keywords)

        monkeypatch.setattr(os, "replace", swap)
        save_below(root, [file("a")])
        assert saved(outside) == {"secret": b"secret"}
        assert not (root / "a").is_symlink()
        assert saved(root) == {"a": b"data"}

    def test_one_that_appears_when_a_folder_was_made_is_not_passed(
        self, root, outside, monkeypatch
    ):
        real = os.mkdir
        root.mkdir(parents=True)

        def swap(name, *arguments, **keywords):
            real(name, *arguments, **keywords)
            (root / "a").rmdir()
            (root / "a").symlink_to(outside)

        monkeypatch.setattr(os, "mkdir", swap)
        with pytest.raises(UnsafePathError, match="root/a' is a symbolic link"):
            save_below(root, [file("a/secret", then=refuse)])
        assert saved(outside) == {"secret": b"secret"}

    def test_one_that_takes_the_place_of_an_open_folder_leads_nowhere(self, root, outside, way):
        if way == "paths":
            pytest.skip("needs open folders")

        def swap():
            (root / "a").rename(root / "moved")
            (root / "a").symlink_to(outside)

        save_below(root, [file("a/secret", then=swap)])
        assert saved(outside) == {"secret": b"secret"}
        assert saved(root) == {"moved/secret": b"data"}

    @pytest.mark.parametrize("kind", ["folder", "pipe"])
    @pytest.mark.parametrize("path", ["x", "x/y"])
    def test_what_is_not_a_file_or_a_folder_is_in_the_way(self, root, kind, path):
        root.mkdir(parents=True)
        if kind == "pipe":
            os.mkfifo(root / "x")
        elif path == "x":
            (root / "x").mkdir()
        else:
            (root / "x").write_bytes(b"")
        with pytest.raises(UnsafePathError, match="root/x' is"):
            save_below(root, [file(path, then=refuse)])

    def test_a_pipe_that_takes_the_place_of_a_file_is_not_read(self, root, monkeypatch):
        save_below(root, [file("a", b"")])
        real = os.stat
        calls = []

        def swap(name, **keywords):
            status = real(name, **keywords)
            if str(name).endswith("a"):
                calls.append(name)
                if len(calls) == 2:
                    (root / "a").unlink()
                    os.mkfifo(root / "a")
            return status

        monkeypatch.setattr(os, "stat", swap)
        with pytest.raises(UnsafePathError, match="root/a' is"):
            save_below(root, [file("a", b"")])

    def test_a_junction_in_the_place_of_a_folder_is_not_passed(self, root, monkeypatch, way):
        if way == "descriptors":
            pytest.skip("Windows opens no folders")
        monkeypatch.setattr(saving, "is_link", lambda _status: True)
        with pytest.raises(UnsafePathError, match="root/a' is"):
            save_below(root, [file("a/b", then=refuse)])

    def test_a_junction_of_windows_is_a_link(self):
        from types import SimpleNamespace

        from afnio_tellurio.artifacts.opening import is_link

        folder = {"st_mode": stat.S_IFDIR | 0o755}
        assert is_link(SimpleNamespace(**folder, st_reparse_tag=0xA0000003))
        assert not is_link(SimpleNamespace(**folder, st_reparse_tag=0x9000001A)), "of OneDrive"
        assert not is_link(SimpleNamespace(**folder))


def test_the_stream_is_closed(root):
    closed = []

    class Stream(nullcontext):
        def __exit__(self, *_):
            closed.append(True)

    stream = Stream([b"data"])
    save_below(
        root, [FileToSave("a", sha256(b"data"), 4, executable=False, open_stream=lambda: stream)]
    )
    with pytest.raises(DamagedFileError):
        save_below(
            root, [FileToSave("b", "0" * 64, 4, executable=False, open_stream=lambda: stream)]
        )
    assert closed == [True, True]
