"""Dates as people write them."""

from __future__ import annotations

import argparse
import datetime as dt
import re
import warnings

_AGO = re.compile(r"(\d{1,6}) *(minute|hour|day|week|month|year)s? ago", re.IGNORECASE)
_WEEKDAY = re.compile(r"(mon|tue|wed|thu|fri|sat|sun)", re.IGNORECASE)
#: Read as in a POSIX time zone, which is the other way round from what people mean.
_SIGNED_ZONE = re.compile(r"(gmt|utc) *[+-]", re.IGNORECASE)
#: A number shorter than 20261103 may be anything.
_SHORTEST_DATE = 8
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
        found = _parsed(word.strip(), rest)
        return found.astimezone(dt.UTC)
    except (ValueError, OverflowError, OSError, RuntimeWarning):
        raise argparse.ArgumentTypeError(
            f"{word!r} is no date; write it as 2026-11-03, '3 Nov 2026 10:00', yesterday or "
            "'2 weeks ago', and a zone as +05:30 or UTC"
        ) from None


def _parsed(word: str, rest: dt.time) -> dt.datetime:
    # Not at the top: it takes 20 ms, and most commands are given no date.
    from dateutil.parser import UnknownTimezoneWarning, parse
    from dateutil.relativedelta import relativedelta

    now = dt.datetime.now().astimezone()
    # Without the zone, for that of another day may be another.
    today = dt.datetime.combine(now.date(), rest)
    if word.lower() in {"today", "yesterday"}:
        return today - dt.timedelta(days=word.lower() == "yesterday")
    age = _AGO.fullmatch(word)
    if age:
        return now - relativedelta(**{f"{age[2].lower()}s": int(age[1])})  # type: ignore[arg-type]
    if word.isdecimal() and len(word) < _SHORTEST_DATE:
        raise ValueError("it is a year, a month or a day")
    if _SIGNED_ZONE.search(word):
        raise ValueError("it has a zone that can be taken in two ways")
    with warnings.catch_warnings():
        # A zone that is not known would be taken for the one of this machine.
        warnings.simplefilter("error", UnknownTimezoneWarning)
        first, second = (parse(word, default=probe) for probe in _PROBES)
        if first.month == second.month and first.day != second.day:
            raise ValueError("it has a month, and no day")
        found = parse(word, default=today)
    # Runs lie in the past, and so does the day that is meant.
    if found.astimezone() > dt.datetime.combine(now.date(), dt.time.max).astimezone():
        if first.month == second.month and first.year != second.year:
            return found - relativedelta(years=1)
        if first.month != second.month and _WEEKDAY.match(word):
            return found - relativedelta(weeks=1)
    return found
