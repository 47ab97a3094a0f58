"""Lightning logs to a run that it starts, to one of the program, and to the active one."""

import math

import pytest

import afnio_tellurio as te

pytestmark = pytest.mark.slow

PROGRAM = """
import argparse
import dataclasses

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_only
from afnio_tellurio.integrations.lightning import TellurioLogger

class Model(L.LightningModule):
    def __init__(self, rate=0.5, api_key="sk-1234", loss=torch.nn.functional.mse_loss, bad=None, fail_at=None):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, index):
        if index == self.hparams.fail_at:
            raise RuntimeError("The loss is lost.")
        self.log_dict({"train/index": torch.tensor(float(index)), "train/nan": float("nan")})
        return self.layer(batch).sum()

    def test_step(self, batch, index):
        self.log("test/index", float(index))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.hparams.rate)

def trainer(logger, **settings):
    return L.Trainer(
        accelerator="cpu", logger=logger, log_every_n_steps=1, enable_progress_bar=False,
        enable_model_summary=False, **{"max_epochs": 1, "enable_checkpointing": False, **settings},
    )

loader = torch.utils.data.DataLoader(torch.ones(3, 1))

# A run of the logger ends with each call, and goes on with the next.
logger = TellurioLogger(namespace_slug="demo", project_display_name="Trainings", name="own", tags=["a"])
own = trainer(logger, enable_checkpointing=True)
own.fit(Model(bad=object()), loader)
observed["own"] = [logger.name, logger.version, logger.experiment.name, str(logger.experiment.status)]
own.test(Model(), loader, verbose=False)
own.fit_loop.max_epochs = 2
own.fit(Model(), loader)
observed["later"] = str(logger.experiment.status)
logger.log_metrics({"mark": 1, "text": "words", "vector": torch.ones(2), "": 2}, step=7.0)
logger.finalize("aborted")

crashed = TellurioLogger(namespace_slug="demo", project_display_name="Trainings", name="own crash")
observed["crash"] = refusal(lambda: trainer(crashed).fit(Model(fail_at=1), loader))

# A run of the program stays open, and several trainers log to it.
with start_elsewhere("given") as given, te.init("demo", "Trainings", "other"):
    trainer(TellurioLogger(given)).fit(Model(), loader)
    observed["given"] = str(given.status)
    trainer([TellurioLogger(given)]).test(Model(), loader, verbose=False)

def crash():
    with te.init("demo", "Trainings", "crash"):
        trainer(TellurioLogger()).fit(Model(fail_at=2), loader)

observed["active crash"] = refusal(crash)

with te.init("demo", "Trainings", "active"):
    logger = TellurioLogger()
    trainer(logger).fit(Model(), loader)
with te.init("demo", "Trainings", "active later"):
    trainer(logger).fit(Model(), loader)

@dataclasses.dataclass
class Settings:
    layers: list
    rest: object

with te.init("demo", "Trainings", "hyperparameters"):
    settings = Settings([1, torch.nn.ReLU], argparse.Namespace(size=2, scheduler=object()))
    TellurioLogger().log_hyperparams(argparse.Namespace(settings=settings, size=torch.tensor(2)))
    for _ in range(3):
        TellurioLogger().log_hyperparams({f"text{_}": "x" * 3_000_000})

import pytorch_lightning as pl

class OtherModel(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, index):
        self.log("index", float(index))
        return self.layer(batch).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.5)

with te.init("demo", "Trainings", "other package"):
    pl.Trainer(
        accelerator="cpu", logger=TellurioLogger(), log_every_n_steps=1, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, max_epochs=1,
    ).fit(OtherModel(), loader)

with te.init("demo", "Trainings", "ended") as ended:
    logger = TellurioLogger()
    logger.log_metrics({"loss": 1})
    logger.log_hyperparams(None)
logger.log_metrics({"loss": 2})
logger.finalize("success")
observed["ended"] = str(ended.status)

observed["no run"] = refusal(lambda: trainer(TellurioLogger()).fit(Model(), loader))
observed["both"] = refusal(lambda: TellurioLogger(given, name="x"))
observed["unknown"] = refusal(lambda: TellurioLogger(project="x"))

rank_zero_only.rank = 1
other = TellurioLogger(namespace_slug="demo", project_display_name="Trainings", name="other rank")
other.log_metrics({"loss": 1})
other.log_hyperparams({"rate": 1})
other.experiment.log("loss", 1)
other.finalize("success")
observed["other rank"] = [other.name, other.version]
"""


@pytest.fixture(scope="module")
def training(train):
    return train(PROGRAM)


def test_a_run_of_the_logger_ends_with_each_call_and_goes_on_with_the_next(training):
    assert training.observed["own"] == ["trainings", "own", "own", "COMPLETED"]
    assert training.observed["later"] == "COMPLETED"
    run, logged = training.run("own"), training.logged("own")
    assert run.status is te.RunStatus.FAILED  # the program said that it was aborted
    assert run.tags == ("a",)
    assert logged["train/index"] == ([0, 1, 2, 3, 4, 5], [0, 1, 2, 0, 1, 2])
    assert all(math.isnan(value) for value in logged["train/nan"][1])
    assert logged["test/index"] == ([3], [1])
    assert logged["mark"] == ([7], [1])
    assert not logged.keys() & {"text", "vector", ""}
    assert "a metric of the training is skipped" in training.stderr
    assert (training.folder / "lightning_logs").exists() is False
    assert list(training.folder.glob("trainings/own/checkpoints/*.ckpt"))
    others = te.runs("demo", "trainings", training.client)
    assert "other rank" not in {each.name for each in others}


def test_hyperparameters_are_in_the_config_and_secrets_are_not(training):
    config = training.run("own").config
    assert config["rate"] == 0.5
    assert config["api_key"] == "[redacted]"
    assert config["loss"] == "mse_loss"
    assert next(change.patch["bad"] for change in training.run("own").config_changes()) == "object"


def test_what_a_config_cannot_hold_is_replaced_by_the_name_of_its_type(training):
    config = training.run("hyperparameters").config
    assert config["size"] == 2
    assert config["settings"] == {"layers": [1, "ReLU"], "rest": {"size": 2, "scheduler": "object"}}
    assert sorted(config) == ["settings", "size", "text0", "text1"]
    assert (
        "the config of the training is not recorded: update_config: config has" in training.stderr
    )


def test_each_training_logs_to_the_run_that_is_active_at_its_start(training):
    for name in ("active", "active later"):
        assert training.logged(name)["train/index"] == ([0, 1, 2], [0, 1, 2])
        assert training.run(name).config["rate"] == 0.5


def test_the_logger_works_with_the_package_pytorch_lightning(training):
    assert training.logged("other package")["index"] == ([0, 1, 2], [0, 1, 2])


def test_an_exception_of_the_training_ends_the_run_as_crashed(training):
    assert training.observed["crash"] == "RuntimeError: The loss is lost."
    assert training.observed["active crash"] == "RuntimeError: The loss is lost."
    for name, steps in {"own crash": [0], "crash": [0, 1]}.items():
        run = training.run(name)
        assert run.status is te.RunStatus.CRASHED
        assert str(run.ended_because) == "RuntimeError: The loss is lost."
        assert training.logged(name)["train/index"][0] == steps


def test_a_run_of_the_program_stays_open(training):
    assert training.observed["given"] == "RUNNING"
    assert training.run("given").status is te.RunStatus.COMPLETED
    assert training.logged("given")["train/index"] == ([0, 1, 2], [0, 1, 2])
    assert training.logged("given")["test/index"] == ([0], [1])
    assert training.logged("other") == {}


def test_a_run_that_has_ended_stops_no_training(training):
    assert training.observed["ended"] == "COMPLETED"
    assert training.logged("ended") == {"loss": ([0], [1])}
    assert "metrics of the training are not recorded: log_metrics: run 'ended'" in training.stderr


def test_what_is_missing_is_refused(training):
    assert training.observed["no run"].startswith(
        "ValueError: no run is active; start one with init"
    )
    assert training.observed["both"].startswith("TypeError: TellurioLogger: pass a run, or")
    assert training.observed["unknown"].startswith("TypeError: ")


def test_other_ranks_log_nothing(training):
    assert training.observed["other rank"] == [None, None]
