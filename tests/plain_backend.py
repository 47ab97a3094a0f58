"""The local backend without anything that the contract marks as an extension."""

from __future__ import annotations

import json
import re

import exchanges
import httpx

_Wsgi = httpx.WSGITransport


def _extensions():
    """Method and path pattern of each operation that the platform is not known to have."""
    for path, item in exchanges.CONTRACT["paths"].items():
        pattern = re.compile(re.sub(r"\{\w+\}", "[^/]+", path))
        for method, operation in item.items():
            if isinstance(operation, dict) and operation.get("x-tellurio-extension"):
                yield method.upper(), pattern


EXTENSIONS = list(_extensions())
#: The schemas of requests with fields that the platform is not known to have, and ignores.
REQUESTS = {
    r"^POST .*/runs/$": "RunCreate",
    r"^PATCH .*/runs/[^/]+/$": "RunUpdate",
    r"^POST .*/metrics/$": "MetricCreate",
}


#: The fields of answers that the platform is not known to have.
FIELDS = {
    name
    for schema in ("Project", "Run", "Metric", "Error", "RunNotFoundError")
    for name, field in exchanges.CONTRACT["components"]["schemas"][schema]["properties"].items()
    if field.get("x-tellurio-extension")
}


class PlainBackend(httpx.BaseTransport):
    """Lacks the operations, parameters and fields that the platform is not known to have."""

    def __init__(self, app):
        self._inner = _Wsgi(app=app)

    def handle_request(self, request):
        path = request.url.path
        known = {method for method, pattern in EXTENSIONS if pattern.fullmatch(path)}
        if request.method in known:
            status = 405 if re.search(r"/runs/[^/]+/$|/projects/$", path) else 404
            return httpx.Response(status, json={"detail": "Not found."}, request=request)
        content = request.read()
        for pattern, schema in REQUESTS.items():
            if content and re.search(pattern, f"{request.method} {path}"):
                fields = json.loads(content)
                properties = exchanges.CONTRACT["components"]["schemas"][schema]["properties"]
                plain_fields = {
                    name: value
                    for name, value in fields.items()
                    if not properties.get(name, {}).get("x-tellurio-extension")
                }
                content = json.dumps(plain_fields).encode()
        headers = {
            name: word
            for name, word in request.headers.items()
            if name not in {"accept", "idempotency-key", "if-match", "content-length"}
        }
        plain = httpx.Request(
            request.method, request.url.copy_with(query=None), headers=headers, content=content
        )
        response = self._inner.handle_request(plain)
        if not response.read():
            return httpx.Response(response.status_code, request=request)
        answer = response.json()
        for item in answer if isinstance(answer, list) else [answer]:
            for name in FIELDS:
                item.pop(name, None)
        # Without the headers, all of which are extensions.
        return httpx.Response(response.status_code, json=answer, request=request)
