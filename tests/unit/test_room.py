"""How much of a disk captured files may take."""

import shutil
from typing import NamedTuple

import pytest

from afnio_tellurio.artifacts import room
from afnio_tellurio.artifacts.capture import capture
from afnio_tellurio.artifacts.room import NoRoomError, check_room
from afnio_tellurio.artifacts.sources import BytesSource

GIB = 2**30
MIB = 2**20


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def disk(monkeypatch):
    """Sets the size of the disk, and its free bytes."""

    def install(total, free):
        usage = Usage(total, total - free, free)
        monkeypatch.setattr(room.shutil, "disk_usage", lambda _folder: usage)

    return install


def is_room(folder, wanted, waiting=0):
    try:
        check_room(folder, wanted, waiting)
    except NoRoomError:
        return False
    return True


def test_a_gibibyte_stays_free(tmp_path, disk):
    disk(100 * GIB, 2 * GIB)
    assert is_room(tmp_path, GIB)
    assert not is_room(tmp_path, GIB + 1)
    with pytest.raises(
        NoRoomError, match=r"2,147,483,648 bytes free, .* 1,073,741,824 must stay free; make room"
    ):
        check_room(tmp_path, GIB + 1, 0)


def test_a_tenth_of_what_could_be_free_may_wait(tmp_path, disk):
    disk(1000 * GIB, 95 * GIB)
    assert is_room(tmp_path, 5 * GIB, 5 * GIB)
    assert not is_room(tmp_path, 5 * GIB + 1, 5 * GIB)
    with pytest.raises(NoRoomError, match=r"wait in .* for delivery.*wait for their delivery"):
        check_room(tmp_path, 10 * GIB, 5 * GIB)


def test_a_gibibyte_may_wait_where_a_tenth_is_less(tmp_path, disk):
    disk(1000 * GIB, 4 * GIB)
    assert is_room(tmp_path, GIB - 1, 1)
    assert not is_room(tmp_path, GIB, 1)


def test_a_tenth_stays_free_on_a_small_disk(tmp_path, disk):
    disk(512 * MIB, 100 * MIB)
    assert is_room(tmp_path, 90 * MIB)
    assert not is_room(tmp_path, 90 * MIB + 1)
    # What waits takes nothing from the share.
    disk(512 * MIB, 50 * MIB)
    assert is_room(tmp_path, 40 * MIB, 50 * MIB)
    assert not is_room(tmp_path, 40 * MIB + 1, 50 * MIB)


def test_the_disk_is_the_one_of_the_folder(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    assert not is_room(tmp_path, 2 * free)
    with pytest.raises(FileNotFoundError):
        check_room(tmp_path / "missing", 1, 0)


def test_a_capture_without_room_leaves_nothing(tmp_path, disk):
    disk(100 * GIB, GIB)
    out = tmp_path / "out"
    for size in (1, 100_000):
        with pytest.raises(NoRoomError):
            capture(
                [BytesSource("a", bytes(size))],
                out,
                check_room=lambda count: check_room(out, count, 0),
            )
        assert not out.exists()
