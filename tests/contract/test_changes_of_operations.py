"""What a change of an operation, or of what it refers to, breaks, in both directions.

Each pair of documents: what changed, edits that make the old document of the small one, edits that
make the new one of the old one, and what that breaks: C callers (importers of the generated client
are callers too), B backends, - nothing; then what the reverse change breaks.
"""

import contract_changes as rules
import pytest
from small_document import (
    ASK,
    BASE,
    GET,
    NOTHING,
    OK,
    PATH,
    POST,
    SAY,
    SCHEMAS,
    edited,
    ref,
    renamed_key,
)

THINGS = BASE["paths"]["/things/{slug}/"]
OWNER = BASE["components"]["schemas"]["Owner"]
KEY = BASE["components"]["securitySchemes"]["Key"]

PAIRS = [
    ("request: content type renamed with a parameter", {}, {f"{POST}|requestBody|content": renamed_key("application/json", "application/json; charset=utf-8")}, "-", "-"),
    ("request: content type added", {}, {f"{POST}|requestBody|content|text/csv": {"schema": {"type": "string"}}}, "B", "C"),
    ("request: body becomes optional", {}, {f"{POST}|requestBody|required": False}, "B", "C"),
    ("parameter: added, optional", {}, {f"{GET}|parameters|4": {"name": "q", "in": "query", "schema": {"type": "string"}}}, "B", "C"),
    ("parameter: becomes required", {}, {f"{GET}|parameters|0|required": True}, "C", "B"),
    ("parameter: default changed", {}, {f"{GET}|parameters|2|schema|default": "down"}, "C", "C"),
    ("parameter: moved from query to header", {}, {f"{GET}|parameters|1|in": "header"}, "CB", "CB"),
    ("a list parameter is not exploded", {}, {f"{GET}|parameters|3|explode": False}, "CB", "CB"),
    ("parameter: explode written out as the default that it had", {}, {f"{GET}|parameters|3|explode": True, f"{GET}|parameters|3|style": "form"}, "-", "-"),
    ("parameter: required false written out", {}, {f"{GET}|parameters|0|required": False}, "-", "-"),
    ("parameter: deprecated", {}, {f"{GET}|parameters|0|deprecated": True}, "-", "-"),
    ("parameter: path parameter renamed", {}, {"paths": renamed_key("/things/{slug}/", "/things/{id}/"), "paths|/things/{id}/|parameters|0|name": "id"}, "C", "C"),
    ("parameter: moved from the operation to the path item", {}, {f"{PATH}|parameters|1": {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100}}, f"{GET}|parameters|0": NOTHING, f"{POST}|parameters": []}, "B", "C"),
    ("answer: status 200 -> 202", {}, {f"{GET}|responses": renamed_key("200", "202")}, "CB", "CB"),
    ("answer: error status added", {}, {f"{GET}|responses|409": {"description": "Taken."}}, "-", "B"),
    ("answer: default error added", {}, {f"{GET}|responses|default": {"description": "Any error."}}, "-", "B"),
    ("answer: 4XX range added", {}, {f"{GET}|responses|4XX": {"description": "Any error."}}, "-", "B"),
    ("answer: header renamed in case only", {}, {f"{OK}|headers": renamed_key("Next-Cursor", "next-cursor")}, "-", "-"),
    ("answer: header removed", {}, {f"{OK}|headers|Next-Cursor": NOTHING}, "C", "-"),
    ("answer: content type removed", {}, {f"{OK}|content": {"text/csv": {"schema": {"type": "string"}}}}, "CB", "CB"),
    ("operation removed", {}, {POST: NOTHING}, "C", "B"),
    ("operation removed, an extension", {}, {"paths|/events/": NOTHING}, "C", "-"),
    ("operation deprecated", {}, {f"{GET}|deprecated": True}, "-", "-"),
    ("operation added, no extension", {}, {f"{PATH}|delete": {"operationId": "deleteThing", "tags": ["things"], "responses": {"204": {"description": "Gone."}}}}, "B", "C"),
    ("path renamed", {}, {"paths": renamed_key("/things/{slug}/", "/objects/{slug}/")}, "CB", "CB"),
    ("operationId changed", {}, {f"{GET}|operationId": "readThing"}, "C", "C"),
    ("OAuth scope added to what an operation needs", {}, {"security": [{"OAuth": ["read", "write"]}]}, "C", "B"),
    ("OAuth scope removed", {"security": [{"OAuth": ["read", "write"]}]}, {"security": [{"OAuth": ["read"]}]}, "B", "C"),
    ("security scheme renamed, the same scheme", {"security": [{"Key": []}]}, {"components|securitySchemes": renamed_key("Key", "ApiKey"), "security": [{"ApiKey": []}]}, "-", "-"),
    ("security removed", {}, {"security": []}, "B", "C"),
    ("token URL changed", {}, {"components|securitySchemes|OAuth|flows|clientCredentials|tokenUrl": "https://two.example/token"}, "C", "C"),
    ("server removed", {}, {"servers|0|url": "https://two.example"}, "C", "C"),
    ("server of one path", {}, {f"{PATH}|servers": [{"url": "https://two.example"}]}, "CB", "CB"),
    ("path item behind a $ref changes", {"components|pathItems": {"Things": THINGS}, "paths|/things/{slug}/": {"$ref": "#/components/pathItems/Things"}}, {"components|pathItems|Things|post": NOTHING}, "C", "B"),
    ("webhook added", {}, {"webhooks": {"made": {"post": {"operationId": "onMade", "responses": {"200": {"description": "OK."}}}}}}, "-", "C"),
    ("callback added", {}, {f"{POST}|callbacks": {"done": {"{$request.body#/url}": {"post": {"responses": {"200": {"description": "OK."}}}}}}}, "-", "C"),
    ("description changed", {}, {f"{GET}|description": "Gets one."}, "-", "-"),
    ("the contract changed, info.version did not", {}, {f"{SAY}|properties|tags": {"type": "string"}}, "-", "C"),
    ("scope of one operation added", {}, {f"{GET}|security": [{"OAuth": ["read", "write"]}]}, "C", "B"),
    ("scope changed", {}, {"security": [{"OAuth": ["write"]}]}, "CB", "CB"),
    ("scope: alternative without it added", {"security": [{"OAuth": ["read", "write"]}]}, {"security": [{"OAuth": ["read", "write"]}, {"OAuth": ["read"]}]}, "B", "C"),
    ("scopes reordered", {"security": [{"OAuth": ["read", "write"]}]}, {"security": [{"OAuth": ["write", "read"]}]}, "-", "-"),
    ("scope no longer offered", {}, {"components|securitySchemes|OAuth|flows|clientCredentials|scopes": {"read": "Read."}}, "C", "-"),
    ("scope description", {}, {"components|securitySchemes|OAuth|flows|clientCredentials|scopes|read": "Reads."}, "-", "-"),
    ("second scheme needed", {}, {"security": [{"OAuth": ["read"], "Key": []}]}, "C", "B"),
    ("alternative scheme", {}, {"security": [{"OAuth": ["read"]}, {"Key": []}]}, "B", "C"),
    ("security written out at the operation", {}, {f"{GET}|security": [{"OAuth": ["read"]}]}, "-", "-"),
    ("server of one operation", {}, {f"{GET}|servers": [{"url": "https://two.example"}]}, "CB", "CB"),
    ("server of one operation, the same written out", {}, {f"{GET}|servers": [{"url": "https://one.example"}]}, "-", "-"),
    ("server of one path added to its list", {f"{PATH}|servers": [{"url": "https://two.example"}]}, {f"{PATH}|servers|1": {"url": "https://three.example"}}, "B", "C"),
    ("server of a path with a trailing slash", {f"{PATH}|servers": [{"url": "https://two.example"}]}, {f"{PATH}|servers|0|url": "https://two.example/"}, "-", "-"),
    ("server variable value removed", {"servers": [{"url": "https://{r}.example", "variables": {"r": {"default": "a", "enum": ["a", "b"]}}}]}, {"servers|0|variables|r|enum": ["a"]}, "C", "-"),
    ("path item ref: parameter tightened", {"components|pathItems": {"Things": THINGS}, PATH: {"$ref": "#/components/pathItems/Things"}}, {"components|pathItems|Things|get|parameters|0|schema|maximum": 50}, "C", "B"),
    ("path item inlined", {"components|pathItems": {"Things": THINGS}, PATH: {"$ref": "#/components/pathItems/Things"}}, {PATH: THINGS}, "-", "-"),
    ("path item ref: operation added", {"components|pathItems": {"Things": THINGS}, PATH: {"$ref": "#/components/pathItems/Things"}}, {"components|pathItems|Things|delete": {"operationId": "d", "tags": ["things"], "responses": {"204": {"description": "x"}}}}, "B", "C"),
    ("path item ref with an operation beside it", {"components|pathItems": {"Things": THINGS}, PATH: {"$ref": "#/components/pathItems/Things"}}, {f"{PATH}|delete": {"operationId": "d", "tags": ["things"], "responses": {"204": {"description": "x"}}}}, "B", "C"),
    ("parameter: format uuid set", {}, {f"{GET}|parameters|1|schema|format": "uuid"}, "C", "CB"),
    ("parameter: enum removed", {}, {f"{GET}|parameters|2|schema": {"type": "string", "default": "up"}}, "CB", "C"),
    ("answer: header format", {}, {f"{OK}|headers|Next-Cursor|schema|format": "uuid"}, "CB", "C"),
    ("content type with another parameter", {}, {f"{POST}|requestBody|content": renamed_key("application/json", "application/json; version=2")}, "CB", "CB"),
    ("answer: content type with charset", {}, {f"{OK}|content": renamed_key("application/json",'Application/JSON;charset="UTF-8"')}, "-", "-"),
    ("header parameter's case", {f"{GET}|parameters|4": {"name": "X-Way", "in": "header", "schema": {"type": "string"}}}, {f"{GET}|parameters|4|name": "x-way"}, "-", "-"),
    ("5XX range added", {}, {f"{GET}|responses|5XX": {"description": "x"}}, "-", "B"),
    ("404 replaced by 4XX", {}, {f"{GET}|responses": renamed_key("404", "4XX")}, "-", "B"),
    ("200 replaced by 2XX", {}, {f"{GET}|responses": renamed_key("200", "2XX")}, "C", "CB"),
    ("style simple written out", {}, {f"{PATH}|parameters|0|style": "simple", f"{PATH}|parameters|0|explode": False}, "-", "-"),
    ("explode of a single value", {}, {f"{GET}|parameters|0|explode": False}, "-", "-"),
    ("style spaceDelimited", {}, {f"{GET}|parameters|3|style": "spaceDelimited", f"{GET}|parameters|3|explode": False}, "CB", "CB"),
    ("scheme's bearer case", {"components|securitySchemes|Key": {"type": "http", "scheme": "bearer"}, "security": [{"Key": []}]}, {"components|securitySchemes|Key|scheme": "Bearer"}, "-", "-"),
    ("two path parameters renamed", {"paths": lambda p: {"/t/{a}/{b}/": {"parameters": [{"name": "a", "in": "path", "required": True, "schema": {"type": "string"}}, {"name": "b", "in": "path", "required": True, "schema": {"type": "integer"}}], "get": p["/events/"]["get"]}}}, {"paths": lambda p: {"/t/{x}/{y}/": {"parameters": [{"name": "x", "in": "path", "required": True, "schema": {"type": "string"}}, {"name": "y", "in": "path", "required": True, "schema": {"type": "integer"}}], "get": p["/t/{a}/{b}/"]["get"]}}}, "C", "C"),
    ("webhook payload gets a field", {"webhooks": {"made": {"post": {"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}, "responses": {"200": {"description": "x"}}}}}}, {"webhooks|made|post|requestBody|content|application/json|schema|properties": {"a": {"type": "string"}}}, "C", "C"),
    ("webhook payload loses a field", {"webhooks": {"made": {"post": {"requestBody": {"content": {"application/json": {"schema": ref("Owner")}}}, "responses": {"200": {"description": "x"}}}}}}, {f"{SCHEMAS}|Owner|properties|nick": NOTHING}, "C", "B"),
    ("callback removed", {f"{POST}|callbacks": {"done": {"{$url}": {"post": {"responses": {"200": {"description": "x"}}}}}}}, {f"{POST}|callbacks": NOTHING}, "C", "-"),
    ("moved extension", {}, {"paths": renamed_key("/events/", "/history/")}, "C", "C"),
    ("method changed", {}, {f"{PATH}": lambda i: {("put" if k=="post" else k): v for k,v in i.items()}}, "CB", "CB"),
    ("range of content types narrowed", {f"{POST}|requestBody|content": renamed_key("application/json", "*/*")}, {f"{POST}|requestBody|content": renamed_key("*/*", "application/json")}, "C", "B"),
    ("answer loses its body", {}, {f"{OK}|content": NOTHING}, "CB", "CB"),
    ("key header case", {"security": [{"Key": []}]}, {"components|securitySchemes|Key|name": "authorization"}, "-", "-"),
    ("alias of a scheme used", {"security": [{"Key": []}]}, {"components|securitySchemes|Same": KEY, "security": [{"Same": []}]}, "-", "-"),
    ("response header required", {}, {f"{OK}|headers|Next-Cursor|required": True}, "B", "C"),
    ("openapi patch version", {}, {"openapi": "3.1.1"}, "-", "-"),
    ("param by component ref", {"components|parameters": {"L": THINGS["get"]["parameters"][0]}}, {f"{GET}|parameters|0": {"$ref": "#/components/parameters/L"}}, "-", "-"),
    ("response by component ref", {}, {"components|responses": {"N": {"description": "Not found."}}, f"{GET}|responses|404": {"$ref": "#/components/responses/N"}}, "-", "-"),
    ("second tag", {}, {f"{GET}|tags": ["things", "more"]}, "-", "-"),
    ("first tag", {}, {f"{GET}|tags": ["more", "things"]}, "C", "C"),
    ("security [] vs [{}]", {"security": []}, {"security": [{}]}, "-", "-"),
    ("operation links", {}, {f"{OK}|links": {"x": {"operationId": "getThing"}}}, "-", "-"),
    ("enum removed used in param ref", {f"{GET}|parameters|2|schema": ref("Color")}, {f"{GET}|parameters|2|schema": {"type": "string"}, f"{ASK}|properties|color": NOTHING, f"{SCHEMAS}|Color": NOTHING}, "CB", "CB"),
    ("header moved from inline to component", {}, {"components|headers": {"N": {"schema": {"type": "string"}}}, f"{OK}|headers|Next-Cursor": {"$ref": "#/components/headers/N"}}, "-", "-"),
    ("multipart boundary encoding", {f"{POST}|requestBody|content": {"multipart/form-data": {"schema": {"type": "object"}}}}, {f"{POST}|requestBody|content|multipart/form-data|encoding": {"a": {"contentType": "x/y"}}}, "CB", "CB"),
    ("path item ref: servers", {"components|pathItems": {"T": THINGS}, PATH: {"$ref": "#/components/pathItems/T"}}, {"components|pathItems|T|servers": [{"url": "https://two.example"}]}, "CB", "CB"),
    ("webhook via path item ref removed", {"components|pathItems": {"W": {"post": {"responses": {"200": {"description": "x"}}}}}, "webhooks": {"made": {"$ref": "#/components/pathItems/W"}}}, {"components|pathItems|W|post": NOTHING}, "C", "-"),
    ("callback answer required field", {f"{POST}|callbacks": {"d": {"{$url}": {"post": {"requestBody": {"content": {"application/json": {"schema": ref("Owner")}}}, "responses": {"200": {"description": "x"}}}}}}}, {f"{SCHEMAS}|Owner|required": ["id", "nick"]}, "CB", "CB"),
]  # fmt: skip


def broken(old, new):
    kinds = {change.kind for change in rules.changes_between(old, new)}
    letters = {rules.Kind.BREAKS_CALLERS: "C", rules.Kind.BREAKS_BACKENDS: "B"}
    return "".join(letter for kind, letter in letters.items() if kind in kinds) or "-"


@pytest.mark.parametrize(
    ("first", "then", "forth", "back"),
    [pair[1:] for pair in PAIRS],
    ids=[pair[0] for pair in PAIRS],
)
def test_a_change_breaks(first, then, forth, back):
    old = edited(BASE, first)
    new = edited(old, then)
    assert (broken(old, new), broken(new, old)) == (forth, back)
