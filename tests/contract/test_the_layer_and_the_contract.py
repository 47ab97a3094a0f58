"""The layer has every word, field, bound and operation of the contract; each message names a file."""

import copy
import functools
import inspect
import json
import re
from pathlib import Path

import attrs
import exchanges
import pytest

import afnio_tellurio as te
from afnio_tellurio import artifact_paths
from afnio_tellurio.api import entities, metrics
from afnio_tellurio.api import run_tables as api_run_tables
from afnio_tellurio.api.artifact_entities import VersionRecord
from afnio_tellurio.backend import artifact_structs, blob_structs, structs
from afnio_tellurio.backend import artifacts as backend_artifacts
from afnio_tellurio.backend import charts as backend_charts
from afnio_tellurio.backend import lineage as backend_lineage
from afnio_tellurio.backend import metrics as backend_metrics
from afnio_tellurio.backend import projects as backend_projects
from afnio_tellurio.backend import run_files as backend_run_files
from afnio_tellurio.backend import run_lists as backend_run_lists
from afnio_tellurio.backend import run_tables as backend_run_tables
from afnio_tellurio.backend import runs as backend_runs
from afnio_tellurio.backend import tables as backend_tables
from afnio_tellurio.filters import lexing, values
from afnio_tellurio.operation_names import failure_of
from afnio_tellurio.settings import limits
from afnio_tellurio.tracking import statuses

CONTRACT = exchanges.CONTRACT
SCHEMAS = CONTRACT["components"]["schemas"]
SOURCES = Path(te.__file__).parent

# Words


def statuses_in(pattern, file):
    """The status words of a source file, in the part that a pattern matches."""
    text = (SOURCES / file).read_text("utf-8")
    return set(re.findall(r"\b[A-Z]{3,}\b", re.search(pattern, text)[0]))


#: Every place that lists the statuses of a run, and what it lists.
STATUSES = {
    "api/entities.py, RunStatus": set(te.RunStatus),
    "tracking/statuses.py, ENDED": {*statuses.ENDED, "RUNNING"},
    "filters/values.py, STATUSES": set(values.STATUSES),
    "backend/structs.py, RunStatus": set(structs.RunStatus),
    "backend/page/runs.js, SIGNS": statuses_in(
        r"(?<=const SIGNS = )\{[^}]*\}", "backend/page/runs.js"
    ),
}
#: Sources with several statuses that do not list all of them, and why.
NOT_LISTS = {
    "tracking/run.py": "how a block and finish end a run",
    "tracking/safeguard.py": "how the end of a process ends a run",
    "tracking/functions.py": "how init and finish begin and end a run",
    "tracking/awaitable.py": "the same, for event loops",
    "tracking/notebook_cells.py": "how a newer run ends one of a notebook",
    "delivery/recovery.py": "a run of a dead process has crashed",
    "uploading.py": "the same",
    "tracking/ending.py": "how finish names those that it takes",
    "integrations/lightning.py": "how a fit ends",
    "cli/layout.py": "their colors; any other status is plain",
    "backend/page/page.css": "the same, on the page",
    "cli/listing.py": "projects are listed with the numbers of two",
    "backend/page/projects.js": "the same, on the page",
    "backend/page/heads.js": "the same, in a heading",
    "importing/mlflow.py": "what the statuses of mlflow mean",
    "importing/wandb.py": "what the exit codes of wandb mean",
}


@pytest.mark.parametrize("place", STATUSES)
def test_each_list_of_statuses_is_that_of_the_contract(place):
    assert STATUSES[place] == set(SCHEMAS["RunStatus"]["enum"]), f"src/afnio_tellurio/{place}"


def test_no_other_source_lists_statuses():
    words = re.compile(rf"\b({'|'.join(SCHEMAS['RunStatus']['enum'])})\b")
    listing_files = {
        path.relative_to(SOURCES).as_posix()
        for path in SOURCES.rglob("*")
        if path.suffix in {".py", ".js", ".css"} and "vendor" not in path.parts
        if len(set(words.findall(code_of(path)))) > 1
    }
    known = {place.partition(",")[0] for place in STATUSES} | set(NOT_LISTS)
    assert listing_files - known == set(), "add it to STATUSES or NOT_LISTS"


def code_of(path):
    """A source without docstrings and comments."""
    comments = r'(?s:""".*?""")|#.*' if path.suffix == ".py" else r"(?s:/\*.*?\*/)|//.*"
    return re.sub(comments, "", path.read_text("utf-8"))


def test_the_statuses_are_described_where_people_read_of_them():
    for status in SCHEMAS["RunStatus"]["enum"]:
        assert status in SCHEMAS["RunStatus"]["description"], "openapi/tellurio.yaml, RunStatus"
        logging_page = (SOURCES.parents[1] / "docs" / "logging.md").read_text("utf-8")
        assert status in logging_page, "docs/logging.md"


def test_the_visibilities_are_described():
    for visibility in SCHEMAS["Visibility"]["enum"]:
        assert f'"{visibility}"' in te.create_project.__doc__, "projects.py, create_project"
        assert f'"{visibility}"' in entities.Project.__doc__, "api/entities.py, Project"


# Fields


def fields_of(entity):
    if attrs.has(entity):
        return {field.name for field in attrs.fields(entity)}
    if hasattr(entity, "_fields"):
        return set(entity._fields)
    return {name for name in entity.__annotations__ if not name.startswith("_")}


#: The entity of each schema of a successful response: its fields that have another name, and those
#: that are left out, with the reason.
ENTITIES = {
    "Project": (te.Project, {}, {}),
    "RunProject": (te.RunProject, {}, {}),
    "RunUser": (te.RunUser, {}, {}),
    "Run": (te.Run, {}, {"etag": "Run.update sends it, for programs that ask for that"}),
    "EndReason": (te.EndReason, {}, {}),
    "ConfigChange": (te.ConfigChange, {}, {}),
    "Metric": (te.MetricPoint, {}, {}),
    "MetricSummary": (te.MetricSummary, {}, {}),
    "SummaryColumns": (
        te.MetricSummary,
        {},
        {"name": "a key of the result", "run_uuid": "a key of the result"},
    ),
    "RunTable": (
        te.RunTable, {"run_uuid": "columns"}, {},
    ),
    "RunColumn": (
        te.RunTable, {"cells": "columns"}, {"term": "a key of the columns"},
    ),
    "SampledSeries": (
        te.MetricCurve,
        {"step": "steps", "last": "values", "minimum": "minima", "maximum": "maxima",
         "timestamp": "timestamps"},
        {"width": "for the page, which draws ranges", "replaces_from": "for the page, which polls",
         "count": "for the page, which merges ranges"},
    ),
    "Table": (
        te.TableSummary, {"row_key": "key"}, {"name": "a key of the result"},
    ),
    "TableRow": (
        te.TableRows, {"value": "rows", "timestamp": "timestamps"}, {"number": "their order"},
    ),
    "TrashedItem": (te.TrashedItem, {}, {}),
    "Artifact": (te.ArtifactSummary, {}, {}),
    "ArtifactFile": (te.ArtifactFile, {}, {}),
    "ArtifactRun": (te.ArtifactLink, {}, {}),
    "ArtifactVersion": (VersionRecord, {}, {}),
    "RunArtifact": (te.ArtifactLink, {}, {}),
    "RunFile": (te.RunFile, {}, {}),
    "Namespace": (
        te.RunOrg,
        {},
        {"uuid": "no operation takes it", "display_name": "a run's organization has its slug only"},
    ),
}  # fmt: skip
#: The schemas of successful responses without an entity, and what becomes of their fields.
WITHOUT_ENTITY = {
    "ArtifactDirection": "an enumeration, kept as a string",
    "MissingBlobs": "delivery sends those",
    "Upload": "delivery sends the parts that are missing",
    "ApiKeyOwner": "login returns a dictionary of email and username, as afnio does",
    "MetricBatchReceipt": "delivery moves its position",
    "MetricColumns": "MetricHistory has them as lists",
    "PackedNumbers": "MetricHistory has them as lists",
    "PackedKind": "MetricHistory has them as lists",
    "MetricBucket": "Run.curve returns two lists of numbers",
    "MetricSamples": "a list of SampledSeries, and the cursor of the page's polls",
    "MetricSummaries": "a dictionary of MetricSummary",
    "ProjectMetric": "list_metrics returns names",
    "RunStatus": "an enumeration",
    "TrashedKind": "an enumeration, kept as a string",
    "Visibility": "an enumeration, kept as a string",
}


def schemas_of_answers():
    """The names of the schemas that successful responses consist of."""
    names, todo = set(), []
    for operation in operations_of(CONTRACT).values():
        todo += [
            response for status, response in operation["responses"].items() if status[0] == "2"
        ]
    while todo:
        for name in re.findall(r"#/components/schemas/(\w+)", json.dumps(todo.pop())):
            if name not in names:
                names.add(name)
                todo.append(SCHEMAS[name])
    return names


def test_each_schema_of_an_answer_has_an_entity_or_a_reason():
    assert schemas_of_answers() == set(ENTITIES) | set(WITHOUT_ENTITY), "ENTITIES in this file"


@pytest.mark.parametrize("schema", ENTITIES)
def test_each_field_of_an_answer_is_an_attribute(schema):
    entity, renamed, left_out = ENTITIES[schema]
    fields = {
        renamed.get(name, name) for name in set(SCHEMAS[schema]["properties"]) - set(left_out)
    }
    assert set(left_out) <= set(SCHEMAS[schema]["properties"])
    file = Path(__import__(entity.__module__, fromlist=["x"]).__file__).name
    missing = fields - fields_of(entity)
    assert not missing, f"{entity.__name__} in api/entities.py, api/metrics.py or {file}: {missing}"


# What is deprecated

#: What warns of each deprecated part of the contract: public functions, alone or with the name of a
#: parameter, and entities with the name of a field; or the reason why nothing does.
DEPRECATED = {}


def deprecated_parts(contract):
    """The deprecated parts of a contract, each with its sunset and the files that concern it."""
    schemas = contract["components"]["schemas"]
    for operation_id, operation in operations_of(contract).items():
        files = f"api/operations.py, {callers_of(operation_id)}"
        yield operation_id, operation, files
        for parameter in map(resolver_of(contract), operation.get("parameters", ())):
            yield f"{operation_id} parameter {parameter['name']}", parameter, files
        for status, response in operation["responses"].items():
            for name, header in resolver_of(contract)(response).get("headers", {}).items():
                yield f"{operation_id} {status} header {name}", resolver_of(contract)(header), files
    for name, schema in schemas.items():
        users = [
            operation_id
            for operation_id, operation in operations_of(contract).items()
            if f'/schemas/{name}"' in json.dumps(operation.get("requestBody", {}))
        ]
        files = ", ".join(filter(None, map(callers_of, users)))
        yield name, schema, files if name not in ENTITIES else file_of(ENTITIES[name][0])
        for field, node in schema.get("properties", {}).items():
            place = files if name not in ENTITIES else file_of(ENTITIES[name][0], field)
            yield f"{name}.{field}", node, place
        for value, node in schema.get("x-enum-values", {}).items():
            yield f"{name} value {value}", node, "the lists of STATUSES"


def operations_of(contract):
    return {
        operation["operationId"]: {
            **operation,
            "parameters": [*item.get("parameters", ()), *operation.get("parameters", ())],
        }
        for item in contract["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    }


def resolver_of(contract):
    def resolve(node):
        target = contract
        for part in node.get("$ref", "#/").split("/")[1:]:
            target = target[part] if part else node
        return target

    return resolve


@functools.cache
def sources_by_function():
    """The sources that call each function of api/operations.py."""
    found = {}
    for path in sorted(SOURCES.rglob("*.py")):
        for name in set(re.findall(r"\boperations\.(\w+)", path.read_text("utf-8"))):
            found.setdefault(name, []).append(path.relative_to(SOURCES).as_posix())
    return found


def callers_of(operation_id):
    """The sources that call the function of an operation."""
    name = re.sub(r"(?=[A-Z])", "_", operation_id).lower()
    return ", ".join(sources_by_function().get(name, ()))


def file_of(entity, field=None):
    """The source of an entity, or of the class that it has a field from."""
    for kind in entity.__mro__:
        if field is None or field in vars(kind).get("__annotations__", {}):
            entity = kind
            break
    module = te._MODULE_OF.get(entity.__name__, entity.__module__)
    return module.removeprefix("afnio_tellurio.").replace(".", "/") + ".py"


def warnings_of(counterpart, name=""):
    """What a function or an entity of the layer warns of."""
    if isinstance(counterpart, type):
        return getattr(inspect.getattr_static(counterpart, name, None), "message", "")
    return getattr(counterpart, "deprecations", {}).get(name, "")


def silent_parts(contract, deprecated):
    """A line for each deprecated part whose counterpart does not warn."""
    parts = {name: each for name, *each in deprecated_parts(contract) if each[0].get("deprecated")}
    for name, (node, files) in parts.items():
        counterparts = deprecated.get(name)
        if counterparts is None:
            yield f"{name} is deprecated: warn in {files}, and add it to DEPRECATED in this file"
        elif not isinstance(counterparts, str):
            for function, *parameter in counterparts:
                if str(node.get("x-sunset", "deprecated")) not in warnings_of(function, *parameter):
                    place = ".".join([function.__name__, *parameter])
                    yield f"{name} is deprecated: {place} does not say so; warn in {files}"
    yield from (f"{name} in DEPRECATED is not deprecated" for name in deprecated.keys() - parts)


def test_what_the_contract_deprecates_warns():
    assert list(silent_parts(CONTRACT, DEPRECATED)) == []


LIST_RUNS = ("paths", "/api/v0/{namespace_slug}/projects/{project_slug}/runs/", "get")
RUN = ("components", "schemas", "Run", "properties")
CREATE = ("components", "schemas", "RunCreate", "properties", "name")


@pytest.mark.parametrize(
    ("path", "name", "files"),
    [
        (LIST_RUNS, "listRuns", "api/operations.py, overviews.py, tracking/finding.py"),
        ((*LIST_RUNS, "parameters", 0), "listRuns parameter status", "tracking/finding.py"),
        ((*RUN, "user"), "Run.user", "api/entities.py"),
        (CREATE, "RunCreate.name", "tracking/functions.py"),
        (("components", "schemas", "RunUser"), "RunUser", "api/entities.py"),
        (("components", "headers", "NextCursor"), "listRuns 200 header Next-Cursor", "finding.py"),
    ],
)
def test_each_part_that_is_deprecated_and_does_not_warn_is_named(path, name, files):
    contract = copy.deepcopy(CONTRACT)
    node = contract
    for key in path:
        node = node[key]
    node.update({"deprecated": True, "x-sunset": "2027-01-31"})
    lines = list(silent_parts(contract, {}))
    (line,) = [line for line in lines if line.startswith(f"{name} is deprecated: ")]
    assert files in line
    counterparts = [(te.init, "name"), (te.RunOrg, "slug")]
    lines = [line for line in silent_parts(contract, {name: counterparts}) if line.startswith(name)]
    assert [line.partition("; ")[0] for line in lines] == [
        f"{name} is deprecated: init.name does not say so",
        f"{name} is deprecated: RunOrg.slug does not say so",
    ]
    assert f"{name} in DEPRECATED is not deprecated" in silent_parts(CONTRACT, {name: "why"})


# Bounds

#: The constant of each upper bound of a request. The same number may stand in several places.
BOUNDS = {
    "maxLength of name": limits.MAX_NAME_LENGTH,
    "maxLength of display_name": limits.MAX_NAME_LENGTH,
    "maxLength of Idempotency-Key": 255,
    "maxLength of group": limits.MAX_NAME_LENGTH,
    "maxLength of job_type": limits.MAX_NAME_LENGTH,
    "maxLength of EndReason.type": limits.MAX_END_TYPE,
    "maxLength of type": limits.MAX_ARTIFACT_TYPE,
    "maxLength of description": limits.MAX_DESCRIPTION,
    "maxLength of path": artifact_paths.MAX_PATH,
    "maxLength of reference": limits.MAX_REFERENCE,
    "maxLength of content_type": 255,
    # Names, aliases, and digests are shorter.
    "maxLength of version": 128,
    "maxItems of aliases": limits.MAX_TAGS,
    "maxItems of blobs": limits.CHECKED_BLOBS,
    "maxItems of files": limits.INLINE_FILES,
    "maximum of limit in listArtifacts": backend_artifacts._MAX_PAGE,
    "maximum of limit in listArtifactVersions": backend_artifacts._MAX_PAGE,
    "maximum of limit in listArtifactFiles": backend_artifacts._MAX_FILES,
    "maximum of limit in listArtifactRuns": backend_lineage._MAX_PAGE,
    "maximum of limit in listRunArtifacts": backend_lineage._MAX_PAGE,
    "maximum of limit in listRunFiles": backend_run_files._MAX_FILES,
    "maxLength of message": limits.MAX_END_TEXT,
    "maxLength of traceback": limits.MAX_END_TEXT,
    # Words of ours.
    "maxLength of kind": 64,
    "maxLength of signal": 64,
    "maxItems of tags": limits.MAX_TAGS,
    "maxItems of add_tags": limits.MAX_TAGS,
    "maxItems of remove_tags": limits.MAX_TAGS,
    "maximum of step": limits.MAX_STEP,
    "maximum of after_step": structs.MAX_STEP,
    "maximum of from_step": structs.MAX_STEP,
    "maximum of to_step": structs.MAX_STEP,
    "maximum of first_sequence_number": structs.MAX_STEP - structs.MAX_BATCH,
    "maxItems of metrics": limits.OBJECT_BATCH_METRICS,
    "maxItems of run": limits.MAX_SAMPLED,
    "maxItems of name": limits.MAX_SAMPLED,
    "maximum of buckets": limits.MAX_BUCKETS,
    "maximum of limit in listNamespaces": backend_projects._MAX_PAGE,
    "maximum of limit in listProjects": backend_projects._MAX_PAGE,
    "maximum of limit in listTrash": backend_projects._MAX_PAGE,
    "maximum of limit in listProjectMetrics": backend_charts._MAX_METRICS,
    "maximum of limit in summarizeProjectMetrics": backend_charts._MAX_METRICS,
    "maxLength of where": lexing.MAX_CHARACTERS,
    "maxLength of sort": lexing.MAX_CHARACTERS,
    "maximum of limit in tabulateRuns": api_run_tables._PAGE,
    "maxItems of column": backend_run_tables._MAX_COLUMNS,
    "maximum of limit in listRuns": backend_run_lists._MAX_RUNS,
    "maximum of limit in listConfigChanges": backend_runs._MAX_CHANGES,
    "maxLength of row_key": limits.MAX_NAME_LENGTH,
    "maximum of limit in listTables": backend_tables._MAX_TABLES,
    "maximum of limit in listRows": backend_tables._MAX_ROWS,
    "maximum of limit in listMetrics": backend_metrics._MAX_METRICS,
    "maximum of columns.first_sequence_number": structs.MAX_STEP - structs.MAX_COLUMN,
    **{
        f"maxItems of columns.{name}": limits.BATCH_METRICS
        for name in ("names", "name", "value", "step", "timestamp", "is_row", "row_key")
    },
}
#: Schemas and fields whose bounds are not those of other fields with that name.
PREFIXES = {"MetricBatchColumns": "columns.", ("EndReason", "type"): "EndReason."}
#: What the backend checks with, beside the layer.
OF_THE_BACKEND = {
    "maximum of step": structs.MAX_STEP,
    "maxItems of metrics": structs.MAX_BATCH,
    "maxItems of blobs": blob_structs.MAX_BLOBS,
    "maxItems of files": artifact_structs.MAX_FILES,
    "maxItems of aliases": artifact_structs.MAX_ALIASES,
    "maxItems of columns.value": structs.MAX_COLUMN,
}


def bounds_of_requests():
    """Each upper bound of a parameter or of a field of a request body, by its name."""
    bounds = {}

    def note(name, schema, operation):
        for keyword in ("maximum", "maxLength", "maxItems"):
            if keyword in schema:
                place = f"{keyword} of {name}"
                place += f" in {operation}" if name == "limit" else ""
                bounds.setdefault(place, set()).add(schema[keyword])

    for operation_id, operation in operations_of(CONTRACT).items():
        for parameter in operation.get("parameters", ()):
            if "schema" in parameter:
                note(parameter["name"], parameter["schema"], operation_id)
    for schema_name, schema in SCHEMAS.items():
        for name, field in schema.get("properties", {}).items():
            prefix = PREFIXES.get((schema_name, name), PREFIXES.get(schema_name, ""))
            note(f"{prefix}{name}", field, "")
    return bounds


def test_each_bound_of_a_request_is_that_of_the_layer():
    bounds = bounds_of_requests()
    assert bounds == {place: {number} for place, number in BOUNDS.items()}, "settings/limits.py"
    for place, number in OF_THE_BACKEND.items():
        assert bounds[place] == {number}, f"backend/structs.py: {place}"


#: The lists that the layer reads in full.
LISTS_IN_FULL = (
    "listArtifactFiles", "listArtifactRuns", "listArtifactVersions", "listArtifacts",
    "listRunArtifacts", "listRunFiles",
    "listConfigChanges", "listNamespaces", "listProjects", "listProjectMetrics", "listTables",
    "listTrash", "summarizeProjectMetrics",
)  # fmt: skip


NAMES = ("operations.py", "artifact_operations.py", "metric_lists.py", "run_tables.py")


def test_each_list_with_cursors_is_read_to_its_end():
    of_cursors = {
        name
        for name, operation in operations_of(CONTRACT).items()
        if "Next-Cursor" in next(iter(operation["responses"].values())).get("headers", {})
    }
    assert of_cursors == {"listRuns", "listMetrics", "listRows", "tabulateRuns", *LISTS_IN_FULL}
    sources = [SOURCES / "api" / name for name in NAMES]
    source = "".join(path.read_text("utf-8") for path in sources)
    for name in of_cursors:
        function = re.sub("(?=[A-Z])", "_", name).lower()
        body = re.search(rf"\ndef {function}\(.*?(?=\n\n\n)", source, re.DOTALL)[0]
        assert "list_pages" in body or "list_all" in body, f"api/, {function}"


def test_the_words_for_programs_are_those_of_the_contract():
    described = re.findall(r"- \d{3} `(\w+)`", SCHEMAS["ErrorCode"]["description"])
    # The backend limits no rate.
    assert set(described) - {"rate_limited"} == set(structs.ErrorCode), "backend/structs.py"
    answers = CONTRACT["components"]["responses"]
    examples = {
        answer["content"]["application/json"]["example"]["code"] for answer in answers.values()
    }
    assert examples <= set(described)


def test_pages_are_not_larger_than_the_contract_allows():
    bounds = bounds_of_requests()
    (runs,), (values,), *others = (
        bounds[f"maximum of limit in {name}"]
        for name in ("listRuns", "listMetrics", *LISTS_IN_FULL)
    )
    assert runs >= limits.RUNS_PAGE, "settings/limits.py"
    assert all(min(other) >= limits.LIST_PAGE for other in others), "settings/limits.py"
    assert values >= limits.METRICS_PAGE, "settings/limits.py"


def test_the_contract_s_version_is_the_one_that_requests_name():
    assert CONTRACT["info"]["version"] == limits.CONTRACT_VERSION, "settings/limits.py"


@pytest.mark.parametrize("name", ["summarizeProjectMetrics", "listMetrics"])
def test_a_name_that_is_no_string_is_an_invalid_answer(name):
    field = metrics.AnswerFields(name)
    with pytest.raises(te.InvalidResponseError, match=f"^{failure_of(name)}: "):
        field.text("name", ["a list"])
