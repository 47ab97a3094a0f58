"""Runs on a server of wandb, read with the public API of the package `wandb`."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from contextlib import contextmanager
from functools import partial
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from afnio_tellurio.api.entities import RunStatus
from afnio_tellurio.api.frames import imported
from afnio_tellurio.delivery.records import microseconds_of
from afnio_tellurio.importing.damaged_runs import read_run
from afnio_tellurio.importing.imported_runs import ImportedRun
from afnio_tellurio.importing.wandb_history import History, Row, restored
from afnio_tellurio.interruptions import raise_foreign

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Generator, Iterator, Mapping

    from afnio_tellurio.importing.imported_runs import FoundRun

SCHEME = "wandb://"
#: The states of runs that may still get values.
_UNFINISHED = {"running", "pending", "preempting"}
#: The fields of a declared metric in the config, as wandb numbers them.
_NAME, _PATTERN, _AXIS, _AXIS_INDEX = "1", "2", "4", "5"


class WandbSource(NamedTuple):
    """What to import: the runs of a project, or one of them.

    Attributes:
        entity: The user or team.
        project: The project.
        run: The ID of the run, or None.
    """

    entity: str
    project: str
    run: str | None

    def __str__(self) -> str:
        return SCHEME + "/".join(part for part in self if part is not None)


def parse_source(text: str) -> WandbSource:
    """Reads `wandb://ENTITY/PROJECT`, or with `/RUN` behind it.

    Raises:
        ValueError: It is neither.
    """
    parts = text.removeprefix(SCHEME).split("/")
    if len(parts) not in {2, 3} or not all(parts):
        raise ValueError(
            f"Expected {SCHEME}ENTITY/PROJECT or {SCHEME}ENTITY/PROJECT/RUN, got {text!r}"
        )
    entity, project, *run = parts
    return WandbSource(entity, project, run[0] if run else None)


def read_runs(source: WandbSource, skipped: Counter[str]) -> Iterator[FoundRun]:
    """Yields the runs that have ended, the oldest first.

    The history of a run is downloaded to a temporary file when the run is yielded, and the file is
    gone when the next one is.

    Args:
        source: Which runs.
        skipped: Counts runs that have not ended.

    Raises:
        ImportError: The package `wandb` is not installed.
        ValueError: wandb cannot read the runs.
    """
    wandb = imported(f"import {source}", "wandb")
    with _named_errors(wandb, source):
        api = wandb.Api()
        if source.run is None:
            runs = iter(api.runs(f"{source.entity}/{source.project}", order="+created_at"))
        else:
            runs = iter([api.run(f"{source.entity}/{source.project}/{source.run}")])
    while True:
        with _named_errors(wandb, source):
            run = next(runs, None)
        if run is None:
            return
        if run.state in _UNFINISHED:
            skipped["runs that have not ended"] += 1
            continue
        with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
            with _named_errors(wandb, source):
                for row in run.scan_history():
                    file.write(json.dumps(row) + "\n")
                rows = partial(_rows, file)
                name = str(run.name or run.id)
                read = read_run(name, run.id, partial(_read_run, source, run, rows))
            yield read


@contextmanager
def _named_errors(wandb: Any, source: WandbSource) -> Generator[None]:
    try:
        yield
    except (wandb.Error, ValueError) as error:
        raise_foreign(error, by_type=False)
        raise ValueError(f"{source}: wandb: {error}") from error


def _rows(file: IO[str]) -> Iterator[Row]:
    file.seek(0)
    for line in file:
        logged = json.loads(line)
        yield Row.of({name: restored(value) for name, value in logged.items()}, -1)


def _read_run(source: WandbSource, run: Any, rows: Callable[[], Iterator[Row]]) -> ImportedRun:
    read = ImportedRun(
        tool="wandb",
        # That of the offline files of the run.
        source_id=f"{source.entity}/{source.project}/{run.id}",
        name=run.name or run.id,
        started=_time(run.created_at),
        config=dict(run.config),
        tags=list(run.tags or ()),
        group=run.group or None,
        job_type=run.job_type or None,
        notes=run.notes or None,
        user=getattr(getattr(run, "user", None), "username", None),
        facts={"project": source.project, "sweep": run.sweep_name, "url": run.url},
    )
    history = History(rows, _axes_of(run.rawconfig))
    history.describe(read, run.summary_metrics)
    read.points = history.points
    read.skipped.update(medium.type for medium in history.media())
    read.ended = _time(run.heartbeat_at) or read.ended
    if run.state != "finished":
        read.status = RunStatus.CRASHED.value
        kind = "exit" if run.state == "failed" else "vanished"
        read.because = {"kind": kind, "message": f"Its state at wandb is {run.state!r}."}
    return read


def _axes_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Returns the declared x-axes, which wandb keeps in the config."""
    internal = config.get("_wandb")
    declared = internal.get("m") if isinstance(internal, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    metrics: list[dict[str, Any]] = [
        metric
        for metric in (declared if isinstance(declared, list) else ())  # pyright: ignore[reportUnknownVariableType]
        if isinstance(metric, dict)
    ]
    axes: dict[str, str] = {}
    for metric in metrics:
        name, index = metric.get(_NAME) or metric.get(_PATTERN), metric.get(_AXIS_INDEX)
        axis = metric.get(_AXIS)
        if isinstance(index, int) and 0 < index <= len(metrics):
            # It counts from 1.
            axis = metrics[index - 1].get(_NAME)
        if isinstance(name, str) and isinstance(axis, str):
            axes[name] = axis
    return axes


def _time(text: str | None) -> int | None:
    if not text:
        return None
    time = dt.datetime.fromisoformat(text)
    return microseconds_of(time if time.tzinfo else time.replace(tzinfo=dt.UTC))
