"""A backend behind a faulty proxy, and fixtures to count what arrived."""

from __future__ import annotations

from collections import Counter

import exchanges
import pytest
from faulty_proxy import FaultyProxy
from leftovers import close_default_clients, end_active_run


@pytest.fixture
def run_python(run_forked):
    """Runs a program until it ends: the start of an interpreter is not what is tested here."""

    def run(program, *, timeout=None, **keywords):
        return run_forked(program, **keywords)

    return run


@pytest.fixture
def proxy(server, monkeypatch):
    """A faulty proxy in front of a real server; the environment names the proxy."""
    proxy = FaultyProxy(server)
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", proxy.url)
    with exchanges.departing("answer"):
        yield proxy
        proxy.fault = lambda *_: None
    end_active_run()
    close_default_clients()
    proxy.close()


@pytest.fixture
def journals(home):
    """The existing journals."""
    return lambda: sorted((home / "journals").glob("*.ndjson"))


@pytest.fixture
def doubled_or_missing():
    """The values that are not there exactly once."""

    def find(values, wanted):
        found, wanted = Counter(values), Counter(wanted)
        return {"missing": wanted - found, "doubled": found - wanted}

    return lambda values, wanted: {k: v for k, v in find(values, wanted).items() if v}
