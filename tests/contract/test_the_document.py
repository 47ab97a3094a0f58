"""The document is complete: descriptions, examples, extension marks and open enums everywhere."""

import exchanges
import pytest

CONTRACT = exchanges.CONTRACT
METHODS = ("get", "post", "patch", "put", "delete")
OPERATIONS = {
    operation["operationId"]: operation
    for item in CONTRACT["paths"].values()
    for method, operation in item.items()
    if method in METHODS
}
EXTENSIONS = {
    "listNamespaces", "listProjects", "tabulateRuns", "getRun", "deleteRun", "logMetricBatch", "summarizeMetrics",
    "sampleMetric", "listProjectMetrics", "summarizeProjectMetrics", "sampleProjectMetrics",
    "listConfigChanges", "listTrash", "restoreProject", "restoreRun", "listTables", "listRows",
    "checkBlobs", "putBlobs", "putBlob", "createUpload", "getUpload", "abortUpload",
    "putUploadPart", "completeUpload", "listArtifacts", "listArtifactVersions",
    "createArtifactVersion", "getArtifactVersion", "deleteArtifactVersion",
    "restoreArtifactVersion", "listArtifactFiles", "downloadArtifactFile", "listArtifactRuns",
    "setArtifactAlias", "deleteArtifactAlias", "listRunArtifacts", "useArtifact", "listRunFiles",
    "logRunFile", "downloadRunFile",
}  # fmt: skip


def parameters():
    for path, item in CONTRACT["paths"].items():
        for part in (item, *(item[method] for method in METHODS if method in item)):
            for parameter in part.get("parameters", []):
                yield path, parameter


def test_every_operation_of_the_protocol_is_there():
    assert set(OPERATIONS) == EXTENSIONS | {
        "verifyApiKey", "createProject", "getProject", "deleteProject", "createRun", "listRuns",
        "updateRun", "logMetric", "listMetrics",
    }  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_has_summary_description_one_tag_and_is_marked_if_it_is_an_extension(name):
    operation = OPERATIONS[name]
    assert operation["summary"]
    assert operation["description"]
    assert len(operation["tags"]) == 1
    assert operation.get("x-tellurio-extension", False) is (name in EXTENSIONS)
    assert "default" not in operation["responses"]
    assert {"401", "403", "405", "429", "501", "503"} < set(operation["responses"])


def test_each_list_has_the_parameters_and_the_header_of_pages():
    paged = {
        name
        for name, operation in OPERATIONS.items()
        if "Next-Cursor" in next(iter(operation["responses"].values())).get("headers", {})
    }
    lists = {name for name in OPERATIONS if name.startswith("list")}
    assert paged == lists | {"summarizeProjectMetrics", "tabulateRuns"}
    for name in paged:
        found = [exchanges._resolved(each) for each in OPERATIONS[name]["parameters"]]
        assert {"limit", "cursor"} <= {parameter["name"] for parameter in found}, name
        assert "400" in OPERATIONS[name]["responses"], name


def integers(node, name=""):
    """Each schema of an integer, by the name of its field or parameter."""
    if isinstance(node, list):
        for child in node:
            yield from integers(child, name)
    elif isinstance(node, dict):
        name = node["name"] if "in" in node else name
        if node.get("type") == "integer":
            yield name, node
        for key, child in node.items():
            yield from integers(child, name if key in {"schema", "items"} else key)


def test_integers_have_64_bits_but_for_sizes_of_answers():
    found = list(integers(CONTRACT))
    assert len(found) > 30
    for name, schema in found:
        is_size = name in {"limit", "buckets", "part_number"}
        assert schema.get("format") == (None if is_size else "int64"), name
        assert not is_size or schema["maximum"] <= 10_000, name


def test_every_path_ends_with_a_slash():
    assert all(path.endswith("/") for path in CONTRACT["paths"])


def test_every_parameter_and_header_has_a_description_and_an_example():
    found = [exchanges._resolved(parameter) for _, parameter in parameters()]
    found += CONTRACT["components"]["headers"].values()
    assert found
    for parameter in found:
        assert parameter["description"], parameter
        assert "example" in parameter, parameter


def test_every_body_of_json_has_an_example_and_every_answer_a_description():
    for operation in OPERATIONS.values():
        bodies = [operation.get("requestBody", {})]
        for reference in operation["responses"].values():
            bodies.append(exchanges._resolved(reference))
            assert bodies[-1]["description"]
        for content in (body.get("content", {}) for body in bodies):
            assert all("example" in content[name] for name in content if name.endswith("json"))


def test_every_field_has_a_description_and_an_example_of_its_own_or_of_its_schema():
    for name, schema in CONTRACT["components"]["schemas"].items():
        assert schema["description"], name
        for field, what in schema.get("properties", {}).items():
            assert what.get("description"), (name, field)
            if "$ref" not in what and "items" not in what:
                refers = any("$ref" in choice for choice in what.get("anyOf", []))
                assert "examples" in what or refers, (name, field)


def test_enums_are_open_in_answers_and_closed_in_requests():
    schemas = CONTRACT["components"]["schemas"]
    for schema, field in (("Run", "status"), ("Project", "visibility")):
        assert {"type": "string"} in schemas[schema]["properties"][field]["anyOf"]
    for schema, field in (
        ("RunCreate", "status"),
        ("RunUpdate", "status"),
        ("ProjectCreate", "visibility"),
    ):
        assert "anyOf" not in schemas[schema]["properties"][field]


def test_what_the_platform_is_not_known_to_have_is_marked():
    components = CONTRACT["components"]
    names = ("listNamespaces", "listProjects", "listRuns", "listMetrics", "createRun", "updateRun")
    names += ("deleteProject", "deleteRun")
    marked = [exchanges._resolved(p) for name in names for p in OPERATIONS[name]["parameters"]]
    marked += components["headers"].values()
    marked += [
        components["responses"][name]
        for name in (
            "SlugTaken",
            "SequenceGap",
            "RunUuidTaken",
            "PreconditionFailed",
            "NotImplemented",
        )
    ]
    marked += [
        components["schemas"][schema]["properties"][field]
        for schema, field in (
            ("RunCreate", "uuid"), ("RunUpdate", "name"), ("RunUpdate", "description"),
            ("RunNotFoundError", "deleted"), ("RunNotFoundError", "code"), ("Error", "code"),
            ("Run", "etag"),
            ("Metric", "timestamp"), ("MetricCreate", "timestamp"),
        )
    ]  # fmt: skip
    assert all(part.get("x-tellurio-extension") is True for part in marked)


def test_an_operation_on_one_run_has_an_answer_of_its_own_where_the_run_is_not_found():
    for path, item in CONTRACT["paths"].items():
        for operation in (item[method] for method in METHODS if method in item):
            # It names a run in its body.
            is_of_run = operation["operationId"] == "createArtifactVersion"
            wanted = "RunNotFound" if "{run_uuid}" in path or is_of_run else "NotFound"
            if "{namespace_slug}" in path:
                answer = operation["responses"]["404"]
                assert answer == {"$ref": f"#/components/responses/{wanted}"}, path


def links():
    for operation in OPERATIONS.values():
        for reference in operation["responses"].values():
            for name, link in exchanges._resolved(reference).get("links", {}).items():
                yield operation["operationId"], name, exchanges._resolved(link)


def parameter_names(operation_id):
    for item in CONTRACT["paths"].values():
        for operation in (item[method] for method in METHODS if method in item):
            if operation["operationId"] == operation_id:
                given = [*item.get("parameters", []), *operation.get("parameters", [])]
                return {
                    parameter["name"]: parameter for parameter in map(exchanges._resolved, given)
                }
    return None


def test_a_link_leads_to_an_operation_and_gives_all_that_its_path_takes():
    found = list(links())
    assert {name for _, name, _ in found} == set(CONTRACT["components"]["links"])
    for source, name, link in found:
        assert link["description"], name
        taken = parameter_names(link["operationId"])
        in_path = {word for word, parameter in taken.items() if parameter["in"] == "path"}
        assert in_path <= set(link["parameters"]) <= set(taken), name
        for expression in link["parameters"].values():
            where, _, word = expression.removeprefix("$").rpartition(".")
            if where == "request.path":
                assert word in parameter_names(source), (name, expression)
            else:
                assert expression.startswith(("$response.body#/", "$response.header.")), name
