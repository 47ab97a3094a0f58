"""The conditions of filters, and the order of runs, in SQL.

Everything that a filter says is a parameter. The texts here are constant but for the names of
columns, which come from tables in this module.
"""

from __future__ import annotations

import math
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from afnio_tellurio.clock import monotonic
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
)
from afnio_tellurio.filters.matching import SEARCHED_CHARACTERS, names_in
from afnio_tellurio.filters.patterns import compile_pattern
from afnio_tellurio.special_numbers import escape_word

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from afnio_tellurio.filters.conditions import Condition, Operator, Term, Value

#: The function that tests a regular expression.
_FUNCTION = "tellurio_matches"
_NUMBERS = "('integer', 'real')"
#: Seconds that the regular expressions of one request may take.
_SECONDS = 10.0
#: The newest runs, and the names, that a name is searched in.
_SEARCHED = 1000
_SPECIAL = "('NaN', 'Infinity', '-Infinity')"


_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Sql(NamedTuple):
    """A part of a statement, and its parameters in the order of their places."""

    text: str
    parameters: tuple[Any, ...] = ()


#: The values of attributes, of a run `r`.
_ATTRIBUTES = {
    "name": "r.name",
    "status": "r.status",
    "user": "(SELECT u.username FROM users u WHERE u.id = r.user)",
    "group": "r.group_name",
    "job_type": "r.job_type",
    "description": "r.description",
    "notes": "r.notes",
    "uuid": "r.uuid",
    "parent": "r.parent_uuid",
    "created": "r.created",
    "updated": "r.updated",
    "ended": "r.ended",
    "duration": "(coalesce(r.ended, CASE r.status WHEN 'RUNNING' THEN ? ELSE r.updated END) "
    "- r.created) / 1e6",
}
_METRIC_COLUMNS = {
    "min": "s.minimum",
    "max": "s.maximum",
    "count": "s.count",
    "first_step": "s.first_step",
    "last_step": "s.last_step",
}


class Conditions:
    """Makes SQL of conditions.

    Args:
        now: The end of runs that go on, in microseconds since 1970.
    """

    def __init__(self, now: int) -> None:
        self._now = now

    def condition(self, condition: Condition) -> Sql:
        """Returns the SQL of a condition; it is 0 or 1 for each run, and never NULL."""
        if isinstance(condition, AllOf):
            return self._all_of(condition)
        if isinstance(condition, AnyOf):
            parts = sorted(condition.conditions, key=_cost)
            return _joined(" OR ", map(self.condition, parts))
        if isinstance(condition, Not):
            text, parameters = self.condition(condition.condition)
            return Sql(f"NOT {text}", parameters)
        if isinstance(condition, HasTag):
            text = "EXISTS (SELECT 1 FROM run_tags t WHERE t.run = r.id AND t.tag = ?)"
            return Sql(text, (condition.tag,))
        return self._test(condition)

    def _test(self, condition: Comparison | Match) -> Sql:
        if isinstance(condition.term, MetricValue):
            return _of_metric(condition, condition.term)
        if isinstance(condition.term, ConfigValue):
            return _tested(condition, _config_value(condition.term))
        value = self._attribute(condition.term)
        if isinstance(condition, Match):
            parameters = (condition.pattern.source, *value.parameters)
            return Sql(f"coalesce({_FUNCTION}(?, {value.text}), 0)", parameters)
        if condition.value is None:
            return Sql(f"({value.text} IS NULL)", value.parameters)
        parameters = (*value.parameters, condition.value)
        return Sql(f"coalesce({value.text} {condition.operator} ?, 0)", parameters)

    def _all_of(self, condition: AllOf) -> Sql:
        fast = [self.condition(part) for part in condition.conditions if not _cost(part)]
        slow = sorted(filter(_cost, condition.conditions), key=_cost)
        # One term for SQLite, which would test subqueries after all other terms.
        rest = [_all(*map(self.condition, slow))] if slow else []
        return _joined(" AND ", [*fast, *rest])

    def _attribute(self, attribute: Attribute) -> Sql:
        return Sql(_ATTRIBUTES[attribute.name], (self._now,) * (attribute.name == "duration"))

    def value(self, term: Term) -> Sql:
        """Returns the SQL of what runs are sorted by: a number, a text, or NULL."""
        if isinstance(term, Attribute):
            return self._attribute(term)
        return (
            _number_or_text(_config_value(term))
            if isinstance(term, ConfigValue)
            else _summary(term)
        )


def _cost(condition: Condition) -> int:
    """Returns a number by which conditions are sorted, so that the fast ones are tested first."""
    if isinstance(condition, Not):
        return _cost(condition.condition)
    if isinstance(condition, AllOf | AnyOf):
        return max(map(_cost, condition.conditions))
    if isinstance(condition, HasTag):
        return 1
    cost = {Attribute: 0, MetricValue: 2, ConfigValue: 3}[type(condition.term)]
    return cost + 4 * isinstance(condition, Match)


class _Json(NamedTuple):
    """A value of JSON.

    Attributes:
        source: The column that has it.
        is_escaped: Whether texts that are words for numbers have backslashes, see
            `special_numbers`; in a config, such a word is always a number.
        type: Its type, as SQLite names it.
        value: The value; NULL without one.
    """

    source: str
    is_escaped: bool
    type: Sql
    value: Sql


def _config_value(term: ConfigValue) -> _Json:
    paths = [".".join(f'"{name}"' for name in term.path)]
    if len(term.path) > 1:
        paths.append(f'"{term.joined}"')
    parameters = tuple(f"$.{path}" for path in paths)

    def first(function: str) -> Sql:
        calls = [f"{function}(r.config, ?)" for _ in parameters]
        return Sql(f"coalesce({', '.join(calls)})" if len(calls) > 1 else calls[0], parameters)

    return _Json("r.config", is_escaped=False, type=first("json_type"), value=first("json_extract"))


#: The JSON of the last value of a metric that is not a number.
_LAST = _Json(
    "s.last_json",
    is_escaped=True,
    type=Sql("json_type(s.last_json)"),
    value=Sql("json_extract(s.last_json, '$')"),
)


def _tested(condition: Comparison | Match, json: _Json) -> Sql:
    """Returns the SQL of a condition on a value of JSON."""
    if isinstance(condition, Match):
        plain = _plain_text(json)
        return _all(
            _is_text(json),
            Sql(f"{_FUNCTION}(?, {plain.text})", (condition.pattern.source, *plain.parameters)),
        )
    value, operator = condition.value, condition.operator
    if value is None:
        return Sql(f"coalesce({json.type.text} = 'null', 1)", json.type.parameters)
    if isinstance(value, bool):
        return Sql(
            f"coalesce({json.type.text} = ?, 0)",
            (*json.type.parameters, "true" if value else "false"),
        )
    if isinstance(value, str):
        if operator == "=":
            text = escape_word(value) if json.is_escaped else value
            compared = Sql(f"{json.value.text} = ?", (*json.value.parameters, text))
            # An array is a text for SQLite.
            return _all(compared, _is_text(json))
        plain = _plain_text(json)
        return _all(_is_text(json), Sql(f"{plain.text} {operator} ?", (*plain.parameters, value)))
    return _compared_with_number(json, operator, value)


def _compared_with_number(json: _Json, operator: Operator, number: float) -> Sql:
    words = list(_special_words(operator, number))
    special = _all(
        # Far cheaper than looking into the JSON.
        Sql(f"{json.source} GLOB ?", ("*NaN*" if math.isnan(number) else "*Infinity*",)),
        Sql(
            f"{json.value.text} IN ({', '.join('?' * len(words))})",
            (*json.value.parameters, *words),
        ),
    )
    if math.isnan(number):
        return special
    # The value first: most comparisons end there, and true is 1 for SQLite.
    plain = _all(
        Sql(f"{json.value.text} {operator} ?", (*json.value.parameters, number)),
        Sql(f"{json.type.text} IN {_NUMBERS}", json.type.parameters),
    )
    if not words:
        return plain
    return Sql(f"({plain.text} OR {special.text})", (*plain.parameters, *special.parameters))


def _special_words(operator: Operator, number: float) -> Iterator[str]:
    """The words for numbers that JSON lacks for which a comparison is true."""
    if math.isnan(number):
        yield "NaN"
    for word, value in (("Infinity", math.inf), ("-Infinity", -math.inf)):
        if (
            (operator in {"=", "<=", ">="} and value == number)
            or (operator in {"<", "<="} and value < number)
            or (operator in {">", ">="} and value > number)
        ):
            yield word


def _is_text(json: _Json) -> Sql:
    parameters = (*json.type.parameters, *json.value.parameters)
    return Sql(f"({json.type.text} = 'text' AND {json.value.text} NOT IN {_SPECIAL})", parameters)


def _plain_text(json: _Json) -> Sql:
    """Returns the SQL of a text without the backslash that tells it from a number."""
    value = json.value
    if not json.is_escaped:
        return value
    words = "('\\NaN', '\\Infinity', '\\-Infinity')"
    text = f"CASE WHEN {value.text} IN {words} THEN substr({value.text}, 2) ELSE {value.text} END"
    return Sql(text, value.parameters * 3)


def _number_or_text(json: _Json) -> Sql:
    """Returns the SQL of a value to sort by: a number, a text, or NULL."""
    plain = _plain_text(json)
    return Sql(
        f"CASE {json.type.text} WHEN 'integer' THEN {json.value.text} "
        f"WHEN 'real' THEN {json.value.text} WHEN 'true' THEN 1 WHEN 'false' THEN 0 "
        f"WHEN 'text' THEN CASE {json.value.text} WHEN 'NaN' THEN NULL "
        f"WHEN 'Infinity' THEN 9e999 WHEN '-Infinity' THEN -9e999 ELSE {plain.text} END END",
        (*json.type.parameters, *json.value.parameters * 3, *plain.parameters),
    )


def _all(*parts: Sql) -> Sql:
    text, parameters = _joined(" AND ", parts)
    # SQLite tests what follows a false part only where no value is made of the whole.
    return Sql(f"({text} IS TRUE)", parameters)


def _joined(word: str, parts: Iterable[Sql]) -> Sql:
    parts = list(parts)
    text = word.join(part.text for part in parts)
    return Sql(f"({text})", tuple(value for part in parts for value in part.parameters))


def _of_metric(condition: Comparison | Match, term: MetricValue) -> Sql:
    """Returns the SQL of a condition on the summary of a metric."""
    exists = "EXISTS (SELECT 1 FROM series s WHERE s.run = r.id AND s.name = ?"
    if isinstance(condition, Comparison) and condition.value is None:
        has_value = _has_part(term.part)
        return Sql(f"NOT {exists} AND {has_value})", (term.name,))
    test = _part_test(condition, term.part)
    return Sql(f"{exists} AND {test.text})", (term.name, *test.parameters))


def _has_part(part: str) -> str:
    if part == "last":
        return "coalesce(s.last_json <> 'null', 1)"
    return f"{_METRIC_COLUMNS[part]} IS NOT NULL"


def _part_test(condition: Comparison | Match, part: str) -> Sql:
    if part != "last":
        assert isinstance(condition, Comparison)
        return Sql(
            f"coalesce({_METRIC_COLUMNS[part]} {condition.operator} ?, 0)",
            (_as_number(condition.value),),
        )
    on_json = _tested(condition, _LAST)
    value = condition.value if isinstance(condition, Comparison) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return on_json
    assert isinstance(condition, Comparison)
    return Sql(
        f"(coalesce(s.last_value {condition.operator} ?, 0) OR {on_json.text})",
        (value, *on_json.parameters),
    )


def _as_number(value: Value) -> Value:
    # SQLite stores NaN as NULL, which equals nothing: no minimum is NaN.
    return None if isinstance(value, float) and math.isnan(value) else value


def _summary(term: MetricValue) -> Sql:
    """Returns the SQL of a part of the summary of a metric: a number, a text, or NULL."""
    if term.part == "last":
        on_json = _number_or_text(_LAST)
        column = Sql(f"coalesce(s.last_value, {on_json.text})", on_json.parameters)
    else:
        column = Sql(_METRIC_COLUMNS[term.part])
    text = f"(SELECT {column.text} FROM series s WHERE s.run = r.id AND s.name = ?)"  # noqa: S608 - constant
    return Sql(text, (*column.parameters, term.name))


class SlowFilterError(Exception):
    """The regular expressions of a filter take too long."""


@contextmanager
def searching(connection: sqlite3.Connection) -> Generator[None]:
    """Lets the statements of a block test regular expressions, for a bounded time.

    An expression takes time that is linear in the text, but some take 100 times as long as others.

    Raises:
        SlowFilterError: They take too long.
    """
    end = monotonic() + _SECONDS
    is_late = False

    def matches(source: str, text: object) -> bool:
        nonlocal is_late
        if not isinstance(text, str):
            return False
        is_late = is_late or monotonic() > end
        if is_late:
            raise SlowFilterError
        return compile_pattern(source).search(text[:SEARCHED_CHARACTERS])

    connection.create_function(_FUNCTION, 2, matches, deterministic=True)
    try:
        yield
    except sqlite3.OperationalError as error:
        # SQLite does not pass the exception of a function on.
        if is_late:
            raise SlowFilterError from error
        raise


def find_unknown(connection: sqlite3.Connection, project: int, term: Term) -> list[str] | None:
    """Returns the names that a project has in the place of one that none of its runs has.

    Returns:
        None if a run has it, or if no run has any.
    """
    if isinstance(term, Attribute):
        return None
    has_it = Sql(
        "EXISTS (SELECT 1 FROM series s WHERE s.run = r.id AND s.name = ?)", (term.searched,)
    )
    if isinstance(term, ConfigValue):
        kind = _config_value(term).type
        has_it = Sql(f"{kind.text} IS NOT NULL", kind.parameters)
    known = connection.execute(
        f"SELECT 1 FROM runs r WHERE r.project = ? AND {has_it.text} "  # noqa: S608 - constant
        "ORDER BY r.created DESC LIMIT 1",
        (project, *has_it.parameters),
    ).fetchone()
    if known is not None:
        return None
    names = _names_of_configs if isinstance(term, ConfigValue) else _names_of_metrics
    return names(connection, project) or None


def _names_of_metrics(connection: sqlite3.Connection, project: int) -> list[str]:
    rows = connection.execute(
        "SELECT DISTINCT s.name FROM (SELECT id FROM runs WHERE project = ? ORDER BY created DESC "
        "LIMIT ?) r JOIN series s ON s.run = r.id LIMIT ?",
        (project, _SEARCHED, _SEARCHED),
    )
    return [name for (name,) in rows]


def _names_of_configs(connection: sqlite3.Connection, project: int) -> list[str]:
    rows = connection.execute(
        "SELECT config FROM runs WHERE project = ? ORDER BY created DESC LIMIT ?",
        (project, _SEARCHED),
    )
    return names_in(_decode(config) for (config,) in rows)
