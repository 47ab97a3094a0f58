"""Reading back: pages, filters for runs, and tables for other libraries."""

import datetime as dt
import math

import httpx
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from plain_backend import PlainBackend
from transports import use_transport

import afnio_tellurio as te
from afnio_tellurio import MetricHistory
from afnio_tellurio.client import connection_of

NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


def history(*values):
    times = [NOON + dt.timedelta(seconds=number) for number in range(len(values))]
    return MetricHistory(
        "loss", [2**40 + number for number in range(len(values))], [*values], times
    )


def test_a_history_becomes_a_table_of_each_library():
    found = history(0.5, 1, math.inf)
    for table in (found.to_pandas(), found.to_polars()):
        assert list(table.columns) == ["step", "value", "timestamp"]
        assert list(table["step"]) == found.steps
        assert list(table["value"]) == [0.5, 1.0, math.inf]
        assert list(table["timestamp"]) == found.timestamps
    arrow = found.to_arrow()
    assert arrow.column_names == ["step", "value", "timestamp"]
    assert arrow.to_pydict()["timestamp"] == found.timestamps
    assert arrow.to_pydict()["value"] == [0.5, 1.0, math.inf]
    assert isinstance(found.to_pandas(), pd.DataFrame)
    assert isinstance(found.to_polars(), pl.DataFrame)
    assert isinstance(arrow, pa.Table)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0.5, 1, math.inf, -0.0], "float64"),
        ([1, -(2**63), 2**63 - 1], "int64"),
        ([1, 2**70], "float64"),
        ([True, False], "bool"),
        ([[1, 2], [3, 4]], "object"),
        (["a", None, {"b": 1}], "object"),
        ([], "float64"),
    ],
    ids=repr,
)
def test_a_history_becomes_arrays_of_numpy(values, kind):
    found = history(*values)
    arrays = found.to_numpy()
    assert list(arrays) == ["step", "value", "timestamp"]
    assert [array.shape for array in arrays.values()] == [(len(values),)] * 3
    assert (arrays["step"].dtype, arrays["value"].dtype) == ("int64", kind)
    assert arrays["step"].tolist() == found.steps
    assert arrays["value"].tolist() == values
    assert arrays["timestamp"].dtype == "datetime64[us]"
    assert [time.replace(tzinfo=dt.UTC) for time in arrays["timestamp"].tolist()] == (
        found.timestamps
    )


def test_a_time_that_no_backend_told_is_missing_in_an_array():
    found = MetricHistory("loss", [0, 1], [0.5, 1.5], [None, NOON])
    assert found.to_numpy()["timestamp"].tolist() == [None, NOON.replace(tzinfo=None)]
    assert found.to_pandas()["timestamp"].isna().tolist() == [True, False]


def test_integers_stay_integers_in_a_table():
    found = history(1, 2**53 + 1)
    assert list(found.to_pandas()["value"]) == [1, 2**53 + 1]
    assert found.to_polars()["value"].to_list() == [1, 2**53 + 1]
    assert found.to_arrow()["value"].to_pylist() == [1, 2**53 + 1]


@pytest.mark.parametrize(
    "values",
    [
        [[1, 2], [2.5]],
        [[[1]], [[2.5, math.inf]], [[]]],
        [[1, None], None, [2.5]],
        [1, 2.5, None],
        [{"a": 1}, {"a": 2}],
        ["a", None],
        [True, False],
    ],
    ids=repr,
)
def test_a_column_holds_each_value_as_it_is(values):
    found = history(*values)
    assert found.to_polars()["value"].to_list() == values
    assert found.to_arrow()["value"].to_pylist() == values


@pytest.mark.parametrize("values", [[{"a": 1}, {"b": 2}], [[{"a": 1}], [{"b": 2}]], [1, "a"]])
def test_what_a_column_of_polars_would_lose_is_refused(values):
    with pytest.raises(TypeError):
        history(*values).to_polars()


def test_a_history_of_nothing_has_columns_like_those_of_others():
    empty, full = history(), history(0.5)
    assert list(empty.to_pandas().dtypes) == list(full.to_pandas().dtypes)
    assert empty.to_polars().schema == full.to_polars().schema
    assert empty.to_arrow().schema == full.to_arrow().schema


def test_columns_of_times_that_no_backend_told_are_columns_of_times():
    found = MetricHistory("loss", [0], [0.5], [None])
    assert found.to_polars().schema == history(0.5).to_polars().schema
    assert found.to_arrow().schema == history(0.5).to_arrow().schema


@pytest.mark.parametrize("package", ["numpy", "pandas", "polars", "pyarrow"])
def test_a_library_that_is_not_installed_is_named(run_python, package):
    call = {"pyarrow": "to_arrow"}.get(package, f"to_{package}")
    finished = run_python(f"""
        import sys
        sys.modules["{package}"] = None
        import afnio_tellurio as te
        try:
            te.MetricHistory("m", [], [], []).{call}()
        except ImportError as error:
            print(error.name, "|", error)
    """)
    name, words = finished.stdout.strip().split(" | ")
    assert name == package
    assert f"pip install {package}" in words


def test_importing_loads_none_of_these_libraries(run_python):
    finished = run_python("""
        import sys
        import afnio_tellurio as te
        te.MetricHistory("m", [], [], [])
        print({"pandas", "polars", "pyarrow", "numpy"} & set(sys.modules))
    """)
    assert finished.stdout == "set()\n"


VALUES = [
    0.5, 1e-7, 1e300, -0.0, 5e-324, 3, 2**63 - 1, 2**70, True, None, "Infinity", "text", [1, [2.5]],
    {"a": "NaN"}, math.inf, "\U0001f600",
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_read_in_a_page_is_the_value_that_was_logged(backend, value):
    with te.init("acme", "Values") as run:
        run.log("m", value, step=0)
    (found,) = run.metrics("m").values  # noqa: PD011
    assert (found, type(found), repr(found)) == (value, type(value), repr(value))


@pytest.fixture(params=["backend", "backend without the filters"])
def client(request, tmp_path):
    client = te.TellurioClient.local(tmp_path / "x.db")
    if request.param != "backend":
        use_transport(client, PlainBackend(client._backend))
    yield client
    client.close()


@pytest.fixture
def five_runs(client):
    made = []
    for number in range(5):
        run = te.init("acme", "Digits", f"run {number}", client=client)
        run.finish(status=te.RunStatus.CRASHED if number % 2 else te.RunStatus.COMPLETED)
        made.append(run)
    return made


def names(found):
    return [run.name for run in found]


def test_runs_are_filtered_the_same_by_any_backend(client, five_runs):
    assert names(te.runs("acme", "digits", client)) == [
        f"run {number}" for number in (4, 3, 2, 1, 0)
    ]
    crashed = te.runs("acme", "digits", client, status=te.RunStatus.CRASHED)
    assert names(crashed) == ["run 3", "run 1"]
    second, fourth = five_runs[1].date_created, five_runs[3].date_created
    between = te.runs("acme", "digits", client, created_after=second, created_before=fourth)
    assert names(between) == ["run 2", "run 1"]
    assert names(te.runs("acme", "digits", client, limit=2)) == ["run 4", "run 3"]
    newest = list(te.runs("acme", "digits", client, limit=1, status=te.RunStatus.CRASHED))
    assert names(newest) == ["run 3"]
    assert newest[0].metrics() == {}


def test_a_limit_asks_the_backend_for_no_more(tmp_path, five_runs, client, monkeypatch):
    asked = []
    connection = connection_of(client)
    request = connection._pool.http.request

    def noting(method, url, **keywords):
        asked.append(dict(keywords.get("params") or {}))
        return request(method, url, **keywords)

    monkeypatch.setattr(connection._pool.http, "request", noting)
    list(te.runs("acme", "digits", client, limit=2, status=te.RunStatus.CRASHED))
    assert [(one["limit"], one["status"]) for one in asked] == [(2, "CRASHED")]


@pytest.mark.parametrize("client", ["backend"], indirect=True)
def test_a_page_is_asked_for_when_it_is_needed(five_runs, client, monkeypatch):
    monkeypatch.setattr("afnio_tellurio.api.operations.RUNS_PAGE", 2)
    asked = []
    connection = connection_of(client)
    request = connection._pool.http.request

    def noting(method, url, **keywords):
        asked.append(url)
        return request(method, url, **keywords)

    monkeypatch.setattr(connection._pool.http, "request", noting)
    found = te.runs("acme", "digits", client)
    assert len(asked) == 1
    assert [next(found).name, next(found).name] == ["run 4", "run 3"]
    assert len(asked) == 1
    assert next(found).name == "run 2"
    assert len(asked) == 2
    assert names(found) == ["run 1", "run 0"]


def test_a_limit_above_one_page_is_kept(monkeypatch, five_runs, client):
    monkeypatch.setattr("afnio_tellurio.api.operations.RUNS_PAGE", 2)
    assert names(te.runs("acme", "digits", client, limit=3)) == ["run 4", "run 3", "run 2"]


@pytest.mark.parametrize(
    ("filters", "kind", "words"),
    [
        (
            {"status": "DONE"},
            ValueError,
            "status is 'DONE'; it must be one of RUNNING",
        ),
        ({"created_after": "today"}, TypeError, "created_after is 'today'"),
        ({"created_before": dt.datetime(2026, 1, 1)}, ValueError, "which has no time zone"),  # noqa: DTZ001
        ({"limit": 0}, ValueError, "limit is 0"),
    ],
)
def test_filters_that_are_none_are_refused(client, filters, kind, words):
    with pytest.raises(kind, match=f"runs: .*{words}"):
        te.runs("acme", "digits", client, **filters)


def test_an_answer_that_only_the_generated_parser_takes_is_read(tmp_path):
    """A lone surrogate is not valid UTF-8, so msgspec rejects it, but Python does not."""
    uuid = "64d66d54-5506-44de-98a8-bba3efc4bf34"
    text = b'[{"name": "m", "value": "\\ud800", "step": 1, "timestamp": "2026-11-23T12:00:00.1234567Z"}]'
    client = te.TellurioClient("https://backend")
    answer = httpx.MockTransport(lambda _request: httpx.Response(200, content=text))
    use_transport(client, answer)
    run = te.Run(uuid, "r", None, te.RunStatus.COMPLETED, organization=te.RunOrg("acme"),
                 project=te.RunProject(uuid, "P", "p"))  # fmt: skip
    found = run.metrics("m", client)
    assert found.values == ["\ud800"]  # noqa: PD011
    assert found.timestamps == [NOON + dt.timedelta(microseconds=123456)]
    client.close()


@pytest.mark.parametrize(
    "call",
    [
        lambda client: te.runs("acme", "digits", client),
        lambda client: te.table("acme", "digits", client),
        lambda client: te.best("acme", "digits", "loss", "min", client),
        lambda client: te.get_run("acme", "digits", "run", client),
        lambda client: te.init("acme", "Digits", client=client),
    ],
    ids=["runs", "table", "best", "get_run", "init"],
)
def test_a_client_of_another_type_is_refused_by_name(call):
    with pytest.raises(TypeError, match=r"^client is 'run-0'; it must be a TellurioClient$"):
        call("run-0")


def test_a_prefix_of_files_must_be_a_string(client):
    with te.init("acme", "Digits", client=client) as run:
        pass
    with pytest.raises(TypeError, match="^files: prefix is 3, a int; it must be a string$"):
        run.files(3)
