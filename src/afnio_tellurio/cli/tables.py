"""The command that prints the rows of a table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from afnio_tellurio.cli.arguments import Commands, path_type, require_metrics
from afnio_tellurio.cli.finding import find_run
from afnio_tellurio.cli.layout import table
from afnio_tellurio.cli.paging import add_pager_option, paged
from afnio_tellurio.cli.printing import complain, short

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    import afnio_tellurio as te

#: Rows of a table on a screen; JSON has all.
_MAX_ROWS = 1000
#: As in JSON, where other values have them too.
_LINE_BREAKS = str.maketrans({"\n": "\\n", "\r": "\\r", "\t": "\\t"})


def add_commands(commands: Commands) -> None:
    """Adds `rows`."""
    rows = commands.add_parser(
        "rows",
        help="list the tables of a run, or print the rows of one",
        description="Prints the rows of a table in the order in which they were logged. A row that "
        "has the same key as an earlier one is printed in the place of that one. Without TABLE, it "
        "lists the tables of the run.",
        epilog="example: afnio-tellurio rows acme/digits/first candidates",
    )
    rows.add_argument("run", metavar="NAMESPACE/PROJECT/RUN", type=path_type(3))
    rows.add_argument(
        "table", metavar="TABLE", nargs="?", help="the name of the table; default: list all"
    )
    rows.add_argument(
        "--replaced", action="store_true", help="also print the rows that later ones replace"
    )
    add_pager_option(rows)
    rows.add_argument("--json", action="store_true", help="print JSON")
    rows.set_defaults(command=_print_rows)


def _print_rows(options: argparse.Namespace) -> int:
    if options.replaced and options.table is None:
        options.usage.error("--replaced requires TABLE")
    run = find_run(options.run)
    tables = run.tables()
    if options.table is None:
        return _list_tables(options, tables)
    require_metrics([options.table], tables, f"Run {run.name!r} has no table")
    rows = run.rows(options.table, replaced=options.replaced)
    if options.json:
        from afnio_tellurio.validation import json_value

        # Each on its own: a list of them would be nested deeper than a value may be.
        fields = {"name": rows.name, "key": rows.key, "rows": list(map(json_value, rows.rows))}
        print(json.dumps(fields, indent=2))
        return 0
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [[_cell(row, name) for name in names] for row in rows.rows[:_MAX_ROWS]]
    numbers = [name for name in names if all(_is_number(row.get(name, 0)) for row in rows)]
    with paged(options):
        print(table(names, lines, numbers=numbers))
        if len(rows) > _MAX_ROWS:
            print(f"\n{len(rows) - _MAX_ROWS} more rows; --json prints all")
    return 0


def _list_tables(options: argparse.Namespace, tables: Mapping[str, te.TableSummary]) -> int:
    if options.json:
        print(json.dumps({name: table_facts(each) for name, each in tables.items()}, indent=2))
    elif tables:
        print(list_of_tables(tables))
    else:
        complain("The run has no tables.")
    return 0


def table_facts(summary: te.TableSummary) -> dict[str, Any]:
    """Returns the summary of a table for JSON output."""
    last = summary.last_timestamp
    return {
        "count": summary.count,
        "key": summary.key,
        "last_timestamp": last and last.isoformat(),
    }


def list_of_tables(tables: Mapping[str, te.TableSummary]) -> str:
    """Returns the names of tables with their rows and keys."""
    rows = [[name, str(each.count), each.key or "-"] for name, each in tables.items()]
    return table(["TABLE", "ROWS", "KEY"], rows, numbers={"ROWS"})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(row: dict[str, Any], name: str) -> str:
    """The text of a field, without quotes; empty if the row does not have it."""
    value = row.get(name)
    if isinstance(value, str):
        # A row is one line.
        return value.translate(_LINE_BREAKS)
    return "" if name not in row else short(value)
