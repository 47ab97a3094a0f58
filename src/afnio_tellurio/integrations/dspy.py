"""Records the calls and evaluations of DSPy."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from afnio_tellurio.clock import monotonic
from afnio_tellurio.integrations.plain_values import plain_fields, plain_text
from afnio_tellurio.tracking.functions import get_active_run
from afnio_tellurio.tracking.redaction import MARK, redact_config
from afnio_tellurio.tracking.statuses import ENDED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from afnio_tellurio.tracking.run import Run

    class BaseCallback:
        """What type checkers know of DSPy's class: DSPy need not be installed."""

    def active_call() -> str | None:
        """The ID of the call around the current one."""
else:
    from dspy.utils.callback import ACTIVE_CALL_ID, BaseCallback

    active_call = ACTIVE_CALL_ID.get

__all__ = ["TellurioCallback"]

_TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens")
#: Threads that share an LM add to its history between a call and its end.
_RECENT_CALLS = 200
_NOTHING: Mapping[str, Any] = {}


class _Call(NamedTuple):
    """A call that has not ended."""

    kind: str
    instance: Any
    inputs: Mapping[str, Any]
    parent: str | None
    start: float


class TellurioCallback(BaseCallback):
    """Records calls: use it with `dspy.configure(callbacks=[TellurioCallback()])`.

    Metrics:

    - `dspy/lm_seconds`: how long each call of an LM took.
    - `dspy/lm_calls`, `dspy/lm_errors`, `dspy/prompt_tokens`, `dspy/completion_tokens`,
      `dspy/total_tokens` and `dspy/cost_usd`: totals after each call. Tokens and costs are those in
      the history of the LM. A cached answer adds none.
    - `dspy/score`: the score of each evaluation. One whose `callback_metadata` has a `metric_key`,
      such as `eval_full` in optimizers of DSPy, is `dspy/eval_full`. One with `disable_logging`,
      such as a minibatch of `dspy.GEPA`, has no metric.

    The table `calls` has a row for each call of an LM, module or tool, each evaluation, and each
    optimization when it ends: `id`, `parent`, `kind` (`lm`, `module`, `tool`, `evaluate` or
    `compile`), `name`, `inputs`, `outputs`, `exception`, `duration_seconds`, and the tokens and
    cost of an LM. Texts are cut after 10,000 characters, and lists after 100 items. An object
    becomes its fields or its `repr`. Settings of an LM are not recorded, and a mark takes the place
    of what looks like a credential.

    Threads may share it. It never ends the run. DSPy reports an exception of a callback as a
    warning, and goes on.

    Args:
        run: The run; default the active one at the first call, and again after that has ended.
        log_calls: Whether to record the table `calls`.
    """

    def __init__(self, run: Run | None = None, *, log_calls: bool = True) -> None:
        super().__init__()
        self._given = run
        self._found: Run | None = None
        self._log_calls = log_calls
        self._calls: dict[str, _Call] = {}
        self._secrets: frozenset[str] = frozenset()
        self._totals: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __deepcopy__(self, _memo: dict[int, Any]) -> TellurioCallback:
        # DSPy copies modules with their callbacks, which then record to the same run.
        return self

    @property
    def _run(self) -> Run:
        if self._given is not None:
            return self._given
        run = self._found
        if run is None or run.status in ENDED:
            self._found = run = get_active_run()
        return run

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Remembers the start of a call of an LM."""
        settings = getattr(instance, "kwargs", None)
        secrets = _secrets_of(settings) | _secrets_of(inputs.get("kwargs"))
        if not secrets <= self._secrets:
            with self._lock:
                self._secrets |= secrets
        self._start("lm", call_id, instance, inputs)

    def on_lm_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        """Records a call of an LM, its tokens, and its cost."""
        call = self._calls.pop(call_id)
        seconds = monotonic() - call.start
        entry = _history_entry(call.instance, outputs) if exception is None else None
        used = _usage(entry)
        with self._lock:
            self._totals.update(used)
            self._totals.update(lm_calls=1, lm_errors=exception is not None)
            totals = dict(self._totals)
        metrics = {f"dspy/{name}": total for name, total in totals.items()}
        self._run.log_metrics(metrics | {"dspy/lm_seconds": seconds}, totals["lm_calls"])
        self._log_call(call_id, call, seconds, outputs, exception, used)

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Remembers the start of a call of a module."""
        self._start("module", call_id, instance, inputs)

    def on_tool_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Remembers the start of a call of a tool."""
        self._start("tool", call_id, instance, inputs)

    def on_compile_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Remembers the start of an optimization."""
        self._start("compile", call_id, instance, _outlines(inputs))

    def on_evaluate_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Remembers the start of an evaluation."""
        self._start("evaluate", call_id, instance, inputs)

    def on_module_end(
        self, call_id: str, outputs: Any, exception: BaseException | None = None
    ) -> None:
        """Records a call of a module."""
        self._end(call_id, outputs, exception)

    def on_tool_end(
        self, call_id: str, outputs: Any, exception: BaseException | None = None
    ) -> None:
        """Records a call of a tool."""
        self._end(call_id, outputs, exception)

    def on_compile_end(
        self, call_id: str, outputs: Any, exception: BaseException | None = None
    ) -> None:
        """Records an optimization."""
        self._end(call_id, None if outputs is None else type(outputs).__name__, exception)

    def on_evaluate_end(
        self, call_id: str, outputs: Any, exception: BaseException | None = None
    ) -> None:
        """Records an evaluation and its score."""
        call = self._calls.pop(call_id)
        seconds = monotonic() - call.start
        metadata: Mapping[str, Any] = call.inputs.get("callback_metadata") or _NOTHING
        result = None
        if exception is None:
            result = {"score": outputs.score}
            if not metadata.get("disable_logging"):
                self._run.log(f"dspy/{metadata.get('metric_key', 'score')}", outputs.score)
        # Settings of the instance stand in for arguments that were not passed.
        settings = {
            name: value if value is not None else getattr(call.instance, name, None)
            for name, value in call.inputs.items()
        }
        call = call._replace(inputs=_outlines(settings))
        self._log_call(call_id, call, seconds, result, exception)

    def _end(self, call_id: str, outputs: Any, exception: BaseException | None) -> None:
        call = self._calls.pop(call_id)
        self._log_call(call_id, call, monotonic() - call.start, outputs, exception)

    def _start(self, kind: str, call_id: str, instance: Any, inputs: Mapping[str, Any]) -> None:
        self._calls[call_id] = _Call(kind, instance, inputs, active_call(), monotonic())

    def _log_call(
        self,
        call_id: str,
        call: _Call,
        seconds: float,
        outputs: Any,
        exception: BaseException | None,
        used: Mapping[str, Any] | None = None,
    ) -> None:
        if not self._log_calls:
            return
        row = {
            "id": call_id,
            "parent": call.parent,
            "kind": call.kind,
            "name": _name(call),
            **plain_fields({"inputs": _inputs(call.inputs), "outputs": outputs}),
            "exception": None if exception is None else self._described(exception),
            "duration_seconds": seconds,
            **(used or {}),
        }
        self._run.log_rows("calls", [row])

    def _described(self, exception: BaseException) -> str:
        text = f"{type(exception).__name__}: {exception}"
        for secret in self._secrets:
            text = text.replace(secret, MARK)
        return plain_text(text)


def _name(call: _Call) -> str:
    """The model of an LM, the name of a tool, or the class."""
    name = getattr(call.instance, {"lm": "model", "tool": "name"}.get(call.kind, ""), None)
    return plain_text(str(name or type(call.instance).__name__))


def _inputs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that were passed, with those by keyword on the same level."""
    named: Mapping[str, Any] = inputs.get("kwargs") or _NOTHING
    passed = {name: value for name, value in inputs.items() if value not in (None, ())}
    passed.pop("kwargs", None)
    return passed | dict(named)


def _outlines(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of an evaluation or optimization: the names of objects, the numbers of examples."""
    return {name: _outline(value) for name, value in inputs.items() if value is not None}


def _outline(value: Any) -> Any:
    if isinstance(value, list):
        items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return f"{len(items)} examples"
    if isinstance(value, str | int | float | dict):
        return value  # pyright: ignore[reportUnknownVariableType]
    return getattr(value, "__name__", type(value).__name__)


def _history_entry(lm: Any, outputs: Any) -> Mapping[str, Any] | None:
    """What the history of an LM has on a call, which is recognized by its outputs."""
    recent = list(getattr(lm, "history", ()))[-_RECENT_CALLS:]
    return next((entry for entry in reversed(recent) if entry["outputs"] is outputs), None)


def _usage(entry: Mapping[str, Any] | None) -> dict[str, int | float]:
    entry = entry or _NOTHING
    usage: Mapping[str, Any] = entry.get("usage") or _NOTHING
    used: dict[str, int | float] = {
        name: usage[name] for name in _TOKENS if isinstance(usage.get(name), int)
    }
    # A cached answer has the cost of the first one, but used no tokens.
    if used and isinstance(entry.get("cost"), int | float):
        used["cost_usd"] = entry["cost"]
    return used


def _secrets_of(settings: Mapping[str, Any] | None) -> set[str]:
    settings = settings or _NOTHING
    texts = {name: value for name, value in settings.items() if isinstance(value, str) and value}
    safe, _ = redact_config(texts)
    return {text for name, text in texts.items() if safe[name] != text}
