"""The journal's file: its content, the effects of damage, its permissions."""

import contextlib
import errno
import os
import shutil
import stat
import sys
import threading
import time
import uuid

import msgspec
import pytest
from children import GUARD
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opcodes import at_each_opcode

from afnio_tellurio.delivery import journal_appending, journal_file
from afnio_tellurio.delivery.journal import Journal
from afnio_tellurio.delivery.journal_appending import JournalSealedError
from afnio_tellurio.delivery.journal_file import JournalFile
from afnio_tellurio.delivery.records import FORMAT, End, Header, parsed_line, record_line
from afnio_tellurio.locking import try_lock


def numbers_of(batch):
    return list(range(batch.metrics.number, batch.metrics.following))


def batch_values(batch):
    return [msgspec.json.decode(value) for value in batch.metrics.values]


def header():
    return Header(
        backend="https://example.com", is_local=False, namespace_slug="acme",
        project_slug="digits", run_uuid=str(uuid.uuid4()), run_name="r",
        writer=str(uuid.uuid4()), owns_run=True,
    )  # fmt: skip


def contents(journal):
    """Every metric of a journal by its number, found by acknowledging batch after batch."""
    found = {}
    while (batch := journal.batch()) is not None:
        metrics = batch.metrics
        for number, name, value, place in zip(
            numbers_of(batch), metrics.names, batch_values(batch), metrics.places, strict=True
        ):
            assert number not in found
            found[number] = (name, value, place)
        journal.acknowledge(batch, batch.metrics.following)
    return found


def reopened(path):
    path.with_suffix(".ack").unlink(missing_ok=True)
    journal = JournalFile.open(path)
    found = contents(journal)
    journal.close()
    return found, journal


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
STEP = st.none() | st.integers(0, 2**63 - 1)
CALLS = st.lists(
    st.tuples(STEP, st.lists(st.tuples(st.text(min_size=1), JSON), min_size=1, max_size=3)),
    min_size=1,
    max_size=8,
)


def written(folder, calls):
    """Writes a journal; returns it, its metrics, and the line of each metric number."""
    journal = Journal(folder, header())
    metrics, lines = {}, {}
    for step, pairs in calls:
        for name, value in pairs:
            lines[len(metrics)] = len(metrics)
            metrics[len(metrics)] = (name, value, step)
        journal.append_all(step, pairs)
    journal.close()
    return journal, metrics, lines


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "journals"


PROPERTY = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def test_what_is_delivered_while_the_lost_ones_are_counted_is_not_lost(folder):
    class Racing(Journal):
        """Another thread delivers everything just before it is seen that nothing waits."""

        @property
        def is_delivered(self):
            batch = self.next_batch()
            if batch is not None:
                self.acknowledge(batch, len(batch.metrics))
            return super().is_delivered

    journal = Racing(folder, header())
    journal.append_all(None, [("loss", number) for number in range(5)])
    assert journal.lost == 0
    assert journal.position.number == 5
    journal.close()


@PROPERTY
@given(calls=CALLS)
def test_what_was_appended_is_found_again_exactly(folder, calls):
    journal, metrics, _ = written(folder, calls)
    found, _ = reopened(journal.path)
    assert repr(found) == repr(metrics)
    assert journal.path.read_bytes().count(b"\n") == 2 + len(metrics), "a line for each metric"


@PROPERTY
@given(calls=CALLS, data=st.data())
def test_bytes_cut_off_the_end_cost_only_the_lines_touched(folder, calls, data):
    journal, metrics, lines = written(folder, calls)
    whole = journal.path.read_bytes()
    starts = line_starts(whole)
    kept = data.draw(st.integers(starts[2], len(whole)), label="bytes kept")
    journal.path.write_bytes(whole[:kept])
    found, _ = reopened(journal.path)
    whole_lines = whole[:kept].count(b"\n") - 2
    assert found == {n: metric for n, metric in metrics.items() if lines[n] < whole_lines}


@PROPERTY
@given(calls=CALLS, data=st.data())
def test_a_changed_byte_is_detected_and_costs_only_its_line(folder, calls, data):
    journal, metrics, lines = written(folder, calls)
    whole = bytearray(journal.path.read_bytes())
    starts = line_starts(whole)
    place = data.draw(st.integers(0, len(whole) - 1), label="place")
    whole[place] ^= data.draw(st.integers(1, 255), label="difference")
    journal.path.write_bytes(whole)
    found, opened = reopened(journal.path)
    touched = sum(start <= place for start in starts) - 1 - 2
    for number, metric in metrics.items():
        if lines[number] != touched:
            assert found[number] == metric
    for number, metric in found.items():
        assert repr(metric) == repr(metrics[number])
    missing = set(metrics) - set(found)
    if missing and max(missing) < len(metrics) - 1:
        assert opened.lost == len(missing)


@pytest.mark.parametrize("damaged", range(1, 6))
def test_a_damaged_line_counts_where_threads_took_turns(folder, damaged):
    """Two threads read the same count, and then each wrote its line."""
    journal, _, _ = written(folder, [(None, [("loss", 0)])])
    counts = [1, 1, 3, 4, 4, 6]
    with journal.path.open("ab") as file:
        for number, count in enumerate(counts, 1):
            line = record_line(count, None, 1763892930123456, "loss", number)
            file.write(line.replace(b"loss", b"lost") if number == damaged else line)
    found, opened = reopened(journal.path)
    assert found == {n: ("loss", n, None) for n in range(7) if n != damaged}
    assert opened.lost == 1


@pytest.mark.parametrize("call", ["synchronize", "stay_at_path", "in_memory_count"])
def test_another_thread_may_close_the_journal_at_any_time(folder, call):
    journal = Journal(folder, header())
    journal.append(None, "loss", 1)
    path, stats = journal.path, []

    class ClosingPath(type(path)):
        def stat(self, **keywords):
            stats.append(self)
            journal.close()
            return super().stat(**keywords)

    journal.path = ClosingPath(path)
    getattr(journal, call)()
    assert stats
    assert path.exists()


def line_starts(data):
    starts = [0]
    while (end := data.find(b"\n", starts[-1])) >= 0:
        starts.append(end + 1)
    return starts[:-1]


def test_a_header_damaged_whole_is_said(folder):
    journal, _, _ = written(folder, [(None, [("loss", 1)])])
    lines = journal.path.read_bytes().split(b"\n")
    journal.path.write_bytes(b"\n".join([b"x", b"y", *lines[2:]]))
    with pytest.raises(ValueError, match=f"the header of the journal {journal.path} is damaged"):
        JournalFile.open(journal.path)


def test_a_newer_format_is_left_alone(folder):
    journal, _, _ = written(folder, [])
    fields = msgspec.to_builtins(journal.header) | {"format": FORMAT + 1, "news": True}
    journal.path.write_bytes(record_line(fields) * 2)
    with pytest.raises(ValueError, match=rf"has format {FORMAT + 1}; .* upgrade afnio-tellurio"):
        JournalFile.open(journal.path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")
def test_only_the_owner_can_read_it(folder):
    before = os.umask(0)
    try:
        journal = Journal(folder, header())
        journal.append(None, "loss", 1)
        batch = journal.next_batch()
        journal.reject(batch, "no")
        files = [folder, *folder.iterdir()]
        assert len(files) == 4
        for path in files:
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        journal.close()
    finally:
        os.umask(before)


def test_a_sealed_journal_takes_nothing_until_it_is_unsealed(folder):
    journal = Journal(folder, header())
    journal.append(None, "loss", 1)
    journal.seal()
    journal.acknowledge(journal.next_batch(), 1)
    with pytest.raises(JournalSealedError):
        journal.append(None, "loss", 2)
    journal.unseal()
    journal.append(None, "loss", 3)
    assert batch_values(journal.next_batch()) == [3]
    journal.close()
    with pytest.raises(JournalSealedError):
        journal.append(None, "loss", 4)


def test_metrics_logged_while_held_ones_are_written_keep_their_order(folder, monkeypatch):
    monkeypatch.setattr(journal_appending, "_SWITCH_TIMEOUT", 0.0)
    journals = {}

    def hold(turn):
        journals[turn] = journal = Journal(folder, header())
        with monkeypatch.context() as disk:
            disk.setattr(journal, "_write", lambda _data: 0)
            journal.append(None, "loss", 0)

    hold(0)
    turns = at_each_opcode(
        lambda turn: journals[turn].write_held(),
        lambda turn: journals[turn].append(None, "loss", 1),
        rooms=("delivery/journal_appending.py", "delivery/held.py"),
    )
    for turn, _raised in turns:
        journal = journals[turn]
        is_interrupted = journal.count == 2
        journal.append(None, "loss", 2)
        journal.write_held()
        values = [value for _name, value, _step in contents(journal).values()]
        assert values == ([0, 1, 2] if is_interrupted else [0, 2])
        journal.close()
        hold(turn + 1)
    assert turn > 50
    journals[turn + 1].close()


def test_a_torn_line_that_was_cut_off_is_not_waited_for(folder, monkeypatch):
    journal = Journal(folder, header())
    write = journal._write
    monkeypatch.setattr(journal, "_write", lambda data: write(data[:5]))
    journal.append(None, "loss", 0)
    size = journal.size
    monkeypatch.setattr(journal, "_write", lambda _data: 0)
    journal.write_held()
    assert journal.size == size - 5
    assert not journal.is_delivered_until(size)
    while (batch := journal.next_batch()) is not None:
        journal.acknowledge(batch, batch.metrics.following)
    assert journal.is_delivered_until(size)
    journal.close()


def test_a_refused_metric_that_the_disk_takes_in_part_only_is_not_passed_over(folder, monkeypatch):
    journal = Journal(folder, header())
    journal.append(None, "loss", 1)
    write = os.write
    monkeypatch.setattr(journal_file.os, "write", lambda fd, data: write(fd, data[:10]))
    with pytest.raises(OSError, match="No space left"):
        journal.reject(journal.next_batch(), "no")
    assert not journal.path.with_suffix(".rejected").read_bytes()
    assert not journal.is_delivered
    journal.close()


@pytest.mark.parametrize(
    ("limit", "expected"), [(1000, [1000, 1000, 501, 1, 1]), (10_000, [2501, 1, 1])]
)
def test_a_batch_ends_at_its_limit_or_a_mebibyte(folder, limit, expected):
    journal = Journal(folder, header())
    for number in range(2500):
        journal.append(number, "loss", number)
    for _ in range(3):
        journal.append(None, "text", "x" * 600_000)
    sizes = []
    while (batch := journal.next_batch(limit)) is not None:
        sizes.append(len(batch.metrics))
        journal.acknowledge(batch, batch.metrics.following)
    assert sizes == expected
    journal.close()


def test_a_value_larger_than_what_is_read_at_once_is_found(folder):
    journal = Journal(folder, header())
    journal.append(None, "text", "x" * 5_000_000)
    journal.append(None, "loss", 1)
    assert len(batch_values(journal.next_batch())[0]) == 5_000_000
    journal.close()


def test_a_backend_that_has_more_than_was_acknowledged_is_sent_no_more_of_it(folder):
    """A line was damaged after it and the lines behind it had been delivered."""
    journal, _, _ = written(folder, [(number, [("loss", number)]) for number in range(10)])
    lines = journal.path.read_bytes().split(b"\n")
    lines[2 + 5] = b"damaged"
    journal.path.write_bytes(b"\n".join(lines))
    opened = JournalFile.open(journal.path)
    batch = opened.batch()
    assert numbers_of(batch) == [0, 1, 2, 3, 4]
    opened.acknowledge(batch, 10)
    assert opened.batch() is None
    opened.close()


def test_the_position_survives_the_process_and_a_torn_position_starts_anew(folder):
    journal, _, _ = written(folder, [(number, [("loss", number)]) for number in range(10)])
    opened = JournalFile.open(journal.path)
    opened.acknowledge(opened.batch(), 4)
    opened.close()
    opened = JournalFile.open(journal.path)
    assert numbers_of(opened.batch()) == [4, 5, 6, 7, 8, 9]
    opened.close()
    journal.path.with_suffix(".ack").write_bytes(b'{"offset"')
    opened = JournalFile.open(journal.path)
    assert len(opened.batch().metrics) == 10
    opened.close()


def test_a_journal_whose_folder_was_removed_goes_on(folder):
    journal = Journal(folder, header())
    journal.append(None, "loss", 1)
    shutil.rmtree(folder)
    journal.append(None, "loss", 2)
    if sys.platform != "win32":
        assert batch_values(journal.next_batch()) == [1, 2]
    journal.close()


def test_lines_that_are_none_are_passed_over():
    for line in (b"", b"{}", b'["', b'["zzzzzzzz",1]', b'["00000000",1]', b"\xff" * 40):
        assert parsed_line(line) is None


def test_a_journal_that_is_removed_as_soon_as_all_is_acknowledged_leaves_no_file(tmp_path):
    class Closing(Journal):
        """Another thread waits for the position, and removes the journal at once."""

        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if name == "position" and value.number:
                self.remove()

    journal = Closing(tmp_path, header())
    journal.append(0, "loss", 0.5)
    batch = journal.next_batch()
    journal.acknowledge(batch, 1)
    assert not list(tmp_path.iterdir())


# A disk without room: here, no file may become larger

needs_file_size_limit = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no file size limit"
)


@contextlib.contextmanager
def no_file_larger_than(size):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def values_of(journal):
    return [value for _name, value, _step in contents(journal).values()]


@needs_file_size_limit
@pytest.mark.parametrize("room", [0, 10, 120])
@pytest.mark.parametrize("is_one_call", [False, True])
def test_what_does_not_fit_on_the_disk_is_held_and_written_later(folder, room, is_one_call):
    journal = Journal(folder, header())
    with no_file_larger_than(journal.size + room):
        if is_one_call:
            journal.append_all(0, [("loss", number) for number in range(4)])
            journal.append_all(0, [("loss", 4)])
        else:
            for number in range(5):
                journal.append(0, "loss", number)
        assert (journal.count, journal.waiting_count()) == (5, 5)
        fitting = 5 - journal.in_memory_count()
        assert fitting == (0 if room < 120 else 2)
        journal.write_held()
        assert journal.in_memory_count() == 5 - fitting
        assert journal.path.read_bytes().endswith(b"\n"), "nothing of the line that does not fit"
        assert journal.held.take_trouble().errno in {errno.EFBIG, errno.ENOSPC}
    journal.write_held()
    assert journal.in_memory_count() == 0
    journal.append(0, "loss", 5)
    journal.close()
    found, _ = reopened(journal.path)
    assert [value for _name, value, _step in found.values()] == [0, 1, 2, 3, 4, 5]


@needs_file_size_limit
def test_a_journal_that_the_disk_does_not_take_leaves_no_file_and_is_written_later(folder):
    with no_file_larger_than(10):
        journal = Journal(folder, header())
        journal.append(0, "loss", 0)
        journal.write_held()
        assert list(folder.iterdir()) == []
    journal.synchronize()
    assert journal.in_memory_count() == 1
    journal.write_held()
    assert journal.in_memory_count() == 0
    journal.close()
    found, _ = reopened(journal.path)
    assert found == {0: ("loss", 0, 0)}


@needs_file_size_limit
def test_the_end_of_a_run_that_does_not_fit_on_the_disk_is_written_later(folder):
    journal = Journal(folder, header())
    size = journal.size
    with no_file_larger_than(size + 5):
        journal.end(End("COMPLETED", 1))
        assert (journal.size, journal.end_record()) == (size, None)
    journal.write_held()
    assert journal.end_record() == End("COMPLETED", 1)
    journal.close()


@needs_file_size_limit
def test_a_copy_that_does_not_fit_on_the_disk_is_made_later(folder):
    journal = Journal(folder, header())
    journal.append(0, "loss", 0)
    journal.path.unlink()
    with no_file_larger_than(10):
        journal.stay_at_path()
        assert list(folder.iterdir()) == []
        assert journal.in_memory_count() == 1
    journal.stay_at_path()
    assert journal.in_memory_count() == 0
    journal.append(0, "loss", 1)
    journal.close()
    found, _ = reopened(journal.path)
    assert found == {0: ("loss", 0, 0), 1: ("loss", 1, 0)}


@pytest.fixture
def holding(folder, monkeypatch):
    """A journal with four lines in memory, as after a full disk."""
    journal = Journal(folder, header())
    with monkeypatch.context() as disk:
        disk.setattr(journal, "_write", lambda _data: 0)
        journal.append_all(0, [("loss", number) for number in range(4)])
    yield journal
    journal.close()


def test_a_file_knows_which_numbers_were_delivered_from_memory(holding):
    holding.acknowledge(holding.next_batch(), 2)
    holding.write_held()
    assert numbers_of(holding.next_batch()) == [2, 3]
    holding.close()
    found, _ = reopened(holding.path)
    assert found == {2: ("loss", 2, 0), 3: ("loss", 3, 0)}


def test_a_backend_that_lost_what_was_delivered_from_memory_gets_the_rest(holding):
    holding.acknowledge(holding.next_batch(), 2)
    holding.write_held()
    holding.rewind_to_start()
    batch = holding.next_batch()
    assert numbers_of(batch) == [2, 3]
    assert (batch.segment, holding.lost) == (2, 2)


def test_a_refused_metric_that_is_in_memory_only_is_set_aside(holding):
    holding.reject(holding.next_batch(), "no")
    assert b'"no"' in holding.path.with_suffix(".rejected").read_bytes()
    batch = holding.next_batch()
    assert (batch.segment, batch_values(batch)) == (1, [1, 2, 3])
    holding.write_held()
    assert values_of(holding) == [1, 2, 3]


def test_what_is_in_memory_when_an_end_fails_is_written_like_any_other(holding):
    holding.seal()
    with pytest.raises(JournalSealedError):
        holding.append(0, "loss", 4)
    holding.unseal()
    holding.append(0, "loss", 4)
    assert holding.in_memory_count() == 5
    holding.write_held()
    assert values_of(holding) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("is_one_call", [False, True])
def test_what_is_logged_while_the_last_held_line_is_written_goes_to_the_file(
    holding, monkeypatch, is_one_call
):
    monkeypatch.setattr(journal_appending, "_SWITCH_TIMEOUT", GUARD)
    write, sleeps = holding._write, threading.Event()
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda time: (sleeps.set(), sleep(time)))
    threads = []

    def log():
        if is_one_call:
            holding.append_all(0, [("loss", 5)])
        else:
            holding.append(0, "loss", 5)

    def write_while_another_thread_logs(data):
        if not threads:
            # This one is held, and written last.
            holding.append(0, "loss", 4)
            threads.append(threading.Thread(target=log))
        elif not sleeps.is_set():
            threads[0].start()
            assert sleeps.wait(GUARD)
        return write(data)

    monkeypatch.setattr(holding, "_write", write_while_another_thread_logs)
    holding.write_held()
    threads[0].join()
    assert holding.in_memory_count() == 0
    assert values_of(holding) == [0, 1, 2, 3, 4, 5]


def test_held_lines_are_not_written_twice_by_two_threads(holding):
    before = holding.size
    with holding.held.reserved():
        holding.write_held()
        assert holding.size == before
        assert holding.in_memory_count() == 4


def test_a_copy_waits_for_another_process_to_release_its_file(folder, monkeypatch):
    journal = Journal(folder, header())
    journal.append(0, "loss", 0)
    journal.path.unlink()
    other = os.open(journal.path.with_suffix(".new"), os.O_CREAT | os.O_WRONLY)
    assert try_lock(other)
    closed = []

    def sleep(_seconds):
        if not closed:
            closed.append(os.close(other))

    monkeypatch.setattr(time, "sleep", sleep)
    journal.stay_at_path()
    assert closed
    assert journal.in_memory_count() == 0
    assert values_of(journal) == [0]
    journal.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows moves no open file")
def test_a_journal_whose_place_cannot_be_looked_at_is_taken_to_be_there(folder, tmp_path):
    journal = Journal(folder, header())
    journal.append(0, "loss", 0)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(folder)
    assert journal.in_memory_count() == 0
    assert journal.waiting_count() == 1
    journal.close()


def test_a_disk_that_does_not_synchronize_is_an_error_unless_the_journal_is_closed(
    folder, monkeypatch
):
    journal = Journal(folder, header())

    def fail(_fd):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        journal.synchronize()
    assert journal.end(End("FAILED", 1)) is None, "the status is in the file"
    assert journal.end_record() == End("FAILED", 1)
    journal.close()
    journal.synchronize()


def test_what_is_logged_while_another_thread_closes_the_journal_is_refused(folder):
    class Closing(Journal):
        """Another thread closes it between the look at its state and the write."""

        @property
        def _is_direct(self):
            is_direct = vars(self).get("is_direct", False)
            if is_direct and self.closes_next:
                self.closes_next = False
                self.close()
            return is_direct

        @_is_direct.setter
        def _is_direct(self, is_direct):
            vars(self)["is_direct"] = is_direct

        closes_next = False

    for append in (Journal.append, lambda journal, *one: journal.append_all(one[0], [one[1:]])):
        journal = Closing(folder, header())
        journal.append(0, "loss", 0)
        journal.closes_next = True
        with pytest.raises(JournalSealedError):
            append(journal, 0, "loss", 1)
        found, _ = reopened(journal.path)
        assert found == {0: ("loss", 0, 0)}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no open file")
def test_a_journal_that_cannot_be_removed_is_an_error_unless_another_thread_did(folder):
    journal = Journal(folder, header())
    journal.path.unlink()
    journal.path.mkdir()
    with pytest.raises(OSError):
        journal.remove()
    journal.path.rmdir()
    journal.remove()
    assert list(folder.iterdir()) == []


def test_a_line_of_an_earlier_version_with_several_metrics_is_read(folder):
    journal, _, _ = written(folder, [(0, [("first", 0)])])
    with journal.path.open("ab") as file:
        file.write(record_line(1, 7, 1763892930123456, "loss", 0.5, "note", "a", "count", 3))
    opened = JournalFile.open(journal.path)
    batch = opened.batch()
    assert [*zip(numbers_of(batch), batch.metrics.names, batch.metrics.places, strict=True)] == [
        (0, "first", 0), (1, "loss", 7), (2, "note", 7), (3, "count", 7)
    ]  # fmt: skip
    opened.acknowledge(batch, 2)
    opened.close()
    again = JournalFile.open(journal.path)
    assert again.batch().metrics.names == ["note", "count"]
    again.close()


def test_a_line_whose_checksum_fits_and_that_is_not_json_is_passed_over():
    from zlib import crc32

    body = b"7,not json]"
    assert parsed_line(b'["%08x",%b' % (crc32(body), body)) is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows releases locks with the file")
def test_a_closed_journal_is_unlocked_even_while_another_thread_uses_it(folder):
    """The system keeps a file open until calls that use it, such as fsync, have returned."""
    journal = Journal(folder, header())
    journal.append(None, "loss", 1)
    in_use = os.dup(journal._writer.fileno())
    journal.close()
    with journal.path.open("r+b") as file:
        assert try_lock(file.fileno())
    os.close(in_use)
