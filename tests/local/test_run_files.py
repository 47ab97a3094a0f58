"""Files of runs, through HTTP: single files, series over steps, pages, downloads."""

from __future__ import annotations

import exchanges
import pytest
from artifact_requests import new_run, put_blobs, read, sha256

from afnio_tellurio.backend import requests


def log(api, run, path="samples", data=b"x", *, kind="image", key=None, status=201, **fields):
    put_blobs(api, data)
    answer = api.post(
        f"{run}files/",
        json={"path": path, "kind": kind, "digest": sha256(data), **fields},
        headers={} if key is None else {"Idempotency-Key": key},
    )
    assert answer.status_code == status, answer.text
    return answer.json()


def steps(api, run, **query):
    return [(each["path"], each["step"]) for each in read(api, f"{run}files/", **query)]


def download(api, run, path, **query):
    answer = api.get(f"{run}file/", params={"path": path, **query})
    return answer.status_code, answer.content if answer.status_code == 200 else answer.json()[
        "detail"
    ]


def test_a_file_has_no_step_and_is_replaced(api, run):
    time = "2026-11-23T10:15:30.123456Z"
    first = log(
        api, run, "out/a.txt", b"one", kind="file", content_type="text/plain", timestamp=time
    )
    assert first == {
        "path": "out/a.txt", "kind": "file", "digest": sha256(b"one"), "size": 3, "step": None,
        "content_type": "text/plain", "timestamp": time,
    }  # fmt: skip
    assert read(api, f"{run}files/") == [first]
    second = log(api, run, "out/a.txt", b"other", kind="file")
    assert (second["size"], second["content_type"]) == (5, None)
    assert read(api, f"{run}files/") == [second]
    assert download(api, run, "out/a.txt") == (200, b"other")
    assert "no step" in log(api, run, "out/a.txt", kind="file", step=0, status=400)["step"][0]


def test_a_series_has_steps(api, run):
    for data, step in ((b"a", None), (b"b", None), (b"c", 7), (b"d", None), (b"e", 3)):
        log(api, run, data=data, **({} if step is None else {"step": step}))
    assert steps(api, run) == [("samples", step) for step in (0, 1, 3, 7, 8)]
    assert download(api, run, "samples") == (200, b"d")
    assert download(api, run, "samples", step=7) == (200, b"c")
    status, detail = download(api, run, "samples", step=2)
    assert (status, 'File "samples" at step 2' in detail) == (404, True)
    log(api, run, data=b"new", step=7)
    assert download(api, run, "samples", step=7) == (200, b"new")
    assert len(steps(api, run)) == 5


def test_a_file_and_a_series_may_have_one_path(api, run):
    log(api, run, "x", b"file", kind="file")
    assert log(api, run, "x", b"step")["step"] == 0
    assert steps(api, run) == [("x", None), ("x", 0)]
    assert download(api, run, "x", step=0) == (200, b"step")


def test_no_step_follows_the_last(api, run):
    log(api, run, step=2**63 - 1)
    assert log(api, run, status=400)["step"] == ["The last step is the maximum; pass a step."]
    assert steps(api, run) == [("samples", 2**63 - 1)]


def test_a_repeated_request_changes_nothing(api, run):
    first = log(api, run, key="k")
    log(api, run, data=b"2")
    assert log(api, run, data=b"3", key="k") == first
    assert steps(api, run) == [("samples", 0), ("samples", 1)]
    other, _ = new_run(api)
    assert log(api, other, data=b"3", key="k")["digest"] == sha256(b"3")


def test_a_repeated_request_does_not_undo_a_later_one(api, run):
    log(api, run, "a.txt", b"first", kind="file", key="1")
    second = log(api, run, "a.txt", b"second", kind="file", key="2")
    assert log(api, run, "a.txt", b"first", kind="file", key="1") == second
    third = log(api, run, "a.txt", b"third", kind="file")
    for key, data in (("1", b"first"), ("2", b"second")):
        assert log(api, run, "a.txt", data, kind="file", key=key) == third
    assert download(api, run, "a.txt") == (200, b"third")
    # Without a step, the repeated one would be logged at another step.
    log(api, run, "series", b"first", key="3")
    log(api, run, "series", b"second", step=0)
    log(api, run, "series", b"first", key="3")
    assert [step for path, step in steps(api, run) if path == "series"] == [0]
    assert download(api, run, "series") == (200, b"second")


def test_a_missing_blob_is_named_and_nothing_is_recorded(api, run):
    body = {"path": "a", "kind": "file", "digest": sha256(b"missing")}
    answer = api.post(f"{run}files/", json=body, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()) == (
        409, {"detail": "1 blob is missing.", "missing": [sha256(b"missing")], "code": "blobs_missing"},
    )  # fmt: skip
    assert read(api, f"{run}files/") == []
    log(api, run, "a", b"missing", key="k")


@pytest.mark.parametrize("path", ["../a", "/a", "a\\b", "aux", "a/", "a\0"])
def test_an_invalid_path_is_refused(api, run, path):
    assert "path" in log(api, run, path, status=400)["path"][0]


def test_a_time_beyond_the_calendar_is_refused(api, run):
    assert "timestamp" in log(api, run, timestamp="9999-12-31T23:59:59-12:00", status=400)


def test_files_are_found_by_prefix_and_kind(api, run):
    for path, kind in (("b", "file"), ("a/1", "file"), ("a/2", "text"), ("a%", "image")):
        log(api, run, path, kind=kind)
    assert steps(api, run, prefix="a/") == [("a/1", None), ("a/2", 0)]
    assert steps(api, run, prefix="a%") == [("a%", 0)]
    assert steps(api, run, kind="file") == [("a/1", None), ("b", None)]
    assert steps(api, run, kind="file", prefix="b") == [("b", None)]
    assert steps(api, run, kind="none") == []


def test_lists_have_pages(api, run):
    for index in range(3):
        log(api, run, "a", step=index)
        log(api, run, f"f{index}", kind="file")
    items, query = [], {"limit": 2}
    while query:
        answer = api.get(f"{run}files/", params=query)
        items += answer.json()
        cursor = answer.headers.get("Next-Cursor")
        query = {"limit": 2, "cursor": cursor} if cursor else {}
    assert items == read(api, f"{run}files/")
    assert steps(api, run) == [
        ("a", 0),
        ("a", 1),
        ("a", 2),
        ("f0", None),
        ("f1", None),
        ("f2", None),
    ]


def test_large_pages_end_early(api, run, monkeypatch):
    monkeypatch.setattr(requests, "MAX_PAGE_LENGTH", 100)
    for step in range(3):
        log(api, run, "a" * 90, step=step)
    answer = api.get(f"{run}files/", params={"limit": 1000})
    assert (len(answer.json()), "Next-Cursor" in answer.headers) == (1, True)


def test_a_file_is_downloaded_in_part(api, run):
    log(api, run, data=b"0123456789")
    answer = api.get(f"{run}file/", params={"path": "samples"}, headers={"Range": "bytes=2-4"})
    assert (answer.status_code, answer.content) == (206, b"234")
    assert answer.headers["Content-Range"] == "bytes 2-4/10"
    assert answer.headers["Content-Disposition"] == "attachment"
    assert download(api, run, "other")[0] == 404
    with exchanges.departing("request"):
        assert api.get(f"{run}file/").status_code == 400
        assert api.get(f"{run}file/", params={"path": "samples", "step": "-1"}).status_code == 400
