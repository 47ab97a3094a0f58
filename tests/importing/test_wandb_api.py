"""Runs on a server of wandb: with a module that has the shape of wandb, and with the real one."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from children import ROOT
from golden_runs import check_repeats, check_run, skipped_of

import afnio_tellurio as te
from afnio_tellurio.cli import main
from afnio_tellurio.importing.wandb_api import WandbSource, parse_source

SITE_PACKAGES = next((ROOT / ".cache/benchmarks/wandb").glob("lib/*/site-packages/wandb"), None)
#: The x-axes of `define_metric("val/*", step_metric="epoch")` as wandb keeps them.
METRICS = [{"1": "epoch", "6": [1]}, {"2": "val/*", "5": 1}, {"1": "lost", "4": "elsewhere"}]
IMAGE = {"_type": "image-file", "path": "media/images/x_0_1.png", "sha256": "0", "size": 3}


def node_of(run_id, name, state, **fields):
    """A run as the server of wandb answers it."""
    return {
        "id": f"storage-{run_id}",
        "projectId": "7",
        "name": run_id,
        "displayName": name,
        "state": state,
        "tags": [],
        "sweepName": None,
        "config": "{}",
        "summaryMetrics": "{}",
        "systemMetrics": "{}",
        "group": None,
        "jobType": None,
        "notes": None,
        "createdAt": "2026-11-20T10:00:00Z",
        "heartbeatAt": "2026-11-20T10:05:00Z",
        "user": {"name": "Ada", "username": "ada"},
        **fields,
    }


RUNS = [
    {
        "node": node_of(
            "first001",
            "first",
            "finished",
            tags=["b", "a"],
            config=json.dumps(
                {
                    "lr": {"value": 0.1, "desc": None},
                    "nested": {"value": {"layers": [1, 2]}, "desc": None},
                    "_wandb": {"value": {"m": METRICS}, "desc": None},
                }
            ),
            summaryMetrics=json.dumps({"loss": 0.5, "best": 0.9, "_step": 4}),
            group="sweep",
            jobType="train",
            notes="a note",
            sweepName="s1",
            historyKeys={"lastStep": 2000},
        ),
        "history": [
            {"_step": 0, "_timestamp": 1795168800.25, "_runtime": 1, "loss": 1},
            {"_step": 1, "_timestamp": 1795168801.5, "loss": 0.5, "nested.x": 3},
            {"_step": 2, "_timestamp": 1795168802.0, "odd": "NaN", "image": IMAGE},
            {"_step": 3, "_timestamp": 1795168803.0, "epoch": 10, "val/acc": 0.25},
            # On another page.
            {"_step": 2000, "_timestamp": 1795168804.0, "odd": "-Infinity", "note": "words"},
        ],
    },
    {
        "node": node_of("second02", "second", "failed", historyKeys={"lastStep": 0}),
        "history": [{"_step": 0, "_timestamp": 1795168800.0, "loss": 2.5}],
    },
    {"node": node_of("third003", "third", "crashed", historyKeys=None), "history": []},
    {"node": node_of("fourth04", "fourth", "running", historyKeys=None), "history": []},
]
EXPECTED = {
    "first": {
        "points": [
            ["loss", 0, 1, 1795168800.25], ["loss", 1, 0.5, 1795168801.5],
            ["nested.x", 1, 3, None], ["odd", 2, "nan", None], ["odd", 2000, "-inf", None],
            ["epoch", 3, 10, None], ["val/acc", 10, 0.25, None], ["note", 2000, "words", None],
        ],
        "config": {"lr": 0.1, "nested": {"layers": [1, 2]}},
        "tags": ["a", "b"], "group": "sweep", "job_type": "train", "notes": "a note",
        "origin": {
            "tool": "wandb", "run": "acme/weights/first001", "user": "ada", "project": "weights",
            "sweep": "s1", "date_created": "2026-11-20T10:00:00+00:00", "summary": {"best": 0.9},
            "x_axes": {"val/*": "epoch", "lost": "elsewhere"},
            "url": "https://wandb.example/acme/weights/runs/first001",
        },
    },
    "second": {"points": [["loss", 0, 2.5, None]], "status": "CRASHED"},
    "third": {"points": [], "status": "CRASHED"},
}  # fmt: skip


def check_all():
    runs = {run.name: run for run in te.runs("acme", "imported")}
    assert set(runs) == set(EXPECTED)
    for name, expected in EXPECTED.items():
        check_run(runs[name], expected)
    assert runs["first"].date_ended.isoformat() == "2026-11-20T10:05:00+00:00"
    assert (runs["second"].ended_because.kind, runs["third"].ended_because.kind) == (
        "exit",
        "vanished",
    )
    assert runs["third"].ended_because.message == "Its state at wandb is 'crashed'."


@pytest.fixture
def wandb(monkeypatch):
    """A module with what is used of wandb, and the paths that it was asked for."""
    module = ModuleType("wandb")
    module.asked = []

    class Error(Exception):
        pass

    def as_wandb_has_it(run):
        node = run["node"]
        config = {name: item["value"] for name, item in json.loads(node["config"]).items()}
        return SimpleNamespace(
            id=node["name"],
            name=node["displayName"],
            job_type=node["jobType"],
            created_at=node["createdAt"],
            heartbeat_at=node["heartbeatAt"],
            sweep_name=node["sweepName"],
            url=f"https://wandb.example/acme/weights/runs/{node['name']}",
            user=SimpleNamespace(**node["user"]),
            config={name: value for name, value in config.items() if name != "_wandb"},
            rawconfig=config,
            summary_metrics=json.loads(node["summaryMetrics"]),
            scan_history=lambda: iter(run["history"]),
            **{name: node[name] for name in ("state", "tags", "group", "notes")},
        )

    def runs(path, order):
        module.asked.append((path, order))
        if path != "acme/weights":
            raise ValueError(f"Could not find project {path}")
        return iter(map(as_wandb_has_it, RUNS))

    def run(path):
        module.asked.append(path)
        for each in RUNS:
            if path == f"acme/weights/{each['node']['name']}":
                return as_wandb_has_it(each)
        raise Error(f"Could not find run {path}")

    module.Error = Error
    module.Api = lambda: SimpleNamespace(runs=runs, run=run)
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


@pytest.mark.usefixtures("server")
def test_all_runs_of_a_project_that_have_ended(wandb, capsys):
    assert main(["import", "wandb://acme/weights", "--project", "acme/imported"]) == 0
    out = capsys.readouterr().out
    check_all()
    assert skipped_of(out, "first") == {"image-file": 1}
    assert out.endswith("Skipped: 1 runs that have not ended\n")
    assert wandb.asked == [("acme/weights", "+created_at")]
    check_repeats("wandb://acme/weights", "imported")


@pytest.mark.usefixtures("server")
def test_one_run(wandb, capsys):
    source = "wandb://acme/weights/second02"
    assert main(["import", source, "--project", "acme/imported", "--dry-run"]) == 0
    assert "1 value would be imported" in capsys.readouterr().out
    arguments = [source, "--project", "acme/imported", "--from", "wandb"]
    assert main(["import", *arguments]) == 0
    (run,) = te.runs("acme", "imported")
    check_run(run, EXPECTED["second"])
    assert wandb.asked == ["acme/weights/second02"] * 2
    # It is the same run as in its project.
    assert main(["import", "wandb://acme/weights", "--project", "acme/imported"]) == 0
    check_all()


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("wandb://acme/nosuch", "wandb://acme/nosuch: wandb: Could not find project acme/nosuch"),
        ("wandb://acme/weights/nosuch", "wandb: Could not find run acme/weights/nosuch"),
    ],
)
def test_what_wandb_cannot_read(wandb, invoke, source, problem):
    result = invoke("import", source, "--project", "acme/imported", TELLURIO_MODE="local")
    assert (result.returncode, result.stdout) == (1, "")
    assert problem in result.stderr


@pytest.mark.parametrize("source", ["wandb://", "wandb://acme", "wandb://a/b/c/d", "wandb://a//c"])
def test_invalid_sources(invoke, source):
    result = invoke("import", source, "--project", "acme/imported")
    assert result.returncode == 2
    assert "Expected wandb://ENTITY/PROJECT or wandb://ENTITY/PROJECT/RUN" in result.stderr
    with pytest.raises(ValueError, match="Expected"):
        parse_source(source)


def test_other_kinds_are_refused(wandb, invoke):
    arguments = "wandb://acme/weights", "--project", "acme/imported", "--from", "mlflow"
    result = invoke("import", *arguments, TELLURIO_MODE="local")
    assert result.returncode == 1
    assert "wandb://acme/weights is of the kind wandb, not mlflow" in result.stderr
    assert str(WandbSource("acme", "weights", "x")) == "wandb://acme/weights/x"


def test_what_to_install(monkeypatch, invoke):
    monkeypatch.setitem(sys.modules, "wandb", None)
    arguments = "wandb://acme/weights", "--project", "acme/imported"
    result = invoke("import", *arguments, TELLURIO_MODE="local")
    assert result.returncode == 1
    assert "install it with: pip install wandb" in result.stderr


@pytest.mark.slow
@pytest.mark.skipif(SITE_PACKAGES is None, reason="wandb is not in .cache/benchmarks/wandb")
def test_the_real_classes_of_wandb(start_python, tmp_path, monkeypatch):
    monkeypatch.setenv("TELLURIO_MODE", "local")
    (tmp_path / "runs.json").write_text(json.dumps(RUNS))
    program = Path(__file__).parent / "wandb_server.py"
    for source in ("wandb://acme/weights/first001", "wandb://acme/weights"):
        child = start_python(
            str(program),
            str(SITE_PACKAGES.parent),
            str(tmp_path / "runs.json"),
            source,
            "--project",
            "acme/imported",
            HOME=str(tmp_path),
            WANDB_DIR=str(tmp_path),
        )
        _, err = child.communicate()
        assert child.returncode == 0, err
    check_all()
