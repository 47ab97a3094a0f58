"""Runs as rows of a table: from the backend, and here for a backend that does not tabulate."""

import math

import exchanges
import httpx
import pytest
from plain_backend import PlainBackend
from transports import use_transport

import afnio_tellurio as te
from afnio_tellurio.backend import open_backend

RUNS = [
    (
        "first",
        {"optim": {"lr": 0.1}, "layers": [1, 2], "a.b": 1},
        {"loss": [3.0, 1.0], "acc": [0.5]},
    ),
    ("second", {"optim": {"lr": 1}, "name": "x"}, {"loss": [2.0, 4.0, math.inf]}),
    (
        "third",
        {"optim": "none", "huge": 2**70},
        {"loss": [math.nan], "phase": ["train"], "name": [1]},
    ),
    ("fourth", {}, {"acc": [True], "loss": [2**70]}),
]


@pytest.fixture
def direct(tmp_path):
    client = te.TellurioClient.local(tmp_path / "x.db")
    for number, (name, config, metrics) in enumerate(RUNS):
        run = te.init(
            "acme", "Digits", name, config=config, tags=["b", "a"][number:], group="g",
            client=client,
        )  # fmt: skip
        for metric, values in metrics.items():
            for step, value in enumerate(values):
                run.log(metric, value, step=step)
        run.finish()
    yield client
    client.close()


@pytest.fixture
def plain(tmp_path, direct):
    client = te.TellurioClient.local(tmp_path / "x.db")
    backend = open_backend(tmp_path / "x.db")
    use_transport(client, LackingTables(backend))
    yield client
    client.close()
    backend.close()


class LackingTables(httpx.WSGITransport):
    """A backend without the operation."""

    def __init__(self, backend):
        super().__init__(app=backend)

    def handle_request(self, request):
        if request.url.path.endswith("/table/"):
            return httpx.Response(404, json={"detail": "Not found."}, request=request)
        return super().handle_request(request)


def same(one, other):
    """Compares columns; NaN equals NaN."""
    assert list(one.columns) == list(other.columns)
    for name, values in one.columns.items():
        assert repr(values) == repr(other.columns[name]), name
    return True


def test_a_table_has_all_values_of_all_runs(direct):
    before = len(exchanges.checked_operations())
    table = te.table("acme", "digits", direct, sort="created")
    assert exchanges.checked_operations()[before:].count("tabulateRuns") == 1
    assert len(exchanges.checked_operations()) == before + 1
    columns = table.columns
    assert list(columns) == [
        "uuid", "name", "status", "created", "ended", "duration", "user", "group", "job_type",
        "tags", "config.a.b", "config.huge", "config.layers", "config.name", "config.optim",
        "config.optim.lr", "acc", "loss", 'metric("name").last', "phase",
    ]  # fmt: skip
    assert (len(table), repr(table)) == (4, "RunTable(4 runs, 20 columns)")
    assert columns["name"] == ["first", "second", "third", "fourth"]
    assert columns["tags"] == [["a", "b"], ["a"], [], []]
    assert columns["config.optim.lr"] == [0.1, 1, None, None]
    assert columns["config.layers"] == [[1, 2], None, None, None]
    assert columns["config.huge"] == [None, None, 2**70, None]
    assert columns["loss"][:2] == [1.0, math.inf]
    assert math.isnan(columns["loss"][2])
    assert columns["acc"] == [0.5, None, None, True]
    assert columns['metric("name").last'] == [None, None, 1, None]
    runs = list(te.runs("acme", "digits", direct, sort="created"))
    assert columns["uuid"] == [run.uuid for run in runs]
    assert columns["created"] == [run.date_created for run in runs]
    assert columns["ended"] == [run.date_ended for run in runs]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"where": "metric(loss).min < 2", "sort": "-name"},
        {"metrics": ["loss"], "config": ["optim.lr", "config.a.b", "nosuch"], "limit": 2},
        {"metrics": {"loss": "min", "acc": "count"}, "config": ()},
        {"metrics": {"loss": "max", "phase": "last_step"}, "sort": "metric(loss).max"},
        {"metrics": (), "config": ()},
        {"where": "name = nosuch"},
    ],
)
def test_a_table_is_the_same_without_the_operation_and_in_pages(direct, plain, monkeypatch, query):
    expected = te.table("acme", "digits", direct, **query)
    assert same(te.table("acme", "digits", plain, **query), expected)
    monkeypatch.setattr("afnio_tellurio.api.run_tables._PAGE", 1)
    paged = te.table("acme", "digits", direct, **query)
    assert {name: repr(values) for name, values in paged.columns.items()} == {
        name: repr(values) for name, values in expected.columns.items()
    }
    options = {name: value for name, value in query.items() if name in {"metrics", "config"}}
    runs = te.runs("acme", "digits", direct, **{k: v for k, v in query.items() if k not in options})
    assert same(te.table(list(runs), **options), expected)


def test_a_backend_without_extensions_has_tables_too(tmp_path):
    client = te.TellurioClient.local(tmp_path / "y.db")
    backend = open_backend(tmp_path / "plain.db")
    use_transport(client, PlainBackend(backend))
    run = te.init("acme", "Digits", "first", client=client)
    run.log("loss", 1.5)
    run.finish()
    table = te.table("acme", "digits", client)
    assert (table.columns["name"], table.columns["loss"]) == (["first"], [1.5])
    assert te.best("acme", "digits", "loss", "min", client).name == "first"
    client.close()
    backend.close()


def test_tables_become_frames(direct):
    table = te.table(
        "acme", "digits", direct, metrics=["loss"], config=["optim.lr"], sort="created"
    )
    pandas, polars, arrow = table.to_pandas(), table.to_polars(), table.to_arrow()
    assert pandas.shape == polars.shape == arrow.shape == (4, 12)
    assert polars["config.optim.lr"].to_list() == [0.1, 1.0, None, None]
    assert arrow["name"].to_pylist() == list(pandas["name"]) == table.columns["name"]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("loss", "min"), "first"),
        (("loss", "max"), "second"),
        (("acc", "max"), "first"),
    ],
)
def test_the_best_run(direct, plain, arguments, name):
    for client in (direct, plain):
        assert te.best("acme", "digits", *arguments, client).name == name
    assert te.best("acme", "digits", "loss", "min", direct, where="name != first").name == "second"
    assert te.best("acme", "digits", "loss", "min", direct, part="max").name == "first"


@pytest.mark.parametrize(
    ("call", "error", "problem"),
    [
        (lambda: te.table("acme"), TypeError, "table: project is missing"),
        (lambda: te.table("acme", "digits", metrics="loss"), TypeError, "metrics is 'loss'"),
        (lambda: te.table("acme", "digits", config=3), TypeError, "config is 3"),
        (
            lambda: te.table("acme", "digits", metrics={"loss": "mean"}),
            ValueError,
            "'mean'; it must",
        ),
        (
            lambda: te.table("acme", "digits", metrics={"loss": ["min"]}),
            ValueError,
            r"\['min'\]; it must",
        ),
        (lambda: te.table("acme", "digits", limit=0), ValueError, "table: limit is 0"),
        (lambda: te.table("acme", "digits", limit=1.5), TypeError, "table: limit is 1.5"),
        (lambda: te.table("acme", "digits", limit=True), TypeError, "table: limit is True"),
        (lambda: te.runs("acme", "digits", limit="3"), TypeError, "runs: limit is '3'"),
        (lambda: te.table(None), TypeError, "table: None must be a list of runs"),
        (lambda: te.table([3]), TypeError, "table: 3 must be a run"),
        (lambda: te.summaries("first"), TypeError, "summaries: 'first' must be a list of runs"),
        (lambda: te.curves([None], "loss"), TypeError, "curves: None must be a run"),
        (
            lambda: te.table("acme", "digits", where="a b"),
            ValueError,
            "table: where is 'a b', invalid",
        ),
        (lambda: te.best("acme", "digits", "loss", "best"), ValueError, "mode is 'best'"),
        (
            lambda: te.best("acme", "digits", "loss", "min", part="mean"),
            ValueError,
            "part is 'mean'",
        ),
        (
            lambda: te.best("acme", "digits", "los", "min"),
            ValueError,
            "^best: no run .* did you mean 'loss'",
        ),
        (
            lambda: te.best("acme", "digits", "loss", "min", where="sttus = COMPLETED"),
            ValueError,
            "^best: where is 'sttus = COMPLETED', invalid at character 1: .* 'status'",
        ),
        (
            lambda: te.best("acme", "digits", "loss", "min", where="name = a) or (name = b"),
            ValueError,
            "^best: where is 'name = a. or .name = b', invalid",
        ),
        (lambda: te.best("acme", "digits", "phase", "max"), LookupError, "no run .* has a number"),
        (lambda: te.table("acme", "nosuch"), te.NotFoundError, "nosuch"),
    ],
)
def test_what_is_invalid(direct, monkeypatch, call, error, problem):
    monkeypatch.setattr("afnio_tellurio.run_tables.client_or_default", lambda _client: direct)
    monkeypatch.setattr("afnio_tellurio.tracking.finding.client_or_default", lambda _client: direct)
    with pytest.raises(error, match=problem):
        call()


@pytest.mark.parametrize("where", ["sttus = 1", 'metric("los") > 1', "name = a) or (name = b"])
def test_best_names_itself_and_the_filter_that_was_passed(plain, where):
    with pytest.raises(ValueError, match="^best: ") as raised:
        te.best("acme", "digits", "loss", "min", plain, where=where)
    assert "null" not in str(raised.value)


@pytest.mark.parametrize(
    "argument", [{"where": "name = first"}, {"sort": "name"}, {"limit": 1}, {"project": "digits"}]
)
def test_runs_are_not_filtered_by_what_chooses_runs_of_a_project(direct, argument):
    every_run = list(te.runs("acme", "digits", direct))
    (name,) = argument
    with pytest.raises(TypeError, match=f"table: pass runs or {name}, not both"):
        te.table(every_run, **argument)
    with pytest.raises(TypeError, match="must be a list of runs"):
        te.table(every_run[0])


def test_a_column_that_arrow_cannot_hold_is_named(direct):
    with pytest.raises((TypeError, ValueError), match="'config.optim' have several types"):
        te.table("acme", "digits", direct, config=["optim"], metrics=()).to_arrow()
    with pytest.raises(OverflowError, match="'config.huge'"):
        te.table("acme", "digits", direct, config=["huge"], metrics=()).to_arrow()


@pytest.mark.parametrize("is_purged", [False, True])
def test_a_deleted_run_is_an_error_that_tells_how_to_restore_it(direct, is_purged):
    fifth = te.init("acme", "Digits", "fifth", client=direct)
    fifth.finish()
    first = te.get_run("acme", "digits", "first", direct)
    # A run without metrics exists.
    assert te.table([first, fifth]).columns["name"] == ["first", "fifth"]
    te.delete_run("acme", "digits", fifth.uuid, direct, purge=is_purged)
    path = f"acme/digits/{fifth.uuid}"
    hint = f"is in the trash. To restore it: afnio-tellurio restore {path}"
    problem = "not found." if is_purged else hint
    message = f"Cannot get run ({path}): Run {fifth.uuid} of project digits {problem}"
    with pytest.raises(te.NotFoundError) as tabulated:
        te.table([first, fifth])
    assert str(tabulated.value) == message
    with pytest.raises(te.NotFoundError) as summarized:
        fifth.summary()
    assert summarized.value.words == tabulated.value.words
    assert te.table([first, fifth], metrics=[]).columns["name"] == ["first", "fifth"]


def test_one_of_many_runs_without_metrics_is_found_to_be_deleted(direct, monkeypatch):
    monkeypatch.setattr("afnio_tellurio.overviews._NAMED_IN_FILTER", 3)
    for number in range(7):
        te.init("acme", "Digits", f"empty-{number}", client=direct).finish()
    runs = [run for run in te.runs("acme", "digits", direct) if run.name.startswith("empty")]
    assert len(te.table(runs)) == 7
    te.delete_run("acme", "digits", runs[5].uuid, direct)
    with pytest.raises(te.NotFoundError, match=runs[5].uuid):
        te.table(runs)
