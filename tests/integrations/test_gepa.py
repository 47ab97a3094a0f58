"""Optimizations by GEPA log to a run."""

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import gepa
from gepa.core.adapter import EvaluationBatch
from gepa.strategies.proposal_sampling import SameParentSampling
from afnio_tellurio.integrations.gepa import TellurioCallback

WORDS = ["red", "green", "blue"]

class Adapter:
    '''The score of a word is 1 if a component contains it.'''

    propose_new_texts = None

    def evaluate(self, batch, candidate, capture_traces=False):
        known = " ".join(candidate.values()).split()
        if "broken" in known:
            raise RuntimeError("The program is broken.")
        other = 0.5 if "half" in known else 0.0
        scores = [1.0 if word in known else other for word in batch]
        traces = list(batch) if capture_traces else None
        return EvaluationBatch(outputs=list(batch), scores=scores, trajectories=traces)

    def make_reflective_dataset(self, candidate, evaluated, components):
        pairs = zip(evaluated.trajectories, evaluated.scores)
        records = [{"word": word, "score": score} for word, score in pairs]
        return {name: records for name in components}

def optimize(seed, proposals, **options):
    left = iter(proposals)
    return gepa.optimize(
        seed_candidate=seed,
        trainset=WORDS,
        valset=WORDS,
        adapter=Adapter(),
        reflection_lm=lambda prompt: f"```\\n{next(left)}\\n```",
        reflection_minibatch_size=3,
        logger=Silent(),
        **options,
    )

class Silent:
    def log(self, message):
        pass

SECRET = "sk-" + "Abcdefgh12345678" * 2
PROPOSALS = ["red", "nothing", "red green", f"red green blue {SECRET} {'x' * 20000}"]

with start_elsewhere("given") as given, te.init("demo", "Trainings", "active") as active:
    callbacks = [TellurioCallback(), TellurioCallback(given)]
    optimize({"prompt": "start"}, PROPOSALS, max_metric_calls=39, callbacks=callbacks)
    observed["active"] = str(active.status)

with te.init("demo", "Trainings", "error"):
    optimize(
        {"password": "start"}, ["broken", "red"], max_metric_calls=10,
        raise_on_exception=False, callbacks=[TellurioCallback()],
    )

class SelectSeed:
    def select_candidate_idx(self, state):
        return 0

# Two children of the seed that changed different components: they can be merged.
with te.init("demo", "Trainings", "merge"):
    optimize(
        {"a": "start", "b": "blue"}, ["red", "green blue", "nothing", "half", *["nothing"] * 9], max_metric_calls=50,
        candidate_selection_strategy=SelectSeed(), use_merge=True, merge_val_overlap_floor=1,
        callbacks=[TellurioCallback()],
    )

with te.init("demo", "Trainings", "several"):
    optimize(
        {"prompt": "start"}, ["nothing", "red"], max_metric_calls=10,
        sampling_strategy=SameParentSampling(2), callbacks=[TellurioCallback()],
    )

with te.init("demo", "Trainings", "resumed"):
    for budget in (12, 24):
        optimize(
            {"prompt": "start"}, ["red", "red green"] if budget == 12 else ["red green"],
            max_metric_calls=budget, run_dir="state", callbacks=[TellurioCallback()],
        )

def crash():
    with te.init("demo", "Trainings", "crash"):
        optimize({"prompt": "start"}, ["broken"], max_metric_calls=30, callbacks=[TellurioCallback()])

observed["crash"] = refusal(crash)
optimize({"prompt": "start"}, ["red"], max_metric_calls=9, callbacks=[TellurioCallback()])
"""


@pytest.fixture(scope="module")
def optimization(train):
    return train(PROGRAM)


def rows(optimization, run, table):
    return [dict(row) for row in optimization.run(run).rows(table)]


def test_each_candidate_is_a_row(optimization):
    candidates = rows(optimization, "active", "candidates")
    last = candidates.pop()
    assert candidates == [
        {
            "index": index,
            "parents": parents,
            "score": pytest.approx(index / 3),
            "examples": 3,
            "iteration": iteration,
            "is_best": True,
            "components": {"prompt": text},
            "metric_calls": calls,
        }
        for index, (parents, iteration, text, calls) in enumerate(
            [([], 0, "start", 3), ([0], 1, "red", 12), ([1], 3, "red green", 27)]
        )
    ]
    assert last["score"] == 1.0
    # The whole text, without the credential in it.
    assert last["components"] == {"prompt": f"red green blue [redacted] {'x' * 20000}"}


def test_each_validation_score_is_a_row(optimization):
    scores = rows(optimization, "active", "scores")
    assert [(row["id"], row["score"]) for row in scores] == [
        (f"{candidate}/{example}", float(candidate > example))
        for candidate in range(4)
        for example in range(3)
    ]
    assert scores[4] == {"id": "1/1", "candidate": 1, "example": 1, "score": 0.0}


def test_each_proposal_is_a_row(optimization):
    accepted, rejected = rows(optimization, "active", "proposals")[:2]
    assert accepted == {
        "iteration": 1,
        "kind": "reflection",
        "accepted": True,
        "candidate": 1,
        "parents": [0],
        "score": 1.0,
        "components": {"prompt": "red"},
    }
    assert rejected == {
        "iteration": 2,
        "kind": "reflection",
        "accepted": False,
        "score": 0.0,
        "score_before": 1.0,
        "reason": "New subsample score 0.0 not better than old score 1.0",
        "components": {"prompt": "nothing"},
    }


def test_the_pareto_front_is_recorded_when_it_changes(optimization):
    assert rows(optimization, "active", "pareto_front") == [
        {"iteration": 1, "candidates": [0, 1], "displaced": []},
        {"iteration": 3, "candidates": [0, 1, 2], "displaced": []},
        {"iteration": 4, "candidates": [1, 2, 3], "displaced": [0]},
    ]


def test_scores_and_the_budget_are_metrics(optimization):
    third = pytest.approx(1 / 3)
    two_thirds = pytest.approx(2 / 3)
    assert optimization.logged("active") == {
        "gepa/score": ([0, 1, 3, 4], [0.0, third, two_thirds, 1.0]),
        "gepa/best_score": ([0, 1, 2, 3, 4, 5], [0.0, third, third, two_thirds, 1.0, 1.0]),
        "gepa/metric_calls": ([1, 2, 3, 4, 5], [12, 18, 27, 36, 39]),
        "gepa/metric_calls_remaining": ([1, 2, 3, 4, 5], [27, 21, 12, 3, 0]),
        "gepa/best_candidate": ([5], [3]),
    }


def test_the_config_has_the_settings_of_gepa(optimization):
    assert optimization.run("active").config["gepa"] == {
        "perfect_score": 1.0,
        "seed": 0,
        "track_best_outputs": True,
        "trainset_size": 3,
        "valset_size": 3,
        "components": ["prompt"],
    }


def test_a_run_that_is_passed_records_the_same_and_no_run_is_ended(optimization):
    assert optimization.logged("given") == optimization.logged("active")
    assert optimization.observed["active"] == "RUNNING"
    for table in ("candidates", "scores", "proposals", "pareto_front"):
        assert rows(optimization, "given", table) == rows(optimization, "active", table)


def test_an_error_is_a_row_and_the_optimization_continues(optimization):
    assert rows(optimization, "error", "errors") == [
        {"iteration": 1, "exception": "RuntimeError: The program is broken.", "will_continue": True}
    ]
    # The name of a component says nothing of what its text is.
    last = rows(optimization, "error", "candidates")[-1]
    assert (last["iteration"], last["components"]) == (2, {"password": "red"})


def test_an_error_that_ends_the_optimization_ends_the_run_of_the_block(optimization):
    assert optimization.observed["crash"] == "RuntimeError: The program is broken."
    assert str(optimization.run("crash").status) == "CRASHED"
    assert [row["will_continue"] for row in rows(optimization, "crash", "errors")] == [False]


def test_a_front_that_stays_the_same_is_not_recorded_again(optimization):
    # The last candidate is best at nothing.
    assert len(rows(optimization, "merge", "candidates")) == 5
    fronts = [row["candidates"] for row in rows(optimization, "merge", "pareto_front")]
    assert fronts == [[0, 1], [0, 1, 2], [0, 1, 2, 3]]


def test_a_rejected_one_of_several_proposals_has_no_texts(optimization):
    rejected, accepted = rows(optimization, "several", "proposals")
    assert (rejected["accepted"], accepted["accepted"]) == (False, True)
    assert "components" not in rejected
    (_, candidate) = rows(optimization, "several", "candidates")
    assert candidate["index"] == accepted["candidate"]
    assert candidate["components"] == {"prompt": "red"}


def test_merges_are_proposals_of_their_own_kind(optimization):
    proposals = rows(optimization, "merge", "proposals")
    kinds = [row["kind"] for row in proposals]
    assert kinds == ["reflection", "reflection", "merge", *["reflection"] * 3]
    assert proposals[2] == {
        "iteration": 3,
        "kind": "merge",
        "accepted": True,
        "candidate": 3,
        "parents": [1, 2],
        "score": 5.0,
        "components": {"a": "red", "b": "green blue"},
    }


def test_a_resumed_optimization_replaces_the_rows_that_it_repeats(optimization):
    candidates = rows(optimization, "resumed", "candidates")
    assert [(row["index"], row["components"]["prompt"]) for row in candidates] == [
        (0, "start"),
        (1, "red"),
        (2, "red green"),
    ]
    assert len(rows(optimization, "resumed", "scores")) == 9


def test_without_a_run_gepa_reports_what_to_do_and_optimizes(optimization):
    assert "no run is active; start one with init(" in optimization.stderr
