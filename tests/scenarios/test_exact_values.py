"""Values come back as what they were, in every mix: numbers, words for numbers, and nested ones."""

import math
import random

import pytest

import afnio_tellurio as te

WORDS = ["NaN", "Infinity", "-Infinity", "\\NaN", "\\\\-Infinity", "\\", "x\\NaN", '"\\NaN', "nan"]
NUMBERS = [
    0, -1, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, -(10**30), 10**400, 0.1 + 0.2, 1e300, 5e-324,
    -0.0, math.nan, math.inf, -math.inf,
]  # fmt: skip
OTHERS = [
    None, True, False, "", "ä\u2028\0\U0001f600", [], {}, [math.nan, "NaN", ["\\NaN", -math.inf]],
    {"NaN": "NaN", "\\NaN": math.nan, "Infinity": {"-Infinity": ["Infinity", math.inf]}},
    ['a, "\\\\NaN"', {"k": "\\\\\\Infinity"}], [1, 2.0, -0.0, 10**30, None, True],
]  # fmt: skip


@pytest.fixture(autouse=True)
def _backend(backend):
    pass


def logged_and_read(values, name="m"):
    with te.init("acme", "Values") as run:
        for value in values:
            run.log(name, value)
    return te.get_run("acme", "values", run.uuid)


@pytest.mark.needs_extension
@pytest.mark.parametrize("value", [*WORDS, *NUMBERS, *OTHERS], ids=ascii)
def test_a_value_of_a_metric_of_its_own_is_what_it_was(value):
    run = logged_and_read([value, value])
    assert repr(run.metrics("m").values) == repr([value, value])
    assert repr([point.value for point in run.iter_metrics("m")]) == repr([value, value])


@pytest.mark.needs_extension
@pytest.mark.parametrize("seed", range(8))
def test_values_of_every_mix_are_what_they_were(seed):
    choice = random.Random(seed)
    pool = [WORDS, NUMBERS, OTHERS, [*WORDS, *NUMBERS], [*WORDS, *NUMBERS, *OTHERS]][seed % 5]
    values = [choice.choice(pool) for _ in range(1500)]
    run = logged_and_read(values)
    assert repr(run.metrics("m").values) == repr(values)


@pytest.mark.needs_extension
def test_the_words_in_rows_are_what_they_were():
    rows = [{"a": math.nan, "b": "NaN"}, {"a": "-Infinity", "b": [math.inf, "\\NaN"]}]
    with te.init("acme", "Values") as run:
        run.log_rows("t", rows)
    assert repr(te.get_run("acme", "values", run.uuid).rows("t").rows) == repr(rows)


def test_numbers_are_what_they_were_also_without_extensions():
    run = logged_and_read(NUMBERS)
    assert repr(run.metrics("m").values) == repr(NUMBERS)
