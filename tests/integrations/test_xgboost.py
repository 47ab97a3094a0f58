"""XGBoost logs to a run."""

import pytest

import afnio_tellurio as te

pytestmark = pytest.mark.slow

PROGRAM = """
import numpy as np
import xgboost as xgb
from afnio_tellurio.integrations.xgboost import TellurioCallback

random = np.random.default_rng(7)
x = random.normal(size=(40, 2))
data = xgb.DMatrix(x, x.sum(axis=1))
parameters = {"max_depth": 2, "eta": 0.5, "nthread": 1}

def train(*callbacks, rounds=3, **keywords):
    history = {}
    model = xgb.train(
        parameters, data, rounds, evals=[(data, "train")], evals_result=history, verbose_eval=False,
        callbacks=list(callbacks), **keywords,
    )
    return model, history["train"]["rmse"]

class Stop(xgb.callback.TrainingCallback):
    def after_iteration(self, model, epoch, evals_log):
        if epoch == 1:
            raise RuntimeError("The loss is lost.")

with start_elsewhere("given") as given:
    with te.init("demo", "Trainings", "active") as active:
        callback = TellurioCallback()
        model, first = train(callback, TellurioCallback(given))
        _, second = train(callback, rounds=2, xgb_model=model)
        observed["rmse"] = first + second
        observed["active"] = str(active.status)

with te.init("demo", "Trainings", "cv"):
    folds = xgb.cv(parameters, data, 2, nfold=2, callbacks=[TellurioCallback()], as_pandas=False)
    observed["cv"] = [folds["test-rmse-mean"], folds["test-rmse-std"]]

with te.init("demo", "Trainings", "stopped"):
    stopping = xgb.callback.EarlyStopping(1, min_delta=1e9)
    model, _ = train(stopping, TellurioCallback(), rounds=9)
    observed["stopped"] = [model.best_iteration, model.best_score]

def crash():
    with te.init("demo", "Trainings", "crash"):
        train(TellurioCallback(), Stop())

observed["crash"] = refusal(crash)
observed["no run"] = refusal(lambda: train(TellurioCallback()))
"""


@pytest.fixture(scope="module")
def training(train):
    return train(PROGRAM)


def test_each_round_is_logged_and_a_continued_training_continues_its_steps(training):
    rmse = training.observed["rmse"]
    assert training.logged("active") == {"train/rmse": ([0, 1, 2, 3, 4], rmse)}
    assert training.logged("given") == {"train/rmse": ([0, 1, 2], rmse[:3])}
    assert training.observed["active"] == "RUNNING"
    assert training.run("active").status is te.RunStatus.COMPLETED


def test_the_config_has_the_parameters_as_numbers(training):
    learner = training.run("given").config["learner"]
    tree = learner["gradient_booster"]["tree_train_param"]
    assert tree["max_depth"] == 2
    assert tree["eta"] == 0.5
    assert learner["objective"]["name"] == "reg:squarederror"


def test_cross_validation_logs_the_mean_and_the_deviation(training):
    mean, deviation = training.observed["cv"]
    assert training.logged("cv")["test/rmse"] == ([0, 1], mean)
    assert training.logged("cv")["test/rmse_std"] == ([0, 1], deviation)


def test_early_stopping_records_the_best_round(training):
    config = training.run("stopped").config
    assert [config["best_iteration"], config["best_score"]] == training.observed["stopped"]


def test_an_exception_of_the_training_ends_the_run_as_crashed(training):
    assert training.observed["crash"] == "RuntimeError: The loss is lost."
    assert training.run("crash").status is te.RunStatus.CRASHED
    assert training.logged("crash")["train/rmse"][0] == [0, 1]


def test_without_a_run_the_training_does_not_start(training):
    assert training.observed["no run"].startswith(
        "ValueError: no run is active; start one with init"
    )
