"""Dates as people write them."""

from __future__ import annotations

import argparse
import datetime as dt
import re

_AGO = re.compile(r"(\d{1,6}) *(minute|hour|day|week|month|year)s? ago")
# Two times that have nothing in common: what they leave open in a date was not written there.
_PROBES = (dt.datetime(2000, 1, 1), dt.datetime(2004, 3, 2))  # noqa: DTZ001 - they are no times


def date_from(word: str) -> dt.datetime:
    """The type of an argument that is a date: the start of what is written."""
    return _date(word, dt.time.min)


def date_until(word: str) -> dt.datetime:
    """The type of an argument that is a date: the end of what is written, a day or a minute."""
    return _date(word, dt.time.max)


def _date(word: str, rest: dt.time) -> dt.datetime:
    try:
        found = _parsed(word.strip().lower(), rest)
        return found.astimezone(dt.UTC)
    except (ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(
            f"{word!r} is no date; write it as 2026-11-03, '3 Nov 2026 10:00', yesterday or "
            "'2 weeks ago'"
        ) from None


def _parsed(word: str, rest: dt.time) -> dt.datetime:
    # Not at the top: it takes 20 ms, and most commands are given no date.
    from dateutil.parser import parse
    from dateutil.relativedelta import relativedelta

    now = dt.datetime.now().astimezone()
    # Without the zone, for that of another day may be another.
    today = dt.datetime.combine(now.date(), rest)
    if word in {"today", "yesterday"}:
        return today - dt.timedelta(days=word == "yesterday")
    age = _AGO.fullmatch(word)
    if age:
        return now - relativedelta(**{f"{age[2]}s": int(age[1])})  # type: ignore[arg-type]
    first, second = (parse(word, default=probe) for probe in _PROBES)
    if first.month == second.month and first.day != second.day:
        raise ValueError("it has a month, and no day")
    return parse(word, default=today)
