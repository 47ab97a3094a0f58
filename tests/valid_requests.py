"""A request that succeeds for each operation of the contract."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import exchanges

METHODS = ("get", "post", "patch", "put", "delete")
#: The method, the path and the description of each operation.
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, item in exchanges.CONTRACT["paths"].items()
    for method, operation in item.items()
    if method in METHODS
}
CONTENT = b"hello"
UPLOADED = b"uploaded"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
_FILE = {"path": "model.pt", "digest": DIGEST, "size": len(CONTENT)}
_BYTES = "application/octet-stream"

#: What the examples of the contract lack to succeed with what `fill` creates.
QUERIES: dict[str, dict[str, Any]] = {
    "sampleMetric": {"name": "loss", "buckets": 5},
    "listRows": {"name": "table"},
    "sampleProjectMetrics": {"name": "loss", "buckets": 5, "run": "RUN"},
    "downloadArtifactFile": {"path": "model.pt"},
    "downloadRunFile": {"path": "samples"},
    "deleteArtifactVersion": {"force": "true"},
}
BODIES: dict[str, Any] = {
    "createProject": {"display_name": "Letters"},
    "createArtifactVersion": {"type": "model", "files": [_FILE]},
    "setArtifactAlias": {"version": "latest"},
    "logRunFile": {"path": "samples", "kind": "image", "digest": DIGEST},
}
_PART = base64.b64encode(hashlib.sha256(UPLOADED).digest()).decode()
#: The bodies that are not JSON, and their headers.
CONTENTS: dict[str, tuple[bytes, dict[str, str]]] = {
    "putBlob": (CONTENT, {"Content-Type": _BYTES}),
    "putBlobs": (
        f"{DIGEST} {len(CONTENT)}\n".encode() + CONTENT,
        {"Content-Type": "application/vnd.tellurio.blobs"},
    ),
    "putUploadPart": (
        UPLOADED,
        {"Content-Type": _BYTES, "Content-Digest": f"sha-256=:{_PART}:"},
    ),
}


def values_of(run_uuid: str, upload_uuid: str = "2d7c1a30-4a55-4f8e-9f0e-7b2be1c3d4e5"):
    """The path parameters of what `fill` creates."""
    return {
        "namespace_slug": "acme",
        "project_slug": "digits",
        "run_uuid": run_uuid,
        "digest": DIGEST,
        "upload_uuid": upload_uuid,
        "part_number": "1",
        "artifact_name": "model",
        "version": "v0",
        "alias": "best",
    }


def body_of(name):
    """The body of a request for an operation, as httpx takes it, with its headers."""
    if name in CONTENTS:
        content, headers = CONTENTS[name]
        return {"content": content}, headers
    operation = OPERATIONS[name][2]
    if "requestBody" not in operation:
        return {}, {}
    example = operation["requestBody"]["content"]["application/json"]["example"]
    return {"json": BODIES.get(name, example)}, {}


def send(api, name, values, **options):
    """Sends the request for an operation."""
    method, path, _ = OPERATIONS[name]
    query = {
        key: values["run_uuid"] if value == "RUN" else value
        for key, value in QUERIES.get(name, {}).items()
    }
    body, headers = body_of(name)
    options["headers"] = {**headers, **options.get("headers", {})}
    return api.request(method, path.format(**values), params=query, **body, **options)


def fill(api, run_uuid, artifact_name="model"):
    """Creates what requests for operations on artifacts need; returns the path parameters."""
    digest = hashlib.sha256(UPLOADED).hexdigest()
    upload = api.post(
        "/api/v0/acme/projects/digits/uploads/", json={"digest": digest, "size": len(UPLOADED)}
    ).json()
    values = {**values_of(run_uuid, upload["uuid"]), "artifact_name": artifact_name}
    for name in ("putUploadPart", "putBlob", "createArtifactVersion", "setArtifactAlias", "logRunFile"):  # fmt: skip
        answer = send(api, name, values)
        assert answer.is_success, (name, answer.text)
    return values
