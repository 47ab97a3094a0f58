"""Points as the bytes of chunks and of loose points: every value comes back as it was."""

import math
import random
import struct

import pytest

from afnio_tellurio.backend.store import chunks
from afnio_tellurio.backend.store.chunks import ANY, NUMBERS, Points

LEAST, GREATEST = -(2**63), 2**63 - 1
VALUES = {
    "floats": [0.1, -0.0, 1e300, 5e-324, 1.0, -2.5],
    "floats that are not finite": [math.nan, math.inf, -math.inf, 1.0],
    "integers": [1, 2, 3, 5, 8, -13],
    "large integers": [LEAST, GREATEST, 0, GREATEST, LEAST],
    "integers in a progression": [7, 5, 3, 1],
    "equal integers": [4, 4, 4],
    "floats and integers": [1, 1.0, 0, -0.0, 2**53, math.nan, math.inf],
    "floats and large integers": [2**53 + 1, 1.0, LEAST, math.nan, -math.inf, 1e16, 3],
    "texts": ['"word"', "true", "null", "[1,2]", '{"a":[]}', "1" * 400, '"\\u0000ü\\""'],
    "texts and numbers": ['"a"', 1, 1.0, math.nan, -0.0, math.inf, "[]"],
    "one float": [2.5],
    "one integer": [-3],
    "one text": ['"NaN "'],
}
INTEGERS = {
    "one": [5],
    "a progression": range(3, 300, 3),
    "a list that is a progression": [10, 20, 30],
    "a falling progression": [5, 0, -5],
    "equal ones": [6, 6, 6, 6],
    "small differences": [0, 127, -1, 100],
    "differences of 16 bits": [0, 1000, 3, 32770],
    "differences of 32 bits": [0, 10**6, 0, 2**31 - 1],
    "differences of 64 bits": [0, 2**62, 1, 2**40],
    "differences of more": [LEAST, GREATEST, LEAST],
    "two far apart": [LEAST, GREATEST],
    "nearly a progression": [0, 1, 2, 4],
    "a progression with a gap": [0, 1, 3, 3],
}


def points_of(values, steps=None, arrivals=None, timestamps=None):
    indexes = range(len(values))
    return Points(
        *(indexes if column is None else column for column in (steps, arrivals)),
        values,
        indexes if timestamps is None else timestamps,
    )


def exact(points):
    """Columns that are equal only if types, signs of zero and NaN are."""
    return [[(type(each), str(each)) for each in column] for column in points]


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_values_come_back_from_a_chunk(values):
    points = points_of(values)
    assert exact(chunks.decode(chunks.encode(points))) == exact(points)


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_values_come_back_from_loose_points(values):
    points = points_of(values, arrivals=range(7, 7 + len(values)))
    form = chunks.form_of(values)
    for each in {form, ANY}:
        data = b"".join(
            chunks.encode_loose(points.part(start, end), each)
            for start, end in ((0, 1), (1, len(values)))
        )
        assert exact(chunks.decode_loose(data, each, 7)) == exact(points)


@pytest.mark.parametrize("numbers", INTEGERS.values(), ids=INTEGERS)
def test_integers_come_back(numbers):
    points = points_of([0.5] * len(numbers), numbers, numbers, numbers)
    assert exact(chunks.decode(chunks.encode(points))) == exact(points)


def test_random_points_come_back():
    chance = random.Random(7)

    def integers(count):
        bits = chance.randrange(1, 63)
        ascending = chance.random() < 0.5
        numbers = [chance.randrange(-(2**bits), 2**bits) for _ in range(count)]
        return sorted(numbers) if ascending else numbers

    def value():
        return chance.choice(
            [
                chance.random(),
                chance.randrange(LEAST, GREATEST),
                chance.randrange(100),
                struct.unpack("<d", chance.randbytes(8))[0],
                f'"{chance.randrange(10**9)}"',
            ]
        )

    for _ in range(500):
        count = chance.randrange(1, 60)
        kinds = chance.choice([(float,), (int,), (float, int), (float, int, str)])
        values = []
        while len(values) < count:
            drawn = value()
            if isinstance(drawn, kinds):
                values.append(drawn)
        points = Points(integers(count), integers(count), values, integers(count))
        assert exact(chunks.decode(chunks.encode(points))) == exact(points)
        data = chunks.encode_loose(points, chunks.form_of(values))
        loose = chunks.decode_loose(data, chunks.form_of(values), 3)
        assert exact(loose) == exact(points._replace(arrivals=range(3, 3 + count)))


def test_floats_at_irregular_times_take_few_bytes():
    chance = random.Random(3)
    times = [10**15 + 100_000 * index + chance.randrange(50_000) for index in range(1000)]
    points = points_of([chance.random() for _ in times], timestamps=times)
    assert len(chunks.encode(points)) <= 14 * len(times)
    assert chunks.form_of(points.values) == NUMBERS


def test_damaged_chunks_are_rejected_by_name():
    chance = random.Random(5)
    for values in VALUES.values():
        data = chunks.encode(points_of(values, timestamps=[9, *range(len(values) - 1)]))
        for end in range(len(data)):
            with pytest.raises(ValueError, match=r"."):
                chunks.decode(data[:end])
        with pytest.raises(ValueError, match=r"."):
            chunks.decode(data + b"\0")
        for _ in range(200):
            damaged = bytearray(data)
            damaged[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            try:
                decoded = chunks.decode(bytes(damaged))
            except ValueError:
                continue
            assert len({len(column) for column in decoded}) == 1
    for values in VALUES.values():
        form = chunks.form_of(values)
        data = chunks.encode_loose(points_of(values), form)
        for end in range(1, len(data)):
            # Records that end early are noticed, unless whole ones are left.
            try:
                decoded = chunks.decode_loose(data[:end], form, 0)
            except ValueError:
                continue
            assert decoded.size <= len(values)


def test_pieces_are_limited_in_points_and_in_length():
    points = points_of([0.5] * 5000)
    parts = list(chunks.pieces(points))
    assert [part.size for part in parts] == [1000] * 5
    assert chunks.joined(parts).steps == range(5000)
    apart = chunks.joined([parts[0], parts[2]])
    assert apart.steps == [*range(1000), *range(2000, 3000)]
    long = '"' + "x" * chunks.CHUNK_LENGTH + '"'
    half = long[len(long) // 2 + 1 :]
    values = [long, 1, long, long, half, half, half, 2]
    parts = list(chunks.pieces(points_of(values)))
    assert [part.size for part in parts] == [1, 1, 1, 1, 2, 2]
    assert chunks.joined(parts).values == values


def test_points_are_sorted_by_step_and_keep_the_order_of_equal_ones():
    points = points_of([0.0, 1.0, 2.0, 3.0], [5, 3, 5, 3])
    ordered = points.sorted_by_step()
    assert list(ordered.values) == [1.0, 3.0, 0.0, 2.0]
    assert list(ordered.after(3, 1).values) == [3.0, 0.0, 2.0]
    assert list(ordered.after(3, 3).values) == [0.0, 2.0]
    assert list(ordered.after(4, 0).values) == [0.0, 2.0]
    assert list(ordered.up_to(4).values) == [1.0, 3.0]
    assert ordered.after(5, 2).size == 0
