"""Checking a large value takes no loop in Python, during which other threads get little done."""

import json
import sys

import pytest
from msgspec import Raw

from afnio_tellurio.backend.store import values

LARGE = {
    "strings": ['ab"c\\' * 10] * 2000,
    "lists": [[]] * 50_000,
    "objects": [{"a": 1, "b": [1]}] * 10_000,
    "numbers": list(range(50_000)),
    "fractions": [number / 7 for number in range(50_000)],
}


def lines_run(function, *arguments):
    """The number of lines of the module that a call runs; the garbage collector may run others."""
    count = 0
    tracer = sys.gettrace()

    def trace(frame, event, _argument):
        nonlocal count
        count += event == "line" and frame.f_code.co_filename == values.__file__
        return trace

    sys.settrace(trace)
    try:
        function(*arguments)
    finally:
        sys.settrace(tracer)
    return count


@pytest.mark.parametrize("kind", [kind for kind in LARGE if kind != "fractions"])
def test_a_large_value_is_checked_without_a_loop(kind):
    text = json.dumps(LARGE[kind]).encode()
    assert lines_run(values.stored, Raw(text)) < 200


def test_each_fraction_costs_one_short_call():
    text = json.dumps(LARGE["fractions"]).encode()
    assert lines_run(values.stored, Raw(text)) < 200 + 4 * len(LARGE["fractions"])


@pytest.mark.parametrize("inside", ['"[[[["', '"\\\\"', '"\\"[{"', '"]]"', "1", "{}", '{"[": "]"}'])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_depth_is_counted_outside_strings_only(inside, brackets):
    def nested(levels):
        start, end = ("[", "]") if brackets == "[]" else ('{"a":', "}")
        many = f"[{','.join([inside] * 101)}]"
        return Raw((start * levels + many + end * levels).encode())

    # The list itself is a level, and what is inside may be one more.
    deepest = values.MAX_DEPTH - 1 - inside.startswith("{")
    assert values.stored(nested(deepest)).text is not None
    with pytest.raises(ValueError, match="nested deeper than 100 levels"):
        values.stored(nested(deepest + 1))
