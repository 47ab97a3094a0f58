"""The SDK against the contract: it reaches every operation, and reads back what it wrote."""

from __future__ import annotations

import ast
import math
import uuid
from pathlib import Path

import exchanges
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import afnio_tellurio as te
from afnio_tellurio.backend import (
    aliases,
    artifact_versions,
    artifacts,
    auth,
    blobs,
    charts,
    lineage,
    metrics,
    projects,
    run_files,
    run_lists,
    run_tables,
    runs,
    tables,
    uploads,
)
from afnio_tellurio.backend.application import _snake_case
from afnio_tellurio.client import connection_of
from afnio_tellurio.default_client import default_client
from afnio_tellurio.delivery import file_transfer

SOURCES = Path(te.__file__).parent
MAX_STEP = 2**63 - 1
OPERATION_IDS = {
    operation["operationId"]
    for item in exchanges.CONTRACT["paths"].values()
    for operation in item.values()
    if isinstance(operation, dict)
}

#: For programs that upload by themselves: `createUpload` says what is missing, and old uploads are
#: removed.
UNREACHED = {"getUpload", "abortUpload"}

# The public API reaches every operation


def called_operations(source):
    """The generated operations that a module imports and calls, by the names of their modules."""
    tree = ast.parse(source)
    imported = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tellurio_api.api.")
        for alias in node.names
    }
    return {
        imported[node.value.id]
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        # If the SDK parses the response itself, it builds the request with _get_kwargs.
        and node.attr in {"sync_detailed", "sync_stream", "_get_kwargs"}
        and isinstance(node.value, ast.Name)
        and node.value.id in imported
    }


def test_every_operation_has_a_caller_in_the_ergonomic_layer():
    called = {
        operation
        for path in SOURCES.rglob("*.py")
        if "local" not in path.relative_to(SOURCES).parts
        for operation in called_operations(path.read_text("utf-8"))
    }
    assert called == {_snake_case(name) for name in OPERATION_IDS}


def test_an_import_alone_is_no_caller():
    imported = "from tellurio_api.api.runs import get_run as find, list_runs\n"
    assert called_operations(imported) == set()
    assert called_operations(f"{imported}call(find.sync_detailed)") == {"get_run"}
    assert called_operations("call(find.sync_detailed)") == set()


OPERATIONS = (
    aliases, artifact_versions, artifacts, auth, blobs, charts, lineage, metrics, projects, run_files,
    run_lists, run_tables, runs, tables, uploads,
)  # fmt: skip


def test_every_operation_has_a_function_in_the_embedded_backend_and_no_other_has():
    taking_calls = {
        name
        for module in OPERATIONS
        for name, function in vars(module).items()
        if not name.startswith("_")
        and getattr(function, "__annotations__", {}) == {"call": "Call", "return": "Answer"}
    }
    assert taking_calls == {_snake_case(name) for name in OPERATION_IDS}


@pytest.mark.usefixtures("backend")
def test_the_public_calls_reach_every_operation(monkeypatch):
    before = len(exchanges.checked_operations())
    te.login()
    te.create_project("acme", "Digits")
    te.list_projects("acme")
    with te.init("acme", "Digits", "first") as run:
        run.log("loss", 1)
        run.metrics()
        run.summary()
        run.curve("loss")
        run.update("second")
        run.config_changes()
        run.log_rows("table", [{"a": 1}])
        run.rows("table")
        te.summaries([run])
        te.table("acme", "Digits")
        te.curves([run], "loss")
    te.list_namespaces()
    te.list_metrics("acme", "Digits")
    te.get_run("acme", "Digits", run.uuid)
    list(te.runs("acme", "Digits"))
    with te.init("acme", "Digits") as run:
        # As with a backend that is known to lack batches.
        run._recording.open_outbox().transfer._singles_left = 1
        run.log("loss", 1)
    te.delete_run("acme", "Digits", run.uuid)
    te.restore_run("acme", "Digits", run.uuid)
    te.delete_project("acme", "digits")
    te.restore_project("acme", "digits")
    te.list_trash("acme")
    with te.init("acme", "Digits") as run:
        run.log_artifact(b"1", "data", wait=True).alias("best")
        # A backend in this process would take the files themselves.
        connection_of(default_client()).adopt_blobs = None
        run.log_artifact(bytes(5 * 2**20), "large", wait=True)
        # In parts.
        monkeypatch.setattr(file_transfer, "BLOB_BYTES", 5 * 2**20)
        run.log_artifact(bytes(6 * 2**20), "larger", wait=True)
        version = run.use_artifact("data:best")
        assert version.read_bytes("data") == b"1"
        version.unalias("best")
        version.delete()
        te.restore_artifact("acme/digits/data:v0")
        run.log_text("answers", "words")
        assert run.open_file("answers").read() == b"words"
        assert (len(run.outputs()), len(version.consumers)) == (3, 1)
    te.list_artifacts("acme", "digits")
    te.list_artifact_versions("acme", "digits", "data")
    assert set(exchanges.checked_operations()[before:]) == OPERATION_IDS - UNREACHED


# Every value is read back as it was written

SPECIAL_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXT = st.text(CHARACTERS, max_size=20)
NAMES = st.text(CHARACTERS, min_size=1, max_size=255).filter(lambda name: not name.isspace())
INTEGERS = st.integers() | st.integers(-(2**13_000), 2**13_000)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | INTEGERS
LEAVES = (
    st.none()
    | st.booleans()
    | NUMBERS
    # These three strings represent NaN and the infinities.
    | TEXT.filter(lambda text: text not in SPECIAL_NUMBERS)
)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
ARRAYS = st.recursive(
    NUMBERS | st.sampled_from(list(SPECIAL_NUMBERS.values())),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=12,
)


@st.composite
def nested(draw):
    """A leaf nested up to 100 levels deep, the maximum in the contract."""
    value = draw(LEAVES)
    for is_list in draw(st.lists(st.booleans(), min_size=90, max_size=100)):
        value = [value] if is_list else {"": value}
    return value


VALUES = DOCUMENTS | ARRAYS | nested()
STEPS = st.integers(0, MAX_STEP) | st.integers(0, 9) | st.none()

check = settings(
    derandomize=True,
    database=None,
    deadline=None,
    # All examples may share the backend of the fixtures: each starts its own run.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
both_transports = pytest.mark.usefixtures("backend")


def new_project():
    return f"Project {uuid.uuid4()}"


@both_transports
@check
@given(st.lists(VALUES, min_size=1, max_size=6))
def test_any_value_is_read_back_as_it_was_logged(values):
    with te.init("acme", "Digits") as run:
        for number, value in enumerate(values):
            run.log(f"value/{number}", value)
        run.log_metrics({f"together/{number}": value for number, value in enumerate(values)})
    read = te.get_run("acme", "Digits", run.uuid).metrics()
    for number, value in enumerate(values):
        for group in ("value", "together"):
            # As text, 1 differs from 1.0 and -0.0 from 0.0, and NaN equals itself.
            assert repr(read[f"{group}/{number}"].values) == repr([value])


@both_transports
@check
@given(st.lists(NAMES, min_size=1, max_size=4, unique=True))
def test_any_name_is_that_of_its_metric(names):
    with te.init("acme", "Digits") as run:
        for number, name in enumerate(names):
            run.log(name, number)
    read = run.metrics()
    assert list(read) == list(run.summary()) == sorted(names)
    for number, name in enumerate(names):
        assert read[name].values == run.metrics(name).values == [number]
        assert run.curve(name) == ([0], [number])


@both_transports
@check
@given(st.lists(st.tuples(STEPS, st.floats(allow_nan=False)), min_size=1, max_size=12))
def test_any_steps_are_kept_in_order_and_counted_on(points):
    expected = []
    for step, value in points:
        greatest = max((step for step, _ in expected), default=-1)
        assume(step is not None or greatest < MAX_STEP)
        expected.append((greatest + 1 if step is None else step, value))
    expected.sort(key=lambda point: point[0])
    with te.init("acme", "Digits") as run:
        for step, value in points:
            run.log("loss", value, step)
    read, summary = run.metrics("loss"), run.summary()["loss"]
    steps, values = [step for step, _ in expected], [value for _, value in expected]
    assert (read.steps, repr(read.values)) == (steps, repr(values))
    assert (summary.count, summary.first_step, summary.last_step) == (
        len(points), steps[0], steps[-1],
    )  # fmt: skip
    assert repr(summary.last) == repr(values[-1])
    assert (summary.minimum, summary.maximum) == (min(values), max(values))


@both_transports
@check
@given(
    NAMES,
    st.none() | TEXT,
    st.sampled_from(te.RunStatus),
    st.sampled_from([s for s in te.RunStatus if s != te.RunStatus.RUNNING]),
)
def test_any_run_is_found_with_its_name_description_and_status(name, description, first, last):
    project = new_project()
    run = te.init("acme", project, name, description, first)
    assert [found.status for found in te.runs("acme", project)] == [first]
    run.finish(status=last)
    found = te.get_run("acme", project, run.uuid)
    assert (found.name, found.description) == (name, description)
    assert found.status is (last if first is te.RunStatus.RUNNING else first)
    assert te.get_run("acme", project, name).uuid == run.uuid
    run.update(name=f"{name[:200]} again", description=name)
    found = te.get_run("acme", project, run.uuid)
    assert (found.name, found.description) == (f"{name[:200]} again", name)


@both_transports
@check
@given(
    st.text(CHARACTERS, max_size=40).map(lambda text: f"a{text}"),
    st.sampled_from(["TEAM", "RESTRICTED", "PUBLIC", "OPEN"]),
)
def test_any_project_is_found_with_its_name_and_visibility(name, visibility):
    made = te.create_project("acme", name, visibility)
    try:
        found = te.get_project("acme", made.slug)
        assert (found.display_name, found.visibility) == (name, visibility)
        assert [project.uuid for project in te.list_projects("acme")] == [made.uuid]
    finally:
        te.delete_project("acme", made.slug, purge=True)
