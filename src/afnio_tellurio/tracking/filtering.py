"""Filters and sorts runs here, for a backend that does not."""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from afnio_tellurio.api.entities import RunStatus
from afnio_tellurio.errors import BadRequestError
from afnio_tellurio.filters.conditions import ConfigValue, MetricValue, terms_of
from afnio_tellurio.filters.lexing import FilterError
from afnio_tellurio.filters.matching import before_nul, is_match, names_in, sort_runs, value_in
from afnio_tellurio.filters.names import near_names
from afnio_tellurio.filters.parsing import parse_filter, parse_sort
from afnio_tellurio.special_numbers import SPECIAL_NUMBERS
from afnio_tellurio.validation import checked_text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from afnio_tellurio.api.metrics import MetricSummary
    from afnio_tellurio.filters.conditions import Condition, Sort, Term
    from afnio_tellurio.tracking.run import Run

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
#: Characters of an invalid filter in a message.
_SHOWN = 200
_PARTS = {"last": "last", "min": "minimum", "max": "maximum"}


class Query:
    """Which runs to list, and in which order.

    Args:
        call: The function that was called, for messages.
        where: A filter, or None for all runs.
        sort: What to sort by, or None for the newest first.

    Raises:
        TypeError: One of them is not a string.
        ValueError: One of them is invalid.
    """

    def __init__(self, call: str, where: str | None, sort: str | None) -> None:
        self._call = call
        self._now = dt.datetime.now(dt.UTC)
        self._where: Condition | None = None
        self._sort: Sort | None = None
        if where is not None:
            text = checked_text(call, "where", where)
            self._where = self._read("where", text, lambda: parse_filter(text, self._now))
        if sort is not None:
            text = checked_text(call, "sort", sort)
            self._sort = self._read("sort", text, lambda: parse_sort(text))
        self.parameters = {
            name: text for name, text in (("where", where), ("sort", sort)) if text is not None
        }

    def _read(self, name: str, text: str, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except FilterError as error:
            shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
            raise ValueError(f"{self._call}: {name} is {shown!r}, invalid {error}") from None

    @contextmanager
    def reported(self) -> Generator[None]:
        """Raises what a backend finds invalid about it as it is raised here.

        Raises:
            ValueError: It is invalid.
            TellurioError: The request failed.
        """
        try:
            yield
        except BadRequestError as error:
            name, _, problem = error.words.partition(": ")
            if name not in self.parameters:
                raise
            message = f"{self._call}: {problem[:1].lower()}{problem[1:]}"
            raise ValueError(message) from error

    def apply(self, runs: Iterable[Run]) -> list[Run]:
        """Returns the runs that match, of all runs of a project, newest first.

        Raises:
            ValueError: It names a metric, or a name of the config, that no run has.
            TellurioError: The backend does not answer how a metric is summarized.
        """
        values = _Values(self._now)
        every_run = list(runs)
        where, sort = self._where, self._sort
        for term in [] if where is None else terms_of(where):
            self._require_known("no run of the project has {}", term, every_run, values)
        if sort is not None:
            unknown = "can't sort by {}: no run of the project has it"
            self._require_known(unknown, sort.term, every_run, values)
        matching = [
            run
            for run in every_run
            if where is None or is_match(where, partial(values.read, run), run.tags)
        ]
        if sort is None:
            return matching
        return sort_runs(matching, sort, lambda run: values.read(run, sort.term))

    def _require_known(
        self, unknown: str, term: Term, runs: Sequence[Run], values: _Values
    ) -> None:
        if isinstance(term, MetricValue):
            names = list({name for run in runs for name in values.summary(run)})
            is_known = term.name in names
        elif isinstance(term, ConfigValue):
            names = names_in(run.config for run in runs)
            # One that is null is known.
            is_known = any(value_in(run.config, term.path, ...) is not ... for run in runs)
        else:
            return
        if names and not is_known:
            near = near_names(term.searched, names)
            raise ValueError(f"{self._call}: {unknown.format(term)}; {near}")


class _Values:
    """The values of runs. The summaries of a run are requested once, if they are needed."""

    def __init__(self, now: dt.datetime) -> None:
        self._now = now
        self._summaries: dict[str, dict[str, MetricSummary]] = {}

    def summary(self, run: Run) -> dict[str, MetricSummary]:
        """Returns the summaries of the metrics of a run."""
        if run.uuid not in self._summaries:
            self._summaries[run.uuid] = run.summary()
        return self._summaries[run.uuid]

    def read(self, run: Run, term: Term) -> Any:
        """Returns a value of a run, or None if it lacks it."""
        if isinstance(term, ConfigValue):
            value: Any = value_in(run.config, term.path)
            if not isinstance(value, str):
                return value
            # A config has words for the numbers that JSON lacks.
            return SPECIAL_NUMBERS.get(value, before_nul(value))
        if isinstance(term, MetricValue):
            summary = self.summary(run).get(term.name)
            if summary is None:
                return None
            value = getattr(summary, _PARTS.get(term.part, term.part))
            return before_nul(value) if isinstance(value, str) else value
        if term.name == "duration":
            return self._duration(run)
        return _ATTRIBUTES[term.name](run)

    def _duration(self, run: Run) -> float | None:
        is_running = run.status == RunStatus.RUNNING
        end = run.date_ended or (self._now if is_running else run.date_updated)
        if end is None or run.date_created is None:
            return None
        return (end - run.date_created).total_seconds()


def _microseconds(time: dt.datetime | None) -> int | None:
    return None if time is None else (time - _EPOCH) // _MICROSECOND


_ATTRIBUTES: dict[str, Callable[[Run], object]] = {
    "name": lambda run: run.name,
    "status": lambda run: str(run.status),
    "user": lambda run: None if run.user is None else run.user.username,
    "group": lambda run: run.group,
    "job_type": lambda run: run.job_type,
    "description": lambda run: run.description,
    "notes": lambda run: run.notes,
    "uuid": lambda run: run.uuid,
    "parent": lambda run: run.parent_uuid,
    "created": lambda run: _microseconds(run.date_created),
    "updated": lambda run: _microseconds(run.date_updated),
    "ended": lambda run: _microseconds(run.date_ended),
}
