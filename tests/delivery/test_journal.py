"""The journal's file: its content, the effects of damage, its permissions."""

import os
import shutil
import stat
import sys
import uuid

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opcodes import at_each_opcode

from afnio_tellurio.delivery import journal as journal_module
from afnio_tellurio.delivery import journal_file
from afnio_tellurio.delivery.journal import Journal, JournalSealedError
from afnio_tellurio.delivery.journal_file import JournalFile
from afnio_tellurio.delivery.records import Header, parsed_line, record_line


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
        for metric in batch.metrics:
            assert metric.number not in found
            found[metric.number] = (metric.name, metric.value, metric.step)
        journal.acknowledge(batch, batch.metrics[-1].number + 1)
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
    fields = msgspec.to_builtins(journal.header) | {"format": 2, "news": True}
    journal.path.write_bytes(record_line(fields) * 2)
    with pytest.raises(ValueError, match=r"has format 2; .* upgrade afnio-tellurio"):
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
    assert [metric.value for metric in journal.next_batch().metrics] == [3]
    journal.close()
    with pytest.raises(JournalSealedError):
        journal.append(None, "loss", 4)


def test_metrics_logged_while_held_ones_are_written_keep_their_order(folder, monkeypatch):
    monkeypatch.setattr(journal_module, "_SWITCH_TIMEOUT", 0.0)
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
        rooms=("delivery/journal.py", "delivery/held.py"),
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
        journal.acknowledge(batch, batch.metrics[-1].number + 1)
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


def test_a_batch_ends_at_a_thousand_metrics_or_a_mebibyte(folder):
    journal = Journal(folder, header())
    for number in range(2500):
        journal.append(number, "loss", number)
    for _ in range(3):
        journal.append(None, "text", "x" * 600_000)
    sizes = []
    while (batch := journal.next_batch()) is not None:
        sizes.append(len(batch.metrics))
        journal.acknowledge(batch, batch.metrics[-1].number + 1)
    assert sizes == [1000, 1000, 501, 1, 1]
    journal.close()


def test_a_value_larger_than_what_is_read_at_once_is_found(folder):
    journal = Journal(folder, header())
    journal.append(None, "text", "x" * 5_000_000)
    journal.append(None, "loss", 1)
    assert len(journal.next_batch().metrics[0].value) == 5_000_000
    journal.close()


def test_a_backend_that_has_more_than_was_acknowledged_is_sent_no_more_of_it(folder):
    """A line was damaged after it and the lines behind it had been delivered."""
    journal, _, _ = written(folder, [(number, [("loss", number)]) for number in range(10)])
    lines = journal.path.read_bytes().split(b"\n")
    lines[2 + 5] = b"damaged"
    journal.path.write_bytes(b"\n".join(lines))
    opened = JournalFile.open(journal.path)
    batch = opened.batch()
    assert [metric.number for metric in batch.metrics] == [0, 1, 2, 3, 4]
    opened.acknowledge(batch, 10)
    assert opened.batch() is None
    opened.close()


def test_the_position_survives_the_process_and_a_torn_position_starts_anew(folder):
    journal, _, _ = written(folder, [(number, [("loss", number)]) for number in range(10)])
    opened = JournalFile.open(journal.path)
    opened.acknowledge(opened.batch(), 4)
    opened.close()
    opened = JournalFile.open(journal.path)
    assert [metric.number for metric in opened.batch().metrics] == [4, 5, 6, 7, 8, 9]
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
        assert [metric.value for metric in journal.next_batch().metrics] == [1, 2]
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
