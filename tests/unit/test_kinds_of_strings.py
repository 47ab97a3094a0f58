"""Every string that a public function takes may be of a subclass of str, such as NumPy's."""

import asyncio
import inspect

import numpy as np
import pytest

import afnio_tellurio as te


class Tag(str):
    """A string of a subclass, as labels and enums of frameworks are."""

    __slots__ = ()


KINDS = [Tag, np.str_]
#: What each call passes as strings; the test of the listing finds the ones that are missing.
CALLS = {
    "afinish": ["status"],
    "ainit": [
        "namespace_slug",
        "project_display_name",
        "name",
        "description",
        "status",
        "group",
        "job_type",
        "notes",
        "parent",
        "key",
        "resume",
    ],
    "aget_run": ["namespace_slug", "project", "run"],
    "aruns": [
        "namespace_slug",
        "project",
        "status",
        "tag",
        "group",
        "job_type",
        "parent",
        "where",
        "sort",
    ],
    "Run.afinish": ["status"],
    "Run.ametrics": ["name"],
    "init": [
        "namespace_slug",
        "project_display_name",
        "name",
        "description",
        "status",
        "group",
        "job_type",
        "notes",
        "parent",
        "key",
        "resume",
    ],
    "attach": ["namespace_slug", "project", "run"],
    "get_run": ["namespace_slug", "project", "run"],
    "delete_run": ["namespace_slug", "project", "run"],
    "restore_run": ["namespace_slug", "project", "run"],
    "finish": ["status"],
    "runs": [
        "namespace_slug",
        "project",
        "status",
        "tag",
        "group",
        "job_type",
        "parent",
        "where",
        "sort",
    ],
    "table": ["project", "where", "sort"],
    "best": ["namespace_slug", "project", "metric", "where"],
    "scan": ["namespace_slug", "project", "where"],
    "list_metrics": ["namespace_slug", "project"],
    "create_project": ["namespace_slug", "display_name", "visibility"],
    "get_project": ["namespace_slug", "project_slug"],
    "delete_project": ["namespace_slug", "project_slug"],
    "restore_project": ["namespace_slug", "project_slug"],
    "list_trash": ["namespace_slug"],
    "list_projects": ["namespace_slug"],
    "log": ["name"],
    "log_metrics": ["metrics"],
    "log_rows": ["name", "key"],
    "curves": ["names"],
    "summaries": ["names"],
    "get_artifact": ["artifact"],
    "list_artifact_versions": ["namespace_slug", "project", "name"],
    "list_artifacts": ["namespace_slug", "project", "type"],
    "log_artifact": ["name", "type", "metadata", "description"],
    "log_audio": ["name"],
    "log_file": ["name"],
    "log_html": ["name", "html"],
    "log_image": ["name"],
    "get_prompt": ["reference"],
    "log_prompt": ["name", "metadata", "description"],
    "log_text": ["name", "text"],
    "restore_artifact": ["artifact"],
    "use_artifact": ["artifact", "type"],
    "Run.files": ["prefix"],
    "Run.log_artifact": ["name", "type", "metadata", "description"],
    "Run.log_audio": ["name"],
    "Run.log_file": ["name"],
    "Run.log_html": ["name", "html"],
    "Run.log_image": ["name"],
    "Run.log_prompt": ["name", "metadata", "description"],
    "Run.log_text": ["name", "text"],
    "Run.open_file": ["path"],
    "Run.use_artifact": ["artifact", "type"],
    "Run.finish": ["status"],
    "Run.log": ["name"],
    "Run.log_metrics": ["metrics"],
    "Run.log_rows": ["name", "key"],
    "Run.metrics": ["name"],
    "Run.rows": ["name"],
    "Run.iter_metrics": ["name"],
    "Run.curve": ["name"],
    "Run.update": ["name", "description", "notes", "group", "job_type"],
    "Run.tag": ["add"],
}
#: Functions that need a notebook, a terminal or another backend, or make no request.
ELSEWHERE = {"show", "login", "configure_logging"}


def public_functions():
    for name in te.__all__:
        value = getattr(te, name)
        if inspect.isfunction(value):
            yield name, value
    for name, value in inspect.getmembers_static(te.Run):
        if inspect.isfunction(value) and not name.startswith("_"):
            yield f"Run.{name}", value


def takes_strings(annotation):
    text = str(annotation).replace("OptionalChange", "str")
    return "str" in text.replace("Mapping[str", "str").split("[")[0]


def test_every_string_of_the_public_functions_is_tried():
    taken = {}
    for name, function in public_functions():
        strings = [
            parameter.name
            for parameter in inspect.signature(function).parameters.values()
            if takes_strings(parameter.annotation)
        ]
        if strings and name not in ELSEWHERE:
            taken[name] = strings
    assert taken == CALLS


async def read_awaitably(text):
    run = await te.aget_run(text("acme"), text("other"), text("second"))
    assert (await run.ametrics(text("a"))).values == ["value"]
    assert [each.name async for each in te.aruns(text("acme"), text("other"))] == ["second"]
    words = [text("acme"), text("Other"), text("third"), text("described"), text("RUNNING")]
    await te.ainit(*words)
    await te.afinish(status=text("FAILED"))
    (third,) = [run async for run in te.aruns("acme", "other", status=text("FAILED"))]
    te.delete_run("acme", "other", third.name)
    third = await te.ainit(*words)
    await third.afinish(status=text("FAILED"))
    te.delete_run("acme", "other", third.name)


def config_of(text):
    return {
        "config": {text("key"): text("value")}, "tags": [text("t")], "group": text("g"),
        "job_type": text("j"), "notes": text("n"),
    }  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_string_of_a_subclass_is_the_string_that_it_is(kind, backend):  # noqa: PLR0915
    text = kind
    te.create_project(text("acme"), text("Digits"), text("TEAM"))
    assert te.get_project(text("acme"), text("digits")).visibility == "TEAM"
    assert [project.slug for project in te.list_projects(text("acme"))] == ["digits"]
    run = te.init(text("acme"), text("Other"), text("first"), text("described"))
    te.log(text("a"), text("value"))
    te.log_metrics({text("b"): [text("in a list")]})
    run.log(text("c"), {text("key"): text("value")})
    run.log_metrics({text("d"): 1.0})
    te.log_rows(text("table"), [{text("key"): text("value")}], text("key"))
    run.log_rows(text("table"), [{text("key"): text("value"), "again": 1}], text("key"))
    assert run.rows(text("table")).rows == [{"key": "value", "again": 1}]
    assert te.attach(text("acme"), text("Other"), text("first")) is run
    te.finish(status=text("CRASHED"))
    run.finish(status=text("CRASHED"))
    assert run.status is te.RunStatus.CRASHED
    run.update(text("second"), text("described again"))
    run.update(notes=text("n"), group=text("g"), job_type=text("j"))
    run.tag(text("t"), text("u"), remove=[text("u")])
    run.update_config({text("key"): [text("value")]})
    parent, labels = str(run.uuid), {"tag": "t", "group": "g", "job_type": "j"}
    assert (run.config, run.tags) == ({"key": ["value"]}, ("t",))
    with te.init(
        "acme",
        "Other",
        "child",
        parent=text(parent),
        key=text("k"),
        resume=text("allow"),
        **config_of(text),
    ) as child:
        assert child.config == {"key": "value"}
    if backend != "without extensions":
        named = {name: text(value) for name, value in labels.items()}
        assert [each.name for each in te.runs("acme", "other", **named)] == ["child", "second"]
        (found,) = te.runs("acme", "other", parent=text(parent))
        assert (found.tags, found.group, found.job_type, found.notes) == (("t",), "g", "j", "n")
    te.delete_run("acme", "other", "child")
    run = te.get_run(text("acme"), text("other"), text("second"))
    assert run.description == "described again"
    found = te.runs(text("acme"), text("other"), status=text("CRASHED"))
    assert [each.name for each in found] == ["second"]
    found = te.table(text("acme"), text("other"), where=text("name = second"), sort=text("name"))
    assert found.columns["name"] == ["second"]
    words = [text("acme"), text("other"), text("d"), text("max")]
    assert te.best(*words, part=text("last"), where=text("name = second")).name == "second"
    query = {"where": text("name = second"), "metrics": [text("d")]}
    assert te.scan(text("acme"), text("other"), **query).collect()["value"].to_list() == [1.0]
    found = te.runs("acme", "other", where=text("name = second"), sort=text("-name"))
    assert [each.name for each in found] == ["second"]
    assert te.list_metrics(text("acme"), text("other")) == ["a", "b", "c", "d"]
    assert run.metrics(text("a")).values == ["value"]
    assert run.metrics(text("b")).values == [["in a list"]]
    assert run.metrics(text("c")).values == [{"key": "value"}]
    assert [point.value for point in run.iter_metrics(text("d"))] == [1.0]
    assert run.summary()["d"].count == 1
    assert run.curve(text("d")) == ([0], [1.0])
    assert te.summaries([run], text("d"))[run.uuid]["d"].count == 1
    assert [curve.name for curve in te.curves([run], text("d"))] == ["d"]
    asyncio.run(read_awaitably(text))
    te.delete_run(text("acme"), text("other"), text("second"))
    te.delete_project(text("acme"), text("other"))
    assert [item.kind for item in te.list_trash(text("acme"))][:1] == ["project"]
    assert te.restore_project(text("acme"), text("other")).slug == "other"
    assert te.restore_run(text("acme"), text("other"), text("second")).name == "second"


@pytest.mark.parametrize("kind", KINDS)
def test_a_string_of_a_subclass_names_artifacts_and_files(kind, backend, tmp_path):
    text = kind
    if backend == "without extensions":
        pytest.skip("artifacts are an extension")
    file = tmp_path / "a.txt"
    file.write_text("bytes")
    run = te.init("acme", "Digits")
    options = {
        "type": text("data"), "aliases": [text("best")], "metadata": {text("key"): text("value")},
        "description": text("described"),
    }  # fmt: skip
    te.log_artifact(text(tmp_path), text("folder"), include=[text("*.txt")], **options)
    run.log_artifact(text(file), text("file"), **options).alias(text("other"))
    used = te.use_artifact(text("folder:best"), type=text("data"))
    assert (used.read_text(text("a.txt")), used.metadata) == ("bytes", {"key": "value"})
    assert run.use_artifact(text("file:other"), type=text("data")).description == "described"
    assert te.get_artifact(text("acme/digits/file")).type == "data"
    found = te.list_artifacts(text("acme"), text("digits"), type=text("data"))
    assert [artifact.name for artifact in found] == ["file", "folder"]
    (version,) = te.list_artifact_versions(text("acme"), text("digits"), text("file"))
    version.unalias(text("best"), text("other"))
    version.delete()
    assert te.restore_artifact(text("acme/digits/file:v0")).version == "v0"
    for logger in (te, run):
        logger.log_file(text(file), text("inputs/a.txt"))
        logger.log_image(text("image"), b"GIF8")
        logger.log_audio(text("audio"), b"OggS")
        logger.log_text(text("text"), text("words"))
        logger.log_html(text("html"), text("<p>"))
    assert [file.path for file in run.files(text("inputs/"))] == ["inputs/a.txt"]
    assert run.open_file(text("text")).read() == b"words"
    built = te.Artifact(text("built"), text("data"), text("described"), {text("key"): 1})
    built.add_file(text(file), text("a")).add_dir(text(tmp_path), text("b"))
    built.add_bytes(b"c", text("c")).add_text(text("d"), text("d"))
    built.add_reference(text("s3://acme/e"), text("e"), digest=text("0" * 64))
    paths = [file.path for file in te.log_artifact(built, wait=True).files]
    assert [path for path in paths if path[0] != "b"] == ["a", "c", "d", "e"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_string_of_a_subclass_is_a_prompt(kind, backend):
    text = kind
    if backend == "without extensions":
        pytest.skip("artifacts are an extension")
    run = te.init("acme", "Digits")
    options = {
        "aliases": [text("best")], "metadata": {text("key"): text("value")},
        "description": text("described"), "wait": True,
    }  # fmt: skip
    te.log_prompt(text("judge"), text("first"), **options)
    messages = [{text("role"): text("user"), text("content"): text("second")}]
    run.log_prompt(text("chat"), messages, parents=[text("judge:best")], **options)
    assert te.get_prompt(text("judge:best")).text == "first"
    prompt = te.get_prompt(text("acme/digits/chat"), fallback=text("other"))
    assert prompt.messages == [{"role": "user", "content": "second"}]
    assert prompt.metadata == {"key": "value", "parents": ["judge:v0"]}
    assert te.get_prompt(text("none"), fallback=text("other")).text == "other"


def test_a_request_that_cannot_be_encoded_is_not_the_backend_s_fault():
    with te.TellurioClient.local() as client, pytest.raises(TypeError):
        client.post("/api/v0/acme/projects/", {"display_name": object()})
