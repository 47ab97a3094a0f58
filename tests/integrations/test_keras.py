"""Keras logs to a run."""

import pytest

import afnio_tellurio as te

pytestmark = pytest.mark.slow

PROGRAM = """
import keras
import numpy as np
from afnio_tellurio.integrations.keras import TellurioCallback

keras.utils.set_random_seed(7)
x, y = np.ones((4, 1)), np.zeros((4, 1))

class Stop(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise RuntimeError("The loss is lost.")

class More(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs |= {"words": "no number", "vector": np.ones(2), "scalar": np.float32(0.5)}

def fit(*callbacks, epochs=2, optimizer="sgd"):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    return model.fit(x, y, batch_size=2, epochs=epochs, verbose=0, callbacks=list(callbacks))

with start_elsewhere("given") as given:
    with te.init("demo", "Trainings", "active") as active:
        callback = TellurioCallback(log_batches=True)
        history = fit(More(), callback, TellurioCallback(given), optimizer=keras.optimizers.SGD(0.25))
        observed["losses"] = history.history["loss"]
        observed["active"] = str(active.status)
        fit(callback, epochs=1)

def crash():
    with te.init("demo", "Trainings", "crash"):
        fit(TellurioCallback(), Stop(), epochs=3)

observed["crash"] = refusal(crash)
observed["no run"] = refusal(lambda: fit(TellurioCallback()))
"""


@pytest.fixture(scope="module")
def training(train):
    return train(PROGRAM, KERAS_BACKEND="torch")


def test_epochs_are_logged_and_batches_if_that_is_wanted(training):
    active, given = training.logged("active"), training.logged("given")
    steps, losses = active["epoch/loss"]
    assert steps == [0, 0, 1]
    assert losses[::2] == training.observed["losses"]
    assert active["batch/loss"][0] == [0, 1, 2, 3, 4, 5]
    assert active["epoch/scalar"] == ([0, 1], [0.5, 0.5])
    assert given["epoch/loss"] == ([0, 1], training.observed["losses"])
    assert given.keys() == {"epoch/loss", "epoch/scalar"}
    assert training.observed["active"] == "RUNNING"
    assert training.run("active").status is te.RunStatus.COMPLETED


def test_the_config_has_the_optimizer(training):
    config = training.run("given").config
    assert config["epochs"] == 2
    assert config["steps"] == 2
    assert config["optimizer"]["name"] == "sgd"
    assert config["optimizer"]["learning_rate"] == 0.25


def test_an_exception_of_the_training_ends_the_run_as_crashed(training):
    assert training.observed["crash"] == "RuntimeError: The loss is lost."
    assert training.run("crash").status is te.RunStatus.CRASHED
    assert training.logged("crash")["epoch/loss"][0] == [0, 1]


def test_without_a_run_the_training_does_not_start(training):
    assert training.observed["no run"].startswith(
        "ValueError: no run is active; start one with init"
    )
