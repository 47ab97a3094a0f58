"""Programs written for afnio 0.3.7 run after one changed import."""

import json
import math
import re
from pathlib import Path

import pytest
from children import complaints
from code_blocks import PAGES, blocks_of
from faulty_proxy import FaultyProxy

import afnio_tellurio as te

#: The first program of afnio's own documentation, from its package.
QUICKSTART = """
import re
from importlib import metadata

text = metadata.distribution("afnio").read_text("METADATA")
(program,) = re.findall(r"````python\\n(import json.*?)````", text, re.DOTALL)
for before, after in CHANGES:
    assert program.count(before) == 1, before
    program = program.replace(before, after)
exec(compile(program, "quickstart.py", "exec"))
"""
TRACKED_TRAINER = """
from afnio_tellurio.integrations.afnio import Tracker

trainer = Trainer(max_epochs=2)
Tracker(trainer, clients={"forward": fw_model_client, "optimizer": optim_model_client})
"""
#: How the documentation logs checkpoints, and how it continues from the best one.
LOG_CHECKPOINTS, LOAD_BEST = [
    block.text for block in blocks_of(PAGES["docs/afnio.md"]) if "checkpoint" in block.text
]
#: A last line of the program, which trains with its own trainer.
FIT = (
    "trainer.fit(agent=agent, train_dataloader=train_dataloader, val_dataloader=val_dataloader, "
    "llm_clients=llm_clients)\n"
)
VALIDATION = "        return self.training_step(batch, batch_idx)\n"
#: A trainer whose agent needs no platform.
LOCAL_TRAINING = """
import afnio
import afnio.cognitive as cog
import afnio_tellurio as te
from afnio.trainer import Trainer
from afnio_tellurio.integrations.afnio import Tracker

class Optimizer:
    defaults = {}
    def state_dict(self):
        return {}

class Agent(cog.Module):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
    def configure_optimizers(self):
        return Optimizer()
    def training_step(self, batch, batch_idx):
        with te.suppress_variable_notifications():
            return {"loss": (afnio.Variable(next(losses)), afnio.Variable("as expected"))}

class Samples(list):
    dataset = property(lambda self: self)

with te.suppress_variable_notifications():
    batches = Samples([[afnio.Variable("a")], [afnio.Variable("b")]])
"""
ONE_IMPORT = ("import afnio.tellurio as te\n", "import afnio_tellurio as te\n")


@pytest.fixture
def quickstart(platform, run_afnio, tmp_path):
    """Runs the program after some changes, with our own nine messages instead of a download."""
    sentiments = ["positive", "neutral", "negative"] * 3
    examples = [
        {
            "fields": {"input": f"message {number}, {sentiment}"},
            "answer": json.dumps({"urgency": "low", "sentiment": sentiment, "categories": {}}),
        }
        for number, sentiment in enumerate(sentiments)
    ]
    folder = tmp_path / "data" / "FacilitySupport" / "raw"
    folder.mkdir(parents=True)
    for name in ("dataset", "dataset.json"):
        (folder / name).write_text(json.dumps(examples))

    def run(*changes):
        # The key comes from the environment, as it may in afnio.
        return run_afnio(f"CHANGES = {changes!r}\n{QUICKSTART}", **platform.variables)

    return run


def runs_of(platform):
    """The runs of the quickstart, newest first."""
    return te.runs("your-username", "Facility Support", platform.client())


def validated_as(*accuracies):
    """The change after which validations, and before them the test, return these accuracies."""
    steps = f"""
        return {{**self.training_step(batch, batch_idx), "accuracy": next(self.accuracies)}}
    accuracies = iter({accuracies})
"""
    return VALIDATION, steps


def versions_of(client, namespace="your-username", project="facility-support"):
    """The versions of the artifact by their numbers: their aliases and metadata."""
    versions = te.list_artifact_versions(namespace, project, "checkpoint", client)
    return {each.version: (set(each.aliases), each.metadata) for each in versions}


@pytest.fixture
def proxy(platform):
    """A proxy between programs and the backend, whose faults the test sets."""
    proxy = FaultyProxy(platform.url)
    platform.variables["TELLURIO_BACKEND_HTTP_PORT"] = proxy.url.rpartition(":")[2]
    yield proxy
    proxy.close()


def concerns_files(path):
    return re.search("/(artifacts|blobs)/", path) is not None


def logged(run):
    return {name: (list(points.steps), points.values) for name, points in run.metrics().items()}


def test_the_quickstart_logs_what_it_logs_with_afnio_s_own_tracking(quickstart, platform):
    before = quickstart()
    assert before.returncode == 0, before.stderr
    after = quickstart(ONE_IMPORT)
    assert after.returncode == 0, after.stderr
    assert complaints(after.stderr) == ""
    ours, theirs = runs_of(platform)
    assert ours.status is te.RunStatus.COMPLETED
    assert theirs.status is te.RunStatus.COMPLETED
    assert logged(ours) == logged(theirs)
    assert logged(ours)["train_loss"] == ([1, 2, 3, 4, 5], [2] * 5)
    assert logged(ours)["total_cost($)"][0] == [0, 1, 2, 3, 4, 5]
    calls = [call for call in platform.calls if call["run_uuid"] == ours.uuid]
    assert len(calls) == len(platform.calls) / 2


def test_a_tracker_logs_prompts_tokens_checkpoints_and_settings(quickstart, platform, tmp_path):
    done = quickstart(
        ONE_IMPORT,
        ("trainer = Trainer(max_epochs=5)\n", TRACKED_TRAINER),
    )
    assert done.returncode == 0, done.stderr
    assert complaints(done.stderr) == ""
    (run,) = runs_of(platform)
    series = logged(run)
    assert series["train_loss"] == ([1, 2], [2, 2])

    prompt = "Read the provided message and determine the sentiment."
    steps, texts = series["parameters/sentiment_task"]
    assert steps == [0, 1, 2]
    assert texts == [prompt, f"{prompt} (improved 1)", f"{prompt} (improved 1) (improved 2)"]

    # Two messages for each batch, of 10 tokens each, and one call of the optimizer.
    assert series["clients/forward/train_total_tokens"] == ([1, 2], [20, 20])
    assert series["clients/forward/train_cost"] == ([1, 2], [0.5, 0.5])
    assert series["clients/optimizer/train_prompt_tokens"] == ([1, 2], [7, 7])
    assert series["clients/forward/val_completion_tokens"] == ([1, 2], [6, 6])
    assert series["clients/forward/test_total_tokens"] == ([1], [50])
    assert series["clients/openai_1/train_total_tokens"] == ([1, 2], [0, 0])

    checkpoints = series["checkpoints"][1]
    assert [(each["epoch"], each["batch"]) for each in checkpoints] == [
        (1, 0), (1, None), (2, 0), (2, None)
    ]  # fmt: skip
    for checkpoint in checkpoints:
        assert (tmp_path / checkpoint["path"]).stat().st_size == checkpoint["bytes"] > 0

    (config,) = series["config"][1]
    assert config["max_epochs"] == 2
    assert config["train_samples"] == 2
    assert config["train_batch_size"] == 33
    assert config["agent"] == "FacilitySupportAnalyzer"
    assert config["optimizer"]["name"] == "TGD"
    assert config["optimizer"]["momentum"] == 3
    assert config["optimizer"]["completion_args"]["max_completion_tokens"] == 32000
    assert "never include" in config["optimizer"]["constraints"][0]
    assert config["models"]["sentiment_classifier"]["completion_args"]["model"] == "gpt-4.1-nano"
    assert config["parameters"]["sentiment_task"]["requires_grad"] is True
    assert config["clients"]["forward"] == {"provider": "openai", "class": "AsyncOpenAI"}
    assert "model-key" not in json.dumps(series)
    # Checkpoints become artifacts only if the program asks for it.
    assert te.list_artifacts("your-username", "facility-support", client=platform.client()) == []


def test_each_checkpoint_is_a_version_and_a_training_continues_from_the_best(quickstart, platform):
    done = quickstart(
        ONE_IMPORT, validated_as(0, 0.5, 0.75, 0.25, 0.75, 0.125), (FIT, LOG_CHECKPOINTS)
    )
    assert done.returncode == 0, done.stderr
    assert complaints(done.stderr) == ""
    client = platform.client()
    versions = versions_of(client)
    assert {version: aliases for version, (aliases, _) in versions.items()} == {
        "v4": {"latest"},
        "v3": set(),
        "v1": {"best"},
    }
    assert versions["v1"][1] == {
        "epoch": 2,
        "step": 2,
        "train_loss": 2,
        "train_accuracy": 1,
        "val_loss": 2,
        "val_accuracy": 0.75,
    }
    (first,) = runs_of(platform)
    assert [row["epoch"] for row in logged(first)["checkpoints"][1] if row["batch"] is None] == [
        1, 2, 3, 4, 5
    ]  # fmt: skip

    # It continues in another process, where no epoch is better.
    done = quickstart(
        ONE_IMPORT,
        validated_as(0, 0.625, 0.5, 0.75, 0.25, 0.5),
        (FIT, f"{LOAD_BEST}{LOG_CHECKPOINTS}"),
    )
    assert done.returncode == 0, done.stderr
    versions = versions_of(client)
    assert {version: aliases for version, (aliases, _) in versions.items()} == {
        "v9": {"latest"},
        "v8": set(),
        "v1": {"best"},
    }
    second, _ = runs_of(platform)
    assert [f"{link.artifact}:{link.version}" for link in second.inputs()] == ["checkpoint:v1"]
    _, texts = logged(second)["parameters/sentiment_task"]
    prompt = "Read the provided message and determine the sentiment."
    assert texts[0] == f"{prompt} (improved 1) (improved 2)"


def test_a_backend_without_artifacts_is_named_once_and_no_file_waits(quickstart, proxy, platform):
    proxy.fault = lambda _method, path: (404, b"{}") if concerns_files(path) else None
    done = quickstart(ONE_IMPORT, (FIT, LOG_CHECKPOINTS))
    assert done.returncode == 0, done.stderr
    assert len(complaints(done.stderr).splitlines()) == 1
    assert "Tracker: the backend does not support artifacts" in done.stderr
    (run,) = runs_of(platform)
    assert run.status is te.RunStatus.COMPLETED
    assert len(logged(run)["checkpoints"][1]) == 10
    assert proxy.counts[404, b"{}"] == 2  # not one for each epoch


def test_a_backend_that_fails_during_the_training_gets_all_versions(quickstart, proxy, platform):
    failing = iter(["drop", (503, b"{}"), "reset", "drop"])

    def fault(method, path):
        if method == "GET" and concerns_files(path):
            return 503, b"{}"
        return next(failing, None) if concerns_files(path) else None

    proxy.fault = fault
    done = quickstart(ONE_IMPORT, validated_as(0, 0.5, 0.75, 0.25, 0.5, 0), (FIT, LOG_CHECKPOINTS))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("checkpoint:best could not be read") == 1
    assert "not tracked in full" not in done.stderr
    assert next(failing, None) is None
    # As the best one of earlier runs is not known, none is deleted.
    versions = versions_of(platform.client())
    assert {version: aliases for version, (aliases, _) in versions.items()} == {
        "v4": {"latest"},
        "v3": set(),
        "v2": set(),
        "v1": {"best"},
        "v0": set(),
    }


def test_the_least_loss_is_the_best_also_without_validation(run_afnio):
    done = run_afnio(
        LOCAL_TRAINING
        + """
losses = iter([4, 4, 1, 2, float("nan"), 1, 3, 3, 9, 9, 1, 1])
trainer = Trainer(max_epochs=4, enable_progress_bar=False)
Tracker(trainer, checkpoints="checkpoint", monitor="train_loss", mode="min")
with te.init("acme", "Local", name="first"):
    trainer.fit(Agent(), batches)
trainer.max_epochs = 1
for name in "second", "third":
    with te.init("acme", "Local", name=name):
        trainer.fit(Agent(), batches)
""",
        TELLURIO_MODE="local",
    )
    assert done.returncode == 0, done.stderr
    assert "Tracker" not in done.stderr
    with te.TellurioClient.local() as client:
        versions = versions_of(client, "acme", "local")
        runs = {
            run.name: [link.version for link in run.outputs()]
            for run in te.runs("acme", "local", client)
        }
    losses = {version: metadata["train_loss"] for version, (_, metadata) in versions.items()}
    assert math.isnan(losses.pop("v2"))
    assert losses == {"v0": 4, "v1": 1.5, "v3": 3, "v4": 9, "v5": 1}
    assert [name for name, (aliases, _) in versions.items() if "best" in aliases] == ["v5"]
    assert runs == {"first": ["v0", "v1", "v2", "v3"], "second": ["v4"], "third": ["v5"]}


def test_a_metric_that_no_epoch_has_is_named_once(run_afnio):
    done = run_afnio(
        LOCAL_TRAINING
        + """
losses = iter([4, 4, 1, 2])
trainer = Trainer(max_epochs=2, enable_progress_bar=False)
Tracker(trainer, checkpoints="checkpoint")
with te.init("acme", "Local"):
    trainer.fit(Agent(), batches)
""",
        TELLURIO_MODE="local",
    )
    assert done.returncode == 0, done.stderr
    (complaint,) = [line for line in done.stderr.splitlines() if "Tracker" in line]
    assert "the epochs have no metric 'val_accuracy'" in complaint
    assert complaint.endswith("pass one of these as monitor: train_loss")
    with te.TellurioClient.local() as client:
        versions = versions_of(client, "acme", "local")
    assert {version: aliases for version, (aliases, _) in versions.items()} == {
        "v1": {"latest"},
        "v0": set(),
    }


def test_a_checkpoint_that_cannot_be_logged_does_not_disturb_the_training(run_afnio):
    done = run_afnio(
        LOCAL_TRAINING
        + """
losses = iter([4, 4, 1, 2])

class Detailed(Agent):
    def training_step(self, batch, batch_idx):
        more = {f"{number:0200}": number for number in range(400)}  # too many for metadata
        return {**super().training_step(batch, batch_idx), **more}

trainer = Trainer(max_epochs=2, enable_progress_bar=False)
Tracker(trainer, checkpoints="checkpoint", monitor="train_loss")
with te.init("acme", "Local", name="disturbed"):
    trainer.fit(Detailed(), batches)
""",
        TELLURIO_MODE="local",
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("_save_checkpoint is not tracked in full") == 1
    with te.TellurioClient.local() as client:
        run = te.get_run("acme", "local", "disturbed", client)
        assert run.metrics("train_loss").values == [4, 1.5]
        assert len(run.metrics("checkpoints")) == 6
        assert te.list_artifacts("acme", "local", client=client) == []


def test_a_disabled_run_logs_no_checkpoints(run_afnio):
    done = run_afnio(
        LOCAL_TRAINING
        + """
losses = iter([4, 4, 1, 2])
trainer = Trainer(max_epochs=2, enable_progress_bar=False)
Tracker(trainer, checkpoints="checkpoint")
with te.init("acme", "Local"):
    trainer.fit(Agent(), batches)
""",
        TELLURIO_MODE="disabled",
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(list(Path("checkpoints").glob("*.hf"))) == 2


def test_invalid_arguments_for_checkpoints_are_refused_at_once(run_afnio):
    done = run_afnio("""
from afnio.trainer import Trainer
from afnio_tellurio.integrations.afnio import Tracker

trainer = Trainer()
for options in (
    {"checkpoints": "a/b"},
    {"checkpoints": True},
    {"checkpoints": "checkpoint", "mode": "best"},
    {"checkpoints": "checkpoint", "monitor": ""},
    {"checkpoints": "checkpoint", "keep": 0},
):
    try:
        Tracker(trainer, **options)
    except (TypeError, ValueError) as error:
        print(f"{type(error).__name__}: {error}")
Tracker(trainer)  # none of them has changed the trainer
""")
    assert done.returncode == 0, done.stderr
    name, kind, mode, monitor, keep = done.stdout.splitlines()
    assert name.startswith("ValueError: Tracker: artifact name is 'a/b'")
    assert kind.startswith("TypeError: Tracker: artifact name")
    assert mode == "ValueError: Tracker: mode is 'best'; it must be 'max' or 'min'"
    assert monitor.startswith("ValueError: Tracker: monitor")
    assert keep == "ValueError: Tracker: keep is 0; it must be 1 or more"
