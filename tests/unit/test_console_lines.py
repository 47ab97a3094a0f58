"""Lines are made from what is printed, as a terminal shows them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afnio_tellurio.settings.limits import MAX_CONSOLE_LINE
from afnio_tellurio.tracking.console_lines import LineAssembler


def lines_of(*texts):
    assembler = LineAssembler()
    lines = [line for text in texts for line in assembler.add(text)]
    return lines + assembler.take_rest()


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["a\nb\n"], ["a", "b"]),
        (["a", " ", "b", "\n", "c"], ["a b", "c"]),
        (["\n\n"], ["", ""]),
        (["a\r\nb\r\n"], ["a", "b"]),
        (["10%", "\r20%", "\r30%", "\n"], ["30%"]),
        (["\r10%", "\r", "20%", "\r", "\r"], ["20%"]),
        (["bar\r", "   \r", "next\n"], ["next"]),
        (["bar", "\r   \r"], []),
        (["\x1b[1;31mred\x1b[0m and \x1b[2Kblack\n"], ["red and black"]),
        (["\x1b[3", "1mred\x1b", "[0m\n"], ["red"]),
        (["\x1b]0;title\x07text\x1b]0;title\x1b\\\n"], ["text"]),
        (["text\x1b[3"], ["text"]),
        (["\udcff\n"], ["?"]),
        (["ä\n"], ["ä"]),
        (["0%\r50%\n0%\r90%"], ["50%", "90%"]),
    ],
)
def test_lines(texts, expected):
    assert lines_of(*texts) == expected


def test_long_lines_are_cut():
    cut = "x" * MAX_CONSOLE_LINE + "… [cut]"
    assert lines_of("x" * (MAX_CONSOLE_LINE + 1), "\n") == [cut]
    assert lines_of(*["x" * 1000] * 1000) == [cut]
    assert lines_of("x" * MAX_CONSOLE_LINE) == ["x" * MAX_CONSOLE_LINE]
    assert lines_of("x" * 10**6 + "\r", "short\n") == ["short"]
    assert lines_of("\x1b[31mx\x1b[0m" * 2000) == ["x" * 2000]


def test_the_memory_of_an_unfinished_line_is_bounded():
    assembler = LineAssembler()
    for _ in range(1000):
        assembler.add("x" * 1000)
    assert len(assembler._unfinished) <= 4 * MAX_CONSOLE_LINE + 1


@given(st.lists(st.text("ab \n\r\x1b[m", max_size=8)))
def test_how_the_text_is_divided_makes_no_difference(texts):
    assert lines_of(*texts) == lines_of("".join(texts))
