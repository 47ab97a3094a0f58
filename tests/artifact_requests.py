"""Requests about artifacts that tests send."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3

PROJECTS = "/api/v0/acme/projects/"
PROJECT = f"{PROJECTS}digits/"
RUNS = f"{PROJECT}runs/"
ARTIFACTS = f"{PROJECT}artifacts/"
MODEL = f"{ARTIFACTS}model/"
VERSIONS = f"{MODEL}versions/"
DAY = 24 * 60 * 60 * 10**9


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def put_blobs(api, *contents, project=PROJECT):
    """Stores blobs; returns their digests."""
    for data in dict.fromkeys(contents):
        answer = api.put(
            f"{project}blobs/{sha256(data)}/",
            content=data,
            headers={"Content-Type": "application/octet-stream"},
        )
        assert answer.status_code == 204, answer.text
    return [sha256(data) for data in contents]


def file_of(path, data=b"x", **fields):
    return {"path": path, "digest": sha256(data), "size": len(data), **fields}


def create(api, files=None, *, name="model", key=None, status=201, **fields):
    """Creates a version of files, which are a dictionary from paths to contents."""
    files = {"a.txt": b"x"} if files is None else files
    put_blobs(api, *files.values())
    body = {"type": "model", "files": [file_of(*each) for each in files.items()], **fields}
    headers = {} if key is None else {"Idempotency-Key": key}
    answer = api.post(f"{ARTIFACTS}{name}/versions/", json=body, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


def read(api, path, **query):
    answer = api.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def versions(api, name="model"):
    """The versions of an artifact with their aliases, the newest first."""
    answer = api.get(f"{ARTIFACTS}{name}/versions/")
    if answer.status_code == 404:
        return {}
    return {each["version"]: each["aliases"] for each in answer.json()}


def rows(database, query, *parameters):
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute(query, parameters).fetchall()


def new_run(api, **fields):
    """The path of a new run, and its UUID."""
    uuid = api.post(RUNS, json=fields).json()["uuid"]
    return f"{RUNS}{uuid}/", uuid
