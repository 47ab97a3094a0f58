"""Which runs created and used which versions, through HTTP."""

from __future__ import annotations

import exchanges
import pytest
from artifact_requests import ARTIFACTS, PROJECTS, VERSIONS, create, new_run, read


def use(api, run, version="latest", artifact="model", status=200):
    answer = api.post(f"{run}artifacts/", json={"artifact": artifact, "version": version})
    assert answer.status_code == status, answer.text
    return answer.json()


def runs_of(api, version="v0"):
    return [
        (each["direction"], each["run_name"]) for each in read(api, f"{VERSIONS}{version}/runs/")
    ]


def artifacts_of(api, run, **query):
    items = read(api, f"{run}artifacts/", **query)
    return [(each["direction"], each["artifact"], each["version"]) for each in items]


def test_a_run_has_its_outputs_and_inputs_in_order(api):
    run, uuid = new_run(api, name="first")
    version = create(api, run_uuid=uuid)
    create(api, {"a": b"2"}, name="data")
    assert use(api, run, "v0", "data")["artifact"] == "data"
    create(api, {"a": b"3"}, run_uuid=uuid)
    expected = [("output", "model", "v0"), ("input", "data", "v0"), ("output", "model", "v1")]
    assert artifacts_of(api, run) == expected
    assert artifacts_of(api, run, direction="output") == [expected[0], expected[2]]
    assert artifacts_of(api, run, direction="input") == [expected[1]]
    first = read(api, f"{run}artifacts/")[0]
    assert first == {
        "direction": "output", "artifact": "model", "version": "v0", "type": "model",
        "digest": version["digest"], "size": 1, "timestamp": version["date_created"],
    }  # fmt: skip
    with exchanges.departing("request"):
        assert api.get(f"{run}artifacts/", params={"direction": "both"}).status_code == 400


def test_a_use_is_recorded_once(api):
    create(api, aliases=["best"])
    run, _ = new_run(api, name="first")
    for version in ("v0", "best", "latest", f"sha256:{read(api, f'{VERSIONS}v0/')['digest']}"):
        assert use(api, run, version)["version"] == "v0"
    assert artifacts_of(api, run) == [("input", "model", "v0")]
    assert runs_of(api) == [("input", "first")]


def test_a_run_that_creates_what_there_is_has_it_as_an_output(api):
    runs = [new_run(api, name=name) for name in ("first", "second")]
    first = create(api, run_uuid=runs[0][1])
    again = create(api, run_uuid=runs[1][1], status=200)
    assert again["run_uuid"] == first["run_uuid"] == runs[0][1]
    assert runs_of(api) == [("output", "first"), ("output", "second")]
    use(api, runs[0][0])
    assert runs_of(api) == [("output", "first"), ("output", "second"), ("input", "first")]


def test_lists_have_pages(api):
    runs = [new_run(api, name=f"r{index}") for index in range(5)]
    create(api)
    for run, uuid in runs:
        use(api, run, "v0")
        create(api, {"a": uuid.encode()}, run_uuid=runs[0][1])
    for path in (f"{VERSIONS}v0/runs/", f"{runs[0][0]}artifacts/"):
        items, query = [], {"limit": 2}
        while query:
            answer = api.get(path, params=query)
            items += answer.json()
            cursor = answer.headers.get("Next-Cursor")
            query = {"limit": 2, "cursor": cursor} if cursor else {}
        assert items == read(api, path)
        assert len(items) >= 5


def test_what_is_in_the_trash_is_not_listed(api):
    (first, uuid), (second, _) = (new_run(api, name=name) for name in ("first", "second"))
    create(api, run_uuid=uuid)
    use(api, second)
    api.delete(first)
    assert runs_of(api) == [("input", "second")]
    assert read(api, f"{VERSIONS}v0/")["run_uuid"] is None
    api.post(f"{first}restore/")
    assert runs_of(api) == [("output", "first"), ("input", "second")]
    assert read(api, f"{VERSIONS}v0/")["run_uuid"] == uuid
    api.delete(f"{VERSIONS}v0/")
    assert artifacts_of(api, second) == []
    api.post(f"{VERSIONS}v0/restore/")
    assert artifacts_of(api, second) == [("input", "model", "v0")]


@pytest.mark.parametrize(
    ("artifact", "version"), [("other", "v0"), ("model", "v1"), ("model", "best")]
)
def test_a_version_that_is_unknown_cannot_be_used(api, artifact, version):
    create(api)
    run, _ = new_run(api)
    assert artifact in use(api, run, version, artifact, status=404)["detail"]
    assert artifacts_of(api, run) == []


def test_versions_of_other_projects_cannot_be_used(api):
    api.post(PROJECTS, json={"display_name": "Other"})
    create(api)
    uuid = api.post(f"{PROJECTS}other/runs/", json={}).json()["uuid"]
    use(api, f"{PROJECTS}other/runs/{uuid}/", status=404)
    assert (
        api.post(f"{VERSIONS}", json={"type": "model", "files": [], "run_uuid": uuid}).status_code
        == 404
    )
    assert read(api, ARTIFACTS)[0]["version_count"] == 1
