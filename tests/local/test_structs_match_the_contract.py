"""The structs of the local backend match the contract; neither is generated from the other."""

import exchanges
import msgspec
import pytest

from afnio_tellurio.backend import artifact_structs, blob_structs, structs

#: The modules with structs of the contract.
MODULES = (structs, blob_structs, artifact_structs)
SCHEMAS = exchanges.CONTRACT["components"]["schemas"]
REQUESTS = [
    "ProjectCreate", "RunCreate", "RunUpdate", "EndReason", "MetricCreate", "MetricBatch",
    "MetricBatchColumns", "BlobReference", "BlobCheck", "UploadCreate", "ArtifactFile",
    "ArtifactVersionCreate", "AliasSet", "ArtifactUse", "RunFileCreate",
]  # fmt: skip
ANSWERS = [
    "ApiKeyOwner", "Project", "Run", "RunProject", "RunUser", "Metric", "MetricBatchReceipt",
    "MetricSummary", "MetricBucket", "SequenceGapError", "RunNotFoundError", "Namespace", "ProjectMetric",
    "SummaryColumns", "RunTable", "RunColumn", "MetricSamples", "SampledSeries", "ConfigChange", "EndReason",
    "TrashedItem", "Table", "TableRow", "MetricColumns", "PackedNumbers", "MissingBlobs",
    "MissingBlobsError", "Upload", "ArtifactFile", "Artifact", "ArtifactVersion", "RunArtifact",
    "ArtifactRun", "RunFile",
]  # fmt: skip
BOUNDS = (
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "enum",
    "format",
)


def structs_of_modules():
    return {
        name: value
        for module in MODULES
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, msgspec.Struct)
        and value is not msgspec.Struct
    }


def schema_of(name):
    (schema,), components = msgspec.json.schema_components([structs_of_modules()[name]])
    schema = components[name] if "$ref" in schema else schema
    return schema, components


def resolved(node, components):
    while "$ref" in node:
        found = components[node["$ref"].rsplit("/", 1)[1]]
        node = {**found, **{key: value for key, value in node.items() if key != "$ref"}}
    return node


def facts(node, components):
    """The facts of a schema: the types and the bounds of a value."""
    node = resolved(node, components)
    types, bounds = set(), {}
    for choice in (resolved(one, components) for one in node.get("anyOf", [node])):
        kind = choice.get("type", "string" if "enum" in choice else None)
        types |= set(kind if isinstance(kind, list) else [kind])
        for bound in BOUNDS:
            if bound in choice:
                value = choice[bound]
                bounds[bound] = sorted(value) if bound == "enum" else value
    return types, bounds


def name_of(node):
    return node.get("$ref", "").rpartition("/")[2]


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_struct_takes_what_the_contract_allows_and_nothing_else(name):
    ours, components = schema_of(name)
    theirs = SCHEMAS[name]
    assert set(ours["properties"]) == set(theirs["properties"])
    assert set(ours.get("required", [])) == set(theirs.get("required", []))
    for field, what in theirs["properties"].items():
        if "items" in what:
            items = ours["properties"][field]["items"]
            assert facts(items, components) == facts(what["items"], SCHEMAS), field
            if resolved(what["items"], SCHEMAS).get("type") == "object":
                assert name_of(items) == name_of(what["items"]), field
        assert facts(ours["properties"][field], components) == facts(what, SCHEMAS), field


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_struct_has_every_field_of_the_contract(name):
    ours, _ = schema_of(name)
    theirs = SCHEMAS[name]
    assert set(ours["properties"]) == set(theirs["properties"])
    assert set(theirs.get("required", [])) <= set(ours["required"])


def test_every_struct_is_held_against_the_contract():
    ours = set(structs_of_modules())
    assert ours == {*REQUESTS, *ANSWERS}


def test_every_operation_has_its_function():
    from afnio_tellurio.backend.application import _function_of

    for item in exchanges.CONTRACT["paths"].values():
        for what in item.values():
            if isinstance(what, dict):
                assert callable(_function_of(what["operationId"]))
