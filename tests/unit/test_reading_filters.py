"""What filters are read as, and what is invalid in them."""

import datetime as dt
import math

import pytest

from afnio_tellurio.filters.conditions import (
    AllOf,
    AnyOf,
    Attribute,
    Comparison,
    ConfigValue,
    HasTag,
    Match,
    MetricValue,
    Not,
    Sort,
)
from afnio_tellurio.filters.lexing import FilterError
from afnio_tellurio.filters.parsing import parse_filter, parse_sort
from afnio_tellurio.filters.patterns import compile_pattern

NOW = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)
MICROSECONDS = int(NOW.timestamp() * 1e6)
HOUR = 3_600_000_000


def compared(term, operator, value):
    return Comparison(term, operator, value)


A = compared(Attribute("name"), "=", "a")
B = compared(Attribute("name"), "=", "b")
C = compared(Attribute("name"), "=", "c")
LR = ConfigValue(("lr",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name = a", A),
        ("name == 'a'", A),
        ('  name="a"  ', A),
        ("name = a or name = b and name = c", AnyOf((A, AllOf((B, C))))),
        ("(name = a OR name = b) AND name = c", AllOf((AnyOf((A, B)), C))),
        ("not name = a and name = b", AllOf((Not(A), B))),
        ("Not (name = a or name = b)", Not(AnyOf((A, B)))),
        ("name != a", Not(A)),
        ("name in (a, 'b')", AnyOf((A, B))),
        ("name not in (a)", Not(AnyOf((A,)))),
        ("x-1 in tags", HasTag("x-1")),
        ("'a b' not in tags", Not(HasTag("a b"))),
        (r'name ~ "\d+\"\\."', Match(Attribute("name"), compile_pattern(r'\d+"\.'))),
        ("status = crashed", compared(Attribute("status"), "=", "CRASHED")),
        ("config.lr < 1e-3", compared(LR, "<", 1e-3)),
        ("config.lr = -7", compared(LR, "=", -7)),
        ("config.lr >= Infinity", compared(LR, ">=", math.inf)),
        ("config.lr > -Infinity", compared(LR, ">", -math.inf)),
        ("config.lr = TRUE", Comparison(LR, "=", value=True)),
        ("config.lr = null", compared(LR, "=", None)),
        ("config.lr = 'null'", compared(LR, "=", "null")),
        ("config.lr = 2026-11-01", compared(LR, "=", "2026-11-01")),
        ("config.lr = 30s", compared(LR, "=", "30s")),
        ("config.a.'b c'.0 = 1", compared(ConfigValue(("a", "b c", "0")), "=", 1)),
        ('metric("a/b") < 1', compared(MetricValue("a/b", "last"), "<", 1)),
        ("metric(a).count > 2", compared(MetricValue("a", "count"), ">", 2)),
        ("created > -1h", compared(Attribute("created"), ">", MICROSECONDS - HOUR)),
        ("created <= 2026-11-27", compared(Attribute("created"), "<=", MICROSECONDS - 12 * HOUR)),
        *(
            (
                f"created > {moment} and name = a",
                AllOf((compared(Attribute("created"), ">", MICROSECONDS - HOUR), A)),
            )
            for moment in (
                "2026-11-27T11:00",
                "2026-11-27 11:00",
                "2026-11-27 11:00:00.000000",
                "2026-11-27 12:00:00+01:00",
                "2026-11-27 11:00Z",
                "'2026-11-27 11:00'",
            )
        ),
        (
            "ended < 2026-11-27T13:00+01:00",
            compared(Attribute("ended"), "<", MICROSECONDS),
        ),
        ("ended < '2026-11-27 12:00'", compared(Attribute("ended"), "<", MICROSECONDS)),
        ("duration < 1.5h", compared(Attribute("duration"), "<", 5400.0)),
        ("duration < 90", compared(Attribute("duration"), "<", 90)),
    ],
)
def test_what_a_filter_is_read_as(text, expected):
    assert repr(parse_filter(text, NOW)) == repr(expected)


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("", 1, "expected a name here, such as status, not the end"),
        ("nam = a", 1, "a run has no attribute 'nam'.*did you mean 'name'"),
        ("name", 5, "name must be compared, .*not the end"),
        ("name =", 7, "expected a value here, not the end"),
        ("name = and", 8, "expected a value here, not 'and'; put a text in quotes"),
        ("name = 3", 8, "name is a text; put it in quotes: '3'"),
        ("name = true", 8, "name is a text"),
        ("name a", 6, "name must be compared, .*not 'a'"),
        ("name = a name = b", 10, "'name' is not expected here; combine comparisons with"),
        ("name = a & name = b", 10, 'write "and" and "or" as words'),
        ("name = 'a", 8, "a quote is not closed"),
        (
            "name = a/b",
            9,
            "'/b' is invalid here; put names and texts that have such characters in quotes",
        ),
        ("name = .5", 8, "expected a value here, not '.'; write a number as 0.5$"),
        ("config.lr > -.5", 13, "'-.5' is not a number; write one as 0.5, 1e-3, or 1000"),
        ("config.lr > 1_000", 13, "'1_000' is not a number; .*, and a text in quotes"),
        ("config.lr > 10%", 15, "'%' is invalid here"),
        ("config.lr > 1. and name = a", 14, "'.' is not expected here; write a number as 1 or 1.0"),
        ("duration > 1 h", 14, "'h' is not expected here; write a span without a space: 1h$"),
        ("name <> a", 7, "expected a value here, not '>'; write \"is not equal\" as !=$"),
        ("status in [CRASHED]", 11, "write a list as \\(1, 2\\)"),
        ("config['lr'] = 1", 7, "and a name of the config as config.lr"),
        ("val/acc > 1", 4, '.*; a metric is written metric\\("val/acc"\\)$'),
        ("name = a/b and x = c", 9, ".* such characters in quotes$"),
        ("STATUS = CRASHED", 1, "did you mean 'status'"),
        ("metric(a).MAX = 1", 11, "did you mean 'max'"),
        ("(name = a", 10, "the open parenthesis requires '\\)' here, not the end"),
        ("name in a", 9, '"in" requires'),
        ("name in (a", 11, "the list requires"),
        ("name not a", 10, '"not" requires'),
        ("3 = name", 1, "expected a name here, such as status, not '3'"),
        ("tags = a", 1, 'tags are tested with: "baseline" in tags'),
        ("3 in tags", 1, "a tag is a text in quotes"),
        ("status = finished", 10, "a run has no status 'finished'; did you mean 'COMPLETED'\\?"),
        ("status = archived", 10, "a run has no status 'archived'; it has 'COMPLETED'"),
        ("status = runing", 10, "did you mean 'RUNNING'"),
        ("status < RUNNING", 8, "status can only be compared with = and !="),
        ("status ~ 'R'", 8, "status is not a text, and cannot be matched"),
        ("config = 1", 1, "config requires a name, such as config.lr"),
        ("config. = 1", 9, "expected a name of the config here"),
        ("config.'a\"' = 1", 8, "quotes, backslashes, or control characters"),
        ("config.lr < true", 11, "config.lr can only be compared with = and !="),
        ("config.lr < null", 11, "can only be compared with = and !="),
        ("config.lr < NaN", 11, "can only be compared with = and !="),
        ("config.lr = 1e999", 13, "1e999 is too large; write Infinity"),
        ("config.lr = config", 13, "expected a value here, not 'config'"),
        ("metric = 1", 8, "metric requires '\\(' here"),
        ("metric() = 1", 8, "metric requires a name"),
        ("metric(a).mean = 1", 11, "a metric has no 'mean'; it has 'count'"),
        ("metric(a).maxx = 1", 11, "did you mean 'max'"),
        ("metric(a).max = x", 17, "metric\\(\"a\"\\).max is a number, not 'x'"),
        ("created > yesterday", 11, "created is a time: -7d, .*; not 'yesterday'"),
        ("created > 7d", 11, "created is a time"),
        ("created > 2026-13-01", 11, "created is a time"),
        ("created > 2026-11-03 10:99", 11, "created is a time"),
        ("created > 2026-11-03 10", 22, "'10' is not expected here"),
        ("created > 2026-11-03  10:00", 25, "write a time as 2026-11-03 10:00 or"),
        ("created > -99999999999w", 11, "created is a time"),
        ("created = 2026-11-01", 9, "created is a time: compare it with <, <=, >, or >="),
        ("duration < '2h'", 12, "duration is in seconds, or with a unit"),
        ("name ~ a", 8, "a regular expression must be in quotes"),
        ("name ~ '('", 8, "invalid pattern: unclosed group at character 1"),
        ("not " * 31 + "name = a", 121, "a filter may have up to 30 levels"),
        ("(" * 31 + "name = a", 31, "a filter may have up to 30 levels"),
        (" or ".join(["name = a"] * 101), 1201, "a filter may have up to 100 comparisons"),
        (f"name in ({', '.join('a' * 101)})", 9, "a filter may have up to 100 values"),
        ("name = '" + "a" * 4000, 1, "it has 4,008 characters; it may have up to 4,000"),
    ],
)
def test_what_is_invalid_in_a_filter(text, position, problem):
    with pytest.raises(FilterError, match=f"^at character {position}: .*{problem}"):
        parse_filter(text, NOW)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name", Sort(Attribute("name"), is_descending=False)),
        (" -config.optim.lr ", Sort(ConfigValue(("optim", "lr")), is_descending=True)),
        ('-metric("a").min', Sort(MetricValue("a", "min"), is_descending=True)),
    ],
)
def test_what_an_order_is_read_as(text, expected):
    assert parse_sort(text) == expected


@pytest.mark.parametrize("text", ["", "-", "name desc", "name, status", "tags", "1", "config"])
def test_what_is_invalid_in_an_order(text):
    with pytest.raises(FilterError, match=r"^at character \d+: "):
        parse_sort(text)


@pytest.mark.parametrize("text", ["name desc", "name, status"])
def test_an_order_of_two_values_is_not_answered_with_how_to_combine_comparisons(text):
    hint = r"; name one value to sort by, with - in front of it for the greatest first$"
    with pytest.raises(FilterError, match=hint):
        parse_sort(text)
