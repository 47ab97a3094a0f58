"""Scenarios run in process, over HTTP, and on a backend without any extension."""

from __future__ import annotations

import httpx
import pytest
from plain_backend import PlainBackend

WITHOUT = "without extensions"


@pytest.fixture(params=["in process", "over HTTP", WITHOUT])
def backend(request, monkeypatch):
    """Sets a backend in the environment."""
    if request.param == "over HTTP":
        request.getfixturevalue("server")
    else:
        monkeypatch.setenv("TELLURIO_MODE", "local")
    if request.param == WITHOUT:
        monkeypatch.setattr(httpx, "WSGITransport", PlainBackend)
    return request.param


def pytest_collection_modifyitems(config, items):
    """Skips tests that need an extension."""
    out = [
        item
        for item in items
        if item.get_closest_marker("needs_extension")
        and WITHOUT in getattr(item, "callspec", item).__dict__.get("_idlist", ())
    ]
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in out]
