"""Files that are uploaded in parts."""

import pytest
from leftovers import close_default_clients

import afnio_tellurio as te
from afnio_tellurio.uploading import upload

CONTENT = bytes(range(256)) * 65536 + b"the second part"


@pytest.fixture
def requests(proxy):
    """The requests of uploads in parts; the answer of the first one that completes one is lost."""
    requests = []

    def lose_once(method, path):
        if "/uploads/" not in path:
            return None
        requests.append((method, path.rstrip("/").rpartition("/")[2]))
        return "drop" if [last for _, last in requests].count("complete") == 1 else None

    proxy.fault = lose_once
    return requests


def parts_of(requests):
    return [last for method, last in requests if method == "PUT"]


def test_a_lost_answer_to_the_completion_sends_nothing_again(requests, caplog):
    with te.init("acme", "Digits") as run:
        run.log_artifact(CONTENT, "large", wait=True)
        assert te.get_artifact("acme/digits/large").read_bytes("large") == CONTENT
    assert parts_of(requests) == ["1", "2"]
    assert not caplog.text


def test_a_copied_run_does_not_fail_for_a_lost_answer(requests, proxy):
    local = te.TellurioClient.local()
    with te.init("acme", "Digits", client=local) as run:
        run.log_artifact(CONTENT, "large", wait=True)
    close_default_clients()
    with te.TellurioClient(proxy.url) as target:
        (copied,) = upload([run], local, target)
        assert (copied.problem, copied.files) == (None, 1)
        assert te.get_artifact("acme/digits/large", target).read_bytes("large") == CONTENT
    local.close()
    assert parts_of(requests) == ["1", "2"]
    assert [last for _, last in requests].count("complete") == 2
