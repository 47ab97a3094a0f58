"""Metrics in columns that break the contract raise an exception of the SDK, and reach no frame."""

import base64
import json
import struct

import httpx
import pytest
from transports import use_transport

import afnio_tellurio as te
from afnio_tellurio.backend import open_backend

COLUMNS = "application/vnd.tellurio.columns+json"
VALID = {"name": "loss", "step": [0, 1], "value": [1, 2.5], "timestamp": [1, 2]}


def packed(kind, code, *numbers):
    data = struct.pack(f"<{len(numbers)}{code}", *numbers)
    return {"kind": kind, "base64": base64.b64encode(data).decode()}


FLOATS = packed("float64", "d", 0, 1)
INVALID = {
    "an unknown kind": {"value": packed("int32", "q", 1, 2)},
    "bytes of no number": {"value": packed("int64", "b", 1, 2, 3)},
    "truncated Base64": {"value": {"kind": "int64", "base64": "AAAAAAAAAAAAAAA"}},
    "fewer values": {"value": [1]},
    "fewer timestamps": {"timestamp": packed("int64", "q", 1)},
    "steps that are floats": {"step": FLOATS},
    "a step above 64 bits": {"step": [0, 2**63]},
    "timestamps that are floats": {"timestamp": FLOATS},
    "a timestamp that is NaN": {"timestamp": packed("float64", "d", 1, float("nan"))},
    "a timestamp after 9999": {"timestamp": packed("int64", "q", 1, 2**60)},
    "a timestamp before 1": {"timestamp": [-(2**60), 1]},
}


@pytest.fixture
def read(tmp_path):
    """Reads the metrics of a run from a backend that answers so."""
    backend = open_backend(tmp_path / "other.db")
    client = te.TellurioClient.local(tmp_path / "x.db")
    inner = httpx.WSGITransport(app=backend)
    use_transport(client, inner)
    run = te.init("acme", "Digits", client=client)
    run.finish()

    def read(content_type, document):
        def handle(request):
            if request.method != "GET" or not request.url.path.endswith("/metrics/"):
                return inner.handle_request(request)
            headers = {"Content-Type": content_type}
            return httpx.Response(200, content=json.dumps(document), headers=headers)

        use_transport(client, httpx.MockTransport(handle))
        return te.get_run("acme", "digits", run.uuid, client=client).metrics("loss")

    yield read
    client.close()
    backend.close()


def test_valid_columns_are_read(read):
    assert read(COLUMNS, [VALID]).values == [1, 2.5]
    assert read(COLUMNS, [{**VALID, "value": FLOATS}]).values == [0.0, 1.0]


@pytest.mark.parametrize("change", INVALID.values(), ids=INVALID.keys())
def test_invalid_columns_raise_an_exception_of_the_sdk(read, change):
    with pytest.raises(
        te.InvalidResponseError, match="Cannot list metrics: the answer of .* is invalid"
    ):
        read(COLUMNS, [{**VALID, **change}])


@pytest.mark.parametrize("column", sorted(VALID))
def test_a_missing_column_raises_an_exception_of_the_sdk(read, column):
    document = {name: items for name, items in VALID.items() if name != column}
    with pytest.raises(te.InvalidResponseError, match=f"missing required field `{column}`"):
        read(COLUMNS, [document])


def test_a_step_above_64_bits_of_an_object_raises_the_same(read):
    metric = {"name": "loss", "value": 1, "step": 2**63, "timestamp": "2026-11-23T12:00:00Z"}
    with pytest.raises(te.InvalidResponseError, match="a step does not fit into 64 bits"):
        read("application/json", [metric])
