"""The command that delivers pending data and uploads local runs."""

import math
import os
import re
import sys
import uuid

import pytest
from children import GUARD

import afnio_tellurio as te
from afnio_tellurio.cli import main
from afnio_tellurio.tracking import capturing


@pytest.fixture
def local():
    client = te.TellurioClient.local()
    yield client
    client.close()


@pytest.fixture
def recorded(monkeypatch):
    """Three local runs: one of each kind."""
    monkeypatch.setenv("TELLURIO_CAPTURE", "1")
    # A busy machine may take long to read it.
    monkeypatch.setattr(capturing, "PATIENCE", float(GUARD))
    local = te.TellurioClient.local()
    with te.init(
        "acme", "Digits!", "first", "what it is about", client=local, config={"n": 10**30, "x": None},
        tags=["b", "a"], group="g", job_type="j", notes="n", parent=str(uuid.UUID(int=7)),
    ) as run:  # fmt: skip
        for value in (0.5, math.nan, -math.inf, 10**30, "text", None, {"a": [1]}):
            run.log("train/loss", value)
        for step in (7, 7, 3):
            run.log("steps", step, step=step)
        run.log_rows("rows", [{"id": 0, "a": math.nan}, {"id": 1, "a": 0.5}], key="id")
        run.log_rows("rows", [{"id": 0, "a": 10**30}, {"note": None}])
    with (
        pytest.raises(ZeroDivisionError),
        te.init("acme", "Digits!", "second", client=local) as run,
    ):
        for number in range(2500):
            run.log("count", number)
        1 / 0  # noqa: B018
    open_run = te.init("acme", "Digits!", "third", client=local)
    open_run.log("count", 1)
    yield open_run
    local.close()


def facts(client):
    return {
        run.name: (
            run.status.value,
            run.description,
            repr(run.metrics(client=client)),
            [
                (rows.key, repr(rows.rows), rows.timestamps)
                for rows in (run.rows(name, client, replaced=True) for name in run.tables(client))
            ],
            run.config,
            run.tags,
            run.group,
            run.job_type,
            run.notes,
            run.parent_uuid,
            run.date_ended,
            run.ended_because,
            te.get_run("acme", "digits", run.uuid, client).environment,
        )
        for run in te.runs("acme", "digits", client=client)
    }


def test_finished_runs_are_uploaded_whole_and_a_second_call_does_nothing(
    recorded, local, server, capsys, monkeypatch
):
    assert main(["sync", "acme/digits", "--to", server, "--dry-run"]) == 1
    out, err = capsys.readouterr()
    assert out == ("first: 14 values would be uploaded\nsecond: 2500 values would be uploaded\n")
    assert err == "third: not uploaded: it is still running\n"
    with te.TellurioClient(server) as target:
        assert te.get_project("acme", "digits", target) is None
    assert main(["sync", "acme/digits", "--to", server]) == 1
    out, err = capsys.readouterr()
    assert out == "first: 14 values uploaded\nsecond: 2500 values uploaded\n"
    with te.TellurioClient(server) as target:
        there, here = facts(target), facts(local)
        assert te.get_project("acme", "digits", target).display_name == "Digits!"
        created = {run.name: run.date_created for run in te.runs("acme", "digits", target)}
    assert there == {name: here[name] for name in ("first", "second")}
    originals = {run.name: run.date_created for run in te.runs("acme", "digits", local)}
    assert created == {name: originals[name] for name in ("first", "second")}
    assert there["second"][0] == "CRASHED"
    assert there["second"][-2].type == "ZeroDivisionError"
    assert there["first"][-1]["process_id"] == os.getpid()
    recorded.finish()
    assert main(["sync", "acme/digits", "--to", server]) == 0
    assert capsys.readouterr().out == (
        "first: already uploaded\nsecond: already uploaded\nthird: 1 value uploaded\n"
    )
    assert main(["sync", "acme/digits/third", "--to", server]) == 0
    with te.TellurioClient(server) as target:
        assert len(list(te.runs("acme", "digits", target))) == 3


def test_artifacts_and_files_are_uploaded_and_a_second_call_does_nothing(
    local, server, capsys, tmp_path
):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.bin").write_bytes(os.urandom(100_000))
    (tmp_path / "model" / "small.txt").write_text("small")
    with te.init("acme", "Digits", "maker", client=local) as run:
        run.log_artifact(
            tmp_path / "model", "model", type="model", aliases=["best"], metadata={"n": 1}
        )
        data = te.Artifact("data", "dataset").add_reference("s3://acme/data.csv", size=5)
        run.log_artifact(data)
        run.log_text("notes", "first")
        run.log_text("notes", "later", step=7)
        run.log_file(tmp_path / "model" / "small.txt")
    with te.init("acme", "Digits", "user", client=local) as run:
        run.use_artifact("model:best")
    here = te.get_artifact("acme/digits/model", local)
    assert main(["sync", "acme/digits", "--to", server]) == 0
    assert "maker: 0 values and 6 files uploaded" in capsys.readouterr().out
    there = te.get_artifact("acme/digits/model:best")
    assert (there.digest, there.metadata, there.type) == (here.digest, {"n": 1}, "model")
    there.verify()
    assert there.producer.run_name == "maker"
    assert [link.run_name for link in there.consumers] == ["user"]
    (reference,) = te.get_artifact("acme/digits/data").files
    assert (reference.reference, reference.size) == ("s3://acme/data.csv", 5)
    for client in (local, None):
        run = te.get_run("acme", "Digits", "maker", client)
        assert [(file.path, file.kind, file.step) for file in run.files(client=client)] == [
            ("notes", "text", 0),
            ("notes", "text", 7),
            ("small.txt", "file", None),
        ]
        assert run.open_file("notes", 7, client).read() == b"later"
    assert main(["sync", "acme/digits", "--to", server]) == 0
    assert "maker: already uploaded" in capsys.readouterr().out
    assert len(te.list_artifact_versions("acme", "digits", "model")) == 1


def test_what_a_run_logged_after_its_upload_is_reported(local, server, capsys):
    def log_once():
        with te.init("acme", "Digits", "job", client=local, resume=True) as run:
            run.log("loss", 1)

    log_once()
    for _ in range(2):
        assert main(["sync", "acme/digits", "--to", server]) == 0
    assert capsys.readouterr().out == "job: 1 value uploaded\njob: already uploaded\n"
    log_once()
    assert main(["sync", "acme/digits", "--to", server]) == 1
    assert capsys.readouterr().err == (
        "job: not uploaded: it was resumed after its upload; what it logged since (1 metric) is "
        "only here\n"
    )


def test_a_name_that_is_taken_there_gets_a_number(recorded, server, capsys):
    with te.TellurioClient(server) as target:
        te.init("acme", "Digits!", "first", client=target).finish()
    assert main(["sync", "acme/digits/first", "--to", server]) == 0
    assert capsys.readouterr().out == "first: 14 values uploaded as first_1\n"
    assert main(["sync", "acme/digits/first", "--to", server]) == 0
    assert capsys.readouterr().out == "first: already uploaded as first_1\n"


def test_an_upload_that_fails_is_taken_up_where_it_was(recorded, server, capsys, monkeypatch, home):
    from afnio_tellurio.delivery import transfer

    real = transfer.log_metric_batch
    sent = []

    def refuse(connection, *arguments, **keywords):
        if connection.is_local:
            return real(connection, *arguments, **keywords)
        sent.append(keywords["first"])
        if len(sent) >= 2:
            raise te.BackendUnreachableError("the cable is cut")
        return real(connection, *arguments, **keywords)

    monkeypatch.setattr("afnio_tellurio.delivery.recovery._ATTEMPTS", 1)
    monkeypatch.setattr(transfer, "log_metric_batch", refuse)
    assert main(["sync", "acme/digits/second", "--to", server]) == 1
    assert "second: not uploaded: the cable is cut" in capsys.readouterr().err
    assert sent == [0, 1000]
    monkeypatch.setattr(transfer, "log_metric_batch", real)
    assert main(["sync"]) == 0, "what is left waits as any journal does"
    assert capsys.readouterr().out == "second: 1500 values uploaded, closed as CRASHED\n"
    assert main(["sync", "acme/digits/second", "--to", server]) == 0
    assert capsys.readouterr().out == "second: already uploaded\n"
    with te.TellurioClient(server) as target:
        (run,) = te.runs("acme", "digits", target)
        assert run.metrics("count").values == list(range(2500))


def test_what_is_uploaded_twice_for_want_of_the_note_arrives_once(recorded, server, home, capsys):
    import shutil

    assert main(["sync", "acme/digits/second", "--to", server]) == 0
    shutil.rmtree(home / "uploads")
    assert main(["sync", "acme/digits/second", "--to", server]) == 0
    with te.TellurioClient(server) as target:
        (run,) = te.runs("acme", "digits", target)
        assert run.metrics("count").values == list(range(2500))


def test_a_backend_that_refuses_is_a_problem_of_each_run(recorded, start_server, sign_in, capsys):
    url = start_server(api_key="another", namespaces=())
    sign_in(url, "wrong")
    assert main(["sync", "acme/digits", "--to", url]) == 1
    err = capsys.readouterr().err
    assert err.count("answered 401") == 2
    sign_in(url, "another")
    assert main(["sync", "acme/digits/first", "--to", url]) == 1
    assert "answered 404" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX terminal")
def test_progress_is_shown_on_a_terminal(recorded, server, at_terminal):
    synced = at_terminal("sync", "acme/digits/second", "--to", server, streams=("stderr",))
    assert synced.out == "second: 2500 values uploaded\n"
    assert "\r\x1b[Ksecond [############                  ] 1000/2500 values" in synced.shown
    assert synced.shown.endswith("\r\x1b[K")


def test_what_dead_processes_left_is_delivered(server, run_forked, capsys):
    finished = run_forked(
        """
        import os
        import afnio_tellurio as te
        te.init("acme", "Digits", "died").log("loss", 1)
        os._exit(0)
        """
    )
    assert finished.returncode == 0
    assert main(["sync"]) == 0
    out = capsys.readouterr().out
    assert re.fullmatch("died: [01] values? uploaded, closed as CRASHED\n", out)
    assert main(["sync"]) == 0
    assert capsys.readouterr().out == "Nothing to sync.\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sync", "acme/digits"], "requires both NAMESPACE/PROJECT"),
        (["sync", "--to", "http://localhost"], "requires both NAMESPACE/PROJECT"),
        (["sync", "--dry-run"], "--dry-run requires NAMESPACE/PROJECT"),
        (
            ["sync", "acme", "--to", "http://localhost"],
            "Expected NAMESPACE/PROJECT[/RUN], got 'acme'",
        ),
    ],
)
def test_wrong_usage_says_what_to_give(arguments, words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_a_url_that_is_none_and_a_run_that_is_none_are_said(local, capsys):
    assert main(["sync", "acme/digits", "--to", "platform"]) == 1
    assert "it must be a scheme and a host" in capsys.readouterr().err
    te.init("acme", "Digits", client=local).finish()
    assert main(["sync", "acme/digits/none", "--to", "http://127.0.0.1:9"]) == 1
    assert "has no run named 'none'" in capsys.readouterr().err


def test_serving_delivers_what_dead_processes_left(run_forked, start_python, sign_in):
    finished = run_forked(
        """
        import os
        import afnio_tellurio as te
        te.init("acme", "Digits", "died").log("loss", 1)
        os._exit(0)
        """,
        TELLURIO_MODE="local",
    )
    assert finished.returncode == 0
    child = start_python("-m", "afnio_tellurio.cli", "serve", "--port", "0", "--api-key", "k")
    url = child.stdout.readline().split(" at ")[1].split()[0]
    sign_in(url, "k")
    with te.TellurioClient(url) as client:
        (run,) = te.runs("acme", "digits", client)
        assert (run.status, run.metrics("loss").values) == (te.RunStatus.CRASHED, [1])
