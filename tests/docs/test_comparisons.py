"""The pages for users of other trackers: their figures are the measured ones, and their calls exist."""

import inspect
import re

import pytest
from benchmark_results import figure
from code_blocks import PAGES

import afnio_tellurio as te

TOOLS = ("wandb", "mlflow", "trackio")
#: The section, the row after the tool, and the column of each figure.
FIGURES = {
    "installed size, MiB": ("installed-size", "{}", "MiB"),
    "installed packages": ("installed-size", "{}", "packages"),
    "from the start to the first log, ms": ("latency-of-log", "{}", "start to first log, ms"),
    "one call of `log`, median, µs": ("latency-of-log", "{}", "p50, µs"),
    "one call of `log`, p99, µs": ("latency-of-log", "{}", "p99, µs"),
    "of 5,000 values, lost at SIGKILL": ("crash", "{}", "lost, median"),
    "a process that logs 10,000 values, s": ("end-to-end", "{} | 10,000", "whole process, s"),
    "its peak memory, MiB": ("end-to-end", "{} | 10,000", "peak memory, MiB"),
    "what it leaves on the disk, MiB": ("end-to-end", "{} | 10,000", "on disk, MiB"),
    "an artifact of 10,000 files of 4 kB, s": (
        "artifacts", "10,000 small files: until the end, s | {}", "median",
    ),
    "an artifact of 1 GiB, s": ("artifacts", "1,024 MiB: until the end, s | {}", "median"),
}  # fmt: skip


def page(tool):
    return PAGES[f"docs/from-{tool}.md"]


@pytest.mark.parametrize("tool", TOOLS)
def test_the_figures_are_those_that_were_measured(tool):
    rows = re.findall(
        r"^\| (\S.*) \| (\S+) \| (\S+) \|$", page(tool).partition("## Figures")[2], re.MULTILINE
    )
    assert [row[0] for row in rows] == list(FIGURES)
    for name, ours, theirs in rows:
        section, row, column = FIGURES[name]
        expected = [figure(section, row.format(each), column) for each in ("afnio_tellurio", tool)]
        assert [ours, theirs] == expected, name


@pytest.mark.parametrize("tool", TOOLS)
def test_each_call_of_ours_exists_and_has_the_arguments(tool):
    calls = re.findall(r"\bte\.(\w+)(?:\(([^`]*)\))?", page(tool))
    assert calls
    for name, arguments in calls:
        function = getattr(te, name)
        names = re.findall(r"(?:^|[(, ])(\w+)=", arguments.partition(").")[0])
        if inspect.isfunction(function):
            assert set(names) <= set(inspect.signature(function).parameters), (name, names)
    ours = re.findall(r"^\| .+ \| (.+) \|$", page(tool), re.MULTILINE)
    for name, arguments in re.findall(r"\brun\.(\w+)\(([^`]*)\)", "\n".join(ours)):
        function = getattr(te.Run, name)
        names = re.findall(r"(?:^|[(, ])(\w+)=", arguments)
        assert set(names) <= set(inspect.signature(function).parameters), (name, names)
