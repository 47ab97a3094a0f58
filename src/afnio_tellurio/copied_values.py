"""How far the values of each name were copied, so that those that came later can follow.

A source may grow: a training goes on after its files were copied. Values of one name keep their
order then, whatever the order of the names is.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from afnio_tellurio.api.metric_batches import Place

    #: Place, time in microseconds since 1970, name and JSON form of a metric or a row of a table.
    Value: TypeAlias = tuple[Place, int, str, Any]

_DIGEST_BYTES = 16


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """How far the values of one name go.

    Attributes:
        count: The number of them.
        digest: The digest of all of them, in their order.
    """

    count: int
    digest: str


#: The marks of all names of a run.
Marks: TypeAlias = dict[str, Mark]


class ChangedSourceError(ValueError):
    """What was copied before is different in the source now."""

    def __init__(self) -> None:
        super().__init__(
            "values that were copied before have changed or are missing in the source; to have "
            "its values as they are now, delete the run, and repeat this"
        )


def marks_of(values: Iterable[Value]) -> Marks:
    """Returns how far values go."""
    seen = _Seen()
    for value in values:
        seen.add(_key_of(value), value)
    return seen.marks()


def values_between(values: Iterable[Value], start: Marks, end: Marks) -> Iterator[Value]:
    """Yields the values after one mark of each name, and up to another one.

    Args:
        values: All values.
        start: The marks that values were copied up to.
        end: The marks to end at.

    Raises:
        ChangedSourceError: All values up to the end are not those that had these marks.
    """
    seen = _Seen()
    for value in values:
        key = _key_of(value)
        mark = end.get(key)
        if mark is None or (count := seen.count(key)) >= mark.count:
            continue
        seen.add(key, value)
        before = start.get(key)
        if before is None or count >= before.count:
            yield value
    if seen.marks() != end:
        raise ChangedSourceError


def count_of(marks: Mapping[str, Mark]) -> int:
    """Returns the number of values up to marks."""
    return sum(mark.count for mark in marks.values())


def has_more(marks: Mapping[str, Mark], than: Mapping[str, Mark]) -> bool:
    """Returns whether a name has more values than before, or is a new one."""
    return any(key not in than or mark.count > than[key].count for key, mark in marks.items())


def _key_of(value: Value) -> str:
    place, _time, name, _value = value
    return f"row {name}" if isinstance(place, list) else f"value {name}"


class _Seen:
    """The values that were read up to now."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._hashers: dict[str, hashlib.blake2b] = {}
        self._encode = msgspec.json.Encoder().encode

    def count(self, key: str) -> int:
        return self._counts.get(key, 0)

    def add(self, key: str, value: Value) -> None:
        place, time, _name, content = value
        if key not in self._hashers:
            self._hashers[key] = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        self._counts[key] = self._counts.get(key, 0) + 1
        # A JSON array ends by itself: two of them cannot be another one.
        self._hashers[key].update(self._encode((place, time, content)))

    def marks(self) -> Marks:
        return {
            key: Mark(count, self._hashers[key].hexdigest()) for key, count in self._counts.items()
        }
