"""The cache of downloaded files: found again, checked, and bounded."""

import contextlib
import hashlib
import os
import shutil
import stat
import time

import pytest

from afnio_tellurio.artifacts import cache
from afnio_tellurio.artifacts.cache import cached_file, empty_cache, prune
from afnio_tellurio.artifacts.saving import DamagedFileError, UnsafePathError

HOUR = 3600


class Source:
    """A file at a backend, which counts its downloads."""

    def __init__(self, data):
        self.data = data
        self.digest = hashlib.sha256(data).hexdigest()
        self.downloads = 0

    @contextlib.contextmanager
    def open_stream(self):
        self.downloads += 1
        yield [self.data[:3], self.data[3:]]

    def cached(self, folder):
        return cached_file(folder, self.digest, len(self.data), self.open_stream)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def aged(path, hours):
    """Makes a file one that was last used hours ago."""
    moment = time.time() - hours * HOUR
    os.utime(path, (moment, moment))
    return path


def names(folder):
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_a_file_is_downloaded_once(folder):
    source = Source(b"a prompt")
    path = source.cached(folder)
    assert path == folder / source.digest[:2] / source.digest
    assert path.read_bytes() == source.data
    assert source.cached(folder) == path
    assert source.downloads == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_only_its_owner_can_read_it_and_nobody_writes_it(folder):
    path = Source(b"a prompt").cached(folder)
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert {stat.S_IMODE(each.stat().st_mode) for each in (path.parent, folder)} == {0o700}


@pytest.mark.parametrize("damage", [b"a prompr", b"a pro", b""])
def test_a_damaged_file_is_downloaded_again(folder, damage):
    source = Source(b"a prompt")
    path = source.cached(folder)
    path.chmod(0o600)
    path.write_bytes(damage)
    assert source.cached(folder).read_bytes() == source.data
    assert source.downloads == 2


def test_a_damaged_download_is_not_kept(folder):
    source = Source(b"a prompt")
    source.data = b"a prompr"
    with pytest.raises(DamagedFileError):
        source.cached(folder)
    assert names(folder) == set()


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few users make symbolic links")
def test_a_link_in_its_place_is_not_followed(folder, tmp_path):
    source = Source(b"a prompt")
    (folder / source.digest[:2]).mkdir(parents=True)
    (tmp_path / "outside").write_bytes(source.data)
    (folder / source.digest[:2] / source.digest).symlink_to(tmp_path / "outside")
    with pytest.raises(UnsafePathError):
        source.cached(folder)
    assert source.downloads == 0


def test_a_file_that_is_removed_while_it_is_downloaded_is_downloaded_again(folder):
    class Raced(Source):
        @contextlib.contextmanager
        def open_stream(self):
            with super().open_stream() as pieces:
                yield pieces
            if self.downloads == 1:
                shutil.rmtree(folder)

    source = Raced(b"a prompt")
    assert source.cached(folder).read_bytes() == source.data
    assert source.downloads == 2


def test_a_folder_that_is_removed_each_time_raises(folder):
    class Raced(Source):
        @contextlib.contextmanager
        def open_stream(self):
            with super().open_stream() as pieces:
                yield pieces
            shutil.rmtree(folder)

    source = Raced(b"a prompt")
    with pytest.raises(FileNotFoundError):
        source.cached(folder)
    assert source.downloads == 3


@pytest.mark.parametrize("digest", ["../outside", "AB" * 32, "0" * 63, "0" * 64 + "\n"])
def test_what_is_no_digest_is_no_path(folder, tmp_path, digest):
    outside = tmp_path / "outside"
    outside.write_bytes(b"1")
    aged(outside, 5)
    before = outside.stat().st_mtime_ns
    with pytest.raises(ValueError, match="which is not a SHA-256"):
        cached_file(folder, digest, 1, Source(b"1").open_stream)
    assert outside.stat().st_mtime_ns == before
    assert not folder.exists()


# Pruning


def filled(folder, hours):
    """Files of 100 bytes, last used hours ago."""
    files = [Source(bytes([number]) * 100) for number in range(len(hours))]
    return [aged(file.cached(folder), age) for file, age in zip(files, hours, strict=True)]


def test_the_least_recently_used_files_are_removed_until_the_others_fit(folder):
    third, first, second, fourth = filled(folder, [3, 5, 4, 2])
    prune(folder, 400)
    assert names(folder) == {third.name, first.name, second.name, fourth.name}
    prune(folder, 399)
    assert names(folder) == {third.name, second.name, fourth.name}
    prune(folder, 100)
    assert names(folder) == {fourth.name}


def test_files_that_were_used_in_the_last_hour_stay(folder):
    old, fresh, fresher = filled(folder, [1.1, 0.9, 0])
    prune(folder, 0)
    assert names(folder) == {fresh.name, fresher.name}
    assert not old.exists()


def test_a_use_counts_as_such(folder):
    source = Source(b"a prompt")
    aged(source.cached(folder), 5)
    source.cached(folder)
    prune(folder, 0)
    assert names(folder) == {source.digest}


def test_only_old_parts_are_removed(folder):
    (path,) = filled(folder, [0])
    dead = path.with_name(f"{path.name}.0123.part")
    dead.write_bytes(b"1")
    aged(dead, 2)
    path.with_name(f"{path.name}.4567.part").write_bytes(b"1")
    prune(folder, 10_000)
    assert names(folder) == {path.name, f"{path.name}.4567.part"}


def test_other_files_of_the_folder_stay(folder):
    filled(folder, [5])
    aged_file = folder / "prompts" / "a.json"
    aged_file.parent.mkdir()
    aged_file.write_text("{}")
    aged(aged_file, 5)
    prune(folder, 0)
    assert names(folder) == {"a.json"}


def test_a_file_that_another_process_uses_meanwhile_stays(folder, monkeypatch):
    first, second = filled(folder, [5, 4])
    remove = cache._remove

    def used_before(file):
        if file.path == second:
            os.utime(second)
        return remove(file)

    monkeypatch.setattr(cache, "_remove", used_before)
    prune(folder, 0)
    assert names(folder) == {second.name}
    assert not first.exists()


def test_a_file_that_another_process_removes_meanwhile_is_no_error(folder, monkeypatch):
    first, second = filled(folder, [5, 4])
    remove = cache._remove

    def removed_before(file):
        file.path.unlink(missing_ok=True)
        shutil.rmtree(second.parent, ignore_errors=True)
        return remove(file)

    monkeypatch.setattr(cache, "_remove", removed_before)
    prune(folder, 0)
    assert names(folder) == set()
    assert not first.exists()


def test_a_cache_that_does_not_exist_is_empty(folder):
    prune(folder, 0)
    assert empty_cache(folder) == (0, 0)


@pytest.mark.parametrize(("total", "expected"), [(10_000, 1000), (10**12, 10 * 2**30)])
def test_a_cache_takes_10_gib_or_a_tenth_of_a_smaller_disk(monkeypatch, folder, total, expected):
    usage = shutil.disk_usage(folder.parent)._replace(total=total)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage)
    assert cache.size_limit(folder) == expected


def test_downloads_bound_the_cache(folder, monkeypatch):
    monkeypatch.setattr(cache, "CACHE_BYTES", 1000)
    old = filled(folder, [9, 8, 7, 6, 5, 4, 3, 2])
    aged(Source(bytes([100]) * 150).cached(folder), 1.5)
    assert all(path.exists() for path in old)
    newest = Source(bytes([101]) * 150).cached(folder)
    remaining = names(folder)
    assert newest.name in remaining
    assert old[0].name not in remaining
    assert {path.name for path in old[1:]} < remaining


def test_emptying_counts_and_removes_also_what_is_in_use(folder):
    path, _other = filled(folder, [5, 0])
    part = path.with_name(f"{path.name}.0123.part")
    part.write_bytes(b"1")
    (folder / "prompts").mkdir()
    (folder / "prompts" / "a.json").write_text("{}")
    assert empty_cache(folder, dry_run=True) == (3, 202)
    assert len(names(folder)) == 4
    assert empty_cache(folder) == (3, 202)
    assert names(folder) == {part.name}


PROGRAM = """
import contextlib, hashlib, sys
from pathlib import Path
from afnio_tellurio.artifacts.cache import cached_file, empty_cache, prune

folder, role = Path(sys.argv[1]), sys.argv[2]
sys.stdin.readline()
for number in range(300):
    data = bytes([number % 20]) * 50_000

    @contextlib.contextmanager
    def open_stream():
        yield [data[:1000], data[1000:]]

    if role == "empties":
        empty_cache(folder)
    elif role == "prunes":
        prune(folder, 0)
    else:
        path = cached_file(folder, hashlib.sha256(data).hexdigest(), len(data), open_stream)
        if role == "reads":
            assert path.read_bytes() == data
print("done")
"""


@pytest.mark.parametrize("others", [["reads", "prunes"], ["downloads", "empties"]])
def test_processes_share_it(folder, start_python, others):
    roles = [others[0], *others]
    children = [start_python("-c", PROGRAM, str(folder), role, stdin=True) for role in roles]
    for child in children:
        child.stdin.write("start\n")
        child.stdin.flush()
    for child in children:
        out, err = child.communicate()
        assert (child.returncode, out, err) == (0, "done\n", "")
