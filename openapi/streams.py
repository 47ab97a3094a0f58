"""Bodies that are sent and received in parts: files, lines of JSON, and server-sent events."""

import codecs
import json
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from http import HTTPStatus
from typing import Any, Generic, Protocol, TypeVar

import httpx
from attrs import define, field

from .errors import UnexpectedStatus
from .types import PARSING_ERRORS, UNSET, Unset

T = TypeVar("T")
D = TypeVar("D")
O = TypeVar("O")  # noqa: E741 - the other answers
T_co = TypeVar("T_co", covariant=True)


@define
class ServerSentEvent(Generic[D]):
    """An event of a `text/event-stream`.

    Attributes:
        data: The data, parsed if the contract describes it as an object.
        event: The type of the event; "message" unless the server sends another.
        id: The last id that the server sent; empty if it sent none.
        retry: Milliseconds to wait before a new request after the stream broke, if sent.
    """

    data: D
    event: str = "message"
    id: str = ""
    retry: int | None = None


class Decoder(Protocol[T_co]):
    """Makes the items of a stream from the parts of its body."""

    def feed(self, part: bytes) -> Iterator[T_co]:
        """The items that are complete with this part."""
        ...

    def finish(self) -> Iterator[T_co]:
        """The items that the end of the body completes."""
        ...


class BytesDecoder:
    """The items are the parts themselves."""

    def feed(self, part: bytes) -> Iterator[bytes]:
        """See `Decoder`."""
        yield part

    def finish(self) -> Iterator[bytes]:
        """See `Decoder`."""
        yield from ()


class _Lines:
    """Splits a body into lines; no line is joined from its parts before it is complete."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._parts: list[str] = []
        self._ends_with_return = False

    def feed(self, part: bytes, *, is_last: bool = False) -> Iterator[str]:
        text = self._decoder.decode(part, is_last)
        # A line may end with \r\n, and the two may be in different parts.
        if self._ends_with_return and text.startswith("\n"):
            text = text[1:]
            self._ends_with_return = False
        if text:
            self._ends_with_return = text.endswith("\r")
        first, *others = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._parts.append(first)
        for line in others:
            yield "".join(self._parts)
            self._parts = [line]

    def finish(self) -> Iterator[str]:
        yield from self.feed(b"", is_last=True)
        if any(self._parts):
            yield "".join(self._parts)
        self._parts = []


class LinesDecoder(Generic[T]):
    """Each line is a JSON document; empty lines are ignored."""

    def __init__(self, parse: Callable[[Any], T]) -> None:
        self._parse = parse
        self._lines = _Lines()

    def feed(self, part: bytes) -> Iterator[T]:
        """See `Decoder`."""
        return self._items(self._lines.feed(part))

    def finish(self) -> Iterator[T]:
        """See `Decoder`."""
        return self._items(self._lines.finish())

    def _items(self, lines: Iterator[str]) -> Iterator[T]:
        return (self._parse(json.loads(line)) for line in lines if line.strip())


class EventsDecoder(Generic[D]):
    """Server-sent events, as the HTML standard describes them."""

    def __init__(self, parse: Callable[[str], D]) -> None:
        self._parse = parse
        self._lines = _Lines()
        self._data: list[str] = []
        self._event = ""
        self._id = ""
        self._retry: int | None = None

    def feed(self, part: bytes) -> Iterator[ServerSentEvent[D]]:
        """See `Decoder`."""
        for line in self._lines.feed(part):
            if line:
                self._read_field(line)
                continue
            data, event = self._data, self._event or "message"
            self._data, self._event = [], ""
            if data:
                yield ServerSentEvent(self._parse("\n".join(data)), event, self._id, self._retry)

    def finish(self) -> Iterator[ServerSentEvent[D]]:
        """See `Decoder`: an event that the end of the body interrupts is dropped."""
        yield from ()

    def _read_field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdecimal():
            self._retry = int(value)


def parse_json(parse: Callable[[Any], D]) -> Callable[[str], D]:
    """The parser of a text that is a JSON document."""
    return lambda text: parse(json.loads(text))


class _Client(Protocol):
    def invalid_response(self, response: httpx.Response, error: Exception) -> Exception: ...


@define
class _Answer(Generic[T, O]):
    """A response whose body is received in parts.

    Attributes:
        status_code: Its status.
        headers: Its headers.
        parsed: The body of a response that is not a stream, such as an error; else None.
    """

    status_code: HTTPStatus
    headers: MutableMapping[str, str]
    parsed: O | None
    _response: httpx.Response = field(alias="response", repr=False)
    _decoder: Decoder[T] | None = field(alias="decoder", repr=False)
    _client: _Client = field(alias="client", repr=False)

    def _checked_decoder(self) -> Decoder[T]:
        if self._decoder is None:
            raise UnexpectedStatus(self._response.status_code, self._response.content)
        return self._decoder


class StreamedResponse(_Answer[T, O]):
    """A response whose items are received while the program iterates over it.

    Attributes:
        status_code: Its status.
        headers: Its headers.
        parsed: The body of a response that is not a stream, such as an error; else None. Iterating
            over such a response raises errors.UnexpectedStatus.
    """

    def __iter__(self) -> Iterator[T]:
        decoder = self._checked_decoder()
        for part in self._response.iter_bytes():
            yield from _decoded(decoder.feed(part), self._response, self._client)
        yield from _decoded(decoder.finish(), self._response, self._client)


class AsyncStreamedResponse(_Answer[T, O]):
    """A response whose items are received while the program iterates over it.

    Attributes:
        status_code: Its status.
        headers: Its headers.
        parsed: The body of a response that is not a stream, such as an error; else None. Iterating
            over such a response raises errors.UnexpectedStatus.
    """

    async def __aiter__(self) -> AsyncIterator[T]:
        decoder = self._checked_decoder()
        async for part in self._response.aiter_bytes():
            for item in _decoded(decoder.feed(part), self._response, self._client):
                yield item
        for item in _decoded(decoder.finish(), self._response, self._client):
            yield item


def _decoded(items: Iterator[T], response: httpx.Response, client: _Client) -> Iterator[T]:
    # Not around `yield`: an exception that the program throws there is its own.
    while True:
        try:
            item: T | Unset = next(items, UNSET)
        except PARSING_ERRORS as error:
            raise client.invalid_response(response, error) from error
        if isinstance(item, Unset):
            return
        yield item


def decode_lines(content: bytes) -> list[Any]:
    """The JSON documents of a whole body."""
    decoder = LinesDecoder[Any](lambda document: document)
    return [*decoder.feed(content), *decoder.finish()]


def decode_events(content: bytes, parse: Callable[[str], Any]) -> list[Any]:
    """The data of all events of a whole body."""
    return [event.data for event in EventsDecoder[Any](parse).feed(content)]


def encode_lines(documents: list[Any]) -> bytes:
    """The body whose lines are these documents."""
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


async def read_async(content: bytes | str | Iterator[bytes]) -> AsyncIterator[bytes]:
    """The same content for httpx.AsyncClient, which accepts no other iterators."""
    if isinstance(content, str | bytes):
        yield content.encode() if isinstance(content, str) else content
        return
    for part in content:
        yield part


def media_type(response: httpx.Response) -> str:
    """The content type of a response, without parameters."""
    content_type: str = response.headers.get("content-type", "")
    return content_type.partition(";")[0].strip().lower()
