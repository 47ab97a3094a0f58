"""Valid code of an application; mypy and pyright, both strict, accept all of it. It is never run."""

import datetime as dt
from collections.abc import Iterator
from logging import getLogger
from pathlib import Path
from typing import Any, BinaryIO, assert_type

import httpx
import tellurio_api
from tellurio_api import models
from tellurio_api.api.auth import verify_api_key

import afnio_tellurio as te
from afnio_tellurio.integrations.log_handler import TellurioHandler


def signing_in() -> None:
    assert_type(te.login(), dict[str, str])
    te.login("key", True)
    te.login(api_key="key", relogin=True)


def projects(client: te.TellurioClient) -> None:
    assert_type(te.list_projects("acme"), list[te.Project])
    te.list_projects("acme", client=client)
    assert_type(te.get_project("acme", "digits"), te.Project | None)
    project = te.create_project("acme", "Digits", "PUBLIC", client)
    assert_type(project, te.Project)
    assert_type(project.slug, str)
    assert_type(project.date_created, dt.datetime)
    assert_type(project.last_run_date, dt.datetime | None)
    assert_type(project.run_counts, dict[str, int] | None)
    assert_type(project.last_activity, dt.datetime | None)
    assert_type(project.runs_per_day, list[int] | None)
    assert_type(project.role, str | None)
    te.delete_project("acme", "digits", client=client)
    te.delete_project("acme", "digits", purge=True)
    assert_type(te.restore_project("acme", "digits", client), te.Project)
    (item,) = te.list_trash("acme", client)
    assert_type(item, te.TrashedItem)
    assert_type(item.kind, str)
    assert_type(item.date_purged, dt.datetime)
    assert_type(item.bytes, int)


def runs(client: te.TellurioClient) -> None:
    run = te.init("acme", "Digits", "name", "description", te.RunStatus.RUNNING, client)
    assert_type(run, te.Run)
    assert_type(te.init("acme", "Digits"), te.Run)
    assert_type(te.init("acme", "Digits", status=None), te.Run)
    assert_type(run.finish(status=None), te.DeliveryReceipt)
    assert_type(te.finish(status=None), te.DeliveryReceipt)
    assert_type(te.runs("acme", "Digits", client), Iterator[te.Run])
    assert_type(te.get_run("acme", "Digits", "name"), te.Run)
    assert_type(te.list_namespaces(client), list[te.RunOrg])
    assert_type(te.list_metrics("acme", "Digits"), list[str])
    assert_type(te.summaries([run], "loss"), dict[str, dict[str, te.MetricSummary]])
    assert_type(te.curves([run], "loss", buckets=10), list[te.MetricCurve])
    assert_type(te.table("acme", "Digits", where="status = FAILED", limit=10), te.RunTable)
    assert_type(te.table([run], metrics={"loss": "min"}, config=["optim.lr"]), te.RunTable)
    assert_type(te.best("acme", "Digits", "loss", "min", part="last"), te.Run)
    te.scan("acme", "Digits", client, where="status = FAILED", metrics=["loss"])
    te.show(run)
    te.show([run, run], "loss", "val/loss")
    assert_type(te.attach("acme", "Digits", "name", client=client), te.Run)
    assert_type(te.get_active_run(), te.Run)
    te.delete_run("acme", "Digits", "name", client)
    te.delete_run("acme", "Digits", "name", purge=True)
    assert_type(te.restore_run("acme", "Digits", "name", client), te.Run)
    assert_type(run.uuid, str)
    assert_type(run.name, str)
    assert_type(run.description, str | None)
    assert_type(run.status, te.RunStatus)
    word: str = run.status.value
    print(word)
    assert_type(run.date_created, dt.datetime | None)
    assert_type(run.organization, te.RunOrg | None)
    assert_type(run.project, te.RunProject | None)
    assert_type(run.user, te.RunUser | None)
    run.update("name", description="description")
    run.update(description="description", if_unchanged=True)
    te.Run("uuid", "name", None, te.RunStatus.RUNNING)


def logging(run: te.Run, client: te.TellurioClient, anything: Any) -> None:
    te.log("loss", 0.5)
    te.log("loss", {"a": [None, True]}, step=3, client=client)
    te.log_metrics({"loss": 0.5, "note": "text"}, step=3)
    run.log("loss", anything, 3, client)
    run.log_metrics({"loss": 0.5})
    te.log_rows("candidates", [{"index": 0, "prompt": "text"}], key="index")
    run.log_rows("candidates", ({"index": index} for index in range(3)), client=client)
    assert_type(te.flush(), te.DeliveryReceipt)
    assert_type(run.flush(timeout=1.5), te.DeliveryReceipt)
    assert_type(te.finish(), te.DeliveryReceipt)
    receipt = run.finish(client, te.RunStatus.FAILED)
    receipt = run.finish(client, "FAILED")
    assert_type(run.url, str | None)
    assert_type(receipt.accepted, int)
    assert_type(receipt.waiting, int)
    assert_type(receipt.rejected, int)


def artifacts(run: te.Run, client: te.TellurioClient, anything: Any) -> None:
    built = te.Artifact("data", "dataset", "description", {"rows": 3})
    built.add_file("a.csv").add_dir(Path("folder"), "inner", include=["*.csv"], symlinks="refuse")
    built.add_bytes(b"1", "b").add_text("1", "c").add_reference("s3://acme/d", digest=None, size=1)
    assert_type(te.log_artifact(built, aliases=["best"]), te.Artifact)
    te.log_artifact(Path("folder"), "data", type="dataset", metadata={"rows": 3}, keep=3, wait=True)
    te.log_artifact(["a", Path("b")], "data", exclude=("*.tmp",), capture="in-place", client=client)
    artifact = run.log_artifact(b"1", "data", description="description")
    assert_type(artifact.wait(timeout=1.5), te.Artifact)
    assert_type(artifact.date_created, dt.datetime | None)
    assert_type(artifact.name, str)
    assert_type(artifact.version, str | None)
    assert_type(artifact.digest, str | None)
    assert_type(artifact.size, int | None)
    assert_type(artifact.aliases, tuple[str, ...])
    assert_type(artifact.metadata, dict[str, Any])
    assert_type(artifact.producer, te.ArtifactLink | None)
    artifact.alias("best", "prod")
    artifact.unalias("prod")
    used = te.use_artifact("data:best", type="dataset", client=client)
    assert_type(used, te.Artifact)
    assert_type(run.use_artifact(used), te.Artifact)
    assert_type(te.get_artifact("acme/digits/data:v3", client), te.Artifact)
    for file in used.files:
        assert_type(file, te.ArtifactFile)
        assert_type(file.size, int | None)
        assert_type(file.reference, str | None)
    assert_type(used.download("folder", include=["*.csv"], verify=False), Path)
    assert_type(used.open("a.csv"), BinaryIO)
    assert_type(used.read_bytes("a.csv"), bytes)
    assert_type(used.read_text("a.csv"), str)
    used.verify()
    for link in [*run.outputs(), *run.inputs(), *used.consumers]:
        assert_type(link, te.ArtifactLink)
        assert_type(link.version, str)
        assert_type(link.run_name, str | None)
    assert_type(used.path("a.csv"), Path)
    assert_type(used.diff(artifact), str)
    for summary in te.list_artifacts("acme", "digits", type="dataset"):
        assert_type(summary, te.ArtifactSummary)
        assert_type(summary.latest, str | None)
    assert_type(te.list_artifact_versions("acme", "digits", "data"), list[te.Artifact])
    used.delete(force=True, purge=False)
    assert_type(te.restore_artifact("acme/digits/data:v3"), te.Artifact)
    te.log_file("a.csv", "inputs/a.csv")
    te.log_image("samples", anything, step=3)
    te.log_audio("speech", anything, sample_rate=16_000)
    te.log_text("answers", "text", 3, client)
    te.log_html("report", "<p>text</p>")
    run.log_image("samples", Path("a.png"))
    for logged in run.files("samples"):
        assert_type(logged, te.RunFile)
        assert_type(logged.step, int | None)
    assert_type(run.open_file("samples", step=3), BinaryIO)
    assert_type(run.finish().waiting_bytes, int)


def prompts(run: te.Run, client: te.TellurioClient, used: te.Artifact) -> None:
    messages = [{"role": "user", "content": "Hello", "name": "a"}]
    assert_type(te.log_prompt("judge", "text", aliases=["best"]), te.Artifact)
    te.log_prompt("judge", messages, metadata={"score": 0.5}, parents=[used, "judge:v3"], keep=3)
    run.log_prompt("judge", tuple(messages), description="d", wait=True, client=client)
    prompt = te.get_prompt("acme/digits/judge:best", fallback=messages, client=client)
    assert_type(prompt, te.Prompt)
    assert_type(prompt.version, str | None)
    assert_type(prompt.text, str | None)
    assert_type(prompt.messages, list[dict[str, Any]] | None)
    assert_type(prompt.metadata, dict[str, Any])
    assert_type(prompt.is_fallback, bool)


def with_afnio() -> None:
    te.configure_logging("warning")
    with te.suppress_variable_notifications():
        pass


def reading(run: te.Run) -> None:
    assert_type(run.metrics(), dict[str, te.MetricHistory])
    for point in run.iter_metrics("loss"):
        assert_type(point, te.MetricPoint)
        assert_type(point.step, int)
        assert_type(point.timestamp, dt.datetime | None)
    history = run.metrics("loss")
    assert_type(history, te.MetricHistory)
    assert_type(history.steps, list[int])
    assert_type(history.values, list[Any])
    assert_type(history.timestamps, list[dt.datetime | None])
    assert_type(len(history), int)
    summary = run.summary()["loss"]
    assert_type(summary, te.MetricSummary)
    assert_type(summary.count, int)
    assert_type(summary.minimum, float | None)
    assert_type(summary.last_timestamp, dt.datetime | None)
    rows = run.rows("candidates", replaced=True)
    assert_type(rows, te.TableRows)
    assert_type(rows.key, str | None)
    assert_type(rows.rows, list[dict[str, Any]])
    assert_type(rows[0], dict[str, Any])
    for row in rows:
        assert_type(row, dict[str, Any])
    assert_type(run.tables()["candidates"], te.TableSummary)
    assert_type(run.curve("loss", buckets=10), tuple[list[int], list[float]])


def blocks() -> int:
    with te.init("acme", "Digits") as run:
        assert_type(run, te.Run)
        # The block's exception reaches the caller, so nothing is to be returned after it.
        return 1


async def asynchronous() -> int:
    async with te.init("acme", "Digits") as run:
        assert_type(run, te.Run)
        assert_type(await run.aflush(), te.DeliveryReceipt)
        assert_type(await run.afinish(status=te.RunStatus.COMPLETED), te.DeliveryReceipt)
        assert_type(await run.afinish(status=None), te.DeliveryReceipt)
        assert_type(await te.ainit("acme", "Digits", resume=False), te.Run)
        assert_type(await te.aget_run("acme", "digits", "r"), te.Run)
        async for listed in te.aruns("acme", "digits", limit=1):
            assert_type(listed, te.Run)
        assert_type(await run.ametrics("loss"), te.MetricHistory)
        assert_type(await run.ametrics(), dict[str, te.MetricHistory])
        assert_type(await te.afinish(), te.DeliveryReceipt)
        return 1


def clients() -> None:
    with te.TellurioClient("https://example.com", 8443) as client:
        assert_type(client, te.TellurioClient)
        assert_type(client.get("/api/v0/verify-api-key/"), httpx.Response)
        client.post("/api/v0/acme/projects/", json={"display_name": "Digits"})
        client.patch("/x/", json=None)
        client.delete("/x/")
        assert_type(
            client.with_options(timeout=5, max_retries=0, headers={"X-Team": "vision"}),
            te.TellurioClient,
        )
        assert_type(client.login("key"), dict[str, str])
        assert_type(client.url, str)
        assert_type(client.is_closed, bool)
        assert_type(client.is_local, bool)
        assert_type(client.api, tellurio_api.Client)
        owner = client.call(models.ApiKeyOwner, verify_api_key.sync_detailed, client=client.api)
        assert_type(owner, models.ApiKeyOwner)
    assert_type(te.TellurioClient.local(Path("runs.db"), recover=False), te.TellurioClient)
    te.TellurioClient(port="8443").close()


def details() -> None:
    parent = te.init("acme", "Digits", config={"lr": 0.1}, tags=["a"], group="g", notes="n")
    run = te.init("acme", "Digits", key="k", resume="allow", job_type="train", parent=parent)
    te.init("acme", "Digits", system_metrics=True)
    te.init("acme", "Digits", system_metrics=2.5, console=True)
    getLogger().addHandler(TellurioHandler(run, level="INFO", table="logs"))
    run.update_config({"lr": 0.01})
    run.tag("best", remove=["a"])
    run.update(notes=None, group="g", job_type=None, description=None)
    assert_type(run.config["lr"], Any)
    assert_type(run.tags, tuple[str, ...])
    assert_type(run.parent_uuid, str | None)
    assert_type(run.date_ended, dt.datetime | None)
    assert_type(run.environment, dict[str, Any] | None)
    reason: te.EndReason | None = run.ended_because
    if reason is not None:
        assert_type(reason.kind, str)
        assert_type(reason.traceback, str | None)
    change: te.ConfigChange
    for change in run.config_changes():
        assert_type(change.timestamp, dt.datetime)
        assert_type(change.patch, dict[str, Any])
    for child in te.runs("acme", "digits", tag="a", group="g", job_type="j", parent=parent):
        assert_type(child, te.Run)


def recovery() -> None:
    for journal in te.sync():
        assert_type(journal, te.SyncedJournal)
        assert_type(journal.delivered, int)
        assert_type(journal.problem, str | None)


def failures() -> None:
    try:
        te.init("acme", "Digits")
    except te.NotFoundError as error:
        lookup_error: LookupError = error
        print(lookup_error, error.operation, error.identifiers["namespace_slug"])
    except (te.BadRequestError, te.PayloadTooLargeError) as error:
        value_error: ValueError = error
        print(value_error)
    except (te.ConflictError, te.InvalidAPIKeyError, te.PermissionDeniedError) as error:
        assert_type(error.words, str)
    except (te.RateLimitError, te.BackendFailureError) as error:
        status_error: httpx.HTTPStatusError = error
        assert_type(error.request_id, str | None)
        assert_type(error.code, str | None)
        print(status_error.response)
    except te.RunChangedError as error:
        assert_type(error.words, str)
    except te.ApiError as error:
        assert_type(error.status_code, int)
    except te.BackendUnreachableError as error:
        connection_error: ConnectionError = error
        print(connection_error)
    except te.InvalidResponseError as error:
        assert_type(error.operation, str)
    except te.RefusedDeliveryError as error:
        assert_type(error.response.status_code, int)
    except te.DeliveryError as error:
        assert_type(error.waiting, int)
        assert_type(error.lost, int)
        assert_type(error.path, str)
    except te.RunFinishedError as error:
        runtime_error: RuntimeError = error
        print(runtime_error)
    except (te.DatabaseError, te.CredentialsError) as error:
        base: te.TellurioError = error
        print(base)
