"""Tables as HTML for notebooks."""

import datetime as dt
import xml.etree.ElementTree as ET

import pytest

import afnio_tellurio as te
from afnio_tellurio.api.html_tables import describe

HOSTILE = "<script>alert('1')</script>&\"\u202e\x1b"


def _parsed(table):
    shown = table._repr_html_()
    assert "<script" not in shown
    # Browsers show well-formed markup as intended.
    return ET.fromstring(f"<div>{shown}</div>")


def _texts(table, tag):
    return ["".join(element.itertext()) for element in _parsed(table).iter(tag)]


def test_a_table_of_runs_has_names_and_no_uuids():
    table = te.RunTable(
        {"uuid": ["u1", "u2"], "name": [HOSTILE, "b"], HOSTILE: [0.123456789, None]}
    )
    hostile = "<script>alert('1')</script>&\"\ufffd\ufffd"
    assert _texts(table, "th") == ["name", hostile]
    assert _texts(table, "td") == [hostile, "0.123457", "b", ""]
    assert _texts(table, "caption") == ["2 runs"]
    assert [head.get("scope") for head in _parsed(table).iter("th")] == ["col", "col"]


def test_columns_without_values_are_left_out():
    columns = {"uuid": ["u", "v"], "name": ["a", "b"], "group": [None, None], "tags": [[], []]}
    assert _texts(te.RunTable(columns), "th") == ["name"]
    columns |= {"group": [None, "g"], "tags": [["t"], []]}
    assert _texts(te.RunTable(columns), "th") == ["name", "group", "tags"]
    # Without names, UUIDs are all there is.
    assert _texts(te.RunTable({"uuid": ["u"]}), "td") == ["u"]


def test_numbers_are_on_the_right():
    columns = {"uuid": ["u", "v"], "loss": [1, 2.5], "ok": [True, None], "mixed": [1, "a"]}
    cells = [*_parsed(te.RunTable(columns)).iter("td")]
    sides = ["right" if "text-align:right" in cell.get("style") else "left" for cell in cells]
    assert sides == ["right", "left", "right", "right", "left", "left"]
    heads = [*_parsed(te.RunTable(columns)).iter("th")]
    assert ["text-align:right" in head.get("style") for head in heads] == [True, False, False]


@pytest.mark.parametrize(
    ("rows", "columns", "note"),
    [
        (20, 15, []),
        (21, 15, ["1 more row"]),
        (2000, 16, ["1,980 more rows and 1 more column"]),
        (1, 40, ["25 more columns"]),
    ],
)
def test_rows_and_columns_are_bounded(rows, columns, note):
    table = te.TableRows(
        "t", None, [{f"c{i}": row for i in range(columns)} for row in range(rows)], [None] * rows
    )
    parsed = _parsed(table)
    assert len([*parsed.iter("td")]) == min(rows, 20) * min(columns, 15)
    assert len([*parsed.iter("th")]) == min(columns, 15)
    notes = ["".join(element.itertext()) for element in parsed.findall("div")]
    assert notes[1:] == note


def test_rows_may_lack_fields():
    table = te.TableRows("<t>", None, [{"a": 1}, {"b": "x"}], [None, None])
    assert _texts(table, "td") == ["1", "", "", "x"]
    assert _texts(table, "caption") == ["<t>: 2 rows"]


def test_an_empty_table_is_a_table():
    assert _texts(te.RunTable({"uuid": []}), "caption") == ["0 runs"]
    assert _texts(te.TableRows("t", None, [], []), "caption") == ["t: 0 rows"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), (True, "True"), (2**62, str(2**62)), (1e-9, "1e-09"), (float("nan"), "nan"),
        ([1, None, "é"], '[1, null, "é"]'), ({"a": {"b": {"c": [1]}}}, '{"a": {"b": {"c": "…"}}}'),
        (dt.datetime(2026, 1, 2, 3, 4, 5).astimezone(), "2026-01-02 03:04:05"),
    ],
)  # fmt: skip
def test_values_are_described_on_one_line(value, text):
    assert describe(value) == text


def test_a_cell_is_as_short_as_people_read_it():
    values = ["x" * 10**6, [["y" * 10**6] * 1000] * 1000, {str(i): i for i in range(10**5)}]
    table = te.TableRows("t" * 10**6, None, [{"v" * 10**6: value} for value in values], [None] * 3)
    assert len(table._repr_html_()) < 2000
    assert all(len(text) == 80 and text.endswith("…") for text in _texts(table, "td"))
