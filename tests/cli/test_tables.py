"""Tables on the command line."""

import json

import pytest

import afnio_tellurio as te
from afnio_tellurio.settings.limits import MAX_VALUE_DEPTH

RUN = "acme/digits/first"


@pytest.fixture(autouse=True)
def run(backend):
    with te.init("acme", "Digits", "first") as run:
        run.log_rows("candidates", [{"id": 0, "prompt": "Be\nbrief."}, {"id": 1}], key="id")
        run.log_rows("candidates", [{"id": 0, "prompt": "Be brief.", "score": float("nan")}])
        run.log_rows("calls", [{"a": number} for number in range(1001)])
    return run


def shown(finished):
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout


def test_show_lists_the_tables(invoke):
    text = shown(invoke("show", RUN))
    assert "TABLE       ROWS  KEY\ncalls       1001  -\ncandidates     3  id\n" in text
    tables = json.loads(shown(invoke("show", RUN, "--json")))["tables"]
    assert list(tables) == ["calls", "candidates"]
    assert (tables["candidates"]["count"], tables["candidates"]["key"]) == (3, "id")


def test_rows_without_a_table_lists_them(invoke):
    assert shown(invoke("rows", RUN)) == (
        "TABLE       ROWS  KEY\ncalls       1001  -\ncandidates     3  id\n"
    )
    tables = json.loads(shown(invoke("show", RUN, "--json")))["tables"]
    assert json.loads(shown(invoke("rows", RUN, "--json"))) == tables
    te.init("acme", "Digits", "bare").finish()
    finished = invoke("rows", "acme/digits/bare")
    assert (finished.returncode, finished.stdout) == (0, "")
    assert finished.stderr == "The run has no tables.\n"
    assert invoke("rows", "acme/digits/bare", "--json").stdout == "{}\n"
    refused = invoke("rows", RUN, "--replaced")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.endswith("error: --replaced requires TABLE\n")


def test_rows_prints_a_table(invoke):
    assert shown(invoke("rows", RUN, "candidates")) == (
        "id  prompt     score\n 0  Be brief.    nan\n 1\n"
    )  # fmt: skip
    text = shown(invoke("rows", RUN, "candidates", "--replaced"))
    assert text.splitlines()[1:] == [" 0  Be\\nbrief.", " 1", " 0  Be brief.     nan"]


def test_long_tables_are_cut_on_a_screen_and_whole_in_json(invoke):
    text = shown(invoke("rows", RUN, "calls"))
    assert text.endswith("\n999\n\n1 more rows; --json prints all\n")
    assert len(json.loads(shown(invoke("rows", RUN, "calls", "--json")))["rows"]) == 1001
    table = json.loads(shown(invoke("rows", RUN, "candidates", "--json")))
    assert table == {
        "name": "candidates",
        "key": "id",
        "rows": [{"id": 0, "prompt": "Be brief.", "score": "NaN"}, {"id": 1}],
    }


def test_rows_of_the_greatest_depth_are_printed(invoke):
    row = {"value": "leaf"}
    for _ in range(MAX_VALUE_DEPTH - 1):
        row = {"value": row}
    with te.init("acme", "Digits", "second") as run:
        run.log_rows("deep", [row])
    path = "acme/digits/second"
    assert json.loads(shown(invoke("rows", path, "deep", "--json")))["rows"] == [row]
    assert shown(invoke("rows", path, "deep")).startswith("value\n")


def test_a_table_that_does_not_exist_is_an_error_that_names_a_similar_one(invoke):
    finished = invoke("rows", RUN, "candidate")
    assert finished.returncode == 1
    assert finished.stderr == (
        "afnio-tellurio rows: Run 'first' has no table 'candidate'; did you mean 'candidates'?\n"
    )
