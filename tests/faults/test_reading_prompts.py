"""Prompts are read within seconds, whatever the backend does."""

import exchanges
import pytest
from faulty_proxy import FaultyProxy

import afnio_tellurio as te
from afnio_tellurio.tracking import prompt_functions


@pytest.fixture
def proxy(start_server, monkeypatch):
    proxy = FaultyProxy(start_server(api_key="the-key"))
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", proxy.url)
    monkeypatch.setenv("TELLURIO_API_KEY", "the-key")
    with exchanges.departing("answer"):
        yield proxy
    proxy.close()


@pytest.fixture
def logged(proxy):
    with te.init("acme", "Digits") as run:
        run.log_prompt("judge", "text", aliases=["production"], wait=True)


REFERENCE = "acme/digits/judge:production"


@pytest.mark.parametrize("fault", ["html", "reset", "520", "hang"])
def test_a_failing_backend_means_the_last_prompt_or_the_fallback(proxy, logged, fault, monkeypatch):
    assert te.get_prompt(REFERENCE).version == "v0"
    monkeypatch.setattr(prompt_functions, "PROMPT_TIMEOUT", 0.5)
    proxy.fault = lambda _method, _path: fault
    assert te.get_prompt(REFERENCE).version == "v0"
    assert te.get_prompt("acme/digits/judge", fallback="other").is_fallback
    with pytest.raises(te.TellurioError):
        te.get_prompt("acme/digits/judge")


def test_a_server_that_is_gone_means_the_last_prompt_or_the_fallback(start_server, monkeypatch):
    proxy = FaultyProxy(start_server(api_key="the-key"))
    monkeypatch.setenv("TELLURIO_BACKEND_HTTP_BASE_URL", proxy.url)
    monkeypatch.setenv("TELLURIO_API_KEY", "the-key")
    with te.init("acme", "Digits") as run:
        run.log_prompt("judge", "text", aliases=["production"], wait=True)
        te.get_prompt(REFERENCE)
    proxy.close()
    monkeypatch.setattr(prompt_functions, "PROMPT_TIMEOUT", 0.5)
    assert te.get_prompt(REFERENCE).text == "text"
    assert te.get_prompt("acme/digits/other", fallback="other").text == "other"


def test_files_that_wait_for_delivery_do_not_hold_it_up(proxy, monkeypatch):
    monkeypatch.setattr(prompt_functions, "PROMPT_TIMEOUT", 0.5)
    with te.init("acme", "Digits") as run:
        proxy.fault = lambda method, _path: "html" if method != "GET" else None
        run.log_prompt("judge", "text")
        # Without a deadline, it would wait until the exit timeout.
        assert te.get_prompt("judge", fallback="other").is_fallback
        proxy.fault = lambda _method, _path: None
    assert te.get_prompt("acme/digits/judge").text == "text"


def test_an_input_is_recorded_when_the_backend_is_back(proxy, logged, monkeypatch):
    te.get_prompt(REFERENCE)
    with te.init("acme", "Digits", "second") as run:
        proxy.fault = lambda _method, _path: "html"
        monkeypatch.setattr(prompt_functions, "PROMPT_TIMEOUT", 0.5)
        assert te.get_prompt(REFERENCE).text == "text"
        proxy.fault = lambda _method, _path: None
        assert [link.version for link in run.inputs()] == ["v0"]


def test_the_parents_of_a_process_that_died_are_recorded_once(proxy, start_python):
    program = """
import os
import afnio_tellurio as te
run = te.init("acme", "Digits", "dying")
first = run.log_prompt("judge", "first")
run.log_prompt("judge", "second", parents=[first])
os._exit(3)
"""
    proxy.fault = lambda _method, path: "html" if "blobs" in path or "artifacts" in path else None
    child = start_python("-c", program, may_depart=("answer",))
    child.communicate()
    assert child.returncode == 3
    proxy.fault = lambda _method, _path: None
    te.sync()
    te.sync()
    (run,) = te.runs("acme", "digits")
    assert [link.version for link in run.outputs()] == ["v0", "v1"]
    assert [link.version for link in run.inputs()] == ["v0"]
