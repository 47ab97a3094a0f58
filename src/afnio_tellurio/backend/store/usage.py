"""How many bytes of blobs are for what. What the trash has counts too: it takes room."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import sqlite3

_OF_PROJECTS = """
WITH counted AS (
  SELECT project, size,
  EXISTS (SELECT 1 FROM artifact_files WHERE blob = blobs.id) AS in_artifacts,
  EXISTS (SELECT 1 FROM run_files WHERE blob = blobs.id) AS in_runs FROM blobs
)
SELECT coalesce(n.slug, ''), p.slug, sum(size), sum(size * in_artifacts), sum(size * in_runs),
sum(size * NOT (in_artifacts OR in_runs))
FROM counted JOIN projects p ON p.id = counted.project
LEFT JOIN namespaces n ON n.id = coalesce(p.namespace, p.former_namespace)
GROUP BY p.id ORDER BY 3 DESC, 1, 2
"""
_OF_TYPES = """
SELECT type, sum(size) FROM (
  SELECT DISTINCT a.type, b.id, b.size FROM artifacts a
  JOIN artifact_versions v ON v.artifact = a.id JOIN artifact_files f ON f.version = v.id
  JOIN blobs b ON b.id = f.blob
) GROUP BY type ORDER BY 2 DESC, 1
"""


class ProjectUsage(NamedTuple):
    """The bytes of the blobs of a project.

    Attributes:
        namespace_slug: The slug of its namespace.
        project_slug: Its slug.
        bytes: All of them, each blob once.
        artifacts: Those in artifacts.
        run_files: Those in files of runs; a blob may also be in an artifact.
        unused: Those that no file refers to.
    """

    namespace_slug: str
    project_slug: str
    bytes: int
    artifacts: int
    run_files: int
    unused: int


class TypeUsage(NamedTuple):
    """The bytes of the blobs in artifacts of a type, each blob once."""

    type: str
    bytes: int


def usage_of_projects(connection: sqlite3.Connection) -> list[ProjectUsage]:
    """Returns the usage of each project that has blobs, the largest first."""
    return [ProjectUsage(*row) for row in connection.execute(_OF_PROJECTS)]


def usage_of_types(connection: sqlite3.Connection) -> list[TypeUsage]:
    """Returns the usage of each type of artifacts that has blobs, the largest first."""
    return [TypeUsage(*row) for row in connection.execute(_OF_TYPES)]
