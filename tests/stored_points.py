"""The points in a database, counted without the backend."""

import sqlite3
from contextlib import closing

_COUNT = "SELECT sum(count) FROM (SELECT count FROM chunks UNION ALL SELECT count FROM loose)"


def count_points(path):
    """The number of points in chunks and loose rows."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(_COUNT).fetchone()[0] or 0
