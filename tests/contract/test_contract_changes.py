"""What a change of the contract breaks: each rule, in both directions."""

import copy
from datetime import date
from pathlib import Path

import contract_changes as rules
import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
CONTRACT = yaml.safe_load((ROOT / "openapi" / "tellurio.yaml").read_text("utf-8"))


CALLERS, BACKENDS, COMPATIBLE, DOCUMENTATION = rules.Kind

DOCUMENT = yaml.safe_load("""
openapi: 3.1.0
info: { title: Things, version: "1" }
servers: [{ url: https://one.example }]
security: [{ Key: [] }]
tags: [{ name: things, description: Things. }]
paths:
  /things/{slug}/:
    parameters: [{ name: slug, in: path, required: true, schema: { type: string } }]
    get:
      operationId: getThing
      tags: [things]
      summary: Get a thing
      parameters:
        - { name: limit, in: query, description: The maximum., schema: { type: integer, minimum: 1, maximum: 100 } }
        - { name: about, in: query, required: true, schema: { type: string } }
      responses:
        "200":
          description: The thing.
          headers: { Next: { schema: { type: string } } }
          content: { application/json: { schema: { $ref: "#/components/schemas/Thing" } } }
        "404": { description: Not found. }
    post:
      operationId: createThing
      tags: [things]
      requestBody:
        required: true
        content: { application/json: { schema: { $ref: "#/components/schemas/ThingCreate" } } }
      responses: { "201": { description: Made. } }
components:
  securitySchemes: { Key: { type: apiKey, in: header, name: Authorization } }
  schemas:
    Color: { type: string, enum: [RED, BLUE] }
    ThingCreate:
      type: object
      required: [name]
      properties:
        name: { type: string, maxLength: 10, description: The name. }
        size: { type: integer }
        color: { $ref: "#/components/schemas/Color", description: RED when not given. }
        words: { type: array, maxItems: 5, items: { type: string } }
        secret: { x-tellurio-extension: true, type: string }
    Thing:
      type: object
      required: [name]
      properties:
        name: { type: string, maxLength: 10 }
        size: { type: integer }
        note: { type: [string, "null"] }
        shade: { type: string, enum: [DARK, LIGHT] }
        color: { anyOf: [{ $ref: "#/components/schemas/Color" }, { type: string }] }
        part: { anyOf: [{ $ref: "#/components/schemas/Thing" }, { type: "null" }] }
        words: { type: array, items: { type: string } }
""")

GET = "paths./things/{slug}/.get"
POST = "paths./things/{slug}/.post"
ASK = "components.schemas.ThingCreate"
SAY = "components.schemas.Thing"
OPERATION = {"operationId": "deleteThing", "tags": ["things"], "responses": {}}
NOTHING = object()


def changed(document, edits):
    """A copy of the document with the value at each dotted path replaced or removed."""
    document = copy.deepcopy(document)
    for place, value in edits.items():
        *path, last = place.replace("./things/{slug}/", "\0").split(".")
        path = [part for name in path for part in name.partition("\0")[:2] if part]
        path = ["/things/{slug}/" if part == "\0" else part for part in path]
        node = document
        for part in path:
            node = node[int(part) if isinstance(node, list) else part]
        if value is NOTHING:
            del node[int(last) if isinstance(node, list) else last]
        elif isinstance(node, list) and int(last) == len(node):
            node.append(value)
        else:
            node[int(last) if isinstance(node, list) else last] = value
    return document


def kinds(old, new):
    return {change.kind for change in rules.changes_between(old, new)}


# The change; what it breaks; what reverting it breaks.
CHANGES = [
    # requests
    ({f"{ASK}.properties.tags": {"type": "array"}, f"{ASK}.required": ["name", "tags"]}, {CALLERS}, {CALLERS, BACKENDS}),
    ({f"{ASK}.properties.tags": {"type": "array"}}, {BACKENDS}, {CALLERS}),
    ({f"{ASK}.properties.tags": {"type": "array", "x-tellurio-extension": True}}, {COMPATIBLE}, {CALLERS}),
    ({f"{ASK}.required": ["name", "size"]}, {CALLERS}, {BACKENDS}),
    ({f"{ASK}.properties.name.maxLength": 5}, {CALLERS}, {BACKENDS}),
    ({f"{ASK}.properties.name.minLength": 1}, {CALLERS}, {BACKENDS}),
    ({f"{ASK}.properties.name.pattern": "^a"}, {CALLERS}, {BACKENDS}),
    ({f"{ASK}.properties.words.maxItems": 4}, {CALLERS}, {BACKENDS}),
    ({f"{ASK}.properties.words.uniqueItems": True}, {CALLERS}, {BACKENDS}),
    ({f"{ASK}.properties.words.items.maxLength": 4}, {CALLERS}, {BACKENDS}),
    ({f"{ASK}.properties.size.type": "number"}, {BACKENDS}, {CALLERS}),
    ({f"{ASK}.properties.size.type": ["integer", "null"]}, {BACKENDS}, {CALLERS}),
    ({f"{ASK}.properties.size.type": "string"}, {CALLERS, BACKENDS}, {CALLERS, BACKENDS}),
    ({f"{ASK}.properties.size": {}}, {BACKENDS}, {CALLERS}),
    ({f"{ASK}.properties.size": True}, {BACKENDS}, {CALLERS}),
    ({f"{ASK}.properties.size.default": 3}, {CALLERS}, {CALLERS}),
    ({f"{ASK}.additionalProperties": False}, {CALLERS}, {BACKENDS}),
    ({f"{ASK}.properties.secret.x-tellurio-extension": NOTHING}, {BACKENDS}, {CALLERS}),
    ({f"{ASK}.properties.size.not": {"const": 3}}, {CALLERS}, {BACKENDS}),
    ({f"{GET}.parameters.2": {"name": "sort", "in": "query", "schema": {}}}, {BACKENDS}, {CALLERS}),
    ({f"{GET}.parameters.2": {"name": "sort", "in": "query", "schema": {}, "x-tellurio-extension": True}}, {COMPATIBLE}, {CALLERS}),
    ({f"{GET}.parameters.2": {"name": "sort", "in": "query", "schema": {}, "required": True}}, {CALLERS}, {CALLERS, BACKENDS}),
    ({f"{GET}.parameters.0.required": True}, {CALLERS}, {BACKENDS}),
    ({f"{GET}.parameters.0.schema.maximum": 50}, {CALLERS}, {BACKENDS}),
    ({f"{POST}.requestBody.required": False}, {BACKENDS}, {CALLERS}),
    ({f"{POST}.requestBody.content.text/csv": {}}, {BACKENDS}, {CALLERS}),
    ({f"{POST}.requestBody": NOTHING}, {CALLERS, BACKENDS}, {CALLERS}),
    # responses
    ({f"{SAY}.properties.tags": {"type": "array"}, f"{SAY}.required": ["name", "tags"]}, {BACKENDS}, {CALLERS}),
    ({f"{SAY}.properties.tags": {"type": "array"}}, {COMPATIBLE}, {CALLERS}),
    ({f"{SAY}.required": ["name", "size"]}, {BACKENDS}, {CALLERS}),
    ({f"{SAY}.properties.name.maxLength": 5}, {BACKENDS}, {CALLERS}),
    ({f"{SAY}.properties.name.type": ["string", "null"]}, {CALLERS}, {BACKENDS}),
    ({f"{SAY}.properties.size.type": "number"}, {CALLERS}, {BACKENDS}),
    ({f"{SAY}.properties.words.items.format": "uuid"}, {CALLERS, BACKENDS}, {CALLERS}),
    ({f"{SAY}.properties.shade.enum": ["DARK", "LIGHT", "NONE"]}, {CALLERS}, {CALLERS, BACKENDS}),
    ({f"{SAY}.properties.shade": {"anyOf": [{"type": "string", "enum": ["DARK", "LIGHT"]}, {"type": "string"}]}}, {CALLERS}, {BACKENDS}),
    ({f"{SAY}.properties.part.anyOf.1": NOTHING}, {BACKENDS}, {CALLERS}),
    ({f"{SAY}.properties.name.default": "x"}, {DOCUMENTATION}, {DOCUMENTATION}),
    ({f"{GET}.responses.200.headers.Total": {"schema": {"type": "integer"}}}, {COMPATIBLE}, {CALLERS}),
    ({f"{GET}.responses.200.content.text/csv": {}}, {CALLERS}, {BACKENDS}),
    ({f"{GET}.responses.409": {"description": "Taken."}}, {COMPATIBLE}, {BACKENDS}),
    ({f"{GET}.responses.204": {"description": "Nothing."}}, {CALLERS}, {CALLERS, BACKENDS}),
    # in both directions at once: the enum is closed in requests and open in responses
    ({"components.schemas.Color.enum": ["RED", "BLUE", "GREEN"]}, {BACKENDS, COMPATIBLE}, {CALLERS, COMPATIBLE}),
    # operations and their surroundings
    ({"paths./things/{slug}/.delete": OPERATION}, {BACKENDS}, {CALLERS}),
    ({"paths./things/{slug}/.delete": {**OPERATION, "x-tellurio-extension": True}}, {COMPATIBLE}, {CALLERS}),
    ({f"{GET}.operationId": "readThing"}, {CALLERS}, {CALLERS}),
    ({f"{GET}.tags": ["others"]}, {CALLERS}, {CALLERS}),
    ({f"{GET}.x-tellurio-extension": True}, {CALLERS}, {BACKENDS}),
    ({f"{GET}.security": []}, {BACKENDS}, {CALLERS}),
    ({"security.1": {}}, {BACKENDS}, {CALLERS}),
    ({"components.securitySchemes.Key.name": "X-Key"}, {CALLERS, BACKENDS}, {CALLERS, BACKENDS}),
    ({"servers.1": {"url": "https://two.example"}}, {COMPATIBLE}, {CALLERS}),
    # documentation
    ({f"{GET}.summary": "Gets a thing"}, {DOCUMENTATION}, {DOCUMENTATION}),
    ({f"{GET}.parameters.0.description": "No more."}, {DOCUMENTATION}, {DOCUMENTATION}),
    ({f"{ASK}.properties.name.description": "Its name."}, {DOCUMENTATION}, {DOCUMENTATION}),
    ({f"{ASK}.properties.color.description": "Its color."}, {DOCUMENTATION}, {DOCUMENTATION}),
    ({f"{SAY}.properties.color.description": "Its color."}, {DOCUMENTATION}, {DOCUMENTATION}),
    ({f"{SAY}.examples": [{"name": "x"}]}, {DOCUMENTATION}, {DOCUMENTATION}),
    ({f"{GET}.responses.200.links": {"itself": {"operationId": "getThing"}}}, {DOCUMENTATION}, {DOCUMENTATION}),
    ({"info.version": "2"}, {DOCUMENTATION}, {DOCUMENTATION}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("edits", "forth", "back"), CHANGES, ids=[", ".join(edits)[:90] for edits, _, _ in CHANGES]
)
def test_a_change_is_classed_by_whom_it_breaks_forth_and_back(edits, forth, back):
    new = changed(DOCUMENT, edits)
    assert (kinds(DOCUMENT, new), kinds(new, DOCUMENT)) == (forth, back)


def test_a_change_is_told_once_with_its_place_and_what_it_was():
    new = changed(DOCUMENT, {f"{ASK}.properties.name.maxLength": 5})
    (change,) = rules.changes_between(DOCUMENT, new)
    assert change == rules.Change(
        CALLERS, "ThingCreate.name", "maxLength is 5, was 10, in requests"
    )


def test_what_moves_into_a_named_schema_or_out_of_it_is_no_change():
    new = changed(
        DOCUMENT,
        {
            "components.schemas.Words": {"type": "array", "items": {"type": "string"}},
            f"{SAY}.properties.words": {"$ref": "#/components/schemas/Words"},
            f"{ASK}.properties.size": {"allOf": [{"type": "integer"}]},
        },
    )
    assert rules.changes_between(DOCUMENT, new) == []
    assert rules.changes_between(new, DOCUMENT) == []


def test_another_name_of_a_schema_breaks_whoever_imports_the_generated_model():
    new = changed(
        DOCUMENT,
        {
            "components.schemas.Made": DOCUMENT["components"]["schemas"]["ThingCreate"],
            f"{POST}.requestBody.content.application/json.schema.$ref": "#/components/schemas/Made",
        },
    )
    (change,) = rules.changes_between(DOCUMENT, new)
    assert (change.kind, change.text) == (CALLERS, "schema ThingCreate is now named Made")


def test_a_change_in_a_schema_that_holds_itself_is_found():
    assert kinds(DOCUMENT, changed(DOCUMENT, {f"{SAY}.properties.note.type": "string"})) == {
        BACKENDS
    }


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ({"paths": NOTHING}, "has no paths"),
        ({f"{GET}.parameters": 7}, "not valid OpenAPI .*lint_contract.sh to see where"),
        ({f"{ASK}.properties": ["name"]}, "not valid OpenAPI"),
        ({"components.schemas.Color": NOTHING}, "#/components/schemas/Color does not resolve"),
        (
            {"components.schemas.Color": {"$ref": "#/components/schemas/Color"}},
            "does not resolve",
        ),
    ],
)
def test_a_document_that_cannot_be_compared_says_why(edits, words):
    with pytest.raises(rules.ContractError, match=words):
        rules.changes_between(DOCUMENT, changed(DOCUMENT, edits))


def test_the_contract_has_not_changed_against_itself():
    assert rules.changes_between(CONTRACT, copy.deepcopy(CONTRACT)) == []


def test_a_status_more_breaks_backends_and_no_callers():
    """`RunStatus` is closed in requests and open in responses, in parameters and in bodies."""
    new = copy.deepcopy(CONTRACT)
    new["components"]["schemas"]["RunStatus"]["enum"].append("ARCHIVED")
    found = rules.changes_between(CONTRACT, new)
    assert {(change.kind, change.place) for change in found} == {
        (BACKENDS, "RunStatus"),
        (COMPATIBLE, "RunStatus"),
    }


def test_a_moved_operation_is_compared_and_said_to_be_moved():
    item = changed(DOCUMENT, {f"{GET}.parameters.0.required": True})["paths"]["/things/{slug}/"]
    new = changed(DOCUMENT, {"paths": {"/objects/{slug}/": item}})
    assert {
        (change.kind, change.place, change.text)
        for change in rules.changes_between(DOCUMENT, new)
        if change.place.startswith("getThing")
    } == {
        (CALLERS, "getThing", "moved: GET /objects/{slug}/, was GET /things/{slug}/"),
        (BACKENDS, "getThing", "moved: GET /objects/{slug}/, was GET /things/{slug}/"),
        (CALLERS, "getThing query parameter limit", "now required in requests"),
    }


@pytest.mark.parametrize(
    ("edits", "place", "text"),
    [
        ({f"{GET}.operationId": "readThing"}, "getThing", "operation is now named readThing"),
        (
            {f"{SAY}.properties.size": NOTHING, f"{SAY}.properties.length": {"type": "integer"}},
            "Thing.size",
            "removed in answers, or renamed to length",
        ),
        (
            {f"{GET}.parameters.0.name": "maximum"},
            "getThing query parameter limit",
            "removed, or renamed to maximum in query",
        ),
        (
            {"components.securitySchemes": {"ApiKey": DOCUMENT["components"]["securitySchemes"]["Key"]}, "security": [{"ApiKey": []}]},
            "security scheme Key",
            "is now named ApiKey",
        ),
    ],
)  # fmt: skip
def test_what_was_renamed_is_said_to_be_renamed(edits, place, text):
    changes = rules.changes_between(DOCUMENT, changed(DOCUMENT, edits))
    assert (place, text) in {(change.place, change.text) for change in changes}


DEPRECATED = {"deprecated": True, "x-sunset": "2027-01-31"}
REMOVALS = [
    (GET, {f"{GET}.{key}": value for key, value in DEPRECATED.items()}),
    (f"{GET}.parameters.0", {f"{GET}.parameters.0.{key}": value for key, value in DEPRECATED.items()}),
    (f"{ASK}.properties.color", {f"{ASK}.properties.color.{key}": value for key, value in DEPRECATED.items()}),
    (f"{SAY}.properties.size", {f"{SAY}.properties.size.{key}": value for key, value in DEPRECATED.items()}),
    (f"{GET}.responses.200.headers.Next", {f"{GET}.responses.200.headers.Next.{key}": value for key, value in DEPRECATED.items()}),
    (f"{ASK}.properties.color", {f"{ASK}.properties.color": {"$ref": "#/components/schemas/Color", **DEPRECATED}}),
    ("components.schemas.Spare", {"components.schemas.Spare": {"type": "object", "properties": {"a": {}}, **DEPRECATED}}),
]  # fmt: skip


@pytest.mark.parametrize(("place", "edits"), REMOVALS)
def test_what_was_deprecated_may_be_removed_after_its_sunset_and_not_before(place, edits):
    old = changed(DOCUMENT, edits)
    new = changed(old, {place: NOTHING})
    (change,) = rules.changes_between(old, new, date(2027, 2, 1))
    assert change.kind is COMPATIBLE
    assert "it was deprecated, and its sunset 2027-01-31 has passed" in change.text
    (change,) = rules.changes_between(old, new, date(2027, 1, 31))
    assert change.kind is CALLERS
    assert change.text.endswith("before its sunset 2027-01-31")


def test_a_value_of_an_enum_may_be_removed_after_its_sunset_and_not_before():
    values, marks = (f"components.schemas.Color.{key}" for key in ("enum", "x-enum-values"))
    old = changed(DOCUMENT, {marks: {"BLUE": DEPRECATED}})
    deprecated = rules.changes_between(DOCUMENT, old)
    assert {(change.kind, change.place, change.text) for change in deprecated} == {
        (COMPATIBLE, "Color value BLUE", "deprecated, with the sunset 2027-01-31")
    }
    new = changed(old, {values: ["RED"], marks: NOTHING})
    after = rules.changes_between(old, new, date(2027, 2, 1))
    assert {change.kind for change in after} == {COMPATIBLE}
    assert all("BLUE removed in " in change.text for change in after)
    assert all(change.text.endswith("its sunset 2027-01-31 has passed") for change in after)
    before = rules.changes_between(old, new, date(2027, 1, 31))
    assert {change.kind for change in before} == {COMPATIBLE, CALLERS}
    unmarked = rules.changes_between(changed(old, {marks: NOTHING}), new, date(2027, 2, 1))
    assert {change.kind for change in unmarked} == {COMPATIBLE, CALLERS}


def test_a_sunset_counts_only_for_what_was_deprecated():
    old = changed(DOCUMENT, {f"{GET}.x-sunset": "2020-01-31"})
    (change,) = rules.changes_between(old, changed(old, {GET: NOTHING}))
    assert (change.kind, change.text) == (CALLERS, "operation removed, before its deprecation")


def test_a_deprecation_is_reported_with_its_sunset():
    new = changed(DOCUMENT, {f"{GET}.deprecated": True})
    (change,) = rules.changes_between(DOCUMENT, new)
    assert (change.kind, change.text) == (COMPATIBLE, "deprecated, without a sunset date")
    assert "x-sunset" in change.advice
    later = changed(new, {f"{GET}.x-sunset": date(2027, 1, 31)})
    (change,) = rules.changes_between(new, later)
    assert change.text == "deprecated, with the sunset 2027-01-31"


def test_a_sunset_that_is_not_a_date_is_named():
    new = changed(DOCUMENT, {f"{GET}.x-sunset": "soon"})
    with pytest.raises(rules.ContractError, match="x-sunset of getThing is 'soon'; write a date"):
        rules.changes_between(DOCUMENT, new)


def test_every_change_says_what_to_do_next():
    for edits, _, _ in CHANGES:
        for change in rules.changes_between(DOCUMENT, changed(DOCUMENT, edits)):
            assert change.advice


def test_a_keyword_that_stands_beside_a_reference_is_reported_at_its_place():
    color = {"$ref": "#/components/schemas/Color", "enum": ["RED"]}
    new = changed(DOCUMENT, {f"{ASK}.properties.color": color})
    places = {c.place for c in rules.changes_between(DOCUMENT, new) if c.kind.is_breaking}
    assert places == {"ThingCreate.color"}


# `type` means nothing beside an enum. Beside properties, an object is meant without it.
SILENT = {
    "components.schemas.Color.type",
    "components.schemas.Thing.type",
    f"{SAY}.properties.shade.type",
}


def places(node, prefix=""):
    for key in node if isinstance(node, dict) else range(len(node)):
        place = f"{prefix}{key}"
        yield place
        if isinstance(node[key], dict | list):
            yield from places(node[key], f"{place}.")


@pytest.mark.parametrize(
    "part", ["info", "servers", "security", "tags", "paths./things/{slug}/", "components"]
)
def test_whatever_is_taken_out_of_a_document_is_reported_forth_and_back(part):
    number = 0
    node = DOCUMENT["paths"]["/things/{slug}/"] if part.startswith("paths") else DOCUMENT[part]
    for place in {f"{part}.{place}" for place in places(node)} - SILENT:
        new = changed(DOCUMENT, {place: NOTHING})
        try:
            assert rules.changes_between(DOCUMENT, new), place
            assert rules.changes_between(new, DOCUMENT), place
        except rules.ContractError:
            continue
        number += 1
    assert number
