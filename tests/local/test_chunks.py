"""Points in chunks: the same as in a sorted list, whatever comes in whichever order."""

import contextlib
import math
import random
import sqlite3

import pytest
from children import GUARD

from afnio_tellurio.backend import BackendUser, open_backend
from afnio_tellurio.backend.store import chunks, metrics, packing, points, sampling
from afnio_tellurio.backend.store import series as stored_series
from afnio_tellurio.backend.store.connections import works_in_sqlite
from afnio_tellurio.backend.store.database import Database

RUN = 1
NAMES = ("a", "b", "c")


@pytest.fixture
def database(tmp_path):
    """A database with one run."""
    path = tmp_path / "x.db"
    backend = open_backend(path, user=BackendUser("ada", "ada@example.com"))
    backend.close()
    opened = Database(path)
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO users VALUES (1, 'u', 'ada', 'ada')")
        connection.execute(
            "INSERT INTO runs (id, uuid, user, name, status, created, updated) "
            "VALUES (1, 'u', 1, 'r', 'RUNNING', 0, 0)"
        )
    connection.close()
    yield opened
    opened.close()


@works_in_sqlite
def write(database, batch):
    """Writes columns of points by name."""
    with database.writing() as connection:
        series = metrics.open_series(connection, RUN, set(batch))
        for name, columns in batch.items():
            series[name].extend(*columns)
        metrics.write_series(connection, list(series.values()))


@works_in_sqlite
def read(database, function, *arguments, **options):
    with database.reading() as connection:
        return function(connection, *arguments, **options)


def ids(database):
    return dict(read(database, metrics.list_series, RUN, ""))


def exact(columns):
    """Columns that are equal only if types, signs of zero and NaN are."""
    return [[(type(each), str(each)) for each in column] for column in columns]


def rows(database, query):
    with contextlib.closing(sqlite3.connect(database.path)) as connection:
        return connection.execute(query).fetchall()


class Model:
    """What the points of one series must be: a list."""

    def __init__(self):
        self.points = []
        self.last = -1

    def extend(self, steps, values, timestamps):
        for step, value, timestamp in zip(
            steps or [None] * len(values), values, timestamps, strict=True
        ):
            at = self.last + 1 if step is None else step
            self.points.append((at, len(self.points), value, timestamp))
            self.last = max(self.last, at)

    def after(self, position=(-1, -1), after_step=-1):
        return [
            point
            for point in sorted(self.points, key=lambda point: point[:2])
            if point[:2] > position and point[0] > after_step
        ]


def columns_of(rows):
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[]] * 4


class Chance(random.Random):
    """Random batches."""

    def value(self, kind):
        if kind == "float":
            return self.choice([self.random(), self.random(), math.inf, -0.0, 1e300])
        if kind == "NaN":
            return self.choice([math.nan, 0.5])
        if kind == "integer":
            return self.choice([self.randrange(100), self.randrange(-(2**63), 2**63)])
        if kind == "text":
            return self.choice(
                ['"word"', "null", "[1,2]", "1" * 30, '"' + "x" * self.randrange(3000) + '"']
            )
        return self.value(self.choice(["float", "NaN", "integer", "text"]))

    def columns(self, last, order):
        size = self.choice([1, 1, 2, 5, 100, 127, 128, 129, 700, 1500])
        kind = self.choice(["float", "float", "integer", "NaN", "text", "any"])
        if kind in ("text", "any"):
            size = min(size, 150)
        if order == "given":
            steps = None
        elif order == "ascending":
            steps = list(range(last + 1, last + 1 + size))
        elif order == "equal":
            steps = [max(last, 0) + self.randrange(2)] * size
        elif order == "random":
            steps = [self.randrange(3000) for _ in range(size)]
        elif order == "far":
            steps = [self.randrange(2**62) for _ in range(size)]
        else:
            steps = [
                self.choice([None, max(last - self.randrange(30), 0), last + 2])
                for _ in range(size)
            ]
        values = [self.value(kind) for _ in range(size)]
        return steps, values, [self.randrange(2**50) for _ in range(size)]


ORDERS = ["given", "ascending", "equal", "random", "far", "nearly"]


@pytest.mark.parametrize("seed", range(6))
def test_points_in_chunks_are_those_of_a_sorted_list(database, seed, monkeypatch):
    # Smaller, so that loose points of late steps are merged often too.
    monkeypatch.setattr(packing, "LATE_FRACTION", 4)
    chance = Chance(seed)
    models = {name: Model() for name in NAMES}
    for _ in range(25):
        batch = {}
        for name in chance.sample(NAMES, chance.randrange(1, 4)):
            order = chance.choice(["ascending", *ORDERS])
            batch[name] = chance.columns(models[name].last if models[name].points else -1, order)
            models[name].extend(*batch[name])
        write(database, batch)
        name = chance.choice(list(batch))
        check(database, name, models[name], chance)
    for name, model in models.items():
        check(database, name, model, chance)
    check_partition(database)
    for identity in ids(database).values():
        read(database, check_tiles, identity)


def check(database, name, model, chance):
    identity = ids(database)[name]
    found, _ = read(
        database,
        points.read_points,
        identity,
        after=(-1, -1),
        after_step=-1,
        limit=None,
        length=2**62,
    )
    assert exact(found) == exact(columns_of([(s, a, v, t) for s, a, v, t in model.after()]))
    # Pages of a random size, from a random point on, and after a random step.
    position = chance.choice([(-1, -1), chance.choice(model.points)[:2]])
    after_step = chance.choice([-1, chance.choice(model.points)[0]])
    limit = chance.choice([1, 2, 127, 1024, 5000])
    wanted, pages = model.after(position, after_step), []
    for _ in range(5):
        page, _ = read(
            database, points.read_points, identity,
            after=position, after_step=after_step, limit=limit, length=2**62,
        )  # fmt: skip
        assert page.size <= limit
        pages += zip(*page, strict=True)
        if page.size < limit:
            assert len(pages) == len(wanted)
            break
        position = (page.steps[-1], page.arrivals[-1])
    assert exact(columns_of(pages)) == exact(columns_of(wanted[: len(pages)]))
    step = chance.choice(model.points)[0] - chance.randrange(2)
    counted = read(database, points.count_points_after, identity, step)
    assert counted == len(model.after(after_step=step))
    summary = {row[0]: row[1:] for row in read(database, stored_series.summarize_run, RUN)}[name]
    numbers = [value for _, _, value, _ in model.points if isinstance(value, int | float)]
    # Of the large integers, a double is what counts.
    numbers += [
        float(value)
        for _, _, value, _ in model.points
        if isinstance(value, str) and value[0] == "1"
    ]
    numbers = [number for number in numbers if not math.isnan(number)]
    last = model.after()[-1]
    expected = (len(model.points), model.after()[0][0], last[0])
    assert summary[:3] == expected
    assert summary[5:] == (min(numbers, default=None), max(numbers, default=None), last[3])


def check_partition(database):
    """Chunks do not overlap, and loose rows are bounded."""
    before = (0, -1, -1)
    for series, step, arrival, last_step, count, data in rows(
        database,
        "SELECT series, step, arrival, last_step, count, data FROM chunks ORDER BY 1, 2, 3",
    ):
        chunk = chunks.decode(data)
        keys = list(zip(chunk.steps, chunk.arrivals, strict=True))
        assert keys == sorted(keys)
        assert (keys[0], keys[-1][0], len(keys)) == ((step, arrival), last_step, count)
        assert count <= chunks.CHUNK_POINTS
        assert (series, step, arrival) > before
        before = (series, *keys[-1])
    for (points_of_row,) in rows(database, "SELECT count FROM loose"):
        assert points_of_row <= 1500


def check_tiles(connection, identity):
    row = connection.execute(
        "SELECT id, count, tile_width, first_step, last_step FROM series WHERE id = ?", (identity,)
    ).fetchone()
    extent = sampling.Extent._make(row)
    assert extent.tile_width is not None or extent.points <= sampling.MAX_UNTILED_POINTS
    steps = extent.first, extent.last
    for width in extent.widths():
        tiles = sampling.ranges_of(connection, extent, steps, width)
        untiled = sampling.ranges_of(connection, extent._replace(tile_width=None), steps, width)
        assert [list(map(str, each)) for each in tiles] == [
            list(map(str, each)) for each in untiled
        ]


def test_few_points_at_a_time_leave_few_loose_rows_and_no_small_chunks(database):
    for number in range(700):
        write(database, {"a": (None, [0.5 if number % 2 else '"text"'], [number])})
        (loose,) = rows(database, "SELECT count(*), coalesce(sum(count), 0) FROM loose")
        assert loose[0] == loose[1] < packing.LOOSE_POINTS
    assert {count for (count,) in rows(database, "SELECT count FROM chunks")} == {
        packing.LOOSE_POINTS
    }


def test_points_in_random_order_leave_few_loose_rows(database):
    chance = random.Random(1)
    write(database, {"a": (None, [0.5] * 20_000, range(20_000))})
    for _ in range(40):
        size = chance.choice([1, 30, 400])
        write(
            database,
            {"a": ([chance.randrange(20_000) for _ in range(size)], [0.25] * size, [1] * size)},
        )
        (loose,) = rows(database, "SELECT count(*), coalesce(sum(count), 0) FROM loose")
        assert loose[1] <= 30_000 // packing.LATE_FRACTION
    check_partition(database)


def test_texts_do_not_stay_loose(database):
    write(database, {"a": (None, [0.5] * 50_000, range(50_000))})
    most = packing.MAX_LATE_POINTS[chunks.ANY]
    for number in range(30):
        write(database, {"a": ([number] * 50, ['"text"'] * 50, [0] * 50)})
        ((loose,),) = rows(database, "SELECT coalesce(sum(count), 0) FROM loose")
        assert loose < most
    # One long text is written into its chunk at once.
    long = '"' + "x" * packing.LOOSE_LENGTH + '"'
    write(database, {"a": ([7], [long], [0])})
    assert rows(database, "SELECT * FROM loose") == []
    check_partition(database)


def test_chunks_are_divided_by_the_length_of_texts(database):
    text = '"' + "x" * 10_000 + '"'
    write(database, {"a": (None, [text] * 200, range(200))})
    assert max(rows(database, "SELECT length(data) FROM chunks"))[0] < 2 * chunks.CHUNK_LENGTH
    check_partition(database)


def test_missing_chunks_are_named(database):
    write(database, {"a": (None, [0.5] * 200, range(200))})
    with sqlite3.connect(database.path) as connection:
        connection.execute("DELETE FROM chunks")
    connection.close()
    with pytest.raises(sqlite3.DatabaseError, match="chunks of the metric with id 1 are missing"):
        write(database, {"a": ([3] * 200, [0.5] * 200, [1] * 200)})


def test_a_page_reads_only_the_chunks_that_it_needs(database, monkeypatch):
    write(database, {"a": (None, [0.5] * 100_000, range(100_000))})
    decoded = []
    decode = chunks.decode
    monkeypatch.setattr(chunks, "decode", lambda data: decoded.append(data) or decode(data))
    page, _ = read(
        database, points.read_points, ids(database)["a"],
        after=(50_000, 50_000), after_step=-1, limit=1000, length=2**62,
    )  # fmt: skip
    assert list(page.steps) == list(range(50_001, 51_001))
    assert len(decoded) <= 3


def test_damaged_points_are_named(database):
    write(database, {"a": (None, [0.5] * 200, range(200)), "b": (None, [0.5], [0])})
    with sqlite3.connect(database.path) as connection:
        connection.execute("UPDATE chunks SET data = substr(data, 1, 100)")
        connection.execute("UPDATE loose SET data = substr(data, 1, 20)")
    connection.close()
    for identity in ids(database).values():
        with pytest.raises(sqlite3.DatabaseError, match=f"id {identity} are damaged"):
            read(
                database, points.read_points, identity,
                after=(-1, -1), after_step=-1, limit=None, length=2**62,
            )  # fmt: skip


WRITE = """
import pathlib, random, sys
from afnio_tellurio.backend.store import metrics
from afnio_tellurio.backend.store.connections import works_in_sqlite
from afnio_tellurio.backend.store.database import Database
path, number = sys.argv[1:]
database = Database(pathlib.Path(path))
chance = random.Random(number)

@works_in_sqlite
def write(batch):
    with database.writing() as connection:
        series = metrics.open_series(connection, 1, set(batch))
        for name, columns in batch.items():
            series[name].extend(*columns)
        metrics.write_series(connection, list(series.values()))

print("ready", flush=True)
sys.stdin.readline()
for batch in range(60):
    size = chance.choice([1, 40, 300])
    values = [float(number)] * size
    write({
        "given": (None, values, range(size)),
        "random": ([chance.randrange(5000) for _ in values], values, range(size)),
    })
    print(size, flush=True)
"""


def test_two_processes_write_the_same_series_at_once(database, start_python):
    children = [
        start_python("-c", WRITE, str(database.path), str(number), stdin=True) for number in (1, 2)
    ]
    for child in children:
        assert child.stdout.readline() == "ready\n", child.stderr.read()
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    totals = []
    for child in children:
        out, err = child.communicate(timeout=GUARD)
        assert child.returncode == 0, err
        totals.append(sum(map(int, out.split())))
    for name, identity in ids(database).items():
        found, _ = read(
            database, points.read_points, identity,
            after=(-1, -1), after_step=-1, limit=None, length=2**62,
        )  # fmt: skip
        assert [list(found.values).count(number) for number in (1.0, 2.0)] == totals
        assert sorted(found.arrivals) == list(range(sum(totals)))
        if name == "given":
            assert list(found.steps) == list(range(sum(totals)))
    check_partition(database)
