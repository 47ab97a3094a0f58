"""What a run is beside its metrics: config, tags, group, job type, notes, parent."""

import argparse
import copy
import dataclasses
import pickle

import attrs
import pytest

import afnio_tellurio as te
from afnio_tellurio import notices

pytestmark = pytest.mark.needs_extension


@pytest.fixture(autouse=True)
def _backend(backend):
    pass


@dataclasses.dataclass
class Optimizer:
    name: str = "adam"
    lr: float = 0.1


@attrs.define
class Model:
    layers: int = 3
    optim: Optimizer = attrs.Factory(Optimizer)


def again(run):
    return te.get_run("acme", "digits", run.uuid)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"optim": {"lr": 0.1}, "n": None}, {"optim": {"lr": 0.1}, "n": None}),
        (Optimizer(), {"name": "adam", "lr": 0.1}),
        (Model(), {"layers": 3, "optim": {"name": "adam", "lr": 0.1}}),
        (argparse.Namespace(lr=0.1, model=Model()), None),
        ({"big": 10**40, "exact": 0.1 + 0.2, "nan": float("nan"), "text": "ä\u2028\0"}, None),
        ({"prompt": "x" * 1_000_000}, None),
        ({}, {}),
    ],
    ids=["mapping", "dataclass", "attrs", "namespace", "numbers", "long text", "empty"],
)
def test_a_config_is_kept_as_it_is(config, expected):
    run = te.init("acme", "Digits", config=config)
    assert again(run).config == run.config
    if expected is not None:
        assert run.config == expected
    if isinstance(config, dict) and "big" in config:
        assert run.config == {**config, "nan": "NaN"}
    assert [each.config for each in te.runs("acme", "digits")] == [run.config]


def test_changes_are_merged_and_each_is_kept_with_its_time():
    run = te.init("acme", "Digits", config={"optim": {"lr": 0.1, "name": "adam"}, "n": 1})
    assert run.config_changes() == []
    run.update_config({"optim": {"lr": 0.01}, "n": None})
    run.update_config(Optimizer())
    assert run.config == {"optim": {"lr": 0.01, "name": "adam"}, "name": "adam", "lr": 0.1}
    first, second = run.config_changes()
    assert first.patch == {"optim": {"lr": 0.01}, "n": None}
    assert second.patch == {"name": "adam", "lr": 0.1}
    assert run.date_created <= first.timestamp <= second.timestamp
    assert again(run).config == run.config
    run.update_config({})
    assert len(run.config_changes()) == 2


def test_the_config_is_to_be_read_only():
    run = te.init("acme", "Digits", config={"lr": 0.1})
    for change in (
        lambda: run.config.update(lr=1),
        lambda: run.config.__setitem__("lr", 1),
        lambda: run.config.pop("lr"),
        lambda: run.config.setdefault("n", 1),
        run.config.clear,
    ):
        with pytest.raises(TypeError, match=r"use run.update_config\(\{\.\.\.\}\)"):
            change()
    assert pickle.loads(pickle.dumps(run.config)) == copy.deepcopy(run.config) == {"lr": 0.1}


@pytest.mark.parametrize(
    ("config", "error", "words"),
    [
        ({"optim": {"fn": print}}, TypeError, r"^init: config\.optim\.fn "),
        ({"values": [1, object()]}, TypeError, r"^init: config\.values\[1\] "),
        ({1: 2}, TypeError, r"^init: config"),
        ([1], TypeError, r"^init: config is of type list"),
        ("text", TypeError, r"^init: config is of type str"),
        ({"half": "\ud800"}, ValueError, r"^init: config\.half contains half of a surrogate"),
    ],
)
def test_a_config_that_json_cannot_hold_is_refused_by_its_path(config, error, words):
    with pytest.raises(error, match=words):
        te.init("acme", "Digits", config=config)
    assert te.list_projects("acme") == []
    run = te.init("acme", "Digits")
    with pytest.raises(error, match=words.replace("init", "update_config")):
        run.update_config(config)
    assert (run.config, again(run).config) == ({}, {})


def test_credentials_are_replaced_before_they_are_recorded(home, caplog, monkeypatch):
    monkeypatch.setattr(notices, "_shown", set())
    run = te.init("acme", "Digits", config={"api_key": "very-secret", "optim": {"lr": 0.1}})
    run.update_config({"service": {"password": "other-secret"}})
    run.flush()
    assert run.config["optim"] == {"lr": 0.1}
    assert "secret" not in str(again(run).config)
    kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert b"secret" not in kept
    assert "config, at api_key;" in caplog.text
    assert "config, at service.password;" in caplog.text
    assert "secret" not in caplog.text
    run.finish()
    te.TellurioClient.local(home / "unredacted.db").close()
    monkeypatch.setenv("TELLURIO_REDACT", "0")
    with te.TellurioClient.local(home / "unredacted.db") as client:
        open_run = te.init("acme", "Digits", config={"api_key": "very-secret"}, client=client)
        assert open_run.config == {"api_key": "very-secret"}
        open_run.finish()


def test_labels_are_kept_filtered_changed_and_removed():
    parent = te.init("acme", "Digits", group="sweep", job_type="search", notes="about")
    child = te.init("acme", "Digits", tags=["b", "a", "b"], group="sweep", parent=parent)
    other = te.init("acme", "Digits", parent=parent.uuid, tags=("a",))
    assert (parent.group, parent.job_type, parent.notes) == ("sweep", "search", "about")
    assert child.tags == again(child).tags == ("a", "b")
    assert child.parent_uuid == other.parent_uuid == parent.uuid

    def names(**filters):
        return [run.uuid for run in te.runs("acme", "digits", **filters)]

    assert names(tag="a") == [other.uuid, child.uuid]
    assert names(tag="a", group="sweep") == [child.uuid]
    assert names(job_type="search") == [parent.uuid]
    assert names(parent=parent) == names(parent=parent.uuid) == [other.uuid, child.uuid]
    assert names(tag="c") == names(group="a") == []
    parent.update(notes="better", group=None, job_type="tune")
    assert (again(parent).notes, again(parent).group, again(parent).job_type) == (
        "better",
        None,
        "tune",
    )
    assert (parent.notes, parent.group) == ("better", None)
    parent.update(notes=None, description="text")
    assert (again(parent).notes, again(parent).description) == (None, "text")
    parent.update("renamed")
    assert again(parent).description == "text"
    parent.update(description=None)
    assert (again(parent).description, parent.description) == (None, None)


def test_tags_are_a_set():
    run = te.init("acme", "Digits", tags=["first"])
    run.tag("second", "third", remove=["first", "absent"])
    assert run.tags == ("second", "third")
    run.tag("second", remove=["second"])
    run.tag()
    run.flush()
    assert run.tags == again(run).tags == ("third",)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"tags": "baseline"}, TypeError, r"tags is 'baseline'; it must be a list of strings"),
        ({"tags": [""]}, ValueError, "tag is empty"),
        ({"tags": [7]}, TypeError, "tag is 7, a int; it must be a string"),
        (
            {"tags": list(map(str, range(101)))},
            ValueError,
            "tags has 101 tags; it may have up to 100",
        ),
        ({"tags": 5}, TypeError, "tags is 5; it must be a list of strings"),
        ({"group": ""}, ValueError, "group is empty"),
        ({"group": 7}, TypeError, "group is 7"),
        ({"job_type": "x" * 256}, ValueError, "job type has 256 characters"),
        ({"notes": b"x"}, TypeError, "notes is b'x', a bytes; it must be a string"),
        ({"parent": "r"}, ValueError, "parent is 'r'; it must be a run or a run's UUID"),
        ({"parent": 7}, TypeError, "parent is 7; it must be a run or a run's UUID"),
    ],
)
def test_wrong_details_are_refused_before_anything_is_recorded(arguments, error, words):
    with pytest.raises(error, match=f"^init: {words}"):
        te.init("acme", "Digits", **arguments)
    assert te.list_projects("acme") == []


def test_a_tag_that_is_refused_changes_nothing():
    run = te.init("acme", "Digits")
    with pytest.raises(TypeError, match="^tag: remove is 'a'; it must be a list of strings"):
        run.tag("b", remove="a")
    with pytest.raises(ValueError, match="^tag: tag is empty"):
        run.tag("b", " ")
    assert (run.tags, again(run).tags) == ((), ())


def test_a_filter_that_is_refused_names_itself():
    with pytest.raises(ValueError, match="^runs: parent is 'x'; it must be a run or"):
        te.runs("acme", "digits", parent="x")
    with pytest.raises(TypeError, match="^runs: tag is 7"):
        te.runs("acme", "digits", tag=7)


def test_a_resumed_run_keeps_its_details_and_merges_new_ones():
    run = te.init("acme", "Digits", "job", config={"lr": 0.1, "n": 1}, tags=["a"], group="g")
    run.finish(status="CRASHED")
    resumed = te.init("acme", "Digits", "job", config={"n": 2}, tags=["b"], notes="x", resume=True)
    assert resumed.uuid == run.uuid
    assert (resumed.config, resumed.tags) == ({"lr": 0.1, "n": 2}, ("a", "b"))
    assert (resumed.group, resumed.notes) == ("g", "x")
    assert (resumed.date_ended, resumed.ended_because) == (None, None)
    assert [change.patch for change in resumed.config_changes()] == [{"n": 2}]


def test_a_disabled_run_has_its_config(monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "disabled")
    run = te.init("acme", "Digits", config={"lr": 0.1}, tags=["b", "a"], group="g")
    run.update_config({"n": 1})
    run.tag("c", remove=["a"])
    run.update(notes="x")
    assert (run.config, run.tags, run.group, run.notes) == (
        {"lr": 0.1, "n": 1},
        ("b", "c"),
        "g",
        "x",
    )
    with pytest.raises(TypeError, match=r"^init: config.fn"):
        te.init("acme", "Digits", config={"fn": print})
    assert run.config_changes() == []
    run.finish()


def test_the_details_of_another_program_are_read_as_they_are(monkeypatch):
    run = te.init("acme", "Digits", config={"lr": 0.1})
    other = again(run)
    other.tag("seen")
    other.update_config({"lr": 0.2})
    other.flush()
    assert (again(run).tags, again(run).config) == (("seen",), {"lr": 0.2})
    run.finish()


def test_a_config_that_grows_too_large_is_refused_at_the_call():
    run = te.init("acme", "Digits", config={"a": "x" * 5_000_000})
    with pytest.raises(
        ValueError, match="^update_config: config has 10,000,0.* bytes as JSON; it may"
    ):
        run.update_config({"b": "x" * 5_000_000})
    run.update_config({"a": None, "b": "x" * 5_000_000})
    run.finish()
    assert again(run).config == run.config == {"b": "x" * 5_000_000}


def test_a_resumed_run_keeps_the_nulls_of_its_config():
    config = {"ckpt": None, "lr": 1, "optim": {"name": "adam", "beta": None}}
    for _ in range(2):
        with te.init("acme", "Digits", key="k", resume="allow", config=config) as run:
            assert run.config == config
    with te.init("acme", "Digits", key="k", resume="allow", config={"lr": None}) as run:
        assert run.config == {"ckpt": None, "optim": config["optim"]}
