"""The history of a run of wandb, as values of metrics.

The step of a value is wandb's, unless the run declared another x-axis with `define_metric`, and
that has a step for each value: several metrics with different x-axes share a row.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from afnio_tellurio.importing.imported_runs import ImportedRun, Point, microseconds
from afnio_tellurio.importing.media import Medium
from afnio_tellurio.settings.limits import MAX_STEP
from afnio_tellurio.special_numbers import SPECIAL_NUMBERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


#: The folder of the files of a run, beside its `.wandb` file.
FILES = "files"
#: It has its numbers, and no file.
_HISTOGRAM = "histogram"
#: Where lists of media other than images have them.
_LISTS = ("audio", "html", "videos")


class Row(NamedTuple):
    """A row of the history.

    Attributes:
        step: wandb's step.
        time: In microseconds since 1970.
        values: The values by their names.
    """

    step: int
    time: int
    values: dict[str, Any]

    @classmethod
    def of(cls, logged: Mapping[str, Any], step: int) -> Row:
        """Returns the row of what was logged, with this step if it has none."""
        values = _flat(logged)
        own_step = values.pop("_step", step)
        time = values.pop("_timestamp", 0)
        own = {name: value for name, value in values.items() if not name.startswith("_")}
        seconds = time if isinstance(time, int | float) else 0
        return cls(own_step if isinstance(own_step, int) else -1, microseconds(seconds), own)


class History:
    """The rows of a run.

    Args:
        rows: Yields them, the same ones each time.
        axes: The declared x-axis of each metric, or of a pattern.
    """

    def __init__(self, rows: Callable[[], Iterator[Row]], axes: Mapping[str, str]) -> None:
        self._rows = rows
        self._axes = axes
        #: The metrics whose x-axis has no step for some value.
        self._without: set[str] = set()

    def describe(self, run: ImportedRun, summary: Mapping[str, Any]) -> None:
        """Adds to a run what its rows tell: its end, and the facts.

        Args:
            run: The run.
            summary: The summary of the run.
        """
        names: set[str] = set()
        for row in self._rows():
            run.ended = max(row.time, run.ended or 0)
            for name, value in row.values.items():
                if _kind_of_media(value) is None:
                    names.add(name)
                axis = self._axis_of(name)
                if axis is not None and _step_in(row, axis) is None:
                    self._without.add(name)
        # What the program set itself: the rest is the last value of each metric.
        own = {
            name: value
            for name, value in _flat(summary).items()
            if name not in names and name[:1] != "_" and _kind_of_media(value) is None
        }
        run.facts["x_axes"] = dict(self._axes) or None
        run.facts["summary"] = own or None

    def points(self) -> Iterator[Point]:
        """Yields the values without media; `describe` was called before."""
        for point in self._all():
            if _kind_of_media(point.value) is None:
                yield point

    def media(self) -> Iterator[Medium]:
        """Yields the media; `describe` was called before."""
        for name, step, value, time in self._all():
            kind = _kind_of_media(value)
            if kind is not None:
                captions = [value.get("caption"), *_list_in(value, "captions")]
                count = sum(map(bool, captions))
                yield Medium(name, kind, _paths_of(value), step or 0, time, count)

    def _all(self) -> Iterator[Point]:
        for row in self._rows():
            for name, value in row.values.items():
                axis = None if name in self._without else self._axis_of(name)
                step = None if axis is None else _step_in(row, axis)
                yield Point(name, row.step if step is None else step, value, row.time)

    def _axis_of(self, name: str) -> str | None:
        """Returns the x-axis that was declared for a metric, itself or by a pattern."""
        axis = self._axes.get(name)
        if axis is None:
            axis = next(
                (
                    each
                    for pattern, each in self._axes.items()
                    if "*" in pattern and fnmatchcase(name, pattern)
                ),
                None,
            )
        return None if axis in (None, "_step", name) else axis


def _step_in(row: Row, axis: str) -> int | None:
    value = row.values.get(axis)
    if isinstance(value, bool) or not isinstance(value, int | float) or value % 1 != 0:
        return None
    return int(value) if 0 <= value <= MAX_STEP else None


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Returns values with the names of nested ones joined by dots; typed ones stay together."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict) and value and _type_of(value) is None:  # pyright: ignore[reportUnknownArgumentType]
            flat.update(_flat(value, f"{before}{name}."))  # pyright: ignore[reportUnknownArgumentType]
        else:
            flat[f"{before}{name}"] = value
    return flat


def restored(value: Any) -> Any:
    """Returns a value with numbers for the words that wandb stores in their place."""
    return SPECIAL_NUMBERS.get(value, value) if isinstance(value, str) else value


def _kind_of_media(value: Any) -> str | None:
    kind = _type_of(value)
    return None if kind == _HISTOGRAM else kind


def _type_of(value: Any) -> str | None:
    kind = value.get("_type") if isinstance(value, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return kind if isinstance(kind, str) else None


def _paths_of(medium: Mapping[str, Any]) -> list[str]:
    """Returns the paths of the files of a medium, or of a list of media."""
    paths = [medium.get("path"), *_list_in(medium, "filenames")]
    for name in _LISTS:
        items: list[dict[str, Any]] = [
            item for item in _list_in(medium, name) if isinstance(item, dict)
        ]
        paths += [item.get("path") for item in items]
    return [f"{FILES}/{path}" for path in paths if isinstance(path, str)]


def _list_in(medium: Mapping[str, Any], name: str) -> list[Any]:
    found = medium.get(name)
    return found if isinstance(found, list) else []  # pyright: ignore[reportUnknownVariableType]
