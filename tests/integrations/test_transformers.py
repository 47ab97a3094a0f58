"""The Trainer of transformers logs to a run."""

import pytest

import afnio_tellurio as te

pytestmark = pytest.mark.slow

PROGRAM = """
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainerState, TrainingArguments
from afnio_tellurio.integrations.transformers import TellurioCallback

size = BertConfig(
    vocab_size=8, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4,
    max_position_embeddings=4,
)
example = {"input_ids": torch.tensor([1, 2]), "labels": torch.tensor(0)}

class Model(BertForSequenceClassification):
    fail_at = None
    calls = 0

    def forward(self, **inputs):
        self.calls += 1
        if self.calls == self.fail_at:
            raise RuntimeError("The loss is lost.")
        return super().forward(**inputs)

def trainer(*callbacks, model=None, **settings):
    arguments = TrainingArguments(
        "out", use_cpu=True, report_to="none", logging_steps=1, max_steps=3, save_strategy="no",
        per_device_train_batch_size=1, disable_tqdm=True, hub_token="hf_1234", seed=7, label_names=["labels"],
        remove_unused_columns=False, **settings,
    )
    return Trainer(
        model or Model(size), arguments, train_dataset=[example] * 4, eval_dataset=[example],
        callbacks=list(callbacks),
    )

with start_elsewhere("given") as given:
    with te.init("demo", "Trainings", "active") as active:
        both = trainer(TellurioCallback(), TellurioCallback(given), eval_strategy="steps", eval_steps=2)
        both.train()
        both.log({"test_f1": 0.5, "words": "no number", "vector": torch.ones(2), "scalar": torch.tensor(2)})
        observed["active"] = str(active.status)
    for name in ("loss", "eval_loss"):
        entries = [entry for entry in both.state.log_history if name in entry]
        observed[name] = [[entry[key] for entry in entries] for key in ("step", name)]
    with te.init("demo", "Trainings", "again"):
        both.train()

def crash():
    model = Model(size)
    model.fail_at = 3
    with te.init("demo", "Trainings", "crash"):
        trainer(TellurioCallback(), model=model).train()

observed["crash"] = refusal(crash)
observed["no run"] = refusal(lambda: trainer(TellurioCallback()).train())

other = TellurioCallback()
state = TrainerState(is_world_process_zero=False)
other.on_train_begin(both.args, state, None)
other.on_log(both.args, state, None, logs={"loss": 1})
"""


@pytest.fixture(scope="module")
def training(train):
    return train(PROGRAM)


def test_metrics_have_the_names_and_steps_that_other_trackers_use(training):
    logged = training.logged("active")
    for metric, name in {"train/loss": "loss", "eval/loss": "eval_loss"}.items():
        assert list(logged[metric]) == training.observed[name]
    assert logged["train/loss"][0] == [1, 2, 3]
    assert logged["eval/loss"][0][0] == 2
    assert logged["train/train_runtime"][0] == [3]
    assert logged["test/f1"] == ([3], [0.5])
    assert logged["train/scalar"] == ([3], [2])
    assert not logged.keys() & {"train/words", "train/vector"}


def test_the_config_has_the_arguments_and_the_model_and_no_token(training):
    config = training.run("active").config
    assert config["args"]["max_steps"] == 3
    assert config["args"]["seed"] == 7
    assert config["model"]["hidden_size"] == 4
    assert not [name for name in config["args"] if name.endswith("_token")]
    assert "redacted" not in training.stderr


def test_a_run_that_was_passed_gets_each_training_and_the_active_one_its_own(training):
    assert training.observed["active"] == "RUNNING"
    given, again = training.logged("given"), training.logged("again")
    assert given["train/loss"][0] == [1, 1, 2, 2, 3, 3]
    assert given["train/loss"][1][1::2] == again["train/loss"][1]
    assert again["train/loss"][0] == [1, 2, 3]
    for name in ("active", "given", "again"):
        assert training.run(name).status is te.RunStatus.COMPLETED


def test_an_exception_of_the_training_ends_the_run_as_crashed(training):
    assert training.observed["crash"] == "RuntimeError: The loss is lost."
    assert training.run("crash").status is te.RunStatus.CRASHED
    assert training.logged("crash")["train/loss"][0] == [1, 2]


def test_without_a_run_the_training_does_not_start(training):
    assert training.observed["no run"].startswith(
        "ValueError: no run is active; start one with init"
    )
