"""Where to start, and messages about what does not exist."""

import datetime as dt
import json
import re

import pytest

import afnio_tellurio as te
from afnio_tellurio.cli.dates import date_from
from afnio_tellurio.cli.layout import columns_of


@pytest.fixture(autouse=True)
def embedded(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")


@pytest.fixture
def three_projects(home):
    """Five runs, one after another, in the projects of two namespaces."""
    places = [("acme", "Digits"), ("acme", "Letters"), ("other", "Solo")]
    for number in range(5):
        with te.init(*places[number % 3], f"run-{number}") as run:
            run.log("train/loss", number)
            run.log("odd" if number % 2 else "even", number)


def complaint(finished):
    assert (finished.returncode, finished.stdout) == (1, "")
    return finished.stderr.removesuffix("\n")


def listed(finished):
    assert (finished.returncode, finished.stderr) == (0, "")
    return [line.split()[:2] for line in finished.stdout.splitlines()[1:]]


def test_without_a_command_the_help_is_shown_and_no_database_is_created(invoke, home):
    finished = invoke()
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.startswith("usage: afnio-tellurio ")
    assert "Newest runs" not in finished.stdout
    assert not home.exists()


def test_without_a_command_the_newest_runs_are_shown(invoke, three_projects):
    finished = invoke()
    assert (finished.returncode, finished.stderr) == (0, "")
    _help, _title, table = finished.stdout.partition("\nNewest runs:\n")
    assert [line.split()[1] for line in table.splitlines()[1:]] == [
        *("run-4", "run-3", "run-2", "run-1", "run-0")
    ]


def test_without_a_command_a_backend_that_is_away_fails_nothing(invoke, no_connect_delay):
    url = "http://127.0.0.1:9"
    finished = invoke(
        TELLURIO_MODE="online", TELLURIO_BACKEND_HTTP_BASE_URL=url, TELLURIO_API_KEY="k"
    )
    assert finished.returncode == 0
    assert finished.stdout.startswith("usage: afnio-tellurio ")
    (line,) = finished.stderr.splitlines()
    assert line.startswith("afnio-tellurio: can't list the newest runs: ")


def test_runs_of_all_projects_are_listed_newest_first(invoke, three_projects):
    assert listed(invoke("runs")) == [
        ["acme/letters", "run-4"],
        ["acme/digits", "run-3"],
        ["other/solo", "run-2"],
        ["acme/letters", "run-1"],
        ["acme/digits", "run-0"],
    ]
    assert listed(invoke("ls")) == listed(invoke("runs"))


def test_runs_of_a_namespace_are_listed(invoke, three_projects):
    assert listed(invoke("runs", "acme", "--limit", "2")) == [
        ["acme/letters", "run-4"],
        ["acme/digits", "run-3"],
    ]
    facts = json.loads(invoke("runs", "other", "--json").stdout)
    assert [(run["project"], run["name"]) for run in facts] == [("other/solo", "run-2")]


def test_the_runs_of_all_projects_are_bounded(invoke):
    for number in range(20):
        te.init("acme", f"Project {number % 4}", f"run-{number}").finish()
    assert len(listed(invoke("runs"))) == 20
    te.init("acme", "Project 0", "run-20").finish()
    finished = invoke("runs")
    names = [line.split()[1] for line in finished.stdout.splitlines()[1:]]
    assert names == [f"run-{number}" for number in range(20, 0, -1)]
    more = "These are the 20 newest runs; --limit N shows more.\n"
    as_json = invoke("runs", "acme", "--json")
    assert (finished.stderr, as_json.stderr) == (more, more)
    assert [run["name"] for run in json.loads(as_json.stdout)] == names
    assert len(listed(invoke("runs", "--limit", "20"))) == 20
    assert len(listed(invoke("runs", "--limit", "21"))) == 21


def test_an_empty_list_is_a_line_on_stderr_and_no_header(invoke, three_projects):
    def told(*arguments):
        finished = invoke(*arguments)
        assert (finished.returncode, finished.stdout) == (0, "")
        return finished.stderr

    assert told("runs", "acme/digits", "--tag", "V1") == "No runs match.\n"
    assert told("runs", "acme", "--group", "nosuch") == "No runs match.\n"
    assert told("files", "acme/digits/run-0") == "The run has no files.\n"
    assert told("files", "acme/digits/run-0", "--prefix", "a") == "No files match.\n"
    assert told("files", "acme/digits/run-0", "--download", "a") == "The run has no files.\n"
    te.create_project("acme", "Empty")
    assert told("runs", "acme/empty") == "No runs yet; init() creates one.\n"
    for path in ((), ("acme",), ("acme/empty",)):
        assert told("artifacts", *path) == "No artifacts yet; log_artifact() creates one.\n"
        assert told("artifacts", *path, "--type", "model") == "No artifacts match.\n"
    assert told("trash") == told("trash", "acme") == "The trash is empty.\n"
    for command in (("runs", "acme/empty"), ("artifacts", "acme/empty"), ("trash", "acme")):
        finished = invoke(*command, "--json")
        assert (finished.stdout, finished.stderr) == ("[]\n", "")


def test_a_run_without_metrics_has_no_header_of_metrics(invoke):
    for name in ("one", "two"):
        te.init("acme", "Digits", name).finish()
    shown = invoke("show", "acme/digits/one")
    compared = invoke("compare", "acme/digits/one", "acme/digits/two")
    for finished in (shown, compared):
        assert (finished.returncode, finished.stderr) == (0, "")
        assert "one" in finished.stdout
        assert "METRIC" not in finished.stdout


def test_artifacts_of_all_projects_are_listed(invoke):
    places = [("acme", "Digits"), ("acme", "Letters"), ("other", "Solo")]
    for place in places:
        with te.init(*place) as run:
            run.log_artifact(b"1", "model", type="model", wait=True)
    every_one = ["acme/digits", "acme/letters", "other/solo"]
    for path, projects in (
        ((), every_one),
        (("acme",), every_one[:2]),
        (("other",), ["other/solo"]),
    ):
        assert listed(invoke("artifacts", *path)) == [[project, "model"] for project in projects]
        facts = json.loads(invoke("artifacts", *path, "--json").stdout)
        assert [each["project"] for each in facts] == projects
    (fact,) = json.loads(invoke("artifacts", "acme/Letters", "--json").stdout)
    assert (fact["project"], fact["name"]) == ("acme/letters", "model")
    refused = complaint(invoke("artifacts", "acmee"))
    assert refused.endswith(": Namespace acmee not found. Did you mean acme?")


def test_an_empty_home_says_what_creates_projects(invoke):
    for name in ("projects", "runs"):
        finished = invoke(name)
        assert (finished.returncode, finished.stdout) == (0, "")
        assert finished.stderr == f"No {name} yet; init() creates one.\n"
    assert invoke("artifacts").stderr == "No artifacts yet; log_artifact() creates one.\n"
    assert invoke("trash").stderr == "The trash is empty.\n"


def test_filters_and_metrics_apply_to_all_projects(invoke, three_projects):
    finished = invoke("runs", "--where", 'metric("odd") > 0', "--metrics", "odd")
    assert listed(finished) == [["acme/digits", "run-3"], ["acme/letters", "run-1"]]
    assert [line.split()[-1] for line in finished.stdout.splitlines()] == ["odd", "3", "1"]


def test_an_order_requires_a_project(invoke, three_projects):
    finished = invoke("runs", "acme", "--sort", "created")
    assert finished.returncode == 2
    assert "--sort and --reverse require NAMESPACE/PROJECT" in finished.stderr


def test_projects_of_all_namespaces_are_listed(invoke, three_projects):
    rows = [["acme/digits", "Digits"], ["acme/letters", "Letters"], ["other/solo", "Solo"]]
    assert listed(invoke("projects")) == rows
    facts = json.loads(invoke("projects", "--json").stdout)
    assert [(each["namespace"], each["slug"]) for each in facts] == [
        tuple(path.split("/")) for path, _name in rows
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("projects", "nosuch"), "Namespace nosuch not found. Namespaces: acme, other"),
        (("projects", "acm"), "Namespace acm not found. Did you mean acme?"),
        (("trash", "nosuch"), "Namespace nosuch not found. Namespaces: acme, other"),
        (("runs", "nosuch"), "Namespace nosuch not found. Namespaces: acme, other"),
        (("runs", "acme/x"), "Project acme/x not found. Projects in acme: digits, letters"),
        (("runs", "acme/digit"), "Project acme/digit not found. Did you mean digits?"),
        (
            ("runs", "acme/digits/run-0"),
            "Project acme/digits/run-0 not found. To show a run: afnio-tellurio show acme/digits/run-0",
        ),
        (("show", "acme/x/y"), "Project acme/x not found. Projects in acme: digits, letters"),
        (("delete", "acme/x"), "Project acme/x not found. Projects in acme: digits, letters"),
        (("artifacts", "acme/x"), "Project acme/x not found. Projects in acme: digits, letters"),
        (
            ("show", "acme/digits/x"),
            "Run acme/digits/x not found. Newest runs: run-3, run-0",
        ),
        (
            ("files", "acme/letters/run-5"),
            "Run acme/letters/run-5 not found. Did you mean run-4 or run-1?",
        ),
        (
            ("runs", "acme/digits", "--metrics", "los"),
            "None of the runs has the metric 'los'; logged: even, odd, train/loss",
        ),
        (
            ("runs", "--metrics", "train/los"),
            "None of the runs has the metric 'train/los'; did you mean 'train/loss'?",
        ),
        (
            ("compare", "acme/digits/run-0", "acme/digits/run-3", "--metrics", "x"),
            "None of the runs has the metric 'x'; logged: even, odd, train/loss",
        ),
    ],
)
def test_what_does_not_exist_is_answered_with_what_does(invoke, three_projects, arguments, message):
    assert complaint(invoke(*arguments)) == f"afnio-tellurio {arguments[0]}: {message}"


@pytest.mark.parametrize(
    ("where", "problem", "column"),
    [
        ("statu = 1", "a run has no attribute 'statu'", 0),
        ("status = RUNNING or (", "expected a name here", 21),
        (f"name = 'é' and name = '{'x' * 200}' and 7", "expected a name here", 229),
        ("name = “x”", "use straight quotes: \"text\" or 'text'", 7),
        ('"x" in tag', "expected a name without quotes here, such as status, or a test of tags", 0),
    ],
)
def test_an_invalid_filter_is_shown_with_a_caret(invoke, three_projects, where, problem, column):
    for path in ((), ("acme/digits",)):
        first, shown, caret = complaint(invoke("runs", *path, "--where", where)).splitlines()
        assert first.startswith(f"afnio-tellurio runs: Invalid filter: {problem}")
        assert caret.strip() == "^"
        assert len(shown) <= 80
        assert shown[2:] in where
        assert where.index(shown[2:]) + caret.index("^") - 2 == column


def test_the_caret_is_below_what_is_invalid_after_wide_letters(invoke, three_projects):
    _first, shown, caret = complaint(invoke("runs", "--where", "name = '日本e\u0301' and 7")).split(
        "\n"
    )
    assert columns_of(caret) - 1 == columns_of(shown[: shown.index("7")])


@pytest.mark.parametrize(
    "arguments",
    [
        ("note", "acme/digits/run-0", "\udcff"),
        ("tag", "acme/digits/run-0", "\udcff"),
        ("rename", "acme/digits/run-0", "\udcff"),
        ("show", "acme/digits/\udcff"),
    ],
)
def test_messages_name_no_function_of_the_library(invoke, three_projects, arguments):
    line = complaint(invoke(*arguments))
    assert re.fullmatch(
        rf"afnio-tellurio {arguments[0]}: (notes|tag|run name|run) contains .*", line
    )


def test_any_limit_is_accepted(invoke, three_projects):
    for path in ((), ("acme/digits",)):
        limited = invoke("runs", *path, "--limit", str(10**30))
        assert listed(limited) == listed(invoke("runs", *path))


def test_a_value_that_looks_like_an_option_is_explained(invoke, three_projects):
    finished = invoke("runs", "acme/digits", "--sort", "-created")
    assert finished.returncode == 2
    assert finished.stderr.splitlines()[-1] == (
        "afnio-tellurio runs: error: argument --sort: expected one argument; if it starts with -, "
        "write --sort=VALUE"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sho",), "argument COMMAND: invalid choice: 'sho'; did you mean 'show'?"),
        (
            ("artifact", "dif"),
            "argument ACTION: invalid choice: 'dif'; did you mean 'diff'?",
        ),
        (
            ("runs", "--metrcs", "x"),
            "unrecognized arguments: --metrcs; did you mean '--metrics'?",
        ),
        (
            ("runs", "--status", "complete"),
            (
                "argument --status: invalid choice: 'complete' (choose from running, completed, "
                "crashed, failed); did you mean 'completed'?"
            ),
        ),
    ],
)
def test_misspelled_words_are_answered_with_similar_ones(invoke, arguments, message):
    finished = invoke(*arguments)
    assert finished.returncode == 2
    assert finished.stderr.splitlines()[-1].endswith(f"error: {message}")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "ACME/digits/run-0"), "Namespace ACME not found. Did you mean acme?"),
        (("show", "acme/DIGIT/run-0"), " not found. Did you mean digits?"),
        (("show", "acme/digits/RUN-0"), "Did you mean run-0 or run-3?"),
        (("runs", "acme/digits", "--metrics", "EVEN"), "; did you mean 'even'?"),
        (("runs", "acme/digits", "--where", 'metric("EVEN") = 1'), "; did you mean 'even'?"),
        (("runs", "acme/digits", "--where", "config.LR = 1"), "; did you mean 'config.lr'?"),
        # What all names of configs begin with does not make them similar.
        (
            ("runs", "acme/digits", "--where", "config.zzz = 1"),
            "; it has 'config.epochs', 'config.lr'.",
        ),
    ],
)
def test_names_in_another_case_are_answered_with_the_right_ones(
    invoke, three_projects, arguments, words
):
    te.init("acme", "Digits", "tuned", config={"lr": 0.1, "epochs": 3}).finish()
    assert complaint(invoke(*arguments)).endswith(words)


def test_listed_metrics_are_quoted_as_the_option_takes_them(invoke):
    with te.init("acme", "Digits", "run") as run:
        for name in ("plain", 'odd, "name"', " at an end"):
            run.log(name, 1)
    for command in (("runs", "acme/digits"), ("show", "acme/digits/run")):
        text = complaint(invoke(*command, "--metrics", "zzz"))
        names = text.partition("; logged: ")[2]
        assert names == '" at an end", "odd, ""name""", plain'
        facts = json.loads(invoke(*command, "--metrics", names, "--json").stdout)
        metrics = facts["metrics"] if command[0] == "show" else facts[0]["metrics"]
        assert set(metrics) == {"plain", 'odd, "name"', " at an end"}


@pytest.mark.parametrize("command", ["runs", "artifact show"])
def test_help_is_a_command_too(invoke, command):
    shown = invoke("help", *command.split())
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout == invoke(*command.split(), "--help").stdout
    assert invoke("help").stdout == invoke("--help").stdout
    assert invoke("help", "ls").stdout == invoke("help", "runs").stdout


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("finished", "completed"),
        ("Done", "completed"),
        ("SUCCESS", "completed"),
        ("killed", "crashed"),
        ("crash", "crashed"),
        ("error", "crashed"),
        ("fail", "failed"),
        ("active", "running"),
    ],
)
def test_a_status_by_another_name_is_answered_with_the_one_it_means(invoke, word, status):
    finished = invoke("runs", "--status", word)
    assert finished.returncode == 2
    assert finished.stderr.endswith(f"crashed, failed); did you mean {status!r}?\n")
    finished = invoke("runs", "--where", f"status = {word}")
    line = finished.stderr.splitlines()[0]
    assert line.endswith(f"a run has no status {word!r}; did you mean {status.upper()!r}?")
    with pytest.raises(ValueError, match=rf"; did you mean {status.upper()}\?$"):
        te.runs("acme", "digits", status=word)


@pytest.mark.parametrize("arguments", [("runs",), ("show", "acme/digits/run-0"), ()])
def test_commands_that_read_do_not_tell_where_runs_are_saved(
    invoke, three_projects, monkeypatch, arguments
):
    monkeypatch.delenv("TELLURIO_MODE")
    finished = invoke(*arguments)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "run-0" in finished.stdout


def test_the_completion_of_the_shell_in_use_is_printed(invoke):
    finished = invoke("completion", SHELL="/usr/bin/zsh")
    assert finished.returncode == 0
    assert finished.stdout == invoke("completion", "zsh").stdout
    finished = invoke("completion", SHELL="/bin/sh")
    assert finished.returncode == 2
    assert "completion requires a SHELL: bash, zsh, fish, powershell" in finished.stderr


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90m", dt.timedelta(minutes=90)),
        ("7d", dt.timedelta(days=7)),
        ("2 w", dt.timedelta(weeks=2)),
        ("1h", dt.timedelta(hours=1)),
        ("last week", dt.timedelta(weeks=1)),
        ("Last hour", dt.timedelta(hours=1)),
    ],
)
def test_spans_before_now_are_dates(text, ago):
    before = dt.datetime.now(dt.UTC)
    parsed = date_from(text)
    assert before - ago <= parsed <= dt.datetime.now(dt.UTC) - ago


def test_an_export_into_a_missing_directory_names_the_directory(invoke, three_projects, tmp_path):
    missing = tmp_path / "missing"
    finished = invoke("export", "acme/digits/run-0", "--output", str(missing / "x.csv"))
    assert complaint(finished) == f"afnio-tellurio export: No such directory: '{missing}'"


def test_whoami_without_a_key_says_where_runs_are_saved(invoke, monkeypatch):
    monkeypatch.delenv("TELLURIO_MODE")
    assert complaint(invoke("whoami")).endswith(
        ", so runs are saved on this machine; run: afnio-tellurio login"
    )
    assert "so runs" not in complaint(invoke("whoami", TELLURIO_MODE="online"))


@pytest.mark.parametrize(
    ("sort", "message"),
    [
        ("config.", "Invalid sort: expected a name of the config here, not the end; "),
        ('metric("train/loss"', "Invalid sort: metric requires ')' here, not the end"),
        (" -config", "Invalid sort: config requires a name, such as config.lr"),
        ("-", "Invalid sort: expected a name here, such as status, not the end"),
        ("", "Invalid sort: expected a name here, such as status, not the end"),
    ],
)
def test_an_invalid_sort_is_named_and_shown(invoke, three_projects, sort, message):
    lines = complaint(invoke("runs", "acme/digits", f"--sort={sort}")).split("\n")
    assert lines[0].startswith(f"afnio-tellurio runs: {message}")
    assert lines[1] == f"  {sort}"
    assert lines[2].strip() == "^"
    end = len(sort) if "not the end" in message else sort.index("config")
    assert lines[2].index("^") == 2 + end


def test_a_misspelled_attribute_to_sort_by_is_suggested(invoke, three_projects):
    assert complaint(invoke("runs", "acme/digits", "--sort", "duraton")) == (
        "afnio-tellurio runs: Can't sort by 'duraton': the runs have no such metric or attribute; "
        "did you mean 'duration'?"
    )
    assert complaint(invoke("runs", "acme/digits", "--sort", "zzz")).endswith(
        "such metric or attribute; logged: even, odd, train/loss"
    )


def test_a_name_in_the_config_to_sort_by_is_suggested(invoke, three_projects):
    te.init(
        "acme", "Digits", "tuned", config={"lr": 0.1, "optim": {"beta": 0.9}, "a b": 1}
    ).finish()
    for name, path in (("lr", "config.lr"), ("beta", "config.optim.beta")):
        assert complaint(invoke("runs", "acme/digits", "--sort", name)) == (
            f"afnio-tellurio runs: Can't sort by {name!r}: the runs have no such metric or "
            f"attribute; did you mean {path!r}?"
        )
        assert ["tuned", "COMPLETED"] in listed(invoke("runs", "acme/digits", "--sort", path))
    for name in ("eta", "a b"):
        assert "did you mean" not in complaint(invoke("runs", "acme/digits", "--sort", name))


def test_a_minus_sign_reverses_the_order_of_a_metric_too(invoke, three_projects):
    def names(*arguments):
        return [name for name, _status in listed(invoke("runs", "acme/digits", *arguments))]

    for sort in ("train/loss", 'metric("train/loss")', "created"):
        assert names(f"--sort={sort}") == ["run-0", "run-3"]
        assert names(f"--sort=-{sort}") == ["run-3", "run-0"]
        assert names(f"--sort=-{sort}", "--reverse") == ["run-0", "run-3"]
