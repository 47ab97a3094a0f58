"""Retries: a request is sent again after a failure that passes, if that does no harm."""

from __future__ import annotations

import datetime as dt
import math
import random
import re
import sys
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import attrs
import httpx

from afnio_tellurio.clock import monotonic
from afnio_tellurio.deadlines import seconds_left
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.settings.limits import (
    CONNECT_RETRY_DELAY,
    MAX_RETRIES,
    MAX_RETRY_DELAY,
    REQUEST_TIMEOUT,
)

#: The beginnings of operations that a backend may carry out twice. (createRun,
#: createArtifactVersion and logRunFile have a key, and updateRun sets the same fields again. A blob
#: has the name of its bytes. What was restored stays as it is. After a 404 to completeUpload, the
#: caller asks for the blob.)
_REPEATABLE = (
    *("GET ", "get", "list", "summarize", "sample", "verify", "restore", "download"),
    *("createRun", "updateRun", "createArtifactVersion", "logRunFile", "useArtifact"),
    *("checkBlobs", "putBlob", "createUpload", "putUploadPart", "completeUpload"),
)
#: The statuses of a backend that is busy, or away behind its proxy.
_TOO_MANY_REQUESTS = 429
_PASSING = {_TOO_MANY_REQUESTS, 502, 503, 504}
#: The errors of a connection that broke before the answer was complete.
_BROKEN = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)
#: The errors of a request that the backend never received.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout)
#: What a header may consist of (RFC 9110, section 5).
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?")
_OWN_HEADERS = {"authorization", "content-length", "content-type", "host", "transfer-encoding"}


@attrs.frozen
class RequestOptions:
    """How the requests of a client are sent.

    Attributes:
        timeout: Seconds for one call with its retries; None for the limits of each request.
        max_retries: How often a request is sent again after a failure that passes.
        headers: Headers for each request.
    """

    timeout: float | None = None
    max_retries: int = MAX_RETRIES
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False)


def make_options(
    options: RequestOptions,
    timeout: float | None,
    max_retries: int | None,
    headers: Mapping[str, str] | None,
) -> RequestOptions:
    """Returns options with the changes that are passed.

    Args:
        options: The options to change.
        timeout: Seconds, or None for no change.
        max_retries: A number, or None for no change.
        headers: Further headers, or None.

    Raises:
        TypeError: A value has the wrong type.
        ValueError: A value is out of range, or a header is invalid.
    """
    for name, number in (("timeout", timeout), ("max_retries", max_retries)):
        is_number = isinstance(number, int if name == "max_retries" else (int, float))
        if number is not None and (not is_number or isinstance(number, bool)):
            raise TypeError(f"{name} is {number!r}; pass a number")
        if number is not None and not number >= 0:
            raise ValueError(f"{name} is {number!r}; it must be 0 or more")
    if timeout is not None and timeout > sys.float_info.max and timeout != math.inf:
        raise ValueError("timeout is too large for a float; pass fewer seconds")
    if headers is not None and not isinstance(headers, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"headers is a {type(headers).__name__}; pass a mapping of names to values")
    for name, value in (headers or {}).items():
        if not isinstance(name, str) or not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"header {name!r}: the name and the value must be strings")
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise ValueError(
                f"header {name!r}: the name or the value contains a character that HTTP does not "
                "allow in a header"
            )
        if name.lower() in _OWN_HEADERS:
            raise ValueError(f"header {name!r} cannot be set; the client sets it")
    return attrs.evolve(
        options,
        timeout=options.timeout if timeout is None else timeout,
        max_retries=options.max_retries if max_retries is None else max_retries,
        headers={**options.headers, **(headers or {})},
    )


class Retries:
    """The retries of one call.

    Attributes:
        had_lost_answer: Whether the backend may have carried out an earlier attempt.
    """

    def __init__(self, call: str, max_retries: int, *, only_of_connections: bool) -> None:
        """Starts the call.

        Args:
            call: The operation, such as `listRuns`, or the method and path of a request.
            max_retries: How often a request is sent again.
            only_of_connections: Whether to leave an error status and a timeout to the caller, which
                has retries of its own.
        """
        self._is_repeatable = call.startswith(_REPEATABLE)
        self.had_lost_answer = False
        self._left = max_retries
        self._only_of_connections = only_of_connections
        self._delay = CONNECT_RETRY_DELAY
        self._give_up_at = monotonic() + REQUEST_TIMEOUT

    def delay_after_error(self, error: httpx.RequestError) -> float | None:
        """The seconds to wait before the next attempt, or None if there is to be none."""
        if isinstance(error, _NOT_SENT):
            # The backend may be starting.
            is_passing = isinstance(error, httpx.ConnectError) or not self._only_of_connections
        else:
            kinds = _BROKEN if self._only_of_connections else (*_BROKEN, httpx.TimeoutException)
            is_passing = self._is_repeatable and isinstance(error, kinds)
            self.had_lost_answer = True
        return self._delay_unless_late(0.0) if is_passing else None

    def delay_after_status(self, response: httpx.Response) -> float | None:
        """The seconds to wait before the next attempt, or None if there is to be none."""
        status = response.status_code
        # What was refused for its rate has not been carried out.
        is_repeatable = self._is_repeatable or status == _TOO_MANY_REQUESTS
        if self._only_of_connections or status not in _PASSING or not is_repeatable:
            return None
        self.had_lost_answer |= status != _TOO_MANY_REQUESTS
        return self._delay_unless_late(retry_after(response))

    def _delay_unless_late(self, least: float) -> float | None:
        if not self._left:
            return None
        self._left -= 1
        # Half of it is random: programs that lost a backend must not all return at once.
        delay = max(least, self._delay * random.uniform(0.5, 1))  # noqa: S311
        self._delay *= 2
        is_late = monotonic() + delay >= self._give_up_at or seconds_left(delay) < delay
        return None if is_late else delay


def retry_after(response: httpx.Response) -> float:
    """The seconds that the backend asks to wait, up to `MAX_RETRY_DELAY`; 0 if it does not ask."""
    value: str = response.headers.get("retry-after", "")
    try:
        seconds = float(value) if value.isdecimal() else _seconds_until(value)
    except (ValueError, TypeError) as error:
        raise_foreign(error)
        return 0.0
    return max(0.0, min(seconds, MAX_RETRY_DELAY))


def _seconds_until(date: str) -> float:
    return (parsedate_to_datetime(date) - dt.datetime.now(dt.UTC)).total_seconds()
