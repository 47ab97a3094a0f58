"""The command that watches runs until they end."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import time
from typing import TYPE_CHECKING, Any

import afnio_tellurio as te
from afnio_tellurio.cli.arguments import (
    QUOTING_HELP,
    Commands,
    metric_names,
    path_type,
    require_metrics,
)
from afnio_tellurio.cli.finding import find_run
from afnio_tellurio.cli.layout import is_terminal, table
from afnio_tellurio.cli.printing import complain, short
from afnio_tellurio.clock import monotonic
from afnio_tellurio.notices import duration, printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    Summary = Mapping[str, te.MetricSummary]

#: Seconds between two polls, as those of the page.
_INTERVAL = 2.0
#: A slow poll is repeated less often: the backend has runs to record.
_SHARE = 10
#: Runs of a project that are watched, the newest ones.
_MAX_RUNS = 100
_RUN_PARTS = 3
#: The statuses of a proxy whose backend is away.
_AWAY = {502, 503, 504}
#: The status of a shell command that Ctrl-C ended.
_INTERRUPTED = 130


def add_commands(commands: Commands) -> None:
    """Adds `watch`."""
    watch = commands.add_parser(
        "watch",
        help="show the last values of running runs until they end",
        description="Shows the status and the last values of a run until it ends, or of the "
        f"running runs of a project, up to {_MAX_RUNS}, until none is running. If the server goes "
        "away, it waits until the server is back.",
        epilog="example: afnio-tellurio watch acme/digits/first --metrics val/loss",
    )
    watch.add_argument("path", metavar="NAMESPACE/PROJECT[/RUN]", type=path_type(2, 3))
    watch.add_argument(
        "--metrics",
        metavar="A,B",
        type=metric_names,
        default=[],
        help=f"only these metrics; {QUOTING_HELP}",
    )
    watch.add_argument(
        "--json", action="store_true", help="print a line of JSON for each change of a run"
    )
    watch.set_defaults(command=_watch)


def _watch(options: argparse.Namespace) -> int:
    try:
        _follow(options)
    except KeyboardInterrupt:
        if is_terminal():
            # The cursor is after ^C.
            print()
        return _INTERRUPTED
    return 0


def _follow(options: argparse.Namespace) -> None:
    """Polls until the runs have ended."""
    watched = _Watched(options.path)
    view = _JsonLines() if options.json else _Screen() if _can_redraw() else _Lines()
    is_away = False
    runs: list[te.Run] | None = None
    while True:
        started = monotonic()
        try:
            runs = watched.poll()
            summaries = te.summaries(runs, *options.metrics)
        except te.TellurioError as error:
            # At the start, the address may be wrong.
            if runs is None or not _is_passing(error):
                raise
            if not is_away:
                from afnio_tellurio.cli.failures import explain

                complain(f"afnio-tellurio watch: {explain(error)}; waiting until it is back")
            if isinstance(view, _Screen):
                # The message is below the table, so the next one is drawn below both.
                view = _Screen()
            is_away = True
            time.sleep(_INTERVAL)
            continue
        is_away = False
        view.show(runs, summaries)
        if not watched.has_running:
            break
        time.sleep(max(_INTERVAL, _SHARE * (monotonic() - started)))
    if not runs and not options.json:
        print(f"No run of {'/'.join(options.path)} is running")
    _require_logged(runs, options.metrics, summaries)


def _require_logged(
    runs: Sequence[te.Run],
    names: Sequence[str],
    summaries: Mapping[str, Mapping[str, te.MetricSummary]],
) -> None:
    """Raises a `LookupError` for a metric that none of the runs logged to its end."""
    logged = {name for metrics in summaries.values() for name in metrics}
    if runs and not logged.issuperset(names):
        every_metric = te.summaries(runs)
        logged = {name for metrics in every_metric.values() for name in metrics}
        require_metrics(names, logged, "None of the runs has the metric")


def _is_passing(error: te.TellurioError) -> bool:
    """Whether the backend is away for now, or its proxy answers in its place."""
    return isinstance(error, te.BackendUnreachableError) or (
        isinstance(error, te.ApiError) and error.status_code in _AWAY
    )


class _Watched:
    """The runs to watch: one, or those of a project that run or have run since the first poll."""

    def __init__(self, path: Sequence[str]) -> None:
        self._project = path[:2]
        run = find_run(path) if len(path) == _RUN_PARTS else None
        self._only = run and run.uuid
        self._runs: dict[str, te.Run] = {}

    @property
    def has_running(self) -> bool:
        """Whether one of them is running."""
        return any(run.status == te.RunStatus.RUNNING for run in self._runs.values())

    def poll(self) -> list[te.Run]:
        """Returns the runs as they are now, the newest first."""
        namespace, project = self._project
        if self._only:
            self._runs = {self._only: te.get_run(namespace, project, self._only)}
            return list(self._runs.values())
        running = te.runs(namespace, project, status=te.RunStatus.RUNNING, limit=_MAX_RUNS)
        found = {run.uuid: run for run in running}
        for uuid, run in self._runs.items():
            if uuid not in found:
                has_ended = run.status != te.RunStatus.RUNNING
                latest = run if has_ended else self._ended(uuid)
                if latest:
                    found[uuid] = latest
        self._runs = found
        return list(found.values())

    def _ended(self, uuid: str) -> te.Run | None:
        namespace, project = self._project
        try:
            return te.get_run(namespace, project, uuid)
        except LookupError:
            # It was deleted meanwhile.
            return None


class _Changes:
    """What changed in runs since the last poll."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[te.RunStatus, dict[str, tuple[int, int]]]] = {}

    def find(
        self, runs: Sequence[te.Run], summaries: Mapping[str, Summary]
    ) -> list[tuple[te.Run, Summary]]:
        """Returns the runs that changed, each with the metrics that changed."""
        changes: list[tuple[te.Run, Summary]] = []
        for run in runs:
            summary = summaries[run.uuid]
            state = {name: (metric.count, metric.last_step) for name, metric in summary.items()}
            known = self._known.get(run.uuid)
            status, before = known or (None, state)
            changed = {
                name: metric
                for name, metric in summary.items()
                if known is None or before.get(name) != state[name]
            }
            if changed or status != run.status:
                changes.append((run, changed))
            self._known[run.uuid] = run.status, state
        return changes


class _JsonLines:
    """Prints a line of JSON for each change."""

    def __init__(self) -> None:
        self._changes = _Changes()

    def show(self, runs: Sequence[te.Run], summaries: Mapping[str, Summary]) -> None:
        for run, metrics in self._changes.find(runs, summaries):
            print(json.dumps(_facts(run, metrics)), flush=True)


def _facts(run: te.Run, metrics: Summary) -> dict[str, Any]:
    from afnio_tellurio.validation import json_value

    return {
        "date": _now().isoformat(),
        "uuid": run.uuid,
        "name": run.name,
        "status": run.status.value,
        "metrics": {
            name: {
                "count": metric.count,
                "last_step": metric.last_step,
                "last": json_value(metric.last),
            }
            for name, metric in metrics.items()
        },
    }


class _Lines:
    """Prints a line of text for each change."""

    def __init__(self) -> None:
        self._changes = _Changes()

    def show(self, runs: Sequence[te.Run], summaries: Mapping[str, Summary]) -> None:
        for run, metrics in self._changes.find(runs, summaries):
            values = [
                f"{name}={short(metric.last)} (step {metric.last_step})"
                for name, metric in metrics.items()
            ]
            time_of_day = f"{_now().astimezone():%H:%M:%S}"
            line = "  ".join([time_of_day, run.name, run.status.value, *values])
            print(printable(line), flush=True)


class _Screen:
    """Draws a table, and draws it again in the same place."""

    def __init__(self) -> None:
        self._drawn = 0

    def show(self, runs: Sequence[te.Run], summaries: Mapping[str, Summary]) -> None:
        names = list(dict.fromkeys(name for run in runs for name in summaries[run.uuid]))
        rows = [
            [
                run.name,
                run.status.value,
                _age(run),
                *(
                    short(metric.last) if metric else "-"
                    for metric in map(summaries[run.uuid].get, names)
                ),
            ]
            for run in runs
        ]
        # What scrolls out of the screen cannot be drawn again.
        most = max(shutil.get_terminal_size().lines - 3, 1)
        if len(runs) == 1:
            text = self._describe(runs[0], summaries[runs[0].uuid], most)
        elif rows:
            shown = rows[:most]
            text = table(["RUN", "STATUS", "DURATION", *names], shown, numbers={"DURATION", *names})
            if len(rows) > most:
                text += f"\n({len(rows) - most} more runs)"
        else:
            text = ""
        self._draw(text)

    def _describe(self, run: te.Run, summary: Summary, most: int) -> str:
        """The status of one run, and its metrics below one another."""
        parts = [table(["RUN", "STATUS", "DURATION"], [[run.name, run.status.value, _age(run)]])]
        rows = [
            [name, str(metric.count), str(metric.last_step), short(metric.last)]
            for name, metric in summary.items()
        ]
        # The lines of the other table, an empty one, and what is left out.
        most = max(most - 4, 1)
        if rows:
            header = ["METRIC", "COUNT", "STEP", "LAST"]
            parts.append(f"\n{table(header, rows[:most], numbers=header[1:])}")
        if len(rows) > most:
            parts.append(f"({len(rows) - most} more metrics; choose some with --metrics A,B)")
        return "\n".join(parts)

    def _draw(self, text: str) -> None:
        before = f"\x1b[{self._drawn}A\r\x1b[J" if self._drawn else ""
        self._drawn = text.count("\n") + 1 if text else 0
        print(f"{before}{text}", end="\n" if text else "", flush=True)


def _can_redraw() -> bool:
    return is_terminal() and os.environ.get("TERM") != "dumb"


def _age(run: te.Run) -> str:
    """How long a run took, or has been running."""
    if run.date_created is None:
        return "-"
    is_running = run.status == te.RunStatus.RUNNING
    end = _now() if is_running else run.date_ended or run.date_updated or _now()
    return duration((end - run.date_created).total_seconds())


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
