"""Reads the values that filters compare with."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING

from afnio_tellurio.filters.lexing import FilterError
from afnio_tellurio.filters.names import near_names, similar_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from afnio_tellurio.filters.conditions import Kind, Term, Value
    from afnio_tellurio.filters.lexing import Token

#: The statuses of runs. Importing `RunStatus` is slow, and every command would wait for it.
STATUSES = ("RUNNING", "COMPLETED", "CRASHED", "FAILED")
#: What other trackers and people call them.
_OTHER_NAMES = {
    **dict.fromkeys(("ACTIVE", "LIVE", "ONGOING", "STARTED"), "RUNNING"),
    **dict.fromkeys(
        ("DONE", "ENDED", "FINISHED", "OK", "PASSED", "SUCCEEDED", "SUCCESS", "SUCCESSFUL"),
        "COMPLETED",
    ),
    **dict.fromkeys(
        ("ABORTED", "DEAD", "DIED", "ERROR", "ERRORED", "INTERRUPTED", "KILLED"), "CRASHED"
    ),
}
#: The words of the grammar, which cannot be texts without quotes.
KEYWORDS = frozenset({"and", "or", "not", "in"})
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
#: For signs in the place of a value.
_HINTS = {".": "; write a number as 0.5", ">": '; write "is not equal" as !='}
_WORDS = {"true": True, "false": False, "null": None, "none": None}
_NUMBERS = {"nan": math.nan, "infinity": math.inf, "-infinity": -math.inf}
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def read_value(term: Term, token: Token, now: dt.datetime) -> Value:
    """Reads a value that a term is compared with; times are in microseconds since 1970.

    Args:
        term: The term.
        token: The value.
        now: The time that spans are relative to.

    Raises:
        FilterError: The term does not have such values.
    """
    return _READERS[term.kind](term, token, now)


def near_status(text: str) -> str | None:
    """Returns the status that a person means with another word, if one is like it."""
    near = similar_names(_OTHER_NAMES.get(text.upper(), text), STATUSES, 1)
    return near[0] if near else None


def _read_any(_term: Term, token: Token, _now: dt.datetime) -> Value:
    if token.kind == "number":
        return _number_of(token)
    if token.kind == "word":
        return _value_of_word(token)
    if token.kind in {"text", "time", "span"}:
        return token.text
    raise _missing_value(token)


def _read_text(term: Term, token: Token, now: dt.datetime) -> Value:
    value = _read_any(term, token, now)
    if value is None or (isinstance(value, str) and token.kind in {"text", "word"}):
        return value
    raise FilterError(f"{term} is a text; put it in quotes: {token.text!r}", token.position)


def _read_status(_term: Term, token: Token, _now: dt.datetime) -> Value:
    status = token.text.upper()
    if token.kind not in {"text", "word"}:
        raise _missing_value(token)
    if status not in STATUSES:
        near = near_names(near_status(status) or status, STATUSES)
        raise FilterError(f"a run has no status {token.text!r}; {near}", token.position)
    return status


def _read_number(term: Term, token: Token, now: dt.datetime) -> Value:
    value = _read_any(term, token, now)
    if isinstance(value, str | bool):
        raise FilterError(f"{term} is a number, not {token}", token.position)
    return value


def _read_seconds(term: Term, token: Token, now: dt.datetime) -> Value:
    if token.kind == "span":
        return _seconds_of(token)
    if token.kind == "text":
        raise FilterError(
            f"{term} is in seconds, or with a unit: 90, 90s, 30m, 2h, 1d", token.position
        )
    return _read_number(term, token, now)


def _read_time(term: Term, token: Token, now: dt.datetime) -> Value:
    if token.kind == "word" and token.text.lower() in {"null", "none"}:
        return None
    time: dt.datetime | None = None
    try:
        if token.kind == "span" and token.text.startswith("-"):
            time = now + dt.timedelta(seconds=_seconds_of(token))
        elif token.kind in {"time", "text"}:
            time = dt.datetime.fromisoformat(token.text)
    except (ValueError, OverflowError):
        # It is reported below, with what a time looks like.
        pass
    if time is None:
        raise FilterError(
            f"{term} is a time: -7d, -12h, -30m, 2026-11-03, or 2026-11-03T10:00Z; not {token}",
            token.position,
        )
    if time.tzinfo is None:
        time = time.replace(tzinfo=dt.UTC)
    microseconds: int = (time - _EPOCH) // dt.timedelta(microseconds=1)
    return microseconds


_READERS: dict[Kind, Callable[[Term, Token, dt.datetime], Value]] = {
    "any": _read_any,
    "text": _read_text,
    "status": _read_status,
    "number": _read_number,
    "seconds": _read_seconds,
    "time": _read_time,
}


def _missing_value(token: Token) -> FilterError:
    hint = _HINTS.get(token.text, "") if token.kind == "sign" else ""
    return FilterError(f"expected a value here, not {token}{hint}", token.position)


def _value_of_word(token: Token) -> Value:
    word = token.text.lower()
    if word in _WORDS:
        return _WORDS[word]
    if word in _NUMBERS:
        return _NUMBERS[word]
    if word in KEYWORDS or word in {"config", "metric"}:
        raise FilterError(
            f"expected a value here, not {token}; put a text in quotes", token.position
        )
    return token.text


def _number_of(token: Token) -> int | float:
    text = token.text
    number = float(text)
    if "." not in text and "e" not in text.lower() and abs(number) < 2**63:
        return int(text)
    if math.isinf(number):
        raise FilterError(f"{text} is too large; write Infinity", token.position)
    return number


def _seconds_of(token: Token) -> float:
    return float(token.text[:-1]) * _SECONDS[token.text[-1]]
