"""Studies of Optuna log to a run."""

import pytest

import afnio_tellurio as te

pytestmark = pytest.mark.slow

PROGRAM = """
import sys
import optuna

with te.init("demo", "Trainings", "without a callback"):
    optuna.create_study().optimize(lambda trial: 1, 1)
observed["loaded"] = [name for name in sys.modules if name.startswith("afnio_tellurio.integrations")]

from afnio_tellurio.integrations.optuna import TellurioCallback

optuna.logging.set_verbosity(optuna.logging.ERROR)

class Shape:
    pass

def objective(trial):
    rate = trial.suggest_float("rate", 0, 1)
    trial.suggest_categorical("kind", ["a", "b"])
    if trial.number == 1:
        raise optuna.TrialPruned
    if trial.number == 2:
        raise RuntimeError("The loss is lost.")
    return [3, 0, 0, 1, 2][trial.number]

with start_elsewhere("given") as given, te.init("demo", "Trainings", "active") as active:
    study = optuna.create_study(study_name="search", sampler=optuna.samplers.RandomSampler(seed=7))
    callbacks = [TellurioCallback(), TellurioCallback(given)]
    study.optimize(objective, 3, catch=RuntimeError, callbacks=callbacks)
    study.optimize(objective, 2, callbacks=callbacks, n_jobs=2)
    observed["active"] = str(active.status)
    observed["rates"] = [trial.params["rate"] for trial in study.trials]

with te.init("demo", "Trainings", "several"):
    several = optuna.create_study(directions=["minimize", "maximize"])
    several.optimize(
        lambda trial: (1, len(str(trial.suggest_categorical("shape", [Shape]) is Shape))), 1,
        callbacks=[TellurioCallback()],
    )
    several.set_metric_names(["loss", "score"])
    several.optimize(lambda trial: (2, 3), 1, callbacks=[TellurioCallback()])

with te.init("demo", "Trainings", "constrained"):
    sampler = optuna.samplers.TPESampler(constraints_func=lambda trial: (1,))
    optuna.create_study(sampler=sampler).optimize(lambda trial: 1, 1, callbacks=[TellurioCallback()])

with te.init("demo", "Trainings", "ended"):
    callback = TellurioCallback()
    study = optuna.create_study()
    study.optimize(lambda trial: 1, 1, callbacks=[callback])
study.optimize(lambda trial: 2, 1, callbacks=[callback])

def crash():
    with te.init("demo", "Trainings", "crash"):
        optuna.create_study().optimize(objective, 5, callbacks=[TellurioCallback()])

observed["crash"] = refusal(crash)
observed["no run"] = refusal(
    lambda: optuna.create_study().optimize(objective, 1, callbacks=[TellurioCallback()])
)
"""


@pytest.fixture(scope="module")
def training(train):
    return train(PROGRAM)


def test_no_integration_is_loaded_until_a_program_imports_it(training):
    assert training.observed["loaded"] == []
    assert training.logged("without a callback") == {}


def by_step(points):
    return dict(zip(*points, strict=True))


@pytest.mark.parametrize("name", ["active", "given"])
def test_completed_trials_log_their_value_the_best_one_and_their_numbers(training, name):
    logged = training.logged(name)
    # Two trials ended in any order.
    assert by_step(logged["value"]) == {0: 3, 3: 1, 4: 2}
    best = by_step(logged["best_value"])
    assert best.keys() == {0, 3, 4}
    assert (best[0], best[3]) == (3, 1)
    assert best[4] in {1, 2}
    rates = training.observed["rates"]
    assert by_step(logged["params/rate"]) == {0: rates[0], 3: rates[3], 4: rates[4]}
    assert "params/kind" not in logged
    assert training.observed["active"] == "RUNNING"


def test_each_trial_is_a_row_of_a_table(training):
    rows = sorted(training.run("active").rows("trials"), key=lambda row: row["number"])
    assert [row["number"] for row in rows] == [0, 1, 2, 3, 4]
    assert [row["state"] for row in rows] == ["complete", "pruned", "fail", "complete", "complete"]
    assert [row.get("value") for row in rows] == [3, None, None, 1, 2]
    assert [row["params"]["rate"] for row in rows] == training.observed["rates"]
    assert {row["params"]["kind"] for row in rows} <= {"a", "b"}
    assert all(row["duration"] >= 0 for row in rows)
    assert training.run("active").config["study"] == {"name": "search", "directions": ["minimize"]}


def test_several_objectives_log_a_value_each(training):
    logged = training.logged("several")
    assert logged == {
        "values/0": ([0], [1]),
        "values/1": ([0], [4]),
        "values/loss": ([1], [2]),
        "values/score": ([1], [3]),
    }
    first, second = training.run("several").rows("trials")
    assert first["values"] == [1, 4]
    assert first["params"] == {"shape": "Shape"}
    assert second["values"] == [2, 3]
    assert training.run("several").config["study"]["directions"] == ["minimize", "maximize"]


def test_a_trial_that_violates_constraints_is_not_the_best(training):
    assert training.logged("constrained") == {"value": ([0], [1])}


def test_a_run_that_has_ended_stops_no_study(training):
    assert training.logged("ended")["value"] == ([0], [1])
    assert len(training.run("ended").rows("trials")) == 1
    assert "trials are not recorded: log_rows: run 'ended'" in training.stderr


def test_an_exception_of_the_objective_ends_the_run_as_crashed(training):
    assert training.observed["crash"] == "RuntimeError: The loss is lost."
    assert training.run("crash").status is te.RunStatus.CRASHED
    assert len(training.run("crash").rows("trials")) == 2


def test_without_a_run_the_first_trial_is_refused(training):
    assert training.observed["no run"].startswith(
        "ValueError: no run is active; start one with init"
    )
