"""What programs of afnio use besides runs: its logging, its variables, and its `Trainer`."""

from __future__ import annotations

import functools
import inspect
import logging
import re
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.notices import warn_once
from afnio_tellurio.tracking.functions import get_active_run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

__all__ = ["Tracker", "configure_logging", "suppress_variable_notifications"]

_TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens")
#: Names of settings whose values may be secret.
_SECRET = re.compile(
    r"(key|token|secret|password|authorization|credentials?)$|header|url|query", re.IGNORECASE
)
_MAX_DEPTH = 8


def configure_logging(verbosity: str = "info") -> None:
    """Configures logging as afnio does, and shows the messages of runs at the same level.

    Args:
        verbosity: The lowest level of messages to show, such as `"info"` or `"warning"`.

    Raises:
        ImportError: afnio is not installed.
        TypeError: The level is not a string.
    """
    _import_afnio("afnio.logging_config").configure_logging(verbosity)
    ours, afnios = logging.getLogger("afnio_tellurio"), logging.getLogger("afnio")
    ours.setLevel(afnios.level)


def suppress_variable_notifications() -> AbstractContextManager[None]:
    """Returns a context in which changes of afnio's variables are not sent to the platform.

    Raises:
        ImportError: afnio is not installed.
    """
    module = _import_afnio("afnio.tellurio._variable_registry")
    context: AbstractContextManager[None] = module.suppress_variable_notifications()
    return context


def _import_afnio(module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != "afnio":
            raise
        raise ModuleNotFoundError(
            "this function belongs to afnio, which is not installed; install it with: "
            "pip install afnio",
            name="afnio",
        ) from None


class Tracker:
    """Logs what afnio's `Trainer` does not: settings, prompts, tokens and checkpoints.

    Create it before `fit`, `validate` or `test`. It logs to the active run:

    - `config`: the settings of each fit: epochs, samples, optimizer, models and parameters.
    - `parameters/NAME`: the text of each parameter before the first training step, and after each
      step that changed it.
    - `clients/NAME/train_total_tokens`, for example: the prompt, completion and total tokens, and
      the cost, of each batch. `val` and `test` have series of their own. The clients are those
      passed to the trainer as `llm_clients`.
    - `checkpoints`: path, epoch, batch and size of each checkpoint.

    Steps are batches, counted from 1. The trainer works as without it: what cannot be logged is
    reported once.

    Args:
        trainer: The trainer.
        clients: Names for its clients; default the provider and a number, such as `openai_0`.

    Raises:
        TypeError: It is not a `Trainer` of a known version of afnio.
        ValueError: The trainer has a tracker already.
    """

    def __init__(self, trainer: Any, clients: Mapping[str, Any] | None = None) -> None:
        hooks = {
            "fit": (self._start_phase, None),
            "validate": (self._start_phase, None),
            "test": (self._start_phase, None),
            "_run_training_step_with_retries": (None, self._log_training_step),
            "_run_fn_with_retries": (None, self._log_evaluation_step),
            "_save_checkpoint": (None, self._log_checkpoint),
        }
        missing = [name for name in hooks if not callable(getattr(trainer, name, None))]
        if missing:
            raise TypeError(
                f"Tracker: {type(trainer).__name__} is not a Trainer of afnio 0.3: it has no "
                f"{', '.join(missing)}"
            )
        if any(name in vars(trainer) for name in hooks):
            raise ValueError("Tracker: this trainer has a tracker already")
        self._trainer = trainer
        self._names = {id(client): name for name, client in (clients or {}).items()}
        self._agent: Any = None
        self._clients: dict[str, Any] = {}
        self._config: dict[str, Any] = {}
        self._steps: Counter[str] = Counter()
        self._texts: dict[str, Any] = {}
        for name, (before, after) in hooks.items():
            setattr(trainer, name, _with_hooks(getattr(trainer, name), before, after))

    def _start_phase(self, method: str, arguments: dict[str, Any]) -> None:
        """Remembers what a call of `fit`, `validate` or `test` works with."""
        self._agent = arguments["agent"]
        self._clients = {}
        for number, client in enumerate(arguments["llm_clients"] or ()):
            default = f"{client.get_provider() or type(client).__name__}_{number}"
            self._clients[self._names.get(id(client), default)] = client
        if method == "fit":
            self._config = {"max_epochs": self._trainer.max_epochs}
            for phase in ("train", "val"):
                loader = arguments[f"{phase}_dataloader"]
                if loader is not None:
                    self._config[f"{phase}_samples"] = len(loader.dataset)
                    self._config[f"{phase}_batch_size"] = getattr(loader, "batch_size", None)
            self._log_texts(self._steps["train"])

    def _log_training_step(self, _method: str, arguments: dict[str, Any]) -> None:
        if self._config:
            self._log_config(arguments["optimizer"])
        self._steps["train"] += 1
        self._log_usage("train")
        self._log_texts(self._steps["train"])

    def _log_evaluation_step(self, _method: str, arguments: dict[str, Any]) -> None:
        phase = {"validation_step": "val", "test_step": "test"}.get(arguments["step_name"])
        if phase is not None:
            self._steps[phase] += 1
            self._log_usage(phase)

    def _log_config(self, optimizer: Any) -> None:
        # After the first step: only then the modules know their models.
        agent = self._agent
        config, self._config = self._config, {}
        config["agent"] = type(agent).__name__
        config["optimizer"] = {"name": type(optimizer).__name__, **_plain(optimizer.defaults)}
        # Not `named_completion_configs`, which hashes dicts in afnio 0.3.7.
        config["models"] = {
            name: _plain(module.__dict__["_completion_configs"])
            for name, module in agent.named_modules()
            if module.__dict__.get("_completion_configs")
        }
        config["parameters"] = {
            name: {"role": parameter.role, "requires_grad": parameter.requires_grad}
            for name, parameter in agent.named_parameters()
        }
        config["clients"] = {
            name: {"provider": client.get_provider(), "class": type(client).__name__}
            for name, client in self._clients.items()
        }
        get_active_run().log("config", config)

    def _log_texts(self, step: int) -> None:
        changed = {
            f"parameters/{name}": parameter.data
            for name, parameter in self._agent.named_parameters()
            if self._texts.get(name, _Unknown) != parameter.data
        }
        if changed:
            get_active_run().log_metrics(changed, step)
            for name, text in changed.items():
                self._texts[name.removeprefix("parameters/")] = text

    def _log_usage(self, phase: str) -> None:
        """Logs what a batch used: the trainer sets the counts to zero after each."""
        used: dict[str, Any] = {}
        for name, client in self._clients.items():
            usage = client.get_usage()
            for kind in _TOKENS:
                if kind in usage:
                    used[f"clients/{name}/{phase}_{kind}"] = usage[kind]
            used[f"clients/{name}/{phase}_cost"] = usage["cost"]["amount"]
        if used:
            get_active_run().log_metrics(used, self._steps[phase])

    def _log_checkpoint(self, _method: str, arguments: dict[str, Any]) -> None:
        epoch, batch = arguments["epoch"], arguments["batch"]
        folder = Path(self._trainer.default_root_dir) / "checkpoints"
        pattern = f"checkpoint_epoch{epoch}_*"
        if batch is not None:
            folder, pattern = folder / f"epoch_{epoch}", f"checkpoint_batch{batch}_*"
        # Its name has the time: an earlier fit may have left others.
        newest = max(folder.glob(pattern), key=lambda path: path.stat().st_mtime_ns)
        checkpoint = {
            "path": str(newest),
            "epoch": epoch,
            "batch": batch,
            "bytes": newest.stat().st_size,
        }
        get_active_run().log("checkpoints", checkpoint)


class _Unknown:
    """The text of a parameter that was not logged yet."""


def _with_hooks(method: Callable[..., Any], before: Any, after: Any) -> Callable[..., Any]:
    """A method that calls one hook with its arguments before it works, and another afterwards."""
    signature = inspect.signature(method)

    def call(hook: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if hook is None:
            return
        try:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            hook(method.__name__, bound.arguments)
        except Exception as error:  # noqa: BLE001 - tracking never disturbs the training
            raise_foreign(error, by_type=False)
            warn_once(f"Tracker: {method.__name__} is not tracked in full: {error!r}")

    @functools.wraps(method)
    def tracked(*args: Any, **kwargs: Any) -> Any:
        call(before, args, kwargs)
        result = method(*args, **kwargs)
        call(after, args, kwargs)
        return result

    return tracked


def _plain(value: Any, depth: int = 0) -> Any:
    """A setting of afnio as JSON: the text of a variable, the type of another object."""
    value = getattr(value, "data", value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if depth < _MAX_DEPTH:
        if isinstance(value, dict):
            return _plain_entries(value, depth)  # pyright: ignore[reportUnknownArgumentType]
        if isinstance(value, list | tuple):
            return [_plain(entry, depth + 1) for entry in cast("list[Any]", value)]
    return type(value).__name__


def _plain_entries(settings: dict[Any, Any], depth: int) -> dict[str, Any]:
    return {
        str(name): "***" if _SECRET.search(str(name)) else _plain(value, depth + 1)
        for name, value in settings.items()
    }
