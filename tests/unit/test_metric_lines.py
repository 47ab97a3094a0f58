"""Lines of a journal in columns are what they are one by one."""

import pytest

from afnio_tellurio.delivery.metric_lines import read_metrics
from afnio_tellurio.delivery.records import CHANGE, record_line

LINES = [
    record_line(0, None, 1763892930123456, "loss", 0.25)[:-1],
    record_line(0, 7, 1763892930123457, "ä", 'text, "and" ]')[:-1],
    record_line(2, ["key"], 1763892930123458, "calls", {"key": [1, None]})[:-1],
    record_line(3, [], -1, "calls", {})[:-1],
]


def test_lines_of_metrics_become_columns():
    metrics = read_metrics(LINES, number=10, offset=100)
    assert metrics is not None
    assert (metrics.number, metrics.following, len(metrics)) == (10, 14, 4)
    assert metrics.names == ["loss", "ä", "calls", "calls"]
    assert [bytes(value) for value in metrics.values] == [
        b"0.25",
        b'"text, \\"and\\" ]"',
        b'{"key":[1,null]}',
        b"{}",
    ]
    assert metrics.places == [None, 7, ["key"], []]
    assert metrics.times == [1763892930123456, 1763892930123457, 1763892930123458, -1]
    assert metrics.counts == [0, 0, 2, 3]
    sizes = [len(line) + 1 for line in LINES]
    assert metrics.afters == [100 + sum(sizes[: index + 1]) for index in range(4)]
    part = metrics.part(1, 3)
    assert (part.number, part.names, part.afters) == (11, ["ä", "calls"], metrics.afters[1:3])


def test_every_flipped_bit_of_a_line_is_noticed():
    line = LINES[1]
    for index in range(len(line)):
        for bit in range(8):
            damaged = bytearray(line)
            damaged[index] ^= 1 << bit
            lines = [LINES[0], bytes(damaged), LINES[2]]
            assert read_metrics(lines, number=0, offset=0) is None, damaged


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\0" * 100,
        LINES[0][:-5],
        LINES[0][5:],
        LINES[0] + LINES[1],
        LINES[0] + b"," + LINES[1],
        record_line(CHANGE, "key", 1, {})[:-1],
        record_line({"format": 4})[:-1],
        record_line(0, None, 1, "a", 1, "b", 2)[:-1],
    ],
    ids=["empty", "zeros", "torn", "rest", "two", "list", "change", "header", "several"],
)
def test_a_line_that_is_no_intact_metric_is_left_to_those_who_read_line_by_line(line):
    assert read_metrics([LINES[0], line], number=0, offset=0) is None
