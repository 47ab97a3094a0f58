"""Brings the points of a project in a cache up to date."""

from __future__ import annotations

from bisect import bisect_right
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from afnio_tellurio.api.calling import RunPath
from afnio_tellurio.api.metric_lists import ListedMetrics, joined, list_metrics
from afnio_tellurio.errors import NotFoundError
from afnio_tellurio.scanning.point_cache import CachedRun, CachedSeries
from afnio_tellurio.scanning.point_files import FILE_ROWS, PointWriter, number_rows, rewrite
from afnio_tellurio.scanning.reading_ahead import read_ahead

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.scanning.listing import ListedRun
    from afnio_tellurio.scanning.point_cache import Index, PointCache
    from afnio_tellurio.scanning.point_files import Arrow, PointFile, Removed

#: Files with fewer rows than a complete one that stay; more are merged, so that frames open fast.
_MAX_SMALL_FILES = 8
#: Runs whose first points are requested at one time.
LISTS_AT_ONCE = 8


class Request(NamedTuple):
    """A list of points to ask for.

    Attributes:
        name: The metric, or None for all.
        after_step: Only points with a greater step, or None for all.
        names: The metrics whose points are taken, or None for all.
    """

    name: str | None
    after_step: int | None
    names: set[str] | None


class _Series:
    """A metric of a run while its points are read: those that are cached are skipped."""

    def __init__(self, cached: CachedSeries | None) -> None:
        self.count = 0 if cached is None else cached.count
        self.last_step = -1 if cached is None else cached.last_step
        self.at_last = 0 if cached is None else cached.at_last
        #: Points at the last step, which came first and are cached.
        self._skipped = self.at_last
        self._cached_step = self.last_step

    def take(self, part: ListedMetrics) -> ListedMetrics:
        """Returns the new points of a part, which are counted."""
        if not part.is_exact:
            # A backend that lists objects may have them in any order.
            part = joined([part])
        if self._cached_step >= 0:
            part = self._after_cached(part)
        if len(part.steps):
            last = part.steps[-1]
            if last < self.last_step:
                # A second list of the metric, on another page of such a backend.
                self.count += len(part.steps)
                return part
            before = self.at_last if last == self.last_step else 0
            self.at_last = before + len(part.steps) - _index_of(part.steps, last - 1)
            self.last_step = last
            self.count += len(part.steps)
        return part

    def _after_cached(self, part: ListedMetrics) -> ListedMetrics:
        start = _index_of(part.steps, self._cached_step - 1)
        same = min(self._skipped, _index_of(part.steps, self._cached_step) - start)
        self._skipped -= same
        start += same
        return part._replace(
            steps=part.steps[start:], values=part.values[start:], times=part.times[start:]
        )

    def as_cached(self) -> CachedSeries:
        return CachedSeries(self.count, self.last_step, self.at_last)


def _index_of(steps: Sequence[int], step: int) -> int:
    """The number of steps up to one."""
    return bisect_right(steps, step)


def requests_for(
    cached: Mapping[str, CachedSeries], counts: Mapping[str, int], *, are_all: bool
) -> Iterator[Request]:
    """What to ask for, so that a run has the points that the backend has counted.

    Args:
        cached: What was read before.
        counts: The numbers of points by metric.
        are_all: Whether these are all metrics of the run.
    """
    grown = {
        name for name, count in counts.items() if name not in cached or cached[name].count < count
    }
    if grown and not cached and are_all:
        yield Request(None, None, None)
        return
    # The points of the last step too: there may be others at it.
    greatest = max((series.last_step for series in cached.values()), default=0) - 1
    last = {name for name in grown & cached.keys() if cached[name].last_step - 1 == greatest}
    if are_all and len(last) > 1:
        # Metrics of a loop have the same steps: one list has the new points of all of them.
        yield Request(None, _or_start(greatest), last)
        grown -= last
    for name in sorted(grown):
        after = cached[name].last_step - 1 if name in cached else -1
        yield Request(name, _or_start(after), {name})


def _or_start(step: int) -> int | None:
    return None if step < 0 else step


class Updating:
    """Brings the points of runs in a cache up to date; the caller has locked it.

    Each step leaves an index with what is in the files, so that a process that is killed loses
    the file that it was writing.

    Args:
        arrow: The modules of pyarrow.
        cache: The cache.
        connection: The backend.
        project: The slugs of the namespace and the project.
    """

    def __init__(
        self, arrow: Arrow, cache: PointCache, connection: Connection, project: tuple[str, str]
    ) -> None:
        self._arrow = arrow
        self._cache = cache
        self._connection = connection
        self._project = project
        # An embedded backend has no network.
        self._at_once = 1 if connection.is_local else LISTS_AT_ONCE
        self._index, self._damaged = cache.load()

    def run(
        self, listed: Mapping[str, ListedRun], *, are_all_runs: bool, names: Sequence[str] | None
    ) -> Index:
        """Reads what is missing, removes what is gone, and returns the index.

        Args:
            listed: The runs, by UUID.
            are_all_runs: Whether these are all runs of the project.
            names: The metrics; None for all.

        Raises:
            OSError: The disk does not take the files.
            TellurioError: A request failed.
        """
        written = {uuid for file in self._index.files for uuid in file.runs}
        # The others were deleted while a process read them that was killed then.
        removed: Removed = dict.fromkeys(self._damaged | (written - self._index.runs.keys()))
        renamed: dict[str, str] = {}
        for uuid, cached in self._index.runs.items():
            run = listed.get(uuid)
            if run is None:
                if are_all_runs:
                    removed[uuid] = None
            elif _is_outdated(cached, run, names):
                removed[uuid] = None
            elif cached.name != run.name and uuid not in removed:
                renamed[uuid] = run.name
        self._rewrite(removed, renamed)
        late = self._read(listed.values(), names)
        if late:
            self._rewrite(late, {})
            again = [listed[uuid] for uuid, of_run in late.items() if of_run is not None]
            self._read(again, names)
        if not self._cache.is_read_only:
            self._merge()
            self._cache.remove_unused(self._index)
        return self._index

    def _rewrite(self, removed: Removed, renamed: Mapping[str, str]) -> None:
        """Removes and renames what is in the files and in the index."""
        if not removed and not renamed:
            return
        affected = removed.keys() | renamed.keys()
        files = [file for file in self._index.files if not affected.isdisjoint(file.runs)]
        written = rewrite(self._arrow, self._cache.folder, files, removed, renamed)
        for uuid, of_run in removed.items():
            if of_run is None:
                self._index.runs.pop(uuid, None)
            elif uuid in self._index.runs:
                for name in of_run:
                    self._index.runs[uuid].series.pop(name, None)
        for uuid, name in renamed.items():
            self._index.runs[uuid].name = name
        self._replace(files, written)

    def _merge(self) -> None:
        small = [file for file in self._index.files if file.rows < FILE_ROWS]
        if len(small) > _MAX_SMALL_FILES:
            self._replace(small, rewrite(self._arrow, self._cache.folder, small, {}, {}))

    def _replace(self, files: Sequence[PointFile], written: Sequence[PointFile]) -> None:
        gone = {file.name for file in files}
        kept = [file for file in self._index.files if file.name not in gone]
        self._index.files = [*kept, *written]
        self._cache.release(files)
        self._cache.save(self._index)

    def _read(self, runs: Iterable[ListedRun], names: Sequence[str] | None) -> Removed:
        """Reads the missing points of runs; returns what has to be removed and read again."""
        late: Removed = {}
        writer = PointWriter(self._arrow, self._cache.folder)
        read: dict[str, CachedRun] = {}
        try:
            for run, pages in read_ahead(self._lists_of(runs, names), self._at_once):
                try:
                    cached = self._read_run(run, pages, writer)
                except NotFoundError:
                    # It was deleted meanwhile.
                    self._index.runs.pop(run.uuid, None)
                    late[run.uuid] = None
                    continue
                read[run.uuid] = cached
                missed = self._missed(run, cached)
                if missed:
                    late[run.uuid] = missed
                if writer.rows >= FILE_ROWS:
                    self._keep(writer, read)
                    writer, read = PointWriter(self._arrow, self._cache.folder), {}
            self._keep(writer, read)
        except BaseException:  # raised again: an interrupted call must leave no file behind
            writer.discard()
            raise
        return late

    def _missed(self, run: ListedRun, cached: CachedRun) -> set[str]:
        """The metrics with points that came late, before the last step that was cached."""
        before = self._index.runs.get(run.uuid)
        if before is None or run.counts is None:
            return set()
        return {
            name
            for name, series in cached.series.items()
            if name in before.series and series.count < run.counts.get(name, 0)
        }

    def _keep(self, writer: PointWriter, read: Mapping[str, CachedRun]) -> None:
        if not read:
            writer.discard()
            return
        file = writer.close()
        self._index.runs.update(read)
        self._replace([], [] if file is None else [file])

    def _read_run(
        self, run: ListedRun, pages: Iterable[list[ListedMetrics]], writer: PointWriter
    ) -> CachedRun:
        """Reads the missing points of a run."""
        cached = self._cached_series(run)
        series: dict[str, _Series] = {}
        for part in chain.from_iterable(pages):
            if part.name not in series:
                series[part.name] = _Series(cached.get(part.name))
            new = series[part.name].take(part)
            writer.add(number_rows(self._arrow, (run.name, run.uuid), new))
        all_series = {**cached, **{name: each.as_cached() for name, each in series.items()}}
        return CachedRun(run.name, run.created, run.state, all_series)

    def _cached_series(self, run: ListedRun) -> Mapping[str, CachedSeries]:
        before = self._index.runs.get(run.uuid)
        return {} if before is None else before.series

    def _requests(self, run: ListedRun, names: Sequence[str] | None) -> list[Request]:
        """What to ask for of a run."""
        if run.counts is None:
            return [] if run.uuid in self._index.runs else [Request(None, None, None)]
        return list(requests_for(self._cached_series(run), run.counts, are_all=names is None))

    def _lists_of(
        self, runs: Iterable[ListedRun], names: Sequence[str] | None
    ) -> Iterator[tuple[ListedRun, Iterator[list[ListedMetrics]]]]:
        """Yields the runs that have missing points, with the pages of those."""
        for run in runs:
            requests = self._requests(run, names)
            if requests:
                yield run, self._pages(run, requests)

    def _pages(self, run: ListedRun, requests: Iterable[Request]) -> Iterator[list[ListedMetrics]]:
        """Yields the pages of the lists of a run."""
        path = RunPath(*self._project, run.uuid)
        for request in requests:
            for page in list_metrics(
                self._connection, path, name=request.name, after_step=request.after_step
            ):
                yield [part for part in page if request.names is None or part.name in request.names]


def _is_outdated(cached: CachedRun, run: ListedRun, names: Sequence[str] | None) -> bool:
    """Returns whether a run must be read again as a whole."""
    if cached.created != run.created:
        return True
    if run.counts is None:
        return not run.state or cached.state != run.state
    known = cached.series.keys() if names is None else cached.series.keys() & set(names)
    # A backend that was restored from a backup has fewer.
    return any(cached.series[name].count > run.counts.get(name, 0) for name in known)
