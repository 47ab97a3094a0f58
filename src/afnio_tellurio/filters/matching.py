"""Tests conditions and sorts runs in memory, with the results that a backend has."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, TypeVar

from afnio_tellurio.filters.conditions import (
    AllOf,
    AnyOf,
    Comparison,
    ConfigValue,
    HasTag,
    Match,
    Not,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from afnio_tellurio.filters.conditions import Condition, Operator, Sort, Term, Value

R = TypeVar("R")

#: Characters of a text that regular expressions are tested on.
SEARCHED_CHARACTERS = 100_000
#: Characters of a text that it is sorted by.
SORTED_CHARACTERS = 200
#: The integers of SQLite are less than this.
_INTEGERS = 2**63
_COMPARE: dict[Operator, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def is_match(
    condition: Condition, value_of: Callable[[Term], object], tags: Collection[str]
) -> bool:
    """Returns whether a condition is true for a run.

    Args:
        condition: The condition.
        value_of: Returns a value of the run, or None if it lacks it.
        tags: The tags of the run.
    """
    if isinstance(condition, AllOf):
        return all(is_match(part, value_of, tags) for part in condition.conditions)
    if isinstance(condition, AnyOf):
        return any(is_match(part, value_of, tags) for part in condition.conditions)
    if isinstance(condition, Not):
        return not is_match(condition.condition, value_of, tags)
    if isinstance(condition, HasTag):
        return condition.tag in tags
    if isinstance(condition, Match):
        value = value_of(condition.term)
        return isinstance(value, str) and condition.pattern.search(value[:SEARCHED_CHARACTERS])
    return _compare(condition, value_of(condition.term))


def _compare(comparison: Comparison, value: Any) -> bool:
    wanted, value = comparison.value, _as_stored(value)
    if wanted is None or value is None:
        return value is wanted
    if _type_of(value) is not _type_of(wanted):
        return False
    if isinstance(wanted, float) and math.isnan(wanted):
        return math.isnan(value)
    return _COMPARE[comparison.operator](value, wanted)


def _type_of(value: object) -> type:
    # True is an int in Python, and no number in JSON.
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)


def _as_stored(value: Any) -> Any:
    """A value as SQLite compares it: integers of more than 64 bits are floats."""
    if not isinstance(value, int) or -_INTEGERS <= value < _INTEGERS:
        return value
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def before_nul(text: str) -> str:
    """Returns a text up to its first NUL, where SQLite ends it in JSON and in orders."""
    return text.partition("\0")[0]


def value_in(config: Mapping[str, Any], path: tuple[str, ...], default: object = None) -> object:
    """Returns the value of a `ConfigValue`, or a default."""
    value: Any = config
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return config.get(".".join(path), default)
        value = value[name]  # pyright: ignore[reportUnknownVariableType]
    return value  # pyright: ignore[reportUnknownVariableType]


def names_in(configs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Returns the names of the values of configs, as filters write them, sorted."""
    paths = {path for config in configs for path in columns_of([config])}
    return sorted(str(ConfigValue(path)) for path in paths)


def columns_of(configs: Sequence[Mapping[str, Any]]) -> dict[tuple[str, ...], list[Any]]:
    """Returns the values of configs by their paths, sorted; None where a config lacks one.

    An object that has values is not a value itself.
    """
    columns: dict[tuple[str, ...], list[Any]] = {}
    waiting: list[tuple[tuple[str, ...], Iterable[tuple[int, Mapping[str, Any]]]]]
    waiting = [((), enumerate(configs))]
    while waiting:
        path, objects = waiting.pop()
        cells: dict[str, list[Any]] = {}
        nested: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
        for index, values in objects:
            for name, value in values.items():
                if value.__class__ is dict and value:
                    nested.setdefault(name, []).append((index, value))
                elif name in cells:
                    cells[name][index] = value
                else:
                    cells[name] = [None] * len(configs)
                    cells[name][index] = value
        columns |= {(*path, name): column for name, column in cells.items()}
        waiting += [((*path, name), inner) for name, inner in nested.items()]
    return dict(sorted(columns.items()))


def sort_runs(
    runs: Iterable[R], sort: Sort, value_of: Callable[[R], Value | list[Any] | dict[str, Any]]
) -> list[R]:
    """Returns runs, which are in the order of their creation, newest first, in another order.

    Args:
        runs: The runs.
        sort: The order.
        value_of: Returns the value of a run to sort by, or None.
    """
    numbers: list[tuple[float, R]] = []
    texts: list[tuple[str, R]] = []
    others: list[R] = []
    for run in runs:
        value = _as_stored(value_of(run))
        if isinstance(value, str):
            texts.append((before_nul(value)[:SORTED_CHARACTERS], run))
        elif isinstance(value, int | float) and not math.isnan(value):
            numbers.append((value, run))
        else:
            others.append(run)
    for pairs in (numbers, texts):
        # Stable also in reverse.
        pairs.sort(key=operator.itemgetter(0), reverse=sort.is_descending)
    return [run for _, run in numbers] + [run for _, run in texts] + others
