"""What messages of failed requests call the operations of the API."""

import re
from pathlib import Path

import pytest

from afnio_tellurio.operation_names import failure_of

CONTRACT = Path(__file__).parents[2] / "openapi" / "tellurio.yaml"
OPERATIONS = sorted(set(re.findall(r"operationId: (\w+)", CONTRACT.read_text(encoding="utf-8"))))
#: Words of the API that its users never wrote.
INTERNAL = {"api", "blob", "blobs", "batch", "part", "rows", "sample", "tabulate", "upload"}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_message_has_no_name_of_an_operation(operation):
    words = failure_of(operation)
    assert re.fullmatch(r"Cannot [a-z]+( [a-z]+| API)+", words)
    described = words.removeprefix("Cannot upload ").removeprefix("Cannot list the rows of a ")
    assert not INTERNAL & set(described.split())


def test_requests_have_the_words_of_the_program():
    assert failure_of("listRuns") == "Cannot list runs"
    assert failure_of("verifyApiKey") == "Cannot verify the API key"
    assert failure_of("GET /api/v0/") == "GET /api/v0/"
    assert failure_of("request") == "request"
