"""ETag and If-Match of runs (RFC 9110, section 13.1.1)."""

import exchanges
import httpx
import pytest

from afnio_tellurio.backend import BackendUser, open_backend, runs

RUNS = "/api/v0/acme/projects/digits/runs/"


@pytest.fixture
def api(tmp_path):
    backend = open_backend(tmp_path / "x.db", user=BackendUser("ada", "ada@example.com"))
    transport = httpx.WSGITransport(app=backend)
    with httpx.Client(base_url="http://embedded", transport=transport) as client:
        client.post("/api/v0/acme/projects/", json={"display_name": "Digits"})
        yield client
    backend.close()


@pytest.fixture
def created(api):
    return api.post(RUNS, json={"name": "first"})


@pytest.fixture
def path(created):
    return f"{RUNS}{created.json()['uuid']}/"


def update(api, path, if_match, **body):
    headers = {} if if_match is None else {"If-Match": if_match}
    return api.patch(path, json=body, headers=headers)


def test_the_tag_is_that_of_each_answer_and_in_lists(api, created, path):
    tag = created.headers["ETag"]
    assert api.get(path).headers["ETag"] == tag
    changed = update(api, path, None, name="second")
    assert changed.headers["ETag"] != tag
    tag = changed.headers["ETag"]
    for answer in (changed, api.get(path), api.post(RUNS, json={"uuid": changed.json()["uuid"]})):
        assert answer.headers["ETag"] == answer.json()["etag"] == tag
    assert api.get(RUNS).json()[0]["etag"] == tag


@pytest.mark.parametrize("time", [0, 10**15, 4 * 10**15])
def test_each_change_makes_another_tag_in_the_same_microsecond_too(api, path, monkeypatch, time):
    monkeypatch.setattr(runs, "current_time", lambda: time)
    tags, dates = [api.get(path).headers["ETag"]], [api.get(path).json()["date_updated"]]
    for body in ({"name": "a"}, {"description": "x"}, {"status": "FAILED"}, {"status": "RUNNING"}):
        answer = update(api, path, tags[-1], **body)
        assert answer.status_code == 200
        tags.append(answer.headers["ETag"])
        dates.append(answer.json()["date_updated"])
    assert len(set(tags)) == 5
    assert dates == sorted(set(dates)), "a clock that was set back hides no change from pollers"


def test_metrics_and_an_update_of_nothing_keep_the_tag(api, created, path):
    api.post(f"{path}metrics/", json={"name": "loss", "value": 1})
    assert update(api, path, None).headers["ETag"] == created.headers["ETag"]
    assert api.get(path).headers["ETag"] == created.headers["ETag"]


MATCHING = [
    "*", "TAG", " \tTAG ", '"x", TAG', 'TAG,"x"', ",, TAG ,", 'W/"x", TAG', '"a,b" ,\t, TAG',
    '"", TAG', '"W/", TAG',
]  # fmt: skip
OTHER = ['"x"', "W/TAG", '"x","y"', '""', '"TAG"x'.replace("x", ""), 'W/TAG, "x"', '"*"']
INVALID = [
    "",
    "x",
    "TAG TAG",
    "TAG;",
    "*,TAG",
    "TAG,*",
    "**",
    ",",
    '"',
    "w/TAG",
    "W/ TAG",
    'TAG "x"',
]


def as_header(text, tag):
    return text.replace('"TAG"', '"' + tag.strip('"')[1:] + '"').replace("TAG", tag)


@pytest.mark.parametrize("text", MATCHING)
def test_a_run_with_a_tag_of_the_list_is_updated(api, created, path, text):
    answer = update(api, path, as_header(text, created.headers["ETag"]), name="second")
    assert (answer.status_code, answer.json()["name"]) == (200, "second")


@pytest.mark.parametrize("text", OTHER)
def test_a_run_with_another_tag_is_not_updated(api, created, path, text):
    answer = update(api, path, as_header(text, created.headers["ETag"]), name="second")
    assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
    assert api.get(path).json() == created.json()


@pytest.mark.parametrize("text", INVALID)
def test_a_header_that_is_no_list_of_tags_is_refused(api, created, path, text):
    with exchanges.departing("request"):
        answer = update(api, path, as_header(text, created.headers["ETag"]), name="second")
    assert (answer.status_code, list(answer.json())) == (400, ["If-Match", "code"])
    assert api.get(path).json() == created.json()


def test_a_long_header_is_read_in_time(api, path):
    # An ambiguous expression would take minutes for these.
    for text in ('"x"' + " ," * 4000 + "x", "\t" * 8000 + "x", '"x", ' * 3000 + "x"):
        with exchanges.departing("request"):
            assert update(api, path, text).status_code == 400


def test_another_error_comes_before_the_tag(api, path):
    missing = path.replace(path[-10:-1], "0" * 9)
    assert update(api, missing, "*", name="x").status_code == 404
    assert update(api, missing, '"x"', name="x").status_code == 404
    with exchanges.departing("request"):
        assert update(api, path, '"x"', name="").status_code == 400


def test_of_two_updates_with_one_tag_one_is_refused(api, created, path):
    tag = created.headers["ETag"]
    answers = [update(api, path, tag, description=text) for text in ("a", "b")]
    assert [answer.status_code for answer in answers] == [200, 412]
    assert api.get(path).json()["description"] == "a"
