"""What the generator of the client cannot express is named before it runs."""

from pathlib import Path

import pytest
import yaml
from contract_documents import ContractError
from generator_document import prepare

MEDIA = Path(__file__).with_name("media.yaml")
TWO_TYPES = "{ description: x, content: { application/json: {}, text/plain: {} } }"
ANOTHER_UNION = """\
    Other:
      oneOf: [{ $ref: "#/components/schemas/Circle" }, { $ref: "#/components/schemas/Square" }]
      discriminator: { propertyName: kind }
    Failure: {"""

UNNAMED_ENUM = "type: { type: string, enum: [A], x-enum-values: { A: { deprecated: true } } }"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('{ $ref: "#/components/responses/Failure" }', TWO_TYPES, "the response 4XX has several"),
        ("    Failure: {", "    UnknownKind: { type: object }\n    Failure: {", "has a name that"),
        ("    Failure: {", ANOTHER_UNION, "different values of kind"),
        (
            "type: { type: string }",
            UNNAMED_ENUM,
            "x-enum-values of A is not in a schema with a name",
        ),
        (
            'x-sunset: "2027-01-31"',
            "x-sunset: soon",
            "x-sunset of getOldFile is 'soon'; write a date",
        ),
        ("is_public: {", "d: {", "the field d has a name that the generator uses"),
        ("is_public: {", "toDict: {", "the field toDict has a name that the generator uses"),
        ("name: count,", "name: params,", "listPoints: the query parameter params has a name that"),
    ],
    ids=["range", "name", "kinds", "enum", "sunset", "field", "method", "parameter"],
)
def test_what_cannot_be_generated_is_named(old, new, words):
    text = MEDIA.read_text().replace(old, new, 1)
    assert text != MEDIA.read_text()
    with pytest.raises(ContractError, match=words):
        prepare(yaml.safe_load(text))
