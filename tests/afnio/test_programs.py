"""Programs written for afnio 0.3.7 run after one changed import."""

import json

import pytest
from children import complaints

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
