"""Parses dates as people write them."""

from __future__ import annotations

import argparse
import datetime as dt
import re
import warnings
from calendar import isleap

_AGO = re.compile(r"(\d{1,6}) *(minute|hour|day|week|month|year)s? ago", re.IGNORECASE)
#: As the spans of filters.
_SPAN = re.compile(r"-?(\d{1,6}) *([mhdw])")
_LAST = re.compile(r"last (hour|day|week|month|year)", re.IGNORECASE)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_WEEKDAY = re.compile(r"(mon|tue|wed|thu|fri|sat|sun)", re.IGNORECASE)
#: dateutil reads these as POSIX time zones, whose sign is the opposite of what people mean.
_SIGNED_ZONE = re.compile(r"(gmt|utc) *[+-]", re.IGNORECASE)
#: A number shorter than 20261103 is ambiguous.
_SHORTEST_DATE = 8
_LEAP_DAY = (2, 29)
# Two default dates that share no part: a part that differs between the results was not written.
_PROBES = (dt.datetime(2000, 1, 1), dt.datetime(2004, 3, 2))  # noqa: DTZ001 - only defaults


def date_from(text: str) -> dt.datetime:
    """The argument type for a date; returns the start of the day or minute."""
    return _date(text, dt.time.min)


def date_until(text: str) -> dt.datetime:
    """The argument type for a date; returns the end of the day or minute."""
    return _date(text, dt.time.max)


def _date(text: str, default_time: dt.time) -> dt.datetime:
    try:
        return _parse(text.strip(), default_time).astimezone(dt.UTC)
    except (ValueError, OverflowError, OSError, RuntimeWarning):
        raise argparse.ArgumentTypeError(
            f"{text!r} isn't a valid date; use 2026-11-03, '3 Nov 2026 10:00', yesterday, 7d or "
            "'2 weeks ago', with a zone such as +05:30 or UTC"
        ) from None


def _parse(text: str, default_time: dt.time) -> dt.datetime:
    # Imported here: it takes 20 ms, and most commands have no date argument.
    from dateutil.parser import UnknownTimezoneWarning, parse
    from dateutil.relativedelta import relativedelta

    now = dt.datetime.now().astimezone()
    # Without the zone: the zone's offset may differ on other days.
    today = dt.datetime.combine(now.date(), default_time)
    if text.lower() in {"today", "yesterday"}:
        return today - dt.timedelta(days=text.lower() == "yesterday")
    if ago := _parse_ago(text, now):
        return ago
    if text.isdecimal() and len(text) < _SHORTEST_DATE:
        raise ValueError("ambiguous: a year, a month or a day")
    if _SIGNED_ZONE.search(text):
        raise ValueError("ambiguous time zone")
    with warnings.catch_warnings():
        # dateutil would treat an unknown zone as local time.
        warnings.simplefilter("error", UnknownTimezoneWarning)
        first, second = (parse(text, default=probe) for probe in _PROBES)
        if first.month == second.month and first.day != second.day:
            raise ValueError("a month without a day")
        if _LEAP_DAY == (first.month, first.day) == (second.month, second.day):
            today = today.replace(year=_last_leap_year(now.date()), day=1)
        date = parse(text, default=today)
    # Runs were created in the past, so choose the latest past date that matches.
    if date.astimezone() > dt.datetime.combine(now.date(), dt.time.max).astimezone():
        if first.month == second.month and first.year != second.year:
            return date - relativedelta(years=1)
        if first.month != second.month and _WEEKDAY.match(text):
            return date - relativedelta(weeks=1)
    return date


def _last_leap_year(today: dt.date) -> int:
    """Returns the year of the last February 29."""
    return next(
        year
        for year in range(today.year, 0, -1)
        if isleap(year) and dt.date(year, *_LEAP_DAY) <= today
    )


def _parse_ago(text: str, now: dt.datetime) -> dt.datetime | None:
    """Returns the time that a span before now names, or None for other texts."""
    from dateutil.relativedelta import relativedelta

    if span := _SPAN.fullmatch(text):
        return now - dt.timedelta(**{_UNITS[span[2]]: int(span[1])})
    if age := _AGO.fullmatch(text):
        count, unit = int(age[1]), age[2]
    elif last := _LAST.fullmatch(text):
        count, unit = 1, last[1]
    else:
        return None
    return now - relativedelta(**{f"{unit.lower()}s": count})  # type: ignore[arg-type]
