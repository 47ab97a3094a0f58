"""Options that choose runs."""

from __future__ import annotations

import argparse
import datetime as dt
import re
from typing import Any, NamedTuple

import afnio_tellurio as te
from afnio_tellurio.cli.dates import date_from, date_until
from afnio_tellurio.filters.values import STATUSES, near_status

#: A text that starts with this isn't the name of a metric.
_TERM = re.compile(r"(config|metric|tags)$|config\s*\.|metric\s*\(")


class SortOption(NamedTuple):
    """What `--sort` and `--reverse` say.

    Attributes:
        text: The order, as `te.runs` takes it.
        metric: The name that is not in the language of filters, if there is one: that of a metric.
    """

    text: str | None
    metric: str | None = None


def add_filters(runs: argparse.ArgumentParser) -> None:
    """Adds the options that choose runs."""
    runs.add_argument("--status", type=_status, choices=STATUSES, help="only runs with this status")
    runs.add_argument(
        "--since",
        metavar="DATE",
        type=date_from,
        help="created on or after DATE (local time by default): '3 Nov 2026 10:00', 2026-11-03, "
        "yesterday, 7d, '2 weeks ago'",
    )
    runs.add_argument("--until", metavar="DATE", type=date_until, help="created on or before DATE")
    runs.add_argument(
        "--where",
        metavar="FILTER",
        help="only runs that match, such as 'status = CRASHED and created > -7d', "
        "'config.lr < 1e-3', '\"baseline\" in tags', or 'metric(\"val/acc\").max > 0.8'",
    )
    runs.add_argument("--tag", metavar="TAG", help="only runs with this tag")
    runs.add_argument("--group", metavar="GROUP", help="only runs of this group")
    runs.add_argument("--job-type", metavar="TYPE", help="only runs with this job type")
    runs.add_argument(
        "--parent", metavar="RUN-UUID", help="only the children of the run with this UUID"
    )


def _status(text: str) -> str:
    if text.upper() in STATUSES:
        return text.upper()
    # Here, where the text is as it was typed.
    statuses = [status.lower() for status in STATUSES]
    near = near_status(text)
    raise argparse.ArgumentTypeError(
        f"invalid choice: {text!r} (choose from {', '.join(statuses)})"
        + (f"; did you mean {near.lower()!r}?" if near else "")
    )


def filters_of(options: argparse.Namespace) -> dict[str, Any]:
    """Returns the filters as arguments of `te.runs`.

    Raises:
        InvalidFilterError: `--where` is invalid.
    """
    check_where(options.where)
    return {
        "status": te.RunStatus(options.status) if options.status else None,
        "created_after": options.since,
        "created_before": options.until,
        "tag": options.tag,
        "group": options.group,
        "job_type": options.job_type,
        "parent": options.parent,
        "where": options.where,
    }


def has_filters(options: argparse.Namespace) -> bool:
    """Returns whether options choose runs."""
    return any(value is not None for value in filters_of(options).values())


def check_where(text: str | None) -> None:
    """Raises a `InvalidFilterError` if a filter is invalid."""
    if text is None:
        return
    from afnio_tellurio.cli.failures import InvalidFilterError
    from afnio_tellurio.filters.lexing import FilterError
    from afnio_tellurio.filters.parsing import parse_filter

    try:
        parse_filter(text, dt.datetime.now(dt.UTC))
    except FilterError as error:
        raise InvalidFilterError("filter", text, error.problem, error.position) from None


def sort_of(options: argparse.Namespace) -> SortOption:
    """Returns the order that options ask for.

    Raises:
        InvalidFilterError: `--sort` is invalid.
    """
    if options.sort is None:
        return SortOption("created" if options.reverse else None)
    from afnio_tellurio.cli.failures import InvalidFilterError
    from afnio_tellurio.filters.lexing import FilterError
    from afnio_tellurio.filters.parsing import parse_term

    stripped: str = options.sort.strip()
    term = stripped.removeprefix("-")
    is_descending = (term != stripped) != options.reverse
    metric = None
    try:
        parse_term(term)
    except FilterError as error:
        if not term or _TERM.match(term):
            position = error.position + options.sort.rindex(term)
            raise InvalidFilterError("sort", options.sort, error.problem, position) from None
        metric = term
        quoted = term.replace("\\", "\\\\").replace('"', '\\"')
        term = f'metric("{quoted}")'
    return SortOption(f"-{term}" if is_descending else term, metric)
