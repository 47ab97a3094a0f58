"""Every SQL statement of the backend is in backend/store/."""

import ast
import re
from pathlib import Path

import pytest

import afnio_tellurio.backend

BACKEND = Path(afnio_tellurio.backend.__file__).parent
STATEMENT = re.compile(
    r"\b(?:SELECT\s|INSERT\s+(?:OR|INTO)\s|UPDATE\s+\w+\s+SET\b|DELETE\s+FROM\s|PRAGMA\s|BEGIN\b"
    r"|COMMIT\b|ROLLBACK\b|(?:CREATE|ALTER|DROP)\s+(?:TABLE|INDEX)\b|(?:WHERE|ORDER BY)\s)"
)
EXECUTING = {"execute", "executemany", "executescript"}


def sql_of(source):
    """Returns the texts that contain SQL, and the calls that execute a statement."""
    nodes = list(ast.walk(ast.parse(source)))
    texts = [node.value for node in nodes if isinstance(node, ast.Constant)]
    statements = [text for text in texts if isinstance(text, str) and STATEMENT.search(text)]
    calls = [node.attr for node in nodes if isinstance(node, ast.Attribute)]
    return statements + [name for name in calls if name in EXECUTING]


def test_no_module_above_the_store_contains_sql():
    modules = sorted(BACKEND.glob("*.py"))
    assert "runs.py" in [path.name for path in modules]
    assert {path.name: sql_of(path.read_text("utf-8")) for path in modules} == {
        path.name: [] for path in modules
    }


def test_the_statements_in_the_store_are_recognized():
    for name in (
        "database",
        "metrics",
        "projects",
        "removal",
        "runs",
        "sampling",
        "schema",
        "series",
        "trash",
    ):
        assert sql_of((BACKEND / "store" / f"{name}.py").read_text("utf-8")), name


@pytest.mark.parametrize(
    "line",
    [
        "query = 'SELECT 1'", "query = f'SELECT {columns} FROM runs'", "query = 'DELETE FROM runs'",
        "query = 'UPDATE runs SET name = ?'", "query = 'INSERT INTO runs VALUES (?)'",
        "order = 'ORDER BY name'", "connection.execute(query)", "connection.executemany(query, rows)",
    ],
)  # fmt: skip
def test_a_line_with_sql_is_recognized(line):
    assert sql_of(line)


def test_methods_of_http_are_not_sql():
    assert sql_of("allowed = ['POST, DELETE', 'delete'] # SELECT 1") == []
