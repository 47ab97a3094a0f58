"""A small OpenAPI document, and edits of it, to compare what a change breaks.

A place is a path of keys, joined by `|`.
"""

import copy

import yaml

BASE = yaml.safe_load("""
openapi: 3.1.0
info: { title: Things, version: "1" }
servers: [{ url: https://one.example }]
security: [{ OAuth: [read] }]
tags: [{ name: things, description: Things. }]
paths:
  /things/{slug}/:
    parameters: [{ name: slug, in: path, required: true, schema: { type: string } }]
    get:
      operationId: getThing
      tags: [things]
      summary: Get a thing
      description: Gets it.
      parameters:
        - { name: limit, in: query, description: The maximum., schema: { type: integer, minimum: 1, maximum: 100 } }
        - { name: about, in: query, required: true, schema: { type: string } }
        - { name: sort, in: query, schema: { type: string, enum: [up, down], default: up } }
        - { name: ids, in: query, schema: { type: array, items: { type: string } } }
      responses:
        "200":
          description: The thing.
          headers: { Next-Cursor: { schema: { type: string } } }
          content: { application/json: { schema: { $ref: "#/components/schemas/Thing" } } }
        "404": { description: Not found. }
    post:
      operationId: createThing
      tags: [things]
      requestBody:
        required: true
        content: { application/json: { schema: { $ref: "#/components/schemas/ThingCreate" } } }
      responses:
        "201":
          description: Made.
          content: { application/json: { schema: { $ref: "#/components/schemas/Thing" } } }
  /events/:
    get:
      operationId: listEvents
      tags: [things]
      x-tellurio-extension: true
      responses:
        "200":
          description: Events.
          content:
            application/json:
              schema: { type: array, items: { $ref: "#/components/schemas/Event" } }
components:
  securitySchemes:
    OAuth:
      type: oauth2
      flows: { clientCredentials: { tokenUrl: https://one.example/token, scopes: { read: Read., write: Write. } } }
    Key: { type: apiKey, in: header, name: Authorization }
  schemas:
    Color: { type: string, enum: [RED, BLUE] }
    ThingCreate:
      type: object
      required: [name]
      properties:
        name: { type: string, maxLength: 10 }
        size: { type: integer, minimum: 0 }
        color: { $ref: "#/components/schemas/Color" }
        words: { type: array, maxItems: 5, items: { type: string } }
        owner: { $ref: "#/components/schemas/Owner" }
        about: { allOf: [ { type: string, maxLength: 100 }, { minLength: 1 } ] }
        either: { oneOf: [ { type: object, required: [a], properties: { a: { type: string } } }, { type: object, required: [b], properties: { b: { type: string } } } ] }
    Owner:
      type: object
      required: [id]
      properties: { id: { type: string }, nick: { type: string } }
    Thing:
      type: object
      required: [name, id]
      properties:
        id: { type: string }
        name: { type: string, maxLength: 10 }
        size: { type: integer }
        shade: { type: string, enum: [DARK, LIGHT] }
        made: { type: string }
        owner: { anyOf: [ { $ref: "#/components/schemas/Owner" }, { type: "null" } ] }
        words: { type: array, items: { type: string } }
        extra: { type: object, additionalProperties: { type: integer } }
    Event:
      oneOf:
        - $ref: "#/components/schemas/Born"
        - $ref: "#/components/schemas/Gone"
      discriminator: { propertyName: kind, mapping: { born: "#/components/schemas/Born", gone: "#/components/schemas/Gone" } }
    Born:
      type: object
      required: [kind, at]
      properties: { kind: { type: string }, at: { type: string } }
    Gone:
      type: object
      required: [kind, why]
      properties: { kind: { type: string }, why: { type: string } }
""")
NOTHING = object()
SCHEMAS = "components|schemas"
ASK, SAY = f"{SCHEMAS}|ThingCreate", f"{SCHEMAS}|Thing"
PATH = "paths|/things/{slug}/"
GET, POST = f"{PATH}|get", f"{PATH}|post"
OK = f"{GET}|responses|200"


def edited(document, edits):
    """A copy of the document with the value at each place replaced, removed or mapped."""
    document = copy.deepcopy(document)
    for place, value in edits.items():
        *path, last = place.split("|")
        node = document
        for part in path:
            node = node[int(part) if isinstance(node, list) else part]
        key = int(last) if isinstance(node, list) else last
        if value is NOTHING:
            del node[key]
        elif isinstance(node, list) and key == len(node):
            node.append(value)
        else:
            node[key] = value(node[key]) if callable(value) else value
    return document


def renamed_key(old, new):
    """An edit that renames a key, and keeps the order."""
    return lambda node: {new if key == old else key: value for key, value in node.items()}


def ref(name):
    return {"$ref": f"#/components/schemas/{name}"}
