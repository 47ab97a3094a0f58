"""Reading back what was logged to a run."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, overload

import attrs

from afnio_tellurio.api import operations
from afnio_tellurio.api.answers import is_finite_number
from afnio_tellurio.api.calling import RunPath
from afnio_tellurio.api.details import ConfigChange, read_config_change
from afnio_tellurio.api.entities import RunRecord
from afnio_tellurio.api.metric_lists import ListedMetrics, list_metrics
from afnio_tellurio.api.metrics import (
    MetricHistory,
    MetricPoint,
    MetricSummary,
    last_of_ranges,
    read_histories,
    read_history,
    read_points,
    read_summary,
    summarize,
)
from afnio_tellurio.api.tables import read_rows, read_table_summary, rows_of_history
from afnio_tellurio.client import TellurioClient, connection_of
from afnio_tellurio.default_client import default_client
from afnio_tellurio.delivery.senders import settle
from afnio_tellurio.tracking.awaiting import run_in_thread
from afnio_tellurio.validation import checked_buckets, checked_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.api.tables import TableRows, TableSummary


@attrs.define(eq=False, slots=False)
class RunReader(RunRecord):
    """A run whose metrics can be read back."""

    _client: TellurioClient | None = attrs.field(init=False, repr=False, default=None)
    # As the caller passed it: an answer need not repeat it.
    _project_slug: str | None = attrs.field(init=False, repr=False, default=None)

    @overload
    def metrics(self, name: str, client: TellurioClient | None = None) -> MetricHistory: ...

    @overload
    def metrics(
        self, name: None = None, client: TellurioClient | None = None
    ) -> dict[str, MetricHistory]: ...

    def metrics(
        self, name: str | None = None, client: TellurioClient | None = None
    ) -> MetricHistory | dict[str, MetricHistory]:
        """Reads back the logged values.

        Args:
            name: The metric's name; default all metrics.
            client: The client to use; default the one that the run was started with.

        Returns:
            The history of that metric, empty if nothing was logged under that name; or, without a
            name, the history of each metric by its name.

        Raises:
            TypeError: The name is not a string.
            ValueError: The name is empty or too long.
            TellurioError: The request failed.
        """
        if name is not None:
            name = checked_name("metrics", "metric name", name)
        connection = self._settled("listMetrics", client)
        pages = list_metrics(connection, self._path(), name=name)
        metrics = chain.from_iterable(pages)
        return read_histories(metrics) if name is None else read_history(name, metrics)

    @overload
    async def ametrics(self, name: str, client: TellurioClient | None = None) -> MetricHistory: ...

    @overload
    async def ametrics(
        self, name: None = None, client: TellurioClient | None = None
    ) -> dict[str, MetricHistory]: ...

    async def ametrics(
        self, name: str | None = None, client: TellurioClient | None = None
    ) -> MetricHistory | dict[str, MetricHistory]:
        """Does what `metrics` does, without blocking the event loop."""
        return await run_in_thread(lambda: self.metrics(name, client))

    def iter_metrics(
        self, name: str | None = None, client: TellurioClient | None = None
    ) -> Iterator[MetricPoint]:
        """Reads back the logged values one by one, for runs that are too large for the memory.

        The first page is requested at once, each further one when it is needed.

        Args:
            name: The metric's name; default all metrics.
            client: The client to use; default the one that the run was started with.

        Returns:
            An iterator over the values, in the order in which the backend recorded them.

        Raises:
            TypeError: The name is not a string.
            ValueError: The name is empty or too long.
            TellurioError: The request failed; the iterator raises it for further pages.
        """
        pages = self._pages_of_metrics(name, client)
        # Here, so that the call itself raises.
        return read_points([next(pages)], pages)

    def _pages_of_metrics(
        self, name: str | None, client: TellurioClient | None = None
    ) -> Iterator[list[ListedMetrics]]:
        if name is not None:
            name = checked_name("iter_metrics", "metric name", name)
        connection = self._settled("listMetrics", client)
        return list_metrics(connection, self._path(), name=name)

    def summary(self, client: TellurioClient | None = None) -> dict[str, MetricSummary]:
        """Reads back a summary of each metric.

        Args:
            client: The client to use; default the one that the run was started with.

        Returns:
            The summary of each metric, by its name.

        Raises:
            TellurioError: The request failed.
        """
        connection = self._settled("summarizeMetrics", client)
        summaries = operations.summarize_metrics(connection, self._path())
        if summaries is None:
            histories = self.metrics(client=client)
            return {name: summarize(history) for name, history in histories.items()}
        return {name: read_summary(summaries[name]) for name in sorted(summaries)}

    def curve(
        self, name: str, buckets: int = 1000, client: TellurioClient | None = None
    ) -> tuple[list[int], list[float]]:
        """Reads back one numeric metric as a line to draw, however many values it has.

        Args:
            name: The metric's name.
            buckets: The maximum number of points, 1 to 10,000. Each is the last value in a range of
                steps; the width of the ranges is a power of two.
            client: The client to use; default the one that the run was started with.

        Returns:
            Steps and values, in step order, without values that are not finite numbers.

        Raises:
            ValueError: `buckets` is less than 1 or more than 10,000.
            TellurioError: The request failed.
        """
        checked_buckets("curve", buckets)
        connection = self._settled("sampleMetric", client)
        sampled = operations.sample_metric(connection, self._path(), name=name, buckets=buckets)
        if sampled is None:
            points = last_of_ranges(self.metrics(name, client), buckets)
        else:
            points = [(bucket.last_step, bucket.last) for bucket in sampled]
        drawable = [(step, value) for step, value in points if is_finite_number(value)]
        return [step for step, _ in drawable], [float(value) for _, value in drawable]

    def tables(self, client: TellurioClient | None = None) -> dict[str, TableSummary]:
        """Reads back which tables the run has.

        Args:
            client: The client to use; default the one that the run was started with.

        Returns:
            The summary of each table, by its name; empty for a backend without tables.

        Raises:
            TellurioError: The request failed.
        """
        connection = self._settled("listTables", client)
        tables = operations.list_tables(connection, self._path())
        return dict(map(read_table_summary, tables or ()))

    def rows(
        self, name: str, client: TellurioClient | None = None, *, replaced: bool = False
    ) -> TableRows:
        """Reads back the rows of a table.

        Args:
            name: The table's name.
            client: The client to use; default the one that the run was started with.
            replaced: Whether to also return the rows that later ones replace.

        Returns:
            The rows, in the order in which they were logged; a row that replaces another one is in
            the place of the first. Empty if the run does not have the table. A backend without
            tables has the rows as metrics, and does not know the key: then all are returned.

        Raises:
            TypeError: The name is not a string.
            ValueError: The name is empty or too long.
            TellurioError: The request failed.
        """
        name = checked_name("rows", "table name", name)
        connection, path = self._settled("listRows", client), self._path()
        tables = operations.list_tables(connection, path)
        if tables is None:
            return rows_of_history(self.metrics(name, client))
        table = dict(map(read_table_summary, tables)).get(name)
        key = None if table is None else table.key
        pages = operations.list_rows(connection, path, name=name)
        return read_rows(name, key, chain.from_iterable(pages), replaced=replaced)

    def config_changes(self, client: TellurioClient | None = None) -> list[ConfigChange]:
        """Reads back how the config was changed since the run was created, oldest first.

        Args:
            client: The client to use; default the one that the run was started with.

        Returns:
            The changes; empty for a backend that does not keep them.

        Raises:
            TellurioError: The request failed.
        """
        connection = self._settled("listConfigChanges", client)
        changes = operations.list_config_changes(connection, self._path())
        return [read_config_change(change) for change in changes or ()]

    def _client_for(self, client: TellurioClient | None) -> TellurioClient:
        return client or self._client or default_client()

    def _connection_for(self, client: TellurioClient | None) -> Connection:
        return connection_of(self._client_for(client))

    def _settled(self, operation: str, client: TellurioClient | None) -> Connection:
        """The connection to read from, once it has what was logged to the run."""
        connection = self._connection_for(client)
        settle(connection, operation, self.uuid)
        return connection

    def _path(self) -> RunPath:
        project_slug = self._project_slug or (self.project.slug if self.project else None)
        if self.organization is None or project_slug is None:
            raise ValueError(
                f"run {self.name!r} has no organization or no project, so it cannot be addressed; "
                "use a run from init, runs or get_run"
            )
        return RunPath(self.organization.slug, project_slug, self.uuid)


def source_of(run: RunReader, client: TellurioClient | None) -> tuple[Connection, RunPath]:
    """The connection to read a run from, and the run's path."""
    return run._connection_for(client), run._path()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def client_of(run: RunReader) -> TellurioClient:
    """The client that a run was started or found with."""
    return run._client_for(None)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
