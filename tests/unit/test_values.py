"""The values that `log` accepts, and those that it rejects."""

import enum
import math
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afnio_tellurio.validation import encoded_value

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
)


@given(JSON_VALUES)
def test_any_json_value_is_kept_as_it_is(value):
    encoded = encoded_value(value)
    assert encoded == value
    assert type(encoded) is type(value)


class EagerTensor:
    """A scalar as TensorFlow makes it."""

    shape = ()

    def numpy(self):
        return np.float32(1.5)


class PaddleTensor:
    """A scalar as Paddle makes it."""

    shape: ClassVar[list] = []

    def item(self):
        return 1.5


class FloatOnly:
    shape = ()

    def __float__(self):
        return 1.5


#: Their items are integers or dates, depending on the unit.
TIMES = [
    np.timedelta64(5, "s"),
    np.timedelta64(5, "ns"),
    np.datetime64("2026-01-01", "D"),
    np.datetime64("2026-01-01", "ns"),
    np.array(np.timedelta64(5, "ns")),
]


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        ([1.0, {"a": math.nan}], [1.0, {"a": "NaN"}]),
        (np.float64("nan"), "NaN"),
        (np.float32("-inf"), "-Infinity"),
    ],
)
def test_nan_and_the_infinities_travel_as_strings(value, encoded):
    assert encoded_value(value) == encoded


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (np.float32(0.1), float(np.float32(0.1))),
        (np.float64(0.1), 0.1),
        (np.int64(-3), -3),
        (np.uint8(200), 200),
        (np.bool_(True), True),  # noqa: FBT003
        (np.array(2.5), 2.5),
        (np.longdouble(2.5), 2.5),
        (np.str_("text"), "text"),
        (EagerTensor(), 1.5),
        (PaddleTensor(), 1.5),
        (FloatOnly(), 1.5),
        ([np.int32(1), {"x": np.float32(0.5)}], [1, {"x": 0.5}]),
    ],
)
def test_a_numpy_scalar_is_the_number_it_is(value, number):
    encoded = encoded_value(value)
    assert encoded == number
    assert type(encoded) is type(number)


def test_subclasses_of_json_types_lose_nothing_but_their_class():
    color = enum.StrEnum("color", ["RED"])
    weight = enum.IntEnum("weight", ["HEAVY"])
    encoded = encoded_value({"color": color.RED, "weight": weight.HEAVY, "pair": (1, 2)})
    assert encoded == {"color": "red", "weight": 1, "pair": [1, 2]}
    assert [type(encoded[key]) for key in encoded] == [str, int, list]


def test_the_value_is_copied():
    matrix = [[1, 2], [3, 4]]
    encoded = encoded_value(matrix)
    matrix[0][0] = 9
    assert encoded == [[1, 2], [3, 4]]


CIRCULAR: list = [1]
CIRCULAR.append(CIRCULAR)


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        ({1, 2}, TypeError, "value is of type set, which cannot be logged; convert it to a list"),
        (object(), TypeError, "value is of type object, which cannot be logged"),
        (b"bytes", TypeError, "value is of type bytes"),
        (1j, TypeError, "value is of type complex"),
        (np.array([1]), TypeError, r"value is of type ndarray, .* use its \.tolist\(\)"),
        *((time, TypeError, f"is of type {type(time).__name__}, .* log str") for time in TIMES),
        (np.longdouble(1) / 3, ValueError, r"more digits than a float; log float\(value\)"),
        (np.complex128(1j), TypeError, "value is of type complex128"),
        (np.array([1, 2]), TypeError, r"value is of type ndarray, .* use its \.tolist\(\)"),
        ([1, {"a": {2}}], TypeError, r"value\[1\]\['a'\] is of type set"),
        ({"a": {3: 1}}, TypeError, r"value\['a'\]\[3\] is under a key of type int"),
        ({True: 1}, TypeError, "is under a key of type bool"),
        (CIRCULAR, ValueError, "is nested deeper than 100 levels, or contains itself"),
        ("\ud800", ValueError, "half of a surrogate pair"),
        ({"\ud800": 1}, ValueError, "half of a surrogate pair"),
        pytest.param(10**5000, ValueError, "is an integer of 16610 bits", id="huge"),
    ],
)
def test_what_json_cannot_hold_is_refused_and_named(value, kind, words):
    with pytest.raises(kind, match=f"log: .*{words}"):
        encoded_value(value)


def test_a_hundred_levels_are_kept_and_one_more_is_refused():
    value: list = []
    for _ in range(99):
        value = [value]
    assert encoded_value(value) == value
    with pytest.raises(ValueError, match="deeper than 100 levels"):
        encoded_value([value])
