"""Aliases of versions, through HTTP, and versions, aliases and deletion against a model."""

from __future__ import annotations

import random
import threading

import exchanges
import httpx
import pytest
from artifact_requests import ARTIFACTS, MODEL, PROJECTS, VERSIONS, create, read, versions

from afnio_tellurio.backend import BackendUser, open_backend


def set_alias(api, alias, version, status=200, **headers):
    names = {"match": "If-Match", "none_match": "If-None-Match"}
    answer = api.put(
        f"{MODEL}aliases/{alias}/",
        json={"version": version},
        headers={names[name]: value for name, value in headers.items()},
    )
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.fixture
def two(api):
    """The digests of two versions."""
    return [create(api, {"a": data})["digest"] for data in (b"1", b"2")]


def test_an_alias_names_one_version_and_moves(api, two):
    assert set_alias(api, "best", "v0")["aliases"] == ["best"]
    assert set_alias(api, "prod", "best")["version"] == "v0"
    assert set_alias(api, "best", "latest")["aliases"] == ["best", "latest"]
    assert versions(api) == {"v1": ["best", "latest"], "v0": ["prod"]}
    assert set_alias(api, "best", f"sha256:{two[0]}")["aliases"] == ["best", "prod"]
    assert set_alias(api, "best", "best")["aliases"] == ["best", "prod"]
    assert versions(api) == {"v1": ["latest"], "v0": ["best", "prod"]}


def test_an_alias_is_removed_and_the_version_stays(api, two):
    set_alias(api, "best", "v0")
    assert api.delete(f"{MODEL}aliases/best/").status_code == 204
    assert versions(api) == {"v1": ["latest"], "v0": []}
    answer = api.delete(f"{MODEL}aliases/best/")
    assert (answer.status_code, answer.json()["detail"]) == (
        404,
        "Alias best of the artifact model not found.",
    )
    assert api.delete(f"{ARTIFACTS}other/aliases/best/").status_code == 404


def test_an_alias_of_what_does_not_exist_is_refused(api, two):
    for version in ("v2", "best", "sha256:" + "0" * 64, "sha256:", "../v0", "v-1"):
        detail = set_alias(api, "best", version, 404)["detail"]
        assert detail == f"Version {version} of the artifact model not found."
    assert api.put(f"{ARTIFACTS}other/aliases/best/", json={"version": "v0"}).status_code == 404
    assert versions(api) == {"v1": ["latest"], "v0": []}


def test_an_alias_moves_only_from_the_version_that_is_expected(api, two):
    error = set_alias(api, "best", "v0", 412, match="*")
    assert error == {
        "detail": "The alias best of the artifact model does not exist.",
        "code": "precondition_failed",
    }
    set_alias(api, "best", "v0", 412, match='"v0"')
    set_alias(api, "best", "v0", none_match="*")
    error = set_alias(api, "best", "v1", 412, none_match="*")
    assert error["detail"] == "The alias best of the artifact model names v0."
    set_alias(api, "best", "v1", 412, match='"v1"')
    assert set_alias(api, "best", "v1", match='"v0"')["version"] == "v1"
    assert set_alias(api, "best", "v0", match="*")["version"] == "v0"
    assert versions(api) == {"v1": ["latest"], "v0": ["best"]}


@pytest.mark.parametrize(("name", "value"), [("match", "v0"), ("match", '"best"'), ("match", '"v0", "v1"'), ("none_match", '"v0"')])  # fmt: skip
def test_another_condition_is_refused(api, two, name, value):
    with exchanges.departing("request"):
        set_alias(api, "best", "v0", 400, **{name: value})
    assert versions(api) == {"v1": ["latest"], "v0": []}


def test_of_programs_that_promote_at_once_one_succeeds(start_server):
    url = start_server()
    with httpx.Client(base_url=url) as api:
        api.post(PROJECTS, json={"display_name": "Digits"})
        for index in range(8):
            create(api, {"a": b"%d" % index})
        set_alias(api, "prod", "v0")
    barrier, statuses = threading.Barrier(7), []

    def promote(number):
        with httpx.Client(base_url=url) as own:
            barrier.wait()
            answer = own.put(
                f"{MODEL}aliases/prod/",
                json={"version": f"v{number}"},
                headers={"If-Match": '"v0"'},
            )
            statuses.append(answer.status_code)

    threads = [threading.Thread(target=promote, args=(number,)) for number in range(1, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + 6 * [412]


def test_latest_never_moves_back(api, two):
    create(api, {"a": b"1"}, status=200)
    assert read(api, f"{VERSIONS}latest/")["version"] == "v1"


# Against a model


class Model:
    """What an artifact must be like after any requests."""

    def __init__(self):
        self.contents, self.aliases, self.trash, self.next = {}, {}, {}, 0

    def create(self, content, aliases, keep):
        found = [number for number, each in self.contents.items() if each == content]
        number = max(found, default=self.next)
        if not found:
            self.contents[number] = content
            self.next += 1
        self.aliases |= dict.fromkeys(aliases, number)
        free = sorted(set(self.contents) - set(self.aliases.values()))
        if keep is not None:
            for each in free[: max(0, len(free) - keep)]:
                if each != number:
                    del self.contents[each]
        return 200 if found else 201

    def delete(self, number, force, purge):
        if number in self.contents:
            if number in self.aliases.values() and not force:
                return 409
            content = self.contents.pop(number)
            self.aliases = {name: each for name, each in self.aliases.items() if each != number}
            if not purge:
                self.trash[number] = content
            return 204
        return 404 if not purge or self.trash.pop(number, None) is None else 204

    def restore(self, number):
        if number in self.trash:
            self.contents[number] = self.trash.pop(number)
        return 200 if number in self.contents else 404

    def set_alias(self, alias, number):
        if number not in self.contents:
            return 404
        self.aliases[alias] = number
        return 200

    def state(self):
        return {
            f"v{number}": sorted(
                [name for name, each in self.aliases.items() if each == number]
                + ["latest"] * (number == max(self.contents))
            )
            for number in sorted(self.contents, reverse=True)
        }


@pytest.mark.parametrize("seed", range(6))
def test_any_requests_leave_what_the_model_says(tmp_path, seed):
    backend = open_backend(tmp_path / "x.db", user=BackendUser("ada", "ada@example.com"))
    api = httpx.Client(base_url="http://embedded", transport=httpx.WSGITransport(app=backend))
    chance, model, seen = random.Random(seed), Model(), set()
    with api:
        api.post(PROJECTS, json={"display_name": "Digits"})
        create(api, {"a": b"0"})
        model.create(0, [], None)
        for _ in range(120):
            number = chance.randrange(model.next + 1)
            action = chance.choice(["create", "create", "delete", "restore", "alias"])
            if action == "create":
                content, keep = chance.randrange(8), chance.choice([None, None, 1, 2, 3])
                aliases = chance.sample(["a", "b", "c"], chance.randrange(2))
                status = model.create(content, aliases, keep)
                fields = {} if keep is None else {"keep": keep}
                create(api, {"a": b"%d" % content}, aliases=aliases, status=status, **fields)
            elif action == "delete":
                force, purge = chance.random() < 0.7, chance.random() < 0.3
                query = {"force": str(force).lower(), "purge": str(purge).lower()}
                status = model.delete(number, force, purge)
                assert api.delete(f"{VERSIONS}v{number}/", params=query).status_code == status
            elif action == "restore":
                status = model.restore(number)
                assert api.post(f"{VERSIONS}v{number}/restore/").status_code == status
            else:
                alias = chance.choice("abc")
                status = model.set_alias(alias, number)
                set_alias(api, alias, f"v{number}", status)
            seen.add((action, status))
            assert versions(api) == model.state()
    backend.close()
    assert len(seen) >= 6
