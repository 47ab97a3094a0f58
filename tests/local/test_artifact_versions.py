"""Versions of artifacts, through HTTP: identity, files, limits, pages, downloads, attacks."""

from __future__ import annotations

import contextlib
import http.client
import os
from urllib.parse import urlencode

import exchanges
import httpx
import pytest
from artifact_requests import (
    ARTIFACTS,
    MODEL,
    PROJECTS,
    VERSIONS,
    create,
    file_of,
    new_run,
    put_blobs,
    read,
    sha256,
    versions,
)

from afnio_tellurio.artifact_manifests import ManifestFile, encode_manifest
from afnio_tellurio.backend import BackendUser, artifact_contents, open_backend, requests

KEY = "5d0c9a4e"


def refused(answer, status=400, field="files"):
    assert answer.status_code == status, answer.text
    body = answer.json()
    if status == 400:
        assert list(body) == [field, "code"], body
        return body[field][0]
    return body


def post(api, *files, path=VERSIONS, **fields):
    return api.post(path, json={"type": "model", "files": list(files), **fields})


# Creation and identity


def test_a_version_has_what_the_request_said(api):
    _, uuid = new_run(api)
    files = {"b/c.bin": b"12345", "a.txt": b"", "b/d.bin": b"12345"}
    version = create(
        api,
        files,
        run_uuid=uuid,
        description="The best.",
        metadata={"epoch": 3, "big": 10**30},
        aliases=["best"],
    )
    manifest = encode_manifest(
        [ManifestFile(path, sha256(data), len(data)) for path, data in files.items()]
    )
    expected = {
        "artifact": "model", "type": "model", "version": "v0", "digest": sha256(manifest), "size": 10,
        "file_count": 3, "aliases": ["best", "latest"], "description": "The best.",
        "metadata": {"epoch": 3, "big": 10**30}, "run_uuid": uuid,
    }  # fmt: skip
    assert {**version, **expected} == version
    for reference in ("v0", "best", "latest", f"sha256:{version['digest']}"):
        assert read(api, f"{VERSIONS}{reference}/") == version
    assert read(api, VERSIONS) == [version]
    assert read(api, f"{VERSIONS}v0/files/") == [
        file_of("a.txt", b""), file_of("b/c.bin", b"12345"), file_of("b/d.bin", b"12345"),
    ]  # fmt: skip
    (artifact,) = read(api, ARTIFACTS)
    created = version["date_created"]
    assert artifact == {
        "name": "model", "type": "model", "latest": "v0", "version_count": 1, "size": 10,
        "date_created": created, "date_updated": created,
    }  # fmt: skip


def test_the_same_files_are_the_same_version_whatever_their_order(api):
    first = create(api, {"a": b"1", "b": b"2"})
    again = create(api, {"b": b"2", "a": b"1"}, status=200, aliases=["x"], description="other")
    assert again == {**first, "aliases": ["latest", "x"]}
    for files in ({"a": b"1"}, {"a": b"1", "c": b"2"}, {"a": b"1", "b": b"3"}):
        assert create(api, files)["digest"] != first["digest"]
    executable = post(api, file_of("a", b"1"), file_of("b", b"2", executable=True))
    assert (executable.status_code, executable.json()["version"]) == (201, "v4")
    assert read(api, f"{VERSIONS}v4/files/")[1]["executable"] is True
    assert create(api, {"a": b"1", "b": b"2"}, name="other")["version"] == "v0"
    assert create(api, {}, name="empty")["file_count"] == 0


def test_a_repeated_request_changes_nothing(api):
    first = create(api, {"a": b"1"}, key=KEY, aliases=["best"])
    create(api, {"a": b"2"}, aliases=["best"])
    again = create(api, {"a": b"1"}, key=KEY, aliases=["best"], status=200)
    assert again == {**first, "aliases": []}
    assert create(api, {"a": b"3"}, key=KEY, name="other", status=200) == again
    assert versions(api) == {"v1": ["best", "latest"], "v0": []}
    assert [each["name"] for each in read(api, ARTIFACTS)] == ["model"]
    create(api, {"a": b"1"}, key="other", aliases=["best"], status=200)
    assert versions(api) == {"v1": ["latest"], "v0": ["best"]}
    with exchanges.departing("request"):
        answer = api.post(
            VERSIONS, json={"type": "model", "files": []}, headers={"Idempotency-Key": "k" * 256}
        )
    refused(answer, field="Idempotency-Key")


def test_a_refused_request_does_not_use_its_key(api):
    body = {"type": "model", "files": [file_of("a", b"not there")]}
    assert api.post(VERSIONS, json=body, headers={"Idempotency-Key": KEY}).status_code == 409
    assert read(api, ARTIFACTS) == []
    assert create(api, {"a": b"not there"}, key=KEY)["version"] == "v0"


def test_an_artifact_has_one_type(api):
    create(api)
    answer = post(api, file_of("a"), type="data")
    assert refused(answer, 409)["code"] == "type_taken"
    assert "has the type model" in answer.json()["detail"]
    assert versions(api) == {"v0": ["latest"]}


def test_missing_blobs_are_named_and_nothing_is_recorded(api):
    put_blobs(api, b"1")
    answer = post(
        api, file_of("a", b"1"), file_of("b", b"2"), file_of("c", b"3"), file_of("d", b"3")
    )
    error = refused(answer, 409)
    assert (error["code"], error["detail"]) == ("blobs_missing", "2 blobs are missing.")
    assert set(error["missing"]) == {sha256(b"2"), sha256(b"3")}
    assert read(api, ARTIFACTS) == []
    assert api.get(VERSIONS).status_code == 404


def test_blobs_of_another_project_are_missing(api):
    api.post(PROJECTS, json={"display_name": "Other"})
    put_blobs(api, b"1", project=f"{PROJECTS}other/")
    assert refused(post(api, file_of("a", b"1")), 409)["missing"] == [sha256(b"1")]


def test_a_version_of_an_unknown_run_is_refused(api):
    unknown = "9b2f4f9e-3c0d-4b0a-8a53-5a3c8e0f7f21"
    answer = post(api, run_uuid=unknown)
    assert refused(answer, 404) == {
        "detail": f"Run {unknown} of project digits not found.", "deleted": False, "code": "not_found"
    }  # fmt: skip
    path, uuid = new_run(api)
    api.delete(path)
    assert refused(post(api, run_uuid=uuid.upper()), 404)["deleted"] is True
    assert read(api, ARTIFACTS) == []


# References


def test_references_are_text_and_may_have_a_digest(api):
    files = [
        {"path": "a", "reference": "file:///etc/passwd"},
        {"path": "b", "reference": "s3://acme/x", "digest": sha256(b"?"), "size": 2**50},
        {"path": "c", "reference": "\u00fc" * 8192, "size": 0},
    ]
    version = post(api, *files)
    assert (version.status_code, version.json()["size"]) == (201, 2**50)
    assert read(api, f"{VERSIONS}v0/files/") == files
    for path in "abc":
        answer = api.get(f"{VERSIONS}v0/file/", params={"path": path})
        assert "does not have the bytes" in refused(answer, field="path")


# What is refused


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ({"path": "a"}, "neither a reference nor a digest"),
        ({"path": "a", "digest": sha256(b"x")}, "neither a reference nor a digest"),
        ({"path": "a", "size": 1}, "neither a reference nor a digest"),
        (file_of("a", b"x", size=2), "has 1 bytes, not 2"),
        (file_of("../a"), "has the part '..'"),
        (file_of("a\\b"), "backslash"),
        (file_of("nul"), "device on Windows"),
        (file_of("a", size=2**40 + 1), "may have up to 1099511627776"),
        ({"path": "a", "reference": "x", "size": 2**53 + 1}, "may have up to"),
    ],
)
def test_an_invalid_file_is_refused(api, file, problem):
    put_blobs(api, b"x")
    assert problem in refused(post(api, file_of("valid"), file))
    assert read(api, ARTIFACTS) == []


@pytest.mark.parametrize("paths", [["a", "a"], ["A", "a"], ["a", "a/b"], ["\u00e9", "e\u0301"]])
def test_paths_that_collide_are_refused(api, paths):
    put_blobs(api, b"x")
    assert "path" in refused(post(api, *map(file_of, paths)))


@pytest.mark.parametrize("digest", ["A" * 64, "a" * 63, "a" * 64 + "\n", "../../etc/passwd"])
def test_an_invalid_digest_is_refused(api, digest):
    with exchanges.departing("request"):
        refused(post(api, {"path": "a", "size": 1, "digest": digest}))
        refused(post(api, {"path": "a", "reference": "x", "digest": digest}))


@pytest.mark.parametrize("alias", ["latest", "v3", "v0001"])
def test_a_reserved_alias_is_refused(api, alias):
    put_blobs(api, b"x")
    assert "cannot be chosen" in refused(
        post(api, file_of("a"), aliases=["best", alias]), field="aliases"
    )
    create(api)
    answer = api.put(f"{MODEL}aliases/{alias}/", json={"version": "v0"})
    assert "cannot be chosen" in refused(answer, field="alias")
    assert api.delete(f"{MODEL}aliases/{alias}/").status_code == 404


def test_an_alias_that_ends_with_a_newline_is_refused(api):
    with exchanges.departing("request"):
        refused(post(api, aliases=["best\n"]), field="aliases")


def test_metadata_above_64_kib_is_refused(api):
    overhead = len('{"a":""}')
    create(api, metadata={"a": "x" * (64 * 1024 - overhead)})
    too_large = post(api, metadata={"a": "x" * (64 * 1024 - overhead + 1)})
    assert "may have up to 65536" in refused(too_large, field="metadata")
    assert "fit" in refused(
        api.post(
            VERSIONS,
            content=b'{"type":"m","files":[],"metadata":{"a":1e999}}',
            headers={"Content-Type": "application/json"},
        ),
        field="metadata",
    )


# Manifests


def post_manifest(api, manifest, **fields):
    (digest,) = put_blobs(api, manifest)
    return api.post(VERSIONS, json={"type": "model", "manifest_digest": digest, **fields})


@pytest.mark.parametrize("count", [1, 1001])
def test_a_manifest_stands_for_files(api, count):
    put_blobs(api, b"x")
    files = [ManifestFile(f"f{index:04}", sha256(b"x"), 1) for index in range(count)]
    manifest = encode_manifest(files)
    version = post_manifest(api, manifest)
    assert version.status_code == 201, version.text
    assert (version.json()["digest"], version.json()["file_count"]) == (sha256(manifest), count)
    if count == 1:
        assert create(api, {"f0000": b"x"}, status=200) == version.json()


@pytest.mark.parametrize(
    "manifest",
    [b"", b"{}", b"[ ]", b'[{"path":"a","digest":null}]', b'[{"path":"b"},{"path":"a"}]'],
)
def test_a_manifest_that_is_not_canonical_is_refused(api, manifest):
    assert "The manifest is invalid" in refused(
        post_manifest(api, manifest), field="manifest_digest"
    )


def test_a_manifest_with_invalid_files_is_refused(api):
    for file in (ManifestFile("../a", reference="x"), ManifestFile("a", "?", 1), ManifestFile("a", reference=""),
                 ManifestFile("a", reference="x", size=-1), ManifestFile("a", reference="x" * 8193)):  # fmt: skip
        refused(post_manifest(api, encode_manifest([file])), field="manifest_digest")


def test_a_manifest_that_is_missing_or_too_large_is_refused(api, monkeypatch):
    digest = sha256(b"[]")
    answer = api.post(VERSIONS, json={"type": "model", "manifest_digest": digest})
    assert refused(answer, 409)["missing"] == [digest]
    monkeypatch.setattr(artifact_contents, "MAX_MANIFEST_BYTES", 1)
    assert "may have up to 1" in refused(post_manifest(api, b"[]"), field="manifest_digest")
    monkeypatch.setattr(artifact_contents, "MAX_MANIFEST_BYTES", 2)
    assert post_manifest(api, b"[]").status_code == 201


def test_more_files_than_a_version_may_have_are_refused(api, monkeypatch):
    monkeypatch.setattr(artifact_contents, "MAX_FILES", 2)
    create(api, {"a": b"1", "b": b"1"})
    assert "may have up to 2" in refused(post(api, *map(file_of, "abc")))


def test_files_and_a_manifest_exclude_each_other(api):
    put_blobs(api, b"[]")
    for fields in ({}, {"files": [], "manifest_digest": sha256(b"[]")}):
        refused(api.post(VERSIONS, json={"type": "model", **fields}))


# Lists


def pages(api, path, **query):
    """The items of all pages of a list."""
    items, cursor = [], {}
    while True:
        answer = api.get(path, params={"limit": 2, **query, **cursor})
        assert answer.status_code == 200, answer.text
        assert len(answer.json()) <= 2
        items += answer.json()
        if "Next-Cursor" not in answer.headers:
            return items
        cursor = {"cursor": answer.headers["Next-Cursor"]}


def test_lists_have_pages(api):
    for index in range(5):
        create(api, {f"f{each}": b"%d" % index for each in range(5)}, name=f"m{index}")
        create(api, {"a": b"%d" % index}, aliases=["best"])
    names = [each["name"] for each in pages(api, ARTIFACTS)]
    assert names == ["m0", "m1", "m2", "m3", "m4", "model"]
    assert pages(api, VERSIONS) == read(api, VERSIONS)
    assert list(versions(api)) == ["v4", "v3", "v2", "v1", "v0"]
    files = f"{ARTIFACTS}m3/versions/v0/files/"
    assert [each["path"] for each in pages(api, files)] == ["f0", "f1", "f2", "f3", "f4"]


def test_large_pages_end_early(api, monkeypatch):
    monkeypatch.setattr(requests, "MAX_PAGE_LENGTH", 100)
    for index in range(3):
        create(api, {"a" * 70: b"%d" % index, "b" * 70: b""}, description="x" * 70)
    answer = api.get(VERSIONS, params={"limit": 1000})
    assert (len(answer.json()), "Next-Cursor" in answer.headers) == (1, True)
    assert len(read(api, VERSIONS)) == 3
    answer = api.get(f"{VERSIONS}v0/files/", params={"limit": 1000})
    assert (len(answer.json()), "Next-Cursor" in answer.headers) == (1, True)


def test_artifacts_are_found_by_type_and_digest(api):
    version = create(api)
    create(api, {"a": b"2"})
    create(api, {"a": b"2"}, name="data", type="data")
    assert [each["name"] for each in read(api, ARTIFACTS)] == ["data", "model"]
    assert [each["name"] for each in read(api, ARTIFACTS, type="data")] == ["data"]
    (found,) = read(api, ARTIFACTS, digest=version["digest"])
    assert (found["name"], found["version_count"], found["latest"]) == ("model", 2, "v1")
    assert read(api, ARTIFACTS, digest="0" * 64) == []
    with exchanges.departing("request"):
        refused(api.get(ARTIFACTS, params={"digest": "x"}), field="digest")


@pytest.mark.parametrize(
    ("prefix", "paths"),
    [("", ["a%", "a/b", "ab", "b"]), ("a", ["a%", "a/b", "ab"]), ("a%", ["a%"]), ("a/", ["a/b"]), ("a_", []), ("A", []), ("\0", []), ("b\0", [])],
)  # fmt: skip
def test_files_are_found_by_the_start_of_their_path(api, prefix, paths):
    create(api, dict.fromkeys(("b", "ab", "a/b", "a%"), b"x"))
    assert [each["path"] for each in read(api, f"{VERSIONS}v0/files/", prefix=prefix)] == paths


def test_a_version_that_is_unknown_is_named(api):
    create(api)
    for reference in ("v1", "v00", "best", f"sha256:{'0' * 64}", "v" + "9" * 100):
        for rest in ("", "files/", "runs/", "file/?path=a.txt"):
            answer = api.get(f"{VERSIONS}{reference}/{rest}")
            assert (
                refused(answer, 404)["detail"]
                == f"Version {reference} of the artifact model not found."
            )
    assert (
        refused(api.get(f"{ARTIFACTS}other/versions/v0/"), 404)["detail"]
        == "Artifact other not found."
    )


# Deletion


def test_a_deleted_version_is_hidden_and_can_be_restored(api):
    first, second = create(api), create(api, {"a": b"2"})
    assert api.delete(f"{VERSIONS}latest/").status_code == 204
    assert versions(api) == {"v0": ["latest"]}
    assert api.get(f"{VERSIONS}v1/").status_code == 404
    assert api.get(f"{VERSIONS}sha256:{second['digest']}/").status_code == 404
    assert api.delete(f"{VERSIONS}v1/").status_code == 404
    assert read(api, ARTIFACTS)[0]["version_count"] == 1
    assert api.post(f"{VERSIONS}sha256:{second['digest']}/restore/").json() == second
    assert api.post(f"{VERSIONS}v0/restore/").json() == {**first, "aliases": []}
    assert versions(api) == {"v1": ["latest"], "v0": []}


def test_a_version_with_aliases_is_deleted_by_force_only(api):
    create(api, aliases=["b", "a"])
    for query in ({}, {"force": "false"}, {"purge": "true"}):
        error = refused(api.delete(f"{VERSIONS}v0/", params=query), 409)
        assert (error["code"], error["detail"]) == (
            "version_aliased",
            "Version v0 of model has the aliases a, b.",
        )
    assert api.delete(f"{VERSIONS}a/", params={"force": "true"}).status_code == 204
    assert versions(api) == {}
    assert api.post(f"{VERSIONS}v0/restore/").json()["aliases"] == ["latest"]
    assert api.get(f"{VERSIONS}a/").status_code == 404


def test_an_artifact_without_versions_is_not_listed_and_keeps_its_next_number(api):
    create(api)
    api.delete(f"{VERSIONS}v0/")
    assert read(api, ARTIFACTS) == []
    assert api.get(VERSIONS).status_code == 404
    assert refused(post(api, type="data"), 409)["code"] == "type_taken"
    assert api.delete(f"{VERSIONS}v0/", params={"purge": "true"}).status_code == 204
    assert api.post(f"{VERSIONS}v0/restore/").status_code == 404
    assert create(api, type="data")["version"] == "v1"


def test_the_files_of_a_version_in_the_trash_are_a_new_version(api):
    create(api)
    api.delete(f"{VERSIONS}v0/")
    assert create(api)["version"] == "v1"
    assert api.post(f"{VERSIONS}v0/restore/").json()["version"] == "v0"
    digest = read(api, f"{VERSIONS}v0/")["digest"]
    assert read(api, f"{VERSIONS}sha256:{digest}/")["version"] == "v1"


# Keeping the newest


def test_only_the_newest_versions_without_an_alias_are_kept(api):
    for index in range(5):
        create(api, {"a": b"%d" % index}, aliases=["best"] if index == 1 else [])
    create(api, {"a": b"5"}, keep=2)
    assert versions(api) == {"v5": ["latest"], "v4": [], "v1": ["best"]}
    for gone in ("v0", "v3"):
        assert api.post(f"{VERSIONS}{gone}/restore/").status_code == 404
    # The version of the request stays, although others are newer.
    create(api, {"a": b"1"}, keep=1, status=200)
    assert versions(api) == {"v5": ["latest"], "v1": ["best"]}
    create(api, {"a": b"6"}, keep=1, aliases=["best"])
    assert versions(api) == {"v6": ["best", "latest"], "v5": []}
    create(api, {"a": b"7"}, keep=2**63 - 1)
    assert len(versions(api)) == 3
    with exchanges.departing("request"):
        for keep in (0, 2**63):
            refused(post(api, keep=keep), field="keep")


# Downloads


def test_a_file_is_downloaded_in_whole_or_in_part(api):
    content = os.urandom(20_000)
    create(api, {"a/b.bin": content, "small": b"12345"})
    file = f"{VERSIONS}latest/file/"
    answer = api.get(file, params={"path": "a/b.bin"})
    assert (answer.status_code, answer.content) == (200, content)
    assert answer.headers["ETag"] == f'"{sha256(content)}"'
    assert answer.headers["Content-Disposition"] == "attachment"
    part = api.get(file, params={"path": "small"}, headers={"Range": "bytes=1-2"})
    assert (part.status_code, part.content) == (206, b"23")
    beyond = api.get(file, params={"path": "small"}, headers={"Range": "bytes=5-"})
    assert beyond.status_code == 416
    assert api.get(file, params={"path": "A/B.BIN"}).status_code == 404
    with exchanges.departing("request"):
        refused(api.get(file), field="path")


# Attacks that other trackers fell for. Each is sent over a socket, byte by byte as it stands here.

SECRET = b"the secret of another user"


@pytest.fixture
def attacked(start_server, tmp_path):
    """The URL of a backend with an artifact and a run file, and a secret file beside it."""
    secret = tmp_path / "secret.txt"
    secret.write_bytes(SECRET)
    url = start_server()
    with httpx.Client(base_url=url) as api:
        api.post(PROJECTS, json={"display_name": "Digits"})
        create(api, {"a.txt": b"inside"})
        yield api, secret
        assert secret.read_bytes() == SECRET
        known = {"secret.txt", "server", "departures"}
        assert {path.name for path in tmp_path.iterdir()} <= known


def escapes(secret):
    absolute = secret.as_posix()
    relative = f"../../../../../../../../../../..{absolute}"
    return [
        relative,  # CVE-2023-6909
        absolute, f"//{absolute.lstrip('/')}",
        f"//proc/self/root{absolute}",  # CVE-2023-6977
        f"a.txt/../../{secret.name}", f"a.txt#/../{relative}",  # CVE-2024-1483
        f"#{relative}", f"?{relative}",  # CVE-2024-3848
        f"a.txt;{relative}",  # CVE-2024-1593
        relative.replace("/", "\\"), relative.replace("/", "%2f"), relative.replace(".", "%2e"),
        relative.replace("/", "%252f"), f"file://{absolute}", f"C:{absolute}", f"C:\\{secret.name}",
        f"{absolute}\0", f"a.txt\0{relative}", f"..;/{relative}", f"....//....//{secret.name}", "~/.ssh/id_rsa",
    ]  # fmt: skip


def send_raw(api, target):
    """Sends a request with exactly this target: httpx would encode it first."""
    with contextlib.closing(
        http.client.HTTPConnection(api.base_url.host, api.base_url.port)
    ) as connection:
        connection.request("GET", target)
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_no_path_of_a_query_reads_outside(attacked):
    api, secret = attacked
    run, _ = new_run(api)
    for path in escapes(secret):
        for target in (f"{VERSIONS}v0/file/", f"{run}file/"):
            # As a client encodes it, and as an attacker sends it: `%2f` is a slash then.
            for query in (urlencode({"path": path}), "path=" + without_spaces(path)):
                require_inside(api, f"{target}?{query}")


def require_inside(api, target):
    status, content = send_raw(api, target)
    assert SECRET not in content
    # What follows a raw `#` has no meaning, and what follows a `?` is not a path.
    plain = {send_raw(api, target.partition(mark)[0])[0] for mark in "#?" if mark in target}
    assert status in {400, 404} | plain, target


def without_spaces(path):
    return path.replace("\0", "%00").replace(" ", "%20")


def test_no_path_of_a_url_reads_outside(attacked):
    api, secret = attacked
    for path in escapes(secret):
        raw = without_spaces(path)
        for target in (
            f"{VERSIONS}{raw}/file/?path=a.txt", f"{ARTIFACTS}{raw}/versions/v0/file/?path=a.txt",
            f"{VERSIONS}v0/file/{raw}", f"{VERSIONS}v0/file/..%2f{raw}?path=a.txt",
            f"{VERSIONS}v0/file#{raw}", raw,
        ):  # fmt: skip
            require_inside(api, target)


def test_no_path_of_a_body_is_recorded_if_it_leads_outside(attacked):
    api, secret = attacked
    run, _ = new_run(api)
    put_blobs(api, b"x")
    # Nothing decodes these or expands them: they are names inside.
    names = [path for path in escapes(secret) if "%" in path or path.startswith("~")]
    with exchanges.departing("request"):
        for path in escapes(secret):
            body = {"path": path, "kind": "file", "digest": sha256(b"x")}
            if path in names:
                assert post(api, file_of(path)).status_code == 201
                assert read(api, f"{VERSIONS}latest/files/") == [file_of(path)]
                assert api.post(f"{run}files/", json=body).json()["path"] == path
                continue
            refused(post(api, file_of(path)))
            refused(post(api, {"path": path, "reference": "x"}))
            refused(api.post(f"{run}files/", json=body), field="path")
    assert [each["path"] for each in read(api, f"{run}files/")] == sorted(names)
    assert len(names) == 4


def test_a_reference_is_never_opened(attacked):
    api, secret = attacked
    # A reader of a FIFO would wait for its other end, and one of a URL would connect.
    references = [
        f"file://{secret}",
        str(secret),
        f"file://localhost{secret}",
        "http://127.0.0.1:9/",
        "\\\\server\\share",
    ]
    answer = post(
        api, *({"path": f"r{index}", "reference": each} for index, each in enumerate(references))
    )
    assert answer.status_code == 201
    for index, reference in enumerate(references):
        answer = api.get(f"{VERSIONS}latest/file/", params={"path": f"r{index}"})
        assert "does not have the bytes" in refused(answer, field="path")
        assert SECRET not in answer.content
        assert read(api, f"{VERSIONS}latest/files/")[index] == {
            "path": f"r{index}",
            "reference": reference,
        }
    for name in ("file:///etc", "..", ".", "a/b", "%2e%2e"):
        with exchanges.departing("request", "answer"):
            assert api.post(
                f"{ARTIFACTS}{name}/versions/", json={"type": "m", "files": []}
            ).status_code in {404, 405}


# Large versions


def test_a_version_of_10_000_files_is_recorded_and_removed(tmp_path):
    backend = open_backend(tmp_path / "x.db", user=BackendUser("ada", "ada@example.com"))
    with httpx.Client(
        base_url="http://embedded", transport=httpx.WSGITransport(app=backend)
    ) as api:
        api.post(PROJECTS, json={"display_name": "Digits"})
        put_blobs(api, b"x", b"y")
        files = [
            ManifestFile(f"d{index // 100}/f{index}", sha256(b"xy"[index % 2 :][:1]), 1)
            for index in range(10_000)
        ]
        version = post_manifest(api, encode_manifest(files))
        assert version.json()["file_count"] == 10_000
        answer = api.get(f"{VERSIONS}v0/files/", params={"limit": 10_000})
        assert [each["path"] for each in answer.json()] == sorted(file.path for file in files)
        assert api.delete(f"{VERSIONS}v0/", params={"purge": "true"}).status_code == 204
        assert read(api, ARTIFACTS) == []
    backend.close()
