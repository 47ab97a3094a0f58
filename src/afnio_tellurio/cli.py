"""The afnio-tellurio command."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import sys
import unicodedata
from importlib import import_module
from typing import TYPE_CHECKING, Any

import afnio_tellurio as te
from afnio_tellurio.notices import show_progress
from afnio_tellurio.settings import SERVE_HOST, SERVE_PORT, read_settings
from afnio_tellurio.validation import encoded_value

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

_CHART_HEIGHT = 9
_MAX_CHART_WIDTH = 80
_PROGRESS_WIDTH = 30
#: Of a value that is no number, this many characters are shown.
_VALUE_WIDTH = 60


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Returns:
        The exit status: 0, or 1 when it failed. A wrong usage exits with 2.
    """
    options = _parser().parse_args(arguments)
    try:
        status: int = options.command(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has enough. Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("afnio-tellurio: interrupted", file=sys.stderr)
        return 1
    except (te.TellurioError, LookupError, ValueError, OSError) as error:
        print(f"afnio-tellurio {options.name}: {_printable(str(error))}", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="afnio-tellurio", description="Looks at tracked runs, and serves them."
    )
    parser.add_argument("--version", action="version", version=f"afnio-tellurio {te.__version__}")
    commands = parser.add_subparsers(dest="name", metavar="COMMAND", required=True)

    runs = commands.add_parser(
        "runs", help="list the runs of a project", epilog="example: afnio-tellurio runs acme/digits"
    )
    runs.add_argument("project", metavar="NAMESPACE/PROJECT", type=_place_of(2))
    runs.add_argument("--json", action="store_true", help="print JSON")
    runs.set_defaults(command=_runs)

    show = commands.add_parser(
        "show",
        help="show a run and its metrics",
        epilog="example: afnio-tellurio show acme/digits/brave_pasta_123",
    )
    show.add_argument("run", metavar="NAMESPACE/PROJECT/RUN", type=_place_of(3))
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(command=_show)

    sync = commands.add_parser(
        "sync",
        help="deliver what was not, or upload runs of this machine",
        description="Delivers what processes that are dead had logged, and ends their runs. With a "
        "project, or one run of it, and --to, uploads finished runs of this machine to a backend.",
        epilog="example: afnio-tellurio sync acme/digits --to https://platform.tellurio.ai",
    )
    sync.add_argument("runs", metavar="NAMESPACE/PROJECT[/RUN]", nargs="?", type=_place_of(2, 3))
    sync.add_argument("--to", metavar="URL", help="the backend to upload to")
    sync.add_argument(
        "--dry-run", action="store_true", help="with --to: say what would be uploaded"
    )
    sync.set_defaults(command=_sync, usage=sync)

    serve = commands.add_parser(
        "serve",
        help="serve the runs of this machine over HTTP",
        epilog="example: afnio-tellurio serve --port 0 --namespace acme",
    )
    serve.add_argument("--host", default=SERVE_HOST, help="address to listen on (%(default)s)")
    serve.add_argument(
        "--port", type=_port, default=SERVE_PORT, help="port; 0 for any free one (%(default)s)"
    )
    serve.add_argument("--api-key", metavar="KEY", help="the key to ask for; default a new one")
    serve.add_argument("--user", metavar="NAME", help="whose key it is; default yours")
    serve.add_argument("--email", metavar="ADDR", help="the user's e-mail address")
    serve.add_argument(
        "--namespace",
        metavar="SLUG",
        action="append",
        default=[],
        help="a namespace to have besides the user's own; may be repeated",
    )
    serve.set_defaults(command=_serve)
    return parser


def _place_of(least: int, most: int | None = None) -> Any:
    def place(word: str) -> list[str]:
        # A run's name may hold slashes.
        found = word.split("/", (most or least) - 1)
        if len(found) < least or not all(found):
            wanted = ["NAMESPACE", "PROJECT", "RUN"][:least]
            raise argparse.ArgumentTypeError(f"{word!r} is not {'/'.join(wanted)}")
        return found

    return place


def _port(word: str) -> int:
    if not word.isdecimal() or int(word) >= 2**16:
        raise argparse.ArgumentTypeError(f"{word!r} is not a port; give a number from 0 to 65535")
    return int(word)


def _runs(options: argparse.Namespace) -> int:
    found = te.runs(*options.project)
    if options.json:
        print(json.dumps([_run_facts(run) for run in found], indent=2))
        return 0
    rows = [
        [run.name, run.status.value, _when(run.date_created), _duration(run), _username(run)]
        for run in found
    ]
    print(_table(["RUN", "STATUS", "CREATED", "DURATION", "USER"], rows))
    return 0


def _show(options: argparse.Namespace) -> int:
    run = te.get_run(*options.run)
    summary = run.summary()
    if options.json:
        metrics = {name: _metric_facts(metric) for name, metric in summary.items()}
        print(json.dumps({**_run_facts(run), "metrics": metrics}, indent=2))
        return 0
    facts = [
        ["run", run.name],
        ["uuid", run.uuid],
        ["status", run.status.value],
        ["created", _when(run.date_created)],
        ["duration", _duration(run)],
        ["user", _username(run)],
        ["description", run.description or ""],
    ]
    print(_table([], [fact for fact in facts if fact[1]]))
    rows = [
        [
            name,
            str(metric.count),
            _short(metric.last),
            _short(metric.minimum),
            _short(metric.maximum),
        ]
        for name, metric in summary.items()
    ]
    print()
    print(_table(["METRIC", "COUNT", "LAST", "MINIMUM", "MAXIMUM"], rows))
    for name, metric in summary.items():
        if metric.minimum is not None:
            chart = _chart(name, *run.curve(name, _MAX_CHART_WIDTH * 2))
            if chart:
                print(f"\n{chart}")
    return 0


def _sync(options: argparse.Namespace) -> int:
    if bool(options.runs) != bool(options.to):
        options.usage.error("to upload, give both NAMESPACE/PROJECT[/RUN] and --to URL")
    if options.to:
        return _upload(options)
    if options.dry_run:
        options.usage.error("--dry-run is for uploading; give NAMESPACE/PROJECT[/RUN] and --to URL")
    found = te.sync()
    for journal in found:
        if journal.problem is not None:
            print(f"{journal.path}: {_printable(journal.problem)}", file=sys.stderr)
            continue
        told = f"{_printable(str(journal.run_name))}: {journal.delivered} metrics delivered"
        told += f", {journal.rejected} refused" if journal.rejected else ""
        told += f", {journal.lost} lost to damage" if journal.lost else ""
        print(told + (f", ended as {journal.status}" if journal.status else ""))
    if not found:
        print("Nothing waits to be delivered.")
    return int(any(journal.problem is not None for journal in found))


def _upload(options: argparse.Namespace) -> int:
    from afnio_tellurio.delivery.upload import upload

    namespace_slug, project, *names = options.runs
    failed = False
    with te.TellurioClient.local() as source, te.TellurioClient(options.to) as target:
        if names:
            found = [te.get_run(namespace_slug, project, names[0], source)]
        else:
            found = te.runs(namespace_slug, project, source)[::-1]
        for run in upload(found, source, target, dry_run=options.dry_run, progress=_show_upload):
            show_progress("")
            told = f"{_printable(run.name)}: "
            if run.problem is not None:
                failed = True
                print(f"{told}not uploaded: {_printable(run.problem)}", file=sys.stderr)
                continue
            is_renamed = run.name_there is not None and run.name_there != run.name
            there = f" as {_printable(str(run.name_there))}" if is_renamed else ""
            verb = "would be uploaded" if options.dry_run else "uploaded"
            what = f"{run.metrics} metrics {verb}" if run.is_new else "is there already"
            print(f"{told}{what}{there}")
    return int(failed)


def _show_upload(run: te.Run, count: int, total: int) -> None:
    part = count / total if total else 1.0
    bar = "#" * round(part * _PROGRESS_WIDTH)
    show_progress(f"{_printable(run.name)} [{bar:<{_PROGRESS_WIDTH}}] {count}/{total} metrics")


def _serve(options: argparse.Namespace) -> int:
    from afnio_tellurio.local import BackendUser, open_backend
    from afnio_tellurio.local.server import Server

    user = BackendUser.of_this_machine()
    if options.user or options.email:
        name = options.user or user.username
        user = BackendUser(name, options.email or f"{name}@localhost")
    api_key = options.api_key or secrets.token_urlsafe(32)
    database = read_settings().database
    # What dead processes had logged to it is delivered when it is opened so.
    te.TellurioClient.local(database).close()
    backend = open_backend(
        database,
        user=user,
        api_key=api_key,
        namespaces=options.namespace,
        any_namespace=False,
    )
    try:
        server = Server(backend, options.host, options.port)
        try:
            print(f"Serving {database} at {server.url} (Ctrl-C ends it)", flush=True)
            if not options.api_key:
                print(f"API key, shown only now: {api_key}", flush=True)
            server.run()
        except KeyboardInterrupt:
            return 0
        finally:
            server.close()
    finally:
        backend.close()
    return 0


def _run_facts(run: te.Run) -> dict[str, Any]:
    return {
        "uuid": run.uuid,
        "name": run.name,
        "description": run.description,
        "status": run.status.value,
        "date_created": run.date_created and run.date_created.isoformat(),
        "date_updated": run.date_updated and run.date_updated.isoformat(),
        "user": run.user and run.user.username,
    }


def _metric_facts(metric: te.MetricSummary) -> dict[str, Any]:
    last = metric.last_timestamp
    return {
        "count": metric.count,
        "first_step": metric.first_step,
        "last_step": metric.last_step,
        "last": encoded_value(metric.last),
        "minimum": encoded_value(metric.minimum),
        "maximum": encoded_value(metric.maximum),
        "last_timestamp": last and last.isoformat(),
    }


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [[_printable(cell) for cell in line] for line in [header, *rows] if line]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def _chart(title: str, steps: list[int], values: list[float]) -> str:
    if len(steps) < 2:  # noqa: PLR2004 - a line has two ends
        return ""
    # Any: it has no types.
    plotext: Any = import_module("plotext")
    plotext.clear_figure()
    columns = shutil.get_terminal_size((_MAX_CHART_WIDTH, 24)).columns
    plotext.plot_size(min(columns, _MAX_CHART_WIDTH), _CHART_HEIGHT)
    plotext.theme("clear")
    plotext.title(_printable(title))
    plotext.plot(steps, values, marker="braille")
    first, last = steps[0], steps[-1]
    plotext.xticks(sorted({first + (last - first) * tick // 4 for tick in range(5)}))
    drawn: str = plotext.uncolorize(plotext.build())
    return drawn.rstrip("\n")


def _printable(text: str) -> str:
    """The text without what could steer a terminal: names are whatever somebody chose."""
    return "".join(
        "�" if unicodedata.category(mark) in {"Cc", "Cf", "Cs"} else mark for mark in text
    )


def _width(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return sum(
        0 if unicodedata.combining(mark) else 2 if unicodedata.east_asian_width(mark) in "WF" else 1
        for mark in text
    )


def _short(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = json.dumps(encoded_value(value), ensure_ascii=False)
    return text if len(text) <= _VALUE_WIDTH else f"{text[: _VALUE_WIDTH - 3]}..."


def _when(date: dt.datetime | None) -> str:
    return date.astimezone().strftime("%Y-%m-%d %H:%M:%S") if date else "-"


def _duration(run: te.Run) -> str:
    if run.date_created is None or run.date_updated is None or run.status == te.RunStatus.RUNNING:
        return "-"
    seconds = (run.date_updated - run.date_created).total_seconds()
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _username(run: te.Run) -> str:
    return run.user.username if run.user else "-"


if __name__ == "__main__":
    sys.exit(main())
