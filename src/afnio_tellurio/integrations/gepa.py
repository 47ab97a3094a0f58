"""Records an optimization by GEPA: its candidates, proposals, scores, and budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from afnio_tellurio.integrations.plain_values import plain_fields, plain_text
from afnio_tellurio.tracking.functions import get_active_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from afnio_tellurio.tracking.run import Run

__all__ = ["TellurioCallback"]

#: Characters of the text of one component, which is what GEPA optimizes.
_MAX_COMPONENT = 1_000_000


class TellurioCallback:
    """Records an optimization: pass it to `gepa.optimize(..., callbacks=[TellurioCallback()])`.

    Tables:

    - `candidates`: `index`, `parents`, `components` with their texts, the average validation
      `score`, the `examples` that it was evaluated on, the `iteration`, whether it was the best so
      far (`is_best`), and the `metric_calls` at the end of that evaluation. The seed is 0.
    - `scores`: the validation `score` of each `candidate` for each `example`.
    - `proposals`: whether each proposal was `accepted`, its `kind` (`reflection` or `merge`), its
      scores on the minibatch, and why it was rejected (`reason`). `components` has the texts that
      were proposed, unless an iteration has several proposals: GEPA does not report which of them
      was rejected.
    - `pareto_front`: its `candidates` and the `displaced` ones, when it changes.
    - `errors`: what an iteration raised.

    Metrics, with the iteration as their step: `gepa/score` of each new candidate,
    `gepa/best_score`, `gepa/metric_calls`, `gepa/metric_calls_remaining` if there is a limit, and
    at the end `gepa/best_candidate`. The config has what GEPA reports of its own under `gepa`.

    It never ends the run. GEPA reports an exception of a callback as a warning, and goes on. Use a
    run for each optimization: candidates count from 0.

    Args:
        run: The run; default the one that is active when the optimization starts.
    """

    def __init__(self, run: Run | None = None) -> None:
        self._given = run
        self._found: Run | None = None
        self._start_again()

    def _start_again(self) -> None:
        self._front: list[int] = []
        self._remaining: int | None = None
        self._metric_calls: int | None = None
        self._kind = "reflection"
        self._proposed: list[Mapping[str, str]] = []

    @property
    def _run(self) -> Run:
        if self._given is not None:
            return self._given
        if self._found is None:
            self._found = get_active_run()
        return self._found

    def on_optimization_start(self, event: Mapping[str, Any]) -> None:
        """Records the config."""
        self._found = None
        self._start_again()
        config = {
            **event["config"],
            "trainset_size": event["trainset_size"],
            "valset_size": event["valset_size"],
            "components": sorted(event["seed_candidate"]),
        }
        self._run.update_config({"gepa": plain_fields(config)})

    def on_valset_evaluated(self, event: Mapping[str, Any]) -> None:
        """Records a candidate and its scores."""
        index, iteration, score = event["candidate_idx"], event["iteration"], event["average_score"]
        row = {
            "index": index,
            "parents": _indices(event["parent_ids"]),
            "score": score,
            "examples": event["num_examples_evaluated"],
            "iteration": iteration,
            "is_best": event["is_best_program"],
            "components": _texts(event["candidate"]),
            # Only the seed is evaluated before GEPA reports its budget.
            "metric_calls": event["num_examples_evaluated"] if index == 0 else self._metric_calls,
        }
        scores = [
            plain_fields(
                {
                    "id": f"{index}/{example}",
                    "candidate": index,
                    "example": example,
                    "score": value,
                }
            )
            for example, value in event["scores_by_val_id"].items()
        ]
        self._run.log_rows("candidates", [row], "index")
        # With a key, because GEPA evaluates again what it resumes.
        self._run.log_rows("scores", scores, "id")
        metrics = {"gepa/score": score}
        if index == 0:
            metrics["gepa/best_score"] = score
        self._run.log_metrics(metrics, iteration)

    def on_budget_updated(self, event: Mapping[str, Any]) -> None:
        """Remembers the budget, which is recorded with candidates and iterations."""
        self._metric_calls = event["metric_calls_used"]
        self._remaining = event["metric_calls_remaining"]

    def on_pareto_front_updated(self, event: Mapping[str, Any]) -> None:
        """Records the Pareto front if it changed."""
        front, displaced = _indices(event["new_front"]), _indices(event["displaced_candidates"])
        if front != self._front:
            row = {"iteration": event["iteration"], "candidates": front, "displaced": displaced}
            self._run.log_rows("pareto_front", [row])
            self._front = front

    def on_iteration_start(self, event: Mapping[str, Any]) -> None:  # noqa: ARG002 - GEPA's signature
        """Forgets the proposals of the iteration before."""
        self._kind = "reflection"
        self._proposed = []

    def on_proposal_end(self, event: Mapping[str, Any]) -> None:
        """Remembers what is proposed."""
        self._proposed.append(event["new_instructions"])

    def on_merge_attempted(self, event: Mapping[str, Any]) -> None:
        """Remembers what is proposed."""
        self._kind = "merge"
        self._proposed = [event["merged_candidate"]]

    def on_candidate_accepted(self, event: Mapping[str, Any]) -> None:
        """Records a proposal that became a candidate."""
        self._log_proposal(
            event,
            accepted=True,
            candidate=event["new_candidate_idx"],
            parents=_indices(event["parent_ids"]),
            score=event["new_score"],
        )

    def on_candidate_rejected(self, event: Mapping[str, Any]) -> None:
        """Records a proposal that was rejected."""
        self._log_proposal(
            event,
            accepted=False,
            score=event["new_score"],
            score_before=event["old_score"],
            reason=event["reason"],
        )

    def on_merge_rejected(self, event: Mapping[str, Any]) -> None:
        """Records a merge that was rejected; one that was accepted is a new candidate."""
        self._log_proposal(
            event, accepted=False, parents=_indices(event["parent_ids"]), reason=event["reason"]
        )

    def _log_proposal(self, event: Mapping[str, Any], **fields: Any) -> None:
        row = plain_fields({"iteration": event["iteration"], "kind": self._kind, **fields})
        if len(self._proposed) == 1:
            row["components"] = _texts(self._proposed[0])
        self._run.log_rows("proposals", [row])

    def on_error(self, event: Mapping[str, Any]) -> None:
        """Records what an iteration raised."""
        error = event["exception"]
        row = {
            "iteration": event["iteration"],
            "exception": plain_text(f"{type(error).__name__}: {error}"),
            "will_continue": event["will_continue"],
        }
        self._run.log_rows("errors", [row])

    def on_iteration_end(self, event: Mapping[str, Any]) -> None:
        """Records the best score and the budget."""
        state = event["state"]
        metrics = {
            "gepa/best_score": max(state.program_full_scores_val_set),
            "gepa/metric_calls": state.total_num_evals,
        }
        if self._remaining is not None:
            metrics["gepa/metric_calls_remaining"] = self._remaining
        self._run.log_metrics(metrics, event["iteration"])

    def on_optimization_end(self, event: Mapping[str, Any]) -> None:
        """Records which candidate is the best."""
        step = event["final_state"].i + 1
        self._run.log_metrics({"gepa/best_candidate": event["best_candidate_idx"]}, step)


def _indices(candidates: Any) -> list[int]:
    """Indices of candidates; GEPA leaves out parents as None."""
    return [int(index) for index in candidates if index is not None]


def _texts(candidate: Mapping[str, str]) -> dict[str, str]:
    return {plain_text(name): plain_text(text, _MAX_COMPONENT) for name, text in candidate.items()}
