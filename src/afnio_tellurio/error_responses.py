"""What an error response says to people and programs, and responses without the API key."""

from __future__ import annotations

import json
import re
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx

from afnio_tellurio.interruptions import raise_foreign

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Characters quoted from an error answer, which may be a proxy's whole page.
_QUOTED_CHARACTERS = 500
_HEADERS_OF_ENCODING = {b"content-encoding", b"content-length", b"transfer-encoding"}
#: Bytes of an HTML page in which the text is searched.
_SEARCHED_BYTES = 20_000
#: Also those that are not closed: without that, the search takes the square of the page's length.
_TAGS = re.compile(r"(?si)<(style|script)\b.*?(?:</\1\s*>|\Z)|<[^>]*(?:>|\Z)")


def message_of(response: httpx.Response) -> str:
    """The message in an error response: its `detail`, its field errors, or its whole text."""
    body = fields_of(response)
    if body:
        parts = [
            _field_message(name, errors)
            for name, errors in body.items()
            if len(body) == 1 or not _is_for_programs(name, errors)
        ]
        text = "; ".join(parts)
    else:
        text = _TAGS.sub(" ", _text_of(response))
    text = " ".join(text.split())
    if len(text) > _QUOTED_CHARACTERS:
        text = f"{text[:_QUOTED_CHARACTERS]}..."
    return text or "(empty)"


def fields_of(response: httpx.Response) -> dict[str, Any]:
    """The fields of an error response; none if it is something else, such as a proxy's page."""
    try:
        body: Any = response.json()
    except (ValueError, RecursionError) as error:
        raise_foreign(error)
        return {}
    return body if isinstance(body, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def code_of(response: httpx.Response) -> str | None:
    """The code of an error response, for programs."""
    code = fields_of(response).get("code")
    return code if isinstance(code, str) else None


def _text_of(response: httpx.Response) -> str:
    """The beginning of a response's text."""
    content = response.content[:_SEARCHED_BYTES]
    try:
        return content.decode(response.charset_encoding or "utf-8", "replace")
    except (LookupError, ValueError) as error:
        raise_foreign(error)
        # Python has codecs that are not for text, and those that reject what they cannot decode.
        return content.decode("utf-8", "replace")


def without_key(response: httpx.Response) -> httpx.Response:
    """Copies a response and its request without the API key: safe to pickle and to print."""
    key = response.request.headers.get("Authorization", "").removeprefix("Api-Key ")
    content = response.content
    for spelling in {key, json.dumps(key)[1:-1]} - {""}:
        # Some backends echo the request.
        content = content.replace(spelling.encode(), b"***")
    headers = [
        (name, value.replace(key.encode(), b"***") if key else value)
        for name, value in response.headers.raw
    ]
    return copy_response(response, content, headers, _request_without_key(response.request))


def copy_response(
    response: httpx.Response,
    content: bytes,
    headers: Iterable[tuple[bytes, bytes]],
    request: httpx.Request,
) -> httpx.Response:
    """Copies a response.

    Args:
        response: The response.
        content: The content of the copy, decoded: the old encoding and length no longer apply.
        headers: The headers of the copy.
        request: Its request.
    """
    copy = httpx.Response(
        response.status_code,
        headers=[pair for pair in headers if pair[0].lower() not in _HEADERS_OF_ENCODING],
        content=content,
        request=request,
        extensions={
            name: response.extensions[name]
            for name in ("http_version", "reason_phrase")
            if name in response.extensions
        },
    )
    with suppress(RuntimeError):
        # A response that a program made itself has no elapsed time.
        copy.elapsed = response.elapsed
    return copy


def _request_without_key(request: httpx.Request) -> httpx.Request:
    headers = [
        (name, value)
        for name, value in request.headers.raw
        if name.lower() not in {b"authorization", b"cookie"}
    ]
    try:
        content = request.content
    except httpx.RequestNotRead:
        # It was read from a file while it was sent.
        content = b""
    return httpx.Request(request.method, request.url, headers=headers, content=content)


def forget_key(error: BaseException | None) -> None:
    """Removes the API key from the httpx exceptions that caused an exception.

    They hold their request, and the frames of their tracebacks hold the headers that were sent.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, httpx.RequestError):
            error.request = _request_without_key(error.request)
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _is_for_programs(name: str, value: Any) -> bool:
    """Whether a field is for programs; the errors of an invalid field are a list."""
    return isinstance(value, {"code": str, "deleted": bool}.get(name, ()))


def _field_message(name: str, errors: Any) -> str:
    if isinstance(errors, list):
        errors = " ".join(str(item) for item in errors)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return str(errors) if name == "detail" else f"{name}: {errors}"
