"""The pages for users of other trackers: their figures are the measured ones, and their calls exist."""

import ast
import inspect
import re
import typing

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


#: Methods of a run whose results have methods.
RETURNING = {"rows": te.Run.rows, "use_artifact": te.Run.use_artifact}
#: What a name in a call of ours is, if it is not a name of the package.
OBJECTS = {"run": te.Run, "data": te.Artifact}


def our_calls(tool):
    """Each fragment of code of ours in the table that is a call in Python."""
    rows = re.findall(r"^\| `.*` \| (.*) \|$", page(tool), re.MULTILINE)
    for code in re.findall(r"`([^`]+)`", "\n".join(rows)):
        text = code.removeprefix("with ").removesuffix(":")
        try:
            yield from (n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call))
        except SyntaxError:
            # A command, such as `afnio-tellurio serve`.
            assert not re.search(r"\b(?:te|run|data)\.", code), code


def check(call):
    """Fails unless the function exists and accepts the arguments."""
    keywords = {keyword.arg: ... for keyword in call.keywords}
    arguments = [... for each in call.args if ast.unparse(each) != "..."]
    is_whole = len(arguments) == len(call.args)
    if not isinstance(call.func, ast.Attribute):
        return
    owner = call.func.value
    if isinstance(owner, ast.Name):
        is_module = owner.id == "te"
        function = getattr(te if is_module else OBJECTS[owner.id], call.func.attr)
    else:
        # A method of what another call returns, such as `te.get_artifact(...).download()`.
        made = inspect.signature(getattr(te, owner.func.attr, None) or RETURNING[owner.func.attr])
        returned = {"Artifact": te.Artifact, "RunTable": te.RunTable, "TableRows": te.TableRows}
        is_module, function = False, getattr(returned[made.return_annotation], call.func.attr)
    if not is_module:
        arguments.insert(0, None)
    signatures = typing.get_overloads(function) or [function]
    for each in signatures:
        try:
            signature = inspect.signature(each)
            bind = signature.bind if is_whole else signature.bind_partial
            bind(*arguments, **keywords)
        except TypeError:
            continue
        return
    pytest.fail(f"{ast.unparse(call)}: {inspect.signature(function)}")


@pytest.mark.parametrize("tool", TOOLS)
def test_each_call_of_ours_exists_and_has_the_arguments(tool):
    calls = list(our_calls(tool))
    assert len(calls) >= 15
    for call in calls:
        check(call)


@pytest.mark.parametrize(
    "code",
    [
        'te.log_image("a")',
        'te.log("a", value=1, stride=2)',
        "run.iter_metrics(step=1)",
        'te.get_artifact("a").fetch()',
    ],
)
def test_a_call_that_does_not_exist_is_noticed(code):
    with pytest.raises((AttributeError, pytest.fail.Exception)):
        check(ast.parse(code, mode="eval").body)
