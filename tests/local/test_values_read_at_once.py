"""A batch's numbers are read all at once, with the same result as reading them one by one."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afnio_tellurio.backend.store import values

TEXTS = [
    "0", "-0", "-0.0", "1.0", "1e2", "1E+2", "0.1", "5e-324", "1e-400", "1.7976931348623157e308",
    "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
    "18446744073709551616", "9" * 400, "true", "null", '"1"', '"NaN"', '"-Infinity"', "[1]", "{}",
    "123456789012345678901234567890.5", "0.1000000000000000055511151231257827",
]  # fmt: skip


def assert_the_same(texts):
    raws = [msgspec.Raw(text.encode()) for text in texts]
    numbers = values.native_numbers(raws)
    for raw, number in zip(raws, numbers, strict=True):
        each = values.stored(raw)
        if number is not None:
            assert repr(values.Stored(number, None)) == repr(each)
        else:
            assert each.text is not None or isinstance(each.number, float)
    return numbers


def test_each_kind_of_value_is_read_the_same_alone_and_among_others():
    for text in TEXTS:
        assert_the_same([text])
    numbers = assert_the_same(TEXTS)
    assert numbers[:3] == [0, 0, 0.0]
    assert numbers.count(None) == 11


@settings(derandomize=True, database=None, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers()))
def test_any_numbers_are_read_the_same(numbers):
    assert_the_same([json.dumps(number) for number in numbers])


@pytest.mark.parametrize("text", ["1e400", "9" * 5000, "[" * 5000 + "]" * 5000])
def test_what_cannot_be_read_leaves_each_to_be_read_for_itself(text):
    raws = [msgspec.Raw(b"1"), msgspec.Raw(text.encode())]
    assert values.native_numbers(raws) == [None, None]
