"""The figures in benchmarks/RESULTS.md."""

import re
from pathlib import Path

RESULTS = (Path(__file__).parent.parent / "benchmarks" / "RESULTS.md").read_text("utf-8")


def figure(section, row, column):
    """One cell of the first table of a section, found by the start of its row and by its column."""
    text = re.search(rf"<!-- {section} -->(.*?)<!-- end of {section} -->", RESULTS, re.DOTALL)[1]
    head, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    )
    (found,) = (cells for cells in rows if " | ".join(cells).startswith(f"{row} | "))
    return found[head.index(column)]
