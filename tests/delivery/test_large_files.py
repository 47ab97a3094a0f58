"""Files that are uploaded in parts, or that are not copied."""

import os
import re

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


@pytest.mark.parametrize("size", [100_000, 5 * 2**20, 17 * 2**20])
def test_a_file_in_place_that_changed_with_the_same_time_is_named(proxy, tmp_path, caplog, size):
    file = tmp_path / "large.bin"
    file.write_bytes(b"a" * size)
    proxy.fault = lambda _method, path: "html" if "/blobs/" in path else None
    run = te.init("acme", "Digits")
    artifact = run.log_artifact(file, "large", capture="in-place")
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    file.write_bytes(b"b" * size)
    os.utime(file, ns=times)
    proxy.fault = lambda *_: None
    words = f"{str(file)!r} changed after it was logged"
    with pytest.raises(te.TellurioError, match=re.escape(words)):
        artifact.wait()
    assert run.finish().rejected_files == 1
    assert words in caplog.text
