"""Points of one metric as columns, and as bytes: functions without SQL.

A chunk holds the points of a range of steps, packed. Loose points are records that can be appended
to others without reading them.
"""

from __future__ import annotations

import math
import sys
from array import array
from bisect import bisect_left, bisect_right
from itertools import accumulate, islice
from operator import itemgetter, sub
from struct import Struct, error
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

T = TypeVar("T")

#: The greatest step, and the greatest integer of SQLite.
MAX_STEP = 2**63 - 1
#: Points and characters of texts in one chunk; a single value may be longer.
CHUNK_POINTS = 1024
CHUNK_LENGTH = 256 * 1024
#: What the bytes of a chunk, and of loose points, start with or are marked with.
_VERSION = 1
NUMBERS, ANY = 0, 1
#: Integers up to this one are exact as doubles.
_MAX_EXACT = 2**53
_ONLY_FLOATS = {float}

#: A number, or a value that is not one as JSON text. NaN is a number here.
Value = int | float | str


class Points(NamedTuple):
    """Columns of points.

    Attributes:
        steps: Their steps.
        arrivals: For each, the number of points of the series that were recorded before it.
        values: Their values.
        timestamps: Microseconds since 1970.
    """

    steps: Sequence[int]
    arrivals: Sequence[int]
    values: Sequence[Value]
    timestamps: Sequence[int]

    @property
    def size(self) -> int:
        """The number of points."""
        return len(self.steps)

    def part(self, start: int, end: int) -> Points:
        """Returns the points from one index up to another."""
        if start == 0 and end >= len(self.steps):
            return self
        steps, arrivals, values, timestamps = self
        return Points(
            steps[start:end], arrivals[start:end], values[start:end], timestamps[start:end]
        )

    def after(self, step: int, arrival: int) -> Points:
        """Returns the sorted points after a position."""
        start = bisect_left(self.steps, step)
        end = bisect_right(self.steps, step, start)
        return self.part(bisect_right(self.arrivals, arrival, start, end), self.size)

    def up_to(self, last_step: int) -> Points:
        """Returns the sorted points up to a step."""
        return self.part(0, bisect_right(self.steps, last_step))

    def sorted_by_step(self) -> Points:
        """Returns the points sorted by step; those of equal steps keep their order."""
        steps = self.steps
        if len(steps) < 2 or (isinstance(steps, range) and steps.step > 0):  # noqa: PLR2004
            return self
        ordered = sorted(steps)
        if ordered == list(steps):
            return self
        order = sorted(range(len(steps)), key=steps.__getitem__)
        pick = itemgetter(*order)
        return Points(ordered, pick(self.arrivals), pick(self.values), pick(self.timestamps))


NO_POINTS = Points((), (), (), ())


def joined(blocks: Sequence[Points]) -> Points:
    """Returns the points of all blocks."""
    if len(blocks) == 1:
        return blocks[0]
    steps, arrivals, values, timestamps = zip(*blocks, strict=True)
    return Points(
        _concatenated_integers(steps),
        _concatenated_integers(arrivals),
        _concatenated(values),
        _concatenated(timestamps),
    )


def _concatenated(columns: Sequence[Sequence[T]]) -> Sequence[T]:
    if all(isinstance(column, array) for column in columns):
        numbers = cast("array[float]", columns[0])[:]
        for part in columns[1:]:
            numbers += cast("array[float]", part)
        return cast("Sequence[T]", numbers)
    result: list[T] = []
    for column in columns:
        result += column
    return result


def _concatenated_integers(columns: Sequence[Sequence[int]]) -> Sequence[int]:
    """Returns all integers; ranges that follow one another remain a range."""
    whole = columns[0]
    for column in columns[1:]:
        if not isinstance(whole, range) or not isinstance(column, range):
            return _concatenated(columns)
        if column.start != whole.stop or column.step != whole.step:
            return _concatenated(columns)
        whole = range(whole.start, column.stop, whole.step)
    return whole


def pieces(points: Points) -> Iterator[Points]:
    """Splits points into those of one chunk each."""
    starts = [0]
    if str in set(map(type, points.values)):
        count = length = 0
        for index, value in enumerate(points.values):
            size = len(value) if isinstance(value, str) else 0
            if count and (length + size > CHUNK_LENGTH or count == CHUNK_POINTS):
                starts.append(index)
                count = length = 0
            count += 1
            length += size
    else:
        # Of equal sizes: a full chunk is split again by the next point in it.
        number = -(-points.size // CHUNK_POINTS)
        starts = [index * points.size // number for index in range(number)]
    for start, end in zip(starts, [*starts[1:], points.size], strict=True):
        yield points.part(start, end)


# Chunks

_HEADER = Struct("<BH")
_PROGRESSION = Struct("<qq")
_INT64 = Struct("<q")
_DELTAS = {"b": 2**7, "h": 2**15, "i": 2**31, "q": 2**63}
_Plain = int | float | str | list[str]
_decode_values = msgspec.json.Decoder(list[_Plain]).decode


def encode(points: Points) -> bytes:
    """Returns points as the bytes of a chunk."""
    return b"".join(
        (
            _HEADER.pack(_VERSION, points.size),
            _encode_integers(points.steps),
            _encode_integers(points.arrivals),
            _encode_integers(points.timestamps),
            _encode_values(points.values),
        )
    )


def decode(data: bytes) -> Points:
    """Returns the points of a chunk.

    Raises:
        ValueError: The data is damaged.
    """
    try:
        version, count = _HEADER.unpack_from(data)
        if version != _VERSION or count == 0:
            raise ValueError(f"it starts with {data[:5].hex()}")
        reader = _Reader(data, _HEADER.size, count)
        steps, arrivals, timestamps = (reader.read_integers() for _ in range(3))
        return Points(steps, arrivals, reader.read_values(), timestamps)
    except (error, OverflowError, msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise ValueError(str(problem)) from problem


def _encode_integers(numbers: Sequence[int]) -> bytes:
    first, last = numbers[0], numbers[-1]
    intervals = len(numbers) - 1
    stride = (last - first) // intervals if intervals else 0
    if _is_progression(numbers, stride) and -MAX_STEP <= stride <= MAX_STEP:
        return b"p" + _PROGRESSION.pack(first, stride)
    deltas = list(map(sub, islice(numbers, 1, None), numbers))
    low, high = min(deltas), max(deltas)
    for code, bound in _DELTAS.items():
        if -bound <= low and high < bound:
            return code.encode() + _INT64.pack(first) + _bytes_of(array(code, deltas))
    return b"r" + _bytes_of(array("q", numbers))


def _is_progression(numbers: Sequence[int], stride: int) -> bool:
    first, last = numbers[0], numbers[-1]
    if stride == 0:
        return numbers.count(first) == len(numbers)
    if isinstance(numbers, range):
        return True
    if numbers[1] - first != stride:
        return False
    return list(range(first, last + (1 if stride > 0 else -1), stride)) == list(numbers)


def _encode_values(values: Sequence[Value]) -> bytes:
    kinds = set(map(type, values))
    if kinds == _ONLY_FLOATS:
        return b"d" + _bytes_of_floats(values)
    if kinds == {int}:
        return b"i" + _encode_integers(cast("Sequence[int]", values))
    if are_exact_doubles(values, kinds):
        mask = bytes(value.__class__ is int for value in values)
        return b"m" + mask + _bytes_of_floats(values)
    return b"j" + msgspec.json.encode(list(map(_plain, values)))


def are_exact_doubles(values: Sequence[Value], kinds: set[type]) -> bool:
    """Returns whether all values are numbers that are exact as doubles.

    Args:
        values: The values.
        kinds: Their types.
    """
    if kinds == _ONLY_FLOATS:
        return True
    return str not in kinds and all(
        -_MAX_EXACT <= value <= _MAX_EXACT for value in values if isinstance(value, int)
    )


def _plain(value: Value) -> _Plain:
    """Prepares a value for JSON, which has texts for values, and neither NaN nor infinities."""
    if isinstance(value, float) and not math.isfinite(value):
        return [str(value)]
    return value


def _restored(value: _Plain) -> Value:
    return float("".join(value)) if isinstance(value, list) else value


def _bytes_of_floats(values: Sequence[Value]) -> bytes:
    return _bytes_of(array("d", cast("Sequence[float]", values)))


def _bytes_of(numbers: array[int] | array[float]) -> bytes:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


class _Reader:
    """Reads the columns of a chunk, one after the other."""

    def __init__(self, data: bytes, offset: int, count: int) -> None:
        self._data = data
        self._offset = offset
        self._count = count

    def read_integers(self) -> Sequence[int]:
        code, count = self._take(1), self._count
        if code == b"p":
            first, stride = _PROGRESSION.unpack(self._take(_PROGRESSION.size))
            last = first + stride * (count - 1)
            if not -MAX_STEP - 1 <= last <= MAX_STEP:
                raise ValueError(f"it has the integer {last}")
            return range(first, first + stride * count, stride) if stride else [first] * count
        if code == b"r":
            return self._read_array("q", count).tolist()
        if (typecode := code.decode("ascii")) not in _DELTAS:
            raise ValueError(f"a column starts with {code.hex()}")
        (first,) = _INT64.unpack(self._take(_INT64.size))
        return list(accumulate(self._read_array(typecode, count - 1), initial=first))

    def read_values(self) -> Sequence[Value]:
        """Reads the last column."""
        code, count = self._take(1), self._count
        values: Sequence[Value]
        if code == b"d":
            values = self._read_array("d", count)
        elif code == b"i":
            values = self.read_integers()
        elif code == b"m":
            mask = self._take(count)
            values = _with_integers(self._read_array("d", count).tolist(), mask)
        elif code == b"j":
            text = self._take(len(self._data) - self._offset)
            values = list(map(_restored, _decode_values(text)))
        else:
            raise ValueError(f"the values start with {code.hex()}")
        if self._offset != len(self._data) or len(values) != count:
            raise ValueError(f"it has {len(self._data)} bytes and {len(values)} values")
        return values

    def _read_array(self, typecode: str, count: int) -> array[int]:
        numbers: array[int] = array(typecode)
        numbers.frombytes(self._take(count * numbers.itemsize))
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers

    def _take(self, size: int) -> bytes:
        end = self._offset + size
        taken = self._data[self._offset : end]
        if len(taken) != size:
            raise ValueError(f"it ends after {len(self._data)} bytes")
        self._offset = end
        return taken


def _with_integers(numbers: Sequence[float], mask: Sequence[int]) -> list[Value]:
    return [
        int(number) if is_integer else number
        for number, is_integer in zip(numbers, mask, strict=True)
    ]


# Loose points

# Step, timestamp, value, and whether it is an integer.
_RECORD = Struct("<qqd?")
_Record = tuple[int, int, _Plain]
_decode_records = msgspec.json.Decoder(list[_Record]).decode


def form_of(values: Sequence[Value]) -> int:
    """Returns NUMBERS if these values have the form of numbers as loose points, else ANY."""
    return NUMBERS if are_exact_doubles(values, set(map(type, values))) else ANY


def encode_loose(points: Points, form: int) -> bytes:
    """Returns records of points in a form, which can be appended to others in this form."""
    columns = points.steps, points.timestamps, points.values
    if form == NUMBERS and points.size == 1:
        # Batches of many names are fast this way.
        step, timestamp, value = (column[0] for column in columns)
        return _RECORD.pack(step, timestamp, value, value.__class__ is int)
    if form == NUMBERS:
        are_integers = [value.__class__ is int for value in points.values]
        return b"".join(map(_RECORD.pack, *columns, are_integers))
    records = [
        msgspec.json.encode((step, timestamp, _plain(value)))
        for step, timestamp, value in zip(*columns, strict=True)
    ]
    return b",".join((*records, b""))


def decode_loose(data: bytes, form: int, arrival: int) -> Points:
    """Returns the points of records; the arrival is the one of the first.

    Raises:
        ValueError: The data is damaged.
    """
    values: Sequence[Value]
    try:
        if form == NUMBERS:
            steps, timestamps, numbers, mask = zip(*_RECORD.iter_unpack(data), strict=True)
            values = _with_integers(numbers, mask) if True in mask else numbers
        else:
            records = _decode_records(b"[%b]" % data[:-1])
            steps, timestamps, texts = zip(*records, strict=True)
            values = list(map(_restored, texts))
    except (error, OverflowError, msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise ValueError(str(problem)) from problem
    return Points(steps, range(arrival, arrival + len(steps)), values, timestamps)
