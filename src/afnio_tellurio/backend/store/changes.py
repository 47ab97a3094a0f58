"""The tags of runs, the changes of their configs, and which updates were repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from afnio_tellurio.backend.store.pages import rows_within

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable


class ConfigChangeRow(NamedTuple):
    """A change of a config: its number, its time in microseconds since 1970, and its patch."""

    number: int
    changed: int
    patch: str

    def length(self) -> int:
        """Returns about how many characters it has in a response."""
        return len(self.patch)


def change_tags(
    connection: sqlite3.Connection, run: int, *, add: Iterable[str], remove: Iterable[str]
) -> bool:
    """Adds tags to a run, and then removes some.

    Returns:
        Whether the run has other tags now.
    """
    removed, added = set(remove), set(add)
    rows = connection.execute("SELECT tag FROM run_tags WHERE run = ?", (run,))
    before = {tag for (tag,) in rows}
    new, gone = added - removed - before, removed & before
    connection.executemany("INSERT INTO run_tags VALUES (?, ?)", [(run, tag) for tag in new])
    connection.executemany(
        "DELETE FROM run_tags WHERE run = ? AND tag = ?", [(run, tag) for tag in gone]
    )
    return bool(new or gone)


def is_update_known(connection: sqlite3.Connection, run: int, key: str | None) -> bool:
    """Returns whether the run was updated with this idempotency key."""
    row = connection.execute(
        "SELECT 1 FROM run_changes WHERE run = ? AND idempotency_key = ?", (run, key)
    ).fetchone()
    return row is not None


def add_change(
    connection: sqlite3.Connection,
    run: int,
    *,
    idempotency_key: str | None,
    config_changed: int | None,
    config_patch: str | None,
) -> None:
    """Records an update: its idempotency key, and its patch if it changed the config."""
    connection.execute(
        "INSERT INTO run_changes SELECT ?, coalesce(max(number), 0) + 1, ?, ?, ? "
        "FROM run_changes WHERE run = ?",
        (run, idempotency_key, config_changed, config_patch, run),
    )


def list_config_changes(
    connection: sqlite3.Connection, run: int, *, after: int, limit: int, length: int
) -> list[ConfigChangeRow]:
    """Returns the changes of a run's config with greater numbers, in order.

    Args:
        connection: A connection in a transaction.
        run: The id of the run.
        after: The number of the change before the first one.
        limit: The maximum number of changes; -1 for all.
        length: The characters after which a list of several changes ends.
    """
    rows = connection.execute(
        "SELECT number, config_changed, config_patch FROM run_changes "
        "WHERE run = ? AND number > ? AND config_patch IS NOT NULL ORDER BY number LIMIT ?",
        (run, after, limit),
    )
    return rows_within(map(ConfigChangeRow._make, rows), length, ConfigChangeRow.length)
