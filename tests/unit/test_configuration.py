"""What a config may consist of, and what is refused by its place."""

import argparse
import copy
import dataclasses
import datetime as dt
import enum
import json
import math
import pathlib
from collections import OrderedDict, UserDict, deque
from typing import ClassVar, NamedTuple

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afnio_tellurio.settings.limits import MAX_VALUE_BYTES
from afnio_tellurio.tracking.configuration import checked_config, flattened, merged

TEXT = st.text(st.characters(codec="utf-8"), max_size=5)
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(TEXT, JSON_VALUES, max_size=4)


class Color(enum.Enum):
    RED = "red"
    PAIR = (1, 2)


class Kind(enum.StrEnum):
    SMALL = "small"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Optimizer:
    lr: float = 0.1
    betas: tuple = (0.9, 0.99)
    steps: int = dataclasses.field(init=False)


@attrs.define
class Model:
    layers: int = 2
    optimizer: Optimizer = attrs.field(factory=Optimizer)


class Point(NamedTuple):
    x: int
    y: int


@given(OBJECTS)
def test_a_json_object_is_kept_and_copied(config):
    before = copy.deepcopy(config)
    checked = checked_config("init", config)
    assert checked == before
    assert json.dumps(checked) == json.dumps(before)
    _change_everything(checked)
    assert config == before


def _change_everything(value):
    for item in list(value.values() if isinstance(value, dict) else value):
        if isinstance(item, dict | list):
            _change_everything(item)
    value.clear()


@pytest.mark.parametrize(
    ("config", "checked"),
    [
        (Optimizer(), {"lr": 0.1, "betas": [0.9, 0.99]}),
        (Model(), {"layers": 2, "optimizer": {"lr": 0.1, "betas": [0.9, 0.99]}}),
        (
            argparse.Namespace(lr=0.1, data=[Optimizer(1)]),
            {"lr": 0.1, "data": [{"lr": 1, "betas": [0.9, 0.99]}]},
        ),
        (OrderedDict(b=1, a=UserDict(c=2)), {"b": 1, "a": {"c": 2}}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_config_may_be_of_many_types(config, checked):
    assert checked_config("init", config) == checked


def test_a_pydantic_model_is_dumped_as_json():
    pydantic = pytest.importorskip("pydantic")

    class Data(pydantic.BaseModel):
        path: pathlib.PurePosixPath = pathlib.PurePosixPath("/data")
        since: dt.date = dt.date(2026, 1, 2)
        key: pydantic.SecretStr = pydantic.SecretStr("very-secret")
        limit: float = math.inf
        function: object = None

    dumped = {"path": "/data", "since": "2026-01-02", "key": "**********", "function": None}
    assert checked_config("init", {"data": Data()}) == {"data": {**dumped, "limit": "Infinity"}}
    with pytest.raises(
        ValueError, match=r"^init: config\.data cannot be dumped as JSON: Unable to serialize"
    ):
        checked_config("init", {"data": Data(function=print)})
    with pytest.raises(TypeError, match="^init: config is the class Data; pass an instance"):
        checked_config("init", Data)


class LikeAModel:
    """A model as pydantic makes it, of one value."""

    model_fields: ClassVar = {"root": None}

    def __init__(self, dumped):
        self.dumped = dumped

    def model_dump(self, mode):
        assert mode == "json"
        if isinstance(self.dumped, Exception):
            raise self.dumped
        return self.dumped


def test_a_model_may_be_dumped_as_any_json():
    assert checked_config("init", LikeAModel({"a": math.nan})) == {"a": "NaN"}
    assert checked_config("init", {"a": LikeAModel([1])}) == {"a": [1]}
    assert checked_config("init", {"a": LikeAModel(1)}) == {"a": {"root": 1}}
    with pytest.raises(TypeError, match=r"^init: config\.a cannot be dumped as JSON: odd"):
        checked_config("init", {"a": LikeAModel(TypeError("odd"))})


@pytest.mark.parametrize(
    ("value", "checked"),
    [
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        (2**200, 2**200),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),  # noqa: FBT003
        (np.str_("a"), "a"),
        (np.array(2.5), 2.5),
        (np.float64("nan"), "NaN"),
        (np.datetime64("2026-01-02T03:04:05", "ns"), "2026-01-02T03:04:05.000000000"),
        (Color.RED, "red"),
        (Color.PAIR, [1, 2]),
        (Kind.SMALL, "small"),
        (Level.HIGH, 3),
        (pathlib.PurePosixPath("/a/b"), "/a/b"),
        ((1, (2,)), [1, [2]]),
        (Point(1, 2), [1, 2]),
        (range(3), [0, 1, 2]),
        (deque([1]), [1]),
        ({"b", "a"}, ["a", "b"]),
        (frozenset({3, 1, 2.5}), [1, 2.5, 3]),
        ({Color.RED}, ["red"]),
        (dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC), "2026-01-02T03:00:00+00:00"),
        (dt.time(3, 4), "03:04:00"),
        ({Kind.SMALL: 1}, {"small": 1}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_become_plain_json(value, checked):
    converted = checked_config("init", {"value": value})["value"]
    assert converted == checked
    assert type(converted) is type(checked)
    if isinstance(converted, dict):
        assert [type(key) for key in converted] == [str]


def _itself():
    cycle = {"a": []}
    cycle["a"].append(cycle)
    return cycle


def _nested(levels):
    value = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        (None, TypeError, "init: config is of type NoneType; it must be a mapping, an argparse.Namespace, or"),
        ([1], TypeError, "init: config is of type list; it must be a mapping"),
        (Color.RED, TypeError, "init: config is of type Color; it must be a mapping"),
        (Optimizer, TypeError, "init: config is the class Optimizer; pass an instance"),
        ({"a": {"model": Model}}, TypeError, "init: config.a.model is the class Model; pass an instance"),
        (
            {"optim": {"fn": test_values_become_plain_json}},
            TypeError,
            "init: config.optim.fn is a function; it must be a string, number, bool, None, or a list or mapping of these; use its name",
        ),
        ({"a b": [0, print]}, TypeError, "init: config['a b'][1] is a function; it must be"),
        ({"a": np.ones(2)}, TypeError, "init: config.a is of type ndarray; it must be a string, number, bool, None, or a list or mapping of these; use its .tolist()"),
        ({"a": np.timedelta64(1, "s")}, TypeError, "init: config.a is of type timedelta64; it must be"),
        ({"a": dt.timedelta(1)}, TypeError, "use its .total_seconds()"),
        ({"a": b"x"}, TypeError, "init: config.a is of type bytes; it must be"),
        ({"a": object()}, TypeError, "init: config.a is of type object; it must be a string, number, bool, None, or a list or mapping of these; use str() of it"),
        ({"a": iter([])}, TypeError, "convert it to a list"),
        ({"a": {1, "b"}}, TypeError, "init: config.a is a set whose items cannot be sorted; use a list"),
        ({"a": {3: 1}}, TypeError, "init: config.a has the key 3 of type int; JSON has only string keys: use '3'"),
        ({True: 1}, TypeError, "init: config has the key True of type bool; JSON has only string keys: use 'True'"),
        ({None: 1}, TypeError, "init: config has the key None of type NoneType"),
        ({"a": "\ud800"}, ValueError, "init: config.a contains half of a surrogate pair"),
        ({"a": {"\ud800": 1}}, ValueError, "init: config.a has the key '\\ud800', which contains half of a"),
        ({"a": 2**20_000}, ValueError, "init: config.a is an integer of 20001 bits; use a float"),
        (_itself(), ValueError, "init: config.a[0] contains itself; remove the reference"),
        (_nested(101), ValueError, "is nested deeper than 100 levels; flatten it"),
    ],
)  # fmt: skip
def test_what_json_cannot_hold_is_refused_by_its_place(config, error, message):
    with pytest.raises(error) as caught:
        checked_config("init", config)
    assert message in str(caught.value)


def test_the_place_starts_with_the_label():
    with pytest.raises(TypeError, match="^update: patch.a is a function; it must be"):
        checked_config("update", {"a": print}, "patch")


def test_a_hundred_levels_are_enough_and_a_value_may_occur_twice():
    assert checked_config("init", _nested(100)) == _nested(100)
    shared = [1]
    assert checked_config("init", {"a": shared, "b": [shared]}) == {"a": [1], "b": [[1]]}


def test_a_config_that_no_request_can_hold_is_refused():
    fits = MAX_VALUE_BYTES - len('{"a":""}')
    assert len(checked_config("init", {"a": "x" * fits})["a"]) == fits
    with pytest.raises(
        ValueError, match="init: config has 8,000,001 bytes as JSON; it may have up"
    ):
        checked_config("init", {"a": "x" * (fits + 1)})


def test_a_small_object_that_is_large_as_json_is_refused_early():
    value = [None] * 10_000
    for _ in range(50):
        value = [value, value]
    with pytest.raises(ValueError, match="exceeds 8,000,000 bytes as JSON"):
        checked_config("init", {"a": value})


def test_flattened_paths_end_at_lists_and_empty_mappings():
    config = {"optim": {"lr": 0.1, "sub": {"x": None}}, "list": [{"a": 1}], "empty": {}, "n": 1}
    assert flattened(config) == {
        "optim.lr": 0.1,
        "optim.sub.x": None,
        "list": [{"a": 1}],
        "empty": {},
        "n": 1,
    }
    assert flattened({}) == {}


def test_flattened_paths_of_keys_with_dots_are_distinct():
    config = {"a.b": 1, "a": {"b": 2, "b.c": {"d": 3}}}
    assert flattened(config) == {'"a.b"': 1, "a.b": 2, 'a."b.c".d': 3}


@pytest.mark.parametrize(
    ("original", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_examples_of_rfc_7396_hold(original, patch, result):
    before = copy.deepcopy((original, patch))
    assert merged(original, patch) == result
    assert (original, patch) == before


@given(OBJECTS, OBJECTS)
def test_merging_twice_is_merging_once_and_changes_no_argument(config, patch):
    before = copy.deepcopy((config, patch))
    once = merged(config, patch)
    assert merged(once, patch) == once
    assert (config, patch) == before
    assert {key for key in config if key not in patch} <= set(once)
    assert not {key for key, value in patch.items() if value is None} & set(once)


@given(OBJECTS)
def test_merging_into_nothing_removes_only_the_nulls(patch):
    assert merged({}, patch) == _without_nulls(patch)
    assert merged(patch, {}) == patch


def _without_nulls(value):
    if not isinstance(value, dict):
        return value
    return {key: _without_nulls(item) for key, item in value.items() if item is not None}
