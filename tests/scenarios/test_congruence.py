"""One scenario, in process and over HTTP: the application sees exactly the same."""

import math
import re

import pytest

import afnio_tellurio as te


def scenario(client):
    """Does everything that an application can do, and returns all results."""
    seen = []

    def see(call, *arguments, **keywords):
        try:
            result = call(*arguments, client=client, **keywords)
        except (te.TellurioError, LookupError, ValueError, TypeError) as error:
            facts = getattr(error, "operation", None), getattr(error, "status_code", None)
            seen.append((type(error).__name__, facts, getattr(error, "words", str(error))))
            return None
        seen.append(result)
        return result

    see(te.get_project, "acme", "digits")
    see(te.create_project, "acme", "Digits", "PUBLIC")
    see(te.create_project, "acme", "Digits", "TEAM")
    see(te.create_project, "acme", "!!!")
    see(te.runs, "acme", "nothing")
    first = see(te.init, "acme", "Digits", "same", "first")
    second = see(te.init, "acme", "Digits", "same")
    for value in (0.5, -0.0, math.nan, -math.inf, 10**400, 2**63):
        see(second.log, "loss", value)
    for step in (7, 7, 3, -1, 1.5, 2**63 - 1, 2**63):
        see(second.log, "steps", [step, {"a": None}], step=step)
    see(second.log, "steps", "after the greatest")
    for value in ("text", True, None, {}, {1}, "\ud800"):
        see(second.log, "mixed", value)
    see(second.metrics)
    see(second.metrics, "loss")
    see(second.metrics, "never")
    see(second.summary)
    see(second.curve, "loss")
    see(second.finish, status=te.RunStatus.CRASHED)
    see(second.log, "loss", 1)
    see(lambda *path, client: list(te.runs(*path, client=client)), "acme", "Digits")
    see(te.get_run, "acme", "Digits", "same_1")
    see(te.get_run, "acme", "Digits", first.uuid)
    see(te.get_run, "acme", "Digits", "00000000-0000-0000-0000-000000000000")
    for method, path in [
        ("GET", ""),
        ("POST", ""),
        ("GET", "runs/"),
        ("GET", f"runs/{second.uuid}/metrics/summary/"),
    ]:
        raw = getattr(client, method.lower())(f"/api/v0/acme/projects/digits/{path}")
        seen.append((raw.status_code, raw.headers.get("allow"), raw.text))
    see(te.delete_project, "acme", "digits")
    see(first.metrics)
    return seen


def comparable(seen):
    """The results as text, without the parts that differ between runs."""
    text = "\n".join(map(repr, seen))
    names = {}
    for uuid in re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", text):
        names.setdefault(uuid, f"uuid-{len(names)}")
    for uuid, name in names.items():
        text = text.replace(uuid, name)
    text = re.sub(r"datetime\.datetime\([^)]*\)|\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)
    text = re.sub(r'"etag":[^,]+', "ETAG", text)
    return text.splitlines()


def test_both_give_the_same_answers(tmp_path, start_server, sign_in):
    from exchanges import departing

    with te.TellurioClient.local(tmp_path / "local.db") as client, departing("request", "answer"):
        client_user = client.login()["username"]
        in_process = comparable(scenario(client))
    url = start_server(api_key="k", user=client_user)
    sign_in(url, "k")
    with te.TellurioClient(url) as client, departing("request", "answer"):
        over_http = comparable(scenario(client))
    assert len(in_process) > 40
    assert over_http == in_process
    assert sum("InvalidResponse" in line for line in in_process) == 0


@pytest.mark.usefixtures("server")
def test_a_difference_would_be_seen(tmp_path):
    with te.TellurioClient.local(tmp_path / "local.db") as client:
        run = te.init("acme", "Digits", client=client)
        other = te.init("acme", "Digits", "named", client=client)
        assert comparable([run]) != comparable([other])
