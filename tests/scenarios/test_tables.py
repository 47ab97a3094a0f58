"""Tables of rows: logged like metrics, and read back."""

import datetime as dt
import math

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import afnio_tellurio as te
from afnio_tellurio.settings.limits import MAX_VALUE_BYTES

needs_tables = pytest.mark.needs_extension


@pytest.fixture(autouse=True)
def _backend(backend):
    pass


def again(run):
    return te.get_run("acme", "digits", run.uuid)


def test_rows_are_read_back_in_the_order_in_which_they_were_logged():
    before = dt.datetime.now(dt.UTC)
    with te.init("acme", "Digits") as run:
        run.log_rows("calls", [{"model": "a", "tokens": 10}, {"model": "b", "error": None}])
        te.log_rows("calls", ({"model": "c", "tokens": tokens} for tokens in (20, 30)))
        run.log_rows("calls", [])
    rows = again(run).rows("calls")
    assert rows.rows == [
        {"model": "a", "tokens": 10},
        {"model": "b", "error": None},
        {"model": "c", "tokens": 20},
        {"model": "c", "tokens": 30},
    ]
    assert (len(rows), list(rows), rows[1]["model"]) == (4, rows.rows, "b")
    assert rows.name == "calls"
    after = dt.datetime.now(dt.UTC)
    for timestamp in rows.timestamps:
        assert timestamp is None or before <= timestamp <= after


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"": 0, " ": 1},
        {"big": 10**30, "exact": 0.1 + 0.2, "true": True, "none": None},
        {"nested": {"list": [1, {"deep": [None, "x"]}]}},
        {"text": "ä\u2028\0\U0001f600", "long": "x" * 100_000},
        {"nan": math.nan, "inf": [math.inf, -math.inf], "word": "NaN and more"},
        {"scalar": np.float32(0.5), "flag": np.bool_(1)},
    ],
    ids=["empty", "odd names", "numbers", "nested", "texts", "special", "scalars"],
)
def test_a_row_is_kept_as_it_is(row):
    with te.init("acme", "Digits") as run:
        run.log_rows("table", [row])
    (read,) = run.rows("table")
    expected = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in row.items()
    }
    # As text, 1 differs from 1.0 and True, and NaN equals itself.
    assert repr(read) == repr(expected)


@needs_tables
def test_a_later_row_replaces_an_earlier_one_with_the_same_key():
    with te.init("acme", "Digits") as run:
        run.log_rows("candidates", [{"early": True}])
        run.log_rows("candidates", [{"id": 1, "score": 0.1}, {"id": "1", "score": 0.2}], key="id")
        run.log_rows("candidates", [{"id": 1, "score": 0.3, "best": True}])
        run.log_rows("candidates", [{"id": 2, "score": 0.4}], key="id")
    rows = run.rows("candidates")
    assert rows.rows == [
        {"early": True},
        {"id": 1, "score": 0.3, "best": True},
        {"id": "1", "score": 0.2},
        {"id": 2, "score": 0.4},
    ]
    assert rows.key == "id"
    assert rows.timestamps[1] > rows.timestamps[2]
    assert len(run.rows("candidates", replaced=True)) == 5
    assert run.rows("candidates", replaced=True)[1] == {"id": 1, "score": 0.1}


@needs_tables
def test_the_tables_of_a_run_are_listed():
    with te.init("acme", "Digits") as run:
        run.log_rows("b", [{"x": 1}, {"x": 1}], key="x")
        run.log_rows("a", [{"x": 1}])
        run.log("metric", 1)
    tables = again(run).tables()
    assert list(tables) == ["a", "b"]
    assert (tables["b"].count, tables["b"].key, tables["a"].key) == (2, "x", None)
    assert run.date_created <= tables["b"].last_timestamp <= tables["a"].last_timestamp


@needs_tables
def test_a_table_and_a_metric_may_have_the_same_name():
    with te.init("acme", "Digits") as run:
        run.log("loss", 0.5)
        run.log_rows("loss", [{"step": 0, "loss": 0.5}])
        run.log("loss", 0.25)
    assert list(run.metrics("loss").values) == [0.5, 0.25]
    assert list(run.metrics()) == list(run.summary()) == te.list_metrics("acme", "digits")
    assert run.rows("loss").rows == [{"step": 0, "loss": 0.5}]


@needs_tables
def test_a_table_that_does_not_exist_is_empty():
    run = te.init("acme", "Digits")
    run.log("metric", {"an": "object"})
    assert run.tables() == {}
    assert (run.rows("metric").rows, run.rows("metric").key) == ([], None)


@pytest.mark.parametrize(
    ("rows", "key", "error", "message"),
    [
        ({"a": 1}, None, TypeError, "rows is of type dict; .* iterable of mappings; put it in a list"),
        ("ab", None, TypeError, "rows is of type str; it must be an iterable of mappings$"),
        (5, None, TypeError, "rows is of type int"),
        ([{"a": 1}, "b"], None, TypeError, "row 1 is of type str; it must be a mapping"),
        ([{"a": 1}, {2: 1}], None, TypeError, r"row 1\[2\] is under a key of type int"),
        ([{"a": {"b": {1, 2}}}], None, TypeError, r"row 0\['a'\]\['b'\] is of type set"),
        ([{"a": "\ud800"}], None, ValueError, r"row 0\['a'\] contains half of a surrogate"),
        ([{"a": 1}, {"b": 1}], "a", ValueError, "row 1 has no field 'a', which is the key of 'table'"),
        ([{"a": 1}], "", ValueError, "key is empty"),
        ([{"a": 1}], 5, TypeError, "key is 5, a int"),
        ([{"a": "x" * MAX_VALUE_BYTES}], None, ValueError, "the value of 'table' has 8,000,008 bytes"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_recorded_are_refused_before_any_is(rows, key, error, message):
    run = te.init("acme", "Digits")
    with pytest.raises(error, match=f"^log_rows: {message}"):
        run.log_rows("table", rows, key)
    assert run.finish().accepted == 0


@pytest.mark.parametrize("name", ["", " ", "x" * 256, 5])
def test_the_name_of_a_table_is_checked(name):
    run = te.init("acme", "Digits")
    with pytest.raises((TypeError, ValueError), match="^log_rows: table name "):
        run.log_rows(name, [{"a": 1}])
    with pytest.raises((TypeError, ValueError), match="^rows: table name "):
        run.rows(name)


def test_rows_of_a_finished_run_are_refused():
    run = te.init("acme", "Digits")
    run.finish()
    with pytest.raises(te.RunFinishedError, match=r"^log_rows: run .* is finished \(COMPLETED\)"):
        run.log_rows("table", [{"a": 1}])


@needs_tables
def test_rows_count_in_the_receipt():
    with te.init("acme", "Digits") as run:
        run.log("loss", 1)
        run.log_rows("table", [{"a": number} for number in range(2500)])
        receipt = run.flush()
    assert (receipt.accepted, receipt.waiting, receipt.rejected) == (2501, 0, 0)
    assert [row["a"] for row in run.rows("table")] == list(range(2500))


@needs_tables
def test_a_table_becomes_a_frame():
    rows = [
        {"id": 1, "score": 1, "note": "x", "parents": []},
        {"id": 2, "score": 0.5, "parents": [1]},
        {"id": 3, "score": math.nan, "note": None, "parents": [1, 2]},
    ]
    with te.init("acme", "Digits") as run:
        run.log_rows("candidates", rows)
    table = run.rows("candidates")
    frame = table.to_polars()
    assert frame.schema == {
        "id": pl.Int64, "score": pl.Float64, "note": pl.String,
        "parents": pl.List(pl.Int64),
    }  # fmt: skip
    assert frame["note"].to_list() == ["x", None, None]
    assert repr(frame["score"].to_list()) == "[1.0, 0.5, nan]"
    assert table.to_arrow()["parents"].to_pylist() == [[], [1], [1, 2]]
    assert table.to_arrow()["score"].type == pa.float64()
    assert list(table.to_pandas().columns) == ["id", "score", "note", "parents"]
    assert table.to_pandas()["id"].dtype == np.dtype("int64")


def test_an_empty_table_becomes_an_empty_frame():
    with te.init("acme", "Digits") as run:
        pass
    table = run.rows("none")
    assert table.to_polars().is_empty()
    assert isinstance(table.to_pandas(), pd.DataFrame)
    assert table.to_arrow().num_rows == 0


def test_objects_that_differ_do_not_fit_a_column_of_polars():
    with te.init("acme", "Digits") as run:
        run.log_rows("table", [{"scores": {"a": 1}}, {"scores": {"b": 2}}])
    with pytest.raises(TypeError, match="the values of 'scores' have several types"):
        run.rows("table").to_polars()
    assert run.rows("table").to_arrow()["scores"].to_pylist() == [
        {"a": 1, "b": None},
        {"a": None, "b": 2},
    ]
