"""Filters and orders of runs: the backend, and the layer for a backend without them, agree."""

import math

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from transports import use_transport

import afnio_tellurio as te
from afnio_tellurio.api import operations
from afnio_tellurio.backend import open_backend
from afnio_tellurio.client import connection_of

CONFIGS = [
    {},
    {"lr": 0.1, "optim": {"name": "adam", "lr": 1}, "debug": True},
    {"lr": 1, "optim": {"name": "sgd", "lr": 1e-3}, "debug": False, "optim.name": "flat"},
    {"lr": "0.1", "optim": "adam", "note": ""},
    {"lr": None, "optim.lr": 0.5, "optim.name": "flat"},
    {"lr": math.nan, "note": "a\nb", "width": 2**70},
    {"lr": math.inf, "note": "Zürich", "width": -(2**62)},
    {"lr": -math.inf, "note": "\U0001f600", "width": 2**53 + 1},
    {"lr": [0.1, 1], "optim": {"name": ["adam"], "lr": {"x": 1}}},
    {"lr": 1.0, "note": 'it\'s \\ "quoted"', "my width": 3, "0": 7},
    {"lr": True, "note": "true", "width": 2.0**53},
    {"lr": "", "note": "NULL", "width": 0},
]
METRICS = {
    0: {"loss": [1.0, 0.5]},
    1: {"loss": [0.5], "val/acc": [0.25, 0.75, 0.5], "phase": ["train", "eval"]},
    2: {"loss": [math.nan], "val/acc": [1, 2]},
    3: {"loss": [math.inf, 1.0]},
    4: {"loss": [-math.inf], "phase": [None]},
    5: {"loss": [True], "phase": ["train"]},
    6: {"loss": ["a\\NaN"], "val/acc": [2**70]},
    7: {"phase": [{"a": 1}], "val/acc": [[1, 2]]},
    8: {"loss": [3], "phase": [""]},
}
TAGS = {1: ["baseline"], 2: ["baseline", "a b"], 5: ["Baseline"]}


class WithoutFilters(httpx.BaseTransport):
    """A backend that ignores filters and orders."""

    def __init__(self, app):
        self._inner = httpx.WSGITransport(app=app)

    def handle_request(self, request):
        url = request.url
        for name in ("where", "sort"):
            url = url.copy_remove_param(name)
        plain = httpx.Request(
            request.method, url, headers=request.headers, stream=request.stream,
            extensions=request.extensions,
        )  # fmt: skip
        return self._inner.handle_request(plain)


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    path = tmp_path_factory.mktemp("filters") / "x.db"
    direct, without = te.TellurioClient.local(path), te.TellurioClient.local(path)
    for number, config in enumerate(CONFIGS):
        status = ("COMPLETED", "FAILED", "CRASHED")[number % 3]
        run = te.init(
            "acme", "Digits", f"run-{number}", description="x" * (number % 2) or None,
            config=config, tags=TAGS.get(number, ()), group=f"g{number % 2}",
            job_type="train" if number % 4 else None, notes="two\nlines" if number == 3 else None,
            client=direct,
        )  # fmt: skip
        for name, values in METRICS.get(number, {}).items():
            for step, value in enumerate(values):
                run.log(name, value, step=step)
        run.finish(status=status)
    with te.init("acme", "Empty", client=direct):
        pass
    backend = open_backend(path)
    use_transport(without, WithoutFilters(backend))
    yield direct, without
    direct.close()
    without.close()
    backend.close()


def names(client, **query):
    """The names of the runs, or that the query is invalid."""
    try:
        return [run.name for run in te.runs("acme", "digits", client, **query)]
    except ValueError:
        return "invalid"


TERMS = [
    "name", "status", "user", "group", "job_type", "description", "notes", "parent", "created",
    "updated", "ended", "duration", "config.lr", "config.optim", "config.optim.name",
    "config.optim.lr", "config.note", "config.width", 'config."my width"', "config.0",
    "config.debug", 'metric("loss")', 'metric("loss").min', "metric(loss).max",
    'metric("val/acc").last', 'metric("val/acc").max', 'metric("val/acc").count',
    "metric(phase)", "metric(loss).last_step", "metric(loss).first_step",
]  # fmt: skip
VALUES = [
    "0.1", "1", "-1", "0", "0.5", "1e3", "3", "9007199254740993", "1180591620717411303424", "true",
    "false", "null", "NaN", "Infinity", "-Infinity", '""', '"adam"', "adam", '"flat"', "eval",
    '"0.1"', '"NaN"', "COMPLETED", "failed", "g1", '"Zürich"', '"\U0001f600"', "-1h", "-10000d",
    "2026-01-01", "2090-01-01T10:00+02:00", "2h", "1s", '"a\nb"', "train", '"it\'s \\\\ \\"quoted\\""',
]  # fmt: skip
PATTERNS = [
    '"^run-1"',
    '"a"',
    '"."',
    '"^$"',
    '"(?i)ADAM|flat"',
    '"[\\\\d]+$"',
    '"\U0001f600"',
    '"z{2}"',
]
comparisons = st.one_of(
    st.builds(
        "{} {} {}".format,
        st.sampled_from(TERMS),
        st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
        st.sampled_from(VALUES),
    ),
    st.builds(
        "{} {} {}".format,
        st.sampled_from(TERMS),
        st.sampled_from(["~", "!~"]),
        st.sampled_from(PATTERNS),
    ),
    st.builds(
        "{} {} ({}, {})".format,
        st.sampled_from(TERMS),
        st.sampled_from(["in", "not in"]),
        st.sampled_from(VALUES),
        st.sampled_from(VALUES),
    ),
    st.builds(
        "{} {} tags".format,
        st.sampled_from(['"baseline"', "baseline", '"a b"', "other"]),
        st.sampled_from(["in", "not in"]),
    ),
)
filters = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds("not {}".format, inner),
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
    ),
    max_leaves=4,
)


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("operator", ["=", "<", ">="])
def test_each_comparison_is_the_same_here_and_there(clients, term, operator):
    direct, without = clients
    for value in VALUES:
        where = f"{term} {operator} {value}"
        assert names(direct, where=where) == names(without, where=where), where


@given(filters)
@example('not (config.lr < 1 or config.lr = null) and "baseline" not in tags')
def test_filters_are_the_same_here_and_there(clients, where):
    direct, without = clients
    assert names(direct, where=where) == names(without, where=where)


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("direction", ["", "-"])
def test_orders_are_the_same_here_and_there_and_in_pages(clients, monkeypatch, term, direction):
    direct, without = clients
    sort = direction + term
    expected = names(without, sort=sort)
    assert len(expected) == len(CONFIGS)
    assert names(direct, sort=sort) == expected
    monkeypatch.setattr("afnio_tellurio.api.operations.RUNS_PAGE", 2)
    assert names(direct, sort=sort) == expected
    assert names(direct, sort=sort, limit=3) == names(without, sort=sort, limit=3) == expected[:3]
    where = "config.lr != null and metric(loss) != 0.5"
    assert names(direct, sort=sort, where=where) == names(without, sort=sort, where=where)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("status = completed", [0, 3, 6, 9]),
        ("status in (FAILED, CRASHED) and name ~ '-1'", [1, 10, 11]),
        ("config.lr = 1", [2, 9]),
        ("config.lr <= 1", [1, 2, 7, 9]),
        ("config.lr = true", [10]),
        ("config.lr = NaN", [5]),
        ("config.lr > 1", [6]),
        ("config.lr = '0.1'", [3]),
        ("config.lr = null", [0, 4]),
        ("not config.lr < 1", [0, 2, 3, 4, 5, 6, 8, 9, 10, 11]),
        ("config.optim.name = flat", [4]),
        ("config.optim.lr < 1", [2, 4]),
        ('config."my width" = 3', [9]),
        ("config.debug != true", [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        ("baseline in tags", [1, 2]),
        ('"a b" in tags or Baseline in tags', [2, 5]),
        ("metric(loss) = NaN", [2]),
        ('metric("val/acc").max > 0.8', [2, 6]),
        ("metric(loss).min < 0.6", [0, 1, 4]),
        ("metric(phase) = eval", [1]),
        ("metric(phase) ~ '^t'", [5]),
        ("metric(phase) = null", [0, 2, 3, 4, 6, 9, 10, 11]),
        ("metric(loss).count = 2", [0, 3]),
        ("created > -1h and ended != null and duration < 1d", list(range(12))),
        ("created > 2020-01-01 10:00 and created < 2999-12-31 23:59:59", list(range(12))),
        ("created < 2020-01-01 or group = g1 and job_type = null", []),
        ("notes ~ 'o$' or notes ~ 's$'", [3]),
        ("NOT (status = COMPLETED OR status = FAILED)", [2, 5, 8, 11]),
    ],
)
def test_what_filters_mean(clients, where, expected):
    for client in clients:
        assert sorted(names(client, where=where)) == sorted(f"run-{n}" for n in expected)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"where": "statu = RUNNING"}, "at character 1: .*'statu'.*did you mean 'status'"),
        ({"where": "status = FINISHED"}, "at character 10: .*'FINISHED'; did you mean 'COMPLETED'"),
        ({"where": 'metric("los") < 1'}, "no run of the project has metric.*did you mean 'loss'"),
        ({"where": "config.otpim.lr < 1"}, "no run .* config.otpim.lr; did you mean 'config.optim"),
        ({"sort": "metric(los)"}, "did you mean 'loss'"),
        ({"sort": "nam"}, "sort.* at character 1.*did you mean 'name'"),
    ],
)
def test_unknown_names_are_errors_that_list_near_ones(clients, query, message):
    for client in clients:
        with pytest.raises(ValueError, match=f"(?i){message}"):
            te.runs("acme", "digits", client, **query)


def test_what_is_invalid_is_named_the_filter_or_the_sort(clients):
    direct, _without = clients
    for query, words in (
        ({"where": "nam = x"}, "where: Invalid filter at character 1: "),
        ({"sort": "nam"}, "sort: Invalid sort at character 1: "),
        ({"where": "config.nam = 1"}, "where: No run of the project has config.nam; "),
        ({"sort": "config.nam"}, "sort: Can't sort by config.nam: no run of the project has it; "),
    ):
        with pytest.raises(te.BadRequestError) as raised:
            list(operations.list_runs(connection_of(direct), "acme", "digits", details=query))
        assert raised.value.words.startswith(words)


def test_an_order_that_no_run_has_is_an_error_that_names_it(clients):
    for client in clients:
        with pytest.raises(
            ValueError, match=r"^runs: can't sort by metric\(\"los\"\)\.last: no run"
        ):
            te.runs("acme", "digits", client, sort="metric(los)")


def test_the_first_unknown_name_is_the_one_that_is_reported(clients):
    names = [f"unknown{number}" for number in range(8)]
    where = " or ".join(f"(config.{name} = 1 and config.{name} = 2)" for name in names)
    for client in clients:
        with pytest.raises(ValueError, match="has config.unknown0;"):
            te.runs("acme", "digits", client, where=where, sort="config.unknown9")


def test_suggested_names_of_a_config_are_as_filters_write_them(clients):
    for client in clients:
        with pytest.raises(ValueError, match="did you mean 'config.\"my width\"'"):
            te.runs("acme", "digits", client, where='config."my widht" = 3')


ODD = {
    "large": {"x": 2**70 + 1, "unset": None},
    "huge": {"x": 10**400},
    "least": {"x": -(10**400)},
    "limit": {"x": -(2**63) - 1},
    "nul": {"x": "a\0b", "inner": {"unset": None}},
    "only-nul": {"x": "\0"},
}


@pytest.fixture(scope="module")
def odd(clients):
    """Runs with values that SQLite reads in its own way, in configs, metrics, and notes."""
    direct, without = clients
    for name, config in ODD.items():
        notes = f"{config['x']}" if isinstance(config["x"], str) else None
        with te.init("acme", "Odd", name, config=config, notes=notes, client=direct) as run:
            run.log("x", config["x"])

    def found(client, **query):
        return [run.name for run in te.runs("acme", "odd", client, **query)]

    return lambda **query: (found(direct, **query), found(without, **query))


@pytest.mark.parametrize("term", ["config.x", "metric(x)"])
@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("= 1180591620717411303424", ["large"]),
        ("> 1e300", ["huge"]),
        ("= Infinity", ["huge"]),
        ("< -9e18", ["limit", "least"]),
        ("= NaN", []),
        ("= -9223372036854775808", ["limit"]),
        ("= 'a'", ["nul"]),
        ("= 'a\0b'", []),
        ("~ '^a$'", ["nul"]),
        ("= ''", ["only-nul"]),
    ],
)
def test_values_that_sqlite_reads_in_its_own_way_match_here_and_there(
    odd, term, condition, expected
):
    assert odd(where=f"{term} {condition}") == (expected, expected)


@pytest.mark.parametrize("sort", ["config.x", "-config.x", "metric(x)", "notes", "-notes"])
def test_values_that_sqlite_reads_in_its_own_way_are_sorted_alike(odd, sort):
    direct, without = odd(sort=sort)
    assert direct == without
    assert len(direct) == len(ODD)


def test_a_name_of_a_config_that_is_null_is_known(odd):
    for name in ("unset", "inner.unset"):
        assert odd(where=f"config.{name} = null") == (list(ODD)[::-1], list(ODD)[::-1])


def test_a_project_without_metrics_and_configs_has_no_unknown_names(clients):
    for client in clients:
        where = "config.lr < 1 or metric(loss) > 1"
        assert list(te.runs("acme", "empty", client, where=where, sort="config.lr")) == []


def test_regular_expressions_that_take_too_long_are_refused(clients, monkeypatch):
    direct, _without = clients
    times = iter([0.0, 1.0, 10.5, 11.0])
    monkeypatch.setattr(
        "afnio_tellurio.backend.store.run_conditions.monotonic", lambda: next(times)
    )
    with pytest.raises(ValueError, match="runs: the regular expressions take too long"):
        te.runs("acme", "digits", direct, where='name ~ "x$" and status != RUNNING')
    assert next(times) == 11.0
    monkeypatch.undo()
    assert len(names(direct, where='name ~ "run"')) == len(CONFIGS)


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ('name ~ "x" and baseline in tags', 2),
        ('not (config.note !~ "x" or metric(loss).count != 2)', 1),
        ('(name ~ "x" or config.lr = 0.25) and status != RUNNING and metric(loss) != null', 8),
        ('name ~ "x" and name ~ "y"', 12),
    ],
)
def test_conditions_that_take_long_are_tested_last(clients, monkeypatch, where, count):
    tests = []
    monkeypatch.setattr(
        "afnio_tellurio.backend.store.run_conditions.monotonic",
        lambda: float(bool(tests.append(1))),
    )
    direct, _without = clients
    assert names(direct, where=where) == []
    # One call is the start.
    assert len(tests) - 1 == count


def test_only_the_start_of_a_long_text_is_searched(clients):
    direct, without = clients
    run = te.init("acme", "Long", notes="a" * 100_000 + "b", client=direct)
    run.finish()
    for client in (direct, without):
        for where, count in (('notes ~ "a$"', 1), ('notes ~ "b"', 0)):
            assert len(list(te.runs("acme", "long", client, where=where))) == count
